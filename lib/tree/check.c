/* SPDX-License-Identifier: MIT */
/*
 * The proof of a tree: every page by itself (kvi_node_check), its keys against the separators above
 * it, its txnid against its parent's, and the table's totals (T1, T2).
 *
 *     low <= keys of the subtree < high
 *
 * The bounds come from the separators on both sides of the child, or from further up at the edges
 * of a branch. A page that breaks its bounds or has too few slots is not descended into; since two
 * children of a branch have bounds that do not overlap, no page is descended into twice, however
 * the references were forged.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "kv.h"
#include "tree/path.h"
#include "tree/tree.h"
#include "tree/value.h"

/* The range of keys allowed below a reference. */
struct bounds {
    struct kvi_key low;
    struct kvi_key high;
    bool has_high;
};

struct check {
    struct kvi_tree *tree;
    kvi_tree_finding_fn *fn;
    void *context;
    uint64_t findings;
    uint64_t entries, pages_branch, pages_leaf, pages_overflow;
    struct kvi_path path;
    struct bounds bounds[KVI_DEPTH_MAX]; /* of the page at each step */
    uint8_t *separators;                 /* two for each step, key_bytes_max bytes each */
};

static int report(struct check *check, uint64_t pgno, const char *what)
{
    check->findings++;
    return check->fn(check->context, pgno, what);
}

static int compare(struct kvi_key a, struct kvi_key b)
{
    return kvi_key_compare(a.data, a.size, b.data, b.size);
}

/* Whether `first` .. `last` lie inside; a branch's own separators may not equal the lower bound. */
static bool inside(const struct bounds *bounds, struct kvi_key first, struct kvi_key last,
                   bool branch)
{
    int low = compare(first, bounds->low);

    /* an empty lower bound is none: the empty key is allowed under it, an empty separator is not */
    if (branch ? low <= 0 : low < 0)
        return false;
    return !bounds->has_high || compare(last, bounds->high) < 0;
}

/* The separator of a slot into a buffer of the step. NULL, or what is wrong. */
static const char *load_separator(struct check *check, const uint8_t *page, unsigned slot,
                                  unsigned buffer, struct kvi_key *key_out)
{
    const struct kvi_geometry *g = kvi_tree_geometry(check->tree);
    uint32_t prefix_bytes = kvi_le_load16(page + KVI_HEADER_PREFIX);
    uint8_t *bytes = check->separators + (size_t)buffer * g->key_bytes_max;
    struct kvi_branch_cell cell;

    if (!kvi_branch_cell_at(g, page, slot, &cell))
        return "branch page with a bad cell";
    if (cell.suffix_bytes > g->key_bytes_max || prefix_bytes > g->key_bytes_max - cell.suffix_bytes)
        return "separator longer than a key";
    memcpy(bytes, page + KVI_HEADER_BYTES, prefix_bytes);
    memcpy(bytes + prefix_bytes, cell.suffix, cell.suffix_bytes);
    *key_out = (struct kvi_key){bytes, prefix_bytes + cell.suffix_bytes};
    return NULL;
}

static const char *check_branch(struct check *check, unsigned index)
{
    const uint8_t *page = check->path.steps[index].page;
    unsigned count = kvi_header_count(page);
    struct kvi_key first, last;
    const char *what;

    if (count < 2)
        return "branch page with fewer than two children";
    what = load_separator(check, page, 1, 2 * index, &first);
    if (!what)
        what = load_separator(check, page, count - 1, 2 * index + 1, &last);
    if (!what && !inside(&check->bounds[index], first, last, true))
        what = "separators outside the bounds that the parent sets";
    if (!what)
        check->pages_branch++;
    return what;
}

static const char *check_leaf(struct check *check, unsigned index)
{
    const struct kvi_geometry *g = kvi_tree_geometry(check->tree);
    const uint8_t *page = check->path.steps[index].page;
    unsigned count = kvi_header_count(page);
    struct kvi_leaf_cell first, last;

    if (count == 0)
        return "empty leaf page";
    if (!kvi_leaf_cell_at(g, page, 0, &first) || !kvi_leaf_cell_at(g, page, count - 1, &last))
        return "leaf page with a bad cell";
    if (!inside(&check->bounds[index], (struct kvi_key){first.key, first.key_bytes},
                (struct kvi_key){last.key, last.key_bytes}, false))
        return "keys outside the bounds that the parent sets";
    check->pages_leaf++;
    check->entries += count;
    return NULL;
}

static int check_runs(struct check *check, const uint8_t *leaf)
{
    const struct kvi_geometry *g = kvi_tree_geometry(check->tree);
    int rc = 0;

    for (unsigned slot = 0; !rc && slot < kvi_header_count(leaf); slot++) {
        struct kvi_tree_value value;
        struct kvi_leaf_cell cell;

        if (!kvi_leaf_cell_at(g, leaf, slot, &cell) || cell.kind == KVI_CELL_VALUE ||
            cell.kind == KVI_CELL_TABLE)
            continue;
        rc = kvi_value_load(check->tree, &cell, &value);
        if (rc == KV_ECORRUPT)
            rc = report(check, kvi_header_pgno(leaf), kvi_error_text());
        else if (!rc)
            check->pages_overflow += kvi_run_pages(g, value.size_bytes);
    }
    return rc;
}

/* Reads and proves the page `ref` as the step at `index`, whose bounds are set. */
static int check_page(struct check *check, struct kvi_ref ref, unsigned index, bool *descend_out)
{
    unsigned level = kvi_path_level(&check->path, index);
    struct kvi_step *step = &check->path.steps[index];
    const char *what;
    int rc = kvi_tree_page(check->tree, ref, level, &step->page);

    *descend_out = false;
    if (rc)
        return rc == KV_ECORRUPT ? report(check, ref.pgno, kvi_error_text()) : rc;
    step->slot = 0;
    what = kvi_node_check(kvi_tree_geometry(check->tree), step->page);
    if (!what && index > 0 && kvi_header_txnid(step->page) > kvi_header_txnid(step[-1].page))
        what = "page newer than its parent";
    if (!what)
        what = level > 0 ? check_branch(check, index) : check_leaf(check, index);
    if (what)
        return report(check, ref.pgno, what);
    *descend_out = level > 0;
    return level > 0 ? 0 : check_runs(check, step->page);
}

/* The bounds of the child at the step's slot, from the separators around it. */
static const char *child_bounds(struct check *check, unsigned index, struct bounds *bounds_out)
{
    const struct kvi_step *step = &check->path.steps[index];
    const char *what = NULL;

    *bounds_out = check->bounds[index];
    if (step->slot > 0)
        what = load_separator(check, step->page, step->slot, 2 * index, &bounds_out->low);
    if (what || step->slot + 1 >= kvi_header_count(step->page))
        return what;
    bounds_out->has_high = true;
    return load_separator(check, step->page, step->slot + 1, 2 * index + 1, &bounds_out->high);
}

/* Proves the next child of the step at *index, and goes there if it is a branch. */
static int check_child(struct check *check, unsigned *index)
{
    struct kvi_step *step = &check->path.steps[*index];
    const char *what = child_bounds(check, *index, &check->bounds[*index + 1]);
    struct kvi_ref ref;
    bool down = false;
    int rc;

    if (what) {
        step->slot = kvi_header_count(step->page);
        return report(check, kvi_header_pgno(step->page), what);
    }
    rc = kvi_tree_child(check->tree, step->page, step->slot, &ref);
    step->slot++;
    if (!rc)
        rc = check_page(check, ref, *index + 1, &down);
    if (!rc && down)
        ++*index;
    return rc;
}

static int check_pages(struct check *check)
{
    unsigned index = 0;
    bool down;
    int rc;

    memset(&check->bounds[0], 0, sizeof(check->bounds[0]));
    rc = check_page(check, check->tree->record.root, 0, &down);
    if (!down)
        return rc;
    while (!rc) {
        const struct kvi_step *step = &check->path.steps[index];

        if (step->slot < kvi_header_count(step->page))
            rc = check_child(check, &index);
        else if (index > 0)
            index--;
        else
            break;
    }
    return rc;
}

/* T2, where nothing else was found. */
static int check_totals(struct check *check)
{
    const struct kvi_table_record *record = &check->tree->record;
    int rc = 0;

    if (check->entries != record->entries)
        rc = report(check, record->root.pgno, "the table's count of records is wrong");
    if (!rc && check->pages_branch != record->pages_branch)
        rc = report(check, record->root.pgno, "the table's count of branch pages is wrong");
    if (!rc && check->pages_leaf != record->pages_leaf)
        rc = report(check, record->root.pgno, "the table's count of leaf pages is wrong");
    if (!rc && check->pages_overflow != record->pages_overflow)
        rc = report(check, record->root.pgno, "the table's count of overflow pages is wrong");
    return rc;
}

int kvi_tree_check(struct kvi_tree *tree, kvi_tree_finding_fn *fn, void *context)
{
    size_t key_room = kvi_tree_geometry(tree)->key_bytes_max;
    struct check *check = calloc(1, sizeof(*check));
    int rc = 0;

    if (!check)
        return kvi_error(ENOMEM, "no memory to check a table");
    check->tree = tree;
    check->fn = fn;
    check->context = context;
    check->path.depth = tree->record.depth;
    if (tree->record.depth > KVI_DEPTH_MAX) {
        rc = report(check, tree->record.root.pgno, "tree deeper than possible");
    } else if (tree->record.depth > 0) {
        check->separators = malloc(2 * key_room * tree->record.depth);
        rc = check->separators ? check_pages(check) : kvi_error(ENOMEM, "no memory to check");
    }
    if (!rc && check->findings == 0)
        rc = check_totals(check);
    free(check->separators);
    free(check);
    return rc;
}
