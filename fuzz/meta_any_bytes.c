/* SPDX-License-Identifier: MIT */
/*
 * Whatever a meta slot, a snapshot page or a table record holds: decoding refuses it or takes it as
 * FORMAT says, and what was taken and is encoded again is the same bytes.
 * Internal modules: base format
 *
 * Input: what it is (u8; 3: page size of a snapshot page follows from it), then its bytes, zeros
 * behind them. The checksum of a meta slot is made right, and a share of the inputs starts from a
 * sound one.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checksum.h"
#include "format/meta.h"
#include "format/snap.h"

#define CHECKSUM_AT (KVI_META_BYTES - 8u)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void same(const char *what, const uint8_t *a, const uint8_t *b, size_t size)
{
    if (memcmp(a, b, size) != 0) {
        fprintf(stderr, "%s is other bytes when it is encoded again\n", what);
        abort();
    }
}

static void must(const char *what, bool truth)
{
    if (!truth) {
        fprintf(stderr, "%s\n", what);
        abort();
    }
}

/* The input's bytes over what is there: each is added, so that zeros keep it. */
static void overlay(uint8_t *to, size_t room, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size && i < room; i++)
        to[i] = (uint8_t)(to[i] + data[i]);
}

static void use_meta(const uint8_t *data, size_t size, bool from_sound)
{
    struct kvi_meta sound = {.page_size = 4096, .txnid = 9, .snap = {7, 5}, .page_end = 40};
    struct kvi_meta meta;
    uint8_t slot[KVI_META_BYTES] = {0};
    uint8_t again[KVI_META_BYTES];

    if (from_sound)
        kvi_meta_encode(&sound, slot);
    overlay(slot, CHECKSUM_AT, data, size);
    kvi_le_store64(slot + CHECKSUM_AT, kvi_checksum(slot, CHECKSUM_AT));
    if (kvi_meta_decode(slot, &meta) == KVI_META_OK) {
        must("a meta slot is taken whose snapshot lies past its end",
             meta.snap.pgno < meta.page_end && meta.snap.tag != 0);
        kvi_meta_encode(&meta, again);
        same("a meta slot", slot, again, sizeof again);
    }
    slot[size % CHECKSUM_AT] ^= 1;
    must("a torn meta slot is taken", kvi_meta_decode(slot, &meta) != KVI_META_OK);
}

static void use_record(const uint8_t *data, size_t size)
{
    struct kvi_table_record record;
    uint8_t again[KVI_TABLE_RECORD_BYTES_MAX];
    uint8_t *bytes = malloc(size + 1);

    if (!bytes)
        abort();
    memcpy(bytes, data, size);
    if (!kvi_table_record_decode(bytes, size, 1000, &record)) {
        must("a root past the end is taken", record.root.pgno < 1000);
        must("a tree too deep is taken", record.depth <= KVI_DEPTH_MAX);
        must("a record is taken that has another size",
             size == kvi_table_record_bytes(&record) && size <= sizeof again &&
                 size == kvi_table_record_encode(&record, again));
        same("a table record", bytes, again, size);
    }
    free(bytes);
}

static void make_snapshot(const struct kvi_geometry *g, uint8_t *page)
{
    struct kvi_snap snap = {
        .pgno = 5, .txnid = 9, .page_end = 40, .pages_used = 12, .pages_map = 1, .map_count = 1};

    kvi_snap_encode(g, &snap, page);
}

static void use_snapshot(const uint8_t *data, size_t size, bool from_sound)
{
    struct kvi_geometry g;
    struct kvi_snap snap;
    uint8_t *again;
    uint8_t *page;

    if (!kvi_geometry_init(&g, KVI_PAGE_SIZE_MIN << size % 5))
        abort();
    page = calloc(1, g.page_size);
    again = calloc(1, g.page_size);
    if (!page || !again)
        abort();
    if (from_sound)
        make_snapshot(&g, page);
    overlay(page, g.page_size, data, size);
    if (!kvi_snap_decode(&g, page, &snap)) {
        must("a snapshot is taken with more entries than there is room for",
             snap.map_count <= g.map_inline);
        must("a snapshot is taken that stands past its end", snap.pgno < snap.page_end);
        kvi_snap_encode(&g, &snap, again);
        same("a snapshot page", page + 8, again + 8, KVI_SNAP_ENTRIES - 8);
    }
    free(again);
    free(page);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned what = size ? data[0] : 0;

    data += size > 0;
    size -= size > 0;
    if (what % 3 == 0)
        use_meta(data, size, (what & 64u) != 0);
    else if (what % 3 == 1)
        use_record(data, size);
    else
        use_snapshot(data, size, (what & 64u) != 0);
    return 0;
}
