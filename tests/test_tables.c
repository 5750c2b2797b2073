/* SPDX-License-Identifier: MIT */
/* Named tables through kv.h: names, handles, drops in and across txns, listing, exact counts. */
#include "api_help.h"

#include <stdlib.h>

static struct kv_env *env;

static void setup(void)
{
    env = env_new("tables.db");
}

static void teardown(void)
{
    env_finish(env);
}

/* ---- Verbs ---- */

static int count_name(void *context, const char *name)
{
    (void)name;
    ++*(unsigned *)context;
    return 0;
}

static unsigned tables_count(struct kv_txn *txn)
{
    unsigned count = 0;

    ck_ok(kv_table_list(txn, count_name, &count));
    ck_assert_uint_eq(env_stat(txn).tables, count);
    return count;
}

static int join_name(void *context, const char *name)
{
    strcat(context, name);
    strcat(context, " ");
    return 0;
}

static void tables_are(struct kv_txn *txn, const char *expected)
{
    char names[512] = "";

    ck_ok(kv_table_list(txn, join_name, names));
    ck_assert_str_eq(names, expected);
}

static int try_open(struct kv_txn *txn, const char *name)
{
    kv_table table;

    return kv_table_open(txn, name, 0, NULL, &table);
}

/* A committed table of one record, whose key and value are the table's name. */
static kv_table make_committed(const char *name)
{
    struct kv_txn *txn = txn_write(env);
    kv_table table = table_make(txn, name);

    put(txn, table, name, name);
    txn_commit(txn);
    return table;
}

/* The handle means the table that was made under `name`, in a new read txn. */
static void handle_means(kv_table table, const char *name)
{
    struct kv_txn *txn = txn_read(env);

    has(txn, table, name, name);
    kv_txn_abort(txn);
}

/* ---- Handles ---- */

START_TEST(a_table_keeps_its_records_and_gives_the_same_handle_each_time)
{
    kv_table table = make_committed("fruit");
    struct kv_txn *txn = txn_read(env);

    ck_assert_uint_ne(table, KV_MAIN_TABLE);
    ck_assert_uint_eq(table_find(txn, "fruit"), table);
    has(txn, table, "fruit", "fruit");
    lacks(txn, KV_MAIN_TABLE, "other");
    kv_txn_abort(txn);
}
END_TEST

START_TEST(no_name_is_the_main_table)
{
    struct kv_txn *txn = txn_read(env);
    kv_table table = 7;

    ck_ok(kv_table_open(txn, NULL, 0, NULL, &table));
    ck_assert_uint_eq(table, KV_MAIN_TABLE);
    kv_txn_abort(txn);
}
END_TEST

START_TEST(a_missing_table_is_not_found_and_not_made_in_a_read_txn)
{
    struct kv_txn *txn = txn_read(env);
    kv_table table = 7;

    ck_rc(kv_table_open(txn, "none", 0, NULL, &table), KV_ENOTFOUND);
    ck_assert_uint_eq(table, 0);
    ck_rc(kv_table_open(txn, "none", KV_CREATE, NULL, &table), KV_EREADONLY);
    kv_txn_abort(txn);
}
END_TEST

START_TEST(create_opens_what_is_there_also_in_a_read_txn)
{
    kv_table table = make_committed("fruit");
    struct kv_txn *txn = txn_read(env);

    ck_assert_uint_eq(table_make(txn, "fruit"), table);
    kv_txn_abort(txn);
}
END_TEST

START_TEST(a_handle_from_an_aborted_txn_names_nothing_until_the_table_is_made)
{
    struct kv_txn *txn = txn_write(env);
    kv_table table = table_make(txn, "later");

    put(txn, table, "k", "v");
    kv_txn_abort(txn);
    txn = txn_write(env);
    ck_rc(try_get(txn, table, "k"), KV_EBADTABLE);
    ck_rc(try_open(txn, "later"), KV_ENOTFOUND);
    ck_assert_uint_eq(table_make(txn, "later"), table);
    lacks(txn, table, "k");
    txn_commit(txn);
}
END_TEST

START_TEST(a_snapshot_from_before_a_table_does_not_know_its_handle)
{
    struct kv_txn *old = txn_read(env);
    kv_table table = make_committed("new");

    ck_rc(try_get(old, table, "new"), KV_EBADTABLE);
    ck_rc(try_open(old, "new"), KV_ENOTFOUND);
    handle_means(table, "new");
    kv_txn_abort(old);
}
END_TEST

START_TEST(numbers_that_were_never_given_are_no_tables)
{
    struct kv_txn *txn = txn_write(env);
    const kv_table wrong[] = {1, 2, 1000, 0x100000, 0x7fffffff, 0x80000000u, 0xffffffffu};

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        ck_rc(try_get(txn, wrong[i], "k"), KV_EBADTABLE);
        ck_rc(try_put(txn, wrong[i], "k", "v", 0), KV_EBADTABLE);
        ck_rc(kv_table_drop(txn, wrong[i]), KV_EBADTABLE);
        ck_rc(kv_table_close(env, wrong[i]), KV_EBADTABLE);
    }
    txn_commit(txn);
}
END_TEST

START_TEST(a_closed_handle_stays_closed_when_the_name_is_opened_again)
{
    kv_table closed = make_committed("t");
    struct kv_txn *txn;
    kv_table again;

    ck_ok(kv_table_close(env, closed));
    txn = txn_write(env);
    ck_rc(try_get(txn, closed, "t"), KV_EBADTABLE);
    again = table_find(txn, "t");
    ck_assert_uint_ne(again, closed);
    has(txn, again, "t", "t");
    ck_rc(try_get(txn, closed, "t"), KV_EBADTABLE);
    ck_rc(kv_table_close(env, closed), KV_EBADTABLE);
    kv_txn_abort(txn);
    ck_rc(kv_table_close(env, KV_MAIN_TABLE), KV_EINVAL);
}
END_TEST

START_TEST(closing_a_handle_inside_the_txn_that_changed_the_table_loses_nothing)
{
    struct kv_txn *txn = txn_write(env);
    kv_table table = table_make(txn, "t");
    kv_table again;

    put(txn, table, "a", "1");
    ck_ok(kv_table_close(env, table));
    ck_rc(try_put(txn, table, "b", "2", 0), KV_EBADTABLE);
    again = table_find(txn, "t");
    ck_assert_uint_ne(again, table);
    has(txn, again, "a", "1");
    put(txn, again, "b", "2");
    ck_rc(try_get(txn, table, "a"), KV_EBADTABLE);
    txn_commit(txn);
    txn = txn_read(env);
    has(txn, table_find(txn, "t"), "a", "1");
    has(txn, table_find(txn, "t"), "b", "2");
    kv_txn_abort(txn);
}
END_TEST

START_TEST(a_handle_closed_inside_a_txn_and_not_opened_again_loses_nothing)
{
    struct kv_txn *txn = txn_write(env);
    kv_table table = table_make(txn, "t");

    put(txn, table, "a", "1");
    ck_ok(kv_table_close(env, table));
    txn_commit(txn);
    txn = txn_read(env);
    has(txn, table_find(txn, "t"), "a", "1");
    kv_txn_abort(txn);
}
END_TEST

START_TEST(names_opened_and_closed_without_end_do_not_run_out)
{
    kv_table table = make_committed("t");
    struct kv_txn *txn = txn_read(env);

    for (unsigned i = 0; i < 5000; i++) {
        ck_ok(kv_table_close(env, table));
        table = table_find(txn, "t");
    }
    has(txn, table, "t", "t");
    kv_txn_abort(txn);
}
END_TEST

/* ---- Names and keys of the main table ---- */

START_TEST(a_key_of_the_main_table_is_no_table_name)
{
    struct kv_txn *txn = txn_write(env);
    kv_table table = table_make(txn, "t");

    put(txn, KV_MAIN_TABLE, "key", "value");
    ck_rc(try_open(txn, "key"), KV_EINCOMPATIBLE);
    ck_rc(kv_table_open(txn, "key", KV_CREATE, NULL, &table), KV_EINCOMPATIBLE);
    table = table_find(txn, "t");
    ck_rc(kv_table_rename(txn, table, "key"), KV_EEXIST);
    has(txn, KV_MAIN_TABLE, "key", "value");
    txn_commit(txn);
}
END_TEST

START_TEST(a_table_name_is_no_key_of_the_main_table)
{
    struct kv_val key = text_val("t");
    struct kv_val old;
    struct kv_txn *txn;
    const uint32_t flags[] = {0, KV_NOOVERWRITE, KV_RESERVE, KV_NOSPLIT};
    kv_table table = make_committed("t");

    txn = txn_write(env);
    ck_rc(try_get(txn, KV_MAIN_TABLE, "t"), KV_EINCOMPATIBLE);
    for (size_t i = 0; i < 4; i++)
        ck_rc(try_put(txn, KV_MAIN_TABLE, "t", "v", flags[i]), KV_EINCOMPATIBLE);
    ck_rc(try_del(txn, KV_MAIN_TABLE, "t"), KV_EINCOMPATIBLE);
    ck_rc(kv_replace(txn, KV_MAIN_TABLE, &key, &key, &old), KV_EINCOMPATIBLE);
    ck_rc(kv_replace(txn, KV_MAIN_TABLE, &key, NULL, &old), KV_EINCOMPATIBLE);
    txn_commit(txn);
    handle_means(table, "t");
}
END_TEST

START_TEST(a_cursor_of_the_main_table_shows_tables_and_does_not_change_them)
{
    struct kv_txn *txn = txn_write(env);
    struct kv_cursor *cursor;
    struct kv_val value = text_val("v");
    struct kv_val key;

    put(txn, KV_MAIN_TABLE, "a", "1");
    put(txn, KV_MAIN_TABLE, "c", "3");
    table_make(txn, "b");
    ck_ok(kv_cursor_open(txn, KV_MAIN_TABLE, &cursor));
    ck_ok(kv_cursor_get(cursor, KV_FIRST, &key, NULL));
    ck_assert_int_eq(kv_cursor_is_table(cursor), 0);
    ck_ok(kv_cursor_get(cursor, KV_NEXT, &key, &value));
    expect_text(&key, "b");
    ck_assert_uint_eq(value.size, 0);
    ck_assert_int_eq(kv_cursor_is_table(cursor), 1);
    ck_rc(kv_cursor_del(cursor, 0), KV_EINCOMPATIBLE);
    value = text_val("v");
    ck_rc(kv_cursor_put(cursor, NULL, &value, KV_AT_CURSOR), KV_EINCOMPATIBLE);
    key = text_val("b");
    ck_rc(kv_cursor_put(cursor, &key, &value, 0), KV_EINCOMPATIBLE);
    ck_rc(kv_cursor_put(cursor, &key, &value, KV_NOOVERWRITE), KV_EINCOMPATIBLE);
    tables_are(txn, "b ");
    txn_commit(txn);
}
END_TEST

START_TEST(names_have_the_length_that_they_may_have)
{
    struct kv_txn *txn = txn_write(env);
    uint64_t longest = 0;
    char name[4096];
    kv_table table;
    int rc = 0;

    for (size_t size = 1900; size < 2100 && !rc; size++) {
        memset(name, 'n', size);
        name[size] = 0;
        rc = kv_table_open(txn, name, KV_CREATE, NULL, &table);
        if (!rc) {
            longest = size;
            put(txn, table, "k", "v");
            ck_ok(kv_table_drop(txn, table));
        }
    }
    ck_rc(rc, KV_EKEYSIZE);
    ck_assert_uint_ge(longest, 1942);
    table = table_make(txn, "short");
    put(txn, table, "k", "v");
    ck_rc(kv_table_rename(txn, table, name), KV_EKEYSIZE);
    ck_rc(kv_table_open(txn, name, 0, NULL, &table), KV_EKEYSIZE);
    name[longest] = 0;
    table = table_find(txn, "short");
    ck_ok(kv_table_rename(txn, table, name));
    has(txn, table, "k", "v");
    txn_commit(txn);
    txn = txn_read(env);
    has(txn, table_find(txn, name), "k", "v");
    kv_txn_abort(txn);
}
END_TEST

START_TEST(the_empty_name_is_a_name)
{
    kv_table table = make_committed("");
    struct kv_txn *txn = txn_read(env);

    ck_assert_uint_ne(table, KV_MAIN_TABLE);
    tables_are(txn, " ");
    kv_txn_abort(txn);
    handle_means(table, "");
}
END_TEST

START_TEST(a_key_with_a_zero_byte_is_another_than_the_name_before_it)
{
    struct kv_txn *txn = txn_write(env);
    struct kv_val key = bytes_val("t\0", 2);
    struct kv_val value = text_val("v");

    table_make(txn, "t");
    ck_ok(kv_put(txn, KV_MAIN_TABLE, &key, &value, 0));
    ck_ok(kv_get(txn, KV_MAIN_TABLE, &key, &value));
    expect_text(&value, "v");
    tables_are(txn, "t ");
    txn_commit(txn);
}
END_TEST

/* ---- Drop and empty ---- */

START_TEST(a_dropped_table_is_gone_with_its_handle)
{
    kv_table table = make_committed("t");
    struct kv_txn *old = txn_read(env);
    struct kv_txn *txn = txn_write(env);
    struct kv_cursor *cursor;
    struct kv_val key;

    ck_ok(kv_cursor_open(txn, table, &cursor));
    ck_ok(kv_table_drop(txn, table));
    ck_rc(try_get(txn, table, "t"), KV_EBADTABLE);
    ck_rc(try_put(txn, table, "t", "v", 0), KV_EBADTABLE);
    ck_rc(kv_table_drop(txn, table), KV_EBADTABLE);
    ck_rc(kv_table_empty(txn, table), KV_EBADTABLE);
    ck_rc(kv_table_rename(txn, table, "u"), KV_EBADTABLE);
    ck_rc(kv_cursor_get(cursor, KV_FIRST, &key, NULL), KV_EBADTABLE);
    ck_rc(try_open(txn, "t"), KV_ENOTFOUND);
    ck_assert_uint_eq(tables_count(txn), 0);
    txn_commit(txn);
    txn = txn_read(env);
    ck_rc(try_get(txn, table, "t"), KV_EBADTABLE);
    has(old, table, "t", "t");
    kv_txn_abort(txn);
    kv_txn_abort(old);
}
END_TEST

START_TEST(a_table_dropped_and_made_again_is_empty_and_has_its_handle_again)
{
    kv_table table = make_committed("t");
    struct kv_txn *txn = txn_write(env);

    ck_ok(kv_table_drop(txn, table));
    ck_assert_uint_eq(table_make(txn, "t"), table);
    lacks(txn, table, "t");
    put(txn, table, "new", "1");
    txn_commit(txn);
    txn = txn_read(env);
    lacks(txn, table, "t");
    has(txn, table, "new", "1");
    kv_txn_abort(txn);
}
END_TEST

START_TEST(an_emptied_table_is_there_without_records)
{
    struct kv_txn *txn = txn_write(env);
    kv_table table = table_make(txn, "t");
    uint64_t used_before;

    used_before = env_stat(txn).pages_used;
    fill_table(txn, table, "k", 2000, 300);
    put_bytes(txn, table, "large", 100000, 1);
    txn_commit(txn);
    txn = txn_write(env);
    ck_ok(kv_table_empty(txn, table));
    ck_assert_uint_eq(table_stat(txn, table).entries, 0);
    ck_assert_uint_eq(table_stat(txn, table).bytes, 0);
    ck_assert_uint_eq(table_stat(txn, table).depth, 0);
    put(txn, table, "k", "v");
    txn_commit(txn);
    txn = txn_read(env);
    has(txn, table, "k", "v");
    ck_assert_uint_le(env_stat(txn).pages_used, used_before + 3);
    kv_txn_abort(txn);
}
END_TEST

START_TEST(the_main_table_is_not_dropped_and_not_emptied_while_it_holds_tables)
{
    kv_table table = make_committed("t");
    struct kv_txn *txn = txn_write(env);

    put(txn, KV_MAIN_TABLE, "k", "v");
    ck_rc(kv_table_drop(txn, KV_MAIN_TABLE), KV_EINVAL);
    ck_rc(kv_table_rename(txn, KV_MAIN_TABLE, "u"), KV_EINVAL);
    ck_rc(kv_table_empty(txn, KV_MAIN_TABLE), KV_EINCOMPATIBLE);
    has(txn, KV_MAIN_TABLE, "k", "v");
    ck_ok(kv_table_drop(txn, table));
    ck_ok(kv_table_empty(txn, KV_MAIN_TABLE));
    lacks(txn, KV_MAIN_TABLE, "k");
    txn_commit(txn);
}
END_TEST

/* ---- List and counts ---- */

static int stop_at_second(void *context, const char *name)
{
    (void)name;
    return ++*(int *)context == 2 ? 4711 : 0;
}

START_TEST(the_list_is_in_order_and_stops_when_told)
{
    struct kv_txn *txn = txn_write(env);
    int calls = 0;

    tables_are(txn, "");
    table_make(txn, "pear");
    table_make(txn, "apple");
    put(txn, KV_MAIN_TABLE, "banana", "a record");
    table_make(txn, "zebra");
    tables_are(txn, "apple pear zebra ");
    ck_rc(kv_table_list(txn, stop_at_second, &calls), 4711);
    ck_assert_int_eq(calls, 2);
    ck_rc(kv_table_list(txn, NULL, NULL), KV_EINVAL);
    txn_commit(txn);
}
END_TEST

START_TEST(counts_of_a_table_are_exact)
{
    struct kv_txn *txn = txn_write(env);
    kv_table table = table_make(txn, "t");
    struct kv_table_stat stat = table_stat(txn, table);

    ck_assert_uint_eq(stat.entries + stat.pages_leaf + stat.pages_branch + stat.bytes, 0);
    ck_assert_uint_eq(stat.depth, 0);
    ck_assert_uint_eq(stat.page_size, 4096);
    fill_table(txn, table, "k", 3000, 100);
    put_bytes(txn, table, "large", 3 * 4096 - 32, 1);
    put_bytes(txn, table, "larger", 3 * 4096 - 31, 2);
    put(txn, table, "k000001", "replaced");
    del(txn, table, "k000002");
    ck_rc(try_del(txn, table, "none"), KV_ENOTFOUND);
    stat = table_stat(txn, table);
    ck_assert_uint_eq(stat.entries, 3001);
    ck_assert_uint_eq(stat.pages_overflow, 7);
    ck_assert_uint_ge(stat.pages_leaf, 3000 * 107 / 4096);
    ck_assert_uint_ge(stat.pages_branch, 1);
    ck_assert_uint_ge(stat.depth, 2);
    ck_assert_uint_eq(stat.bytes,
                      (stat.pages_leaf + stat.pages_branch + stat.pages_overflow) * 4096);
    txn_commit(txn);
    txn = txn_read(env);
    struct kv_table_stat later = table_stat(txn, table);
    ck_assert(memcmp(&later, &stat, sizeof(stat)) == 0);
    kv_txn_abort(txn);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("tables");
    const TTest *tests[] = {
        a_table_keeps_its_records_and_gives_the_same_handle_each_time,
        no_name_is_the_main_table,
        a_missing_table_is_not_found_and_not_made_in_a_read_txn,
        create_opens_what_is_there_also_in_a_read_txn,
        a_handle_from_an_aborted_txn_names_nothing_until_the_table_is_made,
        a_snapshot_from_before_a_table_does_not_know_its_handle,
        numbers_that_were_never_given_are_no_tables,
        a_closed_handle_stays_closed_when_the_name_is_opened_again,
        closing_a_handle_inside_the_txn_that_changed_the_table_loses_nothing,
        a_handle_closed_inside_a_txn_and_not_opened_again_loses_nothing,
        names_opened_and_closed_without_end_do_not_run_out,
        a_key_of_the_main_table_is_no_table_name,
        a_table_name_is_no_key_of_the_main_table,
        a_cursor_of_the_main_table_shows_tables_and_does_not_change_them,
        names_have_the_length_that_they_may_have,
        the_empty_name_is_a_name,
        a_key_with_a_zero_byte_is_another_than_the_name_before_it,
        a_dropped_table_is_gone_with_its_handle,
        a_table_dropped_and_made_again_is_empty_and_has_its_handle_again,
        an_emptied_table_is_there_without_records,
        the_main_table_is_not_dropped_and_not_emptied_while_it_holds_tables,
        the_list_is_in_order_and_stops_when_told,
        counts_of_a_table_are_exact,
    };

    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
        harness_add_fixture(s, "tables", tests[i], setup, teardown);
    return s;
}

HARNESS_MAIN(suite)
