/* SPDX-License-Identifier: MIT */
/*
 * A set of page numbers, one bit each, in chunks that exist where there are members: the pages that
 * a txn has written early. A txn of any size can afford it: 3 MiB of bits for 100 GiB of pages of 4
 * KiB.
 *
 * Zero-initialise; memory is taken by the two reserve functions only. One thread at a time.
 */
#ifndef KVI_PAGER_PGSET_H
#define KVI_PAGER_PGSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

struct kvi_pgset {
    uint64_t **chunks;
    size_t chunks_max; /* length of `chunks` */
    uint64_t count;    /* members */
};

/* Makes room for these pages, so that adding them cannot fail. */
KVI_MUST_CHECK int kvi_pgset_reserve(struct kvi_pgset *set, uint64_t pgno, uint64_t count);

void kvi_pgset_add(struct kvi_pgset *set, uint64_t pgno, uint64_t count);
void kvi_pgset_remove(struct kvi_pgset *set, uint64_t pgno, uint64_t count);

/* Whether all of them are members. */
bool kvi_pgset_has(const struct kvi_pgset *set, uint64_t pgno, uint64_t count);

/* The first members at or above *pgno, as far as they are consecutive; false: none. */
bool kvi_pgset_next(const struct kvi_pgset *set, uint64_t *pgno, uint64_t *count_out);

/* Makes room in `set` for all of `more`, and moves them there (cannot fail after that); `more` is
 * then empty. */
KVI_MUST_CHECK int kvi_pgset_reserve_all(struct kvi_pgset *set, const struct kvi_pgset *more);
void kvi_pgset_move_all(struct kvi_pgset *set, struct kvi_pgset *more);

/* Frees; the set is then empty and usable. */
void kvi_pgset_release(struct kvi_pgset *set);

#endif
