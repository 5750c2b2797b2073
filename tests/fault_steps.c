/* SPDX-License-Identifier: MIT */
/* Owns the steps about environments and copies, and the account of commits; see fault_steps.h. */
#include "fault_steps.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "kind_help.h"
#include "ledger.h"

int steps_wrong(const char *what)
{
    fprintf(stderr, "step: %s\n", what);
    return STEP_WRONG;
}

/* ---- The account of commits ---- */

static bool begun_after; /* the open txn's begin came after the fault */
static uint64_t begun_seq;

int steps_begin(struct steps *steps, const struct kv_txn_options *options, struct kv_txn **txn_out)
{
    int rc;

    begun_after = steps->fired();
    rc = kv_txn_begin(steps->env, KV_WRITE, options, txn_out);
    if (rc)
        return rc;
    rc = ledger_change(*txn_out, &begun_seq);
    if (rc) {
        kv_txn_abort(*txn_out);
        *txn_out = NULL;
        return rc;
    }
    if (begun_seq > steps->ceiling + 1) {
        kv_txn_abort(*txn_out);
        return steps_wrong("a commit that failed is there");
    }
    return 0;
}

int steps_end(struct steps *steps, struct kv_txn *txn, enum kv_durability durability, int rc)
{
    if (rc) {
        kv_txn_abort(txn);
        return rc;
    }
    rc = kv_txn_commit(txn);
    if (rc == KV_EUNKNOWN)
        steps->ceiling = begun_seq;
    if (rc)
        return rc;
    steps->newest = begun_seq;
    steps->ceiling = begun_seq;
    if (durability == KV_DURABLE)
        steps->floor = begun_seq;
    steps->settled = steps->settled || begun_after;
    return 0;
}

/* What a fault took back of lazy commits may still be the newest that was told of. */
static void all_durable(struct steps *steps)
{
    if (!steps->fired() || steps->settled)
        steps->floor = steps->newest;
}

static int commit_one(struct steps *steps, enum kv_durability durability)
{
    struct kv_latency latency = {0};
    struct kv_txn_options options = {.timeout_ms = 5000,
                                     .durability = durability,
                                     .latency = &latency};
    struct kv_txn *txn;
    int rc = steps_begin(steps, &options, &txn);

    return rc ? rc : steps_end(steps, txn, durability, 0);
}

int step_ledger(struct steps *steps)
{
    return commit_one(steps, steps->durability);
}

int step_lazy(struct steps *steps)
{
    return commit_one(steps, KV_LAZY);
}

int step_none(struct steps *steps)
{
    return commit_one(steps, KV_NONE);
}

/* ---- Opening and closing ---- */

static int open_file(const char *path, int flags)
{
    int fd;

    do {
        fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | flags, 0600);
    } while (fd < 0 && errno == EINTR);
    return fd;
}

static struct kv_options options_of(const struct steps *steps, uint32_t flags)
{
    struct kv_options options = KV_OPTIONS_INIT;

    options.flags = steps->flags | flags;
    options.page_size = steps->page_size;
    options.durability = steps->durability;
    options.dirty_budget_bytes = steps->dirty_budget_bytes;
    options.reserve_bytes = (uint64_t)1 << 32;
    if (steps->lazy_sync_bytes)
        options.lazy_sync_bytes = steps->lazy_sync_bytes;
    options.lazy_sync_ms = 0; /* no clock in a sweep */
    return options;
}

static int open_with(struct steps *steps, uint32_t flags)
{
    struct kv_options options = options_of(steps, flags);
    int rc;

    if (steps->env)
        return 0;
    rc = kv_env_open(steps->path[0] ? steps->path : NULL, &options, &steps->env);
    if (rc)
        return steps->env ? steps_wrong("a failed open gave an env") : rc;
    rc = kv_env_comparator(steps->env, "length", by_length, NULL);
    if (rc) {
        (void)kv_env_close(steps->env);
        steps->env = NULL;
        return rc;
    }
    if (strcmp(kv_env_path(steps->env), steps->path) != 0 || kv_env_fd(steps->env) < 0)
        return steps_wrong("an env has another path, or no descriptor");
    return 0;
}

int step_open(struct steps *steps)
{
    return open_with(steps, KV_CREATE);
}

int step_open_readonly(struct steps *steps)
{
    return open_with(steps, KV_READONLY);
}

int step_open_nolock(struct steps *steps)
{
    return open_with(steps, KV_NOLOCK);
}

int step_open_exclusive(struct steps *steps)
{
    return open_with(steps, KV_CREATE | KV_EXCLUSIVE);
}

/* An empty file that becomes a database in place. */
int step_fill_empty(struct steps *steps)
{
    int fd = open_file(steps->path, 0);

    if (fd < 0)
        return steps_wrong("no empty file could be made");
    (void)close(fd);
    return open_with(steps, KV_CREATE | KV_FILL_EMPTY);
}

int step_close(struct steps *steps)
{
    int rc;

    kv_txn_abort(steps->pinned);
    steps->pinned = NULL;
    if (!steps->env)
        return 0;
    rc = kv_env_close(steps->env);
    if (rc != KV_EBUSY)
        steps->env = NULL;
    if (!rc)
        all_durable(steps);
    return rc;
}

/* ---- Whole environments ---- */

/* Another user of the same file, in this process, that writes and reads. */
int step_second_env(struct steps *steps)
{
    struct kv_options options = options_of(steps, 0);
    struct kv_env *first = steps->env;
    struct kv_env *second;
    uint64_t seq = 0;
    struct kv_txn *txn;
    int rc = kv_env_open(steps->path, &options, &second);
    int close_rc;

    if (rc)
        return rc;
    steps->env = second;
    rc = commit_one(steps, steps->durability);
    steps->env = first;
    if (!rc)
        rc = kv_txn_begin(second, KV_READ, NULL, &txn);
    if (!rc) {
        rc = ledger_seq(txn, &seq);
        kv_txn_abort(txn);
        if (!rc && seq != steps->newest)
            rc = steps_wrong("a second env reads another state");
    }
    close_rc = kv_env_close(second);
    return rc ? rc : close_rc;
}

int step_sync(struct steps *steps)
{
    int rc = kv_env_sync(steps->env);

    if (!rc)
        all_durable(steps);
    return rc;
}

int step_resize(struct steps *steps)
{
    int rc = kv_env_resize(steps->env, (uint64_t)2 << 20, (uint64_t)64 << 20);

    return rc ? rc : kv_env_resize(steps->env, 0, 0);
}

static int trim(struct steps *steps, uint32_t flags)
{
    uint64_t bytes;
    int rc = kv_env_trim(steps->env, flags, &bytes);

    return rc;
}

int step_trim(struct steps *steps)
{
    return trim(steps, KV_TRIM_PUNCH);
}

int step_defragment(struct steps *steps)
{
    return trim(steps, KV_TRIM_DEFRAGMENT);
}

static int go_on(void *context, uint64_t done, uint64_t total)
{
    (void)done;
    (void)total;
    ++*(uint64_t *)context;
    return 0;
}

int step_check(struct steps *steps)
{
    uint64_t findings = 0;
    uint64_t calls = 0;
    struct kv_check_options options = {NULL, go_on, &calls, &findings};
    int rc = kv_env_check(steps->env, &options);

    return rc == 0 && findings ? steps_wrong("a check with findings returned 0") : rc;
}

static int count_reader(void *context, const struct kv_reader *reader)
{
    *(uint64_t *)context += reader->alive != 0;
    return 0;
}

int step_readers(struct steps *steps)
{
    uint64_t cleared;
    uint64_t count = 0;
    struct kv_txn *txn;
    int rc = kv_txn_begin(steps->env, KV_READ, NULL, &txn);

    if (rc)
        return rc;
    rc = kv_env_readers(steps->env, count_reader, &count);
    kv_txn_abort(txn);
    if (!rc && count < 1 && !(steps->flags & KV_NOLOCK))
        rc = steps_wrong("a reader is not told of");
    return rc ? rc : kv_env_readers_clear(steps->env, &cleared);
}

static int sum_pages(void *context, uint64_t pgno, uint64_t count)
{
    (void)pgno;
    *(uint64_t *)context += count;
    return 0;
}

int step_info(struct steps *steps)
{
    struct kv_env_info info;
    struct kv_env_stat stat;
    uint64_t sum = 0;
    struct kv_txn *txn;
    int rc = kv_env_info(steps->env, &info);

    if (!rc)
        rc = kv_txn_begin(steps->env, KV_READ, NULL, &txn);
    if (rc)
        return rc;
    rc = kv_env_stat(txn, &stat);
    if (!rc)
        rc = kv_free_list(txn, sum_pages, &sum);
    if (!rc && sum != stat.pages_free)
        rc = steps_wrong("the free list is not as long as told");
    kv_txn_abort(txn);
    return rc;
}

static int count_record(void *context, const struct kv_val *key, const struct kv_val *value,
                        enum kv_salvage_source source)
{
    (void)key;
    (void)value;
    *(uint64_t *)context += source == KV_SALVAGE_TREE;
    return 0;
}

/* Of the file while it is not open, which is sound. */
int step_salvage(struct steps *steps)
{
    uint64_t records = 0;
    struct kv_salvage_options options = {NULL, count_record, NULL, NULL, &records};
    int rc = kv_salvage(steps->path, &options);

    /* A place that could not be read is a loss to it, and so is what a failed close wrote in half. */
    if (rc == KV_ECORRUPT && steps->fired() && records)
        rc = 0;
    return rc == 0 && records == 0 ? steps_wrong("nothing was salvaged") : rc;
}

/* ---- Copies ---- */

/* The copy is a database with the content that the env has. */
static int look_at_copy(struct steps *steps, const char *path)
{
    struct kv_options options = KV_OPTIONS_INIT;
    struct kv_env *copy;
    struct kv_txn *txn;
    uint64_t seq = 0;
    int rc;
    int close_rc;

    options.flags = KV_READONLY | KV_NOLOCK;
    options.reserve_bytes = (uint64_t)1 << 32;
    rc = kv_env_open(path, &options, &copy);
    if (rc)
        return rc;
    rc = kv_txn_begin(copy, KV_READ, NULL, &txn);
    if (!rc) {
        rc = ledger_seq(txn, &seq);
        kv_txn_abort(txn);
    }
    if (!rc && seq != steps->newest && seq != steps->ceiling)
        rc = steps_wrong("a copy has another state");
    if (!rc)
        rc = kv_env_check(copy, NULL);
    close_rc = kv_env_close(copy);
    return rc ? rc : close_rc;
}

static void copy_path(const struct steps *steps, char *path_out, size_t size)
{
    snprintf(path_out, size, "%.240s-copy", steps->path);
}

static int copy(struct steps *steps, uint32_t flags)
{
    struct kv_copy_options options = {.flags = flags};
    struct kv_txn *txn;
    char path[256];
    int rc = kv_txn_begin(steps->env, KV_READ, NULL, &txn);

    if (rc)
        return rc;
    copy_path(steps, path, sizeof(path));
    (void)unlink(path);
    rc = kv_env_copy(txn, path, &options);
    kv_txn_abort(txn);
    /* After a failed flush of the folder the name may be there. */
    return rc ? rc : look_at_copy(steps, path);
}

int step_copy(struct steps *steps)
{
    return copy(steps, 0);
}

int step_copy_compact(struct steps *steps)
{
    return copy(steps, KV_COPY_COMPACT);
}

int step_copy_stream(struct steps *steps)
{
    struct kv_txn *txn;
    char path[256];
    int rc;
    int fd;

    copy_path(steps, path, sizeof(path));
    fd = open_file(path, O_TRUNC);
    if (fd < 0)
        return steps_wrong("no file for a copy could be made");
    rc = kv_txn_begin(steps->env, KV_READ, NULL, &txn);
    if (!rc) {
        rc = kv_env_copy_fd(txn, fd, NULL);
        kv_txn_abort(txn);
    }
    (void)close(fd);
    return rc ? rc : look_at_copy(steps, path);
}
