/* SPDX-License-Identifier: MIT */
/* kvctl trim: free space back to the file system. */
#include "command.h"
#include "json_out.h"
#include "out.h"
#include "session.h"
#include "status.h"

static uint32_t trim_flags;

enum { TRIM_PUNCH = 1, TRIM_DEFRAGMENT = 2 };

static const struct option_row trim_rows[] = {
    {"defragment", 'd', TRIM_DEFRAGMENT, NULL, "move pages from the file's end lower down first"},
    {"punch", 'p', TRIM_PUNCH, NULL, "punch free ranges inside the file too"},
    {0},
};

static int trim_take(int id, char *arg)
{
    (void)arg;
    trim_flags |= id == TRIM_PUNCH ? KV_TRIM_PUNCH : KV_TRIM_DEFRAGMENT;
    return STATUS_DONE;
}

static int trim_file(const struct session *session)
{
    struct json json = {0};
    uint64_t bytes = 0;
    int rc = kv_env_trim(session->env, trim_flags, &bytes);
    if (rc)
        return status_of(rc, "cannot trim %s", session->common->path);
    if (!session->common->json) {
        out_format("%llu bytes given back\n", (unsigned long long)bytes);
        return STATUS_DONE;
    }
    json_begin(&json, NULL, '{');
    json_number(&json, "bytes", bytes);
    json_end(&json, '}');
    return STATUS_DONE;
}

static int trim_run(const struct common *common, int argc, char **argv)
{
    (void)argc;
    (void)argv;
    struct session session;
    int status = session_open(&session, common, 0);
    if (!status)
        status = trim_file(&session);
    return session_close(&session, status);
}

const struct command cmd_trim = {
    .verb = "trim",
    .args = "DB",
    .summary = "give free space back to the file system",
    .details = "Cuts free pages off the file's end. Prints the bytes given back.",
    .example = "  kvctl trim --defragment users.kv",
    .common = COMMON_DATABASE | COMMON_JSON,
    .args_min = 1,
    .args_max = 1,
    .options = trim_rows,
    .take = trim_take,
    .run = trim_run,
};
