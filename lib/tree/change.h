/* SPDX-License-Identifier: MIT */
/*
 * One change of a tree: what put, split, delete and merge share while it runs.
 *
 * A change begins by parking the tree's cursors and ends by releasing its scratch memory and, when
 * the txn is over its budget, spilling. Spilling waits for the end because arguments may point into
 * dirty pages; a put with KV_RESERVE, which hands out a pointer into one, spills before and copies
 * its key first.
 *
 * Pages grow and shrink by gather, plan, emit (rewrite.c): a *group* is one page, or two neighbours
 * under one parent, whose cells are taken out into items; they are shared out anew, and what the
 * parent must then take is left in a *pending* list. Scratch memory lives in an arena until the
 * change ends, so that items may point to copies of pages that were overwritten since.
 *
 * Internal to tree/. One thread at a time.
 */
#ifndef KVI_TREE_CHANGE_H
#define KVI_TREE_CHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "format/node.h"
#include "format/plan.h"
#include "tree/path.h"
#include "tree/tree.h"
#include "tree/value.h"

/* ---- Scratch memory ---- */

struct kvi_arena_block;

struct kvi_arena {
    struct kvi_arena_block *blocks;
};

/* Aligned memory that lives until the arena is released; NULL: none. */
void *kvi_arena_take(struct kvi_arena *arena, size_t size_bytes);
void kvi_arena_release(struct kvi_arena *arena);

/* Copies bytes into the arena and points *data at the copy. 0 or ENOMEM. */
KVI_MUST_CHECK int kvi_arena_keep(struct kvi_arena *arena, const uint8_t **data, size_t size_bytes);

/* ---- A change ---- */

struct kvi_change {
    struct kvi_tree *tree;
    struct kvi_path *path; /* to the record; touched before pages are changed */
    struct kvi_arena arena;
    struct kvi_key key;   /* of the record; kept for the whole change once `rewritten` */
    struct kvi_key value; /* with duplicates: of the pair; likewise */
    unsigned item;        /* with duplicates: which value of the set at `path` */
    bool append;          /* the insert goes on an ascending run: leave full pages behind */
    bool rewritten;       /* pages were rewritten, so that the path is void */
    uint8_t *landed;      /* then: the leaf that holds the record now, and its slot there */
    unsigned landed_slot;
};

/* Parks all cursors but `self` (may be NULL). `flags` are those of the put (0: a delete). */
KVI_MUST_CHECK int kvi_change_begin(struct kvi_change *change, struct kvi_tree *tree,
                                    struct kvi_path *path, struct kvi_cursor *self, uint32_t flags,
                                    struct kvi_key *key);

/* Releases scratch; after success of a change without KV_RESERVE spills if need be, parking every
 * cursor of the txn. Returns rc, or what went wrong here. */
KVI_MUST_CHECK int kvi_change_end(struct kvi_change *change, uint32_t flags, int rc);

/* ---- put.c ---- */

/* Puts by key, in a tree of any shape: change->path (with duplicates: and item) leads to the record
 * afterwards, unless `rewritten`: then change->key (and change->value) tell it. KV_EEXIST: the path
 * leads to the record that is there, with KV_NOOVERWRITE to the key's first value. Only from here
 * and from kvi_tree_put are the record's key_bytes and item_bytes set. */
KVI_MUST_CHECK int kvi_put_key(struct kvi_change *change, struct kvi_key key,
                               struct kvi_tree_put *put, uint32_t flags);

/* Appends in place to tree->last_leaf, which is known; the other cursors are parked. Takes no
 * memory: a spill that is due waits for a change that goes the long way. KV_EPAGEFULL: nothing was
 * changed, and only the long way can tell. */
KVI_MUST_CHECK int kvi_put_last(struct kvi_tree *tree, struct kvi_key key, struct kvi_tree_put *put,
                                uint32_t flags);

/* Replaces the value of the record at change->path; with duplicates moves the pair that change->item
 * names to where its new value belongs: KV_EEXIST, nothing changed, if the key has that already. */
KVI_MUST_CHECK int kvi_put_at(struct kvi_change *change, struct kvi_tree_put *put, uint32_t flags);

/* The first record makes the root: an empty leaf, to which the path leads. */
KVI_MUST_CHECK int kvi_put_root(struct kvi_tree *tree, struct kvi_path *path);

/* The record's key_bytes and item_bytes, where the first put sets them. */
void kvi_put_set_sizes(struct kvi_tree *tree, size_t key_bytes, size_t value_bytes);

/* Follows ascending runs: a record (with duplicates value `item` of its set) is being inserted at
 * `slot` of the leaf. */
void kvi_put_note_tail(struct kvi_tree *tree, const uint8_t *leaf, unsigned slot, unsigned item);

/* Whether that belongs to such a run: `at_end` tells that nothing stands behind it in its leaf. */
bool kvi_put_on_tail(const struct kvi_change *change, bool at_end);

/* ---- pair_put.c, pair_many.c, pair_delete.c: trees with duplicates ---- */

/* kvi_put_key, kvi_put_at and kvi_delete_at go on here. */
KVI_MUST_CHECK int kvi_pair_put(struct kvi_change *change, struct kvi_tree_put *put,
                                uint32_t flags);
KVI_MUST_CHECK int kvi_pair_move(struct kvi_change *change, struct kvi_tree_put *put,
                                 uint32_t flags);
/* kvi_tree_put_many, key in change->key. What the path leads to afterwards is not told. */
KVI_MUST_CHECK int kvi_pair_put_many(struct kvi_change *change, const struct kvi_tree_put *put,
                                     uint32_t flags);
KVI_MUST_CHECK int kvi_pair_delete_at(struct kvi_change *change, struct kvi_cursor *self);

/* ---- counts.c ---- */

/* Adds to the record's totals and, in a tree that counts, to the cells along a touched path. Before
 * the pages of the path are rewritten. */
KVI_MUST_CHECK int kvi_counts_add(struct kvi_tree *tree, const struct kvi_path *path,
                                  int64_t records, int64_t keys);

/* One cell of a dirty branch page that counts: adds, or sets. */
KVI_MUST_CHECK int kvi_counts_add_cell(const struct kvi_tree *tree, uint8_t *branch, unsigned slot,
                                       int64_t records, int64_t keys);
KVI_MUST_CHECK int kvi_counts_set_cell(const struct kvi_tree *tree, uint8_t *branch, unsigned slot,
                                       struct kvi_counts counts);

/* What stands in or below a page; zeros in a tree that does not count. */
KVI_MUST_CHECK int kvi_counts_page(const struct kvi_tree *tree, const uint8_t *page,
                                   struct kvi_counts *counts_out);

/* ---- rewrite.c: gather and emit ---- */

#define KVI_PENDING_MAX 2u

/* What a page must take in from `slot` on: a new record, or the pages that a split below made. */
struct kvi_pending {
    struct kvi_item items[KVI_PENDING_MAX];
    unsigned count;
    unsigned slot;
};

enum kvi_side { KVI_ALONE, KVI_WITH_LEFT, KVI_WITH_RIGHT };

struct kvi_group {
    unsigned index; /* of the step whose page this is about */
    unsigned first; /* parent's slot of the first page; unused for a root */
    unsigned pages; /* 1 or 2 */
    uint8_t *images[KVI_PLAN_PAGES_MAX];
    struct kvi_item *items;
    unsigned count;
    unsigned own; /* item number of the page's slot 0 */
};

/* Gathers the page at `index` of the path, alone or with a neighbour (which is made dirty).
 * `pending` (may be NULL) is put among the items. */
KVI_MUST_CHECK int kvi_group_gather(struct kvi_change *change, unsigned index, enum kvi_side side,
                                    const struct kvi_pending *pending, struct kvi_group *group);

/* Writes the items to `pages` pages by `bounds`, adding new pages or freeing one; the parent loses
 * its references to all but the first, and gets them back through pending_out. */
KVI_MUST_CHECK int kvi_group_emit(struct kvi_change *change, struct kvi_group *group,
                                  const unsigned *bounds, unsigned pages,
                                  struct kvi_pending *pending_out);

/* The separator between two neighbouring leaf cells of the tree, in the change's memory. */
KVI_MUST_CHECK int kvi_leaf_separator(struct kvi_change *change, const struct kvi_item *left,
                                      const struct kvi_item *right, struct kvi_key *separator_out);

/* The whole separator of a branch's slot, in the arena; size 0 for slot 0. */
KVI_MUST_CHECK int kvi_separator_at(struct kvi_change *change, const uint8_t *branch, unsigned slot,
                                    struct kvi_key *separator_out);

/* ---- split.c ---- */

/* Makes room for what the page at `index` could not take in place, up to a new root if need be. */
KVI_MUST_CHECK int kvi_split(struct kvi_change *change, unsigned index,
                             struct kvi_pending *pending);

/* The same for the leaf of the path and one new cell before `slot` of it: change->key, which is kept
 * for the change, with this payload, likewise. */
KVI_MUST_CHECK int kvi_split_leaf(struct kvi_change *change, unsigned slot, enum kvi_cell_kind kind,
                                  const uint8_t *payload, uint32_t payload_bytes);

/* Inserts pending children into a branch as it stands; false: some are left in *pending. */
bool kvi_branch_take(const struct kvi_geometry *g, uint8_t *image, struct kvi_pending *pending);

/* ---- delete.c ---- */

/* Deletes the record at change->path (touched here), whose key is change->key; with duplicates the
 * value change->item of the set there (change->value is set here). `self` (may be NULL) is the
 * cursor that stands there: it is left before the record that follows, with a path or parked. */
KVI_MUST_CHECK int kvi_delete_at(struct kvi_change *change, struct kvi_cursor *self);

/* With duplicates: deletes change->key with all its values, wherever the path leads. `self` (may be
 * NULL) stands at one of them. KV_ENOTFOUND: there is none. */
KVI_MUST_CHECK int kvi_delete_key(struct kvi_change *change, struct kvi_cursor *self);

/* Whether less than a quarter of a page is in use (T3). */
bool kvi_page_underfull(const struct kvi_geometry *g, const uint8_t *page);

/* Whether the leaf at the path may stay as it is after cells were taken out of it; and what is to be
 * done if not, the path is void then. */
bool kvi_delete_stays(const struct kvi_change *change);
KVI_MUST_CHECK int kvi_delete_rebalance(struct kvi_change *change);

/* Merges the page at `index` > 0 of the path, which is touched so far down, with a neighbour, or
 * evens the two out; an only child is left as it is. *split_out: the parent had to be split for it,
 * and the path is void. */
KVI_MUST_CHECK int kvi_relieve(struct kvi_change *change, unsigned index, bool *split_out);

/* A branch root with one child gives way to it. */
KVI_MUST_CHECK int kvi_collapse_root(struct kvi_tree *tree);

#endif
