/* SPDX-License-Identifier: MIT */
/*
 * Owns XXH3-64 compiled for AVX2. The Makefile gives this one file -mavx2 on x86-64; compiled
 * without it, the pointer is NULL and the build for any machine is used. Everything that xxhash.h
 * brings is static here, so that no AVX2 code is linked into anything else.
 */
#include "base/checksum.h"

#if defined(__AVX2__)

#define XXH_INLINE_ALL
#include <xxhash.h>

static uint64_t checksum_avx2(const void *data, size_t size_bytes)
{
    return XXH3_64bits(data, size_bytes);
}

static uint64_t checksum2_avx2(const void *a, size_t a_bytes, const void *b, size_t b_bytes)
{
    XXH3_state_t state;

    XXH3_64bits_reset(&state);
    XXH3_64bits_update(&state, a, a_bytes);
    XXH3_64bits_update(&state, b, b_bytes);
    return XXH3_64bits_digest(&state);
}

kvi_checksum_fn *const kvi_checksum_avx2 = checksum_avx2;
kvi_checksum2_fn *const kvi_checksum2_avx2 = checksum2_avx2;

#else

kvi_checksum_fn *const kvi_checksum_avx2 = NULL;
kvi_checksum2_fn *const kvi_checksum2_avx2 = NULL;

#endif
