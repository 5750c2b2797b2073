/* SPDX-License-Identifier: MIT */
/*
 * Read txns: a reader slot that pins a snapshot, and the snapshot's main table (DESIGN 6).
 *
 * Begin is claim, pin, load: no system call but where the process has not yet seen how long the
 * file is. A snapshot's pages may be touched only between pin and unpin.
 *
 * A clone shares the slot of the txn that it was made from, by a count. A slot of its own could not
 * be pinned safely to a snapshot that is not the newest: a writer that scans the slots may have gone
 * by the clone's before it was pinned, and come to the other's after that one ended.
 */
#include "txn/txn.h"

#include <errno.h>
#include <stdlib.h>

#include "base/error.h"

/* The txn's snapshot is there: its view and its main table. */
static void read_start(struct kv_txn *txn)
{
    txn->id = txn->snapshot.snap.txnid;
    txn->view.map = &txn->env->map;
    txn->view.page_end = txn->snapshot.snap.page_end;
    txn->view.txnid = txn->id;
    kvi_tree_init_read(&txn->main.tree, &txn->snapshot.snap.main, &txn->view);
    kvi_txn_table_shaped(&txn->main);
    txn->state = KVI_TXN_ACTIVE;
}

/* Takes the pinned snapshot `word` as the txn's. */
static int read_load(struct kv_txn *txn, uint64_t word)
{
    int rc;

    if (word == 0)
        return kvi_corrupt(txn->env->lock_path, KVI_NO_PGNO, "no visible snapshot is named");
    rc = kvi_snapshot_load(txn->env, word, &txn->snapshot);
    if (!rc)
        read_start(txn);
    return rc;
}

static int read_pin(struct kv_txn *txn)
{
    int rc;

    txn->seen = atomic_load(txn->here);
    if (txn->env->flags & KV_NOLOCK) {
        rc = kvi_recover_refresh(txn->env);
        if (rc)
            return rc;
    }
    rc = read_load(txn, kvi_reader_pin(txn->env->lockfile, txn->slot));
    if (!rc)
        rc = kvi_env_lock_whole(txn->env); /* a pin in it may be seen by nobody */
    rc = kvi_txn_whole(txn, rc);
    if (rc) {
        txn->state = KVI_TXN_RESET;
        kvi_reader_unpin(txn->slot);
    }
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

/* ---- Clones ---- */

/* The other's slot, from now on with a count. */
static int slot_share(struct kv_txn *txn, struct kv_txn *other)
{
    kvi_txn_lock(other); /* many threads of a shared txn may make clones of it */
    if (!other->pin) {
        struct kvi_txn_pin *pin = malloc(sizeof(*pin));

        if (pin)
            atomic_init(&pin->count, 1);
        other->pin = pin;
    }
    if (other->pin) {
        atomic_fetch_add_explicit(&other->pin->count, 1, memory_order_relaxed);
        txn->pin = other->pin;
        txn->slot = other->slot;
    }
    kvi_txn_unlock(other);
    return txn->pin ? 0 : ENOMEM;
}

/* Gives up the txn's share; true: the slot is this txn's alone now. Release and acquire: what the
 * others read, they read before the last one ends the pin. */
static bool slot_keep(struct kv_txn *txn)
{
    struct kvi_txn_pin *pin = txn->pin;

    if (KVI_LIKELY(!pin))
        return true;
    txn->pin = NULL;
    if (atomic_fetch_sub_explicit(&pin->count, 1, memory_order_acq_rel) > 1) {
        txn->slot = NULL;
        return false;
    }
    free(pin);
    return true;
}

int kvi_txn_begin_clone(struct kv_txn *txn, struct kv_txn *other)
{
    int rc = slot_share(txn, other);

    if (rc)
        return rc;
    txn->seen = other->seen;
    txn->snapshot = other->snapshot;
    read_start(txn);
    return 0;
}

/* ---- End, reset, renew, refresh ---- */

void kvi_txn_end_read(struct kv_txn *txn)
{
    if (!txn->slot || !slot_keep(txn))
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
    if (slot_keep(txn))
        kvi_reader_unpin(txn->slot);
}

/* Pins the newest visible snapshot anew, in another slot if the old one was left to clones. */
static int read_again(struct kv_txn *txn)
{
    return txn->slot ? read_pin(txn) : kvi_txn_begin_read(txn);
}

int kvi_txn_renew(struct kv_txn *txn)
{
    if (kvi_lockfile_forked(txn->env->lockfile))
        return kvi_error(KV_EFORKED, "%s: the txn belongs to the parent process", txn->env->path);
    if (txn->write || txn->state != KVI_TXN_RESET)
        return kvi_error(KV_EBADTXN, "renew is for read txns that were reset");
    return read_again(txn);
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
    rc = read_again(txn);
    if (!rc && moved_out)
        *moved_out = txn->snapshot.word != before;
    return rc;
}
