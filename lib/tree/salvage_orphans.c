/* SPDX-License-Identifier: MIT */
/*
 * Owns the question which table a leaf belongs to that no tree reaches: pages do not say.
 *
 *     branch, stale           its children by number and tag
 *        |-- leaf 17          stands in table "a"      -> the branch was one of "a"
 *        |-- leaf 23          orphan                   -> so was this leaf
 *        `-- leaf 40          no longer that page
 *
 * Two proofs count. A branch that refers to pages by their tags ties them together, whether it is
 * stale itself or not, and one page of a known table among them names the table. And a leaf that the
 * space map claims is part of the snapshot: if all tables are known and only one of them lost a
 * range that its keys lie in, it is that one's. What has no proof is handed out as of no known table,
 * and not at all while it may just be what tables that stand have long thrown away. See salvage.h.
 */
#include <errno.h>
#include <stdlib.h>

#include "tree/salvage.h"

#define FITS_TRIED 256u /* tables with losses: with more of them a leaf is not told whose it is */

/* ---- Collecting ---- */

static bool is_orphan(const struct kvi_salvage *s, uint64_t pgno)
{
    unsigned kind = kvi_salvage_kind(s, pgno);

    if (s->newest && kvi_header_txnid(kvi_salvage_at(s, pgno)) > s->snap.txnid)
        return false;
    return (kind == KVI_PAGE_LEAF || kind == KVI_PAGE_BRANCH) &&
           s->owners[pgno] == KVI_SALVAGE_NOBODY &&
           !kvi_node_check(&s->g, kvi_salvage_at(s, pgno)) &&
           kvi_header_count(kvi_salvage_at(s, pgno)) > 0;
}

static int collect(struct kvi_salvage *s)
{
    size_t room = 0;

    free(s->orphans);
    s->orphans = NULL;
    s->orphan_count = 0;
    for (uint64_t pgno = 0; pgno < s->pages && s->orphan_count < UINT32_MAX; pgno++) {
        if (!is_orphan(s, pgno))
            continue;
        if (s->orphan_count == room) {
            struct kvi_salvage_orphan *more;

            room = room ? 2 * room : 256;
            more = realloc(s->orphans, room * sizeof(*more));
            if (!more)
                return kvi_error(ENOMEM, "no memory for pages that no tree reaches");
            s->orphans = more;
        }
        s->orphans[s->orphan_count] =
            (struct kvi_salvage_orphan){pgno, (uint32_t)s->orphan_count, KVI_SALVAGE_NOBODY};
        s->orphan_count++;
    }
    return 0;
}

/* The orphan at a page; UINT32_MAX: none. */
static uint32_t find_orphan(const struct kvi_salvage *s, uint64_t pgno)
{
    size_t low = 0, high = s->orphan_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (s->orphans[middle].pgno < pgno)
            low = middle + 1;
        else
            high = middle;
    }
    return low < s->orphan_count && s->orphans[low].pgno == pgno ? (uint32_t)low : UINT32_MAX;
}

/* ---- Ties ---- */

uint32_t kvi_salvage_group(struct kvi_salvage *s, uint32_t orphan)
{
    while (s->orphans[orphan].group != orphan) {
        s->orphans[orphan].group = s->orphans[s->orphans[orphan].group].group;
        orphan = s->orphans[orphan].group;
    }
    return orphan;
}

/* The group belongs to a table: of two it is none's. */
static void own_group(struct kvi_salvage *s, uint32_t orphan, uint32_t owner)
{
    struct kvi_salvage_orphan *first = &s->orphans[kvi_salvage_group(s, orphan)];

    if (owner == KVI_SALVAGE_NOBODY || first->owner == owner)
        return;
    first->owner = first->owner == KVI_SALVAGE_NOBODY ? owner : UINT32_MAX;
}

static void join(struct kvi_salvage *s, uint32_t a, uint32_t b)
{
    uint32_t x = kvi_salvage_group(s, a), y = kvi_salvage_group(s, b);

    if (x == y)
        return;
    s->orphans[y].group = x;
    own_group(s, x, s->orphans[y].owner);
}

/* What a branch that no tree reaches tells of the pages that it refers to. */
static void tie_children(struct kvi_salvage *s, uint32_t orphan)
{
    const uint8_t *page = kvi_salvage_at(s, s->orphans[orphan].pgno);
    unsigned level = kvi_header_level(page) - 1u;
    enum kvi_page_type type = level ? KVI_PAGE_BRANCH : KVI_PAGE_LEAF;

    for (unsigned slot = 0; slot < kvi_header_count(page); slot++) {
        const uint8_t *child;
        struct kvi_ref ref;
        uint32_t other;

        if (!kvi_branch_child(&s->g, page, slot, &ref) ||
            kvi_salvage_page(s, ref, type, level, &child))
            continue;
        other = find_orphan(s, ref.pgno);
        if (other != UINT32_MAX)
            join(s, orphan, other);
        else if (s->owners[ref.pgno] != KVI_SALVAGE_SYSTEM)
            own_group(s, orphan, s->owners[ref.pgno]);
    }
}

/* Only the main table has records of tables. */
static void tie_to_main(struct kvi_salvage *s, uint32_t orphan)
{
    const uint8_t *page = kvi_salvage_at(s, s->orphans[orphan].pgno);

    for (unsigned slot = 0; slot < kvi_header_count(page); slot++) {
        struct kvi_leaf_cell cell;

        if (kvi_leaf_cell_at(&s->g, page, slot, &cell) && cell.kind == KVI_CELL_TABLE) {
            own_group(s, orphan, 1);
            return;
        }
    }
}

/* The root that an old record names is no longer the table's, but tied to what is. */
static void tie_old_roots(struct kvi_salvage *s)
{
    for (size_t i = 0; i < s->table_count; i++) {
        const struct kvi_table_record *record = &s->tables[i].record;
        unsigned level = record->depth ? record->depth - 1u : 0;
        const uint8_t *page;
        uint32_t orphan;

        if (!s->tables[i].freed || !record->depth ||
            kvi_salvage_page(s, record->root, level ? KVI_PAGE_BRANCH : KVI_PAGE_LEAF, level,
                             &page))
            continue;
        orphan = find_orphan(s, record->root.pgno);
        if (orphan != UINT32_MAX)
            own_group(s, orphan, (uint32_t)i + 1);
    }
}

/* Claimed pages that are bad, and nothing says what they were. */
static bool has_gaps(const struct kvi_salvage *s)
{
    if (!s->has_snap || s->snap.page_end > s->pages)
        return true;
    for (uint64_t pgno = 0; pgno < s->snap.page_end; pgno++) {
        uint8_t bits = s->kinds[pgno];

        if (!(bits & KVI_SALVAGE_MAPPED) ||
            (bits & KVI_SALVAGE_CLAIMED && !(bits & KVI_SALVAGE_KIND_MASK) &&
             s->owners[pgno] == KVI_SALVAGE_NOBODY))
            return true;
    }
    return false;
}

int kvi_salvage_orphans(struct kvi_salvage *s)
{
    int rc = collect(s);

    if (rc)
        return rc;
    for (size_t i = 0; i < s->orphan_count; i++) {
        if (kvi_header_level(kvi_salvage_at(s, s->orphans[i].pgno)) > 0)
            tie_children(s, (uint32_t)i);
        else
            tie_to_main(s, (uint32_t)i);
    }
    tie_old_roots(s);
    s->tables_all = s->has_snap && s->table_count == s->snap.tables + 1;
    s->gaps = has_gaps(s);
    return 0;
}

/* ---- Tables ---- */

int kvi_salvage_compare(const struct kvi_salvage *s, const struct kvi_shape *shape,
                        struct kvi_key key, struct kvi_key value, struct kvi_salvage_bound bound,
                        uint8_t *room)
{
    struct kvi_key separator;
    struct kvi_probe probe;
    int order;

    if (!kvi_salvage_separator(s, bound, room, &separator) ||
        kvi_probe_init(&probe, shape, key, value, KVI_PROBE_VALUE))
        return 0;
    order = kvi_probe_compare_separator(shape, &probe, separator);
    kvi_probe_release(&probe);
    return order;
}

/* The same for a cell, of a set the first value. */
static int compare_place(const struct kvi_salvage *s, const struct kvi_shape *shape,
                         const struct kvi_leaf_cell *cell, struct kvi_salvage_bound bound,
                         uint8_t *room)
{
    struct kvi_key value = {NULL, 0};
    struct kvi_set set;

    if (shape->duplicates && kvi_set_open(cell->payload, cell->payload_bytes, &set))
        value = kvi_set_value(&set, 0);
    return kvi_salvage_compare(s, shape, (struct kvi_key){cell->key, cell->key_bytes}, value, bound,
                               room);
}

/* Whether a leaf may be of what the loss took. A current one only if that was a branch: of a lost
 * leaf there is no other current one. */
static bool may_be_of(const struct kvi_salvage_table *table, size_t loss, bool current)
{
    return loss < table->count && (!current || table->losses[loss].level > 0);
}

/* Whether a leaf's keys lie in a range that the table lost. */
static bool fits(const struct kvi_salvage *s, const struct kvi_salvage_table *table,
                 const uint8_t *leaf, bool current, uint8_t *room)
{
    struct kvi_leaf_cell first, last;
    size_t low = 0, high = table->count;

    if (table->count == 0 || !table->told ||
        kvi_header_flags(leaf) != kvi_shape_page_flags(&table->shape, 0) ||
        kvi_node_check_shape(&s->g, &table->shape, leaf))
        return false;
    if (!kvi_shape_searchable(&table->shape)) {
        while (low < high && !may_be_of(table, low, current))
            low++;
        return low < high;
    }
    if (!kvi_leaf_cell_at(&s->g, leaf, 0, &first) ||
        !kvi_leaf_cell_at(&s->g, leaf, kvi_header_count(leaf) - 1, &last))
        return false;
    /* the first loss that does not end before the leaf begins */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        struct kvi_salvage_bound end = table->losses[middle].high;

        if (end.pgno && compare_place(s, &table->shape, &first, end, room) >= 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (!may_be_of(table, low, current))
        return false;
    return table->losses[low].low.pgno == 0 ||
           compare_place(s, &table->shape, &last, table->losses[low].low, room) >= 0;
}

/* The only table that fits; UINT32_MAX: none does, 0: several do. */
static uint32_t only_fit(const struct kvi_salvage *s, const uint8_t *leaf, bool current)
{
    uint8_t *room = malloc(s->g.key_bytes_max);
    uint32_t owner = UINT32_MAX;
    unsigned tried = 0;

    for (size_t i = 0; room && i < s->table_count && owner; i++) {
        tried += s->tables[i].count > 0;
        if (tried > FITS_TRIED)
            owner = 0;
        else if (fits(s, &s->tables[i], leaf, current, room))
            owner = owner == UINT32_MAX ? (uint32_t)i + 1 : 0;
    }
    free(room);
    return owner;
}

uint32_t kvi_salvage_owner(struct kvi_salvage *s, size_t orphan)
{
    uint64_t pgno = s->orphans[orphan].pgno;
    const uint8_t *leaf = kvi_salvage_at(s, pgno);
    uint32_t owner = s->orphans[kvi_salvage_group(s, (uint32_t)orphan)].owner;
    enum kvi_salvage_trust trust = kvi_salvage_trust(s, pgno);

    if (owner == UINT32_MAX)
        return trust == KVI_SALVAGE_CURRENT ? 0 : UINT32_MAX;
    if (owner) {
        const struct kvi_salvage_table *table = &s->tables[owner - 1];

        return table->count && (!table->told || !kvi_node_check_shape(&s->g, &table->shape, leaf))
                   ? owner
                   : UINT32_MAX;
    }
    if (trust == KVI_SALVAGE_FREED)
        return UINT32_MAX;
    if (!s->tables_all)
        return 0;
    owner = only_fit(s, leaf, trust == KVI_SALVAGE_CURRENT);
    if (trust == KVI_SALVAGE_CURRENT)
        return owner == UINT32_MAX ? 0 : owner;
    return owner == UINT32_MAX ? UINT32_MAX : 0;
}
