/* SPDX-License-Identifier: MIT */
/*
 * lib/format/node.h: search, edits, gather and emit of branch and leaf pages, one case at a time.
 * What kvi_node_check sees is in test_node_check.c, the comparison with a model in
 * test_node_model.c.
 */
#include "harness.h"

#include <stdlib.h>
#include <string.h>

#include "format/node.h"

static const struct kvi_counts no_counts;
static struct kvi_geometry g;
static uint8_t *page;
static uint8_t *other;

static void setup(void)
{
    ck_assert(kvi_geometry_init(&g, 4096));
    page = malloc(4096);
    other = malloc(4096);
    kvi_node_init(&g, page, KVI_PAGE_LEAF, 0, 5, 1);
    kvi_node_init(&g, other, KVI_PAGE_LEAF, 0, 6, 1);
}

static void setup_branch(void)
{
    setup();
    kvi_node_init(&g, page, KVI_PAGE_BRANCH, 1, 5, 1);
    kvi_node_init(&g, other, KVI_PAGE_BRANCH, 1, 6, 1);
}

static void teardown(void)
{
    free(page);
    free(other);
}

/* A key of a string literal, zero bytes inside allowed. */
#define KEY(literal) ((struct kvi_key){(const uint8_t *)(literal), sizeof(literal) - 1})

static void check_page(void)
{
    const char *what = kvi_node_check(&g, page);

    ck_assert_msg(!what, "%s", what);
}

/* Puts a record where it belongs. */
static void put(struct kvi_key key, const char *value)
{
    bool exact;
    int slot = kvi_leaf_find(&g, page, key, &exact);
    uint32_t size = (uint32_t)strlen(value);
    uint8_t *payload;

    ck_assert_int_ge(slot, 0);
    ck_assert(!exact);
    payload = kvi_leaf_insert(&g, page, (unsigned)slot, key, KVI_CELL_VALUE, size);
    ck_assert_ptr_nonnull(payload);
    memcpy(payload, value, size);
    check_page();
}

static int find(struct kvi_key key)
{
    bool exact;
    int slot = kvi_leaf_find(&g, page, key, &exact);

    return exact ? slot : -1 - slot;
}

static void check_value(unsigned slot, const char *value)
{
    struct kvi_leaf_cell cell;

    ck_assert(kvi_leaf_cell_at(&g, page, slot, &cell));
    ck_assert_uint_eq(cell.payload_bytes, strlen(value));
    ck_assert_mem_eq(cell.payload, value, strlen(value));
}

static unsigned prefix_bytes(void)
{
    return kvi_le_load16(page + KVI_HEADER_PREFIX);
}

static uint32_t head_of(unsigned slot)
{
    unsigned at = (32 + prefix_bytes() + 3) & ~3u;

    return kvi_le_load32(page + at + 4 * slot);
}

/* ---- Order -------------------------------------------------------------------------------------
 */

START_TEST(keys_are_ordered_by_bytes_then_length)
{
    static const struct kvi_key order[] = {
        {(const uint8_t *)"", 0},
        {(const uint8_t *)"\0", 1},
        {(const uint8_t *)"\0\0", 2},
        {(const uint8_t *)"\0\1", 2},
        {(const uint8_t *)"a", 1},
        {(const uint8_t *)"a\0", 2},
        {(const uint8_t *)"aaaaaaaa", 8},
        {(const uint8_t *)"aaaaaaaaa", 9},
        {(const uint8_t *)"aaaaaaaab", 9},
        {(const uint8_t *)"aaaaaaaabc", 10},
        {(const uint8_t *)"aaaaaaaac", 9},
        {(const uint8_t *)"aaaaaaab", 8},
        {(const uint8_t *)"b", 1},
        {(const uint8_t *)"\x7f", 1},
        {(const uint8_t *)"\x80", 1},
        {(const uint8_t *)"\xff\xff\xff\xff", 4},
        {(const uint8_t *)"\xff\xff\xff\xff\xff\xff\xff\xff\xff", 9},
    };
    int count = sizeof(order) / sizeof(order[0]);

    for (int i = 0; i < count; i++) {
        for (int j = 0; j < count; j++) {
            int result =
                kvi_key_compare(order[i].data, order[i].size, order[j].data, order[j].size);

            ck_assert_msg((result > 0) - (result < 0) == (i > j) - (i < j), "%d %d", i, j);
        }
    }
}
END_TEST

START_TEST(separator_is_the_shortest_that_tells_left_from_right)
{
    ck_assert_uint_eq(kvi_separator_bytes(KEY("abc"), KEY("abd")), 3);
    ck_assert_uint_eq(kvi_separator_bytes(KEY("abc"), KEY("bcd")), 1);
    ck_assert_uint_eq(kvi_separator_bytes(KEY(""), KEY("b")), 1);
    ck_assert_uint_eq(kvi_separator_bytes(KEY("ab"), KEY("ab\0")), 3);
    ck_assert_uint_eq(kvi_separator_bytes(KEY("ab"), KEY("abcdef")), 3);
    ck_assert_uint_eq(kvi_separator_bytes(KEY("abcdef"), KEY("b")), 1);
}
END_TEST

/* ---- Search ------------------------------------------------------------------------------------
 */

START_TEST(empty_leaf_finds_nothing)
{
    ck_assert_int_eq(find(KEY("")), -1);
    ck_assert_int_eq(find(KEY("abc")), -1);
    check_page();
}
END_TEST

START_TEST(keys_that_tie_by_their_padding_are_told_apart)
{
    put(KEY("ab\0\0"), "2");
    put(KEY("ab"), "0");
    put(KEY("ab\0\0\0"), "3");
    put(KEY("ab\0"), "1");
    put(KEY("ab\0\0\0\0\0\0\0\0"), "4");
    ck_assert_int_eq(find(KEY("ab")), 0);
    ck_assert_int_eq(find(KEY("ab\0")), 1);
    ck_assert_int_eq(find(KEY("ab\0\0")), 2);
    ck_assert_int_eq(find(KEY("ab\0\0\0")), 3);
    ck_assert_int_eq(find(KEY("ab\0\0\0\0\0\0\0\0")), 4);
    ck_assert_int_eq(find(KEY("ab\0\0\0\0")), -1 - 4);
    ck_assert_int_eq(find(KEY("a")), -1 - 0);
    ck_assert_int_eq(find(KEY("ab\0\0\1")), -1 - 5);
}
END_TEST

START_TEST(keys_with_equal_heads_are_found_by_their_tails)
{
    char key[32];

    put(KEY("a"), "no prefix"); /* so that the heads are all "tie " */
    for (int i = 0; i < 200; i += 2) {
        snprintf(key, sizeof(key), "tie tie %03d", i);
        put((struct kvi_key){(uint8_t *)key, 11}, "v");
    }
    ck_assert_uint_eq(head_of(1), head_of(100));
    for (int i = 0; i < 200; i++) {
        snprintf(key, sizeof(key), "tie tie %03d", i);
        ck_assert_int_eq(find((struct kvi_key){(uint8_t *)key, 11}),
                         i % 2 ? -1 - (i / 2 + 2) : i / 2 + 1);
    }
}
END_TEST

START_TEST(highest_head_ties_to_the_end)
{
    put(KEY("a"), "");
    put(KEY("\xff\xff\xff\xff"), "1");
    put(KEY("\xff\xff\xff\xff\xff"), "2");
    put(KEY("\xff\xff\xff\xff\xff\xff"), "3");
    ck_assert_int_eq(find(KEY("\xff\xff\xff\xff")), 1);
    ck_assert_int_eq(find(KEY("\xff\xff\xff\xff\xff")), 2);
    ck_assert_int_eq(find(KEY("\xff\xff\xff\xff\xff\xff")), 3);
    ck_assert_int_eq(find(KEY("\xff\xff\xff\xff\xff\xff\xff")), -1 - 4);
}
END_TEST

START_TEST(keys_outside_of_the_prefix_stand_before_or_behind_all)
{
    put(KEY("user/0001"), "1");
    put(KEY("user/0002"), "2");
    ck_assert_uint_eq(prefix_bytes(), 8);
    ck_assert_int_eq(find(KEY("")), -1 - 0);
    ck_assert_int_eq(find(KEY("user")), -1 - 0);
    ck_assert_int_eq(find(KEY("user/000")), -1 - 0);
    ck_assert_int_eq(find(KEY("usea/0009")), -1 - 0);
    ck_assert_int_eq(find(KEY("usez/0000")), -1 - 2);
    ck_assert_int_eq(find(KEY("z")), -1 - 2);
    ck_assert_int_eq(find(KEY("user/00010")), -1 - 1);
    ck_assert_int_eq(find(KEY("user/0002")), 1);
}
END_TEST

START_TEST(empty_key_may_have_no_data)
{
    struct kvi_key none = {NULL, 0};

    ck_assert_int_eq(find(none), -1 - 0);
    put(KEY("\0"), "1");
    put(none, "0");
    put(KEY("\0\0"), "2");
    ck_assert_int_eq(find(none), 0);
    kvi_node_init(&g, page, KVI_PAGE_BRANCH, 1, 5, 1);
    ck_assert(kvi_branch_insert(&g, page, 0, none, (struct kvi_ref){100, 1}, no_counts));
    ck_assert(kvi_branch_insert(&g, page, 1, KEY("\0"), (struct kvi_ref){101, 1}, no_counts));
    ck_assert_int_eq(kvi_branch_find(&g, page, none), 0);
}
END_TEST

/* ---- Insert ------------------------------------------------------------------------------------
 */

START_TEST(second_key_chooses_the_prefix_and_later_ones_shorten_it)
{
    put(KEY("prefix/abc"), "1");
    ck_assert_uint_eq(prefix_bytes(), 0);
    put(KEY("prefix/abd"), "2");
    ck_assert_uint_eq(prefix_bytes(), 9);
    put(KEY("prefix/xyz"), "3");
    ck_assert_uint_eq(prefix_bytes(), 7);
    put(KEY("pre"), "0");
    ck_assert_uint_eq(prefix_bytes(), 3);
    put(KEY(""), "-");
    ck_assert_uint_eq(prefix_bytes(), 0);
    check_value(0, "-");
    check_value(1, "0");
    check_value(2, "1");
    check_value(3, "2");
    check_value(4, "3");
}
END_TEST

START_TEST(shared_prefix_is_taken_up_to_255_bytes)
{
    uint8_t key[400];

    memset(key, 'k', sizeof(key));
    put((struct kvi_key){key, 400}, "2");
    key[399] = 'a';
    put((struct kvi_key){key, 400}, "1");
    ck_assert_uint_eq(prefix_bytes(), 255);
    check_value(0, "1");
    check_value(1, "2");
}
END_TEST

START_TEST(insert_that_does_not_fit_changes_nothing)
{
    uint8_t key[100] = {0};
    unsigned i;

    for (i = 0; i < 17; i++) {
        key[0] = (uint8_t)i;
        ck_assert_ptr_nonnull(
            kvi_leaf_insert(&g, page, i, (struct kvi_key){key, 100}, KVI_CELL_VALUE, 100));
    }
    memcpy(other, page, 4096);
    ck_assert_uint_lt(kvi_node_free_bytes(&g, page), 1000);
    key[0] = 99;
    ck_assert_ptr_null(
        kvi_leaf_insert(&g, page, i, (struct kvi_key){key, 100}, KVI_CELL_VALUE, 900));
    ck_assert_mem_eq(page, other, 4096);
}
END_TEST

START_TEST(insert_fits_to_the_last_byte)
{
    uint32_t room = g.page_size - KVI_HEADER_BYTES - KVI_NODE_SLOT_BYTES - KVI_LEAF_CELL_HEAD;
    uint32_t first = g.cell_bytes_max - KVI_LEAF_CELL_HEAD;

    ck_assert_ptr_nonnull(kvi_leaf_insert(&g, page, 0, KEY(""), KVI_CELL_VALUE, first));
    room -= first + KVI_NODE_SLOT_BYTES + KVI_LEAF_CELL_HEAD;
    memcpy(other, page, 4096);
    ck_assert_ptr_null(kvi_leaf_insert(&g, page, 1, KEY(""), KVI_CELL_VALUE, room + 1));
    ck_assert_mem_eq(page, other, 4096);
    ck_assert_ptr_nonnull(kvi_leaf_insert(&g, page, 1, KEY("a"), KVI_CELL_VALUE, room - 1));
    ck_assert_uint_eq(kvi_node_free_bytes(&g, page), 0);
    check_page();
}
END_TEST

START_TEST(prefix_gives_way_where_it_leaves_no_room)
{
    uint8_t key[300];
    uint32_t payload = g.cell_bytes_max - KVI_LEAF_CELL_HEAD - 300;

    memset(key, 'k', sizeof(key));
    ck_assert_ptr_nonnull(
        kvi_leaf_insert(&g, page, 0, (struct kvi_key){key, 300}, KVI_CELL_VALUE, payload - 10));
    key[299] = 'z';
    ck_assert_ptr_nonnull(
        kvi_leaf_insert(&g, page, 1, (struct kvi_key){key, 300}, KVI_CELL_VALUE, payload));
    ck_assert_uint_eq(prefix_bytes(), 8); /* 10 bytes are left */
    check_page();
}
END_TEST

START_TEST(cells_larger_than_half_a_page_are_refused)
{
    uint8_t key[2000] = {0};
    struct kvi_key largest = {key, g.key_bytes_max}, too_large = {key, g.key_bytes_max + 1};

    ck_assert_ptr_null(
        kvi_leaf_insert(&g, page, 0, KEY("a"), KVI_CELL_VALUE, g.cell_bytes_max - 4));
    ck_assert_ptr_null(kvi_leaf_insert(&g, page, 0, KEY("a"), KVI_CELL_VALUE, UINT32_MAX));
    ck_assert_ptr_null(kvi_leaf_insert(&g, page, 0, too_large, KVI_CELL_VALUE, 0));
    ck_assert_ptr_nonnull(
        kvi_leaf_insert(&g, page, 0, largest, KVI_CELL_VALUE, KVI_OVERFLOW_REF_BYTES));
}
END_TEST

START_TEST(value_stays_inline_up_to_half_a_page)
{
    ck_assert_uint_eq(kvi_leaf_cell_bytes(0, 10, 20), 34);
    ck_assert(kvi_leaf_inline(&g, 0, 10, g.cell_bytes_max - 14));
    ck_assert(!kvi_leaf_inline(&g, 0, 10, g.cell_bytes_max - 13));
    ck_assert(kvi_leaf_inline(&g, 0, g.key_bytes_max, 0));
    ck_assert(!kvi_leaf_inline(&g, 0, 0, UINT64_MAX));
    ck_assert(!kvi_leaf_inline(&g, 0, 0, (uint64_t)1 << 32));
}
END_TEST

/* ---- Resize and remove -------------------------------------------------------------------------
 */

START_TEST(resize_keeps_key_and_neighbours)
{
    uint8_t *payload;
    struct kvi_leaf_cell cell;

    put(KEY("a"), "first");
    put(KEY("b"), "second");
    put(KEY("c"), "third");
    payload = kvi_leaf_resize(&g, page, 1, KVI_CELL_VALUE, 13);
    ck_assert_ptr_nonnull(payload);
    memcpy(payload, "longer second", 13);
    check_page();
    check_value(0, "first");
    check_value(1, "longer second");
    check_value(2, "third");
    payload = kvi_leaf_resize(&g, page, 1, KVI_CELL_VALUE, 1);
    *payload = '2';
    check_page();
    check_value(0, "first");
    check_value(1, "2");
    check_value(2, "third");
    ck_assert(kvi_leaf_cell_at(&g, page, 1, &cell));
    ck_assert_mem_eq(cell.key, "b", 1);
}
END_TEST

START_TEST(resize_to_the_same_size_moves_nothing)
{
    struct kvi_leaf_cell before;

    put(KEY("a"), "first");
    put(KEY("b"), "second");
    ck_assert(kvi_leaf_cell_at(&g, page, 1, &before));
    memcpy(other, page, 4096);
    ck_assert_ptr_eq(kvi_leaf_resize(&g, page, 1, KVI_CELL_VALUE, 6), before.payload);
    ck_assert_mem_eq(page, other, 4096);
}
END_TEST

START_TEST(resize_that_does_not_fit_changes_nothing)
{
    put(KEY("a"), "first");
    ck_assert_ptr_nonnull(kvi_leaf_insert(&g, page, 1, KEY("b"), KVI_CELL_VALUE, 2000));
    ck_assert_ptr_nonnull(kvi_leaf_insert(&g, page, 2, KEY("c"), KVI_CELL_VALUE, 1500));
    memcpy(other, page, 4096);
    ck_assert_ptr_null(kvi_leaf_resize(&g, page, 0, KVI_CELL_VALUE, 1000));
    ck_assert_ptr_null(kvi_leaf_resize(&g, page, 0, KVI_CELL_VALUE, 4000));
    ck_assert_ptr_null(kvi_leaf_resize(&g, page, 0, KVI_CELL_VALUE, UINT32_MAX));
    ck_assert_ptr_null(kvi_leaf_resize(&g, page, 3, KVI_CELL_VALUE, 1));
    ck_assert_mem_eq(page, other, 4096);
}
END_TEST

START_TEST(resize_changes_a_cell_to_another_kind)
{
    struct kvi_overflow_ref ref = {{1234, 0x55}, 100000}, back;
    struct kvi_leaf_cell cell;
    uint8_t *payload;

    put(KEY("a"), "first");
    payload = kvi_leaf_resize(&g, page, 0, KVI_CELL_OVERFLOW, KVI_OVERFLOW_REF_BYTES);
    kvi_overflow_ref_store(payload, &ref);
    check_page();
    ck_assert(kvi_leaf_cell_at(&g, page, 0, &cell));
    ck_assert_int_eq(cell.kind, KVI_CELL_OVERFLOW);
    ck_assert(kvi_overflow_ref_load(&cell, &back));
    ck_assert_uint_eq(back.ref.pgno, 1234);
    ck_assert_uint_eq(back.ref.tag, 0x55);
    ck_assert_uint_eq(back.size_bytes, 100000);
}
END_TEST

START_TEST(remove_gives_all_bytes_back)
{
    uint32_t room = kvi_node_free_bytes(&g, page);

    put(KEY("key/a"), "first");
    put(KEY("key/b"), "second");
    put(KEY("key/c"), "third");
    ck_assert(kvi_node_remove(&g, page, 1));
    check_page();
    check_value(0, "first");
    check_value(1, "third");
    ck_assert(kvi_node_remove(&g, page, 0));
    check_page();
    check_value(0, "third");
    ck_assert(kvi_node_remove(&g, page, 0));
    check_page();
    ck_assert_uint_eq(kvi_node_free_bytes(&g, page), room);
    ck_assert(!kvi_node_remove(&g, page, 0));
}
END_TEST

START_TEST(leaf_that_lost_all_but_one_key_takes_any_other)
{
    put(KEY("key/a"), "first");
    put(KEY("key/b"), "second");
    ck_assert(kvi_node_remove(&g, page, 1));
    put(KEY("zzz"), "last");
    ck_assert_uint_eq(prefix_bytes(), 0);
    ck_assert_int_eq(find(KEY("key/a")), 0);
    ck_assert_int_eq(find(KEY("zzz")), 1);
}
END_TEST

/* ---- Branch ------------------------------------------------------------------------------------
 */

static void put_child(struct kvi_key separator, uint64_t pgno)
{
    unsigned count = kvi_header_count(page);
    int slot = count ? kvi_branch_find(&g, page, separator) + 1 : 0;

    ck_assert(kvi_branch_insert(&g, page, (unsigned)slot, separator, (struct kvi_ref){pgno, 1},
                                no_counts));
    if (count)
        check_page();
}

static uint64_t child_of(struct kvi_key key)
{
    int slot = kvi_branch_find(&g, page, key);
    struct kvi_branch_cell cell;

    ck_assert_int_ge(slot, 0);
    ck_assert(kvi_branch_cell_at(&g, page, (unsigned)slot, &cell));
    return cell.ref.pgno;
}

START_TEST(branch_leads_to_the_child_whose_separator_is_not_above_the_key)
{
    put_child(KEY(""), 100);
    put_child(KEY("m"), 102);
    put_child(KEY("f"), 101);
    put_child(KEY("mm"), 103);
    ck_assert_uint_eq(child_of(KEY("")), 100);
    ck_assert_uint_eq(child_of(KEY("eeee")), 100);
    ck_assert_uint_eq(child_of(KEY("f")), 101);
    ck_assert_uint_eq(child_of(KEY("f\0")), 101);
    ck_assert_uint_eq(child_of(KEY("lzzzzzz")), 101);
    ck_assert_uint_eq(child_of(KEY("m")), 102);
    ck_assert_uint_eq(child_of(KEY("mlzzz")), 102);
    ck_assert_uint_eq(child_of(KEY("mm")), 103);
    ck_assert_uint_eq(child_of(KEY("zzz")), 103);
}
END_TEST

START_TEST(branch_search_never_takes_slot_0_for_a_separator)
{
    put_child(KEY(""), 100);
    put_child(KEY("\0"), 101); /* its head is 0, as that of slot 0 */
    put_child(KEY("\0\0"), 102);
    ck_assert_uint_eq(child_of(KEY("")), 100);
    ck_assert_uint_eq(child_of(KEY("\0")), 101);
    ck_assert_uint_eq(child_of(KEY("\0\0")), 102);
    ck_assert_uint_eq(child_of(KEY("\0\0\0")), 102);
    ck_assert_uint_eq(child_of(KEY("\1")), 102);
}
END_TEST

START_TEST(branch_chooses_and_shortens_its_prefix)
{
    put_child(KEY(""), 100);
    put_child(KEY("shared/ab"), 101);
    ck_assert_uint_eq(prefix_bytes(), 0);
    put_child(KEY("shared/ac"), 102);
    ck_assert_uint_eq(prefix_bytes(), 8);
    ck_assert_uint_eq(child_of(KEY("shared")), 100);
    ck_assert_uint_eq(child_of(KEY("t")), 102);
    put_child(KEY("shared/z"), 103);
    ck_assert_uint_eq(prefix_bytes(), 7);
    put_child(KEY("other"), 104);
    ck_assert_uint_eq(prefix_bytes(), 0);
    ck_assert_uint_eq(child_of(KEY("a")), 100);
    ck_assert_uint_eq(child_of(KEY("other")), 104);
    ck_assert_uint_eq(child_of(KEY("shared/ab")), 101);
    ck_assert_uint_eq(child_of(KEY("shared/abc")), 101);
    ck_assert_uint_eq(child_of(KEY("shared/ad")), 102);
    ck_assert_uint_eq(child_of(KEY("shared/z")), 103);
}
END_TEST

START_TEST(branch_separator_that_would_break_a_full_pages_prefix_changes_nothing)
{
    uint8_t key[110];

    memset(key, 'k', sizeof(key));
    put_child(KEY(""), 100);
    for (unsigned i = 0; i < 100; i++) {
        key[106] = (uint8_t)(i >> 4);
        key[107] = (uint8_t)(i & 15);
        put_child((struct kvi_key){key, 110}, 101 + i);
    }
    ck_assert_uint_eq(prefix_bytes(), 106);
    memcpy(other, page, 4096);
    ck_assert(!kvi_branch_insert(&g, page, 101, KEY("z"), (struct kvi_ref){999, 1}, no_counts));
    ck_assert_mem_eq(page, other, 4096);
}
END_TEST

START_TEST(reference_of_a_branch_cell_can_be_set)
{
    struct kvi_branch_cell cell;

    put_child(KEY(""), 100);
    put_child(KEY("m"), 101);
    ck_assert(kvi_branch_cell_at(&g, page, 0, &cell));
    kvi_branch_set_ref(page, &cell, (struct kvi_ref){200, 7});
    ck_assert(kvi_branch_cell_at(&g, page, 1, &cell));
    kvi_branch_set_ref(page, &cell, (struct kvi_ref){201, 0});
    ck_assert_uint_eq(child_of(KEY("a")), 200);
    ck_assert_uint_eq(child_of(KEY("m")), 201);
    check_page();
}
END_TEST

START_TEST(branch_without_its_first_child_has_no_separator_for_the_next)
{
    struct kvi_branch_cell cell;

    put_child(KEY(""), 100);
    put_child(KEY("key/b"), 101);
    put_child(KEY("key/c"), 102);
    put_child(KEY("key/d"), 103);
    ck_assert(kvi_node_remove(&g, page, 0));
    check_page();
    ck_assert(kvi_branch_cell_at(&g, page, 0, &cell));
    ck_assert_uint_eq(cell.suffix_bytes, 0);
    ck_assert_uint_eq(child_of(KEY("a")), 101);
    ck_assert_uint_eq(child_of(KEY("key/c")), 102);
    ck_assert(kvi_node_remove(&g, page, 1));
    check_page();
    ck_assert_uint_eq(child_of(KEY("key/c")), 101);
    ck_assert_uint_eq(child_of(KEY("key/d")), 103);
    put_child(KEY("other"), 104);
    ck_assert_uint_eq(child_of(KEY("key/d")), 103);
    ck_assert_uint_eq(child_of(KEY("other")), 104);
}
END_TEST

/* ---- Gather and emit ---------------------------------------------------------------------------
 */

START_TEST(leaf_gathered_and_emitted_is_the_same_leaf)
{
    struct kvi_item items[8];
    unsigned count = 0;

    put(KEY("key/a"), "first");
    put(KEY("key/b"), "second");
    put(KEY("key/cde"), "");
    ck_assert_uint_eq(kvi_gather_scratch_bytes(&g, page), 0);
    ck_assert_int_eq(kvi_node_gather(&g, page, KEY(""), items, &count, NULL), 0);
    ck_assert_uint_eq(count, 3);
    ck_assert_mem_eq(items[2].key, "key/cde", 7);
    ck_assert(kvi_node_emit(&g, other, items, 0, count));
    memcpy(page, other, 4096);
    check_page();
    ck_assert_uint_eq(kvi_header_pgno(page), 6); /* identity is kept */
    check_value(0, "first");
    check_value(1, "second");
    check_value(2, "");
    ck_assert_int_eq(find(KEY("key/cde")), 2);
}
END_TEST

START_TEST(gather_appends_behind_what_is_there)
{
    struct kvi_item items[8];
    unsigned count = 0;

    put(KEY("a"), "first");
    ck_assert_int_eq(kvi_node_gather(&g, page, KEY(""), items, &count, NULL), 0);
    ck_assert_int_eq(kvi_node_gather(&g, page, KEY(""), items, &count, NULL), 0);
    ck_assert_uint_eq(count, 2);
    ck_assert_ptr_eq(items[0].key, items[1].key);
}
END_TEST

START_TEST(branch_gathered_has_whole_separators_and_its_parents_first_one)
{
    struct kvi_item items[8];
    unsigned count = 0;
    uint8_t *scratch;
    size_t room;

    put_child(KEY(""), 100);
    put_child(KEY("shared/a"), 101);
    put_child(KEY("shared/b"), 102);
    room = kvi_gather_scratch_bytes(&g, page);
    scratch = malloc(room);
    ck_assert_int_eq(kvi_node_gather(&g, page, KEY("first"), items, &count, scratch), 16);
    ck_assert_uint_le(16, room);
    ck_assert_uint_eq(items[0].key_bytes, 5);
    ck_assert_mem_eq(items[0].key, "first", 5);
    ck_assert_uint_eq(items[1].key_bytes, 8);
    ck_assert_mem_eq(items[1].key, "shared/a", 8);
    ck_assert_mem_eq(items[2].key, "shared/b", 8);
    ck_assert_uint_eq(items[2].ref.pgno, 102);
    ck_assert(kvi_node_emit(&g, other, items, 0, count));
    memcpy(page, other, 4096);
    check_page();
    ck_assert_uint_eq(prefix_bytes(), 7);
    ck_assert_uint_eq(child_of(KEY("shared/a")), 101);
    ck_assert_uint_eq(child_of(KEY("first")), 100);
    free(scratch);
}
END_TEST

START_TEST(gather_of_overlapping_separators_keeps_to_its_scratch)
{
    struct kvi_item items[40];
    unsigned count = 0, at;
    uint8_t key[200], *scratch;

    memset(key, 'k', sizeof(key));
    put_child(KEY(""), 100);
    for (unsigned i = 0; i < 20; i++) {
        key[1] = (uint8_t)i;
        put_child((struct kvi_key){key, i == 19 ? 200 : 3}, 101 + i);
    }
    ck_assert_uint_eq(prefix_bytes(), 1);
    at = ((32 + 1 + 3) & ~3u) + 4 * 21;
    for (unsigned i = 1; i < 20; i++) /* all slots name the longest cell */
        memcpy(page + at + 2 * i, page + at + 2 * 20, 2);
    ck_assert(kvi_node_frame_ok(&g, page));
    scratch = malloc(kvi_gather_scratch_bytes(&g, page));
    ck_assert_int_eq(kvi_node_gather(&g, page, KEY(""), items, &count, scratch), -1);
    ck_assert_uint_eq(count, 0);
    free(scratch);
}
END_TEST

START_TEST(page_of_one_key_has_no_prefix)
{
    struct kvi_item item = {0};

    item.key = (const uint8_t *)"abcdef";
    item.key_bytes = 6;
    ck_assert(kvi_node_emit(&g, page, &item, 0, 1));
    ck_assert_uint_eq(prefix_bytes(), 0);
    check_page();
}
END_TEST

START_TEST(emit_leaves_no_old_bytes_between_slots_and_cells)
{
    struct kvi_item items[2] = {0};

    memset(page + 32, 0xee, 4096 - 32);
    items[0].key = (const uint8_t *)"ka";
    items[0].key_bytes = 2;
    items[1].key = (const uint8_t *)"kb";
    items[1].key_bytes = 2;
    items[1].payload_bytes = 100; /* no payload: zeros */
    ck_assert(kvi_node_emit(&g, page, items, 0, 2));
    check_page();
    for (unsigned i = 32; i < 4096; i++)
        ck_assert_uint_ne(page[i], 0xee);
}
END_TEST

START_TEST(no_items_make_an_empty_leaf)
{
    put(KEY("a"), "first");
    ck_assert(kvi_node_emit(&g, page, NULL, 0, 0));
    ck_assert_uint_eq(kvi_header_count(page), 0);
    check_page();
    ck_assert_uint_eq(kvi_items_bytes(&g, KVI_PAGE_LEAF, 0, NULL, 0, 0), 32);
}
END_TEST

START_TEST(emit_takes_what_fits_to_the_last_byte_and_no_more)
{
    struct kvi_item items[2] = {0};

    items[0].key = (const uint8_t *)"ka";
    items[1].key = (const uint8_t *)"kb";
    items[0].key_bytes = items[1].key_bytes = 2;
    items[0].payload_bytes = items[1].payload_bytes = g.cell_bytes_max - 6;
    ck_assert_uint_eq(kvi_items_bytes(&g, KVI_PAGE_LEAF, 0, items, 0, 2), 4096);
    ck_assert(kvi_node_emit(&g, page, items, 0, 2));
    ck_assert_uint_eq(prefix_bytes(), 0);
    check_page();
    items[1].payload_bytes++;
    ck_assert_uint_eq(kvi_items_bytes(&g, KVI_PAGE_LEAF, 0, items, 0, 2), 4097);
    ck_assert(!kvi_node_emit(&g, page, items, 0, 2));
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("node");

#define LEAF(name, test) harness_add_fixture(s, name, test, setup, teardown)
#define BRANCH(name, test) harness_add_fixture(s, name, test, setup_branch, teardown)
    LEAF("order", keys_are_ordered_by_bytes_then_length);
    LEAF("order", separator_is_the_shortest_that_tells_left_from_right);
    LEAF("search", empty_leaf_finds_nothing);
    LEAF("search", keys_that_tie_by_their_padding_are_told_apart);
    LEAF("search", keys_with_equal_heads_are_found_by_their_tails);
    LEAF("search", highest_head_ties_to_the_end);
    LEAF("search", keys_outside_of_the_prefix_stand_before_or_behind_all);
    LEAF("search", empty_key_may_have_no_data);
    LEAF("insert", second_key_chooses_the_prefix_and_later_ones_shorten_it);
    LEAF("insert", shared_prefix_is_taken_up_to_255_bytes);
    LEAF("insert", insert_that_does_not_fit_changes_nothing);
    LEAF("insert", insert_fits_to_the_last_byte);
    LEAF("insert", prefix_gives_way_where_it_leaves_no_room);
    LEAF("insert", cells_larger_than_half_a_page_are_refused);
    LEAF("insert", value_stays_inline_up_to_half_a_page);
    LEAF("resize", resize_keeps_key_and_neighbours);
    LEAF("resize", resize_to_the_same_size_moves_nothing);
    LEAF("resize", resize_that_does_not_fit_changes_nothing);
    LEAF("resize", resize_changes_a_cell_to_another_kind);
    LEAF("remove", remove_gives_all_bytes_back);
    LEAF("remove", leaf_that_lost_all_but_one_key_takes_any_other);
    BRANCH("branch", branch_leads_to_the_child_whose_separator_is_not_above_the_key);
    BRANCH("branch", branch_search_never_takes_slot_0_for_a_separator);
    BRANCH("branch", branch_chooses_and_shortens_its_prefix);
    BRANCH("branch", branch_separator_that_would_break_a_full_pages_prefix_changes_nothing);
    BRANCH("branch", reference_of_a_branch_cell_can_be_set);
    BRANCH("branch", branch_without_its_first_child_has_no_separator_for_the_next);
    LEAF("emit", leaf_gathered_and_emitted_is_the_same_leaf);
    LEAF("emit", gather_appends_behind_what_is_there);
    BRANCH("emit branch", branch_gathered_has_whole_separators_and_its_parents_first_one);
    BRANCH("emit branch", gather_of_overlapping_separators_keeps_to_its_scratch);
    LEAF("emit", page_of_one_key_has_no_prefix);
    LEAF("emit", emit_leaves_no_old_bytes_between_slots_and_cells);
    LEAF("emit", no_items_make_an_empty_leaf);
    LEAF("emit", emit_takes_what_fits_to_the_last_byte_and_no_more);
    return s;
}

HARNESS_MAIN(suite)
