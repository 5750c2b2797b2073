/* SPDX-License-Identifier: MIT */
/*
 * Owns the way of cells and references into sheets, and of sheets into pages. See bulk.h.
 *
 * A sheet is full when one more cell would bring its page past the limit that `fill` sets, counted
 * as kvi_node_emit lays it out. In a leaf the prefix that its keys share is counted as well, else a
 * page filled to the last byte would have no room for one, and heads that are all alike.
 *
 * Letting a page go adds a reference above, which may fill a sheet there, and so on: the recursion
 * is as deep as the tree.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "format/node_page.h"
#include "tree/bulk.h"

/* ---- Sheets ---- */

unsigned kvi_bulk_items_max(const struct kvi_geometry *g, unsigned level)
{
    unsigned head = level ? KVI_BRANCH_CELL_HEAD : KVI_LEAF_CELL_HEAD;

    return g->page_size / (head + KVI_NODE_SLOT_BYTES) + 1;
}

/* A page as it was taken, its separators made whole, and as much again. */
static size_t bytes_max(const struct kvi_geometry *g, unsigned level)
{
    size_t page = 2 * (size_t)g->page_size;

    return level ? 2 * page + 2 * (size_t)kvi_bulk_items_max(g, level) * KVI_PREFIX_BYTES_MAX
                 : page;
}

static bool open_sheet(const struct kvi_geometry *g, unsigned level, struct kvi_bulk_sheet *sheet)
{
    sheet->items = malloc(kvi_bulk_items_max(g, level) * sizeof(sheet->items[0]));
    sheet->room = bytes_max(g, level);
    sheet->bytes = malloc(sheet->room);
    sheet->separator = malloc(g->key_bytes_max);
    sheet->weight = KVI_HEADER_BYTES;
    return sheet->items && sheet->bytes && sheet->separator;
}

int kvi_bulk_level(struct kvi_bulk *bulk, unsigned level)
{
    const struct kvi_geometry *g = kvi_tree_geometry(bulk->tree);
    struct kvi_bulk_level *at;

    if (level >= KVI_DEPTH_MAX)
        return kvi_tree_damaged(bulk->tree, KVI_NO_PGNO, "tree deeper than possible");
    if (bulk->levels[level])
        return 0;
    at = calloc(1, sizeof(*at));
    bulk->levels[level] = at;
    if (!at || !open_sheet(g, level, &at->sheets[0]) || !open_sheet(g, level, &at->sheets[1]))
        return kvi_error(ENOMEM, "no memory for a bulk build");
    return 0;
}

void kvi_bulk_release_levels(struct kvi_bulk *bulk)
{
    for (unsigned level = 0; level < KVI_DEPTH_MAX; level++) {
        struct kvi_bulk_level *at = bulk->levels[level];

        for (unsigned i = 0; at && i < 2; i++) {
            free(at->sheets[i].items);
            free(at->sheets[i].bytes);
            free(at->sheets[i].separator);
        }
        free(at);
        bulk->levels[level] = NULL;
    }
}

void kvi_bulk_clear(struct kvi_bulk_sheet *sheet)
{
    sheet->count = 0;
    sheet->used = 0;
    sheet->gathered = false;
    sheet->weight = KVI_HEADER_BYTES;
}

void kvi_bulk_set_separator(struct kvi_bulk_sheet *sheet, struct kvi_key separator)
{
    if (separator.size)
        memcpy(sheet->separator, separator.data, separator.size);
    sheet->separator_bytes = (uint32_t)separator.size;
}

/* ---- Pages ---- */

static int count_sets(const struct kvi_bulk *bulk, const struct kvi_bulk_sheet *sheet,
                      struct kvi_counts *counts)
{
    for (unsigned i = 0; i < sheet->count; i++) {
        const struct kvi_item *item = &sheet->items[i];
        uint32_t count = kvi_set_count(item->payload, item->payload_bytes);

        if (count == 0)
            return kvi_tree_damaged(bulk->tree, KVI_NO_PGNO, "a set whose sizes do not add up");
        counts->records += count;
        counts->keys += !kvi_set_is_continued(item->payload, item->payload_bytes);
    }
    return 0;
}

static int count_sheet(const struct kvi_bulk *bulk, unsigned level,
                       const struct kvi_bulk_sheet *sheet, struct kvi_counts *counts)
{
    *counts = (struct kvi_counts){0, 0};
    if (!bulk->tree->shape.counted)
        return 0;
    if (level == 0 && bulk->tree->shape.duplicates)
        return count_sets(bulk, sheet, counts);
    if (level == 0)
        counts->records = sheet->count;
    for (unsigned i = 0; level > 0 && i < sheet->count; i++) {
        counts->records += sheet->items[i].counts.records;
        counts->keys += sheet->items[i].counts.keys;
    }
    return 0;
}

int kvi_bulk_emit(struct kvi_bulk *bulk, unsigned level, const struct kvi_bulk_sheet *sheet,
                  uint8_t *page, struct kvi_counts *counts_out)
{
    struct kvi_table_record *record = &bulk->tree->record;

    kvi_node_set_flags(page, kvi_tree_flags(bulk->tree, level));
    if (!kvi_node_emit(kvi_tree_geometry(bulk->tree), page, sheet->items, 0, sheet->count))
        return kvi_tree_damaged(bulk->tree, kvi_header_pgno(page),
                                "cells too large for their page");
    if (level == 0)
        record->pages_leaf++;
    else
        record->pages_branch++;
    return count_sheet(bulk, level, sheet, counts_out);
}

/* Whether a cell refers to a page or run that is dirty, so that its page must be. */
static bool is_unsealed(unsigned level, const struct kvi_item *item)
{
    struct kvi_leaf_cell cell = {.kind = item->kind,
                                 .payload = item->payload,
                                 .payload_bytes = item->payload_bytes};
    struct kvi_overflow_ref run;

    if (level > 0)
        return item->ref.tag == 0;
    return item->kind == KVI_CELL_OVERFLOW && kvi_overflow_ref_load(&cell, &run) &&
           run.ref.tag == 0;
}

/* Only what came from pages can refer to dirty ones. */
static bool has_unsealed(const struct kvi_bulk_sheet *sheet, unsigned level)
{
    for (unsigned i = 0; sheet->gathered && i < sheet->count; i++) {
        if (is_unsealed(level, &sheet->items[i]))
            return true;
    }
    return false;
}

/* A page of the sheet's cells: staged, or dirty (P1). */
static int make_page(struct kvi_bulk *bulk, unsigned level, const struct kvi_bulk_sheet *sheet,
                     struct kvi_ref *ref_out, struct kvi_counts *counts_out)
{
    enum kvi_page_type type = kvi_tree_type(level);
    uint8_t *page;
    int rc;

    if (has_unsealed(sheet, level)) {
        rc = kvi_pager_new(bulk->tree->pager, type, level, ref_out, &page);
        return rc ? rc : kvi_bulk_emit(bulk, level, sheet, page, counts_out);
    }
    rc = kvi_stage_new(bulk->stage, type, level, &page);
    if (!rc)
        rc = kvi_bulk_emit(bulk, level, sheet, page, counts_out);
    if (!rc)
        kvi_stage_done(bulk->stage, ref_out);
    return rc;
}

int kvi_bulk_let_go(struct kvi_bulk *bulk, unsigned level)
{
    struct kvi_bulk_level *at = bulk->levels[level];
    const struct kvi_bulk_sheet *sheet = &at->sheets[1 - at->current];
    struct kvi_key separator = {sheet->separator, sheet->separator_bytes};
    struct kvi_counts counts;
    struct kvi_ref ref;
    int rc = make_page(bulk, level, sheet, &ref, &counts);

    at->held = false;
    return rc ? rc : kvi_bulk_add_page(bulk, level + 1, separator, ref, counts);
}

/* The open sheet of the level is full: it is held, and a new one, known by `separator`, opened. */
static int turn(struct kvi_bulk *bulk, unsigned level, struct kvi_key separator)
{
    struct kvi_bulk_level *at = bulk->levels[level];
    struct kvi_bulk_sheet *sheet;

    if (separator.size > kvi_tree_geometry(bulk->tree)->key_bytes_max)
        return kvi_tree_damaged(bulk->tree, KVI_NO_PGNO, "keys too large for a separator");
    if (at->held) {
        int rc = kvi_bulk_let_go(bulk, level);

        if (rc)
            return rc;
    }
    at->held = true;
    at->current = 1 - at->current;
    sheet = &at->sheets[at->current];
    kvi_bulk_clear(sheet);
    kvi_bulk_set_separator(sheet, separator);
    return 0;
}

/* ---- Leaves ---- */

/* Bytes that the normal forms of two keys have in common. */
static uint32_t common_bytes(const struct kvi_shape *shape, const struct kvi_item *first,
                             struct kvi_key key)
{
    size_t limit = first->key_bytes < key.size ? first->key_bytes : key.size;
    uint32_t i = 0;

    if (shape->key_order == KV_ORDER_BYTES)
        return kvi_common_bytes(first->key, first->key_bytes, key.data, key.size,
                                KVI_PREFIX_BYTES_MAX);
    if (shape->key_order == KV_ORDER_CUSTOM)
        return 0;
    if (limit > KVI_PREFIX_BYTES_MAX)
        limit = KVI_PREFIX_BYTES_MAX;
    while (i < limit && first->key[first->key_bytes - 1 - i] == key.data[key.size - 1 - i])
        i++;
    return i;
}

/* Whether the open leaf takes a cell of that size, slot included. */
static inline bool leaf_takes(const struct kvi_bulk *bulk, const struct kvi_bulk_sheet *sheet,
                              struct kvi_key key, uint32_t bytes)
{
    uint64_t weight = sheet->weight + bytes;
    uint32_t prefix;

    if (KVI_LIKELY(weight + KVI_PREFIX_BYTES_MAX + 1 <= bulk->limit) || sheet->count == 0)
        return true;
    prefix = common_bytes(&bulk->tree->shape, &sheet->items[0], key);
    return weight + kvi_node_heads_at(prefix) - KVI_HEADER_BYTES <= bulk->limit;
}

int kvi_bulk_separator(struct kvi_bulk *bulk, const struct kvi_item *left, struct kvi_key key,
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
            return kvi_tree_damaged(bulk->tree, KVI_NO_PGNO, "a set whose sizes do not add up");
        left_value = kvi_set_value(&set, set.count - 1);
    }
    separator_out->size = kvi_separator_make(shape, left_key, left_value, key, value, bulk->room);
    separator_out->data = bulk->room;
    return 0;
}

static KVI_NOINLINE int turn_leaf(struct kvi_bulk *bulk, struct kvi_key key, struct kvi_key value)
{
    const struct kvi_bulk_sheet *sheet = kvi_bulk_sheet(bulk, 0);
    struct kvi_key separator;
    int rc = kvi_bulk_separator(bulk, &sheet->items[sheet->count - 1], key, value, &separator);

    return rc ? rc : turn(bulk, 0, separator);
}

int kvi_bulk_add(struct kvi_bulk *bulk, struct kvi_key key, struct kvi_key value,
                 enum kvi_cell_kind kind, uint32_t payload_bytes, uint8_t **payload_out)
{
    uint32_t bytes =
        KVI_NODE_SLOT_BYTES + kvi_leaf_cell_bytes(bulk->tree->leaf_flags, key.size, payload_bytes);
    struct kvi_bulk_sheet *sheet = kvi_bulk_sheet(bulk, 0);
    struct kvi_item *item;
    uint8_t *to;

    if (!leaf_takes(bulk, sheet, key, bytes)) {
        int rc = turn_leaf(bulk, key, value);

        if (rc)
            return rc;
        sheet = kvi_bulk_sheet(bulk, 0);
    }
    to = sheet->bytes + sheet->used;
    item = &sheet->items[sheet->count++];
    item->key = to;
    item->key_bytes = (uint32_t)key.size;
    item->payload = to + key.size;
    item->payload_bytes = payload_bytes;
    item->kind = kind;
    if (key.size)
        memcpy(to, key.data, key.size);
    sheet->used += key.size + payload_bytes;
    sheet->weight += bytes;
    *payload_out = to + key.size;
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
    struct kvi_item *item;
    uint8_t *to;
    int rc = kvi_bulk_level(bulk, level);

    if (!rc && !branch_takes(bulk, kvi_bulk_sheet(bulk, level), separator, bytes))
        rc = turn(bulk, level, separator);
    if (rc)
        return rc;
    sheet = kvi_bulk_sheet(bulk, level);
    if (sheet->used + separator.size > sheet->room)
        return kvi_tree_damaged(bulk->tree, ref.pgno, "separators too large for their page");
    to = sheet->bytes + sheet->used;
    item = &sheet->items[sheet->count++];
    memset(item, 0, sizeof(*item));
    item->key = to;
    item->key_bytes = (uint32_t)separator.size;
    item->ref = ref;
    item->counts = counts;
    if (separator.size)
        memcpy(to, separator.data, separator.size);
    sheet->used += separator.size;
    sheet->gathered |= ref.tag == 0;
    sheet->weight += bytes - (sheet->count == 1 ? (uint32_t)separator.size : 0);
    return 0;
}
