/* SPDX-License-Identifier: MIT */
/* Owns the steps that change records and tables, and the tables of all kinds. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fault_kinds.h"
#include "fault_steps.h"
#include "ledger.h"

/* ---- Tables of all kinds ---- */

const char *fault_kind_name(enum fault_kind kind)
{
    static const char *const names[FAULT_KINDS] = {"k.counted", "k.reverse", "k.uint",
                                                   "k.custom",  "k.aligned", "k.duplicates",
                                                   "k.fixed"};

    return names[kind];
}

int fault_kind_open(struct kv_txn *txn, enum fault_kind kind, uint32_t flags, kv_table *table_out)
{
    struct kv_table_options options = KV_TABLE_OPTIONS_INIT;

    if (kind == FAULT_KIND_COUNTED)
        options.flags = KV_COUNTED;
    if (kind >= FAULT_KIND_DUPLICATES)
        options.flags = KV_DUPLICATES | (kind == FAULT_KIND_FIXED ? KV_FIXED : 0);
    if (kind == FAULT_KIND_REVERSE)
        options.order = KV_ORDER_REVERSE;
    if (kind == FAULT_KIND_UINT)
        options.order = KV_ORDER_UINT;
    if (kind == FAULT_KIND_ALIGNED)
        options.align = 16;
    if (kind == FAULT_KIND_CUSTOM) {
        options.order = KV_ORDER_CUSTOM;
        options.comparator = "length";
    }
    return kv_table_open(txn, fault_kind_name(kind), flags, &options, table_out);
}

void fault_record_of(enum fault_kind kind, unsigned key, unsigned value,
                     struct fault_record *record_out)
{
    struct fault_record *r = record_out;
    int size;

    memset(r, 0, sizeof(*r));
    size = snprintf(r->key_text, sizeof(r->key_text), "key%03u", key);
    r->key.data = r->key_text;
    r->key.size = (size_t)size;
    if (kind == FAULT_KIND_UINT) {
        r->number = key * 3;
        r->key.data = &r->number;
        r->key.size = sizeof(r->number);
    }
    memset(r->value_text, 'a' + (int)(key % 26), sizeof(r->value_text));
    size = snprintf(r->value_text, sizeof(r->value_text), "value%03u", value);
    r->value.data = r->value_text;
    r->value.size = kind == FAULT_KIND_FIXED ? (size_t)size : sizeof(r->value_text) - key;
}

static int fill_kind(struct kv_txn *txn, enum fault_kind kind)
{
    unsigned values = kind >= FAULT_KIND_DUPLICATES ? FAULT_VALUES : 1;
    struct fault_record r;
    kv_table table;
    int rc = fault_kind_open(txn, kind, KV_CREATE, &table);

    if (!rc)
        rc = kv_table_empty(txn, table);
    for (unsigned k = 0; !rc && k < FAULT_KEYS; k++) {
        for (unsigned v = 0; !rc && v < values; v++) {
            fault_record_of(kind, k * 7 % FAULT_KEYS, v, &r);
            rc = kv_put(txn, table, &r.key, &r.value, 0);
        }
    }
    return rc;
}

int step_kinds(struct steps *steps)
{
    struct kv_txn *txn;
    int rc = steps_begin(steps, NULL, &txn);

    if (rc)
        return rc;
    for (unsigned kind = 0; !rc && kind < FAULT_KINDS; kind++)
        rc = fill_kind(txn, (enum fault_kind)kind);
    return steps_end(steps, txn, steps->durability, rc);
}

/* ---- Records ---- */

static struct kv_val text(const char *bytes)
{
    return (struct kv_val){strlen(bytes), (void *)(uintptr_t)bytes};
}

static int open_scratch(struct kv_txn *txn, kv_table *table_out)
{
    int rc = kv_table_open(txn, "scratch", KV_CREATE, NULL, table_out);

    return rc ? rc : kv_table_empty(txn, *table_out);
}

static int swap_and_add(struct kv_txn *txn, kv_table table)
{
    struct kv_val key = text("key");
    struct kv_val other = text("other");
    struct kv_val one = text("one");
    struct kv_val two = text("two");
    struct kv_val old;
    int64_t sum = 0;
    uint64_t number;
    int rc = kv_replace(txn, table, &key, &one, &old);

    if (!rc && old.data)
        rc = steps_wrong("an emptied table has a value");
    if (!rc)
        rc = kv_swap(txn, table, &key, &one, &two, &old);
    if (!rc && (old.size != 3 || memcmp(old.data, "one", 3) != 0))
        rc = steps_wrong("a swap found another value");
    if (!rc)
        rc = kv_add(txn, table, &other, 5, &sum);
    if (!rc)
        rc = kv_add(txn, table, &other, -2, &sum);
    if (!rc && sum != 3)
        rc = steps_wrong("a sum is wrong");
    if (!rc)
        rc = kv_sequence(txn, table, 3, &number);
    if (!rc)
        rc = kv_del(txn, table, &key, NULL);
    return rc;
}

/* Enough to split pages, and to delete some of them by a range. */
static int fill_and_delete(struct kv_txn *txn, kv_table table)
{
    struct kv_range range = KV_RANGE_INIT;
    struct kv_val from = text("n1");
    struct kv_val to = text("n6");
    uint64_t deleted = 0;
    char bytes[300] = {0};
    char name[16];
    int rc = 0;

    for (unsigned i = 0; !rc && i < 200; i++) {
        struct kv_val value = {sizeof(bytes) - i, bytes};
        struct kv_val key = {0, name};

        key.size = (size_t)snprintf(name, sizeof(name), "n%u", i * 37 % 1000);
        rc = kv_put(txn, table, &key, &value, KV_NOOVERWRITE);
    }
    range.from = &from;
    range.to = &to;
    if (!rc)
        rc = kv_del_range(txn, table, &range, &deleted);
    return rc == 0 && deleted == 0 ? steps_wrong("a range was not deleted") : rc;
}

int step_values(struct steps *steps)
{
    struct kv_txn *txn;
    kv_table table;
    int rc = steps_begin(steps, NULL, &txn);

    if (rc)
        return rc;
    rc = open_scratch(txn, &table);
    if (!rc)
        rc = swap_and_add(txn, table);
    if (!rc)
        rc = fill_and_delete(txn, table);
    return steps_end(steps, txn, steps->durability, rc);
}

/* Values in runs of their own; more than the least dirty budget, so that pages are spilled. */
int step_large(struct steps *steps)
{
    struct kv_txn *txn;
    kv_table table;
    char name[16];
    int rc = steps_begin(steps, NULL, &txn);

    if (rc)
        return rc;
    rc = open_scratch(txn, &table);
    for (unsigned i = 0; !rc && i < 30; i++) {
        struct kv_val key = {0, name};
        struct kv_val value = {20000 + i, NULL};

        key.size = (size_t)snprintf(name, sizeof(name), "large%u", i);
        rc = kv_put(txn, table, &key, &value, KV_RESERVE);
        if (!rc)
            memset(value.data, (int)i, value.size);
    }
    return steps_end(steps, txn, steps->durability, rc);
}

static int change_by_cursor(struct kv_cursor *cursor)
{
    struct kv_val key = text("c");
    struct kv_val value = text("by cursor");
    struct kv_val found;
    enum kv_place place;
    int rc = kv_cursor_put(cursor, &key, &value, 0);

    value = text("again");
    if (!rc)
        rc = kv_cursor_put(cursor, NULL, &value, KV_AT_CURSOR);
    key = text("d");
    if (!rc)
        rc = kv_cursor_put(cursor, &key, &value, 0);
    if (!rc)
        rc = kv_cursor_get(cursor, KV_PREV, &key, &found);
    if (!rc && (found.size != value.size || memcmp(found.data, "again", found.size) != 0))
        rc = steps_wrong("a cursor put another value");
    if (!rc)
        rc = kv_cursor_del(cursor, 0);
    if (!rc)
        rc = kv_cursor_place(cursor, &place);
    return rc == 0 && place == KV_PLACE_NONE ? steps_wrong("a cursor lost its place") : rc;
}

int step_cursors(struct steps *steps)
{
    struct kv_cursor *cursor;
    struct kv_txn *txn;
    kv_table table;
    int rc = steps_begin(steps, NULL, &txn);

    if (rc)
        return rc;
    rc = open_scratch(txn, &table);
    if (!rc)
        rc = kv_cursor_open(txn, table, &cursor);
    if (!rc) {
        rc = change_by_cursor(cursor);
        kv_cursor_close(cursor);
    }
    return steps_end(steps, txn, steps->durability, rc);
}

/* ---- Tables and settings ---- */

int step_drop(struct steps *steps)
{
    struct kv_txn *txn;
    kv_table table;
    kv_table renamed;
    int rc = steps_begin(steps, NULL, &txn);

    if (rc)
        return rc;
    rc = kv_table_open(txn, "passing", KV_CREATE, NULL, &table);
    if (!rc)
        rc = kv_table_rename(txn, table, "passed");
    if (!rc)
        rc = kv_table_open(txn, "passed", 0, NULL, &renamed);
    if (!rc && renamed != table)
        rc = steps_wrong("a renamed table has another handle");
    if (!rc)
        rc = kv_table_drop(txn, table);
    if (!rc)
        rc = open_scratch(txn, &table);
    if (!rc)
        rc = kv_table_drop(txn, table);
    rc = steps_end(steps, txn, steps->durability, rc);
    return rc ? rc : kv_table_close(steps->env, table);
}

int step_settings(struct steps *steps)
{
    char marker[KV_MARKER_BYTES] = "marker";
    char found[KV_MARKER_BYTES];
    uint64_t limit = 0;
    struct kv_txn *txn;
    int rc = steps_begin(steps, NULL, &txn);

    if (rc)
        return rc;
    rc = kv_marker_set(txn, marker, sizeof(marker));
    if (!rc)
        rc = kv_limit_set(txn, (uint64_t)32 << 20);
    if (!rc)
        rc = kv_marker_get(txn, found);
    if (!rc)
        rc = kv_limit_get(txn, &limit);
    if (!rc && (memcmp(marker, found, sizeof(found)) != 0 || limit != (uint64_t)32 << 20))
        rc = steps_wrong("a marker or limit is another");
    return steps_end(steps, txn, steps->durability, rc);
}

/* ---- Kinds of txns ---- */

static int change_nested(struct kv_txn *parent, int keep)
{
    struct kv_txn_options options = {.parent = parent};
    struct kv_val key = text("nested");
    struct kv_val value = text(keep ? "kept" : "dropped");
    struct kv_txn *child;
    kv_table table;
    int rc = kv_txn_begin(kv_txn_env(parent), KV_WRITE, &options, &child);

    if (rc)
        return rc;
    rc = open_scratch(child, &table);
    if (!rc)
        rc = fill_and_delete(child, table);
    if (!rc)
        rc = kv_put(child, table, &key, &value, 0);
    if (!rc && keep)
        return kv_txn_commit(child);
    kv_txn_abort(child);
    return rc;
}

int step_nested(struct steps *steps)
{
    struct kv_val key = text("nested");
    struct kv_val value;
    struct kv_txn *txn;
    kv_table table;
    int rc = steps_begin(steps, NULL, &txn);

    if (rc)
        return rc;
    rc = change_nested(txn, 1);
    if (!rc)
        rc = change_nested(txn, 0);
    if (!rc)
        rc = kv_table_open(txn, "scratch", 0, NULL, &table);
    if (!rc)
        rc = kv_get(txn, table, &key, &value);
    if (!rc && (value.size != 4 || memcmp(value.data, "kept", 4) != 0))
        rc = steps_wrong("a nested txn left another value");
    return steps_end(steps, txn, steps->durability, rc);
}

static int load(struct kv_txn *txn, kv_table table)
{
    char bytes[200] = "bulk";
    char name[16];
    struct kv_bulk *bulk;
    int rc = kv_bulk_begin(txn, table, 90, &bulk);
    int end_rc;

    if (rc)
        return rc;
    for (unsigned i = 0; !rc && i < 400; i++) {
        struct kv_val key = {0, name};
        struct kv_val value = {sizeof(bytes), bytes};

        key.size = (size_t)snprintf(name, sizeof(name), "b%05u", i == 300 ? 7 : i);
        rc = kv_bulk_put(bulk, &key, &value, 0);
    }
    end_rc = kv_bulk_end(bulk);
    return rc ? rc : end_rc;
}

int step_bulk(struct steps *steps)
{
    struct kv_table_stat stat;
    struct kv_txn *txn;
    kv_table table;
    int rc = steps_begin(steps, NULL, &txn);

    if (rc)
        return rc;
    rc = open_scratch(txn, &table);
    if (!rc)
        rc = load(txn, table);
    if (!rc)
        rc = kv_table_stat(txn, table, &stat);
    if (!rc && stat.entries != 399)
        rc = steps_wrong("a bulk build has other records");
    return steps_end(steps, txn, steps->durability, rc);
}

/* Nothing of it is to be seen. */
int step_abort(struct steps *steps)
{
    struct kv_txn *txn;
    kv_table table;
    int rc = kv_txn_begin(steps->env, KV_WRITE | KV_TRY, NULL, &txn);

    if (rc)
        return rc;
    rc = open_scratch(txn, &table);
    if (!rc)
        rc = fill_and_delete(txn, table);
    kv_txn_abort(txn);
    return rc;
}

int step_no_change(struct steps *steps)
{
    struct kv_txn *txn;
    int rc = kv_txn_begin(steps->env, KV_WRITE, NULL, &txn);

    return rc ? rc : kv_txn_commit(txn);
}
