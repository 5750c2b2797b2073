/* SPDX-License-Identifier: MIT */
/*
 * Whatever is done to a database, it holds what a sorted array would hold.
 *
 * Input: operations of four bytes (what, key, size, seed) on two tables, in write txns that nest,
 * commit, abort, and are closed and opened again, with a reader that keeps its snapshot meanwhile.
 * Records, results and the cursor's position are compared with the model at each step, everything
 * at commit, when the check runs too.
 *
 * The model: the keys that can occur are sorted once, so that a table is an array of values by
 * rank, and a snapshot a copy of it.
 */
#include "files.h"
#include "kv.h"

#define KEYS 160u
#define KEY_BYTES_MAX 1980u
#define TABLES 2u
#define DEPTH_MAX 4u
#define ABSENT SIZE_MAX
#define NOWHERE UINT32_MAX
#define PUT_RUN 24u /* records put at one step, so that tables fill faster than chance does it */
#define CHECKED_STEPS 2000u /* of an input: with more of them a round takes too long */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

struct key {
    size_t size;
    uint8_t data[KEY_BYTES_MAX];
};

struct value {
    size_t size; /* ABSENT: no such record */
    uint8_t seed;
};

struct state {
    struct value values[TABLES][KEYS];
};

/* Where the cursor stands: on a record, or before it (the record that it stood on is gone). */
struct place {
    uint32_t rank; /* NOWHERE: no position */
    bool before;
};

struct run {
    struct kv_env *env;
    struct kv_txn *txns[DEPTH_MAX + 1]; /* the innermost at `depth`; [0] is not used */
    struct state states[DEPTH_MAX + 1]; /* [0]: what is committed */
    unsigned depth;
    kv_table tables[TABLES];
    unsigned table;
    struct kv_cursor *cursor; /* of the innermost txn and `table`; NULL: none open */
    struct place place;
    struct kv_txn *reader;
    struct state reader_state;
};

static struct key keys[KEYS];
static struct image empty;

static void fail(const char *what, int rc)
{
    fprintf(stderr, "%s: %s (%s)\n", what, kv_strerror(rc), kv_error_text());
    abort();
}

static void expect(const char *what, int rc, int expected)
{
    if (rc != expected) {
        fprintf(stderr, "expected: %s\n", kv_strerror(expected));
        fail(what, rc);
    }
}

/* ---- Keys and values ---- */

static int key_order(const void *a, const void *b)
{
    const struct key *x = a;
    const struct key *y = b;
    size_t common = x->size < y->size ? x->size : y->size;
    int order = memcmp(x->data, y->data, common);

    return order ? order : (x->size > y->size) - (x->size < y->size);
}

/* Distinct keys of all shapes: empty, short with ties and zeros, long shared prefixes, as long as
 * can be. */
static void make_keys(void)
{
    for (unsigned i = 0; i < KEYS; i++) {
        struct key *key = &keys[i];

        if (i < 20) {
            key->size = i;
        } else if (i < 60) {
            key->size = (size_t)snprintf((char *)key->data, 40, "user/profile/%04u", i * 7);
        } else if (i < 100) {
            kvi_le_store64(key->data, i * 0x9e3779b97f4a7c15u);
            key->size = 8;
        } else if (i < 130) {
            key->size = 200 + i;
            memset(key->data, 'p', key->size);
        } else {
            key->size = KEY_BYTES_MAX - (i & 3);
            memset(key->data, 'q', key->size);
            key->data[300] = (uint8_t)i;
        }
    }
    qsort(keys, KEYS, sizeof keys[0], key_order);
}

static size_t size_of(uint8_t byte)
{
    if (byte < 200)
        return byte;
    if (byte < 230)
        return 200 + (size_t)(byte - 200) * 100;
    return (size_t)(byte - 229) * 1500;
}

static const uint8_t *fill(size_t size, uint8_t seed)
{
    static uint8_t bytes[64000];

    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(seed + i * 3 + (i >> 8));
    return bytes;
}

static void same_value(const char *what, const struct kv_val *got, const struct value *value)
{
    if (got->size != value->size ||
        (got->size && memcmp(got->data, fill(value->size, value->seed), got->size) != 0))
        fail(what, 0);
}

static void same_key(const char *what, const struct kv_val *got, unsigned rank)
{
    if (got->size != keys[rank].size || memcmp(got->data, keys[rank].data, got->size) != 0)
        fail(what, 0);
}

static struct kv_val key_val(unsigned rank)
{
    return (struct kv_val){keys[rank].size, keys[rank].data};
}

/* ---- The model's moves ---- */

static struct value *values_of(struct run *run)
{
    return run->states[run->depth].values[run->table];
}

/* The first record at or above a rank; NOWHERE: none. */
static uint32_t at_least(const struct value *values, uint32_t rank)
{
    while (rank < KEYS && values[rank].size == ABSENT)
        rank++;
    return rank < KEYS ? rank : NOWHERE;
}

/* The last record below a rank; NOWHERE: none. */
static uint32_t below(const struct value *values, uint32_t rank)
{
    while (rank-- > 0)
        if (values[rank].size != ABSENT)
            return rank;
    return NOWHERE;
}

/* ---- Comparing everything ---- */

static void compare_table(struct kv_txn *txn, kv_table table, const struct value *values)
{
    struct kv_cursor *cursor;
    struct kv_val key, value;
    uint64_t entries = 0;
    struct kv_table_stat stat;

    expect("cursor", kv_cursor_open(txn, table, &cursor), 0);
    for (uint32_t rank = at_least(values, 0); rank != NOWHERE; rank = at_least(values, rank + 1)) {
        expect("scan", kv_cursor_get(cursor, KV_NEXT, &key, &value), 0);
        same_key("scan: key", &key, rank);
        same_value("scan: value", &value, &values[rank]);
        entries++;
    }
    expect("scan: end", kv_cursor_get(cursor, KV_NEXT, &key, &value), KV_ENOTFOUND);
    kv_cursor_close(cursor);
    expect("stat", kv_table_stat(txn, table, &stat), 0);
    if (stat.entries != entries)
        fail("stat: entries", 0);
}

static void compare(struct kv_txn *txn, const struct run *run, const struct state *state)
{
    for (unsigned t = 0; t < TABLES; t++)
        compare_table(txn, run->tables[t], state->values[t]);
}

/* ---- Txns ---- */

static void drop_cursor(struct run *run)
{
    kv_cursor_close(run->cursor);
    run->cursor = NULL;
    run->place = (struct place){NOWHERE, false};
}

static void begin(struct run *run)
{
    struct kv_txn_options options = {.parent = run->depth ? run->txns[run->depth] : NULL};

    if (run->depth == DEPTH_MAX)
        return;
    drop_cursor(run);
    expect("begin", kv_txn_begin(run->env, KV_WRITE, &options, &run->txns[run->depth + 1]), 0);
    run->states[run->depth + 1] = run->states[run->depth];
    run->depth++;
}

static void check_committed(const struct run *run)
{
    struct kv_txn *txn;

    expect("begin read", kv_txn_begin(run->env, KV_READ, NULL, &txn), 0);
    compare(txn, run, &run->states[0]);
    kv_txn_abort(txn);
    expect("check", kv_env_check(run->env, NULL), 0);
}

static void commit(struct run *run)
{
    if (run->depth == 0)
        return;
    drop_cursor(run);
    expect("commit", kv_txn_commit(run->txns[run->depth]), 0);
    run->depth--;
    run->states[run->depth] = run->states[run->depth + 1];
    if (run->depth == 0)
        check_committed(run);
}

static void drop(struct run *run)
{
    if (run->depth == 0)
        return;
    drop_cursor(run);
    kv_txn_abort(run->txns[run->depth]);
    run->depth--;
}

static void reader_end(struct run *run)
{
    if (!run->reader)
        return;
    compare(run->reader, run, &run->reader_state);
    kv_txn_abort(run->reader);
    run->reader = NULL;
}

/* Pins a snapshot, or proves that the pinned one still reads the same and lets it go. */
static void reader_turn(struct run *run)
{
    if (run->reader) {
        reader_end(run);
        return;
    }
    expect("begin read", kv_txn_begin(run->env, KV_READ, NULL, &run->reader), 0);
    run->reader_state = run->states[0];
}

/* ---- Opening ---- */

static void open_env(struct run *run, const char *path)
{
    static const char *const names[TABLES] = {"a", "b"};
    struct kv_options options = KV_OPTIONS_INIT;
    struct kv_txn *txn;

    options.flags = KV_NOLOCK;
    options.reserve_bytes = (uint64_t)1 << 30;
    options.dirty_budget_bytes = 1; /* the least there is */
    expect("open", kv_env_open(path, &options, &run->env), 0);
    expect("begin", kv_txn_begin(run->env, KV_WRITE, NULL, &txn), 0);
    for (unsigned t = 0; t < TABLES; t++)
        expect("table", kv_table_open(txn, names[t], KV_CREATE, NULL, &run->tables[t]), 0);
    expect("commit", kv_txn_commit(txn), 0);
}

static void close_env(struct run *run)
{
    reader_end(run);
    while (run->depth > 0)
        drop(run);
    expect("close", kv_env_close(run->env), 0);
}

static void reopen(struct run *run)
{
    close_env(run);
    open_env(run, files_path);
    check_committed(run);
}

/* ---- Records ---- */

/* The record of `rank` is gone: a cursor on it stands before the next one. */
static void place_follow(struct run *run, uint32_t rank)
{
    if (run->place.rank != rank)
        return;
    run->place.rank = at_least(values_of(run), rank);
    run->place.before = true;
    if (run->place.rank == NOWHERE)
        drop_cursor(run); /* at the end: what a put behind it means is not promised */
}

static void put(struct run *run, unsigned rank, size_t size, uint8_t seed, uint32_t flags)
{
    struct value *value = &values_of(run)[rank];
    struct kv_val key = key_val(rank);
    struct kv_val given = {size, (void *)(uintptr_t)fill(size, seed)};
    int expected = 0;
    int rc;

    if ((flags & KV_NOOVERWRITE) && value->size != ABSENT)
        expected = KV_EEXIST;
    if ((flags & KV_APPEND) && at_least(values_of(run), rank) != NOWHERE)
        expected = KV_EORDER;
    if (flags & KV_RESERVE)
        given.data = NULL;
    rc = kv_put(run->txns[run->depth], run->tables[run->table], &key, &given, flags);
    expect("put", rc, expected);
    if (expected == KV_EEXIST)
        same_value("put: present value", &given, value);
    if (expected)
        return;
    if ((flags & KV_RESERVE) && size)
        memcpy(given.data, fill(size, seed), size);
    *value = (struct value){size, seed};
}

static void del(struct run *run, unsigned rank)
{
    struct value *value = &values_of(run)[rank];
    struct kv_val key = key_val(rank);
    int rc = kv_del(run->txns[run->depth], run->tables[run->table], &key, NULL);

    expect("del", rc, value->size == ABSENT ? KV_ENOTFOUND : 0);
    value->size = ABSENT;
    place_follow(run, rank);
}

static void get(struct run *run, unsigned rank)
{
    const struct value *value = &values_of(run)[rank];
    struct kv_val key = key_val(rank);
    struct kv_val got;
    int rc = kv_get(run->txns[run->depth], run->tables[run->table], &key, &got);

    expect("get", rc, value->size == ABSENT ? KV_ENOTFOUND : 0);
    if (!rc)
        same_value("get: value", &got, value);
}

static void replace(struct run *run, unsigned rank, size_t size, uint8_t seed)
{
    struct value *value = &values_of(run)[rank];
    struct kv_val key = key_val(rank);
    struct kv_val given = {size, (void *)(uintptr_t)fill(size, seed)};
    struct kv_val old;

    expect("replace",
           kv_replace(run->txns[run->depth], run->tables[run->table], &key, &given, &old), 0);
    if (value->size == ABSENT ? old.data != NULL : old.data == NULL)
        fail("replace: old value", 0);
    if (old.data)
        same_value("replace: old value", &old, value);
    *value = (struct value){size, seed};
}

static void empty_table(struct run *run)
{
    drop_cursor(run);
    expect("empty", kv_table_empty(run->txns[run->depth], run->tables[run->table]), 0);
    for (unsigned rank = 0; rank < KEYS; rank++)
        values_of(run)[rank].size = ABSENT;
}

/* ---- The cursor ---- */

/* Where a move leads, NOWHERE: to no record. */
static uint32_t place_moved(struct run *run, enum kv_cursor_op op, unsigned rank)
{
    const struct value *values = values_of(run);
    struct place place = run->place;

    switch (op) {
    case KV_FIRST:
        return at_least(values, 0);
    case KV_LAST:
        return below(values, KEYS);
    case KV_NEXT:
        if (place.rank == NOWHERE)
            return at_least(values, 0);
        return place.before ? place.rank : at_least(values, place.rank + 1);
    case KV_PREV:
        return below(values, place.rank == NOWHERE ? KEYS : place.rank);
    case KV_EXACT:
        return values[rank].size == ABSENT ? NOWHERE : rank;
    case KV_AT_LEAST:
        return at_least(values, rank);
    case KV_AT_MOST:
        return values[rank].size == ABSENT ? below(values, rank) : rank;
    default:
        return place.rank;
    }
}

static bool is_relative(enum kv_cursor_op op)
{
    return op == KV_NEXT || op == KV_PREV || op == KV_CURRENT;
}

static void cursor_move(struct run *run, enum kv_cursor_op op, unsigned rank)
{
    uint32_t to = place_moved(run, op, rank);
    struct kv_val key = key_val(rank);
    struct kv_val value;
    int expected = 0;

    if (to == NOWHERE)
        expected = op == KV_CURRENT ? KV_EINVAL : KV_ENOTFOUND;
    expect("move", kv_cursor_get(run->cursor, op, &key, &value), expected);
    if (expected == 0) {
        same_key("move: key", &key, to);
        same_value("move: value", &value, &values_of(run)[to]);
    }
    if (expected == 0 || !is_relative(op))
        run->place = (struct place){to, false};
}

static void cursor_del(struct run *run)
{
    uint32_t rank = run->place.rank;

    if (rank == NOWHERE || run->place.before)
        return;
    expect("cursor del", kv_cursor_del(run->cursor, 0), 0);
    values_of(run)[rank].size = ABSENT;
    place_follow(run, rank);
}

static void cursor_put(struct run *run, unsigned rank, size_t size, uint8_t seed, bool here)
{
    struct kv_val key = key_val(rank);
    struct kv_val value = {size, (void *)(uintptr_t)fill(size, seed)};

    if (here && (run->place.rank == NOWHERE || run->place.before))
        return;
    if (here)
        rank = run->place.rank;
    expect("cursor put",
           kv_cursor_put(run->cursor, here ? NULL : &key, &value, here ? KV_AT_CURSOR : 0), 0);
    values_of(run)[rank] = (struct value){size, seed};
    run->place = (struct place){rank, false};
}

static void cursor_step(struct run *run, unsigned what, unsigned rank, size_t size, uint8_t seed)
{
    static const enum kv_cursor_op ops[] = {KV_FIRST, KV_LAST,     KV_NEXT,    KV_NEXT,
                                            KV_NEXT,  KV_PREV,     KV_PREV,    KV_CURRENT,
                                            KV_EXACT, KV_AT_LEAST, KV_AT_MOST, KV_AT_LEAST};

    if (!run->cursor)
        expect("cursor",
               kv_cursor_open(run->txns[run->depth], run->tables[run->table], &run->cursor), 0);
    if (what < 12)
        cursor_move(run, ops[what], rank);
    else if (what < 14)
        cursor_del(run);
    else
        cursor_put(run, rank, size, seed, what == 14);
}

/* ---- Steps ---- */

static void record_step(struct run *run, unsigned what, unsigned rank, size_t size, uint8_t seed)
{
    static const uint32_t flags[] = {0, 0, 0, KV_NOOVERWRITE, KV_APPEND, KV_RESERVE};

    if (what < 6)
        put(run, rank, size, seed, flags[what]);
    else if (what < 8)
        for (unsigned i = 0; i < PUT_RUN; i++)
            put(run, (rank + i) % KEYS, size, (uint8_t)(seed + i), 0);
    else if (what < 11)
        del(run, rank);
    else if (what < 14)
        get(run, rank);
    else
        replace(run, rank, size, seed);
}

static void txn_step(struct run *run, unsigned what, uint8_t seed)
{
    if (what < 2)
        begin(run);
    else if (what < 4)
        commit(run);
    else if (what == 4)
        drop(run);
    else if (what == 5)
        reader_turn(run);
    else if (what == 6 && run->depth == 0)
        reopen(run);
    else if (what == 7 && run->depth > 0 && seed % 4 == 0)
        empty_table(run);
    else if (what == 8) {
        drop_cursor(run);
        run->table = seed % TABLES;
    }
}

static void step(struct run *run, const uint8_t *op)
{
    unsigned what = op[0] % 72;
    unsigned rank = op[1] % KEYS;

    if (what < 9) {
        txn_step(run, what, op[3]);
        return;
    }
    if (run->depth == 0)
        begin(run);
    if (what < 24)
        record_step(run, what - 9, rank, size_of(op[2]), op[3]);
    else
        cursor_step(run, (what - 24) % 16, rank, size_of(op[2]), op[3]);
}

/* ---- Entry ---- */

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct kv_options options = KV_OPTIONS_INIT;
    const char *folder = files_folder();
    struct kv_env *env;
    char path[512];

    (void)argc;
    (void)argv;
    make_keys();
    (void)snprintf(path, sizeof path, "%s/empty.db", folder);
    options.flags = KV_CREATE | KV_NOLOCK;
    expect("create", kv_env_open(path, &options, &env), 0);
    expect("close", kv_env_close(env), 0);
    empty = base_load(path);
    (void)unlink(path);
    (void)rmdir(folder);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct run *run = calloc(1, sizeof *run);
    unsigned steps = 0;

    if (!run)
        abort();
    for (unsigned t = 0; t < TABLES; t++)
        for (unsigned rank = 0; rank < KEYS; rank++)
            run->states[0].values[t][rank].size = ABSENT;
    run->place.rank = NOWHERE;
    open_env(run, files_put(empty.bytes, empty.size_bytes));
    for (; size >= 4 && steps < CHECKED_STEPS; data += 4, size -= 4, steps++)
        step(run, data);
    if (run->depth > 0)
        compare(run->txns[run->depth], run, &run->states[run->depth]);
    while (run->depth > 0)
        commit(run);
    close_env(run);
    free(run);
    return 0;
}
