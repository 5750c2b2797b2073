/* SPDX-License-Identifier: MIT */
/*
 * What the programs both_*.c share: their main, and printing; see both.h.
 *
 * Called as: PROGRAM genuine|drop-in FOLDER SEED SCALE FIRST END [ARGUMENT]. The first word says which
 * library this process is meant to have got, and the program ends at once if it is not so: without
 * that, two runs on one library would agree for ever.
 */
#include "both.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MARK "libkv drop-in for LMDB" /* stands in the drop-in's file, and in no other */

static char start_folder[4096];

static void fail(const char *what, const char *more)
{
    (void)fflush(stdout);
    fprintf(stderr, "%s: %s\n", what, more);
    _exit(3);
}

/* Whether the file holds the mark. */
static bool is_marked(const char *path)
{
    FILE *file = fopen(path, "rb");
    size_t met = 0;
    int c;

    if (!file) {
        fail(path, strerror(errno));
    }
    while (met < sizeof MARK - 1 && (c = getc(file)) != EOF) {
        met = c == MARK[met] ? met + 1 : c == MARK[0];
    }
    (void)fclose(file);
    return met == sizeof MARK - 1;
}

static void check_library(const char *expected)
{
    void *function = dlsym(RTLD_DEFAULT, "mdb_version");
    Dl_info info;

    if (!function || !dladdr(function, &info)) {
        fail("mdb_version", "not found");
    }
    if (is_marked(info.dli_fname) != (strcmp(expected, "drop-in") == 0)) {
        fail(info.dli_fname, "is not the library that was wanted");
    }
}

int both_main(int argc, char **argv, void (*run)(const struct both *both))
{
    struct both both;

    if (argc < 7) {
        fprintf(stderr, "%s genuine|drop-in FOLDER SEED SCALE FIRST END [ARGUMENT]\n", argv[0]);
        return 2;
    }
    check_library(argv[1]);
    if (chdir(argv[2]) != 0 || !getcwd(start_folder, sizeof start_folder)) {
        fail(argv[2], strerror(errno));
    }
    both.seed = strtoull(argv[3], NULL, 0);
    both.scale = (unsigned)strtoul(argv[4], NULL, 0);
    both.first = strtoull(argv[5], NULL, 0);
    both.end = strtoull(argv[6], NULL, 0);
    both.argument = argc > 7 ? argv[7] : "";
    setvbuf(stdout, NULL, _IOLBF, 0);
    (void)umask(022);
    run(&both);
    return 0;
}

uint64_t both_scaled(const struct both *both, uint64_t count)
{
    uint64_t result = count / 100 * both->scale + count % 100 * both->scale / 100;

    return result ? result : 1;
}

void part(const char *name)
{
    see("== %s", name);
    if (chdir(start_folder) != 0 || mkdir(name, 0755) != 0 || chdir(name) != 0) {
        fail(name, strerror(errno));
    }
}

/* ---- Printing -------------------------------------------------------------------------------- */

void see(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vprintf(format, args);
    va_end(args);
    (void)putchar('\n');
}

const char *both_name(int rc)
{
    static const char *const names[] = {
        "MDB_KEYEXIST",    "MDB_NOTFOUND",         "MDB_PAGE_NOTFOUND", "MDB_CORRUPTED",
        "MDB_PANIC",       "MDB_VERSION_MISMATCH", "MDB_INVALID",       "MDB_MAP_FULL",
        "MDB_DBS_FULL",    "MDB_READERS_FULL",     "MDB_TLS_FULL",      "MDB_TXN_FULL",
        "MDB_CURSOR_FULL", "MDB_PAGE_FULL",        "MDB_MAP_RESIZED",   "MDB_INCOMPATIBLE",
        "MDB_BAD_RSLOT",   "MDB_BAD_TXN",          "MDB_BAD_VALSIZE",   "MDB_BAD_DBI",
    };
    static char text[32];
    const char *name;

    if (rc == MDB_SUCCESS) {
        return "MDB_SUCCESS";
    }
    if (rc >= MDB_KEYEXIST && rc <= MDB_LAST_ERRCODE) {
        return names[rc - MDB_KEYEXIST];
    }
    name = rc > 0 ? strerrorname_np(rc) : NULL;
    if (name) {
        return name;
    }
    (void)snprintf(text, sizeof text, "%d", rc);
    return text;
}

int both_called(int line, const char *text, int rc)
{
    see("%d %s = %s", line, text, both_name(rc));
    return rc;
}

int both_called_pair(int line, const char *text, int rc, const MDB_val *key, const MDB_val *data)
{
    (void)both_called(line, text, rc);
    if (rc == 0) {
        see_pair("   ", key, data);
    }
    return rc;
}

void both_must(const char *file, int line, const char *text, int rc)
{
    if (rc != 0) {
        (void)fflush(stdout);
        fprintf(stderr, "%s:%d: %s = %s\n", file, line, text, both_name(rc));
        _exit(3);
    }
}

uint64_t both_hash(uint64_t hash, const void *data, size_t size_bytes)
{
    const uint8_t *bytes = data;

    for (size_t i = 0; i < size_bytes; i++) {
        hash = (hash ^ bytes[i]) * 0x100000001b3u;
    }
    return (hash ^ size_bytes) * 0x9e3779b97f4a7c15u;
}

static void print_val(const MDB_val *val)
{
    const uint8_t *bytes = val->mv_data;

    printf("%zu:", val->mv_size);
    if (!bytes && val->mv_size) {
        printf("(null)");
    } else if (val->mv_size > 64) {
        printf("#%016llx", (unsigned long long)both_hash(0, bytes, val->mv_size));
    } else {
        for (size_t i = 0; i < val->mv_size; i++) {
            bool plain = bytes[i] > ' ' && bytes[i] < 127 && bytes[i] != '\\';

            printf(plain ? "%c" : "\\%02x", bytes[i]);
        }
    }
}

void see_val(const char *what, const MDB_val *val)
{
    printf("%s ", what);
    print_val(val);
    putchar('\n');
}

void see_pair(const char *what, const MDB_val *key, const MDB_val *data)
{
    printf("%s", what);
    if (key) {
        putchar(' ');
        print_val(key);
    }
    if (data) {
        printf(" -> ");
        print_val(data);
    }
    putchar('\n');
}

/* ---- What an env and its tables are like ----------------------------------------------------- */

static void print_stat(const MDB_stat *stat)
{
    see("    psize %u depth %u branch %zu leaf %zu overflow %zu entries %zu", stat->ms_psize,
        stat->ms_depth, stat->ms_branch_pages, stat->ms_leaf_pages, stat->ms_overflow_pages,
        stat->ms_entries);
}

void see_stat(MDB_txn *txn, MDB_dbi dbi)
{
    MDB_stat stat;
    unsigned flags = 0;
    int rc = mdb_stat(txn, dbi, &stat);

    see("  stat %s", both_name(rc));
    if (rc == 0) {
        print_stat(&stat);
    }
    rc = mdb_dbi_flags(txn, dbi, &flags);
    see("  flags %s %#x", both_name(rc), flags);
}

void see_env(MDB_env *env)
{
    MDB_envinfo info;
    MDB_stat stat;
    unsigned flags = 0;
    int rc = mdb_env_info(env, &info);

    see("  env info %s", both_name(rc));
    if (rc == 0) {
        see("    address %s mapsize %zu last_txnid %zu maxreaders %u",
            info.me_mapaddr ? "given" : "NULL", info.me_mapsize, info.me_last_txnid,
            info.me_maxreaders);
    }
    rc = mdb_env_stat(env, &stat);
    see("  env stat %s", both_name(rc));
    if (rc == 0) {
        print_stat(&stat);
    }
    rc = mdb_env_get_flags(env, &flags);
    see("  env flags %s %#x", both_name(rc), flags);
}

void see_table(MDB_txn *txn, MDB_dbi dbi, size_t most)
{
    MDB_cursor *cursor = NULL;
    MDB_val key;
    MDB_val data;
    uint64_t hash = 0;
    size_t count = 0;
    int rc = mdb_cursor_open(txn, dbi, &cursor);

    see("  table %u: %s", dbi, both_name(rc));
    if (rc) {
        return;
    }
    while ((rc = mdb_cursor_get(cursor, &key, &data, MDB_NEXT)) == 0) {
        if (count++ < most) {
            see_pair("   ", &key, &data);
        } else {
            hash = both_hash(hash, key.mv_data, key.mv_size);
            hash = both_hash(hash, data.mv_data, data.mv_size);
        }
    }
    see("    %zu records, #%016llx, %s", count, (unsigned long long)hash, both_name(rc));
    mdb_cursor_close(cursor);
}

void see_file(const char *path)
{
    struct stat st;

    if (lstat(path, &st) != 0) {
        see("  file %s: %s", path, both_name(errno));
    } else {
        see("  file %s: %o", path, (unsigned)st.st_mode);
    }
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

void see_folder(const char *path)
{
    struct dirent **entries = NULL;
    int count = scandir(path, &entries, NULL, by_name);

    see("  folder %s: %s", path, count < 0 ? both_name(errno) : "there");
    for (int i = 0; i < count; i++) {
        char inner[4096 + 512];

        (void)snprintf(inner, sizeof inner, "%s/%s", path, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.') {
            see_file(inner);
        }
        free(entries[i]);
    }
    free(entries);
}

void see_child(int pid)
{
    int status = 0;

    if (waitpid(pid, &status, 0) != pid) {
        fail("waitpid", strerror(errno));
    }
    if (WIFEXITED(status)) {
        see("child ended with %d", WEXITSTATUS(status));
    } else {
        see("child was ended by signal %d", WTERMSIG(status));
    }
}
