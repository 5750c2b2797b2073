/* SPDX-License-Identifier: MIT */
/*
 * Owns the table of guarded areas and the handler of SIGBUS (docs/GUARD.md).
 *
 * The table is a list of blocks of slots that only grows. A slot is changed under the mutex and read
 * without it: its version is odd while it changes, and a reader that finds it odd or changed leaves
 * the slot out. It may: an area in which a thread faults is neither added nor removed meanwhile, so
 * what it looks for stands still. The handler takes no lock, allocates nothing, and makes system
 * calls only.
 *
 * What others had installed is kept in records that are never freed, one for each that was ever
 * met. One who replaced us may pass signals on to us, since that is who he found: if we are then put
 * on top of him again, the same signal comes to us twice, and the second time goes to the one who
 * was there first.
 */
#include "os/guard.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os/os.h"

#define BLOCK_SLOTS 32u

/* Fields are read in a handler: each is atomic, `version` makes them one. */
struct kvi_guard_slot {
    _Atomic(uint64_t) version;             /* odd: being changed */
    _Atomic(struct kvi_guard_mark *) mark; /* NULL: free */
    _Atomic(uintptr_t) base;
    _Atomic(uint64_t) size_bytes;
    _Atomic(uint32_t) unit_bytes;
    _Atomic(uint32_t) kind;
    _Atomic(uint32_t) writable;
    _Atomic(uint32_t) left_by_fork;
    _Atomic(uintptr_t) known;
    _Atomic(uint64_t) known_bytes;
};

struct block {
    struct kvi_guard_slot slots[BLOCK_SLOTS];
    _Atomic(struct block *) next;
};

/* What was found in our place. */
struct found {
    struct sigaction action;
    struct found *next;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;
static int fork_rc;
static struct block first_block;
static unsigned users;                      /* mutex */
static struct found *founds;                /* mutex */
static bool planted;                        /* mutex: somebody may pass signals on to us */
static struct found by_default;             /* all zero: SIG_DFL */
static _Atomic(struct found *) found_above; /* gets what is not ours */
static _Atomic(struct found *) found_first; /* and what came to us a second time */

/* ---- The handler: areas ---- */

/* A copy of the slot; false: free, or not of this thread's concern. Each load is an acquire, so that
 * the version is looked at again after them. */
static bool slot_read(struct kvi_guard_slot *slot, struct kvi_guard_area *area,
                      struct kvi_guard_mark **mark)
{
    uint64_t version = atomic_load_explicit(&slot->version, memory_order_acquire);

    if (version & 1)
        return false;
    *mark = atomic_load_explicit(&slot->mark, memory_order_acquire);
    area->base = (void *)atomic_load_explicit(&slot->base, memory_order_acquire);
    area->size_bytes = atomic_load_explicit(&slot->size_bytes, memory_order_acquire);
    area->unit_bytes = atomic_load_explicit(&slot->unit_bytes, memory_order_acquire);
    area->kind = (enum kvi_guard_kind)atomic_load_explicit(&slot->kind, memory_order_acquire);
    area->writable = atomic_load_explicit(&slot->writable, memory_order_acquire) != 0;
    area->left_by_fork = atomic_load_explicit(&slot->left_by_fork, memory_order_acquire) != 0;
    area->known = (void *)atomic_load_explicit(&slot->known, memory_order_acquire);
    area->known_bytes = atomic_load_explicit(&slot->known_bytes, memory_order_acquire);
    return *mark && atomic_load_explicit(&slot->version, memory_order_relaxed) == version;
}

/* Whether this process has the mapping: in a child of fork the word is 0. */
static bool is_here(const struct kvi_guard_area *area, struct kvi_guard_mark *mark)
{
    _Atomic(uint64_t) *word = atomic_load_explicit(&mark->word, memory_order_acquire);

    return !area->left_by_fork || !word || atomic_load_explicit(word, memory_order_relaxed) != 0;
}

static bool find_area(uintptr_t address, struct kvi_guard_area *area, struct kvi_guard_mark **mark)
{
    for (struct block *block = &first_block; block;
         block = atomic_load_explicit(&block->next, memory_order_acquire))
        for (unsigned i = 0; i < BLOCK_SLOTS; i++)
            if (slot_read(&block->slots[i], area, mark) &&
                address - (uintptr_t)area->base < area->size_bytes && is_here(area, *mark))
                return true;
    return false;
}

static void raise_mark(struct kvi_guard_mark *mark, const struct kvi_guard_area *area,
                       uint64_t page)
{
    _Atomic(uint64_t) *word = atomic_load_explicit(&mark->word, memory_order_acquire);
    uint64_t value = word ? atomic_load(word) : 0;

    if (area->kind == KVI_GUARD_LOCK)
        atomic_fetch_add(&mark->faults_lock, 1);
    else
        atomic_store(&mark->page, page);
    atomic_fetch_add(&mark->faults, 1);
    while (value && !atomic_compare_exchange_weak(word, &value, value + 1))
        continue;
}

/* G1: the mark first. */
static bool cover(uintptr_t address)
{
    struct kvi_guard_mark *mark;
    struct kvi_guard_area area;
    uint64_t offset;

    if (!find_area(address, &area, &mark))
        return false;
    offset = (address - (uintptr_t)area.base) & ~(uint64_t)(area.unit_bytes - 1);
    raise_mark(mark, &area, offset / area.unit_bytes);
    if (area.known)
        (void)kvi_os->cover(area.known, area.known_bytes, true);
    return kvi_os->cover((uint8_t *)area.base + offset, area.unit_bytes, area.writable) == 0;
}

/* ---- The handler: others ---- */

/* The signal that is with one of the others now, in one thread: by where the kernel described it and
 * where the handler's frame stood. Who leaves by longjmp does not give it back, and takes it again
 * with its next signal. Not thread-local: in a library that was loaded late that memory may have to
 * be allocated, which a handler must not, or would have to be there from the start, of which little
 * is left to such libraries. */
struct passing {
    _Atomic(pid_t) thread; /* 0: free */
    const siginfo_t *info;
    uintptr_t frame;
};

#define PASSING_MAX 64u /* threads; of more some share one, and a circle would not be noticed */

static struct passing passings[PASSING_MAX];

static struct passing *passing_of(pid_t self)
{
    unsigned first = (unsigned)self % PASSING_MAX;

    for (unsigned i = 0; i < PASSING_MAX; i++) {
        if (atomic_load(&passings[(first + i) % PASSING_MAX].thread) == self)
            return &passings[(first + i) % PASSING_MAX];
    }
    for (unsigned i = 0; i < PASSING_MAX; i++) {
        struct passing *passing = &passings[(first + i) % PASSING_MAX];
        pid_t none = 0;

        if (atomic_compare_exchange_strong(&passing->thread, &none, self)) {
            passing->info = NULL;
            return passing;
        }
    }
    return &passings[first];
}

/* A fault of the thread itself, which comes again when it goes on. */
static bool is_fault(const siginfo_t *info)
{
    return info->si_code > 0 && info->si_code != SI_KERNEL && info->si_code != BUS_MCEERR_AO;
}

/* As the kernel would have done it: sent to ourselves once more, it comes when the handler ends. */
static void die_by_default(int signo, const siginfo_t *info)
{
    (void)kvi_os->catch_signal(signo, &by_default.action, NULL);
    (void)kvi_os->send_self(signo, info);
}

/* Calls it as the kernel would have, as far as one can: with its mask; but on the stack on which we
 * are. */
static void call(struct found *found, int signo, siginfo_t *info, void *context)
{
    const struct sigaction *action = &found->action;
    sigset_t own;

    (void)pthread_sigmask(SIG_BLOCK, &action->sa_mask, NULL);
    if (action->sa_flags & SA_NODEFER) {
        (void)sigemptyset(&own);
        (void)sigaddset(&own, signo);
        (void)pthread_sigmask(SIG_UNBLOCK, &own, NULL);
    }
    if (action->sa_flags & (int)SA_RESETHAND)
        (void)atomic_compare_exchange_strong(&found_above, &found, &by_default);
    if (action->sa_flags & SA_SIGINFO)
        action->sa_sigaction(signo, info, context);
    else
        action->sa_handler(signo);
}

static void give(struct found *found, int signo, siginfo_t *info, void *context)
{
    bool handler = (found->action.sa_flags & SA_SIGINFO) ||
                   (found->action.sa_handler != SIG_DFL && found->action.sa_handler != SIG_IGN);

    if (handler)
        call(found, signo, info, context);
    else if (found->action.sa_handler == SIG_DFL || is_fault(info))
        die_by_default(signo, info);
}

static KVI_NOINLINE void pass_on(int signo, siginfo_t *info, void *context)
{
    uintptr_t frame = (uintptr_t)__builtin_frame_address(0);
    pid_t self = gettid();
    struct passing *passing = passing_of(self);

    if (passing->info == info && frame < passing->frame) {
        give(atomic_load(&found_first), signo, info, context);
        return;
    }
    passing->info = info;
    passing->frame = frame;
    give(atomic_load(&found_above), signo, info, context);
    if (atomic_load(&passing->thread) == self) { /* a signal within it may have given it back */
        passing->info = NULL;
        atomic_store(&passing->thread, 0);
    }
}

static void on_signal(int signo, siginfo_t *info, void *context)
{
    int saved = errno;
    bool ours = is_fault(info) && info->si_code != BUS_ADRALN && cover((uintptr_t)info->si_addr);

    if (!ours)
        pass_on(signo, info, context);
    errno = saved;
}

/* ---- In its place, and away ---- */

static void lock(void)
{
    (void)pthread_mutex_lock(&mutex);
}

static void unlock(void)
{
    (void)pthread_mutex_unlock(&mutex);
}

static void fork_prepare(void)
{
    fork_rc = pthread_atfork(lock, unlock, unlock);
}

static bool is_ours(const struct sigaction *action)
{
    return (action->sa_flags & SA_SIGINFO) && action->sa_sigaction == on_signal;
}

static bool same_action(const struct sigaction *a, const struct sigaction *b)
{
    if (a->sa_flags != b->sa_flags)
        return false;
    if (a->sa_flags & SA_SIGINFO ? a->sa_sigaction != b->sa_sigaction
                                 : a->sa_handler != b->sa_handler)
        return false;
    return memcmp(&a->sa_mask, &b->sa_mask, sizeof(a->sa_mask)) == 0;
}

/* The record of this action. */
static struct found *keep(const struct sigaction *action)
{
    struct found *found = founds;

    while (found && !same_action(&found->action, action))
        found = found->next;
    if (found)
        return found;
    found = calloc(1, sizeof(*found));
    if (!found)
        return NULL;
    found->action = *action;
    found->next = founds;
    founds = found;
    return found;
}

/* Interrupted calls go on as with the handler that we stand in for. The alternative stack is used by
 * threads that have one: some have no other for handlers. */
static int put_on_top(const struct sigaction *there)
{
    struct sigaction ours;
    int restart = SA_RESTART;

    if ((there->sa_flags & SA_SIGINFO) || there->sa_handler != SIG_DFL)
        restart = there->sa_flags & SA_RESTART;
    memset(&ours, 0, sizeof(ours));
    (void)sigemptyset(&ours.sa_mask);
    ours.sa_flags = SA_SIGINFO | SA_ONSTACK | restart;
    ours.sa_sigaction = on_signal;
    return kvi_os->catch_signal(SIGBUS, &ours, NULL);
}

/* With the mutex: the handler in force is ours. */
static int install(void)
{
    struct sigaction there;
    struct found *found;
    int rc = kvi_os->catch_signal(SIGBUS, NULL, &there);

    if (rc || is_ours(&there))
        return rc;
    found = keep(&there);
    if (!found)
        return ENOMEM;
    if (!planted || found == atomic_load(&found_first))
        atomic_store(&found_first, found);
    atomic_store(&found_above, found);
    rc = put_on_top(&there);
    planted |= !rc;
    return rc;
}

/* One who replaced us once may pass on to us for ever: that is for who was there first. */
static void uninstall(void)
{
    struct found *above = atomic_load(&found_above);
    struct found *first = atomic_load(&found_first);
    struct sigaction now;

    if (kvi_os->catch_signal(SIGBUS, NULL, &now) || !is_ours(&now))
        return;
    if (kvi_os->catch_signal(SIGBUS, &above->action, NULL))
        return;
    planted = above != first && above != &by_default;
    if (planted)
        atomic_store(&found_above, first);
}

int kvi_guard_enter(void)
{
    int rc;

    (void)pthread_once(&fork_once, fork_prepare);
    if (fork_rc)
        return fork_rc;
    lock();
    rc = install();
    users += !rc;
    unlock();
    return rc;
}

void kvi_guard_leave(void)
{
    lock();
    if (--users == 0)
        uninstall();
    unlock();
}

/* ---- Areas ---- */

/* A free slot, in a new block if need be. */
static struct kvi_guard_slot *find_free(void)
{
    struct block *block = &first_block;

    for (;;) {
        struct block *next;

        for (unsigned i = 0; i < BLOCK_SLOTS; i++)
            if (!atomic_load_explicit(&block->slots[i].mark, memory_order_relaxed))
                return &block->slots[i];
        next = atomic_load_explicit(&block->next, memory_order_relaxed);
        if (!next) {
            next = calloc(1, sizeof(*next));
            if (!next)
                return NULL;
            atomic_store_explicit(&block->next, next, memory_order_release);
        }
        block = next;
    }
}

/* Each store is a release, so that none is seen before the odd version. */
static void slot_write(struct kvi_guard_slot *slot, struct kvi_guard_mark *mark,
                       const struct kvi_guard_area *area)
{
    uint64_t version = atomic_load_explicit(&slot->version, memory_order_relaxed);

    atomic_store_explicit(&slot->version, version + 1, memory_order_relaxed);
    atomic_store_explicit(&slot->mark, mark, memory_order_release);
    atomic_store_explicit(&slot->base, (uintptr_t)area->base, memory_order_release);
    atomic_store_explicit(&slot->size_bytes, area->size_bytes, memory_order_release);
    atomic_store_explicit(&slot->unit_bytes, area->unit_bytes, memory_order_release);
    atomic_store_explicit(&slot->kind, area->kind, memory_order_release);
    atomic_store_explicit(&slot->writable, area->writable, memory_order_release);
    atomic_store_explicit(&slot->left_by_fork, area->left_by_fork, memory_order_release);
    atomic_store_explicit(&slot->known, (uintptr_t)area->known, memory_order_release);
    atomic_store_explicit(&slot->known_bytes, area->known_bytes, memory_order_release);
    atomic_store_explicit(&slot->version, version + 2, memory_order_release);
}

int kvi_guard_add(struct kvi_guard_mark *mark, const struct kvi_guard_area *area,
                  struct kvi_guard_slot **slot_out)
{
    struct kvi_guard_slot *slot;

    *slot_out = NULL;
    lock();
    slot = find_free();
    if (slot)
        slot_write(slot, mark, area);
    unlock();
    *slot_out = slot;
    return slot ? 0 : ENOMEM;
}

void kvi_guard_remove(struct kvi_guard_slot *slot)
{
    static const struct kvi_guard_area none;

    if (!slot)
        return;
    lock();
    slot_write(slot, NULL, &none);
    unlock();
}
