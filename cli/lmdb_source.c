/* SPDX-License-Identifier: MIT */
/* Reading an LMDB environment; see lmdb_source.h. */
#include "lmdb_source.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "session.h"
#include "status.h"

#define DATA_NAME "data.mdb"
#define LOCK_NAME "lock.mdb"
#define LMDB_DEPTH_MAX 32 /* levels of a tree */

/* Prints what LMDB refused and why, and returns the status that belongs to it. */
static int failed(const struct lmdb_source *source, int rc, const char *what, const char *name)
{
    message("%s: %s %s: %s", source->path, what, name, source->lib.strerror(rc));
    return rc == LMDB_INVALID || rc == LMDB_VERSION_MISMATCH || rc == LMDB_CORRUPTED
               ? STATUS_DATABASE
               : STATUS_FAILED;
}

/* ---- Finding the files ---- */

static int set_path(struct buffer *path, const char *folder, size_t folder_size, const char *name)
{
    path->size = 0;
    if (buffer_add(path, folder, folder_size) || buffer_add(path, name, strlen(name) + 1))
        return status_failed("out of memory");
    return STATUS_DONE;
}

/* Whether a data file named so belongs to a folder's environment: its lock file then stands beside
 * it under a name of the folder's, and other programs use that one. */
static bool is_of_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    size_t folder_size = slash ? (size_t)(slash + 1 - path) : 0;
    char other[PATH_MAX];
    if (strcmp(path + folder_size, DATA_NAME) != 0 || strlen(path) + sizeof "-lock" > sizeof other)
        return false;
    memcpy(other, path, folder_size);
    strcpy(other + folder_size, LOCK_NAME);
    if (!access(other, F_OK))
        return true;
    strcpy(other, path);
    strcat(other, "-lock");
    return access(other, F_OK) != 0;
}

/* What is to be given to LMDB for the path that the user gave, and the data file's own path. */
static int find_files(struct lmdb_source *source, struct buffer *open_path, unsigned *flags)
{
    const char *path = source->path;
    size_t size = strlen(path);
    struct stat st;
    if (stat(path, &st)) {
        status_of(errno, "cannot open %s", path);
        return STATUS_DATABASE;
    }
    bool folder = S_ISDIR(st.st_mode);
    int status = set_path(&source->data_path, path, size, folder ? "/" DATA_NAME : "");
    if (!status && !folder && is_of_folder(path)) {
        size -= strlen(DATA_NAME);
        status = set_path(open_path, path, size, size ? "" : ".");
    } else if (!status) {
        *flags |= folder ? 0 : LMDB_NOSUBDIR;
        status = set_path(open_path, path, size, "");
    }
    if (!status && stat(source->data_path.data, &st)) {
        status_of(errno, "cannot open %s", source->data_path.data);
        return STATUS_DATABASE;
    }
    source->mode = st.st_mode & 0777;
    return status;
}

/* ---- Opening ---- */

static int open_env(struct lmdb_source *source, const char *path, unsigned flags)
{
    int rc = source->lib.env_create(&source->env);
    if (rc) {
        source->env = NULL;
        return rc;
    }
    rc = source->lib.env_set_maxdbs(source->env, 1);
    if (!rc)
        rc = source->lib.env_open(source->env, path, flags, 0644);
    if (rc) {
        source->lib.env_close(source->env);
        source->env = NULL;
    }
    return rc;
}

/* Whether the lock file is what stands in the way: the data file itself may be read. */
static bool only_lock_refused(const struct lmdb_source *source, int rc)
{
    return (rc == EACCES || rc == EROFS || rc == EPERM) && !access(source->data_path.data, R_OK);
}

static int open_locked(struct lmdb_source *source, const char *path, unsigned flags)
{
    int rc = open_env(source, path, flags | LMDB_RDONLY);
    if (!(flags & LMDB_NOLOCK) && only_lock_refused(source, rc)) {
        message("%s: its lock file may not be written; reading without it", source->path);
        rc = open_env(source, path, flags | LMDB_RDONLY | LMDB_NOLOCK);
    }
    if (!rc)
        return STATUS_DONE;
    failed(source, rc, "cannot open", source->data_path.data);
    return STATUS_DATABASE;
}

static int begin(struct lmdb_source *source)
{
    int rc = source->lib.txn_begin(source->env, NULL, LMDB_RDONLY, &source->txn);
    if (rc)
        source->txn = NULL;
    if (!rc)
        rc = source->lib.env_info(source->env, &source->info);
    if (!rc)
        rc = source->lib.stat(source->txn, LMDB_MAIN_DBI, &source->main);
    return rc ? failed(source, rc, "cannot read", source->data_path.data) : STATUS_DONE;
}

int lmdb_source_open(struct lmdb_source *source, const char *path, const char *library,
                     bool no_lock)
{
    struct buffer open_path = {0};
    unsigned flags = no_lock ? LMDB_NOLOCK : 0;
    *source = (struct lmdb_source){.path = path};
    int status = lmdb_lib_open(&source->lib, library);
    if (!status)
        status = find_files(source, &open_path, &flags);
    if (!status)
        status = open_locked(source, open_path.data, flags);
    if (!status)
        status = begin(source);
    buffer_free(&open_path);
    return status;
}

void lmdb_source_close(struct lmdb_source *source)
{
    if (source->txn)
        source->lib.txn_abort(source->txn);
    if (source->env)
        source->lib.env_close(source->env);
    lmdb_lib_close(&source->lib);
    buffer_free(&source->data_path);
    source->txn = NULL;
    source->env = NULL;
}

/* ---- Tables ---- */

/* Gets a table's handle and its flags and size. */
static int look_up(struct lmdb_source *source, const char *name, struct lmdb_table *table)
{
    const struct lmdb_lib *lib = &source->lib;
    struct lmdb_stat stat = {0};
    int rc = lib->dbi_open(source->txn, name, 0, &table->dbi);
    if (rc) {
        table->dbi = 0;
        return rc;
    }
    rc = lib->dbi_flags(source->txn, table->dbi, &table->flags);
    if (!rc)
        rc = lib->stat(source->txn, table->dbi, &stat);
    table->entries = stat.entries;
    return rc;
}

int lmdb_table_open(struct lmdb_source *source, const char *name, struct lmdb_table *table)
{
    *table = (struct lmdb_table){.name = name};
    int rc = look_up(source, name, table);
    if (!rc)
        rc = source->lib.cursor_open(source->txn, table->dbi, &table->cursor);
    if (rc) {
        table->cursor = NULL;
        return failed(source, rc, "cannot read table", session_table_name(name));
    }
    return STATUS_DONE;
}

void lmdb_table_close(struct lmdb_source *source, struct lmdb_table *table)
{
    if (table->cursor)
        source->lib.cursor_close(table->cursor);
    if (table->dbi > LMDB_MAIN_DBI)
        source->lib.dbi_close(source->env, table->dbi);
    *table = (struct lmdb_table){0};
}

int lmdb_table_next(struct lmdb_source *source, struct lmdb_table *table, struct kv_val *key,
                    struct kv_val *value)
{
    int rc =
        source->lib.cursor_get(table->cursor, key, value, table->started ? LMDB_NEXT : LMDB_FIRST);
    table->started = true;
    if (rc == LMDB_NOTFOUND)
        return STATUS_NEGATIVE;
    return rc ? failed(source, rc, "cannot read table", session_table_name(table->name))
              : STATUS_DONE;
}

void lmdb_table_rewind(struct lmdb_table *table)
{
    table->started = false;
}

/* LMDB tells tables from records only by opening them; a name that is none costs little, since only
 * records of a table record's size are asked about. */
int lmdb_source_is_table(struct lmdb_source *source, const struct kv_val *key,
                         const struct kv_val *value, bool *found_out)
{
    struct buffer name = {0};
    unsigned dbi = 0;
    *found_out = false;
    if (value->size != LMDB_RECORD_BYTES || memchr(key->data, 0, key->size))
        return STATUS_DONE;
    if (buffer_add(&name, key->data, key->size) || buffer_add(&name, "", 1))
        return status_failed("out of memory");
    int rc = source->lib.dbi_open(source->txn, name.data, 0, &dbi);
    if (!rc)
        source->lib.dbi_close(source->env, dbi);
    *found_out = !rc;
    int status = STATUS_DONE;
    if (rc && rc != LMDB_NOTFOUND && rc != LMDB_INCOMPATIBLE && rc != LMDB_BAD_VALSIZE)
        status = failed(source, rc, "cannot open table", name.data);
    buffer_free(&name);
    return status;
}

/* An LMDB table record: 4 bytes, flags and depth of 2 bytes each, four counts, the root page. */
bool lmdb_source_resembles_table(const struct lmdb_source *source, const struct kv_val *value)
{
    uint16_t flags;
    uint16_t depth;
    uint64_t root;
    if (value->size != LMDB_RECORD_BYTES)
        return false;
    memcpy(&flags, (const char *)value->data + 4, sizeof flags);
    memcpy(&depth, (const char *)value->data + 6, sizeof depth);
    memcpy(&root, (const char *)value->data + 40, sizeof root);
    return !(flags & ~LMDB_TABLE_FLAGS) && depth <= LMDB_DEPTH_MAX &&
           (root == UINT64_MAX || root <= source->info.last_pgno);
}
