/* SPDX-License-Identifier: MIT */
/*
 * The rarer part of filling a leaf: what happens once or twice a page. See fill.h.
 */
#include "format/fill.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int kvi_fill_open(struct kvi_fill *fill, const struct kvi_geometry *g, uint32_t limit)
{
    memset(fill, 0, sizeof(*fill));
    fill->limit = limit;
    fill->page_size = g->page_size;
    fill->offs = malloc(g->page_size / KVI_NODE_SLOT_BYTES * sizeof(fill->offs[0]));
    return fill->offs ? 0 : ENOMEM;
}

void kvi_fill_close(struct kvi_fill *fill)
{
    free(fill->offs);
    fill->offs = NULL;
}

void kvi_fill_begin(struct kvi_fill *fill, uint8_t *page)
{
    fill->page = page;
    fill->count = 0;
    fill->cells_at = fill->page_size;
    fill->flags = kvi_header_flags(page);
    fill->key_bytes_min = KVI_PREFIX_BYTES_MAX;
}

bool kvi_fill_resume(struct kvi_fill *fill, const struct kvi_geometry *g, uint8_t *page)
{
    struct kvi_node_frame f = kvi_node_frame(g, page);
    struct kvi_leaf_cell cell;

    kvi_fill_begin(fill, page);
    if (!kvi_node_frame_ok(g, page))
        return false;
    for (uint32_t i = 0; i < f.count; i++) {
        if (!kvi_leaf_cell_parse(g, &f, page, i, &cell))
            return false;
        fill->offs[i] = (uint16_t)kvi_node_off(&f, page, i);
        if (cell.key_bytes < fill->key_bytes_min)
            fill->key_bytes_min = cell.key_bytes;
    }
    fill->count = f.count;
    fill->cells_at = f.cells_at;
    return true;
}

/* Bytes that the first key and this one have in common. */
static uint32_t common_bytes(const struct kvi_fill *fill, struct kvi_key key)
{
    enum kvi_normal normal = kvi_leaf_normal(fill->flags);
    uint32_t limit = KVI_PREFIX_BYTES_MAX;
    struct kvi_leaf_cell first;

    kvi_fill_cell(fill, 0, &first);
    if (fill->key_bytes_min < limit)
        limit = (uint32_t)fill->key_bytes_min;
    if (normal == KVI_NORMAL_BYTES)
        return kvi_common_bytes(first.key, first.key_bytes, key.data, key.size, limit);
    return kvi_normal_common(normal, first.key, first.key_bytes, key.data, key.size, limit);
}

/* Bytes of the page without a prefix. */
static uint32_t bytes_without(const struct kvi_fill *fill)
{
    return KVI_HEADER_BYTES + KVI_NODE_SLOT_BYTES * fill->count + fill->page_size - fill->cells_at;
}

bool kvi_fill_takes(const struct kvi_fill *fill, struct kvi_key key, uint32_t cell_bytes)
{
    uint32_t bytes = bytes_without(fill) + KVI_NODE_SLOT_BYTES + cell_bytes;

    if (bytes > fill->limit)
        return false;
    return bytes + kvi_node_heads_at(common_bytes(fill, key)) - KVI_HEADER_BYTES <= fill->limit;
}

void kvi_fill_end(struct kvi_fill *fill, const struct kvi_geometry *g)
{
    enum kvi_normal normal = kvi_leaf_normal(fill->flags);
    uint8_t *page = fill->page;
    struct kvi_key last = {NULL, 0};
    struct kvi_node_frame f;
    uint32_t prefix = 0;

    if (fill->count > 1) {
        last = kvi_fill_last_key(fill);
        prefix = kvi_prefix_choose(g, KVI_PAGE_LEAF, common_bytes(fill, last), fill->count,
                                   bytes_without(fill));
    }
    kvi_le_store16(page + KVI_HEADER_COUNT, (uint16_t)fill->count);
    kvi_le_store16(page + KVI_HEADER_PREFIX, (uint16_t)prefix);
    kvi_le_store16(page + KVI_HEADER_CELLS, (uint16_t)(fill->page_size - fill->cells_at));
    f = kvi_node_frame(g, page);
    memset(page + KVI_HEADER_BYTES, 0, f.heads_at - KVI_HEADER_BYTES);
    kvi_normal_write(page + KVI_HEADER_BYTES, normal, last.data, last.size, prefix);
    for (uint32_t i = 0; i < fill->count; i++) {
        const uint8_t *cell = page + fill->offs[i];
        uint32_t key_bytes = kvi_fast_load32(cell) & KVI_LEAF_SIZE_MASK;
        uint32_t head = kvi_normal_head(normal, cell + KVI_LEAF_CELL_HEAD, key_bytes, prefix);

        kvi_le_store32(page + f.heads_at + KVI_HEAD_BYTES * i, head);
        kvi_fast_store16(page + f.offs_at + 2 * i, fill->offs[i]);
    }
    memset(page + f.slots_end, 0, fill->cells_at - f.slots_end);
}
