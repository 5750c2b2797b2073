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

/* The record at the cursor, for a change: KV_EINVAL without a position, KV_ENOTFOUND at the end.
 * One before which the cursor stands counts too, but not out of its bounds. */
static int at_record(struct kvi_cursor *cursor)
{
    int rc = kvi_cursor_unpark(cursor);

    if (rc)
        return rc;
    if (cursor->state == KVI_CURSOR_NONE)
        return kvi_error(KV_EINVAL, "the cursor has no position");
    if (cursor->state == KVI_CURSOR_END || (cursor->before && !kvi_cursor_inside(cursor)))
        return KV_ENOTFOUND;
    return 0;
}

/* Changes search, if only for other cursors' places. */
static int may_change(const struct kvi_tree *tree)
{
    if (KVI_LIKELY(tree->shape.plain || kvi_shape_searchable(&tree->shape)))
        return 0;
    return kvi_error(KV_ECOMPARATOR, "the table's comparator is not registered");
}

/* After a put: the cursor stands at the record. */
static int take_position(struct kvi_cursor *cursor, const struct kvi_change *change, uint32_t flags)
{
    if (change->rewritten)
        return kvi_cursor_note(cursor, change->key, change->value,
                               flags & KVI_PUT_TABLE ? KVI_CELL_TABLE : KVI_CELL_VALUE, false);
    kvi_path_copy(&cursor->path, change->path);
    return kvi_cursor_settle(cursor, change->item);
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
    int rc = may_change(tree);

    if (rc)
        return rc;
    rc = kvi_change_begin(&change, tree, &path, cursor, flags, &key);

    if (!rc && flags & KV_AT_CURSOR) {
        rc = at_record(cursor);
        if (!rc) {
            kvi_path_copy(&path, &cursor->path);
            kvi_path_leaf(&path)->image = NULL;
            change.item = cursor->item;
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

/* The cursor comes to stand at the last of the values. */
static int put_many(struct kvi_cursor *cursor, struct kvi_key key, const struct kvi_tree_put *put,
                    uint32_t flags)
{
    size_t item_bytes = cursor->tree->shape.item_bytes;
    struct kvi_arena arena = {NULL};
    struct kvi_key last = {put->data, 0};
    int rc = may_change(cursor->tree);

    if (rc)
        return rc;
    if (put->size_bytes >= item_bytes) {
        last.data += put->size_bytes - item_bytes;
        last.size = item_bytes;
    }
    rc = kvi_arena_keep(&arena, &key.data, key.size); /* they may stand in pages that change */
    if (!rc)
        rc = kvi_arena_keep(&arena, &last.data, last.size);
    if (!rc)
        rc = kvi_tree_put_many(cursor->tree, key, put, flags & ~KV_MULTIPLE);
    if (!rc && last.size)
        rc = kvi_cursor_note(cursor, key, last, KVI_CELL_VALUE, false);
    kvi_arena_release(&arena);
    return rc;
}

int kvi_cursor_put(struct kvi_cursor *cursor, struct kvi_key key, struct kvi_tree_put *put,
                   uint32_t flags)
{
    if (flags & KV_MULTIPLE)
        return put_many(cursor, key, put, flags);
    if (flags & KV_APPEND && !(flags & KV_AT_CURSOR) && cursor->tree->last_leaf &&
        !cursor->tree->shape.duplicates) {
        int rc = append_known(cursor, key, put, flags);

        if (rc != KV_EPAGEFULL)
            return rc;
    }
    return put_by_descent(cursor, key, put, flags);
}

/* ---- Deletes ---- */

int kvi_cursor_delete(struct kvi_cursor *cursor, enum kvi_cell_kind kind)
{
    struct kvi_key none = {NULL, 0};
    struct kvi_leaf_cell cell;
    struct kvi_change change;
    struct kvi_path path;
    int rc = may_change(cursor->tree);

    if (rc)
        return rc;
    rc = kvi_change_begin(&change, cursor->tree, &path, cursor, 0, &none);
    if (!rc)
        rc = at_record(cursor);
    if (!rc)
        rc = kvi_cursor_cell(cursor, &cell);
    if (!rc && kvi_value_kind(&cell) != kind)
        rc = KV_EINCOMPATIBLE;
    if (!rc) {
        change.key = (struct kvi_key){cell.key, cell.key_bytes};
        change.item = cursor->item;
        if (cursor->tree->shape.duplicates)
            rc = kvi_cursor_keep_own(cursor, change.key);
    }
    if (!rc) {
        kvi_path_copy(&path, &cursor->path);
        rc = kvi_delete_at(&change, cursor);
    }
    return kvi_change_end(&change, 0, rc);
}

int kvi_cursor_delete_key(struct kvi_cursor *cursor)
{
    struct kvi_key none = {NULL, 0};
    struct kvi_change change;
    struct kvi_path path;
    int rc;

    if (!cursor->tree->shape.duplicates)
        return kvi_cursor_delete(cursor, KVI_CELL_VALUE);
    rc = may_change(cursor->tree);
    if (rc)
        return rc;
    rc = kvi_change_begin(&change, cursor->tree, &path, cursor, 0, &none);
    if (!rc)
        rc = kvi_cursor_own_key(cursor);
    if (!rc) {
        change.key = kvi_note_key(&cursor->own);
        rc = kvi_delete_key(&change, cursor);
    }
    return kvi_change_end(&change, 0, rc);
}
