/* SPDX-License-Identifier: MIT */
/* kvctl tables: the named tables and how many records each has. */
#include <string.h>

#include "command.h"
#include "json_out.h"
#include "out.h"
#include "session.h"
#include "shape.h"
#include "status.h"
#include "table_list.h"

#define KIND_BYTES 200 /* of a table's description */

static void write_line(const char *name, const struct kv_table_stat *stat, const char *kind)
{
    encode_out(ENCODING_TEXT, name, strlen(name));
    out_format("\t%llu", (unsigned long long)stat->entries);
    out_format(*kind ? "\t%s\n" : "\n", kind);
}

static void write_object(struct json *json, const char *name, const struct kv_table_stat *stat,
                         const char *kind)
{
    json_begin(json, NULL, '{');
    json_bytes(json, "name", name, strlen(name), false);
    json_number(json, "entries", stat->entries);
    json_number(json, "keys", stat->keys);
    json_text(json, "kind", *kind ? kind : "plain");
    json_number(json, "depth", stat->depth);
    json_number(json, "bytes", stat->bytes);
    json_end(json, '}');
}

static int list_one(struct session *session, struct json *json, const char *name)
{
    struct kv_table_options options;
    char kind[KIND_BYTES];
    struct kv_table_stat stat;
    int status = session_use_table(session, name, false, NULL);
    if (status)
        return status;
    int rc = kv_table_stat(session->txn, session->table, &stat);
    if (!rc)
        rc = kv_table_options(session->txn, session->table, &options);
    if (rc)
        return status_of(rc, "table %s", name);
    shape_describe(&options, kind, sizeof kind);
    if (session->common->json)
        write_object(json, name, &stat, kind);
    else
        write_line(name, &stat, kind);
    return STATUS_DONE;
}

static int list_all(struct session *session)
{
    struct json json = {0};
    struct table_list list = {0};
    int rc = table_list_read(&list, session->txn);
    int status = rc ? status_of(rc, "cannot list the tables") : STATUS_DONE;
    if (session->common->json)
        json_begin(&json, NULL, '[');
    for (size_t i = 0; i < list.count && !status && !out_broken(); i++)
        status = list_one(session, &json, list.names[i]);
    if (session->common->json)
        json_end(&json, ']');
    table_list_free(&list);
    return status;
}

static int tables_run(const struct common *common, int argc, char **argv)
{
    (void)argc;
    (void)argv;
    struct session session;
    int status = session_read(&session, common);
    if (!status)
        status = list_all(&session);
    return session_close(&session, status);
}

const struct command cmd_tables = {
    .verb = "tables",
    .args = "DB",
    .summary = "list the named tables",
    .details =
        "A table is a line: name, tab, number of records, and, unless it is an ordinary one, tab\n"
        "and what kind it is. The main table has no name and is not listed.",
    .example = "  kvctl tables users.kv",
    .common = COMMON_DATABASE | COMMON_JSON,
    .args_min = 1,
    .args_max = 1,
    .run = tables_run,
};
