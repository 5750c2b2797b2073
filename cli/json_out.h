/* SPDX-License-Identifier: MIT */
/*
 * Writing JSON to stdout, piece by piece, so that no document is ever held in memory.
 *
 * `name` is the member's name, or NULL inside an array and at the top. Commas are set here; that
 * every begin has its end is up to the caller. Top-level values are followed by a newline.
 */
#ifndef KVCTL_JSON_OUT_H
#define KVCTL_JSON_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json {
    unsigned depth; /* open objects and arrays */
    bool comma;     /* something stands before the next member */
};

void json_begin(struct json *json, const char *name, char bracket);
void json_end(struct json *json, char bracket);
void json_number(struct json *json, const char *name, uint64_t number);
void json_bool(struct json *json, const char *name, bool value);
void json_null(struct json *json, const char *name);

/* A string; bytes that are no UTF-8 become U+FFFD: for messages, not for data. */
void json_text(struct json *json, const char *name, const char *text);

/* Bytes that must come back as they are: "name": text when they are UTF-8 and `hex` is not asked
 * for, else "name_hex": digits. */
void json_bytes(struct json *json, const char *name, const void *bytes, size_t size, bool hex);

#endif
