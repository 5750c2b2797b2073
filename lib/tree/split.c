/* SPDX-License-Identifier: MIT */
/*
 * A page that cannot take what it must: lend to a neighbour, or split, level by level upward.
 *
 * The policy is one pure function, choose_way. Pages stay fuller than by splitting alone:
 *
 *   ascending insert at the page's end       1 page  -> 2, the left one stays full (a branch hands
 *                                            over its last child, as none may have only one)
 *   ascending insert inside a leaf           1 page  -> 2, cut behind the new record, so that the
 *                                            next one goes to a page's end
 *   a neighbour has room                     2 pages -> 2, evened out
 *   both neighbours are about full           2 pages -> 3, two thirds full each
 *   no neighbour (a root, an only child)     1 page  -> 2, half full each
 *
 * What comes out of a level (pages with their separators) is put into the parent in place, or else
 * the parent is next. A loop, never recursion: its length is the tree's depth.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "kv.h"
#include "tree/change.h"

/* A neighbour must have this part of a page free beyond what is needed now, so that lending to it
 * buys more than the next few inserts. */
#define LEND_PART 8u

#define NO_NEIGHBOUR (-1)

/* Whether the insert goes on an ascending run, and where in the page. */
enum run { RUN_NONE, RUN_AT_END, RUN_INSIDE };

struct way {
    enum kvi_side side;
    unsigned pages_min;
    enum kvi_plan_bias bias;
    bool cut; /* behind the new record */
};

/* The policy. Free bytes of the neighbours, NO_NEIGHBOUR where there is none; bytes that must come
 * in. */
static struct way choose_way(uint32_t page_size, enum run run, int64_t left_free,
                             int64_t right_free, uint32_t need)
{
    int64_t more = left_free > right_free ? left_free : right_free;
    struct way way = {KVI_ALONE, 2, KVI_PLAN_EVEN, false};

    if (run == RUN_AT_END)
        way.bias = KVI_PLAN_APPEND;
    way.cut = run == RUN_INSIDE;
    if (run != RUN_NONE || more == NO_NEIGHBOUR)
        return way;
    way.side = more == right_free ? KVI_WITH_RIGHT : KVI_WITH_LEFT;
    if (more < (int64_t)need + page_size / LEND_PART)
        way.pages_min = 3;
    return way;
}

static uint32_t pending_bytes(unsigned flags, unsigned level, const struct kvi_pending *pending)
{
    uint32_t bytes = 0;

    for (unsigned i = 0; i < pending->count; i++) {
        const struct kvi_item *item = &pending->items[i];

        bytes += level == 0 ? kvi_leaf_cell_bytes(flags, item->key_bytes, item->payload_bytes)
                            : kvi_branch_head_bytes(flags) + item->key_bytes;
        bytes += KVI_NODE_SLOT_BYTES;
    }
    return bytes;
}

/* Free bytes of the page beside the one at `index`, NO_NEIGHBOUR when there is none. */
static int neighbour_free(struct kvi_change *change, unsigned index, int direction,
                          int64_t *free_out)
{
    const struct kvi_step *parent = &change->path->steps[index - 1];
    const uint8_t *page;
    struct kvi_ref ref;
    int rc;

    *free_out = NO_NEIGHBOUR;
    if (direction < 0 ? parent->slot == 0 : parent->slot + 1 >= kvi_header_count(parent->page))
        return 0;
    rc = kvi_tree_child(change->tree, parent->page,
                        direction < 0 ? parent->slot - 1 : parent->slot + 1, &ref);
    if (!rc)
        rc = kvi_tree_page(change->tree, ref, kvi_path_level(change->path, index), &page);
    if (!rc)
        *free_out = kvi_node_free_bytes(kvi_tree_geometry(change->tree), page);
    return rc;
}

static int find_way(struct kvi_change *change, unsigned index, const struct kvi_pending *pending,
                    struct way *way_out)
{
    unsigned level = kvi_path_level(change->path, index);
    bool at_end = pending->slot == kvi_header_count(change->path->steps[index].page);
    int64_t left = NO_NEIGHBOUR, right = NO_NEIGHBOUR;
    enum run run = RUN_NONE;
    int rc = 0;

    if (change->append && at_end)
        run = RUN_AT_END;
    else if (change->append && level == 0)
        run = RUN_INSIDE;
    if (index > 0 && run == RUN_NONE) {
        rc = neighbour_free(change, index, -1, &left);
        if (!rc)
            rc = neighbour_free(change, index, 1, &right);
    }
    *way_out = choose_way(kvi_tree_geometry(change->tree)->page_size, run, left, right,
                          pending_bytes(kvi_tree_flags(change->tree, level), level, pending));
    return rc;
}

/* Notes where the first pending record of a leaf went. */
static void note_landing(struct kvi_change *change, const struct kvi_group *group, unsigned item,
                         const unsigned *bounds)
{
    unsigned page = 0;

    while (page + 1 < group->pages && item >= bounds[page + 1])
        page++;
    change->landed = group->images[page];
    change->landed_slot = item - bounds[page];
}

/* Shares the items out: the bounds, and how many pages; 0: not in this way. `item` is the new
 * one. */
static unsigned plan_pages(const struct kvi_tree *tree, unsigned level, const struct way *way,
                           const struct kvi_group *group, unsigned item, unsigned *bounds)
{
    const struct kvi_geometry *g = kvi_tree_geometry(tree);
    enum kvi_page_type type = kvi_tree_type(level);
    unsigned flags = kvi_tree_flags(tree, level);
    unsigned pages;

    if (way->cut && item + 1 < group->count &&
        kvi_items_bytes(g, type, flags, group->items, 0, item + 1) <= g->page_size &&
        kvi_items_bytes(g, type, flags, group->items, item + 1, group->count) <= g->page_size) {
        bounds[0] = 0;
        bounds[1] = item + 1;
        bounds[2] = group->count;
        return 2;
    }
    pages = kvi_plan_split(g, type, flags, group->items, group->count, way->pages_min, way->bias,
                           bounds);
    /* trying a branch anew by itself is worth it only if no page is added */
    return way->pages_min == 1 && pages > 1 ? 0 : pages;
}

/* Gathers, plans and emits in one way. *done_out is false when the items cannot be shared out
 * so. */
static int spread_in_way(struct kvi_change *change, unsigned index, const struct way *way,
                         struct kvi_pending *pending, bool *done_out)
{
    unsigned level = kvi_path_level(change->path, index);
    unsigned bounds[KVI_PLAN_PAGES_MAX + 1];
    struct kvi_group group;
    unsigned pages, item;
    int rc = kvi_group_gather(change, index, way->side, pending, &group);

    *done_out = false;
    if (rc)
        return rc;
    item = group.own + pending->slot;
    pages = plan_pages(change->tree, level, way, &group, item, bounds);
    if (pages == 0)
        return 0;
    rc = kvi_group_emit(change, &group, bounds, pages, pending);
    if (!rc && level == 0)
        note_landing(change, &group, item, bounds);
    *done_out = !rc;
    return rc;
}

/* Names the new leaf to its parent, and takes what it holds off the count of the old one, which was
 * made for both. */
static int name_leaf(struct kvi_change *change, const uint8_t *image, struct kvi_pending *pending)
{
    struct kvi_tree *tree = change->tree;
    const struct kvi_step *leaf = kvi_path_leaf(change->path);
    struct kvi_item *item = &pending->items[0], left = {0};
    struct kvi_key separator;
    struct kvi_leaf_cell last;
    int rc;

    if (!kvi_leaf_cell_at(kvi_tree_geometry(tree), leaf->image, pending->slot - 1, &last))
        return kvi_tree_damaged(tree, kvi_header_pgno(leaf->image), "leaf page with a bad cell");
    left.key = last.key;
    left.key_bytes = last.key_bytes;
    left.payload = last.payload;
    left.payload_bytes = last.payload_bytes;
    left.kind = last.kind;
    rc = kvi_leaf_separator(change, &left, item, &separator);
    if (!rc)
        rc = kvi_counts_page(tree, image, &item->counts);
    if (!rc && tree->shape.counted && change->path->depth > 1)
        rc = kvi_counts_add_cell(tree, leaf[-1].image, leaf[-1].slot,
                                 -(int64_t)item->counts.records, -(int64_t)item->counts.keys);
    item->key = separator.data;
    item->key_bytes = (uint32_t)separator.size;
    return rc;
}

/* A leaf of its own for a record at the end of a run: nothing moves, and the full leaf stays as it
 * is. */
static int append_leaf(struct kvi_change *change, struct kvi_pending *pending)
{
    struct kvi_tree *tree = change->tree;
    const struct kvi_step *leaf = kvi_path_leaf(change->path);
    struct kvi_item *item = &pending->items[0];
    struct kvi_key key = {item->key, item->key_bytes};
    uint8_t *place, *image;
    int rc = kvi_tree_new_page(tree, 0, &item->ref, &image);

    if (rc)
        return rc;
    place =
        kvi_leaf_insert(kvi_tree_geometry(tree), image, 0, key, item->kind, item->payload_bytes);
    if (!place)
        return kvi_tree_damaged(tree, kvi_header_pgno(leaf->image), "leaf page with a bad cell");
    if (item->payload && item->payload_bytes)
        memcpy(place, item->payload, item->payload_bytes);
    rc = name_leaf(change, image, pending);
    if (rc)
        return rc;
    pending->slot = change->path->depth > 1 ? leaf[-1].slot + 1 : 1;
    tree->record.pages_leaf++;
    tree->last_leaf = NULL;
    change->rewritten = true;
    change->landed = image;
    change->landed_slot = 0;
    return 0;
}

/* Whether a branch can make room by append_branch: it keeps two children then. Not where branches
 * count, as what moves would have to be looked up. */
static bool branch_appends(const struct kvi_change *change, unsigned index,
                           const struct kvi_pending *pending)
{
    unsigned count = kvi_header_count(change->path->steps[index].page);

    return change->append && !change->tree->shape.counted && pending->count == 1 &&
           pending->slot == count && count > 2;
}

/* A branch of its own for the pending child of an ascending run and the one before it; the full
 * branch keeps the rest as it is. */
static int append_branch(struct kvi_change *change, unsigned index, struct kvi_pending *pending)
{
    struct kvi_tree *tree = change->tree;
    const struct kvi_geometry *g = kvi_tree_geometry(tree);
    const struct kvi_step *step = &change->path->steps[index];
    unsigned last = pending->slot - 1;
    struct kvi_item items[2] = {{.key = NULL}, pending->items[0]};
    struct kvi_key separator;
    struct kvi_ref ref;
    uint8_t *image;
    int rc = kvi_separator_at(change, step->image, last, &separator);

    if (!rc)
        rc = kvi_tree_child(tree, step->image, last, &items[0].ref);
    if (!rc)
        rc = kvi_tree_new_page(tree, kvi_path_level(change->path, index), &ref, &image);
    if (rc)
        return rc;
    if (!kvi_node_emit(g, image, items, 0, 2) || !kvi_node_remove(g, step->image, last))
        return kvi_tree_damaged(tree, kvi_header_pgno(step->image), "branch page with a bad cell");
    pending->items[0].key = separator.data;
    pending->items[0].key_bytes = (uint32_t)separator.size;
    pending->items[0].ref = ref;
    pending->slot = index > 0 ? step[-1].slot + 1 : 1;
    tree->record.pages_branch++;
    tree->last_leaf = NULL;
    tree->changed = true;
    change->rewritten = true;
    return 0;
}

/* Makes room at one level; *pending becomes what the parent must take. */
static int spread(struct kvi_change *change, unsigned index, struct kvi_pending *pending)
{
    static const struct way anew = {KVI_ALONE, 1, KVI_PLAN_EVEN, false};
    static const struct way halves = {KVI_ALONE, 2, KVI_PLAN_EVEN, false};
    bool done = false;
    struct way way = halves;
    int rc = 0;

    if (kvi_path_level(change->path, index) > 0 && branch_appends(change, index, pending))
        return append_branch(change, index, pending);
    /* a branch laid out anew may share a longer prefix; a leaf gains nothing by it */
    if (kvi_path_level(change->path, index) > 0)
        rc = spread_in_way(change, index, &anew, pending, &done);
    if (!rc && !done)
        rc = find_way(change, index, pending, &way);
    if (!rc && !done && way.bias == KVI_PLAN_APPEND && kvi_path_level(change->path, index) == 0)
        return append_leaf(change, pending);
    if (!rc && !done)
        rc = spread_in_way(change, index, &way, pending, &done);
    if (!rc && !done)
        rc = spread_in_way(change, index, &halves, pending, &done);
    if (!rc && !done)
        rc = kvi_tree_damaged(change->tree, kvi_header_pgno(change->path->steps[index].page),
                              "cells too large for their page");
    return rc;
}

/* The root was split: a new one above it. */
static int grow_root(struct kvi_change *change, const struct kvi_pending *pending)
{
    struct kvi_tree *tree = change->tree;
    struct kvi_item items[1 + KVI_PENDING_MAX];
    struct kvi_ref ref;
    uint8_t *image;
    int rc;

    if (tree->record.depth == KVI_DEPTH_MAX)
        return kvi_tree_damaged(tree, tree->record.root.pgno, "tree deeper than possible");
    memset(&items[0], 0, sizeof(items[0]));
    items[0].ref = tree->record.root;
    rc = kvi_counts_page(tree, change->path->steps[0].image, &items[0].counts);
    if (!rc)
        rc = kvi_tree_new_page(tree, tree->record.depth, &ref, &image);
    if (rc)
        return rc;
    memcpy(&items[1], pending->items, pending->count * sizeof(items[0]));
    if (!kvi_node_emit(kvi_tree_geometry(tree), image, items, 0, 1 + pending->count))
        return kvi_tree_damaged(tree, ref.pgno, "separators do not fit a new root");
    tree->record.root = ref;
    tree->record.depth++;
    tree->record.pages_branch++;
    tree->changed = true;
    return 0;
}

bool kvi_branch_take(const struct kvi_geometry *g, uint8_t *image, struct kvi_pending *pending)
{
    while (pending->count > 0) {
        const struct kvi_item *item = &pending->items[0];
        struct kvi_key separator = {item->key, item->key_bytes};

        if (!kvi_branch_insert(g, image, pending->slot, separator, item->ref, item->counts))
            return false;
        pending->count--;
        pending->slot++;
        memmove(&pending->items[0], &pending->items[1], pending->count * sizeof(pending->items[0]));
    }
    return true;
}

int kvi_split(struct kvi_change *change, unsigned index, struct kvi_pending *pending)
{
    const struct kvi_geometry *g = kvi_tree_geometry(change->tree);

    for (;;) {
        int rc = spread(change, index, pending);

        if (rc || pending->count == 0)
            return rc;
        if (index == 0)
            return grow_root(change, pending);
        index--;
        if (kvi_branch_take(g, change->path->steps[index].image, pending))
            return 0;
    }
}

int kvi_split_leaf(struct kvi_change *change, unsigned slot, enum kvi_cell_kind kind,
                   const uint8_t *payload, uint32_t payload_bytes)
{
    struct kvi_pending pending;

    memset(&pending, 0, sizeof(pending));
    pending.count = 1;
    pending.slot = slot;
    pending.items[0].key = change->key.data;
    pending.items[0].key_bytes = (uint32_t)change->key.size;
    pending.items[0].payload = payload;
    pending.items[0].payload_bytes = payload_bytes;
    pending.items[0].kind = kind;
    return kvi_split(change, change->path->depth - 1, &pending);
}
