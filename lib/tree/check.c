/* SPDX-License-Identifier: MIT */
/*
 * The proof of a tree: every page by itself (kvi_node_check, kvi_node_check_shape), its keys against
 * the separators above it, its txnid against its parent's, the counts in branch cells and the marks
 * of sets that go on (T6), and the table's totals (T1, T2).
 *
 *     low <= records of the subtree < high
 *
 * Records and separators are compared as probes are, so that the order is the table's; where that is
 * a user's and not known in this process, it is not looked at.
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

/* The range of records allowed below a reference. */
struct bounds {
    struct kvi_key low;
    struct kvi_key high;
    bool has_low;
    bool has_high;
};

struct check {
    struct kvi_tree *tree;
    kvi_tree_finding_fn *fn;
    void *context;
    uint64_t findings;
    uint64_t entries, keys, pages_branch, pages_leaf, pages_overflow;
    struct kvi_path path;
    struct bounds bounds[KVI_DEPTH_MAX];       /* of the page at each step */
    struct kvi_counts expected[KVI_DEPTH_MAX]; /* what the parent's cell says is below it */
    struct kvi_counts below[KVI_DEPTH_MAX];    /* what was found there so far */
    struct kvi_leaf_cell last;                 /* of the leaf before, if has_last */
    bool has_last;
    bool ordered;        /* the order is known */
    uint8_t *separators; /* two for each step, key_bytes_max bytes each */
};

static int report(struct check *check, uint64_t pgno, const char *what)
{
    check->findings++;
    return check->fn(check->context, pgno, what);
}

/* Whether a record lies at or above the lower bound, and below the upper. A failure is ENOMEM. */
static int record_inside(const struct check *check, const struct bounds *bounds, struct kvi_key key,
                         struct kvi_key value, bool *inside_out)
{
    const struct kvi_shape *shape = &check->tree->shape;
    struct kvi_probe probe;

    *inside_out = true;
    if (!check->ordered)
        return 0;
    if (kvi_probe_init(&probe, shape, key, value, KVI_PROBE_VALUE))
        return kvi_error(ENOMEM, "no memory to check a table");
    if (bounds->has_low && kvi_probe_compare_separator(shape, &probe, bounds->low) < 0)
        *inside_out = false;
    if (bounds->has_high && kvi_probe_compare_separator(shape, &probe, bounds->high) >= 0)
        *inside_out = false;
    kvi_probe_release(&probe);
    return 0;
}

/* Order of two separators of a custom shape; -1 for such as are none. */
static int compare_custom(const struct check *check, struct kvi_key a, struct kvi_key b)
{
    const struct kvi_shape *shape = &check->tree->shape;
    struct kvi_key key, value;
    struct kvi_probe probe;
    int order;

    if (!kvi_separator_split(shape, a, &key, &value) ||
        kvi_probe_init(&probe, shape, key, value, KVI_PROBE_VALUE))
        return -1;
    order = kvi_probe_compare_separator(shape, &probe, b);
    kvi_probe_release(&probe);
    return order;
}

static int compare(const struct check *check, struct kvi_key a, struct kvi_key b)
{
    if (check->tree->shape.custom)
        return compare_custom(check, a, b);
    return kvi_key_compare(a.data, a.size, b.data, b.size);
}

/* Whether a branch's separators lie inside; none may equal the lower bound. */
static bool separators_inside(const struct check *check, const struct bounds *bounds,
                              struct kvi_key first, struct kvi_key last)
{
    if (!check->ordered)
        return true;
    if (bounds->has_low && compare(check, first, bounds->low) <= 0)
        return false;
    return !bounds->has_high || compare(check, last, bounds->high) < 0;
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
    if (!what && !separators_inside(check, &check->bounds[index], first, last))
        what = "separators outside the bounds that the parent sets";
    if (!what)
        check->pages_branch++;
    return what;
}

/* First, or last, value of a set; nothing in a table without duplicates. */
static struct kvi_key edge_value(const struct check *check, const struct kvi_leaf_cell *cell,
                                 bool last)
{
    struct kvi_set set;

    if (!check->tree->shape.duplicates || !kvi_set_open(cell->payload, cell->payload_bytes, &set))
        return (struct kvi_key){NULL, 0};
    return kvi_set_value(&set, last ? set.count - 1 : 0);
}

/* Whether the first set of a leaf is marked as it stands to the last of the leaf before. */
static bool mark_right(const struct check *check, const struct kvi_leaf_cell *first)
{
    bool same =
        check->has_last && first->key_bytes == check->last.key_bytes &&
        (first->key_bytes == 0 || memcmp(first->key, check->last.key, first->key_bytes) == 0);

    return !check->tree->shape.duplicates ||
           kvi_set_is_continued(first->payload, first->payload_bytes) == same;
}

/* The leaf at the step. *what_out: NULL, or what is wrong. */
static int check_leaf(struct check *check, unsigned index, const char **what_out)
{
    const struct kvi_geometry *g = kvi_tree_geometry(check->tree);
    const uint8_t *page = check->path.steps[index].page;
    unsigned count = kvi_header_count(page);
    struct kvi_leaf_cell first, last;
    bool low = true, high = true;
    int rc;

    *what_out = count == 0 ? "empty leaf page" : "leaf page with a bad cell";
    if (count == 0 || !kvi_leaf_cell_at(g, page, 0, &first) ||
        !kvi_leaf_cell_at(g, page, count - 1, &last) ||
        !kvi_leaf_counts(g, page, &check->below[index]))
        return 0;
    rc = record_inside(check, &check->bounds[index], (struct kvi_key){first.key, first.key_bytes},
                       edge_value(check, &first, false), &low);
    if (!rc)
        rc = record_inside(check, &check->bounds[index], (struct kvi_key){last.key, last.key_bytes},
                           edge_value(check, &last, true), &high);
    *what_out = NULL;
    if (!low || !high)
        *what_out = "keys outside the bounds that the parent sets";
    else if (check->findings == 0 && !mark_right(check, &first))
        *what_out = "values of one key in several cells are marked wrongly";
    check->last = last;
    check->has_last = true;
    check->pages_leaf++;
    check->entries += check->below[index].records;
    check->keys += check->below[index].keys;
    return rc;
}

static int report_run(struct check *check, const uint8_t *leaf, const struct kvi_leaf_cell *cell)
{
    struct kvi_tree_told *told = &check->tree->told;
    int rc;

    told->record = (struct kvi_key){cell->key, cell->key_bytes};
    told->has_record = true;
    rc = report(check, kvi_header_pgno(leaf), kvi_error_text());
    told->record = (struct kvi_key){NULL, 0};
    told->has_record = false;
    return rc;
}

static int check_runs(struct check *check, const uint8_t *leaf)
{
    const struct kvi_geometry *g = kvi_tree_geometry(check->tree);
    int rc = 0;

    for (unsigned slot = 0; !rc && slot < kvi_header_count(leaf); slot++) {
        struct kvi_tree_value value;
        struct kvi_leaf_cell cell;

        if (!kvi_leaf_cell_at(g, leaf, slot, &cell) || cell.kind != KVI_CELL_OVERFLOW)
            continue;
        rc = kvi_value_load(check->tree, &cell, &value);
        if (rc == KV_ECORRUPT)
            rc = report_run(check, leaf, &cell);
        else if (!rc)
            check->pages_overflow += kvi_run_pages(g, value.size_bytes);
    }
    return rc;
}

/* What can be told from the page at the step and its parent alone. */
static const char *check_node(struct check *check, unsigned index)
{
    const struct kvi_geometry *g = kvi_tree_geometry(check->tree);
    const struct kvi_step *step = &check->path.steps[index];
    const char *what = kvi_node_check(g, step->page);

    if (!what)
        what = kvi_node_check_shape(g, &check->tree->shape, step->page);
    if (!what && index > 0 && kvi_header_txnid(step->page) > kvi_header_txnid(step[-1].page))
        what = "page newer than its parent";
    return what;
}

/* All below the page at the step was found: are there as many as its parent's cell says? */
static int leave_page(struct check *check, unsigned index)
{
    const struct kvi_counts *below = &check->below[index], *expected = &check->expected[index];

    if (index == 0)
        return 0;
    check->tree->told.index = index - 1;
    check->below[index - 1].records += below->records;
    check->below[index - 1].keys += below->keys;
    if (!check->tree->shape.counted || check->findings ||
        (below->records == expected->records && below->keys == expected->keys))
        return 0;
    return report(check, kvi_header_pgno(check->path.steps[index - 1].page),
                  "a count of records in a branch page is wrong");
}

/* Reads and proves the page `ref` as the step at `index`, whose bounds are set. */
static int check_page(struct check *check, struct kvi_ref ref, unsigned index, bool *descend_out)
{
    unsigned level = kvi_path_level(&check->path, index);
    struct kvi_step *step = &check->path.steps[index];
    const char *what;
    int rc = kvi_tree_page(check->tree, ref, level, &step->page);

    *descend_out = false;
    check->tree->told.index = index;
    if (rc)
        return rc == KV_ECORRUPT ? report(check, ref.pgno, kvi_error_text()) : rc;
    step->slot = 0;
    check->below[index] = (struct kvi_counts){0, 0};
    what = check_node(check, index);
    if (!what && level > 0)
        what = check_branch(check, index);
    else if (!what)
        rc = check_leaf(check, index, &what);
    if (rc || what)
        return rc ? rc : report(check, ref.pgno, what);
    *descend_out = level > 0;
    if (level > 0)
        return 0;
    rc = leave_page(check, index);
    return rc ? rc : check_runs(check, step->page);
}

/* The bounds of the child at the step's slot, from the separators around it. */
static const char *child_bounds(struct check *check, unsigned index, struct bounds *bounds_out)
{
    const struct kvi_step *step = &check->path.steps[index];
    const char *what = NULL;

    *bounds_out = check->bounds[index];
    if (step->slot > 0) {
        bounds_out->has_low = true;
        what = load_separator(check, step->page, step->slot, 2 * index, &bounds_out->low);
    }
    if (what || step->slot + 1 >= kvi_header_count(step->page))
        return what;
    bounds_out->has_high = true;
    return load_separator(check, step->page, step->slot + 1, 2 * index + 1, &bounds_out->high);
}

/* The child at the step's slot, and what its cell says of it. */
static int child_ref(struct check *check, unsigned index, struct kvi_ref *ref_out)
{
    const struct kvi_step *step = &check->path.steps[index];
    struct kvi_branch_cell cell;

    if (!kvi_branch_cell_at(kvi_tree_geometry(check->tree), step->page, step->slot, &cell))
        return kvi_tree_damaged(check->tree, kvi_header_pgno(step->page),
                                "branch page with a bad cell");
    check->expected[index + 1] = kvi_branch_counts(step->page, &cell);
    *ref_out = cell.ref;
    return 0;
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
        check->tree->told.index = *index;
        return report(check, kvi_header_pgno(step->page), what);
    }
    rc = child_ref(check, *index, &ref);
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
            rc = leave_page(check, index--);
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
    if (!rc && check->tree->shape.duplicates && check->keys != record->keys)
        rc = report(check, record->root.pgno, "the table's count of keys is wrong");
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
    check->ordered = kvi_shape_searchable(&tree->shape);
    tree->told = (struct kvi_tree_told){.path = &check->path};
    if (tree->record.depth > KVI_DEPTH_MAX) {
        rc = report(check, tree->record.root.pgno, "tree deeper than possible");
    } else if (tree->record.depth > 0) {
        check->separators = malloc(2 * key_room * tree->record.depth);
        rc = check->separators ? check_pages(check) : kvi_error(ENOMEM, "no memory to check");
    }
    tree->told.index = 0;
    if (!rc && check->findings == 0)
        rc = check_totals(check);
    tree->told.path = NULL;
    free(check->separators);
    free(check);
    return rc;
}
