/* SPDX-License-Identifier: MIT */
/*
 * lib/format/set.h: sets of values in a payload, against an array of values; and sets that lie,
 * which are refused, or read inside their bytes (each payload is an allocation of its own size, so
 * that the sanitizer sees a step outside).
 */
#include "harness.h"

#include <stdlib.h>
#include <string.h>

#include "format/set.h"

#define must(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            ck_abort_msg("line %d: %s", __LINE__, #condition);                                     \
    } while (0)

#define VALUES_MAX 200u
#define VALUE_BYTES_MAX 40u

static struct kvi_shape shape; /* bytes order, duplicates */

static void shape_reset(void)
{
    struct kvi_table_record record = {.flags = KVI_TABLE_DUPLICATES};

    kvi_shape_init(&shape, &record);
}

static struct kvi_key key_of(const char *text)
{
    return (struct kvi_key){(const uint8_t *)text, strlen(text)};
}

/* ---- A set and the array it should be ----------------------------------------------------------
 */

struct model {
    uint8_t *payload; /* NULL: no value */
    uint32_t payload_bytes;
    bool continued;
    unsigned count;
    struct kvi_key values[VALUES_MAX];
    uint8_t bytes[VALUES_MAX][VALUE_BYTES_MAX];
};

static void model_free(struct model *m)
{
    free(m->payload);
    memset(m, 0, sizeof(*m));
}

static struct kvi_set open_set(const uint8_t *payload, uint32_t payload_bytes)
{
    struct kvi_set set;

    must(kvi_set_open(payload, payload_bytes, &set));
    return set;
}

static bool same_value(struct kvi_key a, struct kvi_key b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* The payload holds just the array's values, packed if it should be. */
static void compare_model(const struct model *m)
{
    struct kvi_set set = open_set(m->payload, m->payload_bytes);
    bool one_size = m->values[0].size > 0;

    must(set.count == m->count);
    must(kvi_set_count(m->payload, m->payload_bytes) == m->count);
    must(set.continued == m->continued);
    must(kvi_set_is_continued(m->payload, m->payload_bytes) == m->continued);
    for (unsigned i = 0; i < m->count; i++) {
        must(same_value(kvi_set_value(&set, i), m->values[i]));
        one_size = one_size && m->values[i].size == m->values[0].size;
    }
    must((set.ends == NULL) == one_size);
    must(set.item_bytes == (one_size ? m->values[0].size : 0));
    must(kvi_set_check(&shape, m->payload, m->payload_bytes) == NULL);
}

static unsigned model_find(const struct model *m, struct kvi_key value, bool *exact)
{
    unsigned i = 0;

    while (i < m->count && kvi_shape_compare_values(&shape, m->values[i], value) < 0)
        i++;
    *exact = i < m->count && same_value(m->values[i], value);
    return i;
}

static void model_insert(struct model *m, unsigned at, struct kvi_key value)
{
    must(m->count < VALUES_MAX);
    for (unsigned i = m->count; i > at; i--) {
        memcpy(m->bytes[i], m->bytes[i - 1], VALUE_BYTES_MAX);
        m->values[i] = (struct kvi_key){m->bytes[i], m->values[i - 1].size};
    }
    memcpy(m->bytes[at], value.data, value.size);
    m->values[at] = (struct kvi_key){m->bytes[at], value.size};
    m->count++;
}

static void model_remove(struct model *m, unsigned from, unsigned end)
{
    for (unsigned i = end; i < m->count; i++) {
        memcpy(m->bytes[from + i - end], m->bytes[i], VALUE_BYTES_MAX);
        m->values[from + i - end] = (struct kvi_key){m->bytes[from + i - end], m->values[i].size};
    }
    m->count -= end - from;
}

/* Takes the new payload. */
static void replace_payload(struct model *m, uint8_t *payload, uint32_t payload_bytes)
{
    free(m->payload);
    m->payload = payload;
    m->payload_bytes = payload_bytes;
}

static void set_insert(struct model *m, struct kvi_key value)
{
    bool exact, set_exact;
    unsigned at = model_find(m, value, &exact);
    uint32_t bytes = kvi_set_single_bytes(value.size);
    struct kvi_set set;
    uint8_t *payload;

    if (m->payload) {
        set = open_set(m->payload, m->payload_bytes);
        must(kvi_set_find(&shape, &set, value, &set_exact) == at);
        must(set_exact == exact);
        if (exact)
            return;
        bytes = kvi_set_bytes(&set, 0, set.count, &value);
    }
    payload = malloc(bytes);
    if (m->payload)
        kvi_set_write(payload, &set, 0, set.count, &value, at, m->continued);
    else
        kvi_set_write_single(payload, value, m->continued);
    replace_payload(m, payload, bytes);
    model_insert(m, at, value);
}

/* Keeps values [from, end) and adds one, if it has a place among them. */
static void set_cut(struct model *m, unsigned from, unsigned end, const struct kvi_key *value)
{
    struct kvi_set set = open_set(m->payload, m->payload_bytes);
    uint32_t bytes = kvi_set_bytes(&set, from, end, value);
    uint8_t *payload = malloc(bytes);
    bool exact = false;
    unsigned at = value ? model_find(m, *value, &exact) - from : 0;

    kvi_set_write(payload, &set, from, end, value, at, m->continued);
    replace_payload(m, payload, bytes);
    model_remove(m, end, m->count);
    model_remove(m, 0, from);
    if (value)
        model_insert(m, at, *value);
}

/* In place, as a leaf does it: what stood in the payload stands at its end when it has grown. */
static void set_insert_packed(struct model *m, struct kvi_key value)
{
    bool exact;
    unsigned at = model_find(m, value, &exact);
    uint32_t item_bytes = (uint32_t)value.size;
    uint8_t *payload;

    if (exact)
        return;
    payload = malloc(m->payload_bytes + item_bytes);
    memcpy(payload + item_bytes, m->payload, m->payload_bytes);
    kvi_set_insert_packed(payload, m->payload_bytes + item_bytes, at, value.data, item_bytes);
    replace_payload(m, payload, m->payload_bytes + item_bytes);
    model_insert(m, at, value);
}

static void set_remove_packed(struct model *m, unsigned at)
{
    uint32_t item_bytes = (uint32_t)m->values[at].size;
    uint8_t *payload = malloc(m->payload_bytes - item_bytes);

    kvi_set_remove_packed(m->payload, m->payload_bytes, at, item_bytes);
    memcpy(payload, m->payload + item_bytes, m->payload_bytes - item_bytes);
    replace_payload(m, payload, m->payload_bytes - item_bytes);
    model_remove(m, at, at + 1);
}

/* fixed_bytes 0: any size. */
static struct kvi_key random_value(struct rng *rng, uint32_t fixed_bytes, uint8_t *bytes)
{
    size_t size = fixed_bytes ? fixed_bytes : rng_below(rng, VALUE_BYTES_MAX + 1);

    if (!fixed_bytes && rng_chance(rng, 50))
        size = rng_below(rng, 4);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(rng_chance(rng, 50) ? rng_below(rng, 3) : rng_next(rng));
    return (struct kvi_key){bytes, size};
}

/* ---- Single values -----------------------------------------------------------------------------
 */

START_TEST(single_value_takes_four_bytes_more)
{
    uint8_t payload[16];
    struct kvi_set set;

    shape_reset();
    ck_assert_uint_eq(kvi_set_single_bytes(5), 9);
    kvi_set_write_single(payload, key_of("apple"), false);
    ck_assert_mem_eq(payload, "apple\1\0\5\0", 9);
    ck_assert(kvi_set_open(payload, 9, &set));
    ck_assert_uint_eq(set.count, 1);
    ck_assert(!set.continued);
    kvi_set_write_single(payload, key_of("apple"), true);
    ck_assert_mem_eq(payload, "apple\1\x80\5\0", 9);
}
END_TEST

START_TEST(empty_value_is_a_value)
{
    struct kvi_key empty = {NULL, 0}, value = key_of("b");
    uint8_t payload[16], more[16];
    struct kvi_set set;

    shape_reset();
    ck_assert_uint_eq(kvi_set_single_bytes(0), 6);
    kvi_set_write_single(payload, empty, false);
    ck_assert_mem_eq(payload, "\0\0\1\0\0\0", 6);
    set = open_set(payload, 6);
    ck_assert_uint_eq(kvi_set_value(&set, 0).size, 0);
    ck_assert_uint_eq(kvi_set_bytes(&set, 0, 1, &value), 9);
    kvi_set_write(more, &set, 0, 1, &value, 1, false);
    ck_assert_mem_eq(more, "b\0\0\1\0\2\0\0\0", 9);
    set = open_set(more, 9);
    ck_assert_uint_eq(kvi_set_bytes(&set, 1, 2, NULL), 5);
    ck_assert_uint_eq(kvi_set_bytes(&set, 0, 1, NULL), 6);
    ck_assert_uint_eq(kvi_set_bytes(&set, 0, 0, &empty), 6);
}
END_TEST

START_TEST(mark_of_continued_can_be_changed)
{
    uint8_t payload[16];

    shape_reset();
    kvi_set_write_single(payload, key_of("v"), false);
    kvi_set_mark_continued(payload, 5, true);
    ck_assert(kvi_set_is_continued(payload, 5));
    ck_assert_uint_eq(kvi_set_count(payload, 5), 1);
    kvi_set_mark_continued(payload, 5, false);
    ck_assert(!kvi_set_is_continued(payload, 5));
    kvi_set_mark_continued(payload, 3, true); /* too small to be one */
    ck_assert_mem_eq(payload, "v\1\0\1\0", 5);
}
END_TEST

/* ---- Against an array --------------------------------------------------------------------------
 */

START_TEST(random_edits_match_an_array)
{
    static const uint32_t sizes[] = {0, 0, 0, 1, 4, 8, 17, VALUE_BYTES_MAX};
    static const uint8_t orders[] = {KV_ORDER_BYTES, KV_ORDER_REVERSE};
    uint32_t fixed_bytes = sizes[_i % 8];
    struct model *m = calloc(1, sizeof(*m));
    uint64_t rounds = scaled(20000);
    struct rng rng;

    shape_reset();
    rng_seed(&rng, "set", (uint64_t)_i);
    shape.value_order = orders[_i / 8];
    for (uint64_t i = 0; i < rounds; i++) {
        uint8_t bytes[VALUE_BYTES_MAX];
        struct kvi_key value = random_value(&rng, fixed_bytes, bytes);
        unsigned what = (unsigned)rng_below(&rng, 1000);

        if (m->count == VALUES_MAX || (m->count > 2 && what < 8)) {
            unsigned from = (unsigned)rng_below(&rng, m->count);
            unsigned end = (unsigned)rng_between(&rng, from + 1, m->count + 1);

            set_cut(m, from, end, NULL);
        } else if (m->count > 1 && what < 200 && fixed_bytes) {
            set_remove_packed(m, (unsigned)rng_below(&rng, m->count));
        } else if (m->count > 0 && what < 600 && fixed_bytes) {
            set_insert_packed(m, value);
        } else if (what == 999) {
            model_free(m);
            m->continued = rng_chance(&rng, 50);
            continue;
        } else {
            set_insert(m, value);
        }
        compare_model(m);
    }
    model_free(m);
    free(m);
}
END_TEST

START_TEST(part_of_a_set_takes_a_value)
{
    struct model *m = calloc(1, sizeof(*m));
    struct rng rng;

    shape_reset();
    rng_seed(&rng, "part", 7);
    for (uint64_t round = 0; round < scaled(3000); round++) {
        uint8_t bytes[VALUE_BYTES_MAX];
        unsigned from, end, at;
        struct kvi_key value;
        bool exact;

        for (unsigned i = 0; i < 12; i++)
            set_insert(m, random_value(&rng, round % 4 ? 0 : 3, bytes));
        value = random_value(&rng, round % 3 ? 0 : 3, bytes);
        at = model_find(m, value, &exact);
        if (!exact) {
            from = (unsigned)rng_below(&rng, at + 1);
            end = (unsigned)rng_between(&rng, at, m->count + 1);
            set_cut(m, from, end, &value);
            compare_model(m);
        }
        model_free(m);
    }
    free(m);
}
END_TEST

START_TEST(two_sets_join)
{
    struct model *m = calloc(1, sizeof(*m));
    struct rng rng;

    shape_reset();
    rng_seed(&rng, "join", 8);
    for (uint64_t round = 0; round < scaled(3000); round++) {
        uint32_t fixed_bytes = round % 3 == 0 ? 5 : 0;
        uint32_t bytes[3];
        struct kvi_set whole, a, b;
        uint8_t *parts[3];
        unsigned cut;

        m->continued = round & 1;
        while (m->count < 2 + round % 20) {
            uint8_t value[VALUE_BYTES_MAX];

            set_insert(m, random_value(&rng, fixed_bytes, value));
        }
        whole = open_set(m->payload, m->payload_bytes);
        cut = (unsigned)rng_between(&rng, 1, m->count);
        bytes[0] = kvi_set_bytes(&whole, 0, cut, NULL);
        bytes[1] = kvi_set_bytes(&whole, cut, m->count, NULL);
        parts[0] = malloc(bytes[0]);
        parts[1] = malloc(bytes[1]);
        kvi_set_write(parts[0], &whole, 0, cut, NULL, 0, m->continued);
        kvi_set_write(parts[1], &whole, cut, m->count, NULL, 0, true);
        a = open_set(parts[0], bytes[0]);
        b = open_set(parts[1], bytes[1]);
        bytes[2] = kvi_set_joined_bytes(&a, &b);
        must(bytes[2] == m->payload_bytes);
        parts[2] = malloc(bytes[2]);
        kvi_set_write_joined(parts[2], &a, &b);
        must(memcmp(parts[2], m->payload, bytes[2]) == 0);
        for (unsigned i = 0; i < 3; i++)
            free(parts[i]);
        model_free(m);
    }
    free(m);
}
END_TEST

/* ---- Search ------------------------------------------------------------------------------------
 */

static int backwards(void *context, const struct kv_val *a, const struct kv_val *b)
{
    (void)context;
    return memcmp(b->data, a->data, a->size < b->size ? a->size : b->size);
}

START_TEST(integers_are_found_by_their_number)
{
    uint32_t size = _i ? 8 : 4;
    uint64_t numbers[] = {1, 0xFF, 0x100, 0x10000, 0xFF0000};
    uint8_t payload[64];
    struct kvi_set set;
    bool exact;

    shape_reset();
    shape.value_order = KV_ORDER_UINT;
    for (unsigned i = 0; i < 5; i++)
        memcpy(payload + (size_t)i * size, &numbers[i], size);
    memcpy(payload + 5 * size, size == 4 ? "\5\0\4\0" : "\5\0\10\0", 4);
    set = open_set(payload, 5 * size + 4);
    ck_assert_ptr_null(kvi_set_check(&shape, payload, 5 * size + 4));
    for (unsigned i = 0; i < 5; i++) {
        uint64_t above = numbers[i] + 1;

        ck_assert_uint_eq(kvi_set_find(&shape, &set, (struct kvi_key){(uint8_t *)&numbers[i], size},
                                       &exact),
                          i);
        ck_assert(exact);
        kvi_set_find(&shape, &set, (struct kvi_key){(uint8_t *)&above, size}, &exact);
        ck_assert(exact == (i == 1));
    }
}
END_TEST

START_TEST(custom_order_is_asked)
{
    const uint8_t *payload = (const uint8_t *)"cba\3\0\1\0";
    struct kvi_set set = open_set(payload, 7);
    bool exact;

    shape_reset();
    shape.value_order = KV_ORDER_CUSTOM;
    ck_assert_ptr_null(kvi_set_check(&shape, payload, 7)); /* not known: not looked at */
    shape.value_custom.compare = backwards;
    ck_assert_ptr_null(kvi_set_check(&shape, payload, 7));
    ck_assert_uint_eq(kvi_set_find(&shape, &set, key_of("b"), &exact), 1);
    ck_assert(exact);
    shape.value_order = KV_ORDER_BYTES;
    ck_assert_ptr_nonnull(kvi_set_check(&shape, payload, 7));
}
END_TEST

/* ---- Sets that lie -----------------------------------------------------------------------------
 */

static bool opens(const char *bytes, uint32_t size)
{
    uint8_t *payload = malloc(size + !size);
    struct kvi_set set;
    bool opened;

    memcpy(payload, bytes, size);
    opened = kvi_set_open(payload, size, &set);
    if (!opened)
        ck_assert_ptr_nonnull(kvi_set_check(&shape, payload, size));
    free(payload);
    return opened;
}

START_TEST(trailer_that_lies_is_refused)
{
    shape_reset();
    ck_assert(opens("ab\2\0\1\0", 6));
    ck_assert(!opens("", 0));
    ck_assert(!opens("\0\1\0", 3));
    ck_assert(!opens("\0\0\1\0", 4));           /* no value */
    ck_assert(!opens("\0\x80\1\0", 4));         /* no value, continued */
    ck_assert(!opens("ab\3\0\1\0", 6));         /* more than there are */
    ck_assert(!opens("ab\1\0\1\0", 6));         /* fewer */
    ck_assert(!opens("ab\2\0\xFF\xFF", 6));     /* large ones */
    ck_assert(!opens("ab\xFF\x7F\xFF\xFF", 6)); /* many large ones */
    ck_assert(!opens("ab\xFF\x7F\0\0", 6));     /* more ends than bytes */
    ck_assert(opens("abb\1\0\3\0\2\0\0\0", 11));
    ck_assert(!opens("abb\3\0\1\0\2\0\0\0", 11)); /* ends out of order */
    ck_assert(!opens("abb\1\0\4\0\2\0\0\0", 11)); /* past the values */
    ck_assert(!opens("abb\1\0\2\0\2\0\0\0", 11)); /* before the last of them */
    ck_assert(!opens("abb\xFF\xFF\3\0\2\0\0\0", 11));
}
END_TEST

START_TEST(end_out_of_order_is_seen_wherever_it_stands)
{
    uint32_t count = 30, values_bytes = 2 * 30, bytes = values_bytes + 2 * count + 4;
    uint8_t *payload = malloc(bytes);
    struct kvi_set set;

    shape_reset();
    memset(payload, 'v', values_bytes);
    for (uint32_t i = 0; i < count; i++)
        kvi_le_store16(payload + values_bytes + 2 * i, (uint16_t)(2 * (i + 1)));
    kvi_le_store16(payload + bytes - 4, (uint16_t)count);
    kvi_le_store16(payload + bytes - 2, 0);
    ck_assert(kvi_set_open(payload, bytes, &set));
    for (uint32_t i = 0; i < count; i++) {
        uint8_t *end = payload + values_bytes + 2 * i;
        uint16_t was = kvi_le_load16(end);

        kvi_le_store16(end, (uint16_t)(was + 3)); /* behind the next one */
        ck_assert(!kvi_set_open(payload, bytes, &set));
        kvi_le_store16(end, 0xFFFF);
        ck_assert(!kvi_set_open(payload, bytes, &set));
        kvi_le_store16(end, (uint16_t)(was > 3 ? was - 3 : 0)); /* before the one before */
        ck_assert(kvi_set_open(payload, bytes, &set) == (i == 0));
        kvi_le_store16(end, was);
    }
    free(payload);
}
END_TEST

START_TEST(check_sees_what_is_wrong_in_a_set)
{
    shape_reset();
    ck_assert_ptr_null(kvi_set_check(&shape, (const uint8_t *)"ab\2\0\1\0", 6));
    ck_assert_ptr_nonnull(kvi_set_check(&shape, (const uint8_t *)"ba\2\0\1\0", 6));
    ck_assert_ptr_nonnull(kvi_set_check(&shape, (const uint8_t *)"aa\2\0\1\0", 6));
    /* not packed though it should be */
    ck_assert_ptr_nonnull(kvi_set_check(&shape, (const uint8_t *)"ab\1\0\2\0\2\0\0\0", 10));
    ck_assert_ptr_nonnull(kvi_set_check(&shape, (const uint8_t *)"a\1\0\1\0\0\0", 7));
    /* two empty values */
    ck_assert_ptr_nonnull(kvi_set_check(&shape, (const uint8_t *)"\0\0\0\0\2\0\0\0", 8));
    shape.fixed = true;
    shape.item_bytes = 1;
    ck_assert_ptr_null(kvi_set_check(&shape, (const uint8_t *)"ab\2\0\1\0", 6));
    shape.item_bytes = 2;
    ck_assert_ptr_nonnull(kvi_set_check(&shape, (const uint8_t *)"ab\2\0\1\0", 6));
    shape.item_bytes = 1;
    ck_assert_ptr_nonnull(kvi_set_check(&shape, (const uint8_t *)"abb\1\0\3\0\2\0\0\0", 11));
}
END_TEST

/* Whatever the bytes: what opens is read, cut and written inside of its bounds. */
static void use_any(struct rng *rng, const uint8_t *payload, uint32_t payload_bytes)
{
    struct kvi_key value = {payload, payload_bytes < 9 ? payload_bytes : rng_below(rng, 9)};
    uint64_t sum = 0;
    struct kvi_set set;
    uint32_t from, end, bytes;
    uint8_t *to;
    bool exact;

    (void)kvi_set_is_continued(payload, payload_bytes);
    (void)kvi_set_check(&shape, payload, payload_bytes);
    if (!kvi_set_open(payload, payload_bytes, &set))
        return;
    must(set.count == kvi_set_count(payload, payload_bytes));
    for (uint32_t i = 0; i < set.count; i++) {
        struct kvi_key read = kvi_set_value(&set, i);

        for (size_t j = 0; j < read.size; j++)
            sum += read.data[j];
    }
    must(sum <= (uint64_t)payload_bytes * 255);
    must(kvi_set_find(&shape, &set, value, &exact) <= set.count);
    from = (uint32_t)rng_below(rng, set.count + 1);
    end = (uint32_t)rng_between(rng, from, set.count + 1);
    bytes = kvi_set_bytes(&set, from, end, &value);
    to = malloc(bytes);
    kvi_set_write(to, &set, from, end, &value, (uint32_t)rng_below(rng, end - from + 1), true);
    must(kvi_set_count(to, bytes) == end - from + 1);
    free(to);
    bytes = kvi_set_joined_bytes(&set, &set);
    to = malloc(bytes);
    kvi_set_write_joined(to, &set, &set);
    must(kvi_set_count(to, bytes) == 2 * set.count);
    free(to);
}

START_TEST(any_bytes_are_read_inside_their_bounds)
{
    static const uint8_t orders[] = {KV_ORDER_BYTES, KV_ORDER_REVERSE, KV_ORDER_UINT};
    uint64_t rounds = scaled(200000);
    struct rng rng;

    shape_reset();
    rng_seed(&rng, "any", 9);
    for (uint64_t i = 0; i < rounds; i++) {
        uint32_t bytes = (uint32_t)rng_below(&rng, 60);
        uint8_t *payload = malloc(bytes + !bytes);

        shape.value_order = orders[i % 3];
        rng_bytes(&rng, payload, bytes);
        for (uint32_t j = 0; j < bytes; j++)
            payload[j] &= rng_chance(&rng, 70) ? 7 : 0xFF;
        if (bytes >= 8 && rng_chance(&rng, 70)) { /* a trailer that may be one */
            uint32_t item_bytes = rng_chance(&rng, 50) ? 0 : (uint32_t)rng_between(&rng, 1, 9);
            uint32_t count = item_bytes ? (bytes - 4) / item_bytes
                                        : (uint32_t)rng_between(&rng, 1, 1 + (bytes - 4) / 2);

            kvi_le_store16(payload + bytes - 4, (uint16_t)count);
            kvi_le_store16(payload + bytes - 2, (uint16_t)item_bytes);
            if (!item_bytes)
                kvi_le_store16(payload + bytes - 6, (uint16_t)(bytes - 4 - 2 * count));
        }
        use_any(&rng, payload, bytes);
        free(payload);
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("set");

    harness_add(s, "single", single_value_takes_four_bytes_more);
    harness_add(s, "single", empty_value_is_a_value);
    harness_add(s, "single", mark_of_continued_can_be_changed);
    harness_add_loop(s, "array", random_edits_match_an_array, 0, 16);
    harness_add(s, "parts", part_of_a_set_takes_a_value);
    harness_add(s, "parts", two_sets_join);
    harness_add_loop(s, "search", integers_are_found_by_their_number, 0, 2);
    harness_add(s, "search", custom_order_is_asked);
    harness_add(s, "hostile", trailer_that_lies_is_refused);
    harness_add(s, "hostile", end_out_of_order_is_seen_wherever_it_stands);
    harness_add(s, "hostile", check_sees_what_is_wrong_in_a_set);
    harness_add(s, "hostile", any_bytes_are_read_inside_their_bounds);
    return s;
}

HARNESS_MAIN(suite)
