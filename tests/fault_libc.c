/* SPDX-License-Identifier: MIT */
/* Owns what --wrap puts in front of the C library's calls; see fault_libc.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "fault_libc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/vfs.h>

static _Atomic uint64_t counts[2]; /* all calls, and transfers of more than a byte */
static _Atomic uint64_t fail_nth;
static atomic_bool halves;
static atomic_bool fired;

void libc_fault_arm(uint64_t nth, bool half)
{
    atomic_store(&fail_nth, 0);
    atomic_store(&halves, half);
    atomic_store(&fired, false);
    atomic_store(&counts[0], 0);
    atomic_store(&counts[1], 0);
    atomic_store(&fail_nth, nth);
}

void libc_fault_disarm(void)
{
    atomic_store(&fail_nth, 0);
}

bool libc_fault_fired(void)
{
    return atomic_load(&fired);
}

uint64_t libc_fault_count(bool half)
{
    return atomic_load(&counts[half]);
}

static bool hits(bool half)
{
    uint64_t number = atomic_fetch_add(&counts[half], 1) + 1;

    if (atomic_load(&halves) != half || number != atomic_load(&fail_nth))
        return false;
    atomic_store(&fired, true);
    return true;
}

static bool interrupted(void)
{
    if (!hits(false))
        return false;
    errno = EINTR;
    return true;
}

/* How much of a transfer is done. */
static size_t part_of(size_t size)
{
    return size > 1 && hits(true) ? size / 2 : size;
}

int __real_open(const char *path, int flags, mode_t mode);
int __real_close(int fd);
ssize_t __real_pread(int fd, void *data, size_t size, off_t offset);
ssize_t __real_pwrite(int fd, const void *data, size_t size, off_t offset);
ssize_t __real_pwritev(int fd, const struct iovec *parts, int count, off_t offset);
ssize_t __real_write(int fd, const void *data, size_t size);
int __real_fdatasync(int fd);
int __real_fsync(int fd);
int __real_ftruncate(int fd, off_t size);
int __real_posix_fallocate(int fd, off_t offset, off_t size);
int __real_fallocate(int fd, int mode, off_t offset, off_t size);
int __real_fstatfs(int fd, struct statfs *fs);
int __real_sync_file_range(int fd, off_t offset, off_t size, unsigned flags);

int __wrap_open(const char *path, int flags, ...);
int __wrap_close(int fd);
ssize_t __wrap_pread(int fd, void *data, size_t size, off_t offset);
ssize_t __wrap_pwrite(int fd, const void *data, size_t size, off_t offset);
ssize_t __wrap_pwritev(int fd, const struct iovec *parts, int count, off_t offset);
ssize_t __wrap_write(int fd, const void *data, size_t size);
int __wrap_fdatasync(int fd);
int __wrap_fsync(int fd);
int __wrap_ftruncate(int fd, off_t size);
int __wrap_posix_fallocate(int fd, off_t offset, off_t size);
int __wrap_fallocate(int fd, int mode, off_t offset, off_t size);
int __wrap_fstatfs(int fd, struct statfs *fs);
int __wrap_sync_file_range(int fd, off_t offset, off_t size, unsigned flags);

int __wrap_open(const char *path, int flags, ...)
{
    mode_t mode = 0;

    if (flags & (O_CREAT | O_TMPFILE)) {
        va_list rest;

        va_start(rest, flags);
        mode = va_arg(rest, mode_t);
        va_end(rest);
    }
    return interrupted() ? -1 : __real_open(path, flags, mode);
}

/* It has closed all the same. */
int __wrap_close(int fd)
{
    int rc = __real_close(fd);

    return interrupted() ? -1 : rc;
}

ssize_t __wrap_pread(int fd, void *data, size_t size, off_t offset)
{
    return interrupted() ? -1 : __real_pread(fd, data, part_of(size), offset);
}

ssize_t __wrap_pwrite(int fd, const void *data, size_t size, off_t offset)
{
    return interrupted() ? -1 : __real_pwrite(fd, data, part_of(size), offset);
}

/* Cut in the middle of the first part, or behind half of the parts. */
ssize_t __wrap_pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    if (interrupted())
        return -1;
    if (!hits(true))
        return __real_pwritev(fd, parts, count, offset);
    if (count > 1)
        return __real_pwritev(fd, parts, count / 2, offset);
    return __real_pwrite(fd, parts[0].iov_base, parts[0].iov_len / 2 + 1, offset);
}

ssize_t __wrap_write(int fd, const void *data, size_t size)
{
    return interrupted() ? -1 : __real_write(fd, data, part_of(size));
}

int __wrap_fdatasync(int fd)
{
    return interrupted() ? -1 : __real_fdatasync(fd);
}

int __wrap_fsync(int fd)
{
    return interrupted() ? -1 : __real_fsync(fd);
}

int __wrap_ftruncate(int fd, off_t size)
{
    return interrupted() ? -1 : __real_ftruncate(fd, size);
}

int __wrap_posix_fallocate(int fd, off_t offset, off_t size)
{
    return interrupted() ? EINTR : __real_posix_fallocate(fd, offset, size);
}

int __wrap_fallocate(int fd, int mode, off_t offset, off_t size)
{
    return interrupted() ? -1 : __real_fallocate(fd, mode, offset, size);
}

int __wrap_fstatfs(int fd, struct statfs *fs)
{
    return interrupted() ? -1 : __real_fstatfs(fd, fs);
}

int __wrap_sync_file_range(int fd, off_t offset, off_t size, unsigned flags)
{
    return interrupted() ? -1 : __real_sync_file_range(fd, offset, size, flags);
}
