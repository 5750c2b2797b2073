/* SPDX-License-Identifier: MIT */
/*
 * Txns of the LMDB drop-in: begin, commit, abort, reset, renew.
 *
 * Owns what of a txn is not kv.h's: LMDB's states (finished, failed, has a child), which table
 * handles it sees (dbi.c), its cursors' list (cursor.c), the list of txns that mdb_env_close ends.
 *
 * Memory. An outermost write txn always lies in the env's writer_memory, as LMDB's lies in one
 * place: a program that aborts it once more after its end does no harm here. A read txn that used
 * its thread's reader leaves its memory there for the next one, with what it saw of the tables:
 * while no handle is opened or closed, a begin copies nothing and takes no lock.
 *
 * A txn that changed nothing is aborted instead of committed, so that it uses up no txnid.
 *
 * Threads: a txn is one thread's at a time. The env's list is guarded by its mutex.
 */
#include "lmdb/lmdb_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BEGIN_FLAGS (MDB_NOMETASYNC | MDB_NOSYNC | MDB_RDONLY)

/* ---- Memory and the env's list ---- */

/* Zeros: the struct, a write txn's numbers of slots, a byte of each slot. */
static MDB_txn *txn_new(MDB_env *env, bool write)
{
    size_t slots = (size_t)env->maxdbs + KVI_LMDB_CORE_DBIS;
    size_t seqs_bytes = write ? slots * sizeof(unsigned) : 0;
    MDB_txn *txn = calloc(1, sizeof(*txn) + seqs_bytes + slots);

    if (!txn)
        return NULL;
    txn->env = env;
    txn->seqs = write ? (unsigned *)(void *)(txn + 1) : NULL;
    txn->seen = (uint8_t *)(txn + 1) + seqs_bytes;
    return txn;
}

/* The mutex is held. */
static void list_add(MDB_env *env, MDB_txn *txn)
{
    txn->listed = true;
    txn->next = env->txns;
    txn->link = &env->txns;
    if (txn->next)
        txn->next->link = &txn->next;
    env->txns = txn;
}

/* A read txn for mdb_env_close to find, made from what is spare. */
static MDB_txn *listed_take(MDB_env *env)
{
    MDB_txn *txn;

    pthread_mutex_lock(&env->mutex);
    txn = env->spares;
    if (txn) {
        env->spares = txn->next;
        list_add(env, txn);
    }
    pthread_mutex_unlock(&env->mutex);
    if (txn)
        return txn;
    txn = txn_new(env, false);
    if (!txn)
        return NULL;
    pthread_mutex_lock(&env->mutex);
    list_add(env, txn);
    pthread_mutex_unlock(&env->mutex);
    return txn;
}

static void listed_give(MDB_txn *txn)
{
    MDB_env *env = txn->env;

    pthread_mutex_lock(&env->mutex);
    *txn->link = txn->next;
    if (txn->next)
        txn->next->link = txn->link;
    txn->next = env->spares;
    env->spares = txn;
    pthread_mutex_unlock(&env->mutex);
}

/* ---- Read txns ---- */

/* The kv txn is there: what LMDB's txn says of it. */
static int read_started(MDB_txn *txn)
{
    if (kvi_lmdb_outgrown(txn->env, txn->kv))
        return MDB_MAP_RESIZED;
    txn->flags = KVI_LMDB_TXN_RDONLY;
    txn->id = kvi_lmdb_txnid(kv_txn_id(txn->kv));
    txn->main_flags = 0;
    kvi_lmdb_seen_begin(txn);
    return 0;
}

/* What reset and abort have in common: no handle is of use from here on. */
static void read_stop(MDB_txn *txn, bool keep_handles)
{
    kvi_lmdb_seen_end(txn, keep_handles);
    txn->flags |= KVI_LMDB_TXN_FINISHED;
    txn->table_count = 0;
}

/* Gives a thread's reader back; with `memory` the txn too, for that thread's next one. */
static void give_back(MDB_txn *txn, bool memory)
{
    struct kvi_lmdb_thread *thread = txn->thread;
    struct kv_txn *kv = txn->kv;
    MDB_env *env = txn->env;

    thread->txn = NULL;
    txn->thread = NULL;
    txn->kv = NULL;
    if (memory && (thread->gone || thread->spare))
        free(txn);
    else if (memory)
        thread->spare = txn;
    kvi_lmdb_reader_end(env, thread, kv);
}

static void end_read(MDB_txn *txn, bool keep_handles)
{
    kvi_lmdb_cursors_end(txn);
    read_stop(txn, keep_handles);
    if (txn->thread) {
        give_back(txn, true);
        return;
    }
    if (txn->kv)
        kvi_lmdb_reader_end(txn->env, NULL, txn->kv);
    txn->kv = NULL;
    if (txn->listed)
        listed_give(txn);
    else
        free(txn);
}

static MDB_txn *memory_take(MDB_env *env, struct kvi_lmdb_thread *thread)
{
    MDB_txn *txn;

    if (!thread)
        return listed_take(env);
    txn = thread->spare;
    thread->spare = NULL;
    if (!txn)
        txn = txn_new(env, false);
    thread->txn = txn;
    return txn;
}

static int begin_read(MDB_env *env, MDB_txn **txn_out)
{
    struct kvi_lmdb_thread *thread;
    struct kv_txn *kv;
    MDB_txn *txn;
    int rc = kvi_lmdb_reader_begin(env, &thread, &kv);

    if (rc)
        return rc;
    txn = memory_take(env, thread);
    if (!txn) {
        kvi_lmdb_reader_end(env, thread, kv);
        return ENOMEM;
    }
    txn->thread = thread;
    txn->kv = kv;
    rc = read_started(txn);
    if (rc)
        end_read(txn, false);
    else
        *txn_out = txn;
    return rc;
}

KVI_LMDB_API void mdb_txn_reset(MDB_txn *txn)
{
    if (!txn || !(txn->flags & KVI_LMDB_TXN_RDONLY) || txn->flags & KVI_LMDB_TXN_FINISHED)
        return;
    kvi_lmdb_cursors_park(txn);
    read_stop(txn, false);
    if (txn->thread)
        give_back(txn, false);
    else
        kv_txn_reset(txn->kv);
}

KVI_LMDB_API int mdb_txn_renew(MDB_txn *txn)
{
    const unsigned reset = KVI_LMDB_TXN_RDONLY | KVI_LMDB_TXN_FINISHED;
    int rc;

    if (!txn || (txn->flags & reset) != reset)
        return EINVAL;
    rc = txn->kv ? kvi_lmdb_result(kv_txn_renew(txn->kv))
                 : kvi_lmdb_reader_begin(txn->env, &txn->thread, &txn->kv);
    if (rc)
        return rc;
    if (txn->thread)
        txn->thread->txn = txn;
    rc = read_started(txn);
    if (rc && txn->thread)
        give_back(txn, false);
    else if (rc)
        kv_txn_reset(txn->kv);
    return rc;
}

/* ---- Write txns ---- */

/* Flags of this begin and of the env. */
static enum kv_durability durability_of(const MDB_env *env, unsigned flags)
{
    const unsigned async = MDB_WRITEMAP | MDB_MAPASYNC;

    if ((flags | env->flags) & MDB_NOSYNC || (env->flags & async) == async)
        return KV_NONE;
    return KV_DURABLE;
}

static int begin_write(MDB_env *env, unsigned flags, MDB_txn **txn_out)
{
    struct kv_txn_options options = {.durability = durability_of(env, flags)};
    struct kv_txn *kv = NULL;
    MDB_txn *txn;
    int rc = kvi_lmdb_result(kv_txn_begin(env->kv, KV_WRITE, &options, &kv));

    if (rc)
        return rc;
    /* Only now: until here it may have been another thread's. */
    if (!env->writer_memory)
        env->writer_memory = txn_new(env, true);
    txn = env->writer_memory;
    rc = !txn ? ENOMEM : kvi_lmdb_outgrown(env, kv) ? MDB_MAP_RESIZED : 0;
    if (rc) {
        kv_txn_abort(kv);
        return rc;
    }
    kvi_lmdb_weight_begin(env);
    txn->kv = kv;
    txn->flags = 0;
    txn->id = kvi_lmdb_txnid(kv_txn_id(kv));
    txn->main_flags = 0;
    kvi_lmdb_seen_begin(txn);
    env->writer = txn;
    *txn_out = txn;
    return 0;
}

static int begin_child(MDB_txn *parent, unsigned flags, MDB_txn **txn_out)
{
    struct kv_txn_options options = {.parent = parent->kv};
    unsigned refused = (parent->flags & KVI_LMDB_TXN_BLOCKED) | (flags & MDB_RDONLY) |
                       (parent->env->flags & MDB_WRITEMAP);
    MDB_txn *txn;
    int rc;

    if (parent->flags & KVI_LMDB_TXN_RDONLY)
        return EINVAL;
    if (refused)
        return MDB_BAD_TXN;
    txn = txn_new(parent->env, false);
    if (!txn)
        return ENOMEM;
    txn->id = parent->id;
    txn->parent = parent;
    txn->main_flags = parent->main_flags;
    rc = kvi_lmdb_cursors_lend(parent, txn);
    if (!rc)
        rc = kvi_lmdb_result(kv_txn_begin(parent->env->kv, KV_WRITE, &options, &txn->kv));
    if (rc) {
        kvi_lmdb_cursors_return(txn, false);
        free(txn);
        return rc;
    }
    kvi_lmdb_seen_begin(txn);
    kvi_lmdb_cursors_go(txn);
    parent->child = txn;
    parent->flags |= KVI_LMDB_TXN_CHILD;
    *txn_out = txn;
    return 0;
}

/* What is left of a write txn whose kv txn has ended. */
static void end_write(MDB_txn *txn)
{
    MDB_txn *parent = txn->parent;

    txn->kv = NULL;
    txn->table_count = 0;
    txn->flags = KVI_LMDB_TXN_FINISHED;
    if (parent) {
        parent->child = NULL;
        parent->flags &= ~(unsigned)KVI_LMDB_TXN_CHILD;
        free(txn);
    }
}

static void abort_write(MDB_txn *txn)
{
    struct kv_txn *kv = txn->kv;

    if (txn->flags & KVI_LMDB_TXN_FINISHED)
        return;
    kvi_lmdb_cursors_end(txn);
    kvi_lmdb_seen_end(txn, false);
    if (!txn->parent) { /* the next writer may begin at once, in the same memory */
        txn->env->writer = NULL;
        end_write(txn);
        kv_txn_abort(kv);
        return;
    }
    kv_txn_abort(kv);
    end_write(txn);
}

KVI_LMDB_API void mdb_txn_abort(MDB_txn *txn)
{
    if (!txn)
        return;
    if (txn->child)
        mdb_txn_abort(txn->child);
    if (txn->flags & KVI_LMDB_TXN_RDONLY)
        end_read(txn, false);
    else
        abort_write(txn);
}

/* ---- Commit ---- */

static int commit_child(MDB_txn *txn)
{
    MDB_txn *parent = txn->parent;
    unsigned changed = txn->flags & KVI_LMDB_TXN_CHANGED;
    int rc;

    kvi_lmdb_cursors_return(txn, true);
    kvi_lmdb_seen_end(txn, true);
    rc = kvi_lmdb_result(kv_txn_commit(txn->kv));
    parent->main_flags = txn->main_flags;
    parent->flags |= rc ? KVI_LMDB_TXN_ERROR : changed;
    kvi_lmdb_cursors_go(parent);
    end_write(txn);
    return rc;
}

/* LMDB stores the records of changed tables at commit, and then misses those whose handle was
 * closed meanwhile. */
static bool handle_lost(const MDB_txn *txn)
{
    for (MDB_dbi i = KVI_LMDB_CORE_DBIS; i < txn->table_count; i++) {
        if (txn->seen[i] & KVI_LMDB_SEEN_DIRTY && kvi_lmdb_stale(txn, i))
            return true;
    }
    return false;
}

/* Cursors and memory go before the kv txn does: then the next writer begins. Handles that the txn
 * opened are shared before they lead to anything, and closed again if that is not to be. */
static int commit_outermost(MDB_txn *txn)
{
    MDB_env *env = txn->env;
    struct kv_txn *kv = txn->kv;
    struct kvi_lmdb_opened *opened = NULL;
    int rc = handle_lost(txn) ? MDB_BAD_DBI : kvi_lmdb_opened(txn, &opened);
    bool changed = txn->flags & KVI_LMDB_TXN_CHANGED;

    if (!rc && changed)
        rc = kvi_lmdb_files_keep(env, kv);
    if (rc) {
        free(opened);
        abort_write(txn);
        return rc;
    }
    kvi_lmdb_cursors_end(txn);
    kvi_lmdb_seen_end(txn, true);
    env->writer = NULL;
    end_write(txn);
    if (changed)
        rc = kvi_lmdb_result(kv_txn_commit(kv));
    else
        kv_txn_abort(kv);
    if (rc && opened)
        kvi_lmdb_opened_close(env, opened);
    free(opened);
    return rc;
}

static int commit_write(MDB_txn *txn)
{
    if (txn->flags & (KVI_LMDB_TXN_FINISHED | KVI_LMDB_TXN_ERROR)) {
        if (txn->parent)
            txn->parent->flags |= KVI_LMDB_TXN_ERROR;
        mdb_txn_abort(txn);
        return MDB_BAD_TXN;
    }
    if (!txn->parent)
        return commit_outermost(txn);
    return commit_child(txn);
}

KVI_LMDB_API int mdb_txn_commit(MDB_txn *txn)
{
    int rc = 0;

    if (!txn)
        return EINVAL;
    if (txn->child)
        rc = mdb_txn_commit(txn->child);
    if (rc) {
        mdb_txn_abort(txn);
        return rc;
    }
    if (!(txn->flags & KVI_LMDB_TXN_RDONLY))
        return commit_write(txn);
    end_read(txn, true);
    return 0;
}

/* ---- Begin, and what a txn tells ---- */

KVI_LMDB_API int mdb_txn_begin(MDB_env *env, MDB_txn *parent, unsigned int flags, MDB_txn **txn_out)
{
    if (!env || !env->kv || !txn_out)
        return EINVAL;
    flags &= BEGIN_FLAGS;
    if (env->flags & MDB_RDONLY & ~flags)
        return EACCES;
    if (parent)
        return begin_child(parent, flags, txn_out);
    return flags & MDB_RDONLY ? begin_read(env, txn_out) : begin_write(env, flags, txn_out);
}

KVI_LMDB_API MDB_env *mdb_txn_env(MDB_txn *txn)
{
    return txn ? txn->env : NULL;
}

KVI_LMDB_API size_t mdb_txn_id(MDB_txn *txn)
{
    return txn ? txn->id : 0;
}

void kvi_lmdb_txn_disown(MDB_txn *txn)
{
    read_stop(txn, false);
    txn->thread = NULL;
    txn->kv = NULL;
    pthread_mutex_lock(&txn->env->mutex);
    list_add(txn->env, txn);
    pthread_mutex_unlock(&txn->env->mutex);
}

void kvi_lmdb_txns_end(MDB_env *env)
{
    if (env->writer)
        mdb_txn_abort(env->writer);
    while (env->txns)
        end_read(env->txns, false);
    while (env->spares) {
        MDB_txn *next = env->spares->next;

        free(env->spares);
        env->spares = next;
    }
    free(env->writer_memory);
    env->writer_memory = NULL;
}
