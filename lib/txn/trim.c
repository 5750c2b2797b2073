/* SPDX-License-Identifier: MIT */
/*
 * Giving space back to the file system on request: the free tail is cut, free ranges are punched (DESIGN 4).
 *
 * Holds the writer lock, so that no page that is found free can be handed out meanwhile. What is punched reads
 * as zeros and is allocated again by the next write there.
 */
#include "txn/maintain.h"

#include "base/error.h"
#include "os/os.h"

#define TRIM_PUNCH_BYTES_MIN ((uint64_t)64 << 10)

static int allocated_bytes(const struct kv_env *env, uint64_t *bytes_out)
{
    struct kvi_os_stat st;
    int rc = kvi_os->stat_fd(env->fd, &st);

    if (!rc)
        *bytes_out = st.blocks_bytes;
    return rc;
}

static int punch_range(void *context, uint64_t pgno, uint64_t count)
{
    const struct kv_env *env = context;
    unsigned shift = env->geometry.page_shift;
    int rc = kvi_os->punch(env->fd, pgno << shift, count << shift);

    if (rc)
        return kvi_error(rc, "%s: punching a free range: %s", env->path, kvi_strerror(rc));
    return 0;
}

/* A write txn gives the lock, the live set and the space map; it is aborted and changes nothing. */
int kvi_env_trim(struct kv_env *env, uint32_t flags, uint64_t *bytes_out)
{
    struct kv_txn *txn;
    uint64_t before;
    uint64_t after;
    int rc = kvi_txn_begin(env, KV_WRITE, NULL, &txn);

    if (rc)
        return rc;
    rc = allocated_bytes(env, &before);
    if (!rc)
        rc = kvi_env_cut(env, true);
    if (!rc && (flags & KV_TRIM_PUNCH))
        rc = kvi_space_free_ranges(txn->space, TRIM_PUNCH_BYTES_MIN >> env->geometry.page_shift,
                                   punch_range, env);
    if (!rc)
        rc = allocated_bytes(env, &after);
    if (!rc && before > after)
        *bytes_out = before - after;
    kvi_txn_abort(txn);
    return rc;
}
