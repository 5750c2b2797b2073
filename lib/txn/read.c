/* SPDX-License-Identifier: MIT */
/*
 * Read txns: a reader slot that pins a snapshot, and the snapshot's main table (DESIGN 6).
 *
 * Begin is claim, pin, load: no system call but where the process has not yet seen how long the
 * file is. A snapshot's pages may be touched only between pin and unpin.
 */
#include "txn/txn.h"

#include "base/error.h"

/* Takes the pinned snapshot `word` as the txn's. */
static int read_load(struct kv_txn *txn, uint64_t word)
{
    int rc;

    if (word == 0)
        return kvi_corrupt(txn->env->lock_path, KVI_NO_PGNO, "no visible snapshot is named");
    rc = kvi_snapshot_load(txn->env, word, &txn->snapshot);
    if (rc)
        return rc;
    txn->id = txn->snapshot.snap.txnid;
    txn->view.map = &txn->env->map;
    txn->view.page_end = txn->snapshot.snap.page_end;
    txn->view.txnid = txn->id;
    kvi_tree_init_read(&txn->main.tree, &txn->snapshot.snap.main, &txn->view);
    kvi_txn_table_shaped(&txn->main);
    txn->state = KVI_TXN_ACTIVE;
    return 0;
}

static int read_pin(struct kv_txn *txn)
{
    int rc;

    if (txn->env->flags & KV_NOLOCK) {
        rc = kvi_recover_refresh(txn->env);
        if (rc)
            return rc;
    }
    rc = read_load(txn, kvi_reader_pin(txn->env->lockfile, txn->slot));
    if (rc)
        kvi_reader_unpin(txn->slot);
    return rc;
}

int kvi_txn_begin_read(struct kv_txn *txn)
{
    int rc = kvi_reader_claim(txn->env->lockfile, &txn->slot);

    if (rc)
        return rc;
    rc = read_pin(txn);
    if (rc) {
        kvi_reader_release(txn->env->lockfile, txn->slot);
        txn->slot = NULL;
    }
    return rc;
}

void kvi_txn_end_read(struct kv_txn *txn)
{
    if (!txn->slot)
        return;
    kvi_reader_unpin(txn->slot);
    kvi_reader_release(txn->env->lockfile, txn->slot);
    txn->slot = NULL;
}

void kvi_txn_reset(struct kv_txn *txn)
{
    if (txn->write || txn->state != KVI_TXN_ACTIVE || kvi_lockfile_forked(txn->env->lockfile))
        return;
    kvi_tables_release(txn);
    txn->epoch++;
    txn->id = 0;
    txn->state = KVI_TXN_RESET;
    kvi_reader_unpin(txn->slot);
}

int kvi_txn_renew(struct kv_txn *txn)
{
    if (kvi_lockfile_forked(txn->env->lockfile))
        return kvi_error(KV_EFORKED, "%s: the txn belongs to the parent process", txn->env->path);
    if (txn->write || txn->state != KVI_TXN_RESET)
        return kvi_error(KV_EBADTXN, "renew is for read txns that were reset");
    return read_pin(txn);
}

int kvi_txn_refresh(struct kv_txn *txn, int *moved_out)
{
    uint64_t before;
    int rc = kvi_txn_usable(txn, false);

    if (rc)
        return rc;
    before = txn->snapshot.word;
    if (txn->write)
        return kvi_error(KV_EBADTXN, "refresh is for read txns");
    if (!(txn->env->flags & KV_NOLOCK) &&
        atomic_load_explicit(&txn->env->shared->visible, memory_order_acquire) == before)
        return 0;
    kvi_txn_reset(txn);
    rc = read_pin(txn);
    if (!rc && moved_out)
        *moved_out = txn->snapshot.word != before;
    return rc;
}
