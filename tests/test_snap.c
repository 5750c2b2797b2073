/* SPDX-License-Identifier: MIT */
/*
 * lib/format/snap.h: snapshot pages, table records, space map entries, and the map's radix.
 */
#include "harness.h"

#include <stdlib.h>
#include <string.h>

#include "format/snap.h"
#include "kv.h"

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
    uint8_t bytes[KVI_TABLE_RECORD_BYTES_MAX];
    uint32_t size = kvi_table_record_encode(record, bytes);

    ck_assert_uint_eq(size, kvi_table_record_bytes(record));
    return kvi_table_record_decode(bytes, size, 1000, &back);
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
    REFUSED(record.order = 4);
    REFUSED(record.flags = 8);
    REFUSED(record.align_log2 = 2);
    REFUSED(record.align_log2 = 5);
    REFUSED(record.entries = 0);
    REFUSED(record.pages_leaf = 0);
    REFUSED(record.pages_leaf = 1000);
    REFUSED(record.pages_branch = UINT64_MAX);
    REFUSED(record.pages_overflow = UINT64_MAX);
#undef REFUSED
}
END_TEST

/* Fixed-size integers under integer keys. */
static struct kvi_table_record sample_pairs(void)
{
    struct kvi_table_record record = sample_record();

    record.flags = KVI_TABLE_DUPLICATES | KVI_TABLE_FIXED | KVI_TABLE_COUNTED;
    record.order = KV_ORDER_UINT;
    record.value_order = KV_ORDER_UINT;
    record.key_bytes = 8;
    record.item_bytes = 4;
    record.align_log2 = 3;
    record.keys = 500;
    record.pages_overflow = 0;
    return record;
}

static void set_names(struct kvi_table_record *record, const char *names, uint8_t bytes)
{
    memcpy(record->names, names, bytes);
    record->names_bytes = bytes;
}

/* Both orders custom, their names as long as possible. */
static struct kvi_table_record sample_custom(void)
{
    struct kvi_table_record record = sample_record();

    record.flags = KVI_TABLE_DUPLICATES | KVI_TABLE_COUNTED;
    record.order = KV_ORDER_CUSTOM;
    record.value_order = KV_ORDER_CUSTOM;
    record.keys = 500;
    record.pages_overflow = 0;
    set_names(&record, "keykeykeykeykeykeykeykeykeykeyk\0valuevaluevaluevaluevaluevaluev", 63);
    return record;
}

START_TEST(table_record_of_any_shape_comes_back)
{
    struct kvi_table_record records[] = {sample_pairs(), sample_custom(), sample_record(),
                                         sample_record(), sample_record()};

    records[2].flags = KVI_TABLE_COUNTED;
    records[3].order = KV_ORDER_REVERSE;
    records[3].align_log2 = 4;
    records[4].order = KV_ORDER_CUSTOM;
    set_names(&records[4], "k\0", 2);
    for (unsigned i = 0; i < sizeof(records) / sizeof(records[0]); i++) {
        uint8_t bytes[KVI_TABLE_RECORD_BYTES_MAX];
        uint32_t size = kvi_table_record_encode(&records[i], bytes);
        struct kvi_table_record back;

        ck_assert_uint_eq(size, 80 + records[i].names_bytes);
        ck_assert_ptr_null(kvi_table_record_decode(bytes, size, 1000, &back));
        ck_assert_mem_eq(&back, &records[i], sizeof(back));
    }
}
END_TEST

START_TEST(table_record_that_contradicts_itself_is_refused)
{
    struct kvi_table_record record;

#define REFUSED(sample, change)                                                                    \
    record = sample();                                                                             \
    ck_assert_ptr_null(decode_of(&record));                                                        \
    change;                                                                                        \
    ck_assert_msg(decode_of(&record) != NULL, #change)
    REFUSED(sample_record, record.flags = KVI_TABLE_FIXED);
    REFUSED(sample_record, record.flags = KVI_TABLE_FIXED | KVI_TABLE_COUNTED);
    REFUSED(sample_record, record.item_bytes = 8);
    REFUSED(sample_record, record.value_order = KV_ORDER_REVERSE);
    REFUSED(sample_record, record.keys = 1);
    REFUSED(sample_record, record.key_bytes = 4);
    REFUSED(sample_record, record.order = KV_ORDER_UINT);   /* of which size? */
    REFUSED(sample_record, record.order = KV_ORDER_CUSTOM); /* which? */
    REFUSED(sample_pairs, record.flags = KVI_TABLE_DUPLICATES | KVI_TABLE_FIXED);
    REFUSED(sample_pairs, record.flags = KVI_TABLE_DUPLICATES | KVI_TABLE_COUNTED);
    REFUSED(sample_pairs, record.value_order = 4);
    REFUSED(sample_pairs, record.key_bytes = 0);
    REFUSED(sample_pairs, record.key_bytes = 5);
    REFUSED(sample_pairs, record.order = KV_ORDER_BYTES);
    REFUSED(sample_pairs, record.item_bytes = 0);
    REFUSED(sample_pairs, record.item_bytes = 5);
    REFUSED(sample_pairs, record.item_bytes = 0x10000);
    REFUSED(sample_pairs, record.keys = 0);
    REFUSED(sample_pairs, record.keys = record.entries + 1);
    REFUSED(sample_pairs, record.pages_overflow = 1);
    REFUSED(sample_pairs, record.value_order = KV_ORDER_BYTES; record.item_bytes = 0x10000);
#undef REFUSED
}
END_TEST

START_TEST(comparators_names_are_just_those_of_custom_orders)
{
    struct kvi_table_record record;
    char name[34];

    memset(name, 'n', sizeof(name));
#define TOLD(key, value, names)                                                                    \
    (record = sample_custom(), record.order = (key), record.value_order = (value),                 \
     set_names(&record, names, sizeof(names) - 1), decode_of(&record) == NULL)
    ck_assert(TOLD(KV_ORDER_CUSTOM, KV_ORDER_CUSTOM, "k\0v"));
    ck_assert(TOLD(KV_ORDER_CUSTOM, KV_ORDER_BYTES, "k\0"));
    ck_assert(TOLD(KV_ORDER_REVERSE, KV_ORDER_CUSTOM, "\0v"));
    ck_assert(TOLD(KV_ORDER_BYTES, KV_ORDER_REVERSE, ""));
    ck_assert(!TOLD(KV_ORDER_CUSTOM, KV_ORDER_CUSTOM, ""));
    ck_assert(!TOLD(KV_ORDER_CUSTOM, KV_ORDER_CUSTOM, "\0"));
    ck_assert(!TOLD(KV_ORDER_CUSTOM, KV_ORDER_CUSTOM, "kv"));
    ck_assert(!TOLD(KV_ORDER_CUSTOM, KV_ORDER_CUSTOM, "k\0"));
    ck_assert(!TOLD(KV_ORDER_CUSTOM, KV_ORDER_CUSTOM, "\0v"));
    ck_assert(!TOLD(KV_ORDER_CUSTOM, KV_ORDER_CUSTOM, "k\0v\0"));
    ck_assert(!TOLD(KV_ORDER_CUSTOM, KV_ORDER_CUSTOM, "k\0v\0x"));
    ck_assert(!TOLD(KV_ORDER_CUSTOM, KV_ORDER_BYTES, "k"));
    ck_assert(!TOLD(KV_ORDER_CUSTOM, KV_ORDER_BYTES, "k\0v"));
    ck_assert(!TOLD(KV_ORDER_BYTES, KV_ORDER_CUSTOM, "k\0v"));
    ck_assert(!TOLD(KV_ORDER_BYTES, KV_ORDER_BYTES, "k\0v"));
    ck_assert(!TOLD(KV_ORDER_BYTES, KV_ORDER_BYTES, "\0"));
#undef TOLD
    record = sample_custom();
    record.value_order = KV_ORDER_BYTES;
    name[32] = 0;
    set_names(&record, name, 33); /* one of 32 bytes */
    ck_assert_ptr_nonnull(decode_of(&record));
    set_names(&record, name + 1, 32);
    ck_assert_ptr_null(decode_of(&record));
}
END_TEST

START_TEST(empty_table_keeps_what_its_first_record_set)
{
    struct kvi_table_record record = sample_pairs();

    record.root = (struct kvi_ref){0, 0};
    record.depth = 0;
    record.entries = 0;
    record.keys = 0;
    record.pages_branch = 0;
    record.pages_leaf = 0;
    ck_assert_ptr_null(decode_of(&record));
    record.item_bytes = 0;
    record.key_bytes = 0;
    ck_assert_ptr_null(decode_of(&record));
    record.keys = 1;
    ck_assert_ptr_nonnull(decode_of(&record));
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

    for (unsigned i = 70; i < 72; i++) {
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

START_TEST(comparators_names_of_the_main_table_stand_in_the_snapshot_page)
{
    struct kvi_snap snap = sample_snap(), back;

    snap.main = sample_custom();
    snap.tables = 0;
    kvi_snap_encode(&g, &snap, page);
    ck_assert_ptr_null(kvi_snap_decode(&g, page, &back));
    ck_assert_mem_eq(&back.main, &snap.main, sizeof(back.main));
    page[383] = 1; /* behind the names */
    ck_assert_ptr_nonnull(kvi_snap_decode(&g, page, &back));
    page[383] = 0;
    page[320 + 63 - 1] = 0; /* the last byte of them */
    ck_assert_ptr_nonnull(kvi_snap_decode(&g, page, &back));
    snap.tables = 1; /* among values of keys? */
    ck_assert_ptr_nonnull(decode_snap(&snap));
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
    REFUSED(snap.named = sample_custom());
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
    harness_add(s, "record", table_record_of_any_shape_comes_back);
    harness_add(s, "record", table_record_that_contradicts_itself_is_refused);
    harness_add(s, "record", comparators_names_are_just_those_of_custom_orders);
    harness_add(s, "record", empty_table_keeps_what_its_first_record_set);
    harness_add(s, "record", table_record_of_another_size_is_refused);
    harness_add(s, "record", table_record_with_bytes_that_must_be_zero_is_refused);
    harness_add_fixture(s, "map", map_entry_comes_back_and_its_counts_saturate, setup, teardown);
    harness_add_fixture(s, "map", regions_count_a_begun_one, setup, teardown);
    harness_add_fixture(s, "map", map_gets_a_level_when_the_inline_entries_no_longer_reach, setup,
                        teardown);
    harness_add_fixture(s, "map", span_is_a_power_of_the_fan_out_and_saturates, setup, teardown);
    harness_add_fixture(s, "page", snapshot_page_comes_back_as_it_was_written, setup, teardown);
    harness_add_fixture(s, "page", comparators_names_of_the_main_table_stand_in_the_snapshot_page,
                        setup, teardown);
    harness_add_fixture(s, "page", snapshot_encoding_leaves_the_map_entries_alone, setup, teardown);
    harness_add_fixture(s, "page", snapshot_page_with_impossible_fields_is_refused, setup,
                        teardown);
    harness_add_fixture(s, "page", snapshot_page_with_bytes_that_must_be_zero_is_refused, setup,
                        teardown);
    harness_add_fixture(s, "page", another_kind_of_page_is_no_snapshot, setup, teardown);
    return s;
}

HARNESS_MAIN(suite)
