/* SPDX-License-Identifier: MIT */
/*
 * The dirty pages of a write txn: copy on first change, retire, spill, seal, write out.
 *
 * A write txn sees a page through its reference: tag 0 means that the page is changed in this txn
 * and its image is in the dirty table (by pgno; of this txn or of a parent txn); any other tag
 * names a page in the file, read through the view. Making a page dirty gives it a new page number
 * and sets its reference to tag 0; the caller stores that reference in the parent, which is dirty
 * already (copies go from the root down).
 *
 * Dirty images live under a budget. Past it, kvi_pager_spill writes leaves (and then whole
 * subtrees) early to their still unpublished places, sets the tag in the parent, and drops the
 * image. A page written so is still this txn's own (header txnid): touching it again reads it back
 * under the same number.
 *
 * Levels. A nested txn has a pager of its own on top of its parent's. It copies a parent's dirty
 * page to a page of its own, as if it were committed. What it frees of its parents' counts only
 * when it commits (kvi_pager_merge); abort (kvi_pager_close) hands back what it was given.
 *
 * Invariants:
 *   P1  an image in the dirty table has a reference with tag 0 in exactly one place: a dirty
 * parent, a table record of the txn, or an overflow cell of a dirty leaf; P2  nothing of the base
 * snapshot or of any live snapshot is ever written over; P3  after kvi_pager_seal of all roots no
 * reference with tag 0 is left, and every image is sealed; P4  a page owned by a parent txn is
 * neither changed nor reused while a child lives.
 *
 * Knows page contents only through format/ (it walks references when it seals and spills). One
 * thread at a time. Images are owned here; pointers to them are valid until the page is freed,
 * spilled or written out.
 */
#ifndef KVI_PAGER_PAGER_H
#define KVI_PAGER_PAGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "format/layout.h"
#include "pager/store.h"
#include "pager/view.h"
#include "space/space.h"

struct kvi_pager;

/* Buffers of page size kept between txns of an env, so that a txn does not go to malloc for each
 * page. Single-threaded (the writer's). */
struct kvi_pool;
struct kvi_pool *kvi_pool_new(uint32_t page_size, size_t keep_max);
void kvi_pool_free(struct kvi_pool *pool);

/* A pager for a write txn (parent NULL) or a nested one. `view` is the base snapshot's with txnid
 * set to the new txn's id; copied (its page_end then follows what is allocated). Nothing passed is
 * owned. */
KVI_MUST_CHECK int kvi_pager_open(const struct kvi_view *view, struct kvi_space *space,
                                  struct kvi_pool *pool, uint64_t budget_bytes,
                                  struct kvi_pager *parent, struct kvi_pager **pager_out);

/* From here on this top txn and those nested in it store pages through the writer's mapping where
 * that pays (pager/store.h). Not owned. */
void kvi_pager_store_through(struct kvi_pager *pager, struct kvi_store *store);

/* Drops all images. For a nested pager also hands its pages back to the space map. NULL is allowed.
 */
void kvi_pager_close(struct kvi_pager *pager);

/* A nested pager's commit: its images, pages and frees become the parent's; the child is closed. On
 * failure (memory) the child is left as it was. */
KVI_MUST_CHECK int kvi_pager_merge(struct kvi_pager *child);

const struct kvi_view *kvi_pager_view(const struct kvi_pager *pager);
const struct kvi_geometry *kvi_pager_geometry(const struct kvi_pager *pager);
uint64_t kvi_pager_txnid(const struct kvi_pager *pager);

/* ---- Tree pages ---- */

/* The page for reading: dirty image or verified page of the file. */
KVI_MUST_CHECK int kvi_pager_page(struct kvi_pager *pager, struct kvi_ref ref,
                                  enum kvi_page_type type, unsigned level,
                                  const uint8_t **page_out);

/* Makes the page changeable. *ref is updated (new pgno, tag 0) when it was not dirty yet; the
 * caller stores it in the parent. */
KVI_MUST_CHECK int kvi_pager_touch(struct kvi_pager *pager, struct kvi_ref *ref,
                                   enum kvi_page_type type, unsigned level, uint8_t **page_out);

/* A new page with an initialised header (type, level, pgno, txnid), rest of the image undefined;
 * tag 0. */
KVI_MUST_CHECK int kvi_pager_new(struct kvi_pager *pager, enum kvi_page_type type, unsigned level,
                                 struct kvi_ref *ref_out, uint8_t **page_out);

/* The page is no longer part of any tree. `ref` as stored in its parent. */
KVI_MUST_CHECK int kvi_pager_free(struct kvi_pager *pager, struct kvi_ref ref);

/* ---- Overflow runs ---- */

/* Reads a run's value: from its dirty image or the file. */
KVI_MUST_CHECK int kvi_pager_run(struct kvi_pager *pager, struct kvi_ref ref, uint64_t size_bytes,
                                 const uint8_t **data_out);

/* A new run holding a copy of `value`. Large ones are written to their place at once, from the
 * caller's memory, and come back sealed; others as images (tag 0). `value` may lie in a page of the
 * txn, but not in one that it has freed: the run may be put there. */
KVI_MUST_CHECK int kvi_pager_put_run(struct kvi_pager *pager, const void *value,
                                     uint64_t size_bytes, struct kvi_ref *ref_out);

/* A new run whose value the caller fills in at *data_out before the next change of the txn. */
KVI_MUST_CHECK int kvi_pager_reserve_run(struct kvi_pager *pager, uint64_t size_bytes,
                                         struct kvi_ref *ref_out, uint8_t **data_out);

KVI_MUST_CHECK int kvi_pager_free_run(struct kvi_pager *pager, struct kvi_ref ref,
                                      uint64_t size_bytes);

/* ---- Pages that come complete: stage.c ---- */

/* A way to the file for pages and runs that are not changed again once they are filled (bulk
 * builds): sealed when they are done, written early in long calls, never in the dirty table. What
 * is staged may be read after a flush. A failure leaves the pager fit for closing only. */
struct kvi_stage;
KVI_MUST_CHECK int kvi_stage_open(struct kvi_pager *pager, struct kvi_stage **stage_out);

/* Drops what was not flushed: for an abort. NULL is allowed. */
void kvi_stage_close(struct kvi_stage *stage);

/* A buffer with an initialised header (type, level, txnid), the rest undefined: owned by the caller
 * until it puts it, complete, or drops it (NULL is allowed). */
KVI_MUST_CHECK int kvi_stage_page(struct kvi_stage *stage, enum kvi_page_type type, unsigned level,
                                  uint8_t **page_out);
KVI_MUST_CHECK int kvi_stage_put(struct kvi_stage *stage, uint8_t *page, struct kvi_ref *ref_out);
void kvi_stage_drop(struct kvi_stage *stage, uint8_t *page);

/* A run with a copy of `value`. */
KVI_MUST_CHECK int kvi_stage_run(struct kvi_stage *stage, const void *value, uint64_t size_bytes,
                                 struct kvi_ref *ref_out);

/* Writes all that is done. */
KVI_MUST_CHECK int kvi_stage_flush(struct kvi_stage *stage);

/* ---- Budget, sealing, writing ---- */

/* Whether images exceed the budget: the tree asks before a change, lets all its page pointers go,
 * and calls spill. */
bool kvi_pager_over_budget(const struct kvi_pager *pager);

/* Writes enough images early to be well under the budget. Only pages below a dirty branch of this
 * level are written; roots stay. No pointer to any image may be held by the caller. */
KVI_MUST_CHECK int kvi_pager_spill(struct kvi_pager *pager);

/* Seals the subtree under *root (post-order over references with tag 0), sets root->tag. For the
 * top txn, at commit, once for each changed table. A clean root is left alone. */
KVI_MUST_CHECK int kvi_pager_seal(struct kvi_pager *pager, struct kvi_ref *root, unsigned depth);

/* Writes all images (sealed, P3) and the `extra` pages (space map, snapshot page; sealed) to the
 * file, sorted, neighbours merged, notes their tags, and drops the images. Not flushed. `extra` may
 * be NULL. After a failure (ENOSPC, EIO as the kernel gave them) the images are still there, to be
 * closed. */
KVI_MUST_CHECK int kvi_pager_write(struct kvi_pager *pager, const struct kvi_space_page *extra,
                                   size_t extra_count);

/* From now on adds the time that goes by in handing pages to the kernel to *write_ns, also in pagers
 * of nested txns that are opened later. */
void kvi_pager_measure(struct kvi_pager *pager, uint64_t *write_ns);

/* Pages in images now, and pages that spill, put_run and write have handed to the kernel so far,
 * whatever came of it, by nested txns that ended too: while it is 0, nothing in the file bears this
 * txn's id. */
size_t kvi_pager_dirty_count(const struct kvi_pager *pager);
uint64_t kvi_pager_written(const struct kvi_pager *pager);

#endif
