/* SPDX-License-Identifier: MIT */
/* kvctl stat: a database, the newest snapshot and one table in figures. */
#include <inttypes.h>
#include <string.h>

#include "command.h"
#include "json_out.h"
#include "out.h"
#include "session.h"
#include "status.h"

/* One figure; `group` NULL: of the database. The order is that of the output. */
struct figure {
    const char *group;
    const char *name;
    uint64_t number;
};

struct figures {
    struct kv_env_info info;
    struct kv_env_stat snapshot;
    struct kv_table_stat table;
    uint64_t limit_bytes; /* stored; 0: none */
    char file_id[33];
};

static void spell_file_id(struct figures *figures)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < sizeof figures->info.file_id; i++) {
        figures->file_id[2 * i] = digits[figures->info.file_id[i] >> 4];
        figures->file_id[2 * i + 1] = digits[figures->info.file_id[i] & 15];
    }
}

/* The env is asked before the txn begins, so that it does not count as a reader. */
static int read_figures(struct session *session, const struct common *common,
                        struct figures *figures)
{
    int status = session_open(session, common, KV_READONLY);
    if (status)
        return status;
    int rc = kv_env_info(session->env, &figures->info);
    if (rc)
        return status_of(rc, "%s", common->path);
    spell_file_id(figures);
    status = session_begin_read(session);
    if (!status)
        status = session_use_table(session, common->table, false, NULL);
    if (status)
        return status;
    rc = kv_env_stat(session->txn, &figures->snapshot);
    if (!rc)
        rc = kv_limit_get(session->txn, &figures->limit_bytes);
    if (!rc)
        rc = kv_table_stat(session->txn, session->table, &figures->table);
    return rc ? status_of(rc, "%s", common->path) : STATUS_DONE;
}

/* Calls `write` for each figure with the group it belongs to. */
static void each_figure(const struct figures *f, void *context,
                        void (*write)(void *context, const struct figure *figure))
{
    const struct figure all[] = {
        {NULL, "page_size", f->info.page_size},
        {NULL, "file_size_bytes", f->info.file_size_bytes},
        {NULL, "map_size_bytes", f->info.map_size_bytes},
        {NULL, "max_size_bytes", f->info.max_size_bytes},
        {NULL, "max_key_bytes", f->info.max_key_bytes},
        {NULL, "max_value_bytes", f->info.max_value_bytes},
        {NULL, "max_pair_bytes", f->info.max_pair_bytes},
        {NULL, "txnid_committed", f->info.txnid_committed},
        {NULL, "txnid_visible", f->info.txnid_visible},
        {NULL, "txnid_durable", f->info.txnid_durable},
        {NULL, "readers", f->info.readers},
        {NULL, "processes", f->info.processes},
        {"snapshot", "txnid", f->snapshot.txnid},
        {"snapshot", "tables", f->snapshot.tables},
        {"snapshot", "pages_end", f->snapshot.pages_end},
        {"snapshot", "pages_used", f->snapshot.pages_used},
        {"snapshot", "pages_free", f->snapshot.pages_free},
        {"snapshot", "pages_map", f->snapshot.pages_map},
        {"snapshot", "limit_bytes", f->limit_bytes},
        {"table", "entries", f->table.entries},
        {"table", "keys", f->table.keys},
        {"table", "depth", f->table.depth},
        {"table", "pages_branch", f->table.pages_branch},
        {"table", "pages_leaf", f->table.pages_leaf},
        {"table", "pages_overflow", f->table.pages_overflow},
        {"table", "bytes", f->table.bytes},
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        write(context, &all[i]);
}

static void write_group_line(const char *group, const char *table)
{
    out_text(group);
    if (!strcmp(group, "table")) {
        out_byte(' ');
        encode_out(ENCODING_TEXT, session_table_name(table), strlen(session_table_name(table)));
    }
    out_byte('\n');
}

struct text_writer {
    const char *table;
    const char *group; /* of the last figure */
};

static void write_line(void *context, const struct figure *figure)
{
    struct text_writer *writer = context;
    if (figure->group && (!writer->group || strcmp(writer->group, figure->group) != 0))
        write_group_line(figure->group, writer->table);
    writer->group = figure->group;
    out_format("  %-18s %" PRIu64 "\n", figure->name, figure->number);
}

struct json_writer {
    struct json json;
    const char *table;
    const char *group;
};

static void write_member(void *context, const struct figure *figure)
{
    struct json_writer *writer = context;
    struct json *json = &writer->json;
    if (figure->group && (!writer->group || strcmp(writer->group, figure->group) != 0)) {
        if (writer->group)
            json_end(json, '}');
        json_begin(json, figure->group, '{');
        if (!strcmp(figure->group, "table") && writer->table)
            json_bytes(json, "name", writer->table, strlen(writer->table), false);
        else if (!strcmp(figure->group, "table"))
            json_null(json, "name");
    }
    writer->group = figure->group;
    json_number(json, figure->name, figure->number);
}

static void write_json(const struct common *common, const struct figures *figures)
{
    struct json_writer writer = {.table = common->table};
    json_begin(&writer.json, NULL, '{');
    json_bytes(&writer.json, "path", common->path, strlen(common->path), false);
    json_text(&writer.json, "file_id", figures->file_id);
    each_figure(figures, &writer, write_member);
    json_end(&writer.json, '}');
    json_end(&writer.json, '}');
}

static void write_text(const struct common *common, const struct figures *figures)
{
    struct text_writer writer = {.table = common->table};
    out_text("database ");
    encode_out(ENCODING_TEXT, common->path, strlen(common->path));
    out_format("\n  %-18s %s\n", "file_id", figures->file_id);
    each_figure(figures, &writer, write_line);
}

static int stat_run(const struct common *common, int argc, char **argv)
{
    (void)argc;
    (void)argv;
    struct session session;
    struct figures figures = {0};
    int status = read_figures(&session, common, &figures);
    if (!status && common->json)
        write_json(common, &figures);
    else if (!status)
        write_text(common, &figures);
    return session_close(&session, status);
}

const struct command cmd_stat = {
    .verb = "stat",
    .args = "DB",
    .summary = "print figures of a database and a table",
    .example = "  kvctl stat --json users.kv",
    .common = COMMON_DATABASE | COMMON_TABLE | COMMON_JSON,
    .args_min = 1,
    .args_max = 1,
    .run = stat_run,
};
