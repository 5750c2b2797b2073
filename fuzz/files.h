/* SPDX-License-Identifier: MIT */
/*
 * Files for fuzz targets: bytes behind a path, without a trace when the program dies.
 *
 * A database opened without locks needs no more than a descriptor, so it stands in a memfd and is
 * reached through /proc. The one folder that is needed, for making the databases to start from, is
 * removed at once.
 */
#ifndef FUZZ_FILES_H
#define FUZZ_FILES_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base_db.h"

static int files_fd = -1;
static char files_path[64];

/* A path behind which these bytes stand; the same path at each call. */
static inline const char *files_put(const uint8_t *bytes, size_t size)
{
    if (files_fd < 0)
        files_fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (files_fd < 0 || ftruncate(files_fd, (off_t)size) != 0)
        abort();
    for (size_t done = 0; done < size;) {
        ssize_t n = pwrite(files_fd, bytes + done, size - done, (off_t)done);

        if (n <= 0)
            abort();
        done += (size_t)n;
    }
    (void)snprintf(files_path, sizeof files_path, "/proc/self/fd/%d", files_fd);
    return files_path;
}

/* A new folder, in memory where there is one; the caller removes it. */
static inline const char *files_folder(void)
{
    static char folder[64];

    (void)snprintf(folder, sizeof folder, "%s/kv-fuzz-XXXXXX",
                   access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (!mkdtemp(folder))
        abort();
    return folder;
}

static inline void files_make_bases(struct image *bases, unsigned count)
{
    const char *folder = files_folder();

    for (unsigned i = 0; i < count; i++)
        bases[i] = base_make((enum base_kind)i, folder);
    if (rmdir(folder) != 0)
        abort();
    (void)setenv("TMPDIR", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp", 1);
}

#endif
