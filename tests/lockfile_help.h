/* SPDX-License-Identifier: MIT */
/*
 * For tests of the lock file: a data file with real metas, opens of its lock file, and helpers that
 * are other processes, driven over pipes and killed at will.
 */
#ifndef LOCKFILE_HELP_H
#define LOCKFILE_HELP_H

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "format/meta.h"
#include "harness.h"
#include "kv.h"
#include "os/os.h"
#include "txn/lockfile_impl.h"

/* One open of a database's lock file, with the data descriptor that goes with it. */
struct user {
    struct kvi_lockfile *l;
    int fd;
    bool first;
    bool boot_same;
};

/* What an open may do otherwise. */
struct how {
    uint8_t id; /* fills the file id; 0: 1 */
    bool exclusive;
    bool read_only;
    bool leave_opening; /* no kvi_lockfile_ready */
    uint32_t max_readers;
    const char *lock; /* NULL: data path + "-lock" */
};

static inline const char *lock_name(const char *data)
{
    return tmp_path("%s-lock", strrchr(data, '/') + 1);
}

static inline void write_meta(const char *data, uint8_t id)
{
    struct kvi_meta meta = {
        .page_size = 4096, .snap = {.pgno = 2, .tag = 7}, .txnid = 1, .base = 1, .page_end = 32};
    uint8_t slot[KVI_META_BYTES];
    int fd = open(data, O_RDWR | O_CREAT | O_CLOEXEC, 0644);

    ck_assert_int_ge(fd, 0);
    memset(meta.file_id, id, sizeof(meta.file_id));
    kvi_meta_encode(&meta, slot);
    ck_assert_int_eq(pwrite(fd, slot, sizeof(slot), 0), sizeof(slot));
    ck_assert_int_eq(pwrite(fd, slot, sizeof(slot), KVI_META_SLOT_1_OFFSET), sizeof(slot));
    ck_assert_int_eq(ftruncate(fd, 131072), 0);
    close(fd);
}

static inline const char *new_data(const char *name)
{
    const char *path = tmp_path("%s", name);

    unlink(path);
    unlink(lock_name(path));
    write_meta(path, 1);
    return path;
}

static inline int user_open(const char *data, const struct how *how, struct user *user)
{
    static const struct how plain;
    struct kvi_lockfile_options o = {.data_path = data, .mode = 0640};
    int rc;

    how = how ? how : &plain;
    memset(user, 0, sizeof(*user));
    user->fd = open(data, O_RDWR | O_CLOEXEC);
    if (user->fd < 0)
        return errno;
    o.path = how->lock ? how->lock : lock_name(data);
    o.data_fd = user->fd;
    memset(o.file_id, how->id ? how->id : 1, sizeof(o.file_id));
    o.exclusive = how->exclusive;
    o.read_only = how->read_only;
    o.max_readers = how->max_readers;
    rc = kvi_lockfile_open(&o, &user->l, &user->first, &user->boot_same);
    if (rc) {
        close(user->fd);
        user->fd = -1;
        return rc;
    }
    if (!how->leave_opening)
        kvi_lockfile_ready(user->l);
    return 0;
}

/* Closes as an env does; what the last one does about a clean end is told. */
static inline bool user_close(struct user *user)
{
    bool last = false;

    ck_ok(kvi_lockfile_leave(user->l, &last));
    if (last)
        atomic_store(&kvi_lockfile_shared(user->l)->ready, 0);
    kvi_lockfile_close(user->l);
    close(user->fd);
    user->l = NULL;
    return last;
}

/* Nobody holds any of the locks. */
static inline void all_is_free(struct user *u)
{
    ck_ok(kvi_lockfile_lock_writer(u->l, 0));
    ck_ok(kvi_lockfile_lock_flush(u->l, 0));
    ck_ok(kvi_lock_byte(u->l, KVI_LOCK_GROWING, 0));
    kvi_unlock_byte(u->l, KVI_LOCK_GROWING);
    kvi_lockfile_unlock_flush(u->l);
    kvi_lockfile_unlock_writer(u->l);
}

/* ---- Other processes ------------------------------------------------------------------------- */

struct helper {
    pid_t pid;
    int to;
    int from;
};

/* The helper's side of the pipes. */
static int helper_in;
static int helper_out;

/* In a helper: tells that a point was reached, and waits to be told to go on. */
static inline void helper_tell(char c)
{
    if (write(helper_out, &c, 1) != 1)
        _exit(99);
}

static inline void helper_wait(void)
{
    char c;

    if (read(helper_in, &c, 1) != 1)
        _exit(98);
}

static inline void helper_stop(void)
{
    helper_tell('r');
    helper_wait();
}

/* Runs fn in a forked process; its result is the exit status. */
static inline struct helper helper_start(int (*fn)(const void *), const void *arg)
{
    int to[2];
    int from[2];
    struct helper h;

    ck_assert_int_eq(pipe2(to, O_CLOEXEC), 0);
    ck_assert_int_eq(pipe2(from, O_CLOEXEC), 0);
    fflush(NULL);
    h.pid = fork();
    ck_assert_int_ge(h.pid, 0);
    if (h.pid == 0) {
        close(to[1]);
        close(from[0]);
        helper_in = to[0];
        helper_out = from[1];
        _exit(fn(arg));
    }
    close(to[0]);
    close(from[1]);
    h.to = to[1];
    h.from = from[0];
    return h;
}

/* Waits until the helper tells something; 0 when it ended instead. */
static inline char helper_hear(struct helper *h)
{
    char c = 0;

    return read(h->from, &c, 1) == 1 ? c : 0;
}

static inline void helper_go(struct helper *h)
{
    ck_assert_int_eq(write(h->to, "g", 1), 1);
}

static inline int helper_end(struct helper *h)
{
    int status = 0;

    close(h->to);
    close(h->from);
    ck_assert_int_eq(waitpid(h->pid, &status, 0), h->pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static inline void helper_kill(struct helper *h)
{
    ck_assert_int_eq(kill(h->pid, SIGKILL), 0);
    ck_assert_int_eq(helper_end(h), -SIGKILL);
}

/* A helper that opened the database and waits; arg: path of the data file. */
static inline int helper_opened(const void *arg)
{
    struct user u;

    if (user_open(arg, NULL, &u))
        return 1;
    helper_stop();
    user_close(&u);
    return 0;
}

static inline struct helper helper_with(int (*fn)(const void *), const void *arg)
{
    struct helper h = helper_start(fn, arg);

    ck_assert_int_eq(helper_hear(&h), 'r');
    return h;
}

#endif
