/* SPDX-License-Identifier: MIT */
/*
 * Databases made of existing, empty files in place; and data files that are left to the locks of
 * the program: no lock of the library on them, no descriptor but the one.
 */
#include "api_help.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fault_os.h"
#include "worker.h"

#define FILLS (KV_CREATE | KV_FILL_EMPTY)
#define FIRST_LIMIT ((uint64_t)64 << 20)
static const char first_marker[KV_MARKER_BYTES] = "what it begins with";

#define NEW_BYTES (17u * 4096u) /* a new database of 4 KiB pages */

static int try_open(const char *path, uint32_t flags, uint32_t page_size, struct kv_env **env_out)
{
    struct kv_options options = KV_OPTIONS_INIT;

    options.flags = flags;
    options.page_size = page_size;
    options.first_limit_bytes = FIRST_LIMIT;
    options.first_marker = first_marker;
    return kv_env_open(path, &options, env_out);
}

static struct stat stat_of(const char *path)
{
    struct stat st;

    ck_assert_int_eq(stat(path, &st), 0);
    return st;
}

static void remove_lock_file(const char *path)
{
    (void)unlink(tmp_path("%s-lock", strrchr(path, '/') + 1));
}

/* The file becomes a sound database that takes a record. */
static void expect_filled(const char *path)
{
    struct kv_env *env;

    ck_ok(try_open(path, FILLS, 0, &env));
    put_commit(env, "a", "1");
    env_sound(env);
    env_close(env);
}

/* ---- In place ---- */

/* Made under a name of its own, and made of an empty file. */
START_TEST(a_new_database_keeps_the_limit_and_the_marker_that_were_given)
{
    const char *path = tmp_path("a.db");
    char marker[KV_MARKER_BYTES];
    uint64_t limit;
    struct kv_env *env;
    struct kv_txn *txn;

    if (_i)
        file_write(path, "", 0);
    ck_ok(try_open(path, FILLS, 0, &env));
    put_commit(env, "a", "1");
    env_close(env);
    ck_ok(kv_env_open(path, NULL, &env));
    ck_ok(kv_txn_begin(env, KV_READ, NULL, &txn));
    ck_ok(kv_limit_get(txn, &limit));
    ck_ok(kv_marker_get(txn, marker));
    ck_assert_uint_eq(limit, FIRST_LIMIT);
    ck_assert_mem_eq(marker, first_marker, sizeof(marker));
    kv_txn_abort(txn);
    env_sound(env);
    env_close(env);
    tmp_clear();
}
END_TEST

START_TEST(an_empty_file_becomes_a_database_with_its_inode_and_bits)
{
    const char *path = tmp_path("a.db");
    uint32_t page_size = 4096u << _i;
    struct kv_env *env;
    struct stat before;

    file_write(path, "", 0);
    ck_assert_int_eq(chmod(path, 0640), 0);
    before = stat_of(path);
    ck_ok(try_open(path, FILLS, page_size, &env));
    ck_assert_uint_eq(env_info(env).page_size, page_size);
    put_commit(env, "a", "1");
    env_sound(env);
    env_close(env);
    ck_assert_uint_eq(stat_of(path).st_ino, before.st_ino);
    ck_assert_uint_eq(stat_of(path).st_mode, before.st_mode);
    ck_assert_uint_eq(stat_of(tmp_path("a.db-lock")).st_mode & 0777, 0640);
    expect_filled(path); /* leaves it as it is */
}
END_TEST

START_TEST(only_who_asks_for_it_fills)
{
    const char *path = tmp_path("a.db");
    struct kv_env *env;

    file_write(path, "", 0);
    ck_rc(try_open(path, KV_CREATE, 0, &env), KV_ENOTDB);
    ck_rc(try_open(path, KV_FILL_EMPTY, 0, &env), KV_ENOTDB);
    ck_rc(try_open(path, KV_FILL_EMPTY | KV_READONLY, 0, &env), KV_ENOTDB);
    ck_assert_uint_eq(file_size(path), 0);
    ck_ok(unlink(path));
    ck_rc(try_open(path, KV_FILL_EMPTY, 0, &env), ENOENT);
    expect_filled(path); /* a missing one is made as ever */
}
END_TEST

START_TEST(files_that_hold_anything_are_left_alone)
{
    static const size_t sizes[] = {1, 512, 4096, NEW_BYTES - 1, NEW_BYTES, NEW_BYTES + 1, 300000};
    const char *path = tmp_path("a.db");
    struct rng rng;

    rng_seed(&rng, "other files", 20263);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        uint8_t *bytes = calloc(1, sizes[i] + 1);
        size_t size;
        uint8_t *after;
        struct kv_env *env;

        bytes[rng_below(&rng, sizes[i] < 4000 ? sizes[i] : 4000)] = 1;
        if (sizes[i] > 256u << 10)
            memset(bytes, 0, sizes[i]); /* more zeros than any new database has */
        file_write(path, bytes, sizes[i]);
        ck_assert_int_ne(try_open(path, FILLS, 0, &env), 0);
        after = file_read(path, &size);
        ck_assert_uint_eq(size, sizes[i]);
        ck_assert_mem_eq(after, bytes, size);
        free(after);
        free(bytes);
    }
}
END_TEST

START_TEST(a_fill_that_was_cut_off_is_done_again)
{
    const char *path = tmp_path("a.db");
    size_t size;
    uint8_t *bytes;
    struct kv_env *env;

    file_write(path, "", 0);
    expect_filled(path);
    ck_ok(unlink(path));
    ck_ok(try_open(path, KV_CREATE, 0, &env));
    env_close(env);
    bytes = file_read(path, &size);
    ck_assert_uint_eq(size, NEW_BYTES);
    memset(bytes, 0, 512);
    memset(bytes + 65536, 0, 512);
    file_write(path, bytes, size); /* all but the slots */
    ck_rc(try_open(path, KV_CREATE, 0, &env), KV_ENOTDB);
    expect_filled(path);
    memset(bytes, 0, size);
    file_write(path, bytes, size); /* just as long */
    expect_filled(path);
    free(bytes);
}
END_TEST

/* ---- Crashes and failures ---- */

static void expect_state(const char *path, const struct record_image *image)
{
    struct kv_env *env;
    int rc;

    record_image_write(image, path);
    remove_lock_file(path);
    rc = try_open(path, KV_CREATE, 0, &env);
    if (!rc)
        env_close(env);
    else if (rc != KV_ENOTDB)
        ck_rc(rc, KV_ECORRUPT);
    remove_lock_file(path);
    expect_filled(path);
}

/* Fills an empty file and records it; the file's number. */
static int record_fill(const char *path)
{
    struct kv_env *env;
    size_t i = 0;

    file_write(path, "", 0);
    recorder_reset();
    fault_install();
    fault_record(true);
    ck_ok(try_open(path, FILLS, 0, &env));
    fault_record(false);
    env_close(env);
    ck_assert_uint_gt(recorder_count(), 0);
    while (recorder_get(i)->kind != RECORD_TRUNCATE || recorder_get(i)->size_bytes != NEW_BYTES)
        ck_assert_uint_lt(++i, recorder_count());
    return recorder_get(i)->file;
}

START_TEST(every_state_that_a_crash_can_leave_is_filled_or_whole)
{
    const char *path = tmp_path("a.db");
    int file = record_fill(path);
    struct record_image image = {NULL, 0, 0};
    const char *state = tmp_path("state.db");
    struct rng rng;
    size_t records = recorder_count();

    rng_seed(&rng, "crash states of a fill", 20264);
    ck_assert_uint_ge(records, 5);
    for (size_t end = 0; end <= records; end++) {
        struct record_random random = {&rng, 40, 40};

        recorder_state(end, file, record_keep_none, NULL, &image);
        expect_state(state, &image);
        recorder_state(end, file, record_keep_all, NULL, &image);
        expect_state(state, &image);
        for (uint64_t i = 0; i < scaled(60); i++) {
            recorder_state(end, file, record_randomly, &random, &image);
            expect_state(state, &image);
        }
    }
    record_image_release(&image);
    recorder_reset();
    fault_remove();
}
END_TEST

START_TEST(any_call_may_fail_and_the_next_open_fills)
{
    const char *path = tmp_path("a.db");
    uint64_t n = 0;
    bool fired;

    do {
        struct kv_env *env = NULL;
        int rc;

        (void)unlink(path);
        remove_lock_file(path);
        file_write(path, "", 0);
        fault_install();
        fault_set_partial(n % 2 != 0);
        fault_arm(FAULT_ANY, ++n, EIO);
        rc = try_open(path, FILLS, 0, &env);
        fired = fault_fired();
        fault_disarm();
        if (!rc)
            env_close(env);
        fault_remove();
        expect_filled(path);
    } while (fired);
    ck_assert_uint_gt(n, 20);
}
END_TEST

struct kill_at {
    const char *path;
    uint64_t n;
};

static int fill_and_die(void *context)
{
    const struct kill_at *at = context;
    struct kv_env *env;

    fault_install();
    fault_arm(FAULT_ANY, at->n, FAULT_KILL);
    return try_open(at->path, FILLS, 0, &env) || kv_env_close(env);
}

START_TEST(killed_at_any_call_the_next_open_fills)
{
    struct kill_at at = {tmp_path("a.db"), 0};
    int result;

    do {
        at.n++;
        (void)unlink(at.path);
        remove_lock_file(at.path);
        file_write(at.path, "", 0);
        result = in_child(fill_and_die, &at);
        expect_filled(at.path);
    } while (result != 0);
    ck_assert_uint_gt(at.n, 20);
}
END_TEST

/* ---- At once ---- */

#define FILLERS 4u

static int fill_body(struct worker *self)
{
    struct kv_env *env;
    struct kv_txn *txn;
    char text[16];
    struct kv_val key;
    uint64_t number;

    if (!worker_hear(self, &number) || try_open(self->context, FILLS, 0, &env) ||
        kv_txn_begin(env, KV_WRITE, NULL, &txn))
        return 1;
    (void)snprintf(text, sizeof(text), "%u", (unsigned)number);
    key = text_val(text);
    return kv_put(txn, KV_MAIN_TABLE, &key, &key, 0) || kv_txn_commit(txn) || kv_env_close(env);
}

START_TEST(many_that_fill_at_once_share_one_database)
{
    const char *path = tmp_path("a.db");

    for (uint64_t round = 0; round < scaled(40); round++) {
        struct worker workers[FILLERS];
        struct kv_env *env;
        struct kv_txn *txn;

        (void)unlink(path);
        file_write(path, "", 0);
        for (unsigned i = 0; i < FILLERS; i++)
            worker_start(&workers[i], fill_body, (void *)(uintptr_t)path);
        for (unsigned i = 0; i < FILLERS; i++)
            worker_tell(&workers[i], i);
        for (unsigned i = 0; i < FILLERS; i++)
            ck_assert(worker_join(&workers[i]));
        env = env_open(path, 0);
        txn = txn_read(env);
        ck_assert_uint_eq(table_stat(txn, KV_MAIN_TABLE).entries, FILLERS);
        kv_txn_abort(txn);
        env_sound(env);
        env_close(env);
    }
}
END_TEST

/* ---- Left to the program's locks ---- */

/* A POSIX lock over all of the file, however long; EAGAIN where somebody else's stands. */
static int posix_lock(int fd)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    return fcntl(fd, F_SETLK, &lock) ? errno : 0;
}

static int ask_posix(void *context)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int fd = open(context, O_RDWR);

    if (fd < 0 || fcntl(fd, F_GETLK, &lock))
        return 99;
    return lock.l_type == F_UNLCK ? 0 : 1;
}

/* Descriptors of this process that are this file's. */
static unsigned descriptors_of(const char *path)
{
    struct stat st = stat_of(path);
    DIR *dir = opendir("/proc/self/fd");
    const struct dirent *entry;
    unsigned count = 0;

    while (dir && (entry = readdir(dir))) {
        struct stat other;

        if (!fstatat(dirfd(dir), entry->d_name, &other, 0) && other.st_dev == st.st_dev &&
            other.st_ino == st.st_ino)
            count++;
    }
    ck_assert_ptr_nonnull(dir);
    closedir(dir);
    return count;
}

/* The opens and closes of descriptors of one file, by what the os table is asked. */
static unsigned opens_of_data;

static void count_opens(void *context, enum fault_call call)
{
    unsigned now;

    if (call != FAULT_CLOSE && call != FAULT_LOCK)
        return;
    now = descriptors_of(context);
    if (now != 1)
        opens_of_data++;
}

static int no_reader(void *context, const struct kv_reader *reader)
{
    (void)context;
    (void)reader;
    return 0;
}

/* Everything that an env can be asked for, once. */
static void use_all(struct kv_env *env)
{
    struct kv_txn *txn;
    uint64_t cleared;

    fill_commit(env, 2000, 200);
    ck_ok(kv_env_sync(env));
    txn = txn_read(env);
    ck_ok(kv_env_copy(txn, tmp_path("copy-%u", (unsigned)env_info(env).txnid_visible), NULL));
    kv_txn_abort(txn);
    empty_commit(env);
    sleep_us(60000); /* so that both files are looked at again */
    put_commit(env, "a", "1");
    ck_ok(kv_env_trim(env, KV_TRIM_DEFRAGMENT, NULL));
    ck_ok(kv_env_readers(env, no_reader, NULL));
    ck_ok(kv_env_readers_clear(env, &cleared));
    ck_ok(kv_env_resize(env, 1 << 20, 64 << 20));
    env_sound(env);
}

START_TEST(locks_of_the_program_outlive_all_that_an_env_does)
{
    const char *path = tmp_path("a.db");
    struct kv_env *env;

    file_write(path, "", 0);
    ck_ok(try_open(path, FILLS | (_i ? KV_NOLOCK : KV_NODATALOCK), 0, &env));
    ck_assert_int_eq(posix_lock(kv_env_fd(env)), 0);
    ck_assert_int_eq(in_child(ask_posix, (void *)(uintptr_t)path), 1);
    opens_of_data = 0;
    fault_install();
    fault_set_hook(count_opens, (void *)(uintptr_t)path);
    use_all(env);
    fault_set_hook(NULL, NULL);
    fault_remove();
    ck_assert_uint_eq(opens_of_data, 0);
    ck_assert_int_eq(in_child(ask_posix, (void *)(uintptr_t)path), 1);
    env_close(env);
    ck_assert_int_eq(in_child(ask_posix, (void *)(uintptr_t)path), 0);
}
END_TEST

static int lock_all_and_wait(struct worker *self)
{
    int fd = open(self->context, O_RDWR);
    uint64_t number;

    if (fd < 0 || posix_lock(fd))
        return 1;
    worker_tell(self, 1);
    return worker_hear(self, &number) ? 0 : 1;
}

START_TEST(a_lock_over_the_whole_file_refuses_only_those_who_lock_it_too)
{
    const char *path = tmp_path("a.db");
    struct worker worker;
    struct kv_env *env;
    uint64_t number;

    ck_ok(try_open(path, KV_CREATE, 0, &env));
    env_close(env);
    worker_start(&worker, lock_all_and_wait, (void *)(uintptr_t)path);
    ck_assert(worker_hear(&worker, &number));
    ck_rc(try_open(path, 0, 0, &env), KV_EBUSY);
    ck_ok(try_open(path, KV_NODATALOCK, 0, &env));
    use_all(env);
    env_close(env);
    ck_ok(try_open(path, KV_NODATALOCK | KV_READONLY, 0, &env));
    env_close(env);
    worker_tell(&worker, 1);
    ck_assert(worker_join(&worker));
}
END_TEST

START_TEST(nothing_of_the_library_stands_on_the_data_file)
{
    const char *path = tmp_path("a.db");
    struct kv_env *env;
    struct kv_env *other;
    int fd;

    file_write(path, "", 0);
    ck_ok(try_open(path, FILLS | KV_NODATALOCK, 0, &env));
    ck_ok(try_open(path, FILLS | KV_NODATALOCK, 0, &other));
    put_commit(env, "a", "1");
    put_commit(other, "b", "1");
    fd = open(path, O_RDWR);
    ck_assert_int_eq(posix_lock(fd), 0);
    close(fd);
    env_close(other);
    ck_ok(try_open(path, 0, 0, &other)); /* and who locks it gets along */
    put_commit(other, "c", "1");
    put_commit(env, "d", "1");
    env_close(env);
    env_close(other);
}
END_TEST

/* An unclean end: the descriptor's way of being opened tells who may recover. */
static int die_open(void *context)
{
    struct kv_env *env;

    if (try_open(context, KV_NODATALOCK, 0, &env))
        return 1;
    put_commit(env, "lazy", "1");
    kill(getpid(), SIGKILL);
    return 2;
}

START_TEST(an_unclean_end_is_recovered_from_without_locks_on_the_data_file)
{
    const char *path = tmp_path("a.db");
    struct kv_env *env;
    struct kv_txn *txn;

    ck_ok(try_open(path, KV_CREATE, 0, &env));
    env_close(env);
    ck_assert_int_gt(in_child(die_open, (void *)(uintptr_t)path), 2);
    if (_i)
        remove_lock_file(path);
    ck_ok(try_open(path, KV_NODATALOCK | (_i ? KV_READONLY : 0), 0, &env));
    txn = txn_read(env);
    has(txn, KV_MAIN_TABLE, "lazy", "1");
    kv_txn_abort(txn);
    env_sound(env);
    env_close(env);
}
END_TEST

static TCase *case_new(Suite *s, const char *name)
{
    TCase *tcase = tcase_create(name);

    tcase_add_checked_fixture(tcase, NULL, tmp_clear);
    tcase_set_timeout(tcase, HARNESS_TIMEOUT_S);
    suite_add_tcase(s, tcase);
    return tcase;
}

static Suite *suite(void)
{
    Suite *s = suite_create("api_fill");
    TCase *in_place = case_new(s, "in place");
    TCase *crashes = case_new(s, "crashes");
    TCase *at_once = case_new(s, "at once");
    TCase *locks = case_new(s, "locks");

    tcase_add_loop_test(in_place, a_new_database_keeps_the_limit_and_the_marker_that_were_given, 0,
                        2);
    tcase_add_loop_test(in_place, an_empty_file_becomes_a_database_with_its_inode_and_bits, 0, 5);
    tcase_add_test(in_place, only_who_asks_for_it_fills);
    tcase_add_test(in_place, files_that_hold_anything_are_left_alone);
    tcase_add_test(in_place, a_fill_that_was_cut_off_is_done_again);
    tcase_add_test(crashes, every_state_that_a_crash_can_leave_is_filled_or_whole);
    tcase_add_test(crashes, any_call_may_fail_and_the_next_open_fills);
    tcase_add_test(crashes, killed_at_any_call_the_next_open_fills);
    tcase_add_test(at_once, many_that_fill_at_once_share_one_database);
    tcase_add_loop_test(locks, locks_of_the_program_outlive_all_that_an_env_does, 0, 2);
    tcase_add_test(locks, a_lock_over_the_whole_file_refuses_only_those_who_lock_it_too);
    tcase_add_test(locks, nothing_of_the_library_stands_on_the_data_file);
    tcase_add_loop_test(locks, an_unclean_end_is_recovered_from_without_locks_on_the_data_file, 0,
                        2);
    return s;
}

HARNESS_MAIN(suite)
