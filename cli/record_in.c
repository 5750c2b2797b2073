/* SPDX-License-Identifier: MIT */
/* What the input formats share: detection, lines, faults; see record_in.h. */
#include "record_in.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "status.h"

/* "Name: ..." as a stanza's first line has it. */
static bool is_field(const char *line, size_t size)
{
    const char *colon = memchr(line, ':', size);
    if (!colon || colon == line)
        return false;
    for (const char *at = line; at < colon; at++) {
        if (*at <= ' ' || *at > '~')
            return false;
    }
    return true;
}

static bool is_blank(const struct source *source)
{
    return strspn(source->line, " \r") == source->line_size;
}

/* The format of an input whose first line is the current one, or, if `blank` lines stood in front
 * of it, whose first line of use. */
static enum input_format detect(const struct source *source, bool blank)
{
    static const char dump_start[] = "VERSION=";
    if (!blank && !strncmp(source->line, dump_start, sizeof dump_start - 1))
        return INPUT_BDB;
    if (source->line[strspn(source->line, " \t")] == '{')
        return INPUT_JSON;
    if (!blank && memchr(source->line, '\t', source->line_size))
        return INPUT_TSV;
    return is_field(source->line, source->line_size) ? INPUT_RFC822 : INPUT_DETECT;
}

int record_in_detect(struct record_in *in)
{
    if (in->format != INPUT_DETECT)
        return STATUS_DONE;
    bool blank = false;
    int got = source_next(in->source);
    while (got > 0 && is_blank(in->source)) {
        blank = true;
        got = source_next(in->source);
    }
    if (got < 0)
        return status_failed("cannot read %s: %s", in->source->name, strerror(errno));
    if (!got) { /* an empty input has no records, whatever its format */
        in->format = INPUT_TSV;
        return STATUS_DONE;
    }
    in->format = detect(in->source, blank);
    source_hold(in->source);
    if (in->format == INPUT_DETECT)
        return status_failed("%s: cannot tell the format by the first line; see --format",
                             in->source->name);
    return STATUS_DONE;
}

enum read_result record_in_fault(struct record_in *in, enum read_result result, size_t at,
                                 const char *format, ...)
{
    va_list args;
    va_start(args, format);
    in->fault.line = in->source->line_number;
    in->fault.offset = in->source->line_offset + at;
    vsnprintf(in->fault.what, sizeof in->fault.what, format, args);
    va_end(args);
    return result;
}

enum read_result record_in_line(struct record_in *in)
{
    int got = source_next(in->source);
    if (got < 0)
        return record_in_fault(in, READ_FATAL, in->source->line_size, "cannot read on: %s",
                               strerror(errno));
    return got ? READ_RECORD : READ_END;
}

enum read_result record_in_next(struct record_in *in, struct record *record)
{
    *record = (struct record){0};
    switch (in->format) {
    case INPUT_BDB:
        return read_bdb(in, record);
    case INPUT_JSON:
        return read_json(in, record);
    case INPUT_RFC822:
        return read_rfc822(in, record);
    case INPUT_DETECT:
    case INPUT_TSV:
        break;
    }
    return read_tsv(in, record);
}
