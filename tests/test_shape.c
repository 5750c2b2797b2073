/* SPDX-License-Identifier: MIT */
/*
 * lib/format/shape.h: orders, probes and separators. Composites are compared with the pairs that
 * they stand for, over keys of few letters, among them 00, 01 and FF, which are those that could go
 * wrong; orders with a second way of telling them, byte by byte.
 */
#include "harness.h"

#include <stdlib.h>
#include <string.h>

#include "format/shape.h"

#define must(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            ck_abort_msg("line %d: %s", __LINE__, #condition);                                     \
    } while (0)

struct pair {
    uint8_t bytes[2][16];
    struct kvi_key key, value;
};

static const struct kvi_key none;

static int sign(int64_t n)
{
    return (n > 0) - (n < 0);
}

static struct kvi_key key_of(const char *text)
{
    return (struct kvi_key){(const uint8_t *)text, strlen(text)};
}

static struct kvi_shape shape_of(enum kv_order order, uint16_t flags, enum kv_order value_order)
{
    struct kvi_table_record record = {0};
    struct kvi_shape shape;

    record.order = (uint8_t)order;
    record.value_order = (uint8_t)value_order;
    record.flags = flags;
    kvi_shape_init(&shape, &record);
    return shape;
}

/* ---- A second way of telling an order ----------------------------------------------------------
 */

static int naive_bytes(struct kvi_key a, struct kvi_key b, bool backward)
{
    for (size_t i = 0; i < a.size && i < b.size; i++) {
        int p = a.data[backward ? a.size - 1 - i : i];
        int q = b.data[backward ? b.size - 1 - i : i];

        if (p != q)
            return sign(p - q);
    }
    return sign((int64_t)a.size - (int64_t)b.size);
}

static int naive_number(struct kvi_key a, struct kvi_key b)
{
    uint64_t x = a.size == 8 ? kvi_le_load64(a.data) : kvi_le_load32(a.data);
    uint64_t y = b.size == 8 ? kvi_le_load64(b.data) : kvi_le_load32(b.data);

    return (x > y) - (x < y);
}

static int naive(unsigned order, struct kvi_key a, struct kvi_key b)
{
    if (order == KV_ORDER_UINT)
        return naive_number(a, b);
    return naive_bytes(a, b, order == KV_ORDER_REVERSE);
}

/* Shorter first, then byte by byte: no built-in order is like it. */
static int by_size(void *context, const struct kv_val *a, const struct kv_val *b)
{
    (void)context;
    if (a->size != b->size)
        return a->size < b->size ? -1 : 1;
    return a->size ? memcmp(a->data, b->data, a->size) : 0;
}

/* ---- Random pairs ------------------------------------------------------------------------------
 */

static const uint8_t letters[] = {0x00, 0x01, 0x02, 0x61, 0xFE, 0xFF};

static struct kvi_key random_bytes(struct rng *rng, unsigned order, uint32_t integer_bytes,
                                   uint8_t *bytes)
{
    size_t size = order == KV_ORDER_UINT ? integer_bytes : rng_below(rng, 12);
    bool few = rng_below(rng, 4) != 0;

    for (size_t i = 0; i < size; i++)
        bytes[i] = letters[rng_below(rng, few ? 2 : sizeof(letters))];
    return (struct kvi_key){bytes, size};
}

static void random_pair(struct rng *rng, const struct kvi_shape *shape, struct pair *pair)
{
    pair->key = random_bytes(rng, shape->key_order, shape->key_bytes, pair->bytes[0]);
    pair->value = random_bytes(rng, shape->value_order, shape->item_bytes, pair->bytes[1]);
}

static int naive_pairs(const struct kvi_shape *shape, const struct pair *a, const struct pair *b)
{
    int order = naive(shape->key_order, a->key, b->key);

    if (order || !shape->duplicates)
        return order;
    return naive(shape->value_order, a->value, b->value);
}

/* The i-th combination of built-in orders: keys, values, with duplicates or not. */
#define SHAPES 24
static struct kvi_shape nth_shape(unsigned i)
{
    static const enum kv_order orders[] = {KV_ORDER_BYTES, KV_ORDER_REVERSE, KV_ORDER_UINT,
                                           KV_ORDER_UINT};
    unsigned key = i % 4, value = i / 4 % 3, duplicates = i / 12;
    struct kvi_shape shape = shape_of(orders[key], duplicates ? KVI_TABLE_DUPLICATES : 0,
                                      duplicates ? orders[value] : KV_ORDER_BYTES);

    shape.key_bytes = key == 3 ? 8 : 4;
    shape.item_bytes = i % 2 ? 4 : 8;
    return shape;
}

/* ---- Shapes ------------------------------------------------------------------------------------
 */

START_TEST(plain_shape_has_no_flags)
{
    struct kvi_shape shape = shape_of(KV_ORDER_BYTES, 0, KV_ORDER_BYTES);

    ck_assert(shape.plain);
    ck_assert(!shape.counted);
    ck_assert(!shape.custom);
    ck_assert(kvi_shape_searchable(&shape));
    ck_assert_uint_eq(kvi_shape_page_flags(&shape, 0), 0);
    ck_assert_uint_eq(kvi_shape_page_flags(&shape, 3), 0);
}
END_TEST

START_TEST(page_flags_tell_the_shape)
{
    struct kvi_shape shape = shape_of(KV_ORDER_BYTES, KVI_TABLE_COUNTED, KV_ORDER_BYTES);

    ck_assert(shape.plain);
    ck_assert_uint_eq(kvi_shape_page_flags(&shape, 0), 0);
    ck_assert_uint_eq(kvi_shape_page_flags(&shape, 1), 0x0001);
    shape = shape_of(KV_ORDER_UINT, KVI_TABLE_DUPLICATES, KV_ORDER_REVERSE);
    ck_assert(!shape.plain);
    ck_assert(shape.counted);
    ck_assert_uint_eq(kvi_shape_page_flags(&shape, 0), 0x0024);
    ck_assert_uint_eq(kvi_shape_page_flags(&shape, 2), 0x0003);
    shape = shape_of(KV_ORDER_CUSTOM, 0, KV_ORDER_BYTES);
    ck_assert_uint_eq(kvi_shape_page_flags(&shape, 0), 0x0030);
    ck_assert_uint_eq(kvi_shape_page_flags(&shape, 1), 0x0030);
    shape = shape_of(KV_ORDER_BYTES, KVI_TABLE_DUPLICATES, KV_ORDER_CUSTOM);
    ck_assert_uint_eq(kvi_shape_page_flags(&shape, 0), 0x0004);
    ck_assert_uint_eq(kvi_shape_page_flags(&shape, 1), 0x0033);
}
END_TEST

START_TEST(custom_order_is_searchable_with_its_comparators_only)
{
    struct kvi_shape shape = shape_of(KV_ORDER_CUSTOM, KVI_TABLE_DUPLICATES, KV_ORDER_CUSTOM);

    ck_assert(!kvi_shape_searchable(&shape));
    shape.key_custom.compare = by_size;
    ck_assert(!kvi_shape_searchable(&shape));
    shape.value_custom.compare = by_size;
    ck_assert(kvi_shape_searchable(&shape));
    shape = shape_of(KV_ORDER_BYTES, KVI_TABLE_DUPLICATES, KV_ORDER_CUSTOM);
    ck_assert(!kvi_shape_searchable(&shape));
}
END_TEST

START_TEST(orders_are_what_they_are_called)
{
    struct kvi_shape shape = shape_of(KV_ORDER_REVERSE, 0, KV_ORDER_BYTES);
    uint32_t small = 0x100, large = 0x1FF00;

    ck_assert_int_lt(kvi_shape_compare_keys(&shape, key_of("za"), key_of("ab")), 0);
    ck_assert_int_lt(kvi_shape_compare_keys(&shape, key_of("b"), key_of("ab")), 0);
    ck_assert_int_eq(kvi_shape_compare_keys(&shape, key_of("ab"), key_of("ab")), 0);
    shape = shape_of(KV_ORDER_UINT, 0, KV_ORDER_BYTES);
    ck_assert_int_lt(kvi_shape_compare_keys(&shape, (struct kvi_key){(uint8_t *)&small, 4},
                                            (struct kvi_key){(uint8_t *)&large, 4}),
                     0);
    shape = shape_of(KV_ORDER_CUSTOM, 0, KV_ORDER_BYTES);
    shape.key_custom.compare = by_size;
    ck_assert_int_lt(kvi_shape_compare_keys(&shape, key_of("z"), key_of("aa")), 0);
}
END_TEST

START_TEST(orders_are_the_same_told_another_way)
{
    struct kvi_shape shape = nth_shape((unsigned)_i);
    struct rng rng;

    rng_seed(&rng, "orders", (uint64_t)_i);
    for (unsigned i = 0; i < 20000; i++) {
        struct pair a, b;

        random_pair(&rng, &shape, &a);
        random_pair(&rng, &shape, &b);
        must(sign(kvi_shape_compare_keys(&shape, a.key, b.key)) ==
             naive(shape.key_order, a.key, b.key));
        must(sign(kvi_shape_compare_values(&shape, a.value, b.value)) ==
             naive(shape.value_order, a.value, b.value));
    }
}
END_TEST

/* ---- Probes ------------------------------------------------------------------------------------
 */

static void probe_pair(struct kvi_probe *probe, const struct kvi_shape *shape,
                       const struct pair *pair, enum kvi_probe_where where)
{
    must(kvi_probe_init(probe, shape, pair->key, pair->value, where) == 0);
}

START_TEST(composites_are_in_the_order_of_their_pairs)
{
    struct kvi_shape shape = nth_shape((unsigned)_i);
    struct rng rng;

    rng_seed(&rng, "composites", (uint64_t)_i);
    for (unsigned i = 0; i < 20000; i++) {
        struct kvi_probe x, y;
        struct pair a, b;
        int order;

        random_pair(&rng, &shape, &a);
        random_pair(&rng, &shape, &b);
        if (rng_below(&rng, 2))
            b.key = a.key;
        probe_pair(&x, &shape, &a, KVI_PROBE_VALUE);
        probe_pair(&y, &shape, &b, KVI_PROBE_VALUE);
        order =
            kvi_key_compare(x.separator.data, x.separator.size, y.separator.data, y.separator.size);
        must(sign(order) == naive_pairs(&shape, &a, &b));
        must(sign(kvi_probe_compare_separator(&shape, &x, y.separator)) == sign(order));
        kvi_probe_release(&x);
        kvi_probe_release(&y);
    }
}
END_TEST

START_TEST(first_and_last_stand_around_all_values_of_a_key)
{
    struct kvi_shape shape = nth_shape(12 + (unsigned)_i);
    struct rng rng;

    rng_seed(&rng, "around", (uint64_t)_i);
    for (unsigned i = 0; i < 20000; i++) {
        struct kvi_probe x, y;
        struct pair a, b;
        int order;

        random_pair(&rng, &shape, &a);
        random_pair(&rng, &shape, &b);
        probe_pair(&y, &shape, &b, KVI_PROBE_VALUE);
        order = naive(shape.key_order, a.key, b.key);
        probe_pair(&x, &shape, &a, KVI_PROBE_FIRST);
        /* a value that is empty has the composite of FIRST: nothing stands between */
        must(kvi_probe_compare_separator(&shape, &x, y.separator) <= 0 || order > 0);
        must(order <= 0 || kvi_probe_compare_separator(&shape, &x, y.separator) > 0);
        probe_pair(&x, &shape, &a, KVI_PROBE_LAST);
        must(sign(kvi_probe_compare_separator(&shape, &x, y.separator)) == (order ? order : 1));
    }
}
END_TEST

START_TEST(plain_probe_is_the_key_itself)
{
    struct kvi_shape shape = shape_of(KV_ORDER_BYTES, KVI_TABLE_COUNTED, KV_ORDER_BYTES);
    struct kvi_key key = key_of("key");
    struct kvi_probe probe;

    ck_assert_int_eq(kvi_probe_init(&probe, &shape, key, none, KVI_PROBE_FIRST), 0);
    ck_assert_ptr_eq(probe.separator.data, key.data);
    ck_assert_uint_eq(probe.separator.size, 3);
    ck_assert_ptr_null(probe.heap);
    kvi_probe_release(&probe);
}
END_TEST

START_TEST(composite_escapes_zeros_of_keys_that_are_no_integers)
{
    struct kvi_shape shape = shape_of(KV_ORDER_BYTES, KVI_TABLE_DUPLICATES, KV_ORDER_REVERSE);
    struct kvi_key key = {(const uint8_t *)"a\0b\0", 4}, value = key_of("xy");
    uint32_t number = 0x0100;
    struct kvi_probe probe;

    ck_assert_int_eq(kvi_probe_init(&probe, &shape, key, value, KVI_PROBE_VALUE), 0);
    ck_assert_uint_eq(probe.separator.size, 10);
    ck_assert_mem_eq(probe.separator.data,
                     "a\0\xFF"
                     "b\0\xFF\0\1yx",
                     10);
    ck_assert_int_eq(kvi_probe_init(&probe, &shape, key, value, KVI_PROBE_LAST), 0);
    ck_assert_mem_eq(probe.separator.data,
                     "a\0\xFF"
                     "b\0\xFF\0\2",
                     8);
    ck_assert_uint_eq(probe.separator.size, 8);
    shape.key_order = KV_ORDER_UINT;
    key = (struct kvi_key){(const uint8_t *)&number, 4};
    ck_assert_int_eq(kvi_probe_init(&probe, &shape, key, value, KVI_PROBE_VALUE), 0);
    ck_assert_uint_eq(probe.separator.size, 7);
    ck_assert_mem_eq(probe.separator.data, "\0\0\1\0\1yx", 7);
    ck_assert_int_eq(kvi_probe_init(&probe, &shape, key, value, KVI_PROBE_FIRST), 0);
    ck_assert_mem_eq(probe.separator.data, "\0\0\1\0\1", 5);
    ck_assert_uint_eq(probe.separator.size, 5);
}
END_TEST

START_TEST(large_probe_has_memory_of_its_own)
{
    struct kvi_shape shape = shape_of(KV_ORDER_BYTES, KVI_TABLE_DUPLICATES, KV_ORDER_BYTES);
    uint8_t zeros[20000] = {0};
    struct kvi_probe probe;

    ck_assert_int_eq(kvi_probe_init(&probe, &shape, (struct kvi_key){zeros, 127}, none,
                                    KVI_PROBE_FIRST),
                     0);
    ck_assert_ptr_null(probe.heap);
    ck_assert_uint_eq(probe.separator.size, KVI_PROBE_ROOM);
    ck_assert_int_eq(kvi_probe_init(&probe, &shape, (struct kvi_key){zeros, sizeof(zeros)},
                                    (struct kvi_key){zeros, sizeof(zeros)}, KVI_PROBE_VALUE),
                     0);
    ck_assert_ptr_nonnull(probe.heap);
    ck_assert_uint_eq(probe.separator.size, 3 * sizeof(zeros) + 2);
    kvi_probe_release(&probe);
    ck_assert_ptr_null(probe.heap);
}
END_TEST

/* ---- Separators --------------------------------------------------------------------------------
 */

START_TEST(separator_is_the_shortest_that_divides)
{
    struct kvi_shape shape = nth_shape((unsigned)_i);
    struct rng rng;

    rng_seed(&rng, "separators", (uint64_t)_i);
    for (unsigned i = 0; i < 20000; i++) {
        struct kvi_probe left, right, last;
        struct kvi_key s;
        uint8_t room[64];
        struct pair a, b;

        random_pair(&rng, &shape, &a);
        random_pair(&rng, &shape, &b);
        if (rng_below(&rng, 2))
            b.key = a.key;
        if (naive_pairs(&shape, &a, &b) >= 0)
            continue;
        must(kvi_separator_room(&shape, b.key.size, b.value.size) <= sizeof(room));
        s.data = room;
        s.size = kvi_separator_make(&shape, a.key, a.value, b.key, b.value, room);
        must(s.size <= kvi_separator_room(&shape, b.key.size, b.value.size));
        probe_pair(&left, &shape, &a, KVI_PROBE_VALUE);
        probe_pair(&right, &shape, &b, KVI_PROBE_VALUE);
        must(kvi_probe_compare_separator(&shape, &left, s) < 0);
        must(kvi_probe_compare_separator(&shape, &right, s) >= 0);
        /* a separator between keys is not above the place behind the first one */
        probe_pair(&last, &shape, &a, KVI_PROBE_LAST);
        if (naive(shape.key_order, a.key, b.key) != 0)
            must(kvi_probe_compare_separator(&shape, &last, s) < 0);
        s.size--;
        must(kvi_probe_compare_separator(&shape, &left, s) >= 0);
    }
}
END_TEST

START_TEST(separators_of_disorder_stay_in_their_room)
{
    struct rng rng;

    rng_seed(&rng, "disorder", 1);
    for (unsigned i = 0; i < 50000; i++) {
        struct kvi_shape shape = nth_shape(rng_below(&rng, SHAPES));
        size_t room_bytes;
        struct pair a, b;
        uint8_t *room;

        random_pair(&rng, &shape, &a);
        random_pair(&rng, &shape, &b);
        a.key.size = rng_below(&rng, 12);
        b.value.size = rng_below(&rng, 12);
        room_bytes = kvi_separator_room(&shape, b.key.size, b.value.size);
        room = malloc(room_bytes + 1);
        must(kvi_separator_make(&shape, a.key, a.value, b.key, b.value, room) <= room_bytes);
        free(room);
    }
}
END_TEST

START_TEST(largest_pair_makes_a_composite_that_a_branch_takes)
{
    static uint8_t zeros[KVI_PAGE_SIZE_MAX];
    struct kvi_shape shape = shape_of(KV_ORDER_BYTES, KVI_TABLE_DUPLICATES, KV_ORDER_BYTES);
    struct kvi_shape custom = shape_of(KV_ORDER_BYTES, KVI_TABLE_DUPLICATES, KV_ORDER_CUSTOM);

    for (uint32_t size = KVI_PAGE_SIZE_MIN; size <= KVI_PAGE_SIZE_MAX; size *= 2) {
        struct kvi_geometry g;
        uint32_t most;
        struct kvi_probe probe;
        struct kvi_key longest;

        ck_assert(kvi_geometry_init(&g, size));
        most = kvi_pair_bytes_max(&g);
        longest = (struct kvi_key){zeros, most};
        ck_assert_int_eq(kvi_probe_init(&probe, &shape, longest, longest, KVI_PROBE_VALUE), 0);
        ck_assert_uint_le(probe.separator.size, g.key_bytes_max);
        ck_assert_uint_gt(probe.separator.size + 4, g.key_bytes_max);
        ck_assert_uint_le(kvi_separator_room(&shape, most, most), g.key_bytes_max);
        ck_assert_uint_le(kvi_separator_room(&custom, most, most), g.key_bytes_max);
        kvi_probe_release(&probe);
    }
    ck_assert_uint_eq(KVI_PAGE_SIZE_MIN, 4096);
}
END_TEST

START_TEST(largest_pair_at_4_KiB_has_659_bytes)
{
    struct kvi_geometry g;

    ck_assert(kvi_geometry_init(&g, 4096));
    ck_assert_uint_eq(kvi_pair_bytes_max(&g), 659);
}
END_TEST

/* ---- Custom orders -----------------------------------------------------------------------------
 */

static struct kvi_shape custom_shape(uint16_t flags)
{
    struct kvi_shape shape =
        shape_of(KV_ORDER_CUSTOM, flags, flags ? KV_ORDER_CUSTOM : KV_ORDER_BYTES);

    shape.key_custom.compare = by_size;
    shape.value_custom.compare = by_size;
    return shape;
}

START_TEST(custom_separator_is_the_whole_right_record)
{
    struct kvi_shape shape = custom_shape(0);
    struct kvi_key key, value;
    uint8_t room[32];
    size_t size;

    ck_assert_uint_eq(kvi_separator_room(&shape, 3, 100), 3);
    size = kvi_separator_make(&shape, key_of("zz"), none, key_of("abc"), none, room);
    ck_assert_uint_eq(size, 3);
    ck_assert_mem_eq(room, "abc", 3);
    ck_assert(kvi_separator_split(&shape, (struct kvi_key){room, size}, &key, &value));
    ck_assert_uint_eq(key.size, 3);
    shape = custom_shape(KVI_TABLE_DUPLICATES);
    ck_assert_uint_eq(kvi_separator_room(&shape, 3, 2), 7);
    size =
        kvi_separator_make(&shape, key_of("abc"), key_of("x"), key_of("abc"), key_of("yy"), room);
    ck_assert_uint_eq(size, 7);
    ck_assert_mem_eq(room, "\3\0abcyy", 7);
    ck_assert(kvi_separator_split(&shape, (struct kvi_key){room, size}, &key, &value));
    ck_assert_uint_eq(key.size, 3);
    ck_assert_mem_eq(key.data, "abc", 3);
    ck_assert_uint_eq(value.size, 2);
    ck_assert_mem_eq(value.data, "yy", 2);
}
END_TEST

START_TEST(custom_separator_that_lies_about_its_key_is_damage)
{
    struct kvi_shape shape = custom_shape(KVI_TABLE_DUPLICATES);
    struct kvi_key key, value;

    ck_assert(!kvi_separator_split(&shape, none, &key, &value));
    ck_assert(!kvi_separator_split(&shape, (struct kvi_key){(uint8_t *)"\0", 1}, &key, &value));
    ck_assert(kvi_separator_split(&shape, (struct kvi_key){(uint8_t *)"\0\0", 2}, &key, &value));
    ck_assert(!kvi_separator_split(&shape, (struct kvi_key){(uint8_t *)"\2\0a", 3}, &key, &value));
    ck_assert(!kvi_separator_split(&shape,
                                   (struct kvi_key){(uint8_t *)"\xFF\xFF"
                                                               "a",
                                                    3},
                                   &key, &value));
    ck_assert(kvi_separator_split(&shape, (struct kvi_key){(uint8_t *)"\1\0a", 3}, &key, &value));
}
END_TEST

static int compared(const struct kvi_shape *shape, struct kvi_key separator, const char *key,
                    const char *value, enum kvi_probe_where where)
{
    struct kvi_probe probe;

    ck_assert_int_eq(kvi_probe_init(&probe, shape, key_of(key), key_of(value), where), 0);
    return kvi_probe_compare_separator(shape, &probe, separator);
}

START_TEST(custom_probes_are_compared_by_the_comparators)
{
    struct kvi_shape shape = custom_shape(KVI_TABLE_DUPLICATES);
    uint8_t room[16];
    struct kvi_key s = {room, 0};

    s.size = kvi_separator_make(&shape, none, none, key_of("mm"), key_of("v"), room);
    ck_assert_int_lt(compared(&shape, s, "z", "a", KVI_PROBE_VALUE), 0);
    ck_assert_int_gt(compared(&shape, s, "aaa", "a", KVI_PROBE_FIRST), 0);
    ck_assert_int_lt(compared(&shape, s, "mm", "v", KVI_PROBE_FIRST), 0);
    ck_assert_int_gt(compared(&shape, s, "mm", "v", KVI_PROBE_LAST), 0);
    ck_assert_int_eq(compared(&shape, s, "mm", "v", KVI_PROBE_VALUE), 0);
    ck_assert_int_lt(compared(&shape, s, "mm", "", KVI_PROBE_VALUE), 0);
    ck_assert_int_gt(compared(&shape, s, "mm", "aa", KVI_PROBE_VALUE), 0);
    shape = custom_shape(0);
    s = key_of("mm");
    ck_assert_int_eq(compared(&shape, s, "mm", "", KVI_PROBE_LAST), 0);
    ck_assert_int_lt(compared(&shape, s, "z", "", KVI_PROBE_LAST), 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("shape");

    harness_add(s, "shapes", plain_shape_has_no_flags);
    harness_add(s, "shapes", page_flags_tell_the_shape);
    harness_add(s, "shapes", custom_order_is_searchable_with_its_comparators_only);
    harness_add(s, "orders", orders_are_what_they_are_called);
    harness_add_loop(s, "orders", orders_are_the_same_told_another_way, 0, SHAPES);
    harness_add_loop(s, "probes", composites_are_in_the_order_of_their_pairs, 0, SHAPES);
    harness_add_loop(s, "probes", first_and_last_stand_around_all_values_of_a_key, 0, 12);
    harness_add(s, "probes", plain_probe_is_the_key_itself);
    harness_add(s, "probes", composite_escapes_zeros_of_keys_that_are_no_integers);
    harness_add(s, "probes", large_probe_has_memory_of_its_own);
    harness_add_loop(s, "separators", separator_is_the_shortest_that_divides, 0, SHAPES);
    harness_add(s, "separators", separators_of_disorder_stay_in_their_room);
    harness_add(s, "separators", largest_pair_makes_a_composite_that_a_branch_takes);
    harness_add(s, "separators", largest_pair_at_4_KiB_has_659_bytes);
    harness_add(s, "custom", custom_separator_is_the_whole_right_record);
    harness_add(s, "custom", custom_separator_that_lies_about_its_key_is_damage);
    harness_add(s, "custom", custom_probes_are_compared_by_the_comparators);
    return s;
}

HARNESS_MAIN(suite)
