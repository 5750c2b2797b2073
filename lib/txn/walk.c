/* SPDX-License-Identifier: MIT */
/* The walk of recovery. See walk.h. */
#include "txn/walk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "format/node.h"
#include "format/snap.h"
#include "kv.h"
#include "os/os.h"
#include "pager/pgset.h"
#include "space/space.h"

/* Results inside this file, beside 0 and errno. */
#define WALK_BROKEN (-2)
#define WALK_BASE_DAMAGED (-3)

#define BASE_CACHE_PAGES                                                                           \
    128u /* of the base's space map: a large walk looks at few regions at a time */

/* A page of the base's space map that was read. */
struct cached {
    uint64_t pgno; /* 0: empty */
    uint8_t *bytes;
};

struct state {
    const struct kvi_walk *w;
    const struct kvi_geometry *g;
    struct kvi_snap snap; /* the newer one */
    uint64_t txnid_base;
    uint64_t pages;        /* new pages found */
    struct kvi_pgset seen; /* they */
    uint8_t *base_page;    /* snapshot page of the base; NULL: no base */
    struct kvi_space_snapshot base;
    struct kvi_space_io base_io;
    struct cached cache[BASE_CACHE_PAGES];
};

/* What the parent says of a page. */
struct expected {
    struct kvi_ref ref;
    enum kvi_page_type type;
    unsigned level;
    uint64_t txnid_max; /* the parent's */
};

/* One place for a debugger to stop at, and the text that tells why a snapshot was not taken. */
static int broken(const struct state *s, uint64_t pgno, const char *what)
{
    (void)kvi_corrupt(s->w->path, pgno, what);
    return WALK_BROKEN;
}

/* ---- Reading ---- */

/* `count` pages; a file that ends before them is *short_out. */
static int read_pages(const struct state *s, uint64_t pgno, uint64_t count, uint8_t *bytes,
                      bool *short_out)
{
    size_t size_bytes = (size_t)(count << s->g->page_shift);
    size_t got = 0;
    int rc = kvi_os->read_at(s->w->fd, bytes, size_bytes, pgno << s->g->page_shift, &got);

    if (rc)
        return kvi_error(rc, "%s: page %llu: reading: %s", s->w->path, (unsigned long long)pgno,
                         kvi_strerror(rc));
    *short_out = got < size_bytes;
    return 0;
}

/* Whether pages [pgno, pgno + count) can be a snapshot's at all. */
static bool pages_exist(const struct state *s, uint64_t pgno, uint64_t count, uint64_t page_end)
{
    uint64_t file_end = s->w->file_bytes >> s->g->page_shift;

    if (page_end > file_end)
        page_end = file_end;
    if (pgno == 0 || pgno >= page_end || count > page_end - pgno)
        return false;
    return !(pgno <= s->g->meta_pgno_1 && s->g->meta_pgno_1 - pgno < count);
}

/* NULL, or what in the header is not as expected. */
static const char *header_fault(const struct expected *e, const uint8_t *page, uint64_t txnid_base)
{
    if (e->ref.tag == 0 || kvi_page_tag(page) != e->ref.tag)
        return "stale or lost: not the page that is referred to";
    if (kvi_header_pgno(page) != e->ref.pgno)
        return "stands in another page's place";
    if (kvi_header_type(page) != (unsigned)e->type || kvi_header_level(page) != e->level)
        return "of another type or level than is referred to";
    if (kvi_header_txnid(page) <= txnid_base || kvi_header_txnid(page) > e->txnid_max)
        return "of another time than is referred to";
    return NULL;
}

/* ---- The base ---- */

static int base_damaged(const struct state *s, uint64_t pgno, const char *what)
{
    (void)kvi_corrupt(s->w->path, pgno, what);
    return WALK_BASE_DAMAGED;
}

/* kvi_space_io.read of the base's map: verified, kept until another page takes its place in the
 * cache. The callers in space/map.c never hold one page while they ask for the next. */
static int base_read(void *context, struct kvi_ref ref, enum kvi_page_type type, unsigned level,
                     const uint8_t **page_out)
{
    struct state *s = context;
    struct cached *cached = &s->cache[ref.pgno % BASE_CACHE_PAGES];
    const struct expected e = {ref, type, level, s->w->base->txnid};
    const char *what;
    bool cut = false;
    int rc;

    if (!pages_exist(s, ref.pgno, 1, s->base.page_end))
        return base_damaged(s, ref.pgno, "base snapshot: space map page past the end");
    if (!cached->bytes)
        cached->bytes = malloc(s->g->page_size);
    if (!cached->bytes)
        return ENOMEM;
    if (cached->pgno != ref.pgno) {
        cached->pgno = 0;
        rc = read_pages(s, ref.pgno, 1, cached->bytes, &cut);
        if (rc)
            return rc;
        /* The header first: what its type says decides how many bytes the checksum covers. */
        if (cut || header_fault(&e, cached->bytes, 0) || !kvi_page_sound(s->g, cached->bytes))
            return base_damaged(s, ref.pgno, "base snapshot: damaged space map page");
        cached->pgno = ref.pgno;
    }
    what = header_fault(&e, cached->bytes, 0);
    if (what)
        return base_damaged(s, ref.pgno, what);
    *page_out = cached->bytes;
    return 0;
}

/* Reads the base's snapshot page. */
static int base_open(struct state *s)
{
    const struct kvi_meta *meta = s->w->base;
    const struct expected e = {meta->snap, KVI_PAGE_SNAPSHOT, 0, meta->txnid};
    struct kvi_snap snap;
    bool cut = false;
    int rc;

    s->txnid_base = meta->txnid;
    if (!pages_exist(s, meta->snap.pgno, 1, meta->page_end))
        return base_damaged(s, meta->snap.pgno, "base snapshot past the end");
    s->base_page = malloc(s->g->page_size);
    if (!s->base_page)
        return ENOMEM;
    rc = read_pages(s, meta->snap.pgno, 1, s->base_page, &cut);
    if (rc)
        return rc;
    if (cut || header_fault(&e, s->base_page, meta->txnid - 1) ||
        !kvi_page_sound(s->g, s->base_page) || kvi_snap_decode(s->g, s->base_page, &snap) ||
        snap.page_end != meta->page_end)
        return base_damaged(s, meta->snap.pgno, "damaged base snapshot");
    s->base.page = s->base_page;
    s->base.page_end = snap.page_end;
    s->base.map_count = snap.map_count;
    s->base.map_levels = snap.map_levels;
    s->base_io.context = s;
    s->base_io.read = base_read;
    s->base_io.path = s->w->path;
    return 0;
}

/* Whether the page is the base's, and so old. The child is never asked: a lost write leaves an old
 * page. */
static int is_old(struct state *s, uint64_t pgno, bool *old_out)
{
    int rc;

    *old_out = false;
    if (!pages_exist(s, pgno, 1, s->snap.page_end))
        return broken(s, pgno, "referred to, and past the end or a meta page");
    if (!s->base_page || pgno >= s->base.page_end)
        return 0;
    rc = kvi_map_claims(s->g, &s->base_io, &s->base, pgno, old_out);
    return rc == KV_ECORRUPT ? WALK_BASE_DAMAGED : rc;
}

/* The base's entry for `region` at `level` of the map; reference 0: none. */
static int base_entry(struct state *s, uint64_t region, unsigned level, struct kvi_ref *ref_out)
{
    unsigned at = s->base.map_levels;
    const uint8_t *entries;
    uint64_t count = s->base.map_count;
    uint64_t index = region / kvi_map_span(s->g, at);

    memset(ref_out, 0, sizeof(*ref_out));
    if (!s->base_page || level > at)
        return 0;
    entries = s->base_page + KVI_SNAP_ENTRIES;
    for (;;) {
        struct kvi_map_entry entry;
        const uint8_t *page;
        int rc;

        if (index >= count)
            return 0;
        entry = kvi_map_entry_load(entries + index * KVI_MAP_ENTRY_BYTES);
        if (at == level || entry.ref.pgno == 0) {
            *ref_out = entry.ref;
            return 0;
        }
        rc = base_read(s, entry.ref, KVI_PAGE_INDEX, at, &page);
        if (rc)
            return rc;
        entries = page + KVI_HEADER_BYTES;
        count = kvi_header_count(page);
        if (count > s->g->map_fanout)
            return base_damaged(s, entry.ref.pgno, "base snapshot: too many entries");
        at--;
        index = region / kvi_map_span(s->g, at) % s->g->map_fanout;
    }
}

/* ---- New pages ---- */

/* Pages that were not seen before, inside the snapshot and the file. */
static int admit(struct state *s, uint64_t pgno, uint64_t count)
{
    int rc;

    if (!pages_exist(s, pgno, count, s->snap.page_end))
        return broken(s, pgno, "past the end");
    if (count > s->w->pages_max || s->pages > s->w->pages_max - count)
        return broken(s, pgno, "more new pages than an unsealed snapshot may have");
    for (uint64_t i = 0; i < count; i++)
        if (kvi_pgset_has(&s->seen, pgno + i, 1))
            return broken(s, pgno + i, "referred to twice");
    rc = kvi_pgset_reserve(&s->seen, pgno, count);
    if (rc)
        return rc;
    kvi_pgset_add(&s->seen, pgno, count);
    s->pages += count;
    return 0;
}

/* Reads, verifies and (rewrite) writes again what `e` names; run_bytes: value size of an overflow
 * run. */
static int take(struct state *s, const struct expected *e, uint64_t count, uint64_t run_bytes,
                uint8_t *bytes)
{
    uint64_t pgno = e->ref.pgno;
    const char *what;
    bool cut = false;
    int rc = read_pages(s, pgno, count, bytes, &cut);

    if (rc)
        return rc;
    what = cut ? "past the end of the file" : header_fault(e, bytes, s->txnid_base);
    if (what)
        return broken(s, pgno, what);
    if (e->type == KVI_PAGE_OVERFLOW && kvi_header_run_size(bytes) != run_bytes)
        return broken(s, pgno, "overflow run of another size than is referred to");
    if (!kvi_page_sound(s->g, bytes))
        return broken(s, pgno, "its checksum is wrong");
    if (!s->w->rewrite)
        return 0;
    rc = kvi_os->write_at(s->w->fd, bytes, (size_t)(count << s->g->page_shift),
                          pgno << s->g->page_shift);
    if (rc)
        return kvi_error(rc, "%s: page %llu: writing: %s", s->w->path, (unsigned long long)pgno,
                         kvi_strerror(rc));
    return 0;
}

/* One new page; *page_out is the caller's to free, also after a failure. */
static int new_page(struct state *s, const struct expected *e, uint8_t **page_out)
{
    int rc;

    *page_out = NULL;
    rc = admit(s, e->ref.pgno, 1);
    if (rc)
        return rc;
    *page_out = malloc(s->g->page_size);
    return *page_out ? take(s, e, 1, 0, *page_out) : ENOMEM;
}

static int walk_run(struct state *s, const struct kvi_overflow_ref *run, uint64_t txnid_max)
{
    const struct expected e = {run->ref, KVI_PAGE_OVERFLOW, 0, txnid_max};
    uint64_t count;
    uint8_t *bytes;
    bool old;
    int rc;

    if (run->size_bytes == 0 || run->size_bytes > KVI_VALUE_BYTES_MAX)
        return broken(s, run->ref.pgno, "overflow run of impossible size");
    rc = is_old(s, run->ref.pgno, &old);
    if (rc || old)
        return rc;
    count = kvi_run_pages(s->g, run->size_bytes);
    rc = admit(s, run->ref.pgno, count);
    if (rc)
        return rc;
    bytes = malloc((size_t)(count << s->g->page_shift));
    if (!bytes)
        return ENOMEM;
    rc = take(s, &e, count, run->size_bytes, bytes);
    free(bytes);
    return rc;
}

static int walk_tree(struct state *s, const struct kvi_table_record *record, uint64_t txnid_max,
                     bool tables);

/* What a leaf's cell refers to: an overflow run, or in the main table a named table. */
static int walk_cell(struct state *s, const uint8_t *page, unsigned slot, bool tables)
{
    uint64_t txnid = kvi_header_txnid(page);
    struct kvi_table_record record;
    struct kvi_overflow_ref run;
    struct kvi_leaf_cell cell;

    if (!kvi_leaf_cell_at(s->g, page, slot, &cell))
        return broken(s, kvi_header_pgno(page), "bad cell");
    if (cell.kind == KVI_CELL_VALUE || cell.kind == KVI_CELL_SET)
        return 0;
    if (cell.kind == KVI_CELL_OVERFLOW) {
        if (!kvi_overflow_ref_load(&cell, &run))
            return broken(s, kvi_header_pgno(page), "bad overflow reference");
        return walk_run(s, &run, txnid);
    }
    if (cell.kind != KVI_CELL_TABLE || !tables ||
        kvi_table_record_decode(cell.payload, cell.payload_bytes, s->snap.page_end, &record))
        return broken(s, kvi_header_pgno(page), "bad table record");
    return walk_tree(s, &record, txnid, false);
}

/* The recursion is as deep as the tree: levels fall by one with each page. */
static int walk_page(struct state *s, struct kvi_ref ref, unsigned level, uint64_t txnid_max,
                     bool tables)
{
    const struct expected e = {ref, level ? KVI_PAGE_BRANCH : KVI_PAGE_LEAF, level, txnid_max};
    uint8_t *page = NULL;
    bool old;
    int rc = is_old(s, ref.pgno, &old);

    if (rc || old)
        return rc;
    rc = new_page(s, &e, &page);
    if (!rc && !kvi_node_frame_ok(s->g, page))
        rc = broken(s, ref.pgno, "bad page frame");
    for (unsigned slot = 0; !rc && slot < kvi_header_count(page); slot++) {
        struct kvi_branch_cell cell;

        if (level == 0)
            rc = walk_cell(s, page, slot, tables);
        else if (kvi_branch_cell_at(s->g, page, slot, &cell))
            rc = walk_page(s, cell.ref, level - 1, kvi_header_txnid(page), tables);
        else
            rc = broken(s, ref.pgno, "bad branch cell");
    }
    free(page);
    return rc;
}

static int walk_tree(struct state *s, const struct kvi_table_record *record, uint64_t txnid_max,
                     bool tables)
{
    if (record->root.pgno == 0)
        return 0;
    return walk_page(s, record->root, record->depth - 1u, txnid_max, tables);
}

/* ---- The newer snapshot's space map ---- */

/* Entries of one page of the map, the first of which begins at region `first`. Bitmaps are proved
 * by their checksum; what they claim is not compared with the trees here. */
static int walk_entries(struct state *s, const uint8_t *entries, uint64_t count, unsigned level,
                        uint64_t first, uint64_t txnid_max)
{
    uint64_t regions = kvi_map_regions(s->g, s->snap.page_end);
    uint64_t span = kvi_map_span(s->g, level);

    for (uint64_t i = 0; i < count; i++) {
        struct kvi_ref ref = kvi_map_entry_load(entries + i * KVI_MAP_ENTRY_BYTES).ref;
        struct expected e = {ref, level ? KVI_PAGE_INDEX : KVI_PAGE_BITMAP, level, txnid_max};
        struct kvi_ref base;
        uint8_t *page = NULL;
        int rc;

        if (ref.pgno == 0)
            continue;
        if (i > (regions - 1 - first) / span)
            return broken(s, ref.pgno, "space map entry past the end");
        rc = base_entry(s, first + i * span, level, &base);
        if (!rc && base.pgno == ref.pgno && base.tag == ref.tag)
            continue;
        if (!rc)
            rc = new_page(s, &e, &page);
        if (!rc && level && kvi_header_count(page) > s->g->map_fanout)
            rc = broken(s, ref.pgno, "too many entries");
        if (!rc && level)
            rc = walk_entries(s, page + KVI_HEADER_BYTES, kvi_header_count(page), level - 1,
                              first + i * span, kvi_header_txnid(page));
        free(page);
        if (rc)
            return rc;
    }
    return 0;
}

/* ---- The whole ---- */

static int walk_snapshot(struct state *s)
{
    const struct kvi_meta *meta = s->w->newer;
    const struct expected e = {meta->snap, KVI_PAGE_SNAPSHOT, 0, meta->txnid};
    uint8_t *page = NULL;
    const char *what;
    int rc;

    s->snap.page_end = meta->page_end;
    rc = new_page(s, &e, &page);
    if (rc)
        goto out;
    what = kvi_snap_decode(s->g, page, &s->snap);
    if (!what && (s->snap.txnid != meta->txnid || s->snap.page_end != meta->page_end))
        what = "snapshot page: not what its meta slot says";
    if (!what && s->snap.page_end > s->w->file_bytes >> s->g->page_shift)
        what = "the file is shorter than its snapshot needs";
    if (what) {
        rc = broken(s, meta->snap.pgno, what);
        goto out;
    }
    rc = walk_entries(s, page + KVI_SNAP_ENTRIES, s->snap.map_count, s->snap.map_levels, 0,
                      meta->txnid);
    if (!rc)
        rc = walk_tree(s, &s->snap.main, meta->txnid, true);
    /* The pages of the tree of named snapshots; what those claim was flushed when they were made.
     */
    if (!rc)
        rc = walk_tree(s, &s->snap.named, meta->txnid, false);
out:
    free(page);
    return rc;
}

int kvi_walk(const struct kvi_walk *walk, enum kvi_walk_result *result_out)
{
    struct state *s = calloc(1, sizeof(*s));
    int rc = 0;

    *result_out = KVI_WALK_BROKEN;
    if (!s)
        return ENOMEM;
    s->w = walk;
    s->g = walk->geometry;
    if (walk->base)
        rc = base_open(s);
    if (!rc)
        rc = walk_snapshot(s);
    for (size_t i = 0; i < BASE_CACHE_PAGES; i++)
        free(s->cache[i].bytes);
    free(s->base_page);
    kvi_pgset_release(&s->seen);
    free(s);
    if (rc == 0)
        *result_out = KVI_WALK_WHOLE;
    if (rc == WALK_BASE_DAMAGED)
        *result_out = KVI_WALK_BASE_DAMAGED;
    return rc == WALK_BROKEN || rc == WALK_BASE_DAMAGED ? 0 : rc;
}
