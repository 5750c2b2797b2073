/* SPDX-License-Identifier: MIT */
/*
 * A database as far as the pager's tests need one: a file, its mapping, a base snapshot, txns that
 * begin and commit, and one tree of fixed shape beside a model of what is in it.
 *
 *     root (level 2) -> BRANCHES branches -> LEAVES leaves each
 *     leaf: key "a", a value of VALUE_BYTES made from a seed; maybe key "b", a run made from a seed
 */
#ifndef TEST_PAGER_DB_H
#define TEST_PAGER_DB_H

#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "format/node.h"
#include "kv.h"
#include "os/os.h"
#include "pager/pager.h"

#define VALUE_BYTES 96u
#define RUN_BYTES_MAX 200000u
#define TREE_DEPTH 3u
#define TREE_SHAPE_MAX 4096u

struct snapshot {
    struct kvi_snap snap;
    uint8_t *page;
};

struct db {
    const char *path;
    int fd;
    struct kvi_geometry g;
    struct kvi_map map;
    struct kvi_pool *pool;
    struct kvi_space_hints *hints;
    uint64_t file_pages;
    struct snapshot base;
    struct snapshot pinned; /* page NULL: none */
};

struct txn {
    struct db *db;
    struct kvi_space *space;
    struct kvi_pager *pager;
    uint64_t id;
};

struct leaf_model {
    uint64_t seed;
    uint32_t run_bytes; /* 0: none */
    uint64_t run_seed;
};

struct tree {
    struct kvi_ref root;
    unsigned branches;
    unsigned leaves; /* a branch */
    struct leaf_model *model;
};

/* ---- The file ---- */

static inline struct kvi_view db_view(const struct db *db, uint64_t page_end, uint64_t txnid)
{
    return (struct kvi_view){.map = &db->map, .page_end = page_end, .txnid = txnid};
}

static inline void db_map(struct db *db)
{
    ck_ok(kvi_map_open(&db->map, &db->g, db->fd, db->path, (uint64_t)1 << 32,
                       db->file_pages * db->g.page_size));
}

static inline void db_remap(struct db *db)
{
    kvi_map_close(&db->map);
    db_map(db);
}

static inline void db_put_page(struct db *db, uint64_t pgno, const void *page)
{
    ck_ok(kvi_os_real.write_at(db->fd, page, db->g.page_size, pgno << db->g.page_shift));
}

/* Metas, a bitmap and a snapshot page: the least that a txn can begin on. */
static inline void db_make_first(struct db *db)
{
    uint64_t last = db->g.meta_pgno_1;
    struct kvi_snap *snap = &db->base.snap;
    uint8_t *page = calloc(1, db->g.page_size);
    struct kvi_map_entry entry = {{1, 0}, db->g.region_pages - 4, 0};
    uint64_t claimed[4] = {0, 1, 2, last};

    if (last <= 2)
        claimed[1] = 3, claimed[2] = 4, entry.ref.pgno = 3;
    snap->pgno = claimed[2];
    kvi_header_init(page, KVI_PAGE_BITMAP, 0, entry.ref.pgno, 1);
    for (int i = 0; i < 4; i++)
        page[KVI_HEADER_BYTES + claimed[i] / 8] |= (uint8_t)(1u << claimed[i] % 8);
    snap->page_end = last > snap->pgno ? last + 1 : snap->pgno + 1;
    entry.free_run = db->g.region_pages - (uint32_t)snap->page_end;
    entry.ref.tag = kvi_page_seal(&db->g, page);
    db->file_pages = snap->page_end;
    ck_ok(kvi_os_real.truncate(db->fd, db->file_pages << db->g.page_shift));
    db_put_page(db, entry.ref.pgno, page);
    snap->txnid = 1;
    snap->pages_used = 4;
    snap->pages_map = 1;
    snap->table_id_next = 1;
    snap->map_count = 1;
    memset(page, 0, db->g.page_size);
    kvi_snap_encode(&db->g, snap, page);
    kvi_map_entry_store(page + KVI_SNAP_ENTRIES, &entry);
    kvi_page_seal(&db->g, page);
    db_put_page(db, snap->pgno, page);
    db->base.page = page;
}

static inline void db_open(struct db *db, const char *name, uint32_t page_size)
{
    memset(db, 0, sizeof(*db));
    db->path = tmp_path("%s", name);
    ck_assert(kvi_geometry_init(&db->g, page_size));
    ck_ok(kvi_os_real.open(db->path, O_RDWR | O_CREAT | O_TRUNC, 0600, &db->fd));
    db->pool = kvi_pool_new(page_size, 100);
    db->hints = kvi_space_hints_new();
    ck_assert_ptr_nonnull(db->pool);
    db_make_first(db);
    db_map(db);
}

static inline void db_close(struct db *db)
{
    kvi_map_close(&db->map);
    kvi_pool_free(db->pool);
    kvi_space_hints_free(db->hints);
    free(db->base.page);
    free(db->pinned.page);
    ck_ok(kvi_os_real.close(db->fd));
    ck_ok(kvi_os_real.unlink(db->path));
}

static inline void db_pin(struct db *db)
{
    db->pinned.snap = db->base.snap;
    db->pinned.page = malloc(db->g.page_size);
    memcpy(db->pinned.page, db->base.page, db->g.page_size);
}

static inline void db_unpin(struct db *db)
{
    free(db->pinned.page);
    db->pinned.page = NULL;
}

/* ---- Txns ---- */

static int db_read(void *context, struct kvi_ref ref, enum kvi_page_type type, unsigned level,
                   const uint8_t **page_out)
{
    const struct db *db = context;
    struct kvi_view view = db_view(db, db->file_pages, UINT64_MAX);

    return kvi_view_page(&view, ref, type, level, page_out);
}

static int db_grow(void *context, uint64_t page_end)
{
    struct db *db = context;
    int rc = kvi_os_real.truncate(db->fd, page_end << db->g.page_shift);

    if (!rc)
        db->file_pages = page_end;
    return rc;
}

static inline struct kvi_space_snapshot live_of(const struct snapshot *from)
{
    return (struct kvi_space_snapshot){from->page, from->snap.page_end, from->snap.map_count,
                                       from->snap.map_levels};
}

static inline void txn_begin(struct txn *txn, struct db *db, uint64_t budget_bytes)
{
    const struct kvi_space_io io = {db, db_read, db_grow, db->path};
    struct kvi_space_snapshot live[2] = {live_of(&db->base)};
    struct kvi_view view;
    size_t count = 1;

    *txn = (struct txn){.db = db, .id = db->base.snap.txnid + 1};
    if (db->pinned.page)
        live[count++] = live_of(&db->pinned);
    view = db_view(db, db->base.snap.page_end, txn->id);
    ck_ok(kvi_space_open(&db->g, &io, &db->base.snap, db->base.page, live, count, db->hints,
                         txn->id, &txn->space));
    ck_ok(kvi_pager_open(&view, txn->space, db->pool, budget_bytes, NULL, &txn->pager));
}

static inline void txn_end(struct txn *txn)
{
    kvi_pager_close(txn->pager);
    kvi_space_close(txn->space);
}

/* Seals, writes, and makes the result the base. */
static inline int txn_write(struct txn *txn, struct kvi_ref *root, unsigned depth)
{
    struct db *db = txn->db;
    struct kvi_snap snap = db->base.snap;
    uint8_t *page = calloc(1, db->g.page_size);
    const struct kvi_space_page *map_pages;
    struct kvi_space_page *extra;
    size_t count = 0;
    int rc;

    rc = kvi_pager_seal(txn->pager, root, depth);
    snap.txnid = txn->id;
    snap.main.root = *root;
    snap.main.depth = (uint8_t)depth;
    snap.main.entries = 1;
    if (!rc)
        rc = kvi_space_commit(txn->space, &snap, page);
    if (rc) {
        free(page);
        return rc;
    }
    kvi_snap_encode(&db->g, &snap, page);
    kvi_page_seal(&db->g, page);
    map_pages = kvi_space_pages(txn->space, &count);
    extra = calloc(count + 1, sizeof(*extra));
    if (count)
        memcpy(extra, map_pages, count * sizeof(*extra));
    extra[count] = (struct kvi_space_page){snap.pgno, page};
    rc = kvi_pager_write(txn->pager, extra, count + 1);
    free(extra);
    if (rc) {
        free(page);
        return rc;
    }
    free(db->base.page);
    db->base = (struct snapshot){snap, page};
    return 0;
}

static inline void txn_commit(struct txn *txn, struct kvi_ref *root, unsigned depth)
{
    ck_ok(txn_write(txn, root, depth));
    ck_assert_uint_eq(kvi_pager_dirty_count(txn->pager), 0);
    txn_end(txn);
}

/* ---- The tree ---- */

static inline unsigned tree_count(const struct tree *tree)
{
    return tree->branches * tree->leaves;
}

static inline struct tree tree_copy(const struct tree *tree)
{
    struct tree copy = *tree;

    copy.model = malloc(tree_count(tree) * sizeof(*copy.model));
    memcpy(copy.model, tree->model, tree_count(tree) * sizeof(*copy.model));
    return copy;
}

static inline void tree_free(struct tree *tree)
{
    free(tree->model);
    tree->model = NULL;
}

static inline void fill(uint8_t *out, size_t size_bytes, uint64_t seed)
{
    for (size_t i = 0; i < size_bytes; i++)
        out[i] = (uint8_t)(seed * 31 + i * (seed | 1) + (i >> 8));
}

static inline void ck_filled(const uint8_t *data, size_t size_bytes, uint64_t seed)
{
    uint8_t *want = malloc(size_bytes);

    fill(want, size_bytes, seed);
    ck_assert(memcmp(data, want, size_bytes) == 0);
    free(want);
}

static inline void make_leaf(struct kvi_pager *pager, uint8_t *page, struct kvi_ref ref,
                             uint64_t seed)
{
    const struct kvi_geometry *g = kvi_pager_geometry(pager);
    struct kvi_key key = {(const uint8_t *)"a", 1};
    uint8_t *payload;

    kvi_node_init(g, page, KVI_PAGE_LEAF, 0, ref.pgno, kvi_pager_txnid(pager));
    payload = kvi_leaf_insert(g, page, 0, key, KVI_CELL_VALUE, VALUE_BYTES);
    ck_assert_ptr_nonnull(payload);
    fill(payload, VALUE_BYTES, seed);
}

static inline void link_child(struct kvi_pager *pager, uint8_t *page, unsigned slot,
                              struct kvi_ref ref)
{
    char separator[16];
    int size = snprintf(separator, sizeof(separator), "%06u", slot);
    struct kvi_key key = {(const uint8_t *)separator, (size_t)size};

    ck_assert(kvi_branch_insert(kvi_pager_geometry(pager), page, slot, key, ref,
                                (struct kvi_counts){0, 0}));
}

static inline void tree_make_branch(struct tree *tree, struct kvi_pager *pager, unsigned b,
                                    struct kvi_ref *ref)
{
    const struct kvi_geometry *g = kvi_pager_geometry(pager);
    uint8_t *branch;
    uint8_t *page;

    ck_ok(kvi_pager_new(pager, KVI_PAGE_BRANCH, 1, ref, &branch));
    kvi_node_init(g, branch, KVI_PAGE_BRANCH, 1, ref->pgno, kvi_pager_txnid(pager));
    for (unsigned i = 0; i < tree->leaves; i++) {
        unsigned n = b * tree->leaves + i;
        struct kvi_ref leaf;

        ck_ok(kvi_pager_new(pager, KVI_PAGE_LEAF, 0, &leaf, &page));
        tree->model[n] = (struct leaf_model){.seed = n + 1};
        make_leaf(pager, page, leaf, tree->model[n].seed);
        link_child(pager, branch, i, leaf);
    }
}

/* A tree of this shape; spills between branches as the pager asks. */
static inline void tree_make(struct tree *tree, struct kvi_pager *pager, unsigned branches,
                             unsigned leaves)
{
    const struct kvi_geometry *g = kvi_pager_geometry(pager);
    uint8_t *root;

    *tree = (struct tree){.branches = branches, .leaves = leaves};
    tree->model = calloc(tree_count(tree), sizeof(*tree->model));
    ck_ok(kvi_pager_new(pager, KVI_PAGE_BRANCH, 2, &tree->root, &root));
    kvi_node_init(g, root, KVI_PAGE_BRANCH, 2, tree->root.pgno, kvi_pager_txnid(pager));
    for (unsigned b = 0; b < branches; b++) {
        struct kvi_ref ref;

        tree_make_branch(tree, pager, b, &ref);
        link_child(pager, root, b, ref);
        if (kvi_pager_over_budget(pager))
            ck_ok(kvi_pager_spill(pager));
    }
}

/* Touches the child at `slot` and stores its new reference. */
static inline int touch_child(struct kvi_pager *pager, uint8_t *page, unsigned slot, unsigned level,
                              uint8_t **child_out)
{
    struct kvi_branch_cell cell;
    struct kvi_ref ref;
    int rc;

    ck_assert(kvi_branch_cell_at(kvi_pager_geometry(pager), page, slot, &cell));
    ref = cell.ref;
    rc = kvi_pager_touch(pager, &ref, level ? KVI_PAGE_BRANCH : KVI_PAGE_LEAF, level, child_out);
    if (!rc)
        kvi_branch_set_ref(page, &cell, ref);
    return rc;
}

/* Leaf n and the branch above it, changeable. */
static inline int tree_touch(struct tree *tree, struct kvi_pager *pager, unsigned n,
                             uint8_t **branch_out, uint8_t **leaf_out)
{
    uint8_t *root;
    int rc;

    rc = kvi_pager_touch(pager, &tree->root, KVI_PAGE_BRANCH, 2, &root);
    if (!rc)
        rc = touch_child(pager, root, n / tree->leaves, 1, branch_out);
    if (!rc)
        rc = touch_child(pager, *branch_out, n % tree->leaves, 0, leaf_out);
    return rc;
}

static inline struct kvi_leaf_cell cell_of(const struct kvi_geometry *g, const uint8_t *leaf,
                                           unsigned slot)
{
    struct kvi_leaf_cell cell;

    ck_assert(kvi_leaf_cell_at(g, leaf, slot, &cell));
    return cell;
}

static inline int tree_set_value(struct tree *tree, struct kvi_pager *pager, unsigned n,
                                 uint64_t seed)
{
    uint8_t *branch;
    uint8_t *leaf;
    struct kvi_leaf_cell cell;
    int rc = tree_touch(tree, pager, n, &branch, &leaf);

    if (rc)
        return rc;
    cell = cell_of(kvi_pager_geometry(pager), leaf, 0);
    fill(leaf + (cell.payload - leaf), VALUE_BYTES, seed);
    tree->model[n].seed = seed;
    return 0;
}

static inline struct kvi_overflow_ref run_of(const struct kvi_geometry *g, const uint8_t *leaf)
{
    struct kvi_leaf_cell cell = cell_of(g, leaf, 1);
    struct kvi_overflow_ref run;

    ck_assert(kvi_overflow_ref_load(&cell, &run));
    return run;
}

static inline int tree_drop_run(struct tree *tree, struct kvi_pager *pager, unsigned n)
{
    const struct kvi_geometry *g = kvi_pager_geometry(pager);
    uint8_t *branch;
    uint8_t *leaf;
    struct kvi_overflow_ref run;
    int rc;

    if (!tree->model[n].run_bytes)
        return 0;
    rc = tree_touch(tree, pager, n, &branch, &leaf);
    if (rc)
        return rc;
    run = run_of(g, leaf);
    rc = kvi_pager_free_run(pager, run.ref, run.size_bytes);
    if (rc)
        return rc;
    ck_assert(kvi_node_remove(g, leaf, 1));
    tree->model[n].run_bytes = 0;
    return 0;
}

static inline int make_run(struct kvi_pager *pager, struct kvi_overflow_ref *run, uint64_t seed,
                           bool reserve)
{
    uint8_t *value;
    int rc;

    if (reserve) {
        rc = kvi_pager_reserve_run(pager, run->size_bytes, &run->ref, &value);
        if (!rc)
            fill(value, run->size_bytes, seed);
        return rc;
    }
    value = malloc(run->size_bytes);
    ck_assert_ptr_nonnull(value);
    fill(value, run->size_bytes, seed);
    rc = kvi_pager_put_run(pager, value, run->size_bytes, &run->ref);
    memset(value, 0xdd, run->size_bytes);
    free(value);
    return rc;
}

static inline int tree_set_run(struct tree *tree, struct kvi_pager *pager, unsigned n,
                               uint32_t size_bytes, uint64_t seed, bool reserve)
{
    const struct kvi_geometry *g = kvi_pager_geometry(pager);
    struct kvi_overflow_ref run = {{0, 0}, size_bytes};
    struct kvi_key key = {(const uint8_t *)"b", 1};
    uint8_t *branch;
    uint8_t *leaf;
    uint8_t *payload;
    int rc = tree_drop_run(tree, pager, n);

    if (!rc)
        rc = tree_touch(tree, pager, n, &branch, &leaf);
    if (!rc)
        rc = make_run(pager, &run, seed, reserve);
    if (rc)
        return rc;
    payload = kvi_leaf_insert(g, leaf, 1, key, KVI_CELL_OVERFLOW, KVI_OVERFLOW_REF_BYTES);
    ck_assert_ptr_nonnull(payload);
    kvi_overflow_ref_store(payload, &run);
    tree->model[n].run_bytes = size_bytes;
    tree->model[n].run_seed = seed;
    return 0;
}

/* The leaf gives way to a new one. */
static inline int tree_replace_leaf(struct tree *tree, struct kvi_pager *pager, unsigned n,
                                    uint64_t seed)
{
    const struct kvi_geometry *g = kvi_pager_geometry(pager);
    struct kvi_branch_cell cell;
    struct kvi_ref ref;
    uint8_t *branch;
    uint8_t *leaf;
    int rc = tree_drop_run(tree, pager, n);

    if (!rc)
        rc = tree_touch(tree, pager, n, &branch, &leaf);
    if (rc)
        return rc;
    ck_assert(kvi_branch_cell_at(g, branch, n % tree->leaves, &cell));
    rc = kvi_pager_free(pager, cell.ref);
    if (!rc)
        rc = kvi_pager_new(pager, KVI_PAGE_LEAF, 0, &ref, &leaf);
    if (rc)
        return rc;
    make_leaf(pager, leaf, ref, seed);
    kvi_branch_set_ref(branch, &cell, ref);
    tree->model[n].seed = seed;
    return 0;
}

/* ---- Comparing tree and model ---- */

/* Where pages are read from: a pager, or a view. */
struct source {
    struct kvi_pager *pager;
    struct kvi_view view;
};

static inline const uint8_t *source_page(struct source *from, struct kvi_ref ref, unsigned level)
{
    enum kvi_page_type type = level ? KVI_PAGE_BRANCH : KVI_PAGE_LEAF;
    const uint8_t *page = NULL;

    if (from->pager)
        ck_ok(kvi_pager_page(from->pager, ref, type, level, &page));
    else
        ck_ok(kvi_view_page(&from->view, ref, type, level, &page));
    return page;
}

static inline uint64_t check_leaf(struct source *from, const struct kvi_geometry *g,
                                  const uint8_t *leaf, const struct leaf_model *model)
{
    struct kvi_overflow_ref run;
    const uint8_t *data = NULL;

    ck_filled(cell_of(g, leaf, 0).payload, VALUE_BYTES, model->seed);
    ck_assert_uint_eq(kvi_header_count(leaf), model->run_bytes ? 2 : 1);
    if (!model->run_bytes)
        return 1;
    run = run_of(g, leaf);
    ck_assert_uint_eq(run.size_bytes, model->run_bytes);
    if (from->pager)
        ck_ok(kvi_pager_run(from->pager, run.ref, run.size_bytes, &data));
    else
        ck_ok(kvi_view_run(&from->view, run.ref, run.size_bytes, &data));
    ck_assert_uint_eq((uintptr_t)data % 16, 0);
    ck_filled(data, model->run_bytes, model->run_seed);
    return 1 + kvi_run_pages(g, run.size_bytes);
}

/* Reads all of it; returns how many pages it has. */
static inline uint64_t tree_check(const struct tree *tree, struct source *from)
{
    const struct kvi_geometry *g =
        from->pager ? kvi_pager_geometry(from->pager) : &from->view.map->geometry;
    const uint8_t *root = source_page(from, tree->root, 2);
    uint64_t pages = 1;

    ck_assert_uint_eq(kvi_header_count(root), tree->branches);
    for (unsigned b = 0; b < tree->branches; b++) {
        struct kvi_branch_cell cell;
        const uint8_t *branch;

        ck_assert(kvi_branch_cell_at(g, root, b, &cell));
        branch = source_page(from, cell.ref, 1);
        ck_assert_uint_eq(kvi_header_count(branch), tree->leaves);
        pages++;
        for (unsigned i = 0; i < tree->leaves; i++) {
            ck_assert(kvi_branch_cell_at(g, branch, i, &cell));
            pages += check_leaf(from, g, source_page(from, cell.ref, 0),
                                &tree->model[b * tree->leaves + i]);
        }
    }
    return pages;
}

static inline void tree_check_pager(const struct tree *tree, struct kvi_pager *pager)
{
    struct source from = {.pager = pager};

    tree_check(tree, &from);
}

/* As a snapshot has it: all verified, and its space map claims just what there is. */
static inline void tree_check_snapshot(const struct tree *tree, const struct db *db,
                                       const struct snapshot *snapshot)
{
    const struct kvi_snap *snap = &snapshot->snap;
    struct source from = {.view = db_view(db, snap->page_end, snap->txnid)};
    uint64_t pages = tree_check(tree, &from);

    ck_assert_uint_eq(snap->pages_used, pages + 3 + snap->pages_map);
}

#endif
