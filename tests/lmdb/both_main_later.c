/* SPDX-License-Identifier: MIT */
/*
 * The main table: flags that are given after its first records, or beside named tables; comparators
 * and what opening it again does to them; the records of named tables as they are read in it.
 */
#include "both.h"

#include <string.h>

static MDB_env *env_of(const char *name, unsigned flags)
{
    MDB_env *env;

    part(name);
    MUST(mdb_env_create(&env));
    MUST(mdb_env_set_maxdbs(env, 20));
    MUST(mdb_env_open(env, ".", flags, 0664));
    return env;
}

static MDB_env *again(MDB_env *env)
{
    mdb_env_close(env);
    MUST(mdb_env_create(&env));
    MUST(mdb_env_set_maxdbs(env, 20));
    MUST(mdb_env_open(env, ".", 0, 0664));
    return env;
}

static void put_some(MDB_txn *txn, MDB_dbi dbi, const char *value)
{
    static const char *const keys[] = {"a", "b", "ab", "ba", "zz"};

    for (size_t i = 0; i < 5; i++)
        see("put %s: %s", keys[i], both_name(both_put(txn, dbi, keys[i], value, 0)));
}

/* Records first, and then flags that fit them. */
static void added(const char *name, unsigned flags, bool same_txn, bool keep)
{
    MDB_env *env = env_of(name, 0);
    MDB_txn *txn = both_begin(env, NULL, 0);
    unsigned told = 0;
    MDB_dbi main;

    CALL(mdb_dbi_open(txn, NULL, 0, &main));
    put_some(txn, main, "first");
    if (!same_txn) {
        CALL(mdb_txn_commit(txn));
        txn = both_begin(env, NULL, 0);
    }
    CALL(mdb_dbi_open(txn, NULL, flags, &main));
    put_some(txn, main, "second");
    put_some(txn, main, "another");
    see_table(txn, main, 30);
    see("id %zu", mdb_txn_id(txn));
    if (keep)
        CALL(mdb_txn_commit(txn));
    else
        mdb_txn_abort(txn);
    txn = both_begin(env, NULL, 0);
    CALL(mdb_dbi_open(txn, NULL, 0, &main));
    CALL(mdb_dbi_flags(txn, main, &told));
    see("flags %#x", told);
    put_some(txn, main, "third");
    see_table(txn, main, 30);
    CALL(mdb_txn_commit(txn));
    env = again(env);
    txn = both_begin(env, NULL, MDB_RDONLY);
    CALL(mdb_dbi_open(txn, NULL, 0, &main));
    see_table(txn, main, 30);
    CALL(mdb_dbi_open(txn, NULL, MDB_REVERSEDUP, &main));
    CALL(mdb_dbi_flags(txn, main, &told));
    see("flags %#x", told);
    mdb_txn_abort(txn);
    txn = both_begin(env, NULL, MDB_RDONLY);
    CALL(mdb_dbi_flags(txn, main, &told));
    see("flags %#x", told);
    mdb_txn_abort(txn);
    mdb_env_close(env);
}

static void in_child(bool keep_child, bool keep)
{
    MDB_val name = val_format("child %d %d", keep_child, keep);
    MDB_env *env = env_of(name.mv_data, 0);
    MDB_txn *txn = both_begin(env, NULL, 0);
    MDB_txn *child;
    unsigned told = 0;
    MDB_dbi main;

    CALL(mdb_dbi_open(txn, NULL, 0, &main));
    CALL(mdb_txn_begin(env, txn, 0, &child));
    CALL(mdb_dbi_open(child, NULL, MDB_DUPSORT, &main));
    put_some(child, main, "child");
    if (keep_child)
        CALL(mdb_txn_commit(child));
    else
        mdb_txn_abort(child);
    CALL(mdb_dbi_flags(txn, main, &told));
    see("flags %#x", told);
    CALL(mdb_dbi_open(txn, NULL, 0, &main));
    put_some(txn, main, "parent");
    see_table(txn, main, 30);
    if (keep)
        CALL(mdb_txn_commit(txn));
    else
        mdb_txn_abort(txn);
    txn = both_begin(env, NULL, 0);
    CALL(mdb_dbi_flags(txn, main, &told));
    see("flags %#x", told);
    CALL(mdb_dbi_open(txn, NULL, 0, &main));
    put_some(txn, main, "last");
    see_table(txn, main, 30);
    CALL(mdb_txn_commit(txn));
    mdb_env_close(env);
}

static void beside_named(unsigned flags)
{
    MDB_val name = val_format("named %#x", flags);
    MDB_env *env = env_of(name.mv_data, 0);
    MDB_txn *txn = both_begin(env, NULL, 0);
    MDB_dbi main;
    MDB_dbi named;
    MDB_dbi other = 77;

    CALL(mdb_dbi_open(txn, "named", MDB_CREATE, &named));
    put_some(txn, named, "value");
    CALL(mdb_txn_commit(txn));
    txn = both_begin(env, NULL, 0);
    CALL(mdb_dbi_open(txn, NULL, flags, &main));
    CALL(mdb_dbi_open(txn, "named", 0, &other));
    see("handle %u", other);
    CALL(mdb_dbi_open(txn, "other", MDB_CREATE, &other));
    CALL(mdb_dbi_open(txn, "another", 0, &other));
    if (flags & MDB_DUPSORT) { /* LMDB's assertions fail if any of it is used */
        mdb_txn_abort(txn);
    } else {
        see_table(txn, named, 10);
        CALL(both_put(txn, main, "ordinary", "record", 0));
        CALL(mdb_txn_commit(txn));
    }
    env = again(env);
    txn = both_begin(env, NULL, 0);
    CALL(mdb_dbi_open(txn, "named", 0, &other));
    CALL(mdb_dbi_open(txn, "other", MDB_CREATE, &other));
    CALL(mdb_dbi_open(txn, NULL, 0, &main));
    mdb_txn_abort(txn);
    mdb_env_close(env);
}

static void compared(void)
{
    MDB_env *env = env_of("compared", 0);
    MDB_txn *txn = both_begin(env, NULL, 0);
    MDB_val a = val_str("a");
    MDB_val b = val_str("b");
    MDB_dbi main;

    CALL(mdb_dbi_open(txn, NULL, 0, &main));
    CALL(mdb_set_compare(txn, main, both_downwards));
    see("%d", mdb_cmp(txn, main, &a, &b) < 0);
    put_some(txn, main, "down");
    see_table(txn, main, 10);
    CALL(mdb_txn_commit(txn));
    txn = both_begin(env, NULL, 0);
    see("%d", mdb_cmp(txn, main, &a, &b) < 0);
    put_some(txn, main, "again");
    see_table(txn, main, 10);
    CALL(mdb_dbi_open(txn, NULL, 0, &main));
    see("%d", mdb_cmp(txn, main, &a, &b) < 0);
    CALL(mdb_set_compare(txn, main, both_downwards));
    see("%d", mdb_cmp(txn, main, &a, &b) < 0);
    CALL(mdb_drop(txn, main, 0));
    put_some(txn, main, "after drop");
    see_table(txn, main, 10);
    CALL(mdb_txn_commit(txn));
    mdb_env_close(env);
}

/* The struct that LMDB keeps for each named table. */
struct record {
    uint32_t pad;
    uint16_t flags;
    uint16_t depth;
    size_t branch_pages;
    size_t leaf_pages;
    size_t overflow_pages;
    size_t entries;
    size_t root;
};

static void see_record(const MDB_val *key, const MDB_val *data)
{
    struct record record;

    memcpy(&record, data->mv_data, sizeof(record));
    see("%.*s: %zu bytes, pad %u flags %#x depth %u branch %zu leaf %zu overflow %zu entries %zu empty %d",
        (int)key->mv_size, (char *)key->mv_data, data->mv_size, record.pad, record.flags,
        record.depth, record.branch_pages, record.leaf_pages, record.overflow_pages, record.entries,
        record.root == ~(size_t)0);
}

static void records(void)
{
    MDB_env *env = env_of("records", 0);
    MDB_txn *txn = both_begin(env, NULL, 0);
    MDB_cursor *cursor;
    MDB_val key;
    MDB_val data;
    MDB_dbi main;

    for (int i = 0; i < BOTH_KINDS; i++) {
        unsigned flags = both_kinds[i].flags;
        MDB_dbi dbi;

        MUST(mdb_dbi_open(txn, both_kinds[i].name, flags | MDB_CREATE, &dbi));
        for (uint32_t n = 0; n < (uint32_t)i * 3; n++) {
            key = flags & MDB_INTEGERKEY ? val_u32(n) : val_format("%u", n);
            data = flags & (MDB_INTEGERDUP | MDB_DUPFIXED) ? val_u32(n) : val_format("data%u", n);
            MUST(mdb_put(txn, dbi, &key, &data, 0));
        }
    }
    CALL(mdb_txn_commit(txn));
    txn = both_begin(env, NULL, MDB_RDONLY);
    MUST(mdb_dbi_open(txn, NULL, 0, &main));
    MUST(mdb_cursor_open(txn, main, &cursor));
    while (mdb_cursor_get(cursor, &key, &data, MDB_NEXT) == 0)
        see_record(&key, &data);
    mdb_cursor_close(cursor);
    key = val_str(both_kinds[3].name);
    if (!CALL(mdb_get(txn, main, &key, &data)))
        see_record(&key, &data);
    mdb_txn_abort(txn);
    mdb_env_close(env);
}

static void run(const struct both *both)
{
    (void)both;
    added("dupsort", MDB_DUPSORT, false, true);
    added("dupsort in the same txn", MDB_DUPSORT, true, true);
    added("dupsort aborted", MDB_DUPSORT, false, false);
    added("reverse values", MDB_DUPSORT | MDB_REVERSEDUP, false, true);
    added("no effect", MDB_DUPFIXED | MDB_INTEGERDUP, false, true);
    in_child(true, true);
    in_child(true, false);
    in_child(false, true);
    in_child(false, false);
    beside_named(MDB_DUPSORT);
    beside_named(MDB_INTEGERKEY);
    beside_named(MDB_REVERSEDUP);
    compared();
    records();
}

BOTH_MAIN(run)
