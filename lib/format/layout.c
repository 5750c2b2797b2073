/* SPDX-License-Identifier: MIT */
/*
 * Owns the geometry that follows from the page size, the page header and its checksum.
 *
 * The static asserts hold the constants of layout.h against the tables of docs/FORMAT.md. Refuses
 * page sizes outside of 4 to 64 KiB and run sizes that no run can have. Owns no state; any thread.
 */
#include "format/layout.h"

#include <string.h>

#include "base/checksum.h"
#include "format/snap.h"

/* Section 3: the header. */
_Static_assert(KVI_HEADER_CHECKSUM == 0, "u64 checksum");
_Static_assert(KVI_HEADER_PGNO == KVI_HEADER_CHECKSUM + 8, "u48 pgno");
_Static_assert(KVI_HEADER_TYPE == KVI_HEADER_PGNO + 6, "u8 type");
_Static_assert(KVI_HEADER_LEVEL == KVI_HEADER_TYPE + 1, "u8 level");
_Static_assert(KVI_HEADER_TXNID == KVI_HEADER_LEVEL + 1, "u64 txnid");
_Static_assert(KVI_HEADER_COUNT == KVI_HEADER_TXNID + 8, "u16 count");
_Static_assert(KVI_HEADER_PREFIX == KVI_HEADER_COUNT + 2, "u16 prefix_bytes");
_Static_assert(KVI_HEADER_CELLS == KVI_HEADER_PREFIX + 2, "u16 cells_bytes");
_Static_assert(KVI_HEADER_FLAGS == KVI_HEADER_CELLS + 2, "u16 flags");
_Static_assert(KVI_HEADER_BYTES == KVI_HEADER_FLAGS + 2, "32 bytes");
_Static_assert(KVI_HEADER_RUN_SIZE == 24, "u64 run size");
_Static_assert(KVI_HEADER_RUN_SIZE + 8 == KVI_HEADER_BYTES, "value from byte 32");
_Static_assert(KVI_HEADER_BYTES % 16 == 0, "large values are aligned to 16");

/* Sections 1 and 2. */
_Static_assert(KVI_REF_BYTES == 6 + 4, "u48 pgno, u32 tag");
_Static_assert(KVI_META_BYTES == 512, "one sector");
_Static_assert(KVI_META_SLOT_1_OFFSET == KVI_PAGE_SIZE_MAX,
               "slot 1 begins a page at any page size");
_Static_assert(KVI_PAGE_SIZE_MAX - KVI_HEADER_BYTES <= UINT16_MAX, "cells_bytes fits its field");

static uint32_t limit_to(uint32_t natural, uint32_t limit)
{
    return limit && limit < natural ? limit : natural;
}

bool kvi_geometry_init(struct kvi_geometry *geometry, uint32_t page_size)
{
    uint32_t half = (page_size - KVI_HEADER_BYTES) / 2;

    memset(geometry, 0, sizeof(*geometry));
    if (page_size < KVI_PAGE_SIZE_MIN || page_size > KVI_PAGE_SIZE_MAX)
        return false;
    if (page_size & (page_size - 1))
        return false;
    geometry->page_size = page_size;
    while ((uint32_t)1 << geometry->page_shift < page_size)
        geometry->page_shift++;
    geometry->region_pages = limit_to((page_size - KVI_HEADER_BYTES) * 8, KVI_REGION_BITS_MAX);
    geometry->map_inline =
        limit_to((page_size - KVI_SNAP_ENTRIES) / KVI_MAP_ENTRY_BYTES, KVI_MAP_INLINE_MAX);
    geometry->map_fanout =
        limit_to((page_size - KVI_HEADER_BYTES) / KVI_MAP_ENTRY_BYTES, KVI_MAP_FANOUT_MAX);
    geometry->key_bytes_max = half - KVI_KEY_RESERVE_BYTES;
    geometry->cell_bytes_max = half - KVI_SLOT_BYTES;
    geometry->one_flush_pages =
        KVI_ONE_FLUSH_PAGES ? KVI_ONE_FLUSH_PAGES : (uint32_t)(KVI_ONE_FLUSH_BYTES / page_size);
    geometry->meta_pgno_1 = KVI_META_SLOT_1_OFFSET / page_size;
    return true;
}

void kvi_header_init(uint8_t *page, enum kvi_page_type type, unsigned level, uint64_t pgno,
                     uint64_t txnid)
{
    memset(page, 0, KVI_HEADER_BYTES);
    kvi_le_store48(page + KVI_HEADER_PGNO, pgno);
    page[KVI_HEADER_TYPE] = (uint8_t)type;
    page[KVI_HEADER_LEVEL] = (uint8_t)level;
    kvi_le_store64(page + KVI_HEADER_TXNID, txnid);
}

uint64_t kvi_page_covered(const struct kvi_geometry *g, const uint8_t *page)
{
    uint64_t size_bytes;

    if (kvi_header_type(page) != KVI_PAGE_OVERFLOW)
        return g->page_size;
    size_bytes = kvi_header_run_size(page);
    if (size_bytes == 0 || size_bytes > KVI_VALUE_BYTES_MAX)
        return 0;
    return KVI_HEADER_BYTES + size_bytes;
}

static uint64_t compute_checksum(const uint8_t *page, uint64_t covered)
{
    return kvi_checksum(page + KVI_HEADER_PGNO, (size_t)(covered - KVI_HEADER_PGNO));
}

uint32_t kvi_page_seal(const struct kvi_geometry *g, uint8_t *page)
{
    uint64_t covered = kvi_page_covered(g, page);
    uint64_t checksum;

    if (covered == 0) /* no such run: sealed as a bare header, which no reader accepts */
        covered = KVI_HEADER_BYTES;
    checksum = compute_checksum(page, covered);
    kvi_le_store64(page + KVI_HEADER_CHECKSUM, checksum);
    return kvi_checksum_tag(checksum);
}

bool kvi_page_sound(const struct kvi_geometry *g, const uint8_t *page)
{
    uint64_t covered = kvi_page_covered(g, page);

    return covered != 0 && compute_checksum(page, covered) == kvi_header_checksum(page);
}

uint32_t kvi_page_tag(const uint8_t *page)
{
    return kvi_checksum_tag(kvi_header_checksum(page));
}
