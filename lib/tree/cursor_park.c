/* SPDX-License-Identifier: MIT */
/*
 * Parking: what lets a cursor's position survive the changes of its tree (T4). Before a change each
 * other cursor notes its record and lets its path go; when next used it searches that record, and
 * stands before what follows if it is gone.
 *
 * A cursor whose record is deleted through the tree is told what followed it then and there (mark,
 * follow), so that a record which is put in between later stands before the cursor, as in LMDB.
 *
 * With duplicates the key of the deleted record is kept in `own`. For a parked cursor that costs
 * nothing: its note becomes `own`, and the other buffer the note.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "kv.h"
#include "tree/cursor.h"
#include "tree/value.h"

#define NOTE_ROOM_MORE 32u /* so that keys that grow a little need no new memory each */

bool kvi_cursor_same_key(const struct kvi_tree *tree, struct kvi_key a, struct kvi_key b)
{
    if (KVI_UNLIKELY(tree->shape.custom && kvi_shape_searchable(&tree->shape)))
        return kvi_shape_compare_keys(&tree->shape, a, b) == 0;
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static bool same_value(const struct kvi_tree *tree, struct kvi_key a, struct kvi_key b)
{
    if (KVI_UNLIKELY(tree->shape.custom && kvi_shape_searchable(&tree->shape)))
        return kvi_shape_compare_values(&tree->shape, a, b) == 0;
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* ---- Notes ---- */

/* Neither key nor value may point into the note. */
static int write_note(struct kvi_cursor_note *note, struct kvi_key key, struct kvi_key value)
{
    size_t wanted = key.size + value.size;

    if (wanted > note->room || !note->bytes) {
        uint8_t *grown = realloc(note->bytes, wanted + NOTE_ROOM_MORE);

        if (!grown)
            return kvi_error(ENOMEM, "no memory for a cursor's key");
        note->bytes = grown;
        note->room = wanted + NOTE_ROOM_MORE;
    }
    if (key.size)
        memcpy(note->bytes, key.data, key.size);
    if (value.size)
        memcpy(note->bytes + key.size, value.data, value.size);
    note->key_bytes = key.size;
    note->value_bytes = value.size;
    return 0;
}

int kvi_cursor_note(struct kvi_cursor *cursor, struct kvi_key key, struct kvi_key value,
                    enum kvi_cell_kind kind, bool before)
{
    int rc = write_note(&cursor->note, key, value);

    if (rc)
        return rc;
    cursor->kind = kind;
    cursor->before = before;
    cursor->state = KVI_CURSOR_PARKED;
    return 0;
}

int kvi_cursor_keep_own(struct kvi_cursor *cursor, struct kvi_key key)
{
    return write_note(&cursor->own, key, (struct kvi_key){NULL, 0});
}

static void note_becomes_own(struct kvi_cursor *cursor)
{
    struct kvi_cursor_note note = cursor->note;

    cursor->note = cursor->own;
    cursor->own = note;
}

/* ---- Parking ---- */

/* A place in a table whose comparator is not known could not be found again. Nor need it be: the
 * table cannot change but be emptied, so that its pages stay where they are in the file. */
static bool can_park(const struct kvi_tree *tree)
{
    return tree->shape.plain || kvi_shape_searchable(&tree->shape);
}

static int park(struct kvi_cursor *cursor)
{
    struct kvi_key none = {NULL, 0};
    struct kvi_leaf_cell cell;
    int rc;

    if (cursor->state != KVI_CURSOR_AT || !can_park(cursor->tree))
        return 0;
    if (cursor->set.count)
        return kvi_cursor_note(cursor, cursor->key, kvi_set_value(&cursor->set, cursor->item),
                               KVI_CELL_VALUE, cursor->before);
    rc = kvi_cursor_cell(cursor, &cell);
    if (rc)
        return rc;
    return kvi_cursor_note(cursor, (struct kvi_key){cell.key, cell.key_bytes}, none,
                           kvi_value_kind(&cell), cursor->before);
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

/* To the noted record, or the first one behind it. */
static int find_note(struct kvi_cursor *cursor, bool *exact_out)
{
    struct kvi_key key = kvi_note_key(&cursor->note);
    int rc;

    if (cursor->tree->shape.duplicates)
        return kvi_cursor_find_pair(cursor, key, kvi_note_value(&cursor->note), exact_out);
    rc = kvi_path_find(cursor->tree, key, KVI_PATH_READ, &cursor->path, exact_out);
    return rc ? rc : kvi_cursor_settle_forward(cursor);
}

int kvi_cursor_unpark(struct kvi_cursor *cursor)
{
    bool before = cursor->before;
    bool exact = false;
    int rc;

    if (cursor->state != KVI_CURSOR_PARKED)
        return 0;
    cursor->leaf_steps = 0;
    rc = find_note(cursor, &exact);
    if (!exact && !before)
        note_becomes_own(cursor);
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

/* ---- Deletes ---- */

bool kvi_cursors_mark(struct kvi_tree *tree, struct kvi_key key, const struct kvi_key *value)
{
    bool any = false;

    for (struct kvi_cursor *c = tree->cursors; c; c = c->next) {
        c->marked = c->state == KVI_CURSOR_PARKED &&
                    kvi_cursor_same_key(tree, kvi_note_key(&c->note), key) &&
                    (!value || same_value(tree, kvi_note_value(&c->note), *value));
        any |= c->marked;
    }
    return any;
}

static int follow(struct kvi_cursor *cursor, const struct kvi_leaf_cell *successor, unsigned item)
{
    struct kvi_key value = {NULL, 0};
    struct kvi_tree_value found;

    if (cursor->state == KVI_CURSOR_PARKED && !cursor->before)
        note_becomes_own(cursor);
    if (!successor) {
        cursor->state = KVI_CURSOR_END;
        return 0;
    }
    if (cursor->tree->shape.duplicates) {
        int rc = kvi_value_item(cursor->tree, successor, item, &found);

        if (rc)
            return rc;
        value = (struct kvi_key){found.data, (size_t)found.size_bytes};
    }
    return kvi_cursor_note(cursor, (struct kvi_key){successor->key, successor->key_bytes}, value,
                           kvi_value_kind(successor), true);
}

int kvi_cursors_follow(struct kvi_tree *tree, const struct kvi_leaf_cell *successor, unsigned item)
{
    for (struct kvi_cursor *c = tree->cursors; c; c = c->next) {
        int rc;

        if (!c->marked)
            continue;
        c->marked = false;
        rc = follow(c, successor, item);
        if (rc)
            return rc;
    }
    return 0;
}

int kvi_cursor_follow_path(struct kvi_cursor *self, const struct kvi_path *path, unsigned item)
{
    int rc;

    self->marked = false;
    kvi_path_copy(&self->path, path);
    rc = kvi_cursor_settle(self, item);
    self->before = true;
    return rc;
}
