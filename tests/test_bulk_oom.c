/* SPDX-License-Identifier: MIT */
/*
 * Bulk builds and kv_get_many without memory: each allocation fails once, the result says so, and
 * after an abort what was committed is still there.
 */
#include "api_help.h"
#include "kinds_help.h"

#include <errno.h>
#include <stdlib.h>

#include "fault_alloc.h"

#define BEFORE 1500u
#define MORE 600u

static struct kv_env *env;

/* A table of the kind with the lower part of sorted records, committed. */
static struct records half_filled(unsigned kind)
{
    struct kv_txn *txn;
    struct records any, sorted;
    struct rng rng;
    kv_table all, table;

    env = env_new("oom.db");
    kinds_register(env);
    txn = txn_write(env);
    rng_seed(&rng, kinds[kind].name, 70 + kind);
    all = kind_make(txn, kind, "all");
    table = kind_make(txn, kind, "table");
    any = records_random(kind, BEFORE + MORE, env_info(env).max_pair_bytes, &rng);
    for (size_t i = 0; i < any.count; i++)
        ck_ok(kv_put(txn, all, &any.at[i].key, &any.at[i].value, 0));
    sorted = records_read(txn, all);
    for (size_t i = 0; i < BEFORE; i++)
        ck_ok(kv_put(txn, table, &sorted.at[i].key, &sorted.at[i].value, 0));
    records_release(&any);
    txn_commit(txn);
    return sorted;
}

/* The upper part, in order but for one. */
static int build_rest(struct kv_txn *txn, kv_table table, const struct records *sorted,
                      bool *begun_out)
{
    struct kv_bulk *bulk;
    int rc = kv_bulk_begin(txn, table, 0, &bulk);
    int ended;

    *begun_out = rc == 0;
    if (rc)
        return rc;
    for (size_t i = BEFORE; !rc && i < sorted->count; i++) {
        const struct kv_record *record = &sorted->at[i == BEFORE + MORE / 2 ? BEFORE : i];

        rc = kv_bulk_put(bulk, &record->key, &record->value, 0);
    }
    ended = kv_bulk_end(bulk);
    return rc ? rc : ended;
}

START_TEST(every_allocation_of_a_build_may_fail)
{
    struct records sorted = half_filled((unsigned)_i);
    uint64_t failures = 0;
    bool done = false;

    for (uint64_t n = 1; !done; n++) {
        struct kv_txn *txn = txn_write(env);
        kv_table table = table_find(txn, "table");
        bool begun;
        int rc;

        alloc_fault_arm(n);
        rc = build_rest(txn, table, &sorted, &begun);
        alloc_fault_disarm();
        done = !alloc_fault_fired();
        failures += !done;
        ck_rc(rc, done ? 0 : ENOMEM);
        ck_rc(kv_txn_commit(txn), begun && !done ? KV_EBADTXN : 0);
        if (n % 16 == 1 || done)
            env_sound(env);
    }
    ck_assert_uint_gt(failures, 8);
    env_finish(env);
    records_release(&sorted);
}
END_TEST

START_TEST(a_build_that_could_not_begin_leaves_the_txn_usable)
{
    struct kv_txn *txn;
    struct kv_bulk *bulk;
    bool done = false;

    env = env_new("oom.db");
    txn = txn_write(env);
    for (uint64_t n = 1; !done; n++) {
        int rc;

        alloc_fault_arm(n);
        rc = kv_bulk_begin(txn, 0, 0, &bulk);
        alloc_fault_disarm();
        done = !alloc_fault_fired();
        ck_rc(rc, done ? 0 : ENOMEM);
        if (!done)
            put(txn, 0, "k", "v");
    }
    ck_ok(kv_bulk_end(bulk));
    has(txn, 0, "k", "v");
    txn_commit(txn);
    env_finish(env);
}
END_TEST

START_TEST(every_allocation_of_a_get_of_many_may_fail)
{
    static uint8_t bytes[8][600];
    struct kv_val keys[8], values[8];
    bool done = false;
    struct kv_txn *txn;
    kv_table table;
    size_t found;

    env = env_new("oom.db");
    txn = txn_write(env);
    table = kind_make(txn, 8, "duplicates");
    for (unsigned i = 0; i < 8; i++) {
        memset(bytes[i], (int)i, sizeof(bytes[i])); /* too long for what a probe has on the stack */
        keys[i] = bytes_val(bytes[i], sizeof(bytes[i]));
        values[i] = bytes_val(bytes[i], i);
        ck_ok(kv_put(txn, table, &keys[i], &values[i], 0));
    }
    for (uint64_t n = 1; !done; n++) {
        int rc;

        alloc_fault_arm(n);
        rc = kv_get_many(txn, table, keys, 8, values, &found);
        alloc_fault_disarm();
        done = !alloc_fault_fired();
        ck_rc(rc, done ? 0 : ENOMEM);
        ck_assert_uint_eq(found, done ? 8 : 0);
        for (unsigned i = 0; i < 8; i++)
            ck_assert((values[i].data != NULL) == done);
        ck_assert(done || n < 100);
    }
    txn_commit(txn);
    env_finish(env);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("bulk_oom");
    TCase *build = tcase_create("build");

    tcase_add_loop_test(build, every_allocation_of_a_build_may_fail, 0, 1);
    tcase_add_loop_test(build, every_allocation_of_a_build_may_fail, 8, 10);
    tcase_add_loop_test(build, every_allocation_of_a_build_may_fail, 13, 14);
    suite_add_tcase(s, build);
    harness_add(s, "oom", a_build_that_could_not_begin_leaves_the_txn_usable);
    harness_add(s, "oom", every_allocation_of_a_get_of_many_may_fail);
    return s;
}

HARNESS_MAIN(suite)
