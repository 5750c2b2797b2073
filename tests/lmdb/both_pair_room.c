/* SPDX-License-Identifier: MIT */
/*
 * How many records of each size go into a map of 1 MiB: lines "SIZE COUNT". For test_lmdb_room.c,
 * which compares the counts. The argument is the order of the keys, which are of ROOM_KEY_BYTES, and
 * how the records come:
 *
 *     up        all in one txn
 *     random    the same
 *     txns      random, 7 a txn, in a named table, through a cursor; opened anew for each half
 */
#include "both.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MAP_BYTES ((size_t)1 << 20)
#define BATCH 7

struct room {
    MDB_env *env;
    struct both_rng rng;
    bool random;
    bool batches;
    size_t value_bytes;
    uint64_t next;
};

static MDB_env *open_env(void)
{
    MDB_env *env;

    MUST(mdb_env_create(&env));
    MUST(mdb_env_set_mapsize(env, MAP_BYTES));
    MUST(mdb_env_set_maxdbs(env, 2));
    MUST(mdb_env_open(env, "room", MDB_NOSUBDIR | MDB_NOSYNC, 0644));
    return env;
}

static int put_next(struct room *room, MDB_txn *txn, MDB_dbi dbi)
{
    uint64_t number = room->random ? both_below(&room->rng, 100000000) : room->next;
    MDB_val key = val_format("%08u", (unsigned)number);
    MDB_val data = val_filled(number, room->value_bytes);
    MDB_cursor *cursor;
    int rc;

    room->next++;
    if (!room->batches)
        return mdb_put(txn, dbi, &key, &data, 0);
    rc = mdb_cursor_open(txn, dbi, &cursor);
    if (!rc) {
        rc = mdb_cursor_put(cursor, &key, &data, 0);
        mdb_cursor_close(cursor);
    }
    return rc;
}

/* The count of records that one txn could put; it is committed if it put them all. */
static unsigned fill_txn(struct room *room, unsigned most, int *rc_out)
{
    MDB_txn *txn = both_begin(room->env, NULL, 0);
    unsigned count = 0;
    MDB_dbi dbi;
    int rc = mdb_dbi_open(txn, room->batches ? "table" : NULL, MDB_CREATE, &dbi);

    while (!rc && count < most) {
        rc = put_next(room, txn, dbi);
        count += rc ? 0 : 1;
    }
    if (rc)
        mdb_txn_abort(txn);
    else
        rc = mdb_txn_commit(txn);
    *rc_out = rc;
    return count;
}

static unsigned fill(struct room *room)
{
    unsigned count = 0;
    unsigned half = (unsigned)(MAP_BYTES / 2 / (room->value_bytes + 26));
    bool again = room->batches;
    int rc = 0;

    while (!rc) {
        unsigned put = fill_txn(room, room->batches ? BATCH : 1000000, &rc);

        if (!rc || !room->batches)
            count += put;
        if (again && count > half) {
            mdb_env_close(room->env);
            room->env = open_env();
            again = false;
        }
    }
    if (rc != MDB_MAP_FULL)
        see("%s", both_name(rc));
    return count;
}

static void run_size(const struct both *both, size_t value_bytes)
{
    struct room room = {.value_bytes = value_bytes};

    room.batches = strcmp(both->argument, "txns") == 0;
    room.random = room.batches || strcmp(both->argument, "random") == 0;
    both_rng_init(&room.rng, both->seed);
    room.env = open_env();
    see("%zu %u", value_bytes, fill(&room));
    mdb_env_close(room.env);
    unlink("room");
    unlink("room-lock");
}

/* Sizes at which either format needs one page more, or one record fewer fits into a page. */
static void run_edges(const struct both *both)
{
    static const size_t edges[] = {4048, 4064, 4080, 8144, 8160, 8176, 12240, 12256, 12272};

    for (size_t records = 2; records <= 8; records++) {
        size_t ours = 4064 / records - 18;

        for (size_t bytes = ours - 2; bytes <= ours + 18 / records + 2; bytes++)
            run_size(both, bytes);
    }
    for (size_t i = 0; i < sizeof(edges) / sizeof(edges[0]); i++) {
        run_size(both, edges[i]);
        run_size(both, edges[i] + 1);
    }
}

static void run(const struct both *both)
{
    for (size_t bytes = 1; bytes <= 10000; bytes += bytes < 100 ? 33 : 239)
        run_size(both, bytes);
    run_edges(both);
}

BOTH_MAIN(run)
