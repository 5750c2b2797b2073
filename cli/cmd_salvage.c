/* SPDX-License-Identifier: MIT */
/*
 * kvctl salvage: what can be read of a damaged database, as a dump or as a new database, and on
 * stderr (or with --json on stdout) what cannot.
 *
 * Losses come by table, those that are the file's own first, so that the JSON report is written as
 * they come.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "finding_range.h"
#include "json_out.h"
#include "new_file.h"
#include "out.h"
#include "progress.h"
#include "salvage_sink.h"
#include "shape.h"
#include "status.h"

#define KIND_BYTES 200
#define NAME_BYTES 40

static struct {
    bool print;
    bool no_stale;
    bool quiet;
} salvage_options;

enum { SALVAGE_PRINT = 1, SALVAGE_NO_STALE, SALVAGE_QUIET };

static const struct option_row salvage_rows[] = {
    {"print", 'p', SALVAGE_PRINT, NULL, "dump: printable characters as they are"},
    {"no-stale", 0, SALVAGE_NO_STALE, NULL, "leave out records that may be old or deleted"},
    {"quiet", 'q', SALVAGE_QUIET, NULL, "no progress, and only a summary of what is lost"},
    {0},
};

static int salvage_take(int id, char *arg)
{
    (void)arg;
    salvage_options.print = salvage_options.print || id == SALVAGE_PRINT;
    salvage_options.no_stale = salvage_options.no_stale || id == SALVAGE_NO_STALE;
    salvage_options.quiet = salvage_options.quiet || id == SALVAGE_QUIET;
    return STATUS_DONE;
}

struct counts {
    uint64_t records; /* written, all of the next two among them */
    uint64_t leaf;    /* from leaves that no tree reached */
    uint64_t stale;   /* from such as may be old */
    uint64_t refused; /* that the new database did not take */
};

struct salvage {
    struct salvage_sink sink;
    struct json json;
    bool as_json;
    bool started; /* a table was told */
    bool skip;    /* it is not written */
    struct counts table;
    struct counts all;
    uint64_t tables;
    uint64_t losses;
    int status;
};

/* ---- Report ---- */

static void write_counts(struct json *json, const struct counts *counts)
{
    json_number(json, "records", counts->records);
    json_number(json, "from_leaves", counts->leaf);
    json_number(json, "stale", counts->stale);
    json_number(json, "refused", counts->refused);
}

static void add_counts(struct counts *to, const struct counts *from)
{
    to->records += from->records;
    to->leaf += from->leaf;
    to->stale += from->stale;
    to->refused += from->refused;
}

/* Ends the report's object of the table before, or its list of the file's own losses. */
static void end_table(struct salvage *salvage)
{
    struct json *json = &salvage->json;
    if (salvage->as_json) {
        json_end(json, ']');
        if (salvage->started) {
            write_counts(json, &salvage->table);
            json_bool(json, "written", !salvage->skip);
            json_end(json, '}');
        }
    }
    add_counts(&salvage->all, &salvage->table);
    salvage->table = (struct counts){0};
}

static void begin_table(struct salvage *salvage, const char *name,
                        const struct kv_salvage_table *table)
{
    struct json *json = &salvage->json;
    char kind[KIND_BYTES];
    if (!salvage->as_json)
        return;
    if (!salvage->started)
        json_begin(json, "tables", '[');
    json_begin(json, NULL, '{');
    if (name)
        json_bytes(json, "name", name, strlen(name), false);
    else
        json_null(json, "name");
    shape_describe(table->options, kind, sizeof kind);
    json_text(json, "kind", *kind ? kind : "plain");
    json_bool(json, "known", !table->unknown);
    json_begin(json, "losses", '[');
}

static int take_table(void *context, const struct kv_salvage_table *table)
{
    struct salvage *salvage = context;
    char unknown[NAME_BYTES];
    const char *name = table->name;
    if (table->unknown) {
        snprintf(unknown, sizeof unknown, "unknown #%" PRIu64, table->unknown);
        name = unknown;
    }
    end_table(salvage);
    begin_table(salvage, name, table);
    salvage->started = true;
    salvage->tables++;
    if (table->stale && !salvage_options.quiet && !salvage->as_json)
        message("table %s: may be an old one", session_table_name(name));
    int status = salvage_sink_table(&salvage->sink, name, table);
    salvage->skip = status == STATUS_NEGATIVE;
    salvage->losses += salvage->skip;
    salvage->status = salvage->skip ? STATUS_DONE : status;
    return salvage->status ? -1 : 0;
}

static int take_record(void *context, const struct kv_val *key, const struct kv_val *value,
                       enum kv_salvage_source source)
{
    struct salvage *salvage = context;
    if (salvage->skip || (salvage_options.no_stale && source == KV_SALVAGE_STALE))
        return 0;
    int status = salvage_sink_record(&salvage->sink, key, value);
    if (status == STATUS_NEGATIVE) {
        salvage->table.refused++;
        return 0;
    }
    salvage->table.records++;
    salvage->table.leaf += source != KV_SALVAGE_TREE;
    salvage->table.stale += source == KV_SALVAGE_STALE;
    salvage->status = status;
    return status ? -1 : 0;
}

static void write_loss(struct json *json, const struct kv_salvage_loss *loss)
{
    json_begin(json, NULL, '{');
    if (loss->pgno == UINT64_MAX)
        json_null(json, "pgno");
    else
        json_number(json, "pgno", loss->pgno);
    json_number(json, "pages", loss->pages);
    if (loss->table)
        json_bytes(json, "table", loss->table, strlen(loss->table), false);
    else
        json_null(json, "table");
    if (loss->record) {
        json_bytes(json, "key", loss->from->data, loss->from->size, false);
    } else if (loss->table) {
        json_number(json, "level", loss->level);
        range_json(json, loss->from, loss->to);
    }
    json_text(json, "what", loss->what);
    json_end(json, '}');
}

static void print_loss(const struct kv_salvage_loss *loss)
{
    char range[RANGE_BYTES] = "", pages[NAME_BYTES] = "";
    if (loss->record)
        key_text(loss->from, range, sizeof range);
    else if (loss->table && loss->pgno != UINT64_MAX)
        range_text(loss->from, loss->to, range, sizeof range);
    if (loss->pgno != UINT64_MAX && loss->pages > 1)
        snprintf(pages, sizeof pages, "pages %" PRIu64 " to %" PRIu64 ": ", loss->pgno,
                 loss->pgno + loss->pages - 1);
    else if (loss->pgno != UINT64_MAX)
        snprintf(pages, sizeof pages, "page %" PRIu64 ": ", loss->pgno);
    else if (loss->pages)
        snprintf(pages, sizeof pages, "%" PRIu64 " ", loss->pages);
    message("lost: %s%s%s%s%s", pages, loss->what, loss->table ? ", " : "",
            loss->table ? session_table_name(*loss->table ? loss->table : NULL) : "", range);
}

static int take_loss(void *context, const struct kv_salvage_loss *loss)
{
    struct salvage *salvage = context;
    salvage->losses++;
    if (salvage->as_json)
        write_loss(&salvage->json, loss);
    else if (!salvage_options.quiet)
        print_loss(loss);
    return 0;
}

static int show_progress(void *context, uint64_t done, uint64_t total)
{
    (void)context;
    progress_update_of(done, total);
    return 0;
}

static void write_summary(struct salvage *salvage, int status)
{
    struct json *json = &salvage->json;
    const struct counts *all = &salvage->all;
    if (salvage->as_json) {
        if (salvage->started)
            json_end(json, ']');
        write_counts(json, all);
        json_number(json, "lost", salvage->losses);
        json_bool(json, "complete", !status && !salvage->losses && !all->refused);
        json_end(json, '}');
        return;
    }
    if (status)
        return;
    if (all->refused)
        message("%" PRIu64 " records do not fit their tables and are not written", all->refused);
    message("%" PRIu64 " records of %" PRIu64 " tables; %" PRIu64 " from leaves without a tree, of "
            "which %" PRIu64 " may be old; %" PRIu64 " losses",
            all->records, salvage->tables, all->leaf, all->stale, salvage->losses);
}

/* ---- The salvage ---- */

static int run_salvage(struct salvage *salvage, const char *path)
{
    struct kv_salvage_options options = {take_table, take_record, take_loss, show_progress,
                                         salvage};
    if (salvage->as_json) {
        json_begin(&salvage->json, NULL, '{');
        json_begin(&salvage->json, "losses", '[');
    }
    progress_start(!salvage_options.quiet && (salvage->sink.target || out_is_file()), "pages", 0);
    int rc = kv_salvage(path, &options);
    progress_end();
    end_table(salvage);
    if (salvage->status)
        return salvage->status;
    if (rc && rc != KV_ECORRUPT)
        return status_of(rc, "cannot salvage %s", path);
    return STATUS_DONE;
}

static int salvage_run(const struct common *common, int argc, char **argv)
{
    const char *target = argc > 1 ? argv[1] : NULL;
    struct salvage salvage = {
        .sink = {.common = common, .target = target, .print = salvage_options.print},
        .as_json = common->json,
    };
    if (!target && common->json)
        return status_usage("--json goes with a new database only: stdout is the dump's");
    if (!target && (common->page_size || common->max_size_bytes))
        return status_usage("--page-size and --max-size go with a new database only");
    if (target && salvage_options.print)
        return status_usage("--print goes with a dump only");
    int status = target ? new_file_check(target) : STATUS_DONE;
    if (status)
        return status;
    status = run_salvage(&salvage, common->path);
    status = salvage_sink_end(&salvage.sink, status);
    write_summary(&salvage, status);
    if (!status && (salvage.losses || salvage.all.refused))
        return STATUS_NEGATIVE;
    return status;
}

const struct command cmd_salvage = {
    .verb = "salvage",
    .args = "DB [NEW]",
    .summary = "get the records out of a damaged database",
    .details =
        "Writes every record that can be read of every table: to a new database NEW, or as a dump\n"
        "to stdout, which 'kvctl load' reads. By its tree where that stands, else from leaf pages\n"
        "that are left, of the newest first. DB is never written to, and need not be one that can\n"
        "be opened; nobody else may write to it meanwhile. Exit status 1 if something was lost;\n"
        "what it was is told on stderr, or with --json, by table, on stdout.",
    .example = "  kvctl salvage broken.kv new.kv\n"
               "  kvctl salvage broken.kv | gzip > broken.dump.gz",
    .common = COMMON_JSON | COMMON_NEW,
    .args_min = 1,
    .args_max = 2,
    .options = salvage_rows,
    .take = salvage_take,
    .run = salvage_run,
};
