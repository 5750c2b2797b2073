/* SPDX-License-Identifier: MIT */
/*
 * A cursor's state, and what changes of its tree do to it.
 *
 *     NONE    no position
 *     AT      `path` leads to a record
 *     PARKED  `note` is the key of a record; the path is void, found again when next used
 *     END     behind the last record (the record it stood at was deleted and none follows)
 *
 * With `before` (AT, PARKED) the cursor stands before that record rather than at it: its own was
 * deleted. END is always so.
 *
 * Only cursors of write txns are listed at their tree and ever parked.
 *
 * Internal to tree/.
 */
#ifndef KVI_TREE_CURSOR_H
#define KVI_TREE_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "format/node.h"
#include "tree/path.h"
#include "tree/tree.h"

enum kvi_cursor_state { KVI_CURSOR_NONE, KVI_CURSOR_AT, KVI_CURSOR_PARKED, KVI_CURSOR_END };

struct kvi_cursor {
    struct kvi_tree *tree;
    struct kvi_step *leaf; /* AT: the path's last step */
    unsigned leaf_count;   /* AT: slots of that leaf */
    uint32_t ahead_bytes;  /* of the leaf ahead, to be asked for at each step; 0: nothing */
    const uint8_t *ahead;  /* the leaf that a forward scan comes to next; only ever prefetched */
    enum kvi_cursor_state state;
    unsigned item; /* AT, with duplicates: which value of the set */
    bool before;
    bool marked;             /* the record at it is being deleted (within one call) */
    enum kvi_cell_kind kind; /* PARKED: of the record noted */
    struct kvi_path path;
    uint8_t *note; /* PARKED: the key; kept for reuse in other states */
    size_t note_bytes;
    size_t note_room;
    struct kvi_cursor *next;  /* tree->cursors */
    struct kvi_cursor **link; /* the pointer that points here; NULL: not listed */
};

/* The path was set: makes the cursor AT its record, with duplicates at value `item` of the set
 * there (KVI_ITEM_LAST: the last). A failure leaves it without a position. */
#define KVI_ITEM_LAST UINT32_MAX
KVI_MUST_CHECK int kvi_cursor_settle(struct kvi_cursor *cursor, unsigned item);

/* Notes a record and parks the cursor there; `value` with duplicates only. ENOMEM: unchanged. */
KVI_MUST_CHECK int kvi_cursor_note(struct kvi_cursor *cursor, struct kvi_key key,
                                   struct kvi_key value, enum kvi_cell_kind kind, bool before);

/* Finds a parked cursor's place again; other states are left alone. */
KVI_MUST_CHECK int kvi_cursor_unpark(struct kvi_cursor *cursor);

/* Parks all cursors of the tree but one (may be NULL). */
KVI_MUST_CHECK int kvi_cursors_park(struct kvi_tree *tree, const struct kvi_cursor *except);

/* Before the record `key` is deleted (with duplicates the pair; value NULL: all pairs of the key):
 * marks the parked cursors at it (or before it); whether there are any. */
bool kvi_cursors_mark(struct kvi_tree *tree, struct kvi_key key, const struct kvi_key *value);

/* The marked cursors stand before `successor` (with duplicates its value number `item`), or at the
 * end (NULL). Unmarks them. */
KVI_MUST_CHECK int kvi_cursors_follow(struct kvi_tree *tree, const struct kvi_leaf_cell *successor,
                                      unsigned item);

/* The same for one cursor, by a path to the successor that stays good. */
KVI_MUST_CHECK int kvi_cursor_follow_path(struct kvi_cursor *self, const struct kvi_path *path,
                                          unsigned item);

#endif
