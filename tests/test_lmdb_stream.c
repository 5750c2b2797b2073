/* SPDX-License-Identifier: MIT */
/*
 * The drop-in and the genuine LMDB library do the same through long random streams of operations:
 * tests/lmdb/both_stream.c, each seed on both, each in a process of its own. It prints a hash for each
 * thousand calls; where two differ both are run again, and tell that stretch in full.
 *
 * KV_BOTH_SEED chooses one seed (of any number), KV_TEST_SCALE the length of each stream in percent.
 */
#include "harness.h"

#include <stdlib.h>
#include <string.h>

#include "both_run.h"

#define SEEDS 12 /* of 300,000 operations each */

/* The number of the block whose hash stands in this line (from 1) of an output. */
static uint64_t block_of(const char *out, size_t line)
{
    while (--line && *out) {
        out += strcspn(out, "\n");
        out += *out == '\n';
    }
    return strncmp(out, "block ", 6) == 0 ? strtoull(out + 6, NULL, 10) : 0;
}

/* Runs both again and shows the first lines that differ of the block that was told in line `line`. */
static void fail_with_difference(struct both_args *args, struct both_run runs[2], size_t line)
{
    uint64_t block = block_of(runs[0].out, line);
    char *text;

    if (runs[1].status && block_of(runs[1].out, line) == 0 && line > 1) {
        block = block_of(runs[0].out, line - 1) + 1; /* ended within it */
    }
    both_release(&runs[0]);
    both_release(&runs[1]);
    args->first = block;
    args->end = block + 1;
    line = both_compare(args, runs);
    text = both_difference(runs, line ? line : 1);
    fprintf(stderr, "seed %llu, block %llu: %s", (unsigned long long)args->seed,
            (unsigned long long)block, text);
    ck_abort_msg("seed %llu, block %llu: %s%s", (unsigned long long)args->seed,
                 (unsigned long long)block, line ? "" : "not met again; ", text);
}

START_TEST(stream_of_operations_does_the_same_on_both_libraries)
{
    const char *chosen = getenv("KV_BOTH_SEED");
    struct both_args args = {.program = "both_stream", .seed = (uint64_t)_i};
    struct both_run runs[2];
    size_t line;

    if (chosen) {
        args.seed = strtoull(chosen, NULL, 0);
    }
    printf("seed %llu\n", (unsigned long long)args.seed);
    line = both_compare(&args, runs);
    if (line) {
        fail_with_difference(&args, runs, line);
    }
    ck_assert_msg(runs[0].status == 0 && runs[1].status == 0, "%s", runs[0].out);
    ck_assert_ptr_nonnull(strstr(runs[0].out, "block 0 "));
    both_release(&runs[0]);
    both_release(&runs[1]);
    tmp_clear();
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("lmdb_stream");

    harness_add_loop(s, "stream", stream_of_operations_does_the_same_on_both_libraries, 1,
                     getenv("KV_BOTH_SEED") ? 2 : SEEDS + 1);
    return s;
}

HARNESS_MAIN(suite)
