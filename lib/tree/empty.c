/* SPDX-License-Identifier: MIT */
/* Emptying a table: all its pages are freed, most of them unread (drop.h). */
#include "kv.h"
#include "tree/drop.h"
#include "tree/tree.h"

int kvi_tree_empty(struct kvi_tree *tree)
{
    struct kvi_drop drop;

    kvi_tree_unposition(tree);
    kvi_drop_init(&drop, tree, false);
    return kvi_drop_root(&drop);
}
