/* SPDX-License-Identifier: MIT */
/*
 * Crash states: every write and flush of a run is recorded; from the recording the states are made
 * that a power cut could leave on disk; each is opened, checked, and compared with the commits that
 * had returned. None that was reported durable may be lost, none may be there in part.
 *
 * States at every record: all pending writes kept, none kept, random subsets with sectors of 512
 * bytes torn. In front of every flush also: each pending piece lost alone, kept alone, torn alone.
 */
#include "harness.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "fault_os.h"
#include "kinds_help.h"
#include "kv.h"
#include "recorder.h"

enum {
    COMMITS_MAX = 200,
    PIECES_MAX = 512,
    SINGLES_MAX = 12, /* pieces tried alone in front of one flush */
    KEYS = 300,
    VALUE_BYTES_MAX = 9000
};

/* What a run does. */
struct plan {
    const char *name;
    enum kv_durability durability;
    unsigned commits;
    unsigned changes;       /* puts and deletes of a commit, at most */
    unsigned sync_percent;  /* lazy: commits followed by kv_env_sync */
    unsigned large_percent; /* puts of a value of large_bytes */
    size_t large_bytes;
    unsigned random_states; /* at each record */
    uint32_t page_size;
    bool reopen;             /* close and open again in the middle */
    bool kinds;              /* tables of every kind too */
    unsigned trim_percent;   /* commits followed by a trim that punches */
    uint64_t max_size_bytes; /* 0: none, else commits may meet it */
};

/* A run: its recording, and the content after each commit as a digest. */
struct run {
    const struct plan *plan;
    struct rng rng;
    const char *path;
    struct kv_env *env;
    uint64_t digests[COMMITS_MAX + 1]; /* after commit i; 0: the empty database */
    unsigned commits;
    unsigned durable; /* commits that had to survive when the last call returned */
    bool full;        /* this txn met the limit */
    uint8_t *value;
};

struct states {
    unsigned long opened;
    unsigned long torn;
    unsigned long at_floor;    /* just what had been promised */
    unsigned long above_floor; /* a commit more than that */
    unsigned long stores;      /* pages recorded that went through the writer's mapping */
    unsigned long reliefs;     /* flushes of a run that made none but where the file was full */
};

static struct states total;

/* ---- Content ---- */

static uint64_t digest_add(uint64_t digest, const struct kv_val *val)
{
    const uint8_t *bytes = val->data;

    digest = (digest ^ val->size) * 0x100000001B3u;
    for (size_t i = 0; i<val->size; i += val->size> 64 ? 61 : 1)
        digest = (digest ^ bytes[i]) * 0x100000001B3u;
    return digest;
}

static uint64_t digest_table(uint64_t digest, struct kv_txn *txn, kv_table table)
{
    struct kv_cursor *cursor;
    struct kv_val key;
    struct kv_val value;
    int moved;

    ck_ok(kv_cursor_open(txn, table, &cursor));
    while ((moved = kv_cursor_get(cursor, KV_NEXT, &key, &value)) == 0) {
        digest = digest_add(digest, &key);
        digest = digest_add(digest, &value);
    }
    ck_rc(moved, KV_ENOTFOUND);
    kv_cursor_close(cursor);
    return digest * 31 + 7;
}

struct digesting {
    struct kv_txn *txn;
    uint64_t digest;
};

static int digest_named(void *context, const char *name)
{
    struct digesting *d = context;
    kv_table table;

    ck_ok(kv_table_open(d->txn, name, 0, NULL, &table));
    d->digest = digest_table(d->digest, d->txn, table);
    return 0;
}

/* A digest of every record of every table, and of the marker. */
static uint64_t digest_of(struct kv_env *env)
{
    struct digesting d = {NULL, 0xCBF29CE484222325u};
    uint8_t bytes[KV_MARKER_BYTES];
    struct kv_val marker = {sizeof(bytes), bytes};

    ck_ok(kv_txn_begin(env, KV_READ, NULL, &d.txn));
    ck_ok(kv_marker_get(d.txn, bytes));
    d.digest = digest_add(d.digest, &marker);
    d.digest = digest_table(d.digest, d.txn, KV_MAIN_TABLE);
    ck_ok(kv_table_list(d.txn, digest_named, &d));
    kv_txn_abort(d.txn);
    return d.digest;
}

/* ---- The run that is recorded ---- */

static void run_open(struct run *run)
{
    struct kv_options options = KV_OPTIONS_INIT;

    options.flags = KV_CREATE;
    options.page_size = run->plan->page_size;
    options.durability = run->plan->durability;
    options.lazy_sync_bytes = 0;
    options.lazy_sync_ms = 0;
    options.dirty_budget_bytes = 1; /* the least: spills happen */
    options.max_size_bytes = run->plan->max_size_bytes;
    ck_ok(kv_env_open(run->path, &options, &run->env));
    kinds_register(run->env);
}

/* A change was done, or the limit was met where there is one. */
static void done_or_full(struct run *run, int rc)
{
    if (run->plan->max_size_bytes && rc == KV_ESIZELIMIT)
        run->full = true;
    else
        ck_ok(rc);
}

static void change(struct run *run, struct kv_txn *txn, kv_table table)
{
    char text[32];
    struct kv_val key = {0, text};
    struct kv_val value = {0, run->value};

    key.size =
        (size_t)snprintf(text, sizeof(text), "key-%04u", (unsigned)rng_below(&run->rng, KEYS));
    if (rng_chance(&run->rng, 35)) {
        int rc = kv_del(txn, table, &key, NULL);

        done_or_full(run, rc == KV_ENOTFOUND ? 0 : rc);
        return;
    }
    if (rng_chance(&run->rng, run->plan->large_percent))
        value.size = run->plan->large_bytes;
    else if (rng_chance(&run->rng, 10))
        value.size = rng_below(&run->rng, VALUE_BYTES_MAX);
    else
        value.size = rng_below(&run->rng, 200);
    if (value.size)
        memset(run->value, (int)rng_next(&run->rng), value.size);
    done_or_full(run, kv_put(txn, table, &key, &value, 0));
}

/* Deletes the record that stands first, or all from the one behind it on. */
static void shrink_kind(struct run *run, struct kv_txn *txn, kv_table table)
{
    struct kv_range range = KV_RANGE_INIT;
    struct kv_cursor *cursor;
    struct kv_val key;
    int rc = KV_ENOTFOUND;

    ck_ok(kv_cursor_open(txn, table, &cursor));
    for (uint64_t n = rng_between(&run->rng, 1, 20); n > 0; n--) {
        rc = kv_cursor_get(cursor, KV_NEXT, &key, NULL);
        ck_assert(rc == 0 || rc == KV_ENOTFOUND);
    }
    if (rc == 0 && rng_chance(&run->rng, 50)) {
        ck_ok(kv_cursor_del(cursor, 0));
    } else if (rc == 0) {
        range.from = &key;
        ck_ok(kv_del_range(txn, table, &range, NULL));
    }
    kv_cursor_close(cursor);
}

/* A table of some kind gets records, one by one or by a bulk build, or loses some. */
static void change_kind(struct run *run, struct kv_txn *txn)
{
    unsigned kind = (unsigned)rng_below(&run->rng, KINDS);
    struct records records = records_random(kind, 1 + rng_below(&run->rng, 60), 60, &run->rng);
    kv_table table = kind_make(txn, kind, kinds[kind].name);
    struct kv_bulk *bulk = NULL;

    if (rng_chance(&run->rng, 30)) {
        shrink_kind(run, txn, table);
    } else {
        if (rng_chance(&run->rng, 30))
            ck_ok(kv_bulk_begin(txn, table, 0, &bulk));
        for (size_t i = 0; i < records.count; i++)
            ck_ok(bulk ? kv_bulk_put(bulk, &records.at[i].key, &records.at[i].value, 0)
                       : kv_put(txn, table, &records.at[i].key, &records.at[i].value, 0));
        if (bulk)
            ck_ok(kv_bulk_end(bulk));
    }
    records_release(&records);
}

static void commit_one(struct run *run)
{
    struct kv_txn *txn;
    kv_table table;

    ck_ok(kv_txn_begin(run->env, KV_WRITE, NULL, &txn));
    ck_ok(kv_table_open(txn, "t", KV_CREATE, NULL, &table));
    run->full = false;
    for (uint64_t n = 1 + rng_below(&run->rng, run->plan->changes); n > 0 && !run->full; n--)
        change(run, txn, rng_chance(&run->rng, 50) ? table : KV_MAIN_TABLE);
    for (unsigned n = 0; run->plan->kinds && n < 3; n++)
        change_kind(run, txn);
    if (run->plan->kinds)
        ck_ok(kv_marker_set(txn, &run->commits, sizeof(run->commits)));
    if (run->full)
        kv_txn_abort(txn);
    else
        done_or_full(run, kv_txn_commit(txn));
    if (run->full)
        return;
    run->commits++;
    run->digests[run->commits] = digest_of(run->env);
    if (run->plan->durability == KV_DURABLE)
        run->durable = run->commits;
}

static void run_record(struct run *run)
{
    fault_install();
    recorder_reset();
    fault_record(true);
    run_open(run);
    run->digests[0] = digest_of(run->env);
    recorder_mark(0);
    for (unsigned i = 0; i < run->plan->commits; i++) {
        commit_one(run);
        if (run->plan->durability != KV_DURABLE && rng_chance(&run->rng, run->plan->sync_percent)) {
            ck_ok(kv_env_sync(run->env));
            run->durable = run->commits;
        }
        if (rng_chance(&run->rng, run->plan->trim_percent)) {
            ck_ok(kv_env_trim(run->env, KV_TRIM_PUNCH, NULL));
            run->durable = run->commits;
        }
        recorder_mark(run->durable);
        if (run->plan->reopen && i == run->plan->commits / 2) {
            ck_ok(kv_env_close(run->env));
            run->durable = run->commits;
            recorder_mark(run->durable);
            run_open(run);
        }
    }
    ck_ok(kv_env_close(run->env));
    recorder_mark(run->commits);
    fault_record(false);
}

/* ---- States ---- */

/* Which commit the content is: at least `floor`, else the test has failed. */
static unsigned commit_of(const struct run *run, uint64_t digest, unsigned floor)
{
    for (unsigned i = floor; i <= run->commits; i++) {
        if (run->digests[i] == digest)
            return i;
    }
    for (unsigned i = 0; i < floor; i++)
        ck_assert_msg(run->digests[i] != digest, "%s: commit %u had returned, commit %u is there",
                      run->plan->name, floor, i);
    ck_abort_msg("%s: the content is of no commit", run->plan->name);
    return 0;
}

/* Opens one state as a user would after the power came back. */
static void state_open(const struct run *run, const char *path, const struct record_image *image,
                       unsigned floor, size_t end)
{
    struct kv_options options = KV_OPTIONS_INIT;
    struct kv_env *env;
    uint64_t findings = 0;
    struct kv_check_options check = {NULL, NULL, NULL, &findings};
    char lock[512];
    int rc;

    snprintf(lock, sizeof(lock), "%s-lock", path);
    unlink(lock);
    record_image_write(image, path);
    options.reserve_bytes = (uint64_t)1 << 30;
    rc = kv_env_open(path, &options, &env);
    ck_assert_msg(rc == 0, "%s, record %zu: open: %s: %s", run->plan->name, end, kv_strerror(rc),
                  kv_error_text());
    kinds_register(env);
    if (commit_of(run, digest_of(env), floor) > floor)
        total.above_floor++;
    else
        total.at_floor++;
    rc = kv_env_check(env, &check);
    ck_assert_msg(rc == 0, "%s, record %zu: check: %s", run->plan->name, end, kv_error_text());
    ck_ok(kv_env_close(env));
    total.opened++;
}

/* A folder in memory where there is one: states are many and need no disk. */
static const char *state_path(void)
{
    static char path[64];
    struct stat st;

    if (stat("/dev/shm", &st) == 0 && S_ISDIR(st.st_mode) && access("/dev/shm", W_OK) == 0)
        snprintf(path, sizeof(path), "/dev/shm/kv-crash-%ld.db", (long)getpid());
    else
        return tmp_path("state.db");
    return path;
}

static void state_try(const struct run *run, const char *path, int file, size_t end,
                      record_choice_fn *choose, void *context, struct record_image *image)
{
    recorder_state(end, file, choose, context, image);
    state_open(run, path, image, (unsigned)recorder_last_mark(end, 0), end);
}

/* In front of a flush: each piece alone lost, alone there, alone torn. */
static void singles(const struct run *run, const char *path, int file, size_t end,
                    struct record_image *image, struct rng *rng)
{
    static struct record_piece pieces[PIECES_MAX];
    size_t count = recorder_pieces(end, file, pieces, PIECES_MAX);
    size_t step = count / SINGLES_MAX + 1;

    if (count > PIECES_MAX)
        count = PIECES_MAX;
    for (size_t i = 0; i < count; i += step) {
        struct record_one one = {i, RECORD_LOSE};

        state_try(run, path, file, end, record_all_but_one, &one, image);
        one.mask = (unsigned)rng_below(rng, 256);
        state_try(run, path, file, end, record_all_but_one, &one, image);
        one.mask = RECORD_KEEP;
        state_try(run, path, file, end, record_none_but_one, &one, image);
        total.torn++;
    }
}

static void states_at(const struct run *run, const char *path, int file, size_t end,
                      struct record_image *image, struct rng *rng)
{
    uint64_t count = scaled(run->plan->random_states);

    state_try(run, path, file, end, record_keep_all, NULL, image);
    state_try(run, path, file, end, record_keep_none, NULL, image);
    for (uint64_t i = 0; i < count; i++) {
        struct record_random random = {rng, (unsigned)rng_below(rng, 100), 20};

        state_try(run, path, file, end, record_randomly, &random, image);
        total.torn++;
    }
    if (end < recorder_count() && recorder_get(end)->kind == RECORD_FLUSH)
        singles(run, path, file, end, image, rng);
}

/* All states from the moment on at which the database has its name. */
static void run_states(const struct run *run, struct rng *rng)
{
    struct record_image image = {0};
    const char *path = state_path();
    char lock[512];

    for (size_t end = 1; end <= recorder_count(); end++) {
        bool durable = false;
        int file = recorder_file_at(end, run->path, &durable);
        enum record_kind kind = recorder_get(end - 1)->kind;

        if (kind == RECORD_STORE)
            total.stores++;
        if (kind == RECORD_FLUSH && run->plan->max_size_bytes)
            total.reliefs++;
        if (file < 0 || !durable || kind > RECORD_TRUNCATE || recorder_get(end - 1)->file != file)
            continue;
        states_at(run, path, file, end, &image, rng);
    }
    record_image_release(&image);
    snprintf(lock, sizeof(lock), "%s-lock", path);
    unlink(path);
    unlink(lock);
}

static void crash(const struct plan *plan, uint64_t seed)
{
    static struct run run;
    struct rng rng;

    memset(&run, 0, sizeof(run));
    ck_assert_uint_lt(plan->commits, COMMITS_MAX);
    tmp_clear();
    run.plan = plan;
    run.path = tmp_path("recorded.db");
    run.value = malloc(plan->large_bytes + VALUE_BYTES_MAX);
    ck_assert_ptr_nonnull(run.value);
    rng_seed(&run.rng, plan->name, seed);
    rng_init(&rng, seed + 1);
    run_record(&run);
    run_states(&run, &rng);
    fault_remove();
    free(run.value);
}

/* ---- Tests ---- */

START_TEST(durable_commits_survive_every_crash)
{
    static const struct plan plan = {.name = "durable",
                                     .durability = KV_DURABLE,
                                     .commits = 60,
                                     .changes = 12,
                                     .random_states = 8,
                                     .page_size = 4096,
                                     .reopen = true};

    crash(&plan, 1);
}
END_TEST

START_TEST(tables_of_every_kind_survive_every_crash)
{
    static const struct plan plan = {.name = "kinds",
                                     .durability = KV_DURABLE,
                                     .commits = 50,
                                     .changes = 2,
                                     .random_states = 4,
                                     .page_size = 4096,
                                     .reopen = true,
                                     .kinds = true};

    crash(&plan, 7);
}
END_TEST

START_TEST(lazy_commits_roll_back_to_a_whole_one)
{
    static const struct plan plan = {.name = "lazy",
                                     .durability = KV_LAZY,
                                     .commits = 60,
                                     .changes = 12,
                                     .sync_percent = 25,
                                     .random_states = 8,
                                     .page_size = 4096,
                                     .reopen = true};

    crash(&plan, 2);
}
END_TEST

START_TEST(commits_through_the_mapping_roll_back_to_a_whole_one)
{
    static const struct plan plan = {.name = "none",
                                     .durability = KV_NONE,
                                     .commits = 60,
                                     .changes = 100,
                                     .sync_percent = 25,
                                     .random_states = 3,
                                     .page_size = 4096,
                                     .reopen = true,
                                     .trim_percent = 10};

    crash(&plan, 6);
}
END_TEST

/* Without a sync or a limit of what waits for one: flushed is only what has to make room. */
START_TEST(commits_into_a_full_file_roll_back_to_a_whole_one)
{
    static const struct plan plan = {.name = "full",
                                     .durability = KV_LAZY,
                                     .commits = 80,
                                     .changes = 30,
                                     .random_states = 8,
                                     .page_size = 4096,
                                     .max_size_bytes = 250 << 10};

    crash(&plan, 8);
}
END_TEST

START_TEST(commits_that_spill_survive_every_crash)
{
    static const struct plan plan = {.name = "spill",
                                     .durability = KV_DURABLE,
                                     .commits = 25,
                                     .changes = 600,
                                     .random_states = 1,
                                     .page_size = 4096};

    crash(&plan, 3);
}
END_TEST

START_TEST(large_commits_with_two_flushes_survive_every_crash)
{
    static const struct plan plan = {.name = "large",
                                     .durability = KV_DURABLE,
                                     .commits = 20,
                                     .changes = 6,
                                     .large_percent = 30,
                                     .large_bytes = (size_t)5 << 20,
                                     .random_states = 2,
                                     .page_size = 4096};

    crash(&plan, 4);
}
END_TEST

START_TEST(large_pages_survive_every_crash)
{
    static const struct plan plan = {.name = "64 KiB pages",
                                     .durability = KV_DURABLE,
                                     .commits = 20,
                                     .changes = 12,
                                     .random_states = 3,
                                     .page_size = 65536};

    crash(&plan, 5);
}
END_TEST

/* The writer's mapping is used on these file systems, and with shrunken limits by small txns too. */
static bool stores_expected(void)
{
#ifdef KVI_SMALL_LIMITS
    struct statfs fs;

    ck_assert_int_eq(statfs(tmp_dir(), &fs), 0);
    return fs.f_type == 0xef53 || fs.f_type == 0x01021994;
#else
    return false;
#endif
}

START_TEST(enough_states_were_opened)
{
    printf(
        "crash states: %lu opened, %lu of them torn or alone; %lu held what was promised, %lu more; "
        "%lu stores, %lu flushes for room\n",
        total.opened, total.torn, total.at_floor, total.above_floor, total.stores, total.reliefs);
    ck_assert_uint_gt(total.opened, scaled(10000));
    ck_assert_uint_gt(total.at_floor, 0);
    ck_assert_uint_gt(total.above_floor, 0);
    ck_assert_uint_gt(total.reliefs, 20);
    if (stores_expected())
        ck_assert_uint_gt(total.stores, 100);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("crash");

    harness_add(s, "durable", durable_commits_survive_every_crash);
    harness_add(s, "kinds", tables_of_every_kind_survive_every_crash);
    harness_add(s, "lazy", lazy_commits_roll_back_to_a_whole_one);
    harness_add(s, "none", commits_through_the_mapping_roll_back_to_a_whole_one);
    harness_add(s, "full", commits_into_a_full_file_roll_back_to_a_whole_one);
    harness_add(s, "spill", commits_that_spill_survive_every_crash);
    harness_add(s, "large", large_commits_with_two_flushes_survive_every_crash);
    harness_add(s, "pages", large_pages_survive_every_crash);
    harness_add(s, "count", enough_states_were_opened);
    return s;
}

HARNESS_MAIN(suite)
