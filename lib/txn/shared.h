/* SPDX-License-Identifier: MIT */
/*
 * The state that all processes of a database share: which snapshot is newest committed, newest
 * visible, durable, and what the meta slots hold. It stands in the lock file's first page, or in
 * private memory for databases without locks.
 *
 * A snapshot is named by one 64-bit word: its snapshot page's number in the high 48 bits, the low
 * 16 bits of that page's checksum below; 0 names none. A word is therefore never half-published.
 * The bytes are input: another process may have scribbled over them, so whoever follows a word
 * verifies the page.
 *
 * Who writes what: `committed` the holder of the writer lock; `visible`, `durable`, the slots, the
 * announcement and poison the holder of the flush lock. The owner of a field may read it relaxed;
 * everybody else with acquire.
 */
#ifndef KVI_TXN_SHARED_H
#define KVI_TXN_SHARED_H

#include <stdatomic.h>
#include <stdint.h>

#include "format/layout.h"

typedef _Atomic(uint64_t) kvi_atomic_word;

struct kvi_shared {
    kvi_atomic_word committed; /* newest committed snapshot: the next writer builds on it */
    kvi_atomic_word visible;   /* newest visible: read txns start there */
    kvi_atomic_word durable;   /* newest that survives a crash of the machine */
    /* What each meta slot is known to hold on disk; live until another meta there was flushed. */
    kvi_atomic_word slot_word[2];
    kvi_atomic_word slot_checksum[2]; /* of the meta last written to each slot */
    kvi_atomic_word slot_txnid[2];    /* its txnid */
    kvi_atomic_word announced; /* snapshot that is being written to a slot, live as well; 0 none */
    /* 0 none; else slot + 1 in bits 0..1, the announcer's owner word above. */
    kvi_atomic_word announcement;
    kvi_atomic_word poison;          /* not 0: a flush failed; no writes until recovery */
    kvi_atomic_word txnid_last;      /* highest txnid ever given to a write txn */
    kvi_atomic_word unflushed_pages; /* allocated by commits since the durable snapshot */
    /* Boot time of the first commit after the durable one; 0 none. */
    kvi_atomic_word unflushed_since_ns;
    kvi_atomic_word rolled_back; /* newest txnid that the last recovery lost; 0 none */
    /* Raised, with the writer lock, before the data file is punched or cut: what a process knew of
     * its blocks may be wrong from then on. Never set back while somebody lives. */
    kvi_atomic_word holes;
    kvi_atomic_word
        readers_cleared;   /* read txns of the dead, since somebody asked for their number */
    kvi_atomic_word ready; /* not 0: all of the above is valid */
};

static inline uint64_t kvi_word(uint64_t pgno, uint32_t tag)
{
    return pgno << 16 | (tag & 0xFFFFu);
}

static inline uint64_t kvi_word_pgno(uint64_t word)
{
    return word >> 16;
}

#endif
