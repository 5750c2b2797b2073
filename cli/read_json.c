/* SPDX-License-Identifier: MIT */
/*
 * JSON lines: a record is an object on a line of its own, with a string "key" or "key_hex", a
 * string "value" or "value_hex", and perhaps a string "table"; or a "table" alone, which is to
 * exist. Blank lines are passed over. Anything else, and text that would not come back as it is,
 * makes a bad record.
 *
 * json-c parses. It reads an escaped half of a surrogate pair without the other as U+FFFD, which
 * would change the data without a word, so those are looked for here.
 */
#include <json-c/json.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "record_in.h"

#define JSON_DEPTH_MAX 4 /* a record needs one */

/* The member that `name` with or without _hex may be, and what was found. */
struct member {
    const char *name;
    bool required;
    bool found;
    bool hex;
    struct kv_val bytes; /* of the JSON string */
};

enum { MEMBER_KEY, MEMBER_VALUE, MEMBER_TABLE, MEMBERS_COUNT };

/* The code unit of the escape \uXXXX at `at`, or -1. */
static long escaped_unit(const char *at, const char *end)
{
    char digits[5] = {0};
    char *stop;
    if (end - at < 6 || at[0] != '\\' || at[1] != 'u')
        return -1;
    memcpy(digits, at + 2, 4);
    long unit = strtol(digits, &stop, 16);
    return *stop ? -1 : unit;
}

/* Where a half of a surrogate pair stands alone in the line, or NULL. */
static const char *find_lone_surrogate(const char *line, size_t size)
{
    const char *end = line + size;
    const char *at = memchr(line, '\\', size);
    while (at && at + 1 < end) {
        long unit = escaped_unit(at, end);
        const char *start = at;
        at += 2;
        if (unit >= 0xdc00 && unit <= 0xdfff)
            return start;
        if (unit >= 0xd800 && unit <= 0xdbff) {
            long second = escaped_unit(start + 6, end);
            if (second < 0xdc00 || second > 0xdfff)
                return start;
            at = start + 12;
        }
        at = memchr(at, '\\', (size_t)(end - at));
    }
    return NULL;
}

static enum read_result parse_line(struct record_in *in)
{
    const struct source *source = in->source;
    if (source->line_size > INT_MAX)
        return record_in_fault(in, READ_BAD, 0, "line too long for JSON");
    if (!in->tokener && !(in->tokener = json_tokener_new_ex(JSON_DEPTH_MAX)))
        return record_in_fault(in, READ_FATAL, 0, "out of memory");
    json_tokener_reset(in->tokener);
    json_tokener_set_flags(in->tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    json_object_put(in->object);
    in->object = json_tokener_parse_ex(in->tokener, source->line, (int)source->line_size);
    enum json_tokener_error error = json_tokener_get_error(in->tokener);
    size_t end = json_tokener_get_parse_end(in->tokener);
    if (error == json_tokener_continue)
        return record_in_fault(in, READ_BAD, source->line_size, "the line ends inside the JSON");
    if (error != json_tokener_success)
        return record_in_fault(in, READ_BAD, end, "%s", json_tokener_error_desc(error));
    if (end + strspn(source->line + end, " \t\r") != source->line_size)
        return record_in_fault(in, READ_BAD, end, "something behind the JSON object");
    if (!json_object_is_type(in->object, json_type_object))
        return record_in_fault(in, READ_BAD, 0, "not a JSON object");
    return READ_RECORD;
}

static struct member *find_member(struct member *members, const char *name, bool *hex_out)
{
    for (size_t i = 0; i < MEMBERS_COUNT; i++) {
        size_t size = strlen(members[i].name);
        if (strncmp(name, members[i].name, size) != 0)
            continue;
        *hex_out = !strcmp(name + size, "_hex");
        if (!name[size] || *hex_out)
            return &members[i];
    }
    return NULL;
}

static enum read_result take_member(struct record_in *in, struct member *members, const char *name,
                                    struct json_object *object)
{
    bool hex = false;
    struct member *member = find_member(members, name, &hex);
    if (!member)
        return record_in_fault(in, READ_BAD, 0, "unknown member \"%.60s\"", name);
    if (member->found)
        return record_in_fault(in, READ_BAD, 0, "both %s and %s_hex", member->name, member->name);
    if (!json_object_is_type(object, json_type_string))
        return record_in_fault(in, READ_BAD, 0, "member \"%s\" is not a string", name);
    member->found = true;
    member->hex = hex;
    member->bytes.size = (size_t)json_object_get_string_len(object);
    member->bytes.data = (char *)(uintptr_t)json_object_get_string(object); /* read only */
    return READ_RECORD;
}

/* Gives the member's bytes, hexadecimal decoded into `buffer`. */
static enum read_result decode_member(struct record_in *in, const struct member *member,
                                      struct buffer *buffer, struct kv_val *out)
{
    size_t bad_at;
    if (!member->found && member->required)
        return record_in_fault(in, READ_BAD, 0, "no %s and no %s_hex", member->name, member->name);
    *out = member->bytes;
    if (!member->hex)
        return READ_RECORD;
    if (buffer_set(buffer, member->bytes.data, member->bytes.size))
        return record_in_fault(in, READ_FATAL, 0, "out of memory");
    const char *why = decode_in_place(ENCODING_HEX, buffer->data, &buffer->size, &bad_at);
    *out = (struct kv_val){buffer->size, buffer->data};
    return why ? record_in_fault(in, READ_BAD, 0, "%s_hex: %s", member->name, why) : READ_RECORD;
}

static enum read_result take_table(struct record_in *in, const struct member *member,
                                   struct record *record)
{
    struct kv_val name;
    enum read_result result = decode_member(in, member, &in->table, &name);
    if (result != READ_RECORD || !member->found)
        return result;
    if (in->one_table)
        return record_in_fault(in, READ_BAD, 0, "a table is named, and one by --table");
    if (name.size && memchr(name.data, 0, name.size))
        return record_in_fault(in, READ_BAD, 0, "zero byte in the name of the table");
    if (!member->hex && buffer_set(&in->table, name.data, name.size))
        return record_in_fault(in, READ_FATAL, 0, "out of memory");
    if (buffer_add(&in->table, "", 1))
        return record_in_fault(in, READ_FATAL, 0, "out of memory");
    record->table = in->table.data;
    return READ_RECORD;
}

static enum read_result take_members(struct record_in *in, struct record *record)
{
    struct member members[MEMBERS_COUNT] = {
        [MEMBER_KEY] = {.name = "key", .required = true},
        [MEMBER_VALUE] = {.name = "value", .required = true},
        [MEMBER_TABLE] = {.name = "table"},
    };
    json_object_object_foreach(in->object, name, object)
    {
        enum read_result taken = take_member(in, members, name, object);
        if (taken != READ_RECORD)
            return taken;
    }
    enum read_result result = take_table(in, &members[MEMBER_TABLE], record);
    if (result == READ_RECORD && record->table && !members[MEMBER_KEY].found &&
        !members[MEMBER_VALUE].found)
        return READ_TABLE;
    if (result == READ_RECORD)
        result = decode_member(in, &members[MEMBER_KEY], &in->key, &record->key);
    if (result == READ_RECORD)
        result = decode_member(in, &members[MEMBER_VALUE], &in->value, &record->value);
    return result;
}

enum read_result read_json(struct record_in *in, struct record *record)
{
    const struct source *source = in->source;
    enum read_result result;
    do {
        result = record_in_line(in);
        if (result != READ_RECORD)
            return result;
    } while (strspn(source->line, " \t\r") == source->line_size);
    record->line = source->line_number;
    record->offset = source->line_offset;
    const char *lone = find_lone_surrogate(source->line, source->line_size);
    if (lone)
        return record_in_fault(in, READ_BAD, (size_t)(lone - source->line),
                               "half of a surrogate pair");
    result = parse_line(in);
    return result == READ_RECORD ? take_members(in, record) : result;
}

void record_in_free(struct record_in *in)
{
    buffer_free(&in->key);
    buffer_free(&in->value);
    buffer_free(&in->table);
    json_object_put(in->object);
    if (in->tokener)
        json_tokener_free(in->tokener);
}
