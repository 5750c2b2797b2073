/* SPDX-License-Identifier: MIT */
/*
 * Values longer than a region, with shrunken limits (regions of 256 pages, 1 MiB): they come back,
 * and their space is used again although no single region holds them.
 */
#include "api_help.h"

#include <stdlib.h>

#define MIB ((uint64_t)1 << 20)

static struct kv_env *env;

static void setup(void)
{
    struct kv_options options = KV_OPTIONS_INIT;

    options.flags = KV_MEMORY;
    options.durability = KV_LAZY;
    env = env_open_with(NULL, &options);
}

static void teardown(void)
{
    env_finish(env);
}

static void put_long(const char *key, uint64_t size_bytes, uint64_t seed)
{
    struct kv_txn *txn = txn_write(env);

    put_bytes(txn, 0, key, (size_t)size_bytes, seed);
    txn_commit(txn);
    ck_ok(kv_env_sync(env));
}

/* Two slots and a reader's snapshot at most are live besides the newest. */
START_TEST(a_long_value_overwritten_again_and_again_stays_in_its_places)
{
    uint64_t size_bytes = (5 * MIB >> _i) + 1234; /* over six regions, three, two */
    struct kv_txn *txn;

    for (unsigned i = 0; i < 60; i++)
        put_long("k", size_bytes, i);
    ck_assert_uint_le(env_info(env).file_size_bytes, 5 * size_bytes);
    txn = txn_read(env);
    has_bytes(txn, 0, "k", (size_t)size_bytes, 59);
    kv_txn_abort(txn);
}
END_TEST

START_TEST(a_pinned_long_value_is_not_written_over)
{
    struct kv_txn *pinned;

    put_long("k", 3 * MIB, 1000);
    pinned = txn_read(env);
    for (unsigned i = 0; i < 30; i++)
        put_long("k", 3 * MIB - i * 5000, i);
    has_bytes(pinned, 0, "k", 3 * MIB, 1000);
    kv_txn_abort(pinned);
    ck_assert_uint_le(env_info(env).file_size_bytes, 35 * MIB);
}
END_TEST

START_TEST(a_txn_that_replaces_long_values_and_is_aborted_leaves_none)
{
    struct kv_txn *txn;

    for (unsigned i = 0; i < 4; i++)
        put_long("k", 3 * MIB, i);
    for (unsigned i = 0; i < 20; i++) {
        txn = txn_write(env);
        put_bytes(txn, 0, "k", 3 * MIB, 77);
        put_bytes(txn, 0, "l", 2 * MIB, 78);
        del(txn, 0, "k");
        kv_txn_abort(txn);
    }
    env_sound(env);
    txn = txn_read(env);
    has_bytes(txn, 0, "k", 3 * MIB, 3);
    lacks(txn, 0, "l");
    kv_txn_abort(txn);
    ck_assert_uint_le(env_info(env).file_size_bytes, 25 * MIB);
}
END_TEST

enum { KEYS = 8 };

START_TEST(random_long_and_short_values_come_back_and_the_file_stays_bounded)
{
    struct {
        uint64_t size, seed;
    } model[KEYS] = {{0, 0}};
    uint64_t rounds = scaled(250);
    struct kv_txn *txn;
    struct rng rng;
    char key[8];

    rng_seed(&rng, "long values", 808);
    for (uint64_t i = 1; i <= rounds; i++) {
        unsigned k = (unsigned)rng_below(&rng, KEYS);
        uint64_t size = rng_below(&rng, rng_chance(&rng, 50) ? 4 * MIB : 30000);

        snprintf(key, sizeof(key), "%u", k);
        if (rng_chance(&rng, 25) && model[k].seed) {
            txn = txn_write(env);
            del(txn, 0, key);
            txn_commit(txn);
            model[k].seed = 0;
        } else {
            put_long(key, size, i);
            model[k].size = size;
            model[k].seed = i;
        }
        if (i % 10 == 0)
            env_sound(env);
    }
    txn = txn_read(env);
    for (unsigned k = 0; k < KEYS; k++) {
        snprintf(key, sizeof(key), "%u", k);
        if (model[k].seed)
            has_bytes(txn, 0, key, (size_t)model[k].size, model[k].seed);
        else
            lacks(txn, 0, key);
    }
    kv_txn_abort(txn);
    ck_assert_uint_le(env_info(env).file_size_bytes, 4 * KEYS * 4 * MIB);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("long values");
    TCase *sizes = tcase_create("sizes");

    tcase_add_checked_fixture(sizes, setup, teardown);
    tcase_add_loop_test(sizes, a_long_value_overwritten_again_and_again_stays_in_its_places, 0, 3);
    suite_add_tcase(s, sizes);
    harness_add_fixture(s, "long", a_pinned_long_value_is_not_written_over, setup, teardown);
    harness_add_fixture(s, "long", a_txn_that_replaces_long_values_and_is_aborted_leaves_none,
                        setup, teardown);
    harness_add_fixture(s, "long",
                        random_long_and_short_values_come_back_and_the_file_stays_bounded, setup,
                        teardown);
    return s;
}

HARNESS_MAIN(suite)
