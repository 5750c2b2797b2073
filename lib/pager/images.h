/* SPDX-License-Identifier: MIT */
/*
 * The dirty table: page number to private image, open addressing with linear probing, at most half
 * full.
 *
 * A lookup is one multiplication and, mostly, one cache line; it is made for every dirty page that
 * a change passes. Pages are numbered in runs, so the hash spreads them. Removal closes the gap, so
 * that there are no tombstones and a table that was filled and emptied is as fast as a new one.
 *
 * Owns its slots, not the images' bytes. Pointers to entries are valid until the next add or
 * remove. One thread at a time.
 */
#ifndef KVI_PAGER_IMAGES_H
#define KVI_PAGER_IMAGES_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

struct kvi_image {
    uint64_t pgno;  /* 0: empty slot */
    uint8_t *bytes; /* the page, or the run: `pages` pages */
    uint32_t pages : 30;
    uint32_t run : 1;    /* an overflow run, of any number of pages */
    uint32_t sealed : 1; /* its checksum and all references in it stand */
    uint32_t stamp;      /* the pager's clock when it was last touched */
};

struct kvi_images {
    struct kvi_image *slots; /* NULL: none yet */
    size_t mask;             /* slots - 1 */
    size_t count;            /* entries */
    unsigned shift;          /* 64 - log2(slots) */
};

/* Room for `more` entries, so that as many adds cannot fail. */
KVI_MUST_CHECK int kvi_images_reserve(struct kvi_images *images, size_t more);

/* Adds an entry; there is room, and none of this pgno. */
void kvi_images_add(struct kvi_images *images, const struct kvi_image *image);

/* Removes the entry that kvi_images_find returned. */
void kvi_images_remove(struct kvi_images *images, struct kvi_image *image);

/* Frees the slots; the table is then empty and usable. */
void kvi_images_release(struct kvi_images *images);

static inline size_t kvi_images_home(const struct kvi_images *images, uint64_t pgno)
{
    return (size_t)(pgno * UINT64_C(0x9E3779B97F4A7C15) >> images->shift);
}

/* The entry of pgno, NULL: none. */
static inline struct kvi_image *kvi_images_find(const struct kvi_images *images, uint64_t pgno)
{
    size_t i;

    if (images->count == 0)
        return NULL;
    for (i = kvi_images_home(images, pgno); images->slots[i].pgno; i = (i + 1) & images->mask) {
        if (images->slots[i].pgno == pgno)
            return &images->slots[i];
    }
    return NULL;
}

/* The first entry at or behind slot *at, in no order, *at then behind it; NULL: no more. Not across
 * adds and removes. */
static inline struct kvi_image *kvi_images_next(const struct kvi_images *images, size_t *at)
{
    if (!images->slots)
        return NULL;
    while (*at <= images->mask) {
        struct kvi_image *image = &images->slots[(*at)++];

        if (image->pgno)
            return image;
    }
    return NULL;
}

#endif
