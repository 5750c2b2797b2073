/* SPDX-License-Identifier: MIT */
/*
 * Data file or lock file deleted, replaced, copied over or cut while processes use them: an error
 * with a text, or all goes on; never a second writer beside a living one, and never a change to
 * somebody else's file.
 *
 * The user inside is a process of its own, since it may be hit by what a test does to its files; it
 * answers what it was asked to do with the result. The test is the one outside: it meddles, and
 * tries to get in.
 */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kv.h"
#include "ledger.h"
#include "worker.h"

enum order { ORDER_STEP = 1, ORDER_VERIFY, ORDER_CHECK, ORDER_SYNC, ORDER_CLOSE };

/* An order's result as a number for the pipe: no text, no success without a meaning. */
#define ANSWER_OK 0u
#define ANSWER_NO_TEXT 1u
#define answer_of(rc) ((uint64_t)(uint32_t)(rc))

static int obey(struct kv_env *env, uint64_t order)
{
    uint64_t seq;

    switch (order) {
    case ORDER_STEP:
        return ledger_step(env, NULL, &seq);
    case ORDER_VERIFY:
        return ledger_verify_newest(env, &seq);
    case ORDER_CHECK:
        return kv_env_check(env, NULL);
    case ORDER_SYNC:
        return kv_env_sync(env);
    default:
        return kv_env_close(env);
    }
}

static int inside(struct worker *self)
{
    struct kv_options options = KV_OPTIONS_INIT;
    struct kv_env *env;
    uint64_t order;
    int rc;

    options.durability = KV_LAZY;
    rc = kv_env_open(self->context, &options, &env);
    worker_tell(self, answer_of(rc));
    do {
        if (!worker_hear(self, &order))
            return 1;
        rc = obey(env, order);
        if (rc && *kv_error_text() == 0)
            rc = ANSWER_NO_TEXT;
        worker_tell(self, answer_of(rc));
    } while (order != ORDER_CLOSE);
    return 0;
}

/* The result of an order; KV_EINVAL is no result of any of them and stands for a dead process. */
static int ask(struct worker *user, enum order order)
{
    uint64_t answer;

    sleep_us(60000); /* the files are looked at every 50 ms */
    worker_tell(user, order);
    return worker_hear(user, &answer) ? (int)(uint32_t)answer : KV_EINVAL;
}

static const char *data_path;
static const char *lock_path;
static struct worker user;

static void make_database(const char *path, unsigned steps)
{
    struct kv_options options = KV_OPTIONS_INIT;
    struct kv_env *env;
    uint64_t seq;

    options.flags = KV_CREATE;
    options.durability = KV_LAZY;
    ck_ok(kv_env_open(path, &options, &env));
    for (unsigned i = 0; i < steps; i++)
        ck_ok(ledger_step(env, NULL, &seq));
    ck_ok(kv_env_close(env));
}

/* Someone is inside and has committed. */
static void setup(void)
{
    uint64_t answer;

    tmp_clear();
    data_path = tmp_path("data.db");
    lock_path = tmp_path("data.db-lock");
    make_database(data_path, 5);
    worker_start(&user, inside, (void *)data_path);
    ck_assert(worker_hear(&user, &answer));
    ck_assert_uint_eq(answer, ANSWER_OK);
    ck_assert_int_eq(ask(&user, ORDER_STEP), 0);
}

static void teardown(void)
{
    worker_kill(&user, NULL, NULL);
}

static int open_outside(void)
{
    struct kv_env *env;
    int rc = kv_env_open(data_path, NULL, &env);

    if (!rc)
        ck_ok(kv_env_close(env));
    else
        ck_assert_str_ne(kv_error_text(), "");
    return rc;
}

/* Once the one inside is gone, the database is whole and has so many steps. */
static void open_after(const char *path, uint64_t steps)
{
    struct kv_env *env;
    uint64_t seq;

    worker_kill(&user, NULL, NULL);
    ck_ok(kv_env_open(path, NULL, &env));
    ck_ok(ledger_check(env));
    ck_ok(ledger_verify_newest(env, &seq));
    ck_assert_uint_eq(seq, steps);
    ck_ok(ledger_step(env, NULL, &seq));
    ck_ok(ledger_check(env));
    ck_ok(kv_env_close(env));
    worker_start(&user, inside, (void *)path);
}

static void copy_over(const char *from, const char *to)
{
    size_t size;
    uint8_t *bytes = file_read(from, &size);

    file_write(to, bytes, size);
    free(bytes);
}

/* ---- The lock file ---- */

START_TEST(deleted_lock_file_lets_nobody_in_beside_a_living_user)
{
    ck_assert_int_eq(unlink(lock_path), 0);
    ck_rc(open_outside(), KV_EBUSY);
    ck_assert_int_eq(ask(&user, ORDER_STEP), KV_EBUSY);
    ck_assert_int_eq(ask(&user, ORDER_VERIFY), 0);
    open_after(data_path, 6);
}
END_TEST

START_TEST(replaced_lock_file_lets_nobody_in_beside_a_living_user)
{
    const char *copy = tmp_path("copy");

    copy_over(lock_path, copy);
    ck_assert_int_eq(rename(copy, lock_path), 0);
    ck_rc(open_outside(), KV_EBUSY);
    ck_assert_int_eq(ask(&user, ORDER_STEP), KV_EBUSY);
    ck_assert_int_eq(ask(&user, ORDER_VERIFY), 0);
    open_after(data_path, 6);
}
END_TEST

START_TEST(lock_file_of_another_database_lets_nobody_in)
{
    const char *other = tmp_path("other.db");
    struct kv_env *env;

    make_database(other, 2);
    ck_ok(kv_env_open(other, NULL, &env));
    ck_assert_int_eq(rename(tmp_path("other.db-lock"), lock_path), 0);
    ck_rc(open_outside(), KV_EBUSY);
    ck_assert_int_eq(ask(&user, ORDER_STEP), KV_EBUSY);
    (void)kv_env_close(env);
    open_after(data_path, 6);
}
END_TEST

START_TEST(scribbled_lock_file_is_an_error_and_no_damage)
{
    uint8_t junk[4096];
    struct rng rng;

    rng_seed(&rng, "scribble", 3);
    for (uint64_t i = 0; i < scaled(20); i++) {
        int fd = open(lock_path, O_WRONLY | O_CLOEXEC);
        int rc;

        rng_bytes(&rng, junk, sizeof(junk));
        ck_assert_int_eq((int)pwrite(fd, junk, sizeof(junk), i % 2 ? 512 : 0), sizeof(junk));
        (void)close(fd);
        rc = ask(&user, ORDER_STEP);
        ck_assert_int_ne(rc, KV_EINVAL);
        ck_assert_int_ne(rc, (int)ANSWER_NO_TEXT);
        ck_assert_int_ne(rc, 0);
        open_after(data_path, 6 + i);
        ck_assert(worker_hear(&user, &(uint64_t){0}));
    }
}
END_TEST

/* Told at the begin of a write. A reader that touches what is gone dies of it, and harms nobody. */
START_TEST(lock_file_cut_to_nothing_is_an_error_and_no_damage)
{
    int rc;

    ck_assert_int_eq(truncate(lock_path, 0), 0);
    rc = open_outside();
    ck_assert_msg(rc == KV_EBUSY || rc == KV_ECORRUPT, "%s", kv_strerror(rc));
    rc = ask(&user, ORDER_STEP);
    ck_assert_msg(rc == KV_EBUSY || rc == KV_ECORRUPT, "%s", kv_strerror(rc));
    open_after(data_path, 6);
}
END_TEST

/* ---- The data file ---- */

START_TEST(deleted_data_file_takes_no_more_commits)
{
    ck_assert_int_eq(unlink(data_path), 0);
    ck_assert_int_eq(ask(&user, ORDER_STEP), KV_EBUSY);
    ck_assert_int_eq(ask(&user, ORDER_VERIFY), 0);
    ck_rc(open_outside(), ENOENT);
}
END_TEST

/* Whoever comes gets the new file, and the one inside does not touch it. */
START_TEST(replaced_data_file_is_never_written_by_those_inside)
{
    const char *other = tmp_path("other.db");

    make_database(other, 3);
    ck_assert_int_eq(rename(other, data_path), 0);
    ck_assert_int_eq(ask(&user, ORDER_STEP), KV_EBUSY);
    ck_assert_int_eq(ask(&user, ORDER_VERIFY), 0);
    (void)ask(&user, ORDER_SYNC);
    (void)ask(&user, ORDER_CLOSE);
    open_after(data_path, 3);
}
END_TEST

START_TEST(data_file_replaced_by_its_own_copy_has_one_writer)
{
    const char *copy = tmp_path("copy");

    ck_assert_int_eq(ask(&user, ORDER_SYNC), 0);
    copy_over(data_path, copy);
    ck_assert_int_eq(rename(copy, data_path), 0);
    ck_rc(open_outside(), KV_EBUSY);
    ck_assert_int_eq(ask(&user, ORDER_STEP), KV_EBUSY);
    open_after(data_path, 6);
}
END_TEST

/* The same inode with another database's bytes: what the one inside still writes is its own fault
 * no more. */
START_TEST(database_copied_over_the_file_is_told_and_not_written)
{
    const char *other = tmp_path("other.db");
    size_t size;
    size_t size_after;
    uint8_t *before;
    uint8_t *after;
    int rc;

    make_database(other, 40);
    copy_over(other, data_path);
    before = file_read(data_path, &size);
    rc = ask(&user, ORDER_STEP);
    ck_assert_msg(rc == KV_EBUSY || rc == KV_ECORRUPT, "%s", kv_strerror(rc));
    rc = ask(&user, ORDER_SYNC);
    ck_assert_int_ne(rc, (int)ANSWER_NO_TEXT);
    worker_kill(&user, NULL, NULL);
    after = file_read(data_path, &size_after);
    ck_assert_uint_eq(size, size_after);
    ck_assert(memcmp(before, after, size) == 0);
    free(before);
    free(after);
    worker_start(&user, inside, (void *)data_path);
    ck_assert(worker_hear(&user, &(uint64_t){0}));
    open_after(data_path, 40);
}
END_TEST

START_TEST(second_name_of_the_file_is_no_way_to_a_second_writer)
{
    const char *second = tmp_path("second.db");
    struct kv_env *env;

    ck_assert_int_eq(link(data_path, second), 0);
    ck_rc(kv_env_open(second, NULL, &env), KV_EBUSY);
    ck_assert_int_eq(ask(&user, ORDER_STEP), 0);
    ck_assert_int_eq(ask(&user, ORDER_SYNC), 0); /* another name has another lock file */
    open_after(second, 7);
}
END_TEST

START_TEST(symbolic_link_leads_to_the_same_database_or_is_refused)
{
    const char *second = tmp_path("link.db");
    struct kv_env *env;
    uint64_t seq;
    int rc;

    ck_assert_int_eq(symlink(data_path, second), 0);
    rc = kv_env_open(second, NULL, &env);
    if (!rc) {
        ck_ok(ledger_step(env, NULL, &seq));
        ck_assert_uint_eq(seq, 7);
        ck_ok(kv_env_close(env));
    } else {
        ck_rc(rc, KV_EBUSY);
    }
    ck_assert_int_eq(ask(&user, ORDER_STEP), 0);
    ck_assert_int_eq(ask(&user, ORDER_CHECK), 0);
}
END_TEST

START_TEST(renamed_data_file_is_no_way_to_a_second_writer)
{
    const char *moved = tmp_path("moved.db");
    struct kv_env *env;

    ck_assert_int_eq(rename(data_path, moved), 0);
    ck_rc(kv_env_open(moved, NULL, &env), KV_EBUSY);
    ck_assert_int_eq(ask(&user, ORDER_STEP), 0);
    ck_assert_int_eq(ask(&user, ORDER_SYNC), 0);
    open_after(moved, 7);
}
END_TEST

/* Writers look at the file's length before they build on it; what others cut off is told, not
 * invented. */
START_TEST(data_file_that_was_cut_is_damage_and_no_crash_of_newcomers)
{
    uint64_t size = file_size(data_path);
    struct kv_env *env;
    uint64_t seq;
    int rc;

    ck_assert_int_eq(ask(&user, ORDER_SYNC), 0);
    worker_kill(&user, NULL, NULL);
    for (unsigned i = 0; i < 8; i++) {
        uint64_t cut = size * (7 - i) / 8;

        ck_assert_int_eq(truncate(data_path, (off_t)cut), 0);
        rc = kv_env_open(data_path, NULL, &env);
        if (!rc) {
            rc = ledger_verify_newest(env, &seq);
            ck_ok(kv_env_close(env));
        }
        if (rc)
            ck_assert_str_ne(kv_error_text(), "");
    }
    ck_assert(rc == KV_ENOTDB || rc == KV_ECORRUPT);
    worker_start(&user, inside, (void *)data_path);
}
END_TEST

/* Whoever touches what is gone may die of it; nobody goes on as if all were well. */
START_TEST(data_file_cut_while_in_use_takes_no_more_commits)
{
    uint64_t size = file_size(data_path);
    struct kv_env *env;

    ck_assert_int_eq(truncate(data_path, (off_t)(size / 3)), 0);
    ck_assert_int_ne(ask(&user, ORDER_STEP), 0);
    worker_kill(&user, NULL, NULL);
    ck_rc(kv_env_open(data_path, NULL, &env), KV_ECORRUPT);
    ck_assert_str_ne(kv_error_text(), "");
}
END_TEST

static void add(Suite *s, const char *case_name, const TTest *test)
{
    harness_add_fixture(s, case_name, test, setup, teardown);
}

static Suite *suite(void)
{
    Suite *s = suite_create("processes_files");

    add(s, "lock file", deleted_lock_file_lets_nobody_in_beside_a_living_user);
    add(s, "lock file", replaced_lock_file_lets_nobody_in_beside_a_living_user);
    add(s, "lock file", lock_file_of_another_database_lets_nobody_in);
    add(s, "lock file", scribbled_lock_file_is_an_error_and_no_damage);
    add(s, "lock file", lock_file_cut_to_nothing_is_an_error_and_no_damage);
    add(s, "data file", deleted_data_file_takes_no_more_commits);
    add(s, "data file", replaced_data_file_is_never_written_by_those_inside);
    add(s, "data file", data_file_replaced_by_its_own_copy_has_one_writer);
    add(s, "data file", database_copied_over_the_file_is_told_and_not_written);
    add(s, "data file", second_name_of_the_file_is_no_way_to_a_second_writer);
    add(s, "data file", symbolic_link_leads_to_the_same_database_or_is_refused);
    add(s, "data file", renamed_data_file_is_no_way_to_a_second_writer);
    add(s, "data file", data_file_that_was_cut_is_damage_and_no_crash_of_newcomers);
    add(s, "data file", data_file_cut_while_in_use_takes_no_more_commits);
    return s;
}

HARNESS_MAIN(suite)
