/* SPDX-License-Identifier: MIT */
/* See shape_model.h. */
#include "shape_model.h"

#include <stdlib.h>
#include <string.h>

#include "api_help.h"

/* ---- Orders, as kv.h tells them ---- */

static int sign(int order)
{
    return (order > 0) - (order < 0);
}

static int compare_bytes(const struct kv_val *a, const struct kv_val *b)
{
    size_t common = a->size < b->size ? a->size : b->size;
    int order = common ? memcmp(a->data, b->data, common) : 0;

    return order ? sign(order) : (a->size > b->size) - (a->size < b->size);
}

static int compare_reverse(const struct kv_val *a, const struct kv_val *b)
{
    const uint8_t *x = a->data, *y = b->data;

    for (size_t i = 1; i <= a->size && i <= b->size; i++) {
        if (x[a->size - i] != y[b->size - i]) {
            return x[a->size - i] < y[b->size - i] ? -1 : 1;
        }
    }
    return (a->size > b->size) - (a->size < b->size);
}

static uint64_t number_of(const struct kv_val *val)
{
    uint64_t wide;
    uint32_t narrow;

    if (val->size == 4) {
        memcpy(&narrow, val->data, 4);
        return narrow;
    }
    memcpy(&wide, val->data, 8);
    return wide;
}

/* A user's: longer ones first, then from the highest bytes down. */
static int compare_custom(void *context, const struct kv_val *a, const struct kv_val *b)
{
    (void)context;
    if (a->size != b->size) {
        return a->size > b->size ? -1 : 1;
    }
    return -compare_bytes(a, b);
}

static int compare(enum kv_order order, const struct kv_val *a, const struct kv_val *b)
{
    uint64_t x, y;

    switch (order) {
    case KV_ORDER_BYTES:
        return compare_bytes(a, b);
    case KV_ORDER_REVERSE:
        return compare_reverse(a, b);
    case KV_ORDER_UINT:
        x = number_of(a);
        y = number_of(b);
        return (x > y) - (x < y);
    default:
        return compare_custom(NULL, a, b);
    }
}

/* ---- The universe ---- */

static size_t random_size(struct rng *rng, size_t max)
{
    if (rng_chance(rng, 20)) {
        return max - rng_below(rng, max / 4 + 1);
    }
    return rng_below(rng, (max < 40 ? max : 40) + 1);
}

static struct kv_val random_item(struct rng *rng, enum kv_order order, size_t fixed, size_t max)
{
    size_t size = fixed ? fixed : random_size(rng, max);
    struct kv_val val = {size, malloc(size + 1)};
    uint8_t *bytes = val.data;

    memset(bytes, rng_chance(rng, 50) ? 0 : 'x', size); /* zeros: they are escaped */
    for (size_t i = 0; i < 3 && i < size; i++) {
        bytes[order == KV_ORDER_BYTES ? size - 1 - i : i] = (uint8_t)rng_below(rng, 256);
    }
    return val;
}

static void sort(struct kv_val *items, uint32_t *count, enum kv_order order)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < *count; i++) {
        struct kv_val item = items[i];
        uint32_t at = kept;

        while (at > 0 && compare(order, &items[at - 1], &item) > 0) {
            at--;
        }
        if (at > 0 && compare(order, &items[at - 1], &item) == 0) {
            free(item.data);
            continue;
        }
        memmove(&items[at + 1], &items[at], (kept - at) * sizeof(items[0]));
        items[at] = item;
        kept++;
    }
    *count = kept;
}

static struct kv_val *make_items(struct rng *rng, enum kv_order order, size_t fixed, size_t max,
                                 uint32_t *count)
{
    struct kv_val *items = malloc(*count * sizeof(*items));

    for (uint32_t i = 0; i < *count; i++) {
        items[i] = random_item(rng, order, fixed, max);
    }
    sort(items, count, order);
    return items;
}

/* ---- The table ---- */

static void begin(struct shape_model *m)
{
    m->txn = txn_write(m->env);
}

static void make_table(struct shape_model *m)
{
    struct kv_table_options options = KV_TABLE_OPTIONS_INIT;
    const struct shape_plan *plan = m->plan;

    options.flags = plan->flags;
    options.order = plan->order;
    options.value_order = plan->value_order;
    options.align = plan->align;
    options.comparator = plan->order == KV_ORDER_CUSTOM ? "longest first" : NULL;
    options.value_comparator = plan->value_order == KV_ORDER_CUSTOM ? "longest first" : NULL;
    ck_ok(kv_env_comparator(m->env, "longest first", compare_custom, NULL));
    ck_ok(kv_table_open(m->txn, "t", KV_CREATE, &options, &m->table));
}

void shape_open(struct shape_model *m, const struct shape_plan *plan)
{
    struct kv_options options = KV_OPTIONS_INIT;
    size_t key_fixed = plan->order == KV_ORDER_UINT ? plan->key_bytes_max : 0;
    size_t value_fixed =
        plan->flags & KV_FIXED || plan->value_order == KV_ORDER_UINT ? plan->value_bytes_max : 0;

    memset(m, 0, sizeof(*m));
    m->plan = plan;
    rng_seed(&m->rng, plan->name, plan->seed);
    options.flags = KV_CREATE | KV_MEMORY;
    options.durability = KV_NONE;
    options.page_size = plan->page_size;
    options.dirty_budget_bytes = (uint64_t)plan->budget_pages * plan->page_size;
    ck_ok(kv_env_open(NULL, &options, &m->env));
    begin(m);
    make_table(m);
    m->key_count = plan->keys;
    m->value_count = plan->values;
    m->keys = make_items(&m->rng, plan->order, key_fixed, plan->key_bytes_max, &m->key_count);
    m->values =
        make_items(&m->rng, plan->value_order, value_fixed, plan->value_bytes_max, &m->value_count);
    m->present = calloc((size_t)m->key_count * m->value_count, sizeof(bool));
}

static void free_items(struct kv_val *items, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        free(items[i].data);
    }
    free(items);
}

void shape_close(struct shape_model *m)
{
    shape_commit(m);
    kv_txn_abort(m->txn);
    env_close(m->env);
    free_items(m->keys, m->key_count);
    free_items(m->values, m->value_count);
    free(m->present);
}

void shape_commit(struct shape_model *m)
{
    txn_commit(m->txn);
    env_sound(m->env);
    begin(m);
}

/* ---- Questions ---- */

static bool *pairs_of(const struct shape_model *m, uint32_t key)
{
    return m->present + (size_t)key * m->value_count;
}

void shape_count(const struct shape_model *m, uint32_t low, uint32_t end, uint64_t *records_out,
                 uint64_t *keys_out)
{
    *records_out = *keys_out = 0;
    for (uint32_t key = low; key < end; key++) {
        const bool *pairs = pairs_of(m, key);
        uint64_t values = 0;

        for (uint32_t i = 0; i < m->value_count; i++) {
            values += pairs[i];
        }
        *records_out += values;
        *keys_out += values > 0;
    }
}

uint32_t shape_key(const struct shape_model *m, const struct kv_val *key)
{
    uint32_t number = 0;

    while (number < m->key_count && compare_bytes(&m->keys[number], key)) {
        number++;
    }
    ck_assert_uint_lt(number, m->key_count);
    return number;
}

void shape_compare(struct shape_model *m)
{
    struct kv_table_stat stat = table_stat(m->txn, m->table);
    struct kv_cursor *cursor;
    struct kv_val key, value;
    uint64_t records, keys;

    shape_count(m, 0, m->key_count, &records, &keys);
    ck_assert_uint_eq(stat.entries, records);
    ck_assert_uint_eq(stat.keys, keys);
    ck_ok(kv_cursor_open(m->txn, m->table, &cursor));
    for (uint32_t k = 0; k < m->key_count; k++) {
        for (uint32_t v = 0; v < m->value_count; v++) {
            if (!pairs_of(m, k)[v]) {
                continue;
            }
            ck_ok(kv_cursor_get(cursor, KV_NEXT, &key, &value));
            if (compare_bytes(&key, &m->keys[k]) || compare_bytes(&value, &m->values[v])) {
                ck_abort_msg("key %u, value %u is not what the cursor comes to", k, v);
            }
        }
    }
    ck_rc(kv_cursor_get(cursor, KV_NEXT, &key, &value), KV_ENOTFOUND);
    kv_cursor_close(cursor);
}

/* ---- Changes ---- */

static void put_pair(struct shape_model *m, uint32_t key, uint32_t value)
{
    struct kv_val bytes = m->values[value];

    ck_ok(kv_put(m->txn, m->table, &m->keys[key], &bytes, 0));
    if (!(m->plan->flags & KV_DUPLICATES)) {
        memset(pairs_of(m, key), 0, m->value_count * sizeof(bool));
    }
    pairs_of(m, key)[value] = true;
}

/* Of one key a piece of its values, or of many keys one. */
static void put_many(struct shape_model *m)
{
    uint32_t key = (uint32_t)rng_below(&m->rng, m->key_count);
    uint32_t value = (uint32_t)rng_below(&m->rng, m->value_count);
    uint32_t values = (uint32_t)rng_below(&m->rng, m->value_count - value + 1);
    uint32_t keys = (uint32_t)rng_below(&m->rng, m->key_count - key + 1);

    if (rng_chance(&m->rng, 50)) {
        for (uint32_t i = 0; i < values; i++) {
            put_pair(m, key, value + i);
        }
    } else {
        for (uint32_t i = 0; i < keys; i++) {
            put_pair(m, key + i, (uint32_t)rng_below(&m->rng, m->value_count));
        }
    }
}

static void delete_one(struct shape_model *m)
{
    uint32_t key = (uint32_t)rng_below(&m->rng, m->key_count);
    uint32_t value = (uint32_t)rng_below(&m->rng, m->value_count);
    bool pair = m->plan->flags & KV_DUPLICATES && rng_chance(&m->rng, 80);
    uint64_t records, keys;
    bool there;

    shape_count(m, key, key + 1, &records, &keys);
    there = pair ? pairs_of(m, key)[value] : records > 0;
    ck_rc(kv_del(m->txn, m->table, &m->keys[key], pair ? &m->values[value] : NULL),
          there ? 0 : KV_ENOTFOUND);
    if (pair) {
        pairs_of(m, key)[value] = false;
    } else {
        memset(pairs_of(m, key), 0, m->value_count * sizeof(bool));
    }
}

void shape_change(struct shape_model *m)
{
    unsigned what = (unsigned)rng_below(&m->rng, 10);

    if (what < 6) {
        put_many(m);
    } else if (what < 8) {
        put_pair(m, (uint32_t)rng_below(&m->rng, m->key_count),
                 (uint32_t)rng_below(&m->rng, m->value_count));
    } else {
        delete_one(m);
    }
}

void shape_range(struct shape_model *m, struct kv_range *range_out, struct kv_val *from,
                 struct kv_val *to, uint32_t *low_out, uint32_t *end_out)
{
    uint32_t low = (uint32_t)rng_below(&m->rng, m->key_count);
    uint32_t span = rng_chance(&m->rng, 85) ? m->key_count / 40 + 2 : m->key_count;
    uint32_t high = low + (uint32_t)rng_below(&m->rng, span);

    if (high >= m->key_count) {
        high = m->key_count - 1;
    }
    *range_out = (struct kv_range)KV_RANGE_INIT;
    *low_out = 0;
    *end_out = m->key_count;
    range_out->flags = (uint32_t)rng_below(&m->rng, 4);
    if (rng_chance(&m->rng, 97)) {
        *from = m->keys[low];
        range_out->from = from;
        *low_out = low + (range_out->flags & KV_FROM_EXCLUSIVE ? 1 : 0);
    }
    if (rng_chance(&m->rng, 97)) {
        *to = m->keys[high];
        range_out->to = to;
        *end_out = high + (range_out->flags & KV_TO_INCLUSIVE ? 1 : 0);
    }
    if (*end_out < *low_out) {
        *end_out = *low_out;
    }
}
