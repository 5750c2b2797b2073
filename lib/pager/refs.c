/* SPDX-License-Identifier: MIT */
/*
 * Owns the search for references with tag 0 in a page: what a seal or spill descends into.
 *
 * Branches are scanned over their offsets, looking at nothing but each cell's tag: a commit scans
 * every dirty branch, and nearly all of their references are sealed. The page may have come from
 * the file, so each offset is checked. The place of the offsets comes from format/node_page.h, so
 * that it is known in one place.
 */
#include "format/node.h"
#include "format/node_page.h"
#include "pager/inside.h"

bool kvi_refs_begin(struct kvi_refs *refs, const struct kvi_geometry *g, const uint8_t *page)
{
    *refs = (struct kvi_refs){.geometry = g, .page = page};
    refs->leaf = kvi_header_type(page) == KVI_PAGE_LEAF;
    return kvi_node_frame_ok(g, page);
}

static int next_child(struct kvi_refs *refs, struct kvi_unsealed *out)
{
    const struct kvi_node_frame frame = kvi_node_frame(refs->geometry, refs->page);
    const uint32_t off_max = refs->geometry->page_size - KVI_BRANCH_CELL_HEAD;
    const uint8_t *offs = refs->page + frame.offs_at;

    for (unsigned slot = refs->slot; slot < frame.count; slot++) {
        uint32_t off = kvi_fast_load16(offs + 2u * slot);

        if (KVI_UNLIKELY(off < frame.cells_at || off > off_max))
            return -1;
        if (KVI_LIKELY(kvi_fast_load32(refs->page + off + 6) != 0))
            continue;
        *out = (struct kvi_unsealed){.pgno = kvi_ref_load(refs->page + off).pgno, .at = off};
        refs->slot = slot + 1;
        return 1;
    }
    refs->slot = frame.count;
    return 0;
}

static int next_run(struct kvi_refs *refs, struct kvi_unsealed *out)
{
    unsigned count = kvi_header_count(refs->page);

    while (refs->slot < count) {
        struct kvi_leaf_cell cell;
        struct kvi_overflow_ref run;

        if (!kvi_leaf_cell_at(refs->geometry, refs->page, refs->slot++, &cell))
            return -1;
        if (KVI_LIKELY(cell.kind != KVI_CELL_OVERFLOW))
            continue;
        if (!kvi_overflow_ref_load(&cell, &run))
            return -1;
        if (run.ref.tag)
            continue;
        *out = (struct kvi_unsealed){.pgno = run.ref.pgno,
                                     .run_bytes = run.size_bytes,
                                     .at = (uint32_t)(cell.payload - refs->page)};
        return 1;
    }
    return 0;
}

int kvi_refs_next(struct kvi_refs *refs, struct kvi_unsealed *out)
{
    return refs->leaf ? next_run(refs, out) : next_child(refs, out);
}
