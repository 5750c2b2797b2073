/* SPDX-License-Identifier: MIT */
/*
 * Opening and closing an env, and its mappings. See env.h; the data file's size: env_size.c.
 *
 * Order at open: data file (made if asked), its metas, lock file (which serialises openers), then
 * the path is looked at again: it must still name the file that is open, else all starts over. The
 * first living user recovers before anybody else gets in.
 */
#include "txn/env.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "os/os.h"
#include "txn/comparators.h"
#include "txn/durable.h"
#include "txn/registry.h"

#define ENV_DIRTY_BUDGET_DEFAULT ((uint64_t)256 << 20)
#define ENV_POOL_PAGES 4096u /* page buffers kept between write txns: 16 MiB at 4 KiB */
#define ENV_OPEN_TRIES 16    /* openings while somebody keeps replacing the file */
#define ENV_MODE_DEFAULT 0644u
#define ENV_FLAGS_KNOWN                                                                            \
    (KV_READONLY | KV_CREATE | KV_EXCLUSIVE | KV_NOLOCK | KV_MEMORY | KV_NOWRITEMAP |              \
     KV_NODATALOCK | KV_FILL_EMPTY | KV_GUARD)

/* ---- Options ---- */

static int options_check(const char *path, const struct kv_options *o)
{
    struct kvi_geometry g;

    if (o->flags & ~ENV_FLAGS_KNOWN)
        return kvi_error(KV_EINVAL, "unknown flags in open: %#x", o->flags);
    if (!(o->flags & KV_MEMORY) != (path && *path))
        return kvi_error(KV_EINVAL, "a path is needed, except for KV_MEMORY, which takes none");
    if ((o->flags & KV_MEMORY) && (o->flags & (KV_READONLY | KV_NOLOCK | KV_EXCLUSIVE)))
        return kvi_error(KV_EINVAL, "KV_MEMORY goes with no other mode");
    if ((o->flags & KV_NOLOCK) && (o->flags & KV_EXCLUSIVE))
        return kvi_error(KV_EINVAL, "KV_EXCLUSIVE needs locks");
    if ((o->flags & KV_READONLY) && (o->flags & KV_CREATE))
        return kvi_error(KV_EINVAL, "KV_CREATE does not go with KV_READONLY");
    if (o->page_size && !kvi_geometry_init(&g, o->page_size))
        return kvi_error(KV_EINVAL, "page size %u is not a power of two from %u to %u",
                         o->page_size, KVI_PAGE_SIZE_MIN, KVI_PAGE_SIZE_MAX);
    if (o->durability > KV_NONE)
        return kvi_error(KV_EINVAL, "unknown durability %d", (int)o->durability);
    if (o->mode & ~0777u)
        return kvi_error(KV_EINVAL, "mode bits %#o are no permissions", o->mode);
    return 0;
}

/* Copies what the caller's (perhaps older, shorter) struct has, and fills in defaults. */
static int options_take(struct kv_env *env, const char *path, const struct kv_options *given)
{
    struct kv_options o = KV_OPTIONS_INIT;
    uint64_t budget_min;

    if (given && (given->struct_bytes < offsetof(struct kv_options, page_size) ||
                  given->struct_bytes > 4096))
        return kvi_error(KV_EINVAL, "options without KV_OPTIONS_INIT");
    if (given) {
        size_t bytes = given->struct_bytes < sizeof(o) ? given->struct_bytes : sizeof(o);

        memcpy(&o, given, bytes);
    }
    if (!o.page_size)
        o.page_size = KVI_PAGE_SIZE_DEFAULT;
    if (!o.durability)
        o.durability = KV_DURABLE;
    if (!o.dirty_budget_bytes)
        o.dirty_budget_bytes = ENV_DIRTY_BUDGET_DEFAULT;
    budget_min = (uint64_t)KVI_DIRTY_BUDGET_MIN * o.page_size;
    if (o.dirty_budget_bytes < budget_min)
        o.dirty_budget_bytes = budget_min;
    env->mode_given = o.mode != 0;
    if (!o.mode)
        o.mode = ENV_MODE_DEFAULT;
    env->options = o;
    env->flags = o.flags;
    atomic_store(&env->min_size_bytes, o.min_size_bytes);
    atomic_store(&env->max_size_bytes, o.max_size_bytes);
    env->path = strdup(path ? path : "");
    if (!env->path)
        return ENOMEM;
    if (!(o.flags & (KV_MEMORY | KV_NOLOCK))) {
        size_t bytes = strlen(o.lock_path ? o.lock_path : env->path) + sizeof("-lock");

        env->lock_path = malloc(bytes);
        if (!env->lock_path)
            return ENOMEM;
        strcpy(env->lock_path, o.lock_path ? o.lock_path : env->path);
        if (!o.lock_path)
            strcat(env->lock_path, "-lock");
    }
    return options_check(path, &o);
}

/* ---- The data file ---- */

/* Opens for writing, since even a reader may have to recover; a reader then also without. */
static int file_open(struct kv_env *env)
{
    int flags = O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
    struct kvi_os_stat st;
    int rc = kvi_os->open(env->path, flags | O_RDWR, 0, &env->fd);

    env->writable = rc == 0;
    if (rc && (env->flags & KV_READONLY))
        rc = kvi_os->open(env->path, flags | O_RDONLY, 0, &env->fd);
    if (rc) {
        env->fd = -1;
        return rc;
    }
    rc = kvi_os->stat_fd(env->fd, &st);
    if (rc)
        return rc;
    if (S_ISDIR(st.mode))
        return kvi_error(EISDIR, "%s is a directory", env->path);
    if (!S_ISREG(st.mode))
        return kvi_error(KV_ENOTDB, "%s is not a plain file", env->path);
    if (!env->mode_given) /* the lock file and copies are as open to others as the data file */
        env->options.mode = st.mode & 0777u;
    atomic_store(&env->file_bytes, st.size_bytes);
    return 0;
}

/* Makes a database of an empty file. */
static int file_fill(struct kv_env *env, const struct kvi_geometry *g,
                     const struct kvi_create_first *first)
{
    uint64_t size_bytes;
    int rc = kvi_create_fill(env->fd, env->path, g, first);

    if (!rc)
        rc = kvi_os->size(env->fd, &size_bytes);
    if (!rc)
        atomic_store(&env->file_bytes, size_bytes);
    return rc;
}

/* Opens the data file, making it first when it is missing and that was asked for. */
static int file_obtain(struct kv_env *env)
{
    const struct kvi_create_first first = {env->options.first_limit_bytes,
                                           env->options.first_marker};
    struct kvi_geometry g;
    int rc;

    if (!kvi_geometry_init(&g, env->options.page_size))
        return kvi_error(KV_EINVAL, "bad page size");
    if (env->flags & KV_MEMORY) {
        struct kvi_os_stat st;

        rc = kvi_os->memfd("libkv", &env->fd);
        if (!rc)
            rc = kvi_create_into(env->fd, env->path, &g, &first);
        if (!rc)
            rc = kvi_os->stat_fd(env->fd, &st);
        if (!rc)
            atomic_store(&env->file_bytes, st.size_bytes);
        return rc;
    }
    rc = file_open(env);
    if (rc == ENOENT && (env->flags & KV_CREATE)) {
        rc = kvi_create_file(env->path, &g, &first, env->options.mode);
        if (!rc || rc == EEXIST)
            rc = file_open(env);
    }
    if (!rc && (env->flags & KV_CREATE) && (env->flags & KV_FILL_EMPTY))
        rc = file_fill(env, &g, &first);
    if (rc > 0 && rc != EISDIR)
        return kvi_error(rc, "%s: %s", env->path, kvi_strerror(rc));
    return rc;
}

/* Whether the path still names the file that is open: 0, or EAGAIN to start over. */
static int file_same(const struct kv_env *env)
{
    struct kvi_os_stat by_fd;
    struct kvi_os_stat by_path;
    int rc;

    if (env->flags & KV_MEMORY)
        return 0;
    rc = kvi_os->stat_fd(env->fd, &by_fd);
    if (rc)
        return rc;
    rc = kvi_os->stat_path(env->path, &by_path);
    if (rc == ENOENT)
        return EAGAIN;
    if (rc)
        return rc;
    return by_fd.dev == by_path.dev && by_fd.inode == by_path.inode ? 0 : EAGAIN;
}

static int file_map(struct kv_env *env)
{
    uint32_t page_size;
    int rc = kvi_recover_peek(env->fd, env->path, &page_size, env->file_id);

    if (rc)
        return rc;
    if (!kvi_geometry_init(&env->geometry, page_size))
        return kvi_corrupt(env->path, 0, "impossible page size");
    rc = kvi_map_open(&env->map, &env->geometry, env->fd, env->path, env->options.reserve_bytes,
                      atomic_load(&env->file_bytes));
    return !rc && env->guarded ? kvi_map_guard(&env->map, &env->mark) : rc;
}

/* ---- Open ---- */

/* Between other openers: recovers if nobody else lives, and lets others in. */
static int env_join(struct kv_env *env)
{
    struct kvi_lockfile_options options = {
        .path = env->lock_path,
        .data_path = env->path,
        .data_fd = env->fd,
        .exclusive = (env->flags & KV_EXCLUSIVE) != 0,
        .read_only = (env->flags & KV_READONLY) != 0,
        .data_unlocked = (env->flags & KV_NODATALOCK) != 0,
        .data_writable = env->writable,
        .mode = env->options.mode,
        .max_readers = env->options.max_readers,
        .mark = env->guarded ? &env->mark : NULL,
    };
    bool boot_same = false;
    bool first = false;
    int rc;

    memcpy(options.file_id, env->file_id, sizeof(options.file_id));
    rc = kvi_lockfile_open(&options, &env->lockfile, &first, &boot_same);
    if (rc)
        return rc;
    env->shared = kvi_lockfile_shared(env->lockfile);
    rc = file_same(env);
    if (!rc && first)
        rc = kvi_recover(env, boot_same);
    if (!rc)
        kvi_lockfile_ready(env->lockfile);
    return rc;
}

static int env_lengthen(struct kv_env *env)
{
    if (atomic_load(&env->min_size_bytes) > env->map.reserved_bytes)
        return kvi_error(KV_ESIZELIMIT, "%s: min_size_bytes is past the reservation of %llu bytes",
                         env->path, (unsigned long long)env->map.reserved_bytes);
    return kvi_env_lengthen_try(env);
}

static int env_memory(struct kv_env *env)
{
    env->registry = kvi_registry_new();
    env->comparators = kvi_comparators_new();
    env->hints = kvi_space_hints_new();
    env->pool = kvi_pool_new(env->geometry.page_size, ENV_POOL_PAGES);
    return env->registry && env->comparators && env->hints && env->pool ? 0 : ENOMEM;
}

static void env_free(struct kv_env *env)
{
    kvi_store_free(env->store, env->lockfile && kvi_lockfile_forked(env->lockfile));
    kvi_lockfile_close(env->lockfile);
    if (env->map.base)
        kvi_map_close(&env->map);
    kvi_env_unguard(env);
    if (env->fd >= 0)
        kvi_os->close(env->fd);
    kvi_registry_free(env->registry);
    kvi_comparators_free(env->comparators);
    kvi_space_hints_free(env->hints);
    kvi_pool_free(env->pool);
    pthread_mutex_destroy(&env->remap_mutex);
    free(env->path);
    free(env->lock_path);
    free(env);
}

static int env_open_once(const char *path, const struct kv_options *options,
                         struct kv_env **env_out)
{
    static _Atomic(uint64_t) numbers;
    struct kv_env *env = calloc(1, sizeof(*env));
    int rc;

    if (!env)
        return ENOMEM;
    env->fd = -1;
    env->number = atomic_fetch_add_explicit(&numbers, 1, memory_order_relaxed) + 1;
    pthread_mutex_init(&env->remap_mutex, NULL);
    rc = options_take(env, path, options);
    if (!rc)
        rc = file_obtain(env);
    if (!rc)
        rc = kvi_env_guard(env);
    if (!rc)
        rc = file_map(env);
    if (!rc)
        rc = env_memory(env);
    if (!rc)
        rc = env_join(env);
    if (!rc)
        rc = env_lengthen(env);
    if (kvi_guard_faults(&env->mark))
        rc = kvi_env_lost(env);
    if (rc)
        env_free(env);
    else
        *env_out = env;
    return rc;
}

int kvi_env_open(const char *path, const struct kv_options *options, struct kv_env **env_out)
{
    int rc = EAGAIN;

    for (int i = 0; i < ENV_OPEN_TRIES && rc == EAGAIN; i++)
        rc = env_open_once(path, options, env_out);
    return rc == EAGAIN ? kvi_error(KV_EBUSY, "%s is being replaced again and again", path) : rc;
}

/* ---- Close ---- */

int kvi_env_close(struct kv_env *env)
{
    bool last = false;
    int rc = 0;

    if (kvi_lockfile_forked(env->lockfile)) {
        env_free(env);
        return 0;
    }
    if (atomic_load(&env->users) != 0)
        return kvi_error(KV_EBUSY, "%s: %llu txns are open", env->path,
                         (unsigned long long)atomic_load(&env->users));
    rc = kvi_lockfile_leave(env->lockfile, &last);
    if (!rc && last && !(env->flags & (KV_READONLY | KV_NOLOCK | KV_MEMORY))) {
        rc = kvi_env_whole(env);
        if (!rc)
            rc = kvi_durable_last(env);
    }
    env_free(env);
    return rc;
}

/* ---- The mapping ---- */

/* Becoming a user and replacing the mapping exclude each other as Dekker's: each says what it is
 * about to do, then looks at what the other said. */
void kvi_env_enter(struct kv_env *env)
{
    for (;;) {
        atomic_fetch_add(&env->users, 1);
        if (KVI_LIKELY(!atomic_load(&env->remapping)))
            return;
        atomic_fetch_sub(&env->users, 1);
        pthread_mutex_lock(&env->remap_mutex); /* until it is done */
        pthread_mutex_unlock(&env->remap_mutex);
    }
}

void kvi_env_leave(struct kv_env *env)
{
    atomic_fetch_sub(&env->users, 1);
}

/* Twice the file's size, so that this does not come again soon. */
static int map_anew(struct kv_env *env)
{
    struct kvi_os_stat st;
    struct kvi_map larger;
    int rc = kvi_os->stat_fd(env->fd, &st);

    if (!rc && st.size_bytes >> env->geometry.page_shift <= env->map.pages_max)
        return KV_ESIZELIMIT; /* with the text of whoever met the limit */
    if (!rc)
        rc = kvi_map_open(&larger, &env->geometry, env->fd, env->path, 2 * st.size_bytes,
                          st.size_bytes);
    if (!rc && env->guarded) {
        rc = kvi_map_guard(&larger, &env->mark);
        if (rc)
            kvi_map_close(&larger);
    }
    if (rc)
        return rc;
    kvi_store_free(env->store, false);
    env->store = NULL;
    kvi_map_close(&env->map);
    env->map = larger;
    atomic_store(&env->file_bytes, st.size_bytes);
    return 0;
}

int kvi_env_remap(struct kv_env *env)
{
    int rc = KV_ESIZELIMIT;

    pthread_mutex_lock(&env->remap_mutex);
    atomic_store(&env->remapping, true);
    if (atomic_load(&env->users) == 1)
        rc = map_anew(env);
    atomic_store(&env->remapping, false);
    pthread_mutex_unlock(&env->remap_mutex);
    return rc;
}

/* ---- The writer's mapping ---- */

void kvi_env_holes(struct kv_env *env, uint64_t pgno_first, uint64_t pgno_end)
{
    uint64_t before = atomic_fetch_add(&env->shared->holes, 1);

    if (env->store)
        kvi_store_forget(env->store, before, pgno_first, pgno_end);
}

/* Without locks nobody would tell of what other processes punch or cut. */
struct kvi_store *kvi_env_store(struct kv_env *env)
{
    if (env->flags & (KV_NOLOCK | KV_NOWRITEMAP) || env->store_never)
        return NULL;
    if (!env->store && kvi_store_new(&env->map, &env->store)) {
        env->store_never = true;
        return NULL;
    }
    kvi_store_begin(env->store, atomic_load(&env->shared->holes));
    return env->store;
}
