/* SPDX-License-Identifier: MIT */
/*
 * Every failing allocation: each life of fault_lives.c, with the n-th allocation failing, for every
 * n, alone or with all that follow. KV_FAULTS=all (make faults) does all of them.
 */
#include "harness.h"

#include <errno.h>

#include "fault_alloc.h"
#include "fault_sweep.h"

enum { PART_RUNS = 60 /* of each life */ };

static void arm(const struct sweep_fault *fault)
{
    if (fault->from)
        alloc_fault_arm_from(fault->nth);
    else
        alloc_fault_arm(fault->nth);
}

static const struct sweep_source allocations = {arm, alloc_fault_disarm, alloc_fault_fired};

START_TEST(any_allocation_that_fails_is_told_or_done_without_and_harms_nothing)
{
    const struct sweep_life *life = &sweep_lives[_i];
    struct sweep_fault fault = {FAULT_CALLS_END, 0, ENOMEM, false, false};
    struct sweep_counts all = {0};
    uint64_t count;
    uint64_t stride;

    if (sweep_extent(life) == SWEEP_NOTHING)
        return;
    sweep_once(life, &allocations, &fault, &all);
    count = alloc_fault_count();
    stride = sweep_extent(life) == SWEEP_ALL ? 1 : 2 * count / scaled(PART_RUNS) + 1;
    for (fault.nth = 1; fault.nth <= count; fault.nth += stride) {
        fault.from = false;
        sweep_once(life, &allocations, &fault, &all);
        fault.from = true;
        sweep_once(life, &allocations, &fault, &all);
    }
    printf("%s: %llu faults, %llu told, %llu done without\n", life->name,
           (unsigned long long)all.struck, (unsigned long long)all.failed,
           (unsigned long long)all.absorbed);
    ck_assert_uint_gt(all.failed, 0);
    ck_assert_uint_eq(all.bad, 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("faults_oom");

    sweep_use_memory();
    harness_add_loop(s, "allocations",
                     any_allocation_that_fails_is_told_or_done_without_and_harms_nothing, 0,
                     (int)sweep_lives_count());
    return s;
}

HARNESS_MAIN(suite)
