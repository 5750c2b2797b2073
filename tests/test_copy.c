/* SPDX-License-Identifier: MIT */
/*
 * kv_env_copy and kv_env_copy_fd: the copy has the snapshot's records and nothing else, is sound,
 * and is a database of its own; a copy that fails or is stopped leaves nothing behind.
 */
#include "api_help.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fault_os.h"

static struct kv_env *env;

/* Records of many kinds in three tables; deleted ones leave free pages. */
static void setup(void)
{
    struct kv_txn *txn;

    env = env_new("from.db");
    txn = txn_write(env);
    fill_table(txn, 0, "main", 3000, 100);
    fill_table(txn, table_make(txn, "large"), "l", 30, 30000);
    fill_table(txn, table_make(txn, "gone"), "g", 3000, 300);
    table_make(txn, "empty");
    put_bytes(txn, 0, "", 10, 1);
    txn_commit(txn);
    txn = txn_write(env);
    ck_ok(kv_table_drop(txn, table_find(txn, "gone")));
    txn_commit(txn);
}

static void teardown(void)
{
    env_finish(env);
}

/* ---- Verbs ---- */

static const uint32_t both[] = {0, KV_COPY_COMPACT};

static int copy_with(struct kv_txn *txn, const char *path, uint32_t flags)
{
    struct kv_copy_options options = {.flags = flags};

    return kv_env_copy(txn, path, &options);
}

/* The file is a sound database with these records, and may be written. */
static void is_sound_copy(const char *path, uint64_t digest)
{
    struct kv_env *copy = env_open(path, 0);
    struct kv_txn *txn;

    ck_assert(memcmp(env_info(copy).file_id, env_info(env).file_id, 16) != 0);
    ck_assert_uint_eq(env_info(copy).txnid_rolled_back, 0);
    env_sound(copy);
    ck_assert_uint_eq(env_digest(copy), digest);
    put_commit(copy, "written to the copy", "1");
    txn = txn_write(copy);
    fill_table(txn, table_make(txn, "new"), "n", 500, 500);
    txn_commit(txn);
    env_sound(copy);
    env_close(copy);
}

/* Files in tmp_dir. */
static unsigned files_count(void)
{
    DIR *dir = opendir(tmp_dir());
    unsigned count = 0;

    ck_assert_ptr_nonnull(dir);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

/* ---- To a path ---- */

START_TEST(a_copy_has_the_same_records_and_is_sound)
{
    struct kv_txn *txn = txn_read(env);
    const char *path = tmp_path("to.db");

    ck_ok(copy_with(txn, path, both[_i]));
    is_sound_copy(path, txn_digest(txn));
    kv_txn_abort(txn);
}
END_TEST

START_TEST(copies_have_file_ids_of_their_own)
{
    struct kv_txn *txn = txn_read(env);
    struct kv_env *copy[2];

    for (int i = 0; i < 2; i++) {
        ck_ok(copy_with(txn, tmp_path("to%d.db", i), both[_i]));
        copy[i] = env_open(tmp_path("to%d.db", i), KV_READONLY);
    }
    ck_assert(memcmp(env_info(copy[0]).file_id, env_info(copy[1]).file_id, 16) != 0);
    env_close(copy[0]);
    env_close(copy[1]);
    kv_txn_abort(txn);
}
END_TEST

START_TEST(a_compact_copy_is_small_and_dense)
{
    struct kv_txn *txn = txn_read(env);
    struct kv_env *copy;
    struct kv_txn *inside;

    ck_ok(copy_with(txn, tmp_path("plain.db"), 0));
    ck_ok(copy_with(txn, tmp_path("compact.db"), KV_COPY_COMPACT));
    ck_assert_uint_lt(file_size(tmp_path("compact.db")), file_size(tmp_path("plain.db")));
    copy = env_open(tmp_path("compact.db"), 0);
    inside = txn_read(copy);
    ck_assert_uint_le(table_stat(inside, 0).pages_leaf, table_stat(txn, 0).pages_leaf);
    ck_assert_uint_le(env_stat(inside).pages_free, 32);
    ck_assert_uint_eq(env_stat(inside).tables, 2);
    kv_txn_abort(inside);
    env_close(copy);
    kv_txn_abort(txn);
}
END_TEST

START_TEST(a_copy_is_of_the_snapshot_while_writes_go_on)
{
    struct kv_txn *txn = txn_read(env);
    uint64_t digest = txn_digest(txn);
    const char *path = tmp_path("to.db");

    for (unsigned i = 0; i < 10; i++)
        fill_commit(env, 1000, 100 + i);
    ck_ok(copy_with(txn, path, both[_i]));
    ck_assert_uint_ne(env_digest(env), digest);
    is_sound_copy(path, digest);
    kv_txn_abort(txn);
}
END_TEST

static void *write_on(void *context)
{
    atomic_int *stop = context;
    int rc = 0;

    for (unsigned i = 0; !atomic_load(stop) && !rc; i++) {
        unsigned number = i % 300;
        struct kv_val key = bytes_val(&number, sizeof(number));
        struct kv_val value = {i % 20000, NULL};
        struct kv_txn *txn;

        rc = kv_txn_begin(env, KV_WRITE, NULL, &txn);
        if (rc)
            break;
        rc = kv_put(txn, 0, &key, &value, KV_RESERVE);
        if (rc) {
            kv_txn_abort(txn);
            break;
        }
        memset(value.data, 'w', value.size);
        rc = kv_txn_commit(txn);
    }
    return rc ? context : NULL;
}

START_TEST(copies_beside_a_busy_writer_are_sound)
{
    atomic_int stop = 0;
    pthread_t thread;
    void *failed;

    ck_assert_int_eq(pthread_create(&thread, NULL, write_on, &stop), 0);
    for (int i = 0; i < 4; i++) {
        struct kv_txn *txn = txn_read(env);
        const char *path = tmp_path("busy%d.db", i);

        ck_ok(copy_with(txn, path, both[i % 2]));
        is_sound_copy(path, txn_digest(txn));
        kv_txn_abort(txn);
    }
    atomic_store(&stop, 1);
    pthread_join(thread, &failed);
    ck_assert_ptr_null(failed);
}
END_TEST

START_TEST(an_empty_database_is_copied)
{
    struct kv_env *empty = env_new("empty.db");
    struct kv_txn *txn = txn_read(empty);
    const char *path = tmp_path("to.db");

    ck_ok(copy_with(txn, path, both[_i]));
    is_sound_copy(path, txn_digest(txn));
    kv_txn_abort(txn);
    env_close(empty);
}
END_TEST

START_TEST(databases_of_every_page_size_are_copied)
{
    struct kv_options options = KV_OPTIONS_INIT;

    options.flags = KV_CREATE;
    for (options.page_size = 8192; options.page_size <= 65536; options.page_size *= 2) {
        struct kv_env *from = env_open_with(tmp_path("p%u.db", options.page_size), &options);
        struct kv_txn *txn;
        struct kv_env *copy;

        fill_commit(from, 2000, 300);
        txn = txn_read(from);
        ck_ok(copy_with(txn, tmp_path("c%u.db", options.page_size), both[_i]));
        copy = env_open(tmp_path("c%u.db", options.page_size), 0);
        env_sound(copy);
        ck_assert_uint_eq(env_info(copy).page_size, options.page_size);
        ck_assert_uint_eq(env_digest(copy), txn_digest(txn));
        env_close(copy);
        kv_txn_abort(txn);
        env_close(from);
    }
}
END_TEST

START_TEST(a_copy_of_a_copy_is_the_same)
{
    struct kv_txn *txn = txn_read(env);
    uint64_t digest = txn_digest(txn);
    struct kv_env *copy;

    ck_ok(copy_with(txn, tmp_path("one.db"), both[_i]));
    kv_txn_abort(txn);
    copy = env_open(tmp_path("one.db"), KV_READONLY);
    txn = txn_read(copy);
    ck_ok(copy_with(txn, tmp_path("two.db"), both[1 - _i]));
    kv_txn_abort(txn);
    env_close(copy);
    is_sound_copy(tmp_path("two.db"), digest);
}
END_TEST

START_TEST(a_named_table_keeps_what_it_is)
{
    struct kv_txn *txn = txn_read(env);
    struct kv_env *copy;
    struct kv_txn *inside;

    ck_ok(copy_with(txn, tmp_path("to.db"), both[_i]));
    copy = env_open(tmp_path("to.db"), 0);
    inside = txn_write(copy);
    ck_assert_uint_eq(table_stat(inside, table_find(inside, "empty")).entries, 0);
    ck_assert_uint_eq(table_stat(inside, table_find(inside, "large")).entries, 30);
    ck_assert_uint_eq(table_stat(inside, table_find(inside, "large")).pages_overflow, 30 * 8);
    put(inside, table_make(inside, "after"), "a", "1");
    txn_commit(inside);
    env_sound(copy);
    env_close(copy);
    kv_txn_abort(txn);
}
END_TEST

/* ---- What a path may be ---- */

START_TEST(what_stands_at_the_path_is_left_alone)
{
    struct kv_txn *txn = txn_read(env);
    const char *path = tmp_path("there");
    unsigned files;
    size_t size;
    uint8_t *bytes;

    file_write(path, "precious", 8);
    files = files_count();
    ck_rc(copy_with(txn, path, both[_i]), EEXIST);
    expect_error_text("there");
    ck_rc(copy_with(txn, tmp_dir(), both[_i]), EEXIST);
    ck_rc(copy_with(txn, tmp_path("from.db"), both[_i]), EEXIST);
    bytes = file_read(path, &size);
    ck_assert_uint_eq(size, 8);
    ck_assert(memcmp(bytes, "precious", 8) == 0);
    free(bytes);
    ck_assert_uint_eq(files_count(), files);
    ck_rc(copy_with(txn, tmp_path("no/folder"), both[_i]), ENOENT);
    kv_txn_abort(txn);
}
END_TEST

START_TEST(the_copy_has_the_mode_that_was_asked_for)
{
    struct kv_copy_options options = {.flags = both[_i], .mode = 0600};
    mode_t before = umask(022);
    struct kv_txn *txn;
    struct stat st;

    env_close(env);
    ck_assert_int_eq(chmod(tmp_path("from.db"), 0640), 0);
    env = env_open(tmp_path("from.db"), 0);
    txn = txn_read(env);
    ck_ok(kv_env_copy(txn, tmp_path("a.db"), &options));
    ck_assert_int_eq(stat(tmp_path("a.db"), &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0600);
    options.mode = 0666;
    ck_ok(kv_env_copy(txn, tmp_path("b.db"), &options));
    ck_assert_int_eq(stat(tmp_path("b.db"), &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0644);
    options.mode = 0;
    ck_ok(kv_env_copy(txn, tmp_path("c.db"), &options));
    ck_assert_int_eq(stat(tmp_path("c.db"), &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0640);
    umask(before);
    kv_txn_abort(txn);
}
END_TEST

/* ---- Progress, failures ---- */

struct progress {
    unsigned calls;
    unsigned stop_at;
    uint64_t last;
};

static int note_progress(void *context, uint64_t done, uint64_t total)
{
    struct progress *progress = context;

    ck_assert_uint_ge(done, progress->last);
    ck_assert(total == 0 || done <= total);
    progress->last = done;
    return ++progress->calls == progress->stop_at ? 4711 : 0;
}

START_TEST(a_stopped_copy_leaves_nothing_behind)
{
    struct progress progress = {0, 1, 0};
    struct kv_copy_options options = {both[_i], 0, note_progress, &progress};
    struct kv_txn *txn;
    unsigned files;

    fill_commit(env, 20000, 100);
    txn = txn_read(env);
    files = files_count();
    ck_rc(kv_env_copy(txn, tmp_path("to.db"), &options), 4711);
    ck_assert_uint_eq(progress.calls, 1);
    ck_assert_uint_eq(files_count(), files);
    progress = (struct progress){0, 3, 0};
    ck_rc(kv_env_copy(txn, tmp_path("to.db"), &options), 4711);
    ck_assert_uint_eq(files_count(), files);
    progress = (struct progress){0, 0, 0};
    ck_ok(kv_env_copy(txn, tmp_path("to.db"), &options));
    ck_assert_uint_ge(progress.calls, 3);
    is_sound_copy(tmp_path("to.db"), txn_digest(txn));
    kv_txn_abort(txn);
}
END_TEST

/* Fails the nth call of one kind: an error and nothing left, or the copy is whole. */
static bool copy_fails_at(struct kv_txn *txn, enum fault_call call, uint64_t nth, uint32_t flags)
{
    unsigned files = files_count();
    bool fired;
    int rc;

    fault_arm(call, nth, ENOSPC);
    rc = copy_with(txn, tmp_path("to.db"), flags);
    fired = fault_fired();
    fault_disarm();
    if (rc) {
        ck_assert(fired);
        ck_assert_int_eq(files_count(), files);
    } else {
        struct kv_env *copy = env_open(tmp_path("to.db"), KV_READONLY);

        env_sound(copy);
        ck_assert_uint_eq(env_digest(copy), txn_digest(txn));
        env_close(copy);
        unlink(tmp_path("to.db"));
        unlink(tmp_path("to.db-lock"));
    }
    return fired;
}

START_TEST(a_copy_on_a_full_or_failing_disk_leaves_nothing_behind)
{
    static const enum fault_call calls[] = {FAULT_WRITES, FAULT_SYNCS, FAULT_TRUNCATE, FAULT_OPEN};
    struct kv_txn *txn;

    env_close(env);
    fault_install();
    env = env_open(tmp_path("from.db"), 0);
    txn = txn_read(env);
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        uint64_t nth = 1;

        while (nth < 40 && copy_fails_at(txn, calls[i], nth, both[_i]))
            nth++;
        ck_assert_uint_gt(nth, 1);
    }
    kv_txn_abort(txn);
    env_close(env);
    fault_remove();
    env = env_open(tmp_path("from.db"), 0);
}
END_TEST

START_TEST(without_a_name_for_a_temporary_file_the_error_tells_the_target)
{
    bool told = false;
    struct kv_txn *txn;

    env_close(env);
    fault_install();
    env = env_open(tmp_path("from.db"), 0);
    txn = txn_read(env);
    for (uint64_t nth = 1; copy_fails_at(txn, FAULT_RANDOM, nth, both[_i]); nth++)
        told = told || strstr(kv_error_text(), "to.db: ");
    ck_assert(told);
    kv_txn_abort(txn);
    env_close(env);
    fault_remove();
    env = env_open(tmp_path("from.db"), 0);
}
END_TEST

/* ---- To a descriptor ---- */

START_TEST(a_copy_survives_a_power_cut_once_it_was_made)
{
    const char *path = tmp_path("to.db");
    struct record_image image = {0};
    struct kv_txn *txn = txn_read(env);
    bool durable = false;
    int file;

    fault_install();
    fault_record(true);
    ck_ok(copy_with(txn, path, both[_i]));
    fault_record(false);
    file = recorder_file_at(recorder_count(), path, &durable);
    ck_assert_int_ge(file, 0);
    ck_assert(durable);
    ck_assert_uint_eq(recorder_state(recorder_count(), file, record_keep_none, NULL, &image), 0);
    record_image_write(&image, path);
    record_image_release(&image);
    recorder_reset();
    fault_remove();
    is_sound_copy(path, txn_digest(txn));
    kv_txn_abort(txn);
}
END_TEST

START_TEST(a_copy_to_a_files_descriptor_is_whole)
{
    struct kv_copy_options options = {.flags = both[_i]};
    struct kv_txn *txn = txn_read(env);
    const char *path = tmp_path("fd.db");
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);

    ck_assert_int_ge(fd, 0);
    ck_ok(kv_env_copy_fd(txn, fd, &options));
    close(fd);
    is_sound_copy(path, txn_digest(txn));
    kv_txn_abort(txn);
}
END_TEST

/* Reads the pipe to its end in small pieces and writes what it got to a file. */
static int drain(int fd, const char *path)
{
    int out = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
    char bytes[3000];
    ssize_t got;

    while ((got = read(fd, bytes, sizeof(bytes))) > 0)
        if (write(out, bytes, (size_t)got) != got)
            return 1;
    return close(out) || got ? 2 : 0;
}

START_TEST(a_copy_through_a_pipe_is_whole)
{
    struct kv_copy_options options = {.flags = both[_i]};
    struct kv_txn *txn = txn_read(env);
    const char *path = tmp_path("pipe.db");
    int status;
    int ends[2];
    pid_t pid;

    ck_assert_int_eq(pipe(ends), 0);
    pid = fork();
    if (pid == 0) {
        close(ends[1]);
        _exit(drain(ends[0], path));
    }
    close(ends[0]);
    ck_ok(kv_env_copy_fd(txn, ends[1], &options));
    close(ends[1]);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    is_sound_copy(path, txn_digest(txn));
    kv_txn_abort(txn);
}
END_TEST

START_TEST(descriptors_that_cannot_be_written_are_what_the_kernel_says)
{
    struct kv_copy_options options = {.flags = both[_i]};
    struct kv_txn *txn = txn_read(env);
    int fd = open(tmp_path("from.db"), O_RDONLY);

    ck_rc(kv_env_copy_fd(txn, fd, &options), EBADF);
    close(fd);
    fd = open("/dev/full", O_WRONLY);
    ck_rc(kv_env_copy_fd(txn, fd, &options), ENOSPC);
    close(fd);
    has_bytes(txn, 0, "", 10, 1);
    kv_txn_abort(txn);
}
END_TEST

START_TEST(a_closed_pipe_is_epipe)
{
    struct kv_copy_options options = {.flags = both[_i]};
    struct kv_txn *txn = txn_read(env);
    int ends[2];
    void (*before)(int) = signal(SIGPIPE, SIG_IGN);

    ck_assert_int_eq(pipe(ends), 0);
    close(ends[0]);
    ck_rc(kv_env_copy_fd(txn, ends[1], &options), EPIPE);
    close(ends[1]);
    signal(SIGPIPE, before);
    kv_txn_abort(txn);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("copy");
    TCase *twice = tcase_create("plain and compact");
    const TTest *tests[] = {
        a_copy_has_the_same_records_and_is_sound,
        copies_have_file_ids_of_their_own,
        a_copy_is_of_the_snapshot_while_writes_go_on,
        an_empty_database_is_copied,
        databases_of_every_page_size_are_copied,
        a_copy_of_a_copy_is_the_same,
        a_named_table_keeps_what_it_is,
        what_stands_at_the_path_is_left_alone,
        the_copy_has_the_mode_that_was_asked_for,
        a_stopped_copy_leaves_nothing_behind,
        a_copy_on_a_full_or_failing_disk_leaves_nothing_behind,
        without_a_name_for_a_temporary_file_the_error_tells_the_target,
        a_copy_survives_a_power_cut_once_it_was_made,
        a_copy_to_a_files_descriptor_is_whole,
        a_copy_through_a_pipe_is_whole,
        descriptors_that_cannot_be_written_are_what_the_kernel_says,
        a_closed_pipe_is_epipe,
    };

    tcase_add_checked_fixture(twice, setup, teardown);
    tcase_set_timeout(twice, HARNESS_TIMEOUT_S);
    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
        tcase_add_loop_test(twice, tests[i], 0, 2);
    suite_add_tcase(s, twice);
    harness_add_fixture(s, "copy", a_compact_copy_is_small_and_dense, setup, teardown);
    harness_add_fixture(s, "copy", copies_beside_a_busy_writer_are_sound, setup, teardown);
    return s;
}

HARNESS_MAIN(suite)
