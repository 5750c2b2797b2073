/* SPDX-License-Identifier: MIT */
/*
 * Owns the search for runs of reusable pages: bounded, so that a large value costs no more in a
 * file whose free space is a million single pages.
 *
 * Three bounds. Only regions where every live snapshot's entry promises a run of that length are
 * looked into. At most KVI_REGION_TRIES of them may fail for one search, as many more if their
 * promise is a good part of a region, and then this size and all longer ones come from the file's
 * end for the rest of the txn. Each region keeps how far it was searched, for runs of ascending
 * size.
 */
#include "space/bits.h"
#include "space/space_private.h"

bool kvi_space_find_run(const struct kvi_space_region *region, uint32_t from, uint32_t end,
                        uint32_t count, uint32_t *index_out)
{
    uint32_t open = 0; /* available pages that reach up to the word looked at */

    for (uint32_t w = from / 64; w * 64 < end; w++) {
        uint64_t word = kvi_space_available_in(region, w, from, end);
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

/* A run below the base's end. Keeps that no run of run_count pages begins below run_at. */
static bool take_run(struct kvi_space *space, struct kvi_space_region *region, uint32_t count,
                     uint64_t *pgno_out)
{
    uint32_t end = kvi_space_reuse_limit(space, region->number);
    uint32_t from = region->run_count && count >= region->run_count ? region->run_at : 0;
    uint32_t index;

    region->run_count = count;
    if (from >= end || !kvi_space_find_run(region, from, end, count, &index)) {
        region->run_at = end;
        region->run_none = count;
        return false;
    }
    region->run_at = index + count;
    *pgno_out = kvi_space_take(space, region, index, count);
    return true;
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

static bool tried_enough(const struct kvi_space *space, uint32_t tries)
{
    return tries >= KVI_REGION_TRIES && !space->exhaustive;
}

/* Looks for a run in the regions of the seek. */
static int reuse_run_in(struct kvi_space *space, struct kvi_space_seek *seek, uint32_t count,
                        uint32_t *tries, uint64_t *pgno_out, bool *found_out)
{
    while (!tried_enough(space, *tries) && !*found_out) {
        struct kvi_space_promise promise;
        bool promising;
        bool tried = false;
        int rc = kvi_space_seek(space, seek, &promise, &promising);

        if (rc || !promising)
            return rc;
        rc = try_run(space, promise.number, count, pgno_out, found_out, &tried);
        if (rc)
            return rc;
        *tries += tried;
        if (*found_out)
            space->run_region = promise.number;
    }
    return 0;
}

/* The regions from `start` on, then those below. *at_out: where it ended. */
static int reuse_run_from(struct kvi_space *space, uint64_t start, uint32_t run_min, uint32_t count,
                          uint32_t *tries, uint64_t *at_out, uint64_t *pgno_out, bool *found_out)
{
    struct kvi_space_seek seek = {start, space->reuse_regions, run_min, run_min, 0};
    int rc = reuse_run_in(space, &seek, count, tries, pgno_out, found_out);

    if (!rc && !*found_out && !tried_enough(space, *tries)) {
        seek.at = 0;
        seek.end = start;
        rc = reuse_run_in(space, &seek, count, tries, pgno_out, found_out);
    }
    *at_out = seek.at;
    return rc;
}

/* The tries are used up: only regions that promise far more are tried still, and the next txn goes
 * on here. */
static int reuse_run_last(struct kvi_space *space, uint64_t at, uint32_t count, uint64_t *pgno_out,
                          bool *found_out)
{
    uint32_t run_min = space->g.region_pages / KVI_SPACE_EMPTY_DIVISOR;
    uint32_t tries = 0;

    if (space->hints)
        space->hints->run_resume = at;
    return reuse_run_from(space, at, run_min > count ? run_min : count, count, &tries, &at,
                          pgno_out, found_out);
}

int kvi_space_reuse_run(struct kvi_space *space, uint64_t count, uint64_t *pgno_out,
                        bool *found_out)
{
    uint32_t pages = (uint32_t)count;
    uint32_t tries = 0;
    uint64_t at;
    int rc;

    if (space->run_fail && count >= space->run_fail)
        return 0;
    if (count > space->g.region_pages) {
        rc = kvi_space_reuse_long(space, count, pgno_out, found_out);
        if (!rc && !*found_out)
            space->run_fail = count;
        return rc;
    }
    at = space->run_count && count >= space->run_count ? space->run_region : space->run_start;
    rc = reuse_run_from(space, at, pages, pages, &tries, &at, pgno_out, found_out);
    if (!rc && !*found_out && tried_enough(space, tries))
        rc = reuse_run_last(space, at, pages, pgno_out, found_out);
    if (*found_out)
        space->run_count = count;
    else if (!rc)
        space->run_fail = count;
    return rc;
}
