/* SPDX-License-Identifier: MIT */
/*
 * The bytes of the lock file and the bytes that are locked, as in docs/LOCKFILE.md sections 1
 * and 2. Private to the lock file's own sources.
 *
 * The file is shared by processes of one machine and one boot, so its structs are the C ones, in
 * the machine's byte order. Everything that changes while others look is atomic. All of it is
 * input.
 */
#ifndef KVI_TXN_LOCKFILE_LAYOUT_H
#define KVI_TXN_LOCKFILE_LAYOUT_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"
#include "txn/shared.h"

#define KVI_LOCK_MAGIC 0x314b434f4c564bffull /* "\xffKVLOCK1" */
#define KVI_LOCK_VERSION 3u

/* ---- Head ---- */

struct kvi_lock_gate {
    _Atomic(uint64_t) wanted_ns; /* boot time at which somebody last waited; 0: nobody */
    _Atomic(uint32_t) wake;      /* futex: counts up when the lock is given while it is wanted */
    uint8_t pad[52];
};

enum kvi_lock_gate_name { KVI_GATE_WRITER, KVI_GATE_FLUSH, KVI_GATES };

struct kvi_lock_head {
    _Atomic(uint64_t) magic;
    uint32_t version;
    uint32_t process_slots; /* in a chunk */
    uint32_t reader_slots;  /* in a chunk */
    uint32_t chunk_bytes;
    _Atomic(uint64_t) epoch;
    uint8_t boot_id[16];
    uint8_t file_id[16];
    uint64_t data_dev;
    uint64_t data_inode;
    uint8_t pad[48];
    struct kvi_lock_gate gates[KVI_GATES];
    uint8_t pad_gates[256];
    struct kvi_shared shared;
};

#define KVI_LOCK_HEAD_BYTES 4096u

_Static_assert(sizeof(struct kvi_lock_gate) == 64, "a gate is a cache line");
_Static_assert(offsetof(struct kvi_lock_head, epoch) == 24, "head layout");
_Static_assert(offsetof(struct kvi_lock_head, data_dev) == 64, "head layout");
_Static_assert(offsetof(struct kvi_lock_head, gates) == 128, "head layout");
_Static_assert(offsetof(struct kvi_lock_head, shared) == 512, "head layout");
_Static_assert(sizeof(struct kvi_lock_head) <= KVI_LOCK_HEAD_BYTES,
               "shared state fits the first page");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "atomics work between processes");

/* ---- Tables ---- */

struct kvi_process_slot {
    _Atomic(uint64_t) incarnation; /* 0: never used; set last */
    _Atomic(uint64_t) pid;
    _Atomic(uint64_t) flags;
    uint8_t pad[40];
};

#define KVI_PROCESS_EXCLUSIVE 1u

struct kvi_reader_slot {
    kvi_atomic_word word;    /* 0: pins nothing */
    _Atomic(uint64_t) owner; /* 0: free; else owner word << 2 | state */
    _Atomic(uint64_t) begin_ns;
    _Atomic(uint64_t) pid;
    _Atomic(uint64_t) thread; /* 0: not known */
    uint8_t pad[24];
};

enum kvi_reader_state { KVI_READER_BUSY = 1, KVI_READER_IDLE = 2, KVI_READER_CLEARING = 3 };

_Static_assert(sizeof(struct kvi_process_slot) == 64, "a process slot is a cache line");
_Static_assert(sizeof(struct kvi_reader_slot) == 64, "a reader slot is a cache line");

/* Chunks end on a page, so that each is allocated whole. */
#define KVI_CHUNK_PROCESSES KVI_PROCESS_SLOTS_FIRST
#define KVI_CHUNK_READERS KVI_READER_SLOTS_FIRST
#define KVI_CHUNK_BYTES (((KVI_CHUNK_PROCESSES + KVI_CHUNK_READERS) * 64u + 4095u) / 4096u * 4096u)

/* Address space for the tables: about 340,000 processes and 690,000 readers. */
#define KVI_LOCK_MAP_BYTES ((uint64_t)64 << 20)
#define KVI_CHUNKS_MAX ((KVI_LOCK_MAP_BYTES - KVI_LOCK_HEAD_BYTES) / KVI_CHUNK_BYTES)

/* ---- Owner words ---- */

#define KVI_OWNER_SLOT_BITS 20
#define KVI_INCARNATION_MAX (((uint64_t)1 << 40) - 1)

_Static_assert(KVI_CHUNKS_MAX *KVI_CHUNK_PROCESSES < (1u << KVI_OWNER_SLOT_BITS) - 1,
               "slots fit an owner word");

/* ---- Locked bytes ---- */

#define KVI_LOCK_BASE ((uint64_t)1 << 62)
#define KVI_LOCK_OPENING KVI_LOCK_BASE
#define KVI_LOCK_GROWING (KVI_LOCK_BASE + 1)
#define KVI_LOCK_GATE_NEXT(gate) (KVI_LOCK_BASE + 2 + 2 * (uint64_t)(gate))
#define KVI_LOCK_GATE_HELD(gate) (KVI_LOCK_BASE + 3 + 2 * (uint64_t)(gate))
#define KVI_LOCK_PROCESS (KVI_LOCK_BASE + 4096)
#define KVI_LOCK_PROCESSES ((uint64_t)1 << KVI_OWNER_SLOT_BITS) /* bytes from there on */

/* On the data file. */
#define KVI_DATA_EPOCHS ((uint64_t)1 << 61) /* bytes from KVI_LOCK_BASE on */
#define KVI_DATA_PROBE (KVI_LOCK_BASE + KVI_DATA_EPOCHS)

static inline uint64_t kvi_epoch_byte(uint64_t epoch)
{
    return KVI_LOCK_BASE + (epoch & (KVI_DATA_EPOCHS - 1));
}

#endif
