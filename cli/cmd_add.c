/* SPDX-License-Identifier: MIT */
/* kvctl add: a stored integer is raised or lowered, in one txn, and printed. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "args.h"
#include "command.h"
#include "out.h"
#include "session.h"
#include "status.h"

static int take_integer(const char *arg, int64_t *number_out)
{
    char *end;
    errno = 0;
    long long number = strtoll(arg, &end, 10);
    *number_out = number;
    if (errno || end == arg || *end)
        return status_usage("'%s' is no number, or too large", arg);
    return STATUS_DONE;
}

static int add_run(const struct common *common, int argc, char **argv)
{
    struct session session;
    struct kv_val key;
    int64_t number = 1;
    int64_t sum = 0;
    int status = arg_decode(common->encoding, "key", argv[1], &key);
    if (!status && argc == 3)
        status = take_integer(argv[2], &number);
    if (status)
        return status;
    status = session_write(&session, common, true);
    if (!status) {
        int rc = kv_add(session.txn, session.table, &key, number, &sum);
        status = rc ? status_of(rc, "cannot add") : session_commit(&session);
    }
    status = session_close(&session, status);
    if (!status)
        out_format("%" PRId64 "\n", sum);
    return status;
}

const struct command cmd_add = {
    .verb = "add",
    .args = "DB KEY [N]",
    .summary = "add to a stored integer and print the sum",
    .details =
        "Integers are 8 bytes, little-endian, signed; a missing one is 0. N is 1 by default;\n"
        "a negative one stands behind --.",
    .example = "  kvctl add counters.kv visits\n"
               "  kvctl add -- counters.kv stock -3",
    .common = COMMON_DATABASE | COMMON_TABLE | COMMON_BYTES | COMMON_WRITE | COMMON_CREATE,
    .args_min = 2,
    .args_max = 3,
    .run = add_run,
};
