/* SPDX-License-Identifier: MIT */
/*
 * kv_get_many: what it gives is what kv_get gives for each key, whatever the keys, their number,
 * the tree and the txn.
 */
#include "api_help.h"
#include "kinds_help.h"

#include <stdlib.h>

#define MANY_MAX 200

static struct kv_env *env;
static struct kv_txn *txn;

static void setup(void)
{
    env = env_new("many.db");
    txn = txn_write(env);
}

static void teardown(void)
{
    kv_txn_abort(txn);
    txn = NULL;
    env_finish(env);
}

static void read_only(void)
{
    txn_commit(txn);
    txn = txn_read(env);
}

/* ---- Comparing with kv_get ---- */

/* What kv_get gives, absent keys and names of tables alike. */
static struct kv_val get_one(kv_table table, const struct kv_val *key)
{
    struct kv_val value;
    int rc = kv_get(txn, table, key, &value);

    if (rc == KV_ENOTFOUND || rc == KV_EINCOMPATIBLE)
        return (struct kv_val){0, NULL};
    if (rc)
        ck_abort_msg("kv_get: %s", kv_error_text());
    return value;
}

/* All keys in one call: each value is the very bytes that kv_get finds. */
static void same_as_get(kv_table table, const struct kv_val *keys, size_t count)
{
    struct kv_val values[MANY_MAX];
    size_t found = 999, present = 0;

    ck_assert_uint_le(count, MANY_MAX);
    memset(values, 0x5a, sizeof(values));
    ck_ok(kv_get_many(txn, table, keys, count, values, &found));
    for (size_t i = 0; i < count; i++) {
        struct kv_val one = get_one(table, &keys[i]);

        if (values[i].size != one.size || values[i].data != one.data)
            ck_abort_msg("key %zu of %zu: %zu bytes at %p, kv_get has %zu at %p", i, count,
                         values[i].size, values[i].data, one.size, one.data);
        present += one.data != NULL;
    }
    ck_assert_uint_eq(found, present);
    ck_assert(count == MANY_MAX || values[count].size == (size_t)0x5a5a5a5a5a5a5a5aULL);
}

/* ---- Few keys ---- */

START_TEST(values_come_in_the_order_of_the_keys)
{
    struct kv_val keys[3] = {text_val("c"), text_val("a"), text_val("b")};
    struct kv_val values[3];
    size_t found;

    put(txn, 0, "a", "1");
    put(txn, 0, "b", "2");
    put(txn, 0, "c", "3");
    for (int i = 0; i < 2; i++) {
        ck_ok(kv_get_many(txn, 0, keys, 3, values, &found));
        ck_assert_uint_eq(found, 3);
        expect_text(&values[0], "3");
        expect_text(&values[1], "1");
        expect_text(&values[2], "2");
        if (i == 0)
            read_only();
    }
}
END_TEST

START_TEST(absent_keys_have_no_data_and_empty_values_do)
{
    struct kv_val keys[4] = {text_val("a"), text_val("none"), text_val(""), text_val("zz")};
    struct kv_val values[4];
    size_t found;

    put(txn, 0, "a", "");
    ck_ok(kv_get_many(txn, 0, keys, 4, values, &found));
    ck_assert_uint_eq(found, 1);
    ck_assert_ptr_nonnull(values[0].data);
    ck_assert_uint_eq(values[0].size, 0);
    for (int i = 1; i < 4; i++) {
        ck_assert_ptr_null(values[i].data);
        ck_assert_uint_eq(values[i].size, 0);
    }
    put(txn, 0, "", "of the empty key");
    ck_ok(kv_get_many(txn, 0, keys, 4, values, &found));
    ck_assert_uint_eq(found, 2);
    expect_text(&values[2], "of the empty key");
}
END_TEST

START_TEST(repeated_keys_each_get_the_value)
{
    struct kv_val keys[40];

    put(txn, 0, "a", "1");
    put(txn, 0, "b", "2");
    for (int i = 0; i < 40; i++)
        keys[i] = text_val(i % 3 == 0 ? "a" : i % 3 == 1 ? "b" : "c");
    same_as_get(0, keys, 40);
}
END_TEST

START_TEST(no_keys_are_no_work)
{
    size_t found = 5;

    ck_ok(kv_get_many(txn, 0, NULL, 0, NULL, &found));
    ck_assert_uint_eq(found, 0);
    ck_ok(kv_get_many(txn, 0, NULL, 0, NULL, NULL));
}
END_TEST

START_TEST(an_empty_table_has_none_of_them)
{
    struct kv_val keys[20];

    for (int i = 0; i < 20; i++)
        keys[i] = text_val("k");
    same_as_get(0, keys, 20);
    same_as_get(0, keys, 1);
    read_only();
    same_as_get(0, keys, 20);
}
END_TEST

START_TEST(names_of_tables_count_as_absent)
{
    struct kv_val keys[3] = {text_val("table"), text_val("record"), text_val("other")};
    struct kv_val values[3];
    size_t found;

    put(txn, table_make(txn, "table"), "k", "v");
    put(txn, 0, "record", "v");
    ck_ok(kv_get_many(txn, 0, keys, 3, values, &found));
    ck_assert_uint_eq(found, 1);
    ck_assert_ptr_null(values[0].data);
    expect_text(&values[1], "v");
    read_only();
    same_as_get(0, keys, 3);
}
END_TEST

/* ---- Misuse and failures ---- */

START_TEST(misuse_is_told_and_clears_the_values)
{
    static char long_key[5000];
    struct kv_val keys[2] = {text_val("a"), bytes_val(long_key, sizeof(long_key))};
    struct kv_val values[2];
    size_t found = 7;

    put(txn, 0, "a", "1");
    memset(values, 1, sizeof(values));
    ck_rc(kv_get_many(txn, 0, keys, 2, values, &found), KV_EKEYSIZE);
    ck_assert_ptr_null(values[0].data);
    ck_assert_ptr_null(values[1].data);
    ck_assert_uint_eq(found, 0);
    keys[1] = (struct kv_val){1, NULL};
    ck_rc(kv_get_many(txn, 0, keys, 2, values, NULL), KV_EINVAL);
    ck_rc(kv_get_many(txn, 0, NULL, 2, values, NULL), KV_EINVAL);
    ck_rc(kv_get_many(txn, 0, keys, 2, NULL, NULL), KV_EINVAL);
    ck_rc(kv_get_many(NULL, 0, keys, 2, values, NULL), KV_EINVAL);
    ck_rc(kv_get_many(txn, 77, keys, 2, values, NULL), KV_EBADTABLE);
    read_only();
    kv_txn_reset(txn);
    ck_rc(kv_get_many(txn, 0, keys, 1, values, NULL), KV_EBADTXN);
}
END_TEST

/* Overwrites a byte of every leaf of the closed file `path`. */
static void damage_leaves(const char *path)
{
    size_t size = 0;
    uint8_t *bytes = file_read(path, &size);

    for (size_t at = 4096; at + 4096 <= size; at += 4096) {
        if (bytes[at + 14] == 2)
            bytes[at + 4095] ^= 1;
    }
    file_write(path, bytes, size);
    free(bytes);
}

START_TEST(a_damaged_leaf_is_an_error_and_no_value)
{
    struct kv_options options = KV_OPTIONS_INIT;
    struct kv_val keys[3] = {text_val("r000001"), text_val("r000500"), text_val("r000900")};
    struct kv_val values[3];
    struct kv_env *damaged;
    struct kv_txn *reader;

    fill_table(txn, 0, "r", 1000, 100);
    read_only();
    kv_txn_abort(txn);
    env_close(env);
    damage_leaves(tmp_path("many.db"));
    options.flags = KV_READONLY | KV_NOLOCK;
    damaged = env_open_with(tmp_path("many.db"), &options);
    reader = txn_read(damaged);
    memset(values, 1, sizeof(values));
    ck_rc(kv_get_many(reader, 0, keys, 3, values, NULL), KV_ECORRUPT);
    for (int i = 0; i < 3; i++)
        ck_assert_ptr_null(values[i].data);
    kv_txn_abort(reader);
    env_close(damaged);
    tmp_clear();
    setup();
}
END_TEST

/* ---- Many keys ---- */

/* Key number n of a family: 8 bytes at random; digits behind a prefix, which tie in their heads; of
 * any length; long ones. */
enum family { RANDOM_8, DIGITS, ANY_LENGTH, LONG_ONES, FAMILIES };

static struct kv_val family_key(enum family family, uint64_t n, uint8_t *room)
{
    struct rng rng;
    size_t size = 8;

    rng_init(&rng, n * 2654435761u + 17);
    rng_bytes(&rng, room, 8);
    if (family == DIGITS)
        size = (size_t)snprintf((char *)room, 64, "a common prefix %020llu",
                                (unsigned long long)(n * n));
    if (family == ANY_LENGTH) {
        size = rng_below(&rng, 60);
        memset(room, (int)rng_below(&rng, 3), size);
        if (size)
            rng_bytes(&rng, room + size - size / 4, size / 4);
    }
    if (family == LONG_ONES) {
        size = 300 + rng_below(&rng, 1600);
        memset(room, 'x', size);
        memcpy(room + 290, &n, 8);
    }
    return bytes_val(room, size);
}

static void fill_family(kv_table table, enum family family, uint64_t count)
{
    uint8_t room[2048];
    static uint8_t data[9000];

    for (uint64_t n = 0; n < count; n++) {
        struct kv_val key = family_key(family, n, room);
        struct kv_val value = bytes_val(data, n % 50 == 7 ? 3000 + n % 6000 : n % 150);

        fill_bytes(data, value.size, n);
        ck_ok(kv_put(txn, table, &key, &value, 0));
    }
}

/* Calls of every size, about half of the keys being there. */
static void ask_family(kv_table table, enum family family, uint64_t count, struct rng *rng)
{
    static uint8_t rooms[MANY_MAX][2048];
    static struct kv_val keys[MANY_MAX];

    for (size_t size = 0; size < MANY_MAX; size += size < 40 ? 1 : 37) {
        for (size_t i = 0; i < size; i++)
            keys[i] = family_key(family, rng_below(rng, 2 * count), rooms[i]);
        same_as_get(table, keys, size);
    }
}

START_TEST(any_number_of_keys_gives_what_get_gives)
{
    uint64_t count = scaled(_i == LONG_ONES ? 1500 : 6000);
    struct kv_txn *top = NULL;
    kv_table table = table_make(txn, "t");
    struct rng rng;

    rng_seed(&rng, "keys", 900 + (uint64_t)_i);
    fill_family(table, (enum family)_i, count / 2);
    ask_family(table, (enum family)_i, count, &rng);
    txn_commit(txn);
    txn = txn_write(env);
    fill_family(table, (enum family)_i, count * 2 / 3); /* some pages clean, some changed */
    ask_family(table, (enum family)_i, count, &rng);
    top = txn;
    txn = txn_nested(top);
    fill_family(table, (enum family)_i, count);
    ask_family(table, (enum family)_i, count, &rng);
    txn_commit(txn);
    txn = top;
    read_only();
    ask_family(table, (enum family)_i, count, &rng);
}
END_TEST

START_TEST(large_pages_and_spilled_ones_are_read_the_same)
{
    struct kv_options options = KV_OPTIONS_INIT;
    struct rng rng;

    kv_txn_abort(txn);
    env_close(env);
    tmp_clear();
    rng_seed(&rng, "keys of large pages", 31 + (uint64_t)_i);
    options.flags = KV_CREATE;
    options.durability = KV_LAZY;
    options.page_size = _i ? 65536 : 8192;
    options.dirty_budget_bytes = (uint64_t)16 * options.page_size;
    env = env_open_with(tmp_path("many.db"), &options);
    txn = txn_write(env);
    fill_family(0, RANDOM_8, scaled(30000));
    ask_family(0, RANDOM_8, scaled(30000), &rng);
    read_only();
    ask_family(0, RANDOM_8, scaled(30000), &rng);
}
END_TEST

/* Keys of a kind's records: of those that are there, and of others. */
static void ask_kind(kv_table table, const struct records *records, struct rng *rng)
{
    struct kv_val keys[MANY_MAX];

    for (size_t size = 1; size < 60; size += 1 + size / 8) {
        for (size_t i = 0; i < size; i++)
            keys[i] = records->at[rng_below(rng, records->count)].key;
        same_as_get(table, keys, size);
    }
}

START_TEST(tables_of_every_kind_give_what_get_gives)
{
    struct records records;
    struct rng rng;
    kv_table table;

    rng_seed(&rng, kinds[_i].name, 600 + (uint64_t)_i);
    kinds_register(env);
    table = kind_make(txn, (unsigned)_i, "t");
    records = records_random((unsigned)_i, scaled(6000), env_info(env).max_pair_bytes, &rng);
    ask_kind(table, &records, &rng);
    for (size_t i = 0; i < records.count; i++) {
        if (i % 3) /* whole keys stay absent where there are no duplicates */
            ck_ok(kv_put(txn, table, &records.at[i].key, &records.at[i].value, 0));
    }
    ask_kind(table, &records, &rng);
    for (size_t i = 0; i < records.count; i += 5) /* leaves that begin within a key's values */
        (void)!kv_del(txn, table, &records.at[i].key,
                      kind_has_duplicates((unsigned)_i) ? &records.at[i].value : NULL);
    ask_kind(table, &records, &rng);
    read_only();
    ask_kind(table, &records, &rng);
    records_release(&records);
}
END_TEST

START_TEST(an_order_that_is_not_registered_is_told)
{
    struct kv_val keys[2] = {text_val("a"), text_val("b")}, values[2];

    kinds_register(env);
    ck_ok(kv_put(txn, kind_make(txn, 7, "t"), &keys[0], &keys[1], 0));
    read_only();
    kv_txn_abort(txn);
    env_close(env);
    env = env_open(tmp_path("many.db"), 0);
    txn = txn_read(env);
    ck_rc(kv_get_many(txn, table_find(txn, "t"), keys, 2, values, NULL), KV_ECOMPARATOR);
    ck_assert_ptr_null(values[0].data);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("get_many");

    harness_add_fixture(s, "few", values_come_in_the_order_of_the_keys, setup, teardown);
    harness_add_fixture(s, "few", absent_keys_have_no_data_and_empty_values_do, setup, teardown);
    harness_add_fixture(s, "few", no_keys_are_no_work, setup, teardown);
    harness_add_fixture(s, "few", an_empty_table_has_none_of_them, setup, teardown);
    harness_add_fixture(s, "few", names_of_tables_count_as_absent, setup, teardown);
    harness_add_fixture(s, "failures", misuse_is_told_and_clears_the_values, setup, teardown);
    harness_add_fixture(s, "failures", a_damaged_leaf_is_an_error_and_no_value, setup, teardown);
    harness_add_fixture(s, "failures", an_order_that_is_not_registered_is_told, setup, teardown);
    harness_add_fixture(s, "many", repeated_keys_each_get_the_value, setup, teardown);
    harness_add_loop(s, "many", any_number_of_keys_gives_what_get_gives, 0, FAMILIES);
    harness_add_loop(s, "many", tables_of_every_kind_give_what_get_gives, 0, KINDS);
    harness_add_loop(s, "many", large_pages_and_spilled_ones_are_read_the_same, 0, 2);
    return s;
}

HARNESS_MAIN(suite)
