/* SPDX-License-Identifier: MIT */
/*
 * KV_APPEND, which goes to the last leaf without looking for it: whatever takes that leaf away, its
 * place or its memory between two appends, the next one still lands behind the last record. After
 * each test every table holds exactly what a model says, and the database is sound.
 */
#include "api_help.h"

#include <stdlib.h>

#include "format/node.h"

enum { NUMBERS = 20000, VALUE_MAX = 9000, SEED = 20261120 };

/* A table and the numbers that it holds; values follow from number and version. */
struct numbers {
    kv_table table;
    uint32_t version[NUMBERS]; /* 0: absent */
    size_t value_bytes;
};

static struct kv_env *env;
static struct kv_txn *txn;
static struct numbers here, there;

static void setup(void)
{
    struct kv_options options = KV_OPTIONS_INIT;

    options.flags = KV_CREATE;
    options.durability = KV_LAZY;
    options.dirty_budget_bytes = 1; /* the least: spills happen */
    env = env_open_with(tmp_path("append.db"), &options);
    txn = txn_write(env);
    memset(&here, 0, sizeof(here));
    memset(&there, 0, sizeof(there));
    here.table = table_make(txn, "here");
    there.table = table_make(txn, "there");
    here.value_bytes = there.value_bytes = 100;
}

/* ---- Verbs ---- */

static struct kv_val key_of(unsigned number, char text[16])
{
    snprintf(text, 16, "key%06u", number);
    return text_val(text);
}

static struct kv_val value_of(const struct numbers *numbers, unsigned number)
{
    static uint8_t bytes[VALUE_MAX];

    memset(bytes, (int)(number * 7 + numbers->version[number]), numbers->value_bytes);
    return bytes_val(bytes, numbers->value_bytes);
}

static void put_number(struct numbers *numbers, unsigned number, uint32_t flags)
{
    char text[16];
    struct kv_val key = key_of(number, text);
    struct kv_val value;

    numbers->version[number]++;
    value = value_of(numbers, number);
    if (kv_put(txn, numbers->table, &key, &value, flags))
        ck_abort_msg("put of %u: %s", number, kv_error_text());
}

/* Every second number, so that others fit between. */
static void append(struct numbers *numbers, unsigned first, unsigned end)
{
    for (unsigned i = first; i < end; i += 2)
        put_number(numbers, i, KV_APPEND);
}

static void refuse(struct numbers *numbers, unsigned number)
{
    char text[16];
    struct kv_val key = key_of(number, text);
    struct kv_val value = text_val("not to be seen");

    ck_rc(kv_put(txn, numbers->table, &key, &value, KV_APPEND), KV_EORDER);
}

static void delete_number(struct numbers *numbers, unsigned number)
{
    char text[16];
    struct kv_val key = key_of(number, text);

    numbers->version[number] = 0;
    ck_ok(kv_del(txn, numbers->table, &key, NULL));
}

static void forget(struct numbers *numbers)
{
    memset(numbers->version, 0, sizeof(numbers->version));
}

static unsigned next_number(const struct numbers *numbers, unsigned from)
{
    while (from < NUMBERS && !numbers->version[from])
        from++;
    return from;
}

/* The table holds the numbers of the model in order, and no others. */
static void expect_numbers(const struct numbers *numbers)
{
    unsigned number = next_number(numbers, 0);
    struct kv_cursor *cursor;
    struct kv_val key, value;
    int rc;

    ck_ok(kv_cursor_open(txn, numbers->table, &cursor));
    while ((rc = kv_cursor_get(cursor, KV_NEXT, &key, &value)) == 0) {
        char text[16];
        struct kv_val wanted;

        if (number == NUMBERS)
            ck_abort_msg("a record too many");
        wanted = key_of(number, text);
        if (key.size != wanted.size || memcmp(key.data, wanted.data, key.size) != 0)
            ck_abort_msg("%.*s stands where %u should", (int)key.size, (char *)key.data, number);
        wanted = value_of(numbers, number);
        if (value.size != wanted.size || memcmp(value.data, wanted.data, value.size) != 0)
            ck_abort_msg("the value of %u is another", number);
        number = next_number(numbers, number + 1);
    }
    ck_rc(rc, KV_ENOTFOUND);
    ck_assert_uint_eq(number, NUMBERS);
    kv_cursor_close(cursor);
}

static void commit_and_go_on(void)
{
    txn_commit(txn);
    txn = txn_write(env);
}

static void teardown(void)
{
    commit_and_go_on();
    if (here.table)
        expect_numbers(&here);
    if (there.table)
        expect_numbers(&there);
    txn_commit(txn);
    env_finish(env);
}

/* ---- What takes the leaf away ---- */

START_TEST(appends_go_on_after_a_spill)
{
    for (unsigned i = 0; i < 6000; i += 600) {
        append(&here, i, i + 20);
        append(&there, i, i + 600); /* far more than the budget */
    }
    append(&here, 6000, 12000);
    append(&there, 6000, 6010);
}
END_TEST

START_TEST(appends_go_on_after_inserts_split_the_last_leaf)
{
    append(&here, 0, 100);
    for (unsigned i = 99; i > 40; i -= 2)
        put_number(&here, i, 0);
    append(&here, 100, 110);
    refuse(&here, 99);
    for (unsigned i = 109; i > 90; i -= 2)
        put_number(&here, i, 0);
    append(&here, 110, 400);
}
END_TEST

START_TEST(appends_go_on_after_plain_puts_behind_the_last_record)
{
    for (unsigned i = 0; i < 2000; i += 20) {
        append(&here, i, i + 8);
        for (unsigned k = i + 8; k < i + 20; k += 2)
            put_number(&here, k, 0);
    }
}
END_TEST

START_TEST(an_append_never_goes_to_a_leaf_that_is_no_longer_the_last)
{
    for (unsigned i = 0; i < 2000; i += 100) {
        append(&here, i, i + 20);
        here.value_bytes = 1900; /* opens another leaf while this one has room */
        put_number(&here, i + 30, 0);
        put_number(&here, i + 40, 0);
        here.value_bytes = 100;
        refuse(&here, i + 22);
        put_number(&here, i + 30, 0);
        put_number(&here, i + 40, 0);
        append(&here, i + 42, i + 44);
    }
}
END_TEST

START_TEST(appends_go_on_after_the_last_records_are_deleted)
{
    unsigned end = 600;

    append(&here, 0, end);
    for (unsigned round = 0; round < 40; round++) {
        for (unsigned k = 0; k < round && end > 0; k++, end -= 2)
            delete_number(&here, end - 2);
        if (end > 0)
            refuse(&here, end - 2);
        append(&here, end, end + 10);
        end += 10;
    }
}
END_TEST

START_TEST(appends_go_on_after_the_last_leaf_is_merged_away)
{
    append(&here, 0, 1000);
    for (unsigned i = 0; i < 1000; i += 2) {
        if (i % 40 != 0)
            delete_number(&here, i);
        if (i % 100 == 98) {
            put_number(&here, 1000 + i, KV_APPEND);
            refuse(&here, i);
        }
    }
    append(&here, 2000, 2100);
}
END_TEST

START_TEST(appends_go_on_when_every_record_was_deleted)
{
    for (unsigned round = 0; round < 3; round++) {
        append(&here, 100, 300);
        for (unsigned i = 100; i < 300; i += 2)
            delete_number(&here, i);
    }
    append(&here, 50, 100);
}
END_TEST

START_TEST(appends_go_on_when_values_of_the_last_leaf_grow)
{
    append(&here, 0, 60);
    commit_and_go_on();
    append(&here, 60, 70);
    here.value_bytes = 900;
    for (unsigned i = 0; i < 70; i += 2) {
        put_number(&here, i, 0);
        put_number(&here, 70 + i, KV_APPEND);
    }
}
END_TEST

START_TEST(appends_go_on_after_nested_txns)
{
    struct kv_txn *top = txn;
    unsigned end = 0;

    for (unsigned round = 0; round < 24; round++) {
        struct numbers *before = malloc(sizeof(*before));

        append(&here, end, end + 10);
        append(&there, end, end + 2);
        *before = here;
        txn = txn_nested(top);
        append(&here, end + 10, end + 10 + 20 * (round % 4));
        if (round % 3 == 0) {
            kv_txn_abort(txn);
            here = *before;
        } else {
            txn_commit(txn);
        }
        txn = top;
        append(&here, end + 100, end + 130);
        end += 200;
        free(before);
    }
}
END_TEST

START_TEST(a_nested_txn_that_changes_nothing_leaves_the_leaf_known)
{
    struct kv_txn *top = txn;

    append(&here, 0, 50);
    for (unsigned i = 50; i < 300; i += 10) {
        txn = txn_nested(top);
        expect_numbers(&here);
        kv_txn_abort(txn);
        txn = top;
        append(&here, i, i + 10);
    }
}
END_TEST

START_TEST(appends_go_on_after_the_table_was_emptied)
{
    append(&here, 0, 500);
    ck_ok(kv_table_empty(txn, here.table));
    forget(&here);
    append(&here, 0, 100);
    ck_ok(kv_table_empty(txn, here.table));
    forget(&here);
    append(&there, 0, 20); /* may be given the pages */
    append(&here, 0, 100);
    commit_and_go_on();
    append(&here, 100, 200);
}
END_TEST

START_TEST(appends_go_on_in_a_table_made_in_place_of_a_dropped_one)
{
    append(&here, 0, 500);
    ck_ok(kv_table_drop(txn, here.table));
    forget(&here);
    append(&there, 0, 500);
    here.table = table_make(txn, "here");
    append(&here, 0, 100);
}
END_TEST

START_TEST(appends_go_on_after_a_rename)
{
    append(&here, 0, 50);
    ck_ok(kv_table_rename(txn, here.table, "renamed"));
    append(&here, 50, 100);
    here.table = table_find(txn, "renamed");
    append(&here, 100, 200);
    commit_and_go_on();
    append(&here, 200, 250);
}
END_TEST

START_TEST(appends_by_two_handles_of_a_table_follow_one_another)
{
    kv_table first = here.table;

    append(&here, 0, 50);
    commit_and_go_on();
    append(&here, 50, 60);
    ck_ok(kv_table_close(env, first));
    here.table = table_find(txn, "here");
    append(&here, 60, 200);
    ck_ok(kv_table_close(env, here.table));
    here.table = table_find(txn, "here");
    append(&here, 200, 210);
}
END_TEST

START_TEST(appends_go_on_in_the_next_txn)
{
    for (unsigned i = 0; i < 1000; i += 50) {
        struct numbers *before = malloc(sizeof(*before));

        append(&here, i, i + 30);
        commit_and_go_on();
        *before = here;
        append(&here, i + 30, i + 50);
        if (i % 100 == 0) {
            kv_txn_abort(txn);
            txn = txn_write(env);
            here = *before;
        }
        free(before);
    }
}
END_TEST

START_TEST(appends_go_on_after_defragmentation)
{
    append(&there, 0, 2000);
    append(&here, 0, 2000);
    commit_and_go_on();
    ck_ok(kv_table_empty(txn, there.table));
    forget(&there);
    append(&here, 2000, 2010);
    txn_commit(txn);
    ck_ok(kv_env_trim(env, KV_TRIM_DEFRAGMENT, NULL));
    txn = txn_write(env);
    append(&here, 2010, 2100);
    append(&there, 0, 100);
}
END_TEST

/* ---- Ways to append ---- */

static void cursor_append(struct kv_cursor *cursor, struct numbers *numbers, unsigned number)
{
    char text[16];
    struct kv_val key = key_of(number, text);
    struct kv_val value;

    numbers->version[number]++;
    value = value_of(numbers, number);
    ck_ok(kv_cursor_put(cursor, &key, &value, KV_APPEND));
}

static void expect_at(struct kv_cursor *cursor, enum kv_cursor_op op, unsigned number)
{
    char text[16];
    struct kv_val wanted = key_of(number, text);
    struct kv_val key, value;

    ck_ok(kv_cursor_get(cursor, op, &key, &value));
    expect_val(&key, wanted.data, wanted.size);
    wanted = value_of(&here, number);
    expect_val(&value, wanted.data, wanted.size);
}

START_TEST(a_cursor_stands_at_what_it_appended)
{
    struct kv_cursor *cursor;
    struct kv_val key, value;

    ck_ok(kv_cursor_open(txn, here.table, &cursor));
    for (unsigned i = 0; i < 400; i += 2) {
        cursor_append(cursor, &here, i);
        if (i % 6 == 0) {
            expect_at(cursor, KV_CURRENT, i);
            ck_rc(kv_cursor_get(cursor, KV_NEXT, &key, &value), KV_ENOTFOUND);
        }
        if (i % 10 == 8)
            expect_at(cursor, KV_PREV, i - 2);
    }
    refuse(&here, 398);
    kv_cursor_close(cursor);
}
END_TEST

START_TEST(a_refused_append_leaves_the_cursor_where_it_was)
{
    struct kv_cursor *cursor;
    struct kv_val key = text_val("key000010");
    struct kv_val value = text_val("x");

    append(&here, 0, 100);
    ck_ok(kv_cursor_open(txn, here.table, &cursor));
    expect_at(cursor, KV_FIRST, 0);
    ck_rc(kv_cursor_put(cursor, &key, &value, KV_APPEND), KV_EORDER);
    expect_at(cursor, KV_CURRENT, 0);
    expect_at(cursor, KV_NEXT, 2);
    kv_cursor_close(cursor);
}
END_TEST

START_TEST(other_cursors_come_to_what_was_appended)
{
    struct kv_cursor *reading, *writing;

    append(&here, 0, 10);
    ck_ok(kv_cursor_open(txn, here.table, &reading));
    ck_ok(kv_cursor_open(txn, here.table, &writing));
    expect_at(reading, KV_LAST, 8);
    for (unsigned i = 10; i < 300; i += 4) {
        put_number(&here, i, KV_APPEND);
        cursor_append(writing, &here, i + 2);
        expect_at(reading, KV_NEXT, i);
        expect_at(reading, KV_NEXT, i + 2);
    }
    kv_cursor_close(writing);
    kv_cursor_close(reading);
}
END_TEST

START_TEST(reserved_space_of_an_append_is_filled_later)
{
    for (unsigned i = 0; i < 4000; i += 2) {
        char text[16];
        struct kv_val key = key_of(i, text);
        struct kv_val value = {here.value_bytes, NULL};

        here.version[i]++;
        ck_ok(kv_put(txn, here.table, &key, &value, KV_APPEND | KV_RESERVE));
        memcpy(value.data, value_of(&here, i).data, here.value_bytes);
        if (i % 100 == 0)
            put_number(&there, i, KV_APPEND);
    }
}
END_TEST

START_TEST(an_append_without_a_split_ends_with_the_page)
{
    unsigned appended = 0;
    struct kv_table_stat stat;
    int rc = 0;

    append(&here, 0, 4);
    for (unsigned i = 4; rc == 0; i += 2) {
        char text[16];
        struct kv_val key = key_of(i, text);
        struct kv_val value;

        here.version[i]++;
        value = value_of(&here, i);
        rc = kv_put(txn, here.table, &key, &value, KV_APPEND | KV_NOSPLIT);
        here.version[i] = rc == 0;
        appended += rc == 0;
    }
    ck_assert_int_eq(rc, KV_EPAGEFULL);
    ck_assert_uint_gt(appended, 20);
    stat = table_stat(txn, here.table);
    ck_assert_uint_eq(stat.pages_leaf, 1);
    ck_assert_uint_eq(stat.entries, appended + 2);
    append(&here, 4 + 2 * appended, 400);
}
END_TEST

START_TEST(a_value_may_come_from_the_leaf_that_it_goes_to)
{
    append(&here, 0, 10);
    for (unsigned i = 10; i < 300; i += 2) {
        char text[16];
        struct kv_val key = key_of(i - 2, text);
        struct kv_val value;

        ck_ok(kv_get(txn, here.table, &key, &value));
        key = key_of(i, text);
        ck_ok(kv_put(txn, there.table, &key, &value, KV_APPEND));
        ck_ok(kv_get(txn, there.table, &key, &value));
        key = key_of(i + 1, text);
        ck_ok(kv_put(txn, there.table, &key, &value, KV_APPEND));
        put_number(&here, i, KV_APPEND);
    }
    for (unsigned i = 10; i < 300; i += 2) {
        char text[16];
        struct kv_val key = key_of(i + 1, text);
        struct kv_val value;

        ck_ok(kv_get(txn, there.table, &key, &value));
        expect_val(&value, value_of(&here, i - 2).data, here.value_bytes);
    }
    ck_ok(kv_table_empty(txn, there.table));
}
END_TEST

START_TEST(values_of_all_sizes_are_appended)
{
    static const size_t sizes[] = {0, 1, 100, 1900, 2030, 2100, 4096, VALUE_MAX};
    const size_t count = sizeof(sizes) / sizeof(sizes[0]);

    for (unsigned i = 0; i < 400; i++) {
        char text[16];
        struct kv_val key = key_of(i, text);
        struct kv_val value;

        here.value_bytes = sizes[i * 2654435761u / 7 % count];
        value = value_of(&here, i);
        ck_ok(kv_put(txn, here.table, &key, &value, KV_APPEND));
        ck_ok(kv_get(txn, here.table, &key, &value));
        expect_val(&value, value_of(&here, i).data, here.value_bytes);
        refuse(&here, i);
    }
    ck_assert_uint_eq(table_stat(txn, here.table).entries, 400);
    ck_ok(kv_table_empty(txn, here.table));
}
END_TEST

/* ---- The page ---- */

/* Random keys that ascend: mostly close to the one before, of any length. */
static size_t key_after(struct rng *rng, uint8_t *key, size_t size)
{
    size_t keep = rng_chance(rng, 80) && size ? size - rng_below(rng, size < 4 ? size : 4) : 0;
    size_t more = rng_below(rng, rng_chance(rng, 5) ? 60 : 12);

    if (keep == 0 || key[keep - 1] == 255)
        keep = size;
    else if (keep < size || more == 0)
        key[keep - 1]++;
    if (keep == size && more == 0)
        more = 1;
    for (size_t i = 0; i < more; i++)
        key[keep + i] = (uint8_t)rng_below(rng, 256);
    return keep + more;
}

static void append_like_insert(const struct kvi_geometry *g, struct rng *rng)
{
    static uint8_t appended[4096], inserted[4096];
    uint8_t key[4096] = {'p', 'r', 'e'};
    size_t size = rng_below(rng, 20);
    unsigned count = 0;

    kvi_node_init(g, appended, KVI_PAGE_LEAF, 0, 5, 1);
    kvi_node_init(g, inserted, KVI_PAGE_LEAF, 0, 5, 1);
    for (;; count++) {
        struct kvi_key next = {key, size};
        uint32_t bytes = (uint32_t)rng_below(rng, 200);
        enum kvi_append_result result = KVI_APPEND_DONE;
        uint8_t *to = kvi_leaf_insert(g, inserted, count, next, KVI_CELL_VALUE, bytes);
        uint8_t *place = NULL;

        if (count)
            place = kvi_leaf_append(g, appended, next, KVI_CELL_VALUE, bytes, &result);
        else
            place = kvi_leaf_insert(g, appended, 0, next, KVI_CELL_VALUE, bytes);
        ck_assert_int_eq(result, to ? KVI_APPEND_DONE : KVI_APPEND_NO_ROOM);
        ck_assert((place == NULL) == (to == NULL));
        ck_assert(memcmp(appended, inserted, 4096) == 0);
        if (!place)
            break;
        memset(place, 'v', bytes);
        memset(to, 'v', bytes);
        ck_assert_ptr_null(kvi_leaf_append(g, appended, next, KVI_CELL_VALUE, 0, &result));
        ck_assert(result == KVI_APPEND_ORDER || result == KVI_APPEND_NO_ROOM);
        size = key_after(rng, key, size);
        if (size > g->key_bytes_max)
            break;
    }
    ck_assert_ptr_null(kvi_node_check(g, appended));
    ck_assert_uint_gt(count, 2);
}

START_TEST(an_append_lays_a_page_out_as_an_insert_does)
{
    struct kvi_geometry g;
    struct rng rng;

    rng_seed(&rng, "appends", SEED);
    ck_assert(kvi_geometry_init(&g, 4096));
    for (unsigned i = 0; i < 2000; i++)
        append_like_insert(&g, &rng);
}
END_TEST

START_TEST(a_page_whose_last_cell_is_out_of_bounds_takes_no_append)
{
    static const uint16_t offsets[] = {0, 40, 4093, 4095, 65535};
    static uint8_t page[4096], before[4096];
    struct kvi_geometry g;

    ck_assert(kvi_geometry_init(&g, 4096));
    for (unsigned count = 1; count <= 2; count++) {
        for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
            struct kvi_key key = {(const uint8_t *)"same head 1AAAA", 15};
            enum kvi_append_result result;

            kvi_node_init(&g, page, KVI_PAGE_LEAF, 0, 5, 1);
            ck_assert_ptr_nonnull(kvi_leaf_insert(&g, page, 0, key, KVI_CELL_VALUE, 0));
            key.data = (const uint8_t *)"same head 2AAAA";
            if (count == 2)
                ck_assert_ptr_nonnull(kvi_leaf_insert(&g, page, 1, key, KVI_CELL_VALUE, 0));
            memcpy(page + 32 + (count == 2 ? 12 + 8 + 2 : 4), &offsets[i], 2);
            memcpy(before, page, sizeof(before));
            key.data = (const uint8_t *)"same head 2AAAA+";
            key.size = 16;
            ck_assert_ptr_null(kvi_leaf_append(&g, page, key, KVI_CELL_VALUE, 10, &result));
            ck_assert_int_eq(result, KVI_APPEND_DAMAGE);
            ck_assert(memcmp(page, before, sizeof(before)) == 0);
        }
    }
}
END_TEST

static Suite *suite(void)
{
    const TTest *const gone[] = {
        appends_go_on_after_a_spill,
        appends_go_on_after_inserts_split_the_last_leaf,
        appends_go_on_after_plain_puts_behind_the_last_record,
        an_append_never_goes_to_a_leaf_that_is_no_longer_the_last,
        appends_go_on_after_the_last_records_are_deleted,
        appends_go_on_after_the_last_leaf_is_merged_away,
        appends_go_on_when_every_record_was_deleted,
        appends_go_on_when_values_of_the_last_leaf_grow,
        appends_go_on_after_nested_txns,
        a_nested_txn_that_changes_nothing_leaves_the_leaf_known,
        appends_go_on_after_the_table_was_emptied,
        appends_go_on_in_a_table_made_in_place_of_a_dropped_one,
        appends_go_on_after_a_rename,
        appends_by_two_handles_of_a_table_follow_one_another,
        appends_go_on_in_the_next_txn,
        appends_go_on_after_defragmentation,
    };
    const TTest *const ways[] = {
        a_cursor_stands_at_what_it_appended,
        a_refused_append_leaves_the_cursor_where_it_was,
        other_cursors_come_to_what_was_appended,
        reserved_space_of_an_append_is_filled_later,
        an_append_without_a_split_ends_with_the_page,
        a_value_may_come_from_the_leaf_that_it_goes_to,
        values_of_all_sizes_are_appended,
    };
    Suite *s = suite_create("append");

    for (size_t i = 0; i < sizeof(gone) / sizeof(gone[0]); i++)
        harness_add_fixture(s, "gone", gone[i], setup, teardown);
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
        harness_add_fixture(s, "ways", ways[i], setup, teardown);
    harness_add(s, "page", an_append_lays_a_page_out_as_an_insert_does);
    harness_add(s, "page", a_page_whose_last_cell_is_out_of_bounds_takes_no_append);
    return s;
}

HARNESS_MAIN_FORK(suite)
