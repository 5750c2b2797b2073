/* SPDX-License-Identifier: MIT */
/*
 * The way to a table and back: open the database as the shared options say, begin a txn, find the
 * table; commit and close. Each step prints its own message and returns a status. A session is
 * closed by session_close whatever happened before, which drops a txn that was not committed.
 */
#ifndef KVCTL_SESSION_H
#define KVCTL_SESSION_H

#include <stdbool.h>

#include "command.h"
#include "kv.h"

struct session {
    const struct common *common;
    struct kv_env *env;
    struct kv_txn *txn;
    bool reading; /* txn is a read txn */
    kv_table table;
};

/* Opens the database with kv_options.flags `flags` and what the shared options add. */
int session_open(struct session *session, const struct common *common, uint32_t flags);

int session_begin_read(struct session *session);
int session_begin_write(struct session *session);

/* Makes the named table (NULL: main) the session's; one that is made, or empty, becomes what
 * `shape` says. NULL: as it is, or an ordinary one. */
int session_use_table(struct session *session, const char *name, bool create,
                      const struct kv_table_options *shape);

/* open read-only + begin + the table of the options. */
int session_read(struct session *session, const struct common *common);

/* open + begin + the table of the options; both are made where the command creates, which `create`
 * tells, and the user did not forbid it. */
int session_write(struct session *session, const struct common *common, bool create);

int session_commit(struct session *session);

/* Ends what is open. Returns `status`, or the status of a close that failed, or that of a read txn
 * in which something was printed that could not be read. */
int session_close(struct session *session, int status);

/* "main table" or the table's name, for messages. */
const char *session_table_name(const char *name);

#endif
