/* SPDX-License-Identifier: MIT */
/*
 * Compact copies of tables of every kind: all records in stored order, options and sizes, without
 * the users' orders being known to whoever copies or reads.
 */
#include "api_help.h"
#include "kinds_help.h"

#include <stdlib.h>

/* A database with two tables of the kind, full of holes. */
static const char *make_source(unsigned kind, uint32_t page_size)
{
    struct kv_options options = KV_OPTIONS_INIT;
    const char *path = tmp_path("from.db");
    struct records records;
    struct kv_env *env;
    struct kv_txn *txn;
    struct rng rng;
    kv_table table;

    rng_seed(&rng, kinds[kind].name, 900 + kind);
    options.flags = KV_CREATE;
    options.durability = KV_LAZY;
    options.page_size = page_size;
    env = env_open_with(path, &options);
    kinds_register(env);
    txn = txn_write(env);
    table = kind_make(txn, kind, "one");
    (void)kind_make(txn, kind, "empty");
    records = records_random(kind, scaled(4000), env_info(env).max_pair_bytes, &rng);
    for (size_t i = 0; i < records.count; i++) {
        ck_ok(kv_put(txn, table, &records.at[i].key, &records.at[i].value, 0));
        if (i % 3 == 2) {
            struct kv_record *gone = &records.at[rng_below(&rng, i)];

            (void)!kv_del(txn, table, &gone->key, i % 6 == 2 ? &gone->value : NULL);
        }
    }
    put(txn, 0, "a", "record of the main table");
    records_release(&records);
    txn_commit(txn);
    env_close(env);
    return path;
}

static void same_table(struct kv_txn *a, struct kv_txn *b, const char *name)
{
    struct records x, y;
    struct kv_table_options options, others;
    kv_table in_a = table_find(a, name), in_b = table_find(b, name);

    x = records_read(a, in_a);
    y = records_read(b, in_b);
    ck_assert_uint_eq(x.count, y.count);
    for (size_t i = 0; i < x.count; i++) {
        if (x.at[i].key.size != y.at[i].key.size || x.at[i].value.size != y.at[i].value.size ||
            memcmp(x.at[i].key.data, y.at[i].key.data, x.at[i].key.size + x.at[i].value.size))
            ck_abort_msg("record %zu of %zu differs", i, x.count);
    }
    ck_assert_uint_eq(table_stat(a, in_a).entries, table_stat(b, in_b).entries);
    ck_assert_uint_eq(table_stat(a, in_a).keys, table_stat(b, in_b).keys);
    ck_assert_uint_ge(table_stat(a, in_a).pages_leaf, table_stat(b, in_b).pages_leaf);
    ck_ok(kv_table_options(a, in_a, &options));
    ck_ok(kv_table_options(b, in_b, &others));
    ck_assert_uint_eq(options.flags, others.flags);
    ck_assert_int_eq(options.order, others.order);
    ck_assert_int_eq(options.value_order, others.value_order);
    ck_assert_uint_eq(options.value_bytes, others.value_bytes);
    ck_assert_uint_eq(options.align, others.align);
    ck_assert(!options.comparator == !others.comparator);
    ck_assert(!options.value_comparator == !others.value_comparator);
    records_release(&x);
    records_release(&y);
}

/* Puts and deletes go on in the copy. */
static void goes_on(struct kv_env *env, unsigned kind)
{
    struct records records;
    struct kv_txn *txn = txn_write(env);
    struct rng rng;
    kv_table table = table_find(txn, "one");

    rng_init(&rng, kind);
    records = records_random(kind, 500, env_info(env).max_pair_bytes, &rng);
    for (size_t i = 0; i < records.count; i++)
        ck_ok(kv_put(txn, table, &records.at[i].key, &records.at[i].value, 0));
    records_release(&records);
    txn_commit(txn);
    env_sound(env);
}

START_TEST(a_compact_copy_has_all_records_in_stored_order)
{
    static const uint32_t sizes[2] = {4096, 65536};
    struct kv_copy_options compact = {.flags = KV_COPY_COMPACT};

    for (int i = 0; i < 2; i++) {
        const char *path = make_source((unsigned)_i, sizes[i]);
        struct kv_env *from = env_open(path, 0), *to;
        struct kv_txn *a = txn_read(from), *b;

        ck_ok(kv_env_copy(a, tmp_path("to.db"), &compact));
        to = env_open(tmp_path("to.db"), 0);
        b = txn_read(to);
        same_table(a, b, "one");
        same_table(a, b, "empty");
        has(b, 0, "a", "record of the main table");
        kv_txn_abort(a);
        kv_txn_abort(b);
        env_sound(to);
        kinds_register(to);
        env_sound(to);
        goes_on(to, (unsigned)_i);
        env_close(from);
        env_close(to);
        tmp_clear();
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("copy_kinds");

    harness_add_loop(s, "compact", a_compact_copy_has_all_records_in_stored_order, 0, KINDS);
    return s;
}

HARNESS_MAIN(suite)
