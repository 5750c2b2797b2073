/* SPDX-License-Identifier: MIT */
/*
 * mdb_get, mdb_put, mdb_del and the cursor calls: arguments, sizes, the order in which they are
 * checked, named tables among the records of the main one, and txns that are not fit.
 */
#include "both.h"

#include <string.h>

#define GIB4 0x100000000u /* bytes: more than a value can have */

static MDB_val key, data;

static MDB_val sized(size_t size_bytes)
{
    static char bytes[5000];

    memset(bytes, 'b', sizeof(bytes));
    return val_bytes(bytes, size_bytes);
}

/* ---- Sizes ---- */

static void key_sizes(MDB_txn *txn, MDB_dbi dbi)
{
    static const size_t sizes[] = {0, 1, 510, 511, 512, 513, 1000, 5000};
    MDB_cursor *cursor;

    MUST(mdb_cursor_open(txn, dbi, &cursor));
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        see("key of %zu bytes", sizes[i]);
        key = sized(sizes[i]);
        data = val_str("1");
        CALL(mdb_get(txn, dbi, &key, &data));
        data = val_str("1");
        CALL(mdb_put(txn, dbi, &key, &data, 0));
        CALL(mdb_cursor_put(cursor, &key, &data, 0));
        CALL(mdb_cursor_get(cursor, &key, &data, MDB_SET));
        CALL(mdb_cursor_get(cursor, &key, NULL, MDB_SET_RANGE));
        key = sized(sizes[i]);
        CALL(mdb_del(txn, dbi, &key, NULL));
    }
    mdb_cursor_close(cursor);
}

static void value_sizes(MDB_txn *txn, MDB_dbi dbi)
{
    static const size_t sizes[] = {0, 1, 511, 512, 3000, GIB4};

    key = val_str("k");
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        see("value of %zu bytes", sizes[i]);
        data = sized(sizes[i]);
        CALL(mdb_put(txn, dbi, &key, &data, 0));
        if (sizes[i] < GIB4)
            CALL(mdb_del(txn, dbi, &key, &data));
        CALL(mdb_del(txn, dbi, &key, NULL));
    }
}

/* Of a key with many values none can be empty. */
static void empty_values(MDB_txn *txn, MDB_dbi dbi)
{
    const MDB_val none = val_str("");
    MDB_cursor *cursor;

    MUST(mdb_cursor_open(txn, dbi, &cursor));
    key = val_str("e");
    CALL(both_put(txn, dbi, "e", "", 0));
    CALL(both_put(txn, dbi, "e", "", MDB_NODUPDATA));
    data = none;
    CALL(mdb_cursor_get(cursor, &key, &data, MDB_GET_BOTH));
    CALL(both_put(txn, dbi, "e", "x", 0));
    see_table(txn, dbi, 10);
    CALL(both_put(txn, dbi, "e", "", 0));
    CALL(both_put(txn, dbi, "e", "y", 0));
    CALL(both_put(txn, dbi, "e", "", 0));
    data = none;
    CALL(mdb_del(txn, dbi, &key, &data));
    CALL(mdb_cursor_get(cursor, &key, &data, MDB_GET_BOTH));
    CALL(mdb_cursor_get(cursor, &key, &data, MDB_GET_BOTH_RANGE));
    see_table(txn, dbi, 10);
    key = val_str("f");
    CALL(both_put(txn, dbi, "f", "", 0));
    data = val_str("z");
    CALL(mdb_cursor_get(cursor, &key, &data, MDB_GET_BOTH_RANGE));
    data = none;
    CALL(mdb_del(txn, dbi, &key, &data));
    mdb_cursor_close(cursor);
}

static void sizes(MDB_env *env)
{
    MDB_txn *txn = both_begin(env, NULL, 0);
    MDB_dbi plain, dup;

    MUST(mdb_dbi_open(txn, "plain", MDB_CREATE, &plain));
    MUST(mdb_dbi_open(txn, "dup", MDB_CREATE | MDB_DUPSORT, &dup));
    see("%d", mdb_env_get_maxkeysize(env));
    key_sizes(txn, plain);
    key_sizes(txn, dup);
    value_sizes(txn, plain);
    value_sizes(txn, dup);
    empty_values(txn, dup);
    CALL(mdb_txn_commit(txn));
}

/* ---- Arguments ---- */

static void record_arguments(MDB_txn *txn, MDB_dbi dbi)
{
    static const unsigned flags[] = {0x1,           0x8000,        MDB_CURRENT, MDB_MULTIPLE,
                                     MDB_NODUPDATA, MDB_APPENDDUP, MDB_CREATE,  0x100000};

    key = val_str("k");
    data = val_str("v");
    CALL(mdb_put(txn, dbi, NULL, &data, 0));
    CALL(mdb_put(txn, dbi, &key, NULL, 0));
    CALL(mdb_put(txn, 0, &key, &data, 0));
    CALL(mdb_put(txn, 99, &key, &data, 0));
    CALL(mdb_get(txn, dbi, NULL, &data));
    CALL(mdb_get(txn, dbi, &key, NULL));
    CALL(mdb_get(txn, 0, &key, &data));
    CALL(mdb_get(txn, 99, &key, &data));
    CALL(mdb_del(txn, dbi, NULL, NULL));
    CALL(mdb_del(txn, 0, &key, NULL));
    CALL(mdb_del(txn, 99, &key, NULL));
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        see("flags %#x", flags[i]);
        CALL(mdb_put(txn, dbi, &key, &data, flags[i]));
    }
    see_table(txn, dbi, 10);
}

static void cursor_arguments(MDB_txn *txn, MDB_dbi dbi)
{
    MDB_cursor *cursor = NULL;
    MDB_val list[2] = {val_str("1"), {1, NULL}};
    size_t count = 7;

    CALL(mdb_cursor_open(txn, 0, &cursor));
    CALL(mdb_cursor_open(txn, 99, &cursor));
    CALL(mdb_cursor_open(txn, dbi, NULL));
    MUST(mdb_cursor_open(txn, dbi, &cursor));
    see("%d %d", mdb_cursor_txn(cursor) == txn, mdb_cursor_dbi(cursor) == dbi);
    see("%d", mdb_cursor_txn(NULL) == NULL);
    CALL(mdb_cursor_renew(txn, cursor));
    CALL(mdb_cursor_renew(txn, NULL));
    CALL(mdb_cursor_get(NULL, &key, &data, MDB_FIRST));
    CALL(mdb_cursor_put(NULL, &key, &data, 0));
    CALL(mdb_cursor_put(cursor, NULL, &data, 0));
    CALL(mdb_cursor_put(cursor, &key, &data, 0x1));
    CALL(mdb_cursor_put(cursor, &key, list, MDB_MULTIPLE));
    see("%zu", list[1].mv_size);
    CALL(mdb_cursor_count(NULL, &count));
    CALL(mdb_cursor_count(cursor, NULL));
    CALL(mdb_cursor_count(cursor, &count));
    for (int op = MDB_FIRST; op <= MDB_PREV_MULTIPLE + 2; op++) {
        see("op %d", op);
        CALL(mdb_cursor_get(cursor, NULL, &data, (MDB_cursor_op)op));
        key = val_str("k");
        CALL(mdb_cursor_get(cursor, &key, NULL, (MDB_cursor_op)op));
        key = val_str("");
        data = val_str("");
        CALL(mdb_cursor_get(cursor, &key, &data, (MDB_cursor_op)op));
    }
    mdb_cursor_close(cursor);
    mdb_cursor_close(NULL);
}

static void arguments(MDB_env *env)
{
    MDB_txn *txn = both_begin(env, NULL, 0);
    MDB_dbi dbi;

    MUST(mdb_dbi_open(txn, "arguments", MDB_CREATE, &dbi));
    record_arguments(txn, dbi);
    cursor_arguments(txn, dbi);
    CALL(mdb_txn_commit(txn));
}

/* ---- Space to be filled ---- */

static void reserve(MDB_env *env)
{
    static const size_t bytes[] = {0, 1, 100, 3000, 70000, 50};
    MDB_txn *txn = both_begin(env, NULL, 0);
    MDB_cursor *cursor;
    MDB_dbi dbi;

    MUST(mdb_dbi_open(txn, "reserve", MDB_CREATE, &dbi));
    MUST(mdb_cursor_open(txn, dbi, &cursor));
    key = val_u32(99); /* with another flag MDB_CURRENT means nothing */
    data = val_bytes(NULL, 0);
    CALL(mdb_cursor_put(cursor, &key, &data, MDB_CURRENT | MDB_RESERVE));
    for (size_t i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++) {
        key = val_u32((uint32_t)i);
        data = val_bytes(NULL, bytes[i]);
        MUST(mdb_put(txn, dbi, &key, &data, MDB_RESERVE));
        memset(data.mv_data, 'a', bytes[i]);
        data = val_bytes(NULL, bytes[i]);
        CALL(mdb_put(txn, dbi, &key, &data, MDB_RESERVE | MDB_NOOVERWRITE));
        see_val("there", &data);
        MUST(mdb_cursor_get(cursor, &key, &data, MDB_SET));
        data = val_bytes(NULL, bytes[i] + 1);
        MUST(mdb_cursor_put(cursor, &key, &data, MDB_CURRENT | MDB_RESERVE));
        memset(data.mv_data, 'c', bytes[i] + 1);
    }
    see_table(txn, dbi, 10);
    CALL(mdb_txn_commit(txn));
}

/* ---- Named tables in the main one ---- */

static void see_main(MDB_txn *txn)
{
    MDB_cursor *cursor;
    int rc;

    MUST(mdb_cursor_open(txn, 1, &cursor));
    while ((rc = mdb_cursor_get(cursor, &key, &data, MDB_NEXT)) == 0)
        see("%.*s: %zu bytes", (int)key.mv_size, (char *)key.mv_data, data.mv_size);
    see("%s", both_name(rc));
    mdb_cursor_close(cursor);
}

static void names(MDB_env *env)
{
    MDB_txn *txn = both_begin(env, NULL, 0);
    MDB_cursor *cursor;
    MDB_dbi dbi, dup;

    MUST(mdb_dbi_open(txn, NULL, 0, &dbi));
    MUST(mdb_dbi_open(txn, "named", MDB_CREATE | MDB_DUPSORT, &dup));
    CALL(both_put(txn, dbi, "ordinary", "1", 0));
    CALL(both_put(txn, dbi, "zero", "", 0));
    see_main(txn);
    key = val_str("named");
    CALL(mdb_get(txn, dbi, &key, &data));
    see("%zu bytes", data.mv_size);
    CALL(both_put(txn, dbi, "named", "x", 0));
    data = val_str("x");
    CALL(mdb_put(txn, dbi, &key, &data, MDB_NOOVERWRITE));
    see("%zu bytes", data.mv_size);
    MUST(mdb_cursor_open(txn, dbi, &cursor));
    data = val_str("x");
    CALL(mdb_cursor_put(cursor, &key, &data, 0));
    CALL(mdb_cursor_get(cursor, &key, &data, MDB_GET_CURRENT));
    see("%.*s: %zu bytes", (int)key.mv_size, (char *)key.mv_data, data.mv_size);
    CALL(mdb_cursor_put(cursor, &key, &data, MDB_CURRENT));
    CALL(both_put(txn, dbi, "still", "fit", 0));
    CALL(mdb_dbi_open(txn, "ordinary", 0, &dup));
    CALL(mdb_dbi_open(txn, "ordinary", MDB_CREATE, &dup));
    CALL(mdb_txn_commit(txn));
}

/* Deleting a named table's record fails its txn. */
static void name_deleted(MDB_env *env, bool by_cursor)
{
    MDB_txn *txn = both_begin(env, NULL, 0);
    MDB_cursor *cursor;
    MDB_dbi dbi;

    MUST(mdb_dbi_open(txn, NULL, 0, &dbi));
    MUST(mdb_cursor_open(txn, dbi, &cursor));
    key = val_str("named");
    CALL(mdb_cursor_get(cursor, &key, &data, MDB_SET));
    if (by_cursor)
        CALL(mdb_cursor_del(cursor, 0));
    else
        CALL(mdb_del(txn, dbi, &key, NULL));
    key = val_str("ordinary");
    CALL(mdb_get(txn, dbi, &key, &data));
    CALL(mdb_cursor_get(cursor, &key, &data, MDB_FIRST));
    CALL(both_put(txn, dbi, "a", "1", 0));
    CALL(mdb_del(txn, dbi, &key, NULL));
    CALL(mdb_txn_commit(txn));
}

/* ---- Txns that are not fit ---- */

static void read_only(MDB_env *env, MDB_dbi dbi)
{
    MDB_txn *txn = both_begin(env, NULL, MDB_RDONLY);
    MDB_val list[2] = {val_str("1"), {1, NULL}};
    MDB_cursor *cursor;

    MUST(mdb_cursor_open(txn, dbi, &cursor));
    CALL(both_put(txn, dbi, "a", "1", 0));
    CALL(both_put(txn, dbi, "a", "1", 0x1));
    CALL(both_put(txn, dbi, "", "1", 0));
    CALL(both_put(txn, 99, "a", "1", 0));
    key = val_str("");
    data = val_str("1");
    CALL(mdb_del(txn, dbi, &key, NULL));
    CALL(mdb_cursor_put(cursor, &key, &data, 0));
    CALL(mdb_cursor_put(cursor, &key, list, MDB_MULTIPLE));
    CALL(mdb_cursor_put(cursor, &key, &data, MDB_CURRENT));
    CALL(mdb_cursor_del(cursor, 0));
    CALL(mdb_cursor_renew(txn, cursor));
    mdb_txn_reset(txn);
    CALL(mdb_get(txn, dbi, &key, &data));
    CALL(mdb_cursor_renew(txn, cursor));
    MUST(mdb_txn_renew(txn));
    CALL(mdb_cursor_renew(txn, cursor));
    CALL(mdb_cursor_get(cursor, &key, &data, MDB_FIRST));
    mdb_txn_abort(txn);
    txn = both_begin(env, NULL, MDB_RDONLY);
    CALL(mdb_cursor_renew(txn, cursor));
    CALL(mdb_cursor_get(cursor, &key, &data, MDB_FIRST));
    mdb_txn_abort(txn);
    mdb_cursor_close(cursor);
}

static void with_child(MDB_env *env, MDB_dbi dbi)
{
    MDB_txn *txn = both_begin(env, NULL, 0), *child;
    MDB_cursor *cursor, *other;

    MUST(mdb_cursor_open(txn, dbi, &cursor));
    child = both_begin(env, txn, 0);
    key = val_str("a");
    CALL(mdb_get(txn, dbi, &key, &data));
    CALL(both_put(txn, dbi, "a", "1", 0));
    CALL(both_put(txn, dbi, "", "1", 0));
    CALL(mdb_del(txn, dbi, &key, NULL));
    CALL(mdb_cursor_open(txn, dbi, &other));
    see("%d", mdb_cursor_txn(cursor) == child);
    CALL(mdb_cursor_get(cursor, &key, &data, MDB_FIRST));
    mdb_cursor_close(cursor); /* without effect while it is lent */
    CALL(mdb_cursor_get(cursor, &key, &data, MDB_FIRST));
    CALL(mdb_txn_commit(child));
    see("%d", mdb_cursor_txn(cursor) == txn);
    CALL(mdb_cursor_get(cursor, &key, &data, MDB_FIRST));
    mdb_cursor_close(cursor);
    mdb_txn_abort(txn);
}

static void dropped(MDB_env *env)
{
    MDB_txn *txn = both_begin(env, NULL, 0);
    MDB_cursor *cursor;
    MDB_dbi dbi;

    MUST(mdb_dbi_open(txn, "dropped", MDB_CREATE, &dbi));
    MUST(both_put(txn, dbi, "a", "1", 0));
    MUST(mdb_cursor_open(txn, dbi, &cursor));
    CALL(mdb_cursor_get(cursor, &key, &data, MDB_FIRST));
    CALL(mdb_drop(txn, dbi, 1));
    CALL(mdb_cursor_get(cursor, &key, &data, MDB_FIRST));
    key = val_str("a");
    data = val_str("1");
    CALL(mdb_cursor_put(cursor, &key, &data, 0));
    CALL(mdb_get(txn, dbi, &key, &data));
    CALL(mdb_put(txn, dbi, &key, &data, 0));
    CALL(mdb_cursor_open(txn, dbi, &cursor));
    mdb_txn_abort(txn);
}

static void run(const struct both *both)
{
    MDB_env *env = both_env("env", MDB_NOSYNC);

    (void)both;
    sizes(env);
    arguments(env);
    reserve(env);
    names(env);
    name_deleted(env, false);
    name_deleted(env, true);
    read_only(env, 1);
    with_child(env, 1);
    dropped(env);
    mdb_env_close(env);
}

BOTH_MAIN(run)
