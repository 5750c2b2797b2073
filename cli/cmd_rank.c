/* SPDX-License-Identifier: MIT */
/* kvctl rank: how many records stand before a key, or a value of it. */
#include <inttypes.h>

#include "args.h"
#include "command.h"
#include "json_out.h"
#include "out.h"
#include "session.h"
#include "status.h"

static struct {
    bool keys;
} rank_options;

enum { RANK_KEYS = 1 };

static const struct option_row rank_rows[] = {
    {"keys", 'k', RANK_KEYS, NULL, "with duplicates: count keys, not their values"},
    {0},
};

static int rank_take(int id, char *arg)
{
    (void)arg;
    rank_options.keys = rank_options.keys || id == RANK_KEYS;
    return STATUS_DONE;
}

static void write_rank(const struct common *common, uint64_t rank)
{
    struct json json = {0};
    if (!common->json) {
        out_format("%" PRIu64 "\n", rank);
        return;
    }
    json_begin(&json, NULL, '{');
    json_number(&json, "rank", rank);
    json_end(&json, '}');
}

static int rank_run(const struct common *common, int argc, char **argv)
{
    struct session session;
    struct kv_val key, value;
    uint64_t rank = 0;
    int status = arg_decode(common->encoding, "key", argv[1], &key);
    if (!status && argc == 3)
        status = arg_decode(common->encoding, "value", argv[2], &value);
    if (status)
        return status;
    status = session_read(&session, common);
    if (!status) {
        int rc = kv_rank(session.txn, session.table, &key, argc == 3 ? &value : NULL,
                         rank_options.keys ? KV_KEYS : 0, &rank);
        status = rc ? status_of(rc, "table %s", session_table_name(common->table)) : STATUS_DONE;
    }
    status = session_close(&session, status);
    if (!status)
        write_rank(common, rank);
    return status;
}

const struct command cmd_rank = {
    .verb = "rank",
    .args = "DB KEY [VALUE]",
    .summary = "print how many records stand before a key",
    .details = "The key need not exist. With VALUE: before that value of the key. The table must\n"
               "count: see --counted and --dup of 'kvctl put' and 'kvctl load'.",
    .example = "  kvctl rank -t scores games.kv alice",
    .common = COMMON_DATABASE | COMMON_TABLE | COMMON_BYTES | COMMON_JSON,
    .args_min = 2,
    .args_max = 3,
    .options = rank_rows,
    .take = rank_take,
    .run = rank_run,
};
