/* SPDX-License-Identifier: MIT */
/* Workloads about free space and recovery, which libkv runs alone: see workloads.h. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kv.h"
#include "report.h"
#include "workloads.h"

#define SPACE_VALUE_BYTES 3000u /* a run of one page */
#define SPACE_BATCH 4000u
#define SPACE_COMMITS 301u
#define SPACE_BIG_BYTES (1u << 20)
#define SPACE_BIG_PUTS 31u

static int double_compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return (x > y) - (x < y);
}

static struct store_slice number_key(uint64_t number, uint8_t buffer[8])
{
    struct store_slice key = {buffer, 8};

    for (int i = 0; i < 8; i++)
        buffer[i] = (uint8_t)(number >> (56 - 8 * i));
    return key;
}

/* Median microseconds of a commit that puts one value of `size` bytes. */
static double commit_median(struct store *store, size_t size, unsigned count, uint64_t key_from)
{
    double *samples = malloc(count * sizeof(*samples));
    uint8_t buffer[8];
    double result;

    if (!samples)
        store_fail("bench", "no memory");
    for (unsigned i = 0; i < count; i++) {
        double start = now_seconds();

        store_kv.begin(store);
        store_kv.put(store, number_key(key_from + i, buffer), value_of(i, size), 0);
        store_kv.commit(store);
        samples[i] = (now_seconds() - start) * 1e6;
    }
    qsort(samples, count, sizeof(*samples), double_compare);
    result = samples[count / 2];
    free(samples);
    return result;
}

/* Two records for each page that is to become free: every other one is deleted later. */
static void space_fill(struct store *store, uint32_t free_pages)
{
    uint8_t buffer[8];

    for (uint64_t i = 0; i < 2 * (uint64_t)free_pages;) {
        store_kv.begin(store);
        for (uint64_t end = i + SPACE_BATCH; i < end && i < 2 * (uint64_t)free_pages; i++)
            store_kv.put(store, number_key(i, buffer), value_of((uint32_t)i, SPACE_VALUE_BYTES), 1);
        store_kv.commit(store);
    }
    store_kv.sync(store);
}

static void space_free(struct store *store, uint32_t free_pages)
{
    uint8_t buffer[8];

    for (uint64_t i = 0; i < free_pages;) {
        store_kv.begin(store);
        for (uint64_t end = i + SPACE_BATCH; i < end && i < free_pages; i++)
            store_kv.del(store, number_key(2 * i, buffer));
        store_kv.commit(store);
    }
    store_kv.sync(store);
    /* Two small durable points, so that no live snapshot holds the old pages. */
    commit_median(store, 100, 1, 1);
    store_kv.sync(store);
    commit_median(store, 100, 1, 1);
    store_kv.sync(store);
}

void bench_free_space(const struct bench_plan *plan)
{
    uint64_t keys_after = UINT64_C(1) << 40;
    char path[512];
    struct store *store;
    double small_none;
    double small_many;
    double big_none;
    double big_many;

    snprintf(path, sizeof(path), "%s/space.db", plan->directory);
    store_remove(path);
    store = store_kv.open(path, STORE_LAZY);
    space_fill(store, plan->free_pages);
    small_none = commit_median(store, 100, SPACE_COMMITS, keys_after);
    big_none = commit_median(store, SPACE_BIG_BYTES, SPACE_BIG_PUTS, keys_after * 2);
    space_free(store, plan->free_pages);
    small_many = commit_median(store, 100, SPACE_COMMITS, keys_after * 3);
    big_many = commit_median(store, SPACE_BIG_BYTES, SPACE_BIG_PUTS, keys_after * 4);
    report_figure("small commit, no free pages", "us", 0, small_none);
    report_figure("small commit, many free pages", "us", 0, small_many);
    report_figure("small commit, many against none", "x", 1.3, small_many / small_none);
    report_figure("1 MiB value, no free pages", "us", 0, big_none);
    report_figure("1 MiB value, many single free pages", "us", 0, big_many);
    report_figure("1 MiB value, many against none", "x", 1.3, big_many / big_none);
    store_kv.close(store);
    store_remove(path);
}

/* ---- Open after a killed writer ---- */

/* Fills a file of about open_bytes, commits a few small txns durably, and dies inside another. */
static void killed_writer(const struct bench_plan *plan, const char *path)
{
    struct store *store = store_kv.open(path, STORE_LAZY);
    uint64_t values = plan->open_bytes / SPACE_BIG_BYTES;
    uint8_t buffer[8];

    for (uint64_t i = 0; i < values; i++) {
        store_kv.begin(store);
        store_kv.put(store, number_key(i, buffer), value_of((uint32_t)i, SPACE_BIG_BYTES), 1);
        store_kv.commit(store);
        if (i % 256 == 0)
            store_kv.sync(store);
    }
    store_kv.sync(store);
    for (uint64_t i = 0; i < 10; i++) {
        store_kv.begin(store);
        store_kv.put(store, number_key(values + i, buffer), value_of((uint32_t)i, 100), 0);
        store_kv.commit(store);
        store_kv.sync(store);
    }
    store_kv.begin(store);
    store_kv.put(store, number_key(values + 99, buffer), value_of(1, 100), 0);
    raise(SIGKILL);
}

void bench_open_killed(const struct bench_plan *plan)
{
    char path[512];
    struct store *store;
    int status;
    double start;
    pid_t child;

    snprintf(path, sizeof(path), "%s/killed.db", plan->directory);
    store_remove(path);
    fflush(NULL);
    child = fork();
    if (child < 0)
        store_fail("fork", "failed");
    if (child == 0) {
        killed_writer(plan, path);
        _exit(1);
    }
    if (waitpid(child, &status, 0) < 0 || !WIFSIGNALED(status))
        store_fail("open after kill", "the writer did not die as planned");
    start = now_seconds();
    store = store_kv.open(path, STORE_DURABLE);
    report_figure("open after a killed writer", "ms", 20, (now_seconds() - start) * 1e3);
    report_figure("its file", "GB", 0, (double)store_kv.file_bytes(store) / 1e9);
    store_kv.close(store);
    store_remove(path);
}
