/* SPDX-License-Identifier: MIT */
/*
 * Comparators at work: random puts, deletes, searches and walks in tables of many pages, in txns that
 * commit, abort and nest, now and then through handles that were opened anew.
 */
#include "both.h"

#include <string.h>

#define PERIODS 30
#define STEPS 400

static int signed_longs(const MDB_val *a, const MDB_val *b)
{
    int64_t x;
    int64_t y;

    memcpy(&x, a->mv_data, 8);
    memcpy(&y, b->mv_data, 8);
    return (x > y) - (x < y);
}

struct order {
    const char *name;
    const char *table; /* NULL: main */
    unsigned flags;
    MDB_cmp_func *key;
    MDB_cmp_func *value;
};

static const struct order orders[] = {
    {"length", "table", 0, both_by_length, NULL},
    {"down", NULL, 0, both_downwards, NULL},
    {"signed", "table", MDB_INTEGERKEY, signed_longs, NULL},
    {"values down", "table", MDB_DUPSORT, NULL, both_downwards},
    {"both by length", NULL, MDB_DUPSORT, both_by_length, both_by_length},
    {"signed values", "table", MDB_DUPSORT | MDB_DUPFIXED | MDB_INTEGERDUP, both_downwards,
     signed_longs},
    {"fixed down", "table", MDB_DUPSORT | MDB_DUPFIXED, NULL, both_downwards},
};

struct world {
    const struct order *order;
    struct both_rng rng;
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
};

static void open_table(struct world *world, MDB_txn *txn)
{
    const struct order *order = world->order;

    MUST(mdb_dbi_open(txn, order->table, order->flags | MDB_CREATE, &world->dbi));
    if (order->key)
        MUST(mdb_set_compare(txn, world->dbi, order->key));
    if (order->value)
        MUST(mdb_set_dupsort(txn, world->dbi, order->value));
}

static MDB_val key_of(struct world *world)
{
    uint64_t number = both_below(&world->rng, 3000);

    if (world->order->flags & MDB_INTEGERKEY)
        return val_u64((number - 1500) * 1000003);
    return val_format("%.*s%llu", (int)(number % 37),
                      "a long beginning that many keys have in common",
                      (unsigned long long)(number * number % 10007));
}

static MDB_val value_of(struct world *world)
{
    uint64_t number = both_below(&world->rng, 500);

    if (world->order->flags & MDB_DUPFIXED)
        return val_u64((number - 250) * 77777);
    if (world->order->flags & MDB_DUPSORT)
        return val_format("%.*s%llu", (int)(number % 50),
                          "the values of duplicates are of many lengths and alike",
                          (unsigned long long)number);
    return val_filled(number, number % 300);
}

static void step(struct world *world, MDB_txn *txn, uint64_t *hash)
{
    MDB_val key = key_of(world);
    MDB_val data = value_of(world);
    unsigned what = (unsigned)both_below(&world->rng, 10);
    MDB_cursor *cursor;
    int rc;

    if (what < 6) {
        rc = mdb_put(txn, world->dbi, &key, &data, what == 0 ? MDB_NOOVERWRITE : 0);
    } else if (what < 8) {
        rc = mdb_del(txn, world->dbi, &key, what == 6 ? &data : NULL);
    } else if (what < 9) {
        rc = mdb_get(txn, world->dbi, &key, &data);
    } else {
        MUST(mdb_cursor_open(txn, world->dbi, &cursor));
        rc = mdb_cursor_get(cursor, &key, &data, MDB_SET_RANGE);
        for (int i = 0; i < 5 && !rc; i++) {
            *hash = both_hash(*hash, key.mv_data, key.mv_size);
            *hash = both_hash(*hash, data.mv_data, data.mv_size);
            rc = mdb_cursor_get(cursor, &key, &data, MDB_NEXT);
        }
        mdb_cursor_close(cursor);
    }
    *hash = both_hash(*hash, &rc, sizeof(rc));
    if (!rc)
        *hash = both_hash(*hash, data.mv_data, data.mv_size);
}

static void period(struct world *world, unsigned number)
{
    MDB_txn *txn = both_begin(world->env, NULL, MDB_NOSYNC);
    MDB_txn *child = NULL;
    uint64_t hash = 0;

    for (unsigned i = 0; i < STEPS; i++) {
        if (!child && both_chance(&world->rng, 2))
            MUST(mdb_txn_begin(world->env, txn, 0, &child));
        step(world, child ? child : txn, &hash);
        if (child && both_chance(&world->rng, 4)) {
            if (both_chance(&world->rng, 50))
                MUST(mdb_txn_commit(child));
            else
                mdb_txn_abort(child);
            child = NULL;
        }
    }
    see("%u: #%016llx", number, (unsigned long long)hash);
    if (both_chance(&world->rng, 20))
        mdb_txn_abort(txn);
    else
        MUST(mdb_txn_commit(txn));
}

static MDB_env *env_open(void)
{
    MDB_env *env;

    MUST(mdb_env_create(&env));
    MUST(mdb_env_set_maxdbs(env, 4));
    MUST(mdb_env_set_mapsize(env, 1 << 26));
    MUST(mdb_env_open(env, ".", 0, 0664));
    return env;
}

static void work(const struct both *both, const struct order *order)
{
    struct world world = {order, {{0, 0}}, NULL, NULL, 0};
    MDB_txn *txn;

    part(order->name);
    both_rng_init(&world.rng, both->seed);
    for (unsigned number = 0; number < both_scaled(both, PERIODS); number++) {
        if (number % 10 == 0) {
            if (world.env)
                mdb_env_close(world.env);
            world.env = env_open();
            txn = both_begin(world.env, NULL, 0);
            open_table(&world, txn);
            MUST(mdb_txn_commit(txn));
        }
        period(&world, number);
        if (number % 5 == 4) {
            txn = both_begin(world.env, NULL, MDB_RDONLY);
            see_table(txn, world.dbi, 20);
            mdb_txn_abort(txn);
        }
    }
    mdb_env_close(world.env);
}

/* A table of many pages that gets its comparator late, in whose order it is. */
static void late(void)
{
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;

    part("late");
    env = env_open();
    txn = both_begin(env, NULL, 0);
    MUST(mdb_dbi_open(txn, "table", MDB_CREATE | MDB_DUPSORT, &dbi));
    for (uint32_t i = 0; i < 20000; i++) {
        MDB_val key = val_format("key%05u", i * 7919u % 5000u);
        MDB_val data = val_format("%08u", i);

        MUST(mdb_put(txn, dbi, &key, &data, 0));
    }
    MUST(mdb_txn_commit(txn));
    txn = both_begin(env, NULL, 0);
    CALL(mdb_set_compare(txn, dbi, both_by_length));
    CALL(mdb_set_dupsort(txn, dbi, both_by_length));
    see_table(txn, dbi, 5);
    CALL(both_put(txn, dbi, "key2", "short", 0));
    CALL(both_put(txn, dbi, "key02500", "1", 0));
    CALL(both_put(txn, dbi, "key04999", "a value that is longer than the others", 0));
    see_table(txn, dbi, 5);
    mdb_txn_abort(txn);
    txn = both_begin(env, NULL, 0);
    CALL(both_put(txn, dbi, "key3", "short", 0));
    see_table(txn, dbi, 5);
    CALL(mdb_txn_commit(txn));
    txn = both_begin(env, NULL, MDB_RDONLY);
    see_table(txn, dbi, 5);
    mdb_txn_abort(txn);
    mdb_env_close(env);
}

static void run(const struct both *both)
{
    for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++)
        work(both, &orders[i]);
    late();
}

BOTH_MAIN(run)
