/* SPDX-License-Identifier: MIT */
/*
 * A table's shape: how its keys and values are ordered, whether a key has many values, and what its
 * pages look like for that. TREE.md ("Shapes") tells the whole; in short:
 *
 *   normal form   bytes whose memcmp order is the order of the keys: the key itself (bytes), the
 *                 key from its last byte to its first (reverse), big-endian (integers). Leaf cells
 *                 hold keys as the user gave them; prefixes, heads and separators are of the normal
 *                 form.
 *   composite     with duplicates a record's place is that of (key, value); as separator that is
 *                     normal(key) escaped, 00 01, normal(value)     a 00 of the key becomes 00 FF
 *                 (integer keys: not escaped and without the 00, as all have one size: key, 01,
 *                 value)
 *   custom        a user's order has no normal form: heads and prefixes are empty, separators are
 *                 whole keys (duplicates: u16 key size, key, value) and the comparator is asked.
 *
 * A plain shape (bytes, no duplicates) needs none of this: its keys are their own normal form, and
 * the functions of node.h are called with them as they are.
 *
 * Pure functions, no state but the comparators' contexts; any thread. Bytes come from the file: any
 * size is survived.
 */
#ifndef KVI_FORMAT_SHAPE_H
#define KVI_FORMAT_SHAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "format/layout.h"
#include "format/node.h"
#include "format/snap.h"
#include "kv.h"

/* A user's order, as registered. compare NULL: not known in this process. */
struct kvi_comparator {
    kv_compare_fn *compare;
    void *context;
};

struct kvi_shape {
    bool plain;          /* bytes order, no duplicates */
    bool duplicates;     /* every leaf cell is a set (set.h) */
    bool fixed;          /* values have one size: item_bytes, 0 until the first is put */
    bool counted;        /* branch cells count records; with duplicates keys too */
    bool custom;         /* key or value order is a user's: separators are not in normal form */
    uint8_t key_order;   /* enum kv_order */
    uint8_t value_order; /* enum kv_order */
    uint8_t align_log2;
    uint16_t page_flags[2]; /* KVI_HEADER_FLAGS of leaves, and of branches */
    uint32_t key_bytes;     /* integer keys: 4 or 8, 0 until the first is put */
    uint32_t item_bytes;    /* fixed */
    struct kvi_comparator key_custom;
    struct kvi_comparator value_custom;
};

/* The shape that a table record tells; comparators are left NULL. */
void kvi_shape_init(struct kvi_shape *shape, const struct kvi_table_record *record);

/* KVI_HEADER_FLAGS of its leaf (level 0) and branch pages. */
static inline uint16_t kvi_shape_page_flags(const struct kvi_shape *shape, unsigned level)
{
    return shape->page_flags[level > 0];
}

/* Whether searching is possible: custom orders need their comparators. */
bool kvi_shape_searchable(const struct kvi_shape *shape);

/* Order of two keys, or two values: <0, 0, >0. Custom: the comparator must be there. Integers of
 * different sizes (damage) are compared as their normal forms. */
int kvi_shape_compare_keys(const struct kvi_shape *shape, struct kvi_key a, struct kvi_key b);
int kvi_shape_compare_values(const struct kvi_shape *shape, struct kvi_key a, struct kvi_key b);

/* ---- Search arguments ---- */

#define KVI_PROBE_ROOM 256u

/* Where among the values of its key a probe stands. */
enum kvi_probe_where {
    KVI_PROBE_FIRST, /* before all values of the key */
    KVI_PROBE_VALUE, /* at the value */
    KVI_PROBE_LAST   /* behind all values of the key */
};

/* A key, or a pair, ready to be looked for: what descends through branches, and what is compared in
 * leaves. Key and value stay the caller's and must live as long. Small ones are put together in
 * `room`, so that a probe must not be copied; larger ones in memory of their own, so that it is to
 * be released. */
struct kvi_probe {
    struct kvi_key key;
    struct kvi_key value; /* WHERE_VALUE */
    enum kvi_probe_where where;
    struct kvi_key separator; /* the argument for kvi_branch_find; custom: not used */
    uint8_t *heap;            /* NULL: not needed */
    uint8_t room[KVI_PROBE_ROOM];
};

/* 0 or ENOMEM. Without duplicates `where` and `value` count for nothing. */
KVI_MUST_CHECK int kvi_probe_init(struct kvi_probe *probe, const struct kvi_shape *shape,
                                  struct kvi_key key, struct kvi_key value,
                                  enum kvi_probe_where where);
void kvi_probe_release(struct kvi_probe *probe);

/* Order of a probe against a separator, of any shape: <0 probe before. With FIRST and LAST of a
 * custom shape a pair of the same key is never equal, but behind or before. */
int kvi_probe_compare_separator(const struct kvi_shape *shape, const struct kvi_probe *probe,
                                struct kvi_key separator);

/* ---- Separators ---- */

/* Key, and with duplicates value, of a whole separator of a custom shape; false: damage. */
bool kvi_separator_split(const struct kvi_shape *shape, struct kvi_key separator,
                         struct kvi_key *key_out, struct kvi_key *value_out);

/* Room that kvi_separator_make needs for these sizes, at most. */
size_t kvi_separator_room(const struct kvi_shape *shape, size_t key_bytes, size_t value_bytes);

/* The shortest separator s with left < s <= right for neighbouring records, left_value being the
 * last value before and right_value the first behind (not looked at without duplicates). `room` has
 * kvi_separator_room bytes for the right record. Returns its size: more than key_bytes_max only for
 * keys and values that no writer makes (damage). */
size_t kvi_separator_make(const struct kvi_shape *shape, struct kvi_key left_key,
                          struct kvi_key left_value, struct kvi_key right_key,
                          struct kvi_key right_value, uint8_t *room);

/* Longest key, and longest value, of a shape with duplicates: the longest composite that they make
 * is a key that a branch takes. */
uint32_t kvi_pair_bytes_max(const struct kvi_geometry *g);

#endif
