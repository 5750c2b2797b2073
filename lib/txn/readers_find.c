/* SPDX-License-Identifier: MIT */
/*
 * Owns the rare half of reader slots: finding one when the thread remembers none, clearing what the
 * dead left, giving all back at close.
 *
 * A search goes through ever dearer ways: a lap for slots that are free or our own idle ones; a lap
 * that asks which owners live and takes over from the dead; growing the tables; and, where that is
 * not allowed or fails, a lap that takes other envs' idle slots. Each step is a compare-and-swap of
 * the whole owner word from what was seen (docs/LOCKFILE.md, R1), so no lock is needed, and a death
 * in between leaves a slot that is cleared later.
 *
 * Any thread may call these.
 */
#include "txn/lockfile_impl.h"

#include <assert.h>
#include <errno.h>

#include "base/error.h"
#include "kv.h"

static inline uint64_t owner_state(const struct kvi_lockfile *lockfile, enum kvi_reader_state state)
{
    return lockfile->self << 2 | (uint64_t)state;
}

static bool swap_owner(struct kvi_reader_slot *slot, uint64_t from, uint64_t to)
{
    return atomic_compare_exchange_strong_explicit(&slot->owner, &from, to, memory_order_acq_rel,
                                                   memory_order_relaxed);
}

/* ---- The dead ---- */

bool kvi_readers_alive(struct kvi_lockfile *lockfile, struct kvi_alive_memo *memo, uint64_t owner)
{
    size_t i = (owner ^ owner >> KVI_OWNER_SLOT_BITS) % 8;

    if (owner == lockfile->self)
        return true;
    if (memo->owner[i] != owner) {
        memo->alive[i] = kvi_lockfile_alive(lockfile, owner);
        memo->owner[i] = owner;
    }
    return memo->alive[i];
}

int kvi_readers_clear(struct kvi_lockfile *lockfile, struct kvi_reader_slot *slot, uint64_t owner,
                      bool take)
{
    if (!swap_owner(slot, owner, owner_state(lockfile, KVI_READER_CLEARING)))
        return EAGAIN;
    if ((owner & 3) == KVI_READER_BUSY && owner >> 2 != lockfile->self)
        atomic_fetch_add_explicit(&lockfile->head->shared.readers_cleared, 1, memory_order_relaxed);
    atomic_store_explicit(&slot->word, 0, memory_order_release);
    atomic_store_explicit(&slot->owner, take ? owner_state(lockfile, KVI_READER_BUSY) : 0,
                          memory_order_release);
    return 0;
}

/* ---- One slot, each way ---- */

typedef bool try_fn(struct kvi_lockfile *lockfile, struct kvi_alive_memo *memo,
                    struct kvi_reader_slot *slot, uint64_t owner);

static bool try_free(struct kvi_lockfile *lockfile, struct kvi_alive_memo *memo,
                     struct kvi_reader_slot *slot, uint64_t owner)
{
    (void)memo;
    if (owner == owner_state(lockfile, KVI_READER_IDLE))
        return swap_owner(slot, owner, owner_state(lockfile, KVI_READER_BUSY));
    /* A word without an owner is nonsense; it goes the long way, so that it is never taken for our
     * pin. */
    return owner == 0 && kvi_readers_clear(lockfile, slot, owner, true) == 0;
}

static bool try_dead(struct kvi_lockfile *lockfile, struct kvi_alive_memo *memo,
                     struct kvi_reader_slot *slot, uint64_t owner)
{
    return owner >> 2 != lockfile->self && !kvi_readers_alive(lockfile, memo, owner >> 2) &&
           kvi_readers_clear(lockfile, slot, owner, true) == 0;
}

static bool try_idle(struct kvi_lockfile *lockfile, struct kvi_alive_memo *memo,
                     struct kvi_reader_slot *slot, uint64_t owner)
{
    (void)memo;
    return (owner & 3) == KVI_READER_IDLE &&
           swap_owner(slot, owner, owner_state(lockfile, KVI_READER_BUSY));
}

/* ---- Search ---- */

/* Slots that this env may use now. */
static uint64_t slots_allowed(struct kvi_lockfile *lockfile)
{
    uint64_t slots = kvi_table_chunks(lockfile) * KVI_CHUNK_READERS;

    return lockfile->max_readers && lockfile->max_readers < slots ? lockfile->max_readers : slots;
}

/* One lap over all slots from where the last search ended. */
static struct kvi_reader_slot *search_lap(struct kvi_lockfile *lockfile, try_fn *try)
{
    struct kvi_alive_memo memo = {{0}, {0}};
    uint64_t slots = slots_allowed(lockfile);
    uint64_t at = atomic_load_explicit(&lockfile->search, memory_order_relaxed);

    if (at >= slots)
        at = 0;
    for (uint64_t i = 0; i < slots; i++) {
        struct kvi_reader_slot *slot = kvi_table_reader(lockfile, at);
        uint64_t owner = atomic_load_explicit(&slot->owner, memory_order_acquire);

        at = at + 1 < slots ? at + 1 : 0;
        if (try(lockfile, &memo, slot, owner)) {
            atomic_store_explicit(&lockfile->search, at, memory_order_relaxed);
            return slot;
        }
    }
    return NULL;
}

static bool at_limit(struct kvi_lockfile *lockfile)
{
    return lockfile->max_readers && slots_allowed(lockfile) == lockfile->max_readers;
}

/* The tables are full as far as this process knows: the dead first, then more room. EAGAIN: search
 * again. */
static int search_further(struct kvi_lockfile *lockfile, struct kvi_reader_slot **slot_out)
{
    uint64_t chunks = kvi_table_chunks(lockfile);
    int rc;

    *slot_out = search_lap(lockfile, try_dead);
    if (*slot_out)
        return 0;
    rc = at_limit(lockfile) ? KV_EREADERS : kvi_table_grow(lockfile, chunks);
    if (rc == 0)
        return EAGAIN;
    *slot_out = search_lap(lockfile, try_idle);
    if (*slot_out)
        return 0;
    if (at_limit(lockfile))
        return kvi_error(KV_EREADERS, "%s: all %u readers allowed are at work", lockfile->data.path,
                         lockfile->max_readers);
    return rc;
}

/* Each round that finds nothing has grown the tables, so the rounds end. */
int kvi_readers_find(struct kvi_lockfile *lockfile, struct kvi_reader_slot **slot_out)
{
    struct kvi_reader_slot *slot = NULL;
    int rc;

    *slot_out = NULL;
    do {
        slot = search_lap(lockfile, try_free);
        rc = slot ? 0 : search_further(lockfile, &slot);
    } while (rc == EAGAIN);
    if (rc)
        return rc;
    assert(atomic_load(&slot->owner) == owner_state(lockfile, KVI_READER_BUSY));
    atomic_store_explicit(&slot->pid, lockfile->pid, memory_order_relaxed);
    *slot_out = slot;
    return 0;
}

void kvi_readers_free(struct kvi_lockfile *lockfile)
{
    uint64_t end = kvi_table_chunks(lockfile) * KVI_CHUNK_READERS;

    for (uint64_t i = 0; i < end; i++) {
        struct kvi_reader_slot *slot = kvi_table_reader(lockfile, i);
        uint64_t owner = atomic_load_explicit(&slot->owner, memory_order_acquire);

        if (owner >> 2 == lockfile->self && kvi_readers_clear(lockfile, slot, owner, false))
            continue; /* another env took it, since it was idle */
    }
}
