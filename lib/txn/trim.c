/* SPDX-License-Identifier: MIT */
/*
 * Giving space back to the file system on request: pages of the tail are moved lower down, the free
 * tail is cut, free ranges are punched (DESIGN 4).
 *
 * Holds the writer lock, so that no page that is found free can be handed out meanwhile. What is
 * punched reads as zeros and is allocated again by the next write there.
 */
#include "txn/maintain.h"

#include "base/error.h"
#include "os/os.h"

#define TRIM_PUNCH_BYTES_MIN ((uint64_t)64 << 10)
#define TRIM_ROOM_SHARE 16u /* of the pages in use, and */
#define TRIM_ROOM_PAGES 64u /* so many: room below the tail for what is moved there */
#define TRIM_ROUNDS 4u

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
    struct kv_env *env = context;
    unsigned shift = env->geometry.page_shift;
    int rc = kvi_env_whole(env);

    if (rc)
        return rc;
    kvi_env_holes(env, pgno, pgno + count);
    rc = kvi_os->punch(env->fd, pgno << shift, count << shift);
    if (rc)
        return kvi_error(rc, "%s: punching a free range: %s", env->path, kvi_strerror(rc));
    return 0;
}

/* ---- Defragmentation ---- */

/* The page number at and above which a page is in the tail: what is in use would fit below with
 * some room. */
static uint64_t tail_from(const struct kv_txn *txn)
{
    const struct kvi_snap *snap = &txn->snapshot.snap;

    return snap->pages_used + snap->pages_used / TRIM_ROOM_SHARE + TRIM_ROOM_PAGES;
}

/* What lowering the named tables needs while it lists them. */
struct lowering {
    struct kv_txn *txn;
    uint64_t pgno_from;
};

static int lower_named(void *context, const char *name)
{
    const struct lowering *lowering = context;
    struct kvi_txn_table *entry;
    kv_table handle;
    int rc = kvi_table_open(lowering->txn, name, 0, NULL, &handle);

    if (!rc)
        rc = kvi_txn_table(lowering->txn, handle, &entry);
    return rc ? rc : kvi_tree_lower(&entry->tree, lowering->pgno_from);
}

/* One txn that moves the tail lower; *done_out when there is none. */
static int lower_once(struct kv_env *env, bool *done_out)
{
    struct lowering lowering;
    struct kv_txn *txn;
    int rc = kvi_txn_begin(env, KV_WRITE, NULL, &txn);

    if (rc)
        return rc;
    lowering.txn = txn;
    lowering.pgno_from = tail_from(txn);
    *done_out = txn->snapshot.snap.page_end <= lowering.pgno_from;
    if (!*done_out)
        rc = kvi_table_list(txn, lower_named, &lowering);
    if (!*done_out && !rc)
        rc = kvi_tree_lower(&txn->main.tree, lowering.pgno_from);
    if (*done_out || rc) {
        kvi_txn_abort(txn);
        return rc;
    }
    return kvi_txn_commit(txn);
}

/* The newest snapshot in both slots, so that they keep no older one alive. */
static int settle(struct kv_env *env)
{
    int rc = kvi_lockfile_lock_writer(env->lockfile, KVI_WAIT_FOREVER);

    if (rc)
        return rc;
    rc = kvi_poison_end(env);
    if (!rc)
        rc = kvi_durable_settle(env);
    kvi_lockfile_unlock_writer(env->lockfile);
    return rc;
}

/* Each round finds free what the one before it moved away from; readers may hold the rest. */
static int defragment(struct kv_env *env)
{
    bool done = false;
    int rc = settle(env);

    for (unsigned round = 0; !rc && !done && round < TRIM_ROUNDS; round++) {
        rc = lower_once(env, &done);
        if (!rc && !done)
            rc = settle(env);
    }
    return rc;
}

/* ---- Cut and punch ---- */

/* What a least size keeps behind the last page in use. */
static int punch_tail(struct kv_env *env, uint64_t page_end)
{
    uint64_t pages = atomic_load(&env->file_bytes) >> env->geometry.page_shift;

    return pages > page_end ? punch_range(env, page_end, pages - page_end) : 0;
}

/* A write txn gives the lock, the live set and the space map; it is aborted and changes nothing. */
static int cut_and_punch(struct kv_env *env, uint32_t flags)
{
    struct kv_txn *txn;
    int rc = kvi_txn_begin(env, KV_WRITE, NULL, &txn);

    if (rc)
        return rc;
    rc = kvi_env_cut(env, true);
    if (!rc && (flags & KV_TRIM_PUNCH))
        rc = kvi_space_free_ranges(txn->space, TRIM_PUNCH_BYTES_MIN >> env->geometry.page_shift,
                                   punch_range, env);
    if (!rc && (flags & KV_TRIM_PUNCH))
        rc = punch_tail(env, txn->live.page_end_max);
    kvi_txn_abort(txn);
    return rc;
}

int kvi_env_trim(struct kv_env *env, uint32_t flags, uint64_t *bytes_out)
{
    uint64_t before;
    uint64_t after;
    int rc = allocated_bytes(env, &before);

    if (!rc)
        rc = flags & KV_TRIM_DEFRAGMENT ? defragment(env) : settle(env);
    if (!rc)
        rc = cut_and_punch(env, flags);
    if (!rc)
        rc = allocated_bytes(env, &after);
    if (!rc && before > after)
        *bytes_out = before - after;
    return rc;
}
