/* SPDX-License-Identifier: MIT */
/* kv.h, records: argument checks, then forward to the table's tree. */
#include "api/api.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"

#define PUT_FLAGS_KNOWN (KV_NOOVERWRITE | KV_APPEND | KV_RESERVE | KV_NOSPLIT)

int kv_get(struct kv_txn *txn, kv_table table, const struct kv_val *key, struct kv_val *value_out)
{
    struct kvi_txn_table *entry;
    struct kvi_tree_value value;
    struct kvi_key wanted;
    int rc = kvi_api_given(value_out, "value_out");

    if (KVI_UNLIKELY(rc))
        return rc;
    value_out->size = 0;
    value_out->data = NULL;
    rc = kvi_api_table(txn, table, false, &entry);
    if (KVI_LIKELY(!rc))
        rc = kvi_api_key(txn, key, &wanted);
    if (KVI_LIKELY(!rc))
        rc = kvi_tree_get(&entry->tree, wanted, &value);
    if (KVI_UNLIKELY(rc))
        return rc;
    if (KVI_UNLIKELY(value.kind == KVI_CELL_TABLE))
        return kvi_error(KV_EINCOMPATIBLE, "the key names a table");
    *value_out = kvi_api_shown(&value);
    return 0;
}

int kv_put(struct kv_txn *txn, kv_table table, const struct kv_val *key, struct kv_val *value,
           uint32_t flags)
{
    struct kvi_tree_put put = {NULL, 0, NULL};
    struct kvi_txn_table *entry;
    struct kvi_key wanted;
    int rc = kvi_api_table(txn, table, true, &entry);

    if (!rc && (flags & ~PUT_FLAGS_KNOWN))
        rc = kvi_error(KV_EINVAL, "unknown flags in put: %#x", flags);
    if (!rc)
        rc = kvi_api_key(txn, key, &wanted);
    if (!rc)
        rc = kvi_api_value(value, flags);
    if (rc)
        return rc;
    put.data = value->data;
    put.size_bytes = value->size;
    rc = kvi_txn_changed(txn, kvi_tree_put(&entry->tree, wanted, &put, flags));
    if (KVI_UNLIKELY(flags & (KV_NOOVERWRITE | KV_RESERVE)))
        kvi_api_put_shown(&put, flags, rc, value);
    return rc;
}

int kv_del(struct kv_txn *txn, kv_table table, const struct kv_val *key, const struct kv_val *value)
{
    struct kvi_txn_table *entry;
    struct kvi_key wanted;
    int rc = kvi_api_table(txn, table, true, &entry);

    if (!rc)
        rc = kvi_api_key(txn, key, &wanted);
    if (!rc && value)
        rc = kvi_error(KV_EINCOMPATIBLE, "the table has no duplicates: a value to delete");
    if (rc)
        return rc;
    return kvi_txn_changed(txn, kvi_tree_delete(&entry->tree, wanted, KVI_CELL_VALUE));
}

/* Copies the value under `key` into the txn's scratch memory; *old_out stays NULL when there is
 * none. */
static int replace_keep(struct kv_txn *txn, struct kvi_txn_table *entry, struct kvi_key key,
                        struct kv_val *old_out)
{
    struct kvi_tree_value present;
    int rc = kvi_tree_get(&entry->tree, key, &present);

    if (rc)
        return rc;
    if (present.kind == KVI_CELL_TABLE)
        return kvi_error(KV_EINCOMPATIBLE, "the key names a table");
    old_out->data = kvi_txn_scratch(txn, (size_t)present.size_bytes);
    if (!old_out->data)
        return ENOMEM;
    if (present.size_bytes)
        memcpy(old_out->data, present.data, (size_t)present.size_bytes);
    old_out->size = (size_t)present.size_bytes;
    return 0;
}

int kv_replace(struct kv_txn *txn, kv_table table, const struct kv_val *key,
               const struct kv_val *value, struct kv_val *old_out)
{
    struct kv_val old = {0, NULL};
    struct kvi_tree_put put = {NULL, 0, NULL};
    struct kvi_txn_table *entry;
    struct kvi_key wanted;
    int rc = kvi_api_given(old_out, "old_out");

    if (rc)
        return rc;
    rc = kvi_api_table(txn, table, true, &entry);
    if (!rc)
        rc = kvi_api_key(txn, key, &wanted);
    if (!rc && value)
        rc = kvi_api_value(value, 0);
    if (!rc)
        rc = replace_keep(txn, entry, wanted, &old);
    if (rc && !(rc == KV_ENOTFOUND && value)) {
        old_out->size = 0;
        old_out->data = NULL;
        return rc;
    }
    if (value) {
        put.data = value->data;
        put.size_bytes = value->size;
        rc = kvi_txn_changed(txn, kvi_tree_put(&entry->tree, wanted, &put, 0));
    } else {
        rc = kvi_txn_changed(txn, kvi_tree_delete(&entry->tree, wanted, KVI_CELL_VALUE));
    }
    *old_out = old;
    return rc;
}
