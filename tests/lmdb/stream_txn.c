/* SPDX-License-Identifier: MIT */
/*
 * Txns, tables and readers of a stream; see stream.h.
 *
 * What is left out, and why: a parent's cursors are not used while its child lives, and a handle is
 * closed only when no txn uses it, because LMDB's documentation forbids it and the genuine library
 * then does as it happens.
 */
#include "stream.h"

#include <string.h>

MDB_txn *stream_top(const struct stream *s)
{
    return s->txns[s->level];
}

/* ---- Tables ---------------------------------------------------------------------------------- */

static unsigned named_count(const struct stream *s)
{
    return s->tables[0].kind & (MDB_DUPSORT | MDB_INTEGERKEY) ? 0 : STREAM_TABLES - 1;
}

/* Orders are kept by the handle, and are to be given before the first record. */
static void set_orders(MDB_txn *txn, const struct stream_table *table)
{
    int rc;

    if (!table->custom) {
        return;
    }
    rc = mdb_set_compare(txn, table->dbi,
                         table->keys % 2 ? stream_compare_down : stream_compare_length);
    tell("set compare %s = %s", table->name, rc_text(rc));
    if (table->flags & MDB_DUPSORT) {
        rc = mdb_set_dupsort(txn, table->dbi, stream_compare_down);
        tell("set dupsort %s = %s", table->name, rc_text(rc));
    }
}

static void open_table(struct stream *s, MDB_txn *txn, struct stream_table *table, bool create)
{
    unsigned flags = table->kind | (create ? (unsigned)MDB_CREATE : 0);
    bool main_table = table == &s->tables[0];
    int rc = mdb_dbi_open(txn, main_table ? NULL : table->name, flags, &table->dbi);

    tell("dbi open %s %#x = %s %u", table->name, flags, rc_text(rc), rc ? 0 : table->dbi);
    if (rc) {
        return;
    }
    rc = mdb_dbi_flags(txn, table->dbi, &table->flags);
    tell("  flags = %s %#x", rc_text(rc), table->flags);
    if (!table->open) {
        table->open = true;
        table->level = s->level;
        table->since = stream_told();
    }
    set_orders(txn, table);
}

struct stream_table *stream_pick(struct stream *s)
{
    struct stream_table *table = &s->tables[below(s, 1 + named_count(s))];

    if (!table->open && chance(s, 30)) {
        open_table(s, stream_top(s), table, true);
    }
    return table->open ? table : &s->tables[0];
}

/* First of all, and with all its flags: the env keeps the orders that they ask for, whatever becomes
 * of the txn, and those who use it by then would have the wrong ones. */
void stream_open_main(struct stream *s)
{
    stream_begin(s);
    open_table(s, stream_top(s), &s->tables[0], true);
    stream_end_level(s, true);
}

/* Cursors on a table, of all levels and readers. */
static bool has_cursors(const struct stream *s, const struct stream_table *table)
{
    for (int i = 0; i < STREAM_CURSORS; i++) {
        if (s->cursors[i].cursor && s->cursors[i].table == table) {
            return true;
        }
    }
    return false;
}

void stream_cursors_close(struct stream *s, const struct stream_table *table)
{
    for (int r = 0; r < STREAM_READERS; r++) {
        for (int i = 0; i < STREAM_READER_CURSORS; i++) {
            struct stream_reader_cursor *c = &s->readers[r].cursors[i];

            if (c->cursor && (!table || c->table == table)) {
                mdb_cursor_close(c->cursor);
                c->cursor = NULL;
            }
        }
    }
}

/* Emptied, or removed with its handle. The main one with named ones beside it only where nothing else
 * goes on: their handles are closed afterwards. */
static void drop_table(struct stream *s)
{
    struct stream_table *table = stream_pick(s);
    bool del = chance(s, 40);
    bool main_table = table == &s->tables[0];
    int rc;

    if (s->nested) {
        return;
    }
    if (main_table ? named_count(s) > 0 : del && has_cursors(s, table)) {
        return;
    }
    if (del && !main_table) {
        stream_cursors_close(s, table);
    }
    rc = mdb_drop(stream_top(s), table->dbi, del);
    tell("drop %s %d = %s", table->name, del, rc_text(rc));
    s->dropped = true;
    stream_tried(s, rc);
    if (rc == 0 && del && !main_table) {
        table->open = false;
    }
    for (int i = 0; i < STREAM_CURSORS; i++) {
        struct stream_cursor *c = &s->cursors[i];

        if (rc == 0 && c->cursor && c->table == table) {
            stream_place_begin(&c->place);
            c->place.fresh = false; /* all but: it may still know that its record was deleted */
            c->place.next = true;
        }
    }
}

/* Without a write txn: a handle is closed, or opened by a read txn. */
static void handle_op(struct stream *s)
{
    struct stream_table *table = &s->tables[1 + below(s, STREAM_TABLES - 1)];
    MDB_txn *txn = NULL;
    int rc;

    if (table->open) {
        stream_cursors_close(s, table);
        mdb_dbi_close(s->env, table->dbi);
        tell("dbi close %s", table->name);
        table->open = false;
        return;
    }
    if (s->readers[0].txn || named_count(s) == 0) {
        return;
    }
    rc = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &txn);
    tell("begin to open = %s", rc_text(rc));
    if (rc) {
        return;
    }
    open_table(s, txn, table, chance(s, 10));
    if (table->open && chance(s, 70)) {
        stream_read_op(s, txn, table);
    }
    if (chance(s, 70)) {
        tell("commit reader = %s", rc_text(mdb_txn_commit(txn)));
    } else {
        mdb_txn_abort(txn);
        tell("abort reader");
        table->open = false;
    }
}

void stream_table_op(struct stream *s)
{
    struct stream_table *table;

    if (s->level == 0) {
        handle_op(s);
        return;
    }
    if (chance(s, 20)) {
        drop_table(s);
        return;
    }
    table = stream_pick(s);
    if (chance(s, 30)) {
        open_table(s, stream_top(s), table, chance(s, 50));
    }
    stream_see_table(s, stream_top(s), table);
}

/* ---- Write txns ------------------------------------------------------------------------------ */

void stream_begin(struct stream *s)
{
    int rc;

    if (s->env_flags & MDB_NOLOCK) {
        for (int i = 0; i < STREAM_READERS; i++) {
            if (s->readers[i].txn && !s->readers[i].reset) {
                return; /* without locks it would write over what they read */
            }
        }
    }
    rc = mdb_txn_begin(s->env, s->level ? stream_top(s) : NULL, 0, &s->txns[s->level + 1]);

    tell("begin at %d = %s", s->level, rc_text(rc));
    if (rc == 0) {
        s->nested = s->level > 0;
        s->dropped = s->dropped && s->level;
        s->level++;
        s->tried[s->level] = false;
        s->changed[s->level] = false;
        tell("  id %zu, env %s", mdb_txn_id(stream_top(s)),
             mdb_txn_env(stream_top(s)) == s->env ? "same" : "other");
    }
}

/* The handles that a txn opened: its parent's when it is committed, else closed. */
static void end_handles(struct stream *s, bool kept)
{
    for (unsigned i = 1; i < STREAM_TABLES; i++) {
        struct stream_table *table = &s->tables[i];

        if (table->open && table->level == s->level) {
            table->open = kept;
            table->level--;
            table->since = stream_told();
        }
    }
}

void stream_tried(struct stream *s, int rc)
{
    s->tried[s->level] = true;
    s->changed[s->level] |= rc == 0;
}

/* A txn in which all changes failed uses up a txnid or does not, as the pages were that it looked at. */
static bool may_commit(const struct stream *s)
{
    return s->level > 1 || !s->tried[1] || s->changed[1];
}

void stream_end_level(struct stream *s, bool commit)
{
    int rc = 0;

    commit = commit && may_commit(s);
    for (int i = 0; i < STREAM_CURSORS; i++) {
        if (s->cursors[i].cursor && s->cursors[i].level == s->level) {
            if (chance(s, 50)) {
                mdb_cursor_close(s->cursors[i].cursor); /* else with the txn */
            }
            s->cursors[i].cursor = NULL;
        }
    }
    if (commit) {
        rc = mdb_txn_commit(stream_top(s));
        tell("commit at %d = %s", s->level, rc_text(rc));
    } else {
        mdb_txn_abort(stream_top(s));
        tell("abort at %d", s->level);
    }
    end_handles(s, commit && rc == 0);
    s->level--;
    s->tried[s->level] |= s->tried[s->level + 1];
    s->changed[s->level] |= commit && s->changed[s->level + 1];
    for (int i = 0; i < STREAM_CURSORS; i++) {
        struct stream_cursor *c = &s->cursors[i];

        /* those of the parent may see pages as they were before */
        if (c->cursor && (!c->table->small || (c->table->flags & MDB_DUPSORT))) {
            c->place.loose = true;
        }
    }
}

void stream_end_all(struct stream *s)
{
    while (s->level) {
        stream_end_level(s, chance(s, 70));
    }
}

void stream_txn_op(struct stream *s)
{
    if (s->level == 0) {
        stream_begin(s);
    } else if (chance(s, 35) && !s->dropped && s->level <= STREAM_LEVELS) {
        stream_begin(s);
    } else if (chance(s, 50) || s->level > 1) {
        stream_end_level(s, chance(s, 75));
    }
}

/* ---- Readers --------------------------------------------------------------------------------- */

/* A cursor that its txn left behind is fit for renewal. */
static void leave_cursors(struct stream_reader *reader)
{
    for (int i = 0; i < STREAM_READER_CURSORS; i++) {
        reader->cursors[i].stale = true;
    }
}

static void reader_life(struct stream *s, struct stream_reader *reader)
{
    int rc;

    if (!reader->txn) {
        rc = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &reader->txn);
        tell("reader begin = %s %zu", rc_text(rc), rc ? 0 : mdb_txn_id(reader->txn));
        reader->reset = false;
        reader->since = stream_told();
        if (rc) {
            reader->txn = NULL;
        }
    } else if (reader->reset && chance(s, 70)) {
        rc = mdb_txn_renew(reader->txn);
        tell("reader renew = %s %zu", rc_text(rc), rc ? 0 : mdb_txn_id(reader->txn));
        reader->reset = rc != 0;
        reader->since = stream_told();
    } else if (!reader->reset && chance(s, 40)) {
        mdb_txn_reset(reader->txn);
        tell("reader reset");
        reader->reset = true;
        leave_cursors(reader);
    } else if (!reader->reset && chance(s, 30)) {
        tell("reader commit = %s", rc_text(mdb_txn_commit(reader->txn)));
        reader->txn = NULL;
        leave_cursors(reader);
    } else if (!reader->reset && chance(s, 10)) {
        tell("reader renewed while live = %s", rc_text(mdb_txn_renew(reader->txn)));
    } else {
        mdb_txn_abort(reader->txn);
        tell("reader abort");
        reader->txn = NULL;
        leave_cursors(reader);
    }
}

static void reader_cursor(struct stream *s, struct stream_reader *reader,
                          struct stream_table *table)
{
    struct stream_reader_cursor *c = &reader->cursors[below(s, STREAM_READER_CURSORS)];
    int rc;

    tell_who(
        (unsigned)('A' + (reader - s->readers) * STREAM_READER_CURSORS + (c - reader->cursors)));
    if (!c->cursor) {
        c->table = table;
        stream_place_begin(&c->place);
        c->stale = false;
        rc = mdb_cursor_open(reader->txn, table->dbi, &c->cursor);
        tell("reader cursor open %s = %s", table->name, rc_text(rc));
        if (rc) {
            c->cursor = NULL;
        }
    } else if (c->stale || chance(s, 2)) {
        rc = mdb_cursor_renew(reader->txn, c->cursor);
        tell("reader cursor renew %s = %s", c->table->name, rc_text(rc));
        if (rc == 0) {
            c->stale = false;
            stream_place_begin(&c->place);
        }
    } else if (chance(s, 2)) {
        mdb_cursor_close(c->cursor);
        c->cursor = NULL;
        tell("reader cursor close");
    } else {
        stream_cursor_get(s, c->cursor, c->table, &c->place);
    }
}

void stream_reader_op(struct stream *s)
{
    struct stream_reader *reader = &s->readers[below(s, STREAM_READERS)];
    struct stream_table *table = &s->tables[below(s, STREAM_TABLES)];

    if (!reader->txn || chance(s, 8)) {
        if (s->level && (s->env_flags & MDB_NOLOCK)) {
            return; /* its caller would have to keep readers and writers apart */
        }
        reader_life(s, reader);
        return;
    }
    if (!table->open || table->level || table->since > reader->since) {
        return;
    }
    if (reader->reset) {
        tell("reset reader stat = %s", rc_text(mdb_stat(reader->txn, table->dbi, &(MDB_stat){0})));
        return;
    }
    if (chance(s, 70)) {
        reader_cursor(s, reader, table);
        tell_who(0);
    } else {
        stream_read_op(s, reader->txn, table);
    }
}
