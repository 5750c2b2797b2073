/* SPDX-License-Identifier: MIT */
/*
 * Bulk builds: what stands in the table in the end is what kv_put would have made of the same
 * records, whatever their order, the table's kind and what it held before; sorted input fills its
 * pages; and nothing else can be done in the txn meanwhile.
 */
#include "api_help.h"
#include "kinds_help.h"

#include <errno.h>
#include <stdlib.h>

#include "fault_os.h"

static struct kv_env *env;
static struct kv_txn *txn;

static void open_env(uint32_t page_size, uint64_t budget_pages)
{
    struct kv_options options = KV_OPTIONS_INIT;

    options.flags = KV_CREATE;
    options.durability = KV_LAZY;
    options.page_size = page_size;
    options.dirty_budget_bytes = budget_pages * page_size;
    env = env_open_with(tmp_path("bulk.db"), &options);
    kinds_register(env);
    txn = txn_write(env);
}

static void setup(void)
{
    open_env(4096, 0);
}

static void teardown(void)
{
    kv_txn_abort(txn);
    txn = NULL;
    env_finish(env);
}

static void commit_and_go_on(void)
{
    txn_commit(txn);
    env_sound(env);
    txn = txn_write(env);
}

/* ---- Verbs ---- */

static struct kv_bulk *begin(kv_table table, uint32_t fill)
{
    struct kv_bulk *bulk;

    ck_ok(kv_bulk_begin(txn, table, fill, &bulk));
    return bulk;
}

static int try_bulk_put(struct kv_bulk *bulk, const char *key, const char *value, uint32_t flags)
{
    struct kv_val k = text_val(key), v = text_val(value);

    return kv_bulk_put(bulk, &k, &v, flags);
}

/* Records "<prefix>NNNNNN" with values of that size. */
static void bulk_numbers(kv_table table, const char *prefix, unsigned from, unsigned end,
                         size_t value_bytes, uint32_t fill)
{
    struct kv_bulk *bulk = begin(table, fill);
    uint8_t *data = malloc(value_bytes + 1);

    for (unsigned i = from; i < end; i++) {
        char text[96];
        struct kv_val key, value = bytes_val(data, value_bytes);

        snprintf(text, sizeof(text), "%s%06u", prefix, i);
        key = text_val(text);
        fill_bytes(data, value_bytes, i);
        if (kv_bulk_put(bulk, &key, &value, 0))
            ck_abort_msg("put %u: %s", i, kv_error_text());
    }
    free(data);
    ck_ok(kv_bulk_end(bulk));
}

static void check_numbers(kv_table table, const char *prefix, unsigned from, unsigned end,
                          size_t value_bytes)
{
    for (unsigned i = from; i < end; i++) {
        char text[96];

        snprintf(text, sizeof(text), "%s%06u", prefix, i);
        has_bytes(txn, table, text, value_bytes, i);
    }
}

/* ---- Sorted input ---- */

START_TEST(sorted_records_fill_their_pages)
{
    struct kv_table_stat stat;

    bulk_numbers(0, "k", 0, 20000, 100, 0);
    stat = table_stat(txn, 0);
    ck_assert_uint_eq(stat.entries, 20000);
    /* 34 cells of 111 bytes with their slots, and a prefix, in each */
    ck_assert_uint_le(stat.pages_leaf, 20000 / 34 + 2);
    check_numbers(0, "k", 0, 20000, 100);
    commit_and_go_on();
    check_numbers(0, "k", 0, 20000, 100);
}
END_TEST

START_TEST(fill_leaves_room_in_each_page)
{
    static const uint32_t fills[3] = {100, 75, 50};
    uint64_t pages[3];

    for (int i = 0; i < 3; i++) {
        char name[8];
        kv_table table;

        snprintf(name, sizeof(name), "t%d", i);
        table = table_make(txn, name);
        bulk_numbers(table, "k", 0, 20000, 30, fills[i]);
        pages[i] = table_stat(txn, table).pages_leaf;
    }
    ck_assert_uint_ge(pages[1] * 76, pages[0] * 100);
    ck_assert_uint_le(pages[1] * 72, pages[0] * 100);
    ck_assert_uint_ge(pages[2] * 51, pages[0] * 100);
    ck_assert_uint_le(pages[2] * 48, pages[0] * 100);
}
END_TEST

START_TEST(few_records_make_one_leaf)
{
    struct kv_table_stat stat;

    bulk_numbers(0, "k", 0, 1, 10, 0);
    stat = table_stat(txn, 0);
    ck_assert_uint_eq(stat.depth, 1);
    ck_assert_uint_eq(stat.entries, 1);
    bulk_numbers(0, "k", 1, 5, 10, 50);
    stat = table_stat(txn, 0);
    ck_assert_uint_eq(stat.pages_leaf, 1);
    ck_assert_uint_eq(stat.entries, 5);
    check_numbers(0, "k", 0, 5, 10);
}
END_TEST

START_TEST(no_record_changes_nothing)
{
    bulk_numbers(0, "k", 0, 0, 10, 0);
    ck_assert_uint_eq(table_stat(txn, 0).depth, 0);
    bulk_numbers(0, "k", 0, 1000, 10, 0);
    commit_and_go_on();
    bulk_numbers(0, "k", 0, 0, 10, 0);
    check_numbers(0, "k", 0, 1000, 10);
}
END_TEST

/* Any number of records, so that the last pages of each level are filled to any extent. */
START_TEST(the_last_pages_are_evened_out)
{
    for (unsigned count = 1; count < 700; count += count < 60 ? 1 : 13) {
        bulk_numbers(0, "a key whose separators are long, since they share so much ", 0, count, 300,
                     0);
        if (count % 3 == 0)
            commit_and_go_on();
        check_numbers(0, "a key whose separators are long, since they share so much ", 0, count,
                      300);
        ck_ok(kv_table_empty(txn, 0));
    }
}
END_TEST

START_TEST(long_values_get_runs)
{
    static const size_t sizes[] = {1900, 2100, 5000, 50000, 100000, 3000000};
    struct kv_bulk *bulk = begin(0, 0);
    uint8_t *data = malloc(3000000);

    for (unsigned i = 0; i < 60; i++) {
        char text[16];
        struct kv_val key, value = bytes_val(data, sizes[i % 6] + i);

        if (i % 6 == 5)
            value.size -= 100;
        snprintf(text, sizeof(text), "%06u", i);
        key = text_val(text);
        fill_bytes(data, value.size, i);
        ck_ok(kv_bulk_put(bulk, &key, &value, 0));
    }
    free(data);
    ck_ok(kv_bulk_end(bulk));
    for (int round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 60; i++) {
            char text[16];

            snprintf(text, sizeof(text), "%06u", i);
            has_bytes(txn, 0, text, sizes[i % 6] + i - (i % 6 == 5 ? 100 : 0), i);
        }
        commit_and_go_on();
    }
}
END_TEST

/* ---- Joining ---- */

START_TEST(a_table_that_holds_records_goes_on_from_its_end)
{
    for (unsigned i = 0; i < 30; i++) {
        unsigned from = i * i * 13;

        bulk_numbers(0, "k", from, (i + 1) * (i + 1) * 13, 60, 0);
        if (i % 3 == 0)
            commit_and_go_on();
        if (i % 4 == 1)
            put(txn, 0, "a", "something else");
        ck_assert_uint_eq(table_stat(txn, 0).entries, (i + 1) * (i + 1) * 13 + (i > 0));
    }
    check_numbers(0, "k", 0, 30 * 30 * 13, 60);
    has(txn, 0, "a", "something else");
}
END_TEST

START_TEST(joining_leaves_full_pages)
{
    for (unsigned i = 0; i < 200; i++)
        bulk_numbers(0, "k", i * 100, i * 100 + 100, 100, 0);
    /* now and then the last page was evened out with the one before */
    ck_assert_uint_le(table_stat(txn, 0).pages_leaf, 20000 / 34 * 103 / 100);
    check_numbers(0, "k", 0, 20000, 100);
}
END_TEST

START_TEST(arguments_may_point_into_the_last_page)
{
    struct kv_bulk *bulk;
    struct kv_val key = text_val("b"), value;

    put(txn, 0, "a", "the value of a");
    put(txn, 0, "b", "the value of b");
    for (int round = 0; round < 2; round++) {
        struct kv_val next = text_val(round ? "d" : "c");

        ck_ok(kv_get(txn, 0, &key, &value));
        bulk = begin(0, 0);
        ck_ok(kv_bulk_put(bulk, &next, &value, 0));
        ck_ok(kv_bulk_put(bulk, &next, &next, KV_NOOVERWRITE) == KV_EEXIST ? 0 : 1);
        ck_ok(kv_bulk_end(bulk));
        commit_and_go_on();
    }
    has(txn, 0, "c", "the value of b");
    has(txn, 0, "d", "the value of b");
    ck_ok(kv_get(txn, 0, &key, &value));
    bulk = begin(0, 0);
    ck_ok(kv_bulk_put(bulk, &value, &value, 0)); /* "the value of b", above all */
    ck_ok(kv_bulk_end(bulk));
    has(txn, 0, "the value of b", "the value of b");
}
END_TEST

/* ---- Others ---- */

START_TEST(records_out_of_order_are_put_all_the_same)
{
    struct kv_bulk *bulk = begin(0, 0);

    ck_ok(try_bulk_put(bulk, "m", "1", 0));
    ck_ok(try_bulk_put(bulk, "p", "2", 0));
    ck_ok(try_bulk_put(bulk, "c", "3", 0));
    ck_ok(try_bulk_put(bulk, "p", "4", 0));
    ck_rc(try_bulk_put(bulk, "m", "5", KV_NOOVERWRITE), KV_EEXIST);
    ck_rc(try_bulk_put(bulk, "p", "5", KV_NOOVERWRITE), KV_EEXIST);
    ck_ok(try_bulk_put(bulk, "q", "6", KV_NOOVERWRITE));
    ck_rc(try_bulk_put(bulk, "q", "7", KV_NOOVERWRITE), KV_EEXIST);
    ck_ok(try_bulk_put(bulk, "q", "8", 0));
    ck_ok(kv_bulk_end(bulk));
    has(txn, 0, "c", "3");
    has(txn, 0, "m", "1");
    has(txn, 0, "p", "4");
    has(txn, 0, "q", "8");
    ck_assert_uint_eq(table_stat(txn, 0).entries, 4);
}
END_TEST

/* After a record out of order sorted ones are appended, and soon laid out again. */
START_TEST(sorted_input_that_goes_on_fills_pages_again)
{
    struct kv_bulk *bulk = begin(0, 0);
    uint8_t data[100] = {0};

    for (unsigned i = 0; i < 20000; i++) {
        char text[16];
        struct kv_val key, value = bytes_val(data, sizeof(data));

        snprintf(text, sizeof(text), "k%06u", i % 1000 == 999 ? 500000 - i : i);
        if (i % 1000 == 999)
            text[0] = 'a';
        key = text_val(text);
        ck_ok(kv_bulk_put(bulk, &key, &value, 0));
    }
    ck_ok(kv_bulk_end(bulk));
    ck_assert_uint_eq(table_stat(txn, 0).entries, 20000);
    ck_assert_uint_le(table_stat(txn, 0).pages_leaf, 20000 / 34 + 10);
}
END_TEST

/* ---- Misuse ---- */

START_TEST(nothing_else_uses_the_txn_meanwhile)
{
    struct kv_txn_options nested = {.parent = txn};
    struct kv_cursor *cursor;
    struct kv_bulk *bulk, *second;
    struct kv_txn *child;
    kv_table table;

    put(txn, 0, "a", "1");
    ck_ok(kv_cursor_open(txn, 0, &cursor));
    bulk = begin(0, 0);
    ck_rc(try_put(txn, 0, "b", "2", 0), KV_EBADTXN);
    ck_rc(try_get(txn, 0, "a"), KV_EBADTXN);
    ck_rc(kv_bulk_begin(txn, 0, 0, &second), KV_EBADTXN);
    ck_assert_ptr_null(second);
    ck_rc(kv_txn_begin(env, KV_WRITE, &nested, &child), KV_EBADTXN);
    ck_rc(kv_table_open(txn, "t", KV_CREATE, NULL, &table), KV_EBADTXN);
    ck_rc(kv_cursor_get(cursor, KV_FIRST, NULL, NULL), KV_EBADTXN);
    ck_ok(try_bulk_put(bulk, "c", "3", 0));
    ck_ok(kv_bulk_end(bulk));
    ck_ok(kv_cursor_get(cursor, KV_FIRST, NULL, NULL));
    has(txn, 0, "a", "1");
    has(txn, 0, "c", "3");
}
END_TEST

START_TEST(misuse_is_told)
{
    static char bytes[5000];
    struct kv_bulk *bulk = NULL;
    struct kv_val key = text_val("k"), long_key = bytes_val(bytes, sizeof(bytes));
    struct kv_txn *reader;

    ck_rc(kv_bulk_begin(txn, 0, 49, &bulk), KV_EINVAL);
    ck_rc(kv_bulk_begin(txn, 0, 101, &bulk), KV_EINVAL);
    ck_rc(kv_bulk_begin(txn, 0, 0, NULL), KV_EINVAL);
    ck_rc(kv_bulk_begin(NULL, 0, 0, &bulk), KV_EINVAL);
    ck_rc(kv_bulk_begin(txn, 99, 0, &bulk), KV_EBADTABLE);
    reader = txn_read(env);
    ck_rc(kv_bulk_begin(reader, 0, 0, &bulk), KV_EREADONLY);
    kv_txn_abort(reader);
    ck_assert_ptr_null(bulk);
    ck_rc(kv_bulk_put(NULL, &key, &key, 0), KV_EINVAL);
    ck_rc(kv_bulk_end(NULL), KV_EINVAL);
    bulk = begin(0, 0);
    ck_rc(kv_bulk_put(bulk, &key, &key, KV_APPEND), KV_EINVAL);
    ck_rc(kv_bulk_put(bulk, NULL, &key, 0), KV_EINVAL);
    ck_rc(kv_bulk_put(bulk, &key, NULL, 0), KV_EINVAL);
    ck_rc(kv_bulk_put(bulk, &long_key, &key, 0), KV_EKEYSIZE);
    ck_ok(kv_bulk_put(bulk, &key, &key, 0));
    ck_ok(kv_bulk_end(bulk));
    has(txn, 0, "k", "k");
}
END_TEST

START_TEST(a_name_of_a_table_is_not_overwritten)
{
    struct kv_bulk *bulk;

    put(txn, table_make(txn, "table"), "k", "v");
    for (int i = 0; i < 2; i++) {
        bulk = begin(0, 0);
        ck_rc(try_bulk_put(bulk, "table", "1", 0), KV_EINCOMPATIBLE);
        ck_ok(try_bulk_put(bulk, i ? "zz" : "z", "2", 0));
        ck_rc(try_bulk_put(bulk, "table", "1", 0), KV_EINCOMPATIBLE);
        ck_ok(kv_bulk_end(bulk));
        commit_and_go_on();
    }
    has(txn, table_find(txn, "table"), "k", "v");
    has(txn, 0, "z", "2");
}
END_TEST

/* ---- Ends ---- */

START_TEST(an_abort_in_the_middle_leaves_no_trace)
{
    struct kv_bulk *bulk;
    uint64_t before;

    bulk_numbers(0, "k", 0, 3000, 60, 0);
    commit_and_go_on();
    before = table_digest(txn, 0, NULL);
    bulk = begin(0, 0);
    for (unsigned i = 0; i < 5000; i++) {
        char text[16];

        snprintf(text, sizeof(text), "z%06u", i);
        ck_ok(try_bulk_put(bulk, text, "some value", 0));
    }
    kv_txn_abort(txn);
    env_sound(env);
    txn = txn_write(env);
    ck_assert_uint_eq(table_digest(txn, 0, NULL), before);
}
END_TEST

START_TEST(a_commit_in_the_middle_is_refused_and_aborts)
{
    struct kv_bulk *bulk = begin(0, 0);

    ck_ok(try_bulk_put(bulk, "k", "v", 0));
    ck_rc(kv_txn_commit(txn), KV_EBADTXN);
    txn = txn_write(env);
    lacks(txn, 0, "k");
}
END_TEST

START_TEST(nested_builds_count_when_they_commit)
{
    struct kv_txn *top = txn;

    bulk_numbers(0, "k", 0, 3000, 60, 0);
    for (unsigned i = 0; i < 4; i++) {
        struct kv_bulk *bulk;

        txn = txn_nested(top);
        bulk_numbers(0, "k", 3000 + i * 3000, 6000 + i * 3000, 60, 0);
        if (i % 2 == 0) {
            txn_commit(txn);
        } else {
            bulk = begin(0, 0);
            ck_ok(try_bulk_put(bulk, "z", "v", 0));
            kv_txn_abort(txn);
        }
        txn = top;
        if (i % 2)
            bulk_numbers(0, "k", 3000 + i * 3000, 6000 + i * 3000, 60, 0);
    }
    check_numbers(0, "k", 0, 15000, 60);
    lacks(txn, 0, "z");
    commit_and_go_on();
    check_numbers(0, "k", 0, 15000, 60);
}
END_TEST

/* A build of many times the budget. */
START_TEST(a_build_needs_no_memory_for_its_pages)
{
    kv_txn_abort(txn);
    env_close(env);
    tmp_clear();
    open_env(4096, 16);
    bulk_numbers(0, "k", 0, (unsigned)scaled(60000), 100, 0);
    put(txn, 0, "a", "1");
    commit_and_go_on();
    check_numbers(0, "k", 0, (unsigned)scaled(60000), 100);
}
END_TEST

/* Every write of a build fails once: the txn is lost, the database is not. */
START_TEST(a_write_that_fails_ends_the_txn)
{
    uint64_t failures = 0;
    bool done = false;

    bulk_numbers(0, "k", 0, 1000, 60, 0);
    txn_commit(txn);
    fault_install();
    for (uint64_t n = 1; !done; n += 1 + n / 4) {
        struct kv_bulk *bulk;
        int rc = 0;

        txn = txn_write(env);
        bulk = begin(0, 0);
        fault_arm(FAULT_WRITES, n, ENOSPC);
        for (unsigned i = 0; i < 8000 && !rc; i++) {
            char text[16];

            snprintf(text, sizeof(text), "z%06u", i);
            rc = try_bulk_put(bulk, text, "a value of some length, to fill pages", 0);
            if (!rc && i == 4000)
                rc = try_bulk_put(bulk, "a", "out of order", 0);
        }
        if (rc) {
            ck_rc(try_bulk_put(bulk, "zz", "", 0), KV_EBADTXN);
            ck_rc(kv_bulk_end(bulk), KV_EBADTXN);
        } else {
            rc = kv_bulk_end(bulk);
        }
        done = !fault_fired();
        fault_arm(FAULT_WRITES, 0, 0);
        ck_rc(rc, done ? 0 : ENOSPC);
        ck_rc(try_get(txn, 0, "k000000"), done ? 0 : KV_EBADTXN);
        kv_txn_abort(txn);
        failures += !done;
        env_sound(env);
    }
    fault_remove();
    ck_assert_uint_gt(failures, 1);
    txn = txn_write(env);
    check_numbers(0, "k", 0, 1000, 60);
}
END_TEST

/* ---- Every pattern, every kind ---- */

enum pattern {
    ASCENDING,
    DESCENDING,
    SHUFFLED,
    BLOCKS,      /* ascending blocks in any order */
    FEW_STRAYS,  /* ascending but for one in a hundred */
    INTERLEAVED, /* two ascending streams in turn */
    REPEATED,    /* each record twice, with another value where there is one value */
    SORTED_SHUFFLED_SORTED,
    PATTERNS
};

static void swap(struct records *r, size_t i, size_t j)
{
    struct kv_record held = r->at[i];

    r->at[i] = r->at[j];
    r->at[j] = held;
}

static void shuffle(struct records *r, size_t from, size_t end, struct rng *rng)
{
    for (size_t i = end; i > from + 1; i--)
        swap(r, i - 1, from + rng_below(rng, i - from));
}

static void interleave(struct records *r)
{
    struct kv_record *to = malloc((r->count + 1) * sizeof(*to));
    size_t half = r->count / 2;

    for (size_t i = 0; i < r->count; i++)
        to[i] = i % 2 && i / 2 < half ? r->at[i / 2] : r->at[half + (i + 1) / 2 - (i % 2)];
    for (size_t i = 0; i < half; i++) {
        to[2 * i] = r->at[i];
        to[2 * i + 1] = r->at[half + i];
    }
    if (r->count % 2)
        to[r->count - 1] = r->at[r->count - 1];
    memcpy(r->at, to, r->count * sizeof(*to));
    free(to);
}

/* From sorted to the pattern. */
static void arrange(struct records *r, enum pattern pattern, struct rng *rng)
{
    size_t count = r->count;

    if (pattern == DESCENDING)
        for (size_t i = 0; i < count / 2; i++)
            swap(r, i, count - 1 - i);
    if (pattern == SHUFFLED)
        shuffle(r, 0, count, rng);
    if (pattern == BLOCKS)
        for (size_t i = 0; i + 400 <= count; i += 200 + rng_below(rng, 200))
            for (size_t j = 0; j < 100; j++)
                swap(r, i + j, i + 100 + j);
    if (pattern == FEW_STRAYS)
        for (size_t i = 0; i < count / 100; i++)
            swap(r, rng_below(rng, count), rng_below(rng, count));
    if (pattern == INTERLEAVED)
        interleave(r);
    if (pattern == SORTED_SHUFFLED_SORTED)
        shuffle(r, count / 3, count * 2 / 3, rng);
}

/* Puts a record both ways: the results are the same. */
static void put_both(struct kv_bulk *bulk, struct kv_txn *model, kv_table table,
                     const struct kv_record *record, const struct kv_val *value, uint32_t flags)
{
    struct kv_val copy = *value;
    int rc = kv_bulk_put(bulk, &record->key, value, flags);
    int expected = kv_put(model, table, &record->key, &copy, flags);

    if (rc != expected)
        ck_abort_msg("bulk put says %d (%s), put %d", rc, kv_error_text(), expected);
}

/* Builds by the pattern and compares with a table in another env that is filled by kv_put. */
static void build(struct kv_txn *model, struct records *records, kv_table table, kv_table filled,
                  enum pattern pattern, uint32_t fill, struct rng *rng)
{
    struct kv_bulk *bulk = begin(table, fill);

    for (size_t i = 0; i < records->count; i++) {
        const struct kv_record *record = &records->at[i];
        uint32_t flags = rng_chance(rng, 3) ? KV_NOOVERWRITE : 0;

        put_both(bulk, model, filled, record, &record->value, flags);
        if (pattern == REPEATED)
            put_both(bulk, model, filled, record,
                     rng_chance(rng, 50) ? &record->value
                                         : &records->at[rng_below(rng, records->count)].value,
                     flags);
    }
    ck_ok(kv_bulk_end(bulk));
}

static void same_records(kv_table table, struct kv_txn *other, kv_table filled)
{
    struct records a = records_read(txn, table), b = records_read(other, filled);

    ck_assert_uint_eq(a.count, b.count);
    for (size_t i = 0; i < a.count; i++) {
        const struct kv_record *x = &a.at[i], *y = &b.at[i];

        if (x->key.size != y->key.size || x->value.size != y->value.size ||
            memcmp(x->key.data, y->key.data, x->key.size) ||
            memcmp(x->value.data, y->value.data, x->value.size))
            ck_abort_msg("record %zu of %zu differs", i, a.count);
    }
    records_release(&a);
    records_release(&b);
}

static void any_order(unsigned kind, uint32_t page_size, uint64_t budget_pages, size_t count,
                      struct rng *rng)
{
    struct kv_options options = KV_OPTIONS_INIT;
    struct kv_env *model_env;
    struct kv_txn *model;

    kv_txn_abort(txn);
    env_close(env);
    tmp_clear();
    open_env(page_size, budget_pages);
    options.flags = KV_CREATE | KV_MEMORY;
    options.page_size = page_size;
    ck_ok(kv_env_open(NULL, &options, &model_env));
    kinds_register(model_env);
    for (unsigned pattern = 0; pattern < PATTERNS; pattern++) {
        struct records records, sorted;
        kv_table table, filled, all;

        model = txn_write(model_env);
        table = kind_make(txn, kind, "built");
        filled = kind_make(model, kind, "filled");
        all = kind_make(model, kind, "all");
        records = records_random(kind, count, env_info(env).max_pair_bytes, rng);
        for (size_t i = 0; i < records.count; i++)
            ck_ok(kv_put(model, all, &records.at[i].key, &records.at[i].value, 0));
        sorted = records_read(model, all);
        for (size_t i = 0; pattern % 2 && i < sorted.count / 4; i++) { /* not into an empty one */
            struct kv_record *record = &sorted.at[rng_below(rng, sorted.count / 2)];

            ck_ok(kv_put(txn, table, &record->key, &record->value, 0));
            ck_ok(kv_put(model, filled, &record->key, &record->value, 0));
        }
        arrange(&sorted, (enum pattern)pattern, rng);
        build(model, &sorted, table, filled, (enum pattern)pattern,
              rng_chance(rng, 50) ? 0 : 50 + (uint32_t)rng_below(rng, 51), rng);
        same_records(table, model, filled);
        ck_assert_uint_eq(table_stat(txn, table).entries, table_stat(model, filled).entries);
        ck_assert_uint_eq(table_stat(txn, table).keys, table_stat(model, filled).keys);
        commit_and_go_on();

        same_records(table, model, filled);
        ck_ok(kv_table_drop(txn, table));
        kv_txn_abort(model);
        records_release(&records);
        records_release(&sorted);
    }
    env_close(model_env);
}

START_TEST(any_order_of_records_builds_what_puts_would)
{
    struct rng rng;

    rng_seed(&rng, kinds[_i].name, 4000 + (uint64_t)_i);
    any_order((unsigned)_i, 4096, 0, scaled(3000), &rng);
}
END_TEST

START_TEST(large_pages_and_small_budgets_do_as_well)
{
    struct rng rng;

    rng_seed(&rng, kinds[_i].name, 5000 + (uint64_t)_i);
    any_order((unsigned)_i, _i % 2 ? 65536 : 8192, 16, scaled(4000), &rng);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("bulk");

    harness_add_fixture(s, "sorted", sorted_records_fill_their_pages, setup, teardown);
    harness_add_fixture(s, "sorted", fill_leaves_room_in_each_page, setup, teardown);
    harness_add_fixture(s, "sorted", few_records_make_one_leaf, setup, teardown);
    harness_add_fixture(s, "sorted", no_record_changes_nothing, setup, teardown);
    harness_add_fixture(s, "sorted", the_last_pages_are_evened_out, setup, teardown);
    harness_add_fixture(s, "sorted", long_values_get_runs, setup, teardown);
    harness_add_fixture(s, "joins", a_table_that_holds_records_goes_on_from_its_end, setup,
                        teardown);
    harness_add_fixture(s, "joins", joining_leaves_full_pages, setup, teardown);
    harness_add_fixture(s, "joins", arguments_may_point_into_the_last_page, setup, teardown);
    harness_add_fixture(s, "others", records_out_of_order_are_put_all_the_same, setup, teardown);
    harness_add_fixture(s, "others", sorted_input_that_goes_on_fills_pages_again, setup, teardown);
    harness_add_fixture(s, "misuse", nothing_else_uses_the_txn_meanwhile, setup, teardown);
    harness_add_fixture(s, "misuse", misuse_is_told, setup, teardown);
    harness_add_fixture(s, "misuse", a_name_of_a_table_is_not_overwritten, setup, teardown);
    harness_add_fixture(s, "ends", an_abort_in_the_middle_leaves_no_trace, setup, teardown);
    harness_add_fixture(s, "ends", a_commit_in_the_middle_is_refused_and_aborts, setup, teardown);
    harness_add_fixture(s, "ends", nested_builds_count_when_they_commit, setup, teardown);
    harness_add_fixture(s, "ends", a_build_needs_no_memory_for_its_pages, setup, teardown);
    harness_add_fixture(s, "ends", a_write_that_fails_ends_the_txn, setup, teardown);
    harness_add_fixture(s, "any", few_records_make_one_leaf, setup, teardown);
    harness_add_loop(s, "any", any_order_of_records_builds_what_puts_would, 0, KINDS);
    harness_add_loop(s, "any", large_pages_and_small_budgets_do_as_well, 0, KINDS);
    return s;
}

HARNESS_MAIN(suite)
