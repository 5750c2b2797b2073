/* SPDX-License-Identifier: MIT */
/*
 * fork: a child can use none of its parent's handles and harm none of what its parent holds, may
 * open the same database for itself, and keeps nothing alive when the parent has gone.
 */
#include "harness.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kv.h"
#include "ledger.h"
#include "worker.h"

static struct kv_env *open_fresh(const char *path)
{
    struct kv_options options = KV_OPTIONS_INIT;
    struct kv_env *env;
    uint64_t seq;

    tmp_clear();
    options.flags = KV_CREATE;
    options.durability = KV_LAZY;
    ck_ok(kv_env_open(path, &options, &env));
    for (unsigned i = 0; i < 4; i++)
        ck_ok(ledger_step(env, NULL, &seq));
    return env;
}

static int differ(const char *what, int rc, int expected)
{
    if (rc == expected)
        return 0;
    fprintf(stderr, "%s: %d (%s), not %d\n", what, rc, kv_strerror(rc), expected);
    return 1;
}

/* ---- The parent's handles ---- */

struct handles {
    struct kv_env *env;
    struct kv_txn *reader;
    struct kv_txn *writer;
    struct kv_cursor *cursor;
    const char *path;
};

static int use_env(const struct handles *h)
{
    struct kv_env_info info;
    struct kv_txn *txn;
    uint64_t seq;
    int bad = 0;

    bad += differ("begin", kv_txn_begin(h->env, KV_READ, NULL, &txn), KV_EFORKED);
    bad += differ("begin", kv_txn_begin(h->env, KV_WRITE, NULL, &txn), KV_EFORKED);
    bad += differ("begin", kv_txn_begin(h->env, KV_WRITE | KV_TRY, NULL, &txn), KV_EFORKED);
    bad += differ("step", ledger_step(h->env, NULL, &seq), KV_EFORKED);
    bad += differ("sync", kv_env_sync(h->env), KV_EFORKED);
    bad += differ("info", kv_env_info(h->env, &info), KV_EFORKED);
    bad += differ("trim", kv_env_trim(h->env, 0, NULL), KV_EFORKED);
    bad += differ("check", kv_env_check(h->env, NULL), KV_EFORKED);
    bad += differ("readers", kv_env_readers(h->env, NULL, NULL), KV_EFORKED);
    bad += differ("table close", kv_table_close(h->env, 1), KV_EFORKED);
    return bad;
}

static int use_txn(struct kv_txn *txn)
{
    struct kv_val key = {3, (void *)"abc"};
    struct kv_val value = {3, (void *)"def"};
    struct kv_table_stat table_stat;
    struct kv_env_stat stat;
    struct kv_cursor *cursor;
    kv_table table;
    int bad = 0;

    bad += differ("get", kv_get(txn, KV_MAIN_TABLE, &key, &value), KV_EFORKED);
    bad += differ("put", kv_put(txn, KV_MAIN_TABLE, &key, &value, 0), KV_EFORKED);
    bad += differ("del", kv_del(txn, KV_MAIN_TABLE, &key, NULL), KV_EFORKED);
    bad += differ("replace", kv_replace(txn, KV_MAIN_TABLE, &key, &value, &value), KV_EFORKED);
    bad += differ("table open", kv_table_open(txn, "alpha", 0, NULL, &table), KV_EFORKED);
    bad += differ("empty", kv_table_empty(txn, KV_MAIN_TABLE), KV_EFORKED);
    bad += differ("table stat", kv_table_stat(txn, KV_MAIN_TABLE, &table_stat), KV_EFORKED);
    bad += differ("stat", kv_env_stat(txn, &stat), KV_EFORKED);
    bad += differ("cursor open", kv_cursor_open(txn, KV_MAIN_TABLE, &cursor), KV_EFORKED);
    bad += differ("copy", kv_env_copy(txn, "/nonexistent/x", NULL), KV_EFORKED);
    bad += differ("renew", kv_txn_renew(txn), KV_EFORKED);
    bad += differ("refresh", kv_txn_refresh(txn, NULL), KV_EFORKED);
    return bad;
}

static int use_cursor(struct kv_cursor *cursor)
{
    struct kv_val key = {0, NULL};
    struct kv_val value = {0, NULL};
    int bad = 0;

    bad += differ("cursor get", kv_cursor_get(cursor, KV_FIRST, &key, &value), KV_EFORKED);
    bad += differ("cursor put", kv_cursor_put(cursor, &key, &value, 0), KV_EFORKED);
    bad += differ("cursor del", kv_cursor_del(cursor, 0), KV_EFORKED);
    return bad;
}

static int use_all(struct worker *self)
{
    const struct handles *h = self->context;

    return use_env(h) + use_txn(h->reader) + use_txn(h->writer) + use_cursor(h->cursor);
}

static void open_all(struct handles *h, const char *path)
{
    struct kv_val key;
    uint64_t seq;

    h->path = path;
    h->env = open_fresh(path);
    ck_ok(kv_txn_begin(h->env, KV_READ, NULL, &h->reader));
    ck_ok(kv_txn_begin(h->env, KV_WRITE, NULL, &h->writer));
    ck_ok(ledger_change(h->writer, &seq));
    ck_ok(kv_cursor_open(h->reader, KV_MAIN_TABLE, &h->cursor));
    ck_ok(kv_cursor_get(h->cursor, KV_FIRST, &key, NULL));
}

/* Everything that was open at the fork works on, and the lock was held all the time. */
static void close_all(struct handles *h)
{
    struct kv_val key;
    uint64_t seq;

    ck_ok(kv_cursor_get(h->cursor, KV_NEXT, &key, NULL));
    ck_ok(ledger_verify(h->reader, &seq));
    ck_assert_uint_eq(seq, 4);
    kv_txn_abort(h->reader);
    ck_ok(kv_txn_commit(h->writer));
    ck_ok(ledger_verify_newest(h->env, &seq));
    ck_assert_uint_eq(seq, 5);
    ck_ok(ledger_check(h->env));
    ck_ok(kv_env_close(h->env));
}

START_TEST(child_is_refused_every_handle_of_its_parent)
{
    struct handles handles;
    struct worker child;

    open_all(&handles, tmp_path("fork.db"));
    worker_start(&child, use_all, &handles);
    ck_assert(worker_join(&child));
    close_all(&handles);
}
END_TEST

static int abort_and_close(struct worker *self)
{
    const struct handles *h = self->context;
    int bad = 0;

    kv_cursor_close(h->cursor);
    kv_txn_abort(h->reader);
    bad += differ("commit", kv_txn_commit(h->writer), KV_EFORKED);
    bad += differ("close", kv_env_close(h->env), 0);
    return bad;
}

static int try_to_write(struct worker *self)
{
    const struct handles *h = self->context;
    struct kv_env *env;
    struct kv_txn *txn;
    int bad = differ("open", kv_env_open(h->path, NULL, &env), 0);

    if (bad)
        return bad;
    bad += differ("begin", kv_txn_begin(env, KV_WRITE | KV_TRY, NULL, &txn), KV_EBUSY);
    bad += differ("close", kv_env_close(env), 0);
    return bad;
}

START_TEST(child_that_ends_txns_and_closes_takes_nothing_from_its_parent)
{
    struct handles handles;
    struct kv_env_info info;
    struct worker child;

    open_all(&handles, tmp_path("fork.db"));
    worker_start(&child, abort_and_close, &handles);
    ck_assert(worker_join(&child));
    worker_start(&child, try_to_write, &handles);
    ck_assert(worker_join(&child));
    ck_ok(kv_env_info(handles.env, &info));
    ck_assert_uint_eq(info.readers, 1);
    ck_assert_uint_eq(info.processes, 1);
    close_all(&handles);
}
END_TEST

/* ---- A child's own env ---- */

static int work_for_itself(struct worker *self)
{
    const struct handles *h = self->context;
    struct kv_env *env;
    uint64_t seq;
    int bad = differ("open", kv_env_open(h->path, NULL, &env), 0);

    for (unsigned i = 0; !bad && i < 5; i++)
        bad += differ("step", ledger_step(env, NULL, &seq), 0);
    if (!bad)
        bad += differ("verify", ledger_verify_newest(env, &seq), 0);
    if (!bad)
        bad += differ("close", kv_env_close(env), 0);
    worker_tell(self, seq);
    return bad;
}

START_TEST(child_works_with_an_env_of_its_own)
{
    struct handles handles = {.path = tmp_path("fork.db")};
    struct worker children[3];
    uint64_t seq;

    handles.env = open_fresh(handles.path);
    for (unsigned i = 0; i < 3; i++)
        worker_start(&children[i], work_for_itself, &handles);
    for (unsigned i = 0; i < 5; i++)
        ck_ok(ledger_step(handles.env, NULL, &seq));
    for (unsigned i = 0; i < 3; i++)
        ck_assert(worker_join(&children[i]));
    ck_ok(ledger_verify_newest(handles.env, &seq));
    ck_assert_uint_eq(seq, 24);
    ck_ok(ledger_check(handles.env));
    ck_ok(kv_env_close(handles.env));
}
END_TEST

static int have_grandchildren(struct worker *self)
{
    struct worker child;
    bool well;

    worker_start(&child, work_for_itself, self->context);
    well = worker_join(&child);
    return well ? work_for_itself(self) : 1;
}

START_TEST(grandchildren_work_as_children_do)
{
    struct handles handles = {.path = tmp_path("fork.db")};
    struct worker child;
    uint64_t seq;

    handles.env = open_fresh(handles.path);
    worker_start(&child, have_grandchildren, &handles);
    ck_assert(worker_join(&child));
    ck_ok(ledger_verify_newest(handles.env, &seq));
    ck_assert_uint_eq(seq, 14);
    ck_ok(kv_env_close(handles.env));
}
END_TEST

/* ---- Without locks ---- */

static int read_without_locks(struct worker *self)
{
    const struct handles *h = self->context;
    struct kv_txn *txn;
    uint64_t seq;
    int bad = differ("old txn", ledger_verify(h->reader, &seq), 0);

    kv_txn_abort(h->reader);
    bad += differ("begin", kv_txn_begin(h->env, KV_READ, NULL, &txn), 0);
    if (bad)
        return bad;
    bad += differ("new txn", ledger_verify(txn, &seq), 0);
    kv_txn_abort(txn);
    bad += differ("close", kv_env_close(h->env), 0);
    return bad;
}

START_TEST(reader_without_locks_goes_on_in_the_child)
{
    struct kv_options options = KV_OPTIONS_INIT;
    struct handles handles = {.path = tmp_path("fork.db")};
    struct worker child;
    uint64_t seq;

    ck_ok(kv_env_close(open_fresh(handles.path)));
    options.flags = KV_READONLY | KV_NOLOCK;
    ck_ok(kv_env_open(handles.path, &options, &handles.env));
    ck_ok(kv_txn_begin(handles.env, KV_READ, NULL, &handles.reader));
    worker_start(&child, read_without_locks, &handles);
    ck_assert(worker_join(&child));
    ck_ok(ledger_verify(handles.reader, &seq));
    kv_txn_abort(handles.reader);
    ck_ok(kv_env_close(handles.env));
}
END_TEST

/* ---- Children that outlive their parent ---- */

/* An orphan that nobody ends, since its test failed, ends by itself. */
#define ORPHAN_S 30
#define ORPHAN_S_TEXT "30"

static int sleep_on(struct worker *self)
{
    (void)self;
    sleep_us((uint64_t)ORPHAN_S * 1000000);
    return 0;
}

/* Holds the writer lock and a snapshot, and has a child of fork and one that runs another program;
 * tells the pids of both. */
static int be_a_parent(struct worker *self)
{
    struct handles *h = self->context;
    struct worker forked;
    pid_t executed;
    uint64_t seq;

    if (kv_env_open(h->path, NULL, &h->env) != 0 ||
        kv_txn_begin(h->env, KV_READ, NULL, &h->reader) != 0 ||
        kv_txn_begin(h->env, KV_WRITE, NULL, &h->writer) != 0 ||
        ledger_change(h->writer, &seq) != 0)
        return 1;
    worker_start_orphan(&forked, sleep_on, NULL);
    executed = fork();
    if (executed == 0) {
        (void)execlp("sleep", "sleep", ORPHAN_S_TEXT, (char *)NULL);
        _exit(127);
    }
    worker_tell(self, (uint64_t)forked.pid);
    worker_tell(self, (uint64_t)executed);
    (void)worker_hear(self, &seq);
    return 0;
}

START_TEST(children_keep_nothing_alive_of_a_parent_that_was_killed)
{
    struct handles handles = {.path = tmp_path("fork.db")};
    struct worker parent;
    struct kv_env_info info;
    uint64_t orphans[2];
    uint64_t seq;
    struct kv_env *env;
    struct kv_txn *txn;

    ck_ok(kv_env_close(open_fresh(handles.path)));
    worker_start(&parent, be_a_parent, &handles);
    ck_assert(worker_hear(&parent, &orphans[0]));
    ck_assert(worker_hear(&parent, &orphans[1]));
    ck_ok(kv_env_open(handles.path, NULL, &env));
    ck_rc(kv_txn_begin(env, KV_WRITE | KV_TRY, NULL, &txn), KV_EBUSY);
    worker_kill(&parent, NULL, NULL);
    ck_assert_int_eq(kill((pid_t)orphans[0], 0), 0);
    ck_ok(kv_txn_begin(env, KV_WRITE | KV_TRY, NULL, &txn));
    ck_ok(ledger_change(txn, &seq));
    ck_ok(kv_txn_commit(txn));
    ck_ok(kv_env_info(env, &info));
    ck_assert_uint_eq(info.processes, 1);
    ck_assert_uint_eq(info.readers, 0);
    for (unsigned i = 0; i < 2; i++)
        (void)kill((pid_t)orphans[i], SIGKILL);
    ck_ok(ledger_verify_newest(env, &seq));
    ck_assert_uint_eq(seq, 5);
    ck_ok(kv_env_close(env));
}
END_TEST

/* ---- Forks amid work ---- */

struct busy {
    struct kv_env *env;
    _Atomic(int) stop;
    int rc;
};

static void *write_all_the_time(void *context)
{
    struct busy *busy = context;
    uint64_t seq;

    while (!busy->rc && !busy->stop)
        busy->rc = ledger_step(busy->env, NULL, &seq);
    return NULL;
}

static int be_refused(struct worker *self)
{
    struct busy *busy = self->context;
    uint64_t seq;

    return differ("step", ledger_step(busy->env, NULL, &seq), KV_EFORKED) +
           differ("verify", ledger_verify_newest(busy->env, &seq), KV_EFORKED) +
           differ("close", kv_env_close(busy->env), 0);
}

START_TEST(forks_at_any_moment_of_a_commit_disturb_nobody)
{
    struct busy busy = {.stop = 0};
    struct worker child;
    pthread_t thread;
    uint64_t seq;

    busy.env = open_fresh(tmp_path("fork.db"));
    ck_assert_int_eq(pthread_create(&thread, NULL, write_all_the_time, &busy), 0);
    for (uint64_t i = 0; i < scaled(100); i++) {
        worker_start(&child, be_refused, &busy);
        ck_assert(worker_join(&child));
    }
    busy.stop = 1;
    (void)pthread_join(thread, NULL);
    ck_ok(busy.rc);
    ck_ok(ledger_verify_newest(busy.env, &seq));
    ck_ok(ledger_check(busy.env));
    ck_ok(kv_env_close(busy.env));
}
END_TEST

static int use_memory(struct worker *self)
{
    struct kv_env *env = self->context;
    uint64_t seq;

    return differ("step", ledger_step(env, NULL, &seq), KV_EFORKED) +
           differ("close", kv_env_close(env), 0);
}

START_TEST(memory_database_of_the_parent_is_refused_to_the_child)
{
    struct kv_options options = KV_OPTIONS_INIT;
    struct kv_env *env;
    struct worker child;
    uint64_t seq;

    options.flags = KV_MEMORY;
    ck_ok(kv_env_open(NULL, &options, &env));
    ck_ok(ledger_step(env, NULL, &seq));
    worker_start(&child, use_memory, env);
    ck_assert(worker_join(&child));
    ck_ok(ledger_step(env, NULL, &seq));
    ck_ok(ledger_verify_newest(env, &seq));
    ck_assert_uint_eq(seq, 2);
    ck_ok(kv_env_close(env));
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("processes_fork");

    harness_add(s, "handles", child_is_refused_every_handle_of_its_parent);
    harness_add(s, "handles", child_that_ends_txns_and_closes_takes_nothing_from_its_parent);
    harness_add(s, "handles", memory_database_of_the_parent_is_refused_to_the_child);
    harness_add(s, "own", child_works_with_an_env_of_its_own);
    harness_add(s, "own", grandchildren_work_as_children_do);
    harness_add(s, "nolock", reader_without_locks_goes_on_in_the_child);
    harness_add(s, "orphans", children_keep_nothing_alive_of_a_parent_that_was_killed);
    harness_add(s, "moments", forks_at_any_moment_of_a_commit_disturb_nobody);
    return s;
}

HARNESS_MAIN(suite)
