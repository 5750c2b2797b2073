/* SPDX-License-Identifier: MIT */
/*
 * What is told of read txns: of which thread, those that are reset, those of the dead; clearing
 * these; and promises to programs that were written for other stores: commits of nothing, envs
 * without locks beside each other, counts of the main table.
 */
#include "api_help.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "worker.h"

static struct kv_env *env;

static void setup(void)
{
    env = env_new("readers.db");
    put_commit(env, "first", "1");
}

static void teardown(void)
{
    env_finish(env);
}

struct seen {
    unsigned count;
    struct kv_reader readers[8];
};

static int see_reader(void *context, const struct kv_reader *reader)
{
    struct seen *seen = context;

    ck_assert_uint_lt(seen->count, 8);
    seen->readers[seen->count++] = *reader;
    return 0;
}

static struct seen readers_of(struct kv_env *of)
{
    struct seen seen = {0, {{.pid = 0}}};

    ck_ok(kv_env_readers(of, see_reader, &seen));
    return seen;
}

static uint64_t self(void)
{
    return (uint64_t)pthread_self();
}

/* ---- Threads ---- */

static void *renew_there(void *context)
{
    return kv_txn_renew(context) ? NULL : context;
}

static void *refresh_there(void *context)
{
    return kv_txn_refresh(context, NULL) ? NULL : context;
}

/* Runs it in another thread, whose number is given. */
static uint64_t in_thread(void *(*fn)(void *), void *context)
{
    pthread_t thread;
    void *result;

    ck_assert_int_eq(pthread_create(&thread, NULL, fn, context), 0);
    ck_assert_int_eq(pthread_join(thread, &result), 0);
    ck_assert_ptr_eq(result, context);
    return (uint64_t)thread;
}

START_TEST(a_reader_is_of_the_thread_that_began_or_renewed_it_last)
{
    struct kv_txn *txn = txn_read(env);
    uint64_t other;

    ck_assert_uint_eq(readers_of(env).count, 1);
    ck_assert_uint_eq(readers_of(env).readers[0].thread, self());
    kv_txn_reset(txn);
    other = in_thread(renew_there, txn);
    ck_assert_uint_ne(other, self());
    ck_assert_uint_eq(readers_of(env).readers[0].thread, other);
    put_commit(env, "k", "1");
    ck_ok(kv_txn_refresh(txn, NULL));
    ck_assert_uint_eq(readers_of(env).readers[0].thread, self());
    put_commit(env, "k", "2");
    other = in_thread(refresh_there, txn);
    ck_assert_uint_eq(readers_of(env).readers[0].thread, other);
    kv_txn_abort(txn);
}
END_TEST

/* ---- Reset ---- */

START_TEST(a_txn_that_was_reset_is_listed_without_a_snapshot)
{
    struct kv_txn *txn = txn_read(env);
    struct seen seen;

    kv_txn_reset(txn);
    seen = readers_of(env);
    ck_assert_uint_eq(seen.count, 1);
    ck_assert_uint_eq(seen.readers[0].txnid, 0);
    ck_assert_uint_eq(seen.readers[0].pages_held, 0);
    ck_assert_int_eq(seen.readers[0].pid, getpid());
    ck_assert_int_eq(seen.readers[0].alive, 1);
    ck_assert_uint_eq(env_info(env).readers, 0);
    ck_ok(kv_txn_renew(txn));
    seen = readers_of(env);
    ck_assert_uint_eq(seen.count, 1);
    ck_assert_uint_eq(seen.readers[0].txnid, kv_txn_id(txn));
    kv_txn_abort(txn);
    ck_assert_uint_eq(readers_of(env).count, 0);
}
END_TEST

START_TEST(a_reset_txn_counts_for_the_limit_of_readers)
{
    struct kv_options options = KV_OPTIONS_INIT;
    struct kv_env *limited;
    struct kv_txn *first;
    struct kv_txn *second;

    options.max_readers = 1;
    limited = env_open_with(tmp_path("readers.db"), &options);
    first = txn_read(limited);
    kv_txn_reset(first);
    ck_rc(kv_txn_begin(limited, KV_READ, NULL, &second), KV_EREADERS);
    ck_ok(kv_txn_renew(first));
    kv_txn_abort(first);
    second = txn_read(limited);
    kv_txn_abort(second);
    env_close(limited);
}
END_TEST

/* ---- The dead ---- */

/* Begins a read txn, resets it if *context says so, and waits to be killed. */
static int read_body(struct worker *worker)
{
    const bool *reset = worker->context;
    struct kv_env *own;
    struct kv_txn *txn;
    uint64_t number;

    if (kv_env_open(tmp_path("readers.db"), NULL, &own) || kv_txn_begin(own, KV_READ, NULL, &txn))
        return 1;
    if (*reset)
        kv_txn_reset(txn);
    worker_tell(worker, 1);
    return worker_hear(worker, &number) ? 0 : 1;
}

static void kill_reader(bool reset)
{
    struct worker worker;
    uint64_t number;

    worker_start(&worker, read_body, &reset);
    ck_assert(worker_hear(&worker, &number));
    ck_assert_uint_eq(readers_of(env).count, 1);
    ck_assert_int_eq(readers_of(env).readers[0].alive, 1);
    worker_kill(&worker, NULL, NULL);
}

START_TEST(readers_of_the_dead_are_listed_until_they_are_cleared)
{
    uint64_t cleared = 77;
    struct seen seen;

    kill_reader(_i != 0);
    for (int i = 0; i < 2; i++) {
        seen = readers_of(env);
        ck_assert_uint_eq(seen.count, 1);
        ck_assert_int_eq(seen.readers[0].alive, 0);
        ck_assert_uint_eq(seen.readers[0].pages_held, 0);
    }
    ck_ok(kv_env_readers_clear(env, &cleared));
    ck_assert_uint_eq(cleared, 1);
    ck_assert_uint_eq(readers_of(env).count, 0);
    ck_ok(kv_env_readers_clear(env, &cleared));
    ck_assert_uint_eq(cleared, 0);
    ck_ok(kv_env_readers_clear(env, NULL));
    ck_rc(kv_env_readers_clear(NULL, NULL), KV_EINVAL);
}
END_TEST

START_TEST(clearing_leaves_the_living_alone)
{
    struct kv_txn *pinned = txn_read(env);
    struct kv_txn *reset = txn_read(env);
    struct kv_txn *ended = txn_read(env);
    uint64_t cleared;

    kv_txn_reset(reset);
    kv_txn_abort(ended);
    ck_ok(kv_env_readers_clear(env, &cleared));
    ck_assert_uint_eq(cleared, 0);
    ck_assert_uint_eq(readers_of(env).count, 2);
    has(pinned, KV_MAIN_TABLE, "first", "1");
    ck_ok(kv_txn_renew(reset));
    kv_txn_abort(reset);
    kv_txn_abort(pinned);
}
END_TEST

START_TEST(a_read_only_env_clears_as_well)
{
    struct kv_env *reads = env_open(tmp_path("readers.db"), KV_READONLY);
    uint64_t cleared;

    kill_reader(false);
    ck_ok(kv_env_readers_clear(reads, &cleared));
    ck_assert_uint_eq(cleared, 1);
    env_close(reads);
}
END_TEST

/* ---- Commits of nothing ---- */

START_TEST(a_commit_of_nothing_uses_no_id_and_writes_nothing)
{
    struct kv_env_info before = env_info(env);
    size_t size_before;
    size_t size_after;
    uint8_t *bytes_before = file_read(tmp_path("readers.db"), &size_before);
    uint8_t *bytes_after;
    struct kv_txn *nested;
    struct kv_txn *txn;
    uint64_t number;
    kv_table table;

    for (unsigned i = 0; i < 6; i++) {
        txn = txn_write(env);
        ck_assert_uint_eq(kv_txn_id(txn), before.txnid_committed + 1);
        if (i == 1)
            has(txn, KV_MAIN_TABLE, "first", "1");
        if (i == 2)
            ck_ok(kv_table_open(txn, NULL, KV_CREATE, NULL, &table));
        if (i == 3)
            ck_rc(kv_table_open(txn, "none", 0, NULL, &table), KV_ENOTFOUND);
        if (i == 4)
            ck_ok(kv_sequence(txn, KV_MAIN_TABLE, 0, &number));
        if (i == 5) {
            nested = txn_nested(txn);
            has(nested, KV_MAIN_TABLE, "first", "1");
            txn_commit(nested);
        }
        txn_commit(txn);
    }
    ck_assert_uint_eq(env_info(env).txnid_committed, before.txnid_committed);
    bytes_after = file_read(tmp_path("readers.db"), &size_after);
    ck_assert_uint_eq(size_after, size_before);
    ck_assert_mem_eq(bytes_after, bytes_before, size_before);
    free(bytes_before);
    free(bytes_after);
}
END_TEST

START_TEST(opening_a_table_that_is_there_is_a_commit_of_nothing)
{
    struct kv_txn *txn = txn_write(env);
    uint64_t before;
    kv_table table = table_make(txn, "named");

    put(txn, table, "k", "1");
    txn_commit(txn);
    env_close(env); /* so that its record is read anew */
    env = env_open(tmp_path("readers.db"), 0);
    before = env_info(env).txnid_committed;
    for (uint32_t flags = 0; flags <= KV_CREATE; flags += KV_CREATE) {
        txn = txn_write(env);
        ck_ok(kv_table_open(txn, "named", flags, NULL, &table));
        has(txn, table, "k", "1");
        txn_commit(txn);
    }
    ck_assert_uint_eq(env_info(env).txnid_committed, before);
}
END_TEST

/* ---- Envs without locks ---- */

/* On each number from the other side: reads what that one wrote, writes more, tells. */
static int lockless_body(struct worker *worker)
{
    struct kv_options options = KV_OPTIONS_INIT;
    struct kv_env *own;
    uint64_t number;

    options.flags = KV_NOLOCK;
    if (kv_env_open(tmp_path("readers.db"), &options, &own))
        return 1;
    worker_tell(worker, 0);
    while (worker_hear(worker, &number) && number) {
        struct kv_txn *txn;

        if (kv_txn_begin(own, KV_READ, NULL, &txn))
            return 2;
        if (try_get(txn, KV_MAIN_TABLE, "mine"))
            return 3;
        if (table_stat(txn, KV_MAIN_TABLE).entries != number)
            return 4;
        kv_txn_abort(txn);
        fill_commit(own, (unsigned)number * 200, 500);
        worker_tell(worker, number * 200 + 2);
    }
    return kv_env_close(own);
}

START_TEST(without_locks_processes_see_each_others_commits_at_once)
{
    struct worker worker;
    uint64_t number = 0;
    uint64_t entries = 2;

    env_close(env);
    env = env_open(tmp_path("readers.db"), KV_NOLOCK);
    worker_start(&worker, lockless_body, NULL);
    ck_assert(worker_hear(&worker, &number));
    put_commit(env, "mine", "1");
    for (unsigned i = 0; i < 2; i++) {
        struct kv_txn *txn;

        put_commit(env, "mine", i ? "2" : "1");
        worker_tell(&worker, entries);
        ck_assert(worker_hear(&worker, &entries));
        txn = txn_read(env);
        ck_assert_uint_eq(table_stat(txn, KV_MAIN_TABLE).entries, entries);
        kv_txn_abort(txn);
    }
    ck_assert_uint_gt(entries, 10000); /* and the file grew far beyond what it was */
    worker_tell(&worker, 0);
    ck_assert(worker_join(&worker));
    env_sound(env);
}
END_TEST

/* ---- More promises ---- */

START_TEST(named_tables_count_among_the_main_tables_records)
{
    struct kv_txn *txn = txn_write(env);
    uint64_t entries = table_stat(txn, KV_MAIN_TABLE).entries;

    (void)table_make(txn, "one");
    (void)table_make(txn, "two");
    ck_assert_uint_eq(table_stat(txn, KV_MAIN_TABLE).entries, entries + 2);
    txn_commit(txn);
    txn = txn_read(env);
    ck_assert_uint_eq(table_stat(txn, KV_MAIN_TABLE).entries, entries + 2);
    kv_txn_abort(txn);
}
END_TEST

START_TEST(sequences_work_on_the_main_table_and_in_nested_txns)
{
    struct kv_txn *txn = txn_write(env);
    struct kv_txn *nested;
    uint64_t number = 77;

    ck_ok(kv_sequence(txn, KV_MAIN_TABLE, 3, &number));
    ck_assert_uint_eq(number, 0);
    nested = txn_nested(txn);
    ck_ok(kv_sequence(nested, KV_MAIN_TABLE, 4, &number));
    ck_assert_uint_eq(number, 3);
    kv_txn_abort(nested);
    nested = txn_nested(txn);
    ck_ok(kv_sequence(nested, KV_MAIN_TABLE, 2, &number));
    ck_assert_uint_eq(number, 3);
    txn_commit(nested);
    txn_commit(txn);
    env_close(env);
    env = env_open(tmp_path("readers.db"), 0);
    txn = txn_read(env);
    ck_ok(kv_sequence(txn, KV_MAIN_TABLE, 0, &number));
    ck_assert_uint_eq(number, 5);
    kv_txn_abort(txn);
}
END_TEST

START_TEST(one_env_reads_while_another_of_the_process_writes)
{
    struct kv_env *reads = env_open(tmp_path("readers.db"), 0);
    struct kv_txn *writer = txn_write(env);
    struct kv_txn *reader;

    put(writer, KV_MAIN_TABLE, "second", "1");
    reader = txn_read(reads);
    lacks(reader, KV_MAIN_TABLE, "second");
    txn_commit(writer);
    lacks(reader, KV_MAIN_TABLE, "second");
    ck_ok(kv_txn_refresh(reader, NULL));
    has(reader, KV_MAIN_TABLE, "second", "1");
    kv_txn_abort(reader);
    env_close(reads);
}
END_TEST

static TCase *case_new(Suite *s, const char *name)
{
    TCase *tcase = tcase_create(name);

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, HARNESS_TIMEOUT_S);
    suite_add_tcase(s, tcase);
    return tcase;
}

static Suite *suite(void)
{
    Suite *s = suite_create("api_readers");
    TCase *living = case_new(s, "living");
    TCase *dead = case_new(s, "dead");
    TCase *promises = case_new(s, "promises");

    tcase_add_test(living, a_reader_is_of_the_thread_that_began_or_renewed_it_last);
    tcase_add_test(living, a_txn_that_was_reset_is_listed_without_a_snapshot);
    tcase_add_test(living, a_reset_txn_counts_for_the_limit_of_readers);
    tcase_add_loop_test(dead, readers_of_the_dead_are_listed_until_they_are_cleared, 0, 2);
    tcase_add_test(dead, clearing_leaves_the_living_alone);
    tcase_add_test(dead, a_read_only_env_clears_as_well);
    tcase_add_test(promises, a_commit_of_nothing_uses_no_id_and_writes_nothing);
    tcase_add_test(promises, opening_a_table_that_is_there_is_a_commit_of_nothing);
    tcase_add_test(promises, without_locks_processes_see_each_others_commits_at_once);
    tcase_add_test(promises, named_tables_count_among_the_main_tables_records);
    tcase_add_test(promises, sequences_work_on_the_main_table_and_in_nested_txns);
    tcase_add_test(promises, one_env_reads_while_another_of_the_process_writes);
    return s;
}

HARNESS_MAIN(suite)
