/* SPDX-License-Identifier: MIT */
/*
 * How every change begins and ends, and its scratch memory. See change.h.
 */
#include "tree/change.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "kv.h"
#include "tree/cursor.h"

struct kvi_arena_block {
    struct kvi_arena_block *next;
    _Alignas(16) uint8_t bytes[];
};

void *kvi_arena_take(struct kvi_arena *arena, size_t size_bytes)
{
    struct kvi_arena_block *block = malloc(sizeof(*block) + size_bytes);

    if (!block)
        return NULL;
    block->next = arena->blocks;
    arena->blocks = block;
    return block->bytes;
}

void kvi_arena_release(struct kvi_arena *arena)
{
    while (arena->blocks) {
        struct kvi_arena_block *block = arena->blocks;

        arena->blocks = block->next;
        free(block);
    }
}

int kvi_arena_keep(struct kvi_arena *arena, const uint8_t **data, size_t size_bytes)
{
    uint8_t *copy = kvi_arena_take(arena, size_bytes);

    if (!copy)
        return kvi_error(ENOMEM, "no memory for a copy of %zu bytes", size_bytes);
    if (size_bytes)
        memcpy(copy, *data, size_bytes);
    *data = copy;
    return 0;
}

/* Parks every cursor of the txn and lets the pager write early. */
static int spill(struct kvi_tree *tree)
{
    struct kvi_tree *other = tree;

    do {
        int rc = kvi_tree_park(other);

        if (rc)
            return rc;
        other = other->ring;
    } while (other != tree);
    return kvi_pager_spill(tree->pager);
}

int kvi_change_begin(struct kvi_change *change, struct kvi_tree *tree, struct kvi_path *path,
                     struct kvi_cursor *self, uint32_t flags, struct kvi_key *key)
{
    int rc = 0;

    memset(change, 0, sizeof(*change));
    change->tree = tree;
    change->path = path;
    if (tree->cursors)
        rc = kvi_cursors_park(tree, self);
    if (!rc && flags & KV_RESERVE && KVI_UNLIKELY(kvi_pager_over_budget(tree->pager))) {
        rc = kvi_arena_keep(&change->arena, &key->data, key->size);
        if (!rc)
            rc = spill(tree);
    }
    return rc;
}

int kvi_change_end(struct kvi_change *change, uint32_t flags, int rc)
{
    if (change->arena.blocks)
        kvi_arena_release(&change->arena);
    if (rc || flags & KV_RESERVE || KVI_LIKELY(!kvi_pager_over_budget(change->tree->pager)))
        return rc;
    return spill(change->tree);
}
