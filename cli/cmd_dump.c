/* SPDX-License-Identifier: MIT */
/*
 * kvctl dump: a table, or all of them, as text that `kvctl load` reads.
 *
 * In the Berkeley format each table is a section with a header. mdb_load sizes its map by the
 * header of the first section, so that each names a size that all tables fit into with room to
 * spare: LMDB reserves address space, not disk. The main table goes first, since mdb_load takes a
 * section without a name for the main one only there. db_load knows no mapsize: --mapsize 0 leaves
 * it out. mdb_dump's db_pagesize is left out always: mdb_load ignores it with a warning.
 */
#include <string.h>

#include "command.h"
#include "dump_header.h"
#include "json_out.h"
#include "options.h"
#include "out.h"
#include "progress.h"
#include "record_out.h"
#include "session.h"
#include "status.h"
#include "table_list.h"

#define MAPSIZE_ROOM_BYTES ((uint64_t)16 << 20) /* what a small database gets at least */
#define MAPSIZE_STEP_BYTES ((uint64_t)1 << 20)  /* any page size divides it */

static struct {
    bool all;
    bool print;
    bool mapsize_given;
    uint64_t mapsize_bytes;
    enum record_format format;
} dump_options = {.format = RECORDS_DUMP};

enum { DUMP_ALL = 1, DUMP_PRINT, DUMP_FORMAT, DUMP_MAPSIZE };

static const struct option_row dump_rows[] = {
    {"all", 'a', DUMP_ALL, NULL, "the main table and every named one"},
    {"format", 'f', DUMP_FORMAT, "FORMAT", "bdb (default), tsv or json"},
    {"print", 'p', DUMP_PRINT, NULL, "bdb: printable characters as they are"},
    {"mapsize", 0, DUMP_MAPSIZE, "BYTES", "bdb: map size for mdb_load; 0: none, for db_load"},
    {0},
};

struct dump {
    struct session *session;
    struct record_style style;
    uint64_t mapsize_bytes;
    uint64_t done; /* records written, all tables */
};

static int take_format(const char *arg)
{
    if (!strcmp(arg, "bdb"))
        dump_options.format = RECORDS_DUMP;
    else if (!strcmp(arg, "tsv"))
        dump_options.format = RECORDS_TSV;
    else if (!strcmp(arg, "json"))
        dump_options.format = RECORDS_JSON;
    else
        return status_usage("no format '%s'", arg);
    return STATUS_DONE;
}

static int dump_take(int id, char *arg)
{
    switch (id) {
    case DUMP_FORMAT:
        return take_format(arg);
    case DUMP_MAPSIZE:
        dump_options.mapsize_given = true;
        return options_number("mapsize", arg, true, UINT64_MAX, &dump_options.mapsize_bytes);
    default:
        break;
    }
    dump_options.all = dump_options.all || id == DUMP_ALL;
    dump_options.print = dump_options.print || id == DUMP_PRINT;
    return STATUS_DONE;
}

static int write_records(struct dump *dump, const char *table)
{
    struct kv_cursor *cursor;
    struct kv_val key;
    struct kv_val value;
    int rc = kv_cursor_open(dump->session->txn, dump->session->table, &cursor);
    if (rc)
        return status_of(rc, "table %s", session_table_name(table));
    while (!(rc = kv_cursor_get(cursor, KV_NEXT, &key, &value)) && !out_broken()) {
        if (!kv_cursor_is_table(cursor))
            record_out(&dump->style, &key, &value);
        if (++dump->done % 256 == 0)
            progress_update(dump->done);
    }
    kv_cursor_close(cursor);
    return rc && rc != KV_ENOTFOUND ? status_of(rc, "cannot read on") : STATUS_DONE;
}

/* In JSON a table stands in its records; one without any gets a line of its own. */
static void write_empty_table(const char *table)
{
    struct json json = {0};
    json_begin(&json, NULL, '{');
    json_bytes(&json, "table", table, strlen(table), false);
    json_end(&json, '}');
}

static int dump_table(struct dump *dump, const char *table)
{
    struct kv_table_options options;
    struct kv_table_stat stat;
    int status = session_use_table(dump->session, table, false, NULL);
    if (status)
        return status;
    int rc = kv_table_stat(dump->session->txn, dump->session->table, &stat);
    if (!rc)
        rc = kv_table_options(dump->session->txn, dump->session->table, &options);
    if (rc)
        return status_of(rc, "table %s", session_table_name(table));
    if (table && strchr(table, '\n') && dump->style.format == RECORDS_DUMP)
        return status_failed("table %s: a name with a newline has no place in this format", table);
    dump->style.table = dump_options.all ? table : NULL;
    if (dump->style.format == RECORDS_DUMP)
        dump_header_out(dump->style.encoding, table, &options, dump->mapsize_bytes);
    else if (dump->style.format == RECORDS_JSON && dump->style.table && !stat.entries)
        write_empty_table(table);
    status = write_records(dump, table);
    if (dump->style.format == RECORDS_DUMP && !status)
        dump_footer_out();
    return status;
}

static int dump_all(struct dump *dump)
{
    struct table_list list = {0};
    int rc = table_list_read(&list, dump->session->txn);
    int status = rc ? status_of(rc, "cannot list the tables") : dump_table(dump, NULL);
    for (size_t i = 0; i < list.count && !status && !out_broken(); i++)
        status = dump_table(dump, list.names[i]);
    table_list_free(&list);
    return status;
}

static int prepare(struct dump *dump, const struct common *common)
{
    struct kv_env_stat stat;
    struct kv_table_stat table;
    int rc = kv_env_stat(dump->session->txn, &stat);
    if (!rc)
        rc = kv_table_stat(dump->session->txn, dump->session->table, &table);
    if (rc)
        return status_of(rc, "%s", common->path);
    uint64_t room = MAPSIZE_ROOM_BYTES + 4 * stat.pages_used * table.page_size;
    dump->mapsize_bytes =
        dump_options.mapsize_given ? dump_options.mapsize_bytes : room - room % MAPSIZE_STEP_BYTES;
    dump->style.format = dump_options.format;
    dump->style.encoding = common->encoding;
    if (dump_options.format == RECORDS_DUMP)
        dump->style.encoding = dump_options.print ? ENCODING_PRINT : ENCODING_HEX;
    progress_start(out_is_file(), "records", dump_options.all ? 0 : table.entries);
    return STATUS_DONE;
}

static int check_options(const struct common *common)
{
    if (dump_options.print && dump_options.format != RECORDS_DUMP)
        return status_usage("--print goes with the format bdb only");
    if (common->encoding != ENCODING_TEXT && dump_options.format == RECORDS_DUMP)
        return status_usage("--hex and --raw do not go with the format bdb");
    if (common->encoding == ENCODING_RAW)
        return status_usage("a raw dump could not be read back");
    if (dump_options.all && common->table)
        return status_usage("both --all and --table given");
    if (dump_options.all && dump_options.format == RECORDS_TSV)
        return status_usage("the format tsv holds one table only");
    return STATUS_DONE;
}

static int dump_run(const struct common *common, int argc, char **argv)
{
    (void)argc;
    (void)argv;
    struct session session;
    struct dump dump = {.session = &session};
    int status = check_options(common);
    if (status)
        return status;
    status = session_read(&session, common);
    if (!status)
        status = prepare(&dump, common);
    if (!status)
        status = dump_options.all ? dump_all(&dump) : dump_table(&dump, common->table);
    progress_end();
    return session_close(&session, status);
}

const struct command cmd_dump = {
    .verb = "dump",
    .args = "DB",
    .summary = "write a table, or all, as text to load again",
    .details =
        "The format bdb is what db_dump and mdb_dump write and mdb_load and db_load read; its\n"
        "header tells a table's kind. Tables of a user's own order are dumped in that order.",
    .example = "  kvctl dump --all users.kv | gzip > users.dump.gz\n"
               "  kvctl dump users.kv | mdb_load -n users.mdb",
    .common = COMMON_DATABASE | COMMON_TABLE | COMMON_BYTES,
    .args_min = 1,
    .args_max = 1,
    .options = dump_rows,
    .take = dump_take,
    .run = dump_run,
};
