/* SPDX-License-Identifier: MIT */
/*
 * Owns the way from a key to a slot, and from a slot to a cell, in branch and leaf pages: what
 * every read does at every level of a tree.
 *
 * The key is compared with the page's prefix, eight bytes at a time. Then the heads are searched
 * without a branch that depends on them: the processor would guess half of those wrong, at the
 * price of ten steps each. Cells are looked at on a tie only, by binary search among those that
 * tie.
 *
 * Heads, prefix and order may lie in a damaged page: then the slot found is wrong, but it is a slot
 * of the page. Offsets and sizes of cells are checked at each use. Any thread.
 */
#include "format/node.h"

#include "format/node_find.h"
#include "format/node_page.h"
#include "format/set.h"
#include "format/shape.h"

#define CELL_PREFETCH_BYTES 448u /* of a set, behind the line that its cell begins in */

int kvi_key_compare(const uint8_t *a, size_t a_bytes, const uint8_t *b, size_t b_bytes)
{
    return kvi_tail_compare(a, a_bytes, b, b_bytes, 0);
}

bool kvi_node_frame_ok(const struct kvi_geometry *g, const uint8_t *page)
{
    struct kvi_node_frame f = kvi_node_frame(g, page);
    uint32_t cells_bytes = kvi_le_load16(page + KVI_HEADER_CELLS);

    if (cells_bytes > g->page_size - KVI_HEADER_BYTES || f.prefix_bytes > KVI_PREFIX_BYTES_MAX)
        return false;
    if (f.slots_end > f.cells_at)
        return false;
    return kvi_node_is_leaf(page) || f.count > 0;
}

int kvi_prefix_side(const uint8_t *page, uint32_t prefix_bytes, struct kvi_key key)
{
    size_t common = key.size < prefix_bytes ? key.size : prefix_bytes;
    int order = common ? memcmp(key.data, page + KVI_HEADER_BYTES, common) : 0;

    if (order)
        return order < 0 ? -1 : 1;
    return key.size < prefix_bytes ? -1 : 0;
}

/* kvi_find_side where keys are reversed. */
static int prefix_side_reversed(const uint8_t *page, uint32_t prefix_bytes, struct kvi_key key)
{
    const uint8_t *prefix = page + KVI_HEADER_BYTES;
    size_t common = key.size < prefix_bytes ? key.size : prefix_bytes;

    if (KVI_LIKELY(prefix_bytes <= 8 && key.size >= 8)) {
        uint64_t differ = kvi_fast_load64_be(prefix) ^ kvi_fast_load64(key.data + key.size - 8);

        if (prefix_bytes == 0 || KVI_LIKELY(differ >> (64 - 8 * prefix_bytes) == 0))
            return 0;
    }
    for (size_t i = 0; i < common; i++) {
        uint8_t byte = key.data[key.size - 1 - i];

        if (byte != prefix[i])
            return byte < prefix[i] ? -1 : 1;
    }
    return key.size < prefix_bytes ? -1 : 0;
}

/* A key that is looked for by its bytes. */
static KVI_ALWAYS_INLINE struct kvi_sought by_bytes(struct kvi_key key)
{
    return (struct kvi_sought){key, 0, false};
}

/* Asks for the lines that the heads and offsets of a usual leaf fill, while the header is still on
 * its way: else the steps of the search wait for them one after the other. */
static KVI_ALWAYS_INLINE void prefetch_slots(const uint8_t *page)
{
    __builtin_prefetch(page + 64);
    __builtin_prefetch(page + 128);
    __builtin_prefetch(page + 192);
}

/* One past the last slot from `slot` on, below `end`, whose head is `head`. */
static uint32_t tie_end(const struct kvi_node_frame *f, const uint8_t *page, uint32_t slot,
                        uint32_t end, uint32_t head)
{
    if (slot + 1 == end || kvi_node_head(f, page, slot + 1) != head)
        return slot + 1;
    if (head == UINT32_MAX)
        return end;
    slot++;
    return slot + kvi_heads_below(page + f->heads_at + (size_t)KVI_HEAD_BYTES * slot, end - slot,
                                  head + 1);
}

/* ---- Branch ---- */

int kvi_branch_tie(const struct kvi_geometry *g, const uint8_t *page, uint32_t first,
                   struct kvi_key key, uint32_t head)
{
    struct kvi_node_frame f = kvi_node_frame(g, page);
    const uint8_t *tail = f.prefix_bytes ? key.data + f.prefix_bytes : key.data; /* may be NULL */
    size_t tail_bytes = key.size - f.prefix_bytes;
    uint32_t low = first;
    uint32_t high = tie_end(&f, page, first, f.count, head);
    struct kvi_branch_cell cell;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (!kvi_branch_cell_parse(g, &f, page, middle, &cell))
            return -1;
        if (kvi_tail_compare(cell.suffix, cell.suffix_bytes, tail, tail_bytes, KVI_HEAD_BYTES) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return (int)low;
}

int kvi_branch_find(const struct kvi_geometry *g, const uint8_t *page, struct kvi_key key)
{
    struct kvi_node_frame f = kvi_node_frame(g, page);

    return kvi_find_child(g, page, &f, by_bytes(key));
}

/* The separator of a custom page's slot, whole: such a page has no prefix. */
static bool custom_separator(const struct kvi_geometry *g, const struct kvi_node_frame *f,
                             const uint8_t *page, uint32_t slot, struct kvi_key *separator)
{
    struct kvi_branch_cell cell;

    if (!kvi_branch_cell_parse(g, f, page, slot, &cell))
        return false;
    *separator = (struct kvi_key){cell.suffix, cell.suffix_bytes};
    return true;
}

/* How many separators are not above the probe, each asked of the comparators. */
static int branch_probe_custom(const struct kvi_geometry *g, const struct kvi_shape *shape,
                               const uint8_t *page, const struct kvi_probe *probe)
{
    struct kvi_node_frame f = kvi_node_frame(g, page);
    uint32_t low = 1, high = f.count;

    if (f.prefix_bytes)
        return -1;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        struct kvi_key separator, key, value;

        if (!custom_separator(g, &f, page, middle, &separator) ||
            !kvi_separator_split(shape, separator, &key, &value))
            return -1;
        if (kvi_probe_compare_separator(shape, probe, separator) >= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return (int)low - 1;
}

int kvi_branch_probe(const struct kvi_geometry *g, const struct kvi_shape *shape,
                     const uint8_t *page, const struct kvi_probe *probe)
{
    if (KVI_UNLIKELY(kvi_header_flags(page) != kvi_shape_page_flags(shape, 1)))
        return -1;
    if (KVI_UNLIKELY(shape->custom))
        return branch_probe_custom(g, shape, page, probe);
    return kvi_branch_find(g, page, probe->separator);
}

/* ---- Leaf ---- */

/* Order of a leaf's key and the one looked for, which agree in their first `skip` bytes. */
static KVI_ALWAYS_INLINE int compare_keys(bool reversed, struct kvi_key a, struct kvi_key b,
                                          uint32_t skip)
{
    return reversed ? kvi_tail_compare_reversed(a.data, a.size, b.data, b.size, skip)
                    : kvi_tail_compare(a.data, a.size, b.data, b.size, skip);
}

/* The slots from `first` on tie with the key; the one at `first` is below it. Where keys repeat
 * (sets) the search goes on to the first of those that are equal. */
static KVI_ALWAYS_INLINE int leaf_tie(const struct kvi_geometry *g, const uint8_t *page,
                                      uint32_t first, struct kvi_key key, uint32_t head,
                                      bool reversed, bool repeat, bool *exact)
{
    struct kvi_node_frame f = kvi_node_frame(g, page);
    uint32_t low = first + 1;
    uint32_t high = tie_end(&f, page, first, f.count, head);
    struct kvi_key there;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order;

        if (!kvi_leaf_key_parse(g, &f, page, middle, &there))
            return -1;
        order = compare_keys(reversed, there, key, f.prefix_bytes + KVI_HEAD_BYTES);
        if (order == 0)
            *exact = true;
        if (order == 0 && !repeat)
            return (int)middle;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return (int)low;
}

static KVI_NOINLINE int leaf_tie_plain(const struct kvi_geometry *g, const uint8_t *page,
                                       uint32_t first, struct kvi_key key, uint32_t head,
                                       bool *exact)
{
    return leaf_tie(g, page, first, key, head, false, false, exact);
}

static KVI_NOINLINE int leaf_tie_other(const struct kvi_geometry *g, const uint8_t *page,
                                       uint32_t first, struct kvi_key key, uint32_t head,
                                       bool reversed, bool *exact)
{
    return leaf_tie(g, page, first, key, head, reversed, true, exact);
}

/* Asks for the lines of a cell whose key is about to be compared, beside the first: a set's values
 * are then searched without waiting for each. */
static KVI_ALWAYS_INLINE void prefetch_cell(const struct kvi_geometry *g, const uint8_t *page,
                                            uint32_t off)
{
    for (uint32_t at = off + 64; at < off + 64 + CELL_PREFETCH_BYTES && at < g->page_size; at += 64)
        __builtin_prefetch(page + at);
}

/* `plain`: as kvi_leaf_find. Else keys may repeat, and be reversed. */
static KVI_ALWAYS_INLINE int leaf_search(const struct kvi_geometry *g, const uint8_t *page,
                                         struct kvi_key key, bool plain, bool reversed, bool *exact)
{
    struct kvi_node_frame f = kvi_node_frame(g, page);
    int side = reversed ? prefix_side_reversed(page, f.prefix_bytes, key)
                        : kvi_find_side(page, f.prefix_bytes, by_bytes(key));
    struct kvi_key there;
    uint32_t head, slot;
    int order;

    prefetch_slots(page);
    *exact = false;
    if (KVI_UNLIKELY(side))
        return side < 0 ? 0 : (int)f.count;
    head = reversed ? kvi_key_head_reversed(key.data, key.size, f.prefix_bytes)
                    : kvi_key_head(key.data, key.size, f.prefix_bytes);
    slot = kvi_heads_below(page + f.heads_at, f.count, head);
    if (slot == f.count || kvi_node_head(&f, page, slot) != head)
        return (int)slot;
    if (!plain && kvi_header_flags(page) & KVI_PAGE_SETS)
        prefetch_cell(g, page, kvi_node_off(&f, page, slot));
    if (KVI_UNLIKELY(!kvi_leaf_key_parse(g, &f, page, slot, &there)))
        return -1;
    order = compare_keys(reversed, there, key, f.prefix_bytes + KVI_HEAD_BYTES);
    *exact = order == 0;
    if (KVI_LIKELY(order >= 0))
        return (int)slot;
    return plain ? leaf_tie_plain(g, page, slot, key, head, exact)
                 : leaf_tie_other(g, page, slot, key, head, reversed, exact);
}

int kvi_leaf_find(const struct kvi_geometry *g, const uint8_t *page, struct kvi_key key,
                  bool *exact)
{
    return leaf_search(g, page, key, true, false, exact);
}

static int leaf_search_custom(const struct kvi_geometry *g, const struct kvi_shape *shape,
                              const uint8_t *page, struct kvi_key key, bool *exact)
{
    struct kvi_node_frame f = kvi_node_frame(g, page);
    uint32_t low = 0, high = f.count;
    struct kvi_key there;

    *exact = false;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order;

        if (!kvi_leaf_key_parse(g, &f, page, middle, &there))
            return -1;
        order = kvi_shape_compare_keys(shape, key, there); /* a user's: what is sought first */
        *exact = *exact || order == 0;
        if (order > 0)
            low = middle + 1;
        else
            high = middle;
    }
    return (int)low;
}

/* The first value of the set in a slot; false: damage. */
static bool first_value(const struct kvi_geometry *g, const struct kvi_node_frame *f,
                        const uint8_t *page, uint32_t slot, struct kvi_key *value)
{
    struct kvi_leaf_cell cell;
    struct kvi_set set;

    if (!kvi_leaf_cell_parse(g, f, page, slot, &cell) || cell.kind != KVI_CELL_SET ||
        !kvi_set_open(cell.payload, cell.payload_bytes, &set))
        return false;
    *value = kvi_set_value(&set, 0);
    return true;
}

/* Whether the next slot's key may be the same. */
static inline bool head_repeats(const struct kvi_geometry *g, const uint8_t *page, uint32_t slot)
{
    struct kvi_node_frame f = kvi_node_frame(g, page);

    return slot + 1 < f.count && kvi_node_head(&f, page, slot + 1) == kvi_node_head(&f, page, slot);
}

/* The slot, of those from `slot` on that have the probe's key, where its value belongs. Mostly there
 * is but one. */
static int choose_set(const struct kvi_geometry *g, const struct kvi_shape *shape,
                      const uint8_t *page, const struct kvi_probe *probe, uint32_t slot)
{
    struct kvi_node_frame f = kvi_node_frame(g, page);
    struct kvi_key there;

    while (probe->where != KVI_PROBE_FIRST && head_repeats(g, page, slot)) {
        if (!kvi_leaf_key_parse(g, &f, page, slot + 1, &there))
            return -1;
        if (kvi_shape_compare_keys(shape, probe->key, there) != 0)
            break;
        if (probe->where == KVI_PROBE_VALUE) {
            if (!first_value(g, &f, page, slot + 1, &there))
                return -1;
            if (kvi_shape_compare_values(shape, probe->value, there) < 0)
                break;
        }
        slot++;
    }
    return (int)slot;
}

int kvi_leaf_probe(const struct kvi_geometry *g, const struct kvi_shape *shape, const uint8_t *page,
                   const struct kvi_probe *probe, bool *exact)
{
    int slot;

    *exact = false;
    if (KVI_UNLIKELY(kvi_header_flags(page) != kvi_shape_page_flags(shape, 0)))
        return -1;
    if (shape->key_order == KV_ORDER_BYTES)
        slot = leaf_search(g, page, probe->key, false, false, exact);
    else if (shape->key_order != KV_ORDER_CUSTOM)
        slot = leaf_search(g, page, probe->key, false, true, exact);
    else
        slot = leaf_search_custom(g, shape, page, probe->key, exact);
    if (slot < 0 || !*exact || !shape->duplicates || !head_repeats(g, page, (uint32_t)slot))
        return slot;
    return choose_set(g, shape, page, probe, (uint32_t)slot);
}

int kvi_leaf_hit(const struct kvi_geometry *g, const uint8_t *page, struct kvi_key key,
                 unsigned slot, struct kvi_leaf_cell *cell_out)
{
    struct kvi_node_frame f = kvi_node_frame(g, page);
    uint32_t skip = f.prefix_bytes + KVI_HEAD_BYTES;
    bool exact = false;
    int order, found;

    if (slot >= f.count)
        return 0;
    if (KVI_UNLIKELY(!kvi_leaf_cell_parse(g, &f, page, slot, cell_out)))
        return -1;
    order = kvi_tail_compare(cell_out->key, cell_out->key_bytes, key.data, key.size, skip);
    if (KVI_LIKELY(order >= 0))
        return order == 0;
    found = leaf_tie_plain(g, page, slot, key, kvi_node_head(&f, page, slot), &exact);
    if (found < 0 || !exact)
        return found < 0 ? -1 : 0;
    return kvi_leaf_cell_parse(g, &f, page, (uint32_t)found, cell_out) ? 1 : -1;
}

/* ---- Cells ---- */

const uint8_t *kvi_leaf_aligned(const struct kvi_geometry *g, const uint8_t *page, uint32_t off,
                                uint32_t key_bytes, uint32_t payload_bytes)
{
    size_t align = kvi_page_align(kvi_header_flags(page));
    size_t payload = kvi_align_up((size_t)off + KVI_LEAF_CELL_HEAD + key_bytes, align);

    if (off & (align - 1) || kvi_align_up(payload + payload_bytes, align) > g->page_size)
        return NULL;
    return page + payload;
}

bool kvi_leaf_cell_at(const struct kvi_geometry *g, const uint8_t *page, unsigned slot,
                      struct kvi_leaf_cell *cell_out)
{
    struct kvi_node_frame f = kvi_node_frame(g, page);

    return kvi_leaf_cell_parse(g, &f, page, slot, cell_out);
}

bool kvi_branch_cell_at(const struct kvi_geometry *g, const uint8_t *page, unsigned slot,
                        struct kvi_branch_cell *cell_out)
{
    struct kvi_node_frame f = kvi_node_frame(g, page);

    return kvi_branch_cell_parse(g, &f, page, slot, cell_out);
}

bool kvi_branch_child(const struct kvi_geometry *g, const uint8_t *page, unsigned slot,
                      struct kvi_ref *ref_out)
{
    struct kvi_node_frame f = kvi_node_frame(g, page);

    return kvi_child_at(g, page, &f, slot, ref_out);
}

struct kvi_counts kvi_branch_counts(const uint8_t *page, const struct kvi_branch_cell *cell)
{
    unsigned flags = kvi_header_flags(page);
    const uint8_t *stored = cell->suffix - kvi_branch_head(flags);

    return kvi_branch_counts_load(stored + KVI_BRANCH_CELL_HEAD, flags);
}

bool kvi_leaf_counts(const struct kvi_geometry *g, const uint8_t *page,
                     struct kvi_counts *counts_out)
{
    struct kvi_node_frame f = kvi_node_frame(g, page);
    struct kvi_leaf_cell cell;

    *counts_out = (struct kvi_counts){0, 0};
    if (!(f.flags & KVI_PAGE_SETS)) {
        counts_out->records = f.count;
        return true;
    }
    for (uint32_t i = 0; i < f.count; i++) {
        uint32_t values;

        if (!kvi_leaf_cell_parse(g, &f, page, i, &cell) || cell.kind != KVI_CELL_SET)
            return false;
        values = kvi_set_count(cell.payload, cell.payload_bytes);
        if (values == 0)
            return false;
        counts_out->records += values;
        counts_out->keys += !kvi_set_is_continued(cell.payload, cell.payload_bytes);
    }
    return true;
}

bool kvi_overflow_ref_load(const struct kvi_leaf_cell *cell, struct kvi_overflow_ref *out)
{
    memset(out, 0, sizeof(*out));
    if (cell->kind != KVI_CELL_OVERFLOW || cell->payload_bytes != KVI_OVERFLOW_REF_BYTES)
        return false;
    out->ref = kvi_ref_load(cell->payload);
    out->size_bytes = kvi_le_load64(cell->payload + KVI_REF_BYTES);
    return out->ref.pgno != 0 && out->size_bytes != 0 && out->size_bytes <= KVI_VALUE_BYTES_MAX;
}

void kvi_overflow_ref_store(uint8_t payload[KVI_OVERFLOW_REF_BYTES],
                            const struct kvi_overflow_ref *ref)
{
    kvi_ref_store(payload, ref->ref);
    kvi_le_store64(payload + KVI_REF_BYTES, ref->size_bytes);
}
