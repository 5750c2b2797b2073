/* SPDX-License-Identifier: MIT */
/*
 * Whatever a lock file holds, before it is opened or while it is in use: no crash, no wait without
 * end.
 *
 * Input: a byte that chooses, then edits of ten bytes: offset (u16, modulo the file), value (u64).
 *
 *     bit 0     the bytes behind are the whole lock file instead of edits
 *     bit 1     edits are made before the open, over the lock file that the last user left without
 * closing bit 2     edits are made one by one between the operations of a user bit 3     another
 * user has it open meanwhile bit 4     read-only
 *
 * The data file is made anew for each input. Waits for locks are given a limit, since a forged lock
 * file may well say that somebody wants them.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "exercise.h"
#include "files.h"

#define EDIT_BYTES 10u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static const char *folder;
static char data_path[128];
static char lock_path[128];
static struct image base;

struct edits {
    const uint8_t *next;
    size_t left;
};

static void write_file(const char *path, const uint8_t *bytes, size_t size)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);

    if (fd < 0 || ftruncate(fd, 0) != 0 || pwrite(fd, bytes, size, 0) != (ssize_t)size)
        abort();
    (void)close(fd);
}

/* One edit of the lock file, if one is left. */
static void scribble(struct edits *edits)
{
    int fd = open(lock_path, O_RDWR | O_CLOEXEC);
    struct stat st;

    if (fd >= 0 && edits->left >= EDIT_BYTES && fstat(fd, &st) == 0 && st.st_size >= 8) {
        uint64_t at = kvi_le_load16(edits->next) % ((uint64_t)st.st_size - 7);

        if (pwrite(fd, edits->next + 2, 8, (off_t)at) != 8)
            abort();
        edits->next += EDIT_BYTES;
        edits->left -= EDIT_BYTES;
    }
    if (fd >= 0)
        (void)close(fd);
}

static struct kv_env *open_env(uint32_t flags)
{
    struct kv_options options = KV_OPTIONS_INIT;
    struct kv_env *env = NULL;
    int rc;

    options.flags = flags;
    options.reserve_bytes = (uint64_t)1 << 30;
    rc = kv_env_open(data_path, &options, &env);
    return rc ? NULL : env;
}

/* A lock file as a killed user leaves it: the bytes of one that was open. */
static void leave_lock_file(void)
{
    struct kv_env *env = open_env(0);
    struct image bytes;

    if (!env)
        abort();
    bytes = base_load(lock_path);
    if (kv_env_close(env))
        abort();
    write_file(lock_path, bytes.bytes, bytes.size_bytes);
    free(bytes.bytes);
}

static void write_once(struct kv_env *env, struct edits *edits, unsigned number)
{
    struct kv_txn_options options = {.timeout_ms = 50};
    struct kv_val key = {sizeof number, &number};
    struct kv_val value = {5, (void *)(uintptr_t) "value"};
    struct kv_txn *txn;

    if (kv_txn_begin(env, KV_WRITE, &options, &txn))
        return;
    scribble(edits);
    if (kv_put(txn, KV_MAIN_TABLE, &key, &value, 0))
        kv_txn_abort(txn);
    else if (kv_txn_commit(txn) == KV_EINVAL)
        abort();
}

static int list_reader(void *context, const struct kv_reader *reader)
{
    *(uint64_t *)context += reader->txnid;
    return 0;
}

static void read_once(struct kv_env *env, struct edits *edits)
{
    struct kv_cursor *cursor;
    struct kv_val key, value;
    struct kv_txn *txn;
    uint64_t sum = 0;
    unsigned steps = 0;

    if (kv_txn_begin(env, KV_READ, NULL, &txn))
        return;
    scribble(edits);
    if (kv_cursor_open(txn, KV_MAIN_TABLE, &cursor) == 0) {
        while (steps++ < 30 && kv_cursor_get(cursor, KV_NEXT, &key, &value) == 0)
            continue;
        kv_cursor_close(cursor);
    }
    if (kv_env_readers(env, list_reader, &sum) == KV_EINVAL)
        abort();
    if (kv_txn_refresh(txn, NULL) == KV_EINVAL)
        abort();
    kv_txn_abort(txn);
}

static void use(struct kv_env *env, struct edits *edits)
{
    struct kv_env_info info;
    uint64_t bytes;

    for (unsigned i = 0; i < 4; i++) {
        read_once(env, edits);
        scribble(edits);
        write_once(env, edits, i);
        scribble(edits);
    }
    if (kv_env_check(env, NULL) == KV_EINVAL || kv_env_info(env, &info) == KV_EINVAL ||
        kv_env_trim(env, 0, &bytes) == KV_EINVAL || kv_env_sync(env) == KV_EINVAL)
        abort();
}

static void close_env(struct kv_env *env)
{
    if (kv_env_close(env) == KV_EBUSY)
        exercise_fail("a txn was left open", KV_EBUSY);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    folder = files_folder();
    base = base_make(BASE_UNSEALED, folder);
    (void)rmdir(folder);
    return 0;
}

/* The folder lives for one input only, so that a crash leaves little behind. */
static void make_files(void)
{
    folder = files_folder();
    (void)snprintf(data_path, sizeof data_path, "%s/data", folder);
    (void)snprintf(lock_path, sizeof lock_path, "%s/data-lock", folder);
    write_file(data_path, base.bytes, base.size_bytes);
}

static void remove_files(void)
{
    (void)unlink(data_path);
    (void)unlink(lock_path);
    (void)rmdir(folder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned choice = size ? data[0] : 0;
    struct edits edits = {data + (size > 0), size - (size > 0)};
    struct edits none = {NULL, 0};
    struct kv_env *other = NULL;
    struct kv_env *env;

    make_files();
    leave_lock_file();
    if (choice & 1u)
        write_file(lock_path, edits.next, edits.left);
    while ((choice & 2u) && !(choice & 1u) && edits.left >= EDIT_BYTES)
        scribble(&edits);
    if (choice & 8u)
        other = open_env(0);
    env = open_env(choice & 16u ? KV_READONLY : 0);
    if (env)
        use(env, choice & 4u ? &edits : &none);
    if (env)
        close_env(env);
    if (other)
        close_env(other);
    env = open_env(0); /* and the next user */
    if (env)
        close_env(env);
    remove_files();
    return 0;
}
