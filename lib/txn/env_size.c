/* SPDX-License-Identifier: MIT */
/*
 * The size of an env's data file: how far it may grow, how it grows, and how long it stays. See
 * env.h. Cutting it is live.c's, since that asks what is live.
 *
 * The file's size is changed by the holder of the writer lock only. A file is never grown by
 * allocating: what was not written is a hole.
 */
#include "txn/env.h"

#include "base/error.h"
#include "os/os.h"

#define ENV_GROW_BYTES_MAX ((uint64_t)64 << 20)
#define ENV_GROW_SHARE 8u /* the file grows by an eighth of its size */

int kvi_env_require(struct kv_env *env, uint64_t page_end)
{
    uint64_t size;
    int rc = kvi_os->size(env->fd, &size);

    if (rc)
        return rc;
    atomic_store(&env->file_bytes, size);
    if (size >> env->geometry.page_shift < page_end)
        return kvi_corrupt(env->path, KVI_NO_PGNO, "the file is shorter than its snapshot needs");
    if (page_end > env->map.pages_max)
        return kvi_error(KV_ESIZELIMIT, "%s has grown past this process's reservation: reopen it",
                         env->path);
    return 0;
}

uint64_t kvi_env_limit(const struct kv_env *env, uint64_t stored_limit_bytes)
{
    uint64_t reserved = env->map.pages_max << env->geometry.page_shift;
    uint64_t own = atomic_load(&env->max_size_bytes);
    uint64_t limit = own ? own : stored_limit_bytes;

    return limit && limit < reserved ? limit : reserved;
}

uint64_t kvi_env_least(const struct kv_env *env)
{
    return atomic_load(&env->min_size_bytes);
}

static int grow_to(struct kv_env *env, uint64_t bytes)
{
    int rc = kvi_os->truncate(env->fd, bytes);

    if (rc)
        return kvi_error(rc, "%s: growing to %llu bytes: %s", env->path, (unsigned long long)bytes,
                         kvi_strerror(rc));
    atomic_store(&env->file_bytes, bytes);
    return 0;
}

/* The size to grow to: in steps, within the limits. */
static uint64_t grow_target(const struct kv_env *env, uint64_t bytes_now, uint64_t bytes_needed,
                            uint64_t bytes_limit)
{
    uint64_t step_min = (uint64_t)KVI_GROW_PAGES_MIN << env->geometry.page_shift;
    uint64_t step = bytes_now / ENV_GROW_SHARE;
    uint64_t target;

    if (step > ENV_GROW_BYTES_MAX)
        step = ENV_GROW_BYTES_MAX;
    if (step < step_min)
        step = step_min;
    target = bytes_needed + (step & ~(uint64_t)(env->geometry.page_size - 1));
    if (target < kvi_env_least(env))
        target = kvi_env_least(env);
    return target < bytes_limit ? target : bytes_limit;
}

static uint64_t limit_now(const struct kv_env *env)
{
    return kvi_env_limit(env, env->stored_limit_bytes) & ~(uint64_t)(env->geometry.page_size - 1);
}

/* Whoever set the limit may raise it. */
static uint64_t limit_raised(struct kv_env *env, uint64_t limit)
{
    uint64_t raised = env->full(env->full_context, limit);

    if (raised <= limit)
        return limit;
    atomic_store(&env->max_size_bytes, raised);
    return limit_now(env);
}

int kvi_env_grow(struct kv_env *env, uint64_t page_end)
{
    uint64_t needed = page_end << env->geometry.page_shift;
    uint64_t now = atomic_load(&env->file_bytes);
    uint64_t limit = limit_now(env);

    if (needed > limit && env->full)
        limit = limit_raised(env, limit);
    if (page_end > env->map.pages_max || needed > limit)
        return kvi_error(KV_ESIZELIMIT, "%s would grow past its limit of %llu bytes", env->path,
                         (unsigned long long)limit);
    if (needed <= now)
        return 0;
    return grow_to(env, grow_target(env, now, needed, limit));
}

/* ---- On request ---- */

int kvi_env_lengthen(struct kv_env *env)
{
    uint64_t least = kvi_env_least(env);
    uint64_t now;
    int rc = kvi_os->size(env->fd, &now);

    if (rc)
        return kvi_error(rc, "%s: %s", env->path, kvi_strerror(rc));
    atomic_store(&env->file_bytes, now);
    return now < least ? grow_to(env, least) : 0;
}

int kvi_env_lengthen_try(struct kv_env *env)
{
    uint64_t now;
    int rc = kvi_os->size(env->fd, &now);

    if (rc)
        return kvi_error(rc, "%s: %s", env->path, kvi_strerror(rc));
    if ((env->flags & KV_READONLY) || now >= kvi_env_least(env) ||
        kvi_lockfile_lock_writer(env->lockfile, 0))
        return 0;
    rc = kvi_env_lengthen(env);
    kvi_lockfile_unlock_writer(env->lockfile);
    return rc;
}

static int resize_check(const struct kv_env *env, uint64_t min_size_bytes)
{
    if (atomic_load(&env->writing))
        return kvi_error(KV_EBUSY, "%s: a write txn of this env is open", env->path);
    if (min_size_bytes > env->map.reserved_bytes)
        return kvi_error(KV_ESIZELIMIT, "%s: a minimum of %llu bytes, only %llu are reserved",
                         env->path, (unsigned long long)min_size_bytes,
                         (unsigned long long)env->map.reserved_bytes);
    return 0;
}

int kvi_env_resize(struct kv_env *env, uint64_t min_size_bytes, uint64_t max_size_bytes)
{
    int rc = resize_check(env, min_size_bytes);

    if (rc)
        return rc;
    atomic_store(&env->min_size_bytes, min_size_bytes);
    atomic_store(&env->max_size_bytes, max_size_bytes);
    return kvi_env_lengthen_try(env);
}
