/* SPDX-License-Identifier: MIT */
/*
 * Deleting ranges of keys: each edge by itself, every pair of bounds in a deep tree, and random
 * ranges against a model.
 *
 * The named tests stand on RECORDS records under every second one of the model's keys, so that each
 * record has an absent key at either side.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api_help.h"
#include "harness.h"
#include "range_ops.h"
#include "tree/path.h"

#define RECORDS 2000u
#define NO_BOUND UINT32_MAX

static struct tree_db db;
static struct model model;

/* ---- Verbs ---- */

static void put_flags(uint32_t number, uint32_t size_bytes, uint32_t flags)
{
    struct model_value *value = &model.values[number];
    uint8_t *bytes = malloc(size_bytes + 1);
    struct kvi_tree_put put = {bytes, size_bytes, NULL};

    *value = (struct model_value){true, size_bytes, number};
    model_fill(value->seed, size_bytes, bytes);
    ck_ok(kvi_tree_put(tree_db_tree(&db), model.keys[number], &put, flags));
    free(bytes);
}

static void put_record(uint32_t number, uint32_t size_bytes)
{
    put_flags(number, size_bytes, 0);
}

static void append_record(uint32_t number)
{
    put_flags(number, 100, KV_APPEND);
}

/* Records under the odd keys. */
static void fill(enum model_keys kind, uint32_t records, uint32_t size_bytes)
{
    struct rng rng;

    rng_init(&rng, 77);
    model_open(&model, kind, 2 * records + 1, db.geometry.key_bytes_max, &rng);
    for (uint32_t i = 1; i < model.count; i += 2) {
        put_record(i, size_bytes);
    }
}

static void open_filled(void)
{
    tree_db_open(&db, 4096);
    tree_db_begin(&db, 0);
    fill(MODEL_KEYS_NUMBERS, RECORDS, 100);
}

static void open_empty(void)
{
    tree_db_open(&db, 4096);
    tree_db_begin(&db, 0);
    memset(&model, 0, sizeof(model));
}

static void close_db(void)
{
    if (db.space) {
        tree_db_commit(&db);
        tree_db_check_claims(&db);
    }
    tree_db_close(&db);
    model_close(&model);
}

static const struct kvi_table_record *record(void)
{
    return &tree_db_tree(&db)->record;
}

static struct kv_val val_of(uint32_t number)
{
    const struct kvi_key *key = &model.keys[number];

    return (struct kv_val){key->size, (void *)(uintptr_t)key->data};
}

/* Deletes between two keys of the model. */
static void cut(uint32_t from, uint32_t to, uint32_t flags)
{
    struct kv_val low = from == NO_BOUND ? (struct kv_val){0, NULL} : val_of(from);
    struct kv_val high = to == NO_BOUND ? (struct kv_val){0, NULL} : val_of(to);
    struct kv_range range = {from == NO_BOUND ? NULL : &low, to == NO_BOUND ? NULL : &high, NULL,
                             flags};

    range_delete_checked(&db, &model, &range);
}

/* The model's number of the first record of each leaf; behind the last one the model's count. */
static uint32_t *leaf_starts(uint32_t *leaves_out)
{
    struct kvi_tree *tree = tree_db_tree(&db);
    uint32_t *starts = malloc((tree->record.pages_leaf + 1) * sizeof(*starts));
    struct kvi_path path;
    uint32_t number = 0;
    int rc = kvi_path_edge(tree, KVI_PATH_FIRST, KVI_PATH_READ, &path);

    for (*leaves_out = 0; !rc; rc = kvi_path_leaf_after(tree, &path)) {
        number = model_from(&model, number);
        starts[(*leaves_out)++] = number;
        for (unsigned i = 0; i < kvi_header_count(kvi_path_leaf(&path)->page); i++) {
            number = model_from(&model, number) + 1;
        }
    }
    ck_rc(rc, KV_ENOTFOUND);
    starts[*leaves_out] = model.count;
    return starts;
}

/* ---- Bounds ---- */

START_TEST(an_empty_table_has_nothing_to_delete)
{
    struct kv_val key = text_val("k");
    struct kv_range range = {&key, NULL, NULL, 0};

    range_delete_checked(&db, &model, NULL);
    range_delete_checked(&db, &model, &range);
    range = (struct kv_range){NULL, &key, NULL, 0};
    range_delete_checked(&db, &model, &range);
    range = (struct kv_range){NULL, NULL, &key, 0};
    range_delete_checked(&db, &model, &range);
    ck_assert_uint_eq(record()->depth, 0);
}
END_TEST

START_TEST(without_bounds_all_records_go)
{
    ck_assert_uint_gt(record()->depth, 1);
    range_delete_checked(&db, &model, NULL);
    ck_assert_uint_eq(record()->depth, 0);
    ck_assert_uint_eq(record()->root.pgno, 0);
    ck_assert_uint_eq(record()->pages_leaf, 0);
    ck_assert_uint_eq(record()->pages_branch, 0);
    put_record(1, 10);
    model_compare(&model, tree_db_tree(&db));
}
END_TEST

START_TEST(bounds_around_all_records_delete_all)
{
    cut(0, model.count - 1, 0);
    ck_assert_uint_eq(record()->depth, 0);
    put_record(1, 10);
    cut(1, 1, KV_TO_INCLUSIVE);
    ck_assert_uint_eq(record()->depth, 0);
}
END_TEST

START_TEST(bounds_are_inclusive_or_exclusive_as_the_flags_say)
{
    cut(101, 111, 0);
    ck_assert(!model.values[101].present);
    ck_assert(model.values[111].present);
    cut(201, 211, KV_FROM_EXCLUSIVE);
    ck_assert(model.values[201].present);
    ck_assert(model.values[211].present);
    cut(301, 311, KV_TO_INCLUSIVE);
    ck_assert(!model.values[301].present);
    ck_assert(!model.values[311].present);
    cut(401, 411, KV_FROM_EXCLUSIVE | KV_TO_INCLUSIVE);
    ck_assert(model.values[401].present);
    ck_assert(!model.values[411].present);
    cut(500, 510, KV_FROM_EXCLUSIVE | KV_TO_INCLUSIVE); /* keys that are not there */
}
END_TEST

START_TEST(a_range_from_behind_its_end_is_empty_and_changes_nothing)
{
    uint64_t root;
    size_t dirty;

    tree_db_commit(&db);
    tree_db_begin(&db, 0);
    root = record()->root.pgno;
    dirty = kvi_pager_dirty_count(tree_db_pager(&db));
    cut(2001, 1001, 0);
    cut(1003, 1001, KV_TO_INCLUSIVE);
    cut(1001, 1001, 0);
    cut(1001, 1001, KV_FROM_EXCLUSIVE | KV_TO_INCLUSIVE);
    cut(1001, 1003, KV_FROM_EXCLUSIVE); /* nothing stands between */
    cut(1002, 1002, KV_TO_INCLUSIVE);
    ck_assert_uint_eq(record()->root.pgno, root);
    ck_assert_uint_eq(kvi_pager_dirty_count(tree_db_pager(&db)), dirty);
    ck_assert(!tree_db_tree(&db)->changed);
}
END_TEST

START_TEST(an_end_that_ends_nowhere_reaches_to_the_last_record)
{
    cut(1001, NO_BOUND, 0);
    ck_assert_uint_eq(record()->entries, 500);
    cut(NO_BOUND, 501, 0);
    ck_assert_uint_eq(record()->entries, 250);
    cut(NO_BOUND, 0, KV_TO_INCLUSIVE);
    cut(model.count - 1, NO_BOUND, 0);
    ck_assert_uint_eq(record()->entries, 250);
}
END_TEST

START_TEST(a_prefix_deletes_the_keys_that_begin_with_it)
{
    static const char *const texts[] = {"a", "a\377", "a\377\377", "a\377\377z",
                                        "b", "\377",  "\377\377",  "\377\377a"};
    static const char *const prefixes[] = {"a\377\377", "\377\377", "a", "x", "\377", ""};
    static const unsigned left[] = {6, 4, 2, 2, 1, 0};

    model.count = sizeof(texts) / sizeof(texts[0]);
    model.keys = malloc(model.count * sizeof(*model.keys));
    model.values = calloc(model.count, sizeof(*model.values));
    for (uint32_t i = 0; i < model.count; i++) {
        model.keys[i] = (struct kvi_key){(const uint8_t *)strdup(texts[i]), strlen(texts[i])};
        put_record(i, 10);
    }
    for (unsigned i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
        struct kv_val prefix = text_val(prefixes[i]);
        struct kv_range range = {NULL, NULL, &prefix, 0};

        range_delete_checked(&db, &model, &range);
        ck_assert_uint_eq(record()->entries, left[i]);
    }
}
END_TEST

/* ---- Pages ---- */

START_TEST(a_range_inside_a_leaf_touches_its_path_only)
{
    uint64_t leaves;

    tree_db_commit(&db);
    tree_db_begin(&db, 0);
    leaves = record()->pages_leaf;
    cut(1001, 1005, 0);
    ck_assert_uint_eq(record()->pages_leaf, leaves);
    ck_assert_uint_eq(kvi_pager_dirty_count(tree_db_pager(&db)), record()->depth);
}
END_TEST

START_TEST(whole_leaves_go_without_their_neighbours_being_touched)
{
    uint32_t leaves;
    uint32_t *starts = leaf_starts(&leaves);

    tree_db_commit(&db);
    tree_db_begin(&db, 0);
    cut(starts[3], starts[7], 0);
    ck_assert_uint_eq(record()->pages_leaf, leaves - 4);
    ck_assert_uint_eq(kvi_pager_dirty_count(tree_db_pager(&db)), record()->depth - 1u);
    free(starts);
}
END_TEST

START_TEST(the_first_and_the_last_leaf_may_go)
{
    uint32_t leaves;
    uint32_t *starts = leaf_starts(&leaves);

    cut(starts[0], starts[1], 0);
    cut(starts[leaves - 1], NO_BOUND, 0);
    ck_assert_uint_eq(record()->pages_leaf, leaves - 2);
    cut(NO_BOUND, starts[1] + 1, 0);
    cut(starts[leaves - 1] - 2, starts[leaves - 1], 0);
    free(starts);
}
END_TEST

START_TEST(parts_of_two_neighbouring_leaves_go)
{
    uint32_t leaves;
    uint32_t *starts = leaf_starts(&leaves);

    for (uint32_t i = 1; i + 2 < leaves && i < 40; i += 2) {
        cut(starts[i] - 3, starts[i] + 3, KV_TO_INCLUSIVE);
    }
    free(starts);
}
END_TEST

START_TEST(all_but_one_record_may_go)
{
    for (uint32_t kept = 1; kept < model.count; kept += 998) {
        cut(NO_BOUND, kept, 0);
        cut(kept, NO_BOUND, KV_FROM_EXCLUSIVE);
        ck_assert_uint_eq(record()->entries, 1);
        ck_assert_uint_eq(record()->depth, 1);
        ck_assert_uint_eq(record()->pages_branch, 0);
        for (uint32_t i = 1; i < model.count; i += 2) {
            put_record(i, 100);
        }
    }
}
END_TEST

START_TEST(what_is_left_of_two_leaves_is_merged)
{
    uint32_t leaves;
    uint32_t *starts = leaf_starts(&leaves);

    cut(starts[5] + 4, starts[9] - 4, 0);
    ck_assert_uint_eq(record()->pages_leaf, leaves - 3);
    free(starts);
}
END_TEST

/* Each pair of bounds, each from the same tree: whatever stands at the edges of its pages is met. */
START_TEST(every_pair_of_bounds_in_a_deep_tree)
{
    const uint32_t records = 30;

    model.count = 2 * records + 1;
    model.keys = malloc(model.count * sizeof(*model.keys));
    model.values = calloc(model.count, sizeof(*model.values));
    for (uint32_t i = 0; i < model.count; i++) {
        uint8_t *bytes = malloc(1900);

        memset(bytes, 'k', 1900);
        bytes[1898] = (uint8_t)i;
        model.keys[i] = (struct kvi_key){bytes, 1900};
    }
    for (uint32_t i = 1; i < model.count; i += 2) {
        put_record(i, 50);
    }
    ck_assert_uint_gt(record()->depth, 3);
    for (uint32_t from = 0; from < model.count; from++) {
        for (uint32_t to = from; to < model.count; to++) {
            struct model_value *saved = model_save(&model);

            tree_db_nest(&db);
            cut(from, to, 0);
            tree_db_unnest(&db, false);
            model_restore(&model, saved);
        }
    }
}
END_TEST

START_TEST(runs_of_large_values_go_with_their_records)
{
    for (uint32_t i = 1; i < 200; i += 10) {
        put_record(i, 9000);
    }
    ck_assert_uint_eq(record()->pages_overflow, 60);
    cut(51, 101, 0);
    ck_assert_uint_eq(record()->pages_overflow, 45);
    tree_db_commit(&db);
    tree_db_begin(&db, 0);
    cut(NO_BOUND, 151, 0);
    ck_assert_uint_eq(record()->pages_overflow, 15);
    cut(NO_BOUND, NO_BOUND, 0);
    ck_assert_uint_eq(record()->pages_overflow, 0);
}
END_TEST

START_TEST(an_append_after_a_range_delete_finds_the_new_end)
{
    for (uint32_t turn = 1; turn < 6; turn++) {
        cut(model.count - 200 * turn, NO_BOUND, 0);
        for (uint32_t i = model.count - 199 * turn; i < model.count; i++) {
            append_record(i); /* the tree knows its last leaf from now on */
        }
        cut(model.count - 30 * turn, NO_BOUND, 0);
        append_record(model.count - 30 * turn + 1);
        tree_db_check(tree_db_tree(&db));
        model_compare(&model, tree_db_tree(&db));
    }
}
END_TEST

/* ---- Arguments, cursors, damage ---- */

/* Deletes between the keys as a cursor gives them, which stand in the tree's pages. */
static void cut_by_pages(uint32_t from, uint32_t to)
{
    struct kvi_tree *tree = tree_db_tree(&db);
    struct kvi_key low = model.keys[from], high = model.keys[to];
    struct kvi_cursor *cursor;
    struct kvi_range places;
    struct kv_val low_val, high_val;
    struct kv_range range = {&low_val, &high_val, NULL, 0};
    uint64_t deleted;

    put_record(from, 100); /* so that the pages are written over, not left behind */
    put_record(to, 100);
    ck_ok(kvi_cursor_open(tree, &cursor));
    ck_ok(kvi_cursor_get(cursor, KV_EXACT, &low, NULL));
    ck_ok(kvi_cursor_get(cursor, KV_EXACT, &high, NULL));
    low_val = (struct kv_val){low.size, (void *)(uintptr_t)low.data};
    high_val = (struct kv_val){high.size, (void *)(uintptr_t)high.data};
    ck_ok(kvi_range_init(&places, &tree->shape, &range));
    ck_ok(kvi_tree_delete_range(tree, &places, false, &deleted));
    ck_assert_uint_eq(deleted, (to - from) / 2);
    kvi_range_release(&places);
    kvi_cursor_close(cursor);
    tree_db_check(tree);
}

START_TEST(the_bounds_may_point_into_pages_that_go)
{
    struct model_value *saved = model_save(&model);
    uint32_t leaves;
    uint32_t *starts = leaf_starts(&leaves);
    uint64_t leaves_left;

    for (uint32_t i = 1; i < 9; i++) { /* what is left in the leaves at the edges varies */
        uint32_t from = starts[5] + 2 * i, to = starts[9] - 2 * i;

        tree_db_nest(&db);
        cut(from, to, 0);
        leaves_left = record()->pages_leaf;
        tree_db_unnest(&db, false);
        memcpy(model.values, saved, model.count * sizeof(*saved));
        tree_db_nest(&db);
        cut_by_pages(from, to);
        for (uint32_t gone = from; gone < to; gone++) {
            model.values[gone].present = false;
        }
        ck_assert_uint_eq(record()->pages_leaf, leaves_left);
        model_compare(&model, tree_db_tree(&db));
        tree_db_unnest(&db, false);
        memcpy(model.values, saved, model.count * sizeof(*saved));
    }
    free(saved);
    free(starts);
}
END_TEST

static struct kvi_cursor *cursor_at(uint32_t number)
{
    struct kvi_key key = model.keys[number];
    struct kvi_cursor *cursor;

    ck_ok(kvi_cursor_open(tree_db_tree(&db), &cursor));
    ck_ok(kvi_cursor_get(cursor, KV_EXACT, &key, NULL));
    return cursor;
}

static void expect_move(struct kvi_cursor *cursor, int op, uint32_t number)
{
    struct kvi_key key = {NULL, 0};

    ck_ok(kvi_cursor_get(cursor, op, &key, NULL));
    model_expect(&model, number, key, NULL);
}

START_TEST(cursors_in_the_range_stand_before_the_record_behind_it)
{
    struct kvi_cursor *before = cursor_at(101), *inside = cursor_at(1501), *last = cursor_at(2999);
    struct kvi_cursor *behind = cursor_at(3001), *back = cursor_at(1001);

    cut(103, 3001, 0);
    expect_move(before, KV_CURRENT, 101);
    expect_move(before, KV_NEXT, 3001);
    expect_move(inside, KV_NEXT, 3001);
    expect_move(last, KV_CURRENT, 3001);
    expect_move(behind, KV_PREV, 101);
    expect_move(back, KV_PREV, 101);
    kvi_cursor_close(back);
    back = cursor_at(3003);
    cut(3003, 3011, 0);
    put_record(3005, 10);
    expect_move(back, KV_NEXT, 3011); /* what came later stands before it */
    cut(NO_BOUND, NO_BOUND, 0);
    ck_rc(kvi_cursor_get(inside, KV_NEXT, &(struct kvi_key){NULL, 0}, NULL), KV_ENOTFOUND);
    kvi_cursor_close(before);
    kvi_cursor_close(inside);
    kvi_cursor_close(last);
    kvi_cursor_close(behind);
    kvi_cursor_close(back);
}
END_TEST

START_TEST(a_leaf_that_is_not_the_one_meant_is_not_counted)
{
    struct kvi_tree *tree;
    struct kvi_range places;
    struct kvi_path path;
    uint64_t deleted;
    off_t at;

    tree_db_commit(&db);
    tree_db_begin(&db, 0);
    tree = tree_db_tree(&db);
    ck_ok(kvi_path_edge(tree, KVI_PATH_FIRST, KVI_PATH_READ, &path));
    ck_ok(kvi_path_leaf_after(tree, &path));
    at = (off_t)(kvi_header_pgno(kvi_path_leaf(&path)->page) << db.geometry.page_shift);
    ck_assert_int_eq(pwrite(db.fd, "stale", 5, at), 5);
    ck_ok(kvi_range_init(&places, &tree->shape, NULL));
    places.from_given = true;
    ck_ok(kvi_probe_init(&places.from, &tree->shape, model.keys[1], (struct kvi_key){NULL, 0},
                         KVI_PROBE_LAST));
    ck_rc(kvi_tree_delete_range(tree, &places, false, &deleted), KV_ECORRUPT);
    ck_assert_uint_eq(deleted, 0);
    kvi_range_release(&places);
    tree_db_abort(&db);
}
END_TEST

START_TEST(a_rank_tells_the_keys_that_have_begun)
{
    struct kvi_tree *tree = tree_db_tree(&db);
    struct kvi_table_record duplicates = tree->record;
    uint8_t value[2] = {0, 0};
    struct kvi_tree_put put = {value, 2, NULL};

    duplicates.flags = KVI_TABLE_DUPLICATES | KVI_TABLE_COUNTED;
    kvi_tree_set_record(tree, &duplicates);
    for (unsigned i = 0; i < 3000; i++) { /* one key in many cells, between two others */
        value[0] = (uint8_t)(i >> 8);
        value[1] = (uint8_t)i;
        ck_ok(kvi_tree_put(tree, (struct kvi_key){(const uint8_t *)"b", 1}, &put, 0));
    }
    ck_ok(kvi_tree_put(tree, (struct kvi_key){(const uint8_t *)"a", 1}, &put, 0));
    ck_ok(kvi_tree_put(tree, (struct kvi_key){(const uint8_t *)"c", 1}, &put, 0));
    for (unsigned i = 0; i < 3000; i += 7) {
        struct kvi_counts before;
        struct kvi_probe probe;

        value[0] = (uint8_t)(i >> 8);
        value[1] = (uint8_t)i;
        ck_ok(kvi_probe_init(&probe, &tree->shape, (struct kvi_key){(const uint8_t *)"b", 1},
                             (struct kvi_key){value, 2}, KVI_PROBE_VALUE));
        ck_ok(kvi_tree_rank(tree, &probe, &before));
        ck_assert_uint_eq(before.records, 1 + i);
        ck_assert_uint_eq(before.keys, i == 0 ? 1 : 2);
        kvi_probe_release(&probe);
    }
    tree_db_check(tree);
}
END_TEST

/* ---- Random ones ---- */

static const struct range_plan plans[] = {
    {"numbers", 4096, MODEL_KEYS_NUMBERS, 3000, 1000, 0, false, 0, 1},
    {"text", 4096, MODEL_KEYS_TEXT, 3000, 1000, 0, false, 0, 2},
    {"mixed", 4096, MODEL_KEYS_MIXED, 1500, 2000, 0, false, 0, 3},
    {"mixed, runs, nested", 4096, MODEL_KEYS_MIXED, 1000, 1000, 0, true, 5, 4},
    {"text, runs, spilling, nested", 4096, MODEL_KEYS_TEXT, 1500, 1000, 64, true, 5, 5},
    {"16 KiB", 16384, MODEL_KEYS_MIXED, 1000, 500, 0, true, 2, 6},
    {"64 KiB", 65536, MODEL_KEYS_MIXED, 1000, 300, 0, true, 2, 7},
    {"few records", 4096, MODEL_KEYS_MIXED, 8, 3000, 0, true, 2, 8},
};

START_TEST(random_ranges_go_as_in_the_model)
{
    range_run(&plans[_i]);
}
END_TEST

static Suite *suite(void)
{
    const struct {
        const char *name;
        const TTest *test;
    } filled[] = {
        {"bounds", without_bounds_all_records_go},
        {"bounds", bounds_around_all_records_delete_all},
        {"bounds", bounds_are_inclusive_or_exclusive_as_the_flags_say},
        {"bounds", a_range_from_behind_its_end_is_empty_and_changes_nothing},
        {"bounds", an_end_that_ends_nowhere_reaches_to_the_last_record},
        {"pages", a_range_inside_a_leaf_touches_its_path_only},
        {"pages", whole_leaves_go_without_their_neighbours_being_touched},
        {"pages", the_first_and_the_last_leaf_may_go},
        {"pages", parts_of_two_neighbouring_leaves_go},
        {"pages", all_but_one_record_may_go},
        {"pages", what_is_left_of_two_leaves_is_merged},
        {"pages", runs_of_large_values_go_with_their_records},
        {"pages", an_append_after_a_range_delete_finds_the_new_end},
        {"others", the_bounds_may_point_into_pages_that_go},
        {"others", cursors_in_the_range_stand_before_the_record_behind_it},
        {"others", a_leaf_that_is_not_the_one_meant_is_not_counted},
    };
    Suite *s = suite_create("range");

    harness_add_fixture(s, "empty", an_empty_table_has_nothing_to_delete, open_empty, close_db);
    harness_add_fixture(s, "empty", a_prefix_deletes_the_keys_that_begin_with_it, open_empty,
                        close_db);
    harness_add_fixture(s, "empty", a_rank_tells_the_keys_that_have_begun, open_empty, close_db);
    harness_add_fixture(s, "empty", every_pair_of_bounds_in_a_deep_tree, open_empty, close_db);
    for (size_t i = 0; i < sizeof(filled) / sizeof(filled[0]); i++) {
        harness_add_fixture(s, filled[i].name, filled[i].test, open_filled, close_db);
    }
    harness_add_loop(s, "random", random_ranges_go_as_in_the_model, 0,
                     (int)(sizeof(plans) / sizeof(plans[0])));
    return s;
}

HARNESS_MAIN(suite)
