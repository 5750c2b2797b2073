/* SPDX-License-Identifier: MIT */
/*
 * Owns the proof that one branch or leaf page is just what FORMAT section 4 allows: for check, for
 * recovery of trust, for tests. Reads keep to the bounds without it; this one also sees what is in
 * bounds and wrong. Looks at nothing outside of the page and allocates nothing. Any thread.
 */
#include "format/node.h"

#include "format/node_page.h"
#include "format/set.h"
#include "format/shape.h"
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

static bool leaf_flags_ok(unsigned flags)
{
    unsigned align_log2 = (flags & KVI_PAGE_ALIGN_MASK) >> KVI_PAGE_ALIGN_SHIFT;

    if (flags & ~(KVI_PAGE_SETS | KVI_PAGE_ORDER_MASK | KVI_PAGE_ALIGN_MASK))
        return false;
    return kvi_page_order(flags) <= KV_ORDER_CUSTOM &&
           (align_log2 == 0 || align_log2 == 3 || align_log2 == 4);
}

static bool branch_flags_ok(unsigned flags)
{
    if (flags & ~(KVI_PAGE_COUNTED | KVI_PAGE_COUNTED_KEYS | KVI_PAGE_ORDER_MASK))
        return false;
    if (flags & KVI_PAGE_COUNTED_KEYS && !(flags & KVI_PAGE_COUNTED))
        return false;
    return kvi_page_order(flags) == KV_ORDER_BYTES || kvi_page_order(flags) == KV_ORDER_CUSTOM;
}

static const char *check_header(const struct kvi_geometry *g, const uint8_t *page)
{
    enum kvi_page_type type = (enum kvi_page_type)kvi_header_type(page);
    unsigned level = kvi_header_level(page);
    struct kvi_node_frame f;

    if (type != KVI_PAGE_LEAF && type != KVI_PAGE_BRANCH)
        return "neither a branch nor a leaf";
    if (type == KVI_PAGE_LEAF ? level != 0 : level == 0 || level >= KVI_DEPTH_MAX)
        return "a level that its type cannot have";
    if (type == KVI_PAGE_LEAF ? !leaf_flags_ok(kvi_header_flags(page))
                              : !branch_flags_ok(kvi_header_flags(page)))
        return "unknown header flags";
    if (!kvi_node_frame_ok(g, page))
        return "counts that do not fit the page";
    f = kvi_node_frame(g, page);
    if (type == KVI_PAGE_BRANCH && f.count < 2)
        return "a branch with one child";
    if (kvi_page_normal(type, f.flags) == KVI_NORMAL_NONE && f.prefix_bytes)
        return "a prefix in a page of a custom order";
    for (uint32_t i = KVI_HEADER_BYTES + f.prefix_bytes; i < f.heads_at; i++) {
        if (page[i])
            return "padding of the prefix is not zero";
    }
    return NULL;
}

static const char *check_payload(const struct kvi_node_frame *f, const struct kvi_leaf_cell *cell)
{
    struct kvi_overflow_ref ref;

    if ((cell->kind == KVI_CELL_SET) != ((f->flags & KVI_PAGE_SETS) != 0))
        return "a set among other cells, or a cell among sets";
    switch (cell->kind) {
    case KVI_CELL_VALUE:
        return NULL;
    case KVI_CELL_OVERFLOW:
        return kvi_overflow_ref_load(cell, &ref) ? NULL : "a bad overflow reference";
    case KVI_CELL_TABLE:
        return cell->payload_bytes >= KVI_TABLE_RECORD_BYTES ? NULL : "a table record too short";
    case KVI_CELL_SET:
        return kvi_set_check(NULL, cell->payload, cell->payload_bytes);
    }
    return "a cell of unknown kind";
}

static const char *check_leaf_key(const uint8_t *page, const struct kvi_node_frame *f,
                                  uint32_t slot, const struct kvi_leaf_cell *cell)
{
    enum kvi_normal normal = kvi_leaf_normal(f->flags);
    uint32_t head = kvi_normal_head(normal, cell->key, cell->key_bytes, f->prefix_bytes);

    if (cell->key_bytes < f->prefix_bytes)
        return "a key without the prefix";
    for (uint32_t i = 0; i < f->prefix_bytes; i++) {
        if (kvi_normal_byte(normal, cell->key, cell->key_bytes, i) != page[KVI_HEADER_BYTES + i])
            return "a key without the prefix";
    }
    if (kvi_node_head(f, page, slot) != head)
        return "a head that is not its key's";
    if (kvi_page_order(f->flags) == KV_ORDER_UINT && cell->key_bytes != 4 && cell->key_bytes != 8)
        return "an integer key of another size than 4 or 8 bytes";
    return NULL;
}

/* Zeros between key and payload, and behind it. */
static const char *check_padding(const struct kvi_node_frame *f, const uint8_t *page,
                                 const struct kvi_leaf_cell *cell, uint32_t off)
{
    const uint8_t *end =
        page + off + kvi_cell_bytes(f->flags, cell->key_bytes, cell->payload_bytes);

    for (const uint8_t *p = cell->key + cell->key_bytes; p < cell->payload; p++) {
        if (*p)
            return "padding of a key is not zero";
    }
    for (const uint8_t *p = cell->payload + cell->payload_bytes; p < end; p++) {
        if (*p)
            return "padding of a value is not zero";
    }
    return NULL;
}

/* A cell against the one before it. */
static const char *check_ascent(const struct kvi_node_frame *f, const struct kvi_leaf_cell *before,
                                const struct kvi_leaf_cell *cell)
{
    enum kvi_normal normal = kvi_leaf_normal(f->flags);
    bool continued =
        f->flags & KVI_PAGE_SETS && kvi_set_is_continued(cell->payload, cell->payload_bytes);
    bool same = cell->key_bytes == before->key_bytes &&
                kvi_key_compare(cell->key, cell->key_bytes, before->key, before->key_bytes) == 0;
    int order = -1;

    if (continued && !same)
        return "a continued set behind another key";
    if (f->flags & KVI_PAGE_SETS && !continued && same)
        return "a set that is not marked continued";
    if (continued)
        return NULL;
    if (kvi_page_order(f->flags) == KV_ORDER_UINT && cell->key_bytes != before->key_bytes)
        return "integer keys of different sizes";
    if (normal == KVI_NORMAL_BYTES)
        order = kvi_key_compare(before->key, before->key_bytes, cell->key, cell->key_bytes);
    else if (normal == KVI_NORMAL_REVERSED)
        order = kvi_tail_compare_reversed(before->key, before->key_bytes, cell->key,
                                          cell->key_bytes, 0);
    return order >= 0 || same ? "keys that do not ascend" : NULL;
}

static const char *check_leaf_cell(const struct kvi_geometry *g, const uint8_t *page,
                                   const struct kvi_node_frame *f, uint32_t slot,
                                   struct cell_bytes *bytes, struct kvi_leaf_cell *cell)
{
    uint32_t off = kvi_node_off(f, page, slot);
    const char *what;
    uint32_t size;

    if (!kvi_leaf_cell_parse(g, f, page, slot, cell))
        return "a cell outside of the cell area";
    size = kvi_cell_bytes(f->flags, cell->key_bytes, cell->payload_bytes);
    if (cell->key_bytes > g->key_bytes_max || size > g->cell_bytes_max)
        return "a cell larger than allowed";
    if (!mark_bytes(bytes, off, off + size))
        return "cells that overlap";
    what = check_leaf_key(page, f, slot, cell);
    if (!what)
        what = check_payload(f, cell);
    return what ? what : check_padding(f, page, cell, off);
}

static const char *check_leaf_cells(const struct kvi_geometry *g, const uint8_t *page,
                                    const struct kvi_node_frame *f, struct cell_bytes *bytes)
{
    struct kvi_leaf_cell cell, before = {0};

    for (uint32_t i = 0; i < f->count; i++) {
        const char *what = check_leaf_cell(g, page, f, i, bytes, &cell);

        if (!what && i > 0)
            what = check_ascent(f, &before, &cell);
        if (what)
            return what;
        before = cell;
    }
    return NULL;
}

/* Whether separators are whole pairs. */
static bool pair_separators(unsigned flags)
{
    return flags & KVI_PAGE_COUNTED_KEYS && kvi_page_order(flags) == KV_ORDER_CUSTOM;
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
    if (f->prefix_bytes + cell->suffix_bytes == 0 && kvi_page_order(f->flags) != KV_ORDER_CUSTOM)
        return "an empty separator";
    if (head != kvi_normal_head(kvi_branch_normal(f->flags), cell->suffix, cell->suffix_bytes, 0))
        return "a head that is not its separator's";
    if (pair_separators(f->flags) &&
        (cell->suffix_bytes < 2 || kvi_le_load16(cell->suffix) > cell->suffix_bytes - 2))
        return "a separator that is no pair";
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
        if (!mark_bytes(bytes, off, off + kvi_branch_head(f->flags) + cell.suffix_bytes))
            return "cells that overlap";
        what = check_separator(g, page, f, i, &cell);
        if (what)
            return what;
        if (i > 1 && kvi_page_order(f->flags) != KV_ORDER_CUSTOM &&
            kvi_key_compare(before.suffix, before.suffix_bytes, cell.suffix, cell.suffix_bytes) >=
                0)
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

/* ---- With the shape ---- */

/* Order of two sizes that pairs may have. */
static const char *check_pair_sizes(const struct kvi_geometry *g, const struct kvi_shape *shape,
                                    const struct kvi_leaf_cell *cell, const struct kvi_set *set)
{
    uint32_t most = kvi_pair_bytes_max(g);

    if (shape->key_order == KV_ORDER_UINT && cell->key_bytes != shape->key_bytes)
        return "an integer key of another size than the table's";
    if (!shape->duplicates)
        return NULL;
    for (uint32_t i = 0; i < set->count; i++) {
        if (cell->key_bytes > most || kvi_set_value(set, i).size > most)
            return "a pair larger than allowed";
    }
    return NULL;
}

/* Against the cell before: a custom order of keys, and values that go on. */
static const char *check_neighbours(const struct kvi_shape *shape,
                                    const struct kvi_leaf_cell *before,
                                    const struct kvi_set *set_before,
                                    const struct kvi_leaf_cell *cell, const struct kvi_set *set)
{
    struct kvi_key a = {before->key, before->key_bytes}, b = {cell->key, cell->key_bytes};

    if (!kvi_shape_searchable(shape))
        return NULL;
    if (shape->duplicates && set->continued) {
        if (kvi_shape_compare_values(shape, kvi_set_value(set_before, set_before->count - 1),
                                     kvi_set_value(set, 0)) >= 0)
            return "values that do not ascend";
        return NULL;
    }
    return kvi_shape_compare_keys(shape, a, b) < 0 ? NULL : "keys that do not ascend";
}

static const char *check_leaf_shape(const struct kvi_geometry *g, const struct kvi_shape *shape,
                                    const uint8_t *page)
{
    struct kvi_node_frame f = kvi_node_frame(g, page);
    struct kvi_leaf_cell cell, before = {0};
    struct kvi_set set = {0}, set_before = {0};

    for (uint32_t i = 0; i < f.count; i++) {
        const char *what = NULL;

        if (!kvi_leaf_cell_parse(g, &f, page, i, &cell))
            return "a cell outside of the cell area"; /* never: seen before */
        if (shape->duplicates) {
            what = kvi_set_check(shape, cell.payload, cell.payload_bytes);
            (void)kvi_set_open(cell.payload, cell.payload_bytes, &set);
        }
        if (!what)
            what = check_pair_sizes(g, shape, &cell, &set);
        if (!what && i > 0)
            what = check_neighbours(shape, &before, &set_before, &cell, &set);
        if (what)
            return what;
        before = cell;
        set_before = set;
    }
    return NULL;
}

static const char *check_branch_shape(const struct kvi_geometry *g, const struct kvi_shape *shape,
                                      const uint8_t *page)
{
    struct kvi_node_frame f = kvi_node_frame(g, page);
    struct kvi_probe before = {.where = KVI_PROBE_VALUE};
    struct kvi_branch_cell cell;

    for (uint32_t i = 1; i < f.count; i++) {
        struct kvi_key separator, key, value;

        if (!kvi_branch_cell_parse(g, &f, page, i, &cell))
            return "a cell outside of the cell area"; /* never: seen before */
        separator = (struct kvi_key){cell.suffix, cell.suffix_bytes};
        if (!kvi_separator_split(shape, separator, &key, &value))
            return "a separator that is no pair";
        if (i > 1 && kvi_probe_compare_separator(shape, &before, separator) >= 0)
            return "separators that do not ascend";
        before.key = key;
        before.value = value;
    }
    return NULL;
}

const char *kvi_node_check_shape(const struct kvi_geometry *g, const struct kvi_shape *shape,
                                 const uint8_t *page)
{
    const char *what = kvi_node_check(g, page);

    if (what)
        return what;
    if (kvi_header_flags(page) != kvi_shape_page_flags(shape, kvi_header_level(page)))
        return "header flags of another kind of table";
    if (shape->plain)
        return NULL;
    if (kvi_node_is_leaf(page))
        return check_leaf_shape(g, shape, page);
    if (shape->custom && kvi_shape_searchable(shape))
        return check_branch_shape(g, shape, page);
    return NULL;
}
