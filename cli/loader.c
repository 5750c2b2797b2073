/* SPDX-License-Identifier: MIT */
/* Records into tables; see loader.h. */
#include "loader.h"

#include <string.h>

#include "status.h"

/* Notes the greatest key of the current table, which others may have raised since the last txn. */
static int read_top(struct loader *loader)
{
    struct kv_cursor *cursor;
    struct kv_val key;
    int rc = kv_cursor_open(loader->session->txn, loader->session->table, &cursor);
    if (rc)
        return status_of(rc, "cannot read the table");
    rc = kv_cursor_get(cursor, KV_LAST, &key, NULL);
    loader->has_top = !rc;
    if (!rc && buffer_set(&loader->top, key.data, key.size))
        rc = status_failed("out of memory");
    else
        rc = rc && rc != KV_ENOTFOUND ? status_of(rc, "cannot read the table") : STATUS_DONE;
    kv_cursor_close(cursor);
    return rc;
}

/* Notes that the session's table is now `name`. */
static int note_table(struct loader *loader, const char *name)
{
    if (buffer_set(&loader->table, name, name ? strlen(name) + 1 : 0))
        return status_failed("out of memory");
    return read_top(loader);
}

int loader_start(struct loader *loader)
{
    struct kv_env_info info;
    int rc = kv_env_info(loader->session->env, &info);
    if (rc)
        return status_of(rc, "cannot read the limits");
    loader->max_key_bytes = info.max_key_bytes;
    loader->max_value_bytes = info.max_value_bytes;
    return note_table(loader, loader->first);
}

int loader_use_table(struct loader *loader, const char *name)
{
    const char *current = loader->table.size ? loader->table.data : NULL;
    if (!name)
        name = loader->first;
    if (name == current || (name && current && !strcmp(name, current)))
        return STATUS_DONE;
    int status = session_use_table(loader->session, name, loader->create);
    return status ? status : note_table(loader, name);
}

static int renew_txn(struct loader *loader)
{
    int status = session_commit(loader->session);
    if (!status)
        status = session_begin_write(loader->session);
    loader->in_txn = 0;
    return status ? status : read_top(loader);
}

static bool is_above_top(const struct loader *loader, const struct kv_val *key)
{
    const struct buffer *top = &loader->top;
    size_t size = key->size < top->size ? key->size : top->size;
    int order = size ? memcmp(key->data, top->data, size) : 0;
    return !loader->has_top || order > 0 || (order == 0 && key->size > top->size);
}

static const char *judge_sizes(const struct loader *loader, const struct record *record)
{
    if (record->key.size > loader->max_key_bytes)
        return "the key is too long";
    return record->value.size > loader->max_value_bytes ? "the value is too long" : NULL;
}

/* Puts into the current table. A result of kv.h. */
static int put_record(struct loader *loader, const struct record *record)
{
    struct kv_val value = record->value;
    bool append = is_above_top(loader, &record->key);
    uint32_t flags = append ? KV_APPEND : loader->no_overwrite ? KV_NOOVERWRITE : 0;
    int rc = kv_put(loader->session->txn, loader->session->table, &record->key, &value, flags);
    if (rc || !append)
        return rc;
    loader->has_top = true;
    return buffer_set(&loader->top, record->key.data, record->key.size);
}

int loader_put(struct loader *loader, const struct record *record, const char **why_out)
{
    *why_out = judge_sizes(loader, record);
    if (*why_out)
        return STATUS_NEGATIVE;
    int status = STATUS_DONE;
    if (loader->batch && loader->in_txn == loader->batch)
        status = renew_txn(loader);
    if (!status)
        status = loader_use_table(loader, record->table);
    if (status)
        return status == STATUS_NEGATIVE ? STATUS_FAILED : status;
    int rc = put_record(loader, record);
    if (rc == KV_EINCOMPATIBLE) {
        *why_out = "the key is the name of a table";
        return STATUS_NEGATIVE;
    }
    if (rc && rc != KV_EEXIST)
        return status_of(rc, "cannot put");
    loader->in_txn++;
    *(rc ? &loader->existing : &loader->loaded) += 1;
    return STATUS_DONE;
}

int loader_finish(struct loader *loader)
{
    return session_commit(loader->session);
}

void loader_free(struct loader *loader)
{
    buffer_free(&loader->table);
    buffer_free(&loader->top);
}
