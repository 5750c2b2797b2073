/* SPDX-License-Identifier: MIT */
/*
 * Clones of read txns through kv.h: they read the very snapshot of another, whichever of the two
 * ends first, and keep its pages from being used again.
 */
#include "api_help.h"

#include <stdlib.h>

enum { RECORDS = 300, VALUE_BYTES = 200, CLONES = 20 };

static struct kv_env *env;

static void setup(void)
{
    env = env_new("clone.db");
    fill_commit(env, RECORDS, VALUE_BYTES);
}

static void teardown(void)
{
    env_finish(env);
}

/* ---- Verbs ---- */

static struct kv_txn *clone_of(struct kv_txn *other)
{
    struct kv_txn_options options = {.clone = other};
    struct kv_txn *txn;

    ck_ok(kv_txn_begin(kv_txn_env(other), KV_READ, &options, &txn));
    return txn;
}

/* Commits that would write over every page that no live snapshot claims. */
static void churn(void)
{
    for (unsigned i = 0; i < 10; i++) {
        struct kv_txn *txn = txn_write(env);

        for (unsigned n = 0; n < RECORDS; n++) {
            char key[32];

            snprintf(key, sizeof(key), "churn%06u", n);
            put_bytes(txn, KV_MAIN_TABLE, key, VALUE_BYTES, i * RECORDS + n);
        }
        txn_commit(txn);
    }
}

static uint64_t digest(struct kv_txn *txn)
{
    return txn_digest(txn);
}

/* ---- Whichever ends first ---- */

START_TEST(a_clone_reads_the_others_snapshot_not_the_newest)
{
    struct kv_txn *txn = txn_read(env);
    struct kv_txn *clone;

    put_commit(env, "later", "1");
    clone = clone_of(txn);
    ck_assert_uint_eq(kv_txn_id(clone), kv_txn_id(txn));
    lacks(clone, KV_MAIN_TABLE, "later");
    ck_assert_uint_eq(digest(clone), digest(txn));
    kv_txn_abort(clone);
    kv_txn_abort(txn);
}
END_TEST

START_TEST(either_may_end_first)
{
    for (int first = 0; first < 2; first++) {
        struct kv_txn *txns[2];
        uint64_t content;

        txns[0] = txn_read(env);
        content = digest(txns[0]);
        put_commit(env, "later", "1");
        txns[1] = clone_of(txns[0]);
        kv_txn_abort(txns[first]);
        churn();
        ck_assert_uint_eq(digest(txns[1 - first]), content);
        lacks(txns[1 - first], KV_MAIN_TABLE, "churn000000");
        txn_commit(txns[1 - first]);
        empty_commit(env);
        fill_commit(env, RECORDS, VALUE_BYTES);
    }
}
END_TEST

START_TEST(clones_of_clones_hold_the_snapshot_until_the_last_ends)
{
    struct kv_txn *txns[CLONES];
    struct rng rng;
    uint64_t content;

    rng_seed(&rng, "clones", 12);
    txns[0] = txn_read(env);
    content = digest(txns[0]);
    put_commit(env, "later", "1");
    for (unsigned i = 1; i < CLONES; i++)
        txns[i] = clone_of(txns[rng_below(&rng, i)]);
    for (unsigned left = CLONES; left > 0; left--) {
        unsigned i = (unsigned)rng_below(&rng, left);

        ck_assert_uint_eq(digest(txns[i]), content);
        kv_txn_abort(txns[i]);
        txns[i] = txns[left - 1];
        if (left % 5 == 0)
            churn();
    }
    ck_assert_uint_eq(env_info(env).readers, 0);
}
END_TEST

START_TEST(clones_take_one_reader_slot)
{
    struct kv_options options = KV_OPTIONS_INIT;
    struct kv_txn *txns[CLONES];
    struct kv_env *narrow;
    struct kv_txn *none;

    options.flags = KV_CREATE;
    options.max_readers = 1;
    narrow = env_open_with(tmp_path("narrow.db"), &options);
    txns[0] = txn_read(narrow);
    for (unsigned i = 1; i < CLONES; i++)
        txns[i] = clone_of(txns[i - 1]);
    ck_assert_uint_eq(env_info(narrow).readers, 1);
    ck_rc(kv_txn_begin(narrow, KV_READ, NULL, &none), KV_EREADERS);
    for (unsigned i = 0; i < CLONES; i++)
        kv_txn_abort(txns[i]);
    ck_assert_uint_eq(env_info(narrow).readers, 0);
    kv_txn_abort(txn_read(narrow));
    env_close(narrow);
}
END_TEST

/* ---- Reset, renew, refresh ---- */

START_TEST(a_reset_of_one_leaves_the_other)
{
    for (int first = 0; first < 2; first++) {
        struct kv_txn *txns[2];
        uint64_t content;

        txns[0] = txn_read(env);
        txns[1] = clone_of(txns[0]);
        content = digest(txns[0]);
        kv_txn_reset(txns[first]);
        ck_assert_uint_eq(kv_txn_id(txns[first]), 0);
        churn();
        ck_assert_uint_eq(digest(txns[1 - first]), content);
        ck_ok(kv_txn_renew(txns[first]));
        has_bytes(txns[first], KV_MAIN_TABLE, "churn000000", VALUE_BYTES, 9 * RECORDS);
        lacks(txns[1 - first], KV_MAIN_TABLE, "churn000000");
        kv_txn_abort(txns[1 - first]);
        churn();
        has_bytes(txns[first], KV_MAIN_TABLE, "churn000000", VALUE_BYTES, 9 * RECORDS);
        kv_txn_abort(txns[first]);
        empty_commit(env);
        fill_commit(env, RECORDS, VALUE_BYTES);
    }
}
END_TEST

START_TEST(a_refresh_of_one_leaves_the_other)
{
    struct kv_txn *txn = txn_read(env);
    struct kv_txn *clone = clone_of(txn);
    uint64_t content = digest(txn);
    int moved;

    ck_ok(kv_txn_refresh(clone, &moved));
    ck_assert_int_eq(moved, 0);
    put_commit(env, "later", "1");
    ck_ok(kv_txn_refresh(clone, &moved));
    ck_assert_int_eq(moved, 1);
    has(clone, KV_MAIN_TABLE, "later", "1");
    churn();
    ck_assert_uint_eq(digest(txn), content);
    kv_txn_abort(txn);
    churn();
    has(clone, KV_MAIN_TABLE, "later", "1");
    lacks(clone, KV_MAIN_TABLE, "churn000000");
    kv_txn_abort(clone);
}
END_TEST

START_TEST(the_last_of_many_is_an_ordinary_read_txn)
{
    struct kv_txn *txn = txn_read(env);
    struct kv_txn *clone = clone_of(txn);

    kv_txn_abort(txn);
    kv_txn_reset(clone);
    ck_assert_uint_eq(env_info(env).readers, 0);
    ck_ok(kv_txn_renew(clone));
    ck_assert_uint_eq(env_info(env).readers, 1);
    kv_txn_reset(clone);
    kv_txn_abort(clone);
}
END_TEST

START_TEST(a_clone_that_was_reset_while_others_live_may_find_no_slot)
{
    struct kv_options options = KV_OPTIONS_INIT;
    struct kv_env *narrow;
    struct kv_txn *clone;
    struct kv_txn *txn;

    options.flags = KV_CREATE;
    options.max_readers = 1;
    narrow = env_open_with(tmp_path("narrow.db"), &options);
    txn = txn_read(narrow);
    clone = clone_of(txn);
    kv_txn_reset(clone);
    ck_rc(kv_txn_renew(clone), KV_EREADERS);
    kv_txn_abort(txn);
    ck_ok(kv_txn_renew(clone));
    kv_txn_abort(clone);
    env_close(narrow);
}
END_TEST

/* ---- With tables and cursors ---- */

START_TEST(a_clone_has_tables_and_cursors_of_its_own)
{
    struct kv_txn *txn = txn_write(env);
    struct kv_cursor *cursors[2];
    struct kv_val key;
    kv_table table;

    table = table_make(txn, "t");
    put(txn, table, "a", "1");
    put(txn, table, "b", "2");
    txn_commit(txn);
    txn = txn_read(env);
    has(txn, table, "a", "1");
    ck_ok(kv_cursor_open(txn, table, &cursors[0]));
    ck_ok(kv_cursor_get(cursors[0], KV_FIRST, &key, NULL));
    {
        struct kv_txn *clone = clone_of(txn);

        ck_ok(kv_cursor_open(clone, table, &cursors[1]));
        ck_ok(kv_cursor_get(cursors[1], KV_LAST, &key, NULL));
        expect_text(&key, "b");
        kv_txn_abort(txn);
        ck_ok(kv_cursor_get(cursors[1], KV_PREV, &key, NULL));
        expect_text(&key, "a");
        kv_txn_abort(clone);
    }
}
END_TEST

START_TEST(a_clone_in_a_database_without_locks)
{
    struct kv_options options = KV_OPTIONS_INIT;
    struct kv_env *free_env;
    struct kv_txn *clone;
    struct kv_txn *txn;

    options.flags = KV_CREATE | KV_NOLOCK;
    free_env = env_open_with(tmp_path("nolock.db"), &options);
    put_commit(free_env, "k", "1");
    txn = txn_read(free_env);
    clone = clone_of(txn);
    kv_txn_abort(txn);
    put_commit(free_env, "k", "2");
    put_commit(free_env, "k", "3");
    put_commit(free_env, "k", "4");
    has(clone, KV_MAIN_TABLE, "k", "1");
    kv_txn_abort(clone);
    env_close(free_env);
}
END_TEST

/* ---- What cannot be cloned ---- */

START_TEST(only_a_live_read_txn_of_the_same_env_is_cloned)
{
    struct kv_env *other = env_new("other.db");
    struct kv_txn *reader = txn_read(env);
    struct kv_txn *writer = txn_write(env);
    struct kv_txn_options options = {.clone = reader};
    struct kv_txn *txn;

    ck_rc(kv_txn_begin(env, KV_WRITE, &options, &txn), KV_EINVAL);
    ck_assert_ptr_null(txn);
    ck_rc(kv_txn_begin(other, KV_READ, &options, &txn), KV_EINVAL);
    options.clone = writer;
    ck_rc(kv_txn_begin(env, KV_READ, &options, &txn), KV_EINVAL);
    kv_txn_reset(reader);
    options.clone = reader;
    ck_rc(kv_txn_begin(env, KV_READ, &options, &txn), KV_EBADTXN);
    kv_txn_abort(reader);
    kv_txn_abort(writer);
    env_close(other);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("clone");

    harness_add_fixture(s, "end", a_clone_reads_the_others_snapshot_not_the_newest, setup,
                        teardown);
    harness_add_fixture(s, "end", either_may_end_first, setup, teardown);
    harness_add_fixture(s, "end", clones_of_clones_hold_the_snapshot_until_the_last_ends, setup,
                        teardown);
    harness_add_fixture(s, "end", clones_take_one_reader_slot, setup, teardown);
    harness_add_fixture(s, "renew", a_reset_of_one_leaves_the_other, setup, teardown);
    harness_add_fixture(s, "renew", a_refresh_of_one_leaves_the_other, setup, teardown);
    harness_add_fixture(s, "renew", the_last_of_many_is_an_ordinary_read_txn, setup, teardown);
    harness_add_fixture(s, "renew", a_clone_that_was_reset_while_others_live_may_find_no_slot,
                        setup, teardown);
    harness_add_fixture(s, "tables", a_clone_has_tables_and_cursors_of_its_own, setup, teardown);
    harness_add_fixture(s, "tables", a_clone_in_a_database_without_locks, setup, teardown);
    harness_add_fixture(s, "refused", only_a_live_read_txn_of_the_same_env_is_cloned, setup,
                        teardown);
    return s;
}

HARNESS_MAIN(suite)
