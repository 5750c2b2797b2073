/* SPDX-License-Identifier: MIT */
/* Tables of every kind in both stores; see pairs_world.h. */
#include "pairs_world.h"

#include <stdio.h>
#include <string.h>

const struct pair_kind pair_kinds[TABLES] = {
    {"texts", MDB_DUPSORT, KV_DUPLICATES, KV_ORDER_BYTES, KV_ORDER_BYTES, 0, 0},
    {"fixed", MDB_DUPSORT | MDB_DUPFIXED, KV_DUPLICATES | KV_FIXED, KV_ORDER_BYTES, KV_ORDER_BYTES,
     0, 12},
    {"numbers", MDB_DUPSORT | MDB_DUPFIXED | MDB_INTEGERDUP | MDB_INTEGERKEY,
     KV_DUPLICATES | KV_FIXED, KV_ORDER_UINT, KV_ORDER_UINT, 8, 8},
    {"small", MDB_DUPSORT | MDB_DUPFIXED | MDB_INTEGERDUP | MDB_INTEGERKEY,
     KV_DUPLICATES | KV_FIXED, KV_ORDER_UINT, KV_ORDER_UINT, 4, 4},
    {"reverse", MDB_DUPSORT | MDB_REVERSEKEY | MDB_REVERSEDUP, KV_DUPLICATES, KV_ORDER_REVERSE,
     KV_ORDER_REVERSE, 0, 0},
    {"custom", MDB_DUPSORT, KV_DUPLICATES, KV_ORDER_CUSTOM, KV_ORDER_CUSTOM, 0, 0},
    {"integers", MDB_INTEGERKEY, KV_COUNTED, KV_ORDER_UINT, KV_ORDER_BYTES, 8, 0},
};

/* ---- Both languages ---- */

char doing[160];

void doing_in(unsigned table, const struct place *place)
{
    static const char *const stands[] = {"nowhere", "at", "before", "at the end"};

    snprintf(doing, sizeof(doing), "table %s, cursor %s a key of %zu bytes", pair_kinds[table].name,
             place ? stands[place->stand] : "-", place ? place->key.bytes : 0);
}

/* The user's order: longer ones first, then bytes. */
static int by_length(const void *a, size_t a_bytes, const void *b, size_t b_bytes)
{
    if (a_bytes != b_bytes)
        return a_bytes > b_bytes ? -1 : 1;
    return a_bytes ? memcmp(a, b, a_bytes) : 0;
}

static int our_order(void *context, const struct kv_val *a, const struct kv_val *b)
{
    (void)context;
    return by_length(a->data, a->size, b->data, b->size);
}

static int their_order(const MDB_val *a, const MDB_val *b)
{
    return by_length(a->mv_data, a->mv_size, b->mv_data, b->mv_size);
}

static int as_lmdb(int rc)
{
    switch (rc) {
    case KV_ENOTFOUND:
        return MDB_NOTFOUND;
    case KV_EEXIST:
        return MDB_KEYEXIST;
    default:
        return rc;
    }
}

void same_rc(const char *what, int ours, int theirs)
{
    if (as_lmdb(ours) != theirs)
        ck_abort_msg("%s, %s: libkv %d (%s: %s), LMDB %d (%s)", doing, what, ours,
                     kv_strerror(ours), kv_error_text(), theirs, mdb_strerror(theirs));
}

void same_val(const char *what, const struct kv_val *ours, const MDB_val *theirs)
{
    if (ours->size != theirs->mv_size)
        ck_abort_msg("%s, %s: sizes %zu and %zu", doing, what, ours->size, theirs->mv_size);
    if (ours->size && memcmp(ours->data, theirs->mv_data, ours->size) != 0)
        ck_abort_msg("%s, %s: other bytes", doing, what);
}

struct kv_val our_val(struct item *item)
{
    return (struct kv_val){item->bytes, item->data};
}

MDB_val their_val(struct item *item)
{
    return (MDB_val){item->bytes, item->data};
}

bool same_item(const struct item *a, const struct item *b)
{
    return a->bytes == b->bytes && memcmp(a->data, b->data, a->bytes) == 0;
}

void item_set(struct item *item, const void *data, size_t bytes)
{
    item->bytes = bytes;
    if (bytes)
        memcpy(item->data, data, bytes);
}

/* ---- Random keys and values ---- */

bool has_duplicates(unsigned table)
{
    return pair_kinds[table].flags & KV_DUPLICATES;
}

/* Number n of a table's keys or values: the same bytes each time. */
void item_make(struct item *item, uint64_t n, uint32_t fixed_bytes, bool long_ones)
{
    struct rng rng;

    rng_init(&rng, n * 31 + fixed_bytes);
    if (fixed_bytes) {
        uint64_t number = rng_chance(&rng, 50) ? n : rng_next(&rng);

        item->bytes = fixed_bytes;
        memset(item->data, 0, fixed_bytes);
        memcpy(item->data, &number, fixed_bytes < 8 ? fixed_bytes : 8);
        return;
    }
    switch (rng_below(&rng, long_ones ? 5 : 4)) {
    case 0:
        item->bytes = (size_t)rng_between(&rng, 1, 10);
        for (size_t i = 0; i < item->bytes; i++)
            item->data[i] = (uint8_t)rng_below(&rng, 3); /* zeros and ties */
        break;
    case 1:
        item->bytes =
            (size_t)snprintf((char *)item->data, 40, "item/%06llu/of", (unsigned long long)n);
        break;
    case 4:
        item->bytes = (size_t)rng_between(&rng, 100, ITEM_BYTES_MAX + 1);
        memset(item->data, 0, item->bytes); /* the longest composites */
        memcpy(item->data + item->bytes - 8, &n, 8);
        break;
    default:
        item->bytes = (size_t)rng_between(&rng, 1, 24);
        rng_bytes(&rng, item->data, item->bytes);
        break;
    }
}

void key_make(struct oracle *o, unsigned table, struct item *key)
{
    uint64_t keys = has_duplicates(table) ? KEYS : KEYS * 50;
    uint64_t n = rng_below(&o->rng, keys);

    if (rng_chance(&o->rng, 50)) /* a few keys get most values */
        n %= 6;
    item_make(key, n + 1, pair_kinds[table].key_bytes, o->long_values);
}

void value_make(struct oracle *o, unsigned table, struct item *value)
{
    item_make(value, rng_below(&o->rng, VALUES), pair_kinds[table].value_bytes, o->long_values);
}

/* ---- Envs, txns, cursors ---- */

struct level *top(struct oracle *o)
{
    return &o->levels[o->depth - 1];
}

void envs_open(struct oracle *o)
{
    struct kv_options options = KV_OPTIONS_INIT;

    options.flags = KV_CREATE;
    options.page_size = o->page_size;
    options.durability = (enum kv_durability)rng_between(&o->rng, KV_LAZY, KV_NONE + 1);
    options.dirty_budget_bytes = rng_chance(&o->rng, 50) ? 64 * (uint64_t)o->page_size : 0;
    ck_ok(kv_env_open(o->path_ours, &options, &o->ours));
    ck_ok(kv_env_comparator(o->ours, "by-length", our_order, NULL));
    ck_assert_int_eq(mdb_env_create(&o->theirs), 0);
    ck_assert_int_eq(mdb_env_set_mapsize(o->theirs, (size_t)1 << 32), 0);
    ck_assert_int_eq(mdb_env_set_maxdbs(o->theirs, TABLES), 0);
    ck_assert_int_eq(mdb_env_open(o->theirs, o->path_theirs, MDB_NOSUBDIR | MDB_NOSYNC | MDB_NOTLS,
                                  0644),
                     0);
}

void tables_open(struct oracle *o)
{
    struct level *at = top(o);

    for (unsigned t = 0; t < TABLES; t++) {
        struct kv_table_options options = KV_TABLE_OPTIONS_INIT;
        const struct pair_kind *kind = &pair_kinds[t];

        options.flags = kind->flags;
        options.order = kind->order;
        options.value_order = kind->value_order;
        if (kind->flags & KV_FIXED)
            options.value_bytes = kind->value_bytes;
        if (kind->order == KV_ORDER_CUSTOM)
            options.comparator = options.value_comparator = "by-length";
        ck_ok(kv_table_open(at->ours, kind->name, KV_CREATE, &options, &o->table_ours[t]));
        ck_assert_int_eq(mdb_dbi_open(at->theirs, kind->name, MDB_CREATE | kind->theirs,
                                      &o->table_theirs[t]),
                         0);
        if (kind->order == KV_ORDER_CUSTOM) {
            ck_assert_int_eq(mdb_set_compare(at->theirs, o->table_theirs[t], their_order), 0);
            ck_assert_int_eq(mdb_set_dupsort(at->theirs, o->table_theirs[t], their_order), 0);
        }
    }
}

MDB_cursor *their_cursor(struct oracle *o, unsigned table)
{
    MDB_cursor *cursor;

    ck_assert_int_eq(mdb_cursor_open(top(o)->theirs, o->table_theirs[table], &cursor), 0);
    return cursor;
}

/* LMDB's cursor at the pair where the place is. */
MDB_cursor *their_cursor_at(struct oracle *o, struct place *place)
{
    MDB_cursor *cursor = their_cursor(o, place->table);
    MDB_val k = their_val(&place->key);
    MDB_val v = their_val(&place->value);
    int rc;

    if (place->stand != STAND_AT && place->stand != STAND_BEFORE)
        return cursor;
    rc = mdb_cursor_get(cursor, &k, &v, has_duplicates(place->table) ? MDB_GET_BOTH : MDB_SET);
    if (rc)
        ck_abort_msg("a cursor's pair is not there: %s", mdb_strerror(rc));
    return cursor;
}

void place_drop(struct place *place)
{
    kv_cursor_close(place->cursor);
    place->cursor = NULL;
    place->stand = STAND_NONE;
}

void places_drop(struct level *at)
{
    for (unsigned c = 0; c < CURSORS; c++)
        place_drop(&at->places[c]);
}

struct place *place_any(struct oracle *o)
{
    struct place *place = &top(o)->places[rng_below(&o->rng, CURSORS)];

    if (place->cursor && rng_chance(&o->rng, 3))
        place_drop(place);
    if (!place->cursor) {
        place->table = (unsigned)rng_below(&o->rng, TABLES);
        ck_ok(kv_cursor_open(top(o)->ours, o->table_ours[place->table], &place->cursor));
        place->stand = STAND_NONE;
    }
    return place;
}

void place_set(struct place *place, enum stand stand, const struct kv_val *k,
               const struct kv_val *v)
{
    place->stand = stand;
    item_set(&place->key, k->data, k->size);
    if (v->size <= ITEM_BYTES_MAX)
        item_set(&place->value, v->data, v->size);
}

void txn_begin(struct oracle *o)
{
    struct level *parent = o->depth ? top(o) : NULL;
    struct level *at = &o->levels[o->depth++];
    struct kv_txn_options options = {.parent = parent ? parent->ours : NULL};

    memset(at, 0, sizeof(*at));
    if (parent)
        places_drop(parent);
    ck_ok(kv_txn_begin(o->ours, KV_WRITE, &options, &at->ours));
    ck_assert_int_eq(mdb_txn_begin(o->theirs, parent ? parent->theirs : NULL, 0, &at->theirs), 0);
}

void txn_end(struct oracle *o, bool commit)
{
    struct level *at = top(o);

    places_drop(at);
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

/* ---- What deletes do to cursors ---- */

/* A pair is about to go: notes the pair behind it. false: there is none. */
static bool successor(struct oracle *o, unsigned table, struct item *key, struct item *value,
                      bool whole_key, struct item *key_out, struct item *value_out)
{
    struct place at = {.table = table, .stand = STAND_AT, .key = *key, .value = *value};
    MDB_cursor *cursor = their_cursor_at(o, &at);
    MDB_val k, v;
    int rc = mdb_cursor_get(cursor, &k, &v, whole_key ? MDB_NEXT_NODUP : MDB_NEXT);

    if (rc == 0) {
        item_set(key_out, k.mv_data, k.mv_size);
        if (v.mv_size <= ITEM_BYTES_MAX)
            item_set(value_out, v.mv_data, v.mv_size);
    }
    mdb_cursor_close(cursor);
    return rc == 0;
}

/* The pair, or the whole key, goes: cursors at it (or before it) then stand before what follows. */
void places_follow(struct oracle *o, unsigned table, struct item *key, struct item *value,
                   bool whole_key)
{
    struct item next_key, next_value;
    bool any = successor(o, table, key, value, whole_key, &next_key, &next_value);

    for (unsigned c = 0; c < CURSORS; c++) {
        struct place *place = &top(o)->places[c];

        if (!place->cursor || place->table != table ||
            (place->stand != STAND_AT && place->stand != STAND_BEFORE) ||
            !same_item(&place->key, key) ||
            (!whole_key && has_duplicates(table) && !same_item(&place->value, value)))
            continue;
        place->stand = any ? STAND_BEFORE : STAND_END;
        if (any) {
            place->key = next_key;
            place->value = next_value;
        }
    }
}

/* Whether LMDB has the pair (with `value` NULL: the key). */
bool present(struct oracle *o, unsigned table, struct item *key, struct item *value)
{
    MDB_cursor *cursor = their_cursor(o, table);
    MDB_val k = their_val(key);
    MDB_val v = {0, NULL};
    int rc;

    if (value)
        v = their_val(value);
    rc = mdb_cursor_get(cursor, &k, &v, value && has_duplicates(table) ? MDB_GET_BOTH : MDB_SET);
    mdb_cursor_close(cursor);
    return rc == 0;
}

/* Cursors at END may see what is put there, or not: kv.h leaves it open. */
void places_leave_end(struct oracle *o, unsigned table)
{
    for (unsigned c = 0; c < CURSORS; c++) {
        struct place *place = &top(o)->places[c];

        if (place->cursor && place->table == table && place->stand == STAND_END)
            place_drop(place);
    }
}
