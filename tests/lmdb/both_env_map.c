/* SPDX-License-Identifier: MIT */
/*
 * The size of the map: what is given, stored, raised and refused, and what a full one says.
 */
#include "both.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void see_map(MDB_env *env, const char *when)
{
    MDB_envinfo info;

    MUST(mdb_env_info(env, &info));
    see("%s: mapsize %zu txnid %zu", when, info.me_mapsize, info.me_last_txnid);
}

/* Without the txnid: how many txns fit differs. */
static void see_size_of_map(MDB_env *env, const char *when)
{
    MDB_envinfo info;

    MUST(mdb_env_info(env, &info));
    see("%s: mapsize %zu, last_pgno %s", when, info.me_mapsize,
        info.me_last_pgno < info.me_mapsize / 4096 ? "in it" : "beyond");
}

/* The file's size, where that is the map's. */
static void see_size(MDB_env *env)
{
    struct stat st;
    int fd;

    MUST(mdb_env_get_fd(env, &fd));
    fstat(fd, &st);
    see("file of %lld bytes", (long long)st.st_size);
}

static MDB_env *open_sized(const char *path, size_t size, unsigned flags)
{
    MDB_env *env;

    MUST(mdb_env_create(&env));
    if (size)
        MUST(mdb_env_set_mapsize(env, size));
    MUST(mdb_env_open(env, path, flags, 0644));
    return env;
}

/* Puts `count` records of `bytes` bytes in one txn; the first code that is not 0. */
static int fill(MDB_env *env, unsigned first, unsigned count, size_t bytes)
{
    MDB_txn *txn;
    MDB_dbi dbi;
    int rc = 0;

    MUST(mdb_txn_begin(env, NULL, 0, &txn));
    MUST(mdb_dbi_open(txn, NULL, 0, &dbi));
    for (unsigned i = first; i < first + count && !rc; i++) {
        MDB_val key = val_u32(i);
        MDB_val data = val_filled(i, bytes);

        rc = mdb_put(txn, dbi, &key, &data, 0);
    }
    if (rc) {
        int end = mdb_txn_commit(txn);

        see("a failed txn's commit: %s", both_name(end));
        return rc;
    }
    return mdb_txn_commit(txn);
}

static void stored(void)
{
    MDB_env *env;
    MDB_envinfo info;

    part("stored");
    env = open_sized(".", 0, 0);
    see_map(env, "new");
    MUST(mdb_env_info(env, &info));
    see("last_pgno %zu readers %u of %u", info.me_last_pgno, info.me_numreaders,
        info.me_maxreaders);
    mdb_env_close(env);
    env = open_sized(".", 0, 0);
    see_map(env, "again");
    mdb_env_close(env);
    env = open_sized(".", 5000000, 0);
    see_map(env, "no multiple of a page");
    mdb_env_close(env);
    env = open_sized(".", 0, 0);
    see_map(env, "nothing was committed");
    mdb_env_close(env);
    env = open_sized(".", 5000000, 0);
    see("%s", both_name(fill(env, 0, 10, 100)));
    see_map(env, "committed");
    mdb_env_close(env);
    env = open_sized(".", 0, 0);
    see_map(env, "stored");
    CALL(mdb_env_set_mapsize(env, 2000000));
    see_map(env, "smaller");
    see("%s", both_name(fill(env, 10, 10, 100)));
    CALL(mdb_env_set_mapsize(env, 0));
    see_map(env, "0");
    mdb_env_close(env);
    env = open_sized(".", 3000000, 0);
    see_map(env, "smaller at open");
    see("%s", both_name(fill(env, 10, 10, 100)));
    CALL(mdb_env_set_mapsize(env, 0));
    see_map(env, "only raised");
    mdb_env_close(env);
    env = open_sized(".", 0, MDB_RDONLY);
    see_map(env, "read-only");
    CALL(mdb_env_set_mapsize(env, 7000000));
    see_map(env, "read-only, set");
    CALL(mdb_env_set_mapsize(env, 0));
    see_map(env, "read-only, 0");
    mdb_env_close(env);
    env = open_sized("file", 12345678, MDB_NOSUBDIR);
    mdb_env_close(env);
    env = open_sized("file", 0, MDB_NOSUBDIR | MDB_RDONLY);
    see_map(env, "never committed");
    mdb_env_close(env);
    env = open_sized("file", 0, MDB_NOSUBDIR);
    see("%s", both_name(fill(env, 0, 1, 100)));
    see_map(env, "one commit");
    see("%s", both_name(fill(env, 0, 0, 100)));
    see_map(env, "an empty one");
    mdb_env_close(env);
    env = open_sized("file", 0, MDB_NOSUBDIR);
    see_map(env, "again");
    mdb_env_close(env);
}

static void sizes(void)
{
    static const size_t given[] = {1,       4096,     8192,       8193,        10000,       65535,
                                   1048575, 10485760, 1073741824, 68719476736, 274877906944};

    part("sizes");
    for (size_t i = 0; i < sizeof(given) / sizeof(given[0]); i++) {
        MDB_env *env;
        int rc;

        MUST(mdb_env_create(&env));
        CALL(mdb_env_set_mapsize(env, given[i]));
        rc = mdb_env_open(env, val_format("f%zu", i).mv_data, MDB_NOSUBDIR, 0644);
        see("%zu: %s", given[i], both_name(rc));
        see_map(env, "open");
        mdb_env_close(env);
        env = open_sized(val_format("f%zu", i).mv_data, 0, MDB_NOSUBDIR);
        see_map(env, "again");
        mdb_env_close(env);
    }
}

/* Until it is full; then more room, in the same process. */
static void full(unsigned flags)
{
    MDB_env *env = open_sized(".", 400000, flags);
    unsigned done = 0;
    int rc;

    see("one txn: %s", both_name(fill(env, 0, 100000, 100)));
    see_size_of_map(env, "full");
    do {
        rc = fill(env, done, 20, 500);
        done += 20;
    } while (!rc && done < 100000);
    see("many txns: %s, %s", both_name(rc), done > 300 && done < 900 ? "as many as ever" : "other");
    CALL(mdb_env_set_mapsize(env, 4000000));
    see_size_of_map(env, "more room");
    see("retry: %s", both_name(fill(env, done, 20, 500)));
    see("a large one: %s", both_name(fill(env, 100000, 1, 1000000)));
    see("a larger one: %s", both_name(fill(env, 100001, 1, 1000000)));
    see("too many: %s", both_name(fill(env, 200000, 10, 1000000)));
    see_size_of_map(env, "full again");
    mdb_env_close(env);
    env = open_sized(".", 100000, flags);
    see("smaller than the data: %s", both_name(fill(env, 300000, 10, 1000000)));
    mdb_env_close(env);
}

static void raised(void)
{
    MDB_env *env;
    MDB_envinfo info;
    MDB_envinfo after;

    part("raised");
    env = open_sized(".", 10000000, 0);
    see("%s", both_name(fill(env, 0, 1000, 1000)));
    MUST(mdb_env_info(env, &info));
    CALL(mdb_env_set_mapsize(env, 4096));
    MUST(mdb_env_info(env, &after));
    see("raised to the data: %d", after.me_mapsize == (info.me_last_pgno + 1) * 4096);
    CALL(mdb_env_set_mapsize(env, 1));
    MUST(mdb_env_info(env, &after));
    see("raised to the data: %d", after.me_mapsize == (info.me_last_pgno + 1) * 4096);
    mdb_env_close(env);
    env = open_sized(".", 4096, 0);
    MUST(mdb_env_info(env, &after));
    see("raised to the data: %d", after.me_mapsize == (info.me_last_pgno + 1) * 4096);
    mdb_env_close(env);
    env = open_sized(".", 4096, MDB_RDONLY);
    MUST(mdb_env_info(env, &after));
    see("raised to the data: %d", after.me_mapsize == (info.me_last_pgno + 1) * 4096);
    mdb_env_close(env);
}

static void refused(void)
{
    MDB_env *env;
    MDB_txn *txn;
    MDB_txn *reader;

    part("refused");
    env = open_sized(".", 4000000, MDB_NOTLS);
    MUST(mdb_txn_begin(env, NULL, 0, &txn));
    CALL(mdb_env_set_mapsize(env, 8000000));
    CALL(mdb_env_set_mapsize(env, 0));
    see_map(env, "with a writer");
    mdb_txn_abort(txn);
    CALL(mdb_env_set_mapsize(env, 8000000));
    see_map(env, "without");
    MUST(mdb_txn_begin(env, NULL, MDB_RDONLY, &reader));
    mdb_txn_reset(reader);
    CALL(mdb_env_set_mapsize(env, 9000000));
    CALL(mdb_txn_renew(reader));
    mdb_txn_abort(reader);
    see_map(env, "with a reset reader");
    mdb_env_close(env);
}

/* A writable map: the file is as long. */
static void writemap(void)
{
    MDB_env *env;

    part("writemap");
    env = open_sized(".", 0, MDB_WRITEMAP);
    see_size(env);
    CALL(mdb_env_set_mapsize(env, 3000000));
    see_map(env, "set");
    see_size(env);
    see("%s", both_name(fill(env, 0, 100, 1000)));
    see_size(env);
    CALL(mdb_env_set_mapsize(env, 4096 * 1000));
    see_size(env);
    see("%s", both_name(fill(env, 0, 100, 1000)));
    see_size(env);
    CALL(mdb_env_set_mapsize(env, 4096 * 500));
    see_size(env);
    mdb_env_close(env);
    env = open_sized(".", 0, MDB_WRITEMAP | MDB_MAPASYNC);
    see_map(env, "again");
    see_size(env);
    CALL(mdb_env_sync(env, 0));
    CALL(mdb_env_sync(env, 1));
    mdb_env_close(env);
    env = open_sized(".", 4096 * 2000, MDB_WRITEMAP | MDB_NOSYNC);
    see_size(env);
    see("%s", both_name(fill(env, 0, 100, 1000)));
    see_size(env);
    mdb_env_close(env);
    env = open_sized("large", (size_t)1 << 38, MDB_NOSUBDIR | MDB_WRITEMAP);
    see_size(env);
    mdb_env_close(env);
}

/* Another process lets the data outgrow our map. */
static void outgrown(void)
{
    MDB_env *env;
    MDB_txn *txn;
    pid_t child;
    int go[2];
    char byte;

    part("outgrown");
    if (pipe(go) != 0)
        exit(2);
    child = fork();
    if (child == 0) {
        if (read(go[0], &byte, 1) != 1)
            _exit(2);
        env = open_sized(".", 8000000, 0);
        see("child: %s", both_name(fill(env, 0, 1000, 2000)));
        mdb_env_close(env);
        _exit(0);
    }
    env = open_sized(".", 1000000, 0);
    see("%s", both_name(fill(env, 0, 10, 100)));
    if (write(go[1], "x", 1) != 1)
        exit(2);
    see_child(child);
    CALL(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn));
    CALL(mdb_txn_begin(env, NULL, 0, &txn));
    CALL(mdb_env_copy(env, "."));
    CALL(mdb_env_set_mapsize(env, 0));
    see_map(env, "taken over");
    CALL(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn));
    mdb_txn_abort(txn);
    see("%s", both_name(fill(env, 0, 10, 100)));
    mdb_env_close(env);
    close(go[0]);
    close(go[1]);
}

static void run(const struct both *both)
{
    (void)both;
    stored();
    sizes();
    part("full");
    full(0);
    part("full_nosync");
    full(MDB_NOSYNC);
    part("full_writemap");
    full(MDB_WRITEMAP);
    part("full_nolock");
    full(MDB_NOLOCK);
    raised();
    refused();
    writemap();
    outgrown();
}

BOTH_MAIN(run)
