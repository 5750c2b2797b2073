/* SPDX-License-Identifier: MIT */
/*
 * What a tree of any shape should hold: pairs of key and value in order, in one array. The order is
 * worked out here and not by the library. Keys are numbered in their order; without duplicates each
 * has at most one pair.
 */
#ifndef PAIR_MODEL_H
#define PAIR_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "kv.h"

struct pair_bytes {
    uint32_t size;
    uint8_t *data;
};

struct pair_entry {
    uint32_t key; /* number of the key */
    struct pair_bytes value;
};

/* What the tree should hold: pairs in order. */
struct pair_list {
    uint32_t count;
    uint32_t room;
    struct pair_entry *list;
};

struct pair_model {
    bool duplicates;
    uint8_t key_order; /* enum kv_order */
    uint8_t value_order;
    uint32_t key_count;
    struct pair_bytes *keys; /* in order */
    struct pair_list pairs;
};

/* The order that the tests call a user's: descending, so that the empty key is the last. */
int pair_compare_custom(void *context, const struct kv_val *a, const struct kv_val *b);

int pair_compare(uint8_t order, struct pair_bytes a, struct pair_bytes b);

/* First pair that is not before (key, value), value NULL: before all of the key; whether that is the
 * pair, or of the key. */
uint32_t pair_place(const struct pair_model *model, uint32_t key, const struct pair_bytes *value);
bool pair_is_at(const struct pair_model *model, uint32_t place, uint32_t key,
                const struct pair_bytes *value);

/* The pairs of a key: [first, end). */
uint32_t pair_first(const struct pair_model *model, uint32_t key);
uint32_t pair_end(const struct pair_model *model, uint32_t key);

/* Adds the pair; without duplicates replaces the key's. The value is copied. */
void pair_put(struct pair_model *model, uint32_t key, struct pair_bytes value);
void pair_remove(struct pair_model *model, uint32_t from, uint32_t end);

struct pair_bytes pair_bytes_copy(struct pair_bytes from);
struct pair_list pair_list_copy(const struct pair_list *from);
void pair_list_free(struct pair_list *pairs);

#endif
