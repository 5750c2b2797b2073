/* SPDX-License-Identifier: MIT */
/*
 * mdb_drop: emptied and deleted tables, their handles and cursors afterwards, in the same txn, after
 * commit and after abort, nested; the main table; a table that another process dropped.
 */
#include "both.h"

#include <stdio.h>
#include <unistd.h>

static MDB_env *env_of(const char *name)
{
    static unsigned number;
    MDB_val numbered = val_format("%u %s", ++number, name);
    MDB_env *env;

    part(numbered.mv_data);
    MUST(mdb_env_create(&env));
    MUST(mdb_env_set_maxdbs(env, 6));
    MUST(mdb_env_open(env, ".", 0, 0664));
    return env;
}

static MDB_dbi table(MDB_txn *txn, const char *name, unsigned flags, unsigned count)
{
    MDB_dbi dbi;

    MUST(mdb_dbi_open(txn, name, flags, &dbi));
    for (unsigned i = 0; i < count; i++) {
        MDB_val key = flags & MDB_INTEGERKEY ? val_u32(i / 3) : val_format("key%04u", i / 3);
        MDB_val data = flags & MDB_INTEGERDUP ? val_u64(i) : val_format("data%u", i);

        MUST(mdb_put(txn, dbi, &key, &data, 0));
    }
    return dbi;
}

static void see_use_told(MDB_txn *txn, MDB_dbi dbi, bool told)
{
    MDB_val key = val_str("key0001");
    MDB_val data;
    unsigned flags = 0;
    MDB_stat stat;
    int rc = mdb_stat(txn, dbi, &stat);

    if (told) /* of a table that is gone LMDB tells what its memory holds */
        see("handle %u: stat %s %zu", dbi, both_name(rc), rc ? 0 : stat.ms_entries);
    rc = mdb_dbi_flags(txn, dbi, &flags);
    see("  flags %s %#x", both_name(rc), rc ? 0 : flags);
    see("  get %s", both_name(mdb_get(txn, dbi, &key, &data)));
}

static void see_use(MDB_txn *txn, MDB_dbi dbi)
{
    see_use_told(txn, dbi, true);
}

static void see_use_write(MDB_txn *txn, MDB_dbi dbi)
{
    see("  del %s", both_name(mdb_del(txn, dbi, &(MDB_val){3, (void *)"abc"}, NULL)));
    see("  put %s", both_name(both_put(txn, dbi, "new key", "new data", 0)));
}

static void see_tables(MDB_env *env)
{
    MDB_txn *txn = both_begin(env, NULL, MDB_RDONLY);
    MDB_dbi main;
    MDB_cursor *cursor;
    MDB_val key;
    MDB_val data;

    MUST(mdb_dbi_open(txn, NULL, 0, &main));
    MUST(mdb_cursor_open(txn, main, &cursor));
    while (mdb_cursor_get(cursor, &key, &data, MDB_NEXT) == 0)
        see("  main table: %.*s, %zu bytes", (int)key.mv_size, (char *)key.mv_data, data.mv_size);
    mdb_cursor_close(cursor);
    mdb_txn_abort(txn);
}

/* A table emptied or dropped, then used, then the txn ended, then used again. */
static void drop_one(unsigned flags, int del, bool keep, bool again)
{
    MDB_env *env = env_of("one");
    MDB_txn *txn = both_begin(env, NULL, 0);
    MDB_dbi dbi = table(txn, "table", flags | MDB_CREATE, 40);
    MDB_dbi second = 77;
    unsigned kept = 0;

    see("flags %#x del %d keep %d again %d", flags, del, keep, again);
    CALL(mdb_txn_commit(txn));
    txn = both_begin(env, NULL, 0);
    CALL(mdb_drop(txn, dbi, del));
    see_use(txn, dbi);
    CALL(mdb_drop(txn, dbi, del));
    if (again) {
        CALL(mdb_dbi_open(txn, "table", 0, &second));
        CALL(mdb_dbi_open(txn, "table", MDB_CREATE | MDB_REVERSEKEY, &second));
        see("handle %u", second);
        CALL(mdb_dbi_flags(txn, second, &kept));
        see("flags %#x", kept);
        CALL(both_put(txn, second, "after", "drop", 0));
        see_table(txn, second, 10);
    }
    if (keep)
        CALL(mdb_txn_commit(txn));
    else
        mdb_txn_abort(txn);
    see_tables(env);
    txn = both_begin(env, NULL, 0);
    see_use(txn, dbi);
    CALL(mdb_dbi_open(txn, "table", 0, &second));
    see("handle %u", second);
    CALL(mdb_drop(txn, dbi, del));
    CALL(mdb_txn_commit(txn));
    see_tables(env);
    mdb_env_close(env);
}

/* Sizes are open again in an emptied table of integers. */
static void sizes(void)
{
    MDB_env *env = env_of("sizes");
    MDB_txn *txn = both_begin(env, NULL, 0);
    MDB_dbi dbi = table(txn, "table", MDB_CREATE | MDB_INTEGERKEY, 9);
    MDB_dbi dups = table(txn, "dups", MDB_CREATE | MDB_DUPSORT | MDB_DUPFIXED | MDB_INTEGERDUP, 9);
    MDB_val key = val_str("key");
    MDB_val data = val_u32(7);

    CALL(mdb_drop(txn, dbi, 0));
    CALL(mdb_drop(txn, dups, 0));
    CALL(mdb_put(txn, dups, &key, &data, 0));
    data = val_u32(3);
    CALL(mdb_put(txn, dups, &key, &data, 0));
    for (unsigned i = 9; i-- > 0;) {
        key = val_u64(i * 1000);
        data = val_format("long%u", i);
        CALL(mdb_put(txn, dbi, &key, &data, 0));
    }
    see_table(txn, dbi, 20);
    see_table(txn, dups, 20);
    CALL(mdb_txn_commit(txn));
    mdb_env_close(env);
}

static void with_cursors(int del)
{
    MDB_env *env = env_of("cursors");
    MDB_txn *txn = both_begin(env, NULL, 0);
    MDB_dbi dbi = table(txn, "table", MDB_CREATE, 40);
    MDB_cursor *fresh;
    MDB_cursor *placed;
    MDB_val key;
    MDB_val data;

    CALL(mdb_txn_commit(txn));
    txn = both_begin(env, NULL, 0);
    CALL(mdb_cursor_open(txn, dbi, &fresh));
    CALL(mdb_cursor_open(txn, dbi, &placed));
    CALL(mdb_cursor_get(placed, &key, &data, MDB_FIRST));
    CALL(mdb_cursor_get(placed, &key, &data, MDB_NEXT));
    CALL(mdb_drop(txn, dbi, del));
    if (!del) {
        CALL(mdb_cursor_get(placed, &key, &data, MDB_GET_CURRENT));
        CALL(mdb_cursor_get(placed, &key, &data, MDB_NEXT));
        CALL(mdb_cursor_get(fresh, &key, &data, MDB_NEXT));
        CALL(mdb_cursor_get(fresh, &key, &data, MDB_LAST));
        CALL(both_put(txn, dbi, "new", "record", 0));
        CALL_PAIR(mdb_cursor_get(placed, &key, &data, MDB_NEXT), &key, &data);
        CALL_PAIR(mdb_cursor_get(fresh, &key, &data, MDB_FIRST), &key, &data);
    }
    mdb_cursor_close(fresh);
    CALL(mdb_txn_commit(txn));
    see_tables(env);
    mdb_env_close(env);
}

static void nested(int del, bool keep)
{
    MDB_env *env = env_of("nested");
    MDB_txn *txn = both_begin(env, NULL, 0);
    MDB_txn *child;
    MDB_dbi dbi = table(txn, "table", MDB_CREATE, 40);

    CALL(mdb_txn_commit(txn));
    txn = both_begin(env, NULL, 0);
    CALL(both_put(txn, dbi, "in", "parent", 0));
    CALL(mdb_txn_begin(env, txn, 0, &child));
    CALL(mdb_drop(child, dbi, del));
    see_use(child, dbi);
    if (keep)
        CALL(mdb_txn_commit(child));
    else
        mdb_txn_abort(child);
    if (!del || keep)
        see_use(txn, dbi);
    CALL(mdb_txn_commit(txn));
    see_tables(env);
    txn = both_begin(env, NULL, MDB_RDONLY);
    CALL(mdb_dbi_open(txn, "table", 0, &dbi));
    mdb_txn_abort(txn);
    mdb_env_close(env);
}

static void of_main(int del, bool named)
{
    MDB_env *env = env_of("main");
    MDB_txn *txn = both_begin(env, NULL, 0);
    MDB_dbi main = table(txn, NULL, 0, 40);
    MDB_dbi dbi = 0;

    if (named)
        dbi = table(txn, "table", MDB_CREATE, 40);
    CALL(mdb_txn_commit(txn));
    see_tables(env);
    txn = both_begin(env, NULL, 0);
    CALL(mdb_drop(txn, main, del));
    see_use(txn, main);
    see_use_write(txn, main);
    CALL(mdb_txn_commit(txn));
    see_tables(env);
    txn = both_begin(env, NULL, 0);
    see_use(txn, main);
    if (named) {
        see_use_told(txn, dbi, false);
        CALL(mdb_drop(txn, dbi, 1));
        see_use_told(txn, dbi, false);
    }
    CALL(mdb_txn_commit(txn));
    if (named) {
        txn = both_begin(env, NULL, 0);
        CALL(mdb_dbi_open(txn, "table", MDB_CREATE, &dbi));
        see_use_told(txn, dbi, false);
        CALL(mdb_txn_commit(txn));
    }
    see_tables(env);
    mdb_env_close(env);
}

/* Each step is another process's. */
static void elsewhere(unsigned flags, int del)
{
    int pid;

    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        MDB_env *env;
        MDB_txn *txn;
        MDB_dbi dbi;

        MUST(mdb_env_create(&env));
        MUST(mdb_env_set_maxdbs(env, 6));
        MUST(mdb_env_open(env, ".", 0, 0664));
        txn = both_begin(env, NULL, 0);
        MUST(mdb_dbi_open(txn, "table", MDB_CREATE | flags, &dbi));
        if (del >= 0)
            MUST(mdb_drop(txn, dbi, del));
        else
            MUST(both_put(txn, dbi, "key0001", "elsewhere", 0));
        MUST(mdb_txn_commit(txn));
        mdb_env_close(env);
        _exit(0);
    }
    see_child(pid);
}

static void see_cursor(MDB_txn *txn, MDB_dbi dbi)
{
    MDB_cursor *cursor;
    MDB_val key = val_str("key0001");
    MDB_val data;

    CALL(mdb_cursor_open(txn, dbi, &cursor));
    CALL(mdb_cursor_get(cursor, &key, &data, MDB_SET));
    CALL(mdb_cursor_get(cursor, &key, &data, MDB_FIRST));
    CALL(mdb_cursor_get(cursor, &key, &data, MDB_NEXT));
    CALL(mdb_cursor_get(cursor, &key, &data, MDB_LAST));
    mdb_cursor_close(cursor);
}

static void by_others(unsigned flags)
{
    MDB_env *env = env_of("others");
    MDB_txn *txn = both_begin(env, NULL, 0);
    MDB_dbi dbi = table(txn, "table", MDB_CREATE, 40);

    CALL(mdb_txn_commit(txn));
    elsewhere(0, 1);
    txn = both_begin(env, NULL, MDB_RDONLY);
    see_use_told(txn, dbi, false);
    see_cursor(txn, dbi);
    mdb_txn_abort(txn);
    txn = both_begin(env, NULL, 0);
    see_use_told(txn, dbi, false);
    see_cursor(txn, dbi);
    CALL(mdb_drop(txn, dbi, 1));
    CALL(mdb_txn_commit(txn));
    see_tables(env);
    elsewhere(flags, -1);
    txn = both_begin(env, NULL, MDB_RDONLY);
    see("made again with flags %#x", flags);
    see_use_told(txn, dbi, false);
    see_cursor(txn, dbi);
    mdb_txn_abort(txn);
    txn = both_begin(env, NULL, 0);
    see_use_told(txn, dbi, false);
    see_cursor(txn, dbi);
    CALL(mdb_drop(txn, dbi, 1));
    mdb_txn_abort(txn);
    mdb_env_close(env);
}

static void run(const struct both *both)
{
    (void)both;
    for (int i = 0; i < 8; i++)
        drop_one(i & 4 ? MDB_DUPSORT : 0, i & 1, (i & 2) != 0, (i & 1) != 0);
    drop_one(MDB_INTEGERKEY, 0, true, false);
    drop_one(MDB_DUPSORT | MDB_DUPFIXED | MDB_INTEGERDUP, 1, true, false);
    sizes();
    with_cursors(0);
    with_cursors(1);
    for (int i = 0; i < 4; i++)
        nested(i & 1, (i & 2) != 0);
    for (int i = 0; i < 4; i++)
        of_main(i & 1, (i & 2) != 0);
    by_others(0);
    by_others(MDB_REVERSEKEY);
}

BOTH_MAIN(run)
