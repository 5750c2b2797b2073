/* SPDX-License-Identifier: MIT */
/*
 * lib/format/layout.h: geometry, references, page headers, checksums of pages and runs.
 */
#include "harness.h"

#include <stdlib.h>
#include <string.h>

#include "base/checksum.h"
#include "format/layout.h"

/* ---- Geometry ---------------------------------------------------------------------------------
 */

START_TEST(geometry_of_a_4_kib_page_is_as_the_format_says)
{
    struct kvi_geometry g;

    ck_assert(kvi_geometry_init(&g, 4096));
    ck_assert_uint_eq(g.page_size, 4096);
    ck_assert_uint_eq(g.page_shift, 12);
    ck_assert_uint_eq(g.region_pages, 32512);
    ck_assert_uint_eq(g.map_inline, 232);
    ck_assert_uint_eq(g.map_fanout, 254);
    ck_assert_uint_eq(g.key_bytes_max, 1980);
    ck_assert_uint_eq(g.cell_bytes_max, 2026);
    ck_assert_uint_eq(g.one_flush_pages, 1024);
    ck_assert_uint_eq(g.meta_pgno_1, 16);
}
END_TEST

START_TEST(geometry_of_a_64_kib_page_is_as_the_format_says)
{
    struct kvi_geometry g;

    ck_assert(kvi_geometry_init(&g, 65536));
    ck_assert_uint_eq(g.page_shift, 16);
    ck_assert_uint_eq(g.region_pages, 524032);
    ck_assert_uint_eq(g.map_inline, 4072);
    ck_assert_uint_eq(g.map_fanout, 4094);
    ck_assert_uint_eq(g.key_bytes_max, 32700);
    ck_assert_uint_eq(g.cell_bytes_max, 32746);
    ck_assert_uint_eq(g.one_flush_pages, 64);
    ck_assert_uint_eq(g.meta_pgno_1, 1);
}
END_TEST

START_TEST(geometry_takes_powers_of_two_from_4_to_64_kib_only)
{
    static const uint32_t bad[] = {0, 1, 31, 512, 2048, 4095, 4097, 6144, 65535, 131072, 1u << 31};
    struct kvi_geometry g;

    for (uint32_t size = 4096; size <= 65536; size *= 2)
        ck_assert(kvi_geometry_init(&g, size));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_msg(!kvi_geometry_init(&g, bad[i]), "page size %u", bad[i]);
}
END_TEST

START_TEST(two_of_the_largest_cells_fill_a_page)
{
    struct kvi_geometry g;

    for (uint32_t size = 4096; size <= 65536; size *= 2) {
        ck_assert(kvi_geometry_init(&g, size));
        ck_assert_uint_eq(KVI_HEADER_BYTES + 2 * (g.cell_bytes_max + KVI_SLOT_BYTES), size);
    }
}
END_TEST

START_TEST(run_of_a_large_value_holds_the_header_and_the_value)
{
    struct kvi_geometry g;

    ck_assert(kvi_geometry_init(&g, 4096));
    ck_assert_uint_eq(kvi_run_pages(&g, 1), 1);
    ck_assert_uint_eq(kvi_run_pages(&g, 4064), 1);
    ck_assert_uint_eq(kvi_run_pages(&g, 4065), 2);
    ck_assert_uint_eq(kvi_run_pages(&g, KVI_VALUE_BYTES_MAX), (KVI_VALUE_BYTES_MAX >> 12) + 1);
}
END_TEST

/* ---- References and headers --------------------------------------------------------------------
 */

START_TEST(reference_is_pgno_then_tag)
{
    struct kvi_ref ref = {0x060504030201, 0x0a090807};
    uint8_t bytes[12];

    memset(bytes, 0xee, sizeof(bytes));
    kvi_ref_store(bytes, ref);
    ck_assert_mem_eq(bytes, "\1\2\3\4\5\6\7\10\11\12\xee\xee", 12);
    ref = kvi_ref_load(bytes);
    ck_assert_uint_eq(ref.pgno, 0x060504030201);
    ck_assert_uint_eq(ref.tag, 0x0a090807);
}
END_TEST

START_TEST(header_init_sets_identity_and_zeroes_the_rest)
{
    uint8_t page[40];

    memset(page, 0xee, sizeof(page));
    kvi_header_init(page, KVI_PAGE_BRANCH, 3, KVI_PGNO_MAX, 0x1122334455667788);
    ck_assert_uint_eq(kvi_header_checksum(page), 0);
    ck_assert_uint_eq(kvi_header_pgno(page), KVI_PGNO_MAX);
    ck_assert_uint_eq(kvi_header_type(page), KVI_PAGE_BRANCH);
    ck_assert_uint_eq(kvi_header_level(page), 3);
    ck_assert_uint_eq(kvi_header_txnid(page), 0x1122334455667788);
    ck_assert_uint_eq(kvi_header_count(page), 0);
    ck_assert_uint_eq(kvi_header_run_size(page), 0);
    ck_assert_uint_eq(page[32], 0xee);
}
END_TEST

/* ---- Checksums ---------------------------------------------------------------------------------
 */

static uint8_t *new_page(const struct kvi_geometry *g, enum kvi_page_type type, size_t size_bytes)
{
    struct rng rng;
    uint8_t *page = malloc(size_bytes);

    rng_init(&rng, 7);
    rng_bytes(&rng, page, size_bytes);
    kvi_header_init(page, type, 0, 5, 9);
    (void)g;
    return page;
}

START_TEST(sealed_page_is_sound_and_tells_its_tag)
{
    struct kvi_geometry g;
    uint8_t *page;
    uint32_t tag;

    ck_assert(kvi_geometry_init(&g, 4096));
    page = new_page(&g, KVI_PAGE_LEAF, 4096);
    ck_assert_uint_eq(kvi_page_covered(&g, page), 4096);
    tag = kvi_page_seal(&g, page);
    ck_assert_uint_ne(tag, 0);
    ck_assert_uint_eq(tag, (uint32_t)kvi_checksum(page + 8, 4088));
    ck_assert_uint_eq(tag, kvi_page_tag(page));
    ck_assert(kvi_page_sound(&g, page));
    free(page);
}
END_TEST

START_TEST(any_changed_byte_makes_a_page_unsound)
{
    struct kvi_geometry g;
    uint8_t *page;

    ck_assert(kvi_geometry_init(&g, 4096));
    page = new_page(&g, KVI_PAGE_BITMAP, 4096);
    kvi_page_seal(&g, page);
    for (size_t i = 0; i < 4096; i++) {
        page[i] ^= 0x10;
        if (i != KVI_HEADER_TYPE) /* might become another kind of page, with another rule */
            ck_assert_msg(!kvi_page_sound(&g, page), "byte %zu", i);
        page[i] ^= 0x10;
    }
    ck_assert(kvi_page_sound(&g, page));
    free(page);
}
END_TEST

START_TEST(checksum_of_a_run_covers_header_and_value_only)
{
    struct kvi_geometry g;
    uint8_t *run;

    ck_assert(kvi_geometry_init(&g, 4096));
    run = new_page(&g, KVI_PAGE_OVERFLOW, 8192);
    kvi_le_store64(run + KVI_HEADER_RUN_SIZE, 5000);
    ck_assert_uint_eq(kvi_page_covered(&g, run), 5032);
    kvi_page_seal(&g, run);
    run[5032] ^= 1;
    ck_assert(kvi_page_sound(&g, run));
    run[5031] ^= 1;
    ck_assert(!kvi_page_sound(&g, run));
    free(run);
}
END_TEST

START_TEST(impossible_run_sizes_cover_nothing_and_are_never_sound)
{
    static const uint64_t bad[] = {0, KVI_VALUE_BYTES_MAX + 1, UINT64_MAX, UINT64_MAX - 31};
    struct kvi_geometry g;
    uint8_t *run;

    ck_assert(kvi_geometry_init(&g, 4096));
    run = new_page(&g, KVI_PAGE_OVERFLOW, 4096);
    for (size_t i = 0; i < 4; i++) {
        kvi_le_store64(run + KVI_HEADER_RUN_SIZE, bad[i]);
        ck_assert_uint_eq(kvi_page_covered(&g, run), 0);
        kvi_page_seal(&g, run);
        ck_assert(!kvi_page_sound(&g, run));
    }
    free(run);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("layout");

    harness_add(s, "geometry", geometry_of_a_4_kib_page_is_as_the_format_says);
    harness_add(s, "geometry", geometry_of_a_64_kib_page_is_as_the_format_says);
    harness_add(s, "geometry", geometry_takes_powers_of_two_from_4_to_64_kib_only);
    harness_add(s, "geometry", two_of_the_largest_cells_fill_a_page);
    harness_add(s, "geometry", run_of_a_large_value_holds_the_header_and_the_value);
    harness_add(s, "header", reference_is_pgno_then_tag);
    harness_add(s, "header", header_init_sets_identity_and_zeroes_the_rest);
    harness_add(s, "checksum", sealed_page_is_sound_and_tells_its_tag);
    harness_add(s, "checksum", any_changed_byte_makes_a_page_unsound);
    harness_add(s, "checksum", checksum_of_a_run_covers_header_and_value_only);
    harness_add(s, "checksum", impossible_run_sizes_cover_nothing_and_are_never_sound);
    return s;
}

HARNESS_MAIN(suite)
