/* SPDX-License-Identifier: MIT */
/*
 * Delete a record, and what follows: merge with a neighbour, else even out with it, level by level
 * upward.
 *
 * A page counts as underfull when less than a quarter of it is in use (T3). With a neighbour it
 * merges if together they leave some of a page free, so that the next insert does not split it
 * again; else the two are evened out. A root with one child gives way to it; the last record takes
 * the root with it.
 *
 * Cursors first: those that stand at the record learn the one after it while the path still leads
 * there.
 */
#include <assert.h>
#include <string.h>

#include "base/error.h"
#include "kv.h"
#include "tree/change.h"
#include "tree/cursor.h"

#define UNDERFULL_PART 4u    /* less than this part of a page in use: merge or even out */
#define MERGED_FREE_PART 10u /* a merged page keeps this part free */

bool kvi_page_underfull(const struct kvi_geometry *g, const uint8_t *page)
{
    uint32_t used = g->page_size - kvi_node_free_bytes(g, page);

    return used < g->page_size / UNDERFULL_PART;
}

/* ---- Cursors ---- */

/* Leads `next` to the record that follows the removed one, whose slot the path still has. depth 0:
 * none. */
static int find_successor(struct kvi_change *change, struct kvi_path *next,
                          struct kvi_leaf_cell *cell_out)
{
    struct kvi_step *leaf;
    int rc = 0;

    kvi_path_copy(next, change->path);
    leaf = kvi_path_leaf(next);
    if (leaf->slot >= kvi_header_count(leaf->page))
        rc = kvi_path_leaf_after(change->tree, next);
    if (rc == KV_ENOTFOUND) {
        next->depth = 0;
        return 0;
    }
    if (rc)
        return rc;
    if (!kvi_leaf_cell_at(kvi_tree_geometry(change->tree), leaf->page, leaf->slot, cell_out))
        return kvi_tree_damaged(change->tree, kvi_header_pgno(leaf->page),
                                "leaf page with a bad cell");
    return 0;
}

/* Tells the cursors that stood at the removed record what comes next. `path_stays`: self may keep a
 * path. */
static int move_cursors(struct kvi_change *change, struct kvi_cursor *self, bool marked,
                        bool path_stays)
{
    struct kvi_leaf_cell cell;
    struct kvi_path next;
    int rc;

    if (!self && !marked)
        return 0;
    rc = find_successor(change, &next, &cell);
    if (rc)
        return rc;
    if (self && path_stays && next.depth > 0) {
        rc = kvi_cursor_follow_path(self, &next, 0);
        if (rc)
            return rc;
    } else if (self) {
        self->marked = true;
    }
    return kvi_cursors_follow(change->tree, next.depth > 0 ? &cell : NULL, 0);
}

/* ---- Pages ---- */

/* Bytes in use in the page beside the one at `index`; the page size where there is none. */
static int neighbour_used(struct kvi_change *change, unsigned index, unsigned slot,
                          uint32_t *used_out)
{
    const struct kvi_geometry *g = kvi_tree_geometry(change->tree);
    const struct kvi_step *parent = &change->path->steps[index - 1];
    const uint8_t *page;
    struct kvi_ref ref;
    int rc;

    *used_out = g->page_size + 1;
    if (slot >= kvi_header_count(parent->page))
        return 0;
    rc = kvi_tree_child(change->tree, parent->page, slot, &ref);
    if (!rc)
        rc = kvi_tree_page(change->tree, ref, kvi_path_level(change->path, index), &page);
    if (!rc)
        *used_out = g->page_size - kvi_node_free_bytes(g, page);
    return rc;
}

/* The emptier neighbour, as it leaves most to gain; ALONE for an only child. */
static int find_side(struct kvi_change *change, unsigned index, enum kvi_side *side_out)
{
    unsigned slot = change->path->steps[index - 1].slot;
    uint32_t left, right;
    int rc = neighbour_used(change, index, slot == 0 ? UINT32_MAX : slot - 1, &left);

    if (!rc)
        rc = neighbour_used(change, index, slot + 1, &right);
    if (rc)
        return rc;
    if (left == right && left > kvi_tree_geometry(change->tree)->page_size)
        *side_out = KVI_ALONE;
    else
        *side_out = left <= right ? KVI_WITH_LEFT : KVI_WITH_RIGHT;
    return 0;
}

/* How many pages the group should have: one, two, or 0 to leave it as it is. Two need items enough:
 * three children with long separators are one full page. */
static unsigned plan_merge(const struct kvi_tree *tree, unsigned level,
                           const struct kvi_group *group, unsigned *bounds)
{
    const struct kvi_geometry *g = kvi_tree_geometry(tree);
    enum kvi_page_type type = kvi_tree_type(level);
    unsigned flags = kvi_tree_flags(tree, level);
    uint32_t together = kvi_items_bytes(g, type, flags, group->items, 0, group->count);
    unsigned pages;

    bounds[0] = 0;
    bounds[1] = group->count;
    if (together <= g->page_size - g->page_size / MERGED_FREE_PART)
        return 1;
    pages = kvi_plan_split(g, type, flags, group->items, group->count, 2, KVI_PLAN_EVEN, bounds);
    return pages <= 2 ? pages : 0;
}

/* Merges or evens out the page at `index`; *pending is what the parent must take back. */
static int share_out(struct kvi_change *change, unsigned index, struct kvi_pending *pending)
{
    unsigned bounds[KVI_PLAN_PAGES_MAX + 1];
    struct kvi_group group;
    enum kvi_side side;
    unsigned pages;
    int rc = find_side(change, index, &side);

    pending->count = 0;
    if (rc || side == KVI_ALONE)
        return rc;
    rc = kvi_group_gather(change, index, side, NULL, &group);
    if (rc)
        return rc;
    pages = plan_merge(change->tree, kvi_path_level(change->path, index), &group, bounds);
    return pages ? kvi_group_emit(change, &group, bounds, pages, pending) : 0;
}

int kvi_relieve(struct kvi_change *change, unsigned index, bool *split_out)
{
    const struct kvi_geometry *g = kvi_tree_geometry(change->tree);
    struct kvi_pending pending;
    int rc = share_out(change, index, &pending);

    *split_out = !rc && !kvi_branch_take(g, change->path->steps[index - 1].image, &pending);
    return *split_out ? kvi_split(change, index - 1, &pending) : rc;
}

int kvi_collapse_root(struct kvi_tree *tree)
{
    struct kvi_table_record *record = &tree->record;

    while (record->depth > 1) {
        struct kvi_ref child;
        const uint8_t *root;
        int rc = kvi_tree_page(tree, record->root, record->depth - 1u, &root);

        if (rc || kvi_header_count(root) > 1)
            return rc;
        rc = kvi_tree_child(tree, root, 0, &child);
        if (!rc)
            rc = kvi_pager_free(tree->pager, record->root);
        if (rc)
            return rc;
        record->root = child;
        record->depth--;
        record->pages_branch--;
    }
    return 0;
}

/* From the leaf upward while pages are underfull. */
static int rebalance(struct kvi_change *change)
{
    const struct kvi_geometry *g = kvi_tree_geometry(change->tree);
    const struct kvi_step *steps = change->path->steps;

    for (unsigned i = change->path->depth - 1; i > 0 && kvi_page_underfull(g, steps[i].page); i--) {
        bool split;
        int rc = kvi_relieve(change, i, &split);

        if (rc || split)
            return rc;
    }
    return kvi_collapse_root(change->tree);
}

/* The last record is gone. */
static int remove_root(struct kvi_tree *tree)
{
    int rc = kvi_pager_free(tree->pager, tree->record.root);

    tree->last_leaf = NULL;
    if (rc)
        return rc;
    tree->record.root = (struct kvi_ref){0, 0};
    tree->record.depth = 0;
    tree->record.pages_leaf = 0;
    return 0;
}

/* Takes the cell out of its leaf and frees its run. */
static int remove_cell(struct kvi_change *change)
{
    struct kvi_tree *tree = change->tree;
    const struct kvi_step *leaf = kvi_path_leaf(change->path);
    struct kvi_overflow_ref run;
    struct kvi_leaf_cell cell;
    int rc;

    if (!kvi_leaf_cell_at(kvi_tree_geometry(tree), leaf->image, leaf->slot, &cell))
        return kvi_tree_damaged(tree, kvi_header_pgno(leaf->image), "leaf page with a bad cell");
    rc = kvi_value_run(tree, &cell, &run);
    if (!rc && !kvi_node_remove(kvi_tree_geometry(tree), leaf->image, leaf->slot))
        rc = kvi_tree_damaged(tree, kvi_header_pgno(leaf->image), "leaf page with a bad cell");
    if (!rc)
        rc = kvi_value_free_run(tree, &run);
    if (!rc)
        rc = kvi_counts_add(tree, change->path, -1, 0);
    tree->tail_pgno = 0;
    return rc;
}

bool kvi_delete_stays(const struct kvi_change *change)
{
    const struct kvi_step *leaf = kvi_path_leaf(change->path);

    if (change->path->depth == 1)
        return kvi_header_count(leaf->page) > 0;
    return !kvi_page_underfull(kvi_tree_geometry(change->tree), leaf->page);
}

int kvi_delete_rebalance(struct kvi_change *change)
{
    return change->path->depth > 1 ? rebalance(change) : remove_root(change->tree);
}

int kvi_delete_at(struct kvi_change *change, struct kvi_cursor *self)
{
    struct kvi_tree *tree = change->tree;
    bool marked, stays;
    int rc;

    if (KVI_UNLIKELY(tree->shape.duplicates))
        return kvi_pair_delete_at(change, self);
    marked = tree->cursors && kvi_cursors_mark(tree, change->key, NULL);
    rc = kvi_path_touch(tree, change->path);
    if (!rc)
        rc = remove_cell(change);
    if (rc)
        return rc;
    stays = kvi_delete_stays(change);
    rc = move_cursors(change, self, marked, stays);
    return rc || stays ? rc : kvi_delete_rebalance(change);
}

/* Deletes the record of the change's key. */
static int delete_record(struct kvi_change *change, enum kvi_cell_kind kind)
{
    const struct kvi_step *leaf;
    struct kvi_leaf_cell cell;
    bool exact = false;
    int rc = kvi_path_find(change->tree, change->key, KVI_PATH_READ, change->path, &exact);

    if (rc || !exact)
        return rc ? rc : KV_ENOTFOUND;
    leaf = kvi_path_leaf(change->path);
    if (!kvi_leaf_cell_at(kvi_tree_geometry(change->tree), leaf->page, leaf->slot, &cell))
        return kvi_tree_damaged(change->tree, kvi_header_pgno(leaf->page),
                                "leaf page with a bad cell");
    return kvi_value_kind(&cell) == kind ? kvi_delete_at(change, NULL) : KV_EINCOMPATIBLE;
}

int kvi_tree_delete(struct kvi_tree *tree, struct kvi_key key, enum kvi_cell_kind kind)
{
    struct kvi_change change;
    struct kvi_path path;
    int rc = kvi_change_begin(&change, tree, &path, NULL, 0, &key);

    change.key = key;
    if (!rc && tree->shape.duplicates)
        rc = kind == KVI_CELL_VALUE ? kvi_delete_key(&change, NULL) : KV_EINCOMPATIBLE;
    else if (!rc)
        rc = delete_record(&change, kind);
    return kvi_change_end(&change, 0, rc);
}
