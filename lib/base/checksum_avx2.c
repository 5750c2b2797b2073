/* SPDX-License-Identifier: MIT */
/*
 * Owns XXH3-64 compiled for AVX2. The Makefile gives this one file -mavx2 on x86-64; compiled without
 * it, the pointer is NULL and the build for any machine is used. Everything that xxhash.h brings is
 * static here, so that no AVX2 code is linked into anything else.
 */
#include "base/checksum.h"

#if defined(__AVX2__)

#define XXH_INLINE_ALL
#include <xxhash.h>

static uint64_t checksum_avx2(const void *data, size_t size_bytes)
{
    return XXH3_64bits(data, size_bytes);
}

kvi_checksum_fn *const kvi_checksum_avx2 = checksum_avx2;

#else

kvi_checksum_fn *const kvi_checksum_avx2 = NULL;

#endif
