/* SPDX-License-Identifier: MIT */
/* kv_env_trim with KV_TRIM_DEFRAGMENT: the file becomes about as long as what is in use, records
 * stay. */
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "kv.h"

enum { RECORDS = 4000, LARGE_EVERY = 50, LARGE_BYTES = 30000 };

static const char *path;
static struct kv_env *env;

static void setup(void)
{
    struct kv_options options = KV_OPTIONS_INIT;

    tmp_clear();
    path = tmp_path("a.db");
    options.flags = KV_CREATE;
    options.dirty_budget_bytes = 1; /* the least: spills happen while pages are moved */
    ck_ok(kv_env_open(path, &options, &env));
}

static void teardown(void)
{
    ck_ok(kv_env_close(env));
}

static size_t value_bytes(unsigned i)
{
    return i % LARGE_EVERY == 0 ? LARGE_BYTES : i % 300;
}

static void record_put(struct kv_txn *txn, kv_table table, unsigned i)
{
    static char bytes[LARGE_BYTES];
    uint32_t number = (i * 2654435761u) ^ table;
    struct kv_val key = {sizeof(number), &number};
    struct kv_val value = {value_bytes(i), bytes};

    memset(bytes, (int)i, value.size);
    if (kv_put(txn, table, &key, &value, 0))
        ck_abort_msg("put: %s", kv_error_text());
}

static void record_expect(struct kv_txn *txn, kv_table table, unsigned i)
{
    uint32_t number = (i * 2654435761u) ^ table;
    struct kv_val key = {sizeof(number), &number};
    struct kv_val value;

    if (kv_get(txn, table, &key, &value) || value.size != value_bytes(i) ||
        (value.size && *((uint8_t *)value.data + value.size - 1) != (uint8_t)i))
        ck_abort_msg("record %u of table %u is lost: %s", i, table, kv_error_text());
}

/* Tables a, b and the main one; then all but every tenth record of b and the main table goes, and
 * all of a. */
static kv_table fill_and_empty(void)
{
    struct kv_txn *txn;
    kv_table a;
    kv_table b;

    ck_ok(kv_txn_begin(env, KV_WRITE, NULL, &txn));
    ck_ok(kv_table_open(txn, "a", KV_CREATE, NULL, &a));
    ck_ok(kv_table_open(txn, "b", KV_CREATE, NULL, &b));
    for (unsigned i = 0; i < RECORDS; i++) {
        record_put(txn, a, i);
        record_put(txn, b, i);
        record_put(txn, KV_MAIN_TABLE, i);
    }
    ck_ok(kv_txn_commit(txn));
    ck_ok(kv_txn_begin(env, KV_WRITE, NULL, &txn));
    ck_ok(kv_table_drop(txn, a));
    for (unsigned i = 0; i < RECORDS; i++) {
        uint32_t number_b = (i * 2654435761u) ^ b;
        uint32_t number_main = i * 2654435761u;
        struct kv_val key_b = {sizeof(number_b), &number_b};
        struct kv_val key_main = {sizeof(number_main), &number_main};

        if (i % 10 && (kv_del(txn, b, &key_b, NULL) || kv_del(txn, KV_MAIN_TABLE, &key_main, NULL)))
            ck_abort_msg("del: %s", kv_error_text());
    }
    ck_ok(kv_txn_commit(txn));
    return b;
}

static void expect_rest(kv_table b)
{
    struct kv_txn *txn;

    ck_ok(kv_txn_begin(env, KV_READ, NULL, &txn));
    for (unsigned i = 0; i < RECORDS; i += 10) {
        record_expect(txn, b, i);
        record_expect(txn, KV_MAIN_TABLE, i);
    }
    kv_txn_abort(txn);
}

static uint64_t bytes_used(void)
{
    struct kv_env_stat stat;
    struct kv_txn *txn;

    ck_ok(kv_txn_begin(env, KV_READ, NULL, &txn));
    ck_ok(kv_env_stat(txn, &stat));
    kv_txn_abort(txn);
    return stat.pages_used * 4096;
}

START_TEST(the_file_becomes_about_as_long_as_what_is_in_use)
{
    kv_table b = fill_and_empty();
    uint64_t before = file_size(path);
    uint64_t given = 0;

    ck_ok(kv_env_trim(env, KV_TRIM_DEFRAGMENT, &given));
    ck_assert_uint_lt(file_size(path), before / 2);
    ck_assert_uint_le(file_size(path), bytes_used() + bytes_used() / 8 + 100 * 4096);
    ck_assert_uint_gt(given, 0);
    expect_rest(b);
    ck_ok(kv_env_check(env, NULL));
}
END_TEST

START_TEST(a_pinned_snapshot_keeps_its_pages_and_its_bytes)
{
    kv_table b = fill_and_empty();
    struct kv_txn *old;
    struct kv_txn *txn;

    ck_ok(kv_txn_begin(env, KV_READ, NULL, &old));
    ck_ok(kv_txn_begin(env, KV_WRITE, NULL, &txn));
    for (unsigned i = 0; i < RECORDS; i += 10)
        record_put(txn, b, i + 1);
    ck_ok(kv_txn_commit(txn));
    ck_ok(kv_env_trim(env, KV_TRIM_DEFRAGMENT | KV_TRIM_PUNCH, NULL));
    for (unsigned i = 0; i < RECORDS; i += 10) {
        record_expect(old, b, i);
        record_expect(old, KV_MAIN_TABLE, i);
    }
    ck_ok(kv_env_check(env, NULL));
    kv_txn_abort(old);
    ck_ok(kv_env_trim(env, KV_TRIM_DEFRAGMENT, NULL));
    ck_assert_uint_le(file_size(path), bytes_used() + bytes_used() / 8 + 100 * 4096);
    expect_rest(b);
    ck_ok(kv_env_check(env, NULL));
}
END_TEST

START_TEST(a_file_without_a_tail_is_left_alone)
{
    struct kv_env_info info;
    uint64_t txnid;

    fill_and_empty();
    ck_ok(kv_env_trim(env, KV_TRIM_DEFRAGMENT, NULL));
    ck_ok(kv_env_info(env, &info));
    txnid = info.txnid_committed;
    ck_ok(kv_env_trim(env, KV_TRIM_DEFRAGMENT, NULL));
    ck_ok(kv_env_info(env, &info));
    ck_assert_uint_eq(info.txnid_committed, txnid);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("defragment");

    harness_add_fixture(s, "defragment", the_file_becomes_about_as_long_as_what_is_in_use, setup,
                        teardown);
    harness_add(s, "defragment", a_pinned_snapshot_keeps_its_pages_and_its_bytes);
    harness_add(s, "defragment", a_file_without_a_tail_is_left_alone);
    return s;
}

HARNESS_MAIN(suite)
