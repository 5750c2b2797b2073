/* SPDX-License-Identifier: MIT */
/*
 * Copying the tables of an LMDB environment into a database, in one write txn.
 *
 * The main table comes first, since its records tell which named ones there are. A table is read
 * once and built in bulk, in a kind that its LMDB flags and the order of its records ask for (see
 * import_kind.h); once more for each thing about its kind that only its records told. LMDB's flags
 * are kept as the table's sequence, where the LMDB drop-in looks for them. Single thread.
 */
#ifndef KVCTL_IMPORT_H
#define KVCTL_IMPORT_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "import_kind.h"
#include "lmdb_source.h"
#include "session.h"

/* What became of a table. */
struct imported {
    char *name; /* NULL: the main table */
    struct import_kind kind;
    uint64_t records;
    bool skipped; /* it could not be imported */
};

struct import {
    struct lmdb_source *source;
    struct session *session;           /* in a write txn, its database empty */
    bool skip_bad;                     /* tables that cannot be imported are left out */
    const volatile sig_atomic_t *stop; /* set by a signal: give up */
    /* results */
    struct imported **tables; /* stay where they are: comparators point into them */
    size_t count;
    uint64_t records;
    size_t skipped;
    /* state */
    uint64_t done;  /* records read, for the progress line */
    uint64_t total; /* that are to be read, as far as it is known */
};

/* Copies all tables. Returns a status; the txn is the caller's to end. */
int import_tables(struct import *import);

void import_free(struct import *import);

#endif
