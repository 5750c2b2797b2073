/* SPDX-License-Identifier: MIT */
/*
 * Owns what read txns do all day: claim a slot that the thread remembers, pin, unpin, release; and
 * the scan that tells the writer what is pinned. Finding, clearing and growing: readers_find.c.
 *
 * A slot is a cache line: the pinned snapshot's word, its owner. Rules R1 and R2 and what a death
 * at each step leaves stand in docs/LOCKFILE.md section 5.
 *
 * Each thread remembers a few slots that it released, by the number of their lock file, never by a
 * pointer to it. What it remembers is a guess: the slot is taken by compare-and-swap from "idle,
 * ours".
 */
#include "txn/lockfile_impl.h"

#include <assert.h>
#include <errno.h>

#include "base/error.h"
#include "kv.h"

#define REMEMBERED_FILES 4u /* lock files a thread remembers slots of */
#define REMEMBERED_SLOTS 7u /* of each: with count and id one or two cache lines */
#define PIN_TRIES                                                                                  \
    1000000u          /* a pin loses only to a commit; so many in a row are nonsense in the file */
#define SCAN_TRIES 8u /* a slot that changes so often while one looks is used by the living */

struct remembered {
    uint64_t id; /* of the lock file; 0: none */
    uint32_t count;
    struct kvi_reader_slot *slots[REMEMBERED_SLOTS];
};

static _Thread_local struct remembered remembered_slots[REMEMBERED_FILES];

static inline struct remembered *remembered_of(const struct kvi_lockfile *lockfile)
{
    struct remembered *r = &remembered_slots[lockfile->id % REMEMBERED_FILES];

    if (r->id != lockfile->id) {
        r->id = lockfile->id;
        r->count = 0;
    }
    return r;
}

/* ---- Claim and release ---- */

static struct kvi_reader_slot *take_remembered(struct kvi_lockfile *lockfile)
{
    struct remembered *r = remembered_of(lockfile);

    while (r->count) {
        struct kvi_reader_slot *slot = r->slots[--r->count];
        uint64_t idle = lockfile->self << 2 | KVI_READER_IDLE;

        if (atomic_compare_exchange_strong_explicit(&slot->owner, &idle,
                                                    lockfile->self << 2 | KVI_READER_BUSY,
                                                    memory_order_acq_rel, memory_order_relaxed))
            return slot;
    }
    return NULL;
}

int kvi_reader_claim(struct kvi_lockfile *lockfile, struct kvi_reader_slot **slot_out)
{
    *slot_out = take_remembered(lockfile);
    return KVI_LIKELY(*slot_out != NULL) ? 0 : kvi_readers_find(lockfile, slot_out);
}

/* A slot that is not ours any more, because somebody scribbled, is left alone; so is the parent's
 * in a child. */
void kvi_reader_release(struct kvi_lockfile *lockfile, struct kvi_reader_slot *slot)
{
    uint64_t busy = lockfile->self << 2 | KVI_READER_BUSY;
    struct remembered *r;

    if (kvi_lockfile_forked(lockfile) && !lockfile->without_file)
        return;
    if (atomic_load_explicit(&slot->owner, memory_order_relaxed) != busy)
        return;
    atomic_store_explicit(&slot->word, 0, memory_order_release);
    atomic_store_explicit(&slot->owner, lockfile->self << 2 | KVI_READER_IDLE,
                          memory_order_release);
    r = remembered_of(lockfile);
    if (r->count < REMEMBERED_SLOTS)
        r->slots[r->count++] = slot;
}

/* ---- Pin ---- */

static inline bool pin_stands(struct kvi_lockfile *lockfile, struct kvi_reader_slot *slot,
                              uint64_t word)
{
    atomic_store_explicit(&slot->word, word, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);
    return atomic_load_explicit(&lockfile->head->shared.visible, memory_order_acquire) == word;
}

static inline void stamp(struct kvi_reader_slot *slot)
{
    atomic_store_explicit(&slot->begin_ns, kvi_os->monotonic_ns(), memory_order_relaxed);
    atomic_store_explicit(&slot->thread, (uint64_t)pthread_self(), memory_order_relaxed);
}

uint64_t kvi_reader_pin(struct kvi_lockfile *lockfile, struct kvi_reader_slot *slot)
{
    kvi_atomic_word *visible = &lockfile->head->shared.visible;

    stamp(slot);
    for (unsigned i = 0; i < PIN_TRIES; i++) {
        uint64_t word = atomic_load_explicit(visible, memory_order_acquire);

        if (KVI_LIKELY(pin_stands(lockfile, slot, word)))
            return word;
    }
    kvi_reader_unpin(slot);
    return 0;
}

/* Release: whatever was read from the snapshot was read before. */
void kvi_reader_unpin(struct kvi_reader_slot *slot)
{
    atomic_store_explicit(&slot->word, 0, memory_order_release);
}

/* ---- Scan ---- */

/* What the slot pins: word 0 if nothing. The owner is read after the word, so that a dead owner
 * proves that the word is no living one's. */
static void look_at_slot(struct kvi_lockfile *lockfile, struct kvi_alive_memo *memo,
                         struct kvi_reader_slot *slot, bool clear_dead,
                         struct kvi_reader_info *info)
{
    for (unsigned i = 0; i < SCAN_TRIES; i++) {
        uint64_t owner;

        info->word = atomic_load_explicit(&slot->word, memory_order_acquire);
        if (info->word == 0)
            return;
        owner = atomic_load_explicit(&slot->owner, memory_order_acquire);
        info->owner = owner >> 2;
        info->alive = kvi_readers_alive(lockfile, memo, info->owner);
        if (info->alive || !clear_dead)
            return;
        if (kvi_readers_clear(lockfile, slot, owner, false) == 0) {
            info->word = 0;
            return;
        }
    }
    info->alive = true; /* it changed each time */
}

static void describe_slot(struct kvi_reader_slot *slot, struct kvi_reader_info *info)
{
    info->pid = (int64_t)atomic_load_explicit(&slot->pid, memory_order_relaxed);
    info->thread = atomic_load_explicit(&slot->thread, memory_order_relaxed);
    info->begin_ns = atomic_load_explicit(&slot->begin_ns, memory_order_relaxed);
}

/* A file that is shorter than it was is damage: slots may stand where we can't look. */
int kvi_reader_scan(struct kvi_lockfile *lockfile, bool clear_dead, kvi_reader_fn *fn,
                    void *context)
{
    struct kvi_alive_memo memo = {{0}, {0}};
    int rc = kvi_table_refresh(lockfile);
    uint64_t end = kvi_table_chunks(lockfile) * KVI_CHUNK_READERS;

    for (uint64_t i = 0; i < end && !rc; i++) {
        struct kvi_reader_slot *slot = kvi_table_reader(lockfile, i);
        struct kvi_reader_info info = {0};

        if (KVI_LIKELY(atomic_load_explicit(&slot->word, memory_order_acquire) == 0))
            continue;
        look_at_slot(lockfile, &memo, slot, clear_dead, &info);
        if (info.word == 0)
            continue;
        describe_slot(slot, &info);
        rc = fn(context, &info);
    }
    return rc;
}

/* ---- List and clear ---- */

/* Whether the slot is a read txn's: pins something, or is busy. Word before owner, as above. */
static bool slot_used(struct kvi_reader_slot *slot, uint64_t *word_out, uint64_t *owner_out)
{
    *word_out = atomic_load_explicit(&slot->word, memory_order_acquire);
    *owner_out = atomic_load_explicit(&slot->owner, memory_order_acquire);
    return *word_out != 0 || (*owner_out & 3) == KVI_READER_BUSY;
}

int kvi_reader_list(struct kvi_lockfile *lockfile, kvi_reader_fn *fn, void *context)
{
    struct kvi_alive_memo memo = {{0}, {0}};
    int rc = kvi_table_refresh(lockfile);
    uint64_t end = kvi_table_chunks(lockfile) * KVI_CHUNK_READERS;

    for (uint64_t i = 0; i < end && !rc; i++) {
        struct kvi_reader_slot *slot = kvi_table_reader(lockfile, i);
        struct kvi_reader_info info = {0};
        uint64_t owner;

        if (!slot_used(slot, &info.word, &owner))
            continue;
        info.owner = owner >> 2;
        info.alive = kvi_readers_alive(lockfile, &memo, info.owner);
        describe_slot(slot, &info);
        rc = fn(context, &info);
    }
    return rc;
}

int kvi_reader_clear_dead(struct kvi_lockfile *lockfile, uint64_t *cleared_out)
{
    struct kvi_alive_memo memo = {{0}, {0}};
    int rc = kvi_table_refresh(lockfile);
    uint64_t end = kvi_table_chunks(lockfile) * KVI_CHUNK_READERS;

    for (uint64_t i = 0; i < end && !rc; i++) {
        struct kvi_reader_slot *slot = kvi_table_reader(lockfile, i);
        uint64_t word;
        uint64_t owner;

        (void)slot_used(slot, &word, &owner);
        if ((owner == 0 && word == 0) || kvi_readers_alive(lockfile, &memo, owner >> 2))
            continue;
        if (kvi_readers_clear(lockfile, slot, owner, false))
            continue; /* another was faster, and counted it */
    }
    *cleared_out = atomic_exchange(&lockfile->head->shared.readers_cleared, 0);
    return rc;
}
