/* SPDX-License-Identifier: MIT */
/*
 * Sets: the payload of a leaf cell (kind KVI_CELL_SET) of a table with duplicates: one or more
 * values of the cell's key, ascending.
 *
 *     fixed size    | v0 | v1 | ... | vn-1 |                          | n | size |
 *     other         | v0 | v1  | ...| vn-1 | end0 | end1 | ... | endn-1 | n | 0    |
 *                                            u16, from the payload's start   u16  u16
 *
 * What describes the values stands behind them, so that they begin where the payload does and are
 * aligned as it is. A set whose values have one size (not 0) is always packed, whatever the table
 * says. Bit 15 of n: *continued*: the cell before, perhaps in the leaf before, has the same key.
 *
 * A key with more values than one cell takes (half a page) has several cells one after the other,
 * in the same leaf or in those that follow: there is no tree of its own for them.
 *
 * Readers call this on bytes of the file: kvi_set_open checks all that the rest relies on but the
 * values' order. Edits build the new payload in the writer's memory. Pure; any thread.
 */
#ifndef KVI_FORMAT_SET_H
#define KVI_FORMAT_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "format/node.h"
#include "format/shape.h"

#define KVI_SET_TRAILER_BYTES 4u
#define KVI_SET_END_BYTES 2u
#define KVI_SET_COUNT_MAX 0x7FFFu

/* A set as it stands in a page. */
struct kvi_set {
    const uint8_t *data;
    const uint8_t *ends;   /* NULL: packed */
    uint32_t count;        /* at least 1 */
    uint32_t item_bytes;   /* packed: size of each */
    uint32_t values_bytes; /* of all values */
    bool continued;
};

/* false: damage (no value, sizes that do not add up, ends out of order). */
bool kvi_set_open(const uint8_t *payload, uint32_t payload_bytes, struct kvi_set *set_out);

/* Value i < count. */
static inline struct kvi_key kvi_set_value(const struct kvi_set *set, uint32_t i)
{
    uint32_t from, end;

    if (!set->ends)
        return (struct kvi_key){set->data + (size_t)i * set->item_bytes, set->item_bytes};
    from = i ? kvi_le_load16(set->ends + 2 * (i - 1)) : 0;
    end = kvi_le_load16(set->ends + 2 * i);
    return (struct kvi_key){set->data + from, end - from};
}

/* First i whose value is >= `value` (count: none), by the shape's value order; *exact. */
uint32_t kvi_set_find(const struct kvi_shape *shape, const struct kvi_set *set,
                      struct kvi_key value, bool *exact);

/* Of a packed set of values of that size (not 0); 0 when it is none. All that kvi_set_open checks. */
static inline uint32_t kvi_set_packed_count(const uint8_t *payload, uint32_t payload_bytes,
                                            uint32_t item_bytes)
{
    uint32_t count;

    if (payload_bytes < KVI_SET_TRAILER_BYTES ||
        kvi_le_load16(payload + payload_bytes - 2) != item_bytes)
        return 0;
    count = kvi_le_load16(payload + payload_bytes - KVI_SET_TRAILER_BYTES) & KVI_SET_COUNT_MAX;
    return count * item_bytes + KVI_SET_TRAILER_BYTES == payload_bytes ? count : 0;
}

/* The number of values that the payload of a set says, without looking further: 0 when it cannot be
 * one. For counts over a page. */
uint32_t kvi_set_count(const uint8_t *payload, uint32_t payload_bytes);
bool kvi_set_is_continued(const uint8_t *payload, uint32_t payload_bytes);
void kvi_set_mark_continued(uint8_t *payload, uint32_t payload_bytes, bool continued);

/* ---- Edits: sizes first, then the bytes into room that the caller has ---- */

/* Payload bytes of the set with values [from, end) of `set`, plus `value` (NULL: none) wherever it
 * comes in. At least one value in all. */
uint32_t kvi_set_bytes(const struct kvi_set *set, uint32_t from, uint32_t end,
                       const struct kvi_key *value);

/* Writes that set, the value at position `at` of the result (that is, counted from `from`). `to`
 * must not overlap the set or the value. */
void kvi_set_write(uint8_t *to, const struct kvi_set *set, uint32_t from, uint32_t end,
                   const struct kvi_key *value, uint32_t at, bool continued);

/* A set of one value: its payload's size, and its bytes. */
uint32_t kvi_set_single_bytes(size_t value_bytes);
void kvi_set_write_single(uint8_t *to, struct kvi_key value, bool continued);

/* Packed sets, in place, value of item_bytes: inserts before position `at` / removes it; the caller
 * has grown the payload by item_bytes before (shrinks it after) with kvi_leaf_resize, which keeps
 * what stood in the payload at its end: `payload_bytes` is the larger size. */
void kvi_set_insert_packed(uint8_t *payload, uint32_t payload_bytes, uint32_t at,
                           const uint8_t *value, uint32_t item_bytes);
void kvi_set_remove_packed(uint8_t *payload, uint32_t payload_bytes, uint32_t at,
                           uint32_t item_bytes);

/* The values of a and then of b (all above a's) as one set: size, and bytes. */
uint32_t kvi_set_joined_bytes(const struct kvi_set *a, const struct kvi_set *b);
void kvi_set_write_joined(uint8_t *to, const struct kvi_set *a, const struct kvi_set *b);

/* NULL, or what is wrong with the set in the order of the shape (custom and not registered: order
 * is not looked at) and its fixed size. `shape` NULL: only what can be told without. For check. */
const char *kvi_set_check(const struct kvi_shape *shape, const uint8_t *payload,
                          uint32_t payload_bytes);

#endif
