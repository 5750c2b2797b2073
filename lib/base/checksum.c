/* SPDX-License-Identifier: MIT */
/*
 * Owns the choice between the two builds of XXH3-64 and the one for any machine.
 *
 * The pointer starts at `choose`, which replaces it on the first call. Two threads that call first
 * at once both store the same value, so relaxed order is enough: what the pointer leads to is code.
 */
#include "base/checksum.h"

#include <stdatomic.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static uint64_t checksum_any(const void *data, size_t size_bytes)
{
    return XXH3_64bits(data, size_bytes);
}

static uint64_t checksum2_any(const void *a, size_t a_bytes, const void *b, size_t b_bytes)
{
    XXH3_state_t state;

    XXH3_64bits_reset(&state);
    XXH3_64bits_update(&state, a, a_bytes);
    XXH3_64bits_update(&state, b, b_bytes);
    return XXH3_64bits_digest(&state);
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

/* Asks the machine at each call, which is nothing beside the bytes that it is used for. */
uint64_t kvi_checksum2(const void *a, size_t a_bytes, const void *b, size_t b_bytes)
{
#if defined(__x86_64__)
    if (kvi_checksum2_avx2 && __builtin_cpu_supports("avx2")) {
        return kvi_checksum2_avx2(a, a_bytes, b, b_bytes);
    }
#endif
    return checksum2_any(a, a_bytes, b, b_bytes);
}
