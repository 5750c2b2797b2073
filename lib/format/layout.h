/* SPDX-License-Identifier: MIT */
/*
 * Offsets, sizes and constants of the file, as in docs/FORMAT.md, and the geometry that follows
 * from the page size. Everything that is read from or written to a page goes through these names.
 *
 * Owns no state; any thread may use it.
 */
#ifndef KVI_FORMAT_LAYOUT_H
#define KVI_FORMAT_LAYOUT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/le.h"
#include "base/limits.h"

enum kvi_page_type {
    KVI_PAGE_BRANCH = 1,
    KVI_PAGE_LEAF = 2,
    KVI_PAGE_OVERFLOW = 3,
    KVI_PAGE_SNAPSHOT = 4,
    KVI_PAGE_BITMAP = 5,
    KVI_PAGE_INDEX = 6
};

enum kvi_header_layout {
    KVI_HEADER_CHECKSUM = 0,
    KVI_HEADER_PGNO = 8,
    KVI_HEADER_TYPE = 14,
    KVI_HEADER_LEVEL = 15,
    KVI_HEADER_TXNID = 16,
    KVI_HEADER_COUNT = 24,
    KVI_HEADER_PREFIX = 26,
    KVI_HEADER_CELLS = 28,
    KVI_HEADER_FLAGS = 30,
    KVI_HEADER_RUN_SIZE = 24, /* overflow: u64 value size */
    KVI_HEADER_BYTES = 32
};

/* KVI_HEADER_FLAGS of tree pages: what a page must tell of its table's shape (format/shape.h). */
#define KVI_PAGE_COUNTED 0x0001u      /* branch: cells count the records below them */
#define KVI_PAGE_COUNTED_KEYS 0x0002u /* branch, with COUNTED: and the keys */
#define KVI_PAGE_SETS 0x0004u         /* leaf: every cell is a set of values */
#define KVI_PAGE_ORDER_SHIFT 4u       /* leaf: enum kv_order of keys; branch: CUSTOM or 0 */
#define KVI_PAGE_ORDER_MASK 0x0070u
#define KVI_PAGE_ALIGN_SHIFT 8u /* leaf: log2 of the payloads' alignment: 0, 3 or 4 */
#define KVI_PAGE_ALIGN_MASK 0x0F00u

#define KVI_PGNO_MAX (((uint64_t)1 << 48) - 1)
#define KVI_META_SLOT_1_OFFSET 65536u
#define KVI_META_BYTES 512u
#define KVI_SLOT_BYTES 6u /* of a tree page: a head and an offset */
/* Of half a page: what a cell needs beside its key, and spare. */
#define KVI_KEY_RESERVE_BYTES 52u

/* What follows from the page size; derived once at open, read-only after. */
struct kvi_geometry {
    uint32_t page_size;       /* bytes */
    uint32_t page_shift;      /* log2 of it */
    uint32_t region_pages;    /* pages of a region: bits of a bitmap page */
    uint32_t map_inline;      /* space map entries that fit a snapshot page */
    uint32_t map_fanout;      /* entries that fit an index page */
    uint32_t key_bytes_max;   /* longest key */
    uint32_t cell_bytes_max;  /* largest cell, its slot not counted */
    uint32_t one_flush_pages; /* more allocated since the base: pages are flushed before the meta */
    uint64_t meta_pgno_1;     /* page that holds meta slot 1 */
};

/* Fills `geometry`; false if page_size is not a power of two in the allowed range. */
bool kvi_geometry_init(struct kvi_geometry *geometry, uint32_t page_size);

/* Pages of an overflow run for a value of size_bytes. */
static inline uint64_t kvi_run_pages(const struct kvi_geometry *g, uint64_t size_bytes)
{
    return (size_bytes + KVI_HEADER_BYTES + g->page_size - 1) >> g->page_shift;
}

/* A reference to a page. pgno 0: none. tag 0: not sealed yet (in memory only). */
struct kvi_ref {
    uint64_t pgno;
    uint32_t tag;
};

#define KVI_REF_BYTES 10u

static inline struct kvi_ref kvi_ref_load(const uint8_t *p)
{
    struct kvi_ref ref = {kvi_le_load48(p), kvi_le_load32(p + 6)};

    return ref;
}

static inline void kvi_ref_store(uint8_t *p, struct kvi_ref ref)
{
    kvi_le_store48(p, ref.pgno);
    kvi_le_store32(p + 6, ref.tag);
}

/* ---- Page header ---- */

static inline uint64_t kvi_header_checksum(const uint8_t *page)
{
    return kvi_le_load64(page + KVI_HEADER_CHECKSUM);
}

static inline uint64_t kvi_header_pgno(const uint8_t *page)
{
    return kvi_le_load48(page + KVI_HEADER_PGNO);
}

static inline unsigned kvi_header_type(const uint8_t *page)
{
    return page[KVI_HEADER_TYPE];
}

static inline unsigned kvi_header_level(const uint8_t *page)
{
    return page[KVI_HEADER_LEVEL];
}

static inline uint64_t kvi_header_txnid(const uint8_t *page)
{
    return kvi_le_load64(page + KVI_HEADER_TXNID);
}

static inline unsigned kvi_header_count(const uint8_t *page)
{
    return kvi_le_load16(page + KVI_HEADER_COUNT);
}

static inline unsigned kvi_header_flags(const uint8_t *page)
{
    return kvi_le_load16(page + KVI_HEADER_FLAGS);
}

static inline uint64_t kvi_header_run_size(const uint8_t *page)
{
    return kvi_le_load64(page + KVI_HEADER_RUN_SIZE);
}

/* Zeroes the header and sets its identity. */
void kvi_header_init(uint8_t *page, enum kvi_page_type type, unsigned level, uint64_t pgno,
                     uint64_t txnid);

/* Bytes that the checksum of this page or run covers, counted from the page's start; of an overflow
 * page computed from its run size. 0 if that size is impossible. */
uint64_t kvi_page_covered(const struct kvi_geometry *g, const uint8_t *page);

/* Computes and stores the checksum over the page (or run, contiguous at `page`); returns its tag.
 */
uint32_t kvi_page_seal(const struct kvi_geometry *g, uint8_t *page);

/* Whether the stored checksum is right; `page` must be readable for kvi_page_covered bytes. */
bool kvi_page_sound(const struct kvi_geometry *g, const uint8_t *page);

/* The tag of a sealed page: from its stored checksum, nothing is computed. */
uint32_t kvi_page_tag(const uint8_t *page);

#endif
