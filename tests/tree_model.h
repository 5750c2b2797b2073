/* SPDX-License-Identifier: MIT */
/*
 * What a tree should hold, kept beside it: a fixed set of keys in order, each with a value or none,
 * and cursors that stand at places between them.
 *
 * Keys are numbered in order, so that every question about neighbours is one about numbers. Values
 * are made from a seed, so that only the seed is kept.
 */
#ifndef TREE_MODEL_H
#define TREE_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "harness.h"
#include "tree/tree.h"

#define MODEL_NONE UINT32_MAX

struct model_value {
    bool present;
    uint32_t size_bytes;
    uint64_t seed;
};

struct model {
    uint32_t count; /* keys */
    struct kvi_key *keys;
    struct model_value *values;
};

enum model_keys {
    MODEL_KEYS_NUMBERS, /* 8 bytes, big-endian */
    MODEL_KEYS_TEXT,    /* long shared prefixes, one the prefix of another */
    MODEL_KEYS_MIXED    /* any size from 0 to the longest */
};

void model_open(struct model *model, enum model_keys kind, uint32_t count, size_t key_bytes_max,
                struct rng *rng);
void model_close(struct model *model);

/* Copies of the values, for nested txns. */
struct model_value *model_save(const struct model *model);
void model_restore(struct model *model, struct model_value *saved); /* frees it */

/* The first present key from `from` on, the last one below `end`: or MODEL_NONE. */
uint32_t model_from(const struct model *model, uint32_t from);
uint32_t model_below(const struct model *model, uint32_t end);
uint32_t model_entries(const struct model *model);

/* A size for a value: mostly small, now and then up to some pages. */
uint32_t model_size(struct rng *rng, uint32_t page_size);

/* The bytes of a value; storage of size_bytes + 1. */
void model_fill(uint64_t seed, uint32_t size_bytes, uint8_t *out);

/* The record that was read is key number `number` with its value. */
void model_expect(const struct model *model, uint32_t number, struct kvi_key key,
                  const struct kvi_tree_value *value);

/* All of the tree, forward by a cursor, and the totals. */
void model_compare(const struct model *model, struct kvi_tree *tree);

#endif
