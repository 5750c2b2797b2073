/* SPDX-License-Identifier: MIT */
/*
 * With duplicates: moves by keys and among the values of one key, pieces of fixed-size values, and
 * how many values a key has.
 *
 * They look at cells before they move there. A *place* is a cell with the path to it; a cursor
 * adopts one when it is known to be the right one, so that a move that finds nothing leaves the
 * position alone.
 *
 *     cells     | "a": 1 2 5 | "b": 1 .. 240 | "b": 241 .. 480 cont. | "b": 481 .. cont. | "c": 7 |
 *                              ^ first of "b"                           ^ last of "b"
 *
 * A key that goes on over more than a few cells is passed by a search, not cell by cell. What is
 * found that way must lie in the direction looked for: in a damaged tree too a loop of such moves
 * ends.
 *
 * A cursor that stands before a record, its own being deleted, is in a *gap*; its moves depend on
 * where the key of the deleted record still has values (cursor.h).
 */
#include "base/error.h"
#include "format/node_page.h"
#include "kv.h"
#include "tree/cursor.h"
#include "tree/value.h"

#define CELLS_WALKED 3u /* of one key, before it is passed by a search */

struct place {
    struct kvi_path path;
    struct kvi_leaf_cell cell;
};

/* Where the key of the record that was deleted under a cursor still has values. */
enum gap {
    GAP_NO,    /* the cursor stands at a record */
    GAP_NEXT,  /* the record that it stands before is of that key */
    GAP_FRONT, /* the one in front of that is */
    GAP_ALONE  /* the key is gone */
};

/* ---- Places ---- */

static struct kvi_key key_of(const struct place *place)
{
    return (struct kvi_key){place->cell.key, place->cell.key_bytes};
}

static bool continued(const struct place *place)
{
    return kvi_set_is_continued(place->cell.payload, place->cell.payload_bytes);
}

static int load_cell(const struct kvi_cursor *cursor, struct place *place)
{
    const struct kvi_step *leaf = kvi_path_leaf(&place->path);

    if (kvi_leaf_cell_at(kvi_tree_geometry(cursor->tree), leaf->page, leaf->slot, &place->cell) &&
        place->cell.kind == KVI_CELL_SET)
        return 0;
    return kvi_tree_damaged(cursor->tree, kvi_header_pgno(leaf->page), "leaf page with a bad cell");
}

static void place_copy(struct place *to, const struct place *from)
{
    kvi_path_copy(&to->path, &from->path);
    to->cell = from->cell;
}

static int place_here(const struct kvi_cursor *cursor, struct place *place)
{
    kvi_path_copy(&place->path, &cursor->path);
    return load_cell(cursor, place);
}

static int place_last(const struct kvi_cursor *cursor, struct place *place)
{
    int rc = kvi_path_edge(cursor->tree, KVI_PATH_LAST, KVI_PATH_READ, &place->path);

    if (rc)
        return rc;
    return place->path.depth ? load_cell(cursor, place) : KV_ENOTFOUND;
}

/* To the cell after (forward) or before. KV_ENOTFOUND: the place is as it was. */
static int place_step(struct kvi_cursor *cursor, struct place *place, bool forward)
{
    struct kvi_step *leaf = kvi_path_leaf(&place->path);
    const uint8_t *from = leaf->page;
    int rc;

    if (forward ? leaf->slot + 1 < kvi_header_count(from) : leaf->slot > 0) {
        leaf->slot += forward ? 1 : -1U;
        return load_cell(cursor, place);
    }
    rc = forward ? kvi_path_leaf_after(cursor->tree, &place->path)
                 : kvi_path_leaf_before(cursor->tree, &place->path);
    if (!rc)
        rc = forward ? kvi_cursor_check_order(cursor, from, leaf->page, true)
                     : kvi_cursor_check_order(cursor, leaf->page, from, false);
    return rc ? rc : load_cell(cursor, place);
}

/* The cell found by a search is where it must be: behind the key (1), of it (0), in front (-1). */
static int check_side(const struct kvi_cursor *cursor, const struct place *place,
                      struct kvi_key key, int side)
{
    const struct kvi_step *leaf = &place->path.steps[place->path.depth - 1];
    int order = kvi_shape_compare_keys(&cursor->tree->shape, key_of(place), key);

    if ((order > 0) - (order < 0) == side)
        return 0;
    return kvi_tree_damaged(cursor->tree, kvi_header_pgno(leaf->page),
                            "a key's values are not together");
}

/* By a search: to the key's last cell (forward) or first one, or beyond it to the next cell. */
static int seek_end(struct kvi_cursor *cursor, struct place *place, bool forward, bool beyond)
{
    struct kvi_key key = key_of(place), none = {NULL, 0};
    bool back = forward != beyond; /* to the last cell before where the probe stands */
    struct kvi_probe probe;
    struct kvi_step *leaf;
    bool exact = false;
    int rc = kvi_probe_init(&probe, &cursor->tree->shape, key, none,
                            forward ? KVI_PROBE_LAST : KVI_PROBE_FIRST);

    if (!rc)
        rc = kvi_path_probe(cursor->tree, &probe, KVI_PATH_READ, &place->path, &exact);
    kvi_probe_release(&probe);
    if (rc || place->path.depth == 0)
        return rc ? rc : KV_ENOTFOUND;
    leaf = kvi_path_leaf(&place->path);
    leaf->slot += forward && exact; /* first cell behind the probe */
    if (back && leaf->slot == 0)
        rc = kvi_path_leaf_before(cursor->tree, &place->path);
    else if (back)
        leaf->slot--;
    else if (leaf->slot >= kvi_header_count(leaf->page))
        rc = kvi_path_leaf_after(cursor->tree, &place->path);
    if (!rc)
        rc = load_cell(cursor, place);
    return rc ? rc : check_side(cursor, place, key, !beyond ? 0 : forward ? 1 : -1);
}

/* To the last (forward) or first cell of the place's key, or beyond it to the cell of the next key
 * in that direction: KV_ENOTFOUND when there is none. */
static int pass_key(struct kvi_cursor *cursor, struct place *place, bool forward, bool beyond)
{
    bool searchable = cursor->tree->shape.key_order != KV_ORDER_CUSTOM;

    for (unsigned walked = 0; walked < CELLS_WALKED || !searchable; walked++) {
        bool first = !continued(place);
        struct place next;
        int rc;

        if (!forward && first && !beyond)
            return 0;
        place_copy(&next, place);
        rc = place_step(cursor, &next, forward);
        if (rc == KV_ENOTFOUND && !beyond)
            return 0;
        if (rc)
            return rc;
        if (forward ? !continued(&next) : first) { /* `next` is of another key */
            if (beyond)
                place_copy(place, &next);
            return 0;
        }
        place_copy(place, &next);
    }
    return seek_end(cursor, place, forward, beyond);
}

/* ---- Gaps ---- */

/* What the cursor (not NONE, not PARKED) stands in; *front is set for GAP_FRONT. */
static int find_gap(struct kvi_cursor *cursor, enum gap *gap_out, struct place *front)
{
    struct kvi_key own = kvi_note_key(&cursor->own);
    int rc;

    *gap_out = GAP_NO;
    if (cursor->state == KVI_CURSOR_AT && !cursor->before)
        return 0;
    *gap_out = GAP_ALONE;
    if (cursor->state == KVI_CURSOR_AT) {
        if (kvi_cursor_same_key(cursor->tree, own, cursor->key)) {
            *gap_out = GAP_NEXT;
            return 0;
        }
        if (cursor->item > 0 || cursor->set.continued)
            return 0;
        rc = place_here(cursor, front);
        if (!rc)
            rc = place_step(cursor, front, false);
    } else {
        rc = place_last(cursor, front);
    }
    if (rc)
        return rc == KV_ENOTFOUND ? 0 : rc;
    if (kvi_cursor_same_key(cursor->tree, own, key_of(front)))
        *gap_out = GAP_FRONT;
    return 0;
}

/* A cell of the key that value moves are about: that of the deleted record while it has values. */
static int place_of_key(struct kvi_cursor *cursor, struct place *place)
{
    enum gap gap;
    int rc = find_gap(cursor, &gap, place);

    if (rc || gap == GAP_FRONT)
        return rc;
    if (cursor->state == KVI_CURSOR_END || (cursor->before && !kvi_cursor_inside(cursor)))
        return KV_ENOTFOUND;
    return place_here(cursor, place);
}

int kvi_cursor_place(struct kvi_cursor *cursor, int *place_out)
{
    static const int places[] = {[GAP_NO] = KV_PLACE_RECORD,
                                 [GAP_NEXT] = KV_PLACE_VALUE,
                                 [GAP_FRONT] = KV_PLACE_VALUES,
                                 [GAP_ALONE] = KV_PLACE_KEY};
    struct place front;
    enum gap gap = GAP_NO;
    int rc = kvi_cursor_unpark(cursor);

    *place_out = KV_PLACE_NONE;
    if (rc || cursor->state == KVI_CURSOR_NONE)
        return rc;
    if (cursor->tree->shape.duplicates)
        rc = find_gap(cursor, &gap, &front);
    else if (cursor->state != KVI_CURSOR_AT || cursor->before)
        gap = GAP_ALONE;
    if (!rc)
        *place_out = places[gap];
    return rc;
}

/* ---- Moves among a key's values ---- */

static int first_or_last_value(struct kvi_cursor *cursor, bool last)
{
    struct place place;
    int rc = place_of_key(cursor, &place);

    if (!rc)
        rc = pass_key(cursor, &place, last, false);
    return rc ? rc : kvi_cursor_adopt(cursor, &place.path, last ? KVI_ITEM_LAST : 0);
}

/* Whether the cell behind the cursor's is in the same leaf and of another key, as most are; or it
 * is known that the key ends there. */
static bool key_ends_here(struct kvi_cursor *cursor)
{
    const struct kvi_geometry *g = kvi_tree_geometry(cursor->tree);
    const uint8_t *page = cursor->leaf->page;
    unsigned slot = cursor->leaf->slot + 1;
    struct kvi_node_frame frame;
    struct kvi_leaf_cell cell;

    if (cursor->key_ends)
        return true;
    frame = kvi_node_frame(g, page);
    if (slot < frame.count && kvi_leaf_cell_parse(g, &frame, page, slot, &cell))
        cursor->key_ends = !kvi_set_is_continued(cell.payload, cell.payload_bytes);
    return cursor->key_ends;
}

/* From the value at `item` to the record beside, which is known to be in another cell of the same
 * leaf, or of another key. */
static int step_from(struct kvi_cursor *cursor, unsigned item, bool forward)
{
    unsigned before = cursor->item;
    int rc;

    cursor->item = item;
    rc = kvi_cursor_step(cursor, forward);
    if (rc == KV_ENOTFOUND)
        cursor->item = before;
    return rc;
}

/* To the cell of the same key behind (in front of) the cursor's. */
static int adopt_beside(struct kvi_cursor *cursor, bool forward)
{
    const struct kvi_step *leaf = cursor->leaf;
    struct place place;
    int rc;

    if (forward ? key_ends_here(cursor) : !cursor->set.continued)
        return KV_ENOTFOUND;
    if (forward ? leaf->slot + 1 < kvi_header_count(leaf->page) : leaf->slot > 0)
        return kvi_cursor_step(cursor, forward);
    rc = place_here(cursor, &place);
    if (!rc)
        rc = place_step(cursor, &place, forward);
    if (!rc && forward && !continued(&place))
        rc = KV_ENOTFOUND;
    if (rc == KV_ENOTFOUND && forward)
        cursor->key_ends = true;
    if (!rc)
        rc = kvi_cursor_adopt(cursor, &place.path, forward ? 0 : KVI_ITEM_LAST);
    if (!rc)
        kvi_cursor_look_ahead(cursor, forward);
    return rc;
}

static int next_value(struct kvi_cursor *cursor, enum gap gap)
{
    if (gap == GAP_FRONT || gap == GAP_ALONE)
        return KV_ENOTFOUND;
    if (gap == GAP_NEXT) {
        cursor->before = false;
        return 0;
    }
    if (cursor->item + 1 < cursor->set.count) {
        cursor->item++;
        return 0;
    }
    return adopt_beside(cursor, true);
}

static int prev_value(struct kvi_cursor *cursor, enum gap gap, const struct place *front)
{
    if (gap == GAP_FRONT)
        return kvi_cursor_adopt(cursor, &front->path, KVI_ITEM_LAST);
    if (gap == GAP_ALONE)
        return KV_ENOTFOUND;
    if (cursor->item == 0)
        return adopt_beside(cursor, false);
    cursor->item--;
    cursor->before = false;
    return 0;
}

/* ---- Pieces of fixed-size values ---- */

/* Values [from, end) of the set at the cursor. */
static int give_piece(const struct kvi_cursor *cursor, unsigned from, unsigned end,
                      struct kvi_tree_value *value)
{
    const struct kvi_set *set = &cursor->set;

    if (set->ends || set->item_bytes != cursor->tree->shape.item_bytes)
        return kvi_tree_damaged(cursor->tree, kvi_header_pgno(cursor->leaf->page),
                                "values of other than the table's size");
    value->data = set->data + (size_t)from * set->item_bytes;
    value->size_bytes = (uint64_t)(end - from) * set->item_bytes;
    value->kind = KVI_CELL_VALUE;
    return 0;
}

int kvi_cursor_piece(struct kvi_cursor *cursor, bool forward, struct kvi_tree_value *value_out)
{
    unsigned item = cursor->item;

    cursor->item = forward ? cursor->set.count - 1 : 0;
    return forward ? give_piece(cursor, item, cursor->set.count, value_out)
                   : give_piece(cursor, 0, item + 1, value_out);
}

/* KV_NEXT_VALUES, and KV_PREV_VALUES: from the value after (before) the cursor on, as far as the
 * piece goes. */
static int piece_beside(struct kvi_cursor *cursor, bool forward, enum gap gap,
                        const struct place *front, struct kvi_tree_value *value)
{
    int rc = forward ? next_value(cursor, gap) : prev_value(cursor, gap, front);

    return rc ? rc : kvi_cursor_piece(cursor, forward, value);
}

/* ---- Moves by keys ---- */

static int next_key(struct kvi_cursor *cursor, enum gap gap)
{
    struct place place;
    int rc;

    if (cursor->state == KVI_CURSOR_END)
        return KV_ENOTFOUND;
    if (!kvi_cursor_inside(cursor))
        return kvi_cursor_step(cursor, true);
    if (gap == GAP_FRONT || gap == GAP_ALONE) {
        cursor->before = false;
        return 0;
    }
    if (key_ends_here(cursor))
        return step_from(cursor, cursor->set.count - 1, true);
    rc = place_here(cursor, &place);
    if (!rc)
        rc = pass_key(cursor, &place, true, true);
    return rc ? rc : kvi_cursor_adopt(cursor, &place.path, 0);
}

static int prev_key(struct kvi_cursor *cursor, enum gap gap, struct place *front)
{
    struct place place;
    int rc;

    if (gap != GAP_FRONT) {
        if (cursor->state == KVI_CURSOR_END || !kvi_cursor_inside(cursor))
            return kvi_cursor_move(cursor, KV_PREV, NULL, NULL);
        if (!cursor->set.continued)
            return step_from(cursor, 0, false);
        rc = place_here(cursor, &place);
        if (rc)
            return rc;
        front = &place;
    }
    rc = pass_key(cursor, front, false, true);
    return rc ? rc : kvi_cursor_adopt(cursor, &front->path, KVI_ITEM_LAST);
}

/* ---- All of them ---- */

/* From a position that is known: in a gap, or at a record in bounds. */
static int move_on(struct kvi_cursor *cursor, int op, enum gap gap, struct place *front,
                   struct kvi_tree_value *value)
{
    switch (op) {
    case KV_NEXT_KEY:
        return next_key(cursor, gap);
    case KV_PREV_KEY:
        return prev_key(cursor, gap, front);
    case KV_FIRST_VALUE:
    case KV_LAST_VALUE:
        return first_or_last_value(cursor, op == KV_LAST_VALUE);
    case KV_NEXT_VALUE:
        return next_value(cursor, gap);
    case KV_PREV_VALUE:
        return prev_value(cursor, gap, front);
    case KV_VALUES:
        cursor->before = false;
        return kvi_cursor_piece(cursor, true, value);
    default:
        return piece_beside(cursor, op == KV_NEXT_VALUES, gap, front, value);
    }
}

/* From a position, unparked. */
static int move_from(struct kvi_cursor *cursor, int op, struct kvi_tree_value *value)
{
    struct place front;
    enum gap gap;
    int rc = find_gap(cursor, &gap, &front);

    if (rc)
        return rc;
    if (op != KV_NEXT_KEY && op != KV_PREV_KEY) {
        if (op == KV_VALUES && cursor->state == KVI_CURSOR_END)
            return KV_ENOTFOUND;
        if (cursor->state == KVI_CURSOR_AT && !kvi_cursor_inside(cursor) &&
            (gap != GAP_FRONT || op == KV_VALUES))
            return KV_ENOTFOUND;
    }
    return move_on(cursor, op, gap, &front, value);
}

static KVI_NOINLINE int move_from_anywhere(struct kvi_cursor *cursor, int op,
                                           struct kvi_tree_value *value)
{
    int rc = kvi_cursor_unpark(cursor);

    if (rc)
        return rc;
    if (cursor->state != KVI_CURSOR_NONE)
        return move_from(cursor, op, value);
    if (op == KV_NEXT_KEY)
        return kvi_cursor_edge(cursor, KVI_PATH_FIRST);
    if (op == KV_PREV_KEY)
        return kvi_cursor_edge(cursor, KVI_PATH_LAST);
    return kvi_error(KV_EINVAL, "the cursor has no position");
}

int kvi_cursor_move_values(struct kvi_cursor *cursor, int op, struct kvi_tree_value *value)
{
    if (KVI_LIKELY(cursor->state == KVI_CURSOR_AT && !cursor->before && kvi_cursor_inside(cursor)))
        return move_on(cursor, op, GAP_NO, NULL, value);
    return move_from_anywhere(cursor, op, value);
}

/* ---- The key at the cursor ---- */

static int find_key(struct kvi_cursor *cursor, struct place *place)
{
    int rc = kvi_cursor_unpark(cursor);

    if (rc)
        return rc;
    if (cursor->state == KVI_CURSOR_NONE)
        return kvi_error(KV_EINVAL, "the cursor has no position");
    return place_of_key(cursor, place);
}

int kvi_cursor_own_key(struct kvi_cursor *cursor)
{
    struct place place;
    int rc = find_key(cursor, &place);

    return rc ? rc : kvi_cursor_keep_own(cursor, key_of(&place));
}

/* By the counts in branch cells. */
static int count_by_rank(struct kvi_cursor *cursor, struct kvi_key key, uint64_t *count_out)
{
    struct kvi_key none = {NULL, 0};
    struct kvi_counts ranks[2];
    int rc = 0;

    for (unsigned i = 0; !rc && i < 2; i++) {
        struct kvi_probe probe;

        rc = kvi_probe_init(&probe, &cursor->tree->shape, key, none,
                            i == 0 ? KVI_PROBE_FIRST : KVI_PROBE_LAST);
        if (!rc)
            rc = kvi_tree_rank(cursor->tree, &probe, &ranks[i]);
        kvi_probe_release(&probe);
    }
    if (!rc)
        *count_out = ranks[1].records - ranks[0].records;
    return rc;
}

/* Cell by cell: where the comparator is not known. */
static int count_by_walk(struct kvi_cursor *cursor, struct place *place, uint64_t *count_out)
{
    int rc = pass_key(cursor, place, false, false);

    while (!rc) {
        *count_out += kvi_set_count(place->cell.payload, place->cell.payload_bytes);
        rc = place_step(cursor, place, true);
        if (rc || !continued(place))
            break;
    }
    return rc == KV_ENOTFOUND ? 0 : rc;
}

static int count_values(struct kvi_cursor *cursor, uint64_t *count_out)
{
    struct place place, next;
    int rc = find_key(cursor, &place);

    if (rc)
        return rc;
    place_copy(&next, &place);
    rc = place_step(cursor, &next, true);
    if (rc && rc != KV_ENOTFOUND)
        return rc;
    if (!continued(&place) && (rc || !continued(&next))) {
        *count_out = kvi_set_count(place.cell.payload, place.cell.payload_bytes);
        return 0;
    }
    if (kvi_shape_searchable(&cursor->tree->shape))
        return count_by_rank(cursor, key_of(&place), count_out);
    return count_by_walk(cursor, &place, count_out);
}

int kvi_cursor_count(struct kvi_cursor *cursor, uint64_t *count_out)
{
    int rc;

    *count_out = 0;
    if (cursor->tree->shape.duplicates)
        return count_values(cursor, count_out);
    rc = kvi_cursor_unpark(cursor);
    if (rc)
        return rc;
    if (cursor->state == KVI_CURSOR_NONE)
        return kvi_error(KV_EINVAL, "the cursor has no position");
    if (cursor->state == KVI_CURSOR_END || (cursor->before && !kvi_cursor_inside(cursor)))
        return KV_ENOTFOUND;
    *count_out = 1;
    return 0;
}
