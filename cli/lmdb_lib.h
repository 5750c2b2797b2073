/* SPDX-License-Identifier: MIT */
/*
 * The genuine LMDB library, loaded at run time: kvctl is built and runs without it.
 *
 * What is declared here is the part of LMDB 0.9's binary interface that reading needs; a test
 * compares the numbers with <lmdb.h>. A key or value (MDB_val) is laid out as kv_val. A library
 * that is libkv's own drop-in is refused, since it reads libkv's files and not LMDB's: it is told
 * by a text that it holds, as it exports LMDB's names and no others. Single thread.
 */
#ifndef KVCTL_LMDB_LIB_H
#define KVCTL_LMDB_LIB_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "kv.h"

struct lmdb_env;
struct lmdb_txn;
struct lmdb_cursor;

/* Of an env and of opening a table */
#define LMDB_NOSUBDIR 0x4000u
#define LMDB_RDONLY 0x20000u
#define LMDB_NOLOCK 0x400000u

/* Of a table, kept in the file */
#define LMDB_REVERSEKEY 0x02u
#define LMDB_DUPSORT 0x04u
#define LMDB_INTEGERKEY 0x08u
#define LMDB_DUPFIXED 0x10u
#define LMDB_INTEGERDUP 0x20u
#define LMDB_REVERSEDUP 0x40u
#define LMDB_TABLE_FLAGS 0x7eu

/* Cursor operations */
#define LMDB_FIRST 0
#define LMDB_NEXT 8

/* Results */
#define LMDB_NOTFOUND (-30798)
#define LMDB_CORRUPTED (-30796)
#define LMDB_VERSION_MISMATCH (-30794)
#define LMDB_INVALID (-30793)
#define LMDB_INCOMPATIBLE (-30784)
#define LMDB_BAD_VALSIZE (-30781)

#define LMDB_MAIN_DBI 1u
#define LMDB_RECORD_BYTES 48u /* value of a record of the main table that is a named table */

struct lmdb_stat {
    unsigned page_size;
    unsigned depth;
    size_t pages_branch;
    size_t pages_leaf;
    size_t pages_overflow;
    size_t entries;
};

struct lmdb_info {
    void *map_address;
    size_t map_size;
    size_t last_pgno;
    size_t last_txnid;
    unsigned max_readers;
    unsigned readers;
};

struct lmdb_lib {
    void *handle;
    char *(*version)(int *major, int *minor, int *patch);
    char *(*strerror)(int result);
    int (*env_create)(struct lmdb_env **env_out);
    int (*env_open)(struct lmdb_env *env, const char *path, unsigned flags, mode_t mode);
    void (*env_close)(struct lmdb_env *env);
    int (*env_info)(struct lmdb_env *env, struct lmdb_info *info_out);
    int (*env_set_maxdbs)(struct lmdb_env *env, unsigned count);
    int (*txn_begin)(struct lmdb_env *env, struct lmdb_txn *parent, unsigned flags,
                     struct lmdb_txn **txn_out);
    void (*txn_abort)(struct lmdb_txn *txn);
    int (*dbi_open)(struct lmdb_txn *txn, const char *name, unsigned flags, unsigned *dbi_out);
    void (*dbi_close)(struct lmdb_env *env, unsigned dbi);
    int (*dbi_flags)(struct lmdb_txn *txn, unsigned dbi, unsigned *flags_out);
    int (*stat)(struct lmdb_txn *txn, unsigned dbi, struct lmdb_stat *stat_out);
    int (*cursor_open)(struct lmdb_txn *txn, unsigned dbi, struct lmdb_cursor **cursor_out);
    void (*cursor_close)(struct lmdb_cursor *cursor);
    int (*cursor_get)(struct lmdb_cursor *cursor, struct kv_val *key, struct kv_val *value, int op);
};

/* Loads `path`; NULL: what the dynamic linker finds under the name liblmdb.so.0. Returns a status.
 */
int lmdb_lib_open(struct lmdb_lib *lib, const char *path);

void lmdb_lib_close(struct lmdb_lib *lib);

#endif
