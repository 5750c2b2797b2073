/* SPDX-License-Identifier: MIT */
/*
 * Runs programs on either LMDB library and compares their output; see both_run.h.
 */
#include "both_run.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

#define LINES_BEFORE 12 /* shown around a difference */
#define LINES_AFTER 4
#define RUN_LIMIT_S 400u /* a run that takes longer has hung */

static const char *const library_names[] = {"genuine", "drop-in"};

/* "build/MODE/tests/" of build/MODE/tests/test_lmdb. */
static const char *tests_folder(void)
{
    static char path[4096];
    ssize_t size = readlink("/proc/self/exe", path, sizeof path - 1);

    ck_assert_int_gt(size, 0);
    path[size] = 0;
    *(strrchr(path, '/') + 1) = 0;
    return path;
}

static enum both_library wanted_library(enum both_library library)
{
    return getenv("KV_BOTH_GENUINE") ? BOTH_GENUINE : library;
}

/* In the child. */
static void run_program(const struct both_run *run, const struct both_args *args)
{
    enum both_library library = wanted_library(run->library);
    const char *tests = tests_folder();
    const char *set_seed = getenv("KV_BOTH_SEED");
    char program[4200];
    char libraries[4200];
    char numbers[4][32];
    int out;

    (void)snprintf(program, sizeof program, "%slmdb/%s", tests, args->program);
    (void)snprintf(libraries, sizeof libraries, "%s../lmdb", tests);
    (void)snprintf(numbers[0], 32, "%llu",
                   set_seed ? strtoull(set_seed, NULL, 0) : (unsigned long long)args->seed);
    (void)snprintf(numbers[1], 32, "%u", args->scale ? args->scale : (unsigned)scaled(100));
    (void)snprintf(numbers[2], 32, "%llu", (unsigned long long)args->first);
    (void)snprintf(numbers[3], 32, "%llu", (unsigned long long)args->end);
    out = open(tmp_path("%s.out", run->folder), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0644);
    if (out < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0) {
        _exit(4);
    }
    if (library == BOTH_DROP_IN) {
        (void)setenv("LD_LIBRARY_PATH", libraries, 1);
    } else {
        (void)unsetenv("LD_LIBRARY_PATH");
        /* What it leaks is not ours to mend, and its threads cannot be followed into it. */
        (void)setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
        (void)setenv("TSAN_OPTIONS", "report_bugs=0", 1);
    }
    (void)alarm(RUN_LIMIT_S);
    (void)execl(program, args->program, library_names[library], tmp_path("%s", run->folder),
                numbers[0], numbers[1], numbers[2], numbers[3],
                args->argument ? args->argument : "", (char *)NULL);
    (void)dprintf(2, "%s: %s\n", program, strerror(errno));
    _exit(4);
}

void both_start(struct both_run *run, enum both_library library, const struct both_args *args,
                const char *folder)
{
    memset(run, 0, sizeof *run);
    run->library = library;
    run->program = args->program;
    run->folder = folder;
    ck_assert(mkdir(tmp_path("%s", folder), 0755) == 0 || errno == EEXIST);
    (void)fflush(NULL);
    run->pid = fork();
    ck_assert_int_ge(run->pid, 0);
    if (run->pid == 0) {
        run_program(run, args);
    }
}

void both_wait(struct both_run *run)
{
    size_t size;
    char how[64] = "";
    char *text;

    ck_assert_int_eq(waitpid(run->pid, &run->status, 0), run->pid);
    if (WIFSIGNALED(run->status)) {
        (void)snprintf(how, sizeof how, "ended by signal %d\n", WTERMSIG(run->status));
    } else if (WEXITSTATUS(run->status) != 0) {
        (void)snprintf(how, sizeof how, "ended with status %d\n", WEXITSTATUS(run->status));
    }
    text = (char *)file_read(tmp_path("%s.out", run->folder), &size);
    run->out = malloc(size + sizeof how);
    ck_assert_ptr_nonnull(run->out);
    memcpy(run->out, text, size);
    memcpy(run->out + size, how, strlen(how) + 1);
    free(text);
}

void both_release(struct both_run *run)
{
    free(run->out);
    run->out = NULL;
}

char *both_output(enum both_library library, const struct both_args *args, const char *folder)
{
    struct both_run run;

    both_start(&run, library, args, folder);
    both_wait(&run);
    ck_assert_msg(run.status == 0, "%s %s: %s", args->program, library_names[library], run.out);
    return run.out;
}

/* The number of the first line, from 1, in which two texts differ; 0 if they are the same. */
static size_t first_difference(const char *a, const char *b)
{
    size_t line = 1;

    for (; *a == *b; a++, b++) {
        if (!*a) {
            return 0;
        }
        line += *a == '\n';
    }
    return line;
}

size_t both_compare(const struct both_args *args, struct both_run runs[2])
{
    const char *folders[2];
    static unsigned number;

    number++;
    for (int i = 0; i < 2; i++) {
        folders[i] =
            strrchr(tmp_path("%s-%u-%s", args->program, number, library_names[i]), '/') + 1;
        both_start(&runs[i], (enum both_library)i, args, folders[i]);
    }
    both_wait(&runs[0]);
    both_wait(&runs[1]);
    return first_difference(runs[0].out, runs[1].out);
}

/* Appends the lines from first to last (counted from 1) of a text. */
static void print_lines(FILE *to, const char *text, size_t first, size_t last)
{
    for (size_t line = 1; *text && line <= last; line++) {
        size_t length = strcspn(text, "\n");

        if (line >= first) {
            fprintf(to, "  %6zu  %.*s\n", line, (int)(length > 400 ? 400 : length), text);
        }
        text += length + (text[length] == '\n');
    }
}

char *both_difference(const struct both_run runs[2], size_t line)
{
    size_t first = line > LINES_BEFORE ? line - LINES_BEFORE : 1;
    char *text = NULL;
    size_t size;
    FILE *to = open_memstream(&text, &size);

    ck_assert_ptr_nonnull(to);
    fprintf(to, "%s, line %zu:\nboth\n", runs[0].program, line);
    print_lines(to, runs[0].out, first, line - 1);
    for (int i = 0; i < 2; i++) {
        fprintf(to, "%s\n", library_names[i]);
        print_lines(to, runs[i].out, line, line + LINES_AFTER);
    }
    (void)fclose(to);
    return text;
}

void both_expect_same(const struct both_args *args)
{
    struct both_run runs[2];
    size_t line = both_compare(args, runs);

    if (line) {
        char *text = both_difference(runs, line);

        fprintf(stderr, "%s", text);
        ck_abort_msg("%s", text);
    }
    for (int i = 0; i < 2; i++) {
        ck_assert_msg(runs[i].status == 0, "%s on %s: %s", args->program, library_names[i],
                      runs[i].out);
        ck_assert_msg(runs[i].out[0], "%s on %s printed nothing", args->program, library_names[i]);
        both_release(&runs[i]);
    }
}
