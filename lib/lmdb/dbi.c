/* SPDX-License-Identifier: MIT */
/*
 * Tables of the LMDB drop-in as their handles show them: open, close, flags, stat.
 *
 * A handle is a slot of the env. Slots 0 (the list of free pages) and 1 (the main table) are always
 * there; a name takes the lowest free slot from 2 on. What a txn opens only it sees until it
 * commits; other txns copy what they see at their begin and keep to it. A closed slot keeps what it
 * was until it is taken again, for a read txn may go on using it.
 *
 * A table's LMDB flags are the value of its kv sequence, and its kind follows from them (order.c).
 * A table that was made by other means has no such value: its flags follow from its kind.
 *
 * Flags that are given later for the main table are added, as far as its records allow: what they
 * would not fit into stays as it is stored, under the new flags.
 *
 * Threads: slots and the env's count of them are changed under the env's mutex. As LMDB demands,
 * no other txn opens or closes a handle that this one uses.
 */
#include "lmdb/lmdb_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define OPEN_FLAGS (KVI_LMDB_TABLE_FLAGS | MDB_CREATE)
#define RECORD_ROOT 2u /* what the record of a table that is not empty names as its root page */

/* ---- Slots ---- */

static void version_raise(MDB_env *env)
{
    if (atomic_fetch_add_explicit(&env->tables_version, 1, memory_order_release) + 1 == 0)
        atomic_store_explicit(&env->tables_version, 1, memory_order_release);
}

int kvi_lmdb_tables_begin(MDB_env *env)
{
    const size_t slots = (size_t)env->maxdbs + KVI_LMDB_CORE_DBIS;

    env->tables = calloc(slots, sizeof(*env->tables));
    if (!env->tables)
        return ENOMEM;
    env->slots_taken = KVI_LMDB_CORE_DBIS;
    for (MDB_dbi i = 0; i < KVI_LMDB_CORE_DBIS; i++) {
        env->tables[i].name = strdup("");
        env->tables[i].shared = true;
        env->tables[i].kv = KV_MAIN_TABLE;
        if (!env->tables[i].name) {
            kvi_lmdb_tables_end(env);
            return ENOMEM;
        }
    }
    env->tables[KVI_LMDB_FREE_DBI].flags = MDB_INTEGERKEY;
    env->table_count = KVI_LMDB_CORE_DBIS;
    atomic_store_explicit(&env->tables_version, 1, memory_order_release);
    kvi_lmdb_orders_default(env, KVI_LMDB_FREE_DBI);
    return kvi_lmdb_main_meet(env);
}

void kvi_lmdb_tables_end(MDB_env *env)
{
    for (MDB_dbi i = 0; env->tables && i < env->slots_taken; i++)
        free(env->tables[i].name);
    free(env->tables);
    env->tables = NULL;
    env->table_count = 0;
    env->slots_taken = 0;
    kvi_lmdb_orders_end(env);
}

/* The mutex is held. */
static void slot_close(MDB_env *env, MDB_dbi dbi)
{
    struct kvi_lmdb_table *table = &env->tables[dbi];

    if (!table->name)
        return;
    free(table->name);
    table->name = NULL;
    table->shared = false;
    table->seq++;
    version_raise(env);
}

KVI_LMDB_API void mdb_dbi_close(MDB_env *env, MDB_dbi dbi)
{
    if (!env || !env->tables || dbi < KVI_LMDB_CORE_DBIS || dbi - KVI_LMDB_CORE_DBIS >= env->maxdbs)
        return;
    pthread_mutex_lock(&env->mutex);
    slot_close(env, dbi);
    pthread_mutex_unlock(&env->mutex);
}

/* ---- What a txn sees ---- */

static void seen_copy(MDB_txn *txn)
{
    MDB_env *env = txn->env;

    pthread_mutex_lock(&env->mutex);
    txn->tables_version = atomic_load_explicit(&env->tables_version, memory_order_relaxed);
    txn->table_count = env->table_count;
    for (MDB_dbi i = 0; i < txn->table_count; i++) {
        txn->seen[i] = env->tables[i].shared ? KVI_LMDB_SEEN_VALID : 0;
        if (i < KVI_LMDB_CORE_DBIS)
            txn->seen[i] |= KVI_LMDB_SEEN_MET;
        if (txn->seqs)
            txn->seqs[i] = env->tables[i].seq;
    }
    pthread_mutex_unlock(&env->mutex);
    txn->seen_count = txn->table_count;
    txn->seen_id = txn->id;
}

/* What was copied for an earlier txn still holds, but not that the tables are there. */
static void seen_again(MDB_txn *txn)
{
    txn->table_count = txn->seen_count;
    if (txn->seen_id == txn->id && txn->flags & KVI_LMDB_TXN_RDONLY)
        return;
    txn->seen_id = txn->id;
    for (MDB_dbi i = KVI_LMDB_CORE_DBIS; i < txn->table_count; i++)
        txn->seen[i] &= (uint8_t)~KVI_LMDB_SEEN_MET;
}

void kvi_lmdb_seen_begin(MDB_txn *txn)
{
    const MDB_txn *parent = txn->parent;

    if (!parent) {
        if (txn->tables_version ==
            atomic_load_explicit(&txn->env->tables_version, memory_order_acquire))
            seen_again(txn);
        else
            seen_copy(txn);
        return;
    }
    txn->seqs = parent->seqs;
    txn->table_count = parent->table_count;
    for (MDB_dbi i = 0; i < txn->table_count; i++)
        txn->seen[i] = parent->seen[i] & (uint8_t)~KVI_LMDB_SEEN_NEW;
}

/* Handles, and flags of the main table, go to the parent. */
static void seen_to_parent(const MDB_txn *txn)
{
    MDB_txn *parent = txn->parent;

    for (MDB_dbi i = 0; i < txn->table_count; i++) {
        uint8_t before = i < parent->table_count ? parent->seen[i] & KVI_LMDB_SEEN_NEW : 0;

        parent->seen[i] = txn->seen[i] | before;
    }
    parent->table_count = txn->table_count;
    parent->tables_version = 0;
}

/* The mutex is held. */
static void handle_end(MDB_env *env, MDB_dbi dbi, bool keep)
{
    if (!keep) {
        slot_close(env, dbi);
    } else if (env->tables[dbi].name) {
        env->tables[dbi].shared = true;
        if (env->table_count <= dbi)
            env->table_count = dbi + 1;
        version_raise(env);
    }
}

/* The main table's flags that only this txn has given. */
static void main_flags_end(const MDB_txn *txn, bool keep)
{
    unsigned given = txn->main_flags & ~(txn->parent ? txn->parent->main_flags : 0);

    if (keep || txn->flags & KVI_LMDB_TXN_RDONLY || !given)
        return;
    txn->env->tables[KVI_LMDB_MAIN_DBI].flags &= ~given;
    kvi_lmdb_orders_default(txn->env, KVI_LMDB_MAIN_DBI);
}

void kvi_lmdb_seen_end(MDB_txn *txn, bool keep)
{
    MDB_env *env = txn->env;

    main_flags_end(txn, keep);
    if (keep && txn->parent) {
        seen_to_parent(txn);
        return;
    }
    if (txn->tables_version) /* none was opened */
        return;
    pthread_mutex_lock(&env->mutex);
    for (MDB_dbi i = txn->table_count; i-- > KVI_LMDB_CORE_DBIS;) {
        if (txn->seen[i] & KVI_LMDB_SEEN_NEW)
            handle_end(env, i, keep);
    }
    pthread_mutex_unlock(&env->mutex);
}

struct kvi_lmdb_opened {
    MDB_dbi count;
    MDB_dbi dbis[];
};

int kvi_lmdb_opened(const MDB_txn *txn, struct kvi_lmdb_opened **opened_out)
{
    struct kvi_lmdb_opened *opened = NULL;

    for (MDB_dbi i = KVI_LMDB_CORE_DBIS; i < txn->table_count; i++) {
        if (!(txn->seen[i] & KVI_LMDB_SEEN_NEW))
            continue;
        if (!opened)
            opened = calloc(1, sizeof(*opened) + txn->table_count * sizeof(opened->dbis[0]));
        if (!opened)
            return ENOMEM;
        opened->dbis[opened->count++] = i;
    }
    *opened_out = opened;
    return 0;
}

void kvi_lmdb_opened_close(MDB_env *env, const struct kvi_lmdb_opened *opened)
{
    pthread_mutex_lock(&env->mutex);
    for (MDB_dbi i = 0; i < opened->count; i++)
        slot_close(env, opened->dbis[i]);
    pthread_mutex_unlock(&env->mutex);
}

/* ---- Open: the main table ---- */

static int open_main(MDB_txn *txn, unsigned flags)
{
    struct kvi_lmdb_table *table = &txn->env->tables[KVI_LMDB_MAIN_DBI];
    unsigned present = 0;
    unsigned added;
    int rc = kvi_lmdb_flags_read(txn->kv, KV_MAIN_TABLE, &present, &table->kept);

    if (rc)
        return kvi_lmdb_result(rc);
    table->flags = present;
    added = flags & KVI_LMDB_TABLE_FLAGS & ~present;
    if (added && txn->flags & KVI_LMDB_TXN_RDONLY) {
        txn->main_flags |= added;
    } else if (added) {
        rc = kvi_lmdb_main_change(txn, present | added);
        if (rc)
            return rc;
        txn->main_flags |= added;
        table->flags |= added;
    }
    return kvi_lmdb_orders_meet(txn, KVI_LMDB_MAIN_DBI);
}

/* ---- Open: named tables ---- */

/* A slot for `name`: the one that has it (*found_out), else the lowest free one, else one behind
 * those that the txn knows; MDB_DBS_FULL. The mutex is held. */
static int slot_find(const MDB_txn *txn, const char *name, MDB_dbi *dbi_out, bool *found_out)
{
    const MDB_env *env = txn->env;
    MDB_dbi end = env->maxdbs + KVI_LMDB_CORE_DBIS;
    MDB_dbi unused = 0;
    MDB_dbi i;

    *found_out = false;
    for (i = KVI_LMDB_CORE_DBIS; i < txn->table_count; i++) {
        if (!env->tables[i].name) {
            unused = unused ? unused : i;
        } else if (strcmp(env->tables[i].name, name) == 0) {
            *found_out = true;
            *dbi_out = i;
            return 0;
        }
    }
    /* Those of other live txns are not taken from them. */
    while (!unused && i < end && env->tables[i].name && strcmp(env->tables[i].name, name) != 0)
        i++;
    *dbi_out = unused ? unused : i;
    return *dbi_out < end ? 0 : MDB_DBS_FULL;
}

/* What was in the slot is given up for another table: with it the handle of kv.h, of which a program
 * that drops and makes tables of ever new names would use up too many. The mutex is held. */
static void slot_give_up(MDB_env *env, MDB_dbi dbi, kv_table next)
{
    kv_table kv = env->tables[dbi].kv;
    int rc;

    if (kv == KV_MAIN_TABLE || kv == next)
        return;
    for (MDB_dbi i = KVI_LMDB_CORE_DBIS; i < env->slots_taken; i++) {
        if (i != dbi && env->tables[i].kv == kv)
            return;
    }
    rc = kv_table_close(env->kv, kv);
    (void)rc; /* one that is closed already will do */
}

/* Takes the slot for the table: seen by this txn alone so far. The mutex is held. */
static int slot_take(MDB_txn *txn, MDB_dbi dbi, const char *name,
                     const struct kvi_lmdb_table *found)
{
    struct kvi_lmdb_table *table = &txn->env->tables[dbi];
    char *copy = strdup(name);

    if (!copy)
        return ENOMEM;
    slot_give_up(txn->env, dbi, found->kv);
    if (txn->env->slots_taken <= dbi)
        txn->env->slots_taken = dbi + 1;
    free(table->name);
    table->name = copy;
    table->kv = found->kv;
    table->flags = found->flags;
    table->kept = found->kept;
    table->order = NULL;
    table->shared = false;
    table->seq++;
    if (dbi >= txn->table_count) {
        memset(txn->seen + txn->table_count, 0, dbi - txn->table_count);
        txn->table_count = dbi + 1;
    }
    txn->seen[dbi] = KVI_LMDB_SEEN_VALID | KVI_LMDB_SEEN_NEW | KVI_LMDB_SEEN_MET;
    txn->tables_version = 0;
    if (txn->seqs)
        txn->seqs[dbi] = table->seq;
    return 0;
}

/* Makes the table, which is not there. */
static int table_create(MDB_txn *txn, const char *name, struct kvi_lmdb_table *found)
{
    struct kv_table_options options;
    uint64_t before;
    int rc;

    if (strlen(name) > KVI_LMDB_KEY_MAX)
        return MDB_BAD_VALSIZE;
    if (kvi_lmdb_cramped(txn->env))
        return kvi_lmdb_changed(txn, KV_ESIZELIMIT);
    kvi_lmdb_options_of(found->flags, NULL, NULL, &options);
    rc = kv_table_open(txn->kv, name, KV_CREATE, &options, &found->kv);
    if (rc == KV_EINCOMPATIBLE) { /* the main table has a user's order: it gives way */
        rc = kvi_lmdb_main_change(txn, txn->env->tables[KVI_LMDB_MAIN_DBI].flags);
        if (rc)
            return rc;
        rc = kv_table_open(txn->kv, name, KV_CREATE, &options, &found->kv);
    }
    if (!rc && found->flags)
        rc = kv_sequence(txn->kv, found->kv, found->flags, &before);
    found->kept = found->flags;
    return kvi_lmdb_changed(txn, rc);
}

/* The table's handle in kv.h and its flags; made if that is asked for. */
static int table_find(MDB_txn *txn, const char *name, unsigned flags, struct kvi_lmdb_table *found,
                      bool *created_out)
{
    int rc;

    *created_out = false;
    if (!*name)
        return MDB_BAD_VALSIZE;
    rc = strlen(name) > KVI_LMDB_KEY_MAX ? KV_ENOTFOUND
                                         : kv_table_open(txn->kv, name, 0, NULL, &found->kv);
    if (rc == KV_ENOTFOUND || rc == KV_EKEYSIZE) {
        if (!(flags & MDB_CREATE))
            return MDB_NOTFOUND;
        if (txn->flags & KVI_LMDB_TXN_RDONLY)
            return EACCES;
        found->flags = flags & KVI_LMDB_TABLE_FLAGS;
        *created_out = true;
        return table_create(txn, name, found);
    }
    if (!rc)
        rc = kvi_lmdb_flags_read(txn->kv, found->kv, &found->flags, &found->kept);
    return kvi_lmdb_result(rc);
}

int kvi_lmdb_table_meet(MDB_txn *txn, MDB_dbi dbi)
{
    const struct kvi_lmdb_table *table = &txn->env->tables[dbi];
    uint64_t kept;
    int rc;

    if (kvi_lmdb_stale(txn, dbi))
        return MDB_BAD_DBI;
    rc = kv_sequence(txn->kv, table->kv, 0, &kept);
    if (rc)
        return kvi_lmdb_result(rc);
    if (kept != table->kept)
        return MDB_INCOMPATIBLE;
    txn->seen[dbi] |= KVI_LMDB_SEEN_MET;
    return 0;
}

/* The main table's flags decide whether there can be named ones. */
static int main_mixes(MDB_txn *txn, bool *mixes_out)
{
    unsigned present = 0;
    uint64_t kept;
    int rc = kvi_lmdb_flags_read(txn->kv, KV_MAIN_TABLE, &present, &kept);

    *mixes_out = !((present | txn->main_flags) & (MDB_DUPSORT | MDB_INTEGERKEY));
    return kvi_lmdb_result(rc);
}

static int open_named(MDB_txn *txn, const char *name, unsigned flags, MDB_dbi *dbi_out)
{
    MDB_env *env = txn->env;
    bool found;
    bool mixes;
    bool created;
    struct kvi_lmdb_table table;
    MDB_dbi dbi;
    int rc;

    pthread_mutex_lock(&env->mutex);
    rc = slot_find(txn, name, &dbi, &found);
    pthread_mutex_unlock(&env->mutex);
    if (!rc && found)
        *dbi_out = dbi;
    if (rc || found)
        return rc;
    rc = main_mixes(txn, &mixes);
    if (!rc && !mixes)
        return flags & MDB_CREATE ? MDB_INCOMPATIBLE : MDB_NOTFOUND;
    if (!rc)
        rc = table_find(txn, name, flags, &table, &created);
    if (rc)
        return rc;
    pthread_mutex_lock(&env->mutex);
    rc = slot_find(txn, name, &dbi, &found);
    if (!rc)
        rc = slot_take(txn, dbi, name, &table);
    if (!rc && created)
        kvi_lmdb_dirty(txn, dbi);
    pthread_mutex_unlock(&env->mutex);
    if (rc)
        return rc;
    *dbi_out = dbi;
    return kvi_lmdb_orders_meet(txn, dbi);
}

KVI_LMDB_API int mdb_dbi_open(MDB_txn *txn, const char *name, unsigned int flags, MDB_dbi *dbi_out)
{
    if (flags & ~OPEN_FLAGS)
        return EINVAL;
    if (txn->flags & KVI_LMDB_TXN_BLOCKED)
        return MDB_BAD_TXN;
    if (name)
        return open_named(txn, name, flags, dbi_out);
    *dbi_out = KVI_LMDB_MAIN_DBI;
    return open_main(txn, flags);
}

/* ---- What a table tells ---- */

KVI_LMDB_API int mdb_dbi_flags(MDB_txn *txn, MDB_dbi dbi, unsigned int *flags_out)
{
    if (!txn || !kvi_lmdb_seen(txn, dbi) || dbi == KVI_LMDB_FREE_DBI)
        return EINVAL;
    *flags_out = txn->env->tables[dbi].flags;
    if (dbi == KVI_LMDB_MAIN_DBI)
        *flags_out |= txn->main_flags;
    return 0;
}

KVI_LMDB_API int mdb_stat(MDB_txn *txn, MDB_dbi dbi, MDB_stat *stat_out)
{
    struct kv_table_stat stat;
    int rc;

    if (!txn || !stat_out || !kvi_lmdb_seen(txn, dbi))
        return EINVAL;
    if (txn->flags & KVI_LMDB_TXN_BLOCKED)
        return MDB_BAD_TXN;
    if (dbi == KVI_LMDB_FREE_DBI)
        return kvi_lmdb_free_stat(txn, stat_out);
    rc = kv_table_stat(txn->kv, txn->env->tables[dbi].kv, &stat);
    if (rc && rc != KV_EBADTABLE) /* dropped by others: as an empty one */
        return kvi_lmdb_result(rc);
    kvi_lmdb_stat_fill(&stat, stat_out);
    stat_out->ms_psize = txn->env->page_size;
    return 0;
}

int kvi_lmdb_table_record(MDB_txn *txn, const struct kv_val *name, struct kvi_lmdb_record *record)
{
    struct kv_table_stat stat;
    char text[KVI_LMDB_KEY_MAX + 1];
    unsigned flags = 0;
    uint64_t kept;
    kv_table kv;
    int rc;

    memset(record, 0, sizeof(*record));
    if (name->size > KVI_LMDB_KEY_MAX || memchr(name->data, 0, name->size))
        return MDB_CORRUPTED;
    memcpy(text, name->data, name->size);
    text[name->size] = 0;
    rc = kv_table_open(txn->kv, text, 0, NULL, &kv);
    if (!rc)
        rc = kvi_lmdb_flags_read(txn->kv, kv, &flags, &kept);
    if (!rc)
        rc = kv_table_stat(txn->kv, kv, &stat);
    if (rc)
        return kvi_lmdb_result(rc);
    record->flags = (uint16_t)flags;
    record->depth = (uint16_t)stat.depth;
    record->pages_branch = stat.pages_branch;
    record->pages_leaf = stat.pages_leaf;
    record->pages_overflow = stat.pages_overflow;
    record->entries = stat.entries;
    record->root = stat.depth ? RECORD_ROOT : UINT64_MAX;
    return 0;
}
