/* SPDX-License-Identifier: MIT */
/*
 * Puts in trees with duplicates: a value into its key's set.
 *
 *     the key has no cell where the pair belongs   a cell of its own, marked *continued* when the
 *                                                  leaf before ends with the key; when the leaf
 *                                                  behind begins with it, that one's mark changes
 *     its set has room in the cell                 into it, in place or by a split of the leaf
 *     it has not                                   the set is cut in two cells, and the put begins
 *                                                  again; at the end of an ascending run the set
 *                                                  stays full and the value gets the next cell
 *
 * A set of small values that are packed may need more than one cut when a value of another size
 * comes: each end then takes two bytes.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "kv.h"
#include "tree/pairs.h"
#include "tree/value.h"

/* Cuts of one put: each halves a cell. */
#define CUTS_MAX 8u

/* A set that ends a full leaf moves to the next one whole if it takes no more than this part of a
 * page; a larger one stays, and goes on there. */
#define MOVED_PART 16u

static bool too_large(const struct kvi_tree *tree, uint32_t key_bytes, uint32_t payload_bytes)
{
    return kvi_leaf_cell_bytes(tree->leaf_flags, key_bytes, payload_bytes) >
           kvi_tree_geometry(tree)->cell_bytes_max;
}

/* After pages were rewritten for a new cell. */
static void note_landing(struct kvi_change *change)
{
    change->tree->tail_pgno = kvi_header_pgno(change->landed);
    change->tree->tail_slot = change->landed_slot;
}

/* ---- A cell of its own ---- */

/* What stands on both sides of a new cell at the edge of its leaf. */
struct around {
    bool before;          /* the leaf before ends with the key */
    bool behind;          /* the leaf behind begins with it */
    struct kvi_path next; /* behind: to that cell */
};

/* A neighbour has the key. Its bytes are the key's everywhere: a user's order may hold others to be
 * equal. */
static int take_key(struct kvi_change *change, const struct kvi_leaf_cell *cell)
{
    if (change->tree->shape.key_order != KV_ORDER_CUSTOM)
        return 0;
    change->key = (struct kvi_key){cell->key, cell->key_bytes};
    return kvi_arena_keep(&change->arena, &change->key.data, change->key.size);
}

static bool has_key(const struct kvi_change *change, const struct kvi_leaf_cell *cell)
{
    return kvi_shape_compare_keys(&change->tree->shape, change->key,
                                  (struct kvi_key){cell->key, cell->key_bytes}) == 0;
}

static int look_before(struct kvi_change *change, struct around *around)
{
    struct kvi_leaf_cell cell;
    struct kvi_path path;
    const struct kvi_step *leaf;
    int rc;

    if (kvi_path_leaf(change->path)->slot > 0)
        return 0;
    kvi_path_copy(&path, change->path);
    rc = kvi_path_leaf_before(change->tree, &path);
    if (rc)
        return rc == KV_ENOTFOUND ? 0 : rc;
    leaf = kvi_path_leaf(&path);
    if (!kvi_leaf_cell_at(kvi_tree_geometry(change->tree), leaf->page, leaf->slot, &cell))
        return kvi_tree_damaged(change->tree, kvi_header_pgno(leaf->page),
                                "leaf page with a bad cell");
    around->before = has_key(change, &cell);
    return around->before ? take_key(change, &cell) : 0;
}

static int look_behind(struct kvi_change *change, struct around *around)
{
    const struct kvi_step *leaf = kvi_path_leaf(change->path);
    struct kvi_leaf_cell cell;
    int rc;

    if (leaf->slot < kvi_header_count(leaf->page))
        return 0;
    rc = kvi_pair_next(change, leaf->slot, &around->next, &cell);
    if (rc || around->next.depth == 0)
        return rc;
    around->behind = has_key(change, &cell);
    return around->behind ? take_key(change, &cell) : 0;
}

/* The new cell is in its place, or will be: the key it makes one more, or takes over from the cell
 * behind. */
static int count_cell(struct kvi_change *change, struct around *around)
{
    int rc = kvi_counts_add(change->tree, change->path, 1, around->before ? 0 : 1);

    if (!rc && around->behind && !around->before)
        rc = kvi_pair_mark(change, &around->next, true);
    return rc;
}

static int insert_by_split(struct kvi_change *change, struct around *around, uint32_t bytes)
{
    const struct kvi_step *leaf = kvi_path_leaf(change->path);
    uint8_t *payload = kvi_arena_take(&change->arena, bytes);
    int rc = payload ? kvi_pair_keep(change, NULL) : kvi_error(ENOMEM, "no memory for a value");

    change->append = kvi_put_on_tail(change, leaf->slot == kvi_header_count(leaf->page));
    if (!rc)
        rc = count_cell(change, around);
    if (rc)
        return rc;
    kvi_set_write_single(payload, change->value, around->before);
    rc = kvi_split_leaf(change, leaf->slot, KVI_CELL_SET, payload, bytes);
    if (!rc)
        note_landing(change);
    return rc;
}

/* A cell with the value alone, before the path's slot. */
static int insert_cell(struct kvi_change *change, struct around *around, uint32_t flags)
{
    struct kvi_tree *tree = change->tree;
    const struct kvi_step *leaf = kvi_path_leaf(change->path);
    uint32_t bytes = kvi_set_single_bytes(change->value.size);
    uint8_t *payload;
    int rc = kvi_pair_keep(change, leaf->image);

    if (rc)
        return rc;
    change->item = 0;
    kvi_put_note_tail(tree, leaf->image, leaf->slot, 0);
    payload = kvi_leaf_insert(kvi_tree_geometry(tree), leaf->image, leaf->slot, change->key,
                              KVI_CELL_SET, bytes);
    if (!payload)
        return flags & KV_NOSPLIT ? KV_EPAGEFULL : insert_by_split(change, around, bytes);
    kvi_set_write_single(payload, change->value, around->before);
    return count_cell(change, around);
}

/* The leaf at the path, if any, has no cell with the key. */
static int put_cell(struct kvi_change *change, uint32_t flags)
{
    struct around around;
    int rc = 0;

    around.before = around.behind = false;
    if (change->path->depth == 0) {
        rc = kvi_put_root(change->tree, change->path);
    } else {
        if (!kvi_path_leaf(change->path)->image)
            rc = kvi_path_touch(change->tree, change->path);
        if (!rc)
            rc = look_before(change, &around);
        if (!rc)
            rc = look_behind(change, &around);
    }
    if (!rc)
        rc = insert_cell(change, &around, flags);
    if (!rc)
        kvi_put_set_sizes(change->tree, change->key.size, change->value.size);
    return rc;
}

/* ---- Into a set ---- */

/* The value gets the cell behind the set, which stays as it is. */
static int put_behind(struct kvi_change *change, uint32_t flags)
{
    struct around around;

    around.before = true;
    around.behind = false;
    kvi_path_leaf(change->path)->slot++;
    return insert_cell(change, &around, flags);
}

/* The set with the value in it, written anew in its cell; false: there is no room. */
static KVI_NOINLINE bool grow_anew(struct kvi_change *change, const struct kvi_place *place,
                                   uint32_t bytes)
{
    uint8_t old[KVI_PAGE_SIZE_MAX / 2];
    const struct kvi_step *leaf = kvi_path_leaf(change->path);
    struct kvi_set set;
    uint8_t *payload;

    assert(place->cell.payload_bytes <= sizeof(old));
    memcpy(old, place->cell.payload, place->cell.payload_bytes);
    payload = kvi_leaf_resize(kvi_tree_geometry(change->tree), leaf->image, leaf->slot,
                              KVI_CELL_SET, bytes);
    if (!payload || !kvi_set_open(old, place->cell.payload_bytes, &set))
        return false;
    kvi_set_write(payload, &set, 0, set.count, &change->value, change->item, set.continued);
    return true;
}

static bool grow_in_place(struct kvi_change *change, const struct kvi_place *place, uint32_t bytes)
{
    const struct kvi_step *leaf = kvi_path_leaf(change->path);
    uint8_t *payload;

    if (place->set.ends || place->set.item_bytes != change->value.size)
        return grow_anew(change, place, bytes);
    payload = kvi_leaf_resize(kvi_tree_geometry(change->tree), leaf->image, leaf->slot,
                              KVI_CELL_SET, bytes);
    if (payload)
        kvi_set_insert_packed(payload, bytes, change->item, change->value.data,
                              place->set.item_bytes);
    return payload != NULL;
}

/* Takes the cell out and has it inserted anew, larger, with a split. */
static int grow_by_split(struct kvi_change *change, const struct kvi_place *place, uint32_t bytes)
{
    struct kvi_tree *tree = change->tree;
    const struct kvi_step *leaf = kvi_path_leaf(change->path);
    uint8_t *payload = kvi_arena_take(&change->arena, bytes);
    int rc = payload ? kvi_pair_keep(change, NULL) : kvi_error(ENOMEM, "no memory for a value");

    if (!rc)
        rc = kvi_counts_add(tree, change->path, 1, 0);
    if (rc)
        return rc;
    kvi_set_write(payload, &place->set, 0, place->set.count, &change->value, change->item,
                  place->set.continued);
    if (!kvi_node_remove(kvi_tree_geometry(tree), leaf->image, leaf->slot))
        return kvi_tree_damaged(tree, kvi_header_pgno(leaf->image), "leaf page with a bad cell");
    rc = kvi_split_leaf(change, leaf->slot, KVI_CELL_SET, payload, bytes);
    if (!rc)
        note_landing(change);
    return rc;
}

/* The leaf has no room for the larger set. */
static int grow_leaf(struct kvi_change *change, const struct kvi_place *place, uint32_t bytes,
                     uint32_t flags)
{
    const struct kvi_step *leaf = kvi_path_leaf(change->path);
    bool last = change->item == place->set.count;
    bool at_end = last && leaf->slot + 1 == kvi_header_count(leaf->page);

    if (flags & KV_NOSPLIT)
        return KV_EPAGEFULL;
    change->append = kvi_put_on_tail(change, at_end);
    if (change->append && at_end &&
        place->cell.payload_bytes > kvi_tree_geometry(change->tree)->page_size / MOVED_PART)
        return put_behind(change, flags);
    return grow_by_split(change, place, bytes);
}

/* ---- Cuts ---- */

/* How many values the first half of a set has: at least one, and not all. */
static uint32_t middle_of(const struct kvi_set *set)
{
    uint32_t low = 1, high = set->count - 1;

    if (!set->ends)
        return set->count / 2;
    while (low < high) { /* the first at whose end half of the bytes are passed */
        uint32_t middle = low + (high - low) / 2;

        if (kvi_le_load16(set->ends + (size_t)KVI_SET_END_BYTES * (middle - 1)) <
            set->values_bytes / 2)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Whether the leaf takes the set as two cells, and the value in one of them, without a split. */
static bool cut_fits(const struct kvi_change *change, const struct kvi_place *place,
                     uint32_t middle)
{
    const struct kvi_tree *tree = change->tree;
    const struct kvi_geometry *g = kvi_tree_geometry(tree);
    const uint8_t *page = kvi_path_leaf(change->path)->page;
    const struct kvi_set *set = &place->set;
    bool left = change->item <= middle;
    uint32_t key_bytes = place->cell.key_bytes;
    uint32_t a = kvi_set_bytes(set, 0, middle, left ? &change->value : NULL);
    uint32_t b = kvi_set_bytes(set, middle, set->count, left ? NULL : &change->value);
    uint32_t room = kvi_node_free_bytes(g, page) +
                    kvi_leaf_cell_bytes(tree->leaf_flags, key_bytes, place->cell.payload_bytes);
    uint32_t need = KVI_NODE_SLOT_BYTES + kvi_leaf_cell_bytes(tree->leaf_flags, key_bytes, a) +
                    kvi_leaf_cell_bytes(tree->leaf_flags, key_bytes, b);

    if (kvi_header_count(page) == 1) /* a second cell brings a prefix */
        need += KVI_PREFIX_BYTES_MAX;
    return !too_large(tree, key_bytes, a) && !too_large(tree, key_bytes, b) && need <= room;
}

/* The second half becomes a cell behind the first. */
static int insert_half(struct kvi_change *change, const struct kvi_set *set, uint32_t middle)
{
    struct kvi_tree *tree = change->tree;
    const struct kvi_step *leaf = kvi_path_leaf(change->path);
    uint32_t bytes = kvi_set_bytes(set, middle, set->count, NULL);
    uint8_t *payload = kvi_leaf_insert(kvi_tree_geometry(tree), leaf->image, leaf->slot + 1,
                                       change->key, KVI_CELL_SET, bytes);

    if (payload) {
        kvi_set_write(payload, set, middle, set->count, NULL, 0, true);
        return 0;
    }
    payload = kvi_arena_take(&change->arena, bytes);
    if (!payload)
        return kvi_error(ENOMEM, "no memory for values");
    kvi_set_write(payload, set, middle, set->count, NULL, 0, true);
    change->append = false;
    return kvi_split_leaf(change, leaf->slot + 1, KVI_CELL_SET, payload, bytes);
}

/* Cuts the set in two cells, without the value, whose place must be found anew. */
static int cut(struct kvi_change *change, const struct kvi_place *place, uint32_t flags)
{
    const struct kvi_step *leaf = kvi_path_leaf(change->path);
    const uint8_t *old = place->cell.payload;
    uint32_t old_bytes = place->cell.payload_bytes;
    uint32_t middle;
    struct kvi_set set;
    uint8_t *payload;
    int rc;

    if (place->set.count < 2)
        return kvi_tree_damaged(change->tree, kvi_header_pgno(leaf->image),
                                "leaf cell larger than allowed");
    middle = middle_of(&place->set);
    if (flags & KV_NOSPLIT && !cut_fits(change, place, middle))
        return KV_EPAGEFULL;
    change->key = (struct kvi_key){place->cell.key, place->cell.key_bytes};
    rc = kvi_pair_keep(change, NULL);
    if (!rc)
        rc = kvi_arena_keep(&change->arena, &old, old_bytes);
    if (rc)
        return rc;
    (void)kvi_set_open(old, old_bytes, &set); /* as it was opened where it stood */
    payload = kvi_leaf_resize(kvi_tree_geometry(change->tree), leaf->image, leaf->slot,
                              KVI_CELL_SET, kvi_set_bytes(&set, 0, middle, NULL));
    if (!payload)
        return kvi_tree_damaged(change->tree, kvi_header_pgno(leaf->image),
                                "leaf page with a bad cell");
    kvi_set_write(payload, &set, 0, middle, NULL, 0, set.continued);
    return insert_half(change, &set, middle);
}

/* The set would outgrow its cell. */
static int outgrow(struct kvi_change *change, const struct kvi_place *place, uint32_t flags,
                   bool *again_out)
{
    const struct kvi_step *leaf = kvi_path_leaf(change->path);
    bool last = change->item == place->set.count;

    if (last && kvi_put_on_tail(change, leaf->slot + 1 == kvi_header_count(leaf->page)))
        return put_behind(change, flags);
    *again_out = true;
    return cut(change, place, flags);
}

/* Into the set at the path. *again_out: it was cut, and the pair's place is another. */
static int put_in_set(struct kvi_change *change, struct kvi_place *place, uint32_t flags,
                      bool *again_out)
{
    struct kvi_tree *tree = change->tree;
    const struct kvi_step *leaf = kvi_path_leaf(change->path);
    uint32_t bytes;
    int rc = 0;

    *again_out = false;
    if (!leaf->image) {
        rc = kvi_path_touch(tree, change->path);
        if (!rc)
            rc = kvi_pair_load(change, place);
    }
    if (!rc)
        rc = take_key(change, &place->cell);
    if (!rc)
        rc = kvi_pair_keep(change, leaf->image);
    if (rc)
        return rc;
    bytes = kvi_set_bytes(&place->set, 0, place->set.count, &change->value);
    kvi_put_note_tail(tree, leaf->image, leaf->slot, change->item);
    if (too_large(tree, place->cell.key_bytes, bytes))
        return outgrow(change, place, flags, again_out);
    if (grow_in_place(change, place, bytes))
        return kvi_counts_add(tree, change->path, 1, 0);
    return grow_leaf(change, place, bytes, flags);
}

/* ---- Flags ---- */

static void give_present(struct kvi_tree_put *put, struct kvi_key value)
{
    put->data = value.data;
    put->size_bytes = value.size;
}

/* KV_NOOVERWRITE: KV_EEXIST, the path at the key's first value, if the key is there. */
static int refuse_key(struct kvi_change *change, struct kvi_tree_put *put)
{
    struct kvi_place place;
    bool exact;
    int rc = kvi_path_first(change->tree, change->key, change->path, &exact);

    if (rc || !exact)
        return rc;
    rc = kvi_pair_load(change, &place);
    if (rc)
        return rc;
    give_present(put, kvi_set_value(&place.set, 0));
    change->item = 0;
    return KV_EEXIST;
}

int kvi_pair_check_last(const struct kvi_change *change, const struct kvi_place *place)
{
    struct kvi_leaf_cell cell;
    struct kvi_path next;
    int rc;

    if (place->found || (place->exact && change->item < place->set.count))
        return KV_EORDER;
    if (change->path->depth == 0)
        return 0;
    rc = kvi_pair_next(change, kvi_path_leaf(change->path)->slot + (place->exact ? 1 : 0), &next,
                       &cell);
    if (rc || next.depth == 0)
        return rc;
    return has_key(change, &cell) ? KV_EORDER : 0;
}

int kvi_pair_find_end(struct kvi_change *change, enum kvi_path_mode mode, struct kvi_place *place)
{
    const struct kvi_shape *shape = &change->tree->shape;
    int rc = kvi_path_edge(change->tree, KVI_PATH_LAST, mode, change->path);
    int order;

    place->exact = place->found = false;
    if (rc || change->path->depth == 0)
        return rc;
    rc = kvi_pair_load(change, place);
    if (rc)
        return rc;
    order = kvi_shape_compare_keys(shape, change->key,
                                   (struct kvi_key){place->cell.key, place->cell.key_bytes});
    if (order > 0) {
        kvi_path_leaf(change->path)->slot++;
        return 0;
    }
    place->exact = true;
    change->item = place->set.count;
    if (order < 0 ||
        kvi_shape_compare_values(shape, change->value,
                                 kvi_set_value(&place->set, place->set.count - 1)) <= 0)
        return KV_EORDER;
    return 0;
}

static int find(struct kvi_change *change, struct kvi_tree_put *put, uint32_t flags,
                struct kvi_place *place)
{
    bool refuses = flags & (KV_NOPAIR | KV_APPEND_VALUE);
    int rc;

    if (flags & KV_APPEND)
        return kvi_pair_find_end(change, KVI_PATH_TOUCH, place);
    rc = kvi_pair_find(change, refuses ? KVI_PATH_READ : KVI_PATH_TOUCH, place);
    if (!rc && place->found && flags & KV_NOPAIR) {
        give_present(put, kvi_set_value(&place->set, change->item));
        return KV_EEXIST;
    }
    if (!rc && flags & KV_APPEND_VALUE)
        rc = kvi_pair_check_last(change, place);
    return rc;
}

int kvi_pair_put(struct kvi_change *change, struct kvi_tree_put *put, uint32_t flags)
{
    struct kvi_place place;
    bool again = true;
    int rc = 0;

    if (flags & (KV_RESERVE | KVI_PUT_TABLE))
        return KV_EINCOMPATIBLE;
    change->value = (struct kvi_key){put->data, (size_t)put->size_bytes};
    if (flags & KV_NOOVERWRITE)
        rc = refuse_key(change, put);
    if (!rc)
        rc = find(change, put, flags, &place);
    for (unsigned cuts = 0; !rc && again && !place.found; cuts++) {
        if (cuts > CUTS_MAX)
            return kvi_tree_damaged(change->tree, KVI_NO_PGNO, "values that fit no cell");
        if (cuts > 0)
            rc = kvi_pair_find(change, KVI_PATH_TOUCH, &place);
        if (rc)
            break;
        again = false;
        rc = place.exact ? put_in_set(change, &place, flags, &again) : put_cell(change, flags);
    }
    return rc;
}

/* ---- At a cursor ---- */

/* The new value counts as the same as the old: only a user's order may find that of other bytes. */
static int overwrite(struct kvi_change *change, const struct kvi_tree_put *put)
{
    const struct kvi_step *leaf = kvi_path_leaf(change->path);
    struct kvi_place place;
    struct kvi_key old;
    int rc = leaf->image ? 0 : kvi_path_touch(change->tree, change->path);

    if (!rc)
        rc = kvi_pair_load(change, &place);
    if (rc)
        return rc;
    old = kvi_set_value(&place.set, change->item);
    if (old.size)
        memcpy(leaf->image + (old.data - leaf->image), put->data, old.size);
    return 0;
}

/* Deletes the pair with that value, wherever it is now. */
static int delete_old(struct kvi_change *change, struct kvi_key old)
{
    struct kvi_key key = change->key; /* kept, while the delete leads it into the page */
    struct kvi_key value = change->value;
    struct kvi_place place;
    int rc;

    change->value = old;
    rc = kvi_pair_find(change, KVI_PATH_READ, &place);
    if (!rc && !place.found)
        rc = kvi_tree_damaged(change->tree, KVI_NO_PGNO, "lost a record");
    if (!rc)
        rc = kvi_pair_delete_at(change, NULL);
    change->key = key;
    change->value = value;
    change->rewritten = true;
    return rc;
}

int kvi_pair_move(struct kvi_change *change, struct kvi_tree_put *put, uint32_t flags)
{
    struct kvi_place place;
    struct kvi_key old;
    int rc = kvi_pair_load(change, &place);

    if (rc)
        return rc;
    if (change->item >= place.set.count)
        return kvi_tree_damaged(change->tree, KVI_NO_PGNO, "leaf cell with too few values");
    old = kvi_set_value(&place.set, change->item);
    change->key = (struct kvi_key){place.cell.key, place.cell.key_bytes};
    change->value = (struct kvi_key){put->data, (size_t)put->size_bytes};
    rc = kvi_pair_keep(change, NULL);
    if (!rc)
        rc = kvi_arena_keep(&change->arena, &old.data, old.size);
    if (rc)
        return rc;
    put->data = change->value.data;
    if (kvi_shape_compare_values(&change->tree->shape, old, change->value) != 0) {
        rc = kvi_pair_put(change, put, (flags & KV_NOSPLIT) | KV_NOPAIR);
        return rc ? rc : delete_old(change, old);
    }
    if (old.size == put->size_bytes)
        return overwrite(change, put);
    if (flags & KV_NOSPLIT)
        return KV_EPAGEFULL;
    rc = delete_old(change, old);
    return rc ? rc : kvi_pair_put(change, put, 0);
}
