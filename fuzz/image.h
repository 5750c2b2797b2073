/* SPDX-License-Identifier: MIT */
/*
 * A database file as bytes in memory, to be damaged: what random bytes alone would not reach.
 *
 * Most damage dies at a checksum. image_repair makes every tag and checksum right again, from the
 * leaves up to the meta slots, as an attacker would: the bounds checks behind the checksums are
 * then all that stands between the bytes and the reader. A damaged image is input: nothing here
 * trusts a number in it.
 *
 * Functions in a header, since fuzz targets and tests share it. Memory is the caller's. One thread.
 * Internal modules: base format
 */
#ifndef FUZZ_IMAGE_H
#define FUZZ_IMAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/checksum.h"
#include "format/layout.h"
#include "format/node.h"
#include "format/snap.h"

/* FORMAT section 9 and 7: what is needed of a meta slot and a snapshot page. */
#define IMAGE_META_PAGE_SIZE 12u
#define IMAGE_META_FILE_ID 16u
#define IMAGE_META_SNAP 40u
#define IMAGE_META_CHECKSUM 504u
#define IMAGE_SNAP_PAGE_END 32u
#define IMAGE_SNAP_MAP_COUNT 80u
#define IMAGE_SNAP_MAIN 96u
#define IMAGE_SNAP_NAMED 176u

struct image {
    uint8_t *bytes;
    size_t size_bytes;
    struct kvi_geometry g;
    uint8_t *state; /* of each page during a repair */
    bool identity;  /* a repair also writes page numbers anew, so that misplaced pages pass */
};

enum image_page_state { IMAGE_NEW, IMAGE_OPEN, IMAGE_DONE };

static inline uint8_t *image_meta(const struct image *image, unsigned slot)
{
    size_t at = slot ? KVI_META_SLOT_1_OFFSET : 0;

    return at + KVI_META_BYTES <= image->size_bytes ? image->bytes + at : NULL;
}

/* Learns the page size from either meta slot; 4096 if neither tells. */
static inline void image_measure(struct image *image)
{
    for (unsigned slot = 0; slot < 2; slot++) {
        const uint8_t *meta = image_meta(image, slot);

        if (meta && kvi_geometry_init(&image->g, kvi_le_load32(meta + IMAGE_META_PAGE_SIZE)))
            return;
    }
    (void)kvi_geometry_init(&image->g, KVI_PAGE_SIZE_DEFAULT);
}

static inline uint64_t image_pages(const struct image *image)
{
    return image->size_bytes >> image->g.page_shift;
}

static inline uint8_t *image_page(const struct image *image, uint64_t pgno)
{
    return pgno < image_pages(image) ? image->bytes + (pgno << image->g.page_shift) : NULL;
}

/* Whether the page holds part of a run after its first page, or nothing at all, cannot be seen from
 * it alone: only pages that are referred to are pages of the tree. */
static inline bool image_is_meta(const struct image *image, uint64_t pgno)
{
    return pgno == 0 || pgno == image->g.meta_pgno_1;
}

/* ---- Repair ---- */

static inline void image_repair_page(struct image *image, uint64_t pgno);

/* Repairs what the reference at `at` names and gives the reference that page's tag. */
static inline void image_repair_ref(struct image *image, uint8_t *at)
{
    struct kvi_ref ref = kvi_ref_load(at);

    if (ref.pgno == 0 || ref.pgno >= image_pages(image) || image_is_meta(image, ref.pgno))
        return;
    image_repair_page(image, ref.pgno);
    ref.tag = kvi_page_tag(image_page(image, ref.pgno));
    kvi_ref_store(at, ref);
}

/* Bytes from a branch cell's reference to its separator: counts stand between. */
static inline uint32_t image_branch_head(const uint8_t *page)
{
    unsigned counts = kvi_header_flags(page) & (KVI_PAGE_COUNTED | KVI_PAGE_COUNTED_KEYS);

    if (!(counts & KVI_PAGE_COUNTED))
        return KVI_BRANCH_CELL_HEAD;
    return KVI_BRANCH_CELL_HEAD +
           KVI_BRANCH_COUNT_BYTES * (counts & KVI_PAGE_COUNTED_KEYS ? 2u : 1u);
}

static inline void image_repair_node(struct image *image, uint8_t *page)
{
    if (!kvi_node_frame_ok(&image->g, page))
        return;
    for (unsigned slot = 0; slot < kvi_header_count(page); slot++) {
        struct kvi_branch_cell branch;
        struct kvi_leaf_cell leaf;

        if (kvi_header_type(page) == KVI_PAGE_BRANCH) {
            if (kvi_branch_cell_at(&image->g, page, slot, &branch))
                image_repair_ref(image, page + (branch.suffix - page) - image_branch_head(page));
        } else if (kvi_leaf_cell_at(&image->g, page, slot, &leaf) && leaf.kind != KVI_CELL_VALUE &&
                   leaf.kind != KVI_CELL_SET && leaf.payload_bytes >= KVI_REF_BYTES) {
            image_repair_ref(image, page + (leaf.payload - page));
        }
    }
}

static inline void image_repair_entries(struct image *image, uint8_t *entries, uint64_t count,
                                        uint64_t room_bytes)
{
    for (uint64_t i = 0; i < count && (i + 1) * KVI_MAP_ENTRY_BYTES <= room_bytes; i++)
        image_repair_ref(image, entries + i * KVI_MAP_ENTRY_BYTES);
}

static inline void image_repair_children(struct image *image, uint8_t *page)
{
    switch (kvi_header_type(page)) {
    case KVI_PAGE_BRANCH:
    case KVI_PAGE_LEAF:
        image_repair_node(image, page);
        break;
    case KVI_PAGE_SNAPSHOT:
        image_repair_ref(image, page + IMAGE_SNAP_MAIN);
        image_repair_ref(image, page + IMAGE_SNAP_NAMED);
        image_repair_entries(image, page + KVI_SNAP_ENTRIES,
                             kvi_le_load32(page + IMAGE_SNAP_MAP_COUNT),
                             image->g.page_size - KVI_SNAP_ENTRIES);
        break;
    case KVI_PAGE_INDEX:
        image_repair_entries(image, page + KVI_HEADER_BYTES, kvi_header_count(page),
                             image->g.page_size - KVI_HEADER_BYTES);
        break;
    default:
        break;
    }
}

/* A page that is being repaired further up keeps the tag that it has: a circle cannot be closed. */
static inline void image_repair_page(struct image *image, uint64_t pgno)
{
    uint8_t *page = image_page(image, pgno);
    uint64_t room = image->size_bytes - (pgno << image->g.page_shift);

    if (image->state[pgno] != IMAGE_NEW)
        return;
    image->state[pgno] = IMAGE_OPEN;
    if (image->identity)
        kvi_le_store48(page + KVI_HEADER_PGNO, pgno);
    image_repair_children(image, page);
    if (kvi_page_covered(&image->g, page) != 0 && kvi_page_covered(&image->g, page) <= room)
        (void)kvi_page_seal(&image->g, page);
    image->state[pgno] = IMAGE_DONE;
}

/* Makes checksums and tags right along every path from the meta slots, and theirs. */
static inline void image_repair(struct image *image)
{
    image->state = calloc(image_pages(image) + 1, 1);
    if (!image->state)
        abort();
    for (unsigned slot = 0; slot < 2; slot++) {
        uint8_t *meta = image_meta(image, slot);

        if (!meta)
            continue;
        image_repair_ref(image, meta + IMAGE_META_SNAP);
        kvi_le_store64(meta + IMAGE_META_CHECKSUM, kvi_checksum(meta, IMAGE_META_CHECKSUM));
    }
    free(image->state);
    image->state = NULL;
}

/* Whether the two meta slots name the same snapshot. */
static inline bool image_has_one_snapshot(const struct image *image)
{
    const uint8_t *a = image_meta(image, 0);
    const uint8_t *b = image_meta(image, 1);

    return a && b && memcmp(a + IMAGE_META_SNAP, b + IMAGE_META_SNAP, KVI_REF_BYTES) == 0;
}

#endif
