/* SPDX-License-Identifier: MIT */
/*
 * Owns sealing at commit: from the leaves up, each dirty page gets its checksum, and the reference
 * in its parent gets the tag, which is part of what the parent's checksum covers.
 *
 * Walks references with tag 0 only, so a commit costs what it changed. The recursion goes down one
 * level at a time, and the header of each page is compared with the level that is due, so its depth
 * is bounded by the tree's whatever the pages hold. Leaves are searched for runs only if the txn
 * has any.
 */
#include <assert.h>

#include "pager/inside.h"

static void finish(struct kvi_pager *pager, struct kvi_image *image, uint32_t *tag_out)
{
    if (image->sealed) {
        *tag_out = kvi_page_tag(image->bytes);
        return;
    }
    *tag_out = kvi_page_seal(kvi_pager_geometry(pager), image->bytes);
    image->sealed = 1;
}

/* The image that is due here; KV_ECORRUPT if there is none, or one of another kind. */
static int find_due(const struct kvi_pager *pager, uint64_t pgno, enum kvi_page_type type,
                    unsigned level, struct kvi_image **image_out)
{
    *image_out = kvi_images_find(&pager->images, pgno);
    if (!*image_out)
        return kvi_pager_corrupt(pager, pgno, "a reference has no tag");
    if (!kvi_header_is((*image_out)->bytes, pgno, type, level))
        return kvi_pager_corrupt(pager, pgno,
                                 "its type or level is not the one that the reference calls for");
    return 0;
}

static int seal_run(struct kvi_pager *pager, const struct kvi_unsealed *due, uint32_t *tag_out)
{
    struct kvi_image *image = NULL;
    int rc = find_due(pager, due->pgno, KVI_PAGE_OVERFLOW, 0, &image);

    if (rc)
        return rc;
    if (kvi_header_run_size(image->bytes) != due->run_bytes)
        return kvi_pager_corrupt(pager, due->pgno, "a reference to a run names another page");
    finish(pager, image, tag_out);
    return 0;
}

static int seal_page(struct kvi_pager *pager, uint64_t pgno, unsigned level, uint32_t *tag_out);

/* Everything below the page, and its references to that. */
static int seal_below(struct kvi_pager *pager, uint8_t *page, uint64_t pgno, unsigned level)
{
    struct kvi_unsealed due;
    struct kvi_refs refs;
    int more;

    if (!kvi_refs_begin(&refs, kvi_pager_geometry(pager), page))
        return kvi_pager_corrupt(pager, pgno, "its header or slots are out of bounds");
    while ((more = kvi_refs_next(&refs, &due)) > 0) {
        uint32_t tag = 0;
        int rc = level ? seal_page(pager, due.pgno, level - 1, &tag) : seal_run(pager, &due, &tag);

        if (rc)
            return rc;
        kvi_refs_set_tag(page, &due, tag);
    }
    return more < 0 ? kvi_pager_corrupt(pager, pgno, "a cell is out of bounds") : 0;
}

static int seal_page(struct kvi_pager *pager, uint64_t pgno, unsigned level, uint32_t *tag_out)
{
    struct kvi_image *image = NULL;
    int rc;

    rc = find_due(pager, pgno, level ? KVI_PAGE_BRANCH : KVI_PAGE_LEAF, level, &image);
    if (rc)
        return rc;
    if (!image->sealed && (level || pager->dirty_runs))
        rc = seal_below(pager, image->bytes, pgno, level);
    if (!rc)
        finish(pager, image, tag_out);
    return rc;
}

int kvi_pager_seal(struct kvi_pager *pager, struct kvi_ref *root, unsigned depth)
{
    int rc;

    assert(!pager->parent);
    rc = kvi_pager_ready(pager);
    if (rc || root->pgno == 0 || root->tag != 0)
        return rc;
    if (depth == 0 || depth > KVI_DEPTH_MAX)
        return kvi_pager_corrupt(pager, root->pgno, "a tree has an impossible depth");
    return seal_page(pager, root->pgno, depth - 1, &root->tag);
}
