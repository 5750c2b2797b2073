/* SPDX-License-Identifier: MIT */
/*
 * The pager's inside, shared by the files of this folder and by nobody else.
 *
 * A level's own pages are those in its dirty table and, of those that it wrote early, the set
 * `written`; both together are what an abort of a nested txn hands back. Whether a page is own is
 * never taken from its header, which is file content.
 *
 *   pager.c   pages: read, touch, new, free              spill.c   what is written early, and when
 *   level.c   open, close, merge                         write.c   sorted, merged writes
 *   run.c     overflow runs                              refs.c    references with tag 0 in a page
 *   seal.c    checksums from the leaves up               store.c   the writer's mapping
 *   stage.c   pages of a bulk build                      images.c, pgset.c, pool.c   containers
 */
#ifndef KVI_PAGER_INSIDE_H
#define KVI_PAGER_INSIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "pager/images.h"
#include "pager/pager.h"
#include "pager/pgset.h"
#include "pager/store.h"

/* What a nested txn frees of its parents, until it commits. */
struct kvi_pended {
    uint64_t pgno;
    uint64_t pages;
};

struct kvi_pager {
    struct kvi_view view;      /* of the base snapshot; page_end follows what is handed out */
    struct kvi_space *space;   /* one for all levels */
    struct kvi_pool *pool;     /* likewise */
    struct kvi_store *store;   /* of the top txn; NULL: all pages are written by calls */
    struct kvi_pager *parent;  /* NULL: the top txn */
    struct kvi_pager *child;   /* the live nested txn; nothing is changed here while there is one */
    struct kvi_images images;  /* dirty pages and runs of this level */
    struct kvi_pgset written;  /* own pages that stand in the file, written early */
    struct kvi_pended *pended; /* nested only */
    size_t pended_count;
    size_t pended_max;
    uint64_t fresh_from;    /* no live snapshot had a page from here on */
    uint64_t dirty_pages;   /* in images */
    uint64_t dirty_runs;    /* run images */
    uint64_t budget_pages;  /* that images should not exceed */
    uint64_t spill_above;   /* dirty pages from which on a spill pays; >= budget_pages */
    uint64_t pages_written; /* or tried to be, by spill, put_run, write */
    uint64_t *write_ns;     /* gets the time spent in writes; NULL: no clock is asked */
    uint32_t clock;         /* images made so far, wrapping: the age of images */
    bool staging;           /* what is being written comes from a bulk build */
    int broken;             /* a change stopped half-way: the result that every later one gets */
};

/* ---- pool.c ---- */

/* A buffer of page size; NULL: no memory. */
uint8_t *kvi_pool_get(struct kvi_pool *pool);
void kvi_pool_put(struct kvi_pool *pool, uint8_t *bytes);

/* blocks.c's memory between txns, 0 at first. */
uint64_t *kvi_pool_ready_end(struct kvi_pool *pool);

/* ---- blocks.c ---- */

/* Pages [pgno_first, pgno_end) are about to be written in one go, and more may follow. */
void kvi_blocks_ahead(const struct kvi_pager *pager, uint64_t pgno_first, uint64_t pgno_end);

/* ---- pager.c ---- */

/* Whether a change may be made now. */
KVI_MUST_CHECK int kvi_pager_ready(const struct kvi_pager *pager);

/* Hands out consecutive pages that the mapping reaches. */
KVI_MUST_CHECK int kvi_pager_take(struct kvi_pager *pager, uint64_t pages, uint64_t *pgno_out);

enum kvi_image_kind { KVI_IMAGE_PAGE, KVI_IMAGE_RUN, KVI_IMAGE_ZERO_RUN };

/* A new image of `pages` pages: at *pgno, or on newly taken pages if that is 0. Content undefined,
 * or zero. */
KVI_MUST_CHECK int kvi_pager_make_image(struct kvi_pager *pager, enum kvi_image_kind kind,
                                        uint64_t pages, uint64_t *pgno, uint8_t **bytes_out);

/* Removes an image from the table; its bytes become the caller's, its pages stay claimed. */
void kvi_pager_take_image(struct kvi_pager *pager, struct kvi_image *image);

/* Frees the bytes of an image that is in no table. */
void kvi_pager_free_bytes(struct kvi_pager *pager, uint8_t *bytes, uint64_t pages);

/* The image of a page that the txn has changed, in this level or those above it; NULL: none. */
struct kvi_image *kvi_pager_find_image(const struct kvi_pager *pager, uint64_t pgno);

/* Gives pages up by this level's rule: own ones are free again, others are retired, in a nested txn
 * when it commits. */
KVI_MUST_CHECK int kvi_pager_give_up(struct kvi_pager *pager, uint64_t pgno, uint64_t pages);

/* The same for a reference: one with tag 0 must have an image, any other must have none. */
KVI_MUST_CHECK int kvi_pager_give_up_ref(struct kvi_pager *pager, struct kvi_ref ref,
                                         uint64_t pages);

KVI_MUST_CHECK int kvi_pager_corrupt(const struct kvi_pager *pager, uint64_t pgno,
                                     const char *what);

/* ---- refs.c ---- */

/* A walk over the references with tag 0 of a branch (its children) or a leaf (its runs). */
struct kvi_refs {
    const struct kvi_geometry *geometry;
    const uint8_t *page;
    unsigned slot;
    bool leaf;
};

struct kvi_unsealed {
    uint64_t pgno;
    uint64_t run_bytes; /* of a leaf's: the value's size */
    uint32_t at;        /* where the reference stands in the page */
};

/* False: damage. */
bool kvi_refs_begin(struct kvi_refs *refs, const struct kvi_geometry *g, const uint8_t *page);

/* 1: *out is the next; 0: no more; -1: damage. The page's references may be set meanwhile. */
int kvi_refs_next(struct kvi_refs *refs, struct kvi_unsealed *out);

static inline void kvi_refs_set_tag(uint8_t *page, const struct kvi_unsealed *unsealed,
                                    uint32_t tag)
{
    kvi_le_store32(page + unsealed->at + 6, tag);
}

/* ---- run.c ---- */

/* A new run, written to its place from the caller's memory in a call of its own. */
KVI_MUST_CHECK int kvi_pager_write_run(struct kvi_pager *pager, const void *value,
                                       uint64_t size_bytes, struct kvi_ref *ref);

/* ---- write.c ---- */

/* The time, if it is asked for how long writes take; and adding what went by since. */
uint64_t kvi_pager_now(const struct kvi_pager *pager);
void kvi_pager_spent(const struct kvi_pager *pager, uint64_t since);

struct kvi_write_item {
    uint64_t pgno;
    const uint8_t *bytes;
    uint64_t pages;
};

/* The writer's mapping, if this txn uses it. */
struct kvi_store *kvi_pager_store(const struct kvi_pager *pager);

/* Writes sealed pages and runs, in file order, neighbours merged, or stores them; notes their tags.
 * `items` is reordered. */
KVI_MUST_CHECK int kvi_pager_write_items(struct kvi_pager *pager, struct kvi_write_item *items,
                                         size_t count);

#endif
