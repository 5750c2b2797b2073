/* SPDX-License-Identifier: MIT */
/*
 * Running kvctl as a user does: by the shell, in the tests' folder. "$K" in a command is the
 * program under test ($KVCTL, or the one beside the release library). The outputs of the last
 * command are kept. For the thread that runs the test.
 */
#ifndef SHELL_H
#define SHELL_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "harness.h"

extern char *shell_out; /* of the last command, zero-terminated */
extern char *shell_err;

/* Fixture: an empty folder, and $K set; and the end of it. */
void shell_setup(void);
void shell_teardown(void);

/* Adds a test with this fixture; the second form runs it for _i from 0 to end - 1, in a case of its
 * own. */
void shell_add(Suite *suite, const char *case_name, const TTest *test);
void shell_add_loop(Suite *suite, const char *case_name, const TTest *test, int end);

/* Whether there is a program of this name. */
bool shell_has(const char *name);

/* Runs a command and wants this exit status, and this text on stdout if it is not NULL. */
#define expect(status, out, ...) shell_expect(__LINE__, (status), (out), __VA_ARGS__)
void shell_expect(int line, int status, const char *out, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The last command's stderr, or stdout, holds this text. */
#define err_has(text)                                                                              \
    ck_assert_msg(strstr(shell_err, (text)) != NULL, "stderr lacks '%s': %s", (text), shell_err)
#define out_has(text)                                                                              \
    ck_assert_msg(strstr(shell_out, (text)) != NULL, "stdout lacks '%s': %s", (text), shell_out)

#endif
