/* SPDX-License-Identifier: MIT */
/*
 * What the files of the api layer share: argument checks and the way between kv.h's and the tree's
 * types.
 *
 * This layer checks arguments, clears outputs, and forwards; it decides nothing else. Any thread.
 */
#ifndef KVI_API_API_H
#define KVI_API_API_H

#include <stddef.h>

#include "base/attr.h"
#include "base/limits.h"
#include "format/node.h"
#include "kv.h"
#include "tree/tree.h"
#include "txn/txn.h"

/* KV_EINVAL with a text unless `pointer` is given. */
KVI_MUST_CHECK int kvi_api_given(const void *pointer, const char *name);

/* Keys and values of unusual sizes: 0 where the table takes them after all, else what is wrong. */
KVI_MUST_CHECK int kvi_api_odd_key(struct kvi_txn_table *table, const struct kv_val *key);
KVI_MUST_CHECK int kvi_api_odd_value(struct kvi_txn_table *table, const struct kv_val *value,
                                     uint32_t flags);

/* KV_EINVAL or KV_EKEYSIZE unless `key` can be a key of this table. */
KVI_MUST_CHECK static inline int kvi_api_key(struct kvi_txn_table *table, const struct kv_val *key,
                                             struct kvi_key *key_out)
{
    if (KVI_UNLIKELY(!key || (!key->data && key->size) ||
                     key->size - table->limits.key_low >= table->limits.key_count)) {
        int rc = kvi_api_odd_key(table, key);

        if (rc)
            return rc;
    }
    key_out->data = key->data;
    key_out->size = key->size;
    return 0;
}

/* KV_EINVAL or KV_EVALSIZE unless `value` can be a value of this table (its data may be NULL with
 * KV_RESERVE). */
KVI_MUST_CHECK static inline int kvi_api_value(struct kvi_txn_table *table,
                                               const struct kv_val *value, uint32_t flags)
{
    if (KVI_UNLIKELY(!value || (!value->data && value->size && !(flags & KV_RESERVE)) ||
                     value->size - table->limits.value_low >= table->limits.value_count))
        return kvi_api_odd_value(table, value, flags);
    return 0;
}

/* The table has duplicates, or has none: else KV_EINCOMPATIBLE. `what` for the text. */
KVI_MUST_CHECK int kvi_api_duplicates(const struct kvi_txn_table *table, const char *what);
KVI_MUST_CHECK int kvi_api_single(const struct kvi_txn_table *table, const char *what);

/* As kvi_api_key for the bounds of a range, which may be NULL. */
KVI_MUST_CHECK int kvi_api_range(struct kvi_txn_table *table, const struct kv_range *range);

/* The txn may be used (for a change) and has this table. */
KVI_MUST_CHECK static inline int kvi_api_table(struct kv_txn *txn, kv_table handle, bool change,
                                               struct kvi_txn_table **table_out)
{
    int rc = kvi_txn_usable(txn, change);

    return rc ? rc : kvi_txn_table(txn, handle, table_out);
}

/* A record's value as the API shows it: a named table's is empty. Never a NULL pointer. */
struct kv_val kvi_api_shown(const struct kvi_tree_value *value);

/* What a put gives back through `value`: the present value (KV_EEXIST), or the space to fill
 * (KV_RESERVE). */
void kvi_api_put_shown(const struct kvi_tree_put *put, uint32_t flags, int rc,
                       struct kv_val *value);

#endif
