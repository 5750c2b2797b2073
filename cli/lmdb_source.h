/* SPDX-License-Identifier: MIT */
/*
 * An LMDB environment that is read: one snapshot of it, its tables one after the other.
 *
 * It is opened read-only, with LMDB's lock file where that can be used, so that its writers spare
 * what is read here. Each function prints its own message and returns a status. Keys and values
 * point into LMDB's map and live as long as the source. Single thread.
 */
#ifndef KVCTL_LMDB_SOURCE_H
#define KVCTL_LMDB_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "buffer.h"
#include "kv.h"
#include "lmdb_lib.h"

struct lmdb_source {
    const char *path;        /* as given */
    struct buffer data_path; /* the data file, zero-terminated */
    mode_t mode;             /* its permission bits */
    struct lmdb_lib lib;
    struct lmdb_env *env;
    struct lmdb_txn *txn;
    struct lmdb_info info;
    struct lmdb_stat main; /* of the main table */
};

/* A table that is being read. */
struct lmdb_table {
    const char *name; /* NULL: the main table */
    unsigned dbi;
    unsigned flags; /* LMDB_REVERSEKEY ... */
    uint64_t entries;
    struct lmdb_cursor *cursor;
    bool started;
};

/* Loads the library (NULL: the usual one), opens SOURCE, a folder or a file, and begins to read.
 * `no_lock`: without LMDB's lock file. To be closed whatever the status. */
int lmdb_source_open(struct lmdb_source *source, const char *path, const char *library,
                     bool no_lock);
void lmdb_source_close(struct lmdb_source *source);

/* Opens a table for reading from its first record; `name` must outlive it. One at a time. */
int lmdb_table_open(struct lmdb_source *source, const char *name, struct lmdb_table *table);
void lmdb_table_close(struct lmdb_source *source, struct lmdb_table *table);

/* The next record, in the order in which they are stored. STATUS_NEGATIVE: there is none, nothing
 * is printed. */
int lmdb_table_next(struct lmdb_source *source, struct lmdb_table *table, struct kv_val *key,
                    struct kv_val *value);
void lmdb_table_rewind(struct lmdb_table *table);

/* Whether a record of the main table is a named table: *found_out. */
int lmdb_source_is_table(struct lmdb_source *source, const struct kv_val *key,
                         const struct kv_val *value, bool *found_out);

/* Whether a value of the main table could be the record of a named table: for a main table in which
 * LMDB cannot find names, since its order is not known. */
bool lmdb_source_resembles_table(const struct lmdb_source *source, const struct kv_val *value);

#endif
