/* SPDX-License-Identifier: MIT */
/*
 * The calls of kv.h without memory: every allocation fails once. Each call says so, or did without
 * the memory, and everything can be ended and closed; what was committed before stands.
 */
#include "api_help.h"
#include "kind_help.h"

#include <errno.h>

#include "fault_alloc.h"

static struct kv_env *env;

static void setup(void)
{
    struct kv_options options = KV_OPTIONS_INIT;

    options.flags = KV_CREATE | KV_MEMORY;
    ck_ok(kv_env_open(NULL, &options, &env));
    fill_commit(env, 500, 50);
}

static void teardown(void)
{
    env_finish(env);
}

typedef int program(struct kv_env *in);

/* Runs the program with each allocation failing in turn. */
static void run_without_memory(program *run, uint64_t failures_min)
{
    uint64_t failures = 0;
    uint64_t content = env_digest(env);
    bool fired = true;

    for (uint64_t n = 1; fired; n++) {
        int rc;

        alloc_fault_arm(n);
        rc = run(env);
        alloc_fault_disarm();
        fired = alloc_fault_fired();
        ck_assert_msg(rc == 0 || (fired && rc == ENOMEM), "allocation %llu: %d, %s",
                      (unsigned long long)n, rc, kv_error_text());
        failures += fired && rc;
        ck_assert_uint_eq(env_info(env).readers, 0);
        ck_assert_uint_eq(env_digest(env), content);
    }
    ck_assert_uint_ge(failures, failures_min);
    env_sound(env);
}

/* ---- Programs: the first failure ends them ---- */

static int put_text(struct kv_txn *txn, kv_table table, const char *key, const char *value)
{
    return try_put(txn, table, key, value, 0);
}

/* A table in a nested txn that becomes one of another kind, with records. */
static int nested_change(struct kv_txn *txn)
{
    struct kv_table_options plain = KV_TABLE_OPTIONS_INIT;
    struct kv_table_options custom = kind(KV_DUPLICATES, KV_ORDER_CUSTOM);
    struct kv_txn_options nested = {.parent = txn};
    struct kv_txn *child;
    uint64_t number;
    kv_table table;
    int rc = kv_table_open(txn, "becomes", KV_CREATE, &plain, &table);

    if (!rc)
        rc = kv_txn_begin(kv_txn_env(txn), KV_WRITE, &nested, &child);
    if (rc)
        return rc;
    rc = kv_table_open(child, "becomes", KV_CREATE, &custom, &table);
    if (!rc)
        rc = kv_sequence(child, table, 3, &number);
    for (unsigned i = 0; !rc && i < 30; i++)
        rc = put_text(child, table, "key", i % 2 ? "one value" : "another");
    if (!rc)
        rc = kv_marker_set(child, "marker", 6);
    if (!rc)
        return kv_txn_commit(child);
    kv_txn_abort(child);
    return rc;
}

static int write_all_kinds(struct kv_env *in)
{
    const struct kv_val key = text_val("n");
    const struct kv_val value = text_val("12345678");
    struct kv_val old;
    struct kv_txn *txn;
    int64_t sum;
    int rc = kv_env_comparator(in, "length", by_length, NULL);

    if (!rc)
        rc = kv_txn_begin(in, KV_WRITE, NULL, &txn);
    if (rc)
        return rc;
    rc = nested_change(txn);
    if (!rc)
        rc = kv_swap(txn, KV_MAIN_TABLE, &key, NULL, &value, &old);
    if (!rc)
        rc = kv_swap(txn, KV_MAIN_TABLE, &key, &value, &value, &old);
    if (!rc)
        rc = kv_add(txn, KV_MAIN_TABLE, &key, 1, &sum);
    kv_txn_abort(txn);
    return rc;
}

static int read_clones(struct kv_env *in)
{
    struct kv_txn_options options = {.clone = NULL};
    struct kv_table_options told_options;
    struct kv_txn *clone = NULL;
    struct kv_txn *txn;
    struct kv_val value;
    kv_table table;
    int rc = kv_txn_begin(in, KV_READ | KV_SHARED, NULL, &txn);

    if (rc)
        return rc;
    options.clone = txn;
    rc = kv_txn_begin(in, KV_READ, &options, &clone);
    for (unsigned i = 0; !rc && i < 12; i++) {
        struct kv_val key = text_val("k");
        char name[16];

        snprintf(name, sizeof(name), "table%u", i);
        rc = kv_table_open(txn, name, 0, NULL, &table);
        if (!rc)
            rc = kv_get(i % 2 ? txn : clone, table, &key, &value);
        if (!rc)
            rc = kv_table_options(clone, table, &told_options);
    }
    kv_txn_reset(txn);
    kv_txn_abort(clone);
    if (!rc)
        rc = kv_txn_renew(txn);
    kv_txn_abort(txn);
    return rc;
}

START_TEST(changes_of_all_kinds_do_without_any_one_allocation)
{
    run_without_memory(write_all_kinds, 20);
}
END_TEST

START_TEST(reads_in_clones_do_without_any_one_allocation)
{
    struct kv_table_options options = kind(0, KV_ORDER_CUSTOM);
    struct kv_txn *txn;
    char name[16];

    comparators_known(env);
    txn = txn_write(env);
    for (unsigned i = 0; i < 12; i++) {
        snprintf(name, sizeof(name), "table%u", i);
        put(txn, make(txn, name, i % 3 ? NULL : &options), "k", "v");
    }
    txn_commit(txn);
    run_without_memory(read_clones, 20);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("api oom");

    harness_add_fixture(s, "write", changes_of_all_kinds_do_without_any_one_allocation, setup,
                        teardown);
    harness_add_fixture(s, "read", reads_in_clones_do_without_any_one_allocation, setup, teardown);
    return s;
}

HARNESS_MAIN(suite)
