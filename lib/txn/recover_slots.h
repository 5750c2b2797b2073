/* SPDX-License-Identifier: MIT */
/*
 * The two meta slots as bytes of the file: read, judged, chosen between, written. Private to
 * recovery and durable points.
 *
 * Knows no lock and no shared state; who calls decides whether a slot may be written
 * (docs/DURABILITY.md D3).
 */
#ifndef KVI_TXN_RECOVER_SLOTS_H
#define KVI_TXN_RECOVER_SLOTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "format/meta.h"
#include "txn/env.h"

struct kvi_slots {
    enum kvi_meta_state state[2];
    struct kvi_meta meta[2]; /* valid where state is KVI_META_OK */
    uint8_t bytes[2][KVI_META_BYTES];
};

/* Reads both. At least one is KVI_META_OK, and if both are, they belong to the same database: else
 * KV_ENOTDB, KV_EVERSION, KV_ECORRUPT (step R1). */
KVI_MUST_CHECK int kvi_slots_read(int fd, const char *path, struct kvi_slots *slots_out);

/* Which slot is the newest, and whether its snapshot must be walked against the other one's before
 * it is believed. KV_ECORRUPT: two snapshots with one txnid. Pure. */
struct kvi_slots_choice {
    unsigned slot;
    bool walk;
};
KVI_MUST_CHECK int kvi_slots_choose(const struct kvi_slots *slots, const char *path,
                                    struct kvi_slots_choice *choice_out);

/* The word of the snapshot that a slot names; 0: none. */
uint64_t kvi_slots_word(const struct kvi_slots *slots, unsigned slot);

/* Both slots name one snapshot. */
bool kvi_slots_same(const struct kvi_slots *slots);

/* Same, and left so by a close rather than by a recovery. */
bool kvi_slots_clean(const struct kvi_slots *slots);

/* Writes `meta` (its checksum is set); and the bytes that a slot had when it was read. Not flushed.
 */
KVI_MUST_CHECK int kvi_slot_write(struct kv_env *env, unsigned slot, struct kvi_meta *meta);
KVI_MUST_CHECK int kvi_slot_rewrite(struct kv_env *env, const struct kvi_slots *slots,
                                    unsigned slot);

/* Flushes the data file; nothing to do for memory databases. */
KVI_MUST_CHECK int kvi_data_flush(struct kv_env *env);

/* Records in the shared state what a slot is known to hold from now on. */
void kvi_slot_publish(struct kv_env *env, unsigned slot, uint64_t word,
                      const struct kvi_meta *meta);

#endif
