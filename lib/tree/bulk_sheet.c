/* SPDX-License-Identifier: MIT */
/*
 * Owns the way of cells and references into sheets, and of sheets into pages. See bulk.h.
 *
 * Letting a page go adds a reference above, which may fill a sheet there, and so on: the recursion
 * is as deep as the tree.
 *
 * A page whose cells refer to dirty pages or runs must be dirty itself (P1). Such references come
 * only from pages that were taken into sheets, and from pages below that are dirty for that reason;
 * all others are staged.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tree/bulk.h"

/* ---- Sheets ---- */

unsigned kvi_bulk_items_max(const struct kvi_geometry *g)
{
    return g->page_size / (KVI_BRANCH_CELL_HEAD + KVI_NODE_SLOT_BYTES) + 1;
}

bool kvi_bulk_reserve(struct kvi_bulk_sheet *sheet, size_t more_bytes)
{
    size_t room = sheet->room;
    uint8_t *bytes;

    if (KVI_LIKELY(sheet->used + more_bytes <= room))
        return true;
    while (room < sheet->used + more_bytes)
        room = room ? room * 2 : 4096;
    bytes = malloc(room);
    if (!bytes)
        return false;
    if (sheet->used)
        memcpy(bytes, sheet->bytes, sheet->used);
    for (unsigned i = 0; i < sheet->count; i++) {
        if (sheet->items[i].key_bytes)
            sheet->items[i].key = bytes + (sheet->items[i].key - sheet->bytes);
    }
    free(sheet->bytes);
    sheet->bytes = bytes;
    sheet->room = room;
    return true;
}

static int open_sheet(struct kvi_bulk *bulk, unsigned level, struct kvi_bulk_sheet *sheet)
{
    const struct kvi_geometry *g = kvi_tree_geometry(bulk->tree);

    sheet->separator = malloc(g->key_bytes_max);
    if (!sheet->separator)
        return ENOMEM;
    if (level == 0)
        return kvi_fill_open(&sheet->fill, g, bulk->limit);
    sheet->items = malloc(kvi_bulk_items_max(g) * sizeof(sheet->items[0]));
    return sheet->items ? 0 : ENOMEM;
}

int kvi_bulk_level(struct kvi_bulk *bulk, unsigned level)
{
    if (level >= KVI_DEPTH_MAX)
        return kvi_tree_damaged(bulk->tree, KVI_NO_PGNO, "tree deeper than possible");
    if (bulk->levels[level])
        return 0;
    bulk->levels[level] = calloc(1, sizeof(*bulk->levels[level]));
    if (!bulk->levels[level])
        return kvi_error(ENOMEM, "no memory for a bulk build");
    return kvi_bulk_clear(bulk, level, kvi_bulk_sheet(bulk, level));
}

static void release_sheet(struct kvi_bulk *bulk, struct kvi_bulk_sheet *sheet)
{
    kvi_stage_drop(bulk->stage, sheet->fill.page);
    kvi_fill_close(&sheet->fill);
    free(sheet->items);
    free(sheet->bytes);
    free(sheet->separator);
}

void kvi_bulk_release_levels(struct kvi_bulk *bulk)
{
    for (unsigned level = 0; level < KVI_DEPTH_MAX && bulk->levels[level]; level++) {
        release_sheet(bulk, &bulk->levels[level]->sheets[0]);
        release_sheet(bulk, &bulk->levels[level]->sheets[1]);
        free(bulk->levels[level]);
    }
}

int kvi_bulk_clear(struct kvi_bulk *bulk, unsigned level, struct kvi_bulk_sheet *sheet)
{
    int rc = sheet->separator ? 0 : open_sheet(bulk, level, sheet);

    if (rc)
        return kvi_error(rc, "no memory for a bulk build");
    sheet->mixed = false;
    sheet->separator_bytes = 0;
    if (level > 0) {
        sheet->count = 0;
        sheet->used = 0;
        sheet->weight = KVI_HEADER_BYTES;
        return 0;
    }
    if (!sheet->fill.page) {
        rc = kvi_stage_page(bulk->stage, KVI_PAGE_LEAF, 0, &sheet->fill.page);
        if (rc)
            return rc;
        kvi_node_set_flags(sheet->fill.page, bulk->tree->leaf_flags);
    }
    kvi_fill_begin(&sheet->fill, sheet->fill.page);
    return 0;
}

void kvi_bulk_set_separator(struct kvi_bulk_sheet *sheet, struct kvi_key separator)
{
    if (separator.size)
        memcpy(sheet->separator, separator.data, separator.size);
    sheet->separator_bytes = (uint32_t)separator.size;
}

/* ---- Pages ---- */

/* What the sheet's page holds. */
static int count_sheet(const struct kvi_bulk *bulk, unsigned level,
                       const struct kvi_bulk_sheet *sheet, struct kvi_counts *counts)
{
    *counts = (struct kvi_counts){0, 0};
    if (!bulk->tree->shape.counted)
        return 0;
    if (level == 0) {
        if (!kvi_leaf_counts(kvi_tree_geometry(bulk->tree), sheet->fill.page, counts))
            return kvi_tree_damaged(bulk->tree, KVI_NO_PGNO, "leaf page with a bad set");
        return 0;
    }
    for (unsigned i = 0; i < sheet->count; i++) {
        counts->records += sheet->items[i].counts.records;
        counts->keys += sheet->items[i].counts.keys;
    }
    return 0;
}

/* Completes the page of a leaf, or writes a branch into `page`; counts it and what it holds. */
static int finish(struct kvi_bulk *bulk, unsigned level, struct kvi_bulk_sheet *sheet,
                  uint8_t *page, struct kvi_counts *counts_out)
{
    const struct kvi_geometry *g = kvi_tree_geometry(bulk->tree);
    struct kvi_table_record *record = &bulk->tree->record;

    if (level == 0) {
        kvi_fill_end(&sheet->fill, g);
        record->pages_leaf++;
    } else {
        kvi_node_set_flags(page, bulk->tree->branch_flags);
        if (!kvi_node_emit(g, page, sheet->items, 0, sheet->count))
            return kvi_tree_damaged(bulk->tree, KVI_NO_PGNO, "cells too large for their page");
        record->pages_branch++;
    }
    return count_sheet(bulk, level, sheet, counts_out);
}

int kvi_bulk_make_dirty(struct kvi_bulk *bulk, unsigned level, struct kvi_bulk_sheet *sheet,
                        struct kvi_ref *ref_out, struct kvi_counts *counts_out)
{
    struct kvi_tree *tree = bulk->tree;
    uint8_t *image;
    int rc = kvi_pager_new(tree->pager, kvi_tree_type(level), level, ref_out, &image);

    if (!rc)
        rc = finish(bulk, level, sheet, image, counts_out);
    if (rc || level > 0)
        return rc;
    memcpy(image, sheet->fill.page, kvi_tree_geometry(tree)->page_size);
    kvi_le_store48(image + KVI_HEADER_PGNO, ref_out->pgno);
    return 0;
}

static int stage_leaf(struct kvi_bulk *bulk, struct kvi_bulk_sheet *sheet, struct kvi_ref *ref_out,
                      struct kvi_counts *counts_out)
{
    int rc = finish(bulk, 0, sheet, sheet->fill.page, counts_out);

    if (rc)
        return rc;
    rc = kvi_stage_put(bulk->stage, sheet->fill.page, ref_out);
    sheet->fill.page = NULL;
    return rc;
}

static int stage_branch(struct kvi_bulk *bulk, unsigned level, struct kvi_bulk_sheet *sheet,
                        struct kvi_ref *ref_out, struct kvi_counts *counts_out)
{
    uint8_t *page;
    int rc = kvi_stage_page(bulk->stage, KVI_PAGE_BRANCH, level, &page);

    if (rc)
        return rc;
    rc = finish(bulk, level, sheet, page, counts_out);
    if (rc) {
        kvi_stage_drop(bulk->stage, page);
        return rc;
    }
    return kvi_stage_put(bulk->stage, page, ref_out);
}

/* Whether a leaf has a cell whose run is dirty. */
static bool has_dirty_run(const struct kvi_fill *fill)
{
    struct kvi_overflow_ref run;
    struct kvi_leaf_cell cell;

    for (uint32_t i = 0; i < fill->count; i++) {
        kvi_fill_cell(fill, i, &cell);
        if (kvi_overflow_ref_load(&cell, &run) && run.ref.tag == 0)
            return true;
    }
    return false;
}

static bool has_dirty_page(const struct kvi_bulk_sheet *sheet)
{
    for (unsigned i = 0; i < sheet->count; i++) {
        if (sheet->items[i].ref.tag == 0)
            return true;
    }
    return false;
}

int kvi_bulk_let_go(struct kvi_bulk *bulk, unsigned level)
{
    struct kvi_bulk_level *at = bulk->levels[level];
    struct kvi_bulk_sheet *sheet = &at->sheets[1 - at->current];
    struct kvi_key separator = {sheet->separator, sheet->separator_bytes};
    struct kvi_counts counts;
    struct kvi_ref ref;
    int rc;

    if (sheet->mixed && (level ? has_dirty_page(sheet) : has_dirty_run(&sheet->fill)))
        rc = kvi_bulk_make_dirty(bulk, level, sheet, &ref, &counts);
    else if (level > 0)
        rc = stage_branch(bulk, level, sheet, &ref, &counts);
    else
        rc = stage_leaf(bulk, sheet, &ref, &counts);
    at->held = false;
    return rc ? rc : kvi_bulk_add_page(bulk, level + 1, separator, ref, counts);
}

/* The open sheet of the level is full: it is held, and a new one, known by `separator`, opened. */
static int turn(struct kvi_bulk *bulk, unsigned level, struct kvi_key separator)
{
    struct kvi_bulk_level *at = bulk->levels[level];
    struct kvi_bulk_sheet *sheet = &at->sheets[1 - at->current];
    int rc = 0;

    if (separator.size > kvi_tree_geometry(bulk->tree)->key_bytes_max)
        return kvi_tree_damaged(bulk->tree, KVI_NO_PGNO, "keys too large for a separator");
    if (at->held)
        rc = kvi_bulk_let_go(bulk, level);
    if (!rc)
        rc = kvi_bulk_clear(bulk, level, sheet);
    if (rc)
        return rc;
    kvi_bulk_set_separator(sheet, separator);
    at->held = true;
    at->current = 1 - at->current;
    return 0;
}

/* ---- Leaves ---- */

int kvi_bulk_separator(struct kvi_bulk *bulk, const struct kvi_leaf_cell *left, struct kvi_key key,
                       struct kvi_key value, struct kvi_key *separator_out)
{
    const struct kvi_shape *shape = &bulk->tree->shape;
    struct kvi_key left_key = {left->key, left->key_bytes};
    struct kvi_key left_value = {NULL, 0};
    struct kvi_set set;

    if (shape->plain) {
        *separator_out = (struct kvi_key){key.data, kvi_separator_bytes(left_key, key)};
        return 0;
    }
    if (shape->duplicates) {
        if (!kvi_set_open(left->payload, left->payload_bytes, &set))
            return kvi_tree_damaged(bulk->tree, KVI_NO_PGNO, "leaf page with a bad set");
        left_value = kvi_set_value(&set, set.count - 1);
    }
    separator_out->size = kvi_separator_make(shape, left_key, left_value, key, value, bulk->room);
    separator_out->data = bulk->room;
    return 0;
}

int kvi_bulk_add_slowly(struct kvi_bulk *bulk, struct kvi_key key, struct kvi_key value,
                        enum kvi_cell_kind kind, uint32_t payload_bytes, uint8_t **payload_out)
{
    const struct kvi_fill *fill = &kvi_bulk_sheet(bulk, 0)->fill;
    struct kvi_key separator;
    struct kvi_leaf_cell last;
    int rc;

    kvi_fill_cell(fill, fill->count - 1, &last);
    rc = kvi_bulk_separator(bulk, &last, key, value, &separator);
    if (!rc)
        rc = turn(bulk, 0, separator);
    if (rc)
        return rc;
    *payload_out = kvi_fill_add(&kvi_bulk_sheet(bulk, 0)->fill, key, kind, payload_bytes);
    return 0;
}

/* ---- Branches ---- */

static bool branch_takes(const struct kvi_bulk *bulk, struct kvi_bulk_sheet *sheet,
                         struct kvi_key separator, uint32_t bytes)
{
    const struct kvi_geometry *g = kvi_tree_geometry(bulk->tree);
    uint32_t limit = sheet->count < 2 ? g->page_size : bulk->limit;
    struct kvi_item *item = &sheet->items[sheet->count];

    if (sheet->count == 0 || sheet->weight + bytes <= limit)
        return true;
    *item = (struct kvi_item){.key = separator.data, .key_bytes = (uint32_t)separator.size};
    return kvi_items_bytes(g, KVI_PAGE_BRANCH, bulk->tree->branch_flags, sheet->items, 0,
                           sheet->count + 1) <= limit;
}

int kvi_bulk_add_page(struct kvi_bulk *bulk, unsigned level, struct kvi_key separator,
                      struct kvi_ref ref, struct kvi_counts counts)
{
    uint32_t bytes = KVI_NODE_SLOT_BYTES + kvi_branch_head_bytes(bulk->tree->branch_flags) +
                     (uint32_t)separator.size;
    struct kvi_bulk_sheet *sheet;
    uint8_t *to;
    int rc = kvi_bulk_level(bulk, level);

    if (!rc && !branch_takes(bulk, kvi_bulk_sheet(bulk, level), separator, bytes))
        rc = turn(bulk, level, separator);
    if (rc)
        return rc;
    sheet = kvi_bulk_sheet(bulk, level);
    if (!kvi_bulk_reserve(sheet, separator.size))
        return kvi_error(ENOMEM, "no memory for a bulk build");
    to = sheet->bytes ? sheet->bytes + sheet->used : NULL; /* the first separator has no bytes */
    if (separator.size)
        memcpy(to, separator.data, separator.size);
    sheet->items[sheet->count++] = (struct kvi_item){.key = to,
                                                     .key_bytes = (uint32_t)separator.size,
                                                     .ref = ref,
                                                     .counts = counts};
    sheet->used += separator.size;
    sheet->mixed |= ref.tag == 0;
    sheet->weight += bytes - (sheet->count == 1 ? (uint32_t)separator.size : 0);
    return 0;
}
