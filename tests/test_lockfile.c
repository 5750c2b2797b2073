/* SPDX-License-Identifier: MIT */
/*
 * lib/txn/lockfile*.c, process*.c: opening, binding, life and death of users, foreign and damaged files.
 */
#include "lockfile_help.h"

#include <sched.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "base/error.h"
#include "txn/lockfile_impl.h"

extern char **environ;

/* ---- First, last, clean ---------------------------------------------------------------------- */

START_TEST(first_open_makes_an_allocated_plain_file)
{
    const char *data = new_data("a");
    struct user u;
    struct stat st;

    ck_ok(user_open(data, NULL, &u));
    ck_assert(u.first);
    ck_assert(!u.boot_same);
    ck_assert_int_eq(lstat(lock_name(data), &st), 0);
    ck_assert(S_ISREG(st.st_mode));
    ck_assert_int_eq(st.st_mode & 0777 & ~0640, 0);
    ck_assert_int_eq(st.st_size, KVI_LOCK_HEAD_BYTES + KVI_CHUNK_BYTES);
    ck_assert_int_ge(st.st_blocks * 512, st.st_size);
    ck_assert(user_close(&u));
}
END_TEST

START_TEST(two_opens_in_one_process_are_two_users_of_one_state)
{
    const char *data = new_data("a");
    struct user a;
    struct user b;

    ck_ok(user_open(data, NULL, &a));
    ck_ok(user_open(data, NULL, &b));
    ck_assert(a.first);
    ck_assert(!b.first);
    ck_assert(kvi_lockfile_self(a.l) != kvi_lockfile_self(b.l));
    ck_assert_uint_eq(kvi_lockfile_users(a.l), 2);
    ck_assert_uint_eq(kvi_lockfile_users(b.l), 2);
    ck_assert(kvi_lockfile_alive(a.l, kvi_lockfile_self(b.l)));
    ck_assert(kvi_lockfile_alive(b.l, kvi_lockfile_self(a.l)));
    atomic_store(&kvi_lockfile_shared(a.l)->visible, 77);
    ck_assert_uint_eq(atomic_load(&kvi_lockfile_shared(b.l)->visible), 77);
    ck_assert(!user_close(&a));
    ck_assert_uint_eq(kvi_lockfile_users(b.l), 1);
    ck_assert(user_close(&b));
}
END_TEST

START_TEST(owner_of_a_closed_user_is_dead_also_when_its_slot_has_a_new_one)
{
    const char *data = new_data("a");
    struct user a;
    struct user b;
    uint64_t old;

    ck_ok(user_open(data, NULL, &a));
    ck_ok(user_open(data, NULL, &b));
    old = kvi_lockfile_self(b.l);
    user_close(&b);
    ck_assert(!kvi_lockfile_alive(a.l, old));
    ck_ok(user_open(data, NULL, &b));
    ck_assert(!kvi_lockfile_alive(a.l, old));
    ck_assert(kvi_lockfile_alive(a.l, kvi_lockfile_self(b.l)));
    ck_assert(kvi_lockfile_self(b.l) >> 60 == 0);
    user_close(&b);
    user_close(&a);
}
END_TEST

START_TEST(nonsense_owners_are_dead)
{
    static const uint64_t owners[] = {0, 1, 2, UINT64_MAX, (uint64_t)1 << 59, 0xfffff, 0x100000};
    const char *data = new_data("a");
    struct user u;

    ck_ok(user_open(data, NULL, &u));
    for (size_t i = 0; i < sizeof(owners) / sizeof(owners[0]); i++)
        ck_assert(!kvi_lockfile_alive(u.l, owners[i]));
    user_close(&u);
}
END_TEST

START_TEST(state_of_the_last_who_left_cleanly_is_no_candidate)
{
    const char *data = new_data("a");
    struct user u;

    ck_ok(user_open(data, NULL, &u));
    atomic_store(&kvi_lockfile_shared(u.l)->committed, 5);
    user_close(&u);
    ck_ok(user_open(data, NULL, &u));
    ck_assert(u.first);
    ck_assert(!u.boot_same);
    ck_assert_uint_eq(atomic_load(&kvi_lockfile_shared(u.l)->committed), 0);
    user_close(&u);
}
END_TEST

static int set_committed_and_wait(const void *data)
{
    struct user u;

    if (user_open(data, NULL, &u))
        return 1;
    atomic_store(&kvi_lockfile_shared(u.l)->committed, 1234);
    helper_stop();
    return 0;
}

START_TEST(state_of_killed_users_can_be_looked_at)
{
    const char *data = new_data("a");
    struct helper h = helper_with(set_committed_and_wait, data);
    struct user u;

    helper_kill(&h);
    ck_ok(user_open(data, NULL, &u));
    ck_assert(u.first);
    ck_assert(u.boot_same);
    ck_assert_uint_eq(atomic_load(&kvi_lockfile_shared(u.l)->committed), 1234);
    user_close(&u);
}
END_TEST

START_TEST(state_that_was_not_ready_is_no_candidate)
{
    const char *data = new_data("a");
    struct how how = {.leave_opening = true};
    struct user u;

    ck_ok(user_open(data, &how, &u));
    atomic_store(&kvi_lockfile_shared(u.l)->committed, 1);
    kvi_lockfile_close(u.l);
    close(u.fd);
    ck_ok(user_open(data, NULL, &u));
    ck_assert(u.first);
    ck_assert(!u.boot_same);
    user_close(&u);
}
END_TEST

/* The head's bytes from `offset` are changed between two lives. */
static void killed_then_changed(const char *data, off_t offset)
{
    struct helper h = helper_with(set_committed_and_wait, data);
    int fd = open(lock_name(data), O_RDWR | O_CLOEXEC);
    uint8_t byte;

    helper_kill(&h);
    ck_assert_int_eq(pread(fd, &byte, 1, offset), 1);
    byte ^= 0x55;
    ck_assert_int_eq(pwrite(fd, &byte, 1, offset), 1);
    close(fd);
}

START_TEST(head_that_differs_anywhere_is_rebuilt_when_nobody_lives)
{
    /* magic, version, slots, chunk, boot id, file id, device, inode */
    static const off_t offsets[] = {0, 8, 12, 16, 20, 32, 47, 48, 63, 64, 72};
    const char *data = new_data("a");
    struct user u;

    killed_then_changed(data, offsets[_i]);
    ck_ok(user_open(data, NULL, &u));
    ck_assert(u.first);
    ck_assert(!u.boot_same);
    ck_assert_uint_eq(atomic_load(&kvi_lockfile_shared(u.l)->committed), 0);
    ck_ok(kvi_lockfile_intact(u.l));
    user_close(&u);
}
END_TEST

START_TEST(another_file_id_is_another_database)
{
    const char *data = new_data("a");
    struct helper h = helper_with(set_committed_and_wait, data);
    struct how other = {.id = 2};
    struct user u;

    ck_rc(user_open(data, &other, &u), KV_EBUSY);
    helper_kill(&h);
    ck_ok(user_open(data, &other, &u));
    ck_assert(u.first);
    ck_assert(!u.boot_same);
    user_close(&u);
}
END_TEST

/* ---- Exclusive ------------------------------------------------------------------------------- */

START_TEST(exclusive_user_is_alone)
{
    const char *data = new_data("a");
    struct how exclusive = {.exclusive = true};
    struct user a;
    struct user b;

    ck_ok(user_open(data, &exclusive, &a));
    ck_rc(user_open(data, NULL, &b), KV_EBUSY);
    ck_rc(user_open(data, &exclusive, &b), KV_EBUSY);
    user_close(&a);
    ck_ok(user_open(data, NULL, &a));
    ck_rc(user_open(data, &exclusive, &b), KV_EBUSY);
    ck_ok(user_open(data, NULL, &b));
    user_close(&b);
    user_close(&a);
    ck_ok(user_open(data, &exclusive, &a));
    user_close(&a);
}
END_TEST

static int open_exclusive(const void *data)
{
    struct how exclusive = {.exclusive = true};
    struct user u;

    if (user_open(data, &exclusive, &u))
        return 1;
    helper_stop();
    return 0;
}

START_TEST(killed_exclusive_user_stands_in_nobodys_way)
{
    const char *data = new_data("a");
    struct helper h = helper_with(open_exclusive, data);
    struct user u;

    ck_rc(user_open(data, NULL, &u), KV_EBUSY);
    helper_kill(&h);
    ck_ok(user_open(data, NULL, &u));
    user_close(&u);
}
END_TEST

/* ---- Deaths ---------------------------------------------------------------------------------- */

static int die_while_opening(const void *data)
{
    struct how how = {.leave_opening = true};
    struct user u;

    if (user_open(data, &how, &u))
        return 1;
    helper_stop();
    return 0;
}

static int die_while_leaving(const void *data)
{
    struct user u;
    bool last;

    if (user_open(data, NULL, &u) || kvi_lockfile_leave(u.l, &last) || !last)
        return 1;
    helper_stop();
    return 0;
}

static int die_with_all_locks(const void *data)
{
    struct user u;

    if (user_open(data, NULL, &u) || kvi_lockfile_lock_writer(u.l, KVI_WAIT_FOREVER) ||
        kvi_lockfile_lock_flush(u.l, KVI_WAIT_FOREVER) ||
        kvi_lock_byte(u.l, KVI_LOCK_GROWING, 100) || kvi_lock_byte(u.l, KVI_LOCK_GATE_NEXT(0), 100))
        return 1;
    helper_stop();
    return 0;
}

static int (*const deaths[])(const void *) = {die_while_opening, die_while_leaving,
                                              die_with_all_locks};

static void all_is_free(struct user *u)
{
    ck_ok(kvi_lockfile_lock_writer(u->l, 0));
    ck_ok(kvi_lockfile_lock_flush(u->l, 0));
    ck_ok(kvi_lock_byte(u->l, KVI_LOCK_GROWING, 0));
    kvi_unlock_byte(u->l, KVI_LOCK_GROWING);
    kvi_lockfile_unlock_flush(u->l);
    kvi_lockfile_unlock_writer(u->l);
}

START_TEST(whatever_a_killed_process_held_is_free)
{
    const char *data = new_data("a");
    struct helper h = helper_with(deaths[_i], data);
    struct user u;

    helper_kill(&h);
    ck_ok(user_open(data, NULL, &u));
    ck_assert(u.first);
    all_is_free(&u);
    user_close(&u);
}
END_TEST

START_TEST(living_users_go_on_when_another_is_killed)
{
    const char *data = new_data("a");
    struct user u;
    struct helper h;

    ck_ok(user_open(data, NULL, &u));
    h = helper_with(die_with_all_locks, data);
    ck_rc(kvi_lockfile_lock_writer(u.l, 0), KV_EBUSY);
    ck_assert_uint_eq(kvi_lockfile_users(u.l), 2);
    helper_kill(&h);
    ck_assert_uint_eq(kvi_lockfile_users(u.l), 1);
    all_is_free(&u);
    ck_ok(kvi_lockfile_intact(u.l));
    ck_assert(user_close(&u));
}
END_TEST

/* ---- Fork and exec --------------------------------------------------------------------------- */

START_TEST(forked_child_is_refused_and_harms_nobody)
{
    const char *data = new_data("a");
    struct user u;
    struct user other;
    int status;
    pid_t pid;

    ck_ok(user_open(data, NULL, &u));
    ck_ok(kvi_lockfile_lock_writer(u.l, 0));
    ck_assert(!kvi_lockfile_forked(u.l));
    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        bool last = true;

        if (!kvi_lockfile_forked(u.l) || kvi_lockfile_lock_writer(u.l, 0) != KV_EFORKED ||
            kvi_lockfile_lock_flush(u.l, 0) != KV_EFORKED)
            _exit(1);
        kvi_lockfile_unlock_writer(u.l);
        if (kvi_lockfile_leave(u.l, &last) || last)
            _exit(2);
        kvi_lockfile_close(u.l);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    ck_assert(!kvi_lockfile_forked(u.l));
    ck_ok(user_open(data, NULL, &other));
    ck_assert(!other.first);
    ck_rc(kvi_lockfile_lock_writer(other.l, 0), KV_EBUSY);
    kvi_lockfile_unlock_writer(u.l);
    ck_ok(kvi_lockfile_lock_writer(other.l, 0));
    kvi_lockfile_unlock_writer(other.l);
    user_close(&other);
    ck_assert(user_close(&u));
}
END_TEST

START_TEST(forked_child_opens_for_itself)
{
    const char *data = new_data("a");
    struct user u;
    int status;
    pid_t pid;

    ck_ok(user_open(data, NULL, &u));
    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        struct user own;

        if (user_open(data, NULL, &own) || own.first || kvi_lockfile_forked(own.l) ||
            !kvi_lockfile_forked(u.l) || kvi_lockfile_users(own.l) != 2 ||
            kvi_lockfile_lock_writer(own.l, 0))
            _exit(1);
        kvi_lockfile_close(u.l);
        if (!kvi_lockfile_alive(own.l, kvi_lockfile_self(own.l)) || kvi_lockfile_users(own.l) != 2)
            _exit(2);
        user_close(&own);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    user_close(&u);
}
END_TEST

enum offspring { BY_FORK, BY_CLONE, BY_SPAWN, OFFSPRINGS };

struct family {
    const char *data;
    enum offspring how;
};

/* Makes a child that outlives us, holding all locks if the child's making runs handlers. */
static int parent_of_survivor(const void *arg)
{
    const struct family *family = arg;
    char *sleep_args[] = {"sleep", "1000", NULL};
    struct user u;
    pid_t pid = -1;

    if (user_open(family->data, NULL, &u))
        return 1;
    if (family->how != BY_CLONE && kvi_lockfile_lock_writer(u.l, 0))
        return 2;
    if (family->how == BY_SPAWN && posix_spawnp(&pid, "sleep", NULL, NULL, sleep_args, environ))
        return 3;
    if (family->how == BY_FORK)
        pid = fork();
    if (family->how == BY_CLONE)
        pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (pid == 0)
        for (;;)
            pause();
    if (write(helper_out, &pid, sizeof(pid)) != sizeof(pid))
        return 4;
    helper_wait();
    return 0;
}

START_TEST(child_that_outlives_its_parent_keeps_nothing_alive)
{
    struct family family = {new_data("a"), (enum offspring)_i};
    struct helper h = helper_start(parent_of_survivor, &family);
    struct user u;
    pid_t survivor;

    ck_assert_int_eq(read(h.from, &survivor, sizeof(survivor)), sizeof(survivor));
    helper_kill(&h);
    ck_assert_int_eq(kill(survivor, 0), 0);
    ck_ok(user_open(family.data, NULL, &u));
    ck_assert(u.first);
    all_is_free(&u);
    ck_assert(user_close(&u));
    ck_assert_int_eq(kill(survivor, SIGKILL), 0);
}
END_TEST

START_TEST(bare_clone_is_told_by_the_wiped_page)
{
    const char *data = new_data("a");
    struct user u;
    int status;
    pid_t pid;

    ck_ok(user_open(data, NULL, &u));
    pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (pid == 0)
        _exit(kvi_lockfile_forked(u.l) ? 0 : 1);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    user_close(&u);
}
END_TEST

/* ---- Other pid namespaces -------------------------------------------------------------------- */

static int open_in_namespace(const void *data)
{
    int status;
    pid_t pid;

    if (unshare(CLONE_NEWPID) && (unshare(CLONE_NEWUSER | CLONE_NEWPID))) {
        helper_tell('s');
        return 0;
    }
    pid = fork();
    if (pid == 0)
        _exit(getpid() == 1 ? helper_opened(data) : 3);
    if (waitpid(pid, &status, 0) != pid)
        return 4;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 5;
}

START_TEST(user_in_another_pid_namespace_lives_and_dies_as_any_other)
{
    const char *data = new_data("a");
    struct helper h;
    struct user u;
    char heard;

    ck_ok(user_open(data, NULL, &u));
    h = helper_start(open_in_namespace, data);
    heard = helper_hear(&h);
    if (heard != 'r') {
        printf("skipped: no pid namespaces here\n");
        ck_assert_int_eq(heard, 's');
    } else {
        ck_assert_uint_eq(kvi_lockfile_users(u.l), 2);
        helper_go(&h);
    }
    ck_assert_int_eq(helper_end(&h), 0);
    ck_assert_uint_eq(kvi_lockfile_users(u.l), 1);
    user_close(&u);
}
END_TEST

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

/* ---- Without a lock file --------------------------------------------------------------------- */

START_TEST(private_state_has_one_user_who_is_first_and_last)
{
    struct kvi_lockfile_options o = {.data_fd = -1};
    struct kvi_lockfile *l;
    bool first = false;
    bool same = true;
    bool last = false;

    ck_ok(kvi_lockfile_open(&o, &l, &first, &same));
    kvi_lockfile_ready(l);
    ck_assert(first);
    ck_assert(!same);
    ck_assert_uint_eq(kvi_lockfile_users(l), 1);
    ck_assert(kvi_lockfile_alive(l, kvi_lockfile_self(l)));
    ck_assert(!kvi_lockfile_alive(l, kvi_lockfile_self(l) + 1));
    ck_ok(kvi_lockfile_intact(l));
    ck_ok(kvi_lockfile_lock_writer(l, 0));
    ck_rc(kvi_lockfile_lock_writer(l, 0), KV_EBUSY);
    kvi_lockfile_unlock_writer(l);
    ck_ok(kvi_lockfile_leave(l, &last));
    ck_assert(last);
    kvi_lockfile_close(l);
}
END_TEST

START_TEST(private_readers_work_on_in_a_forked_child)
{
    struct kvi_lockfile_options o = {.data_fd = -1};
    struct kvi_lockfile *l;
    bool first;
    bool same;
    int status;
    pid_t pid;

    ck_ok(kvi_lockfile_open(&o, &l, &first, &same));
    atomic_store(&kvi_lockfile_shared(l)->visible, 9);
    kvi_lockfile_ready(l);
    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        struct kvi_reader_slot *slot;

        if (!kvi_lockfile_forked(l) || kvi_reader_claim(l, &slot) || kvi_reader_pin(l, slot) != 9)
            _exit(1);
        kvi_reader_release(l, slot);
        kvi_lockfile_close(l);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    kvi_lockfile_close(l);
}
END_TEST

START_TEST(closing_nothing_is_allowed)
{
    kvi_lockfile_close(NULL);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("lockfile");

    harness_add(s, "users", first_open_makes_an_allocated_plain_file);
    harness_add(s, "users", two_opens_in_one_process_are_two_users_of_one_state);
    harness_add(s, "users", owner_of_a_closed_user_is_dead_also_when_its_slot_has_a_new_one);
    harness_add(s, "users", nonsense_owners_are_dead);
    harness_add(s, "boot", state_of_the_last_who_left_cleanly_is_no_candidate);
    harness_add(s, "boot", state_of_killed_users_can_be_looked_at);
    harness_add(s, "boot", state_that_was_not_ready_is_no_candidate);
    harness_add_loop(s, "boot", head_that_differs_anywhere_is_rebuilt_when_nobody_lives, 0, 11);
    harness_add(s, "boot", another_file_id_is_another_database);
    harness_add(s, "exclusive", exclusive_user_is_alone);
    harness_add(s, "exclusive", killed_exclusive_user_stands_in_nobodys_way);
    harness_add_loop(s, "deaths", whatever_a_killed_process_held_is_free, 0, 3);
    harness_add(s, "deaths", living_users_go_on_when_another_is_killed);
    harness_add(s, "fork", forked_child_is_refused_and_harms_nobody);
    harness_add(s, "fork", forked_child_opens_for_itself);
    harness_add_loop(s, "fork", child_that_outlives_its_parent_keeps_nothing_alive, 0, OFFSPRINGS);
    harness_add(s, "fork", bare_clone_is_told_by_the_wiped_page);
    harness_add(s, "fork", user_in_another_pid_namespace_lives_and_dies_as_any_other);
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
    harness_add(s, "private", private_state_has_one_user_who_is_first_and_last);
    harness_add(s, "private", private_readers_work_on_in_a_forked_child);
    harness_add(s, "private", closing_nothing_is_allowed);
    return s;
}

HARNESS_MAIN(suite)
