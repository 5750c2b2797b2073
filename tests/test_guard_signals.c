/* SPDX-License-Identifier: MIT */
/*
 * The SIGBUS guard among other handlers, in many envs, and by itself: what is not ours goes to who
 * was there before, as he asked for it (docs/GUARD.md section 4). Each test is a child process,
 * since most of them end, or leave handlers behind.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "kv.h"
#include "os/guard.h"

enum { PAGE = 4096, ENVS = 40, ENDED = 1000 };

static const char *path;

static void setup(void)
{
    tmp_clear();
    path = tmp_path("a.db");
}

/* What the child's body returns, or ENDED + the signal that ended it; a sanitizer that ends it by a
 * status of its own counts as SIGBUS. */
static int in_child(int (*body)(int), int variant)
{
    int status = 0;
    pid_t pid;

    (void)fflush(NULL);
    pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        (void)!freopen("/dev/null", "w", stderr);
        (void)alarm(100);
        _exit(body(variant));
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status))
        return ENDED + WTERMSIG(status);
    return WEXITSTATUS(status) == 1 || WEXITSTATUS(status) == 66 ? ENDED + SIGBUS
                                                                 : WEXITSTATUS(status);
}

/* In children: the line tells where it went wrong. */
#define must(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            _exit(100 + __LINE__ % 100);                                                           \
    } while (0)

/* ---- Faults ---- */

/* A page of a file that has none. */
static volatile uint8_t *lost_page(bool writable)
{
    char name[64];
    int protection = writable ? PROT_READ | PROT_WRITE : PROT_READ;
    void *page;
    int fd;

    (void)snprintf(name, sizeof(name), "%s/lost", tmp_dir());
    fd = open(name, O_RDWR | O_CREAT, 0600);
    must(fd >= 0 && ftruncate(fd, 0) == 0);
    page = mmap(NULL, PAGE, protection, MAP_SHARED, fd, 0);
    must(page != MAP_FAILED && close(fd) == 0);
    return page;
}

static struct kv_env *open_one(uint32_t flags)
{
    struct kv_options options = KV_OPTIONS_INIT;
    struct kv_env *env;

    options.flags = flags | KV_GUARD;
    must(kv_env_open(flags & KV_MEMORY ? NULL : path, &options, &env) == 0);
    return env;
}

static struct kv_env *open_env(void)
{
    return open_one(KV_CREATE);
}

/* The env's own fault ends no process and is an error. */
static void cut_under(struct kv_env *env)
{
    struct kv_val key = {1, (char[]){"k"}};
    struct kv_val value;
    struct kv_txn *txn;

    must(kv_txn_begin(env, KV_READ, NULL, &txn) == 0);
    must(ftruncate(kv_env_fd(env), 2 * PAGE) == 0);
    must(kv_get(txn, KV_MAIN_TABLE, &key, &value) == KV_ECORRUPT);
    kv_txn_abort(txn);
}

static void fill(struct kv_env *env)
{
    struct kv_val key = {1, (char[]){"k"}};
    struct kv_val value = {5, (char[]){"value"}};
    struct kv_txn *txn;

    must(kv_txn_begin(env, KV_WRITE, NULL, &txn) == 0);
    must(kv_put(txn, KV_MAIN_TABLE, &key, &value, 0) == 0);
    must(kv_txn_commit(txn) == 0);
}

/* ---- A handler of the program's ---- */

static volatile sig_atomic_t calls;
static volatile sig_atomic_t calls_first;
static void *volatile fault_at;
static volatile sig_atomic_t mask_right;
static sigjmp_buf way_out;
static bool leave_by_jump;
static bool nodefer;
static struct sigaction chained;

static void note_mask(void)
{
    sigset_t now;

    (void)pthread_sigmask(SIG_BLOCK, NULL, &now);
    mask_right = sigismember(&now, SIGUSR1) == 1 && sigismember(&now, SIGBUS) == (nodefer ? 0 : 1);
}

static void mend(void)
{
    calls++;
    note_mask();
    if (leave_by_jump)
        siglongjmp(way_out, 1);
    (void)mmap((void *)((uintptr_t)fault_at & ~(uintptr_t)(PAGE - 1)), PAGE, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}

static void on_bus_info(int signo, siginfo_t *info, void *context)
{
    (void)signo;
    if (!context)
        return;
    if (info->si_addr == fault_at)
        mend();
}

static void on_bus(int signo)
{
    if (signo == SIGBUS)
        mend();
}

static void on_bus_first(int signo, siginfo_t *info, void *context)
{
    calls_first++;
    on_bus_info(signo, info, context);
}

/* Passes everything on. */
static void on_bus_chain(int signo, siginfo_t *info, void *context)
{
    calls++;
    if (chained.sa_flags & SA_SIGINFO)
        chained.sa_sigaction(signo, info, context);
}

static void put_handler(void (*info_handler)(int, siginfo_t *, void *), int flags)
{
    struct sigaction action;

    memset(&action, 0, sizeof(action));
    (void)sigaddset(&action.sa_mask, SIGUSR1);
    action.sa_flags = flags;
    if (info_handler)
        action.sa_sigaction = info_handler;
    else
        action.sa_handler = on_bus;
    must(sigaction(SIGBUS, &action, &chained) == 0);
}

static struct sigaction there(void)
{
    struct sigaction now;

    must(sigaction(SIGBUS, NULL, &now) == 0);
    return now;
}

/* ---- Theirs before ours ---- */

static const int handler_flags[] = {SA_SIGINFO, 0, SA_SIGINFO | SA_NODEFER, SA_RESTART,
                                    SA_SIGINFO | SA_ONSTACK};

static void fault_outside(bool writable)
{
    volatile uint8_t *page = lost_page(writable);

    fault_at = (void *)(uintptr_t)(page + 5);
    if (leave_by_jump && sigsetjmp(way_out, 1))
        return;
    must(page[5] == 0);
}

static int outside_reaches_them(int variant)
{
    struct kv_env *env;
    int flags = handler_flags[variant % 5];
    struct sigaction now;

    leave_by_jump = variant >= 5;
    nodefer = (flags & SA_NODEFER) != 0;
    put_handler(flags & SA_SIGINFO ? on_bus_info : NULL, flags);
    env = open_env();
    fill(env);
    for (int i = 1; i <= 3; i++) {
        mask_right = 0;
        fault_outside(i % 2);
        must(calls == i && mask_right);
    }
    cut_under(env);
    must(calls == 3);
    fault_outside(false);
    must(calls == 4);
    (void)!kv_env_close(env);
    now = there();
    must(flags & SA_SIGINFO ? now.sa_sigaction == on_bus_info : now.sa_handler == on_bus);
    must(sigismember(&now.sa_mask, SIGUSR1) == 1);
    return 0;
}

START_TEST(faults_outside_go_to_the_handler_that_was_there_before)
{
    ck_assert_int_eq(in_child(outside_reaches_them, _i), 0);
}
END_TEST

static int one_shot(int variant)
{
    struct kv_env *env;

    put_handler(on_bus_info, SA_SIGINFO | (int)SA_RESETHAND);
    env = open_env();
    fill(env);
    fault_outside(false);
    must(calls == 1);
    cut_under(env);
    if (variant == 0)
        fault_outside(false);
    (void)!kv_env_close(env);
    must(there().sa_handler == SIG_DFL);
    return 0;
}

START_TEST(a_handler_for_one_signal_gets_one)
{
    ck_assert_int_eq(in_child(one_shot, 0), ENDED + SIGBUS);
    setup();
    ck_assert_int_eq(in_child(one_shot, 1), 0);
}
END_TEST

enum { BY_FAULT = 1, IGNORED = 2 };

static int without_handler(int variant)
{
    struct kv_env *env;

    must(signal(SIGBUS, variant & IGNORED ? SIG_IGN : SIG_DFL) != SIG_ERR);
    env = open_env();
    fill(env);
    cut_under(env);
    if (variant & BY_FAULT)
        fault_outside(false);
    else
        must(raise(SIGBUS) == 0);
    (void)!kv_env_close(env);
    must(there().sa_handler == (variant & IGNORED ? SIG_IGN : SIG_DFL));
    return 0;
}

START_TEST(the_default_and_ignoring_stay_what_they_are)
{
    bool ends = _i != IGNORED;

    ck_assert_int_eq(in_child(without_handler, _i), ends ? ENDED + SIGBUS : 0);
}
END_TEST

/* ---- Theirs after ours ---- */

static int later_handler(int variant)
{
    struct kv_env *env;
    struct kv_env *second = NULL;

    put_handler(on_bus_first, SA_SIGINFO);
    env = open_env();
    fill(env);
    put_handler(on_bus_chain, SA_SIGINFO);
    if (variant) { /* ours on top of theirs, who pass on to ours */
        second = open_one(KV_MEMORY);
        fill(second);
        cut_under(second);
        must(calls == 0);
    }
    cut_under(env);
    must(variant ? calls == 0 : calls > 0);
    calls = 0;
    fault_outside(false);
    fault_outside(true);
    must(calls_first == 2 && calls == 4);
    (void)!kv_env_close(env);
    if (variant)
        (void)!kv_env_close(second);
    must(there().sa_sigaction == on_bus_chain);
    fault_outside(false);
    must(calls_first == 3 && calls == 6);
    env = open_one(KV_MEMORY); /* and once more from the start */
    fill(env);
    cut_under(env);
    fault_outside(false);
    must(calls_first == 4);
    (void)!kv_env_close(env);
    must(there().sa_sigaction == on_bus_chain);
    return 0;
}

START_TEST(a_handler_that_came_later_and_passes_on_makes_no_circle)
{
    ck_assert_int_eq(in_child(later_handler, _i), 0);
}
END_TEST

static int last_env(int variant)
{
    struct kv_env *envs[3];

    (void)variant;
    for (int round = 0; round < 3; round++) {
        must(signal(SIGBUS, SIG_DFL) != SIG_ERR);
        for (int i = 0; i < 3; i++) {
            envs[i] = open_one(KV_MEMORY);
            fill(envs[i]);
        }
        for (int i = 0; i < 3; i++) {
            must(there().sa_flags & SA_SIGINFO);
            cut_under(envs[i]);
            (void)!kv_env_close(envs[i]);
        }
        must(there().sa_handler == SIG_DFL);
    }
    return 0;
}

START_TEST(the_handler_is_there_from_the_first_env_to_the_last)
{
    ck_assert_int_eq(in_child(last_env, 0), 0);
}
END_TEST

/* ---- Many envs ---- */

/* More areas than a block of the table has room for. */
static int many_envs(int variant)
{
    struct kv_env *envs[ENVS];

    (void)variant;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < ENVS; i++) {
            envs[i] = open_one(KV_MEMORY);
            fill(envs[i]);
        }
        for (int i = ENVS - 1; i >= 0; i--) {
            struct kv_env_info info;

            must(kv_env_info(envs[i], &info) == 0 && info.faults == 0);
            cut_under(envs[i]);
            (void)!kv_env_info(envs[i], &info);
            must(info.faults > 0);
        }
        for (int i = 0; i < ENVS; i++)
            (void)!kv_env_close(envs[i]);
    }
    return 0;
}

START_TEST(each_of_many_envs_has_its_own_mark)
{
    ck_assert_int_eq(in_child(many_envs, 0), 0);
}
END_TEST

/* ---- The guard by itself ---- */

/* An area that children do not have is not theirs: another mapping may be in its place. */
static int inherited_area(int variant)
{
    _Atomic(uint64_t) word = 1;
    struct kvi_guard_mark mark = {.word = &word};
    volatile uint8_t *page = lost_page(false);
    struct kvi_guard_area area = {.base = (void *)(uintptr_t)page,
                                  .size_bytes = PAGE,
                                  .unit_bytes = PAGE,
                                  .left_by_fork = true};
    struct kvi_guard_slot *slot;

    must(kvi_guard_enter() == 0 && kvi_guard_add(&mark, &area, &slot) == 0);
    if (variant)
        atomic_store(&word, 0);
    must(page[9] == 0 && kvi_guard_faults(&mark) == 1 && word == 2);
    kvi_guard_remove(slot);
    kvi_guard_leave();
    return 0;
}

START_TEST(an_area_that_fork_leaves_out_is_not_the_childs)
{
    ck_assert_int_eq(in_child(inherited_area, 0), 0);
    ck_assert_int_eq(in_child(inherited_area, 1), ENDED + SIGBUS);
}
END_TEST

static int removed_area(int variant)
{
    struct kvi_guard_mark mark = {.faults = 0};
    volatile uint8_t *page = lost_page(false);
    struct kvi_guard_area area = {.base = (void *)(uintptr_t)page,
                                  .size_bytes = PAGE,
                                  .unit_bytes = PAGE};
    struct kvi_guard_slot *slot;

    (void)variant;
    must(kvi_guard_enter() == 0 && kvi_guard_add(&mark, &area, &slot) == 0);
    kvi_guard_remove(slot);
    return page[0];
}

START_TEST(an_area_that_was_removed_is_nobodys)
{
    ck_assert_int_eq(in_child(removed_area, 0), ENDED + SIGBUS);
}
END_TEST

/* ---- A full disk ---- */

enum { CANNOT = 99 };

/* A file system of its own with little room, at tmp_dir. */
static void mount_small(void)
{
    if (unshare(CLONE_NEWNS) && unshare(CLONE_NEWUSER | CLONE_NEWNS))
        _exit(CANNOT);
    (void)mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
    if (mount("none", tmp_dir(), "tmpfs", 0, "size=256k"))
        _exit(CANNOT);
}

static void fill_disk(void)
{
    static char bytes[PAGE];
    char name[64];
    int fd;

    (void)snprintf(name, sizeof(name), "%s/full", tmp_dir());
    fd = open(name, O_RDWR | O_CREAT, 0600);
    must(fd >= 0);
    while (write(fd, bytes, sizeof(bytes)) > 0)
        continue;
    must(errno == ENOSPC && close(fd) == 0);
}

/* A store that needs a block is taken by memory of our own, and the mark tells. */
static int store_to_full_disk(int variant)
{
    struct kvi_guard_mark mark = {.faults = 0};
    struct kvi_guard_area area = {.size_bytes = 8 * PAGE,
                                  .unit_bytes = PAGE,
                                  .kind = KVI_GUARD_DATA,
                                  .writable = true};
    struct kvi_guard_slot *slot;
    volatile uint8_t *page;
    char name[64];
    int fd;

    (void)variant;
    mount_small();
    (void)snprintf(name, sizeof(name), "%s/holes", tmp_dir());
    fd = open(name, O_RDWR | O_CREAT, 0600);
    must(fd >= 0 && ftruncate(fd, 8 * PAGE) == 0);
    area.base = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    must(area.base != MAP_FAILED);
    page = area.base;
    must(kvi_guard_enter() == 0 && kvi_guard_add(&mark, &area, &slot) == 0);
    page[0] = 1;
    must(kvi_guard_faults(&mark) == 0);
    fill_disk();
    for (unsigned i = 1; i < 8; i++)
        page[i * PAGE] = (uint8_t)i;
    must(kvi_guard_faults(&mark) == 7 && mark.page == 7);
    for (unsigned i = 1; i < 8; i++)
        must(page[i * PAGE] == i);
    must(page[0] == 1);
    kvi_guard_remove(slot);
    kvi_guard_leave();
    return 0;
}

/* Commits through the writer's mapping, whose blocks somebody punches, while the disk is full. */
static int commit_to_full_disk(int variant)
{
    struct kv_options options = KV_OPTIONS_INIT;
    struct kv_txn *txn = NULL;
    struct kv_env *env;
    int rc = 0;

    mount_small();
    options.flags = KV_CREATE | KV_GUARD;
    options.durability = KV_NONE;
    must(kv_env_open(path, &options, &env) == 0);
    for (int i = 0; i < 6; i++)
        fill(env);
    fill_disk();
    for (int i = 0; i < 20 && !rc; i++) {
        if (variant)
            must(fallocate(kv_env_fd(env), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4 * PAGE,
                           100 * PAGE) == 0);
        fill_disk();
        rc = kv_txn_begin(env, KV_WRITE, NULL, &txn);
        for (unsigned n = 0; n < 200 && !rc; n++) {
            struct kv_val key = {sizeof(n), &n};
            struct kv_val value = {600, (char[600]){0}};

            rc = kv_put(txn, KV_MAIN_TABLE, &key, &value, 0);
        }
        if (!rc)
            rc = kv_txn_commit(txn);
        else if (txn)
            kv_txn_abort(txn);
        txn = NULL;
    }
    must(rc != 0);
    must(variant ? rc == KV_ECORRUPT || rc == ENOSPC : rc == ENOSPC);
    (void)!kv_env_close(env);
    return 0;
}

static void in_small_disk(int (*body)(int), int variant)
{
    int ended = in_child(body, variant);

    if (ended == CANNOT)
        printf("guard: no file system can be mounted here: left out\n");
    else
        ck_assert_int_eq(ended, 0);
}

START_TEST(a_store_to_a_hole_on_a_full_disk_ends_no_process)
{
    in_small_disk(store_to_full_disk, 0);
}
END_TEST

START_TEST(commits_to_punched_pages_on_a_full_disk_are_errors)
{
    in_small_disk(commit_to_full_disk, _i);
}
END_TEST

static void add_loop(Suite *s, const char *name, const TTest *test, int first, int end)
{
    TCase *tc = tcase_create(name);

    tcase_set_timeout(tc, HARNESS_TIMEOUT_S);
    tcase_add_checked_fixture(tc, setup, NULL);
    tcase_add_loop_test(tc, test, first, end);
    suite_add_tcase(s, tc);
}

static Suite *suite(void)
{
    Suite *s = suite_create("guard_signals");

    add_loop(s, "before", faults_outside_go_to_the_handler_that_was_there_before, 0, 10);
    add_loop(s, "one shot", a_handler_for_one_signal_gets_one, 0, 1);
    add_loop(s, "default", the_default_and_ignoring_stay_what_they_are, 0, 4);
    add_loop(s, "later", a_handler_that_came_later_and_passes_on_makes_no_circle, 0, 2);
    add_loop(s, "last", the_handler_is_there_from_the_first_env_to_the_last, 0, 1);
    add_loop(s, "many", each_of_many_envs_has_its_own_mark, 0, 1);
    add_loop(s, "inherited", an_area_that_fork_leaves_out_is_not_the_childs, 0, 1);
    add_loop(s, "removed", an_area_that_was_removed_is_nobodys, 0, 1);
    add_loop(s, "full", a_store_to_a_hole_on_a_full_disk_ends_no_process, 0, 1);
    add_loop(s, "punched", commits_to_punched_pages_on_a_full_disk_are_errors, 0, 2);
    return s;
}

HARNESS_MAIN(suite)
