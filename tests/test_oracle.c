/* SPDX-License-Identifier: MIT */
/*
 * The oracle: random operations on libkv and on the real LMDB side by side. Records, order, return
 * codes and cursor positions are compared after every step.
 *
 * Not compared, with the reason:
 * - keys that LMDB cannot hold (empty, above 511 bytes): none are made here; other tests have them;
 * - cursors that stand on a record which another cursor or a plain delete removes: LMDB's header
 * promises nothing; both are positioned anew;
 * - LMDB's cursor remembers that it went to the last record and ends there, even when a record was
 * put behind it since: after "last" its cursor is set to the same key, which makes it forget;
 * - page counts and file bytes: the formats differ.
 */
#include "harness.h"

#include <lmdb.h>
#include <stdlib.h>
#include <string.h>

#include "kv.h"

enum {
    TABLES = 4,          /* the main table and three named ones */
    CURSORS = 3,         /* of each txn */
    NESTING = 3,         /* depth of nested txns */
    KEYS = 4000,         /* distinct keys of a run */
    OPERATIONS = 260000, /* of a run; four runs */
    TXN_OPERATIONS = 400,
    KEY_BYTES_MAX = 511,
    VALUE_BYTES_MAX = 20000
};

/* A pair of cursors that must stand at the same place. */
struct pair {
    struct kv_cursor *ours;
    MDB_cursor *theirs;
    unsigned table;
    bool at; /* both stand on `key` */
    uint8_t key[KEY_BYTES_MAX];
    size_t key_bytes;
};

/* A pair of txns, and the cursors open in them. */
struct level {
    struct kv_txn *ours;
    MDB_txn *theirs;
    struct pair cursors[CURSORS];
};

struct oracle {
    struct rng rng;
    const char *path_ours;
    const char *path_theirs;
    struct kv_env *ours;
    MDB_env *theirs;
    kv_table table_ours[TABLES];
    MDB_dbi table_theirs[TABLES];
    struct level levels[NESTING + 1];
    unsigned depth; /* txns open */
    uint32_t page_size;
    bool checks; /* kv_env_check after each commit */
    unsigned long commits;
    uint8_t value[VALUE_BYTES_MAX];
};

static const char *const names[TABLES] = {NULL, "alpha", "beta", "gamma"};

/* ---- The same result in both languages ---- */

static int as_lmdb(int rc)
{
    switch (rc) {
    case KV_ENOTFOUND:
        return MDB_NOTFOUND;
    case KV_EEXIST:
        return MDB_KEYEXIST;
    case KV_EORDER:
        return MDB_KEYEXIST; /* LMDB's answer to an append out of order */
    case KV_EINCOMPATIBLE:
        return MDB_INCOMPATIBLE;
    default:
        return rc;
    }
}

static void same_rc(const char *what, int ours, int theirs)
{
    ck_assert_msg(as_lmdb(ours) == theirs, "%s: libkv %d (%s: %s), LMDB %d (%s)", what, ours,
                  kv_strerror(ours), kv_error_text(), theirs, mdb_strerror(theirs));
}

static void same_val(const char *what, const struct kv_val *ours, const MDB_val *theirs)
{
    ck_assert_msg(ours->size == theirs->mv_size, "%s: sizes %zu and %zu", what, ours->size,
                  theirs->mv_size);
    ck_assert_msg(memcmp(ours->data, theirs->mv_data, ours->size) == 0, "%s: other bytes", what);
}

/* ---- Random keys and values ---- */

/* Key number n: length and bytes follow from n, so that keys are met again; many share prefixes. */
static size_t key_make(uint64_t n, uint8_t *out)
{
    struct rng rng;
    size_t bytes;

    rng_init(&rng, n % KEYS + 77);
    switch (rng_below(&rng, 4)) {
    case 0:
        bytes = 8;
        rng_bytes(&rng, out, bytes);
        break;
    case 1:
        bytes = (size_t)snprintf((char *)out, 40, "user/profile/%08llu",
                                 (unsigned long long)rng_below(&rng, KEYS));
        break;
    case 2:
        bytes = (size_t)rng_between(&rng, 1, 12);
        for (size_t i = 0; i < bytes; i++)
            out[i] = (uint8_t)rng_below(&rng, 3); /* zeros and ties */
        break;
    default:
        bytes = (size_t)rng_between(&rng, 1, KEY_BYTES_MAX + 1);
        memset(out, 'k', bytes);
        rng_bytes(&rng, out + bytes - 1, 1);
        break;
    }
    return bytes;
}

static size_t value_make(struct oracle *o)
{
    size_t bytes;

    switch (rng_below(&o->rng, 20)) {
    case 0:
        bytes = rng_below(&o->rng, VALUE_BYTES_MAX);
        break;
    case 1:
        bytes = rng_between(&o->rng, 1900, 2100); /* around the limit of what stays in a leaf */
        break;
    case 2:
        bytes = 0;
        break;
    default:
        bytes = rng_below(&o->rng, 150);
        break;
    }
    if (bytes)
        memset(o->value, (int)rng_below(&o->rng, 256), bytes);
    return bytes;
}

/* ---- Envs, txns, cursors ---- */

static struct level *top(struct oracle *o)
{
    return &o->levels[o->depth - 1];
}

static void envs_open(struct oracle *o)
{
    struct kv_options options = KV_OPTIONS_INIT;

    options.flags = KV_CREATE;
    options.page_size = o->page_size;
    options.durability = (enum kv_durability)rng_between(&o->rng, KV_LAZY, KV_NONE + 1);
    options.dirty_budget_bytes = rng_chance(&o->rng, 50) ? 64 * (uint64_t)o->page_size : 0;
    ck_ok(kv_env_open(o->path_ours, &options, &o->ours));
    ck_assert_int_eq(mdb_env_create(&o->theirs), 0);
    ck_assert_int_eq(mdb_env_set_mapsize(o->theirs, (size_t)1 << 32), 0);
    ck_assert_int_eq(mdb_env_set_maxdbs(o->theirs, TABLES), 0);
    ck_assert_int_eq(mdb_env_open(o->theirs, o->path_theirs, MDB_NOSUBDIR | MDB_NOSYNC | MDB_NOTLS,
                                  0644),
                     0);
}

static void tables_open(struct oracle *o)
{
    struct level *at = top(o);

    for (unsigned t = 0; t < TABLES; t++) {
        ck_ok(kv_table_open(at->ours, names[t], KV_CREATE, NULL, &o->table_ours[t]));
        ck_assert_int_eq(mdb_dbi_open(at->theirs, names[t], names[t] ? MDB_CREATE : 0,
                                      &o->table_theirs[t]),
                         0);
    }
}

static void cursor_drop(struct pair *pair)
{
    if (!pair->ours)
        return;
    kv_cursor_close(pair->ours);
    mdb_cursor_close(pair->theirs);
    pair->ours = NULL;
    pair->at = false;
}

static struct pair *cursor_any(struct oracle *o)
{
    struct level *at = top(o);
    struct pair *pair = &at->cursors[rng_below(&o->rng, CURSORS)];

    if (pair->ours && rng_chance(&o->rng, 3))
        cursor_drop(pair);
    if (!pair->ours) {
        pair->table = (unsigned)rng_below(&o->rng, TABLES);
        ck_ok(kv_cursor_open(at->ours, o->table_ours[pair->table], &pair->ours));
        ck_assert_int_eq(mdb_cursor_open(at->theirs, o->table_theirs[pair->table], &pair->theirs),
                         0);
        pair->at = false;
    }
    return pair;
}

static void cursors_drop(struct level *at)
{
    for (unsigned c = 0; c < CURSORS; c++)
        cursor_drop(&at->cursors[c]);
}

static void txn_begin(struct oracle *o)
{
    struct level *parent = o->depth ? top(o) : NULL;
    struct level *at = &o->levels[o->depth++];
    struct kv_txn_options options = {.parent = parent ? parent->ours : NULL};

    memset(at, 0, sizeof(*at));
    if (parent)
        cursors_drop(parent);
    ck_ok(kv_txn_begin(o->ours, KV_WRITE, &options, &at->ours));
    ck_assert_int_eq(mdb_txn_begin(o->theirs, parent ? parent->theirs : NULL, 0, &at->theirs), 0);
}

static void txn_end(struct oracle *o, bool commit)
{
    struct level *at = top(o);

    cursors_drop(at);
    if (commit) {
        ck_ok(kv_txn_commit(at->ours));
        ck_assert_int_eq(mdb_txn_commit(at->theirs), 0);
    } else {
        kv_txn_abort(at->ours);
        mdb_txn_abort(at->theirs);
    }
    o->depth--;
    if (o->depth == 0 && commit && o->checks && ++o->commits % 8 == 0)
        ck_ok(kv_env_check(o->ours, NULL));
}

/* ---- Operations ---- */

/* Cursors that stand on a record which goes lose their place: what LMDB does there it does not
 * promise. */
static void cursors_leave(struct oracle *o, unsigned table, const uint8_t *key, size_t key_bytes,
                          const struct pair *except)
{
    struct level *at = top(o);

    for (unsigned c = 0; c < CURSORS; c++) {
        struct pair *pair = &at->cursors[c];

        if (pair != except && pair->ours && pair->table == table &&
            (!pair->at || (pair->key_bytes == key_bytes && memcmp(pair->key, key, key_bytes) == 0)))
            cursor_drop(pair);
    }
}

static void cursors_leave_table(struct oracle *o, unsigned table)
{
    struct level *at = top(o);

    for (unsigned c = 0; c < CURSORS; c++) {
        if (at->cursors[c].ours && at->cursors[c].table == table)
            cursor_drop(&at->cursors[c]);
    }
}

static void do_put(struct oracle *o)
{
    unsigned table = (unsigned)rng_below(&o->rng, TABLES);
    uint8_t key[KEY_BYTES_MAX];
    size_t key_bytes = key_make(rng_next(&o->rng), key);
    size_t value_bytes = value_make(o);
    struct kv_val k = {key_bytes, key};
    struct kv_val v = {value_bytes, o->value};
    MDB_val mk = {key_bytes, key};
    MDB_val mv = {value_bytes, o->value};
    unsigned kind = (unsigned)rng_below(&o->rng, 10);
    uint32_t flags = kind == 0   ? KV_NOOVERWRITE
                     : kind == 1 ? KV_APPEND
                     : kind == 2 ? KV_RESERVE
                                 : 0;
    unsigned theirs = kind == 0   ? MDB_NOOVERWRITE
                      : kind == 1 ? MDB_APPEND
                      : kind == 2 ? MDB_RESERVE
                                  : 0;
    int rc = kv_put(top(o)->ours, o->table_ours[table], &k, &v, flags);

    same_rc("put", rc, mdb_put(top(o)->theirs, o->table_theirs[table], &mk, &mv, theirs));
    if (kind == 0 && rc == KV_EEXIST)
        same_val("value of put without overwriting", &v, &mv);
    if (kind == 2 && rc == 0 && value_bytes) {
        memcpy(v.data, o->value, value_bytes);
        memcpy(mv.mv_data, o->value, value_bytes);
    }
}

static void do_get(struct oracle *o)
{
    unsigned table = (unsigned)rng_below(&o->rng, TABLES);
    uint8_t key[KEY_BYTES_MAX];
    size_t key_bytes = key_make(rng_next(&o->rng), key);
    struct kv_val k = {key_bytes, key};
    struct kv_val v;
    MDB_val mk = {key_bytes, key};
    MDB_val mv;
    int rc = kv_get(top(o)->ours, o->table_ours[table], &k, &v);

    same_rc("get", rc, mdb_get(top(o)->theirs, o->table_theirs[table], &mk, &mv));
    if (!rc)
        same_val("value of get", &v, &mv);
}

static void do_del(struct oracle *o)
{
    unsigned table = (unsigned)rng_below(&o->rng, TABLES);
    uint8_t key[KEY_BYTES_MAX];
    size_t key_bytes = key_make(rng_next(&o->rng), key);
    struct kv_val k = {key_bytes, key};
    MDB_val mk = {key_bytes, key};

    cursors_leave(o, table, key, key_bytes, NULL);
    same_rc("del", kv_del(top(o)->ours, o->table_ours[table], &k, NULL),
            mdb_del(top(o)->theirs, o->table_theirs[table], &mk, NULL));
}

static void do_replace(struct oracle *o)
{
    unsigned table = (unsigned)rng_below(&o->rng, TABLES);
    uint8_t key[KEY_BYTES_MAX];
    size_t key_bytes = key_make(rng_next(&o->rng), key);
    struct kv_val k = {key_bytes, key};
    struct kv_val v = {value_make(o), o->value};
    struct kv_val old;
    MDB_val mk = {key_bytes, key};
    MDB_val mv = {v.size, o->value};
    MDB_val before;
    int found = mdb_get(top(o)->theirs, o->table_theirs[table], &mk, &before);
    int rc = kv_replace(top(o)->ours, o->table_ours[table], &k, &v, &old);

    ck_assert_int_eq(rc, 0);
    ck_assert_msg((found == 0) == (old.data != NULL), "replace: old value %p, LMDB %d", old.data,
                  found);
    if (found == 0)
        same_val("old value of replace", &old, &before);
    ck_assert_int_eq(mdb_put(top(o)->theirs, o->table_theirs[table], &mk, &mv, 0), 0);
}

/* Both cursors have moved: same result, same record; remembers where they stand. */
static void cursor_same(struct pair *pair, const char *what, int rc, struct kv_val *k,
                        struct kv_val *v, int theirs, MDB_val *mk, MDB_val *mv)
{
    same_rc(what, rc, theirs);
    if (rc) {
        pair->at = false;
        return;
    }
    same_val(what, k, mk);
    if (kv_cursor_is_table(pair->ours))
        ck_assert_uint_eq(v->size, 0);
    else
        same_val(what, v, mv);
    pair->at = true;
    pair->key_bytes = k->size;
    memcpy(pair->key, k->data, k->size);
}

/* LMDB has no "at most": at least, then one back unless it is the key itself. */
static int lmdb_at_most(MDB_cursor *cursor, MDB_val *mk, MDB_val *mv, const struct kv_val *key)
{
    int rc = mdb_cursor_get(cursor, mk, mv, MDB_SET_RANGE);

    if (rc == MDB_NOTFOUND)
        return mdb_cursor_get(cursor, mk, mv, MDB_LAST);
    if (rc == 0 && (mk->mv_size != key->size || memcmp(mk->mv_data, key->data, key->size) != 0))
        return mdb_cursor_get(cursor, mk, mv, MDB_PREV);
    return rc;
}

static void do_cursor_move(struct oracle *o)
{
    static const struct {
        enum kv_cursor_op ours;
        MDB_cursor_op theirs;
        const char *what;
    } moves[] = {
        {KV_FIRST, MDB_FIRST, "first"},
        {KV_LAST, MDB_LAST, "last"},
        {KV_NEXT, MDB_NEXT, "next"},
        {KV_PREV, MDB_PREV, "prev"},
        {KV_NEXT, MDB_NEXT, "next"},
        {KV_PREV, MDB_PREV, "prev"},
        {KV_EXACT, MDB_SET_KEY, "exact"},
        {KV_AT_LEAST, MDB_SET_RANGE, "at least"},
        {KV_AT_MOST, MDB_SET_RANGE, "at most"},
    };
    struct pair *pair = cursor_any(o);
    unsigned m = (unsigned)rng_below(&o->rng, sizeof(moves) / sizeof(moves[0]));
    uint8_t key[KEY_BYTES_MAX];
    size_t key_bytes = key_make(rng_next(&o->rng), key);
    struct kv_val k = {key_bytes, key};
    struct kv_val wanted = k;
    struct kv_val v;
    MDB_val mk = {key_bytes, key};
    MDB_val mv;
    int rc;
    int theirs;

    rc = kv_cursor_get(pair->ours, moves[m].ours, &k, &v);
    if (moves[m].ours == KV_AT_MOST)
        theirs = lmdb_at_most(pair->theirs, &mk, &mv, &wanted);
    else
        theirs = mdb_cursor_get(pair->theirs, &mk, &mv, moves[m].theirs);
    cursor_same(pair, moves[m].what, rc, &k, &v, theirs, &mk, &mv);
    if (!rc &&
        (moves[m].ours == KV_LAST || moves[m].ours == KV_PREV || moves[m].ours == KV_AT_MOST))
        ck_assert_int_eq(mdb_cursor_get(pair->theirs, &mk, &mv, MDB_SET), 0);
    if (rc) /* past an end, or nothing there: LMDB's place is then not promised */
        cursor_drop(pair);
}

/* Every cursor that stood on a record still stands there, whatever was changed. */
static void do_cursor_current(struct oracle *o)
{
    struct pair *pair = &top(o)->cursors[rng_below(&o->rng, CURSORS)];
    struct kv_val k;
    struct kv_val v;
    MDB_val mk;
    MDB_val mv;

    if (!pair->ours || !pair->at)
        return;
    ck_ok(kv_cursor_get(pair->ours, KV_CURRENT, &k, &v));
    ck_assert_int_eq(mdb_cursor_get(pair->theirs, &mk, &mv, MDB_GET_CURRENT), 0);
    ck_assert_uint_eq(k.size, pair->key_bytes);
    ck_assert_mem_eq(k.data, pair->key, pair->key_bytes);
    same_val("key at the cursor", &k, &mk);
    if (!kv_cursor_is_table(pair->ours))
        same_val("value at the cursor", &v, &mv);
}

static void do_cursor_put(struct oracle *o)
{
    struct pair *pair = cursor_any(o);
    uint8_t key[KEY_BYTES_MAX];
    size_t key_bytes = key_make(rng_next(&o->rng), key);
    struct kv_val k = {key_bytes, key};
    struct kv_val v = {value_make(o), o->value};
    MDB_val mk = {key_bytes, key};
    MDB_val mv = {v.size, o->value};
    bool current = pair->at && !kv_cursor_is_table(pair->ours) && rng_chance(&o->rng, 30);

    if (current) {
        memcpy(key, pair->key, pair->key_bytes);
        mk.mv_size = pair->key_bytes;
        k.size = pair->key_bytes;
        same_rc("put at the cursor", kv_cursor_put(pair->ours, NULL, &v, KV_AT_CURSOR),
                mdb_cursor_put(pair->theirs, &mk, &mv, MDB_CURRENT));
        return;
    }
    same_rc("put by cursor", kv_cursor_put(pair->ours, &k, &v, 0),
            mdb_cursor_put(pair->theirs, &mk, &mv, 0));
    pair->at = true;
    pair->key_bytes = key_bytes;
    memcpy(pair->key, key, key_bytes);
}

static void do_cursor_del(struct oracle *o)
{
    struct pair *pair = cursor_any(o);
    struct kv_val k;
    struct kv_val v;
    MDB_val mk;
    MDB_val mv;
    int rc;

    if (!pair->at || kv_cursor_is_table(pair->ours))
        return;
    cursors_leave(o, pair->table, pair->key, pair->key_bytes, pair);
    same_rc("del at the cursor", kv_cursor_del(pair->ours, 0), mdb_cursor_del(pair->theirs, 0));
    rc = kv_cursor_get(pair->ours, KV_NEXT, &k, &v);
    cursor_same(pair, "next after del", rc, &k, &v,
                mdb_cursor_get(pair->theirs, &mk, &mv, MDB_NEXT), &mk, &mv);
    if (rc)
        cursor_drop(pair);
}

static void do_empty(struct oracle *o)
{
    unsigned table = (unsigned)rng_between(&o->rng, 1, TABLES);

    cursors_leave_table(o, table);
    ck_ok(kv_table_empty(top(o)->ours, o->table_ours[table]));
    ck_assert_int_eq(mdb_drop(top(o)->theirs, o->table_theirs[table], 0), 0);
}

static void do_stat(struct oracle *o)
{
    unsigned table = (unsigned)rng_below(&o->rng, TABLES);
    struct kv_table_stat stat;
    MDB_stat theirs;

    ck_ok(kv_table_stat(top(o)->ours, o->table_ours[table], &stat));
    ck_assert_int_eq(mdb_stat(top(o)->theirs, o->table_theirs[table], &theirs), 0);
    ck_assert_uint_eq(stat.entries, theirs.ms_entries);
}

/* Both stores, whole, forward and backward. */
static void compare_all(struct oracle *o)
{
    struct level *at = top(o);

    cursors_drop(at);
    for (unsigned t = 0; t < TABLES; t++) {
        for (int back = 0; back < 2; back++) {
            struct pair pair = {.table = t};
            struct kv_val k;
            struct kv_val v;
            MDB_val mk;
            MDB_val mv;
            int rc = 0;

            ck_ok(kv_cursor_open(at->ours, o->table_ours[t], &pair.ours));
            ck_assert_int_eq(mdb_cursor_open(at->theirs, o->table_theirs[t], &pair.theirs), 0);
            while (!rc) {
                rc = kv_cursor_get(pair.ours, back ? KV_PREV : KV_NEXT, &k, &v);
                cursor_same(&pair, "whole table", rc, &k, &v,
                            mdb_cursor_get(pair.theirs, &mk, &mv, back ? MDB_PREV : MDB_NEXT), &mk,
                            &mv);
            }
            cursor_drop(&pair);
        }
    }
}

static void operate(struct oracle *o)
{
    uint64_t kind = rng_below(&o->rng, 1000);

    if (kind < 280)
        do_put(o);
    else if (kind < 400)
        do_get(o);
    else if (kind < 520)
        do_del(o);
    else if (kind < 560)
        do_replace(o);
    else if (kind < 760)
        do_cursor_move(o);
    else if (kind < 860)
        do_cursor_current(o);
    else if (kind < 920)
        do_cursor_put(o);
    else if (kind < 985)
        do_cursor_del(o);
    else if (kind < 986)
        do_empty(o);
    else if (kind < 990)
        do_stat(o);
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

static void run(uint64_t seed, uint32_t page_size, bool checks)
{
    static struct oracle o;
    uint64_t operations = scaled(OPERATIONS);

    memset(&o, 0, sizeof(o));
    rng_seed(&o.rng, "oracle", seed);
    tmp_clear();
    o.path_ours = tmp_path("ours.db");
    o.path_theirs = tmp_path("theirs.db");
    o.page_size = page_size;
    o.checks = checks;
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
        if (rng_chance(&o.rng, 1))
            reopen(&o);
    }
    reopen(&o);
    ck_ok(kv_env_check(o.ours, NULL));
    ck_ok(kv_env_close(o.ours));
    mdb_env_close(o.theirs);
}

START_TEST(random_operations_match_lmdb)
{
    run(1001 + (uint64_t)_i, 4096, _i == 0);
}
END_TEST

START_TEST(random_operations_match_lmdb_with_large_pages)
{
    run(2001, 65536, true);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("oracle");

    harness_add_loop(s, "4 KiB pages", random_operations_match_lmdb, 0, 3);
    harness_add(s, "64 KiB pages", random_operations_match_lmdb_with_large_pages);
    return s;
}

HARNESS_MAIN(suite)
