/* SPDX-License-Identifier: MIT */
/* kv.h, reading many keys and bulk build: argument checks, then forward to the table's tree. */
#include "api/api.h"

#include <errno.h>
#include <stdlib.h>

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
        rc = kvi_txn_whole(txn, kvi_tree_get_many(&entry->tree, keys, count, values_out, &found));
    if (KVI_UNLIKELY(rc)) {
        for (size_t i = 0; i < count; i++)
            values_out[i] = (struct kv_val){0, NULL};
        return rc;
    }
    if (found_out)
        *found_out = found;
    return 0;
}

/* ---- Bulk build ---- */

#define FILL_MIN 50u
#define FILL_MAX 100u

int kv_bulk_begin(struct kv_txn *txn, kv_table table, uint32_t fill, struct kv_bulk **bulk_out)
{
    struct kvi_txn_table *entry;
    struct kv_bulk *bulk;
    int rc = kvi_api_given(bulk_out, "bulk_out");

    if (rc)
        return rc;
    *bulk_out = NULL;
    rc = kvi_api_table(txn, table, true, &entry);
    if (!rc && fill && (fill < FILL_MIN || fill > FILL_MAX))
        rc = kvi_error(KV_EINVAL, "pages filled to %u percent, %u to %u are possible", fill,
                       FILL_MIN, FILL_MAX);
    if (rc)
        return rc;
    bulk = calloc(1, sizeof(*bulk));
    if (!bulk)
        return kvi_error(ENOMEM, "no memory for a bulk build");
    bulk->txn = txn;
    bulk->table = entry;
    rc = kvi_bulk_begin(&entry->tree, fill ? fill : FILL_MAX, false, &bulk->bulk);
    if (rc) {
        free(bulk);
        return rc;
    }
    txn->bulk = bulk;
    txn->state = KVI_TXN_BULK;
    *bulk_out = bulk;
    return 0;
}

/* Whether the build can go on: not after a failure, nor in a forked child. */
static inline int bulk_usable(const struct kv_bulk *bulk)
{
    if (KVI_UNLIKELY(!bulk))
        return kvi_api_given(bulk, "bulk");
    if (KVI_LIKELY(bulk->txn->state == KVI_TXN_BULK &&
                   atomic_load_explicit(bulk->txn->here, memory_order_relaxed) == bulk->txn->seen))
        return 0;
    return kvi_txn_why_not(bulk->txn, true);
}

int kv_bulk_put(struct kv_bulk *bulk, const struct kv_val *key, const struct kv_val *value,
                uint32_t flags)
{
    struct kvi_tree_put put = {NULL, 0, NULL};
    struct kvi_key wanted;
    int rc = bulk_usable(bulk);

    if (KVI_UNLIKELY(!rc && (flags & ~KV_NOOVERWRITE)))
        rc = kvi_error(KV_EINVAL, "unknown flags in a bulk build: %#x", flags);
    if (KVI_LIKELY(!rc))
        rc = kvi_api_key(bulk->table, key, &wanted);
    if (KVI_LIKELY(!rc))
        rc = kvi_api_value(bulk->table, value, 0);
    if (KVI_UNLIKELY(rc))
        return rc;
    put.data = value->data;
    put.size_bytes = value->size;
    return kvi_txn_changed(bulk->txn, kvi_bulk_put(bulk->bulk, wanted, &put, flags));
}

int kv_bulk_end(struct kv_bulk *bulk)
{
    struct kv_txn *txn;
    int rc = bulk_usable(bulk);

    if (!bulk || rc == KV_EFORKED)
        return rc;
    txn = bulk->txn;
    if (!rc) {
        txn->state = KVI_TXN_ACTIVE;
        rc = kvi_txn_changed(txn, kvi_bulk_end(bulk->bulk));
        bulk->bulk = NULL;
    }
    kvi_txn_drop_bulk(txn);
    return rc;
}
