/* SPDX-License-Identifier: MIT */
/*
 * Owns what a process remembers between its write txns: which regions promised more than they held.
 * The base's entry counts what is free in the base, which is more than what is available as long as
 * readers hold the rest; without memory every txn would look into the same regions in vain.
 *
 * Three kinds of knowledge. A key stands for the exact set of live bitmaps of a region: with the
 * same key, what was found then is so now. Otherwise a region that was left with nothing available
 * is expected to hold what was freed in it since, until the hint is old or a reader has gone, who
 * may have held many pages; new readers only hold more. And one that yields crumbs again and again
 * is asked more and more rarely. A wrong expectation costs one look into the region, or some
 * growth.
 *
 * One thread at a time: the writer's.
 */
#include <stdlib.h>

#include "space/space_private.h"

struct kvi_space_hints *kvi_space_hints_new(void)
{
    return (struct kvi_space_hints *)calloc(1, sizeof(struct kvi_space_hints));
}

void kvi_space_hints_free(struct kvi_space_hints *hints)
{
    free(hints);
}

static bool is_live(const struct kvi_space *space, uint64_t txnid)
{
    for (size_t i = 0; i < space->live_count; i++)
        if (kvi_header_txnid(space->live[i].page) == txnid)
            return true;
    return false;
}

/* The base and the one before it come and go with every txn, and hold little. */
static void remember_old(struct kvi_space *space)
{
    struct kvi_space_hints *hints = space->hints;
    uint64_t base = kvi_header_txnid(space->base.page);

    hints->old_count = 0;
    for (size_t i = 0; i < space->live_count; i++) {
        uint64_t txnid = kvi_header_txnid(space->live[i].page);

        if (txnid >= base || base - txnid == 1)
            continue;
        if (hints->old_count == KVI_SPACE_OLD) {
            hints->departures++;
            return;
        }
        hints->old[hints->old_count++] = txnid;
    }
}

void kvi_space_hints_begin(struct kvi_space *space)
{
    struct kvi_space_hints *hints = space->hints;
    bool all_here = true;

    if (!hints)
        return;
    hints->txns++;
    hints->txns += hints->txns == 0; /* wrapped: 0 means never */
    for (uint32_t i = 0; i < hints->old_count && all_here; i++)
        all_here = is_live(space, hints->old[i]);
    hints->departures += !all_here;
    hints->departures += hints->departures == 0; /* from 1 */
    remember_old(space);
}

/* The hint of a region; NULL: none. */
static struct kvi_space_hint *find_hint(const struct kvi_space *space, uint64_t number)
{
    struct kvi_space_hint *hint;

    if (!space->hints)
        return NULL;
    hint = &space->hints->slots[number & (KVI_SPACE_HINTS - 1)];
    return hint->region == number && hint->txns ? hint : NULL;
}

/* The hint of a region, made if there is none. */
static struct kvi_space_hint *make_hint(struct kvi_space *space, uint64_t number)
{
    struct kvi_space_hint *hint;

    if (!space->hints)
        return NULL;
    hint = &space->hints->slots[number & (KVI_SPACE_HINTS - 1)];
    if (hint->region != number || !hint->txns) {
        hint->region = number;
        hint->empty_key = 0;
        hint->run_key = 0;
        hint->run_none = 0;
        hint->departures = 0; /* never the number now */
        hint->free_pages = 0;
        hint->misses = 0;
    }
    hint->txns = space->hints->txns;
    return hint;
}

static uint32_t age_of(const struct kvi_space *space, const struct kvi_space_hint *hint)
{
    return space->hints->txns - hint->txns;
}

/* Whether the count of free pages at that time still tells what to expect. */
static bool hint_fresh(const struct kvi_space *space, const struct kvi_space_hint *hint)
{
    return hint->departures == space->hints->departures &&
           age_of(space, hint) < KVI_SPACE_HINT_TXNS;
}

/* Whether the region disappointed so often that its turn has not come yet. */
static bool hint_rests(const struct kvi_space *space, const struct kvi_space_hint *hint)
{
    uint32_t most = hint->departures == space->hints->departures ? KVI_SPACE_MISSES_MAX
                                                                 : KVI_SPACE_MISSES_AFTER_DEPARTURE;
    uint32_t misses = hint->misses < most ? hint->misses : most;

    return misses && age_of(space, hint) < 1u << misses;
}

int kvi_space_expect(struct kvi_space *space, uint64_t number, uint32_t free_pages,
                     uint32_t *pages_out, bool *empty_out)
{
    const struct kvi_space_hint *hint = find_hint(space, number);
    uint64_t key;
    int rc = 0;

    *pages_out = free_pages;
    *empty_out = false;
    if (!hint)
        return 0;
    if (hint->empty_key) {
        rc = kvi_space_live_key(space, number, &key);
        *empty_out = !rc && key == hint->empty_key;
    }
    if (*empty_out || hint_rests(space, hint))
        *pages_out = 0;
    else if (hint_fresh(space, hint))
        *pages_out = free_pages > hint->free_pages ? free_pages - hint->free_pages : 0;
    return rc;
}

int kvi_space_run_hopeless(struct kvi_space *space, uint64_t number, uint32_t count,
                           bool *hopeless_out)
{
    const struct kvi_space_hint *hint = find_hint(space, number);
    uint64_t key;
    int rc;

    *hopeless_out = false;
    if (!hint || !hint->run_key || count < hint->run_none)
        return 0;
    rc = kvi_space_live_key(space, number, &key);
    *hopeless_out = !rc && key == hint->run_key;
    return rc;
}

/* The entry of the next base will count the pages retired in this txn as free, and they may then be
 * available: so the count that is expected to hold nothing is the one without them. */
void kvi_space_note_drained(struct kvi_space *space, const struct kvi_space_region *region,
                            bool crumbs)
{
    struct kvi_space_hint *hint = make_hint(space, region->number);

    if (!hint)
        return;
    hint->empty_key = region->claimed ? 0 : region->key;
    hint->misses = crumbs ? hint->misses + 1 : 0;
    hint->departures = space->hints->departures;
    hint->free_pages = region->free_pages;
}

void kvi_space_note_run(struct kvi_space *space, const struct kvi_space_region *region)
{
    struct kvi_space_hint *hint = make_hint(space, region->number);

    if (!hint)
        return;
    hint->run_key = region->key;
    hint->run_none = region->run_none;
}
