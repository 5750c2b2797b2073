/* SPDX-License-Identifier: MIT */
/* kvctl check: proves a database, naming each thing that is wrong. */
#include <inttypes.h>
#include <string.h>

#include "command.h"
#include "finding_range.h"
#include "json_out.h"
#include "out.h"
#include "progress.h"
#include "session.h"
#include "status.h"

struct checking {
    struct json json;
    bool as_json;
};

static void write_object(struct json *json, const struct kv_finding *finding)
{
    json_begin(json, NULL, '{');
    json_number(json, "txnid", finding->txnid);
    if (finding->pgno == UINT64_MAX)
        json_null(json, "pgno");
    else
        json_number(json, "pgno", finding->pgno);
    if (finding->table)
        json_bytes(json, "table", finding->table, strlen(finding->table), false);
    else
        json_null(json, "table");
    if (finding->record)
        json_bytes(json, "key", finding->from->data, finding->from->size, false);
    else if (finding->table)
        range_json(json, finding->from, finding->to);
    json_text(json, "what", finding->what);
    json_end(json, '}');
}

static void write_line(const struct kv_finding *finding)
{
    char keys[RANGE_BYTES] = "";
    if (finding->record)
        key_text(finding->from, keys, sizeof keys);
    else if (finding->from || finding->to)
        range_text(finding->from, finding->to, keys, sizeof keys);
    out_format("snapshot %" PRIu64, finding->txnid);
    if (finding->pgno != UINT64_MAX)
        out_format(", page %" PRIu64, finding->pgno);
    if (finding->table && *finding->table) {
        out_text(", table ");
        encode_out(ENCODING_TEXT, finding->table, strlen(finding->table));
    } else if (finding->table) {
        out_text(", main table");
    }
    out_format("%s: %s\n", keys, finding->what);
}

static int take_finding(void *context, const struct kv_finding *finding)
{
    struct checking *checking = context;
    if (checking->as_json)
        write_object(&checking->json, finding);
    else
        write_line(finding);
    return 0;
}

static int show_progress(void *context, uint64_t done, uint64_t total)
{
    (void)context;
    progress_update_of(done, total);
    return 0;
}

static void write_summary(struct checking *checking, const char *path, uint64_t findings)
{
    if (checking->as_json) {
        json_end(&checking->json, ']');
        json_number(&checking->json, "count", findings);
        json_bool(&checking->json, "sound", !findings);
        json_end(&checking->json, '}');
    } else if (findings) {
        out_format("%s: %" PRIu64 " finding%s\n", path, findings, findings == 1 ? "" : "s");
    } else {
        out_format("%s: sound\n", path);
    }
}

static int check_database(const struct session *session)
{
    uint64_t findings = 0;
    struct checking checking = {.as_json = session->common->json};
    struct kv_check_options options = {
        .finding = take_finding,
        .progress = show_progress,
        .context = &checking,
        .findings_out = &findings,
    };
    if (checking.as_json) {
        json_begin(&checking.json, NULL, '{');
        json_begin(&checking.json, "findings", '[');
    }
    progress_start(true, "pages", 0);
    int rc = kv_env_check(session->env, &options);
    progress_end();
    if (!findings && rc == KV_ECORRUPT)
        findings = 1; /* damage that ended the check before it could be told as a finding */
    write_summary(&checking, session->common->path, findings);
    if (rc && rc != KV_ECORRUPT)
        return status_of(rc, "cannot check %s", session->common->path);
    return findings ? STATUS_NEGATIVE : STATUS_DONE;
}

static int check_run(const struct common *common, int argc, char **argv)
{
    (void)argc;
    (void)argv;
    struct session session;
    int status = session_open(&session, common, 0);
    if (!status)
        status = check_database(&session);
    return session_close(&session, status);
}

const struct command cmd_check = {
    .verb = "check",
    .args = "DB",
    .summary = "prove a database, or name its damage",
    .details =
        "Reads every page of the live snapshots, verifies checksums, order, links and counts,\n"
        "and compares the pages reached with the space map. Writers wait meanwhile, unless\n"
        "--read-only is given. Exit status 1 if there is damage.",
    .example = "  kvctl check users.kv",
    .common = COMMON_DATABASE | COMMON_JSON | COMMON_READONLY,
    .args_min = 1,
    .args_max = 1,
    .run = check_run,
};
