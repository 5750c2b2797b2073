/* SPDX-License-Identifier: MIT */
/*
 * Every cursor operation in every state of a cursor, in tables of every kind; every flag of a put and a
 * delete on every kind of record; missing arguments.
 *
 * Each case is a cursor of its own in a small table that is made anew. Left out are places where the
 * genuine library reads behind the last record of a table with duplicates (see both_stream.c).
 */
#include "both.h"

#include <stdio.h>
#include <string.h>

#define OPS (MDB_PREV_MULTIPLE + 1)

/* How a cursor gets where it is. */
enum state {
    FRESH,
    ON_FIRST,
    ON_SECOND_VALUE,
    ON_MIDDLE,
    ON_LAST,
    BEFORE_BEGIN, /* PREV has failed */
    BEHIND_END,   /* NEXT has failed */
    DELETED,      /* its record, in the middle */
    DELETED_KEY,  /* with all values */
    DELETED_LAST, /* the last record, which was gone to by LAST */
    NOT_FOUND,    /* a search that failed between records */
    PUT,          /* a new record */
    STATES
};

static const char *const state_names[] = {
    "fresh",      "on first", "on second value", "on middle",    "on last",   "before begin",
    "behind end", "deleted",  "deleted key",     "deleted last", "not found", "put",
};

static unsigned flags_now;

/* Keys 2, 4, 6, 8 of all kinds; 3 is not there. */
static MDB_val key_of(unsigned number)
{
    return flags_now & MDB_INTEGERKEY ? val_u32(number) : val_format("%u-key", number);
}

static MDB_val value_of(unsigned number)
{
    return flags_now & MDB_INTEGERDUP ? val_u32(number) : val_format("%u-value", number);
}

static void fill(MDB_txn *txn, MDB_dbi dbi)
{
    for (unsigned key = 2; key <= 8; key += 2) {
        unsigned values = flags_now & MDB_DUPSORT && key != 4 ? 3 : 1; /* 4 has one value */

        for (unsigned value = 1; value <= values; value++) {
            MDB_val k = key_of(key);
            MDB_val d = value_of(value * 2);

            MUST(mdb_put(txn, dbi, &k, &d, 0));
        }
    }
}

static void reach(MDB_cursor *cursor, enum state state)
{
    MDB_val key = key_of(state == NOT_FOUND || state == PUT ? 5 : 6);
    MDB_val data = value_of(2);

    switch (state) {
    case FRESH:
    case STATES:
        break;
    case ON_FIRST:
        MUST(mdb_cursor_get(cursor, &key, &data, MDB_FIRST));
        break;
    case ON_SECOND_VALUE:
        MUST(mdb_cursor_get(cursor, &key, &data, MDB_FIRST));
        MUST(mdb_cursor_get(cursor, &key, &data, MDB_NEXT));
        break;
    case ON_MIDDLE:
        MUST(mdb_cursor_get(cursor, &key, &data, MDB_SET_KEY));
        break;
    case ON_LAST:
        MUST(mdb_cursor_get(cursor, &key, &data, MDB_LAST));
        break;
    case BEFORE_BEGIN:
        MUST(mdb_cursor_get(cursor, &key, &data, MDB_FIRST));
        CALL(mdb_cursor_get(cursor, &key, &data, MDB_PREV));
        break;
    case BEHIND_END:
        MUST(mdb_cursor_get(cursor, &key, &data, MDB_LAST));
        CALL(mdb_cursor_get(cursor, &key, &data, MDB_NEXT));
        break;
    case DELETED:
    case DELETED_KEY:
        MUST(mdb_cursor_get(cursor, &key, &data, MDB_SET_KEY));
        CALL(mdb_cursor_del(cursor,
                            state == DELETED || !(flags_now & MDB_DUPSORT) ? 0 : MDB_NODUPDATA));
        break;
    case DELETED_LAST:
        MUST(mdb_cursor_get(cursor, &key, &data, MDB_LAST));
        CALL(mdb_cursor_del(cursor, 0));
        break;
    case NOT_FOUND:
        CALL(mdb_cursor_get(cursor, &key, &data, MDB_SET));
        break;
    case PUT:
        CALL(mdb_cursor_put(cursor, &key, &data, 0));
        break;
    }
}

/* Where the genuine library's answer is an accident. */
static bool is_open(enum state state, unsigned op)
{
    bool dups = flags_now & MDB_DUPSORT;
    bool back = op == MDB_PREV || op == MDB_PREV_DUP || op == MDB_PREV_NODUP;
    bool many = op == MDB_GET_MULTIPLE || op == MDB_NEXT_MULTIPLE || op == MDB_PREV_MULTIPLE;

    if (!dups) {
        return false;
    }
    if (back && (state == FRESH || state == DELETED_KEY || state == DELETED_LAST)) {
        return true;
    }
    if (state == NOT_FOUND) { /* its idea of values is what memory held */
        return op != MDB_FIRST && op != MDB_LAST && (op < MDB_SET || op > MDB_SET_RANGE);
    }
    return many && state != ON_FIRST && state != ON_MIDDLE && state != FRESH;
}

/* The operation, and what GET_CURRENT and NEXT then give. */
static void one_op(MDB_txn *txn, MDB_dbi dbi, enum state state, unsigned op)
{
    MDB_cursor *cursor;
    MDB_val key = key_of(6);
    MDB_val data = value_of(4);
    size_t count = 0;
    int rc;

    MUST(mdb_cursor_open(txn, dbi, &cursor));
    reach(cursor, state);
    rc = mdb_cursor_get(cursor, &key, &data, (MDB_cursor_op)op);
    see("%s, op %u: %s", state_names[state], op, both_name(rc));
    if (rc == 0) {
        see_pair("   ", &key, &data);
        CALL(mdb_cursor_count(cursor, &count));
        see("    count %zu", count);
        CALL_PAIR(mdb_cursor_get(cursor, &key, &data, MDB_GET_CURRENT), &key, &data);
        CALL_PAIR(mdb_cursor_get(cursor, &key, &data, MDB_NEXT), &key, &data);
    }
    mdb_cursor_close(cursor);
}

static void all_ops(MDB_env *env, MDB_dbi dbi)
{
    for (unsigned state = 0; state < STATES; state++) {
        for (unsigned op = 0; op < OPS; op++) {
            MDB_txn *txn = both_begin(env, NULL, 0);

            fill(txn, dbi);
            if (!is_open((enum state)state, op)) {
                one_op(txn, dbi, (enum state)state, op);
            }
            mdb_txn_abort(txn);
        }
    }
}

/* ---- Changes --------------------------------------------------------------------------------- */

static const unsigned put_flags[] = {
    0,
    MDB_NOOVERWRITE,
    MDB_NODUPDATA,
    MDB_APPEND,
    MDB_APPENDDUP,
    MDB_NOOVERWRITE | MDB_NODUPDATA,
    MDB_APPEND | MDB_NOOVERWRITE,
    MDB_APPENDDUP | MDB_NODUPDATA,
    MDB_APPEND | MDB_APPENDDUP,
};

/* A put of a key and a value that are there or not, by key or by a cursor, and all that is then
 * there. */
static void one_put(MDB_env *env, MDB_dbi dbi, unsigned flags, unsigned key_number,
                    unsigned value_number)
{
    for (int by_cursor = 0; by_cursor < 2; by_cursor++) {
        MDB_txn *txn = both_begin(env, NULL, 0);
        MDB_val key = key_of(key_number);
        MDB_val data = value_of(value_number);
        MDB_cursor *cursor;
        int rc;

        fill(txn, dbi);
        MUST(mdb_cursor_open(txn, dbi, &cursor));
        rc = by_cursor ? mdb_cursor_put(cursor, &key, &data, flags)
                       : mdb_put(txn, dbi, &key, &data, flags);
        see("put%s %#x of %u, %u: %s", by_cursor ? " by cursor" : "", flags, key_number,
            value_number, both_name(rc));
        if (rc == MDB_KEYEXIST && flags & MDB_NOOVERWRITE) {
            see_val("    there is", &data);
        }
        if (by_cursor && (rc == 0 || !(flags_now & MDB_DUPSORT))) {
            CALL_PAIR(mdb_cursor_get(cursor, &key, &data, MDB_GET_CURRENT), &key, &data);
        }
        see_table(txn, dbi, 20);
        see_stat(txn, dbi);
        mdb_txn_abort(txn);
    }
}

static void all_puts(MDB_env *env, MDB_dbi dbi)
{
    for (size_t i = 0; i < sizeof put_flags / sizeof put_flags[0]; i++) {
        for (unsigned key = 4; key <= 9; key++) { /* 9 is behind the last */
            one_put(env, dbi, put_flags[i], key, 2);
            one_put(env, dbi, put_flags[i], key, 3);
            one_put(env, dbi, put_flags[i], key, 9);
        }
    }
}

static void all_dels(MDB_env *env, MDB_dbi dbi)
{
    for (unsigned key_number = 4; key_number <= 6; key_number++) {
        for (unsigned value = 1; value <= 3; value++) {
            MDB_txn *txn = both_begin(env, NULL, 0);
            MDB_val key = key_of(key_number);
            MDB_val data = value_of(value);

            fill(txn, dbi);
            see("del of %u, %u", key_number, value);
            CALL(mdb_del(txn, dbi, &key, value == 1 ? NULL : &data));
            see_table(txn, dbi, 20);
            CALL(mdb_del(txn, dbi, &key, NULL));
            see_table(txn, dbi, 20);
            mdb_txn_abort(txn);
        }
    }
}

/* CURRENT, by each state in which there is a record. */
static void currents(MDB_env *env, MDB_dbi dbi)
{
    static const enum state states[] = {FRESH, ON_FIRST, ON_MIDDLE, ON_LAST, PUT};

    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++) {
        MDB_txn *txn = both_begin(env, NULL, 0);
        MDB_val key = key_of(6);
        MDB_val data;
        MDB_cursor *cursor;

        fill(txn, dbi);
        MUST(mdb_cursor_open(txn, dbi, &cursor));
        reach(cursor, states[i]);
        see("current %s", state_names[states[i]]);
        CALL_PAIR(mdb_cursor_get(cursor, &key, &data, MDB_GET_CURRENT), &key, &data);
        data = value_of(states[i] == ON_LAST ? 7 : 2); /* sorts into its place */
        CALL(mdb_cursor_put(cursor, &key, &data, MDB_CURRENT));
        see_table(txn, dbi, 20);
        CALL(mdb_cursor_put(cursor, &key, &data, MDB_CURRENT | MDB_NOOVERWRITE));
        CALL(mdb_cursor_del(cursor, 0));
        see_table(txn, dbi, 20);
        mdb_txn_abort(txn);
    }
}

/* ---- What is refused ------------------------------------------------------------------------- */

static void refused(MDB_env *env, MDB_dbi dbi)
{
    MDB_txn *txn = both_begin(env, NULL, 0);
    MDB_val key = key_of(6);
    MDB_val data = value_of(2);
    MDB_val empty = val_bytes("", 0);
    MDB_val big = val_filled(1, 512);
    MDB_cursor *cursor = NULL;
    size_t count;

    fill(txn, dbi);
    CALL(mdb_get(NULL, dbi, &key, &data));
    CALL(mdb_get(txn, dbi, NULL, &data));
    CALL(mdb_get(txn, dbi, &key, NULL));
    CALL(mdb_get(txn, 77, &key, &data));
    CALL(mdb_put(NULL, dbi, &key, &data, 0));
    CALL(mdb_put(txn, dbi, NULL, &data, 0));
    CALL(mdb_put(txn, dbi, &key, NULL, 0));
    CALL(mdb_put(txn, 77, &key, &data, 0));
    CALL(mdb_put(txn, dbi, &key, &data, MDB_CURRENT));
    CALL(mdb_put(txn, dbi, &key, &data, MDB_MULTIPLE));
    CALL(mdb_put(txn, dbi, &key, &data, 1));
    CALL(mdb_del(NULL, dbi, &key, &data));
    CALL(mdb_del(txn, dbi, NULL, &data));
    CALL(mdb_del(txn, 77, &key, &data));
    CALL(mdb_cursor_open(NULL, dbi, &cursor));
    CALL(mdb_cursor_open(txn, dbi, NULL));
    CALL(mdb_cursor_open(txn, 77, &cursor));
    CALL(mdb_cursor_open(txn, 0, &cursor));
    CALL(mdb_cursor_open(txn, dbi, &cursor));
    CALL(mdb_cursor_count(NULL, &count));
    CALL(mdb_cursor_count(cursor, NULL));
    CALL(mdb_cursor_count(cursor, &count));
    CALL(mdb_cursor_get(NULL, &key, &data, MDB_FIRST));
    CALL(mdb_cursor_get(cursor, NULL, &data, MDB_SET));
    CALL(mdb_cursor_get(cursor, &empty, &data, MDB_SET));
    CALL(mdb_cursor_get(cursor, &key, NULL, MDB_GET_BOTH));
    CALL(mdb_cursor_get(cursor, &key, &data, (MDB_cursor_op)99));
    CALL(mdb_cursor_put(NULL, &key, &data, 0));
    CALL(mdb_cursor_put(cursor, NULL, &data, 0));
    CALL(mdb_cursor_del(cursor, 0));
    CALL(mdb_cursor_del(cursor, 1));
    CALL(mdb_cursor_renew(txn, cursor));
    CALL(mdb_cursor_renew(NULL, cursor));
    CALL(mdb_get(txn, dbi, &empty, &data));
    CALL(mdb_put(txn, dbi, &empty, &data, 0));
    if (!(flags_now & MDB_INTEGERKEY)) {
        CALL(mdb_put(txn, dbi, &big, &data, 0));
        CALL(mdb_del(txn, dbi, &big, NULL));
    }
    if (flags_now & MDB_DUPSORT && !(flags_now & MDB_DUPFIXED)) {
        CALL(mdb_put(txn, dbi, &key, &big, 0));
    }
    see_table(txn, dbi, 20);
    mdb_cursor_close(cursor);
    mdb_txn_abort(txn);
    txn = both_begin(env, NULL, MDB_RDONLY);
    CALL(mdb_put(txn, dbi, &key, &data, 0));
    CALL(mdb_del(txn, dbi, &key, NULL));
    CALL(mdb_cursor_open(txn, dbi, &cursor));
    CALL(mdb_cursor_put(cursor, &key, &data, 0));
    CALL(mdb_cursor_del(cursor, 0));
    CALL(mdb_drop(txn, dbi, 0));
    CALL(mdb_cursor_renew(txn, cursor));
    mdb_cursor_close(cursor);
    mdb_txn_abort(txn);
}

static void run(const struct both *both)
{
    (void)both;
    for (int i = 0; i < BOTH_KINDS; i++) {
        MDB_env *env;
        MDB_txn *txn;
        MDB_dbi dbi;

        part(both_kinds[i].name);
        flags_now = both_kinds[i].flags;
        env = both_env("env", MDB_NOSYNC);
        txn = both_begin(env, NULL, 0);
        MUST(mdb_dbi_open(txn, "table", flags_now | MDB_CREATE, &dbi));
        MUST(mdb_txn_commit(txn));
        all_ops(env, dbi);
        all_puts(env, dbi);
        all_dels(env, dbi);
        currents(env, dbi);
        refused(env, dbi);
        mdb_env_close(env);
    }
}

BOTH_MAIN(run)
