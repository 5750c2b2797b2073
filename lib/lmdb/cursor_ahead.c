/* SPDX-License-Identifier: MIT */
/*
 * Reading ahead: MDB_NEXT again and again in a read txn takes many records a call from kv.h, and
 * hands them out one by one.
 *
 *     handed out    [k][k][k]          state AHEAD: LMDB's cursor stands at records[at]
 *     read ahead             [k][k]    the kv cursor stands at the last one, records[count - 1]
 *
 * Whatever else is asked of the cursor first brings the kv cursor back, step by step. Not where
 * records may be named tables, which are told apart only at the kv cursor, or values are long: those
 * would be read, and verified, for nothing if the scan ends early.
 *
 * One thread at a time for a cursor. Freed with the cursor.
 */
#include "lmdb/cursor.h"

#include <stdlib.h>

#define VALUE_LONG 1024u /* bytes */

static bool fit(const MDB_cursor *cursor, const struct kv_val *value)
{
    return value->size <= VALUE_LONG && (value->size || cursor->dbi != KVI_LMDB_MAIN_DBI);
}

static void give(const struct kv_record *record, MDB_val *key, MDB_val *data)
{
    *key = (MDB_val){record->key.size, record->key.data};
    *data = (MDB_val){record->value.size, record->value.data};
}

int kvi_lmdb_cursor_catch_up(MDB_cursor *cursor)
{
    struct kvi_lmdb_ahead *ahead = cursor->ahead;
    int rc = 0;

    cursor->state &= ~KVI_LMDB_AHEAD;
    for (size_t i = ahead->at + 1; !rc && i < ahead->count; i++)
        rc = kv_cursor_get(cursor->kv, KV_PREV, NULL, NULL);
    ahead->count = 0;
    return kvi_lmdb_result(rc);
}

/* What was read must all be fit to be handed out; else no more is read ahead in this scan. */
static int take(MDB_cursor *cursor)
{
    struct kvi_lmdb_ahead *ahead = cursor->ahead;

    cursor->state = KVI_LMDB_AHEAD;
    ahead->at = 0;
    for (size_t i = 0; i < ahead->count; i++) {
        if (fit(cursor, &ahead->records[i].value))
            continue;
        cursor->scanned = KVI_LMDB_SCAN_NEVER;
        return kvi_lmdb_cursor_catch_up(cursor);
    }
    return 0;
}

int kvi_lmdb_cursor_read_ahead(MDB_cursor *cursor, MDB_val *key, MDB_val *data)
{
    struct kvi_lmdb_ahead *ahead = cursor->ahead;
    struct kv_record first;
    int rc;

    if (!ahead)
        ahead = cursor->ahead = calloc(1, sizeof(*ahead));
    if (!ahead || !fit(cursor, kvi_lmdb_val(data))) {
        cursor->scanned = KVI_LMDB_SCAN_NEVER;
        return KVI_LMDB_NOT_AHEAD;
    }
    rc = kv_cursor_read(cursor->kv, KV_NEXT, ahead->records,
                        ahead->count ? KVI_LMDB_AHEAD_MAX : KVI_LMDB_AHEAD_FIRST, &ahead->count);
    cursor->state = 0;
    if (rc)
        return KVI_LMDB_NOT_AHEAD;
    first = ahead->records[0];
    rc = take(cursor);
    if (rc)
        return rc;
    if (!cursor->state)
        return kvi_lmdb_result(kvi_lmdb_cursor_move(cursor, KV_CURRENT, key, data));
    give(&first, key, data);
    return 0;
}
