/* SPDX-License-Identifier: MIT */
/* kv.h, reading many keys and bulk build: argument checks, then forward to the table's tree. */
#include "api/api.h"

#include "base/error.h"

/* All arguments, before anything is read. */
static int many_check(struct kvi_txn_table *entry, const struct kv_val *keys, size_t count)
{
    struct kvi_key wanted;
    int rc = count ? kvi_api_given(keys, "keys") : 0;

    for (size_t i = 0; !rc && i < count; i++)
        rc = kvi_api_key(entry, &keys[i], &wanted);
    return rc;
}

int kv_get_many(struct kv_txn *txn, kv_table table, const struct kv_val *keys, size_t count,
                struct kv_val *values_out, size_t *found_out)
{
    struct kvi_txn_table *entry;
    size_t found = 0;
    int rc = count ? kvi_api_given(values_out, "values_out") : 0;

    if (found_out)
        *found_out = 0;
    if (KVI_UNLIKELY(rc))
        return rc;
    rc = kvi_api_table(txn, table, false, &entry);
    if (KVI_LIKELY(!rc))
        rc = many_check(entry, keys, count);
    if (KVI_LIKELY(!rc))
        rc = kvi_tree_get_many(&entry->tree, keys, count, values_out, &found);
    if (KVI_UNLIKELY(rc)) {
        for (size_t i = 0; i < count; i++)
            values_out[i] = (struct kv_val){0, NULL};
        return rc;
    }
    if (found_out)
        *found_out = found;
    return 0;
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
