/* SPDX-License-Identifier: MIT */
/*
 * An os table for tests: the real calls, and in front of them faults, a recorder and a clock.
 *
 *     fault_install();                          kvi_os is the test's table now
 *     fault_arm(FAULT_FLUSH, 3, EIO);           the third flush from here on fails
 *     ... run ...
 *     if (!fault_fired()) it was never reached
 *     fault_remove();                           the real table again, everything forgotten
 *
 * For every n: run once with fault_arm(call, 0, 0), take fault_count(call), then run again for each
 n up
 * to that. FAULT_ANY counts all calls that may fail. With FAULT_KILL as error the process kills
 itself
 * just before the n-th call, as kill -9 would: for children of fork.
 *
 X * A write that is made to fail writes the first half of its bytes, as a full disk does, with
 * fault_set_partial(true). A flush that is made to fail makes nothing durable, and tells the
 recorder.
 * While the recorder runs, flushes are recorded and not made: that is what lets thousands of runs
 finish.
 *
 * Everything here is safe from many threads, except install and remove.
 */
#ifndef FAULT_OS_H
#define FAULT_OS_H

#include <stdbool.h>
#include <stdint.h>

#include "os/os.h"
#include "recorder.h"

/* The entries of struct kvi_os that may fail, as X(NAME, entry). */
#define FAULT_CALLS(X)                                                                             \
    X(OPEN, open)                                                                                  \
    X(CLOSE, close)                                                                                \
    X(READ, read_at)                                                                               \
    X(WRITE, write_at)                                                                             \
    X(WRITEV, writev_at)                                                                           \
    X(STREAM, write_stream)                                                                        \
    X(FLUSH, flush)                                                                                \
    X(FLUSH_FULL, flush_full)                                                                      \
    X(WRITE_BACK, write_back)                                                                      \
    X(TRUNCATE, truncate)                                                                          \
    X(ALLOCATE, allocate)                                                                          \
    X(PREALLOCATE, preallocate)                                                                    \
    X(PUNCH, punch)                                                                                \
    X(SIZE, size)                                                                                  \
    X(STAT_FD, stat_fd)                                                                            \
    X(STAT_PATH, stat_path)                                                                        \
    X(FS_TYPE, fs_type)                                                                            \
    X(LINK_FD, link_fd)                                                                            \
    X(LINK, link)                                                                                  \
    X(RENAME, rename_noreplace)                                                                    \
    X(UNLINK, unlink)                                                                              \
    X(MEMFD, memfd)                                                                                \
    X(MAP, map)                                                                                    \
    X(UNMAP, unmap)                                                                                \
    X(MAP_ANON, map_anon)                                                                          \
    X(ADVISE, advise)                                                                              \
    X(RESIDENT, resident)                                                                          \
    X(STORE_OPEN, store_open)                                                                      \
    X(STORE, store)                                                                                \
    X(LOCK, lock)                                                                                  \
    X(LOCK_PROBE, lock_probe)                                                                      \
    X(RANDOM, random)                                                                              \
    X(BOOT_ID, boot_id)

#define FAULT_ENUM(name, entry) FAULT_##name,
enum fault_call {
    FAULT_CALLS(FAULT_ENUM) FAULT_CALLS_END,
    FAULT_WRITES, /* any of WRITE, WRITEV; not STORE, after which the library writes */
    FAULT_SYNCS,  /* any of FLUSH, FLUSH_FULL */
    FAULT_ANY     /* any call but futex, sleep, clock and pid */
};

#define FAULT_KILL (-1) /* as error: kill -9 of this process before the call */

void fault_install(void);
void fault_remove(void);

/* Counting starts anew: the nth (from 1) call of this kind fails with `error`. nth 0: none does. */
void fault_arm(enum fault_call call, uint64_t nth, int error);
/* The same, and so do all after it: the disk is gone. */
void fault_arm_from(enum fault_call call, uint64_t nth, int error);
void fault_disarm(void);                    /* counts stay */
bool fault_fired(void);                     /* since it was armed */
uint64_t fault_count(enum fault_call call); /* calls since it was armed */
void fault_set_partial(bool partial);       /* see above; for write_at and writev_at */
const char *fault_name(enum fault_call call);

/* Called before each call that can fail, without any lock: a place to look, or to let something
 * else happen at just that moment. Calls made inside the hook do not call it again in that thread.
 */
typedef void fault_hook_fn(void *context, enum fault_call call);
void fault_set_hook(fault_hook_fn *hook, void *context);

/* Switches the recorder: records of both stretches stand in one recording until recorder_reset. */
void fault_record(bool on);

/* Adds to what monotonic_ns tells, at once, for all. */
void fault_clock_advance(uint64_t ns);

/* As if the machine had been started anew: boot_id tells another one for each number. 0: the real
 * one. */
void fault_set_boot(unsigned number);

#endif
