/* SPDX-License-Identifier: MIT */
/*
 * lib/format/snap.h: snapshot pages, table records, space map entries, and the map's radix.
 */
#include "harness.h"

#include <stdlib.h>
#include <string.h>

#include "format/snap.h"

static struct kvi_geometry g;
static uint8_t *page;

static void setup(void)
{
    ck_assert(kvi_geometry_init(&g, 4096));
    page = calloc(1, 4096);
}

static void teardown(void)
{
    free(page);
}

static struct kvi_table_record sample_record(void)
{
    struct kvi_table_record record = {0};

    record.root = (struct kvi_ref){42, 0x01020304};
    record.depth = 3;
    record.entries = 100000;
    record.pages_branch = 20;
    record.pages_leaf = 900;
    record.pages_overflow = 50;
    record.id = 7;
    record.sequence = 99;
    return record;
}

static struct kvi_snap sample_snap(void)
{
    struct kvi_snap snap = {0};

    snap.pgno = 17;
    snap.txnid = 5;
    snap.page_end = 1000;
    snap.pages_used = 990;
    snap.pages_map = 1;
    snap.tables = 3;
    snap.table_id_next = 8;
    snap.map_limit = 1 << 30;
    snap.map_count = 1;
    snap.map_levels = 0;
    snap.main = sample_record();
    snap.main.id = 0;
    memcpy(snap.marker, "marker", 6);
    return snap;
}

/* ---- Table records -----------------------------------------------------------------------------
 */

static const char *decode_of(const struct kvi_table_record *record)
{
    struct kvi_table_record back;
    uint8_t bytes[KVI_TABLE_RECORD_BYTES];

    kvi_table_record_encode(record, bytes);
    return kvi_table_record_decode(bytes, sizeof(bytes), 1000, &back);
}

START_TEST(table_record_comes_back_as_it_was_written)
{
    struct kvi_table_record record = sample_record(), back;
    uint8_t bytes[KVI_TABLE_RECORD_BYTES];

    kvi_table_record_encode(&record, bytes);
    ck_assert_ptr_null(kvi_table_record_decode(bytes, sizeof(bytes), 1000, &back));
    ck_assert_uint_eq(back.root.pgno, 42);
    ck_assert_uint_eq(back.root.tag, 0x01020304);
    ck_assert_uint_eq(back.depth, 3);
    ck_assert_uint_eq(back.entries, 100000);
    ck_assert_uint_eq(back.pages_branch, 20);
    ck_assert_uint_eq(back.pages_leaf, 900);
    ck_assert_uint_eq(back.pages_overflow, 50);
    ck_assert_uint_eq(back.id, 7);
    ck_assert_uint_eq(back.sequence, 99);
}
END_TEST

START_TEST(empty_table_has_nothing)
{
    struct kvi_table_record record = {0};

    record.id = 7;
    record.sequence = 3;
    ck_assert_ptr_null(decode_of(&record));
    record.depth = 1;
    ck_assert_ptr_nonnull(decode_of(&record));
    record.depth = 0;
    record.root.tag = 1;
    ck_assert_ptr_nonnull(decode_of(&record));
    record.root.tag = 0;
    record.entries = 1;
    ck_assert_ptr_nonnull(decode_of(&record));
}
END_TEST

START_TEST(table_record_with_impossible_fields_is_refused)
{
    struct kvi_table_record record;

    record = sample_record();
    ck_assert_ptr_null(decode_of(&record));
#define REFUSED(change)                                                                            \
    record = sample_record();                                                                      \
    change;                                                                                        \
    ck_assert_msg(decode_of(&record) != NULL, #change)
    REFUSED(record.root.pgno = 1000);
    REFUSED(record.root.pgno = KVI_PGNO_MAX);
    REFUSED(record.depth = 0);
    REFUSED(record.depth = KVI_DEPTH_MAX + 1);
    REFUSED(record.order = 1);
    REFUSED(record.flags = 1);
    REFUSED(record.align_log2 = 3);
    REFUSED(record.item_bytes = 8);
    REFUSED(record.entries = 0);
    REFUSED(record.pages_leaf = 0);
    REFUSED(record.pages_leaf = 1000);
    REFUSED(record.pages_branch = UINT64_MAX);
    REFUSED(record.pages_overflow = UINT64_MAX);
#undef REFUSED
}
END_TEST

START_TEST(table_record_of_another_size_is_refused)
{
    struct kvi_table_record record = sample_record(), back;
    uint8_t bytes[KVI_TABLE_RECORD_BYTES + 1] = {0};

    kvi_table_record_encode(&record, bytes);
    ck_assert_ptr_nonnull(kvi_table_record_decode(bytes, 79, 1000, &back));
    ck_assert_ptr_nonnull(kvi_table_record_decode(bytes, 81, 1000, &back));
    ck_assert_ptr_nonnull(kvi_table_record_decode(bytes, 0, 1000, &back));
    bytes[15] = 1; /* a comparator's name */
    ck_assert_ptr_nonnull(kvi_table_record_decode(bytes, 81, 1000, &back));
    ck_assert_ptr_nonnull(kvi_table_record_decode(bytes, 80, 1000, &back));
}
END_TEST

START_TEST(table_record_with_bytes_that_must_be_zero_is_refused)
{
    struct kvi_table_record record = sample_record(), back;
    uint8_t bytes[KVI_TABLE_RECORD_BYTES];

    for (unsigned i = 68; i < 80; i++) {
        kvi_table_record_encode(&record, bytes);
        bytes[i] = 1;
        ck_assert_ptr_nonnull(kvi_table_record_decode(bytes, sizeof(bytes), 1000, &back));
    }
}
END_TEST

/* ---- Space map ---------------------------------------------------------------------------------
 */

START_TEST(map_entry_comes_back_and_its_counts_saturate)
{
    struct kvi_map_entry entry = {{0x060504030201, 0x0a090807}, 1000, 0x2000000}, back;
    uint8_t bytes[KVI_MAP_ENTRY_BYTES];

    kvi_map_entry_store(bytes, &entry);
    back = kvi_map_entry_load(bytes);
    ck_assert_uint_eq(back.ref.pgno, entry.ref.pgno);
    ck_assert_uint_eq(back.ref.tag, entry.ref.tag);
    ck_assert_uint_eq(back.free_pages, 1000);
    ck_assert_uint_eq(back.free_run, 0xFFFFFF);
}
END_TEST

START_TEST(regions_count_a_begun_one)
{
    ck_assert_uint_eq(kvi_map_regions(&g, 0), 0);
    ck_assert_uint_eq(kvi_map_regions(&g, 1), 1);
    ck_assert_uint_eq(kvi_map_regions(&g, 32512), 1);
    ck_assert_uint_eq(kvi_map_regions(&g, 32513), 2);
    ck_assert_uint_eq(kvi_map_regions(&g, KVI_PGNO_MAX), KVI_PGNO_MAX / 32512 + 1);
}
END_TEST

START_TEST(map_gets_a_level_when_the_inline_entries_no_longer_reach)
{
    ck_assert_uint_eq(kvi_map_levels(&g, 0), 0);
    ck_assert_uint_eq(kvi_map_levels(&g, 232), 0);
    ck_assert_uint_eq(kvi_map_levels(&g, 233), 1);
    ck_assert_uint_eq(kvi_map_levels(&g, 232 * 254), 1);
    ck_assert_uint_eq(kvi_map_levels(&g, 232 * 254 + 1), 2);
    ck_assert_uint_eq(kvi_map_levels(&g, UINT64_MAX), 8);
    for (uint64_t regions = 1; regions < 100000000; regions = regions * 3 + 1) {
        unsigned levels = kvi_map_levels(&g, regions);

        ck_assert(kvi_map_span(&g, levels) * g.map_inline >= regions);
        if (levels)
            ck_assert(kvi_map_span(&g, levels - 1) * g.map_inline < regions);
    }
}
END_TEST

START_TEST(span_is_a_power_of_the_fan_out_and_saturates)
{
    ck_assert_uint_eq(kvi_map_span(&g, 0), 1);
    ck_assert_uint_eq(kvi_map_span(&g, 1), 254);
    ck_assert_uint_eq(kvi_map_span(&g, 2), 254 * 254);
    ck_assert_uint_eq(kvi_map_span(&g, 255), UINT64_MAX);
}
END_TEST

/* ---- Snapshot pages ----------------------------------------------------------------------------
 */

static const char *decode_snap(const struct kvi_snap *snap)
{
    struct kvi_snap back;

    kvi_snap_encode(&g, snap, page);
    return kvi_snap_decode(&g, page, &back);
}

START_TEST(snapshot_page_comes_back_as_it_was_written)
{
    struct kvi_snap snap = sample_snap(), back;

    snap.named = sample_record();
    kvi_snap_encode(&g, &snap, page);
    ck_assert_uint_eq(kvi_header_type(page), KVI_PAGE_SNAPSHOT);
    ck_assert_ptr_null(kvi_snap_decode(&g, page, &back));
    ck_assert_uint_eq(back.pgno, 17);
    ck_assert_uint_eq(back.txnid, 5);
    ck_assert_uint_eq(back.page_end, 1000);
    ck_assert_uint_eq(back.pages_used, 990);
    ck_assert_uint_eq(back.pages_map, 1);
    ck_assert_uint_eq(back.tables, 3);
    ck_assert_uint_eq(back.table_id_next, 8);
    ck_assert_uint_eq(back.map_limit, 1 << 30);
    ck_assert_uint_eq(back.map_count, 1);
    ck_assert_uint_eq(back.map_levels, 0);
    ck_assert_uint_eq(back.main.entries, 100000);
    ck_assert_uint_eq(back.named.id, 7);
    ck_assert_mem_eq(back.marker, snap.marker, KVI_SNAP_MARKER_BYTES);
}
END_TEST

START_TEST(snapshot_encoding_leaves_the_map_entries_alone)
{
    struct kvi_snap snap = sample_snap();

    memset(page, 0xee, 4096);
    kvi_snap_encode(&g, &snap, page);
    for (unsigned i = KVI_SNAP_ENTRIES; i < 4096; i++)
        ck_assert_uint_eq(page[i], 0xee);
}
END_TEST

START_TEST(snapshot_page_with_impossible_fields_is_refused)
{
    struct kvi_snap snap;

#define REFUSED(change)                                                                            \
    snap = sample_snap();                                                                          \
    change;                                                                                        \
    ck_assert_msg(decode_snap(&snap) != NULL, #change)
    snap = sample_snap();
    ck_assert_ptr_null(decode_snap(&snap));
    REFUSED(snap.pgno = 0);
    REFUSED(snap.pgno = 16);
    REFUSED(snap.pgno = 1000);
    REFUSED(snap.txnid = 0);
    REFUSED(snap.page_end = 16);
    REFUSED(snap.page_end = KVI_PGNO_MAX + 1);
    REFUSED(snap.pages_used = 1001);
    REFUSED(snap.pages_map = 991);
    REFUSED(snap.map_count = 0);
    REFUSED(snap.map_count = 233);
    REFUSED(snap.map_levels = 255);
    REFUSED(snap.page_end = 32513); /* two regions, one entry */
    REFUSED(snap.main.root.pgno = 1000);
    REFUSED(snap.main.root.tag = 0);
    REFUSED(snap.named.depth = 1);
#undef REFUSED
}
END_TEST

START_TEST(snapshot_page_with_bytes_that_must_be_zero_is_refused)
{
    struct kvi_snap snap = sample_snap(), back;
    static const unsigned ranges[][2] = {{24, 32}, {85, 96}, {320, 384}};

    for (unsigned r = 0; r < 3; r++) {
        for (unsigned i = ranges[r][0]; i < ranges[r][1]; i++) {
            kvi_snap_encode(&g, &snap, page);
            page[i] = 1;
            ck_assert_msg(kvi_snap_decode(&g, page, &back) != NULL, "byte %u", i);
        }
    }
}
END_TEST

START_TEST(another_kind_of_page_is_no_snapshot)
{
    struct kvi_snap snap = sample_snap(), back;

    kvi_snap_encode(&g, &snap, page);
    page[KVI_HEADER_TYPE] = KVI_PAGE_INDEX;
    ck_assert_ptr_nonnull(kvi_snap_decode(&g, page, &back));
    kvi_snap_encode(&g, &snap, page);
    page[KVI_HEADER_LEVEL] = 1;
    ck_assert_ptr_nonnull(kvi_snap_decode(&g, page, &back));
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("snap");

    harness_add(s, "record", table_record_comes_back_as_it_was_written);
    harness_add(s, "record", empty_table_has_nothing);
    harness_add(s, "record", table_record_with_impossible_fields_is_refused);
    harness_add(s, "record", table_record_of_another_size_is_refused);
    harness_add(s, "record", table_record_with_bytes_that_must_be_zero_is_refused);
    harness_add_fixture(s, "map", map_entry_comes_back_and_its_counts_saturate, setup, teardown);
    harness_add_fixture(s, "map", regions_count_a_begun_one, setup, teardown);
    harness_add_fixture(s, "map", map_gets_a_level_when_the_inline_entries_no_longer_reach, setup,
                        teardown);
    harness_add_fixture(s, "map", span_is_a_power_of_the_fan_out_and_saturates, setup, teardown);
    harness_add_fixture(s, "page", snapshot_page_comes_back_as_it_was_written, setup, teardown);
    harness_add_fixture(s, "page", snapshot_encoding_leaves_the_map_entries_alone, setup, teardown);
    harness_add_fixture(s, "page", snapshot_page_with_impossible_fields_is_refused, setup,
                        teardown);
    harness_add_fixture(s, "page", snapshot_page_with_bytes_that_must_be_zero_is_refused, setup,
                        teardown);
    harness_add_fixture(s, "page", another_kind_of_page_is_no_snapshot, setup, teardown);
    return s;
}

HARNESS_MAIN(suite)
