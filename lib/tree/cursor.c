/* SPDX-License-Identifier: MIT */
/*
 * Cursors: open and close, parking, moves and reads. Changes through a cursor are in
 * cursor_change.c.
 *
 * The common step, to the next record of the same leaf, costs an add, a compare and the decoding of
 * one cell. A step to another leaf compares the first keys of both: they must ascend, so that no
 * scan of a damaged tree comes to the same leaf twice.
 */
#include "tree/cursor.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "kv.h"
#include "tree/value.h"

#define LINE_BYTES 64u
#define AHEAD_BYTES_MAX                                                                            \
    512u /* asked for at one step: a leaf of few large records is not read in whole */

/* ---- Open, close, lists ---- */

int kvi_cursor_open(struct kvi_tree *tree, struct kvi_cursor **cursor_out)
{
    struct kvi_cursor *cursor = malloc(sizeof(*cursor));

    *cursor_out = NULL;
    if (!cursor)
        return kvi_error(ENOMEM, "no memory for a cursor");
    memset(cursor, 0, offsetof(struct kvi_cursor, path));
    cursor->note = NULL;
    cursor->note_bytes = cursor->note_room = 0;
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
    free(cursor->note);
    free(cursor);
}

void kvi_cursor_rebind(struct kvi_cursor *cursor, struct kvi_tree *tree)
{
    assert(!cursor->link);
    cursor->tree = tree;
    cursor->state = KVI_CURSOR_NONE;
}

/* ---- Parking ---- */

int kvi_cursor_settle(struct kvi_cursor *cursor, unsigned item)
{
    assert(cursor->path.depth > 0);
    cursor->leaf = kvi_path_leaf(&cursor->path);
    cursor->leaf_count = kvi_header_count(cursor->leaf->page);
    cursor->state = KVI_CURSOR_AT;
    cursor->before = false;
    cursor->ahead_bytes = 0;
    cursor->item = item;
    return 0;
}

static int cell_here(const struct kvi_cursor *cursor, struct kvi_leaf_cell *cell_out)
{
    const struct kvi_step *leaf = cursor->leaf;

    if (KVI_UNLIKELY(
            !kvi_leaf_cell_at(kvi_tree_geometry(cursor->tree), leaf->page, leaf->slot, cell_out)))
        return kvi_tree_damaged(cursor->tree, kvi_header_pgno(leaf->page),
                                "leaf page with a bad cell");
    return 0;
}

int kvi_cursor_note(struct kvi_cursor *cursor, struct kvi_key key, struct kvi_key value,
                    enum kvi_cell_kind kind, bool before)
{
    (void)value;
    if (key.size > cursor->note_room || !cursor->note) {
        uint8_t *grown = realloc(cursor->note, key.size + 32);

        if (!grown)
            return kvi_error(ENOMEM, "no memory for a cursor's key");
        cursor->note = grown;
        cursor->note_room = key.size + 32;
    }
    if (key.size)
        memcpy(cursor->note, key.data, key.size);
    cursor->note_bytes = key.size;
    cursor->kind = kind;
    cursor->before = before;
    cursor->state = KVI_CURSOR_PARKED;
    return 0;
}

static int park(struct kvi_cursor *cursor)
{
    struct kvi_leaf_cell cell;
    int rc;

    if (cursor->state != KVI_CURSOR_AT)
        return 0;
    rc = cell_here(cursor, &cell);
    if (rc)
        return rc;
    return kvi_cursor_note(cursor, (struct kvi_key){cell.key, cell.key_bytes},
                           (struct kvi_key){NULL, 0}, kvi_value_kind(&cell), cursor->before);
}

int kvi_cursors_park(struct kvi_tree *tree, const struct kvi_cursor *except)
{
    for (struct kvi_cursor *c = tree->cursors; c; c = c->next) {
        int rc = c == except ? 0 : park(c);

        if (rc)
            return rc;
    }
    return 0;
}

int kvi_tree_park(struct kvi_tree *tree)
{
    tree->last_leaf = NULL;
    return kvi_cursors_park(tree, NULL);
}

void kvi_tree_unposition(struct kvi_tree *tree)
{
    for (struct kvi_cursor *c = tree->cursors; c; c = c->next)
        c->state = KVI_CURSOR_NONE;
}

bool kvi_cursors_mark(struct kvi_tree *tree, struct kvi_key key, const struct kvi_key *value)
{
    bool any = false;

    (void)value;
    for (struct kvi_cursor *c = tree->cursors; c; c = c->next) {
        c->marked = c->state == KVI_CURSOR_PARKED && c->note_bytes == key.size &&
                    (key.size == 0 || memcmp(c->note, key.data, key.size) == 0);
        any |= c->marked;
    }
    return any;
}

int kvi_cursors_follow(struct kvi_tree *tree, const struct kvi_leaf_cell *successor, unsigned item)
{
    for (struct kvi_cursor *c = tree->cursors; c; c = c->next) {
        int rc = 0;

        (void)item;
        if (!c->marked)
            continue;
        c->marked = false;
        if (successor)
            rc = kvi_cursor_note(c, (struct kvi_key){successor->key, successor->key_bytes},
                                 (struct kvi_key){NULL, 0}, kvi_value_kind(successor), true);
        else
            c->state = KVI_CURSOR_END;
        if (rc)
            return rc;
    }
    return 0;
}

int kvi_cursor_follow_path(struct kvi_cursor *self, const struct kvi_path *path, unsigned item)
{
    int rc;

    kvi_path_copy(&self->path, path);
    rc = kvi_cursor_settle(self, item);
    self->before = true;
    return rc;
}

/* ---- Positions ---- */

/* The path was led to a place that may be behind a leaf's last record: on to the next leaf, if
 * any. */
static int settle_forward(struct kvi_cursor *cursor)
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

int kvi_cursor_unpark(struct kvi_cursor *cursor)
{
    struct kvi_key key = {cursor->note, cursor->note_bytes};
    bool before = cursor->before;
    bool exact;
    int rc;

    if (cursor->state != KVI_CURSOR_PARKED)
        return 0;
    rc = kvi_path_find(cursor->tree, key, KVI_PATH_READ, &cursor->path, &exact);
    if (!rc)
        rc = settle_forward(cursor);
    if (rc == KV_ENOTFOUND) {
        cursor->state = KVI_CURSOR_END;
        return 0;
    }
    if (rc) {
        cursor->state = KVI_CURSOR_NONE;
        return rc;
    }
    cursor->before = before || !exact;
    return 0;
}

static int go_edge(struct kvi_cursor *cursor, enum kvi_path_end end)
{
    int rc;

    cursor->state = KVI_CURSOR_NONE;
    rc = kvi_path_edge(cursor->tree, end, KVI_PATH_READ, &cursor->path);
    if (rc)
        return rc;
    if (cursor->path.depth == 0)
        return KV_ENOTFOUND;
    return kvi_cursor_settle(cursor, 0);
}

static int first_key(const struct kvi_tree *tree, const uint8_t *leaf, struct kvi_leaf_cell *cell)
{
    if (KVI_UNLIKELY(!kvi_leaf_cell_at(kvi_tree_geometry(tree), leaf, 0, cell)))
        return kvi_tree_damaged(tree, kvi_header_pgno(leaf), "leaf page with a bad cell");
    return 0;
}

/* Whether two leaves that follow one another do ascend. */
static int check_order(const struct kvi_tree *tree, const uint8_t *left, const uint8_t *right)
{
    struct kvi_leaf_cell a, b;
    int rc = first_key(tree, left, &a);

    if (!rc)
        rc = first_key(tree, right, &b);
    if (!rc && KVI_UNLIKELY(kvi_key_compare(a.key, a.key_bytes, b.key, b.key_bytes) >= 0))
        rc = kvi_tree_damaged(tree, kvi_header_pgno(right), "leaves out of order");
    return rc;
}

/* At each step the part of the leaf ahead that lies as far in as this record in its own. */
static inline void prefetch_ahead(const struct kvi_cursor *cursor)
{
    size_t from = (size_t)cursor->ahead_bytes * cursor->leaf->slot;

    for (uint32_t at = 0; at < cursor->ahead_bytes;
         at += LINE_BYTES) /* no bytes: ahead may be NULL */
        __builtin_prefetch(cursor->ahead + from + at);
}

/* A scan came to another leaf: finds the one after it, so that its lines can be asked for while the
 * records of this one are read. Cells stand in no order, which is more than the processor
 * foresees. */
static void look_ahead(struct kvi_cursor *cursor)
{
    const struct kvi_view *view = cursor->tree->view;
    const struct kvi_step *parent = cursor->leaf - 1;
    struct kvi_branch_cell cell;

    if (cursor->path.depth < 2 || parent->slot + 1 >= kvi_header_count(parent->page) ||
        !kvi_branch_cell_at(kvi_tree_geometry(cursor->tree), parent->page, parent->slot + 1, &cell))
        return;
    if (cell.ref.tag == 0 || cell.ref.pgno >= view->page_end)
        return;
    cursor->ahead = view->map->base + (cell.ref.pgno << view->map->geometry.page_shift);
    cursor->ahead_bytes = view->map->geometry.page_size / cursor->leaf_count;
    if (cursor->ahead_bytes > AHEAD_BYTES_MAX)
        cursor->ahead_bytes = AHEAD_BYTES_MAX;
    prefetch_ahead(cursor);
}

/* To the leaf after (forward) or before. KV_ENOTFOUND leaves the cursor as it was, other failures
 * without a position. */
static int step_leaf(struct kvi_cursor *cursor, bool forward)
{
    const uint8_t *from = cursor->leaf->page;
    int rc = forward ? kvi_path_leaf_after(cursor->tree, &cursor->path)
                     : kvi_path_leaf_before(cursor->tree, &cursor->path);

    if (!rc)
        rc = forward ? check_order(cursor->tree, from, cursor->leaf->page)
                     : check_order(cursor->tree, cursor->leaf->page, from);
    if (!rc)
        rc = kvi_cursor_settle(cursor, 0);
    else if (rc != KV_ENOTFOUND)
        cursor->state = KVI_CURSOR_NONE;
    if (!rc && forward)
        look_ahead(cursor);
    return rc;
}

/* KV_NEXT but for its common case. */
static KVI_NOINLINE int next_slow(struct kvi_cursor *cursor)
{
    int rc = kvi_cursor_unpark(cursor);

    if (rc)
        return rc;
    if (cursor->state == KVI_CURSOR_NONE)
        return go_edge(cursor, KVI_PATH_FIRST);
    if (cursor->state == KVI_CURSOR_END)
        return KV_ENOTFOUND;
    if (cursor->before) {
        cursor->before = false;
        return 0;
    }
    if (cursor->leaf->slot + 1 < cursor->leaf_count) {
        cursor->leaf->slot++;
        return 0;
    }
    return step_leaf(cursor, true);
}

static inline int next(struct kvi_cursor *cursor)
{
    if (KVI_LIKELY(cursor->state == KVI_CURSOR_AT && !cursor->before &&
                   cursor->leaf->slot + 1 < cursor->leaf_count)) {
        cursor->leaf->slot++;
        prefetch_ahead(cursor);
        return 0;
    }
    return next_slow(cursor);
}

static int prev(struct kvi_cursor *cursor)
{
    int rc = kvi_cursor_unpark(cursor);

    if (rc)
        return rc;
    if (cursor->state == KVI_CURSOR_NONE)
        return go_edge(cursor, KVI_PATH_LAST);
    if (cursor->state == KVI_CURSOR_END) {
        rc = go_edge(cursor, KVI_PATH_LAST);
        if (rc == KV_ENOTFOUND)
            cursor->state = KVI_CURSOR_END;
        return rc;
    }
    if (cursor->leaf->slot == 0)
        return step_leaf(cursor, false);
    cursor->leaf->slot--;
    cursor->before = false;
    return 0;
}

static int current(struct kvi_cursor *cursor)
{
    int rc = kvi_cursor_unpark(cursor);

    if (rc)
        return rc;
    if (cursor->state == KVI_CURSOR_NONE)
        return kvi_error(KV_EINVAL, "the cursor has no position");
    if (cursor->state == KVI_CURSOR_END)
        return KV_ENOTFOUND;
    cursor->before = false;
    return 0;
}

/* One slot back from where a search ended, for KV_AT_MOST. */
static int settle_backward(struct kvi_cursor *cursor)
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
    return kvi_cursor_settle(cursor, 0);
}

static int search(struct kvi_cursor *cursor, int op, struct kvi_key key)
{
    bool exact;
    int rc;

    cursor->state = KVI_CURSOR_NONE;
    rc = kvi_path_find(cursor->tree, key, KVI_PATH_READ, &cursor->path, &exact);
    if (rc)
        return rc;
    if (exact) {
        return kvi_cursor_settle(cursor, 0);
    }
    if (op == KV_AT_LEAST)
        return settle_forward(cursor);
    return op == KV_AT_MOST ? settle_backward(cursor) : KV_ENOTFOUND;
}

/* ---- Reading ---- */

static int move(struct kvi_cursor *cursor, int op, const struct kvi_key *key)
{
    switch (op) {
    case KV_FIRST:
        return go_edge(cursor, KVI_PATH_FIRST);
    case KV_LAST:
        return go_edge(cursor, KVI_PATH_LAST);
    case KV_PREV:
        return prev(cursor);
    case KV_CURRENT:
        return current(cursor);
    case KV_EXACT:
    case KV_AT_LEAST:
    case KV_AT_MOST:
        return search(cursor, op, *key);
    default:
        return kvi_error(KV_EINVAL, "no such cursor operation: %d", op);
    }
}

int kvi_cursor_get(struct kvi_cursor *cursor, int op, struct kvi_key *key,
                   struct kvi_tree_value *value_out)
{
    struct kvi_leaf_cell cell;
    int rc = op == KV_NEXT ? next(cursor) : move(cursor, op, key);

    if (rc)
        return rc;
    rc = cell_here(cursor, &cell);
    if (rc)
        return rc;
    key->data = cell.key;
    key->size = cell.key_bytes;
    return value_out ? kvi_value_load(cursor->tree, &cell, value_out) : 0;
}

enum kvi_cell_kind kvi_cursor_kind(const struct kvi_cursor *cursor)
{
    struct kvi_leaf_cell cell;

    if (cursor->state == KVI_CURSOR_PARKED)
        return cursor->kind;
    if (cursor->state != KVI_CURSOR_AT || cell_here(cursor, &cell))
        return KVI_CELL_VALUE;
    return kvi_value_kind(&cell);
}
