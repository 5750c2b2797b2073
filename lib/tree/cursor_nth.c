/* SPDX-License-Identifier: MIT */
/*
 * To record number n, by the counts in branch cells: one descent. See TREE.md, "Shapes".
 *
 * The counts are bytes of the file: a page that has fewer records below it than its parent says is
 * damage.
 */
#include "base/error.h"
#include "format/node_page.h"
#include "kv.h"
#include "tree/cursor.h"
#include "tree/value.h"

/* Goes on in the branch page of `step`: *n is that of a record below it, and then of one below the
 * child found. */
static int pick_child(const struct kvi_tree *tree, struct kvi_step *step, bool keys, uint64_t *n)
{
    const struct kvi_geometry *g = kvi_tree_geometry(tree);
    const uint8_t *page = step->page;
    struct kvi_node_frame frame = kvi_node_frame(g, page);
    unsigned flags = kvi_header_flags(page);
    uint32_t head = kvi_branch_head(flags);
    uint64_t left = *n;

    for (step->slot = 0; step->slot < frame.count; step->slot++) {
        uint32_t at = kvi_node_off(&frame, page, step->slot);
        struct kvi_counts counts;
        uint64_t below;

        if (KVI_UNLIKELY(at < frame.cells_at || at + head > g->page_size))
            return kvi_tree_damaged(tree, kvi_header_pgno(page), "branch page with a bad cell");
        counts = kvi_branch_counts_load(page + at + KVI_BRANCH_CELL_HEAD, flags);
        below = keys ? counts.keys : counts.records;
        if (left < below) {
            *n = left;
            return 0;
        }
        left -= below;
    }
    return kvi_tree_damaged(tree, kvi_header_pgno(page), "fewer records than counted");
}

/* With duplicates: the cell in the leaf of `step` that has record (or key) number *n, which becomes
 * the value's number in it. */
static int pick_set(const struct kvi_tree *tree, struct kvi_step *step, bool keys, uint64_t *n)
{
    const struct kvi_geometry *g = kvi_tree_geometry(tree);
    unsigned count = kvi_header_count(step->page);

    for (step->slot = 0; step->slot < count; step->slot++) {
        struct kvi_leaf_cell cell;
        uint64_t here;

        if (!kvi_leaf_cell_at(g, step->page, step->slot, &cell))
            return kvi_tree_damaged(tree, kvi_header_pgno(step->page), "leaf page with a bad cell");
        here = keys ? !kvi_set_is_continued(cell.payload, cell.payload_bytes)
                    : kvi_set_count(cell.payload, cell.payload_bytes);
        if (*n < here)
            return 0;
        *n -= here;
    }
    return kvi_tree_damaged(tree, kvi_header_pgno(step->page), "fewer records than counted");
}

static int pick_record(const struct kvi_tree *tree, struct kvi_step *step, bool keys, uint64_t *n)
{
    if (tree->shape.duplicates)
        return pick_set(tree, step, keys, n);
    if (*n >= kvi_header_count(step->page))
        return kvi_tree_damaged(tree, kvi_header_pgno(step->page), "fewer records than counted");
    step->slot = (unsigned)*n;
    *n = 0;
    return 0;
}

static int descend(struct kvi_tree *tree, struct kvi_path *path, bool keys, uint64_t *n)
{
    struct kvi_ref ref = tree->record.root;

    path->depth = 0;
    if (tree->record.depth > KVI_DEPTH_MAX)
        return kvi_tree_damaged(tree, ref.pgno, "tree deeper than possible");
    path->depth = tree->record.depth;
    for (unsigned i = 0; i < path->depth; i++) {
        struct kvi_step *step = &path->steps[i];
        unsigned level = kvi_path_level(path, i);
        int rc = kvi_tree_page(tree, ref, level, &step->page);

        step->image = NULL;
        if (!rc)
            rc = level > 0 ? pick_child(tree, step, keys, n) : pick_record(tree, step, keys, n);
        if (!rc && level > 0)
            rc = kvi_tree_child(tree, step->page, step->slot, &ref);
        if (rc)
            return rc;
    }
    return 0;
}

int kvi_cursor_nth(struct kvi_cursor *cursor, uint64_t n, bool keys, struct kvi_key *key,
                   struct kvi_tree_value *value_out)
{
    struct kvi_tree *tree = cursor->tree;
    struct kvi_counts begin, end;
    int rc;

    if (!tree->shape.counted)
        return kvi_error(KV_EINCOMPATIBLE, "the table does not count its records");
    keys &= tree->shape.duplicates;
    rc = kvi_cursor_bound_ranks(cursor, &begin, &end);
    if (rc)
        return rc;
    cursor->state = KVI_CURSOR_NONE;
    cursor->leaf_steps = 0;
    if (n >= UINT64_MAX - begin.records ||
        (keys ? n + begin.keys >= end.keys : n + begin.records >= end.records))
        return KV_ENOTFOUND;
    n += keys ? begin.keys : begin.records;
    rc = tree->record.depth ? descend(tree, &cursor->path, keys, &n) : KV_ENOTFOUND;
    if (!rc)
        rc = kvi_cursor_settle(cursor, (unsigned)n);
    return rc ? rc : kvi_cursor_get(cursor, KV_CURRENT, key, value_out);
}
