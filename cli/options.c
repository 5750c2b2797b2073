/* SPDX-License-Identifier: MIT */
/*
 * Command lines. The shared options stand in one table, each with the COMMON_ bit of the commands
 * that take it; getopt_long's tables and the help text are both made from it and from the command's
 * rows.
 */
#include "options.h"

#include <ctype.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "out.h"
#include "shape.h"
#include "status.h"

#define OPTIONS_MAX 40 /* rows of one command, shared ones included */

enum {
    ID_TABLE = OPTION_ID_COMMON,
    ID_HEX,
    ID_RAW,
    ID_JSON,
    ID_READONLY,
    ID_LAZY,
    ID_TIMEOUT,
    ID_NO_CREATE,
    ID_PAGE_SIZE,
    ID_MAX_SIZE,
    ID_NO_LOCK,
    ID_PREFIX,
    ID_FROM,
    ID_TO,
    ID_DUP,
    ID_FIXED,
    ID_COUNTED,
    ID_ORDER,
    ID_VALUE_ORDER,
    ID_ALIGN,
    ID_HELP
};

static const struct {
    uint32_t bit; /* 0: every command */
    struct option_row row;
} shared_options[] = {
    {COMMON_TABLE, {"table", 't', ID_TABLE, "NAME", "the named table (default: the main table)"}},
    {COMMON_RANGE, {"prefix", 'p', ID_PREFIX, "KEY", "keys that start with KEY"}},
    {COMMON_RANGE, {"from", 'f', ID_FROM, "KEY", "keys that are not below KEY"}},
    {COMMON_RANGE, {"to", 'T', ID_TO, "KEY", "keys below KEY"}},
    {COMMON_BYTES, {"hex", 'x', ID_HEX, NULL, "keys and values in hexadecimal"}},
    {COMMON_BYTES, {"raw", 'r', ID_RAW, NULL, "keys and values as they are, no escapes"}},
    {COMMON_JSON, {"json", 'j', ID_JSON, NULL, "write JSON"}},
    {COMMON_CREATE, {"no-create", 0, ID_NO_CREATE, NULL, "database and table must exist"}},
    {COMMON_CREATE | COMMON_NEW,
     {"page-size", 0, ID_PAGE_SIZE, "BYTES", "of a new database: 4K to 64K (4K)"}},
    {COMMON_CREATE | COMMON_NEW,
     {"max-size", 0, ID_MAX_SIZE, "BYTES", "the file may not grow beyond this"}},
    {COMMON_SHAPE, {"dup", 0, ID_DUP, NULL, "new table: many values a key, in order"}},
    {COMMON_SHAPE,
     {"fixed", 0, ID_FIXED, "BYTES", "new table: --dup, values of one size (0: any)"}},
    {COMMON_SHAPE, {"counted", 0, ID_COUNTED, NULL, "new table: count, nth, rank at once"}},
    {COMMON_SHAPE, {"order", 0, ID_ORDER, "ORDER", "new table: of keys: bytes, reverse or uint"}},
    {COMMON_SHAPE, {"value-order", 0, ID_VALUE_ORDER, "ORDER", "new table: of a key's values"}},
    {COMMON_SHAPE, {"align", 0, ID_ALIGN, "BYTES", "new table: values at multiples of 8 or 16"}},
    {COMMON_WRITE, {"lazy", 0, ID_LAZY, NULL, "commits do not wait for the disk, the close does"}},
    {COMMON_WRITE, {"timeout", 0, ID_TIMEOUT, "MS", "wait no longer for another writer"}},
    {COMMON_READONLY, {"read-only", 0, ID_READONLY, NULL, "do not write, and let writers go on"}},
    {COMMON_DATABASE, {"no-lock", 0, ID_NO_LOCK, NULL, "no lock file; you keep writers away"}},
    {0, {"help", 'h', ID_HELP, NULL, "print this text"}},
};

#define SHARED_COUNT (sizeof shared_options / sizeof shared_options[0])

/* The command's rows, its own first. */
static int gather_rows(const struct command *command, const struct option_row **rows)
{
    int count = 0;
    for (const struct option_row *row = command->options; row && row->name; row++)
        rows[count++] = row;
    for (size_t i = 0; i < SHARED_COUNT; i++) {
        if (!shared_options[i].bit || (command->common & shared_options[i].bit))
            rows[count++] = &shared_options[i].row;
    }
    return count;
}

int options_number(const char *option, const char *arg, bool units, uint64_t max,
                   uint64_t *number_out)
{
    static const char unit_letters[] = "KMGT";
    uint64_t number = 0;
    const char *at = arg;
    *number_out = 0;
    for (; isdigit((unsigned char)*at); at++) {
        uint64_t digit = (uint64_t)(*at - '0');
        if (number > (UINT64_MAX - digit) / 10)
            return status_usage("--%s: %s is too large", option, arg);
        number = number * 10 + digit;
    }
    bool empty = at == arg;
    const char *unit = units && *at ? strchr(unit_letters, toupper((unsigned char)*at)) : NULL;
    unsigned shift = unit ? 10 * (unsigned)(unit - unit_letters + 1) : 0;
    at += unit != NULL;
    if (empty || *at)
        return status_usage("--%s: '%s' is no number", option, arg);
    if (number > UINT64_MAX >> shift || number << shift > max)
        return status_usage("--%s: %s is too large", option, arg);
    *number_out = number << shift;
    return STATUS_DONE;
}

static int take_number32(const char *option, const char *arg, bool units, uint32_t *number_out)
{
    uint64_t number;
    int status = options_number(option, arg, units, UINT32_MAX, &number);
    *number_out = (uint32_t)number;
    return status;
}

static int take_page_size(const char *arg, struct common *common)
{
    int status = take_number32("page-size", arg, true, &common->page_size);
    uint32_t size = common->page_size;
    if (status)
        return status;
    if (size < 4096 || size > 65536 || (size & (size - 1)))
        return status_usage("--page-size: not a power of 2 from 4K to 64K");
    return STATUS_DONE;
}

static int take_encoding(enum encoding encoding, struct common *common)
{
    if (common->encoding != ENCODING_TEXT && common->encoding != encoding)
        return status_usage("--hex and --raw exclude each other");
    common->encoding = encoding;
    return STATUS_DONE;
}

/* What a table is to be: an option of COMMON_SHAPE. */
static int take_shape(int id, const char *arg, struct common *common)
{
    struct kv_table_options *shape = &common->shape;
    if (!common->shape_given)
        *shape = (struct kv_table_options)KV_TABLE_OPTIONS_INIT;
    common->shape_given = true;
    switch (id) {
    case ID_FIXED:
        shape->flags |= KV_DUPLICATES | KV_FIXED;
        return take_number32("fixed", arg, true, &shape->value_bytes);
    case ID_ORDER:
        return shape_take_order("order", arg, &shape->order);
    case ID_VALUE_ORDER:
        return shape_take_order("value-order", arg, &shape->value_order);
    case ID_ALIGN:
        return take_number32("align", arg, false, &shape->align);
    default:
        shape->flags |= id == ID_DUP ? KV_DUPLICATES : KV_COUNTED;
        return STATUS_DONE;
    }
}

static int take_shared(int id, char *arg, struct common *common)
{
    if (id >= ID_DUP && id <= ID_ALIGN)
        return take_shape(id, arg, common);
    switch (id) {
    case ID_PREFIX:
        common->prefix = arg;
        return STATUS_DONE;
    case ID_FROM:
        common->from = arg;
        return STATUS_DONE;
    case ID_TO:
        common->to = arg;
        return STATUS_DONE;
    case ID_TABLE:
        common->table = arg;
        return arg_table_name("--table", arg);
    case ID_HEX:
        return take_encoding(ENCODING_HEX, common);
    case ID_RAW:
        return take_encoding(ENCODING_RAW, common);
    case ID_TIMEOUT:
        return take_number32("timeout", arg, false, &common->timeout_ms);
    case ID_PAGE_SIZE:
        return take_page_size(arg, common);
    case ID_MAX_SIZE:
        return options_number("max-size", arg, true, UINT64_MAX, &common->max_size_bytes);
    default:
        break;
    }
    common->json = common->json || id == ID_JSON;
    common->read_only = common->read_only || id == ID_READONLY;
    common->no_lock = common->no_lock || id == ID_NO_LOCK;
    common->lazy = common->lazy || id == ID_LAZY;
    common->no_create = common->no_create || id == ID_NO_CREATE;
    return STATUS_DONE;
}

static void fill_getopt(const struct option_row **rows, int count, struct option *longs,
                        char *shorts)
{
    *shorts++ = ':'; /* a missing argument is told apart from an unknown option */
    for (int i = 0; i < count; i++) {
        const struct option_row *row = rows[i];
        longs[i] = (struct option){row->name, row->arg ? required_argument : no_argument, NULL,
                                   row->letter ? row->letter : OPTION_ID_COMMON + 100 + i};
        if (!row->letter)
            continue;
        *shorts++ = (char)row->letter;
        if (row->arg)
            *shorts++ = ':';
    }
    longs[count] = (struct option){0};
    *shorts = 0;
}

static const struct option_row *find_row(const struct option_row **rows, int count, int found)
{
    for (int i = 0; i < count; i++) {
        if (found == OPTION_ID_COMMON + 100 + i || (rows[i]->letter && rows[i]->letter == found))
            return rows[i];
    }
    return NULL;
}

/* What getopt_long did not take: `found` tells a missing argument, optopt which option it was. */
static int refuse_option(const struct option_row **rows, int count, int found, const char *arg)
{
    const struct option_row *row = find_row(rows, count, optopt);
    if (row)
        return status_usage("--%s %s", row->name,
                            found == ':' ? "wants an argument" : "takes no argument");
    return optopt ? status_usage("unknown option -%c", optopt)
                  : status_usage("unknown option %s", arg);
}

static int check_count(const struct command *command, int count)
{
    if (count < command->args_min)
        return status_usage(count ? "too few arguments" : "no database given");
    if (command->args_max >= 0 && count > command->args_max)
        return status_usage("too many arguments");
    return STATUS_DONE;
}

int options_parse(const struct command *command, int argc, char **argv, struct common *common,
                  int *args_out, bool *done_out)
{
    const struct option_row *rows[OPTIONS_MAX];
    struct option longs[OPTIONS_MAX + 1];
    char shorts[2 * OPTIONS_MAX + 2];
    int count = gather_rows(command, rows);
    int found;
    fill_getopt(rows, count, longs, shorts);
    *done_out = false;
    opterr = 0;
    while ((found = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
        const struct option_row *row = find_row(rows, count, found);
        if (!row)
            return refuse_option(rows, count, found, argv[optind - 1]);
        if (row->id == ID_HELP) {
            options_help(command);
            *done_out = true;
            return STATUS_DONE;
        }
        int status = row->id < OPTION_ID_COMMON ? command->take(row->id, optarg)
                                                : take_shared(row->id, optarg, common);
        if (status)
            return status;
    }
    *args_out = optind;
    common->path = argv[optind];
    return check_count(command, argc - optind);
}

static void print_row(const struct option_row *row)
{
    char left[64];
    int used = row->letter ? snprintf(left, sizeof left, "  -%c, --%s", row->letter, row->name)
                           : snprintf(left, sizeof left, "      --%s", row->name);
    if (row->arg && used > 0 && (size_t)used < sizeof left)
        snprintf(left + used, sizeof left - (size_t)used, " %s", row->arg);
    out_format("%-27s %s\n", left, row->help);
}

void options_help(const struct command *command)
{
    const struct option_row *rows[OPTIONS_MAX];
    int count = gather_rows(command, rows);
    out_format("Usage: kvctl %s [OPTION]... %s\n\n%s\n", command->verb, command->args,
               command->summary);
    if (command->details)
        out_format("\n%s\n", command->details);
    out_text("\nOptions:\n");
    for (int i = 0; i < count; i++)
        print_row(rows[i]);
    out_format("\nExample:\n%s\n", command->example);
}
