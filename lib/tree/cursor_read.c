/* SPDX-License-Identifier: MIT */
/*
 * Many records a call: cells are decoded straight from the leaf into the caller's array, without a
 * call for each, and what the next records need is asked for while these are decoded.
 *
 * A read is a move, and then runs: the records of one leaf, or the values of one set, from the
 * cursor's place to the run's end, and a step to the next run. A read of pieces takes the sets of a
 * leaf likewise.
 */
#include <assert.h>

#include "base/error.h"
#include "format/node_page.h"
#include "kv.h"
#include "tree/cursor.h"
#include "tree/value.h"

/* A call's way through the table. */
struct reading {
    struct kvi_cursor *cursor;
    struct kv_record *records; /* the next to be filled */
    size_t left;               /* how many are still to be filled */
    bool forward;
};

static struct kv_val as_val(const uint8_t *data, uint64_t size_bytes)
{
    return (struct kv_val){(size_t)size_bytes, (void *)(uintptr_t)data};
}

/* Values that are not in the cell, and tables, which show as empty. */
static KVI_NOINLINE int read_odd_value(const struct kvi_tree *tree,
                                       const struct kvi_leaf_cell *cell, struct kv_val *value)
{
    struct kvi_tree_value found;
    int rc = kvi_value_load(tree, cell, &found);

    if (!rc)
        *value = as_val(found.data, found.kind == KVI_CELL_TABLE ? 0 : found.size_bytes);
    return rc;
}

/* What is asked for of the leaf ahead, while the records of this one are decoded. */
struct ahead {
    const uint8_t *at;
    const uint8_t *target;
    size_t bytes; /* for each record; 0: nothing */
};

static struct ahead look_ahead(const struct kvi_cursor *cursor, unsigned slot, bool forward)
{
    size_t bytes = cursor->ahead_bytes;
    unsigned passed = forward ? slot : kvi_header_count(cursor->leaf->page) - 1 - slot;
    struct ahead ahead = {NULL, NULL, bytes};

    if (bytes)
        ahead.at = ahead.target = cursor->ahead + bytes * passed;
    return ahead;
}

static inline void prefetch(struct ahead *ahead)
{
    if (!ahead->bytes)
        return;
    ahead->target += ahead->bytes;
    for (; ahead->at < ahead->target; ahead->at += KVI_CURSOR_LINE_BYTES)
        __builtin_prefetch(ahead->at);
}

/* Without duplicates: the records of the leaf from the cursor's on. */
static int read_cells(struct reading *reading)
{
    const struct kvi_cursor *cursor = reading->cursor;
    const struct kvi_tree *tree = cursor->tree;
    const struct kvi_geometry *g = kvi_tree_geometry(tree);
    struct kvi_step *leaf = cursor->leaf;
    const uint8_t *page = leaf->page;
    struct kvi_node_frame frame = kvi_node_frame(g, page);
    unsigned step = reading->forward ? 1 : -1U;
    unsigned slot = leaf->slot;
    struct ahead ahead = look_ahead(cursor, slot, reading->forward);
    size_t run = 1;

    if (kvi_cursor_inside(cursor))
        run = reading->forward ? cursor->slot_end - slot : slot - cursor->slot_begin + 1;
    if (run > reading->left)
        run = reading->left;
    for (size_t i = 0; i < run; i++, slot += step) {
        struct kv_record *record = &reading->records[i];
        struct kvi_leaf_cell cell;

        if (KVI_UNLIKELY(!kvi_leaf_cell_parse(g, &frame, page, slot, &cell)))
            return kvi_tree_damaged(tree, kvi_header_pgno(page), "leaf page with a bad cell");
        prefetch(&ahead);
        record->key = as_val(cell.key, cell.key_bytes);
        record->value = as_val(cell.payload, cell.payload_bytes);
        if (KVI_UNLIKELY(cell.kind != KVI_CELL_VALUE)) {
            int rc = read_odd_value(tree, &cell, &record->value);

            if (rc)
                return rc;
        }
    }
    leaf->slot = slot - step;
    reading->records += run;
    reading->left -= run;
    return 0;
}

/* With duplicates: the values of the set from the cursor's on. */
static void read_set(struct reading *reading, size_t most)
{
    struct kvi_cursor *cursor = reading->cursor;
    struct kv_val key = as_val(cursor->key.data, cursor->key.size);
    unsigned step = reading->forward ? 1 : -1U;
    unsigned item = cursor->item;
    size_t run = 1;

    if (kvi_cursor_inside(cursor))
        run = reading->forward ? cursor->set.count - item : item + 1;
    if (run > most)
        run = most;
    for (size_t i = 0; i < run; i++, item += step) {
        struct kvi_key value = kvi_set_value(&cursor->set, item);

        reading->records[i].key = key;
        reading->records[i].value = as_val(value.data, value.size);
    }
    cursor->item = item - step;
    reading->records += run;
    reading->left -= run;
}

/* The set in a cell as one piece; false: damage, or values of other than the table's size. */
static inline bool parse_piece(const struct kvi_tree *tree, const struct kvi_leaf_cell *cell,
                               struct kv_record *record)
{
    uint32_t item_bytes = tree->shape.item_bytes, bytes = cell->payload_bytes;

    if (KVI_UNLIKELY(cell->kind != KVI_CELL_SET || item_bytes == 0 ||
                     kvi_set_packed_count(cell->payload, bytes, item_bytes) == 0))
        return false;
    record->key = as_val(cell->key, cell->key_bytes);
    record->value = as_val(cell->payload, bytes - KVI_SET_TRAILER_BYTES);
    return true;
}

/* The sets behind the cursor's in its leaf, whole. It moves on to the last of them. */
static int read_sets(struct reading *reading)
{
    struct kvi_cursor *cursor = reading->cursor;
    const struct kvi_tree *tree = cursor->tree;
    const struct kvi_geometry *g = kvi_tree_geometry(tree);
    const uint8_t *page = cursor->leaf->page;
    struct kvi_node_frame frame = kvi_node_frame(g, page);
    unsigned step = reading->forward ? 1 : -1U;
    unsigned slot = cursor->leaf->slot;
    struct ahead ahead;
    size_t run = reading->forward ? cursor->slot_end - 1 - slot : slot - cursor->slot_begin;

    if (run > reading->left)
        run = reading->left;
    if (run == 0)
        return 0;
    ahead = look_ahead(cursor, slot + step, reading->forward);
    for (size_t i = 0; i < run; i++) {
        struct kvi_leaf_cell cell;

        slot += step;
        if (KVI_UNLIKELY(!kvi_leaf_cell_parse(g, &frame, page, slot, &cell) ||
                         !parse_piece(tree, &cell, &reading->records[i])))
            return kvi_tree_damaged(tree, kvi_header_pgno(page), "leaf page with a bad set");
        prefetch(&ahead);
    }
    reading->records += run;
    reading->left -= run;
    cursor->leaf->slot = slot;
    return kvi_cursor_set_here(cursor, reading->forward ? KVI_ITEM_LAST : 0);
}

/* Pieces from the one just read on. KV_ENOTFOUND: there are no more. */
static int read_pieces(struct reading *reading, const struct kvi_tree_value *first, int follow)
{
    struct kvi_cursor *cursor = reading->cursor;
    struct kvi_tree_value piece = *first;

    for (;;) {
        int rc = 0;

        *reading->records++ = (struct kv_record){as_val(cursor->key.data, cursor->key.size),
                                                 as_val(piece.data, piece.size_bytes)};
        reading->left--;
        if ((follow == KV_NEXT_PIECE || follow == KV_PREV_PIECE) && kvi_cursor_inside(cursor))
            rc = read_sets(reading);
        if (rc || reading->left == 0)
            return rc;
        rc = kvi_cursor_move(cursor, follow, NULL, &piece);
        if (rc)
            return rc;
    }
}

/* What leads from run to run after an operation; 0: not one of those that read on. */
static int op_follow(int op, bool duplicates)
{
    switch (op) {
    case KV_FIRST:
    case KV_NEXT:
    case KV_EXACT:
    case KV_AT_LEAST:
    case KV_CURRENT:
    case KV_EXACT_PAIR:
    case KV_AT_LEAST_VALUE:
    case KV_FIRST_VALUE:
    case KV_LAST_VALUE:
        return KV_NEXT;
    case KV_LAST:
    case KV_PREV:
    case KV_AT_MOST:
        return KV_PREV;
    case KV_NEXT_KEY:
        return duplicates ? KV_NEXT_KEY : KV_NEXT;
    case KV_PREV_KEY:
        return duplicates ? KV_PREV_KEY : KV_PREV;
    case KV_VALUES:
        return KV_NEXT_PIECE;
    case KV_NEXT_VALUE:
    case KV_PREV_VALUE:
    case KV_NEXT_VALUES:
    case KV_PREV_VALUES:
    case KV_NEXT_PIECE:
    case KV_PREV_PIECE:
        return op;
    default:
        return 0;
    }
}

/* All runs from the cursor's place on. KV_ENOTFOUND: there are no more. */
static int read_runs(struct reading *reading, int follow)
{
    struct kvi_cursor *cursor = reading->cursor;
    bool by_key = follow == KV_NEXT_KEY || follow == KV_PREV_KEY;

    for (;;) {
        int rc = 0;

        if (cursor->set.count)
            read_set(reading, by_key ? 1 : reading->left);
        else
            rc = read_cells(reading);
        if (rc || reading->left == 0)
            return rc;
        if (follow == KV_NEXT || follow == KV_PREV)
            rc = kvi_cursor_step(cursor, reading->forward);
        else
            rc = kvi_cursor_move(cursor, follow, NULL, NULL);
        if (rc)
            return rc;
    }
}

int kvi_cursor_read(struct kvi_cursor *cursor, int op, struct kv_record *records, size_t count,
                    size_t *count_out)
{
    struct kvi_key key = {records[0].key.data, records[0].key.size};
    struct kvi_tree_value value = {records[0].value.data, records[0].value.size, KVI_CELL_VALUE};
    int follow = op_follow(op, cursor->tree->shape.duplicates);
    struct reading reading = {cursor, records, count, false};
    int rc;

    assert(count > 0);
    *count_out = 0;
    if (!follow)
        return kvi_error(KV_EINVAL, "not an operation to read on from: %d", op);
    reading.forward = follow == KV_NEXT || follow == KV_NEXT_KEY || follow == KV_NEXT_VALUE ||
                      follow == KV_NEXT_VALUES || follow == KV_NEXT_PIECE;
    rc = kvi_cursor_move(cursor, op, &key, &value);
    if (!rc)
        rc = op >= KV_VALUES ? read_pieces(&reading, &value, follow) : read_runs(&reading, follow);
    if (rc && (rc != KV_ENOTFOUND || reading.left == count))
        return rc;
    *count_out = count - reading.left;
    return 0;
}
