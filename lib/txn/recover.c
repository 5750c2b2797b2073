/* SPDX-License-Identifier: MIT */
/*
 * Recovery: which snapshot the file stands for, and making it true (docs/DURABILITY.md section 8).
 *
 * Everything is read with pread: what is looked at here may be damaged, and a read error must be an
 * error, not a signal (D11). All of the lock file's state that is used is compared with the data
 * file first. Writes only bytes that are there already, until the chosen snapshot has been flushed.
 *
 * Runs alone: as the first living user, or with writer and flush lock held. Other threads and
 * processes may read.
 */
#include "txn/recover.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "os/os.h"
#include "txn/walk.h"

#define FROM_SHARED 2u /* recovery.from: the lock file's newest committed, in no slot */

/* A byte far past any data that tells whether the descriptor may write: only such a one can be
 * locked so. */
#define PROBE_BYTE (((uint64_t)1 << 62) + ((uint64_t)1 << 61))

#define LOOK_TRIES 8 /* readings of slots while somebody is writing them */
#define LOOK_PAUSE_US 500u

struct recovery {
    struct kv_env *env;
    enum kvi_recover_how how;
    struct kvi_slots slots;
    uint64_t file_bytes;
    bool may_write;
    bool vouched; /* the lock file's state is of this file as it stands, no flush had failed */
    bool settled; /* and says that nothing is left to do */
    unsigned durable_slot; /* vouched: which slot it says is durable */
    unsigned from;         /* slot of the chosen one, or FROM_SHARED */
    struct kvi_meta chosen;
    uint64_t txnid_lost; /* newest that was given up; 0 none */
};

uint64_t kvi_txnid_raise(uint64_t txnid)
{
    const uint64_t one = (uint64_t)1 << KVI_TXNID_GENERATION_SHIFT;

    return txnid >> KVI_TXNID_GENERATION_SHIFT == UINT16_MAX ? txnid : txnid + one;
}

/* ---- Reading (R1, R4) ---- */

int kvi_recover_peek(int fd, const char *path, uint32_t *page_size_out, uint8_t file_id_out[16])
{
    struct kvi_slots slots;
    struct kvi_os_stat st;
    unsigned slot;
    int rc = kvi_slots_read(fd, path, &slots);

    if (rc)
        return rc;
    rc = kvi_os->stat_fd(fd, &st);
    if (rc)
        return kvi_error(rc, "%s: %s", path, kvi_strerror(rc));
    if (st.size_bytes < KVI_META_SLOT_1_OFFSET + KVI_META_BYTES)
        return kvi_corrupt(path, KVI_NO_PGNO, "shorter than its meta slots");
    slot = slots.state[0] != KVI_META_OK;
    *page_size_out = slots.meta[slot].page_size;
    memcpy(file_id_out, slots.meta[slot].file_id, sizeof(slots.meta[slot].file_id));
    return 0;
}

/* Reads the snapshot page of `word` (its 16 tag bits) and makes of it what a sealed meta would say.
 * *what_out: NULL, or what is wrong with the page. */
static int read_snapshot(const struct recovery *r, uint64_t word, struct kvi_meta *meta_out,
                         const char **what_out)
{
    const struct kvi_geometry *g = &r->env->geometry;
    uint64_t pgno = kvi_word_pgno(word);
    struct kvi_snap snap;
    uint8_t *page;
    size_t got = 0;
    int rc;

    if (pgno >= r->file_bytes >> g->page_shift) {
        *what_out = "the file is shorter than its snapshot needs";
        return 0;
    }
    page = malloc(g->page_size);
    if (!page)
        return ENOMEM;
    rc = kvi_os->read_at(r->env->fd, page, g->page_size, pgno << g->page_shift, &got);
    if (rc)
        rc = kvi_error(rc, "%s: page %llu: reading: %s", r->env->path, (unsigned long long)pgno,
                       kvi_strerror(rc));
    else if (got < g->page_size)
        *what_out = "the file is shorter than its snapshot needs";
    else if (kvi_word(pgno, kvi_page_tag(page)) != word || kvi_header_pgno(page) != pgno)
        *what_out = "not the snapshot page that was named";
    else if (kvi_header_type(page) != KVI_PAGE_SNAPSHOT || !kvi_page_sound(g, page))
        *what_out = "damaged snapshot page";
    else
        *what_out = kvi_snap_decode(g, page, &snap);
    if (!rc && !*what_out) {
        *meta_out = (struct kvi_meta){.page_size = g->page_size,
                                      .txnid = snap.txnid,
                                      .snap = {pgno, kvi_page_tag(page)},
                                      .page_end = snap.page_end};
        memcpy(meta_out->file_id, r->env->file_id, sizeof(meta_out->file_id));
        if (snap.page_end > r->file_bytes >> g->page_shift)
            *what_out = "the file is shorter than its snapshot needs";
        if (snap.named.root.pgno)
            rc = kvi_error(KV_EVERSION, "%s: named snapshots are a later version's feature",
                           r->env->path);
    }
    free(page);
    return rc;
}

static int check_chosen(const struct recovery *r)
{
    const struct kvi_meta *chosen = &r->chosen;
    struct kvi_meta read;
    const char *what = NULL;
    int rc = read_snapshot(r, kvi_word(chosen->snap.pgno, chosen->snap.tag), &read, &what);

    if (!rc && !what &&
        (read.snap.tag != chosen->snap.tag || read.txnid != chosen->txnid ||
         read.page_end != chosen->page_end))
        what = "snapshot page: not what its meta slot says";
    return rc || !what ? rc : kvi_corrupt(r->env->path, chosen->snap.pgno, what);
}

/* ---- The lock file's word (R2) ---- */

static uint64_t slot_checksum(const struct recovery *r, unsigned slot)
{
    return r->slots.state[slot] == KVI_META_OK ? r->slots.meta[slot].checksum : 0;
}

/* The slot for which an announcement stands; 2: none. */
static unsigned slot_announced(const struct recovery *r)
{
    unsigned slot = (unsigned)(atomic_load(&r->env->shared->announcement) & 3) - 1;

    return slot < 2 ? slot : 2;
}

/* The slot is as the lock file says, or holds what was announced for it, or the durable snapshot
 * with which a takeover was covering that (T3). */
static bool slot_vouched(const struct recovery *r, unsigned slot)
{
    const struct kvi_shared *shared = r->env->shared;
    uint64_t word = kvi_slots_word(&r->slots, slot);

    if (slot_checksum(r, slot) == atomic_load(&shared->slot_checksum[slot]))
        return true;
    return slot_announced(r) == slot && word != 0 &&
           (word == atomic_load(&shared->announced) || word == atomic_load(&shared->durable));
}

static void judge_shared(struct recovery *r)
{
    const struct kvi_shared *shared = r->env->shared;
    uint64_t durable = atomic_load(&shared->durable);
    uint64_t poison = atomic_load(&shared->poison);

    if (durable == 0 || poison == KVI_POISON_FLUSH || !slot_vouched(r, 0) || !slot_vouched(r, 1))
        return;
    if (durable != kvi_slots_word(&r->slots, 0) && durable != kvi_slots_word(&r->slots, 1))
        return;
    r->vouched = true;
    r->durable_slot = durable != kvi_slots_word(&r->slots, 0);
    /* What a takeover wrote may not be on disk: the other slot is the one that holds it for
     * certain. */
    if (slot_announced(r) == r->durable_slot &&
        durable == kvi_slots_word(&r->slots, 1 - r->durable_slot))
        r->durable_slot = 1 - r->durable_slot;
    r->settled = poison == 0 && durable == atomic_load(&shared->committed) &&
                 atomic_load(&shared->announcement) == 0;
}

/* ---- Choosing (R2, R3) ---- */

static int walk(const struct recovery *r, const struct kvi_meta *newer, const struct kvi_meta *base,
                bool bounded, enum kvi_walk_result *result_out)
{
    const struct kvi_geometry *g = &r->env->geometry;
    struct kvi_walk w = {
        .fd = r->env->fd,
        .path = r->env->path,
        .geometry = g,
        .file_bytes = r->file_bytes,
        .newer = newer,
        .base = base,
        .pages_max = UINT64_MAX,
        .rewrite = r->may_write,
    };

    if (bounded)
        w.pages_max = (uint64_t)g->one_flush_pages * KVI_WALK_SLACK + KVI_WALK_SLACK_PAGES;
    return kvi_walk(&w, result_out);
}

/* The newest committed snapshot, if it is in no slot and whole over the durable one. */
static int try_shared(struct recovery *r, bool *taken_out)
{
    uint64_t word = atomic_load(&r->env->shared->committed);
    const struct kvi_meta *durable = &r->slots.meta[r->durable_slot];
    const struct kvi_meta *other = &r->slots.meta[1 - r->durable_slot];
    enum kvi_walk_result result;
    const char *what = NULL;
    int rc;

    *taken_out = false;
    if (word == 0 || word == kvi_slots_word(&r->slots, 0) || word == kvi_slots_word(&r->slots, 1))
        return 0;
    r->txnid_lost = atomic_load(&r->env->shared->txnid_last);
    rc = read_snapshot(r, word, &r->chosen, &what);
    if (rc || what || r->chosen.txnid <= durable->txnid)
        return rc;
    if (r->slots.state[1 - r->durable_slot] == KVI_META_OK && other->txnid > r->chosen.txnid)
        return 0;
    rc = walk(r, &r->chosen, durable, false, &result);
    if (rc || result != KVI_WALK_WHOLE)
        return rc;
    r->from = FROM_SHARED;
    r->txnid_lost = 0;
    *taken_out = true;
    return 0;
}

/* The base's own map is damaged: only a newer snapshot that is whole by itself can be taken. */
static int choose_alone(struct recovery *r, const struct kvi_meta *newest)
{
    enum kvi_walk_result result;
    int rc = walk(r, newest, NULL, false, &result);

    if (!rc && result != KVI_WALK_WHOLE)
        rc = kvi_corrupt(r->env->path, KVI_NO_PGNO,
                         "the newest snapshot is not whole and the one before is damaged");
    return rc;
}

static int choose_slot(struct recovery *r)
{
    struct kvi_slots_choice choice;
    const struct kvi_meta *newest;
    enum kvi_walk_result result = KVI_WALK_WHOLE;
    int rc = kvi_slots_choose(&r->slots, r->env->path, &choice);

    if (rc)
        return rc;
    newest = &r->slots.meta[choice.slot];
    r->from = choice.slot;
    if (choice.walk)
        rc = walk(r, newest, &r->slots.meta[1 - choice.slot], true, &result);
    if (!rc && result == KVI_WALK_BASE_DAMAGED)
        rc = choose_alone(r, newest);
    if (!rc && result == KVI_WALK_BROKEN) {
        r->from = 1 - choice.slot;
        if (r->txnid_lost < newest->txnid)
            r->txnid_lost = newest->txnid;
    }
    r->chosen = r->slots.meta[r->from];
    return rc;
}

static void choose_settled(struct recovery *r)
{
    r->from = r->durable_slot;
    r->chosen = r->slots.meta[r->from];
}

static int choose(struct recovery *r)
{
    bool taken = false;
    int rc = 0;

    if (r->vouched)
        rc = try_shared(r, &taken);
    return rc || taken ? rc : choose_slot(r);
}

/* ---- make_true (R5, R6) ---- */

static bool slot_names_chosen(const struct recovery *r, unsigned slot)
{
    return kvi_slots_word(&r->slots, slot) == kvi_word(r->chosen.snap.pgno, r->chosen.snap.tag) &&
           r->slots.meta[slot].txnid == r->chosen.txnid;
}

/* The walk has written the new pages again; now the metas that name the chosen one, then the flush.
 */
static int make_pages_true(struct recovery *r)
{
    for (unsigned slot = 0; slot < 2; slot++) {
        if (slot_names_chosen(r, slot)) {
            int rc = kvi_slot_rewrite(r->env, &r->slots, slot);

            if (rc)
                return rc;
        }
    }
    return kvi_data_flush(r->env);
}

/* What the lock file says is no candidate from here on. */
static void forget_shared(struct recovery *r)
{
    if (r->how == KVI_RECOVER_FIRST)
        atomic_store(&r->env->shared->ready, 0);
}

/* A snapshot that only the lock file names stays its candidate until a slot names it: who is killed
 * here leaves the next one to do the same again. Once a slot is written, the lock file does not
 * vouch for it any more. */
static int make_true(struct recovery *r)
{
    unsigned target = 1 - (r->from == FROM_SHARED ? r->durable_slot : r->from);
    int rc;

    if (r->from != FROM_SHARED)
        forget_shared(r);
    rc = make_pages_true(r);
    if (rc)
        forget_shared(r);
    if (rc || slot_names_chosen(r, target))
        return rc;
    r->slots.meta[target] = r->chosen;
    r->slots.meta[target].base = 0;
    rc = kvi_slot_write(r->env, target, &r->slots.meta[target]);
    forget_shared(r);
    if (rc)
        return rc;
    r->slots.state[target] = KVI_META_OK;
    return kvi_data_flush(r->env);
}

/* ---- The shared state (R7) ---- */

/* The last id that was given out, as far as it is known, and in a new generation if it may not be.
 */
static uint64_t txnid_last_of(const struct recovery *r)
{
    uint64_t shared_last = atomic_load(&r->env->shared->txnid_last);
    uint64_t chosen = r->chosen.txnid;
    uint64_t last = chosen > r->txnid_lost ? chosen : r->txnid_lost;
    bool known = r->vouched || r->how != KVI_RECOVER_FIRST;

    for (unsigned slot = 0; slot < 2; slot++)
        if (r->slots.state[slot] == KVI_META_OK && r->slots.meta[slot].txnid > last)
            last = r->slots.meta[slot].txnid;
    /* The lock file is input: no number that no use could have reached. */
    if (known && shared_last > last && shared_last <= kvi_txnid_raise(kvi_txnid_raise(last)))
        last = shared_last;
    if (r->settled || r->how != KVI_RECOVER_FIRST || kvi_slots_clean(&r->slots))
        return last;
    return kvi_txnid_raise(last);
}

/* Who could not write says so first: a death between these stores must not leave what looks settled
 * to the next one, with a snapshot named durable that nobody flushed. */
static void set_shared(struct recovery *r, bool done)
{
    struct kvi_shared *shared = r->env->shared;
    uint64_t word = kvi_word(r->chosen.snap.pgno, r->chosen.snap.tag);
    uint64_t durable = word;

    if (!done)
        atomic_store(&shared->poison, KVI_POISON_PENDING);
    atomic_store(&shared->txnid_last, txnid_last_of(r));
    atomic_store(&shared->rolled_back, r->txnid_lost);
    for (unsigned slot = 0; slot < 2; slot++) {
        struct kvi_meta none = {.checksum = 0};
        bool ok = r->slots.state[slot] == KVI_META_OK;

        kvi_slot_publish(r->env, slot, kvi_slots_word(&r->slots, slot),
                         ok ? &r->slots.meta[slot] : &none);
    }
    if (r->from == FROM_SHARED && !done)
        durable = kvi_slots_word(&r->slots, r->durable_slot);
    atomic_store(&shared->durable, durable);
    atomic_store(&shared->committed, word);
    atomic_store(&shared->visible, word);
    atomic_fetch_add(&shared->holes, 1);
    atomic_store(&shared->unflushed_pages, 0);
    atomic_store(&shared->unflushed_since_ns, 0);
    kvi_announcement_clear(r->env);
    atomic_store(&shared->poison, done ? 0 : KVI_POISON_PENDING);
}

/* ---- The whole ---- */

/* Whether this env may repair the file: not without locks, where others may be using it. */
static int ask_may_write(struct recovery *r)
{
    int fd = r->env->fd;
    int rc;

    r->may_write = false;
    if (r->how == KVI_RECOVER_PENDING || (r->env->flags & KV_MEMORY))
        r->may_write = true;
    if (r->how != KVI_RECOVER_FIRST || (r->env->flags & (KV_MEMORY | KV_NOLOCK)))
        return 0;
    if (r->env->flags & KV_NODATALOCK) {
        r->may_write = r->env->writable;
        return 0;
    }
    rc = kvi_os->lock(fd, KVI_OS_LOCK_WRITE, PROBE_BYTE, 1);
    if (rc == EBADF)
        return 0;
    if (rc == 0)
        rc = kvi_os->lock(fd, KVI_OS_UNLOCK, PROBE_BYTE, 1);
    r->may_write = rc == 0 || rc == EAGAIN;
    return r->may_write ? 0 : kvi_error(rc, "%s: %s", r->env->path, kvi_strerror(rc));
}

static int read_file(struct recovery *r)
{
    struct kv_env *env = r->env;
    const struct kvi_meta *meta;
    struct kvi_os_stat st;
    int rc = kvi_slots_read(env->fd, env->path, &r->slots);

    if (rc)
        return rc;
    meta = &r->slots.meta[r->slots.state[0] != KVI_META_OK];
    if (meta->page_size != env->geometry.page_size ||
        memcmp(meta->file_id, env->file_id, sizeof(env->file_id)) != 0)
        return kvi_corrupt(env->path, KVI_NO_PGNO, "has become another database");
    rc = kvi_os->stat_fd(env->fd, &st);
    if (rc)
        return kvi_error(rc, "%s: %s", env->path, kvi_strerror(rc));
    r->file_bytes = st.size_bytes;
    atomic_store(&env->file_bytes, st.size_bytes);
    return 0;
}

int kvi_recover_run(struct kv_env *env, enum kvi_recover_how how, bool trust_shared)
{
    struct recovery r = {.env = env, .how = how};
    bool clean;
    int rc = read_file(&r);

    if (rc)
        return rc;
    if (trust_shared)
        judge_shared(&r);
    clean = r.settled || (!trust_shared && kvi_slots_clean(&r.slots));
    if (!clean) {
        rc = ask_may_write(&r);
        if (rc)
            return rc;
    }
    if (r.settled)
        choose_settled(&r);
    else
        rc = choose(&r);
    if (!rc)
        rc = check_chosen(&r);
    if (!rc && r.may_write)
        rc = make_true(&r);
    if (!rc)
        set_shared(&r, clean || r.may_write);
    return rc;
}

int kvi_recover(struct kv_env *env, bool boot_same)
{
    return kvi_recover_run(env, KVI_RECOVER_FIRST, boot_same);
}

/* ---- Without locks ---- */

static bool slots_known(const struct kv_env *env, const struct kvi_slots *slots)
{
    for (unsigned slot = 0; slot < 2; slot++) {
        uint64_t checksum = slots->state[slot] == KVI_META_OK ? slots->meta[slot].checksum : 0;

        if (checksum != atomic_load(&env->shared->slot_checksum[slot]))
            return false;
    }
    return true;
}

/* Whether the slots are what this env knows; waits a little for one that is just being written. */
static int look(struct kv_env *env, bool *same_out)
{
    struct kvi_slots slots;
    int rc = 0;

    for (int i = 0; i < LOOK_TRIES; i++) {
        rc = kvi_slots_read(env->fd, env->path, &slots);
        *same_out = !rc && slots_known(env, &slots);
        if (*same_out || (rc && rc != KV_ECORRUPT))
            return rc;
        if (!rc && slots.state[0] == KVI_META_OK && slots.state[1] == KVI_META_OK)
            return 0;
        (void)kvi_os->sleep_us(LOOK_PAUSE_US);
    }
    return rc;
}

int kvi_recover_refresh(struct kv_env *env)
{
    bool same = false;
    int rc = look(env, &same);

    if (rc || same)
        return rc;
    rc = kvi_lockfile_lock_flush(env->lockfile, KVI_WAIT_FOREVER);
    if (rc)
        return rc;
    rc = look(env, &same); /* it may have been this env's own durable point */
    if (!rc && !same)
        rc = kvi_recover_run(env, KVI_RECOVER_LOOK, false);
    kvi_lockfile_unlock_flush(env->lockfile);
    return rc;
}
