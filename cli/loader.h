/* SPDX-License-Identifier: MIT */
/*
 * Putting a stream of records into a database: in one txn, or a txn every `batch` records.
 *
 * A record that names a table goes there, others to the table of the options. Records go in through
 * a bulk build, which packs pages full as long as keys ascend and puts in the ordinary way else. A
 * record that the database refuses for its size, or since its key names a table, is a bad one, and
 * nothing has changed.
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
    const struct kv_table_options *shape; /* that the user wants; NULL: what the input says */
    /* results */
    uint64_t loaded;   /* records put, committed or not */
    uint64_t existing; /* left as they were by no_overwrite */
    /* state */
    uint64_t in_txn;      /* records of the current txn */
    struct kv_bulk *bulk; /* open on the current table; NULL: not */
    struct buffer table;  /* name of the current table with its zero; empty: the main table */
};

/* The session is open and in a write txn, its table is `first`. Returns a status. */
int loader_start(struct loader *loader);

/* Goes over to a table, which is made if it may be, of the kind `shape` (NULL: not said) unless the
 * user said which; NULL: `first`. Returns a status. */
int loader_use_table(struct loader *loader, const char *name, const struct kv_table_options *shape);

/* Takes one record. STATUS_NEGATIVE: it is bad, *why_out says what it is, and nothing has changed;
 * other statuses have printed their message. */
int loader_put(struct loader *loader, const struct record *record, const char **why_out);

/* Commits what is not committed yet. Returns a status. */
int loader_finish(struct loader *loader);

void loader_free(struct loader *loader);

#endif
