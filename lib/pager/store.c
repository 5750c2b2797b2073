/* SPDX-License-Identifier: MIT */
/*
 * Owns the writer's mapping and what is known of the file's blocks. See store.h.
 *
 * What is known is a bit for each page in memory that is reserved and mostly never touched. The
 * mapping covers the file's beginning and is made anew, larger, when pages behind it are to be
 * stored; it is not kept by a child of fork. The copy goes through the os table (kvi_os->store),
 * where a page that cannot be had is an error.
 *
 * A page that left the page cache would be read from the disk just to be covered, so some of each
 * call's pages are asked for, and after one that is not there calls write for a while.
 */
#include "pager/store.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "kv.h"
#include "os/os.h"
#include "pager/inside.h"

#ifdef KVI_SMALL_LIMITS
#define STORE_PAGES_MIN 1u
#define WINDOW_BYTES_MIN ((uint64_t)64 << 10)
#else
#define STORE_PAGES_MIN 32u /* known pages in a call from which on a sample and a pipe pay */
#define WINDOW_BYTES_MIN ((uint64_t)16 << 20)
#endif
#define STORE_SAMPLES 16u     /* pages of a call that are asked for, at most, and */
#define STORE_SAMPLE_SHARE 8u /* one of so many at most */
#define STORE_REST_CALLS 32u  /* calls that write after a page was not in the page cache */

struct kvi_store {
    const struct kvi_map *map;      /* not owned: file, geometry */
    uint64_t *known;                /* a bit for each page that the map reaches */
    uint64_t known_end;             /* no bit is set from here on */
    uint64_t holes;                 /* the count for which `known` holds */
    struct kvi_os_store way;        /* base NULL: nothing is mapped */
    uint64_t window_bytes;          /* of the mapping */
    unsigned rest;                  /* calls that are still to write */
    bool piped;                     /* way.ends are open */
    bool off;                       /* something failed: not used any more */
    struct kvi_guard_slot *guarded; /* the mapping */
};

/* ---- What is known ---- */

static uint64_t known_bytes(const struct kvi_store *store)
{
    return (store->map->pages_max / 64 + 1) * sizeof(*store->known);
}

static void set_bits(struct kvi_store *store, uint64_t first, uint64_t end, bool value)
{
    for (uint64_t pgno = first; pgno < end; pgno++) {
        uint64_t bit = UINT64_C(1) << pgno % 64;

        if (value)
            store->known[pgno / 64] |= bit;
        else
            store->known[pgno / 64] &= ~bit;
    }
}

void kvi_store_begin(struct kvi_store *store, uint64_t holes)
{
    if (store->holes == holes)
        return;
    memset(store->known, 0, (store->known_end / 64 + 1) * sizeof(*store->known));
    store->known_end = 0;
    store->holes = holes;
}

void kvi_store_forget(struct kvi_store *store, uint64_t before, uint64_t pgno_first,
                      uint64_t pgno_end)
{
    if (store->holes != before)
        return; /* the next txn forgets all */
    if (pgno_end > store->known_end)
        pgno_end = store->known_end;
    set_bits(store, pgno_first, pgno_end, false);
    if (pgno_first < pgno_end && pgno_end == store->known_end)
        store->known_end = pgno_first;
    store->holes = before + 1;
}

void kvi_store_wrote(struct kvi_store *store, uint64_t pgno, uint64_t pages)
{
    if (!store || pgno >= store->map->pages_max || pages > store->map->pages_max - pgno)
        return;
    set_bits(store, pgno, pgno + pages, true);
    if (pgno + pages > store->known_end)
        store->known_end = pgno + pages;
}

bool kvi_store_knows(const struct kvi_store *store, const struct kvi_write_item *item)
{
    if (item->pages > store->known_end || item->pgno > store->known_end - item->pages)
        return false;
    for (uint64_t pgno = item->pgno; pgno < item->pgno + item->pages; pgno++)
        if (!(store->known[pgno / 64] >> pgno % 64 & 1))
            return false;
    return true;
}

/* ---- The mapping ---- */

/* File systems where changing a page whose blocks are allocated needs no others: no copy on write,
 * no shared extents. */
static bool blocks_stay(int64_t fs_type)
{
    return fs_type == 0xef53 ||   /* ext2, ext3, ext4 */
           fs_type == 0x01021994; /* tmpfs, memfd */
}

int kvi_store_new(const struct kvi_map *map, struct kvi_store **store_out)
{
    struct kvi_store *store;
    void *known = NULL;
    int64_t fs_type = 0;
    int rc = kvi_os->fs_type(map->fd, &fs_type);

    *store_out = NULL;
    if (rc || !blocks_stay(fs_type))
        return rc ? rc : KV_EUNSUPPORTED;
    store = calloc(1, sizeof(*store));
    if (!store)
        return ENOMEM;
    store->map = map;
    store->way.fd = map->fd;
    rc = kvi_os->map_anon(known_bytes(store), &known);
    if (rc) {
        free(store);
        return rc;
    }
    store->known = known;
    *store_out = store;
    return 0;
}

static void window_close(struct kvi_store *store)
{
    kvi_guard_remove(store->guarded);
    store->guarded = NULL;
    if (store->way.base)
        (void)kvi_os->unmap(store->way.base, store->window_bytes);
    store->way.base = NULL;
    store->window_bytes = 0;
}

void kvi_store_free(struct kvi_store *store, bool forked)
{
    if (!store)
        return;
    kvi_guard_remove(store->guarded);
    store->guarded = NULL;
    if (!forked) {
        window_close(store);
        (void)kvi_os->unmap(store->known, known_bytes(store));
    }
    if (store->piped) /* which forgets where the window was */
        kvi_os->store_close(&store->way);
    free(store);
}

/* The copies are the kernel's, to which a page that cannot be had is an error; this is for what is
 * not. */
static int window_guard(struct kvi_store *store)
{
    const struct kvi_guard_area area = {
        .base = store->way.base,
        .size_bytes = store->window_bytes,
        .unit_bytes = store->map->geometry.page_size,
        .kind = KVI_GUARD_DATA,
        .writable = true,
        .left_by_fork = true,
    };

    return store->map->mark ? kvi_guard_add(store->map->mark, &area, &store->guarded) : 0;
}

/* A mapping that reaches `end_bytes`, and the pipe. */
static int window_open(struct kvi_store *store, uint64_t end_bytes)
{
    uint64_t size = WINDOW_BYTES_MIN;
    void *base = NULL;
    int rc;

    if (end_bytes <= store->window_bytes)
        return 0;
    window_close(store);
    while (size < end_bytes)
        size *= 2;
    if (!store->piped) {
        rc = kvi_os->store_open(&store->way);
        if (rc)
            return rc;
        store->piped = true;
    }
    rc = kvi_os->map(store->map->fd, 0, size, true, &base);
    if (rc)
        return rc;
    store->way.base = base;
    store->window_bytes = size;
    rc = kvi_os->advise(base, size, MADV_DONTFORK);
    return rc ? rc : window_guard(store);
}

/* ---- Storing ---- */

static bool is_resident(const struct kvi_store *store, uint64_t pgno)
{
    bool resident = false;
    int rc =
        kvi_os->resident(store->way.base + (pgno << store->map->geometry.page_shift), &resident);

    return !rc && resident;
}

/* Asks for some of the known items. */
static bool seem_resident(const struct kvi_store *store, const struct kvi_write_item *items,
                          size_t count, size_t known)
{
    size_t step = known / STORE_SAMPLES + 1;
    size_t nth = 0;

    if (step < STORE_SAMPLE_SHARE)
        step = STORE_SAMPLE_SHARE;
    for (size_t i = 0; i < count; i++) {
        if (kvi_store_knows(store, &items[i]) && nth++ % step == 0 &&
            !is_resident(store, items[i].pgno))
            return false;
    }
    return true;
}

bool kvi_store_ready(struct kvi_store *store, const struct kvi_write_item *items, size_t count)
{
    uint64_t end = 0;
    size_t known = 0;

    if (store->off || count < STORE_PAGES_MIN)
        return false;
    if (store->rest) {
        store->rest--;
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (!kvi_store_knows(store, &items[i]))
            continue;
        known++;
        if (items[i].pgno + items[i].pages > end)
            end = items[i].pgno + items[i].pages;
    }
    if (known < STORE_PAGES_MIN)
        return false;
    if (window_open(store, end << store->map->geometry.page_shift)) {
        store->off = true;
        return false;
    }
    if (!seem_resident(store, items, count, known)) {
        store->rest = STORE_REST_CALLS;
        return false;
    }
    return true;
}

int kvi_store_put(struct kvi_store *store, const struct kvi_write_item *const *items, size_t count)
{
    unsigned shift = store->map->geometry.page_shift;
    struct iovec parts[KVI_STORE_BATCH];
    uint64_t offsets[KVI_STORE_BATCH];
    int rc;

    assert(count <= KVI_STORE_BATCH);
    for (size_t i = 0; i < count; i++) {
        assert((items[i]->pgno + items[i]->pages) << shift <= store->window_bytes);
        parts[i].iov_base = (void *)(uintptr_t)items[i]->bytes;
        parts[i].iov_len = (size_t)items[i]->pages << shift;
        offsets[i] = items[i]->pgno << shift;
    }
    rc = kvi_os->store(&store->way, parts, offsets, (int)count);
    if (rc)
        store->off = true;
    return rc;
}
