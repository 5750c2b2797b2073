/* SPDX-License-Identifier: MIT */
/*
 * Owns the orders of keys and values, and the bytes by which a branch tells records apart: search
 * arguments (probes) and separators.
 *
 * A separator is cut from the composite of the record at its right, as short as still divides. It
 * is never put together whole: how much of it is needed follows from where the two records differ.
 *
 * Refuses nothing: sizes that no writer makes (a damaged page's keys) give separators that are too
 * long, which the branch then does not take. Pure but for a probe's memory; any thread.
 */
#include "format/shape.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "format/node_page.h"

/* Behind the key in a composite: 00 (not with integer keys), then one of these. An escaped 00 of
 * the key is followed by ESCAPED, which is above both. */
enum composite_mark { MARK_VALUES = 0x01, MARK_BEHIND = 0x02, MARK_ESCAPED = 0xFF };

#define CUSTOM_SIZE_BYTES 2u /* of the key, in front of a custom separator of a pair */

/* ---- Shapes ---- */

static unsigned leaf_flags(const struct kvi_shape *shape)
{
    return (shape->duplicates ? KVI_PAGE_SETS : 0) |
           (unsigned)shape->key_order << KVI_PAGE_ORDER_SHIFT |
           (unsigned)shape->align_log2 << KVI_PAGE_ALIGN_SHIFT;
}

static unsigned branch_flags(const struct kvi_shape *shape)
{
    return (shape->counted ? KVI_PAGE_COUNTED : 0) |
           (shape->duplicates ? KVI_PAGE_COUNTED_KEYS : 0) |
           (shape->custom ? (unsigned)KV_ORDER_CUSTOM << KVI_PAGE_ORDER_SHIFT : 0);
}

void kvi_shape_init(struct kvi_shape *shape, const struct kvi_table_record *record)
{
    memset(shape, 0, sizeof(*shape));
    shape->duplicates = (record->flags & KVI_TABLE_DUPLICATES) != 0;
    shape->fixed = (record->flags & KVI_TABLE_FIXED) != 0;
    shape->counted = shape->duplicates || (record->flags & KVI_TABLE_COUNTED);
    shape->key_order = record->order;
    shape->value_order = record->value_order;
    shape->custom = shape->key_order == KV_ORDER_CUSTOM || shape->value_order == KV_ORDER_CUSTOM;
    shape->plain = shape->key_order == KV_ORDER_BYTES && !shape->duplicates;
    shape->align_log2 = record->align_log2;
    shape->key_bytes = record->key_bytes;
    shape->item_bytes = record->item_bytes;
    shape->page_flags[0] = (uint16_t)leaf_flags(shape);
    shape->page_flags[1] = (uint16_t)branch_flags(shape);
}

bool kvi_shape_searchable(const struct kvi_shape *shape)
{
    return (shape->key_order != KV_ORDER_CUSTOM || shape->key_custom.compare) &&
           (shape->value_order != KV_ORDER_CUSTOM || shape->value_custom.compare);
}

/* ---- Orders ---- */

static int compare_custom(const struct kvi_comparator *comparator, struct kvi_key a,
                          struct kvi_key b)
{
    struct kv_val x = {a.size, (void *)(uintptr_t)a.data};
    struct kv_val y = {b.size, (void *)(uintptr_t)b.data};

    assert(comparator->compare);
    return comparator->compare(comparator->context, &x, &y);
}

static inline int compare(unsigned order, const struct kvi_comparator *comparator, struct kvi_key a,
                          struct kvi_key b)
{
    if (order == KV_ORDER_BYTES)
        return kvi_tail_compare(a.data, a.size, b.data, b.size, 0);
    if (order != KV_ORDER_CUSTOM)
        return kvi_tail_compare_reversed(a.data, a.size, b.data, b.size, 0);
    return compare_custom(comparator, a, b);
}

int kvi_shape_compare_keys(const struct kvi_shape *shape, struct kvi_key a, struct kvi_key b)
{
    return compare(shape->key_order, &shape->key_custom, a, b);
}

int kvi_shape_compare_values(const struct kvi_shape *shape, struct kvi_key a, struct kvi_key b)
{
    return compare(shape->value_order, &shape->value_custom, a, b);
}

/* ---- Composites ---- */

/* Byte i of a key's normal form. */
static inline uint8_t normal_byte(unsigned order, struct kvi_key key, size_t i)
{
    return key.data[order == KV_ORDER_BYTES ? i : key.size - 1 - i];
}

/* Writes the first `count` bytes of a normal form; returns the end of what it wrote. */
static uint8_t *write_normal(uint8_t *to, unsigned order, struct kvi_key key, size_t count)
{
    assert(count <= key.size);
    if (count == 0)
        return to;
    if (order == KV_ORDER_BYTES) {
        memcpy(to, key.data, count);
    } else if (count == sizeof(uint64_t) && key.size == count) {
        kvi_le_store64(to, __builtin_bswap64(kvi_le_load64(key.data)));
    } else {
        for (size_t i = 0; i < count; i++)
            to[i] = key.data[key.size - 1 - i];
    }
    return to + count;
}

/* The same with each 00 escaped. */
static uint8_t *write_escaped(uint8_t *to, unsigned order, struct kvi_key key, size_t count)
{
    uint8_t *end = write_normal(to, order, key, count);
    uint8_t *zero = count ? memchr(to, 0, count) : NULL;

    if (!zero)
        return end;
    for (size_t i = (size_t)(zero - to); i < count; i++) { /* from the first 00 on once more */
        *zero = normal_byte(order, key, i);
        if (*zero++ == 0)
            *zero++ = MARK_ESCAPED;
    }
    return zero;
}

/* A whole key of a composite, up to where its values begin. */
static uint8_t *write_key(uint8_t *to, const struct kvi_shape *shape, struct kvi_key key,
                          enum composite_mark mark)
{
    if (shape->key_order == KV_ORDER_UINT) {
        to = write_normal(to, shape->key_order, key, key.size);
    } else {
        to = write_escaped(to, shape->key_order, key, key.size);
        *to++ = 0;
    }
    *to++ = (uint8_t)mark;
    return to;
}

size_t kvi_separator_room(const struct kvi_shape *shape, size_t key_bytes, size_t value_bytes)
{
    if (!shape->duplicates)
        return key_bytes;
    if (shape->custom)
        return CUSTOM_SIZE_BYTES + key_bytes + value_bytes;
    return 2 * key_bytes + 2 + value_bytes;
}

uint32_t kvi_pair_bytes_max(const struct kvi_geometry *g)
{
    return g->key_bytes_max / 3 - 1; /* a key of zeros doubles, and 00 01 */
}

/* ---- Probes ---- */

static void probe_write(struct kvi_probe *probe, const struct kvi_shape *shape, uint8_t *to)
{
    enum composite_mark mark = probe->where == KVI_PROBE_LAST ? MARK_BEHIND : MARK_VALUES;
    uint8_t *end;

    if (!shape->duplicates) {
        end = write_normal(to, shape->key_order, probe->key, probe->key.size);
    } else {
        end = write_key(to, shape, probe->key, mark);
        if (probe->where == KVI_PROBE_VALUE)
            end = write_normal(end, shape->value_order, probe->value, probe->value.size);
    }
    probe->separator = (struct kvi_key){to, (size_t)(end - to)};
}

int kvi_probe_init(struct kvi_probe *probe, const struct kvi_shape *shape, struct kvi_key key,
                   struct kvi_key value, enum kvi_probe_where where)
{
    size_t room;

    probe->key = key;
    probe->value = value;
    probe->where = where;
    probe->separator = key;
    probe->heap = NULL;
    if (shape->plain || shape->custom)
        return 0;
    room = kvi_separator_room(shape, key.size, where == KVI_PROBE_VALUE ? value.size : 0);
    if (KVI_UNLIKELY(room > sizeof(probe->room))) {
        probe->heap = malloc(room);
        if (!probe->heap) {
            probe->separator = (struct kvi_key){NULL, 0};
            return ENOMEM;
        }
    }
    probe_write(probe, shape, probe->heap ? probe->heap : probe->room);
    return 0;
}

void kvi_probe_release(struct kvi_probe *probe)
{
    if (KVI_UNLIKELY(probe->heap != NULL)) {
        free(probe->heap);
        probe->heap = NULL;
    }
}

bool kvi_separator_split(const struct kvi_shape *shape, struct kvi_key separator,
                         struct kvi_key *key_out, struct kvi_key *value_out)
{
    size_t key_bytes;

    assert(shape->custom);
    *key_out = separator;
    *value_out = (struct kvi_key){NULL, 0};
    if (!shape->duplicates)
        return true;
    key_bytes = separator.size < CUSTOM_SIZE_BYTES ? SIZE_MAX : kvi_le_load16(separator.data);
    if (key_bytes > separator.size - CUSTOM_SIZE_BYTES || separator.size < CUSTOM_SIZE_BYTES)
        return false;
    key_out->data = separator.data + CUSTOM_SIZE_BYTES;
    key_out->size = key_bytes;
    value_out->data = key_out->data + key_bytes;
    value_out->size = separator.size - CUSTOM_SIZE_BYTES - key_bytes;
    return true;
}

int kvi_probe_compare_separator(const struct kvi_shape *shape, const struct kvi_probe *probe,
                                struct kvi_key separator)
{
    struct kvi_key key, value;
    int order;

    if (!shape->custom)
        return kvi_key_compare(probe->separator.data, probe->separator.size, separator.data,
                               separator.size);
    if (!kvi_separator_split(shape, separator, &key, &value))
        return -1;
    order = kvi_shape_compare_keys(shape, probe->key, key);
    if (order || !shape->duplicates)
        return order;
    if (probe->where != KVI_PROBE_VALUE)
        return probe->where == KVI_PROBE_FIRST ? -1 : 1;
    return kvi_shape_compare_values(shape, probe->value, value);
}

/* ---- Separators ---- */

/* Bytes of the right one's normal form up to and with the first that tells the two apart; all where
 * they do not differ, or are in disorder. */
static size_t dividing_bytes(unsigned order, struct kvi_key left, struct kvi_key right)
{
    size_t limit = left.size < right.size ? left.size : right.size;
    size_t i = 0;

    while (i < limit && normal_byte(order, left, i) == normal_byte(order, right, i))
        i++;
    return i < right.size ? i + 1 : right.size;
}

static bool same_bytes(struct kvi_key a, struct kvi_key b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static size_t make_custom(const struct kvi_shape *shape, struct kvi_key key, struct kvi_key value,
                          uint8_t *room)
{
    uint8_t *to = room;

    if (shape->duplicates) {
        kvi_le_store16(to, (uint16_t)key.size);
        to += CUSTOM_SIZE_BYTES;
    }
    to = write_normal(to, KV_ORDER_BYTES, key, key.size);
    if (shape->duplicates)
        to = write_normal(to, KV_ORDER_BYTES, value, value.size);
    return (size_t)(to - room);
}

size_t kvi_separator_make(const struct kvi_shape *shape, struct kvi_key left_key,
                          struct kvi_key left_value, struct kvi_key right_key,
                          struct kvi_key right_value, uint8_t *room)
{
    unsigned order = shape->key_order;
    size_t count;
    uint8_t *end;

    if (shape->custom)
        return make_custom(shape, right_key, right_value, room);
    if (shape->duplicates && same_bytes(left_key, right_key)) {
        count = dividing_bytes(shape->value_order, left_value, right_value);
        end = write_key(room, shape, right_key, MARK_VALUES);
        end = write_normal(end, shape->value_order, right_value, count);
        return (size_t)(end - room);
    }
    count = dividing_bytes(order, left_key, right_key);
    if (!shape->duplicates || order == KV_ORDER_UINT)
        end = write_normal(room, order, right_key, count);
    else
        end = write_escaped(room, order, right_key, count);
    return (size_t)(end - room);
}
