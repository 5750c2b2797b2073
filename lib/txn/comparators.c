/* SPDX-License-Identifier: MIT */
/*
 * Comparators by name: see comparators.h. A list that only grows at its head: whoever reads follows
 * pointers that were published complete, the mutex keeps those who add apart.
 */
#include "txn/comparators.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "txn/table_kind.h"

/* A name; compare is published last, context before it. */
struct named {
    struct named *next;
    _Atomic(kv_compare_fn *) compare;
    void *context;
    char name[KVI_COMPARATOR_BYTES_MAX + 1];
};

struct kvi_comparators {
    pthread_mutex_t mutex;
    _Atomic(struct named *) first;
};

struct kvi_comparators *kvi_comparators_new(void)
{
    struct kvi_comparators *comparators = calloc(1, sizeof(*comparators));

    if (comparators)
        pthread_mutex_init(&comparators->mutex, NULL);
    return comparators;
}

void kvi_comparators_free(struct kvi_comparators *comparators)
{
    struct named *named;

    if (!comparators)
        return;
    named = atomic_load_explicit(&comparators->first, memory_order_relaxed);
    while (named) {
        struct named *next = named->next;

        free(named);
        named = next;
    }
    pthread_mutex_destroy(&comparators->mutex);
    free(comparators);
}

static struct named *find(const struct kvi_comparators *comparators, const char *name)
{
    struct named *named = atomic_load_explicit(&comparators->first, memory_order_acquire);

    while (named && strcmp(named->name, name) != 0)
        named = named->next;
    return named;
}

/* The entry of the name, made when there is none; NULL: no memory. The mutex is held. */
static struct named *obtain(struct kvi_comparators *comparators, const char *name)
{
    struct named *named = find(comparators, name);

    if (named)
        return named;
    named = calloc(1, sizeof(*named));
    if (!named)
        return NULL;
    memcpy(named->name, name, strlen(name));
    named->next = atomic_load_explicit(&comparators->first, memory_order_relaxed);
    atomic_store_explicit(&comparators->first, named, memory_order_release);
    return named;
}

int kvi_comparators_add(struct kvi_comparators *comparators, const char *name,
                        kv_compare_fn *compare, void *context)
{
    struct named *named;
    kv_compare_fn *present;
    int rc = kvi_table_kind_name(name);

    if (rc)
        return rc;
    pthread_mutex_lock(&comparators->mutex);
    named = obtain(comparators, name);
    if (!named) {
        rc = ENOMEM;
    } else {
        present = atomic_load_explicit(&named->compare, memory_order_relaxed);
        if (!present) {
            named->context = context;
            atomic_store_explicit(&named->compare, compare, memory_order_release);
        } else if (present != compare || named->context != context) {
            rc =
                kvi_error(KV_EEXIST, "comparator \"%s\" is registered with another function", name);
        }
    }
    pthread_mutex_unlock(&comparators->mutex);
    return rc;
}

struct kvi_comparator kvi_comparators_find(const struct kvi_comparators *comparators,
                                           const char *name)
{
    const struct named *named = find(comparators, name);
    struct kvi_comparator found = {NULL, NULL};

    if (named)
        found.compare = atomic_load_explicit(&named->compare, memory_order_acquire);
    if (found.compare)
        found.context = named->context;
    return found;
}

const char *kvi_comparators_text(struct kvi_comparators *comparators, const char *name)
{
    const struct named *named;

    pthread_mutex_lock(&comparators->mutex);
    named = obtain(comparators, name);
    pthread_mutex_unlock(&comparators->mutex);
    return named ? named->name : NULL;
}

bool kvi_comparators_resolve(const struct kvi_comparators *comparators,
                             const struct kvi_table_record *record, struct kvi_shape *shape)
{
    char name[KVI_COMPARATOR_BYTES_MAX + 1];

    if (KVI_LIKELY(!shape->custom))
        return true;
    if (shape->key_order == KV_ORDER_CUSTOM) {
        kvi_table_kind_key_name(record, name);
        shape->key_custom = kvi_comparators_find(comparators, name);
    }
    if (shape->value_order == KV_ORDER_CUSTOM) {
        kvi_table_kind_value_name(record, name);
        shape->value_custom = kvi_comparators_find(comparators, name);
    }
    return kvi_shape_searchable(shape);
}
