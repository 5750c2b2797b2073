/* SPDX-License-Identifier: MIT */
/* See api_help.h. Nothing here knows more of the library than kv.h tells. */
#include "api_help.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- Values ---- */

void expect_val(const struct kv_val *value, const void *data, size_t size_bytes)
{
    ck_assert_uint_eq(value->size, size_bytes);
    ck_assert(size_bytes == 0 || memcmp(value->data, data, size_bytes) == 0);
}

void expect_text(const struct kv_val *value, const char *text)
{
    expect_val(value, text, strlen(text));
}

static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

void fill_bytes(void *data, size_t size_bytes, uint64_t seed)
{
    uint8_t *bytes = data;

    for (size_t i = 0; i < size_bytes; i += 8) {
        uint64_t word = mix(seed + i * 0x9e3779b97f4a7c15u);

        memcpy(bytes + i, &word, size_bytes - i < 8 ? size_bytes - i : 8);
    }
}

/* ---- Envs ---- */

struct kv_env *env_open_with(const char *path, const struct kv_options *options)
{
    struct kv_env *env;

    ck_ok(kv_env_open(path, options, &env));
    ck_assert_ptr_nonnull(env);
    return env;
}

struct kv_env *env_open(const char *path, uint32_t flags)
{
    struct kv_options options = KV_OPTIONS_INIT;

    options.flags = flags;
    options.durability = KV_LAZY;
    return env_open_with(path, &options);
}

struct kv_env *env_new(const char *name)
{
    return env_open(tmp_path("%s", name), KV_CREATE);
}

void env_close(struct kv_env *env)
{
    ck_ok(kv_env_close(env));
}

struct kv_env_info env_info(struct kv_env *env)
{
    struct kv_env_info info;

    ck_ok(kv_env_info(env, &info));
    return info;
}

static int print_finding(void *context, const struct kv_finding *finding)
{
    (void)context;
    fprintf(stderr, "finding: page %lld, table %s: %s\n", (long long)finding->pgno,
            finding->table ? finding->table : "-", finding->what);
    return 0;
}

void env_sound(struct kv_env *env)
{
    uint64_t findings = 99;
    struct kv_check_options options = {print_finding, NULL, NULL, &findings};

    ck_ok(kv_env_check(env, &options));
    ck_assert_uint_eq(findings, 0);
}

void env_finish(struct kv_env *env)
{
    struct kv_check_options options = {print_finding, NULL, NULL, NULL};
    struct kv_txn *txn;
    int rc =
        kv_txn_begin(env, KV_WRITE | KV_TRY, NULL, &txn); /* nobody left the writer lock taken */

    kv_txn_abort(txn);
    if (!rc)
        rc = kv_env_check(env, &options);
    if (!rc)
        rc = kv_env_close(env);
    tmp_clear();
    ck_ok(rc);
}

/* ---- Txns ---- */

struct kv_txn *txn_read(struct kv_env *env)
{
    struct kv_txn *txn;

    ck_ok(kv_txn_begin(env, KV_READ, NULL, &txn));
    return txn;
}

struct kv_txn *txn_write(struct kv_env *env)
{
    struct kv_txn *txn;

    ck_ok(kv_txn_begin(env, KV_WRITE, NULL, &txn));
    return txn;
}

struct kv_txn *txn_nested(struct kv_txn *parent)
{
    struct kv_txn_options options = {.parent = parent};
    struct kv_txn *txn;

    ck_ok(kv_txn_begin(kv_txn_env(parent), KV_WRITE, &options, &txn));
    return txn;
}

void txn_commit(struct kv_txn *txn)
{
    ck_ok(kv_txn_commit(txn));
}

/* ---- Tables and records ---- */

kv_table table_make(struct kv_txn *txn, const char *name)
{
    kv_table table;

    ck_ok(kv_table_open(txn, name, KV_CREATE, NULL, &table));
    return table;
}

kv_table table_find(struct kv_txn *txn, const char *name)
{
    kv_table table;

    ck_ok(kv_table_open(txn, name, 0, NULL, &table));
    return table;
}

struct kv_table_stat table_stat(struct kv_txn *txn, kv_table table)
{
    struct kv_table_stat stat;

    ck_ok(kv_table_stat(txn, table, &stat));
    return stat;
}

struct kv_env_stat env_stat(struct kv_txn *txn)
{
    struct kv_env_stat stat;

    ck_ok(kv_env_stat(txn, &stat));
    return stat;
}

int try_put(struct kv_txn *txn, kv_table table, const char *key, const char *value, uint32_t flags)
{
    struct kv_val k = text_val(key);
    struct kv_val v = text_val(value);

    return kv_put(txn, table, &k, &v, flags);
}

int try_get(struct kv_txn *txn, kv_table table, const char *key)
{
    struct kv_val k = text_val(key);
    struct kv_val v;

    return kv_get(txn, table, &k, &v);
}

int try_del(struct kv_txn *txn, kv_table table, const char *key)
{
    struct kv_val k = text_val(key);

    return kv_del(txn, table, &k, NULL);
}

void put(struct kv_txn *txn, kv_table table, const char *key, const char *value)
{
    ck_ok(try_put(txn, table, key, value, 0));
}

void put_bytes(struct kv_txn *txn, kv_table table, const char *key, size_t size_bytes,
               uint64_t seed)
{
    void *data = malloc(size_bytes + 1);
    struct kv_val k = text_val(key);
    struct kv_val v = {size_bytes, data};

    ck_assert_ptr_nonnull(data);
    fill_bytes(data, size_bytes, seed);
    ck_ok(kv_put(txn, table, &k, &v, 0));
    free(data);
}

void del(struct kv_txn *txn, kv_table table, const char *key)
{
    ck_ok(try_del(txn, table, key));
}

void has(struct kv_txn *txn, kv_table table, const char *key, const char *value)
{
    struct kv_val k = text_val(key);
    struct kv_val v;

    ck_ok(kv_get(txn, table, &k, &v));
    expect_text(&v, value);
}

void has_bytes(struct kv_txn *txn, kv_table table, const char *key, size_t size_bytes,
               uint64_t seed)
{
    void *data = malloc(size_bytes + 1);
    struct kv_val k = text_val(key);
    struct kv_val v;

    ck_assert_ptr_nonnull(data);
    fill_bytes(data, size_bytes, seed);
    ck_ok(kv_get(txn, table, &k, &v));
    expect_val(&v, data, size_bytes);
    free(data);
}

void lacks(struct kv_txn *txn, kv_table table, const char *key)
{
    ck_rc(try_get(txn, table, key), KV_ENOTFOUND);
}

void put_commit(struct kv_env *env, const char *key, const char *value)
{
    struct kv_txn *txn = txn_write(env);

    put(txn, KV_MAIN_TABLE, key, value);
    txn_commit(txn);
}

void fill_table(struct kv_txn *txn, kv_table table, const char *prefix, unsigned count,
                size_t value_bytes)
{
    void *data = malloc(value_bytes + 1);

    ck_assert_ptr_nonnull(data);
    for (unsigned i = 0; i < count; i++) {
        struct kv_val v = {value_bytes, data};
        struct kv_val k;
        char key[64];

        k = bytes_val(key, (size_t)snprintf(key, sizeof(key), "%s%06u", prefix, i));
        fill_bytes(data, value_bytes, i);
        ck_ok(kv_put(txn, table, &k, &v, 0));
    }
    free(data);
}

void fill_commit(struct kv_env *env, unsigned count, size_t value_bytes)
{
    struct kv_txn *txn = txn_write(env);

    fill_table(txn, KV_MAIN_TABLE, "key", count, value_bytes);
    txn_commit(txn);
}

void empty_commit(struct kv_env *env)
{
    struct kv_txn *txn = txn_write(env);

    ck_ok(kv_table_empty(txn, KV_MAIN_TABLE));
    txn_commit(txn);
}

/* ---- Digests ---- */

static uint64_t digest_val(uint64_t digest, const struct kv_val *value)
{
    const uint8_t *bytes = value->data;
    uint64_t word;

    digest = mix(digest ^ value->size);
    for (size_t i = 0; i < value->size; i += 8) {
        word = 0;
        memcpy(&word, bytes + i, value->size - i < 8 ? value->size - i : 8);
        digest = mix(digest ^ word) + i;
    }
    return digest;
}

uint64_t table_digest(struct kv_txn *txn, kv_table table, uint64_t *entries_out)
{
    struct kv_cursor *cursor;
    struct kv_val key;
    struct kv_val value;
    uint64_t digest = 1;
    uint64_t entries = 0;
    int rc;

    ck_ok(kv_cursor_open(txn, table, &cursor));
    while ((rc = kv_cursor_get(cursor, KV_NEXT, &key, &value)) == 0) {
        digest = digest_val(digest, &key);
        digest = digest_val(digest + (uint64_t)kv_cursor_is_table(cursor), &value);
        entries++;
    }
    ck_rc(rc, KV_ENOTFOUND);
    kv_cursor_close(cursor);
    if (entries_out)
        *entries_out = entries;
    return digest;
}

struct digest_context {
    struct kv_txn *txn;
    uint64_t digest;
};

static int digest_named(void *context, const char *name)
{
    struct digest_context *c = context;

    c->digest = mix(c->digest) ^ table_digest(c->txn, table_find(c->txn, name), NULL);
    return 0;
}

uint64_t txn_digest(struct kv_txn *txn)
{
    struct digest_context c = {txn, table_digest(txn, KV_MAIN_TABLE, NULL)};

    ck_ok(kv_table_list(txn, digest_named, &c));
    return c.digest;
}

uint64_t env_digest(struct kv_env *env)
{
    struct kv_txn *txn = txn_read(env);
    uint64_t digest = txn_digest(txn);

    kv_txn_abort(txn);
    return digest;
}

/* ---- Other processes ---- */

int in_child(int (*fn)(void *context), void *context)
{
    int status;
    pid_t pid;

    fflush(NULL);
    pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0)
        _exit(fn(context));
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 255 - WTERMSIG(status);
}

void expect_error_text(const char *part)
{
    ck_assert_msg(strstr(kv_error_text(), part) != NULL, "\"%s\" is not in \"%s\"", part,
                  kv_error_text());
}
