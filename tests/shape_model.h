/* SPDX-License-Identifier: MIT */
/*
 * A table of any shape and what it should hold, through kv.h: a fixed universe of keys and of values,
 * each sorted in the table's order, and which of their pairs are there. Ranges, counts and ranks are
 * then questions about numbers.
 *
 * Without duplicates a key has at most one of the values.
 */
#ifndef SHAPE_MODEL_H
#define SHAPE_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "harness.h"
#include "kv.h"

struct shape_plan {
    const char *name;
    uint32_t page_size;
    uint32_t flags; /* KV_DUPLICATES, KV_FIXED, KV_COUNTED */
    enum kv_order order;
    enum kv_order value_order;
    uint32_t align;
    uint32_t keys;   /* of the universe, at most */
    uint32_t values; /* likewise */
    size_t key_bytes_max;
    size_t value_bytes_max;
    uint32_t steps; /* before scaling */
    uint32_t budget_pages;
    uint64_t seed;
};

struct shape_model {
    const struct shape_plan *plan;
    struct kv_env *env;
    struct kv_txn *txn; /* the write txn in which all is done */
    kv_table table;
    struct rng rng;
    struct kv_val *keys;
    struct kv_val *values;
    uint32_t key_count, value_count;
    bool *present; /* [key * value_count + value] */
};

/* Makes the database and the table. close proves the file. */
void shape_open(struct shape_model *m, const struct shape_plan *plan);
void shape_close(struct shape_model *m);

/* Records in and below keys [low, end): values, and keys that have any. */
void shape_count(const struct shape_model *m, uint32_t low, uint32_t end, uint64_t *records_out,
                 uint64_t *keys_out);

/* The number of a key that the table gave. */
uint32_t shape_key(const struct shape_model *m, const struct kv_val *key);

/* One random change that is no range delete: puts and deletes of pairs, now and then of many. */
void shape_change(struct shape_model *m);

/* A random range of keys, by number: *range_out points into *from and *to. */
void shape_range(struct shape_model *m, struct kv_range *range_out, struct kv_val *from,
                 struct kv_val *to, uint32_t *low_out, uint32_t *end_out);

/* All of the table by a cursor, and its totals. */
void shape_compare(struct shape_model *m);

/* Commits, lets the check prove the file, begins anew. */
void shape_commit(struct shape_model *m);

#endif
