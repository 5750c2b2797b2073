/* SPDX-License-Identifier: MIT */
/*
 * Owns the levels: open, close, and a nested txn's commit into its parent.
 *
 * A merge takes all memory that it needs before it changes anything. Then the child's frees are
 * applied by the parent's rule, before its images move over, so that each is looked up in what the
 * parent itself has. If the space map refuses one of them (a damaged file), the parent is broken:
 * part of the child's frees count.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "kv.h"
#include "pager/inside.h"

int kvi_pager_open(const struct kvi_view *view, struct kvi_space *space, struct kvi_pool *pool,
                   uint64_t budget_bytes, struct kvi_pager *parent, struct kvi_pager **pager_out)
{
    struct kvi_pager *pager;

    *pager_out = NULL;
    pager = calloc(1, sizeof(*pager));
    if (!pager)
        return ENOMEM;
    pager->view = *view;
    pager->space = space;
    pager->pool = pool;
    pager->parent = parent;
    pager->fresh_from = parent ? parent->fresh_from : view->page_end;
    pager->budget_pages = budget_bytes >> view->map->geometry.page_shift;
    if (pager->budget_pages < KVI_DIRTY_BUDGET_MIN)
        pager->budget_pages = KVI_DIRTY_BUDGET_MIN;
    pager->spill_above = pager->budget_pages;
    if (parent) {
        assert(!parent->child);
        assert(parent->view.txnid == view->txnid);
        if (pager->view.page_end < parent->view.page_end)
            pager->view.page_end = parent->view.page_end;
        pager->clock = parent->clock;
        pager->write_ns = parent->write_ns;
        parent->child = pager;
    }
    *pager_out = pager;
    return 0;
}

/* What was handed to a nested txn is free again. Its parent is broken should the space map refuse.
 */
static void hand_back(struct kvi_pager *pager)
{
    const struct kvi_image *image;
    uint64_t pgno = 0;
    uint64_t count;
    size_t at = 0;
    int rc = 0;

    while (!rc && (image = kvi_images_next(&pager->images, &at)))
        rc = kvi_space_release(pager->space, image->pgno, image->pages);
    for (; !rc && kvi_pgset_next(&pager->written, &pgno, &count); pgno += count)
        rc = kvi_space_release(pager->space, pgno, count);
    if (rc && !pager->parent->broken)
        pager->parent->broken = rc;
}

static void free_pager(struct kvi_pager *pager)
{
    const struct kvi_image *image;
    size_t at = 0;

    while ((image = kvi_images_next(&pager->images, &at)))
        kvi_pager_free_bytes(pager, image->bytes, image->pages);
    kvi_images_release(&pager->images);
    kvi_pgset_release(&pager->written);
    free(pager->pended);
    if (pager->parent) {
        pager->parent->pages_written += pager->pages_written;
        pager->parent->child = NULL;
    }
    free(pager);
}

void kvi_pager_close(struct kvi_pager *pager)
{
    if (!pager)
        return;
    assert(!pager->child);
    if (pager->parent)
        hand_back(pager);
    free_pager(pager);
}

/* ---- Merge ---- */

static int reserve_pended(struct kvi_pager *pager, size_t more)
{
    size_t max = pager->pended_count + more;
    struct kvi_pended *grown;

    if (max <= pager->pended_max)
        return 0;
    grown = realloc(pager->pended, max * sizeof(*grown));
    if (!grown)
        return ENOMEM;
    pager->pended = grown;
    pager->pended_max = max;
    return 0;
}

static void move_images(struct kvi_pager *parent, struct kvi_pager *child)
{
    const struct kvi_image *image;
    size_t at = 0;

    while ((image = kvi_images_next(&child->images, &at)))
        kvi_images_add(&parent->images, image);
    kvi_images_release(&child->images);
    parent->dirty_pages += child->dirty_pages;
    parent->dirty_runs += child->dirty_runs;
}

int kvi_pager_merge(struct kvi_pager *child)
{
    struct kvi_pager *parent = child->parent;
    int rc;

    assert(parent);
    assert(parent->child == child);
    rc = kvi_pager_ready(child);
    if (!rc)
        rc = kvi_images_reserve(&parent->images, child->images.count);
    if (!rc)
        rc = kvi_pgset_reserve_all(&parent->written, &child->written);
    if (!rc && parent->parent)
        rc = reserve_pended(parent, child->pended_count);
    if (rc)
        return rc;
    for (size_t i = 0; i < child->pended_count; i++) {
        rc = kvi_pager_give_up(parent, child->pended[i].pgno, child->pended[i].pages);
        if (rc) {
            parent->broken = rc;
            return rc;
        }
    }
    move_images(parent, child);
    kvi_pgset_move_all(&parent->written, &child->written);
    parent->clock = child->clock;
    if (parent->view.page_end < child->view.page_end)
        parent->view.page_end = child->view.page_end;
    free_pager(child);
    return 0;
}
