/* SPDX-License-Identifier: MIT */
/*
 * Owns the allocation of disk blocks ahead of writes: for stretches of new pages behind all that
 * the file held.
 *
 *     | pages of snapshots | written now | allocated ahead | not there yet |
 *                          first         end               ready_end       the file's size
 *
 * Without it the kernel keeps account of each block of the page cache that has no place on the disk
 * yet: measured on ext4 and Linux 6.18, a bulk build then takes a third more time. One call asks
 * for what the next ones write: an eighth of what is there, and never beyond the file's size, which
 * is as far ahead when it grows. So what is not used is cut off with the file's free end.
 *
 * Refuses to fail: a write finds out for itself what can't be had. After one failure this env asks
 * no more. What is ready is kept between txns and may be out of date, when another process cut the
 * file: then writes are as slow as without. The writer's thread.
 */
#include "os/os.h"
#include "pager/inside.h"

#ifdef KVI_SMALL_LIMITS
#define AHEAD_PAGES_MIN 1u
#define AHEAD_BYTES_MAX ((uint64_t)16 * KVI_PAGE_SIZE_MIN)
#else
#define AHEAD_PAGES_MIN 16u /* to be written now: fewer are no stretch */
#define AHEAD_BYTES_MAX ((uint64_t)16 << 20)
#endif
#define AHEAD_SHARE 8u /* of what the file holds; a file may be kept far longer than that */
#define AHEAD_NEVER UINT64_MAX

/* Where it was measured. */
static bool pays(int fd)
{
    int64_t type = 0;

    return kvi_os->fs_type(fd, &type) == 0 && type == 0xef53; /* ext4 */
}

/* From `from` past `needed_end`, by a share of what is there or to the file's end. */
static uint64_t allocate(int fd, uint64_t from, uint64_t needed_end, uint64_t file_bytes)
{
    uint64_t ahead = from / AHEAD_SHARE < AHEAD_BYTES_MAX ? from / AHEAD_SHARE : AHEAD_BYTES_MAX;
    uint64_t end = needed_end + ahead;

    if (end > file_bytes)
        end = file_bytes;
    return kvi_os->preallocate(fd, from, end - from) ? AHEAD_NEVER : end;
}

void kvi_blocks_ahead(const struct kvi_pager *pager, uint64_t pgno_first, uint64_t pgno_end)
{
    uint64_t *ready_end = kvi_pool_ready_end(pager->pool);
    unsigned shift = kvi_pager_geometry(pager)->page_shift;
    uint64_t from = pgno_first << shift, end = pgno_end << shift, file_bytes;
    int fd = pager->view.map->fd;

    if (*ready_end == AHEAD_NEVER || pgno_first < pager->fresh_from ||
        pgno_end < pgno_first + AHEAD_PAGES_MIN)
        return;
    if (*ready_end == 0 && !pays(fd))
        *ready_end = AHEAD_NEVER;
    if (*ready_end == AHEAD_NEVER || kvi_os->size(fd, &file_bytes) || file_bytes < end)
        return;
    if (*ready_end > file_bytes) /* it was cut meanwhile */
        *ready_end = from;
    if (*ready_end >= end)
        return;
    *ready_end = allocate(fd, *ready_end > from ? *ready_end : from, end, file_bytes);
}
