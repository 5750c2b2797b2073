/* SPDX-License-Identifier: MIT */
/*
 * Txns: begin with its flags, commit, abort, reset and renew, nested ones, and what calls say in
 * each state that a txn can be in.
 */
#include "both.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- Ids ---- */

static void see_id(const char *what, MDB_txn *txn)
{
    see("%s: id %zu", what, mdb_txn_id(txn));
}

static void ids(void)
{
    MDB_env *env = both_env("ids", 0);
    MDB_txn *txn = both_begin(env, NULL, 0);
    MDB_txn *child;
    MDB_dbi dbi;

    see("env of txn: %d, of none: %d", mdb_txn_env(txn) == env, mdb_txn_env(NULL) == NULL);
    see_id("first write txn", txn);
    see_id("no txn", NULL);
    CALL(mdb_txn_commit(txn));
    txn = both_begin(env, NULL, 0);
    see_id("after an empty commit", txn);
    CALL(mdb_dbi_open(txn, NULL, 0, &dbi));
    CALL(mdb_txn_commit(txn));
    txn = both_begin(env, NULL, 0);
    see_id("after an open of the main table", txn);
    CALL(both_put(txn, dbi, "a", "1", 0));
    mdb_txn_abort(txn);
    txn = both_begin(env, NULL, 0);
    see_id("after an abort", txn);
    CALL(both_put(txn, dbi, "a", "1", 0));
    CALL(mdb_txn_begin(env, txn, 0, &child));
    see_id("nested", child);
    CALL(both_put(child, dbi, "b", "1", 0));
    CALL(mdb_txn_commit(child));
    see_id("after nested", txn);
    CALL(mdb_txn_commit(txn));
    see_env(env);
    txn = both_begin(env, NULL, MDB_RDONLY);
    see_id("read txn", txn);
    mdb_txn_reset(txn);
    see_id("reset", txn);
    CALL(mdb_txn_renew(txn));
    see_id("renewed", txn);
    mdb_txn_abort(txn);
    txn = both_begin(env, NULL, 0);
    CALL(mdb_dbi_open(txn, "made", MDB_CREATE, &dbi));
    CALL(mdb_txn_commit(txn));
    txn = both_begin(env, NULL, 0);
    see_id("after a table was made", txn);
    CALL(mdb_dbi_open(txn, "made", MDB_CREATE, &dbi));
    CALL(mdb_txn_commit(txn));
    txn = both_begin(env, NULL, 0);
    see_id("after it was opened", txn);
    CALL(mdb_drop(txn, dbi, 0));
    CALL(mdb_txn_commit(txn));
    txn = both_begin(env, NULL, 0);
    see_id("after the empty table was emptied", txn);
    CALL(mdb_dbi_open(txn, NULL, MDB_REVERSEDUP, &dbi));
    CALL(mdb_txn_commit(txn));
    txn = both_begin(env, NULL, 0);
    see_id("after a flag for the main table", txn);
    CALL(mdb_dbi_open(txn, NULL, MDB_REVERSEDUP, &dbi));
    CALL(mdb_txn_commit(txn));
    txn = both_begin(env, NULL, 0);
    see_id("after the same flag", txn);
    mdb_txn_abort(txn);
    mdb_env_close(env);
}

/* ---- Flags ---- */

static void flags_of_begin(void)
{
    static const unsigned flags[] = {
        0,          MDB_NOSYNC,   MDB_NOMETASYNC, MDB_NOSYNC | MDB_NOMETASYNC,
        MDB_CREATE, MDB_WRITEMAP, MDB_NOTLS,      0x1u,
        0x2u,       0x80000000u,  MDB_NOLOCK};
    MDB_env *env = both_env("flags", 0);
    MDB_txn *txn;
    MDB_dbi dbi;

    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        see("flags %#x", flags[i]);
        if (CALL(mdb_txn_begin(env, NULL, flags[i], &txn)))
            continue;
        CALL(mdb_dbi_open(txn, NULL, 0, &dbi));
        CALL(both_put(txn, dbi, "key", "value", 0));
        CALL(mdb_txn_commit(txn));
        if (CALL(mdb_txn_begin(env, NULL, flags[i] | MDB_RDONLY, &txn)))
            continue;
        CALL(both_put(txn, dbi, "key", "value", 0));
        CALL(mdb_txn_commit(txn));
    }
    mdb_env_close(env);
    env = both_env("flags", MDB_RDONLY);
    CALL(mdb_txn_begin(env, NULL, 0, &txn));
    CALL(mdb_txn_begin(env, NULL, MDB_NOSYNC, &txn));
    CALL(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn));
    CALL(mdb_dbi_open(txn, "new", MDB_CREATE, &dbi));
    CALL(mdb_dbi_open(txn, "new", 0, &dbi));
    mdb_txn_abort(txn);
    mdb_env_close(env);
}

/* ---- States ---- */

/* What each call says of the txn. */
static void see_state(MDB_txn *txn, MDB_dbi dbi, bool closing)
{
    MDB_val key = val_str("key");
    MDB_val data = val_str("data");
    MDB_cursor *cursor = NULL;
    MDB_txn *child = NULL;
    unsigned flags = 77;
    MDB_dbi opened = 99;
    MDB_stat stat;

    memset(&stat, 0, sizeof(stat));
    CALL(mdb_get(txn, dbi, &key, &data));
    data = val_str("data");
    CALL(mdb_put(txn, dbi, &key, &data, 0));
    CALL(mdb_del(txn, dbi, &key, NULL));
    if (!CALL(mdb_cursor_open(txn, dbi, &cursor)))
        mdb_cursor_close(cursor);
    if (!CALL(mdb_stat(txn, dbi, &stat)))
        see("entries %zu", stat.ms_entries);
    CALL(mdb_stat(txn, dbi, NULL));
    if (!CALL(mdb_dbi_flags(txn, dbi, &flags)))
        see("flags %#x", flags);
    CALL(mdb_dbi_open(txn, NULL, 0, &opened));
    CALL(mdb_dbi_open(txn, "state", 0, &opened));
    CALL(mdb_dbi_open(txn, "state", 0x400, &opened));
    CALL(mdb_dbi_open(txn, "other", MDB_CREATE, &opened));
    CALL(mdb_drop(txn, dbi, 2));
    CALL(mdb_drop(txn, dbi, 0));
    CALL(mdb_set_relfunc(txn, dbi, NULL));
    CALL(mdb_set_relctx(txn, dbi, NULL));
    if (!CALL(mdb_txn_begin(mdb_txn_env(txn), txn, 0, &child)))
        mdb_txn_abort(child);
    if (!CALL(mdb_txn_begin(mdb_txn_env(txn), txn, MDB_RDONLY, &child)))
        mdb_txn_abort(child);
    if (closing)
        CALL(mdb_txn_renew(txn));
}

static MDB_dbi state_table(MDB_env *env)
{
    MDB_txn *txn = both_begin(env, NULL, 0);
    MDB_dbi dbi;

    MUST(mdb_dbi_open(txn, "state", MDB_CREATE, &dbi));
    MUST(both_put(txn, dbi, "key", "before", 0));
    MUST(mdb_txn_commit(txn));
    return dbi;
}

/* Brings a txn to fail: a put into a map that is full. */
static int fill_map(MDB_txn *txn, MDB_dbi dbi)
{
    int rc = 0;

    for (unsigned i = 0; !rc && i < 100000; i++) {
        MDB_val key = val_format("fill%u", i);
        MDB_val data = val_filled(i, 100000);

        rc = mdb_put(txn, dbi, &key, &data, 0);
    }
    return rc;
}

static void states(void)
{
    MDB_env *env = both_env("states", 0);
    MDB_dbi dbi = state_table(env);
    MDB_txn *txn;
    MDB_txn *child;

    part("live write");
    txn = both_begin(env, NULL, 0);
    see_state(txn, dbi, true);
    mdb_txn_abort(txn);
    part("live read");
    txn = both_begin(env, NULL, MDB_RDONLY);
    see_state(txn, dbi, true);
    mdb_txn_abort(txn);
    part("reset read");
    txn = both_begin(env, NULL, MDB_RDONLY);
    mdb_txn_reset(txn);
    see_state(txn, dbi, false);
    mdb_txn_reset(txn);
    CALL(mdb_txn_renew(txn));
    CALL(mdb_txn_renew(txn));
    see_table(txn, dbi, 3);
    CALL(mdb_txn_commit(txn));
    txn = both_begin(env, NULL, MDB_RDONLY);
    mdb_txn_reset(txn);
    CALL(mdb_txn_commit(txn));
    part("with a child");
    txn = both_begin(env, NULL, 0);
    CALL(mdb_txn_begin(env, txn, 0, &child));
    see_state(txn, dbi, true);
    see_state(child, dbi, true);
    CALL(mdb_txn_commit(child));
    mdb_txn_reset(txn);
    see_state(txn, dbi, true);
    mdb_txn_abort(txn);
    part("failed");
    txn = both_begin(env, NULL, 0);
    see("full: %s", both_name(fill_map(txn, dbi)));
    see_state(txn, dbi, true);
    CALL(mdb_txn_commit(txn));
    part("failed child");
    txn = both_begin(env, NULL, 0);
    CALL(mdb_txn_begin(env, txn, 0, &child));
    see("full: %s", both_name(fill_map(child, dbi)));
    CALL(mdb_txn_commit(child));
    see_state(txn, dbi, true);
    CALL(mdb_txn_commit(txn));
    part("failed and aborted child");
    txn = both_begin(env, NULL, 0);
    CALL(both_put(txn, dbi, "parent", "put this", 0));
    CALL(mdb_txn_begin(env, txn, 0, &child));
    see("full: %s", both_name(fill_map(child, dbi)));
    mdb_txn_abort(child);
    see_state(txn, dbi, true);
    CALL(mdb_txn_commit(txn));
    mdb_env_close(env);
}

static void of_nothing(void)
{
    mdb_txn_abort(NULL);
    mdb_txn_reset(NULL);
    CALL(mdb_txn_commit(NULL));
    CALL(mdb_txn_renew(NULL));
}

/* ---- Nested ---- */

static void see_main(MDB_env *env)
{
    MDB_txn *txn = both_begin(env, NULL, MDB_RDONLY);

    see_table(txn, 1, 30);
    mdb_txn_abort(txn);
}

static void nested(void)
{
    MDB_env *env = both_env("nested", 0);
    MDB_txn *levels[4];
    MDB_txn *other;
    MDB_dbi dbi;

    levels[0] = both_begin(env, NULL, 0);
    CALL(mdb_dbi_open(levels[0], NULL, 0, &dbi));
    for (int i = 0; i < 4; i++) {
        if (i)
            CALL(mdb_txn_begin(env, levels[i - 1], 0, &levels[i]));
        MDB_val key = val_format("level%d", i);
        MDB_val data = val_str("x");
        CALL(mdb_put(levels[i], dbi, &key, &data, 0));
    }
    CALL(mdb_txn_begin(env, levels[1], 0, &other));
    mdb_txn_abort(levels[3]);
    CALL(mdb_txn_commit(levels[2]));
    CALL(mdb_txn_begin(env, levels[1], MDB_NOSYNC, &levels[2]));
    CALL(both_put(levels[2], dbi, "late", "x", 0));
    CALL(mdb_txn_commit(levels[0])); /* the others with it */
    see_main(env);
    levels[0] = both_begin(env, NULL, 0);
    CALL(mdb_txn_begin(env, levels[0], 0, &levels[1]));
    CALL(both_put(levels[1], dbi, "never", "x", 0));
    mdb_txn_abort(levels[0]);
    see_main(env);
    levels[0] = both_begin(env, NULL, 0);
    CALL(mdb_txn_begin(env, levels[0], 0, &levels[1]));
    CALL(mdb_del(levels[1], dbi, &(MDB_val){6, (void *)"level0"}, NULL));
    CALL(mdb_txn_commit(levels[1]));
    CALL(mdb_txn_begin(env, levels[0], 0, &levels[1]));
    CALL(mdb_del(levels[1], dbi, &(MDB_val){6, (void *)"level1"}, NULL));
    mdb_txn_abort(levels[1]);
    CALL(mdb_txn_commit(levels[0]));
    see_main(env);
    mdb_env_close(env);

    env = both_env("writemap", MDB_WRITEMAP);
    levels[0] = both_begin(env, NULL, 0);
    CALL(mdb_txn_begin(env, levels[0], 0, &levels[1]));
    CALL(mdb_txn_begin(env, levels[0], MDB_RDONLY, &levels[1]));
    CALL(mdb_dbi_open(levels[0], NULL, 0, &dbi));
    CALL(both_put(levels[0], dbi, "a", "1", 0));
    CALL(mdb_txn_commit(levels[0]));
    levels[0] = both_begin(env, NULL, MDB_RDONLY);
    CALL(mdb_txn_begin(env, levels[0], 0, &levels[1]));
    CALL(mdb_txn_begin(env, levels[0], MDB_RDONLY, &levels[1]));
    mdb_txn_abort(levels[0]);
    mdb_env_close(env);
}

/* ---- Readers ---- */

struct other {
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    int rc;
};

static void *begin_elsewhere(void *context)
{
    struct other *other = context;

    other->rc = mdb_txn_begin(other->env, NULL, MDB_RDONLY, &other->txn);
    return NULL;
}

static void *renew_elsewhere(void *context)
{
    struct other *other = context;

    other->rc = mdb_txn_renew(other->txn);
    mdb_txn_abort(other->txn);
    return NULL;
}

static int elsewhere(void *(*what)(void *), struct other *other)
{
    pthread_t thread;

    pthread_create(&thread, NULL, what, other);
    pthread_join(thread, NULL);
    return other->rc;
}

static void readers(unsigned flags)
{
    MDB_env *env;
    MDB_txn *txns[4] = {NULL};
    struct other other = {NULL, NULL, 0, 0};
    int rc;

    MUST(mdb_env_create(&env));
    MUST(mdb_env_set_maxreaders(env, 3));
    MUST(mdb_env_set_maxdbs(env, 4));
    MUST(mdb_env_open(env, ".", flags, 0664));
    other.env = env;
    for (int i = 0; i < 4; i++) {
        rc = mdb_txn_begin(env, NULL, MDB_RDONLY, &txns[i]);
        see("read txn %d: %s", i, both_name(rc));
        if (rc)
            txns[i] = NULL;
    }
    see("in another thread: %s", both_name(elsewhere(begin_elsewhere, &other)));
    mdb_txn_reset(txns[0]);
    for (int i = 1; i < 4; i++) {
        if (!txns[i])
            see("again %d: %s", i, both_name(mdb_txn_begin(env, NULL, MDB_RDONLY, &txns[i])));
        else
            mdb_txn_reset(txns[i]);
    }
    see("renew: %s", both_name(mdb_txn_renew(txns[0])));
    for (int i = 1; i < 4; i++)
        mdb_txn_abort(txns[i]);
    mdb_txn_reset(txns[0]);
    other.txn = txns[0];
    see("renewed elsewhere: %s", both_name(elsewhere(renew_elsewhere, &other)));
    see("at last: %s", both_name(mdb_txn_begin(env, NULL, MDB_RDONLY, &txns[0])));
    mdb_txn_abort(txns[0]);
    mdb_env_close(env);
}

/* ---- Growth by another env ---- */

/* Another process, for genuine LMDB cannot have a file open twice in one. */
static int grow(void)
{
    int pid;

    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        MDB_env *env;
        MDB_txn *txn;
        MDB_dbi dbi;

        MUST(mdb_env_create(&env));
        MUST(mdb_env_set_mapsize(env, 1 << 24));
        MUST(mdb_env_open(env, ".", MDB_NOTLS, 0664));
        txn = both_begin(env, NULL, 0);
        MUST(mdb_dbi_open(txn, NULL, 0, &dbi));
        for (unsigned i = 0; i < 100; i++) {
            MDB_val key = val_u32(i);
            MDB_val data = val_filled(i, 10000);

            MUST(mdb_put(txn, dbi, &key, &data, 0));
        }
        MUST(mdb_txn_commit(txn));
        mdb_env_close(env);
        _exit(0);
    }
    return pid;
}

static void resized(void)
{
    MDB_env *env;
    MDB_txn *txn;
    MDB_txn *reader;
    MDB_dbi dbi;

    MUST(mdb_env_create(&env));
    MUST(mdb_env_set_mapsize(env, 1 << 18));
    MUST(mdb_env_open(env, ".", MDB_NOTLS, 0664));
    txn = both_begin(env, NULL, 0);
    MUST(mdb_dbi_open(txn, NULL, 0, &dbi));
    CALL(mdb_txn_commit(txn));
    CALL(mdb_txn_begin(env, NULL, MDB_RDONLY, &reader));
    mdb_txn_reset(reader);
    see_child(grow());
    CALL(mdb_txn_begin(env, NULL, 0, &txn));
    CALL(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn));
    CALL(mdb_txn_renew(reader));
    CALL(mdb_env_set_mapsize(env, 0));
    CALL(mdb_txn_renew(reader));
    see_stat(reader, dbi);
    mdb_txn_abort(reader);
    CALL(mdb_txn_begin(env, NULL, 0, &txn));
    CALL(both_put(txn, dbi, "key", "data", 0));
    CALL(mdb_txn_commit(txn));
    mdb_env_close(env);
}

static void run(const struct both *both)
{
    (void)both;
    part("ids");
    ids();
    part("flags");
    flags_of_begin();
    part("states");
    states();
    part("of nothing");
    of_nothing();
    part("nested");
    nested();
    part("readers");
    readers(0);
    part("readers without thread local storage");
    readers(MDB_NOTLS);
    part("readers without locks");
    readers(MDB_NOLOCK);
    part("resized");
    resized();
}

BOTH_MAIN(run)
