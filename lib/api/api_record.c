/* SPDX-License-Identifier: MIT */
/* kv.h, records: argument checks, then forward to the table's tree. */
#include "api/api.h"

#include "base/error.h"

#define PUT_FLAGS_KNOWN                                                                            \
    (KV_NOOVERWRITE | KV_APPEND | KV_RESERVE | KV_NOSPLIT | KV_NOPAIR | KV_APPEND_VALUE |          \
     KV_MULTIPLE)

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
        rc = kvi_api_key(entry, key, &wanted);
    if (KVI_LIKELY(!rc))
        rc = kvi_txn_whole(txn, kvi_tree_get(&entry->tree, wanted, &value));
    if (KVI_UNLIKELY(rc))
        return rc;
    if (KVI_UNLIKELY(value.kind == KVI_CELL_TABLE))
        return kvi_error(KV_EINCOMPATIBLE, "the key names a table");
    *value_out = kvi_api_shown(&value);
    return 0;
}

/* Many values in one piece, all of the table's size. */
static int put_multiple(struct kvi_txn_table *entry, struct kvi_key key, const struct kv_val *value,
                        uint32_t flags)
{
    struct kvi_tree_put put = {NULL, 0, NULL};
    uint32_t item_bytes = entry->tree.shape.item_bytes;

    if (!item_bytes)
        return kvi_error(KV_EINVAL, "the table's values have no size yet");
    if (!value || (!value->data && value->size))
        return kvi_error(KV_EINVAL, "the value is NULL");
    if (value->size % item_bytes)
        return kvi_error(KV_EINVAL, "%zu bytes are no multiple of the table's %u", value->size,
                         item_bytes);
    if (!value->size)
        return 0;
    put.data = value->data;
    put.size_bytes = value->size;
    return kvi_txn_changed(entry->txn,
                           kvi_tree_put_many(&entry->tree, key, &put, flags & ~KV_MULTIPLE));
}

/* Flags that are not for any table of this kind: KV_MULTIPLE, or what is wrong with them. */
static int put_special(struct kvi_txn_table *entry, const struct kv_val *key,
                       const struct kv_val *value, uint32_t flags)
{
    const struct kvi_shape *shape = &entry->tree.shape;
    struct kvi_key wanted;
    int rc;

    if (flags & ~PUT_FLAGS_KNOWN)
        return kvi_error(KV_EINVAL, "unknown flags in put: %#x", flags);
    if (!shape->duplicates)
        return kvi_error(KV_EINCOMPATIBLE, "the table has no duplicates: flags %#x", flags);
    if (flags & KV_RESERVE)
        return kvi_error(KV_EINCOMPATIBLE, "the table has duplicates: KV_RESERVE");
    if (!shape->fixed)
        return kvi_error(KV_EINCOMPATIBLE, "the table's values have no fixed size: KV_MULTIPLE");
    rc = kvi_api_key(entry, key, &wanted);
    return rc ? rc : put_multiple(entry, wanted, value, flags);
}

int kv_put(struct kv_txn *txn, kv_table table, const struct kv_val *key, struct kv_val *value,
           uint32_t flags)
{
    struct kvi_tree_put put = {NULL, 0, NULL};
    struct kvi_txn_table *entry;
    struct kvi_key wanted;
    int rc = kvi_api_table(txn, table, true, &entry);

    if (KVI_UNLIKELY(!rc && (flags & ~entry->limits.put_flags)))
        return put_special(entry, key, value, flags);
    if (!rc)
        rc = kvi_api_key(entry, key, &wanted);
    if (!rc)
        rc = kvi_api_value(entry, value, flags);
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
        rc = kvi_api_key(entry, key, &wanted);
    if (rc)
        return rc;
    if (!value)
        return kvi_txn_changed(txn, kvi_tree_delete(&entry->tree, wanted, KVI_CELL_VALUE));
    rc = kvi_api_duplicates(entry, "a value to delete");
    if (!rc)
        rc = kvi_api_value(entry, value, 0);
    if (rc)
        return rc;
    return kvi_txn_changed(txn, kvi_tree_delete_pair(&entry->tree, wanted,
                                                     (struct kvi_key){value->data, value->size}));
}
