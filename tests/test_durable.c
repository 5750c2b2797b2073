/* SPDX-License-Identifier: MIT */
/*
 * Durable points while processes live: what is written and flushed in which order, failed flushes,
 * flushers that die, killed users, the live set, the last close, cutting the file.
 */
#include "recover_db.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fault_os.h"
#include "harness.h"
#include "txn/durable.h"
#include "txn/lockfile_layout.h"
#include "txn/recover.h"

enum {
    SMALL = 100,
    BIG = 5 << 20 /* more than one flush may cover */
};

static const char *path;
static struct kv_env *env;

static void start(void)
{
    tmp_clear();
    fault_install();
    path = tmp_path("a.db");
    env = db_open(path, KV_CREATE);
    for (unsigned key = 0; key < 50; key++)
        db_put(env, key, 1, SMALL);
}

static void stop(void)
{
    if (env)
        db_close(env);
    env = NULL;
    fault_remove();
}

static void reopen(void)
{
    db_close(env);
    env = db_open(path, 0);
}

static void metas(struct kvi_meta meta[2])
{
    struct db_image image = db_load(path);

    ck_assert_int_eq(db_meta(&image, 0, &meta[0]), KVI_META_OK);
    ck_assert_int_eq(db_meta(&image, 1, &meta[1]), KVI_META_OK);
    db_release(&image);
}

static uint64_t durable_txnid(void)
{
    struct kv_env_info info;

    ck_ok(kv_env_info(env, &info));
    return info.txnid_durable;
}

/* ---- What a point writes ---- */

START_TEST(points_alternate_between_the_slots_and_name_their_base)
{
    struct kvi_meta meta[2];
    uint64_t txnid = db_txnid(env);

    for (unsigned i = 0; i < 4; i++) {
        unsigned newest;

        db_put(env, 1, 2 + i, SMALL);
        metas(meta);
        newest = meta[1].txnid > meta[0].txnid;
        ck_assert_uint_eq(meta[newest].txnid, txnid + 1);
        ck_assert_uint_eq(meta[1 - newest].txnid, txnid);
        ck_assert_uint_eq(meta[newest].base, txnid);
        txnid++;
    }
}
END_TEST

START_TEST(a_small_commit_is_one_flush_and_a_large_one_two)
{
    struct kvi_meta meta[2];

    fault_arm(FAULT_FLUSH, 0, 0);
    db_put(env, 1, 2, SMALL);
    ck_assert_uint_eq(fault_count(FAULT_FLUSH), 1);
    fault_arm(FAULT_FLUSH, 0, 0);
    db_put(env, 1, 3, BIG);
    ck_assert_uint_eq(fault_count(FAULT_FLUSH), 2);
    metas(meta);
    ck_assert(kvi_meta_sealed(&meta[meta[1].txnid > meta[0].txnid]));
    fault_arm(FAULT_FLUSH, 0, 0);
    db_put(env, 1, 4, SMALL);
    ck_assert_uint_eq(fault_count(FAULT_FLUSH), 1);
}
END_TEST

START_TEST(pages_are_handed_over_before_the_meta_and_flushed_after)
{
    size_t meta_at = 0;
    size_t flush_at = 0;

    recorder_reset();
    fault_record(true);
    db_put(env, 1, 2, SMALL);
    fault_record(false);
    for (size_t i = 0; i < recorder_count(); i++) {
        const struct record *record = recorder_get(i);

        if (record->kind == RECORD_WRITE && record->size_bytes == KVI_META_BYTES)
            meta_at = i;
        if (record->kind == RECORD_FLUSH)
            flush_at = i;
        ck_assert(record->kind != RECORD_WRITE || meta_at == 0 || meta_at == i);
    }
    ck_assert_uint_gt(meta_at, 0);
    ck_assert_uint_eq(flush_at, meta_at + 1);
}
END_TEST

START_TEST(lazy_commits_are_visible_at_once_and_flushed_by_sync)
{
    uint64_t durable = durable_txnid();

    fault_arm(FAULT_FLUSH, 0, 0);
    for (unsigned i = 0; i < 10; i++)
        db_put_lazy(env, 1, 2 + i, SMALL);
    ck_assert_uint_eq(fault_count(FAULT_FLUSH), 0);
    ck_assert_uint_eq(db_version(env, 1), 11);
    ck_assert_uint_eq(durable_txnid(), durable);
    ck_ok(kv_env_sync(env));
    ck_assert_uint_eq(fault_count(FAULT_FLUSH), 1);
    ck_assert_uint_eq(durable_txnid(), durable + 10);
    ck_ok(kv_env_sync(env));
    ck_assert_uint_eq(fault_count(FAULT_FLUSH), 1);
}
END_TEST

START_TEST(write_back_is_started_early_by_a_writer_that_takes_its_time)
{
    enum { HUGE_VALUE = 65 << 20 };
    struct kv_options options = KV_OPTIONS_INIT;
    struct kv_env *lazy;

    options.lazy_sync_bytes = 0; /* no point by itself */
    options.lazy_sync_ms = 0;
    ck_ok(kv_env_open(path, &options, &lazy));
    fault_arm(FAULT_WRITE_BACK, 0, 0);
    ck_ok(db_try_put(lazy, 1, 2, HUGE_VALUE, KV_LAZY));
    ck_assert_uint_eq(fault_count(FAULT_WRITE_BACK), 0);
    fault_clock_advance(100 * 1000000u);
    ck_ok(db_try_put(lazy, 1, 3, SMALL, KV_LAZY));
    ck_assert_uint_eq(fault_count(FAULT_WRITE_BACK), 1);
    ck_ok(db_try_put(lazy, 1, 4, SMALL, KV_LAZY));
    ck_assert_uint_eq(fault_count(FAULT_WRITE_BACK), 1);
    db_close(lazy);
}
END_TEST

START_TEST(the_first_commit_after_an_open_is_durable_in_every_mode)
{
    uint64_t txnid;

    reopen();
    txnid = durable_txnid();
    ck_assert(kvi_durable_first(env));
    db_put_lazy(env, 1, 2, SMALL);
    ck_assert_uint_eq(durable_txnid(), txnid + 1);
    ck_assert(!kvi_durable_first(env));
    db_put_lazy(env, 1, 3, SMALL);
    ck_assert_uint_eq(durable_txnid(), txnid + 1);
}
END_TEST

/* ---- A flush that could not be begun ---- */

/* The txn has its name by then: an error would say that nothing of it is there. */
START_TEST(a_commit_whose_flush_cannot_be_begun_is_unknown_or_waits_for_the_next)
{
    enum kv_durability durability = _i ? KV_LAZY : KV_DURABLE;
    unsigned unknown = 0;
    uint64_t n = 0;
    bool fired;

    env->options.lazy_sync_bytes = 1;
    do {
        int rc;

        db_put(env, 1, 1, SMALL);
        fault_arm(FAULT_LOCK, ++n, ENOLCK);
        rc = db_try_put(env, 1, 2, SMALL, durability);
        fired = fault_fired();
        fault_disarm();
        unknown += rc == KV_EUNKNOWN;
        db_put(env, 2, 1, SMALL);
        if (rc != KV_EUNKNOWN)
            ck_assert_uint_eq(db_version(env, 1), rc ? 1 : 2);
    } while (fired);
    ck_assert_uint_eq(unknown > 0, durability == KV_DURABLE);
    db_check(env);
}
END_TEST

/* ---- Closing ---- */

START_TEST(the_last_close_leaves_both_slots_at_the_newest_one_sealed)
{
    struct kvi_meta meta[2];
    uint64_t txnid;

    db_put_lazy(env, 1, 2, SMALL);
    txnid = db_txnid(env);
    db_close(env);
    metas(meta);
    ck_assert_uint_eq(meta[0].txnid, txnid);
    ck_assert_uint_eq(meta[1].txnid, txnid);
    ck_assert(kvi_meta_sealed(&meta[0]) || kvi_meta_sealed(&meta[1]));
    ck_assert_uint_eq(file_size(path), meta[0].page_end * 4096);
    env = db_open(path, 0);
    ck_assert_uint_eq(db_version(env, 1), 2);
}
END_TEST

START_TEST(a_close_that_is_not_the_last_seals_nothing)
{
    struct kv_env *other = db_open(path, 0);
    struct kvi_meta meta[2];

    db_put_lazy(env, 1, 2, SMALL);
    db_close(other);
    metas(meta);
    ck_assert_uint_ne(meta[0].txnid, meta[1].txnid);
}
END_TEST

START_TEST(a_close_whose_flush_fails_says_so_and_loses_nothing_in_memory)
{
    db_put_lazy(env, 1, 2, SMALL);
    fault_arm(FAULT_FLUSH, (uint64_t)_i + 1, EIO);
    ck_assert_int_ne(kv_env_close(env), 0);
    ck_assert(fault_fired());
    fault_disarm();
    env = db_open(path, 0);
    /* The first is the point's: then either is right. The second is the seal's. */
    ck_assert_uint_ge(db_version(env, 1), _i == 0 ? 1 : 2);
    db_check(env);
    db_put(env, 1, 3, SMALL);
}
END_TEST

/* ---- Failed flushes ---- */

/* The nth flush of a commit of `bytes` fails, or the meta's write. */
static void poison(enum fault_call call, uint64_t nth, size_t bytes)
{
    fault_arm(call, nth, EIO);
    ck_rc(db_try_put(env, 1, 2, bytes, KV_DURABLE), KV_EUNKNOWN);
    ck_assert(fault_fired());
    fault_disarm();
    ck_assert_uint_eq(atomic_load(&env->shared->poison), KVI_POISON_FLUSH);
}

static void after_poison(uint64_t txnid)
{
    ck_assert_uint_eq(db_version(env, 1), 1);
    ck_rc(kv_env_sync(env), KV_EPOISONED);
    db_put(env, 2, 3, SMALL);
    ck_assert_uint_eq(atomic_load(&env->shared->poison), 0);
    ck_assert_uint_eq(db_version(env, 1), 1);
    ck_assert_uint_eq(db_version(env, 2), 3);
    ck_assert_uint_gt(db_txnid(env), txnid + 1);
    db_check(env);
    reopen();
    ck_assert_uint_eq(db_version(env, 1), 1);
    ck_assert_uint_eq(db_version(env, 2), 3);
}

START_TEST(after_a_failed_flush_the_next_writer_goes_back_to_the_durable_snapshot)
{
    uint64_t txnid = db_txnid(env);

    poison(FAULT_FLUSH, 1, SMALL);
    after_poison(txnid);
}
END_TEST

START_TEST(a_large_commit_may_fail_in_either_flush)
{
    uint64_t txnid = db_txnid(env);

    poison(FAULT_FLUSH, (uint64_t)_i + 1, BIG);
    after_poison(txnid);
}
END_TEST

START_TEST(a_meta_that_cannot_be_written_poisons_as_well)
{
    uint64_t txnid = db_txnid(env);

    poison(FAULT_WRITE, 1, SMALL);
    after_poison(txnid);
}
END_TEST

START_TEST(lazy_commits_since_the_durable_one_go_with_a_failed_flush)
{
    db_put_lazy(env, 3, 2, SMALL);
    fault_arm(FAULT_FLUSH, 1, EIO);
    ck_rc(kv_env_sync(env), KV_EUNKNOWN);
    fault_disarm();
    ck_assert_uint_eq(db_version(env, 3), 2); /* readers go on */
    db_put(env, 4, 2, SMALL);
    ck_assert_uint_eq(db_version(env, 3), 1);
    ck_assert_uint_ne(db_rolled_back(env), 0);
    db_check(env);
}
END_TEST

START_TEST(a_reader_of_a_snapshot_that_was_given_up_keeps_it)
{
    struct kv_txn *txn;
    char name[] = "key-000003";
    struct kv_val key = {sizeof(name) - 1, name};
    struct kv_val value;
    unsigned version;

    db_put_lazy(env, 3, 2, SMALL);
    ck_ok(kv_txn_begin(env, KV_READ, NULL, &txn));
    fault_arm(FAULT_FLUSH, 1, EIO);
    ck_rc(kv_env_sync(env), KV_EUNKNOWN);
    fault_disarm();
    for (unsigned i = 0; i < 60; i++)
        db_put(env, i % 50, 5 + i, SMALL);
    ck_ok(kv_get(txn, KV_MAIN_TABLE, &key, &value));
    memcpy(&version, value.data, sizeof(version));
    ck_assert_uint_eq(version, 2);
    kv_txn_abort(txn);
}
END_TEST

START_TEST(as_long_as_going_back_fails_every_write_fails)
{
    uint64_t txnid = db_txnid(env);

    poison(FAULT_FLUSH, 1, SMALL);
    fault_arm_from(FAULT_FLUSH, 1, EIO);
    ck_rc(db_try_put(env, 2, 3, SMALL, KV_DURABLE), KV_EPOISONED);
    ck_rc(db_try_put(env, 2, 3, SMALL, KV_LAZY), KV_EPOISONED);
    fault_disarm();
    after_poison(txnid);
}
END_TEST

START_TEST(another_env_sees_the_poison_and_may_end_it)
{
    struct kv_env *other = db_open(path, 0);

    poison(FAULT_FLUSH, 1, SMALL);
    ck_rc(kv_env_sync(other), KV_EPOISONED);
    db_put(other, 2, 3, SMALL);
    ck_assert_uint_eq(db_version(env, 2), 3);
    db_put(env, 2, 4, SMALL);
    db_close(other);
}
END_TEST

static void poison_and_die(void *context)
{
    struct kv_env *mine = db_open(path, 0);

    (void)context;
    db_put(mine, 1, 7, SMALL);
    db_put_lazy(mine, 2, 7, SMALL);
    fault_arm(FAULT_FLUSH, 1, EIO);
    ck_rc(db_try_put(mine, 3, 7, SMALL, KV_DURABLE), KV_EUNKNOWN);
}

START_TEST(after_poison_and_death_the_slots_alone_decide)
{
    db_close(env);
    db_child_killed(poison_and_die, NULL);
    env = db_open(path, 0);
    ck_assert_uint_eq(db_version(env, 1), 7);
    /* The meta of the failed one may stand in its slot, whole: either outcome, but all or nothing.
     */
    ck_assert_uint_eq(db_version(env, 2), db_version(env, 3));
    db_check(env);
    db_put(env, 4, 7, SMALL);
}
END_TEST

/* ---- Dead flushers ---- */

static void die_in_flush(void *context)
{
    struct kv_env *mine = db_open(path, 0);

    db_put_lazy(mine, 1, 8, SMALL);
    fault_arm(FAULT_FLUSH, *(const uint64_t *)context, FAULT_KILL);
    (void)db_try_put(mine, 2, 8, *(const uint64_t *)context == 1 ? SMALL : BIG, KV_DURABLE);
}

START_TEST(an_announcement_of_a_dead_flusher_is_taken_over)
{
    uint64_t nth = (uint64_t)_i + 1;
    struct kvi_meta meta[2];
    unsigned x;

    db_child_killed(die_in_flush, &nth);
    ck_assert_uint_ne(atomic_load(&env->shared->announcement), 0);
    ck_assert_uint_ne(atomic_load(&env->shared->announced), 0);
    x = (unsigned)(atomic_load(&env->shared->announcement) & 3) - 1;
    ck_assert_uint_eq(db_version(env, 1), 8);
    fault_arm(FAULT_FLUSH, 0, 0);
    ck_ok(kv_env_sync(env));
    ck_assert_uint_ge(fault_count(FAULT_FLUSH), 2); /* one for taking over, then the point */
    ck_assert_uint_eq(atomic_load(&env->shared->announcement), 0);
    ck_assert_uint_eq(db_version(env, 2), 8);
    metas(meta);
    ck_assert_uint_eq(meta[0].txnid > meta[1].txnid ? meta[0].txnid : meta[1].txnid, db_txnid(env));
    ck_assert_uint_le(x, 1);
    db_put(env, 3, 8, SMALL);
    db_check(env);
    reopen();
    ck_assert_uint_eq(db_version(env, 2), 8);
}
END_TEST

START_TEST(a_commit_takes_over_as_well)
{
    uint64_t nth = 1;

    db_child_killed(die_in_flush, &nth);
    db_put(env, 3, 9, SMALL);
    ck_assert_uint_eq(atomic_load(&env->shared->announcement), 0);
    ck_assert_uint_eq(db_version(env, 2), 8);
    ck_assert_uint_eq(db_version(env, 3), 9);
    db_check(env);
}
END_TEST

START_TEST(what_was_announced_is_live_until_it_was_taken_over)
{
    uint64_t nth = 1;
    uint64_t announced;
    struct kvi_live live;
    bool found = false;

    db_child_killed(die_in_flush, &nth);
    announced = atomic_load(&env->shared->announced);
    for (unsigned i = 0; i < 20; i++)
        db_put_lazy(env, i, 9, SMALL);
    ck_ok(kvi_live_collect(env, &live));
    for (size_t i = 0; i < live.count; i++)
        found |= live.snapshots[i].word == announced;
    ck_assert(found);
    kvi_live_release(&live);
    ck_ok(kv_env_sync(env));
    ck_assert_uint_eq(db_version(env, 19), 9);
    db_check(env);
}
END_TEST

/* The dead one's flush had failed unseen, and the cache has dropped a page since. */
START_TEST(a_takeover_that_finds_pages_lost_poisons)
{
    uint64_t nth = 1;
    struct kvi_snapshot committed;
    struct kvi_snapshot durable;
    uint8_t zeros[4096] = {0};

    db_child_killed(die_in_flush, &nth);
    ck_ok(kvi_snapshot_load(env, atomic_load(&env->shared->committed), &committed));
    ck_ok(kvi_snapshot_load(env, atomic_load(&env->shared->durable), &durable));
    ck_assert_uint_ne(committed.snap.main.root.pgno, durable.snap.main.root.pgno);
    ck_ok(kvi_os->write_at(env->fd, zeros, sizeof(zeros), committed.snap.main.root.pgno * 4096));
    ck_rc(kv_env_sync(env), KV_EUNKNOWN);
    db_put(env, 3, 9, SMALL);
    ck_assert_uint_eq(db_version(env, 2), 1);
    ck_assert_uint_eq(db_version(env, 3), 9);
    db_check(env);
}
END_TEST

START_TEST(a_takeover_whose_flush_fails_poisons)
{
    uint64_t nth = 1;

    db_child_killed(die_in_flush, &nth);
    fault_arm(FAULT_FLUSH, 1, EIO);
    ck_rc(kv_env_sync(env), KV_EUNKNOWN);
    fault_disarm();
    db_put(env, 3, 9, SMALL);
    ck_assert_uint_eq(db_version(env, 3), 9);
    db_check(env);
}
END_TEST

/* ---- Killed users ---- */

struct work {
    uint64_t nth;   /* call at which it is killed */
    int reports[2]; /* pipe: one byte for each commit that returned */
};

static void report(const struct work *work, char byte)
{
    ck_assert_int_eq(write(work->reports[1], &byte, 1), 1);
}

static void work_until_killed(void *context)
{
    const struct work *work = context;
    struct kv_env *mine;

    close(work->reports[0]);
    fault_arm(FAULT_ANY, work->nth, FAULT_KILL);
    mine = db_open(path, 0);
    for (unsigned i = 1; i <= 6; i++) {
        ck_ok(db_try_put(mine, 7, 100 + i, i == 4 ? 20000 : SMALL, i % 2 ? KV_DURABLE : KV_NONE));
        report(work, (char)i);
    }
    ck_ok(kv_env_sync(mine));
    db_close(mine);
    report(work, 'x');
}

/* Runs the child; returns how many of its commits had returned, *closed tells that it came to its
 * end. */
static unsigned killed_at(uint64_t nth, bool *closed)
{
    struct work work = {.nth = nth};
    unsigned commits = 0;
    char byte;

    *closed = false;
    ck_assert_int_eq(pipe(work.reports), 0);
    db_child_killed(work_until_killed, &work);
    close(work.reports[1]);
    while (read(work.reports[0], &byte, 1) == 1) {
        if (byte == 'x')
            *closed = true;
        else
            commits = (unsigned)byte;
    }
    close(work.reports[0]);
    return commits;
}

/* A process that dies loses none of its commits, lazy or not, and blocks nobody. */
static void expect_commits(unsigned commits)
{
    unsigned version = db_version(env, 7);

    ck_assert_msg(version == 1 ? commits == 0 : version >= 100 + commits,
                  "%u commits had returned, version %u is there", commits, version);
    db_check(env);
    db_put(env, 8, 9, SMALL);
    db_put(env, 7, 1, SMALL);
    db_check(env);
}

START_TEST(killed_at_any_call_with_nobody_else_alive)
{
    bool closed = false;

    for (uint64_t nth = 1; !closed; nth++) {
        unsigned commits;

        db_close(env);
        commits = killed_at(nth, &closed);
        env = db_open(path, 0);
        expect_commits(commits);
        ck_assert_uint_lt(nth, 2000);
    }
}
END_TEST

START_TEST(killed_at_any_call_beside_another_process)
{
    bool closed = false;

    for (uint64_t nth = 1; !closed; nth++) {
        unsigned commits = killed_at(nth, &closed);

        expect_commits(commits);
        ck_assert_uint_lt(nth, 2000);
    }
}
END_TEST

static void lazy_and_die(void *context)
{
    struct kv_env *mine = db_open(path, 0);

    for (unsigned i = 0; i < 300; i++)
        db_put_lazy(mine, i % 40, 1000 + i, SMALL);
    db_put_lazy(mine, 45, 1000, *(const size_t *)context);
}

START_TEST(lazy_commits_of_the_dead_are_found_by_the_lock_file)
{
    size_t bytes = _i ? BIG : SMALL;
    uint64_t txnid;

    db_close(env);
    db_child_killed(lazy_and_die, &bytes);
    env = db_open(path, 0);
    ck_assert_uint_eq(db_version(env, 45), 1000);
    ck_assert_uint_eq(db_version(env, 19), 1299);
    ck_assert_uint_eq(db_rolled_back(env), 0);
    txnid = db_txnid(env);
    ck_assert_uint_eq(durable_txnid(), txnid);
    db_check(env);
    db_close(env);
    db_forget_lock(path);
    env = db_open(path, 0);
    ck_assert_uint_eq(db_txnid(env), txnid);
    ck_assert_uint_eq(db_version(env, 45), 1000);
}
END_TEST

START_TEST(after_a_boot_they_are_gone_and_their_ids_are_not_used_again)
{
    size_t bytes = SMALL;
    uint64_t txnid = db_txnid(env);

    db_close(env);
    db_child_killed(lazy_and_die, &bytes);
    fault_set_boot(77);
    env = db_open(path, 0);
    ck_assert_uint_eq(db_version(env, 45), 1);
    ck_assert_uint_eq(db_txnid(env), txnid + 1); /* the first one was durable */
    db_put(env, 1, 5, SMALL);
    ck_assert_uint_gt(db_txnid(env), txnid + 301);
    db_check(env);
    fault_set_boot(0);
}
END_TEST

START_TEST(a_lock_file_that_does_not_match_the_slots_is_not_believed)
{
    size_t bytes = SMALL;
    struct db_image image;
    struct kvi_meta meta;
    unsigned newest;

    db_close(env);
    db_child_killed(lazy_and_die, &bytes);
    image = db_load(path);
    newest = db_newest(&image);
    ck_assert_int_eq(db_meta(&image, newest, &meta), KVI_META_OK);
    meta.base = meta.txnid;
    db_set_meta(&image, newest, &meta);
    db_store(path, &image);
    db_release(&image);
    env = db_open(path, 0);
    ck_assert_uint_eq(db_version(env, 45), 1);
    db_check(env);
}
END_TEST

/* The word of the newest committed snapshot in a lock file that nobody has open. */
static void scribble_committed(uint64_t word)
{
    const char *lock = tmp_path("a.db-lock");
    size_t bytes;
    uint8_t *data = file_read(lock, &bytes);

    ck_assert_uint_ge(bytes, offsetof(struct kvi_lock_head, shared) + sizeof(struct kvi_shared));
    memcpy(data + offsetof(struct kvi_lock_head, shared.committed), &word, sizeof(word));
    file_write(lock, data, bytes);
    free(data);
}

START_TEST(a_scribbled_word_in_the_lock_file_is_no_candidate)
{
    static const uint64_t words[] = {
        1, 0xFFFF, (uint64_t)16 << 16, (uint64_t)3 << 16 | 5, (uint64_t)1 << 60, UINT64_MAX};
    size_t bytes = SMALL;

    db_close(env);
    db_child_killed(lazy_and_die, &bytes);
    scribble_committed(words[_i]);
    env = db_open(path, 0);
    ck_assert_uint_eq(db_version(env, 45), 1);
    ck_assert_uint_ne(db_rolled_back(env), 0);
    db_put(env, 1, 2, SMALL);
    db_check(env);
}
END_TEST

/* ---- Without locks ---- */

START_TEST(without_locks_envs_see_each_others_commits_and_may_write_in_turn)
{
    struct kv_env *a;
    struct kv_env *b;

    db_close(env);
    a = db_open(path, KV_NOLOCK);
    b = db_open(path, KV_NOLOCK);
    for (unsigned i = 0; i < 30; i++) {
        db_put(i % 3 ? a : b, i % 5, 100 + i, i % 7 ? SMALL : 20000);
        ck_assert_uint_eq(db_version(a, i % 5), 100 + i);
        ck_assert_uint_eq(db_version(b, i % 5), 100 + i);
    }
    db_close(a);
    db_close(b);
    env = db_open(path, 0);
    ck_assert_uint_eq(db_version(env, 4), 129);
    db_check(env);
}
END_TEST

START_TEST(a_memory_database_is_never_flushed)
{
    struct kv_options options = KV_OPTIONS_INIT;
    struct kv_env *memory;

    options.flags = KV_MEMORY;
    fault_arm(FAULT_SYNCS, 0, 0);
    ck_ok(kv_env_open(NULL, &options, &memory));
    ck_ok(db_try_put(memory, 1, 2, SMALL, KV_DURABLE));
    ck_ok(db_try_put(memory, 1, 3, BIG, KV_LAZY));
    ck_ok(kv_env_sync(memory));
    ck_assert_uint_eq(db_version(memory, 1), 3);
    ck_assert_uint_eq(fault_count(FAULT_SYNCS), 0);
    db_close(memory);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("durable");

    harness_add_fixture(s, "point", points_alternate_between_the_slots_and_name_their_base, start,
                        stop);
    harness_add_loop(s, "point",
                     a_commit_whose_flush_cannot_be_begun_is_unknown_or_waits_for_the_next, 0, 2);
    harness_add(s, "point", a_small_commit_is_one_flush_and_a_large_one_two);
    harness_add(s, "point", pages_are_handed_over_before_the_meta_and_flushed_after);
    harness_add(s, "point", lazy_commits_are_visible_at_once_and_flushed_by_sync);
    harness_add(s, "point", write_back_is_started_early_by_a_writer_that_takes_its_time);
    harness_add(s, "point", the_first_commit_after_an_open_is_durable_in_every_mode);
    harness_add_fixture(s, "close", the_last_close_leaves_both_slots_at_the_newest_one_sealed,
                        start, stop);
    harness_add(s, "close", a_close_that_is_not_the_last_seals_nothing);
    harness_add_loop(s, "close", a_close_whose_flush_fails_says_so_and_loses_nothing_in_memory, 0,
                     2);
    harness_add_fixture(s, "poison",
                        after_a_failed_flush_the_next_writer_goes_back_to_the_durable_snapshot,
                        start, stop);
    harness_add_loop(s, "poison", a_large_commit_may_fail_in_either_flush, 0, 2);
    harness_add(s, "poison", a_meta_that_cannot_be_written_poisons_as_well);
    harness_add(s, "poison", lazy_commits_since_the_durable_one_go_with_a_failed_flush);
    harness_add(s, "poison", a_reader_of_a_snapshot_that_was_given_up_keeps_it);
    harness_add(s, "poison", as_long_as_going_back_fails_every_write_fails);
    harness_add(s, "poison", another_env_sees_the_poison_and_may_end_it);
    harness_add(s, "poison", after_poison_and_death_the_slots_alone_decide);
    harness_add_fixture(s, "takeover", a_commit_takes_over_as_well, start, stop);
    harness_add_loop(s, "takeover", an_announcement_of_a_dead_flusher_is_taken_over, 0, 2);
    harness_add(s, "takeover", what_was_announced_is_live_until_it_was_taken_over);
    harness_add(s, "takeover", a_takeover_that_finds_pages_lost_poisons);
    harness_add(s, "takeover", a_takeover_whose_flush_fails_poisons);
    harness_add_fixture(s, "killed", killed_at_any_call_with_nobody_else_alive, start, stop);
    harness_add(s, "killed", killed_at_any_call_beside_another_process);
    harness_add_loop(s, "killed", lazy_commits_of_the_dead_are_found_by_the_lock_file, 0, 2);
    harness_add(s, "killed", after_a_boot_they_are_gone_and_their_ids_are_not_used_again);
    harness_add(s, "killed", a_lock_file_that_does_not_match_the_slots_is_not_believed);
    harness_add_loop(s, "killed", a_scribbled_word_in_the_lock_file_is_no_candidate, 0, 6);
    harness_add_fixture(s, "nolock",
                        without_locks_envs_see_each_others_commits_and_may_write_in_turn, start,
                        stop);
    harness_add(s, "nolock", a_memory_database_is_never_flushed);
    return s;
}

HARNESS_MAIN(suite)
