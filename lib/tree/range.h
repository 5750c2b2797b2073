/* SPDX-License-Identifier: MIT */
/*
 * Places and counts: what deleting, counting and estimating of ranges share.
 *
 * Internal to tree/. One thread at a time for a tree of a write txn.
 */
#ifndef KVI_TREE_RANGE_H
#define KVI_TREE_RANGE_H

#include "base/attr.h"
#include "format/node.h"
#include "tree/path.h"
#include "tree/tree.h"

/* Leads the path, for reading, to a place: its leaf's slot is that of the first record behind, or
 * the leaf's count. NULL: to an end of the tree. An empty tree: depth 0. */
KVI_MUST_CHECK int kvi_range_place(struct kvi_tree *tree, const struct kvi_probe *probe,
                                   enum kvi_path_end end, struct kvi_path *path);

/* Adds what stands at, or below, the slots [from, end) of a page. Of a branch in a tree that does
 * not count: nothing. */
KVI_MUST_CHECK int kvi_range_add_slots(const struct kvi_tree *tree, const uint8_t *page,
                                       unsigned from, unsigned end, struct kvi_counts *sum);

#endif
