/* SPDX-License-Identifier: MIT */
/*
 * Table handles: numbers of the env that stand for names.
 *
 * A handle is an index (low 20 bits) and a generation (high 12 bits, raised when the handle is
 * closed), so that a closed handle is told from a new one in its place. Index 0 is the main table.
 * A renamed table keeps its handle: the registry remembers from which txnid on the handle means the
 * new name, so that older snapshots still find it under the old one.
 *
 * Owns the names. Any thread may call; one mutex guards it all; taken once per handle and txn.
 */
#ifndef KVI_TXN_REGISTRY_H
#define KVI_TXN_REGISTRY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "kv.h"

#define KVI_HANDLE_INDEX_BITS 20u
#define KVI_HANDLE_INDEX_MASK ((1u << KVI_HANDLE_INDEX_BITS) - 1)

struct kvi_registry;

struct kvi_registry *kvi_registry_new(void); /* NULL: no memory */
void kvi_registry_free(struct kvi_registry *registry);

/* The handle of `name` as snapshot `txnid` sees it, a new one if there is none. ENOMEM,
 * KV_ESIZELIMIT (2^20). */
KVI_MUST_CHECK int kvi_registry_handle(struct kvi_registry *registry, const char *name,
                                       uint64_t txnid, kv_table *handle_out);

/* A further handle for `name`, while the present one stands for another table in a write txn. */
KVI_MUST_CHECK int kvi_registry_handle_new(struct kvi_registry *registry, const char *name,
                                           kv_table *handle_out);

/* A copy (to be freed) of the name that `handle` means in snapshot `txnid`. KV_EBADTABLE, ENOMEM.
 */
KVI_MUST_CHECK int kvi_registry_name(struct kvi_registry *registry, kv_table handle, uint64_t txnid,
                                     char **name_out);

KVI_MUST_CHECK int kvi_registry_close(struct kvi_registry *registry, kv_table handle);

/* How many handles were closed so far, without the mutex: a txn that sees another number than
 * before asks kvi_registry_open before it trusts a handle that it has used already. */
uint32_t kvi_registry_closings(struct kvi_registry *registry);
bool kvi_registry_open(struct kvi_registry *registry, kv_table handle);

/* From txnid on the handle means `name`. Without memory the handle keeps the old name. */
void kvi_registry_rename(struct kvi_registry *registry, kv_table handle, uint64_t txnid,
                         const char *name);

#endif
