/* SPDX-License-Identifier: MIT */
/*
 * lib/txn/lockfile*.c, process*.c: opening, binding, life and death of users.
 */
#include "lockfile_help.h"

#include <sched.h>
#include <spawn.h>
#include <sys/syscall.h>

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

#define SURVIVOR_MS 10000u

enum offspring { BY_FORK, BY_CLONE, BY_SPAWN, OFFSPRINGS };

struct family {
    const char *data;
    enum offspring how;
};

/* Makes a child that outlives us, holding all locks if the child's making runs handlers. */
static int parent_of_survivor(const void *arg)
{
    const struct family *family = arg;
    char name[] = "sleep";
    char seconds[] = "1000";
    char *sleep_args[] = {name, seconds, NULL};
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
    /* A child that was not scheduled yet still has to run its handler, which lets the lock go. */
    ck_ok(kvi_lockfile_lock_writer(u.l, SURVIVOR_MS));
    kvi_lockfile_unlock_writer(u.l);
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

/* ---- Other pid and mount namespaces
 * -------------------------------------------------------------------- */

static int open_in_namespace(const void *data)
{
    int status;
    pid_t pid;

    if (unshare(CLONE_NEWPID | CLONE_NEWNS) &&
        unshare(CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS)) {
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

START_TEST(user_in_other_namespaces_lives_and_dies_as_any_other)
{
    const char *data = new_data("a");
    struct helper h;
    struct user u;
    char heard;

    ck_ok(user_open(data, NULL, &u));
    h = helper_start(open_in_namespace, data);
    heard = helper_hear(&h);
    if (heard != 'r') {
        printf("skipped: no namespaces may be made here\n");
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
    harness_add(s, "fork", user_in_other_namespaces_lives_and_dies_as_any_other);
    harness_add(s, "private", private_state_has_one_user_who_is_first_and_last);
    harness_add(s, "private", private_readers_work_on_in_a_forked_child);
    harness_add(s, "private", closing_nothing_is_allowed);
    return s;
}

HARNESS_MAIN(suite)
