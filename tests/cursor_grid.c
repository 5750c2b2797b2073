/* SPDX-License-Identifier: MIT */
/* See cursor_grid.h. */
#include "cursor_grid.h"

#include <string.h>

#include "api_help.h"

/* ---- The grid ---- */

int grid_key(const struct grid *m, int pos)
{
    return pos / (int)m->plan->values;
}

int grid_key_start(const struct grid *m, int key)
{
    return key * (int)m->plan->values;
}

/* A text of digits whose order is that of `number`, as the table's order has it. */
static size_t make_text(enum kv_order order, unsigned number, unsigned size, uint8_t *to)
{
    char digits[16];
    size_t bytes = 6;

    if (order == KV_ORDER_UINT) {
        memcpy(to, &number, sizeof(number));
        return sizeof(number);
    }
    (void)snprintf(digits, sizeof(digits), "%06u",
                   order == KV_ORDER_CUSTOM ? 999999 - number : number);
    memcpy(to, digits, bytes);
    while (bytes < size)
        to[bytes++] = (uint8_t)('a' + number % 7);
    if (order == KV_ORDER_REVERSE) {
        for (size_t i = 0; i < bytes / 2; i++) {
            uint8_t byte = to[i];

            to[i] = to[bytes - 1 - i];
            to[bytes - 1 - i] = byte;
        }
    }
    return bytes;
}

struct kv_val grid_make_key(const struct grid *m, int key, uint8_t *to)
{
    return bytes_val(to, make_text(m->plan->order, (unsigned)key * 3 + 1, m->plan->key_bytes, to));
}

struct kv_val grid_make_value(const struct grid *m, int pos, uint8_t *to)
{
    unsigned number = (unsigned)pos % m->plan->values;
    unsigned size = m->plan->value_bytes ? m->plan->value_bytes : 6 + number % 23;

    return bytes_val(to, make_text(m->plan->value_order, number * 2 + 1, size, to));
}

int grid_next(const struct grid *m, int pos)
{
    for (pos = pos < 0 ? 0 : pos; pos < m->size; pos++) {
        if (m->in[pos])
            return pos;
    }
    return NOWHERE;
}

int grid_prev(const struct grid *m, int pos)
{
    for (pos = pos >= m->size ? m->size - 1 : pos; pos >= 0; pos--) {
        if (m->in[pos])
            return pos;
    }
    return NOWHERE;
}

int grid_count(const struct grid *m, int from, int end)
{
    int count = 0;

    for (int i = grid_max(from, 0); i < grid_min(end, m->size); i++)
        count += m->in[i];
    return count;
}

int grid_nth(const struct grid *m, int from, int end, int n, bool keys)
{
    int last_key = NOWHERE;

    for (int i = from; i < end; i++) {
        if (!m->in[i] || (keys && grid_key(m, i) == last_key))
            continue;
        last_key = grid_key(m, i);
        if (n-- == 0)
            return i;
    }
    return NOWHERE;
}

/* ---- Where moves lead ---- */

bool grid_inside(const struct grid *m, int c, int pos)
{
    return pos >= m->low[c] && pos < m->end[c];
}

static int only_inside(const struct grid *m, int c, int pos)
{
    return pos != NOWHERE && grid_inside(m, c, pos) ? pos : NOWHERE;
}

void grid_resolve(const struct grid *m, struct position *at)
{
    int next;

    if (at->where == AT && !m->in[at->pos]) {
        at->own = grid_key(m, at->pos);
        at->where = BEFORE;
    }
    if (at->where != BEFORE)
        return;
    next = grid_next(m, at->pos);
    if (next == NOWHERE)
        at->where = END;
    else
        at->pos = next;
}

/* The record in front of a gap. */
static int front_of(const struct grid *m, const struct position *at)
{
    return grid_prev(m, at->where == END ? m->size - 1 : at->pos - 1);
}

/* The key of the deleted record still has values in front of the gap, and none behind. */
static bool own_in_front(const struct grid *m, const struct position *at)
{
    int front;

    if (at->where != BEFORE && at->where != END)
        return false;
    if (at->where == BEFORE && grid_key(m, at->pos) == at->own)
        return false;
    front = front_of(m, at);
    return front != NOWHERE && grid_key(m, front) == at->own;
}

int grid_key_here(const struct grid *m, int c, const struct position *at)
{
    if (own_in_front(m, at))
        return at->own;
    if (at->where == END || (at->where == BEFORE && !grid_inside(m, c, at->pos)))
        return NOWHERE;
    return grid_key(m, at->pos);
}

int grid_if_key(const struct grid *m, int pos, int key)
{
    return pos != NOWHERE && grid_key(m, pos) == key ? pos : NOWHERE;
}

static int next_key_from(const struct grid *m, int c, const struct position *at)
{
    bool in_gap = at->where == BEFORE && grid_key(m, at->pos) != at->own;
    int from;

    if (at->where == END)
        return NOWHERE;
    if (!grid_inside(m, c, at->pos))
        return only_inside(m, c, grid_next(m, grid_max(at->pos, m->low[c])));
    from = in_gap ? at->pos : grid_key_start(m, grid_key(m, at->pos) + 1);
    return only_inside(m, c, grid_next(m, from));
}

static int prev_key_from(const struct grid *m, int c, const struct position *at)
{
    int before;

    if (own_in_front(m, at))
        before = grid_key_start(m, at->own);
    else if (at->where == END || !grid_inside(m, c, at->pos))
        before = grid_min(at->where == END ? m->size : at->pos, m->end[c]);
    else
        before = grid_key_start(m, grid_key(m, at->pos));
    return only_inside(m, c, grid_prev(m, before - 1));
}

static int next_value_from(const struct grid *m, int c, const struct position *at)
{
    if (at->where == END || !grid_inside(m, c, at->pos))
        return NOWHERE;
    if (at->where == BEFORE)
        return grid_key(m, at->pos) == at->own ? at->pos : NOWHERE;
    return grid_if_key(m, grid_next(m, at->pos + 1), grid_key(m, at->pos));
}

static int prev_value_from(const struct grid *m, int c, const struct position *at)
{
    if (own_in_front(m, at))
        return only_inside(m, c, front_of(m, at));
    if (at->where == END || !grid_inside(m, c, at->pos))
        return NOWHERE;
    if (at->where == BEFORE && grid_key(m, at->pos) != at->own)
        return NOWHERE;
    return grid_if_key(m, grid_prev(m, at->pos - 1), grid_key(m, at->pos));
}

static int edge_value_from(const struct grid *m, int c, const struct position *at, bool last)
{
    int key;

    if (at->where != END && !own_in_front(m, at) && !grid_inside(m, c, at->pos))
        return NOWHERE;
    key = grid_key_here(m, c, at);
    if (key == NOWHERE)
        return NOWHERE;
    return only_inside(m, c,
                       last ? grid_prev(m, grid_key_start(m, key + 1) - 1)
                            : grid_next(m, grid_key_start(m, key)));
}

/* Moves from a position; NOWHERE: KV_ENOTFOUND, and the position stays. */
static int move_from(const struct grid *m, int c, int op, const struct position *at)
{
    switch (op) {
    case KV_NEXT:
        if (at->where == END)
            return NOWHERE;
        return only_inside(m, c, grid_next(m, grid_max(at->pos + (at->where == AT), m->low[c])));
    case KV_PREV:
        return only_inside(m, c,
                           grid_prev(m, grid_min(at->where == END ? m->size : at->pos, m->end[c]) -
                                            1));
    case KV_CURRENT:
        if (at->where == END || (at->where == BEFORE && !grid_inside(m, c, at->pos)))
            return NOWHERE;
        return at->pos;
    case KV_NEXT_KEY:
        return next_key_from(m, c, at);
    case KV_PREV_KEY:
        return prev_key_from(m, c, at);
    case KV_NEXT_VALUE:
        return next_value_from(m, c, at);
    case KV_PREV_VALUE:
        return prev_value_from(m, c, at);
    default:
        return edge_value_from(m, c, at, op == KV_LAST_VALUE);
    }
}

/* Searches for the record `wanted` of the grid; NOWHERE: KV_ENOTFOUND, and no position. */
static int search_for(const struct grid *m, int c, int op, int wanted)
{
    int key = grid_key(m, wanted);
    int found;

    switch (op) {
    case KV_FIRST:
        return only_inside(m, c, grid_next(m, m->low[c]));
    case KV_LAST:
        return only_inside(m, c, grid_prev(m, m->end[c] - 1));
    case KV_EXACT:
        found = grid_if_key(m, grid_next(m, grid_key_start(m, key)), key);
        break;
    case KV_AT_LEAST:
        found = grid_next(m, grid_max(grid_key_start(m, key), m->low[c]));
        break;
    case KV_AT_MOST:
        found = grid_prev(m, grid_min(grid_key_start(m, key + 1), m->end[c]) - 1);
        break;
    case KV_EXACT_PAIR:
        found = m->in[wanted] ? wanted : NOWHERE;
        break;
    default: /* KV_AT_LEAST_VALUE */
        found = grid_if_key(m, grid_next(m, wanted), key);
        break;
    }
    return only_inside(m, c, found);
}

static bool is_search(int op)
{
    return op == KV_FIRST || op == KV_LAST || INPUT_KEY(op) || INPUT_PAIR(op);
}

static bool needs_duplicates(int op)
{
    return op >= KV_EXACT_PAIR;
}

static bool needs_fixed(int op)
{
    return op >= KV_VALUES;
}

int grid_move(const struct grid *m, int c, int op, int wanted, struct position *at)
{
    bool search = is_search(op);
    int found;

    if ((needs_duplicates(op) && m->plan->values == 1) ||
        (needs_fixed(op) && !(m->plan->flags & KV_FIXED)))
        return KV_EINCOMPATIBLE;
    if (m->plan->values == 1 && (op == KV_NEXT_KEY || op == KV_PREV_KEY))
        op = op == KV_NEXT_KEY ? KV_NEXT : KV_PREV;
    grid_resolve(m, at);
    if (!search && at->where == NONE) {
        if (op != KV_NEXT && op != KV_PREV && op != KV_NEXT_KEY && op != KV_PREV_KEY)
            return KV_EINVAL;
        op = op == KV_NEXT || op == KV_NEXT_KEY ? KV_FIRST : KV_LAST;
        search = true;
    }
    if (search) {
        found = search_for(m, c, op, wanted);
        at->where = NONE;
    } else {
        found = move_from(m, c, op, at);
    }
    if (found == NOWHERE)
        return KV_ENOTFOUND;
    at->where = AT;
    at->pos = found;
    return 0;
}
