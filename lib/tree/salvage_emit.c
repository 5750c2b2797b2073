/* SPDX-License-Identifier: MIT */
/*
 * Owns what a salvage hands out, table by table and in key order: records of the tree where it
 * stands; where it does not, what is lost and then the records of orphans that lie in the lost range.
 * What no table is known for comes last, as tables without a name.
 *
 * Orphans that may be old ones only fill what a leaf held that is lost itself, or anything while it
 * is not known what other claimed pages were: where a lost branch left all its leaves behind, these
 * are claimed, and a key that they do not have was deleted. See salvage.h.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tree/salvage.h"

#define PROGRESS_LEAVES 1024u
#define LONE_TABLES 32u /* unknown tables that a leaf without ties may still be added to */

/* An orphan leaf and the table that it is handed out with. */
struct placed {
    uint64_t table; /* owner; unknown ones: behind all tables, one number each */
    uint32_t orphan;
};

struct placing {
    struct kvi_salvage *s;
    struct placed *leaves; /* by table */
    size_t count;
};

/* ---- Placing orphans ---- */

static int compare_placed(const void *a, const void *b)
{
    const struct placed *x = a, *y = b;

    if (x->table != y->table)
        return x->table < y->table ? -1 : 1;
    return x->orphan < y->orphan ? -1 : x->orphan > y->orphan;
}

static bool has_ties(struct kvi_salvage *s, uint32_t orphan, const uint8_t *tied)
{
    return tied[kvi_salvage_group(s, orphan)] != 0;
}

/* Notes for each group whether it has more than one page. NULL: no memory. */
static uint8_t *find_ties(struct kvi_salvage *s)
{
    uint8_t *tied = calloc(1, s->orphan_count + 1);

    for (uint32_t i = 0; tied && i < s->orphan_count; i++) {
        uint32_t first = kvi_salvage_group(s, i);

        if (first != i)
            tied[first] = 1;
    }
    return tied;
}

/* Every orphan leaf that is to be handed out. */
static int place_all(struct placing *placing)
{
    struct kvi_salvage *s = placing->s;
    uint8_t *tied = find_ties(s);
    uint64_t lone = (uint64_t)UINT32_MAX + 1 + s->orphan_count; /* behind all groups */

    placing->leaves = malloc((s->orphan_count + 1) * sizeof(*placing->leaves));
    if (!tied || !placing->leaves) {
        free(tied);
        return kvi_error(ENOMEM, "no memory for pages that no tree reaches");
    }
    for (uint32_t i = 0; i < s->orphan_count; i++) {
        uint64_t table;

        if (kvi_header_level(kvi_salvage_at(s, s->orphans[i].pgno)) > 0)
            continue;
        table = kvi_salvage_owner(s, i);
        if (table == UINT32_MAX)
            continue;
        if (table == 0)
            table =
                has_ties(s, i, tied) ? (uint64_t)UINT32_MAX + 1 + kvi_salvage_group(s, i) : lone;
        placing->leaves[placing->count++] = (struct placed){table, i};
    }
    free(tied);
    qsort(placing->leaves, placing->count, sizeof(*placing->leaves), compare_placed);
    return 0;
}

static const uint8_t *placed_page(const struct kvi_salvage *s, const struct placed *placed)
{
    return kvi_salvage_at(s, s->orphans[placed->orphan].pgno);
}

/* First and end of a table's leaves. */
static void find_placed(const struct placing *placing, uint64_t table, size_t *first_out,
                        size_t *end_out)
{
    size_t low = 0, high = placing->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (placing->leaves[middle].table < table)
            low = middle + 1;
        else
            high = middle;
    }
    *first_out = low;
    while (low < placing->count && placing->leaves[low].table == table)
        low++;
    *end_out = low;
}

static int sweep_open(struct kvi_sweep *sweep, const struct placing *placing, size_t first,
                      size_t end, const struct kvi_shape *shape)
{
    struct kvi_salvage *s = placing->s;
    int rc = 0;

    for (size_t i = first; i < end && !rc; i++)
        rc = kvi_sweep_add(sweep, s, s->orphans[placing->leaves[i].orphan].pgno);
    return rc ? rc : kvi_sweep_start(sweep, shape);
}

static int sweep_table(struct kvi_sweep *sweep, const struct placing *placing, size_t table)
{
    size_t first, end;

    memset(sweep, 0, sizeof(*sweep));
    find_placed(placing, (uint64_t)table + 1, &first, &end);
    return sweep_open(sweep, placing, first, end, &placing->s->tables[table].shape);
}

/* ---- Filling what is lost ---- */

typedef int fill_fn(struct kvi_salvage *s, size_t table, const struct kvi_leaf_cell *cell,
                    enum kvi_salvage_trust trust, const struct kvi_salvage_loss *loss);

enum place { PLACE_BEFORE, PLACE_INSIDE, PLACE_BEHIND };

static enum place find_place(const struct kvi_salvage *s, const struct kvi_shape *shape,
                             struct kvi_key key, struct kvi_key value,
                             const struct kvi_salvage_loss *loss, uint8_t *room)
{
    if (!kvi_shape_searchable(shape))
        return PLACE_INSIDE;
    if (loss->low.pgno && kvi_salvage_compare(s, shape, key, value, loss->low, room) < 0)
        return PLACE_BEFORE;
    if (loss->high.pgno && kvi_salvage_compare(s, shape, key, value, loss->high, room) >= 0)
        return PLACE_BEHIND;
    return PLACE_INSIDE;
}

/* Of a set: behind if its first value is, before if its last one is. */
static enum place place_cell(const struct kvi_salvage *s, const struct kvi_shape *shape,
                             const struct kvi_leaf_cell *cell, const struct kvi_salvage_loss *loss,
                             uint8_t *room)
{
    struct kvi_key key = {cell->key, cell->key_bytes}, none = {NULL, 0};
    enum place first, last;
    struct kvi_set set;

    if (cell->kind != KVI_CELL_SET || !kvi_set_open(cell->payload, cell->payload_bytes, &set))
        return find_place(s, shape, key, none, loss, room);
    first = find_place(s, shape, key, kvi_set_value(&set, 0), loss, room);
    last = find_place(s, shape, key, kvi_set_value(&set, set.count - 1), loss, room);
    return first == PLACE_BEHIND || last == PLACE_BEFORE ? first : PLACE_INSIDE;
}

static int fill(struct kvi_salvage *s, size_t table, const struct kvi_salvage_loss *loss,
                fill_fn *fn)
{
    /* a copy: fn may add tables, and they move then */
    const struct kvi_shape shape = s->tables[table].shape;
    uint8_t *room = malloc(s->g.key_bytes_max);
    enum kvi_salvage_trust trust;
    struct kvi_leaf_cell cell;
    uint64_t pgno;
    int rc = room ? 0 : kvi_error(ENOMEM, "no memory to fill what is lost");

    while (!rc && kvi_sweep_peek(s->sweep, &cell, &trust, &pgno)) {
        enum place place = place_cell(s, &shape, &cell, loss, room);
        bool old_counts = loss->level == 0 || s->gaps;

        if (place == PLACE_BEHIND)
            break;
        /* a key of a custom order cannot be told to lie in the lost range */
        if (!kvi_shape_searchable(&shape))
            old_counts = old_counts && trust == KVI_SALVAGE_UNSURE;
        if (place == PLACE_INSIDE && (trust == KVI_SALVAGE_CURRENT || old_counts))
            rc = fn(s, table, &cell, trust, loss);
        kvi_sweep_pass(s->sweep);
    }
    free(room);
    return rc;
}

static enum kv_salvage_source source_of(enum kvi_salvage_trust trust)
{
    return trust == KVI_SALVAGE_CURRENT ? KV_SALVAGE_LEAF : KV_SALVAGE_STALE;
}

/* Values of an old set may lie where the tree stands. */
static int fill_old_set(struct kvi_salvage *s, size_t table, const struct kvi_leaf_cell *cell,
                        const struct kvi_salvage_loss *loss)
{
    struct kvi_key key = {cell->key, cell->key_bytes};
    uint8_t *room = malloc(s->g.key_bytes_max);
    struct kvi_set set;
    int rc = room ? 0 : kvi_error(ENOMEM, "no memory to fill what is lost");

    if (!kvi_set_open(cell->payload, cell->payload_bytes, &set))
        set.count = 0;
    for (uint32_t i = 0; i < set.count && !rc; i++) {
        struct kvi_key value = kvi_set_value(&set, i);

        if (find_place(s, &s->tables[table].shape, key, value, loss, room) == PLACE_INSIDE)
            rc = kvi_salvage_tell_record(s, key, value, KV_SALVAGE_STALE);
    }
    free(room);
    return rc;
}

static int fill_record(struct kvi_salvage *s, size_t table, const struct kvi_leaf_cell *cell,
                       enum kvi_salvage_trust trust, const struct kvi_salvage_loss *loss)
{
    if (cell->kind == KVI_CELL_SET && trust != KVI_SALVAGE_CURRENT)
        return fill_old_set(s, table, cell, loss);
    return kvi_salvage_tell_cell(s, table, cell, source_of(trust));
}

/* ---- Known tables ---- */

static int leaf_done(struct kvi_salvage *s)
{
    s->progress++;
    if (s->progress % PROGRESS_LEAVES || s->progress > s->pages)
        return 0;
    return kvi_salvage_tell_progress(s, s->pages + s->progress);
}

static int emit_leaf(struct kvi_salvage *s, size_t table, const uint8_t *page)
{
    enum kv_salvage_source source = s->tables[table].stale ? KV_SALVAGE_STALE : KV_SALVAGE_TREE;
    int rc = leaf_done(s);

    for (unsigned slot = 0; slot < kvi_header_count(page) && !rc; slot++) {
        struct kvi_leaf_cell cell;

        if (kvi_leaf_cell_at(&s->g, page, slot, &cell))
            rc = kvi_salvage_tell_cell(s, table, &cell, source);
    }
    return rc;
}

static int emit_loss(struct kvi_salvage *s, size_t table, const struct kvi_salvage_loss *loss)
{
    int rc = kvi_salvage_tell_child(s, table, loss);

    return rc ? rc : fill(s, table, loss, fill_record);
}

static int emit_table(const struct placing *placing, size_t table)
{
    static const struct kvi_salvage_walker walker = {emit_leaf, emit_loss};
    struct kvi_salvage *s = placing->s;
    struct kvi_sweep sweep;
    int rc = kvi_salvage_tell_table(s, table);

    if (rc)
        return rc;
    rc = sweep_table(&sweep, placing, table);
    s->sweep = &sweep;
    if (!rc)
        rc = kvi_salvage_walk(s, table, &walker);
    s->sweep = NULL;
    kvi_sweep_release(&sweep);
    return rc;
}

/* ---- Unknown ones ---- */

static int emit_unknown_cells(struct kvi_salvage *s, struct kvi_sweep *sweep)
{
    enum kvi_salvage_trust trust;
    struct kvi_leaf_cell cell;
    uint64_t pgno;
    int rc = 0;

    while (!rc && kvi_sweep_peek(sweep, &cell, &trust, &pgno)) {
        rc = kvi_salvage_tell_cell(s, KVI_SALVAGE_NO_TABLE, &cell, source_of(trust));
        kvi_sweep_pass(sweep);
    }
    return rc;
}

static int emit_unknown(const struct placing *placing, size_t first, size_t end, uint64_t number)
{
    struct kvi_salvage *s = placing->s;
    struct kvi_sweep sweep = {0};
    struct kvi_shape shape;
    int rc;

    kvi_sweep_shape(kvi_header_flags(placed_page(s, &placing->leaves[first])), &shape);
    rc = kvi_salvage_tell_unknown(s, number, &shape);
    if (!rc)
        rc = kvi_salvage_tell_loss(s, KVI_SALVAGE_NO_TABLE, KVI_NO_PGNO, end - first,
                                   "leaf pages of which it is not known what table they are of");
    if (!rc)
        rc = sweep_open(&sweep, placing, first, end, &shape);
    if (!rc)
        rc = emit_unknown_cells(s, &sweep);
    kvi_sweep_release(&sweep);
    return rc;
}

static struct kvi_key edge_key(const struct kvi_salvage *s, const struct placed *placed, bool last)
{
    const uint8_t *page = placed_page(s, placed);
    struct kvi_leaf_cell cell = {0};

    (void)kvi_leaf_cell_at(&s->g, page, last ? kvi_header_count(page) - 1 : 0, &cell);
    return (struct kvi_key){cell.key, cell.key_bytes};
}

/* By flags, then first key. */
static int compare_lone(const void *a, const void *b, void *context)
{
    const struct kvi_salvage *s = context;
    const struct placed *x = a, *y = b;
    unsigned p = kvi_header_flags(placed_page(s, x)), q = kvi_header_flags(placed_page(s, y));
    struct kvi_shape shape;
    int order;

    if (p != q)
        return p < q ? -1 : 1;
    kvi_sweep_shape(p, &shape);
    order = kvi_shape_searchable(&shape)
                ? kvi_shape_compare_keys(&shape, edge_key(s, x, false), edge_key(s, y, false))
                : 0;
    return order ? order : compare_placed(a, b);
}

/* Whether `leaf` may be of the table whose last leaf so far is `last`. */
static bool follows(const struct kvi_salvage *s, const struct placed *last,
                    const struct placed *leaf)
{
    unsigned flags = kvi_header_flags(placed_page(s, leaf));
    struct kvi_shape shape;

    if (kvi_header_flags(placed_page(s, last)) != flags)
        return false;
    kvi_sweep_shape(flags, &shape);
    return !kvi_shape_searchable(&shape) ||
           kvi_shape_compare_keys(&shape, edge_key(s, last, true), edge_key(s, leaf, false)) <
               (shape.duplicates ? 1 : 0);
}

/* Leaves without ties are shared out to as few tables as can be without two of them having the same
 * keys. */
static void share_lone(struct placing *placing, size_t first)
{
    struct placed last[LONE_TABLES];
    uint64_t base = (uint64_t)1 << 40, tables = 0;

    qsort_r(placing->leaves + first, placing->count - first, sizeof(*placing->leaves), compare_lone,
            placing->s);
    for (size_t i = first; i < placing->count; i++) {
        struct placed *leaf = &placing->leaves[i];
        uint64_t from = tables > LONE_TABLES ? tables - LONE_TABLES : 0, at = from;

        while (at < tables && !follows(placing->s, &last[at % LONE_TABLES], leaf))
            at++;
        tables += at == tables;
        leaf->table = base + at;
        last[at % LONE_TABLES] = *leaf;
    }
    qsort(placing->leaves + first, placing->count - first, sizeof(*placing->leaves),
          compare_placed);
}

static int emit_all_unknown(struct placing *placing)
{
    struct kvi_salvage *s = placing->s;
    uint64_t number = 0, lone = (uint64_t)UINT32_MAX + 1 + s->orphan_count;
    size_t first, end;
    int rc = 0;

    if (placing->count == 0)
        return 0;
    find_placed(placing, lone, &first, &end);
    share_lone(placing, first);
    first = 0;
    while (first < placing->count && placing->leaves[first].table <= UINT32_MAX)
        first++;
    for (; first < placing->count && !rc; first = end) {
        for (end = first; end < placing->count; end++) {
            if (placing->leaves[end].table != placing->leaves[first].table)
                break;
        }
        rc = emit_unknown(placing, first, end, ++number);
    }
    return rc;
}

/* ---- All of it ---- */

static bool anything_lost(const struct kvi_salvage *s)
{
    if (!s->has_snap || s->table_count != s->snap.tables + 1)
        return true;
    for (size_t i = 0; i < s->table_count; i++) {
        if (s->tables[i].count)
            return true;
    }
    return false;
}

int kvi_salvage_emit(struct kvi_salvage *s)
{
    struct placing placing = {.s = s};
    int rc = 0;

    s->emit_budget = 2 * s->size_bytes;
    if (anything_lost(s)) {
        rc = kvi_salvage_orphans(s);
        if (!rc)
            rc = place_all(&placing);
    }
    for (size_t i = 0; i < s->table_count && !rc; i++)
        rc = emit_table(&placing, i);
    if (!rc)
        rc = emit_all_unknown(&placing);
    free(placing.leaves);
    return rc;
}

/* ---- Named tables in orphans ---- */

static int fill_table(struct kvi_salvage *s, size_t table, const struct kvi_leaf_cell *cell,
                      enum kvi_salvage_trust trust, const struct kvi_salvage_loss *loss)
{
    size_t before = s->table_count;
    int rc;

    (void)table;
    (void)loss;
    if (cell->kind != KVI_CELL_TABLE)
        return 0;
    rc = kvi_salvage_add_cell(s, cell);
    if (rc || s->table_count == before)
        return rc;
    s->tables[before].stale = trust != KVI_SALVAGE_CURRENT;
    s->tables[before].freed = trust == KVI_SALVAGE_FREED;
    return 0;
}

/* What a main table without a record is, its leaves tell. */
static void guess_main(const struct placing *placing)
{
    struct kvi_salvage_table *main = &placing->s->tables[0];
    size_t first, end;

    find_placed(placing, 1, &first, &end);
    if (main->told || first == end)
        return;
    kvi_sweep_shape(kvi_header_flags(placed_page(placing->s, &placing->leaves[first])),
                    &main->shape);
    main->record.order = main->shape.key_order;
    main->record.align_log2 = main->shape.align_log2;
}

int kvi_salvage_find_tables(struct kvi_salvage *s)
{
    struct placing placing = {.s = s};
    struct kvi_sweep sweep = {0};
    size_t count = s->table_count;
    int rc;

    if (s->tables[0].count == 0)
        return 0;
    rc = kvi_salvage_orphans(s);
    if (!rc)
        rc = place_all(&placing);
    if (!rc) {
        guess_main(&placing);
        rc = sweep_table(&sweep, &placing, 0);
    }
    s->sweep = &sweep;
    for (size_t i = 0; i < s->tables[0].count && !rc; i++) {
        const struct kvi_salvage_loss loss = s->tables[0].losses[i];

        rc = fill(s, 0, &loss, fill_table);
    }
    s->sweep = NULL;
    kvi_sweep_release(&sweep);
    free(placing.leaves);
    for (size_t i = count; i < s->table_count && !rc; i++)
        rc = kvi_salvage_mark(s, i);
    return rc;
}
