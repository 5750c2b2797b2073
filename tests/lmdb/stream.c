/* SPDX-License-Identifier: MIT */
/*
 * How a stream of operations is told, and the keys and values that it uses; see stream.h.
 */
#include "stream.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define BLOCK 1000u /* lines */
#define TEXT_BYTES 12u

static const struct both *asked;
static uint64_t told;
static uint64_t hash;
static char who[4];

void stream_tell_begin(const struct both *both)
{
    asked = both;
    told = 0;
    hash = 0;
}

void tell_who(unsigned name)
{
    who[0] = 0;
    if (name)
        (void)snprintf(who, sizeof who, "%c: ", (char)name);
}

uint64_t stream_told(void)
{
    return told;
}

void tell(const char *format, ...)
{
    uint64_t block = told / BLOCK;
    char line[1024];
    va_list args;
    int length;

    va_start(args, format);
    length = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    hash = both_hash(hash, line, length < (int)sizeof line ? (size_t)length : sizeof line - 1);
    if (block >= asked->first && block < asked->end) {
        see("%llu %s%s", (unsigned long long)told, who, line);
    }
    if (++told % BLOCK == 0) {
        see("block %llu %016llx", (unsigned long long)block, (unsigned long long)hash);
    }
}

/* As both_hash, in words: values are long here, and many. */
static unsigned quick_hash(const uint8_t *bytes, size_t size_bytes)
{
    uint64_t h = size_bytes;

    for (size_t i = 0; i < size_bytes; i += 8) {
        uint64_t word = 0;

        memcpy(&word, bytes + i, size_bytes - i < 8 ? size_bytes - i : 8);
        h = (h ^ word) * 0x9e3779b97f4a7c15u;
        h ^= h >> 29;
    }
    return (unsigned)(h ^ h >> 32);
}

const char *val_text(const MDB_val *val)
{
    static char ring[8][64];
    static unsigned at;
    static const char digits[] = "0123456789abcdef";
    char *text = ring[at++ % 8];
    char *to = text + snprintf(text, 24, "%zu:", val->mv_size);
    const uint8_t *bytes = val->mv_data;

    if (val->mv_size > TEXT_BYTES) {
        (void)snprintf(to, 16, "#%08x", quick_hash(bytes, val->mv_size));
        return text;
    }
    for (size_t i = 0; i < val->mv_size; i++) {
        if (bytes[i] > ' ' && bytes[i] < 127 && bytes[i] != '\\') {
            *to++ = (char)bytes[i];
        } else {
            *to++ = '\\';
            *to++ = digits[bytes[i] >> 4];
            *to++ = digits[bytes[i] & 15];
        }
    }
    *to = 0;
    return text;
}

const char *rc_text(int rc)
{
    return rc == 0 ? "ok" : both_name(rc);
}

unsigned below(struct stream *s, unsigned end)
{
    return (unsigned)both_below(&s->rng, end);
}

bool chance(struct stream *s, unsigned percent)
{
    return both_chance(&s->rng, percent);
}

/* ---- Orders of our own ----------------------------------------------------------------------- */

int stream_compare_down(const MDB_val *a, const MDB_val *b)
{
    size_t size = a->mv_size < b->mv_size ? a->mv_size : b->mv_size;
    int diff = memcmp(b->mv_data, a->mv_data, size);

    return diff ? diff : (a->mv_size < b->mv_size) - (a->mv_size > b->mv_size);
}

int stream_compare_length(const MDB_val *a, const MDB_val *b)
{
    if (a->mv_size != b->mv_size) {
        return a->mv_size < b->mv_size ? -1 : 1;
    }
    return memcmp(a->mv_data, b->mv_data, a->mv_size);
}

/* ---- Keys and values ------------------------------------------------------------------------- */

/* Every combination of the six flags, the sensible ones more often. */
static unsigned any_kind(struct stream *s)
{
    unsigned flags = below(s, 64) << 1;

    if (chance(s, 60)) {
        return both_kinds[below(s, BOTH_KINDS)].flags;
    }
    if (!(flags & MDB_DUPSORT)) {
        flags &= ~(unsigned)MDB_DUPFIXED; /* by itself it makes pages that cannot be read */
    }
    return flags;
}

void stream_shape(struct stream *s, struct stream_table *table)
{
    static const unsigned sizes[] = {4, 8, 4, 8, 2, 12, 16, 60, 200, 510};
    bool dups;

    table->kind = any_kind(s);
    dups = table->kind & MDB_DUPSORT;
    table->small = chance(s, 40);
    table->custom = chance(s, 15) && !(table->kind & (MDB_INTEGERKEY | MDB_INTEGERDUP));
    table->long_keys = !table->small && chance(s, 20);
    table->key_size = chance(s, 50) ? 4 : 8;
    table->value_size = table->kind & MDB_INTEGERDUP ? sizes[below(s, 2)]
                        : table->small               ? sizes[below(s, 4)]
                                                     : sizes[below(s, 10)];
    if (table->small) {
        table->keys = dups ? 2 + below(s, 9) : 5 + below(s, 26);
        table->values = 2 + below(s, 11);
        table->value_max = dups ? 8 : 90;
    } else {
        table->keys = 1u << (1 + below(s, 13));
        table->values = table->keys < 64 ? 1u << below(s, 11) : 1u << below(s, 5);
        table->value_max = dups                ? 1 + below(s, 511)
                           : table->keys < 500 ? 1 + below(s, 20000)
                                               : 1 + below(s, 300);
    }
}

/* Bytes that follow from a number, with all byte values, some of them many times. */
static void fill(uint8_t *to, size_t size_bytes, uint64_t number)
{
    uint64_t word = number * 0x9e3779b97f4a7c15u;

    for (size_t i = 0; i < size_bytes; i++) {
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        to[i] = (uint8_t)(word & 64 ? word >> 32 : word % 3 * 127);
    }
}

/* Storage for values, each of four in turn. */
static uint8_t *room(void)
{
    static uint8_t rooms[4][65536] __attribute__((aligned(8)));
    static unsigned at;

    return rooms[at++ % 4];
}

static MDB_val integer(uint8_t *to, unsigned number, unsigned size_bytes)
{
    uint64_t wide = number < 1000 ? number : (uint64_t)number << (size_bytes == 8 ? 29 : 11);
    uint32_t narrow = (uint32_t)wide;

    memcpy(to, size_bytes == 8 ? (const void *)&wide : (const void *)&narrow, size_bytes);
    return val_bytes(to, size_bytes);
}

MDB_val stream_key(struct stream *s, const struct stream_table *table)
{
    unsigned number = below(s, table->keys);
    uint8_t *to = room();
    size_t size;

    if (!(table->flags & MDB_INTEGERKEY) && chance(s, 1) && chance(s, 30)) { /* refused */
        return val_bytes(to, chance(s, 50) ? 0 : 512);
    }
    if (table->flags & MDB_INTEGERKEY) {
        return integer(to, number, table->key_size);
    }
    if (table->small) {
        return val_bytes(to, (size_t)sprintf((char *)to, number % 2 ? "k%u" : "key%03u", number));
    }
    if (!table->long_keys) {
        return val_bytes(to, (size_t)sprintf((char *)to, number % 3 ? "k%u" : "key%05u", number));
    }
    size = number % 5 == 0 ? 511 : number % 5 == 1 ? 250 + number % 262 : 1 + number % 40;
    fill(to, size, number / 3);
    memcpy(to, &number, size < 2 ? size : 2);
    return val_bytes(to, size);
}

/* A value of a table with duplicates: one of table->values. */
static MDB_val one_of_set(struct stream *s, const struct stream_table *table, uint8_t *to)
{
    unsigned number = below(s, table->values);
    size_t size;

    if (table->flags & MDB_INTEGERDUP) {
        return integer(to, number, table->value_size == 8 ? 8 : 4);
    }
    if (table->flags & MDB_DUPFIXED) {
        fill(to, table->value_size, number);
        memcpy(to, &number, 2);
        return val_bytes(to, table->value_size);
    }
    size = table->small ? 1 + number % 8 : 1 + number * 37u % table->value_max;
    fill(to, size, number);
    memcpy(to, &number, size < 2 ? size : 2);
    return val_bytes(to, size);
}

MDB_val stream_value(struct stream *s, const struct stream_table *table)
{
    uint8_t *to = room();
    size_t size;

    if (table->flags & MDB_DUPSORT) {
        if (!(table->flags & (MDB_DUPFIXED | MDB_INTEGERDUP)) && chance(s, 1) && chance(s, 30)) {
            fill(to, 512, 1); /* refused, as 0 bytes should be: that damages the table */
            return val_bytes(to, 512);
        }
        return one_of_set(s, table, to);
    }
    size = chance(s, 5)    ? 0
           : chance(s, 70) ? below(s, table->value_max / 8 + 2)
                           : below(s, table->value_max + 1);
    fill(to, size, below(s, 1u << 20));
    return val_bytes(to, size);
}
