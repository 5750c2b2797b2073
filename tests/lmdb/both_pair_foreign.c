/* SPDX-License-Identifier: MIT */
/*
 * One side of a meeting of the two libraries in one folder; what to do is the argument. For
 * test_lmdb_foreign.c.
 *
 *     make   makes a database with a record
 *     use    reads and writes it, as its own library can
 *     meet   opens it in every way, which must be refused
 *     hold   as use, and keeps it open until there is a file "go"; makes a file "held" when it is
 */
#include "both.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PLACE "../meeting"
#define STEP_US 20000
#define STEPS 1500 /* half a minute */

static int put_one(MDB_env *env)
{
    MDB_txn *txn = both_begin(env, NULL, 0);
    MDB_dbi dbi;
    int rc = mdb_dbi_open(txn, NULL, 0, &dbi);

    if (!rc)
        rc = both_put(txn, dbi, "key", "value", 0);
    if (rc) {
        mdb_txn_abort(txn);
        return rc;
    }
    return mdb_txn_commit(txn);
}

static MDB_env *use(void)
{
    MDB_env *env = both_env(PLACE, 0);
    MDB_txn *txn;
    MDB_dbi dbi;

    see("put: %s", both_name(put_one(env)));
    txn = both_begin(env, NULL, MDB_RDONLY);
    MUST(mdb_dbi_open(txn, NULL, 0, &dbi));
    see_table(txn, dbi, 10);
    mdb_txn_abort(txn);
    return env;
}

static void meet(void)
{
    static const unsigned flags[] = {0,         MDB_RDONLY,   MDB_NOLOCK, MDB_RDONLY | MDB_NOLOCK,
                                     MDB_NOTLS, MDB_WRITEMAP, MDB_NOSYNC, MDB_NOLOCK | MDB_WRITEMAP,
                                     MDB_RDONLY};

    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        MDB_env *env;
        int rc;

        MUST(mdb_env_create(&env));
        rc = mdb_env_open(env, PLACE, flags[i], 0644);
        see("%s", rc == MDB_INVALID || rc == MDB_VERSION_MISMATCH ? "refused" : both_name(rc));
        mdb_env_close(env);
    }
}

static void hold(void)
{
    MDB_env *env = use();
    int fd = open(PLACE "/held", O_WRONLY | O_CREAT, 0644);

    close(fd);
    for (int i = 0; i < STEPS && access(PLACE "/go", F_OK) != 0; i++)
        usleep(STEP_US);
    for (int i = 0; i < 5; i++) {
        see("put: %s", both_name(put_one(env)));
        usleep(STEP_US);
    }
    mdb_env_close(env);
}

static void run(const struct both *both)
{
    if (strcmp(both->argument, "meet") == 0)
        meet();
    else if (strcmp(both->argument, "hold") == 0)
        hold();
    else
        mdb_env_close(use());
}

BOTH_MAIN(run)
