/* SPDX-License-Identifier: MIT */
/* The random changes of test_shapes against a library with shrunken limits. */
#include "harness.h"
#include "kv.h"
#include "shape_ops.h"

#define PAIRS (KVI_TABLE_DUPLICATES | KVI_TABLE_COUNTED)
#define FIXED (PAIRS | KVI_TABLE_FIXED)

static const struct shape_plan plans[] = {
    {"small: counted, aligned", 4096, KVI_TABLE_COUNTED, KV_ORDER_REVERSE, 0, 3, 0,
     SHAPE_SIZES_MIXED, 1000, 1000, 15000, 16, 100, 41},
    {"small: pairs, spilling", 4096, PAIRS, KV_ORDER_BYTES, KV_ORDER_BYTES, 0, 0, SHAPE_SIZES_SMALL,
     200, 10000, 30000, 16, 0, 42},
    {"small: pairs, mixed, nested", 4096, PAIRS, KV_ORDER_CUSTOM, KV_ORDER_REVERSE, 0, 0,
     SHAPE_SIZES_MIXED, 100, 4000, 20000, 16, 100, 43},
    {"small: fixed, 16 KiB", 16384, FIXED, KV_ORDER_UINT, KV_ORDER_UINT, 0, 8, SHAPE_SIZES_FIXED,
     50, 20000, 20000, 16, 50, 44},
};

START_TEST(random_changes_match_the_sorted_array_under_small_limits)
{
    shape_ops_run(&plans[_i]);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("small_shapes");

    harness_add_loop(s, "random", random_changes_match_the_sorted_array_under_small_limits, 0,
                     (int)(sizeof(plans) / sizeof(plans[0])));
    return s;
}

HARNESS_MAIN(suite)
