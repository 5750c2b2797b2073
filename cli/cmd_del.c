/* SPDX-License-Identifier: MIT */
/* kvctl del: records by key, in one txn. */
#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "command.h"
#include "session.h"
#include "status.h"

static int del_one(const struct session *session, char *arg)
{
    struct kv_val key;
    char *shown = strdup(arg); /* decoding changes the argument */
    int status = shown ? STATUS_DONE : status_failed("out of memory");
    if (!status)
        status = arg_decode(session->common->encoding, "key", arg, &key);
    if (!status) {
        int rc = kv_del(session->txn, session->table, &key, NULL);
        if (rc)
            status = status_of(rc, "key %s", shown);
    }
    free(shown);
    return status;
}

static int del_run(const struct common *common, int argc, char **argv)
{
    struct session session;
    bool missing = false;
    int status = session_write(&session, common, false);
    for (int i = 1; i < argc && !status; i++) {
        status = del_one(&session, argv[i]);
        missing = missing || status == STATUS_NEGATIVE;
        status = status == STATUS_NEGATIVE ? STATUS_DONE : status;
    }
    if (!status)
        status = session_commit(&session);
    status = session_close(&session, status);
    return missing && !status ? STATUS_NEGATIVE : status;
}

const struct command cmd_del = {
    .verb = "del",
    .args = "DB KEY...",
    .summary = "delete records",
    .details =
        "All keys go in one transaction. A key that does not exist is named, the others are\n"
        "deleted, and the exit status is 1.",
    .example = "  kvctl del users.kv alice bob",
    .common = COMMON_DATABASE | COMMON_TABLE | COMMON_BYTES | COMMON_WRITE,
    .args_min = 2,
    .args_max = -1,
    .run = del_run,
};
