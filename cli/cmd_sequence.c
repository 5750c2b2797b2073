/* SPDX-License-Identifier: MIT */
/* kvctl sequence: a table's sequence, read or taken from. */
#include <inttypes.h>

#include "command.h"
#include "options.h"
#include "out.h"
#include "session.h"
#include "status.h"

static int sequence_run(const struct common *common, int argc, char **argv)
{
    struct session session;
    uint64_t add = 0;
    uint64_t value = 0;
    int status = argc == 2 ? options_number("N", argv[1], false, UINT64_MAX, &add) : STATUS_DONE;
    if (status)
        return status;
    status = add ? session_write(&session, common, false) : session_read(&session, common);
    if (!status) {
        int rc = kv_sequence(session.txn, session.table, add, &value);
        status = rc ? status_of(rc, "table %s", session_table_name(common->table)) : STATUS_DONE;
    }
    if (!status && add)
        status = session_commit(&session);
    status = session_close(&session, status);
    if (!status)
        out_format("%" PRIu64 "\n", value);
    return status;
}

const struct command cmd_sequence = {
    .verb = "sequence",
    .args = "DB [N]",
    .summary = "print a table's sequence, and take N numbers from it",
    .details =
        "With N the printed number and the N - 1 behind it are yours: nobody gets them again.",
    .example = "  first=$(kvctl sequence -t users users.kv 100)",
    .common = COMMON_DATABASE | COMMON_TABLE | COMMON_WRITE,
    .args_min = 1,
    .args_max = 2,
    .run = sequence_run,
};
