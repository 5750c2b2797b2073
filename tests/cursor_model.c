/* SPDX-License-Identifier: MIT */
/* See cursor_model.h. */
#include "cursor_model.h"

#include <stdlib.h>
#include <string.h>

#include "api_help.h"
#include "harness.h"

#define CURSORS 5
#define TEXT_MAX 1024
#define READ_MAX 700
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

struct model {
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

#define must(m, condition)                                                                         \
    do {                                                                                           \
        if (!(condition))                                                                          \
            ck_abort_msg("%s: operation %llu (%d): %s", (m)->plan->name,                           \
                         (unsigned long long)(m)->step, (m)->last_op, #condition);                 \
    } while (0)

#define must_rc(m, call, expected)                                                                 \
    do {                                                                                           \
        int rc_ = (call);                                                                          \
        if (rc_ != (expected))                                                                     \
            ck_abort_msg("%s: operation %llu (%d): %s is %d (%s) and not %d", (m)->plan->name,     \
                         (unsigned long long)(m)->step, (m)->last_op, #call, rc_, kv_error_text(), \
                         (int)(expected));                                                         \
    } while (0)

/* ---- The grid ---- */

static int key_of(const struct model *m, int pos)
{
    return pos / (int)m->plan->values;
}

static int key_start(const struct model *m, int key)
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

static struct kv_val make_key(const struct model *m, int key, uint8_t *to)
{
    return bytes_val(to, make_text(m->plan->order, (unsigned)key * 3 + 1, m->plan->key_bytes, to));
}

static struct kv_val make_value(const struct model *m, int pos, uint8_t *to)
{
    unsigned number = (unsigned)pos % m->plan->values;
    unsigned size = m->plan->value_bytes ? m->plan->value_bytes : 6 + number % 23;

    return bytes_val(to, make_text(m->plan->value_order, number * 2 + 1, size, to));
}

/* First record of the grid at or behind pos, last one at or before it. */
static int next_in(const struct model *m, int pos)
{
    for (pos = pos < 0 ? 0 : pos; pos < m->size; pos++) {
        if (m->in[pos])
            return pos;
    }
    return NOWHERE;
}

static int prev_in(const struct model *m, int pos)
{
    for (pos = pos >= m->size ? m->size - 1 : pos; pos >= 0; pos--) {
        if (m->in[pos])
            return pos;
    }
    return NOWHERE;
}

static int max(int a, int b)
{
    return a > b ? a : b;
}

static int min(int a, int b)
{
    return a < b ? a : b;
}

static int count_in(const struct model *m, int from, int end)
{
    int count = 0;

    for (int i = max(from, 0); i < min(end, m->size); i++)
        count += m->in[i];
    return count;
}

/* Record number n of [from, end); with `keys` the first of key number n. */
static int nth_in(const struct model *m, int from, int end, int n, bool keys)
{
    int last_key = NOWHERE;

    for (int i = from; i < end; i++) {
        if (!m->in[i] || (keys && key_of(m, i) == last_key))
            continue;
        last_key = key_of(m, i);
        if (n-- == 0)
            return i;
    }
    return NOWHERE;
}

/* ---- Where moves lead ---- */

static bool inside(const struct model *m, int c, int pos)
{
    return pos >= m->low[c] && pos < m->end[c];
}

static int only_inside(const struct model *m, int c, int pos)
{
    return pos != NOWHERE && inside(m, c, pos) ? pos : NOWHERE;
}

/* A record that was deleted by what tells no cursor (a range, a nested txn) is missed now. */
static void resolve(const struct model *m, struct position *at)
{
    int next;

    if (at->where == AT && !m->in[at->pos]) {
        at->own = key_of(m, at->pos);
        at->where = BEFORE;
    }
    if (at->where != BEFORE)
        return;
    next = next_in(m, at->pos);
    if (next == NOWHERE)
        at->where = END;
    else
        at->pos = next;
}

/* The record in front of a gap. */
static int front_of(const struct model *m, const struct position *at)
{
    return prev_in(m, at->where == END ? m->size - 1 : at->pos - 1);
}

/* The key of the deleted record still has values in front of the gap, and none behind. */
static bool own_in_front(const struct model *m, const struct position *at)
{
    int front;

    if (at->where != BEFORE && at->where != END)
        return false;
    if (at->where == BEFORE && key_of(m, at->pos) == at->own)
        return false;
    front = front_of(m, at);
    return front != NOWHERE && key_of(m, front) == at->own;
}

/* The key that value moves are about. */
static int key_here(const struct model *m, int c, const struct position *at)
{
    if (own_in_front(m, at))
        return at->own;
    if (at->where == END || (at->where == BEFORE && !inside(m, c, at->pos)))
        return NOWHERE;
    return key_of(m, at->pos);
}

static int of_key(const struct model *m, int pos, int key)
{
    return pos != NOWHERE && key_of(m, pos) == key ? pos : NOWHERE;
}

static int next_key_from(const struct model *m, int c, const struct position *at)
{
    bool in_gap = at->where == BEFORE && key_of(m, at->pos) != at->own;
    int from;

    if (at->where == END)
        return NOWHERE;
    if (!inside(m, c, at->pos))
        return only_inside(m, c, next_in(m, max(at->pos, m->low[c])));
    from = in_gap ? at->pos : key_start(m, key_of(m, at->pos) + 1);
    return only_inside(m, c, next_in(m, from));
}

static int prev_key_from(const struct model *m, int c, const struct position *at)
{
    int before;

    if (own_in_front(m, at))
        before = key_start(m, at->own);
    else if (at->where == END || !inside(m, c, at->pos))
        before = min(at->where == END ? m->size : at->pos, m->end[c]);
    else
        before = key_start(m, key_of(m, at->pos));
    return only_inside(m, c, prev_in(m, before - 1));
}

static int next_value_from(const struct model *m, int c, const struct position *at)
{
    if (at->where == END || !inside(m, c, at->pos))
        return NOWHERE;
    if (at->where == BEFORE)
        return key_of(m, at->pos) == at->own ? at->pos : NOWHERE;
    return of_key(m, next_in(m, at->pos + 1), key_of(m, at->pos));
}

static int prev_value_from(const struct model *m, int c, const struct position *at)
{
    if (own_in_front(m, at))
        return only_inside(m, c, front_of(m, at));
    if (at->where == END || !inside(m, c, at->pos))
        return NOWHERE;
    if (at->where == BEFORE && key_of(m, at->pos) != at->own)
        return NOWHERE;
    return of_key(m, prev_in(m, at->pos - 1), key_of(m, at->pos));
}

static int edge_value_from(const struct model *m, int c, const struct position *at, bool last)
{
    int key;

    if (at->where != END && !own_in_front(m, at) && !inside(m, c, at->pos))
        return NOWHERE;
    key = key_here(m, c, at);
    if (key == NOWHERE)
        return NOWHERE;
    return only_inside(m, c,
                       last ? prev_in(m, key_start(m, key + 1) - 1)
                            : next_in(m, key_start(m, key)));
}

/* Moves from a position; NOWHERE: KV_ENOTFOUND, and the position stays. */
static int move_from(const struct model *m, int c, int op, const struct position *at)
{
    switch (op) {
    case KV_NEXT:
        if (at->where == END)
            return NOWHERE;
        return only_inside(m, c, next_in(m, max(at->pos + (at->where == AT), m->low[c])));
    case KV_PREV:
        return only_inside(m, c,
                           prev_in(m, min(at->where == END ? m->size : at->pos, m->end[c]) - 1));
    case KV_CURRENT:
        if (at->where == END || (at->where == BEFORE && !inside(m, c, at->pos)))
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
static int search_for(const struct model *m, int c, int op, int wanted)
{
    int key = key_of(m, wanted);
    int found;

    switch (op) {
    case KV_FIRST:
        return only_inside(m, c, next_in(m, m->low[c]));
    case KV_LAST:
        return only_inside(m, c, prev_in(m, m->end[c] - 1));
    case KV_EXACT:
        found = of_key(m, next_in(m, key_start(m, key)), key);
        break;
    case KV_AT_LEAST:
        found = next_in(m, max(key_start(m, key), m->low[c]));
        break;
    case KV_AT_MOST:
        found = prev_in(m, min(key_start(m, key + 1), m->end[c]) - 1);
        break;
    case KV_EXACT_PAIR:
        found = m->in[wanted] ? wanted : NOWHERE;
        break;
    default: /* KV_AT_LEAST_VALUE */
        found = of_key(m, next_in(m, wanted), key);
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

/* What the operation comes to: its result, and where it leads in *at. */
static int expect_move(const struct model *m, int c, int op, int wanted, struct position *at)
{
    bool search = is_search(op);
    int found;

    if ((needs_duplicates(op) && m->plan->values == 1) ||
        (needs_fixed(op) && !(m->plan->flags & KV_FIXED)))
        return KV_EINCOMPATIBLE;
    if (m->plan->values == 1 && (op == KV_NEXT_KEY || op == KV_PREV_KEY))
        op = op == KV_NEXT_KEY ? KV_NEXT : KV_PREV;
    resolve(m, at);
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

/* ---- Reading ---- */

static void shows(struct model *m, int pos, const struct kv_val *key, const struct kv_val *value)
{
    uint8_t key_room[TEXT_MAX], value_room[TEXT_MAX];
    struct kv_val wanted = make_key(m, key_of(m, pos), key_room);
    bool same = key->size == wanted.size && memcmp(key->data, key_room, wanted.size) == 0;

    wanted = make_value(m, pos, value_room);
    same &= value->size == wanted.size && memcmp(value->data, value_room, wanted.size) == 0;
    if (!same)
        ck_abort_msg("%s: operation %llu (%d): \"%.*s\" = \"%.*s\" instead of record %d",
                     m->plan->name, (unsigned long long)m->step, m->last_op, (int)key->size,
                     (const char *)key->data, (int)value->size, (const char *)value->data, pos);
}

static void do_get(struct model *m, int c, int op)
{
    int wanted = (int)rng_below(&m->rng, (uint64_t)m->size);
    uint8_t key_room[TEXT_MAX], value_room[TEXT_MAX];
    struct kv_val key = make_key(m, key_of(m, wanted), key_room);
    struct kv_val value = make_value(m, wanted, value_room);
    int rc = expect_move(m, c, op, wanted, &m->at[c]);

    must_rc(m, kv_cursor_get(m->cursors[c], (enum kv_cursor_op)op, &key, &value), rc);
    if (!rc)
        shows(m, m->at[c].pos, &key, &value);
}

/* KV_VALUES and its like: the values of a piece follow one another, all of one key. */
static void do_piece(struct model *m, int c, int op)
{
    bool back = op == KV_PREV_VALUES;
    int single = op == KV_VALUES ? KV_CURRENT : back ? KV_PREV_VALUE : KV_NEXT_VALUE;
    struct position at = m->at[c];
    struct kv_val key, value;
    size_t size = m->plan->value_bytes;
    int rc = expect_move(m, c, op, 0, &at);

    at = m->at[c];
    if (rc != KV_EINCOMPATIBLE)
        rc = expect_move(m, c, single, 0, &at);
    if (!rc && !inside(m, c, at.pos)) { /* KV_CURRENT reads there, but this would move */
        rc = KV_ENOTFOUND;
        at = m->at[c];
    }
    m->at[c] = at;
    must_rc(m, kv_cursor_get(m->cursors[c], (enum kv_cursor_op)op, &key, &value), rc);
    if (rc)
        return;
    if (m->plan->value_order == KV_ORDER_UINT)
        size = sizeof(unsigned);
    must(m, value.size > 0 && value.size % size == 0);
    for (size_t i = 0; i < value.size / size; i++) {
        size_t place = back ? value.size / size - 1 - i : i;
        struct kv_val one = bytes_val((uint8_t *)value.data + place * size, size);

        if (i > 0)
            at.pos = back ? prev_in(m, at.pos - 1) : next_in(m, at.pos + 1);
        must(m, at.pos != NOWHERE);
        shows(m, at.pos, &key, &one);
    }
    m->at[c] = at;
}

/* The operation by which a read of many goes on. */
static int follow_op(int op)
{
    switch (op) {
    case KV_LAST:
    case KV_PREV:
    case KV_AT_MOST:
        return KV_PREV;
    case KV_NEXT_KEY:
    case KV_PREV_KEY:
    case KV_NEXT_VALUE:
    case KV_PREV_VALUE:
        return op;
    default:
        return KV_NEXT;
    }
}

static void do_read(struct model *m, int c, int op)
{
    static struct kv_record records[READ_MAX];
    int wanted = (int)rng_below(&m->rng, (uint64_t)m->size);
    size_t count = rng_chance(&m->rng, 30) ? READ_MAX : rng_between(&m->rng, 1, 20);
    uint8_t key_room[TEXT_MAX], value_room[TEXT_MAX];
    struct position *at = &m->at[c];
    size_t got;
    int rc = needs_fixed(op) ? KV_EINVAL : expect_move(m, c, op, wanted, at);

    records[0].key = make_key(m, key_of(m, wanted), key_room);
    records[0].value = make_value(m, wanted, value_room);
    must_rc(m, kv_cursor_read(m->cursors[c], (enum kv_cursor_op)op, records, count, &got), rc);
    must(m, rc == 0 || got == 0);
    for (size_t i = 0; i < got; i++) {
        if (i > 0) {
            rc = expect_move(m, c, follow_op(op), 0, at);
            must(m, rc == 0);
        }
        shows(m, at->pos, &records[i].key, &records[i].value);
    }
    if (rc == 0 && got < count) {
        rc = expect_move(m, c, follow_op(op), 0, at);
        must(m, rc == KV_ENOTFOUND);
    }
}

static void do_nth(struct model *m, int c)
{
    bool keys = rng_chance(&m->rng, 40);
    int n = (int)rng_below(&m->rng, (uint64_t)m->size + 3);
    struct kv_val key, value;
    int rc = 0;
    int found = NOWHERE;

    if (rng_chance(&m->rng, 50))
        n = (int)rng_below(&m->rng, (uint64_t)count_in(m, m->low[c], m->end[c]) + 1);
    if (!(m->plan->flags & (KV_COUNTED | KV_DUPLICATES)))
        rc = KV_EINCOMPATIBLE;
    else
        found = nth_in(m, m->low[c], m->end[c], n, keys);
    if (!rc && found == NOWHERE)
        rc = KV_ENOTFOUND;
    must_rc(m, kv_cursor_nth(m->cursors[c], (uint64_t)n, keys ? KV_KEYS : 0, &key, &value), rc);
    if (rc == KV_EINCOMPATIBLE)
        return;
    m->at[c].where = rc ? NONE : AT;
    m->at[c].pos = found;
    if (!rc)
        shows(m, found, &key, &value);
}

static void do_count(struct model *m, int c)
{
    struct position *at = &m->at[c];
    uint64_t count;
    int rc = 0;
    int key = NOWHERE;

    resolve(m, at);
    if (at->where == NONE)
        rc = KV_EINVAL;
    else if (m->plan->values == 1)
        rc = at->where == END || (at->where == BEFORE && !inside(m, c, at->pos)) ? KV_ENOTFOUND : 0;
    else if ((key = key_here(m, c, at)) == NOWHERE)
        rc = KV_ENOTFOUND;
    must_rc(m, kv_cursor_count(m->cursors[c], &count), rc);
    if (!rc && key != NOWHERE)
        must(m, count == (uint64_t)count_in(m, key_start(m, key), key_start(m, key + 1)));
    else
        must(m, count == (rc ? 0 : 1));
}

static void do_bound(struct model *m, int c)
{
    uint8_t from_room[TEXT_MAX], to_room[TEXT_MAX];
    int from = (int)rng_below(&m->rng, m->plan->keys), to = (int)rng_below(&m->rng, m->plan->keys);
    struct kv_val from_key = make_key(m, from, from_room), to_key = make_key(m, to, to_room);
    struct kv_range range = KV_RANGE_INIT;

    m->low[c] = 0;
    m->end[c] = m->size;
    m->at[c].where = NONE;
    if (rng_chance(&m->rng, 40)) {
        must_rc(m, kv_cursor_bound(m->cursors[c], NULL), 0);
        return;
    }
    range.flags = (uint32_t)rng_below(&m->rng, 4);
    if (rng_chance(&m->rng, 80)) {
        range.from = &from_key;
        m->low[c] = key_start(m, from + (range.flags & KV_FROM_EXCLUSIVE ? 1 : 0));
    }
    if (rng_chance(&m->rng, 80)) {
        range.to = &to_key;
        m->end[c] = key_start(m, to + (range.flags & KV_TO_INCLUSIVE ? 1 : 0));
    }
    must_rc(m, kv_cursor_bound(m->cursors[c], &range), 0);
}

/* ---- Changes ---- */

/* Records go together; the cursors at them, or before them, stand before what follows. */
static void forget_range(struct model *m, int from, int end)
{
    int next = next_in(m, end);

    for (int c = 0; c < CURSORS; c++) {
        struct position *at = &m->at[c];

        if ((at->where != AT && at->where != BEFORE) || at->pos < from || at->pos >= end)
            continue;
        if (at->where == AT)
            at->own = key_of(m, at->pos);
        at->where = next == NOWHERE ? END : BEFORE;
        at->pos = next;
    }
    memset(m->in + from, 0, (size_t)(end - from) * sizeof(*m->in));
}

static void forget(struct model *m, int pos)
{
    forget_range(m, pos, pos + 1);
}

static void forget_key(struct model *m, int key)
{
    forget_range(m, key_start(m, key), key_start(m, key + 1));
}

static void do_put(struct model *m)
{
    int pos = (int)rng_below(&m->rng, (uint64_t)m->size);
    uint8_t key_room[TEXT_MAX], value_room[TEXT_MAX];
    struct kv_val key = make_key(m, key_of(m, pos), key_room);
    struct kv_val value = make_value(m, pos, value_room);

    must_rc(m, kv_put(m->txn, m->table, &key, &value, 0), 0);
    m->in[pos] = true;
}

static void do_cursor_put(struct model *m, int c)
{
    int pos = (int)rng_below(&m->rng, (uint64_t)m->size);
    uint8_t key_room[TEXT_MAX], value_room[TEXT_MAX];
    struct kv_val key = make_key(m, key_of(m, pos), key_room);
    struct kv_val value = make_value(m, pos, value_room);
    bool duplicates = m->plan->values > 1;
    uint32_t flags = 0;
    int first = of_key(m, next_in(m, key_start(m, key_of(m, pos))), key_of(m, pos));
    int rc = 0;

    if (rng_chance(&m->rng, 30))
        flags |= KV_NOOVERWRITE;
    else if (duplicates && rng_chance(&m->rng, 30))
        flags |= KV_NOPAIR;
    if (flags & KV_NOOVERWRITE && first != NOWHERE) {
        rc = KV_EEXIST;
        pos = first;
    } else if (flags & KV_NOPAIR && m->in[pos]) {
        rc = KV_EEXIST;
    }
    must_rc(m, kv_cursor_put(m->cursors[c], &key, &value, flags), rc);
    if (flags & KV_NOOVERWRITE && rc)
        shows(m, first, &key, &value);
    m->in[pos] = true;
    m->at[c].where = AT;
    m->at[c].pos = pos;
}

/* KV_AT_CURSOR: the record gets another value of the grid; with duplicates that is another place. */
static void do_put_at(struct model *m, int c)
{
    struct position *at = &m->at[c];
    uint8_t room[TEXT_MAX];
    struct kv_val value;
    int to = 0, rc = 0;

    resolve(m, at);
    if (at->where == NONE)
        rc = KV_EINVAL;
    else if (at->where == END || (at->where == BEFORE && !inside(m, c, at->pos)))
        rc = KV_ENOTFOUND;
    else
        to = key_start(m, key_of(m, at->pos)) + (int)rng_below(&m->rng, m->plan->values);
    if (!rc && m->in[to] && to != at->pos)
        rc = KV_EEXIST;
    value = make_value(m, to, room);
    must_rc(m, kv_cursor_put(m->cursors[c], NULL, &value, KV_AT_CURSOR), rc);
    if (rc)
        return;
    m->in[to] = true;
    if (to != at->pos)
        forget(m, at->pos);
    at->where = AT;
    at->pos = to;
}

static void do_del(struct model *m)
{
    int pos = (int)rng_below(&m->rng, (uint64_t)m->size);
    bool all = m->plan->values == 1 || rng_chance(&m->rng, 5);
    int first = of_key(m, next_in(m, key_start(m, key_of(m, pos))), key_of(m, pos));
    uint8_t key_room[TEXT_MAX], value_room[TEXT_MAX];
    struct kv_val key = make_key(m, key_of(m, pos), key_room);
    struct kv_val value = make_value(m, pos, value_room);
    bool there = all ? first != NOWHERE : m->in[pos];

    must_rc(m, kv_del(m->txn, m->table, &key, all ? NULL : &value), there ? 0 : KV_ENOTFOUND);
    if (there && all)
        forget_key(m, key_of(m, pos));
    else if (there)
        forget(m, pos);
}

static void do_cursor_del(struct model *m, int c)
{
    struct position *at = &m->at[c];
    int rc = 0;

    resolve(m, at);
    if (at->where == NONE)
        rc = KV_EINVAL;
    else if (at->where == END || (at->where == BEFORE && !inside(m, c, at->pos)))
        rc = KV_ENOTFOUND;
    must_rc(m, kv_cursor_del(m->cursors[c], 0), rc);
    if (rc)
        return;
    at->where = AT;
    forget(m, at->pos);
}

static void do_cursor_del_key(struct model *m, int c)
{
    struct position *at = &m->at[c];
    int key, next, rc = 0;

    if (m->plan->values == 1) {
        do_cursor_del(m, c);
        return;
    }
    resolve(m, at);
    key = at->where == NONE ? NOWHERE : key_here(m, c, at);
    if (at->where == NONE)
        rc = KV_EINVAL;
    else if (key == NOWHERE)
        rc = KV_ENOTFOUND;
    must_rc(m, kv_cursor_del(m->cursors[c], KV_ALL_VALUES), rc);
    if (rc)
        return;
    forget_key(m, key);
    next = next_in(m, key_start(m, key + 1));
    at->where = next == NOWHERE ? END : BEFORE;
    at->pos = next;
    at->own = key;
}

static void do_del_range(struct model *m)
{
    uint8_t from_room[TEXT_MAX], to_room[TEXT_MAX];
    int from = (int)rng_below(&m->rng, m->plan->keys);
    int to = min(from + (int)rng_below(&m->rng, m->plan->keys / 3 + 2), (int)m->plan->keys);
    struct kv_val from_key = make_key(m, from, from_room), to_key = make_key(m, to, to_room);
    struct kv_range range = KV_RANGE_INIT;
    uint64_t deleted;

    range.from = &from_key;
    range.to = &to_key;
    must_rc(m, kv_del_range(m->txn, m->table, &range, &deleted), 0);
    must(m, deleted == (uint64_t)count_in(m, key_start(m, from), key_start(m, to)));
    forget_range(m, key_start(m, from), key_start(m, to));
}

/* Many puts or deletes of one kind, so that sets and trees grow and shrink. */
static void do_tide(struct model *m)
{
    bool grow = rng_chance(&m->rng, 55);
    unsigned count = (unsigned)rng_below(&m->rng, (uint64_t)m->size / 4 + 2);

    for (unsigned i = 0; i < count; i++) {
        if (grow)
            do_put(m);
        else
            do_del(m);
    }
}

static void do_change(struct model *m, int c)
{
    uint64_t dice = rng_below(&m->rng, 1000);

    m->last_op = 1000 + (int)dice;
    if (dice < 3)
        do_tide(m);
    else if (dice < 6)
        do_del_range(m);
    else if (dice < 230)
        do_put(m);
    else if (dice < 430)
        do_cursor_put(m, c);
    else if (dice < 530)
        do_put_at(m, c);
    else if (dice < 720)
        do_del(m);
    else if (dice < 990)
        do_cursor_del(m, c);
    else
        do_cursor_del_key(m, c);
}

/* ---- Txns ---- */

static void open_cursors(struct model *m)
{
    for (int c = 0; c < CURSORS; c++) {
        must_rc(m, kv_cursor_open(m->txn, m->table, &m->cursors[c]), 0);
        m->at[c].where = NONE;
        m->low[c] = 0;
        m->end[c] = m->size;
    }
}

/* A nested txn changes the table under the parent's cursors; half of them abort. */
static void do_nested(struct model *m)
{
    struct kv_txn *parent = m->txn;
    struct position at[CURSORS];
    bool *before = malloc((size_t)m->size);

    must(m, before != NULL);
    memcpy(before, m->in, (size_t)m->size);
    memcpy(at, m->at, sizeof(at));
    for (int c = 0; c < CURSORS; c++)
        m->at[c].where = NONE;
    m->txn = txn_nested(parent);
    for (unsigned i = 0; i < 30; i++) {
        if (rng_chance(&m->rng, 50))
            do_put(m);
        else
            do_del(m);
    }
    if (rng_chance(&m->rng, 50)) {
        kv_txn_abort(m->txn);
        memcpy(m->in, before, (size_t)m->size);
    } else {
        must_rc(m, kv_txn_commit(m->txn), 0);
    }
    m->txn = parent;
    memcpy(m->at, at, sizeof(at));
    free(before);
}

static void scan(struct model *m)
{
    struct kv_cursor *cursor;
    struct kv_val key, value;
    int pos = NOWHERE;

    must_rc(m, kv_cursor_open(m->txn, m->table, &cursor), 0);
    while (kv_cursor_get(cursor, KV_NEXT, &key, &value) == 0) {
        pos = next_in(m, pos + 1);
        must(m, pos != NOWHERE);
        shows(m, pos, &key, &value);
    }
    must(m, next_in(m, pos + 1) == NOWHERE);
    kv_cursor_close(cursor);
}

/* Commits, proves, reads as a reader, and begins anew. */
static void turn(struct model *m)
{
    txn_commit(m->txn);
    env_sound(m->env);
    m->txn = txn_read(m->env);
    scan(m);
    kv_txn_abort(m->txn);
    m->txn = txn_write(m->env);
    open_cursors(m);
}

/* ---- Runs ---- */

static int compare_descending(void *context, const struct kv_val *a, const struct kv_val *b)
{
    size_t common = a->size < b->size ? a->size : b->size;
    int order = common ? memcmp(a->data, b->data, common) : 0;

    (void)context;
    if (order == 0)
        order = (a->size > b->size) - (a->size < b->size);
    return -order;
}

static void make_table(struct model *m)
{
    struct kv_table_options options = KV_TABLE_OPTIONS_INIT;

    options.flags = m->plan->flags;
    options.order = m->plan->order;
    options.value_order = m->plan->value_order;
    if (options.order == KV_ORDER_CUSTOM)
        options.comparator = "descending";
    if (options.value_order == KV_ORDER_CUSTOM)
        options.value_comparator = "descending";
    ck_ok(kv_env_comparator(m->env, "descending", compare_descending, NULL));
    ck_ok(kv_table_open(m->txn, "grid", KV_CREATE, &options, &m->table));
}

static void start(struct model *m, const struct cursor_plan *plan)
{
    struct kv_options options = KV_OPTIONS_INIT;

    memset(m, 0, sizeof(*m));
    m->plan = plan;
    m->size = (int)(plan->keys * plan->values);
    m->in = calloc((size_t)m->size + 1, 1);
    ck_assert_ptr_nonnull(m->in);
    rng_seed(&m->rng, plan->name, plan->seed);
    options.flags = KV_CREATE;
    options.page_size = plan->page_size;
    options.durability = KV_LAZY;
    options.dirty_budget_bytes = plan->dirty_budget_bytes;
    m->env = env_open_with(tmp_path("%d.db", (int)plan->seed), &options);
    m->txn = txn_write(m->env);
    make_table(m);
    open_cursors(m);
}

static void scan(struct model *m);
static void one_operation(struct model *m)
{
    int c = (int)rng_below(&m->rng, CURSORS);
    int op = (int)rng_between(&m->rng, KV_FIRST, KV_PREV_VALUES + 1);
    uint64_t dice = rng_below(&m->rng, 1000);

    bool ch = rng_chance(&m->rng, m->plan->changes);
    if (ch) {
        do_change(m, c);
        return;
    }
    m->last_op = op;
    if (dice < 2)
        do_nested(m);
    else if (dice < 3)
        turn(m);
    else if (dice < 12 && m->plan->bounds)
        do_bound(m, c);
    else if (dice < 60)
        do_nth(m, c);
    else if (dice < 120)
        do_count(m, c);
    else if (dice < 200)
        do_read(m, c, op);
    else if (op >= KV_VALUES)
        do_piece(m, c, op);
    else
        do_get(m, c, op);
}

void cursor_model_run(const struct cursor_plan *plan)
{
    struct model m;
    uint64_t operations = scaled(plan->operations);

    start(&m, plan);
    for (int i = 0; i < m.size / 3; i++)
        do_put(&m);
    for (m.step = 0; m.step < operations; m.step++)
        one_operation(&m);
    turn(&m);
    kv_txn_abort(m.txn);
    env_finish(m.env);
    free(m.in);
}
