/* SPDX-License-Identifier: MIT */
/*
 * Where salvaged records go: a Berkeley dump on stdout, or a new database, which is made with the
 * first table, in one write txn and in bulk. Each function prints its own message and returns a
 * status; STATUS_NEGATIVE: this table, or record, has no place there, and is passed over. Single
 * thread.
 */
#ifndef KVCTL_SALVAGE_SINK_H
#define KVCTL_SALVAGE_SINK_H

#include <stdbool.h>

#include "buffer.h"
#include "kv.h"
#include "session.h"

struct salvage_sink {
    const struct common *common; /* of the damaged database */
    const char *target;          /* NULL: a dump */
    bool print;                  /* of a dump: printable characters as they are */
    /* state */
    struct common building; /* the new database under its temporary name */
    struct session session;
    struct kv_bulk *bulk;
    struct buffer temporary;
    bool in_table; /* a header without its footer */
};

/* The table that records are of from now on. */
int salvage_sink_table(struct salvage_sink *sink, const char *name,
                       const struct kv_salvage_table *table);
int salvage_sink_record(struct salvage_sink *sink, const struct kv_val *key,
                        const struct kv_val *value);

/* Ends what was begun; with status STATUS_DONE the new database gets its name, else nothing is left
 * of it. */
int salvage_sink_end(struct salvage_sink *sink, int status);

#endif
