/* SPDX-License-Identifier: MIT */
/* Random operations against a model: sizes, key shapes, page sizes, nested txns, spilling. */
#include "harness.h"
#include "tree_ops.h"

static const struct ops_plan plans[] = {
    {"numbers", 4096, MODEL_KEYS_NUMBERS, 3000, 60000, 0, 0, 1},
    {"text", 4096, MODEL_KEYS_TEXT, 3000, 60000, 0, 0, 2},
    {"mixed", 4096, MODEL_KEYS_MIXED, 1500, 60000, 0, 0, 3},
    {"mixed, 16 KiB", 16384, MODEL_KEYS_MIXED, 1500, 30000, 0, 20, 4},
    {"mixed, 64 KiB", 65536, MODEL_KEYS_MIXED, 1500, 10000, 0, 20, 5},
    {"nested", 4096, MODEL_KEYS_TEXT, 1500, 60000, 0, 200, 6},
    {"spilling", 4096, MODEL_KEYS_NUMBERS, 3000, 60000, 24, 0, 7},
    {"spilling, mixed, nested", 4096, MODEL_KEYS_MIXED, 1500, 60000, 16, 100, 8},
    {"few records", 4096, MODEL_KEYS_MIXED, 6, 30000, 0, 100, 9},
};

START_TEST(random_operations_match_the_model)
{
    ops_run(&plans[_i]);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("tree_random");

    harness_add_loop(s, "random", random_operations_match_the_model, 0,
                     (int)(sizeof(plans) / sizeof(plans[0])));
    return s;
}

HARNESS_MAIN(suite)
