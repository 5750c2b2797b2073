/* SPDX-License-Identifier: MIT */
/*
 * The Berkeley DB dump format, as db_dump and mdb_dump write it. Sections one behind the other:
 *
 *     VERSION=3
 *     format=bytevalue        or print
 *     database=NAME           absent: the main table
 *     type=btree              or hash
 *     (other NAME=VALUE lines)
 *     HEADER=END
 *      6b6579                 a blank, the key
 *      76616c7565             a blank, the value
 *     DATA=END
 *
 * Header lines that tell a table's kind (shape.h) are followed. What would change the meaning of
 * the records otherwise is refused: records without keys, a user's own order. Other lines do not
 * matter here. A section without DATA=END was cut short.
 */
#include <string.h>

#include "record_in.h"
#include "shape.h"

static enum read_result out_of_memory(struct record_in *in)
{
    return record_in_fault(in, READ_FATAL, 0, "out of memory");
}

static bool name_is(const struct source *source, size_t name_size, const char *name)
{
    return strlen(name) == name_size && !memcmp(source->line, name, name_size);
}

static enum read_result take_name(struct record_in *in, const char *value, size_t size)
{
    if (memchr(value, 0, size))
        return record_in_fault(in, READ_FATAL, 0, "zero byte in the name of a table");
    if (buffer_set(&in->table, value, size) || buffer_add(&in->table, "", 1))
        return out_of_memory(in);
    in->named = true;
    return READ_RECORD;
}

static enum read_result take_format(struct record_in *in, const char *value)
{
    in->print = !strcmp(value, "print");
    if (!in->print && strcmp(value, "bytevalue") != 0)
        return record_in_fault(in, READ_FATAL, 0, "unknown format %.40s", value);
    return READ_RECORD;
}

/* One line NAME=VALUE of a header. */
static enum read_result take_header_line(struct record_in *in)
{
    const struct source *source = in->source;
    const char *equals = memchr(source->line, '=', source->line_size);
    if (!equals)
        return record_in_fault(in, READ_FATAL, 0, "no header line NAME=VALUE");
    const char *value = equals + 1;
    size_t name_size = (size_t)(equals - source->line);
    if (name_is(source, name_size, "VERSION") && strcmp(value, "3") != 0 && strcmp(value, "2") != 0)
        return record_in_fault(in, READ_FATAL, 0, "unknown version %.40s", value);
    if (name_is(source, name_size, "format"))
        return take_format(in, value);
    if (name_is(source, name_size, "database"))
        return take_name(in, value, source->line_size - name_size - 1);
    if (name_is(source, name_size, "type") && strcmp(value, "btree") != 0 &&
        strcmp(value, "hash") != 0)
        return record_in_fault(in, READ_FATAL, 0, "tables of type %.40s are not supported", value);
    if (shape_take_header(source->line, name_size, value, &in->shape))
        return READ_RECORD;
    if (name_is(source, name_size, "comparator") ||
        (name_is(source, name_size, "recnum") && strcmp(value, "0") != 0) ||
        (name_is(source, name_size, "keys") && !strcmp(value, "0")))
        return record_in_fault(in, READ_FATAL, 0, "tables with %.60s are not supported",
                               source->line);
    return READ_RECORD;
}

/* Reads a section's header, if there is one more. */
static enum read_result read_header(struct record_in *in)
{
    enum read_result result = record_in_line(in);
    if (result != READ_RECORD)
        return result;
    if (strncmp(in->source->line, "VERSION=", 8) != 0)
        return record_in_fault(in, READ_FATAL, 0, "a section begins with VERSION=");
    if (in->started && in->one_table)
        return record_in_fault(in, READ_FATAL, 0, "a second table; see --table");
    in->started = true;
    in->print = false;
    in->named = false;
    in->shape = (struct kv_table_options)KV_TABLE_OPTIONS_INIT;
    while (result == READ_RECORD && strcmp(in->source->line, "HEADER=END") != 0) {
        result = take_header_line(in);
        if (result == READ_RECORD)
            result = record_in_line(in);
    }
    if (result == READ_END)
        return record_in_fault(in, READ_FATAL, in->source->line_size, "input ends in a header");
    in->in_data = result == READ_RECORD;
    return result;
}

/* Decodes the current line, a blank and data, within the line. */
static enum read_result take_data(struct record_in *in, struct kv_val *out)
{
    struct source *source = in->source;
    size_t bad_at;
    if (!source->line_size || source->line[0] != ' ')
        return record_in_fault(in, READ_BAD, 0, "no blank at the start of a line of data");
    *out = (struct kv_val){source->line_size - 1, source->line + 1};
    const char *why =
        decode_in_place(in->print ? ENCODING_PRINT : ENCODING_HEX, out->data, &out->size, &bad_at);
    return why ? record_in_fault(in, READ_BAD, 1 + bad_at, "%s", why) : READ_RECORD;
}

static bool at_data_end(const struct source *source)
{
    return !strcmp(source->line, "DATA=END");
}

/* Steps to a line of data. The end of the input is not expected here. */
static enum read_result next_data_line(struct record_in *in)
{
    enum read_result result = record_in_line(in);
    if (result == READ_END)
        return record_in_fault(in, READ_FATAL, in->source->line_size, "input ends before DATA=END");
    return result;
}

/* The current line is a key's: reads it and the value behind it. A line that is not even data is
 * skipped alone; a bad key takes its value along. */
static enum read_result read_pair(struct record_in *in, struct record *record)
{
    struct fault key_fault;
    bool skip_one = !in->source->line_size || in->source->line[0] != ' ';
    enum read_result verdict = take_data(in, &record->key);
    if (skip_one)
        return verdict;
    if (verdict == READ_RECORD && buffer_set(&in->key, record->key.data, record->key.size))
        return out_of_memory(in);
    key_fault = in->fault;
    enum read_result result = next_data_line(in);
    if (result != READ_RECORD)
        return result;
    if (at_data_end(in->source)) {
        source_hold(in->source);
        return record_in_fault(in, READ_BAD, 0, "a key without a value");
    }
    record->key.data = in->key.data;
    result = take_data(in, &record->value);
    if (verdict == READ_RECORD)
        return result;
    in->fault = key_fault;
    return verdict;
}

enum read_result read_bdb(struct record_in *in, struct record *record)
{
    for (;;) {
        bool between = !in->in_data;
        enum read_result result = between ? read_header(in) : next_data_line(in);
        if (result != READ_RECORD)
            return result;
        record->line = in->source->line_number;
        record->offset = in->source->line_offset;
        record->table = in->named && !in->one_table ? in->table.data : NULL;
        record->shape = shape_is_plain(&in->shape) ? NULL : &in->shape;
        if (between)
            return READ_TABLE;
        if (!at_data_end(in->source))
            return read_pair(in, record);
        in->in_data = false;
    }
}
