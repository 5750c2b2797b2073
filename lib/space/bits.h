/* SPDX-License-Identifier: MIT */
/*
 * Bitmaps as they stand in a bitmap page: little-endian, lowest bit first, a whole number of 64-bit
 * words (a region's pages are a multiple of 64 at every page size). `bits` points behind the page's
 * header.
 *
 * Owns nothing and knows no region; every index is the caller's to check. Any thread.
 */
#ifndef KVI_SPACE_BITS_H
#define KVI_SPACE_BITS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/le.h"

static inline uint64_t kvi_bits_word(const uint8_t *bits, uint32_t word)
{
    return kvi_le_load64(bits + (uint64_t)word * 8);
}

static inline bool kvi_bits_test(const uint8_t *bits, uint32_t index)
{
    return bits[index / 8] >> (index % 8) & 1;
}

static inline void kvi_bits_set_one(uint8_t *bits, uint32_t index)
{
    bits[index / 8] |= (uint8_t)(1u << index % 8);
}

/* The bits [from, end) of a word; from < end <= 64. */
static inline uint64_t kvi_bits_mask(uint32_t from, uint32_t end)
{
    return (UINT64_MAX >> (64 - (end - from))) << from;
}

/* Bits from which `count` set bits follow upward without a gap; 1 <= count <= 64. */
static inline uint64_t kvi_bits_runs(uint64_t word, uint32_t count)
{
    while (count > 1) {
        uint32_t half = count / 2;

        word &= word >> half;
        count -= half;
    }
    return word;
}

/* Ranges of `count` bits from `from` on. */
bool kvi_bits_all_set(const uint8_t *bits, uint32_t from, uint32_t count);
bool kvi_bits_any_set(const uint8_t *bits, uint32_t from, uint32_t count);
void kvi_bits_set(uint8_t *bits, uint32_t from, uint32_t count);
void kvi_bits_clear(uint8_t *bits, uint32_t from, uint32_t count);

/* Set bits among the first `count`, a multiple of 64. */
uint32_t kvi_bits_count(const uint8_t *bits, uint32_t count);

/* The longest run of clear bits among the first `count`, a multiple of 64. */
uint32_t kvi_bits_longest_clear(const uint8_t *bits, uint32_t count);

/* The highest set bit among the first `count` (a multiple of 64) + 1; 0: none is set. */
uint32_t kvi_bits_end(const uint8_t *bits, uint32_t count);

#endif
