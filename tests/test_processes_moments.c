/* SPDX-License-Identifier: MIT */
/*
 * Death at every system call: a process is killed just before its n-th call, for every n, and
 * others find all that it had told. What test_processes.c meets by chance stands here one by one,
 * the deaths of those who clean up after the dead included.
 *
 * The machine lives on, so nothing that was committed may be lost, in whatever mode.
 */
#include "harness.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fault_os.h"
#include "kv.h"
#include "ledger.h"
#include "worker.h"

enum {
    SURVIVED = 1 << 30, /* told by a process that came to the end of its work */
    MOMENTS_MAX = 2000
};

struct job {
    const char *path;
    enum kv_durability durability;
    uint64_t moment; /* the call before which to die; 0: none */
};

static struct kv_options options_of(const struct job *job)
{
    struct kv_options options = KV_OPTIONS_INIT;

    options.flags = KV_CREATE;
    options.durability = job->durability;
    return options;
}

static int complain(int rc)
{
    if (rc)
        fprintf(stderr, "worker: %s; %s\n", kv_strerror(rc), kv_error_text());
    return rc;
}

static int steps(struct worker *self, struct kv_env *env, unsigned count)
{
    uint64_t seq;
    int rc = 0;

    for (unsigned i = 0; !rc && i < count; i++) {
        rc = ledger_step(env, NULL, &seq);
        if (!rc)
            worker_tell(self, seq);
    }
    return rc;
}

/* A whole life: open, commits, a durable point, commits, free space given back, close. */
static int live_and_die(struct worker *self)
{
    const struct job *job = self->context;
    struct kv_options options = options_of(job);
    struct kv_env *env = NULL;
    int rc;

    fault_install();
    fault_arm(FAULT_ANY, job->moment, FAULT_KILL);
    rc = kv_env_open(job->path, &options, &env);
    if (!rc)
        rc = steps(self, env, 3);
    if (!rc)
        rc = kv_env_sync(env);
    if (!rc)
        rc = steps(self, env, 2);
    if (!rc)
        rc = kv_env_trim(env, KV_TRIM_PUNCH, NULL);
    if (!rc)
        rc = kv_env_close(env);
    if (!rc)
        worker_tell(self, SURVIVED);
    return complain(rc);
}

/* ---- What was told ---- */

struct told {
    uint64_t max;
    bool survived;
};

static void take(void *context, uint64_t number)
{
    struct told *told = context;

    if (number == SURVIVED)
        told->survived = true;
    else if (number > told->max)
        told->max = number;
}

/* Until the worker has died or come to its end. */
static void hear_all(struct worker *worker, struct told *told)
{
    uint64_t number;

    while (worker_hear(worker, &number))
        take(told, number);
    worker_kill(worker, take, told);
}

/* All that was told is there, at most one commit besides, and one can go on from it. */
static void look(struct kv_env *env, struct told *told)
{
    uint64_t seq;

    ck_ok(ledger_check(env));
    ck_ok(ledger_verify_newest(env, &seq));
    ck_assert_uint_ge(seq, told->max);
    ck_assert_uint_le(seq, told->max + 1);
    ck_ok(ledger_step(env, NULL, &told->max));
    ck_ok(ledger_verify_newest(env, &seq));
    ck_assert_uint_eq(seq, told->max);
    ck_ok(ledger_check(env));
}

static void open_and_look(const struct job *job, struct told *told)
{
    struct kv_options options = options_of(job);
    struct kv_env *env;

    ck_ok(kv_env_open(job->path, &options, &env));
    look(env, told);
    ck_ok(kv_env_close(env));
}

/* The next n: all of them, or as many as the scale allows, evenly. */
static uint64_t next_moment(uint64_t moment)
{
    return moment + 1 + 100 / scaled(100) / 2;
}

/* ---- A process alone ---- */

static void die_alone(enum kv_durability durability)
{
    struct told told = {0, false};
    struct job job = {tmp_path("alone.db"), durability, 1};
    struct worker worker;

    tmp_clear();
    for (; !told.survived && job.moment < MOMENTS_MAX; job.moment = next_moment(job.moment)) {
        worker_start(&worker, live_and_die, &job);
        hear_all(&worker, &told);
        open_and_look(&job, &told);
    }
    ck_assert(told.survived);
}

START_TEST(durable_commits_outlive_a_death_at_any_call)
{
    die_alone(KV_DURABLE);
}
END_TEST

START_TEST(commits_without_flush_outlive_a_death_at_any_call)
{
    die_alone(KV_NONE);
}
END_TEST

START_TEST(creation_that_dies_at_any_call_is_in_nobodys_way)
{
    struct job job = {tmp_path("creation.db"), KV_DURABLE, 1};
    struct told told = {0, false};
    struct worker worker;

    for (; !told.survived && job.moment < MOMENTS_MAX; job.moment = next_moment(job.moment)) {
        tmp_clear();
        told.max = 0;
        worker_start(&worker, live_and_die, &job);
        hear_all(&worker, &told);
        open_and_look(&job, &told);
    }
    ck_assert(told.survived);
}
END_TEST

/* ---- A process among others ---- */

/* Works whenever it is told to, and tells what it did. */
static int survive(struct worker *self)
{
    const struct job *job = self->context;
    struct kv_options options = options_of(job);
    struct kv_env *env;
    uint64_t number;
    int rc = kv_env_open(job->path, &options, &env);

    if (!rc)
        rc = steps(self, env, 1);
    while (!rc && worker_hear(self, &number) && number != 0) {
        rc = ledger_verify_newest(env, &number);
        if (!rc)
            rc = steps(self, env, 1);
        if (!rc)
            rc = ledger_check(env);
    }
    if (!rc)
        rc = kv_env_close(env);
    return complain(rc);
}

static void die_beside_others(enum kv_durability durability)
{
    struct job job = {tmp_path("beside.db"), durability, 1};
    struct told told = {0, false};
    struct worker survivor;
    struct worker worker;
    uint64_t seq;

    tmp_clear();
    worker_start(&survivor, survive, &job);
    ck_assert(worker_hear(&survivor, &told.max));
    for (; !told.survived && job.moment < MOMENTS_MAX; job.moment = next_moment(job.moment)) {
        worker_start(&worker, live_and_die, &job);
        hear_all(&worker, &told);
        worker_tell(&survivor, 1);
        ck_assert_msg(worker_hear(&survivor, &seq), "the survivor did not survive");
        ck_assert_uint_ge(seq, told.max + 1); /* its own */
        ck_assert_uint_le(seq, told.max + 2);
        told.max = seq;
    }
    ck_assert(told.survived);
    worker_tell(&survivor, 0);
    ck_assert(worker_join(&survivor));
    open_and_look(&job, &told);
}

START_TEST(others_go_on_from_durable_commits_after_a_death_at_any_call)
{
    die_beside_others(KV_DURABLE);
}
END_TEST

START_TEST(others_go_on_from_commits_without_flush_after_a_death_at_any_call)
{
    die_beside_others(KV_NONE);
}
END_TEST

/* ---- Those who clean up die as well ---- */

/* Commits without a flush, and dies. */
static int leave_unflushed(struct worker *self)
{
    const struct job *job = self->context;
    struct kv_options options = options_of(job);
    struct kv_env *env;
    int rc = kv_env_open(job->path, &options, &env);

    return complain(rc ? rc : steps(self, env, 3));
}

START_TEST(unflushed_commits_outlive_a_death_at_any_call_of_recovery)
{
    struct job job = {tmp_path("recovery.db"), KV_NONE, 1};
    struct told told = {0, false};
    struct worker worker;

    tmp_clear();
    for (; !told.survived && job.moment < MOMENTS_MAX; job.moment = next_moment(job.moment)) {
        worker_start(&worker, leave_unflushed, &job);
        hear_all(&worker, &told);
        worker_start(&worker, live_and_die, &job);
        hear_all(&worker, &told);
        open_and_look(&job, &told);
    }
    ck_assert(told.survived);
}
END_TEST

/* Dies in the flush of a durable point that it has announced. */
static int die_in_flush(struct worker *self)
{
    const struct job *job = self->context;
    struct kv_options options = options_of(job);
    struct kv_env *env;
    int rc = kv_env_open(job->path, &options, &env);

    if (!rc)
        rc = steps(self, env, 2);
    fault_install();
    fault_arm(FAULT_SYNCS, 1, FAULT_KILL);
    return complain(rc ? rc : kv_env_sync(env));
}

/* Waits for that, commits, and dies at the given call of the durable point that takes over. */
static int take_over_and_die(struct worker *self)
{
    const struct job *job = self->context;
    struct kv_options options = options_of(job);
    struct kv_env *env;
    uint64_t number;
    int rc = kv_env_open(job->path, &options, &env);

    if (!rc)
        rc = steps(self, env, 2);
    if (rc || !worker_hear(self, &number))
        return complain(rc);
    rc = steps(self, env, 2);
    fault_install();
    fault_arm(FAULT_ANY, job->moment, FAULT_KILL);
    if (!rc)
        rc = kv_env_sync(env);
    if (!rc)
        worker_tell(self, SURVIVED);
    return complain(rc);
}

START_TEST(unflushed_commits_outlive_a_death_at_any_call_of_a_takeover)
{
    struct job job = {tmp_path("takeover.db"), KV_NONE, 1};
    struct told told = {0, false};
    struct worker flusher;
    struct worker heir;

    tmp_clear();
    for (; !told.survived && job.moment < MOMENTS_MAX; job.moment = next_moment(job.moment)) {
        worker_start(&heir, take_over_and_die, &job);
        for (unsigned i = 0; i < 2; i++)
            ck_assert(worker_hear(&heir, &told.max));
        worker_start(&flusher, die_in_flush, &job);
        hear_all(&flusher, &told);
        worker_tell(&heir, 1);
        hear_all(&heir, &told);
        open_and_look(&job, &told);
    }
    ck_assert(told.survived);
}
END_TEST

/* Deaths leave the page cache, so a disk adds nothing here but its time. */
static void use_memory_for_files(void)
{
    if (!getenv("TMPDIR") && access("/dev/shm", R_OK | W_OK | X_OK) == 0)
        (void)setenv("TMPDIR", "/dev/shm", 1);
}

static Suite *suite(void)
{
    Suite *s = suite_create("processes_moments");

    use_memory_for_files();
    harness_add(s, "alone", durable_commits_outlive_a_death_at_any_call);
    harness_add(s, "alone", commits_without_flush_outlive_a_death_at_any_call);
    harness_add(s, "alone", creation_that_dies_at_any_call_is_in_nobodys_way);
    harness_add(s, "others", others_go_on_from_durable_commits_after_a_death_at_any_call);
    harness_add(s, "others", others_go_on_from_commits_without_flush_after_a_death_at_any_call);
    harness_add(s, "heirs", unflushed_commits_outlive_a_death_at_any_call_of_recovery);
    harness_add(s, "heirs", unflushed_commits_outlive_a_death_at_any_call_of_a_takeover);
    return s;
}

HARNESS_MAIN(suite)
