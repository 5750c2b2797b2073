/* SPDX-License-Identifier: MIT */
/*
 * Lines of a file or of stdin, of any length and with any bytes, each with its number and offset.
 * Single thread; the line belongs to the source and lasts until the next call.
 */
#ifndef KVCTL_SOURCE_H
#define KVCTL_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct source {
    FILE *file;
    const char *name;     /* for messages */
    uint64_t size_bytes;  /* of a plain file; 0: unknown */
    char *line;           /* the current line, without its newline; a zero byte behind it */
    size_t line_size;     /* bytes */
    size_t line_capacity; /* allocated */
    uint64_t line_number; /* of the current line, from 1 */
    uint64_t line_offset; /* of its first byte in the input, from 0 */
    uint64_t next_offset; /* of the first byte behind it and its newline */
    bool held;            /* the current line will be given once more */
};

/* Opens; NULL or "-" is stdin. Returns a status. */
int source_open(struct source *source, const char *path);

/* Steps to the next line. 1: there is one; 0: end of input; -1: error, in errno. */
int source_next(struct source *source);

/* The next call of source_next gives the current line again. */
void source_hold(struct source *source);

void source_close(struct source *source);

#endif
