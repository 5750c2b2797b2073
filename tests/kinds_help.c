/* SPDX-License-Identifier: MIT */
#include "kinds_help.h"

#include <stdlib.h>
#include <string.h>

#define DUP KV_DUPLICATES
#define FIX (KV_DUPLICATES | KV_FIXED)

const struct kind kinds[KINDS] = {
    {"plain", 0, KV_ORDER_BYTES, KV_ORDER_BYTES, 0, 0, 0},
    {"plain, counted", KV_COUNTED, KV_ORDER_BYTES, KV_ORDER_BYTES, 0, 0, 0},
    {"plain, aligned to 8", 0, KV_ORDER_BYTES, KV_ORDER_BYTES, 0, 8, 0},
    {"reverse, aligned to 16, counted", KV_COUNTED, KV_ORDER_REVERSE, KV_ORDER_BYTES, 0, 16, 0},
    {"reverse", 0, KV_ORDER_REVERSE, KV_ORDER_BYTES, 0, 0, 0},
    {"integers of 8", 0, KV_ORDER_UINT, KV_ORDER_BYTES, 0, 0, 8},
    {"integers of 4, counted", KV_COUNTED, KV_ORDER_UINT, KV_ORDER_BYTES, 0, 0, 4},
    {"a user's order", 0, KV_ORDER_CUSTOM, KV_ORDER_BYTES, 0, 0, 0},
    {"duplicates", DUP, KV_ORDER_BYTES, KV_ORDER_BYTES, 0, 0, 0},
    {"duplicates, all reverse", DUP, KV_ORDER_REVERSE, KV_ORDER_REVERSE, 0, 0, 0},
    {"duplicates of 8 bytes, aligned", FIX, KV_ORDER_BYTES, KV_ORDER_BYTES, 8, 8, 0},
    {"integers with integers", FIX, KV_ORDER_UINT, KV_ORDER_UINT, 4, 0, 8},
    {"duplicates of 2 bytes", FIX, KV_ORDER_BYTES, KV_ORDER_REVERSE, 2, 0, 0},
    {"duplicates, a user's order of keys", DUP, KV_ORDER_CUSTOM, KV_ORDER_BYTES, 0, 0, 0},
    {"duplicates, a user's order of values", DUP, KV_ORDER_BYTES, KV_ORDER_CUSTOM, 0, 0, 0},
    {"duplicates, aligned to 16", DUP, KV_ORDER_BYTES, KV_ORDER_UINT, 8, 16, 0},
};

/* By length, then from the last byte to the first. */
static int by_length(void *context, const struct kv_val *a, const struct kv_val *b)
{
    const uint8_t *x = a->data, *y = b->data;

    (void)context;
    if (a->size != b->size)
        return a->size < b->size ? -1 : 1;
    for (size_t i = a->size; i-- > 0;) {
        if (x[i] != y[i])
            return x[i] < y[i] ? -1 : 1;
    }
    return 0;
}

void kinds_register(struct kv_env *env)
{
    ck_ok(kv_env_comparator(env, "length", by_length, NULL));
}

kv_table kind_make(struct kv_txn *txn, unsigned kind, const char *name)
{
    const struct kind *k = &kinds[kind];
    struct kv_table_options options = KV_TABLE_OPTIONS_INIT;
    kv_table table;

    options.flags = k->flags;
    options.order = k->order;
    options.value_order = k->value_order;
    options.comparator = k->order == KV_ORDER_CUSTOM ? "length" : NULL;
    options.value_comparator = k->value_order == KV_ORDER_CUSTOM ? "length" : NULL;
    options.value_bytes = k->flags & KV_FIXED ? k->value_bytes : 0;
    options.align = k->align;
    ck_ok(kv_table_open(txn, name, KV_CREATE, &options, &table));
    return table;
}

/* ---- Records ---- */

void records_add(struct records *records, const struct kv_val *key, const struct kv_val *value)
{
    uint8_t *bytes = malloc(key->size + value->size + 1);

    if (records->count == records->room) {
        records->room = records->room ? records->room * 2 : 64;
        records->at = realloc(records->at, records->room * sizeof(*records->at));
    }
    if (!bytes || !records->at)
        ck_abort_msg("no memory");
    if (key->size)
        memcpy(bytes, key->data, key->size);
    if (value->size)
        memcpy(bytes + key->size, value->data, value->size);
    records->at[records->count++] =
        (struct kv_record){{key->size, bytes}, {value->size, bytes + key->size}};
}

void records_release(struct records *records)
{
    for (size_t i = 0; i < records->count; i++)
        free(records->at[i].key.data);
    free(records->at);
    memset(records, 0, sizeof(*records));
}

/* Key number n: the same bytes for the same number. */
static struct kv_val key_number(const struct kind *kind, uint64_t n, size_t bytes_max,
                                uint8_t *room)
{
    struct rng rng;
    size_t size = kind->key_bytes;

    rng_init(&rng, n + 1);
    if (size == 0) {
        size = 8 + rng_below(&rng, rng_chance(&rng, 2) ? bytes_max - 8 : 24);
        memset(room, (int)rng_below(&rng, 2), size);
        memcpy(room + rng_below(&rng, size - 7), &n, 8);
        memcpy(room + size - 8, &n, 8); /* distinct */
    } else {
        n *= 2654435761u; /* modulo 2^32 a permutation */
        memcpy(room, &n, size);
    }
    return (struct kv_val){size, room};
}

static struct kv_val value_random(unsigned kind, size_t bytes_max, uint8_t *room, struct rng *rng)
{
    size_t size = kinds[kind].value_bytes;

    if (size == 0 && kind_has_duplicates(kind))
        size = rng_below(rng, rng_chance(rng, 3) ? bytes_max + 1 : 20);
    else if (size == 0)
        size = rng_below(rng, rng_chance(rng, 1) ? 12000 : 150);
    rng_bytes(rng, room, size);
    return (struct kv_val){size, room};
}

struct records records_random(unsigned kind, size_t count, size_t pair_bytes_max, struct rng *rng)
{
    static uint8_t key_room[2048 + 65536], value_room[2048 + 65536];
    struct records records = {NULL, 0, 0};
    uint64_t keys = 0;

    while (records.count < count) {
        bool again = kind_has_duplicates(kind) && keys > 0 && rng_chance(rng, 60);
        uint64_t n = !again                ? keys++
                     : rng_chance(rng, 50) ? rng_below(rng, (keys + 99) / 100)
                                           : rng_below(rng, keys);
        struct kv_val key = key_number(&kinds[kind], n, pair_bytes_max, key_room);
        struct kv_val value = value_random(kind, pair_bytes_max, value_room, rng);

        records_add(&records, &key, &value);
    }
    return records;
}

struct records records_read(struct kv_txn *txn, kv_table table)
{
    struct records records = {NULL, 0, 0};
    struct kv_cursor *cursor;
    struct kv_val key, value;
    int rc;

    ck_ok(kv_cursor_open(txn, table, &cursor));
    while ((rc = kv_cursor_get(cursor, KV_NEXT, &key, &value)) == 0)
        records_add(&records, &key, &value);
    ck_rc(rc, KV_ENOTFOUND);
    kv_cursor_close(cursor);
    return records;
}

static bool same(const struct kv_val *a, const struct kv_val *b)
{
    return a->size == b->size && (a->size == 0 || memcmp(a->data, b->data, a->size) == 0);
}

void tables_equal(struct kv_txn *txn, kv_table a, kv_table b)
{
    struct kv_cursor *x, *y;
    struct kv_record r, s;
    int rc, other;
    size_t n = 0;

    ck_ok(kv_cursor_open(txn, a, &x));
    ck_ok(kv_cursor_open(txn, b, &y));
    do {
        rc = kv_cursor_get(x, KV_NEXT, &r.key, &r.value);
        other = kv_cursor_get(y, KV_NEXT, &s.key, &s.value);
        if (rc != other || (!rc && (!same(&r.key, &s.key) || !same(&r.value, &s.value))))
            ck_abort_msg("record %zu: %d and %d, keys of %zu and %zu bytes", n, rc, other,
                         r.key.size, s.key.size);
        n++;
    } while (!rc);
    ck_rc(rc, KV_ENOTFOUND);
    kv_cursor_close(x);
    kv_cursor_close(y);
}
