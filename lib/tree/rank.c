/* SPDX-License-Identifier: MIT */
/*
 * How many records stand before a place, or in a range.
 *
 * A tree that counts knows: one descent, which adds up the counts of the cells before the path in
 * each page (T6).
 *
 * Any other is estimated from the pages on the two paths to the range's ends, and a few between:
 *
 *     | . . a x x x b . . |      x: whole children between the paths
 *           |       |
 *      | . . a x x | | x b . |
 *            |           |
 *        | . . r r |  | r r . |  r: records, counted
 *
 * Of the whole children of a page up to LOOKS are looked at. Leaves: if these are all, their records
 * are counted, else each is taken for the table's average leaf. Branches: the number of their
 * children, or the average of those seen, times the table's average subtree of that level, which is
 * its records over the level's pages. (Pages of level 0 and 1 and below the root are known from the
 * record and the root, up to a depth of four; the average fan-out tells the others.)
 *
 * So nothing is guessed about a range that lies in up to LOOKS leaves of one branch, and one leaf
 * of the next. Beyond, the error is that of averages of leaves over all of the range, and of
 * subtrees over many: on keys that are spread evenly, one percent for many leaves, up to a tenth
 * for a dozen or two. A table whose records have very different sizes in different places is
 * estimated as if they were the same everywhere.
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

/* Pages that are looked at among the whole children of a page. */
#define LOOKS 16u

struct estimate {
    struct kvi_tree *tree;
    double per_page[KVI_DEPTH_MAX]; /* records in an average page of a level, and below it */
    double records;
};

/* Averages by level, from the pages of each as far as these are known. */
static void set_averages(struct estimate *estimate, unsigned root_children)
{
    const struct kvi_table_record *record = &estimate->tree->record;
    unsigned depth = record->depth;
    double leaves = (double)record->pages_leaf;
    double rest = (double)record->pages_branch - 1.0 - root_children;
    double fan_out = record->pages_branch ? 1.0 + leaves / (double)record->pages_branch : 1.0;
    double pages[KVI_DEPTH_MAX] = {leaves};
    double of_level = leaves / fan_out;

    for (unsigned level = 2; level + 2 < depth; level++) {
        of_level /= fan_out;
        pages[level] = of_level;
        rest -= of_level;
    }
    if (depth > 3)
        pages[1] = rest;
    if (depth > 2)
        pages[depth - 2] = root_children;
    for (unsigned level = 0; level < depth; level++)
        estimate->per_page[level] =
            pages[level] < 1.0 ? 0.0 : (double)record->entries / pages[level];
}

/* Adds the whole children at the slots [from, end) of a branch, which stand at `level`. */
static int add_between(struct estimate *estimate, const uint8_t *branch, unsigned level,
                       unsigned from, unsigned end)
{
    unsigned children = end - from;
    unsigned looks = children < LOOKS ? children : LOOKS;
    uint64_t slots = 0;

    if (level == 0 && children > LOOKS) {
        estimate->records += children * estimate->per_page[0];
        return 0;
    }
    for (unsigned i = 0; i < looks; i++) {
        const uint8_t *page;
        struct kvi_ref ref;
        int rc = kvi_tree_child(estimate->tree, branch, from + i * children / looks, &ref);

        if (!rc)
            rc = kvi_tree_page(estimate->tree, ref, level, &page);
        if (rc)
            return rc;
        slots += kvi_header_count(page);
    }
    if (looks)
        estimate->records +=
            (double)slots / looks * children * (level == 0 ? 1.0 : estimate->per_page[level - 1]);
    return 0;
}

/* What stands between the paths below step `parting`, where they go to different children. */
static int add_sides(struct estimate *estimate, const struct kvi_path *from,
                     const struct kvi_path *to, unsigned parting)
{
    unsigned last = from->depth - 1;
    int rc = add_between(estimate, from->steps[parting].page, last - parting - 1,
                         from->steps[parting].slot + 1, to->steps[parting].slot);

    for (unsigned i = parting + 1; !rc && i < last; i++) {
        const struct kvi_step *left = &from->steps[i];

        rc = add_between(estimate, left->page, last - i - 1, left->slot + 1,
                         kvi_header_count(left->page));
        if (!rc)
            rc = add_between(estimate, to->steps[i].page, last - i - 1, 0, to->steps[i].slot);
    }
    estimate->records += kvi_header_count(from->steps[last].page) - from->steps[last].slot;
    estimate->records += to->steps[last].slot;
    return rc;
}

static int estimate_between(struct kvi_tree *tree, const struct kvi_path *from,
                            const struct kvi_path *to, uint64_t *records_out)
{
    struct estimate estimate = {tree, {0}, 0};
    unsigned last = from->depth - 1;
    unsigned p = 0;
    int rc = 0;

    while (p < last && from->steps[p].slot == to->steps[p].slot)
        p++;
    *records_out = 0;
    if (from->steps[p].slot >= to->steps[p].slot)
        return 0;
    if (p == last) {
        estimate.records = to->steps[p].slot - from->steps[p].slot;
    } else {
        set_averages(&estimate, kvi_header_count(from->steps[0].page));
        rc = add_sides(&estimate, from, to, p);
    }
    *records_out = estimate.records < (double)tree->record.entries
                       ? (uint64_t)(estimate.records + 0.5)
                       : tree->record.entries;
    return rc;
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
    counts_out->records = 0;
    rc = kvi_range_place(tree, range->from_given ? &range->from : NULL, KVI_PATH_FIRST, &from);
    if (!rc)
        rc = kvi_range_place(tree, range->to_given ? &range->to : NULL, KVI_PATH_LAST, &to);
    if (!rc && from.depth > 0)
        rc = estimate_between(tree, &from, &to, &counts_out->records);
    return rc;
}
