/* SPDX-License-Identifier: MIT */
/*
 * lib/space at its real size: bitmaps, the first map, reuse, runs, shrinking, and what a commit may
 * cost. The random series against the model are in test_small_space.c.
 */
#include "harness.h"

#include <stdlib.h>
#include <string.h>

#include "kv.h"
#include "space/bits.h"
#include "space_model.h"

#define WORDS 37u
#define BITS (WORDS * 64u)

/* ---- Bitmaps ---- */

static void random_bits(struct rng *rng, uint8_t *bits)
{
    unsigned density = (unsigned)rng_below(rng, 101);

    memset(bits, 0, BITS / 8);
    for (uint32_t i = 0; i < BITS; i++)
        if (rng_chance(rng, density))
            bits[i / 8] |= (uint8_t)(1u << (i % 8));
    for (uint64_t i = rng_below(rng, 4); i > 0; i--) { /* stretches that are looked at as one */
        uint64_t from = rng_below(rng, WORDS);

        memset(bits + from * 8, rng_chance(rng, 50) ? 0xff : 0, rng_below(rng, WORDS - from) * 8);
    }
}

START_TEST(counts_and_runs_of_a_bitmap_are_those_counted_bit_by_bit)
{
    struct rng rng;

    rng_seed(&rng, "bits", 31);
    for (uint64_t i = 0; i < scaled(10000); i++) {
        uint8_t bits[BITS / 8];
        uint32_t count = 0;
        uint32_t run = 0;
        uint32_t longest = 0;
        uint32_t end = 0;

        random_bits(&rng, bits);
        for (uint32_t b = 0; b < BITS; b++) {
            bool set = kvi_bits_test(bits, b);

            count += set;
            run = set ? 0 : run + 1;
            longest = run > longest ? run : longest;
            end = set ? b + 1 : end;
        }
        MUST(kvi_bits_count(bits, BITS) == count);
        MUST(kvi_bits_longest_clear(bits, BITS) == longest);
        MUST(kvi_bits_end(bits, BITS) == end);
    }
}
END_TEST

START_TEST(ranges_of_a_bitmap_change_and_tell_just_their_bits)
{
    struct rng rng;

    rng_seed(&rng, "ranges", 32);
    for (uint64_t i = 0; i < scaled(20000); i++) {
        uint8_t bits[BITS / 8];
        uint8_t before[BITS / 8];
        uint32_t from = (uint32_t)rng_below(&rng, BITS);
        uint32_t count = (uint32_t)rng_below(&rng, BITS - from + 1);
        bool set = rng_chance(&rng, 50);
        uint32_t ones = 0;

        random_bits(&rng, bits);
        memcpy(before, bits, sizeof(bits));
        for (uint32_t b = from; b < from + count; b++)
            ones += kvi_bits_test(bits, b);
        ck_assert_int_eq(kvi_bits_all_set(bits, from, count), ones == count);
        ck_assert_int_eq(kvi_bits_any_set(bits, from, count), ones != 0);
        if (set)
            kvi_bits_set(bits, from, count);
        else
            kvi_bits_clear(bits, from, count);
        for (uint32_t b = 0; b < BITS; b++)
            MUST(kvi_bits_test(bits, b) ==
                 (b >= from && b < from + count ? set : kvi_bits_test(before, b)));
    }
}
END_TEST

START_TEST(starts_of_runs_in_a_word_are_those_found_bit_by_bit)
{
    struct rng rng;

    rng_seed(&rng, "word runs", 33);
    for (uint64_t i = 0; i < scaled(20000); i++) {
        uint64_t word = rng_next(&rng) | rng_next(&rng) | rng_next(&rng);
        uint32_t count = (uint32_t)rng_between(&rng, 1, 65);
        uint64_t starts = kvi_bits_runs(word, count);

        for (uint32_t b = 0; b < 64; b++) {
            bool run = b + count <= 64;

            for (uint32_t k = b; run && k < b + count; k++)
                run = word >> k & 1;
            MUST((starts >> b & 1) == run);
        }
    }
}
END_TEST

/* ---- The first map ---- */

START_TEST(first_map_claims_its_pages_at_every_page_size)
{
    for (uint32_t size = KVI_PAGE_SIZE_MIN; size <= KVI_PAGE_SIZE_MAX; size *= 2) {
        struct model *m = model_new(size); /* checks the map */

        ck_assert_uint_eq(m->newest->snap.pages_used, 4);
        ck_assert_uint_eq(m->newest->snap.page_end,
                          m->g.meta_pgno_1 > 3 ? m->g.meta_pgno_1 + 1 : 4);
        model_begin(m);
        for (int i = 0; i < 40; i++)
            model_alloc(m, 1);
        model_commit(m);
        model_delete(m);
    }
}
END_TEST

/* ---- Order and reuse ---- */

static void fill(struct model *m, uint64_t pages)
{
    for (uint64_t i = 0; i < pages; i++)
        model_alloc(m, 1);
}

/* Frees `count` random runs of the base and allocates as many pages anew. */
static void overwrite(struct model *m, struct rng *rng, uint64_t count)
{
    model_begin(m);
    for (uint64_t i = 0; i < count; i++) {
        size_t index = rng_below(rng, m->run_count);
        uint64_t pages = m->runs[index].count;

        model_free(m, index);
        model_alloc(m, pages);
    }
    model_commit(m);
}

START_TEST(pages_are_handed_out_in_file_order)
{
    struct model *m = model_new(4096);
    struct rng rng;
    uint64_t last = 0;

    rng_seed(&rng, "order", 34);
    model_begin(m);
    fill(m, 5000);
    model_commit(m);
    for (int i = 0; i < 3; i++)
        overwrite(m, &rng, 500);
    model_begin(m);
    for (int i = 0; i < 2000; i++) {
        uint64_t pgno = model_alloc(m, 1);

        MUST(pgno > last);
        last = pgno;
    }
    model_commit(m);
    model_delete(m);
}
END_TEST

START_TEST(released_page_is_the_next_one_handed_out)
{
    struct model *m = model_new(4096);
    uint64_t pgno;
    uint64_t run;

    model_begin(m);
    fill(m, 10);
    pgno = m->runs[4].pgno;
    model_free(m, 4);
    ck_assert_uint_eq(model_alloc(m, 1), pgno);
    run = model_alloc(m, 300);
    model_free(m, m->run_count - 1);
    ck_assert_uint_eq(model_alloc(m, 300), run);
    ck_assert_uint_eq(kvi_space_allocated(m->space), 310);
    ck_assert_uint_eq(kvi_space_retired(m->space), 0);
    model_commit(m);
    model_delete(m);
}
END_TEST

START_TEST(retired_page_is_reused_only_when_no_live_snapshot_has_it)
{
    struct model *m = model_new(4096);
    uint64_t pgno;

    model_begin(m);
    pgno = model_alloc(m, 1);
    fill(m, 100);
    model_commit(m);
    model_hold(m);
    model_begin(m);
    model_free(m, 0);
    model_commit(m);
    for (int i = 0; i < 20; i++) {
        model_begin(m);
        ck_assert_uint_ne(model_alloc(m, 1), pgno);
        model_commit(m);
    }
    model_drop(m, 0);
    model_begin(m);
    ck_assert_uint_eq(model_alloc(m, 1), pgno);
    model_commit(m);
    model_delete(m);
}
END_TEST

START_TEST(file_does_not_grow_while_overwritten)
{
    struct model *m = model_new(4096);
    struct rng rng;

    rng_seed(&rng, "overwrite", 35);
    model_begin(m);
    fill(m, 40000);
    model_commit(m);
    for (uint64_t i = 0; i < scaled(100); i++) {
        overwrite(m, &rng, 1000);
        ck_assert_uint_le(m->bitmaps, m->regions_changed + 2);
    }
    /* The data, the map, and what the newest and the one before it hold of each other's. */
    ck_assert_uint_le(m->file_end, 40000 + 3 * 1000 + 100);
    model_delete(m);
}
END_TEST

START_TEST(file_does_not_grow_while_overwritten_by_a_process_without_memory)
{
    struct model *m = model_new(4096);
    struct rng rng;

    rng_seed(&rng, "no hints", 36);
    kvi_space_hints_free(m->hints);
    m->hints = NULL;
    model_begin(m);
    fill(m, 40000);
    model_commit(m);
    for (uint64_t i = 0; i < scaled(60); i++)
        overwrite(m, &rng, 1000);
    ck_assert_uint_le(m->file_end, 40000 + 3 * 1000 + 100);
    model_delete(m);
}
END_TEST

START_TEST(pinned_reader_costs_its_own_pages_and_the_file_shrinks_when_it_ends)
{
    struct model *m = model_new(4096);
    struct rng rng;

    rng_seed(&rng, "pinned", 37);
    model_begin(m);
    fill(m, 4300);
    model_commit(m);
    model_hold(m);
    for (int i = 0; i < 400; i++)
        overwrite(m, &rng, 880);
    ck_assert_uint_lt(m->newest->snap.page_end, 3 * 4300);
    model_drop(m, 0);
    for (int i = 0; i < 100; i++)
        overwrite(m, &rng, 880);
    ck_assert_uint_lt(m->newest->snap.page_end, 4300 * 3 / 2);
    model_delete(m);
}
END_TEST

START_TEST(page_end_falls_when_data_is_deleted)
{
    struct model *m = model_new(4096);
    struct rng rng;

    rng_seed(&rng, "delete", 38);
    model_begin(m);
    fill(m, 70000);
    model_commit(m);
    while (m->run_count > 1000) {
        model_begin(m);
        for (int i = 0; i < 3000 && m->run_count > 1000; i++)
            model_free(m, rng_below(&rng, m->run_count));
        model_commit(m);
    }
    for (int i = 0; i < 40; i++)
        overwrite(m, &rng, 300);
    ck_assert_uint_lt(m->newest->snap.page_end, 2000);
    ck_assert_uint_eq(m->newest->snap.pages_map, 1);
    model_delete(m);
}
END_TEST

/* ---- Runs ---- */

START_TEST(run_is_reused_where_it_fits)
{
    struct model *m = model_new(4096);
    uint64_t pgno;

    model_begin(m);
    fill(m, 100);
    pgno = model_alloc(m, 257);
    fill(m, 100);
    model_commit(m);
    model_begin(m);
    for (size_t i = 0; i < m->run_count; i++)
        if (m->runs[i].count == 257)
            model_free(m, i);
    model_commit(m);
    model_begin(m);
    model_commit(m);
    model_begin(m);
    ck_assert_uint_ge(model_alloc(m, 250), pgno);
    ck_assert_uint_lt(m->runs[m->run_count - 1].pgno, pgno + 7);
    model_commit(m);
    model_delete(m);
}
END_TEST

START_TEST(run_lies_in_one_region_unless_it_is_longer)
{
    struct model *m = model_new(4096);
    uint32_t pages = m->g.region_pages;

    model_begin(m);
    for (int i = 0; i < 5; i++) {
        uint64_t pgno = model_alloc(m, 20000);

        ck_assert_uint_eq(pgno / pages, (pgno + 19999) / pages);
    }
    model_alloc(m, pages);
    model_alloc(m, pages * 2 + 77);
    fill(m, 30000); /* into the gaps */
    model_commit(m);
    ck_assert_uint_lt(m->newest->snap.page_end, pages * 10);
    model_begin(m);
    while (m->run_count)
        model_free(m, m->run_count - 1);
    model_commit(m);
    model_delete(m);
}
END_TEST

/* A file with `free_pages` single free pages, every other one, that no live snapshot holds. */
static struct model *fragmented(uint64_t free_pages)
{
    struct model *m = model_new(4096);
    size_t i = 0;

    model_begin(m);
    fill(m, free_pages * 2);
    model_commit(m);
    model_begin(m);
    while (i < m->run_count)
        if (m->runs[i].pgno % 2)
            model_free(m, i);
        else
            i++;
    model_commit(m);
    for (int n = 0; n < 2; n++) {
        model_begin(m);
        model_commit(m);
    }
    return m;
}

START_TEST(large_value_in_a_fragmented_file_is_not_searched_for)
{
    struct model *m = fragmented(200000);
    uint64_t reads;

    for (int i = 0; i < 3; i++) {
        uint64_t end = m->newest->snap.page_end;

        model_begin(m);
        reads = m->reads;
        ck_assert_uint_ge(model_alloc(m, 257), end);
        ck_assert_uint_le(m->reads - reads, 8); /* the last region's and the new one's bitmaps */
        model_commit(m);
    }
    model_delete(m);
}
END_TEST

START_TEST(small_commit_looks_at_few_bitmaps_however_many_pages_are_free)
{
    struct model *m = fragmented(200000);
    struct rng rng;

    rng_seed(&rng, "small commits", 39);
    for (int i = 0; i < 10; i++) {
        uint64_t reads = m->reads;

        model_begin(m);
        for (int n = 0; n < 3; n++) {
            model_free(m, rng_below(&rng, m->run_count));
            model_alloc(m, 1);
        }
        ck_assert_uint_le(m->reads - reads, 3 * 4); /* four regions, of at most three maps each */
        model_commit(m);
        ck_assert_uint_le(m->bitmaps, 5);
    }
    model_delete(m);
}
END_TEST

/* ---- Reading maps ---- */

static int count_range(void *context, uint64_t pgno, uint64_t count)
{
    struct model *m = context;

    for (uint64_t p = pgno; p < pgno + count; p++)
        MUST(p >= m->newest->pages || !m->newest->claims[p]);
    m->regions_changed += count; /* borrowed as a sum */
    return 0;
}

static int stop_at_once(void *context, uint64_t pgno, uint64_t count)
{
    (void)context;
    (void)pgno;
    (void)count;
    return 77;
}

START_TEST(free_ranges_are_what_nobody_claims)
{
    struct model *m = model_new(4096);
    uint64_t free_pages = 0;

    model_begin(m);
    fill(m, 40000);
    model_commit(m);
    model_begin(m);
    for (int i = 0; i < 20000; i++)
        model_free(m, (size_t)i);
    model_commit(m);
    model_begin(m);
    model_commit(m);
    model_begin(m);
    for (uint64_t p = 0; p < m->newest->pages; p++)
        free_pages += !m->newest->claims[p];
    m->regions_changed = 0;
    ck_ok(kvi_space_free_ranges(m->space, 1, count_range, m));
    ck_assert_uint_ge(m->regions_changed, free_pages - 10); /* those of the one before are held */
    ck_assert_uint_le(m->regions_changed, free_pages);
    ck_rc(kvi_space_free_ranges(m->space, 1, stop_at_once, m), 77);
    m->regions_changed = 0;
    ck_ok(kvi_space_free_ranges(m->space, 1000000, count_range, m));
    ck_assert_uint_eq(m->regions_changed, 0);
    model_abort(m);
    model_delete(m);
}
END_TEST

static struct kvi_space_snapshot source_of(struct model *m, struct model_snapshot *s)
{
    struct kvi_space_snapshot source = {m->file[s->snap.pgno], s->snap.page_end, s->snap.map_count,
                                        s->snap.map_levels};

    return source;
}

START_TEST(pages_that_one_snapshot_alone_holds_are_counted)
{
    struct model *m = model_new(4096);
    struct kvi_space_snapshot old;
    struct kvi_space_snapshot others[2];
    struct rng rng;
    uint64_t pages;
    uint64_t expected = 0;

    rng_seed(&rng, "only", 40);
    model_begin(m);
    fill(m, 70000);
    model_commit(m);
    model_hold(m);
    for (int i = 0; i < 4; i++)
        overwrite(m, &rng, 700);
    old = source_of(m, m->held[0]);
    others[0] = source_of(m, m->newest);
    others[1] = source_of(m, m->previous);
    for (uint64_t p = 0; p < m->held[0]->pages; p++)
        expected += m->held[0]->claims[p] && !m->newest->claims[p] && !m->previous->claims[p];
    ck_ok(kvi_map_only(&m->g, &m->io, &old, others, 2, &pages));
    ck_assert_uint_eq(pages, expected);
    ck_assert_uint_gt(pages, 2000);
    ck_ok(kvi_map_only(&m->g, &m->io, &old, &old, 1, &pages));
    ck_assert_uint_eq(pages, 0);
    ck_ok(kvi_map_only(&m->g, &m->io, &old, NULL, 0, &pages));
    ck_assert_uint_eq(pages, m->held[0]->snap.pages_used);
    model_delete(m);
}
END_TEST

START_TEST(claims_of_any_page_number_are_told)
{
    struct model *m = model_new(4096);
    struct kvi_space_snapshot source;
    bool claims;

    model_begin(m);
    fill(m, 33000);
    model_commit(m);
    source = source_of(m, m->newest);
    for (uint64_t p = 0; p < m->newest->pages + 100; p++) {
        MUST(kvi_map_claims(&m->g, &m->io, &source, p, &claims) == 0);
        MUST(claims == (p < m->newest->pages && m->newest->claims[p]));
    }
    ck_ok(kvi_map_claims(&m->g, &m->io, &source, UINT64_MAX, &claims));
    ck_assert(!claims);
    model_delete(m);
}
END_TEST

static int skip_all(void *context, struct kvi_ref ref, unsigned level, uint64_t region,
                    const struct kvi_map_entry *entry)
{
    (void)ref;
    (void)level;
    (void)region;
    (void)entry;
    ++*(int *)context;
    return KVI_MAP_SKIP;
}

START_TEST(walk_of_a_map_skips_what_it_is_told_to)
{
    struct model *m = model_new(4096);
    struct kvi_space_snapshot source;
    int calls = 0;

    model_begin(m);
    fill(m, 70000);
    model_commit(m);
    source = source_of(m, m->newest);
    ck_ok(kvi_map_walk(&m->g, &m->io, &source, skip_all, &calls));
    ck_assert_int_eq(calls, 3);
    model_delete(m);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("space");

    harness_add(s, "bits", counts_and_runs_of_a_bitmap_are_those_counted_bit_by_bit);
    harness_add(s, "bits", ranges_of_a_bitmap_change_and_tell_just_their_bits);
    harness_add(s, "bits", starts_of_runs_in_a_word_are_those_found_bit_by_bit);
    harness_add(s, "create", first_map_claims_its_pages_at_every_page_size);
    harness_add(s, "reuse", pages_are_handed_out_in_file_order);
    harness_add(s, "reuse", released_page_is_the_next_one_handed_out);
    harness_add(s, "reuse", retired_page_is_reused_only_when_no_live_snapshot_has_it);
    harness_add(s, "reuse", file_does_not_grow_while_overwritten);
    harness_add(s, "reuse", file_does_not_grow_while_overwritten_by_a_process_without_memory);
    harness_add(s, "reuse", pinned_reader_costs_its_own_pages_and_the_file_shrinks_when_it_ends);
    harness_add(s, "reuse", page_end_falls_when_data_is_deleted);
    harness_add(s, "runs", run_is_reused_where_it_fits);
    harness_add(s, "runs", run_lies_in_one_region_unless_it_is_longer);
    harness_add(s, "runs", large_value_in_a_fragmented_file_is_not_searched_for);
    harness_add(s, "runs", small_commit_looks_at_few_bitmaps_however_many_pages_are_free);
    harness_add(s, "reading", free_ranges_are_what_nobody_claims);
    harness_add(s, "reading", pages_that_one_snapshot_alone_holds_are_counted);
    harness_add(s, "reading", claims_of_any_page_number_are_told);
    harness_add(s, "reading", walk_of_a_map_skips_what_it_is_told_to);
    return s;
}

HARNESS_MAIN(suite)
