/* SPDX-License-Identifier: MIT */
/*
 * Durable points (docs/DURABILITY.md section 5), the write-back that is started before them, and
 * the last close (section 9).
 *
 * Under the flush lock. Commits hold the writer lock as well and so stand still; kv_env_sync does
 * not, and a writer may commit while its point is being made: then the announcement keeps the
 * snapshot alive (D7). A flush or a write of a meta that fails poisons the database before anything
 * else happens (D8), and is never retried.
 */
#include "txn/durable.h"

#include <errno.h>

#include "base/error.h"
#include "os/os.h"
#include "txn/recover.h"

/* How long kv_env_sync waits for the writer lock where it needs it: after another process died in a
 * flush. A write txn of the caller's own thread would make it wait for itself. */
#define SYNC_WAIT_MS 10000u

/* A durable point that is being made. */
struct point {
    struct kv_env *env;
    bool writer_held;
    uint64_t word;  /* S */
    unsigned slot;  /* X */
    bool unsure;    /* the other slot's content is perhaps not on disk */
    uint64_t pages; /* unflushed when it was announced */
    struct kvi_snapshot snapshot;
    struct kvi_meta meta;
};

/* P2: the slot that does not hold the durable snapshot. If both do, the one that was written later:
 * an unsealed meta was flushed before its sealed copy was made, one of base 0 stands beside what it
 * copies. Of two that a close or a creation left alike nobody can tell. */
static int choose_slot(struct point *p, uint64_t durable)
{
    struct kvi_shared *shared = p->env->shared;
    struct kvi_slots slots;
    unsigned y;
    int rc = kvi_slot_of(p->env, durable, &y);

    if (rc)
        return rc;
    p->slot = 1 - y;
    p->unsure = false;
    if (atomic_load(&shared->slot_word[p->slot]) != durable)
        return 0;
    rc = kvi_slots_read(p->env->fd, p->env->path, &slots);
    if (rc)
        return rc;
    if (kvi_slots_word(&slots, 0) != durable || kvi_slots_word(&slots, 1) != durable)
        return kvi_corrupt(p->env->path, KVI_NO_PGNO, "the meta slots were changed by others");
    p->slot = !kvi_meta_sealed(&slots.meta[0]) || slots.meta[1].base == 0;
    p->unsure = slots.meta[0].base == slots.meta[1].base;
    return 0;
}

/* P3. False: a newer one was committed meanwhile. */
static bool announce(struct point *p)
{
    struct kvi_shared *shared = p->env->shared;
    uint64_t owner = kvi_lockfile_self(p->env->lockfile);

    atomic_store(&shared->announced, p->word);
    atomic_store(&shared->announcement, owner << 2 | (p->slot + 1));
    atomic_thread_fence(memory_order_seq_cst);
    p->pages = atomic_load(&shared->unflushed_pages);
    return atomic_load(&shared->committed) == p->word;
}

/* Chooses S and announces it. *done_out: it is durable already. */
static int begin_point(struct point *p, bool *done_out)
{
    struct kvi_shared *shared = p->env->shared;
    int rc;

    *done_out = false;
    do {
        uint64_t durable = atomic_load(&shared->durable);

        p->word = atomic_load(&shared->committed);
        if (p->word == durable) {
            *done_out = true;
            kvi_announcement_clear(p->env);
            return 0;
        }
        rc = choose_slot(p, durable);
        if (rc) {
            kvi_announcement_clear(p->env);
            return rc;
        }
    } while (!announce(p));
    return 0;
}

/* What the slot will say. Nothing has been written yet: a failure takes the announcement back. */
static int compose(struct point *p)
{
    struct kv_env *env = p->env;
    uint64_t txnid_base = atomic_load(&env->shared->slot_txnid[1 - p->slot]);
    int rc = kvi_snapshot_load(env, p->word, &p->snapshot);

    if (!rc && (txnid_base == 0 || txnid_base >= p->snapshot.snap.txnid))
        rc = kvi_corrupt(env->lock_path, KVI_NO_PGNO, "the durable snapshot is not the older one");
    if (rc) {
        kvi_announcement_clear(env);
        return rc;
    }
    p->meta = (struct kvi_meta){.page_size = env->geometry.page_size,
                                .txnid = p->snapshot.snap.txnid,
                                .snap = p->snapshot.ref,
                                .base = txnid_base,
                                .page_end = p->snapshot.snap.page_end};
    for (size_t i = 0; i < sizeof(env->file_id); i++)
        p->meta.file_id[i] = env->file_id[i];
    return 0;
}

/* P4. */
static int flush_first(struct point *p)
{
    unsigned y = 1 - p->slot;
    struct kvi_meta meta;
    int rc = 0;

    p->meta.base = p->meta.txnid;
    if (p->unsure)
        rc = kvi_slot_expect(p->env, y, atomic_load(&p->env->shared->durable), &meta);
    if (!rc && p->unsure)
        rc = kvi_slot_write(p->env, y, &meta);
    return rc ? rc : kvi_data_flush(p->env);
}

/* P4 to P6. */
static int write_point(struct point *p)
{
    int rc = 0;

    if (p->unsure || p->pages > p->env->geometry.one_flush_pages)
        rc = flush_first(p);
    if (!rc)
        rc = kvi_slot_write(p->env, p->slot, &p->meta);
    if (!rc)
        rc = kvi_data_flush(p->env);
    return rc;
}

/* P7. */
static void publish(struct point *p)
{
    struct kvi_shared *shared = p->env->shared;

    kvi_slot_publish(p->env, p->slot, p->word, &p->meta);
    atomic_store(&shared->durable, p->word);
    kvi_visible_advance(p->env, p->word, p->meta.txnid);
    if (p->writer_held && atomic_load(&shared->committed) == p->word) {
        atomic_store(&shared->unflushed_pages, 0);
        atomic_store(&shared->unflushed_since_ns, 0);
    }
    kvi_announcement_clear(p->env);
}

/* Flush lock held, not poisoned, no announcement stands. */
static int make_point(struct kv_env *env, bool writer_held)
{
    struct point p = {.env = env, .writer_held = writer_held};
    bool done;
    int rc = begin_point(&p, &done);

    if (rc || done)
        return rc;
    rc = compose(&p);
    if (!rc && kvi_env_whole(env)) {
        kvi_announcement_clear(env);
        rc = kvi_env_lost(env);
    }
    if (rc)
        return rc;
    if (write_point(&p))
        return kvi_poison_set(env);
    publish(&p);
    return 0;
}

static int poisoned(const struct kv_env *env)
{
    return kvi_error(KV_EPOISONED, "%s: an earlier flush failed", env->path);
}

int kvi_durable_point(struct kv_env *env, uint64_t word)
{
    struct kvi_shared *shared = env->shared;
    int rc = kvi_lockfile_lock_flush(env->lockfile, KVI_WAIT_FOREVER);

    if (rc)
        return rc;
    if (atomic_load(&shared->poison))
        rc = poisoned(env);
    else if (atomic_load(&shared->durable) != word && atomic_load(&shared->announcement) != 0)
        rc = kvi_takeover(env);
    if (!rc && atomic_load(&shared->durable) != word)
        rc = make_point(env, true);
    kvi_lockfile_unlock_flush(env->lockfile);
    return rc;
}

/* ---- Early write-back ---- */

/* Whether the system refused the call as such, so that nothing was started and nothing reported. */
static bool call_refused(int rc)
{
    return rc == ENOSYS || rc == EPERM || rc == EINVAL || rc == EOPNOTSUPP || rc == ESPIPE;
}

/* Inside an announcement, as a flush (D6): what the kernel tells us here it may tell nobody again.
 * The meta slots are clean, as nobody else is about to write one. */
static int start_write_back(struct kv_env *env)
{
    struct point p = {.env = env, .writer_held = true};
    bool done;
    int rc = begin_point(&p, &done);

    if (rc || done)
        return 0; /* the next durable point says so */
    rc = kvi_os->write_back(env->fd, 0, 0);
    if (rc && !call_refused(rc)) {
        (void)kvi_error(rc, "%s: writing back: %s", env->path, kvi_strerror(rc));
        return kvi_poison_set(env);
    }
    kvi_announcement_clear(env);
    return 0;
}

/* Where another is flushing, or died while it was, there is nothing to hurry. */
int kvi_durable_write_back(struct kv_env *env)
{
    struct kvi_shared *shared = env->shared;
    int rc = 0;

    if ((env->flags & KV_MEMORY) || kvi_lockfile_lock_flush(env->lockfile, 0))
        return 0;
    if (atomic_load(&shared->poison) == 0 && atomic_load(&shared->announcement) == 0)
        rc = start_write_back(env);
    kvi_lockfile_unlock_flush(env->lockfile);
    return rc;
}

/* ---- On request ---- */

/* With the writer lock: what a dead flusher or a reader that could not recover left to do, then the
 * point. */
static int sync_thoroughly(struct kv_env *env)
{
    int rc = kvi_lockfile_lock_writer(env->lockfile, SYNC_WAIT_MS);

    if (rc)
        return rc;
    rc = kvi_poison_end(env);
    if (!rc)
        rc = kvi_durable_point(env, atomic_load(&env->shared->committed));
    kvi_lockfile_unlock_writer(env->lockfile);
    return rc;
}

int kvi_durable_sync(struct kv_env *env)
{
    struct kvi_shared *shared = env->shared;
    bool thoroughly;
    int rc;

    if (env->flags & KV_READONLY)
        return 0;
    rc = kvi_env_whole(env);
    if (rc)
        return rc;
    rc = kvi_lockfile_lock_flush(env->lockfile, KVI_WAIT_FOREVER);
    if (rc)
        return rc;
    thoroughly = atomic_load(&shared->announcement) != 0 ||
                 atomic_load(&shared->poison) == KVI_POISON_PENDING;
    if (atomic_load(&shared->poison) == KVI_POISON_FLUSH)
        rc = poisoned(env);
    else if (!thoroughly && atomic_load(&shared->committed) != atomic_load(&shared->durable))
        rc = make_point(env, false);
    kvi_lockfile_unlock_flush(env->lockfile);
    return !rc && thoroughly ? sync_thoroughly(env) : rc;
}

bool kvi_durable_first(const struct kv_env *env)
{
    const struct kvi_shared *shared = env->shared;
    uint64_t a = atomic_load(&shared->slot_txnid[0]);
    uint64_t b = atomic_load(&shared->slot_txnid[1]);
    uint64_t last = atomic_load(&shared->txnid_last);

    return a == b ||
           (a > b ? a : b) >> KVI_TXNID_GENERATION_SHIFT != last >> KVI_TXNID_GENERATION_SHIFT;
}

/* ---- The last close ---- */

/* Writes the durable snapshot sealed to the slot that lacks it: the mark of a clean close. Not
 * where a new generation of ids was begun and none used: the slots then still tell the next user to
 * begin one. */
static int seal(struct kv_env *env)
{
    struct kvi_shared *shared = env->shared;
    uint64_t durable = atomic_load(&shared->durable);
    struct kvi_meta meta;
    unsigned y;
    int rc = kvi_slot_of(env, durable, &y);

    if (rc || atomic_load(&shared->slot_word[1 - y]) == durable || kvi_durable_first(env))
        return rc;
    rc = kvi_slot_expect(env, y, durable, &meta);
    if (!rc)
        rc = kvi_env_whole(env);
    if (rc)
        return rc;
    meta.base = meta.txnid;
    rc = kvi_slot_write(env, 1 - y, &meta);
    if (!rc)
        rc = kvi_data_flush(env);
    if (rc) {
        atomic_store(&shared->poison, KVI_POISON_FLUSH);
        return rc;
    }
    kvi_slot_publish(env, 1 - y, durable, &meta);
    return 0;
}

static int seal_locked(struct kv_env *env)
{
    int rc = kvi_lockfile_lock_flush(env->lockfile, KVI_WAIT_FOREVER);

    if (rc)
        return rc;
    rc = seal(env);
    kvi_lockfile_unlock_flush(env->lockfile);
    return rc;
}

int kvi_durable_settle(struct kv_env *env)
{
    int rc = kvi_durable_point(env, atomic_load(&env->shared->committed));

    return rc ? rc : seal_locked(env);
}

int kvi_durable_last(struct kv_env *env)
{
    struct kvi_shared *shared = env->shared;
    int rc = kvi_lockfile_lock_writer(env->lockfile, KVI_WAIT_FOREVER);

    if (rc)
        return rc;
    rc = kvi_poison_end(env);
    if (!rc)
        rc = kvi_durable_settle(env);
    if (!rc)
        rc = kvi_env_cut(env, true);
    if (!rc)
        atomic_store(&shared->ready, 0);
    kvi_lockfile_unlock_writer(env->lockfile);
    return rc;
}
