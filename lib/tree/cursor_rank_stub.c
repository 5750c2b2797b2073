/* SPDX-License-Identifier: MIT */
/* Until ranks are there: what counts by them is refused. */
#include "kv.h"
#include "tree/tree.h"

__attribute__((weak)) int kvi_tree_rank(struct kvi_tree *tree, const struct kvi_probe *place,
                                        struct kvi_counts *before_out)
{
    (void)tree;
    (void)place;
    *before_out = (struct kvi_counts){0, 0};
    return KV_EUNSUPPORTED;
}
