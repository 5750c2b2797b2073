/* SPDX-License-Identifier: MIT */
/*
 * The oracle for tables of every kind: duplicates of any and of one size, keys and values in the
 * orders of bytes, from the end, of integers, of a user; random operations on libkv and on the real
 * LMDB side by side, with nested txns, aborts, reopens, and several cursors on one table while it
 * changes. Records, order, results and cursor positions are compared.
 *
 * What libkv's cursors must do is kept beside them: at a pair, or before one because theirs was
 * deleted. LMDB's cursors are set to that pair for each step and not kept over changes, since what
 * they do when others delete, or sets move between LMDB's forms, it does not promise.
 *
 * Not compared, with the reason:
 * - MDB_APPENDDUP out of order: LMDB 0.9 answers MDB_KEYEXIST or, in large sets, MDB_PROBLEM; ours
 *   must be KV_EORDER;
 * - MDB_CURRENT with another value: LMDB wants one that sorts to the same place; ours moves the
 *   pair, which on LMDB's side is a delete and a put;
 * - MDB_PREV of a cursor without position: LMDB 0.9.24 gives the last key with a value that is not
 *   its own; MDB_LAST is asked instead;
 * - MDB_APPEND: LMDB's asks for a new key, ours for a pair above the last.
 */
#include <string.h>

#include "pairs_world.h"

enum {
    OPERATIONS = 420000, /* of a run; five runs */
    TXN_OPERATIONS = 500,
    MULTIPLE_MAX = 300
};

/* ---- Changes ---- */

/* Whether the value is above the key's others. */
static bool above_last(struct oracle *o, unsigned table, struct item *key, struct item *value)
{
    MDB_cursor *cursor = their_cursor(o, table);
    MDB_val k = their_val(key);
    MDB_val v;
    MDB_val wanted = their_val(value);
    int rc = mdb_cursor_get(cursor, &k, &v, MDB_SET_KEY);

    if (rc == 0)
        rc = mdb_cursor_get(cursor, &k, &v, MDB_LAST_DUP);
    if (rc == 0)
        rc = mdb_dcmp(top(o)->theirs, o->table_theirs[table], &wanted, &v) > 0 ? MDB_NOTFOUND : 0;
    mdb_cursor_close(cursor);
    return rc != 0;
}

static void do_put(struct oracle *o)
{
    unsigned table = (unsigned)rng_below(&o->rng, TABLES);
    unsigned way = (unsigned)rng_below(&o->rng, 8);
    struct item key, value;
    struct kv_val k, v;
    MDB_val mk, mv;
    int rc;

    doing_in(table, NULL);
    key_make(o, table, &key);
    value_make(o, table, &value);
    k = our_val(&key);
    v = our_val(&value);
    mk = their_val(&key);
    mv = their_val(&value);
    places_leave_end(o, table);
    if (way == 1 && has_duplicates(table)) {
        bool fits = above_last(o, table, &key, &value);

        rc = kv_put(top(o)->ours, o->table_ours[table], &k, &v, KV_APPEND_VALUE);
        ck_rc(rc, fits ? 0 : KV_EORDER);
        if (fits)
            same_rc("append of a value", rc,
                    mdb_put(top(o)->theirs, o->table_theirs[table], &mk, &mv, MDB_APPENDDUP));
        return;
    }
    if (way == 2) {
        rc = kv_put(top(o)->ours, o->table_ours[table], &k, &v, KV_NOOVERWRITE);
        same_rc("put of a new key", rc,
                mdb_put(top(o)->theirs, o->table_theirs[table], &mk, &mv, MDB_NOOVERWRITE));
        if (rc == KV_EEXIST && !has_duplicates(table))
            same_val("present value", &v, &mv);
        return;
    }
    if (way == 3 && has_duplicates(table)) {
        rc = kv_put(top(o)->ours, o->table_ours[table], &k, &v, KV_NOPAIR);
        same_rc("put of a new pair", rc,
                mdb_put(top(o)->theirs, o->table_theirs[table], &mk, &mv, MDB_NODUPDATA));
        return;
    }
    same_rc("put", kv_put(top(o)->ours, o->table_ours[table], &k, &v, 0),
            mdb_put(top(o)->theirs, o->table_theirs[table], &mk, &mv, 0));
}

/* Many values of one size at once, in any order, some of them there already. */
static void do_put_multiple(struct oracle *o)
{
    static uint8_t values[MULTIPLE_MAX * 16];
    unsigned table = (unsigned)rng_between(&o->rng, 1, 4);
    uint32_t size = pair_kinds[table].value_bytes;
    size_t n = (size_t)rng_between(&o->rng, 1, MULTIPLE_MAX);
    uint64_t first = rng_below(&o->rng, VALUES);
    bool run = rng_chance(&o->rng, 50); /* neighbours, as a load has them */
    MDB_val theirs[2] = {{size, values}, {n, NULL}};
    struct kv_val v = {n * size, values};
    MDB_cursor *cursor;
    struct item key, value;
    struct kv_val k;
    MDB_val mk;

    key_make(o, table, &key);
    for (size_t i = 0; i < n; i++) {
        item_make(&value, run ? first + i : rng_below(&o->rng, VALUES), size, false);
        memcpy(values + i * size, value.data, size);
    }
    k = our_val(&key);
    mk = their_val(&key);
    places_leave_end(o, table);
    cursor = their_cursor(o, table);
    same_rc("put of many values", kv_put(top(o)->ours, o->table_ours[table], &k, &v, KV_MULTIPLE),
            mdb_cursor_put(cursor, &mk, theirs, MDB_MULTIPLE));
    mdb_cursor_close(cursor);
}

static void do_del(struct oracle *o)
{
    unsigned table = (unsigned)rng_below(&o->rng, TABLES);
    bool pair = has_duplicates(table) && rng_chance(&o->rng, 90);
    struct item key, value = {0};
    struct kv_val k, v;
    MDB_val mk, mv;

    key_make(o, table, &key);
    if (has_duplicates(table))
        value_make(o, table, &value);
    if (!pair && has_duplicates(table) && rng_chance(&o->rng, 70))
        return; /* large sets are to become large */
    k = our_val(&key);
    v = our_val(&value);
    mk = their_val(&key);
    mv = their_val(&value);
    if (present(o, table, &key, pair ? &value : NULL)) {
        struct item first = value;

        if (has_duplicates(table) && !pair) {
            MDB_cursor *cursor = their_cursor(o, table);
            MDB_val found;

            ck_assert_int_eq(mdb_cursor_get(cursor, &mk, &found, MDB_SET_KEY), 0);
            item_set(&first, found.mv_data, found.mv_size);
            mdb_cursor_close(cursor);
        }
        mk = their_val(&key);
        places_follow(o, table, &key, &first, !pair);
    }
    same_rc("del", kv_del(top(o)->ours, o->table_ours[table], &k, pair ? &v : NULL),
            mdb_del(top(o)->theirs, o->table_theirs[table], &mk, pair ? &mv : NULL));
}

static void do_cursor_put(struct oracle *o)
{
    struct place *place = place_any(o);
    struct item key, value;
    struct kv_val k, v;
    MDB_val mk, mv;

    key_make(o, place->table, &key);
    value_make(o, place->table, &value);
    k = our_val(&key);
    v = our_val(&value);
    mk = their_val(&key);
    mv = their_val(&value);
    places_leave_end(o, place->table);
    if (!place->cursor)
        return;
    same_rc("put by cursor", kv_cursor_put(place->cursor, &k, &v, 0),
            mdb_put(top(o)->theirs, o->table_theirs[place->table], &mk, &mv, 0));
    place->stand = STAND_AT;
    place->key = key;
    place->value = value;
}

/* The value at the cursor becomes another: the pair goes where that belongs. */
static void do_cursor_replace(struct oracle *o)
{
    struct place *place = place_any(o);
    struct place old = *place;
    struct item value;
    struct kv_val v;
    MDB_val mk, mv;
    bool there;
    int rc;

    if (place->stand != STAND_AT)
        return;
    value_make(o, place->table, &value);
    v = our_val(&value);
    there = has_duplicates(place->table) && !same_item(&value, &place->value) &&
            present(o, place->table, &place->key, &value);
    if (!there && has_duplicates(place->table) && !same_item(&value, &place->value)) {
        enum stand stand = place->stand;

        places_leave_end(o, place->table);
        place->stand = STAND_NONE; /* the others at the old pair follow */
        places_follow(o, place->table, &old.key, &old.value, false);
        place->stand = stand;
        for (unsigned c = 0; c < CURSORS; c++) { /* what comes between is left open */
            struct place *other = &top(o)->places[c];

            if (other != place && other->table == place->table &&
                (other->stand == STAND_BEFORE || other->stand == STAND_END))
                place_drop(other);
        }
    }
    rc = kv_cursor_put(place->cursor, NULL, &v, KV_AT_CURSOR);
    ck_rc(rc, there ? KV_EEXIST : 0);
    if (there)
        return;
    mk = their_val(&old.key);
    mv = their_val(&old.value);
    if (has_duplicates(place->table))
        ck_assert_int_eq(mdb_del(top(o)->theirs, o->table_theirs[place->table], &mk, &mv), 0);
    mv = their_val(&value);
    ck_assert_int_eq(mdb_put(top(o)->theirs, o->table_theirs[place->table], &mk, &mv, 0), 0);
    place->value = value;
}

static void do_cursor_del(struct oracle *o)
{
    struct place *place = place_any(o);
    struct place was = *place;
    bool all = has_duplicates(place->table) && rng_chance(&o->rng, 3);
    MDB_val mk = their_val(&was.key);
    MDB_val mv = their_val(&was.value);

    if (place->stand != STAND_AT)
        return;
    places_follow(o, place->table, &was.key, &was.value, all);
    ck_ok(kv_cursor_del(place->cursor, all ? KV_ALL_VALUES : 0));
    ck_assert_int_eq(mdb_del(top(o)->theirs, o->table_theirs[was.table], &mk,
                             has_duplicates(was.table) && !all ? &mv : NULL),
                     0);
}

static void do_empty(struct oracle *o)
{
    unsigned table = (unsigned)rng_below(&o->rng, TABLES);

    for (unsigned c = 0; c < CURSORS; c++) {
        if (top(o)->places[c].cursor && top(o)->places[c].table == table)
            place_drop(&top(o)->places[c]);
    }
    ck_ok(kv_table_empty(top(o)->ours, o->table_ours[table]));
    ck_assert_int_eq(mdb_drop(top(o)->theirs, o->table_theirs[table], 0), 0);
}

/* ---- Reading ---- */

static void do_get(struct oracle *o)
{
    unsigned table = (unsigned)rng_below(&o->rng, TABLES);
    struct kv_val wanted[8], values[8];
    struct item keys[8];
    size_t found = 0;
    size_t got;

    for (unsigned i = 0; i < 8; i++) {
        key_make(o, table, &keys[i]);
        wanted[i] = our_val(&keys[i]);
    }
    ck_ok(kv_get_many(top(o)->ours, o->table_ours[table], wanted, 8, values, &got));
    for (unsigned i = 0; i < 8; i++) {
        MDB_val mk = their_val(&keys[i]);
        MDB_val mv;
        struct kv_val v;
        int theirs = mdb_get(top(o)->theirs, o->table_theirs[table], &mk, &mv);

        same_rc("get", kv_get(top(o)->ours, o->table_ours[table], &wanted[i], &v), theirs);
        if ((values[i].data != NULL) != (theirs == 0))
            ck_abort_msg("get_many: key %u, LMDB %d", i, theirs);
        if (theirs)
            continue;
        found++;
        same_val("value of get", &v, &mv);
        same_val("value of get_many", &values[i], &mv);
    }
    ck_assert_uint_eq(got, found);
}

static int lmdb_at_most(struct oracle *o, unsigned table, MDB_cursor *cursor, MDB_val *mk,
                        MDB_val *mv)
{
    MDB_val wanted = *mk;
    int rc = mdb_cursor_get(cursor, mk, mv, MDB_SET_RANGE);

    if (rc == MDB_NOTFOUND)
        return mdb_cursor_get(cursor, mk, mv, MDB_LAST);
    if (rc)
        return rc;
    if (mdb_cmp(top(o)->theirs, o->table_theirs[table], mk, &wanted) != 0)
        return mdb_cursor_get(cursor, mk, mv, MDB_PREV);
    return has_duplicates(table) ? mdb_cursor_get(cursor, mk, mv, MDB_LAST_DUP) : 0;
}

struct move {
    enum kv_cursor_op ours;
    MDB_cursor_op theirs;
    const char *what;
    bool pairs;    /* for duplicates only */
    bool at;       /* needs a position */
    bool searches; /* *key (and *value) are input */
};

static const struct move moves[] = {
    {KV_FIRST, MDB_FIRST, "first", false, false, false},
    {KV_LAST, MDB_LAST, "last", false, false, false},
    {KV_NEXT, MDB_NEXT, "next", false, false, false},
    {KV_PREV, MDB_PREV, "prev", false, false, false},
    {KV_NEXT, MDB_NEXT, "next", false, true, false},
    {KV_PREV, MDB_PREV, "prev", false, true, false},
    {KV_NEXT_KEY, MDB_NEXT_NODUP, "next key", false, true, false},
    {KV_PREV_KEY, MDB_PREV_NODUP, "prev key", false, true, false},
    {KV_EXACT, MDB_SET_KEY, "exact", false, false, true},
    {KV_AT_LEAST, MDB_SET_RANGE, "at least", false, false, true},
    {KV_AT_MOST, MDB_SET_RANGE, "at most", false, false, true},
    {KV_EXACT_PAIR, MDB_GET_BOTH, "exact pair", true, false, true},
    {KV_AT_LEAST_VALUE, MDB_GET_BOTH_RANGE, "at least value", true, false, true},
    {KV_FIRST_VALUE, MDB_FIRST_DUP, "first value", true, true, false},
    {KV_LAST_VALUE, MDB_LAST_DUP, "last value", true, true, false},
    {KV_NEXT_VALUE, MDB_NEXT_DUP, "next value", true, true, false},
    {KV_PREV_VALUE, MDB_PREV_DUP, "prev value", true, true, false},
};

#define MOVES (sizeof(moves) / sizeof(moves[0]))

/* LMDB's side of a move from where the place stands. */
static int their_move(struct oracle *o, struct place *place, const struct move *move,
                      MDB_cursor *cursor, MDB_val *mk, MDB_val *mv)
{
    int rc;

    if (move->ours == KV_AT_MOST)
        return lmdb_at_most(o, place->table, cursor, mk, mv);
    if (place->stand == STAND_NONE || place->stand == STAND_END) {
        if (move->ours == KV_PREV)
            return mdb_cursor_get(cursor, mk, mv, MDB_LAST);
        if (move->ours == KV_NEXT && place->stand == STAND_NONE)
            return mdb_cursor_get(cursor, mk, mv, MDB_FIRST);
    }
    if (place->stand == STAND_END && move->ours == KV_NEXT)
        return MDB_NOTFOUND;
    if (place->stand == STAND_BEFORE && move->ours == KV_NEXT)
        return mdb_cursor_get(cursor, mk, mv, MDB_GET_CURRENT);
    rc = mdb_cursor_get(cursor, mk, mv, move->theirs);
    if (rc == 0 && move->pairs && !move->searches) /* its value moves leave the key alone */
        *mk = their_val(&place->key);
    return rc;
}

static void do_move(struct oracle *o)
{
    struct place *place = place_any(o);
    const struct move *move = &moves[rng_below(&o->rng, MOVES)];
    struct item key, value;
    struct kv_val k, v;
    MDB_cursor *cursor;
    MDB_val mk, mv;
    int rc;

    if (move->at && place->stand != STAND_AT)
        return;
    if (move->pairs && !has_duplicates(place->table))
        return;
    key_make(o, place->table, &key);
    value_make(o, place->table, &value);
    k = our_val(&key);
    v = our_val(&value);
    mk = their_val(&key);
    mv = their_val(&value);
    doing_in(place->table, place);
    cursor = their_cursor_at(o, place);
    rc = kv_cursor_get(place->cursor, move->ours, &k, &v);
    same_rc(move->what, rc, their_move(o, place, move, cursor, &mk, &mv));
    if (rc == 0) {
        same_val(move->what, &k, &mk);
        same_val(move->what, &v, &mv);
        place_set(place, STAND_AT, &k, &v);
    } else if (move->searches || place->stand == STAND_NONE) {
        place->stand = STAND_NONE;
    } else if (place->stand == STAND_BEFORE) {
        place_drop(place); /* prev of the first: it stays before it, or at it */
    }
    mdb_cursor_close(cursor);
}

/* Every cursor stands where it must, whatever was changed since. */
static void do_current(struct oracle *o)
{
    struct place *place = &top(o)->places[rng_below(&o->rng, CURSORS)];
    struct kv_val k, v;
    uint64_t count;
    size_t theirs;
    MDB_cursor *cursor;

    if (!place->cursor || place->stand == STAND_NONE)
        return;
    if (place->stand == STAND_END) {
        ck_rc(kv_cursor_get(place->cursor, KV_CURRENT, &k, &v), KV_ENOTFOUND);
        return;
    }
    doing_in(place->table, place);
    ck_ok(kv_cursor_get(place->cursor, KV_CURRENT, &k, &v));
    if (k.size != place->key.bytes || memcmp(k.data, place->key.data, k.size) != 0)
        ck_abort_msg("%s: it stands at another key", doing);
    if (has_duplicates(place->table) &&
        (v.size != place->value.bytes || memcmp(v.data, place->value.data, v.size) != 0))
        ck_abort_msg("%s: it stands at another value", doing);
    place->stand = STAND_AT; /* also where it stood before that record */
    if (!has_duplicates(place->table))
        return;
    cursor = their_cursor_at(o, place);
    ck_ok(kv_cursor_count(place->cursor, &count));
    ck_assert_int_eq(mdb_cursor_count(cursor, &theirs), 0);
    ck_assert_uint_eq(count, theirs);
    mdb_cursor_close(cursor);
}

static void do_stat(struct oracle *o)
{
    unsigned table = (unsigned)rng_below(&o->rng, TABLES);
    struct kv_table_stat stat;
    uint64_t count;
    MDB_stat theirs;

    ck_ok(kv_table_stat(top(o)->ours, o->table_ours[table], &stat));
    ck_assert_int_eq(mdb_stat(top(o)->theirs, o->table_theirs[table], &theirs), 0);
    ck_assert_uint_eq(stat.entries, theirs.ms_entries);
    ck_ok(kv_count(top(o)->ours, o->table_ours[table], NULL, 0, &count));
    ck_assert_uint_eq(count, theirs.ms_entries);
}

/* ---- Whole tables ---- */

/* LMDB's next record either way; `first`: of a cursor without position. */
static int their_step(MDB_cursor *cursor, bool back, bool first, MDB_val *mk, MDB_val *mv)
{
    if (first)
        return mdb_cursor_get(cursor, mk, mv, back ? MDB_LAST : MDB_FIRST);
    return mdb_cursor_get(cursor, mk, mv, back ? MDB_PREV : MDB_NEXT);
}

static void compare_steps(struct oracle *o, unsigned table, bool back)
{
    MDB_cursor *theirs = their_cursor(o, table);
    struct kv_cursor *ours;
    struct kv_val k, v;
    MDB_val mk, mv;
    bool first = true;
    int rc = 0;

    ck_ok(kv_cursor_open(top(o)->ours, o->table_ours[table], &ours));
    for (; !rc; first = false) {
        rc = kv_cursor_get(ours, back ? KV_PREV : KV_NEXT, &k, &v);
        same_rc("whole table", rc, their_step(theirs, back, first, &mk, &mv));
        if (!rc) {
            same_val("whole table", &k, &mk);
            same_val("whole table", &v, &mv);
        }
    }
    kv_cursor_close(ours);
    mdb_cursor_close(theirs);
}

static void compare_batches(struct oracle *o, unsigned table, bool back)
{
    MDB_cursor *theirs = their_cursor(o, table);
    struct kv_record records[37];
    struct kv_cursor *ours;
    MDB_val mk, mv;
    bool first = true;
    size_t got;
    int rc;

    ck_ok(kv_cursor_open(top(o)->ours, o->table_ours[table], &ours));
    while ((rc = kv_cursor_read(ours, back ? KV_PREV : KV_NEXT, records, 37, &got)) == 0) {
        for (size_t i = 0; i < got; i++, first = false) {
            ck_assert_int_eq(their_step(theirs, back, first, &mk, &mv), 0);
            same_val("batched key", &records[i].key, &mk);
            same_val("batched value", &records[i].value, &mv);
        }
    }
    same_rc("batches", rc, their_step(theirs, back, first, &mk, &mv));
    kv_cursor_close(ours);
    mdb_cursor_close(theirs);
}

/* All pieces, many a call, against LMDB's values one by one. */
static void compare_piece_reads(struct oracle *o, unsigned table)
{
    MDB_cursor *theirs = their_cursor(o, table);
    uint32_t size = pair_kinds[table].value_bytes;
    struct kv_record records[7];
    struct kv_cursor *ours;
    MDB_val mk, mv;
    size_t got;
    int rc;

    ck_ok(kv_cursor_open(top(o)->ours, o->table_ours[table], &ours));
    while ((rc = kv_cursor_read(ours, KV_NEXT_PIECE, records, 7, &got)) == 0) {
        for (size_t i = 0; i < got; i++) {
            ck_assert_uint_eq(records[i].value.size % size, 0);
            for (size_t at = 0; at < records[i].value.size; at += size) {
                struct kv_val one = {size, (uint8_t *)records[i].value.data + at};

                ck_assert_int_eq(mdb_cursor_get(theirs, &mk, &mv, MDB_NEXT), 0);
                same_val("piece of a read", &one, &mv);
                same_val("key of a piece", &records[i].key, &mk);
            }
        }
    }
    ck_rc(rc, KV_ENOTFOUND);
    ck_assert_int_eq(mdb_cursor_get(theirs, &mk, &mv, MDB_NEXT), MDB_NOTFOUND);
    kv_cursor_close(ours);
    mdb_cursor_close(theirs);
}

/* Values of one size in pieces, against LMDB's one by one. */
static void compare_pieces(struct oracle *o, unsigned table)
{
    MDB_cursor *theirs = their_cursor(o, table);
    struct kv_cursor *ours;
    struct kv_val k, v;
    MDB_val mk, mv;
    int rc;

    ck_ok(kv_cursor_open(top(o)->ours, o->table_ours[table], &ours));
    while ((rc = kv_cursor_get(ours, KV_NEXT_KEY, &k, NULL)) == 0) {
        rc = kv_cursor_get(ours, KV_VALUES, &k, &v);
        for (; rc == 0; rc = kv_cursor_get(ours, KV_NEXT_VALUES, &k, &v)) {
            uint32_t size = pair_kinds[table].value_bytes;

            ck_assert_uint_eq(v.size % size, 0);
            for (size_t at = 0; at < v.size; at += size) {
                struct kv_val one = {size, (uint8_t *)v.data + at};

                ck_assert_int_eq(mdb_cursor_get(theirs, &mk, &mv, MDB_NEXT), 0);
                same_val("piece", &one, &mv);
                same_val("key of a piece", &k, &mk);
            }
        }
        ck_rc(rc, KV_ENOTFOUND);
    }
    same_rc("pieces", rc, mdb_cursor_get(theirs, &mk, &mv, MDB_NEXT));
    kv_cursor_close(ours);
    mdb_cursor_close(theirs);
}

static void compare_all(struct oracle *o)
{
    places_drop(top(o));
    for (unsigned t = 0; t < TABLES; t++) {
        doing_in(t, NULL);
        for (int back = 0; back < 2; back++) {
            compare_steps(o, t, back);
            compare_batches(o, t, back);
        }
        if (pair_kinds[t].flags & KV_FIXED) {
            compare_pieces(o, t);
            compare_piece_reads(o, t);
        }
    }
}

/* ---- Runs ---- */

static void operate(struct oracle *o)
{
    uint64_t kind = rng_below(&o->rng, 1000);

    if (kind < 250)
        do_put(o);
    else if (kind < 253)
        do_put_multiple(o);
    else if (kind < 300)
        do_get(o);
    else if (kind < 420)
        do_del(o);
    else if (kind < 700)
        do_move(o);
    else if (kind < 850)
        do_current(o);
    else if (kind < 900)
        do_cursor_put(o);
    else if (kind < 930)
        do_cursor_replace(o);
    else if (kind < 980)
        do_cursor_del(o);
    else if (kind < 990)
        do_stat(o);
    else if (kind < 991 && rng_chance(&o->rng, 10))
        do_empty(o);
    else if (kind < 995 && o->depth <= NESTING)
        txn_begin(o);
    else if (o->depth > 1)
        txn_end(o, rng_chance(&o->rng, 50));
}

static void reopen(struct oracle *o)
{
    ck_ok(kv_env_close(o->ours));
    mdb_env_close(o->theirs);
    envs_open(o);
    txn_begin(o);
    tables_open(o);
    compare_all(o);
    txn_end(o, true);
}

static void run(uint64_t seed, uint32_t page_size, bool long_values, bool checks)
{
    static struct oracle o;
    uint64_t operations = scaled(OPERATIONS);

    memset(&o, 0, sizeof(o));
    rng_seed(&o.rng, "oracle of pairs", seed);
    tmp_clear();
    o.path_ours = tmp_path("ours.db");
    o.path_theirs = tmp_path("theirs.db");
    o.page_size = page_size;
    o.checks = checks;
    o.long_values = long_values;
    envs_open(&o);
    txn_begin(&o);
    tables_open(&o);
    txn_end(&o, true);
    for (uint64_t n = 0; n < operations;) {
        txn_begin(&o);
        for (uint64_t end = n + 1 + rng_below(&o.rng, TXN_OPERATIONS); n < end; n++)
            operate(&o);
        while (o.depth > 1)
            txn_end(&o, rng_chance(&o.rng, 50));
        txn_end(&o, rng_chance(&o.rng, 80));
        if (rng_chance(&o.rng, 2))
            reopen(&o);
    }
    reopen(&o);
    ck_ok(kv_env_check(o.ours, NULL));
    ck_ok(kv_env_close(o.ours));
    mdb_env_close(o.theirs);
}

START_TEST(tables_of_every_kind_match_lmdb)
{
    run(3001 + (uint64_t)_i, 4096, _i % 2 != 0, _i == 0);
}
END_TEST

START_TEST(tables_of_every_kind_match_lmdb_with_large_pages)
{
    run(4001, 65536, true, true);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("oracle_pairs");

    harness_add_loop(s, "4 KiB pages", tables_of_every_kind_match_lmdb, 0, 4);
    harness_add(s, "64 KiB pages", tables_of_every_kind_match_lmdb_with_large_pages);
    return s;
}

HARNESS_MAIN(suite)
