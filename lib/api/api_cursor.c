/* SPDX-License-Identifier: MIT */
/* kv.h, cursors: argument checks, then forward to the tree's cursor. */
#include "api/api.h"

#include <errno.h>
#include <stdlib.h>

#include "base/error.h"

#define CURSOR_PUT_FLAGS_KNOWN                                                                     \
    (KV_NOOVERWRITE | KV_APPEND | KV_RESERVE | KV_NOSPLIT | KV_AT_CURSOR | KV_NOPAIR |             \
     KV_APPEND_VALUE | KV_MULTIPLE)

/* ---- Open and close ---- */

/* Only the list is shared, by the threads of a KV_SHARED txn. */
static void list_cursor(struct kv_txn *txn, struct kv_cursor *cursor)
{
    kvi_txn_lock(txn);
    cursor->next = txn->cursors;
    cursor->link = &txn->cursors;
    if (cursor->next)
        cursor->next->link = &cursor->next;
    txn->cursors = cursor;
    kvi_txn_unlock(txn);
}

static void unlist_cursor(struct kv_txn *txn, struct kv_cursor *cursor)
{
    kvi_txn_lock(txn);
    *cursor->link = cursor->next;
    if (cursor->next)
        cursor->next->link = cursor->link;
    kvi_txn_unlock(txn);
}

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
    list_cursor(txn, cursor);
    *cursor_out = cursor;
    return 0;
}

void kv_cursor_close(struct kv_cursor *cursor)
{
    if (!cursor)
        return;
    unlist_cursor(cursor->txn, cursor);
    kvi_cursor_close(cursor->cursor);
    free(cursor);
}

/* The cursor's txn may be used and its table is still there; after a renew it is bound anew. */
static inline int cursor_usable(struct kv_cursor *cursor, bool change)
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

/* ---- Moves ---- */

#define OPS_WITH_INPUT                                                                             \
    (1u << KV_EXACT | 1u << KV_AT_LEAST | 1u << KV_AT_MOST | 1u << KV_EXACT_PAIR |                 \
     1u << KV_AT_LEAST_VALUE)

enum op_input { INPUT_NONE, INPUT_KEY, INPUT_PAIR };

/* What an operation takes from *key and *value. */
static inline enum op_input op_input(enum kv_cursor_op op)
{
    if (op == KV_EXACT || op == KV_AT_LEAST || op == KV_AT_MOST)
        return INPUT_KEY;
    return op == KV_EXACT_PAIR || op == KV_AT_LEAST_VALUE ? INPUT_PAIR : INPUT_NONE;
}

static int check_input(struct kv_cursor *cursor, enum op_input input, const struct kv_val *key,
                       const struct kv_val *value, struct kvi_key *key_out)
{
    if (input == INPUT_PAIR) {
        int rc = kvi_api_duplicates(cursor->table, "a search for a value");

        if (!rc)
            rc = kvi_api_value(cursor->table, value, 0);
        if (rc)
            return rc;
    }
    return kvi_api_key(cursor->table, key, key_out);
}

static inline void show(const struct kvi_key *at, const struct kvi_tree_value *found,
                        struct kv_val *key, struct kv_val *value)
{
    if (key) {
        key->size = at->size;
        key->data = (void *)(uintptr_t)at->data;
    }
    if (value) {
        value->data = (void *)(uintptr_t)found->data;
        value->size = KVI_LIKELY(found->kind != KVI_CELL_TABLE) ? (size_t)found->size_bytes : 0;
    }
}

/* Of a failure: nothing; inputs stay as they are. */
static int show_none(int rc, enum op_input input, struct kv_val *key, struct kv_val *value)
{
    if (value && input != INPUT_PAIR)
        *value = (struct kv_val){0, NULL};
    if (key && input == INPUT_NONE)
        *key = (struct kv_val){0, NULL};
    return rc;
}

/* Operations that take input, or give pieces. */
static KVI_NOINLINE int get(struct kv_cursor *cursor, enum kv_cursor_op op, struct kv_val *key,
                            struct kv_val *value)
{
    enum op_input input = op_input(op);
    struct kvi_tree_value found;
    struct kvi_key at = {NULL, 0};
    int rc = 0;

    if (input)
        rc = check_input(cursor, input, key, value, &at);
    else if (op >= KV_VALUES)
        rc = kvi_api_given(value, "value");
    if (input == INPUT_PAIR && !rc)
        found = (struct kvi_tree_value){value->data, value->size, KVI_CELL_VALUE};
    if (!rc)
        rc = kvi_txn_whole(cursor->txn,
                           kvi_cursor_get(cursor->cursor, (int)op, &at, value ? &found : NULL));
    if (rc)
        return show_none(rc, input, key, value);
    show(&at, &found, key, value);
    return 0;
}

int kv_cursor_get(struct kv_cursor *cursor, enum kv_cursor_op op, struct kv_val *key,
                  struct kv_val *value)
{
    struct kvi_tree_value found;
    struct kvi_key at;
    int rc = cursor_usable(cursor, false);

    if (KVI_UNLIKELY(rc))
        return show_none(rc, op_input(op), key, value);
    if ((unsigned)op >= KV_VALUES || OPS_WITH_INPUT >> op & 1)
        return get(cursor, op, key, value);
    rc = kvi_txn_whole(cursor->txn,
                       kvi_cursor_get(cursor->cursor, (int)op, &at, value ? &found : NULL));
    if (KVI_UNLIKELY(rc))
        return show_none(rc, INPUT_NONE, key, value);
    show(&at, &found, key, value);
    return 0;
}

int kv_cursor_read(struct kv_cursor *cursor, enum kv_cursor_op op, struct kv_record *records,
                   size_t count, size_t *count_out)
{
    struct kvi_key wanted;
    int rc = kvi_api_given(count_out, "count_out");

    if (rc)
        return rc;
    *count_out = 0;
    rc = cursor_usable(cursor, false);
    if (!rc)
        rc = kvi_api_given(records, "records");
    if (!rc && count == 0)
        rc = kvi_error(KV_EINVAL, "no records are to be read");
    if (!rc && op_input(op))
        rc = check_input(cursor, op_input(op), &records[0].key, &records[0].value, &wanted);
    if (rc)
        return rc;
    rc = kvi_cursor_read(cursor->cursor, (int)op, records, count, count_out);
    rc = kvi_txn_whole(cursor->txn, rc);
    if (KVI_UNLIKELY(rc))
        *count_out = 0;
    return rc;
}

int kv_cursor_nth(struct kv_cursor *cursor, uint64_t n, uint32_t flags, struct kv_val *key,
                  struct kv_val *value)
{
    struct kvi_tree_value found;
    struct kvi_key at = {NULL, 0};
    int rc = cursor_usable(cursor, false);

    if (!rc && (flags & ~KV_KEYS))
        rc = kvi_error(KV_EINVAL, "unknown flags in nth: %#x", flags);
    if (!rc)
        rc = kvi_txn_whole(cursor->txn, kvi_cursor_nth(cursor->cursor, n, (flags & KV_KEYS) != 0,
                                                       &at, value ? &found : NULL));
    if (rc)
        return show_none(rc, INPUT_NONE, key, value);
    show(&at, &found, key, value);
    return 0;
}

int kv_cursor_count(struct kv_cursor *cursor, uint64_t *count_out)
{
    int rc = kvi_api_given(count_out, "count_out");

    if (rc)
        return rc;
    *count_out = 0;
    rc = cursor_usable(cursor, false);
    return rc ? rc : kvi_txn_whole(cursor->txn, kvi_cursor_count(cursor->cursor, count_out));
}

int kv_cursor_place(struct kv_cursor *cursor, enum kv_place *place_out)
{
    int place = KV_PLACE_NONE;
    int rc = kvi_api_given(place_out, "place_out");

    if (rc)
        return rc;
    *place_out = KV_PLACE_NONE;
    rc = cursor_usable(cursor, false);
    if (!rc)
        rc = kvi_txn_whole(cursor->txn, kvi_cursor_place(cursor->cursor, &place));
    *place_out = (enum kv_place)place;
    return rc;
}

int kv_cursor_bound(struct kv_cursor *cursor, const struct kv_range *range)
{
    int rc = cursor_usable(cursor, false);

    return rc ? rc : kvi_cursor_bound(cursor->cursor, range);
}

int kv_cursor_is_table(const struct kv_cursor *cursor)
{
    return cursor && cursor->epoch == cursor->txn->epoch &&
           kvi_cursor_kind(cursor->cursor) == KVI_CELL_TABLE;
}

/* ---- Changes ---- */

static int check_put_flags(const struct kv_cursor *cursor, uint32_t flags)
{
    const struct kvi_shape *shape = &cursor->table->tree.shape;
    uint32_t odd = flags & ~(cursor->table->limits.put_flags | KV_AT_CURSOR);

    if (flags & ~CURSOR_PUT_FLAGS_KNOWN)
        return kvi_error(KV_EINVAL, "unknown flags in put: %#x", flags);
    if (flags & KV_AT_CURSOR && flags & ~(KV_AT_CURSOR | KV_RESERVE | KV_NOSPLIT))
        return kvi_error(KV_EINVAL, "KV_AT_CURSOR goes with KV_RESERVE and KV_NOSPLIT only");
    if (odd && !shape->duplicates)
        return kvi_error(KV_EINCOMPATIBLE, "the table has no duplicates: flags %#x", odd);
    if (odd & KV_RESERVE)
        return kvi_error(KV_EINCOMPATIBLE, "the table has duplicates: KV_RESERVE");
    if (odd & KV_MULTIPLE && !shape->fixed)
        return kvi_error(KV_EINCOMPATIBLE, "the table's values have no fixed size: KV_MULTIPLE");
    return 0;
}

/* Of a KV_MULTIPLE put, whose value is many. */
static int check_values(const struct kv_cursor *cursor, const struct kv_val *value)
{
    uint32_t item_bytes = cursor->table->tree.shape.item_bytes;

    if (!item_bytes)
        return kvi_error(KV_EINVAL, "the table's values have no size yet");
    if (!value || (!value->data && value->size))
        return kvi_error(KV_EINVAL, "the value is NULL");
    if (value->size % item_bytes)
        return kvi_error(KV_EINVAL, "%zu bytes are no multiple of the table's %u", value->size,
                         item_bytes);
    return 0;
}

int kv_cursor_put(struct kv_cursor *cursor, const struct kv_val *key, struct kv_val *value,
                  uint32_t flags)
{
    struct kvi_tree_put put = {NULL, 0, NULL};
    struct kvi_key at = {NULL, 0};
    int rc = cursor_usable(cursor, true);

    if (!rc && KVI_UNLIKELY(flags & ~cursor->table->limits.put_flags))
        rc = check_put_flags(cursor, flags);
    if (!rc && !(flags & KV_AT_CURSOR))
        rc = kvi_api_key(cursor->table, key, &at);
    if (!rc)
        rc = KVI_UNLIKELY(flags & KV_MULTIPLE) ? check_values(cursor, value)
                                               : kvi_api_value(cursor->table, value, flags);
    if (rc)
        return rc;
    if (KVI_UNLIKELY(flags & KV_MULTIPLE && value->size == 0))
        return 0;
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
    if (flags & KV_ALL_VALUES)
        rc = kvi_cursor_delete_key(cursor->cursor);
    else
        rc = kvi_cursor_delete(cursor->cursor, KVI_CELL_VALUE);
    return kvi_txn_changed(cursor->txn, rc);
}
