/* SPDX-License-Identifier: MIT */
/* The random operations of test_tree_random against a library with shrunken limits: many small
 * regions, runs written at once from 16 KiB on. */
#include "harness.h"
#include "tree_ops.h"

static const struct ops_plan plans[] = {
    {"small: text, nested", 4096, MODEL_KEYS_TEXT, 1500, 30000, 0, 100, 21},
    {"small: spilling", 4096, MODEL_KEYS_NUMBERS, 3000, 40000, 16, 0, 22},
    {"small: spilling, mixed, nested", 4096, MODEL_KEYS_MIXED, 1500, 40000, 16, 200, 23},
    {"small: 16 KiB", 16384, MODEL_KEYS_MIXED, 800, 10000, 16, 50, 24},
};

START_TEST(random_operations_match_the_model_under_small_limits)
{
    ops_run(&plans[_i]);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("small_tree");

    harness_add_loop(s, "random", random_operations_match_the_model_under_small_limits, 0,
                     (int)(sizeof(plans) / sizeof(plans[0])));
    return s;
}

HARNESS_MAIN(suite)
