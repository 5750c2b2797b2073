/* SPDX-License-Identifier: MIT */
/*
 * Making a new database: one empty snapshot, txnid 1, in both slots, sealed (docs/DURABILITY.md
 * section 3).
 *
 * It gets its name when it is whole and flushed, so nobody ever opens half of one, and of two that
 * create at once one wins. Filling an empty file in place is fill.c's. Any thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "os/os.h"
#include "txn/durable.h"

#define CREATE_TXNID 1u
#define CREATE_TRIES 16      /* temporary names before giving up: each is 64 random bits */
#define CREATE_SUFFIX_MAX 32 /* ".new-" and 16 digits */

/* ---- The bytes ---- */

static int encode_meta(const struct kvi_geometry *g, const struct kvi_snap *snap, uint32_t tag,
                       uint8_t bytes[KVI_META_BYTES])
{
    struct kvi_meta meta = {.page_size = g->page_size,
                            .txnid = snap->txnid,
                            .snap = {snap->pgno, tag},
                            .base = snap->txnid,
                            .page_end = snap->page_end};
    int rc = kvi_os->random(meta.file_id, sizeof(meta.file_id));

    if (!rc)
        kvi_meta_encode(&meta, bytes);
    return rc;
}

static int write_metas(int fd, const struct kvi_geometry *g, const struct kvi_snap *snap,
                       uint32_t tag)
{
    uint8_t bytes[KVI_META_BYTES];
    int rc = encode_meta(g, snap, tag, bytes);

    if (!rc)
        rc = kvi_os->write_at(fd, bytes, sizeof(bytes), 0);
    return rc ? rc : kvi_os->write_at(fd, bytes, sizeof(bytes), KVI_META_SLOT_1_OFFSET);
}

/* Lays out the only snapshot's page and its bitmap. */
static void lay_out(const struct kvi_geometry *g, const struct kvi_create_first *first,
                    struct kvi_snap *snap, uint32_t *tag_out, uint8_t *snap_page,
                    struct kvi_space_page *bitmap)
{
    *snap = (struct kvi_snap){.txnid = CREATE_TXNID,
                              .table_id_next = 1,
                              .map_limit = first->limit_bytes};
    if (first->marker)
        memcpy(snap->marker, first->marker, sizeof(snap->marker));
    kvi_space_create(g, CREATE_TXNID, snap, snap_page, bitmap);
    kvi_snap_encode(g, snap, snap_page);
    *tag_out = kvi_page_seal(g, snap_page);
}

static int write_first(int fd, const struct kvi_geometry *g, const struct kvi_create_first *first,
                       uint8_t *snap_page, struct kvi_space_page *bitmap)
{
    struct kvi_snap snap;
    uint32_t tag;
    int rc;

    lay_out(g, first, &snap, &tag, snap_page, bitmap);
    rc = kvi_os->truncate(fd, snap.page_end << g->page_shift);
    if (!rc)
        rc = kvi_os->write_at(fd, snap_page, g->page_size, snap.pgno << g->page_shift);
    if (!rc)
        rc = kvi_os->write_at(fd, bitmap->image, g->page_size, bitmap->pgno << g->page_shift);
    return rc ? rc : write_metas(fd, g, &snap, tag);
}

int kvi_create_image(const struct kvi_geometry *g, const struct kvi_create_first *first,
                     uint8_t **image_out, uint64_t *bytes_out)
{
    struct kvi_space_page bitmap = {0, NULL};
    uint8_t *pages = calloc(2, g->page_size);
    struct kvi_snap snap;
    uint32_t tag;
    int rc = ENOMEM;

    *image_out = NULL;
    if (!pages)
        return ENOMEM;
    bitmap.image = pages + g->page_size;
    lay_out(g, first, &snap, &tag, pages, &bitmap);
    *bytes_out = snap.page_end << g->page_shift;
    *image_out = calloc(1, *bytes_out);
    if (*image_out) {
        memcpy(*image_out + (snap.pgno << g->page_shift), pages, g->page_size);
        memcpy(*image_out + (bitmap.pgno << g->page_shift), bitmap.image, g->page_size);
        rc = encode_meta(g, &snap, tag, *image_out);
        memcpy(*image_out + KVI_META_SLOT_1_OFFSET, *image_out, KVI_META_BYTES);
    }
    free(pages);
    if (rc) {
        free(*image_out);
        *image_out = NULL;
    }
    return rc;
}

int kvi_create_into(int fd, const char *path, const struct kvi_geometry *g,
                    const struct kvi_create_first *first)
{
    struct kvi_space_page bitmap = {0, NULL};
    uint8_t *pages = calloc(2, g->page_size);
    int rc;

    if (!pages)
        return ENOMEM;
    bitmap.image = pages + g->page_size;
    rc = write_first(fd, g, first, pages, &bitmap);
    free(pages);
    if (rc)
        return kvi_error(rc, "%s: writing a new database: %s", path, kvi_strerror(rc));
    return 0;
}

/* ---- The name ---- */

/* The folder of `path`, allocated. */
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    if (!slash)
        return strdup(".");
    return strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

static int flush_folder(const char *folder)
{
    int fd;
    int closed;
    int rc = kvi_os->open(folder, O_RDONLY | O_DIRECTORY, 0, &fd);

    if (rc)
        return rc;
    rc = kvi_os->flush_full(fd);
    if (rc == EINVAL) /* a file system whose folders need no flush */
        rc = 0;
    closed = kvi_os->close(fd);
    return rc ? rc : closed;
}

/* Under no name, then linked. ENOTSUP: not possible here. */
static int create_nameless(const char *path, const char *folder, const struct kvi_geometry *g,
                           const struct kvi_create_first *first, uint32_t mode)
{
    int fd;
    int closed;
    int rc = kvi_os->open(folder, O_TMPFILE | O_RDWR, mode, &fd);

    if (rc)
        return rc == EOPNOTSUPP || rc == EISDIR || rc == EINVAL ? ENOTSUP : rc;
    rc = kvi_create_into(fd, path, g, first);
    if (!rc)
        rc = kvi_os->flush_full(fd);
    if (!rc) {
        rc = kvi_os->link_fd(fd, path);
        if (rc && rc != EEXIST)
            rc = ENOTSUP;
    }
    closed = kvi_os->close(fd);
    return rc ? rc : closed;
}

/* Makes and opens a name beside `path` that nobody has. */
static int open_beside(const char *path, uint32_t mode, char *name, size_t name_bytes, int *fd_out)
{
    int rc = EEXIST;

    for (int i = 0; i < CREATE_TRIES && rc == EEXIST; i++) {
        uint64_t number;

        rc = kvi_os->random(&number, sizeof(number));
        if (rc)
            return rc;
        (void)snprintf(name, name_bytes, "%s.new-%016llx", path, (unsigned long long)number);
        rc = kvi_os->open(name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, mode, fd_out);
    }
    return rc == EEXIST ? EBUSY : rc; /* EEXIST would mean that `path` is there */
}

static int create_named(const char *path, const struct kvi_geometry *g,
                        const struct kvi_create_first *first, uint32_t mode)
{
    size_t name_bytes = strlen(path) + CREATE_SUFFIX_MAX;
    char *name = malloc(name_bytes);
    int fd;
    int rc;

    if (!name)
        return ENOMEM;
    rc = open_beside(path, mode, name, name_bytes, &fd);
    if (!rc) {
        int closed;

        rc = kvi_create_into(fd, path, g, first);
        if (!rc)
            rc = kvi_os->flush_full(fd);
        if (!rc)
            rc = kvi_os->link(name, path);
        (void)kvi_os->unlink(name); /* a stray name harms nobody */
        closed = kvi_os->close(fd);
        rc = rc ? rc : closed;
    }
    free(name);
    return rc;
}

int kvi_create_file(const char *path, const struct kvi_geometry *g,
                    const struct kvi_create_first *first, uint32_t mode)
{
    char *folder = folder_of(path);
    int rc;

    if (!folder)
        return ENOMEM;
    rc = create_nameless(path, folder, g, first, mode);
    if (rc == ENOTSUP)
        rc = create_named(path, g, first, mode);
    if (!rc)
        rc = flush_folder(folder);
    free(folder);
    return rc;
}
