/* SPDX-License-Identifier: MIT */
/*
 * lib/txn/lockfile*.c: files that are deleted, replaced, copied over, damaged or strange, file
 * systems that are refused, and system calls that fail.
 */
#include "lockfile_help.h"

#include "base/error.h"

/* ---- Deleted, replaced, copied --------------------------------------------------------------- */

/* Puts a copy of `from` in the place of `to`: another inode with the same bytes. */
static void copy_over(const char *from, const char *to)
{
    size_t size;
    uint8_t *bytes = file_read(from, &size);
    const char *copy = tmp_path("copy");

    file_write(copy, bytes, size);
    free(bytes);
    ck_assert_int_eq(rename(copy, to), 0);
}

/* The next look is not put off. */
static int intact_now(struct user *u)
{
    atomic_store(&u->l->checked_ns, 0);
    return kvi_lockfile_intact(u->l);
}

START_TEST(deleted_lock_file_is_noticed_by_both_sides)
{
    const char *data = new_data("a");
    struct user a;
    struct user b;

    ck_ok(user_open(data, NULL, &a));
    ck_ok(intact_now(&a));
    ck_assert_int_eq(unlink(lock_name(data)), 0);
    ck_rc(intact_now(&a), KV_EBUSY);
    ck_assert_ptr_nonnull(strstr(kvi_error_text(), "deleted"));
    ck_rc(kvi_lockfile_intact(a.l), KV_EBUSY);
    ck_rc(user_open(data, NULL, &b), KV_EBUSY);
    user_close(&a);
    ck_ok(user_open(data, NULL, &b));
    user_close(&b);
}
END_TEST

START_TEST(replaced_lock_file_is_noticed_by_both_sides)
{
    const char *data = new_data("a");
    struct user a;
    struct user b;

    ck_ok(user_open(data, NULL, &a));
    copy_over(lock_name(data), lock_name(data));
    ck_rc(intact_now(&a), KV_EBUSY);
    ck_assert_ptr_nonnull(strstr(kvi_error_text(), "replaced"));
    ck_rc(user_open(data, NULL, &b), KV_EBUSY);
    user_close(&a);
    ck_ok(user_open(data, NULL, &b));
    user_close(&b);
}
END_TEST

START_TEST(refused_opener_does_not_disturb_those_inside)
{
    const char *data = new_data("a");
    struct how other = {.lock = tmp_path("other-lock")};
    struct user a;
    struct user b;

    ck_ok(user_open(data, NULL, &a));
    ck_rc(user_open(data, &other, &b), KV_EBUSY);
    ck_ok(intact_now(&a));
    user_close(&a);
    unlink(other.lock);
}
END_TEST

START_TEST(renamed_files_stay_in_use_and_keep_others_out)
{
    const char *data = new_data("a");
    const char *moved = tmp_path("moved");
    struct user a;
    struct user b;

    ck_ok(user_open(data, NULL, &a));
    ck_assert_int_eq(rename(data, moved), 0);
    ck_ok(intact_now(&a));
    ck_rc(user_open(moved, NULL, &b), KV_EBUSY);
    write_meta(data, 1);
    ck_rc(intact_now(&a), KV_EBUSY);
    ck_rc(user_open(data, NULL, &b), KV_EBUSY); /* the lock file is another's, who lives */
    user_close(&a);
    ck_ok(user_open(data, NULL, &b));
    user_close(&b);
    unlink(moved);
}
END_TEST

START_TEST(deleted_data_file_is_noticed)
{
    const char *data = new_data("a");
    struct user u;

    ck_ok(user_open(data, NULL, &u));
    ck_assert_int_eq(unlink(data), 0);
    ck_rc(intact_now(&u), KV_EBUSY);
    user_close(&u);
}
END_TEST

START_TEST(database_copied_over_ours_is_noticed)
{
    const char *data = new_data("a");
    struct user u;

    ck_ok(user_open(data, NULL, &u));
    write_meta(data, 9);
    ck_rc(intact_now(&u), KV_EBUSY);
    ck_assert_ptr_nonnull(strstr(kvi_error_text(), "copied"));
    write_meta(data, 1);
    ck_ok(kvi_lockfile_intact(u.l));
    user_close(&u);
}
END_TEST

START_TEST(overwritten_head_is_noticed)
{
    const char *data = new_data("a");
    struct user a;
    struct user b;
    int fd;

    ck_ok(user_open(data, NULL, &a));
    fd = open(lock_name(data), O_RDWR | O_CLOEXEC);
    ck_assert_int_eq(pwrite(fd, "garbage garbage", 15, _i), 15);
    ck_rc(intact_now(&a), KV_EBUSY);
    close(fd);
    ck_rc(user_open(data, NULL, &b), KV_EBUSY);
    user_close(&a);
    ck_ok(user_open(data, NULL, &b));
    user_close(&b);
}
END_TEST

START_TEST(scribbled_epoch_keeps_new_users_out)
{
    const char *data = new_data("a");
    struct user a;
    struct user b;

    ck_ok(user_open(data, NULL, &a));
    atomic_fetch_add(&a.l->head->epoch, 1);
    ck_rc(user_open(data, NULL, &b), KV_EBUSY);
    ck_rc(intact_now(&a), KV_EBUSY);
    user_close(&a);
}
END_TEST

START_TEST(lock_file_cut_while_in_use_is_damage)
{
    const char *data = new_data("a");
    struct user a;
    struct user b;

    ck_ok(user_open(data, NULL, &a));
    ck_assert_int_eq(truncate(lock_name(data), KVI_LOCK_HEAD_BYTES), 0);
    ck_rc(intact_now(&a), KV_ECORRUPT);
    ck_rc(user_open(data, NULL, &b), KV_ECORRUPT);
    ck_assert_int_eq(truncate(lock_name(data), KVI_LOCK_HEAD_BYTES + KVI_CHUNK_BYTES), 0);
    user_close(&a);
}
END_TEST

START_TEST(chdir_does_not_make_us_look_elsewhere)
{
    const char *data = new_data("a");
    struct how how = {.lock = "a-lock"};
    int here = open(".", O_RDONLY | O_CLOEXEC);
    struct user u;

    ck_assert_int_eq(chdir(tmp_dir()), 0);
    ck_ok(user_open("./a", &how, &u));
    ck_assert_int_eq(chdir("/"), 0);
    ck_assert_int_eq(unlink(lock_name(data)), 0);
    write_meta(lock_name(data), 1);
    ck_rc(intact_now(&u), KV_EBUSY);
    user_close(&u);
    ck_assert_int_eq(fchdir(here), 0);
    close(here);
}
END_TEST

/* ---- Damaged and strange lock files ---------------------------------------------------------- */

START_TEST(lock_file_of_any_size_without_users_is_taken_over)
{
    static const off_t sizes[] = {0, 1, 127, 4095, 4096, 4097, 8192, 16383, 16384, 16385, 100000};
    const char *data = new_data("a");
    struct user u;

    file_write(lock_name(data), "", 0);
    ck_assert_int_eq(truncate(lock_name(data), sizes[_i]), 0);
    ck_ok(user_open(data, NULL, &u));
    ck_assert(u.first);
    ck_assert(!u.boot_same);
    ck_assert_uint_eq(file_size(lock_name(data)), KVI_LOCK_HEAD_BYTES + KVI_CHUNK_BYTES);
    user_close(&u);
}
END_TEST

static void scribble(const char *path, struct rng *rng)
{
    size_t size;
    uint8_t *bytes = file_read(path, &size);

    for (unsigned i = 0; i < 50; i++)
        bytes[rng_chance(rng, 50) ? rng_below(rng, 700) : rng_below(rng, size)] =
            (uint8_t)rng_next(rng);
    file_write(path, bytes, size);
    free(bytes);
}

START_TEST(scribbled_lock_file_without_users_opens)
{
    const char *data = new_data("a");
    struct rng rng;

    rng_seed(&rng, "scribbles", 11);
    for (uint64_t i = 0; i < scaled(200); i++) {
        struct user u;

        ck_ok(user_open(data, NULL, &u));
        ck_ok(kvi_lockfile_intact(u.l));
        all_is_free(&u);
        user_close(&u);
        scribble(lock_name(data), &rng);
    }
}
END_TEST

static int ignore_reader(void *context, const struct kvi_reader_info *info)
{
    (void)context;
    (void)info;
    return 0;
}

START_TEST(scribbled_lock_file_with_users_is_an_error_and_ends)
{
    const char *data = new_data("a");
    struct user a;
    struct rng rng;

    rng_seed(&rng, "scribbles", 12);
    ck_ok(user_open(data, NULL, &a));
    for (uint64_t i = 0; i < scaled(300); i++) {
        struct kvi_reader_slot *slot;
        struct user b;
        int rc;

        for (unsigned k = 0; k < 40; k++)
            a.l->base[rng_below(&rng, KVI_LOCK_HEAD_BYTES + KVI_CHUNK_BYTES)] =
                (uint8_t)rng_next(&rng);
        rc = user_open(data, NULL, &b);
        ck_assert(rc == 0 || rc == KV_EBUSY || rc == KV_ECORRUPT);
        rc = rc ? 0 : user_close(&b);
        ck_rc(kvi_reader_scan(a.l, true, ignore_reader, NULL), 0);
        ck_assert_uint_ge(kvi_lockfile_users(a.l), 1);
        ck_ok(kvi_lockfile_lock_writer(a.l, 5000));
        kvi_lockfile_unlock_writer(a.l);
        ck_ok(kvi_reader_claim(a.l, &slot));
        (void)kvi_reader_pin(a.l, slot);
        kvi_reader_unpin(slot);
        kvi_reader_release(a.l, slot);
    }
    user_close(&a);
}
END_TEST

static void put_link(const char *path)
{
    ck_assert_int_eq(symlink(tmp_path("elsewhere"), path), 0);
}

static void put_folder(const char *path)
{
    ck_assert_int_eq(mkdir(path, 0755), 0);
}

static void put_fifo(const char *path)
{
    ck_assert_int_eq(mkfifo(path, 0644), 0);
}

static void put_second_name(const char *path)
{
    file_write(tmp_path("victim"), "precious", 8);
    ck_assert_int_eq(link(tmp_path("victim"), path), 0);
}

START_TEST(lock_path_that_is_no_plain_file_of_its_own_is_refused)
{
    static void (*const put[])(const char *) = {put_link, put_folder, put_fifo, put_second_name};
    static const int expected[] = {ELOOP, EISDIR, KV_EBUSY, KV_EBUSY};
    const char *data;
    struct user u;

    tmp_clear();
    data = new_data("a");
    put[_i](lock_name(data));
    ck_rc(user_open(data, NULL, &u), expected[_i]);
    if (file_exists(tmp_path("victim")))
        ck_assert_uint_eq(file_size(tmp_path("victim")), 8);
    tmp_clear();
}
END_TEST

/* ---- The system says no ---------------------------------------------------------------------- */

static struct kvi_os faulty;
static int64_t fake_magic;

static int fake_fs_type(int fd, int64_t *magic_out)
{
    (void)fd;
    *magic_out = fake_magic;
    return 0;
}

START_TEST(file_systems_of_other_machines_are_refused)
{
    static const int64_t magics[] = {0x6969,     0xff534d42, 0x65735546,
                                     0x01021997, 0x00c36400, (int64_t)(int32_t)0xfe534d42};
    const char *data = new_data("a");
    struct user u;

    faulty = kvi_os_real;
    faulty.fs_type = fake_fs_type;
    fake_magic = magics[_i];
    kvi_os = &faulty;
    ck_rc(user_open(data, NULL, &u), KV_EUNSUPPORTED);
    kvi_os = &kvi_os_real;
}
END_TEST

START_TEST(overlay_needs_a_descriptor_that_may_write)
{
    const char *data = new_data("a");
    struct kvi_lockfile_options o = {.data_path = data,
                                     .path = lock_name(data),
                                     .read_only = true,
                                     .mode = 0644};
    struct kvi_lockfile *l;
    struct user u;
    bool first;
    bool same;

    faulty = kvi_os_real;
    faulty.fs_type = fake_fs_type;
    fake_magic = 0x794c7630;
    kvi_os = &faulty;
    ck_ok(user_open(data, NULL, &u));
    user_close(&u);
    o.data_fd = open(data, O_RDONLY | O_CLOEXEC);
    ck_rc(kvi_lockfile_open(&o, &l, &first, &same), KV_EUNSUPPORTED);
    ck_assert_ptr_null(l);
    close(o.data_fd);
    kvi_os = &kvi_os_real;
}
END_TEST

static int calls_left;

static bool call_fails(void)
{
    return calls_left-- == 0;
}

static int faulty_open(const char *path, int flags, uint32_t mode, int *fd_out)
{
    return call_fails() ? EMFILE : kvi_os_real.open(path, flags, mode, fd_out);
}

static int faulty_stat_fd(int fd, struct kvi_os_stat *out)
{
    return call_fails() ? EIO : kvi_os_real.stat_fd(fd, out);
}

static int faulty_stat_path(const char *path, struct kvi_os_stat *out)
{
    return call_fails() ? EIO : kvi_os_real.stat_path(path, out);
}

static int faulty_truncate(int fd, uint64_t size)
{
    return call_fails() ? EIO : kvi_os_real.truncate(fd, size);
}

static int faulty_allocate(int fd, uint64_t offset, uint64_t size)
{
    return call_fails() ? ENOSPC : kvi_os_real.allocate(fd, offset, size);
}

static int faulty_map(int fd, uint64_t offset, uint64_t size, bool writable, void **out)
{
    return call_fails() ? ENOMEM : kvi_os_real.map(fd, offset, size, writable, out);
}

static int faulty_map_anon(uint64_t size, void **out)
{
    return call_fails() ? ENOMEM : kvi_os_real.map_anon(size, out);
}

static int faulty_lock(int fd, enum kvi_os_lock kind, uint64_t offset, uint64_t size)
{
    return call_fails() ? ENOLCK : kvi_os_real.lock(fd, kind, offset, size);
}

static int faulty_lock_probe(int fd, enum kvi_os_lock kind, uint64_t offset, uint64_t size,
                             bool *out)
{
    return call_fails() ? EINVAL : kvi_os_real.lock_probe(fd, kind, offset, size, out);
}

static int faulty_random(void *data, size_t size)
{
    return call_fails() ? EIO : kvi_os_real.random(data, size);
}

static void break_calls(void)
{
    faulty = kvi_os_real;
    faulty.open = faulty_open;
    faulty.stat_fd = faulty_stat_fd;
    faulty.stat_path = faulty_stat_path;
    faulty.truncate = faulty_truncate;
    faulty.allocate = faulty_allocate;
    faulty.map = faulty_map;
    faulty.map_anon = faulty_map_anon;
    faulty.lock = faulty_lock;
    faulty.lock_probe = faulty_lock_probe;
    faulty.random = faulty_random;
}

static int fds_open(void)
{
    int count = 0;

    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

/* _i 0: as the first user, 1: as the second. */
START_TEST(open_survives_the_failure_of_any_call)
{
    const char *data = new_data("a");
    struct user inside = {0};
    struct user u;
    int fds;
    int rc = 1;
    int n;

    if (_i)
        ck_ok(user_open(data, NULL, &inside));
    fds = fds_open();
    break_calls();
    for (n = 0; rc; n++) {
        ck_assert_int_lt(n, 100);
        calls_left = n;
        kvi_os = &faulty;
        rc = user_open(data, NULL, &u);
        kvi_os = &kvi_os_real;
        if (rc && calls_left >= 0)
            ck_abort_msg("open gave %d without a failed call", rc);
        if (rc) {
            ck_assert_int_eq(fds_open(), fds);
            if (_i)
                ck_assert_uint_eq(kvi_lockfile_users(inside.l), 1);
        }
    }
    ck_assert_int_gt(n, 10);
    ck_assert(u.first == !_i);
    all_is_free(&u);
    user_close(&u);
    ck_assert_int_eq(fds_open(), fds);
    if (_i)
        user_close(&inside);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("lockfile_files");

    harness_add(s, "intact", deleted_lock_file_is_noticed_by_both_sides);
    harness_add(s, "intact", replaced_lock_file_is_noticed_by_both_sides);
    harness_add(s, "intact", refused_opener_does_not_disturb_those_inside);
    harness_add(s, "intact", renamed_files_stay_in_use_and_keep_others_out);
    harness_add(s, "intact", deleted_data_file_is_noticed);
    harness_add(s, "intact", database_copied_over_ours_is_noticed);
    harness_add_loop(s, "intact", overwritten_head_is_noticed, 0, 80);
    harness_add(s, "intact", scribbled_epoch_keeps_new_users_out);
    harness_add(s, "intact", lock_file_cut_while_in_use_is_damage);
    harness_add(s, "intact", chdir_does_not_make_us_look_elsewhere);
    harness_add_loop(s, "damage", lock_file_of_any_size_without_users_is_taken_over, 0, 11);
    harness_add(s, "damage", scribbled_lock_file_without_users_opens);
    harness_add(s, "damage", scribbled_lock_file_with_users_is_an_error_and_ends);
    harness_add_loop(s, "damage", lock_path_that_is_no_plain_file_of_its_own_is_refused, 0, 4);
    harness_add_loop(s, "system", file_systems_of_other_machines_are_refused, 0, 6);
    harness_add(s, "system", overlay_needs_a_descriptor_that_may_write);
    harness_add_loop(s, "system", open_survives_the_failure_of_any_call, 0, 2);
    return s;
}

HARNESS_MAIN(suite)
