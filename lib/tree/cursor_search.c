/* SPDX-License-Identifier: MIT */
/*
 * Searches of cursors: for a key, and with duplicates for a pair. What is found out of bounds is
 * not found, except that a search that leads to before the bounds begins at their start, and one
 * backward from behind them at their end. A failed search leaves no position; one that the table
 * does not allow leaves the cursor as it was.
 */
#include "base/error.h"
#include "kv.h"
#include "tree/cursor.h"
#include "tree/value.h"

/* Behind all values of the key, or, without duplicates, behind it. */
static int find_behind(struct kvi_cursor *cursor, struct kvi_key key)
{
    struct kvi_key none = {NULL, 0};
    struct kvi_probe probe;
    bool exact = false;
    int rc = kvi_probe_init(&probe, &cursor->tree->shape, key, none, KVI_PROBE_LAST);

    if (!rc)
        rc = kvi_path_probe(cursor->tree, &probe, KVI_PATH_READ, &cursor->path, &exact);
    kvi_probe_release(&probe);
    if (!rc && exact)
        kvi_path_leaf(&cursor->path)->slot++;
    return rc;
}

/* KV_EXACT, KV_AT_LEAST, KV_AT_MOST, without a look at the bounds. */
static int search(struct kvi_cursor *cursor, int op, struct kvi_key key)
{
    bool duplicates = cursor->tree->shape.duplicates;
    bool exact;
    int rc;

    if (duplicates && op == KV_AT_MOST) {
        rc = find_behind(cursor, key);
        return rc ? rc : kvi_cursor_settle_backward(cursor);
    }
    rc = duplicates ? kvi_path_first(cursor->tree, key, &cursor->path, &exact)
                    : kvi_path_find(cursor->tree, key, KVI_PATH_READ, &cursor->path, &exact);
    if (rc)
        return rc;
    if (exact)
        return kvi_cursor_settle(cursor, 0);
    if (op == KV_AT_LEAST)
        return kvi_cursor_settle_forward(cursor);
    return op == KV_AT_MOST ? kvi_cursor_settle_backward(cursor) : KV_ENOTFOUND;
}

/* To the first record that is not before the probe, a pair; *exact_out: it is that pair. */
static int find_pair(struct kvi_cursor *cursor, const struct kvi_probe *probe, bool *exact_out)
{
    struct kvi_leaf_cell cell;
    struct kvi_step *leaf;
    struct kvi_set set;
    unsigned item;
    int rc = kvi_path_probe(cursor->tree, probe, KVI_PATH_READ, &cursor->path, exact_out);

    if (rc || !*exact_out)
        return rc ? rc : kvi_cursor_settle_forward(cursor);
    leaf = kvi_path_leaf(&cursor->path);
    if (!kvi_leaf_cell_at(kvi_tree_geometry(cursor->tree), leaf->page, leaf->slot, &cell))
        return kvi_tree_damaged(cursor->tree, kvi_header_pgno(leaf->page),
                                "leaf page with a bad cell");
    rc = kvi_value_set(cursor->tree, &cell, &set);
    if (rc)
        return rc;
    item = kvi_set_find(&cursor->tree->shape, &set, probe->value, exact_out);
    if (item < set.count)
        return kvi_cursor_settle_set(cursor, &cell, &set, item);
    leaf->slot++;
    return kvi_cursor_settle_forward(cursor);
}

int kvi_cursor_find_pair(struct kvi_cursor *cursor, struct kvi_key key, struct kvi_key value,
                         bool *exact_out)
{
    struct kvi_probe probe;
    int rc = kvi_probe_init(&probe, &cursor->tree->shape, key, value, KVI_PROBE_VALUE);

    *exact_out = false;
    if (!rc)
        rc = find_pair(cursor, &probe, exact_out);
    kvi_probe_release(&probe);
    return rc;
}

/* KV_EXACT_PAIR, KV_AT_LEAST_VALUE, without a look at the bounds. */
static int search_pair(struct kvi_cursor *cursor, int op, struct kvi_key key, struct kvi_key value)
{
    bool exact;
    int rc = kvi_cursor_find_pair(cursor, key, value, &exact);

    if (rc || exact)
        return rc;
    if (op == KV_AT_LEAST_VALUE && kvi_cursor_same_key(cursor->tree, cursor->key, key))
        return 0;
    return KV_ENOTFOUND;
}

/* All searches: in bounds, and no position when they fail. */
int kvi_cursor_search(struct kvi_cursor *cursor, int op, struct kvi_key key,
                      const struct kvi_tree_value *value)
{
    unsigned slot;
    int rc;

    if (!cursor->tree->shape.plain && !kvi_shape_searchable(&cursor->tree->shape))
        return kvi_error(KV_ECOMPARATOR, "the table's comparator is not registered");
    cursor->state = KVI_CURSOR_NONE;
    cursor->leaf_steps = 0;
    if (op == KV_EXACT_PAIR || op == KV_AT_LEAST_VALUE)
        rc = search_pair(cursor, op, key, (struct kvi_key){value->data, (size_t)value->size_bytes});
    else
        rc = search(cursor, op, key);
    if (rc)
        cursor->state = KVI_CURSOR_NONE;
    if (rc || !cursor->bounds)
        return rc;
    slot = cursor->leaf->slot;
    if (op == KV_AT_LEAST && slot < cursor->slot_begin)
        return kvi_cursor_edge(cursor, KVI_PATH_FIRST);
    if (op == KV_AT_MOST && slot >= cursor->slot_end)
        return kvi_cursor_edge(cursor, KVI_PATH_LAST);
    return kvi_cursor_only_inside(cursor, 0);
}
