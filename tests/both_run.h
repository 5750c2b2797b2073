/* SPDX-License-Identifier: MIT */
/*
 * Running programs of tests/lmdb, each in a process of its own, on the genuine LMDB library and on the
 * drop-in, and comparing what they print. The programs and the drop-in are found beside the program
 * that runs: build/MODE/tests/lmdb and build/MODE/lmdb. For the thread that runs the test.
 *
 * KV_BOTH_SEED sets the seed of all runs. KV_BOTH_GENUINE=1 takes the genuine library for both: for
 * those who write such a program, to see whether its output is always the same.
 */
#ifndef BOTH_RUN_H
#define BOTH_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum both_library { BOTH_GENUINE, BOTH_DROP_IN };

/* What a program is called with. */
struct both_args {
    const char *program; /* "both_env" */
    uint64_t seed;
    unsigned scale; /* percent; 0: that of KV_TEST_SCALE */
    uint64_t first; /* blocks that are told in full */
    uint64_t end;
    const char *argument; /* or NULL */
};

/* A run under way, or ended. */
struct both_run {
    enum both_library library;
    const char *program;
    const char *folder;
    char *
        out; /* both_wait: all that was printed, and a line that tells how it ended if not with 0 */
    pid_t pid;
    int status;
};

/* Starts a program in a folder of that name in tmp_dir, which is made if it is not there. */
void both_start(struct both_run *run, enum both_library library, const struct both_args *args,
                const char *folder);
/* Waits for its end and reads its output. */
void both_wait(struct both_run *run);
/* Both, and it must end with 0. Returns what it printed, to be freed. */
char *both_output(enum both_library library, const struct both_args *args, const char *folder);
void both_release(struct both_run *run);

/* Runs the program on both libraries at once, in new folders. Returns the number of the first line
 * that differs, or 0; the runs are the caller's to release. */
size_t both_compare(const struct both_args *args, struct both_run runs[2]);

/* The same, and fails the test with the lines around the difference. */
void both_expect_same(const struct both_args *args);

/* The lines around one, from both runs, as text to be freed. */
char *both_difference(const struct both_run runs[2], size_t line);

#endif
