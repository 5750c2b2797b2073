/* SPDX-License-Identifier: MIT */
/*
 * Random operations on a tree and its cursors, each compared with the model: for test_tree_random
 * and, with shrunken limits, test_small_tree.
 */
#ifndef TREE_OPS_H
#define TREE_OPS_H

#include <stdint.h>

#include "tree_model.h"

struct ops_plan {
    const char *name;
    uint32_t page_size;
    enum model_keys keys;
    uint32_t keys_count;
    uint32_t steps;        /* before scaling */
    uint32_t budget_pages; /* dirty budget of each txn; 0: plenty */
    unsigned nest_percent; /* of steps that begin or end a nested txn, in hundredths of a percent */
    uint64_t seed;
};

/* Runs the plan on a database of its own. */
void ops_run(const struct ops_plan *plan);

#endif
