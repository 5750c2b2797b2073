/* SPDX-License-Identifier: MIT */
/*
 * Table 0: the list of free pages, which LMDB keeps in the file and mdb_stat -f walks. Here it is
 * made up when somebody reads it: at most one record, whose key is the txn's id and whose data is
 * an array of size_t, first the number of pages and then their numbers, descending.
 *
 * Threads: a list belongs to its cursor.
 */
#include "lmdb/lmdb_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_HEADER 16u /* bytes of LMDB's, before the data of an overflow page */

struct kvi_lmdb_free {
    size_t id;
    size_t *pages; /* the count, then the numbers; NULL: no record */
    size_t size;   /* numbers there is room for */
    bool placed;   /* at the record, if there is one */
    bool ended;    /* moved past it */
};

/* ---- Made up ---- */

static int count_pages(void *context, uint64_t pgno, uint64_t count)
{
    (void)pgno;
    *(uint64_t *)context += count;
    return 0;
}

/* Runs come ascending: filled from behind. */
static int add_pages(void *context, uint64_t pgno, uint64_t count)
{
    struct kvi_lmdb_free *list = context;

    for (uint64_t i = 0; i < count && list->pages[0] < list->size; i++)
        list->pages[list->size - list->pages[0]++] = (size_t)(pgno + i);
    return 0;
}

int kvi_lmdb_free_make(MDB_txn *txn, struct kvi_lmdb_free **free_out)
{
    struct kvi_lmdb_free *list = calloc(1, sizeof(*list));
    uint64_t count = 0;
    int rc = list ? kv_free_list(txn->kv, count_pages, &count) : ENOMEM;

    if (!rc && count > 0) {
        list->size = (size_t)count;
        list->pages = calloc(list->size + 1, sizeof(*list->pages));
        rc = list->pages ? kv_free_list(txn->kv, add_pages, list) : ENOMEM;
    }
    if (rc) {
        kvi_lmdb_free_end(list);
        return kvi_lmdb_result(rc);
    }
    list->id = txn->id;
    *free_out = list;
    return 0;
}

void kvi_lmdb_free_end(struct kvi_lmdb_free *free_list)
{
    if (free_list)
        free(free_list->pages);
    free(free_list);
}

/* ---- Read ---- */

static int give(struct kvi_lmdb_free *list, MDB_val *key, MDB_val *data)
{
    list->placed = list->pages != NULL;
    if (!list->placed)
        return MDB_NOTFOUND;
    if (key) {
        key->mv_size = sizeof(list->id);
        key->mv_data = &list->id;
    }
    if (data) {
        data->mv_size = (list->pages[0] + 1) * sizeof(list->pages[0]);
        data->mv_data = list->pages;
    }
    return 0;
}

static int step(struct kvi_lmdb_free *list, MDB_val *key, MDB_val *data)
{
    if (list->placed) {
        list->ended = true;
        return MDB_NOTFOUND;
    }
    return give(list, key, data);
}

static int search(struct kvi_lmdb_free *list, MDB_cursor_op op, MDB_val *key, MDB_val *data)
{
    size_t wanted;

    if (!key)
        return EINVAL;
    if (key->mv_size != sizeof(wanted))
        return MDB_BAD_VALSIZE;
    memcpy(&wanted, key->mv_data, sizeof(wanted));
    list->ended = false;
    if (list->pages && (op == MDB_SET_RANGE ? wanted <= list->id : wanted == list->id))
        return give(list, op == MDB_SET ? NULL : key, data);
    list->placed = false;
    return MDB_NOTFOUND;
}

int kvi_lmdb_free_get(struct kvi_lmdb_free *free_list, MDB_cursor_op op, MDB_val *key,
                      MDB_val *data)
{
    switch (op) {
    case MDB_FIRST:
    case MDB_LAST:
        free_list->ended = false;
        return give(free_list, key, data);
    case MDB_NEXT:
    case MDB_NEXT_DUP:
    case MDB_NEXT_NODUP:
    case MDB_PREV:
    case MDB_PREV_DUP:
    case MDB_PREV_NODUP:
        return step(free_list, key, data);
    case MDB_GET_CURRENT:
        return free_list->placed ? give(free_list, key, data) : EINVAL;
    case MDB_SET:
    case MDB_SET_KEY:
    case MDB_SET_RANGE:
        return search(free_list, op, key, data);
    case MDB_GET_BOTH:
    case MDB_GET_BOTH_RANGE:
    case MDB_GET_MULTIPLE:
    case MDB_NEXT_MULTIPLE:
    case MDB_PREV_MULTIPLE:
    case MDB_FIRST_DUP:
    case MDB_LAST_DUP:
        return MDB_INCOMPATIBLE;
    default:
        return EINVAL;
    }
}

/* As LMDB's tree would be: a leaf, and behind it a run of pages if the record is long. */
int kvi_lmdb_free_stat(MDB_txn *txn, MDB_stat *stat_out)
{
    uint64_t count = 0;
    size_t bytes;
    int rc = kv_free_list(txn->kv, count_pages, &count);

    if (rc)
        return kvi_lmdb_result(rc);
    memset(stat_out, 0, sizeof(*stat_out));
    stat_out->ms_psize = txn->env->page_size;
    if (count == 0)
        return 0;
    bytes = (size_t)(count + 1) * sizeof(size_t);
    stat_out->ms_depth = 1;
    stat_out->ms_leaf_pages = 1;
    stat_out->ms_entries = 1;
    if (bytes > stat_out->ms_psize / 2)
        stat_out->ms_overflow_pages =
            (bytes + PAGE_HEADER + stat_out->ms_psize - 1) / stat_out->ms_psize;
    return 0;
}
