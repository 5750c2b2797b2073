/* SPDX-License-Identifier: MIT */
/*
 * The entries of a txn: which tables it has used, by handle and by name. See txn.h and entries.h.
 *
 * Two hashes lead to an entry: slots by handle, buckets by name. Of each table there is one live
 * entry without an inner one in a txn and those around it, whatever handles lead to it; else two
 * trees would change the same pages.
 *
 * Slots are read without a lock, by any thread of a shared txn: a slot's handle is stored after its
 * entry, the array is published when it is filled, and an array that was grown out of stays until
 * the entries go. All else is under kvi_txn_lock.
 */
#include "txn/entries.h"

#include <errno.h>
#include <stdlib.h>

#include "base/checksum.h"
#include "base/error.h"
#include "txn/comparators.h"
#include "txn/registry.h"

#define SLOTS_FIRST 8u
#define PUT_FLAGS_PLAIN (KV_NOOVERWRITE | KV_APPEND | KV_RESERVE | KV_NOSPLIT)
#define PUT_FLAGS_DUPLICATES (KV_NOOVERWRITE | KV_APPEND | KV_NOSPLIT | KV_NOPAIR | KV_APPEND_VALUE)

/* ---- Slots and buckets ---- */

static struct kvi_txn_slots *slots_of(const struct kv_txn *txn)
{
    return atomic_load_explicit(&txn->slots, memory_order_acquire);
}

/* The slot of the handle, or the free one where it would stand. */
static struct kvi_txn_slot *slot_of(struct kvi_txn_slots *slots, kv_table handle)
{
    uint32_t mask = slots->size - 1;
    uint32_t i = handle & mask;

    for (;;) {
        kv_table present = atomic_load_explicit(&slots->slots[i].handle, memory_order_acquire);

        if (present == handle || !present)
            return &slots->slots[i];
        i = (i + 1) & mask;
    }
}

static struct kvi_txn_table *slot_entry(struct kvi_txn_slots *slots, kv_table handle)
{
    const struct kvi_txn_slot *slot = slot_of(slots, handle);

    return atomic_load_explicit(&slot->entry, memory_order_acquire);
}

/* Needs room: slots_reserve comes first. */
static void slot_set(struct kvi_txn_slots *slots, kv_table handle, struct kvi_txn_table *entry)
{
    struct kvi_txn_slot *slot = slot_of(slots, handle);

    slots->count += atomic_load_explicit(&slot->handle, memory_order_relaxed) == 0;
    atomic_store_explicit(&slot->entry, entry, memory_order_release);
    atomic_store_explicit(&slot->handle, handle, memory_order_release);
}

static struct kvi_txn_table **bucket_of(const struct kv_txn *txn, const char *name)
{
    return &txn->buckets[kvi_checksum(name, strlen(name)) & (txn->buckets_size - 1)];
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

/* A larger array with what the old one leads to. */
static struct kvi_txn_slots *slots_grown(const struct kvi_txn_slots *old, uint32_t size)
{
    struct kvi_txn_slots *slots = calloc(1, sizeof(*slots) + size * sizeof(slots->slots[0]));

    if (!slots)
        return NULL;
    slots->size = size;
    for (uint32_t i = 0; old && i < old->size; i++) {
        const struct kvi_txn_slot *slot = &old->slots[i];
        struct kvi_txn_table *entry = atomic_load_explicit(&slot->entry, memory_order_relaxed);

        if (entry)
            slot_set(slots, atomic_load_explicit(&slot->handle, memory_order_relaxed), entry);
    }
    return slots;
}

/* Room for one more slot: never more than half of them are taken. */
static int slots_reserve(struct kv_txn *txn)
{
    struct kvi_txn_slots *old = slots_of(txn);
    uint32_t size = old ? old->size * 2 : SLOTS_FIRST;
    struct kvi_txn_table **buckets;
    struct kvi_txn_slots *slots;

    if (old && (old->count + 1) * 2 <= old->size)
        return 0;
    slots = slots_grown(old, size);
    buckets = calloc(size, sizeof(struct kvi_txn_table *));
    if (!slots || !buckets) {
        free(slots);
        free(buckets);
        return ENOMEM;
    }
    free(txn->buckets);
    txn->buckets = buckets;
    txn->buckets_size = size;
    for (struct kvi_txn_table *entry = txn->entries; entry; entry = entry->next)
        bucket_add(entry);
    if (txn->shared)
        slots->older = old;
    else
        free(old);
    atomic_store_explicit(&txn->slots, slots, memory_order_release);
    return 0;
}

/* Forgets the slots of handles that were closed since this was last asked. */
static void slots_compare(struct kv_txn *txn, uint32_t closings)
{
    struct kvi_txn_slots *slots = slots_of(txn);

    for (uint32_t i = 0; slots && i < slots->size; i++) {
        struct kvi_txn_slot *slot = &slots->slots[i];
        kv_table handle = atomic_load_explicit(&slot->handle, memory_order_relaxed);

        if (handle && !kvi_registry_open(txn->env->registry, handle))
            atomic_store_explicit(&slot->entry, NULL, memory_order_release);
    }
    atomic_store_explicit(&txn->closings, closings, memory_order_release);
}

/* ---- Entries ---- */

void kvi_txn_table_limit(struct kvi_txn_table *table)
{
    const struct kvi_geometry *g = &table->txn->env->geometry;
    const struct kvi_shape *shape = &table->tree.shape;
    struct kvi_table_limits limits = {
        .key_count = g->key_bytes_max + 1,
        .value_count = KVI_VALUE_BYTES_MAX + 1,
        .put_flags = PUT_FLAGS_PLAIN,
    };

    if (KVI_UNLIKELY(shape->duplicates)) {
        limits.key_count = kvi_pair_bytes_max(g) + 1;
        limits.value_count = limits.key_count;
        limits.put_flags = PUT_FLAGS_DUPLICATES;
    }
    if (KVI_UNLIKELY(shape->key_order == KV_ORDER_UINT)) {
        limits.key_low = shape->key_bytes;
        limits.key_count = shape->key_bytes != 0;
    }
    if (KVI_UNLIKELY(shape->fixed)) {
        limits.value_low = shape->item_bytes;
        limits.value_count = shape->item_bytes != 0;
    }
    table->limits = limits;
}

void kvi_txn_table_shaped(struct kvi_txn_table *table)
{
    struct kvi_tree *tree = &table->tree;

    kvi_txn_table_limit(table);
    table->unready = table->dropped || !kvi_comparators_resolve(table->txn->env->comparators,
                                                                &tree->record, &tree->shape);
}

/* In a shared txn comparators are not looked for again: others may be using the shape. */
int kvi_txn_table_look(struct kvi_txn_table *table)
{
    if (table->dropped)
        return kvi_error(KV_EBADTABLE, "table \"%s\" was dropped in this txn", table->name);
    if (!table->txn->shared)
        kvi_txn_table_shaped(table);
    return 0;
}

int kvi_entry_rename(struct kvi_txn_table *entry, const char *text)
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

int kvi_entry_add(struct kv_txn *txn, kv_table handle, const char *name,
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
    kvi_txn_table_shaped(entry);
    entry->next = txn->entries;
    txn->entries = entry;
    bucket_add(entry);
    slot_set(slots_of(txn), handle, entry);
    *out = entry;
    return 0;
}

/* Adds a nested txn's own copy of an entry of a txn around it. */
static int entry_copy(struct kv_txn *txn, struct kvi_txn_table *outer, struct kvi_txn_table **out)
{
    int rc = kvi_entry_add(txn, outer->handle, outer->name, &outer->tree.record, out);

    if (rc)
        return rc;
    (*out)->tree.changed = outer->tree.changed;
    (*out)->outer = outer;
    outer->inner = *out;
    return 0;
}

void kvi_tables_release(struct kv_txn *txn)
{
    struct kvi_txn_slots *slots = slots_of(txn);

    while (txn->entries) {
        struct kvi_txn_table *entry = txn->entries;

        txn->entries = entry->next;
        if (entry->outer && entry->outer->inner == entry)
            entry->outer->inner = NULL;
        free(entry->name);
        free(entry);
    }
    if (!slots)
        return;
    while (slots->older) {
        struct kvi_txn_slots *older = slots->older;

        slots->older = older->older;
        free(older);
    }
    for (uint32_t i = 0; i < slots->size; i++) {
        atomic_store_explicit(&slots->slots[i].handle, 0, memory_order_relaxed);
        atomic_store_explicit(&slots->slots[i].entry, NULL, memory_order_relaxed);
        txn->buckets[i] = NULL;
    }
    slots->count = 0;
}

void kvi_tables_free(struct kv_txn *txn)
{
    kvi_tables_release(txn);
    free(slots_of(txn));
    free(txn->buckets);
}

struct kvi_txn_table *kvi_entry_near(const struct kv_txn *txn, kv_table handle)
{
    struct kvi_txn_table *entry = NULL;

    for (; txn && !entry; txn = txn->parent) {
        struct kvi_txn_slots *slots = slots_of(txn);

        if (slots)
            entry = slot_entry(slots, handle);
    }
    while (entry && entry->inner)
        entry = entry->inner;
    return entry;
}

struct kvi_txn_table *kvi_entry_named(const struct kv_txn *txn, const char *name)
{
    for (; txn; txn = txn->parent) {
        struct kvi_txn_table *entry = txn->buckets_size ? *bucket_of(txn, name) : NULL;

        for (; entry; entry = entry->chain) {
            if (!entry->dropped && !entry->inner && strcmp(entry->name, name) == 0)
                return entry;
        }
    }
    return NULL;
}

/* ---- From handle to entry ---- */

int kvi_entry_record(struct kv_txn *txn, const char *name, struct kvi_table_record *record_out)
{
    uint64_t page_end = txn->write ? kvi_pager_view(txn->pager)->page_end : txn->view.page_end;
    struct kvi_tree_value value;
    const char *wrong;
    int rc;

    if (KVI_UNLIKELY(kvi_entry_none(txn)))
        return KV_ENOTFOUND;
    rc = kvi_tree_get(&txn->main.tree, kvi_entry_key(name), &value);
    if (rc)
        return rc;
    if (value.kind != KVI_CELL_TABLE)
        return kvi_error(KV_EINCOMPATIBLE, "the main table has an ordinary record named \"%s\"",
                         name);
    wrong = kvi_table_record_decode(value.data, value.size_bytes, page_end, record_out);
    return wrong ? kvi_corrupt(txn->env->path, KVI_NO_PGNO, wrong) : 0;
}

/* Lets the handle lead to an entry that is there, copied if it is one of a txn around this. */
static int entry_lead(struct kv_txn *txn, kv_table handle, struct kvi_txn_table *near,
                      struct kvi_txn_table **out)
{
    int rc = slots_reserve(txn);

    *out = near;
    if (!rc && near->txn != txn)
        rc = entry_copy(txn, near, out);
    if (!rc)
        rc = slots_reserve(txn);
    if (!rc)
        slot_set(slots_of(txn), handle, *out);
    return rc;
}

/* First use of a handle in this txn. Two handles may have come to mean one name, so that an entry
 * is looked for by name too: there must be one only. */
static int entry_load(struct kv_txn *txn, kv_table handle, struct kvi_txn_table **out)
{
    struct kvi_txn_table *near = kvi_entry_near(txn, handle);
    struct kvi_table_record record;
    char *name;
    int rc = kvi_registry_name(txn->env->registry, handle, txn->id, &name);

    if (rc)
        return rc;
    if (!near)
        near = kvi_entry_named(txn, name);
    if (near && near->dropped) {
        rc = kvi_error(KV_EBADTABLE, "table \"%s\" was dropped in this txn", near->name);
    } else if (near) {
        rc = entry_lead(txn, handle, near, out);
    } else {
        rc = kvi_entry_record(txn, name, &record);
        if (rc == KV_ENOTFOUND || rc == KV_EINCOMPATIBLE)
            rc = kvi_error(KV_EBADTABLE, "this snapshot has no table \"%s\"", name);
        if (!rc)
            rc = kvi_entry_add(txn, handle, name, &record, out);
    }
    free(name);
    return rc;
}

/* What the fast way did not find, or found not fit for use as it is. */
static int table_look(struct kv_txn *txn, kv_table handle, struct kvi_txn_table **table_out)
{
    uint32_t closings = kvi_registry_closings(txn->env->registry);
    struct kvi_txn_table *entry = NULL;
    struct kvi_txn_slots *slots;

    if (handle == KV_MAIN_TABLE) {
        *table_out = &txn->main;
        return kvi_txn_table_look(&txn->main);
    }
    if (closings != atomic_load_explicit(&txn->closings, memory_order_relaxed))
        slots_compare(txn, closings);
    slots = slots_of(txn);
    if (slots)
        entry = slot_entry(slots, handle);
    if (!entry || entry->dropped)
        return entry_load(txn, handle, table_out);
    *table_out = entry;
    return kvi_txn_table_again(entry);
}

int kvi_txn_table_named(struct kv_txn *txn, kv_table handle, struct kvi_txn_table **table_out)
{
    struct kvi_txn_slots *slots = slots_of(txn);
    int rc;

    if (KVI_LIKELY(slots && kvi_registry_closings(txn->env->registry) ==
                                atomic_load_explicit(&txn->closings, memory_order_acquire))) {
        struct kvi_txn_table *entry = slot_entry(slots, handle);

        if (KVI_LIKELY(entry && !entry->unready)) {
            *table_out = entry;
            return 0;
        }
    }
    kvi_txn_lock(txn);
    rc = table_look(txn, handle, table_out);
    kvi_txn_unlock(txn);
    return rc;
}

/* ---- Nested commit ---- */

/* The parent's entry for the child's `from`, made when there is none; NULL: it needs none. */
static int merge_target(struct kv_txn *parent, struct kvi_txn_table *from,
                        struct kvi_txn_table **to_out)
{
    struct kvi_txn_table *outer = from->outer;
    int rc;

    *to_out = outer;
    if ((outer && outer->txn == parent) || (!outer && from->dropped))
        return 0;
    rc = kvi_entry_add(parent, from->handle, from->name, &from->tree.record, to_out);
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
    int rc = merge_target(parent, from, &to);

    if (rc || !to)
        return rc;
    if (strcmp(to->name, from->name) != 0) {
        rc = kvi_entry_rename(to, from->name);
        if (rc)
            return rc;
    }
    kvi_table_inherit(to, from);
    to->dropped = from->dropped;
    from->outer = to;
    to->inner = from;
    return 0;
}

int kvi_tables_merge(struct kv_txn *child)
{
    struct kvi_txn_slots *slots = slots_of(child);
    struct kv_txn *parent = child->parent;
    int rc = 0;

    for (struct kvi_txn_table *entry = child->entries; entry && !rc; entry = entry->next)
        rc = entry_merge(parent, entry);
    for (uint32_t i = 0; slots && i < slots->size && !rc; i++) {
        const struct kvi_txn_slot *slot = &slots->slots[i];
        struct kvi_txn_table *entry = atomic_load_explicit(&slot->entry, memory_order_relaxed);

        if (!entry || !entry->outer)
            continue;
        rc = slots_reserve(parent);
        if (!rc)
            slot_set(slots_of(parent), atomic_load_explicit(&slot->handle, memory_order_relaxed),
                     entry->outer);
    }
    if (!rc)
        kvi_table_inherit(&parent->main, &child->main);
    return rc;
}

int kvi_tables_park(struct kv_txn *txn)
{
    int rc = kvi_tree_park(&txn->main.tree);

    for (struct kvi_txn_table *entry = txn->entries; entry && !rc; entry = entry->next)
        rc = kvi_tree_park(&entry->tree);
    return rc;
}
