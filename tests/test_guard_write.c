/* SPDX-License-Identifier: MIT */
/*
 * The SIGBUS guard under writers, lock files, several envs and processes, and in kvctl
 * (docs/GUARD.md): nothing is written by one who met zeros, and damage is of one env.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "guard_db.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#include "fault_os.h"
#include "shell.h"
#include "txn/lockfile_layout.h"

/* ---- Writers ---- */

/* Changes all over the file, of which the txn has seen nothing yet. */
static int change_all(struct kv_txn *txn)
{
    int rc = 0;

    for (unsigned n = 0; !rc && n < KEYS; n += 50)
        rc = put(txn, n);
    return rc;
}

START_TEST(a_write_txn_under_which_the_file_is_cut_commits_nothing)
{
    static const enum kv_durability modes[] = {KV_DURABLE, KV_LAZY, KV_NONE};
    struct kv_txn_options options = {.durability = modes[_i]};
    struct kv_txn *txn;
    int rc;

    ck_ok(kv_txn_begin(env, KV_WRITE, &options, &txn));
    ck_ok(put(txn, KEYS / 2));
    cut(LEFT_BYTES);
    rc = change_all(txn);
    ck_assert_int_eq(rc, KV_ECORRUPT);
    ck_rc(put(txn, 1), KV_ECORRUPT);
    ck_rc(kv_txn_commit(txn), KV_ECORRUPT);
    ck_rc(kv_txn_begin(env, KV_WRITE, NULL, &txn), KV_ECORRUPT);
    ck_rc(kv_env_close(env), KV_ECORRUPT);
    env = NULL;
    is_whole_after_restore();
}
END_TEST

START_TEST(a_fault_just_before_commit_is_an_error_of_the_commit)
{
    struct kv_cursor *cursor;
    struct kv_val key;
    struct kv_val value;
    struct kv_txn *txn;
    struct kv_txn *child;

    ck_ok(kv_txn_begin(env, KV_WRITE, NULL, &txn));
    ck_ok(kv_cursor_open(txn, KV_MAIN_TABLE, &cursor));
    ck_ok(kv_cursor_get(cursor, KV_LAST, &key, &value));
    ck_ok(put(txn, 5));
    if (_i) {
        ck_ok(kv_txn_begin(env, KV_WRITE, &(struct kv_txn_options){.parent = txn}, &child));
        ck_ok(put(child, 6));
    }
    cut(LEFT_BYTES);
    /* the user's own load, as a later call of the library would do it */
    ck_assert_uint_eq(*(volatile uint8_t *)value.data, 0);
    if (_i)
        ck_rc(kv_txn_commit(child), KV_ECORRUPT);
    ck_rc(kv_txn_commit(txn), KV_ECORRUPT);
    is_whole_after_restore();
}
END_TEST

/* Pages go to the file by way of the writer's mapping, which is cut short too. */
START_TEST(a_file_cut_under_the_writers_mapping_ends_no_process)
{
    struct kv_txn_options options = {.durability = KV_NONE};
    struct kv_txn *txn;
    int rc = 0;

    for (unsigned round = 0; round < 4; round++) {
        ck_ok(kv_txn_begin(env, KV_WRITE, &options, &txn));
        ck_ok(change_all(txn));
        ck_ok(kv_txn_commit(txn));
    }
    ck_ok(kv_txn_begin(env, KV_WRITE, &options, &txn));
    ck_ok(change_all(txn));
    cut(LEFT_BYTES);
    rc = kv_txn_commit(txn);
    ck_assert_msg(rc == 0 || rc == KV_ECORRUPT || rc == KV_EUNKNOWN, "%d: %s", rc, kv_error_text());
    rc = kv_txn_begin(env, KV_WRITE, &options, &txn);
    if (!rc) {
        rc = change_all(txn);
        kv_txn_abort(txn);
    }
    ck_assert_int_ne(rc, 0);
    (void)kv_env_close(env);
    env = NULL;
    (void)unlink(tmp_path("a.db-lock"));
    is_whole_after_restore();
}
END_TEST

/* ---- Lock file ---- */

START_TEST(a_lock_file_cut_short_is_an_error_of_all_that_needs_it)
{
    const char *lock_path = tmp_path("a.db-lock");
    struct kv_val value;
    struct kv_txn *txn;
    struct kv_txn *other;

    ck_ok(kv_txn_begin(env, KV_READ, NULL, &txn));
    ck_ok(get(txn, 3, &value));
    ck_assert_int_eq(truncate(lock_path, _i ? KVI_LOCK_HEAD_BYTES : 0), 0);
    ck_assert_int_ne(kv_txn_begin(env, KV_READ, NULL, &other), 0);
    ck_rc(kv_txn_begin(env, KV_READ, NULL, &other), KV_ECORRUPT);
    ck_assert_ptr_nonnull(strstr(kv_error_text(), "lock"));
    ck_rc(kv_txn_begin(env, KV_WRITE, NULL, &other), KV_ECORRUPT);
    ck_rc(get(txn, 3, &value), KV_ECORRUPT);
    ck_rc(kv_txn_commit(txn), KV_ECORRUPT);
    ck_rc(kv_env_check(env, NULL), KV_ECORRUPT);
    ck_assert_uint_gt(faults_of(env), 0);
    ck_rc(kv_env_sync(env), KV_ECORRUPT);
    (void)kv_env_close(env);
    env = NULL;
    is_whole_after_restore();
}
END_TEST

START_TEST(a_lock_file_cut_under_a_writer_lets_nothing_be_committed)
{
    struct kv_txn *txn;

    ck_ok(kv_txn_begin(env, KV_WRITE, NULL, &txn));
    ck_ok(put(txn, 3));
    ck_assert_int_eq(truncate(tmp_path("a.db-lock"), 0), 0);
    ck_assert_int_ne(kv_txn_commit(txn), 0);
    ck_assert_uint_gt(faults_of(env), 0);
    ck_rc(kv_txn_begin(env, KV_WRITE, NULL, &txn), KV_ECORRUPT);
    (void)kv_env_close(env);
    env = NULL;
    is_whole_after_restore();
}
END_TEST

/* ---- Envs and processes ---- */

START_TEST(one_envs_damage_is_not_anothers)
{
    const char *first = path;
    struct db_image image = whole;
    struct kv_env *env_first = env;
    struct kv_txn *txn;
    struct kv_txn *txn_first;
    struct kv_val value;

    path = tmp_path("b.db");
    make(4096);
    ck_ok(try_open(KV_GUARD, &env));
    ck_ok(kv_txn_begin(env, KV_READ, NULL, &txn));
    ck_ok(kv_txn_begin(env_first, KV_READ, NULL, &txn_first));
    cut(LEFT_BYTES);
    ck_rc(get(txn, 1, &value), KV_ECORRUPT);
    ck_ok(get(txn_first, 1, &value));
    ck_assert(value_right(1, value.data, value.size));
    kv_txn_abort(txn);
    ck_ok(kv_txn_commit(txn_first));
    ck_assert_uint_eq(faults_of(env_first), 0);
    is_whole_after_restore();
    ck_ok(kv_txn_begin(env_first, KV_WRITE, NULL, &txn));
    ck_ok(put(txn, 1));
    ck_ok(kv_txn_commit(txn));
    ck_ok(kv_env_close(env_first));
    db_release(&whole);
    path = first;
    whole = image;
}
END_TEST

/* What the child's body returns, or 1000 + the signal that ended it. */
static int in_child(int (*body)(void))
{
    int status = 0;
    pid_t pid = fork();

    ck_assert_int_ge(pid, 0);
    if (pid == 0)
        _exit(body());
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static int read_cut_file(uint32_t flags)
{
    struct kv_env *own;
    struct kv_txn *txn;
    struct kv_val value;
    int rc = try_open(flags, &own);

    if (!rc)
        rc = kv_txn_begin(own, KV_READ, NULL, &txn);
    if (rc || truncate(path, LEFT_BYTES))
        return 70;
    rc = get(txn, 1, &value);
    kv_txn_abort(txn);
    (void)kv_env_close(own);
    return rc == KV_ECORRUPT ? 42 : 71;
}

static int read_guarded(void)
{
    return read_cut_file(KV_GUARD);
}

static int read_unguarded(void)
{
    (void)freopen("/dev/null", "w", stderr);
    return read_cut_file(0);
}

START_TEST(an_env_without_the_option_ends_as_ever)
{
    int ended;

    ck_ok(kv_env_close(env));
    env = NULL;
    ck_assert_int_eq(in_child(read_guarded), 42);
    db_store(path, &whole);
    ended = in_child(read_unguarded); /* a sanitizer's own handler ends it by a status */
    ck_assert_msg(ended == 1000 + SIGBUS || ended == 1 || ended == 66, "%d", ended);
}
END_TEST

/* Without locks and read-only an env goes on in a child of fork. */
static int read_inherited(void)
{
    struct kv_txn *txn;
    struct kv_val value;
    int rc;

    if (kv_txn_begin(env, KV_READ, NULL, &txn) || truncate(path, LEFT_BYTES))
        return 70;
    rc = get(txn, 1, &value);
    kv_txn_abort(txn);
    (void)kv_env_close(env);
    return rc == KV_ECORRUPT ? 42 : 71;
}

START_TEST(a_forked_child_is_guarded_for_itself)
{
    struct kv_txn *txn;
    struct kv_val value;

    ck_ok(kv_env_close(env));
    ck_ok(try_open(KV_GUARD | KV_READONLY | KV_NOLOCK, &env));
    ck_assert_int_eq(in_child(read_inherited), 42);
    db_store(path, &whole);
    ck_assert_uint_eq(faults_of(env), 0);
    ck_ok(kv_txn_begin(env, KV_READ, NULL, &txn));
    ck_ok(get(txn, 1, &value));
    ck_ok(kv_txn_commit(txn));
}
END_TEST

START_TEST(kvctl_says_what_happened_and_exits_with_status_3)
{
    ck_ok(kv_env_close(env));
    env = NULL;
    expect(3, NULL,
           "mkfifo pipe; { \"$K\" dump a.db > pipe; echo $? > status; } & exec 3< pipe; "
           "head -c 1000 <&3 > /dev/null; truncate -s 16384 a.db; cat <&3 > /dev/null; wait; "
           "exit $(cat status)");
    err_has("a.db");
    err_has("cut short");
}
END_TEST

/* Whatever call fails: an error, or an env; and no handler without one. */
START_TEST(an_open_that_fails_leaves_nothing_behind)
{
    struct sigaction before;
    struct sigaction after;
    unsigned failed = 0;
    bool fired = true;

    ck_ok(kv_env_close(env));
    ck_assert_int_eq(sigaction(SIGBUS, NULL, &before), 0);
    fault_install();
    for (unsigned n = 1; fired; n++) {
        int rc;

        fault_arm(FAULT_ANY, n, EIO);
        rc = try_open(KV_GUARD, &env);
        fired = fault_fired();
        fault_disarm();
        if (!rc)
            ck_ok(kv_env_close(env));
        failed += rc != 0;
        ck_assert_int_eq(sigaction(SIGBUS, NULL, &after), 0);
        ck_assert(after.sa_handler == before.sa_handler);
    }
    env = NULL;
    fault_remove();
    ck_assert_uint_gt(failed, 10);
    is_whole_after_restore();
}
END_TEST

/* A value that goes to the pipe from where it is mapped. */
START_TEST(kvctl_does_so_for_a_large_value_too)
{
    uint8_t *bytes = malloc(BIG_BYTES);
    struct kv_val key = {3, (char[]){"big"}};
    struct kv_val value = {BIG_BYTES, bytes};
    struct kv_txn *txn;

    memset(bytes, 'v', BIG_BYTES);
    ck_ok(kv_txn_begin(env, KV_WRITE, NULL, &txn));
    ck_ok(kv_put(txn, KV_MAIN_TABLE, &key, &value, 0));
    ck_ok(kv_txn_commit(txn));
    free(bytes);
    ck_ok(kv_env_close(env));
    env = NULL;
    expect(3, NULL,
           "mkfifo pipe; { \"$K\" get --raw a.db big > pipe; echo $? > status; } & exec 3< pipe; "
           "head -c 1000 <&3 > /dev/null; truncate -s 16384 a.db; cat <&3 > /dev/null; wait; "
           "exit $(cat status)");
    err_has("cut short");
}
END_TEST

static void setup_kvctl(void)
{
    shell_setup();
    setup();
}

static void teardown_kvctl(void)
{
    teardown();
    shell_teardown();
}

static Suite *suite(void)
{
    Suite *s = suite_create("guard_write");

    add_loop(s, "write", a_write_txn_under_which_the_file_is_cut_commits_nothing, 3);
    add_loop(s, "commit", a_fault_just_before_commit_is_an_error_of_the_commit, 2);
    add_loop(s, "mapping", a_file_cut_under_the_writers_mapping_ends_no_process, 1);
    add_loop(s, "lock file", a_lock_file_cut_short_is_an_error_of_all_that_needs_it, 2);
    add_loop(s, "lock writer", a_lock_file_cut_under_a_writer_lets_nothing_be_committed, 1);
    add_loop(s, "two", one_envs_damage_is_not_anothers, 1);
    add_loop(s, "without", an_env_without_the_option_ends_as_ever, 1);
    add_loop(s, "open", an_open_that_fails_leaves_nothing_behind, 1);
    add_loop(s, "fork", a_forked_child_is_guarded_for_itself, 1);
    harness_add_fixture(s, "kvctl", kvctl_says_what_happened_and_exits_with_status_3, setup_kvctl,
                        teardown_kvctl);
    harness_add(s, "kvctl", kvctl_does_so_for_a_large_value_too);
    return s;
}

HARNESS_MAIN(suite)
