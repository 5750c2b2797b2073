/* SPDX-License-Identifier: MIT */
/*
 * docs/FORMAT.md, lib/format and tests/data/golden-2.bin say the same of tables that are not plain,
 * byte for byte: aligned values, orders, sets of values, branches that count.
 *
 * As test_format_golden.c does it: by hand, every number with the offset that FORMAT.md gives it,
 * and by lib/format. FORMAT.md shows some of the pages in section 10.
 */
#include "golden.h"

#include <stdlib.h>
#include <string.h>

#include "format/node.h"
#include "format/set.h"
#include "format/shape.h"
#include "kv.h"

#define GOLDEN_PATH "tests/data/golden-2.bin"

/* ---- By hand -----------------------------------------------------------------------------------
 */

/* All bytes that are not zero, but for checksums and tags. */
static const struct golden_bytes by_hand[] = {
    /* meta slot 0 */
    {0x00000, "89 6b 76 64 62 0d 0a 1a"},
    {0x00008, "01 00 00 00 00 10 00 00"},
    {0x00010, "00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f"},
    {0x00020, "02 00 00 00 00 00 00 00 0c 00 00 00 00 00"}, /* txnid, snapshot page */
    {0x00038, "02 00 00 00 00 00 00 00 11 00 00 00 00 00 00 00"},

    /* page 1: the main table: records of five tables */
    {0x01008, "01 00 00 00 00 00 02 00 02 00 00 00 00 00 00 00"},
    {0x01018, "05 00 00 00 c5 01 00 00"},
    {0x01020, "67 69 6c 61 74 73 75 63 00 70 75 64 65 78 69 66 65 76 65 72"}, /* heads */
    {0x01034, "3b 0e 96 0e f5 0e 4c 0f a5 0f"},
    {0x01e3b, "07 00 28 80 61 6c 69 67 6e 65 64"}, /* aligned */
    {0x01e46, "02 00 00 00 00 00"},                /* root, its tag follows */
    {0x01e50, "01 00 00 00 03 00"},                /* depth, order, flags, alignment, names */
    {0x01e56, "02"},                               /* entries */
    {0x01e66, "01"},                               /* leaf pages */
    {0x01e76, "01"},                               /* table id */
    {0x01e96, "06 80 2a 80 63 75 73 74 6f 6d"},    /* custom */
    {0x01ea0, "05 00 00 00 00 00"},
    {0x01eaa, "02 03 04 00 00 05"}, /* order 3, counted, 5 bytes of names */
    {0x01eb0, "03"},
    {0x01eb8, "01"}, /* branch pages */
    {0x01ec0, "02"},
    {0x01ed0, "02"},
    {0x01ef0, "73 69 7a 65 00"},       /* the key's comparator: size */
    {0x01ef5, "03 00 28 80 64 75 70"}, /* dup */
    {0x01efc, "08 00 00 00 00 00"},
    {0x01f06, "02 00 05 00 00 00"}, /* duplicates, counted */
    {0x01f0c, "07"},
    {0x01f14, "01"},
    {0x01f1c, "02"},
    {0x01f2c, "03"},
    {0x01f44, "03"},                         /* keys */
    {0x01f4c, "05 00 28 80 66 69 78 65 64"}, /* fixed */
    {0x01f55, "09 00 00 00 00 00"},
    {0x01f5f, "01 02 07 00 00 00"}, /* order 2, duplicates, fixed, counted */
    {0x01f65, "03"},
    {0x01f75, "01"},
    {0x01f85, "04"},
    {0x01f95, "04 00 00 00 02 04"}, /* item_bytes, order of values, key_bytes */
    {0x01f9d, "02"},
    {0x01fa5, "07 00 28 80 72 65 76 65 72 73 65"}, /* reverse */
    {0x01fb0, "0a 00 00 00 00 00"},
    {0x01fba, "01 01 00 00 00 00"}, /* order 1 */
    {0x01fc0, "02"},
    {0x01fd0, "01"},
    {0x01fe0, "05"},
    {0x01fe8, "09"}, /* sequence */

    /* page 2: aligned: values at multiples of 8 */
    {0x02008, "02 00 00 00 00 00 02 00 02 00 00 00 00 00 00 00"},
    {0x02018, "02 00 01 00 20 00 00 03"}, /* flags: alignment */
    {0x02020, "6b 00 00 00 00 00 00 31 00 00 00 32 e0 0f f0 0f"},
    {0x02fe0, "02 00 04 00 6b 31 00 00 41 42 43 44 45 46 47 48"}, /* k1 ABCDEFGH */
    {0x02ff0, "02 80 01 00 6b 32 00 00 78 79 7a 00 00 00 00 00"}, /* k2 xyz */

    /* pages 3 and 4: custom, by size: no heads */
    {0x03008, "03 00 00 00 00 00 02 00 02 00 00 00 00 00 00 00"},
    {0x03018, "01 00 00 00 06 00 30 00"}, /* flags: order 3 */
    {0x03020, "00 00 00 00 fa 0f"},
    {0x03ffa, "01 80 00 00 62 31"}, /* b 1 */
    {0x04008, "04 00 00 00 00 00 02 00 02 00 00 00 00 00 00 00"},
    {0x04018, "02 00 00 00 0e 00 30 00"},
    {0x04020, "00 00 00 00 00 00 00 00 f2 0f f9 0f"},
    {0x04ff2, "02 80 00 00 61 61 32 02 80 00 00 63 63 33"}, /* aa 2, cc 3 */

    /* page 5: the branch above: whole separators, and records counted */
    {0x05008, "05 00 00 00 00 00 01 01 02 00 00 00 00 00 00 00"},
    {0x05018, "02 00 00 00 26 00 31 00"}, /* flags: order 3, counted */
    {0x05020, "00 00 00 00 00 00 00 00 da 0f ec 0f"},
    {0x05fda, "03 00 00 00 00 00"}, /* page 3, its tag follows */
    {0x05fe4, "00 00 01 00 00 00 00 00"},
    {0x05fec, "04 00 00 00 00 00"},
    {0x05ff6, "02 00 02 00 00 00 00 00 61 61"}, /* two records; aa */

    /* page 6: dup: a = "", x, yy; b = 1, 3 */
    {0x06008, "06 00 00 00 00 00 02 00 02 00 00 00 00 00 00 00"},
    {0x06018, "02 00 00 00 1d 00 04 00"}, /* flags: sets */
    {0x06020, "00 00 00 61 00 00 00 62 e3 0f f5 0f"},
    {0x06fe3, "01 80 06 c0 61 78 79 79 00 00 01 00 03 00 03 00 00 00"},
    {0x06ff5, "01 00 03 c0 62 31 33 02 00 01 00"},

    /* page 7: b = 5, continued; c = z */
    {0x07008, "07 00 00 00 00 00 02 00 02 00 00 00 00 00 00 00"},
    {0x07018, "02 00 00 00 14 00 04 00"},
    {0x07020, "00 00 00 62 00 00 00 63 ec 0f f6 0f"},
    {0x07fec, "01 80 02 c0 62 35 01 80 01 00 01 80 02 c0 63 7a 01 00 01 00"},

    /* page 8: the branch above: records and keys counted, a separator inside of b */
    {0x08008, "08 00 00 00 00 00 01 01 02 00 00 00 00 00 00 00"},
    {0x08018, "02 00 00 00 34 00 03 00"}, /* flags: counted, keys too */
    {0x08020, "00 00 00 00 35 01 00 62 cc 0f e4 0f"},
    {0x08fcc, "06 00 00 00 00 00"},
    {0x08fd6, "00 00 05 00 00 00 00 00 02 00 00 00 00 00"},
    {0x08fe4, "07 00 00 00 00 00"},
    {0x08fee, "04 00 02 00 00 00 00 00 01 00 00 00 00 00 62 00 01 35"}, /* b 00 01 5 */

    /* page 9: fixed: 1 = 1, 256; 258 = 7 */
    {0x09008, "09 00 00 00 00 00 02 00 02 00 00 00 00 00 00 00"},
    {0x09018, "02 00 02 00 24 00 24 00"}, /* flags: sets, order 2 */
    {0x09020, "00 00 00 00 00 00 01 00 00 00 02 01 dc 0f f0 0f"},
    {0x09fdc, "04 00 06 c0 01 00 00 00 01 00 00 00 00 01 00 00 02 00 04 00"},
    {0x09ff0, "04 00 04 c0 02 01 00 00 07 00 00 00 01 00 04 00"},

    /* page 10: reverse: xa, ya */
    {0x0a008, "0a 00 00 00 00 00 02 00 02 00 00 00 00 00 00 00"},
    {0x0a018, "02 00 01 00 0e 00 10 00"}, /* flags: order 1 */
    {0x0a020, "61 00 00 00 00 00 00 78 00 00 00 79 f2 0f f9 0f"},
    {0x0aff2, "02 80 00 00 78 61 31 02 80 00 00 79 61 32"},

    /* page 11: the bitmap: pages 0 to 12 and 16 */
    {0x0b008, "0b 00 00 00 00 00 05 00 02 00 00 00 00 00 00 00"},
    {0x0b020, "ff 1f 01"},

    /* page 12: the snapshot */
    {0x0c008, "0c 00 00 00 00 00 04 00 02 00 00 00 00 00 00 00"},
    {0x0c020, "11 00 00 00 00 00 00 00 0e 00 00 00 00 00 00 00"}, /* page_end, pages_used */
    {0x0c030, "01 00 00 00 00 00 00 00 05 00 00 00 00 00 00 00"}, /* pages_map, tables */
    {0x0c040, "06 00 00 00 00 00 00 00"},
    {0x0c050, "01 00 00 00 00"},
    {0x0c060, "01 00 00 00 00 00"}, /* main table: root, its tag follows */
    {0x0c06a, "01 00 00 00 00 00 05"},
    {0x0c080, "01"},
    {0x0c100, "73 68 61 70 65 73"}, /* user marker: shapes */
    {0x0c180, "0b 00 00 00 00 00"},
    {0x0c18a, "f2 7e 00 ef 7e 00"},
};

static uint8_t *make_by_hand(void)
{
    /* each page, and where the tag of its reference stands */
    static const unsigned references[][2] = {{2, 0x01e4c}, {3, 0x05fe0},  {4, 0x05ff2},
                                             {5, 0x01ea6}, {6, 0x08fd2},  {7, 0x08fea},
                                             {8, 0x01f02}, {9, 0x01f5b},  {10, 0x1fb6},
                                             {1, 0x0c066}, {11, 0x0c186}, {12, 0x0002e}};
    uint8_t *image = golden_by_hand(by_hand, sizeof(by_hand) / sizeof(by_hand[0]));

    for (unsigned i = 0; i < sizeof(references) / sizeof(references[0]); i++)
        golden_seal(image, references[i][0], 4096, references[i][1]);
    golden_seal_metas(image);
    return image;
}

/* ---- By lib/format -----------------------------------------------------------------------------
 */

static struct kvi_geometry g;

/* Shorter first, then by bytes. */
static int by_size(void *context, const struct kv_val *a, const struct kv_val *b)
{
    (void)context;
    if (a->size != b->size)
        return a->size < b->size ? -1 : 1;
    return a->size ? memcmp(a->data, b->data, a->size) : 0;
}

static struct kvi_shape shape_of(const struct kvi_table_record *record)
{
    struct kvi_shape shape;

    kvi_shape_init(&shape, record);
    shape.key_custom.compare = by_size;
    return shape;
}

static struct kvi_key bytes_of(const char *text)
{
    return (struct kvi_key){(const uint8_t *)text, strlen(text)};
}

static struct kvi_item value_item(struct kvi_key key, struct kvi_key value)
{
    return (struct kvi_item){.key = key.data,
                             .key_bytes = (uint32_t)key.size,
                             .payload = value.data,
                             .payload_bytes = (uint32_t)value.size};
}

/* A set of up to three values, built one by one in `payload`. */
static struct kvi_item set_item(struct kvi_key key, const struct kvi_key *values, unsigned count,
                                bool continued, uint8_t *payload)
{
    struct kvi_item item = value_item(key, (struct kvi_key){payload, 0});
    uint8_t old[64];

    item.kind = KVI_CELL_SET;
    item.payload_bytes = kvi_set_single_bytes(values[0].size);
    kvi_set_write_single(payload, values[0], continued);
    for (unsigned i = 1; i < count; i++) {
        struct kvi_set set;

        memcpy(old, payload, item.payload_bytes);
        ck_assert(kvi_set_open(old, item.payload_bytes, &set));
        item.payload_bytes = kvi_set_bytes(&set, 0, i, &values[i]);
        kvi_set_write(payload, &set, 0, i, &values[i], i, continued);
    }
    return item;
}

static struct kvi_ref make_node(uint8_t *image, uint64_t pgno, const struct kvi_shape *shape,
                                unsigned level, const struct kvi_item *items, unsigned count)
{
    uint8_t *page = image + pgno * 4096;
    struct kvi_ref ref = {pgno, 0};

    kvi_node_init(&g, page, level ? KVI_PAGE_BRANCH : KVI_PAGE_LEAF, level, pgno, 2);
    kvi_node_set_flags(page, kvi_shape_page_flags(shape, level));
    ck_assert(kvi_node_emit(&g, page, items, 0, count));
    ck_assert_ptr_null(kvi_node_check_shape(&g, shape, page));
    ref.tag = kvi_page_seal(&g, page);
    return ref;
}

/* A branch over two leaves that were made; the separator is that between two pairs. */
static struct kvi_ref make_branch(uint8_t *image, uint64_t pgno, const struct kvi_shape *shape,
                                  const struct kvi_ref *leaves, const struct kvi_key pairs[4])
{
    struct kvi_item items[2] = {{.ref = leaves[0]}, {.ref = leaves[1]}};
    uint8_t separator[64];

    for (unsigned i = 0; i < 2; i++)
        ck_assert(kvi_leaf_counts(&g, image + leaves[i].pgno * 4096, &items[i].counts));
    items[1].key = separator;
    items[1].key_bytes =
        (uint32_t)kvi_separator_make(shape, pairs[0], pairs[1], pairs[2], pairs[3], separator);
    return make_node(image, pgno, shape, 1, items, 2);
}

static struct kvi_table_record make_aligned(uint8_t *image)
{
    struct kvi_table_record record = {
        .depth = 1, .align_log2 = 3, .entries = 2, .pages_leaf = 1, .id = 1};
    struct kvi_shape shape = shape_of(&record);
    struct kvi_item items[] = {value_item(bytes_of("k1"), bytes_of("ABCDEFGH")),
                               value_item(bytes_of("k2"), bytes_of("xyz"))};

    record.root = make_node(image, 2, &shape, 0, items, 2);
    return record;
}

static struct kvi_table_record make_custom(uint8_t *image)
{
    struct kvi_table_record record = {.depth = 2,
                                      .order = KV_ORDER_CUSTOM,
                                      .flags = KVI_TABLE_COUNTED,
                                      .entries = 3,
                                      .pages_branch = 1,
                                      .pages_leaf = 2,
                                      .id = 2,
                                      .names = "size",
                                      .names_bytes = 5};
    struct kvi_shape shape = shape_of(&record);
    struct kvi_item items[] = {value_item(bytes_of("b"), bytes_of("1")),
                               value_item(bytes_of("aa"), bytes_of("2")),
                               value_item(bytes_of("cc"), bytes_of("3"))};
    struct kvi_key pairs[] = {bytes_of("b"), {NULL, 0}, bytes_of("aa"), {NULL, 0}};
    struct kvi_ref leaves[2];

    leaves[0] = make_node(image, 3, &shape, 0, items, 1);
    leaves[1] = make_node(image, 4, &shape, 0, items + 1, 2);
    record.root = make_branch(image, 5, &shape, leaves, pairs);
    return record;
}

static struct kvi_table_record make_dup(uint8_t *image)
{
    struct kvi_table_record record = {.depth = 2,
                                      .flags = KVI_TABLE_DUPLICATES | KVI_TABLE_COUNTED,
                                      .entries = 7,
                                      .keys = 3,
                                      .pages_branch = 1,
                                      .pages_leaf = 2,
                                      .id = 3};
    struct kvi_shape shape = shape_of(&record);
    struct kvi_key a[] = {{NULL, 0}, bytes_of("x"), bytes_of("yy")};
    struct kvi_key b[] = {bytes_of("1"), bytes_of("3"), bytes_of("5")};
    struct kvi_key c = bytes_of("z");
    struct kvi_key pairs[] = {bytes_of("b"), b[1], bytes_of("b"), b[2]};
    uint8_t payloads[4][32];
    struct kvi_item items[] = {set_item(bytes_of("a"), a, 3, false, payloads[0]),
                               set_item(bytes_of("b"), b, 2, false, payloads[1]),
                               set_item(bytes_of("b"), b + 2, 1, true, payloads[2]),
                               set_item(bytes_of("c"), &c, 1, false, payloads[3])};
    struct kvi_ref leaves[2];

    leaves[0] = make_node(image, 6, &shape, 0, items, 2);
    leaves[1] = make_node(image, 7, &shape, 0, items + 2, 2);
    record.root = make_branch(image, 8, &shape, leaves, pairs);
    return record;
}

static struct kvi_table_record make_fixed(uint8_t *image)
{
    struct kvi_table_record record = {.depth = 1,
                                      .order = KV_ORDER_UINT,
                                      .value_order = KV_ORDER_UINT,
                                      .key_bytes = 4,
                                      .item_bytes = 4,
                                      .flags = KVI_TABLE_DUPLICATES | KVI_TABLE_FIXED |
                                               KVI_TABLE_COUNTED,
                                      .entries = 3,
                                      .keys = 2,
                                      .pages_leaf = 1,
                                      .id = 4};
    struct kvi_shape shape = shape_of(&record);
    uint32_t numbers[] = {1, 258, 1, 256, 7};
    struct kvi_key n[5];
    uint8_t payloads[2][32];
    struct kvi_item items[2];

    for (unsigned i = 0; i < 5; i++)
        n[i] = (struct kvi_key){(const uint8_t *)&numbers[i], 4};
    items[0] = set_item(n[0], &n[2], 2, false, payloads[0]);
    items[1] = set_item(n[1], &n[4], 1, false, payloads[1]);
    record.root = make_node(image, 9, &shape, 0, items, 2);
    return record;
}

static struct kvi_table_record make_reverse(uint8_t *image)
{
    struct kvi_table_record record = {.depth = 1,
                                      .order = KV_ORDER_REVERSE,
                                      .entries = 2,
                                      .pages_leaf = 1,
                                      .id = 5,
                                      .sequence = 9};
    struct kvi_shape shape = shape_of(&record);
    struct kvi_item items[] = {value_item(bytes_of("xa"), bytes_of("1")),
                               value_item(bytes_of("ya"), bytes_of("2"))};

    record.root = make_node(image, 10, &shape, 0, items, 2);
    return record;
}

static struct kvi_table_record make_main(uint8_t *image)
{
    static const char *names[] = {"aligned", "custom", "dup", "fixed", "reverse"};
    struct kvi_table_record tables[] = {make_aligned(image), make_custom(image), make_dup(image),
                                        make_fixed(image), make_reverse(image)};
    struct kvi_table_record record = {.depth = 1, .entries = 5, .pages_leaf = 1};
    struct kvi_shape shape = shape_of(&record);
    uint8_t records[5][KVI_TABLE_RECORD_BYTES_MAX];
    struct kvi_item items[5];

    for (unsigned i = 0; i < 5; i++) {
        items[i] = value_item(bytes_of(names[i]), (struct kvi_key){records[i], 0});
        items[i].kind = KVI_CELL_TABLE;
        items[i].payload_bytes = kvi_table_record_encode(&tables[i], records[i]);
    }
    record.root = make_node(image, 1, &shape, 0, items, 5);
    return record;
}

static uint8_t *make_by_library(void)
{
    uint8_t *image = calloc(1, GOLDEN_BYTES);
    uint8_t *page = image + 12 * 4096;
    struct kvi_snap snap = {.pgno = 12,
                            .txnid = 2,
                            .page_end = 17,
                            .pages_used = 14,
                            .pages_map = 1,
                            .tables = 5,
                            .table_id_next = 6,
                            .map_count = 1,
                            .marker = "shapes"};
    struct kvi_map_entry entry;

    ck_assert(kvi_geometry_init(&g, 4096));
    snap.main = make_main(image);
    kvi_snap_encode(&g, &snap, page);
    entry = golden_bitmap(image, 11, 12);
    kvi_map_entry_store(page + KVI_SNAP_ENTRIES, &entry);
    golden_metas(image, (struct kvi_ref){12, kvi_page_seal(&g, page)});
    return image;
}

/* ---- The file ----------------------------------------------------------------------------------
 */

START_TEST(golden_file_of_shapes_is_what_the_format_document_says)
{
    golden_expect(make_by_hand(), GOLDEN_PATH, true);
}
END_TEST

START_TEST(golden_file_of_shapes_is_what_the_library_writes)
{
    golden_expect(make_by_library(), GOLDEN_PATH, false);
}
END_TEST

/* All records of a table, in order, as "key=value " with integers as numbers. */
static void read_table(struct kv_txn *txn, const char *name, const char *expected)
{
    struct kv_table_options options;
    struct kv_cursor *cursor;
    struct kv_val key, value;
    char text[256] = "";
    size_t at = 0;
    kv_table table;
    int rc;

    ck_ok(kv_table_open(txn, name, 0, NULL, &table));
    ck_ok(kv_table_options(txn, table, &options));
    ck_ok(kv_cursor_open(txn, table, &cursor));
    while ((rc = kv_cursor_get(cursor, KV_NEXT, &key, &value)) == 0) {
        if (options.order == KV_ORDER_UINT)
            at += (size_t)sprintf(text + at, "%u=%u ", kvi_le_load32(key.data),
                                  kvi_le_load32(value.data));
        else
            at += (size_t)sprintf(text + at, "%.*s=%.*s ", (int)key.size, (char *)key.data,
                                  (int)value.size, (char *)value.data);
    }
    ck_rc(rc, KV_ENOTFOUND);
    kv_cursor_close(cursor);
    ck_assert_str_eq(text, expected);
}

START_TEST(golden_file_of_shapes_is_a_sound_database)
{
    const char *path = tmp_path("golden");
    uint8_t *golden = golden_read(GOLDEN_PATH);
    struct kv_env *env;
    struct kv_txn *txn;

    file_write(path, golden, GOLDEN_BYTES);
    free(golden);
    ck_ok(kv_env_open(path, NULL, &env));
    ck_ok(kv_env_comparator(env, "size", by_size, NULL));
    ck_ok(kv_env_check(env, NULL));
    ck_ok(kv_txn_begin(env, KV_READ, NULL, &txn));
    read_table(txn, "aligned", "k1=ABCDEFGH k2=xyz ");
    read_table(txn, "custom", "b=1 aa=2 cc=3 ");
    read_table(txn, "dup", "a= a=x a=yy b=1 b=3 b=5 c=z ");
    read_table(txn, "fixed", "1=1 1=256 258=7 ");
    read_table(txn, "reverse", "xa=1 ya=2 ");
    kv_txn_abort(txn);
    ck_ok(kv_env_close(env));
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("format golden shapes");

    harness_add(s, "golden", golden_file_of_shapes_is_what_the_format_document_says);
    harness_add(s, "golden", golden_file_of_shapes_is_what_the_library_writes);
    harness_add(s, "golden", golden_file_of_shapes_is_a_sound_database);
    return s;
}

HARNESS_MAIN(suite)
