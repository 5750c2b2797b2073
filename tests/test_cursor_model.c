/* SPDX-License-Identifier: MIT */
/* Several cursors on one table while it changes, in tables of every kind, against a model. */
#include "cursor_model.h"
#include "harness.h"

#define DUP KV_DUPLICATES
#define FIXED (KV_DUPLICATES | KV_FIXED)
#define BYTES KV_ORDER_BYTES
#define REVERSE KV_ORDER_REVERSE
#define UINT KV_ORDER_UINT
#define CUSTOM KV_ORDER_CUSTOM

static const struct cursor_plan plans[] = {
    /* name, page, flags, orders, keys, values, bytes, operations, changes, bounds, budget, seed,
     * align */
    {"plain", 4096, 0, BYTES, BYTES, 900, 1, 8, 0, 60000, 30, true, 0, 1, 0},
    {"plain, long keys", 4096, 0, BYTES, BYTES, 300, 1, 900, 30, 30000, 40, true, 0, 2, 0},
    {"counted, reverse", 4096, KV_COUNTED, REVERSE, BYTES, 900, 1, 20, 0, 40000, 30, true, 0, 3, 0},
    {"integers", 4096, KV_COUNTED, UINT, BYTES, 900, 1, 4, 0, 40000, 30, true, 0, 4, 0},
    {"custom", 4096, 0, CUSTOM, BYTES, 500, 1, 40, 0, 30000, 30, true, 0, 5, 0},
    {"small sets", 4096, DUP, BYTES, BYTES, 120, 6, 10, 0, 60000, 40, true, 0, 6, 0},
    {"one large set", 4096, DUP, BYTES, BYTES, 1, 900, 6, 0, 60000, 30, false, 0, 7, 0},
    {"sets over leaves", 4096, DUP, BYTES, BYTES, 7, 500, 30, 0, 80000, 30, true, 0, 8, 0},
    {"fixed", 4096, FIXED, BYTES, BYTES, 9, 600, 8, 8, 60000, 30, true, 0, 9, 0},
    {"fixed integers", 4096, FIXED, UINT, UINT, 12, 700, 4, 4, 60000, 30, true, 0, 10, 0},
    {"reverse of both", 4096, DUP, REVERSE, REVERSE, 20, 90, 12, 0, 40000, 40, true, 0, 11, 0},
    {"custom values", 4096, DUP, BYTES, CUSTOM, 12, 150, 10, 0, 40000, 35, true, 0, 12, 0},
    {"custom both, fixed", 4096, FIXED, CUSTOM, CUSTOM, 12, 150, 10, 12, 40000, 35, true, 0, 13, 0},
    {"long pairs", 4096, DUP, BYTES, BYTES, 12, 20, 600, 500, 30000, 45, true, 0, 14, 0},
    {"64 KiB", 65536, DUP, BYTES, BYTES, 6, 900, 100, 30, 30000, 30, true, 0, 15, 0},
    {"64 KiB, fixed", 65536, FIXED, UINT, UINT, 3, 3000, 4, 4, 20000, 30, true, 0, 16, 0},
    {"spilling", 4096, DUP, BYTES, BYTES, 40, 60, 30, 100, 40000, 40, true, 64 * 4096, 17, 0},
    {"aligned to 8", 4096, KV_COUNTED, BYTES, BYTES, 600, 1, 13, 24, 30000, 30, true, 0, 18, 8},
    {"aligned to 16, sets", 4096, DUP, BYTES, BYTES, 9, 300, 11, 0, 40000, 35, true, 0, 19, 16},
    {"aligned to 8, fixed", 4096, FIXED, UINT, BYTES, 9, 400, 4, 8, 40000, 35, true, 0, 20, 8},
};

START_TEST(cursors_go_where_the_model_says_while_the_table_changes)
{
    cursor_model_run(&plans[_i]);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("cursor_model");

    harness_add_loop(s, "model", cursors_go_where_the_model_says_while_the_table_changes, 0,
                     (int)(sizeof(plans) / sizeof(plans[0])));
    return s;
}

HARNESS_MAIN(suite)
