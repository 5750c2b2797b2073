/* SPDX-License-Identifier: MIT */
/*
 * A meta slot: which snapshot, over which base, in which file (FORMAT section 9). 512 bytes, within
 * one sector; the checksum tells any torn byte.
 *
 * Pure encoding and decoding; any thread.
 */
#ifndef KVI_FORMAT_META_H
#define KVI_FORMAT_META_H

#include <stdbool.h>
#include <stdint.h>

#include "format/layout.h"

#ifdef KVI_SMALL_LIMITS
#define KVI_FORMAT_VERSION 0x80000001u /* smaller regions and fan-outs: others refuse the file */
#else
#define KVI_FORMAT_VERSION 1u
#endif

struct kvi_meta {
    uint32_t page_size;
    uint8_t file_id[16];
    uint64_t txnid;      /* of the snapshot */
    struct kvi_ref snap; /* its snapshot page */
    uint64_t base; /* txnid of the durable snapshot in the other slot; == txnid: sealed; 0: sealed
                    * by a recovery */
    uint64_t page_end; /* of the snapshot */
    uint64_t checksum; /* as stored; set by encode and decode */
};

enum kvi_meta_state {
    KVI_META_OK,
    KVI_META_FOREIGN, /* no magic: not a database, or never written */
    KVI_META_VERSION, /* magic, good checksum, but another version or unknown features */
    KVI_META_TORN     /* magic, but checksum or fields are bad */
};

/* Writes all 512 bytes and sets meta->checksum. */
void kvi_meta_encode(struct kvi_meta *meta, uint8_t slot[KVI_META_BYTES]);

/* Reads a slot; meta_out is set only for KVI_META_OK. Checks checksum, version, features, page
 * size, zero bytes, pgno and page_end for plausibility. */
enum kvi_meta_state kvi_meta_decode(const uint8_t slot[KVI_META_BYTES], struct kvi_meta *meta_out);

static inline bool kvi_meta_sealed(const struct kvi_meta *meta)
{
    return meta->base == meta->txnid || meta->base == 0;
}

#endif
