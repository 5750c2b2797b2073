/* SPDX-License-Identifier: MIT */
/* One record in one of the formats of record_out.h. */
#include "record_out.h"

#include <string.h>

#include "json_out.h"
#include "out.h"

static void write_tsv(const struct record_style *style, const struct kv_val *key,
                      const struct kv_val *value)
{
    encode_out(style->encoding, key->data, key->size);
    if (!style->keys_only) {
        out_byte('\t');
        encode_out(style->encoding, value->data, value->size);
    }
    out_byte('\n');
}

static void write_json(const struct record_style *style, const struct kv_val *key,
                       const struct kv_val *value)
{
    struct json json = {0};
    bool hex = style->encoding == ENCODING_HEX;
    json_begin(&json, NULL, '{');
    if (style->table)
        json_bytes(&json, "table", style->table, strlen(style->table), false);
    json_bytes(&json, "key", key->data, key->size, hex);
    if (!style->keys_only)
        json_bytes(&json, "value", value->data, value->size, hex);
    json_end(&json, '}');
}

static void write_dump(const struct record_style *style, const struct kv_val *key,
                       const struct kv_val *value)
{
    out_byte(' ');
    encode_out(style->encoding, key->data, key->size);
    out_text("\n ");
    encode_out(style->encoding, value->data, value->size);
    out_byte('\n');
}

void record_out(const struct record_style *style, const struct kv_val *key,
                const struct kv_val *value)
{
    switch (style->format) {
    case RECORDS_TSV:
        write_tsv(style, key, value);
        break;
    case RECORDS_JSON:
        write_json(style, key, value);
        break;
    case RECORDS_DUMP:
        write_dump(style, key, value);
        break;
    }
}
