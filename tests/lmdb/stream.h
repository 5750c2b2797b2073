/* SPDX-License-Identifier: MIT */
/*
 * The world in which both_stream.c plays: an env with tables of all kinds, a write txn with its nested
 * ones, readers, cursors. Each operation is one call of LMDB, told in one line; a thousand lines are a
 * block, of which only a hash is printed unless the block shall be told in full.
 *
 * What is chosen follows from the seed and from what was seen, so that two libraries are called alike
 * until they differ.
 */
#ifndef STREAM_H
#define STREAM_H

#include "both.h"

#define STREAM_TABLES 8u /* 0: the main one */
#define STREAM_LEVELS 4  /* of nested txns below the outermost */
#define STREAM_CURSORS 6
#define STREAM_READERS 3
#define STREAM_READER_CURSORS 2

/* What is in a table: how its keys and values are made. */
struct stream_table {
    char name[16];
    unsigned kind;       /* flags for its creation */
    unsigned flags;      /* what mdb_dbi_flags said */
    bool custom;         /* comparators of our own, given at each open */
    bool small;          /* never more than fits on one leaf page, so that all is compared */
    bool long_keys;      /* up to 511 bytes */
    unsigned key_size;   /* of integers: 4 or 8 */
    unsigned value_size; /* of DUPFIXED and INTEGERDUP */
    unsigned value_max;
    unsigned keys;   /* distinct ones */
    unsigned values; /* distinct ones of a key */
    MDB_dbi dbi;
    bool open;
    int level;      /* of the txn that opened it, as far as it is committed; 0: all is */
    uint64_t since; /* the call at which it was opened */
};

/* What is known of a cursor's place. */
struct stream_place {
    bool loose; /* where it stands depends on the pages: only what does not ask for it is done */
    bool fresh; /* nowhere yet */
    bool on;    /* on the record of `key` */
    bool end;   /* it was at the end, or ran against it: the genuine library keeps that in mind */
    bool forth; /* got there by going forth or by a search */
    bool next;  /* its record was deleted, and nothing else has happened since: NEXT is defined */
    size_t key_size;
    uint8_t key[511];
};

/* A cursor of the write txn. */
struct stream_cursor {
    MDB_cursor *cursor;
    struct stream_table *table;
    int level;
    struct stream_place place;
};

struct stream_reader_cursor {
    MDB_cursor *cursor;
    struct stream_table *table;
    struct stream_place place;
    bool stale; /* its txn has ended or was renewed: it is only to be renewed or closed */
};

struct stream_reader {
    MDB_txn *txn;
    bool reset;
    uint64_t since; /* the call at which it began: of handles opened later it knows nothing */
    struct stream_reader_cursor cursors[STREAM_READER_CURSORS];
};

struct stream {
    const struct both *both;
    struct both_rng rng;
    MDB_env *env;
    unsigned env_flags;
    char path[32];
    unsigned files; /* made so far */
    struct stream_table tables[STREAM_TABLES];
    unsigned grow;                    /* percent of changes that are puts */
    MDB_txn *txns[STREAM_LEVELS + 2]; /* by level; 1: outermost */
    int level;                        /* 0: no write txn */
    bool tried[STREAM_LEVELS + 2];    /* by level: a change was asked for, ... */
    bool changed[STREAM_LEVELS + 2];  /* ... and made */
    bool nested;                      /* this write txn had nested ones, or ... */
    bool dropped;                     /* ... a table was dropped in it */
    struct stream_cursor cursors[STREAM_CURSORS];
    struct stream_reader readers[STREAM_READERS];
};

/* stream.c: telling, choosing, values */
void tell(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The name of the cursor or reader that the next lines are about; 0: none. */
void tell_who(unsigned name);
uint64_t stream_told(void); /* lines so far */
void stream_tell_begin(const struct both *both);
const char *val_text(const MDB_val *val);
const char *rc_text(int rc);

unsigned below(struct stream *s, unsigned end);
bool chance(struct stream *s, unsigned percent);
/* An existing kind of key or value, sometimes one that is refused. */
MDB_val stream_key(struct stream *s, const struct stream_table *table);
MDB_val stream_value(struct stream *s, const struct stream_table *table);
void stream_shape(struct stream *s, struct stream_table *table);
MDB_cmp_func stream_compare_down;
MDB_cmp_func stream_compare_length;

/* stream_ops.c: records and cursors */
void stream_write_op(struct stream *s);
void stream_read_op(struct stream *s, MDB_txn *txn, struct stream_table *table);
void stream_cursor_get(struct stream *s, MDB_cursor *cursor, const struct stream_table *table,
                       struct stream_place *place);
/* A change was asked for in the txn; rc: what came of it. */
void stream_tried(struct stream *s, int rc);
/* A record was put, or deleted, or (key NULL) any were; `by`: the cursor that did it, or NULL. Of other
 * cursors on the table less is known then. */
void stream_changed(struct stream *s, const struct stream_table *table,
                    const struct stream_cursor *by, const MDB_val *key, bool deleted);
void stream_place_begin(struct stream_place *place);
void stream_walk(struct stream *s, MDB_txn *txn, MDB_dbi dbi, const char *what);
void stream_see_table(struct stream *s, MDB_txn *txn, const struct stream_table *table);

/* stream_txn.c: txns, tables, readers */
MDB_txn *stream_top(const struct stream *s);
void stream_txn_op(struct stream *s);
void stream_table_op(struct stream *s);
void stream_reader_op(struct stream *s);
void stream_open_main(struct stream *s);
void stream_begin(struct stream *s);
void stream_end_level(struct stream *s, bool commit);
void stream_end_all(struct stream *s);
struct stream_table *stream_pick(struct stream *s);
void stream_cursors_close(struct stream *s, const struct stream_table *table);

/* stream_env.c: envs, copies */
void stream_env_begin(struct stream *s);
void stream_env_op(struct stream *s);
void stream_env_end(struct stream *s);

#endif
