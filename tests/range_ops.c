/* SPDX-License-Identifier: MIT */
/* See range_ops.h. */
#include "range_ops.h"

#include <stdlib.h>
#include <string.h>

#include "tree/path.h"
#include "tree/range.h"

/* ---- The model's view of a range ---- */

static struct kvi_key key_of(const struct kv_val *val)
{
    return (struct kvi_key){val->data, val->size};
}

/* The first key of the model that is not below `key`, or, `behind`, that is above it. */
static uint32_t model_place(const struct model *model, struct kvi_key key, bool behind)
{
    uint32_t low = 0, end = model->count;

    while (low < end) {
        uint32_t middle = low + (end - low) / 2;
        const struct kvi_key *at = &model->keys[middle];
        int order = kvi_key_compare(at->data, at->size, key.data, key.size);

        if (order < 0 || (behind && order == 0)) {
            low = middle + 1;
        } else {
            end = middle;
        }
    }
    return low;
}

static bool begins_with(struct kvi_key key, const struct kv_val *prefix)
{
    return key.size >= prefix->size &&
           (prefix->size == 0 || memcmp(key.data, prefix->data, prefix->size) == 0);
}

void range_of_model(const struct model *model, const struct kv_range *range, uint32_t *low_out,
                    uint32_t *end_out)
{
    *low_out = 0;
    *end_out = model->count;
    if (range && range->prefix) {
        *low_out = model_place(model, key_of(range->prefix), false);
        *end_out = *low_out;
        while (*end_out < model->count && begins_with(model->keys[*end_out], range->prefix)) {
            ++*end_out;
        }
    }
    if (range && range->from) {
        *low_out = model_place(model, key_of(range->from), range->flags & KV_FROM_EXCLUSIVE);
    }
    if (range && range->to) {
        *end_out = model_place(model, key_of(range->to), range->flags & KV_TO_INCLUSIVE);
    }
    if (*end_out < *low_out) {
        *end_out = *low_out;
    }
}

/* ---- One delete ---- */

static uint32_t used(const struct kvi_geometry *g, const uint8_t *page)
{
    return g->page_size - kvi_node_free_bytes(g, page);
}

/* The child of a branch at a slot, NULL: none. */
static const uint8_t *child_of(struct kvi_tree *tree, const uint8_t *branch, unsigned level,
                               int slot)
{
    const uint8_t *page;
    struct kvi_ref ref;

    if (slot < 0 || slot >= (int)kvi_header_count(branch)) {
        return NULL;
    }
    ck_ok(kvi_tree_child(tree, branch, (unsigned)slot, &ref));
    ck_ok(kvi_tree_page(tree, ref, level - 1, &page));
    return page;
}

/* Bytes that two neighbours would take as one page. The separator between them is as long as any:
 * it does not matter for what this is asked for. */
static uint32_t together(struct kvi_tree *tree, const uint8_t *left, const uint8_t *right,
                         const struct kvi_branch_cell *between, uint32_t prefix_bytes)
{
    const struct kvi_geometry *g = kvi_tree_geometry(tree);
    unsigned count = 0, bytes;
    struct kvi_item *items =
        calloc(kvi_header_count(left) + kvi_header_count(right), sizeof(*items));
    uint8_t *scratch =
        malloc(kvi_gather_scratch_bytes(g, left) + kvi_gather_scratch_bytes(g, right) + 1);
    uint8_t *key = calloc(1, prefix_bytes + between->suffix_bytes + 1);
    ptrdiff_t used_bytes;

    used_bytes = kvi_node_gather(g, left, (struct kvi_key){NULL, 0}, items, &count, scratch);
    ck_assert_int_ge(used_bytes, 0);
    ck_assert_int_ge(kvi_node_gather(g, right,
                                     (struct kvi_key){key, prefix_bytes + between->suffix_bytes},
                                     items, &count, scratch + used_bytes),
                     0);
    bytes = kvi_items_bytes(g, (enum kvi_page_type)kvi_header_type(left), kvi_header_flags(left),
                            items, 0, count);
    free(key);
    free(scratch);
    free(items);
    return bytes;
}

/* T3: a page that holds little could not be merged with the one at the other slot. */
static void check_pair(struct kvi_tree *tree, const uint8_t *branch, unsigned level, int slot,
                       int other)
{
    const struct kvi_geometry *g = kvi_tree_geometry(tree);
    int right = slot > other ? slot : other;
    const uint8_t *page = child_of(tree, branch, level, slot);
    const uint8_t *beside = child_of(tree, branch, level, other);
    struct kvi_branch_cell between;
    uint32_t bytes;

    if (!beside || used(g, page) >= g->page_size / 4) {
        return;
    }
    ck_assert(kvi_branch_cell_at(g, branch, (unsigned)right, &between));
    bytes = together(tree, slot < other ? page : beside, slot < other ? beside : page, &between,
                     kvi_le_load16(branch + KVI_HEADER_PREFIX));
    ck_assert_msg(bytes > g->page_size / 10 * 9 - 8, "level %u: %u and %u bytes, %u together",
                  level - 1, used(g, page), used(g, beside), bytes);
}

static void check_fill(struct kvi_tree *tree, const struct kvi_path *path)
{
    for (unsigned i = 0; i + 1 < path->depth; i++) {
        const struct kvi_step *step = &path->steps[i];

        check_pair(tree, step->page, kvi_path_level(path, i), (int)step->slot, (int)step->slot - 1);
        check_pair(tree, step->page, kvi_path_level(path, i), (int)step->slot, (int)step->slot + 1);
    }
}

static void check_ends(struct kvi_tree *tree, const struct kvi_range *range)
{
    struct kvi_path path;

    ck_ok(kvi_range_place(tree, range->from_given ? &range->from : NULL, KVI_PATH_FIRST, &path));
    check_fill(tree, &path);
    ck_ok(kvi_range_place(tree, range->to_given ? &range->to : NULL, KVI_PATH_LAST, &path));
    check_fill(tree, &path);
}

void range_delete_checked(struct tree_db *db, struct model *model, const struct kv_range *range)
{
    struct kvi_tree *tree = tree_db_tree(db);
    uint32_t low, end, expected = 0;
    uint64_t deleted = UINT64_MAX;
    struct kvi_range places;

    range_of_model(model, range, &low, &end);
    for (uint32_t i = low; i < end; i++) {
        expected += model->values[i].present;
        model->values[i].present = false;
    }
    ck_ok(kvi_range_init(&places, &tree->shape, range));
    ck_ok(kvi_tree_delete_range(tree, &places, false, &deleted));
    ck_assert_uint_eq(deleted, expected);
    tree_db_check(tree);
    if (expected > 0 && tree->record.depth > 0) {
        check_ends(tree, &places);
    }
    kvi_range_release(&places);
    model_compare(model, tree);
}

/* ---- Random ones ---- */

#define CURSORS 3u

struct run {
    const struct range_plan *plan;
    struct tree_db db;
    struct model model;
    struct rng rng;
    struct model_value *saved[1 + TREE_DB_NEST_MAX];
    struct kvi_cursor *cursors[CURSORS];
    uint32_t at[CURSORS]; /* key numbers; MODEL_NONE: no position */
    uint8_t *bytes;
};

static void put_key(struct run *run, uint32_t number)
{
    struct model_value *value = &run->model.values[number];
    struct kvi_tree_put put = {run->bytes, 0, NULL};

    value->present = true;
    value->seed = rng_next(&run->rng);
    value->size_bytes = run->plan->large_values ? model_size(&run->rng, run->plan->page_size)
                                                : (uint32_t)rng_below(&run->rng, 150);
    model_fill(value->seed, value->size_bytes, run->bytes);
    put.size_bytes = value->size_bytes;
    ck_ok(kvi_tree_put(tree_db_tree(&run->db), run->model.keys[number], &put, 0));
}

/* Fills gaps: all keys of a piece, or some of all. */
static void put_some(struct run *run)
{
    uint32_t from = (uint32_t)rng_below(&run->rng, run->model.count);
    uint32_t end = from + (uint32_t)rng_below(&run->rng, run->model.count - from + 1);
    unsigned percent = 1 + (unsigned)rng_below(&run->rng, 100);

    for (uint32_t i = from; i < end; i++) {
        if (!run->model.values[i].present && rng_chance(&run->rng, percent)) {
            put_key(run, i);
        }
    }
}

static void place_cursors(struct run *run)
{
    for (unsigned i = 0; i < CURSORS; i++) {
        uint32_t number = (uint32_t)rng_below(&run->rng, run->model.count);
        struct kvi_key key;
        int rc;

        number = model_from(&run->model, number);
        run->at[i] = number;
        ck_ok(kvi_cursor_open(tree_db_tree(&run->db), &run->cursors[i]));
        if (number == MODEL_NONE) {
            continue;
        }
        key = run->model.keys[number];
        rc = kvi_cursor_get(run->cursors[i], KV_EXACT, &key, NULL);
        ck_ok(rc);
    }
}

/* A cursor whose record went stands before the one behind the range. */
static void expect_cursors(struct run *run)
{
    for (unsigned i = 0; i < CURSORS; i++) {
        uint32_t number = run->at[i];
        struct kvi_key key = {NULL, 0};
        bool there;
        int rc;

        if (number != MODEL_NONE) {
            there = run->model.values[number].present;
            rc = kvi_cursor_get(run->cursors[i], there ? KV_CURRENT : KV_NEXT, &key, NULL);
            number = model_from(&run->model, number);
            ck_rc(rc, number == MODEL_NONE ? KV_ENOTFOUND : 0);
            if (!rc) {
                model_expect(&run->model, number, key, NULL);
            }
        }
        kvi_cursor_close(run->cursors[i]);
    }
}

static uint32_t near_or_far(struct run *run, uint32_t number)
{
    uint64_t span = rng_chance(&run->rng, 50) ? 30 : run->model.count;
    uint32_t end = (uint32_t)(number + rng_below(&run->rng, span));

    return end < run->model.count ? end : run->model.count - 1;
}

static struct kv_val val_of(struct kvi_key key)
{
    return (struct kv_val){key.size, (void *)(uintptr_t)key.data};
}

static void delete_some(struct run *run)
{
    uint32_t low = (uint32_t)rng_below(&run->rng, run->model.count);
    uint32_t high = near_or_far(run, low);
    struct kv_range range = KV_RANGE_INIT;
    struct kv_val from, to;

    if (rng_chance(&run->rng, 5)) { /* from behind to */
        uint32_t swap = low;

        low = high;
        high = swap;
    }
    from = val_of(run->model.keys[low]);
    to = val_of(run->model.keys[high]);
    if (rng_chance(&run->rng, 10)) {
        from.size = rng_below(&run->rng, from.size + 1);
        range.prefix = &from;
    } else {
        range.from = rng_chance(&run->rng, 90) ? &from : NULL;
        range.to = rng_chance(&run->rng, 90) ? &to : NULL;
        range.flags = (uint32_t)rng_below(&run->rng, 4);
    }
    place_cursors(run);
    range_delete_checked(&run->db, &run->model, &range);
    expect_cursors(run);
}

static void begin(struct run *run)
{
    tree_db_begin(&run->db, (uint64_t)run->plan->budget_pages * run->plan->page_size);
    run->saved[0] = model_save(&run->model);
}

static void keep_or_restore(struct run *run, bool keep)
{
    struct model_value *saved = run->saved[run->db.nested];

    if (keep) {
        free(saved);
    } else {
        model_restore(&run->model, saved);
    }
}

static void unnest(struct run *run, bool commit)
{
    keep_or_restore(run, commit);
    tree_db_unnest(&run->db, commit);
    model_compare(&run->model, tree_db_tree(&run->db));
}

static void nest_or_unnest(struct run *run)
{
    bool deeper = rng_chance(&run->rng, 50);

    if (deeper && run->db.nested < TREE_DB_NEST_MAX) {
        tree_db_nest(&run->db);
        run->saved[run->db.nested] = model_save(&run->model);
    } else if (!deeper && run->db.nested > 0) {
        unnest(run, rng_chance(&run->rng, 60));
    }
}

static void end_txn(struct run *run)
{
    struct kvi_tree reader;
    bool commit = rng_chance(&run->rng, 80);

    while (run->db.nested > 0) {
        unnest(run, rng_chance(&run->rng, 60));
    }
    keep_or_restore(run, commit);
    if (commit) {
        tree_db_commit(&run->db);
    } else {
        tree_db_abort(&run->db);
    }
    tree_db_read(&run->db, &reader);
    tree_db_check(&reader);
    model_compare(&run->model, &reader);
    tree_db_check_claims(&run->db);
}

void range_run(const struct range_plan *plan)
{
    struct run *run = calloc(1, sizeof(*run));
    uint64_t steps = scaled(plan->steps);

    run->plan = plan;
    rng_seed(&run->rng, plan->name, plan->seed);
    tree_db_open(&run->db, plan->page_size);
    model_open(&run->model, plan->keys, plan->keys_count, run->db.geometry.key_bytes_max,
               &run->rng);
    run->bytes = malloc(8 * (size_t)plan->page_size);
    begin(run);
    for (uint64_t i = 0; i < steps; i++) {
        unsigned what = (unsigned)rng_below(&run->rng, 100);

        if (what < plan->nest_percent) {
            nest_or_unnest(run);
        } else if (what < plan->nest_percent + 4) {
            end_txn(run);
            begin(run);
        } else if (what < 40) {
            put_some(run);
        } else {
            delete_some(run);
        }
    }
    end_txn(run);
    free(run->bytes);
    model_close(&run->model);
    tree_db_close(&run->db);
    free(run);
}
