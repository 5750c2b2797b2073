/* SPDX-License-Identifier: MIT */
/* What an env tells of itself: info, stat, readers; and sync. See maintain.h. */
#include "txn/maintain.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "os/os.h"

#define READERS_WAIT_MS 1000u /* for the writer lock, before held pages are given up */

int kvi_env_sync(struct kv_env *env)
{
    if (env->flags & (KV_READONLY | KV_NOLOCK)) /* nothing of ours is unflushed */
        return 0;
    return kvi_durable_sync(env);
}

/* The txnid in the page that a word names; 0 when it names none or is being replaced. */
static uint64_t word_txnid(struct kv_env *env, uint64_t word)
{
    struct kvi_snapshot snapshot;

    if (!word || kvi_snapshot_load(env, word, &snapshot))
        return 0;
    return snapshot.snap.txnid;
}

/* The limit that the newest snapshot stores; 0: none, or none to be read. */
static uint64_t stored_limit(struct kv_env *env)
{
    struct kvi_snapshot snapshot;

    if (atomic_load(&env->max_size_bytes) ||
        kvi_snapshot_load(env, atomic_load(&env->shared->committed), &snapshot))
        return 0;
    return snapshot.snap.map_limit;
}

static int count_reader(void *context, const struct kvi_reader_info *reader)
{
    (void)reader;
    ++*(uint64_t *)context;
    return 0;
}

/* The ids of the shared snapshots, read while a reader's pin keeps the visible one, and the writer
 * lock is not needed: a word is read, its page looked at, and the word read again. */
static uint64_t stable_txnid(struct kv_env *env, const kvi_atomic_word *field)
{
    uint64_t word;
    uint64_t txnid;

    do {
        word = atomic_load(field);
        txnid = word_txnid(env, word);
    } while (word != atomic_load(field));
    return txnid;
}

int kvi_env_info(struct kv_env *env, struct kv_env_info *info_out)
{
    struct kvi_os_stat st;
    int rc = kvi_os->stat_fd(env->fd, &st);

    if (rc)
        return rc;
    if (env->flags & KV_NOLOCK) {
        rc = kvi_recover_refresh(env);
        if (rc)
            return rc;
    }
    info_out->page_size = env->geometry.page_size;
    info_out->flags = env->flags;
    memcpy(info_out->file_id, env->file_id, sizeof(info_out->file_id));
    info_out->map_size_bytes = env->map.reserved_bytes;
    info_out->map = env->map.base;
    info_out->max_size_bytes = kvi_env_limit(env, stored_limit(env));
    info_out->file_size_bytes = st.size_bytes;
    info_out->txnid_committed = stable_txnid(env, &env->shared->committed);
    info_out->txnid_visible = stable_txnid(env, &env->shared->visible);
    info_out->txnid_durable = stable_txnid(env, &env->shared->durable);
    info_out->max_key_bytes = env->geometry.key_bytes_max;
    info_out->max_value_bytes = KVI_VALUE_BYTES_MAX;
    info_out->max_pair_bytes = kvi_pair_bytes_max(&env->geometry);
    info_out->processes = kvi_lockfile_users(env->lockfile);
    info_out->txnid_rolled_back = atomic_load(&env->shared->rolled_back);
    return kvi_reader_scan(env->lockfile, false, count_reader, &info_out->readers);
}

int kvi_env_stat(struct kv_txn *txn, struct kv_env_stat *stat_out)
{
    const struct kvi_snap *snap = &txn->snapshot.snap;

    stat_out->txnid = txn->id;
    stat_out->tables = snap->tables;
    stat_out->pages_end = snap->page_end;
    stat_out->pages_used = snap->pages_used;
    stat_out->pages_free = snap->page_end - snap->pages_used;
    stat_out->pages_map = snap->pages_map;
    return 0;
}

/* ---- Readers ---- */

/* The reader slots as one scan saw them. */
struct reader_list {
    struct kvi_reader_info *readers;
    size_t count;
    size_t size;
};

static int list_reader(void *context, const struct kvi_reader_info *reader)
{
    struct reader_list *list = context;

    if (list->count == list->size) {
        size_t size = list->size ? list->size * 2 : 16;
        struct kvi_reader_info *readers = realloc(list->readers, size * sizeof(*readers));

        if (!readers)
            return ENOMEM;
        list->readers = readers;
        list->size = size;
    }
    list->readers[list->count++] = *reader;
    return 0;
}

static struct kvi_space_snapshot map_of(const struct kvi_snapshot *snapshot)
{
    struct kvi_space_snapshot map = {snapshot->page, snapshot->snap.page_end,
                                     snapshot->snap.map_count, snapshot->snap.map_levels};

    return map;
}

static int map_read(void *context, struct kvi_ref ref, enum kvi_page_type type, unsigned level,
                    const uint8_t **page_out)
{
    return kvi_view_page(context, ref, type, level, page_out);
}

/* Pages that only the snapshot `word` keeps from reuse, among all live ones. */
static int held_pages(struct kv_env *env, const struct kvi_live *live, uint64_t word,
                      uint64_t *pages_out)
{
    struct kvi_view view = {&env->map, live->page_end_max, UINT64_MAX};
    const struct kvi_space_io io = {&view, map_read, NULL, env->path};
    struct kvi_space_snapshot *others = calloc(live->count + 1, sizeof(*others));
    struct kvi_space_snapshot own = {NULL, 0, 0, 0};
    size_t count = 0;
    int rc = 0;

    *pages_out = 0;
    if (!others)
        return ENOMEM;
    for (size_t i = 0; i < live->count; i++) {
        if (live->snapshots[i].word == word)
            own = map_of(&live->snapshots[i]);
        else
            others[count++] = map_of(&live->snapshots[i]);
    }
    if (own.page)
        rc = kvi_map_only(&env->geometry, &io, &own, others, count, pages_out);
    free(others);
    return rc;
}

/* Tells the caller of one reader. `live` NULL: the writer lock was not to be had, held pages are
 * not known. */
static int reader_tell(struct kv_env *env, const struct kvi_live *live,
                       const struct kvi_reader_info *info, kv_reader_fn *fn, void *context)
{
    uint64_t now = kvi_os->monotonic_ns();
    struct kv_reader reader = {.pid = info->pid,
                               .alive = info->alive,
                               .pages_held = info->word && info->alive ? UINT64_MAX : 0,
                               .thread = info->thread};
    int rc = 0;

    reader.txnid = word_txnid(env, info->word);
    if (info->begin_ns && now > info->begin_ns)
        reader.age_ms = (now - info->begin_ns) / 1000000;
    if (live && reader.pages_held)
        rc = held_pages(env, live, info->word, &reader.pages_held);
    return rc ? rc : fn(context, &reader);
}

int kvi_env_readers(struct kv_env *env, kv_reader_fn *fn, void *context)
{
    struct reader_list list = {NULL, 0, 0};
    struct kvi_live live = {NULL, 0, 0};
    /* Our own write txn may be the calling thread's: it would be waited for in vain. */
    bool locked = !atomic_load(&env->writing) &&
                  kvi_lockfile_lock_writer(env->lockfile, READERS_WAIT_MS) == 0;
    int rc = kvi_reader_list(env->lockfile, list_reader, &list);

    if (!rc && locked)
        rc = kvi_live_look(env, &live);
    for (size_t i = 0; i < list.count && !rc; i++)
        rc = reader_tell(env, locked ? &live : NULL, &list.readers[i], fn, context);
    kvi_live_release(&live);
    if (locked)
        kvi_lockfile_unlock_writer(env->lockfile);
    free(list.readers);
    return rc;
}

int kvi_env_readers_clear(struct kv_env *env, uint64_t *cleared_out)
{
    return kvi_reader_clear_dead(env->lockfile, cleared_out);
}

/* ---- Free pages ---- */

int kvi_free_list(struct kv_txn *txn, kv_pages_fn *fn, void *context)
{
    struct kv_env *env = txn->env;
    struct kvi_space_snapshot map = map_of(&txn->snapshot);
    struct kvi_view view = {&env->map, map.page_end, UINT64_MAX};
    const struct kvi_space_io io = {&view, map_read, NULL, env->path};

    return kvi_map_free(&env->geometry, &io, &map, fn, context);
}
