/* SPDX-License-Identifier: MIT */
/* The progress line; see progress.h. */
#include "progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PROGRESS_FIRST_MS 500u
#define PROGRESS_EVERY_MS 100u
#define PROGRESS_WIDTH 30u

static struct {
    bool active;         /* started, on a terminal */
    bool drawn;          /* the line stands on the screen */
    const char *unit;    /* what is counted */
    uint64_t total;      /* 0: unknown */
    uint64_t started_ms; /* clock at the start */
    uint64_t next_ms;    /* not drawn before */
} progress;

static uint64_t clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static bool is_terminal(void)
{
    const char *term = getenv("TERM");
    return isatty(STDERR_FILENO) && (!term || strcmp(term, "dumb") != 0);
}

void progress_start(bool show, const char *unit, uint64_t total)
{
    memset(&progress, 0, sizeof progress);
    if (!show || !is_terminal())
        return;
    progress.active = true;
    progress.unit = unit;
    progress.total = total;
    progress.started_ms = clock_ms();
    progress.next_ms = progress.started_ms + PROGRESS_FIRST_MS;
}

static void draw_bar(uint64_t done, uint64_t total)
{
    double part = done >= total ? 1.0 : (double)done / (double)total;
    unsigned filled = (unsigned)(part * PROGRESS_WIDTH);
    char bar[PROGRESS_WIDTH + 1];
    memset(bar, '#', filled);
    memset(bar + filled, '.', PROGRESS_WIDTH - filled);
    bar[PROGRESS_WIDTH] = 0;
    fprintf(stderr, "\r[%s] %3u %%  %" PRIu64 " of %" PRIu64 " %s\033[K", bar,
            (unsigned)(part * 100), done, total, progress.unit);
}

void progress_update_of(uint64_t done, uint64_t total)
{
    if (!progress.active)
        return;
    uint64_t now = clock_ms();
    if (now < progress.next_ms)
        return;
    progress.next_ms = now + PROGRESS_EVERY_MS;
    if (total)
        draw_bar(done, total);
    else
        fprintf(stderr, "\r%" PRIu64 " %s, %" PRIu64 " s\033[K", done, progress.unit,
                (now - progress.started_ms) / 1000);
    fflush(stderr);
    progress.drawn = true;
}

void progress_update(uint64_t done)
{
    progress_update_of(done, progress.total);
}

void progress_clear(void)
{
    if (!progress.drawn)
        return;
    fputs("\r\033[K", stderr);
    progress.drawn = false;
}

void progress_end(void)
{
    progress_clear();
    progress.active = false;
}
