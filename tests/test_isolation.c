/* SPDX-License-Identifier: MIT */
/*
 * A snapshot is the same for as long as it is pinned, byte for byte and at the same addresses,
 * whatever is committed, dropped, cut off and punched meanwhile, by this process or another; and
 * once let go, it holds no page.
 */
#include "harness.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "kv.h"
#include "ledger.h"
#include "worker.h"

static struct kv_env *env;
static const char *path;

static struct kv_options lazy_options(void)
{
    struct kv_options options = KV_OPTIONS_INIT;

    options.flags = KV_CREATE;
    options.durability = KV_LAZY;
    return options;
}

static void setup(void)
{
    struct kv_options options = lazy_options();

    tmp_clear();
    path = tmp_path("isolation.db");
    ck_ok(kv_env_open(path, &options, &env));
}

static void teardown(void)
{
    ck_ok(ledger_check(env));
    ck_ok(kv_env_close(env));
}

/* ---- Everything in a snapshot, as a number ---- */

static uint64_t digest_bytes(uint64_t digest, const void *data, size_t size_bytes)
{
    const uint8_t *bytes = data;

    digest = (digest ^ size_bytes) * 0x100000001B3u;
    for (size_t i = 0; i < size_bytes; i++)
        digest = (digest ^ bytes[i]) * 0x100000001B3u;
    return digest;
}

struct digest {
    struct kv_txn *txn;
    uint64_t value;
};

static int digest_table(struct digest *digest, kv_table table)
{
    struct kv_cursor *cursor;
    struct kv_val key;
    struct kv_val value;
    int rc = kv_cursor_open(digest->txn, table, &cursor);

    if (rc)
        return rc;
    while (!(rc = kv_cursor_get(cursor, KV_NEXT, &key, &value))) {
        digest->value = digest_bytes(digest->value, key.data, key.size);
        digest->value = digest_bytes(digest->value, value.data, value.size);
    }
    kv_cursor_close(cursor);
    return rc == KV_ENOTFOUND ? 0 : rc;
}

static int digest_named(void *context, const char *name)
{
    struct digest *digest = context;
    kv_table table;
    int rc = kv_table_open(digest->txn, name, 0, NULL, &table);

    return rc ? rc : digest_table(digest, table);
}

static uint64_t digest_of(struct kv_txn *txn)
{
    struct digest digest = {txn, 0xCBF29CE484222325u};

    ck_ok(digest_table(&digest, KV_MAIN_TABLE));
    ck_ok(kv_table_list(txn, digest_named, &digest));
    return digest.value;
}

/* ---- Changes of every kind ---- */

static int put_number(struct kv_txn *txn, kv_table table, uint64_t number, size_t size_bytes,
                      struct rng *rng)
{
    uint8_t name[8];
    struct kv_val key = {sizeof(name), name};
    struct kv_val value = {size_bytes, NULL};
    int rc;

    for (unsigned i = 0; i < 8; i++)
        name[i] = (uint8_t)(number >> (56 - 8 * i));
    rc = kv_put(txn, table, &key, &value, KV_RESERVE);
    if (!rc)
        rng_bytes(rng, value.data, value.size);
    return rc;
}

/* Fills a table of its own with much, or drops it again. */
static int fill_or_drop(struct kv_txn *txn, struct rng *rng)
{
    char name[8];
    kv_table table;
    int rc;

    (void)snprintf(name, sizeof(name), "bulk%u", (unsigned)rng_below(rng, 3));
    rc = kv_table_open(txn, name, 0, NULL, &table);
    if (!rc)
        return rng_chance(rng, 70) ? kv_table_drop(txn, table) : kv_table_empty(txn, table);
    if (rc != KV_ENOTFOUND)
        return rc;
    rc = kv_table_open(txn, name, KV_CREATE, NULL, &table);
    for (uint64_t i = 0; !rc && i < 400; i++)
        rc = put_number(txn, table, i, 100, rng);
    if (!rc)
        rc = put_number(txn, table, 1000, (size_t)rng_below(rng, 1 << 19), rng);
    return rc;
}

static int commit_fill_or_drop(struct kv_env *e, struct rng *rng)
{
    struct kv_txn *txn;
    int rc = kv_txn_begin(e, KV_WRITE, NULL, &txn);

    if (rc)
        return rc;
    rc = fill_or_drop(txn, rng);
    if (!rc && rng_chance(rng, 90))
        return kv_txn_commit(txn);
    kv_txn_abort(txn);
    return rc;
}

static int change_something(struct kv_env *e, struct rng *rng)
{
    struct kv_txn_options durable = {.durability = KV_DURABLE};
    uint64_t seq;

    switch (rng_below(rng, 10)) {
    case 0:
        return kv_env_sync(e);
    case 1:
        return kv_env_trim(e, KV_TRIM_PUNCH, NULL);
    case 2:
        return kv_env_trim(e, 0, NULL);
    case 3:
        return ledger_step(e, &durable, &seq);
    case 4:
    case 5:
        return commit_fill_or_drop(e, rng);
    default:
        return ledger_step(e, NULL, &seq);
    }
}

/* ---- Pins that live long among changes ---- */

enum { PINS = 8, PATIENCE_MS = 60000 };

struct pin {
    struct kv_txn *txn;
    uint64_t digest;
    uint64_t seq;
};

static void pin_newest(struct pin *pin)
{
    ck_ok(kv_txn_begin(env, KV_READ, NULL, &pin->txn));
    pin->digest = digest_of(pin->txn);
    ck_ok(ledger_verify(pin->txn, &pin->seq));
}

static void pin_must_stand(const struct pin *pin)
{
    uint64_t seq;

    ck_assert_uint_eq(digest_of(pin->txn), pin->digest);
    ck_ok(ledger_verify(pin->txn, &seq));
    ck_assert_uint_eq(seq, pin->seq);
}

/* Looks at pins at random for some time; some are let go and taken anew, the first one stays. */
static void watch_pins(uint64_t looks, struct rng *rng, int (*between)(struct rng *rng))
{
    struct pin pins[PINS];

    for (unsigned i = 0; i < PINS; i++)
        pin_newest(&pins[i]);
    for (uint64_t i = 0; i < looks; i++) {
        struct pin *pin = &pins[rng_below(rng, PINS)];

        ck_ok(between(rng));
        pin_must_stand(pin);
        if (pin != &pins[0] && rng_chance(rng, 40)) {
            kv_txn_abort(pin->txn);
            pin_newest(pin);
        }
    }
    for (unsigned i = 0; i < PINS; i++) {
        pin_must_stand(&pins[i]);
        kv_txn_abort(pins[i].txn);
    }
}

static int change_some(struct rng *rng)
{
    int rc = 0;

    for (unsigned i = 0; !rc && i < 4; i++)
        rc = change_something(env, rng);
    return rc;
}

START_TEST(pinned_snapshot_stays_the_same_whatever_is_committed)
{
    struct rng rng;

    rng_seed(&rng, "isolation", 1);
    ck_ok(change_some(&rng));
    watch_pins(scaled(150), &rng, change_some);
}
END_TEST

struct changer {
    pthread_t thread;
    struct rng rng;
    _Atomic(int) stop;
    int rc;
};

static void *change_on(void *context)
{
    struct changer *changer = context;

    while (!changer->rc && !changer->stop)
        changer->rc = change_something(env, &changer->rng);
    return NULL;
}

/* Until others have committed again. */
static int wait_for_change(struct rng *rng)
{
    struct kv_env_info info;
    uint64_t before;
    int rc;

    (void)rng;
    rc = kv_env_info(env, &info);
    before = info.txnid_committed;
    for (unsigned i = 0; !rc && info.txnid_committed == before; i++) {
        if (i > PATIENCE_MS * 10)
            return KV_ETIMEOUT;
        sleep_us(100);
        rc = kv_env_info(env, &info);
    }
    return rc;
}

START_TEST(pinned_snapshot_stays_the_same_while_threads_write)
{
    struct changer changers[2];
    struct rng rng;

    rng_seed(&rng, "isolation", 2);
    for (unsigned i = 0; i < 2; i++) {
        memset(&changers[i], 0, sizeof(changers[i]));
        rng_init(&changers[i].rng, rng_next(&rng));
        ck_assert_int_eq(pthread_create(&changers[i].thread, NULL, change_on, &changers[i]), 0);
    }
    watch_pins(scaled(300), &rng, wait_for_change);
    for (unsigned i = 0; i < 2; i++) {
        changers[i].stop = 1;
        (void)pthread_join(changers[i].thread, NULL);
        ck_ok(changers[i].rc);
    }
}
END_TEST

static int change_in_process(struct worker *self)
{
    struct kv_options options = lazy_options();
    struct kv_env *own;
    struct rng rng;
    uint64_t number;
    int rc = kv_env_open(path, &options, &own);

    rng_init(&rng, *(uint64_t *)self->context);
    while (!rc && !worker_hear_for(self, 0, &number))
        rc = change_something(own, &rng);
    if (!rc)
        rc = kv_env_close(own);
    if (rc)
        fprintf(stderr, "changer: %s; %s\n", kv_strerror(rc), kv_error_text());
    return rc;
}

START_TEST(pinned_snapshot_stays_the_same_while_processes_write)
{
    struct kv_options options = lazy_options();
    struct worker workers[2];
    struct rng rng;

    rng_seed(&rng, "isolation", 3);
    ck_ok(kv_env_close(env));
    for (unsigned i = 0; i < 2; i++) {
        uint64_t seed = rng_next(&rng);

        worker_start(&workers[i], change_in_process, &seed);
    }
    ck_ok(kv_env_open(path, &options, &env));
    watch_pins(scaled(300), &rng, wait_for_change);
    for (unsigned i = 0; i < 2; i++) {
        worker_tell(&workers[i], 0);
        ck_assert(worker_join(&workers[i]));
    }
}
END_TEST

/* ---- Pointers ---- */

enum { VALUES = 30 };

START_TEST(pointers_of_a_pinned_snapshot_stay_and_so_do_their_bytes)
{
    struct kv_val values[VALUES];
    uint8_t *copies[VALUES];
    struct kv_txn *txn;
    struct rng rng;

    rng_seed(&rng, "pointers", 4);
    ck_ok(kv_txn_begin(env, KV_WRITE, NULL, &txn));
    for (uint64_t i = 0; i < VALUES; i++)
        ck_ok(put_number(txn, KV_MAIN_TABLE, i, i % 3 ? 50 : 100000 * (i + 1) / 3, &rng));
    ck_ok(kv_txn_commit(txn));
    ck_ok(kv_txn_begin(env, KV_READ, NULL, &txn));
    for (unsigned i = 0; i < VALUES; i++) {
        uint8_t name[8] = {[7] = (uint8_t)i};
        struct kv_val key = {sizeof(name), name};

        ck_ok(kv_get(txn, KV_MAIN_TABLE, &key, &values[i]));
        copies[i] = malloc(values[i].size);
        ck_assert_ptr_nonnull(copies[i]);
        memcpy(copies[i], values[i].data, values[i].size);
    }
    for (unsigned round = 0; round < 20; round++) {
        struct kv_txn *writer;

        ck_ok(kv_txn_begin(env, KV_WRITE, NULL, &writer));
        for (uint64_t i = 0; i < VALUES; i++)
            ck_ok(put_number(writer, KV_MAIN_TABLE, i, (size_t)rng_below(&rng, 300000), &rng));
        ck_ok(kv_txn_commit(writer));
        ck_ok(kv_env_trim(env, KV_TRIM_PUNCH, NULL));
        for (unsigned i = 0; i < VALUES; i++)
            ck_assert(memcmp(copies[i], values[i].data, values[i].size) == 0);
    }
    for (unsigned i = 0; i < VALUES; i++)
        free(copies[i]);
    kv_txn_abort(txn);
}
END_TEST

/* ---- What is seen when ---- */

START_TEST(changes_are_seen_from_the_commit_on_and_not_before)
{
    struct kv_txn *writer;
    uint64_t seq;

    ck_ok(ledger_step(env, NULL, &seq));
    ck_ok(kv_txn_begin(env, KV_WRITE, NULL, &writer));
    ck_ok(ledger_change(writer, &seq));
    ck_assert_uint_eq(seq, 2);
    ck_ok(ledger_verify_newest(env, &seq));
    ck_assert_uint_eq(seq, 1);
    ck_ok(kv_txn_commit(writer));
    ck_ok(ledger_verify_newest(env, &seq));
    ck_assert_uint_eq(seq, 2);
    ck_ok(kv_txn_begin(env, KV_WRITE, NULL, &writer));
    ck_ok(ledger_change(writer, &seq));
    kv_txn_abort(writer);
    ck_ok(ledger_verify_newest(env, &seq));
    ck_assert_uint_eq(seq, 2);
}
END_TEST

START_TEST(refresh_moves_to_the_newest_and_tells_whether_it_did)
{
    struct kv_txn *txn;
    uint64_t seq;
    uint64_t id;
    int moved;

    ck_ok(ledger_step(env, NULL, &seq));
    ck_ok(kv_txn_begin(env, KV_READ, NULL, &txn));
    id = kv_txn_id(txn);
    moved = 7;
    ck_ok(kv_txn_refresh(txn, &moved));
    ck_assert_int_eq(moved, 0);
    ck_assert_uint_eq(kv_txn_id(txn), id);
    ck_ok(ledger_step(env, NULL, &seq));
    ck_ok(ledger_verify(txn, &seq));
    ck_assert_uint_eq(seq, 1);
    ck_ok(kv_txn_refresh(txn, &moved));
    ck_assert_int_ne(moved, 0);
    ck_assert_uint_gt(kv_txn_id(txn), id);
    ck_ok(ledger_verify(txn, &seq));
    ck_assert_uint_eq(seq, 2);
    kv_txn_abort(txn);
}
END_TEST

START_TEST(renew_pins_the_newest_and_a_reset_txn_reads_nothing)
{
    struct kv_txn *txn;
    uint64_t seq;

    ck_ok(ledger_step(env, NULL, &seq));
    ck_ok(kv_txn_begin(env, KV_READ, NULL, &txn));
    kv_txn_reset(txn);
    ck_assert_uint_eq(kv_txn_id(txn), 0);
    ck_rc(ledger_verify(txn, &seq), KV_EBADTXN);
    ck_ok(ledger_step(env, NULL, &seq));
    ck_ok(kv_txn_renew(txn));
    ck_ok(ledger_verify(txn, &seq));
    ck_assert_uint_eq(seq, 2);
    kv_txn_abort(txn);
}
END_TEST

/* ---- Pages ---- */

static uint64_t size_now(void)
{
    struct kv_env_info info;

    ck_ok(kv_env_info(env, &info));
    return info.file_size_bytes;
}

/* One txn of `count` puts of 100 bytes to keys below `end`, chosen at random unless it is all of
 * them. */
static void put_batch(uint64_t count, uint64_t end, struct rng *rng)
{
    struct kv_txn *txn;

    ck_ok(kv_txn_begin(env, KV_WRITE, NULL, &txn));
    for (uint64_t i = 0; i < count; i++)
        ck_ok(put_number(txn, KV_MAIN_TABLE, count == end ? i : rng_below(rng, end), 100, rng));
    ck_ok(kv_txn_commit(txn));
}

static void overwrite(uint64_t batches, struct rng *rng)
{
    for (uint64_t i = 0; i < batches; i++)
        put_batch(500, 20000, rng);
}

/* Never scaled: what is bounded must have had the chance to grow. */
START_TEST(old_reader_does_not_make_the_file_grow_without_end)
{
    struct kv_txn *reader;
    struct rng rng;
    uint64_t before;
    uint64_t digest;

    rng_seed(&rng, "overwrites", 5);
    put_batch(20000, 20000, &rng);
    overwrite(40, &rng);
    ck_ok(kv_env_sync(env));
    before = size_now();
    ck_ok(kv_txn_begin(env, KV_READ, NULL, &reader));
    digest = digest_of(reader);
    overwrite(400, &rng);
    printf("%llu bytes before, %llu beside an old reader\n", (unsigned long long)before,
           (unsigned long long)size_now());
    ck_assert_uint_le(size_now(), 3 * before);
    ck_assert_uint_eq(digest_of(reader), digest);
    kv_txn_abort(reader);
    overwrite(30, &rng);
    ck_ok(kv_env_sync(env));
    ck_ok(kv_env_trim(env, 0, NULL));
    ck_assert_uint_le(size_now(), 2 * before);
}
END_TEST

static void empty_and_trim(void)
{
    struct kv_txn *txn;

    ck_ok(kv_txn_begin(env, KV_WRITE, NULL, &txn));
    ck_ok(kv_table_empty(txn, KV_MAIN_TABLE));
    ck_ok(kv_txn_commit(txn));
}

/* Commits and a durable point let older snapshots go from the meta slots as well. */
static uint64_t size_settled(void)
{
    struct rng rng;

    rng_init(&rng, 1);
    for (unsigned i = 0; i < 3; i++) {
        put_batch(1, 1, &rng);
        ck_ok(kv_env_sync(env));
        ck_ok(kv_env_trim(env, 0, NULL));
    }
    return size_now();
}

START_TEST(file_shrinks_when_a_reader_is_reset_and_not_before)
{
    struct kv_txn *reader;
    struct rng rng;
    uint64_t digest;
    uint64_t pages_end;
    struct kv_env_stat stat;

    rng_seed(&rng, "shrink", 6);
    put_batch(20000, 20000, &rng);
    ck_ok(kv_txn_begin(env, KV_READ, NULL, &reader));
    ck_ok(kv_env_stat(reader, &stat));
    pages_end = stat.pages_end;
    digest = digest_of(reader);
    empty_and_trim();
    ck_assert_uint_ge(size_settled(), pages_end * 4096);
    ck_assert_uint_eq(digest_of(reader), digest);
    kv_txn_reset(reader);
    ck_assert_uint_lt(size_settled(), pages_end * 4096 / 2);
    ck_ok(kv_txn_renew(reader));
    ck_assert_uint_ne(digest_of(reader), digest);
    kv_txn_abort(reader);
}
END_TEST

START_TEST(readers_that_ended_hold_no_pages)
{
    struct kv_txn *readers[20];
    struct rng rng;
    uint64_t before;

    rng_seed(&rng, "ended readers", 7);
    for (unsigned i = 0; i < 20; i++) {
        put_batch(1000, 20000, &rng);
        ck_ok(kv_txn_begin(env, KV_READ, NULL, &readers[i]));
    }
    for (unsigned i = 0; i < 20; i++)
        kv_txn_abort(readers[i]);
    before = size_now();
    overwrite(30, &rng);
    ck_assert_uint_le(size_now(), 2 * before);
    empty_and_trim();
    ck_assert_uint_lt(size_settled(), before / 4);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("isolation");

#define ADD(case_name, test) harness_add_fixture(s, case_name, test, setup, teardown)
    ADD("pins", pinned_snapshot_stays_the_same_whatever_is_committed);
    ADD("pins", pinned_snapshot_stays_the_same_while_threads_write);
    ADD("pins", pinned_snapshot_stays_the_same_while_processes_write);
    ADD("pins", pointers_of_a_pinned_snapshot_stay_and_so_do_their_bytes);
    ADD("seen", changes_are_seen_from_the_commit_on_and_not_before);
    ADD("seen", refresh_moves_to_the_newest_and_tells_whether_it_did);
    ADD("seen", renew_pins_the_newest_and_a_reset_txn_reads_nothing);
    ADD("pages", old_reader_does_not_make_the_file_grow_without_end);
    ADD("pages", file_shrinks_when_a_reader_is_reset_and_not_before);
    ADD("pages", readers_that_ended_hold_no_pages);
#undef ADD
    return s;
}

HARNESS_MAIN(suite)
