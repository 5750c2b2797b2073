/* SPDX-License-Identifier: MIT */
/*
 * db_bench's workloads over the stores of store.h: each runs the same keys in the same order on
 * every store and hands its figures to the report. Values are 100 bytes where nothing else is said.
 */
#ifndef BENCH_WORKLOADS_H
#define BENCH_WORKLOADS_H

#include <stdint.h>

#include "keys.h"
#include "store.h"

struct bench_plan {
    const char *directory; /* where databases are made */
    uint32_t records;      /* of the main workloads */
    uint32_t syncs;        /* durable single puts */
    uint32_t free_pages;   /* of the free-space workload */
    uint64_t open_bytes;   /* file size of the open-after-kill workload */
    uint32_t rounds;
};

/* fillrandom, readrandom, readmissing, readseq, seekrandom, overwrite, file size; fillseq: one
 * round on every store, `first` telling which store begins. */
void bench_main_round(const struct bench_plan *plan, const struct keys *keys, unsigned first);

/* fillrandom, overwrite and fillseq under KV_LAZY, with its automatic durable points, against
 * LMDB's MDB_NOSYNC, which has none. */
void bench_lazy_round(const struct bench_plan *plan, const struct keys *keys, unsigned first);

/* What LMDB's interface costs over kv.h: the drop-in against libkv itself. */
void bench_dropin_round(const struct bench_plan *plan, const struct keys *keys, unsigned first);

/* fillsync: durable single puts. */
void bench_sync_round(const struct bench_plan *plan, const struct keys *keys, unsigned first);

/* A reader pinned while batches of overwrites go on: file sizes. */
void bench_pinned(const struct bench_plan *plan);

/* A small commit with many free pages against none; a 1 MiB value into free single pages. */
void bench_free_space(const struct bench_plan *plan);

/* What verifying pages costs a warm readrandom: the two shared libraries, one built to trust its
 * pages, take turns in this process. */
void bench_verify(const struct bench_plan *plan, const char *library, const char *trusting);

/* Duplicates, integer keys, many keys a call, batched scans, bulk build, range delete: one round on
 * both stores. */
void bench_model(const struct bench_plan *plan, uint32_t round);

/* Opening after a writer was killed. */
void bench_open_killed(const struct bench_plan *plan);

#endif
