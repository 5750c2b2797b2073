/* SPDX-License-Identifier: MIT */
/*
 * Write txns: the writer lock, the base snapshot, the live set, and the writer's view of space and
 * pages.
 *
 * Begin costs two lock calls and one look at the file's size; the live set is computed here, once,
 * and only shrinks while the txn runs (DESIGN 4).
 */
#include "txn/txn.h"

#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "os/os.h"

/* The space map's way to pages: through a view of all that any live snapshot may hold. */
static int space_read(void *context, struct kvi_ref ref, enum kvi_page_type type, unsigned level,
                      const uint8_t **page_out)
{
    const struct kv_txn *txn = context;

    return kvi_view_page(&txn->view, ref, type, level, page_out);
}

static int space_grow(void *context, uint64_t page_end)
{
    struct kv_txn *txn = context;

    return kvi_env_grow(txn->env, page_end);
}

/* The live set as the space map takes it, allocated; NULL: no memory. */
static struct kvi_space_snapshot *space_live(const struct kvi_live *from)
{
    struct kvi_space_snapshot *live = calloc(from->count + 1, sizeof(*live));

    for (size_t i = 0; live && i < from->count; i++) {
        const struct kvi_snapshot *snapshot = &from->snapshots[i];

        live[i].page = snapshot->page;
        live[i].page_end = snapshot->snap.page_end;
        live[i].map_count = snapshot->snap.map_count;
        live[i].map_levels = snapshot->snap.map_levels;
    }
    return live;
}

/* The file is as long as it may be. Snapshots that only the meta slots keep, since lazy commits
 * wait for their flush or a slot for its turn, are let go by making the base durable in both slots
 * now; and readers may have ended since the txn began. */
static int space_relieve(void *context, struct kvi_space *space)
{
    struct kv_txn *txn = context;
    struct kvi_space_snapshot *live;
    struct kvi_live now;
    int rc = kvi_durable_settle(txn->env);

    if (!rc)
        rc = kvi_live_collect(txn->env, &now);
    if (rc)
        return rc;
    live = space_live(&now);
    rc = kvi_env_whole(txn->env);
    if (live && !rc)
        kvi_space_keep(space, live, now.count);
    free(live);
    kvi_live_release(&now);
    return live ? rc : ENOMEM;
}

/* Opens the space map over the base and the live snapshots. */
static int space_open(struct kv_txn *txn)
{
    struct kv_env *env = txn->env;
    const struct kvi_space_io io = {txn, space_read, space_grow, env->path};
    struct kvi_space_snapshot *live = space_live(&txn->live);
    int rc;

    if (!live)
        return ENOMEM;
    rc = kvi_space_open(&env->geometry, &io, &txn->snapshot.snap, txn->snapshot.page, live,
                        txn->live.count, env->hints, txn->id, &txn->space);
    free(live);
    if (!rc)
        kvi_space_on_full(txn->space, space_relieve);
    return rc;
}

/* The id after every one that was ever given out; a txn that writes nothing gives it back. */
static int txnid_take(struct kv_txn *txn)
{
    struct kvi_shared *shared = txn->env->shared;

    txn->txnid_before = atomic_load(&shared->txnid_last);
    if (txn->txnid_before < txn->snapshot.snap.txnid || txn->txnid_before == UINT64_MAX)
        return kvi_corrupt(txn->env->lock_path, KVI_NO_PGNO, "impossible last txnid");
    txn->id = txn->txnid_before + 1;
    atomic_store(&shared->txnid_last, txn->id);
    return 0;
}

/* With the writer lock held: base, live set, space, pager, main table. */
static int write_start(struct kv_txn *txn)
{
    struct kv_env *env = txn->env;
    int rc;

    rc = kvi_poison_end(env);
    if (rc)
        return rc;
    rc = kvi_snapshot_load(env, atomic_load(&env->shared->committed), &txn->snapshot);
    if (rc)
        return rc;
    rc = kvi_live_collect(env, &txn->live);
    if (rc)
        return rc;
    rc = kvi_env_require(env, txn->live.page_end_max);
    if (rc)
        return rc;
    if (atomic_load(&env->file_bytes) < kvi_env_least(env))
        rc = kvi_env_lengthen(env);
    if (rc)
        return rc;
    env->stored_limit_bytes = txn->snapshot.snap.map_limit;
    txn->file_bytes_before = atomic_load(&env->file_bytes);
    rc = txnid_take(txn);
    if (rc)
        return rc;
    txn->view.map = &env->map;
    txn->view.page_end = txn->live.page_end_max;
    txn->view.txnid = txn->id;
    rc = space_open(txn);
    if (rc)
        return rc;
    rc = kvi_pager_open(&txn->view, txn->space, env->pool, env->options.dirty_budget_bytes, NULL,
                        &txn->pager);
    if (rc)
        return rc;
    if (txn->durability == KV_NONE || (env->flags & KV_MEMORY))
        kvi_pager_store_through(txn->pager, kvi_env_store(env));
    if (txn->latency)
        kvi_pager_measure(txn->pager, &txn->spent.write_ns);
    kvi_tree_init_write(&txn->main.tree, &txn->snapshot.snap.main, txn->pager);
    kvi_txn_table_shaped(&txn->main);
    return kvi_env_whole(env); /* nothing was written yet by what the live set allows */
}

int kvi_txn_begin_write(struct kv_txn *txn, uint32_t timeout_ms)
{
    struct kv_env *env = txn->env;
    uint64_t since = kvi_txn_now(txn);
    int rc = kvi_env_whole(env);

    if (!rc)
        rc = kvi_lockfile_intact(env->lockfile); /* a lock file that was cut is no memory */
    if (!rc)
        rc = kvi_lockfile_lock_writer(env->lockfile, timeout_ms);
    kvi_txn_lap(txn, &since, &txn->spent.wait_ns);
    if (rc)
        return rc;
    atomic_store(&env->writing, true);
    rc = kvi_lockfile_intact(env->lockfile); /* it may have been a long wait */
    if (!rc && (env->flags & KV_NOLOCK))
        rc = kvi_recover_refresh(env);
    if (!rc)
        rc = write_start(txn);
    if (rc)
        kvi_txn_end_write(txn);
    return rc;
}

void kvi_txn_end_write(struct kv_txn *txn)
{
    struct kvi_shared *shared = txn->env->shared;
    bool unwritten = txn->id && (!txn->pager || kvi_pager_written(txn->pager) == 0);

    if (unwritten && atomic_load(&shared->txnid_last) == txn->id)
        atomic_store(&shared->txnid_last, txn->txnid_before);
    kvi_pager_close(txn->pager);
    txn->pager = NULL;
    kvi_space_close(txn->space);
    txn->space = NULL;
    kvi_live_release(&txn->live);
    atomic_store(&txn->env->writing, false);
    kvi_lockfile_unlock_writer(txn->env->lockfile);
}
