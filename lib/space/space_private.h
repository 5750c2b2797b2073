/* SPDX-License-Identifier: MIT */
/*
 * What the files of lib/space share: regions touched by a txn, index pages that its commit writes,
 * hints, and the state of the search. Nobody outside includes this.
 *
 *   bits.c    bitmaps as arrays of words
 *   map.c     reading a snapshot's map
 *   table.c   numbers to pointers
 *   region.c  claim images: retire, release, take
 *   hints.c   what a process remembers between txns
 *   seek.c    which region to look into next
 *   runs.c    runs of reusable pages
 *   alloc.c   handing out pages
 *   settle.c  commit: who moves, until nothing more moves
 *   build.c   commit: images, entries, totals
 *   space.c   open, close, creation of the first map, free ranges
 */
#ifndef KVI_SPACE_PRIVATE_H
#define KVI_SPACE_PRIVATE_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "space/bits.h"
#include "space/space.h"

/* A region is rich when at least one page in so many is free: those are gone to first. */
#define KVI_SPACE_RICH_DIVISOR 64u

/* Pages for which it pays to look into a region (a microsecond or two) and to write its bitmap,
 * instead of growing. Fewer are crumbs: KVI_REGION_TRIES regions may yield only those in a txn. */
#define KVI_SPACE_CRUMBS 8u

/* Regions with at least one page in so many free (for runs: in one piece) are tried even then. */
#define KVI_SPACE_EMPTY_DIVISOR 4u

/* Entries of the base's map that the search for single pages looks at in a txn, and each one for a
 * run, before the file grows: all of a file without index pages, many times over; a bound for
 * larger ones. */
#define KVI_SPACE_LOOKS 2048u

/* After so many txns of the process a hint that is not proved by its key is forgotten. */
#define KVI_SPACE_HINT_TXNS 64u

/* One txn in so many starts at the file's beginning even where the last one gave up half-way. */
#define KVI_SPACE_RESTART_TXNS 16u

/* A region that yielded crumbs n times in a row is left alone for 2^n txns, n up to this; up to the
 * second once an old snapshot has gone, which may have held its pages. */
#define KVI_SPACE_MISSES_MAX 6u
#define KVI_SPACE_MISSES_AFTER_DEPARTURE 2u

/* Old live snapshots that are remembered from txn to txn, to notice when one goes; with more, one
 * always goes. */
#define KVI_SPACE_OLD 64u

/* Regions that hints are kept for, a power of two; others take their place. */
#define KVI_SPACE_HINTS 1024u

/* ---- table.c: numbers to pointers, open addressing ---- */

struct kvi_space_slot {
    uint64_t key;
    void *value; /* NULL: empty */
};

struct kvi_space_table {
    struct kvi_space_slot *slots;
    uint32_t capacity; /* a power of two, or 0 */
    uint32_t count;
};

void *kvi_space_table_find(const struct kvi_space_table *table, uint64_t key);
KVI_MUST_CHECK int kvi_space_table_add(struct kvi_space_table *table, uint64_t key, void *value);

/* ---- Regions ---- */

/* A region that this txn touched. */
struct kvi_space_region {
    uint64_t number;
    struct kvi_map_entry base; /* its entry in the base's map; ref.pgno 0: nothing claimed */
    const uint8_t *base_bits;  /* the base's bitmap; NULL: all clear */
    const uint8_t **live;      /* distinct bitmaps of live snapshots, once live_loaded */
    uint32_t live_count;
    bool live_loaded;
    bool touched;        /* a bit of the claim image was changed */
    bool claimed;        /* a page was handed out, so less is available than the live set says */
    bool drained;        /* the search for single pages has left it for good */
    bool changed;        /* commit: in the list of regions that get a new map entry */
    uint32_t free_pages; /* clear bits of the claim image, as far as the base's entry tells */
    uint32_t taken;      /* single pages taken by the search */
    uint32_t scan;       /* no single page is available in words below this one */
    uint32_t run_at,
        run_count;     /* no run of run_count pages is available that begins below run_at */
    uint32_t run_none; /* no run of so many pages is available; 0: unknown */
    uint64_t key;      /* of the set of live bitmaps: kvi_space_live_key; 0: none */
    uint64_t pgno_new; /* commit: where its new bitmap goes; 0: none */
    struct kvi_map_entry entry; /* commit: its entry in the new map */
    struct kvi_space_region *changed_next;
    uint8_t *image; /* the claim: what becomes the new bitmap page */
};

static inline uint8_t *kvi_region_bits(const struct kvi_space_region *region)
{
    return region->image + KVI_HEADER_BYTES;
}

/* The pages of a word that are available; the region's live bitmaps are loaded. */
static inline uint64_t kvi_space_available(const struct kvi_space_region *region, uint32_t word)
{
    uint64_t used = kvi_bits_word(kvi_region_bits(region), word);

    for (uint32_t i = 0; i < region->live_count && used != UINT64_MAX; i++)
        used |= kvi_bits_word(region->live[i], word);
    return ~used;
}

/* Those of them that lie in [from, end), which reaches into the word. */
static inline uint64_t kvi_space_available_in(const struct kvi_space_region *region, uint32_t word,
                                              uint32_t from, uint32_t end)
{
    uint32_t first = word * 64;
    uint32_t low = from > first ? from - first : 0;
    uint32_t high = end - first < 64 ? end - first : 64;

    return kvi_space_available(region, word) & kvi_bits_mask(low, high);
}

/* An index page of the new map that differs from the base's. */
struct kvi_space_node {
    unsigned level;
    uint64_t index;             /* covers regions from index * F^level on */
    uint64_t pgno_new;          /* 0: none */
    struct kvi_map_entry entry; /* its own, in the page above */
    uint8_t *image;             /* entries: the base's, then those of changed children over them */
    struct kvi_space_node *next;
};

/* ---- hints.c ---- */

struct kvi_space_hint {
    uint64_t region;
    uint64_t empty_key;  /* with this key nothing is available; 0: unknown */
    uint64_t run_key;    /* with this key no run of run_none pages is; 0: unknown */
    uint32_t departures; /* kvi_space_hints.departures at that time */
    uint32_t run_none;
    uint32_t free_pages; /* clear in the claim when the search left it with nothing available */
    uint32_t txns;       /* when; 0: never */
    uint32_t misses;     /* how often in a row it yielded crumbs only */
};

struct kvi_space_hints {
    uint32_t txns;       /* of this process; from 1 */
    uint32_t departures; /* how often an old snapshot was live no more; from 1 */
    uint32_t old_count;
    uint64_t
        old[KVI_SPACE_OLD]; /* txnids live in the last txn, older than the one before its base */
    uint64_t resume;     /* region where the last search for single pages gave up; 0: it did not */
    uint64_t run_resume; /* the same for runs */
    struct kvi_space_hint slots[KVI_SPACE_HINTS];
};

/* A txn begins: counts it, and notices which snapshots are live no more. */
void kvi_space_hints_begin(struct kvi_space *space);
/* The pages that a process expects in a region of which the base has `free_pages` free; 0 also
 * where it knows that there are none, which *empty_out tells. */
KVI_MUST_CHECK int kvi_space_expect(struct kvi_space *space, uint64_t number, uint32_t free_pages,
                                    uint32_t *pages_out, bool *empty_out);
/* Whether it is known that the region has no run of `count` pages. */
KVI_MUST_CHECK int kvi_space_run_hopeless(struct kvi_space *space, uint64_t number, uint32_t count,
                                          bool *hopeless_out);
void kvi_space_note_drained(struct kvi_space *space, const struct kvi_space_region *region,
                            bool crumbs);
void kvi_space_note_run(struct kvi_space *space, const struct kvi_space_region *region);

/* ---- The space ---- */

/* Pages of this txn that were released and may be handed out again. */
struct kvi_space_released {
    uint64_t pgno;
    uint64_t count;
};

/* A walk through the regions whose entry promises something. */
struct kvi_space_seek {
    uint64_t at, end; /* regions */
    uint32_t free_min, run_min;
    uint32_t looks; /* entries looked at; at KVI_SPACE_LOOKS it ends */
};

struct kvi_space {
    struct kvi_geometry g;
    struct kvi_space_io io;
    uint64_t txnid;
    struct kvi_space_hints *hints; /* NULL: none */

    struct kvi_space_snapshot base;
    uint64_t base_pgno;
    uint64_t base_used;              /* pages_used of the base */
    uint64_t base_map;               /* pages_map of the base */
    uint64_t reuse_regions;          /* regions of the base: below them pages are reused */
    struct kvi_space_snapshot *live; /* distinct, the base first */
    size_t live_count;
    uint64_t live_end;             /* largest page_end of a live snapshot */
    kvi_space_relieve_fn *relieve; /* NULL: none */
    bool exhaustive;               /* searches have no bounds: the file is as long as it may be */
    struct kvi_ref *refs;          /* scratch: live_count distinct bitmaps of a region */

    struct kvi_space_table table;      /* regions by number, nodes by level and index */
    struct kvi_space_region **regions; /* all touched ones, in order of first touch */
    size_t region_count, region_capacity;
    struct kvi_space_region *last; /* last one asked for */

    uint64_t allocated, retired; /* pages */
    uint64_t high;               /* highest page handed out + 1; 0: none */
    uint64_t file_end;           /* the file is known to be so many pages long */

    struct kvi_space_released *released; /* a stack */
    size_t released_count, released_capacity;

    /* single pages: alloc.c, seek.c */
    struct kvi_space_region *current; /* taken from now */
    struct kvi_space_seek single;
    uint64_t single_start;                /* region where this txn began to look */
    unsigned single_stage;                /* which part of which pass; seek.c */
    uint32_t tries;                       /* regions that turned out poor */
    uint64_t grow_at;                     /* no page from the base's end up to here is available */
    struct kvi_space_region *grow_region; /* of the last new page, below grow_at; NULL: none yet */
    /* runs */
    uint64_t run_start;   /* region where searches of this txn begin */
    uint64_t run_region;  /* region where the last run was found */
    uint64_t run_count;   /* its size */
    uint64_t run_fail;    /* runs of so many pages are not searched for any more */
    uint64_t run_grow_at; /* new runs are looked for from here */

    /* commit: settle.c, build.c */
    bool settling;
    unsigned levels; /* of the new map */
    bool levels_known;
    unsigned dissolved_above; /* the base's index pages of higher levels are retired */
    uint64_t map_retired, map_added;
    struct kvi_space_region *changed_first, *changed_last;
    struct kvi_space_region *unsettled; /* first changed one whose old bitmap is not retired yet */
    struct kvi_space_node *nodes;
    struct kvi_space_page *pages; /* to write */
    size_t page_count;
};

static inline bool kvi_ref_equal(struct kvi_ref a, struct kvi_ref b)
{
    return a.pgno == b.pgno && a.tag == b.tag;
}

/* Pages of the region that lie below the base's page_end: the others are new. */
static inline uint32_t kvi_space_reuse_limit(const struct kvi_space *space, uint64_t number)
{
    uint64_t first = number * space->g.region_pages;

    if (number >= space->reuse_regions)
        return 0;
    return space->base.page_end - first < space->g.region_pages
               ? (uint32_t)(space->base.page_end - first)
               : space->g.region_pages;
}

/* ---- map.c ---- */

/* The base of kvi_map_lookup: the entry of this level above `region`; zero if none is there.
 * *level_out is the level of the entry at which the way down ended. */
KVI_MUST_CHECK int kvi_map_entry_at(const struct kvi_geometry *g, const struct kvi_space_io *io,
                                    const struct kvi_space_snapshot *snapshot, uint64_t region,
                                    unsigned level, struct kvi_map_entry *entry_out,
                                    unsigned *level_out);
KVI_MUST_CHECK int kvi_map_index(const struct kvi_geometry *g, const struct kvi_space_io *io,
                                 struct kvi_ref ref, unsigned level, const uint8_t **entries_out,
                                 uint32_t *count_out);
KVI_MUST_CHECK int kvi_map_bits(const struct kvi_space_io *io, struct kvi_ref ref,
                                const uint8_t **bits_out);

/* ---- region.c ---- */

/* The state of a region, made at first touch. */
KVI_MUST_CHECK int kvi_space_region(struct kvi_space *space, uint64_t number,
                                    struct kvi_space_region **region_out);
/* The same, not remembered: the caller frees it. */
KVI_MUST_CHECK int kvi_space_region_new(struct kvi_space *space, uint64_t number,
                                        struct kvi_space_region **region_out);
void kvi_space_region_free(struct kvi_space_region *region);
/* Fetches the bitmaps of all live snapshots: needed before anything is taken. */
KVI_MUST_CHECK int kvi_space_region_live(struct kvi_space *space, struct kvi_space_region *region);
/* A number for the set of bitmaps that decides what is available in a region, never 0. */
KVI_MUST_CHECK int kvi_space_live_key(struct kvi_space *space, uint64_t number, uint64_t *key_out);
/* A well mixed number. */
uint64_t kvi_space_mix(uint64_t value);
/* Takes `count` available pages, or gives them up: sets or clears the claim and keeps the totals.
 */
void kvi_space_claim(struct kvi_space *space, struct kvi_space_region *region, uint32_t index,
                     uint32_t count);
void kvi_space_unclaim(struct kvi_space *space, struct kvi_space_region *region, uint32_t index,
                       uint32_t count);
/* Commit: the region gets a new map entry. */
void kvi_space_change(struct kvi_space *space, struct kvi_space_region *region);

/* ---- seek.c ---- */

/* What the maps promise for a region: bounds from above. */
struct kvi_space_promise {
    uint64_t number;
    uint32_t base_free; /* pages free in the base */
    uint32_t pages;     /* pages free in whichever live snapshot has the fewest */
    uint32_t run;       /* the same for the longest run */
};

/* The next region at or above seek->at that promises what the seek asks for; seek->at then stands
 * behind it. *found_out false: none. */
KVI_MUST_CHECK int kvi_space_seek(struct kvi_space *space, struct kvi_space_seek *seek,
                                  struct kvi_space_promise *promise_out, bool *found_out);
void kvi_space_seek_init(struct kvi_space *space);
/* Starts anew, over all regions. */
void kvi_space_seek_all(struct kvi_space *space);
/* space.c: the file is full; whether another search may find something. */
bool kvi_space_relieved(struct kvi_space *space);
/* The next region to take single pages from, its live bitmaps loaded; NULL: none, the file grows.
 */
KVI_MUST_CHECK int kvi_space_next_single(struct kvi_space *space,
                                         struct kvi_space_region **region_out);
/* The current region has no page left. */
void kvi_space_leave_single(struct kvi_space *space);

/* ---- runs.c ---- */

/* The first run of `count` available pages in [from, end) of a region whose live bitmaps are
 * loaded. */
bool kvi_space_find_run(const struct kvi_space_region *region, uint32_t from, uint32_t end,
                        uint32_t count, uint32_t *index_out);
/* A run of reusable pages, if one is found at bounded cost. */
KVI_MUST_CHECK int kvi_space_reuse_run(struct kvi_space *space, uint64_t count, uint64_t *pgno_out,
                                       bool *found_out);

/* ---- long.c ---- */

/* The same for a run longer than a region. */
KVI_MUST_CHECK int kvi_space_reuse_long(struct kvi_space *space, uint64_t count, uint64_t *pgno_out,
                                        bool *found_out);
/* Claims available pages of several regions. */
KVI_MUST_CHECK int kvi_space_claim_long(struct kvi_space *space, uint64_t pgno, uint64_t count);

/* ---- alloc.c ---- */

/* Claims available pages; returns the first one's number. */
uint64_t kvi_space_take(struct kvi_space *space, struct kvi_space_region *region, uint32_t index,
                        uint32_t count);

/* One page of this region, if one is available below the base's end. */
KVI_MUST_CHECK int kvi_space_alloc_in(struct kvi_space *space, struct kvi_space_region *region,
                                      uint64_t *pgno_out, bool *found_out);

/* ---- settle.c ---- */

KVI_MUST_CHECK int kvi_space_settle(struct kvi_space *space);
struct kvi_space_node *kvi_space_node_find(const struct kvi_space *space, unsigned level,
                                           uint64_t index);
/* Stores `entry` in the page above that of this level and index; levels of the map above `level`.
 */
void kvi_space_node_set_child(struct kvi_space *space, unsigned level, uint64_t index,
                              const struct kvi_map_entry *entry);

/* ---- build.c ---- */

KVI_MUST_CHECK int kvi_space_build(struct kvi_space *space, struct kvi_snap *snap,
                                   uint8_t *snap_page);
/* The highest claimed page + 1. */
KVI_MUST_CHECK int kvi_space_find_end(struct kvi_space *space, uint64_t *page_end_out);

#endif
