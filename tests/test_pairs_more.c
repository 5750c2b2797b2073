/* SPDX-License-Identifier: MIT */
/* lib/tree with duplicates: many values at once, a user's orders, integers, what the check finds,
 * alignment. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "kv.h"
#include "pairs_help.h"
#include "tree/pairs.h"
#include "tree/value.h"

/* ---- Many values ---- */

static uint8_t many_room[16384 * 8];

static struct kvi_tree_put many(unsigned from, unsigned end, unsigned step)
{
    unsigned n = 0;

    for (unsigned i = from; i < end; i += step, n++) {
        memcpy(many_room + (size_t)8 * n, pairs_number(i, 8).data, 8);
    }
    return (struct kvi_tree_put){many_room, (uint64_t)8 * n, NULL};
}

static int put_many(const char *key, unsigned from, unsigned end, unsigned step, uint32_t flags)
{
    struct kvi_tree_put all = many(from, end, step);

    return kvi_tree_put_many(pairs_tree(), pairs_text(key), &all, flags);
}

START_TEST(many_values_go_in_at_once_and_fill_their_cells)
{
    pairs_put("a", "12345678");
    pairs_put("z", "12345678");
    ck_ok(put_many("k", 0, 10000, 1, 0));
    ck_assert_uint_eq(pairs_cells_of(pairs_text("k")).values, 10000);
    printf("many values at once: leaves %.3f full\n", tree_db_fill(pairs_tree()));
    ck_assert(tree_db_fill(pairs_tree()) > 0.9);
    ck_ok(put_many("k", 5000, 15000, 1, 0));
    ck_assert_uint_eq(pairs_cells_of(pairs_text("k")).values, 15000);
    ck_assert_uint_eq(pairs_record()->keys, 3);
}
END_TEST

START_TEST(many_values_go_between_those_that_are_there)
{
    ck_ok(put_many("k", 0, 9000, 3, 0));
    ck_ok(put_many("k", 1, 9000, 3, 0));
    ck_ok(put_many("k", 0, 9000, 1, 0));
    ck_assert_uint_eq(pairs_cells_of(pairs_text("k")).values, 9000);
    for (unsigned i = 0; i < 9000; i += 7) {
        ck_assert(pairs_has(pairs_text("k"), pairs_number(i, 8)));
    }
}
END_TEST

START_TEST(many_values_are_refused_before_the_first_goes_in)
{
    struct kvi_tree_put odd = {many_room, 12, NULL};

    ck_ok(put_many("k", 100, 200, 1, 0));
    ck_rc(put_many("k", 195, 300, 1, KV_NOPAIR), KV_EEXIST);
    ck_rc(put_many("k", 300, 250, 1, KV_APPEND_VALUE), 0); /* none */
    ck_rc(put_many("k", 199, 300, 1, KV_APPEND_VALUE), KV_EORDER);
    ck_rc(put_many("k", 50, 60, 1, KV_NOOVERWRITE), KV_EEXIST);
    ck_rc(put_many("j", 50, 60, 1, KV_APPEND), KV_EORDER);
    ck_rc(put_many("k", 50, 60, 1, KV_NOSPLIT), KV_EINVAL);
    ck_rc(kvi_tree_put_many(pairs_tree(), pairs_text("k"), &odd, 0), KV_EINVAL);
    ck_assert_uint_eq(pairs_record()->entries, 100);
    ck_ok(put_many("k", 200, 300, 1, KV_APPEND_VALUE | KV_APPEND | KV_NOPAIR));
    ck_ok(put_many("l", 0, 100, 1, KV_NOOVERWRITE | KV_APPEND));
    ck_assert_uint_eq(pairs_record()->entries, 300);
}
END_TEST

START_TEST(many_values_in_a_table_without_a_size_of_them_are_refused)
{
    struct kvi_tree_put all = {many_room, 16, NULL};

    ck_rc(kvi_tree_put_many(pairs_tree(), pairs_text("k"), &all, 0), KV_EINCOMPATIBLE);
}
END_TEST

/* ---- A user's orders ---- */

static int without_case(void *context, const struct kv_val *a, const struct kv_val *b)
{
    const uint8_t *x = a->data, *y = b->data;

    (void)context;
    for (size_t i = 0; i < a->size && i < b->size; i++) {
        if (tolower(x[i]) != tolower(y[i])) {
            return tolower(x[i]) - tolower(y[i]);
        }
    }
    return (a->size > b->size) - (a->size < b->size);
}

static void open_without_case(void)
{
    tree_db_open(&pairs_db, 4096);
    tree_db_reshape(&pairs_db, &(struct kvi_table_record){.flags = PAIRS,
                                                          .order = KV_ORDER_CUSTOM,
                                                          .value_order = KV_ORDER_CUSTOM});
    pairs_db.key_custom.compare = without_case;
    pairs_db.value_custom.compare = without_case;
    tree_db_begin(&pairs_db, 0);
}

START_TEST(keys_that_count_as_the_same_keep_the_bytes_of_the_first)
{
    pairs_put("Key", "a");
    pairs_put("KEY", "b");
    pairs_put("kEY", "A");
    ck_assert_uint_eq(pairs_record()->keys, 1);
    ck_assert_uint_eq(pairs_record()->entries, 2);
    ck_assert_uint_eq(pairs_cells_of(pairs_text("Key")).values, 2);
    pairs_expect_first("KEy", "a");
}
END_TEST

START_TEST(keys_that_count_as_the_same_have_the_same_bytes_in_every_leaf)
{
    static const char *const spelt[] = {"Key", "KEY", "kEY", "key"};
    char value[16];

    for (unsigned i = 0; i < 3000; i++) {
        snprintf(value, sizeof(value), "%06u", i * 7919 % 3000);
        pairs_put(spelt[i % 4], value);
    }
    ck_assert_uint_eq(pairs_cells_of(pairs_text("Key")).values, 3000);
    for (unsigned i = 0; i < 3000; i++) { /* leaves lose their cells and get others */
        snprintf(value, sizeof(value), "%06u", i);
        ck_ok(pairs_remove(pairs_text(spelt[i % 3]), pairs_text(value)));
        if (i % 50 == 49) {
            snprintf(value, sizeof(value), "%06u", i - 20);
            pairs_put(spelt[i % 4], value);
            tree_db_check(pairs_tree());
        }
    }
    ck_assert_uint_eq(pairs_record()->keys, 1);
}
END_TEST

static int move(const char *key, const char *from, const char *to, uint32_t flags)
{
    struct kvi_tree_put there = {(const uint8_t *)to, strlen(to), NULL};
    struct kvi_change change;
    struct kvi_place place;
    struct kvi_path path;

    ck_ok(kvi_change_begin(&change, pairs_tree(), &path, NULL, flags, &change.key));
    change.key = pairs_text(key);
    change.value = pairs_text(from);
    ck_ok(kvi_pair_find(&change, KVI_PATH_READ, &place));
    ck_assert(place.found);
    return kvi_change_end(&change, flags, kvi_put_at(&change, &there, flags));
}

START_TEST(a_value_is_written_over_by_one_that_counts_as_the_same)
{
    pairs_put("k", "abc");
    pairs_put("k", "b");
    ck_ok(move("k", "abc", "ABC", KV_AT_CURSOR));
    pairs_expect_first("k", "ABC");
    ck_rc(move("k", "b", "aBc", KV_AT_CURSOR), KV_EEXIST);
    ck_ok(move("k", "b", "c", KV_AT_CURSOR | KV_NOSPLIT));
    ck_assert(pairs_has(pairs_text("k"), pairs_text("C")));
    ck_assert(!pairs_has(pairs_text("k"), pairs_text("b")));
    ck_assert_uint_eq(pairs_record()->entries, 2);
}
END_TEST

START_TEST(without_its_comparator_a_table_is_neither_searched_nor_changed)
{
    struct kvi_tree_value value;

    pairs_put("k", "v");
    tree_db_commit(&pairs_db);
    pairs_db.key_custom.compare = NULL;
    tree_db_begin(&pairs_db, 0);
    ck_rc(kvi_tree_get(pairs_tree(), pairs_text("k"), &value), KV_ECOMPARATOR);
    ck_rc(pairs_put_flags(pairs_text("k"), pairs_text("w"), 0), KV_ECOMPARATOR);
    ck_rc(pairs_put_flags(pairs_text("l"), pairs_text("w"), KV_APPEND), KV_ECOMPARATOR);
    ck_rc(pairs_remove(pairs_text("k"), pairs_text("v")), KV_ECOMPARATOR);
    ck_rc(kvi_tree_delete(pairs_tree(), pairs_text("k"), KVI_CELL_VALUE), KV_ECOMPARATOR);
    tree_db_check(pairs_tree());
}
END_TEST

START_TEST(a_table_whose_comparator_is_not_known_is_moved_down_and_emptied)
{
    for (unsigned i = 0; i < 2000; i++) {
        ck_ok(pairs_put_flags(pairs_number(i % 50, 4), pairs_number(i, 30), 0));
    }
    tree_db_commit(&pairs_db);
    pairs_db.key_custom.compare = NULL;
    tree_db_begin(&pairs_db, 8 * 4096);
    ck_ok(kvi_tree_lower(pairs_tree(), 5));
    tree_db_check(pairs_tree());
    ck_assert_uint_eq(pairs_record()->entries, 2000);
    ck_ok(kvi_tree_empty(pairs_tree()));
    ck_assert_uint_eq(pairs_record()->keys, 0);
}
END_TEST

/* ---- Integers ---- */

START_TEST(the_first_put_says_how_long_integer_keys_and_fixed_values_are)
{
    uint32_t one = 1, big = 0x10000;
    uint64_t value = 7;

    ck_assert_uint_eq(pairs_record()->key_bytes, 0);
    ck_ok(pairs_put_flags((struct kvi_key){(uint8_t *)&big, 4},
                          (struct kvi_key){(uint8_t *)&value, 8}, 0));
    ck_ok(pairs_put_flags((struct kvi_key){(uint8_t *)&one, 4},
                          (struct kvi_key){(uint8_t *)&value, 8}, 0));
    ck_rc(pairs_put_flags((struct kvi_key){(uint8_t *)&one, 4},
                          (struct kvi_key){(uint8_t *)&value, 8}, KV_APPEND),
          KV_EORDER);
    ck_assert_uint_eq(pairs_record()->key_bytes, 4);
    ck_assert_uint_eq(pairs_record()->item_bytes, 8);
    ck_assert_uint_eq(pairs_tree()->shape.item_bytes, 8);
    tree_db_check(pairs_tree());
}
END_TEST

static void open_integers(void)
{
    pairs_open_as(FIXED, KV_ORDER_UINT, KV_ORDER_UINT, 0);
}

/* ---- What the check finds ---- */

static const char *found;

static int note_finding(void *context, uint64_t pgno, const char *what)
{
    (void)context;
    (void)pgno;
    if (!found) {
        found = what;
    }
    return 0;
}

/* The check of the tree as it is now finds this. */
static void expect_finding(const char *what)
{
    found = NULL;
    ck_ok(kvi_tree_check(pairs_tree(), note_finding, NULL));
    ck_assert_msg(found && strcmp(found, what) == 0, "found: %s", found ? found : "nothing");
}

/* A leaf to be changed: the second of the tree, whose first cell goes on the key of the first. */
static uint8_t *second_leaf(struct kvi_leaf_cell *cell)
{
    struct kvi_path path;

    ck_ok(kvi_path_edge(pairs_tree(), KVI_PATH_FIRST, KVI_PATH_READ, &path));
    ck_ok(kvi_path_leaf_after(pairs_tree(), &path));
    ck_ok(kvi_path_touch(pairs_tree(), &path));
    ck_assert(kvi_leaf_cell_at(&pairs_db.geometry, kvi_path_leaf(&path)->page, 0, cell));
    return kvi_path_leaf(&path)->image;
}

START_TEST(the_check_finds_a_set_that_is_marked_wrongly)
{
    struct kvi_leaf_cell cell;
    uint8_t *leaf;

    pairs_put_numbers("k", 0, 2000, 8);
    leaf = second_leaf(&cell);
    kvi_set_mark_continued(leaf + (cell.payload - leaf), cell.payload_bytes, false);
    expect_finding("values of one key in several cells are marked wrongly");
}
END_TEST

START_TEST(the_check_finds_a_count_that_is_wrong)
{
    struct kvi_path path;

    pairs_put_numbers("k", 0, 2000, 8);
    ck_ok(kvi_path_edge(pairs_tree(), KVI_PATH_LAST, KVI_PATH_TOUCH, &path));
    ck_ok(kvi_counts_add_cell(pairs_tree(), path.steps[0].image, 0, 1, 0));
    expect_finding("a count of records in a branch page is wrong");
    ck_ok(kvi_counts_add_cell(pairs_tree(), path.steps[0].image, 0, -1, 1));
    expect_finding("a count of records in a branch page is wrong");
    ck_ok(kvi_counts_add_cell(pairs_tree(), path.steps[0].image, 0, 0, -1));
    tree_db_check(pairs_tree());
    pairs_tree()->record.keys++;
    expect_finding("the table's count of keys is wrong");
}
END_TEST

START_TEST(the_check_finds_pairs_on_the_wrong_side_of_a_separator)
{
    struct kvi_leaf_cell cell;
    uint8_t *leaf;

    pairs_put_numbers("k", 0, 2000, 8);
    leaf = second_leaf(&cell);
    memset(leaf + (cell.payload - leaf), 0, 8); /* its first value: below the separator */
    expect_finding("keys outside the bounds that the parent sets");
}
END_TEST

START_TEST(counts_that_cannot_be_are_damage)
{
    struct kvi_path path;

    pairs_put_numbers("k", 0, 2000, 8);
    ck_ok(kvi_path_edge(pairs_tree(), KVI_PATH_LAST, KVI_PATH_TOUCH, &path));
    ck_rc(kvi_counts_add_cell(pairs_tree(), path.steps[0].image, 0, -100000, 0), KV_ECORRUPT);
    ck_rc(kvi_counts_add(pairs_tree(), &path, -2001, 0), KV_ECORRUPT);
}
END_TEST

/* ---- Alignment ---- */

START_TEST(values_stay_aligned_through_every_change)
{
    struct kvi_tree_value value;
    struct rng rng;

    rng_seed(&rng, "aligned", 32);
    tree_db_open(&pairs_db, 4096);
    tree_db_reshape(&pairs_db, &(struct kvi_table_record){.align_log2 = 4});
    tree_db_begin(&pairs_db, 0);
    for (unsigned i = 0; i < 5000; i++) {
        struct kvi_key key = pairs_number(rng_below(&rng, 200), 1 + rng_below(&rng, 2) * 8);
        struct kvi_key bytes = pairs_number(i, rng_below(&rng, 1500));

        ck_ok(pairs_put_flags(key, bytes, 0));
        ck_ok(kvi_tree_get(pairs_tree(), key, &value));
        ck_assert_uint_eq(value.size_bytes, bytes.size);
        ck_assert_uint_eq((uintptr_t)value.data % 16, 0);
    }
    tree_db_check(pairs_tree());
    pairs_close();
}
END_TEST

static void add(Suite *s, const char *name, const TTest *test)
{
    harness_add_fixture(s, name, test, pairs_open_pairs, pairs_close);
}

static Suite *suite(void)
{
    Suite *s = suite_create("pairs_more");

    add(s, "flags", many_values_in_a_table_without_a_size_of_them_are_refused);
    add(s, "check", the_check_finds_a_set_that_is_marked_wrongly);
    add(s, "check", the_check_finds_a_count_that_is_wrong);
    add(s, "check", the_check_finds_pairs_on_the_wrong_side_of_a_separator);
    add(s, "check", counts_that_cannot_be_are_damage);
    harness_add_fixture(s, "many", many_values_go_in_at_once_and_fill_their_cells, pairs_open_fixed,
                        pairs_close);
    harness_add_fixture(s, "many", many_values_go_between_those_that_are_there, pairs_open_fixed,
                        pairs_close);
    harness_add_fixture(s, "many", many_values_are_refused_before_the_first_goes_in,
                        pairs_open_fixed, pairs_close);
    harness_add_fixture(s, "custom", keys_that_count_as_the_same_keep_the_bytes_of_the_first,
                        open_without_case, pairs_close);
    harness_add_fixture(s, "custom", keys_that_count_as_the_same_have_the_same_bytes_in_every_leaf,
                        open_without_case, pairs_close);
    harness_add_fixture(s, "custom", a_value_is_written_over_by_one_that_counts_as_the_same,
                        open_without_case, pairs_close);
    harness_add_fixture(s, "custom", without_its_comparator_a_table_is_neither_searched_nor_changed,
                        open_without_case, pairs_close);
    harness_add_fixture(s, "custom",
                        a_table_whose_comparator_is_not_known_is_moved_down_and_emptied,
                        open_without_case, pairs_close);
    harness_add_fixture(s, "integers",
                        the_first_put_says_how_long_integer_keys_and_fixed_values_are,
                        open_integers, pairs_close);
    harness_add(s, "aligned", values_stay_aligned_through_every_change);
    return s;
}

HARNESS_MAIN(suite)
