/* SPDX-License-Identifier: MIT */
/*
 * Owns the choice of the region to take pages from, by the entries of the base's map and the hints.
 *
 * Single pages. A txn goes through the file upward three times: to rich regions only, then to those
 * with more than crumbs, then to any that may hold a page. It starts at the beginning, so that the
 * file's tail empties; where the last txn gave up half-way it goes on there, but once in
 * KVI_SPACE_RESTART_TXNS. At most KVI_REGION_TRIES regions may yield crumbs only; as many more are
 * tried if they promise to be largely empty, then the file grows. Rich ones first: else a txn would
 * spend its tries on the few pages that each low region got back since the last, and the file would
 * grow although high regions are half free.
 *
 * The entries of the base and of every other live snapshot bound what is available from above, so a
 * region or a page of the map that promises nothing is not entered.
 */
#include "space/space_private.h"

/* The passes, each in two parts: from the start on, and below it. The last one is only for a search
 * that has used up its tries. */
#define SEEK_CRUMBS 2u
#define SEEK_ANY 4u
#define SEEK_LAST 6u
#define SEEK_DRY 8u

/* Where a region's entry stops being about the file: free pages at or above page_end are not reuse.
 */
static uint32_t pages_to_reuse(const struct kvi_space *space, uint64_t number, uint32_t free_pages)
{
    uint32_t above = space->g.region_pages - kvi_space_reuse_limit(space, number);

    return free_pages > above ? free_pages - above : 0;
}

static bool keeps(const struct kvi_space_seek *seek, const struct kvi_space_promise *promise)
{
    return promise->pages >= seek->free_min && promise->run >= seek->run_min;
}

/* What the base's map promises for the region at seek->at. If that is not enough, the answer is the
 * same for *span_out regions from the start of its group on. */
static int ask_base(struct kvi_space *space, struct kvi_space_seek *seek,
                    struct kvi_space_promise *promise, uint64_t *span_out)
{
    unsigned level = space->base.map_levels;

    promise->number = seek->at;
    for (;; level--) {
        struct kvi_map_entry entry;
        unsigned stopped;
        int rc = kvi_map_entry_at(&space->g, &space->io, &space->base, seek->at, level, &entry,
                                  &stopped);

        if (rc)
            return rc;
        seek->looks++;
        if (entry.ref.pgno == 0) { /* the region is wholly free */
            entry.free_pages = entry.free_run = space->g.region_pages;
            level = 0;
        }
        *span_out = level ? kvi_map_span(&space->g, level) : 1;
        promise->base_free = entry.free_pages;
        promise->pages =
            level ? entry.free_pages : pages_to_reuse(space, seek->at, entry.free_pages);
        promise->run = entry.free_run;
        if (!keeps(seek, promise) || level == 0)
            return 0;
    }
}

/* No more can be available than the live snapshot with the fewest free pages has free. */
static int ask_live(struct kvi_space *space, struct kvi_space_seek *seek,
                    struct kvi_space_promise *promise)
{
    for (size_t i = 1; i < space->live_count && keeps(seek, promise); i++) {
        struct kvi_map_entry entry;
        int rc = kvi_map_lookup(&space->g, &space->io, &space->live[i], promise->number, &entry);

        if (rc)
            return rc;
        seek->looks++;
        if (entry.ref.pgno == 0)
            continue;
        if (entry.free_pages < promise->pages)
            promise->pages = entry.free_pages;
        if (entry.free_run < promise->run)
            promise->run = entry.free_run;
    }
    return 0;
}

int kvi_space_seek(struct kvi_space *space, struct kvi_space_seek *seek,
                   struct kvi_space_promise *promise_out, bool *found_out)
{
    *found_out = false;
    while (seek->at < seek->end && (seek->looks < KVI_SPACE_LOOKS || space->exhaustive)) {
        uint64_t span = 1;
        int rc = ask_base(space, seek, promise_out, &span);

        if (!rc && keeps(seek, promise_out))
            rc = ask_live(space, seek, promise_out);
        if (rc)
            return rc;
        *found_out = keeps(seek, promise_out);
        if (span == 1)
            seek->at++;
        else
            seek->at = span < seek->end ? seek->at - seek->at % span + span : seek->end;
        if (*found_out)
            return 0;
    }
    return 0;
}

/* ---- Single pages ---- */

/* Pages that a region must promise in a pass. */
static uint32_t pages_wanted(const struct kvi_space *space, unsigned stage)
{
    uint32_t rich = space->g.region_pages / KVI_SPACE_RICH_DIVISOR;

    if (stage < SEEK_CRUMBS)
        return rich;
    if (stage < SEEK_ANY)
        return rich < KVI_SPACE_CRUMBS ? rich : KVI_SPACE_CRUMBS;
    if (stage < SEEK_LAST)
        return 1;
    return space->g.region_pages / KVI_SPACE_EMPTY_DIVISOR;
}

static void enter_stage(struct kvi_space *space, unsigned stage)
{
    bool below = stage % 2 != 0;

    space->single_stage = stage;
    space->single.at = below ? 0 : space->single_start;
    space->single.end = below ? space->single_start : space->reuse_regions;
    space->single.free_min = pages_wanted(space, stage);
    space->single.run_min = 0;
}

/* Takes back where the last txn gave up. */
static uint64_t start_at(const struct kvi_space *space, uint64_t *resume)
{
    uint64_t start = *resume;

    *resume = 0;
    if (space->hints->txns % KVI_SPACE_RESTART_TXNS == 0 || start >= space->reuse_regions)
        return 0;
    return start;
}

void kvi_space_seek_init(struct kvi_space *space)
{
    if (space->hints) {
        space->single_start = start_at(space, &space->hints->resume);
        space->run_start = start_at(space, &space->hints->run_resume);
    }
    enter_stage(space, 0);
}

void kvi_space_seek_all(struct kvi_space *space)
{
    space->current = NULL;
    space->single_start = 0;
    space->run_start = 0;
    enter_stage(space, SEEK_ANY);
}

/* Whether a region that the maps promise is worth being loaded. */
static int worth_it(struct kvi_space *space, const struct kvi_space_promise *promise,
                    bool *worth_out)
{
    const struct kvi_space_region *region =
        (const struct kvi_space_region *)kvi_space_table_find(&space->table, promise->number);
    uint32_t pages;
    bool empty;
    int rc;

    *worth_out = false;
    if (region && region->drained)
        return 0;
    rc = kvi_space_expect(space, promise->number, promise->base_free, &pages, &empty);
    if (rc || empty)
        return rc;
    *worth_out = pages >= space->single.free_min ||
                 (space->single_stage >= SEEK_ANY && space->single_stage < SEEK_LAST);
    return 0;
}

/* The stage is through, or the tries are: what comes next. A search that gives up half-way leaves
 * word where the next txn shall go on. */
static void leave_stage(struct kvi_space *space)
{
    bool tried_enough = space->tries >= KVI_REGION_TRIES && !space->exhaustive;
    bool gave_up = tried_enough || (space->single.looks >= KVI_SPACE_LOOKS && !space->exhaustive);

    if (gave_up && space->hints)
        space->hints->resume = space->single.at;
    if (tried_enough && space->single_stage < SEEK_LAST) {
        space->tries = 0;
        enter_stage(space, SEEK_LAST);
    } else if (gave_up || space->single_stage + 1 == SEEK_LAST ||
               space->single_stage + 1 == SEEK_DRY) {
        space->single_stage = SEEK_DRY;
    } else {
        enter_stage(space, space->single_stage + 1);
    }
}

static int enter_region(struct kvi_space *space, uint64_t number,
                        struct kvi_space_region **region_out)
{
    int rc = kvi_space_region(space, number, region_out);

    return rc ? rc : kvi_space_region_live(space, *region_out);
}

int kvi_space_next_single(struct kvi_space *space, struct kvi_space_region **region_out)
{
    *region_out = NULL;
    while (space->single_stage < SEEK_DRY) {
        struct kvi_space_promise promise;
        bool found = false;
        bool worth = false;
        int rc = 0;

        if (space->tries < KVI_REGION_TRIES || space->exhaustive)
            rc = kvi_space_seek(space, &space->single, &promise, &found);
        if (!rc && found)
            rc = worth_it(space, &promise, &worth);
        if (rc)
            return rc;
        if (worth)
            return enter_region(space, promise.number, region_out);
        if (!found)
            leave_stage(space);
    }
    return 0;
}

void kvi_space_leave_single(struct kvi_space *space)
{
    struct kvi_space_region *region = space->current;
    bool crumbs = region->taken < pages_wanted(space, SEEK_CRUMBS);

    region->drained = true;
    space->tries += crumbs;
    kvi_space_note_drained(space, region, crumbs);
    space->current = NULL;
}
