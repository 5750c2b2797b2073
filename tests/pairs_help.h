/* SPDX-License-Identifier: MIT */
/*
 * Small verbs for tests of trees with duplicates: one database, opened in some shape, keys and values
 * as texts or numbers, and what the cells of a key are.
 */
#ifndef PAIRS_HELP_H
#define PAIRS_HELP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "harness.h"
#include "kv.h"
#include "tree/change.h"
#include "tree/value.h"
#include "tree_db.h"

#define PAIRS (KVI_TABLE_DUPLICATES | KVI_TABLE_COUNTED)
#define FIXED (PAIRS | KVI_TABLE_FIXED)

extern struct tree_db pairs_db;

/* Pages of 4 KiB, and a txn. */
void pairs_open_as(uint16_t flags, uint8_t key_order, uint8_t value_order, uint32_t item_bytes);
void pairs_open_pairs(void);
void pairs_open_fixed(void); /* values of 8 bytes */
void pairs_close(void);

struct kvi_tree *pairs_tree(void);
const struct kvi_table_record *pairs_record(void);

struct kvi_key pairs_text(const char *bytes);

/* A number of `size` bytes, big-endian, in storage that eight calls share. */
struct kvi_key pairs_number(uint64_t n, size_t size);

int pairs_put_flags(struct kvi_key key, struct kvi_key value, uint32_t flags);
void pairs_put(const char *key, const char *value);
void pairs_put_numbers(const char *key, unsigned from, unsigned end, size_t size);
int pairs_remove(struct kvi_key key, struct kvi_key value);
bool pairs_has(struct kvi_key key, struct kvi_key value);
void pairs_expect_first(const char *key, const char *value);

/* What the cells of a key are, over all leaves. */
struct cells {
    unsigned count;
    unsigned leaves; /* that hold any */
    unsigned values;
    unsigned packed;
    unsigned continued;
    unsigned largest; /* bytes of payload */
};

/* Checks the tree, too. */
struct cells pairs_cells_of(struct kvi_key key);

#endif
