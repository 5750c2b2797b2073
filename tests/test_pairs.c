/* SPDX-License-Identifier: MIT */
/* lib/tree with duplicates, without cursors: forms of sets and their limits, marks and counts across
 * leaves, and each flag. */
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "kv.h"
#include "pairs_help.h"
#include "tree/pairs.h"
#include "tree/value.h"

/* ---- Sets ---- */

START_TEST(a_key_has_each_value_once_and_get_gives_the_first)
{
    pairs_put("k", "m");
    pairs_put("k", "z");
    pairs_put("k", "a");
    pairs_put("k", "m");
    pairs_expect_first("k", "a");
    ck_assert_uint_eq(pairs_record()->entries, 3);
    ck_assert_uint_eq(pairs_record()->keys, 1);
    ck_assert_uint_eq(pairs_cells_of(pairs_text("k")).count, 1);
}
END_TEST

START_TEST(empty_keys_and_empty_values_are_keys_and_values)
{
    pairs_put("", "");
    pairs_put("", "a");
    pairs_put("a", "");
    pairs_expect_first("", "");
    pairs_expect_first("a", "");
    ck_assert(pairs_has(pairs_text(""), pairs_text("a")));
    ck_assert(!pairs_has(pairs_text("a"), pairs_text("a")));
    ck_ok(pairs_remove(pairs_text(""), pairs_text("")));
    pairs_expect_first("", "a");
    tree_db_check(pairs_tree());
}
END_TEST

START_TEST(one_size_of_values_is_packed_and_another_value_unpacks_it_until_it_goes)
{
    pairs_put_numbers("k", 0, 50, 4);
    ck_assert_uint_eq(pairs_cells_of(pairs_text("k")).packed, 1);
    pairs_put("k", "another size");
    ck_assert_uint_eq(pairs_cells_of(pairs_text("k")).packed, 0);
    ck_ok(pairs_remove(pairs_text("k"), pairs_text("another size")));
    ck_assert_uint_eq(pairs_cells_of(pairs_text("k")).packed, 1);
    ck_assert_uint_eq(pairs_cells_of(pairs_text("k")).values, 50);
}
END_TEST

START_TEST(values_of_several_sizes_are_deleted_from_every_place_of_their_set)
{
    static const char *const values[] = {"", "a", "bb", "ccc", "d", "eeeee"};

    for (unsigned i = 0; i < 6; i++) {
        for (unsigned v = 0; v < 6; v++) {
            pairs_put("k", values[v]);
        }
        ck_ok(pairs_remove(pairs_text("k"), pairs_text(values[i])));
        ck_assert_uint_eq(pairs_cells_of(pairs_text("k")).values, 5);
        ck_assert(!pairs_has(pairs_text("k"), pairs_text(values[i])));
    }
}
END_TEST

START_TEST(a_set_that_outgrows_half_a_page_is_cut_in_two_halves)
{
    struct cells cells;
    unsigned i = 0;

    for (; pairs_cells_of(pairs_text("k")).count < 2; i++) { /* never ascending for long */
        ck_ok(pairs_put_flags(pairs_text("k"), pairs_number(i * 7919 % 1000, 8), 0));
    }
    cells = pairs_cells_of(pairs_text("k"));
    ck_assert_uint_eq(cells.values, i);
    ck_assert_uint_eq(cells.continued, 1);
    ck_assert_uint_lt(cells.largest, pairs_db.geometry.cell_bytes_max * 6 / 10);
    ck_assert_uint_gt(i * 8, pairs_db.geometry.cell_bytes_max - 40);
}
END_TEST

START_TEST(ascending_values_leave_full_cells_and_full_leaves)
{
    struct cells cells;

    pairs_put("a", "before");
    pairs_put_numbers("k", 0, 4000, 8);
    cells = pairs_cells_of(pairs_text("k"));
    ck_assert_uint_eq(cells.values, 4000);
    ck_assert_uint_le(cells.count, 4000 * 8 / (pairs_db.geometry.cell_bytes_max - 40) + 2);
    ck_assert(tree_db_fill(pairs_tree()) > 0.95);
}
END_TEST

START_TEST(random_values_of_one_key_leave_leaves_well_filled)
{
    for (unsigned i = 0; i < 20000; i++) {
        ck_ok(pairs_put_flags(pairs_text("k"), pairs_number((uint64_t)i * 7919 % 20011, 8), 0));
    }
    ck_assert_uint_eq(pairs_cells_of(pairs_text("k")).values, 20000);
    printf("random values of one key: leaves %.3f full\n", tree_db_fill(pairs_tree()));
    ck_assert(tree_db_fill(pairs_tree()) > 0.75);
}
END_TEST

START_TEST(a_full_set_of_tiny_values_takes_a_large_one_in_its_middle)
{
    size_t large = kvi_pair_bytes_max(&pairs_db.geometry);

    pairs_put_numbers("k", 0, 900, 2);
    ck_assert_uint_eq(pairs_cells_of(pairs_text("k")).count, 1);
    ck_ok(pairs_put_flags(pairs_text("k"), pairs_number((uint64_t)1 << 56 | 7, large),
                          0)); /* begins with zeros */
    ck_assert_uint_eq(pairs_cells_of(pairs_text("k")).values, 901);
    pairs_put("k", "\x01zz"); /* among them */
    ck_assert_uint_eq(pairs_cells_of(pairs_text("k")).values, 902);
}
END_TEST

START_TEST(sets_that_became_small_join_in_their_leaf)
{
    for (unsigned i = 0; i < 400; i++) {
        ck_ok(pairs_put_flags(pairs_text("k"), pairs_number(i * 271 % 400, 8), 0));
    }
    ck_assert_uint_ge(pairs_cells_of(pairs_text("k")).count, 2);
    for (unsigned i = 0; i < 400; i += 2) {
        ck_ok(pairs_remove(pairs_text("k"), pairs_number(i, 8)));
    }
    for (unsigned i = 1; i < 200; i += 2) {
        ck_ok(pairs_remove(pairs_text("k"), pairs_number(i, 8)));
    }
    ck_assert_uint_eq(pairs_cells_of(pairs_text("k")).values, 100);
    ck_assert_uint_eq(pairs_cells_of(pairs_text("k")).count, 1);
    ck_assert_uint_eq(pairs_record()->depth, 1);
}
END_TEST

START_TEST(pairs_of_the_largest_sizes_make_a_sound_tree)
{
    size_t size = kvi_pair_bytes_max(&pairs_db.geometry);

    for (unsigned i = 0; i < 400; i++) {
        ck_ok(pairs_put_flags(pairs_number(i * 7919 % 20, size), pairs_number(i * 13 % 400, size),
                              0));
        if (i % 20 == 0) {
            tree_db_check(pairs_tree());
        }
    }
    ck_assert_uint_gt(pairs_record()->depth, 3);
    for (unsigned i = 0; i < 400; i++) {
        ck_ok(pairs_remove(pairs_number(i * 7919 % 20, size), pairs_number(i * 13 % 400, size)));
        if (i % 20 == 0) {
            tree_db_check(pairs_tree());
        }
    }
    ck_assert_uint_eq(pairs_record()->depth, 0);
    ck_assert_uint_eq(pairs_record()->keys, 0);
}
END_TEST

START_TEST(keys_of_zeros_stand_where_they_belong)
{
    for (size_t size = 0; size < 200; size++) { /* each 00 counts twice in a separator */
        for (unsigned i = 0; i < 10; i++) {
            ck_ok(pairs_put_flags(pairs_number(0, size * 37 % 200), pairs_number(i, 40 + size % 3),
                                  0));
        }
    }
    tree_db_check(pairs_tree());
    ck_assert_uint_eq(pairs_record()->keys, 200);
    ck_assert_uint_eq(pairs_record()->entries, 2000);
    for (size_t size = 0; size < 200; size++) {
        ck_assert_uint_eq(pairs_cells_of(pairs_number(0, size)).values, 10);
    }
}
END_TEST

/* ---- Marks and counts across leaves ---- */

/* "a" fills the first leaf nearly, "k" begins there and goes on over some others. */
static void two_keys_over_leaves(void)
{
    pairs_put_numbers("a", 0, 150, 8);
    for (unsigned i = 100; i < 2000; i++) {
        ck_ok(pairs_put_flags(pairs_text("k"), pairs_number(i, 8), 0));
    }
    ck_assert_uint_gt(pairs_cells_of(pairs_text("k")).leaves, 2);
    ck_assert_uint_eq(pairs_record()->keys, 2);
}

/* Deletes values of "k", ascending, until its first stands in another leaf than the last of "a". */
static unsigned until_next_leaf(void)
{
    struct kvi_path a, k;
    unsigned i = 100;
    bool exact;

    for (;; i++) {
        ck_ok(kvi_path_first(pairs_tree(), pairs_text("a"), &a, &exact));
        ck_ok(kvi_path_first(pairs_tree(), pairs_text("k"), &k, &exact));
        ck_assert(exact);
        if (kvi_path_leaf(&a)->page != kvi_path_leaf(&k)->page) {
            return i;
        }
        ck_ok(pairs_remove(pairs_text("k"), pairs_number(i, 8)));
    }
}

START_TEST(the_next_leaf_s_set_becomes_the_first_when_the_first_goes)
{
    struct kvi_tree_value value;
    unsigned first;

    two_keys_over_leaves();
    first = until_next_leaf();
    ck_assert_uint_gt(first, 100);
    ck_assert_uint_eq(pairs_record()->keys, 2);
    ck_assert_uint_eq(pairs_cells_of(pairs_text("k")).continued,
                      pairs_cells_of(pairs_text("k")).count - 1);
    ck_ok(kvi_tree_get(pairs_tree(), pairs_text("k"), &value));
    ck_assert(memcmp(value.data, pairs_number(first, 8).data, 8) == 0);
}
END_TEST

START_TEST(a_new_first_set_at_a_leaf_s_end_takes_over_from_the_next_leaf)
{
    struct kvi_tree_value value;
    unsigned first;

    two_keys_over_leaves();
    first = until_next_leaf();
    ck_ok(pairs_put_flags(pairs_text("k"), pairs_number(first - 1, 8),
                          0)); /* the separator is among its values */
    ck_assert_uint_eq(pairs_record()->keys, 2);
    ck_assert_uint_eq(pairs_cells_of(pairs_text("k")).continued,
                      pairs_cells_of(pairs_text("k")).count - 1);
    ck_ok(kvi_tree_get(pairs_tree(), pairs_text("k"), &value));
    ck_assert(memcmp(value.data, pairs_number(first - 1, 8).data, 8) == 0);
    ck_rc(pairs_put_flags(pairs_text("k"), pairs_number(5, 8), KV_NOOVERWRITE), KV_EEXIST);
}
END_TEST

START_TEST(no_overwrite_sees_a_key_whose_values_begin_in_the_next_leaf)
{
    struct kvi_tree_put put_again = {(const uint8_t *)"x", 1, NULL};
    unsigned first;

    two_keys_over_leaves();
    first = until_next_leaf();
    ck_rc(kvi_tree_put(pairs_tree(), pairs_text("k"), &put_again, KV_NOOVERWRITE), KV_EEXIST);
    ck_assert_uint_eq(put_again.size_bytes, 8);
    ck_assert(memcmp(put_again.data, pairs_number(first, 8).data, 8) == 0);
    ck_rc(pairs_put_flags(pairs_text("k"), pairs_number(5, 8), KV_APPEND_VALUE), KV_EORDER);
}
END_TEST

START_TEST(a_key_goes_with_all_its_values_over_many_leaves)
{
    two_keys_over_leaves();
    pairs_put("z", "stays");
    ck_ok(kvi_tree_delete(pairs_tree(), pairs_text("k"), KVI_CELL_VALUE));
    ck_assert_uint_eq(pairs_cells_of(pairs_text("k")).count, 0);
    ck_assert_uint_eq(pairs_record()->keys, 2);
    ck_assert_uint_eq(pairs_record()->entries, 151);
    ck_rc(kvi_tree_delete(pairs_tree(), pairs_text("k"), KVI_CELL_VALUE), KV_ENOTFOUND);
    ck_ok(kvi_tree_delete(pairs_tree(), pairs_text("a"), KVI_CELL_VALUE));
    ck_ok(kvi_tree_delete(pairs_tree(), pairs_text("z"), KVI_CELL_VALUE));
    ck_assert_uint_eq(pairs_record()->depth, 0);
    ck_assert_uint_eq(pairs_record()->pages_leaf + pairs_record()->pages_branch, 0);
}
END_TEST

/* ---- Flags ---- */

START_TEST(no_pair_refuses_a_pair_that_is_there)
{
    struct kvi_tree_put again = {(const uint8_t *)"v", 1, NULL};

    pairs_put("k", "v");
    ck_rc(kvi_tree_put(pairs_tree(), pairs_text("k"), &again, KV_NOPAIR), KV_EEXIST);
    ck_assert_uint_eq(again.size_bytes, 1);
    ck_ok(pairs_put_flags(pairs_text("k"), pairs_text("w"), KV_NOPAIR));
    ck_assert_uint_eq(pairs_record()->entries, 2);
}
END_TEST

START_TEST(append_value_refuses_what_is_not_above_the_key_s_others)
{
    pairs_put("k", "5");
    pairs_put("l", "1");
    ck_ok(pairs_put_flags(pairs_text("k"), pairs_text("6"), KV_APPEND_VALUE));
    ck_rc(pairs_put_flags(pairs_text("k"), pairs_text("6"), KV_APPEND_VALUE), KV_EORDER);
    ck_rc(pairs_put_flags(pairs_text("k"), pairs_text("55"), KV_APPEND_VALUE), KV_EORDER);
    ck_rc(pairs_put_flags(pairs_text("k"), pairs_text("1"), KV_APPEND_VALUE), KV_EORDER);
    ck_ok(pairs_put_flags(pairs_text("j"), pairs_text("1"), KV_APPEND_VALUE));
    ck_assert_uint_eq(pairs_record()->entries, 4);
}
END_TEST

START_TEST(append_refuses_what_is_not_above_all_pairs)
{
    ck_ok(pairs_put_flags(pairs_text("k"), pairs_text("5"), KV_APPEND));
    ck_ok(pairs_put_flags(pairs_text("k"), pairs_text("6"), KV_APPEND));
    ck_rc(pairs_put_flags(pairs_text("k"), pairs_text("6"), KV_APPEND), KV_EORDER);
    ck_rc(pairs_put_flags(pairs_text("j"), pairs_text("7"), KV_APPEND), KV_EORDER);
    ck_ok(pairs_put_flags(pairs_text("l"), pairs_text("1"), KV_APPEND));
    ck_assert_uint_eq(pairs_record()->keys, 2);
    tree_db_check(pairs_tree());
}
END_TEST

START_TEST(reserving_and_table_records_are_refused)
{
    ck_rc(pairs_put_flags(pairs_text("k"), pairs_text("v"), KV_RESERVE), KV_EINCOMPATIBLE);
    ck_rc(pairs_put_flags(pairs_text("k"), pairs_text("v"), KVI_PUT_TABLE), KV_EINCOMPATIBLE);
    ck_rc(kvi_tree_delete(pairs_tree(), pairs_text("k"), KVI_CELL_TABLE), KV_EINCOMPATIBLE);
    ck_assert_uint_eq(pairs_record()->entries, 0);
}
END_TEST

/* Puts values of all sorts until one is refused; what is in the tree then is what was put. */
START_TEST(no_split_adds_no_page_and_a_refused_put_changes_nothing)
{
    unsigned refused = 0, kept = 0;
    struct rng rng;

    rng_seed(&rng, "no split", 31);
    pairs_put("k", "first");
    for (unsigned i = 0; refused < 200; i++) {
        struct kvi_key value = pairs_number(rng_next(&rng) >> 8, 4 + rng_below(&rng, 3) * 20);
        struct kvi_key key = pairs_number(rng_below(&rng, 2), 1);
        uint64_t pages = pairs_record()->pages_leaf;
        bool there = pairs_has(key, value);
        int rc = pairs_put_flags(key, value, KV_NOSPLIT);

        ck_assert(rc == 0 || rc == KV_EPAGEFULL);
        ck_assert_uint_eq(pairs_record()->pages_leaf, pages);
        ck_assert(pairs_has(key, value) == (there || rc == 0));
        refused += rc != 0;
        kept += rc == 0 && !there;
        ck_assert_uint_eq(pairs_record()->entries, 1 + kept);
        if (refused % 20 == 0) {
            tree_db_check(pairs_tree());
        }
    }
    ck_assert_uint_gt(kept, 40);
}
END_TEST

START_TEST(deleting_what_is_not_there_says_so)
{
    pairs_put("k", "v");
    ck_rc(pairs_remove(pairs_text("k"), pairs_text("w")), KV_ENOTFOUND);
    ck_rc(pairs_remove(pairs_text("l"), pairs_text("v")), KV_ENOTFOUND);
    ck_assert_uint_eq(pairs_record()->entries, 1);
    ck_ok(pairs_remove(pairs_text("k"), pairs_text("v")));
    ck_assert_uint_eq(pairs_record()->root.pgno, 0);
    ck_rc(pairs_remove(pairs_text("k"), pairs_text("v")), KV_ENOTFOUND);
}
END_TEST

static void add(Suite *s, const char *name, const TTest *test)
{
    harness_add_fixture(s, name, test, pairs_open_pairs, pairs_close);
}

static void add_marks_and_flags(Suite *s)
{
    add(s, "marks", the_next_leaf_s_set_becomes_the_first_when_the_first_goes);
    add(s, "marks", a_new_first_set_at_a_leaf_s_end_takes_over_from_the_next_leaf);
    add(s, "marks", no_overwrite_sees_a_key_whose_values_begin_in_the_next_leaf);
    add(s, "marks", a_key_goes_with_all_its_values_over_many_leaves);
    add(s, "flags", no_pair_refuses_a_pair_that_is_there);
    add(s, "flags", append_value_refuses_what_is_not_above_the_key_s_others);
    add(s, "flags", append_refuses_what_is_not_above_all_pairs);
    add(s, "flags", reserving_and_table_records_are_refused);
    add(s, "flags", no_split_adds_no_page_and_a_refused_put_changes_nothing);
    add(s, "flags", deleting_what_is_not_there_says_so);
}

static Suite *suite(void)
{
    Suite *s = suite_create("pairs");

    add(s, "sets", a_key_has_each_value_once_and_get_gives_the_first);
    add(s, "sets", empty_keys_and_empty_values_are_keys_and_values);
    add(s, "sets", one_size_of_values_is_packed_and_another_value_unpacks_it_until_it_goes);
    add(s, "sets", values_of_several_sizes_are_deleted_from_every_place_of_their_set);
    add(s, "sets", a_set_that_outgrows_half_a_page_is_cut_in_two_halves);
    add(s, "sets", ascending_values_leave_full_cells_and_full_leaves);
    add(s, "sets", random_values_of_one_key_leave_leaves_well_filled);
    add(s, "sets", a_full_set_of_tiny_values_takes_a_large_one_in_its_middle);
    add(s, "sets", sets_that_became_small_join_in_their_leaf);
    add(s, "sets", pairs_of_the_largest_sizes_make_a_sound_tree);
    add(s, "sets", keys_of_zeros_stand_where_they_belong);
    add_marks_and_flags(s);
    return s;
}

HARNESS_MAIN(suite)
