/* SPDX-License-Identifier: MIT */
/*
 * Owns the proof that one branch or leaf page is just what FORMAT section 4 allows: for check, for
 * recovery of trust, for tests. Reads keep to the bounds without it; this one also sees what is in
 * bounds and wrong. Looks at nothing outside of the page and allocates nothing. Any thread.
 */
#include "format/node.h"

#include "format/node_page.h"
#include "format/snap.h"

/* A bit for each byte of the page that some cell was seen to use, and how many they are. */
struct cell_bytes {
    uint64_t used[KVI_PAGE_SIZE_MAX / 64];
    uint32_t sum;
};

/* Marks a cell's bytes; false if one was marked before. */
static bool mark_bytes(struct cell_bytes *bytes, uint32_t from, uint32_t end)
{
    bytes->sum += end - from;
    while (from < end) {
        uint32_t bit = from % 64;
        uint32_t n = 64 - bit < end - from ? 64 - bit : end - from;
        uint64_t mask = (n == 64 ? UINT64_MAX : ((uint64_t)1 << n) - 1) << bit;

        if (bytes->used[from / 64] & mask)
            return false;
        bytes->used[from / 64] |= mask;
        from += n;
    }
    return true;
}

static const char *check_header(const struct kvi_geometry *g, const uint8_t *page)
{
    unsigned type = kvi_header_type(page);
    unsigned level = kvi_header_level(page);
    struct kvi_node_frame f;

    if (type != KVI_PAGE_LEAF && type != KVI_PAGE_BRANCH)
        return "neither a branch nor a leaf";
    if (type == KVI_PAGE_LEAF ? level != 0 : level == 0 || level >= KVI_DEPTH_MAX)
        return "a level that its type cannot have";
    if (kvi_le_load16(page + KVI_HEADER_FLAGS))
        return "unknown header flags";
    if (!kvi_node_frame_ok(g, page))
        return "counts that do not fit the page";
    f = kvi_node_frame(g, page);
    if (type == KVI_PAGE_BRANCH && f.count < 2)
        return "a branch with one child";
    for (uint32_t i = KVI_HEADER_BYTES + f.prefix_bytes; i < f.heads_at; i++) {
        if (page[i])
            return "padding of the prefix is not zero";
    }
    return NULL;
}

static const char *check_payload(const struct kvi_leaf_cell *cell)
{
    struct kvi_overflow_ref ref;

    switch (cell->kind) {
    case KVI_CELL_VALUE:
        return NULL;
    case KVI_CELL_OVERFLOW:
        return kvi_overflow_ref_load(cell, &ref) ? NULL : "a bad overflow reference";
    case KVI_CELL_TABLE:
        return cell->payload_bytes >= KVI_TABLE_RECORD_BYTES ? NULL : "a table record too short";
    case KVI_CELL_SET:
        break;
    }
    return "a cell of unknown kind";
}

static const char *check_leaf_key(const uint8_t *page, const struct kvi_node_frame *f,
                                  uint32_t slot, const struct kvi_leaf_cell *cell)
{
    if (cell->key_bytes < f->prefix_bytes)
        return "a key without the prefix";
    if (f->prefix_bytes && memcmp(cell->key, page + KVI_HEADER_BYTES, f->prefix_bytes) != 0)
        return "a key without the prefix";
    if (kvi_node_head(f, page, slot) != kvi_key_head(cell->key, cell->key_bytes, f->prefix_bytes))
        return "a head that is not its key's";
    return NULL;
}

static const char *check_leaf_cells(const struct kvi_geometry *g, const uint8_t *page,
                                    const struct kvi_node_frame *f, struct cell_bytes *bytes)
{
    struct kvi_leaf_cell cell, before = {0};

    for (uint32_t i = 0; i < f->count; i++) {
        uint32_t off = kvi_node_off(f, page, i);
        uint32_t size;
        const char *what;

        if (!kvi_leaf_cell_parse(g, f, page, i, &cell))
            return "a cell outside of the cell area";
        size = kvi_leaf_cell_bytes(kvi_header_flags(page), cell.key_bytes, cell.payload_bytes);
        if (cell.key_bytes > g->key_bytes_max || size > g->cell_bytes_max)
            return "a cell larger than allowed";
        if (!mark_bytes(bytes, off, off + size))
            return "cells that overlap";
        what = check_leaf_key(page, f, i, &cell);
        if (!what)
            what = check_payload(&cell);
        if (what)
            return what;
        if (i > 0 && kvi_key_compare(before.key, before.key_bytes, cell.key, cell.key_bytes) >= 0)
            return "keys that do not ascend";
        before = cell;
    }
    return NULL;
}

static const char *check_separator(const struct kvi_geometry *g, const uint8_t *page,
                                   const struct kvi_node_frame *f, uint32_t slot,
                                   const struct kvi_branch_cell *cell)
{
    uint32_t head = kvi_node_head(f, page, slot);

    if (cell->ref.pgno == 0)
        return "a branch cell without a child";
    if (slot == 0)
        return cell->suffix_bytes || head ? "slot 0 of a branch with a separator" : NULL;
    if (f->prefix_bytes + cell->suffix_bytes > g->key_bytes_max)
        return "a separator longer than any key";
    if (f->prefix_bytes + cell->suffix_bytes == 0)
        return "an empty separator";
    if (head != kvi_key_head(cell->suffix, cell->suffix_bytes, 0))
        return "a head that is not its separator's";
    return NULL;
}

static const char *check_branch_cells(const struct kvi_geometry *g, const uint8_t *page,
                                      const struct kvi_node_frame *f, struct cell_bytes *bytes)
{
    struct kvi_branch_cell cell, before = {0};

    for (uint32_t i = 0; i < f->count; i++) {
        uint32_t off = kvi_node_off(f, page, i);
        const char *what;

        if (!kvi_branch_cell_parse(g, f, page, i, &cell))
            return "a cell outside of the cell area";
        if (!mark_bytes(bytes, off, off + KVI_BRANCH_CELL_HEAD + cell.suffix_bytes))
            return "cells that overlap";
        what = check_separator(g, page, f, i, &cell);
        if (what)
            return what;
        if (i > 1 && kvi_key_compare(before.suffix, before.suffix_bytes, cell.suffix,
                                     cell.suffix_bytes) >= 0)
            return "separators that do not ascend";
        before = cell;
    }
    return NULL;
}

const char *kvi_node_check(const struct kvi_geometry *g, const uint8_t *page)
{
    const char *what = check_header(g, page);
    struct cell_bytes bytes;
    struct kvi_node_frame f;

    if (what)
        return what;
    f = kvi_node_frame(g, page);
    memset(bytes.used, 0, g->page_size / 8);
    bytes.sum = 0;
    if (kvi_node_is_leaf(page))
        what = check_leaf_cells(g, page, &f, &bytes);
    else
        what = check_branch_cells(g, page, &f, &bytes);
    if (!what && bytes.sum != g->page_size - f.cells_at)
        what = "a gap between cells"; /* none overlaps and none is outside */
    return what;
}
