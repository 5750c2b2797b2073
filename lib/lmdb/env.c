/* SPDX-License-Identifier: MIT */
/*
 * Environments: making them, what is set before they open, opening and closing. The files behind
 * them are files.c's.
 *
 * An env that could not be opened is fit for mdb_env_close alone, as LMDB's documentation has it,
 * but for failures before a data file was found, which LMDB lets try again.
 *
 * Threads: as with LMDB, create, the setters, open and close are for one thread at a time.
 */
#include "lmdb/lmdb_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ENV_FLAGS_CHANGEABLE (MDB_NOSYNC | MDB_NOMETASYNC | MDB_MAPASYNC | MDB_NOMEMINIT)
#define ENV_FLAGS                                                                                  \
    (ENV_FLAGS_CHANGEABLE | MDB_FIXEDMAP | MDB_NOSUBDIR | MDB_RDONLY | MDB_WRITEMAP | MDB_NOTLS |  \
     MDB_NOLOCK | MDB_NORDAHEAD)

KVI_LMDB_API int mdb_env_create(MDB_env **env)
{
    MDB_env *made = calloc(1, sizeof(*made));
    int rc;

    if (!made)
        return ENOMEM;
    rc = pthread_mutex_init(&made->mutex, NULL);
    if (rc) {
        free(made);
        return rc;
    }
    made->maxreaders = KVI_LMDB_READERS;
    made->guard = -1;
    made->pid = getpid();
    *env = made;
    return 0;
}

/* ---- What is set before ---- */

KVI_LMDB_API int mdb_env_set_mapsize(MDB_env *env, size_t size)
{
    if (!env->kv) {
        env->mapsize = size;
        return 0;
    }
    return env->writer ? EINVAL : kvi_lmdb_files_size(env, size);
}

KVI_LMDB_API int mdb_env_set_maxdbs(MDB_env *env, MDB_dbi dbs)
{
    if (env->kv)
        return EINVAL;
    env->maxdbs = dbs;
    return 0;
}

KVI_LMDB_API int mdb_env_set_maxreaders(MDB_env *env, unsigned int readers)
{
    if (env->kv || readers < 1)
        return EINVAL;
    env->maxreaders = readers;
    return 0;
}

KVI_LMDB_API int mdb_env_get_maxreaders(MDB_env *env, unsigned int *readers)
{
    if (!env || !readers)
        return EINVAL;
    *readers = env->maxreaders;
    return 0;
}

KVI_LMDB_API int mdb_env_set_flags(MDB_env *env, unsigned int flags, int onoff)
{
    if (flags & ~(unsigned)ENV_FLAGS_CHANGEABLE)
        return EINVAL;
    if (onoff)
        env->flags |= flags;
    else
        env->flags &= ~flags;
    return 0;
}

KVI_LMDB_API int mdb_env_get_flags(MDB_env *env, unsigned int *flags)
{
    if (!env || !flags)
        return EINVAL;
    *flags = env->flags;
    return 0;
}

KVI_LMDB_API int mdb_env_set_userctx(MDB_env *env, void *ctx)
{
    if (!env)
        return EINVAL;
    env->userctx = ctx;
    return 0;
}

KVI_LMDB_API void *mdb_env_get_userctx(MDB_env *env)
{
    return env ? env->userctx : NULL;
}

/* Kept, and never called: what LMDB asserts of its pages is answered with MDB_CORRUPTED here. */
KVI_LMDB_API int mdb_env_set_assert(MDB_env *env, MDB_assert_func *func)
{
    if (!env)
        return EINVAL;
    env->assert_func = func;
    return 0;
}

KVI_LMDB_API int mdb_env_get_maxkeysize(MDB_env *env)
{
    (void)env;
    return KVI_LMDB_KEY_MAX;
}

/* ---- Open and close ---- */

/* `path` and `name` in one, allocated. */
static char *join(const char *path, const char *name)
{
    char *joined = malloc(strlen(path) + strlen(name) + 1);

    if (joined) {
        strcpy(joined, path);
        strcat(joined, name);
    }
    return joined;
}

static int paths_make(MDB_env *env, const char *path)
{
    bool alone = (env->flags & MDB_NOSUBDIR) != 0;

    env->path = strdup(path);
    env->data_path = join(path, alone ? "" : "/data.mdb");
    env->lock_path = join(path, alone ? "-lock" : "/lock.mdb");
    return env->path && env->data_path && env->lock_path ? 0 : ENOMEM;
}

/* Ends all that open began, also when it came half way. */
static void env_end(MDB_env *env)
{
    kvi_lmdb_threads_end(env);
    kvi_lmdb_txns_end(env);
    kvi_lmdb_files_close(env);
    kvi_lmdb_tables_end(env);
    free(env->path);
    free(env->data_path);
    free(env->lock_path);
    env->path = NULL;
    env->data_path = NULL;
    env->lock_path = NULL;
}

KVI_LMDB_API int mdb_env_open(MDB_env *env, const char *path, unsigned int flags, mdb_mode_t mode)
{
    int rc;

    if (env->kv || env->spent || (flags & ~(unsigned)ENV_FLAGS))
        return EINVAL;
    env->flags |= flags;
    if (env->flags & MDB_RDONLY)
        env->flags &= ~(unsigned)MDB_WRITEMAP;
    env->pid = getpid();
    rc = paths_make(env, path);
    if (!rc)
        rc = kvi_lmdb_files_open(env, mode);
    if (!rc)
        rc = kvi_lmdb_tables_begin(env);
    if (!rc)
        rc = kvi_lmdb_threads_begin(env);
    if (rc) {
        env_end(env);
        env->spent = rc < 0;
    }
    return rc;
}

KVI_LMDB_API void mdb_env_close(MDB_env *env)
{
    if (!env)
        return;
    env_end(env);
    pthread_mutex_destroy(&env->mutex);
    free(env);
}
