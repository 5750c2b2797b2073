/* SPDX-License-Identifier: MIT */
/*
 * Operations on records, by key and by cursor; see stream.h.
 */
#include "stream.h"

#include <stdio.h>
#include <string.h>

static const char *flags_text(unsigned flags)
{
    static const struct {
        unsigned flag;
        const char *name;
    } names[] = {
        {MDB_NOOVERWRITE, "NOOVERWRITE "}, {MDB_NODUPDATA, "NODUPDATA "},
        {MDB_CURRENT, "CURRENT "},         {MDB_RESERVE, "RESERVE "},
        {MDB_APPEND, "APPEND "},           {MDB_APPENDDUP, "APPENDDUP "},
        {MDB_MULTIPLE, "MULTIPLE "},
    };
    static char text[128];
    char *to = text;

    *to = 0;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (flags & names[i].flag) {
            to += sprintf(to, "%s", names[i].name);
        }
    }
    return text;
}

static const char *const op_names[] = {
    "FIRST",         "FIRST_DUP",  "GET_BOTH",  "GET_BOTH_RANGE", "GET_CURRENT",
    "GET_MULTIPLE",  "LAST",       "LAST_DUP",  "NEXT",           "NEXT_DUP",
    "NEXT_MULTIPLE", "NEXT_NODUP", "PREV",      "PREV_DUP",       "PREV_NODUP",
    "SET",           "SET_KEY",    "SET_RANGE", "PREV_MULTIPLE",
};

static bool has_dups(const struct stream_table *table)
{
    return table->flags & MDB_DUPSORT;
}

static bool has_fixed(const struct stream_table *table)
{
    return has_dups(table) && (table->flags & MDB_DUPFIXED);
}

/* A value that was read. The records of named tables hold page numbers: only their size is told. */
static const char *read_text(const struct stream_table *table, const MDB_val *data)
{
    if (table->dbi == 1 && data->mv_size == 48) {
        return "48: a record, perhaps of a table";
    }
    return val_text(data);
}

/* ---- By key ---------------------------------------------------------------------------------- */

static void do_get(struct stream *s, MDB_txn *txn, const struct stream_table *table)
{
    MDB_val key = stream_key(s, table);
    MDB_val data = {0, NULL};
    int rc = mdb_get(txn, table->dbi, &key, &data);

    tell("get %s %s = %s %s", table->name, val_text(&key), rc_text(rc),
         rc ? "" : read_text(table, &data));
}

static void do_compare(struct stream *s, MDB_txn *txn, const struct stream_table *table)
{
    MDB_val a = stream_key(s, table);
    MDB_val b = stream_key(s, table);
    MDB_val c = stream_value(s, table);
    MDB_val d = stream_value(s, table);
    int diff;

    if (a.mv_size == 0 || b.mv_size == 0 || c.mv_size == 0 || d.mv_size == 0) {
        return;
    }
    if (!(table->flags & MDB_INTEGERKEY) || a.mv_size == b.mv_size) {
        diff = mdb_cmp(txn, table->dbi, &a, &b);
        tell("cmp %s %s %s = %d", table->name, val_text(&a), val_text(&b), (diff > 0) - (diff < 0));
    }
    if (has_dups(table)) {
        diff = mdb_dcmp(txn, table->dbi, &c, &d);
        tell("dcmp %s %s %s = %d", table->name, val_text(&c), val_text(&d),
             (diff > 0) - (diff < 0));
    }
}

static unsigned put_flags(struct stream *s, const struct stream_table *table)
{
    static const unsigned single[] = {MDB_NOOVERWRITE, MDB_NODUPDATA, MDB_APPEND,
                                      MDB_APPENDDUP,   MDB_RESERVE,   MDB_NOOVERWRITE};
    unsigned flags = 0;

    if (chance(s, 50)) {
        return 0;
    }
    flags = single[below(s, 6)];
    if (chance(s, 15)) {
        flags |= single[below(s, 6)];
    }
    if (has_dups(table)) {
        flags &= ~(unsigned)MDB_RESERVE; /* "must not be": what happens then is open */
    }
    return flags;
}

/* What RESERVE gave is filled in. */
static void fill_reserved(unsigned flags, int rc, const MDB_val *given, MDB_val *data)
{
    if (rc == 0 && (flags & MDB_RESERVE)) {
        tell("  reserved %zu", data->mv_size);
        memcpy(data->mv_data, given->mv_data, data->mv_size);
    }
}

static void do_put(struct stream *s)
{
    struct stream_table *table = stream_pick(s);
    MDB_val key = stream_key(s, table);
    MDB_val given = stream_value(s, table);
    MDB_val data = given;
    unsigned flags = put_flags(s, table);
    int rc;

    if (chance(s, 1) && chance(s, 20)) {
        flags |= chance(s, 50) ? MDB_CURRENT : MDB_MULTIPLE; /* refused */
    }
    rc = mdb_put(stream_top(s), table->dbi, &key, &data, flags);
    tell("put %s %s %s %s= %s %s", table->name, val_text(&key), val_text(&given), flags_text(flags),
         rc_text(rc), rc == MDB_KEYEXIST && (flags & MDB_NOOVERWRITE) ? val_text(&data) : "");
    fill_reserved(flags, rc, &given, &data);
    stream_tried(s, rc);
    stream_changed(s, table, NULL, &key, false);
}

static void do_del(struct stream *s)
{
    struct stream_table *table = stream_pick(s);
    MDB_val key = stream_key(s, table);
    MDB_val data = stream_value(s, table);
    bool pair = chance(s, 70);
    int rc = mdb_del(stream_top(s), table->dbi, &key, pair ? &data : NULL);

    tell("del %s %s %s = %s", table->name, val_text(&key), pair ? val_text(&data) : "all",
         rc_text(rc));
    stream_tried(s, rc);
    if (rc == 0) {
        stream_changed(s, table, NULL, &key, true);
    }
}

void stream_place_begin(struct stream_place *place)
{
    memset(place, 0, sizeof *place);
    place->fresh = true;
}

static void place_on(struct stream_place *place, const MDB_val *key)
{
    place->loose = false;
    place->fresh = false;
    place->next = false;
    place->end = false;
    place->forth = false;
    place->on = key->mv_size <= sizeof place->key;
    if (place->on) {
        place->key_size = key->mv_size;
        memcpy(place->key, key->mv_data, key->mv_size);
    }
}

static bool place_is(const struct stream_place *place, const MDB_val *key)
{
    return place->key_size == key->mv_size && memcmp(place->key, key->mv_data, key->mv_size) == 0;
}

/* A change after the end was met: whether there is a record behind is then known only for one page. */
static void place_may_end(struct stream_place *place, const struct stream_table *table)
{
    if (place->end && (!table->small || has_dups(table))) {
        place->loose = true;
    }
}

void stream_changed(struct stream *s, const struct stream_table *table,
                    const struct stream_cursor *by, const MDB_val *key, bool deleted)
{
    for (int i = 0; i < STREAM_CURSORS; i++) {
        struct stream_place *place = &s->cursors[i].place;

        if (s->cursors[i].table != table || &s->cursors[i] == by) {
            continue;
        }
        place->next = false;
        place_may_end(place, table);
        if (has_dups(table) || !key) {
            place->on = false;
            place->end = true; /* its record may have been the last one, and gone */
        } else if (place->on && deleted && place_is(place, key)) {
            place->on = false;
            place->next = true;
            place->end = true;
        }
    }
}

/* ---- Cursors: reading ------------------------------------------------------------------------ */

/* Where a cursor stands after a search that found nothing, and what it then goes to, depends on where
 * a page ends: of tables with more pages than one, that is not compared. */
static bool op_asks_place(MDB_cursor_op op)
{
    switch (op) {
    case MDB_FIRST:
    case MDB_LAST:
    case MDB_SET:
    case MDB_SET_KEY:
    case MDB_SET_RANGE:
    case MDB_GET_BOTH:
    case MDB_GET_BOTH_RANGE:
        return false;
    default:
        return true;
    }
}

/* After a delete the genuine library's NEXT finds the right value of a key with several only where it
 * came by one of these. */
static bool op_goes_forth(MDB_cursor_op op)
{
    return !op_asks_place(op) ? op != MDB_LAST
                              : op == MDB_NEXT || op == MDB_NEXT_DUP || op == MDB_NEXT_NODUP;
}

/* Whether it is fixed what the operation gives. A cursor whose record is gone is compared only as far
 * as NEXT and GET_CURRENT right after: later records may be put where it stands. And in a table with
 * duplicates the genuine library looks at a record where a cursor stands behind the last one, or
 * nowhere yet, or where another took away or moved the values that it stood among: it finds garbage. */
static bool may_ask(const struct stream_table *table, const struct stream_place *place,
                    MDB_cursor_op op)
{
    if (place->loose) {
        return false;
    }
    if (place->on || (place->fresh && !has_dups(table))) {
        return true;
    }
    return (place->next || place->fresh) && (op == MDB_NEXT || op == MDB_GET_CURRENT);
}

#define MANY_BYTES                                                                                 \
    ((size_t)16 << 20) /* more than a key ever has: values that come again and again */

/* All values of the key under the cursor, in pieces of any size, from the first. */
static void get_multiple(MDB_cursor *cursor)
{
    unsigned char first[8] = {0};
    MDB_val key = {0, NULL};
    MDB_val data = {0, NULL};
    size_t bytes = 0;
    size_t count = 0;
    uint64_t hash = 0;
    int rc = mdb_cursor_get(cursor, &key, &data, MDB_FIRST_DUP);

    rc = rc ? rc : mdb_cursor_count(cursor, &count);
    tell("  FIRST_DUP, count = %s %zu", rc_text(rc), count);
    if (rc || count < 2) {
        return; /* the genuine library goes on into nowhere, or gives what it had before */
    }
    rc = mdb_cursor_get(cursor, &key, &data, MDB_GET_MULTIPLE);
    tell("  GET_MULTIPLE = %s", rc_text(rc));
    while (rc == 0 && bytes < MANY_BYTES) {
        for (size_t i = 0; i < data.mv_size; i++) {
            hash = both_hash(hash, (uint8_t *)data.mv_data + i, 1);
        }
        memcpy(first, data.mv_data, data.mv_size < 8 ? data.mv_size : 8);
        bytes += data.mv_size;
        rc = mdb_cursor_get(cursor, &key, &data, MDB_NEXT_MULTIPLE);
    }
    tell("  multiple: %zu bytes #%08x, then %s", bytes, (unsigned)(hash ^ hash >> 32), rc_text(rc));
}

void stream_cursor_get(struct stream *s, MDB_cursor *cursor, const struct stream_table *table,
                       struct stream_place *place)
{
    MDB_cursor_op op = (MDB_cursor_op)below(s, MDB_PREV_MULTIPLE + 1);
    MDB_val key = stream_key(s, table);
    MDB_val data = stream_value(s, table);
    MDB_val asked_key = key;
    MDB_val asked_data = data;
    bool asks;
    int rc;

    if (chance(s, 40)) {
        op = chance(s, 50) ? MDB_NEXT : chance(s, 50) ? MDB_PREV : MDB_SET_RANGE;
    }
    asks = op_asks_place(op);
    if (asks && !may_ask(table, place, op)) {
        return;
    }
    if (op == MDB_GET_MULTIPLE || op == MDB_NEXT_MULTIPLE || op == MDB_PREV_MULTIPLE) {
        if (has_fixed(table)) {
            get_multiple(cursor);
            return;
        }
    }
    rc = mdb_cursor_get(cursor, &key, &data, op);
    tell("cursor get %s %s %s %s = %s %s %s", table->name, op_names[op],
         asks || op == MDB_FIRST || op == MDB_LAST ? "" : val_text(&asked_key),
         op == MDB_GET_BOTH || op == MDB_GET_BOTH_RANGE ? val_text(&asked_data) : "", rc_text(rc),
         rc || op == MDB_FIRST_DUP || op == MDB_LAST_DUP ? "" : val_text(&key),
         rc ? "" : read_text(table, &data));
    if (rc == 0) {
        bool dup =
            place->end && (op == MDB_FIRST_DUP || op == MDB_LAST_DUP || op == MDB_GET_CURRENT);

        place_on(place, &key);
        place->end = dup || op == MDB_LAST;
        place->forth = op_goes_forth(op);
    } else if (!asks) {
        place->on = false;
        place->next = false;
        place->fresh = false;
        place->end = true;
        place->loose = !table->small || has_dups(table);
    } else if (op != MDB_GET_CURRENT) {
        place->next = false;
        place->end |= rc == MDB_NOTFOUND;
    }
}

static void do_count(MDB_cursor *cursor, const struct stream_table *table)
{
    size_t count = 0;
    int rc = mdb_cursor_count(cursor, &count);

    tell("cursor count %s = %s %zu", table->name, rc_text(rc), rc ? 0 : count);
}

/* ---- Cursors: changing ----------------------------------------------------------------------- */

/* Whether a new value for the pair under the cursor sorts into its place: asked of a cursor of its
 * own. */
static bool fits_place(struct stream *s, const struct stream_table *table, const MDB_val *key,
                       const MDB_val *old, const MDB_val *data)
{
    MDB_cursor *cursor = NULL;
    bool fits = true;

    for (int i = 0; i < 2 && fits; i++) {
        MDB_val k = *key;
        MDB_val d = *old;
        int rc = mdb_cursor_open(stream_top(s), table->dbi, &cursor);

        if (rc == 0) {
            rc = mdb_cursor_get(cursor, &k, &d, MDB_GET_BOTH);
        }
        tell("  pair %s", rc_text(rc));
        fits = rc == 0;
        rc = fits ? mdb_cursor_get(cursor, &k, &d, i ? MDB_NEXT_DUP : MDB_PREV_DUP) : rc;
        if (rc == 0) {
            int diff = mdb_dcmp(stream_top(s), table->dbi, data, &d);

            fits = i ? diff < 0 : diff > 0;
        }
        mdb_cursor_close(cursor);
    }
    return fits;
}

/* The record under the cursor gets another value. */
static void put_current(struct stream *s, struct stream_cursor *c)
{
    static uint8_t kept[2][512];
    MDB_val key = {0, NULL};
    MDB_val old = {0, NULL};
    MDB_val data = stream_value(s, c->table);
    int rc = mdb_cursor_get(c->cursor, &key, &old, MDB_GET_CURRENT);

    tell("current %s = %s", c->table->name, rc_text(rc));
    if (rc || key.mv_size > 511) {
        return;
    }
    key.mv_data = memcpy(kept[0], key.mv_data, key.mv_size);
    if (has_dups(c->table)) {
        if (old.mv_size > 511 || data.mv_size != old.mv_size) {
            return;
        }
        old.mv_data = memcpy(kept[1], old.mv_data, old.mv_size);
        if (!fits_place(s, c->table, &key, &old, &data)) {
            return;
        }
    }
    rc = mdb_cursor_put(c->cursor, &key, &data, MDB_CURRENT);
    tell("put current %s %s %s = %s", c->table->name, val_text(&key), val_text(&data), rc_text(rc));
    stream_tried(s, rc);
    stream_changed(s, c->table, c, &key, false);
}

static void cursor_has_put(struct stream *s, struct stream_cursor *c, const MDB_val *key,
                           unsigned flags, int rc)
{
    bool end = c->place.end || (flags & (MDB_APPEND | MDB_APPENDDUP | MDB_MULTIPLE));

    stream_tried(s, rc);
    stream_changed(s, c->table, c, key, false);
    if (rc == 0) {
        place_on(&c->place, key);
        c->place.loose = end; /* what it remembers of that end is not undone by a put */
        c->place.end = end;
    } else {
        c->place.on = false;
        c->place.next = false;
        c->place.fresh = false;
        c->place.end = end;
        c->place.loose = !c->table->small || has_dups(c->table);
    }
}

/* How many values a key has, 0: none. */
static size_t values_of(struct stream *s, const struct stream_table *table, MDB_val key)
{
    MDB_cursor *cursor = NULL;
    MDB_val data;
    size_t count = 0;
    int rc = mdb_cursor_open(stream_top(s), table->dbi, &cursor);

    if (rc == 0) {
        rc = mdb_cursor_get(cursor, &key, &data, MDB_SET);
    }
    if (rc == 0) {
        rc = mdb_cursor_count(cursor, &count);
    }
    tell("  values = %s %zu", rc_text(rc), count);
    mdb_cursor_close(cursor);
    return count;
}

/* Several values of one key at once. Not where one of them is met while it is the only one of the key:
 * the genuine library then stops, and says that all is well. */
static void put_multiple(struct stream *s, struct stream_cursor *c)
{
    static uint8_t many[65536];
    size_t size =
        c->table->flags & MDB_INTEGERDUP && c->table->value_size != 8 ? 4 : c->table->value_size;
    size_t count = 1 + below(s, c->table->small ? 5 : 100);
    MDB_val key = stream_key(s, c->table);
    MDB_val data[2];
    unsigned flags = MDB_MULTIPLE | (chance(s, 20) ? MDB_NODUPDATA : 0);
    size_t present;
    int rc;

    for (size_t i = 0; i < count; i++) {
        MDB_val one = stream_value(s, c->table);

        memcpy(many + i * size, one.mv_data, size);
    }
    data[0] = val_bytes(many, size);
    data[1] = val_bytes(NULL, count);
    present = values_of(s, c->table, key);
    if (present == 1 || (present == 0 && count > 1 && memcmp(many, many + size, size) == 0)) {
        return;
    }
    rc = mdb_cursor_put(c->cursor, &key, data, flags);
    tell("put multiple %s %s %zu of %zu %s= %s, %zu", c->table->name, val_text(&key), count, size,
         flags_text(flags), rc_text(rc), data[1].mv_size);
    cursor_has_put(s, c, &key, flags, rc);
}

static void cursor_put(struct stream *s, struct stream_cursor *c)
{
    MDB_val key = stream_key(s, c->table);
    MDB_val given = stream_value(s, c->table);
    MDB_val data = given;
    unsigned flags = put_flags(s, c->table);
    int rc = mdb_cursor_put(c->cursor, &key, &data, flags);

    tell("cursor put %s %s %s %s= %s %s", c->table->name, val_text(&key), val_text(&given),
         flags_text(flags), rc_text(rc),
         rc == MDB_KEYEXIST && (flags & MDB_NOOVERWRITE) ? val_text(&data) : "");
    stream_tried(s, rc);
    fill_reserved(flags, rc, &given, &data);
    cursor_has_put(s, c, &key, flags, rc);
}

/* Whether the key has a value behind the one under the cursor. Where it has not, the genuine library
 * goes on at the next key, at the value whose number it has in mind from the key before. */
static bool has_more(struct stream *s, const struct stream_cursor *c)
{
    MDB_cursor *cursor = NULL;
    MDB_val key = {0, NULL};
    MDB_val data = {0, NULL};
    int rc = mdb_cursor_get(c->cursor, &key, &data, MDB_GET_CURRENT);

    if (rc == 0) {
        rc = mdb_cursor_open(stream_top(s), c->table->dbi, &cursor);
    }
    if (rc == 0) {
        rc = mdb_cursor_get(cursor, &key, &data, MDB_GET_BOTH);
    }
    if (rc == 0) {
        rc = mdb_cursor_get(cursor, &key, &data, MDB_NEXT_DUP);
    }
    mdb_cursor_close(cursor);
    tell("  more values = %s", rc_text(rc));
    return rc == 0;
}

static void cursor_del(struct stream *s, struct stream_cursor *c)
{
    unsigned flags = chance(s, 20) ? MDB_NODUPDATA : 0;
    bool more = !has_dups(c->table) || (c->place.forth && has_more(s, c));
    MDB_val key;
    int rc = mdb_cursor_del(c->cursor, flags);

    tell("cursor del %s %s= %s", c->table->name, flags_text(flags), rc_text(rc));
    stream_tried(s, rc);
    key = val_bytes(c->place.key, c->place.key_size);
    if (rc == 0) {
        stream_changed(s, c->table, c, c->place.on ? &key : NULL, true);
        c->place.on = false;
        c->place.next = more;
        if (c->place.end || (has_dups(c->table) && flags)) {
            c->place.loose = true; /* NEXT may know no more records, or give the same one twice */
        }
        c->place.end = true; /* it may have been the last one */
    }
}

static void open_cursor(struct stream *s, struct stream_cursor *c)
{
    int rc;

    c->table = stream_pick(s);
    c->level = s->level;
    stream_place_begin(&c->place);
    rc = mdb_cursor_open(stream_top(s), c->table->dbi, &c->cursor);
    tell("cursor open %s = %s", c->table->name, rc_text(rc));
    if (rc) {
        c->cursor = NULL;
        return;
    }
    tell("  of dbi %u, txn %s", mdb_cursor_dbi(c->cursor),
         mdb_cursor_txn(c->cursor) == stream_top(s) ? "same" : "other");
}

static void do_cursor(struct stream *s)
{
    unsigned number = below(s, STREAM_CURSORS);
    struct stream_cursor *c = &s->cursors[number];
    unsigned what = below(s, 100);

    tell_who('a' + number);

    if (!c->cursor) {
        open_cursor(s, c);
        return;
    }
    if (c->level != s->level) {
        return; /* a parent's: not to be used while its child lives */
    }
    if (what < 2) {
        mdb_cursor_close(c->cursor);
        c->cursor = NULL;
        tell("cursor close");
    } else if (what < 55) {
        stream_cursor_get(s, c->cursor, c->table, &c->place);
    } else if (chance(s, s->grow)) {
        if (what < 65 && has_fixed(c->table)) {
            put_multiple(s, c);
        } else if (what < 75) {
            if (may_ask(c->table, &c->place, MDB_LAST_DUP)) {
                put_current(s, c);
            }
        } else {
            cursor_put(s, c);
        }
    } else if (!may_ask(c->table, &c->place, MDB_LAST_DUP)) {
        return;
    } else if (what < 65) {
        do_count(c->cursor, c->table);
    } else {
        cursor_del(s, c);
    }
}

/* ---- Tables as a whole ----------------------------------------------------------------------- */

void stream_walk(struct stream *s, MDB_txn *txn, MDB_dbi dbi, const char *what)
{
    MDB_cursor *cursor = NULL;
    MDB_val key;
    MDB_val data;
    uint64_t hash = 0;
    size_t count = 0;
    int rc = mdb_cursor_open(txn, dbi, &cursor);

    (void)s;
    tell("walk %s: %s", what, rc_text(rc));
    if (rc) {
        return;
    }
    while ((rc = mdb_cursor_get(cursor, &key, &data, MDB_NEXT)) == 0) {
        const char *text = dbi == 1 && data.mv_size == 48 ? "48" : val_text(&data);

        hash = both_hash(hash, text, strlen(text));
        text = val_text(&key);
        hash = both_hash(hash, text, strlen(text));
        count++;
    }
    mdb_cursor_close(cursor);
    tell("  %zu records, #%08x, %s", count, (unsigned)(hash ^ hash >> 32), rc_text(rc));
}

void stream_see_table(struct stream *s, MDB_txn *txn, const struct stream_table *table)
{
    MDB_stat stat;
    unsigned flags = 0;
    int rc = mdb_stat(txn, table->dbi, &stat);

    (void)s;
    tell("stat %s = %s entries %zu", table->name, rc_text(rc), rc ? 0 : stat.ms_entries);
    if (rc == 0 && table->small) {
        tell("  psize %u depth %u branch %zu leaf %zu overflow %zu", stat.ms_psize, stat.ms_depth,
             stat.ms_branch_pages, stat.ms_leaf_pages, stat.ms_overflow_pages);
    }
    rc = mdb_dbi_flags(txn, table->dbi, &flags);
    tell("flags %s = %s %#x", table->name, rc_text(rc), rc ? 0 : flags);
}

void stream_read_op(struct stream *s, MDB_txn *txn, struct stream_table *table)
{
    unsigned what = below(s, 100);

    if (what < 80) {
        do_get(s, txn, table);
    } else if (what < 90) {
        do_compare(s, txn, table);
    } else if (what < 97) {
        stream_see_table(s, txn, table);
    } else {
        stream_walk(s, txn, table->dbi, table->name);
    }
}

void stream_write_op(struct stream *s)
{
    unsigned what = below(s, 100);

    if (what < 50) {
        do_cursor(s);
        tell_who(0);
    } else if (what < 85) {
        if (chance(s, s->grow)) {
            do_put(s);
        } else {
            do_del(s);
        }
    } else {
        stream_read_op(s, stream_top(s), stream_pick(s));
    }
}
