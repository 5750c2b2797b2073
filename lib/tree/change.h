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
    struct kvi_key key; /* of the record; kept for the whole change once `rewritten` */
    bool append;        /* the insert goes on an ascending run: leave full pages behind */
    bool rewritten;     /* pages were rewritten, so that the path is void */
    uint8_t *landed;    /* then: the leaf that holds the record now, and its slot there */
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

/* Puts by key: change->path leads to the record afterwards, unless `rewritten`. KV_EEXIST: the path
 * leads to the record that is there. */
KVI_MUST_CHECK int kvi_put_key(struct kvi_change *change, struct kvi_key key,
                               struct kvi_tree_put *put, uint32_t flags);

/* Appends in place to tree->last_leaf, which is known; the other cursors are parked. Takes no
 * memory: a spill that is due waits for a change that goes the long way. KV_EPAGEFULL: nothing was
 * changed, and only the long way can tell. */
KVI_MUST_CHECK int kvi_put_last(struct kvi_tree *tree, struct kvi_key key, struct kvi_tree_put *put,
                                uint32_t flags);

/* Replaces the value of the record at change->path. */
KVI_MUST_CHECK int kvi_put_at(struct kvi_change *change, struct kvi_tree_put *put, uint32_t flags);

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

/* The whole separator of a branch's slot, in the arena; size 0 for slot 0. */
KVI_MUST_CHECK int kvi_separator_at(struct kvi_change *change, const uint8_t *branch, unsigned slot,
                                    struct kvi_key *separator_out);

/* ---- split.c ---- */

/* Makes room for what the page at `index` could not take in place, up to a new root if need be. */
KVI_MUST_CHECK int kvi_split(struct kvi_change *change, unsigned index,
                             struct kvi_pending *pending);

/* Inserts pending children into a branch as it stands; false: some are left in *pending. */
bool kvi_branch_take(const struct kvi_geometry *g, uint8_t *image, struct kvi_pending *pending);

/* ---- delete.c ---- */

/* Deletes the record at change->path (touched here). `self` (may be NULL) is the cursor that stands
 * there: it is left before the record that follows. */
KVI_MUST_CHECK int kvi_delete_at(struct kvi_change *change, struct kvi_cursor *self);

#endif
