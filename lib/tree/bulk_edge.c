/* SPDX-License-Identifier: MIT */
/*
 * Owns the tree's right edge in a bulk build: from pages into sheets, and back. See bulk.h.
 *
 * Taken: the last page of each level is gathered, and the last reference in each branch, which
 * names the page that is in the sheet below, is left out. Put back: from the leaves up, the last
 * two sheets of a level are evened out where the last would be badly filled (T3) or have one child
 * (T1); the last page of each level becomes a dirty image, as more changes may come there, and
 * everything before it is staged. The level above which nothing is has the root.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "format/node_page.h"
#include "format/plan.h"
#include "tree/bulk.h"

/* ---- Taking ---- */

/* A page's cells into the open sheet of its level. */
static int gather(struct kvi_bulk *bulk, unsigned level, const uint8_t *page,
                  struct kvi_key separator)
{
    const struct kvi_geometry *g = kvi_tree_geometry(bulk->tree);
    struct kvi_bulk_sheet *sheet = kvi_bulk_sheet(bulk, level);
    enum kvi_page_type type = kvi_tree_type(level);
    ptrdiff_t used;

    if (kvi_header_count(page) >= kvi_bulk_items_max(g, level))
        return kvi_tree_damaged(bulk->tree, kvi_header_pgno(page), "more cells than a page takes");
    memcpy(sheet->bytes, page, g->page_size);
    kvi_bulk_clear(sheet);
    sheet->gathered = true;
    kvi_bulk_set_separator(sheet, separator);
    used = kvi_node_gather(g, sheet->bytes, separator, sheet->items, &sheet->count,
                           sheet->bytes + g->page_size);
    if (used < 0)
        return kvi_tree_damaged(bulk->tree, kvi_header_pgno(page), "tree page with a bad cell");
    sheet->used = g->page_size + (size_t)used;
    for (unsigned i = 0; i < sheet->count; i++)
        sheet->weight += kvi_item_weight(type, kvi_tree_flags(bulk->tree, level), &sheet->items[i]);
    if (level > 0)
        sheet->weight -= sheet->items[0].key_bytes;
    return 0;
}

/* Takes the last reference out of the open sheet of a branch: the page below, and the separator
 * under which it is known. */
static struct kvi_key drop_last(struct kvi_bulk *bulk, unsigned level, struct kvi_ref *ref_out)
{
    struct kvi_bulk_sheet *sheet = kvi_bulk_sheet(bulk, level);
    const struct kvi_item *item = &sheet->items[--sheet->count];

    sheet->weight -= kvi_item_weight(KVI_PAGE_BRANCH, bulk->tree->branch_flags, item);
    if (sheet->count == 0)
        sheet->weight += item->key_bytes;
    *ref_out = item->ref;
    return (struct kvi_key){item->key, item->key_bytes};
}

static int uncount_page(struct kvi_tree *tree, unsigned level, uint64_t pgno)
{
    uint64_t *pages = level ? &tree->record.pages_branch : &tree->record.pages_leaf;

    if (*pages == 0)
        return kvi_tree_damaged(tree, pgno, "more pages than the table counts");
    *pages -= 1;
    return 0;
}

/* One level; *ref and *separator are those of the page there, then of the one below. */
static int take_level(struct kvi_bulk *bulk, const struct kvi_path *path, unsigned index,
                      struct kvi_ref *ref, struct kvi_key *separator)
{
    unsigned level = kvi_path_level(path, index);
    int rc = kvi_bulk_level(bulk, level);

    if (!rc)
        rc = uncount_page(bulk->tree, level, ref->pgno);
    if (!rc && separator->size > kvi_tree_geometry(bulk->tree)->key_bytes_max)
        rc = kvi_tree_damaged(bulk->tree, ref->pgno, "a separator longer than any key");
    if (!rc)
        rc = gather(bulk, level, path->steps[index].page, *separator);
    if (rc)
        return rc;
    bulk->freed[bulk->freed_count++] = *ref;
    if (level > 0)
        *separator = drop_last(bulk, level, ref);
    return 0;
}

/* The sheets of an earlier edge are empty, but bear its separators. */
static void forget_edge(struct kvi_bulk *bulk)
{
    for (unsigned level = 0; level < KVI_DEPTH_MAX && bulk->levels[level]; level++)
        kvi_bulk_sheet(bulk, level)->separator_bytes = 0;
}

int kvi_bulk_edge_take(struct kvi_bulk *bulk)
{
    struct kvi_tree *tree = bulk->tree;
    struct kvi_ref ref = tree->record.root;
    struct kvi_key separator = {NULL, 0};
    struct kvi_path path;
    int rc = kvi_bulk_level(bulk, 0);

    bulk->state = KVI_BULK_OPEN;
    forget_edge(bulk);
    if (!rc)
        rc = kvi_path_edge(tree, KVI_PATH_LAST, KVI_PATH_READ, &path);
    for (unsigned i = 0; !rc && i < path.depth; i++)
        rc = take_level(bulk, &path, i, &ref, &separator);
    if (!rc && path.depth && tree->shape.duplicates)
        rc = kvi_bulk_set_take(bulk);
    if (rc)
        return rc;
    tree->record.root = (struct kvi_ref){0, 0};
    tree->record.depth = 0;
    tree->tail_pgno = 0;
    tree->tail_run = 0;
    tree->last_leaf = NULL;
    tree->changed = true;
    return 0;
}

int kvi_bulk_edge_free(struct kvi_bulk *bulk)
{
    int rc = 0;

    while (!rc && bulk->freed_count > 0)
        rc = kvi_pager_free(bulk->tree->pager, bulk->freed[--bulk->freed_count]);
    return rc;
}

/* ---- Putting back ---- */

/* Whether the open sheet of a level may not stay as it is beside the held one. */
static bool is_poor(const struct kvi_bulk *bulk, unsigned level)
{
    const struct kvi_geometry *g = kvi_tree_geometry(bulk->tree);
    const struct kvi_bulk_sheet *sheet = kvi_bulk_sheet(bulk, level);
    uint32_t bytes = kvi_items_bytes(g, kvi_tree_type(level), kvi_tree_flags(bulk->tree, level),
                                     sheet->items, 0, sheet->count);

    return bytes < g->page_size / 4 || (level > 0 && sheet->count < 2);
}

/* The separator of the open sheet, whose cells are others now. */
static int separate(struct kvi_bulk *bulk, unsigned level, const struct kvi_bulk_sheet *left,
                    struct kvi_bulk_sheet *right)
{
    const struct kvi_item *first = &right->items[0];
    struct kvi_key separator = {first->key, first->key_bytes};
    struct kvi_key value = {NULL, 0};
    struct kvi_set set;
    int rc = 0;

    if (level == 0 && bulk->tree->shape.duplicates) {
        if (!kvi_set_open(first->payload, first->payload_bytes, &set))
            return kvi_tree_damaged(bulk->tree, KVI_NO_PGNO, "a set whose sizes do not add up");
        value = kvi_set_value(&set, 0);
    }
    if (level == 0)
        rc = kvi_bulk_separator(bulk, &left->items[left->count - 1], separator, value, &separator);
    if (!rc && separator.size > kvi_tree_geometry(bulk->tree)->key_bytes_max)
        rc = kvi_tree_damaged(bulk->tree, KVI_NO_PGNO, "keys too large for a separator");
    if (!rc)
        kvi_bulk_set_separator(right, separator);
    return rc;
}

/* Shares the items of the held and the open sheet out anew: into one page, then the open one, or
 * two. */
static int share(struct kvi_bulk *bulk, unsigned level, struct kvi_item *items)
{
    struct kvi_bulk_level *at = bulk->levels[level];
    struct kvi_bulk_sheet *left = &at->sheets[1 - at->current];
    struct kvi_bulk_sheet *right = &at->sheets[at->current];
    unsigned count = left->count + right->count;
    unsigned bounds[KVI_PLAN_PAGES_MAX + 1];
    unsigned pages;

    left->gathered |= right->gathered;
    right->gathered = left->gathered;
    memcpy(items, left->items, left->count * sizeof(items[0]));
    memcpy(items + left->count, right->items, right->count * sizeof(items[0]));
    pages =
        kvi_plan_split(kvi_tree_geometry(bulk->tree), kvi_tree_type(level),
                       kvi_tree_flags(bulk->tree, level), items, count, 1, KVI_PLAN_EVEN, bounds);
    if (pages == 0 || pages > 2)
        return kvi_tree_damaged(bulk->tree, KVI_NO_PGNO, "cells too large for their page");
    left->count = bounds[1];
    memcpy(left->items, items, left->count * sizeof(items[0]));
    if (pages == 1) {
        at->current = 1 - at->current;
        at->held = false;
        return 0;
    }
    right->count = count - bounds[1];
    memcpy(right->items, items + bounds[1], right->count * sizeof(items[0]));
    return separate(bulk, level, left, right);
}

static int even_out(struct kvi_bulk *bulk, unsigned level)
{
    const struct kvi_bulk_level *at = bulk->levels[level];
    struct kvi_item *items;
    int rc;

    if (!at->held || !is_poor(bulk, level))
        return 0;
    items = malloc((at->sheets[0].count + at->sheets[1].count) * sizeof(*items));
    if (!items)
        return kvi_error(ENOMEM, "no memory for a bulk build");
    rc = share(bulk, level, items);
    free(items);
    return rc;
}

/* Whether a level is below another. */
static bool is_below(const struct kvi_bulk *bulk, unsigned level)
{
    while (++level < KVI_DEPTH_MAX) {
        const struct kvi_bulk_level *at = bulk->levels[level];

        if (at && (at->held || at->sheets[at->current].count))
            return true;
    }
    return false;
}

/* The open sheet of a level becomes a dirty page; then it is empty. */
static int make_last(struct kvi_bulk *bulk, unsigned level, struct kvi_ref *ref_out,
                     struct kvi_counts *counts_out)
{
    struct kvi_bulk_sheet *sheet = kvi_bulk_sheet(bulk, level);
    uint8_t *image;
    int rc = kvi_pager_new(bulk->tree->pager, kvi_tree_type(level), level, ref_out, &image);

    if (!rc)
        rc = kvi_bulk_emit(bulk, level, sheet, image, counts_out);
    kvi_bulk_clear(sheet);
    return rc;
}

/* Closes a level: *ref_out is the root, if there is nothing above. */
static int put_level(struct kvi_bulk *bulk, unsigned level, struct kvi_ref *ref_out)
{
    struct kvi_ref ref = {0, 0};
    struct kvi_counts counts;
    int rc = even_out(bulk, level);

    if (!rc && bulk->levels[level]->held)
        rc = kvi_bulk_let_go(bulk, level);
    if (!rc)
        rc = make_last(bulk, level, &ref, &counts);
    if (rc)
        return rc;
    if (is_below(bulk, level)) {
        const struct kvi_bulk_sheet *sheet = kvi_bulk_sheet(bulk, level);
        struct kvi_key separator = {sheet->separator, sheet->separator_bytes};

        return kvi_bulk_add_page(bulk, level + 1, separator, ref, counts);
    }
    *ref_out = ref;
    return 0;
}

int kvi_bulk_edge_put(struct kvi_bulk *bulk)
{
    struct kvi_table_record *record = &bulk->tree->record;
    struct kvi_ref root = {0, 0};
    unsigned level = 0;
    int rc = 0;

    if (bulk->tree->shape.duplicates)
        rc = kvi_bulk_set_flush(bulk);
    for (; !rc && root.pgno == 0; level++)
        rc = put_level(bulk, level, &root);
    if (!rc)
        rc = kvi_stage_flush(bulk->stage);
    if (rc)
        return rc;
    record->root = root;
    record->depth = (uint8_t)level;
    bulk->tree->changed = true;
    return 0;
}
