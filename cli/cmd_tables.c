/* SPDX-License-Identifier: MIT */
/* kvctl tables: the named tables and how many records each has. */
#include <string.h>

#include "command.h"
#include "json_out.h"
#include "out.h"
#include "session.h"
#include "status.h"
#include "table_list.h"

static void write_line(const char *name, const struct kv_table_stat *stat)
{
    encode_out(ENCODING_TEXT, name, strlen(name));
    out_format("\t%llu\n", (unsigned long long)stat->entries);
}

static void write_object(struct json *json, const char *name, const struct kv_table_stat *stat)
{
    json_begin(json, NULL, '{');
    json_bytes(json, "name", name, strlen(name), false);
    json_number(json, "entries", stat->entries);
    json_number(json, "depth", stat->depth);
    json_number(json, "bytes", stat->bytes);
    json_end(json, '}');
}

static int list_one(struct session *session, struct json *json, const char *name)
{
    struct kv_table_stat stat;
    int status = session_use_table(session, name, false);
    if (status)
        return status;
    int rc = kv_table_stat(session->txn, session->table, &stat);
    if (rc)
        return status_of(rc, "table %s", name);
    if (session->common->json)
        write_object(json, name, &stat);
    else
        write_line(name, &stat);
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
        "A table is a line: name, tab, number of records. The main table has no name and is\n"
        "not listed.",
    .example = "  kvctl tables users.kv",
    .common = COMMON_DATABASE | COMMON_JSON,
    .args_min = 1,
    .args_max = 1,
    .run = tables_run,
};
