/* SPDX-License-Identifier: MIT */
/*
 * Cursors with bounds, through kv.h: every move keeps to them, in tables of all orders; wrong
 * ranges are refused and change nothing. Records have their key as value.
 */
#include "api_help.h"

#include <stdlib.h>

static struct kv_env *env;
static struct kv_txn *txn;
static kv_table table;
static struct kv_cursor *cursor;

static void make_table(const char *name, uint32_t flags, enum kv_order order)
{
    struct kv_table_options options = KV_TABLE_OPTIONS_INIT;

    options.flags = flags;
    options.order = order;
    ck_ok(kv_table_open(txn, name, KV_CREATE, &options, &table));
    ck_ok(kv_cursor_open(txn, table, &cursor));
}

static void setup(void)
{
    env = env_new("bounds.db");
    txn = txn_write(env);
    make_table("t", 0, KV_ORDER_BYTES);
}

static void teardown(void)
{
    txn_commit(txn);
    env_finish(env);
}

/* ---- Verbs ---- */

/* A record for each word. */
static void words(const char *list)
{
    char copy[200];

    ck_assert_uint_lt(strlen(list), sizeof(copy));
    strcpy(copy, list);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
        put(txn, table, word, word);
}

/* "000" to "999": several leaves. */
static void numbers(void)
{
    char text[16];

    for (int i = 0; i < 1000; i++) {
        (void)snprintf(text, sizeof(text), "%03d", i);
        put(txn, table, text, text);
    }
}

static int bound(const char *from, const char *to, uint32_t flags)
{
    struct kv_val from_key = text_val(from ? from : ""), to_key = text_val(to ? to : "");
    struct kv_range range = {from ? &from_key : NULL, to ? &to_key : NULL, NULL, flags};

    return kv_cursor_bound(cursor, &range);
}

static int bound_prefix(const char *prefix)
{
    struct kv_val key = text_val(prefix);
    struct kv_range range = {NULL, NULL, &key, 0};

    return kv_cursor_bound(cursor, &range);
}

static int move(enum kv_cursor_op op, const char *wanted, struct kv_val *key)
{
    struct kv_val value;

    *key = text_val(wanted);
    return kv_cursor_get(cursor, op, key, &value);
}

static void finds(enum kv_cursor_op op, const char *wanted, const char *expected)
{
    struct kv_val key;

    ck_ok(move(op, wanted, &key));
    expect_text(&key, expected);
}

static void goes(enum kv_cursor_op op, const char *expected)
{
    finds(op, "", expected);
}

static void misses(enum kv_cursor_op op, const char *wanted)
{
    struct kv_val key;

    ck_rc(move(op, wanted, &key), KV_ENOTFOUND);
}

static void ends(enum kv_cursor_op op)
{
    misses(op, "");
}

static void has_no_position(void)
{
    struct kv_val key;

    ck_rc(move(KV_CURRENT, "", &key), KV_EINVAL);
}

/* Forward and backward, the cursor shows just these words. */
static void shows(const char *list)
{
    char copy[200];
    char *found[40];
    int count = 0;

    strcpy(copy, list);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
        found[count++] = word;
    for (int i = 0; i < count; i++)
        goes(i == 0 ? KV_FIRST : KV_NEXT, found[i]);
    if (count)
        ends(KV_NEXT);
    for (int i = count - 1; i >= 0; i--)
        goes(i == count - 1 ? KV_LAST : KV_PREV, found[i]);
    ends(KV_PREV);
    if (!count) {
        ends(KV_FIRST);
        ends(KV_LAST);
        ends(KV_NEXT);
    }
}

/* ---- Ranges ---- */

START_TEST(from_is_inside_and_to_is_not)
{
    words("a b c d e");
    ck_ok(bound("b", "d", 0));
    shows("b c");
    ck_ok(bound("b", "d", KV_FROM_EXCLUSIVE));
    shows("c");
    ck_ok(bound("b", "d", KV_TO_INCLUSIVE));
    shows("b c d");
    ck_ok(bound("b", "d", KV_FROM_EXCLUSIVE | KV_TO_INCLUSIVE));
    shows("c d");
}
END_TEST

START_TEST(bounds_need_not_be_keys)
{
    words("a b c d e");
    ck_ok(bound("aa", "cc", 0));
    shows("b c");
    ck_ok(bound("0", "z", 0));
    shows("a b c d e");
}
END_TEST

START_TEST(either_bound_may_be_missing)
{
    words("a b c");
    ck_ok(bound("b", NULL, 0));
    shows("b c");
    ck_ok(bound(NULL, "b", 0));
    shows("a");
    ck_ok(bound(NULL, NULL, 0));
    shows("a b c");
}
END_TEST

START_TEST(no_range_takes_the_bounds_away)
{
    words("a b c");
    ck_ok(bound("b", "c", 0));
    goes(KV_FIRST, "b");
    ck_ok(kv_cursor_bound(cursor, NULL));
    has_no_position();
    shows("a b c");
}
END_TEST

START_TEST(an_empty_range_has_no_records)
{
    words("a b c");
    ck_ok(bound("b", "b", 0));
    shows("");
    ck_ok(bound("c", "a", 0));
    shows("");
    ck_ok(bound("x", "y", 0));
    shows("");
    ck_ok(bound("", "a", 0));
    shows("");
}
END_TEST

START_TEST(a_prefix_bounds_all_keys_that_begin_with_it)
{
    words("a ab aba abb ac b");
    ck_ok(bound_prefix("ab"));
    shows("ab aba abb");
    ck_ok(bound_prefix("abba"));
    shows("");
    ck_ok(bound_prefix(""));
    shows("a ab aba abb ac b");
}
END_TEST

START_TEST(a_prefix_of_the_highest_bytes_has_no_end)
{
    words("a \xff \xff\xff \xff\xff\x01");
    ck_ok(bound_prefix("\xff\xff"));
    shows("\xff\xff \xff\xff\x01");
}
END_TEST

START_TEST(bounds_are_copied)
{
    char from[] = "b";
    struct kv_val key = text_val(from);
    struct kv_range range = {&key, NULL, NULL, 0};

    words("a b c");
    ck_ok(kv_cursor_bound(cursor, &range));
    from[0] = 'c';
    shows("b c");
}
END_TEST

START_TEST(setting_bounds_takes_the_position_away)
{
    words("a b c");
    goes(KV_FIRST, "a");
    ck_ok(bound("b", NULL, 0));
    has_no_position();
    goes(KV_PREV, "c");
}
END_TEST

START_TEST(bounds_hold_over_many_leaves)
{
    char text[16];

    numbers();
    ck_ok(bound("123", "877", 0));
    for (int i = 123; i < 877; i++) {
        (void)snprintf(text, sizeof(text), "%03d", i);
        goes(KV_NEXT, text);
    }
    ends(KV_NEXT);
    for (int i = 875; i >= 123; i--) {
        (void)snprintf(text, sizeof(text), "%03d", i);
        goes(KV_PREV, text);
    }
    ends(KV_PREV);
}
END_TEST

START_TEST(every_bound_of_a_large_table_holds)
{
    char from[16], to[16], text[16];

    numbers();
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(from, sizeof(from), "%03d", i);
        (void)snprintf(to, sizeof(to), "%03d", i + 1);
        (void)snprintf(text, sizeof(text), "%03d", i);
        ck_ok(bound(from, i == 999 ? NULL : to, 0));
        goes(KV_NEXT, text);
        ends(KV_NEXT);
        ends(KV_PREV);
        goes(KV_CURRENT, text);
    }
}
END_TEST

/* ---- Searches ---- */

START_TEST(searches_keep_to_the_bounds)
{
    words("a b c d e");
    ck_ok(bound("b", "e", 0));
    finds(KV_EXACT, "b", "b");
    finds(KV_AT_LEAST, "a", "b"); /* before the start: begins there */
    finds(KV_AT_LEAST, "bb", "c");
    finds(KV_AT_MOST, "z", "d"); /* behind the end: ends there */
    finds(KV_AT_MOST, "cc", "c");
    misses(KV_EXACT, "a");
    has_no_position();
    misses(KV_EXACT, "e");
    misses(KV_AT_LEAST, "dd");
    has_no_position();
    misses(KV_AT_MOST, "a");
    has_no_position();
}
END_TEST

/* ---- Orders ---- */

START_TEST(a_reverse_order_has_prefixes_at_the_keys_ends)
{
    kv_cursor_close(cursor);
    make_table("reverse", 0, KV_ORDER_REVERSE);
    words("a.org b.org a.net c.org x");
    ck_ok(bound_prefix(".org"));
    shows("a.org b.org c.org");
    ck_ok(bound("b.org", "a.net", KV_TO_INCLUSIVE));
    shows("b.org c.org a.net");
}
END_TEST

START_TEST(integers_are_bounded_as_numbers)
{
    uint32_t from = 300, to = 1000, n;
    struct kv_val from_key = bytes_val(&from, 4), to_key = bytes_val(&to, 4), key;
    struct kv_range range = {&from_key, &to_key, NULL, 0};

    kv_cursor_close(cursor);
    make_table("uint", 0, KV_ORDER_UINT);
    for (n = 0; n < 3000; n += 10) {
        struct kv_val value = text_val("v");

        key = bytes_val(&n, 4);
        ck_ok(kv_put(txn, table, &key, &value, 0));
    }
    ck_ok(kv_cursor_bound(cursor, &range));
    for (n = 300; n < 1000; n += 10) {
        ck_ok(kv_cursor_get(cursor, KV_NEXT, &key, NULL));
        expect_val(&key, &n, 4);
    }
    ck_rc(kv_cursor_get(cursor, KV_NEXT, &key, NULL), KV_ENOTFOUND);
}
END_TEST

START_TEST(with_duplicates_bounds_take_keys_with_all_their_values)
{
    struct kv_val key, value;
    int count = 0;

    kv_cursor_close(cursor);
    make_table("pairs", KV_DUPLICATES, KV_ORDER_BYTES);
    for (int i = 0; i < 3000; i++) {
        char text[16];

        (void)snprintf(text, sizeof(text), "%04d", i);
        put(txn, table, i % 3 == 0 ? "a" : i % 3 == 1 ? "b" : "c", text);
    }
    ck_ok(bound("b", "b", KV_TO_INCLUSIVE));
    while (kv_cursor_get(cursor, KV_NEXT, &key, &value) == 0) {
        expect_text(&key, "b");
        count++;
    }
    ck_assert_int_eq(count, 1000);
    ck_rc(kv_cursor_get(cursor, KV_NEXT_KEY, &key, &value), KV_ENOTFOUND);
    ck_rc(kv_cursor_get(cursor, KV_PREV_KEY, &key, &value), KV_ENOTFOUND);
    ck_ok(kv_cursor_get(cursor, KV_FIRST_VALUE, &key, &value));
    expect_text(&value, "0001");
    ck_ok(kv_cursor_nth(cursor, 999, 0, &key, &value));
    expect_text(&value, "2998");
    ck_rc(kv_cursor_nth(cursor, 1000, 0, &key, &value), KV_ENOTFOUND);
    ck_rc(kv_cursor_nth(cursor, 1, KV_KEYS, &key, &value), KV_ENOTFOUND);
}
END_TEST

START_TEST(numbers_of_records_are_counted_from_the_start_of_the_bounds)
{
    struct kv_val key, value;

    kv_cursor_close(cursor);
    make_table("counted", KV_COUNTED, KV_ORDER_BYTES);
    numbers();
    ck_ok(bound("300", "600", 0));
    ck_ok(kv_cursor_nth(cursor, 0, 0, &key, &value));
    expect_text(&key, "300");
    ck_ok(kv_cursor_nth(cursor, 299, 0, &key, &value));
    expect_text(&key, "599");
    ends(KV_NEXT);
    ck_rc(kv_cursor_nth(cursor, 300, 0, &key, &value), KV_ENOTFOUND);
    has_no_position();
}
END_TEST

/* ---- Changes ---- */

START_TEST(puts_do_not_keep_to_the_bounds)
{
    struct kv_val key = text_val("z"), value = text_val("z");

    words("a b c d e");
    ck_ok(bound("b", "d", 0));
    ck_ok(kv_cursor_put(cursor, &key, &value, 0));
    goes(KV_CURRENT, "z");
    ends(KV_NEXT);
    goes(KV_CURRENT, "z");
    goes(KV_PREV, "c");
    key = value = text_val("0");
    ck_ok(kv_cursor_put(cursor, &key, &value, 0));
    ends(KV_PREV);
    goes(KV_CURRENT, "0");
    goes(KV_NEXT, "b");
}
END_TEST

START_TEST(a_delete_in_bounds_never_leads_out_of_them)
{
    struct kv_val value = text_val("x");

    words("a b c d");
    ck_ok(bound("b", "d", 0));
    goes(KV_LAST, "c");
    ck_ok(kv_cursor_del(cursor, 0));
    ends(KV_CURRENT);
    ends(KV_NEXT);
    ck_rc(kv_cursor_del(cursor, 0), KV_ENOTFOUND); /* "d" is no business of this cursor's */
    ck_rc(kv_cursor_put(cursor, NULL, &value, KV_AT_CURSOR), KV_ENOTFOUND);
    goes(KV_PREV, "b");
    ck_ok(kv_cursor_del(cursor, 0));
    ends(KV_PREV);
    ends(KV_NEXT);
    has(txn, table, "a", "a");
    has(txn, table, "d", "d");
}
END_TEST

START_TEST(a_scan_in_bounds_may_delete_what_it_sees)
{
    struct kv_val key;
    int count = 0;

    numbers();
    ck_ok(bound("250", "750", 0));
    while (move(KV_NEXT, "", &key) == 0) {
        ck_ok(kv_cursor_del(cursor, 0));
        count++;
    }
    ck_assert_int_eq(count, 500);
    ck_assert_uint_eq(table_stat(txn, table).entries, 500);
    lacks(txn, table, "250");
    has(txn, table, "249", "249");
    has(txn, table, "750", "750");
}
END_TEST

START_TEST(bounds_stay_when_the_txn_is_renewed)
{
    struct kv_txn *reader;
    struct kv_val key;

    words("a b c");
    txn_commit(txn);
    reader = txn_read(env);
    ck_ok(kv_cursor_open(reader, table, &cursor));
    ck_ok(bound("b", NULL, 0));
    goes(KV_FIRST, "b");
    kv_txn_reset(reader);
    ck_ok(kv_txn_renew(reader));
    ck_rc(move(KV_CURRENT, "", &key), KV_EINVAL);
    shows("b c");
    kv_txn_abort(reader);
    txn = txn_write(env);
}
END_TEST

START_TEST(a_table_that_changes_its_order_changes_its_bounds)
{
    struct kv_table_options options = KV_TABLE_OPTIONS_INIT;

    ck_ok(bound_prefix("x"));
    options.order = KV_ORDER_REVERSE;
    ck_ok(kv_table_open(txn, "t", KV_CREATE, &options, &table));
    words("ax bx xa");
    shows("ax bx");
}
END_TEST

/* ---- Wrong ranges ---- */

START_TEST(wrong_ranges_are_refused_and_change_nothing)
{
    struct kv_val b = text_val("b"), null = {3, NULL};
    const struct kv_range wrong[] = {
        {&b, NULL, &b, 0},      {NULL, &b, &b, 0},      {NULL, NULL, &b, KV_TO_INCLUSIVE},
        {&b, NULL, NULL, 4},    {&null, NULL, NULL, 0}, {NULL, &null, NULL, 0},
        {NULL, NULL, &null, 0},
    };

    words("a b c d");
    ck_ok(bound("b", "d", 0));
    goes(KV_FIRST, "b");
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        ck_rc(kv_cursor_bound(cursor, &wrong[i]), KV_EINVAL);
    goes(KV_CURRENT, "b");
    shows("b c");
}
END_TEST

START_TEST(a_prefix_needs_an_order_by_bytes)
{
    uint32_t number = 7;
    struct kv_val prefix = bytes_val(&number, 4), odd = bytes_val(&number, 3);
    struct kv_range range = {NULL, NULL, &prefix, 0};

    kv_cursor_close(cursor);
    make_table("uint", 0, KV_ORDER_UINT);
    ck_rc(kv_cursor_bound(cursor, &range), KV_EINCOMPATIBLE);
    range = (struct kv_range){&odd, NULL, NULL, 0};
    ck_rc(kv_cursor_bound(cursor, &range), KV_EKEYSIZE);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("cursor_bounds");
    const struct {
        const char *name;
        const TTest *test;
    } tests[] = {
        {"ranges", from_is_inside_and_to_is_not},
        {"ranges", bounds_need_not_be_keys},
        {"ranges", either_bound_may_be_missing},
        {"ranges", no_range_takes_the_bounds_away},
        {"ranges", an_empty_range_has_no_records},
        {"ranges", a_prefix_bounds_all_keys_that_begin_with_it},
        {"ranges", a_prefix_of_the_highest_bytes_has_no_end},
        {"ranges", bounds_are_copied},
        {"ranges", setting_bounds_takes_the_position_away},
        {"ranges", bounds_hold_over_many_leaves},
        {"ranges", every_bound_of_a_large_table_holds},
        {"searches", searches_keep_to_the_bounds},
        {"orders", a_reverse_order_has_prefixes_at_the_keys_ends},
        {"orders", integers_are_bounded_as_numbers},
        {"orders", with_duplicates_bounds_take_keys_with_all_their_values},
        {"orders", numbers_of_records_are_counted_from_the_start_of_the_bounds},
        {"changes", puts_do_not_keep_to_the_bounds},
        {"changes", a_delete_in_bounds_never_leads_out_of_them},
        {"changes", a_scan_in_bounds_may_delete_what_it_sees},
        {"changes", bounds_stay_when_the_txn_is_renewed},
        {"changes", a_table_that_changes_its_order_changes_its_bounds},
        {"wrong", wrong_ranges_are_refused_and_change_nothing},
        {"wrong", a_prefix_needs_an_order_by_bytes},
    };

    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
        harness_add_fixture(s, tests[i].name, tests[i].test, setup, teardown);
    return s;
}

HARNESS_MAIN(suite)
