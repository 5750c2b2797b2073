/* SPDX-License-Identifier: MIT */
/*
 * Bounds of a cursor: a range of keys out of which its moves do not lead.
 *
 * The range is kept as it was given and, ready for searches, as a kvi_range made with the table's
 * shape; an empty table may change its shape under an open cursor, and a renewed txn may see
 * another table, so the latter is made anew when the shape is another.
 *
 * A cursor that comes to a leaf looks once which of its slots are inside (kvi_cursor_confine);
 * steps within the leaf then cost what they cost without bounds. A leaf whose last key is inside
 * needs no search for the end.
 *
 * Owner: the cursor; freed with it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "kv.h"
#include "tree/cursor.h"

struct kvi_cursor_bounds {
    struct kv_range given;  /* points to `vals` */
    struct kv_val vals[3];  /* point to `bytes` */
    struct kvi_shape shape; /* with which `range` was made */
    struct kvi_range range;
    bool ready; /* `range` is made */
    uint8_t bytes[];
};

/* ---- Keeping a range ---- */

static size_t size_of(const struct kv_val *val)
{
    return val ? val->size : 0;
}

/* Copies *val to vals[i] and *at on. */
static const struct kv_val *keep_val(struct kvi_cursor_bounds *bounds, unsigned i, uint8_t **at,
                                     const struct kv_val *val)
{
    if (!val)
        return NULL;
    bounds->vals[i] = (struct kv_val){val->size, *at};
    if (val->size)
        memcpy(*at, val->data, val->size);
    *at += val->size;
    return &bounds->vals[i];
}

static struct kvi_cursor_bounds *keep_range(const struct kv_range *range)
{
    size_t size_bytes = size_of(range->from) + size_of(range->to) + size_of(range->prefix);
    struct kvi_cursor_bounds *bounds = malloc(sizeof(*bounds) + size_bytes);
    uint8_t *at;

    if (!bounds)
        return NULL;
    at = bounds->bytes;
    bounds->ready = false;
    bounds->given.from = keep_val(bounds, 0, &at, range->from);
    bounds->given.to = keep_val(bounds, 1, &at, range->to);
    bounds->given.prefix = keep_val(bounds, 2, &at, range->prefix);
    bounds->given.flags = range->flags;
    return bounds;
}

static void free_bounds(struct kvi_cursor_bounds *bounds)
{
    if (bounds && bounds->ready)
        kvi_range_release(&bounds->range);
    free(bounds);
}

static bool same_shape(const struct kvi_shape *a, const struct kvi_shape *b)
{
    return a->key_order == b->key_order && a->duplicates == b->duplicates &&
           a->custom == b->custom && a->key_custom.compare == b->key_custom.compare &&
           a->key_custom.context == b->key_custom.context;
}

/* Makes `range` for the tree's shape. */
static int prepare(struct kvi_cursor_bounds *bounds, const struct kvi_tree *tree)
{
    int rc;

    if (KVI_LIKELY(bounds->ready && same_shape(&bounds->shape, &tree->shape)))
        return 0;
    if (!kvi_shape_searchable(&tree->shape))
        return kvi_error(KV_ECOMPARATOR, "the table's comparator is not registered");
    if (bounds->ready)
        kvi_range_release(&bounds->range);
    rc = kvi_range_init(&bounds->range, &tree->shape, &bounds->given);
    bounds->ready = rc == 0;
    bounds->shape = tree->shape;
    return rc;
}

static bool can_keep(const struct kv_val *val)
{
    return !val || val->data || val->size == 0;
}

int kvi_cursor_bound(struct kvi_cursor *cursor, const struct kv_range *range)
{
    struct kvi_cursor_bounds *bounds = NULL;

    if (range) {
        int rc;

        if (!can_keep(range->from) || !can_keep(range->to) || !can_keep(range->prefix))
            return kvi_error(KV_EINVAL, "a key of the range is NULL");
        bounds = keep_range(range);
        if (!bounds)
            return kvi_error(ENOMEM, "no memory for a cursor's bounds");
        rc = prepare(bounds, cursor->tree);
        if (rc) {
            free_bounds(bounds);
            return rc;
        }
    }
    kvi_cursor_unbound(cursor);
    cursor->bounds = bounds;
    cursor->state = KVI_CURSOR_NONE;
    return 0;
}

void kvi_cursor_unbound(struct kvi_cursor *cursor)
{
    free_bounds(cursor->bounds);
    cursor->bounds = NULL;
}

/* ---- In a leaf ---- */

/* The leaf's first slot that is not before the place. */
static int slot_at(const struct kvi_cursor *cursor, const struct kvi_probe *place,
                   unsigned *slot_out)
{
    const struct kvi_tree *tree = cursor->tree;
    const uint8_t *page = cursor->leaf->page;
    bool exact = false;
    int slot = kvi_leaf_probe(kvi_tree_geometry(tree), &tree->shape, page, place, &exact);

    if (slot < 0)
        return kvi_tree_damaged(tree, kvi_header_pgno(page), "leaf page with a bad cell");
    *slot_out = (unsigned)slot + (exact && place->where == KVI_PROBE_LAST);
    return 0;
}

/* Whether the record at a slot is before the place. */
static int is_before(const struct kvi_cursor *cursor, unsigned slot, const struct kvi_probe *place,
                     bool *before_out)
{
    const struct kvi_tree *tree = cursor->tree;
    const uint8_t *page = cursor->leaf->page;
    struct kvi_leaf_cell cell;
    int order;

    if (!kvi_leaf_cell_at(kvi_tree_geometry(tree), page, slot, &cell))
        return kvi_tree_damaged(tree, kvi_header_pgno(page), "leaf page with a bad cell");
    order = kvi_shape_compare_keys(&tree->shape, (struct kvi_key){cell.key, cell.key_bytes},
                                   place->key);
    *before_out = place->where == KVI_PROBE_LAST ? order <= 0 : order < 0;
    return 0;
}

int kvi_cursor_confine(struct kvi_cursor *cursor)
{
    const struct kvi_range *range = &cursor->bounds->range;
    unsigned count = kvi_header_count(cursor->leaf->page);
    bool before = false;
    int rc = prepare(cursor->bounds, cursor->tree);

    cursor->slot_begin = 0;
    cursor->slot_end = count;
    if (!rc && range->from_given)
        rc = is_before(cursor, 0, &range->from, &before);
    if (!rc && before)
        rc = slot_at(cursor, &range->from, &cursor->slot_begin);
    if (rc || !range->to_given)
        return rc;
    rc = is_before(cursor, count - 1, &range->to, &before);
    if (!rc && !before)
        rc = slot_at(cursor, &range->to, &cursor->slot_end);
    return rc;
}

/* ---- In the tree ---- */

int kvi_cursor_bound_edge(struct kvi_cursor *cursor, enum kvi_path_end end, bool *given_out)
{
    const struct kvi_range *range = &cursor->bounds->range;
    const struct kvi_probe *place = end == KVI_PATH_FIRST ? &range->from : &range->to;
    bool exact = false;
    int rc = prepare(cursor->bounds, cursor->tree);

    *given_out = !rc && (end == KVI_PATH_FIRST ? range->from_given : range->to_given);
    if (!*given_out)
        return rc;
    rc = kvi_path_probe(cursor->tree, place, KVI_PATH_READ, &cursor->path, &exact);
    if (!rc && exact && place->where == KVI_PROBE_LAST)
        kvi_path_leaf(&cursor->path)->slot++;
    return rc;
}

int kvi_cursor_bound_ranks(struct kvi_cursor *cursor, struct kvi_counts *begin_out,
                           struct kvi_counts *end_out)
{
    struct kvi_tree *tree = cursor->tree;
    int rc;

    *begin_out = (struct kvi_counts){0, 0};
    *end_out = (struct kvi_counts){tree->record.entries, tree->record.keys};
    if (!cursor->bounds)
        return 0;
    rc = prepare(cursor->bounds, tree);
    if (!rc && cursor->bounds->range.from_given)
        rc = kvi_tree_rank(tree, &cursor->bounds->range.from, begin_out);
    if (!rc && cursor->bounds->range.to_given)
        rc = kvi_tree_rank(tree, &cursor->bounds->range.to, end_out);
    return rc;
}
