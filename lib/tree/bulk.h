/* SPDX-License-Identifier: MIT */
/*
 * A bulk build from the inside: what its files share.
 *
 *     level 2              [ cur ]                         sheets: cells, not yet a page of the tree
 *                         /      \
 *     level 1     page      held  [ cur ]
 *                /    \      ...       \
 *     level 0  page page page  held  [ cur ]  <- records
 *
 * At each level one sheet is open, and the one before it is held back until the open one is full,
 * so that the last two of a level can be evened out at the end. A held sheet that is let go becomes
 * a page: staged (pager.h), and its reference added to the sheet above. A leaf's sheet is the page
 * itself, as far as it is filled; a branch's is a list of items, as its prefix is known late.
 *
 *   bulk.c        records: in order or not, begin and end
 *   bulk_set.c    with duplicates: values of one key on their way into a cell
 *   bulk_sheet.c  cells and references into sheets, sheets into pages
 *   bulk_edge.c   the tree's right edge: taken into sheets, and put back whole
 *   bulk_copy.c   all records of another tree
 *
 * While a build is open its tree has no root: the right edge is in the sheets. Closing it, for
 * records out of order or at the end, makes the tree whole.
 *
 * Internal to tree/. One thread at a time.
 */
#ifndef KVI_TREE_BULK_H
#define KVI_TREE_BULK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/limits.h"
#include "format/fill.h"
#include "format/node.h"
#include "format/set.h"
#include "tree/path.h"
#include "tree/tree.h"

/* The cells of a page to be. */
struct kvi_bulk_sheet {
    /* leaf */
    struct kvi_fill fill;
    /* branch; separators are in `bytes` */
    struct kvi_item *items;
    unsigned count;
    uint8_t *bytes;
    size_t used;
    size_t room;
    uint64_t weight; /* bytes of a page that has the items, without a prefix */
    /* both */
    bool mixed;         /* some cells may refer to dirty pages or runs */
    uint8_t *separator; /* under which the level above knows it */
    uint32_t separator_bytes;
};

struct kvi_bulk_level {
    struct kvi_bulk_sheet sheets[2];
    unsigned current; /* the open one */
    bool held;        /* the other one is full and held back */
};

/* With duplicates: the last key and its last values, not yet a cell. */
struct kvi_bulk_set {
    uint8_t *key;
    uint32_t key_bytes;
    uint8_t *values;
    uint32_t values_bytes;
    uint8_t *ends;       /* u16 each, as in a set */
    uint32_t count;      /* 0: no record yet */
    uint32_t item_bytes; /* size of each; 0: they differ, or it is 0 */
    bool continued;
};

/* A record that was noted. */
struct kvi_bulk_note {
    uint8_t *key;   /* room for the longest */
    uint8_t *value; /* with duplicates; likewise */
    size_t key_bytes;
    size_t value_bytes;
};

enum kvi_bulk_state {
    KVI_BULK_BEGUN,   /* nothing came yet */
    KVI_BULK_OPEN,    /* the right edge is in sheets */
    KVI_BULK_ORDINARY /* the tree is whole, the last record noted */
};

struct kvi_bulk {
    struct kvi_tree *tree;
    struct kvi_stage *stage;
    enum kvi_bulk_state state;
    bool trusted;      /* records come in order: never compared */
    uint32_t limit;    /* bytes of a page to be filled */
    unsigned in_order; /* ORDINARY: records in a row that were above all */
    struct kvi_bulk_level *levels[KVI_DEPTH_MAX]; /* NULL: not reached yet */
    struct kvi_bulk_set set;
    struct kvi_bulk_note last;           /* ORDINARY: the last record of the tree */
    uint8_t *room;                       /* for a separator of any two records of a page */
    struct kvi_ref freed[KVI_DEPTH_MAX]; /* pages of the edge that are in sheets now */
    unsigned freed_count;
};

/* ---- bulk.c ---- */

/* Into a trusted build with duplicates: a value behind all others, of the last key or of another. */
KVI_MUST_CHECK int kvi_bulk_put_pair(struct kvi_bulk *bulk, struct kvi_key key,
                                     struct kvi_key value, bool same_key);

/* ---- bulk_sheet.c ---- */

static inline struct kvi_bulk_sheet *kvi_bulk_sheet(const struct kvi_bulk *bulk, unsigned level)
{
    struct kvi_bulk_level *at = bulk->levels[level];

    return &at->sheets[at->current];
}

static inline unsigned kvi_bulk_count(const struct kvi_bulk_sheet *sheet, unsigned level)
{
    return level ? sheet->count : sheet->fill.count;
}

/* More cells than any branch has. */
unsigned kvi_bulk_items_max(const struct kvi_geometry *g);

/* Room for more separators of a branch; false: no memory. */
KVI_MUST_CHECK bool kvi_bulk_reserve(struct kvi_bulk_sheet *sheet, size_t more_bytes);

/* Makes a level, its open sheet empty; there already: nothing. */
KVI_MUST_CHECK int kvi_bulk_level(struct kvi_bulk *bulk, unsigned level);

/* Frees all levels. */
void kvi_bulk_release_levels(struct kvi_bulk *bulk);

/* Empties a sheet, which is made if it was not yet; a leaf gets a new buffer if it has none. */
KVI_MUST_CHECK int kvi_bulk_clear(struct kvi_bulk *bulk, unsigned level,
                                  struct kvi_bulk_sheet *sheet);
void kvi_bulk_set_separator(struct kvi_bulk_sheet *sheet, struct kvi_key separator);

/* Appends a cell behind the last one; `value`: with duplicates its first value. *payload_out: where
 * its payload is to be written. */
KVI_MUST_CHECK int kvi_bulk_add_slowly(struct kvi_bulk *bulk, struct kvi_key key,
                                       struct kvi_key value, enum kvi_cell_kind kind,
                                       uint32_t payload_bytes, uint8_t **payload_out);
KVI_MUST_CHECK static inline int kvi_bulk_add(struct kvi_bulk *bulk, struct kvi_key key,
                                              struct kvi_key value, enum kvi_cell_kind kind,
                                              uint32_t payload_bytes, uint8_t **payload_out)
{
    struct kvi_fill *fill = &kvi_bulk_sheet(bulk, 0)->fill;

    *payload_out = kvi_fill_add(fill, key, kind, payload_bytes);
    if (KVI_LIKELY(*payload_out != NULL))
        return 0;
    return kvi_bulk_add_slowly(bulk, key, value, kind, payload_bytes, payload_out);
}

/* Adds a page of the level below. */
KVI_MUST_CHECK int kvi_bulk_add_page(struct kvi_bulk *bulk, unsigned level,
                                     struct kvi_key separator, struct kvi_ref ref,
                                     struct kvi_counts counts);

/* Makes the held sheet of a level, which there is, a page. */
KVI_MUST_CHECK int kvi_bulk_let_go(struct kvi_bulk *bulk, unsigned level);

/* Makes a sheet a dirty page. */
KVI_MUST_CHECK int kvi_bulk_make_dirty(struct kvi_bulk *bulk, unsigned level,
                                       struct kvi_bulk_sheet *sheet, struct kvi_ref *ref_out,
                                       struct kvi_counts *counts_out);

/* The separator between two neighbouring cells of a leaf; it may point into the right one. `value`:
 * its first. */
KVI_MUST_CHECK int kvi_bulk_separator(struct kvi_bulk *bulk, const struct kvi_leaf_cell *left,
                                      struct kvi_key key, struct kvi_key value,
                                      struct kvi_key *separator_out);

/* ---- bulk_set.c ---- */

KVI_MUST_CHECK int kvi_bulk_set_open(struct kvi_bulk *bulk);
void kvi_bulk_set_release(struct kvi_bulk *bulk);

/* Takes a value behind all others in: of a new key, or of the same one. */
KVI_MUST_CHECK int kvi_bulk_set_put(struct kvi_bulk *bulk, struct kvi_key key, struct kvi_key value,
                                    bool same_key);

/* What is gathered becomes a cell; then the set is empty. */
KVI_MUST_CHECK int kvi_bulk_set_flush(struct kvi_bulk *bulk);

/* Takes the last cell of a leaf in, out of which it goes. */
KVI_MUST_CHECK int kvi_bulk_set_take(struct kvi_bulk *bulk, uint8_t *leaf);

static inline struct kvi_key kvi_bulk_set_key(const struct kvi_bulk *bulk)
{
    return (struct kvi_key){bulk->set.key, bulk->set.key_bytes};
}

/* The last value taken in. */
struct kvi_key kvi_bulk_set_last(const struct kvi_bulk *bulk);

/* ---- bulk_edge.c ---- */

/* Takes the tree's right edge into sheets: the build is open. The pages are freed by
 * kvi_bulk_edge_free, after the record at hand, which may point into them, was taken in. */
KVI_MUST_CHECK int kvi_bulk_edge_take(struct kvi_bulk *bulk);
KVI_MUST_CHECK int kvi_bulk_edge_free(struct kvi_bulk *bulk);

/* Makes the tree whole again, with all records that were taken in. */
KVI_MUST_CHECK int kvi_bulk_edge_put(struct kvi_bulk *bulk);

#endif
