/* SPDX-License-Identifier: MIT */
/*
 * The SIGBUS guard of an env (docs/GUARD.md): files that are cut short while they are mapped are
 * errors of calls, zeros are never taken for records, and nothing is written by one who met them.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "recover_db.h"
#include "shell.h"

enum { KEYS = 20000, VALUE_BYTES = 100, BIG_BYTES = 1 << 20, LEFT_BYTES = 16 << 10 };

static const uint32_t page_sizes[] = {4096, 65536};

static const char *path;
static struct kv_env *env;
static char big_name[] = "big";
static struct db_image whole; /* of the file, closed cleanly */

/* ---- The database ---- */

static void set_key(unsigned n, char text[16], struct kv_val *key)
{
    key->size = (size_t)snprintf(text, 16, "key-%08u", n);
    key->data = text;
}

static void set_value(unsigned n, uint8_t bytes[VALUE_BYTES])
{
    for (unsigned i = 0; i < VALUE_BYTES; i++)
        bytes[i] = (uint8_t)(1 + (n * 31 + i) % 255);
}

static bool value_right(unsigned n, const void *bytes, size_t size)
{
    uint8_t expected[VALUE_BYTES];

    set_value(n, expected);
    return size == VALUE_BYTES && memcmp(bytes, expected, VALUE_BYTES) == 0;
}

static int try_open(uint32_t flags, struct kv_env **env_out)
{
    struct kv_options options = KV_OPTIONS_INIT;

    options.flags = flags;
    return kv_env_open(path, &options, env_out);
}

static int put(struct kv_txn *txn, unsigned n)
{
    uint8_t bytes[VALUE_BYTES];
    struct kv_val value = {VALUE_BYTES, bytes};
    struct kv_val key;
    char text[16];

    set_key(n, text, &key);
    set_value(n, bytes);
    return kv_put(txn, KV_MAIN_TABLE, &key, &value, 0);
}

static int get(struct kv_txn *txn, unsigned n, struct kv_val *value)
{
    struct kv_val key;
    char text[16];

    set_key(n, text, &key);
    return kv_get(txn, KV_MAIN_TABLE, &key, value);
}

static void make(uint32_t page_size)
{
    struct kv_options options = KV_OPTIONS_INIT;
    struct kv_txn *txn;

    options.flags = KV_CREATE;
    options.page_size = page_size;
    ck_ok(kv_env_open(path, &options, &env));
    ck_ok(kv_txn_begin(env, KV_WRITE, NULL, &txn));
    for (unsigned n = 0; n < KEYS; n++)
        if (put(txn, n))
            ck_abort_msg("put of %u: %s", n, kv_error_text());
    ck_ok(kv_txn_commit(txn));
    ck_ok(kv_env_close(env));
    whole = db_load(path);
}

static void setup(void)
{
    tmp_clear();
    path = tmp_path("a.db");
    env = NULL;
    make(4096);
    ck_ok(try_open(KV_GUARD, &env));
}

static void setup_page_size(uint32_t page_size)
{
    if (page_size == 4096)
        return;
    ck_ok(kv_env_close(env));
    db_release(&whole);
    tmp_clear();
    make(page_size);
    ck_ok(try_open(KV_GUARD, &env));
}

static void teardown(void)
{
    if (env)
        (void)kv_env_close(env);
    env = NULL;
    db_release(&whole);
}

static void cut(uint64_t bytes)
{
    ck_assert_int_eq(truncate(path, (off_t)bytes), 0);
}

static uint64_t faults_of(struct kv_env *of)
{
    struct kv_env_info info;

    (void)!kv_env_info(of, &info);
    return info.faults;
}

/* Once the bytes are back, so is the database. */
static void is_whole_after_restore(void)
{
    struct kv_val value;
    struct kv_txn *txn;

    if (env)
        (void)kv_env_close(env);
    db_store(path, &whole);
    ck_ok(try_open(KV_GUARD, &env));
    ck_assert_uint_eq(faults_of(env), 0);
    db_check(env);
    ck_ok(kv_txn_begin(env, KV_READ, NULL, &txn));
    for (unsigned n = 0; n < KEYS; n++)
        if (get(txn, n, &value) || !value_right(n, value.data, value.size))
            ck_abort_msg("key %u is not as it was", n);
    ck_ok(kv_txn_commit(txn));
    ck_ok(kv_txn_begin(env, KV_WRITE, NULL, &txn));
    ck_ok(put(txn, KEYS));
    ck_ok(kv_txn_commit(txn));
    ck_ok(kv_env_close(env));
    env = NULL;
}

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

/* As an error of the disk in one page would be: what is mapped there cannot be had. */
static void lose_page(const void *in_page)
{
    struct kv_env_info info;
    void *page;
    int fd = open(tmp_path("nothing"), O_RDWR | O_CREAT | O_TRUNC, 0600);

    ck_assert_int_ge(fd, 0);
    ck_ok(kv_env_info(env, &info));
    page = (void *)((uintptr_t)in_page & ~(uintptr_t)4095);
    ck_assert_ptr_eq(mmap(page, 4096, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0), page);
    ck_assert_int_eq(close(fd), 0);
}

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

/* ---- Writers ---- */

/* Changes all over the file, of which the txn has seen nothing yet. */
static int change_all(struct kv_txn *txn)
{
    int rc = 0;

    for (unsigned n = 0; !rc && n < KEYS; n += 50)
        rc = put(txn, n);
    return rc;
}

START_TEST(a_write_txn_under_which_the_file_is_cut_commits_nothing)
{
    static const enum kv_durability modes[] = {KV_DURABLE, KV_LAZY, KV_NONE};
    struct kv_txn_options options = {.durability = modes[_i]};
    struct kv_txn *txn;
    int rc;

    ck_ok(kv_txn_begin(env, KV_WRITE, &options, &txn));
    ck_ok(put(txn, KEYS / 2));
    cut(LEFT_BYTES);
    rc = change_all(txn);
    ck_assert_int_eq(rc, KV_ECORRUPT);
    ck_rc(put(txn, 1), KV_ECORRUPT);
    ck_rc(kv_txn_commit(txn), KV_ECORRUPT);
    ck_rc(kv_txn_begin(env, KV_WRITE, NULL, &txn), KV_ECORRUPT);
    ck_rc(kv_env_close(env), KV_ECORRUPT);
    env = NULL;
    is_whole_after_restore();
}
END_TEST

START_TEST(a_fault_just_before_commit_is_an_error_of_the_commit)
{
    struct kv_cursor *cursor;
    struct kv_val key;
    struct kv_val value;
    struct kv_txn *txn;
    struct kv_txn *child;

    ck_ok(kv_txn_begin(env, KV_WRITE, NULL, &txn));
    ck_ok(kv_cursor_open(txn, KV_MAIN_TABLE, &cursor));
    ck_ok(kv_cursor_get(cursor, KV_LAST, &key, &value));
    ck_ok(put(txn, 5));
    if (_i) {
        ck_ok(kv_txn_begin(env, KV_WRITE, &(struct kv_txn_options){.parent = txn}, &child));
        ck_ok(put(child, 6));
    }
    cut(LEFT_BYTES);
    /* the user's own load, as a later call of the library would do it */
    ck_assert_uint_eq(*(volatile uint8_t *)value.data, 0);
    if (_i)
        ck_rc(kv_txn_commit(child), KV_ECORRUPT);
    ck_rc(kv_txn_commit(txn), KV_ECORRUPT);
    is_whole_after_restore();
}
END_TEST

/* Pages go to the file by way of the writer's mapping, which is cut short too. */
START_TEST(a_file_cut_under_the_writers_mapping_ends_no_process)
{
    struct kv_txn_options options = {.durability = KV_NONE};
    struct kv_txn *txn;
    int rc = 0;

    for (unsigned round = 0; round < 4; round++) {
        ck_ok(kv_txn_begin(env, KV_WRITE, &options, &txn));
        ck_ok(change_all(txn));
        ck_ok(kv_txn_commit(txn));
    }
    ck_ok(kv_txn_begin(env, KV_WRITE, &options, &txn));
    ck_ok(change_all(txn));
    cut(LEFT_BYTES);
    rc = kv_txn_commit(txn);
    ck_assert_msg(rc == 0 || rc == KV_ECORRUPT || rc == KV_EUNKNOWN, "%d: %s", rc, kv_error_text());
    rc = kv_txn_begin(env, KV_WRITE, &options, &txn);
    if (!rc) {
        rc = change_all(txn);
        kv_txn_abort(txn);
    }
    ck_assert_int_ne(rc, 0);
    (void)kv_env_close(env);
    env = NULL;
    (void)unlink(tmp_path("a.db-lock"));
    is_whole_after_restore();
}
END_TEST

/* ---- Lock file ---- */

START_TEST(a_lock_file_cut_short_is_an_error_of_all_that_needs_it)
{
    const char *lock_path = tmp_path("a.db-lock");
    struct kv_val value;
    struct kv_txn *txn;
    struct kv_txn *other;

    ck_ok(kv_txn_begin(env, KV_READ, NULL, &txn));
    ck_ok(get(txn, 3, &value));
    ck_assert_int_eq(truncate(lock_path, 0), 0);
    ck_assert_int_ne(kv_txn_begin(env, KV_READ, NULL, &other), 0);
    ck_rc(kv_txn_begin(env, KV_READ, NULL, &other), KV_ECORRUPT);
    ck_assert_ptr_nonnull(strstr(kv_error_text(), "lock"));
    ck_rc(kv_txn_begin(env, KV_WRITE, NULL, &other), KV_ECORRUPT);
    ck_rc(get(txn, 3, &value), KV_ECORRUPT);
    ck_rc(kv_txn_commit(txn), KV_ECORRUPT);
    ck_rc(kv_env_check(env, NULL), KV_ECORRUPT);
    ck_assert_uint_gt(faults_of(env), 0);
    ck_rc(kv_env_sync(env), KV_ECORRUPT);
    (void)kv_env_close(env);
    env = NULL;
    is_whole_after_restore();
}
END_TEST

START_TEST(a_lock_file_cut_under_a_writer_lets_nothing_be_committed)
{
    struct kv_txn *txn;

    ck_ok(kv_txn_begin(env, KV_WRITE, NULL, &txn));
    ck_ok(put(txn, 3));
    ck_assert_int_eq(truncate(tmp_path("a.db-lock"), 0), 0);
    ck_assert_int_ne(kv_txn_commit(txn), 0);
    ck_assert_uint_gt(faults_of(env), 0);
    ck_rc(kv_txn_begin(env, KV_WRITE, NULL, &txn), KV_ECORRUPT);
    (void)kv_env_close(env);
    env = NULL;
    is_whole_after_restore();
}
END_TEST

/* ---- Envs and processes ---- */

START_TEST(one_envs_damage_is_not_anothers)
{
    const char *first = path;
    struct db_image image = whole;
    struct kv_env *env_first = env;
    struct kv_txn *txn;
    struct kv_txn *txn_first;
    struct kv_val value;

    path = tmp_path("b.db");
    make(4096);
    ck_ok(try_open(KV_GUARD, &env));
    ck_ok(kv_txn_begin(env, KV_READ, NULL, &txn));
    ck_ok(kv_txn_begin(env_first, KV_READ, NULL, &txn_first));
    cut(LEFT_BYTES);
    ck_rc(get(txn, 1, &value), KV_ECORRUPT);
    ck_ok(get(txn_first, 1, &value));
    ck_assert(value_right(1, value.data, value.size));
    kv_txn_abort(txn);
    ck_ok(kv_txn_commit(txn_first));
    ck_assert_uint_eq(faults_of(env_first), 0);
    is_whole_after_restore();
    ck_ok(kv_txn_begin(env_first, KV_WRITE, NULL, &txn));
    ck_ok(put(txn, 1));
    ck_ok(kv_txn_commit(txn));
    ck_ok(kv_env_close(env_first));
    db_release(&whole);
    path = first;
    whole = image;
}
END_TEST

/* What the child's body returns, or 1000 + the signal that ended it. */
static int in_child(int (*body)(void))
{
    int status = 0;
    pid_t pid = fork();

    ck_assert_int_ge(pid, 0);
    if (pid == 0)
        _exit(body());
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static int read_cut_file(uint32_t flags)
{
    struct kv_env *own;
    struct kv_txn *txn;
    struct kv_val value;
    int rc = try_open(flags, &own);

    if (!rc)
        rc = kv_txn_begin(own, KV_READ, NULL, &txn);
    if (rc || truncate(path, LEFT_BYTES))
        return 70;
    rc = get(txn, 1, &value);
    kv_txn_abort(txn);
    (void)kv_env_close(own);
    return rc == KV_ECORRUPT ? 42 : 71;
}

static int read_guarded(void)
{
    return read_cut_file(KV_GUARD);
}

static int read_unguarded(void)
{
    (void)freopen("/dev/null", "w", stderr);
    return read_cut_file(0);
}

START_TEST(an_env_without_the_option_ends_as_ever)
{
    int ended;

    ck_ok(kv_env_close(env));
    env = NULL;
    ck_assert_int_eq(in_child(read_guarded), 42);
    db_store(path, &whole);
    ended = in_child(read_unguarded); /* a sanitizer's own handler ends it by a status */
    ck_assert_msg(ended == 1000 + SIGBUS || ended == 1 || ended == 66, "%d", ended);
}
END_TEST

/* Without locks and read-only an env goes on in a child of fork. */
static int read_inherited(void)
{
    struct kv_txn *txn;
    struct kv_val value;
    int rc;

    if (kv_txn_begin(env, KV_READ, NULL, &txn) || truncate(path, LEFT_BYTES))
        return 70;
    rc = get(txn, 1, &value);
    kv_txn_abort(txn);
    (void)kv_env_close(env);
    return rc == KV_ECORRUPT ? 42 : 71;
}

START_TEST(a_forked_child_is_guarded_for_itself)
{
    struct kv_txn *txn;
    struct kv_val value;

    ck_ok(kv_env_close(env));
    ck_ok(try_open(KV_GUARD | KV_READONLY | KV_NOLOCK, &env));
    ck_assert_int_eq(in_child(read_inherited), 42);
    db_store(path, &whole);
    ck_assert_uint_eq(faults_of(env), 0);
    ck_ok(kv_txn_begin(env, KV_READ, NULL, &txn));
    ck_ok(get(txn, 1, &value));
    ck_ok(kv_txn_commit(txn));
}
END_TEST

START_TEST(kvctl_says_what_happened_and_exits_with_status_3)
{
    ck_ok(kv_env_close(env));
    env = NULL;
    expect(3, NULL,
           "mkfifo pipe; { \"$K\" dump a.db > pipe; echo $? > status; } & exec 3< pipe; "
           "head -c 1000 <&3 > /dev/null; truncate -s 16384 a.db; cat <&3 > /dev/null; wait; "
           "exit $(cat status)");
    err_has("a.db");
    err_has("cut short");
}
END_TEST

static void setup_kvctl(void)
{
    shell_setup();
    setup();
}

static void teardown_kvctl(void)
{
    teardown();
    shell_teardown();
}

static void add_loop(Suite *s, const char *name, const TTest *test, int end)
{
    TCase *tc = tcase_create(name);

    tcase_set_timeout(tc, HARNESS_TIMEOUT_S);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, test, 0, end);
    suite_add_tcase(s, tc);
}

static Suite *suite(void)
{
    Suite *s = suite_create("guard");

    add_loop(s, "scan", a_file_cut_under_a_scan_is_an_error_of_the_scan, 2);
    add_loop(s, "ways", whatever_reads_says_so, 9);
    add_loop(s, "pointers", a_value_whose_end_is_cut_off_reads_as_zeros_and_the_txn_is_over, 1);
    add_loop(s, "left", new_txns_read_what_is_left, 2);
    add_loop(s, "threads", threads_that_read_get_right_records_or_an_error, 6);
    add_loop(s, "write", a_write_txn_under_which_the_file_is_cut_commits_nothing, 3);
    add_loop(s, "commit", a_fault_just_before_commit_is_an_error_of_the_commit, 2);
    add_loop(s, "mapping", a_file_cut_under_the_writers_mapping_ends_no_process, 1);
    add_loop(s, "lock file", a_lock_file_cut_short_is_an_error_of_all_that_needs_it, 1);
    add_loop(s, "lock writer", a_lock_file_cut_under_a_writer_lets_nothing_be_committed, 1);
    add_loop(s, "two", one_envs_damage_is_not_anothers, 1);
    add_loop(s, "without", an_env_without_the_option_ends_as_ever, 1);
    add_loop(s, "fork", a_forked_child_is_guarded_for_itself, 1);
    harness_add_fixture(s, "kvctl", kvctl_says_what_happened_and_exits_with_status_3, setup_kvctl,
                        teardown_kvctl);
    return s;
}

HARNESS_MAIN(suite)
