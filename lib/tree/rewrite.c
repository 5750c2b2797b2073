/* SPDX-License-Identifier: MIT */
/*
 * Gather and emit: one page or two neighbours out into items, and items back into one to three
 * pages.
 *
 *     parent   ... | s  A | t  B | ...          ... | s  A' | u  B' | v  C | ...
 *                     |      |           =>            |       |       |
 *                   cells  cells                     cells   cells   cells
 *
 * Pages are copied before they are gathered, as emit writes over them while the items still point
 * there. The first page keeps its place in the parent; the references to the others, with their
 * separators, are taken out of the parent and handed back as pending: whether they fit there again
 * is the caller's concern.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "kv.h"
#include "tree/change.h"

int kvi_separator_at(struct kvi_change *change, const uint8_t *branch, unsigned slot,
                     struct kvi_key *separator_out)
{
    uint32_t prefix_bytes = kvi_le_load16(branch + KVI_HEADER_PREFIX);
    struct kvi_branch_cell cell;
    uint8_t *bytes;

    *separator_out = (struct kvi_key){NULL, 0};
    if (slot == 0)
        return 0;
    if (!kvi_branch_cell_at(kvi_tree_geometry(change->tree), branch, slot, &cell))
        return kvi_tree_damaged(change->tree, kvi_header_pgno(branch),
                                "branch page with a bad cell");
    bytes = kvi_arena_take(&change->arena, prefix_bytes + cell.suffix_bytes + 1u);
    if (!bytes)
        return kvi_error(ENOMEM, "no memory for a separator");
    memcpy(bytes, branch + KVI_HEADER_BYTES, prefix_bytes);
    memcpy(bytes + prefix_bytes, cell.suffix, cell.suffix_bytes);
    *separator_out = (struct kvi_key){bytes, prefix_bytes + cell.suffix_bytes};
    return 0;
}

/* The pages of the group, dirty: `group->images`. */
static int collect_images(struct kvi_change *change, enum kvi_side side, struct kvi_group *group)
{
    struct kvi_step *step = &change->path->steps[group->index];
    unsigned level = kvi_path_level(change->path, group->index);
    unsigned own = side == KVI_WITH_LEFT ? 1 : 0;

    group->pages = side == KVI_ALONE ? 1 : 2;
    group->first = group->index > 0 ? step[-1].slot - own : 0;
    group->images[own] = step->image;
    if (side == KVI_ALONE)
        return 0;
    return kvi_tree_touch_child(change->tree, step[-1].image, group->first + 1 - own, level,
                                &group->images[1 - own]);
}

/* Room for the items of the group's pages and what is pending. */
static int take_items(struct kvi_change *change, struct kvi_group *group)
{
    size_t room = KVI_PENDING_MAX;

    for (unsigned i = 0; i < group->pages; i++)
        room += kvi_header_count(group->images[i]);
    group->items = kvi_arena_take(&change->arena, room * sizeof(group->items[0]));
    group->count = 0;
    return group->items ? 0 : kvi_error(ENOMEM, "no memory to rewrite a page");
}

/* Appends the cells of one page, from a copy of it. */
static int gather_page(struct kvi_change *change, const uint8_t *image, struct kvi_key separator,
                       struct kvi_group *group)
{
    const struct kvi_geometry *g = kvi_tree_geometry(change->tree);
    size_t scratch_bytes = kvi_gather_scratch_bytes(g, image);
    uint8_t *copy = kvi_arena_take(&change->arena, g->page_size + scratch_bytes);

    if (!copy)
        return kvi_error(ENOMEM, "no memory to rewrite a page");
    memcpy(copy, image, g->page_size);
    if (kvi_node_gather(g, copy, separator, group->items, &group->count, copy + g->page_size) < 0)
        return kvi_tree_damaged(change->tree, kvi_header_pgno(image), "tree page with a bad cell");
    return 0;
}

static void insert_pending(struct kvi_group *group, const struct kvi_pending *pending)
{
    struct kvi_item *at = group->items + group->own + pending->slot;
    size_t behind = (size_t)(group->items + group->count - at);

    memmove(at + pending->count, at, behind * sizeof(*at));
    memcpy(at, pending->items, pending->count * sizeof(*at));
    group->count += pending->count;
}

int kvi_group_gather(struct kvi_change *change, unsigned index, enum kvi_side side,
                     const struct kvi_pending *pending, struct kvi_group *group)
{
    const struct kvi_step *step = &change->path->steps[index];
    int rc;

    memset(group, 0, sizeof(*group));
    group->index = index;
    rc = collect_images(change, side, group);
    if (!rc)
        rc = take_items(change, group);
    for (unsigned i = 0; !rc && i < group->pages; i++) {
        struct kvi_key separator = {NULL, 0};

        if (group->images[i] == step->image)
            group->own = group->count;
        if (index > 0)
            rc = kvi_separator_at(change, step[-1].image, group->first + i, &separator);
        if (!rc)
            rc = gather_page(change, group->images[i], separator, group);
    }
    if (!rc && pending)
        insert_pending(group, pending);
    return rc;
}

/* Counts pages of a level, up or down. */
static void count_pages(struct kvi_tree *tree, unsigned level, int64_t more)
{
    if (level == 0)
        tree->record.pages_leaf += (uint64_t)more;
    else
        tree->record.pages_branch += (uint64_t)more;
    tree->changed = true;
}

/* The group gets as many images as it will have pages: one more, or one less, which is freed. */
static int match_images(struct kvi_change *change, struct kvi_group *group, unsigned pages)
{
    struct kvi_tree *tree = change->tree;
    unsigned level = kvi_path_level(change->path, group->index);
    unsigned had = group->pages;
    struct kvi_ref ref;
    int rc = 0;

    for (; !rc && group->pages < pages; group->pages++)
        rc = kvi_tree_new_page(tree, level, &ref, &group->images[group->pages]);
    for (; !rc && group->pages > pages; group->pages--) {
        ref = (struct kvi_ref){kvi_header_pgno(group->images[group->pages - 1]), 0};
        rc = kvi_pager_free(tree->pager, ref);
    }
    if (!rc)
        count_pages(tree, level, (int64_t)pages - (int64_t)had);
    return rc;
}

/* First or last value of a cell; nothing in a tree without duplicates. */
static int edge_value(const struct kvi_tree *tree, const struct kvi_item *item, bool last,
                      struct kvi_key *value_out)
{
    struct kvi_set set;

    *value_out = (struct kvi_key){NULL, 0};
    if (!tree->shape.duplicates)
        return 0;
    if (item->kind != KVI_CELL_SET || !kvi_set_open(item->payload, item->payload_bytes, &set))
        return kvi_tree_damaged(tree, KVI_NO_PGNO, "leaf cell with a bad set of values");
    *value_out = kvi_set_value(&set, last ? set.count - 1 : 0);
    return 0;
}

int kvi_leaf_separator(struct kvi_change *change, const struct kvi_item *left,
                       const struct kvi_item *right, struct kvi_key *separator_out)
{
    const struct kvi_tree *tree = change->tree;
    struct kvi_key left_key = {left->key, left->key_bytes};
    struct kvi_key right_key = {right->key, right->key_bytes};
    struct kvi_key left_value, right_value;
    uint8_t *room;
    int rc;

    if (tree->shape.plain) {
        *separator_out = (struct kvi_key){right_key.data, kvi_separator_bytes(left_key, right_key)};
        return 0;
    }
    rc = edge_value(tree, left, true, &left_value);
    if (!rc)
        rc = edge_value(tree, right, false, &right_value);
    if (rc)
        return rc;
    room = kvi_arena_take(&change->arena,
                          kvi_separator_room(&tree->shape, right_key.size, right_value.size) + 1);
    if (!room)
        return kvi_error(ENOMEM, "no memory for a separator");
    separator_out->data = room;
    separator_out->size =
        kvi_separator_make(&tree->shape, left_key, left_value, right_key, right_value, room);
    return 0;
}

/* The separator between items[bound - 1] and items[bound]. */
static int separator_of(struct kvi_change *change, const struct kvi_group *group, unsigned bound,
                        struct kvi_key *separator_out)
{
    const struct kvi_item *right = &group->items[bound];

    if (kvi_path_level(change->path, group->index) == 0)
        return kvi_leaf_separator(change, right - 1, right, separator_out);
    *separator_out = (struct kvi_key){right->key, right->key_bytes};
    return 0;
}

static int emit_pages(struct kvi_change *change, const struct kvi_group *group,
                      const unsigned *bounds)
{
    const struct kvi_geometry *g = kvi_tree_geometry(change->tree);

    for (unsigned i = 0; i < group->pages; i++) {
        if (!kvi_node_emit(g, group->images[i], group->items, bounds[i], bounds[i + 1]))
            return kvi_tree_damaged(change->tree, kvi_header_pgno(group->images[i]),
                                    "cells do not fit the page that they came from");
    }
    return 0;
}

/* What the parent must know: the first page's counts, and all of the others. */
static int name_pages(struct kvi_change *change, const struct kvi_group *group,
                      const unsigned *bounds, struct kvi_pending *pending_out)
{
    struct kvi_tree *tree = change->tree;
    struct kvi_step *step = &change->path->steps[group->index];
    struct kvi_counts counts;
    int rc = 0;

    if (tree->shape.counted && group->index > 0) {
        rc = kvi_counts_page(tree, group->images[0], &counts);
        if (!rc)
            rc = kvi_counts_set_cell(tree, step[-1].image, group->first, counts);
    }
    pending_out->slot = group->first + 1;
    for (unsigned i = 1; !rc && i < group->pages; i++) {
        struct kvi_item *item = &pending_out->items[pending_out->count++];
        struct kvi_key separator;

        rc = separator_of(change, group, bounds[i], &separator);
        if (!rc)
            rc = kvi_counts_page(tree, group->images[i], &item->counts);
        if (rc)
            return rc;
        item->key = separator.data;
        item->key_bytes = (uint32_t)separator.size;
        item->ref = (struct kvi_ref){kvi_header_pgno(group->images[i]), 0};
    }
    return rc;
}

int kvi_group_emit(struct kvi_change *change, struct kvi_group *group, const unsigned *bounds,
                   unsigned pages, struct kvi_pending *pending_out)
{
    const struct kvi_geometry *g = kvi_tree_geometry(change->tree);
    struct kvi_step *step = &change->path->steps[group->index];
    unsigned had = group->pages;
    int rc;

    assert(pages >= 1);
    assert(pages - 1 <= KVI_PENDING_MAX);
    change->rewritten = true;
    change->tree->last_leaf = NULL;
    memset(pending_out, 0, sizeof(*pending_out));
    rc = match_images(change, group, pages);
    if (!rc)
        rc = emit_pages(change, group, bounds);
    if (!rc && had == 2 && !kvi_node_remove(g, step[-1].image, group->first + 1))
        rc = kvi_tree_damaged(change->tree, kvi_header_pgno(step[-1].image),
                              "branch page with a bad cell");
    if (rc)
        return rc;
    return name_pages(change, group, bounds, pending_out);
}
