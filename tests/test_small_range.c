/* SPDX-License-Identifier: MIT */
/* The random range deletes of test_range against a library with shrunken limits: many small
 * regions, pages written early. */
#include "harness.h"
#include "range_ops.h"
#include "shape_plans.h"

static const struct range_plan plans[] = {
    {"small: text, nested", 4096, MODEL_KEYS_TEXT, 1500, 700, 0, false, 5, 31},
    {"small: spilling", 4096, MODEL_KEYS_NUMBERS, 3000, 700, 16, false, 0, 32},
    {"small: spilling, mixed, runs, nested", 4096, MODEL_KEYS_MIXED, 1000, 1000, 16, true, 5, 33},
    {"small: 16 KiB", 16384, MODEL_KEYS_MIXED, 800, 400, 16, true, 2, 34},
};

START_TEST(random_ranges_go_as_in_the_model_under_small_limits)
{
    range_run(&plans[_i]);
}
END_TEST

START_TEST(tables_of_every_shape_go_as_in_the_model_under_small_limits)
{
    shape_run(&shape_plans[_i]);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("small_range");

    harness_add_loop(s, "random", random_ranges_go_as_in_the_model_under_small_limits, 0,
                     (int)(sizeof(plans) / sizeof(plans[0])));
    harness_add_loop(s, "shapes", tables_of_every_shape_go_as_in_the_model_under_small_limits, 0,
                     (int)(sizeof(shape_plans) / sizeof(shape_plans[0])));
    return s;
}

HARNESS_MAIN(suite)
