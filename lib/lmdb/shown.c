/* SPDX-License-Identifier: MIT */
/*
 * Records of named tables, as LMDB keeps them in its main table: 48 bytes that are made up when
 * they are read. A txn keeps one for each name that was read in it, so that the pointers given
 * live as long as LMDB's. One thread at a time for a txn.
 */
#include "lmdb/cursor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct kvi_lmdb_shown {
    struct kvi_lmdb_shown *next; /* of the txn */
    struct kvi_lmdb_record record;
    size_t name_bytes;
    char name[];
};

static struct kvi_lmdb_shown *find_shown(MDB_txn *txn, const struct kv_val *name)
{
    struct kvi_lmdb_shown *shown = txn->shown;

    while (shown &&
           (shown->name_bytes != name->size || memcmp(shown->name, name->data, name->size) != 0))
        shown = shown->next;
    if (shown)
        return shown;
    shown = malloc(sizeof(*shown) + name->size);
    if (!shown)
        return NULL;
    shown->name_bytes = name->size;
    memcpy(shown->name, name->data, name->size);
    shown->next = txn->shown;
    txn->shown = shown;
    return shown;
}

int kvi_lmdb_shown(MDB_txn *txn, const struct kv_val *name, MDB_val *data)
{
    struct kvi_lmdb_shown *shown = find_shown(txn, name);
    int rc;

    if (!shown)
        return ENOMEM;
    rc = kvi_lmdb_table_record(txn, name, &shown->record);
    if (rc)
        return rc;
    data->mv_size = sizeof(shown->record);
    data->mv_data = &shown->record;
    return 0;
}

void kvi_lmdb_shown_end(MDB_txn *txn)
{
    while (txn->shown) {
        struct kvi_lmdb_shown *next = txn->shown->next;

        free(txn->shown);
        txn->shown = next;
    }
}
