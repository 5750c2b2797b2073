/* SPDX-License-Identifier: MIT */
/* Owns growth and removal of the dirty table; see images.h. */
#include "pager/images.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define SLOTS_FIRST 32u

static void put(struct kvi_images *images, const struct kvi_image *image)
{
    size_t i = kvi_images_home(images, image->pgno);

    while (images->slots[i].pgno) {
        assert(images->slots[i].pgno != image->pgno);
        i = (i + 1) & images->mask;
    }
    images->slots[i] = *image;
    images->count++;
}

static int resize(struct kvi_images *images, size_t slots)
{
    struct kvi_images grown = {.mask = slots - 1, .shift = 64};
    const struct kvi_image *image;
    size_t at = 0;

    grown.slots = calloc(slots, sizeof(*grown.slots));
    if (!grown.slots)
        return ENOMEM;
    while ((size_t)1 << (64 - grown.shift) < slots)
        grown.shift--;
    while ((image = kvi_images_next(images, &at)))
        put(&grown, image);
    free(images->slots);
    *images = grown;
    return 0;
}

int kvi_images_reserve(struct kvi_images *images, size_t more)
{
    size_t slots = images->slots ? images->mask + 1 : SLOTS_FIRST;

    if (more > SIZE_MAX / (4 * sizeof(*images->slots)) - images->count)
        return ENOMEM;
    while (slots / 2 < images->count + more)
        slots *= 2;
    if (images->slots && slots == images->mask + 1)
        return 0;
    return resize(images, slots);
}

void kvi_images_add(struct kvi_images *images, const struct kvi_image *image)
{
    assert(image->pgno != 0);
    assert(images->slots && images->count < (images->mask + 1) / 2);
    put(images, image);
}

/* Entries behind the gap move into it when their home is not behind it. */
void kvi_images_remove(struct kvi_images *images, struct kvi_image *image)
{
    size_t gap = (size_t)(image - images->slots);
    size_t i = gap;

    assert(images->count > 0);
    assert(image->pgno != 0);
    for (;;) {
        size_t home;

        i = (i + 1) & images->mask;
        if (!images->slots[i].pgno)
            break;
        home = kvi_images_home(images, images->slots[i].pgno);
        if (((i - home) & images->mask) < ((i - gap) & images->mask))
            continue;
        images->slots[gap] = images->slots[i];
        gap = i;
    }
    images->slots[gap] = (struct kvi_image){0};
    images->count--;
}

void kvi_images_release(struct kvi_images *images)
{
    free(images->slots);
    *images = (struct kvi_images){0};
}
