/* SPDX-License-Identifier: MIT */
/*
 * Snapshot pages, table records and space map entries (FORMAT sections 6 to 8), decoded into
 * structs.
 *
 * Decoding checks every field against the geometry: counts, levels, page numbers below page_end,
 * zero bytes. It returns NULL, or a fixed text that says what is wrong, for kvi_corrupt. Any
 * thread.
 */
#ifndef KVI_FORMAT_SNAP_H
#define KVI_FORMAT_SNAP_H

#include <stdint.h>

#include "format/layout.h"

#define KVI_TABLE_RECORD_BYTES 80u   /* the comparators' names follow */
#define KVI_COMPARATOR_BYTES_MAX 31u /* of one name */
#define KVI_COMPARATORS_BYTES_MAX (2 * KVI_COMPARATOR_BYTES_MAX + 1) /* key's, 00, values' */
#define KVI_TABLE_RECORD_BYTES_MAX (KVI_TABLE_RECORD_BYTES + KVI_COMPARATORS_BYTES_MAX)

/* Flags of a table record. */
#define KVI_TABLE_DUPLICATES 0x0001u
#define KVI_TABLE_FIXED 0x0002u
#define KVI_TABLE_COUNTED 0x0004u
#define KVI_MAP_ENTRY_BYTES 16u
#define KVI_MAP_COUNT_MAX 0xFFFFFFu /* saturation of a map entry's counts */
#define KVI_SNAP_MARKER_BYTES 64u
#define KVI_SNAP_ENTRIES 384u /* offset of the first space map entry */

/* A table record: one tree and its totals. */
struct kvi_table_record {
    struct kvi_ref root; /* pgno 0: empty */
    uint8_t depth;       /* levels, 0: empty */
    uint8_t order;       /* enum kv_order of keys */
    uint8_t value_order; /* enum kv_order of values; without duplicates 0 */
    uint8_t key_bytes;   /* integer keys: 4 or 8; 0: other orders, or none put yet */
    uint16_t flags;      /* KVI_TABLE_DUPLICATES ... */
    uint8_t align_log2;  /* of values: 0, 3, 4 */
    uint8_t names_bytes; /* of names */
    uint64_t entries;    /* records; with duplicates: values */
    uint64_t keys;       /* with duplicates: keys; else 0 */
    uint64_t pages_branch;
    uint64_t pages_leaf;
    uint64_t pages_overflow;
    uint64_t id;
    uint64_t sequence;
    uint32_t item_bytes;                      /* fixed: size of each value; 0: none put yet */
    uint8_t names[KVI_COMPARATORS_BYTES_MAX]; /* of comparators: key's, 00, values' */
};

/* One space map entry. */
struct kvi_map_entry {
    struct kvi_ref ref;  /* pgno 0: nothing below is claimed */
    uint32_t free_pages; /* saturated */
    uint32_t free_run;   /* longest, saturated */
};

/* A snapshot page without its inline entries, which stay in the page. */
struct kvi_snap {
    uint64_t pgno; /* where the snapshot page stands */
    uint64_t txnid;
    uint64_t page_end;
    uint64_t pages_used;
    uint64_t pages_map;
    uint64_t tables;
    uint64_t table_id_next;
    uint64_t map_limit;
    uint32_t map_count;
    uint8_t map_levels;
    struct kvi_table_record main;
    struct kvi_table_record named; /* named snapshots */
    uint8_t marker[KVI_SNAP_MARKER_BYTES];
};

/* Returns the bytes written, at most KVI_TABLE_RECORD_BYTES_MAX; its size before. */
uint32_t kvi_table_record_encode(const struct kvi_table_record *record, uint8_t *out);
uint32_t kvi_table_record_bytes(const struct kvi_table_record *record);
const char *kvi_table_record_decode(const uint8_t *bytes, uint64_t size_bytes, uint64_t page_end,
                                    struct kvi_table_record *record_out);

void kvi_map_entry_store(uint8_t *p, const struct kvi_map_entry *entry);
struct kvi_map_entry kvi_map_entry_load(const uint8_t *p);

/* Writes header and fields of a snapshot page (not the entries, which the space map writes at
 * KVI_SNAP_ENTRIES, nor the checksum: kvi_page_seal). */
void kvi_snap_encode(const struct kvi_geometry *g, const struct kvi_snap *snap, uint8_t *page);

/* Reads a snapshot page whose header and checksum were verified. */
const char *kvi_snap_decode(const struct kvi_geometry *g, const uint8_t *page,
                            struct kvi_snap *snap_out);

/* How many regions page_end reaches into, how many levels their map needs, and the regions that one
 * inline entry covers at `levels`. */
uint64_t kvi_map_regions(const struct kvi_geometry *g, uint64_t page_end);
unsigned kvi_map_levels(const struct kvi_geometry *g, uint64_t regions);
uint64_t kvi_map_span(const struct kvi_geometry *g, unsigned levels);

#endif
