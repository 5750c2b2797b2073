/* SPDX-License-Identifier: MIT */
/*
 * Damage by script: bytes of input become edits of an image. Each edit names a page and what in it
 * changes, in the terms of the format, so that a mutated script is again a meaningful one.
 *
 *     edit:  op (u8)  page (u8, modulo the pages)  where (u16)  what (u32)        8 bytes
 *
 * Functions in a header, since fuzz targets and tests share it.
 */
#ifndef FUZZ_DAMAGE_H
#define FUZZ_DAMAGE_H

#include "image.h"

#define DAMAGE_EDIT_BYTES 8u

enum damage_op {
    DAMAGE_BYTE,      /* one byte at `where` */
    DAMAGE_XOR,       /* one bit of it */
    DAMAGE_U16,       /* two bytes */
    DAMAGE_U32,       /* four */
    DAMAGE_PGNO,      /* six, as a page number near the real ones */
    DAMAGE_HEADER,    /* a header field */
    DAMAGE_OFFSET,    /* the offset of a slot's cell */
    DAMAGE_HEAD,      /* the head of a slot */
    DAMAGE_CELL,      /* four bytes inside the cell of a slot */
    DAMAGE_REFERENCE, /* the page number in the cell of a slot */
    DAMAGE_COPY,      /* another page's bytes in this place */
    DAMAGE_ZERO,      /* zeros in a run of sectors */
    DAMAGE_META,      /* four bytes of a meta slot */
    DAMAGE_SNAPSHOT,  /* four bytes of the snapshot page that a slot names */
    DAMAGE_BIT,       /* a bit of a bitmap page, or of any other */
    DAMAGE_SIZE,      /* the file's length */
    DAMAGE_EXTREME, /* a number of the snapshot that a slot names, as extreme as it can be, in both
                       places */
    DAMAGE_OPS
};

struct damage_edit {
    unsigned op;
    uint8_t *page; /* NULL: the file is too short to have one */
    unsigned selector;
    uint16_t where;
    uint32_t what;
};

static inline void damage_store(const struct image *image, uint8_t *page, size_t at, size_t bytes,
                                uint64_t value)
{
    uint8_t raw[8];

    kvi_le_store64(raw, value);
    if (at + bytes <= image->g.page_size)
        memcpy(page + at, raw, bytes);
}

/* Where the slot's cell begins, by the page's own account. */
static inline size_t damage_cell_at(const struct image *image, const uint8_t *page, unsigned slot,
                                    size_t *offset_at_out, size_t *head_at_out)
{
    size_t count = kvi_header_count(page);
    size_t heads = (KVI_HEADER_BYTES + (size_t)kvi_le_load16(page + KVI_HEADER_PREFIX) + 3) & ~3u;
    size_t at;

    slot = count ? slot % (unsigned)count : 0;
    *head_at_out = heads + 4u * slot;
    *offset_at_out = heads + 4u * count + 2u * slot;
    at = *offset_at_out + 2 <= image->g.page_size ? kvi_le_load16(page + *offset_at_out) : 0;
    return at < image->g.page_size ? at : 0;
}

static inline void damage_slot(const struct image *image, const struct damage_edit *edit)
{
    size_t offset_at, head_at;
    unsigned slot = edit->where & 0xFFu;
    size_t inside = edit->where >> 8;
    size_t cell = damage_cell_at(image, edit->page, slot, &offset_at, &head_at);

    if (edit->op == DAMAGE_OFFSET)
        damage_store(image, edit->page, offset_at, 2, edit->what);
    else if (edit->op == DAMAGE_HEAD)
        damage_store(image, edit->page, head_at, 4, edit->what);
    else if (edit->op == DAMAGE_CELL)
        damage_store(image, edit->page, cell + inside % 64, 4, edit->what);
    else
        damage_store(image, edit->page, cell + (inside & 1 ? 0 : inside / 2), 6,
                     edit->what % (image_pages(image) + 3));
}

static inline void damage_header(const struct image *image, const struct damage_edit *edit)
{
    static const struct {
        uint8_t at, bytes;
    } fields[] = {{KVI_HEADER_PGNO, 6},  {KVI_HEADER_TYPE, 1},  {KVI_HEADER_LEVEL, 1},
                  {KVI_HEADER_TXNID, 8}, {KVI_HEADER_COUNT, 2}, {KVI_HEADER_PREFIX, 2},
                  {KVI_HEADER_CELLS, 2}, {KVI_HEADER_FLAGS, 2}, {KVI_HEADER_RUN_SIZE, 8},
                  {KVI_HEADER_TXNID, 1}};
    unsigned field = edit->where % (sizeof fields / sizeof fields[0]);

    damage_store(image, edit->page, fields[field].at, fields[field].bytes, edit->what);
}

static inline void damage_copy(const struct image *image, const struct damage_edit *edit)
{
    const uint8_t *from = image_page(image, edit->what % image_pages(image));
    size_t sectors = image->g.page_size / 512;
    size_t first = edit->where % sectors;
    size_t count = 1 + (edit->where >> 8) % (sectors - first);

    if (edit->op == DAMAGE_ZERO)
        memset(edit->page + first * 512, 0, count * 512);
    else if (edit->where & 0x80u)
        memmove(edit->page + first * 512, from + first * 512, count * 512);
    else
        memmove(edit->page, from, image->g.page_size);
}

static inline void damage_meta(const struct image *image, const struct damage_edit *edit)
{
    uint8_t *meta = image_meta(image, edit->selector & 1);
    uint8_t *page;

    if (!meta)
        return;
    if (edit->op == DAMAGE_META) {
        kvi_le_store32(meta + (edit->where & 0x80u ? edit->where % 72 : edit->where % 508),
                       edit->what);
        return;
    }
    page = image_page(image, kvi_ref_load(meta + IMAGE_META_SNAP).pgno);
    if (page)
        damage_store(image, page, edit->where & 0x8000u ? edit->where % 512 : edit->where % 176,
                     edit->where & 0x4000u ? 1 : 4, edit->what);
}

/* Numbers of a snapshot: where they stand in its page, and in the meta slot if there too. */
static const struct {
    uint16_t at;
    uint8_t bytes;
    uint8_t at_meta; /* 0: not there */
} damage_numbers[] = {
    {KVI_HEADER_TXNID, 8, 32}, /* txnid */
    {IMAGE_SNAP_PAGE_END, 8, 64},
    {40, 8, 0},  /* pages_used */
    {48, 8, 0},  /* pages_map */
    {56, 8, 0},  /* tables */
    {64, 8, 0},  /* next table id */
    {72, 8, 0},  /* map limit */
    {80, 4, 0},  /* map_count */
    {84, 1, 0},  /* map_levels */
    {106, 1, 0}, /* main table: depth, entries, branch, leaf, overflow pages, id, sequence */
    {112, 8, 0},
    {120, 8, 0},
    {128, 8, 0},
    {136, 8, 0},
    {144, 8, 0},
    {152, 8, 0},
    {KVI_SNAP_ENTRIES + KVI_REF_BYTES, 3, 0}, /* first space map entry: free pages, free run */
    {KVI_SNAP_ENTRIES + KVI_REF_BYTES + 3, 3, 0},
};

static inline void damage_number(const struct image *image, const struct damage_edit *edit)
{
    static const uint64_t values[] = {0,
                                      1,
                                      2,
                                      UINT64_MAX,
                                      UINT64_MAX - 1,
                                      INT64_MAX,
                                      ((uint64_t)1 << 48) - 1,
                                      (uint64_t)1 << 48,
                                      UINT32_MAX,
                                      (uint64_t)0xFFFF << 48,
                                      KVI_DEPTH_MAX};
    unsigned number = edit->where % (sizeof damage_numbers / sizeof damage_numbers[0]);
    unsigned value = edit->what % (sizeof values / sizeof values[0] + 1);
    uint8_t *meta = image_meta(image, edit->selector & 1);
    uint8_t *page = meta ? image_page(image, kvi_ref_load(meta + IMAGE_META_SNAP).pgno) : NULL;
    uint64_t set = value < sizeof values / sizeof values[0] ? values[value] : edit->what >> 8;

    if (!page)
        return;
    damage_store(image, page, damage_numbers[number].at, damage_numbers[number].bytes, set);
    if (damage_numbers[number].at_meta)
        damage_store(image, meta, damage_numbers[number].at_meta, 8, set);
    if (number == 0 && (edit->selector & 2)) /* sealed still */
        damage_store(image, meta, 56, 8, set);
}

static inline void damage_resize(struct image *image, const struct damage_edit *edit)
{
    size_t size = (size_t)(edit->what % (image->size_bytes + 3 * image->g.page_size));

    if (edit->where & 1)
        size &= ~(size_t)(image->g.page_size - 1);
    if (size > image->size_bytes) {
        uint8_t *bytes = realloc(image->bytes, size);

        if (!bytes)
            abort();
        memset(bytes + image->size_bytes, 0, size - image->size_bytes);
        image->bytes = bytes;
    }
    image->size_bytes = size;
}

static inline void damage_apply(struct image *image, const struct damage_edit *edit)
{
    switch (edit->op) {
    case DAMAGE_BYTE:
        damage_store(image, edit->page, edit->where % image->g.page_size, 1, edit->what);
        break;
    case DAMAGE_XOR:
    case DAMAGE_BIT:
        edit->page[edit->where % image->g.page_size] ^= (uint8_t)(1u << (edit->what & 7));
        break;
    case DAMAGE_U16:
        damage_store(image, edit->page, edit->where % image->g.page_size, 2, edit->what);
        break;
    case DAMAGE_U32:
        damage_store(image, edit->page, edit->where % image->g.page_size, 4, edit->what);
        break;
    case DAMAGE_PGNO:
        damage_store(image, edit->page, edit->where % image->g.page_size, 6,
                     edit->what % (image_pages(image) + 3));
        break;
    case DAMAGE_HEADER:
        damage_header(image, edit);
        break;
    case DAMAGE_OFFSET:
    case DAMAGE_HEAD:
    case DAMAGE_CELL:
    case DAMAGE_REFERENCE:
        damage_slot(image, edit);
        break;
    case DAMAGE_COPY:
    case DAMAGE_ZERO:
        damage_copy(image, edit);
        break;
    case DAMAGE_META:
    case DAMAGE_SNAPSHOT:
        damage_meta(image, edit);
        break;
    case DAMAGE_EXTREME:
        damage_number(image, edit);
        break;
    case DAMAGE_SIZE:
        damage_resize(image, edit);
        break;
    default:
        break;
    }
}

/* Runs a script; what is left of it is too short for another edit. image->bytes is from malloc. */
static inline void damage_run(struct image *image, const uint8_t *script, size_t size)
{
    for (; size >= DAMAGE_EDIT_BYTES && image_pages(image) > 0;
         script += DAMAGE_EDIT_BYTES, size -= DAMAGE_EDIT_BYTES) {
        struct damage_edit edit = {script[0] % DAMAGE_OPS, NULL, script[1],
                                   kvi_le_load16(script + 2), kvi_le_load32(script + 4)};

        edit.page = image_page(image, edit.selector % image_pages(image));
        damage_apply(image, &edit);
    }
}

#endif
