/* SPDX-License-Identifier: MIT */
/*
 * Owns the rule by which a step's number gives its changes, and the model that replays it; see
 * ledger.h.
 *
 * The model is a note for each key of the last change to it. Each thread keeps its own, goes on
 * with it when a later snapshot is asked for, and starts anew for an earlier one.
 */
#include "ledger.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"

enum {
    TOUCHES = 5,      /* changes of a step in each table */
    SIDE_PERIOD = 16, /* the side table is there from step 5 to step 12 of each 16 */
    SIDE_MAKE = 5,
    SIDE_DROP = 13,
    SIDE_RECORDS = 20,
    VALUE_SMALL_MAX = 300,
    VALUE_LARGE_MAX = 24000,
    LARGE_PERCENT = 4,
    DELETE_PERCENT = 20,
    RANGE_PERCENT = 30, /* of deletes: of a range of keys */
    RANGE_KEYS_MAX = 12
};

static const char seq_key[] = "~seq"; /* behind all others */

/* One change: the value of `key` becomes what (seq, table, index) says. */
struct touch {
    unsigned key;
    unsigned keys;     /* so many from `key` on: 1, or more that are deleted as a range */
    size_t size_bytes; /* SIZE_MAX: deleted */
    uint64_t seed;     /* of the value's bytes */
};

static void touch_of(uint64_t seq, unsigned table, unsigned index, struct touch *touch_out)
{
    struct rng rng;

    rng_init(&rng, seq * 1000 + table * 100 + index);
    touch_out->key = (unsigned)rng_below(&rng, LEDGER_KEYS);
    touch_out->keys = 1;
    if (rng_chance(&rng, DELETE_PERCENT)) {
        touch_out->size_bytes = SIZE_MAX;
        if (rng_chance(&rng, RANGE_PERCENT))
            touch_out->keys = (unsigned)rng_between(&rng, 2, RANGE_KEYS_MAX);
        if (touch_out->keys > LEDGER_KEYS - touch_out->key)
            touch_out->keys = LEDGER_KEYS - touch_out->key;
    } else if (rng_chance(&rng, LARGE_PERCENT)) {
        touch_out->size_bytes = (size_t)rng_below(&rng, VALUE_LARGE_MAX);
    } else {
        touch_out->size_bytes = (size_t)rng_below(&rng, VALUE_SMALL_MAX);
    }
    touch_out->seed = rng_next(&rng);
}

static void fill(uint8_t *bytes, size_t size_bytes, uint64_t seed)
{
    struct rng rng;

    rng_init(&rng, seed);
    rng_bytes(&rng, bytes, size_bytes);
}

static int broken(uint64_t seq, const char *table, const char *what)
{
    fprintf(stderr, "ledger: step %llu, table %s: %s\n", (unsigned long long)seq, table, what);
    return LEDGER_BROKEN;
}

/* ---- Names and keys ---- */

static const char *table_name(unsigned table)
{
    static const char *const names[LEDGER_TABLES] = {"alpha", "beta", "gamma"};

    return names[table];
}

struct key {
    char text[16];
    struct kv_val val;
};

static struct kv_val *key_of(struct key *key, unsigned number)
{
    int length = snprintf(key->text, sizeof(key->text), "key%03u", number);

    key->val.data = key->text;
    key->val.size = (size_t)length;
    return &key->val;
}

/* ---- Steps ---- */

static int seq_get(struct kv_txn *txn, kv_table table, uint64_t *seq_out)
{
    struct kv_val key = {sizeof(seq_key) - 1, (void *)seq_key};
    struct kv_val value;
    int rc = kv_get(txn, table, &key, &value);

    *seq_out = 0;
    if (rc)
        return rc;
    if (value.size != sizeof(*seq_out))
        return broken(0, "", "a step's number is not of 8 bytes");
    memcpy(seq_out, value.data, sizeof(*seq_out));
    return 0;
}

static int seq_put(struct kv_txn *txn, kv_table table, uint64_t seq)
{
    struct kv_val key = {sizeof(seq_key) - 1, (void *)seq_key};
    struct kv_val value = {sizeof(seq), &seq};

    return kv_put(txn, table, &key, &value, 0);
}

static int delete_range(struct kv_txn *txn, kv_table table, const struct touch *touch)
{
    struct kv_range range = KV_RANGE_INIT;
    struct key from, to;

    range.from = key_of(&from, touch->key);
    range.to = key_of(&to, touch->key + touch->keys);
    return kv_del_range(txn, table, &range, NULL);
}

static int touch_do(struct kv_txn *txn, kv_table table, const struct touch *touch)
{
    struct key key;
    struct kv_val value = {touch->size_bytes, NULL};
    int rc;

    (void)key_of(&key, touch->key);
    if (touch->keys > 1)
        return delete_range(txn, table, touch);
    if (touch->size_bytes == SIZE_MAX) {
        rc = kv_del(txn, table, &key.val, NULL);
        return rc == KV_ENOTFOUND ? 0 : rc;
    }
    rc = kv_put(txn, table, &key.val, &value, KV_RESERVE);
    if (!rc)
        fill(value.data, value.size, touch->seed);
    return rc;
}

static int table_step(struct kv_txn *txn, unsigned table, uint64_t seq)
{
    struct touch touch;
    kv_table handle;
    int rc = kv_table_open(txn, table_name(table), KV_CREATE, NULL, &handle);

    for (unsigned i = 0; !rc && i < TOUCHES; i++) {
        touch_of(seq, table, i, &touch);
        rc = touch_do(txn, handle, &touch);
    }
    return rc ? rc : seq_put(txn, handle, seq);
}

static int side_step(struct kv_txn *txn, uint64_t seq)
{
    uint64_t phase = seq % SIDE_PERIOD;
    kv_table side;
    struct key key;
    int rc;

    if (phase != SIDE_MAKE && phase != SIDE_DROP)
        return 0;
    rc = kv_table_open(txn, "side", phase == SIDE_MAKE ? KV_CREATE : 0, NULL, &side);
    if (phase == SIDE_DROP)
        return rc == KV_ENOTFOUND && seq < SIDE_PERIOD ? 0 : rc ? rc : kv_table_drop(txn, side);
    for (unsigned i = 0; !rc && i < SIDE_RECORDS; i++) {
        struct kv_val value = {sizeof(seq), &seq};

        rc = kv_put(txn, side, key_of(&key, i), &value, KV_APPEND);
    }
    return rc;
}

int ledger_seq(struct kv_txn *txn, uint64_t *seq_out)
{
    int rc = seq_get(txn, KV_MAIN_TABLE, seq_out);

    return rc == KV_ENOTFOUND ? 0 : rc;
}

int ledger_change(struct kv_txn *txn, uint64_t *seq_out)
{
    uint64_t seq = 0;
    int rc = ledger_seq(txn, &seq);

    seq++;
    for (unsigned t = 0; !rc && t < LEDGER_TABLES; t++)
        rc = table_step(txn, t, seq);
    if (!rc)
        rc = side_step(txn, seq);
    if (!rc)
        rc = seq_put(txn, KV_MAIN_TABLE, seq);
    *seq_out = rc ? 0 : seq;
    return rc;
}

int ledger_step(struct kv_env *env, const struct kv_txn_options *options, uint64_t *seq_out)
{
    struct kv_txn *txn;
    int rc = kv_txn_begin(env, KV_WRITE, options, &txn);

    *seq_out = 0;
    if (rc)
        return rc;
    rc = ledger_change(txn, seq_out);
    if (rc) {
        kv_txn_abort(txn);
        return rc;
    }
    return kv_txn_commit(txn);
}

/* ---- Verification ---- */

/* What steps 1 to seq leave in one table: for each key the last touch, and whether there was one.
 */
struct model {
    uint64_t seq;
    struct touch last[LEDGER_KEYS];
    bool touched[LEDGER_KEYS];
};

static _Thread_local struct model models[LEDGER_TABLES];

static const struct model *model_at(unsigned table, uint64_t seq)
{
    struct model *model = &models[table];
    struct touch touch;

    if (model->seq > seq)
        memset(model, 0, sizeof(*model));
    while (model->seq < seq) {
        model->seq++;
        for (unsigned i = 0; i < TOUCHES; i++) {
            touch_of(model->seq, table, i, &touch);
            for (unsigned k = touch.key; k < touch.key + touch.keys; k++) {
                model->last[k] = touch;
                model->last[k].key = k;
                model->touched[k] = true;
            }
        }
    }
    return model;
}

static bool model_has(const struct model *model, unsigned key)
{
    return model->touched[key] && model->last[key].size_bytes != SIZE_MAX;
}

static bool value_is(const struct kv_val *value, const struct touch *touch)
{
    uint8_t *expected;
    bool same;

    if (value->size != touch->size_bytes)
        return false;
    expected = malloc(value->size + 1);
    if (!expected)
        abort();
    fill(expected, value->size, touch->seed);
    same = memcmp(expected, value->data, value->size) == 0;
    free(expected);
    return same;
}

/* The cursor's next record is this one. */
static int expect_record(struct kv_cursor *cursor, const struct touch *touch, uint64_t seq,
                         const char *table)
{
    struct key key;
    struct kv_val found;
    struct kv_val value;
    int rc = kv_cursor_get(cursor, KV_NEXT, &found, &value);

    (void)key_of(&key, touch->key);
    if (rc == KV_ENOTFOUND)
        return broken(seq, table, "a record is missing at the end");
    if (rc)
        return rc;
    if (found.size != key.val.size || memcmp(found.data, key.text, found.size) != 0)
        return broken(seq, table, "another key than expected");
    return value_is(&value, touch) ? 0 : broken(seq, table, "another value than expected");
}

/* The cursor's next record is the step's number, and the last. */
static int expect_seq(struct kv_cursor *cursor, uint64_t seq, const char *table)
{
    struct kv_val key;
    struct kv_val value;
    uint64_t found = 0;
    int rc = kv_cursor_get(cursor, KV_NEXT, &key, &value);

    if (rc)
        return rc == KV_ENOTFOUND ? broken(seq, table, "the step's number is missing") : rc;
    if (key.size != sizeof(seq_key) - 1 || memcmp(key.data, seq_key, key.size) != 0)
        return broken(seq, table, "a record too many");
    if (value.size == sizeof(found))
        memcpy(&found, value.data, sizeof(found));
    if (found != seq)
        return broken(seq, table, "another step's number");
    rc = kv_cursor_get(cursor, KV_NEXT, &key, &value);
    return rc == KV_ENOTFOUND ? 0 : rc ? rc : broken(seq, table, "a record behind the last");
}

static int table_verify(struct kv_txn *txn, unsigned table, uint64_t seq)
{
    const struct model *model = model_at(table, seq);
    struct kv_cursor *cursor;
    kv_table handle;
    int rc = kv_table_open(txn, table_name(table), 0, NULL, &handle);

    if (rc == KV_ENOTFOUND)
        return broken(seq, table_name(table), "is missing");
    if (!rc)
        rc = kv_cursor_open(txn, handle, &cursor);
    if (rc)
        return rc;
    for (unsigned k = 0; !rc && k < LEDGER_KEYS; k++)
        if (model_has(model, k))
            rc = expect_record(cursor, &model->last[k], seq, table_name(table));
    if (!rc)
        rc = expect_seq(cursor, seq, table_name(table));
    kv_cursor_close(cursor);
    return rc;
}

static int side_verify(struct kv_txn *txn, uint64_t seq)
{
    uint64_t phase = seq % SIDE_PERIOD;
    bool expected = phase >= SIDE_MAKE && phase < SIDE_DROP;
    uint64_t made = seq - phase + SIDE_MAKE;
    struct key key;
    struct kv_val value;
    kv_table side;
    int rc = kv_table_open(txn, "side", 0, NULL, &side);

    if (!expected)
        return rc == KV_ENOTFOUND ? 0 : rc ? rc : broken(seq, "side", "is there");
    for (unsigned i = 0; !rc && i < SIDE_RECORDS; i++) {
        rc = kv_get(txn, side, key_of(&key, i), &value);
        if (!rc && (value.size != sizeof(made) || memcmp(value.data, &made, value.size) != 0))
            rc = broken(seq, "side", "another value than expected");
    }
    return rc == KV_ENOTFOUND ? broken(seq, "side", "is missing in whole or in part") : rc;
}

int ledger_verify(struct kv_txn *txn, uint64_t *seq_out)
{
    int rc = ledger_seq(txn, seq_out);

    if (rc || *seq_out == 0)
        return rc;
    for (unsigned t = 0; !rc && t < LEDGER_TABLES; t++)
        rc = table_verify(txn, t, *seq_out);
    return rc ? rc : side_verify(txn, *seq_out);
}

int ledger_verify_newest(struct kv_env *env, uint64_t *seq_out)
{
    struct kv_txn *txn;
    int rc = kv_txn_begin(env, KV_READ, NULL, &txn);

    *seq_out = 0;
    if (rc)
        return rc;
    rc = ledger_verify(txn, seq_out);
    kv_txn_abort(txn);
    return rc;
}

static int tell_finding(void *context, const struct kv_finding *finding)
{
    (void)context;
    fprintf(stderr, "check: snapshot %llx, page %lld, table %s: %s\n",
            (unsigned long long)finding->txnid, (long long)finding->pgno,
            finding->table ? finding->table : "(none)", finding->what);
    return 0;
}

int ledger_check(struct kv_env *env)
{
    struct kv_check_options options = {tell_finding, NULL, NULL, NULL};

    return kv_env_check(env, &options);
}
