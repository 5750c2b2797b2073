/* SPDX-License-Identifier: MIT */
/* See kind_help.h. */
#include "kind_help.h"

#include <string.h>

int by_length(void *context, const struct kv_val *a, const struct kv_val *b)
{
    (void)context;
    if (a->size != b->size)
        return a->size < b->size ? -1 : 1;
    return a->size ? memcmp(a->data, b->data, a->size) : 0;
}

int backwards(void *context, const struct kv_val *a, const struct kv_val *b)
{
    return -by_length(context, a, b);
}

void comparators_known(struct kv_env *env)
{
    ck_ok(kv_env_comparator(env, "length", by_length, NULL));
    ck_ok(kv_env_comparator(env, "backwards", backwards, NULL));
}

struct kv_table_options kind(uint32_t flags, enum kv_order order)
{
    struct kv_table_options options = KV_TABLE_OPTIONS_INIT;

    options.flags = flags;
    options.order = order;
    if (order == KV_ORDER_CUSTOM)
        options.comparator = "length";
    return options;
}

kv_table make(struct kv_txn *txn, const char *name, const struct kv_table_options *options)
{
    kv_table table;

    ck_ok(kv_table_open(txn, name, KV_CREATE, options, &table));
    return table;
}

int try_open(struct kv_txn *txn, const char *name, uint32_t flags,
             const struct kv_table_options *options)
{
    kv_table table;

    return kv_table_open(txn, name, flags, options, &table);
}

struct kv_table_options told(struct kv_txn *txn, kv_table table)
{
    struct kv_table_options options;

    ck_ok(kv_table_options(txn, table, &options));
    return options;
}

static bool same_name(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

void is_kind(struct kv_txn *txn, kv_table table, const struct kv_table_options *expected)
{
    struct kv_table_options options = told(txn, table);

    ck_assert_uint_eq(options.struct_bytes, sizeof(options));
    ck_assert_uint_eq(options.flags, expected->flags);
    ck_assert_int_eq(options.order, expected->order);
    ck_assert_int_eq(options.value_order, expected->value_order);
    ck_assert_uint_eq(options.value_bytes, expected->value_bytes);
    ck_assert_uint_eq(options.align, expected->align);
    ck_assert(same_name(options.comparator, expected->comparator));
    ck_assert(same_name(options.value_comparator, expected->value_comparator));
}

void keys_are(struct kv_txn *txn, kv_table table, const char *expected)
{
    struct kv_cursor *cursor;
    struct kv_val key;
    char text[256] = "";
    int rc;

    ck_ok(kv_cursor_open(txn, table, &cursor));
    while ((rc = kv_cursor_get(cursor, KV_NEXT, &key, NULL)) == 0) {
        strncat(text, key.data, key.size);
        strcat(text, " ");
    }
    ck_assert_int_eq(rc, KV_ENOTFOUND);
    kv_cursor_close(cursor);
    ck_assert_str_eq(text, expected);
}
