/* SPDX-License-Identifier: MIT */
/* The live set (lib/txn/live.c) and cutting the file: docs/DURABILITY.md, sections 4 and 10. */
#include "recover_db.h"

#include "fault_os.h"
#include "harness.h"
#include "txn/durable.h"

enum {
    SMALL = 100,
    BIG = 5 << 20 /* more than one flush may cover */
};

static const char *path;
static struct kv_env *env;

static void start(void)
{
    tmp_clear();
    fault_install();
    path = tmp_path("a.db");
    env = db_open(path, KV_CREATE);
    for (unsigned key = 0; key < 50; key++)
        db_put(env, key, 1, SMALL);
}

static void stop(void)
{
    if (env)
        db_close(env);
    env = NULL;
    fault_remove();
}

static void metas(struct kvi_meta meta[2])
{
    struct db_image image = db_load(path);

    ck_assert_int_eq(db_meta(&image, 0, &meta[0]), KVI_META_OK);
    ck_assert_int_eq(db_meta(&image, 1, &meta[1]), KVI_META_OK);
    db_release(&image);
}

static int count_words(const struct kvi_live *live, uint64_t word)
{
    int count = 0;

    for (size_t i = 0; i < live->count; i++)
        count += live->snapshots[i].word == word;
    return count;
}

START_TEST(slots_committed_visible_durable_and_readers_are_live_each_once)
{
    struct kv_txn *old;
    struct kv_txn *older;
    struct kvi_live live;
    uint64_t word;
    uint64_t word_older;

    ck_ok(kv_txn_begin(env, KV_READ, NULL, &older));
    word_older = atomic_load(&env->shared->visible);
    for (unsigned i = 0; i < 5; i++)
        db_put(env, 1, 2, SMALL);
    word = atomic_load(&env->shared->visible);
    ck_ok(kv_txn_begin(env, KV_READ, NULL, &old));
    for (int i = 0; i < 5 + _i; i++) /* the durable one in either slot */
        db_put(env, 1, 2, SMALL);
    db_put_lazy(env, 1, 3, SMALL);
    ck_ok(kvi_live_collect(env, &live));
    ck_assert_int_eq(count_words(&live, word), 1);
    ck_assert_int_eq(count_words(&live, word_older), 1);
    ck_assert_int_eq(count_words(&live, atomic_load(&env->shared->slot_word[0])), 1);
    ck_assert_int_eq(count_words(&live, atomic_load(&env->shared->slot_word[1])), 1);
    ck_assert_int_eq(count_words(&live, atomic_load(&env->shared->committed)), 1);
    ck_assert_uint_eq(live.count, 5);
    kvi_live_release(&live);
    kv_txn_abort(old);
    kv_txn_abort(older);
    ck_ok(kvi_live_collect(env, &live));
    ck_assert_uint_eq(live.count, 3);
    kvi_live_release(&live);
}
END_TEST

START_TEST(more_readers_than_first_room_are_all_live)
{
    struct kv_txn *txns[40];
    struct kvi_live live;

    for (unsigned i = 0; i < 40; i++) {
        ck_ok(kv_txn_begin(env, KV_READ, NULL, &txns[i]));
        db_put(env, 1, 2 + i, SMALL);
    }
    ck_ok(kvi_live_collect(env, &live));
    ck_assert_uint_ge(live.count, 41);
    kvi_live_release(&live);
    for (unsigned i = 0; i < 40; i++)
        kv_txn_abort(txns[i]);
}
END_TEST

START_TEST(a_word_that_names_no_snapshot_is_damage_and_touches_nothing)
{
    static const uint64_t words[] = {
        0,         1, 0xFFFF, (uint64_t)16 << 16, (uint64_t)3 << 16 | 5, (uint64_t)1 << 40 << 16,
        UINT64_MAX};
    struct kvi_snapshot snapshot;
    int rc = kvi_snapshot_load(env, words[_i], &snapshot);

    ck_assert(rc == KV_ECORRUPT || rc == KV_ESIZELIMIT);
}
END_TEST

static void delete_all(void)
{
    struct kv_txn *txn;

    ck_ok(kv_txn_begin(env, KV_WRITE, NULL, &txn));
    ck_ok(kv_table_empty(txn, KV_MAIN_TABLE));
    ck_ok(kv_txn_commit(txn));
}

START_TEST(the_file_is_cut_when_its_end_is_free_and_not_before)
{
    struct kv_txn *reader;
    uint64_t large;

    db_put(env, 1, 2, BIG);
    large = file_size(path);
    ck_ok(kv_txn_begin(env, KV_READ, NULL, &reader));
    delete_all();
    for (unsigned i = 0; i < 5; i++)
        db_put(env, 2, 2 + i, SMALL);
    ck_assert_uint_ge(file_size(path), large - (large / 8));
    kv_txn_abort(reader);
    for (unsigned i = 0; i < 5; i++)
        db_put(env, 2, 2 + i, SMALL);
    ck_assert_uint_lt(file_size(path), 1 << 20);
    db_check(env);
}
END_TEST

START_TEST(an_exact_cut_leaves_just_what_the_newest_snapshots_claim)
{
    struct kvi_meta meta[2];
    uint64_t end;

    db_put(env, 1, 2, BIG);
    delete_all();
    db_put(env, 1, 2, SMALL);
    db_put(env, 1, 2, SMALL);
    ck_ok(kv_env_trim(env, 0, NULL));
    metas(meta);
    end = meta[0].page_end > meta[1].page_end ? meta[0].page_end : meta[1].page_end;
    ck_assert_uint_eq(file_size(path), end * 4096);
    db_check(env);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("live");

    harness_add_fixture(s, "live", more_readers_than_first_room_are_all_live, start, stop);
    harness_add_loop(s, "live", slots_committed_visible_durable_and_readers_are_live_each_once, 0,
                     2);
    harness_add_loop(s, "live", a_word_that_names_no_snapshot_is_damage_and_touches_nothing, 0, 7);
    harness_add_fixture(s, "cut", the_file_is_cut_when_its_end_is_free_and_not_before, start, stop);
    harness_add(s, "cut", an_exact_cut_leaves_just_what_the_newest_snapshots_claim);
    return s;
}

HARNESS_MAIN(suite)
