/* SPDX-License-Identifier: MIT */
/*
 * Exit statuses and messages.
 *
 * Every function of kvctl that can fail for the user returns one of these statuses, having printed
 * its message on stderr: "kvctl VERB: what: why". Whoever gets a status other than STATUS_DONE only
 * hands it up. Single thread.
 */
#ifndef KVCTL_STATUS_H
#define KVCTL_STATUS_H

#include <stdbool.h>

enum status {
    STATUS_DONE = 0,
    STATUS_NEGATIVE = 1, /* not found; check found damage */
    STATUS_USAGE = 2,    /* the command line is wrong */
    STATUS_DATABASE = 3, /* the database could not be opened, or is damaged */
    STATUS_FAILED = 4    /* anything else */
};

/* The verb that messages name; a string that outlives them. */
void status_set_verb(const char *verb);

/* Prints "kvctl VERB: ..." and a newline on stderr. */
void message(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Prints a message and returns STATUS_FAILED, STATUS_USAGE. */
int status_failed(const char *format, ...) __attribute__((format(printf, 1, 2)));
int status_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Prints what failed and why, for a result of kv.h or an errno other than 0, and returns the status
 * that belongs to it. */
int status_of(int result, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* As status_of, for opening a database, perhaps only to read it: always STATUS_DATABASE. */
int status_of_open(int result, const char *path, bool reading);

#endif
