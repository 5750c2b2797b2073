/* SPDX-License-Identifier: MIT */
/*
 * Tables by handle and by name inside one txn: see txn.h.
 *
 * A named table is a cell of kind "table" in the main table. Opening reads its record into an entry; changes are
 * kept there and stored at commit. Create, drop and rename change the main table at once.
 */
#include "txn/txn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "txn/registry.h"

static struct kvi_key key_of(const char *name)
{
    struct kvi_key key = {(const uint8_t *)name, strlen(name)};

    return key;
}

/* The name is a key whose cell holds the table's record. */
static int name_check(const struct kv_txn *txn, const char *name)
{
    uint32_t bytes_max =
        txn->env->geometry.cell_bytes_max - kvi_leaf_cell_bytes(0, KVI_TABLE_RECORD_BYTES);

    if (strlen(name) > bytes_max)
        return kvi_error(KV_EKEYSIZE, "table name of %zu bytes, at most %u are possible",
                         strlen(name), bytes_max);
    return 0;
}

/* ---- Entries ---- */

/* Room for handle index `index` in the txn's array. */
static int tables_reserve(struct kv_txn *txn, uint32_t index)
{
    uint32_t size = txn->tables_size ? txn->tables_size : 8;
    struct kvi_txn_table **tables;

    if (index < txn->tables_size)
        return 0;
    while (size <= index)
        size *= 2;
    tables = realloc(txn->tables, size * sizeof(struct kvi_txn_table *));
    if (!tables)
        return ENOMEM;
    for (uint32_t i = txn->tables_size; i < size; i++)
        tables[i] = NULL;
    txn->tables = tables;
    txn->tables_size = size;
    return 0;
}

/* Adds an entry with this record; takes `name` over on success. */
static int entry_add(struct kv_txn *txn, kv_table handle, char *name,
                     const struct kvi_table_record *record, struct kvi_txn_table **out)
{
    uint32_t index = handle & KVI_HANDLE_INDEX_MASK;
    int rc = tables_reserve(txn, index);
    struct kvi_txn_table *entry;

    if (rc)
        return rc;
    entry = calloc(1, sizeof(*entry));
    if (!entry)
        return ENOMEM;
    entry->handle = handle;
    entry->name = name;
    if (txn->write) {
        kvi_tree_init_write(&entry->tree, record, txn->pager);
        kvi_tree_join(&entry->tree, &txn->main.tree);
    } else {
        kvi_tree_init_read(&entry->tree, record, &txn->view);
    }
    entry->next = txn->entries;
    txn->entries = entry;
    txn->tables[index] = entry;
    *out = entry;
    return 0;
}

void kvi_tables_release(struct kv_txn *txn)
{
    while (txn->entries) {
        struct kvi_txn_table *entry = txn->entries;

        txn->entries = entry->next;
        free(entry->name);
        free(entry);
    }
    for (uint32_t i = 0; i < txn->tables_size; i++)
        txn->tables[i] = NULL;
}

/* The entry of a handle in this txn or one around it; dropped ones included. */
static struct kvi_txn_table *entry_near(struct kv_txn *txn, kv_table handle)
{
    uint32_t index = handle & KVI_HANDLE_INDEX_MASK;

    for (; txn; txn = txn->parent) {
        if (index < txn->tables_size && txn->tables[index] && txn->tables[index]->handle == handle)
            return txn->tables[index];
    }
    return NULL;
}

/* The live entry that has this name in this txn or one around it, if any has. */
static struct kvi_txn_table *entry_named(struct kv_txn *txn, const char *name)
{
    for (struct kv_txn *level = txn; level; level = level->parent) {
        for (struct kvi_txn_table *entry = level->entries; entry; entry = entry->next) {
            if (!entry->dropped && entry_near(txn, entry->handle) == entry &&
                strcmp(entry->name, name) == 0)
                return entry;
        }
    }
    return NULL;
}

/* Reads the record that the main table has under `name`. */
static int record_find(struct kv_txn *txn, const char *name, struct kvi_table_record *record_out)
{
    uint64_t page_end = txn->write ? kvi_pager_view(txn->pager)->page_end : txn->view.page_end;
    struct kvi_tree_value value;
    const char *wrong;
    int rc = kvi_tree_get(&txn->main.tree, key_of(name), &value);

    if (rc)
        return rc;
    if (value.kind != KVI_CELL_TABLE)
        return kvi_error(KV_EINCOMPATIBLE, "the main table has an ordinary record named \"%s\"",
                         name);
    wrong = kvi_table_record_decode(value.data, value.size_bytes, page_end, record_out);
    return wrong ? kvi_corrupt(txn->env->path, KVI_NO_PGNO, wrong) : 0;
}

/* First use of a handle in this txn. */
static int entry_load(struct kv_txn *txn, kv_table handle, struct kvi_txn_table **out)
{
    struct kvi_txn_table *near = entry_near(txn, handle);
    struct kvi_table_record record;
    char *name = NULL;
    int rc;

    if (near && near->dropped)
        return kvi_error(KV_EBADTABLE, "table \"%s\" was dropped in this txn", near->name);
    if (near) {
        name = strdup(near->name);
        record = near->tree.record;
        rc = name ? 0 : ENOMEM;
    } else {
        rc = kvi_registry_name(txn->env->registry, handle, txn->id, &name);
        if (!rc)
            rc = record_find(txn, name, &record);
        if (rc == KV_ENOTFOUND || rc == KV_EINCOMPATIBLE)
            rc = kvi_error(KV_EBADTABLE, "this snapshot has no table \"%s\"", name);
    }
    if (!rc)
        rc = entry_add(txn, handle, name, &record, out);
    if (rc)
        free(name);
    else if (near)
        (*out)->tree.changed = near->tree.changed;
    return rc;
}

int kvi_txn_table(struct kv_txn *txn, kv_table handle, struct kvi_txn_table **table_out)
{
    uint32_t index = handle & KVI_HANDLE_INDEX_MASK;
    uint32_t closings;

    if (handle == KV_MAIN_TABLE) {
        *table_out = &txn->main;
        return 0;
    }
    closings = kvi_registry_closings(txn->env->registry);
    if (closings && !kvi_registry_open(txn->env->registry, handle))
        return kvi_error(KV_EBADTABLE, "table handle %u is closed or was never opened", handle);
    if (index < txn->tables_size && txn->tables[index] && txn->tables[index]->handle == handle &&
        !txn->tables[index]->dropped) {
        *table_out = txn->tables[index];
        return 0;
    }
    return entry_load(txn, handle, table_out);
}

/* ---- Open, create ---- */

/* Stores an empty record under `name`: a new table. */
static int table_create(struct kv_txn *txn, const char *name, struct kvi_table_record *record)
{
    uint8_t bytes[KVI_TABLE_RECORD_BYTES];
    struct kvi_tree_put put = {bytes, sizeof(bytes), NULL};
    int rc;

    memset(record, 0, sizeof(*record));
    record->id = txn->snapshot.snap.table_id_next++;
    kvi_table_record_encode(record, bytes);
    rc = kvi_txn_changed(txn, kvi_tree_put(&txn->main.tree, key_of(name), &put,
                                           KVI_PUT_TABLE | KV_NOOVERWRITE));
    if (!rc)
        txn->snapshot.snap.tables++;
    return rc;
}

/* Makes `handle` mean the table `record` in this txn, in place of a dropped one. */
static int entry_put(struct kv_txn *txn, kv_table handle, const char *text,
                     const struct kvi_table_record *record)
{
    struct kvi_txn_table *entry;
    char *name = strdup(text);
    int rc = name ? entry_add(txn, handle, name, record, &entry) : ENOMEM;

    if (rc)
        free(name);
    return rc;
}

int kvi_table_open(struct kv_txn *txn, const char *name, uint32_t flags, kv_table *table_out)
{
    struct kvi_txn_table *entry;
    struct kvi_table_record record;
    kv_table handle;
    int rc = name_check(txn, name);

    if (rc)
        return rc;
    entry = entry_named(txn, name);
    if (entry) {
        *table_out = entry->handle;
        return 0;
    }
    rc = record_find(txn, name, &record);
    if (rc == KV_ENOTFOUND && (flags & KV_CREATE)) {
        if (!txn->write)
            return kvi_error(KV_EREADONLY, "creating table \"%s\" in a read txn", name);
        rc = table_create(txn, name, &record);
    } else if (rc == KV_ENOTFOUND) {
        return kvi_error(KV_ENOTFOUND, "there is no table \"%s\"", name);
    }
    if (!rc)
        rc = kvi_registry_handle(txn->env->registry, name, txn->id, &handle);
    if (!rc && txn->write)
        rc = entry_put(txn, handle, name, &record);
    if (!rc)
        *table_out = handle;
    return rc;
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
        rc = kvi_txn_changed(txn,
                             kvi_tree_delete(&txn->main.tree, key_of(entry->name), KVI_CELL_TABLE));
    if (rc)
        return rc;
    entry->dropped = true;
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
    char *copy;
    int rc;

    if (handle == KV_MAIN_TABLE)
        return kvi_error(KV_EINVAL, "the main table has no name");
    rc = name_check(txn, name);
    if (!rc)
        rc = kvi_txn_table(txn, handle, &entry);
    if (rc)
        return rc;
    copy = strdup(name);
    if (!copy)
        return ENOMEM;
    /* The record's unsealed root must not reach a page: an empty one holds the place until commit. */
    memset(bytes, 0, sizeof(bytes));
    rc = kvi_txn_changed(txn, kvi_tree_put(&txn->main.tree, key_of(name), &put,
                                           KVI_PUT_TABLE | KV_NOOVERWRITE));
    if (!rc)
        rc = kvi_txn_changed(txn,
                             kvi_tree_delete(&txn->main.tree, key_of(entry->name), KVI_CELL_TABLE));
    if (rc) {
        free(copy);
        return rc == KV_EEXIST ? kvi_error(rc, "the name \"%s\" is taken", name) : rc;
    }
    free(entry->name);
    entry->name = copy;
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
            if (rc)
                break;
        }
        rc = kvi_cursor_get(cursor, KV_NEXT, &key, NULL);
    }
    kvi_cursor_close(cursor);
    return rc == KV_ENOTFOUND ? 0 : rc;
}

/* ---- Commit, nested commit ---- */

int kvi_tables_store(struct kv_txn *txn)
{
    for (struct kvi_txn_table *entry = txn->entries; entry; entry = entry->next) {
        uint8_t bytes[KVI_TABLE_RECORD_BYTES];
        struct kvi_tree_put put = {bytes, sizeof(bytes), NULL};
        int rc;

        if (entry->dropped || !entry->tree.changed)
            continue;
        rc = kvi_pager_seal(txn->pager, &entry->tree.record.root, entry->tree.record.depth);
        if (rc)
            return rc;
        kvi_table_record_encode(&entry->tree.record, bytes);
        rc = kvi_tree_put(&txn->main.tree, key_of(entry->name), &put, KVI_PUT_TABLE);
        if (rc)
            return rc;
    }
    return 0;
}

/* Brings the parent's entry of the child's table up to date, making it when there is none. */
static int entry_merge(struct kv_txn *parent, struct kvi_txn_table *from)
{
    uint32_t index = from->handle & KVI_HANDLE_INDEX_MASK;
    struct kvi_txn_table *to = NULL;
    char *name = strdup(from->name);
    int rc = 0;

    if (!name)
        return ENOMEM;
    if (index < parent->tables_size)
        to = parent->tables[index];
    if (!to || to->handle != from->handle || (to->dropped && !from->dropped)) {
        rc = entry_add(parent, from->handle, name, &from->tree.record, &to);
        if (rc) {
            free(name);
            return rc;
        }
    } else {
        free(to->name);
        to->name = name;
    }
    to->tree.record = from->tree.record;
    to->tree.changed = from->tree.changed;
    to->dropped = from->dropped;
    return 0;
}

int kvi_tables_merge(struct kv_txn *child)
{
    for (struct kvi_txn_table *entry = child->entries; entry; entry = entry->next) {
        int rc = 0;

        if (child->tables[entry->handle & KVI_HANDLE_INDEX_MASK] == entry)
            rc = entry_merge(child->parent, entry);
        if (rc)
            return rc;
    }
    return 0;
}

void kvi_tables_published(struct kv_txn *txn)
{
    for (struct kvi_txn_table *entry = txn->entries; entry; entry = entry->next) {
        char *name;

        if (entry->dropped || !entry->tree.changed ||
            kvi_registry_name(txn->env->registry, entry->handle, txn->id, &name))
            continue;
        if (strcmp(name, entry->name) != 0)
            kvi_registry_rename(txn->env->registry, entry->handle, txn->id, entry->name);
        free(name);
    }
}

int kvi_tables_park(struct kv_txn *txn)
{
    int rc = kvi_tree_park(&txn->main.tree);

    for (struct kvi_txn_table *entry = txn->entries; entry && !rc; entry = entry->next)
        rc = kvi_tree_park(&entry->tree);
    return rc;
}
