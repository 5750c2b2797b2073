/* SPDX-License-Identifier: MIT */
/* Txns through kv.h: ids, visibility, isolation, waiting, reset, renew, refresh, and what an env
 * tells of them. */
#include "api_help.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static struct kv_env *env;

static void setup(void)
{
    env = env_new("txn.db");
    put_commit(env, "k", "0");
}

static void teardown(void)
{
    env_finish(env);
}

/* ---- Ids and visibility ---- */

START_TEST(a_commit_is_seen_by_txns_that_begin_after_it)
{
    struct kv_txn *before = txn_read(env);
    struct kv_txn *txn = txn_write(env);
    struct kv_txn *during;

    put(txn, 0, "k", "1");
    during = txn_read(env);
    txn_commit(txn);
    has(before, 0, "k", "0");
    has(during, 0, "k", "0");
    kv_txn_abort(before);
    kv_txn_abort(during);
    txn = txn_read(env);
    has(txn, 0, "k", "1");
    txn_commit(txn);
}
END_TEST

START_TEST(an_aborted_txn_leaves_nothing)
{
    uint64_t digest = env_digest(env);
    struct kv_env_info before = env_info(env);
    struct kv_txn *txn = txn_write(env);

    fill_table(txn, 0, "x", 3000, 100);
    fill_table(txn, table_make(txn, "t"), "x", 10, 30000);
    kv_txn_abort(txn);
    ck_assert_uint_eq(env_digest(env), digest);
    ck_assert_uint_eq(env_info(env).txnid_committed, before.txnid_committed);
}
END_TEST

START_TEST(ids_ascend_by_one_and_name_snapshots)
{
    uint64_t last = env_info(env).txnid_committed;

    for (unsigned i = 0; i < 10; i++) {
        struct kv_txn *txn = txn_write(env);

        ck_assert_uint_eq(kv_txn_id(txn), last + 1);
        put(txn, 0, "k", "1");
        txn_commit(txn);
        last++;
        txn = txn_read(env);
        ck_assert_uint_eq(kv_txn_id(txn), last);
        ck_assert_uint_eq(env_stat(txn).txnid, last);
        kv_txn_abort(txn);
    }
}
END_TEST

START_TEST(an_empty_commit_uses_up_no_id_and_writes_nothing)
{
    struct kv_env_info before = env_info(env);
    struct kv_txn *txn = txn_write(env);
    uint64_t id = kv_txn_id(txn);

    txn_commit(txn);
    txn = txn_write(env);
    ck_assert_uint_eq(kv_txn_id(txn), id);
    ck_rc(try_del(txn, 0, "none"), KV_ENOTFOUND);
    ck_rc(try_put(txn, 0, "k", "1", KV_NOOVERWRITE), KV_EEXIST);
    ck_ok(try_get(txn, 0, "k"));
    txn_commit(txn);
    txn = txn_write(env);
    kv_txn_abort(txn);
    ck_assert_uint_eq(env_info(env).txnid_committed, before.txnid_committed);
    txn = txn_write(env);
    ck_assert_uint_eq(kv_txn_id(txn), id);
    put(txn, 0, "k", "2");
    txn_commit(txn);
    ck_assert_uint_eq(env_info(env).txnid_committed, id);
}
END_TEST

START_TEST(ids_go_on_after_a_reopen)
{
    const char *path = tmp_path("txn.db");
    uint64_t last;

    put_commit(env, "k", "1");
    last = env_info(env).txnid_committed;
    env_close(env);
    env = env_open(path, 0);
    ck_assert_uint_eq(env_info(env).txnid_committed, last);
    put_commit(env, "k", "2");
    ck_assert_uint_eq(env_info(env).txnid_committed, last + 1);
}
END_TEST

START_TEST(a_txn_knows_its_env)
{
    struct kv_txn *txn = txn_read(env);

    ck_assert_ptr_eq(kv_txn_env(txn), env);
    ck_assert_str_eq(kv_env_path(env), tmp_path("txn.db"));
    kv_txn_abort(txn);
}
END_TEST

START_TEST(a_writer_sees_its_own_changes_at_once)
{
    struct kv_txn *txn = txn_write(env);

    put(txn, 0, "k", "1");
    has(txn, 0, "k", "1");
    del(txn, 0, "k");
    lacks(txn, 0, "k");
    ck_assert_uint_eq(table_stat(txn, 0).entries, 0);
    kv_txn_abort(txn);
}
END_TEST

/* ---- Isolation ---- */

START_TEST(a_pinned_snapshot_reads_the_same_whatever_is_committed)
{
    enum { READERS = 6 };
    struct kv_txn *pinned[READERS];
    uint64_t digest[READERS];
    struct kv_val key = text_val("key000003");
    struct kv_val value[READERS];
    uint8_t expected[READERS][300];

    for (unsigned round = 0; round < READERS; round++) {
        fill_commit(env, 500 + round * 100, 100 + round * 30);
        pinned[round] = txn_read(env);
        digest[round] = txn_digest(pinned[round]);
        ck_ok(kv_get(pinned[round], 0, &key, &value[round]));
        memcpy(expected[round], value[round].data, value[round].size);
    }
    for (unsigned i = 0; i < 30; i++) {
        fill_commit(env, 900, 50 + i * 10);
        if (i % 10 == 5)
            empty_commit(env);
        for (unsigned r = 0; r < READERS; r++)
            expect_val(&value[r], expected[r], value[r].size);
    }
    for (unsigned r = 0; r < READERS; r++) {
        ck_assert_uint_eq(txn_digest(pinned[r]), digest[r]);
        kv_txn_abort(pinned[r]);
    }
}
END_TEST

START_TEST(a_pinned_snapshot_does_not_make_the_file_grow_without_end)
{
    struct kv_txn *pinned;
    uint64_t before;

    fill_commit(env, 2000, 100);
    before = env_info(env).file_size_bytes;
    pinned = txn_read(env);
    for (unsigned i = 0; i < 100; i++)
        fill_commit(env, 2000, 100 + i % 3);
    ck_assert_uint_lt(env_info(env).file_size_bytes, 8 * before);
    kv_txn_abort(pinned);
}
END_TEST

/* ---- Waiting for the writer lock ---- */

struct waiter {
    pthread_t thread;
    int rc;
    uint32_t timeout_ms;
};

static void *wait_and_put(void *context)
{
    struct waiter *waiter = context;
    struct kv_txn_options options = {.timeout_ms = waiter->timeout_ms};
    struct kv_val key = text_val("waited");
    struct kv_val value = text_val("1");
    struct kv_txn *txn;

    waiter->rc = kv_txn_begin(env, KV_WRITE, &options, &txn);
    if (!waiter->rc) {
        waiter->rc = kv_put(txn, 0, &key, &value, 0);
        waiter->rc = waiter->rc ? waiter->rc : kv_txn_commit(txn);
    }
    return NULL;
}

START_TEST(a_second_writer_waits_for_the_first)
{
    struct waiter waiter = {.timeout_ms = 0};
    struct kv_txn *txn = txn_write(env);

    ck_assert_int_eq(pthread_create(&waiter.thread, NULL, wait_and_put, &waiter), 0);
    usleep(20000);
    put(txn, 0, "k", "first");
    txn_commit(txn);
    pthread_join(waiter.thread, NULL);
    ck_ok(waiter.rc);
    txn = txn_read(env);
    has(txn, 0, "k", "first");
    has(txn, 0, "waited", "1");
    kv_txn_abort(txn);
}
END_TEST

START_TEST(a_writer_waits_no_longer_than_its_timeout)
{
    struct waiter waiter = {.timeout_ms = 30};
    struct kv_env *other = env_open(tmp_path("txn.db"), 0);
    struct kv_txn_options options = {.timeout_ms = 30};
    struct kv_txn *txn = txn_write(env);
    struct kv_txn *second;

    ck_assert_int_eq(pthread_create(&waiter.thread, NULL, wait_and_put, &waiter), 0);
    pthread_join(waiter.thread, NULL);
    ck_rc(waiter.rc, KV_ETIMEOUT);
    ck_rc(kv_txn_begin(other, KV_WRITE, &options, &second), KV_ETIMEOUT);
    ck_rc(kv_txn_begin(other, KV_WRITE | KV_TRY, NULL, &second), KV_EBUSY);
    kv_txn_abort(txn);
    ck_ok(kv_txn_begin(other, KV_WRITE | KV_TRY, NULL, &second));
    kv_txn_abort(second);
    env_close(other);
}
END_TEST

START_TEST(readers_never_wait_for_a_writer)
{
    struct kv_txn *writer = txn_write(env);

    put(writer, 0, "k", "1");
    for (unsigned i = 0; i < 100; i++) {
        struct kv_txn *txn = txn_read(env);

        has(txn, 0, "k", "0");
        kv_txn_abort(txn);
    }
    kv_txn_abort(writer);
}
END_TEST

/* ---- Reset, renew, refresh ---- */

START_TEST(a_reset_txn_pins_nothing_and_renew_pins_the_newest)
{
    struct kv_txn *txn = txn_read(env);
    struct kv_cursor *cursor;
    struct kv_val key;
    uint64_t id = kv_txn_id(txn);

    ck_ok(kv_cursor_open(txn, 0, &cursor));
    ck_ok(kv_cursor_get(cursor, KV_FIRST, &key, NULL));
    kv_txn_reset(txn);
    ck_assert_uint_eq(kv_txn_id(txn), 0);
    put_commit(env, "k", "1");
    ck_ok(kv_txn_renew(txn));
    ck_assert_uint_eq(kv_txn_id(txn), id + 1);
    has(txn, 0, "k", "1");
    ck_rc(kv_cursor_get(cursor, KV_CURRENT, &key, NULL), KV_EINVAL);
    ck_ok(kv_cursor_get(cursor, KV_NEXT, &key, NULL));
    expect_text(&key, "k");
    kv_txn_abort(txn);
}
END_TEST

START_TEST(a_reset_txn_may_be_aborted_or_committed)
{
    struct kv_txn *txn = txn_read(env);

    kv_txn_reset(txn);
    kv_txn_abort(txn);
    txn = txn_read(env);
    kv_txn_reset(txn);
    txn_commit(txn);
    ck_assert_uint_eq(env_info(env).readers, 0);
}
END_TEST

START_TEST(refresh_moves_to_the_newest_snapshot_and_tells)
{
    struct kv_txn *txn = txn_read(env);
    struct kv_cursor *cursor;
    struct kv_val key;
    int moved = 9;

    ck_ok(kv_cursor_open(txn, 0, &cursor));
    ck_ok(kv_cursor_get(cursor, KV_FIRST, &key, NULL));
    ck_ok(kv_txn_refresh(txn, &moved));
    ck_assert_int_eq(moved, 0);
    ck_ok(kv_txn_refresh(txn, NULL));
    put_commit(env, "a", "1");
    ck_ok(kv_txn_refresh(txn, &moved));
    ck_assert_int_eq(moved, 1);
    has(txn, 0, "a", "1");
    ck_assert_uint_eq(kv_txn_id(txn), env_info(env).txnid_committed);
    ck_rc(kv_cursor_get(cursor, KV_CURRENT, &key, NULL), KV_EINVAL);
    ck_ok(kv_cursor_get(cursor, KV_PREV, &key, NULL));
    expect_text(&key, "k");
    kv_txn_abort(txn);
}
END_TEST

START_TEST(table_handles_hold_across_renew_and_follow_the_snapshot)
{
    struct kv_txn *txn = txn_write(env);
    kv_table table = table_make(txn, "t");
    struct kv_cursor *cursor;
    struct kv_val key;

    put(txn, table, "a", "1");
    txn_commit(txn);
    txn = txn_read(env);
    has(txn, table, "a", "1");
    ck_ok(kv_cursor_open(txn, table, &cursor));
    kv_txn_reset(txn);
    struct kv_txn *writer = txn_write(env);
    put(writer, table, "a", "2");
    txn_commit(writer);
    ck_ok(kv_txn_renew(txn));
    has(txn, table, "a", "2");
    ck_ok(kv_cursor_get(cursor, KV_FIRST, &key, NULL));
    writer = txn_write(env);
    ck_ok(kv_table_drop(writer, table));
    txn_commit(writer);
    has(txn, table, "a", "2");
    ck_ok(kv_txn_refresh(txn, NULL));
    ck_rc(try_get(txn, table, "a"), KV_EBADTABLE);
    ck_rc(kv_cursor_get(cursor, KV_FIRST, &key, NULL), KV_EBADTABLE);
    kv_txn_abort(txn);
}
END_TEST

/* ---- Cursors and txns ---- */

START_TEST(cursors_left_open_are_closed_with_their_txn)
{
    for (unsigned i = 0; i < 3; i++) {
        struct kv_txn *txn = i ? txn_write(env) : txn_read(env);
        struct kv_cursor *cursor;
        struct kv_val key;

        for (unsigned j = 0; j < 10; j++) {
            ck_ok(kv_cursor_open(txn, 0, &cursor));
            ck_ok(kv_cursor_get(cursor, KV_FIRST, &key, NULL));
            if (j == 3)
                kv_cursor_close(cursor);
        }
        if (i == 2)
            txn_commit(txn);
        else
            kv_txn_abort(txn);
    }
}
END_TEST

/* ---- What an env tells ---- */

struct seen {
    unsigned count;
    struct kv_reader last;
};

static int see_reader(void *context, const struct kv_reader *reader)
{
    struct seen *seen = context;

    seen->count++;
    seen->last = *reader;
    return 0;
}

START_TEST(readers_are_counted_and_listed)
{
    struct kv_txn *txn[3];
    struct seen seen = {0, {.pid = 0}};

    ck_ok(kv_env_readers(env, see_reader, &seen));
    ck_assert_uint_eq(seen.count, 0);
    for (int i = 0; i < 3; i++)
        txn[i] = txn_read(env);
    ck_assert_uint_eq(env_info(env).readers, 3);
    usleep(15000);
    ck_ok(kv_env_readers(env, see_reader, &seen));
    ck_assert_uint_eq(seen.count, 3);
    ck_assert_int_eq(seen.last.pid, getpid());
    ck_assert_uint_eq(seen.last.txnid, kv_txn_id(txn[0]));
    ck_assert_int_eq(seen.last.alive, 1);
    ck_assert_uint_ge(seen.last.age_ms, 10);
    ck_assert_uint_lt(seen.last.age_ms, 600000);
    ck_assert_uint_le(seen.last.pages_held, env_stat(txn[0]).pages_used);
    kv_txn_reset(txn[0]);
    ck_assert_uint_eq(env_info(env).readers, 2);
    for (int i = 0; i < 3; i++)
        kv_txn_abort(txn[i]);
    ck_assert_uint_eq(env_info(env).readers, 0);
}
END_TEST

START_TEST(pages_that_only_a_reader_holds_are_told)
{
    struct kv_txn *txn;
    struct seen seen = {0, {.pid = 0}};
    uint64_t used;

    fill_commit(env, 2000, 100);
    txn = txn_read(env);
    used = env_stat(txn).pages_used;
    for (int i = 0; i < 3; i++) {
        fill_commit(env, 2000, 101);
        ck_ok(kv_env_sync(env));
    }
    ck_ok(kv_env_readers(env, see_reader, &seen));
    ck_assert_uint_eq(seen.count, 1);
    ck_assert_uint_ge(seen.last.pages_held, used * 9 / 10);
    ck_assert_uint_le(seen.last.pages_held, used);
    kv_txn_abort(txn);
}
END_TEST

static int stop_list(void *context, const struct kv_reader *reader)
{
    (void)reader;
    ++*(int *)context;
    return 77;
}

START_TEST(the_list_of_readers_stops_when_told)
{
    struct kv_txn *a = txn_read(env);
    struct kv_txn *b = txn_read(env);
    int calls = 0;

    ck_rc(kv_env_readers(env, stop_list, &calls), 77);
    ck_assert_int_eq(calls, 1);
    kv_txn_abort(a);
    kv_txn_abort(b);
}
END_TEST

/* A process that holds a read txn until it is killed. */
static pid_t reading_process(void)
{
    int ready[2];
    char byte;
    pid_t pid;

    ck_assert_int_eq(pipe(ready), 0);
    pid = fork();
    if (pid == 0) {
        struct kv_env *own;
        struct kv_txn *txn;

        if (kv_env_open(tmp_path("txn.db"), NULL, &own) || kv_txn_begin(own, KV_READ, NULL, &txn) ||
            write(ready[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    ck_assert_int_gt(pid, 0);
    close(ready[1]);
    ck_assert_int_eq(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return pid;
}

START_TEST(readers_of_other_processes_are_seen_and_forgotten_when_they_die)
{
    pid_t pid = reading_process();
    struct seen seen = {0, {.pid = 0}};

    ck_assert_uint_eq(env_info(env).processes, 2);
    ck_assert_uint_eq(env_info(env).readers, 1);
    ck_ok(kv_env_readers(env, see_reader, &seen));
    ck_assert_uint_eq(seen.count, 1);
    ck_assert_int_eq(seen.last.pid, pid);
    ck_assert_int_eq(seen.last.alive, 1);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    seen.count = 0;
    ck_ok(kv_env_readers(env, see_reader, &seen));
    ck_assert(seen.count == 0 || !seen.last.alive);
    put_commit(env, "k", "1");
    put_commit(env, "k", "2");
    ck_assert_uint_eq(env_info(env).processes, 1);
    ck_assert_uint_eq(env_info(env).readers, 0);
}
END_TEST

START_TEST(info_tells_the_truth)
{
    struct kv_env_info info = env_info(env);
    struct kv_env *other;

    ck_assert_uint_eq(info.page_size, 4096);
    ck_assert_uint_eq(info.flags, KV_CREATE);
    ck_assert_uint_eq(info.file_size_bytes, file_size(tmp_path("txn.db")));
    ck_assert_uint_ge(info.map_size_bytes, info.file_size_bytes);
    ck_assert_uint_ge(info.map_size_bytes, info.max_size_bytes);
    ck_assert_uint_ge(info.max_key_bytes, 1980);
    ck_assert_uint_eq(info.max_value_bytes, (uint64_t)1 << 40);
    ck_assert_uint_eq(info.processes, 1);
    ck_assert_uint_eq(info.readers, 0);
    ck_assert_uint_eq(info.txnid_rolled_back, 0);
    ck_assert_uint_eq(info.txnid_visible, info.txnid_committed);
    other = env_open(tmp_path("txn.db"), 0);
    ck_assert_uint_eq(env_info(env).processes, 2);
    ck_assert(memcmp(env_info(other).file_id, info.file_id, 16) == 0);
    env_close(other);
    ck_assert_uint_eq(env_info(env).processes, 1);
}
END_TEST

START_TEST(two_envs_of_one_process_see_each_others_commits)
{
    struct kv_env *other = env_open(tmp_path("txn.db"), 0);
    struct kv_txn *txn;

    for (unsigned i = 0; i < 10; i++) {
        put_commit(i % 2 ? env : other, "k", i % 2 ? "env" : "other");
        txn = txn_read(i % 2 ? other : env);
        has(txn, 0, "k", i % 2 ? "env" : "other");
        kv_txn_abort(txn);
    }
    env_close(other);
}
END_TEST

START_TEST(stat_counts_pages_exactly)
{
    struct kv_txn *txn = txn_write(env);
    struct kv_env_stat stat;
    struct kv_table_stat main_stat;
    struct kv_table_stat named_stat;
    kv_table table = table_make(txn, "t");

    fill_table(txn, 0, "x", 3000, 100);
    fill_table(txn, table, "x", 20, 20000);
    txn_commit(txn);
    txn = txn_read(env);
    stat = env_stat(txn);
    main_stat = table_stat(txn, 0);
    named_stat = table_stat(txn, table);
    ck_assert_uint_eq(stat.tables, 1);
    ck_assert_uint_eq(stat.pages_used + stat.pages_free, stat.pages_end);
    ck_assert_uint_le(stat.pages_end * 4096, env_info(env).file_size_bytes);
    /* the tables' pages, the map's, two metas, the snapshot page */
    ck_assert_uint_eq(stat.pages_used,
                      (main_stat.bytes + named_stat.bytes) / 4096 + stat.pages_map + 3);
    ck_assert_uint_eq(named_stat.pages_overflow, 20 * 5);
    kv_txn_abort(txn);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("api_txn");
    const TTest *tests[] = {
        a_commit_is_seen_by_txns_that_begin_after_it,
        an_aborted_txn_leaves_nothing,
        ids_ascend_by_one_and_name_snapshots,
        an_empty_commit_uses_up_no_id_and_writes_nothing,
        ids_go_on_after_a_reopen,
        a_txn_knows_its_env,
        a_writer_sees_its_own_changes_at_once,
        a_pinned_snapshot_reads_the_same_whatever_is_committed,
        a_pinned_snapshot_does_not_make_the_file_grow_without_end,
        a_second_writer_waits_for_the_first,
        a_writer_waits_no_longer_than_its_timeout,
        readers_never_wait_for_a_writer,
        a_reset_txn_pins_nothing_and_renew_pins_the_newest,
        a_reset_txn_may_be_aborted_or_committed,
        refresh_moves_to_the_newest_snapshot_and_tells,
        table_handles_hold_across_renew_and_follow_the_snapshot,
        cursors_left_open_are_closed_with_their_txn,
        readers_are_counted_and_listed,
        pages_that_only_a_reader_holds_are_told,
        the_list_of_readers_stops_when_told,
        readers_of_other_processes_are_seen_and_forgotten_when_they_die,
        info_tells_the_truth,
        two_envs_of_one_process_see_each_others_commits,
        stat_counts_pages_exactly,
    };

    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
        harness_add_fixture(s, "txn", tests[i], setup, teardown);
    return s;
}

HARNESS_MAIN(suite)
