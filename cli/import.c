/* SPDX-License-Identifier: MIT */
/* Tables from LMDB; see import.h. */
#include "import.h"

#include <stdlib.h>
#include <string.h>

#include "progress.h"
#include "status.h"

/* One table on its way. */
struct passage {
    struct import *import;
    struct imported *imported;
    struct lmdb_table from;
    struct kv_bulk *bulk;
    bool again; /* its records ask for another kind: to be read once more */
};

/* ---- The list of tables ---- */

static struct imported *add_table(struct import *import, const char *name, size_t name_size)
{
    struct imported **tables = reallocarray(import->tables, import->count + 1, sizeof(void *));
    struct imported *imported = calloc(1, sizeof *imported);
    if (tables)
        import->tables = tables;
    if (imported && name)
        imported->name = strndup(name, name_size);
    if (!tables || !imported || (name && !imported->name)) {
        free(imported);
        (void)status_failed("out of memory");
        return NULL;
    }
    import->tables[import->count++] = imported;
    return imported;
}

/* Forgets all but the first `count`. */
static void cut_tables(struct import *import, size_t count)
{
    while (import->count > count) {
        struct imported *imported = import->tables[--import->count];
        free(imported->name);
        free(imported);
    }
}

void import_free(struct import *import)
{
    cut_tables(import, 0);
    free(import->tables);
    import->tables = NULL;
}

/* ---- Tables that cannot be imported ---- */

/* STATUS_NEGATIVE says so to the caller, the message having named table and reason. */
#define refuse(...) (message(__VA_ARGS__), STATUS_NEGATIVE)

static const char *name_of(const struct passage *passage)
{
    return session_table_name(passage->imported->name);
}

/* What a record that the database refused says of its table. */
static int judge(const struct passage *passage, int rc, const struct kv_val *key,
                 const struct kv_val *value)
{
    if (rc == KV_EKEYSIZE)
        return refuse("table %s: a key of %zu bytes is too long for pages of this size",
                      name_of(passage), key->size);
    if (rc == KV_EVALSIZE && passage->from.flags & LMDB_DUPFIXED)
        return refuse("table %s: it says that its values have one size, but one of %zu bytes is "
                      "among others",
                      name_of(passage), value->size);
    if (rc == KV_EVALSIZE)
        return refuse("table %s: a value of %zu bytes is too long for pages of this size",
                      name_of(passage), value->size);
    return status_of(rc, "cannot put into table %s", name_of(passage));
}

/* LMDB mixes up a table of MDB_DUPFIXED alone with what it keeps values of one size in: it stores no
 * values there, and reading some ends the program. */
static int check_flags(const struct passage *passage)
{
    unsigned flags = passage->from.flags;
    if (flags & ~LMDB_TABLE_FLAGS)
        return refuse("table %s: it has flags that are not known here: 0x%x", name_of(passage),
                      flags & ~LMDB_TABLE_FLAGS);
    if ((flags & LMDB_DUPFIXED) && !(flags & LMDB_DUPSORT) && passage->from.entries)
        return refuse("table %s: it has MDB_DUPFIXED without MDB_DUPSORT, so that LMDB kept no "
                      "values and cannot read it",
                      name_of(passage));
    return STATUS_DONE;
}

/* Named tables stand in the main one, and are found there by its order. */
static int refuse_named_tables(const struct passage *passage)
{
    return refuse("%s: its keys are in an order of the program's own, beside which there "
                  "can be no named tables",
                  name_of(passage));
}

/* ---- Records ---- */

static int begin_bulk(struct passage *passage)
{
    struct session *session = passage->import->session;
    struct import_kind *kind = &passage->imported->kind;
    struct kv_table_options options = import_kind_options(kind);
    int rc = import_kind_register(kind, session->env);
    if (!rc)
        rc = kv_table_open(session->txn, passage->imported->name, KV_CREATE, &options,
                           &session->table);
    if (!rc)
        rc = kv_bulk_begin(session->txn, session->table, 0, &passage->bulk);
    return rc ? status_of(rc, "cannot make table %s", name_of(passage)) : STATUS_DONE;
}

static int end_bulk(struct passage *passage)
{
    int rc = passage->bulk ? kv_bulk_end(passage->bulk) : 0;
    passage->bulk = NULL;
    return rc ? status_of(rc, "cannot complete table %s", name_of(passage)) : STATUS_DONE;
}

static int note_progress(struct import *import)
{
    if (++import->done % 256 == 0)
        progress_update_of(import->done, import->total);
    return *import->stop ? status_failed("stopped by a signal") : STATUS_DONE;
}

static int take_record(struct passage *passage, const struct kv_val *key,
                       const struct kv_val *value)
{
    struct import *import = passage->import;
    bool is_table = false;
    int status = note_progress(import);
    if (!status && !passage->imported->name)
        status = lmdb_source_is_table(import->source, key, value, &is_table);
    if (status)
        return status;
    if (!import_kind_follow(&passage->imported->kind, key, value)) {
        passage->again = true;
        return STATUS_DONE;
    }
    if (passage->imported->kind.key_custom && !passage->imported->name &&
        (is_table || lmdb_source_resembles_table(import->source, value)))
        return refuse_named_tables(passage);
    if (is_table)
        return add_table(import, key->data, key->size) ? STATUS_DONE : STATUS_FAILED;
    int rc = kv_bulk_put(passage->bulk, key, value, 0);
    passage->imported->records += !rc;
    return rc ? judge(passage, rc, key, value) : STATUS_DONE;
}

/* Reads the table from its start to its end, or to where its records ask for another kind. */
static int read_once(struct passage *passage)
{
    struct kv_val key;
    struct kv_val value;
    passage->again = false;
    passage->imported->records = 0;
    passage->imported->kind.any = false;
    lmdb_table_rewind(&passage->from);
    int status = begin_bulk(passage);
    int next = STATUS_DONE;
    while (!status && !passage->again) {
        next = lmdb_table_next(passage->import->source, &passage->from, &key, &value);
        if (next)
            break;
        status = take_record(passage, &key, &value);
    }
    int end = end_bulk(passage);
    if (!status && next != STATUS_NEGATIVE)
        status = next;
    return status ? status : end;
}

/* What was built is given up; the table is empty then, or gone. */
static int clear_table(struct passage *passage, bool drop)
{
    struct session *session = passage->import->session;
    struct kv_table_options plain = KV_TABLE_OPTIONS_INIT;
    int rc = 0;
    passage->imported->records = 0;
    if (drop && passage->imported->name)
        rc = kv_table_drop(session->txn, session->table);
    else
        rc = kv_table_empty(session->txn, session->table);
    if (!rc && drop && !passage->imported->name)
        rc = kv_table_open(session->txn, NULL, KV_CREATE, &plain, &session->table);
    return rc ? status_of(rc, "cannot give up table %s", name_of(passage)) : STATUS_DONE;
}

static int read_records(struct passage *passage)
{
    struct import *import = passage->import;
    uint64_t done = import->done;
    int status = read_once(passage);
    while (!status && passage->again) {
        if (!passage->imported->name)
            cut_tables(import, 1);
        import->done = done;
        status = clear_table(passage, false);
        if (!status)
            status = read_once(passage);
    }
    return status;
}

/* ---- Tables ---- */

/* The drop-in takes a table's flags from its sequence; a sequence of 0 lets them follow from the
 * table's kind. */
static int keep_flags(const struct passage *passage)
{
    struct session *session = passage->import->session;
    uint64_t before;
    int rc = kv_sequence(session->txn, session->table, passage->from.flags, &before);
    return rc ? status_of(rc, "table %s", name_of(passage)) : STATUS_DONE;
}

static int import_one(struct import *import, struct imported *imported)
{
    struct passage passage = {.import = import, .imported = imported};
    int status = lmdb_table_open(import->source, imported->name, &passage.from);
    if (!status) {
        import->total += passage.from.entries;
        import_kind_start(&imported->kind, imported->name, passage.from.flags);
        status = check_flags(&passage);
        bool begun = !status;
        if (!status)
            status = read_records(&passage);
        if (!status)
            status = keep_flags(&passage);
        if (status == STATUS_NEGATIVE && import->skip_bad) {
            imported->skipped = true;
            import->skipped++;
            status = begun ? clear_table(&passage, true) : STATUS_DONE;
        }
    }
    lmdb_table_close(import->source, &passage.from);
    import->records += imported->records;
    return status == STATUS_NEGATIVE ? STATUS_FAILED : status;
}

int import_tables(struct import *import)
{
    if (!add_table(import, NULL, 0))
        return STATUS_FAILED;
    int status = STATUS_DONE;
    for (size_t i = 0; i < import->count && !status; i++)
        status = import_one(import, import->tables[i]);
    return status;
}
