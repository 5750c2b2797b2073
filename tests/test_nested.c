/* SPDX-License-Identifier: MIT */
/*
 * Nested write txns through kv.h: what a child sees, what its commit gives and its abort takes
 * back, and random programs over several tables, five levels deep, against a model that is copied
 * at every begin.
 */
#include "api_help.h"

#include <stdlib.h>

static struct kv_env *env;

static void make_env(uint32_t page_size)
{
    struct kv_options options = KV_OPTIONS_INIT;

    options.flags = KV_CREATE;
    options.durability = KV_LAZY;
    options.page_size = page_size;
    options.dirty_budget_bytes = 1; /* the least there is, so that levels spill */
    env = env_open_with(tmp_path("nested.db"), &options);
}

static void setup(void)
{
    make_env(0);
}

static void teardown(void)
{
    env_finish(env);
}

/* ---- One level ---- */

START_TEST(a_child_sees_its_parent_and_gives_it_its_changes)
{
    struct kv_txn *txn = txn_write(env);
    struct kv_txn *child;

    put(txn, KV_MAIN_TABLE, "a", "parent");
    child = txn_nested(txn);
    has(child, KV_MAIN_TABLE, "a", "parent");
    put(child, KV_MAIN_TABLE, "a", "child");
    put(child, KV_MAIN_TABLE, "b", "child");
    txn_commit(child);
    has(txn, KV_MAIN_TABLE, "a", "child");
    has(txn, KV_MAIN_TABLE, "b", "child");
    txn_commit(txn);
    txn = txn_read(env);
    has(txn, KV_MAIN_TABLE, "a", "child");
    kv_txn_abort(txn);
}
END_TEST

START_TEST(an_aborted_child_leaves_its_parent_as_it_was)
{
    struct kv_txn *txn = txn_write(env);
    struct kv_txn *child;
    struct kv_env_stat before;
    uint64_t digest;

    fill_table(txn, KV_MAIN_TABLE, "k", 1000, 100);
    put_bytes(txn, KV_MAIN_TABLE, "large", 50000, 1);
    digest = txn_digest(txn);
    before = env_stat(txn);
    child = txn_nested(txn);
    ck_ok(kv_table_empty(child, KV_MAIN_TABLE));
    fill_table(child, KV_MAIN_TABLE, "other", 2000, 200);
    put_bytes(child, KV_MAIN_TABLE, "large", 70000, 2);
    kv_txn_abort(child);
    ck_assert_uint_eq(txn_digest(txn), digest);
    ck_assert_uint_eq(env_stat(txn).tables, before.tables);
    put(txn, KV_MAIN_TABLE, "more", "1");
    txn_commit(txn);
    txn = txn_read(env);
    has_bytes(txn, KV_MAIN_TABLE, "large", 50000, 1);
    ck_assert_uint_eq(table_stat(txn, KV_MAIN_TABLE).entries, 1002);
    kv_txn_abort(txn);
}
END_TEST

START_TEST(a_committed_child_of_an_aborted_parent_is_gone)
{
    struct kv_txn *txn = txn_write(env);
    struct kv_txn *child = txn_nested(txn);

    put(child, KV_MAIN_TABLE, "a", "1");
    table_make(child, "t");
    txn_commit(child);
    kv_txn_abort(txn);
    txn = txn_read(env);
    lacks(txn, KV_MAIN_TABLE, "a");
    ck_assert_uint_eq(env_stat(txn).tables, 0);
    kv_txn_abort(txn);
}
END_TEST

START_TEST(a_child_without_a_change_changes_nothing)
{
    uint64_t txnid = env_info(env).txnid_committed;
    struct kv_txn *txn = txn_write(env);

    txn_commit(txn_nested(txn));
    txn_commit(txn);
    ck_assert_uint_eq(env_info(env).txnid_committed, txnid);
}
END_TEST

START_TEST(a_child_has_its_parents_id)
{
    struct kv_txn *txn = txn_write(env);
    struct kv_txn *child = txn_nested(txn);

    ck_assert_uint_eq(kv_txn_id(child), kv_txn_id(txn));
    ck_assert_ptr_eq(kv_txn_env(child), env);
    kv_txn_abort(child);
    kv_txn_abort(txn);
}
END_TEST

START_TEST(a_parent_is_refused_while_its_child_lives)
{
    struct kv_txn *txn = txn_write(env);
    struct kv_txn_options options = {.parent = txn};
    kv_table table = table_make(txn, "t");
    struct kv_txn *second = (struct kv_txn *)&options;
    struct kv_txn *child;
    struct kv_cursor *cursor;
    struct kv_table_stat stat;
    struct kv_env_stat env_stat;
    struct kv_val key;
    unsigned calls = 0;

    put(txn, table, "a", "1");
    ck_ok(kv_cursor_open(txn, table, &cursor));
    child = txn_nested(txn);
    ck_rc(try_get(txn, table, "a"), KV_EBADTXN);
    ck_rc(try_put(txn, table, "a", "2", 0), KV_EBADTXN);
    ck_rc(try_del(txn, table, "a"), KV_EBADTXN);
    ck_rc(kv_table_open(txn, "t", 0, NULL, &table), KV_EBADTXN);
    table = table_find(child, "t");
    ck_rc(kv_table_drop(txn, table), KV_EBADTXN);
    ck_rc(kv_table_empty(txn, table), KV_EBADTXN);
    ck_rc(kv_table_rename(txn, table, "u"), KV_EBADTXN);
    ck_rc(kv_table_list(txn, (kv_table_fn *)abort, &calls), KV_EBADTXN);
    ck_rc(kv_table_stat(txn, table, &stat), KV_EBADTXN);
    ck_rc(kv_env_stat(txn, &env_stat), KV_EBADTXN);
    ck_rc(kv_cursor_get(cursor, KV_FIRST, &key, NULL), KV_EBADTXN);
    ck_rc(kv_cursor_open(txn, table, &cursor), KV_EBADTXN);
    ck_rc(kv_txn_begin(env, KV_WRITE, &options, &second), KV_EBADTXN);
    ck_assert_ptr_null(second);
    put(child, table, "a", "3");
    txn_commit(child);
    has(txn, table, "a", "3");
    txn_commit(txn);
}
END_TEST

START_TEST(a_parent_that_commits_with_a_live_child_loses_both)
{
    struct kv_txn *txn = txn_write(env);
    struct kv_txn *child;

    put(txn, KV_MAIN_TABLE, "a", "1");
    child = txn_nested(txn);
    put(child, KV_MAIN_TABLE, "b", "2");
    ck_rc(kv_txn_commit(txn), KV_EBADTXN);
    txn = txn_write(env);
    lacks(txn, KV_MAIN_TABLE, "a");
    lacks(txn, KV_MAIN_TABLE, "b");
    kv_txn_abort(txn);
}
END_TEST

START_TEST(a_parent_that_aborts_takes_all_below_with_it)
{
    struct kv_txn *txn = txn_write(env);
    struct kv_txn *inner = txn;

    for (int i = 0; i < 4; i++) {
        inner = txn_nested(inner);
        put(inner, KV_MAIN_TABLE, "a", "1");
    }
    kv_txn_abort(txn);
    txn = txn_write(env);
    lacks(txn, KV_MAIN_TABLE, "a");
    kv_txn_abort(txn);
}
END_TEST

START_TEST(only_write_txns_of_the_same_env_nest)
{
    struct kv_env *other = env_new("other.db");
    struct kv_txn *reader = txn_read(env);
    struct kv_txn *writer = txn_write(env);
    struct kv_txn_options options = {.parent = reader};
    struct kv_txn *txn;
    int rc = kv_txn_begin(env, KV_WRITE, &options, &txn);

    ck_assert(rc == KV_EREADONLY || rc == KV_EINVAL);
    options.parent = writer;
    ck_rc(kv_txn_begin(other, KV_WRITE, &options, &txn), KV_EINVAL);
    ck_rc(kv_txn_begin(env, KV_READ, &options, &txn), KV_EINVAL);
    kv_txn_abort(reader);
    kv_txn_abort(writer);
    env_close(other);
}
END_TEST

START_TEST(readers_do_not_see_what_a_child_gave_before_its_parent_commits)
{
    struct kv_txn *txn = txn_write(env);
    struct kv_txn *child = txn_nested(txn);
    struct kv_txn *reader;

    put(child, KV_MAIN_TABLE, "a", "1");
    txn_commit(child);
    reader = txn_read(env);
    lacks(reader, KV_MAIN_TABLE, "a");
    kv_txn_abort(reader);
    txn_commit(txn);
}
END_TEST

/* ---- Tables ---- */

START_TEST(a_handle_opened_in_a_child_is_valid_in_its_parent)
{
    struct kv_txn *txn = txn_write(env);
    struct kv_txn *child = txn_nested(txn);
    kv_table table = table_make(child, "t");

    put(child, table, "a", "1");
    txn_commit(child);
    has(txn, table, "a", "1");
    put(txn, table, "b", "2");
    txn_commit(txn);
    txn = txn_read(env);
    has(txn, table, "a", "1");
    has(txn, table, "b", "2");
    kv_txn_abort(txn);
}
END_TEST

START_TEST(a_table_made_in_an_aborted_child_is_unknown_to_its_parent)
{
    struct kv_txn *txn = txn_write(env);
    struct kv_txn *child = txn_nested(txn);
    kv_table table = table_make(child, "t");

    put(child, table, "a", "1");
    kv_txn_abort(child);
    ck_rc(try_get(txn, table, "a"), KV_EBADTABLE);
    ck_rc(kv_table_open(txn, "t", 0, NULL, &table), KV_ENOTFOUND);
    table = table_make(txn, "t");
    lacks(txn, table, "a");
    txn_commit(txn);
}
END_TEST

START_TEST(a_drop_in_a_child_counts_when_it_commits)
{
    struct kv_txn *txn = txn_write(env);
    kv_table table = table_make(txn, "t");
    struct kv_txn *child;

    put(txn, table, "a", "1");
    child = txn_nested(txn);
    ck_ok(kv_table_drop(child, table));
    ck_rc(try_get(child, table, "a"), KV_EBADTABLE);
    kv_txn_abort(child);
    has(txn, table, "a", "1");
    child = txn_nested(txn);
    ck_ok(kv_table_drop(child, table));
    txn_commit(child);
    ck_rc(try_get(txn, table, "a"), KV_EBADTABLE);
    ck_rc(kv_table_open(txn, "t", 0, NULL, &table), KV_ENOTFOUND);
    ck_assert_uint_eq(env_stat(txn).tables, 0);
    txn_commit(txn);
}
END_TEST

START_TEST(a_table_dropped_and_made_again_in_a_child_is_the_new_one)
{
    struct kv_txn *txn = txn_write(env);
    kv_table table = table_make(txn, "t");
    struct kv_txn *child;
    kv_table again;

    put(txn, table, "a", "old");
    child = txn_nested(txn);
    ck_ok(kv_table_drop(child, table));
    again = table_make(child, "t");
    put(child, again, "b", "new");
    txn_commit(child);
    lacks(txn, again, "a");
    has(txn, again, "b", "new");
    txn_commit(txn);
    txn = txn_read(env);
    has(txn, table_find(txn, "t"), "b", "new");
    ck_assert_uint_eq(table_stat(txn, again).entries, 1);
    kv_txn_abort(txn);
}
END_TEST

START_TEST(a_rename_in_a_child_counts_when_it_commits)
{
    struct kv_txn *txn = txn_write(env);
    kv_table table = table_make(txn, "old");
    struct kv_txn *child;
    kv_table made;

    put(txn, table, "a", "1");
    child = txn_nested(txn);
    ck_ok(kv_table_rename(child, table, "new"));
    kv_txn_abort(child);
    ck_assert_uint_eq(table_find(txn, "old"), table);
    child = txn_nested(txn);
    ck_ok(kv_table_rename(child, table, "new"));
    made = table_make(child, "old");
    ck_assert_uint_ne(made, table);
    put(child, made, "b", "2");
    txn_commit(child);
    has(txn, table, "a", "1");
    has(txn, made, "b", "2");
    ck_assert_uint_eq(table_find(txn, "new"), table);
    txn_commit(txn);
    txn = txn_read(env);
    has(txn, table_find(txn, "new"), "a", "1");
    has(txn, table_find(txn, "old"), "b", "2");
    ck_assert_uint_eq(table_find(txn, "new"), table);
    ck_assert_uint_eq(table_find(txn, "old"), made);
    kv_txn_abort(txn);
}
END_TEST

START_TEST(levels_that_never_used_a_table_carry_its_changes_up)
{
    struct kv_txn *level[4];
    kv_table table;

    level[0] = txn_write(env);
    table = table_make(level[0], "t");
    put(level[0], table, "a", "0");
    for (int i = 1; i < 4; i++)
        level[i] = txn_nested(level[i - 1]);
    put(level[3], table, "a", "3");
    put(level[3], table, "b", "3");
    txn_commit(level[3]);
    txn_commit(level[2]);
    txn_commit(level[1]);
    has(level[0], table, "a", "3");
    level[1] = txn_nested(level[0]);
    level[2] = txn_nested(level[1]);
    ck_ok(kv_table_drop(level[2], table));
    txn_commit(level[2]);
    kv_txn_abort(level[1]);
    has(level[0], table, "b", "3");
    level[1] = txn_nested(level[0]);
    level[2] = txn_nested(level[1]);
    ck_ok(kv_table_drop(level[2], table));
    txn_commit(level[2]);
    txn_commit(level[1]);
    ck_rc(try_get(level[0], table, "b"), KV_EBADTABLE);
    txn_commit(level[0]);
}
END_TEST

START_TEST(a_handle_closed_and_reopened_in_a_child_finds_the_parents_changes)
{
    struct kv_txn *txn = txn_write(env);
    kv_table table = table_make(txn, "t");
    struct kv_txn *child;
    kv_table again;

    put(txn, table, "a", "1");
    child = txn_nested(txn);
    ck_ok(kv_table_close(env, table));
    again = table_find(child, "t");
    has(child, again, "a", "1");
    put(child, again, "b", "2");
    txn_commit(child);
    ck_rc(try_get(txn, table, "a"), KV_EBADTABLE);
    has(txn, again, "b", "2");
    put(txn, again, "c", "3");
    txn_commit(txn);
    txn = txn_read(env);
    ck_assert_uint_eq(table_stat(txn, again).entries, 3);
    kv_txn_abort(txn);
}
END_TEST

/* ---- Cursors ---- */

START_TEST(a_parents_cursor_keeps_its_place_across_a_childs_life)
{
    struct kv_txn *txn = txn_write(env);
    struct kv_cursor *cursor;
    struct kv_txn *child;
    struct kv_val key;
    struct kv_val value;

    fill_table(txn, KV_MAIN_TABLE, "k", 500, 50);
    ck_ok(kv_cursor_open(txn, KV_MAIN_TABLE, &cursor));
    key = text_val("k000100");
    ck_ok(kv_cursor_get(cursor, KV_EXACT, &key, NULL));
    child = txn_nested(txn);
    fill_table(child, KV_MAIN_TABLE, "j", 500, 50);
    put(child, KV_MAIN_TABLE, "k000100", "changed");
    txn_commit(child);
    ck_ok(kv_cursor_get(cursor, KV_CURRENT, &key, &value));
    expect_text(&key, "k000100");
    expect_text(&value, "changed");
    child = txn_nested(txn);
    del(child, KV_MAIN_TABLE, "k000100");
    del(child, KV_MAIN_TABLE, "k000101");
    kv_txn_abort(child);
    ck_ok(kv_cursor_get(cursor, KV_NEXT, &key, NULL));
    expect_text(&key, "k000101");
    child = txn_nested(txn);
    del(child, KV_MAIN_TABLE, "k000102");
    txn_commit(child);
    ck_ok(kv_cursor_get(cursor, KV_NEXT, &key, NULL));
    expect_text(&key, "k000103");
    txn_commit(txn);
}
END_TEST

START_TEST(a_parents_cursor_whose_record_a_child_deleted_goes_on_from_there)
{
    struct kv_txn *txn = txn_write(env);
    struct kv_cursor *cursor;
    struct kv_txn *child;
    struct kv_val key = text_val("b");

    put(txn, KV_MAIN_TABLE, "a", "1");
    put(txn, KV_MAIN_TABLE, "b", "2");
    put(txn, KV_MAIN_TABLE, "c", "3");
    ck_ok(kv_cursor_open(txn, KV_MAIN_TABLE, &cursor));
    ck_ok(kv_cursor_get(cursor, KV_EXACT, &key, NULL));
    child = txn_nested(txn);
    del(child, KV_MAIN_TABLE, "b");
    txn_commit(child);
    ck_ok(kv_cursor_get(cursor, KV_NEXT, &key, NULL));
    expect_text(&key, "c");
    txn_commit(txn);
}
END_TEST

START_TEST(a_childs_cursor_is_closed_with_it)
{
    struct kv_txn *txn = txn_write(env);
    struct kv_txn *child = txn_nested(txn);
    struct kv_cursor *cursor;
    struct kv_val key = text_val("k");
    struct kv_val value = text_val("v");

    ck_ok(kv_cursor_open(child, KV_MAIN_TABLE, &cursor));
    ck_ok(kv_cursor_put(cursor, &key, &value, 0));
    txn_commit(child);
    has(txn, KV_MAIN_TABLE, "k", "v");
    txn_commit(txn);
}
END_TEST

/* ---- Random programs ---- */

enum { TABLES = 6, KEYS = 48, DEPTH = 5 };

/* What a txn should see: for each table name whether it exists, and the number of each key's
 * value, 0 none. */
struct model {
    bool exists[TABLES];
    uint32_t values[TABLES][KEYS];
};

struct program {
    struct rng rng;
    struct model model[DEPTH + 1]; /* [0]: committed */
    struct kv_txn *txn[DEPTH + 1];
    unsigned depth;
    uint32_t number;
};

static const char *const table_names[TABLES] = {NULL, "a", "b", "c", "d", "e"};

/* The size follows from the number: many small, some that fill a page, a few runs. */
static size_t value_bytes(uint32_t number)
{
    switch (number % 11) {
    case 0:
        return 4100 + number % 9000;
    case 1:
    case 2:
        return 900 + number % 500;
    default:
        return number % 60;
    }
}

static void key_text(unsigned key, char text[300])
{
    static const unsigned lengths[4] = {0, 3, 120, 280};

    memset(text, 'x', 300);
    snprintf(text + lengths[key % 4], 16, "%u", key);
}

static kv_table program_table(struct program *p, unsigned i)
{
    return i == 0 ? KV_MAIN_TABLE : table_find(p->txn[p->depth], table_names[i]);
}

static void program_put(struct program *p, unsigned table, unsigned key)
{
    char text[300];

    key_text(key, text);
    p->number++;
    put_bytes(p->txn[p->depth], program_table(p, table), text, value_bytes(p->number), p->number);
    p->model[p->depth].values[table][key] = p->number;
}

static void program_del(struct program *p, unsigned table, unsigned key)
{
    struct model *model = &p->model[p->depth];
    char text[300];

    key_text(key, text);
    ck_rc(try_del(p->txn[p->depth], program_table(p, table), text),
          model->values[table][key] ? 0 : KV_ENOTFOUND);
    model->values[table][key] = 0;
}

static void program_make(struct program *p, unsigned table)
{
    if (table)
        table_make(p->txn[p->depth], table_names[table]);
    p->model[p->depth].exists[table] = true;
}

static void program_drop(struct program *p, unsigned table)
{
    struct model *model = &p->model[p->depth];

    if (table == 0)
        return;
    ck_ok(kv_table_drop(p->txn[p->depth], program_table(p, table)));
    model->exists[table] = false;
    memset(model->values[table], 0, sizeof(model->values[table]));
}

static void program_empty(struct program *p, unsigned table)
{
    struct model *model = &p->model[p->depth];

    if (table == 0)
        return;
    ck_ok(kv_table_empty(p->txn[p->depth], program_table(p, table)));
    memset(model->values[table], 0, sizeof(model->values[table]));
}

static void program_rename(struct program *p, unsigned from, unsigned to)
{
    struct model *model = &p->model[p->depth];

    if (from == 0 || to == 0)
        return;
    ck_rc(kv_table_rename(p->txn[p->depth], program_table(p, from), table_names[to]),
          model->exists[to] ? KV_EEXIST : 0);
    if (model->exists[to])
        return;
    memcpy(model->values[to], model->values[from], sizeof(model->values[to]));
    memset(model->values[from], 0, sizeof(model->values[from]));
    model->exists[to] = true;
    model->exists[from] = false;
}

static void table_matches(struct kv_txn *txn, kv_table table, const uint32_t values[KEYS],
                          uint64_t others)
{
    uint64_t entries = others;
    char text[300];

    for (unsigned key = 0; key < KEYS; key++) {
        key_text(key, text);
        if (values[key])
            has_bytes(txn, table, text, value_bytes(values[key]), values[key]);
        else
            lacks(txn, table, text);
        entries += values[key] != 0;
    }
    ck_assert_uint_eq(table_stat(txn, table).entries, entries);
}

static void txn_matches(struct kv_txn *txn, const struct model *model)
{
    uint64_t named = 0;

    for (unsigned i = 1; i < TABLES; i++) {
        kv_table table;

        ck_rc(kv_table_open(txn, table_names[i], 0, NULL, &table),
              model->exists[i] ? 0 : KV_ENOTFOUND);
        if (model->exists[i])
            table_matches(txn, table, model->values[i], 0);
        named += model->exists[i];
    }
    table_matches(txn, KV_MAIN_TABLE, model->values[0], named);
    ck_assert_uint_eq(env_stat(txn).tables, named);
}

static void program_begin(struct program *p)
{
    if (p->depth == DEPTH)
        return;
    p->depth++;
    p->txn[p->depth] = p->depth == 1 ? txn_write(env) : txn_nested(p->txn[p->depth - 1]);
    p->model[p->depth] = p->model[p->depth - 1];
}

static void program_end(struct program *p, bool commit)
{
    if (commit) {
        txn_commit(p->txn[p->depth]);
        p->model[p->depth - 1] = p->model[p->depth];
    } else {
        kv_txn_abort(p->txn[p->depth]);
    }
    p->depth--;
    if (p->depth)
        txn_matches(p->txn[p->depth], &p->model[p->depth]);
}

static void program_step(struct program *p)
{
    unsigned table = (unsigned)rng_below(&p->rng, TABLES);
    unsigned key = (unsigned)rng_below(&p->rng, KEYS);
    unsigned what = (unsigned)rng_below(&p->rng, 100);

    if (p->depth == 0 || what < 8)
        program_begin(p);
    else if (what < 16)
        program_end(p, rng_chance(&p->rng, 60));
    else if (!p->model[p->depth].exists[table])
        program_make(p, table);
    else if (what < 19)
        program_drop(p, table);
    else if (what < 21)
        program_empty(p, table);
    else if (what < 27)
        program_rename(p, table, (unsigned)rng_below(&p->rng, TABLES));
    else if (what < 75)
        program_put(p, table, key);
    else
        program_del(p, table, key);
}

START_TEST(random_programs_five_levels_deep_do_as_the_model_says)
{
    struct program *p = calloc(1, sizeof(*p));
    uint64_t steps = scaled(_i ? 15000 : 60000);
    struct kv_txn *txn;

    ck_assert_ptr_nonnull(p);
    if (_i) {
        env_close(env);
        tmp_clear();
        make_env(4096u << 2 * _i);
    }
    rng_seed(&p->rng, "nested", 4000 + (uint64_t)_i);
    p->model[0].exists[0] = true;
    for (uint64_t i = 0; i < steps; i++) {
        program_step(p);
        if (p->depth == 0 && rng_chance(&p->rng, 20))
            env_sound(env);
    }
    while (p->depth)
        program_end(p, true);
    txn = txn_read(env);
    txn_matches(txn, &p->model[0]);
    kv_txn_abort(txn);
    free(p);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("nested");
    const TTest *tests[] = {
        a_child_sees_its_parent_and_gives_it_its_changes,
        an_aborted_child_leaves_its_parent_as_it_was,
        a_committed_child_of_an_aborted_parent_is_gone,
        a_child_without_a_change_changes_nothing,
        a_child_has_its_parents_id,
        a_parent_is_refused_while_its_child_lives,
        a_parent_that_commits_with_a_live_child_loses_both,
        a_parent_that_aborts_takes_all_below_with_it,
        only_write_txns_of_the_same_env_nest,
        readers_do_not_see_what_a_child_gave_before_its_parent_commits,
        a_handle_opened_in_a_child_is_valid_in_its_parent,
        a_table_made_in_an_aborted_child_is_unknown_to_its_parent,
        a_drop_in_a_child_counts_when_it_commits,
        a_table_dropped_and_made_again_in_a_child_is_the_new_one,
        a_rename_in_a_child_counts_when_it_commits,
        levels_that_never_used_a_table_carry_its_changes_up,
        a_handle_closed_and_reopened_in_a_child_finds_the_parents_changes,
        a_parents_cursor_keeps_its_place_across_a_childs_life,
        a_parents_cursor_whose_record_a_child_deleted_goes_on_from_there,
        a_childs_cursor_is_closed_with_it,
    };
    TCase *programs = tcase_create("programs");

    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
        harness_add_fixture(s, "nested", tests[i], setup, teardown);
    tcase_add_checked_fixture(programs, setup, teardown);
    tcase_set_timeout(programs, HARNESS_TIMEOUT_S);
    tcase_add_loop_test(programs, random_programs_five_levels_deep_do_as_the_model_says, 0, 3);
    suite_add_tcase(s, programs);
    return s;
}

HARNESS_MAIN(suite)
