/* SPDX-License-Identifier: MIT */
/*
 * How the cells of one or more adjacent pages are shared out among one to three pages: the decision
 * between gather and emit, for splits, lending and merges.
 *
 * Pure: reads items, writes bounds, knows no page. Time is linear in the number of items (times the
 * length of the keys' shared prefix in a branch). Any thread.
 *
 * What it relies on: a range of items that fits a page still fits when items are taken off its
 * ends, so that filling pages greedily from either side gives the outermost places where a bound
 * may stand. A leaf page gets at least one item, a branch page two.
 */
#ifndef KVI_FORMAT_PLAN_H
#define KVI_FORMAT_PLAN_H

#include "format/layout.h"
#include "format/node.h"

#define KVI_PLAN_PAGES_MAX 3u

enum kvi_plan_bias {
    KVI_PLAN_EVEN,  /* pages of about the same number of bytes */
    KVI_PLAN_APPEND /* each page as full as possible, from the left: for ascending inserts */
};

/* Shares items[0 .. count), cells of pages of these header flags, out: page i takes items[bounds_out[i] .. bounds_out[i + 1]). Returns the
 * number of pages: the smallest that works and is not below pages_min (1 to 3), fewer only where
 * there are too few items for that many pages; 0, bounds cleared, if three pages are too few.
 * Unused bounds are `count`. The cells of two pages and one more always fit into three, those of
 * one page and one more into two. In a branch the item that begins a page loses its separator
 * there. */
unsigned kvi_plan_split(const struct kvi_geometry *g, enum kvi_page_type type, unsigned flags,
                        const struct kvi_item *items, unsigned count, unsigned pages_min,
                        enum kvi_plan_bias bias, unsigned bounds_out[KVI_PLAN_PAGES_MAX + 1]);

#endif
