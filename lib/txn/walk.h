/* SPDX-License-Identifier: MIT */
/*
 * The walk: whether a snapshot is whole on top of an older one (docs/DURABILITY.md section 8).
 * Private to recovery.
 *
 * Reads with pread into memory of its own, so that a read error is an errno and not a signal. From
 * the newer snapshot's page it follows every reference; what the base's space map claims is old and
 * is not read, all else must be a page of a txn after the base, in the place, with the tag, type,
 * level and checksum that the reference calls for. No page is visited twice and none past the end
 * is read, so the walk ends on any bytes.
 *
 * With `rewrite` each page that passed is written once more with the bytes it has: the page cache
 * may hold what the disk lost. That changes no content, so it does no harm when the walk fails
 * later.
 *
 * Nothing here is shared; any thread.
 */
#ifndef KVI_TXN_WALK_H
#define KVI_TXN_WALK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "format/layout.h"
#include "format/meta.h"

/* A walk gives up when it has found so many times the pages that an unsealed snapshot may have. */
#define KVI_WALK_SLACK 4u
#define KVI_WALK_SLACK_PAGES 64u

enum kvi_walk_result {
    KVI_WALK_WHOLE,
    KVI_WALK_BROKEN,      /* a page is missing, stale or damaged: `text` says which */
    KVI_WALK_BASE_DAMAGED /* the base's snapshot page or space map does not verify */
};

struct kvi_walk {
    int fd;
    const char *path;
    const struct kvi_geometry *geometry;
    uint64_t file_bytes;
    const struct kvi_meta *newer;
    const struct kvi_meta *base; /* NULL: nothing is old, every page is read */
    uint64_t pages_max;          /* more new pages than this are KVI_WALK_BROKEN */
    bool rewrite;
};

/* 0: *result_out is valid; else an errno of reading or writing, or ENOMEM. */
KVI_MUST_CHECK int kvi_walk(const struct kvi_walk *walk, enum kvi_walk_result *result_out);

#endif
