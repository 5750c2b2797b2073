/* SPDX-License-Identifier: MIT */
/*
 * Copies of a snapshot, to a path or a descriptor (kv.h: kv_env_copy).
 *
 * The plain copy writes the pages that the snapshot's space map claims, each at its own place, and
 * two sealed metas with a file id of their own; what is not claimed is a hole (path) or zeros
 * (stream). The compacting copy, in copy_compact.c, makes a new database and appends every record.
 *
 * To a path: everything happens under a temporary name in the same directory, which is flushed,
 * given its name without replacing anything, and the directory flushed. On failure the temporary
 * file is removed.
 */
#include "txn/copy.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "os/os.h"
#include "txn/maintain.h"

#define COPY_CHUNK_PAGES                                                                           \
    256u /* pages of one write and between two calls of the progress callback */
#define COPY_NAME_TRIES 100

/* A plain copy in progress. */
struct copy {
    struct kv_txn *txn;
    const struct kv_copy_options *options;
    int fd;
    bool stream;        /* write from start to end; else at offsets, leaving holes */
    uint64_t pgno_next; /* first page not written yet */
    uint8_t *zeros;     /* COPY_CHUNK_PAGES pages, streams only */
    uint8_t file_id[16];
};

static int copy_progress(const struct copy *copy)
{
    const struct kv_copy_options *options = copy->options;

    if (!options->progress)
        return 0;
    return options->progress(options->context, copy->pgno_next, copy->txn->snapshot.snap.page_end);
}

/* Writes `count` pages for pgno_next on; `bytes` NULL: nothing claimed, zeros or a hole. */
static int copy_pages(struct copy *copy, const uint8_t *bytes, uint64_t count)
{
    unsigned shift = copy->txn->env->geometry.page_shift;

    while (count > 0) {
        uint64_t part = count < COPY_CHUNK_PAGES ? count : COPY_CHUNK_PAGES;
        int rc = 0;

        if (copy->stream)
            rc = kvi_os->write_stream(copy->fd, bytes ? bytes : copy->zeros, part << shift);
        else if (bytes)
            rc = kvi_os->write_at(copy->fd, bytes, part << shift, copy->pgno_next << shift);
        if (rc == EFAULT && bytes) /* the kernel's word for what is a SIGBUS to us */
            rc = kvi_corrupt(copy->txn->env->path, copy->pgno_next,
                             "this page, or one that follows, could not be read");
        if (rc)
            return rc;
        copy->pgno_next += part;
        count -= part;
        if (bytes)
            bytes += part << shift;
        rc = copy_progress(copy);
        if (rc)
            return rc;
    }
    return 0;
}

/* Both meta pages hold the same: the snapshot, sealed. */
static int copy_meta(struct copy *copy)
{
    const struct kv_txn *txn = copy->txn;
    const struct kvi_snapshot *from = &txn->snapshot;
    uint8_t *page = calloc(1, txn->env->geometry.page_size);
    struct kvi_meta meta = {.page_size = txn->env->geometry.page_size,
                            .txnid = from->snap.txnid,
                            .snap = from->ref,
                            .base = from->snap.txnid,
                            .page_end = from->snap.page_end};
    int rc;

    if (!page)
        return ENOMEM;
    memcpy(meta.file_id, copy->file_id, sizeof(meta.file_id));
    kvi_meta_encode(&meta, page);
    rc = copy_pages(copy, page, 1);
    free(page);
    return rc;
}

static int copy_read(void *context, struct kvi_ref ref, enum kvi_page_type type, unsigned level,
                     const uint8_t **page_out)
{
    const struct kv_txn *txn = context;

    return kvi_view_page(&txn->view, ref, type, level, page_out);
}

/* Pages [pgno_next, end), all claimed or all not; metas are made anew. */
static int copy_run(struct copy *copy, uint64_t end, bool claimed)
{
    const struct kvi_map *map = &copy->txn->env->map;

    while (copy->pgno_next < end) {
        uint64_t meta_1 = map->geometry.meta_pgno_1;
        uint64_t stop = end;
        int rc;

        if (copy->pgno_next == 0 || copy->pgno_next == meta_1) {
            rc = copy_meta(copy);
        } else {
            if (copy->pgno_next < meta_1 && stop > meta_1)
                stop = meta_1;
            rc = copy_pages(copy,
                            claimed ? map->base + (copy->pgno_next << map->geometry.page_shift)
                                    : NULL,
                            stop - copy->pgno_next);
        }
        if (rc)
            return rc;
    }
    return 0;
}

/* The pages of one region. */
static int copy_region(struct copy *copy, const struct kvi_space_io *io, uint64_t region)
{
    const struct kvi_snapshot *from = &copy->txn->snapshot;
    const struct kvi_geometry *g = &copy->txn->env->geometry;
    const struct kvi_space_snapshot source = {from->page, from->snap.page_end, from->snap.map_count,
                                              from->snap.map_levels};
    uint64_t first = region * g->region_pages;
    uint64_t end = first + g->region_pages;
    const uint8_t *bitmap = NULL;
    struct kvi_map_entry entry;
    int rc = kvi_map_lookup(g, io, &source, region, &entry);

    if (!rc && entry.ref.pgno)
        rc = copy_read(copy->txn, entry.ref, KVI_PAGE_BITMAP, 0, &bitmap);
    if (end > from->snap.page_end)
        end = from->snap.page_end;
    for (uint64_t pgno = first; pgno < end && !rc;) {
        const uint8_t *bits = bitmap ? bitmap + KVI_HEADER_BYTES : NULL;
        bool claimed = bits && (bits[(pgno - first) / 8] >> ((pgno - first) & 7) & 1);
        uint64_t stop = pgno + 1;

        while (stop < end &&
               claimed == (bits && (bits[(stop - first) / 8] >> ((stop - first) & 7) & 1)))
            stop++;
        rc = copy_run(copy, stop, claimed);
        pgno = stop;
    }
    return rc;
}

static int copy_plain(struct kv_txn *txn, const struct kv_copy_options *options, int fd,
                      bool stream)
{
    const struct kvi_geometry *g = &txn->env->geometry;
    const struct kvi_space_io io = {txn, copy_read, NULL, txn->env->path};
    struct copy copy = {.txn = txn, .options = options, .fd = fd, .stream = stream};
    uint64_t page_end = txn->snapshot.snap.page_end;
    uint64_t regions = kvi_map_regions(g, page_end);
    int rc = kvi_os->random(copy.file_id, sizeof(copy.file_id));

    if (!rc && stream) {
        copy.zeros = calloc(COPY_CHUNK_PAGES, g->page_size);
        rc = copy.zeros ? 0 : ENOMEM;
    }
    if (!rc)
        rc = kvi_env_require(txn->env, page_end);
    for (uint64_t region = 0; region < regions && !rc; region++)
        rc = copy_region(&copy, &io, region);
    if (!rc && !stream)
        rc = kvi_os->truncate(fd, page_end << g->page_shift);
    free(copy.zeros);
    return rc;
}

/* ---- To a path ---- */

/* Makes a temporary file beside `path`. */
static int temporary_open(const char *path, uint32_t mode, char **name_out, int *fd_out)
{
    size_t bytes = strlen(path) + 32;
    char *name = malloc(bytes);
    int rc = EEXIST;

    if (!name)
        return ENOMEM;
    for (int i = 0; i < COPY_NAME_TRIES && rc == EEXIST; i++) {
        uint64_t number;

        rc = kvi_os->random(&number, sizeof(number));
        if (rc)
            break;
        snprintf(name, bytes, "%s.%016" PRIx64 ".tmp", path, number);
        rc = kvi_os->open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode, fd_out);
    }
    if (rc) {
        rc = kvi_error(rc, "%s: a temporary name beside it: %s", path, kvi_strerror(rc));
        free(name);
        return rc;
    }
    *name_out = name;
    return 0;
}

/* Flushes the directory in which `path` stands, so that the new name survives a crash. */
static int directory_flush(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *directory = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    int fd;
    int rc;

    if (!directory)
        return ENOMEM;
    rc = kvi_os->open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0, &fd);
    free(directory);
    if (rc)
        return rc;
    rc = kvi_os->flush_full(fd);
    kvi_os->close(fd);
    return rc;
}

int kvi_env_copy(struct kv_txn *txn, const char *path, const struct kv_copy_options *options)
{
    uint32_t mode = options->mode ? options->mode : txn->env->options.mode;
    struct kvi_os_stat st;
    char *name;
    int fd;
    int rc = kvi_os->stat_path(path, &st);

    if (rc == 0)
        return kvi_error(EEXIST, "%s exists", path);
    rc = temporary_open(path, mode, &name, &fd);
    if (rc)
        return rc;
    if (options->flags & KV_COPY_COMPACT)
        rc = kvi_copy_compact(txn, options, fd, name);
    else
        rc = copy_plain(txn, options, fd, false);
    rc = kvi_txn_whole(txn, rc);
    if (!rc)
        rc = kvi_os->flush_full(fd);
    kvi_os->close(fd);
    if (!rc)
        rc = kvi_os->rename_noreplace(name, path);
    if (rc) {
        kvi_os->unlink(name);
    } else {
        rc = directory_flush(path);
        if (rc)
            kvi_os->unlink(path);
    }
    free(name);
    return rc > 0 ? kvi_error(rc, "copy to %s: %s", path, kvi_strerror(rc)) : rc;
}

/* ---- To a descriptor ---- */

/* A compact copy is built in an unlinked temporary file first: its metas come first in the stream
 * and are known last. */
static int compact_stream(struct kv_txn *txn, const struct kv_copy_options *options, int fd_to)
{
    const char *directory = getenv("TMPDIR");
    uint8_t *chunk = malloc((size_t)COPY_CHUNK_PAGES << txn->env->geometry.page_shift);
    size_t chunk_bytes = (size_t)COPY_CHUNK_PAGES << txn->env->geometry.page_shift;
    char name[512];
    char *made = NULL;
    uint64_t at = 0;
    size_t got = 1;
    int fd = -1;
    int rc = chunk ? 0 : ENOMEM;

    snprintf(name, sizeof(name), "%s/libkv-copy", directory && *directory ? directory : "/tmp");
    if (!rc)
        rc = temporary_open(name, 0600, &made, &fd);
    if (!rc)
        rc = kvi_copy_compact(txn, options, fd, made);
    if (made)
        kvi_os->unlink(made);
    while (!rc && got > 0) {
        rc = kvi_os->read_at(fd, chunk, chunk_bytes, at, &got);
        if (!rc && got > 0)
            rc = kvi_os->write_stream(fd_to, chunk, got);
        at += got;
    }
    if (fd >= 0)
        kvi_os->close(fd);
    free(made);
    free(chunk);
    return rc;
}

int kvi_env_copy_fd(struct kv_txn *txn, int fd, const struct kv_copy_options *options)
{
    struct kvi_os_stat st;
    int rc;

    if (options->flags & KV_COPY_COMPACT)
        rc = compact_stream(txn, options, fd);
    else
        rc = copy_plain(txn, options, fd, true);
    rc = kvi_txn_whole(txn, rc);
    if (!rc)
        rc = kvi_os->stat_fd(fd, &st);
    if (!rc && (st.mode & 0170000u) == 0100000u)
        rc = kvi_os->flush_full(fd);
    return rc > 0 ? kvi_error(rc, "copy to descriptor %d: %s", fd, kvi_strerror(rc)) : rc;
}
