/* SPDX-License-Identifier: MIT */
/*
 * What an env tells of itself: figures, path, descriptor; and mdb_env_sync.
 *
 * LMDB reads its figures from the meta pages without a txn, so that they are to be had at any time,
 * also when all readers are taken. Here that takes a read txn of a moment; where there is no reader
 * left, a write txn that nobody has to wait for; and else what was seen last. Any thread.
 */
#include "lmdb/lmdb_impl.h"

#include <errno.h>

/* ---- The newest snapshot ---- */

static int peek_in(struct kv_txn *kv, struct kvi_lmdb_peek *peek)
{
    int rc = kv_env_stat(kv, &peek->stat);

    if (!rc)
        rc = kv_table_stat(kv, KV_MAIN_TABLE, &peek->main);
    if (!rc)
        rc = kvi_lmdb_kept(kv, &peek->kept);
    return rc;
}

int kvi_lmdb_peek(MDB_env *env, struct kvi_lmdb_peek *peek_out)
{
    struct kvi_lmdb_peek peek = {0};
    struct kv_txn *kv;
    int rc = kv_txn_begin(env->kv, KV_READ, NULL, &kv);
    bool full = rc == KV_EREADERS;

    if (full && !(env->flags & MDB_RDONLY))
        rc = kv_txn_begin(env->kv, KV_WRITE | KV_TRY, NULL, &kv);
    if (!rc) {
        rc = peek_in(kv, &peek);
        kv_txn_abort(kv);
    }
    pthread_mutex_lock(&env->mutex);
    if (!rc)
        env->peeked = peek;
    else if (full)
        rc = 0;
    *peek_out = env->peeked;
    pthread_mutex_unlock(&env->mutex);
    return kvi_lmdb_result(rc);
}

/* The second meta slot lies in page 16, behind room that is used first: until there is more, what
 * counts is the pages in use. Two of them, the snapshot's own and its map, LMDB would not have. */
uint64_t kvi_lmdb_pages(const struct kv_env_stat *stat)
{
    uint64_t first_end = 65536 / KVI_LMDB_PAGE + 1;
    uint64_t pages = stat->pages_end > first_end ? stat->pages_end : stat->pages_used;

    return pages > 4 ? pages - 2 : 2;
}

bool kvi_lmdb_outgrown(const MDB_env *env, struct kv_txn *kv)
{
    struct kvi_lmdb_kept kept;
    struct kv_env_stat stat;

    if (kv_env_stat(kv, &stat) || stat.pages_end * env->page_size <= atomic_load(&env->limit))
        return false;
    /* The file may be longer than the map: room.c. */
    return kvi_lmdb_kept(kv, &kept) == 0 && kept.mapsize > env->mapsize;
}

void kvi_lmdb_stat_fill(const struct kv_table_stat *stat, MDB_stat *stat_out)
{
    stat_out->ms_psize = stat->page_size;
    stat_out->ms_depth = stat->depth;
    stat_out->ms_branch_pages = (size_t)stat->pages_branch;
    stat_out->ms_leaf_pages = (size_t)stat->pages_leaf;
    stat_out->ms_overflow_pages = (size_t)stat->pages_overflow;
    stat_out->ms_entries = (size_t)stat->entries;
}

/* ---- Figures ---- */

/* Never past the map, which the file may be by a little: kvi_lmdb_limit. */
static size_t last_pgno(const MDB_env *env, const struct kv_env_stat *stat)
{
    size_t pages = (size_t)kvi_lmdb_pages(stat);
    size_t most = env->mapsize / env->page_size;

    return (pages <= most || most < 2 ? pages : most) - 1;
}

KVI_LMDB_API int mdb_env_stat(MDB_env *env, MDB_stat *stat)
{
    struct kvi_lmdb_peek peek;
    int rc;

    if (!env || !stat || !env->kv)
        return EINVAL;
    rc = kvi_lmdb_peek(env, &peek);
    if (!rc)
        kvi_lmdb_stat_fill(&peek.main, stat);
    return rc;
}

KVI_LMDB_API int mdb_env_info(MDB_env *env, MDB_envinfo *stat)
{
    struct kvi_lmdb_peek peek;
    struct kv_env_info info;
    int rc;

    if (!env || !stat || !env->kv)
        return EINVAL;
    rc = kvi_lmdb_result(kv_env_info(env->kv, &info));
    if (!rc)
        rc = kvi_lmdb_peek(env, &peek);
    if (rc)
        return rc;
    stat->me_mapaddr = env->flags & MDB_FIXEDMAP ? (void *)(uintptr_t)info.map : NULL;
    stat->me_mapsize = env->mapsize;
    stat->me_last_pgno = last_pgno(env, &peek.stat);
    stat->me_last_txnid = kvi_lmdb_txnid(info.txnid_visible);
    stat->me_maxreaders = env->maxreaders;
    stat->me_numreaders = 0;
    return env->locked ? kvi_lmdb_readers_most(env, &stat->me_numreaders) : 0;
}

/* ---- The rest ---- */

KVI_LMDB_API int mdb_env_get_path(MDB_env *env, const char **path)
{
    if (!env || !path)
        return EINVAL;
    *path = env->path;
    return 0;
}

KVI_LMDB_API int mdb_env_get_fd(MDB_env *env, mdb_filehandle_t *fd)
{
    if (!env || !fd)
        return EINVAL;
    *fd = env->kv ? kv_env_fd(env->kv) : -1;
    return 0;
}

/* With MDB_MAPASYNC and a writable map LMDB asks the kernel to begin writing, which it has done. */
KVI_LMDB_API int mdb_env_sync(MDB_env *env, int force)
{
    if (env->flags & MDB_RDONLY)
        return EACCES;
    if (!env->kv)
        return EBADF;
    if (!force && (env->flags & MDB_NOSYNC))
        return 0;
    if (!force && (env->flags & MDB_WRITEMAP) && (env->flags & MDB_MAPASYNC))
        return 0;
    return kvi_lmdb_result(kv_env_sync(env->kv));
}
