/* SPDX-License-Identifier: MIT */
/*
 * One table's B+tree in one txn: descend, put, delete, drop, and cursors over it.
 *
 * A tree is its record (root reference, depth, totals) plus a way to its pages: a view in read
 * txns, a pager in write txns. Structural changes are gather, plan, emit over whole pages
 * (format/node.h, format/plan.h).
 *
 * Invariants:
 *   T1  all leaves have the same depth; a branch has at least two children, except for a moment
 *       inside a call;
 *   T2  record totals (entries, pages by kind, depth) are exact after each call that returned 0;
 *   T3  no page other than the root stays under a quarter full after a delete while a sibling under
 *       the same parent could take or give (merge, else even out);
 *   T4  a cursor's position survives every change made in its own txn: before a change of the tree
 *       every other cursor on it is parked (notes its key and lets its pages go) and finds its
 *       place again when next used; a cursor whose record is deleted notes the record after it, and
 *       that it was deleted;
 *   T5  a failed change leaves the txn unusable (the caller poisons it), except for results that
 *       are promised to change nothing: KV_ENOTFOUND, KV_EEXIST, KV_EORDER, KV_EPAGEFULL,
 *       KV_EINCOMPATIBLE, KV_EINVAL, KV_EKEYSIZE, KV_EVALSIZE, KV_EMISMATCH, KV_ECOMPARATOR;
 *   T6  in a tree that counts, each branch cell's counts are those of what is below it; with
 *       duplicates a set is marked continued if and only if the set before it has the same key, and
 *       one that a delete made smaller joins a neighbour of its key in its leaf when both together
 *       take no more than three quarters of the largest cell.
 *
 * Arguments may point into pages of the tree. One thread at a time for a tree of a write txn; trees
 * of read txns are only read, each by its txn.
 */
#ifndef KVI_TREE_TREE_H
#define KVI_TREE_TREE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "format/node.h"
#include "format/shape.h"
#include "format/snap.h"
#include "kv.h"
#include "pager/pager.h"
#include "pager/view.h"

struct kvi_cursor;
struct kvi_bulk;
struct kvi_path;

/* Where a walk or a check is, while it calls back. */
struct kvi_tree_told {
    const struct kvi_path *path; /* NULL: nowhere */
    unsigned index;              /* of the page in it */
    struct kvi_key record;       /* has_record: the key whose value it is about */
    bool has_record;
};

struct kvi_tree {
    struct kvi_table_record record;
    struct kvi_shape shape; /* from the record; comparators are set by who opens the table */
    uint16_t leaf_flags;    /* kvi_shape_page_flags */
    uint16_t branch_flags;
    const struct kvi_view *view; /* read txn: its view; write txn: kvi_pager_view(pager) */
    struct kvi_pager *pager;     /* NULL in read txns */
    struct kvi_cursor *cursors;  /* head of the list of cursors open on this tree (write txns) */
    struct kvi_tree *ring; /* the trees of one txn, in a ring (kvi_tree_join); itself when alone */
    uint64_t tail_pgno;    /* leaf of the last insert, 0: something else came after it */
    unsigned tail_slot;    /* its slot there */
    unsigned tail_item;    /* with duplicates: which value of the set */
    unsigned tail_run;     /* inserts in a row, each right behind the one before it */
    /* Image of the last leaf, NULL: not known. Appends go there without a descent, so it must not
     * outlive the image, nor the leaf's place: whoever frees or rewrites leaves, and kvi_tree_park,
     * which stands before whatever else takes images away (spills, nested txns), forget it. */
    uint8_t *last_leaf;
    struct kvi_tree_told told;
    bool changed; /* record differs from the one stored */
};

/* Neither allocates nor fails. The pointers stay the caller's. */
void kvi_tree_init_read(struct kvi_tree *tree, const struct kvi_table_record *record,
                        const struct kvi_view *view);
void kvi_tree_init_write(struct kvi_tree *tree, const struct kvi_table_record *record,
                         struct kvi_pager *pager);

/* Gives a tree another record (a nested txn's, after its commit; options of an empty table). The
 * shape follows; comparators stay as they are. */
void kvi_tree_set_record(struct kvi_tree *tree, const struct kvi_table_record *record);

/* Makes `tree` one of the trees of the txn that `other` belongs to. A change that spills parks the
 * cursors of all of them: trees of one pager that have cursors must be joined. The structs must not
 * move from then on. */
void kvi_tree_join(struct kvi_tree *tree, struct kvi_tree *other);

/* What a record holds. For kind KVI_CELL_TABLE data is the table record's bytes. */
struct kvi_tree_value {
    const uint8_t *data;
    uint64_t size_bytes;
    enum kvi_cell_kind kind; /* VALUE (inline or from a run) or TABLE */
};

/* With duplicates: the first value. Searching functions return KV_ECOMPARATOR where a custom order's
 * comparator is not known. */
KVI_MUST_CHECK int kvi_tree_get(struct kvi_tree *tree, struct kvi_key key,
                                struct kvi_tree_value *value_out);

/* As kv_get_many. */
KVI_MUST_CHECK int kvi_tree_get_many(struct kvi_tree *tree, const struct kv_val *keys, size_t count,
                                     struct kv_val *values_out, size_t *found_out);

/* flags of kvi_tree_put and kvi_cursor_put: the KV_NOOVERWRITE, KV_APPEND, KV_RESERVE, KV_NOSPLIT
 * of kv.h, and: */
#define KVI_PUT_TABLE 0x10000u /* the value is a table record (kind TABLE) and may replace one */

/* Inserts or replaces. `value->data` is the value, or with KV_RESERVE is set to the space for
 * size_bytes. A record of the other kind (table or value) under the key: KV_EINCOMPATIBLE.
 * KV_EEXIST: *value is what is there. Key and value sizes were checked by the caller. */
struct kvi_tree_put {
    const uint8_t *data; /* input; KV_EEXIST: output */
    uint64_t size_bytes; /* input; KV_EEXIST: output */
    uint8_t *space;      /* output with KV_RESERVE */
};
KVI_MUST_CHECK int kvi_tree_put(struct kvi_tree *tree, struct kvi_key key, struct kvi_tree_put *put,
                                uint32_t flags);

/* With duplicates, from kvi_tree_put: adds the pair; flags also KV_NOPAIR, KV_APPEND_VALUE. Sizes
 * were checked against kvi_pair_bytes_max and the record's key_bytes and item_bytes, which the
 * first put sets. Many fixed-size values, one after the other in `put`: */
KVI_MUST_CHECK int kvi_tree_put_many(struct kvi_tree *tree, struct kvi_key key,
                                     const struct kvi_tree_put *put, uint32_t flags);

/* kind: what must be there (VALUE or TABLE); KV_EINCOMPATIBLE else. */
KVI_MUST_CHECK int kvi_tree_delete(struct kvi_tree *tree, struct kvi_key key,
                                   enum kvi_cell_kind kind);

/* With duplicates (kvi_tree_delete there deletes the key with all its values): one pair. */
KVI_MUST_CHECK int kvi_tree_delete_pair(struct kvi_tree *tree, struct kvi_key key,
                                        struct kvi_key value);

/* ---- Ranges and counts ---- */

/* A kv_range in terms of places between records: from the first record at or behind `from` to the
 * last before `to`. */
struct kvi_range {
    bool from_given, to_given;
    struct kvi_probe from, to; /* WHERE is FIRST or LAST: before or behind the key */
    uint8_t *heap;             /* a prefix's end */
};

/* `range` may be NULL. KV_EINCOMPATIBLE: a prefix in a table of another order; KV_EINVAL; ENOMEM.
 * Keys of *range are not copied. */
KVI_MUST_CHECK int kvi_range_init(struct kvi_range *range_out, const struct kvi_shape *shape,
                                  const struct kv_range *range);
void kvi_range_release(struct kvi_range *range);

/* As kv_del_range. `tables`: the tree may hold table records, which must be looked for: one in the
 * range (kind TABLE) is KV_EINCOMPATIBLE. */
KVI_MUST_CHECK int kvi_tree_delete_range(struct kvi_tree *tree, const struct kvi_range *range,
                                         bool tables, uint64_t *records_out);

/* In a tree that counts (KV_EINCOMPATIBLE else): the records before a place, and the keys of which
 * any stands before it; and those of a range. And an estimate of the records of a range in any
 * tree. */
KVI_MUST_CHECK int kvi_tree_rank(struct kvi_tree *tree, const struct kvi_probe *place,
                                 struct kvi_counts *before_out);
KVI_MUST_CHECK int kvi_tree_count(struct kvi_tree *tree, const struct kvi_range *range,
                                  struct kvi_counts *counts_out);
KVI_MUST_CHECK int kvi_tree_estimate(struct kvi_tree *tree, const struct kvi_range *range,
                                     struct kvi_counts *counts_out);

/* Frees every page of the tree; the record becomes empty (id, order, flags kept). Cursors lose
 * their position. */
KVI_MUST_CHECK int kvi_tree_empty(struct kvi_tree *tree);

/* Writes anew every page and run of the tree that stands at pgno_from or above, so that it comes to
 * stand lower down where there is room. Records stay as they are. A txn that has no cursors that
 * are in use. */
KVI_MUST_CHECK int kvi_tree_lower(struct kvi_tree *tree, uint64_t pgno_from);

/* ---- Cursors ---- */

/* Opens a cursor without position. Owned by the caller; in write txns it is on the tree's list
 * until kvi_cursor_close. */
KVI_MUST_CHECK int kvi_cursor_open(struct kvi_tree *tree, struct kvi_cursor **cursor_out);
void kvi_cursor_close(struct kvi_cursor *cursor);

/* `op` is an enum kv_cursor_op of kv.h; semantics as kv_cursor_get there. *key is input for EXACT,
 * AT_LEAST, AT_MOST and output for all; for EXACT_PAIR and AT_LEAST_VALUE value_out's data and
 * size_bytes are input too. value_out may be NULL: an overflow run is then not read. */
KVI_MUST_CHECK int kvi_cursor_get(struct kvi_cursor *cursor, int op, struct kvi_key *key,
                                  struct kvi_tree_value *value_out);

/* As kvi_tree_put, leaving the cursor at the record. With KV_AT_CURSOR key is ignored. */
KVI_MUST_CHECK int kvi_cursor_put(struct kvi_cursor *cursor, struct kvi_key key,
                                  struct kvi_tree_put *put, uint32_t flags);
KVI_MUST_CHECK int kvi_cursor_delete(struct kvi_cursor *cursor, enum kvi_cell_kind kind);

/* As kv_cursor_bound; the range is copied. */
KVI_MUST_CHECK int kvi_cursor_bound(struct kvi_cursor *cursor, const struct kv_range *range);

/* As kv_cursor_read, kv_cursor_nth, kv_cursor_count, and kv_cursor_del with KV_ALL_VALUES. */
KVI_MUST_CHECK int kvi_cursor_read(struct kvi_cursor *cursor, int op, struct kv_record *records,
                                   size_t count, size_t *count_out);
KVI_MUST_CHECK int kvi_cursor_nth(struct kvi_cursor *cursor, uint64_t n, bool keys,
                                  struct kvi_key *key, struct kvi_tree_value *value_out);
KVI_MUST_CHECK int kvi_cursor_count(struct kvi_cursor *cursor, uint64_t *count_out);
KVI_MUST_CHECK int kvi_cursor_delete_key(struct kvi_cursor *cursor);

/* Where it stands, as of enum kv_place. */
KVI_MUST_CHECK int kvi_cursor_place(struct kvi_cursor *cursor, int *place_out);

/* Kind of the record at the cursor; VALUE when there is none. */
enum kvi_cell_kind kvi_cursor_kind(const struct kvi_cursor *cursor);

/* Parks (keeps the key, drops page pointers) or clears all cursors of a tree. Park before anything
 * else changes pages under them: a nested txn's begin, a spill. KV/ENOMEM if a note cannot be
 * kept. */
KVI_MUST_CHECK int kvi_tree_park(struct kvi_tree *tree);
void kvi_tree_unposition(struct kvi_tree *tree);

/* For read txns whose snapshot moved (renew, refresh): the cursor then belongs to `tree`, without
 * position. */
void kvi_cursor_rebind(struct kvi_cursor *cursor, struct kvi_tree *tree);

/* ---- Bulk build ---- */

/* As kv_bulk_*, in a tree of a write txn. `fill` in percent. `trusted`: records come in order, so
 * that none is compared, and comparators need not be known. */
KVI_MUST_CHECK int kvi_bulk_begin(struct kvi_tree *tree, unsigned fill, bool trusted,
                                  struct kvi_bulk **bulk_out);
KVI_MUST_CHECK int kvi_bulk_put(struct kvi_bulk *bulk, struct kvi_key key,
                                const struct kvi_tree_put *put, uint32_t flags);
/* Puts what was built in its place in the tree; frees. */
KVI_MUST_CHECK int kvi_bulk_end(struct kvi_bulk *bulk);
void kvi_bulk_abort(struct kvi_bulk *bulk); /* for a txn that is aborted; NULL is allowed */

/* Puts every record of another tree of the same shape, in stored order, into a trusted build. fn is
 * called for each cell with the number of its records; a result other than 0 ends the copy and is
 * returned. For a cell that is a named table *table is its record's bytes, and what fn puts in their
 * place is stored; else NULL. At most *leaves_left leaves are visited, which is counted down: in a
 * damaged tree they may be reached many times. */
typedef int kvi_bulk_copy_fn(void *context, uint64_t records, struct kvi_tree_put *table);
KVI_MUST_CHECK int kvi_bulk_copy(struct kvi_bulk *bulk, struct kvi_tree *from,
                                 uint64_t *leaves_left, kvi_bulk_copy_fn *fn, void *context);

/* ---- Walks, for check and copy ---- */

/* Calls fn for every page of the tree, parents first: its reference as the parent holds it, level
 * (0 leaf), page bytes (verified). Runs: type OVERFLOW, level 0, pages > 1. A damaged page is
 * reported through fn with page NULL and the text in `what`, and is not descended into. A result of
 * fn other than 0 stops the walk and is returned; KVI_TREE_SKIP: do not descend below this page. In
 * a damaged tree pages may be reached many times: fn must skip those that it has seen. */
#define KVI_TREE_SKIP (-1)
typedef int kvi_tree_page_fn(void *context, struct kvi_ref ref, enum kvi_page_type type,
                             unsigned level, uint64_t pages, const uint8_t *page, const char *what);
KVI_MUST_CHECK int kvi_tree_walk(struct kvi_tree *tree, kvi_tree_page_fn *fn, void *context);

/* The range of keys below the page that a callback of a walk or a check is about, from separators; of
 * a record's value its key, twice. A bound that is the table's end has data NULL. `room`: four times
 * the longest key; the keys may point there. */
void kvi_tree_told_range(const struct kvi_tree *tree, uint8_t *room, struct kvi_key *from_out,
                         struct kvi_key *to_out);

/* Proves the tree: order across pages and against separators, levels, T1, T2 and what
 * kvi_node_check proves of each page. Findings go to fn as (pgno, text); a result other than 0
 * stops. */
typedef int kvi_tree_finding_fn(void *context, uint64_t pgno, const char *what);
KVI_MUST_CHECK int kvi_tree_check(struct kvi_tree *tree, kvi_tree_finding_fn *fn, void *context);

#endif
