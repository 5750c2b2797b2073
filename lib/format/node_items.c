/* SPDX-License-Identifier: MIT */
/*
 * Owns gather and emit: the cells of a page as a plain array, and a page laid out from such an
 * array. Whatever changes more than one cell (split, merge, lend, rebuild) goes through here; the
 * only branch on the page's kind is where cells are written.
 *
 * Emit takes out of the keys the longest prefix that the first and the last share (all between
 * share it too), lays the cells out in key order, lowest first, and zeroes the gap, so that no old
 * memory reaches the file. kvi_items_bytes counts what emit needs, to the byte. Any thread.
 */
#include "format/node.h"

#include <assert.h>

#include "format/node_page.h"

/* ---- Gather ---- */

size_t kvi_gather_scratch_bytes(const struct kvi_geometry *g, const uint8_t *page)
{
    struct kvi_node_frame f = kvi_node_frame(g, page);

    if (kvi_node_is_leaf(page) || f.prefix_bytes == 0)
        return 0;
    return (size_t)f.count * f.prefix_bytes + (g->page_size - f.cells_at);
}

static bool gather_leaf(const struct kvi_geometry *g, const uint8_t *page,
                        const struct kvi_node_frame *f, struct kvi_item *items)
{
    struct kvi_leaf_cell cell;

    for (uint32_t i = 0; i < f->count; i++) {
        if (!kvi_leaf_cell_parse(g, f, page, i, &cell))
            return false;
        items[i].key = cell.key;
        items[i].key_bytes = cell.key_bytes;
        items[i].payload = cell.payload;
        items[i].payload_bytes = cell.payload_bytes;
        items[i].kind = cell.kind;
        items[i].ref = (struct kvi_ref){0, 0};
        items[i].counts = (struct kvi_counts){0, 0};
    }
    return true;
}

/* A separator without a prefix stays in the page; another is put together in the scratch, of which
 * `room` bytes are left. Returns the scratch used, or -1. */
static ptrdiff_t gather_separator(const uint8_t *page, const struct kvi_node_frame *f,
                                  const struct kvi_branch_cell *cell, struct kvi_item *item,
                                  uint8_t *scratch, size_t room)
{
    item->key_bytes = f->prefix_bytes + cell->suffix_bytes;
    if (f->prefix_bytes == 0) {
        item->key = cell->suffix;
        return 0;
    }
    if (item->key_bytes > room) /* cells that overlap: damage */
        return -1;
    memcpy(scratch, page + KVI_HEADER_BYTES, f->prefix_bytes);
    memcpy(scratch + f->prefix_bytes, cell->suffix, cell->suffix_bytes);
    item->key = scratch;
    return (ptrdiff_t)item->key_bytes;
}

static ptrdiff_t gather_branch(const struct kvi_geometry *g, const uint8_t *page,
                               const struct kvi_node_frame *f, struct kvi_key first_separator,
                               struct kvi_item *items, uint8_t *scratch)
{
    size_t room = kvi_gather_scratch_bytes(g, page);
    size_t used_bytes = 0;
    struct kvi_branch_cell cell;

    for (uint32_t i = 0; i < f->count; i++) {
        ptrdiff_t used = 0;

        if (!kvi_branch_cell_parse(g, f, page, i, &cell))
            return -1;
        if (i == 0) {
            items[i].key = first_separator.data;
            items[i].key_bytes = (uint32_t)first_separator.size;
        } else {
            used = gather_separator(page, f, &cell, &items[i],
                                    scratch ? scratch + used_bytes : NULL, room - used_bytes);
        }
        if (used < 0)
            return -1;
        used_bytes += (size_t)used;
        items[i].ref = cell.ref;
        items[i].counts =
            kvi_branch_counts_load(cell.suffix - kvi_branch_head(f->flags) + KVI_BRANCH_CELL_HEAD,
                                   f->flags);
        items[i].payload = NULL;
        items[i].payload_bytes = 0;
        items[i].kind = KVI_CELL_VALUE;
    }
    return (ptrdiff_t)used_bytes;
}

ptrdiff_t kvi_node_gather(const struct kvi_geometry *g, const uint8_t *page,
                          struct kvi_key first_separator, struct kvi_item *items, unsigned *count,
                          uint8_t *scratch)
{
    struct kvi_node_frame f = kvi_node_frame(g, page);
    ptrdiff_t used;

    if (kvi_node_is_leaf(page))
        used = gather_leaf(g, page, &f, items + *count) ? 0 : -1;
    else
        used = gather_branch(g, page, &f, first_separator, items + *count, scratch);
    if (used >= 0)
        *count += f.count;
    return used;
}

/* ---- Sizes ---- */

uint32_t kvi_leaf_cell_bytes(unsigned flags, size_t key_bytes, size_t payload_bytes)
{
    return kvi_cell_bytes(flags, key_bytes, payload_bytes);
}

bool kvi_leaf_inline(const struct kvi_geometry *g, unsigned flags, size_t key_bytes,
                     uint64_t value_bytes)
{
    return value_bytes <= g->page_size &&
           kvi_cell_bytes(flags, key_bytes, (size_t)value_bytes) <= g->cell_bytes_max;
}

uint32_t kvi_branch_head_bytes(unsigned flags)
{
    return kvi_branch_head(flags);
}

uint32_t kvi_node_free_bytes(const struct kvi_geometry *g, const uint8_t *page)
{
    struct kvi_node_frame f = kvi_node_frame(g, page);

    return f.cells_at > f.slots_end ? f.cells_at - f.slots_end : 0;
}

/* What a range of items becomes as a page. */
struct layout_plan {
    uint32_t prefix_bytes;
    uint32_t cells_bytes; /* with that prefix taken out, of a branch */
    uint64_t total_bytes; /* of the page, header included */
};

static struct layout_plan plan_layout(const struct kvi_geometry *g, enum kvi_page_type type,
                                      unsigned flags, const struct kvi_item *items, unsigned from,
                                      unsigned end)
{
    const struct kvi_scales scales = kvi_scales(type, flags);
    enum kvi_normal normal = kvi_page_normal(type, flags);
    unsigned first_key = type == KVI_PAGE_BRANCH ? from + 1 : from;
    uint32_t keys = end > first_key ? end - first_key : 0;
    uint32_t slots_bytes = KVI_NODE_SLOT_BYTES * (end - from);
    uint32_t common = KVI_PREFIX_BYTES_MAX;
    uint64_t without = KVI_HEADER_BYTES;
    struct layout_plan plan;

    for (unsigned i = from; i < end; i++) {
        without += kvi_weigh(&scales, &items[i]);
        if (i < first_key)
            without -= items[i].key_bytes;
        else if (items[i].key_bytes < common) /* also where a damaged page's keys are in disorder */
            common = items[i].key_bytes;
    }
    if (keys >= 2)
        common = kvi_normal_common(normal, items[first_key].key, items[first_key].key_bytes,
                                   items[end - 1].key, items[end - 1].key_bytes, common);
    plan.prefix_bytes = kvi_prefix_choose(g, type, common, keys, without);
    plan.total_bytes = kvi_layout_bytes(type, plan.prefix_bytes, keys, without);
    plan.cells_bytes =
        (uint32_t)(plan.total_bytes - kvi_node_heads_at(plan.prefix_bytes) - slots_bytes);
    return plan;
}

uint32_t kvi_items_bytes(const struct kvi_geometry *g, enum kvi_page_type type, unsigned flags,
                         const struct kvi_item *items, unsigned from, unsigned end)
{
    uint64_t total = plan_layout(g, type, flags, items, from, end).total_bytes;

    return total < UINT32_MAX ? (uint32_t)total : UINT32_MAX;
}

/* ---- Emit ---- */

/* Writes one cell and returns its size. */
static KVI_ALWAYS_INLINE uint32_t emit_leaf_cell(uint8_t *cell, unsigned flags,
                                                 const struct kvi_item *item)
{
    uint32_t bytes = kvi_cell_bytes(flags, item->key_bytes, item->payload_bytes);
    uint8_t *p = cell + kvi_align_up(KVI_LEAF_CELL_HEAD + item->key_bytes, kvi_page_align(flags));

    if (KVI_UNLIKELY(flags & KVI_PAGE_ALIGN_MASK))
        memset(cell, 0, bytes);
    kvi_le_store32(cell, kvi_leaf_cell_word(item->key_bytes, item->payload_bytes, item->kind));
    if (item->key_bytes)
        memcpy(cell + KVI_LEAF_CELL_HEAD, item->key, item->key_bytes);
    if (item->payload_bytes && item->payload)
        memcpy(p, item->payload, item->payload_bytes);
    else if (item->payload_bytes)
        memset(p, 0, item->payload_bytes);
    return bytes;
}

/* The same; `skip` bytes of the separator are not stored. */
static KVI_ALWAYS_INLINE uint32_t emit_branch_cell(uint8_t *cell, unsigned flags,
                                                   const struct kvi_item *item, uint32_t skip)
{
    uint32_t suffix_bytes = item->key_bytes - skip;
    uint32_t head_bytes = kvi_branch_head(flags);

    kvi_ref_store(cell, item->ref);
    kvi_le_store16(cell + KVI_BRANCH_CELL_SUFFIX, (uint16_t)suffix_bytes);
    kvi_branch_counts_store(cell + KVI_BRANCH_CELL_HEAD, flags, item->counts);
    if (suffix_bytes)
        memcpy(cell + head_bytes, item->key + skip, suffix_bytes);
    return head_bytes + suffix_bytes;
}

/* `flags`: the page's. */
static KVI_ALWAYS_INLINE void emit_cells(uint8_t *page, const struct kvi_node_frame *f, bool leaf,
                                         unsigned flags, const struct kvi_item *items)
{
    enum kvi_normal normal = leaf ? kvi_leaf_normal(flags) : kvi_branch_normal(flags);
    uint32_t off = f->cells_at;

    for (uint32_t i = 0; i < f->count; i++) {
        const struct kvi_item *item = &items[i];
        bool bare = !leaf && i == 0; /* slot 0 of a branch: no separator, head 0 */
        uint32_t head =
            bare ? 0 : kvi_normal_head(normal, item->key, item->key_bytes, f->prefix_bytes);

        kvi_le_store32(page + f->heads_at + KVI_HEAD_BYTES * i, head);
        kvi_le_store16(page + f->offs_at + 2 * i, (uint16_t)off);
        if (leaf)
            off += emit_leaf_cell(page + off, flags, item);
        else
            off +=
                emit_branch_cell(page + off, flags, item, bare ? item->key_bytes : f->prefix_bytes);
    }
}

bool kvi_node_emit(const struct kvi_geometry *g, uint8_t *page, const struct kvi_item *items,
                   unsigned from, unsigned end)
{
    enum kvi_page_type type = kvi_node_is_leaf(page) ? KVI_PAGE_LEAF : KVI_PAGE_BRANCH;
    struct layout_plan plan = plan_layout(g, type, kvi_header_flags(page), items, from, end);
    struct kvi_node_frame f;

    assert(from <= end);
    if (plan.total_bytes > g->page_size)
        return false;
    kvi_le_store16(page + KVI_HEADER_COUNT, (uint16_t)(end - from));
    kvi_le_store16(page + KVI_HEADER_PREFIX, (uint16_t)plan.prefix_bytes);
    kvi_le_store16(page + KVI_HEADER_CELLS, (uint16_t)plan.cells_bytes);
    f = kvi_node_frame(g, page);
    if (plan.prefix_bytes)
        kvi_normal_write(page + KVI_HEADER_BYTES, kvi_page_normal(type, f.flags),
                         items[end - 1].key, items[end - 1].key_bytes, plan.prefix_bytes);
    memset(page + KVI_HEADER_BYTES + plan.prefix_bytes, 0,
           f.heads_at - KVI_HEADER_BYTES - plan.prefix_bytes);
    memset(page + f.slots_end, 0, f.cells_at - f.slots_end);
    if (f.count && f.flags == 0)
        emit_cells(page, &f, type == KVI_PAGE_LEAF, 0, items + from);
    else if (f.count)
        emit_cells(page, &f, type == KVI_PAGE_LEAF, f.flags, items + from);
    return true;
}

size_t kvi_separator_bytes(struct kvi_key left, struct kvi_key right)
{
    size_t i = 0;

    while (i < left.size && i < right.size && left.data[i] == right.data[i])
        i++;
    return i < right.size ? i + 1 : right.size;
}
