/* SPDX-License-Identifier: MIT */
/*
 * MDB_GET_MULTIPLE, MDB_NEXT_MULTIPLE, MDB_PREV_MULTIPLE: many values of a key in one piece.
 *
 * LMDB gives the whole page of values in which the cursor stands, from its start; so does this with
 * the piece of kv.h. Where a key's values fill more than one page the pieces differ from LMDB's,
 * though not what they add up to.
 */
#include "lmdb/cursor.h"

#include <errno.h>

/* The piece in which the kv cursor stands, whole; the cursor moves to its last value. */
static int whole_piece(MDB_cursor *cursor, struct kv_val *piece_out)
{
    struct kv_val rest, before;
    int rc = kv_cursor_get(cursor->kv, KV_VALUES, NULL, &rest);

    *piece_out = rest;
    if (rc)
        return rc;
    rc = kv_cursor_get(cursor->kv, KV_PREV_VALUES, NULL, &before);
    if (rc == KV_ENOTFOUND)
        return 0;
    if (rc)
        return rc;
    if ((char *)before.data + before.size < (char *)rest.data ||
        (char *)before.data >= (char *)rest.data + rest.size) { /* another piece: to its end */
        rc = kv_cursor_get(cursor->kv, KV_VALUES, NULL, &before);
        return rc ? rc : kv_cursor_get(cursor->kv, KV_NEXT_VALUES, NULL, piece_out);
    }
    return kv_cursor_get(cursor->kv, KV_VALUES, NULL, piece_out);
}

/* To the first value of the piece. */
static int piece_start(MDB_cursor *cursor)
{
    struct kv_val piece, before;
    int rc = whole_piece(cursor, &piece);

    if (rc)
        return rc;
    rc = kv_cursor_get(cursor->kv, KV_PREV_VALUES, NULL, &before);
    if (rc == KV_ENOTFOUND || rc)
        return rc == KV_ENOTFOUND ? 0 : rc;
    if (before.data == piece.data)
        return 0;
    rc = kv_cursor_get(cursor->kv, KV_VALUES, NULL, &before); /* one value: back to it */
    return rc ? rc : kv_cursor_get(cursor->kv, KV_NEXT_VALUE, NULL, NULL);
}

/* LMDB keeps one value otherwise than many, and gives no piece then. */
static int give_piece(MDB_cursor *cursor, MDB_val *data, int none)
{
    struct kv_val piece;
    bool many;
    int rc = kvi_lmdb_cursor_many(cursor, &many);

    if (rc)
        return kvi_lmdb_result(rc);
    if (!many)
        return none;
    rc = whole_piece(cursor, &piece);
    if (rc)
        return kvi_lmdb_result(rc);
    kvi_lmdb_cursor_at(cursor, KVI_LMDB_RECORD);
    *data = (MDB_val){piece.size, piece.data};
    return 0;
}

/* Whether LMDB's index into the values came to their end. */
static int at_end(MDB_cursor *cursor, bool *at_end_out)
{
    int rc;

    *at_end_out = false;
    if (!(cursor->state & KVI_LMDB_VALUES_END))
        return 0;
    rc = kv_cursor_get(cursor->kv, KV_NEXT_VALUE, NULL, NULL);
    *at_end_out = rc == KV_ENOTFOUND;
    if (rc)
        return rc == KV_ENOTFOUND ? 0 : rc;
    return kv_cursor_get(cursor->kv, KV_PREV_VALUE, NULL, NULL);
}

static int get_multiple(MDB_cursor *cursor, MDB_val *data)
{
    enum kvi_lmdb_place place;
    bool end = false, unset;
    int rc = kvi_lmdb_cursor_place(cursor, &place);

    if (rc)
        return rc;
    if (place == KVI_LMDB_NOWHERE)
        return EINVAL;
    if (!(kvi_lmdb_cursor_flags(cursor) & MDB_DUPFIXED))
        return MDB_INCOMPATIBLE;
    if (place == KVI_LMDB_PAST)
        return 0;
    rc = kvi_lmdb_cursor_unset(cursor, place, &unset);
    if (rc || unset)
        return rc;
    rc = at_end(cursor, &end);
    if (rc)
        return kvi_lmdb_result(rc);
    return end ? 0 : give_piece(cursor, data, 0);
}

static int next_multiple(MDB_cursor *cursor, MDB_val *key, MDB_val *data)
{
    int rc = mdb_cursor_get(cursor, key, data, MDB_NEXT_DUP);

    return rc ? rc : give_piece(cursor, data, MDB_NOTFOUND);
}

/* From the last piece before: the key has one, or the cursor stays. */
static int piece_before(MDB_cursor *cursor, MDB_val *data)
{
    struct kv_val at = {0, NULL}, before, key;
    int rc = kv_cursor_get(cursor->kv, KV_CURRENT, &key, &at);

    if (!rc)
        rc = piece_start(cursor);
    if (!rc)
        rc = kv_cursor_get(cursor->kv, KV_PREV_VALUES, NULL, &before);
    if (!rc)
        return give_piece(cursor, data, MDB_NOTFOUND);
    if (rc == KV_ENOTFOUND) {
        rc = kv_cursor_get(cursor->kv, KV_EXACT_PAIR, &key, &at);
        return rc ? kvi_lmdb_result(rc) : MDB_NOTFOUND;
    }
    return kvi_lmdb_result(rc);
}

static int prev_multiple(MDB_cursor *cursor, MDB_val *key, MDB_val *data)
{
    enum kvi_lmdb_place place;
    unsigned state;
    int rc = kvi_lmdb_cursor_place(cursor, &place);

    if (!rc && place == KVI_LMDB_NOWHERE)
        rc = mdb_cursor_get(cursor, key, data, MDB_LAST);
    if (rc)
        return rc;
    if (place == KVI_LMDB_UNSET || place == KVI_LMDB_PAST)
        return MDB_NOTFOUND;
    state = cursor->state;
    rc = piece_before(cursor, data);
    if (rc)
        cursor->state = state;
    return rc;
}

int kvi_lmdb_cursor_multiple(MDB_cursor *cursor, MDB_cursor_op op, MDB_val *key, MDB_val *data)
{
    if (!data)
        return EINVAL;
    if (op == MDB_GET_MULTIPLE)
        return get_multiple(cursor, data);
    if (!(kvi_lmdb_cursor_flags(cursor) & MDB_DUPFIXED))
        return MDB_INCOMPATIBLE;
    return op == MDB_NEXT_MULTIPLE ? next_multiple(cursor, key, data)
                                   : prev_multiple(cursor, key, data);
}
