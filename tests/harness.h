/* SPDX-License-Identifier: MIT */
/*
 * What every test program shares: its main, a folder for its files, random numbers, scaled work.
 *
 * A test file is: the includes, tests, one function that makes the suite, and HARNESS_MAIN:
 *
 *     #include "harness.h"
 *
 *     START_TEST(empty_table_has_no_first_record)
 *     {
 *         ck_ok(kv_env_open(tmp_path("a.db"), &options, &env));
 *         ...
 *     }
 *     END_TEST
 *
 *     static Suite *suite(void)
 *     {
 *         Suite *s = suite_create("cursor");
 *         harness_add(s, "empty", empty_table_has_no_first_record);
 *         return s;
 *     }
 *
 *     HARNESS_MAIN(suite)
 *
 * Tests run in one process, one after the other, for speed and for sanitizers: a crash ends the
 * program, and the runner counts it. A program whose tests must not hurt each other says
 * HARNESS_MAIN_FORK. CK_FORK=yes or no in the environment overrides both, CK_RUN_CASE and
 * CK_RUN_SUITE choose. Without fork the runner's limit for the whole program is the only timeout.
 */
#ifndef HARNESS_H
#define HARNESS_H

#include <check.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Seconds for one test when tests are forked: generous, since sanitizers and busy machines are
 * slow. */
#define HARNESS_TIMEOUT_S 600

#define HARNESS_MAIN(suite_fn)                                                                     \
    int main(int argc, char **argv)                                                                \
    {                                                                                              \
        return harness_main(argc, argv, suite_fn, CK_NOFORK);                                      \
    }

#define HARNESS_MAIN_FORK(suite_fn)                                                                \
    int main(int argc, char **argv)                                                                \
    {                                                                                              \
        return harness_main(argc, argv, suite_fn, CK_FORK);                                        \
    }

/* Runs the suite; an argument is the name of the one case to run. Returns the exit status. */
int harness_main(int argc, char **argv, Suite *(*suite_fn)(void), enum fork_status fork_status);

/* Adds a test in a case of its own, or to the case of that name when it was the last one added. */
void harness_add(Suite *suite, const char *case_name, const TTest *test);

/* Adds a test that runs for _i from first to end - 1. */
void harness_add_loop(Suite *suite, const char *case_name, const TTest *test, int first, int end);

/* As harness_add, with functions that run before and after each test of the case (NULL: none). */
void harness_add_fixture(Suite *suite, const char *case_name, const TTest *test,
                         void (*setup)(void), void (*teardown)(void));

/* ---- Checks ---------------------------------------------------------------------------------- */

/* The call returns this result; a failure shows the texts of both and the last error. Like all of
 * Check's, only for the thread that runs the test: others hand their result to it. */
#define ck_rc(call, expected) harness_expect(__FILE__, __LINE__, #call, (call), (expected))
#define ck_ok(call) ck_rc(call, 0)
void harness_expect(const char *file, int line, const char *call, int rc, int expected);

/* ---- Files ----------------------------------------------------------------------------------- */

/* A folder of this program's own under $TMPDIR or /tmp, made at first use and removed with all that
 * is in it when the process that made it ends. */
const char *tmp_dir(void);

/* "<tmp_dir>/<name>". Storage of its own for each call, freed at the end. Formats as printf. */
const char *tmp_path(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Removes everything in tmp_dir, so that the next test starts with nothing. */
void tmp_clear(void);

/* The whole file, allocated with malloc (one byte more than its size); fails the test if it can't.
 */
uint8_t *file_read(const char *path, size_t *size_out);
void file_write(const char *path, const void *data, size_t size_bytes);
bool file_exists(const char *path);
uint64_t file_size(const char *path);

/* The kvctl under test: $KVCTL, else build/release/kvctl. */
const char *kvctl_path(void);

/* ---- Random numbers and amounts of work --------------------------------------------------------
 */

/* xoshiro256**: the same numbers from the same seed everywhere. */
struct rng {
    uint64_t s[4];
};

/* Seeds from `seed`, or from KV_TEST_SEED if that is set, and prints which one it was. */
void rng_seed(struct rng *rng, const char *what, uint64_t seed);
/* The same, without a word. */
void rng_init(struct rng *rng, uint64_t seed);
uint64_t rng_next(struct rng *rng);
uint64_t rng_below(struct rng *rng, uint64_t end);                 /* 0 ... end - 1; end > 0 */
uint64_t rng_between(struct rng *rng, uint64_t low, uint64_t end); /* low ... end - 1 */
bool rng_chance(struct rng *rng, unsigned percent);
void rng_bytes(struct rng *rng, void *data, size_t size_bytes);

/* `count` times KV_TEST_SCALE percent, at least 1: how much to do. 100 without sanitizers; the
 * makefile sets less with them. What must hold for any amount stays true for every scale. */
uint64_t scaled(uint64_t count);

#endif
