/* SPDX-License-Identifier: MIT */
/*
 * Finding pairs, and what joins cells of one key across leaves. See pairs.h.
 */
#include "tree/pairs.h"

#include <assert.h>

#include "base/error.h"
#include "kv.h"
#include "tree/value.h"

int kvi_pair_load(const struct kvi_change *change, struct kvi_place *place_out)
{
    const struct kvi_step *leaf = kvi_path_leaf(change->path);

    if (!kvi_leaf_cell_at(kvi_tree_geometry(change->tree), leaf->page, leaf->slot,
                          &place_out->cell))
        return kvi_tree_damaged(change->tree, kvi_header_pgno(leaf->page),
                                "leaf page with a bad cell");
    return kvi_value_set(change->tree, &place_out->cell, &place_out->set);
}

int kvi_pair_find(struct kvi_change *change, enum kvi_path_mode mode, struct kvi_place *place_out)
{
    struct kvi_tree *tree = change->tree;
    struct kvi_probe probe;
    int rc = kvi_tree_probe(tree, change->key, change->value, KVI_PROBE_VALUE, &probe);

    place_out->exact = place_out->found = false;
    change->item = 0;
    if (rc)
        return rc;
    rc = kvi_path_probe(tree, &probe, mode, change->path, &place_out->exact);
    kvi_probe_release(&probe);
    if (rc || !place_out->exact)
        return rc;
    rc = kvi_pair_load(change, place_out);
    if (!rc)
        change->item =
            kvi_set_find(&tree->shape, &place_out->set, change->value, &place_out->found);
    return rc;
}

int kvi_pair_next(const struct kvi_change *change, unsigned slot, struct kvi_path *next,
                  struct kvi_leaf_cell *cell_out)
{
    struct kvi_step *leaf;
    int rc = 0;

    kvi_path_copy(next, change->path);
    if (next->depth == 0)
        return 0;
    leaf = kvi_path_leaf(next);
    leaf->slot = slot;
    if (slot >= kvi_header_count(leaf->page))
        rc = kvi_path_leaf_after(change->tree, next);
    if (rc == KV_ENOTFOUND) {
        next->depth = 0;
        return 0;
    }
    if (!rc && !kvi_leaf_cell_at(kvi_tree_geometry(change->tree), leaf->page, leaf->slot, cell_out))
        rc = kvi_tree_damaged(change->tree, kvi_header_pgno(leaf->page),
                              "leaf page with a bad cell");
    return rc;
}

int kvi_pair_mark(struct kvi_change *change, struct kvi_path *path, bool continued)
{
    struct kvi_tree *tree = change->tree;
    const struct kvi_step *leaf = kvi_path_leaf(path);
    struct kvi_leaf_cell cell;
    int rc = kvi_path_touch(tree, path);

    assert(leaf->slot == 0);
    if (!rc && !kvi_leaf_cell_at(kvi_tree_geometry(tree), leaf->image, 0, &cell))
        rc = kvi_tree_damaged(tree, kvi_header_pgno(leaf->image), "leaf page with a bad cell");
    if (rc)
        return rc;
    if (cell.kind != KVI_CELL_SET ||
        kvi_set_is_continued(cell.payload, cell.payload_bytes) == continued)
        return kvi_tree_damaged(tree, kvi_header_pgno(leaf->image),
                                "values of one key in several cells are marked wrongly");
    kvi_set_mark_continued(leaf->image + (cell.payload - leaf->image), cell.payload_bytes,
                           continued);
    return kvi_counts_add(tree, path, 0, continued ? -1 : 1);
}

static int keep(struct kvi_change *change, const uint8_t *page, struct kvi_key *bytes)
{
    uint32_t page_size = kvi_tree_geometry(change->tree)->page_size;

    if (page && (uintptr_t)bytes->data - (uintptr_t)page >= page_size)
        return 0;
    return kvi_arena_keep(&change->arena, &bytes->data, bytes->size);
}

int kvi_pair_keep(struct kvi_change *change, const uint8_t *page)
{
    int rc = keep(change, page, &change->key);

    return rc ? rc : keep(change, page, &change->value);
}
