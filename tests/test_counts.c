/* SPDX-License-Identifier: MIT */
/* kv_count and kv_rank: exact in tables that count, estimated in others, and what is refused. */
#include <stdlib.h>
#include <string.h>

#include "api_help.h"
#include "harness.h"

#define KEY_ROOM 264u

static struct kv_env *env;
static struct kv_txn *txn;

/* Long keys, of which eight at a time begin alike: their separators are long, branches hold few and
 * the tree is deep. */
static bool long_keys;

static struct kv_val long_val(uint64_t number, uint8_t bytes[KEY_ROOM])
{
    memset(bytes, 'x', KEY_ROOM);
    for (int i = 0; i < 7; i++) {
        bytes[i] = (uint8_t)(number >> 3 >> (48 - 8 * i));
    }
    bytes[KEY_ROOM - 1] = (uint8_t)(number & 7);
    return bytes_val(bytes, KEY_ROOM);
}

static void open_env(void)
{
    struct kv_options options = KV_OPTIONS_INIT;

    long_keys = false;
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

static kv_table make(const char *name, uint32_t flags)
{
    struct kv_table_options options = KV_TABLE_OPTIONS_INIT;
    kv_table table;

    options.flags = flags;
    ck_ok(kv_table_open(txn, name, KV_CREATE, &options, &table));
    return table;
}

/* Big-endian, so that number order is byte order. */
static struct kv_val number_val(uint64_t number, uint8_t bytes[KEY_ROOM])
{
    if (long_keys) {
        return long_val(number, bytes);
    }
    for (int i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)(number >> (56 - 8 * i));
    }
    return bytes_val(bytes, 8);
}

static void put_number(kv_table table, uint64_t number, const char *text)
{
    struct kv_val value = text_val(text);
    struct kv_val key;
    uint8_t bytes[KEY_ROOM];

    key = number_val(number, bytes);
    ck_ok(kv_put(txn, table, &key, &value, 0));
}

static uint64_t count_between(kv_table table, uint64_t from, uint64_t to, uint32_t flags)
{
    uint8_t low[KEY_ROOM], high[KEY_ROOM];
    struct kv_val from_val = number_val(from, low), to_val = number_val(to, high);
    struct kv_range range = {&from_val, &to_val, NULL, 0};
    uint64_t count;

    ck_ok(kv_count(txn, table, &range, flags, &count));
    return count;
}

static uint64_t rank_of(kv_table table, const char *key, const char *value, uint32_t flags)
{
    struct kv_val key_val = text_val(key), value_val = text_val(value ? value : "");
    uint64_t rank;

    ck_ok(kv_rank(txn, table, &key_val, value ? &value_val : NULL, flags, &rank));
    return rank;
}

/* ---- Exact ---- */

START_TEST(an_empty_table_counts_nothing)
{
    kv_table table = make("t", KV_COUNTED);
    uint64_t count = 7;

    ck_ok(kv_count(txn, table, NULL, 0, &count));
    ck_assert_uint_eq(count, 0);
    ck_assert_uint_eq(rank_of(table, "k", NULL, 0), 0);
    ck_assert_uint_eq(count_between(table, 0, 9, KV_ESTIMATE), 0);
}
END_TEST

START_TEST(counts_follow_the_bounds)
{
    kv_table table = make("t", KV_COUNTED);
    struct kv_range range = KV_RANGE_INIT;
    uint8_t low[KEY_ROOM], high[KEY_ROOM];
    struct kv_val from = number_val(1000, low), to = number_val(2000, high);
    uint64_t count;

    for (uint64_t i = 0; i < 3000; i += 2) {
        put_number(table, i, "value");
    }
    range.from = &from;
    range.to = &to;
    for (range.flags = 0; range.flags < 4; range.flags++) {
        ck_ok(kv_count(txn, table, &range, range.flags == 3 ? KV_KEYS : 0, &count));
        ck_assert_uint_eq(count, 500 - (range.flags & KV_FROM_EXCLUSIVE ? 1 : 0) +
                                     (range.flags & KV_TO_INCLUSIVE ? 1 : 0));
    }
    range.flags = 0;
    range.to = NULL;
    ck_ok(kv_count(txn, table, &range, 0, &count));
    ck_assert_uint_eq(count, 1000);
    range.from = &to;
    range.to = &from;
    ck_ok(kv_count(txn, table, &range, 0, &count));
    ck_assert_uint_eq(count, 0);
    ck_ok(kv_count(txn, table, NULL, 0, &count));
    ck_assert_uint_eq(count, 1500);
    range = (struct kv_range)KV_RANGE_INIT;
    from.size = 7;
    range.prefix = &from; /* 768 to 1023 */
    ck_ok(kv_count(txn, table, &range, 0, &count));
    ck_assert_uint_eq(count, 128);
}
END_TEST

START_TEST(a_rank_is_the_number_of_records_before)
{
    kv_table table = make("t", KV_COUNTED);

    fill_table(txn, table, "k", 5000, 20);
    ck_assert_uint_eq(rank_of(table, "k000000", NULL, 0), 0);
    ck_assert_uint_eq(rank_of(table, "k002500", NULL, 0), 2500);
    ck_assert_uint_eq(rank_of(table, "k0025", NULL, KV_KEYS), 2500);
    ck_assert_uint_eq(rank_of(table, "z", NULL, 0), 5000);
    del(txn, table, "k000007");
    ck_assert_uint_eq(rank_of(table, "k002500", NULL, 0), 2499);
}
END_TEST

START_TEST(with_duplicates_values_and_keys_are_counted)
{
    kv_table table = make("t", KV_DUPLICATES);
    char value[300];
    uint64_t count;

    for (unsigned key = 0; key < 20; key++) {
        for (unsigned i = 0; i < 40 * (key % 4) + 1; i++) {
            char name[8];

            snprintf(name, sizeof(name), "k%02u", key);
            memset(value, 'v', sizeof(value));
            snprintf(value, sizeof(value), "%03u", i);
            value[3] = 'v';
            value[sizeof(value) - 1] = 0;
            put(txn, table, name, value);
        }
    }
    ck_ok(kv_count(txn, table, NULL, 0, &count));
    ck_assert_uint_eq(count, 5 * (1 + 41 + 81 + 121));
    ck_ok(kv_count(txn, table, NULL, KV_KEYS, &count));
    ck_assert_uint_eq(count, 20);
    ck_assert_uint_eq(rank_of(table, "k03", NULL, 0), 1 + 41 + 81);
    ck_assert_uint_eq(rank_of(table, "k03", "100", 0), 1 + 41 + 81 + 100);
    ck_assert_uint_eq(rank_of(table, "k03", "100", KV_KEYS), 3);
    ck_assert_uint_eq(rank_of(table, "k03", "zzz", 0), 1 + 41 + 81 + 121);
    ck_assert_uint_eq(rank_of(table, "k03a", NULL, KV_KEYS), 4);
}
END_TEST

START_TEST(readers_count_their_snapshot)
{
    kv_table table = make("t", KV_COUNTED);
    struct kv_txn *reader;
    uint64_t count;

    fill_table(txn, table, "k", 1000, 20);
    txn_commit(txn);
    reader = txn_read(env);
    txn = txn_write(env);
    ck_ok(kv_del_range(txn, table, NULL, &count));
    ck_assert_uint_eq(count, 1000);
    ck_ok(kv_count(reader, table, NULL, 0, &count));
    ck_assert_uint_eq(count, 1000);
    ck_ok(kv_count(txn, table, NULL, 0, &count));
    ck_assert_uint_eq(count, 0);
    kv_txn_abort(reader);
}
END_TEST

/* ---- Refused ---- */

START_TEST(tables_that_do_not_count_only_estimate)
{
    kv_table table = make("t", 0);
    struct kv_val key = text_val("k000010");
    uint64_t count = 7;

    fill_table(txn, table, "k", 100, 20);
    ck_rc(kv_count(txn, table, NULL, 0, &count), KV_EINCOMPATIBLE);
    ck_assert_uint_eq(count, 0);
    ck_rc(kv_count(txn, table, NULL, KV_KEYS, &count), KV_EINCOMPATIBLE);
    count = 7;
    ck_rc(kv_rank(txn, table, &key, NULL, 0, &count), KV_EINCOMPATIBLE);
    ck_assert_uint_eq(count, 0);
    ck_ok(kv_count(txn, table, NULL, KV_ESTIMATE, &count));
    ck_assert_uint_eq(count, 100);
    ck_ok(kv_count(txn, table, NULL, KV_ESTIMATE | KV_KEYS, &count));
    ck_assert_uint_eq(count, 100);
}
END_TEST

START_TEST(bad_arguments_are_refused)
{
    kv_table table = make("t", KV_COUNTED);
    struct kv_val key = text_val("k"), hollow = {3, NULL};
    struct kv_range range = KV_RANGE_INIT;
    uint64_t count;

    ck_rc(kv_count(txn, table, NULL, 0, NULL), KV_EINVAL);
    ck_rc(kv_count(txn, table, NULL, 0x80, &count), KV_EINVAL);
    ck_rc(kv_rank(txn, table, &key, NULL, KV_ESTIMATE, &count), KV_EINVAL);
    ck_rc(kv_rank(txn, table, &key, NULL, 0, NULL), KV_EINVAL);
    ck_rc(kv_rank(txn, table, NULL, NULL, 0, &count), KV_EINVAL);
    ck_rc(kv_rank(txn, table, &key, &key, 0, &count), KV_EINCOMPATIBLE);
    ck_rc(kv_count(txn, 77, NULL, 0, &count), KV_EBADTABLE);
    range.from = &hollow;
    ck_rc(kv_count(txn, table, &range, 0, &count), KV_EINVAL);
    range.from = &key;
    range.prefix = &key;
    ck_rc(kv_count(txn, table, &range, 0, &count), KV_EINVAL);
    range.from = NULL;
    range.flags = KV_TO_INCLUSIVE;
    ck_rc(kv_count(txn, table, &range, 0, &count), KV_EINVAL);
    range.prefix = NULL;
    range.flags = 0x80;
    ck_rc(kv_count(txn, table, &range, 0, &count), KV_EINVAL);
}
END_TEST

/* ---- Estimates ---- */

#define NUMBERS 200000u

enum order { RANDOM_KEYS, ASCENDING_KEYS, DEEP_TREE };

static int compare_numbers(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static void shuffle(uint64_t *numbers, uint32_t count, struct rng *rng)
{
    for (uint32_t i = count - 1; i > 0; i--) {
        uint32_t other = (uint32_t)rng_below(rng, i + 1);
        uint64_t swap = numbers[i];

        numbers[i] = numbers[other];
        numbers[other] = swap;
    }
}

/* Puts records under random keys, or all keys of a row; their numbers, sorted. */
static uint64_t *fill_random(kv_table table, uint32_t count, enum order order)
{
    uint64_t *numbers = malloc(count * sizeof(*numbers));
    struct rng rng;

    rng_seed(&rng, "estimates", 5);
    for (uint32_t i = 0; i < count; i++) {
        numbers[i] = order == DEEP_TREE ? i : rng_next(&rng);
    }
    if (order == ASCENDING_KEYS) {
        qsort(numbers, count, sizeof(*numbers), compare_numbers);
    } else {
        shuffle(numbers, count, &rng);
    }
    long_keys = order == DEEP_TREE;
    for (uint32_t i = 0; i < count; i++) {
        put_number(table, numbers[i], "thirty bytes of a value, more or less");
    }
    qsort(numbers, count, sizeof(*numbers), compare_numbers);
    return numbers;
}

/* The largest error of estimates of ranges with so many records, relative to that number. */
static double worst_error(kv_table table, const uint64_t *numbers, uint32_t count, uint32_t span)
{
    double worst = 0;
    struct rng rng;

    rng_init(&rng, span);
    for (unsigned i = 0; i < 300; i++) {
        uint32_t at = (uint32_t)rng_below(&rng, count - span);
        uint64_t estimate = count_between(table, numbers[at], numbers[at + span], KV_ESTIMATE);
        double error = ((double)estimate - span) / span;

        error = error < 0 ? -error : error;
        worst = error > worst ? error : worst;
    }
    return worst;
}

/* _i: enum order */
START_TEST(an_estimate_errs_little_on_uniform_keys)
{
    static const char *const names[] = {"random", "ascending", "deep"};
    static const double errors_max[][3] = {{0.2, 0.05, 0.02},
                                           {0.02, 0.02, 0.02},
                                           {0.2, 0.15, 0.05}};
    uint32_t count = _i == DEEP_TREE ? NUMBERS / 5 : NUMBERS;
    kv_table table = make("t", 0);
    uint64_t *numbers = fill_random(table, count, (enum order)_i);
    uint32_t spans[3] = {1000, count / 20, count / 2};

    ck_assert_uint_ge(table_stat(txn, table).depth, _i == DEEP_TREE ? 4 : 3);
    for (unsigned i = 0; i < 3; i++) {
        double worst = worst_error(table, numbers, count, spans[i]);

        printf("%s, %u of %u records: worst error %.3f\n", names[_i], spans[i], count, worst);
        ck_assert_double_le(worst, errors_max[_i][i]);
    }
    free(numbers);
}
END_TEST

START_TEST(an_estimate_inside_one_or_two_leaves_is_exact)
{
    kv_table table = make("t", 0);
    uint64_t *numbers = fill_random(table, 20000, RANDOM_KEYS);

    for (uint32_t at = 0; at + 30 < 20000; at += 17) {
        for (uint32_t span = 0; span < 30; span += 7) {
            ck_assert_uint_eq(count_between(table, numbers[at], numbers[at + span], KV_ESTIMATE),
                              span);
        }
    }
    ck_assert_uint_eq(count_between(table, numbers[900], numbers[100], KV_ESTIMATE), 0);
    free(numbers);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("counts");
    TCase *loops = tcase_create("estimates");

    harness_add_fixture(s, "exact", an_empty_table_counts_nothing, open_env, close_env);
    harness_add_fixture(s, "exact", counts_follow_the_bounds, open_env, close_env);
    harness_add_fixture(s, "exact", a_rank_is_the_number_of_records_before, open_env, close_env);
    harness_add_fixture(s, "exact", with_duplicates_values_and_keys_are_counted, open_env,
                        close_env);
    harness_add_fixture(s, "exact", readers_count_their_snapshot, open_env, close_env);
    harness_add_fixture(s, "refused", tables_that_do_not_count_only_estimate, open_env, close_env);
    harness_add_fixture(s, "refused", bad_arguments_are_refused, open_env, close_env);
    harness_add_fixture(s, "exact estimates", an_estimate_inside_one_or_two_leaves_is_exact,
                        open_env, close_env);
    tcase_add_checked_fixture(loops, open_env, close_env);
    tcase_set_timeout(loops, HARNESS_TIMEOUT_S);
    tcase_add_loop_test(loops, an_estimate_errs_little_on_uniform_keys, 0, 3);
    suite_add_tcase(s, loops);
    return s;
}

HARNESS_MAIN(suite)
