/* SPDX-License-Identifier: MIT */
/*
 * How many records stand before a place, or in a range.
 *
 * A tree that counts knows: one descent, which adds up the counts of the cells before the path in
 * each page (T6).
 *
 * Any other is estimated from the pages on the two paths to the range's ends:
 *
 *     | . . a x x x b . . |      x: whole children between the paths, each taken for an average
 *           |       |               subtree of its level
 *      | . . a x x | | x b . |
 *            |           |
 *        | . . r r |  | r r . |  r: records, counted
 *
 * The average of a level is the table's records over that level's pages. Leaves are known from the
 * record, the root's children from the root, and so, from the total, are the pages of level 1 up to
 * a depth of four; above that the average fan-out tells. So the error is that of taking a few
 * pages, and at most two at each level are, for average ones: none when there is no whole child
 * between (the range lies in one leaf, or in two neighbours), and of a few percent where records
 * have similar sizes and many pages lie between.
 */
#include <string.h>

#include "base/error.h"
#include "format/set.h"
#include "kv.h"
#include "tree/range.h"

/* ---- Sums ---- */

static int bad_cell(const struct kvi_tree *tree, const uint8_t *page)
{
    return kvi_tree_damaged(tree, kvi_header_pgno(page), "tree page with a bad cell");
}

static int add_sets(const struct kvi_tree *tree, const uint8_t *leaf, unsigned from, unsigned end,
                    struct kvi_counts *sum)
{
    for (unsigned slot = from; slot < end; slot++) {
        struct kvi_leaf_cell cell;
        uint32_t values;

        if (!kvi_leaf_cell_at(kvi_tree_geometry(tree), leaf, slot, &cell))
            return bad_cell(tree, leaf);
        values = kvi_set_count(cell.payload, cell.payload_bytes);
        if (values == 0)
            return bad_cell(tree, leaf);
        sum->records += values;
        sum->keys += !kvi_set_is_continued(cell.payload, cell.payload_bytes);
    }
    return 0;
}

static int add_children(const struct kvi_tree *tree, const uint8_t *branch, unsigned from,
                        unsigned end, struct kvi_counts *sum)
{
    for (unsigned slot = from; slot < end; slot++) {
        struct kvi_branch_cell cell;
        struct kvi_counts counts;

        if (!kvi_branch_cell_at(kvi_tree_geometry(tree), branch, slot, &cell))
            return bad_cell(tree, branch);
        counts = kvi_branch_counts(branch, &cell);
        sum->records += counts.records;
        sum->keys += counts.keys;
    }
    return 0;
}

int kvi_range_add_slots(const struct kvi_tree *tree, const uint8_t *page, unsigned from,
                        unsigned end, struct kvi_counts *sum)
{
    if (kvi_header_level(page) > 0)
        return tree->shape.counted ? add_children(tree, page, from, end, sum) : 0;
    if (tree->shape.duplicates)
        return add_sets(tree, page, from, end, sum);
    sum->records += end - from;
    return 0;
}

/* ---- Rank ---- */

/* The values before the probe's in the set that the path leads to. */
static int add_values(const struct kvi_tree *tree, const struct kvi_step *leaf,
                      const struct kvi_probe *probe, struct kvi_counts *sum)
{
    struct kvi_leaf_cell cell;
    struct kvi_set set;
    uint32_t before;
    bool exact;

    if (!kvi_leaf_cell_at(kvi_tree_geometry(tree), leaf->page, leaf->slot, &cell) ||
        !kvi_set_open(cell.payload, cell.payload_bytes, &set))
        return bad_cell(tree, leaf->page);
    before = kvi_set_find(&tree->shape, &set, probe->value, &exact);
    sum->records += before;
    sum->keys += before > 0 && !set.continued;
    return 0;
}

static int needs_counts(const struct kvi_tree *tree)
{
    return tree->shape.counted ? 0 : kvi_error(KV_EINCOMPATIBLE, "the table does not count");
}

int kvi_tree_rank(struct kvi_tree *tree, const struct kvi_probe *place,
                  struct kvi_counts *before_out)
{
    struct kvi_path path;
    bool exact = false;
    int rc = needs_counts(tree);

    *before_out = (struct kvi_counts){0, 0};
    if (!rc)
        rc = kvi_path_probe(tree, place, KVI_PATH_READ, &path, &exact);
    if (rc || path.depth == 0)
        return rc;
    if (exact && place->where == KVI_PROBE_LAST)
        kvi_path_leaf(&path)->slot++;
    for (unsigned i = 0; !rc && i < path.depth; i++)
        rc = kvi_range_add_slots(tree, path.steps[i].page, 0, path.steps[i].slot, before_out);
    if (!rc && exact && place->where == KVI_PROBE_VALUE && tree->shape.duplicates)
        rc = add_values(tree, kvi_path_leaf(&path), place, before_out);
    return rc;
}

int kvi_tree_count(struct kvi_tree *tree, const struct kvi_range *range,
                   struct kvi_counts *counts_out)
{
    struct kvi_counts before = {0, 0};
    int rc = needs_counts(tree);

    *counts_out = (struct kvi_counts){0, 0};
    if (rc)
        return rc;
    *counts_out = (struct kvi_counts){tree->record.entries, tree->record.keys};
    if (range->to_given)
        rc = kvi_tree_rank(tree, &range->to, counts_out);
    if (!rc && range->from_given)
        rc = kvi_tree_rank(tree, &range->from, &before);
    /* from behind to: an empty range */
    counts_out->records -=
        before.records < counts_out->records ? before.records : counts_out->records;
    counts_out->keys -= before.keys < counts_out->keys ? before.keys : counts_out->keys;
    return rc;
}

/* ---- Estimate ---- */

/* Pages of each level, as far as they are known. */
static void guess_pages(const struct kvi_tree *tree, unsigned root_children, double *pages)
{
    const struct kvi_table_record *record = &tree->record;
    unsigned depth = record->depth;
    double leaves = (double)record->pages_leaf;
    double rest = (double)record->pages_branch - 1.0 - root_children;
    double fan_out = record->pages_branch ? 1.0 + leaves / (double)record->pages_branch : 1.0;
    double level_pages = leaves / fan_out;

    pages[0] = leaves;
    for (unsigned level = 2; level + 2 < depth; level++) {
        level_pages /= fan_out;
        pages[level] = level_pages;
        rest -= level_pages;
    }
    if (depth > 3)
        pages[1] = rest;
    if (depth > 2)
        pages[depth - 2] = root_children;
}

/* Whole children between the paths of an average subtree each. */
static double between(const struct kvi_tree *tree, const double *pages, unsigned level,
                      unsigned children)
{
    double of_level = level < tree->record.depth ? pages[level] : 1.0;

    return of_level < 1.0 ? 0.0 : children * ((double)tree->record.entries / of_level);
}

static uint64_t estimate_between(const struct kvi_tree *tree, const struct kvi_path *from,
                                 const struct kvi_path *to)
{
    unsigned last = from->depth - 1;
    double pages[KVI_DEPTH_MAX] = {0};
    double sum = 0;
    unsigned p = 0;

    while (p < last && from->steps[p].slot == to->steps[p].slot)
        p++;
    if (from->steps[p].slot >= to->steps[p].slot)
        return 0;
    if (p == last)
        return to->steps[p].slot - from->steps[p].slot;
    guess_pages(tree, kvi_header_count(from->steps[0].page), pages);
    sum += between(tree, pages, last - p - 1, to->steps[p].slot - from->steps[p].slot - 1);
    for (unsigned i = p + 1; i < last; i++) {
        unsigned behind = kvi_header_count(from->steps[i].page) - from->steps[i].slot - 1;

        sum += between(tree, pages, last - i - 1, behind + to->steps[i].slot);
    }
    sum += kvi_header_count(from->steps[last].page) - from->steps[last].slot;
    sum += to->steps[last].slot;
    return sum < (double)tree->record.entries ? (uint64_t)(sum + 0.5) : tree->record.entries;
}

int kvi_tree_estimate(struct kvi_tree *tree, const struct kvi_range *range,
                      struct kvi_counts *counts_out)
{
    struct kvi_path from, to;
    int rc;

    if (tree->shape.counted)
        return kvi_tree_count(tree, range, counts_out);
    *counts_out = (struct kvi_counts){tree->record.entries, tree->record.keys};
    if (!range->from_given && !range->to_given)
        return 0;
    rc = kvi_range_place(tree, range->from_given ? &range->from : NULL, KVI_PATH_FIRST, &from);
    if (!rc)
        rc = kvi_range_place(tree, range->to_given ? &range->to : NULL, KVI_PATH_LAST, &to);
    if (rc)
        counts_out->records = 0;
    else if (from.depth > 0)
        counts_out->records = estimate_between(tree, &from, &to);
    return rc;
}
