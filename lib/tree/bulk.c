/* SPDX-License-Identifier: MIT */
/*
 * Bulk builds: records in ascending order, laid out page by page. See bulk.h for the parts.
 *
 *     BEGUN -- first record, above all --> OPEN -- one that is not --> ORDINARY
 *       |                                   ^                             |
 *       +-- first record, not above all ----|-----------------------------+
 *                                           +-- so many above all --------+
 *
 * An open build compares each record with the one before and lays it behind: no search, no page
 * that is changed twice. A record out of order closes it, and is put in the ordinary way; so are
 * those that follow, until enough in a row were above all to make opening anew pay.
 *
 * `trusted`: for copies. The records are known to come in order, and comparators need not be known.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "tree/bulk.h"
#include "tree/cursor.h"

/* Records in a row. Closing and opening cost about what 20 appends do. */
#define REOPEN_AFTER 32u

/* ---- Begin and end ---- */

static void release(struct kvi_bulk *bulk)
{
    kvi_bulk_release_levels(bulk);
    kvi_stage_close(bulk->stage);
    kvi_bulk_set_release(bulk);
    free(bulk->last.key);
    free(bulk->last.value);
    free(bulk->room);
    free(bulk);
}

static int open_parts(struct kvi_bulk *bulk)
{
    const struct kvi_geometry *g = kvi_tree_geometry(bulk->tree);
    int rc = kvi_stage_open(bulk->tree->pager, &bulk->stage);

    bulk->last.key = malloc(g->page_size);
    if (bulk->tree->shape.duplicates)
        bulk->last.value = malloc(g->page_size);
    if (!bulk->tree->shape.plain)
        bulk->room = malloc(kvi_separator_room(&bulk->tree->shape, g->page_size, g->page_size));
    if (!bulk->last.key || (bulk->tree->shape.duplicates && !bulk->last.value) ||
        (!bulk->tree->shape.plain && !bulk->room))
        rc = ENOMEM;
    if (!rc && bulk->tree->shape.duplicates)
        rc = kvi_bulk_set_open(bulk);
    return rc;
}

int kvi_bulk_begin(struct kvi_tree *tree, unsigned fill, bool trusted, struct kvi_bulk **bulk_out)
{
    struct kvi_bulk *bulk;
    int rc;

    *bulk_out = NULL;
    if (!trusted && !kvi_shape_searchable(&tree->shape))
        return kvi_error(KV_ECOMPARATOR, "the table's comparator is not registered");
    bulk = calloc(1, sizeof(*bulk));
    if (!bulk)
        return kvi_error(ENOMEM, "no memory for a bulk build");
    bulk->tree = tree;
    bulk->trusted = trusted;
    bulk->limit = (uint32_t)((uint64_t)kvi_tree_geometry(tree)->page_size * fill / 100);
    rc = open_parts(bulk);
    if (!rc)
        rc = kvi_cursors_park(tree, NULL);
    if (rc) {
        release(bulk);
        return rc;
    }
    *bulk_out = bulk;
    return 0;
}

void kvi_bulk_abort(struct kvi_bulk *bulk)
{
    if (bulk)
        release(bulk);
}

int kvi_bulk_end(struct kvi_bulk *bulk)
{
    int rc = bulk->state == KVI_BULK_OPEN ? kvi_bulk_edge_put(bulk) : 0;

    release(bulk);
    return rc;
}

/* ---- The last record ---- */

static void note(struct kvi_bulk *bulk, struct kvi_key key, struct kvi_key value)
{
    struct kvi_bulk_note *last = &bulk->last;

    if (key.size)
        memcpy(last->key, key.data, key.size);
    last->key_bytes = key.size;
    last->value_bytes = 0;
    if (!bulk->tree->shape.duplicates)
        return;
    if (value.size)
        memcpy(last->value, value.data, value.size);
    last->value_bytes = value.size;
}

/* From the sheets. */
static void note_open(struct kvi_bulk *bulk)
{
    if (bulk->tree->shape.duplicates)
        note(bulk, kvi_bulk_set_key(bulk), kvi_bulk_set_last(bulk));
    else
        note(bulk, kvi_fill_last_key(&kvi_bulk_sheet(bulk, 0)->fill), (struct kvi_key){NULL, 0});
}

/* From the tree, which has a record. */
static int note_tree(struct kvi_bulk *bulk)
{
    struct kvi_tree *tree = bulk->tree;
    struct kvi_key value = {NULL, 0};
    struct kvi_leaf_cell cell;
    struct kvi_path path;
    struct kvi_set set;
    int rc = kvi_path_edge(tree, KVI_PATH_LAST, KVI_PATH_READ, &path);

    if (rc)
        return rc;
    if (!kvi_leaf_cell_at(kvi_tree_geometry(tree), kvi_path_leaf(&path)->page,
                          kvi_path_leaf(&path)->slot, &cell))
        return kvi_tree_damaged(tree, kvi_header_pgno(kvi_path_leaf(&path)->page),
                                "leaf page with a bad cell");
    if (tree->shape.duplicates) {
        if (cell.kind != KVI_CELL_SET || !kvi_set_open(cell.payload, cell.payload_bytes, &set))
            return kvi_tree_damaged(tree, kvi_header_pgno(kvi_path_leaf(&path)->page),
                                    "leaf page with a bad set");
        value = kvi_set_value(&set, set.count - 1);
    }
    note(bulk, (struct kvi_key){cell.key, cell.key_bytes}, value);
    return 0;
}

/* How a record stands to the last one. */
struct place {
    int key;   /* order of the keys */
    int value; /* with duplicates, the keys being equal: of the values */
};

static inline struct place place_behind(const struct kvi_bulk *bulk, struct kvi_key last_key,
                                        struct kvi_key last_value, struct kvi_key key,
                                        struct kvi_key value)
{
    const struct kvi_shape *shape = &bulk->tree->shape;
    struct place place = {0, 0};

    place.key = shape->plain ? kvi_tail_compare(key.data, key.size, last_key.data, last_key.size, 0)
                             : kvi_shape_compare_keys(shape, key, last_key);
    if (place.key == 0 && shape->duplicates)
        place.value = kvi_shape_compare_values(shape, value, last_value);
    return place;
}

static inline bool is_behind(struct place place)
{
    return place.key > 0 || (place.key == 0 && place.value > 0);
}

/* ---- Records in order ---- */

/* The first record of a table says how large its keys and values are. */
static void set_sizes(struct kvi_tree *tree, struct kvi_key key, uint64_t value_bytes)
{
    if (tree->shape.key_order == KV_ORDER_UINT && tree->shape.key_bytes == 0) {
        tree->record.key_bytes = (uint8_t)key.size;
        tree->shape.key_bytes = (uint32_t)key.size;
    }
    if (tree->shape.fixed && tree->shape.item_bytes == 0) {
        tree->record.item_bytes = (uint32_t)value_bytes;
        tree->shape.item_bytes = (uint32_t)value_bytes;
    }
}

static KVI_NOINLINE int add_run(struct kvi_bulk *bulk, struct kvi_key key,
                                const struct kvi_tree_put *put)
{
    struct kvi_tree *tree = bulk->tree;
    struct kvi_overflow_ref run = {{0, 0}, put->size_bytes};
    uint8_t *payload;
    int rc = 0;

    if (!kvi_leaf_inline(kvi_tree_geometry(tree), tree->leaf_flags, key.size,
                         KVI_OVERFLOW_REF_BYTES))
        rc = kvi_tree_damaged(tree, KVI_NO_PGNO, "a key larger than possible");
    if (!rc)
        rc = kvi_stage_run(bulk->stage, put->data, put->size_bytes, &run.ref);
    if (!rc)
        rc = kvi_bulk_add(bulk, key, (struct kvi_key){NULL, 0}, KVI_CELL_OVERFLOW,
                          KVI_OVERFLOW_REF_BYTES, &payload);
    if (rc)
        return rc;
    kvi_overflow_ref_store(payload, &run);
    tree->record.pages_overflow += kvi_run_pages(kvi_tree_geometry(tree), run.size_bytes);
    tree->record.entries++;
    return 0;
}

/* A record without duplicates, behind the last one. */
static inline int add_record(struct kvi_bulk *bulk, struct kvi_key key,
                             const struct kvi_tree_put *put, uint32_t flags)
{
    struct kvi_tree *tree = bulk->tree;
    enum kvi_cell_kind kind = flags & KVI_PUT_TABLE ? KVI_CELL_TABLE : KVI_CELL_VALUE;
    uint8_t *payload;
    int rc;

    if (KVI_UNLIKELY(
            !kvi_leaf_inline(kvi_tree_geometry(tree), tree->leaf_flags, key.size, put->size_bytes)))
        return kind == KVI_CELL_TABLE ? kvi_error(KV_EKEYSIZE, "a table name that is too long")
                                      : add_run(bulk, key, put);
    rc = kvi_bulk_add(bulk, key, (struct kvi_key){NULL, 0}, kind, (uint32_t)put->size_bytes,
                      &payload);
    if (KVI_UNLIKELY(rc))
        return rc;
    if (put->size_bytes)
        memcpy(payload, put->data, (size_t)put->size_bytes);
    tree->record.entries++;
    return 0;
}

static int add_pair(struct kvi_bulk *bulk, struct kvi_key key, struct kvi_key value, bool same_key)
{
    int rc = kvi_bulk_set_put(bulk, key, value, same_key);

    if (rc)
        return rc;
    bulk->tree->record.entries++;
    bulk->tree->record.keys += !same_key;
    return 0;
}

/* ---- Others ---- */

/* A record that stands so to the last one of the tree, which is whole. */
static int put_ordinary(struct kvi_bulk *bulk, struct kvi_key key, const struct kvi_tree_put *put,
                        uint32_t flags, bool behind)
{
    struct kvi_tree_put copy = *put;
    int rc;

    if (behind && !(flags & KV_NOOVERWRITE))
        flags |= KV_APPEND;
    rc = kvi_tree_put(bulk->tree, key, &copy, flags);
    if (rc)
        return rc;
    bulk->in_order = behind ? bulk->in_order + 1 : 0;
    if (behind)
        note(bulk, key, (struct kvi_key){put->data, (size_t)put->size_bytes});
    return 0;
}

/* Opens the build with a record that is behind all others. */
static int put_opening(struct kvi_bulk *bulk, struct kvi_key key, const struct kvi_tree_put *put,
                       uint32_t flags, bool same_key)
{
    bool duplicates = bulk->tree->shape.duplicates;
    int rc = kvi_bulk_edge_take(bulk);

    set_sizes(bulk->tree, key, put->size_bytes);
    if (!rc && duplicates)
        rc = add_pair(bulk, key, (struct kvi_key){put->data, (size_t)put->size_bytes}, same_key);
    else if (!rc)
        rc = add_record(bulk, key, put, flags);
    return rc ? rc : kvi_bulk_edge_free(bulk);
}

/* The build is not open. */
static KVI_NOINLINE int put_closed(struct kvi_bulk *bulk, struct kvi_key key,
                                   const struct kvi_tree_put *put, uint32_t flags)
{
    struct kvi_key value = {put->data, (size_t)put->size_bytes};
    struct place place = {1, 0};
    int rc = 0;

    if (bulk->state == KVI_BULK_BEGUN && bulk->tree->record.depth > 0 && !bulk->trusted)
        rc = note_tree(bulk);
    if (rc)
        return rc;
    if (bulk->tree->record.depth > 0 && !bulk->trusted)
        place =
            place_behind(bulk, (struct kvi_key){bulk->last.key, bulk->last.key_bytes},
                         (struct kvi_key){bulk->last.value, bulk->last.value_bytes}, key, value);
    if (place.key == 0 && flags & KV_NOOVERWRITE)
        return KV_EEXIST;
    if (is_behind(place) && (bulk->state == KVI_BULK_BEGUN || bulk->in_order >= REOPEN_AFTER))
        return put_opening(bulk, key, put, flags, place.key == 0);
    bulk->state = KVI_BULK_ORDINARY;
    return put_ordinary(bulk, key, put, flags, is_behind(place));
}

/* A record that is not behind the last one of an open build. */
static KVI_NOINLINE int put_closing(struct kvi_bulk *bulk, struct kvi_key key,
                                    const struct kvi_tree_put *put, uint32_t flags)
{
    int rc;

    note_open(bulk);
    rc = kvi_bulk_edge_put(bulk);
    if (rc)
        return rc;
    bulk->state = KVI_BULK_ORDINARY;
    bulk->in_order = 0;
    return put_ordinary(bulk, key, put, flags, false);
}

static int put_pair(struct kvi_bulk *bulk, struct kvi_key key, const struct kvi_tree_put *put,
                    uint32_t flags)
{
    struct kvi_key value = {put->data, (size_t)put->size_bytes};
    struct place place =
        place_behind(bulk, kvi_bulk_set_key(bulk), kvi_bulk_set_last(bulk), key, value);

    if (place.key == 0 && flags & KV_NOOVERWRITE)
        return KV_EEXIST;
    if (place.key == 0 && place.value == 0)
        return 0;
    if (is_behind(place))
        return add_pair(bulk, key, value, place.key == 0);
    return put_closing(bulk, key, put, flags);
}

int kvi_bulk_put(struct kvi_bulk *bulk, struct kvi_key key, const struct kvi_tree_put *put,
                 uint32_t flags)
{
    struct place place;

    if (KVI_UNLIKELY(bulk->state != KVI_BULK_OPEN))
        return put_closed(bulk, key, put, flags);
    if (bulk->tree->shape.duplicates)
        return put_pair(bulk, key, put, flags);
    if (bulk->trusted)
        return add_record(bulk, key, put, flags);
    place = place_behind(bulk, kvi_fill_last_key(&kvi_bulk_sheet(bulk, 0)->fill),
                         (struct kvi_key){NULL, 0}, key, (struct kvi_key){NULL, 0});
    if (KVI_LIKELY(place.key > 0))
        return add_record(bulk, key, put, flags);
    if (place.key == 0 && flags & KV_NOOVERWRITE)
        return KV_EEXIST;
    return put_closing(bulk, key, put, flags);
}

int kvi_bulk_put_pair(struct kvi_bulk *bulk, struct kvi_key key, struct kvi_key value,
                      bool same_key)
{
    const struct kvi_tree_put put = {value.data, value.size, NULL};

    assert(bulk->trusted);
    if (bulk->state != KVI_BULK_OPEN)
        return put_opening(bulk, key, &put, 0, same_key);
    return add_pair(bulk, key, value, same_key);
}
