/* SPDX-License-Identifier: MIT */
/* The names of a snapshot's tables, copied. */
#ifndef KVCTL_TABLE_LIST_H
#define KVCTL_TABLE_LIST_H

#include <stddef.h>

#include "kv.h"

struct table_list {
    char **names; /* in order; each allocated */
    size_t count;
    size_t capacity;
};

/* Reads the list into a zeroed struct. A result of kv.h; what was read is freed by the caller in
 * any case. */
int table_list_read(struct table_list *list, struct kv_txn *txn);

void table_list_free(struct table_list *list);

#endif
