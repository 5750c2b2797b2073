/* SPDX-License-Identifier: MIT */
/*
 * Databases for the tests of recovery and durable points: made through kv.h, then looked at and
 * bent as bytes.
 *
 * Functions that fail end the test. Paths come from tmp_path.
 */
#ifndef RECOVER_DB_H
#define RECOVER_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "format/meta.h"
#include "kv.h"
#include "txn/env.h"

/* ---- Envs ---- */

struct kv_env *db_open(const char *path, uint32_t flags);
int db_try_open(const char *path, uint32_t flags, struct kv_env **env_out);
void db_close(struct kv_env *env);

/* One commit: sets key `key` of the main table to a value of `bytes` bytes that tells the key and
 * `version`. */
int db_try_put(struct kv_env *env, unsigned key, unsigned version, size_t bytes,
               enum kv_durability durability);
void db_put(struct kv_env *env, unsigned key, unsigned version, size_t bytes);
void db_put_lazy(struct kv_env *env, unsigned key, unsigned version, size_t bytes);

/* The version that the newest visible snapshot has of a key; 0: no such key. */
unsigned db_version(struct kv_env *env, unsigned key);

/* Proves the whole database. */
void db_check(struct kv_env *env);

uint64_t db_txnid(struct kv_env *env);
uint64_t db_rolled_back(struct kv_env *env);

/* ---- Files ---- */

/* A file as bytes. */
struct db_image {
    uint8_t *data;
    size_t size_bytes;
};

struct db_image db_load(const char *path);
void db_store(const char *path, const struct db_image *image);
struct db_image db_copy(const struct db_image *image);
void db_release(struct db_image *image);

/* The state of a slot and its meta; db_set_meta writes one. */
enum kvi_meta_state db_meta(const struct db_image *image, unsigned slot, struct kvi_meta *meta_out);
void db_set_meta(struct db_image *image, unsigned slot, struct kvi_meta *meta);
void db_tear_meta(struct db_image *image, unsigned slot);

/* The slot with the higher txnid. */
unsigned db_newest(const struct db_image *image);

/* No lock file: as after a boot. */
void db_forget_lock(const char *path);

/* A child that does this and is killed at the end (it never returns). What it has open, it had
 * opened itself. */
void db_child_killed(void (*child)(void *context), void *context);

#endif
