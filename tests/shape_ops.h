/* SPDX-License-Identifier: MIT */
/*
 * Random puts and deletes on trees of every shape (orders, duplicates, counts, alignment), each
 * compared with a sorted array of pairs, whose order is worked out here and not by the library: for
 * test_shapes and, with shrunken limits, test_small_shapes.
 */
#ifndef SHAPE_OPS_H
#define SHAPE_OPS_H

#include <stdint.h>

#include "format/snap.h"

enum shape_sizes {
    SHAPE_SIZES_SMALL, /* up to 12 bytes */
    SHAPE_SIZES_MIXED, /* any, now and then the largest */
    SHAPE_SIZES_FIXED  /* item_bytes of the plan */
};

struct shape_plan {
    const char *name;
    uint32_t page_size;
    uint16_t flags;      /* KVI_TABLE_... */
    uint8_t key_order;   /* enum kv_order */
    uint8_t value_order; /* likewise */
    uint8_t align_log2;
    uint32_t item_bytes;    /* SHAPE_SIZES_FIXED: also without KVI_TABLE_FIXED */
    enum shape_sizes sizes; /* of values */
    uint32_t keys;          /* how many there are to choose from */
    uint32_t pairs_most;    /* what the tree grows to */
    uint32_t steps;         /* before scaling */
    uint32_t budget_pages;  /* dirty budget of each txn; 0: plenty */
    unsigned nest_percent; /* of steps that begin or end a nested txn, in hundredths of a percent */
    uint64_t seed;
};

/* Runs the plan on a database of its own. */
void shape_ops_run(const struct shape_plan *plan);

#endif
