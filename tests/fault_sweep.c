/* SPDX-License-Identifier: MIT */
/* Owns how one life with one fault is lived and looked at; see fault_sweep.h. */
#include "fault_sweep.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"
#include "ledger.h"

enum { RUN_SECONDS = 240, BASE_STEPS = 6 };

/* The life that is lived now, for messages. */
static const struct sweep_life *now_life;
static const struct sweep_fault *now_fault;
static const char *now_step = "";
static struct sweep_counts *now_counts;
static const struct sweep_source *now_source;
static bool now_good;

enum sweep_extent sweep_extent(const struct sweep_life *life)
{
    const char *wanted = getenv("KV_FAULTS");

    if (!wanted)
        return SWEEP_PART;
    return !strcmp(wanted, "all") || !strcmp(wanted, life->name) ? SWEEP_ALL : SWEEP_NOTHING;
}

void sweep_use_memory(void)
{
    if (!getenv("TMPDIR") && access("/dev/shm", R_OK | W_OK | X_OK) == 0)
        (void)setenv("TMPDIR", "/dev/shm", 1);
}

static void complain(const char *what, int rc)
{
    now_good = false;
    fprintf(stderr, "life %s, %s call %llu%s with %s (%d)%s: at %s: %s: %d %s; %s\n",
            now_life->name,
            now_fault->call == FAULT_CALLS_END ? "any" : fault_name(now_fault->call),
            (unsigned long long)now_fault->nth, now_fault->from ? " and all behind" : "",
            strerror(now_fault->error), now_fault->error, now_fault->partial ? " in half" : "",
            now_step, what, rc, rc ? kv_strerror(rc) : "", rc ? kv_error_text() : "");
}

/* A hang ends the program with the name of the run. */
static void on_alarm(int signo)
{
    (void)signo;
    complain("hangs", 0);
    abort();
}

/* ---- What a process has ---- */

/* Sanitizers have great mappings of their own, that come and grow. */
#define GREAT_BYTES (SANITIZED ? UINT64_MAX : (uint64_t)1 << 28)
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

struct holdings {
    unsigned descriptors;
    unsigned mappings; /* of files, and great ones */
};

static unsigned count_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned count = 0;

    while (dir && readdir(dir))
        count++;
    if (dir)
        closedir(dir);
    return count;
}

static unsigned count_mappings(void)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[1024];
    unsigned count = 0;

    while (maps && fgets(line, sizeof(line), maps)) {
        unsigned long long first = 0;
        unsigned long long end = 0;

        if (sscanf(line, "%llx-%llx", &first, &end) != 2)
            continue;
        count += (end - first >= GREAT_BYTES) || strstr(line, "memfd:") || strstr(line, tmp_dir());
    }
    if (maps)
        fclose(maps);
    return count;
}

static struct holdings holdings_now(void)
{
    return (struct holdings){count_descriptors(), count_mappings()};
}

/* Files besides the database, its lock file and copies. */
static const char *stray_file(void)
{
    static char name[256];
    DIR *dir = opendir(tmp_dir());
    struct dirent *entry;
    const char *found = NULL;

    while (dir && !found && (entry = readdir(dir)) != NULL) {
        const char *n = entry->d_name;

        if (strcmp(n, ".") && strcmp(n, "..") && strcmp(n, "a.db") && strcmp(n, "a.db-lock") &&
            strcmp(n, "a.db-copy")) {
            snprintf(name, sizeof(name), "%s", n);
            found = name;
        }
    }
    if (dir)
        closedir(dir);
    return found;
}

/* ---- What a life begins with ---- */

static bool never_fired(void)
{
    return false;
}

static void steps_init(struct steps *steps, const struct sweep_life *life)
{
    memset(steps, 0, sizeof(*steps));
    steps->flags = life->flags | (life->memory ? KV_MEMORY : 0);
    steps->page_size = life->page_size;
    steps->durability = life->durability;
    steps->dirty_budget_bytes = life->dirty_budget_bytes;
    steps->lazy_sync_bytes = life->lazy_sync_bytes;
    steps->fired = never_fired;
    if (!life->memory)
        snprintf(steps->path, sizeof(steps->path), "%s/a.db", tmp_dir());
}

static const struct sweep_life *base_life;
static uint8_t *base;
static size_t base_size;

/* Without a fault: a database with some steps of the ledger, and the tables. */
static void base_make(const struct sweep_life *life)
{
    struct steps steps;

    steps_init(&steps, life);
    tmp_clear();
    ck_ok(step_open(&steps));
    for (unsigned i = 0; i < BASE_STEPS; i++)
        ck_ok(step_ledger(&steps));
    ck_ok(step_kinds(&steps));
    ck_ok(step_close(&steps));
    free(base);
    base = file_read(steps.path, &base_size);
    base_life = life;
}

static void begin_with(struct steps *steps, const struct sweep_life *life)
{
    if (life->made && base_life != life)
        base_make(life);
    tmp_clear();
    steps_init(steps, life);
    if (!life->made)
        return;
    file_write(steps->path, base, base_size);
    steps->newest = steps->ceiling = steps->floor = BASE_STEPS + 1;
}

/* ---- What is looked at ---- */

/* Only what a flush did not cover may go, and only after a failure of what reaches the disk. */
static bool may_go_back(const struct steps *steps)
{
    switch (now_fault->call) {
    case FAULT_WRITE:
    case FAULT_WRITEV:
    case FAULT_WRITES:
    case FAULT_FLUSH:
    case FAULT_FLUSH_FULL:
    case FAULT_SYNCS:
    case FAULT_WRITE_BACK:
    case FAULT_ANY:
        return steps->fired() && !steps->settled;
    default:
        return false;
    }
}

static void look(struct steps *steps)
{
    uint64_t least = may_go_back(steps) ? steps->floor : steps->newest;
    uint64_t seq;
    int rc = ledger_verify_newest(steps->env, &seq);

    if (rc)
        complain("reading fails", rc);
    if (!rc && (seq < least || seq > steps->ceiling)) {
        fprintf(stderr, "seq %llu, not from %llu to %llu\n", (unsigned long long)seq,
                (unsigned long long)least, (unsigned long long)steps->ceiling);
        complain("another state", 0);
    }
    rc = (steps->flags & KV_NOLOCK) && steps->pinned ? 0 : ledger_check(steps->env);
    if (rc && rc != KV_EPOISONED)
        complain("the check fails", rc);
}

/* Results that tell of the fault, and nothing else. */
static bool explained(int rc)
{
    return rc == now_fault->error || rc == KV_EUNKNOWN || rc == KV_EPOISONED ||
           (rc == KV_EBUSY && now_fault->error == EAGAIN) ||
           (rc == KV_EUNSUPPORTED && now_fault->call == FAULT_FS_TYPE) ||
           ((rc == KV_ENOTDB || rc == KV_ECORRUPT) && strcmp(now_step, "salvage") == 0);
}

static void close_by_force(struct steps *steps)
{
    now_source->disarm();
    kv_txn_abort(steps->pinned);
    (void)kv_env_close(steps->env);
    steps->pinned = NULL;
    steps->env = NULL;
}

/* A write txn ends poison, other calls may only say that it is there. */
static void try_again(struct steps *steps, const struct sweep_step *step)
{
    int rc = step->run(steps);

    if (rc == KV_EPOISONED && steps->env) {
        rc = step_ledger(steps);
        rc = rc ? rc : step->run(steps);
    }
    if (rc)
        complain("fails again", rc);
}

/* Whether the life may go on. */
static bool step_once(struct steps *steps, const struct sweep_step *step, bool *failed)
{
    int rc;

    now_step = step->name;
    rc = step->run(steps);
    if (!rc)
        return true;
    if (!now_source->fired() || rc == STEP_WRONG) {
        complain(rc == STEP_WRONG ? "wrong" : "fails without a fault", rc);
        return false;
    }
    now_source->disarm();
    if (!explained(rc))
        complain("a result that is not explained", rc);
    *failed = true;
    if (steps->env)
        look(steps);
    if (now_good)
        try_again(steps, step);
    return now_good;
}

static void look_anew(struct steps *steps)
{
    int rc;

    now_step = "opening anew";
    if (steps->flags & KV_MEMORY)
        return;
    rc = step_open(steps);
    if (rc) {
        complain("fails", rc);
        return;
    }
    look(steps);
    steps->durability = KV_DURABLE;
    rc = step_ledger(steps);
    if (rc)
        complain("writing fails", rc);
    else
        look(steps);
    rc = step_close(steps);
    if (rc)
        complain("closing fails", rc);
}

static void look_for_leaks(const struct holdings *before)
{
    struct holdings after = holdings_now();
    bool cleans = now_fault->call != FAULT_ANY; /* cleaning up may fail then, too */

    if (after.descriptors != before->descriptors)
        complain("descriptors leak", (int)(after.descriptors - before->descriptors));
    if (after.mappings != before->mappings && now_fault->call != FAULT_UNMAP && cleans)
        complain("mappings leak", (int)(after.mappings - before->mappings));
    if (stray_file() && now_fault->call != FAULT_UNLINK && cleans)
        complain(stray_file(), 0);
}

void sweep_once(const struct sweep_life *life, const struct sweep_source *source,
                const struct sweep_fault *fault, struct sweep_counts *counts)
{
    struct steps steps;
    struct holdings before;
    bool failed = false;
    bool good = true;

    now_life = life;
    now_fault = fault;
    now_counts = counts;
    now_source = source;
    now_good = true;
    begin_with(&steps, life);
    before = holdings_now();
    (void)signal(SIGALRM, on_alarm);
    (void)alarm(RUN_SECONDS);
    steps.fired = source->fired;
    source->arm(fault);
    for (unsigned i = 0; good && life->steps[i].run; i++)
        good = step_once(&steps, &life->steps[i], &failed);
    source->disarm();
    if (steps.env)
        close_by_force(&steps);
    now_step = "the end";
    if (now_good)
        look_for_leaks(&before);
    if (now_good)
        look_anew(&steps);
    (void)alarm(0);
    counts->runs++;
    counts->struck += source->fired();
    counts->failed += failed;
    counts->absorbed += source->fired() && !failed;
    counts->bad += !now_good;
}
