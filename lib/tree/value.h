/* SPDX-License-Identifier: MIT */
/*
 * Values of leaf cells: in the cell, or in an overflow run that the cell refers to.
 *
 * A new value's run is made before its cell is changed, and the old one's run freed after, so that
 * the old value's bytes may be the source of the new one. Keeps the record's count of overflow
 * pages exact (T2).
 *
 * Internal to tree/. One thread at a time.
 */
#ifndef KVI_TREE_VALUE_H
#define KVI_TREE_VALUE_H

#include <stdint.h>

#include "base/attr.h"
#include "format/node.h"
#include "format/set.h"
#include "tree/tree.h"

/* What a cell is going to hold. */
struct kvi_new_value {
    enum kvi_cell_kind kind;
    uint32_t payload_bytes;
    const uint8_t *payload;                    /* NULL: left to the caller of KV_RESERVE */
    struct kvi_overflow_ref run;               /* kind OVERFLOW: the run, already made */
    uint8_t run_bytes[KVI_OVERFLOW_REF_BYTES]; /* then the payload */
};

/* The value of a cell of this tree, of a set the first. A cell of kind OVERFLOW: its run is read. */
KVI_MUST_CHECK int kvi_value_load(const struct kvi_tree *tree, const struct kvi_leaf_cell *cell,
                                  struct kvi_tree_value *value_out);

/* The set in a cell of a table with duplicates, and its value number `item` as a record's value. */
KVI_MUST_CHECK int kvi_value_set(const struct kvi_tree *tree, const struct kvi_leaf_cell *cell,
                                 struct kvi_set *set_out);
KVI_MUST_CHECK int kvi_value_item(const struct kvi_tree *tree, const struct kvi_leaf_cell *cell,
                                  unsigned item, struct kvi_tree_value *value_out);

/* Decides where the value of `put` goes and makes its run if it needs one; with KV_RESERVE sets
 * put->space to the run's bytes. new_out must not be moved afterwards. */
KVI_MUST_CHECK int kvi_value_make(struct kvi_tree *tree, size_t key_bytes, struct kvi_tree_put *put,
                                  uint32_t flags, struct kvi_new_value *new_out);

/* Takes back what kvi_value_make did, for a put that is refused after all. */
KVI_MUST_CHECK int kvi_value_unmake(struct kvi_tree *tree, const struct kvi_new_value *value);

/* The run of a cell, pgno 0 when it has none; and freeing such a run (pgno 0: nothing). */
KVI_MUST_CHECK int kvi_value_run(const struct kvi_tree *tree, const struct kvi_leaf_cell *cell,
                                 struct kvi_overflow_ref *run_out);
KVI_MUST_CHECK int kvi_value_free_run(struct kvi_tree *tree, const struct kvi_overflow_ref *run);

/* VALUE or TABLE, as the tree's callers know them. */
static inline enum kvi_cell_kind kvi_value_kind(const struct kvi_leaf_cell *cell)
{
    return cell->kind == KVI_CELL_TABLE ? KVI_CELL_TABLE : KVI_CELL_VALUE;
}

#endif
