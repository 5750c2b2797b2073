/* SPDX-License-Identifier: MIT */
/*
 * The reader table: its list and check, slots of threads and of txns, and when it is full.
 */
#include "both.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct heard {
    int calls;
    int stop_at;
    int result;
};

/* A line with what varies replaced. */
static int hear(const char *line, void *context)
{
    struct heard *heard = context;
    int pid;
    size_t thread;
    char txnid[32];
    char again[100];
    const char *who = "another process";

    heard->calls++;
    if (sscanf(line, "%d %zx %31s", &pid, &thread, txnid) == 3) {
        snprintf(again, sizeof(again), "%10d %zx %s\n", pid, thread, txnid);
        if (pid == getpid())
            who = thread == (size_t)pthread_self() ? "this thread" : "this process";
        see("  reader: %s, txnid %s%s", who, txnid, strcmp(line, again) ? ", other form" : "");
    } else {
        see("  line: [%.*s]%s", (int)strcspn(line, "\n"), line,
            line[strlen(line) - 1] == '\n' ? "" : " without end");
    }
    return heard->calls == heard->stop_at ? heard->result : heard->result + 1;
}

static void list(MDB_env *env, const char *when)
{
    struct heard heard = {0, 0, 0};
    MDB_envinfo info;
    int rc = mdb_reader_list(env, hear, &heard);

    see("%s: %d after %d calls", when, rc, heard.calls);
    MUST(mdb_env_info(env, &info));
    see("  numreaders %u", info.me_numreaders);
}

static void check(MDB_env *env)
{
    int dead = 77;
    int rc = mdb_reader_check(env, &dead);

    see("check: %s, %d dead", both_name(rc), dead);
    see("check: %s", both_name(mdb_reader_check(env, NULL)));
}

static void stop(MDB_env *env, int at, int result)
{
    struct heard heard = {0, at, result};
    int rc = mdb_reader_list(env, hear, &heard);

    see("stop at %d with %d: %d after %d calls", at, result, rc, heard.calls);
}

static void put_one(MDB_env *env, const char *key)
{
    MDB_txn *txn = both_begin(env, NULL, 0);
    MDB_dbi dbi;

    MUST(mdb_dbi_open(txn, NULL, 0, &dbi));
    MUST(both_put(txn, dbi, key, "value", 0));
    MUST(mdb_txn_commit(txn));
}

static void one_thread(unsigned flags)
{
    MDB_env *env = both_env("env", flags);
    MDB_txn *txn;
    MDB_txn *second;

    check(env);
    list(env, "new");
    MUST(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn));
    list(env, "begun");
    see("id %zu", mdb_txn_id(txn));
    CALL(mdb_txn_begin(env, NULL, MDB_RDONLY, &second));
    list(env, "twice");
    if (flags & (MDB_NOTLS | MDB_NOLOCK))
        mdb_txn_abort(second);
    list(env, "the second ended");
    put_one(env, "a");
    put_one(env, "b");
    list(env, "after commits");
    mdb_txn_reset(txn);
    list(env, "reset");
    CALL(mdb_txn_begin(env, NULL, MDB_RDONLY, &second));
    see("id %zu", mdb_txn_id(second));
    list(env, "another while one is reset");
    if (flags & (MDB_NOTLS | MDB_NOLOCK)) {
        CALL(mdb_txn_renew(txn));
        see("id %zu", mdb_txn_id(txn));
        list(env, "renewed");
    } else {
        CALL(mdb_txn_renew(txn));
    }
    stop(env, 1, -5);
    stop(env, 2, -6);
    stop(env, 9, 40);
    stop(env, 2, -1);
    CALL(mdb_txn_commit(second));
    list(env, "committed");
    mdb_txn_abort(txn);
    list(env, "aborted");
    check(env);
    mdb_env_close(env);
}

static void table_full(unsigned flags)
{
    MDB_env *env;
    MDB_txn *txns[4];
    MDB_txn *writer;
    MDB_stat stat;
    int rc = 0;
    int count = 0;

    CALL(mdb_env_create(&env));
    CALL(mdb_env_set_maxreaders(env, 3));
    CALL(mdb_env_open(env, "full", MDB_NOSUBDIR | flags, 0644));
    while (count < 3 && !rc) {
        rc = mdb_txn_begin(env, NULL, MDB_RDONLY, &txns[count]);
        see("reader %d: %s", count, both_name(rc));
        count += !rc;
    }
    rc = mdb_txn_begin(env, NULL, MDB_RDONLY, &txns[3]);
    see("one more: %s", both_name(rc));
    if (!rc)
        mdb_txn_abort(txns[3]);
    list(env, "full");
    CALL(mdb_env_stat(env, &stat));
    see("entries %zu", stat.ms_entries);
    put_one(env, "a");
    CALL(mdb_env_stat(env, &stat));
    see("entries %zu", stat.ms_entries);
    writer = both_begin(env, NULL, 0);
    CALL(mdb_env_stat(env, &stat));
    see("entries %zu", stat.ms_entries);
    see_env(env);
    mdb_txn_abort(writer);
    CALL(mdb_env_copy(env, "copy"));
    mdb_txn_reset(txns[0]);
    list(env, "one is reset");
    rc = mdb_txn_begin(env, NULL, MDB_RDONLY, &txns[3]);
    see("a slot of a reset one: %s", both_name(rc));
    if (!rc)
        mdb_txn_abort(txns[3]);
    mdb_txn_abort(txns[0]);
    CALL(mdb_txn_begin(env, NULL, MDB_RDONLY, &txns[0]));
    for (int i = 0; i < count; i++)
        mdb_txn_abort(txns[i]);
    list(env, "ended");
    mdb_env_close(env);
}

/* ---- Threads ---- */

struct work {
    MDB_env *env;
    pthread_barrier_t *barrier;
    int rc;
    bool leave_open;
};

static void *read_once(void *context)
{
    struct work *work = context;
    MDB_txn *txn;

    work->rc = mdb_txn_begin(work->env, NULL, MDB_RDONLY, &txn);
    if (work->leave_open)
        return NULL;
    if (!work->rc)
        mdb_txn_abort(txn);
    pthread_barrier_wait(work->barrier);
    pthread_barrier_wait(work->barrier);
    return NULL;
}

static void threads(void)
{
    MDB_env *env = both_env("env", 0);
    pthread_barrier_t barrier;
    pthread_t thread[3];
    struct work work = {env, &barrier, 0, false};

    pthread_barrier_init(&barrier, NULL, 4);
    for (int i = 0; i < 3; i++)
        pthread_create(&thread[i], NULL, read_once, &work);
    pthread_barrier_wait(&barrier);
    list(env, "three threads have read");
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < 3; i++)
        pthread_join(thread[i], NULL);
    list(env, "and have ended");
    see("%s", both_name(work.rc));
    mdb_env_close(env);
    pthread_barrier_destroy(&barrier);
}

/* More threads than there are slots end inside of a read txn each. */
static void leavers(void)
{
    MDB_env *env;
    int failed = 0;

    CALL(mdb_env_create(&env));
    CALL(mdb_env_set_maxreaders(env, 4));
    CALL(mdb_env_open(env, "leavers", MDB_NOSUBDIR, 0644));
    for (int i = 0; i < 20; i++) {
        struct work work = {env, NULL, 0, true};
        pthread_t thread;

        pthread_create(&thread, NULL, read_once, &work);
        pthread_join(thread, NULL);
        failed += work.rc != 0;
    }
    see("%d failed", failed);
    mdb_env_close(env);
}

/* ---- Processes ---- */

static void processes(void)
{
    MDB_env *env;
    MDB_txn *txn;
    pid_t child;
    int up[2];
    int down[2];
    char byte;

    part("processes");
    if (pipe(up) != 0 || pipe(down) != 0)
        exit(2);
    child = fork();
    if (child == 0) {
        if (read(down[0], &byte, 1) != 1)
            _exit(2);
        env = both_env("env", 0);
        put_one(env, "child");
        if (mdb_txn_begin(env, NULL, MDB_RDONLY, &txn) || write(up[1], "x", 1) != 1)
            _exit(2);
        pause();
    }
    env = both_env("env", 0);
    MUST(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn));
    if (write(down[1], "x", 1) != 1 || read(up[0], &byte, 1) != 1)
        exit(2);
    list(env, "both read");
    check(env);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    list(env, "the other was killed");
    check(env);
    check(env);
    list(env, "cleared");
    mdb_txn_abort(txn);
    put_one(env, "parent");
    mdb_env_close(env);
    env = both_env("env", 0);
    list(env, "opened anew");
    check(env);
    mdb_env_close(env);
}

/* A process dies inside a read txn with nobody else there: the next one meets no trace of it. */
static void died_alone(void)
{
    MDB_env *env;
    pid_t child;

    part("died_alone");
    child = fork();
    if (child == 0) {
        MDB_txn *txn;

        env = both_env("env", 0);
        put_one(env, "child");
        MUST(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn));
        kill(getpid(), SIGKILL);
    }
    waitpid(child, NULL, 0);
    env = both_env("env", 0);
    list(env, "opened");
    check(env);
    see_env(env);
    mdb_env_close(env);
}

static void run(const struct both *both)
{
    (void)both;
    part("tls");
    one_thread(0);
    part("notls");
    one_thread(MDB_NOTLS);
    part("nolock");
    one_thread(MDB_NOLOCK);
    part("nolock_notls");
    one_thread(MDB_NOLOCK | MDB_NOTLS);
    part("full");
    mkdir("copy", 0755);
    table_full(MDB_NOTLS);
    part("full_nolock");
    mkdir("copy", 0755);
    table_full(MDB_NOTLS | MDB_NOLOCK);
    part("threads");
    threads();
    part("leavers");
    leavers();
    processes();
    died_alone();
}

BOTH_MAIN(run)
