/* SPDX-License-Identifier: MIT */
/*
 * Owns the arithmetic on bitmaps: ranges, counts, runs. See bits.h.
 */
#include "space/bits.h"

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
        for (; count >= 64; from += 64, count -= 64) { /* long ranges are whole words */
            if (kvi_bits_word(bits, from / 64))
                return true;
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
    uint64_t total = 0;

    for (uint32_t w = 0; w < count / 64; w++) {
        uint64_t word = kvi_bits_word(bits, w);

        /* Most words of a region in use are full, most of the last region empty. */
        if (word == UINT64_MAX)
            total += 64;
        else if (word)
            total += count_bytes(word) * 0x0101010101010101u >> 56;
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
    uint32_t best = 0;
    uint32_t open = 0; /* clear bits that reach up to the word looked at */

    for (uint32_t w = 0; w < count / 64; w++) {
        uint64_t used = kvi_bits_word(bits, w);

        if (used == 0) {
            open += 64;
            continue;
        }
        if (used == UINT64_MAX && open <= best) {
            open = 0;
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
    for (uint32_t w = count / 64; w > 0; w--) {
        uint64_t used = kvi_bits_word(bits, w - 1);

        if (used)
            return w * 64 - (uint32_t)__builtin_clzll(used);
    }
    return 0;
}
