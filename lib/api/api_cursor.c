/* SPDX-License-Identifier: MIT */
/* kv.h, cursors: argument checks, then forward to the tree's cursor. */
#include "api/api.h"

#include <errno.h>
#include <stdlib.h>

#include "base/error.h"

#define CURSOR_PUT_FLAGS_KNOWN (KV_NOOVERWRITE | KV_APPEND | KV_RESERVE | KV_NOSPLIT | KV_AT_CURSOR)

int kv_cursor_open(struct kv_txn *txn, kv_table table, struct kv_cursor **cursor_out)
{
    struct kvi_txn_table *entry;
    struct kv_cursor *cursor;
    int rc = kvi_api_given(cursor_out, "cursor_out");

    if (rc)
        return rc;
    *cursor_out = NULL;
    rc = kvi_api_table(txn, table, false, &entry);
    if (rc)
        return rc;
    cursor = calloc(1, sizeof(*cursor));
    if (!cursor)
        return ENOMEM;
    rc = kvi_cursor_open(&entry->tree, &cursor->cursor);
    if (rc) {
        free(cursor);
        return rc;
    }
    cursor->txn = txn;
    cursor->table = entry;
    cursor->handle = table;
    cursor->epoch = txn->epoch;
    cursor->next = txn->cursors;
    cursor->link = &txn->cursors;
    if (cursor->next)
        cursor->next->link = &cursor->next;
    txn->cursors = cursor;
    *cursor_out = cursor;
    return 0;
}

void kv_cursor_close(struct kv_cursor *cursor)
{
    if (!cursor)
        return;
    *cursor->link = cursor->next;
    if (cursor->next)
        cursor->next->link = cursor->link;
    kvi_cursor_close(cursor->cursor);
    free(cursor);
}

/* The cursor's txn may be used and its table is still there; after a renew it is bound anew. */
static int cursor_usable(struct kv_cursor *cursor, bool change)
{
    int rc = kvi_api_given(cursor, "cursor");

    if (!rc)
        rc = kvi_txn_usable(cursor->txn, change);
    if (rc)
        return rc;
    if (KVI_UNLIKELY(cursor->epoch != cursor->txn->epoch)) {
        rc = kvi_txn_table(cursor->txn, cursor->handle, &cursor->table);
        if (rc)
            return rc;
        kvi_cursor_rebind(cursor->cursor, &cursor->table->tree);
        cursor->epoch = cursor->txn->epoch;
    }
    return kvi_txn_table_again(cursor->table);
}

static bool op_takes_key(enum kv_cursor_op op)
{
    return op == KV_EXACT || op == KV_AT_LEAST || op == KV_AT_MOST;
}

int kv_cursor_get(struct kv_cursor *cursor, enum kv_cursor_op op, struct kv_val *key,
                  struct kv_val *value)
{
    struct kvi_tree_value found;
    struct kvi_key at = {NULL, 0};
    int rc = cursor_usable(cursor, false);

    if (!rc && KVI_UNLIKELY((unsigned)op - KV_FIRST > (unsigned)KV_CURRENT - KV_FIRST))
        rc = kvi_error(KV_EINVAL, "unknown cursor operation %d", (int)op);
    if (!rc && op_takes_key(op))
        rc = kvi_api_key(cursor->table, key, &at);
    if (KVI_LIKELY(!rc))
        rc = kvi_cursor_get(cursor->cursor, (int)op, &at, value ? &found : NULL);
    if (KVI_UNLIKELY(rc)) {
        if (value)
            *value = (struct kv_val){0, NULL};
        if (key && !op_takes_key(op))
            *key = (struct kv_val){0, NULL};
        return rc;
    }
    if (key) {
        key->size = at.size;
        key->data = (void *)(uintptr_t)at.data;
    }
    if (value)
        *value = kvi_api_shown(&found);
    return 0;
}

int kv_cursor_is_table(const struct kv_cursor *cursor)
{
    return cursor && cursor->epoch == cursor->txn->epoch &&
           kvi_cursor_kind(cursor->cursor) == KVI_CELL_TABLE;
}

int kv_cursor_put(struct kv_cursor *cursor, const struct kv_val *key, struct kv_val *value,
                  uint32_t flags)
{
    struct kvi_tree_put put = {NULL, 0, NULL};
    struct kvi_key at = {NULL, 0};
    int rc = cursor_usable(cursor, true);

    if (!rc && (flags & ~CURSOR_PUT_FLAGS_KNOWN))
        rc = kvi_error(KV_EINVAL, "unknown flags in put: %#x", flags);
    if (!rc && (flags & KV_AT_CURSOR) && (flags & (KV_NOOVERWRITE | KV_APPEND)))
        rc = kvi_error(KV_EINVAL, "KV_AT_CURSOR goes neither with KV_NOOVERWRITE nor KV_APPEND");
    if (!rc && !(flags & KV_AT_CURSOR))
        rc = kvi_api_key(cursor->table, key, &at);
    if (!rc)
        rc = kvi_api_value(cursor->table, value, flags);
    if (rc)
        return rc;
    put.data = value->data;
    put.size_bytes = value->size;
    rc = kvi_txn_changed(cursor->txn, kvi_cursor_put(cursor->cursor, at, &put, flags));
    kvi_api_put_shown(&put, flags, rc, value);
    return rc;
}

int kv_cursor_del(struct kv_cursor *cursor, uint32_t flags)
{
    int rc = cursor_usable(cursor, true);

    if (!rc && (flags & ~KV_ALL_VALUES))
        rc = kvi_error(KV_EINVAL, "unknown flags in delete: %#x", flags);

    if (rc)
        return rc;
    return kvi_txn_changed(cursor->txn, kvi_cursor_delete(cursor->cursor, KVI_CELL_VALUE));
}

int kv_cursor_bound(struct kv_cursor *cursor, const struct kv_range *range)
{
    (void)cursor;
    (void)range;
    return KV_EUNSUPPORTED;
}

int kv_cursor_read(struct kv_cursor *cursor, enum kv_cursor_op op, struct kv_record *records,
                   size_t count, size_t *count_out)
{
    (void)cursor;
    (void)op;
    (void)records;
    (void)count;
    (void)count_out;
    return KV_EUNSUPPORTED;
}

int kv_cursor_nth(struct kv_cursor *cursor, uint64_t n, uint32_t flags, struct kv_val *key,
                  struct kv_val *value)
{
    (void)cursor;
    (void)n;
    (void)flags;
    (void)key;
    (void)value;
    return KV_EUNSUPPORTED;
}

int kv_cursor_count(struct kv_cursor *cursor, uint64_t *count_out)
{
    (void)cursor;
    (void)count_out;
    return KV_EUNSUPPORTED;
}
