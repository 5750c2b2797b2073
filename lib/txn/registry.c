/* SPDX-License-Identifier: MIT */
/* Table handles: see registry.h. Names are found through a chained hash over the newest names. */
#include "txn/registry.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/checksum.h"
#include "base/error.h"

/* A name that a handle has, or had. */
struct registry_name {
    struct registry_name *older;
    uint64_t since; /* first txnid that it is for */
    char text[];
};

struct registry_entry {
    struct registry_name *names; /* newest first; NULL: free */
    uint32_t generation;
    uint32_t next; /* index of the next entry in the hash chain or on the free list; 0: none */
};

struct kvi_registry {
    pthread_mutex_t mutex;
    struct registry_entry *entries; /* [0] unused: the main table */
    uint32_t count;                 /* entries in use or free, with [0] */
    uint32_t size;                  /* entries allocated */
    uint32_t free_first;
    uint32_t *buckets;
    uint32_t buckets_count; /* power of two */
    uint32_t renamed;       /* renames so far: 0 spares the search over older names */
    _Atomic(uint32_t) closings;
};

enum { REGISTRY_FIRST = 16 };

struct kvi_registry *kvi_registry_new(void)
{
    struct kvi_registry *registry = calloc(1, sizeof(*registry));

    if (!registry)
        return NULL;
    registry->entries = calloc(REGISTRY_FIRST, sizeof(*registry->entries));
    registry->buckets = calloc(REGISTRY_FIRST, sizeof(*registry->buckets));
    if (!registry->entries || !registry->buckets) {
        free(registry->entries);
        free(registry->buckets);
        free(registry);
        return NULL;
    }
    pthread_mutex_init(&registry->mutex, NULL);
    registry->size = REGISTRY_FIRST;
    registry->buckets_count = REGISTRY_FIRST;
    registry->count = 1;
    return registry;
}

static void names_free(struct registry_name *name)
{
    while (name) {
        struct registry_name *older = name->older;

        free(name);
        name = older;
    }
}

void kvi_registry_free(struct kvi_registry *registry)
{
    if (!registry)
        return;
    for (uint32_t i = 1; i < registry->count; i++)
        names_free(registry->entries[i].names);
    pthread_mutex_destroy(&registry->mutex);
    free(registry->entries);
    free(registry->buckets);
    free(registry);
}

static uint32_t bucket_of(const struct kvi_registry *registry, const char *name)
{
    return (uint32_t)kvi_checksum(name, strlen(name)) & (registry->buckets_count - 1);
}

static void chain_add(struct kvi_registry *registry, uint32_t index)
{
    uint32_t bucket = bucket_of(registry, registry->entries[index].names->text);

    registry->entries[index].next = registry->buckets[bucket];
    registry->buckets[bucket] = index;
}

static void chain_remove(struct kvi_registry *registry, uint32_t index)
{
    uint32_t *link = &registry->buckets[bucket_of(registry, registry->entries[index].names->text)];

    while (*link && *link != index)
        link = &registry->entries[*link].next;
    if (*link)
        *link = registry->entries[index].next;
}

/* Doubles the table when it is full, and the buckets with it. */
static int registry_enlarge(struct kvi_registry *registry)
{
    uint32_t size = registry->size * 2;
    struct registry_entry *entries;
    uint32_t *buckets;

    if (size > KVI_HANDLE_INDEX_MASK + 1)
        return kvi_error(KV_ESIZELIMIT, "more than %u table handles", KVI_HANDLE_INDEX_MASK);
    entries = realloc(registry->entries, size * sizeof(*entries));
    if (!entries)
        return ENOMEM;
    registry->entries = entries;
    registry->size = size;
    buckets = calloc(size, sizeof(*buckets));
    if (!buckets)
        return 0; /* longer chains, that is all */
    free(registry->buckets);
    registry->buckets = buckets;
    registry->buckets_count = size;
    for (uint32_t i = 1; i < registry->count; i++) {
        if (registry->entries[i].names)
            chain_add(registry, i);
    }
    return 0;
}

static struct registry_name *name_new(const char *text, uint64_t since, struct registry_name *older)
{
    size_t bytes = strlen(text) + 1;
    struct registry_name *name = malloc(sizeof(*name) + bytes);

    if (name) {
        name->older = older;
        name->since = since;
        memcpy(name->text, text, bytes);
    }
    return name;
}

/* The name that the entry means for a snapshot; the oldest one for snapshots before all. */
static const struct registry_name *name_at(const struct registry_entry *entry, uint64_t txnid)
{
    const struct registry_name *name = entry->names;

    while (name && name->since > txnid && name->older)
        name = name->older;
    return name;
}

static kv_table handle_of(const struct kvi_registry *registry, uint32_t index)
{
    return registry->entries[index].generation << KVI_HANDLE_INDEX_BITS | index;
}

static int entry_take(struct kvi_registry *registry, const char *text, uint32_t *index_out)
{
    struct registry_name *name;
    uint32_t index = registry->free_first;

    if (!index && registry->count == registry->size) {
        int rc = registry_enlarge(registry);

        if (rc)
            return rc;
    }
    name = name_new(text, 0, NULL);
    if (!name)
        return ENOMEM;
    if (index) {
        registry->free_first = registry->entries[index].next;
    } else {
        index = registry->count++;
        registry->entries[index].generation = 0;
    }
    registry->entries[index].names = name;
    chain_add(registry, index);
    *index_out = index;
    return 0;
}

/* An entry whose name at `txnid` is this one: by its newest name in the hash, else an older name.
 */
static uint32_t entry_find(const struct kvi_registry *registry, const char *text, uint64_t txnid)
{
    uint32_t index = registry->buckets[bucket_of(registry, text)];

    for (; index; index = registry->entries[index].next) {
        if (strcmp(name_at(&registry->entries[index], txnid)->text, text) == 0)
            return index;
    }
    for (index = 1; registry->renamed && index < registry->count; index++) {
        const struct registry_entry *entry = &registry->entries[index];

        if (entry->names && entry->names->older && strcmp(name_at(entry, txnid)->text, text) == 0)
            return index;
    }
    return 0;
}

int kvi_registry_handle(struct kvi_registry *registry, const char *name, uint64_t txnid,
                        kv_table *handle_out)
{
    uint32_t index;
    int rc = 0;

    pthread_mutex_lock(&registry->mutex);
    index = entry_find(registry, name, txnid);
    if (!index)
        rc = entry_take(registry, name, &index);
    if (!rc)
        *handle_out = handle_of(registry, index);
    pthread_mutex_unlock(&registry->mutex);
    return rc;
}

int kvi_registry_handle_new(struct kvi_registry *registry, const char *name, kv_table *handle_out)
{
    uint32_t index;
    int rc;

    pthread_mutex_lock(&registry->mutex);
    rc = entry_take(registry, name, &index);
    if (!rc)
        *handle_out = handle_of(registry, index);
    pthread_mutex_unlock(&registry->mutex);
    return rc;
}

/* The entry that a handle means, NULL when it is closed or was never given. */
static struct registry_entry *entry_of(struct kvi_registry *registry, kv_table handle)
{
    uint32_t index = handle & KVI_HANDLE_INDEX_MASK;

    if (index == 0 || index >= registry->count || !registry->entries[index].names ||
        handle_of(registry, index) != handle)
        return NULL;
    return &registry->entries[index];
}

int kvi_registry_name(struct kvi_registry *registry, kv_table handle, uint64_t txnid,
                      char **name_out)
{
    struct registry_entry *entry;
    int rc = 0;

    *name_out = NULL;
    pthread_mutex_lock(&registry->mutex);
    entry = entry_of(registry, handle);
    if (entry) {
        *name_out = strdup(name_at(entry, txnid)->text);
        rc = *name_out ? 0 : ENOMEM;
    } else {
        rc = kvi_error(KV_EBADTABLE, "table handle %u is closed or was never opened", handle);
    }
    pthread_mutex_unlock(&registry->mutex);
    return rc;
}

int kvi_registry_close(struct kvi_registry *registry, kv_table handle)
{
    struct registry_entry *entry;
    int rc = 0;

    pthread_mutex_lock(&registry->mutex);
    entry = entry_of(registry, handle);
    if (entry) {
        uint32_t index = handle & KVI_HANDLE_INDEX_MASK;

        chain_remove(registry, index);
        names_free(entry->names);
        entry->names = NULL;
        entry->generation = (entry->generation + 1) & (UINT32_MAX >> KVI_HANDLE_INDEX_BITS);
        entry->next = registry->free_first;
        registry->free_first = index;
        atomic_fetch_add(&registry->closings, 1);
    } else {
        rc = kvi_error(KV_EBADTABLE, "table handle %u is closed or was never opened", handle);
    }
    pthread_mutex_unlock(&registry->mutex);
    return rc;
}

uint32_t kvi_registry_closings(struct kvi_registry *registry)
{
    return atomic_load_explicit(&registry->closings, memory_order_acquire);
}

bool kvi_registry_open(struct kvi_registry *registry, kv_table handle)
{
    bool open;

    pthread_mutex_lock(&registry->mutex);
    open = entry_of(registry, handle) != NULL;
    pthread_mutex_unlock(&registry->mutex);
    return open;
}

void kvi_registry_rename(struct kvi_registry *registry, kv_table handle, uint64_t txnid,
                         const char *name)
{
    struct registry_entry *entry;

    pthread_mutex_lock(&registry->mutex);
    entry = entry_of(registry, handle);
    if (entry) {
        struct registry_name *newest = name_new(name, txnid, entry->names);

        if (newest) {
            chain_remove(registry, handle & KVI_HANDLE_INDEX_MASK);
            entry->names = newest;
            registry->renamed++;
            chain_add(registry, handle & KVI_HANDLE_INDEX_MASK);
        }
    }
    pthread_mutex_unlock(&registry->mutex);
}
