/* SPDX-License-Identifier: MIT */
/*
 * The SIGBUS guard under readers (docs/GUARD.md): files that are cut short while they are mapped, and
 * pages that cannot be had, are errors of calls, and zeros are never taken for records.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "guard_db.h"

#include <pthread.h>
#include <stdatomic.h>

static char big_name[] = "big";

/* ---- Readers ---- */

START_TEST(a_file_cut_under_a_scan_is_an_error_of_the_scan)
{
    struct kv_cursor *cursor;
    struct kv_val key;
    struct kv_val value;
    struct kv_txn *txn;
    unsigned n = 0;
    int rc;

    setup_page_size(page_sizes[_i]);
    ck_ok(kv_txn_begin(env, KV_READ, NULL, &txn));
    ck_ok(kv_cursor_open(txn, KV_MAIN_TABLE, &cursor));
    for (; n < KEYS / 2; n++)
        if (kv_cursor_get(cursor, KV_NEXT, &key, &value))
            ck_abort_msg("scan: %s", kv_error_text());
    cut(page_sizes[_i] * 2);
    while ((rc = kv_cursor_get(cursor, KV_NEXT, &key, &value)) == 0)
        n++;
    ck_assert_int_eq(rc, KV_ECORRUPT);
    ck_assert_uint_lt(n, KEYS);
    ck_assert_ptr_nonnull(strstr(kv_error_text(), path));
    ck_assert_ptr_nonnull(strstr(kv_error_text(), "page"));
    ck_rc(kv_cursor_get(cursor, KV_FIRST, &key, &value), KV_ECORRUPT);
    ck_rc(get(txn, 1, &value), KV_ECORRUPT);
    ck_rc(kv_txn_commit(txn), KV_ECORRUPT);
    ck_assert_uint_gt(faults_of(env), 0);
    is_whole_after_restore();
}
END_TEST

/* All that reads, each on a file of which nothing but the metas is left. */
static int read_in_a_way(struct kv_txn *txn, unsigned way)
{
    struct kv_record records[4];
    char name[] = "key-00009999";
    struct kv_val key = {12, name};
    struct kv_range range = {.from = &key};
    struct kv_cursor *cursor = NULL;
    struct kv_val value;
    uint64_t number;
    size_t count;
    kv_table handle;
    int rc = way < 4 ? kv_cursor_open(txn, KV_MAIN_TABLE, &cursor) : 0;

    if (rc)
        return rc;
    switch (way) {
    case 0:
        return kv_cursor_get(cursor, KV_AT_LEAST, &key, &value);
    case 1:
        return kv_cursor_get(cursor, KV_LAST, &key, &value);
    case 2:
        return kv_cursor_read(cursor, KV_FIRST, records, 4, &count);
    case 3:
        return kv_cursor_get(cursor, KV_NEXT, &key, NULL);
    case 4:
        return get(txn, 7, &value);
    case 5:
        return kv_get_many(txn, KV_MAIN_TABLE, &key, 1, &value, NULL);
    case 6:
        return kv_count(txn, KV_MAIN_TABLE, &range, KV_ESTIMATE, &number);
    case 7:
        return kv_table_open(txn, "none", 0, NULL, &handle);
    default:
        return kv_env_copy(txn, tmp_path("copy.db"), NULL);
    }
}

START_TEST(whatever_reads_says_so)
{
    struct kv_txn *txn;

    ck_ok(kv_txn_begin(env, KV_READ, NULL, &txn));
    cut(LEFT_BYTES);
    ck_rc(read_in_a_way(txn, (unsigned)_i), KV_ECORRUPT);
    ck_rc(read_in_a_way(txn, (unsigned)_i), KV_ECORRUPT);
    ck_assert(!file_exists(tmp_path("copy.db")));
    kv_txn_abort(txn);
    is_whole_after_restore();
}
END_TEST

/* The same page was read before, so that nothing but the mark tells. */
START_TEST(a_value_whose_end_is_cut_off_reads_as_zeros_and_the_txn_is_over)
{
    uint8_t *bytes = malloc(BIG_BYTES);
    struct kv_val key = {3, big_name};
    struct kv_val value = {BIG_BYTES, bytes};
    struct kv_env_info info;
    struct kv_txn *txn;
    uint64_t offset;

    memset(bytes, 7, BIG_BYTES);
    ck_ok(kv_txn_begin(env, KV_WRITE, NULL, &txn));
    ck_ok(kv_put(txn, KV_MAIN_TABLE, &key, &value, 0));
    ck_ok(kv_txn_commit(txn));
    free(bytes);
    ck_ok(kv_env_info(env, &info));
    ck_ok(kv_txn_begin(env, KV_READ, NULL, &txn));
    ck_ok(kv_get(txn, KV_MAIN_TABLE, &key, &value));
    offset = (uint64_t)((uint8_t *)value.data - (const uint8_t *)info.map);
    cut((offset + BIG_BYTES / 2) & ~UINT64_C(4095));
    ck_assert_uint_eq(((volatile uint8_t *)value.data)[0], 7);
    ck_ok(kv_txn_refresh(txn, NULL));
    ck_assert_uint_eq(((volatile uint8_t *)value.data)[BIG_BYTES - 1], 0);
    ck_assert_uint_eq(((volatile uint8_t *)value.data)[0], 7);
    ck_rc(kv_get(txn, KV_MAIN_TABLE, &key, &value), KV_ECORRUPT);
    ck_rc(kv_txn_commit(txn), KV_ECORRUPT);
    if (kv_txn_begin(env, KV_READ, NULL, &txn) == 0) {
        ck_rc(kv_get(txn, KV_MAIN_TABLE, &key, &value), KV_ECORRUPT);
        kv_txn_abort(txn);
    }
    ck_assert_uint_ge(faults_of(env), 1);
}
END_TEST

START_TEST(new_txns_read_what_is_left)
{
    struct kv_val value;
    struct kv_txn *txn;
    unsigned lost = 0;

    setup_page_size(page_sizes[_i]);
    ck_ok(kv_txn_begin(env, KV_READ, NULL, &txn));
    ck_ok(get(txn, KEYS / 2, &value));
    lose_page(value.data);
    ck_assert_uint_eq(*(volatile uint8_t *)value.data, 0);
    ck_rc(get(txn, 1, &value), KV_ECORRUPT);
    kv_txn_reset(txn);
    ck_ok(kv_txn_renew(txn));
    for (unsigned n = 0; n < KEYS; n++) {
        int rc = get(txn, n, &value);

        if (rc == 0 && !value_right(n, value.data, value.size))
            ck_abort_msg("key %u is wrong", n);
        if (rc && rc != KV_ECORRUPT)
            ck_abort_msg("key %u: %s", n, kv_error_text());
        lost += rc != 0;
    }
    ck_assert_uint_gt(lost, 0);
    ck_assert_uint_le(lost, page_sizes[_i] / VALUE_BYTES);
    ck_ok(kv_txn_commit(txn));
    ck_assert_uint_eq(faults_of(env), 1);
    ck_rc(kv_txn_begin(env, KV_WRITE, NULL, &txn), KV_ECORRUPT);
    ck_rc(kv_env_sync(env), KV_ECORRUPT);
    ck_rc(kv_env_trim(env, KV_TRIM_PUNCH, NULL), KV_ECORRUPT);
    ck_rc(kv_env_check(env, NULL), KV_ECORRUPT);
    ck_rc(kv_env_close(env), KV_ECORRUPT);
    ck_ok(try_open(KV_GUARD, &env));
    db_check(env);
    ck_ok(kv_env_close(env));
    env = NULL;
}
END_TEST

/* Bytes that changed in a page that had been verified are seen by nobody, as where a file ends within
 * a page of the system. A fault makes all be verified anew. */
START_TEST(after_a_fault_nothing_is_taken_for_verified)
{
    static const uint8_t zeros[VALUE_BYTES];
    struct kv_env_info info;
    struct kv_val first;
    struct kv_val value;
    struct kv_txn *txn;
    uint64_t offset;

    ck_ok(kv_env_info(env, &info));
    ck_ok(kv_txn_begin(env, KV_READ, NULL, &txn));
    ck_ok(get(txn, 1, &first));
    ck_ok(get(txn, KEYS - 1, &value));
    offset = (uint64_t)((uint8_t *)first.data - (const uint8_t *)info.map);
    ck_assert_int_eq(pwrite(kv_env_fd(env), zeros, VALUE_BYTES, (off_t)offset), VALUE_BYTES);
    ck_ok(get(txn, 1, &first));
    ck_assert(!value_right(1, first.data, first.size));
    lose_page(value.data);
    ck_rc(get(txn, KEYS - 1, &value), KV_ECORRUPT);
    kv_txn_reset(txn);
    ck_ok(kv_txn_renew(txn));
    ck_rc(get(txn, 1, &first), KV_ECORRUPT);
    ck_ok(get(txn, KEYS / 2, &value));
    kv_txn_abort(txn);
    is_whole_after_restore();
}
END_TEST

/* A run is no page: its later pages have no header, so that a note of it is worth nothing. */
START_TEST(after_a_fault_runs_are_verified_at_each_use)
{
    uint8_t *bytes = calloc(1, BIG_BYTES);
    struct kv_val key = {3, big_name};
    struct kv_val value = {BIG_BYTES, bytes};
    struct kv_env_info info;
    struct kv_val lost;
    struct kv_txn *txn;
    uint64_t offset;

    ck_ok(kv_txn_begin(env, KV_WRITE, NULL, &txn));
    ck_ok(kv_put(txn, KV_MAIN_TABLE, &key, &value, 0));
    ck_ok(kv_txn_commit(txn));
    free(bytes);
    ck_ok(kv_env_info(env, &info));
    ck_ok(kv_txn_begin(env, KV_READ, NULL, &txn));
    ck_ok(get(txn, KEYS / 2, &lost));
    lose_page(lost.data);
    ck_rc(get(txn, KEYS / 2, &lost), KV_ECORRUPT);
    kv_txn_reset(txn);
    ck_ok(kv_txn_renew(txn));
    ck_ok(kv_get(txn, KV_MAIN_TABLE, &key, &value));
    offset = (uint64_t)((uint8_t *)value.data - (const uint8_t *)info.map);
    ck_assert_int_eq(pwrite(kv_env_fd(env), "x", 1, (off_t)offset + BIG_BYTES / 2), 1);
    ck_rc(kv_get(txn, KV_MAIN_TABLE, &key, &value), KV_ECORRUPT);
    kv_txn_abort(txn);
}
END_TEST

/* A cursor stands in a page that was looked at long ago. */
static int use_cursor(struct kv_cursor *cursor, unsigned way)
{
    struct kv_record records[4];
    struct kv_val key;
    struct kv_val value;
    uint64_t number;
    size_t count;

    switch (way) {
    case 0:
        return kv_cursor_get(cursor, KV_NEXT, &key, &value);
    case 1:
        return kv_cursor_get(cursor, KV_PREV, &key, NULL);
    case 2:
        return kv_cursor_get(cursor, KV_CURRENT, &key, &value);
    case 3:
        return kv_cursor_read(cursor, KV_NEXT, records, 4, &count);
    case 4:
        return kv_cursor_del(cursor, 0);
    case 5:
        return kv_cursor_put(cursor, NULL, &(struct kv_val){3, big_name}, KV_AT_CURSOR);
    default:
        (void)!kv_cursor_get(cursor, KV_NEXT, &key, &value);
        return kv_cursor_count(cursor, &number);
    }
}

START_TEST(a_cursor_under_which_its_page_is_lost_says_so)
{
    unsigned way = (unsigned)_i % 7;
    bool write = way == 4 || way == 5;
    struct kv_cursor *cursor;
    struct kv_val key;
    struct kv_val value;
    struct kv_txn *txn;

    setup_page_size(page_sizes[_i / 7]); /* in large ones the header is not in what is lost */
    ck_ok(kv_txn_begin(env, write ? KV_WRITE : KV_READ, NULL, &txn));
    ck_ok(kv_cursor_open(txn, KV_MAIN_TABLE, &cursor));
    ck_ok(kv_cursor_get(cursor, KV_FIRST, &key, &value));
    /* a record with neighbours in the same page of the system */
    for (unsigned n = 0; n < KEYS / 2 || ((uintptr_t)value.data & 4095) - 1500 > 1000; n++)
        ck_ok(kv_cursor_get(cursor, KV_NEXT, &key, &value));
    lose_page(value.data);
    ck_rc(use_cursor(cursor, way), KV_ECORRUPT);
    ck_rc(kv_txn_commit(txn), KV_ECORRUPT);
    ck_assert_uint_eq(faults_of(env), 1);
}
END_TEST

START_TEST(a_copy_of_a_lost_page_is_none)
{
    struct kv_copy_options options = {.flags = _i ? KV_COPY_COMPACT : 0};
    const char *copy = tmp_path("copy.db");
    struct kv_val value;
    struct kv_txn *txn;

    ck_ok(kv_txn_begin(env, KV_READ, NULL, &txn));
    ck_ok(get(txn, KEYS / 3, &value));
    lose_page(value.data);
    ck_rc(kv_env_copy(txn, copy, &options), KV_ECORRUPT);
    ck_assert(!file_exists(copy));
    kv_txn_abort(txn);
}
END_TEST

/* ---- Threads ---- */

enum { THREADS = 4 };

static atomic_uint reads_done;

/* Reads until a txn is over. A record that is not right must be followed by the word that the txn
 * is. Returns NULL, or what went wrong. */
static const char *read_until_cut(struct rng *rng)
{
    for (;;) {
        struct kv_txn *txn;
        bool right = true;
        int rc = kv_txn_begin(env, KV_READ, NULL, &txn);

        for (unsigned i = 0; !rc && i < 50; i++) {
            unsigned n = (unsigned)rng_below(rng, KEYS);
            struct kv_val value;

            rc = get(txn, n, &value);
            right &= rc != 0 || value_right(n, value.data, value.size);
            atomic_fetch_add(&reads_done, 1);
        }
        if (rc && rc != KV_ECORRUPT)
            return "another error than KV_ECORRUPT";
        if (rc == KV_ECORRUPT) {
            kv_txn_abort(txn);
            return NULL;
        }
        rc = kv_txn_commit(txn);
        if (rc == KV_ECORRUPT)
            return NULL;
        if (!right)
            return "a wrong record, and nothing said so";
    }
}

static void *reader(void *context)
{
    struct rng rng;

    rng_init(&rng, (uint64_t)(uintptr_t)context);
    return (void *)(uintptr_t)read_until_cut(&rng);
}

START_TEST(threads_that_read_get_right_records_or_an_error)
{
    pthread_t threads[THREADS];

    atomic_store(&reads_done, 0);
    for (uintptr_t i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, reader, (void *)(i + 1)), 0);
    while (atomic_load(&reads_done) < 2000)
        usleep(100);
    cut(_i % 2 ? LEFT_BYTES : (whole.size_bytes * 2 / 3) & ~(size_t)4095);
    if (_i % 2 == 0) {
        usleep(2000);
        cut(LEFT_BYTES);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        void *wrong;

        ck_assert_int_eq(pthread_join(threads[i], &wrong), 0);
        ck_assert_msg(!wrong, "%s", (char *)wrong);
    }
    is_whole_after_restore();
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("guard");

    add_loop(s, "scan", a_file_cut_under_a_scan_is_an_error_of_the_scan, 2);
    add_loop(s, "ways", whatever_reads_says_so, 9);
    add_loop(s, "pointers", a_value_whose_end_is_cut_off_reads_as_zeros_and_the_txn_is_over, 1);
    add_loop(s, "left", new_txns_read_what_is_left, 2);
    add_loop(s, "anew", after_a_fault_nothing_is_taken_for_verified, 1);
    add_loop(s, "runs", after_a_fault_runs_are_verified_at_each_use, 1);
    add_loop(s, "cursors", a_cursor_under_which_its_page_is_lost_says_so, 14);
    add_loop(s, "copy", a_copy_of_a_lost_page_is_none, 2);
    add_loop(s, "threads", threads_that_read_get_right_records_or_an_error, 6);
    return s;
}

HARNESS_MAIN(suite)
