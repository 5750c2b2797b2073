/* SPDX-License-Identifier: MIT */
/* libkv's side of the data model's workloads: see model.h. */
#include "model.h"

#include <stdlib.h>

#include "keys.h"
#include "kv.h"

#define RECORDS_A_CALL 256u
#define PIECES_A_CALL 64u
#define GROUP_MAX 64u

struct model {
    struct kv_env *env;
    kv_table table;
};

static void check(int rc, const char *what)
{
    if (rc)
        store_fail(what, *kv_error_text() ? kv_error_text() : kv_strerror(rc));
}

static struct kv_val val_of(struct store_slice slice)
{
    struct kv_val val = {slice.size, (void *)(uintptr_t)slice.data};

    return val;
}

static struct kv_txn *begin(struct model *model, uint32_t flags)
{
    struct kv_txn *txn;

    check(kv_txn_begin(model->env, flags, NULL, &txn), "kv_txn_begin");
    return txn;
}

static struct kv_cursor *cursor_in(struct model *model, struct kv_txn *txn)
{
    struct kv_cursor *cursor;

    check(kv_cursor_open(txn, model->table, &cursor), "kv_cursor_open");
    return cursor;
}

static struct model *model_open(const char *path, enum model_shape shape)
{
    struct kv_table_options how = KV_TABLE_OPTIONS_INIT;
    struct kv_options options = KV_OPTIONS_INIT;
    struct model *model = calloc(1, sizeof(*model));
    struct kv_txn *txn;

    if (!model)
        store_fail("open", "no memory");
    options.flags = KV_CREATE;
    options.durability = KV_NONE; /* MDB_NOSYNC's counterpart */
    check(kv_env_open(path, &options, &model->env), "kv_env_open");
    if (shape == MODEL_INTEGER)
        how.order = KV_ORDER_UINT;
    if (shape == MODEL_DUPLICATES || shape == MODEL_FIXED)
        how.flags = KV_DUPLICATES;
    if (shape == MODEL_FIXED) {
        how.flags |= KV_FIXED;
        how.value_order = KV_ORDER_UINT;
    }
    txn = begin(model, KV_WRITE);
    check(kv_table_open(txn, "model", KV_CREATE, &how, &model->table), "kv_table_open");
    check(kv_txn_commit(txn), "kv_txn_commit");
    return model;
}

static void model_close(struct model *model)
{
    check(kv_env_close(model->env), "kv_env_close");
    free(model);
}

static void model_put(struct model *model, const struct model_items *keys,
                      const struct model_items *values, uint32_t from, uint32_t end)
{
    struct kv_txn *txn = begin(model, KV_WRITE);

    for (uint32_t i = from; i < end; i++) {
        struct kv_val key = val_of(model_item(keys, i));
        struct kv_val value = val_of(model_item(values, i));

        check(kv_put(txn, model->table, &key, &value, 0), "kv_put");
    }
    check(kv_txn_commit(txn), "kv_txn_commit");
}

static void model_build(struct model *model, const struct model_items *keys, uint32_t value_bytes)
{
    struct kv_txn *txn = begin(model, KV_WRITE);
    struct kv_bulk *bulk;

    check(kv_bulk_begin(txn, model->table, 0, &bulk), "kv_bulk_begin");
    for (uint32_t i = 0; i < keys->count; i++) {
        struct kv_val key = val_of(model_item(keys, i));
        struct kv_val value = val_of(value_of(i, value_bytes));

        check(kv_bulk_put(bulk, &key, &value, 0), "kv_bulk_put");
    }
    check(kv_bulk_end(bulk), "kv_bulk_end");
    check(kv_txn_commit(txn), "kv_txn_commit");
}

static uint64_t model_scan_pages(struct model *model, uint64_t *count_out)
{
    struct kv_txn *txn = begin(model, KV_READ);
    struct kv_cursor *cursor = cursor_in(model, txn);
    struct kv_record pieces[PIECES_A_CALL];
    uint64_t sum = 0;
    size_t got;
    int rc;

    *count_out = 0;
    while ((rc = kv_cursor_read(cursor, KV_NEXT_PIECE, pieces, PIECES_A_CALL, &got)) == 0) {
        for (size_t i = 0; i < got; i++) {
            sum += model_sum(pieces[i].value.data, pieces[i].value.size);
            *count_out += pieces[i].value.size / sizeof(uint64_t);
        }
    }
    if (rc != KV_ENOTFOUND)
        check(rc, "kv_cursor_read");
    kv_txn_abort(txn);
    return sum;
}

static uint64_t model_scan(struct model *model, uint64_t *count_out)
{
    struct kv_txn *txn = begin(model, KV_READ);
    struct kv_cursor *cursor = cursor_in(model, txn);
    struct kv_record records[RECORDS_A_CALL];
    uint64_t sum = 0;
    size_t got;
    int rc;

    *count_out = 0;
    while ((rc = kv_cursor_read(cursor, KV_NEXT, records, RECORDS_A_CALL, &got)) == 0) {
        for (size_t i = 0; i < got; i++)
            sum += *(const uint8_t *)records[i].value.data;
        *count_out += got;
    }
    if (rc != KV_ENOTFOUND)
        check(rc, "kv_cursor_read");
    kv_txn_abort(txn);
    return sum;
}

static uint32_t model_find_pairs(struct model *model, const struct model_items *keys,
                                 const struct model_items *values)
{
    struct kv_txn *txn = begin(model, KV_READ);
    struct kv_cursor *cursor = cursor_in(model, txn);
    uint32_t found = 0;

    for (uint32_t i = 0; i < keys->count; i++) {
        struct kv_val key = val_of(model_item(keys, i));
        struct kv_val value = val_of(model_item(values, i));

        found += kv_cursor_get(cursor, KV_EXACT_PAIR, &key, &value) == 0;
    }
    kv_txn_abort(txn);
    return found;
}

static uint32_t model_get(struct model *model, const struct model_items *keys)
{
    struct kv_txn *txn = begin(model, KV_READ);
    uint32_t found = 0;
    uint64_t sum = 0;

    for (uint32_t i = 0; i < keys->count; i++) {
        struct kv_val key = val_of(model_item(keys, i));
        struct kv_val value;

        if (kv_get(txn, model->table, &key, &value) == 0) {
            found++;
            sum += *(const uint8_t *)value.data;
        }
    }
    kv_txn_abort(txn);
    return sum == 1 ? 0 : found;
}

static uint32_t model_get_many(struct model *model, const struct model_items *keys, uint32_t group)
{
    struct kv_txn *txn = begin(model, KV_READ);
    struct kv_val wanted[GROUP_MAX];
    struct kv_val values[GROUP_MAX];
    uint32_t found = 0;
    uint64_t sum = 0;

    for (uint32_t i = 0; i < keys->count; i += group) {
        uint32_t n = keys->count - i < group ? keys->count - i : group;
        size_t got;

        for (uint32_t k = 0; k < n; k++)
            wanted[k] = val_of(model_item(keys, i + k));
        check(kv_get_many(txn, model->table, wanted, n, values, &got), "kv_get_many");
        for (uint32_t k = 0; k < n; k++)
            sum += values[k].data ? *(const uint8_t *)values[k].data : 0;
        found += (uint32_t)got;
    }
    kv_txn_abort(txn);
    return sum == 1 ? 0 : found;
}

static uint64_t model_delete_from(struct model *model, struct store_slice key)
{
    struct kv_txn *txn = begin(model, KV_WRITE);
    struct kv_range range = KV_RANGE_INIT;
    struct kv_val from = val_of(key);
    uint64_t deleted;

    range.from = &from;
    check(kv_del_range(txn, model->table, &range, &deleted), "kv_del_range");
    check(kv_txn_commit(txn), "kv_txn_commit");
    return deleted;
}

const struct model_kind model_kv = {
    "libkv",    model_open,       model_close, model_put,      model_build,       model_scan_pages,
    model_scan, model_find_pairs, model_get,   model_get_many, model_delete_from,
};
