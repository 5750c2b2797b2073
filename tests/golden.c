/* SPDX-License-Identifier: MIT */
/*
 * Golden files. See golden.h. Checksums of what is made by hand are made by the hash itself, not by
 * lib/base.
 */
#include "golden.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "format/meta.h"

static void put_hex(uint8_t *image, const struct golden_bytes *at)
{
    const char *hex = at->hex;
    unsigned offset = at->offset;

    for (; *hex; hex += hex[2] ? 3 : 2)
        image[offset++] = (uint8_t)strtoul(hex, NULL, 16);
}

static void put_number(uint8_t *p, uint64_t number, unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        p[i] = (uint8_t)(number >> (8 * i));
}

uint8_t *golden_by_hand(const struct golden_bytes *bytes, size_t count)
{
    uint8_t *image = calloc(1, GOLDEN_BYTES);

    for (size_t i = 0; i < count; i++)
        put_hex(image, &bytes[i]);
    return image;
}

void golden_seal(uint8_t *image, unsigned page, unsigned end, unsigned reference)
{
    uint64_t checksum = XXH3_64bits(image + page * 4096 + 8, end - 8);

    put_number(image + page * 4096, checksum, 8);
    put_number(image + reference, checksum & 0xffffffff, 4);
}

void golden_seal_metas(uint8_t *image)
{
    put_number(image + 504, XXH3_64bits(image, 504), 8);
    memcpy(image + 65536, image, 512);
}

static struct kvi_geometry geometry(void)
{
    struct kvi_geometry g;

    ck_assert(kvi_geometry_init(&g, 4096));
    return g;
}

struct kvi_map_entry golden_bitmap(uint8_t *image, uint64_t pgno, unsigned pgno_last)
{
    struct kvi_map_entry entry = {{pgno, 0}, 32512 - pgno_last - 2, 32512 - 17};
    uint8_t *page = image + pgno * 4096;
    struct kvi_geometry g = geometry();

    kvi_header_init(page, KVI_PAGE_BITMAP, 0, pgno, 2);
    for (unsigned i = 0; i <= pgno_last; i++)
        page[KVI_HEADER_BYTES + i / 8] |= (uint8_t)(1 << i % 8);
    page[KVI_HEADER_BYTES + 2] |= 0x01;
    entry.ref.tag = kvi_page_seal(&g, page);
    return entry;
}

void golden_metas(uint8_t *image, struct kvi_ref snap)
{
    struct kvi_meta meta = {.page_size = 4096, .txnid = 2, .snap = snap, .base = 2, .page_end = 17};

    for (unsigned i = 0; i < 16; i++)
        meta.file_id[i] = (uint8_t)i;
    kvi_meta_encode(&meta, image);
    kvi_meta_encode(&meta, image + KVI_META_SLOT_1_OFFSET);
}

uint8_t *golden_read(const char *path)
{
    size_t size;
    uint8_t *golden = file_read(path, &size);

    ck_assert_uint_eq(size, GOLDEN_BYTES);
    return golden;
}

void golden_compare(const uint8_t *made, const uint8_t *golden)
{
    for (unsigned i = 0; i < GOLDEN_BYTES; i++) {
        if (made[i] != golden[i])
            ck_abort_msg("byte %#x of page %u (%#x): %02x, the golden file has %02x", i, i / 4096,
                         i % 4096, made[i], golden[i]);
    }
}

void golden_expect(uint8_t *made, const char *path, bool write)
{
    uint8_t *golden;

    if (write && getenv("KV_GOLDEN_WRITE"))
        file_write(path, made, GOLDEN_BYTES);
    golden = golden_read(path);
    golden_compare(made, golden);
    free(golden);
    free(made);
}
