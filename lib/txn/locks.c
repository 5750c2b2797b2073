/* SPDX-License-Identifier: MIT */
/*
 * Owns the writer lock and the flush lock, and single bytes that are locked for a moment.
 *
 * A gate is two locks, one behind the other: a queue among the env's threads, strictly in order and
 * handed over directly, and then a byte of the lock file among processes (docs/LOCKFILE.md section
 * 4). Neither belongs to a thread. The kernel's lock is never waited for, but asked for again, so
 * that every wait ends in time and a dead holder is noticed at once.
 *
 *     threads -> gate.mutex, in order -> "next in line" (only while others wait) -> "holder"
 *
 * Stamps and wakes in the file are hints. Whatever stands there, only the bytes decide.
 */
#include "txn/lockfile_impl.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <time.h>

#include "base/error.h"
#include "kv.h"

#define NS_PER_MS 1000000ull
#define ASK_MS 2u          /* a waiter asks again at least so often: what a lost wake costs */
#define WANTED_MS 20u      /* how long a waiter's stamp is believed: some askings */
#define SLEEP_US_FIRST 20u /* waits for opening and growing: from here doubled ... */
#define SLEEP_US_MAX 1000u /* ... to here */
#define UNLOCK_TRIES 100   /* a moment without memory is over by then */

/* A point in time until which to wait. */
struct deadline {
    uint64_t end_ns; /* UINT64_MAX: for ever */
};

static struct deadline deadline_in(uint32_t timeout_ms)
{
    struct deadline d = {UINT64_MAX};

    if (timeout_ms != KVI_WAIT_FOREVER)
        d.end_ns = kvi_os->monotonic_ns() + timeout_ms * NS_PER_MS;
    return d;
}

static bool deadline_over(const struct deadline *d)
{
    return d->end_ns != UINT64_MAX && kvi_os->monotonic_ns() >= d->end_ns;
}

/* ---- Bytes ---- */

int kvi_lock_byte(struct kvi_lockfile *lockfile, uint64_t byte, uint32_t timeout_ms)
{
    struct deadline deadline = deadline_in(timeout_ms);
    uint32_t us = SLEEP_US_FIRST;
    int rc;

    while ((rc = kvi_os->lock(lockfile->lock.fd, KVI_OS_LOCK_WRITE, byte, 1)) == EAGAIN) {
        if (deadline_over(&deadline))
            return EAGAIN;
        rc = kvi_os->sleep_us(us);
        if (rc)
            break;
        us = us * 2 < SLEEP_US_MAX ? us * 2 : SLEEP_US_MAX;
    }
    return rc ? kvi_error(rc, "%s: %s", lockfile->lock.path, kvi_strerror(rc)) : 0;
}

/* The kernel takes memory even to unlock, and what stayed locked would stop others for as long as
 * we live: so it is asked again for a while. */
void kvi_unlock_byte(struct kvi_lockfile *lockfile, uint64_t byte)
{
    for (int i = 0; i < UNLOCK_TRIES; i++) {
        if (!kvi_os->lock(lockfile->lock.fd, KVI_OS_UNLOCK, byte, 1))
            return;
        (void)kvi_os->sleep_us(SLEEP_US_FIRST);
    }
}

/* ---- The threads' queue ---- */

struct kvi_gate_waiter {
    pthread_cond_t granted_now;
    bool granted; /* the gate's mutex */
    struct kvi_gate_waiter *next;
};

int kvi_gate_init(struct kvi_gate *gate)
{
    gate->held = false;
    gate->first = NULL;
    gate->last = NULL;
    gate->waiters = 0;
    return pthread_mutex_init(&gate->mutex, NULL);
}

void kvi_gate_release(struct kvi_gate *gate)
{
    (void)pthread_mutex_destroy(&gate->mutex);
}

static int waiter_init(struct kvi_gate_waiter *waiter)
{
    pthread_condattr_t attr;
    int rc = pthread_condattr_init(&attr);

    if (rc)
        return rc;
    rc = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    if (!rc)
        rc = pthread_cond_init(&waiter->granted_now, &attr);
    (void)pthread_condattr_destroy(&attr);
    waiter->granted = false;
    waiter->next = NULL;
    return rc;
}

static void queue_append(struct kvi_gate *gate, struct kvi_gate_waiter *waiter)
{
    if (gate->first)
        gate->last->next = waiter;
    else
        gate->first = waiter;
    gate->last = waiter;
    gate->waiters++;
}

static void queue_remove(struct kvi_gate *gate, struct kvi_gate_waiter *waiter)
{
    struct kvi_gate_waiter *before = NULL;

    for (struct kvi_gate_waiter *w = gate->first; w != waiter; w = w->next) {
        assert(w);
        before = w;
    }
    if (before)
        before->next = waiter->next;
    else
        gate->first = waiter->next;
    if (gate->last == waiter)
        gate->last = before;
    gate->waiters--;
}

/* pthreads count on CLOCK_MONOTONIC here, the library on a clock that goes on in suspend: so only
 * the rest of the wait is turned into a point in time. */
static int wait_granted(struct kvi_gate *gate, struct kvi_gate_waiter *waiter,
                        const struct deadline *deadline)
{
    struct timespec until;
    uint64_t now = kvi_os->monotonic_ns();
    uint64_t rest;

    if (deadline->end_ns == UINT64_MAX)
        return pthread_cond_wait(&waiter->granted_now, &gate->mutex);
    if (now >= deadline->end_ns)
        return ETIMEDOUT;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    rest = deadline->end_ns - now + (uint64_t)until.tv_nsec;
    until.tv_sec += (time_t)(rest / 1000000000u);
    until.tv_nsec = (long)(rest % 1000000000u);
    return pthread_cond_timedwait(&waiter->granted_now, &gate->mutex, &until);
}

/* Stands in line with the mutex held. A grant that comes together with the timeout counts. */
static int queue_wait(struct kvi_gate *gate, const struct deadline *deadline)
{
    struct kvi_gate_waiter waiter;
    int rc = waiter_init(&waiter);

    if (rc)
        return rc;
    queue_append(gate, &waiter);
    while (!waiter.granted && !rc)
        rc = wait_granted(gate, &waiter, deadline);
    if (waiter.granted)
        rc = 0;
    else
        queue_remove(gate, &waiter);
    (void)pthread_cond_destroy(&waiter.granted_now);
    return rc == ETIMEDOUT ? KV_ETIMEOUT : rc;
}

static int queue_enter(struct kvi_gate *gate, uint32_t timeout_ms, const struct deadline *deadline)
{
    int rc = 0;

    (void)pthread_mutex_lock(&gate->mutex);
    if (!gate->held)
        gate->held = true;
    else if (timeout_ms == 0)
        rc = KV_EBUSY;
    else
        rc = queue_wait(gate, deadline);
    (void)pthread_mutex_unlock(&gate->mutex);
    return rc;
}

/* Hands the gate to the first in line, if there is one. */
static void queue_leave(struct kvi_gate *gate)
{
    struct kvi_gate_waiter *waiter;

    (void)pthread_mutex_lock(&gate->mutex);
    assert(gate->held);
    waiter = gate->first;
    if (waiter) {
        gate->first = waiter->next;
        gate->waiters--;
        waiter->granted = true;
        (void)pthread_cond_signal(&waiter->granted_now);
    } else {
        gate->held = false;
    }
    (void)pthread_mutex_unlock(&gate->mutex);
}

/* ---- The byte among processes ---- */

static int try_byte(struct kvi_lockfile *lockfile, uint64_t byte)
{
    return kvi_os->lock(lockfile->lock.fd, KVI_OS_LOCK_WRITE, byte, 1);
}

/* Whether somebody waited for the gate a short time ago. An old stamp is wiped, one of the future
 * is nonsense. */
static bool gate_wanted(struct kvi_lock_gate *shared)
{
    uint64_t wanted = atomic_load_explicit(&shared->wanted_ns, memory_order_seq_cst);
    uint64_t now;

    if (KVI_LIKELY(wanted == 0))
        return false;
    now = kvi_os->monotonic_ns();
    if (wanted <= now && now - wanted < WANTED_MS * NS_PER_MS)
        return true;
    (void)atomic_compare_exchange_strong(&shared->wanted_ns, &wanted, 0);
    return false;
}

/* Asks for the byte until it is ours; EAGAIN when the time is over. Only who has to wait leaves a
 * stamp, and asks once more after it, so that a holder who gives in between sees it. */
static int ask_for_byte(struct kvi_lockfile *lockfile, struct kvi_lock_gate *shared, uint64_t byte,
                        const struct deadline *deadline)
{
    int rc = try_byte(lockfile, byte);

    while (rc == EAGAIN && !deadline_over(deadline)) {
        uint32_t wake = atomic_load_explicit(&shared->wake, memory_order_acquire);

        atomic_store_explicit(&shared->wanted_ns, kvi_os->monotonic_ns(), memory_order_seq_cst);
        rc = try_byte(lockfile, byte);
        if (rc != EAGAIN)
            break;
        (void)kvi_os->futex_wait((uint32_t *)&shared->wake, wake, ASK_MS);
        rc = try_byte(lockfile, byte);
    }
    return rc;
}

/* Gets in line behind those of other processes, then waits for the holder. */
static int wait_for_byte(struct kvi_lockfile *lockfile, enum kvi_lock_gate_name name,
                         const struct deadline *deadline)
{
    struct kvi_lock_gate *shared = &lockfile->head->gates[name];
    int rc = ask_for_byte(lockfile, shared, KVI_LOCK_GATE_NEXT(name), deadline);

    if (rc)
        return rc;
    rc = ask_for_byte(lockfile, shared, KVI_LOCK_GATE_HELD(name), deadline);
    kvi_unlock_byte(lockfile, KVI_LOCK_GATE_NEXT(name));
    return rc;
}

static int take_byte(struct kvi_lockfile *lockfile, enum kvi_lock_gate_name name,
                     uint32_t timeout_ms, const struct deadline *deadline)
{
    int rc = EAGAIN;

    if (timeout_ms == 0 || !gate_wanted(&lockfile->head->gates[name]))
        rc = try_byte(lockfile, KVI_LOCK_GATE_HELD(name));
    if (rc == EAGAIN && timeout_ms)
        rc = wait_for_byte(lockfile, name, deadline);
    if (rc == EAGAIN)
        return timeout_ms ? KV_ETIMEOUT : KV_EBUSY;
    return rc ? kvi_error(rc, "%s: %s", lockfile->lock.path, kvi_strerror(rc)) : 0;
}

/* ---- Gates ---- */

static int gate_fail(int rc, const struct kvi_lockfile *lockfile, enum kvi_lock_gate_name name)
{
    const char *what = name == KVI_GATE_WRITER ? "writer" : "flush";
    const char *path = lockfile->data.path;

    if (rc == KV_EBUSY)
        return kvi_error(rc, "%s: another %s txn is at work", path, what);
    if (rc == KV_ETIMEOUT)
        return kvi_error(rc, "%s: the %s lock was not free in time", path, what);
    return rc;
}

static int gate_lock(struct kvi_lockfile *lockfile, enum kvi_lock_gate_name name,
                     uint32_t timeout_ms)
{
    struct kvi_gate *gate = &lockfile->gates[name];
    struct deadline deadline = {0};
    int rc;

    if (kvi_lockfile_forked(lockfile))
        return kvi_error(KV_EFORKED, "%s: opened by the parent process", lockfile->data.path);
    if (timeout_ms)
        deadline = deadline_in(timeout_ms);
    rc = queue_enter(gate, timeout_ms, &deadline);
    if (rc)
        return gate_fail(rc, lockfile, name);
    if (lockfile->without_file)
        return 0;
    rc = take_byte(lockfile, name, timeout_ms, &deadline);
    if (rc) {
        queue_leave(gate);
        return gate_fail(rc, lockfile, name);
    }
    return 0;
}

/* Giving and the look at the stamp, like stamping and asking on the other side, are in one order
 * for all: either the asker gets the byte or we see the stamp. */
static void gate_unlock(struct kvi_lockfile *lockfile, enum kvi_lock_gate_name name)
{
    struct kvi_lock_gate *shared;

    if (kvi_lockfile_forked(lockfile))
        return;
    if (!lockfile->without_file) {
        shared = &lockfile->head->gates[name];
        kvi_unlock_byte(lockfile, KVI_LOCK_GATE_HELD(name));
        if (gate_wanted(shared)) {
            atomic_fetch_add_explicit(&shared->wake, 1, memory_order_release);
            (void)kvi_os->futex_wake((uint32_t *)&shared->wake, INT_MAX);
        }
    }
    queue_leave(&lockfile->gates[name]);
}

int kvi_lockfile_lock_writer(struct kvi_lockfile *lockfile, uint32_t timeout_ms)
{
    return gate_lock(lockfile, KVI_GATE_WRITER, timeout_ms);
}

void kvi_lockfile_unlock_writer(struct kvi_lockfile *lockfile)
{
    gate_unlock(lockfile, KVI_GATE_WRITER);
}

int kvi_lockfile_lock_flush(struct kvi_lockfile *lockfile, uint32_t timeout_ms)
{
    return gate_lock(lockfile, KVI_GATE_FLUSH, timeout_ms);
}

void kvi_lockfile_unlock_flush(struct kvi_lockfile *lockfile)
{
    gate_unlock(lockfile, KVI_GATE_FLUSH);
}
