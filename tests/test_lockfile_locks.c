/* SPDX-License-Identifier: MIT */
/*
 * lib/txn/locks.c: the writer and flush lock among threads, envs and processes.
 */
#include "lockfile_help.h"

#include <pthread.h>
#include <sys/mman.h>

#include "fault_os.h"
#include "txn/lockfile_impl.h"

typedef int lock_fn(struct kvi_lockfile *, uint32_t);
typedef void unlock_fn(struct kvi_lockfile *);

static lock_fn *const lock_gate[] = {kvi_lockfile_lock_writer, kvi_lockfile_lock_flush};
static unlock_fn *const unlock_gate[] = {kvi_lockfile_unlock_writer, kvi_lockfile_unlock_flush};

static uint64_t ms_now(void)
{
    return kvi_os->monotonic_ns() / 1000000;
}

/* ---- One holder ------------------------------------------------------------------------------ */

START_TEST(try_is_busy_while_held_by_this_or_another_env)
{
    const char *data = new_data("a");
    struct user a;
    struct user b;

    ck_ok(user_open(data, NULL, &a));
    ck_ok(user_open(data, NULL, &b));
    ck_ok(lock_gate[_i](a.l, 0));
    ck_rc(lock_gate[_i](a.l, 0), KV_EBUSY);
    ck_rc(lock_gate[_i](b.l, 0), KV_EBUSY);
    ck_ok(lock_gate[!_i](b.l, 0)); /* the other lock is another lock */
    unlock_gate[!_i](b.l);
    unlock_gate[_i](a.l);
    ck_ok(lock_gate[_i](b.l, 0));
    unlock_gate[_i](b.l);
    user_close(&b);
    user_close(&a);
}
END_TEST

START_TEST(timed_wait_ends_in_time)
{
    const char *data = new_data("a");
    struct user a;
    struct user b;
    uint64_t began;

    ck_ok(user_open(data, NULL, &a));
    ck_ok(user_open(data, NULL, &b));
    ck_ok(lock_gate[_i](a.l, 1000));
    began = ms_now();
    ck_rc(lock_gate[_i](a.l, 30), KV_ETIMEOUT); /* the threads' queue */
    ck_rc(lock_gate[_i](b.l, 30), KV_ETIMEOUT); /* the byte */
    ck_assert_uint_ge(ms_now() - began, 59);
    unlock_gate[_i](a.l);
    ck_ok(lock_gate[_i](b.l, 30));
    unlock_gate[_i](b.l);
    ck_ok(lock_gate[_i](a.l, 30));
    unlock_gate[_i](a.l);
    user_close(&b);
    user_close(&a);
}
END_TEST

START_TEST(an_unlock_that_fails_is_done_again)
{
    const char *data = new_data("a");
    struct user a;
    struct user b;

    ck_ok(user_open(data, NULL, &a));
    ck_ok(user_open(data, NULL, &b));
    ck_ok(lock_gate[_i](a.l, 0));
    fault_install();
    fault_arm(FAULT_LOCK, 1, ENOLCK);
    unlock_gate[_i](a.l);
    ck_assert(fault_fired());
    fault_remove();
    ck_ok(lock_gate[_i](b.l, 0));
    unlock_gate[_i](b.l);
    user_close(&b);
    user_close(&a);
}
END_TEST

/* ---- Threads --------------------------------------------------------------------------------- */

struct in_line {
    struct kvi_lockfile *l;
    int gate;
    int number;
    uint32_t timeout_ms;
    int rc;
    _Atomic(int) *turn; /* how many had the lock */
    int had_turn;
};

static void *stand_in_line(void *arg)
{
    struct in_line *w = arg;

    w->rc = lock_gate[w->gate](w->l, w->timeout_ms);
    if (w->rc)
        return NULL;
    w->had_turn = atomic_fetch_add(w->turn, 1);
    unlock_gate[w->gate](w->l);
    return NULL;
}

static unsigned waiting(struct kvi_lockfile *l, int gate)
{
    unsigned count;

    pthread_mutex_lock(&l->gates[gate].mutex);
    count = l->gates[gate].waiters;
    pthread_mutex_unlock(&l->gates[gate].mutex);
    return count;
}

#define LINE 6

START_TEST(threads_get_the_lock_in_the_order_in_which_they_came)
{
    const char *data = new_data("a");
    struct in_line w[LINE];
    pthread_t threads[LINE];
    _Atomic(int) turn = 0;
    struct user u;

    ck_ok(user_open(data, NULL, &u));
    ck_ok(lock_gate[_i](u.l, 0));
    for (int i = 0; i < LINE; i++) {
        w[i] = (struct in_line){u.l, _i, i, KVI_WAIT_FOREVER, 1, &turn, -1};
        if (i == 2)
            w[i].timeout_ms = 20; /* leaves the middle of the line */
        ck_assert_int_eq(pthread_create(&threads[i], NULL, stand_in_line, &w[i]), 0);
        if (i == 2)
            pthread_join(threads[i], NULL);
        while (waiting(u.l, _i) < (unsigned)(i < 2 ? i + 1 : i))
            kvi_os->sleep_us(100);
    }
    unlock_gate[_i](u.l);
    for (int i = 0; i < LINE; i++)
        if (i != 2)
            pthread_join(threads[i], NULL);
    ck_assert_int_eq(w[2].rc, KV_ETIMEOUT);
    for (int i = 0, expected = 0; i < LINE; i++)
        if (i != 2)
            ck_assert_int_eq(w[i].had_turn, expected++);
    user_close(&u);
}
END_TEST

static void *unlock_elsewhere(void *arg)
{
    kvi_lockfile_unlock_writer(arg);
    return NULL;
}

START_TEST(any_thread_may_unlock)
{
    const char *data = new_data("a");
    pthread_t thread;
    struct user u;

    ck_ok(user_open(data, NULL, &u));
    ck_ok(kvi_lockfile_lock_writer(u.l, 0));
    ck_assert_int_eq(pthread_create(&thread, NULL, unlock_elsewhere, u.l), 0);
    pthread_join(thread, NULL);
    ck_ok(kvi_lockfile_lock_writer(u.l, 0));
    kvi_lockfile_unlock_writer(u.l);
    user_close(&u);
}
END_TEST

/* ---- Processes ------------------------------------------------------------------------------- */

static int hold_writer(const void *data)
{
    struct user u;

    if (user_open(data, NULL, &u) || kvi_lockfile_lock_writer(u.l, KVI_WAIT_FOREVER))
        return 1;
    helper_stop();
    kvi_lockfile_unlock_writer(u.l);
    helper_stop();
    return 0;
}

static void *kill_soon(void *arg)
{
    kvi_os->sleep_us(20000);
    kill(*(pid_t *)arg, SIGKILL);
    return NULL;
}

START_TEST(waiter_gets_the_lock_of_a_killed_holder)
{
    const char *data = new_data("a");
    struct helper h = helper_with(hold_writer, data);
    pthread_t thread;
    struct user u;

    ck_ok(user_open(data, NULL, &u));
    ck_assert_int_eq(pthread_create(&thread, NULL, kill_soon, &h.pid), 0);
    ck_ok(kvi_lockfile_lock_writer(u.l, KVI_WAIT_FOREVER));
    pthread_join(thread, NULL);
    ck_assert_int_eq(helper_end(&h), -SIGKILL);
    kvi_lockfile_unlock_writer(u.l);
    user_close(&u);
}
END_TEST

#define HOGS 3
#define TURNS 600

struct hog_arg {
    const char *data;
    _Atomic(uint64_t) *turns; /* of each hog, in memory that all share */
    int number;
};

/* Gives and takes in a loop: the lock is free for a microsecond each time. */
static int hog_writer(const void *p)
{
    const struct hog_arg *arg = p;
    uint64_t sum = 0;
    struct user u;

    if (user_open(arg->data, NULL, &u))
        return 1;
    helper_stop();
    while (sum < TURNS) {
        if (kvi_lockfile_lock_writer(u.l, 20000))
            return 2;
        atomic_fetch_add(&arg->turns[arg->number], 1);
        kvi_os->sleep_us(100);
        kvi_lockfile_unlock_writer(u.l);
        sum = 0;
        for (int i = 0; i < HOGS; i++)
            sum += atomic_load(&arg->turns[i]);
    }
    user_close(&u);
    return 0;
}

START_TEST(processes_that_take_the_lock_again_and_again_share_it)
{
    struct hog_arg arg = {.data = new_data("a")};
    struct helper hogs[HOGS];

    arg.turns = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert(arg.turns != MAP_FAILED);
    for (arg.number = 0; arg.number < HOGS; arg.number++)
        hogs[arg.number] = helper_with(hog_writer, &arg);
    for (int i = 0; i < HOGS; i++)
        helper_go(&hogs[i]);
    for (int i = 0; i < HOGS; i++)
        ck_assert_int_eq(helper_end(&hogs[i]), 0);
    for (int i = 0; i < HOGS; i++) {
        printf("hog %d had %llu of %d turns\n", i, (unsigned long long)arg.turns[i], TURNS);
        ck_assert_uint_ge(arg.turns[i], TURNS / HOGS / 4);
    }
    munmap(arg.turns, 4096);
}
END_TEST

/* What must never be torn; in memory that all processes share. */
struct counted {
    volatile uint64_t a;
    volatile uint64_t b;
};

struct counter_arg {
    const char *data;
    struct counted *counted;
    uint64_t rounds;
};

static int count_up(const void *p)
{
    const struct counter_arg *arg = p;
    struct user u;

    if (user_open(arg->data, NULL, &u))
        return 1;
    for (uint64_t i = 0; i < arg->rounds; i++) {
        uint64_t seen;

        if (kvi_lockfile_lock_writer(u.l, KVI_WAIT_FOREVER))
            return 2;
        seen = arg->counted->a;
        if (seen != arg->counted->b)
            return 3;
        arg->counted->a = seen + 1;
        if (i % 64 == 0)
            kvi_os->sleep_us(50);
        arg->counted->b = seen + 1;
        kvi_lockfile_unlock_writer(u.l);
    }
    user_close(&u);
    return 0;
}

START_TEST(only_one_process_is_inside)
{
    struct counter_arg arg = {new_data("a"), NULL, scaled(3000)};
    struct helper h[3];

    arg.counted = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert(arg.counted != MAP_FAILED);
    for (int i = 0; i < 3; i++)
        h[i] = helper_start(count_up, &arg);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(helper_end(&h[i]), 0);
    ck_assert_uint_eq(arg.counted->a, 3 * arg.rounds);
    ck_assert_uint_eq(arg.counted->b, 3 * arg.rounds);
    munmap(arg.counted, 4096);
}
END_TEST

START_TEST(nonsense_stamps_delay_nobody)
{
    static const uint64_t stamps[] = {1, UINT64_MAX, (uint64_t)1 << 63};
    const char *data = new_data("a");
    uint64_t began;
    struct user u;

    ck_ok(user_open(data, NULL, &u));
    began = ms_now();
    atomic_store(&u.l->head->gates[0].wanted_ns, stamps[_i]);
    for (int i = 0; i < 1000; i++) {
        ck_ok(kvi_lockfile_lock_writer(u.l, 1000));
        kvi_lockfile_unlock_writer(u.l);
    }
    ck_assert_uint_lt(ms_now() - began, 1000);
    user_close(&u);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("lockfile_locks");

    harness_add_loop(s, "holder", try_is_busy_while_held_by_this_or_another_env, 0, 2);
    harness_add_loop(s, "holder", an_unlock_that_fails_is_done_again, 0, 2);
    harness_add_loop(s, "holder", timed_wait_ends_in_time, 0, 2);
    harness_add_loop(s, "threads", threads_get_the_lock_in_the_order_in_which_they_came, 0, 2);
    harness_add(s, "threads", any_thread_may_unlock);
    harness_add(s, "processes", waiter_gets_the_lock_of_a_killed_holder);
    harness_add(s, "processes", processes_that_take_the_lock_again_and_again_share_it);
    harness_add(s, "processes", only_one_process_is_inside);
    harness_add_loop(s, "processes", nonsense_stamps_delay_nobody, 0, 3);
    return s;
}

HARNESS_MAIN(suite)
