/* SPDX-License-Identifier: MIT */
/*
 * Named tables in the main table: open, create, change of what an empty table is, drop, rename,
 * list, and the records that a commit stores. See txn.h; the entries are in entries.c.
 *
 * A named table is a cell of kind "table" in the main table. Opening reads its record into an
 * entry; changes are kept there and stored at commit. Create, drop and rename change the main table
 * at once.
 */
#include "txn/txn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "txn/comparators.h"
#include "txn/entries.h"
#include "txn/registry.h"
#include "txn/table_kind.h"

/* ---- What a table is ---- */

/* The name is a key of the main table, whose cell holds the record. */
static int name_check(const struct kv_txn *txn, const char *name,
                      const struct kvi_table_record *record)
{
    const struct kvi_geometry *g = &txn->env->geometry;
    const struct kvi_shape *shape = &txn->main.tree.shape;
    size_t bytes = strlen(name);
    uint32_t cell_bytes;

    if (bytes > g->key_bytes_max)
        return kvi_error(KV_EKEYSIZE, "a table name of %zu bytes", bytes);
    cell_bytes =
        kvi_leaf_cell_bytes(kvi_shape_page_flags(shape, 0), bytes, kvi_table_record_bytes(record));
    if (cell_bytes > g->cell_bytes_max)
        return kvi_error(KV_EKEYSIZE, "a table name of %zu bytes, %u too many", bytes,
                         cell_bytes - g->cell_bytes_max);
    if (shape->key_order == KV_ORDER_UINT &&
        (shape->key_bytes ? bytes != shape->key_bytes : bytes != 4 && bytes != 8))
        return kvi_error(KV_EKEYSIZE, "a table name of %zu bytes as integer key of the main table",
                         bytes);
    return 0;
}

static int name_known(const struct kv_txn *txn, const char *name)
{
    if (kvi_comparators_find(txn->env->comparators, name).compare)
        return 0;
    return kvi_error(KV_ECOMPARATOR, "no comparator \"%s\" is registered", name);
}

/* A table of a custom order is made only where its comparators are known. */
static int kind_known(const struct kv_txn *txn, const struct kvi_table_record *kind)
{
    char name[KVI_COMPARATOR_BYTES_MAX + 1];
    int rc = 0;

    if (kind->order == KV_ORDER_CUSTOM) {
        kvi_table_kind_key_name(kind, name);
        rc = name_known(txn, name);
    }
    if (!rc && kind->value_order == KV_ORDER_CUSTOM) {
        kvi_table_kind_value_name(kind, name);
        rc = name_known(txn, name);
    }
    return rc;
}

/* Makes an empty table one of this kind. */
static int kind_change(struct kvi_txn_table *entry, const struct kvi_table_record *kind)
{
    struct kvi_tree *tree = &entry->tree;
    struct kvi_table_record record = tree->record;
    int rc = kind_known(entry->txn, kind);

    if (!rc && entry->name)
        rc = name_check(entry->txn, entry->name, kind);
    if (rc)
        return rc;
    kvi_tree_unposition(tree);
    kvi_table_kind_set(&record, kind);
    kvi_tree_set_record(tree, &record);
    tree->changed = true;
    kvi_txn_table_shaped(entry);
    return 0;
}

void kvi_table_inherit(struct kvi_txn_table *to, const struct kvi_txn_table *from)
{
    /* Keys that cursors noted may be no keys of the new kind; which they lost, for a table changes
     * its kind only when it is empty. */
    if (!kvi_table_kind_same(&to->tree.record, &from->tree.record))
        kvi_tree_unposition(&to->tree);
    kvi_tree_set_record(&to->tree, &from->tree.record);
    to->tree.shape = from->tree.shape; /* with its comparators */
    to->tree.changed = from->tree.changed;
    to->limits = from->limits;
    to->unready = from->unready;
}

/* Whether the table is of this kind. KV_CREATE makes an empty one so, also where it differs only in
 * what its first records would set. */
static int kind_agree(struct kv_txn *txn, kv_table handle, const char *name, uint32_t flags,
                      const struct kvi_table_record *record, const struct kvi_table_record *kind)
{
    bool open = record->entries == 0 && txn->write && (flags & KV_CREATE);
    struct kvi_txn_table *entry;
    int rc = kvi_table_kind_compare(name, record, kind);

    if (!open || (!rc && record->item_bytes == kind->item_bytes && !record->key_bytes))
        return rc;
    rc = kvi_txn_table(txn, handle, &entry);
    return rc ? rc : kind_change(entry, kind);
}

/* ---- Open, create ---- */

/* Stores an empty record under `name`: a new table. */
static int table_create(struct kv_txn *txn, const char *name, const struct kvi_table_record *kind,
                        struct kvi_table_record *record)
{
    uint8_t bytes[KVI_TABLE_RECORD_BYTES_MAX];
    struct kvi_tree_put put = {bytes, 0, NULL};
    int rc;

    memset(record, 0, sizeof(*record));
    if (kind)
        kvi_table_kind_set(record, kind);
    rc = name_check(txn, name, record);
    if (!rc && kind)
        rc = kind_known(txn, kind);
    if (!rc && kvi_entry_none(txn))
        rc = kvi_error(KV_EINCOMPATIBLE, "the main table has %s: no named tables beside",
                       txn->main.tree.shape.duplicates ? "duplicates" : "a user's order");
    if (rc)
        return rc;
    record->id = txn->snapshot.snap.table_id_next;
    put.size_bytes = kvi_table_record_encode(record, bytes);
    rc = kvi_txn_changed(txn, kvi_tree_put(&txn->main.tree, kvi_entry_key(name), &put,
                                           KVI_PUT_TABLE | KV_NOOVERWRITE));
    if (rc)
        return rc;
    txn->snapshot.snap.table_id_next++;
    txn->snapshot.snap.tables++;
    return 0;
}

/* The handle to give for `name`, whose entry is `entry` (NULL: none yet). One that leads to another
 * table in this txn, which renamed it, will not do. */
static int handle_give(const struct kv_txn *txn, const char *name,
                       const struct kvi_txn_table *entry, kv_table *handle_out)
{
    struct kvi_registry *registry = txn->env->registry;
    const struct kvi_txn_table *near;
    int rc;

    if (entry && kvi_registry_open(registry, entry->handle)) {
        *handle_out = entry->handle;
        return 0;
    }
    rc = kvi_registry_handle(registry, name, txn->id, handle_out);
    if (rc)
        return rc;
    near = kvi_entry_near(txn, *handle_out);
    return near && !near->dropped && near != entry
               ? kvi_registry_handle_new(registry, name, handle_out)
               : 0;
}

/* The table's record, and its entry if it has one; made if there is none and that was asked for. */
static int table_obtain(struct kv_txn *txn, const char *name, uint32_t flags,
                        const struct kvi_table_record *kind, struct kvi_table_record *record_out,
                        struct kvi_txn_table **entry_out)
{
    int rc;

    *entry_out = kvi_entry_named(txn, name);
    if (*entry_out) {
        *record_out = (*entry_out)->tree.record;
        return 0;
    }
    rc = kvi_entry_record(txn, name, record_out);
    if (rc != KV_ENOTFOUND)
        return rc;
    if (!(flags & KV_CREATE))
        return kvi_error(KV_ENOTFOUND, "there is no table \"%s\"", name);
    if (!txn->write)
        return kvi_error(KV_EREADONLY, "creating table \"%s\" in a read txn", name);
    return table_create(txn, name, kind, record_out);
}

static int table_open(struct kv_txn *txn, const char *name, uint32_t flags,
                      const struct kvi_table_record *kind, kv_table *table_out)
{
    struct kvi_txn_table *entry;
    struct kvi_table_record record;
    kv_table handle;
    int rc = table_obtain(txn, name, flags, kind, &record, &entry);

    if (!rc)
        rc = handle_give(txn, name, entry, &handle);
    if (!rc && !entry && txn->write)
        rc = kvi_entry_add(txn, handle, name, &record, &entry);
    if (!rc && kind)
        rc = kind_agree(txn, handle, name, flags, &record, kind);
    if (!rc)
        *table_out = handle;
    return rc;
}

int kvi_table_open(struct kv_txn *txn, const char *name, uint32_t flags,
                   const struct kvi_table_record *kind, kv_table *table_out)
{
    const struct kvi_table_record plain = {.flags = 0};
    int rc = name_check(txn, name, &plain);

    if (rc)
        return rc;
    kvi_txn_lock(txn);
    rc = table_open(txn, name, flags, kind, table_out);
    kvi_txn_unlock(txn);
    return rc;
}

int kvi_table_main(struct kv_txn *txn, uint32_t flags, const struct kvi_table_record *kind)
{
    return kind_agree(txn, KV_MAIN_TABLE, "", flags, &txn->main.tree.record, kind);
}

/* ---- Drop, empty, rename, list ---- */

int kvi_table_drop(struct kv_txn *txn, kv_table handle)
{
    struct kvi_txn_table *entry;
    int rc;

    if (handle == KV_MAIN_TABLE)
        return kvi_error(KV_EINVAL, "the main table cannot be dropped");
    rc = kvi_txn_table(txn, handle, &entry);
    if (!rc)
        rc = kvi_txn_changed(txn, kvi_tree_empty(&entry->tree));
    if (!rc)
        rc = kvi_txn_changed(txn, kvi_tree_delete(&txn->main.tree, kvi_entry_key(entry->name),
                                                  KVI_CELL_TABLE));
    if (rc)
        return rc;
    entry->dropped = true;
    entry->unready = true;
    txn->snapshot.snap.tables--;
    return 0;
}

int kvi_table_empty(struct kv_txn *txn, kv_table handle)
{
    struct kvi_txn_table *entry;
    int rc = kvi_txn_table(txn, handle, &entry);

    if (rc)
        return rc;
    if (handle == KV_MAIN_TABLE && txn->snapshot.snap.tables > 0)
        return kvi_error(KV_EINCOMPATIBLE, "the main table holds named tables: drop them first");
    rc = kvi_txn_changed(txn, kvi_tree_empty(&entry->tree));
    return rc;
}

int kvi_table_rename(struct kv_txn *txn, kv_table handle, const char *name)
{
    uint8_t bytes[KVI_TABLE_RECORD_BYTES];
    struct kvi_tree_put put = {bytes, sizeof(bytes), NULL};
    struct kvi_txn_table *entry;
    int rc;

    if (handle == KV_MAIN_TABLE)
        return kvi_error(KV_EINVAL, "the main table has no name");
    rc = kvi_txn_table(txn, handle, &entry);
    if (!rc)
        rc = name_check(txn, name, &entry->tree.record);
    if (rc)
        return rc;
    /* The record's unsealed root must not reach a page: an empty one holds the place until commit.
     */
    memset(bytes, 0, sizeof(bytes));
    rc = kvi_txn_changed(txn, kvi_tree_put(&txn->main.tree, kvi_entry_key(name), &put,
                                           KVI_PUT_TABLE | KV_NOOVERWRITE));
    if (rc == KV_EEXIST || rc == KV_EINCOMPATIBLE)
        return kvi_error(KV_EEXIST, "the name \"%s\" is taken", name);
    if (rc)
        return rc;
    rc = kvi_tree_delete(&txn->main.tree, kvi_entry_key(entry->name), KVI_CELL_TABLE);
    if (!rc)
        rc = kvi_entry_rename(entry, name);
    if (rc) { /* half done */
        txn->state = KVI_TXN_FAILED;
        return rc;
    }
    entry->tree.changed = true;
    return 0;
}

int kvi_table_list(struct kv_txn *txn, kv_table_fn *fn, void *context)
{
    struct kvi_cursor *cursor;
    struct kvi_key key = {NULL, 0};
    int rc = kvi_cursor_open(&txn->main.tree, &cursor);

    if (rc)
        return rc;
    rc = kvi_cursor_get(cursor, KV_FIRST, &key, NULL);
    while (!rc) {
        if (kvi_cursor_kind(cursor) == KVI_CELL_TABLE) {
            char *name = strndup((const char *)key.data, key.size);

            rc = name ? fn(context, name) : ENOMEM;
            free(name);
            if (rc) { /* also a KV_ENOTFOUND: only the cursor's is the end */
                kvi_cursor_close(cursor);
                return rc;
            }
        }
        rc = kvi_cursor_get(cursor, KV_NEXT, &key, NULL);
    }
    kvi_cursor_close(cursor);
    return rc == KV_ENOTFOUND ? 0 : rc;
}

/* ---- Commit ---- */

int kvi_tables_store(struct kv_txn *txn)
{
    for (struct kvi_txn_table *entry = txn->entries; entry; entry = entry->next) {
        uint8_t bytes[KVI_TABLE_RECORD_BYTES_MAX];
        struct kvi_tree_put put = {bytes, 0, NULL};
        int rc;

        if (entry->dropped || !entry->tree.changed)
            continue;
        rc = kvi_pager_seal(txn->pager, &entry->tree.record.root, entry->tree.record.depth);
        if (rc)
            return rc;
        put.size_bytes = kvi_table_record_encode(&entry->tree.record, bytes);
        rc = kvi_tree_put(&txn->main.tree, kvi_entry_key(entry->name), &put, KVI_PUT_TABLE);
        if (rc)
            return rc;
    }
    return 0;
}

void kvi_tables_published(struct kv_txn *txn)
{
    const struct kvi_txn_slots *slots = atomic_load_explicit(&txn->slots, memory_order_relaxed);

    for (uint32_t i = 0; slots && i < slots->size; i++) {
        const struct kvi_txn_slot *slot = &slots->slots[i];
        const struct kvi_txn_table *entry =
            atomic_load_explicit(&slot->entry, memory_order_relaxed);
        kv_table handle = atomic_load_explicit(&slot->handle, memory_order_relaxed);
        char *name;

        if (!entry || entry->dropped || !entry->tree.changed ||
            kvi_registry_name(txn->env->registry, handle, txn->id, &name))
            continue;
        if (strcmp(name, entry->name) != 0)
            kvi_registry_rename(txn->env->registry, handle, txn->id, entry->name);
        free(name);
    }
}
