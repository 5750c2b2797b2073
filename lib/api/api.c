/* SPDX-License-Identifier: MIT */
/* Argument checks that the whole api layer shares, and the functions that need no handle. */
#include "api/api.h"

#include "base/error.h"

const char *kv_strerror(int result)
{
    return kvi_strerror(result);
}

const char *kv_error_text(void)
{
    return kvi_error_text();
}

const char *kv_version(void)
{
    return KV_VERSION_STRING;
}

int kvi_api_given(const void *pointer, const char *name)
{
    return pointer ? 0 : kvi_error(KV_EINVAL, "%s is NULL", name);
}

/* Another size than the table's limits say; or these were set before the first record set a size. */
int kvi_api_odd_key(struct kvi_txn_table *table, const struct kv_val *key)
{
    const struct kvi_shape *shape = &table->tree.shape;

    if (!key || (!key->data && key->size))
        return kvi_error(KV_EINVAL, "the key is NULL");
    if (shape->key_order != KV_ORDER_UINT)
        return kvi_error(KV_EKEYSIZE, "a key of %zu bytes, at most %u are possible", key->size,
                         table->limits.key_count - 1);
    if (shape->key_bytes && table->txn->write)
        kvi_txn_table_limit(table);
    if (shape->key_bytes ? key->size == shape->key_bytes : key->size == 4 || key->size == 8)
        return 0;
    if (shape->key_bytes)
        return kvi_error(KV_EKEYSIZE, "a key of %zu bytes: the table's are integers of %u",
                         key->size, shape->key_bytes);
    return kvi_error(KV_EKEYSIZE, "a key of %zu bytes: integers have 4 or 8", key->size);
}

/* A table's first value may have any of these sizes. */
static int first_fixed(const struct kvi_txn_table *table, const struct kv_val *value)
{
    uint32_t bytes_max = kvi_pair_bytes_max(&table->txn->env->geometry);

    if (table->tree.shape.value_order == KV_ORDER_UINT && value->size != 4 && value->size != 8)
        return kvi_error(KV_EVALSIZE, "a value of %zu bytes: integers have 4 or 8", value->size);
    if (value->size > bytes_max)
        return kvi_error(KV_EVALSIZE, "a value of %zu bytes, at most %u are possible", value->size,
                         bytes_max);
    return 0;
}

int kvi_api_odd_value(struct kvi_txn_table *table, const struct kv_val *value, uint32_t flags)
{
    const struct kvi_shape *shape = &table->tree.shape;

    if (!value || (!value->data && value->size && !(flags & KV_RESERVE)))
        return kvi_error(KV_EINVAL, "the value is NULL");
    if (!shape->fixed)
        return kvi_error(KV_EVALSIZE, "a value of %zu bytes, at most %llu are possible",
                         value->size, (unsigned long long)table->limits.value_count - 1);
    if (!shape->item_bytes)
        return first_fixed(table, value);
    if (table->txn->write)
        kvi_txn_table_limit(table);
    if (value->size == shape->item_bytes)
        return 0;
    return kvi_error(KV_EVALSIZE, "a value of %zu bytes: the table's have %u", value->size,
                     shape->item_bytes);
}

int kvi_api_duplicates(const struct kvi_txn_table *table, const char *what)
{
    if (table->tree.shape.duplicates)
        return 0;
    return kvi_error(KV_EINCOMPATIBLE, "the table has no duplicates: %s", what);
}

int kvi_api_single(const struct kvi_txn_table *table, const char *what)
{
    if (!table->tree.shape.duplicates)
        return 0;
    return kvi_error(KV_EINCOMPATIBLE, "the table has duplicates: %s", what);
}

struct kv_val kvi_api_shown(const struct kvi_tree_value *value)
{
    struct kv_val shown = {0, (void *)(uintptr_t)value->data};

    if (value->kind != KVI_CELL_TABLE)
        shown.size = (size_t)value->size_bytes;
    return shown;
}

void kvi_api_put_shown(const struct kvi_tree_put *put, uint32_t flags, int rc, struct kv_val *value)
{
    if (rc == KV_EEXIST && (flags & KV_NOOVERWRITE)) {
        value->data = (void *)(uintptr_t)put->data;
        value->size = (size_t)put->size_bytes;
    } else if (rc == 0 && (flags & KV_RESERVE)) {
        value->data = put->space;
    }
}
