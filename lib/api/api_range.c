/* SPDX-License-Identifier: MIT */
/* kv.h, ranges and counts: argument checks, then forward to the table's tree. */
#include "api/api.h"

#include "base/error.h"

int kvi_api_range(struct kvi_txn_table *table, const struct kv_range *range)
{
    struct kvi_key key;
    int rc = 0;

    if (range && range->from)
        rc = kvi_api_key(table, range->from, &key);
    if (!rc && range && range->to)
        rc = kvi_api_key(table, range->to, &key);
    return rc;
}

/* The table, for a change or not, and the range in its terms: to be released after success. */
static int begin(struct kv_txn *txn, kv_table table, bool change, const struct kv_range *range,
                 struct kvi_txn_table **entry_out, struct kvi_range *places_out)
{
    int rc = kvi_api_table(txn, table, change, entry_out);

    if (!rc)
        rc = kvi_api_range(*entry_out, range);
    return rc ? rc : kvi_range_init(places_out, &(*entry_out)->tree.shape, range);
}

int kv_del_range(struct kv_txn *txn, kv_table table, const struct kv_range *range,
                 uint64_t *deleted_out)
{
    struct kvi_txn_table *entry;
    struct kvi_range places;
    uint64_t records = 0;
    bool tables;
    int rc;

    if (deleted_out)
        *deleted_out = 0;
    rc = begin(txn, table, true, range, &entry, &places);
    if (rc)
        return rc;
    tables = entry == &txn->main && txn->snapshot.snap.tables > 0;
    rc = kvi_txn_changed(txn, kvi_tree_delete_range(&entry->tree, &places, tables, &records));
    kvi_range_release(&places);
    if (!rc && deleted_out)
        *deleted_out = records;
    return rc;
}

/* What a count is of: without duplicates keys are records. */
static uint64_t counted(const struct kvi_tree *tree, const struct kvi_counts *counts,
                        uint32_t flags)
{
    return flags & KV_KEYS && tree->shape.duplicates ? counts->keys : counts->records;
}

int kv_count(struct kv_txn *txn, kv_table table, const struct kv_range *range, uint32_t flags,
             uint64_t *count_out)
{
    struct kvi_counts counts = {0, 0};
    struct kvi_txn_table *entry;
    struct kvi_range places;
    int rc = kvi_api_given(count_out, "count_out");

    if (rc)
        return rc;
    *count_out = 0;
    if (flags & ~(KV_KEYS | KV_ESTIMATE))
        return kvi_error(KV_EINVAL, "unknown flags in count: %#x", flags);
    rc = begin(txn, table, false, range, &entry, &places);
    if (rc)
        return rc;
    if (flags & KV_ESTIMATE)
        rc = kvi_tree_estimate(&entry->tree, &places, &counts);
    else
        rc = kvi_tree_count(&entry->tree, &places, &counts);
    kvi_range_release(&places);
    rc = kvi_txn_whole(txn, rc);
    if (!rc)
        *count_out = counted(&entry->tree, &counts, flags);
    return rc;
}

/* The place before a key, or before one of its values. */
static int rank(struct kvi_tree *tree, struct kvi_key key, const struct kv_val *value,
                uint32_t flags, uint64_t *rank_out)
{
    bool of_pair = value && !(flags & KV_KEYS);
    struct kvi_counts before = {0, 0};
    struct kvi_key item = {NULL, 0};
    struct kvi_probe place;
    int rc;

    if (of_pair)
        item = (struct kvi_key){value->data, value->size};
    if (!kvi_shape_searchable(&tree->shape))
        return kvi_error(KV_ECOMPARATOR, "the table's comparator is not registered");
    rc = kvi_probe_init(&place, &tree->shape, key, item,
                        of_pair ? KVI_PROBE_VALUE : KVI_PROBE_FIRST);
    if (rc)
        return rc;
    rc = kvi_tree_rank(tree, &place, &before);
    kvi_probe_release(&place);
    if (!rc)
        *rank_out = counted(tree, &before, flags);
    return rc;
}

int kv_rank(struct kv_txn *txn, kv_table table, const struct kv_val *key,
            const struct kv_val *value, uint32_t flags, uint64_t *rank_out)
{
    struct kvi_txn_table *entry;
    struct kvi_key wanted;
    int rc = kvi_api_given(rank_out, "rank_out");

    if (rc)
        return rc;
    *rank_out = 0;
    if (flags & ~KV_KEYS)
        return kvi_error(KV_EINVAL, "unknown flags in rank: %#x", flags);
    rc = kvi_api_table(txn, table, false, &entry);
    if (!rc)
        rc = kvi_api_key(entry, key, &wanted);
    if (!rc && value)
        rc = kvi_api_duplicates(entry, "the rank of a value");
    if (!rc && value)
        rc = kvi_api_value(entry, value, 0);
    return rc ? rc : kvi_txn_whole(txn, rank(&entry->tree, wanted, value, flags, rank_out));
}
