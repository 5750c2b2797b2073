/* SPDX-License-Identifier: MIT */
/*
 * lib/space with regions of 256 pages, four inline entries and three entries an index page: random
 * txns and random readers against the model, over up to three levels of index pages.
 */
#include "harness.h"

#include <stdlib.h>
#include <string.h>

#include "kv.h"
#include "space_model.h"

/* What a series of random txns does. */
struct plan {
    uint64_t seed;
    unsigned txns;
    uint64_t pages_min, pages_max; /* data pages swing between these */
    unsigned run_percent;          /* allocations of more than one page */
    uint64_t run_max;
    unsigned changes_max;  /* in a txn */
    unsigned hold_percent; /* chance that a txn's snapshot is held */
};

static uint64_t data_pages(const struct model *m)
{
    uint64_t pages = 0;

    for (size_t i = 0; i < m->run_count; i++)
        pages += m->runs[i].count;
    return pages;
}

static void random_changes(struct model *m, struct rng *rng, const struct plan *plan, bool growing)
{
    uint64_t changes = rng_below(rng, plan->changes_max) + 1;
    uint64_t pages = data_pages(m);

    for (uint64_t i = 0; i < changes; i++) {
        bool grow = rng_chance(rng, growing ? 60 : 35) && pages < plan->pages_max;

        if (grow || m->run_count == 0) {
            uint64_t count =
                rng_chance(rng, plan->run_percent) ? rng_between(rng, 2, plan->run_max + 1) : 1;

            model_alloc(m, count);
            pages += count;
        } else {
            size_t index = rng_below(rng, m->run_count);

            pages -= m->runs[index].count;
            model_free(m, index);
        }
    }
}

static void random_readers(struct model *m, struct rng *rng, const struct plan *plan)
{
    if (m->held_count < MODEL_HELD_MAX && rng_chance(rng, plan->hold_percent))
        model_hold(m);
    if (m->held_count && rng_chance(rng, plan->hold_percent))
        model_drop(m, (unsigned)rng_below(rng, m->held_count));
}

static void run_plan(const struct plan *plan)
{
    struct model *m = model_new(4096);
    uint64_t txns = scaled(plan->txns);
    unsigned levels_seen = 0;
    bool growing = true;
    struct rng rng;

    rng_seed(&rng, "space", plan->seed);
    for (uint64_t t = 0; t < txns; t++) {
        uint64_t pages = data_pages(m);

        growing = growing ? pages < plan->pages_max : pages <= plan->pages_min;
        model_begin(m);
        random_changes(m, &rng, plan, growing);
        if (rng_chance(&rng, 10)) {
            model_abort(m);
        } else {
            model_commit(m);
            ck_assert_uint_le(m->bitmaps, m->regions_changed + m->indexes + 4);
        }
        levels_seen |= 1u << m->newest->snap.map_levels;
        random_readers(m, &rng, plan);
    }
    printf("levels seen: 0x%x, page_end %llu, data %llu\n", levels_seen,
           (unsigned long long)m->newest->snap.page_end, (unsigned long long)data_pages(m));
    model_delete(m);
}

START_TEST(map_is_what_the_model_says_after_every_random_txn)
{
    static const struct plan plans[] = {
        {11, 7500, 20, 700, 0, 1, 40, 20},     /* single pages, no index pages */
        {12, 7500, 10, 1500, 10, 20, 100, 10}, /* one level and back */
        {13, 1000, 10, 5000, 20, 60, 300, 5},  /* two levels */
        {14, 500, 10, 12000, 30, 100, 400, 2}, /* three levels */
        {15, 1500, 10, 9000, 5, 700, 60, 5},   /* runs longer than a region */
        {16, 10000, 5, 1300, 5, 5, 4, 30},     /* small txns, many readers */
        {17, 7500, 1000, 1100, 2, 3, 300, 2},  /* around a change of levels */
        {18, 2000, 3000, 3200, 0, 1, 600, 2},
    };

    run_plan(&plans[_i]);
}
END_TEST

/* ---- Levels ---- */

static void fill(struct model *m, uint64_t pages)
{
    for (uint64_t i = 0; i < pages; i++)
        model_alloc(m, 1);
}

static void free_all(struct model *m)
{
    while (m->run_count)
        model_free(m, m->run_count - 1);
}

START_TEST(map_gains_all_levels_in_one_txn_and_loses_them_in_one)
{
    struct model *m = model_new(4096);

    model_begin(m);
    fill(m, 20000);
    model_commit(m);
    ck_assert_uint_ge(m->newest->snap.map_levels, 3);
    model_begin(m);
    free_all(m);
    model_commit(m);
    for (int i = 0; i < 4; i++) { /* until no live snapshot holds low pages */
        model_begin(m);
        free_all(m);
        fill(m, 1);
        model_commit(m);
    }
    ck_assert_uint_eq(m->newest->snap.map_levels, 0);
    ck_assert_uint_lt(m->newest->snap.page_end, 32);
    model_delete(m);
}
END_TEST

START_TEST(page_end_may_stand_at_any_page_around_a_change_of_levels)
{
    for (uint64_t pages = 1000; pages < 1030; pages++) {
        struct model *m = model_new(4096);

        model_begin(m);
        fill(m, pages);
        model_commit(m);
        ck_assert_uint_eq(m->newest->snap.map_levels, m->newest->snap.page_end > 1024);
        model_begin(m);
        model_free(m, 0);
        model_alloc(m, 1);
        model_commit(m);
        model_delete(m);
    }
}
END_TEST

START_TEST(region_that_becomes_free_has_no_bitmap_any_more)
{
    struct model *m = model_new(4096);
    size_t i = 0;

    model_begin(m);
    fill(m, 900);
    model_commit(m);
    model_begin(m);
    while (i < m->run_count)
        if (m->runs[i].pgno / m->g.region_pages == 1)
            model_free(m, i);
        else
            i++;
    model_commit(m); /* model_check refuses an empty region with a bitmap */
    ck_assert_uint_eq(m->newest->snap.pages_map, 3);
    model_delete(m);
}
END_TEST

/* ---- Regions that empty ---- */

/* Frees the base's runs of a region but `keep`. */
static void free_region(struct model *m, uint64_t region, uint64_t keep)
{
    size_t i = 0;

    while (i < m->run_count) {
        bool here = m->runs[i].pgno / m->g.region_pages == region && !m->runs[i].fresh;

        if (here && keep == 0)
            model_free(m, i);
        else
            i++;
        keep -= here && keep;
    }
}

static void fill_to(struct model *m, uint64_t runs, uint64_t most)
{
    while (m->run_count < runs && most--)
        model_alloc(m, 1);
}

/* Fills regions to the last page, or frees nearly all of one, so that bitmaps stand in others'
 * regions. */
static void extreme_change(struct model *m, struct rng *rng, uint64_t runs)
{
    uint64_t region = rng_below(rng, m->newest->snap.page_end / m->g.region_pages + 1);

    switch (rng_below(rng, 5)) {
    case 0:
        free_region(m, region, 0);
        break;
    case 1:
        free_region(m, region, rng_below(rng, 5));
        break;
    case 2:
        fill_to(m, runs, rng_below(rng, rng_chance(rng, 50) ? 300 : 6));
        break;
    case 3:
        fill_to(m, runs, runs);
        break;
    default:
        for (uint64_t n = rng_below(rng, 6); n && m->run_count; n--)
            model_free(m, rng_below(rng, m->run_count));
        break;
    }
}

START_TEST(region_that_empties_during_the_commit_loses_its_new_bitmap)
{
    uint64_t series = scaled(400);

    for (uint64_t seed = 0; seed < series; seed++) {
        struct model *m = model_new(4096);
        struct rng rng;
        uint64_t runs;

        rng_init(&rng, seed);
        runs = rng_between(&rng, 200, 2500);
        for (int t = 0; t < 300; t++) {
            model_begin(m);
            for (uint64_t n = rng_below(&rng, 5); n; n--)
                extreme_change(m, &rng, runs);
            model_commit(m); /* model_check refuses a bitmap for nothing */
            if (m->held_count < 4 && rng_chance(&rng, 5))
                model_hold(m);
            if (m->held_count && rng_chance(&rng, 10))
                model_drop(m, 0);
        }
        model_delete(m);
    }
}
END_TEST

/* ---- Limits and damage ---- */

START_TEST(growth_that_is_refused_is_passed_on_and_changes_nothing)
{
    struct model *m = model_new(4096);
    uint64_t pgno;

    m->file_max = 40;
    model_begin(m);
    fill(m, 20);
    ck_rc(kvi_space_alloc(m->space, 30, &pgno), KV_ESIZELIMIT);
    ck_rc(kvi_space_alloc(m->space, 1000, &pgno), KV_ESIZELIMIT);
    model_commit(m);
    model_delete(m);
}
END_TEST

START_TEST(page_that_is_freed_twice_is_damage)
{
    struct model *m = model_new(4096);
    uint64_t old;
    uint64_t pgno;

    model_begin(m);
    old = model_alloc(m, 1);
    model_commit(m);
    model_begin(m);
    ck_ok(kvi_space_retire(m->space, old, 1));
    ck_rc(kvi_space_retire(m->space, old, 1), KV_ECORRUPT);
    ck_ok(kvi_space_alloc(m->space, 1, &pgno));
    ck_ok(kvi_space_release(m->space, pgno, 1));
    ck_rc(kvi_space_release(m->space, pgno, 1), KV_ECORRUPT);
    model_abort(m);
    model_delete(m);
}
END_TEST

START_TEST(pages_are_released_and_retired_only_by_whom_they_belong_to)
{
    struct model *m = model_new(4096);
    uint64_t old;
    uint64_t pgno;

    model_begin(m);
    old = model_alloc(m, 1);
    model_commit(m);
    model_begin(m);
    pgno = model_alloc(m, 1);
    ck_rc(kvi_space_release(m->space, old, 1), KV_ECORRUPT);
    ck_rc(kvi_space_retire(m->space, pgno, 1), KV_ECORRUPT);
    ck_rc(kvi_space_retire(m->space, 0, 1), KV_ECORRUPT);
    ck_rc(kvi_space_retire(m->space, m->g.meta_pgno_1, 1), KV_ECORRUPT);
    ck_rc(kvi_space_retire(m->space, m->g.meta_pgno_1 - 1, 3), KV_ECORRUPT);
    ck_rc(kvi_space_retire(m->space, KVI_PGNO_MAX, 1), KV_ECORRUPT);
    ck_rc(kvi_space_retire(m->space, old, UINT64_MAX), KV_ECORRUPT);
    model_abort(m);
    model_delete(m);
}
END_TEST

/* The map and snapshot pages of the newest snapshot. */
static int collect_page(void *context, struct kvi_ref ref, unsigned level, uint64_t region,
                        const struct kvi_map_entry *entry)
{
    uint64_t **next = context;

    (void)level;
    (void)region;
    (void)entry;
    *(*next)++ = ref.pgno;
    return 0;
}

static bool expected_of_damage(int rc)
{
    return rc == 0 || rc == KV_ECORRUPT || rc == KV_ESIZELIMIT;
}

/* A txn over a damaged map: results are damage or success, and it ends. */
static void txn_over_damage(struct model *m, struct rng *rng)
{
    uint8_t *snap_page = calloc(1, m->g.page_size);
    struct kvi_snap snap = m->newest->snap;
    int rc = 0;

    ck_ok(model_try_begin(m));
    for (int i = 0; i < 40 && !rc; i++) {
        uint64_t pgno;
        size_t index = rng_below(rng, m->run_count);

        if (rng_chance(rng, 50))
            rc =
                kvi_space_alloc(m->space, rng_chance(rng, 80) ? 1 : rng_between(rng, 2, 90), &pgno);
        else
            rc = kvi_space_retire(m->space, m->runs[index].pgno, 1);
    }
    ck_assert_msg(expected_of_damage(rc), "%d", rc);
    if (!rc)
        rc = kvi_space_commit(m->space, &snap, snap_page);
    ck_assert_msg(expected_of_damage(rc), "%d", rc);
    free(snap_page);
    model_abort(m);
}

START_TEST(damage_in_the_map_is_an_error_and_never_the_end_of_the_process)
{
    struct model *m = model_new(4096);
    struct rng rng;
    uint64_t pages[64];
    uint64_t *end = pages;
    struct kvi_space_snapshot source;

    rng_seed(&rng, "damage", 21);
    model_begin(m);
    fill(m, 5000);
    model_commit(m);
    m->trusting = true;
    m->file_max = 100000;
    source.page = m->file[m->newest->snap.pgno];
    source.page_end = m->newest->snap.page_end;
    source.map_count = m->newest->snap.map_count;
    source.map_levels = m->newest->snap.map_levels;
    ck_assert_uint_le(m->newest->snap.pages_map, 63);
    ck_ok(kvi_map_walk(&m->g, &m->io, &source, collect_page, &end));
    *end++ = m->newest->snap.pgno;
    for (uint64_t i = 0; i < scaled(20000); i++) {
        uint8_t *page = m->file[pages[rng_below(&rng, (uint64_t)(end - pages))]];
        uint8_t *kept = malloc(m->g.page_size);
        bool is_snap = page == m->file[m->newest->snap.pgno];

        memcpy(kept, page, m->g.page_size);
        for (uint64_t n = rng_below(&rng, 6) + 1; n; n--) {
            uint32_t at = is_snap ? KVI_SNAP_ENTRIES + (uint32_t)rng_below(&rng, 64)
                                  : KVI_HEADER_COUNT + (uint32_t)rng_below(&rng, 56);

            page[at] = rng_chance(&rng, 50) ? (uint8_t)rng_below(&rng, 4) : (uint8_t)rng_next(&rng);
        }
        txn_over_damage(m, &rng);
        memcpy(page, kept, m->g.page_size);
        free(kept);
    }
    model_delete(m);
}
END_TEST

START_TEST(entry_past_the_last_region_is_damage_to_a_walk)
{
    struct model *m = model_new(4096);
    struct kvi_space_snapshot source;
    uint64_t pages[8];
    uint64_t *end = pages;

    source.page = m->file[m->newest->snap.pgno];
    source.page_end = m->newest->snap.page_end;
    source.map_count = 2;
    source.map_levels = 0;
    memcpy(m->file[m->newest->snap.pgno] + KVI_SNAP_ENTRIES + KVI_MAP_ENTRY_BYTES,
           m->file[m->newest->snap.pgno] + KVI_SNAP_ENTRIES, KVI_MAP_ENTRY_BYTES);
    ck_rc(kvi_map_walk(&m->g, &m->io, &source, collect_page, &end), KV_ECORRUPT);
    model_delete(m);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("small space");

    harness_add_loop(s, "random", map_is_what_the_model_says_after_every_random_txn, 0, 8);
    harness_add(s, "levels", map_gains_all_levels_in_one_txn_and_loses_them_in_one);
    harness_add(s, "levels", page_end_may_stand_at_any_page_around_a_change_of_levels);
    harness_add(s, "levels", region_that_becomes_free_has_no_bitmap_any_more);
    harness_add(s, "empty", region_that_empties_during_the_commit_loses_its_new_bitmap);
    harness_add(s, "limits", growth_that_is_refused_is_passed_on_and_changes_nothing);
    harness_add(s, "damage", page_that_is_freed_twice_is_damage);
    harness_add(s, "damage", pages_are_released_and_retired_only_by_whom_they_belong_to);
    harness_add(s, "damage", damage_in_the_map_is_an_error_and_never_the_end_of_the_process);
    harness_add(s, "damage", entry_past_the_last_region_is_damage_to_a_walk);
    return s;
}

HARNESS_MAIN(suite)
