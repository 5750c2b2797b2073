/* SPDX-License-Identifier: MIT */
/*
 * The ordinary life of a database: an env, a table of each kind, records, a cursor's walk.
 */
#include "both.h"

static void fill(MDB_txn *txn, MDB_dbi dbi, unsigned flags)
{
    for (uint32_t i = 0; i < 20; i++) {
        MDB_val key =
            flags & MDB_INTEGERKEY ? val_u32(i * 7 % 10) : val_format("key%u", i * 7 % 10);
        MDB_val data = flags & MDB_INTEGERDUP ? val_u32(i) : val_format("value%02u", i);

        CALL_PAIR(mdb_put(txn, dbi, &key, &data, 0), &key, &data);
    }
}

static void run(const struct both *both)
{
    MDB_env *env;

    (void)both;
    part("kinds");
    CALL(mdb_env_create(&env));
    CALL(mdb_env_set_maxdbs(env, BOTH_KINDS));
    CALL(mdb_env_open(env, ".", 0, 0640));
    see_folder(".");
    see_env(env);
    for (int i = 0; i < BOTH_KINDS; i++) {
        MDB_txn *txn = both_begin(env, NULL, 0);
        MDB_dbi dbi = 0;

        see("%s", both_kinds[i].name);
        CALL(mdb_dbi_open(txn, both_kinds[i].name, both_kinds[i].flags | MDB_CREATE, &dbi));
        fill(txn, dbi, both_kinds[i].flags);
        see_stat(txn, dbi);
        see_table(txn, dbi, 100);
        CALL(mdb_txn_commit(txn));
        see_env(env);
    }
    mdb_env_close(env);
    see_folder(".");
}

BOTH_MAIN(run)
