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

#include "format/plan.h"
#include "tree/bulk.h"

/* ---- Taking ---- */

/* The last leaf goes on being filled, in a copy. */
static int take_leaf(struct kvi_bulk *bulk, const uint8_t *page)
{
    const struct kvi_geometry *g = kvi_tree_geometry(bulk->tree);
    struct kvi_bulk_sheet *sheet = kvi_bulk_sheet(bulk, 0);
    uint8_t *copy = sheet->fill.page;
    int rc = 0;

    memcpy(copy, page, g->page_size);
    kvi_le_store64(copy + KVI_HEADER_TXNID, kvi_pager_txnid(bulk->tree->pager));
    if (bulk->tree->shape.duplicates)
        rc = kvi_bulk_set_take(bulk, copy);
    if (!rc && !kvi_fill_resume(&sheet->fill, g, copy))
        rc = kvi_tree_damaged(bulk->tree, kvi_header_pgno(page), "leaf page with a bad cell");
    return rc;
}

static int take_branch(struct kvi_bulk *bulk, unsigned level, const uint8_t *page,
                       struct kvi_key separator)
{
    const struct kvi_geometry *g = kvi_tree_geometry(bulk->tree);
    struct kvi_bulk_sheet *sheet = kvi_bulk_sheet(bulk, level);
    ptrdiff_t used = -1;

    if (!kvi_bulk_reserve(sheet, g->page_size + kvi_gather_scratch_bytes(g, page)))
        return kvi_error(ENOMEM, "no memory for a bulk build");
    memcpy(sheet->bytes, page, g->page_size);
    if (kvi_header_count(page) < kvi_bulk_items_max(g))
        used = kvi_node_gather(g, sheet->bytes, separator, sheet->items, &sheet->count,
                               sheet->bytes + g->page_size);
    if (used < 0)
        return kvi_tree_damaged(bulk->tree, kvi_header_pgno(page), "branch page with a bad cell");
    sheet->used = g->page_size + (size_t)used;
    for (unsigned i = 0; i < sheet->count; i++)
        sheet->weight +=
            kvi_item_weight(KVI_PAGE_BRANCH, bulk->tree->branch_flags, &sheet->items[i]);
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
    const uint8_t *page = path->steps[index].page;
    unsigned level = kvi_path_level(path, index);
    struct kvi_bulk_sheet *sheet;
    int rc = kvi_bulk_level(bulk, level);

    if (!rc)
        rc = uncount_page(bulk->tree, level, ref->pgno);
    if (!rc && separator->size > kvi_tree_geometry(bulk->tree)->key_bytes_max)
        rc = kvi_tree_damaged(bulk->tree, ref->pgno, "a separator longer than any key");
    if (!rc && kvi_header_flags(page) != kvi_tree_flags(bulk->tree, level))
        rc = kvi_tree_damaged(bulk->tree, ref->pgno, "its flags are not those of the table");
    if (rc)
        return rc;
    sheet = kvi_bulk_sheet(bulk, level);
    kvi_bulk_set_separator(sheet, *separator);
    sheet->mixed = true;
    bulk->freed[bulk->freed_count++] = *ref;
    rc = level ? take_branch(bulk, level, page, *separator) : take_leaf(bulk, page);
    if (!rc && level > 0)
        *separator = drop_last(bulk, level, ref);
    return rc;
}

/* The sheets of an earlier edge are empty, but bear its separators. */
static int forget_edge(struct kvi_bulk *bulk)
{
    int rc = kvi_bulk_level(bulk, 0);

    for (unsigned level = 0; !rc && level < KVI_DEPTH_MAX && bulk->levels[level]; level++)
        rc = kvi_bulk_clear(bulk, level, kvi_bulk_sheet(bulk, level));
    return rc;
}

int kvi_bulk_edge_take(struct kvi_bulk *bulk)
{
    struct kvi_tree *tree = bulk->tree;
    struct kvi_ref ref = tree->record.root;
    struct kvi_key separator = {NULL, 0};
    struct kvi_path path;
    int rc = forget_edge(bulk);

    bulk->state = KVI_BULK_OPEN;
    if (!rc)
        rc = kvi_path_edge(tree, KVI_PATH_LAST, KVI_PATH_READ, &path);
    for (unsigned i = 0; !rc && i < path.depth; i++)
        rc = take_level(bulk, &path, i, &ref, &separator);
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

/* ---- Evening out ---- */

/* Bytes of the page that the open sheet of a level would become. */
static uint32_t sheet_bytes(const struct kvi_bulk *bulk, unsigned level)
{
    const struct kvi_geometry *g = kvi_tree_geometry(bulk->tree);
    struct kvi_bulk_sheet *sheet = kvi_bulk_sheet(bulk, level);

    if (level > 0)
        return kvi_items_bytes(g, KVI_PAGE_BRANCH, bulk->tree->branch_flags, sheet->items, 0,
                               sheet->count);
    kvi_fill_end(&sheet->fill, g);
    return g->page_size - kvi_node_free_bytes(g, sheet->fill.page);
}

/* Whether the open sheet of a level may not stay as it is beside the held one. */
static bool is_poor(const struct kvi_bulk *bulk, unsigned level)
{
    return sheet_bytes(bulk, level) < kvi_tree_geometry(bulk->tree)->page_size / 4 ||
           (level > 0 && kvi_bulk_sheet(bulk, level)->count < 2);
}

/* The items of the held and the open sheet of a level. */
static int gather(struct kvi_bulk *bulk, unsigned level, struct kvi_item *items,
                  unsigned *count_out)
{
    const struct kvi_geometry *g = kvi_tree_geometry(bulk->tree);
    struct kvi_bulk_level *at = bulk->levels[level];
    ptrdiff_t used = 0;

    *count_out = 0;
    for (unsigned i = 0; i < 2; i++) {
        struct kvi_bulk_sheet *sheet = &at->sheets[i ? at->current : 1 - at->current];

        if (level == 0) {
            kvi_fill_end(&sheet->fill, g);
            used = kvi_node_gather(g, sheet->fill.page, (struct kvi_key){NULL, 0}, items, count_out,
                                   NULL);
        } else {
            memcpy(items + *count_out, sheet->items, sheet->count * sizeof(items[0]));
            *count_out += sheet->count;
        }
        if (used < 0)
            return kvi_tree_damaged(bulk->tree, KVI_NO_PGNO, "leaf page with a bad cell");
    }
    return 0;
}

/* Gives a sheet other items, which may stand in either sheet: *spare is a leaf's new page, then its
 * old one. */
static int refill(struct kvi_bulk *bulk, unsigned level, struct kvi_bulk_sheet *sheet,
                  const struct kvi_item *items, unsigned count, uint8_t **spare)
{
    const struct kvi_geometry *g = kvi_tree_geometry(bulk->tree);
    uint8_t *page = *spare;

    if (level > 0) {
        memcpy(sheet->items, items, count * sizeof(items[0]));
        sheet->count = count;
        return 0;
    }
    *spare = sheet->fill.page;
    sheet->fill.page = page;
    kvi_node_set_flags(page, bulk->tree->leaf_flags);
    if (!kvi_node_emit(g, page, items, 0, count) || !kvi_fill_resume(&sheet->fill, g, page))
        return kvi_tree_damaged(bulk->tree, KVI_NO_PGNO, "cells too large for their page");
    return 0;
}

/* The separator of the open sheet, whose first item is another now. */
static int separate(struct kvi_bulk *bulk, unsigned level, const struct kvi_item *first)
{
    struct kvi_key separator = {first->key, first->key_bytes};
    struct kvi_leaf_cell left = {.key = first[-1].key,
                                 .key_bytes = first[-1].key_bytes,
                                 .payload = first[-1].payload,
                                 .payload_bytes = first[-1].payload_bytes};
    struct kvi_key value = {NULL, 0};
    struct kvi_set set;
    int rc = 0;

    if (level == 0 && bulk->tree->shape.duplicates) {
        if (!kvi_set_open(first->payload, first->payload_bytes, &set))
            return kvi_tree_damaged(bulk->tree, KVI_NO_PGNO, "leaf page with a bad set");
        value = kvi_set_value(&set, 0);
    }
    if (level == 0)
        rc = kvi_bulk_separator(bulk, &left, separator, value, &separator);
    if (!rc && separator.size > kvi_tree_geometry(bulk->tree)->key_bytes_max)
        rc = kvi_tree_damaged(bulk->tree, KVI_NO_PGNO, "keys too large for a separator");
    if (!rc)
        kvi_bulk_set_separator(kvi_bulk_sheet(bulk, level), separator);
    return rc;
}

/* Shares the items of both sheets out anew: into one page, then the open one, or two. `spares`: two
 * pages for leaves. */
static int share(struct kvi_bulk *bulk, unsigned level, struct kvi_item *items, uint8_t **spares)
{
    struct kvi_bulk_level *at = bulk->levels[level];
    struct kvi_bulk_sheet *left = &at->sheets[1 - at->current];
    struct kvi_bulk_sheet *right = &at->sheets[at->current];
    unsigned bounds[KVI_PLAN_PAGES_MAX + 1];
    unsigned count, pages;
    int rc = gather(bulk, level, items, &count);

    if (rc)
        return rc;
    left->mixed |= right->mixed;
    right->mixed = left->mixed;
    pages =
        kvi_plan_split(kvi_tree_geometry(bulk->tree), kvi_tree_type(level),
                       kvi_tree_flags(bulk->tree, level), items, count, 1, KVI_PLAN_EVEN, bounds);
    if (pages == 0 || pages > 2)
        return kvi_tree_damaged(bulk->tree, KVI_NO_PGNO, "cells too large for their page");
    if (pages == 2)
        rc = separate(bulk, level, &items[bounds[1]]);
    if (!rc)
        rc = refill(bulk, level, left, items, bounds[1], &spares[0]);
    if (!rc && pages == 2)
        rc = refill(bulk, level, right, items + bounds[1], count - bounds[1], &spares[1]);
    if (pages == 1) {
        at->current = 1 - at->current;
        at->held = false;
    }
    return rc;
}

static int even_out(struct kvi_bulk *bulk, unsigned level)
{
    const struct kvi_bulk_level *at = bulk->levels[level];
    uint8_t *spares[2] = {NULL, NULL};
    struct kvi_item *items;
    int rc = 0;

    if (!at->held || !is_poor(bulk, level))
        return 0;
    items = malloc((kvi_bulk_count(&at->sheets[0], level) + kvi_bulk_count(&at->sheets[1], level)) *
                   sizeof(*items));
    if (!items)
        rc = kvi_error(ENOMEM, "no memory for a bulk build");
    for (unsigned i = 0; !rc && level == 0 && i < 2; i++)
        rc = kvi_stage_page(bulk->stage, KVI_PAGE_LEAF, 0, &spares[i]);
    if (!rc)
        rc = share(bulk, level, items, spares);
    kvi_stage_drop(bulk->stage, spares[0]);
    kvi_stage_drop(bulk->stage, spares[1]);
    free(items);
    return rc;
}

/* ---- Putting back ---- */

/* Whether there is anything above a level. */
static bool has_above(const struct kvi_bulk *bulk, unsigned level)
{
    while (++level < KVI_DEPTH_MAX) {
        const struct kvi_bulk_level *at = bulk->levels[level];

        if (at && (at->held || at->sheets[at->current].count))
            return true;
    }
    return false;
}

/* Closes a level: *root_out is its last page, if there is nothing above. */
static int put_level(struct kvi_bulk *bulk, unsigned level, struct kvi_ref *root_out)
{
    struct kvi_ref ref = {0, 0};
    struct kvi_bulk_sheet *last;
    struct kvi_counts counts;
    int rc = even_out(bulk, level);

    if (!rc && bulk->levels[level]->held)
        rc = kvi_bulk_let_go(bulk, level);
    last = kvi_bulk_sheet(bulk, level);
    if (!rc)
        rc = kvi_bulk_make_dirty(bulk, level, last, &ref, &counts);
    if (rc)
        return rc;
    if (!has_above(bulk, level)) {
        *root_out = ref;
    } else {
        struct kvi_key separator = {last->separator, last->separator_bytes};

        rc = kvi_bulk_add_page(bulk, level + 1, separator, ref, counts);
    }
    return rc ? rc : kvi_bulk_clear(bulk, level, last);
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
