/* SPDX-License-Identifier: MIT */
/*
 * What a table is, through kv.h: options chosen at creation, told again, compared when it is opened
 * with others, changed while it is empty. Orders and sizes: test_api_orders.c.
 */
#include "api_help.h"
#include "kind_help.h"

#include <stdlib.h>

static struct kv_env *env;
static const char *path;

static void setup(void)
{
    env = env_new("kinds.db");
    path = tmp_path("kinds.db");
}

static void teardown(void)
{
    env_finish(env);
}

static void reopen(void)
{
    env_close(env);
    env = env_open(path, 0);
}

/* ---- Chosen and told ---- */

START_TEST(a_table_made_without_options_is_plain)
{
    struct kv_table_options plain = KV_TABLE_OPTIONS_INIT;
    struct kv_txn *txn = txn_write(env);

    is_kind(txn, table_make(txn, "t"), &plain);
    is_kind(txn, KV_MAIN_TABLE, &plain);
    ck_ok(try_open(txn, "t", 0, &plain));
    ck_ok(try_open(txn, NULL, 0, &plain));
    kv_txn_abort(txn);
}
END_TEST

enum { KINDS = 4 * 4 * 2 * 3 };

/* Kinds without duplicates from 0 on, with them behind; both in every order and alignment. */
static bool nth_kind(unsigned n, struct kv_table_options *options)
{
    static const uint32_t aligns[] = {0, 8, 16};
    static const uint32_t flags[] = {0, KV_COUNTED, KV_DUPLICATES | KV_COUNTED,
                                     KV_DUPLICATES | KV_FIXED | KV_COUNTED};

    *options = kind(flags[n % 4], (enum kv_order)(n / 4 % 4));
    options->align = aligns[n / 32];
    if (n / 16 % 2) {
        if (!(options->flags & KV_DUPLICATES))
            return false;
        options->value_order = KV_ORDER_CUSTOM;
        options->value_comparator = "backwards";
    }
    if (options->flags & KV_FIXED)
        options->value_bytes = 12;
    return true;
}

START_TEST(every_kind_is_told_as_it_was_chosen_also_after_a_new_open)
{
    struct kv_table_options options;
    struct kv_txn *txn;
    char name[16];

    comparators_known(env);
    txn = txn_write(env);
    for (unsigned n = 0; n < KINDS; n++) {
        snprintf(name, sizeof(name), "t%u", n);
        if (nth_kind(n, &options))
            is_kind(txn, make(txn, name, &options), &options);
    }
    txn_commit(txn);
    reopen();
    txn = txn_read(env);
    for (unsigned n = 0; n < KINDS; n++) {
        snprintf(name, sizeof(name), "t%u", n);
        if (nth_kind(n, &options)) {
            is_kind(txn, table_find(txn, name), &options);
            ck_ok(try_open(txn, name, 0, &options));
        }
    }
    kv_txn_abort(txn);
}
END_TEST

/* The tables of every kind that are in a copy. */
static void copy_is(const char *copy, uint64_t content)
{
    struct kv_env *other = env_open(copy, 0);
    struct kv_table_options options;
    struct kv_txn *txn;
    uint64_t number;
    char name[16];

    comparators_known(other);
    env_sound(other);
    ck_assert_uint_eq(env_digest(other), content);
    txn = txn_read(other);
    for (unsigned n = 0; n < KINDS; n++) {
        kv_table table;

        snprintf(name, sizeof(name), "t%u", n);
        if (!nth_kind(n, &options))
            continue;
        table = table_find(txn, name);
        is_kind(txn, table, &options);
        ck_ok(kv_sequence(txn, table, 0, &number));
        ck_assert_uint_eq(number, n);
        has(txn, table, "key 0000",
            options.value_order == KV_ORDER_CUSTOM ? "value  3 ..." : "value  0 ...");
    }
    kv_txn_abort(txn);
    env_close(other);
}

START_TEST(copies_keep_every_kind)
{
    struct kv_copy_options compact = {.flags = KV_COPY_COMPACT};
    struct kv_table_options options;
    struct kv_txn *txn;
    uint64_t number;
    uint64_t content;
    char name[16];

    comparators_known(env);
    txn = txn_write(env);
    for (unsigned n = 0; n < KINDS; n++) {
        kv_table table;

        snprintf(name, sizeof(name), "t%u", n);
        if (!nth_kind(n, &options))
            continue;
        table = make(txn, name, &options);
        ck_ok(kv_sequence(txn, table, n, &number));
        for (unsigned i = 0; i < 120; i++) {
            char key[16];
            char value[16];

            snprintf(key, sizeof(key), "key %04u", i / 4);
            snprintf(value, sizeof(value), "value %2u ...", i % 4);
            if (options.flags & KV_DUPLICATES || i % 4 == 0)
                put(txn, table, key, value);
        }
    }
    txn_commit(txn);
    content = env_digest(env);
    txn = txn_read(env);
    ck_ok(kv_env_copy(txn, tmp_path("plain.db"), NULL));
    ck_ok(kv_env_copy(txn, tmp_path("compact.db"), &compact));
    kv_txn_abort(txn);
    copy_is(tmp_path("plain.db"), content);
    copy_is(tmp_path("compact.db"), content);
}
END_TEST

START_TEST(the_main_table_keeps_its_kind)
{
    struct kv_table_options options = kind(KV_COUNTED, KV_ORDER_REVERSE);
    struct kv_txn *txn = txn_write(env);

    ck_rc(try_open(txn, NULL, 0, &options), KV_EINCOMPATIBLE);
    ck_ok(try_open(txn, NULL, KV_CREATE, &options));
    is_kind(txn, KV_MAIN_TABLE, &options);
    txn_commit(txn);
    reopen();
    txn = txn_read(env);
    is_kind(txn, KV_MAIN_TABLE, &options);
    kv_txn_abort(txn);
}
END_TEST

START_TEST(duplicates_count_and_integer_values_have_one_size)
{
    struct kv_table_options options = kind(KV_DUPLICATES, KV_ORDER_BYTES);
    struct kv_txn *txn = txn_write(env);
    kv_table table;

    options.value_order = KV_ORDER_UINT;
    table = make(txn, "t", &options);
    options.flags = KV_DUPLICATES | KV_FIXED | KV_COUNTED;
    is_kind(txn, table, &options);
    ck_ok(try_open(txn, "t", 0, &options));
    kv_txn_abort(txn);
}
END_TEST

START_TEST(names_told_live_as_long_as_the_env)
{
    struct kv_table_options options = kind(0, KV_ORDER_CUSTOM);
    struct kv_txn *txn;
    const char *name;

    comparators_known(env);
    txn = txn_write(env);
    make(txn, "t", &options);
    txn_commit(txn);
    reopen();
    txn = txn_read(env);
    name = told(txn, table_find(txn, "t")).comparator;
    kv_txn_abort(txn);
    comparators_known(env);
    ck_assert_str_eq(name, "length");
    txn = txn_read(env);
    ck_assert_ptr_eq(told(txn, table_find(txn, "t")).comparator, name);
    kv_txn_abort(txn);
}
END_TEST

/* ---- What is no kind ---- */

START_TEST(options_that_contradict_each_other_are_refused)
{
    static const struct {
        struct kv_table_options options;
        int rc;
    } wrong[] = {
        {{0, 0, 0, 0, NULL, NULL, 0, 0}, KV_EINVAL},
        {{48, 0x0800, 0, 0, NULL, NULL, 0, 0}, KV_EINVAL},
        {{48, KV_FIXED, 0, 0, NULL, NULL, 0, 0}, KV_EINVAL},
        {{48, 0, 0, KV_ORDER_REVERSE, NULL, NULL, 0, 0}, KV_EINVAL},
        {{48, 0, (enum kv_order)4, 0, NULL, NULL, 0, 0}, KV_EINVAL},
        {{48, KV_DUPLICATES, 0, (enum kv_order)7, NULL, NULL, 0, 0}, KV_EINVAL},
        {{48, 0, KV_ORDER_CUSTOM, 0, NULL, NULL, 0, 0}, KV_EINVAL},
        {{48, 0, KV_ORDER_CUSTOM, 0, "", NULL, 0, 0}, KV_EINVAL},
        {{48, 0, KV_ORDER_CUSTOM, 0, "a name of more than thirty-one bytes", NULL, 0, 0},
         KV_EINVAL},
        {{48, 0, KV_ORDER_BYTES, 0, "length", NULL, 0, 0}, KV_EINVAL},
        {{48, 0, 0, 0, NULL, "length", 0, 0}, KV_EINVAL},
        {{48, KV_DUPLICATES, 0, 0, NULL, "length", 0, 0}, KV_EINVAL},
        {{48, KV_DUPLICATES, 0, 0, NULL, NULL, 8, 0}, KV_EINVAL},
        {{48, 0, 0, 0, NULL, NULL, 0, 4}, KV_EINVAL},
        {{48, 0, 0, 0, NULL, NULL, 0, 32}, KV_EINVAL},
        {{48, KV_DUPLICATES | KV_FIXED, 0, 0, NULL, NULL, 660, 0}, KV_EVALSIZE},
        {{48, KV_DUPLICATES | KV_FIXED, 0, KV_ORDER_UINT, NULL, NULL, 6, 0}, KV_EVALSIZE},
        {{48, 0, KV_ORDER_CUSTOM, 0, "nobody's", NULL, 0, 0}, KV_ECOMPARATOR},
        {{48, KV_DUPLICATES, KV_ORDER_CUSTOM, KV_ORDER_CUSTOM, "length", "nobody's", 0, 0},
         KV_ECOMPARATOR},
    };
    struct kv_txn *txn;

    comparators_known(env);
    ck_assert_uint_eq(sizeof(struct kv_table_options), 48);
    txn = txn_write(env);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        ck_rc(try_open(txn, "t", KV_CREATE, &wrong[i].options), wrong[i].rc);
        ck_rc(try_open(txn, NULL, KV_CREATE, &wrong[i].options), wrong[i].rc);
    }
    ck_assert_uint_eq(env_stat(txn).tables, 0);
    put(txn, KV_MAIN_TABLE, "still", "usable");
    txn_commit(txn);
}
END_TEST

/* ---- Opened as something else ---- */

static const struct {
    struct kv_table_options options;
    int rc;
    const char *text;
} others[] = {
    {{48, 0, 0, 0, NULL, NULL, 0, 0}, KV_EINCOMPATIBLE, "duplicates"},
    {{48, KV_DUPLICATES, KV_ORDER_CUSTOM, KV_ORDER_CUSTOM, "length", "backwards", 0, 8},
     KV_EINCOMPATIBLE,
     "one size"},
    {{48, KV_DUPLICATES | KV_FIXED, KV_ORDER_REVERSE, KV_ORDER_CUSTOM, NULL, "backwards", 4, 8},
     KV_EINCOMPATIBLE,
     "keys in the order \"custom\", not \"reverse\""},
    {{48, KV_DUPLICATES | KV_FIXED, KV_ORDER_CUSTOM, KV_ORDER_UINT, "length", NULL, 4, 8},
     KV_EINCOMPATIBLE,
     "values in the order \"custom\", not \"integers\""},
    {{48, KV_DUPLICATES | KV_FIXED, KV_ORDER_CUSTOM, KV_ORDER_CUSTOM, "length", "backwards", 4, 16},
     KV_EINCOMPATIBLE,
     "aligned to 8 bytes, not to 16"},
    {{48, KV_DUPLICATES | KV_FIXED, KV_ORDER_CUSTOM, KV_ORDER_CUSTOM, "length", "backwards", 8, 8},
     KV_EINCOMPATIBLE,
     "values of 4 bytes, not of 8"},
    {{48, KV_DUPLICATES | KV_FIXED, KV_ORDER_CUSTOM, KV_ORDER_CUSTOM, "backwards", "backwards", 4,
      8},
     KV_ECOMPARATOR,
     "keys ordered by comparator \"length\", not \"backwards\""},
    {{48, KV_DUPLICATES | KV_FIXED, KV_ORDER_CUSTOM, KV_ORDER_CUSTOM, "length", "length", 4, 8},
     KV_ECOMPARATOR,
     "values ordered by comparator \"backwards\", not \"length\""},
};

START_TEST(each_difference_is_told_by_name)
{
    struct kv_table_options options = kind(KV_DUPLICATES | KV_FIXED, KV_ORDER_CUSTOM);
    struct kv_txn *txn;

    comparators_known(env);
    options.value_order = KV_ORDER_CUSTOM;
    options.value_comparator = "backwards";
    options.value_bytes = 4;
    options.align = 8;
    txn = txn_write(env);
    make(txn, "colours", &options);
    txn_commit(txn);
    txn = txn_read(env);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        ck_rc(try_open(txn, "colours", 0, &others[i].options), others[i].rc);
        expect_error_text("colours");
        expect_error_text(others[i].text);
    }
    ck_ok(try_open(txn, "colours", 0, &options));
    options.value_bytes = 0;
    ck_ok(try_open(txn, "colours", 0, &options));
    kv_txn_abort(txn);
}
END_TEST

START_TEST(counted_and_not_counted_are_two)
{
    struct kv_table_options counted = kind(KV_COUNTED, KV_ORDER_BYTES);
    struct kv_table_options plain = KV_TABLE_OPTIONS_INIT;
    struct kv_txn *txn = txn_write(env);

    put(txn, make(txn, "c", &counted), "a", "1");
    put(txn, make(txn, "p", &plain), "a", "1");
    ck_rc(try_open(txn, "c", 0, &plain), KV_EINCOMPATIBLE);
    expect_error_text("\"c\" was made counted");
    ck_rc(try_open(txn, "p", KV_CREATE, &counted), KV_EINCOMPATIBLE);
    expect_error_text("\"p\" was not made counted");
    txn_commit(txn);
}
END_TEST

/* ---- Empty tables ---- */

START_TEST(an_empty_table_becomes_what_it_is_opened_as)
{
    struct kv_table_options reverse = kind(KV_COUNTED, KV_ORDER_REVERSE);
    struct kv_txn *txn = txn_write(env);
    kv_table table = table_make(txn, "t");

    ck_rc(try_open(txn, "t", 0, &reverse), KV_EINCOMPATIBLE);
    ck_ok(try_open(txn, "t", KV_CREATE, &reverse));
    is_kind(txn, table, &reverse);
    txn_commit(txn);
    txn = txn_read(env);
    is_kind(txn, table, &reverse);
    kv_txn_abort(txn);
}
END_TEST

START_TEST(one_with_records_stays_what_it_is_until_it_is_emptied)
{
    struct kv_table_options reverse = kind(0, KV_ORDER_REVERSE);
    struct kv_table_options plain = KV_TABLE_OPTIONS_INIT;
    struct kv_txn *txn = txn_write(env);
    kv_table table = table_make(txn, "t");

    put(txn, table, "ab", "1");
    ck_rc(try_open(txn, "t", KV_CREATE, &reverse), KV_EINCOMPATIBLE);
    is_kind(txn, table, &plain);
    has(txn, table, "ab", "1");
    txn_commit(txn);
    txn = txn_write(env);
    ck_rc(try_open(txn, "t", KV_CREATE, &reverse), KV_EINCOMPATIBLE);
    del(txn, table, "ab");
    ck_ok(try_open(txn, "t", KV_CREATE, &reverse));
    put(txn, table, "ab", "1");
    put(txn, table, "ba", "2");
    put(txn, table, "aa", "3");
    keys_are(txn, table, "aa ba ab ");
    txn_commit(txn);
}
END_TEST

START_TEST(a_read_txn_changes_no_table)
{
    struct kv_table_options reverse = kind(0, KV_ORDER_REVERSE);
    struct kv_txn *txn = txn_write(env);

    table_make(txn, "t");
    txn_commit(txn);
    txn = txn_read(env);
    ck_rc(try_open(txn, "t", KV_CREATE, &reverse), KV_EINCOMPATIBLE);
    ck_rc(try_open(txn, NULL, KV_CREATE, &reverse), KV_EINCOMPATIBLE);
    ck_rc(try_open(txn, "none", KV_CREATE, &reverse), KV_EREADONLY);
    kv_txn_abort(txn);
}
END_TEST

START_TEST(a_table_changed_in_a_nested_txn_is_so_when_that_commits)
{
    struct kv_table_options reverse = kind(0, KV_ORDER_REVERSE);
    struct kv_table_options plain = KV_TABLE_OPTIONS_INIT;
    struct kv_txn *txn = txn_write(env);
    kv_table table = table_make(txn, "t");

    for (int commit = 0; commit < 2; commit++) {
        struct kv_txn *child = txn_nested(txn);

        ck_ok(try_open(child, "t", KV_CREATE, &reverse));
        ck_ok(try_open(child, NULL, 0, &plain));
        is_kind(child, table, &reverse);
        if (commit)
            txn_commit(child);
        else
            kv_txn_abort(child);
        is_kind(txn, table, commit ? &reverse : &plain);
    }
    put(txn, table, "ab", "1");
    put(txn, table, "ba", "2");
    keys_are(txn, table, "ba ab ");
    txn_commit(txn);
}
END_TEST

START_TEST(the_main_table_changed_in_a_nested_txn_is_so_when_that_commits)
{
    struct kv_table_options reverse = kind(0, KV_ORDER_REVERSE);
    struct kv_table_options plain = KV_TABLE_OPTIONS_INIT;
    struct kv_txn *txn = txn_write(env);

    for (int commit = 0; commit < 2; commit++) {
        struct kv_txn *child = txn_nested(txn);

        ck_ok(try_open(child, NULL, KV_CREATE, &reverse));
        if (commit)
            txn_commit(child);
        else
            kv_txn_abort(child);
        is_kind(txn, KV_MAIN_TABLE, commit ? &reverse : &plain);
    }
    put(txn, KV_MAIN_TABLE, "ab", "1");
    put(txn, KV_MAIN_TABLE, "ba", "2");
    keys_are(txn, KV_MAIN_TABLE, "ba ab ");
    txn_commit(txn);
}
END_TEST

START_TEST(cursors_and_handles_outlive_a_change_of_kind)
{
    struct kv_table_options reverse = kind(0, KV_ORDER_REVERSE);
    struct kv_txn *txn = txn_write(env);
    kv_table table = table_make(txn, "t");
    struct kv_cursor *cursor;
    struct kv_val key;

    put(txn, table, "a", "1");
    ck_ok(kv_cursor_open(txn, table, &cursor));
    ck_ok(kv_cursor_get(cursor, KV_FIRST, &key, NULL));
    ck_ok(kv_table_empty(txn, table));
    ck_ok(try_open(txn, "t", KV_CREATE, &reverse));
    ck_rc(kv_cursor_get(cursor, KV_FIRST, &key, NULL), KV_ENOTFOUND);
    put(txn, table, "ab", "1");
    put(txn, table, "ba", "2");
    ck_ok(kv_cursor_get(cursor, KV_FIRST, &key, NULL));
    expect_text(&key, "ba");
    txn_commit(txn);
}
END_TEST

START_TEST(a_change_of_kind_in_a_nested_txn_leaves_no_position)
{
    struct kv_table_options integers = kind(0, KV_ORDER_UINT);
    struct kv_txn *txn = txn_write(env);
    kv_table table = table_make(txn, "t");
    struct kv_cursor *cursor;
    struct kv_txn *child;
    struct kv_val key;

    put(txn, table, "abc", "1");
    ck_ok(kv_cursor_open(txn, table, &cursor));
    ck_ok(kv_cursor_get(cursor, KV_FIRST, &key, NULL));
    child = txn_nested(txn);
    ck_ok(kv_table_empty(child, table));
    ck_ok(try_open(child, "t", KV_CREATE, &integers));
    put(child, table, "four", "2");
    txn_commit(child);
    ck_rc(kv_cursor_get(cursor, KV_CURRENT, &key, NULL), KV_EINVAL);
    ck_ok(kv_cursor_get(cursor, KV_NEXT, &key, NULL));
    expect_text(&key, "four");
    txn_commit(txn);
}
END_TEST

START_TEST(an_aborted_change_of_kind_is_none)
{
    struct kv_table_options reverse = kind(0, KV_ORDER_REVERSE);
    struct kv_table_options plain = KV_TABLE_OPTIONS_INIT;
    struct kv_txn *txn = txn_write(env);
    kv_table table = table_make(txn, "t");

    txn_commit(txn);
    txn = txn_write(env);
    ck_ok(try_open(txn, "t", KV_CREATE, &reverse));
    ck_ok(try_open(txn, NULL, 0, &plain));
    kv_txn_abort(txn);
    txn = txn_read(env);
    is_kind(txn, table, &plain);
    kv_txn_abort(txn);
}
END_TEST

/* ---- The main table with others ---- */

START_TEST(named_tables_keep_the_main_table_as_it_is)
{
    struct kv_table_options dups = kind(KV_DUPLICATES, KV_ORDER_BYTES);
    struct kv_txn *txn = txn_write(env);

    table_make(txn, "t");
    ck_rc(try_open(txn, NULL, KV_CREATE, &dups), KV_EINCOMPATIBLE);
    txn_commit(txn);
}
END_TEST

START_TEST(a_main_table_with_duplicates_or_a_users_order_holds_no_tables)
{
    struct kv_table_options kinds[] = {kind(KV_DUPLICATES, KV_ORDER_BYTES),
                                       kind(0, KV_ORDER_CUSTOM)};
    static const char *const texts[] = {"duplicates", "user's order"};

    comparators_known(env);
    for (size_t i = 0; i < 2; i++) {
        struct kv_txn *txn = txn_write(env);

        ck_ok(try_open(txn, NULL, KV_CREATE, &kinds[i]));
        ck_rc(try_open(txn, "t", KV_CREATE, NULL), KV_EINCOMPATIBLE);
        expect_error_text(texts[i]);
        put(txn, KV_MAIN_TABLE, "t", "is no table");
        ck_rc(try_open(txn, "t", 0, NULL), KV_ENOTFOUND);
        txn_commit(txn);
        reopen(); /* without comparators */
        txn = txn_write(env);
        ck_rc(try_open(txn, "t", 0, NULL), KV_ENOTFOUND);
        ck_rc(try_open(txn, "t", KV_CREATE, NULL), KV_EINCOMPATIBLE);
        ck_ok(kv_table_empty(txn, KV_MAIN_TABLE));
        txn_commit(txn);
        comparators_known(env);
    }
}
END_TEST

START_TEST(tables_stand_in_a_main_table_of_any_other_kind)
{
    struct kv_table_options kinds[] = {kind(KV_COUNTED, KV_ORDER_REVERSE), kind(0, KV_ORDER_UINT)};

    kinds[0].align = 16;
    for (size_t i = 0; i < 2; i++) {
        struct kv_txn *txn = txn_write(env);
        kv_table table;

        ck_ok(try_open(txn, NULL, KV_CREATE, &kinds[i]));
        table = table_make(txn, "four");
        put(txn, table, "k", "v");
        put(txn, KV_MAIN_TABLE, "main", "m");
        if (i == 1) {
            ck_rc(try_open(txn, "three", KV_CREATE, NULL), KV_EKEYSIZE);
            ck_rc(try_open(txn, "8 bytes.", KV_CREATE, NULL), KV_EKEYSIZE);
        }
        txn_commit(txn);
        reopen();
        txn = txn_write(env);
        table = table_find(txn, "four");
        has(txn, table, "k", "v");
        ck_ok(kv_table_rename(txn, table, "eins"));
        txn_commit(txn);
        env_sound(env);
        txn = txn_write(env);
        ck_ok(kv_table_drop(txn, table_find(txn, "eins")));
        ck_ok(kv_table_empty(txn, KV_MAIN_TABLE));
        txn_commit(txn);
    }
}
END_TEST

/* ---- Sizes of names ---- */

/* The longest name that a table of this kind can have, found by trying. */
static size_t longest_name(struct kv_txn *txn, const struct kv_table_options *options)
{
    char name[4096];
    size_t bytes = sizeof(name) - 1;
    int rc;

    do {
        kv_table table;

        memset(name, 'n', bytes);
        name[bytes] = '\0';
        rc = kv_table_open(txn, name, KV_CREATE, options, &table);
        if (rc)
            bytes--;
    } while (rc == KV_EKEYSIZE);
    ck_ok(rc);
    return bytes;
}

START_TEST(a_name_leaves_room_for_its_record)
{
    struct kv_table_options plain = KV_TABLE_OPTIONS_INIT;
    struct kv_table_options custom = kind(KV_DUPLICATES, KV_ORDER_CUSTOM);
    struct kv_txn *txn;
    char name[2048];
    kv_table table;
    size_t longest;

    custom.value_order = KV_ORDER_CUSTOM;
    custom.value_comparator = "backwards";
    comparators_known(env);
    txn = txn_write(env);
    longest = longest_name(txn, &plain);
    ck_assert_uint_eq(longest, 1942);
    ck_assert_uint_eq(longest_name(txn, &custom),
                      longest - strlen("length") - 1 - strlen("backwards"));
    table = make(txn, "short", &custom);
    memset(name, 'r', longest);
    name[longest] = '\0';
    ck_rc(kv_table_rename(txn, table, name), KV_EKEYSIZE);
    ck_ok(kv_table_rename(txn, table_make(txn, "plain"), name));
    ck_rc(try_open(txn, name, KV_CREATE, &custom), KV_EKEYSIZE);
    txn_commit(txn);
}
END_TEST

START_TEST(sizes_follow_the_page)
{
    struct kv_table_options fixed = kind(KV_DUPLICATES | KV_FIXED, KV_ORDER_BYTES);
    struct kv_table_options plain = KV_TABLE_OPTIONS_INIT;
    struct kv_options options = KV_OPTIONS_INIT;

    options.flags = KV_CREATE;
    options.durability = KV_NONE;
    for (uint32_t page = 4096; page <= 65536; page *= 4) {
        uint64_t half = (page - 32) / 2;
        struct kv_env_info info;
        struct kv_env *large;
        struct kv_txn *txn;

        options.page_size = page;
        large = env_open_with(tmp_path("page%u.db", page), &options);
        info = env_info(large);
        ck_assert_uint_eq(info.max_key_bytes, half - 52);
        ck_assert_uint_eq(info.max_pair_bytes, (half - 52) / 3 - 1);
        txn = txn_write(large);
        fixed.value_bytes = (uint32_t)info.max_pair_bytes + 1;
        ck_rc(try_open(txn, "t", KV_CREATE, &fixed), KV_EVALSIZE);
        fixed.value_bytes--;
        ck_ok(try_open(txn, "t", KV_CREATE, &fixed));
        if (page == 4096)
            ck_assert_uint_eq(longest_name(txn, &plain), half - 90);
        txn_commit(txn);
        env_sound(large);
        env_close(large);
    }
}
END_TEST

static void add_made(Suite *s)
{
    harness_add_fixture(s, "made", a_table_made_without_options_is_plain, setup, teardown);
    harness_add_fixture(s, "made", every_kind_is_told_as_it_was_chosen_also_after_a_new_open, setup,
                        teardown);
    harness_add_fixture(s, "made", copies_keep_every_kind, setup, teardown);
    harness_add_fixture(s, "made", the_main_table_keeps_its_kind, setup, teardown);
    harness_add_fixture(s, "made", duplicates_count_and_integer_values_have_one_size, setup,
                        teardown);
    harness_add_fixture(s, "made", names_told_live_as_long_as_the_env, setup, teardown);
    harness_add_fixture(s, "made", options_that_contradict_each_other_are_refused, setup, teardown);
    harness_add_fixture(s, "made", each_difference_is_told_by_name, setup, teardown);
    harness_add_fixture(s, "made", counted_and_not_counted_are_two, setup, teardown);
    harness_add_fixture(s, "made", a_name_leaves_room_for_its_record, setup, teardown);
    harness_add_fixture(s, "made", sizes_follow_the_page, setup, teardown);
}

static void add_changed(Suite *s)
{
    harness_add_fixture(s, "empty", an_empty_table_becomes_what_it_is_opened_as, setup, teardown);
    harness_add_fixture(s, "empty", one_with_records_stays_what_it_is_until_it_is_emptied, setup,
                        teardown);
    harness_add_fixture(s, "empty", a_read_txn_changes_no_table, setup, teardown);
    harness_add_fixture(s, "empty", a_table_changed_in_a_nested_txn_is_so_when_that_commits, setup,
                        teardown);
    harness_add_fixture(s, "empty", the_main_table_changed_in_a_nested_txn_is_so_when_that_commits,
                        setup, teardown);
    harness_add_fixture(s, "empty", cursors_and_handles_outlive_a_change_of_kind, setup, teardown);
    harness_add_fixture(s, "empty", a_change_of_kind_in_a_nested_txn_leaves_no_position, setup,
                        teardown);
    harness_add_fixture(s, "empty", an_aborted_change_of_kind_is_none, setup, teardown);
    harness_add_fixture(s, "main", named_tables_keep_the_main_table_as_it_is, setup, teardown);
    harness_add_fixture(s, "main", a_main_table_with_duplicates_or_a_users_order_holds_no_tables,
                        setup, teardown);
    harness_add_fixture(s, "main", tables_stand_in_a_main_table_of_any_other_kind, setup, teardown);
}

static Suite *suite(void)
{
    Suite *s = suite_create("kinds");

    add_made(s);
    add_changed(s);
    return s;
}

HARNESS_MAIN(suite)
