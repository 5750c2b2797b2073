/* SPDX-License-Identifier: MIT */
/*
 * How far the data file may grow, so that a map holds what LMDB's would, and not much more.
 *
 * A page of ours has a header of 32 bytes where LMDB's has 16. For most sizes of records that is a
 * matter of half a percent, and the slack in kvi_lmdb_limit covers it. But a value of 4070 bytes
 * fits into one page of LMDB's and takes two of ours, and two records of 2024 bytes share a page
 * there. So when the file comes to its limit, the records are weighed: the pages that they take
 * here, and the pages that LMDB would pack them into. The limit is raised by that ratio.
 *
 * What is weighed is the newest snapshot, of large tables a sample, and what the write txn put since
 * (env->weight), whatever became of that. Values among duplicates are taken to weigh the same.
 *
 * The thread of the env's write txn only.
 */
#include "lmdb/lmdb_impl.h"

#include <string.h>

#define ROOM_SLACK_PAGES 32u /* beside LMDB's pages: metas, snapshots, their maps */
#define ROOM_SLACK_SHARE 32u /* and one page in so many: trees that are cut in other places */
#define ROOM_AGAIN_SHARE 64u /* of the map, that is put before a full one is weighed again */
#define ROOM_SAMPLE 32768u   /* records from each end of a table that are looked at */

/* Bytes of a page for cells with their slots; the largest such cell; what a cell has beside key and
 * value, and beside the key of a value that has pages of its own; their header. */
struct format {
    uint32_t room;
    uint32_t cell_max;
    uint32_t cell_head;
    uint32_t far_head;
    uint32_t run_head;
    uint32_t even; /* cells are rounded up to a multiple */
};

static const struct format ours = {4064, 2032, 10, 28, 32, 1};
static const struct format lmdbs = {4080, 2040, 10, 18, 16, 2};

static void weigh(struct kvi_lmdb_packed *packed, const struct format *f, size_t key_bytes,
                  size_t value_bytes)
{
    size_t cell = key_bytes + value_bytes + f->cell_head;

    if (cell > f->cell_max) {
        packed->pages += (f->run_head + value_bytes + KVI_LMDB_PAGE - 1) / KVI_LMDB_PAGE;
        cell = key_bytes + f->far_head;
    }
    cell = (cell + f->even - 1) / f->even * f->even;
    packed->filled += (uint32_t)cell;
    if (packed->filled > f->room) {
        packed->pages++;
        packed->filled = (uint32_t)cell;
    }
}

void kvi_lmdb_weigh(struct kvi_lmdb_weight *weight, size_t key_bytes, size_t value_bytes)
{
    weigh(&weight->ours, &ours, key_bytes, value_bytes);
    weigh(&weight->lmdbs, &lmdbs, key_bytes, value_bytes);
}

/* ---- What is there ---- */

struct weighing {
    struct kv_txn *kv;
    double ours; /* pages */
    double lmdbs;
};

static void weighing_add(struct weighing *weighing, const struct kvi_lmdb_weight *weight,
                         double times)
{
    const struct kvi_lmdb_packed *o = &weight->ours, *l = &weight->lmdbs;

    weighing->ours += times * ((double)o->pages + (double)o->filled / ours.room);
    weighing->lmdbs += times * ((double)l->pages + (double)l->filled / lmdbs.room);
}

static int weigh_records(struct kv_cursor *cursor, enum kv_cursor_op op, uint64_t count,
                         struct kvi_lmdb_weight *weight)
{
    struct kv_val key, value;
    int rc = 0;

    for (uint64_t i = 0; i < count && !rc; i++) {
        rc = kv_cursor_get(cursor, op, &key, &value);
        if (!rc)
            kvi_lmdb_weigh(weight, key.size, value.size);
    }
    return rc;
}

static int weigh_plain(struct weighing *weighing, kv_table table, uint64_t entries)
{
    struct kvi_lmdb_weight weight = {0};
    bool whole = entries <= (uint64_t)ROOM_SAMPLE * 2;
    uint64_t sample = whole ? entries : (uint64_t)ROOM_SAMPLE * 2;
    struct kv_cursor *cursor;
    int rc = kv_cursor_open(weighing->kv, table, &cursor);

    if (rc)
        return rc;
    rc = weigh_records(cursor, KV_NEXT, whole ? entries : ROOM_SAMPLE, &weight);
    kv_cursor_close(cursor);
    if (!rc && !whole) {
        rc = kv_cursor_open(weighing->kv, table, &cursor);
        if (rc)
            return rc;
        rc = weigh_records(cursor, KV_PREV, ROOM_SAMPLE, &weight);
        kv_cursor_close(cursor);
    }
    if (!rc && sample)
        weighing_add(weighing, &weight, (double)entries / (double)sample);
    return rc;
}

static int weigh_table(struct weighing *weighing, kv_table table)
{
    struct kv_table_options options;
    struct kv_table_stat stat;
    double pages;
    int rc = kv_table_options(weighing->kv, table, &options);

    if (!rc)
        rc = kv_table_stat(weighing->kv, table, &stat);
    if (rc)
        return rc;
    if (!(options.flags & KV_DUPLICATES))
        return weigh_plain(weighing, table, stat.entries);
    pages = (double)(stat.pages_branch + stat.pages_leaf + stat.pages_overflow);
    weighing->ours += pages;
    weighing->lmdbs += pages;
    return 0;
}

static int weigh_named(void *context, const char *name)
{
    struct weighing *weighing = context;
    kv_table table;
    int rc = kv_table_open(weighing->kv, name, 0, NULL, &table);

    return rc ? rc : weigh_table(weighing, table);
}

static int weigh_snapshot(MDB_env *env, struct weighing *weighing)
{
    int rc = kv_txn_begin(env->kv, KV_READ, NULL, &weighing->kv);

    if (rc)
        return rc;
    rc = weigh_table(weighing, KV_MAIN_TABLE);
    if (!rc)
        rc = kv_table_list(weighing->kv, weigh_named, weighing);
    kv_txn_abort(weighing->kv);
    return rc;
}

/* ---- The limit ---- */

static uint64_t limit_of(size_t mapsize, double ratio)
{
    uint64_t pages = mapsize / KVI_LMDB_PAGE;
    uint64_t held = (uint64_t)((double)pages * ratio);

    return (held + pages / ROOM_SLACK_SHARE + ROOM_SLACK_PAGES) * KVI_LMDB_PAGE;
}

uint64_t kvi_lmdb_limit(size_t mapsize)
{
    return limit_of(mapsize, 1);
}

static uint64_t put_bytes(const MDB_env *env)
{
    const struct kvi_lmdb_packed *put = &env->weight.ours;

    return env->put_bytes + put->pages * KVI_LMDB_PAGE + put->filled;
}

void kvi_lmdb_weight_begin(MDB_env *env)
{
    env->put_bytes = put_bytes(env);
    memset(&env->weight, 0, sizeof(env->weight));
}

/* A program that lives with a full map meets its limit again and again. */
static bool weighed_just_now(const MDB_env *env)
{
    return env->weighed_bytes &&
           put_bytes(env) - env->weighed_bytes < env->mapsize / ROOM_AGAIN_SHARE;
}

uint64_t kvi_lmdb_full(void *context, uint64_t limit_bytes)
{
    MDB_env *env = context;
    struct weighing weighing = {NULL, 0, 0};
    uint64_t limit;

    if (env->page_size != KVI_LMDB_PAGE || kvi_lmdb_cramped(env) || weighed_just_now(env))
        return limit_bytes;
    env->weighed_bytes = put_bytes(env);
    weighing_add(&weighing, &env->weight, 1);
    if (weigh_snapshot(env, &weighing) || weighing.ours <= weighing.lmdbs || weighing.lmdbs <= 0)
        return limit_bytes;
    limit = limit_of(env->mapsize, weighing.ours / weighing.lmdbs);
    if (limit > atomic_load(&env->limit)) {
        atomic_store(&env->limit, limit);
        env->weighed_bytes = 0;
    }
    return limit;
}
