/* SPDX-License-Identifier: MIT */
/*
 * Deletes in trees with duplicates: one value out of its set, or a key with all its values.
 *
 * A set whose last value goes takes its cell with it, and hands "first of the key" on to the cell
 * behind it, which may be another leaf's. One that becomes smaller joins a neighbour of its key in
 * its leaf when both together leave a quarter of the largest cell free, so that the next insert
 * does not cut them again (T6).
 *
 * Cursors first: they learn the record behind while everything still stands in its place.
 */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "kv.h"
#include "tree/cursor.h"
#include "tree/pairs.h"
#include "tree/value.h"

#define JOINED_FREE_PART 4u

/* ---- Cursors ---- */

/* The marked cursors, and `self`, learn what follows value `item` of the cell at the path. */
static int tell_cursors(struct kvi_change *change, struct kvi_cursor *self,
                        const struct kvi_place *place, unsigned item)
{
    unsigned slot = kvi_path_leaf(change->path)->slot;
    struct kvi_leaf_cell cell;
    struct kvi_path next;
    int rc;

    if (self)
        self->marked = true;
    if (item + 1 < place->set.count)
        return kvi_cursors_follow(change->tree, &place->cell, item + 1);
    rc = kvi_pair_next(change, slot + 1, &next, &cell);
    return rc ? rc : kvi_cursors_follow(change->tree, next.depth > 0 ? &cell : NULL, 0);
}

/* `self` may keep a path where the record that follows stands in the same leaf. */
static int keep_path(struct kvi_change *change, struct kvi_cursor *self)
{
    struct kvi_step *leaf = kvi_path_leaf(change->path);
    struct kvi_place place;
    int rc;

    if (leaf->slot >= kvi_header_count(leaf->page))
        return 0;
    rc = kvi_pair_load(change, &place);
    if (rc)
        return rc;
    if (change->item >= place.set.count) {
        leaf->slot++;
        change->item = 0;
    }
    if (leaf->slot >= kvi_header_count(leaf->page))
        return 0;
    return kvi_cursor_follow_path(self, change->path, change->item);
}

/* ---- Cells ---- */

/* The cell at the path is going away, the first of its key: so the next is, if it has the key. What
 * that changes of the number of keys along the path. */
static int hand_on(struct kvi_change *change, const struct kvi_place *place, int64_t *keys_out)
{
    const struct kvi_step *leaf = kvi_path_leaf(change->path);
    struct kvi_leaf_cell cell;
    struct kvi_path next;
    int rc = kvi_pair_next(change, leaf->slot + 1, &next, &cell);

    *keys_out = -1;
    if (rc || next.depth == 0 || !kvi_pair_same_key(&place->cell, &cell))
        return rc;
    if (kvi_path_leaf(&next)->page != leaf->page)
        return kvi_pair_mark(change, &next, false);
    kvi_set_mark_continued(leaf->image + (cell.payload - leaf->image), cell.payload_bytes, false);
    *keys_out = 0;
    return 0;
}

/* Takes the cell at the path out, with all the values it has. */
static int remove_cell(struct kvi_change *change, const struct kvi_place *place, int64_t keys)
{
    struct kvi_tree *tree = change->tree;
    const struct kvi_step *leaf = kvi_path_leaf(change->path);
    int rc = kvi_counts_add(tree, change->path, -(int64_t)place->set.count, keys);

    if (!rc && !kvi_node_remove(kvi_tree_geometry(tree), leaf->image, leaf->slot))
        rc = kvi_tree_damaged(tree, kvi_header_pgno(leaf->image), "leaf page with a bad cell");
    tree->tail_pgno = 0;
    return rc;
}

/* ---- Values ---- */

/* A set of values [from, end) of another, in the change's memory. */
static int part_of(struct kvi_change *change, const struct kvi_set *set, uint32_t from,
                   uint32_t end, struct kvi_set *part_out)
{
    uint32_t bytes = kvi_set_bytes(set, from, end, NULL);
    uint8_t *payload = kvi_arena_take(&change->arena, bytes);

    if (!payload)
        return kvi_error(ENOMEM, "no memory for values");
    kvi_set_write(payload, set, from, end, NULL, 0, set->continued);
    (void)kvi_set_open(payload, bytes, part_out); /* as written */
    return 0;
}

static int shrink(struct kvi_change *change, uint32_t bytes, uint8_t **payload_out)
{
    const struct kvi_step *leaf = kvi_path_leaf(change->path);

    *payload_out = kvi_leaf_resize(kvi_tree_geometry(change->tree), leaf->image, leaf->slot,
                                   KVI_CELL_SET, bytes);
    if (!*payload_out)
        return kvi_tree_damaged(change->tree, kvi_header_pgno(leaf->image),
                                "leaf page with a bad cell");
    return 0;
}

/* Values of several sizes: what stands before the value and what stands behind it, joined. */
static int rewrite_without(struct kvi_change *change, const struct kvi_set *set)
{
    struct kvi_set before = {0}, behind = {0};
    uint32_t item = change->item;
    uint8_t *payload;
    int rc = 0;

    if (item > 0)
        rc = part_of(change, set, 0, item, &before);
    if (!rc && item + 1 < set->count)
        rc = part_of(change, set, item + 1, set->count, &behind);
    if (rc)
        return rc;
    if (before.count && behind.count) {
        rc = shrink(change, kvi_set_joined_bytes(&before, &behind), &payload);
        if (!rc)
            kvi_set_write_joined(payload, &before, &behind);
        return rc;
    }
    if (!before.count)
        before = behind;
    rc = shrink(change, kvi_set_bytes(&before, 0, before.count, NULL), &payload);
    if (!rc)
        kvi_set_write(payload, &before, 0, before.count, NULL, 0, before.continued);
    return rc;
}

/* Takes the value out of a set that keeps others. */
static int remove_value(struct kvi_change *change, const struct kvi_place *place)
{
    const struct kvi_step *leaf = kvi_path_leaf(change->path);
    const struct kvi_set *set = &place->set;
    uint8_t *payload = leaf->image + (place->cell.payload - leaf->image);
    int rc = kvi_counts_add(change->tree, change->path, -1, 0);

    if (rc)
        return rc;
    if (set->ends)
        return rewrite_without(change, set);
    kvi_set_remove_packed(payload, place->cell.payload_bytes, change->item, set->item_bytes);
    return shrink(change, place->cell.payload_bytes - set->item_bytes, &payload);
}

/* Joins the cells at `slot` and behind it, if they have one key and are small enough together. The
 * path's slot and item follow. */
static int join(struct kvi_change *change, unsigned slot, bool *joined_out)
{
    const struct kvi_tree *tree = change->tree;
    const struct kvi_geometry *g = kvi_tree_geometry(tree);
    struct kvi_step *leaf = kvi_path_leaf(change->path);
    uint32_t limit = g->cell_bytes_max - g->cell_bytes_max / JOINED_FREE_PART;
    struct kvi_leaf_cell a, b;
    struct kvi_set left, right;
    uint8_t *payload;
    uint32_t bytes;
    int rc;

    if (slot + 1 >= kvi_header_count(leaf->page))
        return 0;
    if (!kvi_leaf_cell_at(g, leaf->page, slot, &a) ||
        !kvi_leaf_cell_at(g, leaf->page, slot + 1, &b))
        return kvi_tree_damaged(tree, kvi_header_pgno(leaf->page), "leaf page with a bad cell");
    if (!kvi_pair_same_key(&a, &b))
        return 0;
    rc = kvi_value_set(tree, &a, &left);
    if (!rc)
        rc = kvi_value_set(tree, &b, &right);
    if (rc)
        return rc;
    bytes = kvi_set_joined_bytes(&left, &right);
    if (kvi_leaf_cell_bytes(tree->leaf_flags, a.key_bytes, bytes) > limit)
        return 0;
    rc = part_of(change, &left, 0, left.count, &left);
    if (!rc)
        rc = part_of(change, &right, 0, right.count, &right);
    if (rc)
        return rc;
    if (!kvi_node_remove(g, leaf->image, slot + 1))
        return kvi_tree_damaged(tree, kvi_header_pgno(leaf->image), "leaf page with a bad cell");
    if (leaf->slot > slot) {
        leaf->slot = slot;
        change->item += left.count;
    }
    *joined_out = true;
    rc = shrink(change, bytes, &payload);
    if (!rc)
        kvi_set_write_joined(payload, &left, &right);
    return rc;
}

/* The set at the path became smaller. */
static int join_neighbours(struct kvi_change *change)
{
    unsigned slot = kvi_path_leaf(change->path)->slot;
    bool joined = false;
    int rc = slot > 0 ? join(change, slot - 1, &joined) : 0;

    return rc || joined ? rc : join(change, slot, &joined);
}

/* ---- One pair ---- */

static int remove_pair(struct kvi_change *change, const struct kvi_place *place)
{
    int64_t keys = 0;
    int rc;

    if (place->set.count == 1) {
        rc = place->set.continued ? 0 : hand_on(change, place, &keys);
        return rc ? rc : remove_cell(change, place, keys);
    }
    change->tree->tail_pgno = 0;
    rc = remove_value(change, place);
    return rc ? rc : join_neighbours(change);
}

int kvi_pair_delete_at(struct kvi_change *change, struct kvi_cursor *self)
{
    struct kvi_tree *tree = change->tree;
    struct kvi_place place;
    bool marked;
    int rc = kvi_path_touch(tree, change->path);

    if (!rc)
        rc = kvi_pair_load(change, &place);
    if (rc)
        return rc;
    if (change->item >= place.set.count)
        return kvi_tree_damaged(tree, KVI_NO_PGNO, "leaf cell with too few values");
    change->key = (struct kvi_key){place.cell.key, place.cell.key_bytes};
    change->value = kvi_set_value(&place.set, change->item);
    marked = tree->cursors && kvi_cursors_mark(tree, change->key, &change->value);
    if (self || marked)
        rc = tell_cursors(change, self, &place, change->item);
    if (!rc)
        rc = remove_pair(change, &place);
    if (rc)
        return rc;
    if (kvi_delete_stays(change))
        return self ? keep_path(change, self) : 0;
    return kvi_delete_rebalance(change);
}

int kvi_tree_delete_pair(struct kvi_tree *tree, struct kvi_key key, struct kvi_key value)
{
    struct kvi_change change;
    struct kvi_place place;
    struct kvi_path path;
    int rc;

    if (!tree->shape.duplicates)
        return KV_EINCOMPATIBLE;
    rc = kvi_change_begin(&change, tree, &path, NULL, 0, &key);
    change.key = key;
    change.value = value;
    if (!rc)
        rc = kvi_pair_find(&change, KVI_PATH_READ, &place);
    if (!rc && !place.found)
        rc = KV_ENOTFOUND;
    if (!rc)
        rc = kvi_pair_delete_at(&change, NULL);
    return kvi_change_end(&change, 0, rc);
}

/* ---- A key with all its values ---- */

/* Leads the path to the last cell of the key. KV_ENOTFOUND. */
static int find_last(struct kvi_change *change, struct kvi_place *place)
{
    struct kvi_tree *tree = change->tree;
    struct kvi_probe probe;
    bool exact;
    int rc = kvi_tree_probe(tree, change->key, (struct kvi_key){NULL, 0}, KVI_PROBE_LAST, &probe);

    if (rc)
        return rc;
    rc = kvi_path_probe(tree, &probe, KVI_PATH_READ, change->path, &exact);
    kvi_probe_release(&probe);
    if (rc)
        return rc;
    if (!exact && (change->path->depth == 0 || kvi_path_leaf(change->path)->slot > 0))
        return KV_ENOTFOUND;
    if (!exact)
        rc = kvi_path_leaf_before(tree, change->path);
    if (!rc)
        rc = kvi_pair_load(change, place);
    if (!rc && !exact &&
        kvi_shape_compare_keys(&tree->shape, change->key,
                               (struct kvi_key){place->cell.key, place->cell.key_bytes}) != 0)
        rc = KV_ENOTFOUND;
    return rc;
}

static int marked_wrongly(const struct kvi_change *change)
{
    return kvi_tree_damaged(change->tree, KVI_NO_PGNO,
                            "values of one key in several cells are marked wrongly");
}

/* Removes the last cell of the key, found, and those before it in the same leaf. *more_out: there are
 * others in leaves before. */
static int remove_cells(struct kvi_change *change, struct kvi_place *place, bool *more_out)
{
    struct kvi_tree *tree = change->tree;
    struct kvi_step *leaf = kvi_path_leaf(change->path);
    int rc = kvi_path_touch(tree, change->path);

    for (;;) {
        if (!rc)
            rc = kvi_pair_load(change, place);
        if (!rc &&
            kvi_shape_compare_keys(&tree->shape, change->key,
                                   (struct kvi_key){place->cell.key, place->cell.key_bytes}) != 0)
            rc = marked_wrongly(change);
        *more_out = !rc && place->set.continued;
        if (!rc)
            rc = remove_cell(change, place, *more_out ? 0 : -1);
        if (rc || !*more_out || leaf->slot == 0)
            break;
        leaf->slot--;
    }
    return rc || kvi_delete_stays(change) ? rc : kvi_delete_rebalance(change);
}

/* What a key has in other leaves than its last: whole leaves go unread. */
static int remove_rest(const struct kvi_change *change)
{
    struct kvi_tree *tree = change->tree;
    struct kv_val only = {change->key.size, (void *)(uintptr_t)change->key.data};
    struct kv_range all = {&only, &only, NULL, KV_TO_INCLUSIVE};
    struct kvi_range range;
    uint64_t records = 0;
    int rc = kvi_range_init(&range, &tree->shape, &all);

    if (rc)
        return rc;
    rc = kvi_tree_delete_range(tree, &range, false, &records);
    kvi_range_release(&range);
    return !rc && records == 0 ? marked_wrongly(change) : rc;
}

int kvi_delete_key(struct kvi_change *change, struct kvi_cursor *self)
{
    struct kvi_tree *tree = change->tree;
    struct kvi_place place;
    bool marked, more = false;
    int rc = kvi_arena_keep(&change->arena, &change->key.data, change->key.size);

    if (!rc)
        rc = find_last(change, &place);
    if (rc)
        return rc;
    marked = tree->cursors && kvi_cursors_mark(tree, change->key, NULL);
    if (self || marked)
        rc = tell_cursors(change, self, &place, place.set.count - 1);
    if (!rc)
        rc = remove_cells(change, &place, &more);
    return rc || !more ? rc : remove_rest(change);
}
