/* SPDX-License-Identifier: MIT */
/*
 * Threads: readers that begin, read and end while one thread writes and opens and closes handles of
 * its own, and a reader that is handed from thread to thread.
 */
#include "both.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define THREADS 4
#define ROUNDS 300

struct shared {
    MDB_env *env;
    MDB_dbi dbi;
    atomic_int stop;
    atomic_uint wrong;
    atomic_uint reads;
};

/* Each record of the table is the number of the txn that wrote it: all alike in a snapshot. */
static int read_once(struct shared *shared, MDB_txn *txn)
{
    MDB_val first = {0, NULL};
    MDB_val data;

    for (uint32_t i = 0; i < 10; i++) {
        MDB_val key = {sizeof(i), &i};

        if (mdb_get(txn, shared->dbi, &key, i ? &data : &first))
            return 1;
        if (i &&
            (data.mv_size != first.mv_size || memcmp(data.mv_data, first.mv_data, data.mv_size)))
            return 1;
    }
    return 0;
}

static void *read_often(void *context)
{
    struct shared *shared = context;
    MDB_txn *kept = NULL;

    do {
        MDB_txn *txn;
        int rc = mdb_txn_begin(shared->env, NULL, MDB_RDONLY, &txn);

        if (rc || read_once(shared, txn))
            atomic_fetch_add(&shared->wrong, 1);
        if (!rc && !kept) {
            kept = txn;
            mdb_txn_reset(kept);
            if (mdb_txn_renew(kept) || read_once(shared, kept))
                atomic_fetch_add(&shared->wrong, 1);
            mdb_txn_reset(kept);
        } else if (!rc) {
            mdb_txn_abort(txn);
        }
        atomic_fetch_add(&shared->reads, 1);
    } while (!atomic_load(&shared->stop));
    mdb_txn_abort(kept);
    return NULL;
}

static void write_all(MDB_txn *txn, MDB_dbi dbi, uint32_t number)
{
    for (uint32_t i = 0; i < 10; i++) {
        MDB_val key = {sizeof(i), &i};
        MDB_val data = {sizeof(number), &number};

        MUST(mdb_put(txn, dbi, &key, &data, 0));
    }
}

static void write_often(struct shared *shared)
{
    for (uint32_t n = 1; n <= ROUNDS; n++) {
        MDB_val name = val_format("other%u", n % 7);
        MDB_txn *txn = both_begin(shared->env, NULL, n % 5 ? MDB_NOSYNC : 0);
        MDB_txn *child = NULL;
        MDB_dbi other;

        write_all(txn, shared->dbi, n);
        MUST(mdb_dbi_open(txn, name.mv_data, MDB_CREATE, &other));
        if (n % 3 == 0) {
            MUST(mdb_txn_begin(shared->env, txn, 0, &child));
            write_all(child, shared->dbi, n + 1000);
            MUST(mdb_txn_commit(child));
        }
        if (n % 11 == 0)
            MUST(mdb_drop(txn, other, 1));
        if (n % 4 == 0)
            mdb_txn_abort(txn);
        else
            MUST(mdb_txn_commit(txn));
        if (n % 13 == 0)
            mdb_dbi_close(shared->env, other);
    }
}

static void together(unsigned flags)
{
    struct shared shared = {both_env("env", flags), 0, 0, 0, 0};
    pthread_t threads[THREADS];
    MDB_txn *txn = both_begin(shared.env, NULL, 0);

    MUST(mdb_dbi_open(txn, "table", MDB_CREATE | MDB_INTEGERKEY, &shared.dbi));
    write_all(txn, shared.dbi, 0);
    MUST(mdb_txn_commit(txn));
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, read_often, &shared);
    write_often(&shared);
    atomic_store(&shared.stop, 1);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    see("wrong: %u, read at all: %d", atomic_load(&shared.wrong), atomic_load(&shared.reads) > 0);
    txn = both_begin(shared.env, NULL, MDB_RDONLY);
    see_table(txn, shared.dbi, 10);
    mdb_txn_abort(txn);
    mdb_env_close(shared.env);
}

static void run(const struct both *both)
{
    (void)both;
    part("threads");
    together(0);
    part("threads without thread local storage");
    together(MDB_NOTLS);
}

BOTH_MAIN(run)
