/* SPDX-License-Identifier: MIT */
/*
 * Misuse: NULLs, unknown flags and operations, forbidden sizes, handles in states that allow no
 * such call. Each has its code, clears its outputs and changes nothing; a txn in which it happened
 * goes on and commits.
 */
#include "api_help.h"

#include <errno.h>
#include <stdlib.h>

static struct kv_env *env;
static struct kv_txn *writer;
static struct kv_txn *reader;
static struct kv_cursor *cursor; /* of the writer, at "b" of "a", "b", "c" */
static struct kv_val junk;       /* what outputs hold before a call */

static void setup(void)
{
    struct kv_val key = text_val("b");

    env = env_new("args.db");
    put_commit(env, "a", "1");
    reader = txn_read(env);
    writer = txn_write(env);
    put(writer, KV_MAIN_TABLE, "b", "2");
    put(writer, KV_MAIN_TABLE, "c", "3");
    ck_ok(kv_cursor_open(writer, KV_MAIN_TABLE, &cursor));
    ck_ok(kv_cursor_get(cursor, KV_EXACT, &key, NULL));
    junk = text_val("junk");
}

/* Nothing changed, nothing failed. */
static void teardown(void)
{
    struct kv_val key;
    struct kv_val value;

    ck_ok(kv_cursor_get(cursor, KV_CURRENT, &key, &value));
    expect_text(&key, "b");
    expect_text(&value, "2");
    ck_assert_uint_eq(table_stat(writer, KV_MAIN_TABLE).entries, 3);
    txn_commit(writer);
    kv_txn_abort(reader);
    env_finish(env);
}

static void cleared(const struct kv_val *value)
{
    ck_assert_uint_eq(value->size, 0);
    ck_assert_ptr_null(value->data);
}

/* ---- NULLs ---- */

START_TEST(env_calls_without_an_env_are_refused)
{
    struct kv_env_info info;
    uint64_t bytes = 5;
    struct kv_txn *txn = writer;

    ck_ok(kv_env_close(NULL));
    ck_rc(kv_env_sync(NULL), KV_EINVAL);
    ck_rc(kv_env_info(NULL, &info), KV_EINVAL);
    ck_rc(kv_env_info(env, NULL), KV_EINVAL);
    ck_rc(kv_env_trim(NULL, 0, &bytes), KV_EINVAL);
    ck_assert_uint_eq(bytes, 0);
    ck_rc(kv_env_check(NULL, NULL), KV_EINVAL);
    ck_rc(kv_env_readers(NULL, (kv_reader_fn *)abort, NULL), KV_EINVAL);
    ck_rc(kv_env_readers(env, NULL, NULL), KV_EINVAL);
    ck_rc(kv_txn_begin(NULL, 0, NULL, &txn), KV_EINVAL);
    ck_assert_ptr_null(txn);
    ck_rc(kv_txn_begin(env, 0, NULL, NULL), KV_EINVAL);
    ck_rc(kv_table_close(NULL, 1), KV_EINVAL);
}
END_TEST

START_TEST(txn_calls_without_a_txn_are_refused)
{
    struct kv_env_stat stat;
    struct kv_table_stat table_stat;
    struct kv_cursor *out = cursor;
    struct kv_val key = text_val("a");
    kv_table table = 9;

    kv_txn_abort(NULL);
    kv_txn_reset(NULL);
    ck_assert_uint_eq(kv_txn_id(NULL), 0);
    ck_assert_ptr_null(kv_txn_env(NULL));
    ck_rc(kv_txn_commit(NULL), KV_EINVAL);
    ck_rc(kv_txn_renew(NULL), KV_EINVAL);
    ck_rc(kv_txn_refresh(NULL, NULL), KV_EINVAL);
    ck_rc(kv_env_stat(NULL, &stat), KV_EINVAL);
    ck_rc(kv_env_stat(reader, NULL), KV_EINVAL);
    ck_rc(kv_env_copy(NULL, "x", NULL), KV_EINVAL);
    ck_rc(kv_env_copy_fd(NULL, 1, NULL), KV_EINVAL);
    ck_rc(kv_table_open(NULL, "t", 0, NULL, &table), KV_EINVAL);
    ck_assert_uint_eq(table, 0);
    ck_rc(kv_table_open(writer, "t", 0, NULL, NULL), KV_EINVAL);
    ck_rc(kv_table_drop(NULL, 0), KV_EINVAL);
    ck_rc(kv_table_empty(NULL, 0), KV_EINVAL);
    ck_rc(kv_table_rename(NULL, 1, "t"), KV_EINVAL);
    ck_rc(kv_table_list(NULL, (kv_table_fn *)abort, NULL), KV_EINVAL);
    ck_rc(kv_table_stat(NULL, 0, &table_stat), KV_EINVAL);
    ck_rc(kv_table_stat(reader, 0, NULL), KV_EINVAL);
    ck_rc(kv_cursor_open(NULL, 0, &out), KV_EINVAL);
    ck_assert_ptr_null(out);
    ck_rc(kv_cursor_open(reader, 0, NULL), KV_EINVAL);
    ck_rc(kv_get(NULL, 0, &key, &junk), KV_EINVAL);
    cleared(&junk);
    ck_rc(kv_put(NULL, 0, &key, &key, 0), KV_EINVAL);
    ck_rc(kv_del(NULL, 0, &key, NULL), KV_EINVAL);
    junk = key;
    ck_rc(kv_replace(NULL, 0, &key, &key, &junk), KV_EINVAL);
    cleared(&junk);
}
END_TEST

START_TEST(record_calls_without_key_or_value_are_refused)
{
    struct kv_val key = text_val("a");
    struct kv_val holes = {3, NULL};

    ck_rc(kv_get(writer, 0, NULL, &junk), KV_EINVAL);
    cleared(&junk);
    ck_rc(kv_get(writer, 0, &holes, &junk), KV_EINVAL);
    ck_rc(kv_get(writer, 0, &key, NULL), KV_EINVAL);
    ck_rc(kv_put(writer, 0, NULL, &key, 0), KV_EINVAL);
    ck_rc(kv_put(writer, 0, &key, NULL, 0), KV_EINVAL);
    ck_rc(kv_put(writer, 0, &key, NULL, KV_RESERVE), KV_EINVAL);
    ck_rc(kv_put(writer, 0, &holes, &key, 0), KV_EINVAL);
    ck_rc(kv_put(writer, 0, &key, &holes, 0), KV_EINVAL);
    ck_rc(kv_del(writer, 0, NULL, NULL), KV_EINVAL);
    ck_rc(kv_del(writer, 0, &holes, NULL), KV_EINVAL);
    ck_rc(kv_replace(writer, 0, NULL, &key, &junk), KV_EINVAL);
    ck_rc(kv_replace(writer, 0, &key, &holes, &junk), KV_EINVAL);
    ck_rc(kv_replace(writer, 0, &key, &key, NULL), KV_EINVAL);
    ck_rc(kv_table_rename(writer, 1, NULL), KV_EINVAL);
}
END_TEST

START_TEST(cursor_calls_without_what_they_need_are_refused)
{
    struct kv_val holes = {3, NULL};
    struct kv_val key = text_val("a");

    kv_cursor_close(NULL);
    ck_assert_int_eq(kv_cursor_is_table(NULL), 0);
    ck_rc(kv_cursor_get(NULL, KV_FIRST, &key, NULL), KV_EINVAL);
    ck_rc(kv_cursor_get(cursor, KV_EXACT, NULL, NULL), KV_EINVAL);
    ck_rc(kv_cursor_get(cursor, KV_AT_LEAST, NULL, NULL), KV_EINVAL);
    ck_rc(kv_cursor_get(cursor, KV_AT_MOST, &holes, NULL), KV_EINVAL);
    ck_rc(kv_cursor_put(NULL, &key, &key, 0), KV_EINVAL);
    ck_rc(kv_cursor_put(cursor, NULL, &key, 0), KV_EINVAL);
    ck_rc(kv_cursor_put(cursor, &key, NULL, 0), KV_EINVAL);
    ck_rc(kv_cursor_put(cursor, NULL, &holes, KV_AT_CURSOR), KV_EINVAL);
    ck_rc(kv_cursor_del(NULL, 0), KV_EINVAL);
}
END_TEST

START_TEST(an_empty_key_and_an_empty_value_need_no_data)
{
    struct kv_val none = {0, NULL};
    struct kv_val value = {0, NULL};

    ck_ok(kv_put(writer, 0, &none, &value, 0));
    ck_ok(kv_get(writer, 0, &none, &value));
    ck_assert_uint_eq(value.size, 0);
    ck_assert_ptr_nonnull(value.data);
    ck_ok(kv_del(writer, 0, &none, NULL));
}
END_TEST

/* ---- Flags and operations ---- */

START_TEST(unknown_flags_are_refused_everywhere)
{
    struct kv_copy_options copy = {.flags = 2};
    struct kv_val key = text_val("a");
    struct kv_val value = text_val("9");
    struct kv_txn *txn;
    kv_table table;

    for (unsigned bit = 0; bit < 32; bit++) {
        uint32_t flag = 1u << bit;

        if (flag > KV_MULTIPLE || flag == KV_AT_CURSOR)
            ck_rc(kv_put(writer, 0, &key, &value, flag), KV_EINVAL);
        if (flag > KV_MULTIPLE)
            ck_rc(kv_cursor_put(cursor, &key, &value, flag), KV_EINVAL);
        if (flag > KV_SHARED)
            ck_rc(kv_txn_begin(env, flag, NULL, &txn), KV_EINVAL);
        if (flag != KV_CREATE)
            ck_rc(kv_table_open(writer, "t", flag, NULL, &table), KV_EINVAL);
        if (flag != KV_TRIM_PUNCH && flag != KV_TRIM_DEFRAGMENT)
            ck_rc(kv_env_trim(env, flag, NULL), KV_EINVAL);
        if (flag != KV_COPY_COMPACT) {
            copy.flags = flag;
            ck_rc(kv_env_copy(reader, tmp_path("copy.db"), &copy), KV_EINVAL);
            ck_rc(kv_env_copy_fd(reader, 1, &copy), KV_EINVAL);
        }
    }
    ck_assert(!file_exists(tmp_path("copy.db")));
}
END_TEST

START_TEST(unknown_operations_of_a_cursor_are_refused)
{
    static const int wrong[] = {0, KV_PREV_PIECE + 1, 100, -1, 0x7fffffff};
    struct kv_val key = text_val("a");

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        ck_rc(kv_cursor_get(cursor, (enum kv_cursor_op)wrong[i], &key, NULL), KV_EINVAL);
}
END_TEST

START_TEST(flags_that_make_no_sense_together_are_refused)
{
    struct kv_txn_options options = {.durability = (enum kv_durability)9};
    struct kv_val value = text_val("9");
    struct kv_txn *txn;

    ck_rc(kv_txn_begin(env, KV_READ | KV_TRY, NULL, &txn), KV_EINVAL);
    ck_rc(kv_txn_begin(env, KV_WRITE, &options, &txn), KV_EINVAL);
    ck_rc(kv_cursor_put(cursor, NULL, &value, KV_AT_CURSOR | KV_NOOVERWRITE), KV_EINVAL);
    ck_rc(kv_cursor_put(cursor, NULL, &value, KV_AT_CURSOR | KV_APPEND), KV_EINVAL);
}
END_TEST

START_TEST(arguments_of_a_copy_are_looked_at)
{
    struct kv_copy_options copy = {.mode = 04755};

    ck_rc(kv_env_copy(reader, NULL, NULL), KV_EINVAL);
    ck_rc(kv_env_copy(reader, "", NULL), KV_EINVAL);
    ck_rc(kv_env_copy(reader, tmp_path("c.db"), &copy), KV_EINVAL);
    ck_rc(kv_env_copy_fd(reader, -1, NULL), KV_EINVAL);
    ck_rc(kv_env_copy_fd(reader, 9999, NULL), EBADF);
    ck_rc(kv_env_copy(writer, tmp_path("c.db"), NULL), KV_EBADTXN);
    ck_assert(!file_exists(tmp_path("c.db")));
}
END_TEST

/* ---- Sizes ---- */

START_TEST(keys_that_are_too_long_are_refused_everywhere)
{
    char bytes[8192] = "";
    uint64_t longest = env_info(env).max_key_bytes;
    static const size_t more[] = {1, 2, 100, 4000, (size_t)1 << 40, SIZE_MAX / 2};
    struct kv_val value = text_val("9");

    for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++) {
        struct kv_val key = bytes_val(bytes, longest + more[i]);

        ck_rc(kv_put(writer, 0, &key, &value, 0), KV_EKEYSIZE);
        ck_rc(kv_put(writer, 0, &key, &value, KV_APPEND), KV_EKEYSIZE);
        ck_rc(kv_get(writer, 0, &key, &junk), KV_EKEYSIZE);
        ck_rc(kv_del(writer, 0, &key, NULL), KV_EKEYSIZE);
        ck_rc(kv_replace(writer, 0, &key, &value, &junk), KV_EKEYSIZE);
        ck_rc(kv_cursor_put(cursor, &key, &value, 0), KV_EKEYSIZE);
    }
}
END_TEST

START_TEST(values_that_are_too_long_are_refused_everywhere)
{
    char byte = 0;
    struct kv_val key = text_val("a");
    uint64_t longest = env_info(env).max_value_bytes;
    static const uint64_t more[] = {1, 4096, UINT64_MAX / 4};

    for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++) {
        struct kv_val value = bytes_val(&byte, longest + more[i]);

        ck_rc(kv_put(writer, 0, &key, &value, 0), KV_EVALSIZE);
        ck_rc(kv_put(writer, 0, &key, &value, KV_RESERVE), KV_EVALSIZE);
        ck_rc(kv_replace(writer, 0, &key, &value, &junk), KV_EVALSIZE);
        ck_rc(kv_cursor_put(cursor, &key, &value, 0), KV_EVALSIZE);
        ck_rc(kv_cursor_put(cursor, NULL, &value, KV_AT_CURSOR | KV_RESERVE), KV_EVALSIZE);
    }
}
END_TEST

/* ---- States ---- */

START_TEST(a_read_txn_changes_nothing)
{
    struct kv_val key = text_val("a");
    struct kv_val value = text_val("9");
    struct kv_cursor *c;
    kv_table table;

    ck_rc(kv_put(reader, 0, &key, &value, 0), KV_EREADONLY);
    ck_rc(kv_del(reader, 0, &key, NULL), KV_EREADONLY);
    ck_rc(kv_replace(reader, 0, &key, &value, &junk), KV_EREADONLY);
    ck_rc(kv_replace(reader, 0, &key, NULL, &junk), KV_EREADONLY);
    ck_rc(kv_table_open(reader, "t", KV_CREATE, NULL, &table), KV_EREADONLY);
    ck_rc(kv_table_drop(reader, 1), KV_EREADONLY);
    ck_rc(kv_table_empty(reader, 0), KV_EREADONLY);
    ck_rc(kv_table_rename(reader, 1, "u"), KV_EREADONLY);
    ck_ok(kv_cursor_open(reader, 0, &c));
    ck_ok(kv_cursor_get(c, KV_FIRST, &key, NULL));
    ck_rc(kv_cursor_put(c, &key, &value, 0), KV_EREADONLY);
    ck_rc(kv_cursor_put(c, NULL, &value, KV_AT_CURSOR), KV_EREADONLY);
    ck_rc(kv_cursor_del(c, 0), KV_EREADONLY);
    has(reader, 0, "a", "1");
}
END_TEST

START_TEST(a_reset_txn_does_nothing_until_it_is_renewed)
{
    struct kv_val key = text_val("a");
    struct kv_env_stat stat;
    struct kv_cursor *c;
    kv_table table;

    ck_ok(kv_cursor_open(reader, 0, &c));
    kv_txn_reset(reader);
    ck_assert_uint_eq(kv_txn_id(reader), 0);
    ck_rc(kv_get(reader, 0, &key, &junk), KV_EBADTXN);
    ck_rc(kv_cursor_get(c, KV_FIRST, &key, NULL), KV_EBADTXN);
    ck_rc(kv_table_open(reader, "t", 0, NULL, &table), KV_EBADTXN);
    ck_rc(kv_table_open(reader, NULL, 0, NULL, &table), KV_EBADTXN);
    ck_rc(kv_table_list(reader, (kv_table_fn *)abort, NULL), KV_EBADTXN);
    ck_rc(kv_env_stat(reader, &stat), KV_EBADTXN);
    ck_rc(kv_env_copy(reader, tmp_path("c.db"), NULL), KV_EBADTXN);
    ck_rc(kv_txn_refresh(reader, NULL), KV_EBADTXN);
    kv_txn_reset(reader);
    ck_ok(kv_txn_renew(reader));
    has(reader, 0, "a", "1");
    ck_rc(kv_txn_renew(reader), KV_EBADTXN);
}
END_TEST

START_TEST(writers_are_not_reset_renewed_or_refreshed)
{
    ck_rc(kv_txn_renew(writer), KV_EBADTXN);
    ck_rc(kv_txn_refresh(writer, NULL), KV_EBADTXN);
    kv_txn_reset(writer);
    has(writer, 0, "b", "2");
}
END_TEST

START_TEST(an_env_with_open_txns_is_not_closed)
{
    ck_rc(kv_env_close(env), KV_EBUSY);
    expect_error_text("args.db");
    has(reader, 0, "a", "1");
}
END_TEST

/* A change that fails half-way leaves a txn that can only be aborted; here the values are too
 * much for the file. */
START_TEST(a_failed_txn_can_only_be_aborted)
{
    struct kv_options options = KV_OPTIONS_INIT;
    struct kv_val key = text_val("k");
    struct kv_val value = {(size_t)8 << 20, NULL};
    struct kv_env *small;
    struct kv_txn *txn;
    struct kv_cursor *c;
    kv_table table;

    options.flags = KV_CREATE;
    options.max_size_bytes = (uint64_t)1 << 20;
    small = env_open_with(tmp_path("small.db"), &options);
    txn = txn_write(small);
    put(txn, 0, "a", "1");
    ck_ok(kv_cursor_open(txn, 0, &c));
    ck_rc(kv_put(txn, 0, &key, &value, KV_RESERVE), KV_ESIZELIMIT);
    ck_rc(try_put(txn, 0, "b", "1", 0), KV_EBADTXN);
    ck_rc(try_get(txn, 0, "a"), KV_EBADTXN);
    ck_rc(try_del(txn, 0, "a"), KV_EBADTXN);
    ck_rc(kv_cursor_get(c, KV_FIRST, &key, NULL), KV_EBADTXN);
    ck_rc(kv_table_open(txn, "t", KV_CREATE, NULL, &table), KV_EBADTXN);
    ck_rc(kv_txn_commit(txn), KV_EBADTXN);
    txn = txn_write(small);
    lacks(txn, 0, "a");
    kv_txn_abort(txn);
    env_close(small);
}
END_TEST

static int forked_calls(void *context)
{
    struct kv_val key = text_val("a");
    struct kv_val value = text_val("9");
    struct kv_env_info info;
    struct kv_txn *txn;
    int bad = 0;

    (void)context;
    bad += kv_get(reader, 0, &key, &junk) != KV_EFORKED;
    bad += kv_put(writer, 0, &key, &value, 0) != KV_EFORKED;
    bad += kv_cursor_get(cursor, KV_FIRST, &key, NULL) != KV_EFORKED;
    bad += kv_txn_begin(env, KV_READ, NULL, &txn) != KV_EFORKED;
    bad += kv_txn_begin(env, KV_WRITE, NULL, &txn) != KV_EFORKED;
    bad += kv_env_sync(env) != KV_EFORKED;
    bad += kv_env_info(env, &info) != KV_EFORKED;
    bad += kv_env_check(env, NULL) != KV_EFORKED;
    bad += kv_env_trim(env, 0, NULL) != KV_EFORKED;
    bad += kv_txn_refresh(reader, NULL) != KV_EFORKED;
    bad += kv_txn_commit(writer) != KV_EFORKED;
    kv_txn_reset(reader);
    kv_txn_abort(reader);
    kv_txn_abort(writer);
    bad += kv_env_close(env) != 0;
    return bad;
}

START_TEST(a_child_of_fork_is_refused_and_harms_nobody)
{
    ck_assert_int_eq(in_child(forked_calls, NULL), 0);
    has(reader, 0, "a", "1");
    put(writer, 0, "a", "1");
    ck_assert_uint_eq(env_info(env).readers, 1);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("api_args");
    const TTest *tests[] = {
        env_calls_without_an_env_are_refused,
        txn_calls_without_a_txn_are_refused,
        record_calls_without_key_or_value_are_refused,
        cursor_calls_without_what_they_need_are_refused,
        an_empty_key_and_an_empty_value_need_no_data,
        unknown_flags_are_refused_everywhere,
        unknown_operations_of_a_cursor_are_refused,
        flags_that_make_no_sense_together_are_refused,
        arguments_of_a_copy_are_looked_at,
        keys_that_are_too_long_are_refused_everywhere,
        values_that_are_too_long_are_refused_everywhere,
        a_read_txn_changes_nothing,
        a_reset_txn_does_nothing_until_it_is_renewed,
        writers_are_not_reset_renewed_or_refreshed,
        an_env_with_open_txns_is_not_closed,
        a_failed_txn_can_only_be_aborted,
        a_child_of_fork_is_refused_and_harms_nobody,
    };

    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
        harness_add_fixture(s, "args", tests[i], setup, teardown);
    return s;
}

HARNESS_MAIN(suite)
