/* SPDX-License-Identifier: MIT */
/*
 * Owns the life of a write txn's space map: open, commit, close; the first map of a new database;
 * and the ranges that nobody claims. The rest is in the files that space_private.h lists.
 */
#include "space/space.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "space/bits.h"
#include "space/space_private.h"

/* ---- Open and close ---- */

static bool same_snapshot(const struct kvi_space_snapshot *a, const struct kvi_space_snapshot *b)
{
    return a->page == b->page || (kvi_header_pgno(a->page) == kvi_header_pgno(b->page) &&
                                  kvi_header_checksum(a->page) == kvi_header_checksum(b->page));
}

static void add_live(struct kvi_space *space, const struct kvi_space_snapshot *snapshot)
{
    for (size_t i = 0; i < space->live_count; i++)
        if (same_snapshot(&space->live[i], snapshot))
            return;
    space->live[space->live_count++] = *snapshot;
    if (snapshot->page_end > space->live_end)
        space->live_end = snapshot->page_end;
}

static int copy_live(struct kvi_space *space, const struct kvi_space_snapshot *live, size_t count)
{
    space->live = (struct kvi_space_snapshot *)calloc(count + 1, sizeof(*space->live));
    space->refs = (struct kvi_ref *)calloc(count + 1, sizeof(*space->refs));
    if (!space->live || !space->refs)
        return ENOMEM;
    add_live(space, &space->base);
    for (size_t i = 0; i < count; i++)
        add_live(space, &live[i]);
    return 0;
}

int kvi_space_open(const struct kvi_geometry *g, const struct kvi_space_io *io,
                   const struct kvi_snap *base, const uint8_t *base_page,
                   const struct kvi_space_snapshot *live, size_t live_count,
                   struct kvi_space_hints *hints, uint64_t txnid, struct kvi_space **space_out)
{
    struct kvi_space *space = (struct kvi_space *)calloc(1, sizeof(*space));
    int rc;

    *space_out = NULL;
    if (!space)
        return ENOMEM;
    space->g = *g;
    space->io = *io;
    space->txnid = txnid;
    space->hints = hints;
    space->base.page = base_page;
    space->base.page_end = base->page_end;
    space->base.map_count = base->map_count;
    space->base.map_levels = base->map_levels;
    space->base_pgno = base->pgno;
    space->base_used = base->pages_used;
    space->base_map = base->pages_map;
    space->reuse_regions = kvi_map_regions(g, base->page_end);
    space->grow_at = space->run_grow_at = base->page_end;
    rc = copy_live(space, live, live_count);
    if (rc) {
        kvi_space_close(space);
        return rc;
    }
    space->file_end = space->live_end;
    kvi_space_hints_begin(space);
    kvi_space_seek_init(space);
    *space_out = space;
    return 0;
}

/* ---- A full file ---- */

void kvi_space_on_full(struct kvi_space *space, kvi_space_relieve_fn *fn)
{
    space->relieve = fn;
}

/* Only such as were live before: pages of others were never kept from this txn. The base stays. */
void kvi_space_keep(struct kvi_space *space, const struct kvi_space_snapshot *live, size_t count)
{
    size_t before = space->live_count;

    space->live_count = 0;
    space->live_end = 0;
    for (size_t i = 0; i < before; i++) {
        struct kvi_space_snapshot old = space->live[i];
        bool keep = i == 0;

        for (size_t k = 0; k < count && !keep; k++)
            keep = same_snapshot(&old, &live[k]);
        if (keep)
            add_live(space, &old);
    }
}

/* What was known of a region by the old live set. */
static void forget_searches(struct kvi_space_region *region)
{
    region->live_loaded = false;
    region->drained = false;
    region->scan = 0;
    region->run_at = 0;
    region->run_count = 0;
    region->run_none = 0;
}

bool kvi_space_relieved(struct kvi_space *space)
{
    size_t before = space->live_count;

    if (!space->relieve || space->relieve(space->io.context, space))
        return false;
    if (space->exhaustive && space->live_count == before)
        return false;
    for (size_t i = 0; i < space->region_count; i++)
        forget_searches(space->regions[i]);
    space->exhaustive = true;
    space->grow_at = space->run_grow_at = space->base.page_end;
    space->grow_region = NULL;
    space->run_fail = 0;
    space->run_count = 0;
    kvi_space_seek_all(space);
    return true;
}

/* ---- Close ---- */

void kvi_space_close(struct kvi_space *space)
{
    if (!space)
        return;
    for (size_t i = 0; i < space->region_count; i++)
        kvi_space_region_free(space->regions[i]);
    while (space->nodes) {
        struct kvi_space_node *next = space->nodes->next;

        free(space->nodes);
        space->nodes = next;
    }
    free(space->table.slots);
    free((void *)space->regions);
    free(space->released);
    free(space->pages);
    free(space->refs);
    free(space->live);
    free(space);
}

uint64_t kvi_space_allocated(const struct kvi_space *space)
{
    return space->allocated;
}

uint64_t kvi_space_retired(const struct kvi_space *space)
{
    return space->retired;
}

/* ---- Commit ---- */

int kvi_space_commit(struct kvi_space *space, struct kvi_snap *snap, uint8_t *snap_page)
{
    int rc;

    assert(!space->settling);
    rc = kvi_space_retire(space, space->base_pgno, 1);
    if (!rc)
        rc = kvi_space_alloc(space, 1, &snap->pgno);
    if (!rc)
        rc = kvi_space_settle(space);
    if (!rc)
        rc = kvi_space_build(space, snap, snap_page);
    return rc;
}

const struct kvi_space_page *kvi_space_pages(const struct kvi_space *space, size_t *count_out)
{
    *count_out = space->page_count;
    return space->pages;
}

/* ---- A new database ---- */

/* The lowest page above `pgno` that is no meta page. */
static uint64_t next_plain_page(const struct kvi_geometry *g, uint64_t pgno)
{
    return pgno + 1 == g->meta_pgno_1 ? pgno + 2 : pgno + 1;
}

void kvi_space_create(const struct kvi_geometry *g, uint64_t txnid, struct kvi_snap *snap,
                      uint8_t *snap_page, struct kvi_space_page *bitmap)
{
    uint8_t *bits = bitmap->image + KVI_HEADER_BYTES;
    struct kvi_map_entry entry;
    uint64_t last;

    bitmap->pgno = next_plain_page(g, 0);
    snap->pgno = next_plain_page(g, bitmap->pgno);
    last = snap->pgno > g->meta_pgno_1 ? snap->pgno : g->meta_pgno_1;
    memset(bitmap->image, 0, g->page_size);
    kvi_header_init(bitmap->image, KVI_PAGE_BITMAP, 0, bitmap->pgno, txnid);
    kvi_bits_set(bits, 0, 1);
    kvi_bits_set(bits, (uint32_t)g->meta_pgno_1, 1);
    kvi_bits_set(bits, (uint32_t)bitmap->pgno, 1);
    kvi_bits_set(bits, (uint32_t)snap->pgno, 1);
    entry.ref.pgno = bitmap->pgno;
    entry.ref.tag = kvi_page_seal(g, bitmap->image);
    entry.free_pages = g->region_pages - 4;
    entry.free_run = kvi_bits_longest_clear(bits, g->region_pages);
    kvi_map_entry_store(snap_page + KVI_SNAP_ENTRIES, &entry);
    snap->page_end = last + 1;
    snap->pages_used = 4;
    snap->pages_map = 1;
    snap->map_count = 1;
    snap->map_levels = 0;
}

/* ---- Ranges that nobody claims ---- */

struct ranges {
    uint64_t min_pages;
    kvi_space_range_fn *fn;
    void *context;
    uint64_t first, count; /* the range that is open; count 0: none */
};

static int end_range(struct ranges *ranges)
{
    uint64_t count = ranges->count;

    ranges->count = 0;
    return count && count >= ranges->min_pages ? ranges->fn(ranges->context, ranges->first, count)
                                               : 0;
}

/* Adds pages that are free (or ends the range, if they are not). Calls come in ascending order. */
static int add_pages(struct ranges *ranges, uint64_t pgno, uint32_t count, bool is_free)
{
    if (!is_free)
        return end_range(ranges);
    if (ranges->count == 0)
        ranges->first = pgno;
    ranges->count += count;
    return 0;
}

/* A word of availability, from bit to changing bit. */
static int add_word(struct ranges *ranges, uint64_t pgno, uint64_t word, uint32_t bits)
{
    uint32_t at = 0;
    int rc = 0;

    while (at < bits && !rc) {
        bool is_free = word >> at & 1;
        uint64_t rest = (is_free ? ~word : word) >> at;
        uint32_t same = rest ? (uint32_t)__builtin_ctzll(rest) : 64 - at;

        if (same > bits - at)
            same = bits - at;
        rc = add_pages(ranges, pgno + at, same, is_free);
        at += same;
    }
    return rc;
}

static int region_ranges(struct kvi_space *space, struct kvi_space_region *region,
                         struct ranges *ranges)
{
    uint64_t first = region->number * space->g.region_pages;
    int rc = kvi_space_region_live(space, region);

    for (uint32_t w = 0; w < space->g.region_pages / 64 && !rc; w++) {
        uint64_t pgno = first + (uint64_t)w * 64;
        uint32_t bits = 64;

        if (pgno >= space->live_end)
            break;
        if (space->live_end - pgno < 64)
            bits = (uint32_t)(space->live_end - pgno);
        rc = add_word(ranges, pgno, kvi_space_available(region, w), bits);
    }
    return rc;
}

int kvi_space_free_ranges(struct kvi_space *space, uint64_t min_pages, kvi_space_range_fn *fn,
                          void *context)
{
    struct ranges ranges = {min_pages, fn, context, 0, 0};
    uint64_t regions = kvi_map_regions(&space->g, space->live_end);
    int rc = 0;

    for (uint64_t number = 0; number < regions && !rc; number++) {
        struct kvi_space_region *touched =
            (struct kvi_space_region *)kvi_space_table_find(&space->table, number);
        struct kvi_space_region *region = touched;

        if (!touched)
            rc = kvi_space_region_new(space, number, &region);
        if (!rc)
            rc = region_ranges(space, region, &ranges);
        if (!touched)
            kvi_space_region_free(region);
    }
    return rc ? rc : end_range(&ranges);
}
