/* SPDX-License-Identifier: MIT */
/*
 * A range of keys, from --prefix, --from and --to. Together they come down to one half-open range:
 * the greater of the lower bounds, the lesser of the upper ones; that needs the order of bytes, so
 * tables of other orders take either --prefix or the other two.
 */
#ifndef KVCTL_RANGE_H
#define KVCTL_RANGE_H

#include <stdbool.h>

#include "buffer.h"
#include "command.h"
#include "session.h"

struct range {
    struct kv_range bounds; /* for kv.h; points into this struct, which must not be moved */
    struct kv_val from;
    struct kv_val to;
    struct kv_val prefix;
    struct buffer end; /* where the end of a prefix stands */
};

/* Whether any of the three was given. */
bool range_given(const struct common *common);

/* Takes the options, decoding them in place: once for a process, before the database is opened.
 * Returns a status; range_free after it in any case. */
int range_take(struct range *range, const struct common *common);

/* Fits the range to the session's table, which is open. Returns a status. */
int range_fit(struct range *range, const struct session *session);

void range_free(struct range *range);

#endif
