/* SPDX-License-Identifier: MIT */
/* kvctl nth: records by their number in a table, or in a range of it. */
#include "command.h"
#include "options.h"
#include "out.h"
#include "range.h"
#include "record_out.h"
#include "session.h"
#include "status.h"

static struct {
    bool keys;
} nth_options;

enum { NTH_KEYS = 1 };

static const struct option_row nth_rows[] = {
    {"keys", 'k', NTH_KEYS, NULL, "with duplicates: number keys, not their values"},
    {0},
};

static int nth_take(int id, char *arg)
{
    (void)arg;
    nth_options.keys = nth_options.keys || id == NTH_KEYS;
    return STATUS_DONE;
}

static int nth_one(const struct common *common, struct kv_cursor *cursor, const char *arg)
{
    struct record_style style = {
        .format = common->json ? RECORDS_JSON : RECORDS_TSV,
        .encoding = common->encoding,
    };
    struct kv_val key, value;
    uint64_t number;
    int status = options_number("N", arg, false, UINT64_MAX, &number);
    if (status)
        return status;
    int rc = kv_cursor_nth(cursor, number, nth_options.keys ? KV_KEYS : 0, &key, &value);
    if (rc)
        return status_of(rc, "record %s", arg);
    record_out(&style, &key, &value);
    return STATUS_DONE;
}

static int nth_all(const struct session *session, const struct range *range, int argc, char **argv,
                   bool *missing_out)
{
    struct kv_cursor *cursor;
    int rc = kv_cursor_open(session->txn, session->table, &cursor);
    int status = rc ? status_of(rc, "cannot read the table") : STATUS_DONE;
    if (!status && range_given(session->common)) {
        rc = kv_cursor_bound(cursor, &range->bounds);
        status = rc ? status_of(rc, "cannot read the range") : STATUS_DONE;
    }
    for (int i = 1; i < argc && !status && !out_broken(); i++) {
        status = nth_one(session->common, cursor, argv[i]);
        *missing_out = *missing_out || status == STATUS_NEGATIVE;
        status = status == STATUS_NEGATIVE ? STATUS_DONE : status;
    }
    kv_cursor_close(cursor);
    return status;
}

static int nth_run(const struct common *common, int argc, char **argv)
{
    struct session session;
    struct range range = {0};
    bool missing = false;
    int status = range_take(&range, common);
    if (status)
        return status;
    status = session_read(&session, common);
    if (!status)
        status = range_fit(&range, &session);
    if (!status)
        status = nth_all(&session, &range, argc, argv, &missing);
    status = session_close(&session, status);
    range_free(&range);
    return missing && !status ? STATUS_NEGATIVE : status;
}

const struct command cmd_nth = {
    .verb = "nth",
    .args = "DB N...",
    .summary = "print records by their number in key order",
    .details = "The first record has number 0. The table must count: see --counted and --dup of\n"
               "'kvctl put' and 'kvctl load'. With a range, numbers count from its first record.",
    .example = "  kvctl nth -t scores games.kv 0 1 2",
    .common = COMMON_DATABASE | COMMON_TABLE | COMMON_BYTES | COMMON_JSON | COMMON_RANGE,
    .args_min = 2,
    .args_max = -1,
    .options = nth_rows,
    .take = nth_take,
    .run = nth_run,
};
