/* SPDX-License-Identifier: MIT */
/*
 * lib/format/node.h: what kvi_node_check and kvi_node_frame_ok see, each fault made by hand in a
 * page.
 */
#include "harness.h"

#include <stdlib.h>
#include <string.h>

#include "format/node.h"

static struct kvi_geometry g;
static uint8_t *page;
static uint8_t *other;

static void setup(void)
{
    ck_assert(kvi_geometry_init(&g, 4096));
    page = malloc(4096);
    other = malloc(4096);
}

static void teardown(void)
{
    free(page);
    free(other);
}

static void check_page(void)
{
    const char *what = kvi_node_check(&g, page);

    ck_assert_msg(!what, "%s", what);
}

static void expect_check(const char *text)
{
    const char *what = kvi_node_check(&g, page);

    ck_assert_ptr_nonnull(what);
    ck_assert_str_eq(what, text);
}

/* A leaf: prefix "key/" at 32, heads at 36, offs at 48, cells of 4 + 5 + 1 bytes from 4066 on. */
static void make_leaf(void)
{
    struct kvi_item items[3] = {0};
    static const char *keys[] = {"key/a", "key/b", "key/c"};

    for (unsigned i = 0; i < 3; i++) {
        items[i].key = (const uint8_t *)keys[i];
        items[i].key_bytes = 5;
        items[i].payload = (const uint8_t *)"v";
        items[i].payload_bytes = 1;
    }
    kvi_node_init(&g, page, KVI_PAGE_LEAF, 0, 5, 1);
    ck_assert(kvi_node_emit(&g, page, items, 0, 3));
    check_page();
}

START_TEST(check_sees_what_is_wrong_in_a_leaf)
{
    struct kvi_item large = {(const uint8_t *)"k", 1, 3000, NULL, {0, 0}, {0, 0}, KVI_CELL_VALUE};

#define BROKEN(at, byte, text)                                                                     \
    make_leaf();                                                                                   \
    ck_assert_uint_ne(page[at], byte);                                                             \
    page[at] = byte;                                                                               \
    expect_check(text)
    BROKEN(14, 3, "neither a branch nor a leaf");
    BROKEN(15, 1, "a level that its type cannot have");
    BROKEN(31, 1, "unknown header flags");
    BROKEN(25, 0xff, "counts that do not fit the page");
    BROKEN(27, 1, "counts that do not fit the page");
    BROKEN(29, 0xff, "counts that do not fit the page");
    BROKEN(24, 2, "a cell outside of the cell area");
    BROKEN(33, 'x', "a key without the prefix");
    BROKEN(40, 'x', "a head that is not its key's");
    BROKEN(48, 0, "a cell outside of the cell area");
    BROKEN(49, 0xff, "a cell outside of the cell area");
    BROKEN(4066 + 1, 0x7f, "a cell outside of the cell area");
    BROKEN(4066, 3, "a key without the prefix");
    BROKEN(4066 + 3, 0xc0, "a set among other cells, or a cell among sets");
    BROKEN(4066 + 3, 0x80, "a table record too short");
    BROKEN(4066 + 3, 0x40, "a bad overflow reference");
    BROKEN(4076 + 8, 'a', "a head that is not its key's");
    BROKEN(28, 31, "a gap between cells");
#undef BROKEN
    kvi_node_init(&g, page, KVI_PAGE_LEAF, 0, 5, 1);
    ck_assert(kvi_node_emit(&g, page, &large, 0, 1));
    expect_check("a cell larger than allowed");
    make_leaf();
    page[50] = page[48]; /* two slots, one cell */
    page[51] = page[49];
    expect_check("cells that overlap");
    make_leaf();
    page[26] = 3; /* a shorter prefix: its padding is not zero then */
    expect_check("padding of the prefix is not zero");
    make_leaf();
    memcpy(other, page, 4096);
    memcpy(page + 36, other + 40, 4); /* slots 0 and 1 change places */
    memcpy(page + 40, other + 36, 4);
    memcpy(page + 48, other + 50, 2);
    memcpy(page + 50, other + 48, 2);
    expect_check("keys that do not ascend");
}
END_TEST

/* A branch: prefix "key/" at 32, heads at 36, offs at 48, cells of 12, 13, 13 bytes from 4058 on.
 */
static void make_branch(void)
{
    struct kvi_item items[3] = {0};
    static const char *keys[] = {"", "key/b", "key/c"};

    for (unsigned i = 0; i < 3; i++) {
        items[i].key = (const uint8_t *)keys[i];
        items[i].key_bytes = (uint32_t)strlen(keys[i]);
        items[i].ref = (struct kvi_ref){100 + i, 1};
    }
    kvi_node_init(&g, page, KVI_PAGE_BRANCH, 1, 5, 1);
    ck_assert(kvi_node_emit(&g, page, items, 0, 3));
    check_page();
}

START_TEST(check_sees_what_is_wrong_in_a_branch)
{
#define BROKEN(at, byte, text)                                                                     \
    make_branch();                                                                                 \
    ck_assert_uint_ne(page[at], byte);                                                             \
    page[at] = byte;                                                                               \
    expect_check(text)
    BROKEN(15, 0, "a level that its type cannot have");
    BROKEN(15, 40, "a level that its type cannot have");
    BROKEN(30, 2, "unknown header flags");
    BROKEN(24, 0, "counts that do not fit the page");
    BROKEN(24, 1, "a branch with one child");
    BROKEN(36, 1, "slot 0 of a branch with a separator");
    BROKEN(40, 1, "a head that is not its separator's");
    BROKEN(48, 0, "a cell outside of the cell area");
    BROKEN(4058, 0, "a branch cell without a child");
    BROKEN(4058 + 10, 1, "slot 0 of a branch with a separator");
    BROKEN(4070 + 10, 2, "a head that is not its separator's");
    BROKEN(4070 + 11, 0x0f, "a cell outside of the cell area");
    BROKEN(28, 39, "a gap between cells");
#undef BROKEN
    make_branch();
    memcpy(other, page, 4096);
    memcpy(page + 40, other + 44, 4); /* slots 1 and 2 change places */
    memcpy(page + 44, other + 40, 4);
    memcpy(page + 50, other + 52, 2);
    memcpy(page + 52, other + 50, 2);
    expect_check("separators that do not ascend");
}
END_TEST

START_TEST(frame_is_refused_where_the_parts_would_overlap)
{
    make_leaf();
    ck_assert(kvi_node_frame_ok(&g, page));
    kvi_le_store16(page + KVI_HEADER_CELLS, 4065);
    ck_assert(!kvi_node_frame_ok(&g, page));
    make_leaf();
    kvi_le_store16(page + KVI_HEADER_COUNT, 672); /* 36 + 6 * 672 = 4068 > 4066 */
    ck_assert(!kvi_node_frame_ok(&g, page));
    kvi_le_store16(page + KVI_HEADER_COUNT, 671);
    ck_assert(kvi_node_frame_ok(&g, page));
    make_leaf();
    kvi_le_store16(page + KVI_HEADER_PREFIX, 256);
    ck_assert(!kvi_node_frame_ok(&g, page));
    make_leaf();
    kvi_le_store16(page + KVI_HEADER_COUNT, 0);
    ck_assert(kvi_node_frame_ok(&g, page));
    make_branch();
    kvi_le_store16(page + KVI_HEADER_COUNT, 0);
    ck_assert(!kvi_node_frame_ok(&g, page));
}
END_TEST

START_TEST(overflow_reference_that_cannot_be_is_refused)
{
    struct kvi_overflow_ref ref = {{1234, 0x55}, 100000}, back;
    uint8_t payload[KVI_OVERFLOW_REF_BYTES];
    struct kvi_leaf_cell cell = {NULL, 0, payload, KVI_OVERFLOW_REF_BYTES, KVI_CELL_OVERFLOW};

    kvi_overflow_ref_store(payload, &ref);
    ck_assert(kvi_overflow_ref_load(&cell, &back));
    cell.payload_bytes = 17;
    ck_assert(!kvi_overflow_ref_load(&cell, &back));
    cell.payload_bytes = 18;
    cell.kind = KVI_CELL_VALUE;
    ck_assert(!kvi_overflow_ref_load(&cell, &back));
    cell.kind = KVI_CELL_OVERFLOW;
    ref.size_bytes = 0;
    kvi_overflow_ref_store(payload, &ref);
    ck_assert(!kvi_overflow_ref_load(&cell, &back));
    ref.size_bytes = KVI_VALUE_BYTES_MAX + 1;
    kvi_overflow_ref_store(payload, &ref);
    ck_assert(!kvi_overflow_ref_load(&cell, &back));
    ref = (struct kvi_overflow_ref){{0, 0x55}, 100000};
    kvi_overflow_ref_store(payload, &ref);
    ck_assert(!kvi_overflow_ref_load(&cell, &back));
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("node check");

    harness_add_fixture(s, "check", check_sees_what_is_wrong_in_a_leaf, setup, teardown);
    harness_add_fixture(s, "check", check_sees_what_is_wrong_in_a_branch, setup, teardown);
    harness_add_fixture(s, "check", frame_is_refused_where_the_parts_would_overlap, setup,
                        teardown);
    harness_add(s, "refused", overflow_reference_that_cannot_be_is_refused);
    return s;
}

HARNESS_MAIN(suite)
