/* SPDX-License-Identifier: MIT */
/*
 * What a subcommand is: a row of options, a text for --help, and a function.
 *
 * Options that several subcommands share are parsed once, in options.c, into struct common; a
 * subcommand keeps its own in static variables of its file, since a process runs one. argv[0] of
 * run is the database's path, and argc is within the subcommand's bounds.
 */
#ifndef KVCTL_COMMAND_H
#define KVCTL_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#include "encode.h"
#include "kv.h"

/* struct command.common: which of the shared options it takes */
#define COMMON_TABLE 0x01u    /* --table */
#define COMMON_BYTES 0x02u    /* --hex --raw */
#define COMMON_JSON 0x04u     /* --json */
#define COMMON_READONLY 0x08u /* --read-only; what takes it not opens so where it can */
#define COMMON_WRITE 0x10u    /* --lazy --timeout */
#define COMMON_CREATE 0x20u   /* --no-create --page-size --max-size */
#define COMMON_DATABASE 0x40u /* --no-lock: all that open one */
#define COMMON_RANGE 0x80u    /* --prefix --from --to */
#define COMMON_NEW 0x0200u    /* --page-size --max-size, of one that is always made */
#define COMMON_SHAPE 0x0100u  /* --dup --order and so on: what a table that is made is */

struct common {
    const char *path;       /* the database */
    const char *table;      /* name, escapes decoded; NULL: the main table */
    enum encoding encoding; /* of keys and values; text by default */
    bool json;
    bool read_only;
    bool no_lock;
    bool lazy;
    bool no_create;
    uint32_t timeout_ms;     /* for the writer lock; 0: none */
    uint32_t page_size;      /* at creation; 0: default */
    uint64_t max_size_bytes; /* 0: none */
    char *prefix;            /* COMMON_RANGE, as given; NULL: not */
    char *from;
    char *to;
    bool shape_given; /* any of COMMON_SHAPE, else `shape` is not to be used */
    struct kv_table_options shape;
};

struct option_row {
    const char *name; /* long option; NULL ends a list */
    int letter;       /* its short form, or 0 */
    int id;           /* handed to take, from 1 up and below OPTION_ID_COMMON */
    const char *arg;  /* name of its argument; NULL: has none */
    const char *help; /* one line */
};

#define OPTION_ID_COMMON 1000

struct command {
    const char *verb;
    const char *args;    /* what stands behind the options, for the usage line */
    const char *summary; /* one line */
    const char *details; /* a few lines, or NULL */
    const char *example; /* one or more whole lines */
    uint32_t common;
    int args_min;                                             /* arguments, the database included */
    int args_max;                                             /* -1: any number */
    const struct option_row *options;                         /* its own, or NULL */
    int (*take)(int id, char *arg);                           /* an own option; returns a status */
    int (*run)(const struct common *, int argc, char **argv); /* returns a status */
};

extern const struct command cmd_add;
extern const struct command cmd_check;
extern const struct command cmd_copy;
extern const struct command cmd_count;
extern const struct command cmd_del;
extern const struct command cmd_drop;
extern const struct command cmd_dump;
extern const struct command cmd_get;
extern const struct command cmd_import;
extern const struct command cmd_load;
extern const struct command cmd_marker;
extern const struct command cmd_nth;
extern const struct command cmd_put;
extern const struct command cmd_rank;
extern const struct command cmd_readers;
extern const struct command cmd_salvage;
extern const struct command cmd_scan;
extern const struct command cmd_sequence;
extern const struct command cmd_stat;
extern const struct command cmd_tables;
extern const struct command cmd_trim;

#endif
