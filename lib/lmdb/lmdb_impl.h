/* SPDX-License-Identifier: MIT */
/*
 * The inside of the LMDB drop-in: LMDB 0.9's binary interface over kv.h. Private to lib/lmdb; sees
 * the packaged <lmdb.h> and kv.h, nothing else of this library. docs/LMDB.md tells what each call
 * becomes and what is kept where.
 *
 * What has to be remembered that kv.h has no place for: a table's LMDB flags are its kv sequence
 * (which the drop-in has no other use for), the map size is the limit that kv_limit_set keeps with
 * the snapshot, a custom order is recorded under a name made from the table's.
 *
 * Threads: as LMDB's. An env is used by all threads at once, and its lists are guarded by
 * env->mutex; a txn and its cursors by one thread at a time.
 */
#ifndef KVI_LMDB_IMPL_H
#define KVI_LMDB_IMPL_H

#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "kv.h"

#define KVI_LMDB_API __attribute__((visibility("default")))

#define KVI_LMDB_PAGE 4096u            /* bytes; what new databases get */
#define KVI_LMDB_MAPSIZE 1048576u      /* bytes, where nothing else was said */
#define KVI_LMDB_READERS 126u          /* where nothing else was said */
#define KVI_LMDB_KEY_MAX 511u          /* bytes of a key, and of a value among duplicates */
#define KVI_LMDB_FREE_DBI ((MDB_dbi)0) /* the list of free pages, made up when it is read */
#define KVI_LMDB_MAIN_DBI ((MDB_dbi)1)
#define KVI_LMDB_CORE_DBIS 2u
#define KVI_LMDB_PAGES_MIN 4u   /* of a map: in a smaller one LMDB cannot put a record */
#define KVI_LMDB_TXNID_FIRST 1u /* kv txnid of a database just made: LMDB calls that state 0 */

/* The flags of a table that LMDB keeps in the file. */
#define KVI_LMDB_TABLE_FLAGS                                                                       \
    (MDB_REVERSEKEY | MDB_DUPSORT | MDB_INTEGERKEY | MDB_DUPFIXED | MDB_INTEGERDUP | MDB_REVERSEDUP)

/* What a named table's record in the main table reads as: the struct that LMDB keeps there. */
struct kvi_lmdb_record {
    uint32_t pad; /* 0 */
    uint16_t flags;
    uint16_t depth;
    uint64_t pages_branch;
    uint64_t pages_leaf;
    uint64_t pages_overflow;
    uint64_t entries;
    uint64_t root;
};

_Static_assert(sizeof(struct kvi_lmdb_record) == 48, "as long as LMDB's");

/* MDB_val and kv_val are laid out alike, and are handed through by pointer. */
_Static_assert(sizeof(MDB_val) == sizeof(struct kv_val), "one layout");
_Static_assert(offsetof(MDB_val, mv_data) == offsetof(struct kv_val, data), "one layout");

/* ---- Tables (dbi.c, order.c) ---- */

/* The comparators of one table, by its name, registered with the kv env once and for good; what
 * they call may change (mdb_set_compare). Lives as long as the env. */
struct kvi_lmdb_order {
    struct kvi_lmdb_order *next;
    /* The names under which kv.h knows them: "lmdb:k:", "lmdb:v:" and 16 hexadecimal digits, the
     * 64-bit FNV-1a of the table's name ("" main). cli/import_kind.c makes them too. */
    char key_name[32];
    char value_name[32];
    _Atomic(MDB_cmp_func *) key;
    _Atomic(MDB_cmp_func *) value;
};

/* An open table: slot `dbi` of the env. Slots 0 and 1 are always there. */
struct kvi_lmdb_table {
    char *name; /* NULL: a free slot (0 and 1 have "") */
    kv_table kv;
    unsigned flags; /* persistent ones, as mdb_dbi_flags gives them */
    uint64_t kept;  /* the table's kv sequence, which holds them */
    unsigned seq;   /* raised when the slot is closed: who holds an older number has MDB_BAD_DBI */
    bool shared;    /* what opened it was committed: txns that begin from now on see it */
    bool custom;    /* has a comparator that is not LMDB's for its flags: kvi_lmdb_ready */
    bool empties;   /* with duplicates: empty values were put here (cursor_change.c) */
    MDB_cmp_func *compare; /* of keys: never NULL in an open slot, nor is the next */
    MDB_cmp_func *compare_value;
    struct kvi_lmdb_order *order; /* set once the table was met stored under it */
};

/* A txn's view of slot dbi. */
enum kvi_lmdb_seen {
    KVI_LMDB_SEEN_VALID = 1,  /* may be used in this txn */
    KVI_LMDB_SEEN_NEW = 2,    /* opened in it: closed again if it aborts */
    KVI_LMDB_SEEN_READY = 4,  /* kvi_lmdb_ready was called */
    KVI_LMDB_SEEN_DIRTY = 16, /* the table was changed in this txn */
    KVI_LMDB_SEEN_MET = 8 /* kvi_lmdb_meet was called: the table is there, and as it was opened */
};

/* ---- Env (env.c, files.c, info.c, copy.c, readers.c) ---- */

/* What a thread keeps of an env that was opened without MDB_NOTLS: a reader that it uses again and
 * again. Busy while a read txn of that thread lives; a thread that ends before its txn leaves it to
 * whoever ends the txn, or to the env's close. */
struct kvi_lmdb_thread {
    struct kvi_lmdb_thread *next; /* of the env */
    MDB_env *env;
    struct kv_txn *kv; /* reset while not busy; NULL: none yet */
    MDB_txn *txn;      /* txn.c: the one that uses it; NULL while not busy */
    MDB_txn *spare;    /* txn.c: memory of a txn that ended, free()d with this */
    pid_t pid;
    bool busy;
    bool gone; /* its thread has ended: only while busy */
};

/* What LMDB keeps beside the data, in its meta pages and its lock file. 0: never was. */
struct kvi_lmdb_kept {
    uint64_t mapsize;
    uint32_t maxreaders;
};

/* What can be told of an env without a txn of the caller's. */
struct kvi_lmdb_peek {
    struct kv_env_stat stat;
    struct kv_table_stat main;
    struct kvi_lmdb_kept kept;
};

/* Records packed one behind the other: whole pages, and the bytes of the one that is not full. */
struct kvi_lmdb_packed {
    uint64_t pages;
    uint32_t filled;
};

/* How many pages they take here, and how many in LMDB. */
struct kvi_lmdb_weight {
    struct kvi_lmdb_packed ours;
    struct kvi_lmdb_packed lmdbs;
};

struct MDB_env {
    struct kv_env *kv; /* NULL: not open */
    char *path;        /* as given to mdb_env_open */
    char *data_path;
    char *lock_path;
    bool locked;        /* there is a lock file: neither MDB_NOLOCK nor a read-only file system */
    bool spent;         /* an open failed that had found a data file: fit for close */
    int guard;          /* descriptor that holds LMDB's own byte of the lock file, or -1 */
    unsigned flags;     /* as mdb_env_get_flags gives them */
    pid_t pid;          /* of the process that opened it */
    uint32_t page_size; /* bytes */
    size_t mapsize;     /* bytes; before open what was set, 0: nothing */
    _Atomic(uint64_t) limit;       /* of the file, bytes: kvi_lmdb_limit, or raised by room.c */
    struct kvi_lmdb_weight weight; /* what the write txn put */
    uint64_t put_bytes;            /* so much was put by txns before, with their pages' rest */
    uint64_t weighed_bytes;        /* put_bytes when nothing was gained by weighing; 0: not yet */
    unsigned maxreaders;
    MDB_dbi maxdbs;           /* named tables */
    atomic_uint readers_seen; /* most readers that were ever met: mdb_env_info */
    atomic_uint readers_now;  /* read txns of this env, with MDB_NOTLS */
    void *userctx;
    MDB_assert_func *assert_func;

    pthread_mutex_t mutex;         /* all below */
    struct kvi_lmdb_table *tables; /* maxdbs + 2 slots */
    MDB_dbi table_count;           /* slots that txns begin with */
    MDB_dbi slots_taken;           /* slots that were ever taken, by txns that live too */
    struct kvi_lmdb_order *orders;
    struct kvi_lmdb_thread *threads;
    pthread_key_t thread_key; /* without MDB_NOTLS */
    bool thread_key_made;
    MDB_txn *txns;   /* that have no thread's reader, live and reset ones: for mdb_env_close */
    MDB_txn *writer; /* the outermost write txn of this env, or NULL */

    _Atomic(uint32_t) tables_version; /* counts changes of what a new txn sees of the tables */
    MDB_txn *writer_memory;           /* of each outermost write txn; freed by kvi_lmdb_txns_end */
    MDB_txn *spares; /* memory of read txns that ended, likewise, by their `next` */

    struct kvi_lmdb_peek peeked; /* what was last seen, under the mutex */
};

/* ---- Txns (txn.c) ---- */

enum kvi_lmdb_txn_flags {
    KVI_LMDB_TXN_RDONLY = 1,
    KVI_LMDB_TXN_FINISHED = 2, /* reset: fit for renew and abort */
    KVI_LMDB_TXN_ERROR = 4,    /* fit for abort */
    KVI_LMDB_TXN_CHILD = 8,    /* has a live child */
    KVI_LMDB_TXN_CHANGED = 16  /* something was changed: a commit is one */
};
#define KVI_LMDB_TXN_BLOCKED (KVI_LMDB_TXN_FINISHED | KVI_LMDB_TXN_ERROR | KVI_LMDB_TXN_CHILD)

struct MDB_txn {
    MDB_env *env;
    struct kv_txn *kv; /* NULL while reset under a thread's reader */
    unsigned flags;
    MDB_dbi table_count; /* slots below it are known to this txn; 0: it has ended */
    MDB_dbi seen_count;  /* the same as of tables_version */
    size_t seen_id;      /* the txnid for which tables were met */
    uint8_t *seen;       /* enum kvi_lmdb_seen, a byte a slot of the env */
    unsigned *seqs;      /* of each slot, as the txn met it; NULL in read txns, which do not care */
    uint32_t tables_version;      /* of the env, when `seen` was copied; 0: changed since */
    unsigned main_flags;          /* table flags of the main table that were given in this txn */
    MDB_cursor *cursors;          /* open ones, of all tables */
    struct kvi_lmdb_shown *shown; /* shown.c: records of named tables that were read in it */
    MDB_txn *parent;
    MDB_txn *child;
    MDB_txn *next; /* of env->txns */
    MDB_txn **link;
    bool listed;                    /* there: next and link are the env's mutex's */
    struct kvi_lmdb_thread *thread; /* whose reader it uses, or NULL */
    size_t id;
};

/* ---- Cursors (cursor*.c, record.c, shown.c) ---- */

/* Where a cursor of a parent txn stood when its child began; used by the child meanwhile. */
struct kvi_lmdb_lent;
struct kvi_lmdb_ahead; /* cursor.h */

struct MDB_cursor {
    struct kv_cursor *kv; /* opened when first needed; NULL without a txn, and of table 0 */
    MDB_txn *txn;         /* NULL: its read txn has ended */
    MDB_dbi dbi;
    unsigned state;   /* cursor.h: 0 where nothing is to be known but what kv.h's cursor does */
    MDB_cursor *next; /* of the txn */
    MDB_cursor **link;
    bool read_only;                  /* opened in a read txn: lives until it is closed */
    unsigned scanned;                /* read-only: MDB_NEXT so often in a row */
    struct kvi_lmdb_ahead *ahead;    /* records read ahead of a scan; NULL: none yet */
    struct kvi_lmdb_free *free_list; /* table 0: the records made up for it */
    struct kvi_lmdb_lent *lent;      /* innermost; NULL: it is of `txn` itself */
    uint8_t *note;                   /* state NOTED: key and value of its place */
    size_t note_key_bytes;
    size_t note_value_bytes;
};

/* ---- Shared helpers ---- */

/* result.c: LMDB's code for a result of kv.h. */
int kvi_lmdb_result(int kv_result);

/* The same, for a change in a write txn: marks the txn as changed, or as failed where LMDB would. */
int kvi_lmdb_changed(MDB_txn *txn, int kv_result);

/* A snapshot's txnid as LMDB counts them: without the generation, in the high 16 bits, that goes up
 * after an unclean end (docs/DURABILITY.md). */
static inline size_t kvi_lmdb_txnid(uint64_t kv_txnid)
{
    kv_txnid &= ((uint64_t)1 << 48) - 1;
    return kv_txnid > KVI_LMDB_TXNID_FIRST ? (size_t)(kv_txnid - KVI_LMDB_TXNID_FIRST) : 0;
}

/* info.c: how many pages LMDB would say that the snapshot reaches to: me_last_pgno + 1. */
uint64_t kvi_lmdb_pages(const struct kv_env_stat *stat);

/* info.c: the newest snapshot; where every reader is taken and a writer at work, what was last seen
 * of it. */
int kvi_lmdb_peek(MDB_env *env, struct kvi_lmdb_peek *peek_out);

/* info.c: a tree's figures as LMDB has them. */
void kvi_lmdb_stat_fill(const struct kv_table_stat *stat, MDB_stat *stat_out);

/* info.c: whether the txn's snapshot does not fit into the env's map: MDB_MAP_RESIZED. */
bool kvi_lmdb_outgrown(const MDB_env *env, struct kv_txn *kv);

/* files.c: opens env->data_path by env->flags and settles the size of its map. */
int kvi_lmdb_files_open(MDB_env *env, mdb_mode_t mode);
void kvi_lmdb_files_close(MDB_env *env);
/* files.c: makes `size` bytes (0: what is stored) the size of the map, or what is in use if that is
 * more. */
int kvi_lmdb_files_size(MDB_env *env, size_t size);

/* files.c: in a txn that is to be committed: keeps what LMDB keeps beside the data, the largest map
 * and reader table that were asked for. */
int kvi_lmdb_files_keep(const MDB_env *env, struct kv_txn *kv);

/* files.c: what is kept so. */
int kvi_lmdb_kept(struct kv_txn *kv, struct kvi_lmdb_kept *kept_out);

/* room.c: the limit of the data file, in bytes, for a map of `mapsize`: LMDB's pages and what this
 * format needs beside them. */
uint64_t kvi_lmdb_limit(size_t mapsize);
/* room.c: a kv_full_fn; the context is the env. */
uint64_t kvi_lmdb_full(void *context, uint64_t limit_bytes);
/* room.c: a write txn begins. */
void kvi_lmdb_weight_begin(MDB_env *env);
/* room.c: a record that is put, of a table without duplicates. */
void kvi_lmdb_weigh(struct kvi_lmdb_weight *weight, size_t key_bytes, size_t value_bytes);

/* readers.c: a read txn's kv txn, on the newest snapshot. Without MDB_NOTLS it is the calling
 * thread's, made on need, and *thread_out is set (NULL else); MDB_BAD_RSLOT: that is busy, or a
 * parent process's. For begin, and for renew of a txn that has no `kv` (with MDB_NOTLS it has:
 * kv_txn_reset and kv_txn_renew do). */
int kvi_lmdb_reader_begin(MDB_env *env, struct kvi_lmdb_thread **thread_out,
                          struct kv_txn **kv_out);
/* The end of it. Where there is a thread, abort and reset alike: its slot stays, idle. Else the kv
 * txn is aborted. */
void kvi_lmdb_reader_end(MDB_env *env, struct kvi_lmdb_thread *thread, struct kv_txn *kv);
/* So many were met: gives the most ever. */
unsigned kvi_lmdb_readers_seen(MDB_env *env, unsigned now);
/* readers.c: the most slots that were met held, by this process or at once by all, idle ones too. */
int kvi_lmdb_readers_most(MDB_env *env, unsigned *count_out);
/* At env close and where a thread ends. */
void kvi_lmdb_threads_end(MDB_env *env);
int kvi_lmdb_threads_begin(MDB_env *env);

/* txn.c: takes a live read txn its reader away, as a reset does, to be aborted whenever its user
 * likes. */
void kvi_lmdb_txn_disown(MDB_txn *txn);
/* txn.c: aborts every txn that is left, for mdb_env_close. */
void kvi_lmdb_txns_end(MDB_env *env);

/* cursor.c: the cursors of a write txn, around its child's life. Lend before the child's kv txn
 * begins (ENOMEM): its cursors are then the child's. Return before the child's kv txn commits (keep
 * their positions) or aborts (or could not begin); cursors opened in the child are freed. Go, when
 * the kv txn of those who have them now is there: kv cursors of that txn take their places. */
int kvi_lmdb_cursors_lend(MDB_txn *parent, MDB_txn *child);
void kvi_lmdb_cursors_return(MDB_txn *child, bool keep);
void kvi_lmdb_cursors_go(MDB_txn *txn);
/* cursor.c: the txn is reset. Its cursors stay with it, and where they stand: LMDB goes on with them
 * after mdb_txn_renew, and clients do so without mdb_cursor_renew. */
void kvi_lmdb_cursors_park(MDB_txn *txn);
/* cursor.c: ends the cursors of a txn. Those of write txns are freed, others lose their txn. Called
 * before the kv txn ends. */
void kvi_lmdb_cursors_end(MDB_txn *txn);
/* cursor.c: cursors of a txn and its parents on a table that is dropped or changes its kind: let
 * their kv cursors go (they find no record afterwards). */
void kvi_lmdb_cursors_drop(MDB_txn *txn, MDB_dbi dbi);

/* dbi.c: slots 0 and 1 after open; all slots freed at close. */
int kvi_lmdb_tables_begin(MDB_env *env);
void kvi_lmdb_tables_end(MDB_env *env);
/* dbi.c: what a txn sees at begin (copied from its parent, or from the env), and what becomes of
 * the handles that it opened: kept (commit, handed to a parent if there is one) or closed. */
void kvi_lmdb_seen_begin(MDB_txn *txn);
void kvi_lmdb_seen_end(MDB_txn *txn, bool keep);
/* dbi.c: a list of the handles that a txn opened, to be free()d (NULL: none), and their end after
 * they were kept and the commit failed. */
struct kvi_lmdb_opened;
int kvi_lmdb_opened(const MDB_txn *txn, struct kvi_lmdb_opened **opened_out);
void kvi_lmdb_opened_close(MDB_env *env, const struct kvi_lmdb_opened *opened);
/* dbi.c: behind kvi_lmdb_meet. */
int kvi_lmdb_table_meet(MDB_txn *txn, MDB_dbi dbi);
/* A map in which LMDB has no room for any change. Ours would have, in the first pages of its file. */
static inline bool kvi_lmdb_cramped(const MDB_env *env)
{
    return env->mapsize < (size_t)KVI_LMDB_PAGES_MIN * KVI_LMDB_PAGE;
}

/* order.c: behind kvi_lmdb_ready. */
int kvi_lmdb_table_ready(MDB_txn *txn, MDB_dbi dbi);
/* order.c: before a put, without flags, of a table with a comparator: LMDB keeps the present key
 * where the new value is as long as the old one, and else takes the new key, which a comparator may
 * find equal without its being the same. A result of kv.h. */
int kvi_lmdb_respell(MDB_txn *txn, MDB_dbi dbi, const MDB_val *key, size_t value_bytes);
/* order.c: after KV_EKEYSIZE (keys) or KV_EVALSIZE (values) of a put, which LMDB would not give: a
 * table for integers takes sizes other than those met so far, of any number of bytes. 0: put again,
 * by a cursor opened anew; MDB_BAD_VALSIZE: the table is not one of those. */
int kvi_lmdb_table_loosen(MDB_txn *txn, MDB_dbi dbi, bool values);
/* dbi.c: what the record of the named table `name` would read as in LMDB. */
int kvi_lmdb_table_record(MDB_txn *txn, const struct kv_val *name, struct kvi_lmdb_record *record);

/* compare.c: LMDB's own orders by flags, and that of table 0. */
MDB_cmp_func *kvi_lmdb_default_compare(unsigned flags);
MDB_cmp_func *kvi_lmdb_default_compare_value(unsigned flags);
MDB_cmp_func *kvi_lmdb_compare_txnids(void);

/* order.c: finds or makes the env's comparators for the table `name`. */
int kvi_lmdb_order_find(MDB_env *env, const char *name, struct kvi_lmdb_order **order_out);
void kvi_lmdb_orders_end(MDB_env *env);
/* order.c: LMDB's orders by the slot's flags; and what its stored kind needs registered. */
void kvi_lmdb_orders_default(MDB_env *env, MDB_dbi dbi);
int kvi_lmdb_orders_meet(MDB_txn *txn, MDB_dbi dbi);
/* order.c: slot 1 at open. */
int kvi_lmdb_main_meet(MDB_env *env);

/* kind.c: options of a table with these flags; names of comparators, or NULL. */
void kvi_lmdb_options_of(unsigned flags, const char *key_name, const char *value_name,
                         struct kv_table_options *options_out);
/* kind.c: a table's flags, and the sequence that holds them; a result of kv.h. */
int kvi_lmdb_flags_read(struct kv_txn *kv, kv_table table, unsigned *flags_out, uint64_t *kept_out);
/* kind.c: makes the table one of this kind, as far as its records allow it. */
int kvi_lmdb_rebuild(MDB_txn *txn, const struct kvi_lmdb_table *table,
                     const struct kv_table_options *options);
/* kind.c: gives the main table these flags, and the kind that follows from them. */
int kvi_lmdb_main_change(MDB_txn *txn, unsigned flags);

/* free_list.c: the records of table 0, made up from the snapshot's free pages: a key (a txnid) with
 * the pages in descending order, as LMDB's own list has them. */
struct kvi_lmdb_free;
int kvi_lmdb_free_make(MDB_txn *txn, struct kvi_lmdb_free **free_out);
void kvi_lmdb_free_end(struct kvi_lmdb_free *free_list);
int kvi_lmdb_free_get(struct kvi_lmdb_free *free_list, MDB_cursor_op op, MDB_val *key,
                      MDB_val *data);
int kvi_lmdb_free_stat(MDB_txn *txn, MDB_stat *stat_out);

/* LMDB's test of a handle: fit for use in this txn, slots 0 and 1 included. */
static inline bool kvi_lmdb_seen(const MDB_txn *txn, MDB_dbi dbi)
{
    return dbi < txn->table_count && (txn->seen[dbi] & KVI_LMDB_SEEN_VALID);
}

/* Closed, or closed and opened as another since the txn met it: MDB_BAD_DBI. */
static inline bool kvi_lmdb_stale(const MDB_txn *txn, MDB_dbi dbi)
{
    return txn->seqs && txn->seqs[dbi] != txn->env->tables[dbi].seq;
}

/* To be called before a table is used, through a handle that the txn sees. MDB_BAD_DBI: see above;
 * MDB_NOTFOUND: the snapshot has no such table; MDB_INCOMPATIBLE: it has other flags now. */
static inline int kvi_lmdb_meet(MDB_txn *txn, MDB_dbi dbi)
{
    return txn->seen[dbi] & KVI_LMDB_SEEN_MET ? 0 : kvi_lmdb_table_meet(txn, dbi);
}

/* To be called before a record is put or deleted: from here on the table is stored in the order of
 * the comparators that were set for it. */
static inline int kvi_lmdb_ready(MDB_txn *txn, MDB_dbi dbi)
{
    return txn->seen[dbi] & KVI_LMDB_SEEN_READY ? 0 : kvi_lmdb_table_ready(txn, dbi);
}

/* After a change of a table that succeeded. */
static inline void kvi_lmdb_dirty(MDB_txn *txn, MDB_dbi dbi)
{
    txn->flags |= KVI_LMDB_TXN_CHANGED;
    txn->seen[dbi] |= KVI_LMDB_SEEN_DIRTY;
}

/* kvi_lmdb_changed, and the above. */
static inline int kvi_lmdb_changed_in(MDB_txn *txn, MDB_dbi dbi, int kv_result)
{
    if (kv_result == 0)
        kvi_lmdb_dirty(txn, dbi);
    return kvi_lmdb_changed(txn, kv_result);
}

static inline struct kv_val *kvi_lmdb_val(MDB_val *val)
{
    return (struct kv_val *)(void *)val;
}

#endif
