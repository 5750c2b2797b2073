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

/* The same over `a` followed by `b`, for bytes that do not stand together. Meant for large ones: it
 * is slower than kvi_checksum where all fit a page. */
uint64_t kvi_checksum2(const void *a, size_t a_bytes, const void *b, size_t b_bytes);

/* The builds for AVX2, NULL where the compiler made none. Only for checksum.c and its test: calling
 * one on a machine without AVX2 is an illegal instruction. */
typedef uint64_t kvi_checksum_fn(const void *data, size_t size_bytes);
typedef uint64_t kvi_checksum2_fn(const void *a, size_t a_bytes, const void *b, size_t b_bytes);
extern kvi_checksum_fn *const kvi_checksum_avx2;
extern kvi_checksum2_fn *const kvi_checksum2_avx2;

/* The tag that a reference to a page with this checksum carries: its low half, 0 replaced by 1,
 * since tag 0 means "not sealed yet". */
static inline uint32_t kvi_checksum_tag(uint64_t checksum)
{
    uint32_t tag = (uint32_t)checksum;

    return tag ? tag : 1;
}

#endif
