/* SPDX-License-Identifier: MIT */
/* Deleting ranges of keys: each edge by itself, and random ranges against a model. */
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "range_ops.h"

static const struct range_plan plans[] = {
    {"numbers", 4096, MODEL_KEYS_NUMBERS, 3000, 1500, 0, false, 0, 1},
    {"text", 4096, MODEL_KEYS_TEXT, 3000, 1500, 0, false, 0, 2},
    {"mixed", 4096, MODEL_KEYS_MIXED, 1500, 2000, 0, false, 0, 3},
    {"mixed, runs, nested", 4096, MODEL_KEYS_MIXED, 1000, 1500, 0, true, 5, 4},
    {"text, runs, spilling, nested", 4096, MODEL_KEYS_TEXT, 1500, 1500, 64, true, 5, 5},
    {"16 KiB", 16384, MODEL_KEYS_MIXED, 1000, 800, 0, true, 2, 6},
    {"64 KiB", 65536, MODEL_KEYS_MIXED, 1000, 400, 0, true, 2, 7},
    {"few records", 4096, MODEL_KEYS_MIXED, 8, 3000, 0, true, 2, 8},
};

START_TEST(random_ranges_go_as_in_the_model)
{
    range_run(&plans[_i]);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("range");

    harness_add_loop(s, "random", random_ranges_go_as_in_the_model, 0,
                     (int)(sizeof(plans) / sizeof(plans[0])));
    return s;
}

HARNESS_MAIN(suite)
