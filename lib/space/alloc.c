/* SPDX-License-Identifier: MIT */
/*
 * Owns handing out pages: those that this txn released, then reusable ones of the regions that seek.c names, in
 * file order, then new ones at the end of the file.
 *
 * Each region keeps how far its words have been searched, so that a txn passes every word once for single
 * pages, and once for runs of ascending size. A page that is released becomes available behind that point;
 * it is found through the stack of released pages instead.
 */
#include <assert.h>

#include "base/error.h"
#include "kv.h"
#include "space/bits.h"
#include "space/space_private.h"

/* Released runs looked at for a run: a txn that replaces one large value over and over finds the last. */
#define RELEASED_LOOKS 4u

/* ---- Inside a region ---- */

/* The available pages of a word that lie in [from, end). */
static uint64_t word_between(const struct kvi_space_region *region, uint32_t word, uint32_t from,
                             uint32_t end)
{
    uint32_t first = word * 64;
    uint32_t low = from > first ? from - first : 0;
    uint32_t high = end - first < 64 ? end - first : 64;

    return kvi_space_available(region, word) & kvi_bits_mask(low, high);
}

/* The first run of `count` available pages in [from, end). */
static bool find_run(const struct kvi_space_region *region, uint32_t from, uint32_t end,
                     uint32_t count, uint32_t *index_out)
{
    uint32_t open = 0; /* available pages that reach up to the word looked at */

    for (uint32_t w = from / 64; w * 64 < end; w++) {
        uint64_t word = word_between(region, w, from, end);
        uint32_t low = word == UINT64_MAX ? 64 : (uint32_t)__builtin_ctzll(~word);
        uint64_t inside;

        if (open + low >= count) {
            *index_out = w * 64 - open;
            return true;
        }
        if (low == 64) {
            open += 64;
            continue;
        }
        inside = count <= 64 ? kvi_bits_runs(word, count) : 0;
        if (inside) {
            *index_out = w * 64 + (uint32_t)__builtin_ctzll(inside);
            return true;
        }
        open = (uint32_t)__builtin_clzll(~word);
    }
    return false;
}

static uint64_t take(struct kvi_space *space, struct kvi_space_region *region, uint32_t index,
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
        uint64_t word = word_between(region, region->scan, 0, end);

        if (word) {
            *pgno_out = take(space, region, region->scan * 64 + (uint32_t)__builtin_ctzll(word), 1);
            return true;
        }
    }
    return false;
}

/* A run below the base's end. Keeps that no run of run_count pages begins below run_at. */
static bool take_run(struct kvi_space *space, struct kvi_space_region *region, uint32_t count,
                     uint64_t *pgno_out)
{
    uint32_t end = kvi_space_reuse_limit(space, region->number);
    uint32_t from = region->run_count && count >= region->run_count ? region->run_at : 0;
    uint32_t index;

    region->run_count = count;
    if (from >= end || !find_run(region, from, end, count, &index)) {
        region->run_at = end;
        region->run_none = count;
        return false;
    }
    region->run_at = index + count;
    *pgno_out = take(space, region, index, count);
    return true;
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
    *pgno_out = take(space, region, index, count);
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

/* Looks into one region that the map promises for a run. *tried_out: it was looked at in vain. */
static int try_run(struct kvi_space *space, uint64_t number, uint32_t count, uint64_t *pgno_out,
                   bool *found_out, bool *tried_out)
{
    struct kvi_space_region *region =
        (struct kvi_space_region *)kvi_space_table_find(&space->table, number);
    bool hopeless = false;
    int rc;

    if (region && region->run_none && count >= region->run_none)
        return 0;
    rc = kvi_space_run_hopeless(space, number, count, &hopeless);
    if (rc || hopeless)
        return rc;
    rc = kvi_space_region(space, number, &region);
    if (!rc)
        rc = kvi_space_region_live(space, region);
    if (rc)
        return rc;
    *found_out = take_run(space, region, count, pgno_out);
    *tried_out = !*found_out;
    if (!*found_out && !region->claimed)
        kvi_space_note_run(space, region);
    return 0;
}

/* Looks for a run in the regions of the seek. */
static int reuse_run_in(struct kvi_space *space, struct kvi_space_seek *seek, uint32_t *tries,
                        uint64_t *pgno_out, bool *found_out)
{
    while (*tries < KVI_REGION_TRIES && !*found_out) {
        uint64_t number = 0;
        uint32_t free_pages;
        bool promising;
        bool tried = false;
        int rc = kvi_space_seek(space, seek, &number, &free_pages, &promising);

        if (rc || !promising)
            return rc;
        rc = try_run(space, number, seek->run_min, pgno_out, found_out, &tried);
        if (rc)
            return rc;
        *tries += tried;
        if (*found_out)
            space->run_region = number;
    }
    return 0;
}

/* Given up half-way: the next txn goes on there. */
static void note_run_end(struct kvi_space *space, bool found, uint32_t count, uint32_t tries,
                         uint64_t at)
{
    if (found) {
        space->run_count = count;
        return;
    }
    space->run_fail = count;
    if (space->hints)
        space->hints->run_resume = tries < KVI_REGION_TRIES ? 0 : at;
}

static int reuse_run(struct kvi_space *space, uint64_t count, uint64_t *pgno_out, bool *found_out)
{
    struct kvi_space_seek seek = {0, space->reuse_regions, (uint32_t)count, (uint32_t)count, 0};
    uint32_t tries = 0;
    uint64_t start;
    int rc;

    if (count > space->g.region_pages || (space->run_fail && count >= space->run_fail))
        return 0;
    start = space->run_count && count >= space->run_count ? space->run_region : space->run_start;
    seek.at = start;
    rc = reuse_run_in(space, &seek, &tries, pgno_out, found_out);
    if (!rc && !*found_out && tries < KVI_REGION_TRIES) {
        seek.at = 0;
        seek.end = start;
        rc = reuse_run_in(space, &seek, &tries, pgno_out, found_out);
    }
    if (!rc)
        note_run_end(space, *found_out, (uint32_t)count, tries, seek.at);
    return rc;
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

/* The first run of available pages from `at` on, inside one region. Above the base's end other snapshots may
 * still hold pages; a region without room there is the last one looked at below all of them. */
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
        if (find_run(*region_out, (uint32_t)(at % pages), pages, count, index_out))
            return 0;
        at = at - at % pages + pages;
        if (at < space->live_end)
            at = space->live_end;
    }
}

/* A run longer than a region: behind everything. */
static int take_long(struct kvi_space *space, uint64_t count, uint64_t *pgno_out)
{
    uint64_t at = space->high > space->live_end ? space->high : space->live_end;
    uint64_t end = count > KVI_PGNO_MAX ? UINT64_MAX : at + count;
    int rc = grow_to(space, end);

    *pgno_out = at;
    while (!rc && at < end) {
        struct kvi_space_region *region;
        uint64_t room = space->g.region_pages - at % space->g.region_pages;
        uint32_t part = (uint32_t)(room < end - at ? room : end - at);

        rc = kvi_space_region(space, at / space->g.region_pages, &region);
        if (!rc)
            kvi_space_claim(space, region, (uint32_t)(at % space->g.region_pages), part);
        at += part;
    }
    return rc;
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
    *pgno_out = take(space, region, index, (uint32_t)count);
    *from = pgno + count;
    return 0;
}

/* ---- The way in ---- */

int kvi_space_alloc_in(struct kvi_space *space, struct kvi_space_region *region, uint64_t *pgno_out,
                       bool *found_out)
{
    int rc;

    *found_out = false;
    if (region->free_pages == 0 || kvi_space_reuse_limit(space, region->number) == 0)
        return 0;
    rc = kvi_space_region_live(space, region);
    if (!rc)
        *found_out = take_single(space, region, pgno_out);
    return rc;
}

int kvi_space_alloc(struct kvi_space *space, uint64_t count, uint64_t *pgno_out)
{
    bool found = false;
    int rc;

    *pgno_out = 0;
    if (count == 0)
        return kvi_error(KV_EINVAL, "no pages asked for");
    rc = count == 1 ? reuse_released_single(space, pgno_out, &found)
                    : reuse_released_run(space, count, pgno_out, &found);
    if (!rc && !found)
        rc = count == 1 ? reuse_single(space, pgno_out, &found)
                        : reuse_run(space, count, pgno_out, &found);
    if (rc || found)
        return rc;
    return take_new(space, count, pgno_out);
}
