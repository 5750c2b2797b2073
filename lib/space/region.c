/* SPDX-License-Identifier: MIT */
/*
 * Owns the claim images of the regions that a txn touched, and with them S1 and S2: what is
 * claimed, what is available, retire and release.
 *
 *     available = not (claim image or bitmap of the base or of any other live snapshot)
 *
 * The base is live, so a page that it claims stays unavailable after its claim was cleared here.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "space/bits.h"
#include "space/space_private.h"

/* ---- Making a region's state ---- */

static int load_base(struct kvi_space *space, struct kvi_space_region *region)
{
    uint8_t *bits = kvi_region_bits(region);
    uint32_t bytes = space->g.region_pages / 8;
    int rc;

    rc = kvi_map_lookup(&space->g, &space->io, &space->base, region->number, &region->base);
    if (rc)
        return rc;
    if (region->base.ref.pgno == 0) {
        region->base.free_pages = space->g.region_pages;
        region->base.free_run = space->g.region_pages;
        memset(bits, 0, bytes);
        return 0;
    }
    rc = kvi_map_bits(&space->io, region->base.ref, &region->base_bits);
    if (rc)
        return rc;
    memcpy(bits, region->base_bits, bytes);
    return 0;
}

/* The meta pages are claimed in every map: one that does not say so would hand them out. Nothing is
 * claimed at or above page_end: pages there are handed out as new ones. */
static int check_bits(struct kvi_space *space, const struct kvi_space_region *region)
{
    const uint8_t *bits = kvi_region_bits(region);
    uint32_t end = kvi_space_reuse_limit(space, region->number);

    if (region->number == 0 &&
        (!kvi_bits_test(bits, 0) || !kvi_bits_test(bits, (uint32_t)space->g.meta_pgno_1)))
        return kvi_corrupt(space->io.path, region->base.ref.pgno,
                           "bitmap: a meta page is not claimed");
    if (kvi_bits_any_set(bits, end, space->g.region_pages - end))
        return kvi_corrupt(space->io.path, region->base.ref.pgno,
                           "bitmap: a page past the end is claimed");
    return 0;
}

void kvi_space_region_free(struct kvi_space_region *region)
{
    if (!region)
        return;
    free((void *)region->live);
    free(region);
}

int kvi_space_region_new(struct kvi_space *space, uint64_t number,
                         struct kvi_space_region **region_out)
{
    struct kvi_space_region *region;
    int rc;

    *region_out = NULL;
    region = (struct kvi_space_region *)malloc(sizeof(*region) + space->g.page_size);
    if (!region)
        return ENOMEM;
    memset(region, 0, sizeof(*region));
    region->number = number;
    region->image = (uint8_t *)(region + 1);
    memset(region->image, 0, KVI_HEADER_BYTES);
    if (space->g.region_pages / 8 < space->g.page_size - KVI_HEADER_BYTES)
        memset(region->image, 0, space->g.page_size);
    rc = load_base(space, region);
    if (!rc)
        rc = check_bits(space, region);
    if (rc) {
        kvi_space_region_free(region);
        return rc;
    }
    region->free_pages = region->base.free_pages;
    *region_out = region;
    return 0;
}

static int remember_region(struct kvi_space *space, struct kvi_space_region *region)
{
    if (space->region_count == space->region_capacity) {
        size_t capacity = space->region_capacity ? space->region_capacity * 2 : 8;
        void *bigger =
            realloc((void *)space->regions, capacity * sizeof(struct kvi_space_region *));

        if (!bigger)
            return ENOMEM;
        space->regions = (struct kvi_space_region **)bigger;
        space->region_capacity = capacity;
    }
    if (kvi_space_table_add(&space->table, region->number, region))
        return ENOMEM;
    space->regions[space->region_count++] = region;
    return 0;
}

int kvi_space_region(struct kvi_space *space, uint64_t number, struct kvi_space_region **region_out)
{
    struct kvi_space_region *region = space->last;
    int rc;

    if (region && region->number == number) {
        *region_out = region;
        return 0;
    }
    region = (struct kvi_space_region *)kvi_space_table_find(&space->table, number);
    if (!region) {
        rc = kvi_space_region_new(space, number, &region);
        if (rc)
            return rc;
        rc = remember_region(space, region);
        if (rc) {
            kvi_space_region_free(region);
            return rc;
        }
    }
    space->last = region;
    *region_out = region;
    return 0;
}

/* ---- Live snapshots ---- */

/* The distinct bitmaps of the live snapshots for a region, into space->refs. */
static int collect_refs(struct kvi_space *space, uint64_t number, uint32_t *count_out)
{
    uint32_t count = 0;

    for (size_t i = 0; i < space->live_count; i++) {
        struct kvi_map_entry entry;
        uint32_t known = 0;
        int rc = kvi_map_lookup(&space->g, &space->io, &space->live[i], number, &entry);

        if (rc)
            return rc;
        if (entry.ref.pgno == 0)
            continue;
        while (known < count && !kvi_ref_equal(space->refs[known], entry.ref))
            known++;
        if (known == count)
            space->refs[count++] = entry.ref;
    }
    *count_out = count;
    return 0;
}

uint64_t kvi_space_mix(uint64_t value)
{
    value = (value ^ value >> 31) * 0xBF58476D1CE4E5B9u;
    value = (value ^ value >> 27) * 0x94D049BB133111EBu;
    return value ^ value >> 30;
}

/* A sum, so that the order of the snapshots does not matter. How far pages are reused belongs to
 * it. */
static uint64_t key_of(const struct kvi_space *space, uint64_t number, uint32_t count)
{
    uint64_t key = kvi_space_mix(kvi_space_reuse_limit(space, number) + 1);

    for (uint32_t i = 0; i < count; i++)
        key += kvi_space_mix(space->refs[i].pgno << 16 ^ kvi_space_mix(space->refs[i].tag));
    return key ? key : 1;
}

int kvi_space_live_key(struct kvi_space *space, uint64_t number, uint64_t *key_out)
{
    uint32_t count = 0;
    int rc = collect_refs(space, number, &count);

    *key_out = key_of(space, number, count);
    return rc;
}

int kvi_space_region_live(struct kvi_space *space, struct kvi_space_region *region)
{
    uint32_t count = 0;
    int rc;

    if (region->live_loaded)
        return 0;
    rc = collect_refs(space, region->number, &count);
    if (rc)
        return rc;
    free((void *)region->live); /* of an attempt that failed */
    region->live = (const uint8_t **)malloc((count + 1) * sizeof(*region->live));
    if (!region->live)
        return ENOMEM;
    for (uint32_t i = 0; i < count; i++) {
        rc = kvi_map_bits(&space->io, space->refs[i], &region->live[i]);
        if (rc)
            return rc;
    }
    region->live_count = count;
    region->key = key_of(space, region->number, count);
    region->live_loaded = true;
    return 0;
}

/* ---- Claims ---- */

void kvi_space_change(struct kvi_space *space, struct kvi_space_region *region)
{
    if (region->changed)
        return;
    region->changed = true;
    if (space->changed_last)
        space->changed_last->changed_next = region;
    else
        space->changed_first = region;
    space->changed_last = region;
    if (!space->unsettled)
        space->unsettled = region;
}

static void touch_region(struct kvi_space *space, struct kvi_space_region *region)
{
    region->touched = true;
    if (space->settling)
        kvi_space_change(space, region);
}

void kvi_space_claim(struct kvi_space *space, struct kvi_space_region *region, uint32_t index,
                     uint32_t count)
{
    uint64_t end = region->number * space->g.region_pages + index + count;

    assert(!kvi_bits_any_set(kvi_region_bits(region), index, count));
    assert(!region->base_bits || !kvi_bits_any_set(region->base_bits, index, count));
    if (count == 1)
        kvi_bits_set_one(kvi_region_bits(region), index);
    else
        kvi_bits_set(kvi_region_bits(region), index, count);
    region->free_pages -= region->free_pages < count ? region->free_pages : count;
    region->claimed = true;
    space->allocated += count;
    if (end > space->high)
        space->high = end;
    touch_region(space, region);
}

void kvi_space_unclaim(struct kvi_space *space, struct kvi_space_region *region, uint32_t index,
                       uint32_t count)
{
    assert(kvi_bits_all_set(kvi_region_bits(region), index, count));
    kvi_bits_clear(kvi_region_bits(region), index, count);
    region->free_pages += count;
    touch_region(space, region);
}

/* Retires (or releases) the part of a range that lies in one region. */
static int give_back(struct kvi_space *space, uint64_t pgno, uint32_t count, bool retire)
{
    struct kvi_space_region *region;
    uint32_t index = (uint32_t)(pgno % space->g.region_pages);
    bool of_base;
    int rc;

    rc = kvi_space_region(space, pgno / space->g.region_pages, &region);
    if (rc)
        return rc;
    if (!kvi_bits_all_set(kvi_region_bits(region), index, count))
        return kvi_corrupt(space->io.path, pgno, "freed, but not in use");
    if (retire)
        of_base = region->base_bits && kvi_bits_all_set(region->base_bits, index, count);
    else
        of_base = region->base_bits && kvi_bits_any_set(region->base_bits, index, count);
    if (of_base != retire)
        return kvi_corrupt(space->io.path, pgno,
                           retire ? "retired, but not of the snapshot changed"
                                  : "released, but not of this txn");
    kvi_space_unclaim(space, region, index, count);
    return 0;
}

/* A range of input: page numbers come from references in the file. */
static int check_range(const struct kvi_space *space, uint64_t pgno, uint64_t count)
{
    uint64_t end = space->high > space->base.page_end ? space->high : space->base.page_end;

    if (pgno >= end || count > end - pgno)
        return kvi_corrupt(space->io.path, pgno, "freed, but past the end");
    if (pgno == 0 || (pgno <= space->g.meta_pgno_1 && space->g.meta_pgno_1 - pgno < count))
        return kvi_corrupt(space->io.path, pgno, "freed, but a meta page");
    return 0;
}

static int give_back_range(struct kvi_space *space, uint64_t pgno, uint64_t count, bool retire)
{
    int rc = check_range(space, pgno, count);

    while (!rc && count) {
        uint64_t room = space->g.region_pages - pgno % space->g.region_pages;
        uint32_t part = (uint32_t)(room < count ? room : count);

        rc = give_back(space, pgno, part, retire);
        pgno += part;
        count -= part;
    }
    return rc;
}

int kvi_space_retire(struct kvi_space *space, uint64_t pgno, uint64_t count)
{
    int rc = give_back_range(space, pgno, count, true);

    if (!rc)
        space->retired += count;
    return rc;
}

static int push_released(struct kvi_space *space, uint64_t pgno, uint64_t count)
{
    if (space->released_count == space->released_capacity) {
        size_t capacity = space->released_capacity ? space->released_capacity * 2 : 64;
        void *bigger = realloc(space->released, capacity * sizeof(*space->released));

        if (!bigger)
            return ENOMEM;
        space->released = (struct kvi_space_released *)bigger;
        space->released_capacity = capacity;
    }
    space->released[space->released_count].pgno = pgno;
    space->released[space->released_count++].count = count;
    return 0;
}

int kvi_space_release(struct kvi_space *space, uint64_t pgno, uint64_t count)
{
    int rc = push_released(space, pgno, count);

    if (rc)
        return rc;
    rc = give_back_range(space, pgno, count, false);
    if (rc)
        space->released_count--; /* parts that were given back stay unused until the next txn */
    else
        space->allocated -= count;
    return rc;
}
