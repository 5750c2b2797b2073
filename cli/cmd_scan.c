/* SPDX-License-Identifier: MIT */
/*
 * kvctl scan: the records of a table in key order, a range of them, either way.
 *
 * --prefix, --from and --to come down to one half-open range [low, high): the greater of the lower
 * bounds, the lesser of the upper ones. Named tables, which stand in the main table as records of
 * their own kind, are left out; `kvctl tables` lists them.
 */
#include <string.h>

#include "args.h"
#include "buffer.h"
#include "command.h"
#include "json_out.h"
#include "options.h"
#include "out.h"
#include "progress.h"
#include "record_out.h"
#include "session.h"
#include "status.h"

static struct {
    char *prefix;
    char *from;
    char *to;
    bool reverse;
    bool keys_only;
    bool count;
    uint64_t limit;
} scan_options = {.limit = UINT64_MAX};

enum { SCAN_PREFIX = 1, SCAN_FROM, SCAN_TO, SCAN_REVERSE, SCAN_LIMIT, SCAN_KEYS, SCAN_COUNT };

static const struct option_row scan_rows[] = {
    {"prefix", 'p', SCAN_PREFIX, "KEY", "keys that start with KEY"},
    {"from", 'f', SCAN_FROM, "KEY", "keys that are not below KEY"},
    {"to", 'T', SCAN_TO, "KEY", "keys below KEY"},
    {"reverse", 'R', SCAN_REVERSE, NULL, "from the last to the first"},
    {"limit", 'n', SCAN_LIMIT, "N", "at most N records"},
    {"keys-only", 'k', SCAN_KEYS, NULL, "no values"},
    {"count", 'c', SCAN_COUNT, NULL, "print only how many there are"},
    {0},
};

struct range {
    struct kv_val low;  /* inclusive */
    struct kv_val high; /* exclusive */
    bool has_low;
    bool has_high;
    struct buffer end; /* where the end of a prefix stands */
};

static int scan_take(int id, char *arg)
{
    switch (id) {
    case SCAN_PREFIX:
        scan_options.prefix = arg;
        return STATUS_DONE;
    case SCAN_FROM:
        scan_options.from = arg;
        return STATUS_DONE;
    case SCAN_TO:
        scan_options.to = arg;
        return STATUS_DONE;
    case SCAN_LIMIT:
        return options_number("limit", arg, false, UINT64_MAX, &scan_options.limit);
    default:
        break;
    }
    scan_options.reverse = scan_options.reverse || id == SCAN_REVERSE;
    scan_options.keys_only = scan_options.keys_only || id == SCAN_KEYS;
    scan_options.count = scan_options.count || id == SCAN_COUNT;
    return STATUS_DONE;
}

static int compare_keys(const struct kv_val *a, const struct kv_val *b)
{
    size_t common_bytes = a->size < b->size ? a->size : b->size;
    int order = common_bytes ? memcmp(a->data, b->data, common_bytes) : 0;
    return order ? order : (a->size > b->size) - (a->size < b->size);
}

static void raise_low(struct range *range, const struct kv_val *key)
{
    if (!range->has_low || compare_keys(key, &range->low) > 0)
        range->low = *key;
    range->has_low = true;
}

static void lower_high(struct range *range, const struct kv_val *key)
{
    if (!range->has_high || compare_keys(key, &range->high) < 0)
        range->high = *key;
    range->has_high = true;
}

/* The range of a prefix ends at the least key above all that start with it: the prefix without the
 * bytes FF at its end, its last byte raised by one. A prefix of such bytes only has no end. */
static int narrow_to_prefix(struct range *range, const struct kv_val *prefix)
{
    const unsigned char *bytes = prefix->data;
    size_t size = prefix->size;
    while (size && bytes[size - 1] == 0xff)
        size--;
    raise_low(range, prefix);
    if (!size)
        return STATUS_DONE;
    if (buffer_set(&range->end, bytes, size))
        return status_failed("out of memory");
    range->end.data[size - 1]++;
    lower_high(range, &(struct kv_val){size, range->end.data});
    return STATUS_DONE;
}

static int build_range(enum encoding encoding, struct range *range)
{
    struct kv_val key;
    int status = STATUS_DONE;
    *range = (struct range){0};
    if (scan_options.from) {
        status = arg_decode(encoding, "--from", scan_options.from, &key);
        raise_low(range, &key);
    }
    if (scan_options.to && !status) {
        status = arg_decode(encoding, "--to", scan_options.to, &key);
        lower_high(range, &key);
    }
    if (scan_options.prefix && !status) {
        status = arg_decode(encoding, "--prefix", scan_options.prefix, &key);
        if (!status)
            status = narrow_to_prefix(range, &key);
    }
    return status;
}

static int seek_start(struct kv_cursor *cursor, const struct range *range, struct kv_val *key,
                      struct kv_val *value)
{
    if (!scan_options.reverse) {
        *key = range->low;
        return kv_cursor_get(cursor, range->has_low ? KV_AT_LEAST : KV_FIRST, key, value);
    }
    *key = range->high;
    int rc = kv_cursor_get(cursor, range->has_high ? KV_AT_MOST : KV_LAST, key, value);
    if (!rc && range->has_high && !compare_keys(key, &range->high))
        rc = kv_cursor_get(cursor, KV_PREV, key, value);
    return rc;
}

static bool in_range(const struct range *range, const struct kv_val *key)
{
    if (scan_options.reverse)
        return !range->has_low || compare_keys(key, &range->low) >= 0;
    return !range->has_high || compare_keys(key, &range->high) < 0;
}

static int walk(struct kv_cursor *cursor, const struct range *range,
                const struct record_style *style, uint64_t *count_out)
{
    enum kv_cursor_op step = scan_options.reverse ? KV_PREV : KV_NEXT;
    struct kv_val key;
    struct kv_val value;
    uint64_t seen = 0;
    if (!scan_options.limit)
        return STATUS_DONE;
    int rc = seek_start(cursor, range, &key, &value);
    while (!rc && in_range(range, &key) && !out_broken()) {
        if (++seen % 256 == 0)
            progress_update(seen);
        if (!kv_cursor_is_table(cursor)) {
            if (!scan_options.count)
                record_out(style, &key, &value);
            if (++*count_out >= scan_options.limit)
                return STATUS_DONE;
        }
        rc = kv_cursor_get(cursor, step, &key, &value);
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

static int scan_table(const struct session *session, const struct range *range)
{
    const struct common *common = session->common;
    struct record_style style = {
        .format = common->json ? RECORDS_JSON : RECORDS_TSV,
        .encoding = common->encoding,
        .keys_only = scan_options.keys_only,
    };
    struct kv_table_stat stat = {0};
    struct kv_cursor *cursor;
    uint64_t count = 0;
    int rc = kv_table_stat(session->txn, session->table, &stat);
    if (!rc)
        rc = kv_cursor_open(session->txn, session->table, &cursor);
    if (rc)
        return status_of(rc, "table %s", session_table_name(common->table));
    bool whole = !range->has_low && !range->has_high;
    progress_start(scan_options.count || out_is_file(), "records", whole ? stat.entries : 0);
    int status = walk(cursor, range, &style, &count);
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
    struct range range;
    int status = build_range(common->encoding, &range);
    if (!status) {
        status = session_read(&session, common);
        if (!status)
            status = scan_table(&session, &range);
        status = session_close(&session, status);
    }
    buffer_free(&range.end);
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
    .common = COMMON_DATABASE | COMMON_TABLE | COMMON_BYTES | COMMON_JSON,
    .args_min = 1,
    .args_max = 1,
    .options = scan_rows,
    .take = scan_take,
    .run = scan_run,
};
