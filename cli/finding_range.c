/* SPDX-License-Identifier: MIT */
/* Ranges of keys as output; see finding_range.h. */
#include "finding_range.h"

#include <stdio.h>

#define SHOWN_BYTES 40u /* of a key in a message */

static void write_bound(struct json *json, const char *name, const struct kv_val *key)
{
    if (key)
        json_bytes(json, name, key->data, key->size, false);
    else
        json_null(json, name);
}

void range_json(struct json *json, const struct kv_val *from, const struct kv_val *to)
{
    write_bound(json, "from", from);
    write_bound(json, "to", to);
}

static size_t add_text(char *text, size_t size, size_t used, const char *more)
{
    int count = snprintf(text + used, size - used, "%s", more);
    return used + (size_t)count < size ? used + (size_t)count : size - 1;
}

/* A key in printable ASCII, \xHH for the rest. */
static size_t add_key(char *text, size_t size, size_t used, const struct kv_val *key)
{
    const unsigned char *bytes = key->data;
    char one[8];
    for (size_t i = 0; i < key->size && i < SHOWN_BYTES; i++) {
        snprintf(one, sizeof one, bytes[i] >= ' ' && bytes[i] < 0x7f ? "%c" : "\\x%02x", bytes[i]);
        used = add_text(text, size, used, bytes[i] == '\\' ? "\\\\" : one);
    }
    return key->size > SHOWN_BYTES ? add_text(text, size, used, "...") : used;
}

const char *range_text(const struct kv_val *from, const struct kv_val *to, char *text, size_t size)
{
    size_t used = add_text(text, size, 0, ", keys from ");
    used = from ? add_key(text, size, used, from) : add_text(text, size, used, "the first");
    used = add_text(text, size, used, to ? " to before " : " to the last");
    if (to)
        add_key(text, size, used, to);
    return text;
}

const char *key_text(const struct kv_val *key, char *text, size_t size)
{
    size_t used = add_text(text, size, 0, ", key ");
    add_key(text, size, used, key);
    return text;
}
