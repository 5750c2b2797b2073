/* SPDX-License-Identifier: MIT */
/*
 * lib/space without memory: every allocation of a write txn fails once, the result says so, and the
 * space can be closed. Nothing may leak, which the address sanitizer sees.
 */
#include "harness.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fault_alloc.h"
#include "kv.h"
#include "space_model.h"

#define CHANGES 60

/* Allocates, retires and releases; stops at the first failure. */
static int change(struct model *m, struct kvi_space *space)
{
    uint64_t pgno = 0;
    int rc = 0;

    for (size_t i = 0; i < CHANGES && !rc; i++) {
        rc = kvi_space_alloc(space, i % 7 == 0 ? 9 : 1, &pgno);
        if (!rc && i % 5 == 0)
            rc = kvi_space_release(space, pgno, 1);
        if (!rc)
            rc = kvi_space_retire(space, m->runs[i * (m->run_count / CHANGES)].pgno, 1);
    }
    return rc;
}

/* A whole txn over the model's newest snapshot, which stays the newest. */
static int one_txn(struct model *m, uint8_t *snap_page)
{
    struct kvi_space_snapshot live = {m->file[m->newest->snap.pgno], m->newest->snap.page_end,
                                      m->newest->snap.map_count, m->newest->snap.map_levels};
    struct kvi_snap snap = m->newest->snap;
    struct kvi_space *space;
    int rc;

    memset(snap_page, 0, m->g.page_size);
    rc = kvi_space_open(&m->g, &m->io, &m->newest->snap, live.page, &live, 1, m->hints,
                        m->txnid + 1, &space);
    if (rc)
        return rc;
    rc = change(m, space);
    if (!rc)
        rc = kvi_space_commit(space, &snap, snap_page);
    kvi_space_close(space);
    return rc;
}

START_TEST(every_allocation_of_a_txn_may_fail)
{
    struct model *m = model_new(4096);
    uint8_t *snap_page = malloc(m->g.page_size);
    uint64_t failures = 0;
    int rc;

    model_begin(m);
    for (int i = 0; i < 4000; i++)
        model_alloc(m, 1);
    model_commit(m);
    for (uint64_t n = 1;; n++) {
        bool fired;

        alloc_fault_arm(n);
        rc = one_txn(m, snap_page);
        alloc_fault_disarm();
        fired = alloc_fault_fired();
        MUST(fired ? rc == ENOMEM : rc == 0);
        if (!fired)
            break;
        failures++;
    }
    ck_assert_uint_gt(failures, 30);
    model_begin(m); /* the file is as it was */
    model_alloc(m, 5);
    model_commit(m);
    free(snap_page);
    model_delete(m);
}
END_TEST

START_TEST(count_of_pages_held_alone_may_fail_for_want_of_memory)
{
    struct model *m = model_new(4096);
    struct kvi_space_snapshot live = {m->file[m->newest->snap.pgno], m->newest->snap.page_end,
                                      m->newest->snap.map_count, m->newest->snap.map_levels};
    uint64_t pages;
    int rc;

    alloc_fault_arm(1);
    rc = kvi_map_only(&m->g, &m->io, &live, NULL, 0, &pages);
    alloc_fault_disarm();
    ck_rc(rc, ENOMEM);
    ck_ok(kvi_map_only(&m->g, &m->io, &live, NULL, 0, &pages));
    ck_assert_uint_eq(pages, 4);
    model_delete(m);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("small oom space");

    harness_add(s, "txn", every_allocation_of_a_txn_may_fail);
    harness_add(s, "maps", count_of_pages_held_alone_may_fail_for_want_of_memory);
    return s;
}

HARNESS_MAIN(suite)
