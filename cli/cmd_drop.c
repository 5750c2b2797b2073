/* SPDX-License-Identifier: MIT */
/* kvctl drop: a named table, or all records of a table. */
#include "args.h"
#include "command.h"
#include "session.h"
#include "status.h"

static struct {
    bool empty;
    bool main_table;
} drop_options;

enum { DROP_EMPTY = 1, DROP_MAIN };

static const struct option_row drop_rows[] = {
    {"empty", 'e', DROP_EMPTY, NULL, "delete its records and keep the table"},
    {"main", 'm', DROP_MAIN, NULL, "with --empty: the main table, instead of TABLE"},
    {0},
};

static int drop_take(int id, char *arg)
{
    (void)arg;
    drop_options.empty = drop_options.empty || id == DROP_EMPTY;
    drop_options.main_table = drop_options.main_table || id == DROP_MAIN;
    return STATUS_DONE;
}

static int drop_table(struct session *session, const char *name)
{
    int status = session_use_table(session, name, false, NULL);
    if (status)
        return status;
    int rc = drop_options.empty ? kv_table_empty(session->txn, session->table)
                                : kv_table_drop(session->txn, session->table);
    if (rc)
        return status_of(rc, "table %s", session_table_name(name));
    return session_commit(session);
}

static int drop_run(const struct common *common, int argc, char **argv)
{
    struct session session;
    char *name = argc == 2 ? argv[1] : NULL;
    if (drop_options.main_table && (name || !drop_options.empty))
        return status_usage("--main goes with --empty and without TABLE");
    if (!drop_options.main_table && !name)
        return status_usage("no table given");
    int status = name ? arg_table_name("table", name) : STATUS_DONE;
    if (status)
        return status;
    status = session_write(&session, common, false);
    if (!status)
        status = drop_table(&session, name);
    return session_close(&session, status);
}

const struct command cmd_drop = {
    .verb = "drop",
    .args = "DB TABLE",
    .summary = "remove a table, or all its records",
    .example = "  kvctl drop users.kv sessions",
    .common = COMMON_DATABASE | COMMON_WRITE,
    .args_min = 1,
    .args_max = 2,
    .options = drop_rows,
    .take = drop_take,
    .run = drop_run,
};
