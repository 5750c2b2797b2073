/* SPDX-License-Identifier: MIT */
/*
 * Owns the bytes of sets: the values of one key in one leaf cell.
 *
 * What kvi_set_open let through is safe to read: every end lies in the values and none before the
 * one in front of it. Whether values ascend is not looked at: in a damaged set a search ends at
 * some value of it. kvi_set_check looks at all.
 *
 * A set is packed if and only if its values have one size that is not 0, so that the same values
 * are always the same bytes. Any thread.
 */
#include "format/set.h"

#include <assert.h>
#include <string.h>

#include "format/node_page.h"

#define COUNT_CONTINUED 0x8000u

_Static_assert((COUNT_CONTINUED & KVI_SET_COUNT_MAX) == 0, "bit 15 of n is not of the number");
_Static_assert(KVI_SET_TRAILER_BYTES == 2 + 2, "u16 n, u16 item_bytes");

/* ---- The trailer ---- */

static uint32_t trailer_count(const uint8_t *payload, uint32_t payload_bytes)
{
    return kvi_le_load16(payload + payload_bytes - KVI_SET_TRAILER_BYTES);
}

static uint32_t trailer_item_bytes(const uint8_t *payload, uint32_t payload_bytes)
{
    return kvi_le_load16(payload + payload_bytes - 2);
}

static void set_trailer_count(uint8_t *payload, uint32_t payload_bytes, uint32_t word)
{
    kvi_le_store16(payload + payload_bytes - KVI_SET_TRAILER_BYTES, (uint16_t)word);
}

uint32_t kvi_set_count(const uint8_t *payload, uint32_t payload_bytes)
{
    uint32_t count, item_bytes;

    if (payload_bytes < KVI_SET_TRAILER_BYTES)
        return 0;
    count = trailer_count(payload, payload_bytes) & KVI_SET_COUNT_MAX;
    item_bytes = trailer_item_bytes(payload, payload_bytes);
    if (item_bytes)
        return count * item_bytes + KVI_SET_TRAILER_BYTES == payload_bytes ? count : 0;
    return count * KVI_SET_END_BYTES + KVI_SET_TRAILER_BYTES <= payload_bytes ? count : 0;
}

bool kvi_set_is_continued(const uint8_t *payload, uint32_t payload_bytes)
{
    return payload_bytes >= KVI_SET_TRAILER_BYTES &&
           (trailer_count(payload, payload_bytes) & COUNT_CONTINUED);
}

void kvi_set_mark_continued(uint8_t *payload, uint32_t payload_bytes, bool continued)
{
    uint32_t word;

    if (payload_bytes < KVI_SET_TRAILER_BYTES) /* damage */
        return;
    word = trailer_count(payload, payload_bytes) & KVI_SET_COUNT_MAX;
    set_trailer_count(payload, payload_bytes, word | (continued ? COUNT_CONTINUED : 0));
}

/* ---- Reading ---- */

/* Where value i begins (i == count: where the last ends). */
static uint32_t value_at(const struct kvi_set *set, uint32_t i)
{
    if (!set->ends)
        return i * set->item_bytes;
    return i ? kvi_le_load16(set->ends + (size_t)KVI_SET_END_BYTES * (i - 1)) : 0;
}

/* Eight ends at once. */
typedef uint16_t end_vector __attribute__((vector_size(16)));

/* Whether the first `count` ends ascend, less those behind the last whole vector. */
static bool ends_ascend(const uint8_t *ends, uint32_t count, uint32_t *seen_out)
{
    end_vector wrong = {0};
    uint64_t halves[2];
    uint32_t i = 1;

    for (; __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ && i + 8 <= count; i += 8) {
        end_vector before, end;

        memcpy(&before, ends + (size_t)KVI_SET_END_BYTES * (i - 1), sizeof(before));
        memcpy(&end, ends + (size_t)KVI_SET_END_BYTES * i, sizeof(end));
        wrong |= (end_vector)(before > end);
    }
    *seen_out = i;
    memcpy(halves, &wrong, sizeof(halves));
    return (halves[0] | halves[1]) == 0;
}

/* Whether the ends ascend up to the last, which is that of all values. */
static bool ends_ok(const struct kvi_set *set)
{
    uint32_t i;

    if (!ends_ascend(set->ends, set->count, &i))
        return false;
    for (; i < set->count; i++) {
        if (value_at(set, i) > value_at(set, i + 1))
            return false;
    }
    return value_at(set, set->count) == set->values_bytes;
}

bool kvi_set_open(const uint8_t *payload, uint32_t payload_bytes, struct kvi_set *set_out)
{
    uint32_t count = kvi_set_count(payload, payload_bytes);
    uint32_t ends_bytes = 0;

    memset(set_out, 0, sizeof(*set_out));
    if (KVI_UNLIKELY(count == 0))
        return false;
    set_out->data = payload;
    set_out->count = count;
    set_out->item_bytes = trailer_item_bytes(payload, payload_bytes);
    set_out->continued = kvi_set_is_continued(payload, payload_bytes);
    if (set_out->item_bytes == 0)
        ends_bytes = KVI_SET_END_BYTES * count;
    set_out->values_bytes = payload_bytes - KVI_SET_TRAILER_BYTES - ends_bytes;
    if (set_out->item_bytes)
        return true;
    set_out->ends = payload + set_out->values_bytes;
    return ends_ok(set_out);
}

/* A number by which packed values of 4 or 8 bytes stand in order. */
static inline uint64_t value_number(const uint8_t *value, uint32_t item_bytes, bool bytes_order)
{
    uint64_t number = item_bytes == 8 ? kvi_fast_load64(value) : kvi_fast_load32(value);

    if (!bytes_order)
        return number;
    return item_bytes == 8 ? __builtin_bswap64(number) : __builtin_bswap32((uint32_t)number);
}

/* How many values are below `value`, all being numbers; no branch depends on them. */
static inline uint32_t numbers_below(const struct kvi_set *set, const uint8_t *value,
                                     uint32_t item_bytes, bool bytes_order)
{
    uint64_t number = value_number(value, item_bytes, bytes_order);
    const uint8_t *base = set->data;
    uint32_t count = set->count;

    while (count > 1) {
        uint32_t half = count / 2;
        const uint8_t *middle = base + (size_t)item_bytes * half;

        base = value_number(middle - item_bytes, item_bytes, bytes_order) < number ? middle : base;
        count -= half;
    }
    return (uint32_t)((size_t)(base - set->data) / item_bytes) +
           (value_number(base, item_bytes, bytes_order) < number);
}

static uint32_t find_number(const struct kvi_shape *shape, const struct kvi_set *set,
                            struct kvi_key value, bool *exact)
{
    bool bytes_order = shape->value_order == KV_ORDER_BYTES;
    uint32_t i;

    if (value.size == 8)
        i = numbers_below(set, value.data, 8, bytes_order);
    else
        i = numbers_below(set, value.data, 4, bytes_order);
    *exact = i < set->count &&
             memcmp(set->data + (size_t)i * set->item_bytes, value.data, value.size) == 0;
    return i;
}

uint32_t kvi_set_find(const struct kvi_shape *shape, const struct kvi_set *set,
                      struct kvi_key value, bool *exact)
{
    uint32_t low = 0, high = set->count;

    *exact = false;
    if (value.size == set->item_bytes && (value.size == 8 || value.size == 4) &&
        shape->value_order != KV_ORDER_CUSTOM)
        return find_number(shape, set, value, exact);
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = kvi_shape_compare_values(shape, value, kvi_set_value(set, middle));

        if (order == 0) {
            *exact = true;
            return middle;
        }
        if (order > 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* ---- Edits ---- */

/* The size that values [from, end) have in common: 0 if there is none, or it is 0. Not to be asked
 * of no values. */
static uint32_t common_size(const struct kvi_set *set, uint32_t from, uint32_t end)
{
    uint32_t size = value_at(set, from + 1) - value_at(set, from);

    for (uint32_t i = from + 1; set->ends && i < end; i++) {
        if (value_at(set, i + 1) - value_at(set, i) != size)
            return 0;
    }
    return size;
}

/* item_bytes of a set of those values and this one (NULL: none). */
static uint32_t result_item_bytes(const struct kvi_set *set, uint32_t from, uint32_t end,
                                  const struct kvi_key *value)
{
    uint32_t size;

    if (from == end)
        return (uint32_t)value->size;
    size = common_size(set, from, end);
    return !value || value->size == size ? size : 0;
}

static uint32_t payload_bytes_of(uint32_t values_bytes, uint32_t count, uint32_t item_bytes)
{
    uint32_t ends_bytes = item_bytes ? 0 : KVI_SET_END_BYTES * count;

    return values_bytes + ends_bytes + KVI_SET_TRAILER_BYTES;
}

uint32_t kvi_set_bytes(const struct kvi_set *set, uint32_t from, uint32_t end,
                       const struct kvi_key *value)
{
    uint32_t values_bytes = value ? (uint32_t)value->size : 0;
    uint32_t count = end - from + (value ? 1 : 0);

    assert(from <= end && end <= set->count);
    assert(count > 0);
    if (from < end)
        values_bytes += value_at(set, end) - value_at(set, from);
    return payload_bytes_of(values_bytes, count, result_item_bytes(set, from, end, value));
}

/* A set that is being written: values first, ends as they come. */
struct writer {
    uint8_t *values; /* where the next value goes */
    uint8_t *ends;   /* and its end; NULL: packed */
    uint32_t at;     /* bytes of values so far */
};

static struct writer writer_begin(uint8_t *to, uint32_t values_bytes, uint32_t item_bytes)
{
    return (struct writer){to, item_bytes ? NULL : to + values_bytes, 0};
}

static void write_end(struct writer *w)
{
    kvi_le_store16(w->ends, (uint16_t)w->at);
    w->ends += KVI_SET_END_BYTES;
}

static void write_range(struct writer *w, const struct kvi_set *set, uint32_t from, uint32_t end)
{
    uint32_t start = value_at(set, from);
    uint32_t bytes = value_at(set, end) - start;

    if (bytes)
        memcpy(w->values, set->data + start, bytes);
    w->values += bytes;
    if (!w->ends)
        return;
    for (uint32_t i = from; i < end; i++) {
        w->at += value_at(set, i + 1) - value_at(set, i);
        write_end(w);
    }
}

static void write_value(struct writer *w, struct kvi_key value)
{
    if (value.size)
        memcpy(w->values, value.data, value.size);
    w->values += value.size;
    if (!w->ends)
        return;
    w->at += (uint32_t)value.size;
    write_end(w);
}

static void write_trailer(uint8_t *to, uint32_t payload_bytes, uint32_t count, uint32_t item_bytes,
                          bool continued)
{
    assert(count > 0 && count <= KVI_SET_COUNT_MAX);
    set_trailer_count(to, payload_bytes, count | (continued ? COUNT_CONTINUED : 0));
    kvi_le_store16(to + payload_bytes - 2, (uint16_t)item_bytes);
}

void kvi_set_write(uint8_t *to, const struct kvi_set *set, uint32_t from, uint32_t end,
                   const struct kvi_key *value, uint32_t at, bool continued)
{
    uint32_t bytes = kvi_set_bytes(set, from, end, value);
    uint32_t item_bytes = result_item_bytes(set, from, end, value);
    uint32_t count = end - from + (value ? 1 : 0);
    uint32_t ends_bytes = item_bytes ? 0 : KVI_SET_END_BYTES * count;
    struct writer w = writer_begin(to, bytes - ends_bytes - KVI_SET_TRAILER_BYTES, item_bytes);

    assert(!value || at <= end - from);
    if (!value)
        at = end - from;
    write_range(&w, set, from, from + at);
    if (value)
        write_value(&w, *value);
    write_range(&w, set, from + at, end);
    write_trailer(to, bytes, count, item_bytes, continued);
}

uint32_t kvi_set_single_bytes(size_t value_bytes)
{
    return payload_bytes_of((uint32_t)value_bytes, 1, (uint32_t)value_bytes);
}

void kvi_set_write_single(uint8_t *to, struct kvi_key value, bool continued)
{
    uint32_t item_bytes = (uint32_t)value.size;
    struct writer w = writer_begin(to, item_bytes, item_bytes);

    write_value(&w, value);
    write_trailer(to, kvi_set_single_bytes(value.size), 1, item_bytes, continued);
}

void kvi_set_insert_packed(uint8_t *payload, uint32_t payload_bytes, uint32_t at,
                           const uint8_t *value, uint32_t item_bytes)
{
    uint32_t word = trailer_count(payload, payload_bytes);

    assert((at + 1) * item_bytes + KVI_SET_TRAILER_BYTES <= payload_bytes);
    assert((word & KVI_SET_COUNT_MAX) < KVI_SET_COUNT_MAX);
    memmove(payload, payload + item_bytes, (size_t)at * item_bytes);
    memcpy(payload + (size_t)at * item_bytes, value, item_bytes);
    set_trailer_count(payload, payload_bytes, word + 1);
}

void kvi_set_remove_packed(uint8_t *payload, uint32_t payload_bytes, uint32_t at,
                           uint32_t item_bytes)
{
    uint32_t word = trailer_count(payload, payload_bytes);

    assert((at + 1) * item_bytes + KVI_SET_TRAILER_BYTES <= payload_bytes);
    assert((word & KVI_SET_COUNT_MAX) > 1);
    memmove(payload + item_bytes, payload, (size_t)at * item_bytes);
    set_trailer_count(payload, payload_bytes, word - 1);
}

/* item_bytes of both together. */
static uint32_t joined_item_bytes(const struct kvi_set *a, const struct kvi_set *b)
{
    uint32_t size = common_size(a, 0, a->count);

    return size && common_size(b, 0, b->count) == size ? size : 0;
}

uint32_t kvi_set_joined_bytes(const struct kvi_set *a, const struct kvi_set *b)
{
    return payload_bytes_of(a->values_bytes + b->values_bytes, a->count + b->count,
                            joined_item_bytes(a, b));
}

void kvi_set_write_joined(uint8_t *to, const struct kvi_set *a, const struct kvi_set *b)
{
    uint32_t item_bytes = joined_item_bytes(a, b);
    struct writer w = writer_begin(to, a->values_bytes + b->values_bytes, item_bytes);

    write_range(&w, a, 0, a->count);
    write_range(&w, b, 0, b->count);
    write_trailer(to, kvi_set_joined_bytes(a, b), a->count + b->count, item_bytes, a->continued);
}

/* ---- Check ---- */

static bool order_known(const struct kvi_shape *shape)
{
    return shape->value_order != KV_ORDER_CUSTOM || shape->value_custom.compare;
}

static const char *check_values(const struct kvi_shape *shape, const struct kvi_set *set)
{
    if (shape->fixed && (set->ends || set->item_bytes != shape->item_bytes))
        return "a value of another size than the table's";
    for (uint32_t i = 1; order_known(shape) && i < set->count; i++) {
        if (kvi_shape_compare_values(shape, kvi_set_value(set, i - 1), kvi_set_value(set, i)) >= 0)
            return "values that do not ascend";
    }
    return NULL;
}

const char *kvi_set_check(const struct kvi_shape *shape, const uint8_t *payload,
                          uint32_t payload_bytes)
{
    struct kvi_set set;

    if (!kvi_set_open(payload, payload_bytes, &set))
        return "a set whose sizes do not add up";
    if (set.ends && common_size(&set, 0, set.count))
        return "a set that is not packed, its values having one size";
    return shape ? check_values(shape, &set) : NULL;
}
