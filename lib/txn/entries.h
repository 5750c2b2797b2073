/* SPDX-License-Identifier: MIT */
/*
 * What the two files of the tables share: entries.c, which finds and keeps the entries of a txn,
 * and tables.c, which opens, changes and stores tables. Everything here is called with kvi_txn_lock
 * held, or in a write txn.
 */
#ifndef KVI_TXN_ENTRIES_H
#define KVI_TXN_ENTRIES_H

#include <string.h>

#include "base/attr.h"
#include "txn/txn.h"

static inline struct kvi_key kvi_entry_key(const char *name)
{
    return (struct kvi_key){(const uint8_t *)name, strlen(name)};
}

/* Adds an entry with this record, to which the handle then leads. */
KVI_MUST_CHECK int kvi_entry_add(struct kv_txn *txn, kv_table handle, const char *name,
                                 const struct kvi_table_record *record, struct kvi_txn_table **out);

KVI_MUST_CHECK int kvi_entry_rename(struct kvi_txn_table *entry, const char *text);

/* Where the handle leads in this txn or one around it: to the innermost copy; dropped ones
 * included. */
struct kvi_txn_table *kvi_entry_near(const struct kv_txn *txn, kv_table handle);

/* The live entry that has this name in this txn or one around it, if any has. */
struct kvi_txn_table *kvi_entry_named(const struct kv_txn *txn, const char *name);

/* Whether the main table is of a kind that holds no named tables: with duplicates a key is no name,
 * and for a user's order two names may be one. */
static inline bool kvi_entry_none(const struct kv_txn *txn)
{
    return txn->main.tree.shape.duplicates || txn->main.tree.shape.custom;
}

/* Reads the record that the main table has under `name`. KV_ENOTFOUND; KV_EINCOMPATIBLE: an
 * ordinary record. */
KVI_MUST_CHECK int kvi_entry_record(struct kv_txn *txn, const char *name,
                                    struct kvi_table_record *record_out);

#endif
