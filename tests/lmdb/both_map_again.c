/* SPDX-License-Identifier: MIT */
/*
 * A map that is full, opened again and again: it is as large as it was, it is full still, records can
 * be deleted, and a larger one takes more.
 */
#include "both.h"

#define MAP_BYTES ((size_t)1 << 20)
#define ROUNDS 5

struct again {
    MDB_env *env;
    size_t value_bytes;
    unsigned count;
};

static void open_again(struct again *again, size_t mapsize)
{
    MDB_envinfo info;

    MUST(mdb_env_create(&again->env));
    if (mapsize)
        MUST(mdb_env_set_mapsize(again->env, mapsize));
    CALL(mdb_env_open(again->env, "env", MDB_NOSUBDIR | MDB_NOSYNC, 0644));
    MUST(mdb_env_info(again->env, &info));
    see("mapsize %zu, last page %s", info.me_mapsize,
        info.me_last_pgno < info.me_mapsize / 4096 ? "in it" : "beyond");
}

/* One record a txn, at most `most`. */
static int fill(struct again *again, unsigned most)
{
    int rc = 0;

    for (unsigned i = 0; i < most && !rc; i++) {
        MDB_txn *txn = both_begin(again->env, NULL, 0);
        MDB_val key = val_format("%08u", again->count);
        MDB_val data = val_filled(again->count, again->value_bytes);
        MDB_dbi dbi;

        MUST(mdb_dbi_open(txn, NULL, 0, &dbi));
        rc = mdb_put(txn, dbi, &key, &data, 0);
        if (rc)
            mdb_txn_abort(txn);
        else
            rc = mdb_txn_commit(txn);
        again->count += rc ? 0 : 1;
    }
    return rc;
}

static void delete_some(struct again *again, unsigned first)
{
    MDB_txn *txn = both_begin(again->env, NULL, 0);
    MDB_dbi dbi;

    MUST(mdb_dbi_open(txn, NULL, 0, &dbi));
    for (unsigned i = first; i < first + 4; i++) {
        MDB_val key = val_format("%08u", i);

        CALL(mdb_del(txn, dbi, &key, NULL));
    }
    CALL(mdb_txn_commit(txn));
}

static void see_reader(struct again *again)
{
    MDB_txn *txn;

    CALL(mdb_txn_begin(again->env, NULL, MDB_RDONLY, &txn));
    mdb_txn_abort(txn);
}

static void run_again(size_t value_bytes)
{
    struct again again = {.value_bytes = value_bytes};

    for (unsigned round = 0; round < ROUNDS; round++) {
        open_again(&again, round == 2 ? 0 : MAP_BYTES);
        see("filled: %s", both_name(fill(&again, 1000000)));
        see_reader(&again);
        delete_some(&again, round * 4);
        mdb_env_close(again.env);
    }
    open_again(&again, 3 * MAP_BYTES);
    see("more: %s", both_name(fill(&again, 60)));
    see_reader(&again);
    mdb_env_close(again.env);
}

static void run(const struct both *both)
{
    (void)both;
    part("small");
    run_again(100);
    part("a page more");
    run_again(4070);
}

BOTH_MAIN(run)
