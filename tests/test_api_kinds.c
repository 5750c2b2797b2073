/* SPDX-License-Identifier: MIT */
/*
 * What a table is, through kv.h: options chosen at creation, told again, compared when it is opened
 * with others, changed while it is empty; and users' orders by name.
 */
#include "api_help.h"

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

/* ---- Verbs ---- */

/* Orders of users: by length first, and the alphabet from its end. */
static int by_length(void *context, const struct kv_val *a, const struct kv_val *b)
{
    size_t common = a->size < b->size ? a->size : b->size;

    (void)context;
    if (a->size != b->size)
        return a->size < b->size ? -1 : 1;
    return common ? memcmp(a->data, b->data, common) : 0;
}

static int backwards(void *context, const struct kv_val *a, const struct kv_val *b)
{
    return -by_length(context, a, b);
}

static void comparators_known(struct kv_env *to)
{
    ck_ok(kv_env_comparator(to, "length", by_length, NULL));
    ck_ok(kv_env_comparator(to, "backwards", backwards, NULL));
}

static void reopen(void)
{
    env_close(env);
    env = env_open(path, 0);
}

static struct kv_table_options kind(uint32_t flags, enum kv_order order)
{
    struct kv_table_options options = KV_TABLE_OPTIONS_INIT;

    options.flags = flags;
    options.order = order;
    if (order == KV_ORDER_CUSTOM)
        options.comparator = "length";
    return options;
}

static kv_table make(struct kv_txn *txn, const char *name, const struct kv_table_options *options)
{
    kv_table table;

    ck_ok(kv_table_open(txn, name, KV_CREATE, options, &table));
    return table;
}

static int try_open(struct kv_txn *txn, const char *name, uint32_t flags,
                    const struct kv_table_options *options)
{
    kv_table table;

    return kv_table_open(txn, name, flags, options, &table);
}

static struct kv_table_options told(struct kv_txn *txn, kv_table table)
{
    struct kv_table_options options;

    ck_ok(kv_table_options(txn, table, &options));
    return options;
}

static bool same_name(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static void is_kind(struct kv_txn *txn, kv_table table, const struct kv_table_options *expected)
{
    struct kv_table_options options = told(txn, table);

    ck_assert_uint_eq(options.struct_bytes, sizeof(options));
    ck_assert_uint_eq(options.flags, expected->flags);
    ck_assert_int_eq(options.order, expected->order);
    ck_assert_int_eq(options.value_order, expected->value_order);
    ck_assert_uint_eq(options.value_bytes, expected->value_bytes);
    ck_assert_uint_eq(options.align, expected->align);
    ck_assert(same_name(options.comparator, expected->comparator));
    ck_assert(same_name(options.value_comparator, expected->value_comparator));
}

/* All keys of the table in its order, with a space behind each. */
static void keys_are(struct kv_txn *txn, kv_table table, const char *expected)
{
    struct kv_cursor *cursor;
    struct kv_val key;
    char text[256] = "";
    int rc;

    ck_ok(kv_cursor_open(txn, table, &cursor));
    while ((rc = kv_cursor_get(cursor, KV_NEXT, &key, NULL)) == 0) {
        strncat(text, key.data, key.size);
        strcat(text, " ");
    }
    ck_assert_int_eq(rc, KV_ENOTFOUND);
    kv_cursor_close(cursor);
    ck_assert_str_eq(text, expected);
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
        ck_rc(try_open(txn, "t", 0, NULL), KV_ENOTFOUND);
        kv_txn_abort(txn);
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

/* ---- Comparators ---- */

START_TEST(a_comparator_has_one_function_a_name)
{
    ck_ok(kv_env_comparator(env, "length", by_length, NULL));
    ck_ok(kv_env_comparator(env, "length", by_length, NULL));
    ck_rc(kv_env_comparator(env, "length", backwards, NULL), KV_EEXIST);
    ck_rc(kv_env_comparator(env, "length", by_length, env), KV_EEXIST);
    ck_rc(kv_env_comparator(env, "", by_length, NULL), KV_EINVAL);
    ck_rc(kv_env_comparator(env, NULL, by_length, NULL), KV_EINVAL);
    ck_rc(kv_env_comparator(env, "length", NULL, NULL), KV_EINVAL);
    ck_rc(kv_env_comparator(NULL, "length", by_length, NULL), KV_EINVAL);
    ck_ok(kv_env_comparator(env, "a name of just thirty-one bytes", by_length, NULL));
    ck_rc(kv_env_comparator(env, "one of thirty-two bytes, too long", by_length, NULL), KV_EINVAL);
}
END_TEST

/* A committed table "t" ordered by length, and the same as main table in another file. */
static void lengths_committed(void)
{
    struct kv_table_options options = kind(0, KV_ORDER_CUSTOM);
    static const char *const keys[] = {"ccc", "z", "bb", "aaaa", "a", "dd"};
    struct kv_txn *txn;
    kv_table table;

    comparators_known(env);
    txn = txn_write(env);
    table = make(txn, "t", &options);
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        put(txn, table, keys[i], "v");
    keys_are(txn, table, "a z bb dd ccc aaaa ");
    txn_commit(txn);
}

START_TEST(without_its_comparator_a_table_is_only_read_in_order)
{
    struct kv_txn *txn;
    kv_table table;

    lengths_committed();
    reopen();
    txn = txn_write(env);
    table = table_find(txn, "t");
    keys_are(txn, table, "a z bb dd ccc aaaa ");
    ck_rc(try_get(txn, table, "bb"), KV_ECOMPARATOR);
    ck_rc(try_put(txn, table, "bb", "w", 0), KV_ECOMPARATOR);
    ck_rc(try_del(txn, table, "bb"), KV_ECOMPARATOR);
    put(txn, KV_MAIN_TABLE, "main", "goes on");
    txn_commit(txn);
    env_sound(env);
}
END_TEST

START_TEST(a_comparator_that_comes_late_counts_at_once)
{
    struct kv_txn *reader;
    struct kv_cursor *cursor;
    struct kv_txn *txn;
    struct kv_val key = text_val("bb");
    kv_table table;

    lengths_committed();
    reopen();
    reader = txn_read(env);
    txn = txn_write(env);
    table = table_find(txn, "t");
    ck_rc(try_get(reader, table, "bb"), KV_ECOMPARATOR);
    ck_rc(try_put(txn, table, "eee", "w", 0), KV_ECOMPARATOR);
    ck_ok(kv_cursor_open(txn, table, &cursor));
    ck_rc(kv_cursor_get(cursor, KV_EXACT, &key, NULL), KV_ECOMPARATOR);
    comparators_known(env);
    ck_ok(kv_cursor_get(cursor, KV_EXACT, &key, NULL));
    has(reader, table, "bb", "v");
    put(txn, table, "eee", "w");
    keys_are(txn, table, "a z bb dd ccc eee aaaa ");
    kv_txn_abort(reader);
    txn_commit(txn);
}
END_TEST

START_TEST(a_nested_txn_knows_the_comparators)
{
    struct kv_txn *txn;
    struct kv_txn *child;
    kv_table table;

    lengths_committed();
    reopen();
    txn = txn_write(env);
    table = table_find(txn, "t");
    comparators_known(env);
    child = txn_nested(txn);
    put(child, table, "b", "w");
    txn_commit(child);
    keys_are(txn, table, "a b z bb dd ccc aaaa ");
    put(txn, table, "c", "w");
    txn_commit(txn);
}
END_TEST

/* The content of path, where comparators are known. */
static void copy_is(const char *copy, const char *expected)
{
    struct kv_env *other = env_open(copy, 0);
    struct kv_txn *txn = txn_read(other);

    keys_are(txn, table_find(txn, "t"), expected);
    comparators_known(other);
    has(txn, table_find(txn, "t"), "dd", "v");
    kv_txn_abort(txn);
    env_sound(other);
    env_close(other);
}

START_TEST(copies_need_no_comparator)
{
    struct kv_copy_options compact = {.flags = KV_COPY_COMPACT};

    lengths_committed();
    for (int known = 0; known < 2; known++) {
        struct kv_txn *txn;

        reopen();
        if (known)
            comparators_known(env);
        txn = txn_read(env);
        ck_ok(kv_env_copy(txn, tmp_path("plain%d.db", known), NULL));
        ck_ok(kv_env_copy(txn, tmp_path("compact%d.db", known), &compact));
        kv_txn_abort(txn);
        copy_is(tmp_path("plain%d.db", known), "a z bb dd ccc aaaa ");
        copy_is(tmp_path("compact%d.db", known), "a z bb dd ccc aaaa ");
    }
}
END_TEST

/* ---- Sizes of keys and values ---- */

START_TEST(integer_keys_have_the_size_of_the_first)
{
    struct kv_table_options integers = kind(0, KV_ORDER_UINT);
    struct kv_txn *txn = txn_write(env);
    kv_table table = make(txn, "t", &integers);
    struct kv_val value = text_val("v");
    uint8_t bytes[9] = {1};

    for (size_t size = 0; size <= sizeof(bytes); size++) {
        struct kv_val key = {size, bytes};

        ck_rc(kv_get(txn, table, &key, &value),
              size == 4 || size == 8 ? KV_ENOTFOUND : KV_EKEYSIZE);
    }
    for (int again = 0; again < 2; again++) {
        for (size_t size = 0; size <= sizeof(bytes); size++) {
            struct kv_val key = {size, bytes};

            value = text_val("v");
            ck_rc(kv_put(txn, table, &key, &value, 0), size == 4 ? 0 : KV_EKEYSIZE);
        }
        txn_commit(txn);
        txn = txn_write(env);
    }
    ck_assert_uint_eq(table_stat(txn, table).entries, 1);
    kv_txn_abort(txn);
}
END_TEST

START_TEST(the_first_key_of_a_nested_txn_sets_the_size_when_it_commits)
{
    struct kv_table_options integers = kind(0, KV_ORDER_UINT);
    struct kv_txn *txn = txn_write(env);
    kv_table table = make(txn, "t", &integers);
    struct kv_txn *child = txn_nested(txn);

    put(child, table, "8 bytes.", "v");
    ck_rc(try_put(child, table, "four", "v", 0), KV_EKEYSIZE);
    kv_txn_abort(child);
    child = txn_nested(txn);
    put(child, table, "four", "v");
    txn_commit(child);
    ck_rc(try_put(txn, table, "8 bytes.", "v", 0), KV_EKEYSIZE);
    has(txn, table, "four", "v");
    txn_commit(txn);
}
END_TEST

START_TEST(an_emptied_table_may_take_keys_of_another_size)
{
    struct kv_table_options integers = kind(0, KV_ORDER_UINT);
    struct kv_txn *txn = txn_write(env);
    kv_table table = make(txn, "t", &integers);

    put(txn, table, "four", "v");
    del(txn, table, "four");
    ck_ok(try_open(txn, "t", KV_CREATE, &integers));
    put(txn, table, "8 bytes.", "v");
    txn_commit(txn);
}
END_TEST

START_TEST(keys_and_values_of_duplicates_are_bounded)
{
    struct kv_table_options dups = kind(KV_DUPLICATES, KV_ORDER_BYTES);
    uint64_t bytes_max = env_info(env).max_pair_bytes;
    struct kv_txn *txn = txn_write(env);
    kv_table table = make(txn, "t", &dups);
    static uint8_t bytes[1024];

    ck_assert_uint_eq(bytes_max, 659);
    for (unsigned i = 0; i < 4; i++) {
        struct kv_val key = {bytes_max + i % 2, bytes};
        struct kv_val value = {bytes_max + i / 2, bytes};

        ck_rc(kv_put(txn, table, &key, &value, 0), i % 2 ? KV_EKEYSIZE : i / 2 ? KV_EVALSIZE : 0);
        ck_rc(kv_del(txn, table, &key, &value), i % 2 ? KV_EKEYSIZE : i / 2 ? KV_EVALSIZE : 0);
    }
    txn_commit(txn);
}
END_TEST

START_TEST(fixed_values_have_the_size_of_the_options_or_of_the_first)
{
    struct kv_table_options fixed = kind(KV_DUPLICATES | KV_FIXED, KV_ORDER_BYTES);
    struct kv_txn *txn = txn_write(env);
    kv_table open = make(txn, "open", &fixed);
    kv_table table;

    fixed.value_bytes = 3;
    table = make(txn, "three", &fixed);
    put(txn, table, "k", "abc");
    ck_rc(try_put(txn, table, "k", "ab", 0), KV_EVALSIZE);
    ck_rc(try_put(txn, table, "k", "abcd", 0), KV_EVALSIZE);
    put(txn, open, "k", "ab");
    put(txn, open, "k", "cd");
    ck_rc(try_put(txn, open, "k", "abc", 0), KV_EVALSIZE);
    expect_error_text("the table's have 2");
    ck_assert_uint_eq(table_stat(txn, open).entries, 2);
    ck_assert_uint_eq(told(txn, open).value_bytes, 2);
    txn_commit(txn);
}
END_TEST

/* ---- Flags that are for other tables ---- */

START_TEST(flags_for_duplicates_are_refused_elsewhere)
{
    static const uint32_t flags[] = {KV_NOPAIR, KV_APPEND_VALUE, KV_MULTIPLE};
    struct kv_val key = text_val("k");
    struct kv_val value = text_val("v");
    struct kv_txn *txn = txn_write(env);

    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
        ck_rc(kv_put(txn, KV_MAIN_TABLE, &key, &value, flags[i]), KV_EINCOMPATIBLE);
    ck_rc(kv_del(txn, KV_MAIN_TABLE, &key, &value), KV_EINCOMPATIBLE);
    put(txn, KV_MAIN_TABLE, "k", "v");
    txn_commit(txn);
}
END_TEST

START_TEST(what_is_not_for_duplicates_is_refused_there)
{
    struct kv_table_options dups = kind(KV_DUPLICATES, KV_ORDER_BYTES);
    struct kv_txn *txn = txn_write(env);
    kv_table table = make(txn, "t", &dups);
    struct kv_val key = text_val("k");
    struct kv_val value = text_val("v");
    struct kv_val old;
    int64_t sum;

    ck_rc(kv_put(txn, table, &key, &value, KV_RESERVE), KV_EINCOMPATIBLE);
    ck_rc(kv_put(txn, table, &key, &value, KV_MULTIPLE), KV_EINCOMPATIBLE);
    ck_rc(kv_replace(txn, table, &key, &value, &old), KV_EINCOMPATIBLE);
    ck_rc(kv_swap(txn, table, &key, NULL, &value, &old), KV_EINCOMPATIBLE);
    ck_rc(kv_add(txn, table, &key, 1, &sum), KV_EINCOMPATIBLE);
    ck_assert_uint_eq(table_stat(txn, table).entries, 0);
    txn_commit(txn);
}
END_TEST

START_TEST(many_values_go_in_one_put)
{
    struct kv_table_options fixed = kind(KV_DUPLICATES | KV_FIXED, KV_ORDER_BYTES);
    struct kv_txn *txn = txn_write(env);
    kv_table table = make(txn, "t", &fixed);
    struct kv_val key = text_val("k");
    struct kv_val values = text_val("ccaabbaa");

    ck_rc(kv_put(txn, table, &key, &values, KV_MULTIPLE), KV_EINVAL);
    put(txn, table, "k", "bb");
    ck_ok(kv_put(txn, table, &key, &values, KV_MULTIPLE));
    ck_assert_uint_eq(table_stat(txn, table).entries, 3);
    ck_assert_uint_eq(table_stat(txn, table).keys, 1);
    values.size = 7;
    ck_rc(kv_put(txn, table, &key, &values, KV_MULTIPLE), KV_EINVAL);
    values.size = 0;
    ck_ok(kv_put(txn, table, &key, &values, KV_MULTIPLE));
    ck_rc(kv_put(txn, table, &key, NULL, KV_MULTIPLE), KV_EINVAL);
    ck_assert_uint_eq(table_stat(txn, table).entries, 3);
    txn_commit(txn);
}
END_TEST

START_TEST(flags_for_duplicates_do_what_they_say)
{
    struct kv_table_options dups = kind(KV_DUPLICATES, KV_ORDER_BYTES);
    struct kv_txn *txn = txn_write(env);
    kv_table table = make(txn, "t", &dups);

    put(txn, table, "k", "b");
    put(txn, table, "k", "b");
    ck_rc(try_put(txn, table, "k", "b", KV_NOPAIR), KV_EEXIST);
    ck_rc(try_put(txn, table, "k", "c", KV_NOOVERWRITE), KV_EEXIST);
    ck_ok(try_put(txn, table, "k", "d", KV_APPEND_VALUE));
    ck_rc(try_put(txn, table, "k", "c", KV_APPEND_VALUE), KV_EORDER);
    ck_ok(try_put(txn, table, "k", "c", KV_NOPAIR));
    ck_assert_uint_eq(table_stat(txn, table).entries, 3);
    has(txn, table, "k", "b");
    del(txn, table, "k");
    lacks(txn, table, "k");
    txn_commit(txn);
}
END_TEST

static void add_made(Suite *s)
{
    harness_add_fixture(s, "made", a_table_made_without_options_is_plain, setup, teardown);
    harness_add_fixture(s, "made", every_kind_is_told_as_it_was_chosen_also_after_a_new_open, setup,
                        teardown);
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
    harness_add_fixture(s, "comparators", a_comparator_has_one_function_a_name, setup, teardown);
    harness_add_fixture(s, "comparators", without_its_comparator_a_table_is_only_read_in_order,
                        setup, teardown);
    harness_add_fixture(s, "comparators", a_comparator_that_comes_late_counts_at_once, setup,
                        teardown);
    harness_add_fixture(s, "comparators", a_nested_txn_knows_the_comparators, setup, teardown);
    harness_add_fixture(s, "comparators", copies_need_no_comparator, setup, teardown);
    harness_add_fixture(s, "sizes", integer_keys_have_the_size_of_the_first, setup, teardown);
    harness_add_fixture(s, "sizes", the_first_key_of_a_nested_txn_sets_the_size_when_it_commits,
                        setup, teardown);
    harness_add_fixture(s, "sizes", an_emptied_table_may_take_keys_of_another_size, setup,
                        teardown);
    harness_add_fixture(s, "sizes", keys_and_values_of_duplicates_are_bounded, setup, teardown);
    harness_add_fixture(s, "sizes", fixed_values_have_the_size_of_the_options_or_of_the_first,
                        setup, teardown);
    harness_add_fixture(s, "flags", flags_for_duplicates_are_refused_elsewhere, setup, teardown);
    harness_add_fixture(s, "flags", what_is_not_for_duplicates_is_refused_there, setup, teardown);
    harness_add_fixture(s, "flags", many_values_go_in_one_put, setup, teardown);
    harness_add_fixture(s, "flags", flags_for_duplicates_do_what_they_say, setup, teardown);
    return s;
}

HARNESS_MAIN(suite)
