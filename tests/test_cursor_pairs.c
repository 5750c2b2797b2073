/* SPDX-License-Identifier: MIT */
/* Cursors over pairs, through kv.h: what deletes and puts leave, and nested txns. */
#include "pair_help.h"

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

static Suite *suite(void)
{
    Suite *s = suite_create("cursor_pairs");
    const struct {
        const char *name;
        const TTest *test;
        void (*setup)(void);
    } tests[] = {
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

    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
        add_test(s, tests[i].name, tests[i].test, tests[i].setup);
    return s;
}

HARNESS_MAIN(suite)
