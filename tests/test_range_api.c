/* SPDX-License-Identifier: MIT */
/* kv_del_range: what it refuses, named tables, nested txns, readers, other orders' prefixes. */
#include <string.h>

#include "api_help.h"
#include "harness.h"

static struct kv_env *env;
static struct kv_txn *txn;

static void open_env(void)
{
    struct kv_options options = KV_OPTIONS_INIT;

    options.flags = KV_CREATE | KV_MEMORY;
    options.durability = KV_NONE;
    ck_ok(kv_env_open(NULL, &options, &env));
    txn = txn_write(env);
}

static void close_env(void)
{
    txn_commit(txn);
    env_finish(env);
}

static kv_table make(const char *name, uint32_t flags, enum kv_order order)
{
    struct kv_table_options options = KV_TABLE_OPTIONS_INIT;
    kv_table table;

    options.flags = flags;
    options.order = order;
    ck_ok(kv_table_open(txn, name, KV_CREATE, &options, &table));
    return table;
}

static int try_range(kv_table table, const char *from, const char *to, uint64_t *deleted_out)
{
    struct kv_val low = text_val(from ? from : ""), high = text_val(to ? to : "");
    struct kv_range range = {from ? &low : NULL, to ? &high : NULL, NULL, 0};

    return kv_del_range(txn, table, &range, deleted_out);
}

static uint64_t cut(kv_table table, const char *from, const char *to)
{
    uint64_t deleted;

    ck_ok(try_range(table, from, to, &deleted));
    return deleted;
}

static uint64_t cut_prefix(kv_table table, const char *text)
{
    struct kv_val prefix = text_val(text);
    struct kv_range range = {NULL, NULL, &prefix, 0};
    uint64_t deleted;

    ck_ok(kv_del_range(txn, table, &range, &deleted));
    return deleted;
}

/* ---- Refused ---- */

START_TEST(bad_arguments_change_nothing)
{
    struct kv_val key = text_val("k"), hollow = {3, NULL}, huge = {1 << 20, &huge};
    struct kv_range range = KV_RANGE_INIT;
    uint64_t deleted = 7;

    put(txn, KV_MAIN_TABLE, "k", "v");
    range.from = &hollow;
    ck_rc(kv_del_range(txn, KV_MAIN_TABLE, &range, &deleted), KV_EINVAL);
    ck_assert_uint_eq(deleted, 0);
    range.from = &huge;
    ck_rc(kv_del_range(txn, KV_MAIN_TABLE, &range, &deleted), KV_EKEYSIZE);
    range.from = &key;
    range.prefix = &key;
    ck_rc(kv_del_range(txn, KV_MAIN_TABLE, &range, &deleted), KV_EINVAL);
    range.from = NULL;
    range.flags = KV_FROM_EXCLUSIVE;
    ck_rc(kv_del_range(txn, KV_MAIN_TABLE, &range, &deleted), KV_EINVAL);
    range.prefix = &hollow;
    range.flags = 0;
    ck_rc(kv_del_range(txn, KV_MAIN_TABLE, &range, &deleted), KV_EINVAL);
    range = (struct kv_range)KV_RANGE_INIT;
    range.flags = 0x100;
    ck_rc(kv_del_range(txn, KV_MAIN_TABLE, &range, &deleted), KV_EINVAL);
    ck_rc(kv_del_range(txn, 99, NULL, &deleted), KV_EBADTABLE);
    has(txn, KV_MAIN_TABLE, "k", "v");
    ck_ok(kv_del_range(txn, KV_MAIN_TABLE, NULL, NULL));
    lacks(txn, KV_MAIN_TABLE, "k");
}
END_TEST

START_TEST(a_read_txn_may_not_delete)
{
    struct kv_txn *reader;
    uint64_t deleted;

    put(txn, KV_MAIN_TABLE, "k", "v");
    txn_commit(txn);
    reader = txn_read(env);
    ck_rc(kv_del_range(reader, KV_MAIN_TABLE, NULL, &deleted), KV_EREADONLY);
    kv_txn_abort(reader);
    txn = txn_write(env);
}
END_TEST

START_TEST(named_tables_in_the_range_stop_it_before_anything_changes)
{
    uint64_t deleted = 7;

    fill_table(txn, KV_MAIN_TABLE, "a", 500, 100);
    fill_table(txn, KV_MAIN_TABLE, "z", 500, 100);
    (void)make("m", 0, KV_ORDER_BYTES);
    ck_rc(kv_del_range(txn, KV_MAIN_TABLE, NULL, &deleted), KV_EINCOMPATIBLE);
    ck_assert_uint_eq(deleted, 0);
    ck_rc(try_range(KV_MAIN_TABLE, "a000100", "z000100", &deleted), KV_EINCOMPATIBLE);
    ck_rc(try_range(KV_MAIN_TABLE, "m", "n", &deleted), KV_EINCOMPATIBLE);
    ck_assert_uint_eq(table_stat(txn, KV_MAIN_TABLE).entries, 1001);
    ck_assert_uint_eq(cut(KV_MAIN_TABLE, "a000100", "m"), 400);
    ck_assert_uint_eq(cut(KV_MAIN_TABLE, "m0", "z000400"), 400);
    ck_assert_uint_eq(table_stat(txn, KV_MAIN_TABLE).entries, 201);
    ck_assert_uint_eq(table_stat(txn, table_find(txn, "m")).entries, 0);
    ck_ok(kv_table_drop(txn, table_find(txn, "m")));
    ck_assert_uint_eq(cut(KV_MAIN_TABLE, NULL, NULL), 200);
}
END_TEST

START_TEST(prefixes_belong_to_orders_that_have_them)
{
    kv_table numbers = make("numbers", 0, KV_ORDER_UINT);
    struct kv_val prefix = text_val("k");
    struct kv_range range = {NULL, NULL, &prefix, 0};
    uint64_t deleted;

    ck_rc(kv_del_range(txn, numbers, &range, &deleted), KV_EINCOMPATIBLE);
    ck_rc(kv_count(txn, numbers, &range, KV_ESTIMATE, &deleted), KV_EINCOMPATIBLE);
    range = (struct kv_range){&prefix, NULL, NULL, 0};
    ck_rc(kv_del_range(txn, numbers, &range, &deleted), KV_EKEYSIZE);
}
END_TEST

/* ---- Done ---- */

START_TEST(with_reverse_order_a_prefix_is_what_keys_end_with)
{
    kv_table table = make("r", KV_COUNTED, KV_ORDER_REVERSE);
    const char *const keys[] = {"com",   "a.com", "b.com", "a.comx",
                                "com.a", "\377",  "a\377", "\377a"};

    for (unsigned i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        put(txn, table, keys[i], "v");
    }
    ck_assert_uint_eq(cut_prefix(table, ".com"), 2);
    ck_assert_uint_eq(cut_prefix(table, "com"), 1);
    ck_assert_uint_eq(cut_prefix(table, "\377"), 2);
    ck_assert_uint_eq(cut_prefix(table, "\377a"), 1);
    has(txn, table, "a.comx", "v");
    has(txn, table, "com.a", "v");
    ck_assert_uint_eq(cut_prefix(table, ""), 2);
}
END_TEST

START_TEST(with_duplicates_keys_go_with_all_their_values)
{
    kv_table table = make("d", KV_DUPLICATES, KV_ORDER_BYTES);
    struct kv_table_stat stat;

    for (unsigned key = 0; key < 10; key++) {
        for (unsigned i = 0; i < 500; i++) {
            char name[8], value[24];

            snprintf(name, sizeof(name), "k%u", key);
            snprintf(value, sizeof(value), "value number %06u", i);
            put(txn, table, name, value);
        }
    }
    ck_assert_uint_eq(cut(table, "k3", "k7"), 2000);
    stat = table_stat(txn, table);
    ck_assert_uint_eq(stat.entries, 3000);
    ck_assert_uint_eq(stat.keys, 6);
    ck_assert_uint_eq(cut_prefix(table, "k"), 3000);
    ck_assert_uint_eq(table_stat(txn, table).pages_leaf, 0);
}
END_TEST

START_TEST(an_aborted_nested_txn_gives_the_range_back)
{
    struct kv_txn *outer = txn;

    fill_table(txn, KV_MAIN_TABLE, "k", 3000, 100);
    txn = txn_nested(outer);
    ck_assert_uint_eq(cut(KV_MAIN_TABLE, "k000500", "k002500"), 2000);
    kv_txn_abort(txn);
    txn = txn_nested(outer);
    ck_assert_uint_eq(table_stat(txn, KV_MAIN_TABLE).entries, 3000);
    ck_assert_uint_eq(cut(KV_MAIN_TABLE, "k001000", NULL), 2000);
    txn_commit(txn);
    txn = outer;
    ck_assert_uint_eq(table_stat(txn, KV_MAIN_TABLE).entries, 1000);
}
END_TEST

START_TEST(readers_keep_the_range_and_its_pages_come_back_afterwards)
{
    struct kv_txn *reader;
    uint64_t entries, digest, pages;

    fill_table(txn, KV_MAIN_TABLE, "k", 20000, 100);
    txn_commit(txn);
    reader = txn_read(env);
    digest = table_digest(reader, KV_MAIN_TABLE, &entries);
    pages = env_stat(reader).pages_used;
    txn = txn_write(env);
    ck_assert_uint_eq(cut(KV_MAIN_TABLE, "k000100", "k019900"), 19800);
    txn_commit(txn);
    ck_assert(table_digest(reader, KV_MAIN_TABLE, &entries) == digest);
    ck_assert_uint_eq(entries, 20000);
    kv_txn_abort(reader);
    txn = txn_write(env);
    ck_assert_uint_lt(env_stat(txn).pages_used, pages / 20);
}
END_TEST

static Suite *suite(void)
{
    const TTest *const tests[] = {
        bad_arguments_change_nothing,
        a_read_txn_may_not_delete,
        named_tables_in_the_range_stop_it_before_anything_changes,
        prefixes_belong_to_orders_that_have_them,
        with_reverse_order_a_prefix_is_what_keys_end_with,
        with_duplicates_keys_go_with_all_their_values,
        an_aborted_nested_txn_gives_the_range_back,
        readers_keep_the_range_and_its_pages_come_back_afterwards,
    };
    Suite *s = suite_create("range_api");

    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        harness_add_fixture(s, "api", tests[i], open_env, close_env);
    }
    return s;
}

HARNESS_MAIN(suite)
