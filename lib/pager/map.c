/* SPDX-License-Identifier: MIT */
/*
 * Owns the reservation: how much address space an env's mapping takes, the mapping and its notes.
 *
 * A range is taken only if twice as much could be had, so that an env never takes the last that
 * fits: the process has other users of address space, and further envs take from what is left, half
 * of it at most. The trial is a mapping of the file too, since no other kind is free of the
 * accounting of strict overcommit; it lies past the file's end and is never touched.
 *
 * Refuses: any size below what the file needs. Neither the data nor the notes are advised
 * MADV_DONTFORK: an env that was opened without locks for reading works on in a forked child.
 */
#include "pager/view.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "kv.h"
#include "os/os.h"

/* ThreadSanitizer ends a process that maps outside of the ranges that it knows, and works on the
 * shadow of every mapping, so there a reservation is small. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RESERVE_START ((uint64_t)16 << 30)
#endif
#elif defined(__SANITIZE_THREAD__)
#define RESERVE_START ((uint64_t)16 << 30)
#endif
#ifndef RESERVE_START
#define RESERVE_START KVI_RESERVE_DEFAULT
#endif

/* No mapping is larger than this: the user's half of a 47-bit address space, and it keeps sums of
 * sizes from overflow. */
#define RESERVE_MAX ((uint64_t)1 << 46)

static uint64_t round_up(const struct kvi_geometry *g, uint64_t size_bytes)
{
    return (size_bytes + g->page_size - 1) & ~(uint64_t)(g->page_size - 1);
}

/* Whether another size may still be tried: no room for this one, or the file system has no such
 * offsets. */
static bool is_scarce(int rc)
{
    return rc == ENOMEM || rc == EAGAIN || rc == EOVERFLOW || rc == EINVAL;
}

static int map_both(struct kvi_map *map, uint64_t size_bytes)
{
    uint64_t pages = size_bytes >> map->geometry.page_shift;
    void *base = NULL;
    void *notes = NULL;
    int rc;

    rc = kvi_os->map(map->fd, 0, size_bytes, false, &base);
    if (rc)
        return rc;
    rc = kvi_os->map_anon(pages * sizeof(*map->notes), &notes);
    if (rc) {
        (void)kvi_os->unmap(base, size_bytes);
        return rc;
    }
    map->base = base;
    map->notes = notes;
    map->reserved_bytes = size_bytes;
    map->pages_max = pages;
    return 0;
}

/* Whether a range of this size could be had. A file system that has no offsets so high does not
 * tell. */
static int try_range(int fd, uint64_t size_bytes)
{
    void *address = NULL;
    int rc = kvi_os->map(fd, 0, size_bytes, false, &address);

    if (rc == EOVERFLOW || rc == EINVAL)
        return 0;
    if (rc)
        return rc;
    return kvi_os->unmap(address, size_bytes);
}

static int map_what_fits(struct kvi_map *map, uint64_t least_bytes)
{
    uint64_t size_bytes = RESERVE_START;
    int rc;

    while (size_bytes / 2 < least_bytes && size_bytes < RESERVE_MAX / 2)
        size_bytes *= 2;
    for (; size_bytes >= least_bytes; size_bytes /= 2) {
        rc = try_range(map->fd, size_bytes * 2);
        if (!rc)
            rc = map_both(map, size_bytes);
        if (!is_scarce(rc))
            return rc;
    }
    return map_both(map, least_bytes);
}

int kvi_map_open(struct kvi_map *map, const struct kvi_geometry *g, int fd, const char *path,
                 uint64_t want_bytes, uint64_t file_bytes)
{
    uint64_t least_bytes = file_bytes;
    int rc;

    memset(map, 0, sizeof(*map));
    if (file_bytes > RESERVE_MAX || want_bytes > RESERVE_MAX)
        return kvi_error(KV_ESIZELIMIT, "%s: %" PRIu64 " bytes are more than can be mapped", path,
                         file_bytes > want_bytes ? file_bytes : want_bytes);
    map->geometry = *g;
    map->path = path;
    map->fd = fd;
    if (least_bytes < want_bytes)
        least_bytes = want_bytes;
    if (want_bytes == 0 && least_bytes < KVI_RESERVE_MIN)
        least_bytes = KVI_RESERVE_MIN;
    least_bytes = round_up(g, least_bytes);
    rc = want_bytes ? map_both(map, least_bytes) : map_what_fits(map, least_bytes);
    if (rc) {
        memset(map, 0, sizeof(*map));
        return kvi_error(rc, "%s: no %" PRIu64 " bytes of address space for the mapping: %s", path,
                         least_bytes, strerror(rc));
    }
    assert(map->pages_max << g->page_shift == map->reserved_bytes);
    return 0;
}

int kvi_map_guard(struct kvi_map *map, struct kvi_guard_mark *mark)
{
    const struct kvi_guard_area area = {
        .base = (void *)(uintptr_t)map->base,
        .size_bytes = map->reserved_bytes,
        .unit_bytes = map->geometry.page_size,
        .kind = KVI_GUARD_DATA,
        .known = (void *)map->notes,
        .known_bytes = map->pages_max * sizeof(*map->notes),
    };

    assert(!map->guarded);
    map->mark = mark;
    return kvi_guard_add(mark, &area, &map->guarded);
}

/* The kernel may refuse at its limit of mappings, where it joined one with a neighbour: the address
 * space is lost then, and nothing else. */
void kvi_map_close(struct kvi_map *map)
{
    kvi_guard_remove(map->guarded);
    if (map->base) {
        (void)kvi_os->unmap((void *)(uintptr_t)map->base, map->reserved_bytes);
        (void)kvi_os->unmap((void *)map->notes, map->pages_max * sizeof(*map->notes));
    }
    memset(map, 0, sizeof(*map));
}
