/* SPDX-License-Identifier: MIT */
/*
 * The files of an env: names, mode bits, who may do what, locks that clients put on the data file,
 * children of fork, the same path opened twice, copies.
 */
#include "both.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void put_one(MDB_env *env, const char *key)
{
    MDB_txn *txn;
    MDB_dbi dbi;
    int rc = mdb_txn_begin(env, NULL, 0, &txn);

    if (!rc) {
        MUST(mdb_dbi_open(txn, NULL, 0, &dbi));
        rc = both_put(txn, dbi, key, "value", 0);
        rc = rc ? rc : mdb_txn_commit(txn);
    }
    see("put %s: %s", key, both_name(rc));
}

static void count(MDB_env *env, const char *when)
{
    MDB_stat stat;
    MDB_txn *txn;
    MDB_dbi dbi;
    int rc = mdb_txn_begin(env, NULL, MDB_RDONLY, &txn);

    if (rc) {
        see("%s: %s", when, both_name(rc));
        return;
    }
    MUST(mdb_dbi_open(txn, NULL, 0, &dbi));
    MUST(mdb_stat(txn, dbi, &stat));
    see("%s: %zu records", when, stat.ms_entries);
    mdb_txn_abort(txn);
}

static MDB_env *open_env(const char *path, unsigned flags, mdb_mode_t mode)
{
    MDB_env *env;

    MUST(mdb_env_create(&env));
    MUST(mdb_env_open(env, path, flags, mode));
    return env;
}

static void modes(void)
{
    static const mdb_mode_t given[] = {0600, 0644, 0666, 0777, 0755, 0640, 0400, 0200, 0, 0100644};
    static const mode_t masks[] = {0, 022, 077};

    part("modes");
    for (size_t i = 0; i < sizeof(given) / sizeof(given[0]); i++) {
        for (size_t k = 0; k < 3; k++) {
            const char *path = val_format("f%zu%zu", i, k).mv_data;

            umask(masks[k]);
            mdb_env_close(open_env(path, MDB_NOSUBDIR, given[i]));
            see_file(path);
            see_file(val_format("f%zu%zu-lock", i, k).mv_data);
        }
    }
    umask(022);
    mkdir("env", 0755);
    mdb_env_close(open_env("env", 0, 0660));
    see_folder("env");
    mkdir("nolock", 0755);
    mdb_env_close(open_env("nolock", MDB_NOLOCK, 0660));
    see_folder("nolock");
    mdb_env_close(open_env("nolock", MDB_NOLOCK | MDB_RDONLY, 0660));
    see_folder("nolock");
    mdb_env_close(open_env("nolock", MDB_RDONLY, 0666));
    see_folder("nolock");
    see("unlink: %d", unlink("nolock/lock.mdb"));
    mdb_env_close(open_env("nolock", 0, 0666));
    see_folder("nolock");
}

/* A file of 0 bytes that is there already becomes an env, and stays the same file. */
static void empty(void)
{
    struct stat before;
    struct stat after;
    MDB_env *env;

    part("empty");
    close(open("file", O_WRONLY | O_CREAT, 0604));
    stat("file", &before);
    env = open_env("file", MDB_NOSUBDIR, 0644);
    put_one(env, "a");
    mdb_env_close(env);
    stat("file", &after);
    see("the same file: %d", before.st_ino == after.st_ino);
    see_file("file");
    see_file("file-lock");
    env = open_env("file", MDB_NOSUBDIR | MDB_RDONLY, 0644);
    count(env, "again");
    mdb_env_close(env);
}

static void read_only(void)
{
    MDB_env *env;
    MDB_txn *txn;

    part("read_only");
    env = open_env(".", 0, 0644);
    put_one(env, "a");
    mdb_env_close(env);
    env = open_env(".", MDB_RDONLY, 0644);
    CALL(mdb_txn_begin(env, NULL, 0, &txn));
    CALL(mdb_txn_begin(env, NULL, MDB_NOSYNC, &txn));
    count(env, "read");
    CALL(mdb_env_copy(env, "."));
    mdb_env_close(env);
    env = open_env(".", MDB_RDONLY | MDB_NOLOCK, 0644);
    CALL(mdb_txn_begin(env, NULL, 0, &txn));
    count(env, "read");
    mdb_env_close(env);
}

/* What another process may not get at while we have a POSIX lock on the data file. */
static void see_locked(const char *path, const char *when)
{
    pid_t child = fork();
    int status = 0;

    if (child == 0) {
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        int fd = open(path, O_RDWR);

        _exit(fd < 0 ? 9 : fcntl(fd, F_SETLK, &lock) != 0);
    }
    waitpid(child, &status, 0);
    see("%s: %s", when, WEXITSTATUS(status) == 1 ? "locked" : "not locked");
}

static void client_locks(unsigned flags)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    struct flock asked = lock;
    MDB_env *env = open_env("file", MDB_NOSUBDIR | flags, 0644);
    MDB_txn *txn;
    int fd;

    see_locked("file", "ours alone");
    MUST(mdb_env_get_fd(env, &fd));
    see("access mode %d", fcntl(fd, F_GETFL) & O_ACCMODE);
    see("free: %d", fcntl(fd, F_GETLK, &asked) == 0 && asked.l_type == F_UNLCK);
    see("lock: %d", fcntl(fd, F_SETLK, &lock));
    see_locked("file", "locked");
    put_one(env, "a");
    see_locked("file", "after a commit");
    count(env, "read");
    see_locked("file", "after a read");
    MUST(mdb_env_sync(env, 1));
    MUST(mdb_env_set_mapsize(env, 4000000));
    see_locked("file", "after sync and set_mapsize");
    see_env(env);
    see_locked("file", "after info");
    CALL(mdb_env_copy(env, "copy"));
    see_locked("file", "after a copy");
    MUST(mdb_txn_begin(env, NULL, 0, &txn));
    mdb_txn_abort(txn);
    put_one(env, "b");
    see_locked("file", "after all");
    mdb_env_close(env);
    see_locked("file", "closed");
}

/* A child that goes on with an env without locks, and one that opens its own. */
static void forks(void)
{
    MDB_env *env;
    MDB_env *own;
    pid_t child;

    part("forks");
    env = open_env("file", MDB_NOSUBDIR, 0644);
    put_one(env, "a");
    mdb_env_close(env);
    env = open_env("file", MDB_NOSUBDIR | MDB_RDONLY | MDB_NOLOCK, 0644);
    count(env, "parent");
    child = fork();
    if (child == 0) {
        count(env, "child");
        own = open_env("file", MDB_NOSUBDIR, 0644);
        put_one(own, "b");
        count(own, "child's own");
        mdb_env_close(own);
        count(env, "child");
        mdb_env_close(env);
        _exit(0);
    }
    see_child(child);
    count(env, "parent");
    mdb_env_close(env);
    env = open_env("file", MDB_NOSUBDIR, 0644);
    put_one(env, "c");
    child = fork();
    if (child == 0) {
        own = open_env("file", MDB_NOSUBDIR, 0644);
        put_one(own, "d");
        count(own, "child's own");
        mdb_env_close(own);
        _exit(0);
    }
    see_child(child);
    count(env, "parent");
    put_one(env, "e");
    count(env, "parent");
    mdb_env_close(env);
}

/* A child that only closes what it inherited, as an interpreter does at its end, harms nobody. */
static void child_closes(unsigned flags)
{
    MDB_env *env = open_env("file", MDB_NOSUBDIR | flags, 0644);
    MDB_txn *reader;
    MDB_dbi dbi;
    MDB_val key = val_str("a");
    MDB_val data;
    pid_t child;

    put_one(env, "a");
    count(env, "before");
    MUST(mdb_txn_begin(env, NULL, MDB_RDONLY, &reader));
    MUST(mdb_dbi_open(reader, NULL, 0, &dbi));
    child = fork();
    if (child == 0) {
        mdb_env_close(env);
        _exit(0);
    }
    see_child(child);
    put_one(env, "b");
    CALL_PAIR(mdb_get(reader, dbi, &key, &data), &key, &data);
    mdb_txn_abort(reader);
    count(env, "after");
    mdb_env_close(env);
}

/* Another process's commits are seen at once, with locks and without. */
static void others(unsigned flags)
{
    MDB_env *env = open_env("file", MDB_NOSUBDIR | flags, 0644);
    MDB_env *reader = open_env("file", MDB_NOSUBDIR | MDB_RDONLY | flags, 0644);

    for (int i = 0; i < 3; i++) {
        pid_t child = fork();

        if (child == 0) {
            MDB_env *own = open_env("file", MDB_NOSUBDIR | flags, 0644);

            put_one(own, val_format("child%d", i).mv_data);
            mdb_env_close(own);
            _exit(0);
        }
        see_child(child);
        count(env, "first");
        count(reader, "second");
        see_env(reader);
        put_one(env, val_format("parent%d", i).mv_data);
        count(reader, "second");
    }
    mdb_env_close(env);
    count(reader, "left");
    mdb_env_close(reader);
}

static void twice(unsigned flags)
{
    MDB_env *a = open_env("file", MDB_NOSUBDIR | flags, 0644);
    MDB_env *b = open_env("file", MDB_NOSUBDIR | flags, 0644);
    MDB_env *c;

    put_one(a, "a");
    count(b, "b");
    put_one(b, "b");
    count(a, "a");
    mdb_env_close(a);
    count(b, "b");
    put_one(b, "c");
    c = open_env("file", MDB_NOSUBDIR | flags, 0644);
    count(c, "c");
    put_one(c, "d");
    mdb_env_close(b);
    put_one(c, "e");
    mdb_env_close(c);
}

/* While another process has a write txn open nothing else has to wait. */
static void busy_writer(unsigned flags)
{
    MDB_env *env;
    MDB_txn *txn;
    pid_t child;
    int up[2];
    int down[2];
    char byte;

    if (pipe(up) != 0 || pipe(down) != 0)
        exit(2);
    child = fork();
    if (child == 0) {
        env = open_env("file", MDB_NOSUBDIR | flags, 0644);
        put_one(env, "a");
        MUST(mdb_txn_begin(env, NULL, 0, &txn));
        if (write(up[1], "x", 1) != 1 || read(down[0], &byte, 1) != 1)
            _exit(2);
        mdb_txn_abort(txn);
        mdb_env_close(env);
        _exit(0);
    }
    if (read(up[0], &byte, 1) != 1)
        exit(2);
    env = open_env("file", MDB_NOSUBDIR | flags, 0644);
    count(env, "read");
    CALL(mdb_env_set_mapsize(env, 4000000));
    CALL(mdb_env_sync(env, 1));
    see_env(env);
    mdb_env_close(env);
    env = open_env("file", MDB_NOSUBDIR | MDB_RDONLY, 0644);
    count(env, "read");
    mdb_env_close(env);
    if (write(down[1], "x", 1) != 1)
        exit(2);
    see_child(child);
    for (int i = 0; i < 2; i++) {
        close(up[i]);
        close(down[i]);
    }
}

/* Files that are deleted while they are in use: the env goes on with what it has. */
static void deleted(bool data)
{
    MDB_env *env = open_env("file", MDB_NOSUBDIR, 0644);
    MDB_env *other;

    put_one(env, "a");
    see("unlink: %d", unlink("file-lock"));
    if (data)
        see("unlink: %d", unlink("file"));
    usleep(60000);
    put_one(env, "b");
    count(env, "deleted");
    if (data) {
        other = open_env("file", MDB_NOSUBDIR, 0644);
        put_one(other, "c");
        count(other, "a new one");
        usleep(60000);
        put_one(env, "d");
        count(env, "deleted");
        mdb_env_close(other);
    }
    mdb_env_close(env);
    env = open_env("file", MDB_NOSUBDIR, 0644);
    count(env, "opened again");
    mdb_env_close(env);
}

/* What is left open when an env is closed. */
static void left_open(unsigned flags)
{
    MDB_env *env = open_env("file", MDB_NOSUBDIR | flags, 0644);
    MDB_txn *txn;
    MDB_txn *reader;
    MDB_cursor *cursor;
    MDB_dbi dbi;

    put_one(env, "a");
    MUST(mdb_txn_begin(env, NULL, MDB_RDONLY, &reader));
    MUST(mdb_dbi_open(reader, NULL, 0, &dbi));
    MUST(mdb_cursor_open(reader, dbi, &cursor));
    mdb_cursor_close(cursor);
    mdb_env_close(env);
    env = open_env("file", MDB_NOSUBDIR | flags, 0644);
    count(env, "a reader was left");
    if (flags & MDB_NOLOCK) {
        MUST(mdb_txn_begin(env, NULL, 0, &txn));
        MUST(both_put(txn, dbi, "lost", "value", 0));
        mdb_env_close(env);
        env = open_env("file", MDB_NOSUBDIR | flags, 0644);
        count(env, "a writer was left");
    }
    put_one(env, "b");
    mdb_env_close(env);
}

static void copies(void)
{
    MDB_env *env;
    MDB_env *copy;
    MDB_txn *txn;
    int fd;

    part("copies");
    umask(022);
    env = both_env("env", 0);
    for (int i = 0; i < 30; i++)
        put_one(env, val_format("key%02d", i).mv_data);
    mkdir("a", 0755);
    mkdir("b", 0755);
    CALL(mdb_env_copy(env, "missing"));
    CALL(mdb_env_copy(env, "a"));
    see_folder("a");
    CALL(mdb_env_copy(env, "a"));
    CALL(mdb_env_copy2(env, "a", MDB_CP_COMPACT));
    umask(0);
    CALL(mdb_env_copy2(env, "b", MDB_CP_COMPACT));
    umask(077);
    see_folder("b");
    fd = open("c", O_RDWR | O_CREAT, 0644);
    CALL(mdb_env_copyfd(env, fd));
    close(fd);
    fd = open("d", O_RDWR | O_CREAT, 0644);
    CALL(mdb_env_copyfd2(env, fd, MDB_CP_COMPACT));
    close(fd);
    CALL(mdb_env_copyfd(env, -1));
    fd = open("/dev/full", O_WRONLY);
    CALL(mdb_env_copyfd(env, fd));
    CALL(mdb_env_copyfd2(env, fd, MDB_CP_COMPACT));
    close(fd);
    MUST(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn));
    mkdir("e", 0755);
    CALL(mdb_env_copy(env, "a"));
    CALL(mdb_env_copy(env, "e"));
    mdb_txn_abort(txn);
    mdb_env_close(env);
    for (int i = 0; i < 4; i++) {
        static const char *const paths[] = {"a", "b", "c", "d"};

        copy = open_env(paths[i], i < 2 ? 0 : MDB_NOSUBDIR, 0644);
        count(copy, paths[i]);
        put_one(copy, "one more");
        mdb_env_close(copy);
    }
    env = open_env("c", MDB_NOSUBDIR, 0644);
    CALL(mdb_env_copy(env, "f"));
    CALL(mdb_env_copy(env, "f"));
    CALL(mdb_env_copy2(env, "g", MDB_CP_COMPACT | 0x10));
    see_file("f");
    see_file("g");
    mdb_env_close(env);
}

/* Nobody reads the pipe. */
static void broken_pipes(void)
{
    static const unsigned flags[] = {MDB_CP_COMPACT, 0};
    MDB_env *env;

    part("broken_pipes");
    env = open_env("file", MDB_NOSUBDIR, 0644);
    put_one(env, "a");
    for (int i = 0; i < 2; i++) {
        pid_t child = fork();

        if (child == 0) {
            MDB_env *own = open_env("file", MDB_NOSUBDIR | MDB_RDONLY, 0644);
            int ends[2];

            signal(SIGPIPE, SIG_DFL);
            if (pipe(ends) != 0 || close(ends[0]) != 0)
                _exit(2);
            CALL(mdb_env_copyfd2(own, ends[1], flags[i]));
            mdb_env_close(own);
            _exit(0);
        }
        see_child(child);
    }
    mdb_env_close(env);
}

/* Of something empty. */
static void empty_copies(void)
{
    MDB_env *env;

    part("empty_copies");
    env = open_env("file", MDB_NOSUBDIR, 0644);
    CALL(mdb_env_copy(env, "copy"));
    CALL(mdb_env_copy2(env, "compact", MDB_CP_COMPACT));
    mdb_env_close(env);
    env = open_env("copy", MDB_NOSUBDIR, 0644);
    see_env(env);
    mdb_env_close(env);
    env = open_env("compact", MDB_NOSUBDIR | MDB_RDONLY, 0644);
    see_env(env);
    mdb_env_close(env);
}

/* A server is killed in a write txn; the next one opens at once. */
static void killed(void)
{
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    pid_t child;

    part("killed");
    child = fork();
    if (child == 0) {
        env = open_env("file", MDB_NOSUBDIR, 0644);
        put_one(env, "a");
        MUST(mdb_txn_begin(env, NULL, 0, &txn));
        MUST(mdb_dbi_open(txn, NULL, 0, &dbi));
        MUST(both_put(txn, dbi, "lost", "value", 0));
        kill(getpid(), SIGKILL);
    }
    see_child(child);
    env = open_env("file", MDB_NOSUBDIR, 0644);
    count(env, "after");
    put_one(env, "b");
    mdb_env_close(env);
}

static void run(const struct both *both)
{
    (void)both;
    modes();
    empty();
    read_only();
    part("client_locks");
    client_locks(0);
    part("client_locks_nolock");
    client_locks(MDB_NOLOCK);
    part("client_locks_writemap");
    client_locks(MDB_WRITEMAP);
    forks();
    part("child_closes");
    child_closes(0);
    part("child_closes_notls");
    child_closes(MDB_NOTLS);
    part("child_closes_nolock");
    child_closes(MDB_NOLOCK);
    part("others");
    others(0);
    part("others_nolock");
    others(MDB_NOLOCK);
    part("others_writemap");
    others(MDB_WRITEMAP);
    part("others_nosync");
    others(MDB_NOSYNC);
    part("twice");
    twice(MDB_NOTLS);
    part("twice_nolock");
    twice(MDB_NOLOCK);
    part("busy_writer");
    busy_writer(0);
    part("busy_writer_writemap");
    busy_writer(MDB_WRITEMAP);
    part("deleted_lock");
    deleted(false);
    part("deleted_both");
    deleted(true);
    part("left_open");
    left_open(0);
    part("left_open_notls");
    left_open(MDB_NOTLS);
    part("left_open_nolock");
    left_open(MDB_NOLOCK);
    copies();
    empty_copies();
    broken_pipes();
    killed();
}

BOTH_MAIN(run)
