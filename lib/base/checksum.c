/* SPDX-License-Identifier: MIT */
/*
 * Owns the choice between the two builds of XXH3-64 and the one for any machine.
 *
 * The pointer starts at `choose`, which replaces it on the first call. Two threads that call first at
 * once both store the same value, so relaxed order is enough: what the pointer leads to is code.
 */
#include "base/checksum.h"

#include <stdatomic.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static uint64_t checksum_any(const void *data, size_t size_bytes)
{
    return XXH3_64bits(data, size_bytes);
}

static uint64_t choose(const void *data, size_t size_bytes);

static _Atomic(kvi_checksum_fn *) chosen = choose;

static uint64_t choose(const void *data, size_t size_bytes)
{
    kvi_checksum_fn *fn = checksum_any;

#if defined(__x86_64__)
    if (kvi_checksum_avx2 && __builtin_cpu_supports("avx2")) {
        fn = kvi_checksum_avx2;
    }
#endif
    atomic_store_explicit(&chosen, fn, memory_order_relaxed);
    return fn(data, size_bytes);
}

uint64_t kvi_checksum(const void *data, size_t size_bytes)
{
    return atomic_load_explicit(&chosen, memory_order_relaxed)(data, size_bytes);
}
