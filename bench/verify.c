/* SPDX-License-Identifier: MIT */
/*
 * What checksums and tags cost a warm readrandom: the library as it is, and one built with
 * KVI_TRUST_PAGES, both loaded into this process and reading the same file in turns. See
 * workloads.h.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "kv.h"
#include "report.h"
#include "workloads.h"

/* The few functions of one of the two libraries. */
struct library {
    int (*env_open)(const char *, const struct kv_options *, struct kv_env **);
    int (*env_close)(struct kv_env *);
    int (*begin)(struct kv_env *, uint32_t, const struct kv_txn_options *, struct kv_txn **);
    void (*abort)(struct kv_txn *);
    int (*get)(struct kv_txn *, kv_table, const struct kv_val *, struct kv_val *);
};

static void symbol(void *handle, const char *name, void *function_out)
{
    void *address = dlsym(handle, name);

    if (!address)
        store_fail("dlsym", dlerror());
    memcpy(function_out, &address, sizeof(address));
}

static void library_open(const char *path, struct library *library)
{
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);

    if (!handle)
        store_fail("dlopen", dlerror());
    symbol(handle, "kv_env_open", &library->env_open);
    symbol(handle, "kv_env_close", &library->env_close);
    symbol(handle, "kv_txn_begin", &library->begin);
    symbol(handle, "kv_txn_abort", &library->abort);
    symbol(handle, "kv_get", &library->get);
}

/* Seconds for one get of every key in random order. */
static double read_all(const struct library *library, const char *path, const struct keys *keys)
{
    struct kv_options options = KV_OPTIONS_INIT;
    struct kv_env *env;
    struct kv_txn *txn;
    double seconds = 0;

    options.flags = KV_READONLY;
    if (library->env_open(path, &options, &env) || library->begin(env, KV_READ, NULL, &txn))
        store_fail("verify", "open failed");
    for (int warm = 0; warm < 2; warm++) {
        double start = now_seconds();

        for (uint32_t i = 0; i < keys->count; i++) {
            struct store_slice key = keys_random(keys, i);
            struct kv_val k = {key.size, (void *)(uintptr_t)key.data};
            struct kv_val v;

            if (library->get(txn, KV_MAIN_TABLE, &k, &v))
                store_fail("verify", "a record is missing");
        }
        seconds = now_seconds() - start;
    }
    library->abort(txn);
    library->env_close(env);
    return seconds;
}

void bench_verify(const struct bench_plan *plan, const char *library, const char *trusting)
{
    struct library both[2];
    struct keys keys;
    char path[512];
    struct store *store;

    library_open(library, &both[0]);
    library_open(trusting, &both[1]);
    keys_init(&keys, KEYS_RANDOM_8, plan->records, 1);
    snprintf(path, sizeof(path), "%s/verify.db", plan->directory);
    store_remove(path);
    store = store_kv.open(path, STORE_LAZY);
    for (uint32_t i = 0; i < keys.count;) {
        store_kv.begin(store);
        for (uint32_t end = i + 1000; i < end && i < keys.count; i++)
            store_kv.put(store, keys_random(&keys, i), value_of(i, 100), 0);
        store_kv.commit(store);
    }
    store_kv.close(store);
    for (uint32_t round = 0; round < plan->rounds; round++) {
        double ratio = read_all(&both[round % 2], path, &keys);

        ratio /= read_all(&both[1 - round % 2], path, &keys);
        report_figure("readrandom, pages verified against trusted", "x", 1.05,
                      round % 2 ? 1 / ratio : ratio);
    }
    keys_release(&keys);
    store_remove(path);
}
