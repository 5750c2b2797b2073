/* SPDX-License-Identifier: MIT */
/*
 * Stanzas as mail headers and Debian's control files have them: lines "Name: text", lines that
 * begin with a blank continue the one before, blank lines part the stanzas. A record is a stanza:
 * its key the text of one field, its value the whole stanza, each line with its newline.
 */
#include <string.h>
#include <strings.h>

#include "record_in.h"

static bool is_space(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r';
}

static bool is_blank(const struct source *source)
{
    return strspn(source->line, " \t\r") == source->line_size;
}

/* If the current line is the key's field, *at_out and *size_out tell where its text stands. */
static bool find_key(const struct record_in *in, size_t *at_out, size_t *size_out)
{
    const struct source *source = in->source;
    size_t name_size = strlen(in->key_field);
    if (source->line_size <= name_size || source->line[name_size] != ':' ||
        strncasecmp(source->line, in->key_field, name_size) != 0)
        return false;
    size_t at = name_size + 1;
    size_t end = source->line_size;
    while (at < end && is_space(source->line[at]))
        at++;
    while (end > at && is_space(source->line[end - 1]))
        end--;
    *at_out = at;
    *size_out = end - at;
    return true;
}

/* What is wrong with the current line as a line of a stanza, or NULL. */
static const char *judge_line(const struct record_in *in, bool first)
{
    const struct source *source = in->source;
    const char *colon = memchr(source->line, ':', source->line_size);
    if (source->line[0] == ' ' || source->line[0] == '\t')
        return first ? "a stanza begins with a continuation line" : NULL;
    return !colon || colon == source->line ? "neither a field nor a continuation of one" : NULL;
}

/* Takes the current line into the stanza; *found counts key fields. */
static enum read_result take_line(struct record_in *in, bool first, unsigned *found)
{
    const struct source *source = in->source;
    size_t at;
    size_t size;
    const char *why = judge_line(in, first);
    if (why)
        return record_in_fault(in, READ_BAD, 0, "%s", why);
    if (buffer_add(&in->value, source->line, source->line_size) || buffer_add(&in->value, "\n", 1))
        return record_in_fault(in, READ_FATAL, 0, "out of memory");
    if (!find_key(in, &at, &size))
        return READ_RECORD;
    if ((*found)++)
        return record_in_fault(in, READ_BAD, 0, "a second %s field", in->key_field);
    if (buffer_set(&in->key, source->line + at, size))
        return record_in_fault(in, READ_FATAL, 0, "out of memory");
    return READ_RECORD;
}

/* Steps to the first line of the next stanza. */
static enum read_result find_stanza(struct record_in *in)
{
    enum read_result result = record_in_line(in);
    while (result == READ_RECORD && is_blank(in->source))
        result = record_in_line(in);
    return result;
}

enum read_result read_rfc822(struct record_in *in, struct record *record)
{
    unsigned found = 0;
    enum read_result verdict = READ_RECORD; /* on the stanza; a bad one is read to its end */
    enum read_result result = find_stanza(in);
    if (result != READ_RECORD)
        return result;
    record->line = in->source->line_number;
    record->offset = in->source->line_offset;
    in->value.size = 0;
    for (bool first = true; result == READ_RECORD && !is_blank(in->source); first = false) {
        if (verdict == READ_RECORD)
            verdict = take_line(in, first, &found);
        if (verdict == READ_FATAL)
            return verdict;
        result = record_in_line(in);
    }
    if (result == READ_FATAL)
        return result;
    if (verdict == READ_RECORD && !found) {
        verdict = record_in_fault(in, READ_BAD, 0, "no %s field in the stanza", in->key_field);
        in->fault.line = record->line;
        in->fault.offset = record->offset;
    }
    record->key = (struct kv_val){in->key.size, in->key.data};
    record->value = (struct kv_val){in->value.size, in->value.data};
    return verdict;
}
