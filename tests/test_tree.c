/* SPDX-License-Identifier: MIT */
/* lib/tree without cursors: records in and out, what a refused change leaves, how full pages are,
 * the check. */
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "kv.h"
#include "tree_db.h"
#include "tree_model.h"

static struct tree_db db;

static void open_4k(void)
{
    tree_db_open(&db, 4096);
    tree_db_begin(&db, 0);
}

static void close_db(void)
{
    tree_db_close(&db);
    tmp_clear();
}

/* ---- Verbs ---- */

static struct kvi_key key_of(const char *text)
{
    return (struct kvi_key){(const uint8_t *)text, strlen(text)};
}

static int put_flags(struct kvi_key key, const void *data, size_t size_bytes, uint32_t flags)
{
    struct kvi_tree_put put = {data, size_bytes, NULL};

    return kvi_tree_put(tree_db_tree(&db), key, &put, flags);
}

static void put(const char *key, const char *value)
{
    ck_ok(put_flags(key_of(key), value, strlen(value), 0));
}

static void expect(const char *key, const char *value)
{
    struct kvi_tree_value found;

    ck_ok(kvi_tree_get(tree_db_tree(&db), key_of(key), &found));
    ck_assert_uint_eq(found.size_bytes, strlen(value));
    ck_assert(memcmp(found.data, value, strlen(value)) == 0);
}

static void expect_none(const char *key)
{
    struct kvi_tree_value found;

    ck_rc(kvi_tree_get(tree_db_tree(&db), key_of(key), &found), KV_ENOTFOUND);
    ck_assert_ptr_null(found.data);
}

static struct kvi_key number_key(uint64_t number, uint8_t bytes[8])
{
    for (int i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)(number >> (56 - 8 * i));
    }
    return (struct kvi_key){bytes, 8};
}

static void put_number(uint64_t number, uint32_t flags)
{
    static const uint8_t value[100] = {'v'};
    uint8_t bytes[8];

    ck_ok(put_flags(number_key(number, bytes), value, sizeof(value), flags));
}

static int delete_number(uint64_t number)
{
    uint8_t bytes[8];

    return kvi_tree_delete(tree_db_tree(&db), number_key(number, bytes), KVI_CELL_VALUE);
}

/* A key of `size` bytes that ends in `number`. */
static struct kvi_key long_key(uint8_t *bytes, size_t size, unsigned number)
{
    memset(bytes, 'k', size);
    bytes[size - 2] = (uint8_t)(number >> 8);
    bytes[size - 1] = (uint8_t)number;
    return (struct kvi_key){bytes, size};
}

static const struct kvi_table_record *record(void)
{
    return &tree_db_tree(&db)->record;
}

/* ---- Records ---- */

START_TEST(an_empty_tree_has_nothing)
{
    expect_none("a");
    ck_rc(kvi_tree_delete(tree_db_tree(&db), key_of("a"), KVI_CELL_VALUE), KV_ENOTFOUND);
    ck_assert_uint_eq(record()->depth, 0);
    tree_db_check(tree_db_tree(&db));
}
END_TEST

START_TEST(what_was_put_is_found)
{
    put("b", "2");
    put("a", "1");
    put("", "empty key");
    put("c", "");
    expect("a", "1");
    expect("b", "2");
    expect("", "empty key");
    expect("c", "");
    expect_none("aa");
    ck_assert_uint_eq(record()->entries, 4);
}
END_TEST

START_TEST(a_put_replaces_a_value_of_any_other_size)
{
    char large[9000];

    memset(large, 'L', sizeof(large) - 1);
    large[sizeof(large) - 1] = 0;
    put("k", "small");
    put("k", "SMALL");
    expect("k", "SMALL");
    put("k", large);
    expect("k", large);
    ck_assert_uint_eq(record()->pages_overflow, 3);
    put("k", "small again");
    expect("k", "small again");
    ck_assert_uint_eq(record()->pages_overflow, 0);
    ck_assert_uint_eq(record()->entries, 1);
    tree_db_check(tree_db_tree(&db));
}
END_TEST

START_TEST(the_last_record_takes_the_root_with_it)
{
    put("k", "v");
    ck_ok(kvi_tree_delete(tree_db_tree(&db), key_of("k"), KVI_CELL_VALUE));
    ck_assert_uint_eq(record()->root.pgno, 0);
    ck_assert_uint_eq(record()->depth, 0);
    ck_assert_uint_eq(record()->pages_leaf, 0);
    put("k", "w");
    expect("k", "w");
}
END_TEST

START_TEST(a_commit_shows_in_a_reading_tree_and_a_change_before_it_does_not)
{
    struct kvi_tree reader;
    struct kvi_tree_value value;

    put("a", "1");
    tree_db_commit(&db);
    tree_db_begin(&db, 0);
    put("a", "2");
    put("b", "2");
    tree_db_read(&db, &reader);
    ck_ok(kvi_tree_get(&reader, key_of("a"), &value));
    ck_assert_int_eq(value.data[0], '1');
    ck_rc(kvi_tree_get(&reader, key_of("b"), &value), KV_ENOTFOUND);
}
END_TEST

START_TEST(keys_of_the_largest_size_make_a_sound_tree)
{
    size_t size = db.geometry.key_bytes_max;
    uint8_t *bytes = malloc(size);

    for (unsigned i = 0; i < 300; i++) {
        ck_ok(put_flags(long_key(bytes, size, i * 7919 % 300), "v", 1, 0));
    }
    tree_db_check(tree_db_tree(&db));
    ck_assert_uint_gt(record()->depth, 3);
    for (unsigned i = 0; i < 300; i++) {
        ck_ok(kvi_tree_delete(tree_db_tree(&db), long_key(bytes, size, i * 13 % 300),
                              KVI_CELL_VALUE));
        tree_db_check(tree_db_tree(&db));
    }
    ck_assert_uint_eq(record()->depth, 0);
    free(bytes);
}
END_TEST

/* ---- Flags ---- */

START_TEST(no_overwrite_gives_the_present_value)
{
    struct kvi_tree_put again = {(const uint8_t *)"new", 3, NULL};

    put("k", "present");
    ck_rc(kvi_tree_put(tree_db_tree(&db), key_of("k"), &again, KV_NOOVERWRITE), KV_EEXIST);
    ck_assert_uint_eq(again.size_bytes, 7);
    ck_assert(memcmp(again.data, "present", 7) == 0);
    expect("k", "present");
    ck_ok(put_flags(key_of("other"), "v", 1, KV_NOOVERWRITE));
    expect("other", "v");
}
END_TEST

START_TEST(append_takes_only_keys_above_the_last)
{
    ck_ok(put_flags(key_of("b"), "1", 1, KV_APPEND));
    ck_ok(put_flags(key_of("c"), "1", 1, KV_APPEND));
    ck_rc(put_flags(key_of("c"), "2", 1, KV_APPEND), KV_EORDER);
    ck_rc(put_flags(key_of("a"), "2", 1, KV_APPEND), KV_EORDER);
    expect("c", "1");
    expect_none("a");
    ck_assert_uint_eq(record()->entries, 2);
}
END_TEST

START_TEST(reserve_gives_space_that_is_read_back)
{
    static const size_t sizes[] = {5, 0, 500, 1900, 2100, 70000};

    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct kvi_tree_put reserve = {NULL, sizes[i], NULL};
        struct kvi_tree_value value;
        uint8_t name = (uint8_t)i;

        ck_ok(kvi_tree_put(tree_db_tree(&db), (struct kvi_key){&name, 1}, &reserve, KV_RESERVE));
        memset(reserve.space, 'A' + (int)i, sizes[i]);
        ck_ok(kvi_tree_get(tree_db_tree(&db), (struct kvi_key){&name, 1}, &value));
        ck_assert_uint_eq(value.size_bytes, sizes[i]);
        for (size_t at = 0; at < sizes[i]; at++) {
            ck_assert_int_eq(value.data[at], 'A' + (int)i);
        }
    }
    tree_db_check(tree_db_tree(&db));
}
END_TEST

START_TEST(reserved_space_survives_the_split_that_made_it)
{
    for (uint64_t i = 0; i < 2000; i++) {
        struct kvi_tree_put reserve = {NULL, 60, NULL};
        uint8_t bytes[8];

        ck_ok(kvi_tree_put(tree_db_tree(&db), number_key(i * 7919 % 2000, bytes), &reserve,
                           KV_RESERVE));
        memset(reserve.space, (int)(i % 251), 60);
    }
    for (uint64_t i = 0; i < 2000; i++) {
        struct kvi_tree_value value;
        uint8_t bytes[8];

        ck_ok(kvi_tree_get(tree_db_tree(&db), number_key(i * 7919 % 2000, bytes), &value));
        ck_assert_int_eq(value.data[0], (int)(i % 251));
        ck_assert_int_eq(value.data[59], (int)(i % 251));
    }
}
END_TEST

START_TEST(no_split_refuses_the_record_that_needs_one_and_changes_nothing)
{
    struct kvi_table_record before;
    uint8_t large[3000] = {0};
    uint64_t number = 0;
    uint8_t bytes[8];
    int rc = 0;

    while (rc == 0) {
        before = *record();
        rc = put_flags(number_key(number++, bytes), "a value of some bytes", 21, KV_NOSPLIT);
    }
    ck_rc(rc, KV_EPAGEFULL);
    ck_assert_uint_eq(record()->entries, before.entries);
    ck_assert_uint_eq(record()->entries, number - 1);
    ck_assert_uint_eq(record()->pages_leaf, 1);
    ck_rc(put_flags(number_key(5000, bytes), large, sizeof(large), KV_NOSPLIT), KV_EPAGEFULL);
    ck_rc(put_flags(number_key(3, bytes), large, 2000, KV_NOSPLIT), KV_EPAGEFULL);
    ck_assert_uint_eq(record()->pages_overflow, 0);
    ck_assert_uint_eq(record()->entries, before.entries);
    ck_ok(put_flags(number_key(3, bytes), "shorter", 7, KV_NOSPLIT));
    tree_db_check(tree_db_tree(&db));
}
END_TEST

START_TEST(a_table_and_a_value_do_not_replace_one_another)
{
    uint8_t table[KVI_TABLE_RECORD_BYTES] = {0};
    struct kvi_tree_value value;

    put("value", "v");
    ck_ok(put_flags(key_of("table"), table, sizeof(table), KVI_PUT_TABLE));
    ck_rc(put_flags(key_of("value"), table, sizeof(table), KVI_PUT_TABLE), KV_EINCOMPATIBLE);
    ck_rc(put_flags(key_of("table"), "v", 1, 0), KV_EINCOMPATIBLE);
    ck_rc(put_flags(key_of("table"), "v", 1, KV_NOOVERWRITE), KV_EINCOMPATIBLE);
    ck_rc(kvi_tree_delete(tree_db_tree(&db), key_of("table"), KVI_CELL_VALUE), KV_EINCOMPATIBLE);
    ck_rc(kvi_tree_delete(tree_db_tree(&db), key_of("value"), KVI_CELL_TABLE), KV_EINCOMPATIBLE);
    ck_ok(kvi_tree_get(tree_db_tree(&db), key_of("table"), &value));
    ck_assert_int_eq(value.kind, KVI_CELL_TABLE);
    table[0] = 1;
    ck_ok(put_flags(key_of("table"), table, sizeof(table), KVI_PUT_TABLE));
    ck_ok(kvi_tree_get(tree_db_tree(&db), key_of("table"), &value));
    ck_assert_int_eq(value.data[0], 1);
    ck_ok(kvi_tree_delete(tree_db_tree(&db), key_of("table"), KVI_CELL_TABLE));
    expect_none("table");
}
END_TEST

/* ---- Arguments inside the tree ---- */

START_TEST(a_value_may_be_made_of_its_own_bytes)
{
    char text[4000];
    struct kvi_tree_value value;

    for (size_t i = 0; i < sizeof(text); i++) {
        text[i] = (char)('a' + i % 26);
    }
    /* from a run into the cell, from the cell into the cell */
    ck_ok(put_flags(key_of("k"), text, sizeof(text), 0));
    ck_ok(kvi_tree_get(tree_db_tree(&db), key_of("k"), &value));
    ck_ok(put_flags(key_of("k"), value.data + 1000, 1500, 0));
    ck_ok(kvi_tree_get(tree_db_tree(&db), key_of("k"), &value));
    ck_assert(value.size_bytes == 1500 && memcmp(value.data, text + 1000, 1500) == 0);
    ck_ok(put_flags(key_of("k"), value.data + 3, 700, 0));
    ck_ok(kvi_tree_get(tree_db_tree(&db), key_of("k"), &value));
    ck_assert(value.size_bytes == 700 && memcmp(value.data, text + 1003, 700) == 0);
    ck_ok(put_flags(key_of("k"), value.data + 1, 699, 0));
    ck_ok(kvi_tree_get(tree_db_tree(&db), key_of("k"), &value));
    ck_assert(value.size_bytes == 699 && memcmp(value.data, text + 1004, 699) == 0);
    tree_db_check(tree_db_tree(&db));
}
END_TEST

/* ---- Shape ---- */

START_TEST(ascending_inserts_leave_full_pages)
{
    double fill, children;

    for (uint64_t i = 0; i < 20000; i++) {
        put_number(i, _i == 0 ? 0 : KV_APPEND);
    }
    tree_db_check(tree_db_tree(&db));
    fill = tree_db_fill(tree_db_tree(&db));
    children = (double)record()->pages_leaf / (double)(record()->pages_branch - 1);
    printf("ascending%s: leaves %.3f full, %.0f to a branch\n", _i == 0 ? "" : ", append", fill,
           children);
    ck_assert_double_gt(fill, 0.95);
    ck_assert_uint_eq(record()->depth, 3);
    ck_assert_double_gt(children, 180);
}
END_TEST

START_TEST(descending_inserts_fill_pages_well)
{
    double fill;

    for (uint64_t i = 20000; i > 0; i--) {
        put_number(i, 0);
    }
    tree_db_check(tree_db_tree(&db));
    fill = tree_db_fill(tree_db_tree(&db));
    printf("descending: leaves %.3f full\n", fill);
    ck_assert_double_gt(fill, 0.6);
}
END_TEST

START_TEST(random_inserts_fill_pages_by_four_fifths)
{
    struct rng rng;
    double fill;

    rng_seed(&rng, "fill", 1);
    for (int i = 0; i < 30000; i++) {
        put_number(rng_next(&rng), 0);
    }
    tree_db_check(tree_db_tree(&db));
    fill = tree_db_fill(tree_db_tree(&db));
    printf("random: leaves %.3f full\n", fill);
    ck_assert_double_gt(fill, 0.78);
}
END_TEST

START_TEST(ascending_runs_inside_the_tree_leave_full_pages)
{
    double fill;

    for (uint64_t run = 0; run < 20; run++) {
        put_number((run * 7 % 20) << 32, 0);
    }
    for (uint64_t run = 0; run < 20; run++) {
        for (uint64_t i = 1; i < 1000; i++) {
            put_number(((run * 3 % 20) << 32) + i, 0);
        }
    }
    tree_db_check(tree_db_tree(&db));
    fill = tree_db_fill(tree_db_tree(&db));
    printf("ascending runs: leaves %.3f full\n", fill);
    ck_assert_double_gt(fill, 0.9);
}
END_TEST

START_TEST(deletes_merge_pages_until_none_is_left)
{
    struct rng rng;
    double fill;

    for (uint64_t i = 0; i < 10000; i++) {
        put_number(i, 0);
    }
    rng_seed(&rng, "deletes", 2);
    while (record()->entries > 1000) {
        int rc = delete_number(rng_below(&rng, 10000));

        ck_assert(rc == 0 || rc == KV_ENOTFOUND);
    }
    tree_db_check(tree_db_tree(&db));
    fill = tree_db_fill(tree_db_tree(&db));
    printf("random deletes: leaves %.3f full\n", fill);
    ck_assert_double_gt(fill, 0.3);
    for (uint64_t i = 0; i < 10000; i++) {
        (void)!delete_number(i);
    }
    ck_assert_uint_eq(record()->entries, 0);
    ck_assert_uint_eq(record()->depth, 0);
    ck_assert_uint_eq(record()->pages_leaf + record()->pages_branch, 0);
}
END_TEST

START_TEST(emptying_frees_every_page)
{
    char large[9000] = {0};
    uint8_t bytes[8];

    for (uint64_t i = 0; i < 5000; i++) {
        put_number(i, 0);
    }
    if (_i == 1) {
        ck_ok(put_flags(number_key(77, bytes), large, sizeof(large), 0));
    }
    tree_db_commit(&db);
    tree_db_begin(&db, 0);
    ck_ok(kvi_tree_empty(tree_db_tree(&db)));
    ck_assert_uint_eq(record()->entries + record()->pages_leaf + record()->pages_branch, 0);
    ck_assert_uint_eq(record()->pages_overflow, 0);
    tree_db_commit(&db);
    tree_db_check_claims(&db);
    tree_db_begin(&db, 0);
    put_number(1, 0);
}
END_TEST

/* ---- Spilling ---- */

START_TEST(a_txn_larger_than_its_budget_is_written_early_and_reads_right)
{
    uint64_t budget = 40 * 4096;
    struct kvi_tree_put reserve = {NULL, 100, NULL};
    struct kvi_tree other;
    struct kvi_cursor *cursor;
    struct kvi_key key = {NULL, 0};
    uint8_t bytes[8];

    tree_db_abort(&db);
    tree_db_begin(&db, budget);
    put_number(0, 0);
    kvi_tree_init_write(&other, record(), tree_db_pager(&db));
    other.record = (struct kvi_table_record){0};
    kvi_tree_join(&other, tree_db_tree(&db));
    ck_ok(kvi_tree_put(&other, key_of("other"), &reserve, KV_RESERVE));
    memset(reserve.space, 'o', 100);
    ck_ok(kvi_cursor_open(&other, &cursor));
    ck_ok(kvi_cursor_get(cursor, KV_FIRST, &key, NULL));
    for (uint64_t i = 0; i < 20000; i++) {
        if (i % 3 == 0) {
            reserve.space = NULL;
            ck_ok(kvi_tree_put(tree_db_tree(&db), number_key(i * 7919 % 20000, bytes), &reserve,
                               KV_RESERVE));
            memset(reserve.space, 'r', 100);
        } else {
            put_number(i * 7919 % 20000, 0);
        }
        ck_assert_uint_le(kvi_pager_dirty_count(tree_db_pager(&db)), 100);
    }
    ck_assert_uint_gt(kvi_pager_written(tree_db_pager(&db)), 100);
    ck_ok(kvi_cursor_get(cursor, KV_CURRENT, &key, NULL));
    ck_assert(key.size == 5 && memcmp(key.data, "other", 5) == 0);
    kvi_cursor_close(cursor);
    ck_ok(kvi_tree_empty(&other));
    tree_db_check(tree_db_tree(&db));
    tree_db_commit(&db);
    tree_db_check_claims(&db);
}
END_TEST

/* ---- Damage ---- */

static int count_findings(void *context, uint64_t pgno, const char *what)
{
    (void)pgno;
    ck_assert_uint_gt(strlen(what), 0);
    ++*(unsigned *)context;
    return 0;
}

static unsigned findings_of(struct kvi_tree *tree)
{
    unsigned findings = 0;

    ck_ok(kvi_tree_check(tree, count_findings, &findings));
    return findings;
}

static void fill_some(void)
{
    for (uint64_t i = 0; i < 3000; i++) {
        put_number(i, 0);
    }
}

START_TEST(the_check_finds_wrong_totals)
{
    fill_some();
    for (int field = 0; field < 4; field++) {
        struct kvi_tree copy = *tree_db_tree(&db);
        uint64_t *totals[] = {&copy.record.entries, &copy.record.pages_leaf,
                              &copy.record.pages_branch, &copy.record.pages_overflow};

        ++*totals[field];
        ck_assert_uint_eq(findings_of(&copy), 1);
    }
}
END_TEST

/* The root's image, to be damaged. */
static uint8_t *root_image(void)
{
    struct kvi_ref ref = record()->root;
    uint8_t *image;

    ck_ok(kvi_pager_touch(tree_db_pager(&db), &ref, KVI_PAGE_BRANCH, record()->depth - 1u, &image));
    return image;
}

START_TEST(the_check_finds_children_in_each_others_place)
{
    struct kvi_branch_cell a, b;
    uint8_t *root;

    fill_some();
    root = root_image();
    ck_assert(kvi_branch_cell_at(&db.geometry, root, 1, &a));
    ck_assert(kvi_branch_cell_at(&db.geometry, root, 2, &b));
    kvi_branch_set_ref(root, &a, b.ref);
    ck_assert_uint_ge(findings_of(tree_db_tree(&db)), 1);
}
END_TEST

START_TEST(a_scan_of_a_leaf_that_stands_in_two_places_ends)
{
    struct kvi_branch_cell first, cell;
    struct kvi_key key = {NULL, 0};
    struct kvi_cursor *cursor;
    uint8_t *root;
    int rc;

    fill_some();
    root = root_image();
    ck_assert(kvi_branch_cell_at(&db.geometry, root, 0, &first));
    for (unsigned i = 1; i < kvi_header_count(root); i++) {
        ck_assert(kvi_branch_cell_at(&db.geometry, root, i, &cell));
        kvi_branch_set_ref(root, &cell, first.ref);
    }
    ck_ok(kvi_cursor_open(tree_db_tree(&db), &cursor));
    do {
        rc = kvi_cursor_get(cursor, KV_NEXT, &key, NULL);
    } while (rc == 0);
    ck_rc(rc, KV_ECORRUPT);
    ck_rc(kvi_cursor_get(cursor, KV_LAST, &key, NULL), 0);
    do {
        rc = kvi_cursor_get(cursor, KV_PREV, &key, NULL);
    } while (rc == 0);
    ck_rc(rc, KV_ECORRUPT);
    kvi_cursor_close(cursor);
    ck_assert_uint_ge(findings_of(tree_db_tree(&db)), 1);
}
END_TEST

START_TEST(a_record_deeper_than_possible_is_damage)
{
    struct kvi_tree copy;
    struct kvi_tree_value value;

    fill_some();
    copy = *tree_db_tree(&db);
    copy.record.depth = KVI_DEPTH_MAX + 1;
    ck_rc(kvi_tree_get(&copy, key_of("x"), &value), KV_ECORRUPT);
    ck_assert_uint_eq(findings_of(&copy), 1);
    copy.record.depth = record()->depth + 1;
    ck_rc(kvi_tree_get(&copy, key_of("x"), &value), KV_ECORRUPT);
    ck_assert_uint_eq(findings_of(&copy), 1);
}
END_TEST

/* ---- The walk ---- */

struct seen {
    uint64_t branches, leaves, run_pages, bad;
    bool skip_leaves;
    int stop_with;
};

static int see(void *context, struct kvi_ref ref, enum kvi_page_type type, unsigned level,
               uint64_t pages, const uint8_t *page, const char *what)
{
    struct seen *seen = context;

    ck_assert_uint_ne(ref.pgno, 0);
    if (!page) {
        ck_assert_uint_gt(strlen(what), 0);
        seen->bad++;
        return 0;
    }
    ck_assert_uint_eq(kvi_header_pgno(page), ref.pgno);
    ck_assert_uint_eq(kvi_header_type(page), type);
    seen->branches += type == KVI_PAGE_BRANCH;
    seen->leaves += type == KVI_PAGE_LEAF;
    seen->run_pages += type == KVI_PAGE_OVERFLOW ? pages : 0;
    if (seen->stop_with) {
        return seen->stop_with;
    }
    return seen->skip_leaves && level == 1 ? KVI_TREE_SKIP : 0;
}

START_TEST(the_walk_comes_to_every_page_once)
{
    char large[9000] = {0};
    struct seen seen = {0};
    uint8_t bytes[8];

    fill_some();
    ck_ok(put_flags(number_key(5, bytes), large, sizeof(large), 0));
    ck_ok(put_flags(number_key(2500, bytes), large, sizeof(large), 0));
    ck_ok(kvi_tree_walk(tree_db_tree(&db), see, &seen));
    ck_assert_uint_eq(seen.branches, record()->pages_branch);
    ck_assert_uint_eq(seen.leaves, record()->pages_leaf);
    ck_assert_uint_eq(seen.run_pages, record()->pages_overflow);
    ck_assert_uint_eq(seen.bad, 0);
}
END_TEST

START_TEST(the_walk_skips_and_stops_when_told)
{
    struct seen skip = {.skip_leaves = true};
    struct seen stop = {.stop_with = 77};

    fill_some();
    ck_ok(kvi_tree_walk(tree_db_tree(&db), see, &skip));
    ck_assert_uint_eq(skip.leaves, 0);
    ck_assert_uint_gt(skip.branches, 0);
    ck_rc(kvi_tree_walk(tree_db_tree(&db), see, &stop), 77);
    ck_assert_uint_eq(stop.branches, 1);
}
END_TEST

START_TEST(the_walk_tells_damaged_pages_and_goes_on)
{
    struct seen seen = {0};
    struct kvi_branch_cell cell;
    uint8_t *root;

    fill_some();
    root = root_image();
    ck_assert(kvi_branch_cell_at(&db.geometry, root, 1, &cell));
    kvi_branch_set_ref(root, &cell, (struct kvi_ref){1234567, 99});
    ck_ok(kvi_tree_walk(tree_db_tree(&db), see, &seen));
    ck_assert_uint_eq(seen.bad, 1);
    ck_assert_uint_eq(seen.leaves, record()->pages_leaf - 1);
    ck_assert_uint_eq(findings_of(tree_db_tree(&db)), 1);
}
END_TEST

/* Any byte of a tree page changed, checksum and all made right again: no call may crash or hang. */
START_TEST(damaged_pages_give_errors_and_never_crash)
{
    struct rng rng;
    unsigned bad = 0;

    fill_some();
    tree_db_commit(&db);
    rng_seed(&rng, "damage", 3);
    for (uint64_t round = 0; round < scaled(3000); round++) {
        struct kvi_ref child;
        uint8_t *root, *leaf;
        const uint8_t *page;
        struct kvi_branch_cell cell;

        tree_db_begin(&db, 0);
        root = root_image();
        tree_db_tree(&db)->record.root = (struct kvi_ref){kvi_header_pgno(root), 0};
        ck_assert(kvi_branch_cell_at(&db.geometry, root,
                                     (unsigned)rng_below(&rng, kvi_header_count(root)), &cell));
        child = cell.ref;
        ck_ok(kvi_pager_page(tree_db_pager(&db), child, KVI_PAGE_LEAF, 0, &page));
        ck_ok(kvi_pager_touch(tree_db_pager(&db), &child, KVI_PAGE_LEAF, 0, &leaf));
        kvi_branch_set_ref(root, &cell, child);
        for (int i = 0; i < 3; i++) {
            uint8_t *victim = rng_chance(&rng, 50) ? root : leaf;
            uint64_t at =
                rng_chance(&rng, 60) ? rng_between(&rng, 24, 300) : rng_between(&rng, 24, 4096);

            victim[at] = (uint8_t)rng_next(&rng);
        }
        bad += findings_of(tree_db_tree(&db)) > 0;
        for (int i = 0; i < 20; i++) {
            static const uint8_t value[500];
            uint8_t bytes[8];
            struct kvi_tree_put put_some = {value, rng_below(&rng, 500), NULL};
            struct kvi_tree_value found;
            struct kvi_key key = number_key(rng_below(&rng, 3000), bytes);

            (void)!kvi_tree_get(tree_db_tree(&db), key, &found);
            if (kvi_tree_put(tree_db_tree(&db), key, &put_some, 0) != 0 ||
                kvi_tree_delete(tree_db_tree(&db), number_key(rng_below(&rng, 3000), bytes),
                                KVI_CELL_VALUE) != 0) {
                break;
            }
        }
        (void)!kvi_tree_empty(tree_db_tree(&db));
        tree_db_abort(&db);
    }
    ck_assert_uint_gt(bad, 0);
    tree_db_begin(&db, 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("tree");
    const struct {
        const char *name;
        const TTest *test;
    } tests[] = {
        {"records", an_empty_tree_has_nothing},
        {"records", what_was_put_is_found},
        {"records", a_put_replaces_a_value_of_any_other_size},
        {"records", the_last_record_takes_the_root_with_it},
        {"records", a_commit_shows_in_a_reading_tree_and_a_change_before_it_does_not},
        {"records", keys_of_the_largest_size_make_a_sound_tree},
        {"flags", no_overwrite_gives_the_present_value},
        {"flags", append_takes_only_keys_above_the_last},
        {"flags", reserve_gives_space_that_is_read_back},
        {"flags", reserved_space_survives_the_split_that_made_it},
        {"flags", no_split_refuses_the_record_that_needs_one_and_changes_nothing},
        {"flags", a_table_and_a_value_do_not_replace_one_another},
        {"arguments", a_value_may_be_made_of_its_own_bytes},
        {"shape", descending_inserts_fill_pages_well},
        {"shape", random_inserts_fill_pages_by_four_fifths},
        {"shape", ascending_runs_inside_the_tree_leave_full_pages},
        {"shape", deletes_merge_pages_until_none_is_left},
        {"spill", a_txn_larger_than_its_budget_is_written_early_and_reads_right},
        {"damage", the_check_finds_wrong_totals},
        {"damage", the_check_finds_children_in_each_others_place},
        {"damage", a_scan_of_a_leaf_that_stands_in_two_places_ends},
        {"damage", a_record_deeper_than_possible_is_damage},
        {"walk", the_walk_comes_to_every_page_once},
        {"walk", the_walk_skips_and_stops_when_told},
        {"walk", the_walk_tells_damaged_pages_and_goes_on},
        {"damage", damaged_pages_give_errors_and_never_crash},
    };
    TCase *loops = tcase_create("loops");

    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        harness_add_fixture(s, tests[i].name, tests[i].test, open_4k, close_db);
    }
    tcase_add_checked_fixture(loops, open_4k, close_db);
    tcase_add_loop_test(loops, ascending_inserts_leave_full_pages, 0, 2);
    tcase_add_loop_test(loops, emptying_frees_every_page, 0, 2);
    suite_add_tcase(s, loops);
    return s;
}

HARNESS_MAIN(suite)
