/* SPDX-License-Identifier: MIT */
/*
 * Cursors: open and close, positions, moves and reads. Parking, bounds, moves by values, many
 * records at once and changes are in the other cursor_*.c; see cursor.h.
 *
 * The common step, to the next record of the same leaf, costs an add, a compare and the decoding of
 * one cell: step_end is 0 for whoever needs more (duplicates, a place out of bounds). A step to
 * another leaf compares the first records of both: they must ascend, so that no scan of a damaged
 * tree comes to the same leaf twice.
 */
#include "tree/cursor.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "format/node_page.h"
#include "kv.h"
#include "tree/value.h"

/* Asked for at one step: a leaf of few large records is not read in whole, but one of sets is. */
#define AHEAD_BYTES_MAX 512u
#define AHEAD_SET_BYTES_MAX 2048u

/* ---- Open, close, lists ---- */

int kvi_cursor_open(struct kvi_tree *tree, struct kvi_cursor **cursor_out)
{
    struct kvi_cursor *cursor = malloc(sizeof(*cursor));

    *cursor_out = NULL;
    if (!cursor)
        return kvi_error(ENOMEM, "no memory for a cursor");
    memset(cursor, 0, offsetof(struct kvi_cursor, path));
    memset(&cursor->note, 0, sizeof(cursor->note));
    memset(&cursor->own, 0, sizeof(cursor->own));
    cursor->path.depth = 0;
    cursor->next = NULL;
    cursor->link = NULL;
    cursor->tree = tree;
    if (tree->pager) {
        cursor->next = tree->cursors;
        cursor->link = &tree->cursors;
        if (cursor->next)
            cursor->next->link = &cursor->next;
        tree->cursors = cursor;
    }
    *cursor_out = cursor;
    return 0;
}

void kvi_cursor_close(struct kvi_cursor *cursor)
{
    if (!cursor)
        return;
    if (cursor->link) {
        *cursor->link = cursor->next;
        if (cursor->next)
            cursor->next->link = cursor->link;
    }
    kvi_cursor_unbound(cursor);
    free(cursor->note.bytes);
    free(cursor->own.bytes);
    free(cursor);
}

void kvi_cursor_rebind(struct kvi_cursor *cursor, struct kvi_tree *tree)
{
    assert(!cursor->link);
    cursor->tree = tree;
    cursor->state = KVI_CURSOR_NONE;
}

/* ---- Positions ---- */

static KVI_ALWAYS_INLINE int cell_here(const struct kvi_cursor *cursor,
                                       struct kvi_leaf_cell *cell_out)
{
    const struct kvi_geometry *g = kvi_tree_geometry(cursor->tree);
    const uint8_t *page = cursor->leaf->page;
    struct kvi_node_frame frame = kvi_node_frame(g, page);

    if (KVI_LIKELY(kvi_leaf_cell_parse(g, &frame, page, cursor->leaf->slot, cell_out)))
        return 0;
    return kvi_tree_damaged(cursor->tree, kvi_header_pgno(page), "leaf page with a bad cell");
}

int kvi_cursor_cell(const struct kvi_cursor *cursor, struct kvi_leaf_cell *cell_out)
{
    return cell_here(cursor, cell_out);
}

static void take_set(struct kvi_cursor *cursor, const struct kvi_leaf_cell *cell,
                     const struct kvi_set *set, unsigned item)
{
    assert(item < set->count || item == KVI_ITEM_LAST);
    cursor->set = *set;
    cursor->key = (struct kvi_key){cell->key, cell->key_bytes};
    cursor->key_ends = false;
    cursor->item = item < set->count ? item : set->count - 1;
}

int kvi_cursor_set_here(struct kvi_cursor *cursor, unsigned item)
{
    struct kvi_leaf_cell cell;
    struct kvi_set set;
    int rc = cell_here(cursor, &cell);

    if (!rc)
        rc = kvi_value_set(cursor->tree, &cell, &set);
    if (KVI_UNLIKELY(rc)) {
        cursor->set.count = 0;
        cursor->state = KVI_CURSOR_NONE;
        return rc;
    }
    take_set(cursor, &cell, &set, item);
    return 0;
}

/* AT the path's leaf, the whole of which is in bounds; without a set. */
static void take_leaf(struct kvi_cursor *cursor)
{
    assert(cursor->path.depth > 0);
    cursor->leaf = kvi_path_leaf(&cursor->path);
    cursor->slot_begin = 0;
    cursor->slot_end = cursor->step_end = kvi_header_count(cursor->leaf->page);
    cursor->state = KVI_CURSOR_AT;
    cursor->before = false;
    cursor->ahead_bytes = 0;
    cursor->item = 0;
    cursor->set.count = 0;
}

static int take_bounds(struct kvi_cursor *cursor)
{
    int rc = kvi_cursor_confine(cursor);

    cursor->step_end = cursor->leaf->slot >= cursor->slot_begin ? cursor->slot_end : 0;
    if (rc)
        cursor->state = KVI_CURSOR_NONE;
    return rc;
}

int kvi_cursor_settle(struct kvi_cursor *cursor, unsigned item)
{
    int rc;

    take_leaf(cursor);
    if (KVI_UNLIKELY(cursor->bounds)) {
        rc = take_bounds(cursor);
        if (rc)
            return rc;
    }
    if (KVI_LIKELY(!cursor->tree->shape.duplicates))
        return 0;
    cursor->step_end = 0;
    return kvi_cursor_set_here(cursor, item);
}

int kvi_cursor_settle_set(struct kvi_cursor *cursor, const struct kvi_leaf_cell *cell,
                          const struct kvi_set *set, unsigned item)
{
    int rc;

    take_leaf(cursor);
    if (KVI_UNLIKELY(cursor->bounds)) {
        rc = take_bounds(cursor);
        if (rc)
            return rc;
    }
    cursor->step_end = 0;
    take_set(cursor, cell, set, item);
    return 0;
}

int kvi_cursor_adopt(struct kvi_cursor *cursor, const struct kvi_path *path, unsigned item)
{
    enum kvi_cursor_state state = cursor->state;
    bool before = cursor->before;
    unsigned item_before = cursor->item;
    struct kvi_path old;
    int rc;

    if (cursor->bounds)
        kvi_path_copy(&old, &cursor->path);
    kvi_path_copy(&cursor->path, path);
    rc = kvi_cursor_settle(cursor, item);
    if (rc || !cursor->bounds || kvi_cursor_inside(cursor))
        return rc;
    kvi_path_copy(&cursor->path, &old);
    if (state == KVI_CURSOR_AT)
        rc = kvi_cursor_settle(cursor, item_before);
    if (rc)
        return rc;
    cursor->state = state;
    cursor->before = before;
    return KV_ENOTFOUND;
}

int kvi_cursor_settle_forward(struct kvi_cursor *cursor)
{
    struct kvi_step *leaf;

    if (cursor->path.depth == 0)
        return KV_ENOTFOUND;
    leaf = kvi_path_leaf(&cursor->path);
    if (leaf->slot >= kvi_header_count(leaf->page)) {
        int rc = kvi_path_leaf_after(cursor->tree, &cursor->path);

        if (rc)
            return rc;
    }
    return kvi_cursor_settle(cursor, 0);
}

int kvi_cursor_settle_backward(struct kvi_cursor *cursor)
{
    struct kvi_step *leaf;

    if (cursor->path.depth == 0)
        return KV_ENOTFOUND;
    leaf = kvi_path_leaf(&cursor->path);
    if (leaf->slot == 0) {
        int rc = kvi_path_leaf_before(cursor->tree, &cursor->path);

        if (rc)
            return rc;
    } else {
        leaf->slot--;
    }
    return kvi_cursor_settle(cursor, KVI_ITEM_LAST);
}

int kvi_cursor_only_inside(struct kvi_cursor *cursor, int rc)
{
    if (rc || !cursor->bounds || kvi_cursor_inside(cursor))
        return rc;
    cursor->state = KVI_CURSOR_NONE;
    return KV_ENOTFOUND;
}

int kvi_cursor_edge(struct kvi_cursor *cursor, enum kvi_path_end end)
{
    bool given = false;
    int rc = 0;

    cursor->state = KVI_CURSOR_NONE;
    cursor->leaf_steps = 0;
    if (cursor->bounds)
        rc = kvi_cursor_bound_edge(cursor, end, &given);
    if (!rc && given)
        rc = end == KVI_PATH_FIRST ? kvi_cursor_settle_forward(cursor)
                                   : kvi_cursor_settle_backward(cursor);
    else if (!rc)
        rc = kvi_path_edge(cursor->tree, end, KVI_PATH_READ, &cursor->path);
    if (!rc && cursor->path.depth == 0)
        return KV_ENOTFOUND;
    if (!rc && !given)
        rc = kvi_cursor_settle(cursor, end == KVI_PATH_FIRST ? 0 : KVI_ITEM_LAST);
    return kvi_cursor_only_inside(cursor, rc);
}

/* ---- Steps ---- */

/* Without a comparator the order can't be told: then a scan may come to as many leaves as the file
 * has pages. */
static int count_steps(struct kvi_cursor *cursor, const uint8_t *leaf, bool forward)
{
    int64_t limit = (int64_t)cursor->tree->view->page_end;

    if (forward != (cursor->leaf_steps > 0))
        cursor->leaf_steps = 0;
    cursor->leaf_steps += forward ? 1 : -1;
    if (cursor->leaf_steps < limit && cursor->leaf_steps > -limit)
        return 0;
    return kvi_tree_damaged(cursor->tree, kvi_header_pgno(leaf), "more leaves than pages");
}

/* Order of the first records of two leaves. */
static int compare_first(const struct kvi_tree *tree, const struct kvi_leaf_cell *a,
                         const struct kvi_leaf_cell *b, int *order_out)
{
    struct kvi_key a_key = {a->key, a->key_bytes}, b_key = {b->key, b->key_bytes};
    struct kvi_set set;
    struct kvi_key a_value;
    int rc;

    *order_out = tree->shape.plain ? kvi_key_compare(a->key, a->key_bytes, b->key, b->key_bytes)
                                   : kvi_shape_compare_keys(&tree->shape, a_key, b_key);
    if (*order_out || !tree->shape.duplicates)
        return 0;
    rc = kvi_value_set(tree, a, &set);
    if (rc)
        return rc;
    a_value = kvi_set_value(&set, 0);
    rc = kvi_value_set(tree, b, &set);
    if (!rc)
        *order_out = kvi_shape_compare_values(&tree->shape, a_value, kvi_set_value(&set, 0));
    return rc;
}

int kvi_cursor_check_order(struct kvi_cursor *cursor, const uint8_t *left, const uint8_t *right,
                           bool forward)
{
    const struct kvi_tree *tree = cursor->tree;
    const struct kvi_geometry *g = kvi_tree_geometry(tree);
    struct kvi_leaf_cell a, b;
    int order, rc;

    /* A user's order may be another than the stored one: moves need none. */
    if (tree->shape.custom)
        return count_steps(cursor, forward ? right : left, forward);
    if (KVI_UNLIKELY(!kvi_leaf_cell_at(g, left, 0, &a)))
        return kvi_tree_damaged(tree, kvi_header_pgno(left), "leaf page with a bad cell");
    if (KVI_UNLIKELY(!kvi_leaf_cell_at(g, right, 0, &b)))
        return kvi_tree_damaged(tree, kvi_header_pgno(right), "leaf page with a bad cell");
    rc = compare_first(tree, &a, &b, &order);
    if (!rc && KVI_UNLIKELY(order >= 0))
        rc = kvi_tree_damaged(tree, kvi_header_pgno(right), "leaves out of order");
    return rc;
}

void kvi_cursor_look_ahead(struct kvi_cursor *cursor, bool forward)
{
    const struct kvi_view *view = cursor->tree->view;
    const struct kvi_step *parent = cursor->leaf - 1;
    uint32_t bytes_max = cursor->set.count ? AHEAD_SET_BYTES_MAX : AHEAD_BYTES_MAX;
    struct kvi_branch_cell cell;
    unsigned slot;

    if (cursor->path.depth < 2)
        return;
    slot = forward ? parent->slot + 1 : parent->slot - 1; /* below 0: above any count */
    if (slot >= kvi_header_count(parent->page) ||
        !kvi_branch_cell_at(kvi_tree_geometry(cursor->tree), parent->page, slot, &cell))
        return;
    if (cell.ref.tag == 0 || cell.ref.pgno >= view->page_end)
        return;
    cursor->ahead = view->map->base + (cell.ref.pgno << view->map->geometry.page_shift);
    cursor->ahead_bytes = view->map->geometry.page_size / kvi_header_count(cursor->leaf->page);
    if (cursor->ahead_bytes > bytes_max)
        cursor->ahead_bytes = bytes_max;
    kvi_cursor_prefetch(cursor, cursor->leaf->slot);
}

static int path_leaf_beside(struct kvi_cursor *cursor, struct kvi_path *path, bool forward)
{
    const uint8_t *from = kvi_path_leaf(path)->page;
    int rc = forward ? kvi_path_leaf_after(cursor->tree, path)
                     : kvi_path_leaf_before(cursor->tree, path);

    if (rc)
        return rc;
    return forward ? kvi_cursor_check_order(cursor, from, kvi_path_leaf(path)->page, true)
                   : kvi_cursor_check_order(cursor, kvi_path_leaf(path)->page, from, false);
}

/* To the leaf after (forward) or before. KV_ENOTFOUND leaves the cursor as it was, other failures
 * without a position. */
static int step_leaf(struct kvi_cursor *cursor, bool forward)
{
    unsigned item = forward ? 0 : KVI_ITEM_LAST;
    int rc;

    if (cursor->bounds) {
        struct kvi_path path;

        if (forward ? cursor->slot_end < kvi_header_count(cursor->leaf->page)
                    : cursor->slot_begin > 0)
            return KV_ENOTFOUND;
        kvi_path_copy(&path, &cursor->path);
        rc = path_leaf_beside(cursor, &path, forward);
        if (!rc)
            rc = kvi_cursor_adopt(cursor, &path, item);
    } else {
        rc = path_leaf_beside(cursor, &cursor->path, forward);
        if (!rc)
            rc = kvi_cursor_settle(cursor, item);
    }
    if (!rc)
        kvi_cursor_look_ahead(cursor, forward);
    else if (rc != KV_ENOTFOUND)
        cursor->state = KVI_CURSOR_NONE;
    return rc;
}

/* To an end of the bounds, or nowhere: the position is kept then. */
static int edge_or_stay(struct kvi_cursor *cursor, enum kvi_path_end end)
{
    struct kvi_cursor saved = *cursor;
    int rc = kvi_cursor_edge(cursor, end);

    if (rc == KV_ENOTFOUND)
        *cursor = saved;
    return rc;
}

int kvi_cursor_step(struct kvi_cursor *cursor, bool forward)
{
    struct kvi_step *leaf = cursor->leaf;

    if (KVI_UNLIKELY(!kvi_cursor_inside(cursor))) {
        if (forward ? leaf->slot >= cursor->slot_begin : leaf->slot < cursor->slot_end)
            return KV_ENOTFOUND;
        return edge_or_stay(cursor, forward ? KVI_PATH_FIRST : KVI_PATH_LAST);
    }
    if (forward ? cursor->item + 1 < cursor->set.count : cursor->item > 0) {
        cursor->item += forward ? 1 : -1U;
    } else if (forward ? leaf->slot + 1 < cursor->slot_end : leaf->slot > cursor->slot_begin) {
        leaf->slot += forward ? 1 : -1U;
        kvi_cursor_prefetch(cursor, cursor->leaf->slot);
        if (cursor->set.count) {
            int rc = kvi_cursor_set_here(cursor, forward ? 0 : KVI_ITEM_LAST);

            if (rc)
                return rc;
        }
    } else {
        return step_leaf(cursor, forward);
    }
    cursor->before = false;
    return 0;
}

/* ---- Moves ---- */

/* KV_NEXT but for its common case. */
static KVI_NOINLINE int next(struct kvi_cursor *cursor)
{
    int rc = kvi_cursor_unpark(cursor);

    if (rc)
        return rc;
    if (cursor->state == KVI_CURSOR_NONE)
        return kvi_cursor_edge(cursor, KVI_PATH_FIRST);
    if (cursor->state == KVI_CURSOR_END)
        return KV_ENOTFOUND;
    if (cursor->before && kvi_cursor_inside(cursor)) {
        cursor->before = false;
        return 0;
    }
    return kvi_cursor_step(cursor, true);
}

static int prev(struct kvi_cursor *cursor)
{
    int rc = kvi_cursor_unpark(cursor);

    if (rc)
        return rc;
    if (cursor->state == KVI_CURSOR_NONE)
        return kvi_cursor_edge(cursor, KVI_PATH_LAST);
    if (cursor->state == KVI_CURSOR_END)
        return edge_or_stay(cursor, KVI_PATH_LAST);
    return kvi_cursor_step(cursor, false);
}

int kvi_cursor_current(struct kvi_cursor *cursor)
{
    int rc = kvi_cursor_unpark(cursor);

    if (rc)
        return rc;
    if (cursor->state == KVI_CURSOR_NONE)
        return kvi_error(KV_EINVAL, "the cursor has no position");
    if (cursor->state == KVI_CURSOR_END || (cursor->before && !kvi_cursor_inside(cursor)))
        return KV_ENOTFOUND;
    cursor->before = false;
    return 0;
}

/* What the table must be for an operation. */
static int check_op(const struct kvi_tree *tree, int op)
{
    if (op < KV_FIRST || op > KV_PREV_PIECE)
        return kvi_error(KV_EINVAL, "no such cursor operation: %d", op);
    if (op >= KV_EXACT_PAIR && !tree->shape.duplicates)
        return kvi_error(KV_EINCOMPATIBLE, "the table has no duplicates");
    if (op >= KV_VALUES && !tree->shape.fixed)
        return kvi_error(KV_EINCOMPATIBLE, "the table's values are not of one size");
    return 0;
}

int kvi_cursor_move(struct kvi_cursor *cursor, int op, const struct kvi_key *key,
                    struct kvi_tree_value *value)
{
    int rc = check_op(cursor->tree, op);

    if (rc)
        return rc;
    switch (op) {
    case KV_FIRST:
        return kvi_cursor_edge(cursor, KVI_PATH_FIRST);
    case KV_LAST:
        return kvi_cursor_edge(cursor, KVI_PATH_LAST);
    case KV_NEXT:
        return next(cursor);
    case KV_PREV:
        return prev(cursor);
    case KV_CURRENT:
        return kvi_cursor_current(cursor);
    case KV_EXACT:
    case KV_AT_LEAST:
    case KV_AT_MOST:
    case KV_EXACT_PAIR:
    case KV_AT_LEAST_VALUE:
        return kvi_cursor_search(cursor, op, *key, value);
    case KV_NEXT_PIECE:
        rc = next(cursor);
        return rc ? rc : kvi_cursor_piece(cursor, true, value);
    case KV_PREV_PIECE:
        rc = prev(cursor);
        return rc ? rc : kvi_cursor_piece(cursor, false, value);
    case KV_NEXT_KEY:
        return cursor->tree->shape.duplicates ? kvi_cursor_move_values(cursor, op, value)
                                              : next(cursor);
    case KV_PREV_KEY:
        return cursor->tree->shape.duplicates ? kvi_cursor_move_values(cursor, op, value)
                                              : prev(cursor);
    default:
        return kvi_cursor_move_values(cursor, op, value);
    }
}

/* ---- Reading ---- */

/* The pair at the cursor; pieces of values were given already. */
static int read_pair(const struct kvi_cursor *cursor, int op, struct kvi_key *key,
                     struct kvi_tree_value *value_out)
{
    struct kvi_key value;

    *key = cursor->key;
    if (!value_out || op >= KV_VALUES)
        return 0;
    value = kvi_set_value(&cursor->set, cursor->item);
    value_out->data = value.data;
    value_out->size_bytes = value.size;
    value_out->kind = KVI_CELL_VALUE;
    return 0;
}

/* The common case of KV_NEXT and KV_PREV: to another slot of the leaf. step_end is 0 for whoever
 * needs more. */
static inline bool step_quickly(struct kvi_cursor *cursor, int op)
{
    unsigned slot;

    if (KVI_UNLIKELY(cursor->state != KVI_CURSOR_AT || cursor->before))
        return false;
    slot = cursor->leaf->slot;
    if (KVI_LIKELY(op == KV_NEXT)) {
        if (KVI_UNLIKELY(++slot >= cursor->step_end))
            return false;
    } else {
        if (op != KV_PREV || slot <= cursor->slot_begin || slot >= cursor->step_end)
            return false;
        slot--;
    }
    cursor->leaf->slot = slot;
    kvi_cursor_prefetch(cursor, slot);
    return true;
}

/* With duplicates: the common case of KV_NEXT, to another value of the set. */
static inline bool step_in_set(struct kvi_cursor *cursor, int op)
{
    if (op != KV_NEXT || cursor->state != KVI_CURSOR_AT || cursor->before ||
        cursor->item + 1 >= cursor->set.count || !kvi_cursor_inside(cursor))
        return false;
    cursor->item++;
    return true;
}

/* The record at the cursor, without duplicates. */
static KVI_ALWAYS_INLINE int read_record(const struct kvi_cursor *cursor, struct kvi_key *key,
                                         struct kvi_tree_value *value_out)
{
    struct kvi_leaf_cell cell;
    int rc = cell_here(cursor, &cell);

    if (KVI_UNLIKELY(rc))
        return rc;
    key->data = cell.key;
    key->size = cell.key_bytes;
    if (!value_out)
        return 0;
    if (KVI_UNLIKELY(cell.kind != KVI_CELL_VALUE))
        return kvi_value_load(cursor->tree, &cell, value_out);
    value_out->data = cell.payload;
    value_out->size_bytes = cell.payload_bytes;
    value_out->kind = KVI_CELL_VALUE;
    return 0;
}

int kvi_cursor_get(struct kvi_cursor *cursor, int op, struct kvi_key *key,
                   struct kvi_tree_value *value_out)
{
    if (!step_quickly(cursor, op)) {
        if (!step_in_set(cursor, op)) {
            int rc = kvi_cursor_move(cursor, op, key, value_out);

            if (KVI_UNLIKELY(rc))
                return rc;
        }
        if (cursor->set.count)
            return read_pair(cursor, op, key, value_out);
    }
    return read_record(cursor, key, value_out);
}

enum kvi_cell_kind kvi_cursor_kind(const struct kvi_cursor *cursor)
{
    struct kvi_leaf_cell cell;

    if (cursor->state == KVI_CURSOR_PARKED)
        return cursor->kind;
    if (cursor->state != KVI_CURSOR_AT || kvi_cursor_cell(cursor, &cell))
        return KVI_CELL_VALUE;
    return kvi_value_kind(&cell);
}
