/* SPDX-License-Identifier: MIT */
/*
 * Owns how many chunks of slots there are. The file's size is the only count; each env remembers
 * how many it has seen, and touches no more. Chunks are added, never removed, while anybody lives.
 *
 *     head | processes, readers | processes, readers | ...  (mapped up to 64 MiB, so that no
 * pointer moves)
 *
 * Any thread may call these.
 */
#include "txn/lockfile_impl.h"

#include <errno.h>

#include "base/error.h"
#include "kv.h"

#define GROW_SHARE                                                                                 \
    4u /* the tables grow by a quarter, so that searching them stays cheap in sum   \
                       */

static void raise_chunks(struct kvi_lockfile *lockfile, uint64_t chunks)
{
    uint64_t seen = kvi_table_chunks(lockfile);

    while (seen < chunks &&
           !atomic_compare_exchange_weak_explicit(&lockfile->chunks, &seen, chunks,
                                                  memory_order_acq_rel, memory_order_acquire))
        continue;
}

int kvi_table_refresh(struct kvi_lockfile *lockfile)
{
    uint64_t size_bytes;
    uint64_t chunks;
    int rc;

    if (lockfile->without_file)
        return 0;
    rc = kvi_os->size(lockfile->lock.fd, &size_bytes);
    if (rc)
        return kvi_error(rc, "%s: %s", lockfile->lock.path, kvi_strerror(rc));
    chunks =
        size_bytes < KVI_LOCK_HEAD_BYTES ? 0 : (size_bytes - KVI_LOCK_HEAD_BYTES) / KVI_CHUNK_BYTES;
    if (chunks > KVI_CHUNKS_MAX)
        chunks = KVI_CHUNKS_MAX;
    if (chunks == 0 || chunks < kvi_table_chunks(lockfile))
        return kvi_corrupt(lockfile->lock.path, KVI_NO_PGNO, "lock file was cut short");
    raise_chunks(lockfile, chunks);
    return 0;
}

static uint64_t chunks_to_add(uint64_t have)
{
    uint64_t add = have / GROW_SHARE ? have / GROW_SHARE : 1;

    return add < KVI_CHUNKS_MAX - have ? add : KVI_CHUNKS_MAX - have;
}

/* With the growing lock. Bytes that a part of a chunk already had are zeros as well: nobody used
 * them. */
static int extend_file(struct kvi_lockfile *lockfile, uint64_t seen)
{
    uint64_t have;
    int rc = kvi_table_refresh(lockfile);

    have = kvi_table_chunks(lockfile);
    if (rc || have > seen)
        return rc;
    rc = kvi_os->allocate(lockfile->lock.fd, KVI_LOCK_HEAD_BYTES + have * KVI_CHUNK_BYTES,
                          chunks_to_add(have) * KVI_CHUNK_BYTES);
    if (rc)
        return kvi_error(rc, "%s: %s", lockfile->lock.path, kvi_strerror(rc));
    return kvi_table_refresh(lockfile);
}

static int grow_file(struct kvi_lockfile *lockfile, uint64_t seen)
{
    int rc = kvi_table_refresh(lockfile);

    if (rc || kvi_table_chunks(lockfile) > seen)
        return rc;
    rc = kvi_lock_byte(lockfile, KVI_LOCK_GROWING, KVI_GROWING_WAIT_MS);
    if (rc == EAGAIN)
        return kvi_error(KV_EBUSY, "%s: another process does not finish growing it",
                         lockfile->lock.path);
    if (rc)
        return rc;
    rc = extend_file(lockfile, seen);
    kvi_unlock_byte(lockfile, KVI_LOCK_GROWING);
    return rc;
}

int kvi_table_grow(struct kvi_lockfile *lockfile, uint64_t seen)
{
    int rc = 0;

    if (seen >= KVI_CHUNKS_MAX)
        return kvi_error(KV_EREADERS, "%s: no room for more reader slots", lockfile->data.path);
    (void)pthread_mutex_lock(&lockfile->growing);
    if (!lockfile->without_file)
        rc = grow_file(lockfile, seen);
    else if (kvi_table_chunks(lockfile) <= seen)
        raise_chunks(lockfile, seen + chunks_to_add(seen));
    (void)pthread_mutex_unlock(&lockfile->growing);
    return rc;
}
