/* SPDX-License-Identifier: MIT */
/*
 * A cursor's state, and what changes of its tree do to it.
 *
 *     NONE    no position
 *     AT      `path` leads to a record's cell, with duplicates `item` to the value in its set
 *     PARKED  `note` is a record's key (and value); the path is void, found again when next used
 *     END     behind the last record (the record it stood at was deleted and none follows)
 *
 * With `before` (AT, PARKED) the cursor stands before that record rather than at it: its own was
 * deleted. END is always so. With duplicates such a cursor still belongs to the key of the record
 * that was deleted, `own`, as long as that has other values: it depends on this key what the value
 * and key moves do.
 *
 *     "b": 1 2 [3] 4       3 deleted: before 4;           own b, the key of the record behind
 *     "b": 1 2 [3]  "c": 7 3 deleted: before ("c", 7);    own b, the key of the record in front
 *     "b": [3]      "c": 7 3 deleted: before ("c", 7);    own b, which is gone
 *
 * A cursor may be confined to a range of keys (cursor_bound.c). In each leaf that it comes to, it
 * then knows the slots that lie inside; a put may leave it outside.
 *
 * Only cursors of write txns are listed at their tree and ever parked.
 *
 * cursor.c moves and reads; cursor_park.c parks, unparks, and follows deletes; cursor_bound.c
 * bounds; cursor_values.c moves by keys and by values; cursor_read.c reads many records at once;
 * cursor_nth.c finds by counts; cursor_change.c puts and deletes.
 *
 * Internal to tree/. One thread at a time for a cursor.
 */
#ifndef KVI_TREE_CURSOR_H
#define KVI_TREE_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "format/node.h"
#include "format/set.h"
#include "tree/path.h"
#include "tree/tree.h"

enum kvi_cursor_state { KVI_CURSOR_NONE, KVI_CURSOR_AT, KVI_CURSOR_PARKED, KVI_CURSOR_END };

/* A key, and a value behind it, that a cursor keeps. */
struct kvi_cursor_note {
    uint8_t *bytes; /* kept for reuse */
    size_t room;
    size_t key_bytes;
    size_t value_bytes;
};

struct kvi_cursor_bounds;

struct kvi_cursor {
    struct kvi_tree *tree;
    struct kvi_step *leaf; /* AT: the path's last step */
    unsigned step_end;     /* AT: KV_NEXT's quick way goes to slots below it; 0: there is none */
    uint32_t ahead_bytes;  /* of the leaf ahead, to be asked for at each step; 0: nothing */
    const uint8_t *ahead;  /* the leaf that a scan comes to next; only ever prefetched */
    enum kvi_cursor_state state;
    bool before;
    bool marked;             /* the record at it is being deleted (within one call) */
    enum kvi_cell_kind kind; /* PARKED: of the record noted */
    unsigned slot_begin;     /* AT: the slots of the leaf that are in bounds */
    unsigned slot_end;       /* (all of them without bounds) */
    unsigned item;           /* AT, duplicates: which value of the set */
    struct kvi_set set;      /* AT, duplicates: of the cell; else count 0 */
    struct kvi_key key;      /* AT, duplicates: of the cell */
    bool key_ends;           /* AT, duplicates: known to be the last cell of its key */
    int64_t leaf_steps;      /* leaves come to in one direction, where order can't be told */
    struct kvi_cursor_bounds *bounds; /* NULL: none */
    struct kvi_path path;
    struct kvi_cursor_note note; /* PARKED */
    struct kvi_cursor_note own;  /* `before` and END, duplicates: the key (and value) deleted */
    struct kvi_cursor *next;     /* tree->cursors */
    struct kvi_cursor **link;    /* the pointer that points here; NULL: not listed */
};

static inline struct kvi_key kvi_note_key(const struct kvi_cursor_note *note)
{
    return (struct kvi_key){note->bytes, note->key_bytes};
}

static inline struct kvi_key kvi_note_value(const struct kvi_cursor_note *note)
{
    return (struct kvi_key){note->bytes + note->key_bytes, note->value_bytes};
}

/* ---- cursor.c: positions ---- */

/* The path was set: makes the cursor AT its record, with duplicates at value `item` of the set
 * there (KVI_ITEM_LAST: the last). A failure leaves it without a position. */
#define KVI_ITEM_LAST UINT32_MAX
KVI_MUST_CHECK int kvi_cursor_settle(struct kvi_cursor *cursor, unsigned item);

/* The same with duplicates, when the set at the path's place is known already. */
KVI_MUST_CHECK int kvi_cursor_settle_set(struct kvi_cursor *cursor,
                                         const struct kvi_leaf_cell *cell,
                                         const struct kvi_set *set, unsigned item);

/* AT, with duplicates: the leaf's slot was changed; the rest is made to fit it. */
KVI_MUST_CHECK int kvi_cursor_set_here(struct kvi_cursor *cursor, unsigned item);

/* kvi_cursor_settle with a path of its own, unless it leads out of the cursor's bounds:
 * KV_ENOTFOUND, nothing moved. */
KVI_MUST_CHECK int kvi_cursor_adopt(struct kvi_cursor *cursor, const struct kvi_path *path,
                                    unsigned item);

/* AT: whether the record (or the one that it stands before) is in bounds. */
static inline bool kvi_cursor_inside(const struct kvi_cursor *cursor)
{
    return cursor->leaf->slot >= cursor->slot_begin && cursor->leaf->slot < cursor->slot_end;
}

/* A scan came to another leaf: finds the one that follows, so that its lines are asked for while
 * the records of this one are read. Cells stand in no order, which is more than the processor
 * foresees. */
void kvi_cursor_look_ahead(struct kvi_cursor *cursor, bool forward);

#define KVI_CURSOR_LINE_BYTES 64u

/* At each step the part of the leaf ahead is asked for that lies as far in as this slot in its
 * own leaf. */
static inline void kvi_cursor_prefetch(const struct kvi_cursor *cursor, unsigned slot)
{
    size_t from = (size_t)cursor->ahead_bytes * slot;

    for (uint32_t at = 0; at < cursor->ahead_bytes; at += KVI_CURSOR_LINE_BYTES)
        __builtin_prefetch(cursor->ahead + from + at); /* no bytes: ahead may be NULL */
}

/* AT: to the record after (forward) or before the one there, in bounds. KV_ENOTFOUND: the
 * position is kept. With another cell's record its first value, or backward its last. */
KVI_MUST_CHECK int kvi_cursor_step(struct kvi_cursor *cursor, bool forward);

/* To the first or last record in bounds. KV_ENOTFOUND: no position. */
KVI_MUST_CHECK int kvi_cursor_edge(struct kvi_cursor *cursor, enum kvi_path_end end);

/* Any op of kv_cursor_get: moves only, *key and *value as there. */
KVI_MUST_CHECK int kvi_cursor_move(struct kvi_cursor *cursor, int op, const struct kvi_key *key,
                                   struct kvi_tree_value *value);

/* KV_CURRENT: a cursor that stood before a record stands at it. */
KVI_MUST_CHECK int kvi_cursor_current(struct kvi_cursor *cursor);

/* AT: the cell there; KV_ECORRUPT. */
KVI_MUST_CHECK int kvi_cursor_cell(const struct kvi_cursor *cursor, struct kvi_leaf_cell *cell_out);

/* Whether two keys that were read from the tree are the same. */
bool kvi_cursor_same_key(const struct kvi_tree *tree, struct kvi_key a, struct kvi_key b);

/* Leaves that follow one another must ascend: `left` before `right`. `cursor` came to one of them
 * from the other. */
KVI_MUST_CHECK int kvi_cursor_check_order(struct kvi_cursor *cursor, const uint8_t *left,
                                          const uint8_t *right, bool forward);

/* A search has led the path to a place that may be behind a leaf's last cell: to the record there,
 * and to the one in front of that place. Without a look at the bounds; KV_ENOTFOUND. */
KVI_MUST_CHECK int kvi_cursor_settle_forward(struct kvi_cursor *cursor);
KVI_MUST_CHECK int kvi_cursor_settle_backward(struct kvi_cursor *cursor);

/* What a move (result rc) comes to when it led out of bounds: KV_ENOTFOUND, no position. */
KVI_MUST_CHECK int kvi_cursor_only_inside(struct kvi_cursor *cursor, int rc);

/* ---- cursor_search.c ---- */

/* KV_EXACT, KV_AT_LEAST, KV_AT_MOST, and with duplicates KV_EXACT_PAIR, KV_AT_LEAST_VALUE. */
KVI_MUST_CHECK int kvi_cursor_search(struct kvi_cursor *cursor, int op, struct kvi_key key,
                                     const struct kvi_tree_value *value);

/* With duplicates: to the first record that is not before the pair, in bounds or not; *exact_out
 * tells whether it is the pair. KV_ENOTFOUND: there is none. */
KVI_MUST_CHECK int kvi_cursor_find_pair(struct kvi_cursor *cursor, struct kvi_key key,
                                        struct kvi_key value, bool *exact_out);

/* ---- cursor_bound.c ---- */

/* AT, with bounds: finds slot_begin and slot_end in the leaf. */
KVI_MUST_CHECK int kvi_cursor_confine(struct kvi_cursor *cursor);

/* To the end of the bounds (which has one there, else of the table): a path to the first record
 * inside, whose slot may be its leaf's count, or to the first record behind. An empty tree: depth
 * 0. */
KVI_MUST_CHECK int kvi_cursor_bound_edge(struct kvi_cursor *cursor, enum kvi_path_end end,
                                         bool *given_out);

void kvi_cursor_unbound(struct kvi_cursor *cursor);

/* The records before the bounds, and those before their end, in a tree that counts. */
KVI_MUST_CHECK int kvi_cursor_bound_ranks(struct kvi_cursor *cursor, struct kvi_counts *begin_out,
                                          struct kvi_counts *end_out);

/* ---- cursor_values.c ---- */

/* The moves that know keys and values: KV_NEXT_KEY, KV_PREV_KEY, and all from KV_FIRST_VALUE to
 * KV_PREV_VALUES, in a tree with duplicates. *value is set by those that give pieces. */
KVI_MUST_CHECK int kvi_cursor_move_values(struct kvi_cursor *cursor, int op,
                                          struct kvi_tree_value *value);

/* AT, fixed-size values: the piece that begins (forward) or ends with the value at the cursor,
 * which moves to its last (first) value. KV_ECORRUPT. */
KVI_MUST_CHECK int kvi_cursor_piece(struct kvi_cursor *cursor, bool forward,
                                    struct kvi_tree_value *value_out);

/* The key that value moves are about, copied into cursor->own. KV_EINVAL without a position,
 * KV_ENOTFOUND behind the last record (in bounds). With duplicates. */
KVI_MUST_CHECK int kvi_cursor_own_key(struct kvi_cursor *cursor);

/* ---- cursor_park.c ---- */

/* Notes a record and parks the cursor there; `value` with duplicates only. ENOMEM: unchanged. */
KVI_MUST_CHECK int kvi_cursor_note(struct kvi_cursor *cursor, struct kvi_key key,
                                   struct kvi_key value, enum kvi_cell_kind kind, bool before);

/* Keeps the key of a record that is about to be deleted. */
KVI_MUST_CHECK int kvi_cursor_keep_own(struct kvi_cursor *cursor, struct kvi_key key);

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
