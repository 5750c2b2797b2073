/* SPDX-License-Identifier: MIT */
/*
 * Several processes in one env: in turns, killed in the midst of a txn, as readers that nobody ended,
 * with a shared writable map, without locks; and locks of the client's own on the data file.
 *
 * Processes take turns by two pipes, so that what they print has one order.
 */
#include "both.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS 12

/* ---- Turns ----------------------------------------------------------------------------------- */

static int to_child[2];
static int to_parent[2];

static void turns_begin(void)
{
    MUST(pipe(to_child) ? errno : 0);
    MUST(pipe(to_parent) ? errno : 0);
}

static void turns_end(void)
{
    for (int i = 0; i < 2; i++) {
        (void)close(to_child[i]);
        (void)close(to_parent[i]);
    }
}

static void give(const int *pipe_to)
{
    MUST(write(pipe_to[1], "x", 1) == 1 ? 0 : EIO);
}

static void take(const int *pipe_from)
{
    char byte;

    MUST(read(pipe_from[0], &byte, 1) == 1 ? 0 : EIO);
}

/* The parent lets the child have one turn. */
static void turn_of_child(void)
{
    give(to_child);
    take(to_parent);
}

static int start(void (*child)(void))
{
    int pid;

    (void)fflush(stdout);
    pid = fork();
    MUST(pid < 0 ? errno : 0);
    if (pid == 0) {
        child();
        (void)fflush(stdout);
        _exit(0);
    }
    return pid;
}

/* ---- What is done with an env ---------------------------------------------------------------- */

/* After a writer was killed a recovery may have used up a txnid: they are then not told. */
static bool ids_are_told = true;

static size_t told_id(size_t id)
{
    return ids_are_told ? id : 0;
}

static void add(MDB_env *env, const char *who, int number, unsigned count)
{
    MDB_txn *txn = NULL;
    MDB_dbi dbi = 0;
    int rc = mdb_txn_begin(env, NULL, 0, &txn);

    see("%s writes %d: %s %zu", who, number, both_name(rc), rc ? 0 : told_id(mdb_txn_id(txn)));
    if (rc) {
        return;
    }
    MUST(mdb_dbi_open(txn, NULL, 0, &dbi));
    for (unsigned i = 0; i < count; i++) {
        MDB_val key = val_format("%s-%04d-%03u", who, number, i);
        MDB_val data = val_filled((uint64_t)number * 1000 + i, 100 + i % 900);

        MUST(mdb_put(txn, dbi, &key, &data, 0));
    }
    CALL(mdb_txn_commit(txn));
}

static void look(MDB_env *env, const char *who)
{
    MDB_txn *txn = NULL;
    MDB_dbi dbi = 0;
    int rc = mdb_txn_begin(env, NULL, MDB_RDONLY, &txn);

    see("%s looks: %s %zu", who, both_name(rc), rc ? 0 : told_id(mdb_txn_id(txn)));
    if (rc) {
        return;
    }
    MUST(mdb_dbi_open(txn, NULL, 0, &dbi));
    see_table(txn, dbi, 0);
    mdb_txn_abort(txn);
}

static unsigned env_flags;

/* Page counts of tables of this size are each library's own. */
static void see_info(MDB_env *env)
{
    MDB_envinfo info;
    MDB_stat stat;

    CALL(mdb_env_info(env, &info));
    CALL(mdb_env_stat(env, &stat));
    if (!(env_flags & MDB_NOTLS)) { /* another process's slots are known while they are held */
        see("  numreaders %u", info.me_numreaders);
    }
    see("  mapsize %zu, last txnid %zu, entries %zu", info.me_mapsize, told_id(info.me_last_txnid),
        stat.ms_entries);
}

/* ---- In turns -------------------------------------------------------------------------------- */

static void child_in_turns(void)
{
    MDB_env *env;

    take(to_child);
    env = both_env("env", env_flags);
    see_info(env);
    for (int i = 0; i < ROUNDS; i++) {
        look(env, "child");
        add(env, "child", i, 1 + (unsigned)i * 7);
        give(to_parent);
        take(to_child);
    }
    mdb_env_close(env);
    give(to_parent);
}

static void in_turns(const char *name, unsigned flags)
{
    MDB_env *env;
    int pid;

    part(name);
    env_flags = flags;
    turns_begin();
    pid = start(child_in_turns);
    env = both_env("env", flags);
    for (int i = 0; i < ROUNDS; i++) {
        add(env, "parent", i, 20);
        look(env, "parent");
        turn_of_child();
        look(env, "parent");
    }
    see_info(env);
    turn_of_child();
    see_child(pid);
    look(env, "parent");
    mdb_env_close(env);
    turns_end();
    env = both_env("env", flags);
    look(env, "parent");
    see_info(env);
    mdb_env_close(env);
}

/* ---- Killed ---------------------------------------------------------------------------------- */

/* A server that commits, and is in the midst of another txn when it is killed. */
static void child_killed_writing(void)
{
    MDB_env *env = both_env("env", env_flags);
    MDB_txn *txn;
    MDB_dbi dbi;

    add(env, "child", 1, 50);
    add(env, "child", 2, 50);
    txn = both_begin(env, NULL, 0);
    MUST(mdb_dbi_open(txn, NULL, 0, &dbi));
    for (unsigned i = 0; i < 500; i++) {
        MDB_val key = val_format("lost-%u", i);
        MDB_val data = val_filled(i, 3000);

        MUST(mdb_put(txn, dbi, &key, &data, 0));
    }
    give(to_parent);
    (void)pause();
}

static void killed_writing(const char *name, unsigned flags, bool is_open)
{
    MDB_env *env = NULL;
    int pid;

    part(name);
    env_flags = flags;
    ids_are_told = false;
    turns_begin();
    pid = start(child_killed_writing);
    take(to_parent);
    if (is_open) {
        env = both_env("env", flags);
        look(env, "parent");
    }
    MUST(kill(pid, SIGKILL) ? errno : 0);
    see_child(pid);
    if (!is_open) {
        env = both_env("env", flags);
    }
    look(env, "parent");
    add(env, "parent", 1, 30);
    look(env, "parent");
    see_info(env);
    mdb_env_close(env);
    turns_end();
    env = both_env("env", flags);
    look(env, "parent");
    mdb_env_close(env);
    ids_are_told = true;
}

static void child_killed_reading(void)
{
    MDB_env *env = both_env("env", MDB_NOTLS);
    MDB_txn *txns[3];

    for (int i = 0; i < 3; i++) {
        txns[i] = both_begin(env, NULL, MDB_RDONLY);
    }
    mdb_txn_reset(txns[2]);
    give(to_parent);
    (void)pause();
}

static int count_line(const char *text, void *count)
{
    (void)text;
    ++*(int *)count;
    return 0;
}

static void see_readers(MDB_env *env)
{
    int lines = 0;
    int dead = -1;
    int rc = mdb_reader_list(env, count_line, &lines);

    see("  reader list %s, %d lines", rc < 0 ? both_name(rc) : "ok", lines);
    CALL(mdb_reader_check(env, &dead));
    see("  dead %d", dead);
}

static void killed_reading(void)
{
    MDB_env *env;
    int pid;

    part("killed-reading");
    turns_begin();
    env = both_env("env", MDB_NOTLS);
    add(env, "parent", 1, 10);
    see_readers(env);
    pid = start(child_killed_reading);
    take(to_parent);
    see_readers(env);
    MUST(kill(pid, SIGKILL) ? errno : 0);
    see_child(pid);
    see_readers(env);
    see_readers(env);
    for (int i = 2; i < 30; i++) {
        add(env, "parent", i, 10);
    }
    look(env, "parent");
    mdb_env_close(env);
    turns_end();
}

/* ---- Files ----------------------------------------------------------------------------------- */

static void lock_file_unlinked(void)
{
    MDB_env *env;

    part("lock-file-unlinked");
    env = both_env("env", 0);
    add(env, "parent", 1, 10);
    mdb_env_close(env);
    see_folder("env");
    MUST(unlink("env/lock.mdb") ? errno : 0);
    env = both_env("env", 0);
    look(env, "parent");
    add(env, "parent", 2, 10);
    mdb_env_close(env);
    see_folder("env");
}

/* The child goes on reading the parent's env, which LMDB's users do with these flags. */
static MDB_env *shared_env;

static void child_reads_on(void)
{
    look(shared_env, "child");
    take(to_child);
    look(shared_env, "child");
    give(to_parent);
}

static void child_reads(void)
{
    MDB_env *writer;
    int pid;

    part("child-reads-on");
    writer = both_env("env", 0);
    add(writer, "parent", 1, 10);
    mdb_env_close(writer);
    turns_begin();
    shared_env = both_env("env", MDB_RDONLY | MDB_NOLOCK);
    look(shared_env, "parent");
    give(to_child); /* the child's second look, which the first one does not wait for */
    pid = start(child_reads_on);
    take(to_parent);
    see_child(pid);
    look(shared_env, "parent");
    mdb_env_close(shared_env);
    turns_end();
}

/* ---- Locks of the client's own --------------------------------------------------------------- */

static void see_lock(MDB_env *env)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    mdb_filehandle_t fd = -1;
    int pid;

    MUST(mdb_env_get_fd(env, &fd));
    (void)fflush(stdout);
    pid = fork();
    if (pid == 0) {
        int rc = fcntl(fd, F_GETLK, &lock);

        see("  the lock: %s, %s", rc ? both_name(errno) : "ok",
            lock.l_type == F_UNLCK   ? "nobody's"
            : lock.l_type == F_WRLCK ? "held"
                                     : "shared");
        (void)fflush(stdout);
        _exit(0);
    }
    see_child(pid);
}

static void own_locks(void)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    mdb_filehandle_t fd = -1;
    MDB_env *env;
    MDB_env *other;

    part("own-locks");
    env = both_env("env", 0);
    see_lock(env);
    MUST(mdb_env_get_fd(env, &fd));
    see("lock: %s", fcntl(fd, F_SETLK, &lock) ? both_name(errno) : "ok");
    see_lock(env);
    add(env, "parent", 1, 300);
    see_lock(env);
    other = both_env("other", 0);
    add(other, "parent", 1, 10);
    look(other, "parent");
    mdb_env_close(other);
    see_lock(env);
    look(env, "parent");
    CALL(mdb_env_sync(env, 1));
    MUST(mkdir("copy", 0755) ? errno : 0);
    CALL(mdb_env_copy(env, "copy"));
    CALL(mdb_env_set_mapsize(env, (size_t)64 << 20));
    add(env, "parent", 2, 3000);
    see_lock(env);
    lock.l_type = F_UNLCK;
    see("unlock: %s", fcntl(fd, F_SETLK, &lock) ? both_name(errno) : "ok");
    see_lock(env);
    mdb_env_close(env);
}

static void run(const struct both *both)
{
    (void)both;
    in_turns("turns", 0);
    in_turns("turns-nosync", MDB_NOSYNC | MDB_NOTLS);
    in_turns("turns-writemap", MDB_WRITEMAP | MDB_NOSYNC);
    in_turns("turns-nolock", MDB_NOLOCK | MDB_NOSYNC);
    killed_writing("killed", 0, false);
    killed_writing("killed-nosync", MDB_NOSYNC, false);
    killed_writing("killed-nosync-open", MDB_NOSYNC, true);
    killed_writing("killed-writemap", MDB_NOSYNC | MDB_WRITEMAP, false);
    killed_writing("killed-nometasync-open", MDB_NOMETASYNC, true);
    killed_reading();
    lock_file_unlinked();
    child_reads();
    own_locks();
}

BOTH_MAIN(run)
