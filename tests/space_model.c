/* SPDX-License-Identifier: MIT */
/*
 * Owns the model that the tests of the space map run against; see space_model.h.
 */
#include "space_model.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "harness.h"
#include "kv.h"

/* ---- The file ---- */

static int model_read(void *context, struct kvi_ref ref, enum kvi_page_type type, unsigned level,
                      const uint8_t **page_out)
{
    struct model *m = context;
    const uint8_t *page;

    m->reads++;
    if (ref.pgno >= m->file_pages || !m->file[ref.pgno])
        return kvi_corrupt("model", ref.pgno, "no such page");
    page = m->file[ref.pgno];
    if (kvi_header_type(page) != type || kvi_header_level(page) != level)
        return kvi_corrupt("model", ref.pgno, "another kind of page");
    if (!m->trusting && (kvi_page_tag(page) != ref.tag || !kvi_page_sound(&m->g, page)))
        return kvi_corrupt("model", ref.pgno, "another version of the page");
    *page_out = page;
    return 0;
}

static int model_grow(void *context, uint64_t page_end)
{
    struct model *m = context;

    if (m->file_max && page_end > m->file_max)
        return KV_ESIZELIMIT;
    if (page_end > m->file_end)
        m->file_end = page_end;
    return 0;
}

static void write_page(struct model *m, uint64_t pgno, const uint8_t *image)
{
    if (pgno >= m->file_pages) {
        uint64_t pages = pgno * 2 + 64;

        m->file = realloc(m->file, pages * sizeof(*m->file));
        memset(m->file + m->file_pages, 0, (pages - m->file_pages) * sizeof(*m->file));
        m->file_pages = pages;
    }
    free(m->file[pgno]);
    m->file[pgno] = malloc(m->g.page_size);
    memcpy(m->file[pgno], image, m->g.page_size);
}

/* ---- Snapshots ---- */

static bool claimed(const struct model_snapshot *s, uint64_t pgno)
{
    return s && pgno < s->pages && s->claims[pgno];
}

static bool claimed_by_live(const struct model *m, uint64_t pgno)
{
    bool any = claimed(m->newest, pgno) || claimed(m->previous, pgno);

    for (unsigned i = 0; i < m->held_count; i++)
        any = any || claimed(m->held[i], pgno);
    return any;
}

static void unuse(struct model_snapshot *s)
{
    if (!s || --s->uses)
        return;
    free(s->claims);
    free(s);
}

static struct kvi_space_snapshot source_of(const struct model *m, const struct model_snapshot *s)
{
    struct kvi_space_snapshot source = {m->file[s->snap.pgno], s->snap.page_end, s->snap.map_count,
                                        s->snap.map_levels};

    return source;
}

static struct model_snapshot *new_snapshot(const struct kvi_snap *snap)
{
    struct model_snapshot *s = calloc(1, sizeof(*s));

    s->snap = *snap;
    s->pages = snap->page_end;
    s->claims = calloc(s->pages + 1, 1);
    s->uses = 1;
    return s;
}

/* Marks a page that must not be marked yet. */
static void mark(struct model_snapshot *s, uint64_t pgno, uint64_t count)
{
    for (uint64_t p = pgno; p < pgno + count; p++) {
        if (p >= s->pages || s->claims[p])
            ck_abort_msg("page %llu is %s", (unsigned long long)p,
                         p >= s->pages ? "past the end" : "used twice");
        s->claims[p] = 1;
    }
}

/* ---- Comparing a map with what it should say ---- */

struct check {
    struct model *m;
    struct model_snapshot *s;
    uint64_t map_pages;
};

static int mark_map_page(void *context, struct kvi_ref ref, unsigned level, uint64_t region,
                         const struct kvi_map_entry *entry)
{
    struct check *check = context;
    const uint8_t *page;

    (void)region;
    MUST(entry->ref.pgno == ref.pgno);
    MUST(model_read(check->m, ref, level ? KVI_PAGE_INDEX : KVI_PAGE_BITMAP, level, &page) == 0);
    MUST(kvi_header_txnid(page) <= check->s->snap.txnid);
    check->map_pages++;
    mark(check->s, ref.pgno, 1);
    return 0;
}

struct totals {
    uint64_t free_pages;
    uint32_t free_run;
};

static uint32_t least(uint64_t value)
{
    return value < KVI_MAP_COUNT_MAX ? (uint32_t)value : KVI_MAP_COUNT_MAX;
}

/* Free pages and longest run of the regions [first, first + span), by the claims. */
static struct totals totals_of(const struct model *m, const struct model_snapshot *s,
                               uint64_t first, uint64_t span)
{
    struct totals totals = {0, 0};

    for (uint64_t region = first; region < first + span; region++) {
        uint32_t run = 0;

        for (uint32_t i = 0; i < m->g.region_pages; i++) {
            bool used = claimed(s, region * m->g.region_pages + i);

            run = used ? 0 : run + 1;
            totals.free_pages += !used;
            if (run > totals.free_run)
                totals.free_run = run;
        }
    }
    return totals;
}

static int check_entry(void *context, struct kvi_ref ref, unsigned level, uint64_t region,
                       const struct kvi_map_entry *entry)
{
    struct check *check = context;
    struct totals totals = totals_of(check->m, check->s, region, kvi_map_span(&check->m->g, level));

    (void)ref;
    MUST(entry->free_pages == least(totals.free_pages));
    MUST(entry->free_run == least(totals.free_run));
    return 0;
}

static void check_bits(struct model *m, const struct kvi_space_snapshot *source,
                       const struct model_snapshot *s)
{
    for (uint64_t region = 0; region <= kvi_map_regions(&m->g, s->pages); region++) {
        struct kvi_map_entry entry;
        const uint8_t *page = NULL;
        uint32_t used = 0;

        MUST(kvi_map_lookup(&m->g, &m->io, source, region, &entry) == 0);
        if (entry.ref.pgno)
            MUST(model_read(m, entry.ref, KVI_PAGE_BITMAP, 0, &page) == 0);
        for (uint32_t i = 0; i < m->g.region_pages; i++) {
            uint64_t pgno = region * m->g.region_pages + i;
            bool bit = page && (page[KVI_HEADER_BYTES + i / 8] >> (i % 8) & 1);

            used += bit;
            if (bit != claimed(s, pgno))
                ck_abort_msg("S3: page %llu is %sclaimed by the map", (unsigned long long)pgno,
                             bit ? "" : "not ");
        }
        /* S5: a bitmap for nothing, or for itself only, is none. */
        MUST(!entry.ref.pgno || used > (entry.ref.pgno / m->g.region_pages == region));
    }
}

/* Fills in the claims of the newest snapshot from its runs and its map pages, and compares. */
void model_check(struct model *m)
{
    struct model_snapshot *s = m->newest;
    struct kvi_space_snapshot source = source_of(m, s);
    struct check check = {m, s, 0};
    uint64_t used = 0;

    memset(s->claims, 0, s->pages);
    mark(s, 0, 1);
    mark(s, m->g.meta_pgno_1, 1);
    mark(s, s->snap.pgno, 1);
    for (size_t i = 0; i < m->run_count; i++)
        mark(s, m->runs[i].pgno, m->runs[i].count);
    ck_ok(kvi_map_walk(&m->g, &m->io, &source, mark_map_page, &check));
    ck_ok(kvi_map_walk(&m->g, &m->io, &source, check_entry, &check));
    check_bits(m, &source, s);
    for (uint64_t p = 0; p < s->pages; p++)
        used += s->claims[p];
    ck_assert_uint_eq(s->snap.pages_used, used);
    ck_assert_uint_eq(s->snap.pages_map, check.map_pages);
    ck_assert_msg(s->claims[s->pages - 1], "page_end is above the highest page in use");
    ck_assert_uint_le(s->snap.page_end, m->file_end);
}

/* ---- Life ---- */

struct model *model_new(uint32_t page_size)
{
    struct model *m = calloc(1, sizeof(*m));
    struct kvi_space_page bitmap = {0, malloc(page_size)};
    uint8_t *snap_page = calloc(1, page_size);
    struct kvi_snap snap;

    /* Arrays of a byte a page come and go with every commit: let the heap keep them. */
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    memset(&snap, 0, sizeof(snap));
    ck_assert(kvi_geometry_init(&m->g, page_size));
    m->io.context = m;
    m->io.read = model_read;
    m->io.grow = model_grow;
    m->io.path = "model";
    m->hints = kvi_space_hints_new();
    m->txnid = snap.txnid = 1;
    kvi_space_create(&m->g, 1, &snap, snap_page, &bitmap);
    kvi_snap_encode(&m->g, &snap, snap_page);
    kvi_page_seal(&m->g, snap_page);
    write_page(m, bitmap.pgno, bitmap.image);
    write_page(m, snap.pgno, snap_page);
    m->file_end = snap.page_end;
    m->newest = new_snapshot(&snap);
    model_check(m);
    free(bitmap.image);
    free(snap_page);
    return m;
}

void model_delete(struct model *m)
{
    if (m->space)
        model_abort(m);
    while (m->held_count)
        model_drop(m, 0);
    unuse(m->newest);
    unuse(m->previous);
    for (uint64_t p = 0; p < m->file_pages; p++)
        free(m->file[p]);
    free(m->file);
    free(m->runs);
    free(m->touched);
    kvi_space_hints_free(m->hints);
    free(m);
}

int model_try_begin(struct model *m)
{
    struct kvi_space_snapshot live[MODEL_HELD_MAX + 3];
    size_t count = 0;
    int rc;

    for (unsigned i = 0; i < m->held_count; i++)
        live[count++] = source_of(m, m->held[i]);
    if (m->previous)
        live[count++] = source_of(m, m->previous);
    live[count++] = source_of(m, m->newest);
    rc = kvi_space_open(&m->g, &m->io, &m->newest->snap, m->file[m->newest->snap.pgno], live, count,
                        m->hints, ++m->txnid, &m->space);
    if (rc)
        return rc;
    m->run_count_before = m->run_count;
    m->runs_before = malloc((m->run_count + 1) * sizeof(*m->runs));
    if (m->run_count)
        memcpy(m->runs_before, m->runs, m->run_count * sizeof(*m->runs));
    m->touched_count = 0;
    return 0;
}

void model_begin(struct model *m)
{
    ck_ok(model_try_begin(m));
}

static void end_txn(struct model *m)
{
    kvi_space_close(m->space);
    m->space = NULL;
    free(m->runs_before);
    m->runs_before = NULL;
}

void model_abort(struct model *m)
{
    free(m->runs);
    m->runs = m->runs_before;
    m->run_count = m->run_count_before;
    m->run_capacity = m->run_count_before + 1;
    m->runs_before = NULL;
    end_txn(m);
}

/* ---- Changes ---- */

static void note_touched(struct model *m, uint64_t pgno, uint64_t count)
{
    uint64_t first = pgno / m->g.region_pages;
    uint64_t last = (pgno + count - 1) / m->g.region_pages;

    for (uint64_t region = first; region <= last; region++) {
        size_t i = 0;

        while (i < m->touched_count && m->touched[i] != region)
            i++;
        if (i < m->touched_count)
            continue;
        if (m->touched_count == m->touched_capacity) {
            m->touched_capacity = m->touched_capacity * 2 + 16;
            m->touched = realloc(m->touched, m->touched_capacity * sizeof(*m->touched));
        }
        m->touched[m->touched_count++] = region;
    }
}

static void add_run(struct model *m, uint64_t pgno, uint64_t count)
{
    if (m->run_count == m->run_capacity) {
        m->run_capacity = m->run_capacity * 2 + 16;
        m->runs = realloc(m->runs, m->run_capacity * sizeof(*m->runs));
    }
    m->runs[m->run_count].pgno = pgno;
    m->runs[m->run_count].count = count;
    m->runs[m->run_count++].fresh = true;
}

uint64_t model_alloc(struct model *m, uint64_t count)
{
    uint64_t pgno = 0;

    MUST(kvi_space_alloc(m->space, count, &pgno) == 0);
    MUST(pgno + count <= m->file_end);
    for (uint64_t p = pgno; p < pgno + count; p++) {
        MUST(p != 0 && p != m->g.meta_pgno_1);
        if (claimed_by_live(m, p))
            ck_abort_msg("S1: page %llu of a live snapshot was handed out", (unsigned long long)p);
    }
    add_run(m, pgno, count);
    note_touched(m, pgno, count);
    return pgno;
}

void model_free(struct model *m, size_t index)
{
    struct model_run run = m->runs[index];

    m->runs[index] = m->runs[--m->run_count];
    note_touched(m, run.pgno, run.count);
    if (run.fresh)
        MUST(kvi_space_release(m->space, run.pgno, run.count) == 0);
    else
        MUST(kvi_space_retire(m->space, run.pgno, run.count) == 0);
}

/* ---- Commit ---- */

/* Writes the map pages as the pager would, each one over nothing that lives. */
static void write_map(struct model *m)
{
    size_t count;
    const struct kvi_space_page *pages = kvi_space_pages(m->space, &count);

    m->bitmaps = m->indexes = 0;
    for (size_t i = 0; i < count; i++) {
        MUST(i == 0 || pages[i - 1].pgno < pages[i].pgno);
        MUST(!claimed_by_live(m, pages[i].pgno));
        MUST(kvi_page_sound(&m->g, pages[i].image));
        MUST(kvi_header_pgno(pages[i].image) == pages[i].pgno);
        if (kvi_header_type(pages[i].image) == KVI_PAGE_BITMAP)
            m->bitmaps++;
        else
            m->indexes++;
        write_page(m, pages[i].pgno, pages[i].image);
    }
}

static void publish(struct model *m, const struct kvi_snap *snap)
{
    unuse(m->previous);
    m->previous = m->newest;
    m->newest = new_snapshot(snap);
    for (size_t i = 0; i < m->run_count; i++)
        m->runs[i].fresh = false;
    m->regions_changed = m->touched_count;
}

int model_try_commit(struct model *m)
{
    uint8_t *snap_page = calloc(1, m->g.page_size);
    struct kvi_snap snap = m->newest->snap;
    struct kvi_snap decoded;
    int rc;

    snap.txnid = m->txnid;
    rc = snap_page ? kvi_space_commit(m->space, &snap, snap_page) : ENOMEM;
    if (rc) {
        free(snap_page);
        model_abort(m);
        return rc;
    }
    ck_assert(!claimed_by_live(m, snap.pgno));
    kvi_snap_encode(&m->g, &snap, snap_page);
    kvi_page_seal(&m->g, snap_page);
    if (!m->trusting)
        ck_assert_ptr_null(kvi_snap_decode(&m->g, snap_page, &decoded));
    write_map(m);
    write_page(m, snap.pgno, snap_page);
    free(snap_page);
    end_txn(m);
    publish(m, &snap);
    return 0;
}

void model_commit(struct model *m)
{
    ck_ok(model_try_commit(m));
    model_check(m);
}

/* ---- Readers ---- */

void model_hold(struct model *m)
{
    ck_assert_uint_lt(m->held_count, MODEL_HELD_MAX);
    m->newest->uses++;
    m->held[m->held_count++] = m->newest;
}

void model_drop(struct model *m, unsigned index)
{
    unuse(m->held[index]);
    m->held[index] = m->held[--m->held_count];
}
