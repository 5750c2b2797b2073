/* SPDX-License-Identifier: MIT */
/*
 * What was imported, in use: tables of every kind, and of orders that the program brings. For
 * test_lmdb_import.c; the argument is what to do, and in which folder beside the present one.
 *
 *     make FOLDER   makes them
 *     use FOLDER    reads them, changes them, reads them again
 */
#include "both.h"

#include <stdio.h>
#include <string.h>

#define RECORDS 400u
#define SHOWN 3u
#define TABLES_MAX (BOTH_KINDS + 4)

/* Orders of the program's own. */
static int descending(const MDB_val *a, const MDB_val *b)
{
    size_t size = a->mv_size < b->mv_size ? a->mv_size : b->mv_size;
    int order = memcmp(b->mv_data, a->mv_data, size);

    return order ? order : (int)b->mv_size - (int)a->mv_size;
}

static const struct own {
    const char *name;
    unsigned flags;
    bool keys;
    bool values;
} owns[] = {
    {"own keys", 0, true, false},
    {"own values", MDB_DUPSORT, false, true},
    {"own pairs", MDB_DUPSORT | MDB_DUPFIXED, true, true},
    {"odd integers", MDB_INTEGERKEY, false, false},
};

#define OWN_COUNT (sizeof(owns) / sizeof(owns[0]))

static MDB_val key_of(unsigned flags, const char *name, uint64_t number)
{
    if (strcmp(name, "odd integers") == 0)
        return val_bytes(val_u64(number).mv_data, 6);
    if (flags & MDB_INTEGERKEY)
        return val_u64(number);
    return val_format("key %llu", (unsigned long long)number);
}

static MDB_val value_of(unsigned flags, uint64_t number)
{
    if (flags & MDB_INTEGERDUP)
        return val_u32((uint32_t)number);
    if (flags & MDB_DUPFIXED)
        return val_format("value %08llu", (unsigned long long)number);
    return val_format("%llu is the value", (unsigned long long)number);
}

static MDB_dbi open_table(MDB_txn *txn, const char *name, unsigned flags, const struct own *own)
{
    MDB_dbi dbi;

    MUST(mdb_dbi_open(txn, *name ? name : NULL, flags, &dbi));
    if (own && own->keys)
        MUST(mdb_set_compare(txn, dbi, descending));
    if (own && own->values)
        MUST(mdb_set_dupsort(txn, dbi, descending));
    return dbi;
}

static void fill(MDB_txn *txn, MDB_dbi dbi, unsigned flags, const char *name, uint64_t first)
{
    for (uint64_t i = 0; i < RECORDS; i++) {
        uint64_t number = first + i * 7919 % 401;
        MDB_val key = key_of(flags, name, flags & MDB_DUPSORT ? number % 13 : number);
        MDB_val value = value_of(flags, number);
        int rc = mdb_put(txn, dbi, &key, &value, 0);

        if (rc)
            see("put %s: %s", name, both_name(rc));
    }
}

static void look_up(MDB_txn *txn, MDB_dbi dbi, unsigned flags, const char *name)
{
    unsigned found = 0;

    for (uint64_t number = 0; number < 1000; number += 3) {
        MDB_val key = key_of(flags, name, number);
        MDB_val value;

        if (mdb_get(txn, dbi, &key, &value) == 0)
            found++;
    }
    see("%u found", found);
}

static void erase(MDB_txn *txn, MDB_dbi dbi, unsigned flags, const char *name)
{
    unsigned erased = 0;

    for (uint64_t number = 0; number < 1000; number += 5) {
        MDB_val key = key_of(flags, name, flags & MDB_DUPSORT ? number % 13 : number);
        MDB_val value = value_of(flags, number);

        if (mdb_del(txn, dbi, &key, &value) == 0)
            erased++;
    }
    see("%u erased", erased);
}

/* The records of named tables, in the main one, tell of pages. */
static void see_records(MDB_txn *txn, MDB_dbi dbi, const char *name)
{
    MDB_stat stat;

    if (*name) {
        see_table(txn, dbi, SHOWN);
        return;
    }
    MUST(mdb_stat(txn, dbi, &stat));
    see("%zu records", stat.ms_entries);
}

static void use_table(MDB_env *env, const char *name, unsigned flags, const struct own *own)
{
    MDB_txn *txn = both_begin(env, NULL, 0);
    MDB_dbi dbi = open_table(txn, name, 0, own);
    unsigned kept;

    MUST(mdb_dbi_flags(txn, dbi, &kept));
    see("table %s: flags %x", name, kept);
    see_records(txn, dbi, name);
    look_up(txn, dbi, flags, name);
    fill(txn, dbi, flags, name, 300);
    see_records(txn, dbi, name);
    erase(txn, dbi, flags, name);
    CALL(mdb_txn_commit(txn));
    txn = both_begin(env, NULL, MDB_RDONLY);
    see_records(txn, dbi, name);
    mdb_txn_abort(txn);
}

static void make_table(MDB_env *env, const char *name, unsigned flags, const struct own *own)
{
    MDB_txn *txn = both_begin(env, NULL, 0);
    MDB_dbi dbi = open_table(txn, name, flags | MDB_CREATE, own);

    fill(txn, dbi, flags, name, 0);
    MUST(mdb_txn_commit(txn));
}

static MDB_env *open_env(const char *path, bool make)
{
    MDB_env *env;
    MDB_envinfo info;

    MUST(mdb_env_create(&env));
    if (make)
        MUST(mdb_env_set_mapsize(env, 12345 * 4096));
    MUST(mdb_env_set_maxdbs(env, TABLES_MAX));
    MUST(mdb_env_open(env, path, 0, 0644));
    MUST(mdb_env_info(env, &info));
    see("map of %zu bytes", info.me_mapsize);
    return env;
}

static void run(const struct both *both)
{
    bool make = strncmp(both->argument, "make ", 5) == 0;
    void (*table)(MDB_env *, const char *, unsigned, const struct own *) =
        make ? make_table : use_table;
    char path[200];
    MDB_env *env;

    snprintf(path, sizeof(path), "../%s", strchr(both->argument, ' ') + 1);
    env = open_env(path, make);
    table(env, "", 0, NULL);
    for (size_t i = 0; i < BOTH_KINDS; i++)
        table(env, both_kinds[i].name, both_kinds[i].flags, NULL);
    for (size_t i = 0; i < OWN_COUNT; i++)
        table(env, owns[i].name, owns[i].flags, &owns[i]);
    mdb_env_close(env);
}

BOTH_MAIN(run)
