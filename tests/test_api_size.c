/* SPDX-License-Identifier: MIT */
/*
 * How long a data file is: the least size, limits that change while it is open, limits that are
 * stored with the snapshot, what fits below one, and which pages are free.
 */
#include "api_help.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIB ((uint64_t)1 << 20)
#define GIB ((uint64_t)1 << 30)

static struct kv_options options;

static void setup(void)
{
    static const struct kv_options init = KV_OPTIONS_INIT;

    options = init;
    options.flags = KV_CREATE;
    options.durability = KV_LAZY;
}

static struct kv_env *opened(const char *name)
{
    return env_open_with(tmp_path("%s", name), &options);
}

/* One txn that puts `count` records of value_bytes under keys that count up from `first`; what its
 * failure was, with the txn aborted. */
static int try_fill(struct kv_env *env, unsigned first, unsigned count, size_t value_bytes)
{
    struct kv_txn *txn = txn_write(env);
    int rc = 0;

    for (unsigned i = first; i < first + count && !rc; i++) {
        uint8_t key_bytes[4] = {(uint8_t)(i >> 24), (uint8_t)(i >> 16), (uint8_t)(i >> 8),
                                (uint8_t)i};
        struct kv_val key = bytes_val(key_bytes, sizeof(key_bytes));
        struct kv_val value = {value_bytes, NULL};

        rc = kv_put(txn, KV_MAIN_TABLE, &key, &value, KV_RESERVE);
        if (!rc)
            memset(value.data, (int)(i & 0xff), value.size);
    }
    if (rc)
        kv_txn_abort(txn);
    else
        rc = kv_txn_commit(txn);
    return rc;
}

static uint64_t allocated(const char *path)
{
    struct stat st;

    ck_assert_int_eq(stat(path, &st), 0);
    return (uint64_t)st.st_blocks * 512;
}

/* ---- The least size ---- */

START_TEST(a_file_is_kept_at_its_least_size_and_is_sparse)
{
    const char *path = tmp_path("min.db");
    struct kv_env *env;

    options.min_size_bytes = 10 * MIB - 100;
    env = opened("min.db");
    ck_assert_uint_eq(file_size(path), 10 * MIB - 100);
    ck_assert_uint_lt(allocated(path), MIB);
    put_commit(env, "a", "1");
    ck_ok(kv_env_trim(env, KV_TRIM_DEFRAGMENT, NULL));
    ck_assert_uint_eq(file_size(path), 10 * MIB - 100);
    env_sound(env);
    env_close(env);
    ck_assert_uint_eq(file_size(path), 10 * MIB - 100);
    ck_assert_uint_lt(allocated(path), MIB);
}
END_TEST

START_TEST(a_file_longer_than_its_least_size_is_cut_to_that_by_close)
{
    const char *path = tmp_path("min.db");
    struct kv_env *env;

    options.min_size_bytes = 5 * MIB;
    env = opened("min.db");
    fill_commit(env, 100, 1000);
    ck_ok(kv_env_resize(env, 2 * MIB, 0));
    ck_assert_uint_eq(file_size(path), 5 * MIB);
    env_close(env);
    ck_assert_uint_eq(file_size(path), 2 * MIB);
}
END_TEST

START_TEST(a_trim_that_punches_gives_back_what_the_least_size_keeps)
{
    const char *path = tmp_path("min.db");
    struct kv_env *env;

    options.min_size_bytes = 8 * MIB;
    env = opened("min.db");
    fill_commit(env, 4000, 1000);
    ck_ok(kv_env_sync(env));
    ck_assert_uint_gt(allocated(path), 4 * MIB);
    empty_commit(env);
    put_commit(env, "a", "1");
    ck_ok(kv_env_trim(env, KV_TRIM_DEFRAGMENT | KV_TRIM_PUNCH, NULL));
    ck_assert_uint_eq(file_size(path), 8 * MIB);
    ck_assert_uint_lt(allocated(path), MIB);
    env_sound(env);
    env_close(env);
}
END_TEST

START_TEST(a_file_that_another_env_cut_grows_again_with_the_next_write_txn)
{
    const char *path = tmp_path("min.db");
    struct kv_env *keeps;
    struct kv_env *cuts;

    options.min_size_bytes = 3 * MIB;
    keeps = opened("min.db");
    options.min_size_bytes = 0;
    cuts = opened("min.db");
    ck_ok(kv_env_trim(cuts, 0, NULL));
    ck_assert_uint_lt(file_size(path), MIB);
    put_commit(keeps, "a", "1");
    ck_assert_uint_eq(file_size(path), 3 * MIB);
    env_close(keeps);
    env_close(cuts);
    ck_assert_uint_lt(file_size(path), MIB);
}
END_TEST

START_TEST(a_least_size_past_the_reservation_is_refused)
{
    struct kv_env *env;

    options.reserve_bytes = 16 * MIB;
    options.min_size_bytes = 17 * MIB;
    ck_rc(kv_env_open(tmp_path("min.db"), &options, &env), KV_ESIZELIMIT);
    options.min_size_bytes = 0;
    env = opened("min.db");
    ck_rc(kv_env_resize(env, 17 * MIB, 0), KV_ESIZELIMIT);
    ck_ok(kv_env_resize(env, 16 * MIB, 0));
    ck_assert_uint_eq(file_size(tmp_path("min.db")), 16 * MIB);
    env_close(env);
}
END_TEST

START_TEST(options_of_before_have_no_least_size)
{
    struct kv_env *env;

    options.min_size_bytes = 10 * MIB;
    options.struct_bytes = offsetof(struct kv_options, min_size_bytes);
    env = opened("min.db");
    ck_assert_uint_lt(file_size(tmp_path("min.db")), MIB);
    env_close(env);
}
END_TEST

START_TEST(memory_databases_have_a_least_size_as_well)
{
    struct kv_env *env;

    options.flags = KV_MEMORY;
    options.min_size_bytes = 2 * MIB;
    ck_ok(kv_env_open(NULL, &options, &env));
    ck_assert_uint_eq(env_info(env).file_size_bytes, 2 * MIB);
    ck_ok(try_fill(env, 0, 100, 1000));
    env_close(env);
}
END_TEST

/* ---- Resizing ---- */

START_TEST(resize_makes_a_file_longer_at_once_and_lets_it_shrink_again)
{
    const char *path = tmp_path("size.db");
    struct kv_env *env = opened("size.db");

    ck_ok(kv_env_resize(env, 5 * MIB, 0));
    ck_assert_uint_eq(file_size(path), 5 * MIB);
    ck_ok(kv_env_resize(env, 2 * MIB, 0));
    ck_assert_uint_eq(file_size(path), 5 * MIB);
    ck_ok(kv_env_trim(env, 0, NULL));
    ck_assert_uint_eq(file_size(path), 2 * MIB);
    ck_ok(kv_env_resize(env, 0, 0));
    env_close(env);
    ck_assert_uint_lt(file_size(path), MIB);
}
END_TEST

START_TEST(resize_is_refused_while_the_env_writes_and_changes_nothing)
{
    struct kv_env *env = opened("size.db");
    struct kv_txn *txn = txn_write(env);

    ck_rc(kv_env_resize(env, 5 * MIB, 6 * MIB), KV_EBUSY);
    ck_assert_uint_gt(env_info(env).max_size_bytes, 6 * MIB);
    ck_assert_uint_lt(env_info(env).file_size_bytes, MIB);
    txn_commit(txn);
    ck_ok(kv_env_resize(env, 5 * MIB, 6 * MIB));
    ck_assert_uint_eq(env_info(env).max_size_bytes, 6 * MIB);
    txn = txn_read(env);
    ck_ok(kv_env_resize(env, 0, 7 * MIB));
    kv_txn_abort(txn);
    ck_rc(kv_env_resize(NULL, 0, 0), KV_EINVAL);
    env_close(env);
}
END_TEST

struct raise {
    struct kv_env *env;
    uint64_t limit; /* what it gives */
    uint64_t entries;
    unsigned asked;
};

/* Looks at the database, as it may. */
static uint64_t raise_limit(void *context, uint64_t limit_bytes)
{
    struct raise *raise = context;
    struct kv_table_stat stat;
    struct kv_txn *txn = txn_read(raise->env);

    ck_assert_uint_eq(limit_bytes, raise->asked ? 3 * MIB : MIB);
    ck_ok(kv_table_stat(txn, KV_MAIN_TABLE, &stat));
    raise->entries = stat.entries;
    kv_txn_abort(txn);
    raise->asked++;
    return raise->limit;
}

START_TEST(who_is_asked_at_the_limit_may_raise_it_in_the_middle_of_a_txn)
{
    struct raise raise = {.limit = 3 * MIB};
    struct kv_txn *txn;

    options.max_size_bytes = MIB;
    raise.env = opened("size.db");
    ck_rc(kv_env_on_full(NULL, raise_limit, &raise), KV_EINVAL);
    ck_ok(kv_env_on_full(raise.env, raise_limit, &raise));
    ck_ok(try_fill(raise.env, 0, 100, 1000));
    ck_assert_uint_eq(raise.asked, 0);
    ck_ok(try_fill(raise.env, 100, 1900, 1000));
    ck_assert_uint_eq(raise.asked, 1);
    ck_assert_uint_eq(raise.entries, 100);
    ck_assert_uint_eq(env_info(raise.env).max_size_bytes, 3 * MIB);
    ck_rc(try_fill(raise.env, 2000, 2000, 1000), KV_ESIZELIMIT);
    ck_assert_uint_ge(raise.asked, 2);
    txn = txn_write(raise.env);
    ck_rc(kv_env_on_full(raise.env, NULL, NULL), KV_EBUSY);
    kv_txn_abort(txn);
    ck_ok(kv_env_on_full(raise.env, NULL, NULL));
    raise.asked = 0;
    ck_rc(try_fill(raise.env, 2000, 2000, 1000), KV_ESIZELIMIT);
    ck_assert_uint_eq(raise.asked, 0);
    env_sound(raise.env);
    env_close(raise.env);
}
END_TEST

/* The txn that met the limit, done again in the same process. */
START_TEST(after_the_limit_was_met_a_larger_one_lets_the_same_txn_through)
{
    static const uint64_t limits[] = {2 * MIB, 8 * MIB, 256 * GIB, 0};
    struct kv_env *env;
    unsigned count = 0;

    options.max_size_bytes = MIB;
    options.durability = (enum kv_durability)_i;
    env = opened("size.db");
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        int rc = 0;

        while (!rc && count < 12000) {
            rc = try_fill(env, count, 100, 1000);
            count += rc ? 0 : 100;
        }
        ck_rc(rc, i < 3 ? KV_ESIZELIMIT : 0);
        if (i == 2)
            ck_assert_uint_gt(env_info(env).file_size_bytes, 7 * MIB);
        ck_ok(kv_env_resize(env, 0, limits[i]));
        ck_ok(try_fill(env, count, 100, 1000));
        count += 100;
    }
    env_sound(env);
    env_close(env);
}
END_TEST

START_TEST(a_limit_below_what_is_used_only_stops_growth)
{
    struct kv_env *env = opened("size.db");
    uint64_t bytes;

    ck_ok(try_fill(env, 0, 3000, 1000));
    ck_ok(try_fill(env, 0, 1000, 10));
    bytes = env_info(env).file_size_bytes;
    ck_ok(kv_env_resize(env, 0, MIB));
    ck_rc(try_fill(env, 3000, 3000, 1000), KV_ESIZELIMIT);
    env_sound(env);
    ck_ok(try_fill(env, 3000, 300, 1000)); /* in pages that the smaller values left */
    ck_assert_uint_le(env_info(env).file_size_bytes, bytes);
    env_sound(env);
    env_close(env);
}
END_TEST

START_TEST(a_read_only_env_may_be_told_a_size_and_changes_no_file)
{
    const char *path = tmp_path("size.db");
    struct kv_env *env = opened("size.db");

    env_close(env);
    env = env_open(path, KV_READONLY);
    ck_ok(kv_env_resize(env, 5 * MIB, 6 * MIB));
    ck_assert_uint_eq(env_info(env).max_size_bytes, 6 * MIB);
    env_close(env);
    ck_assert_uint_lt(file_size(path), MIB);
}
END_TEST

START_TEST(info_tells_where_the_mapping_is)
{
    struct kv_env *env = opened("size.db");
    struct kv_env_info info;
    struct kv_txn *txn;
    struct kv_val value;
    struct kv_val key = text_val("a");

    put_commit(env, "a", "1");
    info = env_info(env);
    txn = txn_read(env);
    ck_ok(kv_get(txn, KV_MAIN_TABLE, &key, &value));
    ck_assert((const char *)value.data >= (const char *)info.map);
    ck_assert((const char *)value.data < (const char *)info.map + info.file_size_bytes);
    kv_txn_abort(txn);
    env_close(env);
}
END_TEST

/* ---- Stored limits ---- */

static void limit_commit(struct kv_env *env, uint64_t bytes)
{
    struct kv_txn *txn = txn_write(env);

    ck_ok(kv_limit_set(txn, bytes));
    txn_commit(txn);
}

static uint64_t limit_of(struct kv_txn *txn)
{
    uint64_t bytes = 77;

    ck_ok(kv_limit_get(txn, &bytes));
    return bytes;
}

START_TEST(a_stored_limit_is_obeyed_by_envs_that_have_none_of_their_own)
{
    struct kv_env *env = opened("limit.db");
    struct kv_env *own;

    limit_commit(env, MIB);
    ck_assert_uint_eq(env_info(env).max_size_bytes, MIB);
    ck_rc(try_fill(env, 0, 3000, 1000), KV_ESIZELIMIT);
    ck_assert_uint_le(env_info(env).file_size_bytes, MIB);
    options.max_size_bytes = 8 * MIB;
    own = opened("limit.db");
    ck_assert_uint_eq(env_info(own).max_size_bytes, 8 * MIB);
    ck_ok(try_fill(own, 0, 3000, 1000));
    env_close(own);
    ck_rc(try_fill(env, 3000, 3000, 1000), KV_ESIZELIMIT);
    ck_ok(kv_env_resize(env, 0, 16 * MIB)); /* there may be no room to write a larger one */
    limit_commit(env, 0);
    ck_ok(kv_env_resize(env, 0, 0));
    ck_ok(try_fill(env, 3000, 9000, 1000));
    env_sound(env);
    env_close(env);
}
END_TEST

START_TEST(a_stored_limit_is_part_of_its_txn)
{
    struct kv_env *env = opened("limit.db");
    struct kv_txn *reader = txn_read(env);
    struct kv_txn *txn = txn_write(env);
    struct kv_txn *nested;

    ck_assert_uint_eq(limit_of(txn), 0);
    ck_ok(kv_limit_set(txn, 5 * MIB));
    ck_assert_uint_eq(limit_of(txn), 5 * MIB);
    nested = txn_nested(txn);
    ck_ok(kv_limit_set(nested, 6 * MIB));
    kv_txn_abort(nested);
    ck_assert_uint_eq(limit_of(txn), 5 * MIB);
    nested = txn_nested(txn);
    ck_ok(kv_limit_set(nested, 7 * MIB));
    txn_commit(nested);
    kv_txn_abort(txn);
    txn = txn_write(env);
    ck_assert_uint_eq(limit_of(txn), 0);
    nested = txn_nested(txn);
    ck_ok(kv_limit_set(nested, 7 * MIB));
    txn_commit(nested);
    txn_commit(txn);
    ck_assert_uint_eq(limit_of(reader), 0);
    ck_rc(kv_limit_set(reader, 1), KV_EREADONLY);
    ck_ok(kv_txn_refresh(reader, NULL));
    ck_assert_uint_eq(limit_of(reader), 7 * MIB);
    ck_rc(kv_limit_get(reader, NULL), KV_EINVAL);
    kv_txn_abort(reader);
    env_close(env);
    env = opened("limit.db");
    ck_assert_uint_eq(env_info(env).max_size_bytes, 7 * MIB);
    env_close(env);
}
END_TEST

START_TEST(copies_keep_the_stored_limit)
{
    struct kv_copy_options copy = {.flags = _i ? KV_COPY_COMPACT : 0};
    struct kv_env *env = opened("limit.db");
    struct kv_txn *txn;

    limit_commit(env, 9 * MIB);
    txn = txn_read(env);
    ck_ok(kv_env_copy(txn, tmp_path("copy.db"), &copy));
    kv_txn_abort(txn);
    env_close(env);
    env = env_open(tmp_path("copy.db"), 0);
    ck_assert_uint_eq(env_info(env).max_size_bytes, 9 * MIB);
    env_close(env);
}
END_TEST

/* ---- What fits ---- */

/* Pages that the limit allows and that hold nothing when it was met, each record needing one of its
 * own. The last commit and the one before it are both live: what each changes is there twice. */
START_TEST(all_space_below_the_limit_is_used_before_it_is_met)
{
    const uint64_t changed = 5; /* a leaf, two branches, bitmap, snapshot page */
    struct kv_env *env;
    struct kv_txn *txn;
    unsigned count = 0;

    options.max_size_bytes = MIB;
    options.durability = (enum kv_durability)_i;
    env = opened("full.db");
    while (!try_fill(env, count, 1, 3000))
        ck_assert_uint_lt(count++, 300);
    ck_assert_uint_eq(file_size(tmp_path("full.db")), MIB);
    txn = txn_read(env);
    ck_assert_uint_ge(env_stat(txn).pages_used + 2 * changed, MIB / 4096);
    kv_txn_abort(txn);
    env_sound(env);
    env_close(env);
}
END_TEST

/* Far more is written than there is room for. */
START_TEST(records_are_replaced_for_ever_below_the_limit)
{
    struct kv_env *env;
    struct rng rng;

    rng_seed(&rng, "replacing", 20262);
    options.max_size_bytes = MIB;
    options.durability = (enum kv_durability)_i;
    env = opened("turn.db");
    ck_ok(try_fill(env, 0, 500, 1000));
    for (unsigned i = 0; i < 2000; i++)
        ck_ok(try_fill(env, (unsigned)rng_below(&rng, 480), (unsigned)rng_between(&rng, 1, 20),
                       1000));
    env_sound(env);
    env_close(env);
}
END_TEST

/* ---- Free pages ---- */

struct runs {
    uint64_t end; /* of the last */
    uint64_t pages;
    uint64_t count;
    uint64_t stop_at;
};

static int see_run(void *context, uint64_t pgno, uint64_t count)
{
    struct runs *runs = context;

    ck_assert_uint_gt(count, 0);
    if (runs->count)
        ck_assert_uint_gt(pgno, runs->end); /* else they were one run */
    runs->end = pgno + count;
    runs->pages += count;
    return ++runs->count == runs->stop_at ? 55 : 0;
}

static void expect_free(struct kv_txn *txn)
{
    struct runs runs = {0, 0, 0, 0};
    struct kv_env_stat stat = env_stat(txn);

    ck_ok(kv_free_list(txn, see_run, &runs));
    ck_assert_uint_eq(runs.pages, stat.pages_free);
    ck_assert_uint_lt(runs.end, stat.pages_end);
}

START_TEST(free_pages_are_told_in_runs_and_are_as_many_as_the_stat_says)
{
    struct kv_env *env = opened("free.db");
    struct kv_txn *old;
    struct kv_txn *txn;
    struct rng rng;

    rng_seed(&rng, "free pages", 20261);
    for (int round = 0; round < 12; round++) {
        txn = txn_read(env);
        expect_free(txn);
        kv_txn_abort(txn);
        ck_ok(try_fill(env, (unsigned)rng_below(&rng, 3000), (unsigned)rng_between(&rng, 1, 900),
                       rng_chance(&rng, 30) ? 9000 : 300));
    }
    old = txn_read(env);
    empty_commit(env);
    expect_free(old);
    txn = txn_write(env);
    expect_free(txn);
    put_bytes(txn, KV_MAIN_TABLE, "k", 100000, 1);
    expect_free(txn);
    kv_txn_abort(txn);
    kv_txn_abort(old);
    env_close(env);
}
END_TEST

START_TEST(the_list_of_free_pages_stops_when_told)
{
    struct kv_env *env = opened("free.db");
    struct runs runs = {0, 0, 0, 1};
    struct kv_txn *txn;

    fill_commit(env, 500, 300);
    fill_commit(env, 500, 301);
    txn = txn_write(env);
    ck_rc(kv_free_list(txn, see_run, &runs), 55);
    ck_assert_uint_eq(runs.count, 1);
    ck_rc(kv_free_list(txn, NULL, NULL), KV_EINVAL);
    ck_rc(kv_free_list(NULL, see_run, &runs), KV_EINVAL);
    kv_txn_abort(txn);
    env_close(env);
}
END_TEST

/* ---- A new database ---- */

START_TEST(a_new_database_has_17_pages_of_which_13_are_free)
{
    struct kv_env *env = opened("new.db");
    struct kv_txn *txn = txn_read(env);
    struct kv_env_stat stat = env_stat(txn);

    ck_assert_uint_eq(stat.pages_end, 17);
    ck_assert_uint_eq(stat.pages_free, 13);
    kv_txn_abort(txn);
    put_commit(env, "a", "1");
    txn = txn_read(env);
    stat = env_stat(txn);
    ck_assert_uint_eq(stat.pages_end, 17);
    ck_assert_uint_eq(stat.pages_free, 12);
    kv_txn_abort(txn);
    env_close(env);
}
END_TEST

static TCase *case_new(Suite *s, const char *name)
{
    TCase *tcase = tcase_create(name);

    tcase_add_checked_fixture(tcase, setup, tmp_clear);
    tcase_set_timeout(tcase, HARNESS_TIMEOUT_S);
    suite_add_tcase(s, tcase);
    return tcase;
}

static Suite *suite(void)
{
    Suite *s = suite_create("api_size");
    TCase *least = case_new(s, "least");
    TCase *resize = case_new(s, "resize");
    TCase *stored = case_new(s, "stored");
    TCase *fits = case_new(s, "fits");
    TCase *free = case_new(s, "free");
    TCase *new = case_new(s, "new");

    tcase_add_test(least, a_file_is_kept_at_its_least_size_and_is_sparse);
    tcase_add_test(least, a_file_longer_than_its_least_size_is_cut_to_that_by_close);
    tcase_add_test(least, a_trim_that_punches_gives_back_what_the_least_size_keeps);
    tcase_add_test(least, a_file_that_another_env_cut_grows_again_with_the_next_write_txn);
    tcase_add_test(least, a_least_size_past_the_reservation_is_refused);
    tcase_add_test(least, options_of_before_have_no_least_size);
    tcase_add_test(least, memory_databases_have_a_least_size_as_well);
    tcase_add_test(resize, resize_makes_a_file_longer_at_once_and_lets_it_shrink_again);
    tcase_add_test(resize, resize_is_refused_while_the_env_writes_and_changes_nothing);
    tcase_add_test(resize, who_is_asked_at_the_limit_may_raise_it_in_the_middle_of_a_txn);
    tcase_add_loop_test(resize, after_the_limit_was_met_a_larger_one_lets_the_same_txn_through,
                        KV_DURABLE, KV_NONE + 1);
    tcase_add_test(resize, a_limit_below_what_is_used_only_stops_growth);
    tcase_add_test(resize, a_read_only_env_may_be_told_a_size_and_changes_no_file);
    tcase_add_test(resize, info_tells_where_the_mapping_is);
    tcase_add_test(stored, a_stored_limit_is_obeyed_by_envs_that_have_none_of_their_own);
    tcase_add_test(stored, a_stored_limit_is_part_of_its_txn);
    tcase_add_loop_test(stored, copies_keep_the_stored_limit, 0, 2);
    tcase_add_loop_test(fits, all_space_below_the_limit_is_used_before_it_is_met, KV_DURABLE,
                        KV_NONE + 1);
    tcase_add_loop_test(fits, records_are_replaced_for_ever_below_the_limit, KV_DURABLE,
                        KV_NONE + 1);
    tcase_add_test(free, free_pages_are_told_in_runs_and_are_as_many_as_the_stat_says);
    tcase_add_test(free, the_list_of_free_pages_stops_when_told);
    tcase_add_test(new, a_new_database_has_17_pages_of_which_13_are_free);
    return s;
}

HARNESS_MAIN(suite)
