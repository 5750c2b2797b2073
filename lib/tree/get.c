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

/* The leaf under which `key` belongs, in a tree that is read through a view alone. `key` is in
 * normal form, or what a probe has for branches. */
static KVI_ALWAYS_INLINE int find_leaf(const struct kvi_tree *tree, struct kvi_key key,
                                       const uint8_t **leaf_out)
{
    const struct kvi_view *view = tree->view;
    const struct kvi_geometry *g = &view->map->geometry;
    struct kvi_ref ref = tree->record.root;
    const uint8_t *page;

    for (unsigned level = tree->record.depth - 1u; level > 0; level--) {
        uint64_t pgno = ref.pgno;
        int rc = kvi_view_page(view, ref, KVI_PAGE_BRANCH, level, &page);
        int slot;

        if (KVI_UNLIKELY(rc))
            return rc;
        if (KVI_UNLIKELY(!kvi_node_frame_ok(g, page)))
            return kvi_tree_damaged(tree, pgno, "branch page with a bad frame");
        slot = kvi_branch_find(g, page, key);
        if (KVI_UNLIKELY(slot < 0 || !kvi_branch_child(g, page, (unsigned)slot, &ref)))
            return kvi_tree_damaged(tree, pgno, "branch page with a bad cell");
        kvi_tree_prefetch(view, ref, level - 1);
    }
    return kvi_view_page(view, ref, KVI_PAGE_LEAF, 0, leaf_out);
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
        rc = find_leaf(tree, probe.separator, &leaf);
    if (!rc && KVI_UNLIKELY(!kvi_node_frame_ok(g, leaf)))
        rc = kvi_tree_damaged(tree, kvi_header_pgno(leaf), "leaf page with a bad frame");
    if (!rc)
        slot = kvi_leaf_probe(g, &tree->shape, leaf, &probe, &exact);
    kvi_probe_release(&probe);
    if (KVI_UNLIKELY(rc))
        return rc;
    if (!exact && tree->shape.duplicates && slot == (int)kvi_header_count(leaf))
        return get_first(tree, key, value_out);
    return load(tree, leaf, slot, exact, value_out);
}

/* Integer keys without duplicates, in a read txn: the same bytes are the same key, so that the cell
 * to which the heads lead is compared as it stands. */
static KVI_NOINLINE int get_integer(struct kvi_tree *tree, struct kvi_key key,
                                    struct kvi_tree_value *value_out)
{
    const struct kvi_geometry *g = kvi_tree_geometry(tree);
    struct kvi_leaf_cell cell;
    const uint8_t *leaf;
    uint64_t normal;
    int rc, slot;

    if (KVI_UNLIKELY(key.size != sizeof(normal)))
        return get_shaped(tree, key, value_out);
    normal = __builtin_bswap64(kvi_le_load64(key.data));
    kvi_le_store64((uint8_t *)&normal, normal);
    rc = find_leaf(tree, (struct kvi_key){(const uint8_t *)&normal, sizeof(normal)}, &leaf);
    if (KVI_UNLIKELY(rc))
        return rc;
    if (KVI_UNLIKELY(!kvi_node_frame_ok(g, leaf) || kvi_header_flags(leaf) != tree->leaf_flags))
        return kvi_tree_damaged(tree, kvi_header_pgno(leaf), "leaf page with a bad frame");
    slot = kvi_leaf_aim(g, leaf, (struct kvi_key){(const uint8_t *)&normal, sizeof(normal)});
    if (slot >= (int)kvi_header_count(leaf))
        return KV_ENOTFOUND;
    if (KVI_UNLIKELY(!kvi_leaf_cell_at(g, leaf, (unsigned)slot, &cell)))
        return kvi_tree_damaged(tree, kvi_header_pgno(leaf), "leaf page with a bad cell");
    if (KVI_LIKELY(cell.key_bytes == key.size && memcmp(cell.key, key.data, sizeof(normal)) == 0))
        return kvi_value_load(tree, &cell, value_out);
    return get_shaped(tree, key, value_out); /* another with this head */
}

int kvi_tree_get(struct kvi_tree *tree, struct kvi_key key, struct kvi_tree_value *value_out)
{
    const struct kvi_geometry *g = kvi_tree_geometry(tree);
    const uint8_t *leaf;
    bool exact;
    int rc = check_depth(tree);
    int slot;

    memset(value_out, 0, sizeof(*value_out));
    if (KVI_UNLIKELY(rc))
        return rc;
    if (KVI_UNLIKELY(!tree->shape.plain)) {
        if (!tree->pager && tree->shape.key_order == KV_ORDER_UINT && !tree->shape.duplicates)
            return get_integer(tree, key, value_out);
        return get_shaped(tree, key, value_out);
    }
    rc = tree->pager ? find_leaf_slowly(tree, key, NULL, &leaf) : find_leaf(tree, key, &leaf);
    if (KVI_UNLIKELY(rc))
        return rc;
    if (KVI_UNLIKELY(!kvi_node_frame_ok(g, leaf)))
        return kvi_tree_damaged(tree, kvi_header_pgno(leaf), "leaf page with a bad frame");
    slot = kvi_leaf_find(g, leaf, key, &exact);
    return load(tree, leaf, slot, exact, value_out);
}
