/* SPDX-License-Identifier: MIT */
/*
 * The two libraries meet in one folder: each refuses the other's files, and nothing is lost by it,
 * whether the owner has them open or not.
 */
#include "harness.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "both_run.h"

#define FOLDER "meeting" /* beside the folders of those who meet, whose output bears their names */
#define STEP_US 10000
#define STEPS 3000 /* half a minute */
#define MEETINGS 9 /* openings of one "meet" */

static struct both_args args_of(const char *what)
{
    struct both_args args = {.program = "both_pair_foreign", .seed = 1, .argument = what};

    return args;
}

/* Runs one side to its end; what it printed, to be freed. */
static char *output(enum both_library library, const char *what)
{
    struct both_args args = args_of(what);

    (void)mkdir(tmp_path(FOLDER), 0755);
    return both_output(library, &args, "visitor");
}

static void run(enum both_library library, const char *what)
{
    free(output(library, what));
}

static void expect_refused(enum both_library library)
{
    static const char line[] = "refused\n";
    char *text = output(library, "meet");

    ck_assert_msg(strlen(text) == MEETINGS * (sizeof line - 1), "%s", text);
    for (const char *at = text; *at; at += sizeof line - 1) {
        ck_assert_msg(strncmp(at, line, sizeof line - 1) == 0, "%s", text);
    }
    free(text);
}

/* A file's bytes and when they were last written. */
struct kept {
    const char *name;
    uint8_t *bytes;
    size_t size;
    struct stat st;
};

static struct kept keep(const char *name)
{
    struct kept kept = {.name = name};

    kept.bytes = file_read(tmp_path(FOLDER "/%s", name), &kept.size);
    ck_assert_int_eq(stat(tmp_path(FOLDER "/%s", name), &kept.st), 0);
    return kept;
}

static void expect_kept(struct kept *before)
{
    struct kept now = keep(before->name);

    ck_assert_uint_eq(now.size, before->size);
    ck_assert_mem_eq(now.bytes, before->bytes, now.size);
    ck_assert_uint_eq(now.st.st_ino, before->st.st_ino);
    ck_assert_int_eq(now.st.st_mtim.tv_sec, before->st.st_mtim.tv_sec);
    ck_assert_int_eq(now.st.st_mtim.tv_nsec, before->st.st_mtim.tv_nsec);
    free(now.bytes);
    free(before->bytes);
}

static void hold(struct both_run *holder, enum both_library library)
{
    struct both_args args = args_of("hold");

    (void)mkdir(tmp_path(FOLDER), 0755);
    both_start(holder, library, &args, "holder");
    for (int i = 0; i < STEPS && !file_exists(tmp_path(FOLDER "/held")); i++) {
        usleep(STEP_US);
    }
    ck_assert(file_exists(tmp_path(FOLDER "/held")));
}

static void let_go(struct both_run *holder)
{
    int puts = 0;

    file_write(tmp_path(FOLDER "/go"), "", 0);
    both_wait(holder);
    ck_assert_msg(holder->status == 0, "%s", holder->out);
    for (char *at = holder->out; (at = strstr(at, "put: ")) != NULL; at++) {
        ck_assert_msg(strncmp(at, "put: MDB_SUCCESS", 16) == 0, "%s", holder->out);
        puts++;
    }
    ck_assert_msg(puts == 6, "%s", holder->out);
    both_release(holder);
}

START_TEST(genuine_files_are_refused_and_not_touched)
{
    struct kept data;
    struct kept lock;

    run(BOTH_GENUINE, "make");
    data = keep("data.mdb");
    lock = keep("lock.mdb");
    expect_refused(BOTH_DROP_IN);
    expect_kept(&data);
    expect_kept(&lock);
    ck_assert_int_eq(unlink(tmp_path(FOLDER "/lock.mdb")), 0);
    expect_refused(BOTH_DROP_IN);
    ck_assert(!file_exists(tmp_path(FOLDER "/lock.mdb")));
    run(BOTH_GENUINE, "use");
    tmp_clear();
}
END_TEST

START_TEST(genuine_files_in_use_are_refused_and_not_touched)
{
    struct both_run holder;
    struct kept data;
    struct kept lock;

    hold(&holder, BOTH_GENUINE);
    data = keep("data.mdb");
    lock = keep("lock.mdb");
    expect_refused(BOTH_DROP_IN);
    expect_kept(&data);
    expect_kept(&lock);
    let_go(&holder);
    tmp_clear();
}
END_TEST

/* Of an idle database the genuine library writes the lock file over, before it looks at the data:
 * that file is made anew by the next open. */
START_TEST(drop_in_files_survive_the_genuine_library)
{
    struct kept data;

    run(BOTH_DROP_IN, "make");
    data = keep("data.mdb");
    expect_refused(BOTH_GENUINE);
    expect_kept(&data);
    run(BOTH_DROP_IN, "use");
    expect_refused(BOTH_GENUINE);
    run(BOTH_DROP_IN, "use");
    tmp_clear();
}
END_TEST

START_TEST(drop_in_files_in_use_are_not_touched_by_the_genuine_library)
{
    struct both_run holder;
    struct kept data;
    struct kept lock;

    hold(&holder, BOTH_DROP_IN);
    data = keep("data.mdb");
    lock = keep("lock.mdb");
    expect_refused(BOTH_GENUINE);
    expect_kept(&data);
    expect_kept(&lock);
    let_go(&holder);
    run(BOTH_DROP_IN, "use");
    tmp_clear();
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("lmdb_foreign");

    harness_add(s, "genuine", genuine_files_are_refused_and_not_touched);
    harness_add(s, "genuine", genuine_files_in_use_are_refused_and_not_touched);
    harness_add(s, "drop_in", drop_in_files_survive_the_genuine_library);
    harness_add(s, "drop_in", drop_in_files_in_use_are_not_touched_by_the_genuine_library);
    return s;
}

HARNESS_MAIN(suite)
