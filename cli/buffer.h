/* SPDX-License-Identifier: MIT */
/* A growing array of bytes. Zero bytes of any value are kept; the owner frees. Not for threads. */
#ifndef KVCTL_BUFFER_H
#define KVCTL_BUFFER_H

#include <stddef.h>
#include <stdio.h>

struct buffer {
    char *data;      /* NULL while capacity is 0 */
    size_t size;     /* bytes in use */
    size_t capacity; /* bytes allocated */
};

/* Room for `more` bytes behind the used ones. 0 or ENOMEM; on failure nothing changes. */
int buffer_reserve(struct buffer *buffer, size_t more);

/* Appends. 0 or ENOMEM. */
int buffer_add(struct buffer *buffer, const void *bytes, size_t size);

/* Replaces the content. 0 or ENOMEM. */
int buffer_set(struct buffer *buffer, const void *bytes, size_t size);

/* Replaces the content with all that `file` still gives. 0, ENOMEM or the errno of the read. */
int buffer_read_all(struct buffer *buffer, FILE *file);

void buffer_free(struct buffer *buffer);

#endif
