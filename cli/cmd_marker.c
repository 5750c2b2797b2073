/* SPDX-License-Identifier: MIT */
/* kvctl marker: the user's marker of the newest snapshot, shown or set. */
#include <string.h>

#include "args.h"
#include "command.h"
#include "encode.h"
#include "out.h"
#include "session.h"
#include "status.h"

static int marker_show(const struct common *common)
{
    unsigned char marker[KV_MARKER_BYTES];
    size_t size = sizeof marker;
    struct session session;
    int status = session_open(&session, common, KV_READONLY);
    if (!status)
        status = session_begin_read(&session);
    if (!status) {
        int rc = kv_marker_get(session.txn, marker);
        status = rc ? status_of(rc, "cannot read the marker") : STATUS_DONE;
    }
    status = session_close(&session, status);
    if (status)
        return status;
    while (size && !marker[size - 1])
        size--;
    encode_out(common->encoding, marker, size);
    if (common->encoding != ENCODING_RAW)
        out_byte('\n');
    return STATUS_DONE;
}

static int marker_set(const struct common *common, char *arg)
{
    struct session session;
    struct kv_val value;
    int status = arg_decode(common->encoding, "marker", arg, &value);
    if (status)
        return status;
    status = session_open(&session, common, 0);
    if (!status)
        status = session_begin_write(&session);
    if (!status) {
        int rc = kv_marker_set(session.txn, value.data, value.size);
        status = rc ? status_of(rc, "cannot set the marker") : session_commit(&session);
    }
    return session_close(&session, status);
}

static int marker_run(const struct common *common, int argc, char **argv)
{
    return argc == 2 ? marker_set(common, argv[1]) : marker_show(common);
}

const struct command cmd_marker = {
    .verb = "marker",
    .args = "DB [MARKER]",
    .summary = "print or set the marker that is kept with the snapshot",
    .details = "Up to 64 bytes of your own; zero bytes at its end are not shown.",
    .example = "  kvctl marker users.kv 'schema 7'",
    .common = COMMON_DATABASE | COMMON_BYTES | COMMON_WRITE,
    .args_min = 1,
    .args_max = 2,
    .run = marker_run,
};
