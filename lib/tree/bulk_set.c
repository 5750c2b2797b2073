/* SPDX-License-Identifier: MIT */
/*
 * Owns the values of the last key of a bulk build, until they are as many as a cell takes. See
 * bulk.h.
 *
 * The set here is never empty while the build is open: it has the last record. Sizes are counted
 * along, by the rule that values of one size are packed.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "tree/bulk.h"

int kvi_bulk_set_open(struct kvi_bulk *bulk)
{
    uint32_t cell_bytes_max = kvi_tree_geometry(bulk->tree)->cell_bytes_max;
    struct kvi_bulk_set *set = &bulk->set;

    /* of a damaged page one may be larger */
    set->key = malloc(kvi_tree_geometry(bulk->tree)->page_size);
    set->values = malloc(cell_bytes_max);
    set->ends = malloc((size_t)KVI_SET_END_BYTES * cell_bytes_max);
    if (!set->key || !set->values || !set->ends)
        return kvi_error(ENOMEM, "no memory for a bulk build");
    return 0;
}

void kvi_bulk_set_release(struct kvi_bulk *bulk)
{
    free(bulk->set.key);
    free(bulk->set.values);
    free(bulk->set.ends);
}

/* The set as set.h reads it. */
static struct kvi_set as_set(const struct kvi_bulk_set *set)
{
    return (struct kvi_set){.data = set->values,
                            .ends = set->item_bytes ? NULL : set->ends,
                            .count = set->count,
                            .item_bytes = set->item_bytes,
                            .values_bytes = set->values_bytes,
                            .continued = set->continued};
}

struct kvi_key kvi_bulk_set_last(const struct kvi_bulk *bulk)
{
    struct kvi_set set = as_set(&bulk->set);

    assert(set.count > 0);
    return kvi_set_value(&set, set.count - 1);
}

/* Payload bytes with one more value of that size. */
static uint32_t payload_bytes_with(const struct kvi_bulk_set *set, size_t value_bytes)
{
    bool packed = value_bytes > 0 && (set->count == 0 || set->item_bytes == value_bytes);
    uint32_t ends_bytes = packed ? 0 : KVI_SET_END_BYTES * (set->count + 1);

    return set->values_bytes + (uint32_t)value_bytes + ends_bytes + KVI_SET_TRAILER_BYTES;
}

/* Whether one more value is one too many for a cell. */
static bool is_full(const struct kvi_bulk *bulk, size_t value_bytes)
{
    const struct kvi_bulk_set *set = &bulk->set;
    uint32_t cell_bytes = kvi_leaf_cell_bytes(bulk->tree->leaf_flags, set->key_bytes,
                                              payload_bytes_with(set, value_bytes));

    return cell_bytes > kvi_tree_geometry(bulk->tree)->cell_bytes_max ||
           set->count == KVI_SET_COUNT_MAX;
}

static void take(struct kvi_bulk_set *set, struct kvi_key value)
{
    if (set->count == 0)
        set->item_bytes = (uint32_t)value.size;
    else if (set->item_bytes != value.size)
        set->item_bytes = 0;
    if (value.size)
        memcpy(set->values + set->values_bytes, value.data, value.size);
    set->values_bytes += (uint32_t)value.size;
    kvi_le_store16(set->ends + (size_t)KVI_SET_END_BYTES * set->count, (uint16_t)set->values_bytes);
    set->count++;
}

int kvi_bulk_set_flush(struct kvi_bulk *bulk)
{
    struct kvi_set set = as_set(&bulk->set);
    uint8_t *payload;
    int rc;

    if (set.count == 0)
        return 0;
    rc = kvi_bulk_add(bulk, kvi_bulk_set_key(bulk), kvi_set_value(&set, 0), KVI_CELL_SET,
                      kvi_set_bytes(&set, 0, set.count, NULL), &payload);
    if (rc)
        return rc;
    kvi_set_write(payload, &set, 0, set.count, NULL, 0, set.continued);
    bulk->set.count = 0;
    bulk->set.values_bytes = 0;
    return 0;
}

int kvi_bulk_set_put(struct kvi_bulk *bulk, struct kvi_key key, struct kvi_key value, bool same_key)
{
    const struct kvi_geometry *g = kvi_tree_geometry(bulk->tree);
    struct kvi_bulk_set *set = &bulk->set;
    int rc = 0;

    assert(same_key || set->count || bulk->tree->record.entries == 0);
    if (!same_key || is_full(bulk, value.size)) {
        rc = kvi_bulk_set_flush(bulk);
        if (rc)
            return rc;
        set->continued = same_key;
    }
    if (!same_key) {
        if (key.size)
            memcpy(set->key, key.data, key.size);
        set->key_bytes = (uint32_t)key.size;
    }
    if (set->count == 0 && is_full(bulk, value.size))
        return kvi_tree_damaged(bulk->tree, KVI_NO_PGNO, "a pair larger than possible");
    assert(set->values_bytes + value.size <= g->cell_bytes_max);
    (void)g;
    take(set, value);
    return 0;
}

int kvi_bulk_set_take(struct kvi_bulk *bulk, uint8_t *leaf)
{
    const struct kvi_geometry *g = kvi_tree_geometry(bulk->tree);
    unsigned slot = kvi_header_count(leaf) - 1;
    struct kvi_leaf_cell cell;
    struct kvi_set set;

    if (!kvi_leaf_cell_at(g, leaf, slot, &cell) || cell.kind != KVI_CELL_SET ||
        kvi_leaf_cell_bytes(bulk->tree->leaf_flags, cell.key_bytes, cell.payload_bytes) >
            g->cell_bytes_max ||
        !kvi_set_open(cell.payload, cell.payload_bytes, &set))
        return kvi_tree_damaged(bulk->tree, kvi_header_pgno(leaf), "leaf page with a bad set");
    if (cell.key_bytes)
        memcpy(bulk->set.key, cell.key, cell.key_bytes);
    bulk->set.key_bytes = cell.key_bytes;
    bulk->set.continued = set.continued;
    bulk->set.count = 0;
    bulk->set.values_bytes = 0;
    for (uint32_t i = 0; i < set.count; i++)
        take(&bulk->set, kvi_set_value(&set, i));
    if (!kvi_node_remove(g, leaf, slot))
        return kvi_tree_damaged(bulk->tree, kvi_header_pgno(leaf), "leaf page with a bad cell");
    return 0;
}
