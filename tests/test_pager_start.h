/* SPDX-License-Identifier: MIT */
/*
 * What most tests of the pager start from: a database with a txn, or with a committed tree and a
 * txn on it.
 */
#ifndef TEST_PAGER_START_H
#define TEST_PAGER_START_H

#include "test_pager_db.h"

#define BUDGET ((uint64_t)64 << 12)

static struct db db;
static struct txn txn;
static struct tree tree;

static inline void setup(void)
{
    db_open(&db, "pager.db", 4096);
    txn_begin(&txn, &db, BUDGET);
}

static inline void teardown(void)
{
    tree_free(&tree);
    db_close(&db);
}

/* A committed tree as base, and a txn on it. */
static inline void setup_tree(void)
{
    setup();
    tree_make(&tree, txn.pager, 6, 12); /* more pages than the smallest budget */
    txn_commit(&txn, &tree.root, TREE_DEPTH);
    txn_begin(&txn, &db, BUDGET);
}

static inline struct kvi_pager *open_child(struct kvi_pager *parent, uint64_t budget_bytes)
{
    struct kvi_pager *child = NULL;

    ck_ok(kvi_pager_open(kvi_pager_view(parent), txn.space, db.pool, budget_bytes, parent, &child));
    return child;
}

#endif
