/* SPDX-License-Identifier: MIT */
/*
 * Owns process slots: taking one, and telling whether an owner lives.
 *
 * An owner word is (incarnation, slot). It lives as long as the slot's byte is locked and the slot
 * still has that incarnation. The byte is locked for writing, through an open file description that
 * only a mapping keeps; whoever asks, asks as a reader (docs/LOCKFILE.md, L1 and L2). Incarnations
 * only grow and begin at a random number, so that a word left in some slot never names a later
 * owner.
 *
 * Taking a slot needs the opening lock; the questions may be asked by any thread at any time.
 */
#include "txn/lockfile_impl.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>

#include "base/error.h"
#include "kv.h"

static uint64_t slot_of(uint64_t owner)
{
    return (owner & (((uint64_t)1 << KVI_OWNER_SLOT_BITS) - 1)) - 1;
}

static uint64_t owner_of(uint64_t slot, uint64_t incarnation)
{
    return incarnation << KVI_OWNER_SLOT_BITS | (slot + 1);
}

static uint64_t slots_now(struct kvi_lockfile *lockfile)
{
    return kvi_table_chunks(lockfile) * KVI_CHUNK_PROCESSES;
}

/* Whether somebody else's write lock stands on any of these bytes. */
static int range_locked(struct kvi_lockfile *lockfile, uint64_t first, uint64_t end,
                        bool *locked_out)
{
    int rc;

    *locked_out = false;
    if (first >= end)
        return 0;
    rc = kvi_os->lock_probe(lockfile->lock.fd, KVI_OS_LOCK_READ, KVI_LOCK_PROCESS + first,
                            end - first, locked_out);
    return rc ? kvi_error(rc, "%s: %s", lockfile->lock.path, kvi_strerror(rc)) : 0;
}

int kvi_process_others(struct kvi_lockfile *lockfile, bool *others_out)
{
    int rc;

    if (!lockfile->self)
        return range_locked(lockfile, 0, KVI_LOCK_PROCESSES, others_out);
    rc = range_locked(lockfile, 0, slot_of(lockfile->self), others_out);
    if (rc || *others_out)
        return rc;
    return range_locked(lockfile, slot_of(lockfile->self) + 1, KVI_LOCK_PROCESSES, others_out);
}

int kvi_process_exclusive(struct kvi_lockfile *lockfile, bool *exclusive_out)
{
    uint64_t end = slots_now(lockfile);
    int rc = 0;

    *exclusive_out = false;
    for (uint64_t i = 0; i < end && !rc && !*exclusive_out; i++) {
        struct kvi_process_slot *slot = kvi_table_process(lockfile, i);

        if (atomic_load_explicit(&slot->flags, memory_order_relaxed) & KVI_PROCESS_EXCLUSIVE)
            rc = range_locked(lockfile, i, i + 1, exclusive_out);
    }
    return rc;
}

/* ---- Taking a slot ---- */

/* Locks the byte of the first slot that nobody has. */
static int lock_slot(struct kvi_lockfile *lockfile, int fd, uint64_t *slot_out)
{
    for (uint64_t i = 0;; i++) {
        int rc;

        if (i == slots_now(lockfile)) {
            rc = kvi_table_grow(lockfile, kvi_table_chunks(lockfile));
            if (rc)
                return rc == KV_EREADERS ? kvi_error(KV_EBUSY, "%s: no room for more processes",
                                                     lockfile->lock.path)
                                         : rc;
        }
        rc = kvi_os->lock(fd, KVI_OS_LOCK_WRITE, KVI_LOCK_PROCESS + i, 1);
        if (!rc)
            *slot_out = i;
        if (rc != EAGAIN)
            return rc ? kvi_error(rc, "%s: %s", lockfile->lock.path, kvi_strerror(rc)) : 0;
    }
}

static int next_incarnation(uint64_t last, uint64_t *incarnation_out)
{
    uint64_t next = (last + 1) & KVI_INCARNATION_MAX;
    int rc = 0;

    if (last == 0) {
        rc = kvi_os->random(&next, sizeof(next));
        next &= KVI_INCARNATION_MAX >> 1;
    }
    *incarnation_out = next ? next : 1;
    return rc;
}

/* The incarnation comes last: before it stands there, words of the slot's last owner are dead or
 * will be. */
static int occupy_slot(struct kvi_lockfile *lockfile, uint64_t index)
{
    struct kvi_process_slot *slot = kvi_table_process(lockfile, index);
    uint64_t incarnation;
    int rc = next_incarnation(atomic_load_explicit(&slot->incarnation, memory_order_relaxed),
                              &incarnation);

    if (rc)
        return rc;
    atomic_store_explicit(&slot->flags, lockfile->exclusive ? KVI_PROCESS_EXCLUSIVE : 0,
                          memory_order_relaxed);
    atomic_store_explicit(&slot->pid, lockfile->pid, memory_order_relaxed);
    atomic_store_explicit(&slot->incarnation, incarnation, memory_order_release);
    lockfile->self = owner_of(index, incarnation);
    assert(slot_of(lockfile->self) == index);
    return 0;
}

int kvi_process_enter(struct kvi_lockfile *lockfile)
{
    uint64_t index = 0;
    int fd = -1;
    int rc;

    if (lockfile->without_file)
        return occupy_slot(lockfile, 0);
    kvi_fork_enter();
    rc = kvi_fork_reopen(&lockfile->lock, O_RDWR, &fd);
    if (!rc) {
        rc = lock_slot(lockfile, fd, &index);
        if (rc)
            (void)kvi_os->close(fd);
        else
            rc = kvi_fork_hold(fd, &lockfile->process_hold);
    }
    kvi_fork_leave();
    return rc ? rc : occupy_slot(lockfile, index);
}

/* ---- Who lives ---- */

uint64_t kvi_lockfile_self(const struct kvi_lockfile *lockfile)
{
    return lockfile->self;
}

/* The byte is asked first: an owner that ends after that is one that lived when it was asked about.
 * An answer that cannot be had counts as life, the safe side: its pins stay. */
bool kvi_lockfile_alive(struct kvi_lockfile *lockfile, uint64_t owner)
{
    uint64_t index = slot_of(owner);
    bool locked = false;

    if (owner == lockfile->self)
        return true;
    if (lockfile->without_file || owner == 0)
        return false;
    if (index >= slots_now(lockfile) && kvi_table_refresh(lockfile))
        return true;
    if (index >= slots_now(lockfile))
        return false;
    if (range_locked(lockfile, index, index + 1, &locked))
        return true;
    return locked &&
           owner_of(index, atomic_load_explicit(&kvi_table_process(lockfile, index)->incarnation,
                                                memory_order_acquire)) == owner;
}

uint64_t kvi_lockfile_users(struct kvi_lockfile *lockfile)
{
    uint64_t users = 1;

    if (lockfile->without_file || kvi_table_refresh(lockfile))
        return users;
    for (uint64_t i = 0, end = slots_now(lockfile); i < end; i++) {
        bool locked = false;

        if (i == slot_of(lockfile->self) ||
            !atomic_load_explicit(&kvi_table_process(lockfile, i)->incarnation,
                                  memory_order_relaxed))
            continue;
        if (!range_locked(lockfile, i, i + 1, &locked) && locked)
            users++;
    }
    return users;
}
