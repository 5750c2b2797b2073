/* SPDX-License-Identifier: MIT */
/*
 * Where things stand inside a branch or leaf page: shared by the files of lib/format, and by those
 * above whose innermost loop is over a page's cells.
 *
 *     32       heads_at        offs_at       slots_end     cells_at          page_size
 *     | prefix | heads u32 x n | offs u16 x n| free        | cells           |
 *
 * A frame is computed from the header without a check; kvi_node_frame_ok tells whether it is to be
 * believed, and everything here relies on that check having been made. Cells are checked one by
 * one. Any header flags are survived: those that no writer makes lead to some layout, inside the
 * page.
 *
 * Keys of the orders "reverse" and "integers" have the same normal form, their bytes from the last
 * to the first (an integer stands little-endian in the file): here both are "reversed".
 */
#ifndef KVI_FORMAT_NODE_PAGE_H
#define KVI_FORMAT_NODE_PAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/attr.h"
#include "base/le.h"
#include "format/node.h"
#include "kv.h"

#define KVI_HEAD_BYTES 4u /* key bytes in a head */

/* Leaf cell head: bits 0..14 key_bytes, 15..29 payload_bytes, 30..31 kind. */
#define KVI_LEAF_SIZE_BITS 15u
#define KVI_LEAF_SIZE_MASK ((1u << KVI_LEAF_SIZE_BITS) - 1u)
#define KVI_LEAF_KIND_SHIFT (2u * KVI_LEAF_SIZE_BITS)

/* Branch cell: reference, then the size of the separator's suffix. */
#define KVI_BRANCH_CELL_SUFFIX KVI_REF_BYTES

/* ---- Header flags ---- */

/* What payloads are aligned to in a leaf of these flags; 1: nothing. */
static inline uint32_t kvi_page_align(unsigned flags)
{
    return (uint32_t)1 << ((flags & KVI_PAGE_ALIGN_MASK) >> KVI_PAGE_ALIGN_SHIFT);
}

/* How a page's keys become prefix and heads. */
enum kvi_normal { KVI_NORMAL_BYTES, KVI_NORMAL_REVERSED, KVI_NORMAL_NONE };

static inline unsigned kvi_page_order(unsigned flags)
{
    return (flags & KVI_PAGE_ORDER_MASK) >> KVI_PAGE_ORDER_SHIFT;
}

/* Separators of a branch are in normal form, or whole. */
static inline enum kvi_normal kvi_branch_normal(unsigned flags)
{
    return KVI_UNLIKELY(kvi_page_order(flags) == KV_ORDER_CUSTOM) ? KVI_NORMAL_NONE
                                                                  : KVI_NORMAL_BYTES;
}

static inline enum kvi_normal kvi_leaf_normal(unsigned flags)
{
    unsigned order = kvi_page_order(flags);

    if (KVI_LIKELY(order == KV_ORDER_BYTES))
        return KVI_NORMAL_BYTES;
    return order == KV_ORDER_CUSTOM ? KVI_NORMAL_NONE : KVI_NORMAL_REVERSED;
}

static inline enum kvi_normal kvi_page_normal(enum kvi_page_type type, unsigned flags)
{
    return type == KVI_PAGE_LEAF ? kvi_leaf_normal(flags) : kvi_branch_normal(flags);
}

/* As kvi_branch_head_bytes and kvi_leaf_cell_bytes. */
static inline uint32_t kvi_branch_head(unsigned flags)
{
    if (KVI_LIKELY(!(flags & KVI_PAGE_COUNTED)))
        return KVI_BRANCH_CELL_HEAD;
    return KVI_BRANCH_CELL_HEAD + KVI_BRANCH_COUNT_BYTES +
           (flags & KVI_PAGE_COUNTED_KEYS ? KVI_BRANCH_COUNT_BYTES : 0);
}

static inline size_t kvi_align_up(size_t bytes, size_t align)
{
    return (bytes + align - 1) & ~(align - 1);
}

static inline uint32_t kvi_cell_bytes(unsigned flags, size_t key_bytes, size_t payload_bytes)
{
    size_t bytes = KVI_LEAF_CELL_HEAD + key_bytes;
    size_t align;

    if (KVI_LIKELY(!(flags & KVI_PAGE_ALIGN_MASK)))
        return (uint32_t)(bytes + payload_bytes);
    align = kvi_page_align(flags);
    return (uint32_t)kvi_align_up(kvi_align_up(bytes, align) + payload_bytes, align);
}

/* ---- Frames ---- */

struct kvi_node_frame {
    uint32_t flags;
    uint32_t count;
    uint32_t prefix_bytes;
    uint32_t heads_at;
    uint32_t offs_at;
    uint32_t slots_end;
    uint32_t cells_at;
};

/* First byte of the heads behind a prefix of that size. */
static inline uint32_t kvi_node_heads_at(uint32_t prefix_bytes)
{
    return (KVI_HEADER_BYTES + prefix_bytes + 3u) & ~3u;
}

static inline struct kvi_node_frame kvi_node_frame(const struct kvi_geometry *g,
                                                   const uint8_t *page)
{
    struct kvi_node_frame f;

    f.flags = kvi_header_flags(page);
    f.count = kvi_header_count(page);
    f.prefix_bytes = kvi_le_load16(page + KVI_HEADER_PREFIX);
    f.heads_at = kvi_node_heads_at(f.prefix_bytes);
    f.offs_at = f.heads_at + KVI_HEAD_BYTES * f.count;
    f.slots_end = f.heads_at + KVI_NODE_SLOT_BYTES * f.count;
    f.cells_at = g->page_size - kvi_le_load16(page + KVI_HEADER_CELLS);
    return f;
}

/* Loads for the search loops. Little-endian loads written byte by byte are not always merged inside
 * a loop (gcc 12), and here that would cost a third of a search. */
static inline uint32_t kvi_fast_load32(const uint8_t *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof(v));
    return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? v : __builtin_bswap32(v);
}

static inline uint64_t kvi_fast_load64(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof(v));
    return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? v : __builtin_bswap64(v);
}

static inline uint64_t kvi_fast_load64_be(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof(v));
    return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? __builtin_bswap64(v) : v;
}

static inline void kvi_fast_store64_be(uint8_t *p, uint64_t v)
{
    if (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)
        v = __builtin_bswap64(v);
    memcpy(p, &v, sizeof(v));
}

static inline uint16_t kvi_fast_load16(const uint8_t *p)
{
    uint16_t v;

    memcpy(&v, p, sizeof(v));
    return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? v : __builtin_bswap16(v);
}

static inline void kvi_fast_store16(uint8_t *p, uint16_t v)
{
    if (__BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__)
        v = __builtin_bswap16(v);
    memcpy(p, &v, sizeof(v));
}

static inline bool kvi_node_is_leaf(const uint8_t *page)
{
    return kvi_header_type(page) == KVI_PAGE_LEAF;
}

static inline uint32_t kvi_node_head(const struct kvi_node_frame *f, const uint8_t *page,
                                     uint32_t slot)
{
    return kvi_fast_load32(page + f->heads_at + KVI_HEAD_BYTES * slot);
}

static inline uint32_t kvi_node_off(const struct kvi_node_frame *f, const uint8_t *page,
                                    uint32_t slot)
{
    return kvi_fast_load16(page + f->offs_at + 2u * slot);
}

/* ---- Keys ---- */

/* The head of a key: the four bytes behind its first `skip`, big-endian, padded with zeros. */
static inline uint32_t kvi_key_head(const uint8_t *key, size_t key_bytes, size_t skip)
{
    uint32_t head = 0;

    if (KVI_LIKELY(key_bytes >= skip + KVI_HEAD_BYTES))
        return __builtin_bswap32(kvi_fast_load32(key + skip));
    for (size_t i = skip; i < key_bytes; i++)
        head |= (uint32_t)key[i] << (24 - 8 * (i - skip));
    return head;
}

/* The same of a key whose normal form is reversed. */
static inline uint32_t kvi_key_head_reversed(const uint8_t *key, size_t key_bytes, size_t skip)
{
    uint32_t head = 0;

    if (KVI_LIKELY(key_bytes >= skip + KVI_HEAD_BYTES))
        return kvi_fast_load32(key + key_bytes - skip - KVI_HEAD_BYTES);
    for (size_t i = skip; i < key_bytes; i++)
        head |= (uint32_t)key[key_bytes - 1 - i] << (24 - 8 * (i - skip));
    return head;
}

/* The same in a page of any order. */
static inline uint32_t kvi_normal_head(enum kvi_normal normal, const uint8_t *key, size_t key_bytes,
                                       size_t skip)
{
    if (KVI_LIKELY(normal == KVI_NORMAL_BYTES))
        return kvi_key_head(key, key_bytes, skip);
    return normal == KVI_NORMAL_NONE ? 0 : kvi_key_head_reversed(key, key_bytes, skip);
}

/* Byte i of a key's normal form. */
static inline uint8_t kvi_normal_byte(enum kvi_normal normal, const uint8_t *key, size_t key_bytes,
                                      size_t i)
{
    return key[normal == KVI_NORMAL_REVERSED ? key_bytes - 1 - i : i];
}

/* Writes the first `count` bytes of a normal form: a page's prefix. */
static inline void kvi_normal_write(uint8_t *to, enum kvi_normal normal, const uint8_t *key,
                                    size_t key_bytes, size_t count)
{
    if (KVI_LIKELY(normal != KVI_NORMAL_REVERSED)) {
        if (count)
            memcpy(to, key, count);
        return;
    }
    for (size_t i = 0; i < count; i++)
        to[i] = key[key_bytes - 1 - i];
}

/*
 * Order of two keys that are known to agree in their first `skip` bytes, where one that is shorter
 * counts as padded with zeros: <0, 0, >0. Such keys differ from `skip` on or in length only.
 *
 * The last step looks at the last 8 common bytes even where some were seen already: those are
 * equal, so that one load serves for any rest.
 */
static inline int kvi_tail_compare(const uint8_t *a, size_t a_bytes, const uint8_t *b,
                                   size_t b_bytes, size_t skip)
{
    size_t common = a_bytes < b_bytes ? a_bytes : b_bytes;
    uint64_t x, y;
    size_t i = skip;

    if (KVI_LIKELY(common >= 8)) {
        for (; i + 8 < common; i += 8) {
            x = kvi_fast_load64_be(a + i);
            y = kvi_fast_load64_be(b + i);
            if (x != y)
                return x < y ? -1 : 1;
        }
        x = kvi_fast_load64_be(a + common - 8);
        y = kvi_fast_load64_be(b + common - 8);
        if (x != y)
            return x < y ? -1 : 1;
    } else {
        for (; i < common; i++) {
            if (a[i] != b[i])
                return a[i] < b[i] ? -1 : 1;
        }
    }
    return (a_bytes > b_bytes) - (a_bytes < b_bytes);
}

/* The same for two keys that are ordered from their last byte to their first: `skip` last bytes
 * agree. */
static inline int kvi_tail_compare_reversed(const uint8_t *a, size_t a_bytes, const uint8_t *b,
                                            size_t b_bytes, size_t skip)
{
    size_t common = a_bytes < b_bytes ? a_bytes : b_bytes;
    uint64_t x, y;
    size_t i = skip;

    if (KVI_LIKELY(common >= 8)) {
        for (; i + 8 < common; i += 8) {
            x = kvi_fast_load64(a + a_bytes - i - 8);
            y = kvi_fast_load64(b + b_bytes - i - 8);
            if (x != y)
                return x < y ? -1 : 1;
        }
        x = kvi_fast_load64(a + a_bytes - common);
        y = kvi_fast_load64(b + b_bytes - common);
        if (x != y)
            return x < y ? -1 : 1;
    } else {
        for (; i < common; i++) {
            uint8_t p = a[a_bytes - 1 - i], q = b[b_bytes - 1 - i];

            if (p != q)
                return p < q ? -1 : 1;
        }
    }
    return (a_bytes > b_bytes) - (a_bytes < b_bytes);
}

/* Bytes that two keys have in common at their front, at most `limit`. */
static inline uint32_t kvi_common_bytes(const uint8_t *a, size_t a_bytes, const uint8_t *b,
                                        size_t b_bytes, uint32_t limit)
{
    uint32_t i = 0;

    if (limit > a_bytes)
        limit = (uint32_t)a_bytes;
    if (limit > b_bytes)
        limit = (uint32_t)b_bytes;
    for (; i + 8 <= limit; i += 8) {
        uint64_t differ = kvi_fast_load64_be(a + i) ^ kvi_fast_load64_be(b + i);

        if (differ)
            return i + (uint32_t)__builtin_clzll(differ) / 8;
    }
    while (i < limit && a[i] == b[i])
        i++;
    return i;
}

/* Bytes that the normal forms of two keys have in common at their front, at most `limit`: what a
 * prefix could take out of them. */
static inline uint32_t kvi_normal_common(enum kvi_normal normal, const uint8_t *a, size_t a_bytes,
                                         const uint8_t *b, size_t b_bytes, uint32_t limit)
{
    uint32_t i = 0;

    if (KVI_LIKELY(normal == KVI_NORMAL_BYTES))
        return kvi_common_bytes(a, a_bytes, b, b_bytes, limit);
    if (normal == KVI_NORMAL_NONE)
        return 0;
    while (i < limit && i < a_bytes && i < b_bytes && a[a_bytes - 1 - i] == b[b_bytes - 1 - i])
        i++;
    return i;
}

/* ---- Cells ---- */

/* Where a cell's payload stands in a leaf whose payloads are aligned; NULL: not in the page. A
 * function of its own, so that plain pages pay one test of a byte of the header. */
const uint8_t *kvi_leaf_aligned(const struct kvi_geometry *g, const uint8_t *page, uint32_t off,
                                uint32_t key_bytes, uint32_t payload_bytes);

/* A leaf cell's key alone; false if it is not wholly in the cell area. */
static inline bool kvi_leaf_key_parse(const struct kvi_geometry *g, const struct kvi_node_frame *f,
                                      const uint8_t *page, uint32_t slot, struct kvi_key *key)
{
    uint32_t off = kvi_node_off(f, page, slot);

    if (KVI_UNLIKELY(off < f->cells_at || off + KVI_LEAF_CELL_HEAD > g->page_size))
        return false;
    key->size = kvi_fast_load32(page + off) & KVI_LEAF_SIZE_MASK;
    key->data = page + off + KVI_LEAF_CELL_HEAD;
    return KVI_LIKELY(off + KVI_LEAF_CELL_HEAD + key->size <= g->page_size);
}

/* A cell as it stands: offset and size in the page; false if it is not wholly in the cell area. */
static inline bool kvi_leaf_cell_parse(const struct kvi_geometry *g, const struct kvi_node_frame *f,
                                       const uint8_t *page, uint32_t slot,
                                       struct kvi_leaf_cell *cell)
{
    uint32_t off = kvi_node_off(f, page, slot);
    uint32_t word;

    if (KVI_UNLIKELY(off < f->cells_at || off + KVI_LEAF_CELL_HEAD > g->page_size))
        return false;
    word = kvi_fast_load32(page + off);
    cell->key_bytes = word & KVI_LEAF_SIZE_MASK;
    cell->payload_bytes = word >> KVI_LEAF_SIZE_BITS & KVI_LEAF_SIZE_MASK;
    cell->kind = (enum kvi_cell_kind)(word >> KVI_LEAF_KIND_SHIFT);
    cell->key = page + off + KVI_LEAF_CELL_HEAD;
    cell->payload = cell->key + cell->key_bytes;
    if (KVI_UNLIKELY(kvi_header_flags(page) & KVI_PAGE_ALIGN_MASK)) {
        cell->payload = kvi_leaf_aligned(g, page, off, cell->key_bytes, cell->payload_bytes);
        return cell->payload != NULL;
    }
    return KVI_LIKELY(off + KVI_LEAF_CELL_HEAD + cell->key_bytes + cell->payload_bytes <=
                      g->page_size);
}

static inline bool kvi_branch_cell_parse(const struct kvi_geometry *g,
                                         const struct kvi_node_frame *f, const uint8_t *page,
                                         uint32_t slot, struct kvi_branch_cell *cell)
{
    uint32_t off = kvi_node_off(f, page, slot);

    if (KVI_UNLIKELY(off < f->cells_at || off + KVI_BRANCH_CELL_HEAD > g->page_size))
        return false;
    cell->ref = kvi_ref_load(page + off);
    cell->suffix_bytes = kvi_le_load16(page + off + KVI_BRANCH_CELL_SUFFIX);
    off += KVI_BRANCH_CELL_HEAD;
    if (KVI_UNLIKELY(kvi_header_flags(page) & KVI_PAGE_COUNTED))
        off += kvi_branch_head(kvi_header_flags(page)) - KVI_BRANCH_CELL_HEAD;
    cell->suffix = page + off;
    return KVI_LIKELY(off + cell->suffix_bytes <= g->page_size);
}

static inline uint32_t kvi_leaf_cell_word(uint32_t key_bytes, uint32_t payload_bytes,
                                          enum kvi_cell_kind kind)
{
    return key_bytes | payload_bytes << KVI_LEAF_SIZE_BITS | (uint32_t)kind << KVI_LEAF_KIND_SHIFT;
}

/* The counts of a branch cell, behind what every cell has; zeros, and nothing, in a page that does
 * not count. */
static inline struct kvi_counts kvi_branch_counts_load(const uint8_t *at, unsigned flags)
{
    struct kvi_counts counts = {0, 0};

    if (!(flags & KVI_PAGE_COUNTED))
        return counts;
    counts.records = kvi_le_load48(at);
    if (flags & KVI_PAGE_COUNTED_KEYS)
        counts.keys = kvi_le_load48(at + KVI_BRANCH_COUNT_BYTES);
    return counts;
}

static inline void kvi_branch_counts_store(uint8_t *at, unsigned flags, struct kvi_counts counts)
{
    if (!(flags & KVI_PAGE_COUNTED))
        return;
    kvi_le_store48(at, counts.records);
    if (flags & KVI_PAGE_COUNTED_KEYS)
        kvi_le_store48(at + KVI_BRANCH_COUNT_BYTES, counts.keys);
}

/* ---- Layout ---- */

/* What a page of this type may take out of keys that share `common` bytes: the prefix that is
 * written, given the bytes that all would take without one (header and slots included) and how many
 * keys there are. A prefix that leaves no room is cut back to whole words, which cost a leaf what
 * they take and a branch nothing. */
static inline uint32_t kvi_prefix_choose(const struct kvi_geometry *g, enum kvi_page_type type,
                                         uint32_t common, uint32_t keys, uint64_t bytes_without)
{
    uint32_t words = common & ~3u;
    uint64_t room;

    if (keys < 2)
        return 0;
    if (type == KVI_PAGE_BRANCH) {
        uint64_t saved = (uint64_t)common * keys;
        uint32_t area = kvi_node_heads_at(common) - KVI_HEADER_BYTES;

        return bytes_without + area <= g->page_size + saved ? common : words;
    }
    if (bytes_without >= g->page_size)
        return 0;
    room = g->page_size - bytes_without;
    if (kvi_node_heads_at(common) - KVI_HEADER_BYTES <= room)
        return common;
    return room < words ? (uint32_t)room & ~3u : words;
}

/* The size of the whole page then. */
static inline uint64_t kvi_layout_bytes(enum kvi_page_type type, uint32_t prefix_bytes,
                                        uint32_t keys, uint64_t bytes_without)
{
    uint64_t saved = type == KVI_PAGE_BRANCH ? (uint64_t)prefix_bytes * keys : 0;

    return bytes_without + (kvi_node_heads_at(prefix_bytes) - KVI_HEADER_BYTES) - saved;
}

/* How items are weighed in pages of a type and flags: found once, for loops over many. */
enum kvi_scale_kind { KVI_SCALE_LEAF, KVI_SCALE_BRANCH, KVI_SCALE_ALIGNED };

struct kvi_scales {
    enum kvi_scale_kind kind;
    uint32_t branch_fixed; /* branch: slot and cell head */
    unsigned flags;        /* the page's */
};

static inline struct kvi_scales kvi_scales(enum kvi_page_type type, unsigned flags)
{
    struct kvi_scales scales = {KVI_SCALE_LEAF, KVI_NODE_SLOT_BYTES + kvi_branch_head(flags),
                                flags};

    if (type != KVI_PAGE_LEAF)
        scales.kind = KVI_SCALE_BRANCH;
    else if (flags & KVI_PAGE_ALIGN_MASK)
        scales.kind = KVI_SCALE_ALIGNED;
    return scales;
}

/* Bytes that an item takes with its slot, whole key included. */
static inline uint64_t kvi_weigh(const struct kvi_scales *scales, const struct kvi_item *item)
{
    if (KVI_LIKELY(scales->kind == KVI_SCALE_LEAF))
        return (uint64_t)KVI_NODE_SLOT_BYTES + KVI_LEAF_CELL_HEAD + item->key_bytes +
               item->payload_bytes;
    if (scales->kind == KVI_SCALE_BRANCH)
        return (uint64_t)scales->branch_fixed + item->key_bytes;
    return (uint64_t)KVI_NODE_SLOT_BYTES +
           kvi_cell_bytes(scales->flags, item->key_bytes, item->payload_bytes);
}

static inline uint64_t kvi_item_weight(enum kvi_page_type type, unsigned flags,
                                       const struct kvi_item *item)
{
    const struct kvi_scales scales = kvi_scales(type, flags);

    return kvi_weigh(&scales, item);
}

#endif
