/* SPDX-License-Identifier: MIT */
/*
 * Owns the order in which orphans of one table are handed out, and which of them counts where
 * several versions of a leaf are left.
 *
 *     leaf A, txn 9          a----------------f
 *     leaf B, txn 7                  c---------------------k
 *     handed out             all of A: B counts behind f only
 *
 * In the state that a leaf is of, no key between its first and its last stood anywhere else; so a
 * newer leaf answers for all keys in between, those that it does not have were deleted. The leaves
 * are merged by key; on top of a second heap stands the leaf that answers for where the merge is.
 * Leaves of which the space map says that they are current answer for themselves: they are all
 * part of one state. Values of one key may stand in several leaves of sets: those of a leaf's first
 * and last key are not answered for.
 *
 * Keys of a custom order cannot be compared: such leaves come whole, the newest last, so that it is
 * their records that stay when all are put. See salvage.h.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tree/salvage.h"

void kvi_sweep_shape(unsigned flags, struct kvi_shape *shape_out)
{
    struct kvi_table_record record = {
        .order = (uint8_t)((flags & KVI_PAGE_ORDER_MASK) >> KVI_PAGE_ORDER_SHIFT),
        .align_log2 = (uint8_t)((flags & KVI_PAGE_ALIGN_MASK) >> KVI_PAGE_ALIGN_SHIFT)};

    if (flags & KVI_PAGE_SETS)
        record.flags = KVI_TABLE_DUPLICATES | KVI_TABLE_COUNTED;
    kvi_shape_init(shape_out, &record);
}

int kvi_sweep_add(struct kvi_sweep *sweep, const struct kvi_salvage *s, uint64_t pgno)
{
    sweep->s = s;
    if (sweep->count == UINT32_MAX)
        return kvi_error(ENOMEM, "more leaves than can be sorted");
    if (sweep->count == sweep->room) {
        size_t room = sweep->room ? 2 * sweep->room : 64;
        struct kvi_sweep_leaf *leaves = realloc(sweep->leaves, room * sizeof(*leaves));

        if (!leaves)
            return kvi_error(ENOMEM, "no memory to sort leaves");
        sweep->leaves = leaves;
        sweep->room = room;
    }
    sweep->leaves[sweep->count++] =
        (struct kvi_sweep_leaf){pgno, 0, (unsigned)kvi_salvage_trust(s, pgno)};
    return 0;
}

/* ---- Comparing leaves ---- */

static unsigned cells(const struct kvi_sweep *sweep, const struct kvi_sweep_leaf *leaf)
{
    return kvi_header_count(kvi_salvage_at(sweep->s, leaf->pgno));
}

/* A cell of a leaf that kvi_node_check found sound. */
static void cell_of(const struct kvi_sweep *sweep, const struct kvi_sweep_leaf *leaf, unsigned slot,
                    struct kvi_leaf_cell *cell_out)
{
    memset(cell_out, 0, sizeof(*cell_out));
    (void)kvi_leaf_cell_at(&sweep->s->g, kvi_salvage_at(sweep->s, leaf->pgno), slot, cell_out);
}

static struct kvi_key key_of(const struct kvi_sweep *sweep, const struct kvi_sweep_leaf *leaf,
                             unsigned slot)
{
    struct kvi_leaf_cell cell;

    cell_of(sweep, leaf, slot, &cell);
    return (struct kvi_key){cell.key, cell.key_bytes};
}

/* >0: a is to be believed more than b. */
static int compare_trust(const struct kvi_sweep *sweep, const struct kvi_sweep_leaf *a,
                         const struct kvi_sweep_leaf *b)
{
    uint64_t x = kvi_header_txnid(kvi_salvage_at(sweep->s, a->pgno));
    uint64_t y = kvi_header_txnid(kvi_salvage_at(sweep->s, b->pgno));

    if (a->trust != b->trust)
        return a->trust < b->trust ? -1 : 1;
    if (x != y)
        return x < y ? -1 : 1;
    return a->pgno < b->pgno ? -1 : a->pgno > b->pgno;
}

/* By the key of the next cell, then its first value, then the more believable first. */
static int compare_key(const struct kvi_sweep *sweep, const struct kvi_sweep_leaf *a,
                       const struct kvi_sweep_leaf *b)
{
    struct kvi_key x = key_of(sweep, a, a->slot), y = key_of(sweep, b, b->slot);
    int order = kvi_shape_compare_keys(&sweep->shape, x, y);

    return order ? order : -compare_trust(sweep, a, b);
}

typedef int compare_fn(const struct kvi_sweep *sweep, const struct kvi_sweep_leaf *a,
                       const struct kvi_sweep_leaf *b);

/* ---- Heaps: the least on top ---- */

static int compare_top(const struct kvi_sweep *sweep, const struct kvi_sweep_leaf *a,
                       const struct kvi_sweep_leaf *b)
{
    return -compare_trust(sweep, a, b);
}

static void sink(const struct kvi_sweep *sweep, uint32_t *heap, size_t count, size_t at,
                 compare_fn *compare)
{
    for (;;) {
        size_t child = 2 * at + 1;
        uint32_t leaf = heap[at];

        if (child >= count)
            return;
        if (child + 1 < count &&
            compare(sweep, &sweep->leaves[heap[child + 1]], &sweep->leaves[heap[child]]) < 0)
            child++;
        if (compare(sweep, &sweep->leaves[leaf], &sweep->leaves[heap[child]]) <= 0)
            return;
        heap[at] = heap[child];
        heap[child] = leaf;
        at = child;
    }
}

static void push(const struct kvi_sweep *sweep, uint32_t *heap, size_t *count, uint32_t leaf,
                 compare_fn *compare)
{
    size_t at = (*count)++;

    heap[at] = leaf;
    while (at > 0 &&
           compare(sweep, &sweep->leaves[heap[at]], &sweep->leaves[heap[(at - 1) / 2]]) < 0) {
        uint32_t parent = heap[(at - 1) / 2];

        heap[(at - 1) / 2] = heap[at];
        heap[at] = parent;
        at = (at - 1) / 2;
    }
}

static void pop(const struct kvi_sweep *sweep, uint32_t *heap, size_t *count, compare_fn *compare)
{
    heap[0] = heap[--*count];
    if (*count)
        sink(sweep, heap, *count, 0, compare);
}

/* ---- The sweep ---- */

/* Sorts with the heap that is there anyway: takes no memory and has no bad case. */
static void sort_leaves(struct kvi_sweep *sweep, compare_fn *compare)
{
    size_t count = 0, at = 0;
    uint32_t *heap = sweep->by_key, *order = sweep->by_trust;

    for (size_t i = 0; i < sweep->count; i++)
        push(sweep, heap, &count, (uint32_t)i, compare);
    while (count) {
        order[at++] = heap[0];
        pop(sweep, heap, &count, compare);
    }
    /* order[i] is the leaf that belongs at i: follow the circles */
    for (size_t i = 0; i < sweep->count; i++) {
        struct kvi_sweep_leaf first = sweep->leaves[i];
        size_t hole = i;

        while (order[hole] != i) {
            size_t from = order[hole];

            sweep->leaves[hole] = sweep->leaves[from];
            order[hole] = (uint32_t)hole;
            hole = from;
        }
        sweep->leaves[hole] = first;
        order[hole] = (uint32_t)hole;
    }
}

int kvi_sweep_start(struct kvi_sweep *sweep, const struct kvi_shape *shape)
{
    sweep->shape = *shape;
    sweep->ordered = shape->key_order != KV_ORDER_CUSTOM;
    if (sweep->count == 0)
        return 0;
    sweep->by_key = malloc(sweep->count * sizeof(*sweep->by_key));
    sweep->by_trust = malloc(sweep->count * sizeof(*sweep->by_trust));
    if (!sweep->by_key || !sweep->by_trust)
        return kvi_error(ENOMEM, "no memory to sort leaves");
    sort_leaves(sweep, sweep->ordered ? compare_key : compare_trust);
    return 0;
}

void kvi_sweep_release(struct kvi_sweep *sweep)
{
    free(sweep->leaves);
    free(sweep->by_key);
    free(sweep->by_trust);
    memset(sweep, 0, sizeof(*sweep));
}

static void begin_leaf(struct kvi_sweep *sweep)
{
    uint32_t leaf = (uint32_t)sweep->next++;

    push(sweep, sweep->by_key, &sweep->keys, leaf, compare_key);
    push(sweep, sweep->by_trust, &sweep->trusts, leaf, compare_top);
}

/* The leaf whose cell comes next; NULL: no more. */
static struct kvi_sweep_leaf *top_leaf(struct kvi_sweep *sweep)
{
    if (!sweep->ordered)
        return sweep->next < sweep->count ? &sweep->leaves[sweep->next] : NULL;
    if (sweep->keys == 0 && sweep->next < sweep->count)
        begin_leaf(sweep);
    while (sweep->keys && sweep->next < sweep->count &&
           compare_key(sweep, &sweep->leaves[sweep->next], &sweep->leaves[sweep->by_key[0]]) <= 0)
        begin_leaf(sweep);
    return sweep->keys ? &sweep->leaves[sweep->by_key[0]] : NULL;
}

/* Whether the values of `key` may go on beside this leaf of sets. */
static bool at_edge(const struct kvi_sweep *sweep, const struct kvi_sweep_leaf *leaf,
                    struct kvi_key key)
{
    return sweep->shape.duplicates &&
           (kvi_shape_compare_keys(&sweep->shape, key, key_of(sweep, leaf, 0)) == 0 ||
            kvi_shape_compare_keys(&sweep->shape, key,
                                   key_of(sweep, leaf, cells(sweep, leaf) - 1)) == 0);
}

/* Whether another leaf answers for the next cell of this one. */
static bool is_covered(struct kvi_sweep *sweep, const struct kvi_sweep_leaf *leaf)
{
    struct kvi_key key = key_of(sweep, leaf, leaf->slot);
    const struct kvi_sweep_leaf *top;

    if (leaf->trust == KVI_SALVAGE_CURRENT)
        return false;
    for (;;) {
        top = &sweep->leaves[sweep->by_trust[0]];
        if (kvi_shape_compare_keys(&sweep->shape, key_of(sweep, top, cells(sweep, top) - 1), key) >=
            0)
            break;
        pop(sweep, sweep->by_trust, &sweep->trusts, compare_top);
    }
    return top != leaf && !(top->trust == leaf->trust && at_edge(sweep, top, key));
}

bool kvi_sweep_peek(struct kvi_sweep *sweep, struct kvi_leaf_cell *cell_out,
                    enum kvi_salvage_trust *trust_out, uint64_t *pgno_out)
{
    for (;;) {
        struct kvi_sweep_leaf *leaf = top_leaf(sweep);

        if (!leaf)
            return false;
        if (!sweep->ordered || !is_covered(sweep, leaf)) {
            cell_of(sweep, leaf, leaf->slot, cell_out);
            *trust_out = (enum kvi_salvage_trust)leaf->trust;
            *pgno_out = leaf->pgno;
            return true;
        }
        kvi_sweep_pass(sweep);
    }
}

void kvi_sweep_pass(struct kvi_sweep *sweep)
{
    struct kvi_sweep_leaf *leaf = top_leaf(sweep);

    if (!leaf)
        return;
    leaf->slot++;
    if (!sweep->ordered)
        sweep->next += leaf->slot >= cells(sweep, leaf);
    else if (leaf->slot < cells(sweep, leaf))
        sink(sweep, sweep->by_key, sweep->keys, 0, compare_key);
    else
        pop(sweep, sweep->by_key, &sweep->keys, compare_key);
}
