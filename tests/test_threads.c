/* SPDX-License-Identifier: MIT */
/*
 * Many threads on one env, and two envs of one file in one process. For ThreadSanitizer as much as
 * for the checks.
 *
 * Threads hand their results back; Check's macros are for the main thread alone. Most work is
 * ledger steps (ledger.h), so that the count of commits that returned can be compared with the
 * content.
 */
#include "harness.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kv.h"
#include "ledger.h"
#include "worker.h"

enum { THREADS_MAX = 16, PATIENCE_MS = 60000 };

static struct kv_env *env;
static const char *path;

static struct kv_options lazy_options(void)
{
    struct kv_options options = KV_OPTIONS_INIT;

    options.flags = KV_CREATE;
    options.durability = KV_LAZY;
    return options;
}

static void setup(void)
{
    struct kv_options options = lazy_options();
    uint64_t seq;

    tmp_clear();
    path = tmp_path("threads.db");
    ck_ok(kv_env_open(path, &options, &env));
    ck_ok(ledger_step(env, NULL, &seq));
}

static void teardown(void)
{
    ck_ok(ledger_check(env));
    ck_ok(kv_env_close(env));
}

static uint64_t now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- Threads ---- */

struct thread {
    pthread_t id;
    struct kv_env *env;
    struct rng rng;
    uint64_t count;   /* of what it does */
    uint64_t commits; /* that returned 0 */
    int rc;
    char text[256];
};

typedef int thread_work(struct thread *self);

struct start {
    thread_work *work;
    struct thread *thread;
};

static struct thread threads[THREADS_MAX];
static struct start starts[THREADS_MAX];
static unsigned threads_started;
static _Atomic(int) stop;

static void *run_thread(void *context)
{
    const struct start *start = context;

    start->thread->rc = start->work(start->thread);
    (void)snprintf(start->thread->text, sizeof(start->thread->text), "%s", kv_error_text());
    return NULL;
}

static void thread_start(thread_work *work, struct kv_env *its_env, uint64_t count)
{
    unsigned i = threads_started++;

    ck_assert_uint_lt(i, THREADS_MAX);
    memset(&threads[i], 0, sizeof(threads[i]));
    threads[i].env = its_env;
    threads[i].count = count;
    rng_init(&threads[i].rng, 1000 + i);
    starts[i] = (struct start){work, &threads[i]};
    ck_assert_int_eq(pthread_create(&threads[i].id, NULL, run_thread, &starts[i]), 0);
}

/* Waits for the first `count` of those that run and looks at their results; how many commits they
 * made. */
static uint64_t threads_join(void)
{
    uint64_t commits = 0;

    for (unsigned i = 0; i < threads_started; i++) {
        (void)pthread_join(threads[i].id, NULL);
        commits += threads[i].commits;
    }
    for (unsigned i = 0; i < threads_started; i++)
        ck_assert_msg(threads[i].rc == 0, "thread %u: %s; %s", i, kv_strerror(threads[i].rc),
                      threads[i].text);
    threads_started = 0;
    stop = 0;
    return commits;
}

/* The ledger has this many steps and the env no open reader. */
static void expect_steps(uint64_t steps)
{
    struct kv_env_info info;
    uint64_t seq;

    ck_ok(ledger_verify_newest(env, &seq));
    ck_assert_uint_eq(seq, steps);
    ck_ok(kv_env_info(env, &info));
    ck_assert_uint_eq(info.readers, 0);
}

/* ---- Readers and writers ---- */

static int write_steps(struct thread *self)
{
    uint64_t seq;
    int rc = 0;

    for (uint64_t i = 0; !rc && i < self->count; i++) {
        rc = ledger_step(self->env, NULL, &seq);
        self->commits += !rc;
    }
    return rc;
}

/* Reads everything until told to stop; snapshots never go back. */
static int read_all(struct thread *self)
{
    uint64_t seen = 0;
    uint64_t seq;
    int rc = 0;

    while (!rc && !stop) {
        rc = ledger_verify_newest(self->env, &seq);
        if (!rc && seq < seen)
            return LEDGER_BROKEN;
        seen = seq;
    }
    return rc;
}

/* The same with one txn that is refreshed, or reset and renewed. */
static int read_on_the_spot(struct thread *self)
{
    struct kv_txn *txn;
    uint64_t seen = 0;
    uint64_t seq;
    int rc = kv_txn_begin(self->env, KV_READ, NULL, &txn);

    if (rc)
        return rc;
    while (!rc && !stop) {
        if (rng_chance(&self->rng, 50)) {
            rc = kv_txn_refresh(txn, NULL);
        } else {
            kv_txn_reset(txn);
            rc = kv_txn_renew(txn);
        }
        if (!rc)
            rc = ledger_verify(txn, &seq);
        if (!rc && seq < seen)
            rc = LEDGER_BROKEN;
        seen = seq;
    }
    kv_txn_abort(txn);
    return rc;
}

/* Waits for the writers, the first ones that were started, then stops the others. */
static void join_writers(unsigned writers)
{
    uint64_t commits = 1;

    for (unsigned i = 0; i < writers; i++) {
        (void)pthread_join(threads[i].id, NULL);
        commits += threads[i].commits;
    }
    stop = 1;
    for (unsigned i = writers; i < threads_started; i++)
        (void)pthread_join(threads[i].id, NULL);
    for (unsigned i = 0; i < threads_started; i++)
        ck_assert_msg(threads[i].rc == 0, "thread %u: %s; %s", i, kv_strerror(threads[i].rc),
                      threads[i].text);
    threads_started = 0;
    stop = 0;
    expect_steps(commits);
}

START_TEST(many_threads_read_while_one_writes)
{
    thread_start(write_steps, env, scaled(1500));
    for (unsigned i = 0; i < 4; i++)
        thread_start(read_all, env, 0);
    for (unsigned i = 0; i < 3; i++)
        thread_start(read_on_the_spot, env, 0);
    join_writers(1);
}
END_TEST

START_TEST(many_threads_write_one_after_another)
{
    for (unsigned i = 0; i < 6; i++)
        thread_start(write_steps, env, scaled(200));
    for (unsigned i = 0; i < 2; i++)
        thread_start(read_all, env, 0);
    join_writers(6);
}
END_TEST

/* ---- Begin, commit, abort ---- */

static int begin_somehow(struct thread *self, struct kv_txn **txn_out)
{
    struct kv_txn_options hurry = {.timeout_ms = 1 + (uint32_t)rng_below(&self->rng, 3)};
    struct kv_txn_options lazy = {.durability = KV_NONE};

    switch (rng_below(&self->rng, 4)) {
    case 0:
        return kv_txn_begin(self->env, KV_WRITE | KV_TRY, NULL, txn_out);
    case 1:
        return kv_txn_begin(self->env, KV_WRITE, &hurry, txn_out);
    case 2:
        return kv_txn_begin(self->env, KV_WRITE, &lazy, txn_out);
    default:
        return kv_txn_begin(self->env, KV_READ, NULL, txn_out);
    }
}

/* Whatever txn it got: looks, changes, ends it one way or another. */
static int use_somehow(struct thread *self, struct kv_txn *txn)
{
    uint64_t seq;
    int rc = ledger_change(txn, &seq);

    if (rc == KV_EREADONLY)
        rc = ledger_verify(txn, &seq);
    else if (!rc && rng_chance(&self->rng, 60)) {
        rc = kv_txn_commit(txn);
        self->commits += !rc;
        return rc;
    }
    kv_txn_abort(txn);
    return rc;
}

static int race(struct thread *self)
{
    struct kv_txn *txn;
    int rc = 0;

    for (uint64_t i = 0; !rc && i < self->count; i++) {
        rc = begin_somehow(self, &txn);
        if (rc == KV_EBUSY || rc == KV_ETIMEOUT)
            rc = txn ? LEDGER_BROKEN : 0;
        else if (!rc)
            rc = use_somehow(self, txn);
    }
    return rc;
}

START_TEST(races_of_begin_commit_and_abort_lose_no_commit)
{
    for (unsigned i = 0; i < 8; i++)
        thread_start(race, env, scaled(300));
    expect_steps(1 + threads_join());
}
END_TEST

START_TEST(try_is_busy_and_a_timed_begin_ends_in_time)
{
    struct kv_txn_options timed = {.timeout_ms = 200};
    struct kv_txn *writer;
    struct kv_txn *txn;
    uint64_t start;

    ck_ok(kv_txn_begin(env, KV_WRITE, NULL, &writer));
    ck_rc(kv_txn_begin(env, KV_WRITE | KV_TRY, NULL, &txn), KV_EBUSY);
    ck_assert_ptr_null(txn);
    start = now_ms();
    ck_rc(kv_txn_begin(env, KV_WRITE, &timed, &txn), KV_ETIMEOUT);
    ck_assert_ptr_null(txn);
    ck_assert_uint_ge(now_ms() - start, 199);
    ck_assert_uint_lt(now_ms() - start, PATIENCE_MS / 2);
    kv_txn_abort(writer);
    ck_ok(kv_txn_begin(env, KV_WRITE | KV_TRY, NULL, &txn));
    kv_txn_abort(txn);
    ck_ok(kv_txn_begin(env, KV_WRITE, &timed, &txn));
    kv_txn_abort(txn);
}
END_TEST

/* ---- Txns that change hands ---- */

static struct kv_txn *handed;

static int change_handed(struct thread *self)
{
    uint64_t seq;
    int rc = ledger_change(handed, &seq);

    if (!rc && self->count == 0)
        rc = kv_txn_commit(handed);
    return rc;
}

START_TEST(write_txn_is_handed_from_thread_to_thread)
{
    ck_ok(kv_txn_begin(env, KV_WRITE, NULL, &handed));
    for (unsigned left = 4; left-- > 0;) {
        thread_start(change_handed, env, left);
        (void)threads_join();
    }
    expect_steps(5);
}
END_TEST

static int read_handed(struct thread *self)
{
    uint64_t seq;
    int rc = ledger_verify(handed, &seq);

    if (self->count == 0)
        kv_txn_abort(handed);
    return rc ? rc : seq == 1 ? 0 : LEDGER_BROKEN;
}

START_TEST(read_txn_is_handed_from_thread_to_thread)
{
    uint64_t seq;

    ck_ok(kv_txn_begin(env, KV_READ, NULL, &handed));
    ck_ok(ledger_step(env, NULL, &seq));
    for (unsigned left = 4; left-- > 0;) {
        thread_start(read_handed, env, left);
        (void)threads_join();
    }
    expect_steps(2);
}
END_TEST

/* A thread that ends leaves no slot behind that others could not have. */
START_TEST(threads_that_end_leave_no_readers)
{
    for (unsigned round = 0; round < 10; round++) {
        stop = 1;
        for (unsigned i = 0; i < 8; i++)
            thread_start(read_on_the_spot, env, 0);
        (void)threads_join();
    }
    expect_steps(1);
}
END_TEST

/* ---- Durable points ---- */

/* What was committed before a sync is durable after it. */
static int sync_and_look(struct thread *self)
{
    struct kv_env_info before;
    struct kv_env_info after;
    int rc = 0;

    for (uint64_t i = 0; !rc && !stop; i++) {
        rc = kv_env_info(self->env, &before);
        if (!rc)
            rc = kv_env_sync(self->env);
        if (!rc)
            rc = kv_env_info(self->env, &after);
        if (!rc && after.txnid_durable < before.txnid_committed)
            rc = LEDGER_BROKEN;
    }
    return rc;
}

START_TEST(sync_beside_commits_makes_durable_what_was_committed)
{
    for (unsigned i = 0; i < 2; i++)
        thread_start(write_steps, env, scaled(700));
    for (unsigned i = 0; i < 3; i++)
        thread_start(sync_and_look, env, 0);
    join_writers(2);
}
END_TEST

/* ---- Maintenance beside work ---- */

static int no_reader(void *context, const struct kv_reader *reader)
{
    (void)context;
    return reader->alive ? 0 : LEDGER_BROKEN;
}

static int copy_and_look(struct thread *self)
{
    const struct kv_copy_options compact = {.flags = KV_COPY_COMPACT};
    const char *copy = (const char *)self->text;
    struct kv_env *other;
    struct kv_txn *txn;
    uint64_t seq;
    uint64_t seq_copy = 0;
    int rc = kv_txn_begin(self->env, KV_READ, NULL, &txn);

    if (rc)
        return rc;
    (void)snprintf(self->text, sizeof(self->text), "%s-copy%llu", path,
                   (unsigned long long)rng_next(&self->rng));
    rc = ledger_seq(txn, &seq);
    if (!rc)
        rc = kv_env_copy(txn, copy, rng_chance(&self->rng, 50) ? &compact : NULL);
    kv_txn_abort(txn);
    if (!rc)
        rc = kv_env_open(copy, NULL, &other);
    if (rc)
        return rc;
    rc = ledger_verify_newest(other, &seq_copy);
    if (!rc)
        rc = ledger_check(other);
    if (!rc && seq_copy != seq)
        rc = LEDGER_BROKEN;
    return kv_env_close(other) ? LEDGER_BROKEN : rc;
}

static int maintain(struct thread *self)
{
    struct kv_env_info info;
    int rc = 0;

    while (!rc && !stop) {
        switch (rng_below(&self->rng, 5)) {
        case 0:
            rc = kv_env_trim(self->env, KV_TRIM_PUNCH, NULL);
            break;
        case 1:
            rc = ledger_check(self->env);
            break;
        case 2:
            rc = kv_env_readers(self->env, no_reader, NULL);
            break;
        case 3:
            rc = kv_env_info(self->env, &info);
            break;
        default:
            rc = copy_and_look(self);
        }
    }
    return rc;
}

START_TEST(check_copy_trim_and_lists_work_beside_readers_and_writers)
{
    thread_start(write_steps, env, scaled(800));
    thread_start(maintain, env, 0);
    thread_start(maintain, env, 0);
    thread_start(read_all, env, 0);
    join_writers(1);
}
END_TEST

/* ---- Handles ---- */

static _Atomic(uint32_t) handle_seen;

static int open_handles(struct thread *self)
{
    struct kv_txn *txn;
    kv_table table;
    int rc = 0;

    for (uint64_t i = 0; !rc && i < self->count; i++) {
        uint32_t none = 0;

        rc = kv_txn_begin(self->env, KV_READ, NULL, &txn);
        if (rc)
            return rc;
        rc = kv_table_open(txn, "alpha", 0, NULL, &table);
        kv_txn_abort(txn);
        if (!rc && !atomic_compare_exchange_strong(&handle_seen, &none, table) && none != table)
            rc = LEDGER_BROKEN;
    }
    return rc;
}

START_TEST(threads_that_open_a_table_at_once_get_the_same_handle)
{
    struct kv_options options = lazy_options();

    ck_ok(kv_env_close(env));
    ck_ok(kv_env_open(path, &options, &env));
    handle_seen = 0;
    for (unsigned i = 0; i < 8; i++)
        thread_start(open_handles, env, 50);
    (void)threads_join();
}
END_TEST

/* ---- Close ---- */

START_TEST(close_is_refused_while_txns_are_open)
{
    struct kv_txn *reader;
    struct kv_txn *writer;
    uint64_t seq;

    ck_ok(kv_txn_begin(env, KV_READ, NULL, &reader));
    ck_rc(kv_env_close(env), KV_EBUSY);
    ck_ok(kv_txn_begin(env, KV_WRITE, NULL, &writer));
    kv_txn_abort(reader);
    ck_rc(kv_env_close(env), KV_EBUSY);
    ck_ok(ledger_change(writer, &seq));
    ck_ok(kv_txn_commit(writer));
    ck_ok(kv_txn_begin(env, KV_READ, NULL, &reader));
    kv_txn_reset(reader);
    ck_rc(kv_env_close(env), KV_EBUSY);
    kv_txn_abort(reader);
    expect_steps(2);
}
END_TEST

/* ---- The same file twice in one process ---- */

START_TEST(two_envs_of_one_file_read_and_write_in_threads)
{
    struct kv_options options = lazy_options();
    struct kv_env *second;
    struct kv_env_info info;

    ck_ok(kv_env_open(path, &options, &second));
    ck_ok(kv_env_info(env, &info));
    ck_assert_uint_eq(info.processes, 2);
    for (unsigned i = 0; i < 4; i++)
        thread_start(write_steps, i % 2 ? env : second, scaled(200));
    for (unsigned i = 0; i < 4; i++)
        thread_start(read_all, i % 2 ? env : second, 0);
    join_writers(4);
    ck_ok(kv_env_close(second));
}
END_TEST

static int come_and_go(struct thread *self)
{
    struct kv_options options = lazy_options();
    struct kv_env *own;
    uint64_t seq;
    int rc = 0;

    for (uint64_t i = 0; !rc && i < self->count; i++) {
        rc = kv_env_open(path, &options, &own);
        if (rc)
            return rc;
        rc = ledger_step(own, NULL, &seq);
        self->commits += !rc;
        if (!rc)
            rc = ledger_verify_newest(own, &seq);
        if (!rc)
            rc = kv_env_close(own);
    }
    return rc;
}

START_TEST(envs_that_come_and_go_in_threads_share_one_ledger)
{
    for (unsigned i = 0; i < 4; i++)
        thread_start(come_and_go, NULL, scaled(40));
    thread_start(read_all, env, 0);
    join_writers(4);
}
END_TEST

/* Another process that tells, when asked, whether it could begin to write, and how many readers it
 * saw. */
static int look_from_outside(struct worker *self)
{
    struct kv_env_info info;
    struct kv_txn *txn;
    struct kv_env *own;
    uint64_t order;
    int rc;

    while (worker_hear(self, &order)) {
        rc = kv_env_open(self->context, NULL, &own);
        if (rc)
            return rc;
        rc = kv_txn_begin(own, KV_WRITE | KV_TRY, NULL, &txn);
        kv_txn_abort(txn);
        if (kv_env_info(own, &info) != 0 || kv_env_close(own) != 0)
            return 1;
        worker_tell(self, (rc == KV_EBUSY ? 100 : 0) + info.readers);
    }
    return 0;
}

static uint64_t ask_outside(struct worker *outside)
{
    uint64_t answer;

    worker_tell(outside, 1);
    ck_assert(worker_hear(outside, &answer));
    return answer;
}

/* What fcntl's old locks would lose: all locks of a process on a file end when it closes any
 * descriptor of it. */
START_TEST(closing_one_env_takes_no_lock_from_the_other)
{
    struct kv_options options = lazy_options();
    struct worker outside;
    struct kv_env *second;
    struct kv_txn *writer;
    struct kv_txn *reader;
    uint64_t seq;

    ck_ok(kv_env_close(env));
    worker_start(&outside, look_from_outside, (void *)path);
    ck_ok(kv_env_open(path, &options, &env));
    ck_ok(kv_env_open(path, &options, &second));
    ck_ok(kv_txn_begin(env, KV_WRITE, NULL, &writer));
    ck_ok(kv_txn_begin(env, KV_READ, NULL, &reader));
    ck_assert_uint_eq(ask_outside(&outside), 101);
    ck_ok(kv_env_close(second));
    ck_assert_uint_eq(ask_outside(&outside), 101);
    ck_ok(ledger_change(writer, &seq));
    ck_ok(kv_txn_commit(writer));
    ck_assert_uint_eq(ask_outside(&outside), 1);
    kv_txn_abort(reader);
    ck_assert_uint_eq(ask_outside(&outside), 0);
    worker_kill(&outside, NULL, NULL);
    expect_steps(2);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("threads");

#define ADD(case_name, test) harness_add_fixture(s, case_name, test, setup, teardown)
    ADD("work", many_threads_read_while_one_writes);
    ADD("work", many_threads_write_one_after_another);
    ADD("begin", races_of_begin_commit_and_abort_lose_no_commit);
    ADD("begin", try_is_busy_and_a_timed_begin_ends_in_time);
    ADD("hands", write_txn_is_handed_from_thread_to_thread);
    ADD("hands", read_txn_is_handed_from_thread_to_thread);
    ADD("hands", threads_that_end_leave_no_readers);
    ADD("sync", sync_beside_commits_makes_durable_what_was_committed);
    ADD("maintenance", check_copy_trim_and_lists_work_beside_readers_and_writers);
    ADD("handles", threads_that_open_a_table_at_once_get_the_same_handle);
    ADD("close", close_is_refused_while_txns_are_open);
    ADD("twice", two_envs_of_one_file_read_and_write_in_threads);
    ADD("twice", envs_that_come_and_go_in_threads_share_one_ledger);
    ADD("twice", closing_one_env_takes_no_lock_from_the_other);
#undef ADD
    return s;
}

HARNESS_MAIN(suite)
