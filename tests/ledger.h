/* SPDX-License-Identifier: MIT */
/*
 * A database whose whole content follows from one number: how many ledger steps were committed to
 * it. Whoever reads it can therefore tell a commit that is torn, lost, doubled or out of order,
 * without having seen it made.
 *
 * Step n, one write txn, changes a few records in each of several tables: puts of small and of
 * large values, deletes, also of ranges, a side table that comes and goes; and writes n into each
 * table. ledger_verify reads n and compares every record of every table with what the steps 1 to n
 * leave.
 *
 * No function uses Check: all may be called in any thread and in children of fork. They return 0,
 * an error of the library, or LEDGER_BROKEN, and say on stderr what was found.
 */
#ifndef LEDGER_H
#define LEDGER_H

#include <stdint.h>

#include "kv.h"

enum {
    LEDGER_BROKEN = -1,
    LEDGER_TABLES = 3, /* besides the side table */
    LEDGER_KEYS = 48   /* in each table, at most; and one more for n */
};

/* Does the next step inside the txn; its number in *seq_out. The first one makes the tables. */
int ledger_change(struct kv_txn *txn, uint64_t *seq_out);

/* Begins with these options (NULL allowed), does one step, commits. */
int ledger_step(struct kv_env *env, const struct kv_txn_options *options, uint64_t *seq_out);

/* The number of steps in the txn's snapshot, without a look at the rest. */
int ledger_seq(struct kv_txn *txn, uint64_t *seq_out);

/* Compares everything in the txn's snapshot. */
int ledger_verify(struct kv_txn *txn, uint64_t *seq_out);

/* Both in a read txn of its own. */
int ledger_verify_newest(struct kv_env *env, uint64_t *seq_out);

/* kv_env_check, and each finding on stderr. */
int ledger_check(struct kv_env *env);

#endif
