/* SPDX-License-Identifier: MIT */
/*
 * Owns pages and runs that come complete, one after the other, and are not changed again: those of
 * a bulk build.
 *
 *     page -> [ filled by the caller ] -> put: numbered, sealed -> written with those before it
 *
 * They get their numbers in the order in which they come, so that they stand in the file as they
 * are read, and their tags at once, so that what refers to them is complete too. No image of them
 * is kept: they count as written early, and what comes back to be changed is read back. Some wait
 * to be written in one long call; nothing may follow a reference to one of these before a flush.
 *
 * Buffers are owned here from `put` on. A failure leaves the txn fit for abort only: the pager is
 * broken then.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pager/inside.h"

/* What waits for a write: one long call of pages, in cache still. */
#ifdef KVI_SMALL_LIMITS
#define STAGE_BYTES ((size_t)4 * KVI_PAGE_SIZE_MIN)
#else
#define STAGE_BYTES ((size_t)256 * KVI_PAGE_SIZE_MIN)
#endif
#define STAGE_ITEMS_MAX (STAGE_BYTES / KVI_PAGE_SIZE_MIN)

struct kvi_stage {
    struct kvi_pager *pager;
    struct kvi_write_item items[STAGE_ITEMS_MAX];
    size_t count;
    uint64_t pages_max; /* that wait */
    uint64_t pages;
};

int kvi_stage_open(struct kvi_pager *pager, struct kvi_stage **stage_out)
{
    struct kvi_stage *stage = calloc(1, sizeof(*stage));

    *stage_out = stage;
    if (!stage)
        return ENOMEM;
    stage->pager = pager;
    stage->pages_max = STAGE_BYTES >> kvi_pager_geometry(pager)->page_shift;
    if (stage->pages_max == 0)
        stage->pages_max = 1;
    return 0;
}

static void drop_items(struct kvi_stage *stage)
{
    for (size_t i = 0; i < stage->count; i++)
        kvi_pager_free_bytes(stage->pager, (uint8_t *)(uintptr_t)stage->items[i].bytes,
                             stage->items[i].pages);
    stage->count = 0;
    stage->pages = 0;
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

    stage->pager->staging = true;
    if (!rc && stage->count)
        rc = kvi_pager_write_items(stage->pager, stage->items, stage->count);
    stage->pager->staging = false;
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

/* Seals what is complete in `bytes` but for its page number, and queues it. The bytes are owned here
 * whatever the result. */
static int put(struct kvi_stage *stage, uint8_t *bytes, uint64_t pages, struct kvi_ref *ref_out)
{
    uint64_t pgno = 0;
    int rc = kvi_pager_ready(stage->pager);

    if (!rc && stage->count && stage->pages + pages > stage->pages_max)
        rc = kvi_stage_flush(stage);
    if (!rc)
        rc = take_pages(stage, pages, &pgno);
    if (rc) {
        kvi_pager_free_bytes(stage->pager, bytes, pages);
        return rc;
    }
    kvi_le_store48(bytes + KVI_HEADER_PGNO, pgno);
    ref_out->pgno = pgno;
    ref_out->tag = kvi_page_seal(kvi_pager_geometry(stage->pager), bytes);
    stage->items[stage->count++] = (struct kvi_write_item){pgno, bytes, pages};
    stage->pages += pages;
    return 0;
}

int kvi_stage_page(struct kvi_stage *stage, enum kvi_page_type type, unsigned level,
                   uint8_t **page_out)
{
    *page_out = kvi_pool_get(stage->pager->pool);
    if (!*page_out)
        return ENOMEM;
    kvi_header_init(*page_out, type, level, 0, stage->pager->view.txnid);
    return 0;
}

int kvi_stage_put(struct kvi_stage *stage, uint8_t *page, struct kvi_ref *ref_out)
{
    *ref_out = (struct kvi_ref){0, 0};
    return put(stage, page, 1, ref_out);
}

void kvi_stage_drop(struct kvi_stage *stage, uint8_t *page)
{
    if (page)
        kvi_pool_put(stage->pager->pool, page);
}

int kvi_stage_run(struct kvi_stage *stage, const void *value, uint64_t size_bytes,
                  struct kvi_ref *ref_out)
{
    const struct kvi_geometry *g = kvi_pager_geometry(stage->pager);
    uint64_t pages = kvi_run_pages(g, size_bytes);
    size_t used_bytes = KVI_HEADER_BYTES + (size_t)size_bytes;
    uint8_t *bytes;
    int rc;

    *ref_out = (struct kvi_ref){0, 0};
    if (pages > stage->pages_max / 2) { /* a call of its own is long enough */
        rc = kvi_pager_ready(stage->pager);
        return rc ? rc : kvi_pager_write_run(stage->pager, value, size_bytes, ref_out);
    }
    bytes = pages == 1 ? kvi_pool_get(stage->pager->pool) : malloc((size_t)pages << g->page_shift);
    if (!bytes)
        return ENOMEM;
    kvi_header_init(bytes, KVI_PAGE_OVERFLOW, 0, 0, stage->pager->view.txnid);
    kvi_le_store64(bytes + KVI_HEADER_RUN_SIZE, size_bytes);
    memcpy(bytes + KVI_HEADER_BYTES, value, (size_t)size_bytes);
    memset(bytes + used_bytes, 0, ((size_t)pages << g->page_shift) - used_bytes);
    return put(stage, bytes, pages, ref_out);
}
