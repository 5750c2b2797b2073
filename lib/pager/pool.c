/* SPDX-License-Identifier: MIT */
/*
 * Owns buffers of page size between txns.
 *
 * A kept buffer's first bytes link it to the next. A buffer fresh from the heap is cleared, so that
 * what a page leaves unused never carries other memory of the process into the file; a kept one
 * holds bytes of older pages only. Aligned to 64 bytes and not to a page, so that headers spread
 * over the cache's sets.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "pager/inside.h"

#define BUFFER_ALIGN 64u

struct kvi_pool {
    uint32_t page_size;
    size_t keep_max;
    size_t kept;
    uint8_t *first;
    uint64_t ready_end; /* blocks.c: bytes of the file before it have their blocks */
};

struct kvi_pool *kvi_pool_new(uint32_t page_size, size_t keep_max)
{
    struct kvi_pool *pool = calloc(1, sizeof(*pool));

    assert(page_size % BUFFER_ALIGN == 0);
    if (pool) {
        pool->page_size = page_size;
        pool->keep_max = keep_max;
    }
    return pool;
}

uint64_t *kvi_pool_ready_end(struct kvi_pool *pool)
{
    return &pool->ready_end;
}

static uint8_t *unlink_first(struct kvi_pool *pool)
{
    uint8_t *bytes = pool->first;

    memcpy(&pool->first, bytes, sizeof(pool->first));
    pool->kept--;
    return bytes;
}

void kvi_pool_free(struct kvi_pool *pool)
{
    if (!pool)
        return;
    while (pool->kept)
        free(unlink_first(pool));
    free(pool);
}

uint8_t *kvi_pool_get(struct kvi_pool *pool)
{
    uint8_t *bytes;

    if (pool->kept)
        return unlink_first(pool);
    bytes = aligned_alloc(BUFFER_ALIGN, pool->page_size);
    if (bytes)
        memset(bytes, 0, pool->page_size);
    return bytes;
}

void kvi_pool_put(struct kvi_pool *pool, uint8_t *bytes)
{
    if (pool->kept >= pool->keep_max) {
        free(bytes);
        return;
    }
    memcpy(bytes, &pool->first, sizeof(pool->first));
    pool->first = bytes;
    pool->kept++;
}
