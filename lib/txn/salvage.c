/* SPDX-License-Identifier: MIT */
/*
 * Owns the beginning of a salvage: the file, its page size, and the snapshot to follow.
 *
 * The page size is what a meta slot says, else the one at which a sound page stands where its header
 * says. The snapshot is the newest that a meta slot names and that can be read, else the newest
 * snapshot page that is left. Whether its flush was known to have ended does not count: most files
 * end with a meta that is not sealed, and where recovery would go back a commit for one bad page,
 * a salvage keeps the rest of it.
 *
 * No env, no lock file, nothing is written. Nobody else may write to the file meanwhile. The mapping is
 * guarded (docs/GUARD.md): a page that cannot be had is zeros, which no checksum fits, and a loss.
 */
#include "txn/salvage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "format/meta.h"
#include "os/os.h"
#include "tree/salvage.h"

/* A snapshot that may be followed. */
struct candidate {
    struct kvi_ref ref; /* tag 0: not known */
    uint64_t txnid;
};

struct metas {
    struct kvi_meta slot[2];
    enum kvi_meta_state state[2];
    struct candidate by_age[2]; /* newest first */
    unsigned count;
};

/* ---- The file ---- */

static int map_file(struct kvi_salvage *s)
{
    struct kvi_os_stat st;
    void *base = NULL;
    int rc = kvi_os->open(s->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0, &s->fd);

    if (rc) {
        s->fd = -1;
        return kvi_error(rc, "%s: opening: %s", s->path, kvi_strerror(rc));
    }
    rc = kvi_os->stat_fd(s->fd, &st);
    if (rc)
        return kvi_error(rc, "%s: %s", s->path, kvi_strerror(rc));
    if (S_ISDIR(st.mode))
        return kvi_error(EISDIR, "%s is a directory", s->path);
    if (!S_ISREG(st.mode) || st.size_bytes == 0)
        return kvi_error(KV_ENOTDB, "%s is not a plain file, or empty", s->path);
    s->size_bytes = st.size_bytes;
    if (st.size_bytes > SIZE_MAX)
        return kvi_error(ENOMEM, "%s: larger than the address space", s->path);
    rc = kvi_os->map(s->fd, 0, st.size_bytes, false, &base);
    if (rc)
        return kvi_error(rc, "%s: mapping: %s", s->path, kvi_strerror(rc));
    s->base = base;
    return 0;
}

static int guard_file(struct kvi_salvage *s)
{
    struct kvi_guard_area area = {.base = (void *)(uintptr_t)s->base,
                                  .size_bytes = s->size_bytes,
                                  .unit_bytes = KVI_PAGE_SIZE_MIN,
                                  .kind = KVI_GUARD_DATA};
    int rc = kvi_guard_enter();

    s->guard_entered = !rc;
    return rc ? rc : kvi_guard_add(&s->mark, &area, &s->guarded);
}

static void close_file(struct kvi_salvage *s)
{
    kvi_guard_remove(s->guarded);
    if (s->guard_entered)
        kvi_guard_leave();
    if (s->base)
        (void)kvi_os->unmap((void *)(uintptr_t)s->base, s->size_bytes);
    if (s->fd >= 0)
        (void)kvi_os->close(s->fd);
}

static void read_metas(const struct kvi_salvage *s, struct metas *metas)
{
    static const uint64_t offsets[2] = {0, KVI_META_SLOT_1_OFFSET};

    for (unsigned i = 0; i < 2; i++) {
        uint8_t bytes[KVI_META_BYTES];
        size_t got = 0;

        metas->state[i] = KVI_META_TORN;
        if (!kvi_os->read_at(s->fd, bytes, sizeof(bytes), offsets[i], &got) && got == sizeof(bytes))
            metas->state[i] = kvi_meta_decode(bytes, &metas->slot[i]);
        if (metas->state[i] == KVI_META_OK)
            metas->by_age[metas->count++] =
                (struct candidate){metas->slot[i].snap, metas->slot[i].txnid};
    }
    if (metas->count == 2 && metas->by_age[1].txnid > metas->by_age[0].txnid) {
        struct candidate newer = metas->by_age[1];

        metas->by_age[1] = metas->by_age[0];
        metas->by_age[0] = newer;
    }
}

/* ---- Page size ---- */

/* Whether a sound page of this size stands at `pgno`. */
static bool page_here(const struct kvi_salvage *s, const struct kvi_geometry *g, uint64_t pgno,
                      uint8_t *room)
{
    uint8_t head[KVI_HEADER_BYTES];
    uint64_t offset = pgno << g->page_shift;
    size_t got = 0;
    unsigned type;

    if (kvi_os->read_at(s->fd, head, sizeof(head), offset, &got) || got < sizeof(head))
        return false;
    type = kvi_header_type(head);
    if (kvi_header_pgno(head) != pgno || type < KVI_PAGE_BRANCH || type > KVI_PAGE_INDEX ||
        type == KVI_PAGE_OVERFLOW)
        return false;
    return !kvi_os->read_at(s->fd, room, g->page_size, offset, &got) && got == g->page_size &&
           kvi_page_sound(g, room);
}

static int find_page_size(struct kvi_salvage *s)
{
    uint8_t *room = malloc(KVI_PAGE_SIZE_MAX);

    if (!room)
        return kvi_error(ENOMEM, "no memory to salvage");
    for (uint32_t size = KVI_PAGE_SIZE_MIN; size <= KVI_PAGE_SIZE_MAX; size *= 2) {
        struct kvi_geometry g;

        if (!kvi_geometry_init(&g, size))
            continue;
        for (uint64_t pgno = 1; pgno < s->size_bytes >> g.page_shift; pgno++) {
            if (page_here(s, &g, pgno, room)) {
                free(room);
                s->g = g;
                return 0;
            }
        }
    }
    free(room);
    return kvi_error(KV_ENOTDB, "%s: no meta slot and no page of a database", s->path);
}

static int set_page_size(struct kvi_salvage *s, const struct metas *metas)
{
    int rc = 0;

    for (unsigned i = 0; i < 2; i++) {
        if (metas->state[i] == KVI_META_VERSION && metas->count == 0)
            return kvi_error(KV_EVERSION, "%s: of another format version", s->path);
    }
    if (metas->count == 0)
        rc = find_page_size(s);
    else if (!kvi_geometry_init(&s->g, metas->slot[metas->state[0] != KVI_META_OK].page_size))
        rc = kvi_error(KV_ENOTDB, "%s: a page size that cannot be", s->path);
    s->pages = rc ? 0 : s->size_bytes >> s->g.page_shift;
    return rc;
}

/* ---- Snapshots ---- */

static bool load_snapshot(struct kvi_salvage *s, const struct candidate *candidate)
{
    uint64_t pgno = candidate->ref.pgno;
    const uint8_t *page;

    if (pgno >= s->pages || kvi_salvage_kind(s, pgno) != KVI_PAGE_SNAPSHOT)
        return false;
    page = kvi_salvage_at(s, pgno);
    if ((candidate->ref.tag && kvi_page_tag(page) != candidate->ref.tag) ||
        kvi_snap_decode(&s->g, page, &s->snap) || s->snap.pgno != pgno)
        return false;
    s->snap_page = page;
    s->has_snap = true;
    return true;
}

/* Finds out what of the snapshot stands. */
static int mark_all(struct kvi_salvage *s, bool *map_damaged_out)
{
    int rc = s->has_snap ? kvi_salvage_map(s, map_damaged_out) : 0;

    if (!rc)
        rc = kvi_salvage_add(s, NULL, s->has_snap ? &s->snap.main : NULL);
    for (size_t i = 0; i < s->table_count && !rc; i++)
        rc = kvi_salvage_mark(s, i);
    return rc;
}

/* The newest snapshot page that is left. */
static bool find_snapshot(struct kvi_salvage *s)
{
    struct candidate best = {{0, 0}, 0};

    for (uint64_t pgno = 1; pgno < s->pages; pgno++) {
        const struct candidate here = {{pgno, 0}, 0};

        if (kvi_salvage_kind(s, pgno) != KVI_PAGE_SNAPSHOT)
            continue;
        if (load_snapshot(s, &here) && s->snap.txnid > best.txnid)
            best = (struct candidate){{pgno, 0}, s->snap.txnid};
    }
    s->has_snap = false;
    return best.ref.pgno != 0 && load_snapshot(s, &best);
}

/* What is lost of the file's own pages. */
static int tell_file(struct kvi_salvage *s, const struct metas *metas, bool map_damaged)
{
    const uint64_t meta_pgno[2] = {0, s->g.meta_pgno_1};
    int rc = 0;

    for (unsigned i = 0; i < 2 && !rc; i++) {
        if (metas->state[i] != KVI_META_OK)
            rc = kvi_salvage_tell_loss(s, KVI_SALVAGE_NO_TABLE, meta_pgno[i], 1,
                                       "a meta slot that cannot be read");
    }
    for (unsigned i = 0; i < metas->count && !rc; i++) {
        const struct candidate *c = &metas->by_age[i];

        if ((s->has_snap && s->snap.txnid >= c->txnid) ||
            (i > 0 && c->txnid == metas->by_age[0].txnid))
            break;
        rc = kvi_salvage_tell_loss(s, KVI_SALVAGE_NO_TABLE, c->ref.pgno, 1,
                                   "the newest snapshot cannot be read: an older one is followed");
    }
    if (!rc && !s->has_snap)
        rc = kvi_salvage_tell_loss(s, KVI_SALVAGE_NO_TABLE, KVI_NO_PGNO, 0,
                                   "no snapshot is left: what tables there were is not known");
    if (!rc && s->has_snap && s->snap.page_end > s->pages)
        rc = kvi_salvage_tell_loss(s, KVI_SALVAGE_NO_TABLE, s->pages, s->snap.page_end - s->pages,
                                   "the file ends before them");
    if (!rc && map_damaged)
        rc = kvi_salvage_tell_loss(s, KVI_SALVAGE_NO_TABLE, KVI_NO_PGNO, 0,
                                   "parts of the space map: what is old is not known there");
    return rc;
}

static int find_trees(struct kvi_salvage *s, const struct metas *metas)
{
    bool map_damaged = false;
    int rc;

    for (unsigned i = 0; i < metas->count && !s->has_snap; i++) {
        if (load_snapshot(s, &metas->by_age[i]))
            s->newest = i == 0 && metas->count == 2;
    }
    if (!s->has_snap)
        (void)find_snapshot(s);
    rc = mark_all(s, &map_damaged);
    if (!rc)
        rc = tell_file(s, metas, map_damaged);
    return rc ? rc : kvi_salvage_find_tables(s);
}

/* A page may go after its checksum was right: what was handed out of it is not to be trusted. */
static int tell_faults(struct kvi_salvage *s)
{
    uint64_t faults = kvi_guard_faults(&s->mark);

    if (!faults)
        return 0;
    return kvi_salvage_tell_loss(
        s, KVI_SALVAGE_NO_TABLE, atomic_load(&s->mark.page) * KVI_PAGE_SIZE_MIN >> s->g.page_shift,
        faults, "not to be read any more: a record written last may hold zeros of them");
}

int kvi_salvage(const char *path, const struct kv_salvage_options *options)
{
    struct kvi_salvage s = {.options = options, .path = path, .fd = -1};
    struct metas metas = {.count = 0};
    int rc = map_file(&s);

    if (!rc)
        rc = guard_file(&s);
    if (!rc) {
        read_metas(&s, &metas);
        rc = set_page_size(&s, &metas);
    }
    if (!rc)
        rc = kvi_salvage_scan(&s);
    if (!rc)
        rc = find_trees(&s, &metas);
    if (!rc)
        rc = kvi_salvage_emit(&s);
    if (!rc)
        rc = tell_faults(&s);
    kvi_salvage_release(&s);
    close_file(&s);
    if (s.stopped)
        return s.stopped;
    if (!rc && s.losses)
        rc = kvi_error(KV_ECORRUPT, "%s: %llu places could not be read", path,
                       (unsigned long long)s.losses);
    return rc;
}
