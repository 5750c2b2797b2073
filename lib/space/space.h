/* SPDX-License-Identifier: MIT */
/*
 * The space map of a write txn: which pages may be used next, and the map that its commit writes.
 *
 * A page is reusable when no live snapshot's bitmap claims it (DESIGN 4). `struct kvi_space` starts
 * from the newest committed snapshot's map and the set of live snapshots; for each region that is
 * touched it keeps a private image of the base's bitmap ("claim"), in which allocations are set and
 * frees cleared. A page is available when its bit is clear in the claim image and in the bitmaps of
 * all live snapshots, read word by word where the search passes, so that a small txn pays for the
 * words it looks at and not for the free pages of the file.
 *
 * Knows no tree and no txn. Reads pages through a callback (the pager's verified read) and makes
 * the file longer through another. Page images that a commit must write are owned here until
 * kvi_space_release.
 *
 * Invariants (numbers as in docs/ARCHITECTURE.md):
 *   S1  a page handed out has its bit clear in every live snapshot and in the claim before, set
 * after; S2  retire clears the claim of a page the base claims; it stays unavailable in this txn,
 * as the base is live; release clears the claim of a page handed out in this txn, which may be
 * handed out again; S3  after kvi_space_commit the claim images are what the new snapshot page's
 * map says, exactly.
 *
 * One thread at a time: the writer's.
 */
#ifndef KVI_SPACE_SPACE_H
#define KVI_SPACE_SPACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "format/layout.h"
#include "format/snap.h"

/* How the space map reaches pages and the file. */
struct kvi_space_io {
    void *context;
    /* The verified page that `ref` names, of this type and level; valid while its snapshot is live.
     */
    int (*read)(void *context, struct kvi_ref ref, enum kvi_page_type type, unsigned level,
                const uint8_t **page_out);
    /* Makes the file at least page_end pages long. KV_ESIZELIMIT, ENOSPC, ... */
    int (*grow)(void *context, uint64_t page_end);
    const char *path; /* for error texts */
};

/* A live snapshot as far as the space map needs it: its snapshot page, verified, in the mapping. */
struct kvi_space_snapshot {
    const uint8_t *page; /* inline entries stand at KVI_SNAP_ENTRIES */
    uint64_t page_end;
    uint32_t map_count;
    uint8_t map_levels;
};

/* What a process remembers between txns: for each region, that a search with this live set found
 * few pages. Verified on use, so that stale content costs time and some growth of the file only. */
struct kvi_space_hints;
struct kvi_space_hints *kvi_space_hints_new(void); /* NULL: no memory; works without */
void kvi_space_hints_free(struct kvi_space_hints *hints);

/* A page image that commit must write. */
struct kvi_space_page {
    uint64_t pgno;
    uint8_t *image; /* page_size bytes, sealed by kvi_space_commit */
};

struct kvi_space;

/* Starts from `base` (the newest committed snapshot, decoded, and its page). `live` lists every
 * live snapshot, base included, in any order, duplicates allowed; copied. The pages that they point
 * to must stay readable until kvi_space_close. txnid is the new txn's. */
KVI_MUST_CHECK int kvi_space_open(const struct kvi_geometry *g, const struct kvi_space_io *io,
                                  const struct kvi_snap *base, const uint8_t *base_page,
                                  const struct kvi_space_snapshot *live, size_t live_count,
                                  struct kvi_space_hints *hints, uint64_t txnid,
                                  struct kvi_space **space_out);

/* Frees everything, images included. NULL is allowed. Nothing was written, so nothing is undone. */
void kvi_space_close(struct kvi_space *space);

/* What is done, once or more in a txn, when no page is found and the file may not grow: `fn` lets go
 * of what snapshots it can and tells by kvi_space_keep which ones are live still. Then all of the
 * file is searched, however long that takes. A result of `fn` other than 0: nothing was gained. */
typedef int kvi_space_relieve_fn(void *context, struct kvi_space *space);
void kvi_space_on_full(struct kvi_space *space, kvi_space_relieve_fn *fn);
void kvi_space_keep(struct kvi_space *space, const struct kvi_space_snapshot *live, size_t count);

/* Hands out `count` consecutive pages: reusable ones, lowest first and in file order, else new ones
 * at the end of the file. For count > 1 a run is looked for with the map's free_run figures,
 * boundedly; a run never crosses a region's end unless it is longer than a region, when it is taken
 * at the file's end. */
KVI_MUST_CHECK int kvi_space_alloc(struct kvi_space *space, uint64_t count, uint64_t *pgno_out);

/* Gives back pages that this txn was handed (release) or that the base claims (retire). KV_ECORRUPT
 * if a page is not claimed (a double free is damage in the file's references). */
KVI_MUST_CHECK int kvi_space_release(struct kvi_space *space, uint64_t pgno, uint64_t count);
KVI_MUST_CHECK int kvi_space_retire(struct kvi_space *space, uint64_t pgno, uint64_t count);

/* Pages handed out and not released, and pages retired, so far: the size of the commit. */
uint64_t kvi_space_allocated(const struct kvi_space *space);
uint64_t kvi_space_retired(const struct kvi_space *space);

/* Writes the map of the new snapshot: retires the base's snapshot page and every map page that
 * changes, hands out new pages for them and for the new snapshot page, until nothing more changes;
 * fills in the images, sealed bottom up; stores the inline entries into snap_page (page_size bytes,
 * zeroed by the caller) and sets snap's pgno, page_end, pages_used, pages_map, map_count and
 * map_levels. The caller then encodes and seals the snapshot page. No alloc or free may follow. */
KVI_MUST_CHECK int kvi_space_commit(struct kvi_space *space, struct kvi_snap *snap,
                                    uint8_t *snap_page);

/* The map pages to write, by ascending pgno, after kvi_space_commit. Owned by the space. */
const struct kvi_space_page *kvi_space_pages(const struct kvi_space *space, size_t *count_out);

/* ---- A new database ---- */

/* The map of a new database's only snapshot: claims the meta pages, the bitmap page and the
 * snapshot page. Sets snap's pgno, page_end, pages_used, pages_map, map_count and map_levels,
 * stores the inline entry into snap_page (zeroed by the caller, who then encodes and seals it), and
 * lays out the bitmap page, sealed, in bitmap->image (page_size bytes of the caller's), which
 * belongs at bitmap->pgno. */
void kvi_space_create(const struct kvi_geometry *g, uint64_t txnid, struct kvi_snap *snap,
                      uint8_t *snap_page, struct kvi_space_page *bitmap);

/* ---- Reading a map ---- */

/* The entry for `region` in the map of a snapshot, going through index pages: *entry_out has
 * ref.pgno 0 when nothing there is claimed. */
KVI_MUST_CHECK int kvi_map_lookup(const struct kvi_geometry *g, const struct kvi_space_io *io,
                                  const struct kvi_space_snapshot *snapshot, uint64_t region,
                                  struct kvi_map_entry *entry_out);

/* Whether the snapshot claims pgno: for the walk of recovery, check, and tests. */
KVI_MUST_CHECK int kvi_map_claims(const struct kvi_geometry *g, const struct kvi_space_io *io,
                                  const struct kvi_space_snapshot *snapshot, uint64_t pgno,
                                  bool *claims_out);

/* Calls `fn` for every map page (index and bitmap) of the snapshot, index pages first, with the
 * entry's reference, its level (0: bitmap) and position: the first region below it. A result of
 * `fn` other than 0 ends the walk and is returned; KVI_MAP_SKIP: do not descend below this page. */
#define KVI_MAP_SKIP (-1)
typedef int kvi_map_page_fn(void *context, struct kvi_ref ref, unsigned level, uint64_t region,
                            const struct kvi_map_entry *entry);
KVI_MUST_CHECK int kvi_map_walk(const struct kvi_geometry *g, const struct kvi_space_io *io,
                                const struct kvi_space_snapshot *snapshot, kvi_map_page_fn *fn,
                                void *context);

/* Ranges of at least min_pages pages that neither a live snapshot nor this txn claims, ascending,
 * below the largest page_end of a live snapshot: for punching and for trim. A result of `fn` other
 * than 0 ends it and is returned. */
typedef int kvi_space_range_fn(void *context, uint64_t pgno, uint64_t count);
KVI_MUST_CHECK int kvi_space_free_ranges(struct kvi_space *space, uint64_t min_pages,
                                         kvi_space_range_fn *fn, void *context);

/* The same for pages that one snapshot does not claim, below its page_end. */
KVI_MUST_CHECK int kvi_map_free(const struct kvi_geometry *g, const struct kvi_space_io *io,
                                const struct kvi_space_snapshot *snapshot, kvi_space_range_fn *fn,
                                void *context);

/* Pages that `snapshot` claims and no snapshot of `others` does: what it alone keeps from reuse. */
KVI_MUST_CHECK int kvi_map_only(const struct kvi_geometry *g, const struct kvi_space_io *io,
                                const struct kvi_space_snapshot *snapshot,
                                const struct kvi_space_snapshot *others, size_t count,
                                uint64_t *pages_out);

#endif
