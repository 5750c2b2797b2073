/* SPDX-License-Identifier: MIT */
/*
 * Reading many records a call, through kv.h: each operation to read on from, both directions, every
 * size of call against single moves, in tables of every kind, and what is refused.
 */
#include "api_help.h"

#include <stdlib.h>

#define ROOM 600

static struct kv_env *env;
static struct kv_txn *txn;
static kv_table table;
static struct kv_cursor *cursor;
static struct kv_record records[ROOM];

static void make_table(const char *name, uint32_t flags)
{
    struct kv_table_options options = KV_TABLE_OPTIONS_INIT;

    options.flags = flags;
    ck_ok(kv_table_open(txn, name, KV_CREATE, &options, &table));
    ck_ok(kv_cursor_open(txn, table, &cursor));
}

static void setup(void)
{
    env = env_new("read.db");
    txn = txn_write(env);
    make_table("t", 0);
}

static void setup_pairs(void)
{
    env = env_new("read.db");
    txn = txn_write(env);
    make_table("t", KV_DUPLICATES);
}

static void teardown(void)
{
    txn_commit(txn);
    env_finish(env);
}

/* ---- Verbs ---- */

/* One-letter records; of pairs "a1" is the value 1 of a. */
static void letters(const char *list)
{
    char copy[200];

    strcpy(copy, list);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " ")) {
        char key[2] = {word[0], 0};

        put(txn, table, key, word + 1);
    }
}

static void numbers(int count, size_t value_bytes)
{
    char text[16];

    for (int i = 0; i < count; i++) {
        (void)snprintf(text, sizeof(text), "%05d", i);
        put_bytes(txn, table, text, value_bytes, (uint64_t)i);
    }
}

/* A read of at most `count` gives just these records. */
static void reads_from(enum kv_cursor_op op, const char *key, const char *value, size_t count,
                       const char *list)
{
    char copy[200];
    size_t got, expected = 0;
    int rc;

    records[0].key = text_val(key);
    records[0].value = text_val(value);
    rc = kv_cursor_read(cursor, op, records, count, &got);
    strcpy(copy, list);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " ")) {
        ck_assert_uint_lt(expected, got);
        expect_val(&records[expected].key, word, 1);
        expect_text(&records[expected].value, word + 1);
        expected++;
    }
    ck_assert_uint_eq(got, expected);
    ck_rc(rc, expected ? 0 : KV_ENOTFOUND);
}

static void reads(enum kv_cursor_op op, size_t count, const char *list)
{
    reads_from(op, "", "", count, list);
}

static void stands_at(const char *word)
{
    struct kv_val key, value;

    ck_ok(kv_cursor_get(cursor, KV_CURRENT, &key, &value));
    expect_val(&key, word, 1);
    expect_text(&value, word + 1);
}

/* ---- Operations ---- */

START_TEST(next_reads_on_where_the_last_read_ended)
{
    letters("a1 b2 c3 d4 e5");
    reads(KV_NEXT, 2, "a1 b2");
    stands_at("b2");
    reads(KV_NEXT, 2, "c3 d4");
    reads(KV_NEXT, 2, "e5");
    reads(KV_NEXT, 2, "");
    stands_at("e5");
}
END_TEST

START_TEST(prev_reads_backward)
{
    letters("a1 b2 c3 d4 e5");
    reads(KV_PREV, 2, "e5 d4");
    stands_at("d4");
    reads(KV_PREV, 9, "c3 b2 a1");
    reads(KV_PREV, 9, "");
    stands_at("a1");
    reads(KV_NEXT, 1, "b2");
}
END_TEST

START_TEST(searches_begin_a_read)
{
    letters("b2 d4 f6 h8");
    reads(KV_FIRST, 2, "b2 d4");
    reads(KV_LAST, 2, "h8 f6");
    reads_from(KV_EXACT, "d", "", 2, "d4 f6");
    reads_from(KV_AT_LEAST, "e", "", 9, "f6 h8");
    reads_from(KV_AT_MOST, "e", "", 9, "d4 b2");
    reads_from(KV_EXACT, "e", "", 9, "");
    reads(KV_NEXT, 1, "b2"); /* the failed search left no position */
}
END_TEST

START_TEST(current_reads_from_the_position_on)
{
    letters("a1 b2 c3");
    reads_from(KV_EXACT, "b", "", 1, "b2");
    reads(KV_CURRENT, 9, "b2 c3");
}
END_TEST

START_TEST(a_read_after_a_delete_begins_at_what_followed)
{
    letters("a1 b2 c3 d4");
    reads_from(KV_EXACT, "b", "", 1, "b2");
    ck_ok(kv_cursor_del(cursor, 0));
    reads(KV_NEXT, 1, "c3");
    ck_ok(kv_cursor_del(cursor, 0));
    reads(KV_PREV, 9, "a1");
}
END_TEST

START_TEST(bounds_hold_for_reads)
{
    struct kv_val from = text_val("b"), to = text_val("e");
    struct kv_range range = {&from, &to, NULL, 0};

    letters("a1 b2 c3 d4 e5");
    ck_ok(kv_cursor_bound(cursor, &range));
    reads(KV_NEXT, 9, "b2 c3 d4");
    reads(KV_LAST, 9, "d4 c3 b2");
}
END_TEST

START_TEST(with_duplicates_reads_go_over_all_values)
{
    letters("a1 a2 b1 c1 c2 c3");
    reads(KV_NEXT, 4, "a1 a2 b1 c1");
    reads(KV_NEXT, 9, "c2 c3");
    reads(KV_PREV, 9, "c2 c1 b1 a2 a1");
    reads_from(KV_EXACT_PAIR, "a", "2", 2, "a2 b1");
    reads_from(KV_AT_LEAST_VALUE, "c", "2", 9, "c2 c3");
    reads_from(KV_AT_MOST, "c", "", 2, "c3 c2");
    reads(KV_FIRST_VALUE, 9, "c1 c2 c3");
    reads(KV_LAST_VALUE, 9, "c3");
}
END_TEST

START_TEST(key_moves_read_one_value_of_each_key)
{
    letters("a1 a2 b1 c1 c2 c3 d4");
    reads(KV_NEXT_KEY, 3, "a1 b1 c1");
    reads(KV_NEXT_KEY, 3, "d4");
    reads(KV_PREV_KEY, 9, "c3 b1 a2");
}
END_TEST

START_TEST(value_moves_read_the_values_of_one_key)
{
    letters("a1 b1 b2 b3 b4 c1");
    reads_from(KV_EXACT, "b", "", 1, "b1");
    reads(KV_NEXT_VALUE, 2, "b2 b3");
    reads(KV_NEXT_VALUE, 9, "b4");
    reads(KV_NEXT_VALUE, 9, "");
    reads(KV_PREV_VALUE, 9, "b3 b2 b1");
    reads(KV_PREV_VALUE, 9, "");
    stands_at("b1");
}
END_TEST

/* ---- What a read shows ---- */

START_TEST(large_values_are_read_whole)
{
    uint8_t *expected = malloc(100000);
    size_t got;

    ck_assert_ptr_nonnull(expected);
    put(txn, table, "a", "small");
    put_bytes(txn, table, "b", 100000, 7);
    put(txn, table, "c", "");
    ck_ok(kv_cursor_read(cursor, KV_NEXT, records, ROOM, &got));
    ck_assert_uint_eq(got, 3);
    fill_bytes(expected, 100000, 7);
    expect_val(&records[1].value, expected, 100000);
    expect_text(&records[2].value, "");
    ck_assert_ptr_nonnull(records[2].value.data);
    free(expected);
}
END_TEST

START_TEST(a_named_table_reads_as_its_name_and_an_empty_value)
{
    size_t got;

    put(txn, 0, "s", "v");
    kv_cursor_close(cursor);
    ck_ok(kv_cursor_open(txn, 0, &cursor));
    ck_ok(kv_cursor_read(cursor, KV_FIRST, records, ROOM, &got));
    ck_assert_uint_eq(got, 2);
    expect_text(&records[0].key, "s");
    expect_text(&records[0].value, "v");
    expect_text(&records[1].key, "t");
    expect_text(&records[1].value, "");
    ck_assert_int_eq(kv_cursor_is_table(cursor), 1);
}
END_TEST

/* Reads all of the table by calls of `count` and compares with single moves. */
static void same_as_single_moves(size_t count, bool back)
{
    struct kv_cursor *single;
    struct kv_val key, value;
    enum kv_cursor_op op = back ? KV_PREV : KV_NEXT;
    size_t got;
    int rc;

    ck_ok(kv_cursor_open(txn, table, &single));
    kv_cursor_close(cursor);
    ck_ok(kv_cursor_open(txn, table, &cursor));
    while ((rc = kv_cursor_read(cursor, op, records, count, &got)) == 0) {
        if (got == 0 || got > count)
            ck_abort_msg("%zu records of %zu", got, count);
        for (size_t i = 0; i < got; i++) {
            rc = kv_cursor_get(single, op, &key, &value);
            if (rc || key.data != records[i].key.data || key.size != records[i].key.size ||
                value.data != records[i].value.data || value.size != records[i].value.size)
                ck_abort_msg("record %zu of a call differs, %d", i, rc);
        }
    }
    ck_rc(rc, KV_ENOTFOUND);
    ck_rc(kv_cursor_get(single, op, &key, &value), KV_ENOTFOUND);
    kv_cursor_close(single);
}

/* As a writer sees it, and as a reader does. */
static void reads_in_calls_of_all_sizes(void)
{
    static const size_t sizes[] = {1, 2, 3, 37, 64, ROOM};

    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            same_as_single_moves(sizes[i], false);
            same_as_single_moves(sizes[i], true);
        }
        txn_commit(txn);
        txn = round == 0 ? txn_read(env) : txn_write(env);
        ck_ok(kv_cursor_open(txn, table, &cursor));
    }
}

START_TEST(calls_of_all_sizes_read_what_single_moves_do)
{
    numbers(3000, 20);
    reads_in_calls_of_all_sizes();
}
END_TEST

START_TEST(calls_of_all_sizes_read_values_of_several_sizes)
{
    char text[16];

    for (int i = 0; i < 1000; i++) {
        (void)snprintf(text, sizeof(text), "%05d", i);
        put_bytes(txn, table, text, (size_t)i * 7 % 2500, (uint64_t)i);
    }
    reads_in_calls_of_all_sizes();
}
END_TEST

START_TEST(calls_of_all_sizes_read_sets)
{
    char key[16], value[16];

    for (int i = 0; i < 6000; i++) {
        (void)snprintf(key, sizeof(key), "%02d", i * i % 17);
        (void)snprintf(value, sizeof(value), "%d", i);
        put(txn, table, key, value);
    }
    reads_in_calls_of_all_sizes();
}
END_TEST

START_TEST(calls_of_all_sizes_read_fixed_values)
{
    char key[16], value[16];

    kv_cursor_close(cursor);
    make_table("fixed", KV_DUPLICATES | KV_FIXED);
    for (int i = 0; i < 6000; i++) {
        (void)snprintf(key, sizeof(key), "%02d", i * i % 17);
        (void)snprintf(value, sizeof(value), "%07d", i);
        put(txn, table, key, value);
    }
    reads_in_calls_of_all_sizes();
}
END_TEST

/* ---- Wrong use ---- */

START_TEST(a_read_of_nothing_or_to_nowhere_is_refused)
{
    size_t got = 9;

    letters("a1 b2");
    reads(KV_FIRST, 1, "a1");
    ck_rc(kv_cursor_read(cursor, KV_NEXT, records, 0, &got), KV_EINVAL);
    ck_assert_uint_eq(got, 0);
    ck_rc(kv_cursor_read(cursor, KV_NEXT, NULL, 1, &got), KV_EINVAL);
    ck_rc(kv_cursor_read(cursor, KV_NEXT, records, 1, NULL), KV_EINVAL);
    ck_rc(kv_cursor_read(NULL, KV_NEXT, records, 1, &got), KV_EINVAL);
    stands_at("a1");
}
END_TEST

START_TEST(operations_that_do_not_read_on_are_refused)
{
    size_t got;

    letters("a1 b2");
    reads(KV_FIRST, 1, "a1");
    ck_rc(kv_cursor_read(cursor, (enum kv_cursor_op)99, records, 1, &got), KV_EINVAL);
    ck_rc(kv_cursor_read(cursor, (enum kv_cursor_op)0, records, 1, &got), KV_EINVAL);
    stands_at("a1");
}
END_TEST

START_TEST(value_operations_need_duplicates)
{
    size_t got;

    letters("a1 b2");
    reads(KV_FIRST, 1, "a1");
    ck_rc(kv_cursor_read(cursor, KV_NEXT_VALUE, records, 1, &got), KV_EINCOMPATIBLE);
    ck_rc(kv_cursor_read(cursor, KV_EXACT_PAIR, records, 1, &got), KV_EINCOMPATIBLE);
    ck_rc(kv_cursor_read(cursor, KV_FIRST_VALUE, records, 1, &got), KV_EINCOMPATIBLE);
    ck_rc(kv_cursor_read(cursor, KV_VALUES, records, 1, &got), KV_EINCOMPATIBLE);
    ck_rc(kv_cursor_read(cursor, KV_NEXT_PIECE, records, 1, &got), KV_EINCOMPATIBLE);
    stands_at("a1");
}
END_TEST

START_TEST(a_read_from_no_position_is_refused_where_a_move_is)
{
    size_t got;

    letters("a1 a2");
    ck_rc(kv_cursor_read(cursor, KV_CURRENT, records, 1, &got), KV_EINVAL);
    ck_rc(kv_cursor_read(cursor, KV_NEXT_VALUE, records, 1, &got), KV_EINVAL);
    reads(KV_NEXT_KEY, 1, "a1");
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("cursor_read");

    harness_add_fixture(s, "records", next_reads_on_where_the_last_read_ended, setup, teardown);
    harness_add_fixture(s, "records", prev_reads_backward, setup, teardown);
    harness_add_fixture(s, "records", searches_begin_a_read, setup, teardown);
    harness_add_fixture(s, "records", current_reads_from_the_position_on, setup, teardown);
    harness_add_fixture(s, "records", a_read_after_a_delete_begins_at_what_followed, setup,
                        teardown);
    harness_add_fixture(s, "records", bounds_hold_for_reads, setup, teardown);
    harness_add_fixture(s, "records", large_values_are_read_whole, setup, teardown);
    harness_add_fixture(s, "records", a_named_table_reads_as_its_name_and_an_empty_value, setup,
                        teardown);
    harness_add_fixture(s, "records", calls_of_all_sizes_read_what_single_moves_do, setup,
                        teardown);
    harness_add_fixture(s, "records", calls_of_all_sizes_read_values_of_several_sizes, setup,
                        teardown);
    harness_add_fixture(s, "records", a_read_of_nothing_or_to_nowhere_is_refused, setup, teardown);
    harness_add_fixture(s, "records", operations_that_do_not_read_on_are_refused, setup, teardown);
    harness_add_fixture(s, "records", value_operations_need_duplicates, setup, teardown);
    harness_add_fixture(s, "pairs", with_duplicates_reads_go_over_all_values, setup_pairs,
                        teardown);
    harness_add_fixture(s, "pairs", key_moves_read_one_value_of_each_key, setup_pairs, teardown);
    harness_add_fixture(s, "pairs", value_moves_read_the_values_of_one_key, setup_pairs, teardown);
    harness_add_fixture(s, "pairs", calls_of_all_sizes_read_sets, setup_pairs, teardown);
    harness_add_fixture(s, "pairs", calls_of_all_sizes_read_fixed_values, setup_pairs, teardown);
    harness_add_fixture(s, "pairs", a_read_from_no_position_is_refused_where_a_move_is, setup_pairs,
                        teardown);
    return s;
}

HARNESS_MAIN(suite)
