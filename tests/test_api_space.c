/* SPDX-License-Identifier: MIT */
/*
 * Where space goes, through kv.h: files shrink after deletes, at commits, at the last close and by
 * kv_env_trim; punched ranges give blocks back and are used again; nobody's snapshot is touched by
 * any of it.
 */
#include "api_help.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define KIB ((uint64_t)1 << 10)

static struct kv_env *env;
static const char *path;

static void setup(void)
{
    path = tmp_path("space.db");
    env = env_new("space.db");
}

static void teardown(void)
{
    env_finish(env);
}

static uint64_t blocks_bytes(void)
{
    struct stat st;

    ck_assert_int_eq(stat(path, &st), 0);
    return (uint64_t)st.st_blocks * 512;
}

/* The slots come to name snapshots that stand where the old ones, no longer live, left room
 * below. */
static void settle(void)
{
    for (int i = 0; i < 4; i++) {
        put_commit(env, "settle", i % 2 ? "1" : "2");
        ck_ok(kv_env_sync(env));
    }
}

/* Deletes all of fill_commit's records but those below `keep`. */
static void shrink_to(unsigned keep, unsigned count)
{
    struct kv_txn *txn = txn_write(env);
    char key[16];

    for (unsigned i = keep; i < count; i++) {
        snprintf(key, sizeof(key), "key%06u", i);
        del(txn, 0, key);
    }
    txn_commit(txn);
    settle();
}

static void still_has(unsigned count, size_t value_bytes)
{
    struct kv_txn *txn = txn_read(env);
    char key[16];

    for (unsigned i = 0; i < count; i++) {
        snprintf(key, sizeof(key), "key%06u", i);
        has_bytes(txn, 0, key, value_bytes, i);
    }
    kv_txn_abort(txn);
}

/* ---- Shrinking ---- */

START_TEST(a_file_shrinks_after_its_records_were_deleted)
{
    uint64_t full;
    uint64_t bytes;

    fill_commit(env, 20000, 200);
    full = env_info(env).file_size_bytes;
    ck_assert_uint_gt(full, 4000 * KIB);
    empty_commit(env);
    settle();
    ck_ok(kv_env_trim(env, 0, &bytes));
    ck_assert_uint_lt(env_info(env).file_size_bytes, 200 * KIB);
    env_sound(env);
    fill_commit(env, 20000, 200);
    still_has(20000, 200);
}
END_TEST

START_TEST(trim_tells_how_much_it_gave_back)
{
    uint64_t before;
    uint64_t bytes = 1;

    fill_commit(env, 20000, 200);
    ck_ok(kv_env_sync(env));
    empty_commit(env);
    settle();
    before = blocks_bytes();
    ck_ok(kv_env_trim(env, KV_TRIM_PUNCH, &bytes));
    ck_assert_uint_eq(before - blocks_bytes(), bytes);
    ck_ok(kv_env_trim(env, KV_TRIM_PUNCH, &bytes));
    ck_assert_uint_eq(bytes, 0);
    ck_ok(kv_env_trim(env, 0, NULL));
    ck_assert_uint_lt(blocks_bytes(), 300 * KIB);
}
END_TEST

START_TEST(the_last_close_cuts_the_file)
{
    uint64_t size;

    fill_commit(env, 20000, 200);
    empty_commit(env);
    settle();
    env_close(env);
    size = file_size(path);
    env = env_open(path, 0);
    ck_assert_uint_lt(size, 300 * KIB);
}
END_TEST

START_TEST(a_file_shrinks_by_itself_when_most_is_free_at_its_end)
{
    uint64_t full;

    fill_commit(env, 100, 200);
    for (unsigned i = 0; i < 3; i++) {
        struct kv_txn *txn = txn_write(env);

        put_bytes(txn, 0, "large", 8 << 20, i);
        txn_commit(txn);
    }
    full = env_info(env).file_size_bytes;
    shrink_to(100, 100);
    struct kv_txn *txn = txn_write(env);
    del(txn, 0, "large");
    txn_commit(txn);
    settle();
    settle();
    ck_assert_uint_lt(env_info(env).file_size_bytes, full / 2);
    still_has(100, 200);
}
END_TEST

/* ---- Punching ---- */

START_TEST(punched_ranges_give_blocks_back_and_are_used_again)
{
    uint64_t bytes;
    uint64_t size;
    struct kv_txn *txn;
    uint64_t before;

    txn = txn_write(env);
    put_bytes(txn, 0, "large", 8 << 20, 1);
    txn_commit(txn);
    fill_commit(env, 2000, 500); /* behind the large value, so that its place cannot be cut off */
    txn = txn_write(env);
    del(txn, 0, "large");
    txn_commit(txn);
    settle();
    before = blocks_bytes();
    size = env_info(env).file_size_bytes;
    ck_ok(kv_env_trim(env, KV_TRIM_PUNCH, &bytes));
    ck_assert_uint_ge(bytes, 7 << 20);
    ck_assert_uint_le(blocks_bytes(), before - (7 << 20));
    ck_assert_uint_gt(env_info(env).file_size_bytes, size / 2);
    still_has(2000, 500);
    env_sound(env);
    txn = txn_write(env);
    put_bytes(txn, 0, "again", 7 << 20, 2);
    txn_commit(txn);
    txn = txn_read(env);
    has_bytes(txn, 0, "again", 7 << 20, 2);
    kv_txn_abort(txn);
    ck_assert_uint_le(env_info(env).file_size_bytes, size);
    still_has(2000, 500);
}
END_TEST

START_TEST(small_gaps_are_not_punched)
{
    uint64_t bytes;
    struct kv_txn *txn;

    fill_commit(env, 5000, 1000);
    settle();
    ck_ok(kv_env_trim(env, KV_TRIM_PUNCH, NULL));
    txn = txn_write(env);
    for (unsigned i = 0; i < 5000; i += 40) { /* ten leaves apart */
        char key[16];

        snprintf(key, sizeof(key), "key%06u", i);
        put_bytes(txn, 0, key, 1000, i);
    }
    txn_commit(txn);
    settle();
    ck_ok(kv_env_trim(env, KV_TRIM_PUNCH, &bytes));
    ck_assert_uint_lt(bytes, 1 << 20);
    still_has(5000, 1000);
}
END_TEST

/* ---- Snapshots ---- */

START_TEST(trim_touches_no_pinned_snapshot)
{
    struct kv_txn *pinned;
    uint64_t digest;

    fill_commit(env, 20000, 200);
    pinned = txn_read(env);
    digest = txn_digest(pinned);
    empty_commit(env);
    settle();
    for (int i = 0; i < 3; i++) {
        ck_ok(kv_env_trim(env, KV_TRIM_PUNCH, NULL));
        fill_commit(env, 3000, 300);
        settle();
        ck_assert_uint_eq(txn_digest(pinned), digest);
    }
    kv_txn_abort(pinned);
    empty_commit(env);
    settle();
    ck_ok(kv_env_trim(env, 0, NULL));
    ck_assert_uint_lt(env_info(env).file_size_bytes, 1000 * KIB);
}
END_TEST

START_TEST(trim_changes_no_record_and_no_id)
{
    struct kv_env_info before;
    uint64_t digest;

    fill_commit(env, 20000, 200);
    shrink_to(500, 20000);
    before = env_info(env);
    digest = env_digest(env);
    ck_ok(kv_env_trim(env, KV_TRIM_PUNCH, NULL));
    ck_assert_uint_eq(env_digest(env), digest);
    ck_assert_uint_eq(env_info(env).txnid_committed, before.txnid_committed);
    put_commit(env, "k", "v");
    ck_assert_uint_eq(env_info(env).txnid_committed, before.txnid_committed + 1);
    env_close(env);
    env = env_open(path, 0);
    still_has(500, 200);
}
END_TEST

START_TEST(trim_makes_what_was_committed_durable_first)
{
    struct kv_env_info info;

    fill_commit(env, 5000, 200);
    settle();
    empty_commit(env);
    info = env_info(env);
    ck_assert_uint_lt(info.txnid_durable, info.txnid_committed);
    ck_ok(kv_env_trim(env, 0, NULL));
    info = env_info(env);
    ck_assert_uint_eq(info.txnid_durable, info.txnid_committed);
    env_sound(env);
}
END_TEST

/* ---- Defragmentation ---- */

/* Records all over the file, tables among them, of which every tenth stays. */
static uint64_t scatter(void)
{
    struct kv_txn *txn = txn_write(env);
    kv_table table = table_make(txn, "t");
    char key[16];

    fill_table(txn, 0, "key", 10000, 300);
    fill_table(txn, table, "key", 10000, 300);
    txn_commit(txn);
    txn = txn_write(env);
    put_bytes(txn, table, "large", 100000, 1); /* at the end */
    for (unsigned i = 0; i < 10000; i++) {
        snprintf(key, sizeof(key), "key%06u", i);
        if (i % 10)
            del(txn, 0, key);
        if (i % 10 || i < 5000)
            del(txn, table, key);
    }
    txn_commit(txn);
    settle();
    return env_digest(env);
}

START_TEST(defragmenting_moves_the_tail_down_and_changes_no_record)
{
    uint64_t digest = scatter();
    uint64_t before;
    uint64_t bytes;
    uint64_t used;
    struct kv_txn *txn;

    ck_ok(kv_env_trim(env, 0, NULL));
    before = env_info(env).file_size_bytes;
    ck_ok(kv_env_trim(env, KV_TRIM_DEFRAGMENT, &bytes));
    ck_assert_uint_eq(env_digest(env), digest);
    txn = txn_read(env);
    used = env_stat(txn).pages_used * 4096;
    has_bytes(txn, table_find(txn, "t"), "large", 100000, 1);
    kv_txn_abort(txn);
    ck_assert_uint_le(env_info(env).file_size_bytes, used * 3 / 2);
    ck_assert_uint_lt(env_info(env).file_size_bytes, before * 2 / 3);
    ck_assert_uint_gt(bytes, 0);
    env_sound(env);
    env_close(env);
    env = env_open(path, 0);
    ck_assert_uint_eq(env_digest(env), digest);
}
END_TEST

START_TEST(defragmenting_leaves_what_readers_hold)
{
    struct kv_txn *pinned;
    uint64_t digest;
    uint64_t now;

    fill_commit(env, 5000, 300);
    pinned = txn_read(env);
    digest = txn_digest(pinned);
    now = scatter();
    for (int i = 0; i < 2; i++) {
        ck_ok(kv_env_trim(env, KV_TRIM_DEFRAGMENT | KV_TRIM_PUNCH, NULL));
        ck_assert_uint_eq(txn_digest(pinned), digest);
        ck_assert_uint_eq(env_digest(env), now);
    }
    kv_txn_abort(pinned);
    ck_ok(kv_env_trim(env, KV_TRIM_DEFRAGMENT, NULL));
    ck_assert_uint_eq(env_digest(env), now);
}
END_TEST

START_TEST(defragmenting_a_dense_or_empty_database_changes_nothing)
{
    uint64_t size;

    ck_ok(kv_env_trim(env, KV_TRIM_DEFRAGMENT, NULL));
    fill_commit(env, 10000, 200);
    ck_ok(kv_env_trim(env, KV_TRIM_DEFRAGMENT, NULL));
    size = env_info(env).file_size_bytes;
    ck_ok(kv_env_trim(env, KV_TRIM_DEFRAGMENT, NULL));
    ck_assert_uint_le(env_info(env).file_size_bytes, size);
    still_has(10000, 200);
}
END_TEST

/* ---- Reuse ---- */

START_TEST(overwriting_again_and_again_does_not_grow_the_file)
{
    uint64_t size;

    fill_commit(env, 5000, 200);
    for (int i = 0; i < 3; i++) {
        fill_commit(env, 5000, 200);
        ck_ok(kv_env_sync(env));
    }
    size = env_info(env).file_size_bytes;
    for (int i = 0; i < 20; i++) {
        fill_commit(env, 5000, 200);
        ck_ok(kv_env_sync(env));
    }
    ck_assert_uint_le(env_info(env).file_size_bytes, size + size / 4);
}
END_TEST

START_TEST(large_values_of_changing_sizes_do_not_grow_the_file_without_end)
{
    uint64_t size = 0;
    struct rng rng;

    rng_seed(&rng, "sizes", 9);
    for (unsigned i = 0; i < 300; i++) {
        struct kv_txn *txn = txn_write(env);
        char key[8];

        snprintf(key, sizeof(key), "%u", (unsigned)rng_below(&rng, 20));
        put_bytes(txn, 0, key, rng_between(&rng, 5000, 200000), i);
        txn_commit(txn);
        if (i == 100)
            size = env_info(env).file_size_bytes;
    }
    ck_assert_uint_le(env_info(env).file_size_bytes, size * 2);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("api_space");
    const TTest *tests[] = {
        a_file_shrinks_after_its_records_were_deleted,
        trim_tells_how_much_it_gave_back,
        the_last_close_cuts_the_file,
        a_file_shrinks_by_itself_when_most_is_free_at_its_end,
        punched_ranges_give_blocks_back_and_are_used_again,
        small_gaps_are_not_punched,
        trim_touches_no_pinned_snapshot,
        trim_changes_no_record_and_no_id,
        trim_makes_what_was_committed_durable_first,
        defragmenting_moves_the_tail_down_and_changes_no_record,
        defragmenting_leaves_what_readers_hold,
        defragmenting_a_dense_or_empty_database_changes_nothing,
        overwriting_again_and_again_does_not_grow_the_file,
        large_values_of_changing_sizes_do_not_grow_the_file_without_end,
    };

    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
        harness_add_fixture(s, "space", tests[i], setup, teardown);
    return s;
}

HARNESS_MAIN(suite)
