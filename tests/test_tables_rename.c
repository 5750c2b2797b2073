/* SPDX-License-Identifier: MIT */
/*
 * Named tables through kv.h: renames in and across txns, the same table under several handles,
 * changes by other envs and threads, and ten thousand tables.
 */
#include "api_help.h"

#include <pthread.h>
#include <stdlib.h>

#define MANY 10000u

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

/* ---- Rename ---- */

START_TEST(a_renamed_table_is_found_under_its_new_name_only)
{
    kv_table table = make_committed("old");
    struct kv_txn *txn = txn_write(env);

    ck_ok(kv_table_rename(txn, table, "new"));
    ck_rc(try_open(txn, "old"), KV_ENOTFOUND);
    ck_assert_uint_eq(table_find(txn, "new"), table);
    has(txn, table, "old", "old");
    tables_are(txn, "new ");
    txn_commit(txn);
    txn = txn_read(env);
    ck_rc(try_open(txn, "old"), KV_ENOTFOUND);
    ck_assert_uint_eq(table_find(txn, "new"), table);
    has(txn, table, "old", "old");
    kv_txn_abort(txn);
}
END_TEST

START_TEST(an_old_snapshot_sees_a_renamed_table_under_its_old_name)
{
    kv_table table = make_committed("old");
    struct kv_txn *before = txn_read(env);
    struct kv_txn *txn = txn_write(env);

    ck_ok(kv_table_rename(txn, table, "new"));
    txn_commit(txn);
    has(before, table, "old", "old");
    ck_ok(try_open(before, "old"));
    has(before, table_find(before, "old"), "old", "old");
    ck_rc(try_open(before, "new"), KV_ENOTFOUND);
    kv_txn_abort(before);
    handle_means(table, "old");
}
END_TEST

START_TEST(an_aborted_rename_did_not_happen)
{
    kv_table table = make_committed("old");
    struct kv_txn *txn = txn_write(env);

    ck_ok(kv_table_rename(txn, table, "new"));
    kv_txn_abort(txn);
    txn = txn_read(env);
    ck_assert_uint_eq(table_find(txn, "old"), table);
    ck_rc(try_open(txn, "new"), KV_ENOTFOUND);
    kv_txn_abort(txn);
    handle_means(table, "old");
}
END_TEST

START_TEST(a_name_that_is_taken_is_refused_and_nothing_changes)
{
    kv_table a = make_committed("a");
    kv_table b = make_committed("b");
    struct kv_txn *txn = txn_write(env);

    ck_rc(kv_table_rename(txn, a, "b"), KV_EEXIST);
    has(txn, a, "a", "a");
    has(txn, b, "b", "b");
    txn_commit(txn);
    handle_means(a, "a");
    handle_means(b, "b");
}
END_TEST

START_TEST(the_old_name_of_a_renamed_table_is_free_at_once)
{
    kv_table old = make_committed("x");
    struct kv_txn *txn = txn_write(env);
    kv_table made;

    ck_ok(kv_table_rename(txn, old, "y"));
    made = table_make(txn, "x");
    ck_assert_uint_ne(made, old);
    put(txn, made, "fresh", "1");
    lacks(txn, made, "x");
    has(txn, old, "x", "x");
    lacks(txn, old, "fresh");
    txn_commit(txn);
    txn = txn_read(env);
    has(txn, made, "fresh", "1");
    has(txn, old, "x", "x");
    has(txn, table_find(txn, "x"), "fresh", "1");
    has(txn, table_find(txn, "y"), "x", "x");
    tables_are(txn, "x y ");
    kv_txn_abort(txn);
}
END_TEST

START_TEST(the_old_name_is_free_in_the_next_txn_too)
{
    kv_table old = make_committed("x");
    struct kv_txn *txn = txn_write(env);
    kv_table made;

    ck_ok(kv_table_rename(txn, old, "y"));
    txn_commit(txn);
    made = make_committed("x");
    ck_assert_uint_ne(made, old);
    handle_means(made, "x");
    txn = txn_read(env);
    has(txn, table_find(txn, "y"), "x", "x");
    ck_assert_uint_eq(table_find(txn, "y"), old);
    ck_assert_uint_eq(table_find(txn, "x"), made);
    kv_txn_abort(txn);
}
END_TEST

START_TEST(two_tables_swap_their_names_in_one_txn)
{
    kv_table a = make_committed("a");
    kv_table b = make_committed("b");
    struct kv_txn *before = txn_read(env);
    struct kv_txn *txn = txn_write(env);

    ck_ok(kv_table_rename(txn, a, "tmp"));
    ck_ok(kv_table_rename(txn, b, "a"));
    ck_ok(kv_table_rename(txn, a, "b"));
    has(txn, table_find(txn, "a"), "b", "b");
    has(txn, table_find(txn, "b"), "a", "a");
    txn_commit(txn);
    handle_means(a, "a");
    handle_means(b, "b");
    txn = txn_read(env);
    ck_assert_uint_eq(table_find(txn, "a"), b);
    ck_assert_uint_eq(table_find(txn, "b"), a);
    tables_are(txn, "a b ");
    kv_txn_abort(txn);
    has(before, table_find(before, "a"), "a", "a");
    has(before, a, "a", "a");
    has(before, b, "b", "b");
    kv_txn_abort(before);
}
END_TEST

START_TEST(a_new_table_may_be_renamed_and_its_name_reused_in_the_same_txn)
{
    struct kv_txn *txn = txn_write(env);
    kv_table first = table_make(txn, "t");
    kv_table second;

    put(txn, first, "k", "first");
    ck_ok(kv_table_rename(txn, first, "u"));
    second = table_make(txn, "t");
    put(txn, second, "k", "second");
    txn_commit(txn);
    txn = txn_read(env);
    has(txn, table_find(txn, "u"), "k", "first");
    has(txn, table_find(txn, "t"), "k", "second");
    has(txn, first, "k", "first");
    has(txn, second, "k", "second");
    kv_txn_abort(txn);
}
END_TEST

START_TEST(a_table_renamed_to_its_own_name_exists)
{
    kv_table table = make_committed("t");
    struct kv_txn *txn = txn_write(env);

    ck_rc(kv_table_rename(txn, table, "t"), KV_EEXIST);
    has(txn, table, "t", "t");
    txn_commit(txn);
    handle_means(table, "t");
}
END_TEST

START_TEST(a_table_dropped_and_another_renamed_to_its_name)
{
    kv_table a = make_committed("a");
    kv_table b = make_committed("b");
    struct kv_txn *txn = txn_write(env);

    ck_ok(kv_table_drop(txn, a));
    ck_ok(kv_table_rename(txn, b, "a"));
    has(txn, b, "b", "b");
    ck_assert_uint_eq(table_find(txn, "a"), b);
    txn_commit(txn);
    txn = txn_read(env);
    has(txn, table_find(txn, "a"), "b", "b");
    has(txn, b, "b", "b");
    tables_are(txn, "a ");
    kv_txn_abort(txn);
}
END_TEST

START_TEST(a_table_renamed_over_and_over_keeps_its_records)
{
    kv_table table = make_committed("t0");
    char name[16];

    for (unsigned i = 1; i <= 50; i++) {
        struct kv_txn *txn = txn_write(env);

        snprintf(name, sizeof(name), "t%u", i);
        ck_ok(kv_table_rename(txn, table, name));
        put(txn, table, name, "v");
        txn_commit(txn);
    }
    handle_means(table, "t0");
    struct kv_txn *txn = txn_read(env);
    ck_assert_uint_eq(table_stat(txn, table).entries, 51);
    tables_are(txn, "t50 ");
    kv_txn_abort(txn);
}
END_TEST

/* ---- Other envs ---- */

/* As another process would: in an env of its own. */
static void other_renames(const char *from, const char *to)
{
    struct kv_env *other = env_open(tmp_path("tables.db"), 0);
    struct kv_txn *txn = txn_write(other);

    ck_ok(kv_table_rename(txn, table_find(txn, from), to));
    txn_commit(txn);
    env_close(other);
}

START_TEST(a_table_that_another_env_renamed_is_found_under_its_new_name)
{
    kv_table table = make_committed("a");
    struct kv_txn *txn;
    kv_table moved;

    other_renames("a", "b");
    txn = txn_read(env);
    ck_rc(try_get(txn, table, "a"), KV_EBADTABLE);
    ck_rc(try_open(txn, "a"), KV_ENOTFOUND);
    moved = table_find(txn, "b");
    has(txn, moved, "a", "a");
    kv_txn_abort(txn);
    txn = txn_write(env);
    ck_rc(try_put(txn, table, "x", "1", 0), KV_EBADTABLE);
    put(txn, moved, "x", "1");
    txn_commit(txn);
}
END_TEST

/* Renames here and there can leave two handles with one name: both must lead to one table. */
START_TEST(two_handles_of_one_table_in_one_txn_are_one_table)
{
    kv_table first = make_committed("a");
    struct kv_txn *txn = txn_write(env);
    struct kv_txn *child;
    kv_table second;

    ck_ok(kv_table_rename(txn, first, "b"));
    txn_commit(txn);
    other_renames("b", "a");
    txn = txn_write(env);
    second = table_find(txn, "a");
    ck_ok(kv_table_rename(txn, second, "b"));
    txn_commit(txn);
    txn = txn_write(env);
    put(txn, first, "by first", "1");
    put(txn, second, "by second", "2");
    has(txn, first, "by second", "2");
    has(txn, second, "by first", "1");
    child = txn_nested(txn);
    put(child, second, "in child", "3");
    has(child, first, "in child", "3");
    txn_commit(child);
    has(txn, first, "in child", "3");
    txn_commit(txn);
    txn = txn_read(env);
    ck_assert_uint_eq(table_stat(txn, table_find(txn, "b")).entries, 4);
    kv_txn_abort(txn);
}
END_TEST

START_TEST(an_aborted_txn_that_reused_a_name_leaves_one_table_behind_two_handles)
{
    kv_table first = make_committed("a");
    struct kv_txn *txn = txn_write(env);
    kv_table second;

    ck_ok(kv_table_rename(txn, first, "b"));
    second = table_make(txn, "a");
    kv_txn_abort(txn);
    txn = txn_write(env);
    put(txn, first, "x", "1");
    put(txn, second, "y", "2");
    has(txn, table_find(txn, "a"), "x", "1");
    has(txn, table_find(txn, "a"), "y", "2");
    txn_commit(txn);
    txn = txn_read(env);
    ck_assert_uint_eq(table_stat(txn, first).entries, 3);
    ck_rc(try_open(txn, "b"), KV_ENOTFOUND);
    kv_txn_abort(txn);
}
END_TEST

START_TEST(a_dropped_tables_handle_means_what_has_its_name_now)
{
    kv_table a = make_committed("a");
    kv_table b = make_committed("b");
    struct kv_txn *txn = txn_write(env);

    ck_ok(kv_table_drop(txn, a));
    txn_commit(txn);
    txn = txn_write(env);
    ck_ok(kv_table_rename(txn, b, "a"));
    txn_commit(txn);
    txn = txn_write(env);
    put(txn, a, "x", "1");
    put(txn, b, "y", "2");
    txn_commit(txn);
    txn = txn_read(env);
    ck_assert_uint_eq(table_stat(txn, table_find(txn, "a")).entries, 3);
    kv_txn_abort(txn);
}
END_TEST

/* ---- Threads ---- */

enum { THREADS = 4, THREAD_TABLES = 20 };

struct opener {
    pthread_t thread;
    unsigned number;
    unsigned rounds;
    int rc;
};

/* Opens, reads and closes tables whose names are theirs for good; one thread also renames
 * others. */
static int opener_round(const struct opener *opener, unsigned round)
{
    struct kv_txn *txn;
    kv_table table;
    char name[32];
    struct kv_val key = text_val("k");
    struct kv_val value;
    int rc = kv_txn_begin(env, opener->number ? KV_READ : KV_WRITE, NULL, &txn);

    if (rc)
        return rc;
    snprintf(name, sizeof(name), "stays-%u", round * 7 % THREAD_TABLES);
    rc = kv_table_open(txn, name, 0, NULL, &table);
    if (!rc)
        rc = kv_get(txn, table, &key, &value);
    if (rc == KV_EBADTABLE) /* another thread closed the handle in between */
        rc = 0;
    else if (!rc && (value.size != strlen(name) || memcmp(value.data, name, value.size) != 0))
        rc = -1;
    if (!rc && opener->number == 0) {
        snprintf(name, sizeof(name), "moves-%u", round);
        rc = kv_table_open(txn, name, 0, NULL, &table);
        snprintf(name, sizeof(name), "moves-%u", round + 1);
        rc = rc ? rc : kv_table_rename(txn, table, name);
    }
    if (rc || opener->number) {
        kv_txn_abort(txn);
        if (!rc && round % 3 == opener->number)
            rc = kv_table_close(env, table);
        return rc == KV_EBADTABLE ? 0 : rc;
    }
    return kv_txn_commit(txn);
}

static void *open_and_close(void *context)
{
    struct opener *opener = context;

    for (unsigned i = 0; i < opener->rounds && !opener->rc; i++)
        opener->rc = opener_round(opener, i);
    return NULL;
}

START_TEST(all_threads_open_close_and_rename_at_once)
{
    struct opener openers[THREADS];
    char name[32];

    for (unsigned i = 0; i < THREAD_TABLES; i++) {
        struct kv_txn *txn = txn_write(env);

        snprintf(name, sizeof(name), "stays-%u", i);
        put(txn, table_make(txn, name), "k", name);
        if (i == 0)
            table_make(txn, "moves-0");
        txn_commit(txn);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        openers[i] = (struct opener){.number = i, .rounds = (unsigned)scaled(1000), .rc = 0};
        ck_assert_int_eq(pthread_create(&openers[i].thread, NULL, open_and_close, &openers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(openers[i].thread, NULL);
        ck_ok(openers[i].rc);
    }
}
END_TEST

/* ---- Many ---- */

static void name_of(unsigned i, char name[16])
{
    snprintf(name, 16, "table-%05u", i);
}

static kv_table many_handles[MANY];

static void many_make(unsigned count)
{
    struct kv_txn *txn = txn_write(env);
    char name[16];

    for (unsigned i = 0; i < count; i++) {
        name_of(i, name);
        many_handles[i] = table_make(txn, name);
        put(txn, many_handles[i], name, name);
        put(txn, many_handles[i], "same", "key");
    }
    txn_commit(txn);
}

static void many_hold(unsigned count)
{
    struct kv_txn *txn = txn_read(env);
    char name[16];

    for (unsigned i = 0; i < count; i++) {
        name_of(i, name);
        ck_assert_uint_eq(table_find(txn, name), many_handles[i]);
        has(txn, many_handles[i], name, name);
        ck_assert_uint_eq(table_stat(txn, many_handles[i]).entries, 2);
    }
    ck_assert_uint_eq(tables_count(txn), count);
    kv_txn_abort(txn);
}

/* Every third is dropped, every third renamed; the others get a record. */
static void many_change(unsigned count)
{
    struct kv_txn *txn = txn_write(env);
    char name[16];

    for (unsigned i = 0; i < count; i++) {
        name_of(i, name);
        name[0] = 'T';
        if (i % 3 == 0)
            ck_ok(kv_table_drop(txn, many_handles[i]));
        else if (i % 3 == 1)
            ck_ok(kv_table_rename(txn, many_handles[i], name));
        else
            put(txn, many_handles[i], "more", name);
    }
    txn_commit(txn);
}

static void many_changed(unsigned count)
{
    struct kv_txn *txn = txn_read(env);
    char name[16];
    char old[16];

    for (unsigned i = 0; i < count; i++) {
        name_of(i, old);
        memcpy(name, old, sizeof(name));
        name[0] = 'T';
        if (i % 3 == 0)
            ck_rc(try_open(txn, old), KV_ENOTFOUND);
        else if (i % 3 == 1)
            has(txn, table_find(txn, name), old, old);
        else
            has(txn, table_find(txn, old), "more", name);
    }
    ck_assert_uint_eq(tables_count(txn), count - (count + 2) / 3);
    kv_txn_abort(txn);
}

START_TEST(ten_thousand_tables_are_made_filled_reopened_renamed_and_dropped)
{
    unsigned count = (unsigned)scaled(MANY);
    const char *path = tmp_path("tables.db");

    many_make(count);
    many_hold(count);
    env_close(env);
    env = env_open(path, 0);
    for (unsigned i = 0; i < count; i++) {
        struct kv_txn *txn = i % 1000 == 0 ? txn_read(env) : NULL;
        char name[16];

        if (!txn)
            continue;
        for (unsigned j = i; j < i + 1000 && j < count; j++) {
            name_of(j, name);
            many_handles[j] = table_find(txn, name);
        }
        kv_txn_abort(txn);
    }
    many_hold(count);
    many_change(count);
    many_changed(count);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("tables_rename");
    const TTest *tests[] = {
        a_renamed_table_is_found_under_its_new_name_only,
        an_old_snapshot_sees_a_renamed_table_under_its_old_name,
        an_aborted_rename_did_not_happen,
        a_name_that_is_taken_is_refused_and_nothing_changes,
        the_old_name_of_a_renamed_table_is_free_at_once,
        the_old_name_is_free_in_the_next_txn_too,
        two_tables_swap_their_names_in_one_txn,
        a_new_table_may_be_renamed_and_its_name_reused_in_the_same_txn,
        a_table_renamed_to_its_own_name_exists,
        a_table_dropped_and_another_renamed_to_its_name,
        a_table_renamed_over_and_over_keeps_its_records,
        a_table_that_another_env_renamed_is_found_under_its_new_name,
        two_handles_of_one_table_in_one_txn_are_one_table,
        an_aborted_txn_that_reused_a_name_leaves_one_table_behind_two_handles,
        a_dropped_tables_handle_means_what_has_its_name_now,
        all_threads_open_close_and_rename_at_once,
        ten_thousand_tables_are_made_filled_reopened_renamed_and_dropped,
    };

    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
        harness_add_fixture(s, "rename", tests[i], setup, teardown);
    return s;
}

HARNESS_MAIN(suite)
