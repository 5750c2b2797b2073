/* SPDX-License-Identifier: MIT */
/* Owns the steps that read. */
#include <stdio.h>
#include <string.h>

#include "fault_kinds.h"
#include "fault_steps.h"
#include "ledger.h"

static bool same(const struct kv_val *a, const struct kv_val *b)
{
    return a->size == b->size && memcmp(a->data, b->data, a->size) == 0;
}

/* ---- A table of each kind ---- */

static int get_each(struct kv_txn *txn, kv_table table, enum fault_kind kind)
{
    struct fault_record records[FAULT_KEYS];
    struct kv_val keys[FAULT_KEYS];
    struct kv_val values[FAULT_KEYS];
    struct kv_val value;
    size_t found;
    int rc = 0;

    for (unsigned k = 0; k < FAULT_KEYS; k++) {
        fault_record_of(kind, k, 0, &records[k]);
        keys[k] = records[k].key;
    }
    for (unsigned k = 0; !rc && k < FAULT_KEYS; k++) {
        rc = kv_get(txn, table, &keys[k], &value);
        if (rc == KV_ENOTFOUND || (!rc && !same(&value, &records[k].value)))
            rc = steps_wrong("a record is missing, or another");
    }
    if (!rc)
        rc = kv_get_many(txn, table, keys, FAULT_KEYS, values, &found);
    if (!rc && found != FAULT_KEYS)
        rc = steps_wrong("a record of many is missing");
    for (unsigned k = 0; !rc && k < FAULT_KEYS; k++)
        if (!same(&values[k], &records[k].value))
            rc = steps_wrong("a record of many is another");
    return rc;
}

static int walk(struct kv_cursor *cursor, enum kv_cursor_op op, unsigned expected)
{
    struct kv_record records[8];
    unsigned sum = 0;
    size_t count;
    int rc;

    while ((rc = kv_cursor_read(cursor, op, records, 8, &count)) == 0)
        sum += (unsigned)count;
    if (rc != KV_ENOTFOUND)
        return rc;
    return sum == expected ? 0 : steps_wrong("a walk met another number of records");
}

static int move_by_values(struct kv_cursor *cursor, const struct fault_record *r)
{
    struct kv_val key = r->key;
    struct kv_val value = r->value;
    uint64_t count = 0;
    int rc = kv_cursor_get(cursor, KV_EXACT_PAIR, &key, &value);

    if (!rc)
        rc = kv_cursor_count(cursor, &count);
    if (!rc && count != FAULT_VALUES)
        rc = steps_wrong("a key has another number of values");
    if (!rc)
        rc = kv_cursor_get(cursor, KV_LAST_VALUE, &key, &value);
    if (!rc)
        rc = kv_cursor_get(cursor, KV_PREV_VALUE, &key, &value);
    return rc ? rc : kv_cursor_get(cursor, KV_NEXT_KEY, &key, &value);
}

static int move_about(struct kv_cursor *cursor, enum fault_kind kind)
{
    struct kv_range range = KV_RANGE_INIT;
    struct fault_record from, r;
    struct kv_val key, value;
    int rc;

    fault_record_of(kind, 10, 0, &from);
    fault_record_of(kind, 20, 1, &r);
    range.from = &from.key;
    rc = kv_cursor_bound(cursor, &range);
    if (!rc)
        rc = kv_cursor_get(cursor, KV_FIRST, &key, &value);
    if (!rc && !same(&key, &from.key))
        rc = steps_wrong("a bounded cursor begins elsewhere");
    if (!rc)
        rc = kv_cursor_bound(cursor, NULL);
    key = r.key;
    if (!rc)
        rc = kv_cursor_get(cursor, KV_AT_MOST, &key, &value);
    if (!rc && kv_cursor_is_table(cursor))
        rc = steps_wrong("a record is a table");
    if (!rc && kind >= FAULT_KIND_DUPLICATES)
        rc = move_by_values(cursor, &r);
    if (!rc && (kind >= FAULT_KIND_DUPLICATES || kind == FAULT_KIND_COUNTED))
        rc = kv_cursor_nth(cursor, 12, 0, &key, &value);
    return rc;
}

static int count_kind(struct kv_txn *txn, kv_table table, enum fault_kind kind)
{
    bool exact = kind >= FAULT_KIND_DUPLICATES || kind == FAULT_KIND_COUNTED;
    struct fault_record r;
    uint64_t count = 0;
    uint64_t rank = 0;
    int rc = kv_count(txn, table, NULL, KV_KEYS | (exact ? 0 : KV_ESTIMATE), &count);

    if (!rc && exact && count != FAULT_KEYS)
        rc = steps_wrong("a count is wrong");
    fault_record_of(kind, 15, 0, &r);
    if (!rc && exact)
        rc = kv_rank(txn, table, &r.key, NULL, KV_KEYS, &rank);
    return rc == 0 && exact && rank != 15 ? steps_wrong("a rank is wrong") : rc;
}

static int read_kind(struct kv_txn *txn, enum fault_kind kind)
{
    unsigned values = kind >= FAULT_KIND_DUPLICATES ? FAULT_VALUES : 1;
    struct kv_table_options told;
    struct kv_table_stat stat;
    struct kv_cursor *cursor;
    kv_table table;
    int rc = fault_kind_open(txn, kind, 0, &table);

    if (!rc)
        rc = kv_table_options(txn, table, &told);
    if (!rc)
        rc = kv_table_stat(txn, table, &stat);
    if (!rc && stat.keys != FAULT_KEYS)
        rc = steps_wrong("a table has another number of keys");
    if (!rc)
        rc = get_each(txn, table, kind);
    if (!rc)
        rc = count_kind(txn, table, kind);
    if (!rc)
        rc = kv_cursor_open(txn, table, &cursor);
    if (rc)
        return rc;
    rc = walk(cursor, KV_NEXT, FAULT_KEYS * values);
    if (!rc)
        rc = move_about(cursor, kind);
    kv_cursor_close(cursor);
    return rc;
}

static int count_table(void *context, const char *name)
{
    *(unsigned *)context += strncmp(name, "k.", 2) == 0;
    return 0;
}

/* The tables may have been taken back, where a commit does not promise more. */
int step_read_kinds(struct steps *steps)
{
    unsigned tables = 0;
    struct kv_txn *txn;
    int rc = kv_txn_begin(steps->env, KV_READ, NULL, &txn);

    if (rc)
        return rc;
    rc = kv_table_list(txn, count_table, &tables);
    if (!rc && tables != FAULT_KINDS && steps->durability == KV_DURABLE)
        rc = steps_wrong("tables are missing");
    for (unsigned kind = 0; !rc && tables && kind < FAULT_KINDS; kind++)
        rc = read_kind(txn, (enum fault_kind)kind);
    kv_txn_abort(txn);
    return rc;
}

/* ---- Read txns ---- */

static int read_clone(struct kv_txn *txn)
{
    struct kv_txn_options options = {.clone = txn};
    struct kv_txn *clone;
    uint64_t seq;
    int rc = kv_txn_begin(kv_txn_env(txn), KV_READ, &options, &clone);

    if (rc)
        return rc;
    rc = ledger_seq(clone, &seq);
    if (!rc && kv_txn_id(clone) != kv_txn_id(txn))
        rc = steps_wrong("a clone reads another snapshot");
    kv_txn_abort(clone);
    return rc;
}

int step_read_txns(struct steps *steps)
{
    struct kv_txn *txn;
    uint64_t seq;
    int moved;
    int rc = kv_txn_begin(steps->env, KV_READ | KV_SHARED, NULL, &txn);

    if (rc)
        return rc;
    rc = read_clone(txn);
    kv_txn_reset(txn);
    if (!rc)
        rc = kv_txn_renew(txn);
    if (!rc)
        rc = kv_txn_refresh(txn, &moved);
    if (!rc)
        rc = ledger_seq(txn, &seq);
    if (!rc)
        return kv_txn_commit(txn);
    kv_txn_abort(txn);
    return rc;
}

/* A reader that stays while others commit. */
int step_pin(struct steps *steps)
{
    return steps->pinned ? 0 : kv_txn_begin(steps->env, KV_READ, NULL, &steps->pinned);
}

/* Its snapshot is whole, and then the newest one's. */
int step_unpin(struct steps *steps)
{
    uint64_t seq;
    int rc = 0;

    if (!steps->pinned)
        return 0;
    rc = ledger_seq(steps->pinned, &seq);
    if (!rc)
        rc = kv_txn_refresh(steps->pinned, NULL);
    if (!rc)
        rc = ledger_seq(steps->pinned, &seq);
    kv_txn_abort(steps->pinned);
    steps->pinned = NULL;
    return rc;
}
