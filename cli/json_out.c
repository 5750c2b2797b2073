/* SPDX-License-Identifier: MIT */
/* Writing JSON; see json_out.h. */
#include "json_out.h"

#include <inttypes.h>
#include <string.h>

#include "encode.h"
#include "out.h"
#include "utf8.h"

static void write_escaped(unsigned char byte)
{
    switch (byte) {
    case '"':
        out_text("\\\"");
        break;
    case '\\':
        out_text("\\\\");
        break;
    case '\n':
        out_text("\\n");
        break;
    case '\t':
        out_text("\\t");
        break;
    case '\r':
        out_text("\\r");
        break;
    default:
        out_format("\\u%04x", byte);
    }
}

static void write_string(const void *bytes, size_t size)
{
    const unsigned char *at = bytes;
    const unsigned char *end = size ? at + size : at;
    out_byte('"');
    while (at < end) {
        size_t length = utf8_length(at, (size_t)(end - at));
        if (!length) {
            out_text("\xef\xbf\xbd");
            at++;
        } else if (*at < 0x20 || *at == 0x7f || *at == '"' || *at == '\\') {
            write_escaped(*at++);
        } else {
            out_bytes(at, length);
            at += length;
        }
    }
    out_byte('"');
}

static void begin_value(struct json *json, const char *name, const char *suffix)
{
    if (json->comma)
        out_byte(',');
    json->comma = json->depth > 0;
    if (name)
        out_format("\"%s%s\":", name, suffix);
}

static void end_value(const struct json *json)
{
    if (!json->depth)
        out_byte('\n');
}

void json_begin(struct json *json, const char *name, char bracket)
{
    begin_value(json, name, "");
    out_byte(bracket);
    json->depth++;
    json->comma = false;
}

void json_end(struct json *json, char bracket)
{
    out_byte(bracket);
    json->depth--;
    json->comma = json->depth > 0;
    end_value(json);
}

void json_number(struct json *json, const char *name, uint64_t number)
{
    begin_value(json, name, "");
    out_format("%" PRIu64, number);
    end_value(json);
}

void json_bool(struct json *json, const char *name, bool value)
{
    begin_value(json, name, "");
    out_text(value ? "true" : "false");
    end_value(json);
}

void json_null(struct json *json, const char *name)
{
    begin_value(json, name, "");
    out_text("null");
    end_value(json);
}

void json_text(struct json *json, const char *name, const char *text)
{
    begin_value(json, name, "");
    write_string(text, strlen(text));
    end_value(json);
}

void json_bytes(struct json *json, const char *name, const void *bytes, size_t size, bool hex)
{
    hex = hex || (size && !utf8_valid(bytes, size));
    begin_value(json, name, hex ? "_hex" : "");
    if (hex) {
        out_byte('"');
        encode_out(ENCODING_HEX, bytes, size);
        out_byte('"');
    } else {
        write_string(bytes, size);
    }
    end_value(json);
}
