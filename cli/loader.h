/* SPDX-License-Identifier: MIT */
/*
 * Putting a stream of records into a database: in one txn, or a txn every `batch` records.
 *
 * A record that names a table goes there, others to the table of the options. Keys above all that
 * the table has are appended, which is faster and packs pages full; others are put. A record that
 * the database refuses for its size, or since its key names a table, is a bad one, and nothing has
 * changed.
 */
#ifndef KVCTL_LOADER_H
#define KVCTL_LOADER_H

#include <stdbool.h>
#include <stdint.h>

#include "buffer.h"
#include "record_in.h"
#include "session.h"

struct loader {
    struct session *session;
    uint64_t batch;    /* records a txn; 0: all in one */
    bool no_overwrite; /* records that exist stay as they are */
    bool create;       /* missing tables are made */
    const char *first; /* the table of records that name none; NULL: the main table */
    /* results */
    uint64_t loaded;   /* records put, committed or not */
    uint64_t existing; /* left as they were by no_overwrite */
    /* state */
    uint64_t in_txn; /* records of the current txn */
    uint64_t max_key_bytes;
    uint64_t max_value_bytes;
    struct buffer table; /* name of the current table with its zero; empty: the main table */
    struct buffer top;   /* greatest key of the current table, if it has any */
    bool has_top;
};

/* The session is open and in a write txn, its table is `first`. Returns a status. */
int loader_start(struct loader *loader);

/* Goes over to a table, which is made if it may be; NULL: `first`. Returns a status. */
int loader_use_table(struct loader *loader, const char *name);

/* Takes one record. STATUS_NEGATIVE: it is bad, *why_out says what it is, and nothing has changed;
 * other statuses have printed their message. */
int loader_put(struct loader *loader, const struct record *record, const char **why_out);

/* Commits what is not committed yet. Returns a status. */
int loader_finish(struct loader *loader);

void loader_free(struct loader *loader);

#endif
