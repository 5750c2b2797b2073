/* SPDX-License-Identifier: MIT */
/*
 * The database of the tests of the SIGBUS guard: many records, in a file that is cut short, or has
 * pages that cannot be had, and is restored afterwards. For the thread that runs the test.
 */
#ifndef GUARD_DB_H
#define GUARD_DB_H

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "harness.h"
#include "recover_db.h"

enum { KEYS = 20000, VALUE_BYTES = 100, BIG_BYTES = 1 << 20, LEFT_BYTES = 16 << 10 };

static const uint32_t page_sizes[] = {4096, 65536};

static const char *path;
static struct kv_env *env;
static struct db_image whole; /* of the file, closed cleanly */

/* ---- The database ---- */

static inline void set_key(unsigned n, char text[16], struct kv_val *key)
{
    key->size = (size_t)snprintf(text, 16, "key-%08u", n);
    key->data = text;
}

static inline void set_value(unsigned n, uint8_t bytes[VALUE_BYTES])
{
    for (unsigned i = 0; i < VALUE_BYTES; i++)
        bytes[i] = (uint8_t)(1 + (n * 31 + i) % 255);
}

static inline bool value_right(unsigned n, const void *bytes, size_t size)
{
    uint8_t expected[VALUE_BYTES];

    set_value(n, expected);
    return size == VALUE_BYTES && memcmp(bytes, expected, VALUE_BYTES) == 0;
}

static inline int try_open(uint32_t flags, struct kv_env **env_out)
{
    struct kv_options options = KV_OPTIONS_INIT;

    options.flags = flags;
    return kv_env_open(path, &options, env_out);
}

static inline int put(struct kv_txn *txn, unsigned n)
{
    uint8_t bytes[VALUE_BYTES];
    struct kv_val value = {VALUE_BYTES, bytes};
    struct kv_val key;
    char text[16];

    set_key(n, text, &key);
    set_value(n, bytes);
    return kv_put(txn, KV_MAIN_TABLE, &key, &value, 0);
}

static inline int get(struct kv_txn *txn, unsigned n, struct kv_val *value)
{
    struct kv_val key;
    char text[16];

    set_key(n, text, &key);
    return kv_get(txn, KV_MAIN_TABLE, &key, value);
}

static inline void make(uint32_t page_size)
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

static inline void setup(void)
{
    tmp_clear();
    path = tmp_path("a.db");
    env = NULL;
    make(4096);
    ck_ok(try_open(KV_GUARD, &env));
}

static inline void setup_page_size(uint32_t page_size)
{
    if (page_size == 4096)
        return;
    ck_ok(kv_env_close(env));
    db_release(&whole);
    tmp_clear();
    make(page_size);
    ck_ok(try_open(KV_GUARD, &env));
}

static inline void teardown(void)
{
    if (env)
        (void)kv_env_close(env);
    env = NULL;
    db_release(&whole);
}

static inline void cut(uint64_t bytes)
{
    ck_assert_int_eq(truncate(path, (off_t)bytes), 0);
}

static inline uint64_t faults_of(struct kv_env *of)
{
    struct kv_env_info info;

    (void)!kv_env_info(of, &info);
    return info.faults;
}

/* Once the bytes are back, so is the database. */
static inline void is_whole_after_restore(void)
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

/* As an error of the disk in one page would be: what is mapped there cannot be had. */
static inline void lose_page(const void *in_page)
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

static inline void add_loop(Suite *s, const char *name, const TTest *test, int end)
{
    TCase *tc = tcase_create(name);

    tcase_set_timeout(tc, HARNESS_TIMEOUT_S);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, test, 0, end);
    suite_add_tcase(s, tc);
}

#endif
