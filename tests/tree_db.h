/* SPDX-License-Identifier: MIT */
/*
 * A database without an env: file, mapping, space map and pager in their real form, one tree, one
 * txn at a time. For tests of lib/tree, which need neither locks nor readers.
 *
 * tree_db_begin .. tree_db_commit or tree_db_abort make a write txn with `tree`; tree_db_read gives
 * a tree of the last commit. tree_db_nest opens a nested txn over it, tree_db_unnest ends it.
 * Failures of the layers below fail the test.
 */
#ifndef TREE_DB_H
#define TREE_DB_H

#include <stdbool.h>
#include <stdint.h>

#include "format/snap.h"
#include "pager/pager.h"
#include "space/space.h"
#include "tree/tree.h"

#define TREE_DB_NEST_MAX 4

struct tree_db {
    int fd;
    struct kvi_geometry geometry;
    struct kvi_map map;
    struct kvi_pool *pool;
    struct kvi_snap snap; /* last commit; its main record is the tree's */
    struct kvi_view view;
    struct kvi_comparator key_custom; /* of trees of custom order; set after tree_db_open */
    struct kvi_comparator value_custom;
    uint64_t file_pages;
    /* the txn */
    struct kvi_space *space;
    struct kvi_pager *pagers[1 + TREE_DB_NEST_MAX];
    struct kvi_tree trees[1 + TREE_DB_NEST_MAX];
    unsigned nested; /* levels open below the top txn */
    uint64_t budget_bytes;
};

void tree_db_open(struct tree_db *db, uint32_t page_size);

/* Before the first txn: the tree is of another shape (flags, orders, align_log2, item_bytes of
 * `record`). */
void tree_db_reshape(struct tree_db *db, const struct kvi_table_record *record);
void tree_db_close(struct tree_db *db);

/* budget_bytes 0: plenty. */
void tree_db_begin(struct tree_db *db, uint64_t budget_bytes);
void tree_db_commit(struct tree_db *db);
void tree_db_abort(struct tree_db *db);

void tree_db_nest(struct tree_db *db);
void tree_db_unnest(struct tree_db *db, bool commit);

/* The innermost open txn's. */
struct kvi_tree *tree_db_tree(struct tree_db *db);
struct kvi_pager *tree_db_pager(struct tree_db *db);

/* A tree for reading the last commit. */
void tree_db_read(struct tree_db *db, struct kvi_tree *tree_out);

/* Fails the test with the first finding. */
void tree_db_check(struct kvi_tree *tree);

/* Part of the leaves' bytes that is in use, 0 to 1. */
double tree_db_fill(struct kvi_tree *tree);

/* Claimed pages of the last commit that are the tree's must be what the map says: a leak or a
 * double use fails the test. Only between txns. */
void tree_db_check_claims(struct tree_db *db);

#endif
