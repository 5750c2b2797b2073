/* SPDX-License-Identifier: MIT */
/*
 * Owns the bytes of snapshot pages, table records and space map entries (FORMAT sections 6 to 8),
 * and the arithmetic of the space map's radix.
 *
 * Refuses, with a text, every field that a writer of this version does not write; entries of the
 * space map are checked where they are followed. Pure functions; any thread.
 */
#include "format/snap.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "kv.h"

enum record_layout {
    RECORD_ROOT = 0,
    RECORD_DEPTH = 10,
    RECORD_ORDER = 11,
    RECORD_FLAGS = 12,
    RECORD_ALIGN = 14,
    RECORD_NAMES_BYTES = 15,
    RECORD_ENTRIES = 16,
    RECORD_BRANCH = 24,
    RECORD_LEAF = 32,
    RECORD_OVERFLOW = 40,
    RECORD_ID = 48,
    RECORD_SEQUENCE = 56,
    RECORD_ITEM_BYTES = 64,
    RECORD_VALUE_ORDER = 68,
    RECORD_KEY_BYTES = 69,
    RECORD_ZERO = 70,
    RECORD_KEYS = 72,
    RECORD_NAMES = 80
};

_Static_assert(RECORD_DEPTH == RECORD_ROOT + KVI_REF_BYTES, "reference");
_Static_assert(RECORD_ORDER == RECORD_DEPTH + 1, "u8 depth");
_Static_assert(RECORD_FLAGS == RECORD_ORDER + 1, "u8 order");
_Static_assert(RECORD_ALIGN == RECORD_FLAGS + 2, "u16 flags");
_Static_assert(RECORD_NAMES_BYTES == RECORD_ALIGN + 1, "u8 log2 of the value alignment");
_Static_assert(RECORD_ENTRIES == RECORD_NAMES_BYTES + 1, "u8 names_bytes");
_Static_assert(RECORD_BRANCH == RECORD_ENTRIES + 8, "u64 entries");
_Static_assert(RECORD_LEAF == RECORD_BRANCH + 8, "u64 branch pages");
_Static_assert(RECORD_OVERFLOW == RECORD_LEAF + 8, "u64 leaf pages");
_Static_assert(RECORD_ID == RECORD_OVERFLOW + 8, "u64 overflow pages");
_Static_assert(RECORD_SEQUENCE == RECORD_ID + 8, "u64 table id");
_Static_assert(RECORD_ITEM_BYTES == RECORD_SEQUENCE + 8, "u64 sequence");
_Static_assert(RECORD_VALUE_ORDER == RECORD_ITEM_BYTES + 4, "u32 item_bytes");
_Static_assert(RECORD_KEY_BYTES == RECORD_VALUE_ORDER + 1, "u8 order of values");
_Static_assert(RECORD_ZERO == RECORD_KEY_BYTES + 1, "u8 key_bytes");
_Static_assert(RECORD_KEYS == RECORD_ZERO + 2, "u16 zero");
_Static_assert(RECORD_NAMES == RECORD_KEYS + 8, "u64 keys");
_Static_assert((int)KVI_TABLE_RECORD_BYTES == (int)RECORD_NAMES, "80 bytes, then names");
_Static_assert(KVI_COMPARATORS_BYTES_MAX <= UINT8_MAX, "names_bytes is a u8");

enum snap_layout {
    SNAP_PAGE_END = 32,
    SNAP_PAGES_USED = 40,
    SNAP_PAGES_MAP = 48,
    SNAP_TABLES = 56,
    SNAP_TABLE_ID_NEXT = 64,
    SNAP_MAP_LIMIT = 72,
    SNAP_MAP_COUNT = 80,
    SNAP_MAP_LEVELS = 84,
    SNAP_ZERO = 85,
    SNAP_MAIN = 96,
    SNAP_NAMED = 176,
    SNAP_MARKER = 256,
    SNAP_NAMES = 320
};

_Static_assert((int)SNAP_PAGE_END == (int)KVI_HEADER_BYTES, "header");
_Static_assert(SNAP_PAGES_USED == SNAP_PAGE_END + 8, "u64 page_end");
_Static_assert(SNAP_PAGES_MAP == SNAP_PAGES_USED + 8, "u64 pages_used");
_Static_assert(SNAP_TABLES == SNAP_PAGES_MAP + 8, "u64 pages_map");
_Static_assert(SNAP_TABLE_ID_NEXT == SNAP_TABLES + 8, "u64 tables");
_Static_assert(SNAP_MAP_LIMIT == SNAP_TABLE_ID_NEXT + 8, "u64 next table id");
_Static_assert(SNAP_MAP_COUNT == SNAP_MAP_LIMIT + 8, "u64 map limit");
_Static_assert(SNAP_MAP_LEVELS == SNAP_MAP_COUNT + 4, "u32 map_count");
_Static_assert(SNAP_ZERO == SNAP_MAP_LEVELS + 1, "u8 map_levels");
_Static_assert(SNAP_MAIN == SNAP_ZERO + 11, "11 bytes zero");
_Static_assert(SNAP_NAMED == SNAP_MAIN + KVI_TABLE_RECORD_BYTES, "main table's record");
_Static_assert(SNAP_MARKER == SNAP_NAMED + KVI_TABLE_RECORD_BYTES, "named snapshots' record");
_Static_assert(SNAP_NAMES == SNAP_MARKER + KVI_SNAP_MARKER_BYTES, "user marker");
_Static_assert(KVI_SNAP_ENTRIES == SNAP_NAMES + 64, "comparators' names");
_Static_assert(SNAP_NAMES + KVI_COMPARATORS_BYTES_MAX <= KVI_SNAP_ENTRIES, "they fit");
_Static_assert(KVI_MAP_ENTRY_BYTES == KVI_REF_BYTES + 3 + 3, "reference, two u24");

static bool all_zero(const uint8_t *p, size_t size_bytes)
{
    uint8_t any = 0;

    for (size_t i = 0; i < size_bytes; i++)
        any |= p[i];
    return any == 0;
}

/* ---- Table records ---- */

uint32_t kvi_table_record_bytes(const struct kvi_table_record *record)
{
    return KVI_TABLE_RECORD_BYTES + record->names_bytes;
}

/* All but the names. */
static void record_store(const struct kvi_table_record *record, uint8_t *out)
{
    memset(out, 0, KVI_TABLE_RECORD_BYTES);
    kvi_ref_store(out + RECORD_ROOT, record->root);
    out[RECORD_DEPTH] = record->depth;
    out[RECORD_ORDER] = record->order;
    kvi_le_store16(out + RECORD_FLAGS, record->flags);
    out[RECORD_ALIGN] = record->align_log2;
    out[RECORD_NAMES_BYTES] = record->names_bytes;
    kvi_le_store64(out + RECORD_ENTRIES, record->entries);
    kvi_le_store64(out + RECORD_BRANCH, record->pages_branch);
    kvi_le_store64(out + RECORD_LEAF, record->pages_leaf);
    kvi_le_store64(out + RECORD_OVERFLOW, record->pages_overflow);
    kvi_le_store64(out + RECORD_ID, record->id);
    kvi_le_store64(out + RECORD_SEQUENCE, record->sequence);
    kvi_le_store32(out + RECORD_ITEM_BYTES, record->item_bytes);
    out[RECORD_VALUE_ORDER] = record->value_order;
    out[RECORD_KEY_BYTES] = record->key_bytes;
    kvi_le_store64(out + RECORD_KEYS, record->keys);
}

uint32_t kvi_table_record_encode(const struct kvi_table_record *record, uint8_t *out)
{
    assert(record->names_bytes <= KVI_COMPARATORS_BYTES_MAX);
    record_store(record, out);
    memcpy(out + RECORD_NAMES, record->names, record->names_bytes);
    return kvi_table_record_bytes(record);
}

static void record_load(const uint8_t *bytes, struct kvi_table_record *record)
{
    record->root = kvi_ref_load(bytes + RECORD_ROOT);
    record->depth = bytes[RECORD_DEPTH];
    record->order = bytes[RECORD_ORDER];
    record->flags = kvi_le_load16(bytes + RECORD_FLAGS);
    record->align_log2 = bytes[RECORD_ALIGN];
    record->names_bytes = bytes[RECORD_NAMES_BYTES];
    record->entries = kvi_le_load64(bytes + RECORD_ENTRIES);
    record->pages_branch = kvi_le_load64(bytes + RECORD_BRANCH);
    record->pages_leaf = kvi_le_load64(bytes + RECORD_LEAF);
    record->pages_overflow = kvi_le_load64(bytes + RECORD_OVERFLOW);
    record->id = kvi_le_load64(bytes + RECORD_ID);
    record->sequence = kvi_le_load64(bytes + RECORD_SEQUENCE);
    record->item_bytes = kvi_le_load32(bytes + RECORD_ITEM_BYTES);
    record->value_order = bytes[RECORD_VALUE_ORDER];
    record->key_bytes = bytes[RECORD_KEY_BYTES];
    record->keys = kvi_le_load64(bytes + RECORD_KEYS);
}

/* Whether the orders and sizes are of those that writers make, each on its own. */
static const char *record_check_fields(const struct kvi_table_record *record)
{
    unsigned known = KVI_TABLE_DUPLICATES | KVI_TABLE_FIXED | KVI_TABLE_COUNTED;

    if (record->order > KV_ORDER_CUSTOM)
        return "table record: unknown order of keys";
    if (record->value_order > KV_ORDER_CUSTOM)
        return "table record: unknown order of values";
    if (record->flags & ~known)
        return "table record: unknown flags";
    if (record->align_log2 != 0 && record->align_log2 != 3 && record->align_log2 != 4)
        return "table record: unknown value alignment";
    if (record->key_bytes != 0 && record->key_bytes != 4 && record->key_bytes != 8)
        return "table record: integer keys of another size than 4 or 8 bytes";
    if (record->item_bytes > UINT16_MAX)
        return "table record: values larger than possible";
    return NULL;
}

/* And whether they go together. */
static const char *record_check_kind(const struct kvi_table_record *record)
{
    bool duplicates = record->flags & KVI_TABLE_DUPLICATES;
    bool fixed = record->flags & KVI_TABLE_FIXED;
    bool integers = record->value_order == KV_ORDER_UINT;

    if (record->key_bytes && record->order != KV_ORDER_UINT)
        return "table record: a key size without integer keys";
    if (!duplicates && (fixed || record->value_order || record->keys))
        return "table record: what goes with duplicates only";
    if (duplicates && !(record->flags & KVI_TABLE_COUNTED))
        return "table record: duplicates that are not counted";
    if (duplicates && record->pages_overflow)
        return "table record: duplicates with overflow pages";
    if (!fixed && (record->item_bytes || integers))
        return "table record: what goes with values of one size only";
    if (integers && record->item_bytes != 0 && record->item_bytes != 4 && record->item_bytes != 8)
        return "table record: integer values of another size than 4 or 8 bytes";
    return NULL;
}

/* What the first record sets is set; keys are not more than records. */
static const char *record_check_totals(const struct kvi_table_record *record)
{
    bool duplicates = record->flags & KVI_TABLE_DUPLICATES;

    if (record->entries && record->order == KV_ORDER_UINT && !record->key_bytes)
        return "table record: integer keys without a size";
    if (record->entries && record->flags & KVI_TABLE_FIXED && !record->item_bytes)
        return "table record: values of one size without a size";
    if (duplicates && (record->keys > record->entries || (record->entries && !record->keys)))
        return "table record: numbers of keys and values that do not go together";
    return NULL;
}

/* Key's name, 00, values' name: each there if that order is custom, and nothing if none is. */
static const char *record_check_names(const struct kvi_table_record *record)
{
    bool key = record->order == KV_ORDER_CUSTOM, value = record->value_order == KV_ORDER_CUSTOM;
    const uint8_t *zero = memchr(record->names, 0, record->names_bytes);
    size_t key_bytes, value_bytes;

    if (!key && !value)
        return record->names_bytes ? "table record: a comparator's name without a custom order"
                                   : NULL;
    if (!zero)
        return "table record: a custom order without a comparator's name";
    key_bytes = (size_t)(zero - record->names);
    value_bytes = record->names_bytes - key_bytes - 1;
    if (key != (key_bytes > 0) || value != (value_bytes > 0))
        return "table record: comparators' names that are not those of its orders";
    if (key_bytes > KVI_COMPARATOR_BYTES_MAX || value_bytes > KVI_COMPARATOR_BYTES_MAX ||
        memchr(zero + 1, 0, value_bytes))
        return "table record: a bad comparator's name";
    return NULL;
}

/* An empty table has no root, no depth, no records and no pages; any other has a root that exists.
 */
static const char *record_check_root(const struct kvi_table_record *record, uint64_t page_end)
{
    if (record->root.pgno == 0) {
        if (record->root.tag || record->depth)
            return "table record: tag or depth without a root";
        if (record->entries || record->pages_branch || record->pages_leaf || record->pages_overflow)
            return "table record: records or pages without a root";
        return NULL;
    }
    if (record->root.pgno >= page_end)
        return "table record: root past the end";
    if (record->depth == 0 || record->depth > KVI_DEPTH_MAX)
        return "table record: bad depth";
    if (record->entries == 0 || record->pages_leaf == 0)
        return "table record: a root without records or leaf pages";
    if (record->pages_branch >= page_end || record->pages_leaf >= page_end ||
        record->pages_overflow >= page_end)
        return "table record: more pages than the file has";
    return NULL;
}

/* The record at `bytes`, its names (as many as it says, which are there) at `names`. */
static const char *record_decode(const uint8_t *bytes, const uint8_t *names, uint64_t page_end,
                                 struct kvi_table_record *record)
{
    const char *what;

    record_load(bytes, record);
    if (record->names_bytes > KVI_COMPARATORS_BYTES_MAX)
        return "table record: comparators' names too long";
    memcpy(record->names, names, record->names_bytes);
    if (!all_zero(bytes + RECORD_ZERO, RECORD_KEYS - RECORD_ZERO))
        return "table record: bytes that must be zero";
    what = record_check_fields(record);
    if (!what)
        what = record_check_kind(record);
    if (!what)
        what = record_check_names(record);
    if (!what)
        what = record_check_totals(record);
    return what ? what : record_check_root(record, page_end);
}

const char *kvi_table_record_decode(const uint8_t *bytes, uint64_t size_bytes, uint64_t page_end,
                                    struct kvi_table_record *record_out)
{
    memset(record_out, 0, sizeof(*record_out));
    if (size_bytes < KVI_TABLE_RECORD_BYTES)
        return "table record: too short";
    if (size_bytes != (uint64_t)KVI_TABLE_RECORD_BYTES + bytes[RECORD_NAMES_BYTES])
        return "table record: of another size than its names";
    return record_decode(bytes, bytes + RECORD_NAMES, page_end, record_out);
}

/* ---- Space map entries ---- */

static uint32_t saturate(uint32_t count)
{
    return count < KVI_MAP_COUNT_MAX ? count : KVI_MAP_COUNT_MAX;
}

void kvi_map_entry_store(uint8_t *p, const struct kvi_map_entry *entry)
{
    kvi_ref_store(p, entry->ref);
    kvi_le_store24(p + KVI_REF_BYTES, saturate(entry->free_pages));
    kvi_le_store24(p + KVI_REF_BYTES + 3, saturate(entry->free_run));
}

struct kvi_map_entry kvi_map_entry_load(const uint8_t *p)
{
    struct kvi_map_entry entry;

    entry.ref = kvi_ref_load(p);
    entry.free_pages = kvi_le_load24(p + KVI_REF_BYTES);
    entry.free_run = kvi_le_load24(p + KVI_REF_BYTES + 3);
    return entry;
}

uint64_t kvi_map_regions(const struct kvi_geometry *g, uint64_t page_end)
{
    return page_end / g->region_pages + (page_end % g->region_pages != 0);
}

uint64_t kvi_map_span(const struct kvi_geometry *g, unsigned levels)
{
    uint64_t span = 1;

    for (unsigned i = 0; i < levels; i++) {
        if (span > UINT64_MAX / g->map_fanout)
            return UINT64_MAX;
        span *= g->map_fanout;
    }
    return span;
}

unsigned kvi_map_levels(const struct kvi_geometry *g, uint64_t regions)
{
    unsigned levels = 0;

    /* Compared by dividing, so that no product overflows. */
    while (regions && (regions - 1) / kvi_map_span(g, levels) >= g->map_inline)
        levels++;
    return levels;
}

/* ---- Snapshot pages ---- */

void kvi_snap_encode(const struct kvi_geometry *g, const struct kvi_snap *snap, uint8_t *page)
{
    (void)g;
    kvi_header_init(page, KVI_PAGE_SNAPSHOT, 0, snap->pgno, snap->txnid);
    memset(page + KVI_HEADER_BYTES, 0, KVI_SNAP_ENTRIES - KVI_HEADER_BYTES);
    kvi_le_store64(page + SNAP_PAGE_END, snap->page_end);
    kvi_le_store64(page + SNAP_PAGES_USED, snap->pages_used);
    kvi_le_store64(page + SNAP_PAGES_MAP, snap->pages_map);
    kvi_le_store64(page + SNAP_TABLES, snap->tables);
    kvi_le_store64(page + SNAP_TABLE_ID_NEXT, snap->table_id_next);
    kvi_le_store64(page + SNAP_MAP_LIMIT, snap->map_limit);
    kvi_le_store32(page + SNAP_MAP_COUNT, snap->map_count);
    page[SNAP_MAP_LEVELS] = snap->map_levels;
    assert(snap->main.names_bytes <= KVI_COMPARATORS_BYTES_MAX);
    record_store(&snap->main, page + SNAP_MAIN);
    memcpy(page + SNAP_NAMES, snap->main.names, snap->main.names_bytes);
    record_store(&snap->named, page + SNAP_NAMED);
    memcpy(page + SNAP_MARKER, snap->marker, KVI_SNAP_MARKER_BYTES);
}

static void snap_load(const uint8_t *page, struct kvi_snap *snap)
{
    snap->pgno = kvi_header_pgno(page);
    snap->txnid = kvi_header_txnid(page);
    snap->page_end = kvi_le_load64(page + SNAP_PAGE_END);
    snap->pages_used = kvi_le_load64(page + SNAP_PAGES_USED);
    snap->pages_map = kvi_le_load64(page + SNAP_PAGES_MAP);
    snap->tables = kvi_le_load64(page + SNAP_TABLES);
    snap->table_id_next = kvi_le_load64(page + SNAP_TABLE_ID_NEXT);
    snap->map_limit = kvi_le_load64(page + SNAP_MAP_LIMIT);
    snap->map_count = kvi_le_load32(page + SNAP_MAP_COUNT);
    snap->map_levels = page[SNAP_MAP_LEVELS];
    memcpy(snap->marker, page + SNAP_MARKER, KVI_SNAP_MARKER_BYTES);
}

/* The map must reach the last page: page_end - 1 is claimed, so its region has an entry in use. */
static const char *snap_check_map(const struct kvi_geometry *g, const struct kvi_snap *snap)
{
    uint64_t regions = kvi_map_regions(g, snap->page_end);

    if (snap->map_count > g->map_inline)
        return "snapshot page: too many space map entries";
    if (snap->map_levels > KVI_DEPTH_MAX)
        return "snapshot page: space map too deep";
    if ((regions - 1) / kvi_map_span(g, snap->map_levels) >= snap->map_count)
        return "snapshot page: space map ends before the last page";
    return NULL;
}

static const char *snap_check_pages(const struct kvi_geometry *g, const struct kvi_snap *snap)
{
    if (snap->page_end > KVI_PGNO_MAX || snap->page_end <= g->meta_pgno_1)
        return "snapshot page: bad page_end";
    if (snap->pgno == 0 || snap->pgno == g->meta_pgno_1 || snap->pgno >= snap->page_end)
        return "snapshot page: stands past the end or in a meta page";
    if (snap->pages_used > snap->page_end || snap->pages_map > snap->pages_used)
        return "snapshot page: more pages in use than there are";
    if (snap->txnid == 0)
        return "snapshot page: no txnid";
    return snap_check_map(g, snap);
}

/* A root that is named in a file has a tag. `names` NULL: a record that has none. */
static const char *snap_load_record(const uint8_t *bytes, const uint8_t *names, uint64_t page_end,
                                    struct kvi_table_record *record_out)
{
    const char *what;

    if (!names && bytes[RECORD_NAMES_BYTES])
        return "snapshot page: a record with comparators' names";
    what = record_decode(bytes, names ? names : bytes + RECORD_NAMES, page_end, record_out);
    if (!what && record_out->root.pgno && record_out->root.tag == 0)
        what = "snapshot page: a root that was never sealed";
    return what;
}

const char *kvi_snap_decode(const struct kvi_geometry *g, const uint8_t *page,
                            struct kvi_snap *snap_out)
{
    const char *what;
    uint32_t names_end;

    memset(snap_out, 0, sizeof(*snap_out));
    if (kvi_header_type(page) != KVI_PAGE_SNAPSHOT || kvi_header_level(page) != 0)
        return "snapshot page: another kind of page";
    if (!all_zero(page + KVI_HEADER_COUNT, KVI_HEADER_BYTES - KVI_HEADER_COUNT) ||
        !all_zero(page + SNAP_ZERO, SNAP_MAIN - SNAP_ZERO))
        return "snapshot page: bytes that must be zero";
    snap_load(page, snap_out);
    what = snap_check_pages(g, snap_out);
    if (what)
        return what;
    what =
        snap_load_record(page + SNAP_MAIN, page + SNAP_NAMES, snap_out->page_end, &snap_out->main);
    if (what)
        return what;
    if (snap_out->main.flags & KVI_TABLE_DUPLICATES && snap_out->tables)
        return "snapshot page: named tables in a table with duplicates";
    names_end = SNAP_NAMES + snap_out->main.names_bytes;
    if (!all_zero(page + names_end, KVI_SNAP_ENTRIES - names_end))
        return "snapshot page: bytes that must be zero";
    return snap_load_record(page + SNAP_NAMED, NULL, snap_out->page_end, &snap_out->named);
}
