/* SPDX-License-Identifier: MIT */
/*
 * Data on stdout.
 *
 * Everything goes through here, so that a full disk or a closed pipe is noticed once and in one
 * place: the functions that write return nothing, a loop asks out_broken now and then and stops,
 * and out_finish tells and reports. A pipe whose reader went away is not reported: the program ends
 * as SIGPIPE would have ended it, but after the database was closed. If SIGPIPE was ignored when
 * the program started, it is an error like any other. Single thread.
 */
#ifndef KVCTL_OUT_H
#define KVCTL_OUT_H

#include <stdbool.h>
#include <stddef.h>

/* Once, before anything is written. */
void out_init(void);

void out_bytes(const void *bytes, size_t size);
void out_byte(char byte);
void out_text(const char *text);
void out_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Whether a write has failed: what follows is lost. */
bool out_broken(void);

/* Notes the failure of a write to stdout that did not go through here. */
void out_note_error(int error);

/* Whether stdout is a plain file: only then does a progress bar not disturb. */
bool out_is_file(void);

/* Flushes and closes. Returns `status`, or STATUS_FAILED if something could not be written. */
int out_finish(int status);

#endif
