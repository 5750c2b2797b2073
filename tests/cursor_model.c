/* SPDX-License-Identifier: MIT */
/* See cursor_model.h. */
#include "cursor_model.h"

#include <stdlib.h>
#include <string.h>

#include "api_help.h"
#include "cursor_grid.h"

#define READ_MAX 700

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

/* ---- Reading ---- */

static void shows(struct grid *m, int pos, const struct kv_val *key, const struct kv_val *value)
{
    uint8_t key_room[TEXT_MAX], value_room[TEXT_MAX];
    struct kv_val wanted = grid_make_key(m, grid_key(m, pos), key_room);
    bool same = key->size == wanted.size && memcmp(key->data, key_room, wanted.size) == 0;

    wanted = grid_make_value(m, pos, value_room);
    same &= value->size == wanted.size && memcmp(value->data, value_room, wanted.size) == 0;
    if (!same)
        ck_abort_msg("%s: operation %llu (%d): \"%.*s\" = \"%.*s\" instead of record %d",
                     m->plan->name, (unsigned long long)m->step, m->last_op, (int)key->size,
                     (const char *)key->data, (int)value->size, (const char *)value->data, pos);
}

static void do_get(struct grid *m, int c, int op)
{
    int wanted = (int)rng_below(&m->rng, (uint64_t)m->size);
    uint8_t key_room[TEXT_MAX], value_room[TEXT_MAX];
    struct kv_val key = grid_make_key(m, grid_key(m, wanted), key_room);
    struct kv_val value = grid_make_value(m, wanted, value_room);
    int rc = grid_move(m, c, op, wanted, &m->at[c]);

    must_rc(m, kv_cursor_get(m->cursors[c], (enum kv_cursor_op)op, &key, &value), rc);
    if (!rc)
        shows(m, m->at[c].pos, &key, &value);
}

/* The move to a piece's value that is nearest: of KV_VALUES and all behind it. */
static int piece_single(int op)
{
    switch (op) {
    case KV_VALUES:
        return KV_CURRENT;
    case KV_NEXT_VALUES:
        return KV_NEXT_VALUE;
    case KV_PREV_VALUES:
        return KV_PREV_VALUE;
    case KV_NEXT_PIECE:
        return KV_NEXT;
    default:
        return op == KV_PREV_PIECE ? KV_PREV : 0;
    }
}

/* To that value. */
static int piece_move(struct grid *m, int c, int op, struct position *at)
{
    struct position before = *at;
    int rc;

    if (op > KV_PREV_PIECE)
        return KV_EINVAL;
    if (!(m->plan->flags & KV_FIXED))
        return KV_EINCOMPATIBLE;
    rc = grid_move(m, c, piece_single(op), 0, at);
    if (!rc && !grid_inside(m, c, at->pos)) { /* KV_CURRENT reads there, but this would move */
        rc = KV_ENOTFOUND;
        *at = before;
    }
    return rc;
}

/* From its nearest value on the values of a piece follow one another, all of one key. */
static void piece_shows(struct grid *m, int op, const struct kv_val *key,
                        const struct kv_val *piece, struct position *at)
{
    bool back = op == KV_PREV_VALUES || op == KV_PREV_PIECE;
    size_t size = m->plan->value_order == KV_ORDER_UINT ? sizeof(unsigned) : m->plan->value_bytes;

    must(m, piece->size > 0 && piece->size % size == 0);
    for (size_t i = 0; i < piece->size / size; i++) {
        size_t place = back ? piece->size / size - 1 - i : i;
        struct kv_val one = bytes_val((uint8_t *)piece->data + place * size, size);

        if (i > 0)
            at->pos = back ? grid_prev(m, at->pos - 1) : grid_next(m, at->pos + 1);
        must(m, at->pos != NOWHERE);
        shows(m, at->pos, key, &one);
    }
}

static void do_piece(struct grid *m, int c, int op)
{
    struct position *at = &m->at[c];
    struct kv_val key, value;
    int rc = piece_move(m, c, op, at);

    must_rc(m, kv_cursor_get(m->cursors[c], (enum kv_cursor_op)op, &key, &value), rc);
    if (!rc)
        piece_shows(m, op, &key, &value, at);
}

/* Pieces go on, each where the one before ended, until there are no more. */
static void do_read_pieces(struct grid *m, int c, int op)
{
    static struct kv_record records[READ_MAX];
    size_t count = rng_chance(&m->rng, 50) ? READ_MAX : rng_between(&m->rng, 1, 8);
    int follow = op == KV_VALUES ? KV_NEXT_PIECE : op;
    struct position *at = &m->at[c];
    size_t got;
    int rc = piece_move(m, c, op, at);

    must_rc(m, kv_cursor_read(m->cursors[c], (enum kv_cursor_op)op, records, count, &got), rc);
    must(m, rc == 0 || got == 0);
    for (size_t i = 0; i < got; i++) {
        if (i > 0) {
            rc = piece_move(m, c, follow, at);
            must(m, rc == 0);
        }
        piece_shows(m, op, &records[i].key, &records[i].value, at);
    }
    if (rc == 0 && got < count) {
        rc = piece_move(m, c, follow, at);
        must(m, rc == KV_ENOTFOUND);
    }
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

static void do_read(struct grid *m, int c, int op)
{
    static struct kv_record records[READ_MAX];
    int wanted = (int)rng_below(&m->rng, (uint64_t)m->size);
    size_t count = rng_chance(&m->rng, 30) ? READ_MAX : rng_between(&m->rng, 1, 20);
    uint8_t key_room[TEXT_MAX], value_room[TEXT_MAX];
    struct position *at = &m->at[c];
    size_t got;
    int rc = grid_move(m, c, op, wanted, at);

    records[0].key = grid_make_key(m, grid_key(m, wanted), key_room);
    records[0].value = grid_make_value(m, wanted, value_room);
    must_rc(m, kv_cursor_read(m->cursors[c], (enum kv_cursor_op)op, records, count, &got), rc);
    must(m, rc == 0 || got == 0);
    for (size_t i = 0; i < got; i++) {
        if (i > 0) {
            rc = grid_move(m, c, follow_op(op), 0, at);
            must(m, rc == 0);
        }
        shows(m, at->pos, &records[i].key, &records[i].value);
    }
    if (rc == 0 && got < count) {
        rc = grid_move(m, c, follow_op(op), 0, at);
        must(m, rc == KV_ENOTFOUND);
    }
}

static void do_nth(struct grid *m, int c)
{
    bool keys = rng_chance(&m->rng, 40);
    int n = (int)rng_below(&m->rng, (uint64_t)m->size + 3);
    struct kv_val key, value;
    int rc = 0;
    int found = NOWHERE;

    if (rng_chance(&m->rng, 50))
        n = (int)rng_below(&m->rng, (uint64_t)grid_count(m, m->low[c], m->end[c]) + 1);
    if (!(m->plan->flags & (KV_COUNTED | KV_DUPLICATES)))
        rc = KV_EINCOMPATIBLE;
    else
        found = grid_nth(m, m->low[c], m->end[c], n, keys);
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

static void do_count(struct grid *m, int c)
{
    struct position *at = &m->at[c];
    uint64_t count;
    int rc = 0;
    int key = NOWHERE;

    grid_resolve(m, at);
    if (at->where == NONE)
        rc = KV_EINVAL;
    else if (m->plan->values == 1)
        rc = at->where == END || (at->where == BEFORE && !grid_inside(m, c, at->pos)) ? KV_ENOTFOUND
                                                                                      : 0;
    else if ((key = grid_key_here(m, c, at)) == NOWHERE)
        rc = KV_ENOTFOUND;
    must_rc(m, kv_cursor_count(m->cursors[c], &count), rc);
    if (!rc && key != NOWHERE)
        must(m,
             count == (uint64_t)grid_count(m, grid_key_start(m, key), grid_key_start(m, key + 1)));
    else
        must(m, count == (rc ? 0 : 1));
}

static void do_bound(struct grid *m, int c)
{
    uint8_t from_room[TEXT_MAX], to_room[TEXT_MAX];
    int from = (int)rng_below(&m->rng, m->plan->keys), to = (int)rng_below(&m->rng, m->plan->keys);
    struct kv_val from_key = grid_make_key(m, from, from_room),
                  to_key = grid_make_key(m, to, to_room);
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
        m->low[c] = grid_key_start(m, from + (range.flags & KV_FROM_EXCLUSIVE ? 1 : 0));
    }
    if (rng_chance(&m->rng, 80)) {
        range.to = &to_key;
        m->end[c] = grid_key_start(m, to + (range.flags & KV_TO_INCLUSIVE ? 1 : 0));
    }
    must_rc(m, kv_cursor_bound(m->cursors[c], &range), 0);
}

/* ---- Changes ---- */

/* Records go together; the cursors at them, or before them, stand before what follows. */
static void forget_range(struct grid *m, int from, int end)
{
    int next = grid_next(m, end);

    for (int c = 0; c < CURSORS; c++) {
        struct position *at = &m->at[c];

        if ((at->where != AT && at->where != BEFORE) || at->pos < from || at->pos >= end)
            continue;
        if (at->where == AT)
            at->own = grid_key(m, at->pos);
        at->where = next == NOWHERE ? END : BEFORE;
        at->pos = next;
    }
    memset(m->in + from, 0, (size_t)(end - from) * sizeof(*m->in));
}

static void forget(struct grid *m, int pos)
{
    forget_range(m, pos, pos + 1);
}

static void forget_key(struct grid *m, int key)
{
    forget_range(m, grid_key_start(m, key), grid_key_start(m, key + 1));
}

static void do_put(struct grid *m)
{
    int pos = (int)rng_below(&m->rng, (uint64_t)m->size);
    uint8_t key_room[TEXT_MAX], value_room[TEXT_MAX];
    struct kv_val key = grid_make_key(m, grid_key(m, pos), key_room);
    struct kv_val value = grid_make_value(m, pos, value_room);

    must_rc(m, kv_put(m->txn, m->table, &key, &value, 0), 0);
    m->in[pos] = true;
}

static void do_cursor_put(struct grid *m, int c)
{
    int pos = (int)rng_below(&m->rng, (uint64_t)m->size);
    uint8_t key_room[TEXT_MAX], value_room[TEXT_MAX];
    struct kv_val key = grid_make_key(m, grid_key(m, pos), key_room);
    struct kv_val value = grid_make_value(m, pos, value_room);
    bool duplicates = m->plan->values > 1;
    uint32_t flags = 0;
    int first = grid_if_key(m, grid_next(m, grid_key_start(m, grid_key(m, pos))), grid_key(m, pos));
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

/* KV_AT_CURSOR: the record gets another value of the grid, with duplicates another place. */
static void do_put_at(struct grid *m, int c)
{
    struct position *at = &m->at[c];
    uint8_t room[TEXT_MAX];
    struct kv_val value;
    int to = 0, rc = 0;

    grid_resolve(m, at);
    if (at->where == NONE)
        rc = KV_EINVAL;
    else if (at->where == END || (at->where == BEFORE && !grid_inside(m, c, at->pos)))
        rc = KV_ENOTFOUND;
    else
        to = grid_key_start(m, grid_key(m, at->pos)) + (int)rng_below(&m->rng, m->plan->values);
    if (!rc && m->in[to] && to != at->pos)
        rc = KV_EEXIST;
    value = grid_make_value(m, to, room);
    must_rc(m, kv_cursor_put(m->cursors[c], NULL, &value, KV_AT_CURSOR), rc);
    if (rc)
        return;
    m->in[to] = true;
    if (to != at->pos)
        forget(m, at->pos);
    at->where = AT;
    at->pos = to;
}

static void do_del(struct grid *m)
{
    int pos = (int)rng_below(&m->rng, (uint64_t)m->size);
    bool all = m->plan->values == 1 || rng_chance(&m->rng, 5);
    int first = grid_if_key(m, grid_next(m, grid_key_start(m, grid_key(m, pos))), grid_key(m, pos));
    uint8_t key_room[TEXT_MAX], value_room[TEXT_MAX];
    struct kv_val key = grid_make_key(m, grid_key(m, pos), key_room);
    struct kv_val value = grid_make_value(m, pos, value_room);
    bool there = all ? first != NOWHERE : m->in[pos];

    must_rc(m, kv_del(m->txn, m->table, &key, all ? NULL : &value), there ? 0 : KV_ENOTFOUND);
    if (there && all)
        forget_key(m, grid_key(m, pos));
    else if (there)
        forget(m, pos);
}

static void do_cursor_del(struct grid *m, int c)
{
    struct position *at = &m->at[c];
    int rc = 0;

    grid_resolve(m, at);
    if (at->where == NONE)
        rc = KV_EINVAL;
    else if (at->where == END || (at->where == BEFORE && !grid_inside(m, c, at->pos)))
        rc = KV_ENOTFOUND;
    must_rc(m, kv_cursor_del(m->cursors[c], 0), rc);
    if (rc)
        return;
    at->where = AT;
    forget(m, at->pos);
}

static void do_cursor_del_key(struct grid *m, int c)
{
    struct position *at = &m->at[c];
    int key, next, rc = 0;

    if (m->plan->values == 1) {
        do_cursor_del(m, c);
        return;
    }
    grid_resolve(m, at);
    key = at->where == NONE ? NOWHERE : grid_key_here(m, c, at);
    if (at->where == NONE)
        rc = KV_EINVAL;
    else if (key == NOWHERE)
        rc = KV_ENOTFOUND;
    must_rc(m, kv_cursor_del(m->cursors[c], KV_ALL_VALUES), rc);
    if (rc)
        return;
    forget_key(m, key);
    next = grid_next(m, grid_key_start(m, key + 1));
    at->where = next == NOWHERE ? END : BEFORE;
    at->pos = next;
    at->own = key;
}

static void do_del_range(struct grid *m)
{
    uint8_t from_room[TEXT_MAX], to_room[TEXT_MAX];
    int from = (int)rng_below(&m->rng, m->plan->keys);
    int to = grid_min(from + (int)rng_below(&m->rng, m->plan->keys / 3 + 2), (int)m->plan->keys);
    struct kv_val from_key = grid_make_key(m, from, from_room),
                  to_key = grid_make_key(m, to, to_room);
    struct kv_range range = KV_RANGE_INIT;
    uint64_t deleted;

    range.from = &from_key;
    range.to = &to_key;
    must_rc(m, kv_del_range(m->txn, m->table, &range, &deleted), 0);
    must(m, deleted == (uint64_t)grid_count(m, grid_key_start(m, from), grid_key_start(m, to)));
    forget_range(m, grid_key_start(m, from), grid_key_start(m, to));
}

/* Many puts or deletes of one kind, so that sets and trees grow and shrink. */
static void do_tide(struct grid *m)
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

static void do_change(struct grid *m, int c)
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

static void open_cursors(struct grid *m)
{
    for (int c = 0; c < CURSORS; c++) {
        must_rc(m, kv_cursor_open(m->txn, m->table, &m->cursors[c]), 0);
        m->at[c].where = NONE;
        m->low[c] = 0;
        m->end[c] = m->size;
    }
}

/* A nested txn changes the table under the parent's cursors; half of them abort. */
static void do_nested(struct grid *m)
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

static void scan(struct grid *m)
{
    struct kv_cursor *cursor;
    struct kv_val key, value;
    int pos = NOWHERE;

    must_rc(m, kv_cursor_open(m->txn, m->table, &cursor), 0);
    while (kv_cursor_get(cursor, KV_NEXT, &key, &value) == 0) {
        pos = grid_next(m, pos + 1);
        must(m, pos != NOWHERE);
        shows(m, pos, &key, &value);
    }
    must(m, grid_next(m, pos + 1) == NOWHERE);
    kv_cursor_close(cursor);
}

/* Commits, proves, reads as a reader, and begins anew. */
static void turn(struct grid *m)
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

static void make_table(struct grid *m)
{
    struct kv_table_options options = KV_TABLE_OPTIONS_INIT;

    options.flags = m->plan->flags;
    options.order = m->plan->order;
    options.value_order = m->plan->value_order;
    options.align = m->plan->align;
    if (options.order == KV_ORDER_CUSTOM)
        options.comparator = "descending";
    if (options.value_order == KV_ORDER_CUSTOM)
        options.value_comparator = "descending";
    ck_ok(kv_env_comparator(m->env, "descending", compare_descending, NULL));
    ck_ok(kv_table_open(m->txn, "grid", KV_CREATE, &options, &m->table));
}

static void start(struct grid *m, const struct cursor_plan *plan)
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

static void one_operation(struct grid *m)
{
    int c = (int)rng_below(&m->rng, CURSORS);
    int op = (int)rng_between(&m->rng, KV_FIRST, KV_PREV_PIECE + 1);
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
    else if (dice < 200 && op >= KV_VALUES)
        do_read_pieces(m, c, op);
    else if (dice < 200)
        do_read(m, c, op);
    else if (op >= KV_VALUES)
        do_piece(m, c, op);
    else
        do_get(m, c, op);
}

void cursor_model_run(const struct cursor_plan *plan)
{
    struct grid m;
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
