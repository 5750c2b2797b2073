/* SPDX-License-Identifier: MIT */
/*
 * Reading records in the formats that `kvctl load` takes, one at a time: memory is bounded by the
 * largest record.
 *
 * A reader is a source and a function for the format, record_in_next. A bad record is skipped as it
 * is reported: the next call gives the one behind it. Where the input itself is not to be followed
 * any more (a header that is refused, a section cut short, a read error), the result is READ_FATAL.
 * Every fault has its place: line and byte offset of the byte that is wrong, or of the record.
 */
#ifndef KVCTL_RECORD_IN_H
#define KVCTL_RECORD_IN_H

#include <stdbool.h>
#include <stdint.h>

#include "buffer.h"
#include "encode.h"
#include "kv.h"
#include "source.h"

struct json_tokener;
struct json_object;

enum input_format { INPUT_DETECT, INPUT_BDB, INPUT_TSV, INPUT_JSON, INPUT_RFC822 };

enum read_result {
    READ_RECORD,
    READ_TABLE, /* no record, but a table that is to exist: only record.table and shape are set */
    READ_END,
    READ_BAD,
    READ_FATAL
};

struct fault {
    uint64_t line;   /* from 1 */
    uint64_t offset; /* bytes from the start of the input */
    char what[120];
};

struct record {
    struct kv_val key; /* until the next call, like value and table */
    struct kv_val value;
    const char *table;                    /* that the record names; NULL: it names none */
    const struct kv_table_options *shape; /* READ_TABLE: what the table is; NULL: not said */
    uint64_t line;                        /* where the record starts */
    uint64_t offset;
};

struct record_in {
    struct source *source;
    enum input_format format;
    enum encoding encoding; /* tab-separated input */
    const char *key_field;  /* RFC 822 stanzas */
    bool one_table;         /* the user named the table: names in the input do not count, and an
                             * input that holds several tables is refused */
    struct fault fault;     /* of READ_BAD and READ_FATAL */
    /* what a format keeps from line to line */
    struct buffer key;
    struct buffer value;
    struct buffer table;           /* zero-terminated when used */
    bool in_data;                  /* Berkeley: between HEADER=END and DATA=END */
    bool started;                  /* Berkeley: a section was seen */
    bool print;                    /* Berkeley: format=print */
    bool named;                    /* Berkeley: the section has a database name, in table */
    struct kv_table_options shape; /* Berkeley: what the section's header says */
    struct json_tokener *tokener;
    struct json_object *object; /* owns the strings of the last record */
};

/* Finds the format by the first line, if it is to be detected. Returns a status. */
int record_in_detect(struct record_in *in);

enum read_result record_in_next(struct record_in *in, struct record *record);

void record_in_free(struct record_in *in);

/* For the formats: notes a fault at byte `at` of the current line and returns `result`. */
enum read_result record_in_fault(struct record_in *in, enum read_result result, size_t at,
                                 const char *format, ...) __attribute__((format(printf, 4, 5)));

/* For the formats: steps to the next line as source_next does: READ_RECORD, READ_END, READ_FATAL.
 */
enum read_result record_in_line(struct record_in *in);

enum read_result read_bdb(struct record_in *in, struct record *record);
enum read_result read_tsv(struct record_in *in, struct record *record);
enum read_result read_json(struct record_in *in, struct record *record);
enum read_result read_rfc822(struct record_in *in, struct record *record);

#endif
