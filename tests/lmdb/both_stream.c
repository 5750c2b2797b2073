/* SPDX-License-Identifier: MIT */
/*
 * Long random streams of operations, one a seed: every kind of table, every operation and flag, nested
 * txns, readers, copies, envs closed and opened again. Prints a hash for each thousand calls; those of
 * the blocks that were asked for in full. stream.h has the world that it plays in.
 *
 * Not compared, and why:
 * - depth and page counts of tables that do not fit on one leaf page: the formats differ, and
 *   lmdb.h promises no numbers;
 * - where a cursor of such a table stands after a search that failed: in the genuine library it depends
 *   on where a page ends (a "loose" cursor: the next thing it does is to look for a place);
 * - the key that FIRST_DUP and LAST_DUP give: only where the key never had several values at once;
 * - the pieces in which GET_MULTIPLE and its like give values: "up to a page"; all of them together are;
 * - records of named tables beside their size: they hold page numbers;
 * - RESERVE in tables with duplicates, values of other sizes in DUPFIXED tables, keys of other sizes in
 *   INTEGERKEY ones, CURRENT with a value that does not sort into its place: lmdb.h forbids them, and
 *   what the genuine library then does damages its tables;
 * - values of 0 bytes in tables with duplicates, which lmdb.h forbids: accepted, they damage the table;
 *   DUPFIXED without DUPSORT: makes pages that cannot be read;
 * - cursors behind the last record, or whose record was deleted, or in a table with duplicates that
 *   others changed: the genuine library reads garbage, or crashes (stream_ops.c, may_ask);
 * - a drop in a txn that has nested ones: the list of free pages is damaged, which ends the program;
 * - MULTIPLE where a value is the only one of its key already: it stops there and says that all is well;
 * - the txnid of a commit after nothing but failed changes: the genuine library counts it if it had
 *   made a page its own before it failed;
 * - readers that use a handle opened after they began: LMDB does not look whether they may;
 * - FIXEDMAP: it maps over whatever is at the address by then;
 * - readers under NOLOCK while something is written: its user's to prevent.
 */
#include "stream.h"

#include <string.h>

#define CALLS 300000u /* at scale 100 */

static void play(struct stream *s)
{
    unsigned what = below(s, 1000);

    if (s->level == 0 && what < 600) {
        stream_begin(s);
    } else if (what < 750 && s->level) {
        stream_write_op(s);
    } else if (what < 880) {
        stream_reader_op(s);
    } else if (what < 975 && s->level) {
        stream_write_op(s);
    } else if (what < 985) {
        stream_txn_op(s);
    } else if (what < 995) {
        stream_table_op(s);
    } else {
        stream_env_op(s);
    }
}

static void run(const struct both *both)
{
    static struct stream s;
    uint64_t end = both_scaled(both, CALLS);

    s.both = both;
    both_rng_init(&s.rng, both->seed);
    stream_tell_begin(both);
    while (stream_told() < end) {
        uint64_t until = stream_told() + 200 + below(&s, 8000);

        stream_env_begin(&s);
        while (stream_told() < until) {
            play(&s);
        }
        stream_env_end(&s);
    }
}

BOTH_MAIN(run)
