/* SPDX-License-Identifier: MIT */
/*
 * Steps of a database's life, which together call every function of kv.h: what sweeps of faults
 * (fault_sweep.h) run while one call fails, and run again when it has failed.
 *
 * A step may therefore be begun anew after it failed anywhere: it frees what it had, makes tables
 * that may be there, writes copies over what a former try left. It returns 0, the library's result,
 * or STEP_WRONG after it said on stderr what a successful call gave that is wrong. Each write txn is
 * also a step of the ledger (ledger.h): so its number tells what was committed.
 *
 * No step allocates by itself or calls Check: both may be counted at the time.
 */
#ifndef FAULT_STEPS_H
#define FAULT_STEPS_H

#include <stdbool.h>
#include <stdint.h>

#include "kv.h"

enum { STEP_WRONG = -1 };

struct steps {
    char path[256]; /* "" for a database in memory; copies are beside it */
    uint32_t flags; /* of kv_options */
    uint32_t page_size;
    enum kv_durability durability;
    uint64_t dirty_budget_bytes;
    uint64_t lazy_sync_bytes;
    bool (*fired)(void); /* whether the fault has struck */

    struct kv_env *env;    /* NULL: not open */
    struct kv_txn *pinned; /* a reader over several steps, or NULL */
    uint64_t newest;       /* seq of the newest commit that returned 0 */
    uint64_t floor;        /* and of those that a crash may not take back */
    uint64_t ceiling;      /* newest, or that of a commit whose outcome is unknown */
    bool settled;          /* a commit was begun after the fault, and returned 0 */
};

typedef int step_fn(struct steps *steps);

/* Environments */
step_fn step_open, step_open_readonly, step_open_nolock, step_open_exclusive, step_fill_empty;
step_fn step_close, step_second_env, step_sync, step_resize, step_trim, step_defragment, step_check;
step_fn step_readers, step_info, step_salvage;
/* Copies */
step_fn step_copy, step_copy_compact, step_copy_stream;
/* Changes: each commits */
step_fn step_ledger, step_lazy, step_none, step_kinds, step_values, step_cursors, step_nested;
step_fn step_bulk, step_drop, step_large, step_settings, step_no_change, step_abort;
/* Reads */
step_fn step_read_kinds, step_read_txns, step_pin, step_unpin;

/* For the steps: a write txn that is a step of the ledger as well. */
int steps_begin(struct steps *steps, const struct kv_txn_options *options, struct kv_txn **txn_out);
/* Commits if rc is 0, else aborts, and keeps the account. Returns rc or the commit's. */
int steps_end(struct steps *steps, struct kv_txn *txn, enum kv_durability durability, int rc);
int steps_wrong(const char *what);

#endif
