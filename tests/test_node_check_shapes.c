/* SPDX-License-Identifier: MIT */
/*
 * lib/format/node.h: what kvi_node_check_shape sees in pages that are not plain, each fault made by
 * hand: in pages of the golden file, whose bytes FORMAT.md shows, and in small ones made here.
 */
#include "golden.h"

#include <stdlib.h>
#include <string.h>

#include "format/node.h"
#include "format/set.h"
#include "format/shape.h"
#include "kv.h"

#define DUP (KVI_TABLE_DUPLICATES | KVI_TABLE_COUNTED)

static struct kvi_geometry g;
static struct kvi_shape shape;
static uint8_t *golden;
static uint8_t *page;

static void setup(void)
{
    ck_assert(kvi_geometry_init(&g, 4096));
    golden = golden_read("tests/data/golden-2.bin");
    page = malloc(4096);
}

static void teardown(void)
{
    free(golden);
    free(page);
}

static int by_size(void *context, const struct kv_val *a, const struct kv_val *b)
{
    (void)context;
    if (a->size != b->size)
        return a->size < b->size ? -1 : 1;
    return a->size ? memcmp(a->data, b->data, a->size) : 0;
}

static void shape_is(struct kvi_table_record record)
{
    kvi_shape_init(&shape, &record);
    shape.key_custom.compare = by_size;
    shape.value_custom.compare = by_size;
}

static void expect(const char *text)
{
    const char *what = kvi_node_check_shape(&g, &shape, page);

    if (!text)
        ck_assert_msg(!what, "%s", what);
    else
        ck_assert_str_eq(what ? what : "nothing", text);
}

static void golden_page(unsigned pgno)
{
    memcpy(page, golden + (size_t)pgno * 4096, 4096);
    expect(NULL);
}

/* One byte of a page of the golden file is another. */
static void broken(unsigned pgno, unsigned at, uint8_t byte, const char *text)
{
    golden_page(pgno);
    ck_assert_uint_ne(page[at], byte);
    page[at] = byte;
    expect(text);
}

/* ---- Pages of the golden file ------------------------------------------------------------------
 */

START_TEST(check_sees_what_is_wrong_in_an_aligned_leaf)
{
    shape_is((struct kvi_table_record){.align_log2 = 3});
    broken(2, 31, 0x01, "unknown header flags");
    broken(2, 31, 0x05, "unknown header flags");
    broken(2, 31, 0x13, "unknown header flags");
    broken(2, 31, 0x00, "a gap between cells");
    broken(2, 30, 0x04, "a set among other cells, or a cell among sets");
    broken(2, 30, 0x40, "unknown header flags");
    broken(2, 0x2e, 0xf1, "a cell outside of the cell area");
    broken(2, 0xfe6, 1, "padding of a key is not zero");
    broken(2, 0xffb, 1, "padding of a value is not zero");
    broken(2, 0xfff, 1, "padding of a value is not zero");
    golden_page(2);
    shape_is((struct kvi_table_record){.align_log2 = 4});
    expect("header flags of another kind of table");
}
END_TEST

START_TEST(check_sees_what_is_wrong_in_leaves_of_a_custom_order)
{
    shape_is((struct kvi_table_record){.order = KV_ORDER_CUSTOM, .flags = KVI_TABLE_COUNTED});
    broken(3, 0x20, 1, "a head that is not its key's");
    broken(3, 26, 1, "a prefix in a page of a custom order");
    broken(4, 0xffe, 'b', NULL);
    golden_page(4);
    memcpy(page + 0xffd, "aa", 2);
    expect("keys that do not ascend");
    golden_page(4);
    page[0x28] = 0xf9; /* slots 0 and 1 change places */
    page[0x2a] = 0xf2;
    expect("keys that do not ascend");
    shape.key_custom.compare = NULL; /* who does not know the order sees none */
    expect(NULL);
}
END_TEST

START_TEST(check_sees_what_is_wrong_in_a_branch_of_a_custom_order)
{
    shape_is((struct kvi_table_record){.order = KV_ORDER_CUSTOM, .flags = KVI_TABLE_COUNTED});
    broken(5, 30, 0x33, "a cell outside of the cell area");
    broken(5, 30, 0x32, "unknown header flags"); /* keys counted without records */
    broken(5, 30, 0x11, "unknown header flags"); /* an order that branches do not have */
    broken(5, 30, 0x35, "unknown header flags"); /* sets */
    broken(5, 31, 0x03, "unknown header flags"); /* alignment */
    broken(5, 0x24, 1, "a head that is not its separator's");
    broken(5, 0xffe, 'z', NULL);
}
END_TEST

START_TEST(check_sees_what_is_wrong_in_a_leaf_of_sets)
{
    shape_is((struct kvi_table_record){.flags = DUP});
    broken(6, 30, 0, "a set among other cells, or a cell among sets");
    broken(6, 0xff8, 0, "a set among other cells, or a cell among sets");
    broken(6, 0xff1, 2, "a set whose sizes do not add up");
    broken(6, 0xff1, 0, "a set whose sizes do not add up");
    broken(6, 0xff3, 1, "a set whose sizes do not add up");
    broken(6, 0xfeb, 2, "a set whose sizes do not add up");
    broken(6, 0xfeb, 1, "values that do not ascend");
    broken(6, 0xffb, '1', "values that do not ascend");
    broken(6, 0xffd, 0x80, "a continued set behind another key");
    golden_page(6);
    page[0xff9] = 'a';
    page[0x27] = 'a';
    expect("a set that is not marked continued");
    page[0xffd] = 0x80;
    expect("values that do not ascend"); /* yy, then 1 */
    page[0xffa] = page[0xffb] = 'z';
    page[0xffb] = '{';
    expect(NULL);
    golden_page(7); /* begins with a continued set */
}
END_TEST

START_TEST(check_sees_what_is_wrong_in_a_branch_that_counts)
{
    shape_is((struct kvi_table_record){.flags = DUP});
    broken(8, 30, 0x02, "unknown header flags");
    broken(8, 30, 0x01, "a head that is not its separator's");
    broken(8, 0x24, 1, "a head that is not its separator's");
    broken(8, 0xfd8, 77, NULL); /* what is counted a tree's check must see */
    golden_page(8);
    shape_is((struct kvi_table_record){.flags = KVI_TABLE_COUNTED});
    expect("header flags of another kind of table");
}
END_TEST

START_TEST(check_sees_what_is_wrong_among_integers)
{
    struct kvi_table_record record = {.flags = DUP | KVI_TABLE_FIXED,
                                      .order = KV_ORDER_UINT,
                                      .value_order = KV_ORDER_UINT,
                                      .key_bytes = 4,
                                      .item_bytes = 4};

    shape_is(record);
    broken(9, 0xff4, 3, "a head that is not its key's");
    broken(9, 0xfe8, 0x80, NULL);
    broken(9, 0xfe5, 0x01, "values that do not ascend");
    golden_page(9);
    record.key_bytes = 8;
    shape_is(record);
    expect("an integer key of another size than the table's");
    record.key_bytes = 4;
    record.item_bytes = 8;
    shape_is(record);
    expect("a value of another size than the table's");
}
END_TEST

START_TEST(check_sees_what_is_wrong_in_a_leaf_of_reverse_order)
{
    shape_is((struct kvi_table_record){.order = KV_ORDER_REVERSE});
    broken(10, 0x20, 'b', "a key without the prefix");
    broken(10, 0xff6, 'w', "a head that is not its key's");
    golden_page(10);
    page[0xff6] = 'z'; /* za before ya */
    page[0x27] = 'z';
    expect("keys that do not ascend");
}
END_TEST

START_TEST(leaf_is_counted_if_its_sets_say_how_many)
{
    struct kvi_counts counts;

    shape_is((struct kvi_table_record){.flags = DUP});
    golden_page(6);
    ck_assert(kvi_leaf_counts(&g, page, &counts));
    ck_assert_uint_eq(counts.records, 5);
    ck_assert_uint_eq(counts.keys, 2);
    page[0xff1] = 0; /* a set of none */
    ck_assert(!kvi_leaf_counts(&g, page, &counts));
    golden_page(6);
    page[0xff8] = 0; /* no set */
    ck_assert(!kvi_leaf_counts(&g, page, &counts));
    golden_page(7);
    ck_assert(kvi_leaf_counts(&g, page, &counts));
    ck_assert_uint_eq(counts.records, 2);
    ck_assert_uint_eq(counts.keys, 1); /* the other goes on from the page before */
    shape_is((struct kvi_table_record){.align_log2 = 3});
    golden_page(2);
    ck_assert(kvi_leaf_counts(&g, page, &counts));
    ck_assert_uint_eq(counts.records, 2);
    ck_assert_uint_eq(counts.keys, 0);
}
END_TEST

START_TEST(page_of_another_kind_of_table_is_not_searched)
{
    struct kvi_key key = {(const uint8_t *)"k1", 2}, none = {NULL, 0};
    struct kvi_probe probe;
    bool exact;

    shape_is((struct kvi_table_record){.align_log2 = 3});
    golden_page(2);
    ck_assert_int_eq(kvi_probe_init(&probe, &shape, key, none, KVI_PROBE_VALUE), 0);
    ck_assert_int_eq(kvi_leaf_probe(&g, &shape, page, &probe, &exact), 0);
    ck_assert(exact);
    shape_is((struct kvi_table_record){.order = KV_ORDER_REVERSE});
    ck_assert_int_eq(kvi_leaf_probe(&g, &shape, page, &probe, &exact), -1);
    memcpy(page, golden + 5 * 4096, 4096);
    ck_assert_int_eq(kvi_branch_probe(&g, &shape, page, &probe), -1);
}
END_TEST

/* ---- Pages made here ---------------------------------------------------------------------------
 */

static struct kvi_item item_of(const void *key, uint32_t key_bytes, const void *payload,
                               uint32_t payload_bytes)
{
    return (struct kvi_item){.key = key,
                             .key_bytes = key_bytes,
                             .payload = payload,
                             .payload_bytes = payload_bytes,
                             .ref = {100, 1},
                             .kind = shape.duplicates ? KVI_CELL_SET : KVI_CELL_VALUE};
}

static void emit(unsigned level, const struct kvi_item *items, unsigned count)
{
    kvi_node_init(&g, page, level ? KVI_PAGE_BRANCH : KVI_PAGE_LEAF, level, 5, 1);
    kvi_node_set_flags(page, kvi_shape_page_flags(&shape, level));
    ck_assert(kvi_node_emit(&g, page, items, 0, count));
}

START_TEST(integer_keys_have_one_of_two_sizes)
{
    struct kvi_item items[2];

    shape_is((struct kvi_table_record){.order = KV_ORDER_UINT, .key_bytes = 4});
    items[0] = item_of("abcde", 5, "v", 1);
    emit(0, items, 1);
    expect("an integer key of another size than 4 or 8 bytes");
    items[0] = item_of("\0\0\0\1", 4, "v", 1);
    items[1] = item_of("\0\0\0\0\0\0\0\2", 8, "v", 1);
    emit(0, items, 2);
    expect("integer keys of different sizes");
}
END_TEST

START_TEST(pairs_are_no_larger_than_a_separator_allows)
{
    uint8_t key[661], payload[700];
    struct kvi_item item;

    memset(key, 'k', sizeof(key));
    shape_is((struct kvi_table_record){.flags = DUP});
    kvi_set_write_single(payload, (struct kvi_key){key, 659}, false);
    item = item_of(key, 659, payload, 663);
    emit(0, &item, 1);
    expect(NULL);
    item.key_bytes = 660;
    emit(0, &item, 1);
    expect("a pair larger than allowed");
    kvi_set_write_single(payload, (struct kvi_key){key, 660}, false);
    item = item_of(key, 659, payload, 664);
    emit(0, &item, 1);
    expect("a pair larger than allowed");
}
END_TEST

START_TEST(whole_separators_are_pairs_in_order)
{
    struct kvi_item items[3] = {item_of(NULL, 0, NULL, 0), item_of("\1\0k", 3, NULL, 0),
                                item_of("\1\0kv", 4, NULL, 0)};

    shape_is((struct kvi_table_record){.flags = DUP,
                                       .order = KV_ORDER_CUSTOM,
                                       .value_order = KV_ORDER_CUSTOM});
    emit(1, items, 3);
    expect(NULL);
    items[2].key = (const uint8_t *)"\4\0kv";
    emit(1, items, 3);
    expect("a separator that is no pair");
    items[2].key_bytes = 1;
    emit(1, items, 3);
    expect("a separator that is no pair");
    items[2] = item_of("\0\0kv", 4, NULL, 0); /* a key of no bytes */
    emit(1, items, 3);
    expect("separators that do not ascend");
    shape.value_custom.compare = NULL;
    expect(NULL);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("node check shapes");

#define CHECK(name, test) harness_add_fixture(s, name, test, setup, teardown)
    CHECK("golden", check_sees_what_is_wrong_in_an_aligned_leaf);
    CHECK("golden", check_sees_what_is_wrong_in_leaves_of_a_custom_order);
    CHECK("golden", check_sees_what_is_wrong_in_a_branch_of_a_custom_order);
    CHECK("golden", check_sees_what_is_wrong_in_a_leaf_of_sets);
    CHECK("golden", check_sees_what_is_wrong_in_a_branch_that_counts);
    CHECK("golden", check_sees_what_is_wrong_among_integers);
    CHECK("golden", check_sees_what_is_wrong_in_a_leaf_of_reverse_order);
    CHECK("golden", leaf_is_counted_if_its_sets_say_how_many);
    CHECK("golden", page_of_another_kind_of_table_is_not_searched);
    CHECK("made", integer_keys_have_one_of_two_sizes);
    CHECK("made", pairs_are_no_larger_than_a_separator_allows);
    CHECK("made", whole_separators_are_pairs_in_order);
    return s;
}

HARNESS_MAIN(suite)
