/* SPDX-License-Identifier: MIT */
/* Range deletes, counts and ranks in tables of every shape, against a model. */
#include <string.h>

#include "harness.h"
#include "shape_model.h"
#include "shape_plans.h"

START_TEST(ranges_and_counts_are_those_of_the_model)
{
    shape_run(&shape_plans[_i]);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("range_shapes");

    harness_add_loop(s, "random", ranges_and_counts_are_those_of_the_model, 0,
                     (int)(sizeof(shape_plans) / sizeof(shape_plans[0])));
    return s;
}

HARNESS_MAIN(suite)
