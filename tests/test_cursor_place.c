/* SPDX-License-Identifier: MIT */
/* Where a cursor stands (kv_cursor_place): at a record, nowhere, and what the deletion of its record
 * leaves it with. */
#include "api_help.h"

static struct kv_env *env;
static struct kv_txn *txn;
static kv_table table;
static struct kv_cursor *cursor;

static void begin(uint32_t flags)
{
    struct kv_table_options options = KV_TABLE_OPTIONS_INIT;

    options.flags = flags;
    env = env_new("place.db");
    txn = txn_write(env);
    ck_ok(kv_table_open(txn, "t", KV_CREATE, &options, &table));
    ck_ok(kv_cursor_open(txn, table, &cursor));
}

static void setup(void)
{
    begin(0);
    put(txn, table, "a", "1");
    put(txn, table, "b", "2");
}

/* "a" has three values, "b" one. */
static void setup_pairs(void)
{
    begin(KV_DUPLICATES);
    put(txn, table, "a", "1");
    put(txn, table, "a", "2");
    put(txn, table, "a", "3");
    put(txn, table, "b", "4");
}

static void teardown(void)
{
    txn_commit(txn);
    env_finish(env);
}

static void expect_place(enum kv_place expected)
{
    enum kv_place place = KV_PLACE_KEY;

    ck_ok(kv_cursor_place(cursor, &place));
    ck_assert_int_eq(place, expected);
}

static void go_to(const char *key_text, const char *value_text)
{
    struct kv_val key = text_val(key_text), value = text_val(value_text);

    ck_ok(kv_cursor_get(cursor, KV_EXACT_PAIR, &key, &value));
}

START_TEST(a_new_cursor_stands_nowhere)
{
    expect_place(KV_PLACE_NONE);
}
END_TEST

START_TEST(a_found_record_is_stood_at)
{
    ck_ok(kv_cursor_get(cursor, KV_FIRST, NULL, NULL));
    expect_place(KV_PLACE_RECORD);
    ck_ok(kv_cursor_get(cursor, KV_LAST, NULL, NULL));
    ck_rc(kv_cursor_get(cursor, KV_NEXT, NULL, NULL), KV_ENOTFOUND);
    expect_place(KV_PLACE_RECORD);
}
END_TEST

START_TEST(a_failed_search_leaves_no_place)
{
    struct kv_val key = text_val("x");

    ck_rc(kv_cursor_get(cursor, KV_EXACT, &key, NULL), KV_ENOTFOUND);
    expect_place(KV_PLACE_NONE);
}
END_TEST

START_TEST(a_deleted_record_leaves_the_place_before_the_next)
{
    ck_ok(kv_cursor_get(cursor, KV_FIRST, NULL, NULL));
    ck_ok(kv_cursor_del(cursor, 0));
    expect_place(KV_PLACE_KEY);
    ck_ok(kv_cursor_get(cursor, KV_CURRENT, NULL, NULL));
    expect_place(KV_PLACE_RECORD);
    ck_ok(kv_cursor_del(cursor, 0));
    expect_place(KV_PLACE_KEY);
}
END_TEST

START_TEST(a_record_deleted_otherwise_does_so_too)
{
    struct kv_val key = text_val("a");

    ck_ok(kv_cursor_get(cursor, KV_FIRST, NULL, NULL));
    ck_ok(kv_del(txn, table, &key, NULL));
    expect_place(KV_PLACE_KEY);
}
END_TEST

START_TEST(of_a_deleted_value_the_next_one_follows)
{
    go_to("a", "2");
    ck_ok(kv_cursor_del(cursor, 0));
    expect_place(KV_PLACE_VALUE);
}
END_TEST

START_TEST(of_a_deleted_last_value_others_are_in_front)
{
    go_to("a", "3");
    ck_ok(kv_cursor_del(cursor, 0));
    expect_place(KV_PLACE_VALUES);
}
END_TEST

START_TEST(a_key_that_is_gone_leaves_the_place_before_the_next)
{
    go_to("a", "2");
    ck_ok(kv_cursor_del(cursor, KV_ALL_VALUES));
    expect_place(KV_PLACE_KEY);
    ck_ok(kv_cursor_del(cursor, 0));
    expect_place(KV_PLACE_KEY);
}
END_TEST

START_TEST(arguments_are_checked)
{
    enum kv_place place = KV_PLACE_KEY;

    ck_rc(kv_cursor_place(NULL, &place), KV_EINVAL);
    ck_assert_int_eq(place, KV_PLACE_NONE);
    ck_rc(kv_cursor_place(cursor, NULL), KV_EINVAL);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("cursor_place");

    harness_add_fixture(s, "records", a_new_cursor_stands_nowhere, setup, teardown);
    harness_add_fixture(s, "records", a_found_record_is_stood_at, setup, teardown);
    harness_add_fixture(s, "records", a_failed_search_leaves_no_place, setup, teardown);
    harness_add_fixture(s, "records", a_deleted_record_leaves_the_place_before_the_next, setup,
                        teardown);
    harness_add_fixture(s, "records", a_record_deleted_otherwise_does_so_too, setup, teardown);
    harness_add_fixture(s, "records", arguments_are_checked, setup, teardown);
    harness_add_fixture(s, "pairs", of_a_deleted_value_the_next_one_follows, setup_pairs, teardown);
    harness_add_fixture(s, "pairs", of_a_deleted_last_value_others_are_in_front, setup_pairs,
                        teardown);
    harness_add_fixture(s, "pairs", a_key_that_is_gone_leaves_the_place_before_the_next,
                        setup_pairs, teardown);
    return s;
}

HARNESS_MAIN(suite)
