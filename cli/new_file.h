/* SPDX-License-Identifier: MIT */
/*
 * A file that is made under a temporary name beside its own and gets that when it is whole, so that
 * nobody sees half of it and nothing is written over. Each function prints its own message and
 * returns a status. Single thread.
 */
#ifndef KVCTL_NEW_FILE_H
#define KVCTL_NEW_FILE_H

#include "buffer.h"

/* That there is nothing yet under the name. */
int new_file_check(const char *target);

/* A temporary name for it. */
int new_file_temporary(const char *target, struct buffer *name);

/* Gives the file, which is flushed, its name, unless something has it by now, and makes that
 * durable. */
int new_file_publish(const char *temporary, const char *target);

#endif
