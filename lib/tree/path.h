/* SPDX-License-Identifier: MIT */
/*
 * The way from a tree's root to one slot of a leaf, and how it is found and moved.
 *
 *     steps[0]           root       slot of the child that steps[1] is
 *     ...
 *     steps[depth - 1]   leaf       slot of the record
 *
 * A path that was entered with KVI_PATH_TOUCH has every page changeable (copied from the root down,
 * so that each new reference is stored in a parent that is dirty already); its images stay valid
 * until they are freed or spilled. One that was only read points into the mapping or into images,
 * and is void after the tree's next change.
 *
 * Every page on the way passed its frame check, has the type and level that its place asks for, and
 * at least one slot; anything else is KV_ECORRUPT, and the path then undefined.
 *
 * Internal to tree/. One thread at a time.
 */
#ifndef KVI_TREE_PATH_H
#define KVI_TREE_PATH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"
#include "base/limits.h"
#include "format/node.h"
#include "kv.h"
#include "tree/tree.h"

/* Heads and offsets of a full 4 KiB branch of short separators, and of a leaf of records of a
 * hundred bytes. Lines that are near cost next to nothing to ask for. */
#define KVI_PREFETCH_BRANCH_LINES 16u
#define KVI_PREFETCH_LEAF_LINES 4u
#define KVI_PREFETCH_LINE_BYTES 64u

struct kvi_step {
    const uint8_t *page;
    uint8_t *image; /* the same bytes, to be changed; NULL when the page was only read */
    unsigned slot;
};

struct kvi_path {
    unsigned depth; /* steps in use: the tree's depth when the path was made; 0: no record */
    struct kvi_step steps[KVI_DEPTH_MAX];
};

enum kvi_path_mode { KVI_PATH_READ, KVI_PATH_TOUCH };

/* Which end kvi_path_edge goes to. */
enum kvi_path_end { KVI_PATH_FIRST, KVI_PATH_LAST };

static inline const struct kvi_geometry *kvi_tree_geometry(const struct kvi_tree *tree)
{
    return &tree->view->map->geometry;
}

static inline enum kvi_page_type kvi_tree_type(unsigned level)
{
    return level == 0 ? KVI_PAGE_LEAF : KVI_PAGE_BRANCH;
}

/* KV_HEADER_FLAGS of the tree's pages. */
static inline unsigned kvi_tree_flags(const struct kvi_tree *tree, unsigned level)
{
    return level == 0 ? tree->leaf_flags : tree->branch_flags;
}

static inline unsigned kvi_path_level(const struct kvi_path *path, unsigned index)
{
    return path->depth - 1 - index;
}

static inline struct kvi_step *kvi_path_leaf(struct kvi_path *path)
{
    return &path->steps[path->depth - 1];
}

/* Asks for the header, heads and offsets of a page of the file that is about to be read. */
static inline void kvi_tree_prefetch(const struct kvi_view *view, struct kvi_ref ref,
                                     unsigned level)
{
    unsigned lines = level > 0 ? KVI_PREFETCH_BRANCH_LINES : KVI_PREFETCH_LEAF_LINES;
    const uint8_t *page;

    if (KVI_UNLIKELY(ref.pgno >= view->page_end))
        return;
    page = view->map->base + (ref.pgno << view->map->geometry.page_shift);
    __builtin_prefetch((const void *)&view->map->notes[ref.pgno]);
    for (unsigned i = 0; i < lines; i++)
        __builtin_prefetch(page + i * KVI_PREFETCH_LINE_BYTES);
}

/* A load whose value is not used: of a page whose translation the processor does not have, a
 * prefetch may be lost. */
static inline void kvi_tree_load_line(const uint8_t *at)
{
    (void)*(const volatile uint8_t *)at;
}

/* The same as kvi_tree_prefetch where pages are read through a view alone, and so are in the file:
 * a write txn's own may lie behind its end, where a load is SIGBUS. */
static KVI_ALWAYS_INLINE void kvi_tree_ask(const struct kvi_view *view, struct kvi_ref ref,
                                           unsigned level)
{
    const struct kvi_map *map = view->map;
    const uint8_t *page;

    if (KVI_UNLIKELY(ref.pgno >= view->page_end || ref.pgno >= map->pages_max))
        return;
    page = map->base + (ref.pgno << map->geometry.page_shift);
    __builtin_prefetch((const void *)&map->notes[ref.pgno]);
    kvi_tree_load_line(page);
    if (level == 0) {
        for (unsigned i = 1; i < KVI_PREFETCH_LEAF_LINES; i++)
            kvi_tree_load_line(page + i * KVI_PREFETCH_LINE_BYTES);
        return;
    }
#pragma GCC unroll 16
    for (unsigned i = 1; i < KVI_PREFETCH_BRANCH_LINES; i++)
        __builtin_prefetch(page + i * KVI_PREFETCH_LINE_BYTES);
}

/* KV_ECORRUPT for a page of this tree. */
int kvi_tree_damaged(const struct kvi_tree *tree, uint64_t pgno, const char *what) KVI_COLD;

/* The page for reading, its frame checked. */
KVI_MUST_CHECK int kvi_tree_page(const struct kvi_tree *tree, struct kvi_ref ref, unsigned level,
                                 const uint8_t **page_out);

/* The reference that a branch page holds at `slot`. */
KVI_MUST_CHECK int kvi_tree_child(const struct kvi_tree *tree, const uint8_t *branch, unsigned slot,
                                  struct kvi_ref *ref_out);

/* A new page of this tree, empty, with the flags that its shape calls for; not yet counted. */
KVI_MUST_CHECK int kvi_tree_new_page(struct kvi_tree *tree, unsigned level, struct kvi_ref *ref_out,
                                     uint8_t **image_out);

/* Makes the child at `slot` of a dirty branch changeable, its new reference stored. */
KVI_MUST_CHECK int kvi_tree_touch_child(struct kvi_tree *tree, uint8_t *branch, unsigned slot,
                                        unsigned level, uint8_t **image_out);

/* A probe of the tree's shape, to be released. KV_ECOMPARATOR, ENOMEM: nothing to release. */
KVI_MUST_CHECK int kvi_tree_probe(const struct kvi_tree *tree, struct kvi_key key,
                                  struct kvi_key value, enum kvi_probe_where where,
                                  struct kvi_probe *probe_out);

/* To the place of a key in a tree of any shape: the first record of the leaf found whose key is >=
 * key; the leaf's slot may equal its count. An empty tree: depth 0. With duplicates the key's first
 * value may stand in the next leaf, see kvi_path_first. KV_ECOMPARATOR. */
KVI_MUST_CHECK int kvi_path_find(struct kvi_tree *tree, struct kvi_key key, enum kvi_path_mode mode,
                                 struct kvi_path *path, bool *exact_out);

/* The same for a probe made with the tree's shape: the slot is that of kvi_leaf_probe, *exact_out
 * tells whether that cell has the probe's key. Separators may fall among the values of a key, so
 * that they reach over several leaves:
 *
 *   VALUE  if the pair exists it is in this cell; if not, it belongs into this cell, or, not exact,
 *          before it in this leaf;
 *   FIRST  not exact and at the leaf's end: the key's first value may begin the next leaf;
 *   LAST   not exact and at the leaf's start: the key's last value may end the leaf before. */
KVI_MUST_CHECK int kvi_path_probe(struct kvi_tree *tree, const struct kvi_probe *probe,
                                  enum kvi_path_mode mode, struct kvi_path *path, bool *exact_out);

/* For reading: to the first record whose key is >= key, with duplicates its first value, on to the
 * next leaf if need be. The slot equals the leaf's count behind the last record only. */
KVI_MUST_CHECK int kvi_path_first(struct kvi_tree *tree, struct kvi_key key, struct kvi_path *path,
                                  bool *exact_out);

/* To the first or last record. An empty tree: depth 0. */
KVI_MUST_CHECK int kvi_path_edge(struct kvi_tree *tree, enum kvi_path_end end,
                                 enum kvi_path_mode mode, struct kvi_path *path);

/* From any place in a leaf to the last record of the leaf before it, or the first of the one after
 * it. KV_ENOTFOUND, the path unchanged, when there is none. For reading. */
KVI_MUST_CHECK int kvi_path_leaf_before(struct kvi_tree *tree, struct kvi_path *path);
KVI_MUST_CHECK int kvi_path_leaf_after(struct kvi_tree *tree, struct kvi_path *path);

/* Makes all pages of a path that was read changeable; slots stay. */
KVI_MUST_CHECK int kvi_path_touch(struct kvi_tree *tree, struct kvi_path *path);

/* The same for the first `count` steps only. */
KVI_MUST_CHECK int kvi_path_touch_steps(struct kvi_tree *tree, struct kvi_path *path,
                                        unsigned count);

/* Reads the pages of a path anew, by its slots: after a spill, which moves none in the tree. */
KVI_MUST_CHECK int kvi_path_again(struct kvi_tree *tree, struct kvi_path *path);

/* Copies what is in use. */
void kvi_path_copy(struct kvi_path *to, const struct kvi_path *from);

#endif
