/* SPDX-License-Identifier: MIT */
/* kv.h, reading many keys and bulk build: argument checks, then forward to the table's tree. */
#include "api/api.h"

#include "base/error.h"

int kv_get_many(struct kv_txn *txn, kv_table table, const struct kv_val *keys, size_t count,
                struct kv_val *values_out, size_t *found_out)
{
    (void)txn;
    (void)table;
    (void)keys;
    (void)count;
    (void)values_out;
    (void)found_out;
    return KV_EUNSUPPORTED;
}

int kv_bulk_begin(struct kv_txn *txn, kv_table table, uint32_t fill, struct kv_bulk **bulk_out)
{
    (void)txn;
    (void)table;
    (void)fill;
    (void)bulk_out;
    return KV_EUNSUPPORTED;
}

int kv_bulk_put(struct kv_bulk *bulk, const struct kv_val *key, const struct kv_val *value,
                uint32_t flags)
{
    (void)bulk;
    (void)key;
    (void)value;
    (void)flags;
    return KV_EUNSUPPORTED;
}

int kv_bulk_end(struct kv_bulk *bulk)
{
    (void)bulk;
    return KV_EUNSUPPORTED;
}
