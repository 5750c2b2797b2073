/* SPDX-License-Identifier: MIT */
/* See pair_model.h. */
#include "pair_model.h"

#include <stdlib.h>
#include <string.h>

/* ---- Order, as it should be ---- */

static int compare_bytes(const uint8_t *a, size_t a_bytes, const uint8_t *b, size_t b_bytes)
{
    size_t common = a_bytes < b_bytes ? a_bytes : b_bytes;
    int order = common ? memcmp(a, b, common) : 0;

    return order ? order : (a_bytes > b_bytes) - (a_bytes < b_bytes);
}

static int compare_reversed(struct pair_bytes a, struct pair_bytes b)
{
    for (uint32_t i = 1; i <= a.size && i <= b.size; i++) {
        if (a.data[a.size - i] != b.data[b.size - i]) {
            return a.data[a.size - i] < b.data[b.size - i] ? -1 : 1;
        }
    }
    return (a.size > b.size) - (a.size < b.size);
}

static uint64_t number_of(struct pair_bytes a)
{
    uint64_t wide = 0;
    uint32_t narrow = 0;

    if (a.size == 4) {
        memcpy(&narrow, a.data, 4);
        return narrow;
    }
    memcpy(&wide, a.data, 8);
    return wide;
}

/* The order that the tests call a user's: descending, so that the empty key is the last. */
int pair_compare_custom(void *context, const struct kv_val *a, const struct kv_val *b)
{
    (void)context;
    return -compare_bytes(a->data, a->size, b->data, b->size);
}

int pair_compare(uint8_t order, struct pair_bytes a, struct pair_bytes b)
{
    switch (order) {
    case KV_ORDER_BYTES:
        return compare_bytes(a.data, a.size, b.data, b.size);
    case KV_ORDER_REVERSE:
        return compare_reversed(a, b);
    case KV_ORDER_UINT:
        return (number_of(a) > number_of(b)) - (number_of(a) < number_of(b));
    default:
        return -compare_bytes(a.data, a.size, b.data, b.size);
    }
}

/* First pair that is not before (key, value). */
uint32_t pair_place(const struct pair_model *model, uint32_t key, const struct pair_bytes *value)
{
    uint32_t low = 0, high = model->pairs.count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct pair_entry *pair = &model->pairs.list[middle];
        int order = pair->key < key ? -1 : pair->key > key;

        if (order == 0) {
            order = value ? pair_compare(model->value_order, pair->value, *value) : 0;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

uint32_t pair_first(const struct pair_model *model, uint32_t key)
{
    return pair_place(model, key, NULL);
}

uint32_t pair_end(const struct pair_model *model, uint32_t key)
{
    return pair_place(model, key + 1, NULL);
}

bool pair_is_at(const struct pair_model *model, uint32_t place, uint32_t key,
                const struct pair_bytes *value)
{
    const struct pair_entry *pair;

    if (place >= model->pairs.count)
        return false;
    pair = &model->pairs.list[place];
    return pair->key == key &&
           (!value || pair_compare(model->value_order, pair->value, *value) == 0);
}

/* ---- The model ---- */

struct pair_bytes pair_bytes_copy(struct pair_bytes from)
{
    struct pair_bytes to = {from.size, malloc(from.size + 1u)};

    if (from.size) {
        memcpy(to.data, from.data, from.size);
    }
    return to;
}

static void model_insert(struct pair_model *model, uint32_t place, uint32_t key,
                         struct pair_bytes value)
{
    struct pair_list *p = &model->pairs;

    if (p->count == p->room) {
        p->room = p->room * 2 + 64;
        p->list = realloc(p->list, p->room * sizeof(*p->list));
    }
    memmove(p->list + place + 1, p->list + place, (p->count - place) * sizeof(*p->list));
    p->list[place] = (struct pair_entry){key, pair_bytes_copy(value)};
    p->count++;
}

void pair_remove(struct pair_model *model, uint32_t from, uint32_t end)
{
    struct pair_list *p = &model->pairs;

    for (uint32_t i = from; i < end; i++) {
        free(p->list[i].value.data);
    }
    memmove(p->list + from, p->list + end, (p->count - end) * sizeof(*p->list));
    p->count -= end - from;
}

void pair_put(struct pair_model *model, uint32_t key, struct pair_bytes value)
{
    uint32_t place = pair_place(model, key, model->duplicates ? &value : NULL);

    if (pair_is_at(model, place, key, model->duplicates ? &value : NULL)) {
        if (model->duplicates) {
            return;
        }
        pair_remove(model, place, place + 1);
    }
    model_insert(model, place, key, value);
}

struct pair_list pair_list_copy(const struct pair_list *from)
{
    struct pair_list to = {from->count, from->count + 1,
                           malloc((from->count + 1) * sizeof(*to.list))};

    for (uint32_t i = 0; i < from->count; i++) {
        to.list[i] = (struct pair_entry){from->list[i].key, pair_bytes_copy(from->list[i].value)};
    }
    return to;
}

void pair_list_free(struct pair_list *pairs)
{
    for (uint32_t i = 0; i < pairs->count; i++) {
        free(pairs->list[i].value.data);
    }
    free(pairs->list);
    memset(pairs, 0, sizeof(*pairs));
}
