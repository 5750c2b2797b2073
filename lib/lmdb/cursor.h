/* SPDX-License-Identifier: MIT */
/*
 * What the cursor*.c share: where LMDB's cursor stands where kv.h's cannot.
 *
 * LMDB's cursor is an index into a page, with a second one into the values of a key. It may stand
 * behind the last record, or behind the last value of a key; after a failed search it stands at
 * what follows the key. kv.h's cursor stands at a record, in the gap that a deleted one left, or
 * nowhere. So the kv cursor stands at a record nearby, and `state` says what LMDB's would do there:
 *
 *     RECORD         at it, or in a gap that only the kv cursor knows of
 *     BEFORE_VALUE   the one before it was deleted, a value of the same key: NEXT gives this one
 *     BEHIND_VALUES  behind the last value of its key (at which the kv cursor stands)
 *     BEFORE_KEY     as BEFORE_VALUE, but the key of the deleted record is gone
 *     PAST           behind the last record, wherever the kv cursor stands
 *     UNSET          with duplicates, after a failed search: at the key, but at none of its values
 *
 * Gaps of the kv cursor are turned into these places only by the operations that tell them apart:
 * KV_NEXT and KV_PREV do in them what LMDB does.
 *
 * State 0 is all that the common operations look for.
 *
 * Internal to lib/lmdb/. A cursor is one thread's at a time.
 */
#ifndef KVI_LMDB_CURSOR_H
#define KVI_LMDB_CURSOR_H

#include "lmdb/lmdb_impl.h"

#define KVI_LMDB_LIKELY(x) __builtin_expect(!!(x), 1)
#define KVI_LMDB_UNLIKELY(x) __builtin_expect(!!(x), 0)

#define KVI_LMDB_VALUE_MAX 0xffffffffu /* bytes of a value without duplicates */

enum kvi_lmdb_place {
    KVI_LMDB_RECORD = 0,
    KVI_LMDB_BEFORE_VALUE = 1,
    KVI_LMDB_BEHIND_VALUES = 2,
    KVI_LMDB_BEFORE_KEY = 3,
    KVI_LMDB_PAST = 4,
    KVI_LMDB_UNSET = 5,
    KVI_LMDB_NOWHERE = 6 /* never in `state`: the kv cursor knows */
};
#define KVI_LMDB_PLACE 0x7u

/* MDB_cursor.state, besides a place: */
/* LMDB's index into the values came to an end (C_EOF), if this is the key's last value. */
#define KVI_LMDB_VALUES_END 0x8u
/* LMDB's index into the records did (C_EOF): MDB_NEXT finds nothing while the key is the last. */
#define KVI_LMDB_END 0x40u
/* A record of the table was deleted since mdb_cursor_get: LMDB's cursor may know of it (C_DEL). */
#define KVI_LMDB_DELETED 0x80u
/* Nowhere, since the table's last record was deleted under it. */
#define KVI_LMDB_GONE 0x100u
/* The key was come to without data being asked for: LMDB's index into its values is not set. */
#define KVI_LMDB_UNREAD 0x200u
/* There is no kv cursor (yet). */
#define KVI_LMDB_CLOSED 0x10u
/* The position is in the note; the kv cursor stands elsewhere. */
#define KVI_LMDB_NOTED 0x20u

/* MDB_NEXT is served from `ahead`; the kv cursor stands at the last record of it (cursor_ahead.c). */
#define KVI_LMDB_AHEAD 0x400u

#define KVI_LMDB_AHEAD_FIRST 8u /* records read at once at the start of a scan */
#define KVI_LMDB_AHEAD_MAX 32u  /* and then */
#define KVI_LMDB_SCAN_MIN 8u    /* so many steps make a scan */
#define KVI_LMDB_SCAN_NEVER (1u << 31)

struct kvi_lmdb_ahead {
    size_t at; /* the record at which LMDB's cursor stands */
    size_t count;
    struct kv_record records[KVI_LMDB_AHEAD_MAX];
};

/* The flags of its table. */
static inline unsigned kvi_lmdb_cursor_flags(const MDB_cursor *cursor)
{
    unsigned flags = cursor->txn->env->tables[cursor->dbi].flags;

    return cursor->dbi == KVI_LMDB_MAIN_DBI ? flags | cursor->txn->main_flags : flags;
}

static inline unsigned kvi_lmdb_table_flags(const MDB_txn *txn, MDB_dbi dbi)
{
    unsigned flags = txn->env->tables[dbi].flags;

    return dbi == KVI_LMDB_MAIN_DBI ? flags | txn->main_flags : flags;
}

/* The cursor stands at a record, and nothing else is to be known. */
static inline void kvi_lmdb_cursor_at(MDB_cursor *cursor, enum kvi_lmdb_place place)
{
    cursor->state = (cursor->state & KVI_LMDB_CLOSED) | place;
}

/* cursor.c: the kv cursor is there, and stands where the note says. Not of table 0. */
int kvi_lmdb_cursor_ready(MDB_cursor *cursor);

/* cursor.c: where LMDB's cursor stands; the kv cursor is in no gap afterwards. */
int kvi_lmdb_cursor_place(MDB_cursor *cursor, enum kvi_lmdb_place *place_out);

/* cursor.c: lets the kv cursor go: it will be opened anew, without a position. */
void kvi_lmdb_cursor_forget(MDB_cursor *cursor);

/* cursor.c: after a deletion (by `self`, or NULL): the table's cursors may be in gaps, and nowhere if
 * it is empty. */
void kvi_lmdb_cursors_deleted(MDB_txn *txn, MDB_dbi dbi, MDB_cursor *self);

/* cursor.c: whether the key at the kv cursor has more than one value. A result of kv.h. */
int kvi_lmdb_cursor_many(MDB_cursor *cursor, bool *many_out);

/* cursor.c: whether LMDB's index into the values at the cursor is not set (UNSET, UNREAD). */
int kvi_lmdb_cursor_unset(MDB_cursor *cursor, enum kvi_lmdb_place place, bool *unset_out);

/* cursor_move.c: moves the kv cursor and gives what is there; key and data may be NULL. Those are
 * left alone when it fails, with a result of kv.h; the place is RECORD when it does not. */
int kvi_lmdb_cursor_move(MDB_cursor *cursor, enum kv_cursor_op op, MDB_val *key, MDB_val *data);

/* cursor_move.c: the same with a key (and value) to search for; what is found is given. */
int kvi_lmdb_cursor_find(MDB_cursor *cursor, enum kv_cursor_op op, const MDB_val *key,
                         const MDB_val *data, struct kv_val *key_out, MDB_val *data_out);

/* cursor_move.c: behind the last record, or nowhere in an empty table. A result of kv.h. */
int kvi_lmdb_cursor_past(MDB_cursor *cursor);

/* cursor_ahead.c: MDB_NEXT of a scan, of which all that was read ahead is handed out, or nothing was
 * yet. *data is that of the last step. KVI_LMDB_NOT_AHEAD: nothing was done. */
#define KVI_LMDB_NOT_AHEAD 1000000
int kvi_lmdb_cursor_read_ahead(MDB_cursor *cursor, MDB_val *key, MDB_val *data);
/* cursor_ahead.c: the kv cursor comes back to where LMDB's cursor stands. */
int kvi_lmdb_cursor_catch_up(MDB_cursor *cursor);

/* cursor_search.c: MDB_SET and its like. */
int kvi_lmdb_cursor_search(MDB_cursor *cursor, MDB_cursor_op op, MDB_val *key, MDB_val *data);

/* cursor_many.c: MDB_GET_MULTIPLE, MDB_NEXT_MULTIPLE, MDB_PREV_MULTIPLE. */
int kvi_lmdb_cursor_multiple(MDB_cursor *cursor, MDB_cursor_op op, MDB_val *key, MDB_val *data);

/* shown.c: the record of the named table `name`, valid until the txn ends. */
int kvi_lmdb_shown(MDB_txn *txn, const struct kv_val *name, MDB_val *data);
void kvi_lmdb_shown_end(MDB_txn *txn);

/* cursor_change.c: LMDB's flags of a put as kv.h's, for a table of these flags. */
uint32_t kvi_lmdb_put_flags(unsigned flags, unsigned table_flags);

#endif
