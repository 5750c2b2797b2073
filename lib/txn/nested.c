/* SPDX-License-Identifier: MIT */
/*
 * Nested write txns: a pager on top of the parent's, records copied from the parent's tables
 * (DESIGN 7).
 *
 * The parent's cursors are parked at begin, so that nothing in the parent points at pages that the
 * child may replace. Commit hands pages and records to the parent; abort drops them and leaves the
 * parent as it was.
 */
#include "txn/txn.h"

#include "base/error.h"

int kvi_txn_begin_nested(struct kv_txn *txn)
{
    struct kv_txn *parent = txn->parent;
    int rc = kvi_tables_park(parent);

    if (rc)
        return rc;
    rc = kvi_pager_open(kvi_pager_view(parent->pager), parent->space, txn->env->pool,
                        txn->env->options.dirty_budget_bytes, parent->pager, &txn->pager);
    if (rc)
        return rc;
    txn->id = parent->id;
    txn->seen = parent->seen;
    txn->durability = parent->durability;
    txn->space = parent->space;
    txn->snapshot = parent->snapshot;
    kvi_tree_init_write(&txn->main.tree, &parent->main.tree.record, txn->pager);
    txn->main.tree.changed = parent->main.tree.changed;
    kvi_txn_table_shaped(&txn->main);
    parent->child = txn;
    return 0;
}

int kvi_txn_commit_nested(struct kv_txn *txn)
{
    struct kv_txn *parent = txn->parent;
    int rc = kvi_tables_merge(txn);

    if (!rc) {
        rc = kvi_pager_merge(txn->pager);
        if (!rc)
            txn->pager = NULL;
    }
    if (rc) {
        parent->state = KVI_TXN_FAILED;
        return rc;
    }
    parent->snapshot.snap = txn->snapshot.snap;
    parent->marked |= txn->marked;
    return 0;
}
