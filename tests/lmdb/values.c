/* SPDX-License-Identifier: MIT */
/*
 * Values, random numbers and shorthands for the programs both_*.c; see both.h. What val_* hand out is
 * storage in rings, so that a test can write a call in one line; for one thread.
 */
#include "both.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define RING 64
#define RING_LONG 8
#define LONG_MAX_BYTES 1048576u

const struct both_kind both_kinds[BOTH_KINDS] = {
    {"plain", 0},
    {"reverse", MDB_REVERSEKEY},
    {"integer", MDB_INTEGERKEY},
    {"dup", MDB_DUPSORT},
    {"dup-fixed", MDB_DUPSORT | MDB_DUPFIXED},
    {"dup-integer", MDB_DUPSORT | MDB_DUPFIXED | MDB_INTEGERDUP},
    {"dup-reverse", MDB_DUPSORT | MDB_REVERSEDUP},
    {"dup-fixed-reverse", MDB_DUPSORT | MDB_DUPFIXED | MDB_REVERSEDUP},
    {"reverse-dup", MDB_REVERSEKEY | MDB_DUPSORT},
    {"reverse-dup-reverse", MDB_REVERSEKEY | MDB_DUPSORT | MDB_REVERSEDUP},
    {"integer-dup", MDB_INTEGERKEY | MDB_DUPSORT},
    {"integer-dup-fixed", MDB_INTEGERKEY | MDB_DUPSORT | MDB_DUPFIXED},
    {"integer-dup-integer", MDB_INTEGERKEY | MDB_DUPSORT | MDB_DUPFIXED | MDB_INTEGERDUP},
    {"integer-dup-reverse", MDB_INTEGERKEY | MDB_DUPSORT | MDB_REVERSEDUP},
};

/* ---- Values ---------------------------------------------------------------------------------- */

/* Room of 512 bytes that the next 63 calls leave alone. */
static char *ring_next(void)
{
    static char ring[RING][512] __attribute__((aligned(8)));
    static unsigned at;

    return ring[at++ % RING];
}

MDB_val val_bytes(const void *data, size_t size_bytes)
{
    MDB_val val;

    val.mv_size = size_bytes;
    val.mv_data = (void *)(uintptr_t)data;
    return val;
}

MDB_val val_str(const char *text)
{
    return val_bytes(text, strlen(text));
}

MDB_val val_u32(uint32_t number)
{
    return val_bytes(memcpy(ring_next(), &number, sizeof number), sizeof number);
}

MDB_val val_u64(uint64_t number)
{
    return val_bytes(memcpy(ring_next(), &number, sizeof number), sizeof number);
}

MDB_val val_format(const char *format, ...)
{
    char *text = ring_next();
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, 512, format, args);
    va_end(args);
    return val_str(text);
}

MDB_val val_filled(uint64_t number, size_t size_bytes)
{
    static uint8_t *ring[RING_LONG];
    static unsigned at;
    uint8_t **room = &ring[at++ % RING_LONG];
    struct both_rng rng;

    if (!*room) {
        *room = malloc(LONG_MAX_BYTES);
    }
    if (!*room || size_bytes > LONG_MAX_BYTES) {
        abort();
    }
    both_rng_init(&rng, number);
    for (size_t i = 0; i < size_bytes; i += 8) {
        uint64_t word = both_next(&rng);
        size_t left = size_bytes - i;

        memcpy(*room + i, &word, left < 8 ? left : 8);
    }
    return val_bytes(*room, size_bytes);
}

/* ---- Shorthands ------------------------------------------------------------------------------ */

MDB_env *both_env(const char *path, unsigned flags)
{
    MDB_env *env = NULL;

    if (!(flags & MDB_NOSUBDIR) && mkdir(path, 0755) != 0 && errno != EEXIST) {
        MUST(errno);
    }
    MUST(mdb_env_create(&env));
    MUST(mdb_env_set_maxdbs(env, 8));
    MUST(mdb_env_set_mapsize(env, (size_t)16 << 20));
    MUST(mdb_env_open(env, path, flags, 0664));
    return env;
}

MDB_txn *both_begin(MDB_env *env, MDB_txn *parent, unsigned flags)
{
    MDB_txn *txn = NULL;

    MUST(mdb_txn_begin(env, parent, flags, &txn));
    return txn;
}

int both_put(MDB_txn *txn, MDB_dbi dbi, const char *key, const char *data, unsigned flags)
{
    MDB_val k = val_str(key);
    MDB_val d = val_str(data);

    return mdb_put(txn, dbi, &k, &d, flags);
}

/* ---- Random numbers (xorshift128+) ----------------------------------------------------------- */

void both_rng_init(struct both_rng *rng, uint64_t seed)
{
    for (int i = 0; i < 2; i++) {
        uint64_t z = seed += 0x9e3779b97f4a7c15u;

        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
        z = (z ^ z >> 27) * 0x94d049bb133111ebu;
        rng->state[i] = z ^ z >> 31;
    }
}

uint64_t both_next(struct both_rng *rng)
{
    uint64_t a = rng->state[0];
    uint64_t b = rng->state[1];

    rng->state[0] = b;
    a ^= a << 23;
    rng->state[1] = a ^ b ^ a >> 18 ^ b >> 5;
    return rng->state[1] + b;
}

uint64_t both_below(struct both_rng *rng, uint64_t end)
{
    return (both_next(rng) >> 11) % end;
}

bool both_chance(struct both_rng *rng, unsigned percent)
{
    return both_below(rng, 100) < percent;
}

/* ---- Orders ---- */

int both_by_length(const MDB_val *a, const MDB_val *b)
{
    size_t bytes = a->mv_size < b->mv_size ? a->mv_size : b->mv_size;

    if (a->mv_size != b->mv_size)
        return a->mv_size < b->mv_size ? -1 : 1;
    return memcmp(a->mv_data, b->mv_data, bytes);
}

int both_downwards(const MDB_val *a, const MDB_val *b)
{
    size_t bytes = a->mv_size < b->mv_size ? a->mv_size : b->mv_size;
    int order = memcmp(b->mv_data, a->mv_data, bytes);

    return order ? order : (b->mv_size > a->mv_size) - (b->mv_size < a->mv_size);
}
