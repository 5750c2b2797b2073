/* SPDX-License-Identifier: MIT */
/*
 * libkv: an embedded, transactional, ordered key-value store.
 *
 * A database is one file: a copy-on-write B+tree that is read through a memory mapping. One writer
 * at a time, any number of readers in any number of processes; each reader sees one snapshot for as
 * long as it lives. See kv(3) for a tour and docs/ARCHITECTURE.md for the inside.
 *
 * Results. Every function that returns `int` returns 0, one of the negative KV_E... codes below, or
 * a positive errno as the kernel gave it. kv_strerror gives the fixed text of any of them;
 * kv_error_text tells the file, the page and the reason of the last failure in this thread. Misuse
 * has codes of its own and changes nothing. Any function that takes a handle may return
 * KV_EFORKED in a child of fork. Outputs are cleared on entry, so that they are zero or NULL after
 * a failure unless the function says otherwise.
 *
 * Threads. An env may be used by all threads at once. A txn and its cursors belong to no thread,
 * but only one thread may use them at a time; a read txn begun with KV_SHARED may be read by any
 * number of threads at once, each with cursors of its own.
 *
 * Pointers. Keys and values that are read point into the mapping (or, in a write txn, into a
 * changed page): they are valid until the txn ends, and in a write txn until its next change. They
 * must not be written through, except where KV_RESERVE says so. Values that with their key take
 * more than half a page stand in runs of their own and are aligned to 16 bytes; others are aligned
 * as the table's option `align` says, else not at all.
 */
#ifndef KV_H
#define KV_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define KV_VERSION_MAJOR 0
#define KV_VERSION_MINOR 1
#define KV_VERSION_PATCH 0
#define KV_VERSION_STRING "0.1.0"

#if defined(__GNUC__)
#define KV_API __attribute__((visibility("default")))
#define KV_CHECKED KV_API __attribute__((warn_unused_result))
#else
#define KV_API
#define KV_CHECKED
#endif

/* ---- Results ------------------------------------------------------------------------------- */

enum kv_error {
    KV_ENOTFOUND = -31000,     /* no such key, record or table */
    KV_EEXIST = -31001,        /* the key or table exists already */
    KV_ECORRUPT = -31002,      /* the file is damaged; the text names page and reason */
    KV_EVERSION = -31003,      /* another format version, or a feature that this build lacks */
    KV_ENOTDB = -31004,        /* the file is not a libkv database */
    KV_EINCOMPATIBLE = -31005, /* the key names a table, or the table is not of the kind needed */
    KV_EINVAL = -31006,        /* bad argument */
    KV_EBADTXN = -31007,       /* the txn is finished, reset, has failed, or has a live child */
    KV_EBADTABLE = -31008,     /* the handle is closed, or names no table of this snapshot */
    KV_EKEYSIZE = -31009,      /* the key has a size that no key of the table can have */
    KV_EVALSIZE = -31010,      /* the value has a size that no value of the table can have */
    KV_EREADERS = -31011,      /* as many readers as max_readers allows */
    KV_ESIZELIMIT = -31012,    /* the file may not grow past max_size_bytes or the reservation */
    KV_EBUSY = -31013,         /* in use: another writer (try), open txns, or a foreign lock file */
    KV_ETIMEOUT = -31014,      /* the writer lock was not free in the time given */
    KV_EREADONLY = -31015,     /* a write in a read txn or in an env opened read-only */
    KV_EPOISONED = -31016,     /* an earlier flush failed; writes resume after recovery */
    KV_EUNKNOWN = -31017,      /* this commit's flush failed: its outcome is unknown */
    KV_EFORKED = -31018,       /* the handle belongs to the parent process */
    KV_EPAGEFULL = -31019,     /* KV_NOSPLIT: the record does not fit into its page */
    KV_EORDER = -31020,        /* KV_APPEND, KV_APPEND_VALUE: not above the last one */
    KV_EUNSUPPORTED = -31021,  /* this file system cannot be shared safely; see KV_NOLOCK */
    KV_EMISMATCH = -31022,     /* kv_swap: the record is not as expected; kv_add: overflow */
    KV_ECOMPARATOR = -31023    /* the table's comparator is not registered here, or is another */
};

/* The fixed English text of a result. Never NULL; static storage. */
KV_API const char *kv_strerror(int result);

/* File, page and reason of the last failure in the calling thread, "" if there was none. Valid
 * until that thread's next failure. */
KV_API const char *kv_error_text(void);

/* KV_VERSION_STRING of the library that is linked. Static storage. */
KV_API const char *kv_version(void);

/* ---- Types --------------------------------------------------------------------------------- */

struct kv_env;    /* an open database */
struct kv_txn;    /* a transaction: a snapshot, and for writers the changes on top of it */
struct kv_cursor; /* a position in one table of one txn */

/* A key or a value: `size` bytes at `data`, which may be NULL when size is 0. */
struct kv_val {
    size_t size;
    void *data;
};

/* A table's handle: a number of the env, valid in every txn of that env whose snapshot has the
 * table; opening and closing handles needs no order between threads and txns. */
typedef uint32_t kv_table;

#define KV_MAIN_TABLE ((kv_table)0) /* always open; its records may include named tables */

/* A key with its value, as kv_cursor_read gives them. */
struct kv_record {
    struct kv_val key;
    struct kv_val value;
};

/* A range of keys in the table's order: from `from` (inclusive) to `to` (exclusive), either may be
 * NULL: no bound there. Or `prefix`: all keys that begin with it (tables of order KV_ORDER_BYTES;
 * with KV_ORDER_REVERSE those that end with it; KV_EINCOMPATIBLE else), then from and to must be
 * NULL and flags 0. A NULL kv_range is all of the table, one whose from is behind its to is empty.
 */
#define KV_FROM_EXCLUSIVE 0x01u
#define KV_TO_INCLUSIVE 0x02u
struct kv_range {
    const struct kv_val *from;
    const struct kv_val *to;
    const struct kv_val *prefix;
    uint32_t flags; /* KV_FROM_EXCLUSIVE, KV_TO_INCLUSIVE */
};

#define KV_RANGE_INIT                                                                              \
    {                                                                                              \
        NULL, NULL, NULL, 0                                                                        \
    }

/* ---- Environments -------------------------------------------------------------------------- */

/* When a commit returns, and what a crash of the machine may take back. None ever corrupts. */
enum kv_durability {
    KV_DURABLE = 1, /* flushed before commit returns and before others see it (default) */
    KV_LAZY = 2,    /* visible at once; flushed by kv_env_sync, lazy_sync_*, the last close */
    KV_NONE = 3     /* as KV_LAZY, but no flush, no write-back before kv_env_sync, last close */
};

/* kv_options.flags */
#define KV_READONLY 0x01u  /* no write txns; no change to the data file (recovery excepted) */
#define KV_CREATE 0x02u    /* make the database if there is none */
#define KV_EXCLUSIVE 0x04u /* no other env may have it open: KV_EBUSY else, for us and for them */
/* No lock file and no locks: the caller keeps writers apart and readers safe from them. Every
 * commit is a durable point. A read-only env without locks goes on working in a child of fork. */
#define KV_NOLOCK 0x08u
#define KV_MEMORY 0x10u /* a database in memory (memfd): path is NULL, gone at close */
/* No writable mapping of the data file. Else one is made where it pays, for KV_NONE txns and memory
 * databases, on ext4 and tmpfs: a stray store of the program may then reach the file's pages. */
#define KV_NOWRITEMAP 0x20u
/* The data file is not locked by this env, and no descriptor of it but kv_env_fd is opened or
 * closed while the env lives: for programs that hold POSIX locks on it, which any close would drop.
 * The lock file works as ever. What is lost: that a user by another lock file is noticed. */
#define KV_NODATALOCK 0x40u
/* With KV_CREATE (nothing without): an existing file of 0 bytes becomes a database in place, with
 * its inode, owner and bits; of two that do it at once one does it. A lock on a byte far beyond the
 * data is held meanwhile (KV_EBUSY when others keep it from us). What a crash in the middle leaves,
 * a short file of zeros and of what was to come there, is filled by the next such open; for others
 * it is KV_ENOTDB or KV_ECORRUPT. */
#define KV_FILL_EMPTY 0x80u

/* A page of either file that cannot be had (cut short, a bad disk) is no SIGBUS but zeros, also by
 * pointers, and KV_ECORRUPT from each call of txns that were open, a read txn's commit too. New ones
 * read what is left; nothing is written before a reopen. Other handlers go on: docs/GUARD.md. */
#define KV_GUARD 0x100u

/* `mode` 0: a new database gets 0644; the lock file and copies of an existing one get its own bits.
 *
 * max_size_bytes: with pages of 4096 bytes a new database is 17 pages long, 13 of them free; its
 * first small commit takes one more, and makes two live snapshots of it, so that each page that a
 * txn changes is there twice for a while. Below the limit every page is used, and what lazy commits
 * keep for their flush is flushed and used again, before a put fails with KV_ESIZELIMIT. */
struct kv_options {
    size_t struct_bytes;      /* sizeof(struct kv_options): set by KV_OPTIONS_INIT */
    uint32_t flags;           /* KV_READONLY ... */
    uint32_t page_size;       /* bytes, at creation: 0 (4096) or 4096 ... 65536, a power of 2 */
    uint64_t max_size_bytes;  /* limit of the data file; 0: a stored one, or the reservation */
    uint64_t reserve_bytes;   /* address space for the mapping; 0: 1 TiB or what can be had */
    uint64_t lazy_sync_bytes; /* KV_LAZY: a durable point after so many bytes; 0: never */
    uint32_t lazy_sync_ms;    /* KV_LAZY: and when one is so old at a commit; 0: never */
    enum kv_durability durability; /* default of this env's write txns; 0: KV_DURABLE */
    uint64_t dirty_budget_bytes;   /* memory for changed pages, then written early; 0: 256 MiB */
    uint32_t max_readers;          /* limit of concurrent read txns over all processes; 0: none */
    uint32_t mode;                 /* new files' permissions, less umask; 0: see above */
    const char *lock_path;         /* the lock file; NULL: path + "-lock" */
    uint64_t min_size_bytes;       /* the file is kept at least so long, sparse; 0: no minimum */
    /* What a database that is made begins with, as kv_limit_set and kv_marker_set would store it. */
    uint64_t first_limit_bytes;
    const void *first_marker; /* KV_MARKER_BYTES; NULL: zeros */
};

/* clang-format off */
#define KV_OPTIONS_INIT                                                                             \
    { sizeof(struct kv_options), 0, 0, 0, 0, (uint64_t)64 << 20, 1000, KV_DURABLE, 0, 0, 0, NULL, 0, 0, NULL }
/* clang-format on */

/* Opens the database file `path`. `options` may be NULL (KV_OPTIONS_INIT). An unclean end of
 * earlier users is recovered from here: at most 4 MiB are read and written, at any file size.
 *
 * KV_CREATE makes a missing database whole under a temporary name and then gives it its name, so
 * that nobody ever sees half of one; two that create at once both get the one that won. An empty
 * existing file is no database (KV_ENOTDB) without KV_FILL_EMPTY. A path that is no plain file is EISDIR or KV_ENOTDB.
 *
 * Returns also ENOENT, KV_EVERSION, KV_ECORRUPT, KV_EBUSY (a lock file that belongs to another data
 * file with living users; an exclusive user), KV_EUNSUPPORTED, KV_EINVAL, EROFS/EACCES when the
 * lock file cannot be written (KV_NOLOCK|KV_READONLY opens such files). */
KV_CHECKED int kv_env_open(const char *path, const struct kv_options *options,
                           struct kv_env **env_out);

/* Closes; NULL is allowed. Refused with KV_EBUSY while txns are open. The last close of a database
 * makes a durable point and cuts the file to its used size; if that fails, its error is returned
 * and the env is closed nevertheless. In a child of fork it only frees memory and returns 0. */
KV_API int kv_env_close(struct kv_env *env);

/* Changes the env's min_size_bytes (0: none) and max_size_bytes (0: the reservation, or the limit
 * that is stored: kv_limit_set). A file that is shorter than the minimum grows to it at once or,
 * if somebody else is writing, with our next write txn. A maximum below what is in use only stops
 * growth. KV_EBUSY while this env has a write txn open. KV_ESIZELIMIT: the minimum is past the
 * reservation. kv_env_on_full has `fn` asked in the middle of a write txn's call when the file meets
 * its limit: it gives a larger maximum or 0, and may use the env in read txns only. */
KV_CHECKED int kv_env_resize(struct kv_env *env, uint64_t min_size_bytes, uint64_t max_size_bytes);
typedef uint64_t kv_full_fn(void *context, uint64_t limit_bytes);
KV_CHECKED int kv_env_on_full(struct kv_env *env, kv_full_fn *fn, void *context);

/* Makes everything committed before the call durable. Returns when it is; 0 also when it was. */
KV_CHECKED int kv_env_sync(struct kv_env *env);

struct kv_env_info {
    uint32_t page_size;       /* bytes */
    uint32_t flags;           /* as opened */
    uint8_t file_id[16];      /* random, made at creation, never changes; copies get their own */
    uint64_t map_size_bytes;  /* address space reserved in this process */
    uint64_t max_size_bytes;  /* limit of the file in force for this env */
    uint64_t file_size_bytes; /* now */
    uint64_t txnid_committed; /* newest committed snapshot */
    uint64_t txnid_visible;   /* where a read txn would begin */
    uint64_t txnid_durable;   /* newest snapshot that survives a crash of the machine */
    uint64_t max_key_bytes;
    uint64_t max_value_bytes;
    uint64_t max_pair_bytes;    /* KV_DUPLICATES: of a key, and of a value */
    uint64_t readers;           /* read txns that pin a snapshot now, over all processes */
    uint64_t processes;         /* envs that have it open now, this one included */
    uint64_t txnid_rolled_back; /* recovery at this open: newest txnid that was lost, else 0 */
    const void *map;            /* address of the mapping in this process; may move without txns */
    uint64_t faults;            /* KV_GUARD: pages that could not be had; set on failure too */
};

KV_CHECKED int kv_env_info(struct kv_env *env, struct kv_env_info *info_out);

/* Pages of a txn's snapshot. */
struct kv_env_stat {
    uint64_t txnid;
    uint64_t tables;     /* named tables */
    uint64_t pages_end;  /* highest page in use + 1 */
    uint64_t pages_used; /* in use, all kinds */
    uint64_t pages_free; /* below pages_end and not in use by this snapshot */
    uint64_t pages_map;  /* space map pages, of pages_used */
};

KV_CHECKED int kv_env_stat(struct kv_txn *txn, struct kv_env_stat *stat_out);

/* Called for each run of pages below pages_end that the txn's snapshot does not claim, ascending;
 * their sum is pages_free. A result other than 0 ends the list and is returned. In a write txn: of
 * the snapshot that it builds upon. */
typedef int kv_pages_fn(void *context, uint64_t pgno, uint64_t count);
KV_CHECKED int kv_free_list(struct kv_txn *txn, kv_pages_fn *fn, void *context);

/* The path as given to kv_env_open ("" for memory databases); lives as long as the env. */
KV_API const char *kv_env_path(const struct kv_env *env);

/* The data file's descriptor, owned by the env: not to be written, locked or closed. */
KV_API int kv_env_fd(const struct kv_env *env);

/* A user's order of keys or values: <0, 0, >0 as a stands before, equal to or behind b. Must be a
 * total order that never changes, must not call the library, and is called with bytes of the file:
 * a damaged page may show it any size up to max_key_bytes. */
typedef int kv_compare_fn(void *context, const struct kv_val *a, const struct kv_val *b);

/* Registers an order under the name by which tables record it (1 to 31 bytes), for all tables of
 * this env, and for good. To be done before such a table is searched or changed; without it that is
 * KV_ECOMPARATOR, and only reading in stored order works, as do checks and copies. In a txn that
 * met the table before, it counts at once (in one begun with KV_SHARED after a renew or refresh).
 * KV_EEXIST if the name has another function or context. */
KV_CHECKED int kv_env_comparator(struct kv_env *env, const char *name, kv_compare_fn *compare,
                                 void *context);

/* Gives space back to the file system: makes a durable point and cuts free pages off the end. With
 * KV_TRIM_DEFRAGMENT the pages at the end are moved lower down first, in write txns of its own;
 * with KV_TRIM_PUNCH free ranges of at least 64 KiB are punched. Waits for the writer lock, so the
 * caller must not have a write txn open. What readers hold stays where it is. `bytes_out` (may be
 * NULL) gets the bytes given back. EOPNOTSUPP where the file system cannot punch. */
#define KV_TRIM_DEFRAGMENT 0x02u
#define KV_TRIM_PUNCH 0x01u
KV_CHECKED int kv_env_trim(struct kv_env *env, uint32_t flags, uint64_t *bytes_out);

/* One thing that kv_env_check found. */
struct kv_finding {
    uint64_t txnid;    /* snapshot in which it was found */
    uint64_t pgno;     /* the page, UINT64_MAX if it is none */
    const char *table; /* name of the table, "" main table, NULL none */
    const char *what;  /* text; this and the keys are valid during the call */
    /* The keys in and below the page: from `from` to before `to`, NULL: the table's end, or it is no
     * page of a tree. Made from separators, so that they need not be keys that ever were; with
     * KV_DUPLICATES values of `to` may be among them. */
    const struct kv_val *from;
    const struct kv_val *to;
    int record; /* 1: the value of one record, whose key is in both */
};

/* Called for each finding, in the checking thread; a result other than 0 stops the check, which
 * returns it. */
typedef int kv_finding_fn(void *context, const struct kv_finding *finding);

/* Called now and then in long work: `done` of `total` units (pages or records; total 0: unknown). A
 * result other than 0 stops the work, which returns it. */
typedef int kv_progress_fn(void *context, uint64_t done, uint64_t total);

struct kv_check_options {
    kv_finding_fn *finding;   /* may be NULL */
    kv_progress_fn *progress; /* may be NULL */
    void *context;            /* handed to both */
    uint64_t *findings_out;   /* number of findings; may be NULL */
};

/* Proves the database: every page of every live snapshot that this process can pin (the newest
 * visible and the durable one) is read, its checksum, tag, order, links and counts are verified,
 * and the pages reached are compared with the space map, page for page. Holds the writer lock for
 * the time of the check (not with KV_READONLY), so the caller must not have a write txn open in
 * this env. 0: sound; KV_ECORRUPT: there were findings. `options` may be NULL. */
KV_CHECKED int kv_env_check(struct kv_env *env, const struct kv_check_options *options);

struct kv_copy_options {
    uint32_t flags;           /* KV_COPY_COMPACT */
    uint32_t mode;            /* permission bits of the target, less umask; 0: the env's */
    kv_progress_fn *progress; /* may be NULL */
    void *context;
};
#define KV_COPY_COMPACT 0x01u /* records are written anew, densely; else page for page */

/* Writes a database with the content of the txn's snapshot (a read txn). To a path: under a
 * temporary name beside it, flushed, then given its name; EEXIST if there is something, and nothing
 * is left behind on failure. To a descriptor, which need not be seekable: written from start to
 * end, flushed if it is a file. `options` may be NULL. The copy has a file id of its own. */
KV_CHECKED int kv_env_copy(struct kv_txn *txn, const char *path,
                           const struct kv_copy_options *options);
KV_CHECKED int kv_env_copy_fd(struct kv_txn *txn, int fd, const struct kv_copy_options *options);

struct kv_reader {
    int64_t pid;         /* as its own process saw it; other pid namespaces differ */
    uint64_t txnid;      /* of its snapshot; 0: it is reset */
    uint64_t age_ms;     /* since it began, or was renewed */
    uint64_t pages_held; /* that only it keeps from reuse; UINT64_MAX: not known, a write txn ran */
    int alive;           /* 0: its process died; its slot is cleared on need */
    uint64_t thread;     /* pthread_self of who began or renewed it last */
};

/* Called for each read txn of each process, those that are reset included; a txn and its clones are
 * one. A result other than 0 ends the list and is returned. */
typedef int kv_reader_fn(void *context, const struct kv_reader *reader);
KV_CHECKED int kv_env_readers(struct kv_env *env, kv_reader_fn *reader, void *context);

/* Clears what processes that died left of read txns; *cleared_out (may be NULL): how many such
 * there were since somebody asked. Writers, and who finds no free slot, do so by themselves. */
KV_CHECKED int kv_env_readers_clear(struct kv_env *env, uint64_t *cleared_out);

/* ---- Salvage ------------------------------------------------------------------------------- */

/* Where a record that is salvaged comes from. */
enum kv_salvage_source {
    KV_SALVAGE_TREE = 1, /* its table's tree, as it stands in the snapshot that is followed */
    KV_SALVAGE_LEAF = 2, /* a leaf that no branch leads to, but that snapshot claims */
    KV_SALVAGE_STALE = 3 /* may be old, or deleted since: only where nothing surer is left */
};

struct kv_salvage_table {
    const char *name; /* NULL: the main table, or with `unknown` not known */
    uint64_t unknown; /* 0, or the number of a table of which only leaves are left */
    /* What it is; if unknown what leaves tell: order (comparator ""), KV_DUPLICATES, align. */
    const struct kv_table_options *options;
    uint64_t sequence;  /* see kv_sequence */
    uint64_t entries;   /* records that it had, named tables among them; 0: none, or not known */
    uint32_t page_size; /* of the file, in bytes */
    int stale;          /* the table itself is known from a KV_SALVAGE_STALE record */
};

/* Something that could not be reached; valid during the call. */
struct kv_salvage_loss {
    uint64_t pgno;             /* first page, UINT64_MAX if it is none */
    uint64_t pages;            /* how many */
    const char *table;         /* as in kv_finding */
    const char *what;          /* text */
    const struct kv_val *from; /* the keys, as in kv_finding, */
    const struct kv_val *to;   /* and likewise */
    uint32_t level;            /* in its tree: 0 a leaf; above, all that was below it */
    int record;                /* as in kv_finding */
};

/* Any may be NULL. A result other than 0 stops the salvage, which returns it. `table` is called for
 * each table, then follow its records and losses by key; unknown ones come last, and losses that
 * are about no table first. `progress` counts each page of the file twice. */
struct kv_salvage_options {
    int (*table)(void *context, const struct kv_salvage_table *table);
    int (*record)(void *context, const struct kv_val *key, const struct kv_val *value,
                  enum kv_salvage_source source);
    int (*loss)(void *context, const struct kv_salvage_loss *loss);
    kv_progress_fn *progress;
    void *context; /* handed to all */
};

/* Gets the records out of a damaged file: reads it as it is, with no lock file and no recovery, and
 * never writes to it; nobody may write to it meanwhile. Whatever is gone: a table is read by its tree
 * where that stands, else from leaf pages that are left, the newest first (docs/SALVAGE.md). Keys
 * and values are valid during the call. KV_ECORRUPT: not all was reached, as `loss` told; KV_ENOTDB:
 * nothing of a database; KV_EVERSION, ENOENT, EISDIR ... `options` may be NULL. */
KV_CHECKED int kv_salvage(const char *path, const struct kv_salvage_options *options);

/* ---- Transactions -------------------------------------------------------------------------- */

/* kv_txn_begin's flags */
#define KV_READ 0x00u
#define KV_WRITE 0x01u
#define KV_TRY 0x02u /* with KV_WRITE: KV_EBUSY at once instead of waiting for the writer lock */
/* With KV_READ: many threads may read in the txn at once (kv_get, kv_get_many, counts, cursors that
 * each thread opens for itself). Begin, end, reset, renew and refresh are still one thread's, while
 * no other is in the txn. */
#define KV_SHARED 0x04u

/* Where the time of a commit went, in nanoseconds. Of a nested txn's commit only total_ns is told;
 * what an outer txn's says includes what was done for its nested ones. */
struct kv_latency {
    uint64_t wait_ns;  /* for the writer lock, at begin */
    uint64_t copy_ns;  /* table records, sealing and checksums */
    uint64_t space_ns; /* the space map */
    uint64_t write_ns; /* handing pages to the kernel, early ones included */
    uint64_t flush_ns; /* the durable point: waiting for it and making it */
    uint64_t total_ns; /* of kv_txn_commit */
};

struct kv_txn_options {
    struct kv_txn *parent;         /* KV_WRITE: a nested txn inside this one; else NULL */
    uint32_t timeout_ms;           /* KV_WRITE: KV_ETIMEOUT after so long; 0: wait for ever */
    enum kv_durability durability; /* KV_WRITE: 0: the env's; of nested txns ignored */
    struct kv_txn *clone;          /* KV_READ: pin the snapshot of this read txn; else NULL */
    struct kv_latency *latency;    /* KV_WRITE: filled at commit; must live until then; or NULL */
};

/* Begins a txn. `options` may be NULL. A clone reads the very snapshot of another live read txn of
 * the same env, even if it is not the newest any more; either may end, or be reset, first. Making
 * it is a use of the other; together they count as one reader. A read txn pins the newest visible snapshot: tens of
 * nanoseconds, no system call. A write txn waits for the writer lock. While a nested txn lives, its
 * parent may not be used (KV_EBADTXN). Returns also KV_EREADONLY, KV_EPOISONED, KV_EREADERS. */
KV_CHECKED int kv_txn_begin(struct kv_env *env, uint32_t flags,
                            const struct kv_txn_options *options, struct kv_txn **txn_out);

/* Commits and frees the txn, whatever the result; its cursors are closed with it. A read txn is
 * just ended. After a failure nothing of the txn is visible, except KV_EUNKNOWN: its flush failed,
 * and what the disk holds is decided by the next recovery. KV_EBADTXN: a change in it had failed
 * before, or a child lives. */
KV_CHECKED int kv_txn_commit(struct kv_txn *txn);

/* Drops all changes, live children first, and frees the txn and its cursors. NULL is allowed. */
KV_API void kv_txn_abort(struct kv_txn *txn);

/* Read txns: reset lets the snapshot go and keeps the handle; renew pins the newest visible
 * snapshot for a handle that was reset. refresh moves a live one to the newest visible snapshot:
 * *moved_out (may be NULL) tells whether it was another. Cursors of the txn stay allocated and have
 * no position afterwards; pointers read before are void. */
KV_API void kv_txn_reset(struct kv_txn *txn);
KV_CHECKED int kv_txn_renew(struct kv_txn *txn);
KV_CHECKED int kv_txn_refresh(struct kv_txn *txn, int *moved_out);

/* The snapshot's id; in a write txn the id that its commit will have. 0 while reset. */
KV_API uint64_t kv_txn_id(const struct kv_txn *txn);
KV_API struct kv_env *kv_txn_env(const struct kv_txn *txn);

/* A marker of the user's, kept with the snapshot: at most KV_MARKER_BYTES, zeros behind. Set in a
 * write txn, it is part of it and stays for later snapshots until set again; get copies all
 * KV_MARKER_BYTES out. For what tells one state of the data from another: a position in a log that
 * was applied, a version of the schema. */
#define KV_MARKER_BYTES 64u
KV_CHECKED int kv_marker_set(struct kv_txn *txn, const void *marker, size_t size_bytes);
KV_CHECKED int kv_marker_get(struct kv_txn *txn, void *marker_out);

/* A limit of the file's size that is kept with the snapshot like the marker; 0: none. An env whose
 * own max_size_bytes is 0 obeys it from the next write txn on; others ignore it. */
KV_CHECKED int kv_limit_set(struct kv_txn *txn, uint64_t bytes);
KV_CHECKED int kv_limit_get(struct kv_txn *txn, uint64_t *bytes_out);

/* ---- Tables -------------------------------------------------------------------------------- */

/* How keys, or the values of one key, are ordered. */
enum kv_order {
    KV_ORDER_BYTES = 0,   /* memcmp, then length */
    KV_ORDER_REVERSE = 1, /* the same from the last byte to the first */
    KV_ORDER_UINT = 2,    /* the machine's unsigned integers of 4 or 8 bytes, one size per table */
    KV_ORDER_CUSTOM = 3   /* a user's: kv_env_comparator */
};

/* kv_table_options.flags. Values of KV_ORDER_UINT have KV_FIXED by themselves. */
#define KV_DUPLICATES 0x0100u /* many values under a key, ordered, each at most once */
#define KV_FIXED 0x0200u      /* with KV_DUPLICATES: all values have one size, and are packed */
#define KV_COUNTED 0x0400u    /* kv_count, kv_rank, kv_cursor_nth in O(log n); duplicates have it */

/* What a table is, chosen when it is made. */
struct kv_table_options {
    size_t struct_bytes;          /* sizeof(struct kv_table_options): set by the initialiser */
    uint32_t flags;               /* KV_DUPLICATES ... */
    enum kv_order order;          /* of keys */
    enum kv_order value_order;    /* KV_DUPLICATES: of a key's values */
    const char *comparator;       /* name of a KV_ORDER_CUSTOM of keys */
    const char *value_comparator; /* and of values */
    uint32_t value_bytes;         /* KV_FIXED: the size; 0: set by the first value */
    uint32_t align;               /* values are aligned to 8 or 16 bytes; 0: not */
};

#define KV_TABLE_OPTIONS_INIT                                                                      \
    {                                                                                              \
        sizeof(struct kv_table_options), 0, KV_ORDER_BYTES, KV_ORDER_BYTES, NULL, NULL, 0, 0       \
    }

/* kv_table_open's flags: KV_CREATE (write txns): make the table if there is none. */

/* Finds the named table and gives its handle, the same one for the same name each time. `name`
 * NULL: KV_MAIN_TABLE. A handle opened in a txn that aborts stays a valid number; using it where
 * the snapshot has no such table is KV_EBADTABLE.
 *
 * `options` NULL: as the table is; made anew, a plain one. Otherwise an existing table that is not
 * just so is KV_EINCOMPATIBLE (KV_ECOMPARATOR: another comparator's name); but with KV_CREATE in a
 * write txn a table that is empty becomes what the options say, the main table too (handles and
 * cursors stay valid, and sizes that its first records had set are open again). A main table that
 * holds duplicates or has a custom order cannot hold named tables beside, and custom orders need a
 * registered comparator (KV_ECOMPARATOR) to be made.
 *
 * Returns KV_ENOTFOUND, KV_EINCOMPATIBLE (also: the name is an ordinary key of the main table),
 * KV_ECOMPARATOR, KV_EKEYSIZE, KV_EVALSIZE (value_bytes), KV_EREADONLY, KV_EINVAL. */
KV_CHECKED int kv_table_open(struct kv_txn *txn, const char *name, uint32_t flags,
                             const struct kv_table_options *options, kv_table *table_out);

/* What the table is. The names point into the env and live as long as it. */
KV_CHECKED int kv_table_options(struct kv_txn *txn, kv_table table,
                                struct kv_table_options *options_out);

/* Forgets the handle; later use of it is KV_EBADTABLE, also after the name is opened again. Needed
 * only by those who open names without end. */
KV_CHECKED int kv_table_close(struct kv_env *env, kv_table table);

/* Removes all records (and, drop, the table itself). Dropping the main table is KV_EINVAL; emptying
 * it while it holds named tables is KV_EINCOMPATIBLE. */
KV_CHECKED int kv_table_drop(struct kv_txn *txn, kv_table table);
KV_CHECKED int kv_table_empty(struct kv_txn *txn, kv_table table);

/* Renames; the handle then means the new name. KV_EEXIST if that name is taken. */
KV_CHECKED int kv_table_rename(struct kv_txn *txn, kv_table table, const char *name);

/* Called for each named table, by name. A result other than 0 ends the list and is returned. */
typedef int kv_table_fn(void *context, const char *name);
KV_CHECKED int kv_table_list(struct kv_txn *txn, kv_table_fn *fn, void *context);

struct kv_table_stat {
    uint64_t entries; /* records; with duplicates: values of all keys */
    uint64_t keys;    /* the same without duplicates */
    uint64_t pages_branch;
    uint64_t pages_leaf;
    uint64_t pages_overflow;
    uint64_t bytes;     /* of all its pages */
    uint32_t depth;     /* levels; 0: empty */
    uint32_t page_size; /* bytes */
};

KV_CHECKED int kv_table_stat(struct kv_txn *txn, kv_table table, struct kv_table_stat *stat_out);

/* A number that the table keeps, 0 at first: gives its present value and, in a write txn, adds
 * `add` to it. Each number is handed out once: KV_EMISMATCH when it would wrap around. With add 0
 * it only reads, in any txn. Emptying a table does not set it back. */
KV_CHECKED int kv_sequence(struct kv_txn *txn, kv_table table, uint64_t add, uint64_t *value_out);

/* ---- Records ------------------------------------------------------------------------------- */

/* Keys are from 0 to max_key_bytes long, and ordered as the table's options say (KV_ORDER_UINT: 4
 * or 8 bytes, KV_EKEYSIZE else). With KV_DUPLICATES a record is a pair of key and value; key and
 * value are then at most max_pair_bytes each (kv_env_info), and values have no runs of their own.
 */

/* The value of the key; with duplicates the first one. KV_ENOTFOUND; KV_EINCOMPATIBLE if the key
 * names a table. */
KV_CHECKED int kv_get(struct kv_txn *txn, kv_table table, const struct kv_val *key,
                      struct kv_val *value_out);

/* kv_get for `count` keys at once, several times faster than one by one: the descents take turns,
 * and each asks for its next page while the others go on. values_out[i] is the value of keys[i], in
 * whatever order the keys stand; absent keys, and those that name tables, get data NULL and size 0
 * (the data of a present value is never NULL). *found_out (may be NULL): how many were there. 0
 * also when none was. */
KV_CHECKED int kv_get_many(struct kv_txn *txn, kv_table table, const struct kv_val *keys,
                           size_t count, struct kv_val *values_out, size_t *found_out);

/* kv_put's flags */
#define KV_NOOVERWRITE 0x01u /* KV_EEXIST if the key exists; *value is then its (first) value */
#define KV_APPEND 0x02u      /* the record must be above all others: KV_EORDER else; fills pages */
/* Only value->size counts; value->data is set to the space, to be filled before the txn's next
 * change or commit. Not with KV_DUPLICATES. */
#define KV_RESERVE 0x04u
#define KV_NOSPLIT 0x08u /* KV_EPAGEFULL, nothing changed, if a page would have to split */
/* The next three are for tables with duplicates, KV_EINCOMPATIBLE elsewhere. */
#define KV_NOPAIR 0x20u       /* KV_EEXIST if the key has this value already */
#define KV_APPEND_VALUE 0x40u /* the value must be above the key's others: KV_EORDER else */
/* With KV_FIXED: value->size is a multiple of the table's value size, and each piece is put as a
 * value of its own, none if there is none. KV_EINVAL: it is no multiple, or the table has no size
 * yet. */
#define KV_MULTIPLE 0x80u

/* Inserts or replaces; with duplicates adds a value to the key's (0 when it is there already). Key
 * and value may point into memory read from this txn. KV_EVALSIZE: with KV_FIXED also a value of
 * another size. */
KV_CHECKED int kv_put(struct kv_txn *txn, kv_table table, const struct kv_val *key,
                      struct kv_val *value, uint32_t flags);

/* Deletes the record; with duplicates just the pair, or with value NULL the key with all its
 * values. `value` must be NULL for other tables (KV_EINCOMPATIBLE). */
KV_CHECKED int kv_del(struct kv_txn *txn, kv_table table, const struct kv_val *key,
                      const struct kv_val *value);

/* Deletes all records of a range: whole subtrees are dropped, so that the cost is that of the pages
 * at its edges plus a little for each page dropped. *deleted_out (may be NULL): how many records
 * there were. 0 also for none. In the main table KV_EINCOMPATIBLE, nothing changed, while there are
 * named tables in the range. `range` NULL: all. */
KV_CHECKED int kv_del_range(struct kv_txn *txn, kv_table table, const struct kv_range *range,
                            uint64_t *deleted_out);

/* Puts `value` (NULL: deletes) and gives the value that was there: a copy owned by the txn, valid
 * until its next change. If there was none, old_out->data is NULL and the put is done all the same;
 * deleting an absent key is KV_ENOTFOUND. A present value's data is never NULL, even when empty.
 * Not with KV_DUPLICATES (KV_EINCOMPATIBLE), as the next two. */
KV_CHECKED int kv_replace(struct kv_txn *txn, kv_table table, const struct kv_val *key,
                          const struct kv_val *value, struct kv_val *old_out);

/* Compare and swap: puts `value` (NULL: deletes) if the present value equals `expected` (NULL: if
 * there is none). Else KV_EMISMATCH, nothing changed. *actual_out (may be NULL) is what was there:
 * a copy as of kv_replace, data NULL if there was none. Within one txn no one comes between anyway:
 * this is for tests of what an earlier txn saw. */
KV_CHECKED int kv_swap(struct kv_txn *txn, kv_table table, const struct kv_val *key,
                       const struct kv_val *expected, const struct kv_val *value,
                       struct kv_val *actual_out);

/* Adds to the 8-byte little-endian signed integer under the key (0 if there is none) and gives the
 * sum. KV_EINCOMPATIBLE: the value is not 8 bytes long; KV_EMISMATCH: it would overflow, nothing
 * changed. */
KV_CHECKED int kv_add(struct kv_txn *txn, kv_table table, const struct kv_val *key, int64_t add,
                      int64_t *sum_out);

/* Number of records in a range. Exact and O(log n) in tables with KV_COUNTED or KV_DUPLICATES;
 * KV_EINCOMPATIBLE elsewhere, unless KV_ESTIMATE asks for what some pages of the range let expect:
 * a few dozen page reads at most, exact when the range lies in one or two leaves, and else mostly
 * within a few percent of evenly filled tables. */
#define KV_KEYS 0x01u     /* count keys, not the values of each */
#define KV_ESTIMATE 0x02u /* any table */
KV_CHECKED int kv_count(struct kv_txn *txn, kv_table table, const struct kv_range *range,
                        uint32_t flags, uint64_t *count_out);

/* Number of records before the key (with KV_DUPLICATES, `value` not NULL: before the pair), which
 * need not be there. flags: KV_KEYS (keys before the key). KV_EINCOMPATIBLE in tables that are not
 * counted. */
KV_CHECKED int kv_rank(struct kv_txn *txn, kv_table table, const struct kv_val *key,
                       const struct kv_val *value, uint32_t flags, uint64_t *rank_out);

/* ---- Bulk build ---------------------------------------------------------------------------- */

struct kv_bulk; /* a load of records in order, in a write txn */

/* Begins a bulk build: records that come in ascending order behind all that the table holds are
 * laid out page by page, each written once, early and from left to right, `fill` percent full (0:
 * 100; 50 to 100). Memory for a few pages is all it takes. One that is not above the one before is
 * put in the ordinary way, and so is all that follows until some in a row (32) were above all
 * others: nothing is refused, and sorted stretches are laid out again.
 *
 * Between begin and end only kv_bulk_put and kv_bulk_end may use the txn (KV_EBADTXN for others,
 * and for kv_txn_commit, which aborts it then); abort of the txn frees the bulk too. KV_ECOMPARATOR
 * as of kv_put. */
KV_CHECKED int kv_bulk_begin(struct kv_txn *txn, kv_table table, uint32_t fill,
                             struct kv_bulk **bulk_out);

/* As kv_put with these flags: 0, KV_NOOVERWRITE (the present value is not given). A failure that
 * fails the txn leaves the bulk to be ended. */
KV_CHECKED int kv_bulk_put(struct kv_bulk *bulk, const struct kv_val *key,
                           const struct kv_val *value, uint32_t flags);

/* Completes the table and frees the bulk, whatever the result. KV_EBADTXN: the txn had failed. */
KV_CHECKED int kv_bulk_end(struct kv_bulk *bulk);

/* ---- Cursors ------------------------------------------------------------------------------- */

/* A cursor without a position: KV_NEXT begins at the first record and KV_PREV at the last. Closed
 * by kv_cursor_close or with its txn, which must not be mixed: after the txn ended the handle is
 * gone. */
KV_CHECKED int kv_cursor_open(struct kv_txn *txn, kv_table table, struct kv_cursor **cursor_out);
KV_API void kv_cursor_close(struct kv_cursor *cursor);

/* Confines the cursor to a range (NULL: no bounds): moves go only to records in it, KV_FIRST and
 * KV_LAST to its ends, searches for keys before it begin at its start. What the range points to is
 * copied. The cursor has no position afterwards. A put may leave it outside: KV_CURRENT reads
 * there. KV_EINCOMPATIBLE: see kv_range; KV_EKEYSIZE, KV_ECOMPARATOR. */
KV_CHECKED int kv_cursor_bound(struct kv_cursor *cursor, const struct kv_range *range);

enum kv_cursor_op {
    KV_FIRST = 1,
    KV_LAST = 2,
    KV_NEXT = 3,
    KV_PREV = 4,
    KV_EXACT = 5,    /* *key is input: the record with just this key (its first value) */
    KV_AT_LEAST = 6, /* *key is input: the first record whose key is >= it */
    KV_AT_MOST = 7,  /* *key is input: the last record whose key is <= it */
    KV_CURRENT = 8,
    KV_NEXT_KEY = 9,  /* first value of the next key; as KV_NEXT without duplicates */
    KV_PREV_KEY = 10, /* last value of the key before; as KV_PREV without duplicates */
    /* For tables with duplicates, KV_EINCOMPATIBLE elsewhere: */
    KV_EXACT_PAIR = 11,     /* *key and *value are input */
    KV_AT_LEAST_VALUE = 12, /* the same: of just this key the first value that is >= *value */
    KV_FIRST_VALUE = 13,    /* of the key at the cursor */
    KV_LAST_VALUE = 14,
    KV_NEXT_VALUE = 15, /* KV_ENOTFOUND, the position kept, behind the key's last */
    KV_PREV_VALUE = 16,
    /* With KV_FIXED: *value is many values in one piece, as they stand in the page. */
    KV_VALUES = 17,      /* from the one at the cursor on, which moves to the last of them */
    KV_NEXT_VALUES = 18, /* from the key's next one on, likewise; KV_ENOTFOUND behind the last */
    KV_PREV_VALUES = 19, /* those up to the one before; the cursor moves to the first of them */
    /* From key to key too, each piece being of one key; with no position yet from the ends: */
    KV_NEXT_PIECE = 20, /* KV_NEXT, and then KV_VALUES */
    KV_PREV_PIECE = 21  /* KV_PREV, and all values of the piece up to the one there */
};

/* Moves and reads. key and value may be NULL where they are output only. KV_ENOTFOUND: no such
 * record; past the last record (KV_NEXT) or before the first (KV_PREV) the position stays on that
 * record; after a failed KV_EXACT, KV_AT_LEAST, KV_AT_MOST, KV_EXACT_PAIR or KV_AT_LEAST_VALUE
 * there is none. KV_CURRENT and the value moves on no position are KV_EINVAL. A record of the main
 * table that is a named table reads as its name and an empty value. */
KV_CHECKED int kv_cursor_get(struct kv_cursor *cursor, enum kv_cursor_op op, struct kv_val *key,
                             struct kv_val *value);

/* Many records a call: moves by `op` (any that moves forward or backward or searches; a search
 * takes its key, and value, from records[0]) and fills records[0 .. count) from there on, forward,
 * or backward after KV_LAST, KV_PREV, KV_PREV_KEY and KV_AT_MOST (KV_NEXT_KEY and KV_PREV_KEY: one
 * value of each key, the first or the last; KV_NEXT_VALUE and KV_PREV_VALUE: of one key). The
 * cursor stands at the last one read: KV_NEXT (KV_PREV) goes on. *count_out: how many; KV_ENOTFOUND
 * when none. Pointers live as those of kv_cursor_get.
 *
 * KV_VALUES and the operations behind it fill each record with a key and a piece; KV_NEXT_VALUES
 * and KV_PREV_VALUES read pieces of one key, KV_VALUES goes on as KV_NEXT_PIECE. The fastest way
 * through a table of fixed-size values is KV_NEXT_PIECE, some dozen pieces a call. */
KV_CHECKED int kv_cursor_read(struct kv_cursor *cursor, enum kv_cursor_op op,
                              struct kv_record *records, size_t count, size_t *count_out);

/* To record number n, from 0, of the table, or of the cursor's bounds. flags: KV_KEYS: first value
 * of key number n. KV_ENOTFOUND: there are not so many, and no position then. Counted tables and
 * those with duplicates, KV_EINCOMPATIBLE else. */
KV_CHECKED int kv_cursor_nth(struct kv_cursor *cursor, uint64_t n, uint32_t flags,
                             struct kv_val *key, struct kv_val *value);

/* How many values the key at the cursor has: 1 without duplicates. O(log n). */
KV_CHECKED int kv_cursor_count(struct kv_cursor *cursor, uint64_t *count_out);

/* Where a cursor stands. */
enum kv_place {
    KV_PLACE_NONE = 0,   /* nowhere */
    KV_PLACE_RECORD = 1, /* at a record */
    /* Its record was deleted: */
    KV_PLACE_VALUE = 2,  /* before the next value of the same key */
    KV_PLACE_VALUES = 3, /* behind the last of the values that the key has left */
    KV_PLACE_KEY = 4     /* before the next key, or at the end; the deleted record's key is gone */
};
KV_CHECKED int kv_cursor_place(struct kv_cursor *cursor, enum kv_place *place_out);

/* Whether the record at the cursor is a named table: 1 or 0. */
KV_API int kv_cursor_is_table(const struct kv_cursor *cursor);

/* As kv_put, and leaves the cursor at the record. With flag KV_AT_CURSOR the key is not looked at
 * (may be NULL): the value of the record at the cursor is replaced; with duplicates that moves the
 * pair to where its new value belongs (KV_EEXIST, nothing changed, if the key has it already). A
 * cursor's bounds do not hold for its puts. */
#define KV_AT_CURSOR 0x10u
KV_CHECKED int kv_cursor_put(struct kv_cursor *cursor, const struct kv_val *key,
                             struct kv_val *value, uint32_t flags);

/* Deletes the record at the cursor; flags KV_ALL_VALUES: the key with all its values. The cursor,
 * like any other that stood there, then stands before the record that followed: KV_NEXT and
 * KV_CURRENT give that one (KV_CURRENT: KV_ENOTFOUND at the end), KV_PREV the one before. While the
 * key of what was deleted has other values, value and key moves and KV_ALL_VALUES are about that
 * key still. Without a position: KV_EINVAL. */
#define KV_ALL_VALUES 0x01u
KV_CHECKED int kv_cursor_del(struct kv_cursor *cursor, uint32_t flags);

#ifdef __cplusplus
}
#endif

#endif
