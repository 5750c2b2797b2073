/* SPDX-License-Identifier: MIT */
/*
 * Owns handing out pages: those that this txn released, then reusable ones of the regions that
 * seek.c names, in file order, then new ones at the end of the file.
 *
 * Each region keeps how far its words have been searched, so that a txn passes every word once for
 * single pages, and once for runs of ascending size. A page that is released becomes available
 * behind that point; it is found through the stack of released pages instead.
 */
#include <assert.h>

#include "base/error.h"
#include "kv.h"
#include "space/bits.h"
#include "space/space_private.h"

/* Released runs looked at for a run: a txn that replaces one large value over and over finds the
 * last. */
#define RELEASED_LOOKS 4u

/* ---- Inside a region ---- */

uint64_t kvi_space_take(struct kvi_space *space, struct kvi_space_region *region, uint32_t index,
                        uint32_t count)
{
    kvi_space_claim(space, region, index, count);
    return region->number * space->g.region_pages + index;
}

/* The lowest available page below the base's end. */
static bool take_single(struct kvi_space *space, struct kvi_space_region *region,
                        uint64_t *pgno_out)
{
    uint32_t end = kvi_space_reuse_limit(space, region->number);

    for (; region->scan * 64 < end; region->scan++) {
        uint64_t word = kvi_space_available_in(region, region->scan, 0, end);

        if (word) {
            *pgno_out = kvi_space_take(space, region,
                                       region->scan * 64 + (uint32_t)__builtin_ctzll(word), 1);
            return true;
        }
    }
    return false;
}

/* ---- Released pages ---- */

/* Whether the first `count` pages of the entry are free; a search may have taken them meanwhile. */
static int take_from_entry(struct kvi_space *space, struct kvi_space_released *entry,
                           uint32_t count, uint64_t *pgno_out, bool *found_out)
{
    struct kvi_space_region *region;
    uint32_t index = (uint32_t)(entry->pgno % space->g.region_pages);
    int rc = kvi_space_region(space, entry->pgno / space->g.region_pages, &region);

    if (rc || kvi_bits_any_set(kvi_region_bits(region), index, count))
        return rc;
    *pgno_out = kvi_space_take(space, region, index, count);
    *found_out = true;
    return 0;
}

static void shorten_entry(struct kvi_space_released *entry, uint64_t count)
{
    entry->pgno += count;
    entry->count -= count;
}

static int reuse_released_single(struct kvi_space *space, uint64_t *pgno_out, bool *found_out)
{
    int rc = 0;

    while (!rc && !*found_out && space->released_count) {
        struct kvi_space_released *entry = &space->released[space->released_count - 1];

        if (entry->count == 0) {
            space->released_count--;
            continue;
        }
        rc = take_from_entry(space, entry, 1, pgno_out, found_out);
        shorten_entry(entry, 1);
    }
    return rc;
}

static int reuse_released_run(struct kvi_space *space, uint64_t count, uint64_t *pgno_out,
                              bool *found_out)
{
    int rc = 0;

    for (size_t i = 1; i <= RELEASED_LOOKS && i <= space->released_count && !rc; i++) {
        struct kvi_space_released *entry = &space->released[space->released_count - i];

        if (entry->count < count ||
            entry->pgno % space->g.region_pages + count > space->g.region_pages)
            continue;
        rc = take_from_entry(space, entry, (uint32_t)count, pgno_out, found_out);
        if (*found_out) {
            shorten_entry(entry, count);
            break;
        }
    }
    return rc;
}

/* ---- Reuse ---- */

static int reuse_single(struct kvi_space *space, uint64_t *pgno_out, bool *found_out)
{
    for (;;) {
        int rc;

        if (!space->current) {
            rc = kvi_space_next_single(space, &space->current);
            if (rc || !space->current)
                return rc;
        }
        if (take_single(space, space->current, pgno_out)) {
            space->current->taken++;
            *found_out = true;
            return 0;
        }
        kvi_space_leave_single(space);
    }
}

/* ---- Growth ---- */

static int grow_to(struct kvi_space *space, uint64_t end)
{
    int rc;

    if (end > KVI_PGNO_MAX)
        return kvi_error(KV_ESIZELIMIT, "%s: more pages than page numbers",
                         space->io.path ? space->io.path : "");
    if (end <= space->file_end)
        return 0;
    rc = space->io.grow(space->io.context, end);
    if (!rc)
        space->file_end = end;
    return rc;
}

/* The first run of available pages from `at` on, inside one region. Above the base's end other
 * snapshots may still hold pages; a region without room there is the last one looked at below all
 * of them. */
static int find_new(struct kvi_space *space, uint64_t at, uint32_t count,
                    struct kvi_space_region **region_out, uint32_t *index_out)
{
    uint32_t pages = space->g.region_pages;

    for (;;) {
        int rc;

        if (at > KVI_PGNO_MAX)
            return grow_to(space, at);
        rc = kvi_space_region(space, at / pages, region_out);
        if (!rc)
            rc = kvi_space_region_live(space, *region_out);
        if (rc)
            return rc;
        if (kvi_space_find_run(*region_out, (uint32_t)(at % pages), pages, count, index_out))
            return 0;
        at = at - at % pages + pages;
        if (at < space->live_end)
            at = space->live_end;
    }
}

/* The page behind the last new one, if it is the next to take: no search, which is what most pages
 * of a txn that adds to the file need. */
static int take_next(struct kvi_space *space, uint64_t *pgno_out, bool *found_out)
{
    struct kvi_space_region *region = space->grow_region;
    uint64_t pgno = space->grow_at;
    uint64_t index;
    int rc;

    if (!region)
        return 0;
    assert(pgno >= region->number * space->g.region_pages);
    index = pgno - region->number * space->g.region_pages;
    if (index >= space->g.region_pages ||
        !(kvi_space_available(region, (uint32_t)index / 64) >> index % 64 & 1))
        return 0;
    rc = grow_to(space, pgno + 1);
    if (rc)
        return rc;
    *pgno_out = kvi_space_take(space, region, (uint32_t)index, 1);
    space->grow_at = pgno + 1;
    *found_out = true;
    return 0;
}

/* A run longer than a region: behind everything. */
static int take_long(struct kvi_space *space, uint64_t count, uint64_t *pgno_out)
{
    uint64_t at = space->high > space->live_end ? space->high : space->live_end;
    uint64_t end = count > KVI_PGNO_MAX ? UINT64_MAX : at + count;
    int rc = grow_to(space, end);

    *pgno_out = at;
    return rc ? rc : kvi_space_claim_long(space, at, count);
}

static int take_new(struct kvi_space *space, uint64_t count, uint64_t *pgno_out)
{
    uint64_t *from = count == 1 ? &space->grow_at : &space->run_grow_at;
    struct kvi_space_region *region;
    uint32_t index;
    uint64_t pgno;
    int rc;

    if (count > space->g.region_pages)
        return take_long(space, count, pgno_out);
    rc = find_new(space, *from, (uint32_t)count, &region, &index);
    if (rc)
        return rc;
    pgno = region->number * space->g.region_pages + index;
    rc = grow_to(space, pgno + count);
    if (rc)
        return rc;
    *pgno_out = kvi_space_take(space, region, index, (uint32_t)count);
    *from = pgno + count;
    if (count == 1)
        space->grow_region = region;
    return 0;
}

/* ---- The way in ---- */

int kvi_space_alloc_in(struct kvi_space *space, struct kvi_space_region *region, uint64_t *pgno_out,
                       bool *found_out)
{
    int rc;

    *found_out = false;
    /* What the base has in use is not available; that spares full regions the search. */
    if (region->base.free_pages == 0 || region->drained ||
        kvi_space_reuse_limit(space, region->number) == 0)
        return 0;
    rc = kvi_space_region_live(space, region);
    if (!rc)
        *found_out = take_single(space, region, pgno_out);
    return rc;
}

static int alloc_once(struct kvi_space *space, uint64_t count, uint64_t *pgno_out)
{
    bool found = false;
    int rc;

    rc = count == 1 ? reuse_released_single(space, pgno_out, &found)
                    : reuse_released_run(space, count, pgno_out, &found);
    if (!rc && !found)
        rc = count == 1 ? reuse_single(space, pgno_out, &found)
                        : kvi_space_reuse_run(space, count, pgno_out, &found);
    if (!rc && !found && count == 1)
        rc = take_next(space, pgno_out, &found);
    if (rc || found)
        return rc;
    return take_new(space, count, pgno_out);
}

int kvi_space_alloc(struct kvi_space *space, uint64_t count, uint64_t *pgno_out)
{
    int rc;

    *pgno_out = 0;
    if (count == 0)
        return kvi_error(KV_EINVAL, "no pages asked for");
    rc = alloc_once(space, count, pgno_out);
    if (rc == KV_ESIZELIMIT && kvi_space_relieved(space))
        rc = alloc_once(space, count, pgno_out);
    return rc;
}
