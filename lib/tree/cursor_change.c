/* SPDX-License-Identifier: MIT */
/*
 * Put and delete at a cursor.
 *
 * A put works on a path of its own, so that a refused one leaves the cursor where it was; the path
 * becomes the cursor's when the record's place is known. If pages were rewritten on the way the
 * cursor notes the key instead.
 */
#include <assert.h>

#include "base/error.h"
#include "kv.h"
#include "tree/change.h"
#include "tree/cursor.h"

/* The record at the cursor, for a change: KV_EINVAL without a position, KV_ENOTFOUND at the end. */
static int at_record(struct kvi_cursor *cursor)
{
    int rc = kvi_cursor_unpark(cursor);

    if (rc)
        return rc;
    if (cursor->state == KVI_CURSOR_NONE)
        return kvi_error(KV_EINVAL, "the cursor has no position");
    return cursor->state == KVI_CURSOR_END ? KV_ENOTFOUND : 0;
}

/* After a put: the cursor stands at the record. */
static int take_position(struct kvi_cursor *cursor, const struct kvi_change *change, uint32_t flags)
{
    if (change->rewritten)
        return kvi_cursor_note(cursor, change->key, (struct kvi_key){NULL, 0},
                               flags & KVI_PUT_TABLE ? KVI_CELL_TABLE : KVI_CELL_VALUE, false);
    kvi_path_copy(&cursor->path, change->path);
    return kvi_cursor_settle(cursor, 0);
}

/* An append to the leaf that the last one went to. The cursor notes the key: it has no path there.
 */
static int append_known(struct kvi_cursor *cursor, struct kvi_key key, struct kvi_tree_put *put,
                        uint32_t flags)
{
    int rc = kvi_cursors_park(cursor->tree, cursor);

    if (!rc)
        rc = kvi_put_last(cursor->tree, key, put, flags);
    if (rc)
        return rc;
    return kvi_cursor_note(cursor, key, (struct kvi_key){NULL, 0},
                           flags & KVI_PUT_TABLE ? KVI_CELL_TABLE : KVI_CELL_VALUE, false);
}

static int put_by_descent(struct kvi_cursor *cursor, struct kvi_key key, struct kvi_tree_put *put,
                          uint32_t flags)
{
    struct kvi_tree *tree = cursor->tree;
    struct kvi_change change;
    struct kvi_path path;
    int rc = kvi_change_begin(&change, tree, &path, cursor, flags, &key);

    if (!rc && flags & KV_AT_CURSOR) {
        rc = at_record(cursor);
        if (!rc) {
            kvi_path_copy(&path, &cursor->path);
            kvi_path_leaf(&path)->image = NULL;
            rc = kvi_put_at(&change, put, flags);
        }
    } else if (!rc) {
        rc = kvi_put_key(&change, key, put, flags);
    }
    if (rc == 0 || (rc == KV_EEXIST && !(flags & KV_AT_CURSOR))) {
        int moved = take_position(cursor, &change, flags);

        rc = moved ? moved : rc;
    }
    return kvi_change_end(&change, flags, rc);
}

int kvi_cursor_put(struct kvi_cursor *cursor, struct kvi_key key, struct kvi_tree_put *put,
                   uint32_t flags)
{
    if (flags & KV_APPEND && !(flags & KV_AT_CURSOR) && cursor->tree->last_leaf) {
        int rc = append_known(cursor, key, put, flags);

        if (rc != KV_EPAGEFULL)
            return rc;
    }
    return put_by_descent(cursor, key, put, flags);
}

/* The key and kind of the record at the cursor. */
static int record_here(const struct kvi_cursor *cursor, struct kvi_leaf_cell *cell_out)
{
    const uint8_t *page = cursor->leaf->page;

    if (!kvi_leaf_cell_at(kvi_tree_geometry(cursor->tree), page, cursor->leaf->slot, cell_out))
        return kvi_tree_damaged(cursor->tree, kvi_header_pgno(page), "leaf page with a bad cell");
    return 0;
}

int kvi_cursor_delete(struct kvi_cursor *cursor, enum kvi_cell_kind kind)
{
    struct kvi_key none = {NULL, 0};
    struct kvi_leaf_cell cell;
    struct kvi_change change;
    struct kvi_path path;
    int rc = kvi_change_begin(&change, cursor->tree, &path, cursor, 0, &none);

    if (!rc)
        rc = at_record(cursor);
    if (!rc)
        rc = record_here(cursor, &cell);
    if (!rc && kvi_value_kind(&cell) != kind)
        rc = KV_EINCOMPATIBLE;
    if (!rc) {
        kvi_path_copy(&path, &cursor->path);
        change.key = (struct kvi_key){cell.key, cell.key_bytes};
        rc = kvi_delete_at(&change, cursor);
    }
    return kvi_change_end(&change, 0, rc);
}
