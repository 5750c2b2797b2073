/* SPDX-License-Identifier: MIT */
/*
 * Owns the way of pages to the file: sorted by number, neighbours merged into one call; or stored
 * through the writer's mapping, if the txn has one and it pays (store.h).
 *
 * The space map hands pages out in file order, so a commit's pages are mostly a few long stretches.
 * Sorting is by radix over the bytes in which the page numbers differ: two or three passes.
 *
 * A call is kept short. Linux lays the page cache of a long write out in large folios, and a later
 * write of one page in such a folio looks at all of its blocks: measured on ext4 and Linux 6.18, 1
 * M records overwritten at random in batches of 1000 took 2.5 us of CPU each with calls of 16
 * KiB, 3.6 us with 64 KiB and 4.5 us with 4 MiB. An ordered fill takes 0.17 us with 16 KiB and 0.14
 * us with 64 KiB; so a txn that adds pages rather than replacing them writes in longer calls, and a
 * bulk build, whose pages are the least likely to be replaced one by one, in the longest. A txn that
 * adds pages and may store writes in longer calls too: whoever replaces those stores as well, which
 * takes no notice of folios.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "os/os.h"
#include "pager/inside.h"

#define STRETCH_BYTES (4 * KVI_PAGE_SIZE_MIN)
#define STRETCH_ADDING_BYTES (16 * KVI_PAGE_SIZE_MIN)
#define STRETCH_STORING_BYTES (64 * KVI_PAGE_SIZE_MIN)
#define STRETCH_STAGED_BYTES (256 * KVI_PAGE_SIZE_MIN)
#define PARTS_MAX (STRETCH_STAGED_BYTES / KVI_PAGE_SIZE_MIN)
#define SORT_FEW 24u
#define ADDING_SHARE                                                                               \
    4u /* a txn adds pages when it retires less than this part of what it allocates */

static bool is_sorted(const struct kvi_write_item *items, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        if (items[i - 1].pgno > items[i].pgno)
            return false;
    }
    return true;
}

/* One stable pass over the byte at `shift`. */
static void sort_pass(const struct kvi_write_item *from, struct kvi_write_item *to, size_t count,
                      unsigned shift)
{
    size_t start[257] = {0};

    for (size_t i = 0; i < count; i++)
        start[(from[i].pgno >> shift & 0xff) + 1]++;
    for (unsigned b = 1; b < 256; b++)
        start[b] += start[b - 1];
    for (size_t i = 0; i < count; i++)
        to[start[from[i].pgno >> shift & 0xff]++] = from[i];
}

/* For a few: no memory, and no pass over 256 counts. */
static void sort_few(struct kvi_write_item *items, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct kvi_write_item item = items[i];
        size_t at = i;

        for (; at > 0 && items[at - 1].pgno > item.pgno; at--)
            items[at] = items[at - 1];
        items[at] = item;
    }
}

static int sort_items(struct kvi_write_item *items, size_t count)
{
    struct kvi_write_item *from = items;
    struct kvi_write_item *to;
    struct kvi_write_item *scratch;
    uint64_t differ = 0;

    if (count <= SORT_FEW)
        sort_few(items, count);
    if (count <= SORT_FEW || is_sorted(items, count))
        return 0;
    scratch = malloc(count * sizeof(*scratch));
    if (!scratch)
        return ENOMEM;
    for (size_t i = 1; i < count; i++)
        differ |= items[i].pgno ^ items[0].pgno;
    to = scratch;
    for (unsigned shift = 0; shift < 64; shift += 8) {
        struct kvi_write_item *swap = from;

        if (!(differ >> shift & 0xff))
            continue;
        sort_pass(from, to, count, shift);
        from = to;
        to = swap;
    }
    if (from != items)
        memcpy(items, from, count * sizeof(*items));
    free(scratch);
    return 0;
}

/* The longest call for what this txn writes. */
static uint64_t stretch_bytes(const struct kvi_pager *pager)
{
    uint64_t allocated = kvi_space_allocated(pager->space);

    if (pager->staging)
        return STRETCH_STAGED_BYTES;
    if (kvi_space_retired(pager->space) >= allocated / ADDING_SHARE)
        return STRETCH_BYTES;
    return kvi_pager_store(pager) ? STRETCH_STORING_BYTES : STRETCH_ADDING_BYTES;
}

static void note_tag(const struct kvi_pager *pager, const struct kvi_write_item *item)
{
    const struct kvi_map *map = pager->view.map;

    assert(item->pgno != 0);
    if (item->pgno < map->pages_max)
        kvi_map_note(map, item->pgno, kvi_page_tag(item->bytes));
}

/* Writes the neighbours that begin with items[0], as many as go into one call; *taken_out: how many
 * that were. A run goes as a whole. */
static int write_stretch(const struct kvi_pager *pager, const struct kvi_write_item *items,
                         size_t count, size_t *taken_out)
{
    const struct kvi_geometry *g = kvi_pager_geometry(pager);
    struct iovec parts[PARTS_MAX];
    uint64_t end = items[0].pgno;
    uint64_t bytes_max = stretch_bytes(pager);
    size_t n = 0;

    do {
        parts[n].iov_base = (void *)(uintptr_t)items[n].bytes;
        parts[n].iov_len = (size_t)items[n].pages << g->page_shift;
        end += items[n].pages;
        n++;
    } while (n < count && items[n].pgno == end &&
             (end - items[0].pgno + items[n].pages) << g->page_shift <= bytes_max);
    *taken_out = n;
    if (pager->staging)
        kvi_blocks_ahead(pager, items[0].pgno, end);
    return kvi_os->writev_at(pager->view.map->fd, parts, (int)n, items[0].pgno << g->page_shift);
}

/* Sorted items, by calls; a page so written is known to have its blocks. */
static int write_items(const struct kvi_pager *pager, const struct kvi_write_item *items,
                       size_t count)
{
    struct kvi_store *store = kvi_pager_store(pager);
    size_t taken = 0;
    int rc = 0;

    for (size_t i = 0; !rc && i < count; i += taken) {
        rc = write_stretch(pager, items + i, count - i, &taken);
        for (size_t j = i; !rc && j < i + taken; j++) {
            note_tag(pager, &items[j]);
            kvi_store_wrote(store, items[j].pgno, items[j].pages);
        }
    }
    return rc;
}

/* ---- Through the writer's mapping ---- */

struct kvi_store *kvi_pager_store(const struct kvi_pager *pager)
{
    while (pager->parent)
        pager = pager->parent;
    return pager->store;
}

void kvi_pager_store_through(struct kvi_pager *pager, struct kvi_store *store)
{
    assert(!pager->parent);
    pager->store = store;
}

/* Items that wait to be stored together. */
struct gathered {
    const struct kvi_write_item *items[KVI_STORE_BATCH];
    size_t count;
};

/* What cannot be stored is written, and then the error is the one of a write. */
static int store_gathered(const struct kvi_pager *pager, struct kvi_store *store,
                          struct gathered *gathered)
{
    size_t count = gathered->count;
    size_t taken;
    int rc = 0;

    gathered->count = 0;
    if (count == 0)
        return 0;
    if (kvi_store_put(store, gathered->items, count)) {
        for (size_t i = 0; !rc && i < count; i++)
            rc = write_stretch(pager, gathered->items[i], 1, &taken);
    }
    for (size_t i = 0; !rc && i < count; i++)
        note_tag(pager, gathered->items[i]);
    return rc;
}

/* Sorted items: those that are known to have their blocks are stored, the others written. */
static int store_items(const struct kvi_pager *pager, struct kvi_store *store,
                       const struct kvi_write_item *items, size_t count)
{
    struct gathered gathered = {.count = 0};
    size_t end;
    int rc = 0;

    for (size_t i = 0; !rc && i < count; i = end) {
        end = i + 1;
        if (kvi_store_knows(store, &items[i])) {
            gathered.items[gathered.count++] = &items[i];
            if (gathered.count == KVI_STORE_BATCH)
                rc = store_gathered(pager, store, &gathered);
            continue;
        }
        while (end < count && !kvi_store_knows(store, &items[end]))
            end++;
        rc = write_items(pager, items + i, end - i);
    }
    return rc ? rc : store_gathered(pager, store, &gathered);
}

/* ---- All ways ---- */

void kvi_pager_measure(struct kvi_pager *pager, uint64_t *write_ns)
{
    pager->write_ns = write_ns;
}

uint64_t kvi_pager_now(const struct kvi_pager *pager)
{
    return pager->write_ns ? kvi_os->monotonic_ns() : 0;
}

void kvi_pager_spent(const struct kvi_pager *pager, uint64_t since)
{
    if (pager->write_ns)
        *pager->write_ns += kvi_os->monotonic_ns() - since;
}

static int put_items(struct kvi_pager *pager, struct kvi_write_item *items, size_t count)
{
    struct kvi_store *store = kvi_pager_store(pager);
    int rc = sort_items(items, count);

    for (size_t i = 0; i < count; i++)
        pager->pages_written += items[i].pages;
    if (rc)
        return rc;
    if (store && kvi_store_ready(store, items, count))
        return store_items(pager, store, items, count);
    return write_items(pager, items, count);
}

int kvi_pager_write_items(struct kvi_pager *pager, struct kvi_write_item *items, size_t count)
{
    uint64_t since = kvi_pager_now(pager);
    int rc = put_items(pager, items, count);

    kvi_pager_spent(pager, since);
    return rc;
}

/* All images as items. One that is not sealed is in no tree, which a sound file cannot bring about.
 */
static int collect(const struct kvi_pager *pager, struct kvi_write_item *items, size_t *count)
{
    const struct kvi_image *image;
    size_t at = 0;

    while ((image = kvi_images_next(&pager->images, &at))) {
        if (!image->sealed)
            return kvi_pager_corrupt(pager, image->pgno, "a changed page is in no tree");
        items[(*count)++] = (struct kvi_write_item){image->pgno, image->bytes, image->pages};
    }
    return 0;
}

static void drop_images(struct kvi_pager *pager)
{
    const struct kvi_image *image;
    size_t at = 0;

    while ((image = kvi_images_next(&pager->images, &at)))
        kvi_pager_free_bytes(pager, image->bytes, image->pages);
    kvi_images_release(&pager->images);
    pager->dirty_pages = 0;
    pager->dirty_runs = 0;
}

int kvi_pager_write(struct kvi_pager *pager, const struct kvi_space_page *extra, size_t extra_count)
{
    struct kvi_write_item *items;
    size_t count = 0;
    int rc;

    assert(!pager->parent);
    rc = kvi_pager_ready(pager);
    if (rc)
        return rc;
    items = malloc((pager->images.count + extra_count + 1) * sizeof(*items));
    if (!items)
        return ENOMEM;
    rc = collect(pager, items, &count);
    for (size_t i = 0; i < extra_count; i++)
        items[count++] = (struct kvi_write_item){extra[i].pgno, extra[i].image, 1};
    if (!rc)
        rc = kvi_pager_write_items(pager, items, count);
    free(items);
    if (!rc)
        drop_images(pager);
    return rc;
}
