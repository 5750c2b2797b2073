/* SPDX-License-Identifier: MIT */
/*
 * Proof of a database: every live snapshot's trees are walked and proved, and the pages reached are
 * compared with its space map, page for page (DESIGN 4: "the check is exact").
 *
 * With the writer lock held nothing can be reused, so that all live snapshots stand still. Damage
 * is collected through the finding callback; only a callback's own result or a failure of the
 * machine ends the check early.
 *
 * The set of pages reached is a bit array over the snapshot's page_end, which was checked against
 * the file's size: memory is an eighth of a byte a page.
 */
#include "txn/maintain.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "txn/check.h"
#include "txn/comparators.h"

#define CHECK_PROGRESS_PAGES 1024u /* between two calls of the progress callback */
#define CHECK_VISITS_MAX 2u        /* of all pages, on an average: a sound snapshot has one */

/* Keeps a callback's result apart from the results of this library, which say other things on their
 * way up. */
static int end_if(struct kvi_check *check, int result)
{
    check->stopped = result;
    return result ? ECANCELED : 0;
}

/* Tells a finding with the keys that it is about. */
static int tell_range(struct kvi_check *check, struct kv_finding *finding)
{
    uint8_t *room = malloc(4 * (size_t)check->env->geometry.key_bytes_max);
    struct kvi_key from, to;
    struct kv_val low, high;
    int rc;

    if (!room)
        return kvi_error(ENOMEM, "no memory to tell what is damaged");
    kvi_tree_told_range(check->tree, room, &from, &to);
    low = (struct kv_val){from.size, (void *)(uintptr_t)from.data};
    high = (struct kv_val){to.size, (void *)(uintptr_t)to.data};
    finding->record = check->tree->told.has_record;
    finding->from = from.data || finding->record ? &low : NULL;
    finding->to = to.data || finding->record ? &high : NULL;
    rc = end_if(check, check->options->finding(check->options->context, finding));
    free(room);
    return rc;
}

int kvi_check_find(struct kvi_check *check, uint64_t pgno, const char *what)
{
    struct kv_finding finding = {.txnid = check->snapshot ? check->snapshot->snap.txnid : 0,
                                 .pgno = pgno,
                                 .table = check->table,
                                 .what = what};

    check->findings++;
    if (!check->options->finding)
        return 0;
    if (check->tree && check->tree->told.path)
        return tell_range(check, &finding);
    return end_if(check, check->options->finding(check->options->context, &finding));
}

/* Sets the pages' bits; the first that was set before, KVI_NO_PGNO if none was. */
static uint64_t mark_pages(struct kvi_check *check, uint64_t pgno, uint64_t count)
{
    uint64_t twice = KVI_NO_PGNO;

    for (uint64_t i = pgno; i < pgno + count; i++) {
        uint8_t bit = (uint8_t)(1u << (i & 7));

        if ((check->reached[i >> 3] & bit) && twice == KVI_NO_PGNO)
            twice = i;
        check->reached[i >> 3] |= bit;
    }
    check->pages_reached += count;
    return twice;
}

int kvi_check_reach(struct kvi_check *check, uint64_t pgno, uint64_t count)
{
    uint64_t end = check->snapshot->snap.page_end;
    uint64_t twice;
    int rc = 0;

    if (pgno >= end || count > end - pgno)
        return kvi_check_find(check, pgno, "page at or above the snapshot's page_end");
    twice = mark_pages(check, pgno, count);
    if (twice != KVI_NO_PGNO)
        rc = kvi_check_find(check, twice, "page is used twice");
    /* Runs that overlap would else take time with the square of the file's size. */
    if (!rc && check->pages_reached > end * CHECK_VISITS_MAX)
        rc = kvi_corrupt(check->env->path, pgno, "pages are used again and again: check given up");
    if (!rc && check->options->progress && check->pages_reached >= check->progress_next) {
        check->progress_next = check->pages_reached + CHECK_PROGRESS_PAGES;
        rc = end_if(check, check->options->progress(check->options->context, check->pages_reached,
                                                    check->pages_total));
    }
    return rc;
}

static bool is_reached(const struct kvi_check *check, uint64_t pgno)
{
    return pgno < check->snapshot->snap.page_end && (check->reached[pgno >> 3] >> (pgno & 7) & 1);
}

/* A page that was seen before is not gone into again: a forged tree has more paths than there is
 * time for. */
static int tree_page(void *context, struct kvi_ref ref, enum kvi_page_type type, unsigned level,
                     uint64_t pages, const uint8_t *page, const char *what)
{
    struct kvi_check *check = context;
    bool before = is_reached(check, ref.pgno);
    int rc;

    (void)type;
    (void)level;
    if (!page) {
        check->holes = true;
        return kvi_check_find(check, ref.pgno, what);
    }
    rc = kvi_check_reach(check, ref.pgno, pages);
    return !rc && before ? KVI_TREE_SKIP : rc;
}

static int tree_finding(void *context, uint64_t pgno, const char *what)
{
    return kvi_check_find(context, pgno, what);
}

/* One table: its pages are reached, its structure is proved. */
static int check_table(struct kvi_check *check, const struct kvi_table_record *record,
                       const char *name)
{
    struct kvi_tree tree;
    uint64_t findings;
    int rc;

    check->table = name;
    kvi_tree_init_read(&tree, record, &check->view);
    /* An order that is not known here is not proved. */
    (void)kvi_comparators_resolve(check->env->comparators, record, &tree.shape);
    findings = check->findings;
    check->tree = &tree;
    rc = kvi_tree_walk(&tree, tree_page, check);
    if (!rc && check->findings == findings)
        rc = kvi_tree_check(&tree, tree_finding, check);
    check->tree = NULL;
    check->table = NULL;
    return rc;
}

/* One named table, from its cell in the main table. */
static int check_named(struct kvi_check *check, struct kvi_key key,
                       const struct kvi_tree_value *value)
{
    char *name = strndup((const char *)key.data, key.size);
    struct kvi_table_record record;
    const char *wrong;
    int rc;

    if (!name)
        return ENOMEM;
    wrong = kvi_table_record_decode(value->data, value->size_bytes, check->view.page_end, &record);
    check->table = name;
    if (wrong)
        check->holes = true;
    if (wrong)
        rc = kvi_check_find(check, KVI_NO_PGNO, wrong);
    else if (record.id == 0 || record.id >= check->snapshot->snap.table_id_next)
        rc = kvi_check_find(check, KVI_NO_PGNO, "table id that was never given out");
    else
        rc = check_table(check, &record, name);
    check->table = NULL;
    check->tables++;
    free(name);
    return rc;
}

/* The named tables of one leaf of the main table. In a damaged tree a leaf may be reached many times:
 * no more are looked at than there are pages. */
static int named_page(void *context, struct kvi_ref ref, enum kvi_page_type type, unsigned level,
                      uint64_t pages, const uint8_t *page, const char *what)
{
    struct kvi_check *check = context;
    int rc = 0;

    (void)ref;
    (void)pages;
    (void)what;
    if (++check->named_visits > check->snapshot->snap.page_end)
        return KVI_TREE_SKIP;
    if (!page || type != KVI_PAGE_LEAF || level > 0)
        return 0;
    for (unsigned slot = 0; slot < kvi_header_count(page) && !rc; slot++) {
        struct kvi_tree_value value;
        struct kvi_leaf_cell cell;

        if (!kvi_leaf_cell_at(&check->env->geometry, page, slot, &cell))
            return 0;
        value = (struct kvi_tree_value){cell.payload, cell.payload_bytes, cell.kind};
        if (cell.kind == KVI_CELL_TABLE)
            rc = check_named(check, (struct kvi_key){cell.key, cell.key_bytes}, &value);
    }
    return rc;
}

/* What the main table's walk found it has told; whatever of it stands is gone through here. */
static int check_named_all(struct kvi_check *check)
{
    struct kvi_tree tree;

    check->named_visits = 0;
    kvi_tree_init_read(&tree, &check->snapshot->snap.main, &check->view);
    return kvi_tree_walk(&tree, named_page, check);
}

static int check_trees(struct kvi_check *check)
{
    int rc = check_table(check, &check->snapshot->snap.main, "");

    if (!rc)
        rc = check_named_all(check);
    if (!rc && check->tables != check->snapshot->snap.tables)
        rc = kvi_check_find(check, check->snapshot->ref.pgno, "wrong count of named tables");
    return rc;
}

static int check_snapshot(struct kvi_check *check, const struct kvi_snapshot *snapshot)
{
    uint64_t page_end = snapshot->snap.page_end;
    int rc;

    check->snapshot = snapshot;
    check->view.page_end = page_end;
    check->view.txnid = snapshot->snap.txnid;
    check->tables = 0;
    check->holes = false;
    check->pages_reached = 0;
    check->progress_next = 0;
    check->pages_total = snapshot->snap.pages_used;
    check->reached = calloc(1, (size_t)(page_end / 8 + 1));
    if (!check->reached)
        return ENOMEM;
    rc = kvi_check_reach(check, 0, 1);
    if (!rc)
        rc = kvi_check_reach(check, check->env->geometry.meta_pgno_1, 1);
    if (!rc)
        rc = kvi_check_reach(check, snapshot->ref.pgno, 1);
    if (!rc)
        rc = check_trees(check);
    if (!rc)
        rc = kvi_check_map(check);
    free(check->reached);
    check->reached = NULL;
    return rc;
}

/* All live snapshots, with the writer lock held. */
static int check_live(struct kvi_check *check)
{
    struct kv_env *env = check->env;
    struct kvi_live live = {NULL, 0, 0};
    int rc = kvi_lockfile_lock_writer(env->lockfile, KVI_WAIT_FOREVER);

    if (rc)
        return rc;
    rc = kvi_live_collect(env, &live);
    if (!rc)
        rc = kvi_env_require(env, live.page_end_max);
    for (size_t i = 0; i < live.count && !rc; i++)
        rc = check_snapshot(check, &live.snapshots[i]);
    kvi_live_release(&live);
    kvi_lockfile_unlock_writer(env->lockfile);
    return rc;
}

/* The newest visible snapshot, pinned by a read txn. */
static int check_visible(struct kvi_check *check)
{
    struct kv_txn *txn;
    int rc = kvi_txn_begin(check->env, KV_READ, NULL, &txn);

    if (rc)
        return rc;
    rc = kvi_env_require(check->env, txn->snapshot.snap.page_end);
    if (!rc)
        rc = check_snapshot(check, &txn->snapshot);
    kvi_txn_abort(txn);
    return rc;
}

int kvi_env_check(struct kv_env *env, const struct kv_check_options *options)
{
    struct kvi_check check = {.env = env, .options = options, .view = {.map = &env->map}};
    int rc;

    rc = env->flags & (KV_READONLY | KV_NOLOCK) ? check_visible(&check) : check_live(&check);
    if (options->findings_out)
        *options->findings_out = check.findings;
    if (check.stopped)
        return check.stopped;
    if (!rc && check.findings)
        rc = kvi_error(KV_ECORRUPT, "%s: the check found %llu faults", env->path,
                       (unsigned long long)check.findings);
    return rc;
}
