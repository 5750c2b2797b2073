/* SPDX-License-Identifier: MIT */
/*
 * Transactions: a pinned snapshot, and for writers the changes on top of it.
 *
 * States. ACTIVE; RESET (a reader without snapshot, waiting for renew); FAILED (a change went wrong
 * half-way: only abort remains, so that tree code needs no undo); BULK (a table is in a bulk build,
 * whose own functions alone go on). A txn with a live child refuses everything but abort.
 *
 * Tables. Each table used in a txn has an entry with its tree, found by handle; named tables'
 * records are read from the main table at first use and written back at commit. A dropped table's
 * entry stays until the txn ends, since cursors may still point to it.
 *
 * One thread at a time, but for read txns begun with KV_SHARED: any number may read there. What they
 * change is the table entries, made at first use, and the list of API cursors: both under the mutex
 * of kvi_txn_lock, and entries are found without it (slots are published complete, and an array that
 * they grew out of is kept).
 *
 * Owner: the caller of begin; freed by commit and abort.
 */
#ifndef KVI_TXN_TXN_H
#define KVI_TXN_TXN_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "tree/tree.h"
#include "txn/durable.h"
#include "txn/env.h"

enum kvi_txn_state { KVI_TXN_ACTIVE, KVI_TXN_RESET, KVI_TXN_FAILED, KVI_TXN_BULK };

/* Which sizes of keys and values a table takes, so that a call needs no look at its shape: size -
 * low < count. A count of 0 sends every call to the function that knows. */
struct kvi_table_limits {
    uint32_t key_low;
    uint32_t key_count;
    uint32_t value_low;
    uint32_t put_flags; /* of kv_put: those that need nothing special */
    uint64_t value_count;
};

/* A table as this txn sees it. */
struct kvi_txn_table {
    struct kvi_table_limits limits;
    struct kvi_tree tree;
    struct kv_txn *txn;
    kv_table handle; /* that it was first used by; others may lead here too */
    char *name;      /* owned; NULL: main table */
    bool dropped;    /* in this txn */
    bool unready;    /* dropped, or a comparator was not known when it was last looked for */
    struct kvi_txn_table *outer; /* nested: what this is a copy of, in a txn around this one */
    struct kvi_txn_table *inner; /* the copy in a live nested txn: counts in place of this */
    struct kvi_txn_table *next;  /* all entries of the txn but the main one */
    struct kvi_txn_table *chain; /* next in its bucket */
};

/* Where a handle that was used leads. The handle is stored last. */
struct kvi_txn_slot {
    _Atomic(kv_table) handle;              /* 0: free */
    _Atomic(struct kvi_txn_table *) entry; /* NULL: the handle was closed since */
};

/* Hash by handle, open addressing, never more than half full. */
struct kvi_txn_slots {
    uint32_t size; /* a power of two */
    uint32_t count;
    struct kvi_txn_slots *older; /* grown out of, while other threads may look there */
    struct kvi_txn_slot slots[];
};

/* What a txn begun with KV_SHARED has beside. */
struct kvi_txn_shared {
    pthread_mutex_t mutex;
};

/* A reader slot that a txn and its clones have in common: the last to let go ends it. */
struct kvi_txn_pin {
    _Atomic(uint32_t) count;
};

struct kv_txn {
    struct kv_env *env;
    const _Atomic(uint64_t) *here; /* kvi_lockfile_here */
    uint64_t seen;                 /* what stood there when the txn began: see kvi_txn_whole */
    struct kv_txn *parent;         /* nested: the txn around this one */
    struct kv_txn *child;          /* the live nested txn */
    enum kvi_txn_state state;
    bool write;
    uint64_t id;                  /* txnid */
    uint32_t epoch;               /* raised by renew and refresh: cursors notice */
    struct kvi_view view;         /* readers: what the snapshot allows */
    struct kvi_snapshot snapshot; /* read, or built upon; writers change .snap */
    struct kvi_txn_table main;
    struct kvi_txn_shared *shared;         /* NULL: one thread at a time */
    _Atomic(struct kvi_txn_slots *) slots; /* NULL: no table but the main one was used */
    struct kvi_txn_table **buckets;        /* hash of the entries by name */
    uint32_t buckets_size;                 /* a power of two, or 0 */
    _Atomic(uint32_t) closings;    /* the registry's, when the slots were last compared with it */
    struct kvi_txn_table *entries; /* list of all entries */
    struct kv_cursor *cursors;     /* list of API cursors */
    struct kvi_reader_slot *slot;  /* readers; NULL while reset, if it was shared */
    struct kvi_txn_pin *pin;       /* NULL: the slot is this txn's alone */
    /* writers */
    enum kv_durability durability;
    struct kvi_live live;    /* top txn */
    struct kvi_space *space; /* top txn's, shared by nested ones */
    struct kvi_pager *pager;
    struct kv_bulk *bulk;       /* the bulk build, NULL: none */
    struct kv_latency *latency; /* the user's, NULL: no clock is asked */
    struct kv_latency spent;    /* so far */
    bool marked;                /* the user's marker or the stored limit was changed */
    uint64_t file_bytes_before; /* size of the data file at begin */
    uint64_t txnid_before;      /* shared.txnid_last to restore if nothing is written */
    uint8_t *scratch[2];        /* kvi_txn_scratch */
    size_t scratch_bytes[2];
    unsigned scratch_last; /* which of them was given last */
};

/* A cursor of the API: a tree cursor and what ties it to its txn. */
struct kv_cursor {
    struct kv_txn *txn;
    struct kvi_txn_table *table;
    kv_table handle;
    struct kvi_cursor *cursor;
    uint32_t epoch; /* of the txn when it was last bound */
    struct kv_cursor *next;
    struct kv_cursor **link; /* the pointer that points here */
};

/* A bulk build of the API. */
struct kv_bulk {
    struct kv_txn *txn;
    struct kvi_txn_table *table;
    struct kvi_bulk *bulk;
};

/* ---- txn.c: begin and end ---- */

KVI_MUST_CHECK int kvi_txn_begin(struct kv_env *env, uint32_t flags,
                                 const struct kv_txn_options *options, struct kv_txn **txn_out);
KVI_MUST_CHECK int kvi_txn_commit(struct kv_txn *txn);
void kvi_txn_abort(struct kv_txn *txn);

/* KV_EBADTXN, KV_EFORKED, KV_EREADONLY, or 0: may this txn be used, for a change? */
KVI_MUST_CHECK int kvi_txn_why_not(const struct kv_txn *txn, bool change);
KVI_MUST_CHECK static inline int kvi_txn_usable(const struct kv_txn *txn, bool change)
{
    if (KVI_LIKELY(txn && txn->state == KVI_TXN_ACTIVE && !txn->child && (txn->write || !change) &&
                   atomic_load_explicit(txn->here, memory_order_relaxed) == txn->seen))
        return 0;
    return kvi_txn_why_not(txn, change);
}

/* A call's result, once the last byte of the file that it rests on was read: KV_ECORRUPT if a page
 * could not be had since the txn began (KV_GUARD), so that zeros may have been read. */
int kvi_txn_lost(const struct kv_txn *txn, int rc) KVI_COLD;
KVI_MUST_CHECK static inline int kvi_txn_whole(const struct kv_txn *txn, int rc)
{
    atomic_thread_fence(memory_order_acquire);
    if (KVI_LIKELY(atomic_load_explicit(txn->here, memory_order_relaxed) == txn->seen))
        return rc;
    return kvi_txn_lost(txn, rc);
}

/* Passes rc on; a result that may have left pages half changed fails the txn (T5). */
int kvi_txn_failed(struct kv_txn *txn, int rc);
static inline int kvi_txn_changed(struct kv_txn *txn, int rc)
{
    rc = kvi_txn_whole(txn, rc);
    return KVI_LIKELY(rc == 0) ? 0 : kvi_txn_failed(txn, rc);
}

/* Memory of at least size_bytes that lives until the call after the next or the txn's end, so that
 * arguments may point into what the last call gave; NULL: none. */
uint8_t *kvi_txn_scratch(struct kv_txn *txn, size_t size_bytes);

/* Sets the user's marker: KVI_SNAP_MARKER_BYTES. */
void kvi_txn_mark(struct kv_txn *txn, const uint8_t *marker);

/* Sets the limit of the file's size that snapshots store. */
void kvi_txn_limit(struct kv_txn *txn, uint64_t bytes);

/* The time, if the txn's latency is asked for; and adding what went by since, with the time taken
 * anew. */
uint64_t kvi_txn_now(const struct kv_txn *txn);
void kvi_txn_lap(struct kv_txn *txn, uint64_t *since, uint64_t *spent);

/* Frees the txn's bulk build, if there is one, as it stands. */
void kvi_txn_drop_bulk(struct kv_txn *txn);

/* Frees a txn's tables, cursors and memory; pages and locks are dealt with before. */
void kvi_txn_free(struct kv_txn *txn);

/* ---- read.c ---- */

KVI_MUST_CHECK int kvi_txn_begin_read(struct kv_txn *txn);
/* Begins on the snapshot of another live read txn of the env, whose reader slot it shares. */
KVI_MUST_CHECK int kvi_txn_begin_clone(struct kv_txn *txn, struct kv_txn *other);
void kvi_txn_end_read(struct kv_txn *txn);
void kvi_txn_reset(struct kv_txn *txn);
KVI_MUST_CHECK int kvi_txn_renew(struct kv_txn *txn);
KVI_MUST_CHECK int kvi_txn_refresh(struct kv_txn *txn, int *moved_out);

/* ---- write.c, commit.c, nested.c ---- */

KVI_MUST_CHECK int kvi_txn_begin_write(struct kv_txn *txn, uint32_t timeout_ms);
void kvi_txn_end_write(struct kv_txn *txn);
KVI_MUST_CHECK int kvi_txn_commit_write(struct kv_txn *txn);
KVI_MUST_CHECK int kvi_txn_begin_nested(struct kv_txn *txn);
KVI_MUST_CHECK int kvi_txn_commit_nested(struct kv_txn *txn);

/* ---- entries.c ---- */

/* The entry of a handle in this txn, loaded at first use. KV_EBADTABLE. */
KVI_MUST_CHECK int kvi_txn_table_named(struct kv_txn *txn, kv_table handle,
                                       struct kvi_txn_table **table_out);
KVI_MUST_CHECK static inline int kvi_txn_table(struct kv_txn *txn, kv_table handle,
                                               struct kvi_txn_table **table_out)
{
    if (handle != KV_MAIN_TABLE || KVI_UNLIKELY(txn->main.unready))
        return kvi_txn_table_named(txn, handle, table_out);
    *table_out = &txn->main;
    return 0;
}

/* The same for an entry that a cursor holds: KV_EBADTABLE when it was dropped; looks again for
 * comparators that were missing. */
KVI_MUST_CHECK int kvi_txn_table_look(struct kvi_txn_table *table);
KVI_MUST_CHECK static inline int kvi_txn_table_again(struct kvi_txn_table *table)
{
    return KVI_LIKELY(!table->unready) ? 0 : kvi_txn_table_look(table);
}

/* Between these two the calling thread alone changes what the threads of a shared txn share;
 * nothing in other txns. */
static inline void kvi_txn_lock(struct kv_txn *txn)
{
    if (KVI_UNLIKELY(txn->shared))
        pthread_mutex_lock(&txn->shared->mutex);
}

static inline void kvi_txn_unlock(struct kv_txn *txn)
{
    if (KVI_UNLIKELY(txn->shared))
        pthread_mutex_unlock(&txn->shared->mutex);
}

/* The tree's shape was set anew from its record: finds its comparators, sets the entry's limits. */
void kvi_txn_table_shaped(struct kvi_txn_table *table);
/* Sets the limits alone: key or value size may be known by now. */
void kvi_txn_table_limit(struct kvi_txn_table *table);

/* Makes a nested txn's tables its parent's. */
KVI_MUST_CHECK int kvi_tables_merge(struct kv_txn *child);
/* Parks every cursor of the txn. */
KVI_MUST_CHECK int kvi_tables_park(struct kv_txn *txn);
/* Forgets all entries but the main one (end, renew), and frees what leads to them (end). */
void kvi_tables_release(struct kv_txn *txn);
void kvi_tables_free(struct kv_txn *txn);

/* ---- tables.c ---- */

/* kind (NULL: as it is; made anew, plain): what the table must be, or become. */
KVI_MUST_CHECK int kvi_table_open(struct kv_txn *txn, const char *name, uint32_t flags,
                                  const struct kvi_table_record *kind, kv_table *table_out);
/* The same for the main table. */
KVI_MUST_CHECK int kvi_table_main(struct kv_txn *txn, uint32_t flags,
                                  const struct kvi_table_record *kind);
/* A nested txn's table as it is at its commit becomes its parent's. */
void kvi_table_inherit(struct kvi_txn_table *to, const struct kvi_txn_table *from);
KVI_MUST_CHECK int kvi_table_drop(struct kv_txn *txn, kv_table handle);
KVI_MUST_CHECK int kvi_table_empty(struct kv_txn *txn, kv_table handle);
KVI_MUST_CHECK int kvi_table_rename(struct kv_txn *txn, kv_table handle, const char *name);
KVI_MUST_CHECK int kvi_table_list(struct kv_txn *txn, kv_table_fn *fn, void *context);

/* Stores the records of changed tables in the main table, sealing their trees: commit's first step.
 */
KVI_MUST_CHECK int kvi_tables_store(struct kv_txn *txn);
/* After a commit tells the registry of renames. */
void kvi_tables_published(struct kv_txn *txn);

#endif
