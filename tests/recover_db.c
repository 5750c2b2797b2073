/* SPDX-License-Identifier: MIT */
/* Databases for the tests of recovery. See recover_db.h. */
#include "recover_db.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fault_os.h"
#include "harness.h"

static const size_t slot_offset[2] = {0, KVI_META_SLOT_1_OFFSET};

/* ---- Envs ---- */

int db_try_open(const char *path, uint32_t flags, struct kv_env **env_out)
{
    struct kv_options options = KV_OPTIONS_INIT;

    options.flags = flags;
    options.reserve_bytes = (uint64_t)1 << 30;
    return kv_env_open(path, &options, env_out);
}

struct kv_env *db_open(const char *path, uint32_t flags)
{
    struct kv_env *env = NULL;

    ck_ok(db_try_open(path, flags, &env));
    return env;
}

void db_close(struct kv_env *env)
{
    ck_ok(kv_env_close(env));
}

static void fill_value(uint8_t *value, size_t bytes, unsigned key, unsigned version)
{
    for (size_t i = 0; i < bytes; i++)
        value[i] = (uint8_t)(key * 31 + version + i);
    memcpy(value, &version, sizeof(version));
}

static struct kv_val key_of(unsigned key, char text[32])
{
    struct kv_val val = {(size_t)snprintf(text, 32, "key-%06u", key), text};

    return val;
}

static int put_in(struct kv_txn *txn, unsigned key, unsigned version, size_t bytes)
{
    char text[32];
    struct kv_val name = key_of(key, text);
    struct kv_val value = {bytes, malloc(bytes)};
    int rc;

    ck_assert_uint_ge(bytes, sizeof(version));
    ck_assert_ptr_nonnull(value.data);
    fill_value(value.data, bytes, key, version);
    rc = kv_put(txn, KV_MAIN_TABLE, &name, &value, 0);
    free(value.data);
    return rc;
}

int db_try_put(struct kv_env *env, unsigned key, unsigned version, size_t bytes,
               enum kv_durability durability)
{
    struct kv_txn_options options = {.durability = durability};
    struct kv_txn *txn;
    int rc = kv_txn_begin(env, KV_WRITE, &options, &txn);

    if (rc)
        return rc;
    rc = put_in(txn, key, version, bytes);
    if (rc) {
        kv_txn_abort(txn);
        return rc;
    }
    return kv_txn_commit(txn);
}

void db_put(struct kv_env *env, unsigned key, unsigned version, size_t bytes)
{
    ck_ok(db_try_put(env, key, version, bytes, KV_DURABLE));
}

void db_put_lazy(struct kv_env *env, unsigned key, unsigned version, size_t bytes)
{
    ck_ok(db_try_put(env, key, version, bytes, KV_NONE));
}

unsigned db_version(struct kv_env *env, unsigned key)
{
    char text[32];
    struct kv_val name = key_of(key, text);
    struct kv_val value;
    struct kv_txn *txn;
    unsigned version = 0;
    int rc;

    ck_ok(kv_txn_begin(env, KV_READ, NULL, &txn));
    rc = kv_get(txn, KV_MAIN_TABLE, &name, &value);
    if (rc != KV_ENOTFOUND) {
        uint8_t *expected;

        ck_ok(rc);
        memcpy(&version, value.data, sizeof(version));
        expected = malloc(value.size);
        ck_assert_ptr_nonnull(expected);
        fill_value(expected, value.size, key, version);
        ck_assert_mem_eq(expected, value.data, value.size);
        free(expected);
    }
    kv_txn_abort(txn);
    return version;
}

static int show_finding(void *context, const struct kv_finding *finding)
{
    (void)context;
    fprintf(stderr, "txnid %llx page %lld: %s\n", (unsigned long long)finding->txnid,
            (long long)finding->pgno, finding->what);
    return 0;
}

void db_check(struct kv_env *env)
{
    struct kv_check_options options = {.finding = show_finding};

    ck_ok(kv_env_check(env, &options));
}

uint64_t db_txnid(struct kv_env *env)
{
    struct kv_env_info info;

    ck_ok(kv_env_info(env, &info));
    return info.txnid_visible;
}

uint64_t db_rolled_back(struct kv_env *env)
{
    struct kv_env_info info;

    ck_ok(kv_env_info(env, &info));
    return info.txnid_rolled_back;
}

/* ---- Files ---- */

struct db_image db_load(const char *path)
{
    struct db_image image;

    image.data = file_read(path, &image.size_bytes);
    return image;
}

void db_store(const char *path, const struct db_image *image)
{
    file_write(path, image->data, image->size_bytes);
}

struct db_image db_copy(const struct db_image *image)
{
    struct db_image copy = {malloc(image->size_bytes + 1), image->size_bytes};

    ck_assert_ptr_nonnull(copy.data);
    memcpy(copy.data, image->data, image->size_bytes);
    return copy;
}

void db_release(struct db_image *image)
{
    free(image->data);
    image->data = NULL;
}

enum kvi_meta_state db_meta(const struct db_image *image, unsigned slot, struct kvi_meta *meta_out)
{
    ck_assert_uint_ge(image->size_bytes, slot_offset[slot] + KVI_META_BYTES);
    return kvi_meta_decode(image->data + slot_offset[slot], meta_out);
}

void db_set_meta(struct db_image *image, unsigned slot, struct kvi_meta *meta)
{
    kvi_meta_encode(meta, image->data + slot_offset[slot]);
}

void db_tear_meta(struct db_image *image, unsigned slot)
{
    image->data[slot_offset[slot] + 300] ^= 0x40;
}

unsigned db_newest(const struct db_image *image)
{
    struct kvi_meta meta[2];

    ck_assert_int_eq(db_meta(image, 0, &meta[0]), KVI_META_OK);
    ck_assert_int_eq(db_meta(image, 1, &meta[1]), KVI_META_OK);
    return meta[1].txnid > meta[0].txnid;
}

void db_forget_lock(const char *path)
{
    char *lock = malloc(strlen(path) + sizeof("-lock"));

    ck_assert_ptr_nonnull(lock);
    strcpy(lock, path);
    strcat(lock, "-lock");
    (void)unlink(lock);
    free(lock);
}

void db_child_killed(void (*child)(void *context), void *context)
{
    int status = 0;
    pid_t pid = fork();

    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        child(context);
        (void)kill(getpid(), SIGKILL);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "the child failed: %d",
                  status);
}
