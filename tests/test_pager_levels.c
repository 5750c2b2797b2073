/* SPDX-License-Identifier: MIT */
/*
 * lib/pager: nested txns, and everything at random beside a model. Also compiled with small limits,
 * by test_small_pager_levels.c.
 */
#include "test_pager_start.h"

/* ---- Nested txns ---- */

START_TEST(an_aborted_child_leaves_no_trace)
{
    struct tree inner;
    struct kvi_pager *child;
    uint64_t allocated;
    uint64_t retired;

    ck_ok(tree_set_value(&tree, txn.pager, 1, 901));
    ck_ok(tree_set_run(&tree, txn.pager, 2, 9000, 902, false));
    ck_ok(tree_set_run(&tree, txn.pager, 3, 90000, 903, false));
    allocated = kvi_space_allocated(txn.space);
    retired = kvi_space_retired(txn.space);
    child = open_child(txn.pager, 0);
    inner = tree_copy(&tree);
    for (unsigned n = 0; n < tree_count(&tree); n++)
        ck_ok(tree_replace_leaf(&inner, child, n, n));
    for (unsigned n = 0; n < tree_count(&tree); n++)
        ck_ok(tree_set_run(&inner, child, n, 5000 + n * 5000, n, n & 1));
    ck_ok(kvi_pager_spill(child));
    tree_check_pager(&inner, child);
    ck_assert_uint_eq(kvi_space_retired(txn.space), retired);
    kvi_pager_close(child);
    tree_free(&inner);
    ck_assert_uint_eq(kvi_space_allocated(txn.space), allocated);
    ck_assert_uint_eq(kvi_space_retired(txn.space), retired);
    ck_assert_uint_gt(kvi_pager_written(txn.pager), 0);
    tree_check_pager(&tree, txn.pager);
    txn_commit(&txn, &tree.root, TREE_DEPTH);
    tree_check_snapshot(&tree, &db, &db.base);
}
END_TEST

START_TEST(a_child_never_changes_its_parents_pages)
{
    struct kvi_pager *child;
    struct tree inner;
    const uint8_t *root;
    uint8_t *page;

    ck_ok(tree_set_value(&tree, txn.pager, 1, 901));
    ck_ok(kvi_pager_page(txn.pager, tree.root, KVI_PAGE_BRANCH, 2, &root));
    child = open_child(txn.pager, BUDGET);
    inner = tree_copy(&tree);
    ck_ok(kvi_pager_touch(child, &inner.root, KVI_PAGE_BRANCH, 2, &page));
    ck_assert_ptr_ne(page, root);
    ck_assert_uint_ne(inner.root.pgno, tree.root.pgno);
    ck_ok(tree_set_value(&inner, child, 1, 902));
    tree_check_pager(&inner, child);
    kvi_pager_close(child);
    tree_free(&inner);
    tree_check_pager(&tree, txn.pager);
    txn_end(&txn);
}
END_TEST

START_TEST(a_page_with_a_run_of_the_parent_is_not_spilled_by_the_child)
{
    struct kvi_pager *child;

    for (unsigned n = 0; n < tree_count(&tree); n++)
        ck_ok(tree_set_run(&tree, txn.pager, n, 3000, n, false));
    child = open_child(txn.pager, 0);
    for (unsigned n = 0; n < tree_count(&tree); n++)
        ck_ok(tree_set_value(&tree, child, n, 800 + n));
    ck_ok(kvi_pager_spill(child));
    ck_assert_uint_ge(kvi_pager_dirty_count(child), tree_count(&tree));
    tree_check_pager(&tree, child);
    ck_ok(kvi_pager_merge(child));
    ck_ok(kvi_pager_spill(txn.pager));
    ck_assert_uint_lt(kvi_pager_dirty_count(txn.pager), tree_count(&tree));
    txn_commit(&txn, &tree.root, TREE_DEPTH);
    tree_check_snapshot(&tree, &db, &db.base);
}
END_TEST

START_TEST(three_levels_merge_into_one)
{
    struct kvi_pager *level[4] = {txn.pager};

    for (unsigned d = 0; d < 4; d++) {
        if (d)
            level[d] = open_child(level[d - 1], 0);
        ck_ok(tree_set_value(&tree, level[d], d, 100 + d));
        ck_ok(tree_set_run(&tree, level[d], 5 + d, 3000 + 30000 * d, 200 + d, false));
        ck_ok(tree_set_run(&tree, level[d], 10, 10000 + d, 300 + d, d & 1));
        ck_ok(tree_replace_leaf(&tree, level[d], 15 + d, 400 + d));
        if (d & 1)
            ck_ok(kvi_pager_spill(level[d]));
    }
    tree_check_pager(&tree, level[3]);
    for (unsigned d = 3; d > 0; d--) {
        ck_ok(kvi_pager_merge(level[d]));
        tree_check_pager(&tree, level[d - 1]);
    }
    txn_commit(&txn, &tree.root, TREE_DEPTH);
    db_remap(&db);
    tree_check_snapshot(&tree, &db, &db.base);
}
END_TEST

START_TEST(a_page_freed_twice_by_a_child_breaks_the_parent)
{
    struct kvi_pager *child = open_child(txn.pager, BUDGET);
    struct kvi_ref root = tree.root;
    uint8_t *page;

    ck_ok(kvi_pager_free(child, root));
    ck_ok(kvi_pager_free(child, root));
    ck_rc(kvi_pager_merge(child), KV_ECORRUPT);
    kvi_pager_close(child);
    ck_rc(kvi_pager_touch(txn.pager, &root, KVI_PAGE_BRANCH, 2, &page), KV_ECORRUPT);
    ck_rc(kvi_pager_write(txn.pager, NULL, 0), KV_ECORRUPT);
    txn_end(&txn);
}
END_TEST

/* ---- Everything at random, beside a model ---- */

#define LEVELS_MAX 4

struct player {
    struct rng *rng;
    struct kvi_pager *pager[LEVELS_MAX];
    struct tree tree[LEVELS_MAX];
    unsigned depth;
};

static void player_nest(struct player *p)
{
    p->pager[p->depth + 1] = open_child(p->pager[p->depth], rng_chance(p->rng, 50) ? 0 : BUDGET);
    p->tree[p->depth + 1] = tree_copy(&p->tree[p->depth]);
    p->depth++;
}

static void player_unnest(struct player *p, bool commit)
{
    unsigned d = p->depth--;

    if (commit) {
        ck_ok(kvi_pager_merge(p->pager[d]));
        tree_free(&p->tree[d - 1]);
        p->tree[d - 1] = p->tree[d];
    } else {
        kvi_pager_close(p->pager[d]);
        tree_free(&p->tree[d]);
    }
}

static uint32_t pick_run_bytes(struct rng *rng)
{
    return (uint32_t)rng_between(rng, 1, rng_chance(rng, 70) ? 12000 : RUN_BYTES_MAX);
}

static void player_change(struct player *p)
{
    struct kvi_pager *pager = p->pager[p->depth];
    struct tree *t = &p->tree[p->depth];
    unsigned n = (unsigned)rng_below(p->rng, tree_count(t));
    uint64_t seed = rng_next(p->rng);
    unsigned dice = (unsigned)rng_below(p->rng, 100);

    if (dice < 60)
        ck_ok(tree_set_value(t, pager, n, seed));
    else if (dice < 80)
        ck_ok(tree_set_run(t, pager, n, pick_run_bytes(p->rng), seed, seed & 1));
    else if (dice < 90)
        ck_ok(tree_drop_run(t, pager, n));
    else
        ck_ok(tree_replace_leaf(t, pager, n, seed));
    if (kvi_pager_over_budget(pager))
        ck_ok(kvi_pager_spill(pager));
}

static void player_step(struct player *p)
{
    unsigned dice = (unsigned)rng_below(p->rng, 100);

    if (dice < 5 && p->depth + 1 < LEVELS_MAX)
        player_nest(p);
    else if (dice < 10 && p->depth > 0)
        player_unnest(p, rng_chance(p->rng, 60));
    else if (dice < 13)
        ck_ok(kvi_pager_spill(p->pager[p->depth]));
    else if (dice < 14)
        tree_check_pager(&p->tree[p->depth], p->pager[p->depth]);
    else
        player_change(p);
}

/* One txn. Returns whether it was committed; the tree is then the new one. */
static bool play_txn(struct rng *rng, struct tree *t)
{
    struct player p = {.rng = rng};

    txn_begin(&txn, &db, rng_chance(rng, 50) ? 0 : BUDGET);
    p.pager[0] = txn.pager;
    p.tree[0] = tree_copy(t);
    for (uint64_t steps = rng_below(rng, 120); steps > 0; steps--)
        player_step(&p);
    while (p.depth)
        player_unnest(&p, rng_chance(rng, 60));
    tree_check_pager(&p.tree[0], txn.pager);
    if (rng_chance(rng, 25)) {
        txn_end(&txn);
        tree_free(&p.tree[0]);
        return false;
    }
    txn_commit(&txn, &p.tree[0].root, TREE_DEPTH);
    tree_free(t);
    *t = p.tree[0];
    return true;
}

START_TEST(a_txn_without_changes_changes_nothing)
{
    struct kvi_pager *child = open_child(txn.pager, BUDGET);

    ck_ok(kvi_pager_spill(child));
    ck_ok(kvi_pager_merge(child));
    ck_assert_uint_eq(kvi_space_allocated(txn.space), 0);
    ck_assert_uint_eq(kvi_space_retired(txn.space), 0);
    ck_assert_uint_eq(kvi_pager_written(txn.pager), 0);
    txn_commit(&txn, &tree.root, TREE_DEPTH);
    tree_check_snapshot(&tree, &db, &db.base);
}
END_TEST

START_TEST(random_txns_agree_with_a_model)
{
    struct tree pinned = {.model = NULL};
    struct rng rng;

    txn_end(&txn);
    rng_seed(&rng, "model", 20 + (uint64_t)_i);
    for (uint64_t i = 0; i < scaled(60); i++) {
        if (rng_chance(&rng, 10) && !pinned.model) {
            db_pin(&db);
            pinned = tree_copy(&tree);
        } else if (rng_chance(&rng, 10) && pinned.model) {
            tree_check_snapshot(&pinned, &db, &db.pinned);
            db_unpin(&db);
            tree_free(&pinned);
        }
        play_txn(&rng, &tree);
        if (rng_chance(&rng, 30))
            db_remap(&db);
        tree_check_snapshot(&tree, &db, &db.base);
        if (pinned.model)
            tree_check_snapshot(&pinned, &db, &db.pinned);
    }
    tree_free(&pinned);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("pager levels");

#define ADD(name, test) harness_add_fixture(s, name, test, setup_tree, teardown)
    ADD("nested", an_aborted_child_leaves_no_trace);
    ADD("nested", a_child_never_changes_its_parents_pages);
    ADD("nested", a_page_with_a_run_of_the_parent_is_not_spilled_by_the_child);
    ADD("nested", three_levels_merge_into_one);
    ADD("nested", a_page_freed_twice_by_a_child_breaks_the_parent);
    ADD("model", a_txn_without_changes_changes_nothing);
    harness_add_loop(s, "model", random_txns_agree_with_a_model, 0, 4);
    return s;
}

HARNESS_MAIN(suite)
