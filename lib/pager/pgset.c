/* SPDX-License-Identifier: MIT */
/* Owns the bits of a set of page numbers; see pgset.h. */
#include "pager/pgset.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_SHIFT 15u
#define CHUNK_PAGES ((uint64_t)1 << CHUNK_SHIFT)
#define CHUNK_WORDS (CHUNK_PAGES / 64)

static uint64_t *find_word(const struct kvi_pgset *set, uint64_t pgno)
{
    uint64_t chunk = pgno >> CHUNK_SHIFT;

    if (chunk >= set->chunks_max || !set->chunks[chunk])
        return NULL;
    return &set->chunks[chunk][(pgno & (CHUNK_PAGES - 1)) / 64];
}

static uint64_t bit_of(uint64_t pgno)
{
    return (uint64_t)1 << (pgno & 63);
}

static int reserve_index(struct kvi_pgset *set, size_t chunks_max)
{
    size_t grown_max = set->chunks_max * 2 > chunks_max ? set->chunks_max * 2 : chunks_max;
    uint64_t **grown;

    if (chunks_max <= set->chunks_max)
        return 0;
    grown = realloc(set->chunks, grown_max * sizeof(*grown));
    if (!grown)
        return ENOMEM;
    memset(grown + set->chunks_max, 0, (grown_max - set->chunks_max) * sizeof(*grown));
    set->chunks = grown;
    set->chunks_max = grown_max;
    return 0;
}

int kvi_pgset_reserve(struct kvi_pgset *set, uint64_t pgno, uint64_t count)
{
    uint64_t last = (pgno + count - 1) >> CHUNK_SHIFT;
    int rc;

    assert(count > 0);
    rc = reserve_index(set, (size_t)last + 1);
    if (rc)
        return rc;
    for (uint64_t i = pgno >> CHUNK_SHIFT; i <= last; i++) {
        if (set->chunks[i])
            continue;
        set->chunks[i] = calloc(CHUNK_WORDS, sizeof(uint64_t));
        if (!set->chunks[i])
            return ENOMEM;
    }
    return 0;
}

void kvi_pgset_add(struct kvi_pgset *set, uint64_t pgno, uint64_t count)
{
    for (uint64_t end = pgno + count; pgno < end; pgno++) {
        uint64_t *word = find_word(set, pgno);

        assert(word != NULL);
        set->count += (*word & bit_of(pgno)) == 0;
        *word |= bit_of(pgno);
    }
}

void kvi_pgset_remove(struct kvi_pgset *set, uint64_t pgno, uint64_t count)
{
    for (uint64_t end = pgno + count; pgno < end; pgno++) {
        uint64_t *word = find_word(set, pgno);

        if (word && *word & bit_of(pgno)) {
            *word &= ~bit_of(pgno);
            set->count--;
        }
    }
}

bool kvi_pgset_has(const struct kvi_pgset *set, uint64_t pgno, uint64_t count)
{
    if (set->count < count)
        return false;
    for (uint64_t end = pgno + count; pgno < end; pgno++) {
        const uint64_t *word = find_word(set, pgno);

        if (!word || !(*word & bit_of(pgno)))
            return false;
    }
    return true;
}

/* The first member at or above pgno; UINT64_MAX: none. */
static uint64_t find_member(const struct kvi_pgset *set, uint64_t pgno)
{
    uint64_t end = (uint64_t)set->chunks_max << CHUNK_SHIFT;

    while (pgno < end) {
        const uint64_t *word = find_word(set, pgno);
        uint64_t bits;

        if (!word) {
            pgno = (pgno | (CHUNK_PAGES - 1)) + 1;
            continue;
        }
        bits = *word >> (pgno & 63);
        if (bits)
            return pgno + (unsigned)__builtin_ctzll(bits);
        pgno = (pgno | 63) + 1;
    }
    return UINT64_MAX;
}

bool kvi_pgset_next(const struct kvi_pgset *set, uint64_t *pgno, uint64_t *count_out)
{
    uint64_t first = find_member(set, *pgno);
    uint64_t end = first;

    *count_out = 0;
    if (first == UINT64_MAX)
        return false;
    do {
        end++;
    } while (kvi_pgset_has(set, end, 1));
    *pgno = first;
    *count_out = end - first;
    return true;
}

int kvi_pgset_reserve_all(struct kvi_pgset *set, const struct kvi_pgset *more)
{
    return reserve_index(set, more->chunks_max);
}

void kvi_pgset_move_all(struct kvi_pgset *set, struct kvi_pgset *more)
{
    assert(set->chunks_max >= more->chunks_max);
    for (size_t i = 0; i < more->chunks_max; i++) {
        if (!set->chunks[i]) {
            set->chunks[i] = more->chunks[i];
            more->chunks[i] = NULL;
            continue;
        }
        for (size_t j = 0; more->chunks[i] && j < CHUNK_WORDS; j++) {
            assert(!(set->chunks[i][j] & more->chunks[i][j]));
            set->chunks[i][j] |= more->chunks[i][j];
        }
    }
    set->count += more->count;
    kvi_pgset_release(more);
}

void kvi_pgset_release(struct kvi_pgset *set)
{
    for (size_t i = 0; i < set->chunks_max; i++)
        free(set->chunks[i]);
    free(set->chunks);
    *set = (struct kvi_pgset){0};
}
