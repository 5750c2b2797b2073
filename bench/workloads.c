/* SPDX-License-Identifier: MIT */
/* db_bench's workloads: see workloads.h. */
#include "workloads.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "report.h"

#define BATCH 1000u
#define VALUE_BYTES 100u
#define SEEKS_SHARE 10u /* seekrandom does a tenth as many */
#define SEEK_NEXTS 10u

static const struct store_kind *const kinds[REPORT_STORES] = {&store_kv, &store_lmdb,
                                                              &store_lmdb_writemap};

/* A case of the main round: its name and what is to be reached for short and for text keys. */
struct goal {
    const char *what;
    double short_keys;
    double text_keys;
};

static double goal_of(const struct goal *goal, const struct keys *keys)
{
    return keys->kind == KEYS_RANDOM_8 ? goal->short_keys : goal->text_keys;
}

static void sample(const struct goal *goal, const struct keys *keys, unsigned store, double seconds,
                   uint32_t operations)
{
    report_sample(goal->what, keys_name(keys->kind), "ns/op", goal_of(goal, keys), store,
                  seconds / operations * 1e9);
}

static char *path_for(const struct bench_plan *plan, const char *name, unsigned store)
{
    static char path[512];

    snprintf(path, sizeof(path), "%s/%s-%u.db", plan->directory, name, store);
    return path;
}

/* Puts all keys in the given order, in batches. `round` makes values differ. */
static double fill(const struct store_kind *kind, struct store *store, const struct keys *keys,
                   int sorted, uint32_t round)
{
    double start = now_seconds();

    for (uint32_t i = 0; i < keys->count;) {
        kind->begin(store);
        for (uint32_t end = i + BATCH; i < end && i < keys->count; i++)
            kind->put(store, sorted ? keys_at(keys, i) : keys_random(keys, i),
                      value_of(i + round, VALUE_BYTES), sorted);
        kind->commit(store);
    }
    return now_seconds() - start;
}

static double read_random(const struct store_kind *kind, struct store *store,
                          const struct keys *keys, uint32_t stride, int absent)
{
    uint8_t buffer[32];
    struct store_slice value;
    uint32_t found = 0;
    uint64_t sum = 0;
    double start;

    kind->read_begin(store);
    start = now_seconds();
    for (uint32_t i = 0; i < keys->count; i++) {
        uint32_t at = (uint32_t)((uint64_t)i * stride % keys->count);

        if (kind->get(store, absent ? keys_absent(keys, at, buffer) : keys_random(keys, at),
                      &value)) {
            found++;
            sum += *(const uint8_t *)value.data;
        }
    }
    start = now_seconds() - start;
    kind->read_end(store);
    if (found != (absent ? 0 : keys->count) || sum == 1)
        store_fail("readrandom", "a record is missing");
    return start;
}

static double read_seq(const struct store_kind *kind, struct store *store, const struct keys *keys)
{
    struct store_slice key;
    struct store_slice value;
    uint32_t found = 0;
    uint64_t sum = 0;
    double start;

    kind->read_begin(store);
    start = now_seconds();
    while (kind->next(store, &key, &value)) {
        found++;
        sum += *(const uint8_t *)value.data;
    }
    start = now_seconds() - start;
    kind->read_end(store);
    if (found != keys->count || sum == 1)
        store_fail("readseq", "a record is missing");
    return start;
}

static double seek_random(const struct store_kind *kind, struct store *store,
                          const struct keys *keys)
{
    struct store_slice key;
    struct store_slice value;
    double start;

    kind->read_begin(store);
    start = now_seconds();
    for (uint32_t i = 0; i < keys->count / SEEKS_SHARE; i++) {
        if (!kind->seek(store, keys_random(keys, i), &value))
            store_fail("seekrandom", "a record is missing");
        for (uint32_t n = 0; n < SEEK_NEXTS && kind->next(store, &key, &value); n++)
            ;
    }
    start = now_seconds() - start;
    kind->read_end(store);
    return start;
}

static double delete_random(const struct store_kind *kind, struct store *store,
                            const struct keys *keys)
{
    double start = now_seconds();

    for (uint32_t i = 0; i < keys->count;) {
        kind->begin(store);
        for (uint32_t end = i + BATCH; i < end && i < keys->count; i++) {
            if (!kind->del(store, keys_random(keys, keys->count - 1 - i)))
                store_fail("deleterandom", "a record is missing");
        }
        kind->commit(store);
    }
    return now_seconds() - start;
}

static void main_random(const struct bench_plan *plan, const struct keys *keys, unsigned s)
{
    static const struct goal fillrandom = {"fillrandom (batch 1000)", 0.75, 0.75};
    static const struct goal overwrite = {"overwrite (batch 1000)", 0.75, 0.75};
    static const struct goal readrandom = {"readrandom", 0.6, 0.7};
    static const struct goal readmissing = {"readmissing", 0, 0};
    static const struct goal readseq = {"readseq", 0.9, 0.9};
    static const struct goal seekrandom = {"seekrandom + 10 nexts", 0, 0};
    static const struct goal deleterandom = {"deleterandom (batch 1000)", 0, 0};
    const struct store_kind *kind = kinds[s];
    char *path = path_for(plan, "main", s);
    struct store *store;

    store_remove(path);
    store = kind->open(path, STORE_LAZY);
    sample(&fillrandom, keys, s, fill(kind, store, keys, 0, 0), keys->count);
    report_sample("file after fillrandom", keys_name(keys->kind), "MB", 0.9, s,
                  (double)kind->file_bytes(store) / 1e6);
    read_random(kind, store, keys, 1, 0); /* warm */
    sample(&readrandom, keys, s, read_random(kind, store, keys, 7919, 0), keys->count);
    sample(&readmissing, keys, s, read_random(kind, store, keys, 7919, 1), keys->count);
    sample(&readseq, keys, s, read_seq(kind, store, keys), keys->count);
    sample(&seekrandom, keys, s, seek_random(kind, store, keys), keys->count / SEEKS_SHARE);
    sample(&overwrite, keys, s, fill(kind, store, keys, 0, 1), keys->count);
    sample(&deleterandom, keys, s, delete_random(kind, store, keys), keys->count);
    kind->close(store);
    store_remove(path);
}

static void main_sorted(const struct bench_plan *plan, const struct keys *keys, unsigned s)
{
    static const struct goal fillseq = {"fillseq (append, batch 1000)", 0.8, 0.8};
    const struct store_kind *kind = kinds[s];
    char *path = path_for(plan, "seq", s);
    struct store *store;

    store_remove(path);
    store = kind->open(path, STORE_LAZY);
    sample(&fillseq, keys, s, fill(kind, store, keys, 1, 0), keys->count);
    kind->close(store);
    store_remove(path);
}

void bench_main_round(const struct bench_plan *plan, const struct keys *keys, unsigned first)
{
    for (unsigned i = 0; i < REPORT_STORES; i++)
        main_random(plan, keys, (first + i) % REPORT_STORES);
    for (unsigned i = 0; i < REPORT_STORES; i++)
        main_sorted(plan, keys, (first + i) % REPORT_STORES);
}

/* Microseconds for a durable put. */
static double fill_sync(const struct bench_plan *plan, const struct store_kind *kind,
                        const struct keys *keys, char *path)
{
    struct store *store;
    double start;

    store_remove(path);
    store = kind->open(path, STORE_DURABLE);
    start = now_seconds();
    for (uint32_t n = 0; n < plan->syncs; n++) {
        kind->begin(store);
        kind->put(store, keys_random(keys, n), value_of(n, VALUE_BYTES), 0);
        kind->commit(store);
    }
    start = now_seconds() - start;
    kind->close(store);
    store_remove(path);
    return start / plan->syncs * 1e6;
}

void bench_sync_round(const struct bench_plan *plan, const struct keys *keys, unsigned first)
{
    for (unsigned i = 0; i < 2; i++) { /* MDB_WRITEMAP flushes with msync: another case */
        unsigned s = (first + i) % 2;

        report_sample("fillsync (durable single puts)", keys_name(keys->kind), "us/op", 0.7, s,
                      fill_sync(plan, kinds[s], keys, path_for(plan, "sync", s)));
    }
}

/* ---- The drop-in ---- */

enum dropin_case { DROPIN_FILLRANDOM, DROPIN_READRANDOM, DROPIN_READSEQ, DROPIN_FILLSYNC };
#define DROPIN_CASES 4u
#define DROPIN_LIMIT 1.1

static double get_all(const struct store_kind *kind, struct store *store, const struct keys *keys)
{
    double start;

    kind->read_begin(store);
    start = now_seconds();
    if (kind->get_all(store, keys, 7919) != keys->count)
        store_fail("readrandom", "a record is missing");
    start = now_seconds() - start;
    kind->read_end(store);
    return start;
}

static void dropin_run(const struct bench_plan *plan, const struct store_kind *kind,
                       const struct keys *keys, double *seconds_out)
{
    char *path = path_for(plan, "dropin", kind == &store_dropin);
    struct store *store;

    seconds_out[DROPIN_FILLSYNC] = fill_sync(plan, kind, keys, path);
    store = kind->open(path, STORE_LAZY);
    seconds_out[DROPIN_FILLRANDOM] = fill(kind, store, keys, 0, 0);
    get_all(kind, store, keys); /* warm */
    seconds_out[DROPIN_READRANDOM] = get_all(kind, store, keys);
    read_seq(kind, store, keys);
    seconds_out[DROPIN_READSEQ] = read_seq(kind, store, keys);
    kind->close(store);
    store_remove(path);
}

void bench_dropin_round(const struct bench_plan *plan, const struct keys *keys, unsigned first)
{
    static const char *const names[DROPIN_CASES] = {"fillrandom", "readrandom", "readseq",
                                                    "fillsync"};
    double seconds[2][DROPIN_CASES];
    char what[64];

    dropin_run(plan, first ? &store_dropin : &store_kv, keys, seconds[first]);
    dropin_run(plan, first ? &store_kv : &store_dropin, keys, seconds[!first]);
    for (unsigned i = 0; i < DROPIN_CASES; i++) {
        snprintf(what, sizeof(what), "%s, drop-in against kv.h, %s", names[i],
                 keys_name(keys->kind));
        report_figure(what, "x", DROPIN_LIMIT, seconds[1][i] / seconds[0][i]);
    }
}

/* ---- Automatic durable points ---- */

void bench_lazy_round(const struct bench_plan *plan, const struct keys *keys, unsigned first)
{
    static const struct goal fillrandom = {"fillrandom, KV_LAZY", 0, 0};
    static const struct goal overwrite = {"overwrite, KV_LAZY", 0, 0};
    static const struct goal fillseq = {"fillseq, KV_LAZY", 0, 0};

    for (unsigned i = 0; i < 2; i++) {
        unsigned s = (first + i) % 2;
        const struct store_kind *kind = kinds[s];
        char *path = path_for(plan, "lazy", s);
        struct store *store;

        store_remove(path);
        store = kind->open(path, STORE_POINTS);
        sample(&fillrandom, keys, s, fill(kind, store, keys, 0, 0), keys->count);
        sample(&overwrite, keys, s, fill(kind, store, keys, 0, 1), keys->count);
        kind->close(store);
        store_remove(path);
        store = kind->open(path, STORE_POINTS);
        sample(&fillseq, keys, s, fill(kind, store, keys, 1, 0), keys->count);
        kind->close(store);
        store_remove(path);
    }
}

/* ---- A pinned reader ---- */

#define PINNED_RECORDS 100000u
#define PINNED_BATCHES 400u
#define PINNED_AFTER 100u

static void overwrite_batches(const struct store_kind *kind, struct store *store,
                              const struct keys *keys, uint32_t batches, uint64_t *state)
{
    for (uint32_t b = 0; b < batches; b++) {
        kind->begin(store);
        for (uint32_t i = 0; i < BATCH; i++) {
            uint32_t at = (uint32_t)(random_next(state) % keys->count);

            kind->put(store, keys_at(keys, at), value_of(at + b, VALUE_BYTES), 0);
        }
        kind->commit(store);
    }
}

static void pinned_one(const struct bench_plan *plan, const struct keys *keys, unsigned s,
                       enum store_mode mode)
{
    const char *label = mode == STORE_POINTS ? "lazy" : "durable";
    const struct store_kind *kind = kinds[s];
    char *path = path_for(plan, "pinned", s);
    uint64_t state = 11;
    struct store *store;
    double before;
    char what[64];

    store_remove(path);
    store = kind->open(path, mode);
    fill(kind, store, keys, 0, 0);
    kind->sync(store);
    before = (double)kind->file_bytes(store);
    kind->pin(store);
    overwrite_batches(kind, store, keys, PINNED_BATCHES, &state);
    snprintf(what, sizeof(what), "file with a pinned reader, %s", label);
    report_limited(what, "x before", 3, s, (double)kind->file_bytes(store) / before);
    kind->unpin(store);
    overwrite_batches(kind, store, keys, PINNED_AFTER, &state);
    snprintf(what, sizeof(what), "100 batches after it, %s", label);
    report_limited(what, "x before", 1.5, s, (double)kind->file_bytes(store) / before);
    kind->close(store);
    store_remove(path);
}

void bench_pinned(const struct bench_plan *plan)
{
    struct keys keys;

    keys_init(&keys, KEYS_RANDOM_8, PINNED_RECORDS, 3);
    for (unsigned s = 0; s < 2; s++) {
        pinned_one(plan, &keys, s, STORE_POINTS);
        pinned_one(plan, &keys, s, STORE_DURABLE);
    }
    keys_release(&keys);
}
