/* SPDX-License-Identifier: MIT */
/*
 * The lock file: what live processes share, and can rebuild. Process slots, reader slots, the
 * writer lock, the flush lock, the shared state (shared.h). DESIGN 6; layout in docs/LOCKFILE.md.
 *
 * Every byte of it is input. No count or index in it is trusted, every wait is timed and looks
 * whether the owner lives. Locks are open-file-description locks on descriptors of its own, which a
 * forked child does not keep alive. A process that dies at any instruction, holding anything,
 * blocks nobody.
 *
 * The same interface serves envs without a lock file (KV_NOLOCK, KV_MEMORY): the state is then
 * private memory, the locks are in-process only and the reader slots are the env's own.
 *
 * Threads: any thread may call anything, except where said. `struct kvi_lockfile` is one env's.
 */
#ifndef KVI_TXN_LOCKFILE_H
#define KVI_TXN_LOCKFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "txn/shared.h"

struct kvi_lockfile;

struct kvi_lockfile_options {
    const char *path;      /* of the lock file; NULL: private (no lock file) */
    const char *data_path; /* for texts, and checked to name the open inode */
    int data_fd;           /* open data file, read-write unless read_only */
    uint8_t file_id[16];   /* of the data file */
    bool exclusive;        /* refuse, and be refused by, other envs */
    bool read_only;        /* env opened read-only (the lock file is still written) */
    bool data_unlocked;    /* no lock on the data file, no other descriptor of it */
    bool data_writable;    /* data_fd may write; asked only when data_unlocked */
    uint32_t mode;         /* permission bits of a new lock file */
    uint32_t max_readers;  /* 0: no limit */
    struct kvi_guard_mark
        *mark; /* what is mapped is guarded, and the mark's word is ours; or NULL */
};

/* Opens or makes the lock file, binds it to the data file (device, inode, file id, random epoch),
 * takes a process slot. On return the opening lock is held: no other process is between open and
 * ready. *first_out: no other living user, the shared state must be rebuilt by recovery before
 * kvi_lockfile_ready (what it held is still readable, as a candidate for recovery; *boot_same_out
 * tells whether it was written in this boot by users of this data file and may be looked at, else
 * it was zeroed). KV_EBUSY: exclusive user, or bound to another data file with living users, or
 * these live by another lock file; KV_EUNSUPPORTED: file system cannot be shared; KV_ECORRUPT: in
 * use and cut short; EAGAIN: the data path names another file by now, open that; errno of the
 * system calls. The lock file is a plain file with one name, never a symbolic link. */
KVI_MUST_CHECK int kvi_lockfile_open(const struct kvi_lockfile_options *options,
                                     struct kvi_lockfile **lockfile_out, bool *first_out,
                                     bool *boot_same_out);

/* Ends opening: the shared state is valid, others may come in. */
void kvi_lockfile_ready(struct kvi_lockfile *lockfile);

/* Closing. `leave` takes the opening lock (waits, timed) and tells whether this is the last living
 * user, who then seals, cuts and marks the lock file clean (shared->ready = 0, as recovery does
 * before it changes the state) before kvi_lockfile_close. KV_EBUSY: another is opening or closing
 * and does not end; close then all the same. Close frees the slot, every lock and the memory; in a
 * forked child only memory. The data descriptor must be open until then. NULL is allowed. */
KVI_MUST_CHECK int kvi_lockfile_leave(struct kvi_lockfile *lockfile, bool *last_out);
void kvi_lockfile_close(struct kvi_lockfile *lockfile);

struct kvi_shared *kvi_lockfile_shared(struct kvi_lockfile *lockfile);

/* True in a child of fork: one load. Every entry of the API asks, before it touches the shared
 * state or a reader slot: a child does not have that mapping (with a private state it has its own
 * copy). False where the state is private and read-only: such an env goes on working in the child.
 */
bool kvi_lockfile_forked(const struct kvi_lockfile *lockfile);

/* What that load looks at, for who asks often: 0 in a child. Stays until close. */
const _Atomic(uint64_t) *kvi_lockfile_here(const struct kvi_lockfile *lockfile);

/* KV_EBUSY with a text when the lock file or data file was deleted, replaced or copied over while
 * in use (epoch bytes on the data file, inode of the paths): asked at write begin, cheaply (at most
 * a few system calls, and not more often than some milliseconds apart). */
KVI_MUST_CHECK int kvi_lockfile_intact(struct kvi_lockfile *lockfile);

/* ---- Writer and flush lock ---- */

#define KVI_WAIT_FOREVER UINT32_MAX

/* Fair among this process's threads, an OFD lock among processes; any thread may release. timeout
 * 0: try, KV_EBUSY; else KV_ETIMEOUT. */
KVI_MUST_CHECK int kvi_lockfile_lock_writer(struct kvi_lockfile *lockfile, uint32_t timeout_ms);
void kvi_lockfile_unlock_writer(struct kvi_lockfile *lockfile);
KVI_MUST_CHECK int kvi_lockfile_lock_flush(struct kvi_lockfile *lockfile, uint32_t timeout_ms);
void kvi_lockfile_unlock_flush(struct kvi_lockfile *lockfile);

/* This env's owner word (process slot and incarnation, never 0, fits 60 bits) for announcements,
 * and whether the owner of a word still lives (this env itself: yes). */
uint64_t kvi_lockfile_self(const struct kvi_lockfile *lockfile);
bool kvi_lockfile_alive(struct kvi_lockfile *lockfile, uint64_t owner);

/* Living users now, this one included. */
uint64_t kvi_lockfile_users(struct kvi_lockfile *lockfile);

/* ---- Readers ---- */

struct kvi_reader_slot; /* one cache line: snapshot word, owner word, begin time, pid for display */

/* Claims a free slot (clearing dead owners' on need, growing the table): lock-free, rarely a system
 * call. KV_EREADERS: the user's limit. The slot keeps no snapshot yet. A released slot is
 * remembered by the thread, so that begin and end of read txns cost tens of nanoseconds; any thread
 * may release. */
KVI_MUST_CHECK int kvi_reader_claim(struct kvi_lockfile *lockfile,
                                    struct kvi_reader_slot **slot_out);
void kvi_reader_release(struct kvi_lockfile *lockfile, struct kvi_reader_slot *slot);

/* Pins the newest visible snapshot: store, full fence, look that it is still the newest visible,
 * else again. Returns its word (0: the shared state names none: damage). No page may be touched
 * before. */
uint64_t kvi_reader_pin(struct kvi_lockfile *lockfile, struct kvi_reader_slot *slot);
void kvi_reader_unpin(struct kvi_reader_slot *slot);

/* What a scan tells of a used slot. */
struct kvi_reader_info {
    uint64_t word; /* 0: claimed, and pins nothing */
    uint64_t owner;
    int64_t pid;
    uint64_t thread;   /* who pinned last */
    uint64_t begin_ns; /* monotonic_ns at claim or pin; coarse is fine */
    bool alive;
};

/* All slots that pin a snapshot. The caller has fenced. Slots of dead owners are cleared
 * (compare-and-swap of the whole word) and not reported when clear_dead. fn's result other than 0
 * stops and is returned. */
typedef int kvi_reader_fn(void *context, const struct kvi_reader_info *reader);
KVI_MUST_CHECK int kvi_reader_scan(struct kvi_lockfile *lockfile, bool clear_dead,
                                   kvi_reader_fn *fn, void *context);

/* The same without clearing, and with the slots that are claimed but pin nothing: txns that were
 * reset, or are just beginning or ending. */
KVI_MUST_CHECK int kvi_reader_list(struct kvi_lockfile *lockfile, kvi_reader_fn *fn, void *context);

/* Clears all slots of dead owners; tells how many of them kvi_reader_list would have shown. */
KVI_MUST_CHECK int kvi_reader_clear_dead(struct kvi_lockfile *lockfile, uint64_t *cleared_out);

#endif
