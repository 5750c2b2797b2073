/* SPDX-License-Identifier: MIT */
/*
 * Processes in other pid and mount namespaces, as in containers that share a file: who lives is
 * known, who died is noticed, whatever their pids and paths are. Skipped with a word where
 * namespaces may not be made.
 *
 * A worker makes the namespace and forks the one who works in it, as its pid 1, and tells that
 * one's pid as the test sees it.
 */
#include "harness.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kv.h"
#include "ledger.h"
#include "worker.h"

enum {
    NO_NAMESPACE = 1 << 30, /* told instead of a pid */
    PATIENCE_MS = 60000
};

struct job {
    const char *path;
    worker_body *work;
    int (*arrange)(const struct job *job); /* the mounts; NULL: none */
};

static int enter_namespaces(void)
{
    if (unshare(CLONE_NEWPID | CLONE_NEWNS) != 0 &&
        unshare(CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS) != 0)
        return errno;
    return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ? errno : 0;
}

/* Pid 1: waits until its pid was told. */
static int start_work(struct worker *self, const struct job *job)
{
    uint64_t go;

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    return getpid() == 1 && worker_hear(self, &go) ? job->work(self) : 3;
}

static int contain(struct worker *self)
{
    const struct job *job = self->context;
    int status = 0;
    pid_t pid;

    if (enter_namespaces() || (job->arrange && job->arrange(job))) {
        worker_tell(self, NO_NAMESPACE);
        return 0;
    }
    pid = fork();
    if (pid == 0)
        _exit(start_work(self, job));
    worker_tell(self, (uint64_t)pid);
    if (waitpid(pid, &status, 0) != pid)
        return 4;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 5;
}

/* Starts `job->work` in namespaces of its own; *pid_out as seen here. False: it may not be done. */
static bool start_contained(struct worker *worker, struct job *job, pid_t *pid_out)
{
    uint64_t pid;

    worker_start(worker, contain, job);
    ck_assert(worker_hear(worker, &pid));
    *pid_out = (pid_t)pid;
    if (pid != NO_NAMESPACE) {
        worker_tell(worker, 1);
        return true;
    }
    printf("skipped: namespaces may not be made or mounted in here\n");
    ck_assert(worker_join(worker));
    return false;
}

static void kill_contained(struct worker *worker, pid_t pid)
{
    ck_assert_int_eq(kill(pid, SIGKILL), 0);
    (void)worker_join(worker);
}

static int complain(int rc)
{
    if (rc)
        fprintf(stderr, "contained: %s; %s\n", kv_strerror(rc), kv_error_text());
    return rc;
}

static const char *make_ledger(unsigned steps)
{
    const char *path = tmp_path("ns.db");
    struct kv_options options = KV_OPTIONS_INIT;
    struct kv_env *env;
    uint64_t seq;

    tmp_clear();
    options.flags = KV_CREATE;
    ck_ok(kv_env_open(path, &options, &env));
    for (unsigned i = 0; i < steps; i++)
        ck_ok(ledger_step(env, NULL, &seq));
    ck_ok(kv_env_close(env));
    return path;
}

/* ---- Readers ---- */

static int pin(struct worker *self)
{
    const struct job *job = self->context;
    struct kv_txn *txn;
    struct kv_env *env;
    uint64_t number = 0;
    uint64_t seq;
    int rc = kv_env_open(job->path, NULL, &env);

    if (!rc)
        rc = kv_txn_begin(env, KV_READ, NULL, &txn);
    if (!rc)
        rc = ledger_verify(txn, &seq);
    worker_tell(self, rc ? 0 : seq);
    while (!rc && worker_hear(self, &number)) {
        rc = ledger_verify(txn, &seq);
        worker_tell(self, rc ? 0 : seq);
    }
    return complain(rc);
}

struct seen {
    unsigned living;
    unsigned dead;
};

static int see_reader(void *context, const struct kv_reader *reader)
{
    struct seen *seen = context;

    if (reader->alive)
        seen->living++;
    else
        seen->dead++;
    return reader->pid == 1 ? 0 : KV_EINVAL; /* as it sees itself */
}

static struct seen see_readers(struct kv_env *env)
{
    struct seen seen = {0, 0};

    ck_ok(kv_env_readers(env, see_reader, &seen));
    return seen;
}

START_TEST(reader_in_another_namespace_holds_its_snapshot_until_it_dies)
{
    struct job job = {.path = make_ledger(10), .work = pin};
    struct kv_env_info info;
    struct worker worker;
    struct kv_env *env;
    uint64_t seq;
    pid_t pid;

    if (!start_contained(&worker, &job, &pid))
        return;
    ck_assert(worker_hear(&worker, &seq));
    ck_assert_uint_eq(seq, 10);
    ck_ok(kv_env_open(job.path, NULL, &env));
    ck_assert_uint_eq(see_readers(env).living, 1);
    for (unsigned i = 0; i < 40; i++)
        ck_ok(ledger_step(env, NULL, &seq));
    worker_tell(&worker, 1);
    ck_assert(worker_hear(&worker, &seq));
    ck_assert_uint_eq(seq, 10);
    kill_contained(&worker, pid);
    ck_assert_uint_eq(see_readers(env).living, 0);
    ck_ok(ledger_step(env, NULL, &seq));
    ck_ok(kv_env_info(env, &info));
    ck_assert_uint_eq(info.processes, 1);
    ck_assert_uint_eq(info.readers, 0);
    ck_ok(kv_env_close(env));
}
END_TEST

/* Each is pid 1 to itself: pids tell nothing. */
START_TEST(death_of_one_is_not_taken_for_the_death_of_another_with_its_pid)
{
    struct job job = {.path = make_ledger(10), .work = pin};
    struct worker workers[2];
    struct kv_env *env;
    pid_t pids[2];
    uint64_t seq;

    for (unsigned i = 0; i < 2; i++) {
        if (!start_contained(&workers[i], &job, &pids[i]))
            return;
        ck_assert(worker_hear(&workers[i], &seq));
    }
    ck_ok(kv_env_open(job.path, NULL, &env));
    ck_assert_uint_eq(see_readers(env).living, 2);
    kill_contained(&workers[0], pids[0]);
    ck_assert_uint_eq(see_readers(env).living, 1);
    for (unsigned i = 0; i < 40; i++)
        ck_ok(ledger_step(env, NULL, &seq));
    worker_tell(&workers[1], 1);
    ck_assert(worker_hear(&workers[1], &seq));
    ck_assert_uint_eq(seq, 10);
    kill_contained(&workers[1], pids[1]);
    ck_assert_uint_eq(see_readers(env).living, 0);
    ck_ok(kv_env_close(env));
}
END_TEST

/* ---- Writers ---- */

static int hold_writer_lock(struct worker *self)
{
    const struct job *job = self->context;
    struct kv_txn *txn;
    struct kv_env *env;
    uint64_t seq;
    int rc = kv_env_open(job->path, NULL, &env);

    if (!rc)
        rc = kv_txn_begin(env, KV_WRITE, NULL, &txn);
    if (!rc)
        rc = ledger_change(txn, &seq);
    worker_tell(self, rc ? 0 : seq);
    (void)worker_hear(self, &seq);
    return complain(rc);
}

START_TEST(writer_lock_of_another_namespace_is_respected_and_ends_with_its_holder)
{
    struct job job = {.path = make_ledger(3), .work = hold_writer_lock};
    struct worker worker;
    struct kv_txn *txn;
    struct kv_env *env;
    uint64_t seq;
    pid_t pid;

    if (!start_contained(&worker, &job, &pid))
        return;
    ck_assert(worker_hear(&worker, &seq));
    ck_assert_uint_eq(seq, 4);
    ck_ok(kv_env_open(job.path, NULL, &env));
    ck_rc(kv_txn_begin(env, KV_WRITE | KV_TRY, NULL, &txn), KV_EBUSY);
    kill_contained(&worker, pid);
    ck_ok(kv_txn_begin(env, KV_WRITE | KV_TRY, NULL, &txn));
    kv_txn_abort(txn);
    ck_ok(ledger_step(env, NULL, &seq));
    ck_assert_uint_eq(seq, 4);
    ck_ok(ledger_check(env));
    ck_ok(kv_env_close(env));
}
END_TEST

static int write_on(struct worker *self)
{
    const struct job *job = self->context;
    struct kv_env *env;
    uint64_t seq;
    int rc = kv_env_open(job->path, NULL, &env);

    while (!rc) {
        rc = ledger_step(env, NULL, &seq);
        if (!rc)
            worker_tell(self, seq);
    }
    return complain(rc);
}

START_TEST(writers_of_several_namespaces_share_one_ledger_and_outlive_each_other)
{
    struct job job = {.path = make_ledger(1), .work = write_on};
    struct worker workers[2];
    struct kv_env *env;
    pid_t pids[2];
    uint64_t seq;
    uint64_t told = 0;

    ck_ok(kv_env_open(job.path, NULL, &env));
    for (unsigned i = 0; i < 2; i++)
        if (!start_contained(&workers[i], &job, &pids[i]))
            return;
    for (unsigned i = 0; i < 2; i++) {
        ck_assert(worker_hear_for(&workers[i], PATIENCE_MS, &seq));
        for (unsigned step = 0; step < 5; step++)
            ck_ok(ledger_step(env, NULL, &seq));
        kill_contained(&workers[i], pids[i]);
        ck_ok(ledger_verify_newest(env, &seq));
        ck_assert_uint_ge(seq, told + 5);
        told = seq;
    }
    ck_ok(ledger_check(env));
    ck_ok(kv_env_close(env));
}
END_TEST

/* ---- Other paths ---- */

static int mount_folder(const struct job *job)
{
    (void)job;
    return mount(tmp_dir(), tmp_path("mnt"), NULL, MS_BIND, NULL) ? errno : 0;
}

static int work_at_mount(struct worker *self)
{
    struct job *job = self->context;

    job->path = tmp_path("mnt/ns.db");
    return hold_writer_lock(self);
}

START_TEST(same_folder_under_another_path_is_the_same_database)
{
    struct job job = {.path = make_ledger(3), .work = work_at_mount, .arrange = mount_folder};
    struct worker worker;
    struct kv_txn *txn;
    struct kv_env *env;
    uint64_t seq;
    pid_t pid;

    ck_assert_int_eq(mkdir(tmp_path("mnt"), 0700), 0);
    ck_ok(kv_env_open(job.path, NULL, &env));
    if (!start_contained(&worker, &job, &pid)) {
        ck_ok(kv_env_close(env));
        return;
    }
    ck_assert(worker_hear(&worker, &seq));
    ck_assert_uint_eq(seq, 4);
    ck_rc(kv_txn_begin(env, KV_WRITE | KV_TRY, NULL, &txn), KV_EBUSY);
    kill_contained(&worker, pid);
    ck_ok(ledger_step(env, NULL, &seq));
    ck_assert_uint_eq(seq, 4);
    ck_ok(kv_env_close(env));
}
END_TEST

/* Only the data file is seen inside, beside another lock file. */
static int mount_file(const struct job *job)
{
    const char *target = tmp_path("mnt/ns.db");

    file_write(target, "", 0);
    return mount(job->path, target, NULL, MS_BIND, NULL) ? errno : 0;
}

static int be_refused(struct worker *self)
{
    struct kv_env *env;
    int rc = kv_env_open(tmp_path("mnt/ns.db"), NULL, &env);

    worker_tell(self, rc == KV_EBUSY ? 1 : 0);
    return rc == KV_EBUSY ? 0 : 1;
}

START_TEST(data_file_without_its_lock_file_is_no_way_to_a_second_writer)
{
    struct job job = {.path = make_ledger(3), .work = be_refused, .arrange = mount_file};
    struct worker worker;
    struct kv_env *env;
    uint64_t refused;
    uint64_t seq;
    pid_t pid;

    ck_assert_int_eq(mkdir(tmp_path("mnt"), 0700), 0);
    ck_ok(kv_env_open(job.path, NULL, &env));
    if (start_contained(&worker, &job, &pid)) {
        ck_assert(worker_hear(&worker, &refused));
        ck_assert_uint_eq(refused, 1);
        ck_assert(worker_join(&worker));
        sleep_us(60000);
        ck_ok(ledger_step(env, NULL, &seq));
    }
    ck_ok(kv_env_close(env));
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("processes_namespaces");

    harness_add(s, "readers", reader_in_another_namespace_holds_its_snapshot_until_it_dies);
    harness_add(s, "readers", death_of_one_is_not_taken_for_the_death_of_another_with_its_pid);
    harness_add(s, "writers",
                writer_lock_of_another_namespace_is_respected_and_ends_with_its_holder);
    harness_add(s, "writers",
                writers_of_several_namespaces_share_one_ledger_and_outlive_each_other);
    harness_add(s, "paths", same_folder_under_another_path_is_the_same_database);
    harness_add(s, "paths", data_file_without_its_lock_file_is_no_way_to_a_second_writer);
    return s;
}

HARNESS_MAIN(suite)
