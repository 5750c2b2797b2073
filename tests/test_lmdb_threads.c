/* SPDX-License-Identifier: MIT */
/*
 * The programs of tests/lmdb that have threads and processes, on both libraries: in a test of its own,
 * so that the thread sanitizer can be asked for these alone.
 */
#include "harness.h"

#include "both_run.h"

static const char *const programs[] = {"both_threads", "both_processes", "both_env_readers"};

START_TEST(threads_and_processes_see_the_same_on_both_libraries)
{
    struct both_args args = {.program = programs[_i], .seed = 1};

    printf("%s\n", args.program);
    both_expect_same(&args);
    tmp_clear();
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("lmdb_threads");

    harness_add_loop(s, "both", threads_and_processes_see_the_same_on_both_libraries, 0,
                     (int)(sizeof programs / sizeof programs[0]));
    return s;
}

HARNESS_MAIN(suite)
