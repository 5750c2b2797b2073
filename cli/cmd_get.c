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

/* All values of the key, in order. A result of kv.h. */
static int get_values(const struct session *session, struct kv_val *key)
{
    struct kv_val value;
    struct kv_cursor *cursor;
    int rc = kv_cursor_open(session->txn, session->table, &cursor);
    if (rc)
        return rc;
    rc = kv_cursor_get(cursor, KV_EXACT, key, &value);
    bool found = !rc;
    while (!rc && !out_broken()) {
        write_value(session->common, key, &value);
        rc = kv_cursor_get(cursor, KV_NEXT_VALUE, key, &value);
    }
    kv_cursor_close(cursor);
    return found && rc == KV_ENOTFOUND ? 0 : rc;
}

static int get_value(const struct session *session, const struct kv_val *key)
{
    struct kv_val value;
    int rc = kv_get(session->txn, session->table, key, &value);
    if (!rc)
        write_value(session->common, key, &value);
    return rc;
}

static int get_one(const struct session *session, char *arg, bool duplicates)
{
    struct kv_val key;
    char *shown = strdup(arg); /* decoding changes the argument */
    int status = shown ? STATUS_DONE : status_failed("out of memory");
    if (!status)
        status = arg_decode(session->common->encoding, "key", arg, &key);
    if (!status) {
        int rc = duplicates ? get_values(session, &key) : get_value(session, &key);
        if (rc)
            status = status_of(rc, "key %s", shown);
    }
    free(shown);
    return status;
}

static int get_run(const struct common *common, int argc, char **argv)
{
    struct session session;
    bool missing = false;
    struct kv_table_options options = KV_TABLE_OPTIONS_INIT;
    int status = session_read(&session, common);
    if (!status) {
        int rc = kv_table_options(session.txn, session.table, &options);
        status = rc ? status_of(rc, "table %s", session_table_name(common->table)) : STATUS_DONE;
    }
    for (int i = 1; i < argc && !status && !out_broken(); i++) {
        status = get_one(&session, argv[i], options.flags & KV_DUPLICATES);
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
        "its bytes and nothing else. With duplicates all values of a key are written, in order.\n"
        "Exit status 1 if a key was not found.",
    .example = "  kvctl get --raw users.kv alice > alice.bin",
    .common = COMMON_DATABASE | COMMON_TABLE | COMMON_BYTES | COMMON_JSON,
    .args_min = 2,
    .args_max = -1,
    .run = get_run,
};
