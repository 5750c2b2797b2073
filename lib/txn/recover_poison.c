/* SPDX-License-Identifier: MIT */
/*
 * What follows a failed or unfinished flush: takeover of a dead flusher's announcement, poison and
 * its end (docs/DURABILITY.md sections 6 and 7).
 *
 * Needs writer and flush lock: no write txn is half-way, the newest committed snapshot stands
 * still, and nobody else writes a slot. The slot that holds the durable snapshot is never written
 * here (D3); the other one is written with that same snapshot, base 0, so that a meta whose flush
 * failed cannot come back.
 */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "os/os.h"
#include "txn/recover.h"
#include "txn/walk.h"

#define ANNOUNCEMENT_SLOT 3u /* mask: slot + 1 */

int kvi_poison_set(struct kv_env *env)
{
    atomic_store(&env->shared->poison, KVI_POISON_FLUSH);
    return kvi_error(KV_EUNKNOWN, "%s; whether the commit stands is decided by recovery",
                     kvi_error_text());
}

int kvi_slot_of(struct kv_env *env, uint64_t word, unsigned *slot_out)
{
    const struct kvi_shared *shared = env->shared;

    *slot_out = word != atomic_load(&shared->slot_word[0]);
    if (word == 0 || word != atomic_load(&shared->slot_word[*slot_out]))
        return kvi_corrupt(env->lock_path, KVI_NO_PGNO, "no slot holds the durable snapshot");
    return 0;
}

int kvi_slot_expect(struct kv_env *env, unsigned slot, uint64_t word, struct kvi_meta *meta_out)
{
    struct kvi_slots slots;
    int rc = kvi_slots_read(env->fd, env->path, &slots);

    if (rc)
        return rc;
    if (kvi_slots_word(&slots, slot) != word)
        return kvi_corrupt(env->path, KVI_NO_PGNO,
                           "a meta slot does not hold the durable snapshot any more");
    *meta_out = slots.meta[slot];
    return 0;
}

void kvi_visible_advance(struct kv_env *env, uint64_t word, uint64_t txnid)
{
    kvi_atomic_word *visible = &env->shared->visible;
    uint64_t seen = atomic_load(visible);

    while (seen != word) {
        struct kvi_snapshot old;

        /* As long as it is visible it is live; a failure to read it means that it is not any more,
         * and then the exchange fails, or that the lock file names nothing there. */
        if (seen && !kvi_snapshot_load(env, seen, &old) && old.snap.txnid >= txnid &&
            atomic_load(visible) == seen)
            return;
        if (atomic_compare_exchange_strong(visible, &seen, word))
            return;
    }
}

void kvi_announcement_clear(struct kv_env *env)
{
    atomic_store(&env->shared->announced, 0);
    atomic_store(&env->shared->announcement, 0);
}

/* Writes the durable snapshot over slot X and flushes (T3, T4, Q2). First its own slot once more,
 * same bytes: of two alike slots the one that stays may never have reached the disk. */
static int cover_slot(struct kv_env *env, unsigned x, uint64_t durable, struct kvi_meta *meta_out)
{
    int rc = kvi_slot_expect(env, 1 - x, durable, meta_out);

    if (!rc)
        rc = kvi_slot_write(env, 1 - x, meta_out);
    if (!rc)
        rc = kvi_data_flush(env);
    if (rc)
        return rc;
    meta_out->base = 0;
    rc = kvi_slot_write(env, x, meta_out);
    return rc ? rc : kvi_data_flush(env);
}

/* ---- Takeover ---- */

/* T2: the newest committed snapshot's pages are written once more. *whole_out false: some are lost.
 */
static int rewrite_committed(struct kv_env *env, const struct kvi_meta *durable, bool *whole_out)
{
    struct kvi_meta meta = {.page_size = env->geometry.page_size};
    enum kvi_walk_result result = KVI_WALK_BROKEN;
    struct kvi_snapshot committed;
    struct kvi_walk walk = {
        .fd = env->fd,
        .path = env->path,
        .geometry = &env->geometry,
        .newer = &meta,
        .base = durable,
        .pages_max = UINT64_MAX,
        .rewrite = true,
    };
    struct kvi_os_stat st;
    int rc;

    *whole_out = false;
    rc = kvi_snapshot_load(env, atomic_load(&env->shared->committed), &committed);
    if (rc)
        return rc == KV_ECORRUPT ? 0 : rc;
    rc = kvi_os->stat_fd(env->fd, &st);
    if (rc)
        return rc;
    walk.file_bytes = st.size_bytes;
    meta.txnid = committed.snap.txnid;
    meta.page_end = committed.snap.page_end;
    meta.snap = committed.ref;
    rc = kvi_walk(&walk, &result);
    *whole_out = result == KVI_WALK_WHOLE;
    return rc;
}

static int takeover_slot(struct kv_env *env, unsigned x, uint64_t durable)
{
    struct kvi_shared *shared = env->shared;
    struct kvi_meta meta;
    bool whole = true;
    int rc = kvi_slot_expect(env, 1 - x, durable, &meta);

    if (!rc && atomic_load(&shared->committed) != durable)
        rc = rewrite_committed(env, &meta, &whole);
    if (rc)
        return rc;
    if (!whole)
        return kvi_poison_set(env);
    rc = cover_slot(env, x, durable, &meta);
    if (rc)
        return kvi_poison_set(env);
    kvi_slot_publish(env, x, durable, &meta);
    kvi_announcement_clear(env);
    return 0;
}

/* T1: the flush had succeeded. */
static int takeover_publish(struct kv_env *env, uint64_t durable)
{
    struct kvi_snapshot snapshot;
    int rc = kvi_snapshot_load(env, durable, &snapshot);

    if (rc)
        return rc;
    kvi_visible_advance(env, durable, snapshot.snap.txnid);
    kvi_announcement_clear(env);
    return 0;
}

int kvi_takeover(struct kv_env *env)
{
    struct kvi_shared *shared = env->shared;
    uint64_t durable = atomic_load(&shared->durable);
    unsigned x = (unsigned)(atomic_load(&shared->announcement) & ANNOUNCEMENT_SLOT) - 1;

    if (x > 1)
        return kvi_corrupt(env->lock_path, KVI_NO_PGNO, "announcement for no slot");
    if (atomic_load(&shared->slot_word[x]) == durable) {
        if (atomic_load(&shared->slot_word[1 - x]) != durable)
            return takeover_publish(env, durable);
    } else if (atomic_load(&shared->slot_word[1 - x]) != durable) {
        return kvi_corrupt(env->lock_path, KVI_NO_PGNO, "no slot holds the durable snapshot");
    }
    return takeover_slot(env, x, durable);
}

/* ---- The end of poison ---- */

/* Q3. A death on the way leaves it poisoned, so that it is done again. */
static void go_back_publish(struct kv_env *env, unsigned x, uint64_t durable,
                            const struct kvi_meta *meta)
{
    struct kvi_shared *shared = env->shared;
    uint64_t last = atomic_load(&shared->txnid_last);
    bool lost = atomic_load(&shared->committed) != durable;

    atomic_store(&shared->rolled_back, lost ? last : 0);
    if (last >> KVI_TXNID_GENERATION_SHIFT <= meta->txnid >> KVI_TXNID_GENERATION_SHIFT)
        atomic_store(&shared->txnid_last, kvi_txnid_raise(last));
    kvi_slot_publish(env, x, durable, meta);
    atomic_store(&shared->committed, durable);
    atomic_store(&shared->visible, durable);
    atomic_store(&shared->unflushed_pages, 0);
    atomic_store(&shared->unflushed_since_ns, 0);
    atomic_fetch_add(&shared->holes, 1); /* a page that was lost may have lost its place */
    kvi_announcement_clear(env);
    atomic_store(&shared->poison, 0);
}

static int go_back(struct kv_env *env)
{
    uint64_t durable = atomic_load(&env->shared->durable);
    struct kvi_meta meta;
    unsigned y;
    int rc = kvi_slot_of(env, durable, &y);

    if (!rc && atomic_load(&env->shared->announcement) != 0) {
        unsigned x = (unsigned)(atomic_load(&env->shared->announcement) & ANNOUNCEMENT_SLOT) - 1;

        if (x <= 1 && atomic_load(&env->shared->slot_word[1 - x]) == durable)
            y = 1 - x; /* both hold it, as far as is known: the other one was being written */
    }
    if (rc)
        return rc;
    rc = cover_slot(env, 1 - y, durable, &meta);
    if (rc)
        return kvi_error(KV_EPOISONED, "an earlier flush failed, and going back fails as well: %s",
                         kvi_error_text());
    go_back_publish(env, 1 - y, durable, &meta);
    return 0;
}

int kvi_poison_end(struct kv_env *env)
{
    struct kvi_shared *shared = env->shared;
    int rc;

    if (atomic_load(&shared->poison) == 0)
        return 0;
    if (env->flags & KV_READONLY)
        return kvi_error(KV_EPOISONED, "%s: recovery is left to writers", env->path);
    rc = kvi_lockfile_lock_flush(env->lockfile, KVI_WAIT_FOREVER);
    if (rc)
        return rc;
    if (atomic_load(&shared->poison) == KVI_POISON_PENDING)
        rc = kvi_recover_run(env, KVI_RECOVER_PENDING, true);
    else if (atomic_load(&shared->poison) != 0)
        rc = go_back(env);
    kvi_lockfile_unlock_flush(env->lockfile);
    return rc;
}
