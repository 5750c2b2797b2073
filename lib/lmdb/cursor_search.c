/* SPDX-License-Identifier: MIT */
/*
 * MDB_SET, MDB_SET_KEY, MDB_SET_RANGE, MDB_GET_BOTH, MDB_GET_BOTH_RANGE.
 *
 * A search that fails leaves LMDB's cursor at what follows the key: the next key, the next value of
 * the key, or behind the last of them. (Where that is in another page LMDB stands behind the last
 * of its page instead, which is not imitated.)
 */
#include "lmdb/cursor.h"

#include <errno.h>

#define KEY_CUT (KVI_LMDB_KEY_MAX + 1u) /* bytes of a longer key that tell its place */

/* No key is longer than KVI_LMDB_KEY_MAX: more bytes than that do not change what follows. */
static MDB_val cut_key(const MDB_cursor *cursor, const MDB_val *key)
{
    MDB_val cut = *key;

    if (cut.mv_size <= KEY_CUT)
        return cut;
    if (kvi_lmdb_cursor_flags(cursor) & MDB_REVERSEKEY)
        cut.mv_data = (char *)cut.mv_data + (cut.mv_size - KEY_CUT);
    cut.mv_size = KEY_CUT;
    return cut;
}

/* The key is not there: to what follows it. */
static int go_behind(MDB_cursor *cursor, const MDB_val *key)
{
    struct kv_val k = {key->mv_size, key->mv_data};
    int rc = kv_cursor_get(cursor->kv, KV_AT_LEAST, &k, NULL);

    if (rc == KV_EKEYSIZE)
        return 0;
    if (rc == KV_ENOTFOUND)
        return kvi_lmdb_cursor_past(cursor);
    if (!rc)
        kvi_lmdb_cursor_at(cursor, kvi_lmdb_cursor_flags(cursor) & MDB_DUPSORT ? KVI_LMDB_UNSET
                                                                               : KVI_LMDB_RECORD);
    return rc;
}

static int not_found(MDB_cursor *cursor, const MDB_val *key)
{
    int rc = go_behind(cursor, key);

    return rc ? kvi_lmdb_result(rc) : MDB_NOTFOUND;
}

static int set(MDB_cursor *cursor, MDB_cursor_op op, MDB_val *key, MDB_val *data)
{
    MDB_val wanted = cut_key(cursor, key);
    struct kv_val found;
    int rc = kvi_lmdb_cursor_find(cursor, KV_EXACT, &wanted, NULL, &found, data);

    if (rc == KV_ENOTFOUND || rc == KV_EKEYSIZE)
        return not_found(cursor, &wanted);
    if (!rc && op == MDB_SET_KEY)
        *key = (MDB_val){found.size, found.data};
    return kvi_lmdb_result(rc);
}

static int set_range(MDB_cursor *cursor, MDB_val *key, MDB_val *data)
{
    MDB_val wanted = cut_key(cursor, key);
    struct kv_val found;
    int rc = kvi_lmdb_cursor_find(cursor, KV_AT_LEAST, &wanted, NULL, &found, data);

    if (rc == KV_EKEYSIZE)
        return MDB_NOTFOUND;
    if (rc == KV_ENOTFOUND) {
        rc = kvi_lmdb_cursor_past(cursor);
        return rc ? kvi_lmdb_result(rc) : MDB_NOTFOUND;
    }
    if (!rc)
        *key = (MDB_val){found.size, found.data};
    return kvi_lmdb_result(rc);
}

/* The key's value is not there: at the key, behind the value. */
static int value_not_found(MDB_cursor *cursor, const MDB_val *key, const MDB_val *data)
{
    struct kv_val k = {key->mv_size, key->mv_data};
    struct kv_val v = {data->mv_size, data->mv_data};
    bool many = false;
    int rc = kv_cursor_get(cursor->kv, KV_AT_LEAST_VALUE, &k, &v);

    if (rc == 0) {
        kvi_lmdb_cursor_at(cursor, KVI_LMDB_RECORD);
        return MDB_NOTFOUND;
    }
    k = (struct kv_val){key->mv_size, key->mv_data};
    rc = kv_cursor_get(cursor->kv, KV_EXACT, &k, NULL);
    if (rc == KV_ENOTFOUND || rc == KV_EKEYSIZE)
        return not_found(cursor, key);
    kvi_lmdb_cursor_at(cursor, KVI_LMDB_RECORD);
    if (!rc)
        rc = kvi_lmdb_cursor_many(cursor, &many);
    if (!rc && many) {
        rc = kv_cursor_get(cursor->kv, KV_LAST_VALUE, NULL, NULL);
        kvi_lmdb_cursor_at(cursor, KVI_LMDB_BEHIND_VALUES);
    }
    return rc ? kvi_lmdb_result(rc) : MDB_NOTFOUND;
}

/* Of a key with many values no empty one can be looked for. */
static int refuse_empty(MDB_cursor *cursor, const MDB_val *key, const MDB_val *data, bool *refused)
{
    struct kv_val k = {key->mv_size, key->mv_data};
    int rc;

    *refused = false;
    if (data->mv_size)
        return 0;
    rc = kv_cursor_get(cursor->kv, KV_EXACT, &k, NULL);
    if (rc)
        return rc == KV_ENOTFOUND || rc == KV_EKEYSIZE ? 0 : rc;
    kvi_lmdb_cursor_at(cursor, KVI_LMDB_RECORD);
    return kvi_lmdb_cursor_many(cursor, refused);
}

static int get_both(MDB_cursor *cursor, MDB_cursor_op op, MDB_val *key, MDB_val *data)
{
    MDB_val wanted = cut_key(cursor, key);
    struct kv_val found;
    bool refused;
    int rc = refuse_empty(cursor, &wanted, data, &refused);

    if (rc || refused)
        return rc ? kvi_lmdb_result(rc) : MDB_BAD_VALSIZE;
    rc = kvi_lmdb_cursor_find(cursor, op == MDB_GET_BOTH ? KV_EXACT_PAIR : KV_AT_LEAST_VALUE,
                              &wanted, data, &found, data);
    if (rc == KV_ENOTFOUND || rc == KV_EKEYSIZE || rc == KV_EVALSIZE)
        return value_not_found(cursor, &wanted, data);
    return kvi_lmdb_result(rc);
}

int kvi_lmdb_cursor_search(MDB_cursor *cursor, MDB_cursor_op op, MDB_val *key, MDB_val *data)
{
    bool both = op == MDB_GET_BOTH || op == MDB_GET_BOTH_RANGE;

    if (both && !data)
        return EINVAL;
    if (both && !(kvi_lmdb_cursor_flags(cursor) & MDB_DUPSORT))
        return MDB_INCOMPATIBLE;
    if (!key)
        return EINVAL;
    if (key->mv_size == 0)
        return MDB_BAD_VALSIZE;
    if (both)
        return get_both(cursor, op, key, data);
    return op == MDB_SET_RANGE ? set_range(cursor, key, data) : set(cursor, op, key, data);
}
