/* SPDX-License-Identifier: MIT */
/* Commands in the tests' folder; see shell.h. */
#include "shell.h"

#include <stdarg.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define COMMAND_BYTES_MAX 8192

char *shell_out;
char *shell_err;

static void read_outputs(void)
{
    size_t size;
    free(shell_out);
    free(shell_err);
    shell_out = (char *)file_read(tmp_path("stdout"), &size);
    shell_out[size] = 0;
    shell_err = (char *)file_read(tmp_path("stderr"), &size);
    shell_err[size] = 0;
}

/* Runs a shell command in the tests' folder; returns its exit status. */
static int run_shell(const char *command)
{
    char script[COMMAND_BYTES_MAX + 200];
    snprintf(script, sizeof script, "cd '%s' && { %s\n} >stdout 2>stderr", tmp_dir(), command);
    int status = system(script);
    read_outputs();
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void shell_expect(int line, int status, const char *out, const char *format, ...)
{
    char command[COMMAND_BYTES_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    int got = run_shell(command);
    ck_assert_msg(got == status, "line %d: %s\nexit status %d, not %d\nstdout: %.2000s\nstderr: %s",
                  line, command, got, status, shell_out, shell_err);
    ck_assert_msg(!out || !strcmp(out, shell_out),
                  "line %d: %s\nwants: %.2000s\ngot:   %.2000s\nstderr: %s", line, command, out,
                  shell_out, shell_err);
}

bool shell_has(const char *name)
{
    char command[200];
    snprintf(command, sizeof command, "command -v %s", name);
    return run_shell(command) == 0;
}

void shell_setup(void)
{
    tmp_clear();
    char *path = realpath(kvctl_path(), NULL);
    ck_assert_msg(path && !access(path, X_OK), "no program %s", kvctl_path());
    setenv("K", path, 1);
    free(path);
}

void shell_teardown(void)
{
    free(shell_out);
    free(shell_err);
    shell_out = NULL;
    shell_err = NULL;
}

void shell_add(Suite *suite, const char *name, const TTest *test)
{
    harness_add_fixture(suite, name, test, shell_setup, shell_teardown);
}

void shell_add_loop(Suite *suite, const char *name, const TTest *test, int end)
{
    TCase *tc = tcase_create(name);
    tcase_set_timeout(tc, HARNESS_TIMEOUT_S);
    tcase_add_checked_fixture(tc, shell_setup, shell_teardown);
    tcase_add_loop_test(tc, test, 0, end);
    suite_add_tcase(suite, tc);
}
