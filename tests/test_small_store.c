/* SPDX-License-Identifier: MIT */
/*
 * The writer's mapping (docs/SPACE.md, M1 to M6): which pages are stored through it and which are
 * written, and that whatever happens to it, or to the file's blocks, costs no commit and no signal.
 * With shrunken limits a single known page is enough for a store.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "recover_db.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fault_os.h"
#include "harness.h"
#include "txn/lockfile.h"

enum { SMALL = 100, MEDIUM = 3000, LARGE = 20000, KEYS = 60, ROUNDS = 40 };

static const char *path;
static struct kv_env *env;

static bool supported(void)
{
    struct statfs fs;

    return statfs(tmp_dir(), &fs) == 0 && (fs.f_type == 0xef53 || fs.f_type == 0x01021994);
}

/* Commits that write the same pages again and again. */
static void put_some(struct kv_env *to, unsigned count, enum kv_durability durability)
{
    static unsigned version = 1;

    for (unsigned i = 0; i < count; i++) {
        version++;
        ck_ok(db_try_put(to, version % KEYS, version, version % 3 ? SMALL : MEDIUM, durability));
    }
}

static void start(void)
{
    tmp_clear();
    fault_install();
    path = tmp_path("a.db");
    env = db_open(path, KV_CREATE);
    put_some(env, ROUNDS, KV_NONE);
}

static void stop(void)
{
    db_close(env);
    fault_remove();
}

static uint64_t stores_of(struct kv_env *to, unsigned count, enum kv_durability durability)
{
    fault_arm(FAULT_STORE, 0, 0);
    put_some(to, count, durability);
    return fault_count(FAULT_STORE);
}

/* ---- When ---- */

START_TEST(commits_without_flush_are_stored_and_others_written)
{
    ck_assert_uint_eq(stores_of(env, ROUNDS, KV_LAZY), 0);
    ck_assert_uint_eq(stores_of(env, ROUNDS, KV_DURABLE), 0);
    ck_assert_uint_ge(stores_of(env, ROUNDS, KV_NONE), ROUNDS / 2);
    db_check(env);
}
END_TEST

START_TEST(memory_databases_are_stored_in_every_mode)
{
    struct kv_options options = KV_OPTIONS_INIT;
    struct kv_env *memory;

    options.flags = KV_MEMORY;
    ck_ok(kv_env_open(NULL, &options, &memory));
    put_some(memory, ROUNDS, KV_DURABLE);
    ck_assert_uint_ge(stores_of(memory, ROUNDS, KV_DURABLE), ROUNDS / 2);
    db_check(memory);
    db_close(memory);
}
END_TEST

START_TEST(it_may_be_forbidden)
{
    static const uint32_t flags[] = {KV_NOWRITEMAP, KV_NOLOCK};

    db_close(env);
    env = db_open(path, flags[_i]);
    fault_arm(FAULT_STORE, 0, 0);
    put_some(env, 2 * ROUNDS, KV_NONE);
    ck_assert_uint_eq(fault_count(FAULT_STORE), 0);
}
END_TEST

static unsigned mappings_of(const char *file)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[1024];
    unsigned count = 0;

    while (maps && fgets(line, sizeof(line), maps))
        count += strstr(line, file) != NULL;
    if (maps)
        fclose(maps);
    return count;
}

START_TEST(a_close_leaves_no_mapping)
{
    ck_assert_uint_gt(stores_of(env, ROUNDS, KV_NONE), 0);
    ck_assert_uint_gt(mappings_of(path), 0);
    db_close(env);
    ck_assert_uint_eq(mappings_of(path), 0);
    env = db_open(path, 0);
}
END_TEST

START_TEST(runs_and_spilled_pages_are_stored_as_well)
{
    fault_arm(FAULT_STORE, 0, 0);
    for (unsigned i = 0; i < ROUNDS; i++)
        ck_ok(db_try_put(env, i % 3, 100 + i, LARGE, KV_NONE));
    ck_assert_uint_gt(fault_count(FAULT_STORE), 0);
    ck_assert_uint_eq(db_version(env, (ROUNDS - 1) % 3), 100 + ROUNDS - 1);
    db_check(env);
}
END_TEST

/* ---- Failures ---- */

START_TEST(a_store_that_fails_is_written_and_no_other_is_tried)
{
    fault_set_partial(_i % 2);
    fault_arm(FAULT_STORE, 1 + (unsigned)_i / 2 * 3, EFAULT);
    put_some(env, ROUNDS, KV_NONE);
    ck_assert(fault_fired());
    db_check(env);
    ck_assert_uint_eq(stores_of(env, ROUNDS, KV_NONE), 0);
    ck_ok(kv_env_sync(env));
    db_check(env);
}
END_TEST

START_TEST(without_mapping_or_pipe_pages_are_written)
{
    static const enum fault_call calls[] = {FAULT_STORE_OPEN, FAULT_MAP, FAULT_ADVISE,
                                            FAULT_FS_TYPE, FAULT_MAP_ANON};
    struct kv_env *other;

    fault_arm(FAULT_STORE, 0, 0);
    other = db_open(path, 0);
    fault_arm_from(calls[_i], 1, ENOMEM);
    put_some(other, 2 * ROUNDS, KV_NONE);
    ck_assert(fault_fired());
    ck_assert_uint_eq(fault_count(FAULT_STORE), 0);
    fault_disarm();
    db_close(other);
    db_check(env);
}
END_TEST

START_TEST(pages_that_the_cache_may_lack_are_written)
{
    fault_arm(FAULT_RESIDENT, 1, EIO);
    put_some(env, 8, KV_NONE);
    ck_assert(fault_fired());
    ck_assert_uint_eq(fault_count(FAULT_STORE), 0);
    fault_disarm();
    put_some(env, 2 * ROUNDS, KV_NONE);
    ck_assert_uint_gt(stores_of(env, ROUNDS, KV_NONE), 0);
    db_check(env);
}
END_TEST

START_TEST(a_full_disk_is_the_error_of_a_write)
{
    unsigned version = 9;

    fault_arm_from(FAULT_WRITEV, 1, ENOSPC);
    ck_rc(db_try_put(env, 1, version, 20 * LARGE, KV_NONE), ENOSPC);
    fault_disarm();
    ck_ok(db_try_put(env, 1, version, SMALL, KV_NONE));
    ck_assert_uint_eq(db_version(env, 1), version);
    db_check(env);
}
END_TEST

START_TEST(after_a_failed_flush_nothing_is_known)
{
    fault_arm(FAULT_FLUSH, 1, EIO);
    ck_rc(kv_env_sync(env), KV_EUNKNOWN);
    fault_disarm();
    ck_assert_uint_eq(stores_of(env, 1, KV_NONE), 0);
    put_some(env, ROUNDS, KV_NONE);
    ck_assert_uint_gt(stores_of(env, ROUNDS, KV_NONE), 0);
    db_check(env);
}
END_TEST

/* ---- Blocks ---- */

static bool is_ours(const struct record *record, int file)
{
    return record->file == file;
}

/* M1 over the recording: every store lies where a write had put blocks since the last punch or cut.
 * Returns how many stores there were. */
static unsigned check_blocks(int file)
{
    enum { PAGES_MAX = 1 << 16 };
    static bool blocks[PAGES_MAX];
    unsigned stores = 0;

    memset(blocks, 0, sizeof(blocks));
    for (size_t i = 0; i < recorder_count(); i++) {
        const struct record *record = recorder_get(i);
        uint64_t first = record->offset / 4096;
        uint64_t end = (record->offset + record->size_bytes + 4095) / 4096;

        if (!is_ours(record, file))
            continue;
        if (record->kind == RECORD_TRUNCATE) {
            first = (record->size_bytes + 4095) / 4096;
            end = PAGES_MAX;
        }
        ck_assert_uint_le(end, PAGES_MAX);
        for (uint64_t page = first; page < end; page++) {
            if (record->kind == RECORD_STORE && !blocks[page])
                ck_abort_msg("record %zu stores page %llu, which has no blocks", i,
                             (unsigned long long)page);
            if (record->kind == RECORD_WRITE)
                blocks[page] = true;
            if (record->kind == RECORD_PUNCH || record->kind == RECORD_TRUNCATE)
                blocks[page] = false;
        }
        stores += record->kind == RECORD_STORE;
    }
    return stores;
}

static void grow_and_free(struct kv_env *to, unsigned round)
{
    struct kv_txn_options none = {.durability = KV_NONE};

    put_some(to, 10, KV_NONE);
    ck_ok(db_try_put(to, round % 4, round + 2, LARGE * (1 + round % 5), KV_NONE));
    if (round % 3 == 0) {
        struct kv_txn *txn;

        ck_ok(kv_txn_begin(to, KV_WRITE, &none, &txn));
        ck_ok(kv_table_empty(txn, KV_MAIN_TABLE));
        ck_ok(kv_txn_commit(txn));
    }
    if (round % 4 == 1)
        ck_ok(kv_env_trim(to, KV_TRIM_PUNCH | (round % 8 == 1 ? KV_TRIM_DEFRAGMENT : 0), NULL));
    if (round % 5 == 4)
        ck_ok(kv_env_sync(to));
}

/* Two envs as two processes: each punches and cuts what the other knows. */
START_TEST(a_store_never_needs_a_block)
{
    struct kv_env *other;
    int file;

    db_close(env);
    recorder_reset();
    fault_record(true);
    ck_assert_int_eq(unlink(path), 0);
    env = db_open(path, KV_CREATE);
    other = _i ? db_open(path, 0) : env;
    for (unsigned round = 0; round < 60; round++)
        grow_and_free(round / 2 % 2 ? other : env, round);
    file = recorder_file_at(recorder_count(), path, NULL);
    ck_assert_uint_gt(check_blocks(file), 100);
    fault_record(false);
    if (other != env)
        db_close(other);
    db_check(env);
}
END_TEST

/* ---- A full file system ---- */

static int fill_up(const char *folder)
{
    struct kv_options options = KV_OPTIONS_INIT;
    char file[512];
    struct kv_env *full;
    unsigned version = 1;
    int rc = 0;

    if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
        mount("tmpfs", folder, "tmpfs", 0, "size=2m"))
        return 77;
    snprintf(file, sizeof(file), "%s/full.db", folder);
    options.flags = KV_CREATE;
    options.reserve_bytes = (uint64_t)1 << 30;
    if (kv_env_open(file, &options, &full))
        return 2;
    while (!rc && version < 1000) {
        version++;
        rc = db_try_put(full, version % 500, version, MEDIUM, KV_NONE);
    }
    if (rc != ENOSPC)
        return 3;
    for (unsigned i = 0; i < 20; i++) { /* what fits goes on */
        rc = db_try_put(full, 5, 2000 + i, SMALL, KV_NONE);
        if (rc && rc != ENOSPC)
            return 4;
    }
    if (kv_env_trim(full, KV_TRIM_PUNCH, NULL) || kv_env_check(full, NULL))
        return 5;
    return kv_env_close(full) ? 6 : 0;
}

START_TEST(a_full_file_system_is_enospc_and_no_signal)
{
    const char *folder = tmp_path("full");
    int status;
    pid_t child;

    ck_assert_int_eq(mkdir(folder, 0700), 0);
    child = fork();
    if (child == 0)
        _exit(fill_up(folder));
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status));
    if (WEXITSTATUS(status) != 77) /* no mounts here */
        ck_assert_int_eq(WEXITSTATUS(status), 0);
}
END_TEST

/* ---- Fork ---- */

START_TEST(a_forked_child_lets_go_of_it_and_the_parent_goes_on)
{
    int status;
    pid_t child;

    ck_assert_uint_gt(stores_of(env, ROUNDS, KV_NONE), 0);
    child = fork();
    if (child == 0)
        _exit(kv_env_close(env) ? 1 : 0);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 0);
    ck_assert_uint_gt(stores_of(env, ROUNDS, KV_NONE), 0);
    db_check(env);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("small_store");

    harness_add(s, "full", a_full_file_system_is_enospc_and_no_signal);
    if (!supported())
        return s;
    harness_add_fixture(s, "when", commits_without_flush_are_stored_and_others_written, start,
                        stop);
    harness_add(s, "when", memory_databases_are_stored_in_every_mode);
    harness_add_loop(s, "when", it_may_be_forbidden, 0, 2);
    harness_add(s, "when", runs_and_spilled_pages_are_stored_as_well);
    harness_add(s, "when", a_close_leaves_no_mapping);
    harness_add_fixture(s, "failures", pages_that_the_cache_may_lack_are_written, start, stop);
    harness_add_loop(s, "failures", a_store_that_fails_is_written_and_no_other_is_tried, 0, 4);
    harness_add_loop(s, "failures", without_mapping_or_pipe_pages_are_written, 0, 5);
    harness_add(s, "failures", a_full_disk_is_the_error_of_a_write);
    harness_add(s, "failures", after_a_failed_flush_nothing_is_known);
    harness_add_fixture(s, "fork", a_forked_child_lets_go_of_it_and_the_parent_goes_on, start,
                        stop);
    harness_add_loop(s, "fork", a_store_never_needs_a_block, 0, 2);
    return s;
}

HARNESS_MAIN(suite)
