/* SPDX-License-Identifier: MIT */
/*
 * Durability: making a database, the live set, durable points, recovery. The protocol and its
 * numbered steps are in docs/DURABILITY.md; each step's number stands at its line of code.
 */
#ifndef KVI_TXN_DURABLE_H
#define KVI_TXN_DURABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "txn/env.h"

/* ---- create.c ---- */

/* What a new database's only snapshot keeps: kv_limit_set, kv_marker_set. */
struct kvi_create_first {
    uint64_t limit_bytes;
    const uint8_t *marker; /* KV_MARKER_BYTES; NULL: zeros */
};

/* Makes a new database of this geometry whole under a temporary name beside `path`, flushed,
 * publishes it with link, flushes the directory. EEXIST: somebody else's stands there (open that).
 * Nothing is left behind. */
KVI_MUST_CHECK int kvi_create_file(const char *path, const struct kvi_geometry *g,
                                   const struct kvi_create_first *first, uint32_t mode);

/* Writes a new database into an empty descriptor (memfd, temporary file); not flushed. */
KVI_MUST_CHECK int kvi_create_into(int fd, const char *path, const struct kvi_geometry *g,
                                   const struct kvi_create_first *first);

/* All bytes of a new database, allocated: the caller frees. */
KVI_MUST_CHECK int kvi_create_image(const struct kvi_geometry *g,
                                    const struct kvi_create_first *first, uint8_t **image_out,
                                    uint64_t *bytes_out);

/* ---- fill.c ---- */

/* Makes a database of a file that is empty, or was left unfinished by one who did this; leaves all
 * others alone. Flushed. The descriptor's own lock keeps others that do the same away meanwhile:
 * KV_EBUSY when it is not to be had. */
KVI_MUST_CHECK int kvi_create_fill(int fd, const char *path, const struct kvi_geometry *g,
                                   const struct kvi_create_first *first);

/* ---- recover.c ---- */

/* Reads both meta slots and tells what kind of file this is, before anything is mapped: page size
 * and file id of a plausible slot. KV_ENOTDB, KV_EVERSION, KV_ECORRUPT (both torn; shorter than its
 * metas). */
KVI_MUST_CHECK int kvi_recover_peek(int fd, const char *path, uint32_t *page_size_out,
                                    uint8_t file_id_out[16]);

/* Recovery: for the first user (or the one who ends poison, holding both locks). Chooses the
 * snapshot (slots, and if boot_same the lock file's newest committed as a third candidate), makes
 * it true unless the env may not write, sets every field of env->shared. A clean, sealed file costs
 * two reads and no write. */
KVI_MUST_CHECK int kvi_recover(struct kv_env *env, bool boot_same);

/* For KV_NOLOCK envs, at each txn begin: takes the newest sealed or whole snapshot from the slots
 * into env->shared when they changed. Writes nothing. */
KVI_MUST_CHECK int kvi_recover_refresh(struct kv_env *env);

/* ---- live.c ---- */

struct kvi_live {
    struct kvi_snapshot *snapshots; /* distinct words */
    size_t count;
    uint64_t page_end_max; /* largest page_end: the file may be cut to here */
};

/* The live snapshots (DESIGN 4): fence, slots, announced, committed, visible, durable; fence;
 * reader slots, dead owners' cleared. Writer lock held. */
KVI_MUST_CHECK int kvi_live_collect(struct kv_env *env, struct kvi_live *live_out);
/* The same, and leaves what dead readers pin as it stands, uncounted. */
KVI_MUST_CHECK int kvi_live_look(struct kv_env *env, struct kvi_live *live_out);
void kvi_live_release(struct kvi_live *live);

/* ---- durable.c ---- */

/* After a commit's pages and snapshot page were handed to the kernel: makes `word` (or a newer
 * committed one) durable and visible. Takes the flush lock; the writer lock is held by the caller.
 * On a failed flush poisons and returns KV_EUNKNOWN. 0: durable. */
KVI_MUST_CHECK int kvi_durable_point(struct kv_env *env, uint64_t word);

/* Starts the write-back of all that waits for a flush, so that the next durable point waits for
 * little; means nothing for durability. Writer lock held. KV_EUNKNOWN, poisoned: the kernel
 * reported a failed write, once. */
KVI_MUST_CHECK int kvi_durable_write_back(struct kv_env *env);

/* For kv_env_sync: a durable point for the newest committed snapshot, without the writer lock (which it
 * takes only where a dead flusher left an announcement: KV_ETIMEOUT if it is not free for long). */
KVI_MUST_CHECK int kvi_durable_sync(struct kv_env *env);

/* Whether a commit now must be durable in every mode: the first one after a clean open, a recovery
 * or the end of poison, so that no txnid that anybody saw can be given out again
 * (docs/DURABILITY.md section 4). Writer lock held, before the snapshot is named. */
bool kvi_durable_first(const struct kv_env *env);

/* KV_EPOISONED, or 0. Then, with the writer lock held, ends poison by going back to the durable
 * snapshot (make_true) if that is possible now. */
KVI_MUST_CHECK int kvi_poison_end(struct kv_env *env);

/* Writer lock held: makes the newest committed snapshot durable and has both slots name it, so that
 * no older one is live for their sake. */
KVI_MUST_CHECK int kvi_durable_settle(struct kv_env *env);

/* The last close: a durable point if needed, the newest written sealed, file cut to its used size.
 */
KVI_MUST_CHECK int kvi_durable_last(struct kv_env *env);

/* Cuts the file when it is longer than any live snapshot needs by more than a growth step (exact:
 * always); writer lock held. */
KVI_MUST_CHECK int kvi_env_cut(struct kv_env *env, bool exact);

#endif
