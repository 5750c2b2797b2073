/* SPDX-License-Identifier: MIT */
/*
 * kvctl scan: the records of a table in key order, a range of them, either way.
 *
 * Named tables, which stand in the main table as records of their own kind, are left out; `kvctl
 * tables` lists them. With duplicates a record is printed for each value.
 */
#include <string.h>

#include "command.h"
#include "json_out.h"
#include "options.h"
#include "out.h"
#include "progress.h"
#include "range.h"
#include "record_out.h"
#include "session.h"
#include "status.h"

static struct {
    bool reverse;
    bool keys_only;
    bool count;
    uint64_t limit;
} scan_options = {.limit = UINT64_MAX};

enum { SCAN_REVERSE = 1, SCAN_LIMIT, SCAN_KEYS, SCAN_COUNT };

static const struct option_row scan_rows[] = {
    {"reverse", 'R', SCAN_REVERSE, NULL, "from the last to the first"},
    {"limit", 'n', SCAN_LIMIT, "N", "at most N records"},
    {"keys-only", 'k', SCAN_KEYS, NULL, "no values"},
    {"count", 'c', SCAN_COUNT, NULL, "print only how many there are"},
    {0},
};

static int scan_take(int id, char *arg)
{
    if (id == SCAN_LIMIT)
        return options_number("limit", arg, false, UINT64_MAX, &scan_options.limit);
    scan_options.reverse = scan_options.reverse || id == SCAN_REVERSE;
    scan_options.keys_only = scan_options.keys_only || id == SCAN_KEYS;
    scan_options.count = scan_options.count || id == SCAN_COUNT;
    return STATUS_DONE;
}

static int walk(struct kv_cursor *cursor, const struct record_style *style, uint64_t *count_out)
{
    enum kv_cursor_op step = scan_options.reverse ? KV_PREV : KV_NEXT;
    struct kv_val key;
    struct kv_val value;
    uint64_t seen = 0;
    int rc = 0;
    if (!scan_options.limit)
        return STATUS_DONE;
    while (!out_broken() && !(rc = kv_cursor_get(cursor, step, &key, &value))) {
        if (++seen % 256 == 0)
            progress_update(seen);
        if (kv_cursor_is_table(cursor))
            continue;
        if (!scan_options.count)
            record_out(style, &key, &value);
        if (++*count_out >= scan_options.limit)
            return STATUS_DONE;
    }
    return rc && rc != KV_ENOTFOUND ? status_of(rc, "cannot read on") : STATUS_DONE;
}

static void write_count(const struct common *common, uint64_t count)
{
    struct json json = {0};
    if (!common->json) {
        out_format("%llu\n", (unsigned long long)count);
        return;
    }
    json_begin(&json, NULL, '{');
    json_number(&json, "count", count);
    json_end(&json, '}');
}

static int scan_range(const struct session *session, const struct range *range)
{
    const struct common *common = session->common;
    struct record_style style = {
        .format = common->json ? RECORDS_JSON : RECORDS_TSV,
        .encoding = common->encoding,
        .keys_only = scan_options.keys_only,
    };
    struct kv_table_stat stat = {0};
    struct kv_cursor *cursor = NULL;
    uint64_t count = 0;
    int rc = kv_table_stat(session->txn, session->table, &stat);
    if (!rc)
        rc = kv_cursor_open(session->txn, session->table, &cursor);
    if (!rc && range_given(common))
        rc = kv_cursor_bound(cursor, &range->bounds);
    if (rc) {
        kv_cursor_close(cursor);
        return status_of(rc, "table %s", session_table_name(common->table));
    }
    progress_start(scan_options.count || out_is_file(), "records",
                   range_given(common) ? 0 : stat.entries);
    int status = walk(cursor, &style, &count);
    progress_end();
    kv_cursor_close(cursor);
    if (!status && scan_options.count)
        write_count(common, count);
    return status;
}

static int scan_run(const struct common *common, int argc, char **argv)
{
    (void)argc;
    (void)argv;
    struct session session;
    struct range range = {0};
    int status = range_take(&range, common);
    if (status)
        return status;
    status = session_read(&session, common);
    if (!status)
        status = range_fit(&range, &session);
    if (!status)
        status = scan_range(&session, &range);
    status = session_close(&session, status);
    range_free(&range);
    return status;
}

const struct command cmd_scan = {
    .verb = "scan",
    .args = "DB",
    .summary = "print records in key order",
    .details =
        "A record is a line: key, tab, value. Text that is UTF-8 stands as it is; a backslash\n"
        "is \\\\, tab, newline and carriage return are \\t \\n \\r, any other control character or\n"
        "byte is \\xHH. 'kvctl load' reads it back. With --json, a JSON object a line.",
    .example = "  kvctl scan --prefix user: --limit 10 users.kv",
    .common = COMMON_DATABASE | COMMON_TABLE | COMMON_BYTES | COMMON_JSON | COMMON_RANGE,
    .args_min = 1,
    .args_max = 1,
    .options = scan_rows,
    .take = scan_take,
    .run = scan_run,
};
