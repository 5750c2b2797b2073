/* SPDX-License-Identifier: MIT */
/*
 * Owns the 512 bytes of a meta slot (FORMAT section 9).
 *
 * Refuses anything that a writer of this version does not write: decoding never yields a meta whose
 * page numbers could not be, so that the caller may follow the reference at once. Any thread.
 */
#include "format/meta.h"

#include <string.h>

#include "base/checksum.h"

enum meta_layout {
    META_MAGIC = 0,
    META_VERSION = 8,
    META_PAGE_SIZE = 12,
    META_FILE_ID = 16,
    META_TXNID = 32,
    META_SNAP = 40,
    META_ZERO_1 = 50,
    META_FEATURES = 52,
    META_BASE = 56,
    META_PAGE_END = 64,
    META_ZERO_2 = 72,
    META_CHECKSUM = 504
};

_Static_assert(META_VERSION == META_MAGIC + 8, "8 bytes magic");
_Static_assert(META_PAGE_SIZE == META_VERSION + 4, "u32 version");
_Static_assert(META_FILE_ID == META_PAGE_SIZE + 4, "u32 page size");
_Static_assert(META_TXNID == META_FILE_ID + 16, "16 bytes file id");
_Static_assert(META_SNAP == META_TXNID + 8, "u64 txnid");
_Static_assert(META_ZERO_1 == META_SNAP + KVI_REF_BYTES, "reference");
_Static_assert(META_FEATURES == META_ZERO_1 + 2, "u16 zero");
_Static_assert(META_BASE == META_FEATURES + 4, "u32 features");
_Static_assert(META_PAGE_END == META_BASE + 8, "u64 base");
_Static_assert(META_ZERO_2 == META_PAGE_END + 8, "u64 page_end");
_Static_assert(META_CHECKSUM == META_ZERO_2 + 432, "432 bytes zero");
_Static_assert(META_CHECKSUM + 8 == KVI_META_BYTES, "u64 checksum ends the slot");

static const uint8_t magic[8] = {0x89, 0x6B, 0x76, 0x64, 0x62, 0x0D, 0x0A, 0x1A};

void kvi_meta_encode(struct kvi_meta *meta, uint8_t slot[KVI_META_BYTES])
{
    memset(slot, 0, KVI_META_BYTES);
    memcpy(slot + META_MAGIC, magic, sizeof(magic));
    kvi_le_store32(slot + META_VERSION, KVI_FORMAT_VERSION);
    kvi_le_store32(slot + META_PAGE_SIZE, meta->page_size);
    memcpy(slot + META_FILE_ID, meta->file_id, sizeof(meta->file_id));
    kvi_le_store64(slot + META_TXNID, meta->txnid);
    kvi_ref_store(slot + META_SNAP, meta->snap);
    kvi_le_store64(slot + META_BASE, meta->base);
    kvi_le_store64(slot + META_PAGE_END, meta->page_end);
    meta->checksum = kvi_checksum(slot, META_CHECKSUM);
    kvi_le_store64(slot + META_CHECKSUM, meta->checksum);
}

static bool all_zero(const uint8_t *p, size_t size_bytes)
{
    uint8_t any = 0;

    for (size_t i = 0; i < size_bytes; i++)
        any |= p[i];
    return any == 0;
}

/* Whether the fields could have been written: a snapshot page that exists, no base after itself.
 * Base 0 is recovery's. */
static bool fields_plausible(const struct kvi_meta *meta)
{
    struct kvi_geometry g;

    if (!kvi_geometry_init(&g, meta->page_size))
        return false;
    if (meta->page_end > KVI_PGNO_MAX || meta->page_end <= g.meta_pgno_1)
        return false;
    if (meta->snap.pgno == 0 || meta->snap.pgno == g.meta_pgno_1)
        return false;
    if (meta->snap.pgno >= meta->page_end || meta->snap.tag == 0)
        return false;
    return meta->txnid != 0 && meta->base <= meta->txnid;
}

enum kvi_meta_state kvi_meta_decode(const uint8_t slot[KVI_META_BYTES], struct kvi_meta *meta_out)
{
    struct kvi_meta meta;

    if (memcmp(slot + META_MAGIC, magic, sizeof(magic)) != 0)
        return KVI_META_FOREIGN;
    meta.checksum = kvi_le_load64(slot + META_CHECKSUM);
    if (meta.checksum != kvi_checksum(slot, META_CHECKSUM))
        return KVI_META_TORN;
    if (kvi_le_load32(slot + META_VERSION) != KVI_FORMAT_VERSION)
        return KVI_META_VERSION;
    if (kvi_le_load32(slot + META_FEATURES) != 0)
        return KVI_META_VERSION;
    meta.page_size = kvi_le_load32(slot + META_PAGE_SIZE);
    memcpy(meta.file_id, slot + META_FILE_ID, sizeof(meta.file_id));
    meta.txnid = kvi_le_load64(slot + META_TXNID);
    meta.snap = kvi_ref_load(slot + META_SNAP);
    meta.base = kvi_le_load64(slot + META_BASE);
    meta.page_end = kvi_le_load64(slot + META_PAGE_END);
    if (!all_zero(slot + META_ZERO_1, META_FEATURES - META_ZERO_1))
        return KVI_META_TORN;
    if (!all_zero(slot + META_ZERO_2, META_CHECKSUM - META_ZERO_2))
        return KVI_META_TORN;
    if (!fields_plausible(&meta))
        return KVI_META_TORN;
    *meta_out = meta;
    return KVI_META_OK;
}
