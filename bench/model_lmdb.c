/* SPDX-License-Identifier: MIT */
/* LMDB's side of the data model's workloads: see model.h. */
#include "model.h"

#include <lmdb.h>
#include <stdlib.h>

#include "keys.h"

#define LMDB_MAP_BYTES ((size_t)64 << 30)

struct model {
    MDB_env *env;
    MDB_dbi dbi;
};

static void check(int rc, const char *what)
{
    if (rc)
        store_fail(what, mdb_strerror(rc));
}

static MDB_val val_of(struct store_slice slice)
{
    MDB_val val = {slice.size, (void *)(uintptr_t)slice.data};

    return val;
}

static MDB_txn *begin(struct model *model, unsigned flags)
{
    MDB_txn *txn;

    check(mdb_txn_begin(model->env, NULL, flags, &txn), "mdb_txn_begin");
    return txn;
}

static MDB_cursor *cursor_in(struct model *model, MDB_txn *txn)
{
    MDB_cursor *cursor;

    check(mdb_cursor_open(txn, model->dbi, &cursor), "mdb_cursor_open");
    return cursor;
}

static struct model *model_open(const char *path, enum model_shape shape)
{
    static const unsigned flags[] = {0, MDB_INTEGERKEY, MDB_DUPSORT,
                                     MDB_DUPSORT | MDB_DUPFIXED | MDB_INTEGERDUP};
    struct model *model = calloc(1, sizeof(*model));
    MDB_txn *txn;

    if (!model)
        store_fail("open", "no memory");
    check(mdb_env_create(&model->env), "mdb_env_create");
    check(mdb_env_set_mapsize(model->env, LMDB_MAP_BYTES), "mdb_env_set_mapsize");
    check(mdb_env_set_maxdbs(model->env, 4), "mdb_env_set_maxdbs");
    check(mdb_env_open(model->env, path, MDB_NOSUBDIR | MDB_NOTLS | MDB_NOSYNC, 0644),
          "mdb_env_open");
    txn = begin(model, 0);
    check(mdb_dbi_open(txn, "model", MDB_CREATE | flags[shape], &model->dbi), "mdb_dbi_open");
    check(mdb_txn_commit(txn), "mdb_txn_commit");
    return model;
}

static void model_close(struct model *model)
{
    mdb_env_close(model->env);
    free(model);
}

static void model_put(struct model *model, const struct model_items *keys,
                      const struct model_items *values, uint32_t from, uint32_t end)
{
    MDB_txn *txn = begin(model, 0);

    for (uint32_t i = from; i < end; i++) {
        MDB_val key = val_of(model_item(keys, i));
        MDB_val value = val_of(model_item(values, i));

        check(mdb_put(txn, model->dbi, &key, &value, 0), "mdb_put");
    }
    check(mdb_txn_commit(txn), "mdb_txn_commit");
}

static void model_build(struct model *model, const struct model_items *keys, uint32_t value_bytes)
{
    MDB_txn *txn = begin(model, 0);
    MDB_cursor *cursor = cursor_in(model, txn);

    for (uint32_t i = 0; i < keys->count; i++) {
        MDB_val key = val_of(model_item(keys, i));
        MDB_val value = val_of(value_of(i, value_bytes));

        check(mdb_cursor_put(cursor, &key, &value, MDB_APPEND), "mdb_cursor_put");
    }
    mdb_cursor_close(cursor);
    check(mdb_txn_commit(txn), "mdb_txn_commit");
}

/* MDB_NEXT_MULTIPLE only where the count says that there is more: a failed one costs as much. */
static uint64_t model_scan_pages(struct model *model, uint64_t *count_out)
{
    MDB_txn *txn = begin(model, MDB_RDONLY);
    MDB_cursor *cursor = cursor_in(model, txn);
    MDB_val key, values;
    uint64_t sum = 0;
    int rc;

    *count_out = 0;
    while ((rc = mdb_cursor_get(cursor, &key, &values, MDB_NEXT_NODUP)) == 0) {
        size_t left;

        check(mdb_cursor_count(cursor, &left), "mdb_cursor_count");
        *count_out += left;
        check(mdb_cursor_get(cursor, &key, &values, MDB_GET_MULTIPLE), "mdb_cursor_get");
        for (;;) {
            sum += model_sum(values.mv_data, values.mv_size);
            left -= values.mv_size / sizeof(uint64_t);
            if (left == 0)
                break;
            check(mdb_cursor_get(cursor, &key, &values, MDB_NEXT_MULTIPLE), "mdb_cursor_get");
        }
    }
    if (rc != MDB_NOTFOUND)
        check(rc, "mdb_cursor_get");
    mdb_cursor_close(cursor);
    mdb_txn_abort(txn);
    return sum;
}

static uint64_t model_scan(struct model *model, uint64_t *count_out)
{
    MDB_txn *txn = begin(model, MDB_RDONLY);
    MDB_cursor *cursor = cursor_in(model, txn);
    MDB_val key, value;
    uint64_t sum = 0;
    int rc;

    *count_out = 0;
    while ((rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
        sum += *(const uint8_t *)value.mv_data;
        ++*count_out;
    }
    if (rc != MDB_NOTFOUND)
        check(rc, "mdb_cursor_get");
    mdb_cursor_close(cursor);
    mdb_txn_abort(txn);
    return sum;
}

static uint32_t model_find_pairs(struct model *model, const struct model_items *keys,
                                 const struct model_items *values)
{
    MDB_txn *txn = begin(model, MDB_RDONLY);
    MDB_cursor *cursor = cursor_in(model, txn);
    uint32_t found = 0;

    for (uint32_t i = 0; i < keys->count; i++) {
        MDB_val key = val_of(model_item(keys, i));
        MDB_val value = val_of(model_item(values, i));

        found += mdb_cursor_get(cursor, &key, &value, MDB_GET_BOTH) == 0;
    }
    mdb_cursor_close(cursor);
    mdb_txn_abort(txn);
    return found;
}

static uint32_t model_get(struct model *model, const struct model_items *keys)
{
    MDB_txn *txn = begin(model, MDB_RDONLY);
    uint32_t found = 0;
    uint64_t sum = 0;

    for (uint32_t i = 0; i < keys->count; i++) {
        MDB_val key = val_of(model_item(keys, i));
        MDB_val value;

        if (mdb_get(txn, model->dbi, &key, &value) == 0) {
            found++;
            sum += *(const uint8_t *)value.mv_data;
        }
    }
    mdb_txn_abort(txn);
    return sum == 1 ? 0 : found;
}

/* LMDB has no such call: single gets are the peer. */
static uint32_t model_get_many(struct model *model, const struct model_items *keys, uint32_t group)
{
    (void)group;
    return model_get(model, keys);
}

static uint64_t model_delete_from(struct model *model, struct store_slice slice)
{
    MDB_txn *txn = begin(model, 0);
    MDB_cursor *cursor = cursor_in(model, txn);
    MDB_val key = val_of(slice);
    MDB_val value;
    uint64_t deleted = 0;
    int rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);

    while (rc == 0) {
        check(mdb_cursor_del(cursor, 0), "mdb_cursor_del");
        deleted++;
        rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    if (rc != MDB_NOTFOUND)
        check(rc, "mdb_cursor_get");
    mdb_cursor_close(cursor);
    check(mdb_txn_commit(txn), "mdb_txn_commit");
    return deleted;
}

const struct model_kind model_lmdb = {
    "LMDB",     model_open,       model_close, model_put,      model_build,       model_scan_pages,
    model_scan, model_find_pairs, model_get,   model_get_many, model_delete_from,
};
