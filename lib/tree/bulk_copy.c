/* SPDX-License-Identifier: MIT */
/*
 * A tree laid out anew: every record of another one, in the order in which it is stored there, so
 * that no comparator is asked. Sets are taken apart and packed anew: a key's values, which the marks
 * "continued" hold together, fill as few cells as they can.
 *
 * The source may be damaged: each page and cell is checked as a read does, and no more leaves are
 * visited than the caller allows, whatever refers to them.
 */
#include "base/error.h"
#include "tree/bulk.h"
#include "tree/value.h"

static int copy_set(struct kvi_bulk *bulk, const struct kvi_tree *from,
                    const struct kvi_leaf_cell *cell, uint64_t *records)
{
    struct kvi_key key = {cell->key, cell->key_bytes};
    struct kvi_set set;
    int rc = kvi_value_set(from, cell, &set);

    if (rc)
        return rc;
    if (set.continued && bulk->set.count == 0)
        return kvi_tree_damaged(from, KVI_NO_PGNO, "a first set that goes on from another");
    for (uint32_t i = 0; !rc && i < set.count; i++)
        rc = kvi_bulk_put_pair(bulk, key, kvi_set_value(&set, i), i > 0 || set.continued);
    *records = set.count;
    return rc;
}

static int copy_value(struct kvi_bulk *bulk, const struct kvi_tree *from,
                      const struct kvi_leaf_cell *cell)
{
    struct kvi_tree_put put = {NULL, 0, NULL};
    struct kvi_tree_value value;
    int rc = kvi_value_load(from, cell, &value);

    if (rc)
        return rc;
    put.data = value.data;
    put.size_bytes = value.size_bytes;
    return kvi_bulk_put(bulk, (struct kvi_key){cell->key, cell->key_bytes}, &put, 0);
}

static int copy_table(struct kvi_bulk *bulk, const struct kvi_leaf_cell *cell,
                      const struct kvi_tree_put *put)
{
    return kvi_bulk_put(bulk, (struct kvi_key){cell->key, cell->key_bytes}, put, KVI_PUT_TABLE);
}

static int copy_cell(struct kvi_bulk *bulk, const struct kvi_tree *from,
                     const struct kvi_leaf_cell *cell, kvi_bulk_copy_fn *fn, void *context)
{
    bool table = cell->kind == KVI_CELL_TABLE;
    struct kvi_tree_put put = {cell->payload, cell->payload_bytes, NULL};
    uint64_t records = 1;
    int rc = 0;

    if (from->shape.duplicates)
        rc = copy_set(bulk, from, cell, &records);
    else if (!table)
        rc = copy_value(bulk, from, cell);
    if (!rc)
        rc = fn(context, records, table && !from->shape.duplicates ? &put : NULL);
    if (!rc && table && !from->shape.duplicates)
        rc = copy_table(bulk, cell, &put);
    return rc;
}

static int copy_leaf(struct kvi_bulk *bulk, const struct kvi_tree *from, const uint8_t *leaf,
                     kvi_bulk_copy_fn *fn, void *context)
{
    unsigned count = kvi_header_count(leaf);
    int rc = 0;

    for (unsigned slot = 0; !rc && slot < count; slot++) {
        struct kvi_leaf_cell cell;

        if (!kvi_leaf_cell_at(kvi_tree_geometry(from), leaf, slot, &cell))
            return kvi_tree_damaged(from, kvi_header_pgno(leaf), "leaf page with a bad cell");
        rc = copy_cell(bulk, from, &cell, fn, context);
    }
    return rc;
}

int kvi_bulk_copy(struct kvi_bulk *bulk, struct kvi_tree *from, uint64_t *leaves_left,
                  kvi_bulk_copy_fn *fn, void *context)
{
    struct kvi_path path;
    int rc = kvi_path_edge(from, KVI_PATH_FIRST, KVI_PATH_READ, &path);

    if (rc || path.depth == 0)
        return rc;
    do {
        if (*leaves_left == 0)
            return kvi_tree_damaged(from, from->record.root.pgno, "more leaves than pages");
        *leaves_left -= 1;
        rc = copy_leaf(bulk, from, kvi_path_leaf(&path)->page, fn, context);
        if (rc) /* also a KV_ENOTFOUND of the callback: only the path's is the end */
            return rc;
        rc = kvi_path_leaf_after(from, &path);
    } while (!rc);
    return rc == KV_ENOTFOUND ? 0 : rc;
}
