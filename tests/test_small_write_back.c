/* SPDX-License-Identifier: MIT */
/*
 * Early write-back of lazy commits: when it is started and when never, that it means nothing for
 * durability, and what its errors are. With shrunken limits it is started after 64 KiB.
 */
#include "recover_db.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "fault_os.h"
#include "harness.h"
#include "txn/durable.h"

enum {
    SMALL = 100,
    HALF = 40000 /* of what starts a write-back, and more */
};

static const char *path;
static struct kv_env *env;

/* No durable point but on request. */
static struct kv_env *open_lazy(void)
{
    struct kv_options options = KV_OPTIONS_INIT;
    struct kv_env *opened;

    options.flags = KV_CREATE;
    options.lazy_sync_bytes = 0;
    options.lazy_sync_ms = 0;
    ck_ok(kv_env_open(path, &options, &opened));
    return opened;
}

static void start(void)
{
    tmp_clear();
    fault_install();
    path = tmp_path("a.db");
    env = open_lazy();
    db_put(env, 1, 1, SMALL);
}

static void stop(void)
{
    db_close(env);
    fault_remove();
}

static void put_halves(unsigned count, enum kv_durability durability)
{
    for (unsigned i = 0; i < count; i++)
        ck_ok(db_try_put(env, 1, 2 + i, HALF, durability));
}

static uint64_t durable_txnid(void)
{
    struct kv_env_info info;

    ck_ok(kv_env_info(env, &info));
    return info.txnid_durable;
}

START_TEST(lazy_commits_start_it_after_so_many_bytes)
{
    fault_arm(FAULT_WRITE_BACK, 0, 0);
    put_halves(1, KV_LAZY);
    ck_assert_uint_eq(fault_count(FAULT_WRITE_BACK), 0);
    put_halves(7, KV_LAZY);
    ck_assert_uint_eq(fault_count(FAULT_WRITE_BACK), 4);
}
END_TEST

START_TEST(after_a_durable_point_counting_begins_anew)
{
    put_halves(3, KV_LAZY);
    ck_ok(kv_env_sync(env));
    db_put(env, 2, 1, SMALL); /* with the writer lock: the count of unflushed pages is 0 now */
    fault_arm(FAULT_WRITE_BACK, 0, 0);
    put_halves(1, KV_LAZY);
    ck_assert_uint_eq(fault_count(FAULT_WRITE_BACK), 0);
    put_halves(1, KV_LAZY);
    ck_assert_uint_eq(fault_count(FAULT_WRITE_BACK), 1);
}
END_TEST

START_TEST(other_modes_and_memory_databases_never_start_it)
{
    struct kv_options options = KV_OPTIONS_INIT;
    struct kv_env *memory;

    options.flags = KV_MEMORY;
    options.lazy_sync_bytes = 0;
    options.lazy_sync_ms = 0;
    fault_arm(FAULT_WRITE_BACK, 0, 0);
    put_halves(8, KV_NONE);
    put_halves(8, KV_DURABLE);
    ck_ok(kv_env_open(NULL, &options, &memory));
    for (unsigned i = 0; i < 8; i++)
        ck_ok(db_try_put(memory, 1, 2 + i, HALF, KV_LAZY));
    ck_assert_uint_eq(fault_count(FAULT_WRITE_BACK), 0);
    db_close(memory);
}
END_TEST

START_TEST(it_makes_nothing_durable)
{
    uint64_t durable = durable_txnid();

    fault_arm(FAULT_SYNCS, 0, 0);
    put_halves(8, KV_LAZY);
    ck_assert_uint_eq(fault_count(FAULT_SYNCS), 0);
    ck_assert_uint_eq(durable_txnid(), durable);
}
END_TEST

START_TEST(where_the_call_is_refused_nothing_is_lost)
{
    static const int refused[] = {ENOSYS, EPERM, EINVAL, EOPNOTSUPP, ESPIPE};
    uint64_t durable = durable_txnid();

    fault_arm_from(FAULT_WRITE_BACK, 1, refused[_i]);
    put_halves(4, KV_LAZY);
    ck_assert(fault_fired());
    ck_ok(kv_env_sync(env));
    ck_assert_uint_gt(durable_txnid(), durable);
    db_close(env);
    env = open_lazy();
    ck_assert_uint_eq(db_version(env, 1), 5);
    db_check(env);
}
END_TEST

START_TEST(none_is_started_while_another_flushes)
{
    fault_arm(FAULT_WRITE_BACK, 0, 0);
    ck_ok(kvi_lockfile_lock_flush(env->lockfile, KVI_WAIT_FOREVER));
    put_halves(8, KV_LAZY);
    kvi_lockfile_unlock_flush(env->lockfile);
    ck_assert_uint_eq(fault_count(FAULT_WRITE_BACK), 0);
    ck_assert_uint_eq(db_version(env, 1), 9);
}
END_TEST

START_TEST(its_error_is_one_of_a_flush)
{
    put_halves(1, KV_LAZY);
    fault_arm(FAULT_WRITE_BACK, 1, _i ? ENOSPC : EIO);
    ck_rc(db_try_put(env, 1, 3, HALF, KV_LAZY), KV_EUNKNOWN);
    ck_assert(fault_fired());
    ck_assert_uint_ne(atomic_load(&env->shared->poison), 0);
    fault_disarm();
    db_put(env, 2, 7, SMALL);
    ck_assert_uint_eq(db_version(env, 1), 1);
    ck_assert_uint_eq(db_version(env, 2), 7);
    db_check(env);
}
END_TEST

/* What a child does until it is killed in the call. */
static void die_in_write_back(void *context)
{
    (void)context;
    env = open_lazy();
    fault_arm(FAULT_WRITE_BACK, 1, FAULT_KILL);
    put_halves(4, KV_LAZY);
}

START_TEST(who_dies_in_it_leaves_an_announcement)
{
    db_child_killed(die_in_write_back, NULL);
    ck_assert_uint_ne(atomic_load(&env->shared->announcement), 0);
    ck_ok(kv_env_sync(env));
    ck_assert_uint_eq(atomic_load(&env->shared->announcement), 0);
    ck_assert_uint_eq(db_version(env, 1), 3);
    db_check(env);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("small_write_back");

    harness_add_fixture(s, "started", lazy_commits_start_it_after_so_many_bytes, start, stop);
    harness_add(s, "started", after_a_durable_point_counting_begins_anew);
    harness_add(s, "started", other_modes_and_memory_databases_never_start_it);
    harness_add(s, "started", it_makes_nothing_durable);
    harness_add(s, "started", none_is_started_while_another_flushes);
    harness_add_fixture(s, "errors", who_dies_in_it_leaves_an_announcement, start, stop);
    harness_add_loop(s, "errors", where_the_call_is_refused_nothing_is_lost, 0, 5);
    harness_add_loop(s, "errors", its_error_is_one_of_a_flush, 0, 2);
    return s;
}

HARNESS_MAIN(suite)
