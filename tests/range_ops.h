/* SPDX-License-Identifier: MIT */
/*
 * Range deletes compared with the model: one of a range that the test chooses, and random ones for
 * test_range and, with shrunken limits, test_small_range.
 */
#ifndef RANGE_OPS_H
#define RANGE_OPS_H

#include <stdint.h>

#include "kv.h"
#include "tree_db.h"
#include "tree_model.h"

/* Deletes the range from the tree and the model, and proves that the tree is what the model is: its
 * records and their number, the tree's check, T3 at the range's two ends. */
void range_delete_checked(struct tree_db *db, struct model *model, const struct kv_range *range);

/* The keys of a range, by the model: numbers [*low_out, *end_out). */
void range_of_model(const struct model *model, const struct kv_range *range, uint32_t *low_out,
                    uint32_t *end_out);

struct range_plan {
    const char *name;
    uint32_t page_size;
    enum model_keys keys;
    uint32_t keys_count;
    uint32_t steps;        /* before scaling */
    uint32_t budget_pages; /* dirty budget of each txn; 0: plenty */
    bool large_values;     /* some in runs of their own */
    unsigned nest_percent; /* of steps that begin or end a nested txn */
    uint64_t seed;
};

void range_run(const struct range_plan *plan);

#endif
