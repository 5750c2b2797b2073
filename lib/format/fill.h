/* SPDX-License-Identifier: MIT */
/*
 * A leaf page that is filled from left to right: for bulk builds.
 *
 *     | header |  (nothing yet)                 | cell n-1 | ... | cell 1 | cell 0 |
 *                                               ^ cells_at                         page_size
 *
 * Cells are laid down where they will stay, each below the one before; where they begin is kept
 * beside the page. Prefix, heads and offsets are written at the end, when the first and the last
 * key are known. So a cell costs its bytes and nothing else moves.
 *
 * Keys must come in ascending order; nothing is compared here. A page counts as full where one more
 * cell would bring it past `limit`, together with the prefix that all its keys share: else a page
 * filled to the last byte would have no room for one, and heads that are all alike.
 *
 * Owns the array of offsets, not the page. One thread.
 */
#ifndef KVI_FORMAT_FILL_H
#define KVI_FORMAT_FILL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "format/node.h"
#include "format/node_page.h"

struct kvi_fill {
    uint8_t *page;
    uint16_t *offs; /* of the cells, in key order */
    uint32_t count;
    uint32_t cells_at;
    uint32_t limit; /* bytes of a page that may be used */
    uint32_t page_size;
    unsigned flags; /* of the page's header */
    size_t key_bytes_min;
};

/* ENOMEM. */
KVI_MUST_CHECK int kvi_fill_open(struct kvi_fill *fill, const struct kvi_geometry *g,
                                 uint32_t limit);
void kvi_fill_close(struct kvi_fill *fill);

/* Begins with an empty leaf whose header, with its flags, is set. */
void kvi_fill_begin(struct kvi_fill *fill, uint8_t *page);

/* Goes on with a leaf as it stands; false: damage. */
KVI_MUST_CHECK bool kvi_fill_resume(struct kvi_fill *fill, const struct kvi_geometry *g,
                                    uint8_t *page);

/* Whether a cell of this size goes in, its key's prefix looked at. */
bool kvi_fill_takes(const struct kvi_fill *fill, struct kvi_key key, uint32_t cell_bytes);

/* A cell that was laid down. */
static inline void kvi_fill_cell(const struct kvi_fill *fill, uint32_t slot,
                                 struct kvi_leaf_cell *cell_out)
{
    const uint8_t *cell = fill->page + fill->offs[slot];
    uint32_t word = kvi_fast_load32(cell);

    cell_out->key_bytes = word & KVI_LEAF_SIZE_MASK;
    cell_out->payload_bytes = word >> KVI_LEAF_SIZE_BITS & KVI_LEAF_SIZE_MASK;
    cell_out->kind = (enum kvi_cell_kind)(word >> KVI_LEAF_KIND_SHIFT);
    cell_out->key = cell + KVI_LEAF_CELL_HEAD;
    cell_out->payload =
        cell + kvi_align_up(KVI_LEAF_CELL_HEAD + cell_out->key_bytes, kvi_page_align(fill->flags));
}

static inline struct kvi_key kvi_fill_last_key(const struct kvi_fill *fill)
{
    const uint8_t *cell = fill->page + fill->offs[fill->count - 1];

    return (struct kvi_key){cell + KVI_LEAF_CELL_HEAD, kvi_fast_load32(cell) & KVI_LEAF_SIZE_MASK};
}

/* Lays a cell down behind the last one and returns where its payload is to be written; NULL: the
 * page is full. An empty page takes any cell that a page can have. */
static inline uint8_t *kvi_fill_add(struct kvi_fill *fill, struct kvi_key key,
                                    enum kvi_cell_kind kind, uint32_t payload_bytes)
{
    uint32_t bytes = kvi_cell_bytes(fill->flags, key.size, payload_bytes);
    uint32_t used = KVI_HEADER_BYTES + KVI_NODE_SLOT_BYTES * (fill->count + 1) + fill->page_size -
                    fill->cells_at + bytes;
    uint8_t *cell;

    if (KVI_UNLIKELY(used + KVI_PREFIX_BYTES_MAX + 1 > fill->limit) && fill->count > 0 &&
        !kvi_fill_takes(fill, key, bytes))
        return NULL;
    fill->cells_at -= bytes;
    fill->offs[fill->count++] = (uint16_t)fill->cells_at;
    if (key.size < fill->key_bytes_min)
        fill->key_bytes_min = key.size;
    cell = fill->page + fill->cells_at;
    if (KVI_UNLIKELY(fill->flags & KVI_PAGE_ALIGN_MASK))
        memset(cell, 0, bytes);
    kvi_le_store32(cell, kvi_leaf_cell_word((uint32_t)key.size, payload_bytes, kind));
    if (KVI_LIKELY(key.size >= 8 && key.size <= 16)) { /* in two halves that may overlap */
        memcpy(cell + KVI_LEAF_CELL_HEAD, key.data, 8);
        memcpy(cell + KVI_LEAF_CELL_HEAD + key.size - 8, key.data + key.size - 8, 8);
    } else if (key.size) {
        memcpy(cell + KVI_LEAF_CELL_HEAD, key.data, key.size);
    }
    return cell + kvi_align_up(KVI_LEAF_CELL_HEAD + key.size, kvi_page_align(fill->flags));
}

/* Completes the page. It can be resumed afterwards. */
void kvi_fill_end(struct kvi_fill *fill, const struct kvi_geometry *g);

#endif
