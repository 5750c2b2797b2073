/* SPDX-License-Identifier: MIT */
/*
 * Golden files: whole databases of 17 pages of 4 KiB that are put together byte by byte from the
 * tables of docs/FORMAT.md, and again through lib/format.
 */
#ifndef GOLDEN_H
#define GOLDEN_H

#include "harness.h"

#include "format/layout.h"
#include "format/snap.h"

#define GOLDEN_PAGES 17
#define GOLDEN_BYTES (GOLDEN_PAGES * 4096)

struct golden_bytes {
    unsigned offset;
    const char *hex; /* "0a 0b", or "" */
};

/* ---- By hand ---- */

/* An image with these bytes in it, the rest zeros. */
uint8_t *golden_by_hand(const struct golden_bytes *bytes, size_t count);

/* The checksum of a page over its bytes from 8 to `end`, and its low half as tag at `reference`. */
void golden_seal(uint8_t *image, unsigned page, unsigned end, unsigned reference);

/* Checksum of meta slot 0, and the same slot once more. */
void golden_seal_metas(uint8_t *image);

/* ---- By the library ---- */

/* The bitmap of region 0 at page `pgno`, with pages 0 to pgno_last and that of meta slot 1 claimed,
 * and its entry. */
struct kvi_map_entry golden_bitmap(uint8_t *image, uint64_t pgno, unsigned pgno_last);

/* Both meta slots, of txn 2, sealed. */
void golden_metas(uint8_t *image, struct kvi_ref snap);

/* ---- Files ---- */

uint8_t *golden_read(const char *path);
void golden_compare(const uint8_t *made, const uint8_t *golden);

/* Compares the image with the file, and frees it; with KV_GOLDEN_WRITE in the environment and
 * `write` writes the file before: only for a new version of the format. */
void golden_expect(uint8_t *made, const char *path, bool write);

#endif
