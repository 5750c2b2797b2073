/* SPDX-License-Identifier: MIT */
/*
 * kv.h, changes of one record that depend on what it holds: replace, swap, add. Argument checks,
 * then a look and a put.
 *
 * Refuses tables with duplicates. What was there is copied before the change, into memory of the
 * txn; arguments may point into what the call before gave.
 */
#include "api/api.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/le.h"

/* A record to be changed: its table, its key, and what is there now. */
struct change {
    struct kvi_txn_table *entry;
    struct kvi_key key;
    struct kvi_tree_value present; /* data NULL: nothing */
};

/* Checks the arguments and looks up what is there. `value` NULL: to be deleted. */
static int change_find(struct change *change, struct kv_txn *txn, kv_table table,
                       const struct kv_val *key, const struct kv_val *value, const char *what)
{
    int rc = kvi_api_table(txn, table, true, &change->entry);

    if (!rc)
        rc = kvi_api_single(change->entry, what);
    if (!rc)
        rc = kvi_api_key(change->entry, key, &change->key);
    if (!rc && value)
        rc = kvi_api_value(change->entry, value, 0);
    if (!rc)
        rc = kvi_txn_whole(txn, kvi_tree_get(&change->entry->tree, change->key, &change->present));
    if (rc == KV_ENOTFOUND) {
        change->present = (struct kvi_tree_value){NULL, 0, KVI_CELL_VALUE};
        return 0;
    }
    if (!rc && change->present.kind == KVI_CELL_TABLE)
        rc = kvi_error(KV_EINCOMPATIBLE, "the key names a table");
    return rc;
}

/* Copies what is there into the txn's scratch memory; data NULL when there is nothing. */
static int change_keep(const struct change *change, struct kv_val *old_out)
{
    size_t size = (size_t)change->present.size_bytes;

    *old_out = (struct kv_val){0, NULL};
    if (!change->present.data)
        return 0;
    old_out->data = kvi_txn_scratch(change->entry->txn, size);
    if (!old_out->data)
        return ENOMEM;
    if (size)
        memcpy(old_out->data, change->present.data, size);
    old_out->size = size;
    return kvi_txn_whole(change->entry->txn, 0);
}

/* Puts the value, or deletes the record. */
static int change_make(const struct change *change, const struct kv_val *value)
{
    struct kvi_tree_put put = {NULL, 0, NULL};
    struct kvi_tree *tree = &change->entry->tree;

    if (!value)
        return kvi_txn_changed(change->entry->txn,
                               kvi_tree_delete(tree, change->key, KVI_CELL_VALUE));
    put.data = value->data;
    put.size_bytes = value->size;
    return kvi_txn_changed(change->entry->txn, kvi_tree_put(tree, change->key, &put, 0));
}

int kv_replace(struct kv_txn *txn, kv_table table, const struct kv_val *key,
               const struct kv_val *value, struct kv_val *old_out)
{
    struct kv_val old = {0, NULL};
    struct change change;
    int rc = kvi_api_given(old_out, "old_out");

    if (rc)
        return rc;
    rc = change_find(&change, txn, table, key, value, "kv_replace");
    if (!rc && !change.present.data && !value)
        rc = KV_ENOTFOUND;
    if (!rc)
        rc = change_keep(&change, &old);
    if (!rc)
        rc = change_make(&change, value);
    *old_out = old;
    return rc;
}

/* Whether what is there is what was expected (NULL: nothing). */
static bool change_expected(const struct change *change, const struct kv_val *expected)
{
    if (!expected || !change->present.data)
        return !expected && !change->present.data;
    return expected->size == change->present.size_bytes &&
           (!expected->size || memcmp(expected->data, change->present.data, expected->size) == 0);
}

int kv_swap(struct kv_txn *txn, kv_table table, const struct kv_val *key,
            const struct kv_val *expected, const struct kv_val *value, struct kv_val *actual_out)
{
    struct kv_val actual = {0, NULL};
    struct change change;
    int rc = change_find(&change, txn, table, key, value, "kv_swap");

    if (!rc && expected && !expected->data && expected->size)
        rc = kvi_error(KV_EINVAL, "the expected value is NULL");
    if (!rc && actual_out)
        rc = change_keep(&change, &actual);
    if (!rc && !change_expected(&change, expected))
        rc = kvi_txn_whole(txn, kvi_error(KV_EMISMATCH, "the record is not as expected"));
    if (!rc && (value || change.present.data))
        rc = change_make(&change, value);
    if (actual_out)
        *actual_out = actual;
    return rc;
}

int kv_add(struct kv_txn *txn, kv_table table, const struct kv_val *key, int64_t add,
           int64_t *sum_out)
{
    uint8_t bytes[8] = {0};
    const struct kv_val value = {sizeof(bytes), bytes};
    struct change change;
    int64_t sum;
    int rc = kvi_api_given(sum_out, "sum_out");

    if (rc)
        return rc;
    *sum_out = 0;
    rc = change_find(&change, txn, table, key, &value, "kv_add");
    if (rc)
        return rc;
    if (change.present.data && change.present.size_bytes != sizeof(bytes))
        return kvi_error(KV_EINCOMPATIBLE, "a value of %llu bytes is no number of 8",
                         (unsigned long long)change.present.size_bytes);
    if (change.present.data)
        memcpy(bytes, change.present.data, sizeof(bytes));
    if (__builtin_add_overflow((int64_t)kvi_le_load64(bytes), add, &sum))
        return kvi_error(KV_EMISMATCH, "adding to the number would overflow");
    kvi_le_store64(bytes, (uint64_t)sum);
    rc = change_make(&change, &value);
    if (!rc)
        *sum_out = sum;
    return rc;
}
