/* SPDX-License-Identifier: MIT */
/* kvctl copy: a snapshot into a database of its own, or down a pipe. */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"
#include "json_out.h"
#include "out.h"
#include "progress.h"
#include "session.h"
#include "status.h"

static bool copy_compact;

enum { COPY_COMPACT = 1 };

static const struct option_row copy_rows[] = {
    {"compact", 'c', COPY_COMPACT, NULL, "write the records anew, without free space"},
    {0},
};

static int copy_take(int id, char *arg)
{
    (void)arg;
    copy_compact = id == COPY_COMPACT;
    return STATUS_DONE;
}

static int show_progress(void *context, uint64_t done, uint64_t total)
{
    (void)context;
    progress_update_of(done, total);
    return 0;
}

static int copy_to_stdout(struct kv_txn *txn, const struct kv_copy_options *options)
{
    int rc = kv_env_copy_fd(txn, STDOUT_FILENO, options);
    if (rc <= 0)
        return rc ? status_of(rc, "cannot copy") : STATUS_DONE;
    out_note_error(rc); /* reported with everything else that stdout refused */
    return STATUS_FAILED;
}

static void report(const char *path, uint64_t txnid)
{
    struct json json = {0};
    struct stat st = {0};
    (void)stat(path, &st);
    json_begin(&json, NULL, '{');
    json_number(&json, "txnid", txnid);
    json_number(&json, "bytes", (uint64_t)st.st_size);
    json_end(&json, '}');
}

static int copy_snapshot(const struct session *session, const char *target)
{
    bool to_stdout = !strcmp(target, "-");
    struct kv_copy_options options = {
        .flags = copy_compact ? KV_COPY_COMPACT : 0,
        .progress = show_progress,
    };
    progress_start(!to_stdout || out_is_file(), copy_compact ? "records" : "pages", 0);
    int rc = 0;
    int status = STATUS_DONE;
    if (to_stdout)
        status = copy_to_stdout(session->txn, &options);
    else
        rc = kv_env_copy(session->txn, target, &options);
    progress_end();
    if (rc)
        return status_of(rc, "cannot copy to %s", target);
    if (session->common->json && !status)
        report(target, kv_txn_id(session->txn));
    return status;
}

static int copy_run(const struct common *common, int argc, char **argv)
{
    (void)argc;
    struct session session;
    bool to_stdout = !strcmp(argv[1], "-");
    if (to_stdout && common->json)
        return status_usage("--json and a copy on stdout exclude each other");
    if (to_stdout && isatty(STDOUT_FILENO))
        return status_usage("not to a terminal");
    int status = session_open(&session, common, KV_READONLY);
    if (!status)
        status = session_begin_read(&session);
    if (!status)
        status = copy_snapshot(&session, argv[1]);
    return session_close(&session, status);
}

const struct command cmd_copy = {
    .verb = "copy",
    .args = "DB TARGET",
    .summary = "copy a snapshot to a new database",
    .details = "TARGET must not exist, and appears only when it is whole; - is stdout. Others may\n"
               "read and write the database meanwhile.",
    .example = "  kvctl copy --compact users.kv backup.kv\n"
               "  kvctl copy users.kv - | ssh host 'cat > backup.kv'",
    .common = COMMON_DATABASE | COMMON_JSON,
    .args_min = 2,
    .args_max = 2,
    .options = copy_rows,
    .take = copy_take,
    .run = copy_run,
};
