/* SPDX-License-Identifier: MIT */
/*
 * Transactions: a pinned snapshot, and for writers the changes on top of it.
 *
 * States. ACTIVE; RESET (a reader without snapshot, waiting for renew); FAILED (a change went wrong
 * half-way: only abort remains, so that tree code needs no undo). A txn with a live child refuses
 * everything but abort.
 *
 * Tables. Each table used in a txn has an entry with its tree, found by handle; named tables'
 * records are read from the main table at first use and written back at commit. A dropped table's
 * entry stays until the txn ends, since cursors may still point to it.
 *
 * One thread at a time. Owner: the caller of begin; freed by commit and abort.
 */
#ifndef KVI_TXN_TXN_H
#define KVI_TXN_TXN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "tree/tree.h"
#include "txn/durable.h"
#include "txn/env.h"

enum kvi_txn_state { KVI_TXN_ACTIVE, KVI_TXN_RESET, KVI_TXN_FAILED };

/* A table as this txn sees it. */
struct kvi_txn_table {
    struct kvi_tree tree;
    struct kv_txn *txn;
    kv_table handle;             /* that it was first used by; others may lead here too */
    char *name;                  /* owned; NULL: main table */
    bool dropped;                /* in this txn */
    struct kvi_txn_table *outer; /* nested: what this is a copy of, in a txn around this one */
    struct kvi_txn_table *inner; /* the copy in a live nested txn: counts in place of this */
    struct kvi_txn_table *next;  /* all entries of the txn but the main one */
    struct kvi_txn_table *chain; /* next in its bucket */
};

/* Where a handle that was used leads. */
struct kvi_txn_slot {
    kv_table handle;             /* 0: free */
    struct kvi_txn_table *entry; /* NULL: the handle was closed since */
};

struct kv_txn {
    struct kv_env *env;
    const _Atomic(uint64_t) *here; /* kvi_lockfile_here */
    struct kv_txn *parent;         /* nested: the txn around this one */
    struct kv_txn *child;          /* the live nested txn */
    enum kvi_txn_state state;
    bool write;
    uint64_t id;                  /* txnid */
    uint32_t epoch;               /* raised by renew and refresh: cursors notice */
    struct kvi_view view;         /* readers: what the snapshot allows */
    struct kvi_snapshot snapshot; /* read, or built upon; writers change .snap */
    struct kvi_txn_table main;
    struct kvi_txn_slot *slots;     /* hash by handle, open addressing */
    struct kvi_txn_table **buckets; /* hash of the entries by name */
    uint32_t slots_size;            /* of both: a power of two, or 0 */
    uint32_t slots_count;
    uint32_t closings;             /* the registry's, when the slots were last compared with it */
    struct kvi_txn_table *entries; /* list of all entries */
    struct kv_cursor *cursors;     /* list of API cursors */
    struct kvi_reader_slot *slot;  /* readers */
    /* writers */
    enum kv_durability durability;
    struct kvi_live live;    /* top txn */
    struct kvi_space *space; /* top txn's, shared by nested ones */
    struct kvi_pager *pager;
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
                   atomic_load_explicit(txn->here, memory_order_relaxed) != 0))
        return 0;
    return kvi_txn_why_not(txn, change);
}

/* Passes rc on; a result that may have left pages half changed fails the txn (T5). */
int kvi_txn_failed(struct kv_txn *txn, int rc);
static inline int kvi_txn_changed(struct kv_txn *txn, int rc)
{
    return KVI_LIKELY(rc == 0) ? 0 : kvi_txn_failed(txn, rc);
}

/* Memory of at least size_bytes that lives until the call after the next or the txn's end, so that
 * arguments may point into what the last call gave; NULL: none. */
uint8_t *kvi_txn_scratch(struct kv_txn *txn, size_t size_bytes);

/* Frees a txn's tables, cursors and memory; pages and locks are dealt with before. */
void kvi_txn_free(struct kv_txn *txn);

/* ---- read.c ---- */

KVI_MUST_CHECK int kvi_txn_begin_read(struct kv_txn *txn);
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

/* ---- tables.c ---- */

/* The entry of a handle in this txn, loaded at first use. KV_EBADTABLE. */
KVI_MUST_CHECK int kvi_txn_table_named(struct kv_txn *txn, kv_table handle,
                                       struct kvi_txn_table **table_out);
KVI_MUST_CHECK static inline int kvi_txn_table(struct kv_txn *txn, kv_table handle,
                                               struct kvi_txn_table **table_out)
{
    if (handle != KV_MAIN_TABLE)
        return kvi_txn_table_named(txn, handle, table_out);
    *table_out = &txn->main;
    return 0;
}
KVI_MUST_CHECK int kvi_table_open(struct kv_txn *txn, const char *name, uint32_t flags,
                                  kv_table *table_out);
KVI_MUST_CHECK int kvi_table_drop(struct kv_txn *txn, kv_table handle);
KVI_MUST_CHECK int kvi_table_empty(struct kv_txn *txn, kv_table handle);
KVI_MUST_CHECK int kvi_table_rename(struct kv_txn *txn, kv_table handle, const char *name);
KVI_MUST_CHECK int kvi_table_list(struct kv_txn *txn, kv_table_fn *fn, void *context);

/* Stores the records of changed tables in the main table, sealing their trees: commit's first step.
 */
KVI_MUST_CHECK int kvi_tables_store(struct kv_txn *txn);
/* Makes a nested txn's tables its parent's; and after a commit tells the registry of renames. */
KVI_MUST_CHECK int kvi_tables_merge(struct kv_txn *child);
void kvi_tables_published(struct kv_txn *txn);
/* Parks every cursor of the txn. */
KVI_MUST_CHECK int kvi_tables_park(struct kv_txn *txn);
/* Forgets all entries but the main one (end, renew). */
void kvi_tables_release(struct kv_txn *txn);

#endif
