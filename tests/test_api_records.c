/* SPDX-License-Identifier: MIT */
/*
 * Records through kv.h: put's flags, replace, delete, values and keys of every size, and arguments
 * that point into the txn's own memory.
 */
#include "api_help.h"

#include <stdlib.h>

static struct kv_env *env;
static struct kv_txn *txn;

static void setup(void)
{
    env = env_new("records.db");
    txn = txn_write(env);
}

static void teardown(void)
{
    txn_commit(txn);
    env_finish(env);
}

/* Commits and goes on in a new txn, so that pages are clean. */
static void commit_and_go_on(void)
{
    txn_commit(txn);
    txn = txn_write(env);
}

/* ---- Flags ---- */

START_TEST(put_replaces_and_delete_removes)
{
    put(txn, 0, "k", "one");
    put(txn, 0, "k", "two, which is longer");
    has(txn, 0, "k", "two, which is longer");
    put(txn, 0, "k", "");
    has(txn, 0, "k", "");
    del(txn, 0, "k");
    lacks(txn, 0, "k");
    ck_rc(try_del(txn, 0, "k"), KV_ENOTFOUND);
    ck_assert_uint_eq(table_stat(txn, 0).entries, 0);
}
END_TEST

START_TEST(get_clears_its_output_when_it_fails)
{
    struct kv_val key = text_val("none");
    struct kv_val value = text_val("junk");

    ck_rc(kv_get(txn, 0, &key, &value), KV_ENOTFOUND);
    ck_assert_uint_eq(value.size, 0);
    ck_assert_ptr_null(value.data);
}
END_TEST

/* Puts with KV_NOOVERWRITE over a present value of this size, which it must give. */
static void keeps_value(size_t size)
{
    uint8_t *expected = malloc(size + 1);
    struct kv_val key = text_val("k");
    struct kv_val value = text_val("new");

    ck_assert_ptr_nonnull(expected);
    put_bytes(txn, 0, "k", size, 1);
    commit_and_go_on();
    fill_bytes(expected, size, 1);
    ck_rc(kv_put(txn, 0, &key, &value, KV_NOOVERWRITE), KV_EEXIST);
    expect_val(&value, expected, size);
    ck_assert_ptr_nonnull(value.data);
    has_bytes(txn, 0, "k", size, 1);
    free(expected);
}

START_TEST(no_overwrite_gives_the_present_value_and_changes_nothing)
{
    keeps_value(0);
    keeps_value(10);
    keeps_value(1000);
    keeps_value(5000);
    keeps_value(1000000);
    ck_ok(try_put(txn, 0, "other", "new", KV_NOOVERWRITE));
    has(txn, 0, "other", "new");
}
END_TEST

START_TEST(append_takes_ascending_keys_only)
{
    char key[16];

    for (unsigned i = 0; i < 5000; i++) {
        snprintf(key, sizeof(key), "%06u", i * 2);
        ck_ok(try_put(txn, 0, key, "value", KV_APPEND));
    }
    ck_rc(try_put(txn, 0, "009998", "x", KV_APPEND), KV_EORDER);
    ck_rc(try_put(txn, 0, "000001", "x", KV_APPEND), KV_EORDER);
    ck_rc(try_put(txn, 0, "", "x", KV_APPEND), KV_EORDER);
    has(txn, 0, "009998", "value");
    lacks(txn, 0, "000001");
    ck_assert_uint_eq(table_stat(txn, 0).entries, 5000);
    ck_ok(try_put(txn, 0, "0099980", "x", KV_APPEND));
    ck_ok(try_put(txn, 0, "1", "x", KV_APPEND | KV_NOOVERWRITE));
}
END_TEST

START_TEST(appended_pages_are_full)
{
    struct kv_table_stat stat;

    for (unsigned i = 0; i < 10000; i++) {
        char key[32];

        snprintf(key, sizeof(key), "%06u", i);
        ck_ok(try_put(txn, 0, key, "some value of 26 bytes....", KV_APPEND));
    }
    stat = table_stat(txn, 0);
    ck_assert_uint_le(stat.pages_leaf, 10000 * (6 + 26 + 4 + 6) / 4000 + 2);
}
END_TEST

START_TEST(reserved_space_is_filled_later)
{
    static const size_t sizes[] = {0, 1, 10, 1000, 2000, 2100, 5000, 65536, 3000000};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct kv_val key = text_val("reserved");
        struct kv_val value = {sizes[i], NULL};

        put(txn, 0, "a", "before");
        ck_ok(kv_put(txn, 0, &key, &value, KV_RESERVE));
        ck_assert_uint_eq(value.size, sizes[i]);
        ck_assert_ptr_nonnull(value.data);
        fill_bytes(value.data, sizes[i], i);
        has_bytes(txn, 0, "reserved", sizes[i], i);
        has(txn, 0, "a", "before");
        commit_and_go_on();
        has_bytes(txn, 0, "reserved", sizes[i], i);
    }
}
END_TEST

START_TEST(reserve_and_no_overwrite_go_together)
{
    struct kv_val key = text_val("k");
    struct kv_val value = {5, NULL};

    ck_ok(kv_put(txn, 0, &key, &value, KV_RESERVE | KV_NOOVERWRITE));
    memcpy(value.data, "hello", 5);
    value = (struct kv_val){9, NULL};
    ck_rc(kv_put(txn, 0, &key, &value, KV_RESERVE | KV_NOOVERWRITE), KV_EEXIST);
    expect_text(&value, "hello");
    has(txn, 0, "k", "hello");
}
END_TEST

START_TEST(reserved_overflow_space_is_aligned_to_16)
{
    struct kv_val key = text_val("k");
    struct kv_val value = {100000, NULL};

    ck_ok(kv_put(txn, 0, &key, &value, KV_RESERVE));
    ck_assert_uint_eq((uintptr_t)value.data % 16, 0);
    memset(value.data, 'x', value.size);
    commit_and_go_on();
    ck_ok(kv_get(txn, 0, &key, &value));
    ck_assert_uint_eq((uintptr_t)value.data % 16, 0);
}
END_TEST

/* A page that would have to split refuses, and all is as before; one record less, and there is
 * room. */
START_TEST(no_split_refuses_what_does_not_fit_and_changes_nothing)
{
    char key[32];
    unsigned i;
    int rc = 0;

    for (i = 0; i < 500 && !rc; i++) {
        snprintf(key, sizeof(key), "key-%06u", i * 7 % 500);
        rc = try_put(txn, 0, key, "a value of thirty-one bytes....", KV_NOSPLIT);
    }
    ck_rc(rc, KV_EPAGEFULL);
    ck_assert_uint_ge(i, 60);
    ck_assert_uint_eq(table_stat(txn, 0).entries, i - 1);
    ck_assert_uint_eq(table_stat(txn, 0).pages_leaf, 1);
    lacks(txn, 0, key);
    ck_rc(try_put(txn, 0, key, "a value of thirty-one bytes....", KV_NOSPLIT | KV_NOOVERWRITE),
          KV_EPAGEFULL);
    ck_ok(try_put(txn, 0, "key-000000", "short", KV_NOSPLIT));
    ck_ok(try_del(txn, 0, "key-000007"));
    ck_ok(try_put(txn, 0, key, "a value of thirty-one bytes....", KV_NOSPLIT));
    for (i = 0; i < 3; i++) {
        snprintf(key, sizeof(key), "key-99999%u", i);
        ck_ok(try_put(txn, 0, key, "a value of thirty-one bytes....", 0));
    }
    ck_assert_uint_gt(table_stat(txn, 0).pages_leaf, 1);
}
END_TEST

/* ---- Replace ---- */

START_TEST(replace_gives_the_old_value_and_puts_the_new_one)
{
    struct kv_val key = text_val("k");
    struct kv_val value = text_val("first");
    struct kv_val old = text_val("junk");

    ck_ok(kv_replace(txn, 0, &key, &value, &old));
    ck_assert_ptr_null(old.data);
    ck_assert_uint_eq(old.size, 0);
    value = text_val("");
    ck_ok(kv_replace(txn, 0, &key, &value, &old));
    expect_text(&old, "first");
    value = text_val("third");
    ck_ok(kv_replace(txn, 0, &key, &value, &old));
    ck_assert_uint_eq(old.size, 0);
    ck_assert_ptr_nonnull(old.data); /* present and empty */
    has(txn, 0, "k", "third");
    ck_ok(kv_replace(txn, 0, &key, NULL, &old));
    expect_text(&old, "third");
    lacks(txn, 0, "k");
    ck_rc(kv_replace(txn, 0, &key, NULL, &old), KV_ENOTFOUND);
    ck_assert_ptr_null(old.data);
}
END_TEST

START_TEST(replace_moves_large_values_in_and_out)
{
    static const size_t sizes[] = {10, 50000, 3000, 0, 200000, 200000, 1};
    uint8_t *bytes = malloc(200001);
    struct kv_val key = text_val("k");
    struct kv_val old;

    ck_assert_ptr_nonnull(bytes);
    put_bytes(txn, 0, "k", 7, 0);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        size_t before = i ? sizes[i - 1] : 7;
        struct kv_val value = {sizes[i], bytes};

        fill_bytes(bytes, sizes[i], i + 1);
        ck_ok(kv_replace(txn, 0, &key, &value, &old));
        fill_bytes(bytes, before, i);
        expect_val(&old, bytes, before);
        commit_and_go_on();
        has_bytes(txn, 0, "k", sizes[i], i + 1);
    }
    free(bytes);
}
END_TEST

/* ---- Sizes ---- */

/* Every size near 0, half a page and a page; some between. */
static size_t next_size(size_t size)
{
    bool near = size < 40 || (size > 1990 && size < 2060) || (size > 4030 && size < 4110);

    return size + (near ? 1 : 37);
}

START_TEST(values_of_every_size_around_the_limits_come_back)
{
    char key[16];
    unsigned count = 0;

    for (size_t size = 0; size <= 4200; size = next_size(size)) {
        snprintf(key, sizeof(key), "%zu", size);
        put_bytes(txn, 0, key, size, size);
        count++;
    }
    commit_and_go_on();
    for (size_t size = 0; size <= 4200; size = next_size(size)) {
        snprintf(key, sizeof(key), "%zu", size);
        has_bytes(txn, 0, key, size, size);
    }
    ck_assert_uint_eq(table_stat(txn, 0).entries, count);
}
END_TEST

START_TEST(large_values_up_to_64_mib_come_back_and_their_space_is_reused)
{
    static const size_t sizes[] = {(64 << 20) - 32, 1 << 20, (16 << 20) + 1, 4064, 4065, 8160,
                                   64 << 20};
    uint64_t before;
    size_t last = sizeof(sizes) / sizeof(sizes[0]) - 1;

    for (size_t i = 0; i <= last; i++) {
        put_bytes(txn, 0, "large", sizes[i], i);
        commit_and_go_on();
        has_bytes(txn, 0, "large", sizes[i], i);
        ck_assert_uint_eq(table_stat(txn, 0).pages_overflow, (sizes[i] + 32 + 4095) / 4096);
    }
    before = env_info(env).file_size_bytes;
    for (unsigned i = 0; i < 4; i++) {
        put_bytes(txn, 0, "large", 8 << 20, i);
        commit_and_go_on();
    }
    ck_assert_uint_le(env_info(env).file_size_bytes, before);
}
END_TEST

START_TEST(keys_of_every_length_keep_their_order)
{
    size_t longest = (size_t)env_info(env).max_key_bytes;
    uint8_t *bytes = malloc(longest);
    struct kv_cursor *cursor;
    struct kv_val key;
    struct kv_val value;

    ck_assert_ptr_nonnull(bytes);
    memset(bytes, 0x61, longest);
    for (size_t i = 0; i <= longest; i++) { /* in an order of its own */
        size_t size = i * 811 % (longest + 1);

        key = bytes_val(bytes, size);
        value = bytes_val(&size, sizeof(size));
        ck_ok(kv_put(txn, 0, &key, &value, 0));
    }
    commit_and_go_on();
    ck_ok(kv_cursor_open(txn, 0, &cursor));
    for (size_t size = 0; size <= longest; size++) {
        ck_ok(kv_cursor_get(cursor, KV_NEXT, &key, &value));
        expect_val(&key, bytes, size);
        expect_val(&value, &size, sizeof(size));
    }
    ck_rc(kv_cursor_get(cursor, KV_NEXT, &key, &value), KV_ENOTFOUND);
    for (size_t i = 0; i <= longest; i += 3) {
        key = bytes_val(bytes, i);
        ck_ok(kv_del(txn, 0, &key, NULL));
    }
    ck_assert_uint_eq(table_stat(txn, 0).entries, longest + 1 - (longest / 3 + 1));
    free(bytes);
}
END_TEST

START_TEST(keys_are_ordered_as_unsigned_bytes_then_by_length)
{
    static const struct {
        const char *bytes;
        size_t size;
    } keys[] = {{"", 0},           {"\0", 1},       {"\0\0", 2},
                {"\0\0\0\0\0", 5}, {"\0\x01", 2},   {"\x01", 1},
                {"a", 1},          {"a\0", 2},      {"a\0\xff", 3},
                {"aa", 2},         {"a\x7f", 2},    {"a\x80", 2},
                {"a\xff", 2},      {"b", 1},        {"\x7f", 1},
                {"\x80", 1},       {"\xfe\xff", 2}, {"\xff", 1},
                {"\xff\0", 2},     {"\xff\xff", 2}, {"\xff\xff\xff\xff\xff\xff", 6}};
    const size_t count = sizeof(keys) / sizeof(keys[0]);
    struct kv_cursor *cursor;
    struct kv_val key;
    struct kv_val value;

    for (size_t i = 0; i < count; i++) {
        size_t j = i * 8 % count;

        key = bytes_val(keys[j].bytes, keys[j].size);
        value = bytes_val(&j, sizeof(j));
        ck_ok(kv_put(txn, 0, &key, &value, KV_NOOVERWRITE));
    }
    ck_ok(kv_cursor_open(txn, 0, &cursor));
    for (size_t i = 0; i < count; i++) {
        ck_ok(kv_cursor_get(cursor, KV_NEXT, &key, &value));
        expect_val(&key, keys[i].bytes, keys[i].size);
        expect_val(&value, &i, sizeof(i));
    }
}
END_TEST

/* ---- Arguments in the txn's own memory ---- */

START_TEST(a_value_read_may_be_put_under_another_key)
{
    static const size_t sizes[] = {1, 100, 1900, 2500, 100000};

    fill_table(txn, 0, "around", 200, 30);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct kv_val from = text_val("from");
        struct kv_val value;
        char to[16];

        put_bytes(txn, 0, "from", sizes[i], i);
        for (unsigned j = 0; j < 40; j++) { /* clean pages, changed pages, pages that split */
            struct kv_val key;

            if (j == 1)
                commit_and_go_on();
            ck_ok(kv_get(txn, 0, &from, &value));
            key = bytes_val(to, (size_t)snprintf(to, sizeof(to), "fron%u", j));
            ck_ok(kv_put(txn, 0, &key, &value, 0));
            has_bytes(txn, 0, to, sizes[i], i);
            has_bytes(txn, 0, "from", sizes[i], i);
        }
        for (unsigned j = 0; j < 40; j++) {
            snprintf(to, sizeof(to), "fron%u", j);
            has_bytes(txn, 0, to, sizes[i], i);
        }
    }
}
END_TEST

START_TEST(a_value_may_replace_itself_or_be_cut_out_of_itself)
{
    static const size_t sizes[] = {60, 1500, 9000, 70000};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct kv_val key = text_val("self");
        struct kv_val value;
        uint8_t *expected = malloc(sizes[i]);

        ck_assert_ptr_nonnull(expected);
        fill_bytes(expected, sizes[i], i);
        put_bytes(txn, 0, "self", sizes[i], i);
        for (unsigned round = 0; round < 2; round++) {
            ck_ok(kv_get(txn, 0, &key, &value));
            ck_ok(kv_put(txn, 0, &key, &value, 0));
            has_bytes(txn, 0, "self", sizes[i], i);
            commit_and_go_on();
        }
        ck_ok(kv_get(txn, 0, &key, &value));
        value.data = (uint8_t *)value.data + 7;
        value.size -= 20;
        ck_ok(kv_put(txn, 0, &key, &value, 0));
        ck_ok(kv_get(txn, 0, &key, &value));
        expect_val(&value, expected + 7, sizes[i] - 20);
        ck_ok(kv_put(txn, 0, &key, &(struct kv_val){30, (uint8_t *)value.data + 1}, 0));
        ck_ok(kv_get(txn, 0, &key, &value));
        expect_val(&value, expected + 8, 30);
        free(expected);
    }
}
END_TEST

START_TEST(a_value_of_one_table_may_be_put_into_another)
{
    kv_table table = table_make(txn, "t");
    struct kv_val key = text_val("k");
    struct kv_val value;

    put_bytes(txn, 0, "k", 300, 1);
    put_bytes(txn, table, "big", 30000, 2);
    ck_ok(kv_get(txn, 0, &key, &value));
    ck_ok(kv_put(txn, table, &key, &value, 0));
    has_bytes(txn, table, "k", 300, 1);
    key = text_val("big");
    ck_ok(kv_get(txn, table, &key, &value));
    ck_ok(kv_put(txn, 0, &key, &value, 0));
    has_bytes(txn, 0, "big", 30000, 2);
}
END_TEST

START_TEST(a_key_read_from_a_cursor_may_be_deleted_or_put)
{
    struct kv_cursor *cursor;
    struct kv_val key;
    struct kv_val value;
    unsigned deleted = 0;

    fill_table(txn, 0, "k", 3000, 40);
    commit_and_go_on();
    ck_ok(kv_cursor_open(txn, 0, &cursor));
    while (kv_cursor_get(cursor, KV_NEXT, &key, &value) == 0) {
        if (deleted % 3 == 0)
            ck_ok(kv_put(txn, 0, &key, &key, 0));
        ck_ok(kv_cursor_get(cursor, KV_CURRENT, &key, &value));
        ck_ok(kv_del(txn, 0, &key, NULL));
        deleted++;
    }
    ck_assert_uint_eq(deleted, 3000);
    ck_assert_uint_eq(table_stat(txn, 0).entries, 0);
}
END_TEST

START_TEST(a_key_and_a_value_from_one_page_may_become_a_record_there)
{
    struct kv_cursor *cursor;
    struct kv_val key;
    struct kv_val value;

    fill_table(txn, 0, "key", 500, 60);
    commit_and_go_on();
    ck_ok(kv_cursor_open(txn, 0, &cursor));
    for (unsigned i = 0; i < 400; i++) { /* value as key, key as value */
        char name[16];

        snprintf(name, sizeof(name), "key%06u", i);
        key = text_val(name);
        ck_ok(kv_cursor_get(cursor, KV_EXACT, &key, &value));
        ck_ok(kv_put(txn, 0, &value, &key, 0));
        has_bytes(txn, 0, name, 60, i);
    }
    ck_assert_uint_eq(table_stat(txn, 0).entries, 900);
}
END_TEST

START_TEST(the_old_value_of_a_replace_may_be_the_new_value_of_the_next)
{
    struct kv_val a = text_val("a");
    struct kv_val b = text_val("b");
    struct kv_val old;
    struct kv_val older;

    put_bytes(txn, 0, "a", 100, 1);
    put_bytes(txn, 0, "b", 5000, 2);
    ck_ok(kv_replace(txn, 0, &a, &b, &old));
    ck_ok(kv_replace(txn, 0, &b, &old, &older)); /* swaps: `old` is the txn's memory */
    has_bytes(txn, 0, "b", 100, 1);
    put_bytes(txn, 0, "c", 40, 3);
    put_bytes(txn, 0, "d", 60000, 4);
    a = text_val("c");
    b = text_val("d");
    ck_ok(kv_replace(txn, 0, &a, &a, &old));
    ck_ok(kv_replace(txn, 0, &b, &old, &older));
    has_bytes(txn, 0, "d", 40, 3);
    ck_ok(kv_replace(txn, 0, &b, &a, &old));
    ck_ok(kv_put(txn, 0, &a, &old, 0));
    has_bytes(txn, 0, "c", 40, 3);
}
END_TEST

/* ---- Against a model ---- */

enum { KEYS = 400 };

START_TEST(random_puts_replaces_and_deletes_do_as_the_model_says)
{
    struct {
        uint64_t seed; /* 0: absent */
        size_t size;
    } model[KEYS] = {{0, 0}};
    uint64_t steps = scaled(40000);
    uint64_t entries = 0;
    struct rng rng;

    rng_seed(&rng, "records", 77);
    for (uint64_t i = 1; i <= steps; i++) {
        unsigned k = (unsigned)rng_below(&rng, KEYS);
        size_t size = rng_chance(&rng, 3) ? rng_below(&rng, 20000) : rng_below(&rng, 200);
        char key[64];

        snprintf(key, sizeof(key), "%0*u", (int)(k % 50) + 3, k);
        if (rng_chance(&rng, 45)) {
            ck_rc(try_del(txn, 0, key), model[k].seed ? 0 : KV_ENOTFOUND);
            model[k].seed = 0;
        } else {
            put_bytes(txn, 0, key, size, i);
            model[k].seed = i;
            model[k].size = size;
        }
        if (i % 997 == 0)
            commit_and_go_on();
        if (i % 5000 != 0 && i != steps)
            continue;
        entries = 0;
        for (k = 0; k < KEYS; k++) {
            snprintf(key, sizeof(key), "%0*u", (int)(k % 50) + 3, k);
            entries += model[k].seed != 0;
            if (model[k].seed)
                has_bytes(txn, 0, key, model[k].size, model[k].seed);
            else
                lacks(txn, 0, key);
        }
        ck_assert_uint_eq(table_stat(txn, 0).entries, entries);
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("api_records");
    const TTest *tests[] = {
        put_replaces_and_delete_removes,
        get_clears_its_output_when_it_fails,
        no_overwrite_gives_the_present_value_and_changes_nothing,
        append_takes_ascending_keys_only,
        appended_pages_are_full,
        reserved_space_is_filled_later,
        reserve_and_no_overwrite_go_together,
        reserved_overflow_space_is_aligned_to_16,
        no_split_refuses_what_does_not_fit_and_changes_nothing,
        replace_gives_the_old_value_and_puts_the_new_one,
        replace_moves_large_values_in_and_out,
        values_of_every_size_around_the_limits_come_back,
        large_values_up_to_64_mib_come_back_and_their_space_is_reused,
        keys_of_every_length_keep_their_order,
        keys_are_ordered_as_unsigned_bytes_then_by_length,
        a_value_read_may_be_put_under_another_key,
        a_value_may_replace_itself_or_be_cut_out_of_itself,
        a_value_of_one_table_may_be_put_into_another,
        a_key_read_from_a_cursor_may_be_deleted_or_put,
        a_key_and_a_value_from_one_page_may_become_a_record_there,
        the_old_value_of_a_replace_may_be_the_new_value_of_the_next,
        random_puts_replaces_and_deletes_do_as_the_model_says,
    };

    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
        harness_add_fixture(s, "records", tests[i], setup, teardown);
    return s;
}

HARNESS_MAIN(suite)
