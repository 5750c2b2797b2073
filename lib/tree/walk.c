/* SPDX-License-Identifier: MIT */
/*
 * Every page of a tree, parents first, for those who count, copy or prove pages. A loop over a
 * path, so that its stack is bounded by the depth.
 */
#include <string.h>

#include "base/error.h"
#include "kv.h"
#include "tree/path.h"
#include "tree/tree.h"
#include "tree/value.h"

struct walk {
    struct kvi_tree *tree;
    kvi_tree_page_fn *fn;
    void *context;
    struct kvi_path path;
};

/* Tells fn about a page; a read that failed with `rc` is told too if it means damage. */
static int tell(struct walk *walk, struct kvi_ref ref, unsigned level, const uint8_t *page, int rc)
{
    if (rc && rc != KV_ECORRUPT)
        return rc;
    return walk->fn(walk->context, ref, kvi_tree_type(level), level, 1, rc ? NULL : page,
                    rc ? kvi_error_text() : NULL);
}

static int tell_run(struct walk *walk, const struct kvi_leaf_cell *cell)
{
    const struct kvi_geometry *g = kvi_tree_geometry(walk->tree);
    struct kvi_tree_value value = {0};
    struct kvi_overflow_ref run;
    int rc = kvi_value_run(walk->tree, cell, &run);

    if (!rc)
        rc = kvi_value_load(walk->tree, cell, &value);
    if (rc && rc != KV_ECORRUPT)
        return rc;
    walk->tree->told.record = (struct kvi_key){cell->key, cell->key_bytes};
    walk->tree->told.has_record = true;
    rc = walk->fn(walk->context, run.ref, KVI_PAGE_OVERFLOW, 0, kvi_run_pages(g, run.size_bytes),
                  rc ? NULL : value.data - KVI_HEADER_BYTES, rc ? kvi_error_text() : NULL);
    walk->tree->told.record = (struct kvi_key){NULL, 0};
    walk->tree->told.has_record = false;
    return rc;
}

/* A page that was told as sound turns out to hold a bad cell. */
static int tell_bad_cell(struct walk *walk, const uint8_t *page, unsigned level, int rc)
{
    struct kvi_ref ref = {kvi_header_pgno(page), kvi_page_tag(page)};

    return tell(walk, ref, level, page, rc);
}

static int walk_runs(struct walk *walk, const uint8_t *leaf)
{
    int rc = 0;

    for (unsigned slot = 0; !rc && slot < kvi_header_count(leaf); slot++) {
        struct kvi_leaf_cell cell;

        if (!kvi_leaf_cell_at(kvi_tree_geometry(walk->tree), leaf, slot, &cell))
            rc = tell_bad_cell(walk, leaf, 0,
                               kvi_tree_damaged(walk->tree, kvi_header_pgno(leaf),
                                                "leaf page with a bad cell"));
        else if (cell.kind == KVI_CELL_OVERFLOW)
            rc = tell_run(walk, &cell);
        if (rc == KVI_TREE_SKIP)
            rc = 0;
    }
    return rc;
}

/* Tells the page `ref` and, if it is to be descended into, makes it the step at `index`. */
static int visit(struct walk *walk, struct kvi_ref ref, unsigned index, bool *descend_out)
{
    unsigned level = kvi_path_level(&walk->path, index);
    struct kvi_step *step = &walk->path.steps[index];
    int read = kvi_tree_page(walk->tree, ref, level, &step->page);
    int rc;

    walk->tree->told.index = index;
    rc = tell(walk, ref, level, step->page, read);
    *descend_out = false;
    if (rc)
        return rc == KVI_TREE_SKIP ? 0 : rc;
    if (read)
        return 0;
    step->slot = 0;
    *descend_out = level > 0;
    return level > 0 ? 0 : walk_runs(walk, step->page);
}

static int walk_pages(struct walk *walk)
{
    unsigned index = 0;
    bool down;
    int rc = visit(walk, walk->tree->record.root, 0, &down);

    if (rc || !down)
        return rc;
    for (;;) {
        struct kvi_step *step = &walk->path.steps[index];
        struct kvi_ref ref;

        down = false;
        if (step->slot >= kvi_header_count(step->page)) {
            if (index == 0)
                return 0;
            index--;
            continue;
        }
        rc = kvi_tree_child(walk->tree, step->page, step->slot++, &ref);
        walk->tree->told.index = index;
        if (rc == KV_ECORRUPT)
            rc = tell_bad_cell(walk, step->page, kvi_path_level(&walk->path, index), rc);
        else if (!rc)
            rc = visit(walk, ref, index + 1, &down);
        else
            return rc;
        if (rc && rc != KVI_TREE_SKIP)
            return rc;
        if (!rc && down)
            index++;
    }
}

int kvi_tree_walk(struct kvi_tree *tree, kvi_tree_page_fn *fn, void *context)
{
    struct walk walk;
    int rc;

    if (tree->record.depth == 0)
        return 0;
    if (tree->record.depth > KVI_DEPTH_MAX)
        return kvi_tree_damaged(tree, tree->record.root.pgno, "tree deeper than possible");
    walk.tree = tree;
    walk.fn = fn;
    walk.context = context;
    walk.path.depth = tree->record.depth;
    tree->told = (struct kvi_tree_told){.path = &walk.path};
    rc = walk_pages(&walk);
    tree->told.path = NULL;
    return rc;
}
