/* SPDX-License-Identifier: MIT */
/*
 * Begin, commit, abort: the part that readers, writers and nested writers share. What each does
 * with its snapshot is in read.c, write.c and nested.c; see txn.h for the states.
 */
#include "txn/txn.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "os/os.h"

int kvi_txn_why_not(const struct kv_txn *txn, bool change)
{
    if (!txn)
        return kvi_error(KV_EINVAL, "no txn given");
    if (kvi_lockfile_forked(txn->env->lockfile))
        return kvi_error(KV_EFORKED, "%s: the txn belongs to the parent process", txn->env->path);
    if (txn->state == KVI_TXN_RESET)
        return kvi_error(KV_EBADTXN, "the txn was reset and not renewed");
    if (kvi_txn_whole(txn, 0))
        return kvi_env_lost(txn->env);
    if (txn->state == KVI_TXN_FAILED)
        return kvi_error(KV_EBADTXN, "a change in this txn has failed: it can only be aborted");
    if (txn->state == KVI_TXN_BULK)
        return kvi_error(KV_EBADTXN, "the txn has a bulk build that was not ended");
    if (txn->child)
        return kvi_error(KV_EBADTXN, "the txn has a live nested txn");
    if (change && !txn->write)
        return kvi_error(KV_EREADONLY, "a change in a read txn");
    return 0;
}

int kvi_txn_failed(struct kv_txn *txn, int rc)
{
    switch (rc) {
    case KV_ENOTFOUND:
    case KV_EEXIST:
    case KV_EORDER:
    case KV_EPAGEFULL:
    case KV_EINCOMPATIBLE:
    case KV_EINVAL:
    case KV_EKEYSIZE:
    case KV_EVALSIZE:
    case KV_EMISMATCH:
    case KV_ECOMPARATOR:
        return rc;
    default:
        txn->state = KVI_TXN_FAILED;
        return rc;
    }
}

uint8_t *kvi_txn_scratch(struct kv_txn *txn, size_t size_bytes)
{
    unsigned turn = 1 - txn->scratch_last;

    if (txn->scratch_bytes[turn] < size_bytes || !txn->scratch[turn]) {
        uint8_t *scratch = malloc(size_bytes ? size_bytes : 1);

        if (!scratch)
            return NULL;
        free(txn->scratch[turn]);
        txn->scratch[turn] = scratch;
        txn->scratch_bytes[turn] = size_bytes;
    }
    txn->scratch_last = turn;
    return txn->scratch[turn];
}

void kvi_txn_mark(struct kv_txn *txn, const uint8_t *marker)
{
    uint8_t *present = txn->snapshot.snap.marker;

    txn->marked |= memcmp(present, marker, KVI_SNAP_MARKER_BYTES) != 0;
    memcpy(present, marker, KVI_SNAP_MARKER_BYTES);
}

void kvi_txn_limit(struct kv_txn *txn, uint64_t bytes)
{
    txn->marked |= txn->snapshot.snap.map_limit != bytes;
    txn->snapshot.snap.map_limit = bytes;
}

uint64_t kvi_txn_now(const struct kv_txn *txn)
{
    return txn->latency ? kvi_os->monotonic_ns() : 0;
}

void kvi_txn_lap(struct kv_txn *txn, uint64_t *since, uint64_t *spent)
{
    uint64_t now = kvi_txn_now(txn);

    if (now > *since)
        *spent += now - *since;
    *since = now;
}

void kvi_txn_drop_bulk(struct kv_txn *txn)
{
    if (!txn->bulk)
        return;
    kvi_bulk_abort(txn->bulk->bulk);
    free(txn->bulk);
    txn->bulk = NULL;
}

void kvi_txn_free(struct kv_txn *txn)
{
    while (txn->cursors) {
        struct kv_cursor *cursor = txn->cursors;

        txn->cursors = cursor->next;
        kvi_cursor_close(cursor->cursor);
        free(cursor);
    }
    kvi_tables_free(txn);
    if (txn->shared)
        pthread_mutex_destroy(&txn->shared->mutex);
    free(txn->shared);
    free(txn->scratch[0]);
    free(txn->scratch[1]);
    kvi_env_leave(txn->env);
    free(txn);
}

/* The snapshot of a live read txn of this env can be pinned once more. */
static int clone_check(const struct kv_env *env, uint32_t flags, const struct kv_txn *clone)
{
    int rc = kvi_txn_usable(clone, false);

    if (!rc && (flags & KV_WRITE))
        rc = kvi_error(KV_EINVAL, "a clone is a read txn");
    if (!rc && clone->write)
        rc = kvi_error(KV_EINVAL, "a write txn cannot be cloned");
    if (!rc && clone->env != env)
        rc = kvi_error(KV_EINVAL, "the txn to be cloned belongs to another env");
    return rc;
}

static int begin_check(struct kv_env *env, uint32_t flags, const struct kv_txn_options *options)
{
    const struct kv_txn *parent = options ? options->parent : NULL;

    if (kvi_lockfile_forked(env->lockfile))
        return kvi_error(KV_EFORKED, "%s: the env belongs to the parent process", env->path);
    if (flags & ~(KV_WRITE | KV_TRY | KV_SHARED))
        return kvi_error(KV_EINVAL, "unknown flags in begin of a txn: %#x", flags);
    if (!(flags & KV_WRITE) && ((flags & KV_TRY) || parent))
        return kvi_error(KV_EINVAL, "KV_TRY and a parent go with KV_WRITE only");
    if ((flags & KV_WRITE) && (flags & KV_SHARED))
        return kvi_error(KV_EINVAL, "only read txns can be shared by threads");
    if (options && options->durability > KV_NONE)
        return kvi_error(KV_EINVAL, "unknown durability %d", (int)options->durability);
    if ((flags & KV_WRITE) && (env->flags & KV_READONLY))
        return kvi_error(KV_EREADONLY, "%s was opened read-only", env->path);
    if (parent && parent->env != env)
        return kvi_error(KV_EINVAL, "the parent txn belongs to another env");
    if (options && options->clone)
        return clone_check(env, flags, options->clone);
    return parent ? kvi_txn_usable(parent, true) : 0;
}

static int begin_kind(struct kv_txn *txn, uint32_t flags, const struct kv_txn_options *options)
{
    uint32_t timeout_ms = KVI_WAIT_FOREVER;

    if (!txn->write)
        return options && options->clone ? kvi_txn_begin_clone(txn, options->clone)
                                         : kvi_txn_begin_read(txn);
    if (txn->parent)
        return kvi_txn_begin_nested(txn);
    if (flags & KV_TRY)
        timeout_ms = 0;
    else if (options && options->timeout_ms)
        timeout_ms = options->timeout_ms;
    return kvi_txn_begin_write(txn, timeout_ms);
}

static int begin_shared(struct kv_txn *txn)
{
    txn->shared = calloc(1, sizeof(*txn->shared));
    return txn->shared ? pthread_mutex_init(&txn->shared->mutex, NULL) : ENOMEM;
}

int kvi_txn_begin(struct kv_env *env, uint32_t flags, const struct kv_txn_options *options,
                  struct kv_txn **txn_out)
{
    struct kv_txn *txn;
    int rc = begin_check(env, flags, options);

    if (rc)
        return rc;
    txn = calloc(1, sizeof(*txn));
    if (!txn)
        return ENOMEM;
    txn->env = env;
    txn->main.txn = txn;
    txn->main.handle = KV_MAIN_TABLE;
    txn->here = kvi_lockfile_here(env->lockfile);
    txn->seen = atomic_load(txn->here);
    txn->write = (flags & KV_WRITE) != 0;
    txn->parent = options ? options->parent : NULL;
    txn->durability = env->options.durability;
    if (options && options->durability)
        txn->durability = options->durability;
    if (options && txn->write)
        txn->latency = options->latency;
    kvi_env_enter(env);
    if (flags & KV_SHARED)
        rc = begin_shared(txn);
    if (!rc)
        rc = begin_kind(txn, flags, options);
    if (rc == KV_ESIZELIMIT && kvi_env_remap(env) == 0)
        rc = begin_kind(txn, flags, options);
    if (rc) {
        rc = kvi_txn_whole(txn, rc);
        kvi_txn_free(txn);
        return rc;
    }
    *txn_out = txn;
    return 0;
}

/* Tells where the time of a commit went. */
static void commit_tell(struct kv_txn *txn, uint64_t since)
{
    if (!txn->latency)
        return;
    kvi_txn_lap(txn, &since, &txn->spent.total_ns);
    *txn->latency = txn->spent;
}

int kvi_txn_commit(struct kv_txn *txn)
{
    uint64_t since = kvi_txn_now(txn);
    int rc;

    if (kvi_lockfile_forked(txn->env->lockfile))
        return kvi_error(KV_EFORKED, "%s: the txn belongs to the parent process", txn->env->path);
    if (!txn->write || txn->state != KVI_TXN_ACTIVE || txn->child || kvi_txn_whole(txn, 0)) {
        rc = txn->write ? kvi_txn_usable(txn, true) : kvi_txn_whole(txn, 0);
        kvi_txn_abort(txn);
        return rc;
    }
    if (txn->parent) {
        rc = kvi_txn_commit_nested(txn);
        commit_tell(txn, since);
        kvi_txn_abort(txn);
        return rc;
    }
    rc = kvi_txn_commit_write(txn);
    kvi_txn_end_write(txn);
    commit_tell(txn, since);
    kvi_txn_free(txn);
    return rc;
}

void kvi_txn_abort(struct kv_txn *txn)
{
    if (txn->child)
        kvi_txn_abort(txn->child);
    if (kvi_lockfile_forked(txn->env->lockfile)) {
        return; /* the parent's memory, locks and slots: left alone */
    }
    kvi_txn_drop_bulk(txn);
    if (!txn->write)
        kvi_txn_end_read(txn);
    else if (!txn->parent)
        kvi_txn_end_write(txn);
    if (txn->parent) {
        assert(txn->parent->child == txn);
        txn->parent->child = NULL;
        kvi_pager_close(txn->pager);
    }
    kvi_txn_free(txn);
}
