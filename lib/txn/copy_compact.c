/* SPDX-License-Identifier: MIT */
/*
 * The compacting copy: a new database in an empty file, filled in one write txn with every record
 * of every table, in stored order, by a bulk build of each. A named table's build runs to its end
 * while that of the main table waits for the table's record.
 *
 * The new database is opened without locks: nobody else knows its name yet. Table options, ids and
 * sequences, the user's marker and map limit go over with the records.
 */
#include "txn/copy.h"

#include <string.h>

#include "base/error.h"
#include "txn/table_kind.h"

#define COMPACT_PROGRESS_RECORDS 4096u
#define COMPACT_FILL 100u

struct compact {
    struct kv_txn *from;
    struct kv_txn *to;
    const struct kv_copy_options *options;
    uint64_t records;
    uint64_t leaves_left; /* that may be visited: as many as the snapshot has pages */
    bool named;           /* a named table is being copied */
    uint8_t bytes[KVI_TABLE_RECORD_BYTES_MAX]; /* of the table just made */
};

static int compact_progress(struct compact *compact, uint64_t records)
{
    const struct kv_copy_options *options = compact->options;
    uint64_t before = compact->records;

    compact->records += records;
    if (!options->progress ||
        before / COMPACT_PROGRESS_RECORDS == compact->records / COMPACT_PROGRESS_RECORDS)
        return 0;
    return options->progress(options->context, compact->records, 0);
}

/* What a table is, apart from its records. */
static void table_inherit(struct kvi_tree *to, const struct kvi_table_record *from)
{
    struct kvi_table_record record = to->record;

    kvi_table_kind_set(&record, from);
    record.key_bytes = from->key_bytes;
    record.id = from->id;
    record.sequence = from->sequence;
    kvi_tree_set_record(to, &record);
    to->changed = true;
}

static int compact_cell(void *context, uint64_t records, struct kvi_tree_put *table);

/* Fills `to` with the records of a table of the source, as they stand there: comparators are not
 * needed. */
static int compact_table(struct compact *compact, const struct kvi_table_record *record,
                         struct kvi_tree *to)
{
    struct kvi_tree from;
    struct kvi_bulk *bulk;
    int rc;

    table_inherit(to, record);
    kvi_tree_init_read(&from, record, &compact->from->view);
    rc = kvi_bulk_begin(to, COMPACT_FILL, true, &bulk);
    if (rc)
        return rc;
    rc = kvi_bulk_copy(bulk, &from, &compact->leaves_left, compact_cell, compact);
    if (rc) {
        kvi_bulk_abort(bulk);
        return rc;
    }
    return kvi_bulk_end(bulk);
}

/* A cell of the main table that is a named table: made whole, its new record put in the cell. */
static int compact_named(struct compact *compact, struct kvi_tree_put *table)
{
    static const struct kvi_table_record none;
    struct kvi_pager *pager = compact->to->pager;
    struct kvi_table_record record;
    struct kvi_tree to;
    const char *wrong;
    int rc;

    if (compact->named)
        return kvi_corrupt(compact->from->env->path, KVI_NO_PGNO, "a table inside a named table");
    wrong = kvi_table_record_decode(table->data, table->size_bytes,
                                    compact->from->snapshot.snap.page_end, &record);
    if (wrong)
        return kvi_corrupt(compact->from->env->path, KVI_NO_PGNO, wrong);
    kvi_tree_init_write(&to, &none, pager);
    compact->named = true;
    rc = compact_table(compact, &record, &to);
    compact->named = false;
    if (!rc)
        rc = kvi_pager_seal(pager, &to.record.root, to.record.depth);
    if (rc)
        return rc;
    table->data = compact->bytes;
    table->size_bytes = kvi_table_record_encode(&to.record, compact->bytes);
    compact->to->snapshot.snap.tables++;
    return 0;
}

/* A cell of the source's, of so many records. */
static int compact_cell(void *context, uint64_t records, struct kvi_tree_put *table)
{
    struct compact *compact = context;
    int rc = table ? compact_named(compact, table) : 0;

    return rc ? rc : compact_progress(compact, records);
}

static int compact_fill(struct kv_txn *from, const struct kv_copy_options *options,
                        struct kv_env *env)
{
    struct compact compact = {.from = from, .options = options};
    const struct kvi_snap *snap = &from->snapshot.snap;
    int rc = kvi_txn_begin(env, KV_WRITE, NULL, &compact.to);

    if (rc)
        return rc;
    compact.leaves_left = snap->page_end;
    rc = compact_table(&compact, &snap->main, &compact.to->main.tree);
    if (rc) {
        kvi_txn_abort(compact.to);
        return rc;
    }
    compact.to->snapshot.snap.table_id_next = snap->table_id_next;
    compact.to->snapshot.snap.map_limit = snap->map_limit;
    memcpy(compact.to->snapshot.snap.marker, snap->marker, KVI_SNAP_MARKER_BYTES);
    return kvi_txn_commit(compact.to);
}

int kvi_copy_compact(struct kv_txn *txn, const struct kv_copy_options *options, int fd,
                     const char *path)
{
    const struct kvi_create_first first = {0, NULL}; /* it comes with the records */
    struct kv_options target = KV_OPTIONS_INIT;
    struct kv_env *env;
    int closed;
    int rc;

    target.flags = KV_NOLOCK;
    rc = kvi_create_into(fd, path, &txn->env->geometry, &first);
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
