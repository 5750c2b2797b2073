/* SPDX-License-Identifier: MIT */
/*
 * docs/FORMAT.md, lib/format and tests/data/golden-1.bin say the same, byte for byte.
 *
 * The golden file is a whole database of 17 pages. It is made here twice: by hand, every number
 * written out with the offset that FORMAT.md gives it and nothing of the library used; and by
 * lib/format. Both must equal the file. FORMAT.md shows its bytes in section 10.
 *
 * KV_GOLDEN_WRITE=1 writes the file from the hand-made bytes: only for a new version of the format.
 */
#include "golden.h"

#include <stdlib.h>
#include <string.h>

#include "format/meta.h"
#include "format/node.h"
#include "format/snap.h"
#include "kv.h"

#define GOLDEN_PATH "tests/data/golden-1.bin"
#define VALUE_BYTES 3000

/* ---- By hand -----------------------------------------------------------------------------------
 */

/* All bytes that are not zero, but for checksums, tags and the large value. */
static const struct golden_bytes by_hand[] = {
    /* meta slot 0 */
    {0x00000, "89 6b 76 64 62 0d 0a 1a"},                         /* magic */
    {0x00008, "01 00 00 00"},                                     /* version */
    {0x0000c, "00 10 00 00"},                                     /* page size */
    {0x00010, "00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f"}, /* file id */
    {0x00020, "02 00 00 00 00 00 00 00"},                         /* txnid */
    {0x00028, "07 00 00 00 00 00"},                               /* snapshot page */
    {0x00038, "02 00 00 00 00 00 00 00"},                         /* base: sealed */
    {0x00040, "11 00 00 00 00 00 00 00"},                         /* page_end */

    /* page 1: a leaf with apple = red, apricot = orange */
    {0x01008, "01 00 00 00 00 00 02 00"},             /* pgno, type, level */
    {0x01010, "02 00 00 00 00 00 00 00"},             /* txnid */
    {0x01018, "02 00 02 00 1d 00 00 00"},             /* count, prefix, cells, flags */
    {0x01020, "61 70"},                               /* prefix: ap */
    {0x01024, "00 65 6c 70 6f 63 69 72"},             /* heads: ple, rico */
    {0x0102c, "e3 0f ef 0f"},                         /* offsets */
    {0x01fe3, "05 80 01 00 61 70 70 6c 65 72 65 64"}, /* apple red */
    {0x01fef, "07 00 03 00 61 70 72 69 63 6f 74 6f 72 61 6e 67 65"}, /* apricot orange */

    /* page 2: a leaf with banana = the large value of page 5 */
    {0x02008, "02 00 00 00 00 00 02 00"},
    {0x02010, "02 00 00 00 00 00 00 00"},
    {0x02018, "01 00 00 00 1c 00 00 00"},
    {0x02020, "61 6e 61 62"},                   /* head: bana */
    {0x02024, "e4 0f"},                         /* offset */
    {0x02fe4, "06 00 09 40 62 61 6e 61 6e 61"}, /* kind 1: banana */
    {0x02fee, "05 00 00 00 00 00"},             /* reference: page 5, its tag follows */
    {0x02ff8, "b8 0b 00 00 00 00 00 00"},       /* value size */

    /* page 3: a leaf with the named table bt, which is empty */
    {0x03008, "03 00 00 00 00 00 02 00"},
    {0x03010, "02 00 00 00 00 00 00 00"},
    {0x03018, "01 00 00 00 56 00 00 00"},
    {0x03020, "00 00 74 62"},             /* head: bt */
    {0x03024, "aa 0f"},                   /* offset */
    {0x03faa, "02 00 28 80 62 74"},       /* kind 2: bt */
    {0x03fe0, "01 00 00 00 00 00 00 00"}, /* table id */

    /* page 4: the branch above; separators b and bt */
    {0x04008, "04 00 00 00 00 00 01 01"},
    {0x04010, "02 00 00 00 00 00 00 00"},
    {0x04018, "03 00 01 00 25 00 00 00"},
    {0x04020, "62"},                                  /* prefix: b */
    {0x04024, "00 00 00 00 00 00 00 00 00 00 00 74"}, /* heads: none, empty, t */
    {0x04030, "db 0f e7 0f f3 0f"},                   /* offsets */
    {0x04fdb, "01 00 00 00 00 00"},                   /* page 1, its tag follows */
    {0x04fe5, "00 00"},                               /* no separator */
    {0x04fe7, "02 00 00 00 00 00"},                   /* page 2 */
    {0x04ff1, "00 00"},                               /* b: nothing behind the prefix */
    {0x04ff3, "03 00 00 00 00 00"},                   /* page 3 */
    {0x04ffd, "01 00 74"},                            /* bt: t behind the prefix */

    /* page 5: an overflow run of one page */
    {0x05008, "05 00 00 00 00 00 03 00"},
    {0x05010, "02 00 00 00 00 00 00 00"},
    {0x05018, "b8 0b 00 00 00 00 00 00"}, /* value size */

    /* page 6: the bitmap of region 0: pages 0 to 7 and 16 */
    {0x06008, "06 00 00 00 00 00 05 00"},
    {0x06010, "02 00 00 00 00 00 00 00"},
    {0x06020, "ff 00 01"},

    /* page 7: the snapshot */
    {0x07008, "07 00 00 00 00 00 04 00"},
    {0x07010, "02 00 00 00 00 00 00 00"},
    {0x07020, "11 00 00 00 00 00 00 00"}, /* page_end */
    {0x07028, "09 00 00 00 00 00 00 00"}, /* pages_used */
    {0x07030, "01 00 00 00 00 00 00 00"}, /* pages_map */
    {0x07038, "01 00 00 00 00 00 00 00"}, /* tables */
    {0x07040, "02 00 00 00 00 00 00 00"}, /* next table id */
    {0x07048, "00 00 00 00 00 00 00 00"}, /* map limit */
    {0x07050, "01 00 00 00 00"},          /* map_count, map_levels */
    {0x07060, "04 00 00 00 00 00"},       /* main table: root, its tag follows */
    {0x0706a, "02 00 00 00 00 00"},       /* depth, order, flags, alignment, name_bytes */
    {0x07070, "04 00 00 00 00 00 00 00"}, /* entries */
    {0x07078, "01 00 00 00 00 00 00 00"}, /* branch pages */
    {0x07080, "03 00 00 00 00 00 00 00"}, /* leaf pages */
    {0x07088, "01 00 00 00 00 00 00 00"}, /* overflow pages */
    {0x07100, "67 6f 6c 64 65 6e"},       /* user marker: golden */
    {0x07180, "06 00 00 00 00 00"},       /* map entry 0: bitmap, its tag follows */
    {0x0718a, "f7 7e 00 ef 7e 00"},       /* 32503 free pages, longest run 32495 */
};

static void fill_value(uint8_t *value)
{
    for (unsigned i = 0; i < VALUE_BYTES; i++)
        value[i] = (uint8_t)(i % 251);
}

static uint8_t *make_by_hand(void)
{
    uint8_t *image = golden_by_hand(by_hand, sizeof(by_hand) / sizeof(by_hand[0]));

    fill_value(image + 0x5020);
    golden_seal(image, 5, 32 + VALUE_BYTES, 0x02ff4);
    golden_seal(image, 1, 4096, 0x04fe1);
    golden_seal(image, 2, 4096, 0x04fed);
    golden_seal(image, 3, 4096, 0x04ff9);
    golden_seal(image, 4, 4096, 0x07066);
    golden_seal(image, 6, 4096, 0x07186);
    golden_seal(image, 7, 4096, 0x0002e);
    golden_seal_metas(image);
    return image;
}

/* ---- By lib/format -----------------------------------------------------------------------------
 */

static struct kvi_geometry g;

static struct kvi_item item(const char *key, const void *payload, uint32_t payload_bytes,
                            enum kvi_cell_kind kind, struct kvi_ref ref)
{
    struct kvi_item item = {
        (const uint8_t *)key, (uint32_t)strlen(key), payload_bytes, payload, ref, {0, 0}, kind};

    return item;
}

static struct kvi_ref make_node(uint8_t *image, uint64_t pgno, enum kvi_page_type type,
                                const struct kvi_item *items, unsigned count)
{
    uint8_t *page = image + pgno * 4096;
    struct kvi_ref ref = {pgno, 0};

    kvi_node_init(&g, page, type, type == KVI_PAGE_BRANCH, pgno, 2);
    ck_assert(kvi_node_emit(&g, page, items, 0, count));
    ck_assert_ptr_null(kvi_node_check(&g, page));
    ref.tag = kvi_page_seal(&g, page);
    return ref;
}

static struct kvi_ref make_overflow(uint8_t *image)
{
    uint8_t *page = image + 5 * 4096;

    kvi_header_init(page, KVI_PAGE_OVERFLOW, 0, 5, 2);
    kvi_le_store64(page + KVI_HEADER_RUN_SIZE, VALUE_BYTES);
    fill_value(page + KVI_HEADER_BYTES);
    return (struct kvi_ref){5, kvi_page_seal(&g, page)};
}

static struct kvi_ref make_tree(uint8_t *image)
{
    struct kvi_overflow_ref large = {make_overflow(image), VALUE_BYTES};
    struct kvi_table_record table = {.id = 1};
    uint8_t reference[KVI_OVERFLOW_REF_BYTES], record[KVI_TABLE_RECORD_BYTES];
    struct kvi_ref none = {0, 0};
    struct kvi_item fruit[2], children[3], one;

    kvi_overflow_ref_store(reference, &large);
    kvi_table_record_encode(&table, record);
    fruit[0] = item("apple", "red", 3, KVI_CELL_VALUE, none);
    fruit[1] = item("apricot", "orange", 6, KVI_CELL_VALUE, none);
    children[0] = item("", NULL, 0, KVI_CELL_VALUE, make_node(image, 1, KVI_PAGE_LEAF, fruit, 2));
    one = item("banana", reference, sizeof(reference), KVI_CELL_OVERFLOW, none);
    children[1] = item("b", NULL, 0, KVI_CELL_VALUE, make_node(image, 2, KVI_PAGE_LEAF, &one, 1));
    one = item("bt", record, sizeof(record), KVI_CELL_TABLE, none);
    children[2] = item("bt", NULL, 0, KVI_CELL_VALUE, make_node(image, 3, KVI_PAGE_LEAF, &one, 1));
    return make_node(image, 4, KVI_PAGE_BRANCH, children, 3);
}

static uint8_t *make_by_library(void)
{
    uint8_t *image = calloc(1, GOLDEN_BYTES);
    uint8_t *page = image + 7 * 4096;
    struct kvi_snap snap = {.pgno = 7,
                            .txnid = 2,
                            .page_end = 17,
                            .pages_used = 9,
                            .pages_map = 1,
                            .tables = 1,
                            .table_id_next = 2,
                            .map_count = 1};
    struct kvi_map_entry entry;

    ck_assert(kvi_geometry_init(&g, 4096));
    snap.main = (struct kvi_table_record){
        .depth = 2, .entries = 4, .pages_branch = 1, .pages_leaf = 3, .pages_overflow = 1};
    snap.main.root = make_tree(image);
    memcpy(snap.marker, "golden", 6);
    kvi_snap_encode(&g, &snap, page);
    entry = golden_bitmap(image, 6, 7);
    kvi_map_entry_store(page + KVI_SNAP_ENTRIES, &entry);
    golden_metas(image, (struct kvi_ref){7, kvi_page_seal(&g, page)});
    return image;
}

/* ---- The file ----------------------------------------------------------------------------------
 */

START_TEST(golden_file_is_what_the_format_document_says)
{
    golden_expect(make_by_hand(), GOLDEN_PATH, true);
}
END_TEST

START_TEST(golden_file_is_what_the_library_writes)
{
    golden_expect(make_by_library(), GOLDEN_PATH, false);
}
END_TEST

static void read_record(const uint8_t *golden, const char *text, struct kvi_leaf_cell *cell_out)
{
    struct kvi_key key = {(const uint8_t *)text, strlen(text)};
    const uint8_t *page = golden + 4 * 4096;
    struct kvi_branch_cell child;
    bool exact;
    int slot;

    ck_assert(kvi_node_frame_ok(&g, page));
    slot = kvi_branch_find(&g, page, key);
    ck_assert_int_ge(slot, 0);
    ck_assert(kvi_branch_cell_at(&g, page, (unsigned)slot, &child));
    ck_assert_uint_lt(child.ref.pgno, GOLDEN_PAGES);
    page = golden + child.ref.pgno * 4096;
    ck_assert(kvi_page_sound(&g, page));
    ck_assert_uint_eq(kvi_page_tag(page), child.ref.tag);
    ck_assert(kvi_node_frame_ok(&g, page));
    slot = kvi_leaf_find(&g, page, key, &exact);
    ck_assert_int_ge(slot, 0);
    ck_assert(exact);
    ck_assert(kvi_leaf_cell_at(&g, page, (unsigned)slot, cell_out));
}

START_TEST(golden_file_is_read_back)
{
    uint8_t *golden = golden_read(GOLDEN_PATH);
    struct kvi_overflow_ref large;
    struct kvi_leaf_cell cell;
    struct kvi_meta meta;
    struct kvi_snap snap;

    ck_assert(kvi_geometry_init(&g, 4096));
    ck_assert_int_eq(kvi_meta_decode(golden, &meta), KVI_META_OK);
    ck_assert_int_eq(kvi_meta_decode(golden + 65536, &meta), KVI_META_OK);
    ck_assert(kvi_meta_sealed(&meta));
    ck_assert_uint_eq(meta.snap.pgno, 7);
    ck_assert_ptr_null(kvi_snap_decode(&g, golden + 7 * 4096, &snap));
    ck_assert_uint_eq(snap.main.root.pgno, 4);
    read_record(golden, "apple", &cell);
    ck_assert_mem_eq(cell.payload, "red", 3);
    read_record(golden, "apricot", &cell);
    ck_assert_mem_eq(cell.payload, "orange", 6);
    read_record(golden, "bt", &cell);
    ck_assert_int_eq(cell.kind, KVI_CELL_TABLE);
    read_record(golden, "banana", &cell);
    ck_assert(kvi_overflow_ref_load(&cell, &large));
    ck_assert_uint_eq(large.size_bytes, VALUE_BYTES);
    ck_assert(kvi_page_sound(&g, golden + 5 * 4096));
    free(golden);
}
END_TEST

START_TEST(golden_file_is_a_sound_database)
{
    const char *path = tmp_path("golden");
    struct kv_val key = {6, (void *)"banana"}, value;
    uint8_t expected[VALUE_BYTES], *golden = golden_read(GOLDEN_PATH);
    struct kv_env *env;
    struct kv_txn *txn;

    fill_value(expected);
    file_write(path, golden, GOLDEN_BYTES);
    free(golden);
    ck_ok(kv_env_open(path, NULL, &env));
    ck_ok(kv_env_check(env, NULL));
    ck_ok(kv_txn_begin(env, KV_READ, NULL, &txn));
    ck_ok(kv_get(txn, KV_MAIN_TABLE, &key, &value));
    ck_assert_uint_eq(value.size, VALUE_BYTES);
    ck_assert_mem_eq(value.data, expected, VALUE_BYTES);
    kv_txn_abort(txn);
    ck_ok(kv_env_close(env));
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("format golden");

    harness_add(s, "golden", golden_file_is_what_the_format_document_says);
    harness_add(s, "golden", golden_file_is_what_the_library_writes);
    harness_add(s, "golden", golden_file_is_read_back);
    harness_add(s, "golden", golden_file_is_a_sound_database);
    return s;
}

HARNESS_MAIN(suite)
