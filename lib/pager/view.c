/* SPDX-License-Identifier: MIT */
/*
 * Owns the verification of a page or run in the mapping: the first visit of each version, and every
 * visit that ends in an error.
 *
 * Checks go from the outside in: nothing of the page is read before its number is known to lie in
 * the snapshot and the mapping, and nothing of a run past its first page before its size is known
 * to. The size is loaded once and used as loaded, so that a file that changes underneath leads to a
 * wrong checksum and not past the end. Notes only spare the checksum: header fields are compared on
 * every visit. Once a page could not be had, notes are worth nothing for runs: any page of one may
 * be zeros now, and only its first has a header that tells (G4 in docs/GUARD.md).
 *
 * Refuses to tell a reader of a damaged page anything but KV_ECORRUPT. Any thread.
 */
#include "pager/view.h"

#include <inttypes.h>
#include <stddef.h>

#include "base/checksum.h"
#include "base/error.h"
#include "kv.h"

static bool is_noted(const struct kvi_map *map, struct kvi_ref ref)
{
    return atomic_load_explicit(&map->notes[ref.pgno], memory_order_relaxed) == ref.tag;
}

/* The page's bytes, if the snapshot has `pages` pages from there on and the mapping reaches them.
 */
static int locate(const struct kvi_view *view, struct kvi_ref ref, uint64_t pages,
                  const uint8_t **page_out)
{
    const struct kvi_map *map = view->map;

    if (ref.pgno == 0 || ref.pgno == map->geometry.meta_pgno_1)
        return kvi_corrupt(map->path, ref.pgno, "a reference names a meta page");
    if (ref.pgno >= view->page_end || pages > view->page_end - ref.pgno)
        return kvi_corrupt(map->path, ref.pgno, "a reference leads past the end of the snapshot");
    if (ref.tag == 0)
        return kvi_corrupt(map->path, ref.pgno, "a reference has no tag");
    if (ref.pgno >= map->pages_max || pages > map->pages_max - ref.pgno)
        return kvi_error(KV_ESIZELIMIT,
                         "%s: page %" PRIu64 " lies past the %" PRIu64
                         " bytes of address space that this process has reserved",
                         map->path, ref.pgno, map->reserved_bytes);
    *page_out = map->base + (ref.pgno << map->geometry.page_shift);
    return 0;
}

/* What is wrong with the header, NULL: nothing. */
static const char *find_fault(const struct kvi_view *view, struct kvi_ref ref,
                              enum kvi_page_type type, unsigned level, const uint8_t *page)
{
    if (kvi_page_tag(page) != ref.tag)
        return "its checksum is not the one that the reference has (stale, lost or misplaced page)";
    if (kvi_header_pgno(page) != ref.pgno)
        return "its header has another page number";
    if (kvi_header_type(page) != (unsigned)type)
        return "its type is not the one that the reference calls for";
    if (kvi_header_level(page) != level)
        return "its level is not the one that the reference calls for";
    if (kvi_header_txnid(page) > view->txnid)
        return "its txnid is above the snapshot's";
    return NULL;
}

/* Computes the checksum of the page or run of `covered` bytes unless that was done before. */
static int check_sum(const struct kvi_view *view, struct kvi_ref ref, const uint8_t *page,
                     uint64_t covered)
{
    const size_t skip = KVI_HEADER_CHECKSUM + 8;
    uint64_t sum;

    if (is_noted(view->map, ref) && !kvi_guard_faults(view->map->mark))
        return 0;
    sum = kvi_checksum(page + skip, (size_t)covered - skip);
    if (sum != kvi_header_checksum(page))
        return kvi_corrupt(view->map->path, ref.pgno, "its checksum is wrong");
    kvi_map_note(view->map, ref.pgno, ref.tag);
    return 0;
}

/* Locates a run of this size and compares its header. */
static int find_run(const struct kvi_view *view, struct kvi_ref ref, uint64_t size_bytes,
                    const uint8_t **page_out)
{
    const struct kvi_map *map = view->map;
    const char *what;
    int rc;

    if (size_bytes == 0 || size_bytes > KVI_VALUE_BYTES_MAX)
        return kvi_corrupt(map->path, ref.pgno, "a reference to a run has an impossible size");
    rc = locate(view, ref, kvi_run_pages(&map->geometry, size_bytes), page_out);
    if (rc)
        return rc;
    what = find_fault(view, ref, KVI_PAGE_OVERFLOW, 0, *page_out);
    if (!what && kvi_header_run_size(*page_out) != size_bytes)
        what = "its value's size is not the one that the reference has";
    return what ? kvi_corrupt(map->path, ref.pgno, what) : 0;
}

int kvi_view_run(const struct kvi_view *view, struct kvi_ref ref, uint64_t size_bytes,
                 const uint8_t **data_out)
{
    const uint8_t *page = NULL;
    int rc;

    *data_out = NULL;
    rc = find_run(view, ref, size_bytes, &page);
    if (!rc)
        rc = check_sum(view, ref, page, KVI_HEADER_BYTES + size_bytes);
    if (!rc)
        *data_out = page + KVI_HEADER_BYTES;
    return rc;
}

int kvi_view_run_head(const struct kvi_view *view, struct kvi_ref ref, uint64_t size_bytes)
{
    const uint8_t *page = NULL;

    return find_run(view, ref, size_bytes, &page);
}

/* A run that is asked for as a page: its header is all that tells the size. */
static int verify_run(const struct kvi_view *view, struct kvi_ref ref, const uint8_t **page_out)
{
    const uint8_t *page = NULL;
    const uint8_t *data = NULL;
    int rc;

    rc = locate(view, ref, 1, &page);
    if (!rc)
        rc = kvi_view_run(view, ref, kvi_header_run_size(page), &data);
    if (!rc)
        *page_out = page;
    return rc;
}

int kvi_view_verify(const struct kvi_view *view, struct kvi_ref ref, enum kvi_page_type type,
                    unsigned level, const uint8_t **page_out)
{
    const uint8_t *page = NULL;
    const char *what;
    int rc;

    *page_out = NULL;
    if (type == KVI_PAGE_OVERFLOW && level == 0)
        return verify_run(view, ref, page_out);
    rc = locate(view, ref, 1, &page);
    if (rc)
        return rc;
    what = find_fault(view, ref, type, level, page);
    if (what)
        return kvi_corrupt(view->map->path, ref.pgno, what);
    rc = check_sum(view, ref, page, view->map->geometry.page_size);
    if (!rc)
        *page_out = page;
    return rc;
}
