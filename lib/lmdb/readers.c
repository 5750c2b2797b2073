/* SPDX-License-Identifier: MIT */
/*
 * Readers: the read txn that each thread keeps for itself, the reader list and its check.
 *
 * Without MDB_NOTLS LMDB binds a slot of the reader table to a thread: the thread has one read txn
 * at a time, a second one is MDB_BAD_RSLOT, and between txns the slot stays its own, listed with no
 * txnid. Here a thread keeps a kv read txn, which is reset between uses. With MDB_NOTLS, and where
 * there is no lock file, each read txn has a kv txn of its own.
 *
 * Threads: the list of an env's thread readers is guarded by env->mutex, what is in one belongs to
 * its thread, or, once that is gone, to whoever ends the txn. A thread's end runs forget_thread; as
 * in LMDB it must not meet mdb_env_close of another thread.
 */
#include "lmdb/lmdb_impl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

unsigned kvi_lmdb_readers_seen(MDB_env *env, unsigned now)
{
    unsigned seen = atomic_load(&env->readers_seen);

    while (seen < now && !atomic_compare_exchange_weak(&env->readers_seen, &seen, now))
        ;
    return seen < now ? now : seen;
}

/* ---- Readers of threads ---- */

/* Takes it out of the env's list; env->mutex is held. */
static void unlink_thread(struct kvi_lmdb_thread *thread)
{
    struct kvi_lmdb_thread **link = &thread->env->threads;

    while (*link && *link != thread)
        link = &(*link)->next;
    if (*link)
        *link = thread->next;
}

static void free_thread(struct kvi_lmdb_thread *thread)
{
    MDB_env *env = thread->env;

    pthread_mutex_lock(&env->mutex);
    unlink_thread(thread);
    pthread_mutex_unlock(&env->mutex);
    kv_txn_abort(thread->kv);
    free(thread->spare);
    free(thread);
}

/* Its thread ends. A txn that still lives may have been handed on, against the rules: it goes on. */
static void forget_thread(void *value)
{
    struct kvi_lmdb_thread *thread = value;
    MDB_env *env = thread->env;
    bool busy;

    pthread_mutex_lock(&env->mutex);
    busy = thread->busy;
    thread->gone = true;
    pthread_mutex_unlock(&env->mutex);
    if (!busy)
        free_thread(thread);
}

int kvi_lmdb_threads_begin(MDB_env *env)
{
    int rc;

    if (!env->locked || (env->flags & MDB_NOTLS))
        return 0;
    rc = pthread_key_create(&env->thread_key, forget_thread);
    env->thread_key_made = rc == 0;
    return rc;
}

void kvi_lmdb_threads_end(MDB_env *env)
{
    struct kvi_lmdb_thread *thread;

    if (env->thread_key_made)
        pthread_key_delete(env->thread_key);
    env->thread_key_made = false;
    while ((thread = env->threads) != NULL) {
        env->threads = thread->next;
        if (thread->txn)
            kvi_lmdb_txn_disown(thread->txn);
        kv_txn_abort(thread->kv);
        free(thread->spare);
        free(thread);
    }
}

/* The calling thread's, made if it is the first time. */
static int thread_find(MDB_env *env, struct kvi_lmdb_thread **thread_out)
{
    struct kvi_lmdb_thread *thread = pthread_getspecific(env->thread_key);
    unsigned count = 0;
    int rc;

    *thread_out = thread;
    if (thread)
        return 0;
    thread = calloc(1, sizeof(*thread));
    if (!thread)
        return ENOMEM;
    thread->env = env;
    rc = kv_txn_begin(env->kv, KV_READ, NULL, &thread->kv);
    if (!rc)
        rc = pthread_setspecific(env->thread_key, thread);
    if (rc) {
        kv_txn_abort(thread->kv);
        free(thread);
        return rc;
    }
    kv_txn_reset(thread->kv);
    pthread_mutex_lock(&env->mutex);
    thread->next = env->threads;
    env->threads = thread;
    for (const struct kvi_lmdb_thread *t = thread; t; t = t->next)
        count++;
    pthread_mutex_unlock(&env->mutex);
    (void)kvi_lmdb_readers_seen(env, count);
    *thread_out = thread;
    return 0;
}

/* A thread that ended inside a read txn, out of the env's list; NULL: none. */
static struct kvi_lmdb_thread *gone_take(MDB_env *env)
{
    struct kvi_lmdb_thread *thread;

    pthread_mutex_lock(&env->mutex);
    thread = env->threads;
    while (thread && !(thread->gone && thread->txn))
        thread = thread->next;
    if (thread)
        unlink_thread(thread);
    pthread_mutex_unlock(&env->mutex);
    return thread;
}

/* LMDB takes a thread's slot back at its end, in a txn or not. Here it is left to the txn, which
 * somebody may go on with, until no other way is left. */
static void reap_gone(MDB_env *env)
{
    static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
    struct kvi_lmdb_thread *thread;

    pthread_mutex_lock(&one_at_a_time); /* who comes second finds it done */
    while ((thread = gone_take(env)) != NULL) {
        kvi_lmdb_txn_disown(thread->txn);
        kv_txn_abort(thread->kv);
        free(thread->spare);
        free(thread);
    }
    pthread_mutex_unlock(&one_at_a_time);
}

static int begin_in_thread(MDB_env *env, struct kvi_lmdb_thread **thread_out,
                           struct kv_txn **kv_out)
{
    struct kvi_lmdb_thread *thread;
    int rc = thread_find(env, &thread);

    if (rc == KV_EREADERS) {
        reap_gone(env);
        rc = thread_find(env, &thread);
    }
    if (rc)
        return kvi_lmdb_result(rc);
    if (thread->busy)
        return MDB_BAD_RSLOT;
    rc = kv_txn_renew(thread->kv);
    if (rc)
        return kvi_lmdb_result(rc);
    thread->busy = true;
    *thread_out = thread;
    *kv_out = thread->kv;
    return 0;
}

/* ---- Read txns ---- */

int kvi_lmdb_reader_begin(MDB_env *env, struct kvi_lmdb_thread **thread_out, struct kv_txn **kv_out)
{
    int rc;

    *thread_out = NULL;
    *kv_out = NULL;
    if (env->thread_key_made)
        return begin_in_thread(env, thread_out, kv_out);
    rc = kv_txn_begin(env->kv, KV_READ, NULL, kv_out);
    if (!rc)
        (void)kvi_lmdb_readers_seen(env, atomic_fetch_add(&env->readers_now, 1) + 1);
    return kvi_lmdb_result(rc);
}

void kvi_lmdb_reader_end(MDB_env *env, struct kvi_lmdb_thread *thread, struct kv_txn *kv)
{
    bool gone;

    if (!thread) {
        if (kv)
            atomic_fetch_sub(&env->readers_now, 1);
        kv_txn_abort(kv);
        return;
    }
    kv_txn_reset(thread->kv);
    if (!thread->busy)
        return;
    pthread_mutex_lock(&env->mutex);
    thread->busy = false;
    gone = thread->gone;
    pthread_mutex_unlock(&env->mutex);
    if (gone)
        free_thread(thread);
}

/* ---- The list ---- */

static int count_reader(void *context, const struct kv_reader *reader)
{
    (void)reader;
    ++*(unsigned *)context;
    return 0;
}

int kvi_lmdb_readers_most(MDB_env *env, unsigned *count_out)
{
    unsigned held = 0;
    int rc = kv_env_readers(env->kv, count_reader, &held);

    *count_out = kvi_lmdb_readers_seen(env, held);
    return kvi_lmdb_result(rc);
}

struct list {
    MDB_msg_func *func;
    void *context;
    bool begun; /* the heading was told */
    unsigned count;
    int result; /* of the last call: what mdb_reader_list returns */
};

/* For kv_env_readers: a result of 1 ends it. */
static int tell_reader(void *context, const struct kv_reader *reader)
{
    struct list *list = context;
    char line[80];

    list->count++;
    if (reader->txnid)
        (void)snprintf(line, sizeof(line), "%10d %zx %zu\n", (int)reader->pid,
                       (size_t)reader->thread, kvi_lmdb_txnid(reader->txnid));
    else
        (void)snprintf(line, sizeof(line), "%10d %zx -\n", (int)reader->pid,
                       (size_t)reader->thread);
    if (!list->begun) {
        list->begun = true;
        list->result = list->func("    pid     thread     txnid\n", list->context);
        if (list->result < 0)
            return 1;
    }
    list->result = list->func(line, list->context);
    return list->result < 0;
}

KVI_LMDB_API int mdb_reader_list(MDB_env *env, MDB_msg_func *func, void *ctx)
{
    struct list list = {func, ctx, false, 0, 0};
    int rc;

    if (!env || !func)
        return -1;
    if (!env->kv || !env->locked)
        return func("(no reader locks)\n", ctx);
    rc = kv_env_readers(env->kv, tell_reader, &list);
    if (rc && rc != 1)
        return kvi_lmdb_result(rc);
    (void)kvi_lmdb_readers_seen(env, list.count);
    if (!list.begun)
        list.result = func("(no active readers)\n", ctx);
    return list.result;
}

KVI_LMDB_API int mdb_reader_check(MDB_env *env, int *dead)
{
    uint64_t cleared = 0;
    int rc;

    if (!env)
        return EINVAL;
    if (dead)
        *dead = 0;
    if (!env->kv || !env->locked)
        return 0;
    rc = kv_env_readers_clear(env->kv, &cleared);
    if (!rc && dead)
        *dead = (int)cleared;
    return kvi_lmdb_result(rc);
}
