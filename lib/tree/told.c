/* SPDX-License-Identifier: MIT */
/*
 * The key range below a page that a walk or a check tells of: from the separators beside the way
 * down to it. Pages on the way were read; a separator that is damaged counts as none.
 */
#include <string.h>

#include "tree/path.h"
#include "tree/separator_key.h"
#include "tree/tree.h"

static struct kvi_key bound(const struct kvi_tree *tree, const uint8_t *page, unsigned slot,
                            uint8_t *room)
{
    const struct kvi_geometry *g = kvi_tree_geometry(tree);
    uint32_t prefix_bytes = kvi_le_load16(page + KVI_HEADER_PREFIX);
    struct kvi_branch_cell cell;
    struct kvi_key key;

    if (!kvi_branch_cell_at(g, page, slot, &cell) || cell.suffix_bytes > g->key_bytes_max ||
        prefix_bytes > g->key_bytes_max - cell.suffix_bytes)
        return (struct kvi_key){NULL, 0};
    memcpy(room, page + KVI_HEADER_BYTES, prefix_bytes);
    if (cell.suffix_bytes)
        memcpy(room + prefix_bytes, cell.suffix, cell.suffix_bytes);
    key = (struct kvi_key){room, prefix_bytes + cell.suffix_bytes};
    return kvi_separator_key(&tree->shape, key, room + g->key_bytes_max);
}

/* The steps above the page have gone on: their slots are behind the child. */
void kvi_tree_told_range(const struct kvi_tree *tree, uint8_t *room, struct kvi_key *from_out,
                         struct kvi_key *to_out)
{
    const struct kvi_tree_told *told = &tree->told;
    uint8_t *more = room + 2 * (size_t)kvi_tree_geometry(tree)->key_bytes_max;

    *from_out = *to_out = told->record;
    if (told->has_record || !told->path)
        return;
    for (unsigned i = told->index; i > 0; i--) {
        const struct kvi_step *step = &told->path->steps[i - 1];

        if (!from_out->data && step->slot > 1)
            *from_out = bound(tree, step->page, step->slot - 1, room);
        if (!to_out->data && step->slot < kvi_header_count(step->page))
            *to_out = bound(tree, step->page, step->slot, more);
    }
}
