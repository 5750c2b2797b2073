/* SPDX-License-Identifier: MIT */
/*
 * Pairs of key and value in the sets of leaf cells: what puts and deletes in trees with duplicates
 * share. TREE.md ("Shapes") tells how sets reach over cells and leaves.
 *
 *     change->path   a leaf and its slot: the cell with the key where the value is, or belongs
 *     change->item   which value of the set in that cell
 *
 * Internal to tree/. One thread at a time.
 */
#ifndef KVI_TREE_PAIRS_H
#define KVI_TREE_PAIRS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/attr.h"
#include "format/node.h"
#include "format/set.h"
#include "tree/change.h"
#include "tree/path.h"

/* Where a pair is, or would be. */
struct kvi_place {
    bool exact; /* the cell at the path's slot has the key; else the pair belongs before it */
    bool found; /* and its set the value */
    struct kvi_leaf_cell cell; /* exact: that cell */
    struct kvi_set set;        /* and its set */
};

/* Leads the path, and change->item, to where (change->key, change->value) is or belongs. */
KVI_MUST_CHECK int kvi_pair_find(struct kvi_change *change, enum kvi_path_mode mode,
                                 struct kvi_place *place_out);

/* KV_APPEND: the same, at the end of the tree; KV_EORDER if the pair does not belong there. */
KVI_MUST_CHECK int kvi_pair_find_end(struct kvi_change *change, enum kvi_path_mode mode,
                                     struct kvi_place *place_out);

/* KV_APPEND_VALUE: KV_EORDER if a value of the key stands behind the place, or at it. */
KVI_MUST_CHECK int kvi_pair_check_last(const struct kvi_change *change,
                                       const struct kvi_place *place);

/* The cell at the path's slot and its set, as they stand in the page now. */
KVI_MUST_CHECK int kvi_pair_load(const struct kvi_change *change, struct kvi_place *place_out);

/* Leads `next` to the cell at `slot` of the path's leaf, or, behind that leaf's last, to the first of
 * the next one. depth 0: there is none. */
KVI_MUST_CHECK int kvi_pair_next(const struct kvi_change *change, unsigned slot,
                                 struct kvi_path *next, struct kvi_leaf_cell *cell_out);

/* Marks the first cell of another leaf, to which `path` leads, as continued or not; its leaf and
 * what is above are made dirty. change->path must have been touched before. */
KVI_MUST_CHECK int kvi_pair_mark(struct kvi_change *change, struct kvi_path *path, bool continued);

/* Copies key and value where they point into the page (NULL: always) to the change's memory. */
KVI_MUST_CHECK int kvi_pair_keep(struct kvi_change *change, const uint8_t *page);

static inline bool kvi_pair_same_key(const struct kvi_leaf_cell *a, const struct kvi_leaf_cell *b)
{
    return a->key_bytes == b->key_bytes &&
           (a->key_bytes == 0 || memcmp(a->key, b->key, a->key_bytes) == 0);
}

#endif
