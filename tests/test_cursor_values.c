/* SPDX-License-Identifier: MIT */
/*
 * Cursors over pairs, through kv.h: moves by values and by keys, searches, pieces of fixed-size
 * values, counts, and what tables of other kinds refuse.
 */
#include "pair_help.h"

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

/* One piece by `op`: values first ... last of the key, "0007" being 7. */
static void gives_piece(enum kv_cursor_op op, const char *name, int first, int last)
{
    struct kv_val key, piece;

    ck_ok(kv_cursor_get(cursor, op, &key, &piece));
    expect_text(&key, name);
    ck_assert_int_eq(piece_holds(&piece, first), last - first + 1);
}

START_TEST(pieces_go_from_key_to_key)
{
    pairs("a:0001 a:0002 b:0003 c:0004 c:0005 c:0006");
    gives_piece(KV_NEXT_PIECE, "a", 1, 2);
    gives_piece(KV_NEXT_PIECE, "b", 3, 3);
    gives_piece(KV_NEXT_PIECE, "c", 4, 6);
    ends(KV_NEXT_PIECE);
    goes(KV_CURRENT, "c:0006");
    gives_piece(KV_PREV_PIECE, "c", 4, 5);
    gives_piece(KV_PREV_PIECE, "b", 3, 3);
    gives_piece(KV_PREV_PIECE, "a", 1, 2);
    ends(KV_PREV_PIECE);
    goes(KV_CURRENT, "a:0001");
    gives_piece(KV_NEXT_PIECE, "a", 2, 2);
}
END_TEST

START_TEST(pieces_without_a_position_begin_at_the_ends_or_bounds)
{
    struct kv_val from = text_val("b"), to = text_val("c");
    struct kv_range range = {&from, &to, NULL, KV_TO_INCLUSIVE};

    pairs("a:0001 b:0002 b:0003 c:0004 c:0005 d:0006");
    ck_ok(kv_cursor_bound(cursor, &range));
    gives_piece(KV_NEXT_PIECE, "b", 2, 3);
    gives_piece(KV_NEXT_PIECE, "c", 4, 5);
    ends(KV_NEXT_PIECE);
    ck_ok(kv_cursor_bound(cursor, &range));
    gives_piece(KV_PREV_PIECE, "c", 4, 5);
    gives_piece(KV_PREV_PIECE, "b", 2, 3);
    ends(KV_PREV_PIECE);
    ck_ok(kv_cursor_bound(cursor, NULL));
    gives_piece(KV_PREV_PIECE, "d", 6, 6);
    ends(KV_NEXT_PIECE);
}
END_TEST

START_TEST(behind_a_delete_pieces_go_on_with_what_followed)
{
    pairs("a:0001 a:0002 a:0003 b:0004 b:0005");
    finds(KV_EXACT_PAIR, "a:0002", "a:0002");
    deletes();
    gives_piece(KV_NEXT_PIECE, "a", 3, 3);
    deletes();
    gives_piece(KV_PREV_PIECE, "a", 1, 1);
    deletes();
    gives_piece(KV_NEXT_PIECE, "b", 4, 5);
    deletes();
    ends(KV_NEXT_PIECE);
    gives_piece(KV_PREV_PIECE, "b", 4, 4);
}
END_TEST

/* All pieces by calls of `count`: a:0001, the many values of b, c:0001; forward or backward. */
static void reads_all_pieces(size_t count, bool back)
{
    enum kv_cursor_op op = back ? KV_PREV_PIECE : KV_NEXT_PIECE;
    struct kv_record records[64];
    int at = back ? MANY : 0, pieces = 0, rc;
    size_t got;

    ck_ok(kv_cursor_bound(cursor, NULL));
    while ((rc = kv_cursor_read(cursor, op, records, count, &got)) == 0) {
        ck_assert_uint_le(got, count);
        for (size_t i = 0; i < got; i++, pieces++) {
            int values = (int)records[i].value.size / 4;

            if (memcmp(records[i].key.data, "b", 1) != 0) {
                expect_text(&records[i].key, at == 0 ? "a" : "c");
                ck_assert_int_eq(piece_holds(&records[i].value, 1), 1);
                continue;
            }
            at -= back ? values : 0;
            ck_assert_int_eq(piece_holds(&records[i].value, at), values);
            at += back ? 0 : values;
        }
    }
    ck_rc(rc, KV_ENOTFOUND);
    ck_assert_int_eq(at, back ? 0 : MANY);
    ck_assert_int_lt(pieces, MANY / 100);
}

START_TEST(many_pieces_are_read_a_call)
{
    many_values();
    for (size_t count = 1; count <= 64; count = count * 2 + 1) {
        reads_all_pieces(count, false);
        reads_all_pieces(count, true);
    }
}
END_TEST

START_TEST(a_read_of_pieces_begins_at_the_cursor_and_stays_with_the_key_or_not)
{
    struct kv_record records[8];
    size_t got;

    pairs("a:0001 a:0002 a:0003 b:0004 c:0005 c:0006");
    finds(KV_EXACT_PAIR, "a:0002", "a:0002");
    ck_ok(kv_cursor_read(cursor, KV_VALUES, records, 2, &got));
    ck_assert_uint_eq(got, 2);
    ck_assert_int_eq(piece_holds(&records[0].value, 2), 2);
    expect_text(&records[1].key, "b");
    goes(KV_CURRENT, "b:0004");
    finds(KV_EXACT_PAIR, "a:0001", "a:0001");
    ck_ok(kv_cursor_read(cursor, KV_NEXT_VALUES, records, 8, &got));
    ck_assert_uint_eq(got, 1);
    ck_assert_int_eq(piece_holds(&records[0].value, 2), 2);
    ck_rc(kv_cursor_read(cursor, KV_NEXT_VALUES, records, 8, &got), KV_ENOTFOUND);
    ck_assert_uint_eq(got, 0);
    ck_ok(kv_cursor_read(cursor, KV_PREV_VALUES, records, 8, &got));
    ck_assert_uint_eq(got, 1);
    ck_assert_int_eq(piece_holds(&records[0].value, 1), 2);
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
    for (int op = KV_EXACT_PAIR; op <= KV_PREV_PIECE; op++)
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
    fails(KV_NEXT_PIECE, KV_EINCOMPATIBLE);
    fails(KV_PREV_PIECE, KV_EINCOMPATIBLE);
    goes(KV_CURRENT, "a:1");
}
END_TEST

START_TEST(an_unknown_operation_is_refused_and_moves_nothing)
{
    pairs("a:1 a:2");
    goes(KV_LAST, "a:2");
    fails((enum kv_cursor_op)0, KV_EINVAL);
    fails((enum kv_cursor_op)(KV_PREV_PIECE + 1), KV_EINVAL);
    goes(KV_CURRENT, "a:2");
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

START_TEST(without_its_comparator_a_table_is_not_changed_and_its_cursors_stay)
{
    struct kv_val value = text_val("1");
    kv_table other;

    open_unknown_order(false);
    kv_txn_abort(txn);
    txn = txn_write(env);
    ck_ok(kv_cursor_open(txn, table, &cursor));
    goes(KV_LAST, "aaa:1");
    ck_rc(kv_cursor_put(cursor, NULL, &value, KV_AT_CURSOR), KV_ECOMPARATOR);
    ck_rc(kv_cursor_put(cursor, &value, &value, 0), KV_ECOMPARATOR);
    ck_rc(kv_cursor_del(cursor, 0), KV_ECOMPARATOR);
    ck_rc(kv_cursor_del(cursor, KV_ALL_VALUES), KV_ECOMPARATOR);
    ck_rc(kv_put(txn, table, &value, &value, 0), KV_ECOMPARATOR);
    ck_rc(kv_del(txn, table, &value, &value), KV_ECOMPARATOR);
    goes(KV_CURRENT, "aaa:1");
    other = table_make(txn, "other");
    fill_table(txn, other, "k", 3000, 100);
    txn_commit(txn_nested(txn));
    goes(KV_CURRENT, "aaa:1");
    goes(KV_PREV, "aa:2");
    ck_ok(kv_del_range(txn, table, NULL, NULL));
    ends(KV_NEXT);
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
        {"pieces", pieces_go_from_key_to_key, open_fixed},
        {"pieces", pieces_without_a_position_begin_at_the_ends_or_bounds, open_fixed},
        {"pieces", behind_a_delete_pieces_go_on_with_what_followed, open_fixed},
        {"pieces", many_pieces_are_read_a_call, open_fixed},
        {"pieces", a_read_of_pieces_begins_at_the_cursor_and_stays_with_the_key_or_not, open_fixed},
        {"pieces", pieces_without_a_place_for_them_are_refused, open_fixed},
        {"kinds", value_operations_on_a_table_without_duplicates_are_refused_and_move_nothing,
         open_plain},
        {"kinds", without_duplicates_key_moves_are_next_and_prev, open_plain},
        {"kinds", put_flags_for_duplicates_are_refused_without_and_change_nothing, open_plain},
        {"kinds", all_values_of_a_record_are_its_one, open_plain},
        {"kinds", pieces_of_values_of_several_sizes_are_refused_and_move_nothing, open_pairs},
        {"kinds", an_unknown_operation_is_refused_and_moves_nothing, open_pairs},
    };

    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
        add_test(s, tests[i].name, tests[i].test, tests[i].setup);
    harness_add(s, "unknown order", without_its_comparator_a_table_is_read_in_stored_order);
    harness_add(s, "unknown order", without_its_comparator_large_sets_are_passed_all_the_same);
    harness_add(s, "unknown order",
                without_its_comparator_searches_are_refused_and_keep_the_position);
    harness_add(s, "unknown order",
                without_its_comparator_a_table_is_not_changed_and_its_cursors_stay);
    return s;
}

HARNESS_MAIN(suite)
