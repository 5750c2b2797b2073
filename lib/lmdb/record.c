/* SPDX-License-Identifier: MIT */
/*
 * mdb_get, mdb_put, mdb_del: straight to kv.h, with LMDB's checks in its order. What kv.h refuses
 * and LMDB does not is sorted out behind the common case. A txn is one thread's at a time.
 */
#include "lmdb/cursor.h"

#include <errno.h>

#define PUT_FLAGS (MDB_NOOVERWRITE | MDB_NODUPDATA | MDB_RESERVE | MDB_APPEND | MDB_APPENDDUP)

/* A handle that records are read and changed by: not the free list's. */
static inline bool usable(const MDB_txn *txn, MDB_dbi dbi)
{
    return dbi != KVI_LMDB_FREE_DBI && kvi_lmdb_seen(txn, dbi);
}

/* kv_get failed. */
static __attribute__((noinline)) int get_other(MDB_txn *txn, MDB_dbi dbi, const MDB_val *key,
                                               MDB_val *data, int rc)
{
    struct kv_val name = {key->mv_size, key->mv_data};

    if (key->mv_size == 0)
        return MDB_BAD_VALSIZE;
    if (rc == KV_ENOTFOUND || rc == KV_EKEYSIZE)
        return MDB_NOTFOUND;
    if (rc == KV_EINCOMPATIBLE && dbi == KVI_LMDB_MAIN_DBI)
        return kvi_lmdb_shown(txn, &name, data);
    return kvi_lmdb_result(rc);
}

KVI_LMDB_API int mdb_get(MDB_txn *txn, MDB_dbi dbi, MDB_val *key, MDB_val *data)
{
    struct kv_val found;
    int rc;

    if (KVI_LMDB_UNLIKELY(!txn || !key || !data || !usable(txn, dbi)))
        return EINVAL;
    if (KVI_LMDB_UNLIKELY(txn->flags & KVI_LMDB_TXN_BLOCKED))
        return MDB_BAD_TXN;
    rc = kvi_lmdb_meet(txn, dbi);
    if (KVI_LMDB_UNLIKELY(rc))
        return rc;
    rc = kv_get(txn->kv, txn->env->tables[dbi].kv, kvi_lmdb_val(key), &found);
    if (KVI_LMDB_UNLIKELY(rc || key->mv_size == 0))
        return get_other(txn, dbi, key, data, rc);
    data->mv_size = found.size;
    data->mv_data = found.data;
    return 0;
}

/* ---- Put ---- */

/* By a cursor: it knows all corners. */
static __attribute__((noinline)) int put_by_cursor(MDB_txn *txn, MDB_dbi dbi, MDB_val *key,
                                                   MDB_val *data, unsigned flags)
{
    MDB_cursor *cursor;
    int rc = mdb_cursor_open(txn, dbi, &cursor);

    if (rc)
        return rc;
    rc = mdb_cursor_put(cursor, key, data, flags);
    mdb_cursor_close(cursor);
    return rc;
}

/* What kv_put does as LMDB would: sizes that LMDB takes, and no second look at what is there. */
static inline bool is_common(const struct kvi_lmdb_table *table, unsigned table_flags,
                             const MDB_val *key, const MDB_val *data, unsigned flags)
{
    if (key->mv_size - 1 >= KVI_LMDB_KEY_MAX || table->custom)
        return false;
    if (!(table_flags & MDB_DUPSORT))
        return data->mv_size <= KVI_LMDB_VALUE_MAX;
    return data->mv_size - 1 < KVI_LMDB_KEY_MAX && !table->empties &&
           !(flags & (MDB_APPEND | MDB_RESERVE));
}

/* MDB_APPEND refuses a key that is there without giving its value. */
static inline uint32_t put_flags(unsigned flags, unsigned table_flags)
{
    if (KVI_LMDB_LIKELY(!flags))
        return 0;
    if (flags & MDB_APPEND)
        flags &= ~(unsigned)MDB_NOOVERWRITE;
    return kvi_lmdb_put_flags(flags, table_flags);
}

KVI_LMDB_API int mdb_put(MDB_txn *txn, MDB_dbi dbi, MDB_val *key, MDB_val *data, unsigned int flags)
{
    const struct kvi_lmdb_table *table;
    unsigned table_flags;
    int rc;

    if (KVI_LMDB_UNLIKELY(!txn || !key || !data || !usable(txn, dbi) || flags & ~PUT_FLAGS))
        return EINVAL;
    if (KVI_LMDB_UNLIKELY(txn->flags & (KVI_LMDB_TXN_RDONLY | KVI_LMDB_TXN_BLOCKED)))
        return txn->flags & KVI_LMDB_TXN_RDONLY ? EACCES : MDB_BAD_TXN;
    rc = kvi_lmdb_meet(txn, dbi);
    if (KVI_LMDB_UNLIKELY(rc))
        return rc;
    table = &txn->env->tables[dbi];
    table_flags = kvi_lmdb_table_flags(txn, dbi);
    if (KVI_LMDB_UNLIKELY(!is_common(table, table_flags, key, data, flags)))
        return put_by_cursor(txn, dbi, key, data, flags);
    rc = kvi_lmdb_ready(txn, dbi);
    if (KVI_LMDB_UNLIKELY(rc))
        return rc;
    if (!(table_flags & MDB_DUPSORT))
        kvi_lmdb_weigh(&txn->env->weight, key->mv_size, data->mv_size);
    rc = kv_put(txn->kv, table->kv, kvi_lmdb_val(key), kvi_lmdb_val(data),
                put_flags(flags, table_flags));
    if (KVI_LMDB_LIKELY(!rc)) {
        kvi_lmdb_dirty(txn, dbi);
        return 0;
    }
    if (rc == KV_EINCOMPATIBLE || rc == KV_EKEYSIZE || rc == KV_EVALSIZE)
        return put_by_cursor(txn, dbi, key, data, flags);
    return kvi_lmdb_changed_in(txn, dbi, rc);
}

/* ---- Delete ---- */

/* With duplicates, of a key with many values: none of them is empty. */
static int refuse_empty(MDB_txn *txn, MDB_dbi dbi, MDB_val *key, MDB_val *data)
{
    MDB_cursor *cursor;
    MDB_val none = *data;
    int rc = mdb_cursor_open(txn, dbi, &cursor);

    if (rc)
        return rc;
    rc = mdb_cursor_get(cursor, key, &none, MDB_GET_BOTH);
    mdb_cursor_close(cursor);
    return rc;
}

/* A named table's record cannot be deleted, and LMDB's txn does not survive it. */
static int deleted(MDB_txn *txn, MDB_dbi dbi, int rc)
{
    if (rc == KV_EKEYSIZE || rc == KV_EVALSIZE)
        return MDB_NOTFOUND;
    if (rc == KV_EINCOMPATIBLE && dbi == KVI_LMDB_MAIN_DBI)
        txn->flags |= KVI_LMDB_TXN_ERROR;
    rc = kvi_lmdb_changed_in(txn, dbi, rc);
    if (!rc)
        kvi_lmdb_cursors_deleted(txn, dbi, NULL);
    return rc;
}

KVI_LMDB_API int mdb_del(MDB_txn *txn, MDB_dbi dbi, MDB_val *key, MDB_val *data)
{
    int rc = 0;

    if (!txn || !key || !usable(txn, dbi))
        return EINVAL;
    if (txn->flags & (KVI_LMDB_TXN_RDONLY | KVI_LMDB_TXN_BLOCKED))
        return txn->flags & KVI_LMDB_TXN_RDONLY ? EACCES : MDB_BAD_TXN;
    if (key->mv_size == 0)
        return MDB_BAD_VALSIZE;
    rc = kvi_lmdb_meet(txn, dbi);
    if (rc)
        return rc;
    if (!(kvi_lmdb_table_flags(txn, dbi) & MDB_DUPSORT))
        data = NULL;
    if (data && data->mv_size == 0)
        rc = refuse_empty(txn, dbi, key, data);
    if (!rc)
        rc = kvi_lmdb_ready(txn, dbi);
    if (rc)
        return rc;
    rc = kv_del(txn->kv, txn->env->tables[dbi].kv, kvi_lmdb_val(key),
                data ? kvi_lmdb_val(data) : NULL);
    return deleted(txn, dbi, rc);
}
