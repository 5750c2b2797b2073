/* SPDX-License-Identifier: MIT */
/*
 * The search of a page, inline: what a point read does at every level, without a call.
 *
 * node_search.c makes its functions of these; get.c and get_many.c put them together themselves: a get
 * takes a sixth fewer instructions so (callgrind, 8-byte and 31-byte keys).
 *
 * A key of eight bytes is also looked for as a number (`word`): prefix and head are then shifts of
 * it. That is any integer key and any plain key of that size. Which of both it is must be known to
 * the compiler where these are called.
 *
 * Heads and prefix may lie in a damaged page: then the slot found is wrong, but it is a slot of the
 * page. Any thread.
 */
#ifndef KVI_FORMAT_NODE_FIND_H
#define KVI_FORMAT_NODE_FIND_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "format/node.h"
#include "format/node_page.h"

/* What is looked for, in normal form. */
struct kvi_sought {
    struct kvi_key key;
    uint64_t word; /* the same as a big-endian number, if it has eight bytes */
    bool is_word;  /* a constant */
};

/* Where a key stands that does not begin with the page's prefix: -1 before all keys, 1 behind all;
 * 0 if it does begin with it. */
int kvi_prefix_side(const uint8_t *page, uint32_t prefix_bytes, struct kvi_key key);

/* The usual case, up to 8 bytes of prefix and of key, is one comparison of two words. */
static KVI_ALWAYS_INLINE int kvi_find_side(const uint8_t *page, uint32_t prefix_bytes,
                                           struct kvi_sought sought)
{
    const uint8_t *prefix = page + KVI_HEADER_BYTES;
    uint64_t differ;

    if (sought.is_word) { /* no test for an empty prefix: the shift is by 63 and 1 then */
        differ = kvi_fast_load64_be(prefix) ^ sought.word;
        if (KVI_LIKELY(prefix_bytes < 8 && differ >> 1 >> (63 - 8 * prefix_bytes) == 0))
            return 0;
        return kvi_prefix_side(page, prefix_bytes, sought.key);
    }
    if (prefix_bytes == 0)
        return 0;
    if (KVI_UNLIKELY(prefix_bytes > 8 || sought.key.size < 8))
        return kvi_prefix_side(page, prefix_bytes, sought.key);
    differ = kvi_fast_load64_be(prefix) ^ kvi_fast_load64_be(sought.key.data);
    if (KVI_LIKELY(differ >> (64 - 8 * prefix_bytes) == 0))
        return 0;
    return kvi_prefix_side(page, prefix_bytes, sought.key);
}

/* The head of a key that has the page's prefix; of a word's that is up to 8 bytes. */
static KVI_ALWAYS_INLINE uint32_t kvi_find_head(uint32_t prefix_bytes, struct kvi_sought sought)
{
    if (sought.is_word)
        return prefix_bytes < 8 ? (uint32_t)(sought.word << 8 * prefix_bytes >> 32) : 0;
    return kvi_key_head(sought.key.data, sought.key.size, prefix_bytes);
}

/* `b` if `take_b`, else `a`, by a conditional move. */
static KVI_ALWAYS_INLINE const uint8_t *kvi_choose(bool take_b, const uint8_t *a, const uint8_t *b)
{
#ifdef __clang__ /* makes a branch of it inside a loop, unless it can't see where the mask comes   \
                    from */
    uintptr_t mask = take_b;

    __asm__("" : "+r"(mask));
    return a + ((uintptr_t)(b - a) & -mask);
#else
    return take_b ? b : a;
#endif
}

/* How many of the `count` heads are below `head`. Each step halves the range. */
static KVI_ALWAYS_INLINE uint32_t kvi_heads_below(const uint8_t *heads, uint32_t count,
                                                  uint32_t head)
{
    const uint8_t *base = heads;

    if (count == 0)
        return 0;
    while (count > 1) {
        uint32_t half = count / 2;
        const uint8_t *middle = base + (size_t)KVI_HEAD_BYTES * half;

        base = kvi_choose(kvi_fast_load32(middle - KVI_HEAD_BYTES) < head, base, middle);
        count -= half;
    }
    return (uint32_t)((size_t)(base - heads) / KVI_HEAD_BYTES) + (kvi_fast_load32(base) < head);
}

/* As kvi_node_frame_ok, for a page whose type is known. */
static KVI_ALWAYS_INLINE bool kvi_frame_ok(const struct kvi_geometry *g,
                                           const struct kvi_node_frame *f, bool leaf)
{
    if (KVI_UNLIKELY(f->prefix_bytes > KVI_PREFIX_BYTES_MAX))
        return false;
    if (KVI_UNLIKELY(f->slots_end > f->cells_at || f->cells_at > g->page_size))
        return false; /* more bytes of cells than a page has: cells_at is beyond it */
    return leaf || f->count > 0;
}

/* The slots from `first` on hold separators that tie with the key: how many slots are not above it;
 * -1: damage. */
int kvi_branch_tie(const struct kvi_geometry *g, const uint8_t *page, uint32_t first,
                   struct kvi_key key, uint32_t head);

/* As kvi_branch_find, in a page whose frame is given. */
static KVI_ALWAYS_INLINE int kvi_find_child(const struct kvi_geometry *g, const uint8_t *page,
                                            const struct kvi_node_frame *f,
                                            struct kvi_sought sought)
{
    int side = kvi_find_side(page, f->prefix_bytes, sought);
    int above;
    uint32_t head, slot;

    if (KVI_UNLIKELY(side < 0))
        return 0;
    if (KVI_UNLIKELY(side > 0))
        return (int)f->count - 1;
    head = kvi_find_head(f->prefix_bytes, sought);
    slot = 1 + kvi_heads_below(page + f->heads_at + KVI_HEAD_BYTES, f->count - 1, head);
    if (KVI_LIKELY(slot == f->count || kvi_node_head(f, page, slot) != head))
        return (int)slot - 1;
    above = kvi_branch_tie(g, page, slot, sought.key, head);
    return above < 0 ? -1 : above - 1;
}

/* As kvi_branch_child, for a slot below count. */
static KVI_ALWAYS_INLINE bool kvi_child_at(const struct kvi_geometry *g, const uint8_t *page,
                                           const struct kvi_node_frame *f, uint32_t slot,
                                           struct kvi_ref *ref_out)
{
    uint32_t off = kvi_node_off(f, page, slot);

    if (KVI_UNLIKELY(off < f->cells_at || off + KVI_BRANCH_CELL_HEAD > g->page_size))
        return false;
    *ref_out = kvi_ref_load(page + off);
    return true;
}

/* The first slot of a leaf whose head is the key's; count: none, so that the key is not there. */
static KVI_ALWAYS_INLINE uint32_t kvi_find_record(const uint8_t *page,
                                                  const struct kvi_node_frame *f,
                                                  struct kvi_sought sought)
{
    uint32_t head, slot;

    if (KVI_UNLIKELY(kvi_find_side(page, f->prefix_bytes, sought) != 0))
        return f->count;
    head = kvi_find_head(f->prefix_bytes, sought);
    slot = kvi_heads_below(page + f->heads_at, f->count, head);
    return slot < f->count && kvi_node_head(f, page, slot) == head ? slot : f->count;
}

#endif
