/* SPDX-License-Identifier: MIT */
/*
 * Commit of a write txn: from dirty pages to a committed, visible, durable snapshot. The steps are
 * those of docs/DURABILITY.md; the durable point itself is in durable.c.
 *
 * Writer lock held throughout. A failure before the snapshot is named in the shared state leaves
 * nothing: its pages are claimed by no snapshot. After that, only a failed flush can fail, and says
 * so (KV_EUNKNOWN).
 */
#include "txn/txn.h"

#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "os/os.h"

#define LAZY_SHARE 8u /* of the pages in use that may wait for a flush while the file grows */

/* How much write-back is started at a time: a part of what makes a durable point due. And how long
 * after the last start, or the first commit that waits: a writer that reaches its next point sooner
 * would only write pages that it is about to free, and wait for the disk's queue. */
#ifdef KVI_SMALL_LIMITS
#define WRITE_BACK_BYTES_MIN ((uint64_t)64 << 10)
#define WRITE_BACK_BYTES_MAX ((uint64_t)64 << 10)
#define WRITE_BACK_MS 0u
#else
#define WRITE_BACK_BYTES_MIN ((uint64_t)4 << 20)
#define WRITE_BACK_BYTES_MAX ((uint64_t)64 << 20)
#define WRITE_BACK_MS 100u
#endif
#define WRITE_BACK_SHARE 8u

/* Whether anything at all was changed. */
static bool commit_empty(const struct kv_txn *txn)
{
    return !txn->main.tree.changed && !txn->marked && kvi_space_allocated(txn->space) == 0 &&
           kvi_space_retired(txn->space) == 0 && kvi_pager_written(txn->pager) == 0;
}

/* Seals trees and map, lays out the snapshot page, and hands all pages to the kernel. */
static int commit_write(struct kv_txn *txn, uint8_t *snap_page, uint64_t *word_out)
{
    const struct kvi_geometry *g = &txn->env->geometry;
    struct kvi_snap *snap = &txn->snapshot.snap;
    struct kvi_space_page own = {0, snap_page};
    const struct kvi_space_page *map_pages;
    struct kvi_space_page *extra;
    uint64_t since = kvi_txn_now(txn);
    size_t count;
    int rc;

    rc = kvi_pager_seal(txn->pager, &txn->main.tree.record.root, txn->main.tree.record.depth);
    if (rc)
        return rc;
    snap->main = txn->main.tree.record;
    snap->txnid = txn->id;
    kvi_txn_lap(txn, &since, &txn->spent.copy_ns);
    rc = kvi_space_commit(txn->space, snap, snap_page);
    kvi_txn_lap(txn, &since, &txn->spent.space_ns);
    if (rc)
        return rc;
    kvi_snap_encode(g, snap, snap_page);
    *word_out = kvi_word(snap->pgno, kvi_page_seal(g, snap_page));
    own.pgno = snap->pgno;
    map_pages = kvi_space_pages(txn->space, &count);
    extra = malloc((count + 1) * sizeof(*extra));
    if (!extra)
        return ENOMEM;
    for (size_t i = 0; i < count; i++)
        extra[i] = map_pages[i];
    extra[count] = own;
    rc = kvi_pager_write(txn->pager, extra, count + 1);
    free(extra);
    return rc;
}

/* Whether the file grew although pages that only the durable snapshots still need are many: a
 * durable point lets them be used again, so that lazy writes do not bloat the file. */
static bool growth_avoidable(const struct kv_txn *txn, uint64_t unflushed_pages)
{
    const struct kv_env *env = txn->env;
    uint64_t enough = txn->snapshot.snap.pages_used / LAZY_SHARE;

    if (enough < KVI_ONE_FLUSH_BYTES >> env->geometry.page_shift)
        enough = KVI_ONE_FLUSH_BYTES >> env->geometry.page_shift;
    return atomic_load(&env->file_bytes) > txn->file_bytes_before && unflushed_pages >= enough;
}

/* Whether a lazy commit is to be followed by a durable point. */
static bool lazy_due(const struct kv_txn *txn)
{
    const struct kv_env *env = txn->env;
    uint64_t pages = atomic_load(&env->shared->unflushed_pages);
    uint64_t since = atomic_load(&env->shared->unflushed_since_ns);
    uint64_t bytes_limit = env->options.lazy_sync_bytes;
    uint64_t ms_limit = env->options.lazy_sync_ms;

    if (txn->durability != KV_LAZY || (!bytes_limit && !ms_limit))
        return false;
    if (bytes_limit && pages << env->geometry.page_shift >= bytes_limit)
        return true;
    if (growth_avoidable(txn, pages))
        return true;
    return ms_limit && since && kvi_os->monotonic_ns() - since >= ms_limit * 1000000;
}

/* Early write-back: a lazy commit after which this much more waits for a flush than when it was last
 * started; less than that is not worth a call, and more makes the next durable point wait. */
static uint64_t write_back_bytes(const struct kv_env *env)
{
    uint64_t bytes = env->options.lazy_sync_bytes / WRITE_BACK_SHARE;

    if (bytes == 0 || bytes > WRITE_BACK_BYTES_MAX)
        return WRITE_BACK_BYTES_MAX;
    return bytes < WRITE_BACK_BYTES_MIN ? WRITE_BACK_BYTES_MIN : bytes;
}

static bool write_back_due(const struct kv_txn *txn, uint64_t pages, uint64_t now)
{
    const struct kv_env *env = txn->env;
    uint64_t since = atomic_load(&env->shared->unflushed_since_ns);

    if (since < env->write_back_ns)
        since = env->write_back_ns;
    return (pages - env->write_back_pages) << env->geometry.page_shift >= write_back_bytes(env) &&
           now >= since + WRITE_BACK_MS * (uint64_t)1000000;
}

/* KV_NONE starts no I/O by itself. */
static int write_back_early(struct kv_txn *txn)
{
    struct kv_env *env = txn->env;
    uint64_t pages = atomic_load(&env->shared->unflushed_pages);
    uint64_t now;

    if (pages < env->write_back_pages) /* a durable point came between */
        env->write_back_pages = 0;
    if (txn->durability != KV_LAZY)
        return 0;
    now = kvi_os->monotonic_ns();
    if (!write_back_due(txn, pages, now))
        return 0;
    env->write_back_pages = pages;
    env->write_back_ns = now;
    return kvi_durable_write_back(env);
}

/* The commit was named. If a page, of the lock file most likely, could not be had meanwhile, others
 * may not have seen that. */
static int commit_seen(const struct kv_txn *txn, int rc)
{
    if (KVI_LIKELY(!kvi_txn_whole(txn, 0)))
        return rc;
    return kvi_error(KV_EUNKNOWN, "%s: a page could not be read while the commit was made known",
                     txn->env->path);
}

/* W6. The snapshot has its name: from here on the next writer builds on it, whatever fails. A durable
 * point that could not even be begun is therefore the next one's work for a lazy commit, and leaves
 * the outcome of a durable one open. */
static int commit_point(const struct kv_txn *txn, uint64_t word)
{
    int rc = kvi_durable_point(txn->env, word);

    if (!rc || rc == KV_EUNKNOWN || rc == KV_EPOISONED)
        return rc;
    if (txn->durability != KV_DURABLE)
        return 0;
    return kvi_error(KV_EUNKNOWN, "%s: committed, but not flushed: %s", txn->env->path,
                     kvi_strerror(rc));
}

/* Names the new snapshot in the shared state: from here on the next writer builds on it. */
static void commit_name(struct kv_txn *txn, uint64_t word)
{
    struct kvi_shared *shared = txn->env->shared;

    if (atomic_load(&shared->unflushed_since_ns) == 0)
        atomic_store(&shared->unflushed_since_ns, kvi_os->monotonic_ns());
    atomic_fetch_add(&shared->unflushed_pages, kvi_space_allocated(txn->space));
    atomic_store(&shared->committed, word);
    if (txn->durability != KV_DURABLE)
        atomic_store(&shared->visible, word);
}

int kvi_txn_commit_write(struct kv_txn *txn)
{
    struct kv_env *env = txn->env;
    uint64_t since = kvi_txn_now(txn);
    uint8_t *snap_page = NULL;
    uint64_t word = 0;
    int rc;

    rc = kvi_tables_store(txn);
    kvi_txn_lap(txn, &since, &txn->spent.copy_ns);
    if (rc || commit_empty(txn))
        return rc;
    snap_page = calloc(1, env->geometry.page_size);
    if (!snap_page)
        return ENOMEM;
    rc = commit_write(txn, snap_page, &word);
    free(snap_page);
    if (rc)
        return rc;
    if ((env->flags & KV_NOLOCK) || kvi_durable_first(env))
        txn->durability = KV_DURABLE;
    rc = kvi_txn_whole(txn, 0);
    if (rc)
        return rc;
    commit_name(txn, word);
    kvi_tables_published(txn);
    since = kvi_txn_now(txn);
    if (txn->durability == KV_DURABLE || lazy_due(txn))
        rc = commit_point(txn, word);
    else
        rc = write_back_early(txn);
    kvi_txn_lap(txn, &since, &txn->spent.flush_ns);
    if (!rc)
        rc = kvi_env_cut(env, false);
    return commit_seen(txn, rc);
}
