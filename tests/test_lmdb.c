/* SPDX-License-Identifier: MIT */
/*
 * Each program tests/lmdb/both_*.c prints the same on the genuine LMDB library and on the drop-in.
 * Others have tests of their own: those whose name says stream are long random runs
 * (test_lmdb_stream.c), pair: for two at once (test_lmdb_foreign.c and others), and those with threads
 * and processes are in test_lmdb_threads.c as well.
 *
 * The makefile gives their names in BOTH_PROGRAMS. KV_BOTH="both_env ..." runs only these.
 */
#include "harness.h"

#include <stdlib.h>
#include <string.h>

#include "both_run.h"

static const char *const programs[] = {BOTH_PROGRAMS};

#define PROGRAM_COUNT ((int)(sizeof programs / sizeof programs[0]))

static bool is_chosen(const char *program)
{
    const char *chosen = getenv("KV_BOTH");

    if (strstr(program, "stream") || strstr(program, "pair")) {
        return false;
    }
    return !chosen || strstr(chosen, program);
}

START_TEST(program_sees_the_same_on_both_libraries)
{
    struct both_args args = {.program = programs[_i], .seed = 1};

    if (is_chosen(args.program)) {
        printf("%s\n", args.program);
        both_expect_same(&args);
        tmp_clear();
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("lmdb");

    harness_add_loop(s, "both", program_sees_the_same_on_both_libraries, 0, PROGRAM_COUNT);
    return s;
}

HARNESS_MAIN(suite)
