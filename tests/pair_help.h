/* SPDX-License-Identifier: MIT */
/*
 * Verbs for tests of one cursor over one table of pairs, through kv.h. Pairs are written
 * "key:value". Each test program that includes this has an env, a txn, a table and a cursor of its
 * own.
 */
#ifndef PAIR_HELP_H
#define PAIR_HELP_H

#include "api_help.h"

#define MANY 3000 /* values of one key: over many leaves */

static struct kv_env *env;
static struct kv_txn *txn;
static kv_table table;
static struct kv_cursor *cursor;

static inline void open_table(uint32_t flags)
{
    struct kv_table_options options = KV_TABLE_OPTIONS_INIT;

    options.flags = flags;
    env = env_new("values.db");
    txn = txn_write(env);
    ck_ok(kv_table_open(txn, "t", KV_CREATE, &options, &table));
    ck_ok(kv_cursor_open(txn, table, &cursor));
}

static inline void open_pairs(void)
{
    open_table(KV_DUPLICATES);
}

static inline void open_fixed(void)
{
    open_table(KV_DUPLICATES | KV_FIXED);
}

static inline void open_plain(void)
{
    open_table(0);
}

static inline void teardown(void)
{
    txn_commit(txn);
    env_finish(env);
}

/* ---- Verbs ---- */

/* "key:value" in two. */
static inline void split(const char *pair, struct kv_val *key, struct kv_val *value)
{
    const char *colon = strchr(pair, ':');

    ck_assert_ptr_nonnull(colon);
    *key = bytes_val(pair, (size_t)(colon - pair));
    *value = text_val(colon + 1);
}

static inline void put_pair(const char *pair)
{
    struct kv_val key, value;

    split(pair, &key, &value);
    ck_ok(kv_put(txn, table, &key, &value, 0));
}

static inline void del_pair(const char *pair)
{
    struct kv_val key, value;

    split(pair, &key, &value);
    ck_ok(kv_del(txn, table, &key, &value));
}

/* Pairs with spaces between. */
static inline void pairs(const char *list)
{
    char copy[200];

    ck_assert_uint_lt(strlen(list), sizeof(copy));
    strcpy(copy, list);
    for (char *pair = strtok(copy, " "); pair; pair = strtok(NULL, " "))
        put_pair(pair);
}

/* "b:0000" ... of four digits, between a:1 and c:1. */
static inline void many_values(void)
{
    char pair[16];

    pairs("a:0001 c:0001");
    for (int i = 0; i < MANY; i++) {
        (void)snprintf(pair, sizeof(pair), "b:%04d", i);
        put_pair(pair);
    }
}

static inline void is_pair(const struct kv_val *key, const struct kv_val *value, const char *pair)
{
    struct kv_val expected_key, expected_value;

    split(pair, &expected_key, &expected_value);
    expect_val(key, expected_key.data, expected_key.size);
    expect_val(value, expected_value.data, expected_value.size);
}

/* A search for a pair leads to a pair. */
static inline void finds(enum kv_cursor_op op, const char *wanted, const char *expected)
{
    struct kv_val key, value;

    split(wanted, &key, &value);
    ck_ok(kv_cursor_get(cursor, op, &key, &value));
    is_pair(&key, &value, expected);
}

static inline void misses(enum kv_cursor_op op, const char *wanted)
{
    struct kv_val key, value;

    split(wanted, &key, &value);
    ck_rc(kv_cursor_get(cursor, op, &key, &value), KV_ENOTFOUND);
}

static inline void moves(struct kv_cursor *c, enum kv_cursor_op op, const char *expected)
{
    struct kv_val key, value;

    ck_ok(kv_cursor_get(c, op, &key, &value));
    is_pair(&key, &value, expected);
}

static inline void goes(enum kv_cursor_op op, const char *expected)
{
    moves(cursor, op, expected);
}

static inline void fails(enum kv_cursor_op op, int expected)
{
    struct kv_val key = {0, NULL}, value = {0, NULL};

    ck_rc(kv_cursor_get(cursor, op, &key, &value), expected);
}

static inline void ends(enum kv_cursor_op op)
{
    fails(op, KV_ENOTFOUND);
}

static inline void counts(uint64_t expected)
{
    uint64_t count;

    ck_ok(kv_cursor_count(cursor, &count));
    ck_assert_uint_eq(count, expected);
}

static inline void deletes(void)
{
    ck_ok(kv_cursor_del(cursor, 0));
}

/* In a case of its own, since tests have different tables. */
static inline void add_test(Suite *suite, const char *name, const TTest *test, void (*setup)(void))
{
    TCase *one = tcase_create(name);

    tcase_set_timeout(one, HARNESS_TIMEOUT_S);
    tcase_add_checked_fixture(one, setup, teardown);
    tcase_add_test(one, test);
    suite_add_tcase(suite, one);
}

#endif
