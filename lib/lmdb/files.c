/* SPDX-License-Identifier: MIT */
/*
 * The files of an env, data.mdb and lock.mdb or FILE and FILE-lock, and the size of its map.
 *
 * Genuine LMDB programs may come to the same folder. Their data file is refused before anything of
 * theirs is touched, and ours is no LMDB file to them; but before they look at it they write the
 * lock file anew unless somebody holds a lock on its first byte. So that byte is held, shared, as
 * long as an env is open (the guard); a lock file that was written over while nobody had it open is
 * made anew by the next open.
 */
#include "lmdb/lmdb_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FILES_LEAST_PAGES 2u /* LMDB's metas */
#define FILES_RESERVE_MIN                                                                          \
    ((uint64_t)1 << 40)                   /* bytes of address space, what kv.h takes by itself */
#define FILES_MAP_MAX ((uint64_t)1 << 46) /* bytes: no process has room for more */
#define FILES_FILLED_MIN 65536u           /* bytes: a new database has a meta slot there */
#define FILES_RESERVE_SHARE 8u            /* of what a process may have at most */
#define FILES_GUARD_TRIES 200             /* a millisecond each */

/* ---- The guard ---- */

/* Without it all works as long as no genuine LMDB comes: never an error. */
static void guard_take(MDB_env *env)
{
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
    const struct timespec pause = {0, 1000000};

    env->guard = open(env->lock_path, O_RDONLY | O_CLOEXEC);
    for (int i = 0; env->guard >= 0 && i < FILES_GUARD_TRIES; i++) {
        if (!fcntl(env->guard, F_OFD_SETLK, &lock) || (errno != EAGAIN && errno != EACCES))
            return;
        (void)nanosleep(&pause, NULL);
    }
}

/* ---- What is kept ---- */

/* The map's size is kv.h's limit; the size of the reader table, which LMDB reads off its lock file,
 * stands in the marker. */
struct marker {
    uint32_t magic;
    uint32_t maxreaders;
    uint8_t zeros[KV_MARKER_BYTES - 8];
};

#define MARKER_MAGIC 0x424d4c4bu

_Static_assert(sizeof(struct marker) == KV_MARKER_BYTES, "one marker");

int kvi_lmdb_kept(struct kv_txn *kv, struct kvi_lmdb_kept *kept_out)
{
    struct marker marker;
    int rc = kv_limit_get(kv, &kept_out->mapsize);

    if (!rc)
        rc = kv_marker_get(kv, &marker);
    kept_out->maxreaders = !rc && marker.magic == MARKER_MAGIC ? marker.maxreaders : 0;
    return rc;
}

int kvi_lmdb_files_keep(const MDB_env *env, struct kv_txn *kv)
{
    uint64_t mapsize = env->mapsize ? env->mapsize : KVI_LMDB_MAPSIZE;
    struct marker marker = {.magic = MARKER_MAGIC, .maxreaders = env->maxreaders};
    struct kvi_lmdb_kept kept;
    int rc = kvi_lmdb_kept(kv, &kept);

    if (!rc && kept.mapsize < mapsize)
        rc = kv_limit_set(kv, mapsize);
    if (!rc && env->locked && kept.maxreaders < env->maxreaders)
        rc = kv_marker_set(kv, &marker, sizeof(marker));
    return kvi_lmdb_result(rc);
}

/* ---- The map's size ---- */

/* LMDB cuts the file to a writable map that is smaller. Others might be writing. */
static int cut_file(MDB_env *env, size_t size)
{
    struct kv_env_info info;
    uint64_t cut;
    int rc = kv_env_info(env->kv, &info);

    if (rc || info.file_size_bytes <= size || info.processes > 1)
        return rc;
    return kv_env_trim(env->kv, 0, &cut);
}

/* What is in use fits into the largest map that was ever asked for, as LMDB counts, though the file
 * may be longer. */
static size_t size_least(const MDB_env *env, const struct kvi_lmdb_peek *peek, size_t size)
{
    uint64_t least = kvi_lmdb_pages(&peek->stat) * env->page_size;

    if (peek->kept.mapsize && least > peek->kept.mapsize)
        least = peek->kept.mapsize;
    if (least < FILES_LEAST_PAGES * KVI_LMDB_PAGE)
        least = FILES_LEAST_PAGES * KVI_LMDB_PAGE;
    return size < least ? (size_t)least : size;
}

int kvi_lmdb_files_size(MDB_env *env, size_t size)
{
    struct kvi_lmdb_peek peek;
    bool writable = (env->flags & MDB_WRITEMAP) != 0;
    uint64_t limit;
    int rc = kvi_lmdb_peek(env, &peek);

    if (rc)
        return rc;
    if (!size)
        size = peek.kept.mapsize ? (size_t)peek.kept.mapsize : KVI_LMDB_MAPSIZE;
    size = size_least(env, &peek, size);
    if (size > FILES_MAP_MAX)
        return ENOMEM;
    limit = kvi_lmdb_limit(size);
    rc = kv_env_resize(env->kv, writable ? size : 0, limit);
    if (!rc && writable)
        rc = cut_file(env, size);
    if (rc)
        return rc == KV_ESIZELIMIT ? ENOMEM : kvi_lmdb_result(rc);
    env->mapsize = size;
    atomic_store(&env->limit, limit);
    env->weighed_bytes = 0;
    return 0;
}

/* ---- Open and close ---- */

/* Bytes of a plain file; 0 if there is none. */
static uint64_t size_of(const char *path)
{
    struct stat st;

    return !stat(path, &st) && S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
}

/* Files that KV_FILL_EMPTY may be asked for: empty ones, and those as long as a crash in the middle
 * of that leaves them. Shorter ones are what LMDB calls invalid, zeros or not. */
static bool is_fillable(const MDB_env *env)
{
    uint64_t size = size_of(env->data_path);

    return size == 0 || size > FILES_FILLED_MIN;
}

/* Address space for the mapping: what kv.h takes by itself (0), but for maps that are larger, and
 * where the process may not have much: then as much as LMDB would. */
static uint64_t reserve_of(const MDB_env *env)
{
    uint64_t limit = kvi_lmdb_limit(env->mapsize ? env->mapsize : KVI_LMDB_MAPSIZE);
    uint64_t file = size_of(env->data_path);
    struct rlimit space;

    if (limit > FILES_RESERVE_MIN)
        return limit;
    if (getrlimit(RLIMIT_AS, &space) || space.rlim_cur == RLIM_INFINITY)
        return 0;
    if (limit < space.rlim_cur / FILES_RESERVE_SHARE)
        limit = space.rlim_cur / FILES_RESERVE_SHARE; /* the map may be made larger */
    return limit > file ? limit : file;
}

static struct kv_options options_of(const MDB_env *env, mdb_mode_t mode,
                                    const struct marker *marker)
{
    struct kv_options options = KV_OPTIONS_INIT;

    options.flags = KV_NODATALOCK;
    if (is_fillable(env))
        options.flags |= KV_FILL_EMPTY;
    options.flags |= env->flags & MDB_RDONLY ? KV_READONLY : KV_CREATE;
    if (!env->locked)
        options.flags |= KV_NOLOCK; /* nor is there a reader table that could be full */
    else
        options.max_readers = env->maxreaders;
    options.page_size = KVI_LMDB_PAGE;
    options.mode = mode & 0777u;
    options.lock_path = env->lock_path;
    options.first_limit_bytes = env->mapsize ? env->mapsize : KVI_LMDB_MAPSIZE;
    options.first_marker = marker;
    options.reserve_bytes = reserve_of(env);
    return options;
}

/* Another process may be filling the file just now, and have come half way. */
static bool fillable_later(const MDB_env *env, const struct kv_options *options)
{
    const struct timespec pause = {0, 2000000};

    if (options->flags & KV_FILL_EMPTY)
        return false;
    (void)nanosleep(&pause, NULL);
    return is_fillable(env);
}

/* As LMDB goes on without locks where the lock file lies on a read-only file system. */
static int open_store(MDB_env *env, mdb_mode_t mode)
{
    struct marker marker = {.magic = MARKER_MAGIC, .maxreaders = env->maxreaders};
    struct kv_options options = options_of(env, mode, &marker);
    int rc = kv_env_open(env->data_path, &options, &env->kv);
    bool again = true;

    if (rc == EROFS && env->locked && (env->flags & MDB_RDONLY))
        env->locked = false;
    else if (rc != KV_ENOTDB || !fillable_later(env, &options))
        again = false;
    if (again) {
        options = options_of(env, mode, &marker);
        rc = kv_env_open(env->data_path, &options, &env->kv);
    }
    if (rc == KV_ENOTDB && (env->flags & MDB_RDONLY) && size_of(env->data_path) == 0)
        return EBADF; /* LMDB would make it an env, and cannot write */
    return rc == KV_ESIZELIMIT ? ENOMEM : kvi_lmdb_result(rc);
}

/* The size of the reader table, which the first of those that have the database open can enlarge.
 * If it is another than asked for, the store has to be told so at its open. */
static int open_again(MDB_env *env, mdb_mode_t mode, const struct kv_env_info *info)
{
    struct kvi_lmdb_peek peek;
    int rc = kvi_lmdb_peek(env, &peek);

    if (rc || !env->locked || !peek.kept.maxreaders || peek.kept.maxreaders == env->maxreaders)
        return rc;
    if (peek.kept.maxreaders < env->maxreaders && info->processes <= 1)
        return 0;
    env->maxreaders = peek.kept.maxreaders;
    rc = kv_env_close(env->kv);
    env->kv = NULL;
    return rc ? kvi_lmdb_result(rc) : open_store(env, mode);
}

/* A file that nobody may open is made so beforehand: to kv.h mode 0 means the default. */
static void make_secret(const MDB_env *env, mdb_mode_t mode)
{
    int fd;

    if (mode & 0777u || env->flags & MDB_RDONLY)
        return;
    fd = open(env->data_path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0);
    if (fd >= 0)
        (void)close(fd);
}

int kvi_lmdb_files_open(MDB_env *env, mdb_mode_t mode)
{
    struct kv_env_info info;
    int rc;

    if (env->mapsize > FILES_MAP_MAX)
        return ENOMEM;
    if (!*env->data_path)
        return ENOENT;
    env->locked = !(env->flags & MDB_NOLOCK);
    make_secret(env, mode);
    rc = open_store(env, mode);
    if (rc)
        return rc;
    if (env->locked)
        guard_take(env);
    rc = kvi_lmdb_result(kv_env_info(env->kv, &info));
    if (!rc)
        env->page_size = info.page_size;
    if (!rc)
        rc = open_again(env, mode, &info);
    if (!rc)
        rc = kvi_lmdb_files_size(env, env->mapsize);
    return rc ? rc : kvi_lmdb_result(kv_env_on_full(env->kv, kvi_lmdb_full, env));
}

void kvi_lmdb_files_close(MDB_env *env)
{
    (void)kv_env_close(env->kv);
    env->kv = NULL;
    if (env->guard >= 0)
        (void)close(env->guard);
    env->guard = -1;
}
