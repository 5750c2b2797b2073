/* SPDX-License-Identifier: MIT */
/* The packaged LMDB as a store of the benchmark: see store.h. */
#include "store.h"

#include <lmdb.h>
#include <stdlib.h>
#include <sys/stat.h>

#define LMDB_MAP_BYTES ((size_t)64 << 30)

struct store {
    MDB_env *env;
    MDB_dbi dbi;
    MDB_txn *write;
    MDB_txn *read;
    MDB_cursor *cursor;
    MDB_txn *pinned;
};

static void check(int rc, const char *what)
{
    if (rc)
        store_fail(what, mdb_strerror(rc));
}

static struct store *lmdb_open_flags(const char *path, unsigned flags)
{
    struct store *store = calloc(1, sizeof(*store));
    MDB_txn *txn;

    if (!store)
        store_fail("open", "no memory");
    check(mdb_env_create(&store->env), "mdb_env_create");
    check(mdb_env_set_mapsize(store->env, LMDB_MAP_BYTES), "mdb_env_set_mapsize");
    check(mdb_env_open(store->env, path, MDB_NOSUBDIR | MDB_NOTLS | flags, 0644), "mdb_env_open");
    check(mdb_txn_begin(store->env, NULL, 0, &txn), "mdb_txn_begin");
    check(mdb_dbi_open(txn, NULL, 0, &store->dbi), "mdb_dbi_open");
    check(mdb_txn_commit(txn), "mdb_txn_commit");
    return store;
}

static struct store *lmdb_open(const char *path, enum store_mode mode)
{
    return lmdb_open_flags(path, mode != STORE_DURABLE ? MDB_NOSYNC : 0);
}

static struct store *lmdb_open_writemap(const char *path, enum store_mode mode)
{
    return lmdb_open_flags(path, MDB_WRITEMAP | (mode != STORE_DURABLE ? MDB_NOSYNC : 0));
}

static void lmdb_close(struct store *store)
{
    mdb_env_close(store->env);
    free(store);
}

static void lmdb_sync(struct store *store)
{
    check(mdb_env_sync(store->env, 1), "mdb_env_sync");
}

static void lmdb_begin(struct store *store)
{
    check(mdb_txn_begin(store->env, NULL, 0, &store->write), "mdb_txn_begin");
}

static MDB_val val_of(struct store_slice slice)
{
    MDB_val val = {slice.size, (void *)(uintptr_t)slice.data};

    return val;
}

static void lmdb_put(struct store *store, struct store_slice key, struct store_slice value,
                     int append)
{
    MDB_val k = val_of(key);
    MDB_val v = val_of(value);

    check(mdb_put(store->write, store->dbi, &k, &v, append ? MDB_APPEND : 0), "mdb_put");
}

static int lmdb_del(struct store *store, struct store_slice key)
{
    MDB_val k = val_of(key);
    int rc = mdb_del(store->write, store->dbi, &k, NULL);

    if (rc != MDB_NOTFOUND)
        check(rc, "mdb_del");
    return rc == 0;
}

static void lmdb_commit(struct store *store)
{
    check(mdb_txn_commit(store->write), "mdb_txn_commit");
    store->write = NULL;
}

static void lmdb_read_begin(struct store *store)
{
    check(mdb_txn_begin(store->env, NULL, MDB_RDONLY, &store->read), "mdb_txn_begin");
    check(mdb_cursor_open(store->read, store->dbi, &store->cursor), "mdb_cursor_open");
}

static int found(int rc, const MDB_val *v, struct store_slice *value, const char *what)
{
    if (rc == MDB_NOTFOUND)
        return 0;
    check(rc, what);
    value->data = v->mv_data;
    value->size = v->mv_size;
    return 1;
}

static int lmdb_get(struct store *store, struct store_slice key, struct store_slice *value)
{
    MDB_val k = val_of(key);
    MDB_val v;

    return found(mdb_get(store->read, store->dbi, &k, &v), &v, value, "mdb_get");
}

static int lmdb_seek(struct store *store, struct store_slice key, struct store_slice *value)
{
    MDB_val k = val_of(key);
    MDB_val v;

    return found(mdb_cursor_get(store->cursor, &k, &v, MDB_SET_RANGE), &v, value, "mdb_cursor_get");
}

static int lmdb_next(struct store *store, struct store_slice *key, struct store_slice *value)
{
    MDB_val k;
    MDB_val v;
    int rc = mdb_cursor_get(store->cursor, &k, &v, MDB_NEXT);

    if (!found(rc, &v, value, "mdb_cursor_get"))
        return 0;
    key->data = k.mv_data;
    key->size = k.mv_size;
    return 1;
}

static void lmdb_read_end(struct store *store)
{
    mdb_cursor_close(store->cursor);
    mdb_txn_abort(store->read);
    store->read = NULL;
}

static void lmdb_pin(struct store *store)
{
    check(mdb_txn_begin(store->env, NULL, MDB_RDONLY, &store->pinned), "mdb_txn_begin");
}

static void lmdb_unpin(struct store *store)
{
    mdb_txn_abort(store->pinned);
    store->pinned = NULL;
}

static uint64_t lmdb_file_bytes(struct store *store)
{
    MDB_envinfo info;
    MDB_stat stat;

    /* Pages in use, since MDB_WRITEMAP makes the file as long as the map. */
    check(mdb_env_info(store->env, &info), "mdb_env_info");
    check(mdb_env_stat(store->env, &stat), "mdb_env_stat");
    return ((uint64_t)info.me_last_pgno + 1) * stat.ms_psize;
}

const struct store_kind store_lmdb = {
    "LMDB",        lmdb_open,   lmdb_close,      lmdb_sync,       lmdb_begin, lmdb_put,
    lmdb_del,      lmdb_commit, lmdb_read_begin, lmdb_get,        lmdb_seek,  lmdb_next,
    lmdb_read_end, lmdb_pin,    lmdb_unpin,      lmdb_file_bytes,
};

const struct store_kind store_lmdb_writemap = {
    "LMDB WRITEMAP", lmdb_open_writemap, lmdb_close,      lmdb_sync,       lmdb_begin, lmdb_put,
    lmdb_del,        lmdb_commit,        lmdb_read_begin, lmdb_get,        lmdb_seek,  lmdb_next,
    lmdb_read_end,   lmdb_pin,           lmdb_unpin,      lmdb_file_bytes,
};
