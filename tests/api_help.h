/* SPDX-License-Identifier: MIT */
/*
 * Verbs for tests that use the library as its users do: through kv.h alone. They fail the running
 * test when the library says anything but what they expect; keys and values are texts unless the
 * name says otherwise.
 */
#ifndef API_HELP_H
#define API_HELP_H

#include <string.h>
#include <sys/types.h>

#include "harness.h"
#include "kv.h"

/* ---- Values ---------------------------------------------------------------------------------- */

static inline struct kv_val text_val(const char *text)
{
    return (struct kv_val){strlen(text), (void *)(uintptr_t)text};
}

static inline struct kv_val bytes_val(const void *data, size_t size_bytes)
{
    return (struct kv_val){size_bytes, (void *)(uintptr_t)data};
}

/* The value is these bytes. */
void expect_val(const struct kv_val *value, const void *data, size_t size_bytes);
void expect_text(const struct kv_val *value, const char *text);

/* Bytes that follow from the seed, so that a large value can be told from any other. */
void fill_bytes(void *data, size_t size_bytes, uint64_t seed);

/* ---- Envs ------------------------------------------------------------------------------------ */

/* Opens tmp_path(name), making it; lazy, so that tests need no flushes. */
struct kv_env *env_new(const char *name);
struct kv_env *env_open(const char *path, uint32_t flags);
struct kv_env *env_open_with(const char *path, const struct kv_options *options);
void env_close(struct kv_env *env);
struct kv_env_info env_info(struct kv_env *env);

/* The database is sound: kv_env_check has no finding. */
void env_sound(struct kv_env *env);

/* For teardowns: proves and closes the env, and clears tmp_dir even if the test that failed left
 * txns. */
void env_finish(struct kv_env *env);

/* ---- Txns ------------------------------------------------------------------------------------ */

struct kv_txn *txn_read(struct kv_env *env);
struct kv_txn *txn_write(struct kv_env *env);
struct kv_txn *txn_nested(struct kv_txn *parent);
void txn_commit(struct kv_txn *txn);

/* ---- Tables and records ---------------------------------------------------------------------- */

kv_table table_make(struct kv_txn *txn, const char *name);
kv_table table_find(struct kv_txn *txn, const char *name);
struct kv_table_stat table_stat(struct kv_txn *txn, kv_table table);
struct kv_env_stat env_stat(struct kv_txn *txn);

int try_put(struct kv_txn *txn, kv_table table, const char *key, const char *value, uint32_t flags);
int try_get(struct kv_txn *txn, kv_table table, const char *key);
int try_del(struct kv_txn *txn, kv_table table, const char *key);
void put(struct kv_txn *txn, kv_table table, const char *key, const char *value);
void put_bytes(struct kv_txn *txn, kv_table table, const char *key, size_t size_bytes,
               uint64_t seed);
void del(struct kv_txn *txn, kv_table table, const char *key);
void has(struct kv_txn *txn, kv_table table, const char *key, const char *value);
void has_bytes(struct kv_txn *txn, kv_table table, const char *key, size_t size_bytes,
               uint64_t seed);
void lacks(struct kv_txn *txn, kv_table table, const char *key);

/* One write txn around one put into the main table. */
void put_commit(struct kv_env *env, const char *key, const char *value);

/* `count` records "<prefix>NNNNNN" of value_bytes each, in one txn. */
void fill_table(struct kv_txn *txn, kv_table table, const char *prefix, unsigned count,
                size_t value_bytes);
void fill_commit(struct kv_env *env, unsigned count, size_t value_bytes);
void empty_commit(struct kv_env *env);

/* A number that follows from all records of the table, in order; and of all tables of the
 * snapshot. */
uint64_t table_digest(struct kv_txn *txn, kv_table table, uint64_t *entries_out);
uint64_t txn_digest(struct kv_txn *txn);
uint64_t env_digest(struct kv_env *env);

/* ---- Other processes ------------------------------------------------------------------------- */

/* Runs fn(context) in a forked child; its result, or 255 - signal if it was killed by one. */
int in_child(int (*fn)(void *context), void *context);

/* kv_error_text has this part. */
void expect_error_text(const char *part);

#endif
