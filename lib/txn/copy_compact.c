/* SPDX-License-Identifier: MIT */
/*
 * The compacting copy: a new database in an empty file, filled in one write txn with every record
 * of every table, in key order.
 *
 * The new database is opened without locks: nobody else knows its name yet. Table options, ids and
 * sequences, the user's marker and map limit go over with the records.
 */
#include "txn/copy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "txn/comparators.h"
#include "txn/table_kind.h"

#define COMPACT_PROGRESS_RECORDS 4096u

struct compact {
    struct kv_txn *from;
    struct kv_txn *to;
    const struct kv_copy_options *options;
    uint64_t records;
    struct kv_val key; /* of the record being put, and its value: stored_order */
    struct kv_val value;
};

static int compact_progress(struct compact *compact)
{
    const struct kv_copy_options *options = compact->options;

    if (!options->progress || ++compact->records % COMPACT_PROGRESS_RECORDS != 0)
        return 0;
    return options->progress(options->context, compact->records, 0);
}

static bool same_bytes(const struct kv_val *a, const struct kv_val *b)
{
    return a->size == b->size && (a->size == 0 || memcmp(a->data, b->data, a->size) == 0);
}

/* A user's order that is not registered here: what comes is behind all that came before it, since
 * it was read in that order. The context is what is being put. */
static int stored_order(void *context, const struct kv_val *a, const struct kv_val *b)
{
    return (int)same_bytes(a, context) - (int)same_bytes(b, context);
}

/* What a table is, apart from its records. */
static void table_inherit(struct compact *compact, struct kvi_tree *to,
                          const struct kvi_table_record *from)
{
    struct kvi_table_record record = to->record;
    struct kvi_shape *shape = &to->shape;

    kvi_table_kind_set(&record, from);
    record.key_bytes = from->key_bytes;
    record.id = from->id;
    record.sequence = from->sequence;
    kvi_tree_set_record(to, &record);
    to->changed = true;
    if (kvi_comparators_resolve(compact->from->env->comparators, &to->record, shape))
        return;
    if (shape->key_order == KV_ORDER_CUSTOM && !shape->key_custom.compare)
        shape->key_custom = (struct kvi_comparator){stored_order, &compact->key};
    if (shape->value_order == KV_ORDER_CUSTOM && !shape->value_custom.compare)
        shape->value_custom = (struct kvi_comparator){stored_order, &compact->value};
}

static int compact_table(struct compact *compact, const struct kvi_table_record *record,
                         struct kvi_tree *to);

/* A cell of the main table that is a named table: made and filled. */
static int compact_named(struct compact *compact, struct kvi_key key,
                         const struct kvi_tree_value *value)
{
    char *name = strndup((const char *)key.data, key.size);
    struct kvi_table_record record;
    struct kvi_txn_table *entry;
    const char *wrong;
    kv_table handle;
    int rc;

    if (!name)
        return ENOMEM;
    wrong = kvi_table_record_decode(value->data, value->size_bytes,
                                    compact->from->snapshot.snap.page_end, &record);
    rc = wrong ? kvi_corrupt(compact->from->env->path, KVI_NO_PGNO, wrong) : 0;
    if (!rc)
        rc = kvi_table_open(compact->to, name, KV_CREATE, NULL, &handle);
    if (!rc)
        rc = kvi_txn_table(compact->to, handle, &entry);
    if (!rc)
        rc = compact_table(compact, &record, &entry->tree);
    free(name);
    return rc;
}

/* Appends every record of the tree to `to`. */
static int compact_records(struct compact *compact, struct kvi_cursor *cursor, struct kvi_tree *to)
{
    struct kvi_tree_value value;
    struct kvi_key key = {NULL, 0};
    int rc = kvi_cursor_get(cursor, KV_FIRST, &key, &value);

    while (!rc) {
        struct kvi_tree_put put = {value.data, value.size_bytes, NULL};

        compact->key = (struct kv_val){key.size, (void *)(uintptr_t)key.data};
        compact->value = (struct kv_val){(size_t)value.size_bytes, (void *)(uintptr_t)value.data};
        if (value.kind == KVI_CELL_TABLE)
            rc = compact_named(compact, key, &value);
        else
            rc = kvi_tree_put(to, key, &put, KV_APPEND);
        if (!rc)
            rc = compact_progress(compact);
        if (rc) /* also a KV_ENOTFOUND of the callback: only the cursor's is the end */
            return rc;
        rc = kvi_cursor_get(cursor, KV_NEXT, &key, &value);
    }
    return rc == KV_ENOTFOUND ? 0 : rc;
}

static int compact_table(struct compact *compact, const struct kvi_table_record *record,
                         struct kvi_tree *to)
{
    struct kvi_tree from;
    struct kvi_cursor *cursor;
    int rc;

    table_inherit(compact, to, record);
    kvi_tree_init_read(&from, record, &compact->from->view);
    rc = kvi_cursor_open(&from, &cursor);
    if (rc)
        return rc;
    rc = compact_records(compact, cursor, to);
    kvi_cursor_close(cursor);
    return rc;
}

static int compact_fill(struct kv_txn *from, const struct kv_copy_options *options,
                        struct kv_env *env)
{
    struct compact compact = {.from = from, .options = options};
    int rc = kvi_txn_begin(env, KV_WRITE, NULL, &compact.to);

    if (rc)
        return rc;
    rc = compact_table(&compact, &from->snapshot.snap.main, &compact.to->main.tree);
    if (rc) {
        kvi_txn_abort(compact.to);
        return rc;
    }
    compact.to->snapshot.snap.table_id_next = from->snapshot.snap.table_id_next;
    compact.to->snapshot.snap.map_limit = from->snapshot.snap.map_limit;
    memcpy(compact.to->snapshot.snap.marker, from->snapshot.snap.marker, KVI_SNAP_MARKER_BYTES);
    return kvi_txn_commit(compact.to);
}

int kvi_copy_compact(struct kv_txn *txn, const struct kv_copy_options *options, int fd,
                     const char *path)
{
    struct kv_options target = KV_OPTIONS_INIT;
    struct kv_env *env;
    int closed;
    int rc;

    target.flags = KV_NOLOCK;
    rc = kvi_create_into(fd, path, &txn->env->geometry);
    if (!rc)
        rc = kvi_env_open(path, &target, &env);
    if (rc)
        return rc;
    rc = compact_fill(txn, options, env);
    if (!rc)
        rc = kvi_durable_last(env);
    closed = kvi_env_close(env);
    return rc ? rc : closed;
}
