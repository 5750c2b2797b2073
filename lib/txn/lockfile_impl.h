/* SPDX-License-Identifier: MIT */
/*
 * What the sources of the lock file share: the struct behind the handle, and the functions between
 * them. Private to lockfile*.c, process*.c, locks*.c and readers*.c.
 *
 * Fields are set at open and not changed, unless their comment names a guard.
 */
#ifndef KVI_TXN_LOCKFILE_IMPL_H
#define KVI_TXN_LOCKFILE_IMPL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "os/guard.h"
#include "os/os.h"
#include "txn/lockfile.h"
#include "txn/lockfile_layout.h"

/* How long an opener or closer waits for another (recovery and a last durable point may flush
 * gigabytes), and one who grows the tables for another. */
#ifdef KVI_SMALL_LIMITS
#define KVI_OPENING_WAIT_MS 500u
#define KVI_GROWING_WAIT_MS 200u
#else
#define KVI_OPENING_WAIT_MS 300000u
#define KVI_GROWING_WAIT_MS 10000u
#endif

/* The threads that want a gate, in order. */
struct kvi_gate {
    pthread_mutex_t mutex;
    bool held;                     /* mutex */
    struct kvi_gate_waiter *first; /* mutex */
    struct kvi_gate_waiter *last;  /* mutex; of no meaning without a first */
    unsigned waiters;              /* mutex; how many are in line */
};

/* A file as its path should find it. */
struct kvi_bound_file {
    char *path; /* absolute where that could be had */
    int fd;     /* lock file: ours, -1 in a child of fork; data file: the env's */
    uint64_t dev;
    uint64_t inode;
};

struct kvi_lockfile {
    uint8_t *base;              /* the mapping: head, then chunks */
    struct kvi_lock_head *head; /* == base */
    _Atomic(uint64_t) chunks;   /* seen to exist; only grows */
    uint64_t id;                /* unique in this process, for what threads remember */
    uint64_t self;              /* owner word; 0: no process slot yet */
    uint64_t pid;
    _Atomic(uint64_t) *here; /* page that fork wipes: 1, or 0 in a child */
    bool without_file;       /* private memory, no locks but the gates */
    bool opening;            /* holds the opening lock */
    bool read_only;
    bool exclusive;
    bool data_unlocked; /* the data file is neither locked nor opened again */
    bool data_writable; /* of meaning with data_unlocked */
    uint32_t max_readers;
    uint32_t mode;
    struct kvi_guard_mark *mark; /* NULL: not guarded */
    struct kvi_guard_slot *guarded;
    uint8_t file_id[16];
    uint8_t boot_id[16];
    uint64_t epoch;
    struct kvi_bound_file lock;
    struct kvi_bound_file data;
    void *process_hold; /* mappings that keep the locks which say "I live"; NULL none */
    void *data_hold;
    struct kvi_gate gates[KVI_GATES];
    pthread_mutex_t growing;            /* one thread grows the tables */
    _Atomic(uint64_t) search;           /* where the next search for a reader slot begins */
    _Atomic(uint64_t) checked_ns;       /* when it was last seen intact; 0: check now */
    struct kvi_lockfile *registry_next; /* the registry's mutex */
    struct kvi_lockfile *registry_prev;
};

/* ---- process_fork.c: what a forked child must not keep ---- */

/* Opens of descriptors, and what hangs on them, between enter and leave: no fork happens meanwhile.
 */
void kvi_fork_enter(void);
void kvi_fork_leave(void);

/* Makes the page that fork wipes and registers the lock file; remove undoes both (also in a child).
 */
KVI_MUST_CHECK int kvi_fork_add(struct kvi_lockfile *lockfile);
void kvi_fork_remove(struct kvi_lockfile *lockfile);

/* Opens `fd`'s file again: a new open file description. Inside of enter and leave. */
KVI_MUST_CHECK int kvi_fork_reopen(const struct kvi_bound_file *file, int flags, int *fd_out);

/* Closes `fd` and leaves its open file description, with its locks, to a mapping that forked
 * children do not get. fd is closed in any case. Inside of enter and leave. */
KVI_MUST_CHECK int kvi_fork_hold(int fd, void **hold_out);
void kvi_fork_unhold(void **hold);

/* ---- lockfile_table.c: the tables ---- */

/* Chunks known to exist; never touch more. refresh asks the file's size. */
static inline uint64_t kvi_table_chunks(struct kvi_lockfile *lockfile)
{
    return atomic_load_explicit(&lockfile->chunks, memory_order_acquire);
}
KVI_MUST_CHECK int kvi_table_refresh(struct kvi_lockfile *lockfile);

/* More chunks than `seen`, unless others added them meanwhile. KV_EREADERS: the address space is
 * full. */
KVI_MUST_CHECK int kvi_table_grow(struct kvi_lockfile *lockfile, uint64_t seen);

static inline uint8_t *kvi_table_chunk(const struct kvi_lockfile *lockfile, uint64_t chunk)
{
    return lockfile->base + KVI_LOCK_HEAD_BYTES + chunk * KVI_CHUNK_BYTES;
}

static inline struct kvi_process_slot *kvi_table_process(const struct kvi_lockfile *lockfile,
                                                         uint64_t index)
{
    return (struct kvi_process_slot *)kvi_table_chunk(lockfile, index / KVI_CHUNK_PROCESSES) +
           index % KVI_CHUNK_PROCESSES;
}

static inline struct kvi_reader_slot *kvi_table_reader(const struct kvi_lockfile *lockfile,
                                                       uint64_t index)
{
    return (struct kvi_reader_slot *)(kvi_table_chunk(lockfile, index / KVI_CHUNK_READERS) +
                                      KVI_CHUNK_PROCESSES * sizeof(struct kvi_process_slot)) +
           index % KVI_CHUNK_READERS;
}

/* ---- lockfile_bind.c ---- */

/* Refuses file systems on which locks or shared mappings do not hold between all users. */
KVI_MUST_CHECK int kvi_bind_supported(struct kvi_lockfile *lockfile);

/* With the opening lock: decides whether we are first, checks the head against the data file, takes
 * the epoch's byte, and rebuilds if first. */
KVI_MUST_CHECK int kvi_bind(struct kvi_lockfile *lockfile, bool *first_out, bool *boot_same_out);

/* ---- process.c ---- */

/* Whether any process slot but our own is locked. */
KVI_MUST_CHECK int kvi_process_others(struct kvi_lockfile *lockfile, bool *others_out);
/* Whether a living one has the exclusive flag. */
KVI_MUST_CHECK int kvi_process_exclusive(struct kvi_lockfile *lockfile, bool *exclusive_out);
/* Takes a slot: sets self and process_hold. The opening lock is held. */
KVI_MUST_CHECK int kvi_process_enter(struct kvi_lockfile *lockfile);

/* ---- locks.c ---- */

KVI_MUST_CHECK int kvi_gate_init(struct kvi_gate *gate);
void kvi_gate_release(struct kvi_gate *gate);

/* Takes the byte for writing, asking again until timeout_ms is over: EAGAIN. */
KVI_MUST_CHECK int kvi_lock_byte(struct kvi_lockfile *lockfile, uint64_t byte, uint32_t timeout_ms);
void kvi_unlock_byte(struct kvi_lockfile *lockfile, uint64_t byte);

/* ---- readers_find.c ---- */

/* Gives all of this env's reader slots back: at close. */
void kvi_readers_free(struct kvi_lockfile *lockfile);

/* A slot that is ours and busy, without a pin; see kvi_reader_claim. */
KVI_MUST_CHECK int kvi_readers_find(struct kvi_lockfile *lockfile,
                                    struct kvi_reader_slot **slot_out);

/* Clears the slot if its owner still is `owner`, which is dead: 0, or EAGAIN when it changed. With
 * `take` the slot is then ours and busy, else free. */
KVI_MUST_CHECK int kvi_readers_clear(struct kvi_lockfile *lockfile, struct kvi_reader_slot *slot,
                                     uint64_t owner, bool take);

/* Remembers which owners live, so that one scan asks once for each. Zero-initialised. */
struct kvi_alive_memo {
    uint64_t owner[8];
    bool alive[8];
};
bool kvi_readers_alive(struct kvi_lockfile *lockfile, struct kvi_alive_memo *memo, uint64_t owner);

#endif
