/* SPDX-License-Identifier: MIT */
/*
 * Owns the test's os table and what it counts; see fault_os.h.
 *
 * `lock` makes a call and its note in the recording one step, so that records stand in the order in
 * which the kernel saw the calls. Flushes run without it: what is written while one runs is not
 * covered by it.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "fault_os.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct kvi_os *const real = &kvi_os_real;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static enum fault_call armed_call; /* guarded by lock, as all that follows */
static uint64_t armed_nth;
static int armed_error;
static bool armed_from;
static bool fired;
static uint64_t counts[FAULT_ANY + 1];
static bool partial_writes;
static fault_hook_fn *hook;
static void *hook_context;
static _Thread_local bool in_hook;

static atomic_bool recording;
static _Atomic uint64_t clock_added_ns;
static atomic_uint boot_number;

/* ---- Counting
 * ------------------------------------------------------------------------------------ */

static bool hits(enum fault_call kind)
{
    counts[kind]++;
    if (kind != armed_call || armed_nth == 0) {
        return false;
    }
    return counts[kind] == armed_nth || (armed_from && counts[kind] > armed_nth);
}

static int count_call(enum fault_call call)
{
    bool hit;
    int rc = 0;

    (void)pthread_mutex_lock(&lock);
    hit = hits(call);
    if (call == FAULT_WRITE || call == FAULT_WRITEV) {
        hit |= hits(FAULT_WRITES);
    }
    if (call == FAULT_FLUSH || call == FAULT_FLUSH_FULL) {
        hit |= hits(FAULT_SYNCS);
    }
    hit |= hits(FAULT_ANY);
    if (hit) {
        fired = true;
        rc = armed_error;
    }
    (void)pthread_mutex_unlock(&lock);
    if (rc == FAULT_KILL) {
        (void)kill(getpid(), SIGKILL);
        (void)pause();
    }
    return rc;
}

/* 0, or the error that this call is to have. */
static int fault(enum fault_call call)
{
    if (hook && !in_hook) {
        in_hook = true;
        hook(hook_context, call);
        in_hook = false;
    }
    return count_call(call);
}

static bool begin_note(void)
{
    bool on = atomic_load(&recording);

    if (on) {
        (void)pthread_mutex_lock(&lock);
    }
    return on;
}

static void end_note(bool on)
{
    if (on) {
        (void)pthread_mutex_unlock(&lock);
    }
}

/* ---- Files
 * ---------------------------------------------------------------------------------------- */

static int fault_open(const char *path, int flags, uint32_t mode, int *fd_out)
{
    int rc = fault(FAULT_OPEN);
    bool on;

    if (rc) {
        return rc;
    }
    on = begin_note();
    rc = real->open(path, flags, mode, fd_out);
    if (on && rc == 0) {
        recorder_note_open(*fd_out);
    }
    end_note(on);
    return rc;
}

/* A close that fails has closed all the same, as the kernel's. */
static int fault_close(int fd)
{
    int rc = fault(FAULT_CLOSE);
    bool on = begin_note();
    int real_rc;

    if (on) {
        recorder_note_close(fd);
    }
    real_rc = real->close(fd);
    end_note(on);
    return rc ? rc : real_rc;
}

static int fault_read_at(int fd, void *data, size_t size_bytes, uint64_t offset, size_t *got_out)
{
    int rc = fault(FAULT_READ);

    return rc ? rc : real->read_at(fd, data, size_bytes, offset, got_out);
}

static int write_noted(int fd, const void *data, size_t size_bytes, uint64_t offset)
{
    bool on = begin_note();
    int rc;

    if (on) {
        recorder_see(fd);
    }
    rc = real->write_at(fd, data, size_bytes, offset);
    if (on && rc == 0) {
        recorder_note_write(fd, data, size_bytes, offset);
    }
    end_note(on);
    return rc;
}

/* How much a write that fails has written. Of a disk that is gone no sector is torn: what takes back
 * a torn write fails as well. */
static size_t part_of(size_t size_bytes)
{
    return armed_from ? size_bytes / 2 / 512 * 512 : size_bytes / 2;
}

static int fault_write_at(int fd, const void *data, size_t size_bytes, uint64_t offset)
{
    int rc = fault(FAULT_WRITE);

    if (rc && partial_writes) {
        (void)write_noted(fd, data, part_of(size_bytes), offset);
    }
    return rc ? rc : write_noted(fd, data, size_bytes, offset);
}

/* The parts as one block: one record, and half of it is easily written. */
static int fault_writev_at(int fd, const struct iovec *parts, int count, uint64_t offset)
{
    int rc = fault(FAULT_WRITEV);
    size_t size = 0;
    uint8_t *block;

    if (!atomic_load(&recording) && !rc) {
        return real->writev_at(fd, parts, count, offset);
    }
    for (int i = 0; i < count; i++) {
        size += parts[i].iov_len;
    }
    block = malloc(size + 1);
    if (!block) {
        return ENOMEM;
    }
    size = 0;
    for (int i = 0; i < count; i++) {
        memcpy(block + size, parts[i].iov_base, parts[i].iov_len);
        size += parts[i].iov_len;
    }
    if (!rc) {
        rc = write_noted(fd, block, size, offset);
    } else if (partial_writes) {
        (void)write_noted(fd, block, part_of(size), offset);
    }
    free(block);
    return rc;
}

static int fault_write_stream(int fd, const void *data, size_t size_bytes)
{
    int rc = fault(FAULT_STREAM);

    return rc ? rc : real->write_stream(fd, data, size_bytes);
}

static int flush_noted(int fd, int fail_with, int (*flush)(int))
{
    bool on = begin_note();
    size_t begun = 0;
    int rc;

    if (on) {
        recorder_see(fd);
        begun = recorder_count();
    }
    end_note(on);
    rc = fail_with ? fail_with : flush(fd);
    on = on && begin_note();
    if (on) {
        recorder_note_flush(fd, begun, rc != 0);
    }
    end_note(on);
    return rc;
}

/* The bytes reached the page cache by the write, so nobody on this machine can tell whether a run
 * under the recorder really flushes; it does not, for speed. */
static int pretend_flush(int fd)
{
    struct kvi_os_stat stat;

    return real->stat_fd(fd, &stat); /* EBADF must stay an error */
}

static int fault_flush(int fd)
{
    int rc = fault(FAULT_FLUSH);

    return flush_noted(fd, rc, atomic_load(&recording) ? pretend_flush : real->flush);
}

static int fault_flush_full(int fd)
{
    int rc = fault(FAULT_FLUSH_FULL);

    return flush_noted(fd, rc, atomic_load(&recording) ? pretend_flush : real->flush_full);
}

static int fault_write_back(int fd, uint64_t offset, uint64_t size_bytes)
{
    int rc = fault(FAULT_WRITE_BACK);

    return rc ? rc : real->write_back(fd, offset, size_bytes);
}

static void note_range(bool on, int rc, int fd, enum record_kind kind, uint64_t offset,
                       uint64_t size_bytes)
{
    if (on && rc == 0) {
        recorder_note_range(fd, kind, offset, size_bytes);
    }
    end_note(on);
}

static bool begin_range(int fd)
{
    bool on = begin_note();

    if (on) {
        recorder_see(fd);
    }
    return on;
}

static int fault_truncate(int fd, uint64_t size_bytes)
{
    int rc = fault(FAULT_TRUNCATE);
    bool on;

    if (rc) {
        return rc;
    }
    on = begin_range(fd);
    rc = real->truncate(fd, size_bytes);
    note_range(on, rc, fd, RECORD_TRUNCATE, 0, size_bytes);
    return rc;
}

static int fault_allocate(int fd, uint64_t offset, uint64_t size_bytes)
{
    int rc = fault(FAULT_ALLOCATE);
    bool on;

    if (rc) {
        return rc;
    }
    on = begin_range(fd);
    rc = real->allocate(fd, offset, size_bytes);
    note_range(on, rc, fd, RECORD_ALLOCATE, offset, size_bytes);
    return rc;
}

/* Not recorded: what is read there does not change, nor does the file's size. */
static int fault_preallocate(int fd, uint64_t offset, uint64_t size_bytes)
{
    int rc = fault(FAULT_PREALLOCATE);

    return rc ? rc : real->preallocate(fd, offset, size_bytes);
}

static int fault_punch(int fd, uint64_t offset, uint64_t size_bytes)
{
    int rc = fault(FAULT_PUNCH);
    bool on;

    if (rc) {
        return rc;
    }
    on = begin_range(fd);
    rc = real->punch(fd, offset, size_bytes);
    note_range(on, rc, fd, RECORD_PUNCH, offset, size_bytes);
    return rc;
}

static int fault_stat_fd(int fd, struct kvi_os_stat *stat_out)
{
    int rc = fault(FAULT_STAT_FD);

    return rc ? rc : real->stat_fd(fd, stat_out);
}

static int fault_size(int fd, uint64_t *size_out)
{
    int rc = fault(FAULT_SIZE);

    return rc ? rc : real->size(fd, size_out);
}

static int fault_stat_path(const char *path, struct kvi_os_stat *stat_out)
{
    int rc = fault(FAULT_STAT_PATH);

    return rc ? rc : real->stat_path(path, stat_out);
}

static int fault_fs_type(int fd, int64_t *magic_out)
{
    int rc = fault(FAULT_FS_TYPE);

    return rc ? rc : real->fs_type(fd, magic_out);
}

/* ---- Names
 * ----------------------------------------------------------------------------------------- */

static int fault_link_fd(int fd, const char *path)
{
    int rc = fault(FAULT_LINK_FD);
    bool on;

    if (rc) {
        return rc;
    }
    on = begin_note();
    rc = real->link_fd(fd, path);
    if (on && rc == 0) {
        recorder_note_link(recorder_file_of(NULL, fd), path);
    }
    end_note(on);
    return rc;
}

static int fault_link(const char *from, const char *to)
{
    int rc = fault(FAULT_LINK);
    bool on;

    if (rc) {
        return rc;
    }
    on = begin_note();
    rc = real->link(from, to);
    if (on && rc == 0) {
        recorder_note_link(recorder_file_of(from, -1), to);
    }
    end_note(on);
    return rc;
}

static int fault_rename_noreplace(const char *from, const char *to)
{
    int rc = fault(FAULT_RENAME);
    bool on;

    if (rc) {
        return rc;
    }
    on = begin_note();
    rc = real->rename_noreplace(from, to);
    if (on && rc == 0) {
        recorder_note_rename(recorder_file_of(to, -1), from, to);
    }
    end_note(on);
    return rc;
}

static int fault_unlink(const char *path)
{
    int rc = fault(FAULT_UNLINK);
    int file = -1;
    bool on;

    if (rc) {
        return rc;
    }
    on = begin_note();
    if (on) {
        file = recorder_file_of(path, -1);
    }
    rc = real->unlink(path);
    if (on && rc == 0) {
        recorder_note_unlink(file, path);
    }
    end_note(on);
    return rc;
}

static int fault_memfd(const char *name, int *fd_out)
{
    int rc = fault(FAULT_MEMFD);

    return rc ? rc : real->memfd(name, fd_out);
}

/* ---- Maps, locks, machine
 * ------------------------------------------------------------------------- */

static int fault_map(int fd, uint64_t offset, uint64_t size_bytes, bool writable,
                     void **address_out)
{
    int rc = fault(FAULT_MAP);

    return rc ? rc : real->map(fd, offset, size_bytes, writable, address_out);
}

/* One that fails has unmapped all the same: what is left of a file's mapping would hold the file's
 * locks, and the kernel refuses only where a part has to be split off from a neighbour. */
static int fault_unmap(void *address, uint64_t size_bytes)
{
    int rc = fault(FAULT_UNMAP);
    int real_rc = real->unmap(address, size_bytes);

    return rc ? rc : real_rc;
}

static int fault_map_anon(uint64_t size_bytes, void **address_out)
{
    int rc = fault(FAULT_MAP_ANON);

    return rc ? rc : real->map_anon(size_bytes, address_out);
}

static int fault_advise(void *address, uint64_t size_bytes, int advice)
{
    int rc = fault(FAULT_ADVISE);

    return rc ? rc : real->advise(address, size_bytes, advice);
}

static int fault_resident(const void *address, bool *resident_out)
{
    int rc = fault(FAULT_RESIDENT);

    return rc ? rc : real->resident(address, resident_out);
}

/* Of handlers of signals, where nothing may be counted under a lock, and what puts them in place. */
static int plain_cover(void *address, uint64_t size_bytes, bool writable)
{
    return real->cover(address, size_bytes, writable);
}

static int plain_catch_signal(int signo, const struct sigaction *action,
                              struct sigaction *there_out)
{
    return real->catch_signal(signo, action, there_out);
}

static int plain_send_self(int signo, const siginfo_t *info)
{
    return real->send_self(signo, info);
}

static int fault_store_open(struct kvi_os_store *store)
{
    int rc = fault(FAULT_STORE_OPEN);

    return rc ? rc : real->store_open(store);
}

static void fault_store_close(struct kvi_os_store *store)
{
    real->store_close(store);
}

static int store_noted(const struct kvi_os_store *store, const struct iovec *parts,
                       const uint64_t *offsets, int count)
{
    bool on = begin_note();
    int rc;

    if (on) {
        recorder_see(store->fd);
    }
    rc = real->store(store, parts, offsets, count);
    for (int i = 0; on && rc == 0 && i < count; i++) {
        recorder_note_store(store->fd, parts[i].iov_base, parts[i].iov_len, offsets[i]);
    }
    end_note(on);
    return rc;
}

static int fault_store(const struct kvi_os_store *store, const struct iovec *parts,
                       const uint64_t *offsets, int count)
{
    int rc = fault(FAULT_STORE);

    if (rc && partial_writes) {
        (void)store_noted(store, parts, offsets, count / 2);
    }
    return rc ? rc : store_noted(store, parts, offsets, count);
}

static int fault_lock(int fd, enum kvi_os_lock kind, uint64_t offset, uint64_t size_bytes)
{
    int rc = fault(FAULT_LOCK);

    if (kind == KVI_OS_UNLOCK && (rc == EAGAIN || armed_from)) {
        rc = 0; /* none but us holds it, and a disk that is gone has no part in it */
    }
    return rc ? rc : real->lock(fd, kind, offset, size_bytes);
}

static int fault_lock_probe(int fd, enum kvi_os_lock kind, uint64_t offset, uint64_t size_bytes,
                            bool *conflict_out)
{
    int rc = fault(FAULT_LOCK_PROBE);

    return rc ? rc : real->lock_probe(fd, kind, offset, size_bytes, conflict_out);
}

static int fault_futex_wait(uint32_t *word, uint32_t expected, uint32_t timeout_ms)
{
    return real->futex_wait(word, expected, timeout_ms);
}

static int fault_futex_wake(uint32_t *word, int count)
{
    return real->futex_wake(word, count);
}

static int fault_sleep_us(uint32_t us)
{
    return real->sleep_us(us);
}

static uint64_t fault_monotonic_ns(void)
{
    return real->monotonic_ns() + atomic_load(&clock_added_ns);
}

static int64_t fault_pid(void)
{
    return real->pid();
}

static int fault_random(void *data, size_t size_bytes)
{
    int rc = fault(FAULT_RANDOM);

    return rc ? rc : real->random(data, size_bytes);
}

static int fault_boot_id(uint8_t id_out[16])
{
    int rc = fault(FAULT_BOOT_ID);
    unsigned number = atomic_load(&boot_number);

    if (rc || number == 0) {
        return rc ? rc : real->boot_id(id_out);
    }
    memset(id_out, 0xb0, 16);
    memcpy(id_out, &number, sizeof number);
    return 0;
}

#define FAULT_ENTRY(name, entry) .entry = fault_##entry,

static const struct kvi_os fault_table = {
    FAULT_CALLS(FAULT_ENTRY).futex_wait = fault_futex_wait,
    .store_close = fault_store_close,
    .cover = plain_cover,
    .catch_signal = plain_catch_signal,
    .send_self = plain_send_self,
    .futex_wake = fault_futex_wake,
    .sleep_us = fault_sleep_us,
    .monotonic_ns = fault_monotonic_ns,
    .pid = fault_pid,
};

/* ---- Steering
 * --------------------------------------------------------------------------------------- */

static void arm(enum fault_call call, uint64_t nth, int error, bool from)
{
    (void)pthread_mutex_lock(&lock);
    armed_call = call;
    armed_nth = nth;
    armed_error = error;
    armed_from = from;
    fired = false;
    memset(counts, 0, sizeof counts);
    (void)pthread_mutex_unlock(&lock);
}

void fault_arm(enum fault_call call, uint64_t nth, int error)
{
    arm(call, nth, error, false);
}

void fault_arm_from(enum fault_call call, uint64_t nth, int error)
{
    arm(call, nth, error, true);
}

void fault_disarm(void)
{
    (void)pthread_mutex_lock(&lock);
    armed_nth = 0;
    (void)pthread_mutex_unlock(&lock);
}

bool fault_fired(void)
{
    bool result;

    (void)pthread_mutex_lock(&lock);
    result = fired;
    (void)pthread_mutex_unlock(&lock);
    return result;
}

uint64_t fault_count(enum fault_call call)
{
    uint64_t count;

    (void)pthread_mutex_lock(&lock);
    count = counts[call];
    (void)pthread_mutex_unlock(&lock);
    return count;
}

void fault_set_partial(bool partial)
{
    partial_writes = partial;
}

#define FAULT_NAME(name, entry) #entry,

const char *fault_name(enum fault_call call)
{
    static const char *const names[] = {FAULT_CALLS(FAULT_NAME) "", "writes", "syncs", "any"};

    return names[call];
}

void fault_set_hook(fault_hook_fn *new_hook, void *context)
{
    hook_context = context;
    hook = new_hook;
}

void fault_record(bool on)
{
    atomic_store(&recording, on);
}

void fault_clock_advance(uint64_t ns)
{
    atomic_fetch_add(&clock_added_ns, ns);
}

void fault_set_boot(unsigned number)
{
    atomic_store(&boot_number, number);
}

static void reset(void)
{
    fault_arm(FAULT_ANY, 0, 0);
    fault_set_partial(false);
    fault_set_hook(NULL, NULL);
    fault_record(false);
    fault_set_boot(0);
    atomic_store(&clock_added_ns, 0);
    recorder_reset();
}

void fault_install(void)
{
    reset();
    kvi_os = &fault_table;
}

void fault_remove(void)
{
    kvi_os = &kvi_os_real;
    reset();
}
