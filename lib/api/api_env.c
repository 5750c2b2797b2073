/* SPDX-License-Identifier: MIT */
/* kv.h, environments: argument checks, then forward. */
#include "api/api.h"

#include <string.h>

#include "base/error.h"
#include "txn/comparators.h"
#include "txn/maintain.h"

int kv_env_open(const char *path, const struct kv_options *options, struct kv_env **env_out)
{
    int rc = kvi_api_given(env_out, "env_out");

    if (rc)
        return rc;
    *env_out = NULL;
    return kvi_env_open(path, options, env_out);
}

int kv_env_close(struct kv_env *env)
{
    return env ? kvi_env_close(env) : 0;
}

/* The env is given and belongs to this process. */
static int env_ours(const struct kv_env *env)
{
    int rc = kvi_api_given(env, "env");

    if (!rc && kvi_lockfile_forked(env->lockfile))
        rc = kvi_error(KV_EFORKED, "%s: the env belongs to the parent process", env->path);
    return rc;
}

/* And it has its lock file, if it has one. */
static int env_usable(const struct kv_env *env)
{
    int rc = env_ours(env);

    return rc ? rc : kvi_env_lock_whole(env);
}

/* Before and after what reads the mappings without a txn: a page that could not be had meanwhile is
 * an error, whatever was made of its zeros. */
static uint64_t env_begin(struct kv_env *env)
{
    kvi_env_enter(env);
    return kvi_guard_faults(&env->mark);
}

static int env_end(struct kv_env *env, uint64_t faults, int rc)
{
    kvi_env_leave(env);
    return kvi_guard_faults(&env->mark) == faults ? rc : kvi_env_lost(env);
}

int kv_env_sync(struct kv_env *env)
{
    uint64_t faults;
    int rc = env_usable(env);

    if (rc)
        return rc;
    faults = env_begin(env);
    rc = kvi_env_sync(env);
    return env_end(env, faults, rc);
}

int kv_env_resize(struct kv_env *env, uint64_t min_size_bytes, uint64_t max_size_bytes)
{
    uint64_t faults;
    int rc = env_usable(env);

    if (rc)
        return rc;
    faults = env_begin(env);
    rc = kvi_env_resize(env, min_size_bytes, max_size_bytes);
    return env_end(env, faults, rc);
}

int kv_env_on_full(struct kv_env *env, kv_full_fn *fn, void *context)
{
    int rc = env_usable(env);

    if (rc)
        return rc;
    if (atomic_load(&env->writing))
        return kvi_error(KV_EBUSY, "%s: a write txn of this env is open", env->path);
    env->full = fn;
    env->full_context = context;
    return 0;
}

int kv_env_info(struct kv_env *env, struct kv_env_info *info_out)
{
    uint64_t faults;
    int rc = kvi_api_given(info_out, "info_out");

    if (rc)
        return rc;
    memset(info_out, 0, sizeof(*info_out));
    rc = env_ours(env);
    if (rc)
        return rc;
    faults = env_begin(env);
    rc = env_end(env, faults, kvi_env_info(env, info_out));
    info_out->faults = kvi_guard_faults(&env->mark);
    return rc;
}

int kv_env_stat(struct kv_txn *txn, struct kv_env_stat *stat_out)
{
    int rc = kvi_api_given(stat_out, "stat_out");

    if (rc)
        return rc;
    memset(stat_out, 0, sizeof(*stat_out));
    rc = kvi_txn_usable(txn, false);
    return rc ? rc : kvi_txn_whole(txn, kvi_env_stat(txn, stat_out));
}

int kv_free_list(struct kv_txn *txn, kv_pages_fn *fn, void *context)
{
    int rc = kvi_txn_usable(txn, false);

    if (!rc && !fn)
        rc = kvi_error(KV_EINVAL, "fn is NULL");
    return rc ? rc : kvi_txn_whole(txn, kvi_free_list(txn, fn, context));
}

const char *kv_env_path(const struct kv_env *env)
{
    return env ? env->path : "";
}

int kv_env_fd(const struct kv_env *env)
{
    return env ? env->fd : -1;
}

int kv_env_comparator(struct kv_env *env, const char *name, kv_compare_fn *compare, void *context)
{
    int rc = env_usable(env);

    if (!rc && !compare)
        rc = kvi_error(KV_EINVAL, "compare is NULL");
    return rc ? rc : kvi_comparators_add(env->comparators, name, compare, context);
}

int kv_env_trim(struct kv_env *env, uint32_t flags, uint64_t *bytes_out)
{
    uint64_t bytes = 0;
    int rc = env_usable(env);

    if (bytes_out)
        *bytes_out = 0;
    if (!rc && (flags & ~(KV_TRIM_PUNCH | KV_TRIM_DEFRAGMENT)))
        rc = kvi_error(KV_EINVAL, "unknown flags in trim: %#x", flags);
    if (!rc && (env->flags & KV_READONLY))
        rc = kvi_error(KV_EREADONLY, "%s was opened read-only", env->path);
    if (!rc)
        rc = kvi_env_trim(env, flags, &bytes);
    if (bytes_out)
        *bytes_out = bytes;
    return rc;
}

int kv_env_check(struct kv_env *env, const struct kv_check_options *options)
{
    uint64_t faults;
    static const struct kv_check_options none;
    int rc = env_usable(env);

    if (rc)
        return rc;
    faults = env_begin(env);
    rc = kvi_env_check(env, options ? options : &none);
    return env_end(env, faults, rc);
}

int kv_env_readers(struct kv_env *env, kv_reader_fn *reader, void *context)
{
    uint64_t faults;
    int rc = env_usable(env);

    if (!rc && !reader)
        rc = kvi_error(KV_EINVAL, "reader is NULL");
    if (rc)
        return rc;
    faults = env_begin(env);
    rc = kvi_env_readers(env, reader, context);
    return env_end(env, faults, rc);
}

int kv_env_readers_clear(struct kv_env *env, uint64_t *cleared_out)
{
    uint64_t cleared = 0;
    int rc = env_usable(env);

    if (!rc)
        rc = kvi_env_readers_clear(env, &cleared);
    if (cleared_out)
        *cleared_out = cleared;
    return rc;
}

/* A copy is taken of a read txn's snapshot. */
static int copy_usable(struct kv_txn *txn, const struct kv_copy_options *options)
{
    int rc = kvi_txn_usable(txn, false);

    if (!rc && txn->write)
        rc = kvi_error(KV_EBADTXN, "a copy is taken in a read txn");
    if (!rc && options && (options->flags & ~KV_COPY_COMPACT))
        rc = kvi_error(KV_EINVAL, "unknown flags in copy: %#x", options->flags);
    if (!rc && options && (options->mode & ~0777u))
        rc = kvi_error(KV_EINVAL, "mode bits %#o are no permissions", options->mode);
    return rc;
}

int kv_env_copy(struct kv_txn *txn, const char *path, const struct kv_copy_options *options)
{
    static const struct kv_copy_options none;
    int rc = copy_usable(txn, options);

    if (!rc && (!path || !*path))
        rc = kvi_error(KV_EINVAL, "path is empty");
    return rc ? rc : kvi_env_copy(txn, path, options ? options : &none);
}

int kv_env_copy_fd(struct kv_txn *txn, int fd, const struct kv_copy_options *options)
{
    static const struct kv_copy_options none;
    int rc = copy_usable(txn, options);

    if (!rc && fd < 0)
        rc = kvi_error(KV_EINVAL, "fd is negative");
    return rc ? rc : kvi_env_copy_fd(txn, fd, options ? options : &none);
}
