/* SPDX-License-Identifier: MIT */
/*
 * XXH3-64 (xxHash, header-only), the checksum of every page, run and meta slot.
 *
 * Compiled twice, once for AVX2; the first call chooses by the machine. Both give the same value.
 * Any thread may call it; it owns nothing and cannot fail.
 */
#ifndef KVI_BASE_CHECKSUM_H
#define KVI_BASE_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/* XXH3-64, seed 0, of `size_bytes` bytes at `data`. */
uint64_t kvi_checksum(const void *data, size_t size_bytes);

/* The build for AVX2, NULL where the compiler made none. Only for checksum.c and its test: calling it
 * on a machine without AVX2 is an illegal instruction. */
typedef uint64_t kvi_checksum_fn(const void *data, size_t size_bytes);
extern kvi_checksum_fn *const kvi_checksum_avx2;

/* The tag that a reference to a page with this checksum carries: its low half, 0 replaced by 1,
 * since tag 0 means "not sealed yet". */
static inline uint32_t kvi_checksum_tag(uint64_t checksum)
{
    uint32_t tag = (uint32_t)checksum;

    return tag ? tag : 1;
}

#endif
