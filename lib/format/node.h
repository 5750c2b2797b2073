/* SPDX-License-Identifier: MIT */
/*
 * Branch and leaf pages (FORMAT section 4): search, cells, edits in place, gather and emit.
 *
 *     +--------+--------+---------------+-------------+------------+-----------------+
 *     | header | prefix | heads u32 x n | offs u16 x n| free       | cells           |
 *     +--------+--------+---------------+-------------+------------+-----------------+
 *
 * A search compares the key with the page's prefix, then is a branch-free binary search over the
 * heads, and looks at cells only on a tie. Readers call it on bytes of the file, so every offset
 * and length is checked before use, whatever the checksum said: a result of -1 or false means
 * damage, which the caller reports with the page's number. Edits are done on a writer's private
 * image, which this module itself has laid out; they too refuse rather than overrun when it came
 * damaged from the file.
 *
 * What is special about a table (order, sets, counts, alignment: format/shape.h) a page tells in its
 * header flags, and all functions follow them; plain pages have none.
 *
 * Edits in place serve the common case. Whatever needs more (split, merge, lend) gathers the cells
 * of the pages concerned into items, decides, and emits whole pages.
 *
 * Pure functions over page bytes; no state; any thread.
 */
#ifndef KVI_FORMAT_NODE_H
#define KVI_FORMAT_NODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "format/layout.h"

#define KVI_NODE_SLOT_BYTES KVI_SLOT_BYTES
#define KVI_PREFIX_BYTES_MAX 255u /* a longer shared prefix is not taken out */
#define KVI_LEAF_CELL_HEAD 4u
#define KVI_BRANCH_CELL_HEAD 12u  /* without counts */
#define KVI_BRANCH_COUNT_BYTES 6u /* of each count that the page's flags call for, behind it */
#define KVI_OVERFLOW_REF_BYTES 18u

enum kvi_cell_kind {
    KVI_CELL_VALUE = 0,
    KVI_CELL_OVERFLOW = 1,
    KVI_CELL_TABLE = 2,
    KVI_CELL_SET = 3 /* of values: tables with duplicates (set.h) */
};

struct kvi_shape;
struct kvi_probe;

/* A key as search argument. */
struct kvi_key {
    const uint8_t *data;
    size_t size;
};

struct kvi_leaf_cell {
    const uint8_t *key;
    uint32_t key_bytes;
    const uint8_t *payload;
    uint32_t payload_bytes;
    enum kvi_cell_kind kind;
};

/* The reference held by a cell of kind KVI_CELL_OVERFLOW. */
struct kvi_overflow_ref {
    struct kvi_ref ref;
    uint64_t size_bytes;
};

/* What stands below a branch cell, or in a leaf: only in pages that count. */
struct kvi_counts {
    uint64_t records; /* with duplicates: values */
    uint64_t keys;    /* with duplicates only: sets that are not continued; else 0 */
};

struct kvi_branch_cell {
    struct kvi_ref ref;
    const uint8_t *suffix; /* the separator without the page's prefix; slot 0: none */
    uint32_t suffix_bytes;
};

/* One cell taken out of its page, key whole. `key` of branch items of slot 0 is empty. Pointers
 * lead into the page it was gathered from or into the gather's scratch. */
struct kvi_item {
    const uint8_t *key;
    uint32_t key_bytes;
    uint32_t payload_bytes;   /* leaf */
    const uint8_t *payload;   /* leaf */
    struct kvi_ref ref;       /* branch */
    struct kvi_counts counts; /* branch */
    enum kvi_cell_kind kind;  /* leaf */
};

/* Bytewise order: memcmp, then length. <0, 0, >0. */
int kvi_key_compare(const uint8_t *a, size_t a_bytes, const uint8_t *b, size_t b_bytes);

/* ---- Reading ---- */

/* Whether header, prefix, heads and offsets lie inside the page before the cell area, and a branch
 * has a slot: the check to make before any other function below. Constant time. */
bool kvi_node_frame_ok(const struct kvi_geometry *g, const uint8_t *page);

/* Branch: the slot of the child under which `key` (normal form, or a composite) belongs; -1:
 * damage. */
int kvi_branch_find(const struct kvi_geometry *g, const uint8_t *page, struct kvi_key key);

/* Leaf: the first slot whose key is >= `key` (count: none), *exact tells equality; -1: damage. For
 * keys of bytes order. */
int kvi_leaf_find(const struct kvi_geometry *g, const uint8_t *page, struct kvi_key key,
                  bool *exact);

/* The record with just this key, from the first slot on whose head is the key's (kvi_find_record of
 * node_find.h; count: none). 1: *cell_out is it, 0: there is none, -1: damage. For keys of bytes
 * order. */
int kvi_leaf_hit(const struct kvi_geometry *g, const uint8_t *page, struct kvi_key key,
                 unsigned slot, struct kvi_leaf_cell *cell_out);

/* The same for any shape; -1 also where the page's flags are not the shape's. In a branch of a
 * custom one the comparators are asked. In a leaf the
 * result is the first slot whose key is >= the probe's, *exact tells whether it is the same; of
 * sets of that key it is the one where the probe's value belongs: the last whose first value is not
 * above it, else the first (FIRST: the first, LAST: the last). */
int kvi_branch_probe(const struct kvi_geometry *g, const struct kvi_shape *shape,
                     const uint8_t *page, const struct kvi_probe *probe);
int kvi_leaf_probe(const struct kvi_geometry *g, const struct kvi_shape *shape, const uint8_t *page,
                   const struct kvi_probe *probe, bool *exact);

/* The cell of a slot below count; false: damage. */
bool kvi_leaf_cell_at(const struct kvi_geometry *g, const uint8_t *page, unsigned slot,
                      struct kvi_leaf_cell *cell_out);
bool kvi_branch_cell_at(const struct kvi_geometry *g, const uint8_t *page, unsigned slot,
                        struct kvi_branch_cell *cell_out);

/* The child alone: for descents. */
bool kvi_branch_child(const struct kvi_geometry *g, const uint8_t *page, unsigned slot,
                      struct kvi_ref *ref_out);

/* Decodes a cell's overflow reference; false: damage (size of payload, pgno 0). */
bool kvi_overflow_ref_load(const struct kvi_leaf_cell *cell, struct kvi_overflow_ref *out);
void kvi_overflow_ref_store(uint8_t payload[KVI_OVERFLOW_REF_BYTES],
                            const struct kvi_overflow_ref *ref);

/* The counts of a branch cell that kvi_branch_cell_at gave; zeros in a page that does not count. */
struct kvi_counts kvi_branch_counts(const uint8_t *page, const struct kvi_branch_cell *cell);

/* What a leaf holds: sums over its cells (without sets: records only). false: damage. */
bool kvi_leaf_counts(const struct kvi_geometry *g, const uint8_t *page,
                     struct kvi_counts *counts_out);

/* Everything about one page: frame, heads against keys, prefix, strict order, cells inside the
 * area, not overlapping, no gap, kinds and sizes. NULL, or what is wrong. For check, recovery of
 * trust, tests. */
const char *kvi_node_check(const struct kvi_geometry *g, const uint8_t *page);

/* And what can only be told with the shape: flags as the shape's, order of keys, sets. */
const char *kvi_node_check_shape(const struct kvi_geometry *g, const struct kvi_shape *shape,
                                 const uint8_t *page);

/* ---- Sizes ---- */

/* Bytes of a leaf cell without its slot; and whether a value of that size stays inline. `flags` are
 * the page's: with an alignment the payload begins, and the cell ends, at a multiple of it. */
uint32_t kvi_leaf_cell_bytes(unsigned flags, size_t key_bytes, size_t payload_bytes);
bool kvi_leaf_inline(const struct kvi_geometry *g, unsigned flags, size_t key_bytes,
                     uint64_t value_bytes);

/* Bytes of a branch cell's head in a page of these flags, behind which the separator stands. */
uint32_t kvi_branch_head_bytes(unsigned flags);

/* Bytes that are free between offsets and cells. */
uint32_t kvi_node_free_bytes(const struct kvi_geometry *g, const uint8_t *page);

/* ---- Edits of a dirty page in place ---- */

/* Makes an empty leaf or branch page; header flags 0. */
void kvi_node_init(const struct kvi_geometry *g, uint8_t *page, enum kvi_page_type type,
                   unsigned level, uint64_t pgno, uint64_t txnid);

/* Sets an empty page's header flags (kvi_shape_page_flags). All functions below, and emit, follow
 * and keep them. */
void kvi_node_set_flags(uint8_t *page, unsigned flags);

/* Inserts at `slot` a cell with this key and room for payload_bytes; returns where the payload
 * goes, or NULL, nothing changed, if it does not fit as the page stands (also when the shared
 * prefix would shrink and the heads be rewritten: that is done here). key must not point into
 * `page`. */
uint8_t *kvi_leaf_insert(const struct kvi_geometry *g, uint8_t *page, unsigned slot,
                         struct kvi_key key, enum kvi_cell_kind kind, uint32_t payload_bytes);

/* Why kvi_leaf_append did not. */
enum kvi_append_result {
    KVI_APPEND_DONE,
    KVI_APPEND_ORDER,   /* the key is not above the last one */
    KVI_APPEND_NO_ROOM, /* as kvi_leaf_insert */
    KVI_APPEND_DAMAGE
};

/* The same behind the last cell of a leaf that has one, if the key belongs there (in a leaf of a
 * custom order that is not told: NO_ROOM). NULL: nothing changed, *result_out tells why. */
uint8_t *kvi_leaf_append(const struct kvi_geometry *g, uint8_t *page, struct kvi_key key,
                         enum kvi_cell_kind kind, uint64_t payload_bytes,
                         enum kvi_append_result *result_out);

/* Gives the cell another kind and payload size, key kept; returns where the payload goes, or NULL,
 * nothing changed, if it does not fit. Of the old content the end is kept at the end: as many bytes
 * as both sizes have. */
uint8_t *kvi_leaf_resize(const struct kvi_geometry *g, uint8_t *page, unsigned slot,
                         enum kvi_cell_kind kind, uint32_t payload_bytes);

/* Inserts at slot >= 1 (or 0 into an empty page, separator ignored); false if it does not fit. */
bool kvi_branch_insert(const struct kvi_geometry *g, uint8_t *page, unsigned slot,
                       struct kvi_key separator, struct kvi_ref ref, struct kvi_counts counts);

/* Sets the counts of a slot's cell, in a page that counts. */
void kvi_branch_set_counts(uint8_t *page, const struct kvi_branch_cell *cell,
                           struct kvi_counts counts);

/* Sets the child reference of a slot; the page must have passed kvi_branch_cell_at for it. */
void kvi_branch_set_ref(uint8_t *page, const struct kvi_branch_cell *cell, struct kvi_ref ref);

/* Removes a slot and its cell, closing the gap. Branch: removing slot 0 makes the next slot the one
 * without separator. false: damage. */
bool kvi_node_remove(const struct kvi_geometry *g, uint8_t *page, unsigned slot);

/* ---- Gather and emit ---- */

/* Appends the page's cells to items[*count ..] (capacity checked by the caller through
 * kvi_header_count). Separators are assembled in `scratch`, which must have room for
 * kvi_gather_scratch_bytes(page); leaf pages need none. A branch's slot 0 gets `first_separator`,
 * the key under which its parent knows it (size 0 for the leftmost). Returns the scratch bytes
 * used, or -1: damage. */
size_t kvi_gather_scratch_bytes(const struct kvi_geometry *g, const uint8_t *page);
ptrdiff_t kvi_node_gather(const struct kvi_geometry *g, const uint8_t *page,
                          struct kvi_key first_separator, struct kvi_item *items, unsigned *count,
                          uint8_t *scratch);

/* Bytes that items[from .. end) take as one page of this type and these header flags, header and
 * best prefix included. */
uint32_t kvi_items_bytes(const struct kvi_geometry *g, enum kvi_page_type type, unsigned flags,
                         const struct kvi_item *items, unsigned from, unsigned end);

/* Lays items[from .. end) out as the whole content of `page` (identity in the header kept; type and
 * level as they stand there). The items must not point into `page`. false, page content undefined,
 * if they do not fit. A branch drops the separator of its first item. */
bool kvi_node_emit(const struct kvi_geometry *g, uint8_t *page, const struct kvi_item *items,
                   unsigned from, unsigned end);

/* The shortest separator s with left < s <= right, as a prefix of `right`: its length. left <
 * right. For bytes order; any other through kvi_separator_make. */
size_t kvi_separator_bytes(struct kvi_key left, struct kvi_key right);

#endif
