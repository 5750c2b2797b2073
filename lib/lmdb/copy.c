/* SPDX-License-Identifier: MIT */
/*
 * Copies of an env: of the snapshot that a read txn of the calling thread sees, so that all is
 * refused that would refuse one. A copy gets its name when it is whole, with the bits 0666 less
 * umask. Any thread; writers are not held up.
 */
#include "lmdb/lmdb_impl.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define COPY_MODE 0666u

/* What was never written to is copied as it is: LMDB calls its state 0, and the copy's too. */
static struct kv_copy_options options_of(const MDB_txn *txn, unsigned flags)
{
    struct kv_copy_options options = {0};

    if ((flags & MDB_CP_COMPACT) && kvi_lmdb_txnid(kv_txn_id(txn->kv)) > 0)
        options.flags = KV_COPY_COMPACT;
    options.mode = COPY_MODE;
    return options;
}

static int copy_to_path(MDB_env *env, const char *path, unsigned flags)
{
    struct kv_copy_options options;
    struct stat st;
    MDB_txn *txn;
    int rc;

    if (!lstat(path, &st)) /* before what a read txn may be refused for */
        return EEXIST;
    rc = mdb_txn_begin(env, NULL, MDB_RDONLY, &txn);
    if (rc)
        return rc;
    options = options_of(txn, flags);
    rc = kvi_lmdb_result(kv_env_copy(txn->kv, path, &options));
    mdb_txn_abort(txn);
    return rc;
}

KVI_LMDB_API int mdb_env_copy2(MDB_env *env, const char *path, unsigned int flags)
{
    static const char name[] = "/data.mdb";
    char *joined;
    int rc;

    if (env->flags & MDB_NOSUBDIR)
        return copy_to_path(env, path, flags);
    joined = malloc(strlen(path) + sizeof(name));
    if (!joined)
        return ENOMEM;
    strcpy(joined, path);
    strcat(joined, name);
    rc = copy_to_path(env, joined, flags);
    free(joined);
    return rc;
}

KVI_LMDB_API int mdb_env_copy(MDB_env *env, const char *path)
{
    return mdb_env_copy2(env, path, 0);
}

/* A compacting copy into a pipe that nobody reads any more is EPIPE, and no signal, as in LMDB. */
static int copy_quietly(struct kv_txn *kv, int fd, const struct kv_copy_options *options)
{
    const struct timespec at_once = {0, 0};
    sigset_t pipe_signal;
    sigset_t before;
    int rc;

    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    rc = pthread_sigmask(SIG_BLOCK, &pipe_signal, &before);
    if (rc)
        return rc;
    rc = kv_env_copy_fd(kv, fd, options);
    if (rc == EPIPE && !sigismember(&before, SIGPIPE))
        (void)sigtimedwait(&pipe_signal, NULL, &at_once);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

KVI_LMDB_API int mdb_env_copyfd2(MDB_env *env, mdb_filehandle_t fd, unsigned int flags)
{
    struct kv_copy_options options;
    MDB_txn *txn;
    int rc = mdb_txn_begin(env, NULL, MDB_RDONLY, &txn);

    if (rc)
        return rc;
    options = options_of(txn, flags);
    if (fd < 0)
        rc = EBADF;
    else if (flags & MDB_CP_COMPACT)
        rc = kvi_lmdb_result(copy_quietly(txn->kv, fd, &options));
    else
        rc = kvi_lmdb_result(kv_env_copy_fd(txn->kv, fd, &options));
    mdb_txn_abort(txn);
    return rc;
}

KVI_LMDB_API int mdb_env_copyfd(MDB_env *env, mdb_filehandle_t fd)
{
    return mdb_env_copyfd2(env, fd, 0);
}
