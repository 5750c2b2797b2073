/* SPDX-License-Identifier: MIT */
/*
 * The three spellings of keys and values, written and read.
 *
 *   text  well-formed UTF-8 as it is, without control characters; a backslash as \\, tab, newline
 * and carriage return as \t \n \r, any other byte as \xHH. One record stands on one line, and
 *         reading gives the same bytes back. (default)
 *   hex   two digits a byte
 *   raw   the bytes as they are
 *
 * And the two of the Berkeley dump format: bytevalue, which is hex, and print, where a printable
 * ASCII character stands for itself, any other byte and the backslash are \HH; \\ is read as well.
 */
#ifndef KVCTL_ENCODE_H
#define KVCTL_ENCODE_H

#include <stddef.h>

enum encoding { ENCODING_TEXT, ENCODING_HEX, ENCODING_RAW, ENCODING_PRINT };

/* Writes the bytes to stdout. */
void encode_out(enum encoding encoding, const void *bytes, size_t size);

/* Decodes in place (no decoded form is longer) and sets the size. NULL, or what is wrong and, in
 * *bad_at_out, at which byte of the input; the bytes are then undefined. */
const char *decode_in_place(enum encoding encoding, char *bytes, size_t *size, size_t *bad_at_out);

#endif
