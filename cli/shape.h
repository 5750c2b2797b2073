/* SPDX-License-Identifier: MIT */
/*
 * What a table is (kv_table_options), as words: of options on the command line, of the header of a
 * Berkeley dump, of output. A table of a user's own order can be read, and its comparator has a
 * name here; it cannot be made or changed, since kvctl has no such function.
 */
#ifndef KVCTL_SHAPE_H
#define KVCTL_SHAPE_H

#include <stdbool.h>
#include <stddef.h>

#include "kv.h"

/* Takes "bytes", "reverse" or "uint". Returns a status, having named the option. */
int shape_take_order(const char *option, const char *arg, enum kv_order *order_out);

const char *shape_order_name(enum kv_order order);

/* Whether these are the options of an ordinary table. */
bool shape_is_plain(const struct kv_table_options *options);

/* A few words that tell the table's kind, "" for an ordinary one: "duplicates, fixed 8, order uint".
 * Returns `text`. */
const char *shape_describe(const struct kv_table_options *options, char *text, size_t size);

/* Takes a header line NAME=VALUE of a Berkeley dump, as mdb_dump and db_dump write them. true: the
 * line tells the table's kind, and *options follows it. */
bool shape_take_header(const char *name, size_t name_size, const char *value,
                       struct kv_table_options *options);

/* Calls `write` with each header word that such a table has. */
void shape_header_words(const struct kv_table_options *options, void (*write)(const char *word));

#endif
