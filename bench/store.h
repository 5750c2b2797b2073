/* SPDX-License-Identifier: MIT */
/*
 * A store as the benchmark sees it: the same few verbs over libkv and LMDB, so that both run the
 * same keys in the same order in the same process.
 *
 * Every verb ends the program with a message when it fails: a benchmark that goes on after an error
 * measures nothing. One thread.
 */
#ifndef BENCH_STORE_H
#define BENCH_STORE_H

#include <stddef.h>
#include <stdint.h>

/* What a crash of the machine may take: everything since the last sync, or since an automatic
 * durable point where the store has those, or nothing. */
enum store_mode { STORE_LAZY, STORE_POINTS, STORE_DURABLE };

struct store_slice {
    const void *data;
    size_t size;
};

struct store; /* one open database of one kind */
struct keys;  /* keys.h */

/* One kind of store. */
struct store_kind {
    const char *name;
    struct store *(*open)(const char *path, enum store_mode mode);
    void (*close)(struct store *store);
    void (*sync)(struct store *store);
    /* write txns */
    void (*begin)(struct store *store);
    void (*put)(struct store *store, struct store_slice key, struct store_slice value, int append);
    int (*del)(struct store *store, struct store_slice key); /* 1: was there */
    void (*commit)(struct store *store);
    /* read txns: one at a time beside the pinned one */
    void (*read_begin)(struct store *store);
    int (*get)(struct store *store, struct store_slice key,
               struct store_slice *value); /* 1: found */
    int (*seek)(struct store *store, struct store_slice key,
                struct store_slice *value); /* 1: found */
    int (*next)(struct store *store, struct store_slice *key,
                struct store_slice *value); /* 0: end */
    void (*read_end)(struct store *store);
    /* a second snapshot that stays */
    void (*pin)(struct store *store);
    void (*unpin)(struct store *store);
    uint64_t (*file_bytes)(struct store *store);
    /* Gets all keys in random order, `stride` apart, with nothing of the benchmark's between the
     * calls: how many were found. A read txn is open. */
    uint32_t (*get_all)(struct store *store, const struct keys *keys, uint32_t stride);
};

extern const struct store_kind store_kv;
extern const struct store_kind store_lmdb;          /* MDB_NOSYNC when lazy */
extern const struct store_kind store_lmdb_writemap; /* and MDB_WRITEMAP */
extern const struct store_kind store_dropin;        /* the drop-in, loaded before */

/* Loads the LMDB drop-in beside the packaged library. */
void store_dropin_load(const char *path);

/* Prints and exits with 1. */
void store_fail(const char *what, const char *why) __attribute__((noreturn));

/* Removes a database's files, whatever they are called. */
void store_remove(const char *path);

#endif
