/* SPDX-License-Identifier: MIT */
/*
 * Several cursors on one table while it changes, against a model.
 *
 * The table's records are taken from a grid of keys x values; the model is a flag for each: in it
 * or not. The grid is numbered in the table's order, so that a position is a number and every move
 * a search for a flag. What a cursor does when its record is deleted is in the model as kv.h and
 * docs/TREE.md tell it, written a second time.
 *
 * A plan says which kind of table, how many keys and values, and how many operations. Used by
 * test_cursor_model and, with shrunken limits, by test_small_cursor_model.
 */
#ifndef CURSOR_MODEL_H
#define CURSOR_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "kv.h"

struct cursor_plan {
    const char *name;
    uint32_t page_size;
    uint32_t flags;      /* KV_DUPLICATES ... */
    enum kv_order order; /* of keys */
    enum kv_order value_order;
    unsigned keys;
    unsigned values;      /* 1: a table without duplicates */
    unsigned key_bytes;   /* about: texts are filled up to it */
    unsigned value_bytes; /* 0: of several sizes */
    unsigned operations;
    unsigned changes; /* percent of the operations */
    bool bounds;
    uint64_t dirty_budget_bytes; /* 0: never spills */
    uint64_t seed;
    uint32_t align; /* of values */
};

void cursor_model_run(const struct cursor_plan *plan);

#endif
