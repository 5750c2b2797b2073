/* SPDX-License-Identifier: MIT */
/*
 * A model of one tree page of any shape: orders, sets, counts, alignment. Random edits of the page
 * against a sorted array, whose order is told in a second way.
 *
 * Values in sets are numbers of four bytes, so that a set is a list of numbers.
 */
#ifndef NODE_SHAPES_H
#define NODE_SHAPES_H

#include "harness.h"

#include "format/node.h"
#include "format/shape.h"

#define SHAPES_KINDS 14 /* shapes that are tried */
#define SHAPES_NUMBERS_MAX 64u
#define SHAPES_KEY_BYTES_MAX 64u

/* As ck_assert, which notes each call in a file: too slow for what is asked a million times. */
#define must(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            ck_abort_msg("line %d: %s", __LINE__, #condition);                                     \
    } while (0)

struct shapes_record {
    uint8_t key[2 * SHAPES_KEY_BYTES_MAX]; /* of a branch: the separator */
    uint32_t key_bytes;
    uint8_t *payload; /* leaf without sets */
    uint32_t payload_bytes;
    uint32_t numbers[SHAPES_NUMBERS_MAX]; /* set */
    unsigned count;                       /* set: of numbers */
    bool continued;
    struct kvi_ref ref;       /* branch */
    struct kvi_counts counts; /* branch */
};

struct shapes_model {
    struct kvi_geometry g;
    struct kvi_shape shape;
    struct rng rng;
    enum kvi_page_type type;
    uint8_t *page;
    struct shapes_record *records;
    unsigned count;
    uint8_t base[SHAPES_KEY_BYTES_MAX]; /* what keys have in common */
    unsigned base_bytes;
};

/* An empty page of that type, of a table of kind number `kind`. */
struct shapes_model *shapes_new(const char *what, uint32_t page_size, enum kvi_page_type type,
                                int kind);
void shapes_clear(struct shapes_model *m);
void shapes_free(struct shapes_model *m);

/* One random change or search, in page and array. */
void shapes_step(struct shapes_model *m, unsigned put_percent);

/* Gathers the cells, plans, and writes the page anew. */
void shapes_rebuild(struct shapes_model *m);

/* The page is sound and holds what the array does. */
void shapes_compare(const struct shapes_model *m);

/* Writes a key (SHAPES_KEY_BYTES_MAX bytes of room), and returns its size. */
uint32_t shapes_random_key(struct shapes_model *m, uint8_t *key);

/* A separator (twice that room), and what to look for it by: its key and value where it is a whole
 * record, else just its bytes. */
uint32_t shapes_random_separator(struct shapes_model *m, uint8_t *separator, struct kvi_key *key,
                                 struct kvi_key *value);

/* A number as value, so that the order of numbers is that of values. */
struct kvi_key shapes_value(const struct shapes_model *m, uint32_t number, uint8_t bytes[4]);

#endif
