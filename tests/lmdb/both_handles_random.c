/* SPDX-License-Identifier: MIT */
/*
 * Handles at random: tables opened, made, emptied, dropped and closed in txns that nest, commit and
 * abort, beside a read txn; what each call says, and what is in each table.
 */
#include "both.h"

#include <string.h>

#define STEPS 6000
#define DEPTH_MAX 3
#define DBIS_END 8

struct world {
    struct both_rng rng;
    MDB_env *env;
    MDB_txn *txns[DEPTH_MAX];
    unsigned depth;
    MDB_txn *reader;
};

static MDB_txn *top(struct world *world)
{
    return world->depth ? world->txns[world->depth - 1] : NULL;
}

static void begin(struct world *world)
{
    MDB_txn *txn;
    int rc;

    if (world->depth == DEPTH_MAX)
        return;
    rc = mdb_txn_begin(world->env, top(world), MDB_NOSYNC, &txn);
    see("begin %u: %s", world->depth, both_name(rc));
    if (!rc)
        world->txns[world->depth++] = txn;
}

static void end(struct world *world)
{
    MDB_txn *txn = top(world);

    if (!txn)
        return;
    world->depth--;
    if (both_chance(&world->rng, 65)) {
        see("commit %u: %s", world->depth, both_name(mdb_txn_commit(txn)));
    } else {
        see("abort %u", world->depth);
        mdb_txn_abort(txn);
    }
}

static void open_or_make(struct world *world, MDB_txn *txn)
{
    static const unsigned flags[] = {0, MDB_CREATE, MDB_CREATE, MDB_CREATE | MDB_DUPSORT,
                                     MDB_CREATE | MDB_REVERSEKEY};
    MDB_val name = val_format("t%u", (unsigned)both_below(&world->rng, 7));
    unsigned flag = flags[both_below(&world->rng, 5)];
    MDB_dbi dbi = 77;
    int rc = mdb_dbi_open(txn, name.mv_data, flag, &dbi);

    see("open %s %#x: %s %u", (char *)name.mv_data, flag, both_name(rc), dbi);
}

static void use(struct world *world, MDB_txn *txn, MDB_dbi dbi)
{
    MDB_val key = val_format("key%u", (unsigned)both_below(&world->rng, 20));
    MDB_val data = val_format("data%u", (unsigned)both_below(&world->rng, 20));
    unsigned flags = 0;
    MDB_stat stat;
    int rc;

    switch (both_below(&world->rng, 5)) {
    case 0:
        rc = mdb_get(txn, dbi, &key, &data);
        see("get %u: %s", dbi, both_name(rc));
        break;
    case 1:
        rc = mdb_stat(txn, dbi, &stat);
        see("stat %u: %s %zu", dbi, both_name(rc), rc ? 0 : stat.ms_entries);
        break;
    case 2:
        rc = mdb_dbi_flags(txn, dbi, &flags);
        see("flags %u: %s %#x", dbi, both_name(rc), flags);
        break;
    case 3:
        see("del %u: %s", dbi, both_name(mdb_del(txn, dbi, &key, NULL)));
        break;
    default:
        see("put %u: %s", dbi, both_name(mdb_put(txn, dbi, &key, &data, 0)));
        break;
    }
}

static void read_step(struct world *world)
{
    MDB_dbi dbi = 1 + (MDB_dbi)both_below(&world->rng, DBIS_END - 1);

    if (!world->reader) {
        MUST(mdb_txn_begin(world->env, NULL, MDB_RDONLY, &world->reader));
        see("reader begins at %zu", mdb_txn_id(world->reader));
    } else if (both_chance(&world->rng, 20)) {
        if (both_chance(&world->rng, 30)) {
            mdb_txn_reset(world->reader);
            MUST(mdb_txn_renew(world->reader));
            see("reader renewed at %zu", mdb_txn_id(world->reader));
            return;
        }
        if (both_chance(&world->rng, 50))
            see("reader commits: %s", both_name(mdb_txn_commit(world->reader)));
        else
            mdb_txn_abort(world->reader);
        world->reader = NULL;
    } else {
        use(world, world->reader, dbi);
    }
}

/* Closing and dropping are for when nobody else uses the handle. */
static void alone(struct world *world)
{
    MDB_dbi dbi = 2 + (MDB_dbi)both_below(&world->rng, DBIS_END - 2);

    if (world->depth || world->reader)
        return;
    see("close %u", dbi);
    mdb_dbi_close(world->env, dbi);
}

static void drop(struct world *world)
{
    MDB_dbi dbi = 2 + (MDB_dbi)both_below(&world->rng, DBIS_END - 2);
    int del = (int)both_below(&world->rng, 2);

    if (world->reader || !world->depth || (del && world->depth > 1))
        return;
    see("drop %u %d: %s", dbi, del, both_name(mdb_drop(top(world), dbi, del)));
}

static void step(struct world *world)
{
    uint64_t what = both_below(&world->rng, 100);
    MDB_txn *txn = top(world);

    if (what < 12)
        begin(world);
    else if (what < 20)
        end(world);
    else if (what < 25)
        alone(world);
    else if (what < 30)
        drop(world);
    else if (what < 45)
        read_step(world);
    else if (txn && what < 60 && !world->reader)
        open_or_make(world, txn);
    else if (txn)
        use(world, txn, 1 + (MDB_dbi)both_below(&world->rng, DBIS_END - 1));
}

static void see_all(struct world *world)
{
    MDB_txn *txn = both_begin(world->env, NULL, 0);

    for (MDB_dbi dbi = 2; dbi < DBIS_END; dbi++)
        see_table(txn, dbi, 3);
    mdb_txn_abort(txn);
}

static void run(const struct both *both)
{
    struct world world = {{{0, 0}}, NULL, {NULL}, 0, NULL};
    MDB_txn *txn;
    MDB_dbi main;

    both_rng_init(&world.rng, both->seed);
    MUST(mdb_env_create(&world.env));
    MUST(mdb_env_set_maxdbs(world.env, 5));
    MUST(mdb_env_open(world.env, ".", MDB_NOTLS, 0664));
    txn = both_begin(world.env, NULL, 0);
    MUST(mdb_dbi_open(txn, NULL, 0, &main));
    MUST(mdb_txn_commit(txn));
    for (uint64_t i = 0; i < both_scaled(both, STEPS); i++) {
        step(&world);
        if (i % 500 == 499 && !world.depth)
            see_all(&world);
    }
    while (world.depth)
        end(&world);
    mdb_txn_abort(world.reader);
    see_all(&world);
    mdb_env_close(world.env);
}

BOTH_MAIN(run)
