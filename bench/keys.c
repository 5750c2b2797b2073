/* SPDX-License-Identifier: MIT */
/* Keys, orders and values: see keys.h. */
#include "keys.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VALUE_BYTES_MAX (4u << 20)

const char *keys_name(enum keys_kind kind)
{
    switch (kind) {
    case KEYS_RANDOM_8:
        return "8 B";
    case KEYS_DIGITS_16:
        return "16 B";
    case KEYS_PREFIX_31:
        return "31 B";
    }
    return "?";
}

/* splitmix64 */
uint64_t random_next(uint64_t *state)
{
    uint64_t z = *state += 0x9E3779B97F4A7C15u;

    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static int number_compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

/* Even numbers only, so that odd ones are absent keys. */
static void key_write(enum keys_kind kind, uint64_t number, uint8_t *out)
{
    char text[40];

    if (kind == KEYS_RANDOM_8) {
        for (int i = 0; i < 8; i++)
            out[i] = (uint8_t)(number >> (56 - 8 * i));
        return;
    }
    snprintf(text, sizeof(text), "%s%016" PRIu64, kind == KEYS_PREFIX_31 ? "user/profile/0/" : "",
             number % 10000000000000000u);
    memcpy(out, text, kind == KEYS_PREFIX_31 ? 31 : 16);
}

static size_t key_bytes_of(enum keys_kind kind)
{
    return kind == KEYS_RANDOM_8 ? 8 : kind == KEYS_DIGITS_16 ? 16 : 31;
}

static void *memory(size_t bytes)
{
    void *p = malloc(bytes);

    if (!p)
        store_fail("keys", "no memory");
    return p;
}

void keys_init(struct keys *keys, enum keys_kind kind, uint32_t count, uint64_t seed)
{
    uint64_t *numbers = memory(count * sizeof(*numbers));
    uint64_t state = seed;

    keys->kind = kind;
    keys->count = count;
    keys->key_bytes = key_bytes_of(kind);
    keys->bytes = memory(count * keys->key_bytes);
    keys->order = memory(count * sizeof(*keys->order));
    for (uint32_t i = 0; i < count; i++) {
        uint64_t number = random_next(&state);

        numbers[i] = (kind == KEYS_RANDOM_8 ? number : number % 10000000000000000u) & ~UINT64_C(1);
    }
    qsort(numbers, count, sizeof(*numbers), number_compare);
    for (uint32_t i = 1; i < count; i++) {
        if (numbers[i] <= numbers[i - 1])
            numbers[i] = numbers[i - 1] + 2;
    }
    for (uint32_t i = 0; i < count; i++) {
        key_write(kind, numbers[i], keys->bytes + i * keys->key_bytes);
        keys->order[i] = i;
    }
    for (uint32_t i = count - 1; i > 0; i--) {
        uint32_t j = (uint32_t)(random_next(&state) % (i + 1));
        uint32_t swap = keys->order[i];

        keys->order[i] = keys->order[j];
        keys->order[j] = swap;
    }
    free(numbers);
}

void keys_release(struct keys *keys)
{
    free(keys->bytes);
    free(keys->order);
}

struct store_slice keys_at(const struct keys *keys, uint32_t i)
{
    struct store_slice slice = {keys->bytes + i * keys->key_bytes, keys->key_bytes};

    return slice;
}

struct store_slice keys_random(const struct keys *keys, uint32_t i)
{
    return keys_at(keys, keys->order[i % keys->count]);
}

struct store_slice keys_absent(const struct keys *keys, uint32_t i, uint8_t buffer[32])
{
    struct store_slice slice = keys_random(keys, i);

    memcpy(buffer, slice.data, slice.size);
    buffer[slice.size - 1] |= 1;
    slice.data = buffer;
    return slice;
}

struct store_slice value_of(uint32_t i, size_t size)
{
    static uint8_t *bytes;
    struct store_slice slice;

    if (!bytes) {
        uint64_t state = 7;

        bytes = memory(VALUE_BYTES_MAX + 256);
        for (size_t k = 0; k < VALUE_BYTES_MAX + 256; k++)
            bytes[k] = (uint8_t)random_next(&state);
    }
    slice.data = bytes + i % 251;
    slice.size = size;
    return slice;
}
