/* SPDX-License-Identifier: MIT */
/*
 * Getting records out of a damaged file: what the files of a salvage share (docs/SALVAGE.md tells
 * the method).
 *
 *     scan     every page of the file by itself: what kind of page, checksum right or not
 *     walk     the trees that stand, from their records down: their pages get an owner, and what
 *              cannot be followed is a loss with the separators around it
 *     orphans  sound leaves without an owner: which table they belong to, as far as can be told
 *     sweep    orphans of one table in key order, newest first: what fills a loss
 *     emit     the trees once more, now handing out records, and orphans where something is lost
 *
 * Works on the bytes of a file that is only read: no env, no snapshot that is pinned, no lock.
 * Every byte is input: a page is looked into only after its checksum and kvi_node_check, sums are
 * bounded by the file's size, no page is gone into twice, no run handed out again and again.
 *
 * Memory: five bytes a page of the file, 16 to 24 for each orphan, a little for each loss and table.
 * One thread. Freed by kvi_salvage_release.
 */
#ifndef KVI_TREE_SALVAGE_H
#define KVI_TREE_SALVAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"
#include "base/limits.h"
#include "format/node.h"
#include "format/set.h"
#include "format/shape.h"
#include "format/snap.h"
#include "kv.h"
#include "os/guard.h"

/* kvi_salvage.kinds: enum kvi_page_type of a sound page, or: */
#define KVI_SALVAGE_BAD 0u /* no sound page stands there */
#define KVI_SALVAGE_RUN 7u /* inside of a sound overflow run */
#define KVI_SALVAGE_KIND_MASK 0x07u
#define KVI_SALVAGE_MAPPED 0x08u  /* the snapshot's space map could be read for it, and */
#define KVI_SALVAGE_CLAIMED 0x10u /* claims it */

/* kvi_salvage.owners: number of a table + 1, or: */
#define KVI_SALVAGE_NOBODY 0u
#define KVI_SALVAGE_SYSTEM UINT32_MAX /* meta, snapshot, map pages */

/* How far a page without an owner can be believed. */
enum kvi_salvage_trust {
    KVI_SALVAGE_FREED = 0,   /* older than the snapshot, which does not claim it */
    KVI_SALVAGE_UNSURE = 1,  /* newer than the snapshot, or its part of the space map is lost */
    KVI_SALVAGE_CURRENT = 2, /* claimed: part of the snapshot */
};

/* A separator, by where it stands; pgno 0: none. */
struct kvi_salvage_bound {
    uint64_t pgno;
    unsigned slot;
};

/* Children of a branch that cannot be reached, or a root. */
struct kvi_salvage_loss {
    uint64_t parent; /* 0: the root is lost */
    unsigned slot;   /* first of them */
    unsigned count;
    unsigned level; /* theirs */
    struct kvi_salvage_bound low;
    struct kvi_salvage_bound high;
};

struct kvi_salvage_table {
    char *name; /* NULL: the main table */
    struct kvi_table_record record;
    struct kvi_shape shape;
    bool told;  /* its record stands; false: only that there must be a main table is known */
    bool stale; /* its record is from a leaf that may be an old one */
    bool freed; /* from one that is: its tree is not followed, the newest pages tied to it are it */
    struct kvi_salvage_loss *losses;
    size_t count; /* of losses */
    size_t room;
};

/* A sound branch or leaf that no tree reaches. */
struct kvi_salvage_orphan {
    uint64_t pgno;
    uint32_t group; /* another orphan of the same tree, or itself: a forest */
    uint32_t owner; /* of the group's first: table + 1; UINT32_MAX: of several (damage) */
};

struct kvi_sweep;

struct kvi_salvage {
    const struct kv_salvage_options *options;
    const char *path;
    int fd;
    const uint8_t *base;            /* the file, mapped */
    struct kvi_guard_mark mark;     /* raised by pages that could not be had */
    struct kvi_guard_slot *guarded; /* the mapping, NULL: not guarded */
    bool guard_entered;
    uint64_t size_bytes;
    uint64_t pages; /* whole ones */
    struct kvi_geometry g;
    uint8_t *kinds;
    uint32_t *owners;
    uint64_t run_budget;  /* bytes of runs that may still be hashed */
    uint64_t emit_budget; /* and handed out */
    /* The snapshot whose trees are followed. */
    bool has_snap;
    bool newest; /* it is known to be the newest: pages of later txns were never committed */
    struct kvi_snap snap;
    const uint8_t *snap_page;
    /* Tables, the main table first. */
    struct kvi_salvage_table *tables;
    size_t table_count;
    size_t table_room;
    bool tables_all; /* all named tables that the snapshot had were found */
    bool gaps;       /* claimed pages are bad of which it is not known what they were */
    struct kvi_salvage_orphan *orphans;
    size_t orphan_count;
    struct kvi_sweep *sweep; /* of the table that is handed out */
    uint64_t losses;         /* told so far */
    uint64_t progress;       /* leaves handed out */
    int stopped;             /* result of a callback that ended it */
};

static inline const uint8_t *kvi_salvage_at(const struct kvi_salvage *s, uint64_t pgno)
{
    return s->base + (pgno << s->g.page_shift);
}

static inline unsigned kvi_salvage_kind(const struct kvi_salvage *s, uint64_t pgno)
{
    return s->kinds[pgno] & KVI_SALVAGE_KIND_MASK;
}

/* Frees what a salvage holds, the file and its mapping excepted. */
void kvi_salvage_release(struct kvi_salvage *s);

/* ---- salvage_scan.c ---- */

/* Sets kinds: reads the whole file once. */
KVI_MUST_CHECK int kvi_salvage_scan(struct kvi_salvage *s);

/* Notes which pages the snapshot claims. *damaged_out: parts of its map could not be read. */
KVI_MUST_CHECK int kvi_salvage_map(struct kvi_salvage *s, bool *damaged_out);

/* NULL, and the sound page that `ref` names in *page_out; or why there is none. */
const char *kvi_salvage_page(const struct kvi_salvage *s, struct kvi_ref ref,
                             enum kvi_page_type type, unsigned level, const uint8_t **page_out);

/* The same for the value of an overflow cell. */
const char *kvi_salvage_value(const struct kvi_salvage *s, const struct kvi_leaf_cell *cell,
                              struct kvi_overflow_ref *run_out, const uint8_t **data_out);

enum kvi_salvage_trust kvi_salvage_trust(const struct kvi_salvage *s, uint64_t pgno);

/* ---- salvage_walk.c ---- */

/* Adds a table; `name` is copied. ENOMEM. */
KVI_MUST_CHECK int kvi_salvage_add(struct kvi_salvage *s, const struct kvi_key *name,
                                   const struct kvi_table_record *record);

/* Adds the named table that a cell of the main table tells of. */
KVI_MUST_CHECK int kvi_salvage_add_cell(struct kvi_salvage *s, const struct kvi_leaf_cell *cell);

/* What a walk meets. */
struct kvi_salvage_walker {
    int (*leaf)(struct kvi_salvage *s, size_t table, const uint8_t *page);
    int (*loss)(struct kvi_salvage *s, size_t table, const struct kvi_salvage_loss *loss);
};

/* Finds out which pages of a table stand: owners and losses. Main: adds named tables. */
KVI_MUST_CHECK int kvi_salvage_mark(struct kvi_salvage *s, size_t table);

/* Goes through what stands and the losses in key order. */
KVI_MUST_CHECK int kvi_salvage_walk(struct kvi_salvage *s, size_t table,
                                    const struct kvi_salvage_walker *walker);

/* The reference of one lost child, 0 <= i < loss->count, and the separators around it. */
struct kvi_ref kvi_salvage_lost(const struct kvi_salvage *s, size_t table,
                                const struct kvi_salvage_loss *loss, unsigned i,
                                struct kvi_salvage_bound *low_out,
                                struct kvi_salvage_bound *high_out);

/* The separator, whole, into room for key_bytes_max bytes; false: there is none. */
bool kvi_salvage_separator(const struct kvi_salvage *s, struct kvi_salvage_bound bound,
                           uint8_t *room, struct kvi_key *separator_out);

/* ---- salvage_orphans.c ---- */

/* Collects orphans anew and finds out which belong together and to which table. */
KVI_MUST_CHECK int kvi_salvage_orphans(struct kvi_salvage *s);

/* Which table an orphan leaf belongs to: table + 1; 0: not known; UINT32_MAX: to none that is to
 * be written. */
uint32_t kvi_salvage_owner(struct kvi_salvage *s, size_t orphan);

/* Where a pair stands to a separator: <0 before it; 0 also where there is none. `room` is for
 * key_bytes_max bytes. */
int kvi_salvage_compare(const struct kvi_salvage *s, const struct kvi_shape *shape,
                        struct kvi_key key, struct kvi_key value, struct kvi_salvage_bound bound,
                        uint8_t *room);

/* The first of the orphan's group. */
uint32_t kvi_salvage_group(struct kvi_salvage *s, uint32_t orphan);

/* ---- salvage_sweep.c ---- */

/* Leaves of one table in key order. */
struct kvi_sweep_leaf {
    uint64_t pgno;
    unsigned slot; /* of its next cell */
    unsigned trust;
};

struct kvi_sweep {
    const struct kvi_salvage *s;
    struct kvi_shape shape;
    bool ordered; /* false: of a custom order: one leaf behind the other, the newest last */
    struct kvi_sweep_leaf *leaves;
    size_t count, room;
    size_t next;         /* first leaf not begun */
    uint32_t *by_key;    /* heap of those begun, by the key of their next cell */
    uint32_t *by_trust;  /* heap of the same, the most trusted and newest on top */
    size_t keys, trusts; /* sizes of both */
};

KVI_MUST_CHECK int kvi_sweep_add(struct kvi_sweep *sweep, const struct kvi_salvage *s,
                                 uint64_t pgno);

/* All leaves were added; their shape (of a table that is not known: what their flags tell). */
KVI_MUST_CHECK int kvi_sweep_start(struct kvi_sweep *sweep, const struct kvi_shape *shape);

/* The next cell that no newer leaf covers; false: no more. kvi_sweep_pass goes on behind it. */
bool kvi_sweep_peek(struct kvi_sweep *sweep, struct kvi_leaf_cell *cell_out,
                    enum kvi_salvage_trust *trust_out, uint64_t *pgno_out);
void kvi_sweep_pass(struct kvi_sweep *sweep);

void kvi_sweep_release(struct kvi_sweep *sweep);

/* The shape that a leaf's header flags tell. */
void kvi_sweep_shape(unsigned flags, struct kvi_shape *shape_out);

/* ---- salvage_emit.c ---- */

/* Finds named tables in orphans of the main table where that lost leaves. */
KVI_MUST_CHECK int kvi_salvage_find_tables(struct kvi_salvage *s);

/* Hands out all tables, and then what belongs to none that is known. */
KVI_MUST_CHECK int kvi_salvage_emit(struct kvi_salvage *s);

/* ---- salvage_tell.c: the way to the callbacks ---- */

KVI_MUST_CHECK int kvi_salvage_tell_loss(struct kvi_salvage *s, size_t table, uint64_t pgno,
                                         uint64_t count, const char *what);
KVI_MUST_CHECK int kvi_salvage_tell_child(struct kvi_salvage *s, size_t table,
                                          const struct kvi_salvage_loss *loss);
/* A cell's records; tables' are passed over. */
KVI_MUST_CHECK int kvi_salvage_tell_cell(struct kvi_salvage *s, size_t table,
                                         const struct kvi_leaf_cell *cell,
                                         enum kv_salvage_source source);
KVI_MUST_CHECK int kvi_salvage_tell_record(struct kvi_salvage *s, struct kvi_key key,
                                           struct kvi_key value, enum kv_salvage_source source);
KVI_MUST_CHECK int kvi_salvage_tell_table(struct kvi_salvage *s, size_t table);
KVI_MUST_CHECK int kvi_salvage_tell_unknown(struct kvi_salvage *s, uint64_t number,
                                            const struct kvi_shape *shape);
KVI_MUST_CHECK int kvi_salvage_tell_progress(struct kvi_salvage *s, uint64_t done);

#define KVI_SALVAGE_NO_TABLE SIZE_MAX

#endif
