/* SPDX-License-Identifier: MIT */
/*
 * lib/format/plan.h: where the bounds between sibling pages stand.
 */
#include "harness.h"

#include <stdlib.h>
#include <string.h>

#include "format/plan.h"

#define ITEMS_MAX 2000

static struct kvi_geometry g;
static struct kvi_item items[ITEMS_MAX];
static uint8_t keys[ITEMS_MAX][2048];
static unsigned count;
static unsigned bounds[4];
static unsigned flags; /* header flags of the pages */

/* Those that matter to sizes: alignment; counts, and separators without a prefix. */
static const unsigned leaf_flags[] = {0, 0x0300, 0x0400};
static const unsigned branch_flags[] = {0, 0x0001, 0x0003, 0x0030, 0x0031};

static void setup(void)
{
    ck_assert(kvi_geometry_init(&g, 4096));
    memset(items, 0, sizeof(items));
    count = 0;
    flags = 0;
}

/* The next item: its key counts up behind `shared` bytes of 'k', and is filled to key_bytes. */
static void add_item(uint32_t key_bytes, uint32_t shared, uint32_t payload_bytes)
{
    uint8_t *key = keys[count];
    struct kvi_item *item = &items[count];

    ck_assert_uint_lt(count, ITEMS_MAX);
    ck_assert_uint_ge(key_bytes, shared + 2);
    memset(key, 'k', key_bytes);
    key[shared] = (uint8_t)(count >> 8);
    key[shared + 1] = (uint8_t)count;
    item->key = key;
    item->key_bytes = key_bytes;
    item->payload_bytes = payload_bytes;
    item->ref = (struct kvi_ref){count + 1, 1};
    count++;
}

static unsigned bytes_of(enum kvi_page_type type, unsigned from, unsigned end)
{
    return kvi_items_bytes(&g, type, flags, items, from, end);
}

/* Plans, and sees that the plan is one: ascending bounds, each page emitted whole. */
static unsigned split(enum kvi_page_type type, unsigned pages_min, enum kvi_plan_bias bias)
{
    unsigned pages = kvi_plan_split(&g, type, flags, items, count, pages_min, bias, bounds);
    unsigned least = type == KVI_PAGE_BRANCH ? 2 : 1;
    uint8_t *page = malloc(g.page_size);

    if (pages == 0) {
        ck_assert_uint_eq(bounds[3], 0);
        free(page);
        return 0;
    }
    ck_assert_uint_eq(bounds[0], 0);
    ck_assert_uint_eq(bounds[pages], count);
    ck_assert_uint_eq(bounds[3], count);
    for (unsigned i = 0; i < pages; i++) {
        if (pages > 1)
            ck_assert_uint_ge(bounds[i + 1], bounds[i] + least);
        kvi_node_init(&g, page, type, type == KVI_PAGE_BRANCH, 1, 1);
        kvi_node_set_flags(page, flags);
        ck_assert(kvi_node_emit(&g, page, items, bounds[i], bounds[i + 1]));
        if (bounds[i + 1] - bounds[i] >= least)
            ck_assert_ptr_null(kvi_node_check(&g, page));
    }
    free(page);
    return pages;
}

/* ---- One case at a time
 * -------------------------------------------------------------------------- */

START_TEST(what_fits_one_page_stays_on_one)
{
    for (unsigned i = 0; i < 30; i++)
        add_item(8, 0, 100);
    ck_assert_uint_eq(split(KVI_PAGE_LEAF, 1, KVI_PLAN_EVEN), 1);
    ck_assert_uint_eq(bounds[1], 30);
}
END_TEST

START_TEST(no_items_take_one_empty_page)
{
    ck_assert_uint_eq(split(KVI_PAGE_LEAF, 1, KVI_PLAN_EVEN), 1);
    ck_assert_uint_eq(split(KVI_PAGE_LEAF, 2, KVI_PLAN_APPEND), 1);
}
END_TEST

START_TEST(even_split_shares_equal_cells_equally)
{
    for (unsigned i = 0; i < 60; i++)
        add_item(8, 0, 100);
    ck_assert_uint_eq(split(KVI_PAGE_LEAF, 1, KVI_PLAN_EVEN), 2);
    ck_assert_uint_eq(bounds[1], 30);
    ck_assert_uint_eq(split(KVI_PAGE_LEAF, 3, KVI_PLAN_EVEN), 3);
    ck_assert_uint_eq(bounds[1], 20);
    ck_assert_uint_eq(bounds[2], 40);
}
END_TEST

START_TEST(even_split_goes_by_bytes_and_not_by_number)
{
    add_item(8, 0, 2000);
    for (unsigned i = 0; i < 100; i++)
        add_item(8, 0, 10);
    ck_assert_uint_eq(split(KVI_PAGE_LEAF, 2, KVI_PLAN_EVEN), 2);
    ck_assert_uint_lt(bounds[1], 40);
    ck_assert_uint_lt(abs((int)bytes_of(KVI_PAGE_LEAF, 0, bounds[1]) -
                          (int)bytes_of(KVI_PAGE_LEAF, bounds[1], count)),
                      60);
}
END_TEST

START_TEST(append_split_fills_the_left_page)
{
    for (unsigned i = 0; i < 40; i++)
        add_item(8, 0, 100);
    ck_assert_uint_eq(split(KVI_PAGE_LEAF, 1, KVI_PLAN_APPEND), 2);
    ck_assert_uint_le(bytes_of(KVI_PAGE_LEAF, 0, bounds[1]), 4096);
    ck_assert_uint_gt(bytes_of(KVI_PAGE_LEAF, 0, bounds[1] + 1), 4096);
}
END_TEST

START_TEST(append_split_leaves_the_other_pages_their_least)
{
    for (unsigned i = 0; i < 10; i++)
        add_item(8, 0, 10);
    ck_assert_uint_eq(split(KVI_PAGE_LEAF, 3, KVI_PLAN_APPEND), 3);
    ck_assert_uint_eq(bounds[1], 8);
    ck_assert_uint_eq(bounds[2], 9);
    ck_assert_uint_eq(split(KVI_PAGE_BRANCH, 3, KVI_PLAN_APPEND), 3);
    ck_assert_uint_eq(bounds[1], 6);
    ck_assert_uint_eq(bounds[2], 8);
}
END_TEST

START_TEST(fewer_items_make_fewer_pages)
{
    add_item(8, 0, 10);
    ck_assert_uint_eq(split(KVI_PAGE_LEAF, 3, KVI_PLAN_EVEN), 1);
    add_item(8, 0, 10);
    ck_assert_uint_eq(split(KVI_PAGE_LEAF, 3, KVI_PLAN_EVEN), 2);
    add_item(8, 0, 10);
    ck_assert_uint_eq(split(KVI_PAGE_BRANCH, 3, KVI_PLAN_EVEN), 1);
    add_item(8, 0, 10);
    ck_assert_uint_eq(split(KVI_PAGE_BRANCH, 3, KVI_PLAN_EVEN), 2);
}
END_TEST

START_TEST(more_than_three_pages_of_cells_have_no_plan)
{
    for (unsigned i = 0; i < 7; i++)
        add_item(8, 0, 2000);
    ck_assert_uint_eq(split(KVI_PAGE_LEAF, 1, KVI_PLAN_EVEN), 0);
    ck_assert_uint_eq(split(KVI_PAGE_LEAF, 1, KVI_PLAN_APPEND), 0);
    count = 6;
    ck_assert_uint_eq(split(KVI_PAGE_LEAF, 1, KVI_PLAN_EVEN), 3);
}
END_TEST

START_TEST(large_cell_in_the_middle_may_need_three_pages)
{
    add_item(8, 0, 1900); /* 1918 with its slot */
    add_item(8, 0, 2000);
    add_item(8, 0, 2000);
    add_item(8, 0, 2000);
    add_item(8, 0, 1900);
    ck_assert_uint_eq(split(KVI_PAGE_LEAF, 1, KVI_PLAN_EVEN), 3);
}
END_TEST

START_TEST(separator_that_fits_no_page_has_no_plan)
{
    static uint8_t long_key[5000];

    for (unsigned i = 0; i < 6; i++)
        add_item(8, 0, 0);
    memset(long_key, 'z', sizeof(long_key));
    items[5].key = long_key; /* from a damaged page; only its own page's first item could drop it */
    items[5].key_bytes = sizeof(long_key);
    ck_assert_uint_eq(split(KVI_PAGE_BRANCH, 1, KVI_PLAN_EVEN), 0);
    ck_assert_uint_eq(split(KVI_PAGE_BRANCH, 1, KVI_PLAN_APPEND), 0);
}
END_TEST

START_TEST(prefix_counts_when_branch_pages_are_filled)
{
    for (unsigned i = 0; i < 150; i++)
        add_item(210, 200, 0);
    ck_assert_uint_eq(split(KVI_PAGE_BRANCH, 1, KVI_PLAN_EVEN), 2); /* 228 bytes each without */
    ck_assert_uint_eq(bounds[1], 75);
}
END_TEST

START_TEST(separator_that_breaks_a_full_branchs_prefix_fits_two_pages)
{
    add_item(2, 0, 0);
    add_item(100, 0, 0); /* shares nothing with those behind */
    for (unsigned i = 0; i < 120; i++)
        add_item(210, 200, 0);
    ck_assert_uint_gt(bytes_of(KVI_PAGE_BRANCH, 0, count), 4096 * 4);
    ck_assert_uint_eq(split(KVI_PAGE_BRANCH, 1, KVI_PLAN_EVEN), 2);
    ck_assert_uint_eq(split(KVI_PAGE_BRANCH, 1, KVI_PLAN_APPEND), 2);
}
END_TEST

/* ---- Random mixes
 * -------------------------------------------------------------------------------- */

static int compare_items(const void *a, const void *b)
{
    const struct kvi_item *x = a, *y = b;

    return kvi_key_compare(x->key, x->key_bytes, y->key, y->key_bytes);
}

/* A mix of cells: mostly of one size class, prefixes long or short, the largest now and then. */
static void random_item(struct rng *rng, enum kvi_page_type type, uint32_t shared, uint32_t usual)
{
    uint32_t most = g.key_bytes_max;
    uint32_t key_bytes = shared + 8 + (uint32_t)rng_below(rng, 12);
    uint32_t payload_bytes = 0;

    if (rng_chance(rng, 10))
        key_bytes = (uint32_t)rng_between(rng, shared + 8, most + 1);
    if (type == KVI_PAGE_LEAF) {
        most = (g.cell_bytes_max & ~15u) - ((4 + key_bytes + 15) & ~15u);
        most = flags ? most : g.cell_bytes_max - 4 - key_bytes;
        payload_bytes = (uint32_t)rng_below(rng, rng_chance(rng, 15) ? most + 1 : usual);
        payload_bytes = payload_bytes < most ? payload_bytes : most;
    }
    add_item(key_bytes, shared, payload_bytes);
    if (rng_chance(rng, 5))
        rng_bytes(rng, keys[count - 1], 8); /* elsewhere in the order */
    rng_bytes(rng, keys[count - 1] + shared, 8);
}

/* Items until a page is full; `count` grows by as many as it holds. */
static void fill_page(struct rng *rng, enum kvi_page_type type, uint32_t shared, uint32_t usual)
{
    unsigned from = count, refused = 0;

    while (refused < 3 && count < ITEMS_MAX - 1) {
        random_item(rng, type, shared, usual);
        qsort(items + from, count - from, sizeof(items[0]), compare_items);
        if (bytes_of(type, from, count) > g.page_size) {
            /* Drop an item, but keep its key's storage free of others: the last one written. */
            unsigned last = from;

            for (unsigned i = from; i < count; i++) {
                if (items[i].key == keys[count - 1])
                    last = i;
            }
            memmove(&items[last], &items[last + 1], (count - last - 1) * sizeof(items[0]));
            count--;
            refused++;
        }
    }
}

static bool is_page(enum kvi_page_type type, unsigned from, unsigned end)
{
    unsigned least = type == KVI_PAGE_BRANCH ? 2 : 1;

    return end >= from + least && bytes_of(type, from, end) <= g.page_size;
}

/* The least number of pages by trying all bounds; 4: more than three. */
static unsigned least_pages(enum kvi_page_type type)
{
    if (is_page(type, 0, count))
        return 1;
    for (unsigned i = 1; i < count; i++) {
        if (is_page(type, 0, i) && is_page(type, i, count))
            return 2;
    }
    for (unsigned i = 1; i < count; i++) {
        for (unsigned j = i + 1; is_page(type, 0, i) && j < count; j++) {
            if (is_page(type, j, count) && is_page(type, i, j))
                return 3;
        }
    }
    return 4;
}

static void random_plans(enum kvi_page_type type, unsigned page_flags, uint64_t rounds)
{
    struct rng rng;

    setup();
    flags = page_flags;
    rng_seed(&rng, "plan", 11 + type);
    for (uint64_t round = 0; round < rounds; round++) {
        uint32_t shared = rng_chance(&rng, 50) ? 0 : (uint32_t)rng_between(&rng, 8, 300);
        uint32_t usual = (uint32_t)rng_between(&rng, 30, 1500);
        unsigned total = (unsigned)rng_between(&rng, 2, 60), pages, least;

        count = 0;
        while (count < total)
            random_item(&rng, type, shared, usual);
        qsort(items, count, sizeof(items[0]), compare_items);
        least = least_pages(type);
        pages = split(type, 1, rng_chance(&rng, 50) ? KVI_PLAN_EVEN : KVI_PLAN_APPEND);
        ck_assert_uint_eq(pages ? pages : 4, least);
        if (least < 3) {
            pages = split(type, 3, KVI_PLAN_EVEN);
            ck_assert_uint_eq(pages, count >= (type == KVI_PAGE_BRANCH ? 6 : 3) ? 3 : pages);
        }
    }
}

START_TEST(leaf_plans_take_as_few_pages_as_there_can_be)
{
    random_plans(KVI_PAGE_LEAF, leaf_flags[_i], scaled(1000));
}
END_TEST

START_TEST(branch_plans_take_as_few_pages_as_there_can_be)
{
    random_plans(KVI_PAGE_BRANCH, branch_flags[_i], scaled(1000));
}
END_TEST

static void set_first_byte(unsigned from, unsigned end, uint8_t byte)
{
    for (unsigned i = from; i < end; i++)
        ((uint8_t *)keys)[items[i].key - (const uint8_t *)keys] = byte;
    qsort(items + from, end - from, sizeof(items[0]), compare_items);
}

/* One or two full pages and an item more, wherever it belongs. */
static void full_pages_and_one_more(enum kvi_page_type type, unsigned page_flags, unsigned pages,
                                    uint64_t rounds)
{
    struct rng rng;

    setup();
    flags = page_flags;
    rng_seed(&rng, "full pages", 20 + type + pages);
    for (uint64_t round = 0; round < rounds; round++) {
        uint32_t shared = rng_chance(&rng, 50) ? 0 : (uint32_t)rng_between(&rng, 8, 300);
        uint32_t usual = (uint32_t)rng_between(&rng, 30, 1500);
        unsigned first;

        count = 0;
        fill_page(&rng, type, shared, usual);
        first = count;
        if (pages == 2) {
            fill_page(&rng, type, shared, usual);
            set_first_byte(0, first, 0x11);
            set_first_byte(first, count, 0x99); /* so that the second page is above the first */
            if (bytes_of(type, 0, first) > g.page_size ||
                bytes_of(type, first, count) > g.page_size)
                continue; /* a separator shares less now */
        }
        random_item(&rng, type, shared, usual);
        qsort(items, count, sizeof(items[0]), compare_items);
        ck_assert_uint_ne(split(type, 1, KVI_PLAN_EVEN), 0);
        ck_assert_uint_le(split(type, 1, KVI_PLAN_APPEND), pages + 1);
    }
}

START_TEST(full_leaf_and_one_more_fit_two_pages)
{
    full_pages_and_one_more(KVI_PAGE_LEAF, leaf_flags[_i], 1, scaled(500));
}
END_TEST

START_TEST(full_branch_and_one_more_fit_two_pages)
{
    full_pages_and_one_more(KVI_PAGE_BRANCH, branch_flags[_i], 1, scaled(500));
}
END_TEST

START_TEST(two_full_leaves_and_one_more_fit_three_pages)
{
    full_pages_and_one_more(KVI_PAGE_LEAF, leaf_flags[_i], 2, scaled(500));
}
END_TEST

START_TEST(two_full_branches_and_one_more_fit_three_pages)
{
    full_pages_and_one_more(KVI_PAGE_BRANCH, branch_flags[_i], 2, scaled(500));
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("plan");

#define PLAN(name, test) harness_add_fixture(s, name, test, setup, NULL)
    PLAN("plan", what_fits_one_page_stays_on_one);
    PLAN("plan", no_items_take_one_empty_page);
    PLAN("plan", even_split_shares_equal_cells_equally);
    PLAN("plan", even_split_goes_by_bytes_and_not_by_number);
    PLAN("plan", append_split_fills_the_left_page);
    PLAN("plan", append_split_leaves_the_other_pages_their_least);
    PLAN("plan", fewer_items_make_fewer_pages);
    PLAN("plan", more_than_three_pages_of_cells_have_no_plan);
    PLAN("plan", large_cell_in_the_middle_may_need_three_pages);
    PLAN("plan", separator_that_fits_no_page_has_no_plan);
    PLAN("plan", prefix_counts_when_branch_pages_are_filled);
    PLAN("plan", separator_that_breaks_a_full_branchs_prefix_fits_two_pages);
    harness_add_loop(s, "random", leaf_plans_take_as_few_pages_as_there_can_be, 0, 3);
    harness_add_loop(s, "random", branch_plans_take_as_few_pages_as_there_can_be, 0, 5);
    harness_add_loop(s, "random", full_leaf_and_one_more_fit_two_pages, 0, 3);
    harness_add_loop(s, "random", full_branch_and_one_more_fit_two_pages, 0, 5);
    harness_add_loop(s, "random", two_full_leaves_and_one_more_fit_three_pages, 0, 3);
    harness_add_loop(s, "random", two_full_branches_and_one_more_fit_three_pages, 0, 5);
    return s;
}

HARNESS_MAIN(suite)
