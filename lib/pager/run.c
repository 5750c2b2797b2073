/* SPDX-License-Identifier: MIT */
/*
 * Owns overflow runs: consecutive pages that hold one large value behind a page header.
 *
 *     |header 32|value ............................|zeros|
 *     |   page   |   page   |   page   |   page          |
 *
 * A run is never changed: the tree replaces it. A value below KVI_RUN_DIRECT_BYTES waits in an
 * image like any page; a larger one goes from the caller's memory to the file at once, without a
 * copy, and counts as written early from then on. Space that a caller fills in stays an image until
 * the next spill or the commit, which both come after the change that ends its right to write
 * there.
 */
#include <assert.h>
#include <string.h>

#include "base/checksum.h"
#include "os/os.h"
#include "pager/inside.h"

/* From this size on a copy costs more than a write of its own. */
#ifdef KVI_SMALL_LIMITS
#define KVI_RUN_DIRECT_BYTES 16384u
#else
#define KVI_RUN_DIRECT_BYTES 65536u
#endif

static const uint8_t zeros[KVI_PAGE_SIZE_MIN];

static void init_header(const struct kvi_pager *pager, uint8_t *page, uint64_t pgno,
                        uint64_t size_bytes)
{
    kvi_header_init(page, KVI_PAGE_OVERFLOW, 0, pgno, pager->view.txnid);
    kvi_le_store64(page + KVI_HEADER_RUN_SIZE, size_bytes);
}

/* Bytes behind the value in the run's last page. */
static uint32_t padding_of(const struct kvi_geometry *g, uint64_t size_bytes)
{
    uint64_t whole = kvi_run_pages(g, size_bytes) << g->page_shift;

    return (uint32_t)(whole - KVI_HEADER_BYTES - size_bytes);
}

/* Header, value and padding in one call. */
static int write_run(const struct kvi_pager *pager, uint64_t pgno, uint8_t *header,
                     const void *value, uint64_t size_bytes)
{
    const struct kvi_geometry *g = kvi_pager_geometry(pager);
    struct iovec parts[2 + KVI_PAGE_SIZE_MAX / KVI_PAGE_SIZE_MIN];
    uint32_t left = padding_of(g, size_bytes);
    uint64_t since = kvi_pager_now(pager);
    int count = 2;
    int rc;

    parts[0] = (struct iovec){header, KVI_HEADER_BYTES};
    parts[1] = (struct iovec){(void *)(uintptr_t)value, (size_t)size_bytes};
    while (left > 0) {
        uint32_t size = left < sizeof(zeros) ? left : (uint32_t)sizeof(zeros);

        parts[count++] = (struct iovec){(void *)(uintptr_t)zeros, size};
        left -= size;
    }
    rc = kvi_os->writev_at(pager->view.map->fd, parts, count, pgno << g->page_shift);
    kvi_pager_spent(pager, since);
    return rc;
}

int kvi_pager_write_run(struct kvi_pager *pager, const void *value, uint64_t size_bytes,
                        struct kvi_ref *ref)
{
    const size_t skip = KVI_HEADER_CHECKSUM + 8;
    uint64_t pages = kvi_run_pages(kvi_pager_geometry(pager), size_bytes);
    uint8_t header[KVI_HEADER_BYTES];
    uint64_t pgno = 0;
    uint64_t sum;
    int rc;

    rc = kvi_pager_take(pager, pages, &pgno);
    if (rc)
        return rc;
    init_header(pager, header, pgno, size_bytes);
    sum = kvi_checksum2(header + skip, sizeof(header) - skip, value, (size_t)size_bytes);
    kvi_le_store64(header + KVI_HEADER_CHECKSUM, sum);
    pager->pages_written += pages;
    rc = kvi_pgset_reserve(&pager->written, pgno, pages);
    if (!rc)
        rc = write_run(pager, pgno, header, value, size_bytes);
    if (rc) {
        if (kvi_space_release(pager->space, pgno, pages))
            pager->broken = rc;
        return rc;
    }
    kvi_pgset_add(&pager->written, pgno, pages);
    *ref = (struct kvi_ref){pgno, kvi_checksum_tag(sum)};
    kvi_map_note(pager->view.map, pgno, ref->tag);
    kvi_store_wrote(kvi_pager_store(pager), pgno, pages);
    return 0;
}

/* An image of a run with its header and padding. */
static int make_run(struct kvi_pager *pager, enum kvi_image_kind kind, uint64_t size_bytes,
                    struct kvi_ref *ref, uint8_t **data_out)
{
    const struct kvi_geometry *g = kvi_pager_geometry(pager);
    uint8_t *bytes = NULL;
    int rc;

    rc = kvi_pager_make_image(pager, kind, kvi_run_pages(g, size_bytes), &ref->pgno, &bytes);
    if (rc)
        return rc;
    init_header(pager, bytes, ref->pgno, size_bytes);
    memset(bytes + KVI_HEADER_BYTES + size_bytes, 0, padding_of(g, size_bytes));
    *data_out = bytes + KVI_HEADER_BYTES;
    return 0;
}

int kvi_pager_put_run(struct kvi_pager *pager, const void *value, uint64_t size_bytes,
                      struct kvi_ref *ref_out)
{
    uint8_t *data = NULL;
    int rc;

    assert(size_bytes > 0);
    assert(size_bytes <= KVI_VALUE_BYTES_MAX);
    *ref_out = (struct kvi_ref){0, 0};
    rc = kvi_pager_ready(pager);
    if (rc)
        return rc;
    if (size_bytes >= KVI_RUN_DIRECT_BYTES)
        return kvi_pager_write_run(pager, value, size_bytes, ref_out);
    rc = make_run(pager, KVI_IMAGE_RUN, size_bytes, ref_out, &data);
    if (!rc)
        memcpy(data, value, (size_t)size_bytes);
    return rc;
}

int kvi_pager_reserve_run(struct kvi_pager *pager, uint64_t size_bytes, struct kvi_ref *ref_out,
                          uint8_t **data_out)
{
    int rc;

    assert(size_bytes > 0);
    assert(size_bytes <= KVI_VALUE_BYTES_MAX);
    *ref_out = (struct kvi_ref){0, 0};
    *data_out = NULL;
    rc = kvi_pager_ready(pager);
    return rc ? rc : make_run(pager, KVI_IMAGE_ZERO_RUN, size_bytes, ref_out, data_out);
}

/* The image of a run with tag 0, if it is one of this size. */
static int find_run(const struct kvi_pager *pager, uint64_t pgno, uint64_t size_bytes,
                    const uint8_t **bytes_out)
{
    const struct kvi_image *image = kvi_pager_find_image(pager, pgno);

    if (!image)
        return kvi_pager_corrupt(pager, pgno, "a reference has no tag");
    if (!kvi_header_is(image->bytes, pgno, KVI_PAGE_OVERFLOW, 0) ||
        kvi_header_run_size(image->bytes) != size_bytes)
        return kvi_pager_corrupt(pager, pgno, "a reference to a run names another page");
    *bytes_out = image->bytes;
    return 0;
}

int kvi_pager_run(struct kvi_pager *pager, struct kvi_ref ref, uint64_t size_bytes,
                  const uint8_t **data_out)
{
    const uint8_t *bytes = NULL;
    int rc;

    if (ref.tag)
        return kvi_view_run(&pager->view, ref, size_bytes, data_out);
    *data_out = NULL;
    rc = find_run(pager, ref.pgno, size_bytes, &bytes);
    if (!rc)
        *data_out = bytes + KVI_HEADER_BYTES;
    return rc;
}

int kvi_pager_free_run(struct kvi_pager *pager, struct kvi_ref ref, uint64_t size_bytes)
{
    const uint8_t *bytes = NULL;
    int rc;

    rc = kvi_pager_ready(pager);
    if (rc)
        return rc;
    rc = ref.tag ? kvi_view_run_head(&pager->view, ref, size_bytes)
                 : find_run(pager, ref.pgno, size_bytes, &bytes);
    if (rc)
        return rc;
    return kvi_pager_give_up_ref(pager, ref, kvi_run_pages(kvi_pager_geometry(pager), size_bytes));
}
