/* SPDX-License-Identifier: MIT */
/* See tree_model.h. */
#include "tree_model.h"

#include <stdlib.h>
#include <string.h>

#include "kv.h"

static size_t mixed_size(struct rng *rng, size_t key_bytes_max)
{
    switch (rng_below(rng, 8)) {
    case 0:
        return rng_below(rng, key_bytes_max + 1);
    case 1:
        return key_bytes_max - rng_below(rng, 4);
    default:
        return rng_below(rng, 40);
    }
}

static size_t make_key(enum model_keys kind, size_t key_bytes_max, struct rng *rng, uint8_t *out)
{
    uint64_t number;
    size_t size;

    if (kind == MODEL_KEYS_NUMBERS) {
        rng_bytes(rng, out, 8);
        return 8;
    }
    if (kind == MODEL_KEYS_TEXT) {
        number = rng_below(rng, 1000000);
        return (size_t)sprintf((char *)out, "group/%llu/a/long/shared/prefix/%llu",
                               (unsigned long long)(number % 7),
                               (unsigned long long)(number >> rng_below(rng, 10)));
    }
    size = mixed_size(rng, key_bytes_max);
    memset(out, 'x', size);
    for (size_t i = 0; i < size && i < 5; i++) {
        out[size - 1 - i] = (uint8_t)rng_below(rng, 256);
    }
    return size;
}

static int compare_keys(const void *a, const void *b)
{
    const struct kvi_key *x = a, *y = b;

    return kvi_key_compare(x->data, x->size, y->data, y->size);
}

/* Drops doubles of the sorted keys. */
static void make_unique(struct model *model)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < model->count; i++) {
        if (kept > 0 && compare_keys(&model->keys[kept - 1], &model->keys[i]) == 0) {
            free((void *)model->keys[i].data);
        } else {
            model->keys[kept++] = model->keys[i];
        }
    }
    model->count = kept;
}

void model_open(struct model *model, enum model_keys kind, uint32_t count, size_t key_bytes_max,
                struct rng *rng)
{
    uint8_t *bytes = malloc(key_bytes_max + 64);

    model->count = count;
    model->keys = malloc(count * sizeof(*model->keys));
    model->values = calloc(count, sizeof(*model->values));
    for (uint32_t i = 0; i < count; i++) {
        size_t size = make_key(kind, key_bytes_max, rng, bytes);
        uint8_t *copy = malloc(size + 1);

        memcpy(copy, bytes, size);
        model->keys[i] = (struct kvi_key){copy, size};
    }
    free(bytes);
    qsort(model->keys, count, sizeof(*model->keys), compare_keys);
    make_unique(model);
}

void model_close(struct model *model)
{
    for (uint32_t i = 0; i < model->count; i++) {
        free((void *)model->keys[i].data);
    }
    free(model->keys);
    free(model->values);
}

struct model_value *model_save(const struct model *model)
{
    struct model_value *saved = malloc(model->count * sizeof(*saved));

    memcpy(saved, model->values, model->count * sizeof(*saved));
    return saved;
}

void model_restore(struct model *model, struct model_value *saved)
{
    memcpy(model->values, saved, model->count * sizeof(*saved));
    free(saved);
}

uint32_t model_from(const struct model *model, uint32_t from)
{
    while (from < model->count && !model->values[from].present) {
        from++;
    }
    return from < model->count ? from : MODEL_NONE;
}

uint32_t model_below(const struct model *model, uint32_t end)
{
    while (end > 0 && !model->values[end - 1].present) {
        end--;
    }
    return end > 0 ? end - 1 : MODEL_NONE;
}

uint32_t model_entries(const struct model *model)
{
    uint32_t entries = 0;

    for (uint32_t i = 0; i < model->count; i++) {
        entries += model->values[i].present;
    }
    return entries;
}

uint32_t model_size(struct rng *rng, uint32_t page_size)
{
    switch (rng_below(rng, 16)) {
    case 0:
        return (uint32_t)rng_below(rng, 5 * (uint64_t)page_size);
    case 1:
    case 2:
        return (uint32_t)rng_below(rng, page_size);
    case 3:
        return 0;
    default:
        return (uint32_t)rng_below(rng, 150);
    }
}

void model_fill(uint64_t seed, uint32_t size_bytes, uint8_t *out)
{
    struct rng rng;

    rng_init(&rng, seed);
    rng_bytes(&rng, out, size_bytes);
}

void model_expect(const struct model *model, uint32_t number, struct kvi_key key,
                  const struct kvi_tree_value *value)
{
    const struct model_value *expected = &model->values[number];
    uint8_t *bytes;

    ck_assert_uint_lt(number, model->count);
    ck_assert_uint_eq(key.size, model->keys[number].size);
    ck_assert(key.size == 0 || memcmp(key.data, model->keys[number].data, key.size) == 0);
    if (!value) {
        return;
    }
    ck_assert_int_eq(value->kind, KVI_CELL_VALUE);
    ck_assert_uint_eq(value->size_bytes, expected->size_bytes);
    bytes = malloc(expected->size_bytes + 1);
    model_fill(expected->seed, expected->size_bytes, bytes);
    ck_assert(expected->size_bytes == 0 || memcmp(value->data, bytes, expected->size_bytes) == 0);
    free(bytes);
}

void model_compare(const struct model *model, struct kvi_tree *tree)
{
    struct kvi_key key = {NULL, 0};
    struct kvi_tree_value value;
    struct kvi_cursor *cursor;
    uint32_t at = 0;

    ck_assert_uint_eq(tree->record.entries, model_entries(model));
    ck_ok(kvi_cursor_open(tree, &cursor));
    while ((at = model_from(model, at)) != MODEL_NONE) {
        ck_ok(kvi_cursor_get(cursor, KV_NEXT, &key, &value));
        model_expect(model, at, key, &value);
        at++;
    }
    ck_rc(kvi_cursor_get(cursor, KV_NEXT, &key, &value), KV_ENOTFOUND);
    kvi_cursor_close(cursor);
}
