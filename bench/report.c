/* SPDX-License-Identifier: MIT */
/* Samples, medians and tables: see report.h. */
#include "report.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "store.h"

#define REPORT_CASES_MAX 128

struct report_case {
    char what[64];
    char keys[16];
    char unit[16];
    double goal;
    int figure; /* goal is a limit of libkv's value itself */
    unsigned counts[REPORT_STORES];
    double samples[REPORT_STORES][REPORT_SAMPLES_MAX];
};

static struct report_case cases[REPORT_CASES_MAX];
static unsigned cases_count;

static struct report_case *case_of(const char *what, const char *keys, const char *unit,
                                   double goal)
{
    struct report_case *found;

    for (unsigned i = 0; i < cases_count; i++) {
        if (strcmp(cases[i].what, what) == 0 && strcmp(cases[i].keys, keys) == 0)
            return &cases[i];
    }
    if (cases_count == REPORT_CASES_MAX)
        store_fail("report", "too many cases");
    found = &cases[cases_count++];
    snprintf(found->what, sizeof(found->what), "%s", what);
    snprintf(found->keys, sizeof(found->keys), "%s", keys);
    snprintf(found->unit, sizeof(found->unit), "%s", unit);
    found->goal = goal;
    return found;
}

void report_sample(const char *what, const char *keys, const char *unit, double goal,
                   unsigned store, double value)
{
    struct report_case *at = case_of(what, keys, unit, goal);

    if (at->counts[store] < REPORT_SAMPLES_MAX)
        at->samples[store][at->counts[store]++] = value;
}

void report_limited(const char *what, const char *unit, double limit, unsigned store, double value)
{
    struct report_case *at = case_of(what, "", unit, limit);

    at->figure = 1;
    if (at->counts[store] < REPORT_SAMPLES_MAX)
        at->samples[store][at->counts[store]++] = value;
}

void report_figure(const char *what, const char *unit, double limit, double value)
{
    report_limited(what, unit, limit, 0, value);
}

static int double_compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(const struct report_case *at, unsigned store)
{
    double sorted[REPORT_SAMPLES_MAX];
    unsigned n = at->counts[store];

    if (n == 0)
        return 0;
    memcpy(sorted, at->samples[store], n * sizeof(*sorted));
    qsort(sorted, n, sizeof(*sorted), double_compare);
    return n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

static void cell(char *out, size_t size, int present, double value)
{
    if (present)
        snprintf(out, size, value < 10 ? "%.3f" : "%.1f", value);
    else
        snprintf(out, size, "-");
}

static const char *verdict(double goal, double reached)
{
    if (goal == 0)
        return "";
    return reached <= goal ? "yes" : "no";
}

static void case_print(FILE *out, const struct report_case *at, int markdown)
{
    double ours = median(at, 0);
    double peer = median(at, 1);
    double mapped = median(at, 2);
    double reached = at->figure ? ours : peer > 0 ? ours / peer : 0;
    char cells[3][24];
    char ratios[2][24];
    char goal[24];

    cell(cells[0], sizeof(cells[0]), at->counts[0] > 0, ours);
    cell(cells[1], sizeof(cells[1]), at->counts[1] > 0, peer);
    cell(cells[2], sizeof(cells[2]), at->counts[2] > 0, mapped);
    cell(ratios[0], sizeof(ratios[0]), peer > 0, peer > 0 ? ours / peer : 0);
    cell(ratios[1], sizeof(ratios[1]), mapped > 0, mapped > 0 ? ours / mapped : 0);
    cell(goal, sizeof(goal), at->goal > 0, at->goal);
    if (markdown)
        fprintf(out, "| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", at->what, at->keys,
                at->unit, cells[0], cells[1], cells[2], ratios[0], ratios[1], goal,
                verdict(at->goal, reached));
    else
        fprintf(out, "%-40s %-5s %-8s %10s %10s %10s %7s %7s %6s %s\n", at->what, at->keys,
                at->unit, cells[0], cells[1], cells[2], ratios[0], ratios[1], goal,
                verdict(at->goal, reached));
}

void report_print(FILE *out, int markdown)
{
    if (markdown)
        fprintf(out, "| workload | key | unit | libkv | LMDB | LMDB WRITEMAP | ratio | ratio to "
                     "WRITEMAP | goal | reached |\n"
                     "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |\n");
    else
        fprintf(out, "%-40s %-5s %-8s %10s %10s %10s %7s %7s %6s %s\n", "workload", "key", "unit",
                "libkv", "LMDB", "WRITEMAP", "ratio", "r.wmap", "goal", "reached");
    for (unsigned i = 0; i < cases_count; i++)
        case_print(out, &cases[i], markdown);
}

double now_seconds(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}
