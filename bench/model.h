/* SPDX-License-Identifier: MIT */
/*
 * The data model's workloads: duplicates, integer keys, many keys a call, batched scans, bulk build,
 * range delete. Each verb runs a whole loop, so that a store's own way of doing many things at once
 * is what is measured; where LMDB has none, its loop of single calls is the peer.
 *
 * Every verb ends the program with a message when it fails. One thread.
 */
#ifndef BENCH_MODEL_H
#define BENCH_MODEL_H

#include <stdint.h>

#include "store.h"
#include "workloads.h"

enum model_shape {
    MODEL_PLAIN,
    MODEL_INTEGER,    /* native 8-byte integer keys */
    MODEL_DUPLICATES, /* values of any size */
    MODEL_FIXED       /* duplicates of one size, 8 bytes, ordered as integers */
};

struct model; /* one open database of one kind */

/* A list of keys or values of one size, in the order in which they are to be used. */
struct model_items {
    const uint8_t *bytes;
    const uint32_t *order; /* NULL: as they stand */
    uint32_t count;
    uint32_t item_bytes;
};

struct model_kind {
    const char *name;
    struct model *(*open)(const char *path, enum model_shape shape);
    void (*close)(struct model *model);
    /* pairs [from, end) in one txn; key i belongs to value i */
    void (*put)(struct model *model, const struct model_items *keys,
                const struct model_items *values, uint32_t from, uint32_t end);
    /* all records from sorted keys, in one txn; values as value_of */
    void (*build)(struct model *model, const struct model_items *keys, uint32_t value_bytes);
    /* all values by pages; *count_out values were seen */
    uint64_t (*scan_pages)(struct model *model, uint64_t *count_out);
    /* all records, as many a call as the store can */
    uint64_t (*scan)(struct model *model, uint64_t *count_out);
    uint32_t (*find_pairs)(struct model *model, const struct model_items *keys,
                           const struct model_items *values); /* how many were there */
    uint32_t (*get)(struct model *model, const struct model_items *keys);
    uint32_t (*get_many)(struct model *model, const struct model_items *keys, uint32_t group);
    /* the records from this key on, in one txn; how many */
    uint64_t (*delete_from)(struct model *model, struct store_slice key);
};

extern const struct model_kind model_kv;
extern const struct model_kind model_lmdb;

static inline struct store_slice model_item(const struct model_items *items, uint32_t i)
{
    uint32_t at = items->order ? items->order[i] : i;
    struct store_slice slice = {items->bytes + (size_t)at * items->item_bytes, items->item_bytes};

    return slice;
}

/* Of 8-byte numbers: what both stores' scans do with a piece of them. */
static inline uint64_t model_sum(const void *bytes, size_t size_bytes)
{
    const uint64_t *numbers = bytes;
    uint64_t sum = 0;

    for (size_t i = 0; i < size_bytes / sizeof(*numbers); i++)
        sum += numbers[i];
    return sum;
}

#endif
