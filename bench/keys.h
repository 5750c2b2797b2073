/* SPDX-License-Identifier: MIT */
/*
 * Keys, orders and values of the benchmark: the same for every store, from a fixed seed.
 *
 * A key set has `count` distinct keys of one kind, numbered 0 .. count - 1 in key order, and a
 * random order of the numbers. Owned by the caller until keys_release.
 */
#ifndef BENCH_KEYS_H
#define BENCH_KEYS_H

#include <stddef.h>
#include <stdint.h>

#include "store.h"

enum keys_kind {
    KEYS_RANDOM_8,  /* 8 random bytes */
    KEYS_DIGITS_16, /* 16 decimal digits */
    KEYS_PREFIX_31  /* 31 bytes: a common prefix of 15, 16 digits */
};

struct keys {
    enum keys_kind kind;
    size_t key_bytes;
    uint32_t count;
    uint8_t *bytes;  /* sorted, key_bytes each */
    uint32_t *order; /* a random permutation */
};

const char *keys_name(enum keys_kind kind);
void keys_init(struct keys *keys, enum keys_kind kind, uint32_t count, uint64_t seed);
void keys_release(struct keys *keys);

/* Key number i in key order, or at position i of the random order. */
struct store_slice keys_at(const struct keys *keys, uint32_t i);
struct store_slice keys_random(const struct keys *keys, uint32_t i);

/* A key of the same form that is not in the set, for number i. */
struct store_slice keys_absent(const struct keys *keys, uint32_t i, uint8_t buffer[32]);

/* `size` bytes that differ from record to record. Valid until the next call. */
struct store_slice value_of(uint32_t i, size_t size);

uint64_t random_next(uint64_t *state);

#endif
