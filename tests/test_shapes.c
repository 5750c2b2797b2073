/* SPDX-License-Identifier: MIT */
/* Random changes of trees of every shape against a sorted array: orders, duplicates of all sizes,
 * counts, alignment, page sizes, nested txns, spilling. */
#include "harness.h"
#include "kv.h"
#include "shape_ops.h"

#define DUP_COUNTED (KVI_TABLE_DUPLICATES | KVI_TABLE_COUNTED)
#define FIXED (KVI_TABLE_DUPLICATES | KVI_TABLE_FIXED | KVI_TABLE_COUNTED)
#define BYTES KV_ORDER_BYTES
#define REVERSE KV_ORDER_REVERSE
#define UINT KV_ORDER_UINT
#define CUSTOM KV_ORDER_CUSTOM
#define SMALL SHAPE_SIZES_SMALL
#define MIXED SHAPE_SIZES_MIXED
#define ITEMS SHAPE_SIZES_FIXED

static const struct shape_plan plans[] = {
    {"counted", 4096, KVI_TABLE_COUNTED, BYTES, 0, 0, 0, MIXED, 2000, 2000, 30000, 0, 0, 1},
    {"reverse", 4096, 0, REVERSE, 0, 0, 0, MIXED, 2000, 2000, 30000, 0, 0, 2},
    {"integers", 4096, 0, UINT, 0, 0, 0, SMALL, 4000, 4000, 40000, 0, 0, 3},
    {"integers, counted", 4096, KVI_TABLE_COUNTED, UINT, 0, 0, 0, MIXED, 3000, 3000, 30000, 0, 0,
     4},
    {"custom", 4096, 0, CUSTOM, 0, 0, 0, MIXED, 2000, 2000, 30000, 0, 0, 5},
    {"aligned 8", 4096, 0, BYTES, 0, 3, 0, MIXED, 2000, 2000, 30000, 0, 0, 6},
    {"aligned 16, counted", 4096, KVI_TABLE_COUNTED, REVERSE, 0, 4, 0, MIXED, 2000, 2000, 30000, 0,
     0, 7},
    {"pairs, small", 4096, DUP_COUNTED, BYTES, BYTES, 0, 0, SMALL, 300, 20000, 40000, 0, 0, 8},
    {"pairs, mixed", 4096, DUP_COUNTED, BYTES, BYTES, 0, 0, MIXED, 100, 6000, 40000, 0, 0, 9},
    {"pairs, one key", 4096, DUP_COUNTED, BYTES, BYTES, 0, 0, MIXED, 1, 6000, 30000, 0, 0, 10},
    {"pairs, reverse", 4096, DUP_COUNTED, REVERSE, REVERSE, 0, 0, MIXED, 100, 6000, 30000, 0, 0,
     11},
    {"pairs, integers", 4096, FIXED, UINT, UINT, 0, 8, ITEMS, 200, 20000, 40000, 0, 0, 12},
    {"pairs, integers of 4", 4096, FIXED, UINT, UINT, 0, 4, ITEMS, 20, 20000, 40000, 0, 0, 13},
    {"pairs, custom", 4096, DUP_COUNTED, CUSTOM, CUSTOM, 0, 0, MIXED, 100, 6000, 30000, 0, 0, 14},
    {"pairs, custom keys", 4096, FIXED, CUSTOM, BYTES, 0, 2, ITEMS, 100, 6000, 30000, 0, 0, 15},
    {"pairs, custom values", 4096, DUP_COUNTED, UINT, CUSTOM, 0, 0, SMALL, 100, 6000, 30000, 0, 0,
     16},
    {"fixed, 2 bytes", 4096, FIXED, BYTES, BYTES, 0, 2, ITEMS, 40, 20000, 40000, 0, 0, 17},
    {"fixed, 16 bytes", 4096, FIXED, BYTES, REVERSE, 0, 16, ITEMS, 100, 20000, 30000, 0, 0, 18},
    {"fixed, 300 bytes, aligned", 4096, FIXED, BYTES, BYTES, 4, 300, ITEMS, 100, 6000, 30000, 0, 0,
     19},
    {"pairs, aligned 8", 4096, DUP_COUNTED, BYTES, BYTES, 3, 0, MIXED, 100, 6000, 30000, 0, 0, 20},
    {"pairs, 16 KiB, nested", 16384, DUP_COUNTED, BYTES, BYTES, 0, 0, MIXED, 60, 8000, 30000, 0, 60,
     21},
    {"pairs, 64 KiB", 65536, DUP_COUNTED, BYTES, BYTES, 0, 0, MIXED, 30, 6000, 15000, 0, 20, 22},
    {"fixed, 64 KiB", 65536, FIXED, UINT, UINT, 3, 8, ITEMS, 20, 60000, 30000, 0, 20, 23},
    {"pairs, nested, spilling", 4096, DUP_COUNTED, BYTES, BYTES, 0, 0, SMALL, 200, 20000, 40000, 16,
     100, 24},
    {"pairs, few", 4096, DUP_COUNTED, BYTES, BYTES, 0, 0, MIXED, 3, 12, 20000, 0, 100, 25},
};

START_TEST(random_changes_match_the_sorted_array)
{
    shape_ops_run(&plans[_i]);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("shapes");

    harness_add_loop(s, "random", random_changes_match_the_sorted_array, 0,
                     (int)(sizeof(plans) / sizeof(plans[0])));
    return s;
}

HARNESS_MAIN(suite)
