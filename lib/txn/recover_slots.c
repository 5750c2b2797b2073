/* SPDX-License-Identifier: MIT */
/* Reading, choosing and writing of meta slots. See recover_slots.h. */
#include "txn/recover_slots.h"

#include <string.h>

#include "base/error.h"
#include "os/os.h"

static const uint64_t slot_offset[2] = {0, KVI_META_SLOT_1_OFFSET};

/* A slot past the end of the file reads as zeros: foreign. */
static int read_slot(int fd, const char *path, unsigned slot, struct kvi_slots *slots)
{
    uint8_t *bytes = slots->bytes[slot];
    size_t got = 0;
    int rc = kvi_os->read_at(fd, bytes, KVI_META_BYTES, slot_offset[slot], &got);

    if (rc)
        return kvi_error(rc, "%s: reading meta slot %u: %s", path, slot, kvi_strerror(rc));
    memset(bytes + got, 0, KVI_META_BYTES - got);
    slots->state[slot] = kvi_meta_decode(bytes, &slots->meta[slot]);
    return 0;
}

static bool slot_ok(const struct kvi_slots *slots, unsigned slot)
{
    return slots->state[slot] == KVI_META_OK;
}

static bool any_slot(const struct kvi_slots *slots, enum kvi_meta_state state)
{
    return slots->state[0] == state || slots->state[1] == state;
}

static int judge_slots(const char *path, const struct kvi_slots *slots)
{
    const struct kvi_meta *a = &slots->meta[0];
    const struct kvi_meta *b = &slots->meta[1];

    if (any_slot(slots, KVI_META_VERSION))
        return kvi_error(KV_EVERSION, "%s: written in a format that this version does not know",
                         path);
    if (!any_slot(slots, KVI_META_OK) && !any_slot(slots, KVI_META_TORN))
        return kvi_error(KV_ENOTDB, "%s: not a libkv database", path);
    if (!any_slot(slots, KVI_META_OK))
        return kvi_corrupt(path, KVI_NO_PGNO, "neither meta slot is whole");
    if (slot_ok(slots, 0) && slot_ok(slots, 1) &&
        (a->page_size != b->page_size || memcmp(a->file_id, b->file_id, sizeof(a->file_id)) != 0))
        return kvi_corrupt(path, KVI_NO_PGNO, "the meta slots belong to different databases");
    return 0;
}

int kvi_slots_read(int fd, const char *path, struct kvi_slots *slots_out)
{
    int rc;

    memset(slots_out, 0, sizeof(*slots_out));
    rc = read_slot(fd, path, 0, slots_out);
    if (!rc)
        rc = read_slot(fd, path, 1, slots_out);
    return rc ? rc : judge_slots(path, slots_out);
}

uint64_t kvi_slots_word(const struct kvi_slots *slots, unsigned slot)
{
    const struct kvi_ref *snap = &slots->meta[slot].snap;

    return slot_ok(slots, slot) ? kvi_word(snap->pgno, snap->tag) : 0;
}

bool kvi_slots_same(const struct kvi_slots *slots)
{
    const struct kvi_meta *a = &slots->meta[0];
    const struct kvi_meta *b = &slots->meta[1];

    return slot_ok(slots, 0) && slot_ok(slots, 1) && a->txnid == b->txnid &&
           a->snap.pgno == b->snap.pgno && a->snap.tag == b->snap.tag;
}

bool kvi_slots_clean(const struct kvi_slots *slots)
{
    return kvi_slots_same(slots) && slots->meta[0].base != 0 && slots->meta[1].base != 0 &&
           (kvi_meta_sealed(&slots->meta[0]) || kvi_meta_sealed(&slots->meta[1]));
}

int kvi_slots_choose(const struct kvi_slots *slots, const char *path,
                     struct kvi_slots_choice *choice_out)
{
    unsigned newest = 0;

    choice_out->walk = false;
    if (slot_ok(slots, 0) && slot_ok(slots, 1)) {
        const struct kvi_meta *a = &slots->meta[0];
        const struct kvi_meta *b = &slots->meta[1];

        if (a->txnid == b->txnid && !kvi_slots_same(slots))
            return kvi_corrupt(path, KVI_NO_PGNO, "two snapshots have the same txnid");
        newest = b->txnid > a->txnid;
        choice_out->walk = !kvi_meta_sealed(&slots->meta[newest]) &&
                           slots->meta[newest].base == slots->meta[1 - newest].txnid;
    } else {
        newest = slot_ok(slots, 1);
    }
    choice_out->slot = newest;
    return 0;
}

int kvi_slot_write(struct kv_env *env, unsigned slot, struct kvi_meta *meta)
{
    uint8_t bytes[KVI_META_BYTES];
    int rc;

    rc = kvi_env_whole(env);
    if (rc)
        return rc;
    kvi_meta_encode(meta, bytes);
    rc = kvi_os->write_at(env->fd, bytes, sizeof(bytes), slot_offset[slot]);
    if (rc)
        return kvi_error(rc, "%s: writing meta slot %u: %s", env->path, slot, kvi_strerror(rc));
    return 0;
}

int kvi_slot_rewrite(struct kv_env *env, const struct kvi_slots *slots, unsigned slot)
{
    int rc = kvi_env_whole(env);

    if (rc)
        return rc;
    rc = kvi_os->write_at(env->fd, slots->bytes[slot], KVI_META_BYTES, slot_offset[slot]);
    if (rc)
        return kvi_error(rc, "%s: writing meta slot %u: %s", env->path, slot, kvi_strerror(rc));
    return 0;
}

int kvi_data_flush(struct kv_env *env)
{
    int rc;

    if (env->flags & KV_MEMORY)
        return 0;
    rc = kvi_os->flush(env->fd);
    if (rc)
        return kvi_error(rc, "%s: flushing: %s", env->path, kvi_strerror(rc));
    return 0;
}

/* The word last: with the others wrong a slot is at worst not vouched for, with the word wrong not
 * live. */
void kvi_slot_publish(struct kv_env *env, unsigned slot, uint64_t word, const struct kvi_meta *meta)
{
    struct kvi_shared *shared = env->shared;

    atomic_store(&shared->slot_checksum[slot], meta->checksum);
    atomic_store(&shared->slot_txnid[slot], meta->txnid);
    atomic_store(&shared->slot_word[slot], word);
}
