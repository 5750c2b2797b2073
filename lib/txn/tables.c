/* SPDX-License-Identifier: MIT */
/*
 * Tables by handle and by name inside one txn: see txn.h.
 *
 * A named table is a cell of kind "table" in the main table. Opening reads its record into an
 * entry; changes are kept there and stored at commit. Create, drop and rename change the main table
 * at once.
 *
 * Two hashes lead to an entry: slots by handle, buckets by name. Of each table there is one live
 * entry without an inner one in a txn and those around it, whatever handles lead to it; else two
 * trees would change the same pages.
 */
#include "txn/txn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/checksum.h"
#include "base/error.h"
#include "txn/registry.h"

#define TABLES_SLOTS_FIRST 8u

static struct kvi_key key_of(const char *name)
{
    struct kvi_key key = {(const uint8_t *)name, strlen(name)};

    return key;
}

/* The name is a key whose cell holds the table's record. */
static int name_check(const struct kv_txn *txn, const char *name)
{
    uint32_t bytes_max =
        txn->env->geometry.cell_bytes_max - kvi_leaf_cell_bytes(0, 0, KVI_TABLE_RECORD_BYTES);

    if (strlen(name) > bytes_max)
        return kvi_error(KV_EKEYSIZE, "table name of %zu bytes, at most %u are possible",
                         strlen(name), bytes_max);
    return 0;
}

/* ---- Slots and buckets ---- */

/* The slot of the handle, or the free one where it would stand. */
static struct kvi_txn_slot *slot_of(const struct kv_txn *txn, kv_table handle)
{
    uint32_t mask = txn->slots_size - 1;
    uint32_t i = handle & mask;

    while (txn->slots[i].handle && txn->slots[i].handle != handle)
        i = (i + 1) & mask;
    return &txn->slots[i];
}

/* Needs room: slots_reserve comes first. */
static void slot_set(struct kv_txn *txn, kv_table handle, struct kvi_txn_table *entry)
{
    struct kvi_txn_slot *slot = slot_of(txn, handle);

    txn->slots_count += slot->handle == 0;
    slot->handle = handle;
    slot->entry = entry;
}

static struct kvi_txn_table **bucket_of(const struct kv_txn *txn, const char *name)
{
    return &txn->buckets[kvi_checksum(name, strlen(name)) & (txn->slots_size - 1)];
}

static void bucket_add(struct kvi_txn_table *entry)
{
    struct kvi_txn_table **bucket = bucket_of(entry->txn, entry->name);

    entry->chain = *bucket;
    *bucket = entry;
}

static void bucket_remove(struct kvi_txn_table *entry)
{
    struct kvi_txn_table **link = bucket_of(entry->txn, entry->name);

    while (*link != entry)
        link = &(*link)->chain;
    *link = entry->chain;
}

/* Room for one more slot: never more than half of them are taken. */
static int slots_reserve(struct kv_txn *txn)
{
    struct kvi_txn_slot *old = txn->slots;
    uint32_t old_size = txn->slots_size;
    uint32_t size = old_size ? old_size * 2 : TABLES_SLOTS_FIRST;
    struct kvi_txn_table **buckets;
    struct kvi_txn_slot *slots;

    if ((txn->slots_count + 1) * 2 <= old_size)
        return 0;
    slots = calloc(size, sizeof(*slots));
    buckets = calloc(size, sizeof(struct kvi_txn_table *));
    if (!slots || !buckets) {
        free(slots);
        free(buckets);
        return ENOMEM;
    }
    free(txn->buckets);
    txn->slots = slots;
    txn->buckets = buckets;
    txn->slots_size = size;
    txn->slots_count = 0;
    for (uint32_t i = 0; i < old_size; i++) {
        if (old[i].entry)
            slot_set(txn, old[i].handle, old[i].entry);
    }
    for (struct kvi_txn_table *entry = txn->entries; entry; entry = entry->next)
        bucket_add(entry);
    free(old);
    return 0;
}

/* Forgets the slots of handles that were closed since this was last asked. */
static void slots_compare(struct kv_txn *txn, uint32_t closings)
{
    for (uint32_t i = 0; i < txn->slots_size; i++) {
        struct kvi_txn_slot *slot = &txn->slots[i];

        if (slot->entry && !kvi_registry_open(txn->env->registry, slot->handle))
            slot->entry = NULL;
    }
    txn->closings = closings;
}

/* ---- Entries ---- */

static int entry_rename(struct kvi_txn_table *entry, const char *text)
{
    char *name = strdup(text);

    if (!name)
        return ENOMEM;
    bucket_remove(entry);
    free(entry->name);
    entry->name = name;
    bucket_add(entry);
    return 0;
}

/* Adds an entry with this record, to which the handle then leads. */
static int entry_add(struct kv_txn *txn, kv_table handle, const char *name,
                     const struct kvi_table_record *record, struct kvi_txn_table **out)
{
    struct kvi_txn_table *entry;
    int rc = slots_reserve(txn);

    if (rc)
        return rc;
    entry = calloc(1, sizeof(*entry));
    if (!entry)
        return ENOMEM;
    entry->name = strdup(name);
    if (!entry->name) {
        free(entry);
        return ENOMEM;
    }
    entry->txn = txn;
    entry->handle = handle;
    if (txn->write) {
        kvi_tree_init_write(&entry->tree, record, txn->pager);
        kvi_tree_join(&entry->tree, &txn->main.tree);
    } else {
        kvi_tree_init_read(&entry->tree, record, &txn->view);
    }
    entry->next = txn->entries;
    txn->entries = entry;
    bucket_add(entry);
    slot_set(txn, handle, entry);
    *out = entry;
    return 0;
}

/* Adds a nested txn's own copy of an entry of a txn around it. */
static int entry_copy(struct kv_txn *txn, struct kvi_txn_table *outer, struct kvi_txn_table **out)
{
    int rc = entry_add(txn, outer->handle, outer->name, &outer->tree.record, out);

    if (rc)
        return rc;
    (*out)->tree.changed = outer->tree.changed;
    (*out)->outer = outer;
    outer->inner = *out;
    return 0;
}

void kvi_tables_release(struct kv_txn *txn)
{
    while (txn->entries) {
        struct kvi_txn_table *entry = txn->entries;

        txn->entries = entry->next;
        if (entry->outer && entry->outer->inner == entry)
            entry->outer->inner = NULL;
        free(entry->name);
        free(entry);
    }
    for (uint32_t i = 0; i < txn->slots_size; i++) {
        txn->slots[i] = (struct kvi_txn_slot){0, NULL};
        txn->buckets[i] = NULL;
    }
    txn->slots_count = 0;
}

/* Where the handle leads in this txn or one around it: to the innermost copy; dropped ones
 * included. */
static struct kvi_txn_table *entry_near(const struct kv_txn *txn, kv_table handle)
{
    struct kvi_txn_table *entry = NULL;

    for (; txn && !entry; txn = txn->parent) {
        if (txn->slots_size)
            entry = slot_of(txn, handle)->entry;
    }
    while (entry && entry->inner)
        entry = entry->inner;
    return entry;
}

/* The live entry that has this name in this txn or one around it, if any has. */
static struct kvi_txn_table *entry_named(const struct kv_txn *txn, const char *name)
{
    for (; txn; txn = txn->parent) {
        struct kvi_txn_table *entry = txn->slots_size ? *bucket_of(txn, name) : NULL;

        for (; entry; entry = entry->chain) {
            if (!entry->dropped && !entry->inner && strcmp(entry->name, name) == 0)
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

/* First use of a handle in this txn. Two handles may have come to mean one name, so that an entry
 * is looked for by name too: there must be one only. */
static int entry_load(struct kv_txn *txn, kv_table handle, struct kvi_txn_table **out)
{
    struct kvi_txn_table *near = entry_near(txn, handle);
    struct kvi_table_record record;
    char *name;
    int rc = kvi_registry_name(txn->env->registry, handle, txn->id, &name);

    if (rc)
        return rc;
    if (!near)
        near = entry_named(txn, name);
    if (near && near->dropped) {
        rc = kvi_error(KV_EBADTABLE, "table \"%s\" was dropped in this txn", near->name);
    } else if (!near) {
        rc = record_find(txn, name, &record);
        if (rc == KV_ENOTFOUND || rc == KV_EINCOMPATIBLE)
            rc = kvi_error(KV_EBADTABLE, "this snapshot has no table \"%s\"", name);
        if (!rc)
            rc = entry_add(txn, handle, name, &record, out);
    } else {
        rc = slots_reserve(txn);
        *out = near;
        if (!rc && near->txn != txn)
            rc = entry_copy(txn, near, out);
        if (!rc)
            rc = slots_reserve(txn);
        if (!rc)
            slot_set(txn, handle, *out);
    }
    free(name);
    return rc;
}

int kvi_txn_table_named(struct kv_txn *txn, kv_table handle, struct kvi_txn_table **table_out)
{
    uint32_t closings = kvi_registry_closings(txn->env->registry);

    if (KVI_UNLIKELY(closings != txn->closings))
        slots_compare(txn, closings);
    if (KVI_LIKELY(txn->slots_size)) {
        struct kvi_txn_table *entry = slot_of(txn, handle)->entry;

        if (KVI_LIKELY(entry && !entry->dropped)) {
            *table_out = entry;
            return 0;
        }
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
    near = entry_near(txn, *handle_out);
    return near && !near->dropped && near != entry
               ? kvi_registry_handle_new(registry, name, handle_out)
               : 0;
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
    if (entry)
        return handle_give(txn, name, entry, table_out);
    rc = record_find(txn, name, &record);
    if (rc == KV_ENOTFOUND && (flags & KV_CREATE)) {
        if (!txn->write)
            return kvi_error(KV_EREADONLY, "creating table \"%s\" in a read txn", name);
        rc = table_create(txn, name, &record);
    } else if (rc == KV_ENOTFOUND) {
        return kvi_error(KV_ENOTFOUND, "there is no table \"%s\"", name);
    }
    if (!rc)
        rc = handle_give(txn, name, NULL, &handle);
    if (!rc && txn->write)
        rc = entry_add(txn, handle, name, &record, &entry);
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
    int rc;

    if (handle == KV_MAIN_TABLE)
        return kvi_error(KV_EINVAL, "the main table has no name");
    rc = name_check(txn, name);
    if (!rc)
        rc = kvi_txn_table(txn, handle, &entry);
    if (rc)
        return rc;
    /* The record's unsealed root must not reach a page: an empty one holds the place until commit.
     */
    memset(bytes, 0, sizeof(bytes));
    rc = kvi_txn_changed(txn, kvi_tree_put(&txn->main.tree, key_of(name), &put,
                                           KVI_PUT_TABLE | KV_NOOVERWRITE));
    if (rc == KV_EEXIST || rc == KV_EINCOMPATIBLE)
        return kvi_error(KV_EEXIST, "the name \"%s\" is taken", name);
    if (rc)
        return rc;
    rc = kvi_tree_delete(&txn->main.tree, key_of(entry->name), KVI_CELL_TABLE);
    if (!rc)
        rc = entry_rename(entry, name);
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

/* The parent's entry for the child's `from`, made when there is none; NULL: it needs none. */
static int entry_target(struct kv_txn *parent, struct kvi_txn_table *from,
                        struct kvi_txn_table **to_out)
{
    struct kvi_txn_table *outer = from->outer;
    int rc;

    *to_out = outer;
    if ((outer && outer->txn == parent) || (!outer && from->dropped))
        return 0;
    rc = entry_add(parent, from->handle, from->name, &from->tree.record, to_out);
    if (rc)
        return rc;
    (*to_out)->outer = outer;
    if (outer)
        outer->inner = *to_out;
    return 0;
}

/* Brings the parent's entry of the child's table up to date. */
static int entry_merge(struct kv_txn *parent, struct kvi_txn_table *from)
{
    struct kvi_txn_table *to;
    int rc = entry_target(parent, from, &to);

    if (rc || !to)
        return rc;
    if (strcmp(to->name, from->name) != 0) {
        rc = entry_rename(to, from->name);
        if (rc)
            return rc;
    }
    to->tree.record = from->tree.record;
    to->tree.changed = from->tree.changed;
    to->dropped = from->dropped;
    from->outer = to;
    to->inner = from;
    return 0;
}

int kvi_tables_merge(struct kv_txn *child)
{
    struct kv_txn *parent = child->parent;
    int rc = 0;

    for (struct kvi_txn_table *entry = child->entries; entry && !rc; entry = entry->next)
        rc = entry_merge(parent, entry);
    for (uint32_t i = 0; i < child->slots_size && !rc; i++) {
        const struct kvi_txn_slot *slot = &child->slots[i];

        if (!slot->entry || !slot->entry->outer)
            continue;
        rc = slots_reserve(parent);
        if (!rc)
            slot_set(parent, slot->handle, slot->entry->outer);
    }
    return rc;
}

void kvi_tables_published(struct kv_txn *txn)
{
    for (uint32_t i = 0; i < txn->slots_size; i++) {
        const struct kvi_txn_table *entry = txn->slots[i].entry;
        char *name;

        if (!entry || entry->dropped || !entry->tree.changed ||
            kvi_registry_name(txn->env->registry, txn->slots[i].handle, txn->id, &name))
            continue;
        if (strcmp(name, entry->name) != 0)
            kvi_registry_rename(txn->env->registry, txn->slots[i].handle, txn->id, entry->name);
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
