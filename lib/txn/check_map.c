/* SPDX-License-Identifier: MIT */
/*
 * The space map's part of a check: its pages are reached once, each bit says what the walk of the
 * trees found, and each entry's counts are those of what stands below it.
 */
#include "txn/check.h"

#include "base/error.h"

static int check_read(void *context, struct kvi_ref ref, enum kvi_page_type type, unsigned level,
                      const uint8_t **page_out)
{
    const struct kvi_check *check = context;

    return kvi_view_page(&check->view, ref, type, level, page_out);
}

static struct kvi_space_io check_io(struct kvi_check *check)
{
    struct kvi_space_io io = {check, check_read, NULL, check->env->path};

    return io;
}

static struct kvi_space_snapshot check_source(const struct kvi_check *check)
{
    const struct kvi_snapshot *from = check->snapshot;
    struct kvi_space_snapshot source = {from->page, from->snap.page_end, from->snap.map_count,
                                        from->snap.map_levels};

    return source;
}

static bool reached(const struct kvi_check *check, uint64_t pgno)
{
    return pgno < check->snapshot->snap.page_end && (check->reached[pgno >> 3] >> (pgno & 7) & 1);
}

/* A page of the map itself. */
static int map_page(void *context, struct kvi_ref ref, unsigned level, uint64_t region,
                    const struct kvi_map_entry *entry)
{
    struct kvi_check *check = context;
    const uint8_t *page;
    int rc;

    (void)region;
    (void)entry;
    rc = check_read(check, ref, level ? KVI_PAGE_INDEX : KVI_PAGE_BITMAP, level, &page);
    if (rc == KV_ECORRUPT) {
        rc = kvi_check_find(check, ref.pgno, kvi_error_text());
        return rc ? rc : KVI_MAP_SKIP;
    }
    check->pages_map++;
    return rc ? rc : kvi_check_reach(check, ref.pgno, 1);
}

/* One bit of a bitmap against the walk. Below what could not be read nothing was reached. */
static int bit_check(struct kvi_check *check, uint64_t pgno, bool claimed)
{
    if (claimed == reached(check, pgno) || (claimed && check->holes))
        return 0;
    return kvi_check_find(check, pgno,
                          claimed ? "page is claimed but not reached (leak)"
                                  : "page is in use but not claimed by the space map");
}

/* Free pages and the longest free run of a region, as an entry tells them. */
struct region_totals {
    uint32_t free_pages;
    uint32_t free_run;
    uint32_t run;
};

static void totals_add(struct region_totals *totals, bool claimed)
{
    if (claimed) {
        totals->run = 0;
        return;
    }
    totals->free_pages++;
    totals->run++;
    if (totals->run > totals->free_run)
        totals->free_run = totals->run;
}

/* The bitmap of one region, NULL: nothing is claimed there. */
static int region_bits(struct kvi_check *check, uint64_t region, const uint8_t *bitmap,
                       struct region_totals *totals)
{
    uint32_t region_pages = check->env->geometry.region_pages;
    int rc = 0;

    for (uint32_t i = 0; i < region_pages && !rc; i++) {
        bool claimed = bitmap && (bitmap[KVI_HEADER_BYTES + i / 8] >> (i & 7) & 1);

        totals_add(totals, claimed);
        rc = bit_check(check, region * region_pages + i, claimed);
    }
    return rc;
}

static int region_check(struct kvi_check *check, uint64_t region)
{
    struct kvi_space_io io = check_io(check);
    struct kvi_space_snapshot source = check_source(check);
    struct region_totals totals = {0, 0, 0};
    const uint8_t *bitmap = NULL;
    struct kvi_map_entry entry;
    int rc = kvi_map_lookup(&check->env->geometry, &io, &source, region, &entry);

    if (rc == KV_ECORRUPT)
        return 0; /* found by the walk of the map */
    if (!rc && entry.ref.pgno)
        rc = check_read(check, entry.ref, KVI_PAGE_BITMAP, 0, &bitmap);
    if (rc == KV_ECORRUPT)
        return 0;
    if (!rc)
        rc = region_bits(check, region, bitmap, &totals);
    if (!rc && bitmap && entry.free_pages != totals.free_pages)
        rc = kvi_check_find(check, entry.ref.pgno, "wrong count of free pages in the map's entry");
    if (!rc && bitmap && entry.free_run != totals.free_run)
        rc = kvi_check_find(check, entry.ref.pgno, "wrong longest free run in the map's entry");
    return rc;
}

int kvi_check_map(struct kvi_check *check)
{
    const struct kvi_snap *snap = &check->snapshot->snap;
    struct kvi_space_io io = check_io(check);
    struct kvi_space_snapshot source = check_source(check);
    uint64_t regions = kvi_map_regions(&check->env->geometry, snap->page_end);
    int rc;

    check->pages_map = 0;
    rc = kvi_map_walk(&check->env->geometry, &io, &source, map_page, check);
    for (uint64_t region = 0; region < regions && !rc; region++)
        rc = region_check(check, region);
    if (!rc && check->pages_map != snap->pages_map)
        rc = kvi_check_find(check, check->snapshot->ref.pgno, "wrong count of map pages");
    if (!rc && check->pages_reached != snap->pages_used)
        rc = kvi_check_find(check, check->snapshot->ref.pgno, "wrong count of pages in use");
    if (!rc && snap->page_end && !reached(check, snap->page_end - 1))
        rc = kvi_check_find(check, snap->page_end - 1, "page_end is above the highest page in use");
    return rc;
}
