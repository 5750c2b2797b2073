/* SPDX-License-Identifier: MIT */
/*
 * mdb_cursor_get. The common operations go straight to the kv cursor; others first find out where
 * LMDB's cursor would stand (cursor.h).
 *
 * Outputs are left alone when nothing is found, as LMDB does: bindings rely on it. One thread at a
 * time for a cursor.
 */
#include "lmdb/cursor.h"

#include <errno.h>

/* ---- Giving what is at the kv cursor ---- */

static int give_table(MDB_cursor *cursor, const struct kv_val *k, MDB_val *key, MDB_val *data)
{
    int rc = data ? kvi_lmdb_shown(cursor->txn, k, data) : 0;

    if (!rc && key)
        *key = (MDB_val){k->size, k->data};
    return rc;
}

static inline bool may_be_table(const MDB_cursor *cursor, const struct kv_val *value)
{
    return value->size == 0 && cursor->dbi == KVI_LMDB_MAIN_DBI;
}

static inline int give(MDB_cursor *cursor, const struct kv_val *k, const struct kv_val *v,
                       MDB_val *key, MDB_val *data)
{
    if (KVI_LMDB_UNLIKELY(may_be_table(cursor, v)) && kv_cursor_is_table(cursor->kv))
        return give_table(cursor, k, key, data);
    if (KVI_LMDB_LIKELY(key != NULL))
        *key = (MDB_val){k->size, k->data};
    if (KVI_LMDB_LIKELY(data != NULL))
        *data = (MDB_val){v->size, v->data};
    return 0;
}

/* LMDB's first and last do not set its index into the values unless one is asked for. (Steps leave
 * it at the key before, which is not imitated.) */
static bool leaves_unread(const MDB_cursor *cursor, enum kv_cursor_op op, const MDB_val *data)
{
    return !data && (op == KV_FIRST || op == KV_LAST) &&
           kvi_lmdb_cursor_flags(cursor) & MDB_DUPSORT;
}

int kvi_lmdb_cursor_move(MDB_cursor *cursor, enum kv_cursor_op op, MDB_val *key, MDB_val *data)
{
    struct kv_val k, v;
    int rc = kv_cursor_get(cursor->kv, op, &k, &v);

    if (rc)
        return rc;
    cursor->state = leaves_unread(cursor, op, data) ? KVI_LMDB_UNREAD : 0;
    return give(cursor, &k, &v, key, data);
}

int kvi_lmdb_cursor_find(MDB_cursor *cursor, enum kv_cursor_op op, const MDB_val *key,
                         const MDB_val *data, struct kv_val *key_out, MDB_val *data_out)
{
    struct kv_val v = {0, NULL};
    int rc;

    *key_out = (struct kv_val){key->mv_size, key->mv_data};
    if (data)
        v = (struct kv_val){data->mv_size, data->mv_data};
    rc = kv_cursor_get(cursor->kv, op, key_out, &v);
    if (rc)
        return rc;
    cursor->state = 0;
    return give(cursor, key_out, &v, NULL, data_out);
}

int kvi_lmdb_cursor_past(MDB_cursor *cursor)
{
    int rc = kv_cursor_get(cursor->kv, KV_LAST, NULL, NULL);

    kvi_lmdb_cursor_at(cursor, rc ? KVI_LMDB_RECORD : KVI_LMDB_PAST);
    return rc == KV_ENOTFOUND ? 0 : rc;
}

/* ---- In the gap of a deleted record ---- */

/* LMDB has forgotten that a record was deleted here: at what took its place. */
static void take_place(MDB_cursor *cursor)
{
    if (kv_cursor_get(cursor->kv, KV_CURRENT, NULL, NULL) == 0)
        kvi_lmdb_cursor_at(cursor, KVI_LMDB_RECORD);
}

/* The key of a deleted record is gone, and LMDB refuses to go on in it; but of a key with many
 * values that stands there now, the first value is still to come. */
static int refuse_once(MDB_cursor *cursor)
{
    bool many = false;
    int rc = kvi_lmdb_cursor_many(cursor, &many);

    kvi_lmdb_cursor_at(cursor, many ? KVI_LMDB_BEFORE_VALUE : KVI_LMDB_RECORD);
    return rc ? kvi_lmdb_result(rc) : MDB_NOTFOUND;
}

/* Whatever was asked of it, LMDB's cursor forgets that a record was deleted here. */
static int forget_deleted(MDB_cursor *cursor, int rc)
{
    unsigned gap = KVI_LMDB_DELETED | KVI_LMDB_GONE;
    enum kvi_lmdb_place place;
    int found;

    if (!rc || !(cursor->state & (gap | KVI_LMDB_PLACE))) {
        cursor->state &= ~gap;
        return rc;
    }
    found = kvi_lmdb_cursor_place(cursor, &place);
    cursor->state &= ~gap;
    if (found == 0 && place == KVI_LMDB_BEFORE_KEY)
        (void)refuse_once(cursor);
    return rc;
}

/* ---- Next and before ---- */

/* MDB_NEXT did not move: that leaves a trace. */
static int stayed(MDB_cursor *cursor, int rc)
{
    if (rc == KV_ENOTFOUND)
        cursor->state |= KVI_LMDB_VALUES_END | KVI_LMDB_END;
    return kvi_lmdb_result(rc);
}

/* LMDB's cursor came to the end once: whether there is still no key behind. The position stays. */
static int still_at_end(MDB_cursor *cursor, bool *at_end_out)
{
    bool pairs = kvi_lmdb_cursor_flags(cursor) & MDB_DUPSORT;
    enum kvi_lmdb_place place;
    struct kv_val key, value;
    int rc = kvi_lmdb_cursor_place(cursor, &place);

    *at_end_out = !rc && place == KVI_LMDB_PAST;
    if (rc || place == KVI_LMDB_NOWHERE || place == KVI_LMDB_PAST)
        return rc;
    rc = kv_cursor_get(cursor->kv, KV_CURRENT, &key, &value);
    if (!rc)
        rc = kv_cursor_get(cursor->kv, KV_NEXT_KEY, NULL, NULL);
    *at_end_out = rc == KV_ENOTFOUND;
    if (!rc)
        rc = kv_cursor_get(cursor->kv, pairs ? KV_EXACT_PAIR : KV_EXACT, &key, &value);
    return rc == KV_ENOTFOUND ? 0 : kvi_lmdb_result(rc);
}

static int next(MDB_cursor *cursor, MDB_val *key, MDB_val *data)
{
    switch (cursor->state & KVI_LMDB_PLACE) {
    case KVI_LMDB_BEFORE_VALUE:
    case KVI_LMDB_BEFORE_KEY:
    case KVI_LMDB_UNSET:
        return stayed(cursor, kvi_lmdb_cursor_move(cursor, KV_CURRENT, key, data));
    case KVI_LMDB_PAST:
        return MDB_NOTFOUND;
    default:
        return stayed(cursor, kvi_lmdb_cursor_move(cursor, KV_NEXT, key, data));
    }
}

/* LMDB stands at the last of a key's values when it came from the next key. */
static int came_back(MDB_cursor *cursor, int rc)
{
    if (!rc)
        cursor->state |= KVI_LMDB_VALUES_END;
    return kvi_lmdb_result(rc);
}

static int prev(MDB_cursor *cursor, MDB_val *key, MDB_val *data)
{
    enum kvi_lmdb_place place = KVI_LMDB_RECORD;
    int rc = 0;

    if (cursor->state & KVI_LMDB_PLACE)
        rc = kvi_lmdb_cursor_place(cursor, &place);
    if (rc)
        return rc;
    if (place == KVI_LMDB_BEHIND_VALUES || place == KVI_LMDB_PAST)
        return came_back(cursor,
                         kvi_lmdb_cursor_move(cursor, place == KVI_LMDB_PAST ? KV_LAST : KV_CURRENT,
                                              key, data));
    rc = kvi_lmdb_cursor_move(cursor, KV_PREV, key, data);
    if (rc == KV_ENOTFOUND)
        take_place(cursor);
    return came_back(cursor, rc);
}

/* ---- Among a key's values, and from key to key ---- */

/* With duplicates: at a record, or nowhere, and in no gap; all deletions mark the table's cursors. */
static inline bool is_simple(const MDB_cursor *cursor)
{
    return !(cursor->state & ~KVI_LMDB_VALUES_END) && kvi_lmdb_cursor_flags(cursor) & MDB_DUPSORT;
}

static int next_value(MDB_cursor *cursor, enum kv_cursor_op op, MDB_val *key, MDB_val *data)
{
    int rc = kvi_lmdb_cursor_move(cursor, op, key, data);

    if (rc == KV_ENOTFOUND)
        cursor->state |= KVI_LMDB_VALUES_END;
    return rc;
}

static int next_dup_anywhere(MDB_cursor *cursor, MDB_val *key, MDB_val *data)
{
    unsigned gone = cursor->state & KVI_LMDB_GONE;
    enum kvi_lmdb_place place;
    int rc = kvi_lmdb_cursor_place(cursor, &place);

    if (rc)
        return rc;
    if (place == KVI_LMDB_BEFORE_KEY)
        return MDB_NOTFOUND;
    if (gone)
        return MDB_NOTFOUND;
    if (place == KVI_LMDB_NOWHERE || !(kvi_lmdb_cursor_flags(cursor) & MDB_DUPSORT))
        return next(cursor, key, data);
    if (place == KVI_LMDB_BEHIND_VALUES || place == KVI_LMDB_PAST)
        return MDB_NOTFOUND;
    return kvi_lmdb_result(next_value(cursor, place ? KV_CURRENT : KV_NEXT_VALUE, key, data));
}

static int next_dup(MDB_cursor *cursor, MDB_val *key, MDB_val *data)
{
    int rc = is_simple(cursor) ? next_value(cursor, KV_NEXT_VALUE, key, data) : KV_EINVAL;

    return rc == KV_EINVAL ? next_dup_anywhere(cursor, key, data) : kvi_lmdb_result(rc);
}

/* LMDB finds nothing before the place behind the last record; there it goes from nowhere, too. */
static int prev_dup_past(MDB_cursor *cursor, enum kvi_lmdb_place place, MDB_val *key, MDB_val *data)
{
    int rc = 0;

    if (place == KVI_LMDB_NOWHERE)
        rc = kvi_lmdb_cursor_move(cursor, KV_LAST, key, data);
    if (!rc)
        kvi_lmdb_cursor_at(cursor, KVI_LMDB_PAST);
    return rc ? kvi_lmdb_result(rc) : MDB_NOTFOUND;
}

static int prev_dup(MDB_cursor *cursor, MDB_val *key, MDB_val *data)
{
    enum kvi_lmdb_place place;
    int rc;

    if (!(kvi_lmdb_cursor_flags(cursor) & MDB_DUPSORT))
        return prev(cursor, key, data);
    rc = kvi_lmdb_cursor_place(cursor, &place);
    if (rc)
        return rc;
    if (place == KVI_LMDB_NOWHERE || place == KVI_LMDB_PAST)
        return prev_dup_past(cursor, place, key, data);
    if (place == KVI_LMDB_BEHIND_VALUES)
        return prev(cursor, key, data);
    rc = kvi_lmdb_cursor_move(cursor, KV_PREV_VALUE, key, data);
    if (rc == KV_ENOTFOUND)
        cursor->state &= KVI_LMDB_END;
    return kvi_lmdb_result(rc);
}

static int next_nodup(MDB_cursor *cursor, MDB_val *key, MDB_val *data)
{
    enum kvi_lmdb_place place = KVI_LMDB_RECORD;
    int rc = 0;

    if (!(kvi_lmdb_cursor_flags(cursor) & MDB_DUPSORT))
        return next(cursor, key, data);
    if (!is_simple(cursor))
        rc = kvi_lmdb_cursor_place(cursor, &place);
    if (rc)
        return rc;
    if (place == KVI_LMDB_PAST)
        return MDB_NOTFOUND;
    rc = kvi_lmdb_cursor_move(cursor, place == KVI_LMDB_BEFORE_KEY ? KV_CURRENT : KV_NEXT_KEY, key,
                              data);
    if (rc == KV_ENOTFOUND)
        cursor->state |= KVI_LMDB_END;
    return kvi_lmdb_result(rc);
}

static int prev_nodup(MDB_cursor *cursor, MDB_val *key, MDB_val *data)
{
    enum kvi_lmdb_place place = KVI_LMDB_RECORD;
    int rc = 0;

    if (!(kvi_lmdb_cursor_flags(cursor) & MDB_DUPSORT))
        return prev(cursor, key, data);
    if (!is_simple(cursor))
        rc = kvi_lmdb_cursor_place(cursor, &place);
    if (rc)
        return rc;
    rc = kvi_lmdb_cursor_move(cursor, place == KVI_LMDB_PAST ? KV_LAST : KV_PREV_KEY, key, data);
    if (rc == KV_ENOTFOUND)
        cursor->state &= ~KVI_LMDB_END;
    return came_back(cursor, rc);
}

/* MDB_FIRST_DUP, MDB_LAST_DUP. LMDB gives the key only where it has one value. */
static int edge_dup(MDB_cursor *cursor, enum kv_cursor_op op, MDB_val *key, MDB_val *data)
{
    unsigned trace = cursor->state & KVI_LMDB_END;
    enum kvi_lmdb_place place;
    bool many, unset;
    int rc = kvi_lmdb_cursor_place(cursor, &place);

    if (rc)
        return rc;
    if (!data || place == KVI_LMDB_NOWHERE)
        return EINVAL;
    if (!(kvi_lmdb_cursor_flags(cursor) & MDB_DUPSORT))
        return MDB_INCOMPATIBLE;
    if (place == KVI_LMDB_PAST)
        return MDB_NOTFOUND;
    rc = kvi_lmdb_cursor_unset(cursor, place, &unset);
    if (rc || unset)
        return rc ? rc : EINVAL;
    rc = kvi_lmdb_cursor_many(cursor, &many);
    if (!rc)
        rc = kvi_lmdb_cursor_move(cursor, op, many ? NULL : key, data);
    cursor->state |= trace;
    return op == KV_LAST_VALUE ? came_back(cursor, rc) : kvi_lmdb_result(rc);
}

/* ---- The one at the cursor ---- */

static int current_key(MDB_cursor *cursor, MDB_val *key, int rc)
{
    struct kv_val k;
    int read = kv_cursor_get(cursor->kv, KV_CURRENT, &k, NULL);

    if (read)
        return kvi_lmdb_result(read);
    if (key)
        *key = (MDB_val){k.size, k.data};
    return rc;
}

/* With duplicates, or with something to be known. */
static int current_at(MDB_cursor *cursor, MDB_val *key, MDB_val *data)
{
    unsigned trace = cursor->state & (KVI_LMDB_VALUES_END | KVI_LMDB_END | KVI_LMDB_UNREAD);
    enum kvi_lmdb_place place;
    bool unset = false;
    int rc = kvi_lmdb_cursor_place(cursor, &place);

    if (rc)
        return rc;
    if (place == KVI_LMDB_NOWHERE)
        return EINVAL;
    if (place == KVI_LMDB_PAST)
        return MDB_NOTFOUND;
    if (data)
        rc = kvi_lmdb_cursor_unset(cursor, place, &unset);
    if (rc)
        return rc;
    if (place == KVI_LMDB_BEHIND_VALUES || unset || (!data && place == KVI_LMDB_UNSET))
        return current_key(cursor, key, !data ? 0 : unset ? EINVAL : MDB_NOTFOUND);
    rc = kvi_lmdb_cursor_move(cursor, KV_CURRENT, key, data);
    cursor->state |= trace;
    return kvi_lmdb_result(rc);
}

static int current(MDB_cursor *cursor, MDB_val *key, MDB_val *data)
{
    if (cursor->state || kvi_lmdb_cursor_flags(cursor) & MDB_DUPSORT)
        return current_at(cursor, key, data);
    return kvi_lmdb_result(kvi_lmdb_cursor_move(cursor, KV_CURRENT, key, data));
}

/* ---- All operations ---- */

static int edge(MDB_cursor *cursor, enum kv_cursor_op op, MDB_val *key, MDB_val *data)
{
    int rc = kvi_lmdb_cursor_move(cursor, op, key, data);

    if (rc)
        cursor->state = 0; /* an empty table: kv.h's cursor stands nowhere, and so does LMDB's */
    else if (op == KV_LAST)
        cursor->state |= KVI_LMDB_VALUES_END | KVI_LMDB_END;
    return kvi_lmdb_result(rc);
}

/* MDB_NEXT, MDB_NEXT_DUP, MDB_NEXT_NODUP. */
static int go_on(MDB_cursor *cursor, MDB_cursor_op op, MDB_val *key, MDB_val *data)
{
    bool at_end = false;

    if (cursor->state & KVI_LMDB_END) {
        int rc = still_at_end(cursor, &at_end);

        if (rc)
            return rc;
    }
    if (at_end)
        return MDB_NOTFOUND;
    return op == MDB_NEXT       ? next(cursor, key, data)
           : op == MDB_NEXT_DUP ? next_dup(cursor, key, data)
                                : next_nodup(cursor, key, data);
}

static int move(MDB_cursor *cursor, MDB_cursor_op op, MDB_val *key, MDB_val *data)
{
    switch (op) {
    case MDB_FIRST:
        return edge(cursor, KV_FIRST, key, data);
    case MDB_LAST:
        return edge(cursor, KV_LAST, key, data);
    case MDB_NEXT:
    case MDB_NEXT_DUP:
    case MDB_NEXT_NODUP:
        return go_on(cursor, op, key, data);
    case MDB_PREV:
        return prev(cursor, key, data);
    case MDB_PREV_DUP:
        return prev_dup(cursor, key, data);
    case MDB_PREV_NODUP:
        return prev_nodup(cursor, key, data);
    case MDB_GET_CURRENT:
        return current(cursor, key, data);
    case MDB_FIRST_DUP:
        return edge_dup(cursor, KV_FIRST_VALUE, key, data);
    case MDB_LAST_DUP:
        return edge_dup(cursor, KV_LAST_VALUE, key, data);
    case MDB_SET:
    case MDB_SET_KEY:
    case MDB_SET_RANGE:
    case MDB_GET_BOTH:
    case MDB_GET_BOTH_RANGE:
        return kvi_lmdb_cursor_search(cursor, op, key, data);
    case MDB_GET_MULTIPLE:
    case MDB_NEXT_MULTIPLE:
    case MDB_PREV_MULTIPLE:
        return kvi_lmdb_cursor_multiple(cursor, op, key, data);
    default:
        return EINVAL;
    }
}

static int free_list_get(MDB_cursor *cursor, MDB_cursor_op op, MDB_val *key, MDB_val *data)
{
    int rc = cursor->free_list ? 0 : kvi_lmdb_free_make(cursor->txn, &cursor->free_list);

    return rc ? rc : kvi_lmdb_free_get(cursor->free_list, op, key, data);
}

static __attribute__((noinline)) int get(MDB_cursor *cursor, MDB_cursor_op op, MDB_val *key,
                                         MDB_val *data)
{
    int rc;

    if (!cursor)
        return EINVAL;
    if (!cursor->txn || cursor->txn->flags & KVI_LMDB_TXN_BLOCKED)
        return MDB_BAD_TXN;
    if (cursor->dbi == KVI_LMDB_FREE_DBI)
        return free_list_get(cursor, op, key, data);
    if (op != MDB_NEXT)
        cursor->scanned = 0;
    rc = kvi_lmdb_cursor_ready(cursor);
    return rc ? rc : forget_deleted(cursor, move(cursor, op, key, data));
}

/* MDB_NEXT failed, or gave an empty value, that may be a named table's: `kept` is what key and data
 * were. */
static __attribute__((noinline)) int next_odd(MDB_cursor *cursor, int rc, MDB_val *key,
                                              MDB_val *data, const MDB_val kept[2])
{
    struct kv_val k = {key->mv_size, key->mv_data}, v = {data->mv_size, data->mv_data};

    if (!rc)
        return give(cursor, &k, &v, key, data);
    *key = kept[0];
    *data = kept[1];
    return stayed(cursor, rc);
}

/* MDB_NEXT where nothing is to be known of the cursor. */
static int next_simple(MDB_cursor *cursor, MDB_val *key, MDB_val *data)
{
    MDB_val kept[2] = {*key, *data};
    int rc = kv_cursor_get(cursor->kv, KV_NEXT, kvi_lmdb_val(key), kvi_lmdb_val(data));

    if (KVI_LMDB_LIKELY(!rc && data->mv_size))
        return 0;
    return next_odd(cursor, rc, key, data, kept);
}

/* MDB_NEXT in a read txn, where nothing (more) was read ahead. */
static __attribute__((noinline)) int next_scan(MDB_cursor *cursor, MDB_val *key, MDB_val *data)
{
    int rc = KVI_LMDB_NOT_AHEAD;

    if (cursor->state || cursor->scanned == KVI_LMDB_SCAN_MIN)
        rc = kvi_lmdb_cursor_read_ahead(cursor, key, data);
    else if (cursor->scanned < KVI_LMDB_SCAN_MIN)
        cursor->scanned++;
    return rc == KVI_LMDB_NOT_AHEAD ? next_simple(cursor, key, data) : rc;
}

KVI_LMDB_API int mdb_cursor_get(MDB_cursor *cursor, MDB_val *key, MDB_val *data, MDB_cursor_op op)
{
    if (KVI_LMDB_UNLIKELY(!cursor || op != MDB_NEXT || !key || !data ||
                          cursor->state & ~KVI_LMDB_AHEAD ||
                          cursor->txn->flags & KVI_LMDB_TXN_BLOCKED))
        return get(cursor, op, key, data);
    if (KVI_LMDB_LIKELY(cursor->state)) {
        struct kvi_lmdb_ahead *ahead = cursor->ahead;
        const struct kv_record *record = &ahead->records[++ahead->at];

        if (KVI_LMDB_UNLIKELY(ahead->at >= ahead->count))
            return next_scan(cursor, key, data);
        *key = (MDB_val){record->key.size, record->key.data};
        *data = (MDB_val){record->value.size, record->value.data};
        return 0;
    }
    return cursor->read_only ? next_scan(cursor, key, data) : next_simple(cursor, key, data);
}
