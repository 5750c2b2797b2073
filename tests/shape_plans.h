/* SPDX-License-Identifier: MIT */
/* The shapes that test_range_shapes goes through, with small limits too, and what it does to each. */
#ifndef SHAPE_PLANS_H
#define SHAPE_PLANS_H

#include <string.h>

#include "shape_model.h"

#define DUPS KV_DUPLICATES
#define DUPS_FIXED (KV_DUPLICATES | KV_FIXED)

static const struct shape_plan shape_plans[] = {
    {"plain", 4096, 0, KV_ORDER_BYTES, 0, 0, 2000, 9, 1000, 300, 600, 0, 1},
    {"counted", 4096, KV_COUNTED, KV_ORDER_BYTES, 0, 0, 2000, 9, 1900, 300, 600, 0, 2},
    {"counted, runs", 4096, KV_COUNTED, KV_ORDER_BYTES, 0, 0, 900, 9, 500, 9000, 400, 64, 3},
    {"counted, integers", 4096, KV_COUNTED, KV_ORDER_UINT, 0, 8, 3000, 9, 4, 300, 600, 0, 4},
    {"counted, reverse", 4096, KV_COUNTED, KV_ORDER_REVERSE, 0, 16, 1500, 9, 900, 300, 600, 0, 5},
    {"counted, custom", 4096, KV_COUNTED, KV_ORDER_CUSTOM, 0, 0, 1500, 9, 900, 300, 600, 0, 6},
    {"custom", 4096, 0, KV_ORDER_CUSTOM, 0, 0, 1500, 9, 900, 300, 400, 0, 7},
    {"pairs", 4096, DUPS, KV_ORDER_BYTES, KV_ORDER_BYTES, 0, 300, 90, 600, 600, 600, 0, 8},
    {"pairs, fixed", 4096, DUPS_FIXED, KV_ORDER_BYTES, 0, 0, 80, 3000, 600, 8, 500, 0, 9},
    {"pairs, integers", 4096, DUPS_FIXED, KV_ORDER_UINT, KV_ORDER_UINT, 0, 200, 900, 8, 8, 600, 0,
     10},
    {"pairs, reverse", 4096, DUPS, KV_ORDER_REVERSE, KV_ORDER_REVERSE, 8, 200, 90, 600, 300, 500, 0,
     11},
    {"pairs, custom", 4096, DUPS, KV_ORDER_CUSTOM, KV_ORDER_CUSTOM, 0, 200, 90, 600, 300, 500, 0,
     12},
    {"pairs, custom values", 4096, DUPS, KV_ORDER_BYTES, KV_ORDER_CUSTOM, 0, 200, 90, 300, 300, 500,
     0, 13},
    {"pairs, spilling", 4096, DUPS, KV_ORDER_BYTES, KV_ORDER_BYTES, 0, 400, 90, 600, 600, 500, 64,
     14},
    {"pairs, 64 KiB", 65536, DUPS, KV_ORDER_BYTES, KV_ORDER_BYTES, 0, 200, 200, 9000, 4000, 200, 0,
     15},
};

static void expect_counts(struct shape_model *m)
{
    bool counted = m->plan->flags & (KV_COUNTED | KV_DUPLICATES);
    struct kv_val from, to;
    struct kv_range range;
    uint64_t records, keys, count;
    uint32_t low, end;
    int rc;

    shape_range(m, &range, &from, &to, &low, &end);
    shape_count(m, low, end, &records, &keys);
    rc = kv_count(m->txn, m->table, &range, 0, &count);
    ck_rc(rc, counted ? 0 : KV_EINCOMPATIBLE);
    if (!counted) {
        return;
    }
    ck_assert_uint_eq(count, records);
    ck_ok(kv_count(m->txn, m->table, &range, KV_ESTIMATE, &count));
    ck_assert_uint_eq(count, records);
    ck_ok(kv_count(m->txn, m->table, &range, KV_KEYS, &count));
    ck_assert_uint_eq(count, keys);
}

static void expect_rank(struct shape_model *m)
{
    uint32_t key = (uint32_t)rng_below(&m->rng, m->key_count);
    uint32_t value = (uint32_t)rng_below(&m->rng, m->value_count);
    uint64_t records, keys, rank;

    if (!(m->plan->flags & (KV_COUNTED | KV_DUPLICATES))) {
        return;
    }
    shape_count(m, 0, key, &records, &keys);
    ck_ok(kv_rank(m->txn, m->table, &m->keys[key], NULL, 0, &rank));
    ck_assert_uint_eq(rank, records);
    ck_ok(kv_rank(m->txn, m->table, &m->keys[key], NULL, KV_KEYS, &rank));
    ck_assert_uint_eq(rank, keys);
    if (!(m->plan->flags & KV_DUPLICATES)) {
        return;
    }
    for (uint32_t i = 0; i < value; i++) {
        records += m->present[(size_t)key * m->value_count + i];
    }
    ck_ok(kv_rank(m->txn, m->table, &m->keys[key], &m->values[value], 0, &rank));
    ck_assert_uint_eq(rank, records);
    ck_ok(kv_rank(m->txn, m->table, &m->keys[key], &m->values[value], KV_KEYS, &rank));
    ck_assert_uint_eq(rank, keys);
}

/* A cursor at some record from this key on; NULL: there is none. Its record's key in *key_out. */
static struct kv_cursor *cursor_from(struct shape_model *m, uint32_t key, uint32_t *key_out)
{
    struct kv_cursor *cursor;
    struct kv_val at, value;

    for (; key < m->key_count; key++) {
        for (uint32_t i = 0; i < m->value_count; i++) {
            if (!m->present[(size_t)key * m->value_count + i]) {
                continue;
            }
            at = m->keys[key];
            value = m->values[i];
            *key_out = key;
            ck_ok(kv_cursor_open(m->txn, m->table, &cursor));
            ck_ok(kv_cursor_get(cursor, m->plan->flags & KV_DUPLICATES ? KV_EXACT_PAIR : KV_EXACT,
                                &at, &value));
            if (rng_chance(&m->rng, 50) && kv_cursor_get(cursor, KV_NEXT, &at, &value) == 0) {
                *key_out = shape_key(m, &at);
            }
            return cursor;
        }
    }
    return NULL;
}

/* Its record is where it was, or it stands before the first one from `end` on. */
static void expect_cursor(struct shape_model *m, struct kv_cursor *cursor, uint32_t key,
                          uint32_t low, uint32_t end)
{
    bool gone = key >= low && key < end;
    struct kv_val at, value;
    uint32_t expected = gone ? end : key;
    uint64_t records = 0, keys;

    while (expected < m->key_count && records == 0) {
        shape_count(m, expected, expected + 1, &records, &keys);
        expected++;
    }
    if (records == 0) {
        ck_rc(kv_cursor_get(cursor, KV_NEXT, &at, &value), KV_ENOTFOUND);
    } else {
        ck_ok(kv_cursor_get(cursor, gone ? KV_NEXT : KV_CURRENT, &at, &value));
        ck_assert_uint_eq(shape_key(m, &at), expected - 1);
    }
    kv_cursor_close(cursor);
}

static void delete_range(struct shape_model *m)
{
    uint32_t cursor_key = 0;
    struct kv_cursor *cursor;
    struct kv_val from, to;
    struct kv_range range;
    uint64_t records, keys, deleted;
    uint32_t low, end;

    shape_range(m, &range, &from, &to, &low, &end);
    shape_count(m, low, end, &records, &keys);
    cursor = cursor_from(m, low, &cursor_key);
    ck_ok(kv_del_range(m->txn, m->table, &range, &deleted));
    ck_assert_uint_eq(deleted, records);
    memset(m->present + (size_t)low * m->value_count, 0,
           (size_t)(end - low) * m->value_count * sizeof(bool));
    if (cursor) {
        expect_cursor(m, cursor, cursor_key, low, end);
    }
    shape_compare(m);
}

static void shape_run(const struct shape_plan *plan)
{
    uint64_t steps = scaled(plan->steps);
    struct shape_model m;

    shape_open(&m, plan);
    for (uint64_t i = 0; i < steps; i++) {
        unsigned what = (unsigned)rng_below(&m.rng, 100);

        if (what < 3) {
            shape_commit(&m);
        } else if (what < 20) {
            delete_range(&m);
        } else {
            shape_change(&m);
        }
        expect_counts(&m);
        expect_rank(&m);
    }
    shape_close(&m);
}

#endif
