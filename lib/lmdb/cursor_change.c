/* SPDX-License-Identifier: MIT */
/*
 * mdb_cursor_put and mdb_cursor_del, with LMDB's checks in its order, and its positions after what
 * was refused. One thread at a time for a txn.
 *
 * LMDB lets MDB_CURRENT overwrite a value among others without a look at their order; here it moves
 * to where it belongs. Behind the last record, where LMDB writes to memory that is no record's, it
 * finds none.
 */
#include "lmdb/cursor.h"

#include <errno.h>

uint32_t kvi_lmdb_put_flags(unsigned flags, unsigned table_flags)
{
    uint32_t kv = 0;

    if (flags & MDB_NOOVERWRITE)
        kv |= KV_NOOVERWRITE;
    if (flags & MDB_RESERVE)
        kv |= KV_RESERVE;
    if (flags & MDB_APPEND)
        kv |= KV_APPEND;
    if (!(table_flags & MDB_DUPSORT))
        return kv;
    if (flags & MDB_APPEND)
        kv |= KV_NOOVERWRITE; /* the key itself must be behind all others */
    if (flags & MDB_NODUPDATA)
        kv |= KV_NOPAIR;
    if (flags & MDB_APPENDDUP)
        kv |= KV_APPEND_VALUE;
    return kv;
}

/* ---- Positions after refusals ---- */

/* MDB_APPENDDUP: at the last value of the key. */
static void go_to_last_value(MDB_cursor *cursor, const MDB_val *key)
{
    struct kv_val k = {key->mv_size, key->mv_data};

    if (kv_cursor_get(cursor->kv, KV_EXACT, &k, NULL) == 0 &&
        kv_cursor_get(cursor->kv, KV_LAST_VALUE, NULL, NULL) == 0)
        cursor->state = KVI_LMDB_VALUES_END;
}

static void go_to_last(MDB_cursor *cursor)
{
    if (kv_cursor_get(cursor->kv, KV_LAST, NULL, NULL) == 0)
        cursor->state = KVI_LMDB_VALUES_END | KVI_LMDB_END;
}

static void go_to_key(MDB_cursor *cursor, const MDB_val *key)
{
    struct kv_val k = {key->mv_size, key->mv_data};

    if (kv_cursor_get(cursor->kv, KV_EXACT, &k, NULL) == 0)
        cursor->state = 0;
}

/* The key is a named table's: LMDB tells so, or gives its record. */
static int refuse_table(MDB_cursor *cursor, const MDB_val *key, MDB_val *data, unsigned flags)
{
    struct kv_val name = {key->mv_size, key->mv_data};
    int rc = MDB_INCOMPATIBLE;

    go_to_key(cursor, key);
    if (flags & MDB_NOOVERWRITE)
        rc = kvi_lmdb_shown(cursor->txn, &name, data);
    return rc ? rc : MDB_KEYEXIST;
}

/* ---- Put ---- */

/* The kv put, repeated where the table first has to take other sizes. */
static int put_kv(MDB_cursor *cursor, const MDB_val *key, struct kv_val *value, uint32_t flags)
{
    struct kv_val k = {key->mv_size, key->mv_data};

    if (!(kvi_lmdb_cursor_flags(cursor) & MDB_DUPSORT))
        kvi_lmdb_weigh(&cursor->txn->env->weight, key->mv_size, value->size);
    for (unsigned loosened = 0;; loosened++) {
        int rc = kv_cursor_put(cursor->kv, &k, value, flags);

        if ((rc != KV_EKEYSIZE && rc != KV_EVALSIZE) || loosened == 2)
            return rc;
        if (kvi_lmdb_table_loosen(cursor->txn, cursor->dbi, rc == KV_EVALSIZE))
            return rc;
        if (kvi_lmdb_cursor_ready(cursor))
            return rc;
    }
}

static int put_refused(MDB_cursor *cursor, int rc, const MDB_val *key, MDB_val *data,
                       unsigned flags)
{
    bool named = cursor->dbi == KVI_LMDB_MAIN_DBI && rc == KV_EINCOMPATIBLE;

    if (named && !(kvi_lmdb_cursor_flags(cursor) & MDB_DUPSORT))
        return refuse_table(cursor, key, data, flags);
    if (rc == KV_EEXIST && !(flags & MDB_APPEND)) {
        cursor->state = 0;
    } else if (rc == KV_EEXIST || rc == KV_EORDER) {
        if (flags & MDB_APPEND)
            go_to_last(cursor);
        else
            go_to_last_value(cursor, key);
    }
    return kvi_lmdb_changed_in(cursor->txn, cursor->dbi, rc);
}

/* Whether LMDB remembers here that the record was deleted, and its key is gone. */
static bool in_gap(MDB_cursor *cursor)
{
    unsigned deleted = cursor->state & KVI_LMDB_DELETED;
    enum kvi_lmdb_place place;

    if (!cursor->state || kvi_lmdb_cursor_place(cursor, &place))
        return false;
    return place == KVI_LMDB_BEFORE_KEY || (place == KVI_LMDB_PAST && deleted);
}

/* With duplicates LMDB has an empty value only where it is a key's single one: none can be added to
 * others, and one that is there goes when others come. *done_out: nothing is left to be put. */
static int put_beside_empty(MDB_cursor *cursor, const MDB_val *key, const MDB_val *data,
                            unsigned flags, bool *done_out)
{
    struct kv_val k = {key->mv_size, key->mv_data};
    struct kv_val value = {data->mv_size, data->mv_data}, present;
    int rc = kv_cursor_get(cursor->kv, KV_EXACT, &k, &present);

    *done_out = false;
    if (rc == KV_ENOTFOUND || rc == KV_EKEYSIZE || flags & (MDB_NOOVERWRITE | MDB_APPEND))
        return 0;
    *done_out = rc || (data->mv_size == 0) != (present.size == 0);
    if (rc || !*done_out)
        return kvi_lmdb_result(rc);
    cursor->state = 0;
    if (data->mv_size == 0)
        return MDB_BAD_VALSIZE;
    return kvi_lmdb_changed_in(cursor->txn, cursor->dbi,
                               kv_cursor_put(cursor->kv, NULL, &value, KV_AT_CURSOR));
}

/* Whether empty values have to be thought of. Those that were put earlier are not known of, which
 * only means that they stay. */
static bool may_be_empty(const MDB_cursor *cursor, const MDB_val *data)
{
    struct kvi_lmdb_table *table = &cursor->txn->env->tables[cursor->dbi];
    unsigned flags = kvi_lmdb_cursor_flags(cursor);

    if (KVI_LMDB_LIKELY(!(flags & MDB_DUPSORT) || (data->mv_size && !table->empties)))
        return false;
    if (data->mv_size == 0)
        table->empties = true;
    return true;
}

/* LMDB's cursor that came to the end still thinks so where the key goes behind all others. */
static bool stays_at_end(MDB_cursor *cursor, const MDB_val *key)
{
    struct kv_val k = {key->mv_size, key->mv_data};

    return cursor->state & KVI_LMDB_END &&
           kv_cursor_get(cursor->kv, KV_AT_LEAST, &k, NULL) == KV_ENOTFOUND;
}

/* Of a record by its key. A refusal of an existing key comes before LMDB forgets a deletion. */
static int put_record(MDB_cursor *cursor, const MDB_val *key, MDB_val *data, unsigned flags)
{
    uint32_t kv_flags = kvi_lmdb_put_flags(flags, kvi_lmdb_cursor_flags(cursor));
    struct kv_val value = {data->mv_size, data->mv_data};
    bool gap = flags & (MDB_NOOVERWRITE | MDB_APPEND) && in_gap(cursor);
    bool end = flags & MDB_APPEND || stays_at_end(cursor, key);
    bool done = false;
    int rc = 0;

    if (KVI_LMDB_UNLIKELY(may_be_empty(cursor, data)))
        rc = put_beside_empty(cursor, key, data, flags, &done);
    if (rc || done)
        return rc;
    if (cursor->txn->env->tables[cursor->dbi].custom && !kv_flags)
        rc = kvi_lmdb_respell(cursor->txn, cursor->dbi, key, data->mv_size);
    if (!rc)
        rc = put_kv(cursor, key, &value, kv_flags);
    if (flags & MDB_RESERVE ||
        (rc == KV_EEXIST && (flags & (MDB_NOOVERWRITE | MDB_APPEND)) == MDB_NOOVERWRITE))
        *data = (MDB_val){value.size, value.data};
    if (KVI_LMDB_UNLIKELY(rc)) {
        rc = put_refused(cursor, rc, key, data, flags);
        if (gap && rc == MDB_KEYEXIST)
            cursor->state |= KVI_LMDB_BEFORE_KEY; /* the place was RECORD */
        return rc;
    }
    cursor->state = (end ? KVI_LMDB_END : 0) | (flags & MDB_APPENDDUP ? KVI_LMDB_VALUES_END : 0);
    kvi_lmdb_dirty(cursor->txn, cursor->dbi);
    return 0;
}

/* MDB_CURRENT. */
static int put_current(MDB_cursor *cursor, const MDB_val *data)
{
    struct kv_val value = {data->mv_size, data->mv_data};
    enum kvi_lmdb_place place;
    int rc = kvi_lmdb_cursor_place(cursor, &place);

    if (rc)
        return rc;
    if (place == KVI_LMDB_NOWHERE)
        return EINVAL;
    if (place == KVI_LMDB_PAST || place == KVI_LMDB_BEHIND_VALUES)
        return MDB_NOTFOUND;
    if (!(kvi_lmdb_cursor_flags(cursor) & MDB_DUPSORT))
        kvi_lmdb_weigh(&cursor->txn->env->weight, 0, data->mv_size);
    rc = kv_cursor_put(cursor->kv, NULL, &value, KV_AT_CURSOR);
    if (!rc)
        cursor->state &= KVI_LMDB_VALUES_END | KVI_LMDB_END;
    return kvi_lmdb_changed_in(cursor->txn, cursor->dbi, rc);
}

/* MDB_MULTIPLE: data[0] is the first of `count` values, and moves on with what was put. The first
 * may set the size of the table's values, so that the others can be put in one piece. */
static int put_multiple(MDB_cursor *cursor, const MDB_val *key, MDB_val *data, size_t count,
                        unsigned flags)
{
    size_t size = data->mv_size;
    int rc = put_record(cursor, key, data, flags);

    if (rc)
        return rc;
    data[1].mv_size = 1;
    if (count > 1 && size && !(flags & (MDB_NODUPDATA | MDB_APPEND | MDB_APPENDDUP))) {
        struct kv_val k = {key->mv_size, key->mv_data};
        struct kv_val rest = {size * (count - 1), (char *)data->mv_data + size};

        rc = kvi_lmdb_changed_in(cursor->txn, cursor->dbi,
                                 kv_cursor_put(cursor->kv, &k, &rest, KV_MULTIPLE));
        if (rc)
            return rc;
        data->mv_data = (char *)data->mv_data + size * (count - 1);
        data[1].mv_size = count;
        return 0;
    }
    for (size_t i = 1; i < count && !rc; i++) {
        data->mv_data = (char *)data->mv_data + size;
        rc = put_record(cursor, key, data, flags & ~(unsigned)(MDB_NOOVERWRITE | MDB_APPEND));
        if (!rc)
            data[1].mv_size = i + 1;
    }
    return rc;
}

/* The checks that LMDB makes before it looks for the key. */
static int check_put(const MDB_cursor *cursor, const MDB_val *key, const MDB_val *data)
{
    const MDB_txn *txn = cursor->txn;
    size_t value_max = KVI_LMDB_VALUE_MAX;

    if (cursor->read_only)
        return EACCES;
    if (txn->flags & KVI_LMDB_TXN_BLOCKED)
        return MDB_BAD_TXN;
    if (kvi_lmdb_cursor_flags(cursor) & MDB_DUPSORT)
        value_max = KVI_LMDB_KEY_MAX;
    if (key->mv_size - 1 >= KVI_LMDB_KEY_MAX || data->mv_size > value_max)
        return MDB_BAD_VALSIZE;
    return 0;
}

KVI_LMDB_API int mdb_cursor_put(MDB_cursor *cursor, MDB_val *key, MDB_val *data, unsigned int flags)
{
    size_t count = 0;
    int rc;

    if (!cursor || !key || !data)
        return EINVAL;
    if (KVI_LMDB_UNLIKELY(flags & MDB_MULTIPLE)) {
        count = data[1].mv_size;
        data[1].mv_size = 0;
        if (cursor->txn && !(kvi_lmdb_cursor_flags(cursor) & MDB_DUPFIXED))
            return MDB_INCOMPATIBLE;
    }
    rc = check_put(cursor, key, data);
    if (!rc)
        rc = kvi_lmdb_ready(cursor->txn, cursor->dbi);
    if (!rc)
        rc = kvi_lmdb_cursor_ready(cursor);
    if (KVI_LMDB_UNLIKELY(rc))
        return rc;
    /* With another flag it is no more than a hint where the key is: mdb_load -a. */
    if (flags == MDB_CURRENT)
        return put_current(cursor, data);
    if (flags & MDB_MULTIPLE)
        return put_multiple(cursor, key, data, count, flags);
    return put_record(cursor, key, data, flags);
}

/* ---- Delete ---- */

/* LMDB still remembers that another key stood here before, when one of many values was deleted. */
static int keep_gap(MDB_cursor *cursor)
{
    enum kvi_lmdb_place place;
    int rc = kvi_lmdb_cursor_place(cursor, &place);

    if (!rc && place == KVI_LMDB_BEFORE_VALUE)
        kvi_lmdb_cursor_at(cursor, KVI_LMDB_BEFORE_KEY);
    return rc;
}

static int delete_at(MDB_cursor *cursor, enum kvi_lmdb_place place, bool all)
{
    bool unset = false;
    int rc;

    if (place == KVI_LMDB_NOWHERE)
        return EINVAL;
    if (place == KVI_LMDB_PAST)
        return MDB_NOTFOUND;
    if (!all && place == KVI_LMDB_BEHIND_VALUES)
        return MDB_NOTFOUND;
    rc = all ? 0 : kvi_lmdb_cursor_unset(cursor, place, &unset);
    if (rc || unset)
        return rc ? rc : EINVAL;
    rc = kv_cursor_del(cursor->kv, all ? KV_ALL_VALUES : 0);
    if (rc == KV_EINCOMPATIBLE)
        cursor->txn->flags |= KVI_LMDB_TXN_ERROR; /* a named table: LMDB's txn is lost */
    rc = kvi_lmdb_changed_in(cursor->txn, cursor->dbi, rc);
    if (!rc) {
        cursor->state &= KVI_LMDB_END;
        kvi_lmdb_cursors_deleted(cursor->txn, cursor->dbi, cursor);
    }
    if (!rc && place == KVI_LMDB_BEFORE_KEY)
        rc = keep_gap(cursor);
    return rc;
}

KVI_LMDB_API int mdb_cursor_del(MDB_cursor *cursor, unsigned int flags)
{
    enum kvi_lmdb_place place;
    int rc;

    if (!cursor)
        return EINVAL;
    if (cursor->read_only)
        return EACCES;
    if (cursor->txn->flags & KVI_LMDB_TXN_BLOCKED)
        return MDB_BAD_TXN;
    rc = kvi_lmdb_ready(cursor->txn, cursor->dbi);
    if (!rc)
        rc = kvi_lmdb_cursor_ready(cursor);
    if (!rc)
        rc = kvi_lmdb_cursor_place(cursor, &place);
    return rc ? rc : delete_at(cursor, place, flags & MDB_NODUPDATA);
}
