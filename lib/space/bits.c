/* SPDX-License-Identifier: MIT */
/*
 * Owns the arithmetic on bitmaps: ranges, counts, runs. See bits.h.
 *
 * A commit counts a whole bitmap, and most of it is all set (a region in use) or all clear (the
 * last one): such stretches are passed several words at a time.
 */
#include "space/bits.h"

#include <string.h>

/* The part of a range that lies in one word. */
struct part {
    uint32_t word;
    uint64_t mask;
};

/* Takes the next word's part off the range; the range is not empty. */
static struct part next_part(uint32_t *from, uint32_t *count)
{
    uint32_t low = *from % 64;
    uint32_t bits = 64 - low < *count ? 64 - low : *count;
    struct part part = {*from / 64, kvi_bits_mask(low, low + bits)};

    *from += bits;
    *count -= bits;
    return part;
}

/* Words that are looked at in one step: written out, which compilers do not do by themselves. */
#define STRETCH 8u

/* In whatever byte order: all clear and all set look the same. */
static inline uint64_t raw(const uint8_t *bits, uint32_t word)
{
    uint64_t value;

    memcpy(&value, bits + (uint64_t)word * 8, sizeof(value));
    return value;
}

static inline uint64_t any_of(const uint8_t *bits, uint32_t word)
{
    return raw(bits, word) | raw(bits, word + 1) | raw(bits, word + 2) | raw(bits, word + 3) |
           raw(bits, word + 4) | raw(bits, word + 5) | raw(bits, word + 6) | raw(bits, word + 7);
}

static inline uint64_t all_of(const uint8_t *bits, uint32_t word)
{
    return raw(bits, word) & raw(bits, word + 1) & raw(bits, word + 2) & raw(bits, word + 3) &
           raw(bits, word + 4) & raw(bits, word + 5) & raw(bits, word + 6) & raw(bits, word + 7);
}

/* From `word` on past what is all clear, or all set, in whole steps below `words`. */
static uint32_t pass_clear(const uint8_t *bits, uint32_t word, uint32_t words)
{
    while (word + STRETCH <= words && any_of(bits, word) == 0)
        word += STRETCH;
    return word;
}

static uint32_t pass_set(const uint8_t *bits, uint32_t word, uint32_t words)
{
    while (word + STRETCH <= words && all_of(bits, word) == UINT64_MAX)
        word += STRETCH;
    return word;
}

bool kvi_bits_all_set(const uint8_t *bits, uint32_t from, uint32_t count)
{
    while (count) {
        struct part part = next_part(&from, &count);

        if ((kvi_bits_word(bits, part.word) & part.mask) != part.mask)
            return false;
    }
    return true;
}

bool kvi_bits_any_set(const uint8_t *bits, uint32_t from, uint32_t count)
{
    while (count) {
        struct part part = next_part(&from, &count);

        if (kvi_bits_word(bits, part.word) & part.mask)
            return true;
        if (count >= 64 * STRETCH) { /* long ranges are whole words */
            uint32_t passed = pass_clear(bits, from / 64, (from + count) / 64) * 64;

            count -= passed - from;
            from = passed;
        }
    }
    return false;
}

void kvi_bits_set(uint8_t *bits, uint32_t from, uint32_t count)
{
    while (count) {
        struct part part = next_part(&from, &count);
        uint8_t *at = bits + (uint64_t)part.word * 8;

        kvi_le_store64(at, kvi_le_load64(at) | part.mask);
    }
}

void kvi_bits_clear(uint8_t *bits, uint32_t from, uint32_t count)
{
    while (count) {
        struct part part = next_part(&from, &count);
        uint8_t *at = bits + (uint64_t)part.word * 8;

        kvi_le_store64(at, kvi_le_load64(at) & ~part.mask);
    }
}

/* Written out, since the baseline machine has no instruction for it and compilers then call a
 * function. */
static uint64_t count_bytes(uint64_t word)
{
    word -= word >> 1 & 0x5555555555555555u;
    word = (word & 0x3333333333333333u) + (word >> 2 & 0x3333333333333333u);
    return (word + (word >> 4)) & 0x0f0f0f0f0f0f0f0fu;
}

uint32_t kvi_bits_count(const uint8_t *bits, uint32_t count)
{
    uint32_t words = count / 64;
    uint64_t total = 0;

    for (uint32_t w = 0; w < words; w++) {
        uint64_t word = kvi_bits_word(bits, w);

        if (word == UINT64_MAX) {
            uint32_t passed = pass_set(bits, w + 1, words) - 1;

            total += (passed - w + 1) * UINT64_C(64);
            w = passed;
        } else if (word) {
            total += count_bytes(word) * 0x0101010101010101u >> 56;
        } else {
            w = pass_clear(bits, w + 1, words) - 1;
        }
    }
    return (uint32_t)total;
}

/* The longest run of set bits of `word` if it is longer than `best`, else best. */
static uint32_t longest_inside(uint64_t word, uint32_t best)
{
    while (best < 64 && kvi_bits_runs(word, best + 1))
        best++;
    return best;
}

uint32_t kvi_bits_longest_clear(const uint8_t *bits, uint32_t count)
{
    uint32_t words = count / 64;
    uint32_t best = 0;
    uint32_t open = 0; /* clear bits that reach up to the word looked at */

    for (uint32_t w = 0; w < words; w++) {
        uint64_t used = kvi_bits_word(bits, w);

        if (used == 0) {
            uint32_t passed = pass_clear(bits, w + 1, words) - 1;

            open += (passed - w + 1) * 64;
            w = passed;
            continue;
        }
        if (used == UINT64_MAX && open <= best) {
            open = 0;
            w = pass_set(bits, w + 1, words) - 1;
            continue;
        }
        open += (uint32_t)__builtin_ctzll(used);
        if (open > best)
            best = open;
        best = longest_inside(~used, best);
        open = (uint32_t)__builtin_clzll(used);
    }
    return open > best ? open : best;
}

uint32_t kvi_bits_end(const uint8_t *bits, uint32_t count)
{
    uint32_t words = count / 64;

    while (words >= STRETCH && any_of(bits, words - STRETCH) == 0)
        words -= STRETCH;
    for (uint32_t w = words; w > 0; w--) {
        uint64_t used = kvi_bits_word(bits, w - 1);

        if (used)
            return w * 64 - (uint32_t)__builtin_clzll(used);
    }
    return 0;
}
