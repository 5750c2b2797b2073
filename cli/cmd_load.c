/* SPDX-License-Identifier: MIT */
/*
 * kvctl load: records from a file or stdin.
 *
 * The input is opened and its format known before the database is made. A record that is bad, by
 * its spelling (record_in.h) or for the database (loader.h), is named by line and byte; it ends the
 * load, and a txn that was not committed is dropped, unless --skip-bad passes over it.
 */
#include <inttypes.h>
#include <string.h>

#include "command.h"
#include "json_out.h"
#include "loader.h"
#include "options.h"
#include "out.h"
#include "progress.h"
#include "record_in.h"
#include "session.h"
#include "status.h"

static struct {
    enum input_format format;
    const char *key_field;
    uint64_t batch;
    bool skip_bad;
    bool no_overwrite;
    bool quiet;
} load_options = {.key_field = "Package"};

enum {
    LOAD_FORMAT = 1,
    LOAD_RFC822,
    LOAD_KEY_FIELD,
    LOAD_BATCH,
    LOAD_SKIP,
    LOAD_NO_OVERWRITE,
    LOAD_QUIET
};

static const struct option_row load_rows[] = {
    {"format", 'f', LOAD_FORMAT, "FORMAT", "bdb, tsv, json or rfc822 (default: by the first line)"},
    {"rfc822", 0, LOAD_RFC822, NULL, "same as --format rfc822"},
    {"key-field", 'k', LOAD_KEY_FIELD, "NAME", "rfc822: the field that is the key (Package)"},
    {"batch", 'b', LOAD_BATCH, "N", "commit every N records (default: once, all or nothing)"},
    {"skip-bad", 's', LOAD_SKIP, NULL, "name bad records and go on"},
    {"no-overwrite", 'n', LOAD_NO_OVERWRITE, NULL, "leave records that exist as they are"},
    {"quiet", 'q', LOAD_QUIET, NULL, "no summary"},
    {0},
};

struct load {
    struct session session;
    struct source source;
    struct record_in in;
    struct loader loader;
    uint64_t skipped;
};

static int take_format(const char *arg)
{
    static const struct {
        const char *name;
        enum input_format format;
    } formats[] = {{"bdb", INPUT_BDB},
                   {"tsv", INPUT_TSV},
                   {"json", INPUT_JSON},
                   {"rfc822", INPUT_RFC822}};
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        if (!strcmp(arg, formats[i].name)) {
            load_options.format = formats[i].format;
            return STATUS_DONE;
        }
    }
    return status_usage("no format '%s'", arg);
}

static int load_take(int id, char *arg)
{
    switch (id) {
    case LOAD_FORMAT:
        return take_format(arg);
    case LOAD_RFC822:
        load_options.format = INPUT_RFC822;
        return STATUS_DONE;
    case LOAD_KEY_FIELD:
        load_options.key_field = arg;
        return *arg ? STATUS_DONE : status_usage("--key-field: empty name");
    case LOAD_BATCH:
        return options_number("batch", arg, false, UINT64_MAX, &load_options.batch);
    default:
        break;
    }
    load_options.skip_bad = load_options.skip_bad || id == LOAD_SKIP;
    load_options.no_overwrite = load_options.no_overwrite || id == LOAD_NO_OVERWRITE;
    load_options.quiet = load_options.quiet || id == LOAD_QUIET;
    return STATUS_DONE;
}

/* Names a place in the input and what is wrong there. */
static int report_bad(const struct load *load, uint64_t line, uint64_t offset, const char *what)
{
    return status_failed("%s: line %" PRIu64 ", byte %" PRIu64 ": %s", load->source.name, line,
                         offset, what);
}

/* A bad record ends the load or is counted. */
static int take_bad(struct load *load, uint64_t line, uint64_t offset, const char *what)
{
    int status = report_bad(load, line, offset, what);
    if (!load_options.skip_bad)
        return status;
    load->skipped++;
    return STATUS_DONE;
}

static int take_record(struct load *load, struct record *record)
{
    const char *why = NULL;
    int status = loader_put(&load->loader, record, &why);
    if (status == STATUS_NEGATIVE)
        status = take_bad(load, record->line, record->offset, why);
    return status;
}

static int load_records(struct load *load)
{
    const struct fault *fault = &load->in.fault;
    struct record record;
    int status = STATUS_DONE;
    for (uint64_t seen = 1; !status; seen++) {
        switch (record_in_next(&load->in, &record)) {
        case READ_END:
            return loader_finish(&load->loader);
        case READ_RECORD:
            status = take_record(load, &record);
            break;
        case READ_TABLE:
            status = loader_use_table(&load->loader, record.table, record.shape);
            break;
        case READ_BAD:
            status = take_bad(load, fault->line, fault->offset, fault->what);
            break;
        case READ_FATAL:
            return report_bad(load, fault->line, fault->offset, fault->what);
        }
        if (seen % 256 == 0)
            progress_update(load->source.size_bytes ? load->source.next_offset : seen);
    }
    return status;
}

static void write_summary(const struct load *load)
{
    struct json json = {0};
    if (load->session.common->json) {
        json_begin(&json, NULL, '{');
        json_number(&json, "loaded", load->loader.loaded);
        json_number(&json, "existing", load->loader.existing);
        json_number(&json, "skipped", load->skipped);
        json_end(&json, '}');
    } else if (!load_options.quiet) {
        message("%" PRIu64 " records loaded, %" PRIu64 " existing left, %" PRIu64 " bad skipped",
                load->loader.loaded, load->loader.existing, load->skipped);
    }
}

/* Opens the database and loads, the input being open. */
static int load_into(struct load *load, const struct common *common)
{
    int status = session_write(&load->session, common, true);
    load->loader = (struct loader){
        .session = &load->session,
        .batch = load_options.batch,
        .no_overwrite = load_options.no_overwrite,
        .create = !common->no_create,
        .first = common->table,
        .shape = common->shape_given ? &common->shape : NULL,
    };
    if (!status)
        status = loader_start(&load->loader);
    if (!status) {
        bool sized = load->source.size_bytes != 0;
        progress_start(!load_options.quiet, sized ? "bytes" : "records", load->source.size_bytes);
        status = load_records(load);
        progress_end();
    }
    return session_close(&load->session, status);
}

static int load_run(const struct common *common, int argc, char **argv)
{
    struct load load = {0};
    int status = source_open(&load.source, argc > 1 ? argv[1] : NULL);
    if (status)
        return status;
    load.in = (struct record_in){
        .source = &load.source,
        .format = load_options.format,
        .encoding = common->encoding,
        .key_field = load_options.key_field,
        .one_table = common->table != NULL,
    };
    status = record_in_detect(&load.in);
    if (!status)
        status = load_into(&load, common);
    if (!status)
        write_summary(&load);
    loader_free(&load.loader);
    record_in_free(&load.in);
    source_close(&load.source);
    return status;
}

const struct command cmd_load = {
    .verb = "load",
    .args = "DB [FILE]",
    .summary = "store records from a file or stdin",
    .details =
        "Formats: bdb is what db_dump, mdb_dump and 'kvctl dump' write; tsv a line a record, key,\n"
        "tab, value, escaped as 'kvctl scan' writes it, or --hex or --raw; json an object a line\n"
        "with key or key_hex and value or value_hex; rfc822 stanzas parted by blank lines, the value\n"
        "being the stanza. A bad record is named by line and byte and ends the load. A missing\n"
        "database or table is made.",
    .example = "  kvctl load --rfc822 packages.kv /var/lib/dpkg/status\n"
               "  mdb_dump -a -n users.mdb | kvctl load users.kv",
    .common = COMMON_DATABASE | COMMON_TABLE | COMMON_BYTES | COMMON_JSON | COMMON_WRITE |
              COMMON_CREATE | COMMON_SHAPE,
    .args_min = 1,
    .args_max = 2,
    .options = load_rows,
    .take = load_take,
    .run = load_run,
};
