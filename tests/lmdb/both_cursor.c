/* SPDX-License-Identifier: MIT */
/*
 * Where cursors stand: short scripts on small tables, after which both libraries must have said the
 * same. A script is words:
 *
 *     first last next prev nextdup prevdup nextnodup prevnodup current firstdup lastdup
 *     getm nextm prevm          many values of one size
 *     set=K key=K range=K both=K:V brange=K:V
 *     put=K:V no=K:V nodup=K:V app=K:V appdup=K:V cur=K:V        mdb_cursor_put and its flags
 *     many=K:V+V+V              MDB_MULTIPLE
 *     del all count             mdb_cursor_del, with MDB_NODUPDATA, mdb_cursor_count
 *     Put=K:V Del=K Del=K:V     mdb_put, mdb_del
 *     child commit abort drop   nested txns, mdb_drop
 *     dump                      all records
 *
 * Words that begin with "2" are about a second cursor, those that end with "-" ask for no data.
 * Nothing is asked where LMDB 0.9 reads memory that is no record's.
 */
#include "both.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DUP MDB_DUPSORT
#define FIXED (MDB_DUPSORT | MDB_DUPFIXED)

struct script {
    const char *name;
    unsigned flags;
    const char *records;
    const char *words;
};

static const struct script scripts[] = {
    {"fresh next", 0, "a:1 b:2", "next next next next prev"},
    {"fresh prev", 0, "a:1 b:2", "prev prev prev next"},
    {"fresh nodup", 0, "a:1 b:2", "nextnodup nextnodup nextnodup prevnodup"},
    {"fresh dup", 0, "a:1 b:2", "nextdup nextdup nextdup prevdup prevdup"},
    {"fresh others", 0, "a:1",
     "current firstdup lastdup getm nextm prevm del count cur=a:9 both=a:1"},
    {"fresh, empty", 0, "", "first last next prev current set=a range=a del next current"},
    {"fresh next, values", DUP, "a:1 a:2 b:3", "next next next next nextdup"},
    {"fresh nextdup, values", DUP, "a:1 a:2 b:3", "nextdup nextdup nextdup nextnodup nextdup"},
    {"fresh others, values", DUP, "a:1 a:2",
     "current firstdup lastdup getm nextm del all count cur=a:9"},
    {"fresh prevnodup", DUP, "a:1 a:2 b:3 b:4", "prevnodup prevnodup prevnodup current"},
    {"fresh, values, empty", DUP, "", "first last next prev current set=a both=a:1 count del"},

    {"end", 0, "a:1 b:2", "last next next current prev next next prev prev prev current"},
    {"end, then more", 0, "a:1 b:2", "last next Put=c:3 next next current"},
    {"end, values", DUP, "a:1 b:2 b:3", "last next nextdup nextnodup prev next next current"},
    {"end, values, then more", DUP, "a:1 b:2 b:3", "last next Put=b:4 next current"},
    {"first value, then end", DUP, "a:1 b:2 b:3", "last next firstdup next prev next current"},
    {"nodup at the end", DUP, "a:1 b:2 b:3", "set=b nextnodup nextdup prevdup next"},
    {"count forgets the end", DUP, "a:1 b:2 b:3", "set=b nextnodup count next current"},

    {"delete", 0, "a:1 b:2 c:3", "first del current next next current"},
    {"delete, next", 0, "a:1 b:2 c:3", "first del next next next"},
    {"delete, prev", 0, "a:1 b:2 c:3", "set=b del prev next"},
    {"delete first, prev", 0, "a:1 b:2 c:3", "first del prev current next"},
    {"delete, nextdup", 0, "a:1 b:2 c:3", "first del nextdup next"},
    {"delete, refused, next", 0, "a:1 b:2 c:3", "first del both=a:1 next"},
    {"delete last", 0, "a:1 b:2", "last del current next del prev current"},
    {"delete all", 0, "a:1 b:2", "first del del del current next Put=c:3 current next"},
    {"delete twice", 0, "a:1 b:2 c:3", "first del del current dump"},
    {"delete, put, next", 0, "a:1 b:2 c:3", "first del put=b2:4 next current"},
    {"delete, refused put, next", 0, "a:1 b:2 c:3", "first del no=b:4 next next"},
    {"delete, refused append, next", 0, "a:1 b:2 c:3", "first del app=b:4 next current"},
    {"delete, replace", 0, "a:1 b:2 c:3", "first del cur=b:9 next dump"},
    {"another deletes", 0, "a:1 b:2 c:3", "set=b 2set=b 2del current next"},
    {"another deletes, next", 0, "a:1 b:2 c:3", "set=b 2set=b 2del next"},
    {"another deletes, prev", 0, "a:1 b:2 c:3", "set=b 2set=b 2del prev"},
    {"mdb_del, next", 0, "a:1 b:2 c:3", "set=b Del=b next current"},
    {"mdb_del before", 0, "a:1 b:2 c:3", "set=b Del=a current next"},
    {"mdb_del of the last one", 0, "a:1 b:2", "last Del=b next prev current"},
    {"put into a gap", 0, "a:1 b:2 c:3", "set=b Del=b Put=b5:5 next"},
    {"put again into a gap", 0, "a:1 b:2 c:3", "set=b Del=b Put=b:5 current prev"},
    {"emptied by another", 0, "a:1", "first 2first 2del nextdup nextdup current 2current 2next"},
    {"emptied, filled", 0, "a:1", "first Del=a Put=b:2 current next"},
    {"dropped", 0, "a:1 b:2", "last drop current next Put=c:3 current next"},

    {"delete a value", DUP, "a:1 a:2 a:3 b:1", "first del current next next next"},
    {"delete a value, next", DUP, "a:1 a:2 a:3 b:1", "first next del next current"},
    {"delete a value, prev", DUP, "a:1 a:2 a:3 b:1", "first next del prev next"},
    {"delete a value, nextdup", DUP, "a:1 a:2 a:3 b:1", "first del nextdup nextdup nextdup"},
    {"delete a value, prevdup", DUP, "a:1 a:2 a:3 b:1", "first next del prevdup prevdup"},
    {"delete a value, nodup", DUP, "a:1 a:2 a:3 b:1", "first next del nextnodup prevnodup"},
    {"delete the last value", DUP, "a:1 a:2 a:3 b:1", "set=a lastdup del current del nextdup next"},
    {"delete the last value, prev", DUP, "a:1 a:2 a:3 b:1",
     "set=a lastdup del prevdup del current"},
    {"delete the last value, count", DUP, "a:1 a:2 a:3 b:1",
     "set=a lastdup del count firstdup del"},
    {"delete the last value, all", DUP, "a:1 a:2 a:3 b:1", "set=a lastdup del all current dump"},
    {"delete a key", DUP, "a:1 a:2 b:3", "first all current next"},
    {"delete a key, next", DUP, "a:1 a:2 b:3 c:4", "first next all next next"},
    {"delete a single value, next", DUP, "a:1 b:2 b:3 c:4", "first del next next next"},
    {"delete a single value, current", DUP, "a:1 b:2 b:3 c:4", "first del current next next"},
    {"delete a single value, prev", DUP, "a:1 b:2 c:3 c:4 d:5", "set=b del prev next"},
    {"delete a single value, nextdup", DUP, "a:1 b:2 c:4", "first del nextdup next"},
    {"delete value by value", DUP, "a:1 a:2 a:3", "first del del del del current next"},
    {"another deletes a value", DUP, "a:1 a:2 a:3 b:1", "both=a:2 2both=a:2 2del current next"},
    {"another deletes a key", DUP, "a:1 a:2 a:3 b:1", "both=a:2 2set=a 2all current next"},
    {"mdb_del of a pair", DUP, "a:1 a:2 a:3 b:1", "both=a:2 Del=a:2 next Del=a current dump"},
    {"mdb_del of no pair", DUP, "a:1 a:2 b:1", "Del=a:3 Del=b:2 Del=c:1 Del=c dump"},
    {"dropped, values", DUP, "a:1 a:2 b:2", "set=a drop current next count"},

    {"search", 0, "b:1 d:2 f:3", "set=d key=b range=c range=f range=b current"},
    {"search fails, behind", 0, "b:1 d:2 f:3", "set=g current next prev current"},
    {"search fails, before", 0, "b:1 d:2 f:3", "set=a current prev next"},
    {"search fails, between", 0, "b:1 d:2 f:3", "set=e current next prev"},
    {"search fails, delete", 0, "b:1 d:2 f:3", "set=c del dump next"},
    {"search fails, replace", 0, "b:1 d:2 f:3", "set=c current cur=d:9 dump"},
    {"range fails", 0, "b:1 d:2 f:3", "range=g current next del prev next"},
    {"range fails, fresh", 0, "b:1", "range=c next prev"},
    {"search, values", DUP, "b:1 b:2 d:2 d:3 f:3", "set=b key=d range=c range=f next prev"},
    {"search, no data", DUP, "b:1 b:2 d:2", "set=b- next prev- current"},
    {"first, no data", DUP, "b:1 b:2 d:2",
     "first- current- current count del firstdup lastdup first next"},
    {"last, no data", DUP, "b:1 d:2 d:3",
     "last- current- current count del firstdup lastdup last prev"},
    {"first, no data, one value", DUP, "b:1 d:2",
     "first- current count firstdup last- current del dump"},
    {"pairs", DUP, "b:1 b:3 b:5 d:2", "both=b:3 next both=b:1 both=d:2 both=c:2 range=b"},
    {"pairs fail", DUP, "b:1 b:3 b:5 d:2", "both=b:2 current next next"},
    {"pairs fail, behind", DUP, "b:1 b:3 b:5 d:2", "both=b:6 current del prev current"},
    {"pairs fail, behind, next", DUP, "b:1 b:3 b:5 d:2", "both=b:6 next next"},
    {"pairs fail, one value", DUP, "b:1 d:2", "both=d:1 current both=d:3 current prev"},
    {"pair ranges", DUP, "b:1 b:3 b:5 d:2",
     "brange=b:2 brange=b:4 brange=b:6 current brange=d:1 brange=d:3"},
    {"pairs without values", 0, "b:1", "both=b:1 brange=b:1 both=c:1 firstdup count"},

    {"put", 0, "b:1 d:2", "put=c:3 next prev put=a:4 next put=e:5 next prev dump"},
    {"put over", 0, "b:1 d:2", "put=b:33 current next dump"},
    {"put, not over", 0, "b:1 d:2", "last no=b:9 current next no=c:3 current"},
    {"append", 0, "b:1 d:2", "app=e:3 next prev first app=c:4 current next app=e:5 dump"},
    {"append to nothing", 0, "", "app=e:3 current appdup=e:4 dump"},
    {"replace", 0, "b:1 d:2", "first cur=b:9 cur=b:10 current next dump"},
    {"put values", DUP, "b:1 d:2", "put=b:3 put=b:2 next prev prev put=b:2 current dump"},
    {"put values, not over", DUP, "b:1 b:2 d:2", "last no=b:9 current next"},
    {"put values, none twice", DUP, "b:1 b:3 d:2",
     "last nodup=b:3 current prev nodup=b:2 next nodup=d:2 current"},
    {"append values", DUP, "b:1 d:2",
     "appdup=b:2 next first appdup=b:2 current appdup=b:1 current appdup=d:2 dump"},
    {"append keys with values", DUP, "b:1 b:2",
     "first app=b:3 current app=a:1 current app=c:1 current dump"},
    {"replace a value", DUP, "b:1 b:3 b:5 d:2", "both=b:3 cur=b:4 current next prev dump"},
    {"replace a single value", DUP, "b:1 d:2", "first cur=b:77 current next dump"},
    {"put into another's key", DUP, "b:2 d:2", "first 2put=b:1 current prev next next"},
    {"put before another's value", DUP, "b:2 b:4 d:2",
     "both=b:4 2put=b:3 2put=b:1 current prev prev"},

    {"pieces", FIXED, "a:1 a:2 a:3 b:4 c:5 c:6", "set=a getm nextm next getm set=c getm getm next"},
    {"pieces from the middle", FIXED, "a:1 a:2 a:3 b:4",
     "both=a:2 getm prev set=a nextm nextm current"},
    {"pieces backward", FIXED, "a:1 a:2 b:4 c:5 c:6",
     "set=c prevm current set=b prevm set=a next prevm current"},
    {"pieces at the end", FIXED, "a:1 a:2 b:4", "set=a lastdup getm set=a nextdup nextdup getm"},
    {"pieces behind a pair", FIXED, "a:1 a:3 b:4", "both=a:2 getm both=a:4 getm current"},
    {"pieces after an append", FIXED, "a:1 a:2 b:4", "appdup=a:3 getm firstdup getm"},
    {"pieces after a replacement", FIXED, "a:1 a:2 a:4", "last cur=a:5 getm firstdup getm"},
    {"fresh pieces", FIXED, "a:1 a:2 b:4", "nextm nextm next"},
    {"fresh pieces, backward", FIXED, "a:1 b:4 b:5", "prevm current"},
    {"many", FIXED, "a:2 a:4 b:4", "many=a:1+3+5 current next many=c:7+8 prev many=d:1 dump"},
    {"many, some there", FIXED, "a:2 a:4 b:4", "many=a:1+2+3 current dump"},
    {"many without a fixed size", DUP, "a:2 a:4", "many=a:1+3 current dump"},
    {"a value of another size over one", FIXED, "a:2 a:4", "first cur=a:22 dump"},

    {"child moves", 0, "a:1 b:2 c:3", "first child next next commit current next"},
    {"child moves, aborts", 0, "a:1 b:2 c:3", "first child next next abort current next"},
    {"child deletes", 0, "a:1 b:2 c:3", "first child del commit next current"},
    {"child deletes, aborts", 0, "a:1 b:2 c:3", "first child del abort next current"},
    {"child deletes another's", 0, "a:1 b:2 c:3", "set=b 2set=b child 2del next commit current"},
    {"child deletes by mdb_del", 0, "a:1 b:2 c:3", "set=b child Del=b commit next"},
    {"child deletes the last", 0, "a:1 b:2", "last child del commit next prev next"},
    {"child empties", 0, "a:1", "first child del commit current next"},
    {"child of a child", 0, "a:1 b:2 c:3",
     "first child next child next abort current commit current"},
    {"child after a deletion", 0, "a:1 b:2 c:3", "first del child next abort next"},
    {"child, values", DUP, "a:1 a:2 a:3 b:1", "first child next del commit next current"},
    {"child, values, aborts", DUP, "a:1 a:2 a:3 b:1", "both=a:2 child del next abort current next"},
    {"child, fresh", DUP, "a:1 a:2", "current child current next commit next"},
    {"child puts", 0, "a:1 c:3", "first child put=b:2 commit next current dump"},
    {"child drops", 0, "a:1 c:3", "last child drop next commit current next"},
    {"child drops, aborts", 0, "a:1 c:3", "last child drop next abort current prev"},
};

/* ---- A run ---- */

struct run {
    unsigned flags;
    MDB_dbi dbi;
    MDB_txn *txns[4];
    int depth;
    MDB_cursor *cursors[2];
};

static void see_values(const char *word, int rc, const MDB_val *key, const MDB_val *data)
{
    static const char untouched[] = "untouched";

    if (key->mv_data == untouched && data->mv_data == untouched)
        see("%s: %s", word, both_name(rc));
    else
        see("%s: %s %.*s %.*s", word, both_name(rc), (int)key->mv_size, (char *)key->mv_data,
            (int)data->mv_size, (char *)data->mv_data);
}

/* "K:V" in its parts. */
static void split(const char *text, MDB_val *key, MDB_val *data)
{
    const char *colon = strchr(text, ':');

    *key = val_bytes(text, colon ? (size_t)(colon - text) : strlen(text));
    *data = colon ? val_str(colon + 1) : val_str("");
}

static const struct {
    const char *word;
    int op;
} moves[] = {{"first", MDB_FIRST},
             {"last", MDB_LAST},
             {"next", MDB_NEXT},
             {"prev", MDB_PREV},
             {"nextdup", MDB_NEXT_DUP},
             {"prevdup", MDB_PREV_DUP},
             {"nextnodup", MDB_NEXT_NODUP},
             {"prevnodup", MDB_PREV_NODUP},
             {"current", MDB_GET_CURRENT},
             {"firstdup", MDB_FIRST_DUP},
             {"lastdup", MDB_LAST_DUP},
             {"getm", MDB_GET_MULTIPLE},
             {"nextm", MDB_NEXT_MULTIPLE},
             {"prevm", MDB_PREV_MULTIPLE},
             {"set", MDB_SET},
             {"key", MDB_SET_KEY},
             {"range", MDB_SET_RANGE},
             {"both", MDB_GET_BOTH},
             {"brange", MDB_GET_BOTH_RANGE}};

static const struct {
    const char *word;
    unsigned flags;
} puts_of[] = {{"put", 0},          {"no", MDB_NOOVERWRITE},   {"nodup", MDB_NODUPDATA},
               {"app", MDB_APPEND}, {"appdup", MDB_APPENDDUP}, {"cur", MDB_CURRENT}};

static bool is_word(const char *text, const char *word)
{
    size_t length = strlen(word);

    return strncmp(text, word, length) == 0 &&
           (text[length] == '=' || text[length] == '-' || text[length] == 0);
}

static bool move(struct run *run, MDB_cursor *cursor, const char *text, const char *word)
{
    MDB_val key = val_str("untouched"), data = key;
    bool blind = text[strlen(text) - 1] == '-';
    char argument[64] = "";

    (void)run;
    if (strchr(text, '='))
        snprintf(argument, sizeof(argument), "%s", strchr(text, '=') + 1);
    if (blind && argument[0])
        argument[strlen(argument) - 1] = 0;
    for (size_t i = 0; i < sizeof(moves) / sizeof(moves[0]); i++) {
        int rc;

        if (!is_word(text, moves[i].word))
            continue;
        if (argument[0])
            split(argument, &key, &data);
        rc = mdb_cursor_get(cursor, &key, blind ? NULL : &data, (MDB_cursor_op)moves[i].op);
        see_values(word, rc, &key, &data);
        return true;
    }
    return false;
}

static bool put(struct run *run, MDB_cursor *cursor, const char *text, const char *word)
{
    const char *argument = strchr(text, '=');
    MDB_val key, data;

    if (!argument)
        return false;
    split(argument + 1, &key, &data);
    if (is_word(text, "Put")) {
        int rc = mdb_put(run->txns[run->depth], run->dbi, &key, &data, 0);

        see("%s: %s", word, both_name(rc));
        return true;
    }
    for (size_t i = 0; i < sizeof(puts_of) / sizeof(puts_of[0]); i++) {
        if (is_word(text, puts_of[i].word)) {
            int rc = mdb_cursor_put(cursor, &key, &data, puts_of[i].flags);

            see("%s: %s %.*s", word, both_name(rc), (int)data.mv_size, (char *)data.mv_data);
            return true;
        }
    }
    return false;
}

/* "K:V+V+V", each V of one byte. */
static bool put_many(MDB_cursor *cursor, const char *text, const char *word)
{
    char values[16];
    size_t count = 0;
    MDB_val key, list, data[2];
    int rc;

    if (!is_word(text, "many"))
        return false;
    split(strchr(text, '=') + 1, &key, &list);
    for (size_t i = 0; i < list.mv_size; i += 2)
        values[count++] = ((char *)list.mv_data)[i];
    data[0] = val_bytes(values, 1);
    data[1].mv_size = count;
    rc = mdb_cursor_put(cursor, &key, data, MDB_MULTIPLE);
    see("%s: %s, %zu put", word, both_name(rc), data[1].mv_size);
    return true;
}

static bool change(struct run *run, MDB_cursor *cursor, const char *text, const char *word)
{
    MDB_val key, data;
    size_t count = 0;
    int rc;

    if (is_word(text, "del")) {
        rc = mdb_cursor_del(cursor, 0);
    } else if (is_word(text, "all")) {
        rc = mdb_cursor_del(cursor, MDB_NODUPDATA);
    } else if (is_word(text, "count")) {
        rc = mdb_cursor_count(cursor, &count);
    } else if (is_word(text, "Del")) {
        split(strchr(text, '=') + 1, &key, &data);
        rc = mdb_del(run->txns[run->depth], run->dbi, &key, strchr(text, ':') ? &data : NULL);
    } else if (is_word(text, "drop")) {
        rc = mdb_drop(run->txns[run->depth], run->dbi, 0);
    } else {
        return false;
    }
    see("%s: %s %zu", word, both_name(rc), count);
    return true;
}

static bool nest(struct run *run, const char *text, const char *word)
{
    int rc = 0;

    if (is_word(text, "child")) {
        rc = mdb_txn_begin(mdb_txn_env(run->txns[0]), run->txns[run->depth], 0,
                           &run->txns[run->depth + 1]);
        run->depth++;
    } else if (is_word(text, "commit")) {
        rc = mdb_txn_commit(run->txns[run->depth--]);
    } else if (is_word(text, "abort")) {
        mdb_txn_abort(run->txns[run->depth--]);
    } else {
        return false;
    }
    see("%s: %s, the cursor's txn %d", word, both_name(rc),
        mdb_cursor_txn(run->cursors[0]) == run->txns[run->depth]);
    return true;
}

static void obey(struct run *run, const char *word)
{
    bool second = word[0] == '2';
    const char *text = word + second;
    MDB_cursor *cursor = run->cursors[second];

    if (is_word(text, "dump"))
        see_table(run->txns[run->depth], run->dbi, 50);
    else if (!move(run, cursor, text, word) && !put(run, cursor, text, word) &&
             !put_many(cursor, text, word) && !change(run, cursor, text, word) &&
             !nest(run, text, word))
        see("%s: no such word", word);
}

static void fill(struct run *run, const char *records)
{
    char text[256];

    snprintf(text, sizeof(text), "%s", records);
    for (char *rest = NULL, *word = strtok_r(text, " ", &rest); word;
         word = strtok_r(NULL, " ", &rest)) {
        MDB_val key, data;

        split(word, &key, &data);
        MUST(mdb_put(run->txns[0], run->dbi, &key, &data, 0));
    }
}

static void follow(MDB_env *env, const struct script *script)
{
    struct run run = {.flags = script->flags};
    char text[256];

    see("-- %s: %s", script->name, script->records);
    run.txns[0] = both_begin(env, NULL, 0);
    MUST(mdb_dbi_open(run.txns[0], script->name, script->flags | MDB_CREATE, &run.dbi));
    fill(&run, script->records);
    for (int i = 0; i < 2; i++)
        MUST(mdb_cursor_open(run.txns[0], run.dbi, &run.cursors[i]));
    snprintf(text, sizeof(text), "%s", script->words);
    for (char *rest = NULL, *word = strtok_r(text, " ", &rest); word;
         word = strtok_r(NULL, " ", &rest))
        obey(&run, word);
    while (run.depth >= 0)
        mdb_txn_abort(run.txns[run.depth--]);
}

static void run(const struct both *both)
{
    MDB_env *env = both_env("env", MDB_NOSYNC);

    (void)both;
    for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++)
        follow(env, &scripts[i]);
    mdb_env_close(env);
}

BOTH_MAIN(run)
