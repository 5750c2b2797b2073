/* SPDX-License-Identifier: MIT */
/* The data model's workloads over model.h's stores: data, order, clocks and goals. */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "keys.h"
#include "report.h"

#define STORES 2u
#define BATCH 1000u
#define VALUE_BYTES 100u
#define PAIRS_A_KEY 50u
#define PAIRS_A_KEY_MANY 5000u /* sets of many pages */
#define TEXT_VALUE_BYTES 16u
#define RANGE_TIMES 10u /* records of the range delete: so many times those of the others */

static const struct model_kind *const kinds[STORES] = {&model_kv, &model_lmdb};

static uint8_t *bytes_for(uint32_t count, uint32_t item_bytes)
{
    uint8_t *bytes = malloc((size_t)count * item_bytes);

    if (!bytes)
        store_fail("data model", "no memory");
    return bytes;
}

/* Random bytes; integers when item_bytes is 8. */
static struct model_items random_items(uint32_t count, uint32_t item_bytes, uint64_t seed)
{
    uint8_t *bytes = bytes_for(count, item_bytes);

    for (size_t i = 0; i < (size_t)count * item_bytes; i += 8) {
        uint64_t number = random_next(&seed);
        size_t left = (size_t)count * item_bytes - i;

        memcpy(bytes + i, &number, left < 8 ? left : 8);
    }
    return (struct model_items){bytes, NULL, count, item_bytes};
}

/* Keys of pairs: each of count / pairs_a_key keys again and again, in random order. */
static struct model_items pair_keys(uint32_t count, uint32_t pairs_a_key, uint64_t seed)
{
    uint32_t distinct = count / pairs_a_key ? count / pairs_a_key : 1;
    struct model_items all = random_items(distinct, 8, seed);
    uint8_t *bytes = bytes_for(count, 8);

    for (uint32_t i = 0; i < count; i++)
        memcpy(bytes + (size_t)i * 8, all.bytes + random_next(&seed) % distinct * 8, 8);
    free((void *)(uintptr_t)all.bytes);
    return (struct model_items){bytes, NULL, count, 8};
}

static void items_release(struct model_items *items)
{
    free((void *)(uintptr_t)items->bytes);
}

static char *path_for(const struct bench_plan *plan, unsigned store)
{
    static char path[512];

    snprintf(path, sizeof(path), "%s/model-%u.db", plan->directory, store);
    store_remove(path);
    return path;
}

/* One measurement: seconds since `start` over so many operations. */
static void sample(const char *what, const char *keys, double goal, unsigned store, double start,
                   uint64_t operations)
{
    report_sample(what, keys, "ns/op", goal, store,
                  (now_seconds() - start) / (double)operations * 1e9);
}

static void expect(const char *what, int holds)
{
    if (!holds)
        store_fail(what, "records are missing");
}

static void put_all(const struct model_kind *kind, struct model *model,
                    const struct model_items *keys, const struct model_items *values)
{
    for (uint32_t i = 0; i < keys->count; i += BATCH)
        kind->put(model, keys, values, i, i + BATCH < keys->count ? i + BATCH : keys->count);
}

/* ---- Duplicates ---- */

static void text_pairs(const struct bench_plan *plan, unsigned s)
{
    struct model_items keys = pair_keys(plan->records, PAIRS_A_KEY, 21);
    struct model_items values = random_items(plan->records, TEXT_VALUE_BYTES, 22);
    char *path = path_for(plan, s);
    struct model *model = kinds[s]->open(path, MODEL_DUPLICATES);
    double start = now_seconds();

    put_all(kinds[s], model, &keys, &values);
    sample("duplicates random insert", "8+16", 0.75, s, start, keys.count);
    start = now_seconds();
    expect("pairs", kinds[s]->find_pairs(model, &keys, &values) == keys.count);
    sample("random pair lookup", "8+16", 0.6, s, start, keys.count);
    kinds[s]->close(model);
    store_remove(path);
    items_release(&keys);
    items_release(&values);
}

static void fixed_pairs(const struct bench_plan *plan, unsigned s)
{
    struct model_items keys = pair_keys(plan->records, PAIRS_A_KEY, 23);
    struct model_items values = random_items(plan->records, 8, 24);
    char *path = path_for(plan, s);
    struct model *model = kinds[s]->open(path, MODEL_FIXED);
    double start = now_seconds();
    uint64_t seen;

    put_all(kinds[s], model, &keys, &values);
    sample("duplicates random insert, fixed", "8+8", 0.75, s, start, keys.count);
    start = now_seconds();
    expect("pairs", kinds[s]->find_pairs(model, &keys, &values) == keys.count);
    sample("random pair lookup, fixed", "8+8", 0.6, s, start, keys.count);
    (void)kinds[s]->scan_pages(model, &seen); /* warm */
    start = now_seconds();
    (void)kinds[s]->scan_pages(model, &seen);
    expect("fixed values", seen == keys.count);
    sample("fixed-size duplicate scan by pages", "8+8", 0.8, s, start, seen);
    kinds[s]->close(model);
    store_remove(path);
    items_release(&keys);
    items_release(&values);
}

static void large_sets(const struct bench_plan *plan, unsigned s)
{
    struct model_items keys = pair_keys(plan->records, PAIRS_A_KEY_MANY, 29);
    struct model_items values = random_items(plan->records, 8, 30);
    char *path = path_for(plan, s);
    struct model *model = kinds[s]->open(path, MODEL_FIXED);
    double start;
    uint64_t seen;

    put_all(kinds[s], model, &keys, &values);
    (void)kinds[s]->scan_pages(model, &seen); /* warm */
    start = now_seconds();
    (void)kinds[s]->scan_pages(model, &seen);
    expect("fixed values", seen == keys.count);
    sample("fixed-size scan by pages, large sets", "8+8", 0.8, s, start, seen);
    kinds[s]->close(model);
    store_remove(path);
    items_release(&keys);
    items_release(&values);
}

/* ---- Reading plain and integer tables ---- */

static void integers(const struct bench_plan *plan, unsigned s)
{
    struct model_items keys = random_items(plan->records, 8, 25);
    struct model_items values = random_items(plan->records, VALUE_BYTES, 26);
    char *path = path_for(plan, s);
    struct model *model = kinds[s]->open(path, MODEL_INTEGER);
    double start;

    put_all(kinds[s], model, &keys, &values);
    (void)kinds[s]->get(model, &keys); /* warm */
    start = now_seconds();
    expect("integer keys", kinds[s]->get(model, &keys) == keys.count);
    sample("integer-key readrandom", "u64", 0.5, s, start, keys.count);
    kinds[s]->close(model);
    store_remove(path);
    items_release(&keys);
    items_release(&values);
}

static void plain_reads(const struct bench_plan *plan, const struct keys *sorted, unsigned s)
{
    struct model_items in_order = {sorted->bytes, NULL, sorted->count, (uint32_t)sorted->key_bytes};
    struct model_items random = in_order;
    char *path = path_for(plan, s);
    struct model *model = kinds[s]->open(path, MODEL_PLAIN);
    double start = now_seconds();
    uint64_t seen;

    random.order = sorted->order;
    kinds[s]->build(model, &in_order, VALUE_BYTES);
    sample("bulk build (LMDB: MDB_APPEND), one txn", "8 B", 0.5, s, start, in_order.count);
    (void)kinds[s]->get(model, &random); /* warm */
    start = now_seconds();
    expect("keys", kinds[s]->get_many(model, &random, 16) == random.count);
    sample("get_many of 16 (LMDB: single gets)", "8 B", 0.25, s, start, random.count);
    start = now_seconds();
    expect("keys", kinds[s]->get_many(model, &random, 64) == random.count);
    sample("get_many of 64 (LMDB: single gets)", "8 B", 0, s, start, random.count);
    start = now_seconds();
    (void)kinds[s]->scan(model, &seen);
    expect("records", seen == in_order.count);
    sample("batched readseq of what was built", "8 B", 0.4, s, start, seen);
    kinds[s]->close(model);
    store_remove(path);
}

static void random_scan(const struct bench_plan *plan, const struct keys *sorted, unsigned s)
{
    struct model_items keys = {sorted->bytes, sorted->order, sorted->count,
                               (uint32_t)sorted->key_bytes};
    struct model_items values = random_items(plan->records, VALUE_BYTES, 31);
    char *path = path_for(plan, s);
    struct model *model = kinds[s]->open(path, MODEL_PLAIN);
    double start;
    uint64_t seen;

    put_all(kinds[s], model, &keys, &values);
    (void)kinds[s]->get(model, &keys); /* warm */
    start = now_seconds();
    (void)kinds[s]->scan(model, &seen);
    expect("records", seen == keys.count);
    sample("batched readseq (LMDB: MDB_NEXT)", "8 B", 0.4, s, start, seen);
    kinds[s]->close(model);
    store_remove(path);
    items_release(&values);
}

/* ---- Range delete ---- */

static void range_delete(const struct bench_plan *plan, const struct keys *sorted, unsigned s)
{
    struct model_items keys = {sorted->bytes, NULL, sorted->count, (uint32_t)sorted->key_bytes};
    char *path = path_for(plan, s);
    struct model *model = kinds[s]->open(path, MODEL_PLAIN);
    uint32_t half = sorted->count / 2;
    double start;

    kinds[s]->build(model, &keys, VALUE_BYTES);
    start = now_seconds();
    expect("range", kinds[s]->delete_from(model, keys_at(sorted, half)) == sorted->count - half);
    sample("range delete of half (LMDB: cursor)", "8 B", 0.05, s, start, sorted->count - half);
    kinds[s]->close(model);
    store_remove(path);
}

void bench_model(const struct bench_plan *plan, uint32_t round)
{
    struct keys many, keys;

    keys_init(&keys, KEYS_RANDOM_8, plan->records, 27);
    keys_init(&many, KEYS_RANDOM_8, plan->records * RANGE_TIMES, 28);
    for (unsigned i = 0; i < STORES; i++) {
        unsigned s = (round + i) % STORES;

        text_pairs(plan, s);
        fixed_pairs(plan, s);
        large_sets(plan, s);
        integers(plan, s);
        plain_reads(plan, &keys, s);
        random_scan(plan, &keys, s);
    }
    for (unsigned i = 0; i < STORES; i++)
        range_delete(plan, &many, (round + i) % STORES);
    keys_release(&keys);
    keys_release(&many);
}
