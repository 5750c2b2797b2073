/* SPDX-License-Identifier: MIT */
/*
 * The live set: which snapshots keep their pages from being written over, and how long the file
 * must stay.
 *
 * Order of the loads (docs/DURABILITY.md W2): `announced` before the slots, since a durable point
 * moves its snapshot from there to a slot; all of the shared words before the second fence, the
 * reader slots after it. So whatever becomes live later was in the set already: it is the newest
 * committed or older (D7), or visible and then pinned (a reader looks again after its own fence).
 *
 * Writer lock held. A reader's word that names no snapshot is not an error: for a moment, until it
 * looks again, a reader may pin one that was let go already, and the lock file is input.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "os/os.h"
#include "txn/durable.h"

#define LIVE_FIRST 16u /* room for the shared words and a few readers */

/* When the file is cut without being asked to: slack as large as what it grows by (env.c). */
#define CUT_SHARE 8u
#define CUT_BYTES_MAX ((uint64_t)64 << 20)

struct collect {
    struct kv_env *env;
    struct kvi_live *live;
    size_t size; /* of live->snapshots */
};

static bool has_word(const struct kvi_live *live, uint64_t word)
{
    for (size_t i = 0; i < live->count; i++)
        if (live->snapshots[i].word == word)
            return true;
    return false;
}

static int make_room(struct collect *c)
{
    size_t size = c->size ? c->size * 2 : LIVE_FIRST;
    struct kvi_snapshot *snapshots;

    if (c->live->count < c->size)
        return 0;
    snapshots = realloc(c->live->snapshots, size * sizeof(*snapshots));
    if (!snapshots)
        return ENOMEM;
    c->live->snapshots = snapshots;
    c->size = size;
    return 0;
}

/* Named snapshots of each would be added here, from its table of them; kvi_snapshot_load refuses
 * files that have any. */
static int add_word(struct collect *c, uint64_t word)
{
    struct kvi_live *live = c->live;
    int rc;

    if (word == 0 || has_word(live, word))
        return 0;
    rc = make_room(c);
    if (rc)
        return rc;
    rc = kvi_snapshot_load(c->env, word, &live->snapshots[live->count]);
    if (rc)
        return rc;
    if (live->snapshots[live->count].snap.page_end > live->page_end_max)
        live->page_end_max = live->snapshots[live->count].snap.page_end;
    live->count++;
    return 0;
}

static int add_reader(void *context, const struct kvi_reader_info *reader)
{
    int rc = reader->alive ? add_word(context, reader->word) : 0;

    return rc == KV_ECORRUPT ? 0 : rc;
}

static int collect(struct kv_env *env, bool clear_dead, struct kvi_live *live_out)
{
    struct kvi_shared *shared = env->shared;
    struct collect c = {env, live_out, 0};
    uint64_t words[6];
    int rc = 0;

    memset(live_out, 0, sizeof(*live_out));
    atomic_thread_fence(memory_order_seq_cst);
    words[0] = atomic_load(&shared->announced);
    words[1] = atomic_load(&shared->slot_word[0]);
    words[2] = atomic_load(&shared->slot_word[1]);
    words[3] = atomic_load(&shared->durable);
    words[4] = atomic_load(&shared->visible);
    words[5] = atomic_load(&shared->committed);
    atomic_thread_fence(memory_order_seq_cst);
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]) && !rc; i++) {
        rc = add_word(&c, words[i]);
        if (rc == KV_ECORRUPT && atomic_load(&shared->poison)) /* may be what was lost */
            rc = 0;
    }
    if (!rc)
        rc = kvi_reader_scan(env->lockfile, clear_dead, add_reader, &c);
    if (rc)
        kvi_live_release(live_out);
    return rc;
}

int kvi_live_collect(struct kv_env *env, struct kvi_live *live_out)
{
    return collect(env, true, live_out);
}

int kvi_live_look(struct kv_env *env, struct kvi_live *live_out)
{
    return collect(env, false, live_out);
}

void kvi_live_release(struct kvi_live *live)
{
    free(live->snapshots);
    memset(live, 0, sizeof(*live));
}

/* ---- Cutting the file ---- */

/* Pages past the end that are worth a system call; 0 when asked to be exact. */
static uint64_t cut_slack(const struct kv_env *env, bool exact)
{
    uint64_t bytes = atomic_load(&env->file_bytes) / CUT_SHARE;
    uint64_t pages;

    if (exact)
        return 0;
    if (bytes > CUT_BYTES_MAX)
        bytes = CUT_BYTES_MAX;
    pages = bytes >> env->geometry.page_shift;
    return pages > KVI_GROW_PAGES_MIN ? pages : KVI_GROW_PAGES_MIN;
}

static int cut_to(struct kv_env *env, uint64_t page_end, uint64_t slack)
{
    uint32_t shift = env->geometry.page_shift;
    uint64_t bytes = page_end << shift;
    int rc = kvi_env_require(env, page_end);

    if (!rc)
        rc = kvi_env_whole(env);
    if (bytes < kvi_env_least(env))
        bytes = kvi_env_least(env);
    if (rc || atomic_load(&env->file_bytes) <= bytes + (slack << shift))
        return rc;
    kvi_env_holes(env, bytes >> shift, env->map.pages_max);
    rc = kvi_os->truncate(env->fd, bytes);
    if (rc)
        return kvi_error(rc, "%s: cutting to %llu bytes: %s", env->path, (unsigned long long)bytes,
                         kvi_strerror(rc));
    atomic_store(&env->file_bytes, bytes);
    return 0;
}

/* Most commits find out from the newest snapshot's page alone that there is nothing to cut. */
static bool cut_pointless(struct kv_env *env, uint64_t slack)
{
    struct kvi_snapshot newest;
    uint64_t pages = atomic_load(&env->file_bytes) >> env->geometry.page_shift;

    if (env->flags & KV_NOLOCK) /* readers of other processes are not known here */
        return true;
    if (pages << env->geometry.page_shift <=
        kvi_env_least(env) + (slack << env->geometry.page_shift))
        return true;
    if (kvi_snapshot_load(env, atomic_load(&env->shared->committed), &newest))
        return true;
    return pages <= newest.snap.page_end + slack;
}

/* Not exact: the commit before it stands whatever becomes of this, so there is nothing to report.
 */
int kvi_env_cut(struct kv_env *env, bool exact)
{
    uint64_t slack = cut_slack(env, exact);
    struct kvi_live live = {NULL, 0, 0};
    int rc;

    if (!exact && cut_pointless(env, slack))
        return 0;
    rc = kvi_live_collect(env, &live);
    if (!rc)
        rc = cut_to(env, live.page_end_max, slack);
    kvi_live_release(&live);
    return exact ? rc : 0;
}
