/* SPDX-License-Identifier: MIT */
/*
 * Owns the life of a page within a write txn: read, copied on its first change, made new, freed.
 *
 *     reference of a page        touch                           free
 *     tag 0, own image           changed in place                image dropped, page free again
 *     tag 0, a parent's image    copied to a new page            pended until the merge
 *     tag, written early by us   read back, same page number     page free again
 *     tag, any other             copied to a new page            top txn: retired; nested: pended
 *
 * Memory is taken before pages are, and pages before anything is changed, so that a failure leaves
 * things as they were. References are file content: one that contradicts the dirty table (tag 0
 * without an image, a tag for a page that is dirty) is damage, whoever wrote it.
 */
#include "pager/pager.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "kv.h"
#include "pager/inside.h"

/* Of the largest value in the smallest pages, and what fits an image's field. */
#define IMAGE_PAGES_MAX ((1u << 30) - 1)
_Static_assert(KVI_VALUE_BYTES_MAX / KVI_PAGE_SIZE_MIN + 1 <= IMAGE_PAGES_MAX,
               "a run fits an image");

const struct kvi_view *kvi_pager_view(const struct kvi_pager *pager)
{
    return &pager->view;
}

const struct kvi_geometry *kvi_pager_geometry(const struct kvi_pager *pager)
{
    return &pager->view.map->geometry;
}

uint64_t kvi_pager_txnid(const struct kvi_pager *pager)
{
    return pager->view.txnid;
}

size_t kvi_pager_dirty_count(const struct kvi_pager *pager)
{
    return (size_t)pager->dirty_pages;
}

uint64_t kvi_pager_written(const struct kvi_pager *pager)
{
    return pager->pages_written;
}

int kvi_pager_corrupt(const struct kvi_pager *pager, uint64_t pgno, const char *what)
{
    return kvi_corrupt(pager->view.map->path, pgno, what);
}

int kvi_pager_ready(const struct kvi_pager *pager)
{
    assert(!pager->child);
    return pager->broken;
}

/* ---- Images ---- */

struct kvi_image *kvi_pager_find_image(const struct kvi_pager *pager, uint64_t pgno)
{
    struct kvi_image *image = NULL;

    for (; pager && !image; pager = pager->parent)
        image = kvi_images_find(&pager->images, pgno);
    return image;
}

static uint8_t *new_bytes(struct kvi_pager *pager, uint64_t pages, bool clear)
{
    const struct kvi_geometry *g = kvi_pager_geometry(pager);
    size_t size_bytes = (size_t)pages << g->page_shift;
    uint8_t *bytes;

    if (pages == 1) {
        bytes = kvi_pool_get(pager->pool);
        if (bytes && clear)
            memset(bytes, 0, size_bytes);
        return bytes;
    }
    return clear ? calloc(1, size_bytes) : malloc(size_bytes);
}

void kvi_pager_free_bytes(struct kvi_pager *pager, uint8_t *bytes, uint64_t pages)
{
    if (pages == 1)
        kvi_pool_put(pager->pool, bytes);
    else
        free(bytes);
}

void kvi_pager_take_image(struct kvi_pager *pager, struct kvi_image *image)
{
    pager->dirty_pages -= image->pages;
    pager->dirty_runs -= image->run;
    kvi_images_remove(&pager->images, image);
}

static void drop_image(struct kvi_pager *pager, struct kvi_image *image)
{
    kvi_pager_free_bytes(pager, image->bytes, image->pages);
    kvi_pager_take_image(pager, image);
}

int kvi_pager_take(struct kvi_pager *pager, uint64_t pages, uint64_t *pgno_out)
{
    const struct kvi_map *map = pager->view.map;
    uint64_t end;
    int rc;

    rc = kvi_space_alloc(pager->space, pages, pgno_out);
    if (rc)
        return rc;
    end = *pgno_out + pages;
    if (end > map->pages_max) {
        rc = kvi_space_release(pager->space, *pgno_out, pages);
        return rc ? rc
                  : kvi_error(KV_ESIZELIMIT,
                              "%s: the file would grow past the %" PRIu64
                              " bytes of address space that this process has reserved",
                              map->path, map->reserved_bytes);
    }
    if (end > pager->view.page_end)
        pager->view.page_end = end;
    return 0;
}

/* A page that the map handed out and that has an image already was claimed twice. */
static int place_image(struct kvi_pager *pager, uint64_t pages, uint64_t *pgno)
{
    int rc = 0;

    if (*pgno == 0)
        rc = kvi_pager_take(pager, pages, pgno);
    if (!rc && kvi_pager_find_image(pager, *pgno))
        rc = kvi_pager_corrupt(pager, *pgno, "a page in use was taken for free");
    return rc;
}

int kvi_pager_make_image(struct kvi_pager *pager, enum kvi_image_kind kind, uint64_t pages,
                         uint64_t *pgno, uint8_t **bytes_out)
{
    struct kvi_image image = {.stamp = pager->clock};
    int rc;

    *bytes_out = NULL;
    assert(pages <= IMAGE_PAGES_MAX);
    image.pages = (uint32_t)pages & IMAGE_PAGES_MAX;
    image.run = kind != KVI_IMAGE_PAGE;
    rc = kvi_images_reserve(&pager->images, 1);
    if (rc)
        return rc;
    image.bytes = new_bytes(pager, pages, kind == KVI_IMAGE_ZERO_RUN);
    if (!image.bytes)
        return ENOMEM;
    rc = place_image(pager, pages, pgno);
    if (rc) {
        kvi_pager_free_bytes(pager, image.bytes, pages);
        return rc;
    }
    image.pgno = *pgno;
    kvi_images_add(&pager->images, &image);
    pager->dirty_pages += pages;
    pager->dirty_runs += image.run;
    pager->clock++;
    *bytes_out = image.bytes;
    return 0;
}

/* ---- Giving up ---- */

static int pend(struct kvi_pager *pager, uint64_t pgno, uint64_t pages)
{
    if (pager->pended_count == pager->pended_max) {
        size_t max = pager->pended_max ? pager->pended_max * 2 : 64;
        struct kvi_pended *grown = realloc(pager->pended, max * sizeof(*grown));

        if (!grown)
            return ENOMEM;
        pager->pended = grown;
        pager->pended_max = max;
    }
    pager->pended[pager->pended_count++] = (struct kvi_pended){pgno, pages};
    return 0;
}

int kvi_pager_give_up(struct kvi_pager *pager, uint64_t pgno, uint64_t pages)
{
    struct kvi_image *image = kvi_images_find(&pager->images, pgno);
    int rc;

    if (image) {
        if (image->pages != pages)
            return kvi_pager_corrupt(pager, pgno, "a run of another size is freed");
        rc = kvi_space_release(pager->space, pgno, pages);
        if (!rc)
            drop_image(pager, image);
        return rc;
    }
    if (kvi_pgset_has(&pager->written, pgno, pages)) {
        rc = kvi_space_release(pager->space, pgno, pages);
        if (!rc)
            kvi_pgset_remove(&pager->written, pgno, pages);
        return rc;
    }
    if (pager->parent)
        return pend(pager, pgno, pages);
    return kvi_space_retire(pager->space, pgno, pages);
}

int kvi_pager_give_up_ref(struct kvi_pager *pager, struct kvi_ref ref, uint64_t pages)
{
    bool dirty = kvi_pager_find_image(pager, ref.pgno) != NULL;

    if (ref.pgno == 0 || ref.pgno == kvi_pager_geometry(pager)->meta_pgno_1)
        return kvi_pager_corrupt(pager, ref.pgno, "a reference names a meta page");
    if (ref.pgno >= pager->view.page_end || pages > pager->view.page_end - ref.pgno)
        return kvi_pager_corrupt(pager, ref.pgno, "a reference leads past the end of the snapshot");
    if (dirty != (ref.tag == 0))
        return kvi_pager_corrupt(pager, ref.pgno,
                                 dirty ? "a changed page has a second reference"
                                       : "a reference has no tag");
    return kvi_pager_give_up(pager, ref.pgno, pages);
}

int kvi_pager_free(struct kvi_pager *pager, struct kvi_ref ref)
{
    int rc = kvi_pager_ready(pager);

    return rc ? rc : kvi_pager_give_up_ref(pager, ref, 1);
}

/* ---- Reading and touching ---- */

/* The image of a changed page, if it is of this type and level. */
static int find_dirty(const struct kvi_pager *pager, uint64_t pgno, enum kvi_page_type type,
                      unsigned level, struct kvi_image **image_out)
{
    *image_out = kvi_pager_find_image(pager, pgno);
    if (!*image_out)
        return kvi_pager_corrupt(pager, pgno, "a reference has no tag");
    if (!kvi_header_is((*image_out)->bytes, pgno, type, level))
        return kvi_pager_corrupt(pager, pgno,
                                 "its type or level is not the one that the reference calls for");
    return 0;
}

int kvi_pager_page(struct kvi_pager *pager, struct kvi_ref ref, enum kvi_page_type type,
                   unsigned level, const uint8_t **page_out)
{
    struct kvi_image *image = NULL;
    int rc;

    if (ref.tag)
        return kvi_view_page(&pager->view, ref, type, level, page_out);
    *page_out = NULL;
    rc = find_dirty(pager, ref.pgno, type, level, &image);
    if (!rc)
        *page_out = image->bytes;
    return rc;
}

/* A page that this level wrote early comes back as an image, under its number. */
static int read_back(struct kvi_pager *pager, struct kvi_ref *ref, const uint8_t *page,
                     uint8_t **bytes_out)
{
    int rc = kvi_pager_make_image(pager, KVI_IMAGE_PAGE, 1, &ref->pgno, bytes_out);

    if (rc)
        return rc;
    memcpy(*bytes_out, page, kvi_pager_geometry(pager)->page_size);
    kvi_pgset_remove(&pager->written, ref->pgno, 1);
    ref->tag = 0;
    return 0;
}

/* The content moves to a new page; the old one is given up. */
static int copy_page(struct kvi_pager *pager, struct kvi_ref *ref, const uint8_t *page,
                     uint8_t **bytes_out)
{
    struct kvi_ref copy = {0, 0};
    int rc;

    rc = kvi_pager_make_image(pager, KVI_IMAGE_PAGE, 1, &copy.pgno, bytes_out);
    if (rc)
        return rc;
    memcpy(*bytes_out, page, kvi_pager_geometry(pager)->page_size);
    kvi_le_store48(*bytes_out + KVI_HEADER_PGNO, copy.pgno);
    kvi_le_store64(*bytes_out + KVI_HEADER_TXNID, pager->view.txnid);
    rc = kvi_pager_give_up_ref(pager, *ref, 1);
    if (rc) {
        int undo = kvi_pager_give_up(pager, copy.pgno, 1);

        if (undo)
            pager->broken = undo;
        *bytes_out = NULL;
        return rc;
    }
    *ref = copy;
    return 0;
}

static KVI_NOINLINE int touch_other(struct kvi_pager *pager, struct kvi_ref *ref,
                                    enum kvi_page_type type, unsigned level, uint8_t **page_out)
{
    const uint8_t *page = NULL;
    int rc;

    *page_out = NULL;
    rc = kvi_pager_ready(pager);
    if (!rc)
        rc = kvi_pager_page(pager, *ref, type, level, &page);
    if (rc)
        return rc;
    if (ref->tag && kvi_pgset_has(&pager->written, ref->pgno, 1))
        return read_back(pager, ref, page, page_out);
    return copy_page(pager, ref, page, page_out);
}

int kvi_pager_touch(struct kvi_pager *pager, struct kvi_ref *ref, enum kvi_page_type type,
                    unsigned level, uint8_t **page_out)
{
    if (ref->tag == 0) {
        struct kvi_image *image = kvi_images_find(&pager->images, ref->pgno);

        if (KVI_LIKELY(image && kvi_header_is(image->bytes, ref->pgno, type, level))) {
            assert(!pager->child);
            image->stamp = pager->clock;
            image->sealed = 0;
            *page_out = image->bytes;
            return 0;
        }
    }
    return touch_other(pager, ref, type, level, page_out);
}

int kvi_pager_new(struct kvi_pager *pager, enum kvi_page_type type, unsigned level,
                  struct kvi_ref *ref_out, uint8_t **page_out)
{
    int rc;

    *ref_out = (struct kvi_ref){0, 0};
    *page_out = NULL;
    rc = kvi_pager_ready(pager);
    if (!rc)
        rc = kvi_pager_make_image(pager, KVI_IMAGE_PAGE, 1, &ref_out->pgno, page_out);
    if (!rc)
        kvi_header_init(*page_out, type, level, ref_out->pgno, pager->view.txnid);
    return rc;
}
