/* SPDX-License-Identifier: MIT */
/*
 * Cursors of the LMDB drop-in: open, close, renew, count; what becomes of them when their txn ends,
 * has a child, or their table is dropped; where they stand (cursor.h).
 *
 * A cursor is in its txn's list. Those of write txns are freed with the txn, those of read txns
 * live on until they are closed. In LMDB the cursors of a parent txn are used in its child as if
 * they were the child's: they are lent to it, with a kv cursor of the child's, and what the
 * parent's had is kept beside (struct kvi_lmdb_lent) until the child ends.
 */
#include "lmdb/cursor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct kvi_lmdb_lent {
    struct kvi_lmdb_lent *outer; /* what its own parent has lent */
    struct kv_cursor *kv;        /* of the txn that lends, or NULL */
    unsigned state;              /* of that */
    bool placed;                 /* that stands at its place; else, or without it, the note says */
    uint8_t *note;
    size_t note_key_bytes;
    size_t note_value_bytes;
};

/* ---- Lists ---- */

static void list_cursor(MDB_cursor *cursor, MDB_txn *txn)
{
    cursor->txn = txn;
    cursor->next = txn->cursors;
    cursor->link = &txn->cursors;
    if (cursor->next)
        cursor->next->link = &cursor->next;
    txn->cursors = cursor;
}

static void unlist_cursor(MDB_cursor *cursor)
{
    *cursor->link = cursor->next;
    if (cursor->next)
        cursor->next->link = cursor->link;
    cursor->link = NULL;
    cursor->txn = NULL;
}

/* ---- Notes ---- */

static void drop_note(MDB_cursor *cursor)
{
    free(cursor->note);
    cursor->note = NULL;
    cursor->state &= ~KVI_LMDB_NOTED;
}

static int write_note(MDB_cursor *cursor, const struct kv_val *key, const struct kv_val *value)
{
    uint8_t *note = malloc(key->size + value->size + 1);

    if (!note)
        return ENOMEM;
    memcpy(note, key->data, key->size);
    if (value->size)
        memcpy(note + key->size, value->data, value->size);
    drop_note(cursor);
    cursor->note = note;
    cursor->note_key_bytes = key->size;
    cursor->note_value_bytes = value->size;
    return 0;
}

/* The position in a note, for a kv cursor of another txn. Nothing is noted where the kv cursor need
 * not stand anywhere. */
static int note_position(MDB_cursor *cursor)
{
    bool pairs = kvi_lmdb_cursor_flags(cursor) & MDB_DUPSORT;
    struct kv_val key, value = {0, NULL};
    enum kvi_lmdb_place place = KVI_LMDB_NOWHERE;
    int rc;

    if (cursor->state & (KVI_LMDB_NOTED | KVI_LMDB_CLOSED))
        return 0;
    rc = kvi_lmdb_cursor_ready(cursor);
    if (!rc)
        rc = kvi_lmdb_cursor_place(cursor, &place);
    if (rc || place == KVI_LMDB_NOWHERE || place == KVI_LMDB_PAST)
        return rc;
    rc = kvi_lmdb_result(kv_cursor_get(cursor->kv, KV_CURRENT, &key, pairs ? &value : NULL));
    if (!rc)
        rc = write_note(cursor, &key, &value);
    if (!rc)
        cursor->state |= KVI_LMDB_NOTED;
    return rc;
}

/* The kv cursor goes where the note says. If that is no more, to what follows. */
static int go_to_note(MDB_cursor *cursor)
{
    struct kv_val key = {cursor->note_key_bytes, cursor->note};
    struct kv_val value = {cursor->note_value_bytes, cursor->note + cursor->note_key_bytes};
    bool pairs = kvi_lmdb_cursor_flags(cursor) & MDB_DUPSORT;
    int rc = kv_cursor_get(cursor->kv, pairs ? KV_AT_LEAST_VALUE : KV_AT_LEAST, &key,
                           pairs ? &value : NULL);

    if (rc == KV_ENOTFOUND && pairs)
        rc = kv_cursor_get(cursor->kv, KV_AT_LEAST, &key, NULL);
    drop_note(cursor);
    return rc == KV_ENOTFOUND ? 0 : kvi_lmdb_result(rc);
}

/* ---- The kv cursor ---- */

void kvi_lmdb_cursor_forget(MDB_cursor *cursor)
{
    kv_cursor_close(cursor->kv);
    cursor->kv = NULL;
    drop_note(cursor);
    cursor->state = KVI_LMDB_CLOSED | (cursor->state & KVI_LMDB_GONE);
}

int kvi_lmdb_cursor_ready(MDB_cursor *cursor)
{
    MDB_txn *txn = cursor->txn;
    int rc;

    if (KVI_LMDB_LIKELY(!(cursor->state & (KVI_LMDB_CLOSED | KVI_LMDB_NOTED | KVI_LMDB_AHEAD))))
        return 0;
    if (cursor->state & KVI_LMDB_AHEAD)
        return kvi_lmdb_cursor_catch_up(cursor);
    if (cursor->state & KVI_LMDB_CLOSED) {
        rc = kvi_lmdb_meet(txn, cursor->dbi);
        if (rc)
            return rc;
        rc = kv_cursor_open(txn->kv, txn->env->tables[cursor->dbi].kv, &cursor->kv);
        if (rc)
            return kvi_lmdb_result(rc);
        cursor->state &= ~KVI_LMDB_CLOSED;
    }
    return cursor->state & KVI_LMDB_NOTED ? go_to_note(cursor) : 0;
}

int kvi_lmdb_cursor_many(MDB_cursor *cursor, bool *many_out)
{
    uint64_t count = 0;
    int rc = kv_cursor_count(cursor->kv, &count);

    *many_out = count > 1;
    return rc;
}

int kvi_lmdb_cursor_unset(MDB_cursor *cursor, enum kvi_lmdb_place place, bool *unset_out)
{
    *unset_out = place == KVI_LMDB_UNSET;
    if (*unset_out || !(cursor->state & KVI_LMDB_UNREAD))
        return 0;
    return kvi_lmdb_result(kvi_lmdb_cursor_many(cursor, unset_out));
}

/* Out of the gap in which the kv cursor stands. */
static int leave_gap(MDB_cursor *cursor, enum kv_place gap)
{
    static const unsigned places[] = {[KV_PLACE_VALUE] = KVI_LMDB_BEFORE_VALUE,
                                      [KV_PLACE_VALUES] =
                                          KVI_LMDB_BEHIND_VALUES | KVI_LMDB_VALUES_END,
                                      [KV_PLACE_KEY] = KVI_LMDB_BEFORE_KEY};
    enum kv_cursor_op op = gap == KV_PLACE_VALUES ? KV_PREV_VALUE : KV_CURRENT;
    unsigned place = places[gap];
    int rc = kv_cursor_get(cursor->kv, op, NULL, NULL);

    if (rc == KV_ENOTFOUND) {
        rc = kv_cursor_get(cursor->kv, KV_LAST, NULL, NULL);
        place = KVI_LMDB_PAST;
    }
    if (rc)
        return rc == KV_ENOTFOUND ? 0 : rc;
    cursor->state = (cursor->state & ~KVI_LMDB_PLACE) | place;
    return 0;
}

int kvi_lmdb_cursor_place(MDB_cursor *cursor, enum kvi_lmdb_place *place_out)
{
    enum kv_place place;
    bool many = true;
    int rc;

    *place_out = KVI_LMDB_PAST;
    if ((cursor->state & KVI_LMDB_PLACE) == KVI_LMDB_PAST)
        return 0;
    *place_out = KVI_LMDB_NOWHERE;
    rc = kv_cursor_place(cursor->kv, &place);
    if (!rc && place > KV_PLACE_RECORD) {
        rc = leave_gap(cursor, place);
        if (!rc)
            rc = kv_cursor_place(cursor->kv, &place);
    }
    if (rc || place == KV_PLACE_NONE) {
        kvi_lmdb_cursor_at(cursor, KVI_LMDB_RECORD);
        return kvi_lmdb_result(rc);
    }
    if ((cursor->state & KVI_LMDB_PLACE) == KVI_LMDB_UNSET) {
        rc = kvi_lmdb_cursor_many(cursor, &many);
        if (!many)
            kvi_lmdb_cursor_at(cursor, KVI_LMDB_RECORD);
    }
    *place_out = (enum kvi_lmdb_place)(cursor->state & KVI_LMDB_PLACE);
    return kvi_lmdb_result(rc);
}

/* ---- Open, close, renew ---- */

KVI_LMDB_API int mdb_cursor_open(MDB_txn *txn, MDB_dbi dbi, MDB_cursor **ret)
{
    MDB_cursor *cursor;

    if (!ret || !txn || !kvi_lmdb_seen(txn, dbi))
        return EINVAL;
    if (txn->flags & KVI_LMDB_TXN_BLOCKED)
        return MDB_BAD_TXN;
    if (dbi == KVI_LMDB_FREE_DBI && !(txn->flags & KVI_LMDB_TXN_RDONLY))
        return EINVAL;
    cursor = calloc(1, sizeof(*cursor));
    if (!cursor)
        return ENOMEM;
    cursor->dbi = dbi;
    cursor->state = KVI_LMDB_CLOSED;
    cursor->read_only = txn->flags & KVI_LMDB_TXN_RDONLY;
    list_cursor(cursor, txn);
    *ret = cursor;
    return 0;
}

/* What hangs at a cursor, its txn excepted. */
static void release(MDB_cursor *cursor)
{
    kvi_lmdb_cursor_forget(cursor);
    cursor->scanned = 0;
    free(cursor->ahead);
    cursor->ahead = NULL;
    kvi_lmdb_free_end(cursor->free_list);
    cursor->free_list = NULL;
}

KVI_LMDB_API void mdb_cursor_close(MDB_cursor *cursor)
{
    if (!cursor || cursor->lent) /* lent ones LMDB leaves to the txn that they belong to */
        return;
    release(cursor);
    if (cursor->txn)
        unlist_cursor(cursor);
    free(cursor);
}

KVI_LMDB_API int mdb_cursor_renew(MDB_txn *txn, MDB_cursor *cursor)
{
    if (!cursor || !txn || !kvi_lmdb_seen(txn, cursor->dbi))
        return EINVAL;
    if (!cursor->read_only || !(txn->flags & KVI_LMDB_TXN_RDONLY))
        return EINVAL;
    if (txn->flags & KVI_LMDB_TXN_BLOCKED)
        return MDB_BAD_TXN;
    release(cursor);
    cursor->state = KVI_LMDB_CLOSED;
    if (cursor->txn)
        unlist_cursor(cursor);
    list_cursor(cursor, txn);
    return 0;
}

KVI_LMDB_API MDB_txn *mdb_cursor_txn(MDB_cursor *cursor)
{
    return cursor ? cursor->txn : NULL;
}

KVI_LMDB_API MDB_dbi mdb_cursor_dbi(MDB_cursor *cursor)
{
    return cursor->dbi;
}

/* At a place: LMDB's answers, and the number. */
static int count_at(MDB_cursor *cursor, enum kvi_lmdb_place place, size_t *count_out)
{
    uint64_t count = 0;
    bool unset;
    int rc;

    if (place == KVI_LMDB_NOWHERE)
        return EINVAL;
    if (place == KVI_LMDB_PAST)
        return MDB_NOTFOUND;
    cursor->state &= ~KVI_LMDB_END;
    rc = kvi_lmdb_cursor_unset(cursor, place, &unset);
    if (rc || unset)
        return rc ? rc : EINVAL;
    rc = kvi_lmdb_result(kv_cursor_count(cursor->kv, &count));
    if (!rc)
        *count_out = (size_t)count;
    return rc;
}

KVI_LMDB_API int mdb_cursor_count(MDB_cursor *cursor, size_t *countp)
{
    enum kvi_lmdb_place place;
    int rc;

    if (!cursor || !countp)
        return EINVAL;
    if (!cursor->txn)
        return MDB_BAD_TXN;
    if (!(kvi_lmdb_cursor_flags(cursor) & MDB_DUPSORT))
        return MDB_INCOMPATIBLE;
    if (cursor->txn->flags & KVI_LMDB_TXN_BLOCKED)
        return MDB_BAD_TXN;
    rc = kvi_lmdb_cursor_ready(cursor);
    if (!rc)
        rc = kvi_lmdb_cursor_place(cursor, &place);
    return rc ? rc : count_at(cursor, place, countp);
}

/* ---- Ends ---- */

void kvi_lmdb_cursors_end(MDB_txn *txn)
{
    if (txn->parent) {
        kvi_lmdb_cursors_return(txn, false);
        return;
    }
    while (txn->cursors) {
        MDB_cursor *cursor = txn->cursors;

        release(cursor);
        unlist_cursor(cursor);
        if (!cursor->read_only)
            free(cursor);
    }
    kvi_lmdb_shown_end(txn);
}

void kvi_lmdb_cursors_park(MDB_txn *txn)
{
    for (MDB_cursor *cursor = txn->cursors; cursor; cursor = cursor->next) {
        bool noted = note_position(cursor) == 0 && cursor->state & KVI_LMDB_NOTED;

        kv_cursor_close(cursor->kv);
        cursor->kv = NULL;
        cursor->state |= KVI_LMDB_CLOSED;
        if (!noted && (cursor->state & KVI_LMDB_PLACE) != KVI_LMDB_PAST)
            release(cursor);
    }
    kvi_lmdb_shown_end(txn);
}

static bool is_in_gap(MDB_cursor *cursor)
{
    enum kvi_lmdb_place place;

    return cursor->kv && !(cursor->state & KVI_LMDB_NOTED) &&
           kvi_lmdb_cursor_place(cursor, &place) == 0 && place == KVI_LMDB_BEFORE_KEY;
}

void kvi_lmdb_cursors_drop(MDB_txn *txn, MDB_dbi dbi)
{
    for (MDB_cursor *cursor = txn->cursors; cursor; cursor = cursor->next) {
        if (cursor->dbi != dbi)
            continue;
        if (is_in_gap(cursor))
            cursor->state |= KVI_LMDB_GONE;
        kvi_lmdb_cursor_forget(cursor);
        for (struct kvi_lmdb_lent *lent = cursor->lent; lent; lent = lent->outer) {
            kv_cursor_close(lent->kv);
            lent->kv = NULL;
            lent->state |= KVI_LMDB_CLOSED;
        }
    }
}

static bool is_empty(const MDB_txn *txn, MDB_dbi dbi)
{
    struct kv_table_stat stat;

    return kv_table_stat(txn->kv, txn->env->tables[dbi].kv, &stat) == 0 && stat.entries == 0;
}

/* The table is empty: the cursor has no position any more. */
static void unset(MDB_cursor *cursor)
{
    enum kv_place place = KV_PLACE_NONE;

    if (cursor->kv && kv_cursor_place(cursor->kv, &place))
        place = KV_PLACE_NONE;
    drop_note(cursor);
    cursor->state &= KVI_LMDB_CLOSED | KVI_LMDB_GONE;
    if (place != KV_PLACE_NONE)
        cursor->state |= KVI_LMDB_GONE;
    if (cursor->kv && kv_cursor_bound(cursor->kv, NULL))
        kvi_lmdb_cursor_forget(cursor);
}

void kvi_lmdb_cursors_deleted(MDB_txn *txn, MDB_dbi dbi, MDB_cursor *self)
{
    bool empty = txn->cursors && is_empty(txn, dbi);

    for (MDB_cursor *cursor = txn->cursors; cursor; cursor = cursor->next) {
        if (cursor->dbi != dbi)
            continue;
        if (empty)
            unset(cursor);
        else if (cursor == self || (cursor->state & KVI_LMDB_PLACE) != KVI_LMDB_PAST)
            cursor->state |= KVI_LMDB_DELETED;
    }
    if (self)
        self->state &= ~KVI_LMDB_GONE;
}

/* ---- Nested txns ---- */

static int copy_note(const MDB_cursor *cursor, struct kvi_lmdb_lent *lent)
{
    size_t bytes = cursor->note_key_bytes + cursor->note_value_bytes;

    if (!cursor->note)
        return 0;
    lent->note = malloc(bytes + 1);
    if (!lent->note)
        return ENOMEM;
    memcpy(lent->note, cursor->note, bytes);
    lent->note_key_bytes = cursor->note_key_bytes;
    lent->note_value_bytes = cursor->note_value_bytes;
    return 0;
}

static int lend(MDB_cursor *cursor)
{
    struct kvi_lmdb_lent *lent = calloc(1, sizeof(*lent));
    int rc;

    if (!lent)
        return ENOMEM;
    lent->placed = !(cursor->state & KVI_LMDB_NOTED);
    rc = note_position(cursor);
    if (!rc)
        rc = copy_note(cursor, lent);
    if (rc) {
        free(lent);
        return rc;
    }
    lent->outer = cursor->lent;
    lent->kv = cursor->kv;
    lent->state = cursor->state;
    cursor->lent = lent;
    cursor->kv = NULL;
    cursor->state |= KVI_LMDB_CLOSED;
    return 0;
}

int kvi_lmdb_cursors_lend(MDB_txn *parent, MDB_txn *child)
{
    while (parent->cursors) {
        MDB_cursor *cursor = parent->cursors;
        int rc = lend(cursor);

        if (rc) {
            kvi_lmdb_cursors_return(child, false);
            return rc;
        }
        unlist_cursor(cursor);
        list_cursor(cursor, child);
    }
    return 0;
}

void kvi_lmdb_cursors_go(MDB_txn *txn)
{
    for (MDB_cursor *cursor = txn->cursors; cursor; cursor = cursor->next) {
        if (cursor->state & KVI_LMDB_NOTED && kvi_lmdb_cursor_ready(cursor))
            kvi_lmdb_cursor_forget(cursor);
    }
}

/* The position that the cursor has in the child becomes the parent's. */
static void keep_position(MDB_cursor *cursor)
{
    struct kvi_lmdb_lent *lent = cursor->lent;
    int rc = note_position(cursor);

    kv_cursor_close(cursor->kv);
    cursor->kv = lent->kv;
    if (rc || !(cursor->state & KVI_LMDB_NOTED)) {
        kv_cursor_close(cursor->kv);
        cursor->kv = NULL;
    }
    cursor->state &= ~KVI_LMDB_CLOSED;
    if (!cursor->kv)
        cursor->state |= KVI_LMDB_CLOSED;
    if (rc)
        kvi_lmdb_cursor_forget(cursor);
    free(lent->note);
}

static void restore_position(MDB_cursor *cursor)
{
    struct kvi_lmdb_lent *lent = cursor->lent;

    kv_cursor_close(cursor->kv);
    free(cursor->note);
    cursor->kv = lent->kv;
    cursor->state = lent->state;
    cursor->note = lent->note;
    cursor->note_key_bytes = lent->note_key_bytes;
    cursor->note_value_bytes = lent->note_value_bytes;
    if (lent->placed && lent->kv)
        drop_note(cursor);
}

void kvi_lmdb_cursors_return(MDB_txn *child, bool keep)
{
    while (child->cursors) {
        MDB_cursor *cursor = child->cursors;
        struct kvi_lmdb_lent *lent = cursor->lent;

        if (!lent) {
            release(cursor);
            unlist_cursor(cursor);
            free(cursor);
            continue;
        }
        if (keep)
            keep_position(cursor);
        else
            restore_position(cursor);
        unlist_cursor(cursor);
        list_cursor(cursor, child->parent);
        cursor->lent = lent->outer;
        free(lent);
    }
    kvi_lmdb_shown_end(child);
}
