/* SPDX-License-Identifier: MIT */
/* What the options of an env do: limits, page sizes, durability, memory, modes, lock file, ways
 * to open. */
#include "api_help.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIB ((uint64_t)1 << 20)

static struct kv_options options;

static void setup(void)
{
    const struct kv_options fresh = KV_OPTIONS_INIT;

    tmp_clear();
    options = fresh;
    options.flags = KV_CREATE;
    options.durability = KV_LAZY;
}

static void teardown(void)
{
    tmp_clear();
}

static struct kv_env *opened(const char *name)
{
    return env_open_with(tmp_path("%s", name), &options);
}

/* Puts records of about 1 KiB until it fails; aborts and gives the result. */
static int fill_until_error(struct kv_env *env, unsigned count)
{
    struct kv_txn *txn = txn_write(env);
    char value[1000];
    int rc = 0;

    memset(value, 'v', sizeof(value));
    for (unsigned i = 0; i < count && !rc; i++) {
        struct kv_val v = bytes_val(value, sizeof(value));
        struct kv_val k;
        char key[16];

        k = bytes_val(key, (size_t)snprintf(key, sizeof(key), "fill%06u", i));
        rc = kv_put(txn, KV_MAIN_TABLE, &k, &v, 0);
    }
    if (rc) {
        kv_txn_abort(txn);
        return rc;
    }
    return kv_txn_commit(txn);
}

/* ---- Sizes ---- */

START_TEST(a_txn_past_the_size_limit_fails_and_later_smaller_ones_work)
{
    struct kv_env *env;

    options.max_size_bytes = MIB;
    env = opened("limit.db");
    ck_assert_uint_eq(env_info(env).max_size_bytes, MIB);
    put_commit(env, "before", "1");
    ck_rc(fill_until_error(env, 2000), KV_ESIZELIMIT);
    expect_error_text("limit.db");
    ck_assert_uint_le(env_info(env).file_size_bytes, MIB);
    env_sound(env);
    put_commit(env, "after", "1");
    ck_ok(fill_until_error(env, 300));
    env_sound(env);
    env_close(env);
    ck_assert_uint_le(file_size(tmp_path("limit.db")), MIB);
}
END_TEST

/* 600 records take 200 pages of the 256: each round needs the pages of the one before. */
START_TEST(a_full_database_can_be_emptied_and_filled_again)
{
    struct kv_env *env;

    options.max_size_bytes = MIB;
    options.durability = KV_DURABLE; /* else the durable snapshot keeps what was deleted */
    env = opened("limit.db");
    for (int i = 0; i < 5; i++) {
        ck_ok(fill_until_error(env, 600));
        ck_rc(fill_until_error(env, 1200), KV_ESIZELIMIT);
        empty_commit(env);
        put_commit(env, "a", "1");
        put_commit(env, "a", "2");
    }
    env_sound(env);
    env_close(env);
}
END_TEST

START_TEST(a_txn_that_failed_by_the_limit_can_only_be_aborted)
{
    struct kv_env *env;
    struct kv_txn *txn;
    int rc = 0;

    options.max_size_bytes = MIB;
    env = opened("limit.db");
    txn = txn_write(env);
    for (unsigned i = 0; i < 100 && !rc; i++) {
        struct kv_val key = bytes_val(&i, sizeof(i));
        struct kv_val value = {100000, NULL};

        rc = kv_put(txn, KV_MAIN_TABLE, &key, &value, KV_RESERVE);
        if (!rc)
            memset(value.data, 'r', value.size);
    }
    ck_rc(rc, KV_ESIZELIMIT);
    ck_rc(try_put(txn, KV_MAIN_TABLE, "k", "v", 0), KV_EBADTXN);
    ck_rc(try_get(txn, KV_MAIN_TABLE, "k"), KV_EBADTXN);
    ck_rc(kv_txn_commit(txn), KV_EBADTXN);
    txn = txn_read(env);
    ck_assert_uint_eq(table_stat(txn, KV_MAIN_TABLE).entries, 0);
    kv_txn_abort(txn);
    env_sound(env);
    env_close(env);
}
END_TEST

START_TEST(the_limit_is_this_envs_and_not_the_files)
{
    struct kv_env *small;
    struct kv_env *large = opened("limit.db");

    fill_commit(large, 3000, 1000);
    options.max_size_bytes = MIB;
    small = opened("limit.db");
    ck_rc(fill_until_error(small, 3000), KV_ESIZELIMIT);
    ck_ok(fill_until_error(large, 3000));
    env_close(small);
    env_sound(large);
    env_close(large);
}
END_TEST

START_TEST(page_sizes_from_4_to_64_kib_work_and_are_read_from_the_file)
{
    uint32_t page_size = 4096u << _i;
    uint64_t key_bytes;
    struct kv_env *env;
    struct kv_txn *txn;
    uint64_t digest;

    options.page_size = page_size;
    env = opened("pages.db");
    ck_assert_uint_eq(env_info(env).page_size, page_size);
    key_bytes = env_info(env).max_key_bytes;
    ck_assert_uint_ge(key_bytes, page_size * 48 / 100);
    txn = txn_write(env);
    fill_table(txn, KV_MAIN_TABLE, "k", 2000, 200);
    fill_table(txn, table_make(txn, "t"), "k", 500, page_size / 3);
    put_bytes(txn, KV_MAIN_TABLE, "large", 300000, 7);
    txn_commit(txn);
    env_sound(env);
    digest = env_digest(env);
    env_close(env);
    options.page_size = page_size == 4096 ? 65536 : 4096; /* only looked at when the file is made */
    env = opened("pages.db");
    ck_assert_uint_eq(env_info(env).page_size, page_size);
    ck_assert_uint_eq(env_digest(env), digest);
    txn = txn_read(env);
    ck_assert_uint_eq(table_stat(txn, KV_MAIN_TABLE).page_size, page_size);
    kv_txn_abort(txn);
    env_close(env);
}
END_TEST

/* ---- Reservation ---- */

START_TEST(a_small_reservation_is_a_limit_with_an_error_of_its_own)
{
    struct kv_env *env;

    options.reserve_bytes = 2 * MIB;
    env = opened("small.db");
    ck_assert_uint_le(env_info(env).max_size_bytes, env_info(env).map_size_bytes);
    ck_assert_uint_le(env_info(env).map_size_bytes, 4 * MIB);
    ck_rc(fill_until_error(env, 10000), KV_ESIZELIMIT);
    ck_ok(fill_until_error(env, 500));
    env_sound(env);
    env_close(env);
}
END_TEST

START_TEST(the_default_reservation_is_large_and_many_envs_have_room)
{
    struct kv_env *env[40];

    for (int i = 0; i < 40; i++) {
        char name[16];

        snprintf(name, sizeof(name), "e%d.db", i);
        env[i] = opened(name);
        ck_assert_uint_ge(env_info(env[i]).map_size_bytes, (uint64_t)1 << 30);
        put_commit(env[i], "k", "v");
    }
    for (int i = 0; i < 40; i++)
        env_close(env[i]);
}
END_TEST

/* An env with little room, and another that lets the file grow past it: it works on or says so. */
static int grow_file(void *context)
{
    struct kv_env *env;
    int rc = kv_env_open(context, NULL, &env);

    if (rc)
        return 1;
    rc = fill_until_error(env, 9000);
    return kv_env_close(env) || rc ? 2 : 0;
}

START_TEST(a_file_that_grew_past_a_reservation_is_refused_until_it_is_reopened)
{
    const char *path = tmp_path("grow.db");
    struct kv_env *env;
    struct kv_txn *old;
    struct kv_txn *txn;
    int rc;

    options.reserve_bytes = 2 * MIB;
    env = opened("grow.db");
    put_commit(env, "first", "1");
    old = txn_read(env);
    ck_assert_int_eq(in_child(grow_file, (void *)(uintptr_t)path), 0);
    ck_assert_uint_gt(file_size(path), 4 * MIB);
    has(old, KV_MAIN_TABLE, "first", "1");
    rc = kv_txn_begin(env, KV_READ, NULL, &txn);
    ck_assert(rc == 0 || rc == KV_ESIZELIMIT);
    kv_txn_abort(txn);
    rc = kv_txn_begin(env, KV_WRITE, NULL, &txn);
    ck_assert(rc == 0 || rc == KV_ESIZELIMIT);
    kv_txn_abort(txn);
    has(old, KV_MAIN_TABLE, "first", "1");
    kv_txn_abort(old);
    rc = kv_txn_begin(env, KV_READ, NULL, &txn); /* no txn is open: it may map anew */
    if (!rc)
        ck_ok(try_get(txn, KV_MAIN_TABLE, "fill008999"));
    else
        ck_rc(rc, KV_ESIZELIMIT);
    kv_txn_abort(txn);
    env_close(env);
    options.reserve_bytes = 0;
    env = opened("grow.db");
    txn = txn_read(env);
    has(txn, KV_MAIN_TABLE, "first", "1");
    ck_assert_uint_eq(table_stat(txn, KV_MAIN_TABLE).entries, 9001);
    kv_txn_abort(txn);
    env_sound(env);
    env_close(env);
}
END_TEST

START_TEST(a_reservation_smaller_than_the_file_opens_all_the_same_or_says_so)
{
    struct kv_env *env = opened("large.db");
    struct kv_txn *txn;
    int rc;

    fill_commit(env, 5000, 1000);
    env_close(env);
    options.reserve_bytes = MIB;
    rc = kv_env_open(tmp_path("large.db"), &options, &env);
    if (rc) {
        ck_rc(rc, KV_ESIZELIMIT);
        return;
    }
    txn = txn_read(env);
    has_bytes(txn, KV_MAIN_TABLE, "key004999", 1000, 4999);
    kv_txn_abort(txn);
    env_close(env);
}
END_TEST

/* ---- Durability ---- */

/* Whether a commit with this durability, in an env with that one, is durable when it returns.
 * The first one after an open is in any case: docs/DURABILITY.md. */
static bool durable_at_once(enum kv_durability of_env, enum kv_durability of_txn)
{
    struct kv_txn_options txn_options = {.durability = of_txn};
    struct kv_env_info info;
    struct kv_env *env;
    struct kv_txn *txn;
    uint64_t txnid;

    tmp_clear();
    options.durability = of_env;
    env = opened("d.db");
    put_commit(env, "first", "1");
    ck_assert_uint_eq(env_info(env).txnid_durable, env_info(env).txnid_committed);
    ck_ok(kv_txn_begin(env, KV_WRITE, &txn_options, &txn));
    put(txn, KV_MAIN_TABLE, "k", "v");
    txnid = kv_txn_id(txn);
    txn_commit(txn);
    info = env_info(env);
    ck_assert_uint_eq(info.txnid_committed, txnid);
    ck_assert_uint_eq(info.txnid_visible, txnid);
    ck_assert_uint_le(info.txnid_durable, txnid);
    env_close(env);
    return info.txnid_durable == txnid;
}

START_TEST(durability_is_chosen_by_env_and_by_txn)
{
    const enum kv_durability inherit = 0;

    ck_assert(durable_at_once(inherit, inherit));
    ck_assert(durable_at_once(KV_DURABLE, inherit));
    ck_assert(!durable_at_once(KV_LAZY, inherit));
    ck_assert(!durable_at_once(KV_NONE, inherit));
    ck_assert(durable_at_once(KV_LAZY, KV_DURABLE));
    ck_assert(durable_at_once(KV_NONE, KV_DURABLE));
    ck_assert(!durable_at_once(KV_DURABLE, KV_LAZY));
    ck_assert(!durable_at_once(KV_DURABLE, KV_NONE));
}
END_TEST

START_TEST(sync_makes_all_that_was_committed_durable)
{
    struct kv_env *env = opened("s.db");
    struct kv_env_info info;

    for (unsigned i = 0; i < 20; i++) {
        put_commit(env, "k", i % 2 ? "odd" : "even");
        if (i % 5)
            continue;
        ck_ok(kv_env_sync(env));
        info = env_info(env);
        ck_assert_uint_eq(info.txnid_durable, info.txnid_committed);
    }
    info = env_info(env);
    ck_assert_uint_lt(info.txnid_durable, info.txnid_committed);
    env_close(env);
    env = opened("s.db");
    ck_assert_uint_ge(env_info(env).txnid_durable, info.txnid_committed);
    ck_assert_uint_eq(env_info(env).txnid_rolled_back, 0);
    env_close(env);
}
END_TEST

/* Commits 4 MiB in small txns; gives how often the durable txnid moved after the first. */
static unsigned durable_points(struct kv_env *env)
{
    uint64_t durable;
    unsigned points = 0;

    put_commit(env, "first", "1");
    durable = env_info(env).txnid_durable;
    for (unsigned i = 0; i < 64; i++) {
        struct kv_txn *txn = txn_write(env);

        put_bytes(txn, KV_MAIN_TABLE, "k", 65536, i);
        txn_commit(txn);
        if (env_info(env).txnid_durable != durable)
            points++;
        durable = env_info(env).txnid_durable;
    }
    return points;
}

START_TEST(lazy_commits_become_durable_after_so_many_bytes)
{
    struct kv_env *env;
    unsigned points;

    options.lazy_sync_bytes = MIB;
    options.lazy_sync_ms = 0;
    env = opened("bytes.db");
    points = durable_points(env);
    ck_assert_uint_ge(points, 2);
    ck_assert_uint_le(points, 8);
    env_close(env);
}
END_TEST

START_TEST(without_lazy_limits_and_with_none_nothing_becomes_durable_by_itself)
{
    struct kv_env *env;

    options.lazy_sync_bytes = 0;
    options.lazy_sync_ms = 0;
    env = opened("never.db");
    ck_assert_uint_eq(durable_points(env), 0);
    env_close(env);
    options.lazy_sync_bytes = MIB;
    options.lazy_sync_ms = 1;
    options.durability = KV_NONE;
    env = opened("none.db");
    ck_assert_uint_eq(durable_points(env), 0);
    env_close(env);
}
END_TEST

START_TEST(lazy_commits_become_durable_after_so_many_milliseconds)
{
    struct kv_env *env;
    uint64_t first;

    options.lazy_sync_bytes = 0;
    options.lazy_sync_ms = 50;
    env = opened("ms.db");
    put_commit(env, "k", "0");
    put_commit(env, "k", "1");
    first = env_info(env).txnid_committed;
    usleep(80000);
    put_commit(env, "k", "2");
    ck_assert_uint_ge(env_info(env).txnid_durable, first);
    env_close(env);
}
END_TEST

/* ---- Memory ---- */

START_TEST(a_txn_is_not_limited_by_the_dirty_budget)
{
    struct kv_env *env;
    struct kv_txn *txn;
    uint64_t digest;

    options.dirty_budget_bytes = 300000;
    env = opened("budget.db");
    txn = txn_write(env);
    fill_table(txn, KV_MAIN_TABLE, "a", 8000, 500);
    fill_table(txn, table_make(txn, "t"), "b", 8000, 500);
    fill_table(txn, KV_MAIN_TABLE, "a", 8000, 400);
    for (unsigned i = 0; i < 8000; i += 7) {
        char key[16];

        snprintf(key, sizeof(key), "a%06u", i);
        del(txn, KV_MAIN_TABLE, key);
        snprintf(key, sizeof(key), "a%06u", 7999 - i / 7 * 7);
        has_bytes(txn, KV_MAIN_TABLE, key, 400, 7999 - i / 7 * 7);
    }
    digest = txn_digest(txn);
    txn_commit(txn);
    ck_assert_uint_eq(env_digest(env), digest);
    env_sound(env);
    env_close(env);
}
END_TEST

START_TEST(a_large_txn_that_is_aborted_after_it_spilled_leaves_nothing)
{
    struct kv_env *env;
    struct kv_txn *txn;

    options.dirty_budget_bytes = 1;
    env = opened("budget.db");
    put_commit(env, "k", "v");
    txn = txn_write(env);
    fill_table(txn, KV_MAIN_TABLE, "a", 5000, 500);
    kv_txn_abort(txn);
    txn = txn_read(env);
    ck_assert_uint_eq(table_stat(txn, KV_MAIN_TABLE).entries, 1);
    kv_txn_abort(txn);
    put_commit(env, "l", "w");
    env_sound(env);
    env_close(env);
}
END_TEST

START_TEST(a_memory_database_has_no_file_and_is_gone_at_close)
{
    struct kv_env *env;
    struct kv_txn *txn;
    uint64_t digest;

    options.flags = KV_MEMORY;
    env = env_open_with(NULL, &options);
    ck_assert_str_eq(kv_env_path(env), "");
    ck_assert_int_ge(kv_env_fd(env), 0);
    fill_commit(env, 3000, 300);
    txn = txn_write(env);
    fill_table(txn, table_make(txn, "t"), "x", 100, 5000);
    kv_txn_abort(txn);
    txn = txn_read(env);
    ck_assert_uint_eq(table_stat(txn, KV_MAIN_TABLE).entries, 3000);
    ck_ok(kv_env_copy(txn, tmp_path("saved.db"), NULL));
    digest = txn_digest(txn);
    kv_txn_abort(txn);
    ck_ok(kv_env_sync(env));
    env_sound(env);
    env_close(env);
    env = env_open(tmp_path("saved.db"), 0);
    ck_assert_uint_eq(env_digest(env), digest);
    env_close(env);
    env = env_open_with(NULL, &options);
    txn = txn_read(env);
    ck_assert_uint_eq(table_stat(txn, KV_MAIN_TABLE).entries, 0);
    kv_txn_abort(txn);
    env_close(env);
}
END_TEST

/* ---- Modes, lock file ---- */

static unsigned mode_of(const char *path)
{
    struct stat st;

    ck_assert_int_eq(stat(path, &st), 0);
    return st.st_mode & 07777;
}

START_TEST(new_files_get_the_mode_bits_less_umask)
{
    static const struct {
        unsigned mode, mask, expected;
    } cases[] = {{0, 022, 0644}, {0600, 0, 0600}, {0666, 027, 0640}, {0666, 0, 0666}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        mode_t before = umask(cases[i].mask);

        options.mode = cases[i].mode;
        env_close(opened("m.db"));
        umask(before);
        ck_assert_uint_eq(mode_of(tmp_path("m.db")), cases[i].expected);
        ck_assert_uint_eq(mode_of(tmp_path("m.db-lock")), cases[i].expected);
        tmp_clear();
    }
}
END_TEST

START_TEST(a_lock_file_has_its_databases_mode_unless_told)
{
    mode_t before = umask(0);

    options.mode = 0640;
    env_close(opened("m.db"));
    unlink(tmp_path("m.db-lock"));
    options.mode = 0;
    env_close(opened("m.db"));
    ck_assert_uint_eq(mode_of(tmp_path("m.db-lock")), 0640);
    umask(before);
}
END_TEST

START_TEST(the_lock_file_stands_where_it_was_asked_for)
{
    struct kv_env *env;
    struct kv_env *other;

    options.lock_path = tmp_path("elsewhere");
    env = opened("l.db");
    ck_assert(file_exists(tmp_path("elsewhere")));
    ck_assert(!file_exists(tmp_path("l.db-lock")));
    other = opened("l.db");
    put_commit(env, "k", "v");
    ck_assert_uint_eq(env_info(other).processes, 2);
    env_close(other);
    options.lock_path = NULL;
    ck_rc(kv_env_open(tmp_path("l.db"), &options, &other), KV_EBUSY);
    env_close(env);
    env_close(opened("l.db"));
}
END_TEST

START_TEST(a_lock_file_belongs_to_one_database_while_it_is_used)
{
    struct kv_env *other;
    struct kv_env *env;

    options.lock_path = tmp_path("shared-lock");
    env = opened("one.db");
    ck_rc(kv_env_open(tmp_path("two.db"), &options, &other), KV_EBUSY);
    env_close(env);
    other = opened("two.db");
    env_close(other);
}
END_TEST

/* ---- Ways to open ---- */

START_TEST(an_exclusive_env_is_alone)
{
    const char *path = tmp_path("x.db");
    struct kv_env *other;
    struct kv_env *env;

    options.flags = KV_CREATE | KV_EXCLUSIVE;
    env = opened("x.db");
    put_commit(env, "k", "v");
    ck_rc(kv_env_open(path, NULL, &other), KV_EBUSY);
    ck_rc(kv_env_open(path, &options, &other), KV_EBUSY);
    env_close(env);
    other = env_open(path, 0);
    ck_rc(kv_env_open(path, &options, &env), KV_EBUSY);
    env_close(other);
    env_close(opened("x.db"));
}
END_TEST

START_TEST(an_env_without_locks_makes_no_lock_file_and_every_commit_is_durable)
{
    struct kv_env *env;
    struct kv_env *other;
    struct kv_txn *txn;

    options.flags = KV_CREATE | KV_NOLOCK;
    env = opened("n.db");
    for (unsigned i = 0; i < 10; i++) {
        fill_commit(env, 100 + i * 10, 100);
        ck_assert_uint_eq(env_info(env).txnid_durable, env_info(env).txnid_committed);
    }
    options.flags = KV_READONLY | KV_NOLOCK;
    other = opened("n.db");
    txn = txn_read(other);
    has_bytes(txn, KV_MAIN_TABLE, "key000189", 100, 189);
    kv_txn_abort(txn);
    put_commit(env, "seen", "1");
    txn = txn_read(other);
    has(txn, KV_MAIN_TABLE, "seen", "1");
    kv_txn_abort(txn);
    env_close(other);
    env_sound(env);
    env_close(env);
    ck_assert(!file_exists(tmp_path("n.db-lock")));
    env_close(env_open(tmp_path("n.db"), 0));
}
END_TEST

START_TEST(writers_without_locks_that_are_kept_apart_build_on_each_other)
{
    struct kv_env *envs[2];
    struct kv_txn *txn;
    char key[8];

    options.flags = KV_CREATE | KV_NOLOCK;
    envs[0] = opened("n.db");
    envs[1] = opened("n.db");
    for (unsigned i = 0; i < 40; i++) {
        txn = txn_write(envs[i % 3 == 0]);
        snprintf(key, sizeof(key), "%u", i);
        put_bytes(txn, 0, key, 100 + i * 50, i);
        txn_commit(txn);
    }
    for (unsigned e = 0; e < 2; e++) {
        txn = txn_read(envs[e]);
        ck_assert_uint_eq(table_stat(txn, 0).entries, 40);
        kv_txn_abort(txn);
        env_sound(envs[e]);
        env_close(envs[e]);
    }
}
END_TEST

START_TEST(an_env_opened_read_only_changes_nothing)
{
    const char *path = tmp_path("r.db");
    struct kv_env *env = opened("r.db");
    size_t size[2];
    uint8_t *bytes[2];
    struct kv_txn *txn;
    kv_table table;

    fill_commit(env, 1000, 100);
    env_close(env);
    bytes[0] = file_read(path, &size[0]);
    env = env_open(path, KV_READONLY);
    ck_rc(kv_txn_begin(env, KV_WRITE, NULL, &txn), KV_EREADONLY);
    ck_assert_ptr_null(txn);
    txn = txn_read(env);
    has_bytes(txn, KV_MAIN_TABLE, "key000500", 100, 500);
    ck_rc(kv_table_open(txn, "t", KV_CREATE, NULL, &table), KV_EREADONLY);
    kv_txn_abort(txn);
    ck_rc(kv_env_trim(env, 0, NULL), KV_EREADONLY);
    ck_ok(kv_env_sync(env));
    env_sound(env);
    env_close(env);
    bytes[1] = file_read(path, &size[1]);
    ck_assert_uint_eq(size[0], size[1]);
    ck_assert(memcmp(bytes[0], bytes[1], size[0]) == 0);
    free(bytes[0]);
    free(bytes[1]);
}
END_TEST

START_TEST(a_reader_opened_read_only_sees_a_writers_commits)
{
    struct kv_env *writer = opened("rw.db");
    struct kv_env *reader = env_open(tmp_path("rw.db"), KV_READONLY);
    struct kv_txn *txn;

    for (unsigned i = 0; i < 20; i++) {
        fill_commit(writer, 10 + i * 50, 200);
        txn = txn_read(reader);
        ck_assert_uint_eq(table_stat(txn, KV_MAIN_TABLE).entries, 10 + i * 50);
        kv_txn_abort(txn);
    }
    env_close(writer);
    txn = txn_read(reader);
    ck_assert_uint_eq(table_stat(txn, KV_MAIN_TABLE).entries, 960);
    kv_txn_abort(txn);
    env_close(reader);
}
END_TEST

START_TEST(create_opens_what_is_there)
{
    struct kv_env *env = opened("c.db");
    struct kv_env_info info;

    put_commit(env, "k", "v");
    info = env_info(env);
    env_close(env);
    env = opened("c.db");
    ck_assert(memcmp(env_info(env).file_id, info.file_id, 16) == 0);
    env_close(env);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("api_options");
    TCase *pages = tcase_create("page sizes");
    const TTest *tests[] = {
        a_txn_past_the_size_limit_fails_and_later_smaller_ones_work,
        a_full_database_can_be_emptied_and_filled_again,
        a_txn_that_failed_by_the_limit_can_only_be_aborted,
        the_limit_is_this_envs_and_not_the_files,
        a_small_reservation_is_a_limit_with_an_error_of_its_own,
        the_default_reservation_is_large_and_many_envs_have_room,
        a_file_that_grew_past_a_reservation_is_refused_until_it_is_reopened,
        a_reservation_smaller_than_the_file_opens_all_the_same_or_says_so,
        durability_is_chosen_by_env_and_by_txn,
        sync_makes_all_that_was_committed_durable,
        lazy_commits_become_durable_after_so_many_bytes,
        without_lazy_limits_and_with_none_nothing_becomes_durable_by_itself,
        lazy_commits_become_durable_after_so_many_milliseconds,
        a_txn_is_not_limited_by_the_dirty_budget,
        a_large_txn_that_is_aborted_after_it_spilled_leaves_nothing,
        a_memory_database_has_no_file_and_is_gone_at_close,
        new_files_get_the_mode_bits_less_umask,
        a_lock_file_has_its_databases_mode_unless_told,
        the_lock_file_stands_where_it_was_asked_for,
        a_lock_file_belongs_to_one_database_while_it_is_used,
        an_exclusive_env_is_alone,
        an_env_without_locks_makes_no_lock_file_and_every_commit_is_durable,
        writers_without_locks_that_are_kept_apart_build_on_each_other,
        an_env_opened_read_only_changes_nothing,
        a_reader_opened_read_only_sees_a_writers_commits,
        create_opens_what_is_there,
    };

    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
        harness_add_fixture(s, "options", tests[i], setup, teardown);
    tcase_add_checked_fixture(pages, setup, teardown);
    tcase_add_loop_test(pages, page_sizes_from_4_to_64_kib_work_and_are_read_from_the_file, 0, 5);
    suite_add_tcase(s, pages);
    return s;
}

HARNESS_MAIN(suite)
