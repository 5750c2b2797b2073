/* SPDX-License-Identifier: MIT */
/* lib/tree's cursors: where each operation leads, and what changes of the tree do to a position. */
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "kv.h"
#include "tree_db.h"

static struct tree_db db;
static struct kvi_cursor *cursor;
static struct kvi_cursor *other;

static void open_cursors(void)
{
    tree_db_open(&db, 4096);
    tree_db_begin(&db, 0);
    ck_ok(kvi_cursor_open(tree_db_tree(&db), &cursor));
    ck_ok(kvi_cursor_open(tree_db_tree(&db), &other));
}

static void close_cursors(void)
{
    kvi_cursor_close(cursor);
    kvi_cursor_close(other);
    tree_db_close(&db);
}

/* ---- Verbs ---- */

static struct kvi_key key_of(const char *text)
{
    return (struct kvi_key){(const uint8_t *)text, strlen(text)};
}

static void put(const char *key)
{
    struct kvi_tree_put value = {(const uint8_t *)key, strlen(key), NULL};

    ck_ok(kvi_tree_put(tree_db_tree(&db), key_of(key), &value, 0));
}

/* One record for each letter. */
static void put_letters(const char *letters)
{
    for (; *letters; letters++) {
        char key[2] = {*letters, 0};

        put(key);
    }
}

static void del(const char *key)
{
    ck_ok(kvi_tree_delete(tree_db_tree(&db), key_of(key), KVI_CELL_VALUE));
}

static void goes_to_key(struct kvi_cursor *c, int op, const char *wanted, const char *expected)
{
    struct kvi_key key = key_of(wanted);
    struct kvi_tree_value value;

    ck_ok(kvi_cursor_get(c, op, &key, &value));
    ck_assert_uint_eq(key.size, strlen(expected));
    ck_assert(memcmp(key.data, expected, key.size) == 0);
    ck_assert_uint_eq(value.size_bytes, strlen(expected));
    ck_assert(memcmp(value.data, expected, key.size) == 0);
}

static void goes_to(struct kvi_cursor *c, int op, const char *expected)
{
    goes_to_key(c, op, "", expected);
}

static void fails_with_key(struct kvi_cursor *c, int op, const char *wanted, int expected)
{
    struct kvi_key key = key_of(wanted);
    struct kvi_tree_value value;

    ck_rc(kvi_cursor_get(c, op, &key, &value), expected);
}

static void fails(struct kvi_cursor *c, int op, int expected)
{
    fails_with_key(c, op, "", expected);
}

static void cursor_put(struct kvi_cursor *c, const char *key)
{
    struct kvi_tree_put value = {(const uint8_t *)key, strlen(key), NULL};

    ck_ok(kvi_cursor_put(c, key_of(key), &value, 0));
}

static void cursor_del(struct kvi_cursor *c)
{
    ck_ok(kvi_cursor_delete(c, KVI_CELL_VALUE));
}

/* Enough records around for several leaves: "000" to "999". */
static void put_numbers(void)
{
    for (int i = 0; i < 1000; i++) {
        char key[16];

        (void)snprintf(key, sizeof(key), "%03d", i);
        put(key);
    }
    ck_assert_uint_gt(tree_db_tree(&db)->record.pages_leaf, 3);
}

/* ---- Moves ---- */

START_TEST(nothing_is_found_in_an_empty_tree)
{
    static const int ops[] = {KV_FIRST, KV_LAST,     KV_NEXT,   KV_PREV,
                              KV_EXACT, KV_AT_LEAST, KV_AT_MOST};

    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
        fails(cursor, ops[i], KV_ENOTFOUND);
    }
    fails(cursor, KV_CURRENT, KV_EINVAL);
}
END_TEST

START_TEST(an_unknown_operation_is_refused_and_keeps_the_position)
{
    put_letters("ab");
    goes_to(cursor, KV_FIRST, "a");
    fails(cursor, 99, KV_EINVAL);
    goes_to(cursor, KV_NEXT, "b");
}
END_TEST

START_TEST(next_without_a_position_begins_at_the_first_and_prev_at_the_last)
{
    put_letters("abc");
    goes_to(cursor, KV_NEXT, "a");
    goes_to(other, KV_PREV, "c");
}
END_TEST

START_TEST(the_position_stays_on_the_last_record_past_the_end)
{
    put_letters("abc");
    goes_to(cursor, KV_LAST, "c");
    fails(cursor, KV_NEXT, KV_ENOTFOUND);
    goes_to(cursor, KV_CURRENT, "c");
    fails(cursor, KV_NEXT, KV_ENOTFOUND);
    goes_to(cursor, KV_PREV, "b");
    goes_to(cursor, KV_PREV, "a");
    fails(cursor, KV_PREV, KV_ENOTFOUND);
    goes_to(cursor, KV_CURRENT, "a");
}
END_TEST

START_TEST(searches_lead_to_the_record_or_to_its_neighbours)
{
    put_letters("bdf");
    goes_to_key(cursor, KV_EXACT, "d", "d");
    goes_to_key(cursor, KV_AT_LEAST, "d", "d");
    goes_to_key(cursor, KV_AT_LEAST, "c", "d");
    goes_to_key(cursor, KV_AT_LEAST, "", "b");
    goes_to_key(cursor, KV_AT_MOST, "d", "d");
    goes_to_key(cursor, KV_AT_MOST, "e", "d");
    goes_to_key(cursor, KV_AT_MOST, "zzz", "f");
}
END_TEST

START_TEST(a_failed_search_leaves_no_position)
{
    static const struct {
        int op;
        const char *key;
    } searches[] = {{KV_EXACT, "c"}, {KV_AT_LEAST, "g"}, {KV_AT_MOST, "a"}};

    put_letters("bdf");
    for (size_t i = 0; i < sizeof(searches) / sizeof(searches[0]); i++) {
        goes_to(cursor, KV_LAST, "f");
        fails_with_key(cursor, searches[i].op, searches[i].key, KV_ENOTFOUND);
        fails(cursor, KV_CURRENT, KV_EINVAL);
        goes_to(cursor, KV_NEXT, "b");
    }
}
END_TEST

START_TEST(searches_cross_leaves)
{
    char key[16], expected[16];

    put_numbers();
    for (int i = 0; i < 999; i++) {
        (void)snprintf(key, sizeof(key), "%03d+", i);
        (void)snprintf(expected, sizeof(expected), "%03d", i + 1);
        goes_to_key(cursor, KV_AT_LEAST, key, expected);
        (void)snprintf(expected, sizeof(expected), "%03d", i);
        goes_to_key(cursor, KV_AT_MOST, key, expected);
    }
    fails_with_key(cursor, KV_AT_LEAST, "999+", KV_ENOTFOUND);
}
END_TEST

START_TEST(a_reading_tree_is_scanned_both_ways)
{
    struct kvi_tree reader;
    struct kvi_cursor *scan;
    struct kvi_key key = {NULL, 0};
    char expected[16];

    put_numbers();
    kvi_cursor_close(cursor);
    kvi_cursor_close(other);
    cursor = other = NULL;
    tree_db_commit(&db);
    tree_db_read(&db, &reader);
    ck_ok(kvi_cursor_open(&reader, &scan));
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(expected, sizeof(expected), "%03d", i);
        goes_to(scan, KV_NEXT, expected);
    }
    fails(scan, KV_NEXT, KV_ENOTFOUND);
    for (int i = 998; i >= 0; i--) {
        (void)snprintf(expected, sizeof(expected), "%03d", i);
        goes_to(scan, KV_PREV, expected);
    }
    fails(scan, KV_PREV, KV_ENOTFOUND);
    kvi_cursor_rebind(scan, &reader);
    ck_rc(kvi_cursor_get(scan, KV_CURRENT, &key, NULL), KV_EINVAL);
    kvi_cursor_close(scan);
}
END_TEST

/* ---- Deletes ---- */

START_TEST(a_deleted_record_leaves_the_cursor_before_the_next)
{
    put_letters("abcd");
    goes_to_key(cursor, KV_EXACT, "b", "b");
    cursor_del(cursor);
    goes_to(cursor, KV_NEXT, "c");
    goes_to(cursor, KV_NEXT, "d");
}
END_TEST

START_TEST(current_after_a_delete_is_the_next_record_and_then_it_is_the_position)
{
    put_letters("abcd");
    goes_to_key(cursor, KV_EXACT, "b", "b");
    cursor_del(cursor);
    goes_to(cursor, KV_CURRENT, "c");
    goes_to(cursor, KV_NEXT, "d");
}
END_TEST

START_TEST(prev_after_a_delete_is_the_record_before)
{
    put_letters("abcd");
    goes_to_key(cursor, KV_EXACT, "b", "b");
    cursor_del(cursor);
    goes_to(cursor, KV_PREV, "a");
}
END_TEST

START_TEST(a_failed_prev_after_a_delete_skips_nothing)
{
    put_letters("abc");
    goes_to(cursor, KV_FIRST, "a");
    cursor_del(cursor);
    fails(cursor, KV_PREV, KV_ENOTFOUND);
    goes_to(cursor, KV_NEXT, "b");
}
END_TEST

START_TEST(deleting_the_last_record_leaves_the_cursor_at_the_end)
{
    put_letters("abc");
    goes_to(cursor, KV_LAST, "c");
    cursor_del(cursor);
    fails(cursor, KV_CURRENT, KV_ENOTFOUND);
    fails(cursor, KV_NEXT, KV_ENOTFOUND);
    ck_rc(kvi_cursor_delete(cursor, KVI_CELL_VALUE), KV_ENOTFOUND);
    goes_to(cursor, KV_PREV, "b");
}
END_TEST

START_TEST(deletes_in_a_row_empty_the_tree)
{
    put_numbers();
    goes_to(cursor, KV_FIRST, "000");
    for (int i = 0; i < 1000; i++) {
        cursor_del(cursor);
    }
    ck_assert_uint_eq(tree_db_tree(&db)->record.entries, 0);
    ck_rc(kvi_cursor_delete(cursor, KVI_CELL_VALUE), KV_ENOTFOUND);
}
END_TEST

START_TEST(all_cursors_at_a_deleted_record_stand_before_the_next)
{
    put_letters("abc");
    goes_to_key(cursor, KV_EXACT, "b", "b");
    goes_to_key(other, KV_EXACT, "b", "b");
    cursor_del(cursor);
    goes_to(other, KV_NEXT, "c");
    goes_to(cursor, KV_CURRENT, "c");
    del("c");
    fails(other, KV_NEXT, KV_ENOTFOUND);
    fails(cursor, KV_CURRENT, KV_ENOTFOUND);
    goes_to(other, KV_PREV, "a");
}
END_TEST

START_TEST(a_cursor_before_a_record_moves_on_when_that_goes_too)
{
    put_letters("abcd");
    goes_to_key(cursor, KV_EXACT, "b", "b");
    del("b");
    del("c");
    goes_to(cursor, KV_CURRENT, "d");
    del("d");
    fails(cursor, KV_NEXT, KV_ENOTFOUND);
}
END_TEST

START_TEST(a_record_that_comes_back_stands_before_the_cursor)
{
    put_letters("abc");
    goes_to_key(cursor, KV_EXACT, "b", "b");
    cursor_del(cursor);
    put("b");
    goes_to(cursor, KV_PREV, "b");
    goes_to(cursor, KV_NEXT, "c");
}
END_TEST

START_TEST(deleting_without_a_position_is_refused)
{
    put_letters("a");
    ck_rc(kvi_cursor_delete(cursor, KVI_CELL_VALUE), KV_EINVAL);
    goes_to(cursor, KV_FIRST, "a");
    ck_rc(kvi_cursor_delete(cursor, KVI_CELL_TABLE), KV_EINCOMPATIBLE);
    goes_to(cursor, KV_CURRENT, "a");
}
END_TEST

/* ---- Puts ---- */

START_TEST(a_put_leaves_the_cursor_at_its_record)
{
    put_letters("ac");
    cursor_put(cursor, "b");
    goes_to(cursor, KV_CURRENT, "b");
    goes_to(cursor, KV_NEXT, "c");
}
END_TEST

START_TEST(a_put_that_splits_leaves_the_cursor_at_its_record)
{
    char key[16];

    for (int i = 0; i < 1000; i++) {
        (void)snprintf(key, sizeof(key), "%03d", i * 7 % 1000);
        cursor_put(cursor, key);
        goes_to(cursor, KV_CURRENT, key);
    }
    tree_db_check(tree_db_tree(&db));
}
END_TEST

START_TEST(a_refused_put_keeps_the_position_and_one_that_finds_the_key_goes_there)
{
    struct kvi_tree_put value = {(const uint8_t *)"x", 1, NULL};

    put_letters("abc");
    goes_to(cursor, KV_FIRST, "a");
    ck_rc(kvi_cursor_put(cursor, key_of("b"), &value, KV_APPEND), KV_EORDER);
    goes_to(cursor, KV_CURRENT, "a");
    ck_rc(kvi_cursor_put(cursor, key_of("b"), &value, KV_NOOVERWRITE), KV_EEXIST);
    goes_to(cursor, KV_CURRENT, "b");
}
END_TEST

START_TEST(a_put_at_the_cursor_replaces_its_value)
{
    struct kvi_tree_put value = {(const uint8_t *)"x", 1, NULL};
    struct kvi_tree_value found;
    char large[6000];

    memset(large, 'L', sizeof(large));
    ck_rc(kvi_cursor_put(cursor, key_of(""), &value, KV_AT_CURSOR), KV_EINVAL);
    put_letters("ab");
    goes_to(cursor, KV_LAST, "b");
    ck_ok(kvi_cursor_put(cursor, key_of(""), &value, KV_AT_CURSOR));
    ck_ok(kvi_tree_get(tree_db_tree(&db), key_of("b"), &found));
    ck_assert(found.size_bytes == 1 && found.data[0] == 'x');
    value = (struct kvi_tree_put){(const uint8_t *)large, sizeof(large), NULL};
    ck_ok(kvi_cursor_put(cursor, key_of(""), &value, KV_AT_CURSOR));
    ck_ok(kvi_tree_get(tree_db_tree(&db), key_of("b"), &found));
    ck_assert_uint_eq(found.size_bytes, sizeof(large));
    goes_to(cursor, KV_PREV, "a");
}
END_TEST

START_TEST(a_cursor_keeps_its_record_while_others_change_the_tree)
{
    put_numbers();
    goes_to_key(cursor, KV_EXACT, "500", "500");
    goes_to_key(other, KV_EXACT, "777", "777");
    for (int i = 0; i < 1000; i++) {
        char key[16];

        (void)snprintf(key, sizeof(key), "%03d", i);
        if (i != 500 && i != 777) {
            del(key);
        }
    }
    goes_to(cursor, KV_CURRENT, "500");
    goes_to(cursor, KV_NEXT, "777");
    goes_to(other, KV_PREV, "500");
    put("600");
    goes_to(other, KV_NEXT, "600");
}
END_TEST

START_TEST(emptying_takes_the_position_away)
{
    put_letters("abc");
    goes_to(cursor, KV_LAST, "c");
    ck_ok(kvi_tree_empty(tree_db_tree(&db)));
    fails(cursor, KV_CURRENT, KV_EINVAL);
    fails(cursor, KV_NEXT, KV_ENOTFOUND);
}
END_TEST

START_TEST(the_kind_of_the_record_is_told_also_while_parked)
{
    uint8_t table[KVI_TABLE_RECORD_BYTES] = {0};
    struct kvi_tree_put record = {table, sizeof(table), NULL};
    struct kvi_key key = {NULL, 0};

    ck_assert_int_eq(kvi_cursor_kind(cursor), KVI_CELL_VALUE);
    ck_ok(kvi_tree_put(tree_db_tree(&db), key_of("t"), &record, KVI_PUT_TABLE));
    ck_ok(kvi_cursor_get(cursor, KV_FIRST, &key, NULL));
    ck_assert_int_eq(kvi_cursor_kind(cursor), KVI_CELL_TABLE);
    put("v");
    ck_assert_int_eq(kvi_cursor_kind(cursor), KVI_CELL_TABLE);
    ck_ok(kvi_cursor_get(cursor, KV_NEXT, &key, NULL));
    ck_assert_int_eq(kvi_cursor_kind(cursor), KVI_CELL_VALUE);
}
END_TEST

/* ---- Nested txns ---- */

START_TEST(what_a_nested_txn_does_to_the_parents_cursors_goes_with_its_abort)
{
    put_letters("abc");
    goes_to_key(cursor, KV_EXACT, "b", "b");
    goes_to_key(other, KV_EXACT, "b", "b");
    tree_db_nest(&db);
    del("b");
    tree_db_unnest(&db, false);
    goes_to(cursor, KV_CURRENT, "b");
    tree_db_nest(&db);
    del("b");
    tree_db_unnest(&db, true);
    goes_to(cursor, KV_CURRENT, "c");
    goes_to(other, KV_NEXT, "c");
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("cursor");
    const struct {
        const char *name;
        const TTest *test;
    } tests[] = {
        {"moves", nothing_is_found_in_an_empty_tree},
        {"moves", an_unknown_operation_is_refused_and_keeps_the_position},
        {"moves", next_without_a_position_begins_at_the_first_and_prev_at_the_last},
        {"moves", the_position_stays_on_the_last_record_past_the_end},
        {"moves", searches_lead_to_the_record_or_to_its_neighbours},
        {"moves", a_failed_search_leaves_no_position},
        {"moves", searches_cross_leaves},
        {"moves", a_reading_tree_is_scanned_both_ways},
        {"deletes", a_deleted_record_leaves_the_cursor_before_the_next},
        {"deletes", current_after_a_delete_is_the_next_record_and_then_it_is_the_position},
        {"deletes", prev_after_a_delete_is_the_record_before},
        {"deletes", a_failed_prev_after_a_delete_skips_nothing},
        {"deletes", deleting_the_last_record_leaves_the_cursor_at_the_end},
        {"deletes", deletes_in_a_row_empty_the_tree},
        {"deletes", all_cursors_at_a_deleted_record_stand_before_the_next},
        {"deletes", a_cursor_before_a_record_moves_on_when_that_goes_too},
        {"deletes", a_record_that_comes_back_stands_before_the_cursor},
        {"deletes", deleting_without_a_position_is_refused},
        {"puts", a_put_leaves_the_cursor_at_its_record},
        {"puts", a_put_that_splits_leaves_the_cursor_at_its_record},
        {"puts", a_refused_put_keeps_the_position_and_one_that_finds_the_key_goes_there},
        {"puts", a_put_at_the_cursor_replaces_its_value},
        {"puts", a_cursor_keeps_its_record_while_others_change_the_tree},
        {"puts", emptying_takes_the_position_away},
        {"puts", the_kind_of_the_record_is_told_also_while_parked},
        {"nested", what_a_nested_txn_does_to_the_parents_cursors_goes_with_its_abort},
    };

    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        harness_add_fixture(s, tests[i].name, tests[i].test, open_cursors, close_cursors);
    }
    return s;
}

HARNESS_MAIN(suite)
