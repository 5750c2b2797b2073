/* SPDX-License-Identifier: MIT */
/*
 * Owns the list of this process's open lock files and what happens to them at fork: the child
 * closes the descriptor that locks are taken through, and learns from a wiped page that its handles
 * are its parent's. Makes and ends the mappings that keep the "I live" locks (docs/LOCKFILE.md, L2
 * and L3).
 *
 * A fork waits for the registry's mutex, so between kvi_fork_enter and kvi_fork_leave no child can
 * be made that has a descriptor which the handler does not know. Children made by a bare system
 * call run no handler: the page is wiped all the same, and the mappings are not theirs.
 *
 * Any thread may call these. Entries are freed by who added them.
 */
#include "txn/lockfile_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "kv.h"

#define HERE_BYTES 4096u
#define HOLD_BYTES 4096u

static pthread_mutex_t registry_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct kvi_lockfile *registry; /* registry_mutex */
static pthread_once_t handlers_once = PTHREAD_ONCE_INIT;
static int handlers_rc;

void kvi_fork_enter(void)
{
    (void)pthread_mutex_lock(&registry_mutex);
}

void kvi_fork_leave(void)
{
    (void)pthread_mutex_unlock(&registry_mutex);
}

/* An env that was opened read-only without locks is as good in a child: it has its own copy of the
 * state. */
static bool works_on(const struct kvi_lockfile *lockfile)
{
    return lockfile->without_file && lockfile->read_only;
}

static void forked_child(void)
{
    for (struct kvi_lockfile *l = registry; l; l = l->registry_next) {
        if (!works_on(l))
            atomic_store_explicit(l->here, 0, memory_order_relaxed);
        if (l->lock.fd >= 0)
            (void)kvi_os->close(l->lock.fd);
        l->lock.fd = -1;
    }
    kvi_fork_leave();
}

static void install_handlers(void)
{
    handlers_rc = pthread_atfork(kvi_fork_enter, kvi_fork_leave, forked_child);
}

/* ---- Registry ---- */

/* Kernels without MADV_WIPEONFORK leave it to the handler alone. */
static int make_here(struct kvi_lockfile *lockfile)
{
    void *page;
    int rc = kvi_os->map_anon(HERE_BYTES, &page);

    if (rc)
        return rc;
    if (!works_on(lockfile))
        (void)kvi_os->advise(page, HERE_BYTES, MADV_WIPEONFORK);
    lockfile->here = page;
    atomic_store_explicit(lockfile->here, 1, memory_order_relaxed);
    return 0;
}

int kvi_fork_add(struct kvi_lockfile *lockfile)
{
    int rc;

    (void)pthread_once(&handlers_once, install_handlers);
    if (handlers_rc)
        return handlers_rc;
    rc = make_here(lockfile);
    if (rc)
        return rc;
    kvi_fork_enter();
    lockfile->registry_prev = NULL;
    lockfile->registry_next = registry;
    if (registry)
        registry->registry_prev = lockfile;
    registry = lockfile;
    kvi_fork_leave();
    return 0;
}

void kvi_fork_remove(struct kvi_lockfile *lockfile)
{
    if (!lockfile->here)
        return;
    kvi_fork_enter();
    if (lockfile->registry_prev)
        lockfile->registry_prev->registry_next = lockfile->registry_next;
    else
        registry = lockfile->registry_next;
    if (lockfile->registry_next)
        lockfile->registry_next->registry_prev = lockfile->registry_prev;
    kvi_fork_leave();
    (void)kvi_os->unmap(lockfile->here, HERE_BYTES);
    lockfile->here = NULL;
}

bool kvi_lockfile_forked(const struct kvi_lockfile *lockfile)
{
    return atomic_load_explicit(lockfile->here, memory_order_relaxed) == 0;
}

const _Atomic(uint64_t) *kvi_lockfile_here(const struct kvi_lockfile *lockfile)
{
    return lockfile->here;
}

/* ---- Open file descriptions ---- */

static int same_file(const struct kvi_bound_file *file, int fd)
{
    struct kvi_os_stat st;
    int rc = kvi_os->stat_fd(fd, &st);

    if (rc)
        return rc;
    return st.dev == file->dev && st.inode == file->inode ? 0 : ESTALE;
}

int kvi_fork_reopen(const struct kvi_bound_file *file, int flags, int *fd_out)
{
    char proc_path[64];
    int rc;

    (void)snprintf(proc_path, sizeof(proc_path), "/proc/self/fd/%d", file->fd);
    rc = kvi_os->open(proc_path, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0, fd_out);
    if (rc) /* no /proc here */
        rc = kvi_os->open(file->path, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0, fd_out);
    if (rc)
        return kvi_error(rc, "%s: cannot be opened once more: %s", file->path, kvi_strerror(rc));
    rc = same_file(file, *fd_out);
    if (rc) {
        (void)kvi_os->close(*fd_out);
        *fd_out = -1;
        return kvi_error(rc, "%s: replaced while it was being opened", file->path);
    }
    return 0;
}

int kvi_fork_hold(int fd, void **hold_out)
{
    void *hold = NULL;
    int rc = kvi_os->map(fd, 0, HOLD_BYTES, false, &hold);

    *hold_out = NULL;
    if (!rc)
        rc = kvi_os->advise(hold, HOLD_BYTES, MADV_DONTFORK);
    if (rc && hold)
        (void)kvi_os->unmap(hold, HOLD_BYTES);
    else
        *hold_out = hold;
    (void)kvi_os->close(fd);
    return rc ? kvi_error(rc, "locks cannot be held by a mapping: %s", kvi_strerror(rc)) : 0;
}

void kvi_fork_unhold(void **hold)
{
    if (*hold)
        (void)kvi_os->unmap(*hold, HOLD_BYTES);
    *hold = NULL;
}
