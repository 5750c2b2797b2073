/* SPDX-License-Identifier: MIT */
/*
 * Owns the real system calls behind kvi_os: kvi_os_real is the one table outside tests.
 *
 * Each entry is one system call with the loop that it needs: EINTR is retried, short transfers are
 * gone on with. Refuses any decision: nothing is retried that failed, least of all a flush, since
 * the kernel reports a lost page once and then calls it clean. Stateless; any thread may call any
 * entry.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "os/os.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S 1000000000ull
#define NS_PER_MS 1000000ull
#define NS_PER_US 1000ull

_Static_assert(sizeof(off_t) == 8, "offsets are 64-bit");

const struct kvi_os *kvi_os = &kvi_os_real;

/* 0 or errno of a call that returns -1 on failure; EINTR is left to the caller's loop. */
static int result_of(int returned)
{
    return returned < 0 ? errno : 0;
}

/* ---- Files --------------------------------------------------------------------------------- */

static int real_open(const char *path, int flags, uint32_t mode, int *fd_out)
{
    int fd;

    do {
        fd = open(path, flags | O_CLOEXEC, (mode_t)mode);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0) {
        return errno;
    }
    *fd_out = fd;
    return 0;
}

/* Linux has released the descriptor even when it says EINTR; closing again could hit another's. */
static int real_close(int fd)
{
    int rc = result_of(close(fd));

    return rc == EINTR ? 0 : rc;
}

static int real_read_at(int fd, void *data, size_t size_bytes, uint64_t offset, size_t *got_out)
{
    size_t done = 0;

    while (done < size_bytes) {
        ssize_t got = pread(fd, (char *)data + done, size_bytes - done, (off_t)(offset + done));

        if (got == 0) {
            break;
        }
        if (got > 0) {
            done += (size_t)got;
        } else if (errno != EINTR) {
            return errno;
        }
    }
    *got_out = done;
    return 0;
}

static int real_write_at(int fd, const void *data, size_t size_bytes, uint64_t offset)
{
    size_t done = 0;

    while (done < size_bytes) {
        ssize_t put =
            pwrite(fd, (const char *)data + done, size_bytes - done, (off_t)(offset + done));

        if (put == 0) {
            return EIO;
        }
        if (put > 0) {
            done += (size_t)put;
        } else if (errno != EINTR) {
            return errno;
        }
    }
    return 0;
}

/* One pwritev for all; after a short one, the part that was cut is written out by itself and the
 * rest goes on with the next part, so that the caller's array is never copied. */
static int real_writev_at(int fd, const struct iovec *parts, int count, uint64_t offset)
{
    int i = 0;

    while (i < count) {
        ssize_t put = pwritev(fd, parts + i, count - i, (off_t)offset);
        size_t left;

        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put < 0) {
            return errno;
        }
        offset += (uint64_t)put;
        left = (size_t)put;
        while (i < count && left >= parts[i].iov_len) {
            left -= parts[i++].iov_len;
        }
        if (i < count) {
            size_t rest = parts[i].iov_len - left;
            int rc = real_write_at(fd, (const char *)parts[i].iov_base + left, rest, offset);

            if (rc) {
                return rc;
            }
            offset += rest;
            i++;
        }
    }
    return 0;
}

static int wait_writable(int fd)
{
    struct pollfd waited = {.fd = fd, .events = POLLOUT};

    if (poll(&waited, 1, -1) < 0 && errno != EINTR) {
        return errno;
    }
    return 0;
}

static int real_write_stream(int fd, const void *data, size_t size_bytes)
{
    size_t done = 0;

    while (done < size_bytes) {
        ssize_t put = write(fd, (const char *)data + done, size_bytes - done);
        int rc = 0;

        if (put == 0) {
            return EIO;
        }
        if (put > 0) {
            done += (size_t)put;
        } else if (errno == EAGAIN) {
            rc = wait_writable(fd);
        } else if (errno != EINTR) {
            rc = errno;
        }
        if (rc) {
            return rc;
        }
    }
    return 0;
}

static int real_flush(int fd)
{
    int rc;

    do {
        rc = result_of(fdatasync(fd));
    } while (rc == EINTR);
    return rc;
}

static int real_flush_full(int fd)
{
    int rc;

    do {
        rc = result_of(fsync(fd));
    } while (rc == EINTR);
    return rc;
}

static int real_write_back(int fd, uint64_t offset, uint64_t size_bytes)
{
    int rc;

    do {
        rc =
            result_of(sync_file_range(fd, (off_t)offset, (off_t)size_bytes, SYNC_FILE_RANGE_WRITE));
    } while (rc == EINTR);
    return rc;
}

static int real_truncate(int fd, uint64_t size_bytes)
{
    int rc;

    do {
        rc = result_of(ftruncate(fd, (off_t)size_bytes));
    } while (rc == EINTR);
    return rc;
}

static int real_allocate(int fd, uint64_t offset, uint64_t size_bytes)
{
    int rc;

    do {
        rc = posix_fallocate(fd, (off_t)offset, (off_t)size_bytes);
    } while (rc == EINTR);
    return rc;
}

static int real_preallocate(int fd, uint64_t offset, uint64_t size_bytes)
{
    int rc;

    do {
        rc = result_of(fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)size_bytes));
    } while (rc == EINTR);
    return rc == ENOSYS ? EOPNOTSUPP : rc;
}

static int real_punch(int fd, uint64_t offset, uint64_t size_bytes)
{
    int rc;

    do {
        rc = result_of(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
                                 (off_t)size_bytes));
    } while (rc == EINTR);
    return rc == ENOSYS ? EOPNOTSUPP : rc;
}

/* ---- What files are ------------------------------------------------------------------------ */

static void fill_stat(const struct stat *st, struct kvi_os_stat *stat_out)
{
    stat_out->dev = (uint64_t)st->st_dev;
    stat_out->inode = (uint64_t)st->st_ino;
    stat_out->size_bytes = (uint64_t)st->st_size;
    stat_out->blocks_bytes = (uint64_t)st->st_blocks * 512;
    stat_out->mode = (uint32_t)st->st_mode;
    stat_out->links = (uint32_t)st->st_nlink;
}

static int real_stat_fd(int fd, struct kvi_os_stat *stat_out)
{
    struct stat st;
    int rc = result_of(fstat(fd, &st));

    if (rc == 0) {
        fill_stat(&st, stat_out);
    }
    return rc;
}

static int real_size(int fd, uint64_t *size_out)
{
    off_t end = lseek(fd, 0, SEEK_END);

    if (end < 0) {
        return errno;
    }
    *size_out = (uint64_t)end;
    return 0;
}

static int real_stat_path(const char *path, struct kvi_os_stat *stat_out)
{
    struct stat st;
    int rc = result_of(stat(path, &st));

    if (rc == 0) {
        fill_stat(&st, stat_out);
    }
    return rc;
}

static int real_fs_type(int fd, int64_t *magic_out)
{
    struct statfs fs;
    int rc;

    do {
        rc = result_of(fstatfs(fd, &fs));
    } while (rc == EINTR);
    if (rc == 0) {
        *magic_out = (int64_t)fs.f_type;
    }
    return rc;
}

/* ---- Names --------------------------------------------------------------------------------- */

/* By descriptor where the kernel allows it to us, else through /proc. */
static int real_link_fd(int fd, const char *path)
{
    char proc_path[64];
    int rc = result_of(linkat(fd, "", AT_FDCWD, path, AT_EMPTY_PATH));

    if (rc != ENOENT && rc != EPERM && rc != EINVAL) {
        return rc;
    }
    (void)snprintf(proc_path, sizeof proc_path, "/proc/self/fd/%d", fd);
    return result_of(linkat(AT_FDCWD, proc_path, AT_FDCWD, path, AT_SYMLINK_FOLLOW));
}

static int real_link(const char *from, const char *to)
{
    return result_of(link(from, to));
}

static int real_rename_noreplace(const char *from, const char *to)
{
    int rc = result_of(renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE));

    if (rc != EINVAL && rc != ENOSYS) {
        return rc;
    }
    /* The file system lacks it: as atomic, but the file has two names for a moment. */
    rc = result_of(link(from, to));
    return rc ? rc : result_of(unlink(from));
}

static int real_unlink(const char *path)
{
    return result_of(unlink(path));
}

static int real_memfd(const char *name, int *fd_out)
{
    int fd = memfd_create(name, MFD_CLOEXEC);

    if (fd < 0) {
        return errno;
    }
    *fd_out = fd;
    return 0;
}

/* ---- Maps ---------------------------------------------------------------------------------- */

static int map_range(int fd, uint64_t offset, uint64_t size_bytes, int protection, int flags,
                     void **address_out)
{
    void *address = mmap(NULL, (size_t)size_bytes, protection, flags, fd, (off_t)offset);

    if (address == MAP_FAILED) {
        return errno;
    }
    *address_out = address;
    return 0;
}

static int real_map(int fd, uint64_t offset, uint64_t size_bytes, bool writable, void **address_out)
{
    int protection = writable ? PROT_READ | PROT_WRITE : PROT_READ;

    return map_range(fd, offset, size_bytes, protection, MAP_SHARED | MAP_NORESERVE, address_out);
}

static int real_unmap(void *address, uint64_t size_bytes)
{
    return result_of(munmap(address, (size_t)size_bytes));
}

static int real_map_anon(uint64_t size_bytes, void **address_out)
{
    return map_range(-1, 0, size_bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, address_out);
}

static int real_advise(void *address, uint64_t size_bytes, int advice)
{
    return result_of(madvise(address, (size_t)size_bytes, advice));
}

static int real_resident(const void *address, bool *resident_out)
{
    unsigned char state = 0;
    int rc = result_of(mincore((void *)(uintptr_t)address, 1, &state));

    if (rc == 0) {
        *resident_out = state & 1;
    }
    return rc;
}

/* Not by way of the C library where the kernel's call is the same: sanitizers take mmap for a store
 * by the thread that calls it, to memory that others may be reading. */
static int real_cover(void *address, uint64_t size_bytes, bool writable)
{
    int protection = writable ? PROT_READ | PROT_WRITE : PROT_READ;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;

#if defined(SYS_mmap) && UINTPTR_MAX > UINT32_MAX
    return result_of(
        syscall(SYS_mmap, address, (size_t)size_bytes, protection, flags, -1, 0L) == -1 ? -1 : 0);
#else
    return mmap(address, (size_t)size_bytes, protection, flags, -1, 0) == MAP_FAILED ? errno : 0;
#endif
}

/* ---- Stores through a mapping -------------------------------------------------------------- */

/* A pipe takes references to pages of the source; reading it out is a copy by the kernel to the
 * mapping, in which a page that cannot be had ends the call. What user code, and the library, would
 * get for it is SIGBUS. The source is copied once more before, to a few pages that stay in the
 * cache with what the kernel keeps of each: taking references to pages all over the memory costs
 * more. Measured here, ext4, 4 KiB pages: write 1.4 us, this 0.5, a plain copy 0.4. */

#define STAGE_PAGES 16u /* what a pipe holds without asking for more */
#define STAGE_PAGE_BYTES 4096u
#define STAGE_BYTES ((size_t)STAGE_PAGES * STAGE_PAGE_BYTES)

static void real_store_close(struct kvi_os_store *store)
{
    (void)close(store->ends[0]);
    (void)close(store->ends[1]);
    free(store->stage);
    *store = (struct kvi_os_store){.fd = -1, .ends = {-1, -1}};
}

static int real_store_open(struct kvi_os_store *store)
{
    int rc;

    store->stage = aligned_alloc(STAGE_PAGE_BYTES, STAGE_BYTES);
    if (!store->stage) {
        return ENOMEM;
    }
    rc = result_of(pipe2(store->ends, O_CLOEXEC | O_NONBLOCK));
    if (rc) {
        free(store->stage);
        store->stage = NULL;
    }
    return rc;
}

/* The pipe must be empty for the next call. */
static void drain(const struct kvi_os_store *store)
{
    char scratch[STAGE_PAGE_BYTES];
    ssize_t got;

    do {
        got = read(store->ends[0], scratch, sizeof scratch);
    } while (got > 0 || (got < 0 && errno == EINTR));
}

/* What stands in the pipe, `size_bytes`, to its places. */
static int read_out(const struct kvi_os_store *store, const struct iovec *to, int count,
                    size_t size_bytes)
{
    ssize_t got;
    int rc;

    do {
        got = readv(store->ends[0], to, count);
    } while (got < 0 && errno == EINTR);
    if (got >= 0 && (size_t)got == size_bytes) {
        return 0;
    }
    rc = got < 0 ? errno : EFAULT;
    drain(store);
    return rc;
}

/* The first `size_bytes` of the stage to their places. A pipe that is smaller than the stage, as it
 * is for who has many, refuses what is more than that. */
static int store_stage(const struct kvi_os_store *store, const struct iovec *to, int count,
                       size_t size_bytes)
{
    struct iovec from = {store->stage, size_bytes};
    ssize_t took;

    do {
        took = vmsplice(store->ends[1], &from, 1, SPLICE_F_NONBLOCK);
    } while (took < 0 && errno == EINTR);
    if (took < 0) {
        return errno;
    }
    if ((size_t)took != size_bytes) {
        drain(store);
        return EAGAIN;
    }
    return read_out(store, to, count, size_bytes);
}

static int real_store(const struct kvi_os_store *store, const struct iovec *parts,
                      const uint64_t *offsets, int count)
{
    struct iovec to[STAGE_PAGES];
    size_t filled = 0;
    size_t done = 0; /* of the first part */
    int n = 0;
    int rc = 0;

    for (int i = 0; i < count && !rc;) {
        size_t size = parts[i].iov_len - done;

        if (size > STAGE_BYTES - filled) {
            size = STAGE_BYTES - filled;
        }
        memcpy(store->stage + filled, (const char *)parts[i].iov_base + done, size);
        to[n++] = (struct iovec){store->base + offsets[i] + done, size};
        filled += size;
        done += size;
        if (done == parts[i].iov_len) {
            i++;
            done = 0;
        }
        if (filled == STAGE_BYTES || n == STAGE_PAGES || i == count) {
            rc = store_stage(store, to, n, filled);
            filled = 0;
            n = 0;
        }
    }
    return rc;
}

/* ---- Locks --------------------------------------------------------------------------------- */

static struct flock flock_of(enum kvi_os_lock kind, uint64_t offset, uint64_t size_bytes)
{
    static const short types[] = {F_UNLCK, F_RDLCK, F_WRLCK};

    return (struct flock){
        .l_type = types[kind],
        .l_whence = SEEK_SET,
        .l_start = (off_t)offset,
        .l_len = (off_t)size_bytes,
        .l_pid = 0, /* the kernel asks for it with OFD locks */
    };
}

static int real_lock(int fd, enum kvi_os_lock kind, uint64_t offset, uint64_t size_bytes)
{
    struct flock lock = flock_of(kind, offset, size_bytes);
    int rc;

    do {
        rc = result_of(fcntl(fd, F_OFD_SETLK, &lock));
    } while (rc == EINTR);
    return rc == EACCES ? EAGAIN : rc;
}

static int real_lock_probe(int fd, enum kvi_os_lock kind, uint64_t offset, uint64_t size_bytes,
                           bool *conflict_out)
{
    struct flock lock = flock_of(kind, offset, size_bytes);
    int rc;

    do {
        rc = result_of(fcntl(fd, F_OFD_GETLK, &lock));
    } while (rc == EINTR);
    if (rc == 0) {
        *conflict_out = lock.l_type != F_UNLCK;
    }
    return rc;
}

/* ---- Signals ------------------------------------------------------------------------------- */

static int real_catch_signal(int signo, const struct sigaction *action, struct sigaction *there_out)
{
    return result_of(sigaction(signo, action, there_out));
}

/* The kernel lets nobody but ourselves be sent what it says itself. */
static int real_send_self(int signo, const siginfo_t *info)
{
    if (syscall(SYS_rt_tgsigqueueinfo, getpid(), syscall(SYS_gettid), signo, info) == 0) {
        return 0;
    }
    return raise(signo) ? EINVAL : 0;
}

/* ---- Threads and time ---------------------------------------------------------------------- */

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec now = {0, 0};

    (void)clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static struct timespec timespec_of(uint64_t ns)
{
    return (struct timespec){.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};
}

/* WAIT_BITSET takes a point in time, so that signals do not lengthen the wait. */
static int real_futex_wait(uint32_t *word, uint32_t expected, uint32_t timeout_ms)
{
    struct timespec deadline =
        timespec_of(clock_ns(CLOCK_MONOTONIC) + (uint64_t)timeout_ms * NS_PER_MS);
    long returned;

    do {
        returned = syscall(SYS_futex, word, FUTEX_WAIT_BITSET, expected, &deadline, NULL,
                           FUTEX_BITSET_MATCH_ANY);
    } while (returned < 0 && errno == EINTR);
    return returned < 0 ? errno : 0;
}

static int real_futex_wake(uint32_t *word, int count)
{
    return syscall(SYS_futex, word, FUTEX_WAKE, count, NULL, NULL, 0) < 0 ? errno : 0;
}

static int real_sleep_us(uint32_t us)
{
    struct timespec end = timespec_of(clock_ns(CLOCK_MONOTONIC) + (uint64_t)us * NS_PER_US);
    int rc;

    do {
        rc = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &end, NULL);
    } while (rc == EINTR);
    return rc;
}

static uint64_t real_monotonic_ns(void)
{
    return clock_ns(CLOCK_BOOTTIME);
}

static int64_t real_pid(void)
{
    return (int64_t)getpid();
}

static int real_random(void *data, size_t size_bytes)
{
    size_t done = 0;

    while (done < size_bytes) {
        ssize_t got = getrandom((char *)data + done, size_bytes - done, 0);

        if (got > 0) {
            done += (size_t)got;
        } else if (got == 0 || errno != EINTR) {
            return got == 0 ? EIO : errno;
        }
    }
    return 0;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The kernel writes it as text, 8-4-4-4-12. Where there is no such file the id is all zeros. */
static int real_boot_id(uint8_t id_out[16])
{
    char text[64];
    size_t got = 0;
    size_t digits = 0;
    int fd = -1;

    memset(id_out, 0, 16);
    if (real_open("/proc/sys/kernel/random/boot_id", O_RDONLY, 0, &fd)) {
        return 0;
    }
    if (real_read_at(fd, text, sizeof text, 0, &got)) {
        got = 0;
    }
    (void)real_close(fd);
    for (size_t i = 0; i < got && digits < 32; i++) {
        int digit = hex_digit(text[i]);

        if (digit >= 0) {
            id_out[digits / 2] = (uint8_t)(id_out[digits / 2] << 4 | digit);
            digits++;
        }
    }
    return 0;
}

const struct kvi_os kvi_os_real = {
    .open = real_open,
    .close = real_close,
    .read_at = real_read_at,
    .write_at = real_write_at,
    .writev_at = real_writev_at,
    .write_stream = real_write_stream,
    .flush = real_flush,
    .flush_full = real_flush_full,
    .write_back = real_write_back,
    .truncate = real_truncate,
    .allocate = real_allocate,
    .preallocate = real_preallocate,
    .punch = real_punch,
    .size = real_size,
    .stat_fd = real_stat_fd,
    .stat_path = real_stat_path,
    .fs_type = real_fs_type,
    .link_fd = real_link_fd,
    .link = real_link,
    .rename_noreplace = real_rename_noreplace,
    .unlink = real_unlink,
    .memfd = real_memfd,
    .map = real_map,
    .unmap = real_unmap,
    .map_anon = real_map_anon,
    .advise = real_advise,
    .resident = real_resident,
    .cover = real_cover,
    .store_open = real_store_open,
    .store_close = real_store_close,
    .store = real_store,
    .lock = real_lock,
    .lock_probe = real_lock_probe,
    .catch_signal = real_catch_signal,
    .send_self = real_send_self,
    .futex_wait = real_futex_wait,
    .futex_wake = real_futex_wake,
    .sleep_us = real_sleep_us,
    .monotonic_ns = real_monotonic_ns,
    .pid = real_pid,
    .random = real_random,
    .boot_id = real_boot_id,
};
