/* SPDX-License-Identifier: MIT */
/*
 * kvctl import: a database from an LMDB environment.
 *
 * The database is built under a temporary name beside its own, in one txn and without a lock file,
 * and gets its name when it is whole and flushed. Whatever ends the import before that leaves
 * nothing behind: a failure, SIGINT and its like, which the loop over the records notices, and
 * SIGBUS or SIGSEGV, by which reading a damaged LMDB file ends. Only SIGKILL and a crash of the
 * machine leave the temporary file.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"
#include "import.h"
#include "json_out.h"
#include "lmdb_source.h"
#include "new_file.h"
#include "out.h"
#include "progress.h"
#include "session.h"
#include "shape.h"
#include "status.h"

#define KIND_BYTES 200 /* of a table's description */

static struct {
    const char *library;
    bool map_size;
    bool skip_bad;
    bool quiet;
} import_options;

enum { IMPORT_LIBRARY = 1, IMPORT_MAP_SIZE, IMPORT_SKIP, IMPORT_QUIET };

static const struct option_row import_rows[] = {
    {"library", 'l', IMPORT_LIBRARY, "PATH", "the LMDB library (default: liblmdb.so.0)"},
    {"map-size", 'm', IMPORT_MAP_SIZE, NULL, "LMDB's map size stays the file's limit"},
    {"skip-bad", 's', IMPORT_SKIP, NULL, "name tables that cannot be imported and go on"},
    {"quiet", 'q', IMPORT_QUIET, NULL, "no progress and no summary"},
    {0},
};

static int import_take(int id, char *arg)
{
    if (id == IMPORT_LIBRARY)
        import_options.library = arg;
    import_options.map_size = import_options.map_size || id == IMPORT_MAP_SIZE;
    import_options.skip_bad = import_options.skip_bad || id == IMPORT_SKIP;
    import_options.quiet = import_options.quiet || id == IMPORT_QUIET;
    return STATUS_DONE;
}

/* ---- Signals ---- */

static volatile sig_atomic_t import_stop;
static const char *volatile import_temporary; /* to be removed by a handler; NULL: nothing */

static void note_stop(int number)
{
    (void)number;
    import_stop = 1;
}

/* Reading what is not there: nothing can go on from here. */
static void end_by_fault(int number)
{
    static const char text[] = "kvctl import: the LMDB environment is damaged or was cut short: "
                               "reading it failed\n";
    (void)number;
    if (import_temporary)
        unlink(import_temporary);
    ssize_t written = write(STDERR_FILENO, text, sizeof text - 1);
    _exit(written < 0 ? STATUS_FAILED : STATUS_DATABASE);
}

static void set_handlers(void)
{
    static const int stops[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = note_stop};
    struct sigaction old;
    for (size_t i = 0; i < sizeof stops / sizeof stops[0]; i++) {
        if (!sigaction(stops[i], NULL, &old) && old.sa_handler != SIG_IGN)
            sigaction(stops[i], &action, NULL);
    }
    action.sa_handler = end_by_fault;
    sigaction(SIGBUS, &action, NULL);
    sigaction(SIGSEGV, &action, NULL);
}

/* ---- The new file ---- */

static int open_new(struct session *session, const struct common *common, mode_t mode)
{
    struct kv_options options = KV_OPTIONS_INIT;
    *session = (struct session){.common = common};
    options.flags = KV_CREATE | KV_NOLOCK | KV_GUARD;
    options.page_size = common->page_size;
    options.max_size_bytes = common->max_size_bytes;
    options.mode = mode | S_IRUSR | S_IWUSR;
    int rc = kv_env_open(common->path, &options, &session->env);
    return rc ? status_of(rc, "cannot make %s", common->path) : session_begin_write(session);
}

/* ---- What was done ---- */

static void describe(const struct imported *imported, char *text)
{
    struct kv_table_options options = import_kind_options(&imported->kind);
    shape_describe(&options, text, KIND_BYTES);
}

static void write_table(struct json *json, const struct imported *imported)
{
    char kind[KIND_BYTES];
    describe(imported, kind);
    json_begin(json, NULL, '{');
    if (imported->name)
        json_bytes(json, "name", imported->name, strlen(imported->name), false);
    else
        json_null(json, "name");
    json_number(json, "records", imported->records);
    json_text(json, "kind", *kind ? kind : "plain");
    json_number(json, "lmdb_flags", imported->kind.flags);
    json_bool(json, "skipped", imported->skipped);
    json_end(json, '}');
}

static void write_json(const struct import *import, uint64_t bytes)
{
    struct json json = {0};
    json_begin(&json, NULL, '{');
    json_begin(&json, "tables", '[');
    for (size_t i = 0; i < import->count; i++)
        write_table(&json, import->tables[i]);
    json_end(&json, ']');
    json_number(&json, "records", import->records);
    json_number(&json, "skipped", import->skipped);
    json_number(&json, "bytes", bytes);
    json_end(&json, '}');
}

static void tell_custom(const struct imported *imported)
{
    char kind[KIND_BYTES];
    if (imported->skipped || (!imported->kind.key_custom && !imported->kind.value_custom))
        return;
    describe(imported, kind);
    message("table %s: not in an order of LMDB's own, kept as it is: %s",
            session_table_name(imported->name), kind);
}

static void write_summary(const struct import *import, const struct common *common)
{
    struct stat st = {0};
    (void)stat(common->path, &st);
    if (common->json)
        write_json(import, (uint64_t)st.st_size);
    if (import_options.quiet)
        return;
    for (size_t i = 0; i < import->count; i++)
        tell_custom(import->tables[i]);
    if (!common->json)
        message("%" PRIu64 " records imported in the main table and %zu named ones, %zu tables "
                "skipped",
                import->records, import->count - 1, import->skipped);
}

/* ---- The import ---- */

/* Where the LMDB drop-in looks for it, for programs that leave it as they find it. */
static int keep_map_size(const struct import *import, struct kv_txn *txn)
{
    int rc = import_options.map_size ? kv_limit_set(txn, import->source->info.map_size) : 0;
    return rc ? status_of(rc, "cannot keep the map size") : STATUS_DONE;
}

/* Fills the new database and closes it; it is durable then. */
static int build(struct import *import, const struct common *common)
{
    struct session session = {.common = common};
    int status = open_new(&session, common, import->source->mode);
    import->session = &session;
    if (!status) {
        progress_start(!import_options.quiet, "records", 0);
        status = import_tables(import);
        progress_end();
    }
    if (!status)
        status = keep_map_size(import, session.txn);
    if (!status)
        status = session_commit(&session);
    import->session = NULL;
    return session_close(&session, status);
}

static int import_into(struct lmdb_source *source, const struct common *common)
{
    struct import import = {.source = source,
                            .skip_bad = import_options.skip_bad,
                            .stop = &import_stop};
    struct buffer temporary = {0};
    struct common building = *common;
    int status = new_file_temporary(common->path, &temporary);
    if (!status) {
        building.path = import_temporary = temporary.data;
        status = build(&import, &building);
        if (!status)
            status = new_file_publish(temporary.data, common->path);
        if (status)
            (void)unlink(temporary.data);
        import_temporary = NULL;
    }
    if (!status)
        write_summary(&import, common);
    import_free(&import);
    buffer_free(&temporary);
    return status;
}

static int import_run(const struct common *common, int argc, char **argv)
{
    struct lmdb_source source;
    struct common target = *common;
    (void)argc;
    target.path = argv[1];
    int status = new_file_check(target.path);
    if (status)
        return status;
    set_handlers();
    status = lmdb_source_open(&source, argv[0], import_options.library, common->no_lock);
    if (!status)
        status = import_into(&source, &target);
    lmdb_source_close(&source);
    return status;
}

const struct command cmd_import = {
    .verb = "import",
    .args = "SOURCE DB",
    .summary = "make a database from an LMDB environment",
    .details =
        "SOURCE is a folder with data.mdb or a file of LMDB 0.9, and is only read, through the LMDB\n"
        "library. All tables are copied, each as what its flags say. DB must not exist, and appears\n"
        "only when it is whole. --no-lock is about SOURCE: without LMDB's lock file. For the LMDB\n"
        "drop-in, --map-size keeps what programs that set none rely on.",
    .example = "  kvctl import /var/lib/app/lmdb app.kv\n"
               "  mkdir new && kvctl import --map-size old new/data.mdb",
    .common = COMMON_DATABASE | COMMON_JSON | COMMON_NEW,
    .args_min = 2,
    .args_max = 2,
    .options = import_rows,
    .take = import_take,
    .run = import_run,
};
