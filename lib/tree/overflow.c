/* SPDX-License-Identifier: MIT */
/*
 * Values of leaf cells and their overflow runs. See value.h.
 */
#include <assert.h>
#include <string.h>

#include "base/error.h"
#include "kv.h"
#include "tree/path.h"
#include "tree/value.h"

static int load_run(const struct kvi_tree *tree, const struct kvi_leaf_cell *cell,
                    struct kvi_tree_value *value_out)
{
    struct kvi_overflow_ref run;
    int rc = kvi_value_run(tree, cell, &run);

    if (rc)
        return rc;
    value_out->kind = KVI_CELL_VALUE;
    value_out->size_bytes = run.size_bytes;
    if (tree->pager)
        return kvi_pager_run(tree->pager, run.ref, run.size_bytes, &value_out->data);
    return kvi_view_run(tree->view, run.ref, run.size_bytes, &value_out->data);
}

int kvi_value_load(const struct kvi_tree *tree, const struct kvi_leaf_cell *cell,
                   struct kvi_tree_value *value_out)
{
    if (KVI_UNLIKELY(cell->kind == KVI_CELL_OVERFLOW))
        return load_run(tree, cell, value_out);
    if (KVI_UNLIKELY(cell->kind == KVI_CELL_SET))
        return kvi_value_item(tree, cell, 0, value_out);
    value_out->data = cell->payload;
    value_out->size_bytes = cell->payload_bytes;
    value_out->kind = cell->kind;
    return 0;
}

int kvi_value_set(const struct kvi_tree *tree, const struct kvi_leaf_cell *cell,
                  struct kvi_set *set_out)
{
    if (KVI_UNLIKELY(cell->kind != KVI_CELL_SET || !tree->shape.duplicates ||
                     !kvi_set_open(cell->payload, cell->payload_bytes, set_out)))
        return kvi_tree_damaged(tree, KVI_NO_PGNO, "leaf cell with a bad set of values");
    return 0;
}

int kvi_value_item(const struct kvi_tree *tree, const struct kvi_leaf_cell *cell, unsigned item,
                   struct kvi_tree_value *value_out)
{
    struct kvi_key value;
    struct kvi_set set;
    int rc = kvi_value_set(tree, cell, &set);

    if (KVI_UNLIKELY(rc))
        return rc;
    if (KVI_UNLIKELY(item >= set.count))
        return kvi_tree_damaged(tree, KVI_NO_PGNO, "leaf cell with too few values");
    value = kvi_set_value(&set, item);
    value_out->data = value.data;
    value_out->size_bytes = value.size;
    value_out->kind = KVI_CELL_VALUE;
    return 0;
}

int kvi_value_run(const struct kvi_tree *tree, const struct kvi_leaf_cell *cell,
                  struct kvi_overflow_ref *run_out)
{
    memset(run_out, 0, sizeof(*run_out));
    if (cell->kind != KVI_CELL_OVERFLOW)
        return 0;
    if (!kvi_overflow_ref_load(cell, run_out) || run_out->size_bytes > KVI_VALUE_BYTES_MAX)
        return kvi_tree_damaged(tree, KVI_NO_PGNO, "leaf cell with a bad overflow reference");
    return 0;
}

static int make_run(struct kvi_tree *tree, struct kvi_tree_put *put, uint32_t flags,
                    struct kvi_new_value *value)
{
    struct kvi_overflow_ref *run = &value->run;
    int rc;

    run->size_bytes = put->size_bytes;
    if (flags & KV_RESERVE)
        rc = kvi_pager_reserve_run(tree->pager, put->size_bytes, &run->ref, &put->space);
    else
        rc = kvi_pager_put_run(tree->pager, put->data, put->size_bytes, &run->ref);
    if (rc)
        return rc;
    kvi_overflow_ref_store(value->run_bytes, run);
    value->kind = KVI_CELL_OVERFLOW;
    value->payload = value->run_bytes;
    value->payload_bytes = KVI_OVERFLOW_REF_BYTES;
    tree->record.pages_overflow += kvi_run_pages(kvi_tree_geometry(tree), run->size_bytes);
    tree->changed = true;
    return 0;
}

int kvi_value_make(struct kvi_tree *tree, size_t key_bytes, struct kvi_tree_put *put,
                   uint32_t flags, struct kvi_new_value *new_out)
{
    bool table = (flags & KVI_PUT_TABLE) != 0;

    new_out->run.ref.pgno = 0;
    if (!kvi_leaf_inline(kvi_tree_geometry(tree), tree->leaf_flags, key_bytes, put->size_bytes)) {
        if (table)
            return kvi_error(KV_EKEYSIZE, "table name of %zu bytes is too long", key_bytes);
        return make_run(tree, put, flags, new_out);
    }
    new_out->kind = table ? KVI_CELL_TABLE : KVI_CELL_VALUE;
    new_out->payload = flags & KV_RESERVE ? NULL : put->data;
    new_out->payload_bytes = (uint32_t)put->size_bytes;
    return 0;
}

int kvi_value_unmake(struct kvi_tree *tree, const struct kvi_new_value *value)
{
    return kvi_value_free_run(tree, &value->run);
}

int kvi_value_free_run(struct kvi_tree *tree, const struct kvi_overflow_ref *run)
{
    uint64_t pages = kvi_run_pages(kvi_tree_geometry(tree), run->size_bytes);
    int rc;

    if (run->ref.pgno == 0)
        return 0;
    rc = kvi_pager_free_run(tree->pager, run->ref, run->size_bytes);
    if (rc)
        return rc;
    if (tree->record.pages_overflow < pages)
        return kvi_tree_damaged(tree, run->ref.pgno, "more overflow pages than the table counts");
    tree->record.pages_overflow -= pages;
    tree->changed = true;
    return 0;
}
