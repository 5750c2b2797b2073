/* SPDX-License-Identifier: MIT */
/* Freeing subtrees. See drop.h. */
#include "tree/drop.h"

#include <assert.h>
#include <string.h>

#include "base/error.h"
#include "kv.h"
#include "tree/path.h"
#include "tree/range.h"
#include "tree/value.h"

/* Leaves whose headers are asked for at once: enough to hide one miss behind the others. */
#define AHEAD_LEAVES 64u

/* The kernel maps so much of a file around a page that is touched, if it is at hand. */
#define MAPPED_BYTES 65536u

/* A branch on the way down. */
struct level {
    struct kvi_ref ref;
    const uint8_t *page;
    unsigned slot;
};

void kvi_drop_init(struct kvi_drop *drop, struct kvi_tree *tree, bool count)
{
    drop->tree = tree;
    drop->runs = tree->record.pages_overflow > 0;
    drop->count = count;
    drop->counts = (struct kvi_counts){0, 0};
}

static int bad_cell(const struct kvi_drop *drop, const uint8_t *page)
{
    return kvi_tree_damaged(drop->tree, kvi_header_pgno(page), "tree page with a bad cell");
}

static int free_page(struct kvi_tree *tree, struct kvi_ref ref, unsigned level)
{
    uint64_t *total = level == 0 ? &tree->record.pages_leaf : &tree->record.pages_branch;
    int rc = kvi_pager_free(tree->pager, ref);

    if (!rc && *total == 0)
        rc = kvi_tree_damaged(tree, ref.pgno, "more pages than the table counts");
    if (rc)
        return rc;
    --*total;
    return 0;
}

/* ---- Leaves ---- */

static int free_run(struct kvi_drop *drop, const struct kvi_leaf_cell *cell)
{
    struct kvi_overflow_ref run;
    int rc = kvi_value_run(drop->tree, cell, &run);

    return rc ? rc : kvi_value_free_run(drop->tree, &run);
}

static int free_runs(struct kvi_drop *drop, const uint8_t *leaf, unsigned from, unsigned end)
{
    const struct kvi_geometry *g = kvi_tree_geometry(drop->tree);
    int rc = 0;

    for (unsigned slot = from; !rc && slot < end; slot++) {
        struct kvi_leaf_cell cell;

        if (!kvi_leaf_cell_at(g, leaf, slot, &cell))
            return bad_cell(drop, leaf);
        if (cell.kind == KVI_CELL_OVERFLOW)
            rc = free_run(drop, &cell);
    }
    return rc;
}

/* Where a leaf of the file stands; NULL: it is not in the file, or not in the mapping. */
static const uint8_t *place_of(const struct kvi_view *view, struct kvi_ref ref)
{
    if (KVI_UNLIKELY(ref.tag == 0 || ref.pgno >= view->page_end ||
                     ref.pgno >= view->map->pages_max))
        return NULL;
    return view->map->base + (ref.pgno << view->map->geometry.page_shift);
}

/* Asks for the headers of leaves, or for more of them. What the process has not mapped yet cannot be
 * asked for: one page of each group that the kernel maps at once is read first. */
static void ask_for_leaves(const struct kvi_drop *drop, const struct kvi_ref *refs, unsigned count)
{
    const struct kvi_view *view = drop->tree->view;
    uint64_t group = UINT64_MAX;

    for (unsigned i = 0; i < count; i++) {
        const uint8_t *page = place_of(view, refs[i]);

        if (!page || (refs[i].pgno << view->map->geometry.page_shift) / MAPPED_BYTES == group)
            continue;
        group = (refs[i].pgno << view->map->geometry.page_shift) / MAPPED_BYTES;
        (void)*(const volatile uint8_t *)page;
    }
    for (unsigned i = 0; i < count; i++) {
        if (drop->runs)
            kvi_tree_prefetch(view, refs[i], 0);
        else
            __builtin_prefetch(view->map->base + (refs[i].pgno << view->map->geometry.page_shift));
    }
}

/* Whether the leaf's header is that of the page meant, as far as can be told without its checksum.
 */
static bool header_ok(const struct kvi_tree *tree, const uint8_t *page, struct kvi_ref ref)
{
    return kvi_le_load32(page + KVI_HEADER_CHECKSUM) == ref.tag &&
           kvi_header_is(page, ref.pgno, KVI_PAGE_LEAF, 0) &&
           kvi_node_frame_ok(kvi_tree_geometry(tree), page);
}

/* A leaf of which only the number of records is wanted; of sets that is not in the header, but
 * trees with sets count in their branches. */
static int count_leaf(struct kvi_drop *drop, struct kvi_ref ref)
{
    const uint8_t *page = place_of(drop->tree->view, ref);
    int rc = 0;

    /* changed in this txn; or kvi_tree_page tells what is wrong with it */
    if (KVI_UNLIKELY(!page || !header_ok(drop->tree, page, ref)))
        rc = kvi_tree_page(drop->tree, ref, 0, &page);
    if (!rc)
        drop->counts.records += kvi_header_count(page);
    return rc;
}

/* What must be known of a leaf, or freed with it, before it is. */
static int look_at_leaf(struct kvi_drop *drop, struct kvi_ref ref, bool count)
{
    const uint8_t *page;
    int rc;

    if (!drop->runs)
        return count_leaf(drop, ref);
    rc = kvi_tree_page(drop->tree, ref, 0, &page);
    if (!rc && count)
        drop->counts.records += kvi_header_count(page);
    return rc ? rc : free_runs(drop, page, 0, kvi_header_count(page));
}

/* Leaves that are looked at, then those pages are freed: loops of their own, so that the misses of
 * the first overlap. */
static int drop_few(struct kvi_drop *drop, const struct kvi_ref *refs, unsigned n, bool count)
{
    int rc = 0;

    if (drop->runs || count) {
        ask_for_leaves(drop, refs, n);
        for (unsigned i = 0; !rc && i < n; i++)
            rc = look_at_leaf(drop, refs[i], count);
    }
    for (unsigned i = 0; !rc && i < n; i++)
        rc = free_page(drop->tree, refs[i], 0);
    return rc;
}

/* The leaves at the slots [from, end) of a branch of level 1. */
static int drop_leaves(struct kvi_drop *drop, const uint8_t *branch, unsigned from, unsigned end,
                       bool count)
{
    struct kvi_ref refs[AHEAD_LEAVES];
    int rc = 0;

    while (!rc && from < end) {
        unsigned n = end - from < AHEAD_LEAVES ? end - from : AHEAD_LEAVES;

        for (unsigned i = 0; !rc && i < n; i++)
            rc = kvi_tree_child(drop->tree, branch, from + i, &refs[i]);
        if (!rc)
            rc = drop_few(drop, refs, n, count);
        from += n;
    }
    return rc;
}

/* ---- Branches ---- */

/* Enters the branch `ref`; its leaves, if it is of level 1, go at once. */
static int enter_branch(struct kvi_drop *drop, struct level *at, struct kvi_ref ref, unsigned level,
                        bool count)
{
    int rc = kvi_tree_page(drop->tree, ref, level, &at->page);

    if (rc)
        return rc;
    at->ref = ref;
    at->slot = level == 1 ? kvi_header_count(at->page) : 0;
    return level == 1 ? drop_leaves(drop, at->page, 0, at->slot, count) : 0;
}

/* A branch and all that is below it. */
static int drop_branch(struct kvi_drop *drop, struct kvi_ref root, unsigned level, bool count)
{
    struct level stack[KVI_DEPTH_MAX]; /* by level */
    unsigned top = level;
    int rc = enter_branch(drop, &stack[level], root, level, count);

    while (!rc) {
        struct level *at = &stack[level];

        if (at->slot < kvi_header_count(at->page)) {
            struct kvi_ref ref;

            rc = kvi_tree_child(drop->tree, at->page, at->slot++, &ref);
            if (!rc)
                rc = enter_branch(drop, &at[-1], ref, --level, count);
        } else {
            rc = free_page(drop->tree, at->ref, level);
            if (level++ == top)
                return rc;
        }
    }
    return rc;
}

int kvi_drop_slots(struct kvi_drop *drop, const uint8_t *page, unsigned level, unsigned from,
                   unsigned end)
{
    bool count = drop->count && !drop->tree->shape.counted;
    int rc = 0;

    assert(from <= end);
    assert(end <= kvi_header_count(page));
    if (drop->count)
        rc = kvi_range_add_slots(drop->tree, page, from, end, &drop->counts);
    if (!rc && level == 0)
        return drop->runs ? free_runs(drop, page, from, end) : 0;
    if (!rc && level == 1)
        return drop_leaves(drop, page, from, end, count);
    for (unsigned slot = from; !rc && slot < end; slot++) {
        struct kvi_ref ref;

        rc = kvi_tree_child(drop->tree, page, slot, &ref);
        if (!rc)
            rc = drop_branch(drop, ref, level - 1, count);
    }
    return rc;
}

int kvi_drop_root(struct kvi_drop *drop)
{
    struct kvi_table_record *record = &drop->tree->record;
    int rc = 0;

    drop->tree->last_leaf = NULL;
    if (record->depth > KVI_DEPTH_MAX)
        return kvi_tree_damaged(drop->tree, record->root.pgno, "tree deeper than possible");
    if (record->depth == 1)
        rc = drop_few(drop, &record->root, 1, false);
    else if (record->depth > 1)
        rc = drop_branch(drop, record->root, record->depth - 1u, false);
    if (rc)
        return rc;
    record->root = (struct kvi_ref){0, 0};
    record->depth = 0;
    record->entries = 0;
    record->keys = 0;
    record->pages_branch = 0;
    record->pages_leaf = 0;
    record->pages_overflow = 0;
    drop->tree->tail_pgno = 0;
    drop->tree->changed = true;
    return 0;
}
