/* SPDX-License-Identifier: MIT */
/*
 * See tree_ops.h.
 *
 * A model cursor is a state and a key number. What a nested txn does to its parent's cursors shows
 * only when they are used again, so numbers are resolved then (resolve).
 */
#include "tree_ops.h"

#include <stdlib.h>
#include <string.h>

#include "kv.h"
#include "tree_db.h"

#define CURSORS 4u
#define CHECK_EVERY 700u

enum where { NOWHERE, AT, BEFORE, END };

struct place {
    enum where where;
    uint32_t number;
};

/* One level of txns: its cursors, where they should stand, and what an abort goes back to. */
struct level {
    struct kvi_cursor *cursors[CURSORS];
    struct place places[CURSORS];
    struct model_value *saved;
};

struct ops {
    const struct ops_plan *plan;
    struct tree_db db;
    struct model model;
    struct rng rng;
    struct level levels[1 + TREE_DB_NEST_MAX];
    uint8_t *bytes;    /* room for the largest value */
    unsigned fullness; /* percent: how full the random puts and deletes drive the tree */
};

static struct level *level_of(struct ops *ops)
{
    return &ops->levels[ops->db.nested];
}

static uint32_t any_key(struct ops *ops)
{
    return (uint32_t)rng_below(&ops->rng, ops->model.count);
}

/* ---- Txns ---- */

static void open_cursors(struct ops *ops)
{
    struct level *level = level_of(ops);

    for (unsigned i = 0; i < CURSORS; i++) {
        ck_ok(kvi_cursor_open(tree_db_tree(&ops->db), &level->cursors[i]));
        level->places[i].where = NOWHERE;
    }
    level->saved = model_save(&ops->model);
}

static void close_cursors(struct ops *ops)
{
    for (unsigned i = 0; i < CURSORS; i++) {
        kvi_cursor_close(level_of(ops)->cursors[i]);
    }
}

static void begin(struct ops *ops)
{
    tree_db_begin(&ops->db, (uint64_t)ops->plan->budget_pages * ops->plan->page_size);
    open_cursors(ops);
}

static void keep_or_restore(struct ops *ops, bool keep)
{
    struct level *level = level_of(ops);

    close_cursors(ops);
    if (keep) {
        free(level->saved);
    } else {
        model_restore(&ops->model, level->saved);
    }
}

static void unnest(struct ops *ops, bool commit)
{
    keep_or_restore(ops, commit);
    tree_db_unnest(&ops->db, commit);
}

static void nest_or_unnest(struct ops *ops)
{
    bool deeper = rng_chance(&ops->rng, 50);

    if (deeper && ops->db.nested < TREE_DB_NEST_MAX) {
        tree_db_nest(&ops->db);
        open_cursors(ops);
    } else if (!deeper && ops->db.nested > 0) {
        unnest(ops, rng_chance(&ops->rng, 60));
    }
}

static void end_and_begin(struct ops *ops)
{
    struct kvi_tree reader;
    bool commit = rng_chance(&ops->rng, 80);

    while (ops->db.nested > 0) {
        unnest(ops, rng_chance(&ops->rng, 60));
    }
    keep_or_restore(ops, commit);
    if (commit) {
        tree_db_commit(&ops->db);
    } else {
        tree_db_abort(&ops->db);
    }
    tree_db_read(&ops->db, &reader);
    tree_db_check(&reader);
    model_compare(&ops->model, &reader);
    tree_db_check_claims(&ops->db);
    begin(ops);
}

/* ---- Cursors as they should be ---- */

static struct place place_from(const struct ops *ops, uint32_t from)
{
    struct place place = {BEFORE, model_from(&ops->model, from)};

    if (place.number == MODEL_NONE) {
        place.where = END;
    }
    return place;
}

/* A record that a nested txn took away from under a cursor. */
static void resolve(const struct ops *ops, struct place *place)
{
    if ((place->where == AT || place->where == BEFORE) &&
        !ops->model.values[place->number].present) {
        *place = place_from(ops, place->number);
    }
}

static void model_put(struct ops *ops, uint32_t number, struct model_value value)
{
    value.present = true;
    ops->model.values[number] = value;
}

static void model_delete(struct ops *ops, uint32_t number)
{
    struct level *level = level_of(ops);

    ops->model.values[number].present = false;
    for (unsigned i = 0; i < CURSORS; i++) {
        struct place *place = &level->places[i];

        if ((place->where == AT || place->where == BEFORE) && place->number == number) {
            *place = place_from(ops, number);
        }
    }
}

/* ---- Puts ---- */

static struct model_value new_value(struct ops *ops)
{
    struct model_value value = {true, model_size(&ops->rng, ops->plan->page_size),
                                rng_next(&ops->rng)};

    model_fill(value.seed, value.size_bytes, ops->bytes);
    return value;
}

static uint32_t put_flags(struct ops *ops)
{
    static const uint32_t flags[] = {KV_NOOVERWRITE, KV_APPEND, KV_RESERVE, KV_NOSPLIT,
                                     KV_RESERVE | KV_NOSPLIT};
    uint64_t choice = rng_below(&ops->rng, 24);

    return choice < 5 ? flags[choice] : 0;
}

/* What a put of key `number` should give, but for KV_EPAGEFULL. */
static int put_result(const struct ops *ops, uint32_t number, uint32_t flags)
{
    if ((flags & KV_APPEND) && model_from(&ops->model, number) != MODEL_NONE) {
        return KV_EORDER;
    }
    if ((flags & KV_NOOVERWRITE) && ops->model.values[number].present) {
        return KV_EEXIST;
    }
    return 0;
}

/* Compares a put's result; true if the record was put. */
static bool put_done(struct ops *ops, int rc, int expected, uint32_t number, uint32_t flags,
                     const struct kvi_tree_put *put, struct model_value value)
{
    struct kvi_tree_value present = {put->data, put->size_bytes, KVI_CELL_VALUE};

    if ((flags & KV_NOSPLIT) && rc == KV_EPAGEFULL) {
        return false;
    }
    ck_rc(rc, expected);
    if (rc == KV_EEXIST) {
        model_expect(&ops->model, number, ops->model.keys[number], &present);
    }
    if (rc) {
        return false;
    }
    if ((flags & KV_RESERVE) && value.size_bytes) {
        model_fill(value.seed, value.size_bytes, put->space);
    }
    model_put(ops, number, value);
    return true;
}

static void put_random(struct ops *ops)
{
    uint32_t number = any_key(ops);
    uint32_t flags = put_flags(ops);
    struct model_value value = new_value(ops);
    struct kvi_tree_put put = {flags & KV_RESERVE ? NULL : ops->bytes, value.size_bytes, NULL};
    int expected = put_result(ops, number, flags);
    int rc = kvi_tree_put(tree_db_tree(&ops->db), ops->model.keys[number], &put, flags);

    (void)put_done(ops, rc, expected, number, flags, &put, value);
}

/* Key and value point into the tree. */
static void put_own_bytes(struct ops *ops)
{
    struct kvi_tree *tree = tree_db_tree(&ops->db);
    uint32_t number = model_from(&ops->model, any_key(ops));
    uint32_t source = rng_chance(&ops->rng, 40) ? number : model_from(&ops->model, any_key(ops));
    struct kvi_tree_value value;
    struct kvi_tree_put put;
    struct model_value copy;
    struct kvi_cursor *cursor;
    struct kvi_key key;

    if (number == MODEL_NONE || source == MODEL_NONE) {
        return;
    }
    key = ops->model.keys[number];
    ck_ok(kvi_cursor_open(tree, &cursor));
    ck_ok(kvi_cursor_get(cursor, KV_EXACT, &key, NULL));
    ck_ok(kvi_tree_get(tree, ops->model.keys[source], &value));
    copy = ops->model.values[source];
    if (rng_chance(&ops->rng, 50)) {
        copy.size_bytes = (uint32_t)rng_below(&ops->rng, (uint64_t)copy.size_bytes + 1);
    }
    put = (struct kvi_tree_put){value.data, copy.size_bytes, NULL};
    ck_ok(kvi_tree_put(tree, key, &put, 0));
    kvi_cursor_close(cursor);
    model_put(ops, number, copy);
}

static void delete_random(struct ops *ops)
{
    uint32_t number = any_key(ops);
    bool present = ops->model.values[number].present;

    ck_rc(kvi_tree_delete(tree_db_tree(&ops->db), ops->model.keys[number], KVI_CELL_VALUE),
          present ? 0 : KV_ENOTFOUND);
    if (present) {
        model_delete(ops, number);
    }
}

/* Appends by one of the ways to do it. */
static int append_by(struct ops *ops, struct kvi_cursor *cursor, uint32_t number,
                     struct kvi_tree_put *put)
{
    uint32_t flags = KV_APPEND | (rng_chance(&ops->rng, 20) ? KV_RESERVE : 0);
    const uint8_t *bytes = put->data;
    int rc;

    if (flags & KV_RESERVE)
        put->data = NULL;
    if (rng_chance(&ops->rng, 20))
        rc = kvi_cursor_put(cursor, ops->model.keys[number], put, flags);
    else
        rc = kvi_tree_put(tree_db_tree(&ops->db), ops->model.keys[number], put, flags);
    if (rc == 0 && flags & KV_RESERVE && put->size_bytes)
        memcpy(put->space, bytes, put->size_bytes);
    return rc;
}

/* Takes some records off the end and appends others in a row. */
static void append_run(struct ops *ops)
{
    struct kvi_tree *tree = tree_db_tree(&ops->db);
    uint64_t take = rng_below(&ops->rng, 40);
    uint32_t number = model_below(&ops->model, ops->model.count);
    struct kvi_cursor *cursor;

    for (; take > 0 && number != MODEL_NONE; take--) {
        ck_ok(kvi_tree_delete(tree, ops->model.keys[number], KVI_CELL_VALUE));
        model_delete(ops, number);
        number = model_below(&ops->model, ops->model.count);
    }
    number = number == MODEL_NONE ? 0 : number + 1;
    ck_ok(kvi_cursor_open(tree, &cursor));
    for (; number < ops->model.count; number += 1 + (uint32_t)rng_below(&ops->rng, 3)) {
        struct model_value value = new_value(ops);
        struct kvi_tree_put put = {ops->bytes, value.size_bytes, NULL};

        ck_ok(append_by(ops, cursor, number, &put));
        model_put(ops, number, value);
        ck_rc(append_by(ops, cursor, number, &put), KV_EORDER);
        if (rng_chance(&ops->rng, 3)) {
            break;
        }
    }
    kvi_cursor_close(cursor);
}

static void get_random(struct ops *ops)
{
    uint32_t number = any_key(ops);
    struct kvi_tree_value value;
    bool present = ops->model.values[number].present;

    ck_rc(kvi_tree_get(tree_db_tree(&ops->db), ops->model.keys[number], &value),
          present ? 0 : KV_ENOTFOUND);
    if (present) {
        model_expect(&ops->model, number, ops->model.keys[number], &value);
    }
}

/* ---- Cursor moves ---- */

/* The record where `op` leads, MODEL_NONE if there is none. */
static uint32_t target_of(const struct ops *ops, const struct place *place, int op, uint32_t wanted)
{
    const struct model *model = &ops->model;

    switch (op) {
    case KV_FIRST:
        return model_from(model, 0);
    case KV_LAST:
        return model_below(model, model->count);
    case KV_NEXT:
        if (place->where == END) {
            return MODEL_NONE;
        }
        return model_from(model, place->where == NOWHERE ? 0
                                 : place->where == AT    ? place->number + 1
                                                         : place->number);
    case KV_PREV:
        return model_below(model, place->where == NOWHERE || place->where == END ? model->count
                                                                                 : place->number);
    case KV_EXACT:
        return model->values[wanted].present ? wanted : MODEL_NONE;
    case KV_AT_LEAST:
        return model_from(model, wanted);
    case KV_AT_MOST:
        return model_below(model, wanted + 1);
    default: /* KV_CURRENT */
        return place->where == AT || place->where == BEFORE ? place->number : MODEL_NONE;
    }
}

static void cursor_move(struct ops *ops, unsigned i)
{
    static const int ops_of[] = {KV_FIRST, KV_LAST,     KV_NEXT,    KV_NEXT,   KV_NEXT,
                                 KV_NEXT,  KV_PREV,     KV_PREV,    KV_PREV,   KV_PREV,
                                 KV_EXACT, KV_AT_LEAST, KV_AT_MOST, KV_CURRENT};
    int op = ops_of[rng_below(&ops->rng, sizeof(ops_of) / sizeof(ops_of[0]))];
    struct place *place = &level_of(ops)->places[i];
    uint32_t wanted = any_key(ops);
    struct kvi_key key = ops->model.keys[wanted];
    struct kvi_tree_value value;
    uint32_t target;
    int expected = 0;

    resolve(ops, place);
    target = target_of(ops, place, op, wanted);
    if (target == MODEL_NONE) {
        expected = op == KV_CURRENT && place->where == NOWHERE ? KV_EINVAL : KV_ENOTFOUND;
    }
    ck_rc(kvi_cursor_get(level_of(ops)->cursors[i], op, &key, &value), expected);
    if (target != MODEL_NONE) {
        model_expect(&ops->model, target, key, &value);
        *place = (struct place){AT, target};
    } else if (op != KV_NEXT && op != KV_PREV && op != KV_CURRENT) {
        place->where = NOWHERE;
    }
}

/* ---- Cursor changes ---- */

static void cursor_put(struct ops *ops, unsigned i)
{
    uint32_t number = any_key(ops);
    uint32_t flags = put_flags(ops);
    struct model_value value = new_value(ops);
    struct kvi_tree_put put = {flags & KV_RESERVE ? NULL : ops->bytes, value.size_bytes, NULL};
    int expected = put_result(ops, number, flags);
    int rc = kvi_cursor_put(level_of(ops)->cursors[i], ops->model.keys[number], &put, flags);

    if (put_done(ops, rc, expected, number, flags, &put, value) || rc == KV_EEXIST) {
        level_of(ops)->places[i] = (struct place){AT, number};
    }
}

static void cursor_put_here(struct ops *ops, unsigned i)
{
    struct place *place = &level_of(ops)->places[i];
    uint32_t flags = KV_AT_CURSOR | (rng_chance(&ops->rng, 20) ? KV_RESERVE : 0);
    struct model_value value = new_value(ops);
    struct kvi_tree_put put = {flags & KV_RESERVE ? NULL : ops->bytes, value.size_bytes, NULL};
    int expected = 0;
    int rc;

    resolve(ops, place);
    if (place->where == NOWHERE) {
        expected = KV_EINVAL;
    } else if (place->where == END) {
        expected = KV_ENOTFOUND;
    }
    rc = kvi_cursor_put(level_of(ops)->cursors[i], (struct kvi_key){NULL, 0}, &put, flags);
    if (put_done(ops, rc, expected, place->number, flags, &put, value)) {
        place->where = AT;
    }
}

static void cursor_delete(struct ops *ops, unsigned i)
{
    struct place *place = &level_of(ops)->places[i];
    int expected = 0;

    resolve(ops, place);
    if (place->where == NOWHERE) {
        expected = KV_EINVAL;
    } else if (place->where == END) {
        expected = KV_ENOTFOUND;
    }
    ck_rc(kvi_cursor_delete(level_of(ops)->cursors[i], KVI_CELL_VALUE), expected);
    if (!expected) {
        model_delete(ops, place->number);
    }
}

/* ---- The run ---- */

static void change_random(struct ops *ops)
{
    unsigned i = (unsigned)rng_below(&ops->rng, CURSORS);
    bool grow = rng_below(&ops->rng, 100) < ops->fullness;

    switch (rng_below(&ops->rng, 8)) {
    case 0:
    case 1:
        if (grow) {
            cursor_put(ops, i);
        } else {
            cursor_delete(ops, i);
        }
        break;
    case 2:
        cursor_put_here(ops, i);
        break;
    case 3:
        put_own_bytes(ops);
        break;
    default:
        if (grow) {
            put_random(ops);
        } else {
            delete_random(ops);
        }
    }
}

static void empty(struct ops *ops)
{
    ck_ok(kvi_tree_empty(tree_db_tree(&ops->db)));
    for (uint32_t i = 0; i < ops->model.count; i++) {
        ops->model.values[i].present = false;
    }
    for (unsigned i = 0; i < CURSORS; i++) {
        level_of(ops)->places[i].where = NOWHERE;
    }
}

static void step(struct ops *ops)
{
    if (rng_below(&ops->rng, 10000) < ops->plan->nest_percent) {
        nest_or_unnest(ops);
    }
    if (rng_below(&ops->rng, 1500) == 0) {
        end_and_begin(ops);
    }
    if (rng_below(&ops->rng, 500) == 0) {
        ops->fullness = 20 + (unsigned)rng_below(&ops->rng, 70);
    }
    if (rng_below(&ops->rng, 8000) == 0) {
        empty(ops);
    }
    if (rng_below(&ops->rng, 80) == 0) {
        append_run(ops);
    }
    switch (rng_below(&ops->rng, 5)) {
    case 0:
        get_random(ops);
        break;
    case 1:
    case 2:
        cursor_move(ops, (unsigned)rng_below(&ops->rng, CURSORS));
        break;
    default:
        change_random(ops);
    }
}

void ops_run(const struct ops_plan *plan)
{
    struct ops *ops = calloc(1, sizeof(*ops));
    uint64_t steps = scaled(plan->steps);

    ops->plan = plan;
    ops->fullness = 70;
    ops->bytes = malloc(5 * (size_t)plan->page_size + 1);
    rng_seed(&ops->rng, plan->name, plan->seed);
    tree_db_open(&ops->db, plan->page_size);
    model_open(&ops->model, plan->keys, plan->keys_count, ops->db.geometry.key_bytes_max,
               &ops->rng);
    begin(ops);
    for (uint64_t i = 1; i <= steps; i++) {
        step(ops);
        if (i % CHECK_EVERY == 0) {
            tree_db_check(tree_db_tree(&ops->db));
            model_compare(&ops->model, tree_db_tree(&ops->db));
        }
    }
    end_and_begin(ops);
    keep_or_restore(ops, false);
    tree_db_close(&ops->db);
    model_close(&ops->model);
    free(ops->bytes);
    free(ops);
}
