/* SPDX-License-Identifier: MIT */
/*
 * Making a database of an existing, empty file: in place, so that inode, owner and bits stay
 * (docs/DURABILITY.md section 3).
 *
 * Under a lock on a byte far beyond the data, so that of two that do it at once one does it. First
 * all but the meta slots, flushed; then all, the slots with it, in one write call, flushed. So a
 * stop or a death leaves an empty file; or an unfinished one, which is as long as a new database,
 * holds zeros but for two pages, and in each slot zeros or a torn meta; or the database. The first
 * two are filled by whoever comes next, anything else is left alone.
 *
 * One call for both slots: whoever opens the file without asking for this lock, and commits, writes
 * its slot after that call has ended, so nothing of its is written over.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "os/os.h"
#include "txn/durable.h"

#define FILL_BYTE (((uint64_t)1 << 62) + ((uint64_t)1 << 61) + 1)
#define FILL_BYTES_MAX (4 * (uint64_t)KVI_PAGE_SIZE_MAX) /* of a new database */
#define FILL_SLEEP_US_FIRST 20u
#define FILL_SLEEP_US_MAX 1000u
#ifdef KVI_SMALL_LIMITS
#define FILL_WAIT_MS 500u
#else
#define FILL_WAIT_MS 10000u
#endif
#define NS_PER_MS 1000000ull

/* ---- What may be filled ---- */

static bool all_zeros(const uint8_t *bytes, uint64_t size_bytes)
{
    return size_bytes == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, size_bytes - 1) == 0);
}

static bool slot_unfinished(const uint8_t *slot)
{
    struct kvi_meta meta;

    return all_zeros(slot, KVI_META_BYTES) || kvi_meta_decode(slot, &meta) == KVI_META_TORN;
}

/* Whether `bytes`, a file, is what a fill leaves when it is cut off: `image` is what it makes. Each
 * sector holds zeros or what was to come there. */
static bool is_unfinished(const uint8_t *bytes, const uint8_t *image, uint64_t size_bytes)
{
    for (uint64_t at = 0; at < size_bytes; at += KVI_META_BYTES) {
        uint64_t count = size_bytes - at < KVI_META_BYTES ? size_bytes - at : KVI_META_BYTES;
        bool slot = (at == 0 || at == KVI_META_SLOT_1_OFFSET) && count == KVI_META_BYTES;

        if (slot ? !slot_unfinished(bytes + at)
                 : !all_zeros(bytes + at, count) && memcmp(bytes + at, image + at, count) != 0)
            return false;
    }
    return true;
}

/* What the new database was to keep, as far as that is there: it stands in the first sector of the
 * snapshot's page. `image`: of any new database with this geometry. */
static struct kvi_create_first first_of(const struct kvi_geometry *g, const uint8_t *bytes,
                                        uint64_t size_bytes, const uint8_t *image,
                                        struct kvi_snap *snap)
{
    struct kvi_create_first first = {0, NULL};
    struct kvi_meta meta;

    if (kvi_meta_decode(image, &meta) == KVI_META_OK &&
        (meta.snap.pgno + 1) << g->page_shift <= size_bytes &&
        !kvi_snap_decode(g, bytes + (meta.snap.pgno << g->page_shift), snap)) {
        first.limit_bytes = snap->map_limit;
        first.marker = snap->marker;
    }
    return first;
}

/* The same with this page size. */
static int is_unfinished_of(const struct kvi_geometry *g, const uint8_t *bytes, uint64_t size_bytes,
                            bool *unfinished_out)
{
    struct kvi_create_first first = {0, NULL};
    struct kvi_snap snap;
    uint64_t image_bytes;
    uint8_t *image;
    int rc = kvi_create_image(g, &first, &image, &image_bytes);

    if (!rc) {
        first = first_of(g, bytes, size_bytes, image, &snap);
        free(image);
        rc = kvi_create_image(g, &first, &image, &image_bytes);
    }
    if (!rc && size_bytes <= image_bytes && is_unfinished(bytes, image, size_bytes))
        *unfinished_out = true;
    free(image);
    return rc;
}

/* The same with any page size. */
static int is_unfinished_any(const uint8_t *bytes, uint64_t size_bytes, bool *unfinished_out)
{
    int rc = 0;

    for (uint32_t size = KVI_PAGE_SIZE_MIN; size <= KVI_PAGE_SIZE_MAX && !rc; size *= 2) {
        struct kvi_geometry g;

        if (kvi_geometry_init(&g, size))
            rc = is_unfinished_of(&g, bytes, size_bytes, unfinished_out);
    }
    return rc;
}

static int look_at(int fd, uint64_t size_bytes, bool *unfinished_out)
{
    uint8_t *bytes = malloc(size_bytes);
    size_t got = 0;
    int rc = bytes ? kvi_os->read_at(fd, bytes, size_bytes, 0, &got) : ENOMEM;

    if (!rc && got == size_bytes)
        rc = is_unfinished_any(bytes, size_bytes, unfinished_out);
    free(bytes);
    return rc;
}

/* Most files are told by their size or their first slot alone. */
static int look(int fd, bool *fillable_out)
{
    uint8_t slot[KVI_META_BYTES] = {0};
    uint64_t size_bytes;
    size_t got;
    int rc = kvi_os->size(fd, &size_bytes);

    *fillable_out = !rc && size_bytes == 0;
    if (rc || size_bytes == 0 || size_bytes > FILL_BYTES_MAX)
        return rc;
    rc = kvi_os->read_at(fd, slot, sizeof(slot), 0, &got);
    if (rc || !slot_unfinished(slot))
        return rc;
    return look_at(fd, size_bytes, fillable_out);
}

/* ---- Filling ---- */

static int write_image(int fd, uint8_t *image, uint64_t bytes, const uint8_t *meta)
{
    int rc;

    memcpy(image, meta, KVI_META_BYTES);
    memcpy(image + KVI_META_SLOT_1_OFFSET, meta, KVI_META_BYTES);
    rc = kvi_os->write_at(fd, image, bytes, 0);
    return rc ? rc : kvi_os->flush_full(fd);
}

/* A flush that failed is not believed later: without metas the file is unfinished. */
static void take_back(int fd, const uint8_t *none)
{
    (void)kvi_os->write_at(fd, none, KVI_META_BYTES, 0);
    (void)kvi_os->write_at(fd, none, KVI_META_BYTES, KVI_META_SLOT_1_OFFSET);
}

static int fill(int fd, const struct kvi_geometry *g, const struct kvi_create_first *first)
{
    static const uint8_t none[KVI_META_BYTES];
    uint8_t meta[KVI_META_BYTES];
    uint8_t *image;
    uint64_t bytes;
    int rc = kvi_create_image(g, first, &image, &bytes);

    if (rc)
        return rc;
    memcpy(meta, image, sizeof(meta));
    rc = kvi_os->truncate(fd, bytes);
    if (!rc)
        rc = write_image(fd, image, bytes, none);
    if (rc) {
        (void)kvi_os->truncate(fd, 0);
    } else {
        rc = write_image(fd, image, bytes, meta);
        if (rc)
            take_back(fd, none);
    }
    free(image);
    return rc;
}

/* ---- The lock ---- */

static int lock_fill(int fd)
{
    uint64_t end_ns = kvi_os->monotonic_ns() + FILL_WAIT_MS * NS_PER_MS;
    uint32_t us = FILL_SLEEP_US_FIRST;
    int rc;

    while ((rc = kvi_os->lock(fd, KVI_OS_LOCK_WRITE, FILL_BYTE, 1)) == EAGAIN) {
        if (kvi_os->monotonic_ns() >= end_ns)
            return EAGAIN;
        rc = kvi_os->sleep_us(us);
        if (rc)
            return rc;
        us = us * 2 < FILL_SLEEP_US_MAX ? us * 2 : FILL_SLEEP_US_MAX;
    }
    return rc;
}

int kvi_create_fill(int fd, const char *path, const struct kvi_geometry *g,
                    const struct kvi_create_first *first)
{
    bool fillable;
    int rc = look(fd, &fillable);

    if (!rc && !fillable)
        return 0;
    if (!rc)
        rc = lock_fill(fd);
    if (rc == EAGAIN)
        return kvi_error(KV_EBUSY, "%s: empty, and locked by another program", path);
    if (!rc) {
        rc = look(fd, &fillable);
        if (!rc && fillable)
            rc = fill(fd, g, first);
        (void)kvi_os->lock(fd, KVI_OS_UNLOCK, FILL_BYTE, 1);
    }
    return rc ? kvi_error(rc, "%s: making a database of an empty file: %s", path, kvi_strerror(rc))
              : 0;
}
