/* SPDX-License-Identifier: MIT */
/*
 * Owns the first half of a commit: which map pages get a new place, until nothing more moves.
 *
 * Retiring comes first: the old bitmap of every region that changed, the old index pages above it,
 * and the same for regions that change by that. Then every changed region that claims anything, and
 * every index page above one, gets a page: from its own region where that has room (no further
 * region changes by that), else where the txn takes its pages. A region that changes by that goes
 * through the same. Each region's old bitmap is retired once and each region gets one new page, so
 * it ends. Retiring first lets a region that has nothing left but its own bitmap become wholly
 * free.
 *
 * Levels. The new map has as many as its page_end needs. More than the base's: new index pages are
 * laid over the base's entries. Fewer: the base's upper index pages are dissolved. They are never
 * lowered again while pages are handed out, so that this ends too; a level too many is allowed by
 * the format.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "space/bits.h"
#include "space/space_private.h"

/* ---- Index pages ---- */

/* Regions are known by number, below 2^48; index pages by level in the bits above. */
static uint64_t node_key(unsigned level, uint64_t index)
{
    return (uint64_t)level << 56 | index;
}

struct kvi_space_node *kvi_space_node_find(const struct kvi_space *space, unsigned level,
                                           uint64_t index)
{
    return (struct kvi_space_node *)kvi_space_table_find(&space->table, node_key(level, index));
}

void kvi_space_node_set_child(struct kvi_space *space, unsigned level, uint64_t index,
                              const struct kvi_map_entry *entry)
{
    struct kvi_space_node *node =
        kvi_space_node_find(space, level + 1, index / space->g.map_fanout);

    assert(node); /* every changed child marked the whole path above it */
    kvi_map_entry_store(node->image + KVI_HEADER_BYTES +
                            index % space->g.map_fanout * KVI_MAP_ENTRY_BYTES,
                        entry);
}

static int retire_map_page(struct kvi_space *space, uint64_t pgno)
{
    space->map_retired++;
    return kvi_space_retire(space, pgno, 1);
}

/* Copies the base's entries below a new index page of a level that the base has, and retires its
 * old page. */
static int node_take_base(struct kvi_space *space, struct kvi_space_node *node)
{
    uint64_t region = node->index * kvi_map_span(&space->g, node->level);
    struct kvi_map_entry entry;
    const uint8_t *entries;
    uint32_t count;
    unsigned level;
    int rc;

    rc = kvi_map_entry_at(&space->g, &space->io, &space->base, region, node->level, &entry, &level);
    if (rc || entry.ref.pgno == 0)
        return rc;
    rc = kvi_map_index(&space->g, &space->io, entry.ref, node->level, &entries, &count);
    if (rc)
        return rc;
    memcpy(node->image + KVI_HEADER_BYTES, entries, (size_t)count * KVI_MAP_ENTRY_BYTES);
    return node->level <= space->dissolved_above ? retire_map_page(space, entry.ref.pgno) : 0;
}

/* Copies the base's inline entries into an index page of the level above them. */
static void node_take_inline(struct kvi_space *space, struct kvi_space_node *node)
{
    uint64_t first = node->index * space->g.map_fanout;
    uint64_t count = space->base.map_count > first ? space->base.map_count - first : 0;

    if (count > space->g.map_fanout)
        count = space->g.map_fanout;
    memcpy(node->image + KVI_HEADER_BYTES,
           space->base.page + KVI_SNAP_ENTRIES + first * KVI_MAP_ENTRY_BYTES,
           (size_t)count * KVI_MAP_ENTRY_BYTES);
}

/* Makes the index page one that changes, if it is not yet. */
static int mark_node(struct kvi_space *space, unsigned level, uint64_t index)
{
    struct kvi_space_node *node;
    int rc;

    if (kvi_space_node_find(space, level, index))
        return 0;
    node = (struct kvi_space_node *)calloc(1, sizeof(*node) + space->g.page_size);
    if (!node)
        return ENOMEM;
    node->level = level;
    node->index = index;
    node->image = (uint8_t *)(node + 1);
    rc = kvi_space_table_add(&space->table, node_key(level, index), node);
    if (rc) {
        free(node);
        return rc;
    }
    node->next = space->nodes;
    space->nodes = node;
    if (level <= space->base.map_levels)
        return node_take_base(space, node);
    if (level == space->base.map_levels + 1u)
        node_take_inline(space, node);
    return 0;
}

/* Marks the index pages of levels (above, space->levels] over what stands at `level`, position
 * `index`. */
static int mark_path(struct kvi_space *space, unsigned level, uint64_t index)
{
    int rc = 0;

    for (unsigned l = level + 1; l <= space->levels && !rc; l++) {
        index /= space->g.map_fanout;
        rc = mark_node(space, l, index);
    }
    return rc;
}

/* ---- Levels ---- */

static unsigned levels_for(const struct kvi_space *space, uint64_t page_end)
{
    return kvi_map_levels(&space->g, kvi_map_regions(&space->g, page_end));
}

/* The levels that the new map needs as things stand. */
static int needed_levels(struct kvi_space *space, unsigned *levels_out)
{
    uint64_t page_end = space->high > space->base.page_end ? space->high : space->base.page_end;
    int rc = 0;

    /* The upper bound spares small files the search for the end. */
    if (space->base.map_levels || levels_for(space, page_end))
        rc = kvi_space_find_end(space, &page_end);
    *levels_out = levels_for(space, page_end);
    return rc;
}

static int dissolve_page(void *context, struct kvi_ref ref, unsigned level, uint64_t region,
                         const struct kvi_map_entry *entry)
{
    struct kvi_space *space = (struct kvi_space *)context;

    (void)region;
    (void)entry;
    if (level <= space->levels)
        return KVI_MAP_SKIP;
    return retire_map_page(space, ref.pgno);
}

/* The entries of the base at `level` go under the index pages of the new levels above. */
static int mark_over_base(struct kvi_space *space, unsigned level)
{
    uint64_t span = kvi_map_span(&space->g, level);
    uint64_t count = (kvi_map_regions(&space->g, space->base.page_end) - 1) / span + 1;

    for (uint64_t i = 0; i < count; i++) {
        struct kvi_map_entry entry;
        unsigned stopped;
        int rc = kvi_map_entry_at(&space->g, &space->io, &space->base, i * span, level, &entry,
                                  &stopped);

        if (!rc && entry.ref.pgno)
            rc = mark_path(space, level, i);
        if (rc)
            return rc;
    }
    return 0;
}

/* The number of levels becomes known, or rises. */
static int set_levels(struct kvi_space *space, unsigned levels)
{
    unsigned base_levels = space->base.map_levels;
    unsigned before = space->levels_known ? space->levels : base_levels;
    int rc = 0;

    space->levels = levels;
    if (!space->levels_known) {
        space->levels_known = true;
        space->dissolved_above = levels < base_levels ? levels : base_levels;
        if (levels < base_levels)
            rc = kvi_map_walk(&space->g, &space->io, &space->base, dissolve_page, space);
    }
    if (!rc && levels > before)
        rc = mark_over_base(space, before < base_levels ? before : base_levels);
    for (struct kvi_space_region *r = space->changed_first; r && !rc; r = r->changed_next)
        rc = mark_path(space, 0, r->number);
    return rc;
}

/* ---- Retiring ---- */

/* The old bitmap of every region that changed, and, once the levels are known, the index pages
 * above it. */
static int retire_old(struct kvi_space *space)
{
    int rc = 0;

    while (space->unsettled && !rc) {
        struct kvi_space_region *region = space->unsettled;

        if (region->base.ref.pgno)
            rc = retire_map_page(space, region->base.ref.pgno);
        if (!rc && space->levels_known)
            rc = mark_path(space, 0, region->number);
        space->unsettled = region->changed_next; /* retiring may have added one behind it */
    }
    return rc;
}

static bool region_empty(const struct kvi_space *space, const struct kvi_space_region *region)
{
    return !kvi_bits_any_set(kvi_region_bits(region), 0, space->g.region_pages);
}

/* Regions whose claim image differs from the base's. */
static void find_changed(struct kvi_space *space)
{
    for (size_t i = 0; i < space->region_count; i++) {
        struct kvi_space_region *region = space->regions[i];
        const uint8_t *bits = kvi_region_bits(region);

        if (!region->touched)
            continue;
        if (region->base_bits ? memcmp(bits, region->base_bits, space->g.region_pages / 8) != 0
                              : !region_empty(space, region))
            kvi_space_change(space, region);
    }
}

/* ---- New places ---- */

static int place_region(struct kvi_space *space, struct kvi_space_region *region)
{
    bool found;
    int rc;

    if (region->pgno_new || region_empty(space, region))
        return 0;
    rc = kvi_space_alloc_in(space, region, &region->pgno_new, &found);
    if (!rc && !found)
        rc = kvi_space_alloc(space, 1, &region->pgno_new);
    return rc;
}

static bool node_empty(const struct kvi_space *space, const struct kvi_space_node *node)
{
    for (uint32_t i = 0; i < space->g.map_fanout; i++)
        if (kvi_le_load48(node->image + KVI_HEADER_BYTES + (uint64_t)i * KVI_MAP_ENTRY_BYTES))
            return false;
    return true;
}

/* Stores in the pages above which children will be there; references are final only in build.c. */
static void spread_regions(struct kvi_space *space)
{
    for (struct kvi_space_region *r = space->changed_first; r; r = r->changed_next) {
        r->entry.ref.pgno = r->pgno_new;
        if (space->levels)
            kvi_space_node_set_child(space, 0, r->number, &r->entry);
    }
}

static int place_node(struct kvi_space *space, struct kvi_space_node *node)
{
    int rc = 0;

    if (!node->pgno_new && !node_empty(space, node))
        rc = kvi_space_alloc(space, 1, &node->pgno_new);
    node->entry.ref.pgno = node->pgno_new;
    if (!rc && node->level < space->levels)
        kvi_space_node_set_child(space, node->level, node->index, &node->entry);
    return rc;
}

static int place_new(struct kvi_space *space)
{
    int rc = 0;

    for (struct kvi_space_region *r = space->changed_first; r && !rc; r = r->changed_next)
        rc = place_region(space, r);
    /* An index page's place may lie in a region whose own path is not marked yet: the next round.
     */
    if (rc || space->unsettled || !space->levels)
        return rc;
    spread_regions(space);
    for (unsigned level = 1; level <= space->levels; level++)
        for (struct kvi_space_node *n = space->nodes; n && !rc; n = n->next)
            if (n->level == level)
                rc = place_node(space, n);
    return rc;
}

/* Whether the region has a place for its new bitmap, and nothing else to claim than perhaps that
 * place. */
static bool region_idle(const struct kvi_space *space, const struct kvi_space_region *region)
{
    const uint8_t *bits = kvi_region_bits(region);
    uint32_t pages = space->g.region_pages;
    uint32_t own;

    if (!region->pgno_new)
        return false;
    if (region->pgno_new / pages != region->number)
        return region_empty(space, region);
    own = (uint32_t)(region->pgno_new % pages);
    return !kvi_bits_any_set(bits, 0, own) && !kvi_bits_any_set(bits, own + 1, pages - own - 1);
}

/* Gives up the place of what became empty after it was placed; regions with one have changed
 * already. */
static int drop_page(struct kvi_space *space, uint64_t *pgno)
{
    uint64_t given = *pgno;

    *pgno = 0;
    return kvi_space_release(space, given, 1);
}

static int drop_empty_once(struct kvi_space *space, bool *again_out)
{
    int rc = 0;

    *again_out = false;
    for (struct kvi_space_region *r = space->changed_first; r && !rc; r = r->changed_next) {
        if (!region_idle(space, r))
            continue;
        *again_out = true;
        rc = drop_page(space, &r->pgno_new);
    }
    spread_regions(space);
    for (unsigned level = 1; level <= space->levels; level++)
        for (struct kvi_space_node *n = space->nodes; n && !rc; n = n->next) {
            if (n->level != level)
                continue;
            if (n->pgno_new && node_empty(space, n)) {
                *again_out = true;
                rc = drop_page(space, &n->pgno_new);
            }
            n->entry.ref.pgno = n->pgno_new;
            if (level < space->levels)
                kvi_space_node_set_child(space, level, n->index, &n->entry);
        }
    return rc;
}

/* Whether anything changed is still without its place, or the levels do not suffice. */
static int settled(struct kvi_space *space, bool *settled_out)
{
    unsigned levels;
    int rc;

    *settled_out = false;
    if (space->unsettled)
        return 0;
    for (struct kvi_space_region *r = space->changed_first; r; r = r->changed_next)
        if (!r->pgno_new && !region_empty(space, r))
            return 0;
    rc = needed_levels(space, &levels);
    if (rc)
        return rc;
    if (levels > space->levels)
        return set_levels(space, levels);
    *settled_out = true;
    return 0;
}

int kvi_space_settle(struct kvi_space *space)
{
    unsigned levels = 0;
    bool done = false;
    bool again = true;
    int rc;

    space->settling = true;
    find_changed(space);
    rc = retire_old(space);
    if (!rc)
        rc = needed_levels(space, &levels);
    if (!rc)
        rc = set_levels(space, levels);
    while (!rc && !done) {
        rc = retire_old(space);
        if (!rc)
            rc = place_new(space);
        if (!rc)
            rc = settled(space, &done);
    }
    while (!rc && again)
        rc = drop_empty_once(space, &again);
    return rc;
}
