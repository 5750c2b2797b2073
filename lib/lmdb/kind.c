/* SPDX-License-Identifier: MIT */
/*
 * LMDB's table flags against kv.h's kinds, and tables that change their kind.
 *
 * An empty table changes in place. One with records is read out, emptied, changed and filled again,
 * in memory: it happens once to a table, when a program gives it a comparator or new flags after its
 * first records, or integers of another size. Records keep their order under a user's comparator
 * (LMDB would leave them where they are), and are sorted under any other. What does not fit the new
 * kind leaves the table as it was.
 *
 * Threads: the txn's.
 */
#include "lmdb/lmdb_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- Flags and options ---- */

void kvi_lmdb_options_of(unsigned flags, const char *key_name, const char *value_name,
                         struct kv_table_options *options_out)
{
    struct kv_table_options o = KV_TABLE_OPTIONS_INIT;

    o.order = key_name                 ? KV_ORDER_CUSTOM
              : flags & MDB_REVERSEKEY ? KV_ORDER_REVERSE
              : flags & MDB_INTEGERKEY ? KV_ORDER_UINT
                                       : KV_ORDER_BYTES;
    o.comparator = key_name;
    if (flags & MDB_DUPSORT) {
        o.flags = KV_DUPLICATES | (flags & MDB_DUPFIXED ? KV_FIXED : 0);
        o.value_order = value_name               ? KV_ORDER_CUSTOM
                        : flags & MDB_INTEGERDUP ? KV_ORDER_UINT
                        : flags & MDB_REVERSEDUP ? KV_ORDER_REVERSE
                                                 : KV_ORDER_BYTES;
        o.value_comparator = value_name;
    }
    *options_out = o;
}

/* Of a table that was made by other means. */
static unsigned flags_of(const struct kv_table_options *o)
{
    unsigned flags = 0;

    if (o->order == KV_ORDER_REVERSE)
        flags |= MDB_REVERSEKEY;
    if (o->order == KV_ORDER_UINT)
        flags |= MDB_INTEGERKEY;
    if (!(o->flags & KV_DUPLICATES))
        return flags;
    flags |= MDB_DUPSORT;
    if (o->flags & KV_FIXED)
        flags |= MDB_DUPFIXED;
    if (o->value_order == KV_ORDER_UINT)
        flags |= MDB_INTEGERDUP;
    if (o->value_order == KV_ORDER_REVERSE)
        flags |= MDB_REVERSEDUP;
    return flags;
}

int kvi_lmdb_flags_read(struct kv_txn *kv, kv_table table, unsigned *flags_out, uint64_t *kept_out)
{
    struct kv_table_options options;
    int rc = kv_sequence(kv, table, 0, kept_out);

    *flags_out = (unsigned)*kept_out & KVI_LMDB_TABLE_FLAGS;
    if (rc || *flags_out)
        return rc;
    rc = kv_table_options(kv, table, &options);
    if (!rc)
        *flags_out = flags_of(&options);
    return rc;
}

/* ---- Reading out ---- */

/* Records one behind the other, each two sizes and the bytes. */
struct heap {
    uint8_t *bytes;
    size_t used;
    size_t size;
};

static int heap_add(struct heap *heap, const struct kv_val *key, const struct kv_val *value)
{
    size_t sizes[2] = {key->size, value->size};
    size_t need = heap->used + sizeof(sizes) + key->size + value->size;

    if (need > heap->size) {
        size_t size = need > heap->size * 2 ? need + 4096 : heap->size * 2;
        uint8_t *bytes = realloc(heap->bytes, size);

        if (!bytes)
            return ENOMEM;
        heap->bytes = bytes;
        heap->size = size;
    }
    memcpy(heap->bytes + heap->used, sizes, sizeof(sizes));
    heap->used += sizeof(sizes);
    if (key->size)
        memcpy(heap->bytes + heap->used, key->data, key->size);
    heap->used += key->size;
    if (value->size)
        memcpy(heap->bytes + heap->used, value->data, value->size);
    heap->used += value->size;
    return 0;
}

/* The record at `at`; returns where the next one is. */
static size_t heap_read(const struct heap *heap, size_t at, struct kv_val *key,
                        struct kv_val *value)
{
    size_t sizes[2];

    memcpy(sizes, heap->bytes + at, sizeof(sizes));
    at += sizeof(sizes);
    key->size = sizes[0];
    key->data = heap->bytes + at;
    value->size = sizes[1];
    value->data = heap->bytes + at + sizes[0];
    return at + sizes[0] + sizes[1];
}

static int heap_fill(struct heap *heap, struct kv_txn *kv, kv_table table)
{
    struct kv_val key;
    struct kv_val value;
    struct kv_cursor *cursor;
    int rc = kv_cursor_open(kv, table, &cursor);

    if (rc)
        return rc;
    do {
        rc = kv_cursor_get(cursor, KV_NEXT, &key, &value);
        if (!rc)
            rc = heap_add(heap, &key, &value);
    } while (!rc);
    kv_cursor_close(cursor);
    return rc == KV_ENOTFOUND ? 0 : rc;
}

/* ---- Filling again ---- */

/* What stands for a user's order meanwhile: whatever comes is behind what is there. */
static int compare_behind(const MDB_val *a, const MDB_val *b)
{
    (void)a;
    (void)b;
    return 1;
}

static int change_and_put(struct kv_txn *kv, const struct kvi_lmdb_table *table,
                          const struct kv_table_options *options, const struct heap *heap)
{
    const char *name = *table->name ? table->name : NULL;
    struct kv_val key;
    struct kv_val value;
    struct kv_bulk *bulk;
    kv_table same;
    int rc = kv_table_open(kv, name, KV_CREATE, options, &same);
    int ended;

    if (!rc)
        rc = kv_bulk_begin(kv, table->kv, 0, &bulk);
    if (rc)
        return rc;
    for (size_t at = 0; !rc && at < heap->used;) {
        at = heap_read(heap, at, &key, &value);
        rc = kv_bulk_put(bulk, &key, &value, 0);
    }
    ended = kv_bulk_end(bulk);
    return rc ? rc : ended;
}

static int refill(struct kv_txn *kv, const struct kvi_lmdb_table *table,
                  const struct kv_table_options *options, const struct heap *heap)
{
    struct kvi_lmdb_order *order = table->order;
    MDB_cmp_func *key = NULL;
    MDB_cmp_func *value = NULL;
    int rc;

    if (order) {
        key = atomic_exchange_explicit(&order->key, compare_behind, memory_order_relaxed);
        value = atomic_exchange_explicit(&order->value, compare_behind, memory_order_relaxed);
    }
    rc = change_and_put(kv, table, options, heap);
    if (order) {
        atomic_store_explicit(&order->key, key, memory_order_relaxed);
        atomic_store_explicit(&order->value, value, memory_order_relaxed);
    }
    return rc;
}

static bool is_misfit(int rc)
{
    return rc == KV_EKEYSIZE || rc == KV_EVALSIZE || rc == KV_EINCOMPATIBLE;
}

static int rebuild(struct kv_txn *kv, const struct kvi_lmdb_table *table,
                   const struct kv_table_options *before, const struct kv_table_options *options)
{
    struct heap heap = {NULL, 0, 0};
    int rc = heap_fill(&heap, kv, table->kv);

    if (!rc)
        rc = kv_table_empty(kv, table->kv);
    if (!rc)
        rc = refill(kv, table, options, &heap);
    if (is_misfit(rc)) {
        rc = kv_table_empty(kv, table->kv);
        if (!rc)
            rc = refill(kv, table, before, &heap);
    }
    free(heap.bytes);
    return rc;
}

int kvi_lmdb_rebuild(MDB_txn *txn, const struct kvi_lmdb_table *table,
                     const struct kv_table_options *options)
{
    bool main = !*table->name;
    struct kv_table_options before;
    struct kv_table_stat stat;
    struct kv_env_stat env_stat;
    kv_table same;
    int rc = kv_table_options(txn->kv, table->kv, &before);

    if (!rc)
        rc = kv_table_stat(txn->kv, table->kv, &stat);
    if (!rc)
        rc = kv_env_stat(txn->kv, &env_stat);
    if (!rc && main && env_stat.tables > 0) /* names are in byte order */
        return 0;
    if (!rc && stat.entries == 0)
        rc = kv_table_open(txn->kv, main ? NULL : table->name, KV_CREATE, options, &same);
    else if (!rc)
        rc = rebuild(txn->kv, table, &before, options);
    return is_misfit(rc) ? 0 : kvi_lmdb_changed(txn, rc);
}

/* ---- The main table ---- */

int kvi_lmdb_main_change(MDB_txn *txn, unsigned flags)
{
    const struct kvi_lmdb_table *table = &txn->env->tables[KVI_LMDB_MAIN_DBI];
    struct kv_table_options options;
    unsigned present = 0;
    uint64_t before;
    int rc = kv_sequence(txn->kv, KV_MAIN_TABLE, 0, &before);

    present = (unsigned)before & KVI_LMDB_TABLE_FLAGS;
    if (!rc && flags & ~present)
        rc = kv_sequence(txn->kv, KV_MAIN_TABLE, flags & ~present, &before);
    rc = kvi_lmdb_changed(txn, rc);
    if (rc)
        return rc;
    kvi_lmdb_options_of(flags, NULL, NULL, &options);
    return kvi_lmdb_rebuild(txn, table, &options);
}
