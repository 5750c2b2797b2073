/* SPDX-License-Identifier: MIT */
/*
 * mdb_drop: tables emptied, or deleted and their handles closed.
 *
 * A handle that was closed by a drop stays closed, whether the txn commits or not, as LMDB has it. An
 * emptied main table has lost its named tables: their handles are left, and lead to no table.
 *
 * Threads: the txn's.
 */
#include "lmdb/lmdb_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Names of all named tables, while they are dropped one by one. */
struct names {
    char **names;
    size_t count;
    size_t size;
};

static int names_add(void *context, const char *name)
{
    struct names *names = context;

    if (names->count == names->size) {
        size_t size = names->size ? names->size * 2 : 16;
        char **grown = realloc(names->names, size * sizeof(*grown));

        if (!grown)
            return ENOMEM;
        names->names = grown;
        names->size = size;
    }
    names->names[names->count] = strdup(name);
    return names->names[names->count++] ? 0 : ENOMEM;
}

/* Drops all named tables: LMDB's main table forgets them when it is emptied. */
static int drop_named(MDB_txn *txn)
{
    struct names names = {NULL, 0, 0};
    int rc = kv_table_list(txn->kv, names_add, &names);

    for (size_t i = 0; !rc && i < names.count; i++) {
        kv_table kv;

        rc = kv_table_open(txn->kv, names.names[i], 0, NULL, &kv);
        if (!rc)
            rc = kv_table_drop(txn->kv, kv);
    }
    for (size_t i = 0; i < names.count; i++)
        free(names.names[i]);
    free(names.names);
    return rc;
}

/* Cursors on named tables lose what they stand on, too. */
static int empty_main(MDB_txn *txn)
{
    int rc;

    for (MDB_dbi i = KVI_LMDB_CORE_DBIS; i < txn->table_count; i++)
        kvi_lmdb_cursors_drop(txn, i);
    rc = drop_named(txn);
    return rc ? rc : kv_table_empty(txn->kv, KV_MAIN_TABLE);
}

static int empty(MDB_txn *txn, MDB_dbi dbi)
{
    int rc = dbi == KVI_LMDB_MAIN_DBI ? empty_main(txn)
                                      : kv_table_empty(txn->kv, txn->env->tables[dbi].kv);

    return rc == KV_EBADTABLE ? 0 : rc;
}

KVI_LMDB_API int mdb_drop(MDB_txn *txn, MDB_dbi dbi, int del)
{
    MDB_env *env = txn->env;
    int rc;

    if ((unsigned)del > 1 || !kvi_lmdb_seen(txn, dbi) || dbi == KVI_LMDB_FREE_DBI)
        return EINVAL;
    if (txn->flags & KVI_LMDB_TXN_RDONLY)
        return EACCES;
    if (kvi_lmdb_stale(txn, dbi))
        return MDB_BAD_DBI;
    if (txn->flags & KVI_LMDB_TXN_BLOCKED)
        return MDB_BAD_TXN;
    rc = kvi_lmdb_meet(txn, dbi);
    if (rc && rc != MDB_NOTFOUND)
        return rc;
    kvi_lmdb_cursors_drop(txn, dbi);
    if (!del || dbi == KVI_LMDB_MAIN_DBI)
        return kvi_lmdb_changed_in(txn, dbi, empty(txn, dbi));
    rc = kv_table_drop(txn->kv, env->tables[dbi].kv);
    if (rc) {
        txn->flags |= KVI_LMDB_TXN_ERROR;
        return rc == KV_EBADTABLE ? MDB_NOTFOUND : kvi_lmdb_changed(txn, rc);
    }
    txn->flags |= KVI_LMDB_TXN_CHANGED;
    txn->tables_version = 0;
    txn->seen[dbi] = 0;
    mdb_dbi_close(env, dbi);
    return 0;
}
