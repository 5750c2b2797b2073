/* SPDX-License-Identifier: MIT */
/* Records into tables; see loader.h. */
#include "loader.h"

#include <string.h>

#include "status.h"

/* Ends the bulk build on the current table, if there is one. */
static int end_bulk(struct loader *loader)
{
    struct kv_bulk *bulk = loader->bulk;
    loader->bulk = NULL;
    int rc = bulk ? kv_bulk_end(bulk) : 0;
    return rc ? status_of(rc, "cannot complete table %s",
                          session_table_name(loader->table.size ? loader->table.data : NULL))
              : STATUS_DONE;
}

static int begin_bulk(struct loader *loader)
{
    int rc = kv_bulk_begin(loader->session->txn, loader->session->table, 0, &loader->bulk);
    return rc ? status_of(rc, "cannot load into the table") : STATUS_DONE;
}

static int note_table(struct loader *loader, const char *name)
{
    if (buffer_set(&loader->table, name, name ? strlen(name) + 1 : 0))
        return status_failed("out of memory");
    return STATUS_DONE;
}

int loader_start(struct loader *loader)
{
    return note_table(loader, loader->first);
}

int loader_use_table(struct loader *loader, const char *name, const struct kv_table_options *shape)
{
    const char *current = loader->table.size ? loader->table.data : NULL;
    if (!name)
        name = loader->first;
    bool same = name == current || (name && current && !strcmp(name, current));
    if (same && !shape)
        return STATUS_DONE;
    int status = end_bulk(loader);
    if (!status)
        status = session_use_table(loader->session, name, loader->create,
                                   loader->shape ? loader->shape : shape);
    return status ? status : note_table(loader, name);
}

static int renew_txn(struct loader *loader)
{
    int status = end_bulk(loader);
    if (!status)
        status = session_commit(loader->session);
    if (!status)
        status = session_begin_write(loader->session);
    loader->in_txn = 0;
    return status;
}

/* What is wrong with a record that kv.h refused, nothing having changed; NULL: it is not the
 * record. */
static const char *judge(int rc)
{
    switch (rc) {
    case KV_EINCOMPATIBLE:
        return "the key is the name of a table";
    case KV_EKEYSIZE:
        return "the key is too long, or not of the size of the table's keys";
    case KV_EVALSIZE:
        return "the value is too long, or not of the size of the table's values";
    default:
        return NULL;
    }
}

int loader_put(struct loader *loader, const struct record *record, const char **why_out)
{
    int status = STATUS_DONE;
    *why_out = NULL;
    if (loader->batch && loader->in_txn == loader->batch)
        status = renew_txn(loader);
    if (!status && (record->table || loader->table.size))
        status = loader_use_table(loader, record->table, NULL);
    if (!status && !loader->bulk)
        status = begin_bulk(loader);
    if (status)
        return status == STATUS_NEGATIVE ? STATUS_FAILED : status;
    int rc = kv_bulk_put(loader->bulk, &record->key, &record->value,
                         loader->no_overwrite ? KV_NOOVERWRITE : 0);
    *why_out = judge(rc);
    if (*why_out)
        return STATUS_NEGATIVE;
    if (rc && rc != KV_EEXIST)
        return status_of(rc, "cannot put");
    loader->in_txn++;
    *(rc ? &loader->existing : &loader->loaded) += 1;
    return STATUS_DONE;
}

int loader_finish(struct loader *loader)
{
    int status = end_bulk(loader);
    return status ? status : session_commit(loader->session);
}

void loader_free(struct loader *loader)
{
    buffer_free(&loader->table);
}
