/* SPDX-License-Identifier: MIT */
/*
 * Many values of one key in one put (KV_MULTIPLE): runs of values that belong side by side into one
 * set go there together; what needs a cell, a cut or a split of its own is put singly.
 *
 * The values may come in any order. Refusals are found out before the first goes in.
 */
#include <assert.h>
#include <string.h>

#include "base/error.h"
#include "kv.h"
#include "tree/pairs.h"
#include "tree/value.h"

struct many {
    struct kvi_change *change;
    const uint8_t *values;
    uint64_t count;
    uint32_t item_bytes;
};

static struct kvi_key value_of(const struct many *many, uint64_t i)
{
    return (struct kvi_key){many->values + i * many->item_bytes, many->item_bytes};
}

static bool ascends(const struct many *many, uint64_t i)
{
    return kvi_shape_compare_values(&many->change->tree->shape, value_of(many, i - 1),
                                    value_of(many, i)) < 0;
}

/* ---- Runs ---- */

/* How many values from number i on ascend and stay below the value behind the place, if its set has
 * one, or the next one in its leaf. */
static uint32_t run_of(const struct many *many, uint64_t i, const struct kvi_place *place,
                       uint32_t most)
{
    const struct kvi_change *change = many->change;
    const struct kvi_shape *shape = &change->tree->shape;
    const struct kvi_step *leaf = kvi_path_leaf(change->path);
    struct kvi_key limit = {NULL, 0};
    struct kvi_leaf_cell next;
    struct kvi_set set;
    bool limited = change->item < place->set.count;
    uint32_t run = 1;

    if (limited) {
        limit = kvi_set_value(&place->set, change->item);
    } else if (leaf->slot + 1 < kvi_header_count(leaf->page) &&
               kvi_leaf_cell_at(kvi_tree_geometry(change->tree), leaf->page, leaf->slot + 1,
                                &next) &&
               kvi_pair_same_key(&place->cell, &next)) {
        if (!kvi_set_open(next.payload, next.payload_bytes, &set))
            return 1;
        limit = kvi_set_value(&set, 0);
        limited = true;
    }
    while (run < most && i + run < many->count && ascends(many, i + run) &&
           (!limited || kvi_shape_compare_values(shape, value_of(many, i + run), limit) < 0))
        run++;
    return run;
}

/* Whether a value belongs into the leaf of the path too; the last of a run, of which the first
 * does. */
static int same_leaf(const struct many *many, uint64_t i, bool *same_out)
{
    const struct kvi_change *change = many->change;
    struct kvi_probe probe;
    struct kvi_path path;
    bool exact;
    int rc = kvi_tree_probe(change->tree, change->key, value_of(many, i), KVI_PROBE_VALUE, &probe);

    if (rc)
        return rc;
    rc = kvi_path_probe(change->tree, &probe, KVI_PATH_READ, &path, &exact);
    kvi_probe_release(&probe);
    *same_out = !rc && kvi_path_leaf(&path)->page == kvi_path_leaf(change->path)->page;
    return rc;
}

/* How many more values the cell may have, by its own largest size and by what its leaf has free. */
static uint32_t room_for(const struct many *many, const struct kvi_place *place)
{
    const struct kvi_tree *tree = many->change->tree;
    const struct kvi_geometry *g = kvi_tree_geometry(tree);
    const struct kvi_leaf_cell *cell = &place->cell;
    uint32_t now = kvi_leaf_cell_bytes(tree->leaf_flags, cell->key_bytes, cell->payload_bytes);
    uint32_t free_bytes = kvi_node_free_bytes(g, kvi_path_leaf(many->change->path)->page);
    uint32_t most = now + free_bytes < g->cell_bytes_max ? now + free_bytes : g->cell_bytes_max;
    uint32_t more = most > now ? (most - now) / many->item_bytes : 0;

    while (more > 0 && kvi_leaf_cell_bytes(tree->leaf_flags, cell->key_bytes,
                                           cell->payload_bytes + more * many->item_bytes) > most)
        more--;
    return more;
}

/* Puts `run` values from number i on into the set at the path, before its value change->item. */
static KVI_NOINLINE int merge(const struct many *many, uint64_t i, uint32_t run,
                              const struct kvi_place *place)
{
    struct kvi_change *change = many->change;
    const struct kvi_step *leaf = kvi_path_leaf(change->path);
    uint32_t bytes = place->cell.payload_bytes + run * many->item_bytes;
    uint32_t at = change->item * many->item_bytes;
    uint8_t old[KVI_PAGE_SIZE_MAX / 2], front[KVI_PAGE_SIZE_MAX / 2];
    struct kvi_set before = place->set, middle = place->set, behind = place->set;
    uint8_t *payload;

    assert(place->cell.payload_bytes <= sizeof(old) && bytes <= sizeof(front));
    memcpy(old, place->cell.payload, place->cell.payload_bytes);
    before.data = old;
    before.count = change->item;
    before.values_bytes = at;
    middle.data = many->values + i * many->item_bytes;
    middle.count = run;
    middle.values_bytes = run * many->item_bytes;
    behind.data = old + at;
    behind.count = place->set.count - change->item;
    behind.values_bytes = place->set.values_bytes - at;
    payload = kvi_leaf_resize(kvi_tree_geometry(change->tree), leaf->image, leaf->slot,
                              KVI_CELL_SET, bytes);
    if (!payload)
        return kvi_tree_damaged(change->tree, kvi_header_pgno(leaf->image),
                                "leaf page with a bad cell");
    if (before.count && behind.count) {
        kvi_set_write_joined(front, &before, &middle);
        before.data = front;
        before.count += run;
        before.values_bytes += middle.values_bytes;
        kvi_set_write_joined(payload, &before, &behind);
    } else {
        kvi_set_write_joined(payload, before.count ? &before : &middle,
                             before.count ? &middle : &behind);
    }
    return kvi_counts_add(change->tree, change->path, run, 0);
}

/* An ascending run goes on: sets that it fills are left full. */
static void note_run(const struct kvi_change *change, uint32_t run)
{
    struct kvi_tree *tree = change->tree;
    const struct kvi_step *leaf = kvi_path_leaf(change->path);

    kvi_put_note_tail(tree, leaf->image, leaf->slot, change->item);
    tree->tail_item = change->item + run - 1;
    tree->tail_run += run - 1;
}

static int put_single(const struct many *many, uint64_t i)
{
    struct kvi_tree_put put = {many->values + i * many->item_bytes, many->item_bytes, NULL};

    return kvi_pair_put(many->change, &put, 0);
}

/* Puts value number i and those that go with it; *done_out: how many. */
static int put_some(const struct many *many, uint64_t i, uint64_t *done_out)
{
    struct kvi_change *change = many->change;
    struct kvi_place place;
    uint32_t run = 0;
    bool same = true;
    int rc;

    *done_out = 1;
    change->value = value_of(many, i);
    rc = kvi_pair_find(change, KVI_PATH_TOUCH, &place);
    if (rc || place.found)
        return rc;
    if (place.exact && !place.set.ends && place.set.item_bytes == many->item_bytes)
        run = room_for(many, &place);
    if (run > 1)
        run = run_of(many, i, &place, run);
    if (run > 1 && change->item == place.set.count)
        rc = same_leaf(many, i + run - 1, &same);
    if (rc || run < 2 || !same)
        return rc ? rc : put_single(many, i);
    *done_out = run;
    note_run(change, run);
    return merge(many, i, run, &place);
}

/* ---- Refusals ---- */

static int check_ascending(const struct many *many)
{
    for (uint64_t i = 1; i < many->count; i++) {
        if (!ascends(many, i))
            return KV_EORDER;
    }
    return 0;
}

/* KV_NOPAIR: none of the values may be there. */
static int check_absent(const struct many *many)
{
    struct kvi_place place;

    for (uint64_t i = 0; i < many->count; i++) {
        int rc;

        many->change->value = value_of(many, i);
        rc = kvi_pair_find(many->change, KVI_PATH_READ, &place);
        if (rc || place.found)
            return rc ? rc : KV_EEXIST;
    }
    return 0;
}

static int check_flags(const struct many *many, uint32_t flags)
{
    struct kvi_change *change = many->change;
    struct kvi_place place;
    bool exact;
    int rc = 0;

    if (flags & (KV_RESERVE | KV_NOSPLIT))
        return kvi_error(KV_EINVAL, "KV_MULTIPLE with flags %#x", flags);
    if (flags & KV_NOOVERWRITE) {
        rc = kvi_path_first(change->tree, change->key, change->path, &exact);
        if (!rc && exact)
            rc = KV_EEXIST;
    }
    if (!rc && flags & KV_NOPAIR)
        rc = check_absent(many);
    if (!rc && flags & (KV_APPEND | KV_APPEND_VALUE))
        rc = check_ascending(many);
    change->value = value_of(many, 0);
    if (!rc && flags & KV_APPEND)
        rc = kvi_pair_find_end(change, KVI_PATH_READ, &place);
    if (!rc && flags & KV_APPEND_VALUE) {
        rc = kvi_pair_find(change, KVI_PATH_READ, &place);
        if (!rc)
            rc = kvi_pair_check_last(change, &place);
    }
    return rc;
}

int kvi_pair_put_many(struct kvi_change *change, const struct kvi_tree_put *put, uint32_t flags)
{
    uint32_t item_bytes = change->tree->record.item_bytes;
    struct many many = {change, put->data, item_bytes ? put->size_bytes / item_bytes : 0,
                        item_bytes};
    int rc = 0;

    if (!item_bytes || put->size_bytes % item_bytes)
        return kvi_error(KV_EINVAL, "the size is no multiple of that of the table's values");
    if (many.count == 0)
        return 0;
    if (flags)
        rc = check_flags(&many, flags);
    if (!rc)
        rc = kvi_arena_keep(&change->arena, &change->key.data, change->key.size);
    if (!rc)
        rc = kvi_arena_keep(&change->arena, &many.values, put->size_bytes);
    for (uint64_t i = 0, done; !rc && i < many.count; i += done)
        rc = put_some(&many, i, &done);
    return rc;
}

int kvi_tree_put_many(struct kvi_tree *tree, struct kvi_key key, const struct kvi_tree_put *put,
                      uint32_t flags)
{
    struct kvi_change change;
    struct kvi_path path;
    int rc;

    if (!tree->shape.duplicates || !tree->shape.fixed)
        return KV_EINCOMPATIBLE;
    rc = kvi_change_begin(&change, tree, &path, NULL, 0, &key);
    change.key = key;
    if (!rc)
        rc = kvi_pair_put_many(&change, put, flags);
    return kvi_change_end(&change, 0, rc);
}
