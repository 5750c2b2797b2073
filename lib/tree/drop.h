/* SPDX-License-Identifier: MIT */
/*
 * Freeing whole subtrees, children before their parents: what a range delete and emptying a table
 * share.
 *
 * What is dropped is hardly looked at. Leaves are read in whole only where the table has overflow
 * runs. To count their records, the count in their headers is taken once the tag there is the one
 * that the reference calls for and the frame is sound; their checksum is not computed, which would
 * cost more than all the rest. The tag already tells a stale, lost or misplaced page; what is left
 * is a header with bad bytes under an intact checksum: it can make a total wrong, which the check
 * finds, and nothing else, as no byte of such a page is handed out or kept.
 *
 * In a damaged tree a page that is reached twice is freed twice, which ends the walk (KV_ECORRUPT).
 *
 * Internal to tree/. One thread at a time, in a write txn.
 */
#ifndef KVI_TREE_DROP_H
#define KVI_TREE_DROP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "format/node.h"
#include "tree/tree.h"

struct kvi_drop {
    struct kvi_tree *tree;
    bool runs;                /* the table has overflow runs: leaves' cells must be looked at */
    bool count;               /* keep `counts` */
    struct kvi_counts counts; /* what was in the slots and subtrees dropped so far */
};

void kvi_drop_init(struct kvi_drop *drop, struct kvi_tree *tree, bool count);

/* Frees what hangs on the slots [from, end) of a page: subtrees, or a leaf's runs. The page itself
 * stays as it is. Keeps the record's page totals (T2). */
KVI_MUST_CHECK int kvi_drop_slots(struct kvi_drop *drop, const uint8_t *page, unsigned level,
                                  unsigned from, unsigned end);

/* Frees the tree; its record then has no root and no pages. Counts nothing. */
KVI_MUST_CHECK int kvi_drop_root(struct kvi_drop *drop);

#endif
