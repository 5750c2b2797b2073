/* SPDX-License-Identifier: MIT */
/*
 * Owns what a salvage knows of single pages: whether a sound page stands at a page number, of which
 * kind, and whether the snapshot claims it.
 *
 * Each page is read with a read call before it is looked at in the mapping: what a disk cannot read
 * is an error then, and not a signal. What stands inside of a sound overflow run is a value's bytes,
 * whatever they look like. Runs that are none are hashed within a budget, so that heads that claim
 * to be long cannot make a scan take time with the square of the file's size. See salvage.h.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "os/os.h"
#include "space/space.h"
#include "tree/salvage.h"

#define PROBE_BYTES ((size_t)256 << 10) /* of a read call */
#define PROGRESS_PAGES 4096u
#define RUN_BUDGET_FILES 4u /* the file's size, so many times */

struct probe {
    uint8_t *room;
    uint64_t end; /* offset up to which the file was read */
};

/* Whether [offset, offset + size) can be read. */
static bool readable(const struct kvi_salvage *s, struct probe *probe, uint64_t offset,
                     uint64_t size_bytes)
{
    uint64_t end = offset + size_bytes;

    if (probe->end > offset && probe->end >= end)
        return true;
    for (uint64_t at = offset; at < end;) {
        size_t want = end - at < PROBE_BYTES ? (size_t)(end - at) : PROBE_BYTES;
        size_t got = 0;

        if (kvi_os->read_at(s->fd, probe->room, want, at, &got) || got < want)
            return false;
        at += want;
    }
    return true;
}

/* Reads ahead, so that a page does not cost a call. A failure is met again, page by page. */
static void read_ahead(const struct kvi_salvage *s, struct probe *probe, uint64_t offset)
{
    size_t got = 0;

    if (offset < probe->end)
        return;
    if (!kvi_os->read_at(s->fd, probe->room, PROBE_BYTES, offset, &got))
        probe->end = offset + got;
}

/* Pages of the sound run at `pgno`; 0: it is none. */
static uint64_t run_pages(struct kvi_salvage *s, struct probe *probe, uint64_t pgno)
{
    const uint8_t *page = kvi_salvage_at(s, pgno);
    uint64_t offset = pgno << s->g.page_shift;
    uint64_t covered = kvi_page_covered(&s->g, page);

    if (covered == 0 || covered > s->size_bytes - offset || covered > s->run_budget)
        return 0;
    s->run_budget -= covered;
    if (!readable(s, probe, offset, covered) || !kvi_page_sound(&s->g, page))
        return 0;
    return kvi_run_pages(&s->g, kvi_header_run_size(page));
}

/* Judges the page; returns how many pages it takes. */
static uint64_t judge(struct kvi_salvage *s, struct probe *probe, uint64_t pgno)
{
    const uint8_t *page = kvi_salvage_at(s, pgno);
    uint64_t count;
    unsigned type;

    if (!readable(s, probe, pgno << s->g.page_shift, s->g.page_size))
        return 1;
    type = kvi_header_type(page);
    if (kvi_header_pgno(page) != pgno || type < KVI_PAGE_BRANCH || type > KVI_PAGE_INDEX)
        return 1;
    if (type != KVI_PAGE_OVERFLOW) {
        if (kvi_page_sound(&s->g, page))
            s->kinds[pgno] = (uint8_t)type;
        return 1;
    }
    count = run_pages(s, probe, pgno);
    if (count == 0)
        return 1;
    s->kinds[pgno] = (uint8_t)type;
    for (uint64_t i = pgno + 1; i < pgno + count && i < s->pages; i++)
        s->kinds[i] = KVI_SALVAGE_RUN;
    return count;
}

int kvi_salvage_scan(struct kvi_salvage *s)
{
    struct probe probe = {malloc(PROBE_BYTES), 0};
    uint64_t next = 0;
    int rc = 0;

    s->run_budget = s->size_bytes * RUN_BUDGET_FILES;
    s->kinds = calloc(1, (size_t)s->pages + 1);
    s->owners = calloc((size_t)s->pages + 1, sizeof(*s->owners));
    if (!probe.room || !s->kinds || !s->owners)
        rc = kvi_error(ENOMEM, "no memory to salvage");
    for (uint64_t pgno = 0; !rc && pgno < s->pages;) {
        read_ahead(s, &probe, pgno << s->g.page_shift);
        if (pgno == 0 || pgno == s->g.meta_pgno_1)
            s->owners[pgno++] = KVI_SALVAGE_SYSTEM;
        else
            pgno += judge(s, &probe, pgno);
        if (pgno < next)
            continue;
        next = pgno + PROGRESS_PAGES;
        rc = kvi_salvage_tell_progress(s, pgno);
    }
    free(probe.room);
    return rc;
}

/* ---- Pages by reference ---- */

const char *kvi_salvage_page(const struct kvi_salvage *s, struct kvi_ref ref,
                             enum kvi_page_type type, unsigned level, const uint8_t **page_out)
{
    const uint8_t *page;

    *page_out = NULL;
    if (ref.pgno == 0)
        return "a reference to no page";
    if (ref.pgno >= s->pages)
        return "behind the end of the file";
    if (kvi_salvage_kind(s, ref.pgno) == KVI_SALVAGE_BAD ||
        kvi_salvage_kind(s, ref.pgno) == KVI_SALVAGE_RUN)
        return "cannot be read, or the checksum is wrong";
    page = kvi_salvage_at(s, ref.pgno);
    if (ref.tag == 0 || kvi_page_tag(page) != ref.tag)
        return "stale or lost: not the page that is referred to";
    if (kvi_header_type(page) != (unsigned)type || kvi_header_level(page) != level)
        return "of another type or level than is referred to";
    *page_out = page;
    return NULL;
}

const char *kvi_salvage_value(const struct kvi_salvage *s, const struct kvi_leaf_cell *cell,
                              struct kvi_overflow_ref *run_out, const uint8_t **data_out)
{
    const char *what;
    const uint8_t *page;

    *run_out = (struct kvi_overflow_ref){{KVI_NO_PGNO, 0}, 0};
    if (!kvi_overflow_ref_load(cell, run_out))
        return "a bad overflow reference";
    what = kvi_salvage_page(s, run_out->ref, KVI_PAGE_OVERFLOW, 0, &page);
    if (!what && kvi_header_run_size(page) != run_out->size_bytes)
        what = "an overflow run of another size than is referred to";
    if (!what)
        *data_out = page + KVI_HEADER_BYTES;
    return what;
}

/* ---- The space map ---- */

static int map_read(void *context, struct kvi_ref ref, enum kvi_page_type type, unsigned level,
                    const uint8_t **page_out)
{
    const struct kvi_salvage *s = context;
    const char *what = kvi_salvage_page(s, ref, type, level, page_out);

    if (!what && kvi_header_txnid(*page_out) > s->snap.txnid)
        what = "newer than the snapshot";
    return what ? kvi_corrupt(s->path, ref.pgno, what) : 0;
}

static int map_owned(void *context, struct kvi_ref ref, unsigned level, uint64_t region,
                     const struct kvi_map_entry *entry)
{
    struct kvi_salvage *s = context;

    const uint8_t *page;
    unsigned kind;

    (void)region;
    (void)entry;
    if (ref.pgno >= s->pages)
        return KVI_MAP_SKIP;
    kind = kvi_salvage_kind(s, ref.pgno);
    if (kind == KVI_SALVAGE_BAD || kind == KVI_PAGE_BITMAP || kind == KVI_PAGE_INDEX)
        s->owners[ref.pgno] = KVI_SALVAGE_SYSTEM;
    return level > 0 && map_read(s, ref, KVI_PAGE_INDEX, level, &page) ? KVI_MAP_SKIP : 0;
}

/* The pages of one region; false: its bitmap is lost. */
static bool map_region(struct kvi_salvage *s, const struct kvi_space_io *io,
                       const struct kvi_space_snapshot *from, uint64_t region)
{
    uint64_t first = region * s->g.region_pages, end = first + s->g.region_pages;
    const uint8_t *bitmap = NULL;
    struct kvi_map_entry entry;

    if (kvi_map_lookup(&s->g, io, from, region, &entry) ||
        (entry.ref.pgno && map_read(s, entry.ref, KVI_PAGE_BITMAP, 0, &bitmap)))
        return false;
    for (uint64_t pgno = first; pgno < end && pgno < s->pages; pgno++) {
        uint64_t bit = pgno - first;
        bool claimed = bitmap && pgno < s->snap.page_end &&
                       (bitmap[KVI_HEADER_BYTES + bit / 8] >> (bit & 7) & 1);

        s->kinds[pgno] |= (uint8_t)(KVI_SALVAGE_MAPPED | (claimed ? KVI_SALVAGE_CLAIMED : 0));
    }
    return true;
}

int kvi_salvage_map(struct kvi_salvage *s, bool *damaged_out)
{
    struct kvi_space_io io = {s, map_read, NULL, s->path};
    /* No further than the file goes, so that a forged map is not longer than it. */
    uint64_t page_end = s->snap.page_end < s->pages ? s->snap.page_end : s->pages;
    struct kvi_space_snapshot from = {s->snap_page, page_end, s->snap.map_count,
                                      s->snap.map_levels};
    uint64_t regions = kvi_map_regions(&s->g, page_end);
    int rc;

    *damaged_out = false;
    for (uint64_t region = 0; region < regions; region++) {
        if (!map_region(s, &io, &from, region))
            *damaged_out = true;
    }
    for (uint64_t pgno = s->snap.page_end; pgno < s->pages; pgno++)
        s->kinds[pgno] |= KVI_SALVAGE_MAPPED;
    rc = kvi_map_walk(&s->g, &io, &from, map_owned, s);
    if (rc == KV_ECORRUPT)
        *damaged_out = *damaged_out || page_end == s->snap.page_end;
    else if (rc)
        return rc;
    s->owners[s->snap.pgno] = KVI_SALVAGE_SYSTEM;
    return 0;
}

enum kvi_salvage_trust kvi_salvage_trust(const struct kvi_salvage *s, uint64_t pgno)
{
    uint8_t bits = s->kinds[pgno];

    if (!s->has_snap || !(bits & KVI_SALVAGE_MAPPED) ||
        kvi_header_txnid(kvi_salvage_at(s, pgno)) > s->snap.txnid)
        return KVI_SALVAGE_UNSURE;
    return bits & KVI_SALVAGE_CLAIMED ? KVI_SALVAGE_CURRENT : KVI_SALVAGE_FREED;
}
