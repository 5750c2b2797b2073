/* SPDX-License-Identifier: MIT */
/*
 * Owns pages and runs that come complete, one after the other, and are not changed again: those of
 * a bulk build.
 *
 *     new -> [ filled by the caller ] -> done: sealed, reference known -> written with those before
 *
 * They get their numbers in the order in which they come, so that they stand in the file as they
 * are read, and their tags at once, so that what refers to them is complete too. No image of them
 * is kept: they count as written early, and what comes back to be changed is read back. Some wait
 * to be written in one long call; nothing may follow a reference to one of these before a flush.
 *
 * Buffers are owned here. A failure leaves the txn fit for abort only: the pager is broken then.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pager/inside.h"

/* What waits for a write: enough for a few long calls, and little enough to be in cache still. */
#define STAGE_PAGES_MAX 256u

struct kvi_stage {
    struct kvi_pager *pager;
    struct kvi_write_item items[STAGE_PAGES_MAX]; /* the last one may be open */
    size_t count;
    uint64_t pages; /* of the items */
    bool open;      /* the last item is being filled */
};

int kvi_stage_open(struct kvi_pager *pager, struct kvi_stage **stage_out)
{
    struct kvi_stage *stage = calloc(1, sizeof(*stage));

    *stage_out = stage;
    if (!stage)
        return ENOMEM;
    stage->pager = pager;
    return 0;
}

static void drop_items(struct kvi_stage *stage)
{
    for (size_t i = 0; i < stage->count; i++)
        kvi_pager_free_bytes(stage->pager, (uint8_t *)(uintptr_t)stage->items[i].bytes,
                             stage->items[i].pages);
    stage->count = 0;
    stage->pages = 0;
    stage->open = false;
}

void kvi_stage_close(struct kvi_stage *stage)
{
    if (!stage)
        return;
    if (stage->count && !stage->pager->broken)
        stage->pager->broken = EIO; /* never: an abort follows */
    drop_items(stage);
    free(stage);
}

int kvi_stage_flush(struct kvi_stage *stage)
{
    int rc = kvi_pager_ready(stage->pager);

    assert(!stage->open);
    if (!rc && stage->count)
        rc = kvi_pager_write_items(stage->pager, stage->items, stage->count);
    if (rc)
        stage->pager->broken = rc;
    drop_items(stage);
    return rc;
}

/* Takes the next pages, noted as this level's own. */
static int take_pages(struct kvi_stage *stage, uint64_t pages, uint64_t *pgno_out)
{
    struct kvi_pager *pager = stage->pager;
    int rc = kvi_pager_take(pager, pages, pgno_out);

    if (rc)
        return rc;
    if (kvi_pager_find_image(pager, *pgno_out))
        return kvi_pager_corrupt(pager, *pgno_out, "a page in use was taken for free");
    rc = kvi_pgset_reserve(&pager->written, *pgno_out, pages);
    if (!rc)
        kvi_pgset_add(&pager->written, *pgno_out, pages);
    else if (kvi_space_release(pager->space, *pgno_out, pages))
        pager->broken = rc;
    return rc;
}

/* Room for one more item, and its buffer. */
static int open_item(struct kvi_stage *stage, uint64_t pages)
{
    const struct kvi_geometry *g = kvi_pager_geometry(stage->pager);
    struct kvi_write_item *item;
    int rc = kvi_pager_ready(stage->pager);

    assert(!stage->open);
    if (!rc && stage->pages + pages > STAGE_PAGES_MAX)
        rc = kvi_stage_flush(stage);
    if (rc)
        return rc;
    item = &stage->items[stage->count];
    item->pages = pages;
    item->bytes =
        pages == 1 ? kvi_pool_get(stage->pager->pool) : malloc((size_t)pages << g->page_shift);
    if (!item->bytes)
        return ENOMEM;
    stage->count++;
    stage->pages += pages;
    stage->open = true;
    return take_pages(stage, pages, &item->pgno);
}

int kvi_stage_new(struct kvi_stage *stage, enum kvi_page_type type, unsigned level,
                  uint8_t **page_out)
{
    const struct kvi_write_item *item;
    int rc = open_item(stage, 1);

    *page_out = NULL;
    if (rc)
        return rc;
    item = &stage->items[stage->count - 1];
    *page_out = (uint8_t *)(uintptr_t)item->bytes;
    kvi_header_init(*page_out, type, level, item->pgno, stage->pager->view.txnid);
    return 0;
}

void kvi_stage_done(struct kvi_stage *stage, struct kvi_ref *ref_out)
{
    const struct kvi_write_item *item = &stage->items[stage->count - 1];

    assert(stage->open);
    ref_out->pgno = item->pgno;
    ref_out->tag =
        kvi_page_seal(kvi_pager_geometry(stage->pager), (uint8_t *)(uintptr_t)item->bytes);
    stage->open = false;
}

int kvi_stage_run(struct kvi_stage *stage, const void *value, uint64_t size_bytes,
                  struct kvi_ref *ref_out)
{
    const struct kvi_geometry *g = kvi_pager_geometry(stage->pager);
    uint64_t pages = kvi_run_pages(g, size_bytes);
    size_t used_bytes = KVI_HEADER_BYTES + (size_t)size_bytes;
    const struct kvi_write_item *item;
    uint8_t *bytes;
    int rc;

    *ref_out = (struct kvi_ref){0, 0};
    if (pages > STAGE_PAGES_MAX / 2) { /* a write of its own is long enough */
        rc = kvi_pager_ready(stage->pager);
        return rc ? rc : kvi_pager_write_run(stage->pager, value, size_bytes, ref_out);
    }
    rc = open_item(stage, pages);
    if (rc)
        return rc;
    item = &stage->items[stage->count - 1];
    bytes = (uint8_t *)(uintptr_t)item->bytes;
    kvi_header_init(bytes, KVI_PAGE_OVERFLOW, 0, item->pgno, stage->pager->view.txnid);
    kvi_le_store64(bytes + KVI_HEADER_RUN_SIZE, size_bytes);
    memcpy(bytes + KVI_HEADER_BYTES, value, (size_t)size_bytes);
    memset(bytes + used_bytes, 0, ((size_t)pages << g->page_shift) - used_bytes);
    kvi_stage_done(stage, ref_out);
    return 0;
}
