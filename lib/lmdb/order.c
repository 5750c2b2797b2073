/* SPDX-License-Identifier: MIT */
/*
 * Users' comparators.
 *
 * In LMDB an order is no property of the file: a program says how it compares, at any time, and
 * LMDB believes it. kv.h records in the table that it has a user's order, by a name, and wants the
 * function of that name before it searches. So a table with a comparator is stored under a name made
 * from its own, and what is registered under that name is a trampoline, which calls whatever was
 * set last: LMDB's own order by the table's flags before anything was set.
 *
 * The table becomes one of a user's order at the first change after a comparator was set
 * (kvi_lmdb_ready), not when it is set: that may happen in a read txn, or in one that changes
 * nothing, which must use up no txnid. Until then it is searched in its stored order. A table that
 * has records keeps them in the order they have.
 *
 * Alike bytes are equal, whatever the function says: mdb_load -a sets one for which all is greater.
 *
 * Threads: the list under the env's mutex; a comparator may be called by any thread.
 */
#include "lmdb/lmdb_impl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Trampolines ---- */

static int call(MDB_cmp_func *compare, const struct kv_val *a, const struct kv_val *b)
{
    if (a->size == b->size && (a->size == 0 || memcmp(a->data, b->data, a->size) == 0))
        return 0;
    return compare((const MDB_val *)(const void *)a, (const MDB_val *)(const void *)b);
}

static int call_key(void *context, const struct kv_val *a, const struct kv_val *b)
{
    struct kvi_lmdb_order *order = context;

    return call(atomic_load_explicit(&order->key, memory_order_relaxed), a, b);
}

static int call_value(void *context, const struct kv_val *a, const struct kv_val *b)
{
    struct kvi_lmdb_order *order = context;

    return call(atomic_load_explicit(&order->value, memory_order_relaxed), a, b);
}

/* ---- The env's list ---- */

static void names_make(struct kvi_lmdb_order *order, const char *name)
{
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */

    for (; *name; name++)
        hash = (hash ^ (uint8_t)*name) * 0x100000001b3u;
    (void)snprintf(order->key_name, sizeof(order->key_name), "lmdb:k:%016llx",
                   (unsigned long long)hash);
    (void)snprintf(order->value_name, sizeof(order->value_name), "lmdb:v:%016llx",
                   (unsigned long long)hash);
}

/* The mutex is held. */
static int order_make(MDB_env *env, const struct kvi_lmdb_order *names,
                      struct kvi_lmdb_order **order_out)
{
    struct kvi_lmdb_order *order = malloc(sizeof(*order));
    int rc;

    if (!order)
        return ENOMEM;
    *order = *names;
    atomic_init(&order->key, kvi_lmdb_default_compare(0));
    atomic_init(&order->value, kvi_lmdb_default_compare_value(0));
    rc = kv_env_comparator(env->kv, order->key_name, call_key, order);
    if (!rc)
        rc = kv_env_comparator(env->kv, order->value_name, call_value, order);
    /* Registered for good, so it stays also when only one was. */
    order->next = env->orders;
    env->orders = order;
    *order_out = order;
    return kvi_lmdb_result(rc);
}

int kvi_lmdb_order_find(MDB_env *env, const char *name, struct kvi_lmdb_order **order_out)
{
    struct kvi_lmdb_order names;
    struct kvi_lmdb_order *order;
    int rc = 0;

    memset(&names, 0, sizeof(names));
    names_make(&names, name);
    pthread_mutex_lock(&env->mutex);
    order = env->orders;
    while (order && strcmp(order->key_name, names.key_name) != 0)
        order = order->next;
    if (!order)
        rc = order_make(env, &names, &order);
    pthread_mutex_unlock(&env->mutex);
    *order_out = rc ? NULL : order;
    return rc;
}

void kvi_lmdb_orders_end(MDB_env *env)
{
    while (env->orders) {
        struct kvi_lmdb_order *next = env->orders->next;

        free(env->orders);
        env->orders = next;
    }
}

/* ---- Tables ---- */

/* What is set for the slot is what the trampolines call. */
static void order_point(const struct kvi_lmdb_table *table)
{
    if (!table->order)
        return;
    atomic_store_explicit(&table->order->key, table->compare, memory_order_relaxed);
    atomic_store_explicit(&table->order->value, table->compare_value, memory_order_relaxed);
}

void kvi_lmdb_orders_default(MDB_env *env, MDB_dbi dbi)
{
    struct kvi_lmdb_table *table = &env->tables[dbi];

    table->compare = kvi_lmdb_default_compare(table->flags);
    table->compare_value = kvi_lmdb_default_compare_value(table->flags);
    if (dbi == KVI_LMDB_FREE_DBI)
        table->compare = kvi_lmdb_compare_txnids();
    table->custom = false;
    order_point(table);
}

/* The table's order by its stored kind. */
static int order_meet(MDB_env *env, struct kv_txn *kv, struct kvi_lmdb_table *table)
{
    struct kv_table_options options;
    int rc = kv_table_options(kv, table->kv, &options);

    if (rc)
        return kvi_lmdb_result(rc);
    if (options.order != KV_ORDER_CUSTOM && options.value_order != KV_ORDER_CUSTOM)
        return 0;
    rc = kvi_lmdb_order_find(env, table->name, &table->order);
    order_point(table);
    return rc;
}

int kvi_lmdb_orders_meet(MDB_txn *txn, MDB_dbi dbi)
{
    kvi_lmdb_orders_default(txn->env, dbi);
    return order_meet(txn->env, txn->kv, &txn->env->tables[dbi]);
}

/* Without a reader left, and with an env that knows no table yet, it is met when it is opened. */
int kvi_lmdb_main_meet(MDB_env *env)
{
    struct kvi_lmdb_table *table = &env->tables[KVI_LMDB_MAIN_DBI];
    struct kv_txn *kv;
    int rc = kv_txn_begin(env->kv, KV_READ, NULL, &kv);

    kvi_lmdb_orders_default(env, KVI_LMDB_MAIN_DBI);
    if (rc)
        return 0;
    rc = kvi_lmdb_flags_read(kv, KV_MAIN_TABLE, &table->flags, &table->kept);
    kvi_lmdb_orders_default(env, KVI_LMDB_MAIN_DBI);
    if (!rc)
        rc = order_meet(env, kv, table);
    kv_txn_abort(kv);
    return kvi_lmdb_result(rc);
}

/* ---- Made ready ---- */

/* Stores the table under its comparators, where one that is not LMDB's was set. */
static int custom_store(MDB_txn *txn, struct kvi_lmdb_table *table, bool key, bool value)
{
    struct kv_table_options options;
    int rc = kv_table_options(txn->kv, table->kv, &options);
    bool key_stored = options.order == KV_ORDER_CUSTOM;
    bool value_stored = options.value_order == KV_ORDER_CUSTOM;

    if (rc)
        return rc == KV_EBADTABLE ? 0 : kvi_lmdb_changed(txn, rc);
    value = value && table->flags & MDB_DUPSORT && options.flags & KV_DUPLICATES;
    if ((!key || key_stored) && (!value || value_stored))
        return 0;
    rc = kvi_lmdb_order_find(txn->env, table->name, &table->order);
    if (rc)
        return rc;
    kvi_lmdb_options_of(table->flags, key || key_stored ? table->order->key_name : NULL,
                        value || value_stored ? table->order->value_name : NULL, &options);
    return kvi_lmdb_rebuild(txn, table, &options);
}

int kvi_lmdb_table_ready(MDB_txn *txn, MDB_dbi dbi)
{
    struct kvi_lmdb_table *table = &txn->env->tables[dbi];
    int rc = 0;

    if (kvi_lmdb_cramped(txn->env))
        return kvi_lmdb_changed(txn, KV_ESIZELIMIT);
    if (table->custom) {
        bool key = table->compare != kvi_lmdb_default_compare(table->flags);
        bool value = table->compare_value != kvi_lmdb_default_compare_value(table->flags);

        rc = custom_store(txn, table, key, value);
        order_point(table);
    }
    if (rc)
        return rc;
    txn->seen[dbi] |= KVI_LMDB_SEEN_READY;
    txn->tables_version = 0;
    return 0;
}

/* Integers of sizes that kv.h's order has not are for LMDB's own function. */
int kvi_lmdb_table_loosen(MDB_txn *txn, MDB_dbi dbi, bool values)
{
    struct kvi_lmdb_table *table = &txn->env->tables[dbi];
    struct kv_table_options options;
    struct kv_table_stat stat;
    int rc = kv_table_options(txn->kv, table->kv, &options);

    if (!rc)
        rc = kv_table_stat(txn->kv, table->kv, &stat);
    if (rc)
        return kvi_lmdb_result(rc);
    if ((values ? options.value_order : options.order) != KV_ORDER_UINT)
        return MDB_BAD_VALSIZE;
    if (values && table->flags & MDB_DUPFIXED && stat.entries > 0) /* one size it is */
        return MDB_BAD_VALSIZE;
    rc = custom_store(txn, table, !values, values);
    order_point(table);
    return rc;
}

static bool is_same(const struct kv_val *a, const MDB_val *b)
{
    return a->size == b->mv_size && memcmp(a->data, b->mv_data, a->size) == 0;
}

int kvi_lmdb_respell(MDB_txn *txn, MDB_dbi dbi, const MDB_val *key, size_t value_bytes)
{
    const struct kvi_lmdb_table *table = &txn->env->tables[dbi];
    struct kv_val there = {key->mv_size, key->mv_data};
    struct kv_cursor *cursor;
    struct kv_val value;
    int rc;

    if (table->flags & MDB_DUPSORT)
        return 0;
    rc = kv_get(txn->kv, table->kv, &there, &value);
    if (rc || value.size == value_bytes)
        return 0; /* the put will tell */
    rc = kv_cursor_open(txn->kv, table->kv, &cursor);
    if (rc)
        return rc;
    rc = kv_cursor_get(cursor, KV_EXACT, &there, NULL);
    if (!rc)
        rc = kv_cursor_get(cursor, KV_CURRENT, &there, NULL);
    if (!rc && !is_same(&there, key))
        rc = kv_cursor_del(cursor, 0);
    kv_cursor_close(cursor);
    return rc;
}

/* ---- Set ---- */

static int set(MDB_txn *txn, MDB_dbi dbi, MDB_cmp_func *key, MDB_cmp_func *value)
{
    struct kvi_lmdb_table *table;

    if (!kvi_lmdb_seen(txn, dbi) || dbi == KVI_LMDB_FREE_DBI)
        return EINVAL;
    table = &txn->env->tables[dbi];
    if (key)
        table->compare = key;
    if (value)
        table->compare_value = value;
    table->custom = true;
    order_point(table);
    txn->seen[dbi] &= (uint8_t)~KVI_LMDB_SEEN_READY;
    return 0;
}

KVI_LMDB_API int mdb_set_compare(MDB_txn *txn, MDB_dbi dbi, MDB_cmp_func *cmp)
{
    return set(txn, dbi, cmp, NULL);
}

KVI_LMDB_API int mdb_set_dupsort(MDB_txn *txn, MDB_dbi dbi, MDB_cmp_func *cmp)
{
    return set(txn, dbi, NULL, cmp);
}
