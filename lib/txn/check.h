/* SPDX-License-Identifier: MIT */
/*
 * What check.c (trees) and check_map.c (space map) share: one check in progress. One thread; freed
 * by check.c.
 */
#ifndef KVI_TXN_CHECK_H
#define KVI_TXN_CHECK_H

#include "base/attr.h"
#include "txn/txn.h"

struct kvi_check {
    struct kv_env *env;
    const struct kv_check_options *options;
    const struct kvi_snapshot *snapshot; /* the one being proved */
    struct kvi_view view;                /* of that snapshot */
    const char *table;                   /* the table being proved; NULL none */
    const struct kvi_tree *tree;         /* its tree, while it is walked; NULL none */
    uint8_t *reached;                    /* a bit for each page below page_end */
    uint64_t pages_reached;
    uint64_t pages_total;
    uint64_t progress_next;
    uint64_t tables;       /* named tables seen */
    uint64_t named_visits; /* pages of the main table seen in search of them */
    bool holes; /* pages of a tree could not be read, so that what is below is not reached */
    uint64_t pages_map; /* map pages seen */
    uint64_t findings;
    int stopped; /* what a callback returned to end the check; 0: nothing */
};

/* Reports a finding; not 0: the callback ended the check. */
KVI_MUST_CHECK int kvi_check_find(struct kvi_check *check, uint64_t pgno, const char *what);

/* Marks pages as reached; a page reached twice is a finding. */
KVI_MUST_CHECK int kvi_check_reach(struct kvi_check *check, uint64_t pgno, uint64_t count);

/* Marks the map's own pages and compares every bitmap with the pages reached. check_map.c */
KVI_MUST_CHECK int kvi_check_map(struct kvi_check *check);

#endif
