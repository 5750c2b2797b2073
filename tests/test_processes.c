/* SPDX-License-Identifier: MIT */
/*
 * Several processes at work on one database, and kill -9 at any moment: what had been committed
 * stays, nothing is there in part, survivors go on at once, and what the dead one held is free.
 *
 * Writers do ledger steps (ledger.h) and tell each number after its commit returned; so the content
 * of the file can be compared with what was told. The moments are random in time; seeds give who is
 * killed and after how long.
 */
#include "harness.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "kv.h"
#include "ledger.h"
#include "worker.h"

enum {
    CREW = 4, /* processes at work: writers, one reader, one that opens and closes */
    STEPS_MAX = 1 << 20,
    PATIENCE_MS = 60000 /* far beyond what anything here takes */
};

static uint64_t now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- Work ---- */

struct job {
    const char *path;
    struct kv_options options;
    uint64_t seed;
};

/* One step of the ledger, or something that must leave no trace. */
static int write_something(struct worker *self, struct kv_env *env, struct rng *rng)
{
    struct kv_txn *txn;
    uint64_t seq;
    int rc;

    if (rng_chance(rng, 85)) {
        rc = ledger_step(env, NULL, &seq);
        if (!rc)
            worker_tell(self, seq);
        return rc;
    }
    if (rng_chance(rng, 50))
        return kv_env_sync(env);
    rc = kv_txn_begin(env, KV_WRITE, NULL, &txn);
    if (rc)
        return rc;
    rc = ledger_change(txn, &seq);
    kv_txn_abort(txn);
    return rc;
}

static int complain(const char *who, int rc)
{
    if (rc)
        fprintf(stderr, "%s: %s; %s\n", who, kv_strerror(rc), kv_error_text());
    return rc;
}

static int write_on(struct worker *self)
{
    const struct job *job = self->context;
    struct rng rng;
    struct kv_env *env;
    int rc = kv_env_open(job->path, &job->options, &env);

    rng_init(&rng, job->seed);
    while (!rc)
        rc = write_something(self, env, &rng);
    return complain("writer", rc);
}

/* Reads all there is, again and again; what was seen once is never gone again. */
static int read_on(struct worker *self)
{
    const struct job *job = self->context;
    struct kv_env *env;
    uint64_t seq;
    uint64_t seen = 0;
    int rc = kv_env_open(job->path, &job->options, &env);

    while (!rc) {
        rc = ledger_verify_newest(env, &seq);
        if (!rc && seq < seen) {
            fprintf(stderr, "reader: step %llu after %llu\n", (unsigned long long)seq,
                    (unsigned long long)seen);
            return 1;
        }
        seen = seq;
    }
    return complain("reader", rc);
}

static int come_and_go(struct worker *self)
{
    const struct job *job = self->context;
    struct rng rng;
    struct kv_env *env;
    int rc = 0;

    rng_init(&rng, job->seed);
    while (!rc) {
        rc = kv_env_open(job->path, &job->options, &env);
        for (uint64_t i = rng_below(&rng, 3); !rc && i > 0; i--)
            rc = write_something(self, env, &rng);
        if (!rc)
            rc = kv_env_close(env);
    }
    return complain("one who comes and goes", rc);
}

/* ---- A crew and its overseer ---- */

struct crew {
    struct worker workers[CREW];
    bool living[CREW];
    struct job job;
    struct rng rng;
    uint8_t *told; /* steps 1 ... STEPS_MAX - 1 */
    uint64_t told_max;
    uint64_t told_count;
    uint64_t kills;
};

static worker_body *const crew_work[CREW] = {write_on, write_on, come_and_go, read_on};

static void crew_heard(void *context, uint64_t seq)
{
    struct crew *crew = context;

    ck_assert_uint_gt(seq, 0);
    ck_assert_uint_lt(seq, STEPS_MAX);
    ck_assert_msg(!crew->told[seq], "step %llu was committed twice", (unsigned long long)seq);
    crew->told[seq] = 1;
    crew->told_count++;
    if (seq > crew->told_max)
        crew->told_max = seq;
}

static void crew_hire(struct crew *crew, unsigned who)
{
    crew->job.seed = rng_next(&crew->rng);
    worker_start(&crew->workers[who], crew_work[who], &crew->job);
    crew->living[who] = true;
}

static void crew_kill(struct crew *crew, unsigned who)
{
    worker_kill(&crew->workers[who], crew_heard, crew);
    crew->living[who] = false;
    crew->kills++;
}

/* Hears what the living tell until that is `count` more, or for so long. */
static void crew_hear(struct crew *crew, uint64_t count, unsigned for_ms)
{
    uint64_t end = now_ms() + for_ms;
    uint64_t goal = crew->told_count + count;
    uint64_t seq;

    while (crew->told_count < goal && now_ms() <= end) {
        for (unsigned i = 0; i < CREW; i++)
            while (crew->living[i] && worker_hear_for(&crew->workers[i], 0, &seq))
                crew_heard(crew, seq);
        sleep_us(200);
    }
}

/* Others commit more than they could have told already. */
static void crew_must_go_on(struct crew *crew)
{
    uint64_t before;

    crew_hear(crew, STEPS_MAX, 0);
    before = crew->told_count;
    crew_hear(crew, CREW + 2, PATIENCE_MS);
    ck_assert_uint_ge(crew->told_count, before + CREW + 2);
}

static void crew_init(struct crew *crew, const char *path, enum kv_durability durability,
                      uint64_t seed)
{
    static const struct kv_options defaults = KV_OPTIONS_INIT;

    memset(crew, 0, sizeof(*crew));
    crew->told = calloc(1, STEPS_MAX);
    ck_assert_ptr_nonnull(crew->told);
    crew->job.path = path;
    crew->job.options = defaults;
    crew->job.options.flags = KV_CREATE;
    crew->job.options.durability = durability;
    crew->job.options.lazy_sync_ms = 20;
    rng_seed(&crew->rng, "crew", seed);
}

/* All that was told is there, nothing is there in part, the file is sound; each one who was killed
 * may have committed one step and not told it. */
static void crew_compare(const struct crew *crew, struct kv_env *env)
{
    struct kv_env_info info;
    uint64_t seq;

    ck_ok(ledger_check(env));
    ck_ok(ledger_verify_newest(env, &seq));
    ck_assert_uint_ge(seq, crew->told_max);
    ck_assert_uint_ge(seq, crew->told_count);
    ck_assert_uint_le(seq, crew->told_count + crew->kills);
    ck_ok(kv_env_info(env, &info));
    ck_assert_uint_eq(info.processes, 1);
    ck_assert_uint_eq(info.readers, 0);
    ck_assert_uint_eq(info.txnid_rolled_back, 0);
}

/* Some are killed while others go on, then all; then one opens alone and looks. */
static void crew_round(struct crew *crew, unsigned kills)
{
    struct kv_env *env;

    for (unsigned i = 0; i < CREW; i++)
        crew_hire(crew, i);
    crew_must_go_on(crew);
    for (unsigned i = 0; i < kills; i++) {
        unsigned who = (unsigned)rng_below(&crew->rng, CREW);

        sleep_us(rng_below(&crew->rng, 20000));
        crew_kill(crew, who);
        crew_must_go_on(crew);
        crew_hire(crew, who);
    }
    sleep_us(rng_below(&crew->rng, 20000));
    for (unsigned i = 0; i < CREW; i++)
        crew_kill(crew, i);
    ck_ok(kv_env_open(crew->job.path, &crew->job.options, &env));
    crew_compare(crew, env);
    ck_ok(kv_env_close(env));
}

static void crew_season(enum kv_durability durability, uint64_t seed)
{
    struct crew crew;
    uint64_t rounds = scaled(8);

    tmp_clear();
    crew_init(&crew, tmp_path("crew.db"), durability, seed);
    for (uint64_t i = 0; i < rounds; i++)
        crew_round(&crew, 6);
    printf("%llu steps, %llu kills\n", (unsigned long long)crew.told_max,
           (unsigned long long)crew.kills);
    free(crew.told);
}

START_TEST(durable_commits_outlive_kills_at_any_moment)
{
    crew_season(KV_DURABLE, 1);
}
END_TEST

/* The machine lives, and with it the page cache and the lock file: nothing may be lost. */
START_TEST(lazy_commits_outlive_kills_at_any_moment)
{
    crew_season(KV_LAZY, 2);
}
END_TEST

START_TEST(commits_without_durable_points_outlive_kills_at_any_moment)
{
    crew_season(KV_NONE, 3);
}
END_TEST

/* ---- What the dead held ---- */

static int hold_writer_lock(struct worker *self)
{
    struct kv_env *env;
    struct kv_txn *txn;
    uint64_t seq;
    int rc = kv_env_open(self->context, NULL, &env);

    if (!rc)
        rc = kv_txn_begin(env, KV_WRITE, NULL, &txn);
    if (!rc)
        rc = ledger_change(txn, &seq);
    if (complain("holder", rc))
        return rc;
    worker_tell(self, seq);
    (void)worker_hear(self, &seq);
    return complain("holder", kv_txn_commit(txn));
}

static const char *make_ledger(unsigned steps)
{
    const char *path = tmp_path("ledger.db");
    struct kv_options options = KV_OPTIONS_INIT;
    struct kv_env *env;
    uint64_t seq;

    tmp_clear();
    options.flags = KV_CREATE;
    options.durability = KV_LAZY;
    ck_ok(kv_env_open(path, &options, &env));
    for (unsigned i = 0; i < steps; i++)
        ck_ok(ledger_step(env, NULL, &seq));
    ck_ok(kv_env_close(env));
    return path;
}

START_TEST(writer_lock_of_a_killed_process_is_free_at_once)
{
    const char *path = make_ledger(3);
    struct kv_txn_options patience = {.timeout_ms = PATIENCE_MS};
    struct kv_txn *txn;
    struct kv_env *env;
    struct worker holder;
    uint64_t seq;

    worker_start(&holder, hold_writer_lock, (void *)path);
    ck_assert(worker_hear(&holder, &seq));
    ck_ok(kv_env_open(path, NULL, &env));
    ck_rc(kv_txn_begin(env, KV_WRITE | KV_TRY, NULL, &txn), KV_EBUSY);
    worker_kill(&holder, NULL, NULL);
    ck_ok(kv_txn_begin(env, KV_WRITE | KV_TRY, NULL, &txn));
    kv_txn_abort(txn);
    ck_ok(ledger_step(env, &patience, &seq));
    ck_assert_uint_eq(seq, 4);
    ck_ok(ledger_verify_newest(env, &seq));
    ck_ok(ledger_check(env));
    ck_ok(kv_env_close(env));
}
END_TEST

/* A stopped process is slow, not dead: nobody takes what it holds. */
START_TEST(stopped_process_keeps_its_writer_lock)
{
    const char *path = make_ledger(3);
    struct kv_txn_options hurry = {.timeout_ms = 300};
    struct kv_txn *txn;
    struct kv_env *env;
    struct worker holder;
    uint64_t seq;

    worker_start(&holder, hold_writer_lock, (void *)path);
    ck_assert(worker_hear(&holder, &seq));
    ck_ok(kv_env_open(path, NULL, &env));
    ck_assert_int_eq(kill(holder.pid, SIGSTOP), 0);
    ck_rc(kv_txn_begin(env, KV_WRITE, &hurry, &txn), KV_ETIMEOUT);
    ck_assert_int_eq(kill(holder.pid, SIGCONT), 0);
    worker_tell(&holder, 0);
    ck_assert(worker_join(&holder));
    ck_ok(ledger_verify_newest(env, &seq));
    ck_assert_uint_eq(seq, 4);
    ck_ok(ledger_step(env, NULL, &seq));
    ck_ok(ledger_check(env));
    ck_ok(kv_env_close(env));
}
END_TEST

enum { PINS = 40 };

static int hold_snapshots(struct worker *self)
{
    struct kv_env *env;
    struct kv_txn *txn;
    uint64_t seq = 0;
    int rc = kv_env_open(self->context, NULL, &env);

    for (unsigned i = 0; !rc && i < PINS; i++)
        rc = kv_txn_begin(env, KV_READ, NULL, &txn);
    if (!rc)
        rc = ledger_verify(txn, &seq);
    if (complain("holder of snapshots", rc))
        return rc;
    worker_tell(self, seq);
    (void)worker_hear(self, &seq);
    return complain("holder of snapshots", ledger_verify(txn, &seq));
}

struct reader_count {
    unsigned living;
    unsigned dead;
    pid_t pid;
};

static int count_reader(void *context, const struct kv_reader *reader)
{
    struct reader_count *count = context;

    if (reader->alive)
        count->living++;
    else
        count->dead++;
    return reader->pid == count->pid ? 0 : KV_EINVAL;
}

START_TEST(readers_of_a_killed_process_are_told_dead_and_hold_no_pages)
{
    const char *path = make_ledger(30);
    struct reader_count count = {0, 0, 0};
    struct kv_env_info info;
    struct kv_env *env;
    struct worker holder;
    uint64_t seq;
    uint64_t size_bytes;

    worker_start(&holder, hold_snapshots, (void *)path);
    ck_assert(worker_hear(&holder, &seq));
    ck_ok(kv_env_open(path, NULL, &env));
    count.pid = holder.pid;
    ck_ok(kv_env_readers(env, count_reader, &count));
    ck_assert_uint_eq(count.living, PINS);
    ck_assert_uint_eq(count.dead, 0);
    worker_kill(&holder, NULL, NULL);
    count.living = 0;
    ck_ok(kv_env_readers(env, count_reader, &count));
    ck_assert_uint_eq(count.living, 0);
    for (unsigned i = 0; i < 40; i++)
        ck_ok(ledger_step(env, NULL, &seq));
    ck_ok(kv_env_info(env, &info));
    ck_assert_uint_eq(info.readers, 0);
    size_bytes = info.file_size_bytes;
    for (unsigned i = 0; i < 100; i++)
        ck_ok(ledger_step(env, NULL, &seq));
    ck_ok(kv_env_info(env, &info));
    ck_assert_uint_le(info.file_size_bytes, size_bytes * 2);
    ck_ok(ledger_check(env));
    ck_ok(kv_env_close(env));
}
END_TEST

START_TEST(slots_of_a_killed_process_are_free_at_once)
{
    const char *path = make_ledger(1);
    struct kv_options options = KV_OPTIONS_INIT;
    struct kv_txn *txns[PINS];
    struct kv_txn *one_more;
    struct kv_env *env;
    struct worker holder;
    uint64_t seq;

    options.max_readers = PINS;
    worker_start(&holder, hold_snapshots, (void *)path);
    ck_assert(worker_hear(&holder, &seq));
    ck_ok(kv_env_open(path, &options, &env));
    ck_rc(kv_txn_begin(env, KV_READ, NULL, &one_more), KV_EREADERS);
    worker_kill(&holder, NULL, NULL);
    for (unsigned i = 0; i < PINS; i++)
        ck_ok(kv_txn_begin(env, KV_READ, NULL, &txns[i]));
    ck_rc(kv_txn_begin(env, KV_READ, NULL, &one_more), KV_EREADERS);
    for (unsigned i = 0; i < PINS; i++)
        kv_txn_abort(txns[i]);
    ck_ok(kv_env_close(env));
}
END_TEST

START_TEST(stopped_reader_keeps_its_snapshot)
{
    const char *path = make_ledger(10);
    struct kv_env *env;
    struct worker holder;
    uint64_t seq;

    worker_start(&holder, hold_snapshots, (void *)path);
    ck_assert(worker_hear(&holder, &seq));
    ck_assert_int_eq(kill(holder.pid, SIGSTOP), 0);
    ck_ok(kv_env_open(path, NULL, &env));
    for (unsigned i = 0; i < 60; i++)
        ck_ok(ledger_step(env, NULL, &seq));
    ck_assert_int_eq(kill(holder.pid, SIGCONT), 0);
    worker_tell(&holder, 0);
    ck_assert_msg(worker_join(&holder), "the stopped reader's snapshot was changed");
    ck_ok(kv_env_close(env));
}
END_TEST

/* ---- Alone ---- */

static int hold_exclusively(struct worker *self)
{
    struct kv_options options = KV_OPTIONS_INIT;
    struct kv_env *env;
    uint64_t word;
    int rc;

    options.flags = KV_EXCLUSIVE;
    rc = kv_env_open(self->context, &options, &env);
    if (complain("exclusive user", rc))
        return rc;
    worker_tell(self, 1);
    (void)worker_hear(self, &word);
    return kv_env_close(env);
}

START_TEST(exclusive_user_is_alone_until_it_dies)
{
    const char *path = make_ledger(2);
    struct kv_options options = KV_OPTIONS_INIT;
    struct kv_env *env;
    struct kv_env *second;
    struct worker holder;
    uint64_t word;

    worker_start(&holder, hold_exclusively, (void *)path);
    ck_assert(worker_hear(&holder, &word));
    ck_rc(kv_env_open(path, NULL, &env), KV_EBUSY);
    ck_assert_str_ne(kv_error_text(), "");
    worker_kill(&holder, NULL, NULL);
    ck_ok(kv_env_open(path, NULL, &env));
    options.flags = KV_EXCLUSIVE;
    ck_rc(kv_env_open(path, &options, &second), KV_EBUSY);
    ck_ok(kv_env_close(env));
    ck_ok(kv_env_open(path, &options, &env));
    ck_ok(kv_env_close(env));
}
END_TEST

/* Many that want to make the same database at once all get the same one. */
static int create_and_step(struct worker *self)
{
    struct kv_options options = KV_OPTIONS_INIT;
    struct kv_env *env;
    uint64_t seq;
    int rc;

    options.flags = KV_CREATE;
    (void)worker_hear(self, &seq);
    rc = kv_env_open(self->context, &options, &env);
    if (!rc)
        rc = ledger_step(env, NULL, &seq);
    if (!rc)
        rc = kv_env_close(env);
    return complain("creator", rc);
}

START_TEST(creators_at_once_share_one_database)
{
    enum { CREATORS = 5 };
    struct worker creators[CREATORS];

    for (uint64_t round = 0; round < scaled(10); round++) {
        const char *path = tmp_path("new.db");
        struct kv_env *env;
        uint64_t seq;

        tmp_clear();
        for (unsigned i = 0; i < CREATORS; i++)
            worker_start(&creators[i], create_and_step, (void *)path);
        for (unsigned i = 0; i < CREATORS; i++)
            worker_tell(&creators[i], 0);
        for (unsigned i = 0; i < CREATORS; i++)
            ck_assert(worker_join(&creators[i]));
        ck_ok(kv_env_open(path, NULL, &env));
        ck_ok(ledger_verify_newest(env, &seq));
        ck_assert_uint_eq(seq, CREATORS);
        ck_ok(ledger_check(env));
        ck_ok(kv_env_close(env));
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("processes");

    harness_add(s, "held", writer_lock_of_a_killed_process_is_free_at_once);
    harness_add(s, "held", stopped_process_keeps_its_writer_lock);
    harness_add(s, "held", readers_of_a_killed_process_are_told_dead_and_hold_no_pages);
    harness_add(s, "held", slots_of_a_killed_process_are_free_at_once);
    harness_add(s, "held", stopped_reader_keeps_its_snapshot);
    harness_add(s, "alone", exclusive_user_is_alone_until_it_dies);
    harness_add(s, "alone", creators_at_once_share_one_database);
    harness_add(s, "kills", durable_commits_outlive_kills_at_any_moment);
    harness_add(s, "kills", lazy_commits_outlive_kills_at_any_moment);
    harness_add(s, "kills", commits_without_durable_points_outlive_kills_at_any_moment);
    return s;
}

HARNESS_MAIN(suite)
