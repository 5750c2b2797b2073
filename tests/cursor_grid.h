/* SPDX-License-Identifier: MIT */
/*
 * The model of cursor_model: which records of a grid of keys x values are in the table, where its
 * cursors stand, and where each move leads.
 *
 * A record is a number, its place in the grid, which is numbered in the table's order.
 */
#ifndef CURSOR_GRID_H
#define CURSOR_GRID_H

#include "cursor_model.h"
#include "harness.h"

#define CURSORS 5
#define TEXT_MAX 1024
#define NOWHERE (-1)
#define INPUT_KEY(op) ((op) == KV_EXACT || (op) == KV_AT_LEAST || (op) == KV_AT_MOST)
#define INPUT_PAIR(op) ((op) == KV_EXACT_PAIR || (op) == KV_AT_LEAST_VALUE)

enum where {
    NONE,
    AT,     /* at record `pos`, which may have been deleted by what tells no cursor */
    BEFORE, /* before record `pos`, its own, of key `own`, was deleted */
    END     /* behind all, likewise */
};

struct position {
    enum where where;
    int pos;
    int own;
};

struct grid {
    const struct cursor_plan *plan;
    struct rng rng;
    struct kv_env *env;
    struct kv_txn *txn;
    kv_table table;
    bool *in; /* keys * values flags */
    int size; /* of the grid */
    struct kv_cursor *cursors[CURSORS];
    struct position at[CURSORS];
    int low[CURSORS], end[CURSORS]; /* bounds, as places in the grid */
    uint64_t step;
    int last_op;
};

/* ---- Records ---- */

int grid_key(const struct grid *m, int pos);
int grid_key_start(const struct grid *m, int key); /* place of its first value */

/* The bytes of key number `key`, and of the value of record `pos`, in TEXT_MAX bytes of room. */
struct kv_val grid_make_key(const struct grid *m, int key, uint8_t *to);
struct kv_val grid_make_value(const struct grid *m, int pos, uint8_t *to);

/* First record in the table at or behind pos, last one at or before it; NOWHERE. */
int grid_next(const struct grid *m, int pos);
int grid_prev(const struct grid *m, int pos);

/* Records in [from, end), and number n of them; with `keys` the first of key number n. */
int grid_count(const struct grid *m, int from, int end);
int grid_nth(const struct grid *m, int from, int end, int n, bool keys);

/* pos if it is of this key, else NOWHERE. */
int grid_if_key(const struct grid *m, int pos, int key);

/* ---- Positions ---- */

bool grid_inside(const struct grid *m, int c, int pos);

/* A record that was deleted by what tells no cursor (a nested txn) is missed now. */
void grid_resolve(const struct grid *m, struct position *at);

/* The key that value moves are about; NOWHERE. */
int grid_key_here(const struct grid *m, int c, const struct position *at);

/* What an operation of cursor c comes to: its result, and where it leads in *at. `wanted` is the
 * record searched for. */
int grid_move(const struct grid *m, int c, int op, int wanted, struct position *at);

static inline int grid_min(int a, int b)
{
    return a < b ? a : b;
}

static inline int grid_max(int a, int b)
{
    return a > b ? a : b;
}

#endif
