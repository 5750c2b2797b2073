/* SPDX-License-Identifier: MIT */
/*
 * Freeing a whole tree, children before their parents.
 *
 * Leaves are read only where the table has overflow runs; else the reference in their parent is all
 * that is needed. A damaged tree that holds a page twice ends at the second free of it
 * (KV_ECORRUPT).
 */
#include <string.h>

#include "kv.h"
#include "tree/path.h"
#include "tree/tree.h"
#include "tree/value.h"

static int free_runs(struct kvi_tree *tree, const uint8_t *leaf)
{
    for (unsigned slot = 0; slot < kvi_header_count(leaf); slot++) {
        struct kvi_overflow_ref run;
        struct kvi_leaf_cell cell;
        int rc = 0;

        if (!kvi_leaf_cell_at(kvi_tree_geometry(tree), leaf, slot, &cell))
            return kvi_tree_damaged(tree, kvi_header_pgno(leaf), "leaf page with a bad cell");
        if (cell.kind == KVI_CELL_OVERFLOW)
            rc = kvi_value_run(tree, &cell, &run);
        if (!rc && cell.kind == KVI_CELL_OVERFLOW)
            rc = kvi_value_free_run(tree, &run);
        if (rc)
            return rc;
    }
    return 0;
}

/* The reference under which the step at `index` is known. */
static int step_ref(const struct kvi_tree *tree, const struct kvi_path *path, unsigned index,
                    struct kvi_ref *ref_out)
{
    *ref_out = tree->record.root;
    if (index == 0)
        return 0;
    return kvi_tree_child(tree, path->steps[index - 1].page, path->steps[index - 1].slot, ref_out);
}

/* Frees the page at `index`, all of whose children are gone; a leaf's runs first. */
static int free_step(struct kvi_tree *tree, const struct kvi_path *path, unsigned index)
{
    struct kvi_ref ref;
    int rc = 0;

    if (index + 1 == path->depth)
        rc = free_runs(tree, path->steps[index].page);
    if (!rc)
        rc = step_ref(tree, path, index, &ref);
    return rc ? rc : kvi_pager_free(tree->pager, ref);
}

/* Goes on to the child at the step's slot: into it, or, a leaf that need not be read, past it. */
static int go_down(struct kvi_tree *tree, struct kvi_path *path, unsigned *index, bool read_leaves)
{
    struct kvi_step *step = &path->steps[*index];
    struct kvi_ref ref;
    int rc = kvi_tree_child(tree, step->page, step->slot, &ref);

    if (rc)
        return rc;
    if (*index + 2 == path->depth && !read_leaves) {
        step->slot++;
        return kvi_pager_free(tree->pager, ref);
    }
    ++*index;
    step[1].slot = 0;
    return kvi_tree_page(tree, ref, kvi_path_level(path, *index), &step[1].page);
}

static int free_pages(struct kvi_tree *tree)
{
    bool read_leaves = tree->record.pages_overflow > 0;
    struct kvi_path path;
    unsigned index = 0;
    int rc = kvi_path_edge(tree, KVI_PATH_FIRST, KVI_PATH_READ, &path);

    if (rc || path.depth == 0)
        return rc;
    for (;;) {
        struct kvi_step *step = &path.steps[index];

        if (index + 1 < path.depth && step->slot < kvi_header_count(step->page)) {
            rc = go_down(tree, &path, &index, read_leaves);
        } else {
            rc = free_step(tree, &path, index);
            if (index == 0)
                return rc;
            index--;
            path.steps[index].slot++;
        }
        if (rc)
            return rc;
    }
}

int kvi_tree_empty(struct kvi_tree *tree)
{
    int rc;

    kvi_tree_unposition(tree);
    tree->last_leaf = NULL;
    rc = free_pages(tree);
    if (rc)
        return rc;
    tree->record.root = (struct kvi_ref){0, 0};
    tree->record.depth = 0;
    tree->record.entries = 0;
    tree->record.pages_branch = 0;
    tree->record.pages_leaf = 0;
    tree->record.pages_overflow = 0;
    tree->tail_pgno = 0;
    tree->changed = true;
    return 0;
}
