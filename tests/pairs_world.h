/* SPDX-License-Identifier: MIT */
/*
 * The world of the oracle for tables of every kind: both stores with the same tables, nested txns
 * in both, random keys and values, and where libkv's cursors must stand.
 *
 * Asserts inside: a difference fails the test. One thread.
 */
#ifndef PAIRS_WORLD_H
#define PAIRS_WORLD_H

#include "harness.h"

#include <lmdb.h>
#include <stdbool.h>
#include <stdint.h>

#include "kv.h"

enum {
    TABLES = 7,
    CURSORS = 4,
    NESTING = 3,
    KEYS = 60,           /* distinct keys of a table with duplicates */
    VALUES = 700,        /* distinct values of a key */
    ITEM_BYTES_MAX = 511 /* LMDB's limit of keys and of values */
};

/* What a table is in both libraries. */
struct pair_kind {
    const char *name;
    unsigned theirs;
    uint32_t flags;
    enum kv_order order;
    enum kv_order value_order;
    uint32_t key_bytes;   /* 0: any */
    uint32_t value_bytes; /* 0: any */
};

extern const struct pair_kind pair_kinds[TABLES];

struct item {
    size_t bytes;
    uint8_t data[ITEM_BYTES_MAX];
};

/* Where a cursor must stand. */
enum stand { STAND_NONE, STAND_AT, STAND_BEFORE, STAND_END };

struct place {
    struct kv_cursor *cursor; /* NULL: not open */
    unsigned table;
    enum stand stand;
    struct item key;
    struct item value;
};

struct level {
    struct kv_txn *ours;
    MDB_txn *theirs;
    struct place places[CURSORS];
};

struct oracle {
    struct rng rng;
    const char *path_ours;
    const char *path_theirs;
    struct kv_env *ours;
    MDB_env *theirs;
    kv_table table_ours[TABLES];
    MDB_dbi table_theirs[TABLES];
    struct level levels[NESTING + 1];
    unsigned depth;
    uint32_t page_size;
    bool checks;
    bool long_values;
    unsigned long commits;
};

/* What is being done, for messages: the table and where the cursor stood. */
extern char doing[160];
void doing_in(unsigned table, const struct place *place);

void same_rc(const char *what, int ours, int theirs);
void same_val(const char *what, const struct kv_val *ours, const MDB_val *theirs);
struct kv_val our_val(struct item *item);
MDB_val their_val(struct item *item);
bool same_item(const struct item *a, const struct item *b);
void item_set(struct item *item, const void *data, size_t bytes);
bool has_duplicates(unsigned table);
void item_make(struct item *item, uint64_t n, uint32_t fixed_bytes, bool long_ones);
void key_make(struct oracle *o, unsigned table, struct item *key);
void value_make(struct oracle *o, unsigned table, struct item *value);
struct level *top(struct oracle *o);
void envs_open(struct oracle *o);
void tables_open(struct oracle *o);
MDB_cursor *their_cursor(struct oracle *o, unsigned table);
MDB_cursor *their_cursor_at(struct oracle *o, struct place *place);
void place_drop(struct place *place);
void places_drop(struct level *at);
struct place *place_any(struct oracle *o);
void place_set(struct place *place, enum stand stand, const struct kv_val *k,
               const struct kv_val *v);
void txn_begin(struct oracle *o);
void txn_end(struct oracle *o, bool commit);
void places_follow(struct oracle *o, unsigned table, struct item *key, struct item *value,
                   bool whole_key);
bool present(struct oracle *o, unsigned table, struct item *key, struct item *value);
void places_leave_end(struct oracle *o, unsigned table);

#endif
