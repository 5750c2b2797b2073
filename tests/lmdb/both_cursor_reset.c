/* SPDX-License-Identifier: MIT */
/*
 * Cursors of a read txn that is reset and renewed without mdb_cursor_renew: they go on where they
 * stood, as some clients (PHP's dba) rely on.
 */
#include "both.h"

#include <stdio.h>
#include <string.h>

#define RECORDS 300

static MDB_dbi fill(MDB_env *env, const char *name, unsigned flags)
{
    MDB_txn *txn = both_begin(env, NULL, 0);
    MDB_dbi dbi;
    char key[16];
    char value[16];

    MUST(mdb_dbi_open(txn, name, flags | MDB_CREATE, &dbi));
    for (int i = 0; i < RECORDS; i++) {
        snprintf(key, sizeof(key), "key%03d", flags & MDB_DUPSORT ? i / 50 : i);
        snprintf(value, sizeof(value), "value%03d", i);
        MUST(both_put(txn, dbi, key, value, 0));
    }
    MUST(mdb_txn_commit(txn));
    return dbi;
}

static void see_get(MDB_cursor *cursor, MDB_cursor_op op)
{
    MDB_val key = {0, NULL};
    MDB_val value = {0, NULL};
    int rc = CALL(mdb_cursor_get(cursor, &key, &value, op));

    if (!rc)
        see("%.*s %.*s", (int)key.mv_size, (char *)key.mv_data, (int)value.mv_size,
            (char *)value.mv_data);
}

static void renew(MDB_txn *txn)
{
    mdb_txn_reset(txn);
    MUST(mdb_txn_renew(txn));
}

/* A step, a reset, a step, ... from end to end, forward and back. */
static void steps(MDB_env *env, MDB_dbi dbi)
{
    MDB_txn *txn = both_begin(env, NULL, MDB_RDONLY);
    MDB_cursor *cursor;

    MUST(mdb_cursor_open(txn, dbi, &cursor));
    for (int i = 0; i <= RECORDS; i++) {
        see_get(cursor, MDB_NEXT);
        renew(txn);
    }
    see_get(cursor, MDB_GET_CURRENT);
    for (int i = 0; i <= RECORDS; i++) {
        renew(txn);
        see_get(cursor, MDB_PREV);
    }
    mdb_cursor_close(cursor);
    mdb_txn_abort(txn);
}

/* Two cursors, each where it was; one that has no place, and calls while the txn is reset. */
static void states(MDB_env *env, MDB_dbi dbi)
{
    MDB_txn *txn = both_begin(env, NULL, MDB_RDONLY);
    MDB_cursor *first, *last, *fresh;

    MUST(mdb_cursor_open(txn, dbi, &first));
    MUST(mdb_cursor_open(txn, dbi, &last));
    MUST(mdb_cursor_open(txn, dbi, &fresh));
    see_get(first, MDB_FIRST);
    see_get(last, MDB_LAST);
    mdb_txn_reset(txn);
    see_get(first, MDB_NEXT);
    see_get(fresh, MDB_FIRST);
    see("of the txn still: %d", mdb_cursor_txn(first) == txn);
    MUST(mdb_txn_renew(txn));
    see_get(first, MDB_NEXT);
    see_get(last, MDB_PREV);
    see_get(last, MDB_GET_CURRENT);
    see_get(fresh, MDB_NEXT);
    mdb_txn_reset(txn);
    mdb_cursor_close(first);
    MUST(mdb_txn_renew(txn));
    CALL(mdb_cursor_renew(txn, last));
    see_get(last, MDB_NEXT);
    mdb_txn_reset(txn);
    mdb_txn_abort(txn);
    mdb_cursor_close(last);
    mdb_cursor_close(fresh);
}

static void run(const struct both *both)
{
    static const struct {
        const char *name;
        unsigned flags;
    } kinds[] = {{"plain", 0}, {"dup", MDB_DUPSORT}, {"fixed", MDB_DUPSORT | MDB_DUPFIXED}};

    (void)both;
    for (unsigned notls = 0; notls < 2; notls++) {
        MDB_env *env;

        part(notls ? "without threads' readers" : "with threads' readers");
        env = both_env("env", notls ? MDB_NOTLS : 0);
        for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
            MDB_dbi dbi = fill(env, kinds[i].name, kinds[i].flags);

            see("table %s", kinds[i].name);
            steps(env, dbi);
            states(env, dbi);
        }
        mdb_env_close(env);
    }
}

BOTH_MAIN(run)
