/* SPDX-License-Identifier: MIT */
/*
 * Owns the search for reusable runs that are longer than a region: the free end of a region,
 * regions that are wholly free, the free beginning of one.
 *
 *     region 4          region 5          region 6
 *     ####....########|.................|...........#####   '#' claimed by a live snapshot
 *                 [--------- run ------------------)
 *
 * What the maps promise is looked at for every region of the file, which costs little beside the
 * writing of such a value; bitmaps are read only where the promises add up, and at most
 * KVI_REGION_TRIES times in vain. One thread at a time: the writer's.
 */
#include "space/bits.h"
#include "space/space_private.h"

/* The longest run that the region may hold, as far as the maps tell. */
static int promised_run(struct kvi_space *space, uint64_t number, uint32_t *pages_out)
{
    struct kvi_space_seek seek = {number, number + 1, 1, 1, 0};
    struct kvi_space_promise promise;
    bool found;
    int rc = kvi_space_seek(space, &seek, &promise, &found);

    *pages_out = !rc && found ? promise.run : 0;
    return rc;
}

/* Whether the promises from `first` on reach `count` pages. *end_out: where they end; no run that
 * begins before that region and after `first` is longer. */
static int promises_reach(struct kvi_space *space, uint64_t first, uint64_t count,
                          uint64_t *end_out, bool *reach_out)
{
    uint64_t number = first;
    uint64_t sum = 0;
    uint32_t pages;
    int rc;

    do {
        rc = promised_run(space, number, &pages);
        sum += pages;
        number++;
    } while (!rc && sum < count && number < space->reuse_regions && pages > 0 &&
             (pages == space->g.region_pages || number == first + 1));
    *reach_out = !rc && sum >= count;
    *end_out = number > first + 1 ? number - 1 : number;
    return rc;
}

static int loaded_region(struct kvi_space *space, uint64_t number,
                         struct kvi_space_region **region_out)
{
    int rc = kvi_space_region(space, number, region_out);

    return rc ? rc : kvi_space_region_live(space, *region_out);
}

/* Available pages that reach up to the region's end. */
static int available_end(struct kvi_space *space, uint64_t number, uint32_t *pages_out)
{
    struct kvi_space_region *region;
    uint32_t word = space->g.region_pages / 64;
    int rc = loaded_region(space, number, &region);

    *pages_out = 0;
    if (rc || kvi_space_reuse_limit(space, number) < space->g.region_pages)
        return rc;
    while (word-- > 0) {
        uint64_t used = ~kvi_space_available(region, word);

        if (used) {
            *pages_out += (uint32_t)__builtin_clzll(used);
            break;
        }
        *pages_out += 64;
    }
    return 0;
}

/* Whether the first `count` pages of the region are available. */
static int available_start(struct kvi_space *space, uint64_t number, uint32_t count, bool *all_out)
{
    struct kvi_space_region *region;
    int rc = loaded_region(space, number, &region);

    *all_out = !rc && count <= kvi_space_reuse_limit(space, number);
    for (uint32_t w = 0; *all_out && w * 64 < count; w++) {
        uint32_t end = count - w * 64 < 64 ? count - w * 64 : 64;
        uint64_t wanted = kvi_bits_mask(0, end);

        *all_out = (kvi_space_available(region, w) & wanted) == wanted;
    }
    return rc;
}

/* The run that begins in region `first`, if it is there. */
static int find_long(struct kvi_space *space, uint64_t first, uint64_t count, uint64_t *pgno_out,
                     bool *found_out)
{
    uint32_t at_end;
    uint64_t left;
    int rc = available_end(space, first, &at_end);

    left = count - at_end;
    *pgno_out = (first + 1) * space->g.region_pages - at_end;
    *found_out = !rc;
    while (!rc && *found_out && left) {
        uint32_t part = left < space->g.region_pages ? (uint32_t)left : space->g.region_pages;

        first++;
        if (first < space->reuse_regions)
            rc = available_start(space, first, part, found_out);
        else
            *found_out = false;
        left -= part;
    }
    *found_out = *found_out && !rc;
    return rc;
}

int kvi_space_claim_long(struct kvi_space *space, uint64_t pgno, uint64_t count)
{
    int rc = 0;

    while (!rc && count) {
        struct kvi_space_region *region;
        uint64_t room = space->g.region_pages - pgno % space->g.region_pages;
        uint32_t part = (uint32_t)(room < count ? room : count);

        rc = kvi_space_region(space, pgno / space->g.region_pages, &region);
        if (!rc)
            kvi_space_claim(space, region, (uint32_t)(pgno % space->g.region_pages), part);
        pgno += part;
        count -= part;
    }
    return rc;
}

int kvi_space_reuse_long(struct kvi_space *space, uint64_t count, uint64_t *pgno_out,
                         bool *found_out)
{
    uint64_t first = 0;
    uint32_t tries = 0;

    while (first < space->reuse_regions && tries < KVI_REGION_TRIES) {
        uint64_t end;
        bool reach;
        int rc = promises_reach(space, first, count, &end, &reach);

        if (!rc && reach) {
            rc = find_long(space, first, count, pgno_out, found_out);
            tries++;
            end = first + 1;
        }
        if (rc)
            return rc;
        if (*found_out)
            return kvi_space_claim_long(space, *pgno_out, count);
        first = end;
    }
    return 0;
}
