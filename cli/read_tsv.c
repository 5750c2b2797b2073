/* SPDX-License-Identifier: MIT */
/*
 * Tab-separated input: a record is a line, the key all before the first tab, the value all behind
 * it, both spelled in the encoding of the options. Decoded within the line.
 */
#include <string.h>

#include "record_in.h"

static enum read_result decode(struct record_in *in, char *bytes, size_t size, struct kv_val *out)
{
    size_t bad_at;
    size_t start = (size_t)(bytes - in->source->line);
    *out = (struct kv_val){size, bytes};
    const char *why = decode_in_place(in->encoding, bytes, &out->size, &bad_at);
    return why ? record_in_fault(in, READ_BAD, start + bad_at, "%s", why) : READ_RECORD;
}

enum read_result read_tsv(struct record_in *in, struct record *record)
{
    struct source *source = in->source;
    enum read_result result = record_in_line(in);
    if (result != READ_RECORD)
        return result;
    record->line = source->line_number;
    record->offset = source->line_offset;
    char *tab = memchr(source->line, '\t', source->line_size);
    if (!tab)
        return record_in_fault(in, READ_BAD, 0, "no tab between key and value");
    size_t key_size = (size_t)(tab - source->line);
    result = decode(in, source->line, key_size, &record->key);
    if (result == READ_RECORD)
        result = decode(in, tab + 1, source->line_size - key_size - 1, &record->value);
    return result;
}
