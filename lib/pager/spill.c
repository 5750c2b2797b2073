/* SPDX-License-Identifier: MIT */
/*
 * Owns the budget: which images are written early, before the commit, so that a txn may be larger
 * than memory.
 *
 *          branch, dirty, stays: gets the tags
 *         /        |         \
 *      leaf      leaf       leaf (old)  --> sealed, written, image dropped
 *                             \ run     --> likewise, before the leaf
 *
 * Pages go from the lowest level up: runs of any leaf, leaves, then branches with nothing dirty
 * below. A page that no dirty page of this level refers to (a root, or the child of a page that is
 * a parent txn's) stays. So does a page that refers to a parent txn's image, since only that txn
 * may seal it.
 *
 * A spill looks at every dirty page once or twice and goes down to half of the budget, so each page
 * that it writes pays for a bounded amount of looking. What cannot be written is left out of
 * account: the next spill is due half a budget above what remained (spill_above). Old images go
 * first, where age is counted in images made since the last touch, and a page that is changed all
 * the time stays.
 *
 * If anything fails on the way, references may hold tags of pages that the file lacks: the pager is
 * broken.
 */
#include <errno.h>
#include <stdlib.h>

#include "pager/inside.h"

/* A dirty page whose references may be sealed. */
struct parent {
    uint8_t *bytes;
    uint64_t pgno;
    unsigned level;
};

struct spill {
    struct kvi_pager *pager;
    uint64_t goal_pages;    /* dirty pages to be left */
    uint32_t age_min;       /* spare younger images */
    struct parent *parents; /* this round's */
    size_t parents_count;
    unsigned level_max;           /* of the parents */
    struct kvi_write_item *items; /* sealed and taken out of the table; room for all images */
    size_t items_count;
};

bool kvi_pager_over_budget(const struct kvi_pager *pager)
{
    return pager->dirty_pages > pager->spill_above;
}

/* Whether this level or one above has run images, so that leaves must be searched for them. */
static bool has_dirty_runs(const struct kvi_pager *pager)
{
    while (pager && pager->dirty_runs == 0)
        pager = pager->parent;
    return pager != NULL;
}

static bool is_done(const struct spill *s)
{
    return s->pager->dirty_pages <= s->goal_pages;
}

/* Whether nothing dirty is below the image, so that it may be sealed. */
static int is_ready(const struct spill *s, const struct kvi_image *image, bool *ready_out)
{
    const struct kvi_pager *pager = s->pager;
    struct kvi_unsealed due;
    struct kvi_refs refs;
    int more;

    *ready_out = true;
    if (image->run)
        return 0;
    if (kvi_header_type(image->bytes) == KVI_PAGE_LEAF && !has_dirty_runs(pager))
        return 0;
    if (!kvi_refs_begin(&refs, kvi_pager_geometry(pager), image->bytes))
        return kvi_pager_corrupt(pager, image->pgno, "its header or slots are out of bounds");
    more = kvi_refs_next(&refs, &due);
    if (more < 0)
        return kvi_pager_corrupt(pager, image->pgno, "a cell is out of bounds");
    *ready_out = more == 0;
    return 0;
}

/* Whether what the image is agrees with the reference to it. */
static bool is_due(const struct kvi_image *image, const struct parent *parent,
                   const struct kvi_unsealed *due)
{
    if (parent->level == 0)
        return kvi_header_is(image->bytes, due->pgno, KVI_PAGE_OVERFLOW, 0) &&
               kvi_header_run_size(image->bytes) == due->run_bytes;
    return kvi_header_is(image->bytes, due->pgno,
                         parent->level == 1 ? KVI_PAGE_LEAF : KVI_PAGE_BRANCH, parent->level - 1);
}

/* Seals the image and moves it from the table to the items. */
static int take_out(struct spill *s, const struct parent *parent, const struct kvi_unsealed *due,
                    struct kvi_image *image)
{
    struct kvi_pager *pager = s->pager;
    int rc;

    rc = kvi_pgset_reserve(&pager->written, image->pgno, image->pages);
    if (rc)
        return rc;
    kvi_pgset_add(&pager->written, image->pgno, image->pages);
    kvi_refs_set_tag(parent->bytes, due, kvi_page_seal(kvi_pager_geometry(pager), image->bytes));
    s->items[s->items_count++] = (struct kvi_write_item){image->pgno, image->bytes, image->pages};
    kvi_pager_take_image(pager, image);
    return 0;
}

static int spill_one(struct spill *s, const struct parent *parent, const struct kvi_unsealed *due)
{
    struct kvi_image *image = kvi_images_find(&s->pager->images, due->pgno);
    bool ready = false;
    int rc;

    if (!image || s->pager->clock - image->stamp < s->age_min)
        return 0;
    if (!is_due(image, parent, due))
        return kvi_pager_corrupt(s->pager, due->pgno,
                                 "its type or level is not the one that the reference calls for");
    rc = is_ready(s, image, &ready);
    if (rc || !ready)
        return rc;
    return take_out(s, parent, due, image);
}

static int spill_below(struct spill *s, const struct parent *parent)
{
    struct kvi_unsealed due;
    struct kvi_refs refs;
    int more;

    if (!kvi_refs_begin(&refs, kvi_pager_geometry(s->pager), parent->bytes))
        return kvi_pager_corrupt(s->pager, parent->pgno, "its header or slots are out of bounds");
    while ((more = kvi_refs_next(&refs, &due)) > 0) {
        int rc = spill_one(s, parent, &due);

        if (rc)
            return rc;
    }
    return more < 0 ? kvi_pager_corrupt(s->pager, parent->pgno, "a cell is out of bounds") : 0;
}

/* The dirty pages that may hold references with tag 0. */
static void list_parents(struct spill *s)
{
    const struct kvi_pager *pager = s->pager;
    const struct kvi_image *image;
    size_t at = 0;

    s->parents_count = 0;
    s->level_max = 0;
    while ((image = kvi_images_next(&pager->images, &at))) {
        unsigned level = kvi_header_level(image->bytes);

        if (image->run || (level == 0 && pager->dirty_runs == 0))
            continue;
        s->parents[s->parents_count++] = (struct parent){image->bytes, image->pgno, level};
        if (level > s->level_max)
            s->level_max = level;
    }
}

/* From the lowest level up, so that a parent is gone through before it may go itself. */
static int spill_round(struct spill *s, uint32_t age_min)
{
    int rc = 0;

    s->age_min = age_min;
    list_parents(s);
    for (unsigned level = 0; !rc && level <= s->level_max; level++) {
        for (size_t i = 0; !rc && !is_done(s) && i < s->parents_count; i++) {
            if (s->parents[i].level == level)
                rc = spill_below(s, &s->parents[i]);
        }
    }
    return rc;
}

static int spill_all(struct spill *s)
{
    struct kvi_pager *pager = s->pager;
    int rc;

    rc = spill_round(s, (uint32_t)(pager->budget_pages / 4));
    if (!rc && !is_done(s))
        rc = spill_round(s, 0);
    if (!rc)
        rc = kvi_pager_write_items(pager, s->items, s->items_count);
    for (size_t i = 0; i < s->items_count; i++)
        kvi_pager_free_bytes(pager, (uint8_t *)(uintptr_t)s->items[i].bytes, s->items[i].pages);
    if (rc)
        pager->broken = rc;
    return rc;
}

int kvi_pager_spill(struct kvi_pager *pager)
{
    struct spill s = {.pager = pager, .goal_pages = pager->budget_pages / 2};
    size_t count = pager->images.count + 1;
    int rc;

    rc = kvi_pager_ready(pager);
    if (rc)
        return rc;
    s.parents = malloc(count * sizeof(*s.parents));
    s.items = malloc(count * sizeof(*s.items));
    rc = s.parents && s.items ? spill_all(&s) : ENOMEM;
    free(s.parents);
    free(s.items);
    pager->spill_above = pager->dirty_pages + pager->budget_pages / 2;
    if (pager->spill_above < pager->budget_pages)
        pager->spill_above = pager->budget_pages;
    return rc;
}
