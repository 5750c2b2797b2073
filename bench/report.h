/* SPDX-License-Identifier: MIT */
/*
 * Figures of a benchmark run: samples by case and store, medians, ratios, a table on stdout and in
 * Markdown.
 */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include <stdint.h>
#include <stdio.h>

#define REPORT_STORES 3 /* libkv, LMDB, LMDB with MDB_WRITEMAP */
#define REPORT_SAMPLES_MAX 31

/* One more measurement of `what` (with keys `keys`, "" if it has none) for store number `store`, in
 * `unit`. `goal`: the ratio to LMDB that is to be reached, 0 none. */
void report_sample(const char *what, const char *keys, const char *unit, double goal,
                   unsigned store, double value);

/* As report_sample, but libkv's own value is what must stay below `limit`. */
void report_limited(const char *what, const char *unit, double limit, unsigned store, double value);

/* A figure without a peer: measured against a limit of its own (0 none). */
void report_figure(const char *what, const char *unit, double limit, double value);

/* All cases so far, as text or Markdown. */
void report_print(FILE *out, int markdown);

/* Seconds since some start. */
double now_seconds(void);

#endif
