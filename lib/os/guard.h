/* SPDX-License-Identifier: MIT */
/*
 * The SIGBUS guard: pages of our mappings that cannot be had become zeros and a mark, not the end of
 * the process. Events, invariants and what is promised: docs/GUARD.md.
 *
 *     fault at an address --> in a guarded area? yes: raise the mark, put zeros there, go on
 *                                                no:  what was there before us gets the signal
 *
 * Refuses: to know what an area holds; whoever looks at the mark does. A mark only rises, and it
 * rises before the zeros can be seen (G1), so that one who read zeros and then looks finds it
 * raised.
 *
 * Any thread may call these, but not in a signal handler. A mark must live as long as its areas.
 */
#ifndef KVI_OS_GUARD_H
#define KVI_OS_GUARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"

enum kvi_guard_kind { KVI_GUARD_DATA, KVI_GUARD_LOCK };

/* What the handler tells of one env. */
struct kvi_guard_mark {
    _Atomic(uint64_t) faults;      /* pages that could not be had, and made zeros */
    _Atomic(uint64_t) faults_lock; /* of these, in areas of kind KVI_GUARD_LOCK */
    _Atomic(uint64_t) page;        /* the last of the others: its number in its area */
    /* A word that rises with `faults` unless it is 0: one that hot paths look at anyway. NULL: none.
     */
    _Atomic(_Atomic(uint64_t) *) word;
};

struct kvi_guard_area {
    void *base;
    uint64_t size_bytes;
    uint32_t unit_bytes; /* what is made zeros at once: a power of two, base a multiple of pages */
    enum kvi_guard_kind kind;
    bool writable;
    bool left_by_fork; /* children of fork do not have the mapping: not theirs while *word is 0 */
    /* Anonymous memory that says what was found out about the area: all zeros after a fault there.
     * NULL: none. */
    void *known;
    uint64_t known_bytes;
};

struct kvi_guard_slot; /* an area that is guarded */

/* The first enter puts the handler in its place, the last leave takes it away if it is still there.
 * ENOMEM. */
KVI_MUST_CHECK int kvi_guard_enter(void);
void kvi_guard_leave(void);

/* Between enter and leave; mapped before and unmapped after. ENOMEM; NULL is allowed. */
KVI_MUST_CHECK int kvi_guard_add(struct kvi_guard_mark *mark, const struct kvi_guard_area *area,
                                 struct kvi_guard_slot **slot_out);
void kvi_guard_remove(struct kvi_guard_slot *slot);

/* How many pages could not be had, of all that was loaded before the call (G1). NULL: no guard. */
static inline uint64_t kvi_guard_faults(const struct kvi_guard_mark *mark)
{
    if (!mark)
        return 0;
    atomic_thread_fence(memory_order_acquire);
    return atomic_load_explicit(&mark->faults, memory_order_relaxed);
}

#endif
