/* SPDX-License-Identifier: MIT */
/*
 * Maps too small for anything: the first put finds them full.
 */
#include "both.h"

#include <stdio.h>

static void see_puts(MDB_env *env)
{
    MDB_txn *txn = both_begin(env, NULL, 0);
    MDB_dbi dbi;

    MUST(mdb_dbi_open(txn, NULL, 0, &dbi));
    CALL(both_put(txn, dbi, "a", "1", 0));
    CALL(both_put(txn, dbi, "b", "1", 0));
    CALL(mdb_txn_commit(txn));
    txn = both_begin(env, NULL, 0);
    CALL(mdb_dbi_open(txn, "table", MDB_CREATE, &dbi));
    mdb_txn_abort(txn);
    txn = both_begin(env, NULL, MDB_RDONLY);
    CALL(mdb_dbi_open(txn, NULL, 0, &dbi));
    see_table(txn, dbi, 3);
    mdb_txn_abort(txn);
}

static void run(const struct both *both)
{
    static const size_t sizes[] = {1, 10, 4096, 8191, 8192, 12288, 16383};

    (void)both;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char name[32];
        MDB_env *env;

        snprintf(name, sizeof(name), "map of %zu", sizes[i]);
        part(name);
        MUST(mdb_env_create(&env));
        MUST(mdb_env_set_mapsize(env, sizes[i]));
        MUST(mdb_env_set_maxdbs(env, 4));
        CALL(mdb_env_open(env, "env", MDB_NOSUBDIR, 0644));
        see_puts(env);
        CALL(mdb_env_set_mapsize(env, 1 << 20));
        see_puts(env);
        see_env(env);
        mdb_env_close(env);
    }
}

BOTH_MAIN(run)
