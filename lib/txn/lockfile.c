/* SPDX-License-Identifier: MIT */
/*
 * Owns opening and closing a lock file: the order of docs/LOCKFILE.md section 3. What it is bound
 * to is lockfile_bind.c's, slots and locks have sources of their own.
 *
 * The opening lock is held from before the head is looked at until kvi_lockfile_ready, and from
 * kvi_lockfile_leave to the end. Closing gives back in the order in which others may rely on:
 * reader slots, process byte, epoch byte, opening lock.
 *
 * Threads: one opens and one closes; between, any.
 */
#include "txn/lockfile_impl.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/error.h"
#include "kv.h"

#define OPEN_TRIES 100        /* while somebody keeps deleting or replacing the lock file */
#define LOCK_PAGE_BYTES 4096u /* the system's pages are not smaller */
#define OPEN_FLAGS (O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)

static _Atomic(uint64_t) ids_given;

/* ---- The file ---- */

/* A plain file with this one name: nothing that another program uses under another one. */
static int file_check(struct kvi_lockfile *lockfile)
{
    struct kvi_os_stat st;
    int rc = kvi_os->stat_fd(lockfile->lock.fd, &st);

    if (rc)
        return rc;
    if (!S_ISREG(st.mode))
        return kvi_error(KV_EBUSY, "%s: not a plain file", lockfile->lock.path);
    if (st.links > 1)
        return kvi_error(KV_EBUSY, "%s: has other names", lockfile->lock.path);
    lockfile->lock.dev = st.dev;
    lockfile->lock.inode = st.inode;
    return st.links ? 0 : EAGAIN;
}

/* Opens what is there or makes it; EAGAIN when it came or went in between. No fork may happen
 * meanwhile, so that no child has a descriptor that its handler does not know. */
static int file_open(struct kvi_lockfile *lockfile)
{
    int *fd = &lockfile->lock.fd;
    int rc;

    kvi_fork_enter();
    rc = kvi_os->open(lockfile->lock.path, OPEN_FLAGS, 0, fd);
    if (rc == ENOENT) {
        rc = kvi_os->open(lockfile->lock.path, OPEN_FLAGS | O_CREAT | O_EXCL, lockfile->mode, fd);
        rc = rc == EEXIST ? EAGAIN : rc;
    }
    if (rc)
        *fd = -1;
    kvi_fork_leave();
    if (rc && rc != EAGAIN)
        return kvi_error(rc, "%s: %s", lockfile->lock.path, kvi_strerror(rc));
    return rc ? rc : file_check(lockfile);
}

static void file_close(struct kvi_lockfile *lockfile)
{
    kvi_fork_enter();
    if (lockfile->lock.fd >= 0)
        (void)kvi_os->close(lockfile->lock.fd);
    lockfile->lock.fd = -1;
    kvi_fork_leave();
}

/* Whether the path names the file that is open: 0, EAGAIN if not. */
static int path_names(const struct kvi_bound_file *file)
{
    struct kvi_os_stat st;
    int rc = kvi_os->stat_path(file->path, &st);

    if (rc == ENOENT)
        return EAGAIN;
    if (rc)
        return kvi_error(rc, "%s: %s", file->path, kvi_strerror(rc));
    return st.dev == file->dev && st.inode == file->inode ? 0 : EAGAIN;
}

static int lock_opening(struct kvi_lockfile *lockfile)
{
    int rc = kvi_lock_byte(lockfile, KVI_LOCK_OPENING, KVI_OPENING_WAIT_MS);

    if (rc == EAGAIN)
        return kvi_error(KV_EBUSY, "%s: another process does not finish opening or closing",
                         lockfile->data.path);
    lockfile->opening = rc == 0;
    return rc;
}

static int obtain_once(struct kvi_lockfile *lockfile)
{
    int rc = file_open(lockfile);

    if (!rc)
        rc = lock_opening(lockfile);
    if (!rc)
        rc = path_names(&lockfile->lock);
    if (rc) {
        file_close(lockfile);
        lockfile->opening = false;
    }
    return rc;
}

/* The file at the path, with the opening lock. */
static int obtain_file(struct kvi_lockfile *lockfile)
{
    int rc = EAGAIN;

    for (int i = 0; i < OPEN_TRIES && rc == EAGAIN; i++)
        rc = obtain_once(lockfile);
    return rc == EAGAIN ? kvi_error(KV_EBUSY, "%s: keeps being replaced", lockfile->lock.path) : rc;
}

static int guard_map(struct kvi_lockfile *lockfile)
{
    const struct kvi_guard_area area = {
        .base = lockfile->base,
        .size_bytes = KVI_LOCK_MAP_BYTES,
        .unit_bytes = LOCK_PAGE_BYTES,
        .kind = KVI_GUARD_LOCK,
        .writable = true,
        .left_by_fork = true,
    };

    return lockfile->mark ? kvi_guard_add(lockfile->mark, &area, &lockfile->guarded) : 0;
}

/* Children must not get the mapping: it would keep the open file description, and with it our
 * locks, alive, and what they might write there would hit their parent. */
static int map_file(struct kvi_lockfile *lockfile)
{
    void *base = NULL;
    int rc = kvi_os->map(lockfile->lock.fd, 0, KVI_LOCK_MAP_BYTES, true, &base);

    if (rc)
        return kvi_error(rc, "%s: %s", lockfile->lock.path, kvi_strerror(rc));
    lockfile->base = base;
    lockfile->head = base;
    rc = kvi_os->advise(base, KVI_LOCK_MAP_BYTES, MADV_DONTFORK);
    return rc ? rc : guard_map(lockfile);
}

/* ---- The struct ---- */

/* Absolute, so that chdir does not make us look elsewhere. */
static char *path_absolute(const char *path)
{
    char *absolute = realpath(path, NULL);

    return absolute ? absolute : strdup(path);
}

static int data_take(struct kvi_lockfile *lockfile, const struct kvi_lockfile_options *options)
{
    struct kvi_os_stat st;
    int rc;

    lockfile->data.path = path_absolute(options->data_path ? options->data_path : "");
    if (!lockfile->data.path)
        return ENOMEM;
    lockfile->data.fd = options->data_fd;
    if (lockfile->without_file)
        return 0;
    rc = kvi_os->stat_fd(options->data_fd, &st);
    if (rc)
        return kvi_error(rc, "%s: %s", lockfile->data.path, kvi_strerror(rc));
    lockfile->data.dev = st.dev;
    lockfile->data.inode = st.inode;
    return path_names(&lockfile->data);
}

static int locks_init(struct kvi_lockfile *lockfile)
{
    int rc = pthread_mutex_init(&lockfile->growing, NULL);

    for (unsigned i = 0; i < KVI_GATES && !rc; i++)
        rc = kvi_gate_init(&lockfile->gates[i]);
    return rc;
}

static int make(const struct kvi_lockfile_options *options, struct kvi_lockfile **lockfile_out)
{
    struct kvi_lockfile *lockfile = calloc(1, sizeof(*lockfile));
    int rc;

    *lockfile_out = lockfile;
    if (!lockfile)
        return ENOMEM;
    lockfile->lock.fd = -1;
    lockfile->id = atomic_fetch_add(&ids_given, 1) + 1;
    lockfile->pid = (uint64_t)kvi_os->pid();
    lockfile->without_file = options->path == NULL;
    lockfile->read_only = options->read_only;
    lockfile->exclusive = options->exclusive;
    lockfile->data_unlocked = options->data_unlocked;
    lockfile->data_writable = options->data_writable;
    lockfile->max_readers = options->max_readers;
    lockfile->mode = options->mode;
    memcpy(lockfile->file_id, options->file_id, sizeof(lockfile->file_id));
    lockfile->lock.path = strdup(options->path ? options->path : "");
    if (!lockfile->lock.path)
        return ENOMEM;
    lockfile->mark = options->mark;
    rc = locks_init(lockfile);
    if (!rc)
        rc = kvi_fork_add(lockfile);
    if (!rc && lockfile->mark)
        atomic_store(&lockfile->mark->word, lockfile->here);
    return rc ? rc : data_take(lockfile, options);
}

/* A child's mutexes may be held by threads that it does not have: they are left as they are. */
static void free_memory(struct kvi_lockfile *lockfile, bool forked)
{
    kvi_fork_remove(lockfile);
    if (!forked) {
        for (unsigned i = 0; i < KVI_GATES; i++)
            kvi_gate_release(&lockfile->gates[i]);
        (void)pthread_mutex_destroy(&lockfile->growing);
    }
    free(lockfile->lock.path);
    free(lockfile->data.path);
    free(lockfile);
}

/* ---- Open ---- */

static int open_shared(struct kvi_lockfile *lockfile, bool *first_out, bool *boot_same_out)
{
    char *absolute;
    int rc = obtain_file(lockfile);

    if (rc)
        return rc;
    absolute = path_absolute(lockfile->lock.path);
    if (!absolute)
        return ENOMEM;
    free(lockfile->lock.path);
    lockfile->lock.path = absolute;
    rc = path_names(&lockfile->data); /* others may have put another there while we waited */
    if (!rc)
        rc = kvi_bind_supported(lockfile);
    if (!rc)
        rc = map_file(lockfile);
    if (!rc)
        rc = kvi_bind(lockfile, first_out, boot_same_out);
    return rc ? rc : kvi_process_enter(lockfile);
}

static int open_private(struct kvi_lockfile *lockfile, bool *first_out)
{
    void *base = NULL;
    int rc = kvi_os->map_anon(KVI_LOCK_MAP_BYTES, &base);

    if (rc)
        return rc;
    lockfile->base = base;
    lockfile->head = base;
    atomic_store_explicit(&lockfile->chunks, 1, memory_order_relaxed);
    *first_out = true;
    return kvi_process_enter(lockfile);
}

int kvi_lockfile_open(const struct kvi_lockfile_options *options,
                      struct kvi_lockfile **lockfile_out, bool *first_out, bool *boot_same_out)
{
    struct kvi_lockfile *lockfile = NULL;
    int rc;

    *lockfile_out = NULL;
    *first_out = false;
    *boot_same_out = false;
    rc = make(options, &lockfile);
    if (!rc)
        rc = lockfile->without_file ? open_private(lockfile, first_out)
                                    : open_shared(lockfile, first_out, boot_same_out);
    if (rc) {
        *first_out = false;
        *boot_same_out = false;
        kvi_lockfile_close(lockfile);
        return rc;
    }
    *lockfile_out = lockfile;
    return 0;
}

static void unlock_opening(struct kvi_lockfile *lockfile)
{
    if (!lockfile->opening)
        return;
    lockfile->opening = false;
    kvi_unlock_byte(lockfile, KVI_LOCK_OPENING);
}

void kvi_lockfile_ready(struct kvi_lockfile *lockfile)
{
    atomic_store_explicit(&lockfile->head->shared.ready, 1, memory_order_release);
    unlock_opening(lockfile);
}

struct kvi_shared *kvi_lockfile_shared(struct kvi_lockfile *lockfile)
{
    return &lockfile->head->shared;
}

/* ---- Close ---- */

int kvi_lockfile_leave(struct kvi_lockfile *lockfile, bool *last_out)
{
    bool others = false;
    int rc;

    *last_out = lockfile->without_file && !kvi_lockfile_forked(lockfile);
    if (lockfile->without_file || kvi_lockfile_forked(lockfile))
        return 0;
    rc = lockfile->opening ? 0 : lock_opening(lockfile);
    if (!rc)
        rc = kvi_process_others(lockfile, &others);
    *last_out = !rc && !others;
    return rc;
}

/* In a child the mappings are not there, or its own copy. */
static void close_mappings(struct kvi_lockfile *lockfile, bool forked)
{
    if (lockfile->self && !lockfile->without_file && !forked)
        kvi_readers_free(lockfile);
    kvi_guard_remove(lockfile->guarded);
    lockfile->guarded = NULL;
    if (lockfile->mark)
        atomic_store(&lockfile->mark->word, NULL);
    if (forked && !lockfile->without_file)
        return;
    kvi_fork_unhold(&lockfile->process_hold);
    kvi_fork_unhold(&lockfile->data_hold);
    if (lockfile->base)
        (void)kvi_os->unmap(lockfile->base, KVI_LOCK_MAP_BYTES);
}

void kvi_lockfile_close(struct kvi_lockfile *lockfile)
{
    bool forked;

    if (!lockfile)
        return;
    forked = lockfile->here && kvi_lockfile_forked(lockfile);
    close_mappings(lockfile, forked);
    file_close(lockfile); /* the opening lock ends here */
    free_memory(lockfile, forked);
}
