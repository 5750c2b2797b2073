/* SPDX-License-Identifier: MIT */
/* kvctl get: the values of keys, all from one snapshot. */
#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "command.h"
#include "out.h"
#include "record_out.h"
#include "session.h"
#include "status.h"

static void write_value(const struct common *common, const struct kv_val *key,
                        const struct kv_val *value)
{
    if (common->json) {
        record_out(&(struct record_style){.format = RECORDS_JSON, .encoding = common->encoding},
                   key, value);
        return;
    }
    encode_out(common->encoding, value->data, value->size);
    if (common->encoding != ENCODING_RAW)
        out_byte('\n');
}

static int get_one(const struct session *session, char *arg)
{
    struct kv_val key;
    struct kv_val value;
    char *shown = strdup(arg); /* decoding changes the argument */
    int status = shown ? STATUS_DONE : status_failed("out of memory");
    if (!status)
        status = arg_decode(session->common->encoding, "key", arg, &key);
    if (!status) {
        int rc = kv_get(session->txn, session->table, &key, &value);
        if (rc)
            status = status_of(rc, "key %s", shown);
        else
            write_value(session->common, &key, &value);
    }
    free(shown);
    return status;
}

static int get_run(const struct common *common, int argc, char **argv)
{
    struct session session;
    bool missing = false;
    int status = session_read(&session, common);
    for (int i = 1; i < argc && !status && !out_broken(); i++) {
        status = get_one(&session, argv[i]);
        missing = missing || status == STATUS_NEGATIVE;
        status = status == STATUS_NEGATIVE ? STATUS_DONE : status;
    }
    status = session_close(&session, status);
    return missing && !status ? STATUS_NEGATIVE : status;
}

const struct command cmd_get = {
    .verb = "get",
    .args = "DB KEY...",
    .summary = "print the values of keys",
    .details =
        "A value stands on a line of its own, escaped as 'kvctl help scan' says; --raw writes\n"
        "its bytes and nothing else. Exit status 1 if a key was not found.",
    .example = "  kvctl get --raw users.kv alice > alice.bin",
    .common = COMMON_DATABASE | COMMON_TABLE | COMMON_BYTES | COMMON_JSON,
    .args_min = 2,
    .args_max = -1,
    .run = get_run,
};
