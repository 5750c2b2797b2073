/* SPDX-License-Identifier: MIT */
/*
 * Deleting a range: cut along its two edges, then mend what is left there.
 *
 *              left                 right               [from, end) of each page on the two paths
 *     root     | . . a . . . . . . b . . . |            go: what lies between the paths; a child on
 *                    |  xxxxxxxxxx |                    a path goes too if nothing of it stays
 *              | . a x x x |   | x x b . . |
 *                  |                 |
 *         leaf | . . x x |   | x x x x . . |
 *
 * First both paths are read and the plan is made, so that what is refused (a named table in the
 * range) has changed nothing. Then, from the leaves up, the pages that stay are made dirty, what
 * hangs on the slots that go is freed (drop.h), and the rest of each page is written anew.
 *
 * What is then wrong stands on the paths to the two ends of the range, which now enclose nothing:
 * branches with one child (T1) and pages that hold too little (T3). They are mended from the top
 * down, as a page can be merged or evened out only when its parent has another child; the merge of
 * two pages may leave their parent too little, so that it begins again at the top after each.
 *
 * Cursors were parked; those in the range are then told the record behind it.
 */
#include <assert.h>
#include <string.h>

#include "base/error.h"
#include "kv.h"
#include "tree/change.h"
#include "tree/cursor.h"
#include "tree/drop.h"
#include "tree/range.h"

/* One edge: the path to it, and in each page of it the slots that go. The right side's steps down
 * to the parting are unused, as the left side's are the same. */
struct side {
    struct kvi_path path;
    unsigned from[KVI_DEPTH_MAX];
    unsigned end[KVI_DEPTH_MAX];
    unsigned touched;       /* steps that must be made dirty; 0: none */
    struct kvi_counts less; /* records that its pages, from the leaf up to some step, have lost */
};

struct cut {
    struct kvi_change change;
    struct kvi_drop drop;
    const struct kvi_range *range; /* as given; from the first change on, `kept` */
    struct kvi_range kept;         /* the same with keys of its own, as pages are freed */
    struct side left, right;
    unsigned parting; /* the step at which the paths go to different slots; or the leaf */
};

/* ---- Places ---- */

static int find_edges(struct cut *cut)
{
    struct kvi_tree *tree = cut->change.tree;
    const struct kvi_range *range = cut->range;
    int rc = kvi_range_place(tree, range->from_given ? &range->from : NULL, KVI_PATH_FIRST,
                             &cut->left.path);

    if (rc)
        return rc;
    return kvi_range_place(tree, range->to_given ? &range->to : NULL, KVI_PATH_LAST,
                           &cut->right.path);
}

/* ---- The plan ---- */

static unsigned slots_of(const struct side *side, unsigned index)
{
    return kvi_header_count(side->path.steps[index].page);
}

static bool goes_whole(const struct side *side, unsigned index)
{
    return side->from[index] == 0 && side->end[index] == slots_of(side, index);
}

/* The slots behind the left path, and those before the right one; the last step is the leaf. */
static bool plan_left(struct side *left, unsigned index, bool leaf, bool child_goes)
{
    left->from[index] = left->path.steps[index].slot + (leaf || child_goes ? 0 : 1);
    left->end[index] = slots_of(left, index);
    return goes_whole(left, index);
}

static bool plan_right(struct side *right, unsigned index, bool child_goes)
{
    right->from[index] = 0;
    right->end[index] = right->path.steps[index].slot + (child_goes ? 1 : 0);
    return goes_whole(right, index);
}

/* Where the paths part, and the steps above, whose only concern is a child that goes. */
static void plan_common(struct cut *cut, bool left_goes, bool right_goes)
{
    struct side *left = &cut->left;
    unsigned i = cut->parting;
    bool leaf = i + 1 == left->path.depth;
    bool child_goes;

    left->from[i] = left->path.steps[i].slot + (leaf || left_goes ? 0 : 1);
    left->end[i] = cut->right.path.steps[i].slot + (!leaf && right_goes ? 1 : 0);
    child_goes = goes_whole(left, i);
    while (i-- > 0) {
        left->from[i] = left->path.steps[i].slot;
        left->end[i] = left->from[i] + (child_goes ? 1 : 0);
        child_goes = goes_whole(left, i);
    }
}

/* As far down as a page loses slots and stays. */
static unsigned steps_touched(const struct side *side, unsigned parting)
{
    for (unsigned i = side->path.depth; i-- > parting;) {
        if (side->from[i] < side->end[i] && !goes_whole(side, i))
            return i + 1;
    }
    return 0;
}

/* Decides what goes; false: nothing. */
static bool plan(struct cut *cut)
{
    struct side *left = &cut->left;
    struct side *right = &cut->right;
    unsigned last = left->path.depth - 1;
    bool left_goes = false;
    bool right_goes = false;
    unsigned p = 0;

    while (p < last && left->path.steps[p].slot == right->path.steps[p].slot)
        p++;
    cut->parting = p;
    if (left->path.steps[p].slot > right->path.steps[p].slot)
        return false;
    for (unsigned i = last; i > p; i--) {
        left_goes = plan_left(left, i, i == last, left_goes);
        right_goes = plan_right(right, i, right_goes);
    }
    plan_common(cut, left_goes, right_goes);
    right->from[p] = right->end[p] = 0;
    left->touched = steps_touched(left, 0);
    right->touched = steps_touched(right, p);
    if (left->touched <= p && right->touched > p)
        left->touched = p + 1;
    return left->touched > 0 || goes_whole(left, 0);
}

/* ---- Named tables ---- */

static int look_at_cells(const struct kvi_tree *tree, const uint8_t *leaf, unsigned from,
                         unsigned end)
{
    for (unsigned slot = from; slot < end; slot++) {
        struct kvi_leaf_cell cell;

        if (!kvi_leaf_cell_at(kvi_tree_geometry(tree), leaf, slot, &cell))
            return kvi_tree_damaged(tree, kvi_header_pgno(leaf), "leaf page with a bad cell");
        if (cell.kind == KVI_CELL_TABLE)
            return kvi_error(KV_EINCOMPATIBLE, "the range holds a named table");
    }
    return 0;
}

/* KV_EINCOMPATIBLE if a table record lies between the two paths. */
static int look_for_tables(struct cut *cut)
{
    struct kvi_tree *tree = cut->change.tree;
    uint64_t leaves_max = tree->view->page_end; /* damage that leads in circles ends there */
    const struct kvi_step *last = kvi_path_leaf(&cut->right.path);
    struct kvi_path path;

    kvi_path_copy(&path, &cut->left.path);
    for (uint64_t leaves = 0; leaves < leaves_max; leaves++) {
        const struct kvi_step *leaf = kvi_path_leaf(&path);
        bool done = leaf->page == last->page;
        int rc = look_at_cells(tree, leaf->page, leaf->slot,
                               done ? last->slot : kvi_header_count(leaf->page));

        if (rc || done)
            return rc;
        rc = kvi_path_leaf_after(tree, &path);
        if (rc)
            return rc == KV_ENOTFOUND ? 0 : rc;
    }
    return kvi_tree_damaged(tree, tree->record.root.pgno, "more leaves than pages");
}

/* ---- The cut ---- */

/* Takes slots out of a dirty page, which is written anew. */
static int take_out(struct kvi_change *change, struct kvi_path *path, unsigned index, unsigned from,
                    unsigned end)
{
    const struct kvi_geometry *g = kvi_tree_geometry(change->tree);
    struct kvi_group group;
    int rc;

    change->path = path;
    rc = kvi_group_gather(change, index, KVI_ALONE, NULL, &group);
    if (rc)
        return rc;
    memmove(group.items + from, group.items + end, (group.count - end) * sizeof(group.items[0]));
    if (!kvi_node_emit(g, group.images[0], group.items, 0, group.count - (end - from)))
        return kvi_tree_damaged(change->tree, kvi_header_pgno(group.images[0]),
                                "cells do not fit the page that they came from");
    return 0;
}

/* The child at the step's slot lost this much. */
static int lessen(const struct kvi_tree *tree, const struct kvi_step *step,
                  const struct kvi_counts *less)
{
    if (!tree->shape.counted || less->records == 0)
        return 0;
    return kvi_counts_add_cell(tree, step->image, step->slot, -(int64_t)less->records,
                               -(int64_t)less->keys);
}

static void add(struct kvi_counts *sum, const struct kvi_counts *more)
{
    sum->records += more->records;
    sum->keys += more->keys;
}

/* One page that stays: its cell for the page below, and the slots that go. */
static int cut_page(struct cut *cut, struct side *side, unsigned index)
{
    const struct kvi_step *step = &side->path.steps[index];
    unsigned from = side->from[index];
    unsigned end = side->end[index];
    int rc = lessen(cut->change.tree, step, &side->less);

    if (rc || from == end)
        return rc;
    cut->drop.counts = (struct kvi_counts){0, 0};
    rc = kvi_drop_slots(&cut->drop, step->image, kvi_path_level(&side->path, index), from, end);
    if (!rc)
        rc = take_out(&cut->change, &side->path, index, from, end);
    add(&side->less, &cut->drop.counts);
    return rc;
}

/* The steps [first, end) of a side, from the leaf up. */
static int cut_side(struct cut *cut, struct side *side, unsigned first, unsigned end)
{
    int rc = 0;

    for (unsigned i = end; !rc && i-- > first;)
        rc = cut_page(cut, side, i);
    return rc;
}

/* Both sides, then where they part, then what is above. left.less is then the whole. */
static int cut_pages(struct cut *cut)
{
    struct kvi_tree *tree = cut->change.tree;
    struct side *left = &cut->left;
    struct side *right = &cut->right;
    unsigned p = cut->parting;
    int rc = kvi_path_touch_steps(tree, &left->path, left->touched);

    if (!rc)
        rc = kvi_path_touch_steps(tree, &right->path, right->touched);
    if (!rc)
        rc = cut_side(cut, left, p + 1, left->touched);
    if (!rc)
        rc = cut_side(cut, right, p + 1, right->touched);
    if (!rc)
        rc = lessen(tree, &right->path.steps[p], &right->less);
    if (!rc && left->touched > p)
        rc = cut_page(cut, left, p);
    add(&left->less, &right->less);
    return rc ? rc : cut_side(cut, left, 0, left->touched < p ? left->touched : p);
}

static int cut_records(struct cut *cut)
{
    struct kvi_tree *tree = cut->change.tree;
    const struct kvi_counts *less = &cut->left.less;
    int rc;

    tree->last_leaf = NULL;
    tree->tail_pgno = 0;
    tree->changed = true;
    rc = cut_pages(cut);
    if (!rc && (tree->record.entries < less->records || tree->record.keys < less->keys))
        rc = kvi_tree_damaged(tree, tree->record.root.pgno, "more records than counted");
    if (rc)
        return rc;
    tree->record.entries -= less->records;
    tree->record.keys -= less->keys;
    return 0;
}

/* ---- Mending ---- */

/* The first page from the top that its neighbours must help; 0: none. A level that was seen to and
 * did not get better is passed over. */
static unsigned find_poor(const struct kvi_tree *tree, const struct kvi_path *path,
                          const bool *settled)
{
    const struct kvi_geometry *g = kvi_tree_geometry(tree);

    for (unsigned i = 1; i < path->depth; i++) {
        const uint8_t *page = path->steps[i].page;
        bool lonely = i + 1 < path->depth && kvi_header_count(page) < 2;

        if ((lonely || kvi_page_underfull(g, page)) && !settled[kvi_path_level(path, i)])
            return i;
    }
    return 0;
}

/* Mends the pages on the path to a place. Ends, since each turn makes the tree smaller or settles a
 * level. */
static int mend(struct cut *cut, const struct kvi_probe *probe, enum kvi_path_end end)
{
    struct kvi_tree *tree = cut->change.tree;
    const struct kvi_table_record *record = &tree->record;
    struct kvi_path *path = &cut->left.path;
    bool settled[KVI_DEPTH_MAX] = {false}; /* by level */

    cut->change.path = path;
    for (;;) {
        uint64_t pages = record->pages_leaf + record->pages_branch;
        unsigned index = 0;
        bool split;
        int rc = kvi_collapse_root(tree);

        if (!rc)
            rc = kvi_range_place(tree, probe, end, path);
        if (!rc)
            index = find_poor(tree, path, settled);
        if (rc || index == 0)
            return rc;
        rc = kvi_path_touch_steps(tree, path, index + 1);
        if (!rc)
            rc = kvi_relieve(&cut->change, index, &split);
        if (rc)
            return rc;
        settled[kvi_path_level(path, index)] = true;
        if (record->pages_leaf + record->pages_branch < pages)
            memset(settled, 0, sizeof(settled));
    }
}

/* ---- Cursors ---- */

/* Whether a key stands in the range, by its order alone. */
static bool holds_key(const struct cut *cut, struct kvi_key key)
{
    const struct kvi_shape *shape = &cut->change.tree->shape;
    const struct kvi_range *range = cut->range;
    int order;

    if (range->from_given) {
        order = kvi_shape_compare_keys(shape, key, range->from.key);
        if (order < 0 || (order == 0 && range->from.where == KVI_PROBE_LAST))
            return false;
    }
    if (!range->to_given)
        return true;
    order = kvi_shape_compare_keys(shape, key, range->to.key);
    return order < 0 || (order == 0 && range->to.where == KVI_PROBE_LAST);
}

/* The cursors in the range, which are parked, stand before the record behind it from now on. */
static int move_cursors(struct cut *cut)
{
    struct kvi_tree *tree = cut->change.tree;
    struct kvi_path *path = &cut->left.path;
    struct kvi_leaf_cell cell;
    bool any = false;
    int rc;

    if (!tree->shape.plain && !kvi_shape_searchable(&tree->shape)) {
        kvi_tree_unposition(tree); /* all went, and none was parked */
        return 0;
    }
    for (struct kvi_cursor *c = tree->cursors; c; c = c->next) {
        c->marked = c->state == KVI_CURSOR_PARKED && holds_key(cut, kvi_note_key(&c->note));
        any |= c->marked;
    }
    if (!any)
        return 0;
    rc = kvi_range_place(tree, cut->range->to_given ? &cut->range->to : NULL, KVI_PATH_LAST, path);
    if (!rc && path->depth > 0 &&
        kvi_path_leaf(path)->slot == kvi_header_count(kvi_path_leaf(path)->page))
        rc = kvi_path_leaf_after(tree, path);
    if (rc == KV_ENOTFOUND || (!rc && path->depth == 0))
        return kvi_cursors_follow(tree, NULL, 0);
    if (!rc && !kvi_leaf_cell_at(kvi_tree_geometry(tree), kvi_path_leaf(path)->page,
                                 kvi_path_leaf(path)->slot, &cell))
        rc = kvi_tree_damaged(tree, kvi_header_pgno(kvi_path_leaf(path)->page),
                              "leaf page with a bad cell");
    return rc ? rc : kvi_cursors_follow(tree, &cell, 0);
}

/* ---- The whole ---- */

static int keep_probe(struct cut *cut, const struct kvi_probe *probe, struct kvi_probe *kept,
                      bool *given_out)
{
    struct kvi_key key = probe->key;
    struct kvi_key none = {NULL, 0};
    int rc = kvi_arena_keep(&cut->change.arena, &key.data, key.size);

    if (!rc)
        rc = kvi_probe_init(kept, &cut->change.tree->shape, key, none, probe->where);
    *given_out = !rc;
    return rc;
}

/* The range's keys may stand in the pages that go, and are needed when these are gone. */
static int keep_range(struct cut *cut)
{
    const struct kvi_range *range = cut->range;
    int rc = 0;

    if (range->from_given)
        rc = keep_probe(cut, &range->from, &cut->kept.from, &cut->kept.from_given);
    if (!rc && range->to_given)
        rc = keep_probe(cut, &range->to, &cut->kept.to, &cut->kept.to_given);
    cut->range = &cut->kept;
    return rc;
}

/* Nothing of the tree stays. */
static int drop_all(struct cut *cut)
{
    const struct kvi_table_record *record = &cut->change.tree->record;

    cut->left.less = (struct kvi_counts){record->entries, record->keys};
    return kvi_drop_root(&cut->drop);
}

/* Cuts, and mends what is left at both edges. */
static int cut_and_mend(struct cut *cut)
{
    int rc = cut_records(cut);

    if (!rc && cut->range->from_given)
        rc = mend(cut, &cut->range->from, KVI_PATH_FIRST);
    if (!rc && cut->range->to_given)
        rc = mend(cut, &cut->range->to, KVI_PATH_LAST);
    return rc;
}

static int delete_range(struct cut *cut, bool tables)
{
    int rc = find_edges(cut);

    if (rc || cut->left.path.depth == 0 || !plan(cut))
        return rc;
    if (tables)
        rc = look_for_tables(cut);
    if (!rc)
        rc = keep_range(cut);
    if (rc)
        return rc;
    kvi_drop_init(&cut->drop, cut->change.tree, true);
    rc = goes_whole(&cut->left, 0) ? drop_all(cut) : cut_and_mend(cut);
    return rc || !cut->change.tree->cursors ? rc : move_cursors(cut);
}

int kvi_tree_delete_range(struct kvi_tree *tree, const struct kvi_range *range, bool tables,
                          uint64_t *records_out)
{
    struct kvi_key none = {NULL, 0};
    struct cut cut;
    int rc;

    *records_out = 0;
    cut.range = range;
    cut.kept.from_given = cut.kept.to_given = false;
    cut.kept.heap = NULL;
    cut.left.less = cut.right.less = (struct kvi_counts){0, 0};
    rc = kvi_change_begin(&cut.change, tree, &cut.left.path, NULL, 0, &none);
    if (!rc)
        rc = delete_range(&cut, tables);
    if (!rc)
        *records_out = cut.left.less.records;
    kvi_range_release(&cut.kept);
    return kvi_change_end(&cut.change, 0, rc);
}
