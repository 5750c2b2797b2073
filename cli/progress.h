/* SPDX-License-Identifier: MIT */
/*
 * A progress line on stderr, on a terminal and only there, redrawn at most ten times a second. One
 * at a time; every call is harmless while none is shown. Single thread.
 */
#ifndef KVCTL_PROGRESS_H
#define KVCTL_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

/* Begins; nothing is drawn in the first half second. `total` 0: unknown, a count is shown instead
 * of a bar. `show` false, or stderr no terminal: nothing is ever drawn. */
void progress_start(bool show, const char *unit, uint64_t total);

void progress_update(uint64_t done);

/* As progress_update, with a total that is known only now. */
void progress_update_of(uint64_t done, uint64_t total);

/* Takes the line off the screen; the next update draws it again. */
void progress_clear(void);

void progress_end(void);

#endif
