/* SPDX-License-Identifier: MIT */
/*
 * Table handles: which number a name gets, who sees it and for how long, names and flags that are
 * refused, the main table and table 0.
 */
#include "both.h"

#include <string.h>

static MDB_env *open_env(unsigned flags, MDB_dbi maxdbs)
{
    MDB_env *env;

    MUST(mdb_env_create(&env));
    MUST(mdb_env_set_maxdbs(env, maxdbs));
    MUST(mdb_env_open(env, ".", flags, 0664));
    return env;
}

static int open_table(MDB_txn *txn, const char *name, unsigned flags)
{
    MDB_dbi dbi = 77;
    int rc = mdb_dbi_open(txn, name, flags, &dbi);

    see("open %s %#x: %s, handle %u", name ? name : "(main)", flags, both_name(rc), dbi);
    return rc;
}

static void see_uses(const char *what, MDB_txn *txn, MDB_dbi dbi)
{
    MDB_val key = val_str("key");
    MDB_val data = val_str("data");
    MDB_cursor *cursor = NULL;
    MDB_stat stat;
    unsigned flags = 0;
    int rc[6];

    memset(&stat, 0, sizeof(stat));
    rc[0] = mdb_get(txn, dbi, &key, &data);
    rc[1] = mdb_stat(txn, dbi, &stat);
    rc[2] = mdb_dbi_flags(txn, dbi, &flags);
    rc[3] = mdb_cursor_open(txn, dbi, &cursor);
    if (!rc[3])
        mdb_cursor_close(cursor);
    rc[4] = mdb_set_relfunc(txn, dbi, NULL);
    see("%s, handle %u: get %s stat %s %zu flags %s %#x cursor %s relfunc %s", what, dbi,
        both_name(rc[0]), both_name(rc[1]), stat.ms_entries, both_name(rc[2]), flags,
        both_name(rc[3]), both_name(rc[4]));
}

static void see_all(const char *what, MDB_txn *txn, MDB_dbi end)
{
    for (MDB_dbi i = 1; i < end; i++)
        see_uses(what, txn, i);
}

/* ---- Numbers ---- */

static void numbers(void)
{
    MDB_env *env = open_env(0, 3);
    MDB_txn *txn = both_begin(env, NULL, 0);
    MDB_txn *child;

    open_table(txn, "a", 0);
    open_table(txn, "a", MDB_CREATE);
    open_table(txn, "b", MDB_CREATE);
    open_table(txn, "a", 0);
    open_table(txn, "a", MDB_DUPSORT);
    open_table(txn, NULL, 0);
    open_table(txn, "c", MDB_CREATE | MDB_DUPSORT);
    open_table(txn, "d", MDB_CREATE);
    open_table(txn, "d", 0);
    see_all("in the txn", txn, 7);
    CALL(mdb_txn_commit(txn));
    txn = both_begin(env, NULL, 0);
    open_table(txn, "d", MDB_CREATE);
    mdb_dbi_close(env, 3);
    see_all("after a close", txn, 7);
    open_table(txn, "b", 0);
    mdb_dbi_close(env, 3);
    open_table(txn, "d", MDB_CREATE);
    see_all("after another", txn, 7);
    mdb_txn_abort(txn);
    txn = both_begin(env, NULL, 0);
    see_all("after the abort", txn, 7);
    open_table(txn, "b", 0);
    mdb_dbi_close(env, 2);
    mdb_dbi_close(env, 2);
    mdb_dbi_close(env, 4);
    mdb_dbi_close(env, 0);
    mdb_dbi_close(env, 1);
    mdb_dbi_close(env, 5);
    mdb_dbi_close(env, 1000);
    open_table(txn, "c", MDB_CREATE);
    open_table(txn, "a", MDB_CREATE);
    CALL(mdb_txn_commit(txn));
    txn = both_begin(env, NULL, 0);
    see_all("at last", txn, 7);
    CALL(mdb_txn_begin(env, txn, 0, &child));
    see_all("nested", child, 7);
    CALL(mdb_txn_commit(child));
    CALL(mdb_txn_commit(txn));
    mdb_env_close(env);
    env = open_env(0, 0);
    txn = both_begin(env, NULL, 0);
    open_table(txn, "a", 0);
    open_table(txn, NULL, 0);
    see_all("without named tables", txn, 4);
    mdb_txn_abort(txn);
    mdb_env_close(env);
}

/* ---- Who sees them ---- */

static void nested(void)
{
    MDB_env *env = open_env(0, 6);
    MDB_txn *txn = both_begin(env, NULL, 0);
    MDB_txn *child;

    open_table(txn, "parent", MDB_CREATE);
    CALL(mdb_txn_begin(env, txn, 0, &child));
    see_all("child", child, 5);
    open_table(child, "child", MDB_CREATE | MDB_INTEGERKEY);
    open_table(child, "parent", 0);
    see_all("child", child, 5);
    mdb_txn_abort(child);
    see_all("parent after abort", txn, 5);
    CALL(mdb_txn_begin(env, txn, 0, &child));
    open_table(child, "child", 0);
    open_table(child, "child", MDB_CREATE | MDB_REVERSEKEY);
    CALL(both_put(child, 3, "key", "data", 0));
    CALL(mdb_txn_commit(child));
    see_all("parent after commit", txn, 5);
    mdb_txn_abort(txn);
    txn = both_begin(env, NULL, 0);
    see_all("all aborted", txn, 5);
    open_table(txn, "parent", 0);
    open_table(txn, "child", 0);
    CALL(mdb_txn_begin(env, txn, 0, &child));
    open_table(child, "child", MDB_CREATE | MDB_REVERSEKEY);
    CALL(mdb_txn_commit(child));
    CALL(mdb_txn_commit(txn));
    txn = both_begin(env, NULL, 0);
    see_all("all committed", txn, 5);
    mdb_txn_abort(txn);
    mdb_env_close(env);
}

static void readers(void)
{
    MDB_env *env = open_env(MDB_NOTLS, 6);
    MDB_txn *txn = both_begin(env, NULL, 0);
    MDB_txn *early;
    MDB_txn *late;

    open_table(txn, "one", MDB_CREATE);
    open_table(txn, "two", MDB_CREATE);
    CALL(both_put(txn, 2, "key", "data", 0));
    CALL(mdb_txn_commit(txn));
    mdb_env_close(env);

    env = open_env(MDB_NOTLS, 6);
    early = both_begin(env, NULL, MDB_RDONLY);
    txn = both_begin(env, NULL, MDB_RDONLY);
    open_table(txn, "two", MDB_CREATE);
    open_table(txn, "none", 0);
    open_table(txn, "none", MDB_CREATE);
    see_all("opened in a read txn", txn, 5);
    see_all("another read txn", early, 5);
    late = both_begin(env, NULL, MDB_RDONLY);
    see_all("one begun since", late, 5);
    mdb_txn_abort(txn);
    txn = both_begin(env, NULL, MDB_RDONLY);
    see_all("after the abort", txn, 5);
    open_table(txn, "one", 0);
    CALL(mdb_txn_commit(txn));
    see_all("after the commit", early, 5);
    see_all("after the commit, the other", late, 5);
    mdb_txn_reset(early);
    CALL(mdb_txn_renew(early));
    see_all("renewed", early, 5);
    open_table(early, "two", 0);
    mdb_txn_reset(early);
    CALL(mdb_txn_renew(early));
    see_all("renewed, one opened before", early, 5);
    open_table(early, "two", 0);
    CALL(mdb_txn_commit(early));
    see_all("the other", late, 5);
    mdb_txn_abort(late);
    txn = both_begin(env, NULL, 0);
    see_all("in a write txn", txn, 5);
    mdb_txn_abort(txn);
    txn = both_begin(env, NULL, 0);
    mdb_dbi_close(env, 3);
    see_all("after close", txn, 5);
    open_table(txn, "two", 0);
    see_all("after open", txn, 5);
    mdb_txn_abort(txn);
    mdb_env_close(env);
}

/* ---- What is refused ---- */

static void names(void)
{
    MDB_env *env = open_env(0, 6);
    MDB_txn *txn = both_begin(env, NULL, 0);
    char name[600];
    static const size_t sizes[] = {1, 100, 400, 510, 511, 512, 599};
    MDB_val key = val_str("plain key");
    MDB_val data = val_str("value");
    MDB_dbi main;

    CALL(mdb_dbi_open(txn, NULL, 0, &main));
    open_table(txn, "", 0);
    open_table(txn, "", MDB_CREATE);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        MDB_dbi dbi = 77;

        memset(name, 'n', sizeof(name));
        name[sizes[i]] = 0;
        see("%zu bytes", sizes[i]);
        CALL(mdb_dbi_open(txn, name, 0, &dbi));
        CALL(mdb_dbi_open(txn, name, MDB_CREATE, &dbi));
        see("handle %u", dbi);
        if (dbi != 77)
            mdb_dbi_close(env, dbi);
    }
    CALL(mdb_put(txn, main, &key, &data, 0));
    open_table(txn, "plain key", 0);
    open_table(txn, "plain key", MDB_CREATE);
    for (unsigned bit = 0; bit < 32; bit++)
        open_table(txn, "table", 1u << bit);
    for (unsigned bit = 0; bit < 32; bit++)
        open_table(txn, NULL, (1u << bit) & ~(unsigned)(MDB_DUPSORT | MDB_INTEGERKEY));
    see_stat(txn, main);
    mdb_txn_abort(txn);
    mdb_env_close(env);
}

static void flags_kept(void)
{
    MDB_env *env = open_env(0, 130);
    MDB_txn *txn = both_begin(env, NULL, 0);
    unsigned flags;
    MDB_dbi dbi;

    for (unsigned i = 0; i < 128; i += 2) {
        MDB_val name = val_format("flags%u", i);

        MUST(mdb_dbi_open(txn, name.mv_data, MDB_CREATE | i, &dbi));
        MUST(mdb_dbi_flags(txn, dbi, &flags));
        see("%#x: handle %u has %#x", i, dbi, flags);
    }
    CALL(mdb_txn_commit(txn));
    mdb_env_close(env);
    env = open_env(0, 130);
    txn = both_begin(env, NULL, MDB_RDONLY);
    for (unsigned i = 0; i < 128; i += 2) {
        MDB_val name = val_format("flags%u", i);

        MUST(mdb_dbi_open(txn, name.mv_data, MDB_CREATE | MDB_DUPSORT, &dbi));
        MUST(mdb_dbi_flags(txn, dbi, &flags));
        see("%#x: handle %u has %#x", i, dbi, flags);
    }
    mdb_txn_abort(txn);
    mdb_env_close(env);
}

/* ---- The main table ---- */

static void main_flags(const char *name, unsigned flags)
{
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;

    part(name);
    env = open_env(0, 4);
    txn = both_begin(env, NULL, 0);
    open_table(txn, NULL, flags);
    see_uses("in the txn", txn, 1);
    open_table(txn, "named", 0);
    open_table(txn, "named", MDB_CREATE);
    mdb_txn_abort(txn);
    txn = both_begin(env, NULL, 0);
    see_uses("aborted", txn, 1);
    open_table(txn, NULL, flags);
    CALL(mdb_txn_commit(txn));
    txn = both_begin(env, NULL, MDB_RDONLY);
    see_uses("committed", txn, 1);
    open_table(txn, NULL, 0);
    see_uses("committed", txn, 1);
    open_table(txn, NULL, MDB_REVERSEDUP);
    see_uses("with another flag", txn, 1);
    mdb_txn_abort(txn);
    txn = both_begin(env, NULL, 0);
    see_uses("later", txn, 1);
    MUST(mdb_dbi_open(txn, NULL, 0, &dbi));
    for (unsigned i = 0; i < 12; i++) {
        MDB_val key = flags & MDB_INTEGERKEY ? val_u32(i * 5 % 6) : val_format("%u", i * 5 % 6 * 7);
        MDB_val data = flags & MDB_INTEGERDUP ? val_u32(i) : val_format("data%02u", i);

        CALL(mdb_put(txn, dbi, &key, &data, 0));
    }
    see_table(txn, dbi, 20);
    CALL(mdb_txn_commit(txn));
    mdb_env_close(env);
    env = open_env(0, 4);
    txn = both_begin(env, NULL, MDB_RDONLY);
    open_table(txn, NULL, 0);
    see_stat(txn, 1);
    see_table(txn, 1, 20);
    mdb_txn_abort(txn);
    mdb_env_close(env);
}

static void table_zero(void)
{
    MDB_env *env = open_env(0, 4);
    MDB_txn *txn = both_begin(env, NULL, 0);
    MDB_val key = val_str("key");
    MDB_val data = val_str("data");
    MDB_cursor *cursor;
    MDB_stat stat;
    unsigned flags;

    see("in a write txn");
    CALL(mdb_get(txn, 0, &key, &data));
    CALL(mdb_put(txn, 0, &key, &data, 0));
    CALL(mdb_del(txn, 0, &key, NULL));
    CALL(mdb_drop(txn, 0, 0));
    CALL(mdb_dbi_flags(txn, 0, &flags));
    CALL(mdb_set_compare(txn, 0, NULL));
    CALL(mdb_set_dupsort(txn, 0, NULL));
    CALL(mdb_set_relfunc(txn, 0, NULL));
    CALL(mdb_set_relctx(txn, 0, NULL));
    CALL(mdb_stat(txn, 0, &stat));
    CALL(mdb_cursor_open(txn, 0, &cursor));
    mdb_txn_abort(txn);
    txn = both_begin(env, NULL, MDB_RDONLY);
    see("in a read txn");
    CALL(mdb_get(txn, 0, &key, &data));
    CALL(mdb_put(txn, 0, &key, &data, 0));
    CALL(mdb_drop(txn, 0, 0));
    CALL(mdb_stat(txn, 0, &stat));
    CALL(mdb_cursor_open(txn, 0, &cursor));
    mdb_cursor_close(cursor);
    mdb_txn_abort(txn);
    mdb_env_close(env);
}

/* Table 0 as mdb_stat -f reads it: what the pages are is each library's own. */
static void walk_free(void)
{
    MDB_env *env = open_env(0, 4);
    MDB_txn *txn;
    MDB_cursor *cursor;
    MDB_val key;
    MDB_val data;
    MDB_stat stat;
    size_t total = 0;
    size_t records = 0;
    MDB_dbi main;

    for (unsigned n = 0; n < 4; n++) {
        txn = both_begin(env, NULL, 0);
        MUST(mdb_dbi_open(txn, NULL, 0, &main));
        for (unsigned i = 0; i < 40; i++) {
            MDB_val name = val_u32(i);
            MDB_val value = val_filled(i, 5000);

            if (n == 0)
                MUST(mdb_put(txn, main, &name, &value, 0));
            else if (i % 4 == n)
                MUST(mdb_del(txn, main, &name, NULL));
        }
        CALL(mdb_txn_commit(txn));
    }
    txn = both_begin(env, NULL, MDB_RDONLY);
    MUST(mdb_stat(txn, 0, &stat));
    MUST(mdb_cursor_open(txn, 0, &cursor));
    while (mdb_cursor_get(cursor, &key, &data, MDB_NEXT) == 0) {
        size_t count;
        size_t *pages = data.mv_data;

        if (key.mv_size != sizeof(size_t) || data.mv_size % sizeof(size_t))
            see("a record of %zu and %zu bytes", key.mv_size, data.mv_size);
        count = *pages;
        if ((count + 1) * sizeof(size_t) > data.mv_size)
            see("%zu pages in %zu bytes", count, data.mv_size);
        for (size_t i = 2; i <= count; i++) {
            if (pages[i] >= pages[i - 1])
                see("not descending");
        }
        total += count;
        records++;
    }
    see("records as told %d, many pages %d, psize %u, depth %u", stat.ms_entries == records,
        total > 50, stat.ms_psize, stat.ms_depth);
    CALL(mdb_cursor_get(cursor, &key, &data, MDB_FIRST));
    CALL(mdb_cursor_get(cursor, &key, &data, MDB_GET_CURRENT));
    CALL(mdb_cursor_get(cursor, &key, &data, MDB_SET));
    CALL(mdb_cursor_get(cursor, &key, &data, MDB_SET_KEY));
    CALL(mdb_cursor_get(cursor, &key, &data, MDB_SET_RANGE));
    CALL(mdb_cursor_get(cursor, &key, &data, MDB_GET_BOTH));
    CALL(mdb_cursor_get(cursor, &key, &data, MDB_FIRST_DUP));
    CALL(mdb_cursor_get(cursor, &key, &data, MDB_GET_MULTIPLE));
    CALL(mdb_cursor_get(cursor, &key, &data, MDB_LAST));
    CALL(mdb_cursor_get(cursor, &key, &data, MDB_NEXT));
    CALL(mdb_cursor_get(cursor, &key, &data, (MDB_cursor_op)99));
    CALL(mdb_cursor_put(cursor, &key, &data, 0));
    CALL(mdb_cursor_del(cursor, 0));
    mdb_cursor_close(cursor);
    mdb_txn_abort(txn);
    mdb_env_close(env);
}

static void run(const struct both *both)
{
    (void)both;
    part("numbers");
    numbers();
    part("nested");
    nested();
    part("readers");
    readers();
    part("names");
    names();
    part("flags kept");
    flags_kept();
    main_flags("main plain", 0);
    main_flags("main dupsort", MDB_DUPSORT);
    main_flags("main integerkey", MDB_INTEGERKEY);
    main_flags("main reverse", MDB_REVERSEKEY);
    main_flags("main integerdup", MDB_DUPSORT | MDB_DUPFIXED | MDB_INTEGERDUP);
    part("table 0");
    table_zero();
    part("list of free pages");
    walk_free();
}

BOTH_MAIN(run)
