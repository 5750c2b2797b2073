/* SPDX-License-Identifier: MIT */
/*
 * lib/os: the real system calls, and that each entry keeps its contract.
 */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/os.h"

static const struct kvi_os *os = &kvi_os_real;

static int open_new(const char *name)
{
    int fd = -1;

    ck_ok(os->open(tmp_path("%s", name), O_RDWR | O_CREAT | O_TRUNC, 0600, &fd));
    return fd;
}

/* ---- Files ----------------------------------------------------------------------------------- */

START_TEST(the_real_table_is_in_force_and_complete)
{
    const void *const *entries = (const void *const *)&kvi_os_real;

    ck_assert_ptr_eq(kvi_os, &kvi_os_real);
    for (size_t i = 0; i < sizeof kvi_os_real / sizeof *entries; i++) {
        ck_assert_msg(entries[i] != NULL, "entry %zu is missing", i);
    }
}
END_TEST

START_TEST(open_reports_the_kernels_error_and_leaves_the_output)
{
    int fd = 77;

    ck_rc(os->open(tmp_path("none"), O_RDONLY, 0, &fd), ENOENT);
    ck_assert_int_eq(fd, 77);
    ck_rc(os->open(tmp_dir(), O_RDWR, 0, &fd), EISDIR);
}
END_TEST

START_TEST(descriptors_are_closed_on_exec)
{
    int fd = open_new("cloexec");
    int mem = -1;

    ck_assert_int_ne(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
    ck_ok(os->memfd("test", &mem));
    ck_assert_int_ne(fcntl(mem, F_GETFD) & FD_CLOEXEC, 0);
    ck_ok(os->close(fd));
    ck_ok(os->close(mem));
    ck_rc(os->close(fd), EBADF);
}
END_TEST

START_TEST(read_past_the_end_gives_a_smaller_count)
{
    int fd = open_new("short");
    char data[16];
    size_t got = 99;

    ck_ok(os->write_at(fd, "0123456789", 10, 0));
    ck_ok(os->read_at(fd, data, 16, 4, &got));
    ck_assert_uint_eq(got, 6);
    ck_assert_mem_eq(data, "456789", 6);
    ck_ok(os->read_at(fd, data, 16, 10, &got));
    ck_assert_uint_eq(got, 0);
    ck_ok(os->close(fd));
    ck_rc(os->read_at(fd, data, 16, 0, &got), EBADF);
}
END_TEST

START_TEST(writev_writes_its_parts_in_order)
{
    int fd = open_new("writev");
    char a[] = "one ";
    char b[] = "two ";
    char c[] = "three";
    struct iovec parts[] = {{a, 4}, {NULL, 0}, {b, 4}, {c, 5}, {NULL, 0}};
    char data[20] = "";
    size_t got = 0;

    ck_ok(os->writev_at(fd, parts, 5, 3));
    ck_ok(os->read_at(fd, data, sizeof data, 3, &got));
    ck_assert_uint_eq(got, 13);
    ck_assert_mem_eq(data, "one two three", 13);
    ck_ok(os->close(fd));
}
END_TEST

/* A limit on file size makes the kernel write less than asked: what fits is written, the rest
 * fails. */
START_TEST(writes_that_the_kernel_cuts_short_are_not_taken_for_success)
{
    pid_t child = fork();
    int status = 0;

    ck_assert_int_ge(child, 0);
    if (child == 0) {
        struct rlimit limit = {6, 6};
        char part[] = "abcd";
        struct iovec parts[] = {{part, 4}, {part, 4}};
        int fd = -1;
        int bad = os->open(tmp_path("limited"), O_RDWR | O_CREAT, 0600, &fd);

        (void)signal(SIGXFSZ, SIG_IGN);
        bad |= setrlimit(RLIMIT_FSIZE, &limit);
        bad |= os->write_at(fd, "0123456789", 10, 0) != EFBIG;
        bad |= os->writev_at(fd, parts, 2, 0) != EFBIG;
        bad |= os->truncate(fd, 7) != EFBIG;
        _exit(bad);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    ck_assert_uint_eq(file_size(tmp_path("limited")), 6);
}
END_TEST

/* The kernel's pwritev, or one that writes no more than this at a call, as the kernel does past 2 GiB. */
static size_t writev_bytes_max;

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    size_t done = 0;

    if (!writev_bytes_max)
        return syscall(SYS_pwritev, fd, parts, (long)count, (long)offset, 0L);
    for (int i = 0; i < count && done < writev_bytes_max; i++) {
        size_t rest = writev_bytes_max - done;
        size_t size = parts[i].iov_len < rest ? parts[i].iov_len : rest;
        ssize_t put = pwrite(fd, parts[i].iov_base, size, offset + (off_t)done);

        if (put < 0)
            return put;
        done += (size_t)put;
    }
    return (ssize_t)done;
}

START_TEST(writes_that_the_kernel_cuts_short_go_on_where_it_stopped)
{
    char one[] = "one ", two[] = "two ", three[] = "three";
    struct iovec parts[] = {{one, 4}, {two, 4}, {two, 0}, {three, 5}};

    for (size_t max = 1; max <= 13; max++) {
        int fd = open_new("short");
        char data[16] = "";
        size_t got = 0;

        writev_bytes_max = max;
        ck_ok(os->writev_at(fd, parts, 4, 2));
        writev_bytes_max = 0;
        ck_ok(os->read_at(fd, data, sizeof data, 0, &got));
        ck_assert_uint_eq(got, 15);
        ck_assert_mem_eq(data + 2, "one two three", 13);
        ck_ok(os->close(fd));
        ck_assert_int_eq(unlink(tmp_path("short")), 0);
    }
}
END_TEST

static void *drain(void *fd)
{
    char data[4096];
    uint64_t total = 0;
    ssize_t got;

    while ((got = read(*(int *)fd, data, sizeof data)) > 0) {
        total += (uint64_t)got;
    }
    return (void *)(uintptr_t)total;
}

START_TEST(stream_writes_wait_for_a_slow_reader)
{
    size_t size = 1 << 20;
    char *data = calloc(1, size);
    pthread_t reader;
    void *total = NULL;
    int fds[2];

    ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
    ck_assert_int_eq(fcntl(fds[1], F_SETFL, O_NONBLOCK), 0);
    ck_assert_int_eq(pthread_create(&reader, NULL, drain, &fds[0]), 0);
    ck_ok(os->write_stream(fds[1], data, size));
    ck_ok(os->close(fds[1]));
    ck_assert_int_eq(pthread_join(reader, &total), 0);
    ck_assert_uint_eq((uintptr_t)total, size);
    ck_ok(os->close(fds[0]));
    free(data);
}
END_TEST

START_TEST(flushes_work_on_files_and_folders_and_fail_on_nothing)
{
    int fd = open_new("flush");
    int dir = -1;

    ck_ok(os->write_at(fd, "x", 1, 0));
    ck_ok(os->write_back(fd, 0, 1));
    ck_ok(os->flush(fd));
    ck_ok(os->flush_full(fd));
    ck_ok(os->open(tmp_dir(), O_RDONLY | O_DIRECTORY, 0, &dir));
    ck_ok(os->flush_full(dir));
    ck_ok(os->close(dir));
    ck_ok(os->close(fd));
    ck_rc(os->flush(fd), EBADF);
    ck_rc(os->flush_full(fd), EBADF);
    ck_rc(os->write_back(fd, 0, 1), EBADF);
}
END_TEST

START_TEST(truncate_grows_with_zeros_and_cuts)
{
    int fd = open_new("truncate");
    uint8_t data[8] = {1, 1, 1, 1, 1, 1, 1, 1};
    size_t got = 0;

    ck_ok(os->write_at(fd, "abcd", 4, 0));
    ck_ok(os->truncate(fd, 2));
    ck_ok(os->truncate(fd, 8));
    ck_ok(os->read_at(fd, data, 8, 0, &got));
    ck_assert_uint_eq(got, 8);
    ck_assert_mem_eq(data, "ab\0\0\0\0\0\0", 8);
    ck_ok(os->close(fd));
}
END_TEST

START_TEST(allocate_takes_space_and_punch_gives_it_back_as_zeros)
{
    int fd = open_new("punch");
    size_t size = 1 << 20;
    uint8_t *data = malloc(size);
    struct kvi_os_stat before;
    struct kvi_os_stat after;
    size_t got = 0;
    int rc;

    ck_ok(os->allocate(fd, 0, size));
    memset(data, 0xaa, size);
    ck_ok(os->write_at(fd, data, size, 0));
    ck_ok(os->flush(fd));
    ck_ok(os->stat_fd(fd, &before));
    ck_assert_uint_ge(before.blocks_bytes, size);
    rc = os->punch(fd, 65536, size - 65536);
    if (rc != EOPNOTSUPP) {
        ck_assert_int_eq(rc, 0);
        ck_ok(os->stat_fd(fd, &after));
        ck_assert_uint_eq(after.size_bytes, size);
        ck_assert_uint_lt(after.blocks_bytes, before.blocks_bytes);
        ck_ok(os->read_at(fd, data, size, 0, &got));
        ck_assert_uint_eq(data[65535], 0xaa);
        ck_assert_uint_eq(data[65536], 0);
    }
    ck_ok(os->close(fd));
    free(data);
}
END_TEST

START_TEST(preallocate_takes_space_and_keeps_size_and_bytes)
{
    int fd = open_new("preallocate");
    struct kvi_os_stat st;
    uint8_t byte = 0x55;
    size_t got = 0;
    int rc;

    ck_ok(os->truncate(fd, 65536));
    ck_ok(os->write_at(fd, &byte, 1, 100));
    rc = os->preallocate(fd, 0, 1 << 20);
    ck_ok(os->stat_fd(fd, &st));
    ck_assert_uint_eq(st.size_bytes, 65536);
    if (rc != EOPNOTSUPP) {
        ck_assert_int_eq(rc, 0);
        ck_assert_uint_ge(st.blocks_bytes, 1 << 20);
        ck_ok(os->truncate(fd, 65536)); /* the size that it has: what lies behind it goes */
        ck_ok(os->stat_fd(fd, &st));
        ck_assert_uint_lt(st.blocks_bytes, 1 << 20);
    }
    byte = 0;
    ck_ok(os->read_at(fd, &byte, 1, 100, &got));
    ck_assert_uint_eq(byte, 0x55);
    ck_assert_int_eq(os->preallocate(fd, 0, 0), EINVAL);
    ck_ok(os->close(fd));
    ck_assert_int_eq(os->preallocate(fd, 0, 4096), EBADF);
}
END_TEST

START_TEST(stat_tells_identity_size_and_kind)
{
    int fd = open_new("stat");
    struct kvi_os_stat by_fd;
    struct kvi_os_stat by_path;

    ck_ok(os->write_at(fd, "12345", 5, 0));
    ck_ok(os->stat_fd(fd, &by_fd));
    ck_ok(os->stat_path(tmp_path("stat"), &by_path));
    ck_assert_uint_eq(by_fd.inode, by_path.inode);
    ck_assert_uint_eq(by_fd.dev, by_path.dev);
    ck_assert_uint_eq(by_fd.size_bytes, 5);
    ck_assert(S_ISREG(by_fd.mode));
    ck_assert_uint_eq(by_fd.mode & 0777, 0600);
    ck_assert_uint_eq(by_fd.links, 1);
    ck_ok(os->unlink(tmp_path("stat")));
    ck_ok(os->stat_fd(fd, &by_fd));
    ck_assert_uint_eq(by_fd.links, 0);
    ck_rc(os->stat_path(tmp_path("stat"), &by_path), ENOENT);
    ck_ok(os->stat_path(tmp_dir(), &by_path));
    ck_assert(S_ISDIR(by_path.mode));
    ck_ok(os->close(fd));
}
END_TEST

START_TEST(fs_type_is_the_kernels_magic)
{
    int64_t magic = 0;
    struct statfs fs;
    int fd = open_new("fs");

    ck_assert_int_eq(fstatfs(fd, &fs), 0);
    ck_ok(os->fs_type(fd, &magic));
    ck_assert_int_eq(magic, (int64_t)fs.f_type);
    ck_ok(os->close(fd));
}
END_TEST

/* ---- Names ----------------------------------------------------------------------------------- */

START_TEST(a_nameless_file_gets_its_name_once)
{
    int fd = -1;
    int rc = os->open(tmp_dir(), O_TMPFILE | O_RDWR, 0600, &fd);

    if (rc == EOPNOTSUPP || rc == EISDIR) {
        return; /* this file system has no nameless files */
    }
    ck_ok(rc);
    ck_ok(os->write_at(fd, "whole", 5, 0));
    ck_ok(os->link_fd(fd, tmp_path("named")));
    ck_assert_uint_eq(file_size(tmp_path("named")), 5);
    ck_rc(os->link_fd(fd, tmp_path("named")), EEXIST);
    ck_rc(os->link_fd(fd, tmp_path("no/folder")), ENOENT);
    ck_ok(os->close(fd));
}
END_TEST

START_TEST(link_and_rename_never_replace)
{
    file_write(tmp_path("first"), "1", 1);
    file_write(tmp_path("second"), "22", 2);
    ck_rc(os->link(tmp_path("first"), tmp_path("second")), EEXIST);
    ck_rc(os->rename_noreplace(tmp_path("first"), tmp_path("second")), EEXIST);
    ck_assert_uint_eq(file_size(tmp_path("second")), 2);
    ck_ok(os->link(tmp_path("first"), tmp_path("third")));
    ck_assert_uint_eq(file_size(tmp_path("third")), 1);
    ck_ok(os->rename_noreplace(tmp_path("second"), tmp_path("fourth")));
    ck_assert(!file_exists(tmp_path("second")));
    ck_assert_uint_eq(file_size(tmp_path("fourth")), 2);
    ck_ok(os->unlink(tmp_path("fourth")));
    ck_rc(os->unlink(tmp_path("fourth")), ENOENT);
}
END_TEST

/* ---- Maps ------------------------------------------------------------------------------------ */

START_TEST(a_map_larger_than_its_file_shows_what_the_file_grows_by)
{
    uint64_t reserved = (uint64_t)1 << 30;
    int fd = open_new("map");
    void *address = NULL;

    ck_ok(os->truncate(fd, 4096));
    ck_ok(os->map(fd, 0, reserved, false, &address));
    ck_ok(os->write_at(fd, "grown", 5, 65536));
    ck_assert_mem_eq((char *)address + 65536, "grown", 5);
    ck_ok(os->advise(address, reserved, MADV_RANDOM));
    ck_ok(os->unmap(address, reserved));
    ck_ok(os->close(fd));
}
END_TEST

START_TEST(stores_to_a_writable_map_reach_the_file)
{
    int fd = open_new("store");
    void *address = NULL;
    char data[4];
    size_t got = 0;

    ck_ok(os->truncate(fd, 4096));
    ck_ok(os->map(fd, 0, 4096, true, &address));
    memcpy(address, "abcd", 4);
    ck_ok(os->read_at(fd, data, 4, 0, &got));
    ck_assert_mem_eq(data, "abcd", 4);
    ck_ok(os->unmap(address, 4096));
    ck_ok(os->close(fd));
}
END_TEST

/* A file of some pages, mapped as much longer, and a way to store into it. */
static struct kvi_os_store store_start(unsigned pages)
{
    struct kvi_os_store store = {.fd = open_new("stored")};
    void *base = NULL;

    ck_ok(os->truncate(store.fd, pages * 4096u));
    ck_ok(os->map(store.fd, 0, 1 << 20, true, &base));
    store.base = base;
    ck_ok(os->store_open(&store));
    return store;
}

static void store_stop(struct kvi_os_store *store)
{
    ck_ok(os->unmap(store->base, 1 << 20));
    ck_ok(os->close(store->fd));
    os->store_close(store);
}

static void check_stored(const struct kvi_os_store *store, uint64_t offset, const uint8_t *bytes,
                         size_t size)
{
    uint8_t *found = malloc(size);
    size_t got = 0;

    ck_assert_ptr_nonnull(found);
    ck_ok(os->read_at(store->fd, found, size, offset, &got));
    ck_assert_uint_eq(got, size);
    ck_assert_mem_eq(found, bytes, size);
    free(found);
}

START_TEST(stores_reach_the_file_at_any_size_and_alignment)
{
    static const size_t sizes[] = {1, 4096, 100, 70000, 65536, 4095};
    enum { PARTS = 40 };
    struct kvi_os_store store = store_start(256);
    uint8_t *source = malloc(80000);
    struct iovec parts[PARTS];
    uint64_t offsets[PARTS];
    uint64_t at = 17;
    int count = 0;

    ck_assert_ptr_nonnull(source);
    for (size_t i = 0; i < 80000; i++)
        source[i] = (uint8_t)(i * 7 + i / 251);
    for (; count < PARTS && at + 70000 < 256 * 4096u; count++) {
        parts[count] = (struct iovec){source + count * 13, sizes[count % 6]};
        offsets[count] = at;
        at += parts[count].iov_len + 3;
    }
    ck_ok(os->store(&store, parts, offsets, count));
    for (int i = 0; i < count; i++)
        check_stored(&store, offsets[i], parts[i].iov_base, parts[i].iov_len);
    free(source);
    store_stop(&store);
}
END_TEST

/* Past the end of the file any access of the program is SIGBUS. */
START_TEST(a_store_that_meets_no_page_is_an_error_and_the_next_one_is_fine)
{
    struct kvi_os_store store = store_start(2);
    static uint8_t a[4096];
    static uint8_t b[4096];
    struct iovec parts[] = {{a, 4096}, {b, 4096}};
    bool resident = true;

    memset(a, 1, sizeof(a));
    memset(b, 2, sizeof(b));
    ck_rc(os->store(&store, parts, (uint64_t[]){4096, 2 * 4096}, 2), EFAULT);
    ck_rc(os->store(&store, parts, (uint64_t[]){2 * 4096}, 1), EFAULT);
    ck_ok(os->store(&store, parts, (uint64_t[]){4096, 0}, 2));
    check_stored(&store, 0, b, sizeof(b));
    check_stored(&store, 4096, a, sizeof(a));
    ck_ok(os->resident(store.base, &resident));
    ck_assert(resident);
    ck_ok(os->resident(store.base + 2 * 4096, &resident));
    ck_assert(!resident);
    store_stop(&store);
}
END_TEST

START_TEST(anonymous_memory_is_zero_and_writable)
{
    uint8_t *address = NULL;
    void *mapped = NULL;

    ck_ok(os->map_anon(1 << 20, &mapped));
    address = mapped;
    ck_assert_uint_eq(address[0] + address[(1 << 20) - 1], 0);
    address[5] = 1;
    ck_ok(os->unmap(mapped, 1 << 20));
}
END_TEST

START_TEST(a_map_that_cannot_be_had_is_an_error)
{
    void *address = NULL;

    ck_rc(os->map(-1, 0, 4096, false, &address), EBADF);
    ck_rc(os->map_anon((uint64_t)1 << 62, &address), ENOMEM);
    ck_assert_ptr_null(address);
}
END_TEST

/* ---- Locks ----------------------------------------------------------------------------------- */

START_TEST(locks_exclude_other_descriptors_of_the_same_process)
{
    int a = open_new("locks");
    int b = -1;
    bool conflict = false;

    ck_ok(os->open(tmp_path("locks"), O_RDWR, 0, &b));
    ck_ok(os->lock(a, KVI_OS_LOCK_WRITE, 8, 1));
    ck_rc(os->lock(b, KVI_OS_LOCK_WRITE, 8, 1), EAGAIN);
    ck_rc(os->lock(b, KVI_OS_LOCK_READ, 8, 1), EAGAIN);
    ck_ok(os->lock(b, KVI_OS_LOCK_WRITE, 9, 1));
    ck_ok(os->lock_probe(b, KVI_OS_LOCK_READ, 8, 1, &conflict));
    ck_assert(conflict);
    ck_ok(os->lock_probe(a, KVI_OS_LOCK_WRITE, 8, 1, &conflict));
    ck_assert_msg(!conflict, "one's own lock is no conflict");
    ck_ok(os->lock(a, KVI_OS_UNLOCK, 8, 1));
    ck_ok(os->lock_probe(b, KVI_OS_LOCK_WRITE, 8, 1, &conflict));
    ck_assert(!conflict);
    ck_ok(os->close(a));
    ck_ok(os->close(b));
}
END_TEST

START_TEST(read_locks_are_shared)
{
    int a = open_new("shared");
    int b = -1;
    bool conflict = true;

    ck_ok(os->open(tmp_path("shared"), O_RDONLY, 0, &b));
    ck_ok(os->lock(a, KVI_OS_LOCK_READ, 0, 1));
    ck_ok(os->lock(b, KVI_OS_LOCK_READ, 0, 1));
    ck_ok(os->lock_probe(b, KVI_OS_LOCK_READ, 0, 1, &conflict));
    ck_assert(!conflict);
    ck_rc(os->lock(a, KVI_OS_LOCK_WRITE, 0, 1), EAGAIN);
    ck_rc(os->lock(b, KVI_OS_LOCK_WRITE, 1, 1), EBADF);
    ck_ok(os->close(a));
    ck_ok(os->close(b));
}
END_TEST

START_TEST(a_lock_outlives_the_closing_of_another_descriptor)
{
    int a = open_new("outlive");
    int b = -1;
    int c = -1;

    ck_ok(os->open(tmp_path("outlive"), O_RDWR, 0, &b));
    ck_ok(os->open(tmp_path("outlive"), O_RDWR, 0, &c));
    ck_ok(os->lock(a, KVI_OS_LOCK_WRITE, 0, 1));
    ck_ok(os->close(b));
    ck_rc(os->lock(c, KVI_OS_LOCK_WRITE, 0, 1), EAGAIN);
    ck_ok(os->close(a));
    ck_ok(os->lock(c, KVI_OS_LOCK_WRITE, 0, 1));
    ck_ok(os->close(c));
}
END_TEST

/* ---- Threads and time ------------------------------------------------------------------------ */

START_TEST(futex_wait_tells_a_changed_word_and_a_timeout)
{
    uint32_t word = 5;

    ck_rc(os->futex_wait(&word, 4, 1000), EAGAIN);
    ck_rc(os->futex_wait(&word, 5, 1), ETIMEDOUT);
    ck_ok(os->futex_wake(&word, 1));
}
END_TEST

struct waiter {
    uint32_t *word;
    int rc;
};

static void *wait_for_change(void *context)
{
    struct waiter *waiter = context;

    do {
        waiter->rc = os->futex_wait(waiter->word, 0, 60000);
    } while (__atomic_load_n(waiter->word, __ATOMIC_ACQUIRE) == 0 && waiter->rc == 0);
    return NULL;
}

START_TEST(futex_wake_reaches_a_waiter_through_another_mapping)
{
    int fd = open_new("futex");
    struct waiter waiter = {NULL, -1};
    uint32_t *word = NULL;
    void *here = NULL;
    void *there = NULL;
    pthread_t thread;

    ck_ok(os->truncate(fd, 4096));
    ck_ok(os->map(fd, 0, 4096, true, &here));
    ck_ok(os->map(fd, 0, 4096, true, &there));
    word = here;
    waiter.word = there;
    ck_assert_int_eq(pthread_create(&thread, NULL, wait_for_change, &waiter), 0);
    ck_ok(os->sleep_us(2000));
    __atomic_store_n(word, 1, __ATOMIC_RELEASE);
    ck_ok(os->futex_wake(word, 1));
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_int_ne(waiter.rc, ETIMEDOUT);
    ck_ok(os->unmap(here, 4096));
    ck_ok(os->unmap(there, 4096));
    ck_ok(os->close(fd));
}
END_TEST

static void ignore_signal(int number)
{
    (void)number;
}

/* A timer interrupts every call many times; each must go on as if nothing had happened. */
START_TEST(signals_shorten_no_sleep_and_no_wait)
{
    struct sigaction action = {.sa_handler = ignore_signal};
    struct sigaction old;
    struct itimerval every_ms = {{0, 1000}, {0, 1000}};
    struct itimerval never = {{0, 0}, {0, 0}};
    uint32_t word = 0;
    uint64_t start;
    uint64_t slept;
    int rc;

    ck_assert_int_eq(sigaction(SIGALRM, &action, &old), 0);
    ck_assert_int_eq(setitimer(ITIMER_REAL, &every_ms, NULL), 0);
    start = os->monotonic_ns();
    rc = os->sleep_us(20000);
    slept = os->monotonic_ns() - start;
    start = os->monotonic_ns();
    if (rc == 0) {
        rc = os->futex_wait(&word, 0, 20);
    }
    start = os->monotonic_ns() - start;
    ck_assert_int_eq(setitimer(ITIMER_REAL, &never, NULL), 0);
    ck_assert_int_eq(sigaction(SIGALRM, &old, NULL), 0);
    ck_assert_int_eq(rc, ETIMEDOUT);
    ck_assert_uint_ge(slept, 19000000);
    ck_assert_uint_ge(start, 19000000);
}
END_TEST

START_TEST(random_bytes_differ_and_the_boot_id_does_not)
{
    uint8_t a[600] = {0};
    uint8_t b[600] = {0};
    uint8_t zeros[16] = {0};

    ck_ok(os->random(a, sizeof a));
    ck_ok(os->random(b, sizeof b));
    ck_assert_int_ne(memcmp(a, b, sizeof a), 0);
    ck_assert_int_ne(memcmp(a + 584, zeros, 16), 0);
    ck_ok(os->boot_id(a));
    ck_ok(os->boot_id(b));
    ck_assert_mem_eq(a, b, 16);
    if (file_exists("/proc/sys/kernel/random/boot_id")) {
        ck_assert_int_ne(memcmp(a, zeros, 16), 0);
    }
}
END_TEST

START_TEST(pid_is_the_process_and_time_goes_on)
{
    uint64_t before = os->monotonic_ns();

    ck_assert_int_eq(os->pid(), getpid());
    ck_ok(os->sleep_us(1000));
    ck_assert_uint_ge(os->monotonic_ns(), before + 1000000);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("os");

    harness_add(s, "files", the_real_table_is_in_force_and_complete);
    harness_add(s, "files", open_reports_the_kernels_error_and_leaves_the_output);
    harness_add(s, "files", descriptors_are_closed_on_exec);
    harness_add(s, "files", read_past_the_end_gives_a_smaller_count);
    harness_add(s, "files", writev_writes_its_parts_in_order);
    harness_add(s, "files", writes_that_the_kernel_cuts_short_are_not_taken_for_success);
    harness_add(s, "files", writes_that_the_kernel_cuts_short_go_on_where_it_stopped);
    harness_add(s, "files", stream_writes_wait_for_a_slow_reader);
    harness_add(s, "files", flushes_work_on_files_and_folders_and_fail_on_nothing);
    harness_add(s, "files", truncate_grows_with_zeros_and_cuts);
    harness_add(s, "files", allocate_takes_space_and_punch_gives_it_back_as_zeros);
    harness_add(s, "files", preallocate_takes_space_and_keeps_size_and_bytes);
    harness_add(s, "files", stat_tells_identity_size_and_kind);
    harness_add(s, "files", fs_type_is_the_kernels_magic);
    harness_add(s, "names", a_nameless_file_gets_its_name_once);
    harness_add(s, "names", link_and_rename_never_replace);
    harness_add(s, "maps", a_map_larger_than_its_file_shows_what_the_file_grows_by);
    harness_add(s, "maps", stores_to_a_writable_map_reach_the_file);
    harness_add(s, "maps", stores_reach_the_file_at_any_size_and_alignment);
    harness_add(s, "maps", a_store_that_meets_no_page_is_an_error_and_the_next_one_is_fine);
    harness_add(s, "maps", anonymous_memory_is_zero_and_writable);
    harness_add(s, "maps", a_map_that_cannot_be_had_is_an_error);
    harness_add(s, "locks", locks_exclude_other_descriptors_of_the_same_process);
    harness_add(s, "locks", read_locks_are_shared);
    harness_add(s, "locks", a_lock_outlives_the_closing_of_another_descriptor);
    harness_add(s, "time", futex_wait_tells_a_changed_word_and_a_timeout);
    harness_add(s, "time", futex_wake_reaches_a_waiter_through_another_mapping);
    harness_add(s, "time", signals_shorten_no_sleep_and_no_wait);
    harness_add(s, "time", random_bytes_differ_and_the_boot_id_does_not);
    harness_add(s, "time", pid_is_the_process_and_time_goes_on);
    return s;
}

HARNESS_MAIN(suite)
