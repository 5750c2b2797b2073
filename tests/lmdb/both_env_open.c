/* SPDX-License-Identifier: MIT */
/*
 * Opening an env and what is refused: bad arguments, missing and wrong files, modes, settings
 * before and after.
 */
#include "both.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Opens, says what came of it, closes. */
static void try_open(const char *path, unsigned flags, mdb_mode_t mode)
{
    MDB_env *env;
    int rc;

    MUST(mdb_env_create(&env));
    rc = mdb_env_open(env, path, flags, mode);
    see("open %s %#x %o: %s %s", path, flags, (unsigned)mode, both_name(rc), mdb_strerror(rc));
    if (!rc)
        see_env(env);
    mdb_env_close(env);
}

static void write_file(const char *path, const void *bytes, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

    if (fd < 0 || write(fd, bytes, size) != (ssize_t)size || close(fd) != 0)
        exit(2);
}

static void refused(void)
{
    static char junk[20000];

    part("refused");
    memset(junk, 'j', sizeof(junk));
    try_open("missing", 0, 0644);
    try_open("missing", MDB_RDONLY, 0644);
    try_open("missing", MDB_NOLOCK, 0644);
    try_open("missing/file", MDB_NOSUBDIR, 0644);
    try_open("file", MDB_NOSUBDIR | MDB_RDONLY, 0644);
    see_folder(".");
    mkdir("folder", 0755);
    try_open("folder", MDB_RDONLY, 0644);
    see_folder("folder");
    try_open("folder", MDB_RDONLY | MDB_NOLOCK, 0644);
    write_file("plain", "x", 1);
    try_open("plain", 0, 0644);
    try_open("plain", MDB_RDONLY, 0644);
    write_file("three", "abc", 3);
    try_open("three", MDB_NOSUBDIR | MDB_NOLOCK, 0644);
    try_open("three", MDB_NOSUBDIR, 0644);
    try_open("three", MDB_NOSUBDIR | MDB_RDONLY, 0644);
    write_file("junk", junk, sizeof(junk));
    try_open("junk", MDB_NOSUBDIR | MDB_NOLOCK, 0644);
    try_open("junk", MDB_NOSUBDIR, 0644);
    write_file("page", junk, 4096);
    try_open("page", MDB_NOSUBDIR, 0644);
    memset(junk, 0, sizeof(junk));
    write_file("zeros", junk, sizeof(junk));
    try_open("zeros", MDB_NOSUBDIR, 0644);
    try_open("folder", MDB_NOSUBDIR, 0644);
    try_open("folder", MDB_NOSUBDIR | MDB_RDONLY | MDB_NOLOCK, 0644);
    write_file("empty", "", 0);
    try_open("empty", MDB_NOSUBDIR | MDB_RDONLY | MDB_NOLOCK, 0644);
    try_open("empty", MDB_NOSUBDIR | MDB_RDONLY, 0644);
    try_open("empty", MDB_NOSUBDIR | MDB_NOLOCK, 0644);
    try_open("", MDB_NOSUBDIR | MDB_RDONLY, 0644);
}

static void flags_refused(void)
{
    MDB_env *env;
    unsigned flags = 7;

    part("flags");
    for (unsigned bit = 0; bit < 32; bit++) {
        MUST(mdb_env_create(&env));
        if (1u << bit != MDB_RDONLY && 1u << bit != MDB_FIXEDMAP) {
            int rc = mdb_env_open(env, "file", MDB_NOSUBDIR | 1u << bit, 0644);

            see("open with bit %u: %s", bit, both_name(rc));
            if (!rc)
                see_env(env);
        }
        mdb_env_close(env);
    }
    for (unsigned bit = 0; bit < 32; bit++) {
        MUST(mdb_env_create(&env));
        see("set_flags of bit %u: %s", bit, both_name(mdb_env_set_flags(env, 1u << bit, 1)));
        CALL(mdb_env_get_flags(env, &flags));
        see("%#x", flags);
        see("off: %s", both_name(mdb_env_set_flags(env, 1u << bit, 0)));
        CALL(mdb_env_get_flags(env, &flags));
        see("%#x", flags);
        mdb_env_close(env);
    }
    MUST(mdb_env_create(&env));
    CALL(mdb_env_set_flags(env, MDB_NOSYNC | MDB_MAPASYNC, 1));
    CALL(mdb_env_open(env, ".", MDB_NOTLS, 0644));
    CALL(mdb_env_get_flags(env, &flags));
    see("%#x", flags);
    CALL(mdb_env_set_flags(env, MDB_NOSYNC, 0));
    CALL(mdb_env_set_flags(env, MDB_NOMETASYNC | MDB_NOMEMINIT, 5));
    CALL(mdb_env_set_flags(env, MDB_NOTLS, 0));
    CALL(mdb_env_set_flags(env, MDB_NOSYNC | MDB_RDONLY, 1));
    CALL(mdb_env_get_flags(env, &flags));
    see("%#x", flags);
    mdb_env_close(env);
    CALL(mdb_env_create(&env));
    CALL(mdb_env_open(env, ".", MDB_RDONLY | MDB_WRITEMAP, 0644));
    CALL(mdb_env_get_flags(env, &flags));
    see("%#x", flags);
    mdb_env_close(env);
}

static void nulls(void)
{
    MDB_env *env;
    MDB_stat stat;
    MDB_envinfo info;
    unsigned n;
    int fd;
    const char *path = "none";

    part("nulls");
    CALL(mdb_env_get_flags(NULL, &n));
    CALL(mdb_env_get_maxreaders(NULL, &n));
    CALL(mdb_env_get_path(NULL, &path));
    CALL(mdb_env_get_fd(NULL, &fd));
    CALL(mdb_env_stat(NULL, &stat));
    CALL(mdb_env_info(NULL, &info));
    CALL(mdb_env_set_userctx(NULL, NULL));
    see("%d", mdb_env_get_userctx(NULL) == NULL);
    CALL(mdb_env_set_assert(NULL, NULL));
    CALL(mdb_reader_check(NULL, NULL));
    see("%d", mdb_reader_list(NULL, NULL, NULL));
    see("%d", mdb_env_get_maxkeysize(NULL));
    mdb_env_close(NULL);

    CALL(mdb_env_create(&env));
    CALL(mdb_env_get_flags(env, NULL));
    CALL(mdb_env_get_maxreaders(env, NULL));
    CALL(mdb_env_get_path(env, NULL));
    CALL(mdb_env_get_fd(env, NULL));
    CALL(mdb_env_stat(env, NULL));
    CALL(mdb_env_info(env, NULL));
    CALL(mdb_env_get_path(env, &path));
    see("path %s", path ? path : "NULL");
    CALL(mdb_env_get_fd(env, &fd));
    see("fd %d", fd);
    CALL(mdb_env_get_flags(env, &n));
    see("flags %#x", n);
    CALL(mdb_env_get_maxreaders(env, &n));
    see("readers %u", n);
    see("%d", mdb_env_get_userctx(env) == NULL);
    CALL(mdb_env_set_userctx(env, &info));
    see("%d", mdb_env_get_userctx(env) == &info);
    CALL(mdb_env_set_assert(env, NULL));
    CALL(mdb_env_sync(env, 1));
    CALL(mdb_env_sync(env, 0));
    CALL(mdb_reader_check(env, NULL));
    see("%d", mdb_env_get_maxkeysize(env));
    mdb_env_close(env);
}

static void settings(void)
{
    MDB_env *env;
    unsigned n;
    const char *path;
    int fd;
    struct stat a;
    struct stat b;

    part("settings");
    CALL(mdb_env_create(&env));
    CALL(mdb_env_set_maxreaders(env, 0));
    CALL(mdb_env_set_maxreaders(env, 1));
    CALL(mdb_env_get_maxreaders(env, &n));
    see("%u", n);
    CALL(mdb_env_set_maxreaders(env, 300));
    CALL(mdb_env_set_maxdbs(env, 0));
    CALL(mdb_env_set_maxdbs(env, 3));
    CALL(mdb_env_open(env, "./.", 0, 0644));
    CALL(mdb_env_get_maxreaders(env, &n));
    see("%u", n);
    CALL(mdb_env_set_maxreaders(env, 5));
    CALL(mdb_env_set_maxreaders(env, 0));
    CALL(mdb_env_set_maxdbs(env, 7));
    CALL(mdb_env_get_path(env, &path));
    see("path %s", path);
    CALL(mdb_env_get_fd(env, &fd));
    fstat(fd, &a);
    stat("data.mdb", &b);
    see("the data file: %d, %d bytes", a.st_ino == b.st_ino && a.st_dev == b.st_dev,
        (int)(a.st_size > 0));
    CALL(mdb_env_open(env, ".", 0, 0644));
    CALL(mdb_env_open(env, "other", 0, 0644));
    CALL(mdb_env_sync(env, 0));
    CALL(mdb_env_sync(env, 1));
    see_env(env);
    mdb_env_close(env);

    CALL(mdb_env_create(&env));
    CALL(mdb_env_open(env, ".", MDB_RDONLY, 0644));
    CALL(mdb_env_sync(env, 0));
    CALL(mdb_env_sync(env, 1));
    CALL(mdb_env_set_flags(env, MDB_NOSYNC, 1));
    CALL(mdb_env_sync(env, 0));
    see_env(env);
    mdb_env_close(env);
}

/* An open that failed before there was a data file may be tried again, others not. */
static void again(void)
{
    MDB_env *env;

    part("again");
    CALL(mdb_env_create(&env));
    CALL(mdb_env_open(env, "folder", 0, 0644));
    mkdir("folder", 0755);
    CALL(mdb_env_open(env, "folder", 0, 0644));
    mdb_env_close(env);
    write_file("junk", "junkjunkjunk", 12);
    CALL(mdb_env_create(&env));
    CALL(mdb_env_open(env, "junk", MDB_NOSUBDIR, 0644));
    CALL(mdb_env_open(env, "folder", 0, 0644));
    mdb_env_close(env);
    CALL(mdb_env_create(&env));
    CALL(mdb_env_open(env, "folder", 0x2, 0644));
    CALL(mdb_env_open(env, "folder", 0, 0644));
    see_env(env);
    mdb_env_close(env);
}

static void run(const struct both *both)
{
    (void)both;
    umask(022);
    refused();
    flags_refused();
    nulls();
    settings();
    again();
}

BOTH_MAIN(run)
