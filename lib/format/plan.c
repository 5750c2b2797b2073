/* SPDX-License-Identifier: MIT */
/*
 * Owns the decision where the bounds between one to three sibling pages stand.
 *
 * For k pages, bound i may stand in [low, high]: not before low, or the pages behind it could not
 * hold the rest (found once, filling pages from the right end); not behind high, or its own page
 * overflows (found filling from the bound before it). Since a part of what fits fits as well, any
 * choice in the range leaves a next one. Within it, "even" takes the bound closest to an equal
 * share of bytes and "append" the last one. Sizes are those of kvi_items_bytes, counted along the
 * way.
 *
 * Items of a damaged page may fit nowhere: the answer is 0 then, never a wrong plan. Any thread.
 */
#include "format/plan.h"

#include <assert.h>
#include <string.h>

#include "format/node_page.h"

struct planner {
    const struct kvi_geometry *g;
    enum kvi_page_type type;
    unsigned flags; /* of the pages */
    struct kvi_scales scales;
    const struct kvi_item *items;
    unsigned count;
    unsigned least; /* items that a page needs */
};

static bool is_branch(const struct planner *p)
{
    return p->type == KVI_PAGE_BRANCH;
}

/* Whether a range takes no more than a page. `without`: bytes without a prefix; a leaf's fits if it
 * does without one. */
static bool range_fits(const struct planner *p, uint64_t without, uint32_t common, uint32_t keys)
{
    uint32_t prefix_bytes;

    if (!is_branch(p))
        return without <= p->g->page_size;
    prefix_bytes = kvi_prefix_choose(p->g, p->type, common, keys, without);
    return kvi_layout_bytes(p->type, prefix_bytes, keys, without) <= p->g->page_size;
}

/* Bytes that the separators of two items share, given that no more than `limit` count. */
static uint32_t shared_bytes(const struct planner *p, unsigned a, unsigned b, uint32_t limit)
{
    const struct kvi_item *x = &p->items[a], *y = &p->items[b];

    if (kvi_branch_normal(p->flags) == KVI_NORMAL_NONE)
        return 0;
    return kvi_common_bytes(x->key, x->key_bytes, y->key, y->key_bytes, limit);
}

/* The largest end for which [from, end) fits a page. */
static unsigned fill_forward(const struct planner *p, unsigned from)
{
    uint64_t without = KVI_HEADER_BYTES;
    uint32_t common = KVI_PREFIX_BYTES_MAX;
    unsigned end;

    for (end = from; end < p->count; end++) {
        without += kvi_weigh(&p->scales, &p->items[end]);
        if (is_branch(p) && end == from)
            without -= p->items[from].key_bytes;
        else if (is_branch(p))
            common = shared_bytes(p, from + 1, end, common);
        if (!range_fits(p, without, common, end - from))
            break;
    }
    return end;
}

/* The smallest start for which [start, end) fits a page. */
static unsigned fill_backward(const struct planner *p, unsigned end)
{
    uint64_t whole = KVI_HEADER_BYTES; /* with the separator of the first item */
    uint32_t common = KVI_PREFIX_BYTES_MAX;
    unsigned start;

    for (start = end; start > 0; start--) {
        uint64_t without;

        if (is_branch(p) && start < end) /* the item at `start` is no longer the first */
            common = shared_bytes(p, start, end - 1, common);
        whole += kvi_weigh(&p->scales, &p->items[start - 1]);
        without = is_branch(p) ? whole - p->items[start - 1].key_bytes : whole;
        if (!range_fits(p, without, common, end - start))
            break;
    }
    return start;
}

/* The bound in [low, high] that leaves [from, bound) closest to 1/pages of all bytes from there on.
 */
static unsigned even_bound(const struct planner *p, unsigned from, unsigned low, unsigned high,
                           unsigned pages)
{
    uint64_t total = 0, share, sum = 0;
    unsigned bound = from;

    for (unsigned i = from; i < p->count; i++)
        total += kvi_weigh(&p->scales, &p->items[i]);
    share = total / pages;
    while (bound < high) {
        uint64_t weight = kvi_weigh(&p->scales, &p->items[bound]);

        /* One more leaves the share, and by more than is missing now. */
        if (bound >= low && sum + weight > share && sum + weight - share > share - sum)
            break;
        sum += weight;
        bound++;
        if (bound >= low && sum >= share)
            break;
    }
    return bound;
}

static bool plan_pages(const struct planner *p, unsigned pages, enum kvi_plan_bias bias,
                       unsigned *bounds)
{
    unsigned low[KVI_PLAN_PAGES_MAX + 1];

    if (pages > 1 && p->count < pages * p->least)
        return false;
    low[pages] = p->count;
    for (unsigned i = pages; i-- > 0;)
        low[i] = fill_backward(p, low[i + 1]);
    if (low[0] > 0)
        return false;
    bounds[0] = 0;
    for (unsigned i = 1; i < pages; i++) {
        unsigned from = bounds[i - 1];
        unsigned high = fill_forward(p, from);
        unsigned last = p->count - (pages - i) * p->least;
        unsigned first = low[i] > from + p->least ? low[i] : from + p->least;

        if (high > last)
            high = last;
        if (first > high)
            return false;
        bounds[i] =
            bias == KVI_PLAN_APPEND ? high : even_bound(p, from, first, high, pages - i + 1);
    }
    for (unsigned i = pages; i <= KVI_PLAN_PAGES_MAX; i++)
        bounds[i] = p->count;
    return true;
}

unsigned kvi_plan_split(const struct kvi_geometry *g, enum kvi_page_type type, unsigned flags,
                        const struct kvi_item *items, unsigned count, unsigned pages_min,
                        enum kvi_plan_bias bias, unsigned bounds_out[KVI_PLAN_PAGES_MAX + 1])
{
    struct planner p = {
        g, type, flags, kvi_scales(type, flags), items, count, type == KVI_PAGE_BRANCH ? 2 : 1};
    unsigned pages = count / p.least;

    assert(pages_min >= 1 && pages_min <= KVI_PLAN_PAGES_MAX);
    if (pages > pages_min)
        pages = pages_min;
    if (pages == 0)
        pages = 1;
    for (; pages <= KVI_PLAN_PAGES_MAX; pages++) {
        if (plan_pages(&p, pages, bias, bounds_out))
            return pages;
    }
    memset(bounds_out, 0, (KVI_PLAN_PAGES_MAX + 1) * sizeof(bounds_out[0]));
    return 0;
}
