/* SPDX-License-Identifier: MIT */
/*
 * Many keys at once: their descents take turns, so that the memory that one waits for comes while
 * the others go on.
 *
 *     level 2   | find k0, ask for its child | find k1, ask | ... | find k15, ask |
 *               | ask for the heads of k0's child | of k1's | ...
 *     level 1   | find k0 ...
 *     leaves    | aim k0: heads, ask for its cell | aim k1 | ...
 *               | compare k0's cell | k1's | ...
 *
 * A page is asked for in two steps: first its header, then, when that was done for all keys of the
 * group, the lines of its heads. The first is a load whose value is not used, and not a prefetch: a
 * prefetch may be lost where the processor has no translation for the page yet, and it does not wait
 * for loads either, as long as they come one behind the other. (A reading of measurements, not of a
 * manual: with loads a group of 16 was never slower and mostly a third faster, in a virtual machine
 * on AMD Zen 5.)
 *
 * Everything that a get checks is checked here, page by page. Allocates nothing but what a probe of
 * a long key needs. Any number of threads in a read txn.
 */
#include <string.h>

#include "format/node_find.h"
#include "kv.h"
#include "tree/path.h"
#include "tree/tree.h"
#include "tree/value.h"

/* Keys that take turns. More of them hide no more, and their pages' first lines must stay in the
 * nearest cache: 16 times 16 lines of a branch are a third of it. */
#define GROUP_MAX 16u

/* As many branches are mostly in cache anyway: asking for all of their lines costs more than it
 * brings (a tenth at 1 M records; at 16 M it is the other way round). */
#define BRANCHES_NEAR_MAX 512u
#define BRANCH_LINES_NEAR 4u

struct lane {
    struct kvi_key key;
    struct kvi_ref ref;  /* of the page that it comes to next */
    const uint8_t *page; /* its leaf */
    int slot;            /* where the heads led to there */
};

struct group {
    struct kvi_tree *tree;
    struct kvi_probe *probes; /* of the lanes' keys, in a tree that is not plain; else NULL */
    unsigned count;
    struct lane lanes[GROUP_MAX];
};

/* ---- Asking for pages ---- */

static inline const uint8_t *page_at(const struct kvi_view *view, struct kvi_ref ref)
{
    return view->map->base + (ref.pgno << view->map->geometry.page_shift);
}

/* Whether a page may be asked for before it is entered: one of this txn's own (tag 0) is in memory
 * that was written lately. */
static inline bool is_askable(const struct kvi_view *view, struct kvi_ref ref)
{
    return KVI_LIKELY(ref.tag != 0 && ref.pgno < view->page_end && ref.pgno < view->map->pages_max);
}

/* Headers and notes of the pages of all lanes. A write txn's references, if damaged, may lead behind
 * the file's end, where a load is SIGBUS. */
static void ask_first(const struct group *group)
{
    const struct kvi_view *view = group->tree->view;
    bool load = group->tree->pager == NULL;

    for (unsigned i = 0; i < group->count; i++) {
        struct kvi_ref ref = group->lanes[i].ref;

        if (!is_askable(view, ref))
            continue;
        __builtin_prefetch((const void *)&view->map->notes[ref.pgno]);
        if (KVI_LIKELY(load))
            kvi_tree_load_line(page_at(view, ref));
        else
            __builtin_prefetch(page_at(view, ref));
    }
}

static inline unsigned branch_lines(const struct kvi_tree *tree)
{
    return tree->record.pages_branch <= BRANCHES_NEAR_MAX ? BRANCH_LINES_NEAR
                                                          : KVI_PREFETCH_BRANCH_LINES;
}

/* Heads and offsets of the pages of all lanes. */
static void ask_rest(const struct group *group, unsigned level)
{
    const struct kvi_view *view = group->tree->view;
    unsigned lines = level > 0 ? branch_lines(group->tree) : KVI_PREFETCH_LEAF_LINES;

    for (unsigned i = 0; i < group->count; i++) {
        struct kvi_ref ref = group->lanes[i].ref;

        if (!is_askable(view, ref))
            continue;
        for (unsigned line = 1; line < lines; line++)
            __builtin_prefetch(page_at(view, ref) + line * KVI_PREFETCH_LINE_BYTES);
    }
}

/* ---- Descending ---- */

static KVI_ALWAYS_INLINE int enter(const struct kvi_tree *tree, struct kvi_ref ref, unsigned level,
                                   const uint8_t **page_out, struct kvi_node_frame *frame_out)
{
    int rc;

    if (KVI_UNLIKELY(tree->pager != NULL))
        rc = kvi_tree_page(tree, ref, level, page_out);
    else
        rc = kvi_view_page(tree->view, ref, kvi_tree_type(level), level, page_out);
    if (KVI_UNLIKELY(rc))
        return rc;
    *frame_out = kvi_node_frame(kvi_tree_geometry(tree), *page_out);
    if (KVI_UNLIKELY(!kvi_frame_ok(kvi_tree_geometry(tree), frame_out, level == 0)))
        return kvi_tree_damaged(tree, ref.pgno, "tree page with a bad frame");
    return 0;
}

/* From the branches of a level to their children's references. */
static int step(struct group *group, unsigned level)
{
    const struct kvi_tree *tree = group->tree;
    const struct kvi_geometry *g = kvi_tree_geometry(tree);

    for (unsigned i = 0; i < group->count; i++) {
        struct lane *lane = &group->lanes[i];
        uint64_t pgno = lane->ref.pgno;
        struct kvi_sought sought = {lane->key, 0, false};
        struct kvi_node_frame f;
        const uint8_t *page;
        int slot;
        int rc = enter(tree, lane->ref, level, &page, &f);

        if (KVI_UNLIKELY(rc))
            return rc;
        slot = KVI_UNLIKELY(tree->shape.custom)
                   ? kvi_branch_probe(g, &tree->shape, page, &group->probes[i])
                   : kvi_find_child(g, page, &f, sought);
        if (KVI_UNLIKELY(slot < 0 || !kvi_child_at(g, page, &f, (uint32_t)slot, &lane->ref)))
            return kvi_tree_damaged(tree, pgno, "branch page with a bad cell");
    }
    ask_first(group);
    ask_rest(group, level - 1);
    return 0;
}

/* Into the leaves, as far as the heads tell. */
static int aim(struct group *group)
{
    for (unsigned i = 0; i < group->count; i++) {
        struct lane *lane = &group->lanes[i];
        struct kvi_sought sought = {lane->key, 0, false};
        struct kvi_node_frame f;
        uint32_t slot;
        int rc = enter(group->tree, lane->ref, 0, &lane->page, &f);

        if (KVI_UNLIKELY(rc))
            return rc;
        if (KVI_UNLIKELY(group->tree->shape.custom))
            continue;
        slot = kvi_find_record(lane->page, &f, sought);
        if (slot < f.count) /* all that is wanted of it with probes */
            __builtin_prefetch(lane->page + kvi_node_off(&f, lane->page, slot));
        lane->slot = (int)slot;
    }
    return 0;
}

/* ---- Results ---- */

/* Named tables count as absent, as their values are the library's. */
static inline int show(const struct kvi_tree *tree, const struct kvi_leaf_cell *cell,
                       struct kv_val *value_out, size_t *found)
{
    struct kvi_tree_value value;
    int rc;

    if (KVI_LIKELY(cell->kind == KVI_CELL_VALUE)) {
        *value_out = (struct kv_val){cell->payload_bytes, (void *)(uintptr_t)cell->payload};
        *found += 1;
        return 0;
    }
    rc = kvi_value_load(tree, cell, &value);
    if (rc || value.kind == KVI_CELL_TABLE)
        return rc;
    *value_out = (struct kv_val){(size_t)value.size_bytes, (void *)(uintptr_t)value.data};
    *found += 1;
    return 0;
}

static int show_one(struct kvi_tree *tree, const struct kv_val *key, struct kv_val *value_out,
                    size_t *found)
{
    struct kvi_tree_value value;
    int rc = kvi_tree_get(tree, (struct kvi_key){key->data, key->size}, &value);

    if (rc || value.kind == KVI_CELL_TABLE)
        return rc == KV_ENOTFOUND ? 0 : rc;
    *value_out = (struct kv_val){(size_t)value.size_bytes, (void *)(uintptr_t)value.data};
    *found += 1;
    return 0;
}

static int compare(const struct group *group, struct kv_val *values_out, size_t *found)
{
    const struct kvi_geometry *g = kvi_tree_geometry(group->tree);

    for (unsigned i = 0; i < group->count; i++) {
        const struct lane *lane = &group->lanes[i];
        struct kvi_leaf_cell cell;
        int hit = kvi_leaf_hit(g, lane->page, lane->key, (unsigned)lane->slot, &cell);
        int rc = 0;

        if (KVI_UNLIKELY(hit < 0))
            return kvi_tree_damaged(group->tree, lane->ref.pgno, "leaf page with a bad cell");
        if (hit)
            rc = show(group->tree, &cell, &values_out[i], found);
        if (KVI_UNLIKELY(rc))
            return rc;
    }
    return 0;
}

/* The same in a tree that is not plain. Behind the end of a leaf a key with duplicates may have its
 * first value in the next one: that is rare, and left to a get. */
static int compare_probes(const struct group *group, const struct kv_val *keys,
                          struct kv_val *values_out, size_t *found)
{
    struct kvi_tree *tree = group->tree;
    const struct kvi_geometry *g = kvi_tree_geometry(tree);

    for (unsigned i = 0; i < group->count; i++) {
        const struct lane *lane = &group->lanes[i];
        struct kvi_leaf_cell cell;
        bool exact;
        int slot = kvi_leaf_probe(g, &tree->shape, lane->page, &group->probes[i], &exact);
        int rc = 0;

        if (KVI_UNLIKELY(slot < 0 ||
                         (exact && !kvi_leaf_cell_at(g, lane->page, (unsigned)slot, &cell))))
            return kvi_tree_damaged(tree, lane->ref.pgno, "leaf page with a bad cell");
        if (exact)
            rc = show(tree, &cell, &values_out[i], found);
        else if (tree->shape.duplicates && slot == (int)kvi_header_count(lane->page))
            rc = show_one(tree, &keys[i], &values_out[i], found);
        if (KVI_UNLIKELY(rc))
            return rc;
    }
    return 0;
}

/* ---- Groups ---- */

/* Down to the leaves, from lanes that have their keys. */
static int descend(struct group *group)
{
    const struct kvi_tree *tree = group->tree;
    int rc = 0;

    for (unsigned i = 0; i < group->count; i++)
        group->lanes[i].ref = tree->record.root;
    for (unsigned level = tree->record.depth - 1u; !rc && level > 0; level--)
        rc = step(group, level);
    return rc ? rc : aim(group);
}

static int get_plain(struct group *group, const struct kv_val *keys, struct kv_val *values_out,
                     size_t *found)
{
    int rc;

    for (unsigned i = 0; i < group->count; i++) {
        group->lanes[i].key = (struct kvi_key){keys[i].data, keys[i].size};
        __builtin_prefetch(keys[i].data);
    }
    rc = descend(group);
    return rc ? rc : compare(group, values_out, found);
}

static KVI_NOINLINE int get_probes(struct group *group, const struct kv_val *keys,
                                   struct kv_val *values_out, size_t *found)
{
    struct kvi_probe probes[GROUP_MAX];
    unsigned made = 0;
    int rc = 0;

    group->probes = probes;
    for (; made < group->count; made++) {
        struct kvi_key key = {keys[made].data, keys[made].size};

        rc = kvi_tree_probe(group->tree, key, (struct kvi_key){NULL, 0}, KVI_PROBE_FIRST,
                            &probes[made]);
        if (rc)
            break;
        group->lanes[made].key = probes[made].separator;
    }
    if (!rc)
        rc = descend(group);
    if (!rc)
        rc = compare_probes(group, keys, values_out, found);
    while (made > 0)
        kvi_probe_release(&probes[--made]);
    group->probes = NULL;
    return rc;
}

int kvi_tree_get_many(struct kvi_tree *tree, const struct kv_val *keys, size_t count,
                      struct kv_val *values_out, size_t *found_out)
{
    struct group group = {.tree = tree};
    int rc = 0;

    *found_out = 0;
    for (size_t i = 0; i < count; i++)
        values_out[i] = (struct kv_val){0, NULL};
    if (tree->record.depth == 0)
        return 0;
    if (KVI_UNLIKELY(tree->record.depth > KVI_DEPTH_MAX))
        return kvi_tree_damaged(tree, tree->record.root.pgno, "tree deeper than possible");
    for (size_t at = 0; !rc && at < count; at += group.count) {
        group.count = count - at < GROUP_MAX ? (unsigned)(count - at) : GROUP_MAX;
        if (tree->shape.plain)
            rc = get_plain(&group, keys + at, values_out + at, found_out);
        else
            rc = get_probes(&group, keys + at, values_out + at, found_out);
    }
    return rc;
}
