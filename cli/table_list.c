/* SPDX-License-Identifier: MIT */
/* The names of a snapshot's tables. They are copied first and looked at later, so that nothing is
 * done with the txn inside its callback. */
#include "table_list.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int add_name(void *context, const char *name)
{
    struct table_list *list = context;
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? 2 * list->capacity : 16;
        char **names = realloc(list->names, capacity * sizeof *names);
        if (!names)
            return ENOMEM;
        list->names = names;
        list->capacity = capacity;
    }
    list->names[list->count] = strdup(name);
    return list->names[list->count] ? (list->count++, 0) : ENOMEM;
}

int table_list_read(struct table_list *list, struct kv_txn *txn)
{
    return kv_table_list(txn, add_name, list);
}

void table_list_free(struct table_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->names[i]);
    free(list->names);
    *list = (struct table_list){0};
}
