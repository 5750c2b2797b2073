/* SPDX-License-Identifier: MIT */
/* kvctl readers: the read txns of all processes, and what each keeps from reuse. */
#include "command.h"
#include "json_out.h"
#include "out.h"
#include "session.h"
#include "status.h"

struct listing {
    struct json json;
    bool as_json;
    uint64_t count;
};

static void write_object(struct json *json, const struct kv_reader *reader)
{
    json_begin(json, NULL, '{');
    json_number(json, "pid", reader->pid < 0 ? 0 : (uint64_t)reader->pid);
    json_number(json, "txnid", reader->txnid);
    json_number(json, "age_ms", reader->age_ms);
    json_number(json, "pages_held", reader->pages_held);
    json_bool(json, "alive", reader->alive != 0);
    json_number(json, "thread", reader->thread);
    json_end(json, '}');
}

static void write_line(struct listing *listing, const struct kv_reader *reader)
{
    if (!listing->count)
        out_format("%10s %16s %20s %12s %12s\n", "PID", "THREAD", "TXNID", "AGE_MS", "PAGES_HELD");
    out_format("%10lld %16llx %20llu %12llu %12llu%s%s\n", (long long)reader->pid,
               (unsigned long long)reader->thread, (unsigned long long)reader->txnid,
               (unsigned long long)reader->age_ms, (unsigned long long)reader->pages_held,
               reader->txnid ? "" : "  reset", reader->alive ? "" : "  dead");
}

static int list_reader(void *context, const struct kv_reader *reader)
{
    struct listing *listing = context;
    if (listing->as_json)
        write_object(&listing->json, reader);
    else
        write_line(listing, reader);
    listing->count++;
    return 0;
}

static int list_readers(const struct session *session)
{
    struct listing listing = {.as_json = session->common->json};
    if (listing.as_json)
        json_begin(&listing.json, NULL, '[');
    int rc = kv_env_readers(session->env, list_reader, &listing);
    if (listing.as_json)
        json_end(&listing.json, ']');
    return rc ? status_of(rc, "cannot list the readers") : STATUS_DONE;
}

static int readers_run(const struct common *common, int argc, char **argv)
{
    (void)argc;
    (void)argv;
    struct session session;
    int status = session_open(&session, common, KV_READONLY);
    if (!status)
        status = list_readers(&session);
    return session_close(&session, status);
}

const struct command cmd_readers = {
    .verb = "readers",
    .args = "DB",
    .summary = "list who is reading, and what that holds",
    .details =
        "For each read transaction of each process: process id, thread, snapshot, age in\n"
        "milliseconds and the pages that only this snapshot keeps from being used again. One that\n"
        "is reset has no snapshot.",
    .example = "  kvctl readers --json users.kv",
    .common = COMMON_DATABASE | COMMON_JSON,
    .args_min = 1,
    .args_max = 1,
    .run = readers_run,
};
