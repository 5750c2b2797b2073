/* SPDX-License-Identifier: MIT */
/* libkv as a store of the benchmark: see store.h. */
#include "store.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "keys.h"
#include "kv.h"

struct store {
    struct kv_env *env;
    struct kv_txn *write;
    struct kv_txn *read;
    struct kv_cursor *cursor;
    struct kv_txn *pinned;
};

static void check(int rc, const char *what)
{
    if (rc)
        store_fail(what, *kv_error_text() ? kv_error_text() : kv_strerror(rc));
}

static struct store *kv_open(const char *path, enum store_mode mode)
{
    struct kv_options options = KV_OPTIONS_INIT;
    struct store *store = calloc(1, sizeof(*store));

    if (!store)
        store_fail("open", "no memory");
    options.flags = KV_CREATE;
    /* MDB_NOSYNC's counterpart: no flush before it is asked for. */
    options.durability = mode == STORE_DURABLE  ? KV_DURABLE
                         : mode == STORE_POINTS ? KV_LAZY
                                                : KV_NONE;
    check(kv_env_open(path, &options, &store->env), "kv_env_open");
    return store;
}

static void kv_close(struct store *store)
{
    check(kv_env_close(store->env), "kv_env_close");
    free(store);
}

static void kv_sync(struct store *store)
{
    check(kv_env_sync(store->env), "kv_env_sync");
}

static void kv_begin(struct store *store)
{
    check(kv_txn_begin(store->env, KV_WRITE, NULL, &store->write), "kv_txn_begin");
}

static void kv_do_put(struct store *store, struct store_slice key, struct store_slice value,
                      int append)
{
    struct kv_val k = {key.size, (void *)(uintptr_t)key.data};
    struct kv_val v = {value.size, (void *)(uintptr_t)value.data};

    check(kv_put(store->write, KV_MAIN_TABLE, &k, &v, append ? KV_APPEND : 0), "kv_put");
}

static int kv_do_del(struct store *store, struct store_slice key)
{
    struct kv_val k = {key.size, (void *)(uintptr_t)key.data};
    int rc = kv_del(store->write, KV_MAIN_TABLE, &k, NULL);

    if (rc != KV_ENOTFOUND)
        check(rc, "kv_del");
    return rc == 0;
}

static void kv_commit(struct store *store)
{
    check(kv_txn_commit(store->write), "kv_txn_commit");
    store->write = NULL;
}

static void kv_read_begin(struct store *store)
{
    check(kv_txn_begin(store->env, KV_READ, NULL, &store->read), "kv_txn_begin");
    check(kv_cursor_open(store->read, KV_MAIN_TABLE, &store->cursor), "kv_cursor_open");
}

static int kv_do_get(struct store *store, struct store_slice key, struct store_slice *value)
{
    struct kv_val k = {key.size, (void *)(uintptr_t)key.data};
    struct kv_val v;
    int rc = kv_get(store->read, KV_MAIN_TABLE, &k, &v);

    if (rc == KV_ENOTFOUND)
        return 0;
    check(rc, "kv_get");
    value->data = v.data;
    value->size = v.size;
    return 1;
}

static int kv_seek(struct store *store, struct store_slice key, struct store_slice *value)
{
    struct kv_val k = {key.size, (void *)(uintptr_t)key.data};
    struct kv_val v;
    int rc = kv_cursor_get(store->cursor, KV_AT_LEAST, &k, &v);

    if (rc == KV_ENOTFOUND)
        return 0;
    check(rc, "kv_cursor_get");
    value->data = v.data;
    value->size = v.size;
    return 1;
}

static int kv_next(struct store *store, struct store_slice *key, struct store_slice *value)
{
    struct kv_val k;
    struct kv_val v;
    int rc = kv_cursor_get(store->cursor, KV_NEXT, &k, &v);

    if (rc == KV_ENOTFOUND)
        return 0;
    check(rc, "kv_cursor_get");
    key->data = k.data;
    key->size = k.size;
    value->data = v.data;
    value->size = v.size;
    return 1;
}

static void kv_read_end(struct store *store)
{
    kv_cursor_close(store->cursor);
    kv_txn_abort(store->read);
    store->read = NULL;
}

static void kv_pin(struct store *store)
{
    check(kv_txn_begin(store->env, KV_READ, NULL, &store->pinned), "kv_txn_begin");
}

static void kv_unpin(struct store *store)
{
    kv_txn_abort(store->pinned);
    store->pinned = NULL;
}

static uint64_t kv_file_bytes(struct store *store)
{
    struct stat st;

    if (fstat(kv_env_fd(store->env), &st))
        store_fail("fstat", "failed");
    return (uint64_t)st.st_size;
}

static uint32_t kv_get_all(struct store *store, const struct keys *keys, uint32_t stride)
{
    uint32_t found = 0;
    uint64_t sum = 0;

    for (uint32_t i = 0; i < keys->count; i++) {
        struct store_slice key = keys_random(keys, (uint32_t)((uint64_t)i * stride % keys->count));
        struct kv_val k = {key.size, (void *)(uintptr_t)key.data};
        struct kv_val v;

        if (kv_get(store->read, KV_MAIN_TABLE, &k, &v) == 0) {
            found++;
            sum += *(const uint8_t *)v.data;
        }
    }
    return sum == 1 ? 0 : found;
}

const struct store_kind store_kv = {
    "libkv",     kv_open,   kv_close,      kv_sync,       kv_begin,   kv_do_put,
    kv_do_del,   kv_commit, kv_read_begin, kv_do_get,     kv_seek,    kv_next,
    kv_read_end, kv_pin,    kv_unpin,      kv_file_bytes, kv_get_all,
};
