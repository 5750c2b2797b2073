/* SPDX-License-Identifier: MIT */
/*
 * Finding and moving paths. See path.h.
 *
 * One function enters a page, whatever the reason for going there: it takes the reference from the
 * parent's cell, so that a path can be entered again from its slots alone.
 */
#include "tree/path.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

int kvi_tree_damaged(const struct kvi_tree *tree, uint64_t pgno, const char *what)
{
    return kvi_corrupt(tree->view->map->path, pgno, what);
}

int kvi_tree_page(const struct kvi_tree *tree, struct kvi_ref ref, unsigned level,
                  const uint8_t **page_out)
{
    enum kvi_page_type type = kvi_tree_type(level);
    int rc = tree->pager ? kvi_pager_page(tree->pager, ref, type, level, page_out)
                         : kvi_view_page(tree->view, ref, type, level, page_out);

    if (rc)
        return rc;
    if (KVI_UNLIKELY(!kvi_node_frame_ok(kvi_tree_geometry(tree), *page_out)))
        return kvi_tree_damaged(tree, ref.pgno, "tree page with a bad frame");
    return 0;
}

int kvi_tree_child(const struct kvi_tree *tree, const uint8_t *branch, unsigned slot,
                   struct kvi_ref *ref_out)
{
    if (KVI_UNLIKELY(slot >= kvi_header_count(branch) ||
                     !kvi_branch_child(kvi_tree_geometry(tree), branch, slot, ref_out)))
        return kvi_tree_damaged(tree, kvi_header_pgno(branch), "branch page with a bad cell");
    return 0;
}

/* Makes the page that *ref names changeable; true in *moved_out when the reference is another
 * now. */
static int touch(struct kvi_tree *tree, struct kvi_ref *ref, unsigned level, uint8_t **image_out,
                 bool *moved_out)
{
    struct kvi_ref before = *ref;
    int rc = kvi_pager_touch(tree->pager, ref, kvi_tree_type(level), level, image_out);

    if (rc)
        return rc;
    *moved_out = ref->pgno != before.pgno || ref->tag != before.tag;
    if (KVI_UNLIKELY(!kvi_node_frame_ok(kvi_tree_geometry(tree), *image_out)))
        return kvi_tree_damaged(tree, before.pgno, "tree page with a bad frame");
    return 0;
}

int kvi_tree_new_page(struct kvi_tree *tree, unsigned level, struct kvi_ref *ref_out,
                      uint8_t **image_out)
{
    int rc = kvi_pager_new(tree->pager, kvi_tree_type(level), level, ref_out, image_out);

    if (!rc)
        kvi_node_set_flags(*image_out, kvi_tree_flags(tree, level));
    return rc;
}

static int touch_root(struct kvi_tree *tree, unsigned level, uint8_t **image_out)
{
    struct kvi_ref ref = tree->record.root;
    bool moved;
    int rc = touch(tree, &ref, level, image_out, &moved);

    if (rc)
        return rc;
    if (moved) {
        tree->record.root = ref;
        tree->changed = true;
    }
    return 0;
}

int kvi_tree_touch_child(struct kvi_tree *tree, uint8_t *branch, unsigned slot, unsigned level,
                         uint8_t **image_out)
{
    struct kvi_branch_cell cell;
    bool moved;
    int rc;

    if (KVI_UNLIKELY(slot >= kvi_header_count(branch) ||
                     !kvi_branch_cell_at(kvi_tree_geometry(tree), branch, slot, &cell)))
        return kvi_tree_damaged(tree, kvi_header_pgno(branch), "branch page with a bad cell");
    rc = touch(tree, &cell.ref, level, image_out, &moved);
    if (rc)
        return rc;
    if (moved)
        kvi_branch_set_ref(branch, &cell, cell.ref);
    return 0;
}

static int enter_read(struct kvi_tree *tree, struct kvi_path *path, unsigned index)
{
    struct kvi_step *step = &path->steps[index];
    struct kvi_ref ref = tree->record.root;
    unsigned level = kvi_path_level(path, index);

    step->image = NULL;
    if (index > 0) {
        int rc = kvi_tree_child(tree, step[-1].page, step[-1].slot, &ref);

        if (rc)
            return rc;
        if (!tree->pager)
            kvi_tree_ask(tree->view, ref, level);
        else if (ref.tag)
            kvi_tree_prefetch(tree->view, ref, level);
    }
    return kvi_tree_page(tree, ref, level, &step->page);
}

static int enter_touch(struct kvi_tree *tree, struct kvi_path *path, unsigned index)
{
    struct kvi_step *step = &path->steps[index];
    unsigned level = kvi_path_level(path, index);
    int rc;

    if (index == 0)
        rc = touch_root(tree, level, &step->image);
    else
        rc = kvi_tree_touch_child(tree, step[-1].image, step[-1].slot, level, &step->image);
    step->page = step->image;
    return rc;
}

/* Goes to the page at `index`, below the slot that the step before it has. */
static int enter(struct kvi_tree *tree, struct kvi_path *path, unsigned index,
                 enum kvi_path_mode mode)
{
    int rc =
        mode == KVI_PATH_TOUCH ? enter_touch(tree, path, index) : enter_read(tree, path, index);

    if (rc)
        return rc;
    if (KVI_UNLIKELY(kvi_header_count(path->steps[index].page) == 0))
        return kvi_tree_damaged(tree, kvi_header_pgno(path->steps[index].page), "empty tree page");
    return 0;
}

/* Begins a path: how many steps it will have. */
static int begin(const struct kvi_tree *tree, struct kvi_path *path)
{
    path->depth = 0;
    if (tree->record.depth > KVI_DEPTH_MAX)
        return kvi_tree_damaged(tree, tree->record.root.pgno, "tree deeper than possible");
    path->depth = tree->record.depth;
    return 0;
}

static int set_slot(const struct kvi_tree *tree, struct kvi_step *step, int slot)
{
    if (KVI_UNLIKELY(slot < 0))
        return kvi_tree_damaged(tree, kvi_header_pgno(step->page), "tree page with a bad cell");
    step->slot = (unsigned)slot;
    return 0;
}

/* The slot at which a step goes on to `key`, in a plain tree. */
static int find_slot(const struct kvi_tree *tree, struct kvi_step *step, bool leaf,
                     struct kvi_key key, bool *exact)
{
    const struct kvi_geometry *g = kvi_tree_geometry(tree);

    return set_slot(tree, step,
                    leaf ? kvi_leaf_find(g, step->page, key, exact)
                         : kvi_branch_find(g, step->page, key));
}

/* The same in any. */
static int probe_slot(const struct kvi_tree *tree, struct kvi_step *step, bool leaf,
                      const struct kvi_probe *probe, bool *exact)
{
    const struct kvi_geometry *g = kvi_tree_geometry(tree);

    return set_slot(tree, step,
                    leaf ? kvi_leaf_probe(g, &tree->shape, step->page, probe, exact)
                         : kvi_branch_probe(g, &tree->shape, step->page, probe));
}

int kvi_path_probe(struct kvi_tree *tree, const struct kvi_probe *probe, enum kvi_path_mode mode,
                   struct kvi_path *path, bool *exact_out)
{
    int rc = begin(tree, path);

    *exact_out = false;
    for (unsigned i = 0; !rc && i < path->depth; i++) {
        rc = enter(tree, path, i, mode);
        if (!rc)
            rc = probe_slot(tree, &path->steps[i], i + 1 == path->depth, probe, exact_out);
    }
    return rc;
}

int kvi_tree_probe(const struct kvi_tree *tree, struct kvi_key key, struct kvi_key value,
                   enum kvi_probe_where where, struct kvi_probe *probe_out)
{
    if (KVI_UNLIKELY(!kvi_shape_searchable(&tree->shape)))
        return kvi_error(KV_ECOMPARATOR, "the table's comparator is not registered");
    if (KVI_UNLIKELY(kvi_probe_init(probe_out, &tree->shape, key, value, where)))
        return kvi_error(ENOMEM, "no memory for a search");
    return 0;
}

static KVI_NOINLINE int find_shaped(struct kvi_tree *tree, struct kvi_key key,
                                    enum kvi_path_mode mode, struct kvi_path *path, bool *exact_out)
{
    struct kvi_probe probe;
    int rc = kvi_tree_probe(tree, key, (struct kvi_key){NULL, 0}, KVI_PROBE_FIRST, &probe);

    path->depth = 0;
    *exact_out = false;
    if (rc)
        return rc;
    rc = kvi_path_probe(tree, &probe, mode, path, exact_out);
    kvi_probe_release(&probe);
    return rc;
}

int kvi_path_find(struct kvi_tree *tree, struct kvi_key key, enum kvi_path_mode mode,
                  struct kvi_path *path, bool *exact_out)
{
    int rc;

    if (KVI_UNLIKELY(!tree->shape.plain))
        return find_shaped(tree, key, mode, path, exact_out);
    rc = begin(tree, path);
    *exact_out = false;
    for (unsigned i = 0; !rc && i < path->depth; i++) {
        rc = enter(tree, path, i, mode);
        if (!rc)
            rc = find_slot(tree, &path->steps[i], i + 1 == path->depth, key, exact_out);
    }
    return rc;
}

int kvi_path_first(struct kvi_tree *tree, struct kvi_key key, struct kvi_path *path,
                   bool *exact_out)
{
    int rc = kvi_path_find(tree, key, KVI_PATH_READ, path, exact_out);
    struct kvi_leaf_cell cell;
    const struct kvi_step *leaf;

    if (rc || path->depth == 0)
        return rc;
    leaf = kvi_path_leaf(path);
    if (leaf->slot < kvi_header_count(leaf->page))
        return 0;
    rc = kvi_path_leaf_after(tree, path);
    if (rc || !tree->shape.duplicates)
        return rc == KV_ENOTFOUND ? 0 : rc;
    if (!kvi_leaf_cell_at(kvi_tree_geometry(tree), leaf->page, 0, &cell))
        return kvi_tree_damaged(tree, kvi_header_pgno(leaf->page), "leaf page with a bad cell");
    *exact_out =
        kvi_shape_compare_keys(&tree->shape, (struct kvi_key){cell.key, cell.key_bytes}, key) == 0;
    return 0;
}

/* Goes down from the step at `index` on, always along one side. */
static int descend_edge(struct kvi_tree *tree, struct kvi_path *path, unsigned index,
                        enum kvi_path_end end, enum kvi_path_mode mode)
{
    for (unsigned i = index; i < path->depth; i++) {
        int rc = enter(tree, path, i, mode);

        if (rc)
            return rc;
        path->steps[i].slot = end == KVI_PATH_LAST ? kvi_header_count(path->steps[i].page) - 1 : 0;
    }
    return 0;
}

int kvi_path_edge(struct kvi_tree *tree, enum kvi_path_end end, enum kvi_path_mode mode,
                  struct kvi_path *path)
{
    int rc = begin(tree, path);

    return rc ? rc : descend_edge(tree, path, 0, end, mode);
}

int kvi_path_leaf_before(struct kvi_tree *tree, struct kvi_path *path)
{
    assert(path->depth > 0);
    for (unsigned i = path->depth - 1; i-- > 0;) {
        if (path->steps[i].slot > 0) {
            path->steps[i].slot--;
            return descend_edge(tree, path, i + 1, KVI_PATH_LAST, KVI_PATH_READ);
        }
    }
    return KV_ENOTFOUND;
}

int kvi_path_leaf_after(struct kvi_tree *tree, struct kvi_path *path)
{
    assert(path->depth > 0);
    for (unsigned i = path->depth - 1; i-- > 0;) {
        if (path->steps[i].slot + 1 < kvi_header_count(path->steps[i].page)) {
            path->steps[i].slot++;
            return descend_edge(tree, path, i + 1, KVI_PATH_FIRST, KVI_PATH_READ);
        }
    }
    return KV_ENOTFOUND;
}

int kvi_path_touch_steps(struct kvi_tree *tree, struct kvi_path *path, unsigned count)
{
    assert(count <= path->depth);
    for (unsigned i = 0; i < count; i++) {
        int rc = enter(tree, path, i, KVI_PATH_TOUCH);

        if (rc)
            return rc;
    }
    return 0;
}

int kvi_path_touch(struct kvi_tree *tree, struct kvi_path *path)
{
    return kvi_path_touch_steps(tree, path, path->depth);
}

int kvi_path_again(struct kvi_tree *tree, struct kvi_path *path)
{
    for (unsigned i = 0; i < path->depth; i++) {
        int rc = enter(tree, path, i, KVI_PATH_READ);

        if (rc)
            return rc;
    }
    return 0;
}

void kvi_path_copy(struct kvi_path *to, const struct kvi_path *from)
{
    to->depth = from->depth;
    memcpy(to->steps, from->steps, from->depth * sizeof(from->steps[0]));
}
