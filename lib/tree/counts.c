/* SPDX-License-Identifier: MIT */
/*
 * Counts in branch cells (T6): what a change adds along its path, and what pages that were written
 * anew hold. See change.h.
 *
 * A change first adds its difference along its path, while that leads to the record; pages that are
 * then rewritten are summed up from what they hold, which leaves the sums above them as they are.
 */
#include "base/error.h"
#include "kv.h"
#include "tree/change.h"

/* Counts are u48 in the file. */
#define COUNT_MAX (((uint64_t)1 << 48) - 1)

/* Adds `more` to a count; false: the result is none, which is damage. */
static bool add(uint64_t *count, int64_t more)
{
    uint64_t sum = *count + (uint64_t)more;

    if (more < 0 ? sum > *count : sum < *count || sum > COUNT_MAX)
        return false;
    *count = sum;
    return true;
}

int kvi_counts_add_cell(const struct kvi_tree *tree, uint8_t *branch, unsigned slot,
                        int64_t records, int64_t keys)
{
    struct kvi_branch_cell cell;
    struct kvi_counts counts;

    if (!kvi_branch_cell_at(kvi_tree_geometry(tree), branch, slot, &cell))
        return kvi_tree_damaged(tree, kvi_header_pgno(branch), "branch page with a bad cell");
    counts = kvi_branch_counts(branch, &cell);
    if (!add(&counts.records, records) || !add(&counts.keys, keys))
        return kvi_tree_damaged(tree, kvi_header_pgno(branch), "branch page with a wrong count");
    kvi_branch_set_counts(branch, &cell, counts);
    return 0;
}

int kvi_counts_set_cell(const struct kvi_tree *tree, uint8_t *branch, unsigned slot,
                        struct kvi_counts counts)
{
    struct kvi_branch_cell cell;

    if (!kvi_branch_cell_at(kvi_tree_geometry(tree), branch, slot, &cell))
        return kvi_tree_damaged(tree, kvi_header_pgno(branch), "branch page with a bad cell");
    kvi_branch_set_counts(branch, &cell, counts);
    return 0;
}

int kvi_counts_add(struct kvi_tree *tree, const struct kvi_path *path, int64_t records,
                   int64_t keys)
{
    int rc = 0;

    if (!add(&tree->record.entries, records) ||
        (tree->shape.duplicates && !add(&tree->record.keys, keys)))
        return kvi_tree_damaged(tree, tree->record.root.pgno, "more records than counted");
    tree->changed = true;
    for (unsigned i = 0; tree->shape.counted && !rc && i + 1 < path->depth; i++)
        rc = kvi_counts_add_cell(tree, path->steps[i].image, path->steps[i].slot, records, keys);
    return rc;
}

static int branch_counts(const struct kvi_tree *tree, const uint8_t *page,
                         struct kvi_counts *counts_out)
{
    for (unsigned slot = 0; slot < kvi_header_count(page); slot++) {
        struct kvi_branch_cell cell;
        struct kvi_counts counts;

        if (!kvi_branch_cell_at(kvi_tree_geometry(tree), page, slot, &cell))
            return kvi_tree_damaged(tree, kvi_header_pgno(page), "branch page with a bad cell");
        counts = kvi_branch_counts(page, &cell);
        counts_out->records += counts.records;
        counts_out->keys += counts.keys;
    }
    return 0;
}

int kvi_counts_page(const struct kvi_tree *tree, const uint8_t *page, struct kvi_counts *counts_out)
{
    *counts_out = (struct kvi_counts){0, 0};
    if (!tree->shape.counted)
        return 0;
    if (kvi_header_type(page) == KVI_PAGE_BRANCH)
        return branch_counts(tree, page, counts_out);
    if (!kvi_leaf_counts(kvi_tree_geometry(tree), page, counts_out))
        return kvi_tree_damaged(tree, kvi_header_pgno(page), "leaf page with a bad cell");
    return 0;
}
