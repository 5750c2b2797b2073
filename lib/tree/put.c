/* SPDX-License-Identifier: MIT */
/*
 * Insert and replace: one descent, then in place if at all possible, else split.c.
 *
 * Most puts make the path dirty while they descend. Those that may turn out to change nothing (a
 * key that must not exist) descend for reading and touch the path, by its slots, when they know.
 *
 * Key and value may point into the leaf that is about to move; they are copied then, and always
 * before pages are rewritten.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "kv.h"
#include "tree/change.h"
#include "tree/cursor.h"

/* More inserts in a row than this, each right behind the one before, are an ascending run. */
#define TAIL_RUN_MIN 8u

static bool points_into(const uint8_t *page, uint32_t page_size, const uint8_t *data)
{
    return (uintptr_t)data - (uintptr_t)page < page_size;
}

/* Copies what points into `leaf` (NULL: all) to the change's own memory. */
static int keep_arguments(struct kvi_change *change, const uint8_t *leaf,
                          struct kvi_new_value *value)
{
    uint32_t page_size = kvi_tree_geometry(change->tree)->page_size;
    int rc = 0;

    if (!leaf || points_into(leaf, page_size, change->key.data))
        rc = kvi_arena_keep(&change->arena, &change->key.data, change->key.size);
    if (!rc && value->payload && (!leaf || points_into(leaf, page_size, value->payload)))
        rc = kvi_arena_keep(&change->arena, &value->payload, value->payload_bytes);
    return rc;
}

/* The payload's place was found: fills it, or hands it out. */
static void fill_payload(uint8_t *place, const struct kvi_new_value *value,
                         struct kvi_tree_put *put)
{
    if (!value->payload)
        put->space = place;
    else if (value->payload_bytes)
        memmove(place, value->payload, value->payload_bytes);
}

/* Whether the record gets a leaf of its own behind one that is left as it is (split.c), so that
 * arguments need not be copied. */
static bool stays_put(const struct kvi_change *change)
{
    const struct kvi_step *leaf = kvi_path_leaf(change->path);

    return change->append && leaf->slot == kvi_header_count(leaf->page);
}

/* Key and value, or zeros for a value that the caller will fill, in the change's own memory. */
static int keep_payload(struct kvi_change *change, struct kvi_new_value *value)
{
    if (!value->payload && value->payload_bytes) {
        uint8_t *zeros = kvi_arena_take(&change->arena, value->payload_bytes);

        if (!zeros)
            return kvi_error(ENOMEM, "no memory for a value");
        memset(zeros, 0, value->payload_bytes);
        value->payload = zeros;
    }
    return keep_arguments(change, NULL, value);
}

/* The record does not fit into its leaf. */
static int insert_by_split(struct kvi_change *change, struct kvi_new_value *value,
                           struct kvi_tree_put *put)
{
    struct kvi_leaf_cell cell;
    bool reserve = value->payload == NULL;
    int rc = stays_put(change) ? 0 : keep_payload(change, value);

    if (!rc)
        rc = kvi_split_leaf(change, kvi_path_leaf(change->path)->slot, value->kind, value->payload,
                            value->payload_bytes);
    if (rc || !reserve)
        return rc;
    if (!kvi_leaf_cell_at(kvi_tree_geometry(change->tree), change->landed, change->landed_slot,
                          &cell))
        return kvi_tree_damaged(change->tree, kvi_header_pgno(change->landed), "lost a record");
    put->space = change->landed + (cell.payload - change->landed);
    return 0;
}

static inline void note_tail(struct kvi_tree *tree, const uint8_t *leaf, unsigned slot,
                             unsigned item)
{
    uint64_t pgno = kvi_header_pgno(leaf);
    bool next = pgno == tree->tail_pgno &&
                (slot == tree->tail_slot + 1 ||
                 (slot == tree->tail_slot && item > 0 && item == tree->tail_item + 1));

    tree->tail_run = next ? tree->tail_run + 1 : 1;
    tree->tail_pgno = pgno;
    tree->tail_slot = slot;
    tree->tail_item = item;
}

void kvi_put_note_tail(struct kvi_tree *tree, const uint8_t *leaf, unsigned slot, unsigned item)
{
    note_tail(tree, leaf, slot, item);
}

bool kvi_put_on_tail(const struct kvi_change *change, bool at_end)
{
    const struct kvi_path *path = change->path;
    unsigned last = path->depth - 1;

    if (change->tree->tail_run > TAIL_RUN_MIN)
        return true;
    for (unsigned i = 0; i < last; i++) {
        if (path->steps[i].slot + 1 < kvi_header_count(path->steps[i].page))
            return false;
    }
    return at_end;
}

/* One record more. Its path is counted up before pages are rewritten, or the counts of those are
 * wrong. */
static inline int count_record(struct kvi_change *change)
{
    struct kvi_tree *tree = change->tree;

    if (KVI_UNLIKELY(tree->shape.counted))
        return kvi_counts_add(tree, change->path, 1, 0);
    tree->record.entries++;
    tree->changed = true;
    return 0;
}

/* Inserts at the path's slot, which is touched. */
static int insert(struct kvi_change *change, struct kvi_new_value *value, struct kvi_tree_put *put,
                  uint32_t flags)
{
    struct kvi_tree *tree = change->tree;
    struct kvi_step *leaf = kvi_path_leaf(change->path);
    uint8_t *place;
    int rc = keep_arguments(change, leaf->image, value);

    if (rc)
        return rc;
    note_tail(tree, leaf->image, leaf->slot, 0);
    place = kvi_leaf_insert(kvi_tree_geometry(tree), leaf->image, leaf->slot, change->key,
                            value->kind, value->payload_bytes);
    if (place) {
        fill_payload(place, value, put);
        return count_record(change);
    }
    if (flags & KV_NOSPLIT) {
        rc = kvi_value_unmake(tree, value);
        return rc ? rc : KV_EPAGEFULL;
    }
    change->append = kvi_put_on_tail(change, leaf->slot == kvi_header_count(leaf->page));
    rc = count_record(change);
    if (!rc)
        rc = insert_by_split(change, value, put);
    if (rc)
        return rc;
    tree->tail_pgno = kvi_header_pgno(change->landed);
    tree->tail_slot = change->landed_slot;
    return 0;
}

/* Gives the cell at the path's slot its new value by in-place means; false: it does not fit. */
static bool replace_in_place(struct kvi_change *change, const struct kvi_leaf_cell *cell,
                             const struct kvi_new_value *value, struct kvi_tree_put *put)
{
    struct kvi_step *leaf = kvi_path_leaf(change->path);
    uint8_t *place;

    if (cell->kind == value->kind && cell->payload_bytes == value->payload_bytes)
        place = leaf->image + (cell->payload - leaf->image);
    else
        place = kvi_leaf_resize(kvi_tree_geometry(change->tree), leaf->image, leaf->slot,
                                value->kind, value->payload_bytes);
    if (place)
        fill_payload(place, value, put);
    return place != NULL;
}

/* Replaces by taking the old cell out first. */
static int replace_by_split(struct kvi_change *change, struct kvi_new_value *value,
                            struct kvi_tree_put *put)
{
    const struct kvi_geometry *g = kvi_tree_geometry(change->tree);
    struct kvi_step *leaf = kvi_path_leaf(change->path);
    uint8_t *place;

    if (!kvi_node_remove(g, leaf->image, leaf->slot))
        return kvi_tree_damaged(change->tree, kvi_header_pgno(leaf->image),
                                "leaf page with a bad cell");
    place =
        kvi_leaf_insert(g, leaf->image, leaf->slot, change->key, value->kind, value->payload_bytes);
    if (!place)
        return insert_by_split(change, value, put);
    fill_payload(place, value, put);
    return 0;
}

/* Replaces the value of `cell`, the record at the path, which is touched. */
static int replace(struct kvi_change *change, const struct kvi_leaf_cell *cell,
                   struct kvi_new_value *value, struct kvi_tree_put *put, uint32_t flags)
{
    struct kvi_tree *tree = change->tree;
    bool same_size = cell->kind == value->kind && cell->payload_bytes == value->payload_bytes;
    struct kvi_overflow_ref old_run;
    int rc = kvi_value_run(tree, cell, &old_run);

    if (!rc && !same_size)
        rc = keep_arguments(change, kvi_path_leaf(change->path)->image, value);
    if (rc)
        return rc;
    if (!replace_in_place(change, cell, value, put)) {
        if (flags & KV_NOSPLIT) {
            rc = kvi_value_unmake(tree, value);
            return rc ? rc : KV_EPAGEFULL;
        }
        rc = replace_by_split(change, value, put);
    }
    return rc ? rc : kvi_value_free_run(tree, &old_run);
}

static int cell_at_path(struct kvi_change *change, struct kvi_leaf_cell *cell_out)
{
    const struct kvi_step *leaf = kvi_path_leaf(change->path);

    if (!kvi_leaf_cell_at(kvi_tree_geometry(change->tree), leaf->page, leaf->slot, cell_out))
        return kvi_tree_damaged(change->tree, kvi_header_pgno(leaf->page),
                                "leaf page with a bad cell");
    return 0;
}

/* A record is there: may it be replaced? Table and value do not replace one another. */
static int check_present(struct kvi_change *change, struct kvi_tree_put *put, uint32_t flags)
{
    enum kvi_cell_kind kind = flags & KVI_PUT_TABLE ? KVI_CELL_TABLE : KVI_CELL_VALUE;
    struct kvi_tree_value value;
    struct kvi_leaf_cell cell;
    int rc = cell_at_path(change, &cell);

    if (rc)
        return rc;
    if (kvi_value_kind(&cell) != kind)
        return KV_EINCOMPATIBLE;
    if (!(flags & KV_NOOVERWRITE))
        return 0;
    rc = kvi_value_load(change->tree, &cell, &value);
    if (rc)
        return rc;
    put->data = value.data;
    put->size_bytes = value.size_bytes;
    return KV_EEXIST;
}

int kvi_put_at(struct kvi_change *change, struct kvi_tree_put *put, uint32_t flags)
{
    struct kvi_new_value value;
    struct kvi_leaf_cell cell;
    int rc;

    if (KVI_UNLIKELY(change->tree->shape.duplicates))
        return kvi_pair_move(change, put, flags);
    rc = check_present(change, put, flags);
    if (!rc && !kvi_path_leaf(change->path)->image)
        rc = kvi_path_touch(change->tree, change->path);
    if (!rc)
        rc = cell_at_path(change, &cell);
    if (rc)
        return rc;
    change->key = (struct kvi_key){cell.key, cell.key_bytes};
    rc = kvi_value_make(change->tree, cell.key_bytes, put, flags, &value);
    return rc ? rc : replace(change, &cell, &value, put, flags);
}

int kvi_put_root(struct kvi_tree *tree, struct kvi_path *path)
{
    struct kvi_step *step = &path->steps[0];
    struct kvi_ref ref;
    int rc = kvi_tree_new_page(tree, 0, &ref, &step->image);

    if (rc)
        return rc;
    step->page = step->image;
    step->slot = 0;
    path->depth = 1;
    tree->record.root = ref;
    tree->record.depth = 1;
    tree->record.pages_leaf = 1;
    tree->changed = true;
    return 0;
}

/* From the last record of the path's leaf to behind it; KV_EORDER if the key does not belong
 * there. */
static int step_behind(struct kvi_change *change)
{
    struct kvi_leaf_cell last;
    int rc = cell_at_path(change, &last);

    if (rc)
        return rc;
    if (kvi_shape_compare_keys(&change->tree->shape, change->key,
                               (struct kvi_key){last.key, last.key_bytes}) <= 0)
        return KV_EORDER;
    kvi_path_leaf(change->path)->slot++;
    return 0;
}

/* To behind the last record. */
static int find_end(struct kvi_change *change)
{
    int rc = kvi_path_edge(change->tree, KVI_PATH_LAST, KVI_PATH_TOUCH, change->path);

    return rc || change->path->depth == 0 ? rc : step_behind(change);
}

void kvi_put_set_sizes(struct kvi_tree *tree, size_t key_bytes, size_t value_bytes)
{
    struct kvi_table_record *record = &tree->record;

    if (tree->shape.key_order == KV_ORDER_UINT && !record->key_bytes)
        record->key_bytes = (uint8_t)key_bytes;
    if (tree->shape.fixed && !record->item_bytes)
        record->item_bytes = (uint32_t)value_bytes;
    tree->shape.key_bytes = record->key_bytes;
    tree->shape.item_bytes = record->item_bytes;
}

/* A key that is not there: makes the root if there is none, and inserts. */
static int put_new(struct kvi_change *change, struct kvi_tree_put *put, uint32_t flags)
{
    struct kvi_tree *tree = change->tree;
    struct kvi_new_value value;
    int rc = kvi_value_make(tree, change->key.size, put, flags, &value);

    if (!rc && change->path->depth == 0)
        rc = kvi_put_root(tree, change->path);
    else if (!rc && !kvi_path_leaf(change->path)->image)
        rc = kvi_path_touch(tree, change->path);
    if (!rc && KVI_UNLIKELY(!tree->shape.plain))
        kvi_put_set_sizes(tree, change->key.size, 0);
    return rc ? rc : insert(change, &value, put, flags);
}

/* KV_APPEND: no search. */
static int append(struct kvi_change *change, struct kvi_tree_put *put, uint32_t flags)
{
    struct kvi_tree *tree = change->tree;
    int rc = find_end(change);

    if (!rc)
        rc = put_new(change, put, flags);
    if (!rc && tree->leaf_flags == 0 && !tree->shape.counted)
        tree->last_leaf = change->rewritten ? change->landed : kvi_path_leaf(change->path)->image;
    return rc;
}

int kvi_put_key(struct kvi_change *change, struct kvi_key key, struct kvi_tree_put *put,
                uint32_t flags)
{
    enum kvi_path_mode mode = flags & KV_NOOVERWRITE ? KVI_PATH_READ : KVI_PATH_TOUCH;
    bool exact = false;
    int rc;

    change->key = key;
    if (KVI_UNLIKELY(!change->tree->shape.plain) && !kvi_shape_searchable(&change->tree->shape))
        return kvi_error(KV_ECOMPARATOR, "the table's comparator is not registered");
    if (KVI_UNLIKELY(change->tree->shape.duplicates))
        return kvi_pair_put(change, put, flags);
    if (flags & KV_APPEND)
        return append(change, put, flags);
    rc = kvi_path_find(change->tree, key, mode, change->path, &exact);
    if (rc)
        return rc;
    return exact ? kvi_put_at(change, put, flags) : put_new(change, put, flags);
}

/* ---- Appends to a leaf that is known ---- */

#ifndef NDEBUG
/* That the image is still the page's: what the rule in tree.h promises. */
static bool last_leaf_stands(const struct kvi_tree *tree)
{
    struct kvi_ref ref = {kvi_header_pgno(tree->last_leaf), 0};
    const uint8_t *page;

    return kvi_pager_page(tree->pager, ref, KVI_PAGE_LEAF, 0, &page) == 0 &&
           page == tree->last_leaf;
}
#endif

static KVI_ALWAYS_INLINE int put_last(struct kvi_tree *tree, struct kvi_key key,
                                      struct kvi_tree_put *put, uint32_t flags)
{
    const struct kvi_geometry *g = kvi_tree_geometry(tree);
    enum kvi_cell_kind kind = flags & KVI_PUT_TABLE ? KVI_CELL_TABLE : KVI_CELL_VALUE;
    uint8_t *leaf = tree->last_leaf;
    unsigned slot = kvi_header_count(leaf);
    enum kvi_append_result result;
    uint8_t *place;

    assert(last_leaf_stands(tree));
    if (KVI_UNLIKELY(points_into(leaf, g->page_size, key.data) ||
                     (!(flags & KV_RESERVE) && points_into(leaf, g->page_size, put->data))))
        return KV_EPAGEFULL;
    place = kvi_leaf_append(g, leaf, key, kind, put->size_bytes, &result);
    if (KVI_UNLIKELY(!place)) {
        if (result == KVI_APPEND_DAMAGE)
            return kvi_tree_damaged(tree, kvi_header_pgno(leaf), "leaf page with a bad cell");
        return result == KVI_APPEND_ORDER ? KV_EORDER : KV_EPAGEFULL;
    }
    if (flags & KV_RESERVE)
        put->space = place;
    else if (put->size_bytes)
        memcpy(place, put->data, put->size_bytes);
    note_tail(tree, leaf, slot, 0);
    tree->record.entries++;
    tree->changed = true;
    return 0;
}

int kvi_put_last(struct kvi_tree *tree, struct kvi_key key, struct kvi_tree_put *put,
                 uint32_t flags)
{
    return put_last(tree, key, put, flags);
}

static KVI_NOINLINE int put_by_descent(struct kvi_tree *tree, struct kvi_key key,
                                       struct kvi_tree_put *put, uint32_t flags)
{
    struct kvi_change change;
    struct kvi_path path;
    int rc = kvi_change_begin(&change, tree, &path, NULL, flags, &key);

    if (!rc)
        rc = kvi_put_key(&change, key, put, flags);
    return kvi_change_end(&change, flags, rc);
}

int kvi_tree_put(struct kvi_tree *tree, struct kvi_key key, struct kvi_tree_put *put,
                 uint32_t flags)
{
    if (flags & KV_APPEND && tree->last_leaf) {
        int rc = tree->cursors ? kvi_cursors_park(tree, NULL) : 0;

        if (!rc)
            rc = put_last(tree, key, put, flags);
        if (KVI_LIKELY(rc != KV_EPAGEFULL))
            return rc;
    }
    return put_by_descent(tree, key, put, flags);
}
