/* SPDX-License-Identifier: MIT */
/* kvctl del: records by key, values of keys, or a range of keys, in one txn. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "command.h"
#include "json_out.h"
#include "out.h"
#include "range.h"
#include "session.h"
#include "status.h"

static struct {
    bool range;
    char *value; /* as given; NULL: all values of the keys */
} del_options;

enum { DEL_RANGE = 1, DEL_VALUE };

static const struct option_row del_rows[] = {
    {"range", 'R', DEL_RANGE, NULL, "all keys of a range; tells how many records there were"},
    {"value", 'v', DEL_VALUE, "VALUE", "with duplicates: only this value of each KEY"},
    {0},
};

static int del_take(int id, char *arg)
{
    del_options.range = del_options.range || id == DEL_RANGE;
    if (id == DEL_VALUE)
        del_options.value = arg;
    return STATUS_DONE;
}

static int del_one(const struct session *session, char *arg, const struct kv_val *value)
{
    struct kv_val key;
    char *shown = strdup(arg); /* decoding changes the argument */
    int status = shown ? STATUS_DONE : status_failed("out of memory");
    if (!status)
        status = arg_decode(session->common->encoding, "key", arg, &key);
    if (!status) {
        int rc = kv_del(session->txn, session->table, &key, value);
        if (rc)
            status = status_of(rc, "key %s", shown);
    }
    free(shown);
    return status;
}

static int del_keys(struct session *session, int argc, char **argv, bool *missing_out)
{
    struct kv_val value;
    int status = STATUS_DONE;
    *missing_out = false;
    if (del_options.value)
        status = arg_decode(session->common->encoding, "--value", del_options.value, &value);
    for (int i = 1; i < argc && !status; i++) {
        status = del_one(session, argv[i], del_options.value ? &value : NULL);
        *missing_out = *missing_out || status == STATUS_NEGATIVE;
        status = status == STATUS_NEGATIVE ? STATUS_DONE : status;
    }
    return status;
}

static int del_range(struct session *session, struct range *range, uint64_t *deleted_out)
{
    int status = range_fit(range, session);
    if (!status) {
        int rc = kv_del_range(session->txn, session->table, &range->bounds, deleted_out);
        status = rc ? status_of(rc, "cannot delete the range") : STATUS_DONE;
    }
    return status;
}

static void write_deleted(const struct common *common, uint64_t deleted)
{
    struct json json = {0};
    if (!common->json) {
        out_format("%" PRIu64 "\n", deleted);
        return;
    }
    json_begin(&json, NULL, '{');
    json_number(&json, "deleted", deleted);
    json_end(&json, '}');
}

static int check_usage(const struct common *common, int argc)
{
    if (del_options.range && argc > 1)
        return status_usage("both --range and keys given");
    if (del_options.range && del_options.value)
        return status_usage("both --range and --value given");
    if (del_options.range && !range_given(common))
        return status_usage("--range wants --prefix, --from or --to; see 'kvctl drop --empty'");
    if (!del_options.range && range_given(common))
        return status_usage("--prefix, --from and --to go with --range");
    return del_options.range || argc > 1 ? STATUS_DONE : status_usage("no key given");
}

static int del_run(const struct common *common, int argc, char **argv)
{
    struct session session;
    struct range range = {0};
    uint64_t deleted = 0;
    bool missing = false;
    int status = check_usage(common, argc);
    if (!status)
        status = range_take(&range, common);
    if (status)
        return status;
    status = session_write(&session, common, false);
    if (!status)
        status = del_options.range ? del_range(&session, &range, &deleted)
                                   : del_keys(&session, argc, argv, &missing);
    if (!status)
        status = session_commit(&session);
    status = session_close(&session, status);
    range_free(&range);
    if (!status && del_options.range)
        write_deleted(common, deleted);
    return missing && !status ? STATUS_NEGATIVE : status;
}

const struct command cmd_del = {
    .verb = "del",
    .args = "DB [KEY]...",
    .summary = "delete records",
    .details =
        "All keys go in one transaction. A key that does not exist is named, the others are\n"
        "deleted, and the exit status is 1. A key with many values goes with all of them.",
    .example = "  kvctl del users.kv alice bob\n"
               "  kvctl del --range --prefix session: users.kv",
    .common =
        COMMON_DATABASE | COMMON_TABLE | COMMON_BYTES | COMMON_JSON | COMMON_WRITE | COMMON_RANGE,
    .args_min = 1,
    .args_max = -1,
    .options = del_rows,
    .take = del_take,
    .run = del_run,
};
