/* SPDX-License-Identifier: MIT */
/*
 * Trees as such, and the point read: the shortest way from the root to one cell.
 *
 * A get in a read txn is the hottest path of the library. It allocates nothing, keeps no path, and
 * asks for the next page's first lines as soon as its number is known: the header, whose tag is
 * compared, and the heads, which the search reads, then come from memory at the same time.
 */
#include <assert.h>
#include <string.h>

#include "format/node_find.h"
#include "kv.h"
#include "tree/path.h"
#include "tree/tree.h"
#include "tree/value.h"

void kvi_tree_set_record(struct kvi_tree *tree, const struct kvi_table_record *record)
{
    struct kvi_comparator key_custom = tree->shape.key_custom;
    struct kvi_comparator value_custom = tree->shape.value_custom;

    tree->record = *record;
    kvi_shape_init(&tree->shape, record);
    tree->shape.key_custom = key_custom;
    tree->shape.value_custom = value_custom;
    tree->leaf_flags = kvi_shape_page_flags(&tree->shape, 0);
    tree->branch_flags = kvi_shape_page_flags(&tree->shape, 1);
}

void kvi_tree_init_read(struct kvi_tree *tree, const struct kvi_table_record *record,
                        const struct kvi_view *view)
{
    memset(tree, 0, sizeof(*tree));
    kvi_tree_set_record(tree, record);
    tree->view = view;
    tree->ring = tree;
}

void kvi_tree_init_write(struct kvi_tree *tree, const struct kvi_table_record *record,
                         struct kvi_pager *pager)
{
    kvi_tree_init_read(tree, record, kvi_pager_view(pager));
    tree->pager = pager;
}

void kvi_tree_join(struct kvi_tree *tree, struct kvi_tree *other)
{
    assert(tree->ring == tree);
    tree->ring = other->ring;
    other->ring = tree;
}

/* The leaf under which what is sought belongs, and its frame, in a tree that is read through a view
 * alone. Of a probe that is what it has for branches. */
static KVI_ALWAYS_INLINE int find_leaf(const struct kvi_tree *tree, struct kvi_sought sought,
                                       const uint8_t **leaf_out, struct kvi_node_frame *frame_out)
{
    const struct kvi_view *view = tree->view;
    const struct kvi_geometry *g = &view->map->geometry;
    struct kvi_ref ref = tree->record.root;
    const uint8_t *page;
    int rc;

    for (unsigned level = tree->record.depth - 1u; level > 0; level--) {
        uint64_t pgno = ref.pgno;
        struct kvi_node_frame f;
        int slot;

        rc = kvi_view_page(view, ref, KVI_PAGE_BRANCH, level, &page);
        if (KVI_UNLIKELY(rc))
            return rc;
        f = kvi_node_frame(g, page);
        if (KVI_UNLIKELY(!kvi_frame_ok(g, &f, false)))
            return kvi_tree_damaged(tree, pgno, "branch page with a bad frame");
        slot = kvi_find_child(g, page, &f, sought);
        if (KVI_UNLIKELY(slot < 0 || !kvi_child_at(g, page, &f, (uint32_t)slot, &ref)))
            return kvi_tree_damaged(tree, pgno, "branch page with a bad cell");
        kvi_tree_ask(view, ref, level - 1);
    }
    rc = kvi_view_page(view, ref, KVI_PAGE_LEAF, 0, &page);
    if (KVI_UNLIKELY(rc))
        return rc;
    *leaf_out = page;
    *frame_out = kvi_node_frame(g, page);
    if (KVI_UNLIKELY(!kvi_frame_ok(g, frame_out, true)))
        return kvi_tree_damaged(tree, ref.pgno, "leaf page with a bad frame");
    return 0;
}

/* The same in a write txn, through the pager; with a user's order in any txn, and then by the probe
 * (NULL: none). */
static int find_leaf_slowly(const struct kvi_tree *tree, struct kvi_key key,
                            const struct kvi_probe *custom, const uint8_t **leaf_out)
{
    const struct kvi_geometry *g = kvi_tree_geometry(tree);
    struct kvi_ref ref = tree->record.root;

    for (unsigned level = tree->record.depth - 1u; level > 0; level--) {
        const uint8_t *page;
        int slot;
        int rc = kvi_tree_page(tree, ref, level, &page);

        if (rc)
            return rc;
        slot = custom ? kvi_branch_probe(g, &tree->shape, page, custom)
                      : kvi_branch_find(g, page, key);
        if (KVI_UNLIKELY(slot < 0))
            return kvi_tree_damaged(tree, ref.pgno, "branch page with a bad cell");
        rc = kvi_tree_child(tree, page, (unsigned)slot, &ref);
        if (rc)
            return rc;
    }
    return kvi_tree_page(tree, ref, 0, leaf_out);
}

/* Before a descent: 0, or KV_ENOTFOUND. */
static inline int check_depth(const struct kvi_tree *tree)
{
    if (tree->record.depth == 0)
        return KV_ENOTFOUND;
    if (KVI_UNLIKELY(tree->record.depth > KVI_DEPTH_MAX))
        return kvi_tree_damaged(tree, tree->record.root.pgno, "tree deeper than possible");
    return 0;
}

/* The value of the cell at `slot` of a leaf, as kvi_leaf_find gave it. */
static KVI_ALWAYS_INLINE int load(const struct kvi_tree *tree, const uint8_t *leaf, int slot,
                                  bool exact, struct kvi_tree_value *value_out)
{
    struct kvi_leaf_cell cell;

    if (KVI_UNLIKELY(slot < 0))
        return kvi_tree_damaged(tree, kvi_header_pgno(leaf), "leaf page with a bad cell");
    if (!exact)
        return KV_ENOTFOUND;
    if (KVI_UNLIKELY(!kvi_leaf_cell_at(kvi_tree_geometry(tree), leaf, (unsigned)slot, &cell)))
        return kvi_tree_damaged(tree, kvi_header_pgno(leaf), "leaf page with a bad cell");
    return kvi_value_load(tree, &cell, value_out);
}

/* With duplicates, where a separator may stand among the values of the key. */
static KVI_NOINLINE int get_first(struct kvi_tree *tree, struct kvi_key key,
                                  struct kvi_tree_value *value_out)
{
    const struct kvi_step *leaf;
    struct kvi_path path;
    bool exact;
    int rc = kvi_path_first(tree, key, &path, &exact);

    if (rc)
        return rc;
    leaf = kvi_path_leaf(&path);
    return load(tree, leaf->page, (int)leaf->slot, exact, value_out);
}

/* In a tree of any shape. */
static KVI_NOINLINE int get_shaped(struct kvi_tree *tree, struct kvi_key key,
                                   struct kvi_tree_value *value_out)
{
    const struct kvi_geometry *g = kvi_tree_geometry(tree);
    struct kvi_node_frame frame;
    struct kvi_probe probe;
    const uint8_t *leaf;
    bool exact = false;
    int slot = 0;
    int rc = kvi_tree_probe(tree, key, (struct kvi_key){NULL, 0}, KVI_PROBE_FIRST, &probe);

    if (rc)
        return rc;
    if (tree->pager || tree->shape.custom)
        rc = find_leaf_slowly(tree, probe.separator, tree->shape.custom ? &probe : NULL, &leaf);
    else
        rc = find_leaf(tree, (struct kvi_sought){probe.separator, 0, false}, &leaf, &frame);
    if (!rc)
        slot = kvi_leaf_probe(g, &tree->shape, leaf, &probe, &exact);
    kvi_probe_release(&probe);
    if (KVI_UNLIKELY(rc))
        return rc;
    if (!exact && tree->shape.duplicates && slot == (int)kvi_header_count(leaf))
        return get_first(tree, key, value_out);
    return load(tree, leaf, slot, exact, value_out);
}

/* In a plain tree, in a write txn. */
static KVI_NOINLINE int get_slowly(struct kvi_tree *tree, struct kvi_key key,
                                   struct kvi_tree_value *value_out)
{
    const uint8_t *leaf;
    bool exact;
    int rc = find_leaf_slowly(tree, key, NULL, &leaf);
    int slot;

    if (KVI_UNLIKELY(rc))
        return rc;
    slot = kvi_leaf_find(kvi_tree_geometry(tree), leaf, key, &exact);
    return load(tree, leaf, slot, exact, value_out);
}

/* Several keys of the leaf have the head that leads to `slot`, and the first is not this one. */
static KVI_NOINLINE int get_tied(struct kvi_tree *tree, struct kvi_key key, const uint8_t *leaf,
                                 struct kvi_tree_value *value_out)
{
    bool exact;
    int slot;

    if (!tree->shape.plain)
        return get_shaped(tree, key, value_out);
    slot = kvi_leaf_find(kvi_tree_geometry(tree), leaf, key, &exact);
    return load(tree, leaf, slot, exact, value_out);
}

/* A table without duplicates in which the same bytes are the same key, in a read txn: the cell to
 * which the heads lead is compared as it stands. */
static KVI_ALWAYS_INLINE int get_record(struct kvi_tree *tree, struct kvi_key key,
                                        struct kvi_sought sought, struct kvi_tree_value *value_out)
{
    const struct kvi_geometry *g = kvi_tree_geometry(tree);
    struct kvi_node_frame f;
    struct kvi_leaf_cell cell;
    const uint8_t *leaf = NULL;
    uint32_t slot;
    int rc = find_leaf(tree, sought, &leaf, &f);
    bool same;

    if (KVI_UNLIKELY(rc))
        return rc;
    if (KVI_UNLIKELY(f.flags != tree->leaf_flags))
        return kvi_tree_damaged(tree, kvi_header_pgno(leaf), "leaf page with a bad frame");
    slot = kvi_find_record(leaf, &f, sought);
    if (slot >= f.count)
        return KV_ENOTFOUND;
    __builtin_prefetch(leaf + kvi_node_off(&f, leaf, slot) + KVI_PREFETCH_LINE_BYTES);
    if (KVI_UNLIKELY(!kvi_leaf_cell_parse(g, &f, leaf, slot, &cell)))
        return kvi_tree_damaged(tree, kvi_header_pgno(leaf), "leaf page with a bad cell");
    if (sought.is_word)
        same = cell.key_bytes == sizeof(sought.word) &&
               kvi_fast_load64(cell.key) == kvi_fast_load64(key.data);
    else
        same = kvi_tail_compare(cell.key, cell.key_bytes, key.data, key.size,
                                f.prefix_bytes + KVI_HEAD_BYTES) == 0;
    if (KVI_UNLIKELY(!same))
        return get_tied(tree, key, leaf, value_out);
    if (KVI_UNLIKELY(cell.kind != KVI_CELL_VALUE))
        return kvi_value_load(tree, &cell, value_out);
    *value_out = (struct kvi_tree_value){cell.payload, cell.payload_bytes, KVI_CELL_VALUE};
    return 0;
}

static KVI_NOINLINE int get_word(struct kvi_tree *tree, struct kvi_key key,
                                 struct kvi_tree_value *value_out)
{
    struct kvi_sought sought = {key, kvi_fast_load64_be(key.data), true};

    return get_record(tree, key, sought, value_out);
}

static KVI_NOINLINE int get_bytes(struct kvi_tree *tree, struct kvi_key key,
                                  struct kvi_tree_value *value_out)
{
    struct kvi_sought sought = {key, 0, false};

    return get_record(tree, key, sought, value_out);
}

static KVI_NOINLINE int get_integer(struct kvi_tree *tree, struct kvi_key key,
                                    struct kvi_tree_value *value_out)
{
    uint64_t word = kvi_fast_load64(key.data);
    uint8_t normal[sizeof(word)];
    struct kvi_sought sought = {{normal, sizeof(word)}, word, true};

    kvi_fast_store64_be(normal, word);
    return get_record(tree, key, sought, value_out);
}

int kvi_tree_get(struct kvi_tree *tree, struct kvi_key key, struct kvi_tree_value *value_out)
{
    int rc = check_depth(tree);

    *value_out = (struct kvi_tree_value){NULL, 0, KVI_CELL_VALUE};
    if (KVI_UNLIKELY(rc))
        return rc;
    if (KVI_LIKELY(tree->shape.plain)) {
        if (KVI_UNLIKELY(tree->pager != NULL))
            return get_slowly(tree, key, value_out);
        return key.size == sizeof(uint64_t) ? get_word(tree, key, value_out)
                                            : get_bytes(tree, key, value_out);
    }
    if (!tree->pager && tree->shape.key_order == KV_ORDER_UINT && !tree->shape.duplicates &&
        key.size == sizeof(uint64_t))
        return get_integer(tree, key, value_out);
    return get_shaped(tree, key, value_out);
}
