/* SPDX-License-Identifier: MIT */
/*
 * Every call that a signal may interrupt is interrupted once, and every transfer done by half: none
 * of it is ever seen by who calls the library. KV_FAULTS=all does all of it.
 */
#include "harness.h"

#include <errno.h>

#include "fault_libc.h"
#include "fault_sweep.h"

enum { PART_RUNS = 30 /* of each life, and again with halves */ };

static void arm(const struct sweep_fault *fault)
{
    libc_fault_arm(fault->nth, fault->partial);
}

static const struct sweep_source libc_calls = {arm, libc_fault_disarm, libc_fault_fired};

static void sweep_life(const struct sweep_life *life, bool half)
{
    struct sweep_fault fault = {FAULT_CALLS_END, 0, half ? 0 : EINTR, half, false};
    struct sweep_counts all = {0};
    uint64_t calls;
    uint64_t stride;

    if (sweep_extent(life) == SWEEP_NOTHING)
        return;
    sweep_once(life, &libc_calls, &fault, &all);
    calls = libc_fault_count(half);
    stride = sweep_extent(life) == SWEEP_ALL ? 1 : calls / scaled(PART_RUNS) + 1;
    for (fault.nth = 1; fault.nth <= calls; fault.nth += stride)
        sweep_once(life, &libc_calls, &fault, &all);
    printf("%s: %llu calls %s\n", life->name, (unsigned long long)all.struck,
           half ? "done by half" : "interrupted");
    ck_assert_uint_gt(all.struck, 0);
    ck_assert_uint_eq(all.failed, 0);
    ck_assert_uint_eq(all.bad, 0);
}

START_TEST(a_call_that_is_interrupted_is_made_again)
{
    sweep_life(&sweep_lives[_i], false);
}
END_TEST

START_TEST(a_transfer_that_falls_short_is_gone_on_with)
{
    sweep_life(&sweep_lives[_i], true);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("faults_signals");
    int lives = (int)sweep_lives_count();

    sweep_use_memory();
    harness_add_loop(s, "interrupted", a_call_that_is_interrupted_is_made_again, 0, lives);
    harness_add_loop(s, "short", a_transfer_that_falls_short_is_gone_on_with, 0, lives);
    return s;
}

HARNESS_MAIN(suite)
