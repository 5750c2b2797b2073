/* SPDX-License-Identifier: MIT */
/*
 * A file in memory that holds a space map and nothing else, and beside it what the map should say:
 * for each snapshot an array with one byte a page. Data pages are numbers only; map and snapshot
 * pages are kept.
 *
 *     struct model *m = model_new(4096);
 *     model_begin(m);                         a txn over the newest snapshot
 *     pgno = model_alloc(m, 3);               fails the test if a live snapshot has one of them
 *     model_free(m, run);                     releases or retires, as it should be
 *     model_commit(m);                        compares every page of the new map, entries and
 * totals
 *
 * Live are the newest snapshot, the one before, and those that are held.
 */
#ifndef SPACE_MODEL_H
#define SPACE_MODEL_H

#include <check.h>
#include <stdbool.h>
#include <stdint.h>

#include "space/space.h"

#define MODEL_HELD_MAX 12

/* For inner loops: Check's own write a message for every assertion, also for those that hold. */
#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            ck_abort_msg("%s", #condition);                                                        \
    } while (0)

struct model_snapshot {
    struct kvi_snap snap;
    uint8_t *claims; /* a byte a page, `pages` of them; pages behind are free */
    uint64_t pages;
    unsigned uses; /* newest, previous, holds */
};

/* Consecutive data pages of the newest snapshot or of the txn. */
struct model_run {
    uint64_t pgno;
    uint64_t count;
    bool fresh; /* allocated in the open txn */
};

struct model {
    struct kvi_geometry g;
    struct kvi_space_io io;
    uint8_t **file; /* map and snapshot pages by pgno; NULL: data or nothing */
    uint64_t file_pages;
    uint64_t file_end; /* as grown */
    uint64_t file_max; /* grow refuses above; 0: no limit */
    bool trusting;     /* reads compare no tags: for damage that was sealed again */
    uint64_t reads;
    uint64_t txnid;
    struct model_snapshot *newest, *previous;
    struct model_snapshot *held[MODEL_HELD_MAX];
    unsigned held_count;
    struct kvi_space_hints *hints;
    /* the open txn */
    struct kvi_space *space;
    struct model_run *runs; /* of the txn; of the newest snapshot when none is open */
    size_t run_count, run_capacity;
    struct model_run *runs_before;
    size_t run_count_before;
    uint64_t *touched; /* regions where this txn changed data */
    size_t touched_count, touched_capacity;
    size_t bitmaps; /* map pages that the last commit wrote, bitmaps and others */
    size_t indexes;
    size_t regions_changed; /* by the txn's own data, before its commit */
};

struct model *model_new(uint32_t page_size);
void model_delete(struct model *m);

void model_begin(struct model *m);
/* The same; a failure is returned, and then no txn is open. */
int model_try_begin(struct model *m);
void model_abort(struct model *m);
void model_commit(struct model *m);
/* The same; a failure is returned, and then the txn is aborted. */
int model_try_commit(struct model *m);

/* Allocates and checks that nothing live is handed out; adds a run. */
uint64_t model_alloc(struct model *m, uint64_t count);
/* Frees run number `index` of m->runs, which leaves the array. */
void model_free(struct model *m, size_t index);

/* Holds the newest snapshot; lets go of one held. */
void model_hold(struct model *m);
void model_drop(struct model *m, unsigned index);

/* Compares the newest map with the model: done by model_commit. */
void model_check(struct model *m);

#endif
