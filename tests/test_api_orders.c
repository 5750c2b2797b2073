/* SPDX-License-Identifier: MIT */
/*
 * What follows from a table's kind, through kv.h: users' orders by name, the sizes of keys and
 * values that it takes, and calls and flags that are for other kinds.
 */
#include "api_help.h"
#include "kind_help.h"

#include <stdlib.h>

static struct kv_env *env;
static const char *path;

static void setup(void)
{
    env = env_new("orders.db");
    path = tmp_path("orders.db");
}

static void teardown(void)
{
    env_finish(env);
}

static void reopen(void)
{
    env_close(env);
    env = env_open(path, 0);
}

/* ---- Comparators ---- */

START_TEST(a_comparator_has_one_function_a_name)
{
    ck_ok(kv_env_comparator(env, "length", by_length, NULL));
    ck_ok(kv_env_comparator(env, "length", by_length, NULL));
    ck_rc(kv_env_comparator(env, "length", backwards, NULL), KV_EEXIST);
    ck_rc(kv_env_comparator(env, "length", by_length, env), KV_EEXIST);
    ck_rc(kv_env_comparator(env, "", by_length, NULL), KV_EINVAL);
    ck_rc(kv_env_comparator(env, NULL, by_length, NULL), KV_EINVAL);
    ck_rc(kv_env_comparator(env, "length", NULL, NULL), KV_EINVAL);
    ck_rc(kv_env_comparator(NULL, "length", by_length, NULL), KV_EINVAL);
    ck_ok(kv_env_comparator(env, "a name of just thirty-one bytes", by_length, NULL));
    ck_rc(kv_env_comparator(env, "one of thirty-two bytes, too long", by_length, NULL), KV_EINVAL);
}
END_TEST

/* A committed table "t" ordered by length, and the same as main table in another file. */
static void lengths_committed(void)
{
    struct kv_table_options options = kind(0, KV_ORDER_CUSTOM);
    static const char *const keys[] = {"ccc", "z", "bb", "aaaa", "a", "dd"};
    struct kv_txn *txn;
    kv_table table;

    comparators_known(env);
    txn = txn_write(env);
    table = make(txn, "t", &options);
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        put(txn, table, keys[i], "v");
    keys_are(txn, table, "a z bb dd ccc aaaa ");
    txn_commit(txn);
}

START_TEST(without_its_comparator_a_table_is_only_read_in_order)
{
    struct kv_txn *txn;
    kv_table table;

    lengths_committed();
    reopen();
    txn = txn_write(env);
    table = table_find(txn, "t");
    keys_are(txn, table, "a z bb dd ccc aaaa ");
    ck_rc(try_get(txn, table, "bb"), KV_ECOMPARATOR);
    ck_rc(try_put(txn, table, "bb", "w", 0), KV_ECOMPARATOR);
    ck_rc(try_del(txn, table, "bb"), KV_ECOMPARATOR);
    put(txn, KV_MAIN_TABLE, "main", "goes on");
    txn_commit(txn);
    env_sound(env);
}
END_TEST

START_TEST(a_comparator_that_comes_late_counts_at_once)
{
    struct kv_txn *reader;
    struct kv_cursor *cursor;
    struct kv_txn *txn;
    struct kv_val key = text_val("bb");
    kv_table table;

    lengths_committed();
    reopen();
    reader = txn_read(env);
    txn = txn_write(env);
    table = table_find(txn, "t");
    ck_rc(try_get(reader, table, "bb"), KV_ECOMPARATOR);
    ck_rc(try_put(txn, table, "eee", "w", 0), KV_ECOMPARATOR);
    ck_ok(kv_cursor_open(txn, table, &cursor));
    ck_rc(kv_cursor_get(cursor, KV_EXACT, &key, NULL), KV_ECOMPARATOR);
    comparators_known(env);
    ck_ok(kv_cursor_get(cursor, KV_EXACT, &key, NULL));
    has(reader, table, "bb", "v");
    put(txn, table, "eee", "w");
    keys_are(txn, table, "a z bb dd ccc eee aaaa ");
    kv_txn_abort(reader);
    txn_commit(txn);
}
END_TEST

START_TEST(a_nested_txn_knows_the_comparators)
{
    struct kv_txn *txn;
    struct kv_txn *child;
    kv_table table;

    lengths_committed();
    reopen();
    txn = txn_write(env);
    table = table_find(txn, "t");
    comparators_known(env);
    child = txn_nested(txn);
    put(child, table, "b", "w");
    txn_commit(child);
    keys_are(txn, table, "a b z bb dd ccc aaaa ");
    put(txn, table, "c", "w");
    txn_commit(txn);
}
END_TEST

/* The content of path, where comparators are known. */
static void copy_is(const char *copy, const char *expected)
{
    struct kv_env *other = env_open(copy, 0);
    struct kv_txn *txn = txn_read(other);

    keys_are(txn, table_find(txn, "t"), expected);
    comparators_known(other);
    has(txn, table_find(txn, "t"), "dd", "v");
    kv_txn_abort(txn);
    env_sound(other);
    env_close(other);
}

START_TEST(copies_need_no_comparator)
{
    struct kv_copy_options compact = {.flags = KV_COPY_COMPACT};

    lengths_committed();
    for (int known = 0; known < 2; known++) {
        struct kv_txn *txn;

        reopen();
        if (known)
            comparators_known(env);
        txn = txn_read(env);
        ck_ok(kv_env_copy(txn, tmp_path("plain%d.db", known), NULL));
        ck_ok(kv_env_copy(txn, tmp_path("compact%d.db", known), &compact));
        kv_txn_abort(txn);
        copy_is(tmp_path("plain%d.db", known), "a z bb dd ccc aaaa ");
        copy_is(tmp_path("compact%d.db", known), "a z bb dd ccc aaaa ");
    }
}
END_TEST

START_TEST(a_check_proves_the_order_that_is_known)
{
    struct kv_check_options options = {.findings_out = NULL};
    uint64_t findings = 0;

    options.findings_out = &findings;
    lengths_committed();
    env_sound(env);
    reopen();
    ck_ok(kv_env_comparator(env, "length", backwards, NULL)); /* not what it was made with */
    ck_rc(kv_env_check(env, &options), KV_ECORRUPT);
    ck_assert_uint_gt(findings, 0);
    reopen();
    env_sound(env);
}
END_TEST

START_TEST(defragmenting_needs_no_comparator)
{
    struct kv_table_options options = kind(KV_DUPLICATES, KV_ORDER_CUSTOM);
    struct kv_table_stat before;
    struct kv_txn *txn;
    uint64_t content;
    uint64_t bytes;
    kv_table table;

    comparators_known(env);
    txn = txn_write(env);
    fill_table(txn, KV_MAIN_TABLE, "filler", 3000, 200);
    table = make(txn, "t", &options);
    fill_table(txn, table, "k", 2000, 100);
    fill_table(txn, table, "k", 2000, 90);
    txn_commit(txn);
    txn = txn_write(env);
    for (unsigned i = 0; i < 3000; i++) {
        char key[32];

        snprintf(key, sizeof(key), "filler%06u", i);
        del(txn, KV_MAIN_TABLE, key);
    }
    txn_commit(txn);
    content = env_digest(env);
    reopen();
    ck_ok(kv_env_trim(env, KV_TRIM_DEFRAGMENT, &bytes));
    ck_assert_uint_gt(bytes, 0);
    ck_assert_uint_eq(env_digest(env), content);
    env_sound(env);
    comparators_known(env);
    env_sound(env);
    txn = txn_read(env);
    before = table_stat(txn, table_find(txn, "t"));
    ck_assert_uint_eq(before.entries, 4000);
    ck_assert_uint_eq(before.keys, 2000);
    kv_txn_abort(txn);
}
END_TEST

/* ---- Sizes of keys and values ---- */

START_TEST(integer_keys_have_the_size_of_the_first)
{
    struct kv_table_options integers = kind(0, KV_ORDER_UINT);
    struct kv_txn *txn = txn_write(env);
    kv_table table = make(txn, "t", &integers);
    struct kv_val value = text_val("v");
    uint8_t bytes[9] = {1};

    for (size_t size = 0; size <= sizeof(bytes); size++) {
        struct kv_val key = {size, bytes};

        ck_rc(kv_get(txn, table, &key, &value),
              size == 4 || size == 8 ? KV_ENOTFOUND : KV_EKEYSIZE);
    }
    for (int again = 0; again < 2; again++) {
        for (size_t size = 0; size <= sizeof(bytes); size++) {
            struct kv_val key = {size, bytes};

            value = text_val("v");
            ck_rc(kv_put(txn, table, &key, &value, 0), size == 4 ? 0 : KV_EKEYSIZE);
        }
        txn_commit(txn);
        txn = txn_write(env);
    }
    ck_assert_uint_eq(table_stat(txn, table).entries, 1);
    kv_txn_abort(txn);
}
END_TEST

START_TEST(the_first_key_of_a_nested_txn_sets_the_size_when_it_commits)
{
    struct kv_table_options integers = kind(0, KV_ORDER_UINT);
    struct kv_txn *txn = txn_write(env);
    kv_table table = make(txn, "t", &integers);
    struct kv_txn *child = txn_nested(txn);

    put(child, table, "8 bytes.", "v");
    ck_rc(try_put(child, table, "four", "v", 0), KV_EKEYSIZE);
    kv_txn_abort(child);
    child = txn_nested(txn);
    put(child, table, "four", "v");
    txn_commit(child);
    ck_rc(try_put(txn, table, "8 bytes.", "v", 0), KV_EKEYSIZE);
    has(txn, table, "four", "v");
    txn_commit(txn);
}
END_TEST

START_TEST(an_emptied_table_may_take_keys_of_another_size)
{
    struct kv_table_options integers = kind(0, KV_ORDER_UINT);
    struct kv_txn *txn = txn_write(env);
    kv_table table = make(txn, "t", &integers);

    put(txn, table, "four", "v");
    del(txn, table, "four");
    ck_ok(try_open(txn, "t", KV_CREATE, &integers));
    put(txn, table, "8 bytes.", "v");
    txn_commit(txn);
}
END_TEST

START_TEST(keys_and_values_of_duplicates_are_bounded)
{
    struct kv_table_options dups = kind(KV_DUPLICATES, KV_ORDER_BYTES);
    uint64_t bytes_max = env_info(env).max_pair_bytes;
    struct kv_txn *txn = txn_write(env);
    kv_table table = make(txn, "t", &dups);
    static uint8_t bytes[1024];

    ck_assert_uint_eq(bytes_max, 659);
    for (unsigned i = 0; i < 4; i++) {
        struct kv_val key = {bytes_max + i % 2, bytes};
        struct kv_val value = {bytes_max + i / 2, bytes};

        ck_rc(kv_put(txn, table, &key, &value, 0), i % 2 ? KV_EKEYSIZE : i / 2 ? KV_EVALSIZE : 0);
        ck_rc(kv_del(txn, table, &key, &value), i % 2 ? KV_EKEYSIZE : i / 2 ? KV_EVALSIZE : 0);
    }
    txn_commit(txn);
}
END_TEST

START_TEST(fixed_values_have_the_size_of_the_options_or_of_the_first)
{
    struct kv_table_options fixed = kind(KV_DUPLICATES | KV_FIXED, KV_ORDER_BYTES);
    struct kv_txn *txn = txn_write(env);
    kv_table open = make(txn, "open", &fixed);
    kv_table table;

    fixed.value_bytes = 3;
    table = make(txn, "three", &fixed);
    put(txn, table, "k", "abc");
    ck_rc(try_put(txn, table, "k", "ab", 0), KV_EVALSIZE);
    ck_rc(try_put(txn, table, "k", "abcd", 0), KV_EVALSIZE);
    put(txn, open, "k", "ab");
    put(txn, open, "k", "cd");
    ck_rc(try_put(txn, open, "k", "abc", 0), KV_EVALSIZE);
    expect_error_text("the table's have 2");
    ck_assert_uint_eq(table_stat(txn, open).entries, 2);
    ck_assert_uint_eq(told(txn, open).value_bytes, 2);
    txn_commit(txn);
}
END_TEST

/* ---- Flags that are for other tables ---- */

START_TEST(flags_for_duplicates_are_refused_elsewhere)
{
    static const uint32_t flags[] = {KV_NOPAIR, KV_APPEND_VALUE, KV_MULTIPLE};
    struct kv_val key = text_val("k");
    struct kv_val value = text_val("v");
    struct kv_txn *txn = txn_write(env);

    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
        ck_rc(kv_put(txn, KV_MAIN_TABLE, &key, &value, flags[i]), KV_EINCOMPATIBLE);
    ck_rc(kv_del(txn, KV_MAIN_TABLE, &key, &value), KV_EINCOMPATIBLE);
    put(txn, KV_MAIN_TABLE, "k", "v");
    txn_commit(txn);
}
END_TEST

START_TEST(what_is_not_for_duplicates_is_refused_there)
{
    struct kv_table_options dups = kind(KV_DUPLICATES, KV_ORDER_BYTES);
    struct kv_txn *txn = txn_write(env);
    kv_table table = make(txn, "t", &dups);
    struct kv_val key = text_val("k");
    struct kv_val value = text_val("v");
    struct kv_val old;
    int64_t sum;

    ck_rc(kv_put(txn, table, &key, &value, KV_RESERVE), KV_EINCOMPATIBLE);
    ck_rc(kv_put(txn, table, &key, &value, KV_MULTIPLE), KV_EINCOMPATIBLE);
    ck_rc(kv_replace(txn, table, &key, &value, &old), KV_EINCOMPATIBLE);
    ck_rc(kv_swap(txn, table, &key, NULL, &value, &old), KV_EINCOMPATIBLE);
    ck_rc(kv_add(txn, table, &key, 1, &sum), KV_EINCOMPATIBLE);
    ck_assert_uint_eq(table_stat(txn, table).entries, 0);
    txn_commit(txn);
}
END_TEST

START_TEST(many_values_go_in_one_put)
{
    struct kv_table_options fixed = kind(KV_DUPLICATES | KV_FIXED, KV_ORDER_BYTES);
    struct kv_txn *txn = txn_write(env);
    kv_table table = make(txn, "t", &fixed);
    struct kv_val key = text_val("k");
    struct kv_val values = text_val("ccaabbaa");

    ck_rc(kv_put(txn, table, &key, &values, KV_MULTIPLE), KV_EINVAL);
    put(txn, table, "k", "bb");
    ck_ok(kv_put(txn, table, &key, &values, KV_MULTIPLE));
    ck_assert_uint_eq(table_stat(txn, table).entries, 3);
    ck_assert_uint_eq(table_stat(txn, table).keys, 1);
    values.size = 7;
    ck_rc(kv_put(txn, table, &key, &values, KV_MULTIPLE), KV_EINVAL);
    values.size = 0;
    ck_ok(kv_put(txn, table, &key, &values, KV_MULTIPLE));
    ck_rc(kv_put(txn, table, &key, NULL, KV_MULTIPLE), KV_EINVAL);
    ck_assert_uint_eq(table_stat(txn, table).entries, 3);
    txn_commit(txn);
}
END_TEST

START_TEST(flags_for_duplicates_do_what_they_say)
{
    struct kv_table_options dups = kind(KV_DUPLICATES, KV_ORDER_BYTES);
    struct kv_txn *txn = txn_write(env);
    kv_table table = make(txn, "t", &dups);

    put(txn, table, "k", "b");
    put(txn, table, "k", "b");
    ck_rc(try_put(txn, table, "k", "b", KV_NOPAIR), KV_EEXIST);
    ck_rc(try_put(txn, table, "k", "c", KV_NOOVERWRITE), KV_EEXIST);
    ck_ok(try_put(txn, table, "k", "d", KV_APPEND_VALUE));
    ck_rc(try_put(txn, table, "k", "c", KV_APPEND_VALUE), KV_EORDER);
    ck_ok(try_put(txn, table, "k", "c", KV_NOPAIR));
    ck_assert_uint_eq(table_stat(txn, table).entries, 3);
    has(txn, table, "k", "b");
    del(txn, table, "k");
    lacks(txn, table, "k");
    txn_commit(txn);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("orders");

    harness_add_fixture(s, "comparators", a_comparator_has_one_function_a_name, setup, teardown);
    harness_add_fixture(s, "comparators", without_its_comparator_a_table_is_only_read_in_order,
                        setup, teardown);
    harness_add_fixture(s, "comparators", a_comparator_that_comes_late_counts_at_once, setup,
                        teardown);
    harness_add_fixture(s, "comparators", a_nested_txn_knows_the_comparators, setup, teardown);
    harness_add_fixture(s, "comparators", copies_need_no_comparator, setup, teardown);
    harness_add_fixture(s, "comparators", a_check_proves_the_order_that_is_known, setup, teardown);
    harness_add_fixture(s, "comparators", defragmenting_needs_no_comparator, setup, teardown);
    harness_add_fixture(s, "sizes", integer_keys_have_the_size_of_the_first, setup, teardown);
    harness_add_fixture(s, "sizes", the_first_key_of_a_nested_txn_sets_the_size_when_it_commits,
                        setup, teardown);
    harness_add_fixture(s, "sizes", an_emptied_table_may_take_keys_of_another_size, setup,
                        teardown);
    harness_add_fixture(s, "sizes", keys_and_values_of_duplicates_are_bounded, setup, teardown);
    harness_add_fixture(s, "sizes", fixed_values_have_the_size_of_the_options_or_of_the_first,
                        setup, teardown);
    harness_add_fixture(s, "flags", flags_for_duplicates_are_refused_elsewhere, setup, teardown);
    harness_add_fixture(s, "flags", what_is_not_for_duplicates_is_refused_there, setup, teardown);
    harness_add_fixture(s, "flags", many_values_go_in_one_put, setup, teardown);
    harness_add_fixture(s, "flags", flags_for_duplicates_do_what_they_say, setup, teardown);
    return s;
}

HARNESS_MAIN(suite)
