/* SPDX-License-Identifier: MIT */
/* LMDB's tables as kinds of libkv's; see import_kind.h. */
#include "import_kind.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "lmdb_lib.h"

/* ---- Names of orders ---- */

/* As lib/lmdb/order.c makes them. */
static void name_order(char *name, char letter, const char *table)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (; *table; table++)
        hash = (hash ^ (unsigned char)*table) * UINT64_C(0x100000001b3);
    snprintf(name, IMPORT_NAME_BYTES, "lmdb:%c:%016" PRIx64, letter, hash);
}

void import_kind_start(struct import_kind *kind, const char *table, unsigned flags)
{
    *kind = (struct import_kind){.flags = flags};
    name_order(kind->key_name, 'k', table ? table : "");
    name_order(kind->value_name, 'v', table ? table : "");
}

/* ---- The kind ---- */

/* Of two flags that contradict each other, that which LMDB looks at first. */
static enum kv_order key_order(const struct import_kind *kind)
{
    if (kind->key_custom)
        return KV_ORDER_CUSTOM;
    if (kind->flags & LMDB_REVERSEKEY)
        return KV_ORDER_REVERSE;
    return kind->flags & LMDB_INTEGERKEY ? KV_ORDER_UINT : KV_ORDER_BYTES;
}

static enum kv_order value_order(const struct import_kind *kind)
{
    if (!(kind->flags & LMDB_DUPSORT))
        return KV_ORDER_BYTES;
    if (kind->value_custom)
        return KV_ORDER_CUSTOM;
    if (kind->flags & LMDB_INTEGERDUP)
        return KV_ORDER_UINT;
    return kind->flags & LMDB_REVERSEDUP ? KV_ORDER_REVERSE : KV_ORDER_BYTES;
}

struct kv_table_options import_kind_options(const struct import_kind *kind)
{
    struct kv_table_options options = KV_TABLE_OPTIONS_INIT;
    options.order = key_order(kind);
    options.value_order = value_order(kind);
    if (kind->flags & LMDB_DUPSORT)
        options.flags |= KV_DUPLICATES | (kind->flags & LMDB_DUPFIXED ? KV_FIXED : 0);
    if (options.order == KV_ORDER_CUSTOM)
        options.comparator = kind->key_name;
    if (options.value_order == KV_ORDER_CUSTOM)
        options.value_comparator = kind->value_name;
    return options;
}

/* ---- Custom orders ---- */

static bool same(const struct kv_val *a, const struct kv_val *b)
{
    return a->size == b->size && !memcmp(a->data, b->data, a->size);
}

/* A bulk build asks about each record and the one before it, and about nothing else. */
static int compare_stored_keys(void *context, const struct kv_val *a, const struct kv_val *b)
{
    const struct import_kind *kind = context;
    return kind->flags & LMDB_DUPSORT && same(a, b) ? 0 : 1;
}

static int compare_stored_values(void *context, const struct kv_val *a, const struct kv_val *b)
{
    (void)context;
    (void)a;
    (void)b;
    return 1;
}

int import_kind_register(struct import_kind *kind, struct kv_env *env)
{
    int rc = 0;
    if (kind->key_custom)
        rc = kv_env_comparator(env, kind->key_name, compare_stored_keys, kind);
    if (!rc && kind->value_custom)
        rc = kv_env_comparator(env, kind->value_name, compare_stored_values, kind);
    return rc;
}

/* ---- Following the records ---- */

static int compare_bytes(const struct kv_val *a, const struct kv_val *b)
{
    size_t size = a->size < b->size ? a->size : b->size;
    int order = size ? memcmp(a->data, b->data, size) : 0;
    return order ? order : (a->size > b->size) - (a->size < b->size);
}

static int compare_reverse(const struct kv_val *a, const struct kv_val *b)
{
    const unsigned char *a_end = (const unsigned char *)a->data + a->size;
    const unsigned char *b_end = (const unsigned char *)b->data + b->size;
    size_t size = a->size < b->size ? a->size : b->size;
    for (size_t i = 1; i <= size; i++) {
        if (a_end[-(ptrdiff_t)i] != b_end[-(ptrdiff_t)i])
            return a_end[-(ptrdiff_t)i] < b_end[-(ptrdiff_t)i] ? -1 : 1;
    }
    return (a->size > b->size) - (a->size < b->size);
}

static uint64_t integer_of(const struct kv_val *val)
{
    uint64_t number = 0;
    uint32_t half;
    if (val->size == sizeof number) {
        memcpy(&number, val->data, sizeof number);
        return number;
    }
    memcpy(&half, val->data, sizeof half);
    return half;
}

/* Whether `b` may stand behind `a` in this order. */
static bool ascends(enum kv_order order, const struct kv_val *a, const struct kv_val *b)
{
    switch (order) {
    case KV_ORDER_BYTES:
        return compare_bytes(a, b) < 0;
    case KV_ORDER_REVERSE:
        return compare_reverse(a, b) < 0;
    case KV_ORDER_UINT:
        return a->size == b->size && integer_of(a) < integer_of(b);
    case KV_ORDER_CUSTOM:
        break;
    }
    return true;
}

static bool has_integer_size(const struct kv_val *val)
{
    return val->size == sizeof(uint32_t) || val->size == sizeof(uint64_t);
}

static bool key_fits(const struct import_kind *kind, const struct kv_val *key, bool same_key)
{
    enum kv_order order = key_order(kind);
    if (order == KV_ORDER_UINT && !has_integer_size(key))
        return false;
    return !kind->any || (same_key && kind->flags & LMDB_DUPSORT) ||
           ascends(order, &kind->key, key);
}

/* Integers of one key after the other have one size in libkv's table, in LMDB's just those of one
 * key. */
static bool value_fits(const struct import_kind *kind, const struct kv_val *value, bool same_key)
{
    enum kv_order order = value_order(kind);
    if (order == KV_ORDER_UINT && !has_integer_size(value))
        return false;
    if (order == KV_ORDER_UINT && kind->any && value->size != kind->value.size)
        return false;
    return !same_key || ascends(order, &kind->value, value);
}

bool import_kind_follow(struct import_kind *kind, const struct kv_val *key,
                        const struct kv_val *value)
{
    bool same_key = kind->any && same(&kind->key, key);
    bool key_good = key_fits(kind, key, same_key);
    bool value_good = !(kind->flags & LMDB_DUPSORT) || value_fits(kind, value, same_key);
    kind->key_custom = kind->key_custom || !key_good;
    kind->value_custom = kind->value_custom || !value_good;
    kind->any = key_good && value_good;
    kind->key = *key;
    kind->value = *value;
    return kind->any;
}
