/* SPDX-License-Identifier: MIT */
/*
 * kvctl count: how many records a range of keys has. At once where the table counts, else by
 * reading the range, or by an estimate.
 */
#include <inttypes.h>
#include <string.h>

#include "command.h"
#include "json_out.h"
#include "out.h"
#include "progress.h"
#include "range.h"
#include "session.h"
#include "status.h"

#define RECORDS_A_CALL 512u

static struct {
    bool keys;
    bool estimate;
} count_options;

enum { COUNT_KEYS = 1, COUNT_ESTIMATE };

static const struct option_row count_rows[] = {
    {"keys", 'k', COUNT_KEYS, NULL, "with duplicates: keys, not their values"},
    {"estimate", 'e', COUNT_ESTIMATE, NULL, "about how many, by a few page reads"},
    {0},
};

static int count_take(int id, char *arg)
{
    (void)arg;
    count_options.keys = count_options.keys || id == COUNT_KEYS;
    count_options.estimate = count_options.estimate || id == COUNT_ESTIMATE;
    return STATUS_DONE;
}

/* A table that does not count: reads the range. */
static int count_by_reading(const struct session *session, const struct kv_range *range,
                            uint64_t *count_out)
{
    struct kv_record records[RECORDS_A_CALL];
    struct kv_cursor *cursor;
    size_t got;
    int rc = kv_cursor_open(session->txn, session->table, &cursor);
    if (rc)
        return rc;
    rc = kv_cursor_bound(cursor, range);
    while (!rc) {
        rc = kv_cursor_read(cursor, KV_NEXT, records, RECORDS_A_CALL, &got);
        *count_out += rc ? 0 : got;
        progress_update(*count_out);
    }
    kv_cursor_close(cursor);
    return rc == KV_ENOTFOUND ? 0 : rc;
}

static int count_range(const struct session *session, const struct kv_range *range,
                       uint64_t *count_out)
{
    uint32_t flags =
        (count_options.keys ? KV_KEYS : 0) | (count_options.estimate ? KV_ESTIMATE : 0);
    struct kv_table_options options;
    int rc = kv_table_options(session->txn, session->table, &options);
    if (rc)
        return rc;
    if (count_options.estimate || options.flags & (KV_COUNTED | KV_DUPLICATES))
        return kv_count(session->txn, session->table, range, flags, count_out);
    progress_start(true, "records", 0);
    rc = count_by_reading(session, range, count_out);
    progress_end();
    return rc;
}

static void write_count(const struct common *common, uint64_t count)
{
    struct json json = {0};
    if (!common->json) {
        out_format("%" PRIu64 "\n", count);
        return;
    }
    json_begin(&json, NULL, '{');
    json_number(&json, "count", count);
    json_bool(&json, "estimate", count_options.estimate);
    json_end(&json, '}');
}

static int count_run(const struct common *common, int argc, char **argv)
{
    (void)argc;
    (void)argv;
    struct session session;
    struct range range = {0};
    uint64_t count = 0;
    int status = range_take(&range, common);
    if (status)
        return status;
    status = session_read(&session, common);
    if (!status)
        status = range_fit(&range, &session);
    if (!status) {
        int rc = count_range(&session, &range.bounds, &count);
        status = rc ? status_of(rc, "table %s", session_table_name(common->table)) : STATUS_DONE;
    }
    status = session_close(&session, status);
    range_free(&range);
    if (!status)
        write_count(common, count);
    return status;
}

const struct command cmd_count = {
    .verb = "count",
    .args = "DB",
    .summary = "print how many records a range has",
    .details = "At once in tables made with --counted or --dup; others are read, or --estimate.\n"
               "In the main table named tables count as records.",
    .example = "  kvctl count --prefix user: --estimate users.kv",
    .common = COMMON_DATABASE | COMMON_TABLE | COMMON_BYTES | COMMON_JSON | COMMON_RANGE,
    .args_min = 1,
    .args_max = 1,
    .options = count_rows,
    .take = count_take,
    .run = count_run,
};
