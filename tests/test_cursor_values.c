/* SPDX-License-Identifier: MIT */
/*
 * Cursors over pairs, through kv.h: moves by values and by keys, pieces of fixed-size values,
 * counts, what deletes and puts leave, and what tables of other kinds refuse. Pairs are written
 * "key:value".
 */
#include "api_help.h"

#include <stdlib.h>

#define MANY 3000 /* values of one key: over many leaves */

static struct kv_env *env;
static struct kv_txn *txn;
static kv_table table;
static struct kv_cursor *cursor;

static void open_table(uint32_t flags)
{
    struct kv_table_options options = KV_TABLE_OPTIONS_INIT;

    options.flags = flags;
    env = env_new("values.db");
    txn = txn_write(env);
    ck_ok(kv_table_open(txn, "t", KV_CREATE, &options, &table));
    ck_ok(kv_cursor_open(txn, table, &cursor));
}

static void open_pairs(void)
{
    open_table(KV_DUPLICATES);
}

static void open_fixed(void)
{
    open_table(KV_DUPLICATES | KV_FIXED);
}

static void open_plain(void)
{
    open_table(0);
}

static void teardown(void)
{
    txn_commit(txn);
    env_finish(env);
}

/* ---- Verbs ---- */

/* "key:value" in two. */
static void split(const char *pair, struct kv_val *key, struct kv_val *value)
{
    const char *colon = strchr(pair, ':');

    ck_assert_ptr_nonnull(colon);
    *key = bytes_val(pair, (size_t)(colon - pair));
    *value = text_val(colon + 1);
}

static void put_pair(const char *pair)
{
    struct kv_val key, value;

    split(pair, &key, &value);
    ck_ok(kv_put(txn, table, &key, &value, 0));
}

static void del_pair(const char *pair)
{
    struct kv_val key, value;

    split(pair, &key, &value);
    ck_ok(kv_del(txn, table, &key, &value));
}

/* Pairs with spaces between. */
static void pairs(const char *list)
{
    char copy[200];

    ck_assert_uint_lt(strlen(list), sizeof(copy));
    strcpy(copy, list);
    for (char *pair = strtok(copy, " "); pair; pair = strtok(NULL, " "))
        put_pair(pair);
}

/* "b:0000" ... of four digits, between a:1 and c:1. */
static void many_values(void)
{
    char pair[16];

    pairs("a:0001 c:0001");
    for (int i = 0; i < MANY; i++) {
        (void)snprintf(pair, sizeof(pair), "b:%04d", i);
        put_pair(pair);
    }
}

static void is_pair(const struct kv_val *key, const struct kv_val *value, const char *pair)
{
    struct kv_val expected_key, expected_value;

    split(pair, &expected_key, &expected_value);
    expect_val(key, expected_key.data, expected_key.size);
    expect_val(value, expected_value.data, expected_value.size);
}

/* A search for a pair leads to a pair. */
static void finds(enum kv_cursor_op op, const char *wanted, const char *expected)
{
    struct kv_val key, value;

    split(wanted, &key, &value);
    ck_ok(kv_cursor_get(cursor, op, &key, &value));
    is_pair(&key, &value, expected);
}

static void misses(enum kv_cursor_op op, const char *wanted)
{
    struct kv_val key, value;

    split(wanted, &key, &value);
    ck_rc(kv_cursor_get(cursor, op, &key, &value), KV_ENOTFOUND);
}

static void moves(struct kv_cursor *c, enum kv_cursor_op op, const char *expected)
{
    struct kv_val key, value;

    ck_ok(kv_cursor_get(c, op, &key, &value));
    is_pair(&key, &value, expected);
}

static void goes(enum kv_cursor_op op, const char *expected)
{
    moves(cursor, op, expected);
}

static void fails(enum kv_cursor_op op, int expected)
{
    struct kv_val key = {0, NULL}, value = {0, NULL};

    ck_rc(kv_cursor_get(cursor, op, &key, &value), expected);
}

static void ends(enum kv_cursor_op op)
{
    fails(op, KV_ENOTFOUND);
}

static void counts(uint64_t expected)
{
    uint64_t count;

    ck_ok(kv_cursor_count(cursor, &count));
    ck_assert_uint_eq(count, expected);
}

static void deletes(void)
{
    ck_ok(kv_cursor_del(cursor, 0));
}

/* ---- Moves ---- */

START_TEST(next_and_prev_go_over_all_pairs)
{
    pairs("a:1 a:2 b:1 c:1 c:3");
    goes(KV_NEXT, "a:1");
    goes(KV_NEXT, "a:2");
    goes(KV_NEXT, "b:1");
    goes(KV_NEXT, "c:1");
    goes(KV_NEXT, "c:3");
    ends(KV_NEXT);
    goes(KV_PREV, "c:1");
    goes(KV_PREV, "b:1");
    goes(KV_PREV, "a:2");
    goes(KV_PREV, "a:1");
    ends(KV_PREV);
    goes(KV_CURRENT, "a:1");
}
END_TEST

START_TEST(next_value_ends_with_the_key_and_keeps_the_position)
{
    pairs("a:1 a:2 b:1");
    goes(KV_FIRST, "a:1");
    goes(KV_NEXT_VALUE, "a:2");
    ends(KV_NEXT_VALUE);
    ends(KV_NEXT_VALUE);
    goes(KV_CURRENT, "a:2");
    goes(KV_NEXT, "b:1");
}
END_TEST

START_TEST(prev_value_ends_with_the_key_and_keeps_the_position)
{
    pairs("a:1 b:1 b:2");
    goes(KV_LAST, "b:2");
    goes(KV_PREV_VALUE, "b:1");
    ends(KV_PREV_VALUE);
    goes(KV_CURRENT, "b:1");
    goes(KV_PREV, "a:1");
}
END_TEST

START_TEST(first_and_last_value_stay_with_the_key)
{
    pairs("a:1 b:1 b:2 b:3 c:1");
    finds(KV_EXACT_PAIR, "b:2", "b:2");
    goes(KV_LAST_VALUE, "b:3");
    goes(KV_FIRST_VALUE, "b:1");
    goes(KV_FIRST_VALUE, "b:1");
}
END_TEST

START_TEST(next_key_goes_to_the_first_value_and_prev_key_to_the_last)
{
    pairs("a:1 a:2 b:1 b:2 b:3 c:1 c:2");
    goes(KV_FIRST, "a:1");
    goes(KV_NEXT_KEY, "b:1");
    goes(KV_NEXT_KEY, "c:1");
    ends(KV_NEXT_KEY);
    goes(KV_CURRENT, "c:1");
    goes(KV_PREV_KEY, "b:3");
    goes(KV_PREV_KEY, "a:2");
    ends(KV_PREV_KEY);
    goes(KV_CURRENT, "a:2");
}
END_TEST

START_TEST(key_moves_without_a_position_begin_at_the_ends)
{
    struct kv_cursor *other;

    pairs("a:1 a:2 b:1 b:2");
    ck_ok(kv_cursor_open(txn, table, &other));
    goes(KV_NEXT_KEY, "a:1");
    moves(other, KV_PREV_KEY, "b:2");
}
END_TEST

START_TEST(value_moves_without_a_position_are_refused)
{
    static const enum kv_cursor_op ops[] = {KV_FIRST_VALUE, KV_LAST_VALUE, KV_NEXT_VALUE,
                                            KV_PREV_VALUE,  KV_VALUES,     KV_NEXT_VALUES,
                                            KV_PREV_VALUES};
    uint64_t count;

    pairs("a:1 a:2");
    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
        fails(ops[i], KV_EINVAL);
    ck_rc(kv_cursor_count(cursor, &count), KV_EINVAL);
    ck_rc(kv_cursor_del(cursor, KV_ALL_VALUES), KV_EINVAL);
    goes(KV_NEXT, "a:1");
}
END_TEST

START_TEST(nothing_is_found_in_an_empty_table)
{
    static const enum kv_cursor_op ops[] = {KV_FIRST, KV_LAST,     KV_NEXT,
                                            KV_PREV,  KV_NEXT_KEY, KV_PREV_KEY};

    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
        ends(ops[i]);
    misses(KV_EXACT_PAIR, "a:1");
    misses(KV_AT_LEAST_VALUE, "a:1");
    misses(KV_AT_MOST, "a:");
}
END_TEST

/* ---- Searches ---- */

START_TEST(a_key_is_found_at_its_first_value_and_at_most_at_its_last)
{
    pairs("a:1 b:1 b:2 d:1 d:2");
    finds(KV_EXACT, "b:", "b:1");
    finds(KV_AT_LEAST, "b:", "b:1");
    finds(KV_AT_LEAST, "c:", "d:1");
    finds(KV_AT_MOST, "b:", "b:2");
    finds(KV_AT_MOST, "c:", "b:2");
    finds(KV_AT_MOST, "e:", "d:2");
    misses(KV_EXACT, "c:");
    misses(KV_AT_MOST, "A:");
    misses(KV_AT_LEAST, "e:");
}
END_TEST

START_TEST(a_pair_is_found_as_it_is_or_from_its_value_on)
{
    pairs("a:5 b:2 b:4 c:1");
    finds(KV_EXACT_PAIR, "b:4", "b:4");
    finds(KV_AT_LEAST_VALUE, "b:4", "b:4");
    finds(KV_AT_LEAST_VALUE, "b:3", "b:4");
    finds(KV_AT_LEAST_VALUE, "b:", "b:2");
    misses(KV_EXACT_PAIR, "b:3");
    misses(KV_AT_LEAST_VALUE, "b:5");
    misses(KV_AT_LEAST_VALUE, "bb:0");
}
END_TEST

START_TEST(a_failed_search_for_a_pair_leaves_no_position)
{
    pairs("a:1 b:1");
    goes(KV_LAST, "b:1");
    misses(KV_EXACT_PAIR, "b:2");
    fails(KV_CURRENT, KV_EINVAL);
    goes(KV_LAST, "b:1");
    misses(KV_AT_LEAST_VALUE, "a:2");
    fails(KV_CURRENT, KV_EINVAL);
    goes(KV_NEXT, "a:1");
}
END_TEST

START_TEST(a_search_for_a_pair_without_a_value_is_refused_and_keeps_the_position)
{
    struct kv_val key = text_val("a");

    pairs("a:1 b:1");
    goes(KV_LAST, "b:1");
    ck_rc(kv_cursor_get(cursor, KV_EXACT_PAIR, &key, NULL), KV_EINVAL);
    ck_rc(kv_cursor_get(cursor, KV_AT_LEAST_VALUE, NULL, &key), KV_EINVAL);
    goes(KV_CURRENT, "b:1");
}
END_TEST

/* ---- Sets over many leaves ---- */

START_TEST(keys_are_passed_however_many_values_they_have)
{
    many_values();
    goes(KV_FIRST, "a:0001");
    goes(KV_NEXT_KEY, "b:0000");
    goes(KV_NEXT_KEY, "c:0001");
    goes(KV_PREV_KEY, "b:2999");
    goes(KV_PREV_KEY, "a:0001");
    finds(KV_EXACT_PAIR, "b:1500", "b:1500");
    goes(KV_NEXT_KEY, "c:0001");
    finds(KV_EXACT_PAIR, "b:1500", "b:1500");
    goes(KV_PREV_KEY, "a:0001");
}
END_TEST

START_TEST(first_and_last_value_are_found_over_leaves)
{
    many_values();
    finds(KV_EXACT_PAIR, "b:1500", "b:1500");
    goes(KV_LAST_VALUE, "b:2999");
    ends(KV_NEXT_VALUE);
    goes(KV_FIRST_VALUE, "b:0000");
    ends(KV_PREV_VALUE);
    finds(KV_AT_MOST, "b:", "b:2999");
    finds(KV_EXACT, "b:", "b:0000");
}
END_TEST

START_TEST(value_moves_cross_leaves)
{
    char pair[16];

    many_values();
    finds(KV_EXACT, "b:", "b:0000");
    for (int i = 1; i < MANY; i++) {
        (void)snprintf(pair, sizeof(pair), "b:%04d", i);
        goes(KV_NEXT_VALUE, pair);
    }
    ends(KV_NEXT_VALUE);
    for (int i = MANY - 2; i >= 0; i--) {
        (void)snprintf(pair, sizeof(pair), "b:%04d", i);
        goes(KV_PREV_VALUE, pair);
    }
    ends(KV_PREV_VALUE);
}
END_TEST

START_TEST(count_tells_the_values_of_the_key)
{
    many_values();
    pairs("c:0002");
    goes(KV_FIRST, "a:0001");
    counts(1);
    finds(KV_EXACT_PAIR, "b:2000", "b:2000");
    counts(MANY);
    goes(KV_LAST, "c:0002");
    counts(2);
}
END_TEST

START_TEST(nth_finds_a_value_or_a_key_by_number)
{
    struct kv_val key, value;

    many_values();
    ck_ok(kv_cursor_nth(cursor, 0, 0, &key, &value));
    is_pair(&key, &value, "a:0001");
    ck_ok(kv_cursor_nth(cursor, 1 + 2345, 0, &key, &value));
    is_pair(&key, &value, "b:2345");
    ck_ok(kv_cursor_nth(cursor, 1, KV_KEYS, &key, &value));
    is_pair(&key, &value, "b:0000");
    ck_ok(kv_cursor_nth(cursor, 2, KV_KEYS, &key, &value));
    is_pair(&key, &value, "c:0001");
    ends(KV_NEXT);
    ck_rc(kv_cursor_nth(cursor, 3, KV_KEYS, &key, &value), KV_ENOTFOUND);
    fails(KV_CURRENT, KV_EINVAL);
    ck_rc(kv_cursor_nth(cursor, MANY + 2, 0, &key, &value), KV_ENOTFOUND);
    ck_rc(kv_cursor_nth(cursor, UINT64_MAX, 0, &key, &value), KV_ENOTFOUND);
    ck_rc(kv_cursor_nth(cursor, 0, 2, &key, &value), KV_EINVAL);
}
END_TEST

/* ---- Pieces ---- */

/* The piece holds values first, first + step, ... of four digits, and how many. */
static int piece_holds(const struct kv_val *piece, int first)
{
    ck_assert_uint_gt(piece->size, 0);
    ck_assert_uint_eq(piece->size % 4, 0);
    for (size_t i = 0; i < piece->size / 4; i++) {
        char text[16];

        (void)snprintf(text, sizeof(text), "%04d", first + (int)i);
        if (memcmp((const char *)piece->data + 4 * i, text, 4) != 0)
            ck_abort_msg("value %zu of a piece is not %s", i, text);
    }
    return (int)(piece->size / 4);
}

START_TEST(the_values_of_a_key_come_in_pieces)
{
    struct kv_val key, piece;
    int at, pieces = 1;

    many_values();
    finds(KV_EXACT, "b:", "b:0000");
    ck_ok(kv_cursor_get(cursor, KV_VALUES, &key, &piece));
    expect_text(&key, "b");
    at = piece_holds(&piece, 0);
    while (kv_cursor_get(cursor, KV_NEXT_VALUES, &key, &piece) == 0) {
        at += piece_holds(&piece, at);
        pieces++;
    }
    ck_assert_int_eq(at, MANY);
    ck_assert_int_lt(pieces, MANY / 100);
    goes(KV_CURRENT, "b:2999");
    goes(KV_NEXT, "c:0001");
}
END_TEST

START_TEST(pieces_are_read_backward_too)
{
    struct kv_val key, piece;
    int at = MANY - 1;

    many_values();
    finds(KV_AT_MOST, "b:", "b:2999");
    while (kv_cursor_get(cursor, KV_PREV_VALUES, &key, &piece) == 0) {
        int count = (int)(piece.size / 4);

        at -= count;
        ck_assert_int_eq(piece_holds(&piece, at), count);
    }
    ck_assert_int_eq(at, 0);
    goes(KV_CURRENT, "b:0000");
    goes(KV_PREV, "a:0001");
}
END_TEST

START_TEST(a_piece_begins_at_the_cursor_and_is_not_copied)
{
    struct kv_val key, value, piece;

    many_values();
    finds(KV_EXACT_PAIR, "b:1234", "b:1234");
    ck_ok(kv_cursor_get(cursor, KV_CURRENT, &key, &value));
    ck_ok(kv_cursor_get(cursor, KV_VALUES, &key, &piece));
    ck_assert_ptr_eq(piece.data, value.data);
    ck_assert_int_gt(piece_holds(&piece, 1234), 0);
    finds(KV_EXACT_PAIR, "b:1234", "b:1234");
    ck_ok(kv_cursor_get(cursor, KV_NEXT_VALUES, &key, &piece));
    ck_assert_int_gt(piece_holds(&piece, 1235), 0);
}
END_TEST

START_TEST(pieces_stay_with_their_key)
{
    struct kv_val key, piece;

    pairs("a:0001 a:0002 b:0003");
    goes(KV_FIRST, "a:0001");
    ck_ok(kv_cursor_get(cursor, KV_VALUES, &key, &piece));
    ck_assert_int_eq(piece_holds(&piece, 1), 2);
    ends(KV_NEXT_VALUES);
    goes(KV_CURRENT, "a:0002");
    goes(KV_FIRST, "a:0001");
    ends(KV_PREV_VALUES);
    goes(KV_CURRENT, "a:0001");
}
END_TEST

START_TEST(pieces_without_a_place_for_them_are_refused)
{
    struct kv_val key;

    pairs("a:0001");
    goes(KV_FIRST, "a:0001");
    ck_rc(kv_cursor_get(cursor, KV_VALUES, &key, NULL), KV_EINVAL);
    goes(KV_CURRENT, "a:0001");
}
END_TEST

/* ---- Tables of another kind ---- */

START_TEST(value_operations_on_a_table_without_duplicates_are_refused_and_move_nothing)
{
    uint64_t count;

    pairs("a:1 b:2 c:3");
    goes(KV_FIRST, "a:1");
    goes(KV_NEXT, "b:2");
    for (int op = KV_EXACT_PAIR; op <= KV_PREV_VALUES; op++)
        fails((enum kv_cursor_op)op, KV_EINCOMPATIBLE);
    goes(KV_CURRENT, "b:2");
    ck_ok(kv_cursor_count(cursor, &count));
    ck_assert_uint_eq(count, 1);
    ck_rc(kv_cursor_nth(cursor, 0, 0, NULL, NULL), KV_EINCOMPATIBLE);
    goes(KV_CURRENT, "b:2");
}
END_TEST

START_TEST(without_duplicates_key_moves_are_next_and_prev)
{
    pairs("a:1 b:2 c:3");
    goes(KV_NEXT_KEY, "a:1");
    goes(KV_NEXT_KEY, "b:2");
    goes(KV_NEXT_KEY, "c:3");
    ends(KV_NEXT_KEY);
    goes(KV_PREV_KEY, "b:2");
}
END_TEST

START_TEST(put_flags_for_duplicates_are_refused_without_and_change_nothing)
{
    static const uint32_t flags[] = {KV_NOPAIR, KV_APPEND_VALUE, KV_MULTIPLE};
    struct kv_val key = text_val("a"), value = text_val("9");

    pairs("a:1 b:2");
    goes(KV_LAST, "b:2");
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
        ck_rc(kv_cursor_put(cursor, &key, &value, flags[i]), KV_EINCOMPATIBLE);
    goes(KV_CURRENT, "b:2");
    goes(KV_PREV, "a:1");
}
END_TEST

START_TEST(all_values_of_a_record_are_its_one)
{
    pairs("a:1 b:2 c:3");
    finds(KV_EXACT, "b:", "b:2");
    ck_ok(kv_cursor_del(cursor, KV_ALL_VALUES));
    goes(KV_CURRENT, "c:3");
    goes(KV_PREV, "a:1");
}
END_TEST

START_TEST(pieces_of_values_of_several_sizes_are_refused_and_move_nothing)
{
    pairs("a:1 a:2 b:1");
    goes(KV_FIRST, "a:1");
    fails(KV_VALUES, KV_EINCOMPATIBLE);
    fails(KV_NEXT_VALUES, KV_EINCOMPATIBLE);
    fails(KV_PREV_VALUES, KV_EINCOMPATIBLE);
    goes(KV_CURRENT, "a:1");
}
END_TEST

START_TEST(an_unknown_operation_is_refused_and_moves_nothing)
{
    pairs("a:1 a:2");
    goes(KV_LAST, "a:2");
    fails((enum kv_cursor_op)0, KV_EINVAL);
    fails((enum kv_cursor_op)(KV_PREV_VALUES + 1), KV_EINVAL);
    goes(KV_CURRENT, "a:2");
}
END_TEST

/* ---- Deletes ---- */

START_TEST(a_deleted_value_leaves_the_cursor_before_the_next)
{
    pairs("a:1 a:2 a:3 b:1");
    finds(KV_EXACT_PAIR, "a:2", "a:2");
    deletes();
    goes(KV_NEXT, "a:3");
    finds(KV_EXACT_PAIR, "a:1", "a:1");
    deletes();
    goes(KV_CURRENT, "a:3");
    goes(KV_NEXT, "b:1");
}
END_TEST

START_TEST(behind_a_deleted_value_its_key_goes_on)
{
    pairs("a:1 a:2 a:3 b:1");
    finds(KV_EXACT_PAIR, "a:2", "a:2");
    deletes();
    counts(2);
    goes(KV_NEXT_VALUE, "a:3");
    put_pair("a:2");
    finds(KV_EXACT_PAIR, "a:2", "a:2");
    deletes();
    goes(KV_PREV_VALUE, "a:1");
    put_pair("a:2");
    finds(KV_EXACT_PAIR, "a:2", "a:2");
    deletes();
    goes(KV_NEXT_KEY, "b:1");
}
END_TEST

START_TEST(the_last_value_deleted_leaves_the_cursor_with_its_key)
{
    pairs("a:1 b:1 b:2 b:3 c:1");
    finds(KV_EXACT_PAIR, "b:3", "b:3");
    deletes();
    ends(KV_NEXT_VALUE);
    counts(2);
    goes(KV_PREV_VALUE, "b:2");
    deletes();
    goes(KV_FIRST_VALUE, "b:1");
    put_pair("b:2");
    finds(KV_EXACT_PAIR, "b:2", "b:2");
    deletes();
    goes(KV_PREV_KEY, "a:1");
    put_pair("b:2");
    finds(KV_EXACT_PAIR, "b:2", "b:2");
    deletes();
    goes(KV_NEXT_KEY, "c:1");
}
END_TEST

START_TEST(a_key_that_is_gone_leaves_the_cursor_before_the_next_key)
{
    pairs("a:1 a:2 b:1 c:1 c:2");
    finds(KV_EXACT, "b:", "b:1");
    deletes();
    ends(KV_NEXT_VALUE);
    ends(KV_PREV_VALUE);
    counts(2);
    goes(KV_NEXT_KEY, "c:1");
    put_pair("b:1");
    finds(KV_EXACT, "b:", "b:1");
    deletes();
    goes(KV_PREV_KEY, "a:2");
    put_pair("b:1");
    finds(KV_EXACT, "b:", "b:1");
    deletes();
    goes(KV_LAST_VALUE, "c:2");
}
END_TEST

START_TEST(behind_the_last_pair_of_all_the_key_is_still_known)
{
    uint64_t count;

    pairs("a:1 b:1 b:2");
    goes(KV_LAST, "b:2");
    deletes();
    ends(KV_CURRENT);
    ends(KV_NEXT);
    ends(KV_NEXT_KEY);
    ends(KV_NEXT_VALUE);
    counts(1);
    goes(KV_PREV_VALUE, "b:1");
    deletes();
    ends(KV_PREV_VALUE);
    ends(KV_FIRST_VALUE);
    ck_rc(kv_cursor_count(cursor, &count), KV_ENOTFOUND);
    ck_rc(kv_cursor_del(cursor, KV_ALL_VALUES), KV_ENOTFOUND);
    goes(KV_PREV_KEY, "a:1");
}
END_TEST

START_TEST(a_loop_over_the_values_of_a_key_may_delete_them)
{
    int deleted = 0;
    struct kv_val key, value;

    many_values();
    finds(KV_EXACT, "b:", "b:0000");
    do {
        deletes();
        deleted++;
    } while (kv_cursor_get(cursor, KV_NEXT_VALUE, &key, &value) == 0);
    ck_assert_int_eq(deleted, MANY);
    goes(KV_NEXT, "c:0001");
    goes(KV_PREV, "a:0001");
}
END_TEST

START_TEST(all_values_of_a_key_are_deleted_at_once)
{
    many_values();
    finds(KV_EXACT_PAIR, "b:1500", "b:1500");
    ck_ok(kv_cursor_del(cursor, KV_ALL_VALUES));
    goes(KV_CURRENT, "c:0001");
    ck_ok(kv_cursor_del(cursor, KV_ALL_VALUES));
    ends(KV_CURRENT);
    goes(KV_PREV, "a:0001");
    ck_assert_uint_eq(table_stat(txn, table).entries, 1);
}
END_TEST

START_TEST(all_values_of_a_key_whose_last_was_just_deleted)
{
    pairs("a:1 b:1 b:2 b:3 c:1");
    finds(KV_EXACT_PAIR, "b:3", "b:3");
    deletes();
    ck_ok(kv_cursor_del(cursor, KV_ALL_VALUES));
    goes(KV_CURRENT, "c:1");
    goes(KV_PREV, "a:1");
}
END_TEST

START_TEST(other_cursors_at_a_deleted_value_stand_before_the_next)
{
    struct kv_cursor *other;

    pairs("a:1 b:1 b:2 c:1");
    ck_ok(kv_cursor_open(txn, table, &other));
    finds(KV_EXACT_PAIR, "b:1", "b:1");
    moves(other, KV_LAST, "c:1");
    moves(other, KV_PREV, "b:2");
    deletes();
    moves(other, KV_CURRENT, "b:2");
    del_pair("b:2");
    goes(KV_CURRENT, "c:1");
    moves(other, KV_NEXT, "c:1");
    moves(other, KV_PREV, "a:1");
}
END_TEST

START_TEST(a_pair_that_comes_back_stands_before_the_cursor)
{
    pairs("a:1 a:2 a:3");
    finds(KV_EXACT_PAIR, "a:2", "a:2");
    deletes();
    put_pair("a:2");
    goes(KV_PREV, "a:2");
    goes(KV_NEXT, "a:3");
}
END_TEST

/* ---- Puts ---- */

static int put_here(const char *pair, uint32_t flags)
{
    struct kv_val key, value;

    split(pair, &key, &value);
    return kv_cursor_put(cursor, &key, &value, flags);
}

START_TEST(a_put_leaves_the_cursor_at_the_pair)
{
    pairs("a:1 c:1");
    ck_ok(put_here("b:2", 0));
    goes(KV_CURRENT, "b:2");
    ck_ok(put_here("b:1", 0));
    goes(KV_NEXT_VALUE, "b:2");
    ck_ok(put_here("b:1", 0)); /* is there already */
    goes(KV_CURRENT, "b:1");
    counts(2);
}
END_TEST

START_TEST(puts_into_a_large_set_leave_the_cursor_at_each_pair)
{
    char pair[16];

    many_values();
    for (int i = 0; i < 500; i++) {
        (void)snprintf(pair, sizeof(pair), "b:%04dx", i * 7 % MANY);
        ck_ok(put_here(pair, 0));
        goes(KV_CURRENT, pair);
    }
    counts(MANY + 500);
}
END_TEST

START_TEST(a_put_that_may_not_find_the_pair_or_the_key_leads_to_it)
{
    struct kv_val key, value;

    pairs("a:1 a:2 a:3 b:1");
    goes(KV_LAST, "b:1");
    ck_rc(put_here("a:2", KV_NOPAIR), KV_EEXIST);
    goes(KV_CURRENT, "a:2");
    split("a:9", &key, &value);
    ck_rc(kv_cursor_put(cursor, &key, &value, KV_NOOVERWRITE), KV_EEXIST);
    expect_text(&value, "1");
    goes(KV_CURRENT, "a:1");
    counts(3);
}
END_TEST

START_TEST(an_append_out_of_order_is_refused_and_keeps_the_position)
{
    pairs("a:1 a:5 b:1");
    goes(KV_FIRST, "a:1");
    ck_rc(put_here("a:4", KV_APPEND_VALUE), KV_EORDER);
    ck_rc(put_here("a:9", KV_APPEND), KV_EORDER);
    goes(KV_CURRENT, "a:1");
    ck_ok(put_here("a:6", KV_APPEND_VALUE));
    goes(KV_CURRENT, "a:6");
    ck_ok(put_here("b:2", KV_APPEND));
    goes(KV_CURRENT, "b:2");
}
END_TEST

START_TEST(a_put_at_the_cursor_moves_the_pair)
{
    struct kv_val value = text_val("7");

    pairs("a:1 a:5 a:8 b:1");
    goes(KV_FIRST, "a:1");
    ck_ok(kv_cursor_put(cursor, NULL, &value, KV_AT_CURSOR));
    goes(KV_CURRENT, "a:7");
    goes(KV_PREV, "a:5");
    ends(KV_PREV);
    counts(3);
}
END_TEST

START_TEST(a_put_at_the_cursor_of_a_value_that_is_there_is_refused)
{
    struct kv_val value = text_val("8");

    pairs("a:1 a:5 a:8");
    goes(KV_FIRST, "a:1");
    ck_rc(kv_cursor_put(cursor, NULL, &value, KV_AT_CURSOR), KV_EEXIST);
    goes(KV_CURRENT, "a:1");
    value = text_val("1");
    ck_ok(kv_cursor_put(cursor, NULL, &value, KV_AT_CURSOR));
    goes(KV_CURRENT, "a:1");
    counts(3);
}
END_TEST

START_TEST(a_put_at_the_cursor_goes_with_few_flags)
{
    static const uint32_t flags[] = {KV_NOOVERWRITE, KV_APPEND, KV_NOPAIR, KV_APPEND_VALUE};
    struct kv_val value = text_val("8");

    pairs("a:1");
    goes(KV_FIRST, "a:1");
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
        ck_rc(kv_cursor_put(cursor, NULL, &value, KV_AT_CURSOR | flags[i]), KV_EINVAL);
    ck_rc(kv_cursor_put(cursor, NULL, &value, KV_RESERVE | KV_AT_CURSOR), KV_EINCOMPATIBLE);
    goes(KV_CURRENT, "a:1");
}
END_TEST

START_TEST(many_values_are_put_at_once_and_the_cursor_stands_at_the_last)
{
    pairs("a:0001 c:0001");
    ck_ok(put_here("b:000300010002", KV_MULTIPLE));
    goes(KV_CURRENT, "b:0002");
    counts(3);
    goes(KV_NEXT, "b:0003");
    ck_ok(put_here("b:", KV_MULTIPLE));
    goes(KV_CURRENT, "b:0003");
}
END_TEST

START_TEST(values_that_do_not_fit_a_fixed_table_are_refused)
{
    ck_rc(put_here("b:0003", KV_MULTIPLE), KV_EINVAL); /* no size yet */
    pairs("a:0001");
    goes(KV_FIRST, "a:0001");
    ck_rc(put_here("b:00030", KV_MULTIPLE), KV_EINVAL);
    ck_rc(put_here("b:00030", 0), KV_EVALSIZE);
    fails(KV_EXACT_PAIR, KV_EVALSIZE);
    goes(KV_CURRENT, "a:0001");
    ck_assert_uint_eq(table_stat(txn, table).entries, 1);
}
END_TEST

START_TEST(many_values_at_once_need_a_fixed_table)
{
    pairs("a:1");
    ck_rc(put_here("a:12", KV_MULTIPLE), KV_EINCOMPATIBLE);
    ck_rc(put_here("a:12", KV_RESERVE), KV_EINCOMPATIBLE);
    ck_assert_uint_eq(table_stat(txn, table).entries, 1);
}
END_TEST

/* ---- Nested txns ---- */

START_TEST(what_a_nested_txn_does_to_values_goes_with_its_abort)
{
    struct kv_txn *parent = txn;

    pairs("a:1 a:2 a:3");
    finds(KV_EXACT_PAIR, "a:2", "a:2");
    txn = txn_nested(parent);
    del_pair("a:2");
    kv_txn_abort(txn);
    txn = parent;
    goes(KV_CURRENT, "a:2");
    txn = txn_nested(parent);
    del_pair("a:2");
    txn_commit(txn);
    txn = parent;
    goes(KV_NEXT_VALUE, "a:3");
}
END_TEST

/* ---- A comparator that is not known ---- */

static int compare_length(void *context, const struct kv_val *a, const struct kv_val *b)
{
    size_t common = a->size < b->size ? a->size : b->size;

    (void)context;
    if (a->size != b->size)
        return a->size < b->size ? -1 : 1;
    return common ? memcmp(a->data, b->data, common) : 0;
}

/* A table in an order by length, in an env that was opened again without it. */
static void open_unknown_order(bool large)
{
    struct kv_table_options options = KV_TABLE_OPTIONS_INIT;

    options.flags = KV_DUPLICATES;
    options.order = options.value_order = KV_ORDER_CUSTOM;
    options.comparator = options.value_comparator = "length";
    env = env_new("values.db");
    ck_ok(kv_env_comparator(env, "length", compare_length, NULL));
    txn = txn_write(env);
    ck_ok(kv_table_open(txn, "t", KV_CREATE, &options, &table));
    if (large)
        many_values();
    else
        pairs("b:1 b:22 aa:1 aa:2 aaa:1");
    txn_commit(txn);
    env_close(env);
    env = env_open(tmp_path("values.db"), 0);
    txn = txn_read(env);
    ck_ok(kv_table_open(txn, "t", 0, NULL, &table));
    ck_ok(kv_cursor_open(txn, table, &cursor));
}

START_TEST(without_its_comparator_a_table_is_read_in_stored_order)
{
    open_unknown_order(false);
    goes(KV_NEXT, "b:1");
    goes(KV_NEXT, "b:22");
    goes(KV_NEXT, "aa:1");
    goes(KV_NEXT_KEY, "aaa:1");
    ends(KV_NEXT);
    goes(KV_PREV, "aa:2");
    goes(KV_FIRST_VALUE, "aa:1");
    goes(KV_PREV_KEY, "b:22");
    counts(2);
    goes(KV_FIRST, "b:1");
    goes(KV_LAST, "aaa:1");
    teardown();
}
END_TEST

START_TEST(without_its_comparator_large_sets_are_passed_all_the_same)
{
    open_unknown_order(true);
    goes(KV_FIRST, "a:0001");
    goes(KV_NEXT_KEY, "b:0000");
    counts(MANY);
    goes(KV_LAST_VALUE, "b:2999");
    counts(MANY);
    goes(KV_FIRST_VALUE, "b:0000");
    goes(KV_NEXT_KEY, "c:0001");
    goes(KV_PREV_KEY, "b:2999");
    goes(KV_PREV_KEY, "a:0001");
    teardown();
}
END_TEST

START_TEST(without_its_comparator_searches_are_refused_and_keep_the_position)
{
    static const enum kv_cursor_op ops[] = {KV_EXACT, KV_AT_LEAST, KV_AT_MOST, KV_EXACT_PAIR,
                                            KV_AT_LEAST_VALUE};
    struct kv_val from = text_val("b");
    struct kv_range range = KV_RANGE_INIT;

    open_unknown_order(false);
    goes(KV_LAST, "aaa:1");
    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
        struct kv_val key = text_val("b"), value = text_val("1");

        ck_rc(kv_cursor_get(cursor, ops[i], &key, &value), KV_ECOMPARATOR);
    }
    range.from = &from;
    ck_rc(kv_cursor_bound(cursor, &range), KV_ECOMPARATOR);
    goes(KV_CURRENT, "aaa:1");
    teardown();
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("cursor_values");
    const struct {
        const char *name;
        const TTest *test;
        void (*setup)(void);
    } tests[] = {
        {"moves", next_and_prev_go_over_all_pairs, open_pairs},
        {"moves", next_value_ends_with_the_key_and_keeps_the_position, open_pairs},
        {"moves", prev_value_ends_with_the_key_and_keeps_the_position, open_pairs},
        {"moves", first_and_last_value_stay_with_the_key, open_pairs},
        {"moves", next_key_goes_to_the_first_value_and_prev_key_to_the_last, open_pairs},
        {"moves", key_moves_without_a_position_begin_at_the_ends, open_pairs},
        {"moves", value_moves_without_a_position_are_refused, open_fixed},
        {"moves", nothing_is_found_in_an_empty_table, open_pairs},
        {"searches", a_key_is_found_at_its_first_value_and_at_most_at_its_last, open_pairs},
        {"searches", a_pair_is_found_as_it_is_or_from_its_value_on, open_pairs},
        {"searches", a_failed_search_for_a_pair_leaves_no_position, open_pairs},
        {"searches", a_search_for_a_pair_without_a_value_is_refused_and_keeps_the_position,
         open_pairs},
        {"large", keys_are_passed_however_many_values_they_have, open_pairs},
        {"large", first_and_last_value_are_found_over_leaves, open_pairs},
        {"large", value_moves_cross_leaves, open_pairs},
        {"large", count_tells_the_values_of_the_key, open_pairs},
        {"large", nth_finds_a_value_or_a_key_by_number, open_pairs},
        {"pieces", the_values_of_a_key_come_in_pieces, open_fixed},
        {"pieces", pieces_are_read_backward_too, open_fixed},
        {"pieces", a_piece_begins_at_the_cursor_and_is_not_copied, open_fixed},
        {"pieces", pieces_stay_with_their_key, open_fixed},
        {"pieces", pieces_without_a_place_for_them_are_refused, open_fixed},
        {"kinds", value_operations_on_a_table_without_duplicates_are_refused_and_move_nothing,
         open_plain},
        {"kinds", without_duplicates_key_moves_are_next_and_prev, open_plain},
        {"kinds", put_flags_for_duplicates_are_refused_without_and_change_nothing, open_plain},
        {"kinds", all_values_of_a_record_are_its_one, open_plain},
        {"kinds", pieces_of_values_of_several_sizes_are_refused_and_move_nothing, open_pairs},
        {"kinds", an_unknown_operation_is_refused_and_moves_nothing, open_pairs},
        {"deletes", a_deleted_value_leaves_the_cursor_before_the_next, open_pairs},
        {"deletes", behind_a_deleted_value_its_key_goes_on, open_pairs},
        {"deletes", the_last_value_deleted_leaves_the_cursor_with_its_key, open_pairs},
        {"deletes", a_key_that_is_gone_leaves_the_cursor_before_the_next_key, open_pairs},
        {"deletes", behind_the_last_pair_of_all_the_key_is_still_known, open_pairs},
        {"deletes", a_loop_over_the_values_of_a_key_may_delete_them, open_pairs},
        {"deletes", all_values_of_a_key_are_deleted_at_once, open_pairs},
        {"deletes", all_values_of_a_key_whose_last_was_just_deleted, open_pairs},
        {"deletes", other_cursors_at_a_deleted_value_stand_before_the_next, open_pairs},
        {"deletes", a_pair_that_comes_back_stands_before_the_cursor, open_pairs},
        {"puts", a_put_leaves_the_cursor_at_the_pair, open_pairs},
        {"puts", puts_into_a_large_set_leave_the_cursor_at_each_pair, open_pairs},
        {"puts", a_put_that_may_not_find_the_pair_or_the_key_leads_to_it, open_pairs},
        {"puts", an_append_out_of_order_is_refused_and_keeps_the_position, open_pairs},
        {"puts", a_put_at_the_cursor_moves_the_pair, open_pairs},
        {"puts", a_put_at_the_cursor_of_a_value_that_is_there_is_refused, open_pairs},
        {"puts", a_put_at_the_cursor_goes_with_few_flags, open_pairs},
        {"puts", many_values_are_put_at_once_and_the_cursor_stands_at_the_last, open_fixed},
        {"puts", values_that_do_not_fit_a_fixed_table_are_refused, open_fixed},
        {"puts", many_values_at_once_need_a_fixed_table, open_pairs},
        {"nested", what_a_nested_txn_does_to_values_goes_with_its_abort, open_pairs},
    };

    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        TCase *one = tcase_create(tests[i].name);

        tcase_set_timeout(one, HARNESS_TIMEOUT_S);
        tcase_add_checked_fixture(one, tests[i].setup, teardown);
        tcase_add_test(one, tests[i].test);
        suite_add_tcase(s, one);
    }
    harness_add(s, "unknown order", without_its_comparator_a_table_is_read_in_stored_order);
    harness_add(s, "unknown order", without_its_comparator_large_sets_are_passed_all_the_same);
    harness_add(s, "unknown order",
                without_its_comparator_searches_are_refused_and_keep_the_position);
    return s;
}

HARNESS_MAIN(suite)
