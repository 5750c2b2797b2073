/* SPDX-License-Identifier: MIT */
/*
 * Tables of every kind, through kv.h: their options, users' orders, and records at random that fit
 * each of them. For tests that must hold whatever the table is.
 */
#ifndef KINDS_HELP_H
#define KINDS_HELP_H

#include "harness.h"
#include "kv.h"

#define KINDS 16

struct kind {
    const char *name;
    uint32_t flags;
    enum kv_order order;
    enum kv_order value_order;
    uint32_t value_bytes; /* of every value; 0: any */
    uint32_t align;
    uint32_t key_bytes; /* of every key; 0: any */
};

extern const struct kind kinds[KINDS];

static inline bool kind_has_duplicates(unsigned kind)
{
    return (kinds[kind].flags & KV_DUPLICATES) != 0;
}

/* Makes the orders known that some kinds have. */
void kinds_register(struct kv_env *env);

kv_table kind_make(struct kv_txn *txn, unsigned kind, const char *name);

/* Records in an array of their own. */
struct records {
    struct kv_record *at;
    size_t count;
    size_t room;
};

/* `count` records of a kind at random: without duplicates of distinct keys, with them of distinct
 * pairs, and some keys have many values. In no order. */
struct records records_random(unsigned kind, size_t count, size_t pair_bytes_max, struct rng *rng);

/* All records of a table, in its order. */
struct records records_read(struct kv_txn *txn, kv_table table);

void records_add(struct records *records, const struct kv_val *key, const struct kv_val *value);
void records_release(struct records *records);

/* The two tables have the same records in the same order. */
void tables_equal(struct kv_txn *txn, kv_table a, kv_table b);

#endif
