/* SPDX-License-Identifier: MIT */
/*
 * From a reference to verified bytes: the read-only mapping of the data file and a snapshot's view
 * of it.
 *
 * `struct kvi_map` is the process's mapping: a large reserved range over the file that never moves
 * while a txn is open, and the notes: for each page number the tag under which this process has
 * verified the page's checksum, so that each page version is verified once. `struct kvi_view` adds
 * what a snapshot allows: page numbers below its page_end, txnids not above its own. The file must
 * be at least page_end pages long (whoever makes the view has seen to that; reading past the file's
 * end is SIGBUS); a page_end beyond the mapping is allowed, and following a reference there is
 * KV_ESIZELIMIT.
 *
 *      file     |0|1|2|3| ...            |end of file
 *      mapping  |0|1|2|3| ...            |  ... reserved, readable once the file is longer ...    |
 *      notes    |-|t|t|-| ...            |- - - - - - - - - - - - - - - - - - - - - - - - - - - - |
 *
 * Following a reference costs two compares more than trusting it: the child's header must carry the
 * tag, and the note must hold it. Anything else goes to kvi_view_verify, which computes the
 * checksum and checks pgno, txnid, type and level. Type and level are compared on every visit, so
 * that no chain of references can be endless.
 *
 * Any number of threads may use a map and a view; notes are relaxed atomics (a lost one costs a
 * second verification). Nothing here writes to the file.
 */
#ifndef KVI_PAGER_VIEW_H
#define KVI_PAGER_VIEW_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "format/layout.h"
#include "os/guard.h"

struct kvi_map {
    const uint8_t *base;      /* start of the reserved range */
    _Atomic(uint32_t) *notes; /* by pgno: tag verified; 0 none */
    uint64_t pages_max;       /* pages that fit the range, and notes */
    struct kvi_geometry geometry;
    uint64_t reserved_bytes;     /* of the range */
    const char *path;            /* for error texts; outlives the map */
    int fd;                      /* not owned */
    struct kvi_guard_mark *mark; /* tells of pages that could not be had; NULL: not guarded */
    struct kvi_guard_slot *guarded;
};

/* Reserves and maps. want_bytes 0: KVI_RESERVE_DEFAULT (more for a file that fills half of it),
 * halved until it fits twice, so that what one env takes leaves as much again to others; the least
 * that is tried is what file_bytes needs, and KVI_RESERVE_MIN. Else want_bytes, or what file_bytes
 * needs if that is more, and no other size. ENOMEM when there is no such range. *map is cleared on
 * failure. */
KVI_MUST_CHECK int kvi_map_open(struct kvi_map *map, const struct kvi_geometry *g, int fd,
                                const char *path, uint64_t want_bytes, uint64_t file_bytes);

/* From now on a page that cannot be had is zeros, and raises the mark, which outlives the map:
 * before the first load of the mapping. ENOMEM. */
KVI_MUST_CHECK int kvi_map_guard(struct kvi_map *map, struct kvi_guard_mark *mark);

/* Unmaps; a map that is all zero (never opened, or closed) is allowed. */
void kvi_map_close(struct kvi_map *map);

struct kvi_view {
    const struct kvi_map *map;
    uint64_t page_end; /* references at or above are damage */
    uint64_t txnid;    /* pages with a higher txnid are damage */
};

/* The slow path: verifies page `ref` fully and notes it. Results as kvi_view_page. */
KVI_MUST_CHECK int kvi_view_verify(const struct kvi_view *view, struct kvi_ref ref,
                                   enum kvi_page_type type, unsigned level,
                                   const uint8_t **page_out) KVI_COLD;

/* Whether the header names this page, type and level: one compare of the 8 bytes that hold all
 * three. */
static inline bool kvi_header_is(const uint8_t *page, uint64_t pgno, enum kvi_page_type type,
                                 unsigned level)
{
    return kvi_le_load64(page + KVI_HEADER_PGNO) ==
           (pgno | (uint64_t)type << 48 | (uint64_t)level << 56);
}

/* Whether this version of the page was verified by this process, and still carries its tag. With
 * KVI_TRUST_PAGES, a build that only the benchmark makes, nothing is asked: what verifying costs.
 */
static inline bool kvi_view_noted(const struct kvi_map *map, const uint8_t *page,
                                  struct kvi_ref ref)
{
#ifdef KVI_TRUST_PAGES
    (void)map;
    (void)page;
    (void)ref;
    return true;
#else
    return atomic_load_explicit(&map->notes[ref.pgno], memory_order_relaxed) == ref.tag &&
           kvi_le_load32(page + KVI_HEADER_CHECKSUM) == ref.tag;
#endif
}

/* The page that `ref` names, verified, of this type and level. KV_ECORRUPT with a text else;
 * KV_ESIZELIMIT for a page that the reservation does not reach. The pointer lives as long as the
 * snapshot is pinned. */
static inline int kvi_view_page(const struct kvi_view *view, struct kvi_ref ref,
                                enum kvi_page_type type, unsigned level, const uint8_t **page_out)
{
    const struct kvi_map *map = view->map;

    if (KVI_LIKELY(ref.pgno < view->page_end && ref.pgno < map->pages_max && ref.tag != 0)) {
        const uint8_t *page = map->base + (ref.pgno << map->geometry.page_shift);

        if (KVI_LIKELY(kvi_view_noted(map, page, ref) &&
                       kvi_header_is(page, ref.pgno, type, level))) {
            *page_out = page;
            return 0;
        }
    }
    return kvi_view_verify(view, ref, type, level, page_out);
}

/* The value of an overflow run: `size_bytes` must be what its header says. Verified as a whole
 * before the first byte is handed out. */
KVI_MUST_CHECK int kvi_view_run(const struct kvi_view *view, struct kvi_ref ref,
                                uint64_t size_bytes, const uint8_t **data_out);

/* That a run of this size begins at `ref`, from its first page's header: for one that is to be
 * freed unread. The checksum is not computed. */
KVI_MUST_CHECK int kvi_view_run_head(const struct kvi_view *view, struct kvi_ref ref,
                                     uint64_t size_bytes);

/* Notes that the bytes of page `pgno` in the file are known to carry `tag` (the writer wrote them).
 * pgno must be below pages_max. */
static inline void kvi_map_note(const struct kvi_map *map, uint64_t pgno, uint32_t tag)
{
    atomic_store_explicit(&map->notes[pgno], tag, memory_order_relaxed);
}

#endif
