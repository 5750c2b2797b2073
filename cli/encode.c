/* SPDX-License-Identifier: MIT */
/* Spelling keys and values; the rules stand in encode.h. */
#include "encode.h"

#include <stdbool.h>
#include <string.h>

#include "out.h"
#include "utf8.h"

static const char hex_digits[] = "0123456789abcdef";

static int hex_value(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F')
        return digit - 'A' + 10;
    return -1;
}

/* ---- Writing ------------------------------------------------------------------------------- */

static void write_hex(const unsigned char *bytes, size_t size)
{
    char digits[512];
    size_t used = 0;
    for (size_t i = 0; i < size; i++) {
        digits[used++] = hex_digits[bytes[i] >> 4];
        digits[used++] = hex_digits[bytes[i] & 15];
        if (used == sizeof digits) {
            out_bytes(digits, used);
            used = 0;
        }
    }
    out_bytes(digits, used);
}

/* How many bytes at the start may stand as they are: a printable character, 0 if it is none. The
 * controls U+0080 to U+009F are well-formed, and steer terminals. */
static size_t printable_length(const unsigned char *bytes, size_t size)
{
    size_t length = utf8_length(bytes, size);
    bool control = bytes[0] < 0x20 || bytes[0] == 0x7f;
    bool c1_control = length == 2 && bytes[0] == 0xc2 && bytes[1] < 0xa0;
    return control || c1_control || bytes[0] == '\\' ? 0 : length;
}

static void write_escape(unsigned char byte)
{
    static const char from[] = "\\\t\n\r";
    static const char to[] = "\\tnr";
    const char *at = byte ? strchr(from, byte) : NULL;
    out_byte('\\');
    if (at) {
        out_byte(to[at - from]);
        return;
    }
    out_byte('x');
    write_hex(&byte, 1);
}

static void write_text(const unsigned char *bytes, size_t size)
{
    size_t start = 0; /* of the run that may be written as it is */
    size_t i = 0;
    while (i < size) {
        size_t length = printable_length(bytes + i, size - i);
        if (length) {
            i += length;
            continue;
        }
        out_bytes(bytes + start, i - start);
        write_escape(bytes[i++]);
        start = i;
    }
    out_bytes(bytes + start, size - start);
}

/* A backslash goes out as \5c: all readers take that, and mdb_load 0.9.24 spoils a \\ that stands
 * behind another escape. */
static void write_print(const unsigned char *bytes, size_t size)
{
    size_t start = 0; /* of the run that may be written as it is */
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] >= 0x20 && bytes[i] < 0x7f && bytes[i] != '\\')
            continue;
        out_bytes(bytes + start, i - start);
        out_byte('\\');
        write_hex(bytes + i, 1);
        start = i + 1;
    }
    out_bytes(bytes + start, size - start);
}

void encode_out(enum encoding encoding, const void *bytes, size_t size)
{
    if (!size)
        return;
    switch (encoding) {
    case ENCODING_TEXT:
        write_text(bytes, size);
        break;
    case ENCODING_HEX:
        write_hex(bytes, size);
        break;
    case ENCODING_RAW:
        out_bytes(bytes, size);
        break;
    case ENCODING_PRINT:
        write_print(bytes, size);
        break;
    }
}

/* ---- Reading ------------------------------------------------------------------------------- */

static const char *decode_hex(char *bytes, size_t *size, size_t *bad_at_out)
{
    size_t count = *size;
    for (size_t i = 0; i + 1 < count; i += 2) {
        int high = hex_value(bytes[i]);
        int low = hex_value(bytes[i + 1]);
        if (high < 0 || low < 0) {
            *bad_at_out = high < 0 ? i : i + 1;
            return "not a hexadecimal digit";
        }
        bytes[i / 2] = (char)(high << 4 | low);
    }
    if (count % 2) {
        *bad_at_out = count - 1;
        return "odd number of hexadecimal digits";
    }
    *size = count / 2;
    return NULL;
}

/* The byte that two digits at `bytes` of `size` stand for, or -1. */
static int hex_pair(const char *bytes, size_t size)
{
    if (size < 2 || hex_value(bytes[0]) < 0 || hex_value(bytes[1]) < 0)
        return -1;
    return hex_value(bytes[0]) << 4 | hex_value(bytes[1]);
}

/* Reads the escape behind a backslash in text spelling: the byte, or -1; *used_out characters. */
static int text_escape(const char *bytes, size_t size, size_t *used_out)
{
    static const char from[] = "\\tnr";
    static const char to[] = "\\\t\n\r";
    *used_out = 1;
    if (!size)
        return -1;
    const char *at = bytes[0] ? strchr(from, bytes[0]) : NULL;
    if (at)
        return to[at - from];
    *used_out = 3;
    return bytes[0] == 'x' ? hex_pair(bytes + 1, size - 1) : -1;
}

/* The same in Berkeley's print spelling. */
static int print_escape(const char *bytes, size_t size, size_t *used_out)
{
    *used_out = 1;
    if (size && bytes[0] == '\\')
        return '\\';
    *used_out = 2;
    return hex_pair(bytes, size);
}

static const char *decode_escapes(int (*escape)(const char *, size_t, size_t *), char *bytes,
                                  size_t *size, size_t *bad_at_out)
{
    const char *end = bytes + *size;
    const char *from = memchr(bytes, '\\', *size);
    if (!from)
        return NULL;
    char *to = bytes + (from - bytes);
    while (from < end) {
        if (*from != '\\') {
            *to++ = *from++;
            continue;
        }
        size_t used;
        int byte = escape(from + 1, (size_t)(end - from) - 1, &used);
        if (byte < 0) {
            *bad_at_out = (size_t)(from - bytes);
            return "bad escape after a backslash";
        }
        *to++ = (char)byte;
        from += 1 + used;
    }
    *size = (size_t)(to - bytes);
    return NULL;
}

const char *decode_in_place(enum encoding encoding, char *bytes, size_t *size, size_t *bad_at_out)
{
    *bad_at_out = 0;
    if (!*size)
        return NULL;
    switch (encoding) {
    case ENCODING_TEXT:
        return decode_escapes(text_escape, bytes, size, bad_at_out);
    case ENCODING_PRINT:
        return decode_escapes(print_escape, bytes, size, bad_at_out);
    case ENCODING_HEX:
        return decode_hex(bytes, size, bad_at_out);
    case ENCODING_RAW:
        break;
    }
    return NULL;
}
