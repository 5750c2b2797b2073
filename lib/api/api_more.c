/* SPDX-License-Identifier: MIT */
/* kv.h, comparators, markers, sequences and changes of one record: argument checks, then forward to the table's tree. */
#include "api/api.h"

#include "base/error.h"

int kv_env_comparator(struct kv_env *env, const char *name, kv_compare_fn *compare, void *context)
{
    (void)env;
    (void)name;
    (void)compare;
    (void)context;
    return KV_EUNSUPPORTED;
}

int kv_marker_set(struct kv_txn *txn, const void *marker, size_t size_bytes)
{
    (void)txn;
    (void)marker;
    (void)size_bytes;
    return KV_EUNSUPPORTED;
}

int kv_marker_get(struct kv_txn *txn, void *marker_out)
{
    (void)txn;
    (void)marker_out;
    return KV_EUNSUPPORTED;
}

int kv_table_options(struct kv_txn *txn, kv_table table, struct kv_table_options *options_out)
{
    (void)txn;
    (void)table;
    (void)options_out;
    return KV_EUNSUPPORTED;
}

int kv_sequence(struct kv_txn *txn, kv_table table, uint64_t add, uint64_t *value_out)
{
    (void)txn;
    (void)table;
    (void)add;
    (void)value_out;
    return KV_EUNSUPPORTED;
}

int kv_swap(struct kv_txn *txn, kv_table table, const struct kv_val *key,
            const struct kv_val *expected, const struct kv_val *value, struct kv_val *actual_out)
{
    (void)txn;
    (void)table;
    (void)key;
    (void)expected;
    (void)value;
    (void)actual_out;
    return KV_EUNSUPPORTED;
}

int kv_add(struct kv_txn *txn, kv_table table, const struct kv_val *key, int64_t add,
           int64_t *sum_out)
{
    (void)txn;
    (void)table;
    (void)key;
    (void)add;
    (void)sum_out;
    return KV_EUNSUPPORTED;
}
