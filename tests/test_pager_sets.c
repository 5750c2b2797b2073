/* SPDX-License-Identifier: MIT */
/*
 * lib/pager/images and pgset beside plain arrays, and the pool.
 */
#include "harness.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pager/inside.h"

#define PAGES 5000u

/* ---- The dirty table ---- */

static void check_images(const struct kvi_images *images, const bool *in)
{
    size_t count = 0;
    size_t at = 0;

    for (uint64_t pgno = 1; pgno < PAGES; pgno++) {
        const struct kvi_image *image = kvi_images_find(images, pgno * 1024);

        ck_assert((image != NULL) == in[pgno]);
        ck_assert(!image || image->stamp == pgno);
        count += in[pgno];
    }
    ck_assert_uint_eq(images->count, count);
    while (kvi_images_next(images, &at))
        count--;
    ck_assert_uint_eq(count, 0);
}

/* Numbers that are multiples of 1024: a weak hash would put them into a few places. */
START_TEST(images_are_found_as_long_as_they_are_there)
{
    static bool in[PAGES];
    struct kvi_images images = {.slots = NULL};
    struct rng rng;

    memset(in, 0, sizeof(in));
    rng_seed(&rng, "images", 3);
    check_images(&images, in);
    for (unsigned round = 0; round < 40000; round++) {
        uint64_t pgno = rng_between(&rng, 1, PAGES);
        struct kvi_image *image = kvi_images_find(&images, pgno * 1024);

        ck_assert((image != NULL) == in[pgno]);
        if (image) {
            kvi_images_remove(&images, image);
        } else {
            struct kvi_image added = {.pgno = pgno * 1024, .pages = 1, .stamp = (uint32_t)pgno};

            ck_ok(kvi_images_reserve(&images, 1));
            kvi_images_add(&images, &added);
        }
        in[pgno] = !in[pgno];
        if (round % 4000 == 0)
            check_images(&images, in);
    }
    check_images(&images, in);
    kvi_images_release(&images);
    ck_assert_uint_eq(images.count, 0);
}
END_TEST

START_TEST(an_impossible_number_of_images_is_refused)
{
    struct kvi_images images = {.slots = NULL};

    ck_rc(kvi_images_reserve(&images, SIZE_MAX / 2), ENOMEM);
    ck_assert_ptr_null(images.slots);
}
END_TEST

/* ---- Sets of page numbers ---- */

#define SET_END 200000u

static void check_set(const struct kvi_pgset *set, const bool *in)
{
    uint64_t pgno = 0;
    uint64_t count;
    uint64_t seen = 0;

    while (kvi_pgset_next(set, &pgno, &count)) {
        for (uint64_t i = pgno; i < pgno + count; i++)
            ck_assert(in[i]);
        ck_assert(pgno == 0 || !in[pgno - 1]);
        ck_assert(!in[pgno + count]);
        seen += count;
        pgno += count;
    }
    ck_assert_uint_eq(seen, set->count);
    for (uint64_t i = 0; i < SET_END; i++)
        seen -= in[i];
    ck_assert_uint_eq(seen, 0);
}

START_TEST(sets_of_pages_agree_with_an_array)
{
    bool *in = calloc(SET_END + 1, 1);
    struct kvi_pgset set = {.chunks = NULL};
    struct rng rng;

    rng_seed(&rng, "pgset", 4);
    for (unsigned round = 0; round < 600; round++) {
        uint64_t pgno = rng_below(&rng, SET_END - 1000);
        uint64_t count = rng_between(&rng, 1, 1000);
        bool add = rng_chance(&rng, 60);
        bool all = true;

        for (uint64_t i = pgno; i < pgno + count; i++)
            all = all && in[i];
        ck_assert(kvi_pgset_has(&set, pgno, count) == all);
        if (add) {
            ck_ok(kvi_pgset_reserve(&set, pgno, count));
            kvi_pgset_add(&set, pgno, count);
        } else {
            kvi_pgset_remove(&set, pgno, count);
        }
        memset(in + pgno, add, count);
        if (round % 60 == 0)
            check_set(&set, in);
    }
    check_set(&set, in);
    kvi_pgset_release(&set);
    check_set(&set, memset(in, 0, SET_END));
    free(in);
}
END_TEST

START_TEST(a_set_moves_into_another)
{
    bool *in = calloc(SET_END + 1, 1);
    struct kvi_pgset a = {.chunks = NULL};
    struct kvi_pgset b = {.chunks = NULL};

    for (uint64_t i = 0; i < SET_END; i += 7) {
        struct kvi_pgset *set = i % 3 && i < SET_END / 2 ? &a : &b;

        ck_ok(kvi_pgset_reserve(set, i, 1));
        kvi_pgset_add(set, i, 1);
        in[i] = true;
    }
    ck_ok(kvi_pgset_reserve_all(&a, &b));
    kvi_pgset_move_all(&a, &b);
    check_set(&a, in);
    ck_assert_uint_eq(b.count, 0);
    ck_assert(!kvi_pgset_has(&b, 0, 1));
    kvi_pgset_release(&a);
    free(in);
}
END_TEST

/* ---- The pool ---- */

START_TEST(fresh_buffers_are_clear_and_kept_ones_come_back)
{
    struct kvi_pool *pool = kvi_pool_new(4096, 2);
    uint8_t *buffers[3];
    uint8_t *again[2];

    for (int i = 0; i < 3; i++) {
        buffers[i] = kvi_pool_get(pool);
        ck_assert_ptr_nonnull(buffers[i]);
        ck_assert_uint_eq((uintptr_t)buffers[i] % 64, 0);
        for (int at = 0; at < 4096; at++)
            ck_assert_uint_eq(buffers[i][at], 0);
        memset(buffers[i], 0xff, 4096);
    }
    for (int i = 0; i < 3; i++)
        kvi_pool_put(pool, buffers[i]);
    for (int i = 0; i < 2; i++) {
        again[i] = kvi_pool_get(pool);
        ck_assert(again[i] == buffers[0] || again[i] == buffers[1]);
    }
    kvi_pool_put(pool, again[0]);
    kvi_pool_put(pool, again[1]);
    kvi_pool_free(pool);
    kvi_pool_free(NULL);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("pager sets");

    harness_add(s, "images", images_are_found_as_long_as_they_are_there);
    harness_add(s, "images", an_impossible_number_of_images_is_refused);
    harness_add(s, "pgset", sets_of_pages_agree_with_an_array);
    harness_add(s, "pgset", a_set_moves_into_another);
    harness_add(s, "pool", fresh_buffers_are_clear_and_kept_ones_come_back);
    return s;
}

HARNESS_MAIN(suite)
