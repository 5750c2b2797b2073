/* SPDX-License-Identifier: MIT */
/*
 * Envs of a stream: made, closed and opened again with other flags, copied; see stream.h.
 */
#include "stream.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAP_BYTES ((size_t)128 << 20)

static void remove_files(const char *path)
{
    char name[64];

    (void)snprintf(name, sizeof name, "%s/data.mdb", path);
    (void)unlink(name);
    (void)snprintf(name, sizeof name, "%s/lock.mdb", path);
    (void)unlink(name);
    (void)rmdir(path);
    (void)unlink(path);
    (void)snprintf(name, sizeof name, "%s-lock", path);
    (void)unlink(name);
}

static void new_files(struct stream *s)
{
    remove_files(s->path);
    (void)snprintf(s->path, sizeof s->path, "env%u", s->files++);
    for (unsigned i = 0; i < STREAM_TABLES; i++) {
        struct stream_table *table = &s->tables[i];

        memset(table, 0, sizeof *table);
        stream_shape(s, table);
        (void)snprintf(table->name, sizeof table->name, i ? "t%u" : "main", i);
    }
    if (chance(s, 60)) {
        s->tables[0].kind &= MDB_REVERSEKEY; /* beside it named tables may stand */
    }
    if (!(s->tables[0].kind & (MDB_DUPSORT | MDB_INTEGERKEY))) {
        s->tables[0].custom = false;
    }
    s->env_flags = chance(s, 20) ? MDB_NOSUBDIR : 0;
    if (!s->env_flags) {
        MUST(mkdir(s->path, 0755) ? errno : 0);
    }
}

/* Flags of this opening; NOSUBDIR is the file's for good. */
static unsigned open_flags(struct stream *s)
{
    static const unsigned some[] = {MDB_NOTLS,     MDB_WRITEMAP,  MDB_NOLOCK,    MDB_MAPASYNC,
                                    MDB_NORDAHEAD, MDB_NOMEMINIT, MDB_NOMETASYNC};
    unsigned flags = (s->env_flags & MDB_NOSUBDIR) | MDB_NOSYNC;

    for (size_t i = 0; i < sizeof some / sizeof some[0]; i++) {
        if (chance(s, i == 0 ? 60 : 20)) {
            flags |= some[i];
        }
    }
    return flags;
}

static void open_env(struct stream *s)
{
    MDB_dbi most = chance(s, 20) ? 3 : STREAM_TABLES;
    unsigned flags = 0;
    int rc;

    s->env_flags = open_flags(s);
    MUST(mdb_env_create(&s->env));
    MUST(mdb_env_set_mapsize(s->env, MAP_BYTES));
    MUST(mdb_env_set_maxdbs(s->env, most));
    rc = mdb_env_open(s->env, s->path, s->env_flags, 0664);
    tell("env open %s %#x, %u tables = %s", s->path, s->env_flags, most, rc_text(rc));
    MUST(rc);
    rc = mdb_env_get_flags(s->env, &flags);
    tell("  flags = %s %#x", rc_text(rc), flags);
}

static void see_info(struct stream *s)
{
    MDB_envinfo info;
    MDB_stat stat;
    int rc = mdb_env_info(s->env, &info);

    tell("info = %s, map %s %zu, txnid %zu, readers %u", rc_text(rc),
         info.me_mapaddr ? "given" : "NULL", info.me_mapsize, info.me_last_txnid,
         info.me_maxreaders);
    rc = mdb_env_stat(s->env, &stat);
    tell("  stat = %s, entries %zu", rc_text(rc), stat.ms_entries);
}

void stream_env_begin(struct stream *s)
{
    if (!s->path[0] || chance(s, 40)) {
        new_files(s);
    }
    s->grow = 30 + below(s, 60);
    open_env(s);
    see_info(s);
    stream_open_main(s);
}

static void end_readers(struct stream *s)
{
    stream_cursors_close(s, NULL);
    for (int i = 0; i < STREAM_READERS; i++) {
        struct stream_reader *reader = &s->readers[i];

        if (reader->txn) {
            mdb_txn_abort(reader->txn);
            reader->txn = NULL;
        }
    }
}

/* ---- Copies ---------------------------------------------------------------------------------- */

/* Every table of the copy, read through. */
static void see_copy(struct stream *s, const char *path, unsigned flags)
{
    MDB_env *env = NULL;
    MDB_txn *txn = NULL;
    int rc;

    MUST(mdb_env_create(&env));
    MUST(mdb_env_set_maxdbs(env, STREAM_TABLES));
    rc = mdb_env_open(env, path, flags, 0664);
    tell("  copy open = %s", rc_text(rc));
    rc = rc ? rc : mdb_txn_begin(env, NULL, MDB_RDONLY, &txn);
    tell("  copy begin = %s", rc_text(rc));
    for (unsigned i = 0; i < STREAM_TABLES && rc == 0; i++) {
        struct stream_table table = s->tables[i];
        int opened = mdb_dbi_open(txn, i ? table.name : NULL, 0, &table.dbi);

        tell("  copy %s = %s", table.name, rc_text(opened));
        if (opened == 0) {
            stream_see_table(s, txn, &table);
            stream_walk(s, txn, table.dbi, table.name);
        }
    }
    mdb_txn_abort(txn);
    mdb_env_close(env);
}

static void copy_env(struct stream *s)
{
    unsigned flags = chance(s, 50) ? MDB_CP_COMPACT : 0;
    const char *path = s->env_flags & MDB_NOSUBDIR ? "copy-file" : "copy";
    int fd = -1;
    int rc;

    remove_files("copy");
    remove_files("copy-file");
    if (chance(s, 30)) {
        path = "copy-file";
        fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
        rc = flags ? mdb_env_copyfd2(s->env, fd, flags) : mdb_env_copyfd(s->env, fd);
        (void)close(fd);
    } else {
        if (!(s->env_flags & MDB_NOSUBDIR)) {
            (void)mkdir(path, 0755);
        }
        rc = flags ? mdb_env_copy2(s->env, path, flags) : mdb_env_copy(s->env, path);
    }
    tell("copy %s %u%s = %s", path, flags, fd < 0 ? "" : " by descriptor", rc_text(rc));
    if (rc == 0) {
        see_copy(s, path, strcmp(path, "copy-file") == 0 ? MDB_NOSUBDIR : 0);
    }
}

void stream_env_op(struct stream *s)
{
    unsigned what = below(s, 100);
    int rc;

    if (what < 50) {
        see_info(s);
    } else if (what < 60) {
        rc = mdb_env_sync(s->env, (int)below(s, 2));
        tell("sync = %s", rc_text(rc));
    } else if (what < 70) {
        rc = mdb_env_set_flags(s->env, MDB_NOMETASYNC, (int)below(s, 2));
        tell("set flags = %s", rc_text(rc));
    } else if (what < 80) {
        int dead = 0;

        rc = mdb_reader_check(s->env, &dead);
        tell("reader check = %s %d", rc_text(rc), dead);
    } else if (what < 82 && s->level == 0) {
        copy_env(s);
    } else if (what < 84 && s->level == 0 && !s->readers[0].txn && !s->readers[1].txn &&
               !s->readers[2].txn) {
        rc = mdb_env_set_mapsize(s->env, MAP_BYTES + below(s, 4) * 1048576);
        tell("set mapsize = %s", rc_text(rc));
    }
}

void stream_env_end(struct stream *s)
{
    stream_end_all(s);
    end_readers(s);
    see_info(s);
    if (chance(s, 25)) {
        copy_env(s);
    }
    mdb_env_close(s->env);
    tell("env close");
    for (unsigned i = 0; i < STREAM_TABLES; i++) {
        s->tables[i].open = false;
    }
}
