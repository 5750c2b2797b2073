/* SPDX-License-Identifier: MIT */
/* The programs of test_cursor_model against a library with shrunken limits: small regions, and txns
 * that spill all the time. */
#include "cursor_model.h"
#include "harness.h"

#define BYTES KV_ORDER_BYTES
#define BUDGET (16 * 4096)

static const struct cursor_plan plans[] = {
    {"small: plain", 4096, 0, BYTES, BYTES, 900, 1, 8, 0, 40000, 40, true, BUDGET, 31, 0},
    {"small: sets over leaves", 4096, KV_DUPLICATES, BYTES, BYTES, 7, 500, 30, 0, 60000, 40, true,
     BUDGET, 32, 0},
    {"small: fixed integers", 4096, KV_DUPLICATES | KV_FIXED, KV_ORDER_UINT, KV_ORDER_UINT, 12, 500,
     4, 4, 40000, 40, true, BUDGET, 33, 0},
    {"small: long pairs", 4096, KV_DUPLICATES, BYTES, KV_ORDER_REVERSE, 12, 20, 600, 500, 30000, 50,
     true, BUDGET, 34, 0},
    {"small: 16 KiB", 16384, KV_DUPLICATES, BYTES, BYTES, 10, 300, 30, 30, 30000, 40, true,
     4 * BUDGET, 35, 0},
};

START_TEST(cursors_go_where_the_model_says_under_small_limits)
{
    cursor_model_run(&plans[_i]);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("small_cursor_model");

    harness_add_loop(s, "model", cursors_go_where_the_model_says_under_small_limits, 0,
                     (int)(sizeof(plans) / sizeof(plans[0])));
    return s;
}

HARNESS_MAIN(suite)
