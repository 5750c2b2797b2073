/* SPDX-License-Identifier: MIT */
/*
 * The smaller calls of kv.h: sequences, the marker, compare and swap, sums, the latency of a
 * commit.
 */
#include "api_help.h"

#include <stdlib.h>

#include "fault_os.h"

static struct kv_env *env;

static void setup(void)
{
    env = env_new("more.db");
}

static void teardown(void)
{
    env_finish(env);
}

static void reopen(void)
{
    env_close(env);
    env = env_open(tmp_path("more.db"), 0);
}

/* ---- Sequences ---- */

static uint64_t sequence(struct kv_txn *txn, kv_table table, uint64_t add)
{
    uint64_t value;

    ck_ok(kv_sequence(txn, table, add, &value));
    return value;
}

START_TEST(a_sequence_hands_out_each_number_once)
{
    struct kv_txn *txn = txn_write(env);
    kv_table table = table_make(txn, "t");

    ck_assert_uint_eq(sequence(txn, table, 0), 0);
    ck_assert_uint_eq(sequence(txn, table, 1), 0);
    ck_assert_uint_eq(sequence(txn, table, 5), 1);
    ck_assert_uint_eq(sequence(txn, table, 1), 6);
    ck_assert_uint_eq(sequence(txn, KV_MAIN_TABLE, 3), 0);
    txn_commit(txn);
    reopen();
    txn = txn_read(env);
    ck_assert_uint_eq(sequence(txn, table_find(txn, "t"), 0), 7);
    ck_assert_uint_eq(sequence(txn, KV_MAIN_TABLE, 0), 3);
    kv_txn_abort(txn);
}
END_TEST

START_TEST(a_sequence_alone_is_a_change)
{
    struct kv_txn *txn;

    for (uint64_t i = 0; i < 3; i++) {
        txn = txn_write(env);
        ck_assert_uint_eq(sequence(txn, KV_MAIN_TABLE, 1), i);
        txn_commit(txn);
    }
    txn = txn_read(env);
    ck_assert_uint_eq(sequence(txn, KV_MAIN_TABLE, 0), 3);
    kv_txn_abort(txn);
}
END_TEST

START_TEST(an_aborted_txn_gives_its_numbers_back)
{
    struct kv_txn *txn = txn_write(env);

    ck_assert_uint_eq(sequence(txn, KV_MAIN_TABLE, 10), 0);
    kv_txn_abort(txn);
    txn = txn_write(env);
    ck_assert_uint_eq(sequence(txn, KV_MAIN_TABLE, 10), 0);
    txn_commit(txn);
}
END_TEST

START_TEST(a_nested_txn_takes_numbers_and_gives_them_back)
{
    struct kv_txn *txn = txn_write(env);
    kv_table table = table_make(txn, "t");
    struct kv_txn *child;

    (void)sequence(txn, table, 1);
    (void)sequence(txn, KV_MAIN_TABLE, 1);
    child = txn_nested(txn);
    ck_assert_uint_eq(sequence(child, table, 10), 1);
    ck_assert_uint_eq(sequence(child, KV_MAIN_TABLE, 10), 1);
    kv_txn_abort(child);
    child = txn_nested(txn);
    ck_assert_uint_eq(sequence(child, table, 2), 1);
    ck_assert_uint_eq(sequence(child, KV_MAIN_TABLE, 2), 1);
    txn_commit(child);
    ck_assert_uint_eq(sequence(txn, table, 0), 3);
    ck_assert_uint_eq(sequence(txn, KV_MAIN_TABLE, 0), 3);
    txn_commit(txn);
}
END_TEST

START_TEST(a_sequence_goes_with_its_table)
{
    struct kv_txn *txn = txn_write(env);
    kv_table table = table_make(txn, "t");

    (void)sequence(txn, table, 7);
    put(txn, table, "k", "v");
    ck_ok(kv_table_empty(txn, table));
    ck_assert_uint_eq(sequence(txn, table, 0), 7);
    ck_ok(kv_table_rename(txn, table, "u"));
    ck_assert_uint_eq(sequence(txn, table, 0), 7);
    txn_commit(txn);
    txn = txn_write(env);
    ck_assert_uint_eq(sequence(txn, table_find(txn, "u"), 0), 7);
    ck_ok(kv_table_drop(txn, table));
    ck_assert_uint_eq(sequence(txn, table_make(txn, "u"), 0), 0);
    txn_commit(txn);
}
END_TEST

START_TEST(a_sequence_does_not_wrap_around)
{
    struct kv_txn *txn = txn_write(env);
    uint64_t value = 5;

    ck_assert_uint_eq(sequence(txn, KV_MAIN_TABLE, UINT64_MAX), 0);
    ck_rc(kv_sequence(txn, KV_MAIN_TABLE, 1, &value), KV_EMISMATCH);
    ck_assert_uint_eq(value, 0);
    ck_assert_uint_eq(sequence(txn, KV_MAIN_TABLE, 0), UINT64_MAX);
    txn_commit(txn);
}
END_TEST

START_TEST(only_a_write_txn_adds_to_a_sequence)
{
    struct kv_txn *txn = txn_read(env);
    uint64_t value;

    ck_ok(kv_sequence(txn, KV_MAIN_TABLE, 0, &value));
    ck_rc(kv_sequence(txn, KV_MAIN_TABLE, 1, &value), KV_EREADONLY);
    ck_rc(kv_sequence(txn, KV_MAIN_TABLE, 0, NULL), KV_EINVAL);
    ck_rc(kv_sequence(txn, 99, 0, &value), KV_EBADTABLE);
    kv_txn_abort(txn);
}
END_TEST

/* ---- The marker ---- */

static void marker_is(struct kv_txn *txn, const char *expected)
{
    char bytes[KV_MARKER_BYTES + 1];
    char zeros[KV_MARKER_BYTES] = {0};
    size_t length = strlen(expected);

    memset(bytes, 'x', sizeof(bytes));
    ck_ok(kv_marker_get(txn, bytes));
    ck_assert_mem_eq(bytes, expected, length);
    ck_assert_mem_eq(bytes + length, zeros, KV_MARKER_BYTES - length);
    ck_assert_int_eq(bytes[KV_MARKER_BYTES], 'x');
}

static void marker_set(struct kv_txn *txn, const char *text)
{
    ck_ok(kv_marker_set(txn, text, strlen(text)));
}

START_TEST(the_marker_is_part_of_the_snapshot)
{
    struct kv_txn *before = txn_read(env);
    struct kv_txn *txn = txn_write(env);

    marker_is(txn, "");
    marker_set(txn, "position 17");
    marker_is(txn, "position 17");
    txn_commit(txn);
    marker_is(before, "");
    kv_txn_abort(before);
    put_commit(env, "later", "1");
    reopen();
    txn = txn_read(env);
    marker_is(txn, "position 17");
    kv_txn_abort(txn);
}
END_TEST

START_TEST(a_shorter_marker_leaves_nothing_of_a_longer_one)
{
    char long_one[KV_MARKER_BYTES + 1];
    struct kv_txn *txn = txn_write(env);

    memset(long_one, 'l', KV_MARKER_BYTES);
    long_one[KV_MARKER_BYTES] = '\0';
    marker_set(txn, long_one);
    marker_is(txn, long_one);
    marker_set(txn, "short");
    marker_is(txn, "short");
    ck_ok(kv_marker_set(txn, NULL, 0));
    marker_is(txn, "");
    txn_commit(txn);
}
END_TEST

START_TEST(an_aborted_marker_is_none)
{
    struct kv_txn *txn = txn_write(env);
    struct kv_txn *child;

    marker_set(txn, "outer");
    child = txn_nested(txn);
    marker_is(child, "outer");
    marker_set(child, "inner");
    kv_txn_abort(child);
    marker_is(txn, "outer");
    child = txn_nested(txn);
    marker_set(child, "inner");
    txn_commit(child);
    marker_is(txn, "inner");
    kv_txn_abort(txn);
    txn = txn_read(env);
    marker_is(txn, "");
    kv_txn_abort(txn);
}
END_TEST

START_TEST(a_marker_alone_is_a_change_and_the_same_one_again_is_none)
{
    uint64_t txnids[3];

    for (unsigned i = 0; i < 3; i++) {
        struct kv_txn *txn = txn_write(env);

        marker_set(txn, i == 0 ? "one" : "two");
        txn_commit(txn);
        txnids[i] = env_info(env).txnid_committed;
    }
    ck_assert_uint_eq(txnids[1], txnids[0] + 1);
    ck_assert_uint_eq(txnids[2], txnids[1]);
}
END_TEST

START_TEST(a_marker_set_in_a_nested_txn_alone_is_committed)
{
    struct kv_txn *txn = txn_write(env);
    struct kv_txn *child = txn_nested(txn);

    marker_set(child, "from within");
    txn_commit(child);
    txn_commit(txn);
    txn = txn_read(env);
    marker_is(txn, "from within");
    kv_txn_abort(txn);
}
END_TEST

START_TEST(wrong_markers_are_refused)
{
    uint8_t bytes[KV_MARKER_BYTES + 1] = {0};
    struct kv_txn *txn = txn_write(env);

    ck_rc(kv_marker_set(txn, bytes, sizeof(bytes)), KV_EINVAL);
    ck_rc(kv_marker_set(txn, NULL, 1), KV_EINVAL);
    ck_rc(kv_marker_get(txn, NULL), KV_EINVAL);
    ck_rc(kv_marker_set(NULL, bytes, 1), KV_EINVAL);
    kv_txn_abort(txn);
    txn = txn_read(env);
    ck_rc(kv_marker_set(txn, bytes, 1), KV_EREADONLY);
    kv_txn_abort(txn);
}
END_TEST

/* ---- Compare and swap ---- */

/* Swaps texts; NULL: none. What was there goes to *actual. */
static int swap(struct kv_txn *txn, const char *expected, const char *value, struct kv_val *actual)
{
    const struct kv_val key = text_val("k");
    const struct kv_val before = text_val(expected ? expected : "");
    const struct kv_val after = text_val(value ? value : "");

    return kv_swap(txn, KV_MAIN_TABLE, &key, expected ? &before : NULL, value ? &after : NULL,
                   actual);
}

START_TEST(a_swap_puts_only_over_what_is_expected)
{
    struct kv_txn *txn = txn_write(env);
    struct kv_val actual;

    ck_rc(swap(txn, "old", "new", &actual), KV_EMISMATCH);
    ck_assert_ptr_null(actual.data);
    lacks(txn, KV_MAIN_TABLE, "k");
    ck_ok(swap(txn, NULL, "one", &actual));
    ck_assert_ptr_null(actual.data);
    has(txn, KV_MAIN_TABLE, "k", "one");
    ck_rc(swap(txn, NULL, "two", &actual), KV_EMISMATCH);
    expect_text(&actual, "one");
    ck_rc(swap(txn, "on", "two", &actual), KV_EMISMATCH);
    ck_rc(swap(txn, "onf", "two", NULL), KV_EMISMATCH);
    has(txn, KV_MAIN_TABLE, "k", "one");
    ck_ok(swap(txn, "one", "two", &actual));
    expect_text(&actual, "one");
    has(txn, KV_MAIN_TABLE, "k", "two");
    txn_commit(txn);
}
END_TEST

START_TEST(a_swap_deletes_only_what_is_expected)
{
    struct kv_txn *txn = txn_write(env);
    struct kv_val actual;

    put(txn, KV_MAIN_TABLE, "k", "one");
    ck_rc(swap(txn, "two", NULL, &actual), KV_EMISMATCH);
    has(txn, KV_MAIN_TABLE, "k", "one");
    ck_ok(swap(txn, "one", NULL, &actual));
    expect_text(&actual, "one");
    lacks(txn, KV_MAIN_TABLE, "k");
    ck_ok(swap(txn, NULL, NULL, &actual));
    ck_assert_ptr_null(actual.data);
    txn_commit(txn);
}
END_TEST

START_TEST(an_empty_value_is_not_none)
{
    struct kv_txn *txn = txn_write(env);
    struct kv_val actual;

    put(txn, KV_MAIN_TABLE, "k", "");
    ck_rc(swap(txn, NULL, "x", &actual), KV_EMISMATCH);
    ck_assert_ptr_nonnull(actual.data);
    ck_assert_uint_eq(actual.size, 0);
    ck_ok(swap(txn, "", "x", &actual));
    ck_assert_ptr_nonnull(actual.data);
    has(txn, KV_MAIN_TABLE, "k", "x");
    txn_commit(txn);
}
END_TEST

/* Arguments of a swap may be one struct, and may point to what the call before gave. */
START_TEST(a_swap_takes_what_another_gave)
{
    const struct kv_val key = text_val("k");
    const struct kv_val other = text_val("2");
    struct kv_txn *txn = txn_write(env);
    struct kv_val value = text_val("1");

    put(txn, KV_MAIN_TABLE, "k", "1");
    for (unsigned i = 0; i < 100; i++) {
        ck_ok(kv_swap(txn, KV_MAIN_TABLE, &key, &value, i % 2 ? &value : &other, &value));
        expect_text(&value, i < 1 ? "1" : "2");
        if (i == 0)
            value = other;
    }
    txn_commit(txn);
}
END_TEST

START_TEST(large_values_are_swapped_too)
{
    const struct kv_val key = text_val("k");
    struct kv_txn *txn = txn_write(env);
    struct kv_val before = {100000, malloc(100000)};
    struct kv_val after = {200000, malloc(200000)};
    struct kv_val actual;

    fill_bytes(before.data, before.size, 1);
    fill_bytes(after.data, after.size, 2);
    ck_ok(kv_swap(txn, KV_MAIN_TABLE, &key, NULL, &before, NULL));
    ck_rc(kv_swap(txn, KV_MAIN_TABLE, &key, &after, &after, NULL), KV_EMISMATCH);
    ck_ok(kv_swap(txn, KV_MAIN_TABLE, &key, &before, &after, &actual));
    expect_val(&actual, before.data, before.size);
    has_bytes(txn, KV_MAIN_TABLE, "k", after.size, 2);
    txn_commit(txn);
    free(before.data);
    free(after.data);
}
END_TEST

START_TEST(wrong_swaps_are_refused)
{
    const struct kv_val null = {1, NULL};
    const struct kv_val name = text_val("t");
    struct kv_val value = text_val("v");
    struct kv_txn *txn = txn_write(env);

    table_make(txn, "t");
    ck_rc(kv_swap(txn, KV_MAIN_TABLE, &name, NULL, &value, NULL), KV_EINCOMPATIBLE);
    ck_rc(kv_swap(txn, KV_MAIN_TABLE, &value, &null, &value, NULL), KV_EINVAL);
    ck_rc(kv_swap(txn, KV_MAIN_TABLE, &value, NULL, &null, NULL), KV_EINVAL);
    ck_rc(kv_swap(txn, KV_MAIN_TABLE, NULL, NULL, &value, NULL), KV_EINVAL);
    kv_txn_abort(txn);
    txn = txn_read(env);
    ck_rc(kv_swap(txn, KV_MAIN_TABLE, &value, NULL, &value, NULL), KV_EREADONLY);
    kv_txn_abort(txn);
}
END_TEST

/* ---- Sums ---- */

static int64_t sum_of(struct kv_txn *txn, int64_t add)
{
    const struct kv_val key = text_val("n");
    int64_t sum;

    ck_ok(kv_add(txn, KV_MAIN_TABLE, &key, add, &sum));
    return sum;
}

START_TEST(numbers_add_up)
{
    static const uint8_t minus_two[8] = {0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF};
    const struct kv_val key = text_val("n");
    struct kv_txn *txn = txn_write(env);
    struct kv_val value;

    ck_assert_int_eq(sum_of(txn, 0), 0);
    ck_assert_int_eq(sum_of(txn, 5), 5);
    ck_assert_int_eq(sum_of(txn, -7), -2);
    ck_ok(kv_get(txn, KV_MAIN_TABLE, &key, &value));
    expect_val(&value, minus_two, sizeof(minus_two));
    txn_commit(txn);
    txn = txn_write(env);
    ck_assert_int_eq(sum_of(txn, 1), -1);
    txn_commit(txn);
}
END_TEST

START_TEST(a_sum_does_not_overflow)
{
    const struct kv_val key = text_val("n");
    struct kv_txn *txn = txn_write(env);
    int64_t sum = 3;

    ck_assert_int_eq(sum_of(txn, INT64_MAX), INT64_MAX);
    ck_rc(kv_add(txn, KV_MAIN_TABLE, &key, 1, &sum), KV_EMISMATCH);
    ck_assert_int_eq(sum, 0);
    ck_assert_int_eq(sum_of(txn, INT64_MIN), -1);
    ck_rc(kv_add(txn, KV_MAIN_TABLE, &key, INT64_MIN, &sum), KV_EMISMATCH);
    ck_assert_int_eq(sum_of(txn, 0), -1);
    txn_commit(txn);
}
END_TEST

START_TEST(only_numbers_are_added_to)
{
    const struct kv_val key = text_val("n");
    const struct kv_val name = text_val("t");
    struct kv_txn *txn = txn_write(env);
    int64_t sum;

    put(txn, KV_MAIN_TABLE, "n", "seven b");
    table_make(txn, "t");
    ck_rc(kv_add(txn, KV_MAIN_TABLE, &key, 1, &sum), KV_EINCOMPATIBLE);
    ck_rc(kv_add(txn, KV_MAIN_TABLE, &name, 1, &sum), KV_EINCOMPATIBLE);
    ck_rc(kv_add(txn, KV_MAIN_TABLE, &key, 1, NULL), KV_EINVAL);
    has(txn, KV_MAIN_TABLE, "n", "seven b");
    txn_commit(txn);
    txn = txn_read(env);
    ck_rc(kv_add(txn, KV_MAIN_TABLE, &key, 1, &sum), KV_EREADONLY);
    kv_txn_abort(txn);
}
END_TEST

/* ---- Latency ---- */

static struct kv_txn *txn_timed(enum kv_durability durability, struct kv_latency *latency)
{
    struct kv_txn_options options = {.durability = durability, .latency = latency};
    struct kv_txn *txn;

    ck_ok(kv_txn_begin(env, KV_WRITE, &options, &txn));
    return txn;
}

START_TEST(a_commit_tells_where_its_time_went)
{
    struct kv_latency latency;
    struct kv_txn *txn;
    uint64_t parts;

    memset(&latency, 0xFF, sizeof(latency));
    txn = txn_timed(KV_DURABLE, &latency);
    fill_table(txn, KV_MAIN_TABLE, "k", 2000, 100);
    txn_commit(txn);
    ck_assert_uint_gt(latency.copy_ns, 0);
    ck_assert_uint_gt(latency.space_ns, 0);
    ck_assert_uint_gt(latency.write_ns, 0);
    ck_assert_uint_gt(latency.flush_ns, 0);
    parts = latency.copy_ns + latency.space_ns + latency.write_ns + latency.flush_ns;
    ck_assert_uint_ge(latency.total_ns, parts);
    ck_assert_uint_lt(latency.total_ns, (uint64_t)600 * 1000000000);
    ck_assert_uint_lt(latency.wait_ns, (uint64_t)600 * 1000000000);
}
END_TEST

START_TEST(early_writes_count_and_an_empty_commit_costs_little)
{
    struct kv_txn_options timed = {.parent = NULL};
    struct kv_options options = KV_OPTIONS_INIT;
    struct kv_latency latency = {0};
    struct kv_env *small;
    struct kv_txn *txn;

    options.flags = KV_CREATE;
    options.dirty_budget_bytes = 1;
    options.durability = KV_NONE;
    small = env_open_with(tmp_path("small.db"), &options);
    timed.latency = &latency;
    ck_ok(kv_txn_begin(small, KV_WRITE, &timed, &txn));
    fill_table(txn, KV_MAIN_TABLE, "k", 20000, 100);
    txn_commit(txn);
    ck_assert_uint_gt(latency.write_ns, 0);
    ck_ok(kv_txn_begin(small, KV_WRITE, &timed, &txn));
    txn_commit(txn);
    ck_assert_uint_eq(latency.write_ns, 0);
    ck_assert_uint_eq(latency.flush_ns, 0);
    env_close(small);
}
END_TEST

/* A count of the clock's readings, through a table of system calls. */
static struct kvi_os counting;
static unsigned clock_readings;

static uint64_t read_clock(void)
{
    clock_readings++;
    return kvi_os_real.monotonic_ns();
}

static unsigned readings_of_commit(struct kv_latency *latency)
{
    struct kv_txn *txn = txn_timed(KV_NONE, latency);

    fill_table(txn, KV_MAIN_TABLE, "k", 100, 100);
    counting = kvi_os_real;
    counting.monotonic_ns = read_clock;
    clock_readings = 0;
    kvi_os = &counting;
    txn_commit(txn);
    kvi_os = &kvi_os_real;
    return clock_readings;
}

START_TEST(who_does_not_ask_for_latency_does_not_pay_for_it)
{
    struct kv_latency latency;

    put_commit(env, "first", "is durable, and asks when");
    (void)readings_of_commit(NULL);
    ck_assert_uint_eq(readings_of_commit(NULL), 0);
    ck_assert_uint_gt(readings_of_commit(&latency), 5);
}
END_TEST

START_TEST(a_nested_commit_tells_its_whole_time)
{
    struct kv_latency outer = {0};
    struct kv_latency inner = {0};
    struct kv_txn *txn = txn_timed(KV_NONE, &outer);
    struct kv_txn_options options = {.parent = txn, .latency = &inner};
    struct kv_txn *child;

    ck_ok(kv_txn_begin(env, KV_WRITE, &options, &child));
    fill_table(child, KV_MAIN_TABLE, "k", 100, 100);
    txn_commit(child);
    ck_assert_uint_gt(inner.total_ns, 0);
    ck_assert_uint_eq(inner.write_ns, 0);
    ck_assert_uint_eq(outer.total_ns, 0);
    txn_commit(txn);
    ck_assert_uint_gt(outer.total_ns, 0);
    ck_assert_uint_gt(outer.write_ns, 0);
}
END_TEST

static void add_numbers(Suite *s)
{
    harness_add_fixture(s, "sequence", a_sequence_hands_out_each_number_once, setup, teardown);
    harness_add_fixture(s, "sequence", a_sequence_alone_is_a_change, setup, teardown);
    harness_add_fixture(s, "sequence", an_aborted_txn_gives_its_numbers_back, setup, teardown);
    harness_add_fixture(s, "sequence", a_nested_txn_takes_numbers_and_gives_them_back, setup,
                        teardown);
    harness_add_fixture(s, "sequence", a_sequence_goes_with_its_table, setup, teardown);
    harness_add_fixture(s, "sequence", a_sequence_does_not_wrap_around, setup, teardown);
    harness_add_fixture(s, "sequence", only_a_write_txn_adds_to_a_sequence, setup, teardown);
    harness_add_fixture(s, "add", numbers_add_up, setup, teardown);
    harness_add_fixture(s, "add", a_sum_does_not_overflow, setup, teardown);
    harness_add_fixture(s, "add", only_numbers_are_added_to, setup, teardown);
}

static void add_marker(Suite *s)
{
    harness_add_fixture(s, "marker", the_marker_is_part_of_the_snapshot, setup, teardown);
    harness_add_fixture(s, "marker", a_shorter_marker_leaves_nothing_of_a_longer_one, setup,
                        teardown);
    harness_add_fixture(s, "marker", an_aborted_marker_is_none, setup, teardown);
    harness_add_fixture(s, "marker", a_marker_alone_is_a_change_and_the_same_one_again_is_none,
                        setup, teardown);
    harness_add_fixture(s, "marker", a_marker_set_in_a_nested_txn_alone_is_committed, setup,
                        teardown);
    harness_add_fixture(s, "marker", wrong_markers_are_refused, setup, teardown);
}

static Suite *suite(void)
{
    Suite *s = suite_create("more");

    add_numbers(s);
    add_marker(s);
    harness_add_fixture(s, "swap", a_swap_puts_only_over_what_is_expected, setup, teardown);
    harness_add_fixture(s, "swap", a_swap_deletes_only_what_is_expected, setup, teardown);
    harness_add_fixture(s, "swap", an_empty_value_is_not_none, setup, teardown);
    harness_add_fixture(s, "swap", a_swap_takes_what_another_gave, setup, teardown);
    harness_add_fixture(s, "swap", large_values_are_swapped_too, setup, teardown);
    harness_add_fixture(s, "swap", wrong_swaps_are_refused, setup, teardown);
    harness_add_fixture(s, "latency", a_commit_tells_where_its_time_went, setup, teardown);
    harness_add_fixture(s, "latency", early_writes_count_and_an_empty_commit_costs_little, setup,
                        teardown);
    harness_add_fixture(s, "latency", who_does_not_ask_for_latency_does_not_pay_for_it, setup,
                        teardown);
    harness_add_fixture(s, "latency", a_nested_commit_tells_its_whole_time, setup, teardown);
    return s;
}

HARNESS_MAIN(suite)
