/* SPDX-License-Identifier: MIT */
/*
 * What recovery, poison and durable points share with each other; nobody else includes this.
 *
 *   recover_slots.c   the meta slots as bytes
 *   walk.c            is a snapshot whole
 *   recover.c         choose, make true, set the shared state
 *   recover_poison.c  takeover of a dead flusher's announcement, end of poison
 *   durable.c         durable points, the last close
 */
#ifndef KVI_TXN_RECOVER_H
#define KVI_TXN_RECOVER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "txn/durable.h"
#include "txn/recover_slots.h"

/* shared.poison */
#define KVI_POISON_FLUSH                                                                           \
    1u /* a flush failed: back to the durable snapshot before the next write  \
                             */
#define KVI_POISON_PENDING                                                                         \
    2u /* recovery chose, but could not write: to be finished before that   \
                               */

/* The generation of a txnid, and the id from which those of the next generation count on. The last
 * generation is not left: after 65535 unclean opens ids only count. */
#define KVI_TXNID_GENERATION_SHIFT 48
uint64_t kvi_txnid_raise(uint64_t txnid);

/* Steps R1 to R7. */
enum kvi_recover_how {
    KVI_RECOVER_FIRST,   /* the first living user, alone */
    KVI_RECOVER_PENDING, /* a writer with both locks: finishes what a first user could not write */
    KVI_RECOVER_LOOK     /* without locks: somebody else has committed; nothing is written */
};
KVI_MUST_CHECK int kvi_recover_run(struct kv_env *env, enum kvi_recover_how how, bool trust_shared);

/* Section 6. An announcement stands; writer and flush lock held. KV_EUNKNOWN: poisoned now. */
KVI_MUST_CHECK int kvi_takeover(struct kv_env *env);

/* D8: sets poison, and returns KV_EUNKNOWN with a text that goes on with the last error's. */
KVI_MUST_CHECK int kvi_poison_set(struct kv_env *env);

/* The slot that holds `word` according to the shared state, 0 or 1; KV_ECORRUPT: none does. */
KVI_MUST_CHECK int kvi_slot_of(struct kv_env *env, uint64_t word, unsigned *slot_out);

/* Reads the slots and gives the meta of slot `slot`, which must hold `word`. */
KVI_MUST_CHECK int kvi_slot_expect(struct kv_env *env, unsigned slot, uint64_t word,
                                   struct kvi_meta *meta_out);

/* Stores visible = word unless it is newer already. `txnid` is word's. */
void kvi_visible_advance(struct kv_env *env, uint64_t word, uint64_t txnid);

/* announced = 0 and then announcement = 0 (D9). */
void kvi_announcement_clear(struct kv_env *env);

#endif
