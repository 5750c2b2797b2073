/* SPDX-License-Identifier: MIT */
/*
 * Defragmentation: pages of the file's tail are written anew, and the space map, which hands out
 * the lowest pages first, puts them lower down (DESIGN 4). One pass over the leaves, in key order;
 * a leaf is made dirty with its path when any page of that path, or a run of its values, stands too
 * high.
 */
#include "base/error.h"
#include "kv.h"
#include "tree/path.h"
#include "tree/tree.h"
#include "tree/value.h"

static bool path_high(const struct kvi_path *path, uint64_t pgno_from)
{
    for (unsigned i = 0; i < path->depth; i++) {
        if (kvi_header_pgno(path->steps[i].page) >= pgno_from)
            return true;
    }
    return false;
}

/* Puts the run of a cell lower: a new one with the same value, then the old one is freed. */
static int lower_run(struct kvi_tree *tree, uint8_t *leaf, const struct kvi_leaf_cell *cell,
                     const struct kvi_overflow_ref *old)
{
    struct kvi_overflow_ref run = {{0, 0}, old->size_bytes};
    const uint8_t *value;
    int rc = kvi_pager_run(tree->pager, old->ref, old->size_bytes, &value);

    if (!rc)
        rc = kvi_pager_put_run(tree->pager, value, old->size_bytes, &run.ref);
    if (rc)
        return rc;
    kvi_overflow_ref_store(leaf + (cell->payload - leaf), &run);
    return kvi_pager_free_run(tree->pager, old->ref, old->size_bytes);
}

/* The runs of the leaf at the path. */
static int lower_runs(struct kvi_tree *tree, struct kvi_path *path, uint64_t pgno_from)
{
    const struct kvi_geometry *g = kvi_tree_geometry(tree);
    struct kvi_step *leaf = kvi_path_leaf(path);
    int rc = 0;

    for (unsigned slot = 0; !rc && slot < kvi_header_count(leaf->page); slot++) {
        struct kvi_overflow_ref run;
        struct kvi_leaf_cell cell;

        if (!kvi_leaf_cell_at(g, leaf->page, slot, &cell))
            return kvi_tree_damaged(tree, kvi_header_pgno(leaf->page), "leaf page with a bad cell");
        rc = kvi_value_run(tree, &cell, &run);
        if (rc || run.ref.pgno + kvi_run_pages(g, run.size_bytes) <= pgno_from || run.ref.pgno == 0)
            continue;
        rc = kvi_path_touch(tree, path);
        if (!rc && !kvi_leaf_cell_at(g, leaf->image, slot, &cell))
            rc = kvi_tree_damaged(tree, kvi_header_pgno(leaf->page), "leaf page with a bad cell");
        if (!rc)
            rc = lower_run(tree, leaf->image, &cell, &run);
    }
    return rc;
}

int kvi_tree_lower(struct kvi_tree *tree, uint64_t pgno_from)
{
    struct kvi_path path;
    int rc = kvi_tree_park(tree);

    if (!rc)
        rc = kvi_path_edge(tree, KVI_PATH_FIRST, KVI_PATH_READ, &path);
    if (rc || path.depth == 0)
        return rc;
    for (struct kvi_tree *other = tree->ring; other != tree; other = other->ring)
        other->last_leaf = NULL; /* the spills below may take it */
    while (!rc) {
        if (path_high(&path, pgno_from))
            rc = kvi_path_touch(tree, &path);
        if (!rc)
            rc = lower_runs(tree, &path, pgno_from);
        if (!rc && kvi_pager_over_budget(tree->pager)) {
            rc = kvi_pager_spill(tree->pager);
            if (!rc)
                rc = kvi_path_again(tree, &path);
        }
        if (!rc)
            rc = kvi_path_leaf_after(tree, &path);
    }
    return rc == KV_ENOTFOUND ? 0 : rc;
}
