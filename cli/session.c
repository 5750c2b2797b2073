/* SPDX-License-Identifier: MIT */
/* Database, txn and table of a command; see session.h. */
#include "session.h"

#include <string.h>

#include "buffer.h"
#include "status.h"

/* A folder's files, as the LMDB drop-in names them. Its lock file is the database's. */
#define FOLDER_DATA "data.mdb"
#define FOLDER_LOCK "lock.mdb"

/* Names the lock file that the database's other users have; empty: the usual one. */
static int find_lock(const char *path, struct buffer *lock)
{
    const char *slash = strrchr(path, '/');
    size_t folder = slash ? (size_t)(slash + 1 - path) : 0;
    if (strcmp(path + folder, FOLDER_DATA) != 0)
        return STATUS_DONE;
    if (buffer_set(lock, path, folder) || buffer_add(lock, FOLDER_LOCK, sizeof FOLDER_LOCK))
        return status_failed("out of memory");
    return STATUS_DONE;
}

int session_open(struct session *session, const struct common *common, uint32_t flags)
{
    struct kv_options options = KV_OPTIONS_INIT;
    struct buffer lock = {0};
    *session = (struct session){.common = common};
    options.flags = flags | KV_GUARD;
    if (common->no_lock)
        options.flags |= KV_NOLOCK;
    if (common->read_only)
        options.flags |= KV_READONLY;
    options.page_size = common->page_size;
    options.max_size_bytes = common->max_size_bytes;
    options.durability = common->lazy ? KV_LAZY : KV_DURABLE;
    int status = find_lock(common->path, &lock);
    if (status)
        return status;
    options.lock_path = lock.data;
    int rc = kv_env_open(common->path, &options, &session->env);
    buffer_free(&lock);
    if (rc)
        return status_of_open(rc, common->path, options.flags & KV_READONLY);
    struct kv_env_info info;
    rc = kv_env_info(session->env, &info);
    if (rc)
        return status_of(rc, "%s", common->path);
    if (info.txnid_rolled_back)
        message("%s: not shut down cleanly; recovered to snapshot %llu, lost up to %llu",
                common->path, (unsigned long long)info.txnid_committed,
                (unsigned long long)info.txnid_rolled_back);
    return STATUS_DONE;
}

int session_begin_read(struct session *session)
{
    int rc = kv_txn_begin(session->env, KV_READ, NULL, &session->txn);
    session->reading = true;
    return rc ? status_of(rc, "cannot begin to read %s", session->common->path) : STATUS_DONE;
}

int session_begin_write(struct session *session)
{
    struct kv_txn_options options = {.timeout_ms = session->common->timeout_ms};
    int rc = kv_txn_begin(session->env, KV_WRITE, &options, &session->txn);
    session->reading = false;
    return rc ? status_of(rc, "cannot begin to write %s", session->common->path) : STATUS_DONE;
}

const char *session_table_name(const char *name)
{
    return name ? name : "main table";
}

int session_use_table(struct session *session, const char *name, bool create,
                      const struct kv_table_options *shape)
{
    int rc = kv_table_open(session->txn, name, create ? KV_CREATE : 0, shape, &session->table);
    return rc ? status_of(rc, "table %s", session_table_name(name)) : STATUS_DONE;
}

int session_read(struct session *session, const struct common *common)
{
    int status = session_open(session, common, KV_READONLY);
    if (!status)
        status = session_begin_read(session);
    if (!status)
        status = session_use_table(session, common->table, false, NULL);
    return status;
}

int session_write(struct session *session, const struct common *common, bool create)
{
    create = create && !common->no_create;
    int status = session_open(session, common, create ? KV_CREATE : 0);
    if (!status)
        status = session_begin_write(session);
    if (!status)
        status = session_use_table(session, common->table, create,
                                   common->shape_given ? &common->shape : NULL);
    return status;
}

int session_commit(struct session *session)
{
    struct kv_txn *txn = session->txn;
    session->txn = NULL;
    int rc = kv_txn_commit(txn);
    return rc ? status_of(rc, "cannot commit") : STATUS_DONE;
}

/* A read txn's commit tells whether all that was read through pointers was so (KV_GUARD). */
static int end_txn(struct session *session, int status)
{
    struct kv_txn *txn = session->txn;
    session->txn = NULL;
    if (!txn || !session->reading) {
        kv_txn_abort(txn);
        return status;
    }
    int rc = kv_txn_commit(txn);
    if (!rc || (status != STATUS_DONE && status != STATUS_NEGATIVE))
        return status;
    return status_of(rc, "%s", session->common->path);
}

int session_close(struct session *session, int status)
{
    status = end_txn(session, status);
    int rc = kv_env_close(session->env);
    session->env = NULL;
    if (rc) {
        int closing = status_of(rc, "cannot close %s", session->common->path);
        return status ? status : closing;
    }
    return status;
}
