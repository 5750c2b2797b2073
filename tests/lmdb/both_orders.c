/* SPDX-License-Identifier: MIT */
/*
 * Orders: what mdb_cmp and mdb_dcmp say by a table's flags, and comparators of the program's own: set
 * before the first record, again in later opens, changed, on the main table, for integers, and the
 * one of mdb_load -a, for which every key is greater.
 */
#include "both.h"

#include <stdio.h>
#include <string.h>

static MDB_env *env_of(const char *name)
{
    MDB_env *env;

    part(name);
    MUST(mdb_env_create(&env));
    MUST(mdb_env_set_maxdbs(env, 140));
    MUST(mdb_env_set_mapsize(env, 1 << 24));
    MUST(mdb_env_open(env, ".", 0, 0664));
    return env;
}

static MDB_env *again(MDB_env *env)
{
    mdb_env_close(env);
    MUST(mdb_env_create(&env));
    MUST(mdb_env_set_maxdbs(env, 140));
    MUST(mdb_env_open(env, ".", 0, 0664));
    return env;
}

/* ---- LMDB's own ---- */

static int sign(int order)
{
    return (order > 0) - (order < 0);
}

static void see_compares(MDB_txn *txn, MDB_dbi dbi, const MDB_val *vals, size_t count, bool values)
{
    char line[200];

    for (size_t i = 0; i < count; i++) {
        size_t at = 0;

        for (size_t j = 0; j < count; j++)
            at += (size_t)snprintf(line + at, sizeof(line) - at, " %d",
                                   sign(values ? mdb_dcmp(txn, dbi, &vals[i], &vals[j])
                                               : mdb_cmp(txn, dbi, &vals[i], &vals[j])));
        see("  %zu:%s", i, line);
    }
}

static void own(void)
{
    MDB_env *env = env_of("own");
    MDB_txn *txn = both_begin(env, NULL, 0);
    MDB_val texts[] = {val_str(""),     val_str("a"),       val_str("b"),   val_str("ab"),
                       val_str("ba"),   val_str("aab"),     val_str("baa"), val_str("\xff"),
                       val_str("\x7f"), val_bytes("a\0", 2)};
    uint32_t ints[] = {0, 1, 255, 256, 0x7fffffff, 0x80000000, 0xffffffff, 0x10000};
    uint64_t longs[] = {0,          1,          255,         256,         0x7fffffff,
                        0x80000000, 0xffffffff, 0x100000000, ~(uint64_t)0};
    uint16_t quads[] = {1, 2, 0x100, 0x200, 0xffff, 0};
    MDB_val numbers[10];

    for (unsigned flags = 0; flags < 128; flags += 2) {
        MDB_val name = val_format("flags%u", flags);
        MDB_dbi dbi;

        MUST(mdb_dbi_open(txn, name.mv_data, MDB_CREATE | flags, &dbi));
        see("flags %#x", flags);
        if (!(flags & MDB_INTEGERKEY) || flags & MDB_REVERSEKEY)
            see_compares(txn, dbi, texts, 10, false);
        for (size_t i = 0; i < 8; i++)
            numbers[i] = val_bytes(&ints[i], 4);
        see_compares(txn, dbi, numbers, 8, false);
        if (flags & MDB_DUPSORT)
            see_compares(txn, dbi, numbers, 8, true);
        for (size_t i = 0; i < 9; i++)
            numbers[i] = val_bytes(&longs[i], 8);
        see_compares(txn, dbi, numbers, 9, false);
        if (flags & MDB_DUPSORT)
            see_compares(txn, dbi, numbers, 9, true);
        for (size_t i = 0; i < 5; i++)
            numbers[i] = val_bytes(&quads[i], 2);
        see_compares(txn, dbi, numbers, 5, false);
        if (flags & MDB_DUPSORT && !(flags & MDB_INTEGERDUP))
            see_compares(txn, dbi, texts, 10, true);
    }
    CALL(mdb_txn_commit(txn));
    mdb_env_close(env);
}

/* ---- The program's ---- */

/* 'a' and 'A' are equal. */
static int without_case(const MDB_val *a, const MDB_val *b)
{
    const unsigned char *x = a->mv_data;
    const unsigned char *y = b->mv_data;

    for (size_t i = 0; i < a->mv_size && i < b->mv_size; i++) {
        int order = (x[i] | 32) - (y[i] | 32);

        if (order)
            return order;
    }
    return (a->mv_size > b->mv_size) - (a->mv_size < b->mv_size);
}

static int signed_ints(const MDB_val *a, const MDB_val *b)
{
    int32_t x;
    int32_t y;

    memcpy(&x, a->mv_data, 4);
    memcpy(&y, b->mv_data, 4);
    return (x > y) - (x < y);
}

static int greater(const MDB_val *a, const MDB_val *b)
{
    (void)a;
    (void)b;
    return 1;
}

static const char *const words[] = {"pear", "fig", "apple", "banana", "Fig",
                                    "kiwi", "a",   "APPLE", "quince", "fi",
                                    "figs", "aa",  "date",  "b",      "zebra"};
#define WORDS (sizeof(words) / sizeof(words[0]))

static void put_words(MDB_txn *txn, MDB_dbi dbi, unsigned flags)
{
    for (size_t i = 0; i < WORDS; i++)
        see("put %s: %s", words[i],
            both_name(both_put(txn, dbi, words[i], words[(i * 7) % WORDS], flags)));
}

static void find_words(MDB_txn *txn, MDB_dbi dbi)
{
    MDB_cursor *cursor;
    MDB_val key;
    MDB_val data;

    MUST(mdb_cursor_open(txn, dbi, &cursor));
    for (size_t i = 0; i < WORDS; i++) {
        key = val_str(words[i]);
        CALL_PAIR(mdb_get(txn, dbi, &key, &data), &key, &data);
        CALL_PAIR(mdb_cursor_get(cursor, &key, &data, MDB_SET_KEY), &key, &data);
    }
    key = val_str("cherry");
    CALL_PAIR(mdb_cursor_get(cursor, &key, &data, MDB_SET_RANGE), &key, &data);
    key = val_str("ZZZ");
    CALL_PAIR(mdb_cursor_get(cursor, &key, &data, MDB_SET_RANGE), &key, &data);
    mdb_cursor_close(cursor);
}

struct order {
    const char *name;
    MDB_cmp_func *key;
    MDB_cmp_func *value;
    unsigned flags;
};

static const struct order orders[] = {
    {"length", both_by_length, NULL, 0},
    {"down", both_downwards, NULL, 0},
    {"case", without_case, NULL, 0},
    {"values down", NULL, both_downwards, MDB_DUPSORT},
    {"both", both_by_length, both_downwards, MDB_DUPSORT},
    {"values without case", NULL, without_case, MDB_DUPSORT},
    {"values of a plain table", NULL, both_downwards, 0},
    {"reverse keys", both_by_length, NULL, MDB_REVERSEKEY},
};

static MDB_dbi open_ordered(MDB_txn *txn, const struct order *order, const char *name,
                            unsigned flags)
{
    MDB_dbi dbi;

    MUST(mdb_dbi_open(txn, name, order->flags | flags, &dbi));
    if (order->key)
        CALL(mdb_set_compare(txn, dbi, order->key));
    if (order->value)
        CALL(mdb_set_dupsort(txn, dbi, order->value));
    return dbi;
}

/* Set before the first record, in the same txn or in an earlier one. */
static void users(const struct order *order, const char *table, bool early)
{
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;

    MDB_val title = val_format("%s, %s, %d", order->name, table ? "named" : "main", early);

    env = env_of(title.mv_data);
    txn = both_begin(env, NULL, 0);
    dbi = open_ordered(txn, order, table, MDB_CREATE);
    if (early) {
        CALL(mdb_txn_commit(txn));
        txn = both_begin(env, NULL, 0);
    }
    see("id %zu", mdb_txn_id(txn));
    put_words(txn, dbi, 0);
    see_table(txn, dbi, 40);
    CALL(mdb_txn_commit(txn));
    txn = both_begin(env, NULL, 0);
    put_words(txn, dbi, MDB_NOOVERWRITE);
    put_words(txn, dbi, MDB_NODUPDATA);
    CALL(both_put(txn, dbi, "zzzzzzzzz", "appended", MDB_APPEND));
    CALL(both_put(txn, dbi, "", "empty", 0));
    find_words(txn, dbi);
    mdb_txn_abort(txn);
    env = again(env);
    txn = both_begin(env, NULL, MDB_RDONLY);
    MUST(mdb_dbi_open(txn, table, 0, &dbi));
    see_stat(txn, dbi);
    see_table(txn, dbi, 40);
    dbi = open_ordered(txn, order, table, 0);
    find_words(txn, dbi);
    CALL(mdb_txn_commit(txn));
    txn = both_begin(env, NULL, 0);
    for (size_t i = 0; i < WORDS; i += 2) {
        MDB_val key = val_str(words[i]);

        CALL(mdb_del(txn, dbi, &key, NULL));
    }
    see_table(txn, dbi, 40);
    CALL(mdb_txn_commit(txn));
    mdb_env_close(env);
}

/* ---- Changed, and late ---- */

static void changed(void)
{
    MDB_env *env = env_of("changed");
    MDB_txn *txn = both_begin(env, NULL, 0);
    MDB_dbi dbi;
    MDB_dbi other;

    MUST(mdb_dbi_open(txn, "table", MDB_CREATE, &dbi));
    CALL(mdb_set_compare(txn, dbi, both_downwards));
    CALL(mdb_set_compare(txn, dbi, both_by_length));
    put_words(txn, dbi, 0);
    CALL(mdb_drop(txn, dbi, 0));
    CALL(mdb_set_compare(txn, dbi, both_downwards));
    put_words(txn, dbi, 0);
    see_table(txn, dbi, 40);
    CALL(mdb_drop(txn, dbi, 1));
    CALL(mdb_dbi_open(txn, "table", MDB_CREATE, &dbi));
    put_words(txn, dbi, 0);
    see_table(txn, dbi, 40);
    mdb_txn_abort(txn);
    txn = both_begin(env, NULL, 0);
    /* An abort closes the handle: the next one has LMDB's order again. */
    MUST(mdb_dbi_open(txn, "table", MDB_CREATE, &dbi));
    CALL(mdb_txn_commit(txn));
    txn = both_begin(env, NULL, 0);
    CALL(mdb_set_compare(txn, dbi, both_downwards));
    put_words(txn, dbi, 0);
    mdb_txn_abort(txn);
    txn = both_begin(env, NULL, 0);
    /* But it stays with one that was open before. */
    put_words(txn, dbi, 0);
    see_table(txn, dbi, 40);
    MUST(mdb_dbi_open(txn, "other", MDB_CREATE, &other));
    put_words(txn, other, 0);
    see_table(txn, other, 40);
    CALL(mdb_txn_commit(txn));
    txn = both_begin(env, NULL, MDB_RDONLY);
    MDB_val a = val_str("a");
    MDB_val b = val_str("b");
    see("cmp %d %d", sign(mdb_cmp(txn, dbi, &a, &b)), sign(mdb_cmp(txn, other, &a, &b)));
    CALL(mdb_set_compare(txn, other, both_by_length));
    mdb_txn_abort(txn);
    txn = both_begin(env, NULL, 0);
    see("cmp %d %d", sign(mdb_cmp(txn, dbi, &a, &b)), sign(mdb_cmp(txn, other, &a, &b)));
    mdb_txn_abort(txn);
    mdb_env_close(env);
}

/* Set in a read txn, and in one that changes nothing: it uses up no txnid. */
static void in_read_txn(void)
{
    MDB_env *env = env_of("read txn");
    MDB_txn *txn = both_begin(env, NULL, 0);
    MDB_dbi dbi;

    MUST(mdb_dbi_open(txn, "table", MDB_CREATE, &dbi));
    CALL(mdb_txn_commit(txn));
    txn = both_begin(env, NULL, MDB_RDONLY);
    CALL(mdb_set_compare(txn, dbi, both_downwards));
    see_table(txn, dbi, 4);
    CALL(mdb_txn_commit(txn));
    txn = both_begin(env, NULL, 0);
    CALL(mdb_set_compare(txn, dbi, both_downwards));
    CALL(mdb_txn_commit(txn));
    txn = both_begin(env, NULL, 0);
    see("id %zu", mdb_txn_id(txn));
    put_words(txn, dbi, 0);
    see_table(txn, dbi, 40);
    CALL(mdb_txn_commit(txn));
    mdb_env_close(env);
}

static void in_nested(void)
{
    MDB_env *env = env_of("nested");
    MDB_txn *txn = both_begin(env, NULL, 0);
    MDB_txn *child;
    MDB_dbi dbi;

    MUST(mdb_dbi_open(txn, "table", MDB_CREATE, &dbi));
    CALL(mdb_set_compare(txn, dbi, both_by_length));
    CALL(mdb_txn_begin(env, txn, 0, &child));
    put_words(child, dbi, 0);
    mdb_txn_abort(child);
    CALL(mdb_txn_begin(env, txn, 0, &child));
    CALL(both_put(child, dbi, "aaaa", "1", 0));
    CALL(both_put(child, dbi, "b", "1", 0));
    CALL(mdb_txn_commit(child));
    put_words(txn, dbi, 0);
    see_table(txn, dbi, 40);
    CALL(mdb_txn_commit(txn));
    txn = both_begin(env, NULL, MDB_RDONLY);
    see_table(txn, dbi, 40);
    mdb_txn_abort(txn);
    mdb_env_close(env);
}

/* Records were there before; the function agrees with their order. */
static void late(void)
{
    MDB_env *env = env_of("late");
    MDB_txn *txn = both_begin(env, NULL, 0);
    MDB_dbi dbi;

    MUST(mdb_dbi_open(txn, "table", MDB_CREATE, &dbi));
    for (unsigned i = 0; i < 300; i++) {
        MDB_val key = val_format("key%03u", i);
        MDB_val data = val_u32(i);

        MUST(mdb_put(txn, dbi, &key, &data, 0));
    }
    CALL(mdb_txn_commit(txn));
    txn = both_begin(env, NULL, 0);
    CALL(mdb_set_compare(txn, dbi, without_case));
    CALL(both_put(txn, dbi, "KEY000", "other case", 0));
    CALL(both_put(txn, dbi, "KEY100", "other case", MDB_NOOVERWRITE));
    CALL(both_put(txn, dbi, "kez", "behind", 0));
    CALL(both_put(txn, dbi, "KA", "before", 0));
    see_table(txn, dbi, 10);
    CALL(mdb_txn_commit(txn));
    txn = both_begin(env, NULL, MDB_RDONLY);
    see_table(txn, dbi, 400);
    mdb_txn_abort(txn);
    mdb_env_close(env);
}

/* ---- Integers ---- */

static void integers(void)
{
    MDB_env *env = env_of("integers");
    MDB_txn *txn = both_begin(env, NULL, 0);
    static const int32_t numbers[] = {5, -1, 100, -100, 0, 7, -2147483647, 2147483647};
    MDB_dbi keys;
    MDB_dbi dups;
    MDB_val key = val_str("key");

    MUST(mdb_dbi_open(txn, "keys", MDB_CREATE | MDB_INTEGERKEY, &keys));
    MUST(
        mdb_dbi_open(txn, "dups", MDB_CREATE | MDB_DUPSORT | MDB_DUPFIXED | MDB_INTEGERDUP, &dups));
    CALL(mdb_set_compare(txn, keys, signed_ints));
    CALL(mdb_set_dupsort(txn, dups, signed_ints));
    for (size_t i = 0; i < 8; i++) {
        MDB_val number = val_bytes(&numbers[i], 4);

        CALL(mdb_put(txn, keys, &number, &key, 0));
        CALL(mdb_put(txn, dups, &key, &number, 0));
    }
    see_table(txn, keys, 20);
    see_table(txn, dups, 20);
    CALL(mdb_txn_commit(txn));
    env = again(env);
    txn = both_begin(env, NULL, MDB_RDONLY);
    MUST(mdb_dbi_open(txn, "keys", 0, &keys));
    MUST(mdb_dbi_open(txn, "dups", 0, &dups));
    CALL(mdb_set_compare(txn, keys, signed_ints));
    CALL(mdb_set_dupsort(txn, dups, signed_ints));
    for (size_t i = 0; i < 8; i++) {
        MDB_val number = val_bytes(&numbers[i], 4);
        MDB_val data;

        CALL(mdb_get(txn, keys, &number, &data));
    }
    see_table(txn, dups, 20);
    mdb_txn_abort(txn);
    mdb_env_close(env);
}

/* Keys and values of sizes that are neither int nor size_t. */
static void odd_sizes(size_t bytes)
{
    MDB_val name = val_format("odd %zu", bytes);
    MDB_env *env = env_of(name.mv_data);
    MDB_txn *txn = both_begin(env, NULL, 0);
    MDB_dbi keys;
    MDB_dbi dups;
    MDB_val word = val_str("word");

    MUST(mdb_dbi_open(txn, "keys", MDB_CREATE | MDB_INTEGERKEY, &keys));
    MUST(mdb_dbi_open(txn, "dups", MDB_CREATE | MDB_DUPSORT | MDB_INTEGERDUP, &dups));
    for (uint32_t i = 0; i < 20; i++) {
        uint64_t number[4] = {i * 77777777u % 1000u * 0x10001u, i % 3, 0, i % 2};
        MDB_val val = val_bytes(number, bytes);

        CALL(mdb_put(txn, keys, &val, &word, MDB_NOOVERWRITE));
        CALL(mdb_put(txn, dups, &word, &val, 0));
    }
    see_table(txn, keys, 30);
    see_table(txn, dups, 30);
    CALL(mdb_txn_commit(txn));
    env = again(env);
    txn = both_begin(env, NULL, 0);
    MUST(mdb_dbi_open(txn, "keys", 0, &keys));
    see_table(txn, keys, 30);
    mdb_txn_abort(txn);
    mdb_env_close(env);
}

/* ---- mdb_load -a ---- */

static void load(const char *table, unsigned flags)
{
    MDB_val title = val_format("load %s %#x", table ? table : "main", flags);
    MDB_env *env = env_of(title.mv_data);
    MDB_txn *txn = both_begin(env, NULL, 0);
    MDB_cursor *cursor;
    MDB_val key;
    MDB_val data;
    MDB_dbi dbi;

    MUST(mdb_dbi_open(txn, table, MDB_CREATE | flags, &dbi));
    MUST(mdb_set_compare(txn, dbi, greater));
    if (flags & MDB_DUPSORT)
        MUST(mdb_set_dupsort(txn, dbi, greater));
    MUST(mdb_cursor_open(txn, dbi, &cursor));
    for (unsigned i = 0; i < 600; i++) {
        unsigned put = MDB_APPEND;

        if (flags & MDB_DUPSORT && i % 5)
            put = MDB_CURRENT | MDB_APPENDDUP;
        key = val_format("key%u", 600 - (flags & MDB_DUPSORT ? i / 5 : i));
        data = val_format("%u", 100000 - i);
        int rc = mdb_cursor_put(cursor, &key, &data, put);
        if (rc || i < 12)
            see("%u: %s", i, both_name(rc));
        if (i % 100 == 99) {
            MUST(mdb_txn_commit(txn));
            txn = both_begin(env, NULL, 0);
            MUST(mdb_cursor_open(txn, dbi, &cursor));
            CALL_PAIR(mdb_cursor_get(cursor, &key, &data, MDB_LAST), &key, &data);
        }
    }
    CALL(mdb_txn_commit(txn));
    env = again(env);
    txn = both_begin(env, NULL, MDB_RDONLY);
    MUST(mdb_dbi_open(txn, table, 0, &dbi));
    see_table(txn, dbi, 700);
    CALL(mdb_set_compare(txn, dbi, both_downwards));
    key = val_str("key77");
    CALL_PAIR(mdb_get(txn, dbi, &key, &data), &key, &data);
    mdb_txn_abort(txn);
    mdb_env_close(env);
}

/* ---- The main table beside named ones ---- */

static void main_beside(void)
{
    MDB_env *env = env_of("main beside named");
    MDB_txn *txn = both_begin(env, NULL, 0);
    MDB_dbi main;
    MDB_dbi named;
    MDB_val key = val_str("k");
    MDB_val data;

    MUST(mdb_dbi_open(txn, NULL, 0, &main));
    CALL(mdb_set_compare(txn, main, both_by_length));
    CALL(mdb_dbi_open(txn, "named", MDB_CREATE, &named));
    CALL(both_put(txn, main, "k", "in main", 0));
    CALL(both_put(txn, named, "k", "in named", 0));
    CALL_PAIR(mdb_get(txn, main, &key, &data), &key, &data);
    CALL(mdb_txn_commit(txn));
    txn = both_begin(env, NULL, 0);
    CALL(mdb_dbi_open(txn, "second", MDB_CREATE, &named));
    CALL(both_put(txn, main, "l", "in main", 0));
    CALL_PAIR(mdb_get(txn, main, &key, &data), &key, &data);
    CALL(mdb_txn_commit(txn));
    mdb_env_close(env);
}

static void run(const struct both *both)
{
    (void)both;
    own();
    for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
        users(&orders[i], "table", false);
        users(&orders[i], "table", true);
        users(&orders[i], NULL, false);
    }
    changed();
    in_read_txn();
    in_nested();
    late();
    integers();
    odd_sizes(2);
    odd_sizes(6);
    odd_sizes(12);
    odd_sizes(16);
    odd_sizes(32);
    load("table", 0);
    load("table", MDB_DUPSORT);
    load(NULL, 0);
    load(NULL, MDB_DUPSORT);
    main_beside();
}

BOTH_MAIN(run)
