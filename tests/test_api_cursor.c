/* SPDX-License-Identifier: MIT */
/*
 * Cursors through kv.h: every operation at both ends and on empty tables, puts and deletes at the
 * cursor, positions while the tree changes, and random walks compared with a sorted array.
 */
#include "api_help.h"

#include <stdlib.h>

static struct kv_env *env;
static struct kv_txn *txn;
static struct kv_cursor *cursor;

static void setup(void)
{
    env = env_new("cursor.db");
    txn = txn_write(env);
    ck_ok(kv_cursor_open(txn, 0, &cursor));
}

static void teardown(void)
{
    kv_cursor_close(cursor);
    txn_commit(txn);
    env_finish(env);
}

/* ---- Verbs ---- */

/* Records b, d, f, ... with their key as value. */
static void letters(const char *keys)
{
    for (; *keys; keys++) {
        char key[2] = {*keys, 0};

        put(txn, 0, key, key);
    }
}

static int move(enum kv_cursor_op op, const char *wanted, struct kv_val *key, struct kv_val *value)
{
    *key = wanted ? text_val(wanted) : (struct kv_val){0, NULL};
    return kv_cursor_get(cursor, op, key, value);
}

/* The move leads to this record, or to none ("" for expected). */
static void leads(enum kv_cursor_op op, const char *wanted, const char *expected)
{
    struct kv_val key;
    struct kv_val value;
    int rc = move(op, wanted, &key, &value);

    ck_rc(rc, *expected ? 0 : KV_ENOTFOUND);
    if (*expected) {
        expect_text(&key, expected);
        expect_text(&value, expected);
    } else {
        ck_assert_ptr_null(value.data);
    }
}

static void goes(enum kv_cursor_op op, const char *expected)
{
    leads(op, NULL, expected);
}

static void has_no_position(void)
{
    struct kv_val key;
    struct kv_val value;

    ck_rc(move(KV_CURRENT, NULL, &key, &value), KV_EINVAL);
    ck_rc(kv_cursor_del(cursor, 0), KV_EINVAL);
    value = text_val("v");
    ck_rc(kv_cursor_put(cursor, NULL, &value, KV_AT_CURSOR), KV_EINVAL);
}

/* ---- Moves ---- */

START_TEST(on_an_empty_table_nothing_is_found)
{
    goes(KV_FIRST, "");
    goes(KV_LAST, "");
    goes(KV_NEXT, "");
    goes(KV_PREV, "");
    leads(KV_EXACT, "a", "");
    leads(KV_AT_LEAST, "", "");
    leads(KV_AT_MOST, "zzz", "");
    has_no_position();
}
END_TEST

START_TEST(a_fresh_cursor_begins_at_either_end)
{
    letters("bdf");
    has_no_position();
    goes(KV_NEXT, "b");
    goes(KV_NEXT, "d");
    kv_cursor_close(cursor);
    ck_ok(kv_cursor_open(txn, 0, &cursor));
    goes(KV_PREV, "f");
    goes(KV_PREV, "d");
}
END_TEST

START_TEST(at_the_ends_the_position_stays)
{
    letters("bdf");
    goes(KV_LAST, "f");
    goes(KV_NEXT, "");
    goes(KV_NEXT, "");
    goes(KV_CURRENT, "f");
    goes(KV_PREV, "d");
    goes(KV_FIRST, "b");
    goes(KV_PREV, "");
    goes(KV_CURRENT, "b");
    goes(KV_NEXT, "d");
}
END_TEST

START_TEST(searches_find_what_they_say)
{
    static const struct {
        const char *wanted, *exact, *at_least, *at_most;
    } cases[] = {
        {"", "", "b", ""},      {"a", "", "b", ""},   {"b", "b", "b", "b"},  {"bb", "", "d", "b"},
        {"c", "", "d", "b"},    {"d", "d", "d", "d"}, {"e", "", "f", "d"},   {"f", "f", "f", "f"},
        {"f\x01", "", "", "f"}, {"g", "", "", "f"},   {"\xff", "", "", "f"},
    };

    letters("bdf");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        leads(KV_EXACT, cases[i].wanted, cases[i].exact);
        leads(KV_AT_LEAST, cases[i].wanted, cases[i].at_least);
        leads(KV_AT_MOST, cases[i].wanted, cases[i].at_most);
    }
}
END_TEST

START_TEST(a_failed_search_leaves_no_position)
{
    static const enum kv_cursor_op ops[] = {KV_EXACT, KV_AT_LEAST, KV_AT_MOST};
    static const char *const wanted[] = {"c", "z", "a"};

    letters("bdf");
    for (int i = 0; i < 3; i++) {
        goes(KV_FIRST, "b");
        leads(ops[i], wanted[i], "");
        has_no_position();
        goes(KV_NEXT, "b");
        leads(ops[i], wanted[i], "");
        goes(KV_PREV, "f");
    }
}
END_TEST

START_TEST(outputs_that_are_not_wanted_may_be_null)
{
    struct kv_val key = text_val("d");
    struct kv_val value;

    letters("bdf");
    ck_ok(kv_cursor_get(cursor, KV_FIRST, NULL, NULL));
    ck_ok(kv_cursor_get(cursor, KV_NEXT, NULL, &value));
    expect_text(&value, "d");
    ck_ok(kv_cursor_get(cursor, KV_EXACT, &key, NULL));
    ck_ok(kv_cursor_get(cursor, KV_CURRENT, NULL, NULL));
}
END_TEST

/* ---- Puts ---- */

START_TEST(a_put_leaves_the_cursor_at_its_record)
{
    struct kv_val key = text_val("c");
    struct kv_val value = text_val("c");

    letters("bdf");
    ck_ok(kv_cursor_put(cursor, &key, &value, 0));
    goes(KV_CURRENT, "c");
    goes(KV_NEXT, "d");
    ck_rc(kv_cursor_put(cursor, &key, &value, KV_NOOVERWRITE), KV_EEXIST);
    expect_text(&value, "c");
    key = text_val("a");
    value = text_val("a");
    ck_rc(kv_cursor_put(cursor, &key, &value, KV_APPEND), KV_EORDER);
    key = text_val("g");
    value = text_val("g");
    ck_ok(kv_cursor_put(cursor, &key, &value, KV_APPEND));
    goes(KV_CURRENT, "g");
    goes(KV_NEXT, "");
    goes(KV_PREV, "f");
}
END_TEST

START_TEST(a_put_at_the_cursor_replaces_the_value_there)
{
    static const size_t sizes[] = {0, 5, 1500, 9000, 100000, 20, 4000};

    fill_table(txn, 0, "k", 300, 50);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct kv_val key = text_val("k000150");
        struct kv_val value;

        ck_ok(kv_cursor_get(cursor, KV_EXACT, &key, NULL));
        value = (struct kv_val){sizes[i], NULL};
        ck_ok(kv_cursor_put(cursor, NULL, &value, KV_AT_CURSOR | KV_RESERVE));
        fill_bytes(value.data, sizes[i], i);
        ck_ok(kv_cursor_get(cursor, KV_CURRENT, &key, NULL));
        expect_text(&key, "k000150");
        has_bytes(txn, 0, "k000150", sizes[i], i);
        ck_ok(kv_cursor_get(cursor, KV_NEXT, &key, NULL));
        expect_text(&key, "k000151");
    }
    ck_assert_uint_eq(table_stat(txn, 0).entries, 300);
}
END_TEST

START_TEST(the_value_read_at_the_cursor_may_be_put_there)
{
    struct kv_val key;
    struct kv_val value;

    fill_table(txn, 0, "k", 500, 90);
    put_bytes(txn, 0, "large", 30000, 1);
    txn_commit(txn);
    txn = txn_write(env);
    ck_ok(kv_cursor_open(txn, 0, &cursor));
    while (kv_cursor_get(cursor, KV_NEXT, &key, &value) == 0)
        ck_ok(kv_cursor_put(cursor, NULL, &value, KV_AT_CURSOR));
    for (unsigned i = 0; i < 500; i++) {
        char name[16];

        snprintf(name, sizeof(name), "k%06u", i);
        has_bytes(txn, 0, name, 90, i);
    }
    has_bytes(txn, 0, "large", 30000, 1);
}
END_TEST

/* ---- Deletes ---- */

START_TEST(after_a_delete_the_cursor_stands_before_the_next_record)
{
    letters("abcde");
    leads(KV_EXACT, "c", "c");
    ck_ok(kv_cursor_del(cursor, 0));
    goes(KV_CURRENT, "d");
    goes(KV_NEXT, "e"); /* KV_CURRENT took the position to "d" */
    leads(KV_EXACT, "b", "b");
    ck_ok(kv_cursor_del(cursor, 0));
    goes(KV_NEXT, "d");
    ck_ok(kv_cursor_del(cursor, 0));
    goes(KV_PREV, "a");
    goes(KV_NEXT, "e");
    ck_ok(kv_cursor_del(cursor, 0));
    goes(KV_CURRENT, "");
    goes(KV_PREV, "a");
    ck_ok(kv_cursor_del(cursor, 0));
    goes(KV_CURRENT, "");
    goes(KV_NEXT, "");
    goes(KV_PREV, "");
    goes(KV_FIRST, "");
}
END_TEST

START_TEST(deleting_again_deletes_the_next_record)
{
    letters("abcde");
    goes(KV_FIRST, "a");
    goes(KV_NEXT, "b");
    ck_ok(kv_cursor_del(cursor, 0));
    ck_ok(kv_cursor_del(cursor, 0));
    goes(KV_NEXT, "d");
    goes(KV_PREV, "a");
}
END_TEST

START_TEST(a_whole_table_is_deleted_forwards_and_backwards)
{
    for (int round = 0; round < 2; round++) {
        enum kv_cursor_op op = round ? KV_PREV : KV_NEXT;
        unsigned count = 0;

        fill_table(txn, 0, "k", 3000, 30);
        put_bytes(txn, 0, "k000100x", 50000, 1);
        kv_cursor_close(cursor);
        ck_ok(kv_cursor_open(txn, 0, &cursor));
        while (kv_cursor_get(cursor, op, NULL, NULL) == 0) {
            ck_ok(kv_cursor_del(cursor, 0));
            count++;
        }
        ck_assert_uint_eq(count, 3001);
        ck_assert_uint_eq(table_stat(txn, 0).entries, 0);
        ck_assert_uint_eq(table_stat(txn, 0).bytes, 0);
    }
}
END_TEST

START_TEST(other_cursors_follow_what_changes_under_them)
{
    struct kv_cursor *other;
    struct kv_val key;
    struct kv_val value = text_val("v");

    letters("abcde");
    ck_ok(kv_cursor_open(txn, 0, &other));
    leads(KV_EXACT, "c", "c");
    key = text_val("c");
    ck_ok(kv_cursor_get(other, KV_EXACT, &key, NULL));
    ck_ok(kv_cursor_del(other, 0));
    goes(KV_CURRENT, "d");
    leads(KV_EXACT, "b", "b");
    del(txn, 0, "b");
    goes(KV_PREV, "a");
    goes(KV_NEXT, "d");
    put(txn, 0, "c", "c");
    goes(KV_PREV, "c");
    del(txn, 0, "d");
    del(txn, 0, "e");
    goes(KV_NEXT, "");
    goes(KV_CURRENT, "c");
    ck_ok(kv_table_empty(txn, 0));
    goes(KV_NEXT, "");
    ck_rc(kv_cursor_put(other, NULL, &value, KV_AT_CURSOR), KV_EINVAL);
    goes(KV_FIRST, "");
    kv_cursor_close(other);
}
END_TEST

START_TEST(a_cursor_keeps_its_record_while_pages_split_and_merge_around_it)
{
    struct kv_val key;

    for (unsigned i = 0; i < 2000; i += 10) {
        char name[16];

        snprintf(name, sizeof(name), "k%06u", i);
        put(txn, 0, name, "some value of some length, for the pages to fill");
    }
    leads(KV_AT_LEAST, "zzz", "");
    key = text_val("k001000");
    ck_ok(kv_cursor_get(cursor, KV_EXACT, &key, NULL));
    for (unsigned i = 0; i < 2000; i++) {
        char name[16];

        snprintf(name, sizeof(name), "k%06u", i * 7 % 2000);
        if (strcmp(name, "k001000") != 0)
            put(txn, 0, name, "another value");
    }
    ck_ok(kv_cursor_get(cursor, KV_CURRENT, &key, NULL));
    expect_text(&key, "k001000");
    for (unsigned i = 0; i < 2000; i++) {
        char name[16];

        snprintf(name, sizeof(name), "k%06u", i * 7 % 2000);
        if (i * 7 % 2000 != 1000 && i * 7 % 2000 != 1001)
            del(txn, 0, name);
    }
    ck_ok(kv_cursor_get(cursor, KV_NEXT, &key, NULL));
    expect_text(&key, "k001001");
    ck_ok(kv_cursor_get(cursor, KV_PREV, &key, NULL));
    expect_text(&key, "k001000");
    ck_rc(kv_cursor_get(cursor, KV_PREV, &key, NULL), KV_ENOTFOUND);
}
END_TEST

/* ---- Against a sorted array ---- */

enum { KEYS = 300, NOWHERE = -1 };

/* Where the cursor is: at a record, or after a delete before the one that followed then, or
 * nowhere. */
struct walk {
    struct rng rng;
    uint64_t present[KEYS]; /* seed of the value; 0: absent */
    int at;                 /* key number, NOWHERE */
    bool deleted;           /* stands before the record `at`; KEYS: behind all that there were */
    uint64_t number;
};

static void walk_name(int i, char name[96])
{
    static const int widths[4] = {4, 20, 60, 7};

    snprintf(name, 96, "%04d%*s", i, widths[i % 4], "");
}

static int next_from(const struct walk *w, int i)
{
    while (i < KEYS && !w->present[i])
        i++;
    return i;
}

static int prev_from(const struct walk *w, int i)
{
    while (i >= 0 && !w->present[i])
        i--;
    return i;
}

/* The record that the operation must give (NOWHERE: none). */
static int walk_target(const struct walk *w, enum kv_cursor_op op, int wanted)
{
    int to = NOWHERE;

    switch ((int)op) {
    case KV_FIRST:
        to = next_from(w, 0);
        break;
    case KV_LAST:
        to = prev_from(w, KEYS - 1);
        break;
    case KV_NEXT:
        to = w->at == NOWHERE ? next_from(w, 0) : w->deleted ? w->at : next_from(w, w->at + 1);
        break;
    case KV_PREV:
        to = w->at == NOWHERE ? prev_from(w, KEYS - 1) : prev_from(w, w->at - 1);
        break;
    case KV_EXACT:
        to = w->present[wanted] ? wanted : NOWHERE;
        break;
    case KV_AT_LEAST:
        to = next_from(w, wanted);
        break;
    case KV_AT_MOST:
        to = prev_from(w, wanted);
        break;
    case KV_CURRENT:
        to = w->at;
        break;
    }
    return to < 0 || to >= KEYS ? NOWHERE : to;
}

static void walk_move(struct walk *w)
{
    enum kv_cursor_op op = (enum kv_cursor_op)rng_between(&w->rng, KV_FIRST, KV_CURRENT + 1);
    int wanted = (int)rng_below(&w->rng, KEYS);
    int to = walk_target(w, op, wanted);
    static uint8_t expected[8192];
    struct kv_val value;
    struct kv_val key;
    char name[96];
    int rc;

    walk_name(wanted, name);
    key = text_val(name);
    rc = kv_cursor_get(cursor, op, &key, &value);
    if (op == KV_CURRENT && w->at == NOWHERE) {
        ck_rc(rc, KV_EINVAL);
        return;
    }
    ck_rc(rc, to == NOWHERE ? KV_ENOTFOUND : 0);
    if (to == NOWHERE) {
        if (op == KV_EXACT || op == KV_AT_LEAST || op == KV_AT_MOST || op == KV_FIRST ||
            op == KV_LAST)
            w->at = NOWHERE;
        return;
    }
    walk_name(to, name);
    expect_text(&key, name);
    fill_bytes(expected, value.size, w->present[to]);
    expect_val(&value, expected, w->present[to] % 17 ? w->present[to] % 90 : 5000);
    w->at = to;
    w->deleted = false;
}

static void walk_put(struct walk *w)
{
    int i = (int)rng_below(&w->rng, KEYS);
    uint64_t seed = ++w->number;
    struct kv_val value = {seed % 17 ? seed % 90 : 5000, NULL};
    bool here = rng_chance(&w->rng, 30) && w->at != NOWHERE && !w->deleted;
    bool with_cursor = here || rng_chance(&w->rng, 50);
    struct kv_val key;
    char name[96];

    walk_name(i, name);
    key = text_val(name);
    if (here) {
        ck_ok(kv_cursor_put(cursor, NULL, &value, KV_AT_CURSOR | KV_RESERVE));
        i = w->at;
    } else if (with_cursor) {
        ck_ok(kv_cursor_put(cursor, &key, &value, KV_RESERVE));
    } else {
        ck_ok(kv_put(txn, 0, &key, &value, KV_RESERVE));
    }
    fill_bytes(value.data, value.size, seed);
    w->present[i] = seed;
    if (with_cursor) {
        w->at = i;
        w->deleted = false;
    }
}

/* The record is gone: who stood there or before it stands before the one that follows. */
static void walk_gone(struct walk *w, int i)
{
    w->present[i] = 0;
    if (w->at != i)
        return;
    w->at = next_from(w, i);
    w->deleted = true;
}

static void walk_del(struct walk *w)
{
    int i = (int)rng_below(&w->rng, KEYS);
    char name[96];

    if (rng_chance(&w->rng, 50)) {
        walk_name(i, name);
        ck_rc(try_del(txn, 0, name), w->present[i] ? 0 : KV_ENOTFOUND);
        if (w->present[i])
            walk_gone(w, i);
    } else if (w->at == NOWHERE) {
        ck_rc(kv_cursor_del(cursor, 0), KV_EINVAL);
    } else if (w->at < KEYS) {
        ck_ok(kv_cursor_del(cursor, 0));
        walk_gone(w, w->at);
    }
}

START_TEST(random_walks_do_as_a_sorted_array_says)
{
    uint64_t steps = scaled(60000);
    struct walk *w = calloc(1, sizeof(*w));

    ck_assert_ptr_nonnull(w);
    rng_seed(&w->rng, "walk", 31);
    w->at = NOWHERE;
    for (uint64_t i = 0; i < steps; i++) {
        unsigned what = (unsigned)rng_below(&w->rng, 100);

        if (what < 55)
            walk_move(w);
        else if (what < (i / 4000 % 2 ? 70u : 85u)) /* the table grows and shrinks */
            walk_put(w);
        else
            walk_del(w);
    }
    free(w);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("api_cursor");
    const TTest *tests[] = {
        on_an_empty_table_nothing_is_found,
        a_fresh_cursor_begins_at_either_end,
        at_the_ends_the_position_stays,
        searches_find_what_they_say,
        a_failed_search_leaves_no_position,
        outputs_that_are_not_wanted_may_be_null,
        a_put_leaves_the_cursor_at_its_record,
        a_put_at_the_cursor_replaces_the_value_there,
        the_value_read_at_the_cursor_may_be_put_there,
        after_a_delete_the_cursor_stands_before_the_next_record,
        deleting_again_deletes_the_next_record,
        a_whole_table_is_deleted_forwards_and_backwards,
        other_cursors_follow_what_changes_under_them,
        a_cursor_keeps_its_record_while_pages_split_and_merge_around_it,
        random_walks_do_as_a_sorted_array_says,
    };

    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
        harness_add_fixture(s, "cursor", tests[i], setup, teardown);
    return s;
}

HARNESS_MAIN(suite)
