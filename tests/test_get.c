/* SPDX-License-Identifier: MIT */
/*
 * kv_get by the shortest way: keys of eight bytes, which are looked for as numbers, among others
 * that share their heads; and pages that are touched before they are entered.
 */
#include "api_help.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "tree/path.h"

#define KEYS_MAX 3000

struct key {
    uint8_t bytes[12];
    uint8_t size;
    bool there;
};

static struct kv_env *env;

static void setup(void)
{
    env = env_new("get.db");
}

static void teardown(void)
{
    env_finish(env);
}

static struct kv_val val_of(const struct key *key)
{
    return bytes_val(key->bytes, key->size);
}

static int by_bytes(const void *a, const void *b)
{
    const struct key *x = a, *y = b;
    int order = memcmp(x->bytes, y->bytes, sizeof(x->bytes));

    return order ? order : x->size - y->size;
}

/* Keys of few different bytes, most of eight, of which two thirds are put; each but once. */
static unsigned make_keys(struct key *keys, bool integers, uint64_t seed)
{
    unsigned count = 0;
    struct rng rng;

    rng_init(&rng, seed);
    memset(keys, 0, KEYS_MAX * sizeof(*keys));
    for (unsigned i = 0; i < KEYS_MAX; i++) {
        bool whole = integers || rng_below(&rng, 3) > 0;

        keys[i].size = whole ? 8 : (uint8_t)(1 + rng_below(&rng, sizeof(keys[i].bytes)));
        for (unsigned k = 0; k < keys[i].size; k++)
            keys[i].bytes[k] = rng_below(&rng, 2) ? 0 : (uint8_t)(rng_below(&rng, 3) * 127);
        keys[i].there = rng_below(&rng, 3) > 0;
    }
    qsort(keys, KEYS_MAX, sizeof(*keys), by_bytes);
    for (unsigned i = 0; i < KEYS_MAX; i++) {
        if (i == 0 || by_bytes(&keys[count - 1], &keys[i]) != 0)
            keys[count++] = keys[i];
    }
    return count;
}

/* In an order of no meaning, so that pages split in all places. */
static kv_table put_keys(const struct key *keys, unsigned count, bool integers)
{
    struct kv_table_options how = KV_TABLE_OPTIONS_INIT;
    struct kv_txn *txn = txn_write(env);
    kv_table table;

    how.order = integers ? KV_ORDER_UINT : KV_ORDER_BYTES;
    ck_ok(kv_table_open(txn, "t", KV_CREATE, &how, &table));
    for (unsigned i = 0; i < count; i++) {
        const struct key *key = &keys[(uint64_t)i * 7919 % count];
        struct kv_val k = val_of(key), value = bytes_val(key, sizeof(*key));

        if (key->there)
            ck_ok(kv_put(txn, table, &k, &value, 0));
    }
    txn_commit(txn);
    return table;
}

START_TEST(keys_that_share_their_heads_are_told_apart)
{
    bool integers = _i % 2;
    struct key *keys = malloc(KEYS_MAX * sizeof(*keys));
    unsigned count, found = 0;
    struct kv_txn *txn;
    kv_table table;

    setup();
    ck_assert_ptr_nonnull(keys);
    count = make_keys(keys, integers, 4711 + (uint64_t)_i);
    ck_assert_uint_gt(count, 1000);
    table = put_keys(keys, count, integers);
    txn = txn_read(env);
    for (unsigned i = 0; i < count; i++) {
        struct kv_val k = val_of(&keys[i]), value;
        int rc = kv_get(txn, table, &k, &value);

        if (rc != (keys[i].there ? 0 : KV_ENOTFOUND))
            ck_abort_msg("seed %d, key %u: %s", 4711 + _i, i, kv_strerror(rc));
        if (!rc)
            expect_val(&value, &keys[i], sizeof(keys[i]));
        found += !rc;
    }
    ck_assert_uint_gt(found, count / 2);
    kv_txn_abort(txn);
    free(keys);
    teardown();
}
END_TEST

/* One page, and behind it one that must not be touched. */
static const uint8_t *lone_page(void)
{
    uint8_t *at = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    ck_assert(at != MAP_FAILED);
    ck_assert_int_eq(mprotect(at + 4096, 4096, PROT_NONE), 0);
    return at;
}

START_TEST(pages_beyond_the_snapshot_or_the_mapping_are_not_touched)
{
    static const uint64_t pgnos[] = {1, 2, 1u << 20, (uint64_t)1 << 40, KVI_PGNO_MAX, UINT64_MAX};
    struct kvi_map map = {.base = lone_page(), .pages_max = 1};
    struct kvi_view within = {&map, UINT64_MAX, 1}, below = {&map, 1, 1};

    ck_assert(kvi_geometry_init(&map.geometry, 4096));
    map.notes = calloc(1, sizeof(*map.notes));
    ck_assert_ptr_nonnull((void *)map.notes);
    for (unsigned i = 0; i < sizeof(pgnos) / sizeof(pgnos[0]); i++) {
        struct kvi_ref ref = {pgnos[i], 1};

        map.pages_max = 1;
        kvi_tree_ask(&within, ref, 0);
        kvi_tree_ask(&within, ref, 1);
        map.pages_max = UINT64_MAX;
        kvi_tree_ask(&below, ref, 0);
        kvi_tree_ask(&below, ref, 1);
    }
    kvi_tree_ask(&below, (struct kvi_ref){0, 1}, 0);
    free((void *)map.notes);
    munmap((void *)(uintptr_t)map.base, 8192);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("get");

    harness_add_loop(s, "words", keys_that_share_their_heads_are_told_apart, 0, 6);
    harness_add(s, "touch", pages_beyond_the_snapshot_or_the_mapping_are_not_touched);
    return s;
}

HARNESS_MAIN(suite)
