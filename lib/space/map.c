/* SPDX-License-Identifier: MIT */
/*
 * Owns reading a snapshot's space map: from the snapshot page through index pages to bitmaps
 * (FORMAT section 8). Every number in them is input. Levels fall by one with each page, and nothing
 * is followed past the region of page_end, so that no walk is longer than the file.
 *
 * Any thread that may read the snapshot.
 */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "space/bits.h"
#include "space/space_private.h"

/* The entries of one page of the map, and how many. */
struct entries {
    const uint8_t *at;
    uint64_t count;
};

static int read_index(const struct kvi_geometry *g, const struct kvi_space_io *io,
                      struct kvi_ref ref, unsigned level, struct entries *entries_out)
{
    const uint8_t *page;
    int rc = io->read(io->context, ref, KVI_PAGE_INDEX, level, &page);

    if (rc)
        return rc;
    entries_out->at = page + KVI_HEADER_BYTES;
    entries_out->count = kvi_header_count(page);
    if (entries_out->count > g->map_fanout)
        return kvi_corrupt(io->path, ref.pgno, "index page: more entries than fit");
    return 0;
}

int kvi_map_index(const struct kvi_geometry *g, const struct kvi_space_io *io, struct kvi_ref ref,
                  unsigned level, const uint8_t **entries_out, uint32_t *count_out)
{
    struct entries entries = {NULL, 0};
    int rc = read_index(g, io, ref, level, &entries);

    *entries_out = entries.at;
    *count_out = (uint32_t)entries.count;
    return rc;
}

int kvi_map_bits(const struct kvi_space_io *io, struct kvi_ref ref, const uint8_t **bits_out)
{
    const uint8_t *page;
    int rc = io->read(io->context, ref, KVI_PAGE_BITMAP, 0, &page);

    if (rc)
        return rc;
    *bits_out = page + KVI_HEADER_BYTES;
    return 0;
}

int kvi_map_entry_at(const struct kvi_geometry *g, const struct kvi_space_io *io,
                     const struct kvi_space_snapshot *snapshot, uint64_t region, unsigned level,
                     struct kvi_map_entry *entry_out, unsigned *level_out)
{
    struct entries entries = {snapshot->page + KVI_SNAP_ENTRIES, snapshot->map_count};
    unsigned at_level = snapshot->map_levels;
    uint64_t index = at_level ? region / kvi_map_span(g, at_level) : region;

    memset(entry_out, 0, sizeof(*entry_out));
    *level_out = at_level;
    if (region > KVI_PGNO_MAX || region * g->region_pages >= snapshot->page_end || at_level < level)
        return 0;
    for (;;) {
        struct kvi_map_entry entry;
        int rc;

        *level_out = at_level;
        if (index >= entries.count)
            return 0;
        entry = kvi_map_entry_load(entries.at + index * KVI_MAP_ENTRY_BYTES);
        if (entry.ref.pgno == 0)
            return 0;
        if (at_level == level) {
            *entry_out = entry;
            return 0;
        }
        rc = read_index(g, io, entry.ref, at_level, &entries);
        if (rc)
            return rc;
        at_level--;
        index = region / kvi_map_span(g, at_level) % g->map_fanout;
    }
}

int kvi_map_lookup(const struct kvi_geometry *g, const struct kvi_space_io *io,
                   const struct kvi_space_snapshot *snapshot, uint64_t region,
                   struct kvi_map_entry *entry_out)
{
    unsigned level;

    return kvi_map_entry_at(g, io, snapshot, region, 0, entry_out, &level);
}

int kvi_map_claims(const struct kvi_geometry *g, const struct kvi_space_io *io,
                   const struct kvi_space_snapshot *snapshot, uint64_t pgno, bool *claims_out)
{
    struct kvi_map_entry entry;
    const uint8_t *bits;
    int rc;

    *claims_out = false;
    rc = kvi_map_lookup(g, io, snapshot, pgno / g->region_pages, &entry);
    if (rc || entry.ref.pgno == 0)
        return rc;
    rc = kvi_map_bits(io, entry.ref, &bits);
    if (rc)
        return rc;
    *claims_out = kvi_bits_test(bits, (uint32_t)(pgno % g->region_pages));
    return 0;
}

/* ---- Walking ---- */

struct walk {
    const struct kvi_geometry *g;
    const struct kvi_space_io *io;
    uint64_t regions; /* of the snapshot */
    kvi_map_page_fn *fn;
    void *context;
};

/* Where entry `index` of a page that begins at region `first` begins; UINT64_MAX: past all numbers.
 */
static uint64_t entry_region(const struct walk *walk, unsigned level, uint64_t first,
                             uint64_t index)
{
    uint64_t span = kvi_map_span(walk->g, level);

    if (index && span > (UINT64_MAX - first) / index)
        return UINT64_MAX;
    return first + index * span;
}

/* Depth of the recursion: map_levels, at most KVI_DEPTH_MAX (snapshot page decoding). */
static int walk_entries(const struct walk *walk, struct entries entries, unsigned level,
                        uint64_t first)
{
    for (uint64_t i = 0; i < entries.count; i++) {
        struct kvi_map_entry entry = kvi_map_entry_load(entries.at + i * KVI_MAP_ENTRY_BYTES);
        uint64_t region = entry_region(walk, level, first, i);
        struct entries below;
        int rc;

        if (entry.ref.pgno == 0)
            continue;
        if (region >= walk->regions)
            return kvi_corrupt(walk->io->path, entry.ref.pgno, "space map entry past the end");
        rc = walk->fn(walk->context, entry.ref, level, region, &entry);
        if (rc == KVI_MAP_SKIP)
            continue;
        if (!rc && level)
            rc = read_index(walk->g, walk->io, entry.ref, level, &below);
        if (!rc && level)
            rc = walk_entries(walk, below, level - 1, region);
        if (rc)
            return rc;
    }
    return 0;
}

int kvi_map_walk(const struct kvi_geometry *g, const struct kvi_space_io *io,
                 const struct kvi_space_snapshot *snapshot, kvi_map_page_fn *fn, void *context)
{
    struct walk walk = {g, io, kvi_map_regions(g, snapshot->page_end), fn, context};
    struct entries entries = {snapshot->page + KVI_SNAP_ENTRIES, snapshot->map_count};

    return walk_entries(&walk, entries, snapshot->map_levels, 0);
}

/* ---- What a snapshot does not claim ---- */

struct free_runs {
    kvi_space_range_fn *fn;
    void *context;
    uint64_t first; /* of the run that is open */
    uint64_t count; /* 0: none is */
};

static int end_run(struct free_runs *runs)
{
    uint64_t count = runs->count;

    runs->count = 0;
    return count ? runs->fn(runs->context, runs->first, count) : 0;
}

static void add_free(struct free_runs *runs, uint64_t pgno, uint64_t count)
{
    if (!runs->count)
        runs->first = pgno;
    runs->count += count;
}

/* Pages from pgno on as the bits of one word say. */
static int free_in_word(struct free_runs *runs, uint64_t pgno, uint64_t claimed, unsigned count)
{
    int rc = 0;

    if (claimed == 0) {
        add_free(runs, pgno, count);
        return 0;
    }
    for (unsigned i = 0; i < count && !rc; i++) {
        if (claimed >> i & 1)
            rc = end_run(runs);
        else
            add_free(runs, pgno + i, 1);
    }
    return rc;
}

/* A region of `count` pages; bits NULL: nothing in it is claimed. */
static int free_in_region(struct free_runs *runs, uint64_t pgno, const uint8_t *bits,
                          uint64_t count)
{
    int rc = 0;

    if (!bits)
        add_free(runs, pgno, count);
    for (uint64_t i = 0; bits && i < count && !rc; i += 64)
        rc = free_in_word(runs, pgno + i, kvi_bits_word(bits, (uint32_t)(i / 64)),
                          count - i < 64 ? (unsigned)(count - i) : 64);
    return rc;
}

int kvi_map_free(const struct kvi_geometry *g, const struct kvi_space_io *io,
                 const struct kvi_space_snapshot *snapshot, kvi_space_range_fn *fn, void *context)
{
    struct free_runs runs = {fn, context, 0, 0};
    uint64_t regions = kvi_map_regions(g, snapshot->page_end);
    int rc = 0;

    for (uint64_t region = 0; region < regions && !rc; region++) {
        uint64_t pgno = region * g->region_pages;
        uint64_t count = snapshot->page_end - pgno;
        const uint8_t *bits = NULL;
        struct kvi_map_entry entry;

        rc = kvi_map_lookup(g, io, snapshot, region, &entry);
        if (!rc && entry.ref.pgno)
            rc = kvi_map_bits(io, entry.ref, &bits);
        if (!rc)
            rc = free_in_region(&runs, pgno, bits,
                                count < g->region_pages ? count : g->region_pages);
    }
    return rc ? rc : end_run(&runs);
}

/* ---- What one snapshot alone keeps ---- */

struct only {
    const struct kvi_geometry *g;
    const struct kvi_space_io *io;
    const struct kvi_space_snapshot *others;
    size_t count;
    const uint8_t **bits; /* scratch: bitmaps of the others for a region */
    uint64_t pages;
};

static void count_only(struct only *only, const uint8_t *mine, size_t bitmaps)
{
    for (uint32_t w = 0; w < only->g->region_pages / 64; w++) {
        uint64_t alone = kvi_bits_word(mine, w);
        uint8_t bytes[8];

        for (size_t i = 0; i < bitmaps && alone; i++)
            alone &= ~kvi_bits_word(only->bits[i], w);
        if (!alone)
            continue;
        kvi_le_store64(bytes, alone);
        only->pages += kvi_bits_count(bytes, 64);
    }
}

/* An equal reference in another snapshot's map at the same place: everything below is shared. */
static int only_page(void *context, struct kvi_ref ref, unsigned level, uint64_t region,
                     const struct kvi_map_entry *entry)
{
    struct only *only = (struct only *)context;
    size_t bitmaps = 0;
    const uint8_t *mine;
    int rc = 0;

    (void)entry;
    for (size_t i = 0; i < only->count && !rc; i++) {
        struct kvi_map_entry other;
        unsigned stopped;

        rc = kvi_map_entry_at(only->g, only->io, &only->others[i], region, level, &other, &stopped);
        if (rc || other.ref.pgno == 0)
            continue;
        if (kvi_ref_equal(other.ref, ref))
            return KVI_MAP_SKIP;
        if (level == 0)
            rc = kvi_map_bits(only->io, other.ref, &only->bits[bitmaps++]);
    }
    if (rc || level)
        return rc;
    rc = kvi_map_bits(only->io, ref, &mine);
    if (!rc)
        count_only(only, mine, bitmaps);
    return rc;
}

int kvi_map_only(const struct kvi_geometry *g, const struct kvi_space_io *io,
                 const struct kvi_space_snapshot *snapshot, const struct kvi_space_snapshot *others,
                 size_t count, uint64_t *pages_out)
{
    struct only only = {g, io, others, count, NULL, 0};
    int rc;

    *pages_out = 0;
    only.bits = (const uint8_t **)calloc(count + 1, sizeof(*only.bits));
    if (!only.bits)
        return ENOMEM;
    rc = kvi_map_walk(g, io, snapshot, only_page, &only);
    free((void *)only.bits);
    if (!rc)
        *pages_out = only.pages;
    return rc;
}
