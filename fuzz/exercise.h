/* SPDX-License-Identifier: MIT */
/*
 * Does with a database file what its users do: opens it, reads every table in both directions,
 * looks keys up, checks and copies it, and, where that is allowed, writes.
 *
 * The file may be damaged, so every result is right but these, which abort:
 * - a crash, or work without end: scans are counted against what the file has room for;
 * - damage met by a reader in a snapshot that the check has called sound;
 * - memory that is not readable behind a value that was handed out (some of its bytes are summed
 * up).
 *
 * Functions in a header, since fuzz targets and tests share it. One thread.
 */
#ifndef FUZZ_EXERCISE_H
#define FUZZ_EXERCISE_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kv.h"

#define EXERCISE_TABLES 6u
#define EXERCISE_SAMPLES 24u
#define EXERCISE_KEY_BYTES 2048u

/* What came out. */
struct exercise_result {
    int open, check, write, close;
};

struct exercise {
    struct kv_env *env;
    bool sound;         /* the check found nothing in this snapshot */
    bool may_copy;      /* copies are slow: not for every file */
    uint64_t steps_max; /* records that the file has room for */
    unsigned tables;
    char names[EXERCISE_TABLES][64];
    uint64_t sum; /* of bytes read */
    unsigned samples;
    struct {
        size_t size;
        uint8_t data[EXERCISE_KEY_BYTES];
    } sample[EXERCISE_SAMPLES];
};

static inline void exercise_fail(const char *what, int rc)
{
    fprintf(stderr, "%s: %s (%s)\n", what, kv_strerror(rc), kv_error_text());
    abort();
}

/* A reader's result. */
static inline int exercise_read_rc(const struct exercise *e, int rc)
{
    if (e->sound && rc == KV_ECORRUPT)
        exercise_fail("damage that the check did not find", rc);
    return rc;
}

static inline void exercise_touch(struct exercise *e, const struct kv_val *val)
{
    const uint8_t *bytes = val->data;

    for (size_t i = 0; i < val->size; i += 64)
        e->sum += bytes[i];
    if (val->size)
        e->sum += bytes[val->size - 1];
}

static inline void exercise_sample(struct exercise *e, const struct kv_val *key, uint64_t step)
{
    unsigned at = (unsigned)(step % 7 ? EXERCISE_SAMPLES : step / 7 % EXERCISE_SAMPLES);

    if (at == EXERCISE_SAMPLES || key->size > EXERCISE_KEY_BYTES)
        return;
    e->sample[at].size = key->size;
    if (key->size)
        memcpy(e->sample[at].data, key->data, key->size);
    if (at >= e->samples)
        e->samples = at + 1;
}

/* ---- Reading ---- */

static inline int exercise_list_one(void *context, const char *name)
{
    struct exercise *e = context;

    if (e->tables < EXERCISE_TABLES && strlen(name) < sizeof e->names[0])
        strcpy(e->names[e->tables++], name);
    return 0;
}

/* All records from one end to the other; how many came. */
static inline uint64_t exercise_scan(struct exercise *e, struct kv_txn *txn, kv_table table,
                                     enum kv_cursor_op op)
{
    struct kv_cursor *cursor = NULL;
    struct kv_val key, value;
    uint64_t steps = 0;
    int rc = kv_cursor_open(txn, table, &cursor);

    while (!rc) {
        rc = exercise_read_rc(e, kv_cursor_get(cursor, op, &key, &value));
        if (rc)
            break;
        exercise_touch(e, &key);
        exercise_touch(e, &value);
        exercise_sample(e, &key, steps);
        if (++steps > e->steps_max)
            exercise_fail("a scan without end", 0);
    }
    kv_cursor_close(cursor);
    return steps;
}

static inline void exercise_seek(struct exercise *e, struct kv_txn *txn, kv_table table)
{
    static const enum kv_cursor_op ops[] = {KV_AT_LEAST, KV_NEXT,    KV_AT_MOST,
                                            KV_PREV,     KV_CURRENT, KV_EXACT};
    struct kv_cursor *cursor = NULL;
    struct kv_val key, value;

    if (exercise_read_rc(e, kv_cursor_open(txn, table, &cursor)))
        return;
    for (unsigned i = 0; i < e->samples; i++) {
        struct kv_val given = {e->sample[i].size, e->sample[i].data};

        if (exercise_read_rc(e, kv_get(txn, table, &given, &value)) == 0)
            exercise_touch(e, &value);
        if (given.size > 3 && i % 2)
            given.size -= 2;
        for (unsigned j = 0; j < sizeof ops / sizeof ops[0]; j++) {
            key = given;
            if (exercise_read_rc(e, kv_cursor_get(cursor, ops[j], &key, &value)) == 0) {
                exercise_touch(e, &key);
                exercise_touch(e, &value);
            }
        }
    }
    kv_cursor_close(cursor);
}

/* The range between two samples, the first one's key perhaps behind the other's. */
static inline struct kv_range exercise_range(const struct exercise *e, unsigned number,
                                             struct kv_val bounds[2])
{
    struct kv_range range = KV_RANGE_INIT;

    for (unsigned i = 0; i < 2 && e->samples; i++) {
        unsigned at = (number + i * (1 + number % 5)) % e->samples;

        bounds[i].size = e->sample[at].size;
        bounds[i].data = (void *)(uintptr_t)e->sample[at].data;
    }
    range.from = e->samples && number % 7 ? &bounds[0] : NULL;
    range.to = e->samples && number % 6 ? &bounds[1] : NULL;
    range.flags = number & 3;
    return range;
}

static inline void exercise_counts(struct exercise *e, struct kv_txn *txn, kv_table table)
{
    for (unsigned i = 0; i < e->samples; i++) {
        struct kv_val bounds[2];
        struct kv_range range = exercise_range(e, i, bounds);
        uint64_t count;

        if (exercise_read_rc(e, kv_count(txn, table, &range, KV_ESTIMATE, &count)) == 0)
            e->sum += count;
        if (exercise_read_rc(e, kv_count(txn, table, &range, i & KV_KEYS, &count)) == 0)
            e->sum += count;
        if (range.from &&
            exercise_read_rc(e, kv_rank(txn, table, range.from, NULL, 0, &count)) == 0)
            e->sum += count;
    }
}

/* All samples in one call, with some keys that are not there. */
static inline void exercise_many(struct exercise *e, struct kv_txn *txn, kv_table table)
{
    struct kv_val keys[EXERCISE_SAMPLES], values[EXERCISE_SAMPLES];
    size_t found;

    for (unsigned i = 0; i < e->samples; i++) {
        keys[i] = (struct kv_val){e->sample[i].size, e->sample[i].data};
        if (keys[i].size > 3 && i % 5 == 4)
            keys[i].size -= 1;
    }
    if (exercise_read_rc(e, kv_get_many(txn, table, keys, e->samples, values, &found)))
        return;
    for (unsigned i = 0; i < e->samples; i++)
        exercise_touch(e, &values[i]);
}

static inline void exercise_table(struct exercise *e, struct kv_txn *txn, const char *name)
{
    struct kv_table_stat stat = {0};
    uint64_t forward, backward;
    kv_table table;

    if (exercise_read_rc(e, kv_table_open(txn, name, 0, NULL, &table)))
        return;
    if (exercise_read_rc(e, kv_table_stat(txn, table, &stat)))
        return;
    forward = exercise_scan(e, txn, table, KV_NEXT);
    backward = exercise_scan(e, txn, table, KV_PREV);
    if (e->sound && (forward != stat.entries || backward != stat.entries))
        exercise_fail("other counts than those that the check proved", 0);
    exercise_seek(e, txn, table);
    exercise_counts(e, txn, table);
}

static inline void exercise_copy(struct exercise *e, struct kv_txn *txn)
{
    struct kv_copy_options options = {0, 0, NULL, NULL};

    for (uint32_t flags = 0; flags <= KV_COPY_COMPACT; flags++) {
        int fd = memfd_create("copy", MFD_CLOEXEC);

        options.flags = flags;
        if (fd >= 0) {
            (void)exercise_read_rc(e, kv_env_copy_fd(txn, fd, &options));
            (void)close(fd);
        }
    }
}

static inline int exercise_reader(void *context, const struct kv_reader *reader)
{
    struct exercise *e = context;

    e->sum += reader->txnid;
    return 0;
}

static inline void exercise_read(struct exercise *e)
{
    struct kv_env_stat stat;
    struct kv_txn *txn;

    if (kv_txn_begin(e->env, KV_READ, NULL, &txn))
        return;
    e->tables = 0;
    e->samples = 0;
    (void)exercise_read_rc(e, kv_env_stat(txn, &stat));
    exercise_table(e, txn, NULL);
    (void)exercise_read_rc(e, kv_table_list(txn, exercise_list_one, e));
    for (unsigned i = 0; i < e->tables; i++)
        exercise_table(e, txn, e->names[i]);
    if (kv_env_readers(e->env, exercise_reader, e) == KV_EINVAL)
        exercise_fail("the list of readers", KV_EINVAL);
    if (e->may_copy)
        exercise_copy(e, txn);
    kv_txn_abort(txn);
}

/* ---- Writing ---- */

static inline int exercise_put(struct exercise *e, struct kv_txn *txn, kv_table table,
                               unsigned number, size_t value_bytes)
{
    static uint8_t bytes[70000];
    uint8_t made[16];
    struct kv_val key = {sizeof made, made};
    struct kv_val value = {value_bytes, bytes};

    (void)snprintf((char *)made, sizeof made, "new/%08u", number * 7919);
    if (e->samples && number % 2) {
        key.size = e->sample[number % e->samples].size;
        key.data = e->sample[number % e->samples].data;
    }
    return kv_put(txn, table, &key, &value, 0);
}

static inline int exercise_del(struct exercise *e, struct kv_txn *txn, kv_table table,
                               unsigned number)
{
    struct kv_val key = {0, NULL};
    int rc;

    if (e->samples) {
        key.size = e->sample[number % e->samples].size;
        key.data = e->sample[number % e->samples].data;
    }
    rc = kv_del(txn, table, &key, NULL);
    return rc == KV_ENOTFOUND || rc == KV_EINCOMPATIBLE ? 0 : rc;
}

/* Changes through a cursor while another one stands by. */
static inline int exercise_cursors(struct exercise *e, struct kv_txn *txn, kv_table table)
{
    struct kv_cursor *a = NULL;
    struct kv_cursor *b = NULL;
    struct kv_val key, value;
    int rc = kv_cursor_open(txn, table, &a);

    if (!rc)
        rc = kv_cursor_open(txn, table, &b);
    if (!rc)
        rc = kv_cursor_get(b, KV_LAST, &key, &value);
    for (unsigned i = 0; i < 12 && !rc; i++) {
        rc = kv_cursor_get(a, KV_NEXT, &key, &value);
        if (!rc && i % 3 == 1)
            rc = kv_cursor_del(a, 0);
        if (!rc && i % 3 == 2) {
            static uint8_t bytes[3000];
            struct kv_val other = {i * 200, bytes};

            rc = kv_cursor_put(a, NULL, &other, KV_AT_CURSOR);
        }
        if (!rc)
            rc = kv_cursor_get(b, KV_PREV, &key, &value);
        if (!rc)
            exercise_touch(e, &value);
    }
    kv_cursor_close(a);
    kv_cursor_close(b);
    return rc == KV_ENOTFOUND || rc == KV_EINCOMPATIBLE ? 0 : rc;
}

/* A bulk build behind the last record, with one out of order. */
static inline int exercise_bulk(struct exercise *e, struct kv_txn *txn, kv_table table)
{
    struct kv_bulk *bulk;
    int rc = kv_bulk_begin(txn, table, 0, &bulk);
    int ended;

    if (rc)
        return rc;
    for (unsigned i = 0; i < 60 && !rc; i++) {
        static uint8_t bytes[3000];
        uint8_t made[20];
        struct kv_val key = {sizeof made, made};
        struct kv_val value = {i % 20 == 19 ? 3000 : i * 7, bytes};

        memset(made, 0xFF, sizeof made);
        made[sizeof made - 1] = (uint8_t)i;
        if (i == 30 && e->samples) {
            key.size = e->sample[0].size;
            key.data = e->sample[0].data;
        }
        rc = kv_bulk_put(bulk, &key, &value, 0);
        if (rc == KV_EINCOMPATIBLE)
            rc = 0;
    }
    ended = kv_bulk_end(bulk);
    return rc ? rc : ended;
}

static inline int exercise_change(struct exercise *e, struct kv_txn *txn, const char *name)
{
    kv_table table;
    int rc = kv_table_open(txn, name, 0, NULL, &table);

    for (unsigned i = 0; i < 12 && !rc; i++) {
        rc = exercise_put(e, txn, table, i, i % 4 == 3 ? 5000 * i : 30 * i);
        if (rc == KV_EINCOMPATIBLE)
            rc = 0;
        if (!rc)
            rc = exercise_del(e, txn, table, i * 5 + 1);
    }
    if (!rc)
        rc = exercise_cursors(e, txn, table);
    return rc ? rc : exercise_bulk(e, txn, table);
}

/* A nested txn, whose changes stay or go. */
static inline int exercise_nested(struct exercise *e, struct kv_txn *parent, bool commit)
{
    struct kv_txn_options options = {.parent = parent};
    struct kv_txn *txn;
    int rc = kv_txn_begin(e->env, KV_WRITE, &options, &txn);

    if (rc)
        return rc;
    rc = exercise_change(e, txn, NULL);
    if (!rc && commit)
        return kv_txn_commit(txn);
    kv_txn_abort(txn);
    return rc;
}

/* Ranges of a table go, each in a nested txn that is given up. */
static inline int exercise_ranges(struct exercise *e, struct kv_txn *parent, const char *name)
{
    int rc = 0;

    for (unsigned i = 0; i < 8 && !rc; i++) {
        struct kv_txn_options options = {.parent = parent};
        struct kv_val bounds[2];
        struct kv_range range = exercise_range(e, 5 * i, bounds);
        struct kv_txn *txn;
        uint64_t deleted;
        kv_table table;

        rc = kv_txn_begin(e->env, KV_WRITE, &options, &txn);
        if (rc)
            return rc;
        rc = kv_table_open(txn, name, 0, NULL, &table);
        if (!rc)
            rc = kv_del_range(txn, table, i ? &range : NULL, &deleted);
        if (rc == KV_EINCOMPATIBLE || rc == KV_EKEYSIZE)
            rc = 0;
        kv_txn_abort(txn);
    }
    return rc;
}

static inline int exercise_commit_changes(struct exercise *e)
{
    struct kv_txn *txn;
    int rc = kv_txn_begin(e->env, KV_WRITE | KV_TRY, NULL, &txn);

    if (rc)
        return rc;
    rc = exercise_change(e, txn, NULL);
    for (unsigned i = 0; i < e->tables && !rc; i++)
        rc = exercise_change(e, txn, e->names[i]);
    for (unsigned i = 0; i < 2 && !rc; i++)
        rc = exercise_nested(e, txn, i == 0);
    if (!rc)
        rc = exercise_ranges(e, txn, NULL);
    for (unsigned i = 0; i < e->tables && !rc; i++)
        rc = exercise_ranges(e, txn, e->names[i]);
    if (!rc)
        return kv_txn_commit(txn);
    kv_txn_abort(txn);
    return rc;
}

static inline int exercise_drop(struct kv_txn *txn, const char *name, unsigned how)
{
    kv_table table;
    int rc = kv_table_open(txn, name, 0, NULL, &table);

    if (rc)
        return rc;
    if (how % 3 == 0)
        return kv_table_drop(txn, table);
    if (how % 3 == 1)
        return kv_table_empty(txn, table);
    return kv_table_rename(txn, table, "renamed");
}

static inline int exercise_commit_drops(struct exercise *e)
{
    struct kv_txn *txn;
    kv_table table;
    int rc = kv_txn_begin(e->env, KV_WRITE | KV_TRY, NULL, &txn);

    if (rc)
        return rc;
    for (unsigned i = 0; i < e->tables && !rc; i++)
        rc = exercise_drop(txn, e->names[i], i);
    if (!rc)
        rc = kv_table_open(txn, "made", KV_CREATE, NULL, &table);
    if (!rc)
        rc = exercise_put(e, txn, table, 2, 100);
    if (!rc)
        return kv_txn_commit(txn);
    kv_txn_abort(txn);
    return rc;
}

/* The first failure of a change. */
static inline int exercise_write(struct exercise *e)
{
    uint64_t bytes;
    int first = exercise_commit_changes(e);
    int rc = exercise_commit_changes(e);

    if (!rc)
        rc = exercise_commit_drops(e);
    if (!first)
        first = rc;
    rc = kv_env_trim(e->env, 0, &bytes);
    if (!first)
        first = rc;
    rc = kv_env_trim(e->env, KV_TRIM_PUNCH, &bytes);
    if (!first && rc != ENOTSUP)
        first = rc;
    rc = kv_env_sync(e->env);
    if (!first)
        first = rc;
    exercise_read(e);
    rc = kv_env_check(e->env, NULL);
    return first ? first : rc;
}

/* ---- All ---- */

static inline struct exercise *exercise_open(const char *path, uint32_t flags, int *rc_out)
{
    struct kv_options options = KV_OPTIONS_INIT;
    struct exercise *e = calloc(1, sizeof *e);
    struct kv_env_info info;

    if (!e)
        abort();
    options.flags = flags;
    options.reserve_bytes = (uint64_t)1 << 30;
    options.max_size_bytes = (uint64_t)64 << 20;
    *rc_out = kv_env_open(path, &options, &e->env);
    if (*rc_out) {
        free(e);
        return NULL;
    }
    if (kv_env_info(e->env, &info))
        info.file_size_bytes = 0;
    e->steps_max = info.file_size_bytes + ((uint64_t)1 << 20);
    return e;
}

/* Uses the file at `path`, opened with `flags`. */
static inline struct exercise_result exercise_file(const char *path, uint32_t flags, bool copies)
{
    struct exercise_result result = {0, 0, 0, 0};
    struct exercise *e = exercise_open(path, flags, &result.open);

    if (!e)
        return result;
    e->may_copy = copies;
    exercise_read(e); /* before the check, which would verify every page for it */
    result.check = kv_env_check(e->env, NULL);
    e->sound = result.check == 0;
    exercise_read(e);
    e->sound = false;
    if (!(flags & KV_READONLY))
        result.write = exercise_write(e);
    result.close = kv_env_close(e->env);
    if (result.close == KV_EBUSY)
        exercise_fail("a txn was left open", KV_EBUSY);
    free(e);
    return result;
}

#endif
