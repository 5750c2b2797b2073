/* SPDX-License-Identifier: MIT */
/*
 * Every system call that the library makes, behind one table that tests replace.
 *
 * kvi_os points at the table in force: the real one, or a test's that fails the n-th call, records
 * writes and flushes, or turns the clock. It is set before any env is open and not changed while
 * one is. Each entry returns 0 or a positive errno; outputs come last and are set only on success.
 * EINTR is retried inside, short reads and writes are completed or reported: `read_at` past the end
 * of the file gives a smaller count, `write_at` and `writev_at` are all or an error.
 *
 * Refuses: any policy. Which file, which order, which range is decided above. Descriptors are
 * opened with O_CLOEXEC. Any thread may call any entry.
 */
#ifndef KVI_OS_OS_H
#define KVI_OS_OS_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/attr.h"

/* What stat tells of a file, as far as the library asks. */
struct kvi_os_stat {
    uint64_t dev;
    uint64_t inode;
    uint64_t size_bytes;
    uint64_t blocks_bytes; /* allocated on disk */
    uint32_t mode;         /* type and permission bits, as st_mode */
    uint32_t links;        /* names it has; 0: unlinked */
};

enum kvi_os_lock { KVI_OS_UNLOCK, KVI_OS_LOCK_READ, KVI_OS_LOCK_WRITE };

/* A way to store into a file through a writable mapping by which a page that cannot be had (no
 * space, an error of the disk) is an error and not a signal: the kernel copies, by way of a pipe
 * that holds the pages of the source for a moment. One thread at a time. */
struct kvi_os_store {
    int fd;         /* the file that is mapped; not owned */
    uint8_t *base;  /* where the file's first byte is mapped, writable */
    int ends[2];    /* store_open's, as the stage: the pipe, to read and to write */
    uint8_t *stage; /* what is on its way */
};

struct kvi_os {
    /* files */
    int (*open)(const char *path, int flags, uint32_t mode, int *fd_out);
    int (*close)(int fd);
    int (*read_at)(int fd, void *data, size_t size_bytes, uint64_t offset, size_t *got_out);
    int (*write_at)(int fd, const void *data, size_t size_bytes, uint64_t offset);
    /* at most IOV_MAX parts */
    int (*writev_at)(int fd, const struct iovec *parts, int count, uint64_t offset);
    int (*write_stream)(int fd, const void *data, size_t size_bytes); /* pipes, sockets too */
    int (*flush)(int fd);                                             /* fdatasync */
    int (*flush_full)(int fd); /* fsync: directories, new files */
    /* starts it, waits for nothing; size_bytes 0: to the file's end */
    int (*write_back)(int fd, uint64_t offset, uint64_t size_bytes);
    int (*truncate)(int fd, uint64_t size_bytes);
    int (*allocate)(int fd, uint64_t offset, uint64_t size_bytes); /* posix_fallocate */
    /* Blocks for a range, ahead of writes there; the file's size stays. EOPNOTSUPP where it can't;
     * an error may leave part of them allocated */
    int (*preallocate)(int fd, uint64_t offset, uint64_t size_bytes);
    int (*punch)(int fd, uint64_t offset, uint64_t size_bytes); /* EOPNOTSUPP where it can't */
    /* A file's length by lseek. Not by fstat: once a file's times were asked for, the kernel (multigrain
     * timestamps) makes the next write change them, and a flush then writes the inode as well. */
    int (*size)(int fd, uint64_t *size_out);
    int (*stat_fd)(int fd, struct kvi_os_stat *stat_out);
    int (*stat_path)(const char *path, struct kvi_os_stat *stat_out);
    int (*fs_type)(int fd, int64_t *magic_out); /* f_type of fstatfs */
    int (*link_fd)(int fd, const char *path);   /* give an O_TMPFILE descriptor its name */
    int (*link)(const char *from, const char *to);
    int (*rename_noreplace)(const char *from, const char *to); /* EEXIST if `to` exists */
    int (*unlink)(const char *path);
    int (*memfd)(const char *name, int *fd_out);
    /* maps */
    int (*map)(int fd, uint64_t offset, uint64_t size_bytes, bool writable, void **address_out);
    int (*unmap)(void *address, uint64_t size_bytes);
    int (*map_anon)(uint64_t size_bytes, void **address_out);      /* private, NORESERVE, zero */
    int (*advise)(void *address, uint64_t size_bytes, int advice); /* madvise */
    /* whether the page cache has the page at this place of a mapping of a file */
    int (*resident)(const void *address, bool *resident_out);
    /* Zeros in place of a part of a mapping, of memory of their own, at once. For handlers of signals
     * too. */
    int (*cover)(void *address, uint64_t size_bytes, bool writable);
    /* stores through a writable mapping */
    int (*store_open)(struct kvi_os_store *store); /* fd and base are the caller's */
    void (*store_close)(struct kvi_os_store *store);
    /* parts[i] to offsets[i] of the file, in no order. All, or an error, and then any of it */
    int (*store)(const struct kvi_os_store *store, const struct iovec *parts,
                 const uint64_t *offsets, int count);
    /* locks: open-file-description locks, never waiting; EAGAIN: another holds it */
    int (*lock)(int fd, enum kvi_os_lock kind, uint64_t offset, uint64_t size_bytes);
    /* F_OFD_GETLK: would `kind` conflict with another's? */
    int (*lock_probe)(int fd, enum kvi_os_lock kind, uint64_t offset, uint64_t size_bytes,
                      bool *conflict_out);
    /* signals */
    /* sigaction; `action` or `there_out` may be NULL */
    int (*catch_signal)(int signo, const struct sigaction *action, struct sigaction *there_out);
    /* To the calling thread, as it was sent before. For handlers of signals. */
    int (*send_self)(int signo, const siginfo_t *info);
    /* threads and time */
    /* between processes too; ETIMEDOUT, EAGAIN: the word is not (or no longer) as expected */
    int (*futex_wait)(uint32_t *word, uint32_t expected, uint32_t timeout_ms);
    int (*futex_wake)(uint32_t *word, int count);
    int (*sleep_us)(uint32_t us);
    uint64_t (*monotonic_ns)(void); /* CLOCK_BOOTTIME: the same for all processes of a boot */
    int64_t (*pid)(void);
    int (*random)(void *data, size_t size_bytes);
    int (*boot_id)(uint8_t id_out[16]); /* zeros where the kernel does not tell */
};

/* The table in force. Tests assign it before the first open. */
extern const struct kvi_os *kvi_os;

/* The real system calls. */
extern const struct kvi_os kvi_os_real;

#endif
