/* SPDX-License-Identifier: MIT */
/*
 * Many threads in one read txn (KV_SHARED): tables that each thread uses first, cursors that each
 * opens for itself, clones that each makes, while commits go on. For ThreadSanitizer as much as for
 * the checks.
 *
 * Threads hand their results back; Check's macros are for the main thread alone.
 */
#include "api_help.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { THREADS = 8, TABLES = 60, RECORDS = 100, KEYS = 12 };

static struct kv_env *env;
static kv_table handles[TABLES];
static struct kv_txn *shared;

struct thread {
    pthread_t id;
    struct rng rng;
    uint64_t count;
    int rc; /* 0, a result, or BROKEN: something else was read than was written */
    char text[256];
};

enum { BROKEN = 12345 };

static int by_number(void *context, const struct kv_val *a, const struct kv_val *b)
{
    (void)context;
    return a->size == b->size ? memcmp(a->data, b->data, a->size) : a->size < b->size ? -1 : 1;
}

/* ---- The database ---- */

static void name_of(char *name, unsigned table)
{
    snprintf(name, 32, "table%u", table);
}

/* Record n of a table: its key tells both, and its value is the key. */
static struct kv_val key_of(char *bytes, unsigned table, unsigned n)
{
    snprintf(bytes, 32, "%04u-%06u", table, n);
    return text_val(bytes);
}

static void setup(void)
{
    struct kv_table_options options = KV_TABLE_OPTIONS_INIT;
    struct kv_txn *txn;
    char bytes[32];

    env = env_new("shared.db");
    ck_ok(kv_env_comparator(env, "number", by_number, NULL));
    txn = txn_write(env);
    for (unsigned t = 0; t < TABLES; t++) {
        name_of(bytes, t);
        options.flags = t % 3 ? 0 : KV_COUNTED;
        ck_ok(kv_table_open(txn, bytes, KV_CREATE, &options, &handles[t]));
        for (unsigned n = 0; n < RECORDS; n++) {
            struct kv_val key = key_of(bytes, t, n);
            struct kv_val value = key;

            ck_ok(kv_put(txn, handles[t], &key, &value, 0));
        }
    }
    for (unsigned n = 0; n < RECORDS; n++) {
        struct kv_val key = key_of(bytes, TABLES, n);
        struct kv_val value = key;

        ck_ok(kv_put(txn, KV_MAIN_TABLE, &key, &value, 0));
    }
    txn_commit(txn);
    env_close(env); /* so that handles and notes are new */
    env = env_open(tmp_path("shared.db"), 0);
    ck_ok(kv_txn_begin(env, KV_READ | KV_SHARED, NULL, &shared));
    for (unsigned t = 0; t < TABLES; t++) {
        name_of(bytes, t);
        handles[t] = table_find(shared, bytes);
    }
}

static void teardown(void)
{
    kv_txn_abort(shared);
    env_finish(env);
}

/* ---- What threads do in the txn ---- */

typedef int work_fn(struct thread *self, struct kv_txn *txn);

/* A table, or the main one. */
static unsigned pick(struct thread *self, kv_table *table_out)
{
    unsigned t = (unsigned)rng_below(&self->rng, TABLES + 1);

    *table_out = t < TABLES ? handles[t] : KV_MAIN_TABLE;
    return t;
}

static bool same(const struct kv_val *a, const struct kv_val *b)
{
    return a->size == b->size && memcmp(a->data, b->data, a->size) == 0;
}

static int read_one(struct thread *self, struct kv_txn *txn)
{
    struct kv_val value;
    struct kv_val key;
    kv_table table;
    char bytes[32];
    int rc;

    key = key_of(bytes, pick(self, &table), (unsigned)rng_below(&self->rng, RECORDS));
    rc = kv_get(txn, table, &key, &value);
    if (!rc && !same(&key, &value))
        rc = BROKEN;
    return rc;
}

static int read_many(struct thread *self, struct kv_txn *txn)
{
    struct kv_val values[KEYS];
    struct kv_val keys[KEYS];
    char bytes[KEYS][32];
    kv_table table;
    size_t found;
    unsigned t = pick(self, &table);
    int rc;

    for (unsigned i = 0; i < KEYS; i++)
        keys[i] = key_of(bytes[i], t, (unsigned)rng_below(&self->rng, RECORDS));
    rc = kv_get_many(txn, table, keys, KEYS, values, &found);
    if (!rc && found != KEYS)
        rc = BROKEN;
    for (unsigned i = 0; !rc && i < KEYS; i++)
        rc = same(&keys[i], &values[i]) ? 0 : BROKEN;
    return rc;
}

static int read_cursor(struct thread *self, struct kv_txn *txn)
{
    struct kv_cursor *cursor;
    struct kv_val value;
    struct kv_val key;
    kv_table table;
    char bytes[32];
    int rc;

    key = key_of(bytes, pick(self, &table), (unsigned)rng_below(&self->rng, RECORDS));
    rc = kv_cursor_open(txn, table, &cursor);
    if (rc)
        return rc;
    rc = kv_cursor_get(cursor, KV_AT_LEAST, &key, &value);
    for (unsigned i = 0; !rc && i < 5; i++) {
        rc = same(&key, &value) || kv_cursor_is_table(cursor) ? 0 : BROKEN;
        if (!rc)
            rc =
                kv_cursor_get(cursor, rng_chance(&self->rng, 50) ? KV_NEXT : KV_PREV, &key, &value);
    }
    if (rng_chance(&self->rng, 90)) /* others are closed by the txn's end */
        kv_cursor_close(cursor);
    return rc == KV_ENOTFOUND ? 0 : rc;
}

static int read_facts(struct thread *self, struct kv_txn *txn)
{
    struct kv_table_options options;
    struct kv_table_stat stat;
    uint64_t sequence;
    kv_table table;
    kv_table found;
    char name[32];
    unsigned t = (unsigned)rng_below(&self->rng, TABLES);
    int rc;

    name_of(name, t);
    rc = kv_table_open(txn, name, 0, NULL, &found);
    if (!rc && found != handles[t])
        rc = BROKEN;
    if (!rc)
        rc = kv_table_stat(txn, handles[t], &stat);
    if (!rc && stat.entries != RECORDS)
        rc = BROKEN;
    if (!rc)
        rc = kv_table_options(txn, handles[t], &options);
    if (!rc && options.flags != (t % 3 ? 0 : (uint32_t)KV_COUNTED))
        rc = BROKEN;
    (void)pick(self, &table);
    return rc ? rc : kv_sequence(txn, table, 0, &sequence);
}

static int read_clone(struct thread *self, struct kv_txn *txn)
{
    struct kv_txn_options options = {.clone = txn};
    struct kv_txn *clone;
    int rc = kv_txn_begin(env, rng_chance(&self->rng, 50) ? KV_READ : KV_SHARED, &options, &clone);

    if (rc)
        return rc;
    rc = kv_txn_id(clone) == kv_txn_id(txn) ? 0 : BROKEN;
    for (unsigned i = 0; !rc && i < 3; i++)
        rc = read_one(self, clone);
    kv_txn_abort(clone);
    return rc;
}

static work_fn *const works[] = {read_one, read_many, read_cursor, read_facts, read_clone};

enum { WORKS = sizeof(works) / sizeof(works[0]) };

static pthread_barrier_t together;
static int only; /* the one thing that threads do; WORKS: everything */

static void *run(void *context)
{
    struct thread *self = context;

    (void)pthread_barrier_wait(&together);
    for (uint64_t i = 0; !self->rc && i < self->count; i++)
        self->rc =
            works[only < WORKS ? (unsigned)only : rng_below(&self->rng, WORKS)](self, shared);
    (void)snprintf(self->text, sizeof(self->text), "%s", kv_error_text());
    return NULL;
}

static void threads_run(uint64_t count)
{
    struct thread threads[THREADS];

    memset(threads, 0, sizeof(threads));
    ck_assert_int_eq(pthread_barrier_init(&together, NULL, THREADS), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        threads[i].count = count;
        rng_init(&threads[i].rng, 50 + i);
        ck_assert_int_eq(pthread_create(&threads[i].id, NULL, run, &threads[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        ck_assert_int_eq(pthread_join(threads[i].id, NULL), 0);
        ck_assert_msg(threads[i].rc == 0, "thread %u: %s; %s", i, kv_strerror(threads[i].rc),
                      threads[i].text);
    }
    ck_assert_int_eq(pthread_barrier_destroy(&together), 0);
}

START_TEST(threads_do_one_thing_at_once_in_one_txn)
{
    for (only = 0; only < WORKS; only++) {
        kv_txn_reset(shared);
        ck_ok(kv_txn_renew(shared));
        threads_run(scaled(3000));
    }
}
END_TEST

START_TEST(threads_do_everything_at_once_in_one_txn)
{
    only = WORKS;
    threads_run(scaled(6000));
}
END_TEST

/* All threads meet the same unused tables: the first use is where they could harm each other. */
START_TEST(threads_load_tables_at_the_same_time)
{
    only = WORKS;
    for (unsigned i = 0; i < scaled(100); i++) {
        kv_txn_reset(shared);
        ck_ok(kv_txn_renew(shared));
        threads_run(20);
    }
}
END_TEST

START_TEST(commits_go_on_around_a_shared_txn)
{
    only = WORKS;
    for (unsigned i = 0; i < scaled(20); i++) {
        struct kv_txn *txn = txn_write(env);

        for (unsigned t = 0; t < TABLES; t += 1 + i) {
            ck_ok(kv_table_empty(txn, handles[t]));
            put(txn, handles[t], "other", "content");
        }
        txn_commit(txn);
        threads_run(scaled(300));
    }
}
END_TEST

/* ---- Clones beside a writer ---- */

enum { GENERATION_KEYS = 200 };

static _Atomic(unsigned) readers_left;

/* Writes all keys over with one number, again and again; the pages of one generation are soon those
 * of another unless a reader holds them. */
static void *write_generations(void *context)
{
    struct thread *self = context;

    for (uint64_t generation = 1; !self->rc && readers_left; generation++) {
        struct kv_txn *txn;

        self->rc = kv_txn_begin(env, KV_WRITE, NULL, &txn);
        if (self->rc)
            break;
        for (unsigned n = 0; !self->rc && n < GENERATION_KEYS; n++) {
            struct kv_val value = {sizeof(generation), &generation};
            char bytes[32];
            struct kv_val key = key_of(bytes, TABLES + 1, n);

            self->rc = kv_put(txn, KV_MAIN_TABLE, &key, &value, 0);
        }
        if (self->rc)
            kv_txn_abort(txn);
        else
            self->rc = kv_txn_commit(txn);
    }
    return NULL;
}

/* All keys hold the same number. */
static int read_generation(struct kv_txn *txn)
{
    uint64_t generations[2] = {0, 0};
    int rc = 0;

    for (unsigned n = 0; !rc && n < GENERATION_KEYS; n++) {
        struct kv_val value;
        char bytes[32];
        struct kv_val key = key_of(bytes, TABLES + 1, n);

        rc = kv_get(txn, KV_MAIN_TABLE, &key, &value);
        if (!rc)
            memcpy(&generations[n > 0], value.data, sizeof(uint64_t));
        if (!rc && n > 0 && generations[0] != generations[1])
            rc = BROKEN;
    }
    return rc;
}

/* A chain of clones, each made from the one before, which then ends. */
static void *read_generations(void *context)
{
    struct thread *self = context;

    for (uint64_t i = 0; !self->rc && i < self->count; i++) {
        struct kv_txn_options options = {.clone = NULL};
        struct kv_txn *txn;

        self->rc = kv_txn_begin(env, KV_READ, NULL, &txn);
        for (unsigned link = 0; !self->rc && link < 4; link++) {
            options.clone = txn;
            self->rc = kv_txn_begin(env, KV_READ, &options, &txn);
            kv_txn_abort(options.clone);
            if (!self->rc)
                self->rc = read_generation(txn);
        }
        if (!self->rc)
            kv_txn_abort(txn);
    }
    readers_left--;
    return NULL;
}

START_TEST(clones_hold_what_their_originals_held_while_a_writer_goes_on)
{
    struct thread threads[3];
    struct kv_txn *txn = txn_write(env);
    uint64_t zero = 0;

    for (unsigned n = 0; n < GENERATION_KEYS; n++) {
        struct kv_val value = {sizeof(zero), &zero};
        char bytes[32];
        struct kv_val key = key_of(bytes, TABLES + 1, n);

        ck_ok(kv_put(txn, KV_MAIN_TABLE, &key, &value, 0));
    }
    txn_commit(txn);
    memset(threads, 0, sizeof(threads));
    readers_left = 2;
    for (unsigned i = 0; i < 3; i++) {
        threads[i].count = scaled(2000);
        ck_assert_int_eq(pthread_create(&threads[i].id, NULL,
                                        i < 2 ? read_generations : write_generations, &threads[i]),
                         0);
    }
    for (unsigned i = 0; i < 3; i++)
        ck_assert_int_eq(pthread_join(threads[i].id, NULL), 0);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_int_eq(threads[i].rc, 0);
}
END_TEST

/* ---- Rules ---- */

START_TEST(a_write_txn_is_not_shared)
{
    struct kv_txn *txn;

    ck_rc(kv_txn_begin(env, KV_WRITE | KV_SHARED, NULL, &txn), KV_EINVAL);
    ck_assert_ptr_null(txn);
}
END_TEST

START_TEST(a_shared_txn_is_renewed_and_refreshed_as_any)
{
    int moved;

    has(shared, handles[0], "0000-000000", "0000-000000");
    put_commit(env, "later", "1");
    lacks(shared, KV_MAIN_TABLE, "later");
    ck_ok(kv_txn_refresh(shared, &moved));
    ck_assert_int_eq(moved, 1);
    has(shared, KV_MAIN_TABLE, "later", "1");
    has(shared, handles[0], "0000-000000", "0000-000000");
}
END_TEST

START_TEST(a_closed_handle_is_refused_by_a_shared_txn)
{
    has(shared, handles[0], "0000-000000", "0000-000000");
    ck_ok(kv_table_close(env, handles[0]));
    ck_rc(try_get(shared, handles[0], "0000-000000"), KV_EBADTABLE);
    has(shared, table_find(shared, "table0"), "0000-000000", "0000-000000");
    has(shared, handles[1], "0001-000000", "0001-000000");
}
END_TEST

static void *register_names(void *context)
{
    char name[32];

    (void)pthread_barrier_wait(&together);
    for (unsigned i = 0; i < 200; i++) {
        snprintf(name, sizeof(name), "order %u", i);
        if (kv_env_comparator(env, name, by_number, NULL))
            *(int *)context = 1;
    }
    return NULL;
}

START_TEST(comparators_are_registered_by_many_threads)
{
    pthread_t ids[THREADS];
    int failed[THREADS] = {0};

    ck_assert_int_eq(pthread_barrier_init(&together, NULL, THREADS), 0);
    for (unsigned i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&ids[i], NULL, register_names, &failed[i]), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        ck_assert_int_eq(pthread_join(ids[i], NULL), 0);
        ck_assert_int_eq(failed[i], 0);
    }
    ck_assert_int_eq(pthread_barrier_destroy(&together), 0);
    ck_rc(kv_env_comparator(env, "order 7", by_number, env), KV_EEXIST);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("threads_shared");

    harness_add_fixture(s, "at once", threads_do_one_thing_at_once_in_one_txn, setup, teardown);
    harness_add_fixture(s, "at once", threads_do_everything_at_once_in_one_txn, setup, teardown);
    harness_add_fixture(s, "first use", threads_load_tables_at_the_same_time, setup, teardown);
    harness_add_fixture(s, "commits", commits_go_on_around_a_shared_txn, setup, teardown);
    harness_add_fixture(s, "clones", clones_hold_what_their_originals_held_while_a_writer_goes_on,
                        setup, teardown);
    harness_add_fixture(s, "rules", a_write_txn_is_not_shared, setup, teardown);
    harness_add_fixture(s, "rules", a_shared_txn_is_renewed_and_refreshed_as_any, setup, teardown);
    harness_add_fixture(s, "rules", a_closed_handle_is_refused_by_a_shared_txn, setup, teardown);
    harness_add_fixture(s, "rules", comparators_are_registered_by_many_threads, setup, teardown);
    return s;
}

HARNESS_MAIN(suite)
