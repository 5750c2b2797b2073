/* SPDX-License-Identifier: MIT */
/*
 * Owns the second half of a commit: the images of the new map pages, sealed bottom up, their
 * entries, and the totals of the snapshot. Nothing is handed out or retired here.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "space/bits.h"
#include "space/space_private.h"

/* ---- The end of the claimed pages ---- */

/* The highest page claimed in a touched region + 1. */
static uint64_t end_of_touched(const struct kvi_space *space)
{
    const struct kvi_space_region *highest = NULL;
    uint32_t end = 0;

    for (size_t i = 0; i < space->region_count; i++) {
        const struct kvi_space_region *region = space->regions[i];
        uint32_t bits;

        if (highest && region->number < highest->number)
            continue;
        bits = kvi_bits_end(kvi_region_bits(region), space->g.region_pages);
        if (bits) {
            highest = region;
            end = bits;
        }
    }
    return highest ? highest->number * space->g.region_pages + end : 0;
}

/* The highest page claimed in an untouched region + 1, if it is above `known`. */
static int end_of_untouched(struct kvi_space *space, uint64_t known, uint64_t *end_out)
{
    uint64_t number = space->reuse_regions;

    *end_out = known;
    while (number > 0 && number * space->g.region_pages > known) {
        struct kvi_map_entry entry;
        const uint8_t *bits;
        unsigned level;
        uint32_t end;
        int rc;

        number--;
        if (kvi_space_table_find(&space->table, number))
            continue;
        rc = kvi_map_entry_at(&space->g, &space->io, &space->base, number, 0, &entry, &level);
        if (rc)
            return rc;
        if (entry.ref.pgno == 0) {
            number -= number % kvi_map_span(&space->g, level); /* the group is wholly free */
            continue;
        }
        rc = kvi_map_bits(&space->io, entry.ref, &bits);
        if (rc)
            return rc;
        end = kvi_bits_end(bits, space->g.region_pages);
        if (end) {
            *end_out = number * space->g.region_pages + end;
            return 0;
        }
    }
    return 0;
}

int kvi_space_find_end(struct kvi_space *space, uint64_t *page_end_out)
{
    uint64_t known = end_of_touched(space);

    if (known <= space->g.meta_pgno_1)
        known = space->g.meta_pgno_1 + 1;
    return end_of_untouched(space, known, page_end_out);
}

/* ---- Images ---- */

static void add_page(struct kvi_space *space, uint64_t pgno, uint8_t *image)
{
    space->pages[space->page_count].pgno = pgno;
    space->pages[space->page_count++].image = image;
    space->map_added++;
}

static int make_room(struct kvi_space *space)
{
    size_t count = 1;

    for (const struct kvi_space_region *r = space->changed_first; r; r = r->changed_next)
        count += r->pgno_new != 0;
    for (const struct kvi_space_node *n = space->nodes; n; n = n->next)
        count += n->pgno_new != 0;
    free(space->pages);
    space->page_count = 0;
    space->pages = (struct kvi_space_page *)calloc(count, sizeof(*space->pages));
    return space->pages ? 0 : ENOMEM;
}

/* The bitmap page of a changed region, and its entry; zero if nothing is claimed. */
static void build_region(struct kvi_space *space, struct kvi_space_region *region)
{
    const struct kvi_geometry *g = &space->g;
    const uint8_t *bits = kvi_region_bits(region);

    memset(&region->entry, 0, sizeof(region->entry));
    if (!region->pgno_new)
        return;
    kvi_header_init(region->image, KVI_PAGE_BITMAP, 0, region->pgno_new, space->txnid);
    region->entry.ref.pgno = region->pgno_new;
    region->entry.ref.tag = kvi_page_seal(g, region->image);
    region->entry.free_pages = g->region_pages - kvi_bits_count(bits, g->region_pages);
    region->entry.free_run = kvi_bits_longest_clear(bits, g->region_pages);
    add_page(space, region->pgno_new, region->image);
}

static uint32_t add_saturated(uint32_t sum, uint64_t more)
{
    return more >= KVI_MAP_COUNT_MAX - sum ? KVI_MAP_COUNT_MAX : sum + (uint32_t)more;
}

/* Free pages and longest run of an index page: absent and zero entries are wholly free. */
static uint32_t sum_entries(const struct kvi_space *space, struct kvi_space_node *node)
{
    uint64_t span = kvi_map_span(&space->g, node->level - 1);
    uint64_t all = span > KVI_MAP_COUNT_MAX ? span : span * space->g.region_pages;
    uint32_t used = 0;

    for (uint32_t i = 0; i < space->g.map_fanout; i++) {
        struct kvi_map_entry entry =
            kvi_map_entry_load(node->image + KVI_HEADER_BYTES + (uint64_t)i * KVI_MAP_ENTRY_BYTES);
        bool free = entry.ref.pgno == 0;
        uint32_t run = free ? space->g.region_pages : entry.free_run;

        used = free ? used : i + 1;
        node->entry.free_pages =
            add_saturated(node->entry.free_pages, free ? all : entry.free_pages);
        if (run > node->entry.free_run)
            node->entry.free_run = run;
    }
    return used;
}

static void build_node(struct kvi_space *space, struct kvi_space_node *node)
{
    uint32_t used;

    memset(&node->entry, 0, sizeof(node->entry));
    if (node->pgno_new) {
        used = sum_entries(space, node);
        kvi_header_init(node->image, KVI_PAGE_INDEX, node->level, node->pgno_new, space->txnid);
        kvi_le_store16(node->image + KVI_HEADER_COUNT, (uint16_t)used);
        node->entry.ref.pgno = node->pgno_new;
        node->entry.ref.tag = kvi_page_seal(&space->g, node->image);
        add_page(space, node->pgno_new, node->image);
    }
    if (node->level < space->levels)
        kvi_space_node_set_child(space, node->level, node->index, &node->entry);
}

/* ---- The snapshot page ---- */

/* What of the base's map is not changed and stands inline in the new one. */
static int keep_inline(struct kvi_space *space, uint8_t *entries)
{
    uint64_t span = kvi_map_span(&space->g, space->levels);

    if (space->levels > space->base.map_levels)
        return 0;
    if (space->levels == space->base.map_levels) {
        memcpy(entries, space->base.page + KVI_SNAP_ENTRIES,
               (size_t)space->base.map_count * KVI_MAP_ENTRY_BYTES);
        return 0;
    }
    for (uint64_t i = 0; i < space->g.map_inline; i++) {
        struct kvi_map_entry entry;
        unsigned level;
        int rc = kvi_map_entry_at(&space->g, &space->io, &space->base, i * span, space->levels,
                                  &entry, &level);

        if (rc)
            return rc;
        kvi_map_entry_store(entries + i * KVI_MAP_ENTRY_BYTES, &entry);
    }
    return 0;
}

/* A changed entry that stands inline. One past the last that fits is zero: the levels suffice. */
static void set_inline(const struct kvi_space *space, uint8_t *entries, uint64_t index,
                       const struct kvi_map_entry *entry)
{
    assert(index < space->g.map_inline || entry->ref.pgno == 0);
    if (index < space->g.map_inline)
        kvi_map_entry_store(entries + index * KVI_MAP_ENTRY_BYTES, entry);
}

static int build_inline(struct kvi_space *space, uint8_t *entries, uint32_t *count_out)
{
    int rc = keep_inline(space, entries);

    if (rc)
        return rc;
    if (space->levels == 0)
        for (struct kvi_space_region *r = space->changed_first; r; r = r->changed_next)
            set_inline(space, entries, r->number, &r->entry);
    for (struct kvi_space_node *n = space->nodes; n; n = n->next)
        if (n->level == space->levels)
            set_inline(space, entries, n->index, &n->entry);
    *count_out = space->g.map_inline;
    while (*count_out && !kvi_le_load48(entries + (*count_out - 1) * KVI_MAP_ENTRY_BYTES))
        --*count_out;
    return 0;
}

/* Totals of the base are input: they may be too small for what was taken off them. */
static int build_totals(struct kvi_space *space, struct kvi_snap *snap)
{
    if (space->base_used + space->allocated < space->retired ||
        space->base_map + space->map_added < space->map_retired)
        return kvi_corrupt(space->io.path, space->base_pgno,
                           "snapshot page: fewer pages in use than were freed");
    snap->pages_used = space->base_used + space->allocated - space->retired;
    snap->pages_map = space->base_map + space->map_added - space->map_retired;
    return kvi_space_find_end(space, &snap->page_end);
}

static int by_pgno(const void *a, const void *b)
{
    const struct kvi_space_page *left = (const struct kvi_space_page *)a;
    const struct kvi_space_page *right = (const struct kvi_space_page *)b;

    return (left->pgno > right->pgno) - (left->pgno < right->pgno);
}

int kvi_space_build(struct kvi_space *space, struct kvi_snap *snap, uint8_t *snap_page)
{
    int rc = make_room(space);

    if (rc)
        return rc;
    for (struct kvi_space_region *r = space->changed_first; r; r = r->changed_next) {
        build_region(space, r);
        if (space->levels)
            kvi_space_node_set_child(space, 0, r->number, &r->entry);
    }
    for (unsigned level = 1; level <= space->levels; level++)
        for (struct kvi_space_node *n = space->nodes; n; n = n->next)
            if (n->level == level)
                build_node(space, n);
    qsort(space->pages, space->page_count, sizeof(*space->pages), by_pgno);
    rc = build_inline(space, snap_page + KVI_SNAP_ENTRIES, &snap->map_count);
    if (rc)
        return rc;
    snap->map_levels = (uint8_t)space->levels;
    return build_totals(space, snap);
}
