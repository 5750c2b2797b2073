/* SPDX-License-Identifier: MIT */
/*
 * lib/format with shrunken limits: other regions and fan-outs, and a version that others refuse.
 */
#include "harness.h"

#include <string.h>

#include "base/checksum.h"
#include "format/meta.h"
#include "format/snap.h"

START_TEST(shrunken_geometry_has_small_regions_and_fan_outs)
{
    struct kvi_geometry g;

    ck_assert(kvi_geometry_init(&g, 4096));
    ck_assert_uint_eq(g.region_pages, 256);
    ck_assert_uint_eq(g.map_inline, 4);
    ck_assert_uint_eq(g.map_fanout, 3);
    ck_assert_uint_eq(g.one_flush_pages, 3);
    ck_assert_uint_eq(g.key_bytes_max, 1980); /* pages keep their layout */
}
END_TEST

START_TEST(shrunken_map_gets_levels_early_and_never_overflows)
{
    struct kvi_geometry g;

    ck_assert(kvi_geometry_init(&g, 4096));
    ck_assert_uint_eq(kvi_map_levels(&g, kvi_map_regions(&g, 1024)), 0);
    ck_assert_uint_eq(kvi_map_levels(&g, kvi_map_regions(&g, 1025)), 1);
    ck_assert_uint_eq(kvi_map_levels(&g, 13), 2);
    ck_assert_uint_le(kvi_map_levels(&g, kvi_map_regions(&g, KVI_PGNO_MAX)), KVI_DEPTH_MAX);
    ck_assert_uint_eq(kvi_map_span(&g, 200), UINT64_MAX);
}
END_TEST

START_TEST(files_of_the_two_builds_are_told_apart)
{
    struct kvi_meta meta = {4096, {0}, 2, {5, 1}, 2, 20, 0}, back;
    uint8_t slot[KVI_META_BYTES];

    kvi_meta_encode(&meta, slot);
    ck_assert_mem_eq(slot + 8, "\1\0\0\200", 4);
    ck_assert_int_eq(kvi_meta_decode(slot, &back), KVI_META_OK);
    kvi_le_store32(slot + 8, 1);
    kvi_le_store64(slot + 504, kvi_checksum(slot, 504));
    ck_assert_int_eq(kvi_meta_decode(slot, &back), KVI_META_VERSION);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("small format");

    harness_add(s, "small", shrunken_geometry_has_small_regions_and_fan_outs);
    harness_add(s, "small", shrunken_map_gets_levels_early_and_never_overflows);
    harness_add(s, "small", files_of_the_two_builds_are_told_apart);
    return s;
}

HARNESS_MAIN(suite)
