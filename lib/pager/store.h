/* SPDX-License-Identifier: MIT */
/*
 * The writer's mapping: sealed pages stored into the page cache instead of written by a call each.
 *
 * A second, writable mapping of the data file, for the holder of the writer lock. Only pages whose
 * blocks this env knows to be allocated are stored, so that no store needs space and a full disk
 * stays ENOSPC of a write. The invariants M1 to M6 are in docs/SPACE.md.
 *
 *      known to be allocated?  no ----------------> write, then known (kvi_store_wrote)
 *            | yes
 *      enough of them, and in the page cache?  no -> write
 *            | yes
 *      store; one that fails --------------------> write, and never again in this env
 *
 * Owner: the env; one thread at a time, with the writer lock. Refuses to decide in which txns it is
 * used: whoever opens a pager does.
 */
#ifndef KVI_PAGER_STORE_H
#define KVI_PAGER_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "pager/view.h"

struct kvi_store;
struct kvi_write_item;

/* For the file of `map`, which outlives it. KV_EUNSUPPORTED: on a file system where a page that has
 * its blocks may need others when it is changed, or where nobody knows. Nothing is mapped yet. */
KVI_MUST_CHECK int kvi_store_new(const struct kvi_map *map, struct kvi_store **store_out);

/* NULL is allowed. In a child of fork the mappings are not there and are left alone. */
void kvi_store_free(struct kvi_store *store, bool forked);

/* At the begin of a write txn: `holes` counts what all processes have punched and cut. If it is not
 * what it was, nothing is known any more. */
void kvi_store_begin(struct kvi_store *store, uint64_t holes);

/* This env is about to punch or cut these pages and has raised the count from `before`. */
void kvi_store_forget(struct kvi_store *store, uint64_t before, uint64_t pgno_first,
                      uint64_t pgno_end);

/* These pages were written by a call that succeeded: they have their blocks. NULL is allowed. */
void kvi_store_wrote(struct kvi_store *store, uint64_t pgno, uint64_t pages);

/* Whether all of the item's pages are known. */
bool kvi_store_knows(const struct kvi_store *store, const struct kvi_write_item *item);

/* Whether to store those of the items that are known: there are enough of them, they seem to be in
 * the page cache, and the mapping is there. */
bool kvi_store_ready(struct kvi_store *store, const struct kvi_write_item *items, size_t count);

#define KVI_STORE_BATCH 64

/* Stores known items, at most KVI_STORE_BATCH, after kvi_store_ready said yes to them. An error:
 * any part of them may have been stored; they are to be written, and nothing is stored any more. */
KVI_MUST_CHECK int kvi_store_put(struct kvi_store *store, const struct kvi_write_item *const *items,
                                 size_t count);

#endif
