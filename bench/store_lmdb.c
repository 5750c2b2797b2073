/* SPDX-License-Identifier: MIT */
/*
 * LMDB as a store of the benchmark: see store.h. The packaged library, which the program is linked
 * with, or another one with the same interface, loaded at run time beside it.
 */
#include "store.h"

#include <dlfcn.h>
#include <lmdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "keys.h"

#define LMDB_MAP_BYTES ((size_t)64 << 30)

/* What is called of a library: one of two. */
struct lmdb_calls {
    int (*env_create)(MDB_env **);
    int (*env_set_mapsize)(MDB_env *, size_t);
    int (*env_open)(MDB_env *, const char *, unsigned, mdb_mode_t);
    void (*env_close)(MDB_env *);
    int (*env_sync)(MDB_env *, int);
    int (*env_info)(MDB_env *, MDB_envinfo *);
    int (*env_stat)(MDB_env *, MDB_stat *);
    int (*txn_begin)(MDB_env *, MDB_txn *, unsigned, MDB_txn **);
    int (*txn_commit)(MDB_txn *);
    void (*txn_abort)(MDB_txn *);
    int (*dbi_open)(MDB_txn *, const char *, unsigned, MDB_dbi *);
    int (*put)(MDB_txn *, MDB_dbi, MDB_val *, MDB_val *, unsigned);
    int (*del)(MDB_txn *, MDB_dbi, MDB_val *, MDB_val *);
    int (*get)(MDB_txn *, MDB_dbi, MDB_val *, MDB_val *);
    int (*cursor_open)(MDB_txn *, MDB_dbi, MDB_cursor **);
    int (*cursor_get)(MDB_cursor *, MDB_val *, MDB_val *, MDB_cursor_op);
    void (*cursor_close)(MDB_cursor *);
};

static const struct lmdb_calls packaged = {
    mdb_env_create,   mdb_env_set_mapsize,
    mdb_env_open,     mdb_env_close,
    mdb_env_sync,     mdb_env_info,
    mdb_env_stat,     mdb_txn_begin,
    mdb_txn_commit,   mdb_txn_abort,
    mdb_dbi_open,     mdb_put,
    mdb_del,          mdb_get,
    mdb_cursor_open,  mdb_cursor_get,
    mdb_cursor_close,
};

static struct lmdb_calls loaded;

struct store {
    const struct lmdb_calls *calls;
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

static struct store *lmdb_open_flags(const struct lmdb_calls *calls, const char *path,
                                     unsigned flags)
{
    struct store *store = calloc(1, sizeof(*store));
    MDB_txn *txn;

    if (!store)
        store_fail("open", "no memory");
    store->calls = calls;
    check(store->calls->env_create(&store->env), "mdb_env_create");
    check(store->calls->env_set_mapsize(store->env, LMDB_MAP_BYTES), "mdb_env_set_mapsize");
    check(store->calls->env_open(store->env, path, MDB_NOSUBDIR | MDB_NOTLS | flags, 0644),
          "mdb_env_open");
    check(store->calls->txn_begin(store->env, NULL, 0, &txn), "mdb_txn_begin");
    check(store->calls->dbi_open(txn, NULL, 0, &store->dbi), "mdb_dbi_open");
    check(store->calls->txn_commit(txn), "mdb_txn_commit");
    return store;
}

static struct store *lmdb_open(const char *path, enum store_mode mode)
{
    return lmdb_open_flags(&packaged, path, mode != STORE_DURABLE ? MDB_NOSYNC : 0);
}

static struct store *lmdb_open_writemap(const char *path, enum store_mode mode)
{
    return lmdb_open_flags(&packaged, path,
                           MDB_WRITEMAP | (mode != STORE_DURABLE ? MDB_NOSYNC : 0));
}

static struct store *loaded_open(const char *path, enum store_mode mode)
{
    if (!loaded.env_open)
        store_fail("open", "no drop-in was loaded");
    return lmdb_open_flags(&loaded, path, mode != STORE_DURABLE ? MDB_NOSYNC : 0);
}

static void lmdb_close(struct store *store)
{
    store->calls->env_close(store->env);
    free(store);
}

static void lmdb_sync(struct store *store)
{
    check(store->calls->env_sync(store->env, 1), "mdb_env_sync");
}

static void lmdb_begin(struct store *store)
{
    check(store->calls->txn_begin(store->env, NULL, 0, &store->write), "mdb_txn_begin");
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

    check(store->calls->put(store->write, store->dbi, &k, &v, append ? MDB_APPEND : 0), "mdb_put");
}

static int lmdb_del(struct store *store, struct store_slice key)
{
    MDB_val k = val_of(key);
    int rc = store->calls->del(store->write, store->dbi, &k, NULL);

    if (rc != MDB_NOTFOUND)
        check(rc, "mdb_del");
    return rc == 0;
}

static void lmdb_commit(struct store *store)
{
    check(store->calls->txn_commit(store->write), "mdb_txn_commit");
    store->write = NULL;
}

static void lmdb_read_begin(struct store *store)
{
    check(store->calls->txn_begin(store->env, NULL, MDB_RDONLY, &store->read), "mdb_txn_begin");
    check(store->calls->cursor_open(store->read, store->dbi, &store->cursor), "mdb_cursor_open");
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

    return found(store->calls->get(store->read, store->dbi, &k, &v), &v, value, "mdb_get");
}

static int lmdb_seek(struct store *store, struct store_slice key, struct store_slice *value)
{
    MDB_val k = val_of(key);
    MDB_val v;

    return found(store->calls->cursor_get(store->cursor, &k, &v, MDB_SET_RANGE), &v, value,
                 "mdb_cursor_get");
}

static int lmdb_next(struct store *store, struct store_slice *key, struct store_slice *value)
{
    MDB_val k;
    MDB_val v;
    int rc = store->calls->cursor_get(store->cursor, &k, &v, MDB_NEXT);

    if (!found(rc, &v, value, "mdb_cursor_get"))
        return 0;
    key->data = k.mv_data;
    key->size = k.mv_size;
    return 1;
}

static void lmdb_read_end(struct store *store)
{
    store->calls->cursor_close(store->cursor);
    store->calls->txn_abort(store->read);
    store->read = NULL;
}

static void lmdb_pin(struct store *store)
{
    check(store->calls->txn_begin(store->env, NULL, MDB_RDONLY, &store->pinned), "mdb_txn_begin");
}

static void lmdb_unpin(struct store *store)
{
    store->calls->txn_abort(store->pinned);
    store->pinned = NULL;
}

static uint64_t lmdb_file_bytes(struct store *store)
{
    MDB_envinfo info;
    MDB_stat stat;

    /* Pages in use, since MDB_WRITEMAP makes the file as long as the map. */
    check(store->calls->env_info(store->env, &info), "mdb_env_info");
    check(store->calls->env_stat(store->env, &stat), "mdb_env_stat");
    return ((uint64_t)info.me_last_pgno + 1) * stat.ms_psize;
}

static uint32_t lmdb_get_all(struct store *store, const struct keys *keys, uint32_t stride)
{
    int (*get)(MDB_txn *, MDB_dbi, MDB_val *, MDB_val *) = store->calls->get;
    uint32_t found = 0;
    uint64_t sum = 0;

    for (uint32_t i = 0; i < keys->count; i++) {
        struct store_slice key = keys_random(keys, (uint32_t)((uint64_t)i * stride % keys->count));
        MDB_val k = {key.size, (void *)(uintptr_t)key.data};
        MDB_val v;

        if (get(store->read, store->dbi, &k, &v) == 0) {
            found++;
            sum += *(const uint8_t *)v.mv_data;
        }
    }
    return sum == 1 ? 0 : found;
}

const struct store_kind store_lmdb = {
    "LMDB",        lmdb_open,   lmdb_close,      lmdb_sync,       lmdb_begin,   lmdb_put,
    lmdb_del,      lmdb_commit, lmdb_read_begin, lmdb_get,        lmdb_seek,    lmdb_next,
    lmdb_read_end, lmdb_pin,    lmdb_unpin,      lmdb_file_bytes, lmdb_get_all,
};

const struct store_kind store_lmdb_writemap = {
    "LMDB WRITEMAP", lmdb_open_writemap, lmdb_close,      lmdb_sync,       lmdb_begin,   lmdb_put,
    lmdb_del,        lmdb_commit,        lmdb_read_begin, lmdb_get,        lmdb_seek,    lmdb_next,
    lmdb_read_end,   lmdb_pin,           lmdb_unpin,      lmdb_file_bytes, lmdb_get_all,
};

const struct store_kind store_dropin = {
    "drop-in",     loaded_open, lmdb_close,      lmdb_sync,       lmdb_begin,   lmdb_put,
    lmdb_del,      lmdb_commit, lmdb_read_begin, lmdb_get,        lmdb_seek,    lmdb_next,
    lmdb_read_end, lmdb_pin,    lmdb_unpin,      lmdb_file_bytes, lmdb_get_all,
};

static void symbol(void *handle, const char *name, void *function_out)
{
    void *address = dlsym(handle, name);
    void *other;

    if (!address)
        store_fail("dlsym", dlerror());
    other = dlsym(RTLD_DEFAULT, name);
    if (address == other)
        store_fail(name, "the drop-in is the library that the benchmark is linked with");
    memcpy(function_out, &address, sizeof(address));
}

void store_dropin_load(const char *path)
{
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);

    if (!handle)
        store_fail("dlopen", dlerror());
    symbol(handle, "mdb_env_create", &loaded.env_create);
    symbol(handle, "mdb_env_set_mapsize", &loaded.env_set_mapsize);
    symbol(handle, "mdb_env_open", &loaded.env_open);
    symbol(handle, "mdb_env_close", &loaded.env_close);
    symbol(handle, "mdb_env_sync", &loaded.env_sync);
    symbol(handle, "mdb_env_info", &loaded.env_info);
    symbol(handle, "mdb_env_stat", &loaded.env_stat);
    symbol(handle, "mdb_txn_begin", &loaded.txn_begin);
    symbol(handle, "mdb_txn_commit", &loaded.txn_commit);
    symbol(handle, "mdb_txn_abort", &loaded.txn_abort);
    symbol(handle, "mdb_dbi_open", &loaded.dbi_open);
    symbol(handle, "mdb_put", &loaded.put);
    symbol(handle, "mdb_del", &loaded.del);
    symbol(handle, "mdb_get", &loaded.get);
    symbol(handle, "mdb_cursor_open", &loaded.cursor_open);
    symbol(handle, "mdb_cursor_get", &loaded.cursor_get);
    symbol(handle, "mdb_cursor_close", &loaded.cursor_close);
}
