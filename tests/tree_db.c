/* SPDX-License-Identifier: MIT */
/* See tree_db.h. */
#include "tree_db.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"
#include "os/os.h"

#define BUDGET_PLENTY ((uint64_t)1 << 30)

static int read_page(void *context, struct kvi_ref ref, enum kvi_page_type type, unsigned level,
                     const uint8_t **page_out)
{
    const struct tree_db *db = context;

    return kvi_view_page(&db->view, ref, type, level, page_out);
}

static int grow_file(void *context, uint64_t page_end)
{
    struct tree_db *db = context;

    if (page_end <= db->file_pages) {
        return 0;
    }
    db->file_pages = page_end + page_end / 8 + 64;
    return kvi_os->truncate(db->fd, db->file_pages << db->geometry.page_shift);
}

static struct kvi_space_io io_of(struct tree_db *db)
{
    return (struct kvi_space_io){db, read_page, grow_file, "test"};
}

static struct kvi_space_snapshot live_of(struct tree_db *db)
{
    return (struct kvi_space_snapshot){db->map.base + (db->snap.pgno << db->geometry.page_shift),
                                       db->snap.page_end, db->snap.map_count, db->snap.map_levels};
}

static void write_new(struct tree_db *db)
{
    uint8_t *page = calloc(1, db->geometry.page_size);
    struct kvi_space_page bitmap = {0, calloc(1, db->geometry.page_size)};
    unsigned shift = db->geometry.page_shift;

    memset(&db->snap, 0, sizeof(db->snap));
    db->snap.txnid = 1;
    db->snap.table_id_next = 1;
    kvi_space_create(&db->geometry, 1, &db->snap, page, &bitmap);
    kvi_snap_encode(&db->geometry, &db->snap, page);
    (void)kvi_page_seal(&db->geometry, page);
    ck_ok(grow_file(db, db->snap.page_end));
    ck_ok(kvi_os->write_at(db->fd, page, db->geometry.page_size, db->snap.pgno << shift));
    ck_ok(kvi_os->write_at(db->fd, bitmap.image, db->geometry.page_size, bitmap.pgno << shift));
    free(page);
    free(bitmap.image);
}

void tree_db_open(struct tree_db *db, uint32_t page_size)
{
    memset(db, 0, sizeof(*db));
    ck_assert(kvi_geometry_init(&db->geometry, page_size));
    ck_ok(kvi_os->memfd("tree", &db->fd));
    write_new(db);
    ck_ok(kvi_map_open(&db->map, &db->geometry, db->fd, "test", (uint64_t)16 << 30, 0));
    db->pool = kvi_pool_new(page_size, 4096);
}

void tree_db_reshape(struct tree_db *db, const struct kvi_table_record *record)
{
    struct kvi_table_record *main = &db->snap.main;

    main->flags = record->flags;
    main->order = record->order;
    main->value_order = record->value_order;
    main->align_log2 = record->align_log2;
    main->item_bytes = record->item_bytes;
}

static void set_comparators(const struct tree_db *db, struct kvi_tree *tree)
{
    tree->shape.key_custom = db->key_custom;
    tree->shape.value_custom = db->value_custom;
}

void tree_db_close(struct tree_db *db)
{
    tree_db_abort(db);
    kvi_pool_free(db->pool);
    kvi_map_close(&db->map);
    close(db->fd);
}

void tree_db_begin(struct tree_db *db, uint64_t budget_bytes)
{
    struct kvi_space_snapshot live = live_of(db);
    struct kvi_space_io io = io_of(db);

    db->view = (struct kvi_view){&db->map, db->snap.page_end, db->snap.txnid + 1};
    db->budget_bytes = budget_bytes ? budget_bytes : BUDGET_PLENTY;
    ck_ok(kvi_space_open(&db->geometry, &io, &db->snap, live.page, &live, 1, NULL,
                         db->snap.txnid + 1, &db->space));
    ck_ok(kvi_pager_open(&db->view, db->space, db->pool, db->budget_bytes, NULL, &db->pagers[0]));
    kvi_tree_init_write(&db->trees[0], &db->snap.main, db->pagers[0]);
    set_comparators(db, &db->trees[0]);
    db->nested = 0;
}

void tree_db_abort(struct tree_db *db)
{
    if (!db->space) {
        return;
    }
    while (db->nested > 0) {
        tree_db_unnest(db, false);
    }
    kvi_pager_close(db->pagers[0]);
    kvi_space_close(db->space);
    db->pagers[0] = NULL;
    db->space = NULL;
}

/* The map pages and the snapshot page, as commit writes them. */
static void write_all(struct tree_db *db, struct kvi_snap *snap, uint8_t *page)
{
    const struct kvi_space_page *map_pages;
    struct kvi_space_page *extra;
    size_t count;

    ck_ok(kvi_space_commit(db->space, snap, page));
    kvi_snap_encode(&db->geometry, snap, page);
    (void)kvi_page_seal(&db->geometry, page);
    map_pages = kvi_space_pages(db->space, &count);
    extra = malloc((count + 1) * sizeof(*extra));
    memcpy(extra, map_pages, count * sizeof(*extra));
    extra[count] = (struct kvi_space_page){snap->pgno, page};
    ck_ok(kvi_pager_write(db->pagers[0], extra, count + 1));
    free(extra);
}

void tree_db_commit(struct tree_db *db)
{
    struct kvi_snap snap = db->snap;
    uint8_t *page = calloc(1, db->geometry.page_size);
    struct kvi_table_record *record = &db->trees[0].record;

    ck_assert_uint_eq(db->nested, 0);
    ck_ok(kvi_pager_seal(db->pagers[0], &record->root, record->depth));
    snap.main = *record;
    snap.txnid++;
    write_all(db, &snap, page);
    free(page);
    kvi_pager_close(db->pagers[0]);
    kvi_space_close(db->space);
    db->pagers[0] = NULL;
    db->space = NULL;
    db->snap = snap;
}

void tree_db_nest(struct tree_db *db)
{
    unsigned n = db->nested;

    ck_assert_uint_lt(n, TREE_DB_NEST_MAX);
    ck_ok(kvi_tree_park(&db->trees[n]));
    ck_ok(kvi_pager_open(kvi_pager_view(db->pagers[n]), db->space, db->pool, db->budget_bytes,
                         db->pagers[n], &db->pagers[n + 1]));
    kvi_tree_init_write(&db->trees[n + 1], &db->trees[n].record, db->pagers[n + 1]);
    set_comparators(db, &db->trees[n + 1]);
    db->nested++;
}

void tree_db_unnest(struct tree_db *db, bool commit)
{
    unsigned n = db->nested--;

    if (commit) {
        ck_ok(kvi_pager_merge(db->pagers[n]));
        kvi_tree_set_record(&db->trees[n - 1], &db->trees[n].record);
    } else {
        kvi_pager_close(db->pagers[n]);
    }
    db->pagers[n] = NULL;
}

struct kvi_tree *tree_db_tree(struct tree_db *db)
{
    return &db->trees[db->nested];
}

struct kvi_pager *tree_db_pager(struct tree_db *db)
{
    return db->pagers[db->nested];
}

void tree_db_read(struct tree_db *db, struct kvi_tree *tree_out)
{
    db->view = (struct kvi_view){&db->map, db->snap.page_end, db->snap.txnid};
    kvi_tree_init_read(tree_out, &db->snap.main, &db->view);
    set_comparators(db, tree_out);
}

static int fail_on_finding(void *context, uint64_t pgno, const char *what)
{
    (void)context;
    ck_abort_msg("page %llu: %s", (unsigned long long)pgno, what);
    return 0;
}

void tree_db_check(struct kvi_tree *tree)
{
    ck_ok(kvi_tree_check(tree, fail_on_finding, NULL));
}

struct fill {
    const struct kvi_geometry *geometry;
    uint64_t pages;
    uint64_t used_bytes;
};

static int add_fill(void *context, struct kvi_ref ref, enum kvi_page_type type, unsigned level,
                    uint64_t pages, const uint8_t *page, const char *what)
{
    struct fill *fill = context;

    (void)ref;
    (void)level;
    (void)pages;
    ck_assert_msg(page != NULL, "%s", what);
    if (type == KVI_PAGE_LEAF) {
        fill->pages++;
        fill->used_bytes += fill->geometry->page_size - kvi_node_free_bytes(fill->geometry, page);
    }
    return 0;
}

double tree_db_fill(struct kvi_tree *tree)
{
    struct fill fill = {&tree->view->map->geometry, 0, 0};

    ck_ok(kvi_tree_walk(tree, add_fill, &fill));
    if (fill.pages == 0) {
        return 0;
    }
    return (double)fill.used_bytes / ((double)fill.pages * fill.geometry->page_size);
}

/* ---- Claims ---- */

struct claims {
    struct tree_db *db;
    uint64_t pages;
};

static int claim(struct claims *claims, uint64_t pgno, uint64_t pages)
{
    struct kvi_space_snapshot live = live_of(claims->db);
    struct kvi_space_io io = io_of(claims->db);

    for (uint64_t i = 0; i < pages; i++) {
        bool yes = false;

        ck_ok(kvi_map_claims(&claims->db->geometry, &io, &live, pgno + i, &yes));
        ck_assert_msg(yes, "page %llu is used and not claimed", (unsigned long long)(pgno + i));
    }
    claims->pages += pages;
    return 0;
}

static int claim_tree_page(void *context, struct kvi_ref ref, enum kvi_page_type type,
                           unsigned level, uint64_t pages, const uint8_t *page, const char *what)
{
    (void)type;
    (void)level;
    ck_assert_msg(page != NULL, "%s", what);
    return claim(context, ref.pgno, pages);
}

void tree_db_check_claims(struct tree_db *db)
{
    struct claims claims = {db, 0};
    struct kvi_tree tree;

    tree_db_read(db, &tree);
    ck_ok(kvi_tree_walk(&tree, claim_tree_page, &claims));
    /* besides: two meta pages, the snapshot page, the map's own */
    ck_assert_uint_eq(claims.pages + 3 + db->snap.pages_map, db->snap.pages_used);
}
