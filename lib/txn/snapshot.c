/* SPDX-License-Identifier: MIT */
/*
 * From a snapshot's word to its verified, decoded page.
 *
 * The word comes from shared memory, so it is input like the file is: the page number is compared
 * with the file and the mapping before a byte there is looked at, and the 16 tag bits only choose
 * which page is meant; the page's own checksum proves it. Refuses snapshots with features of later
 * versions. Any thread; the caller sees to it that the snapshot is live.
 *
 * Decoding takes longer than all else that a read txn's begin does, so each thread remembers what
 * the last few pages said, by env, word and full checksum.
 */
#include <string.h>

#include "base/error.h"
#include "txn/env.h"

/* The file must reach to page_end; asked of the kernel only when it was not known to. */
static int require_pages(struct kv_env *env, uint64_t page_end)
{
    uint64_t known = atomic_load_explicit(&env->file_bytes, memory_order_relaxed);

    if (page_end <= known >> env->geometry.page_shift && page_end <= env->map.pages_max)
        return 0;
    return kvi_env_require(env, page_end);
}

#define REMEMBERED 4u /* a writer loads up to about so many different ones at begin */

struct remembered {
    uint64_t env; /* its number; 0: nothing yet */
    uint64_t word;
    uint64_t checksum;
    struct kvi_snap snap;
};

static _Thread_local struct remembered remembered_snaps[REMEMBERED];

static struct remembered *remembered_of(uint64_t word)
{
    return &remembered_snaps[kvi_word_pgno(word) % REMEMBERED];
}

static bool remembers(const struct kv_env *env, const struct kvi_snapshot *snapshot)
{
    const struct remembered *r = remembered_of(snapshot->word);

    return r->env == env->number && r->word == snapshot->word &&
           r->checksum == kvi_header_checksum(snapshot->page);
}

/* Reads the verified page. */
static int decode(const struct kv_env *env, struct kvi_snapshot *snapshot)
{
    struct remembered *r = remembered_of(snapshot->word);
    const char *what;

    r->env = 0;
    what = kvi_snap_decode(&env->geometry, snapshot->page, &r->snap);
    if (what)
        return kvi_corrupt(env->path, snapshot->ref.pgno, what);
    if (r->snap.named.root.pgno)
        return kvi_error(KV_EVERSION, "%s: named snapshots are a later version's feature",
                         env->path);
    r->env = env->number;
    r->word = snapshot->word;
    r->checksum = kvi_header_checksum(snapshot->page);
    return 0;
}

int kvi_snapshot_load(struct kv_env *env, uint64_t word, struct kvi_snapshot *out)
{
    struct kvi_view view = {&env->map, kvi_word_pgno(word) + 1, UINT64_MAX};
    int rc;

    out->word = word;
    out->page = NULL;
    out->ref.pgno = kvi_word_pgno(word);
    rc = require_pages(env, view.page_end);
    if (rc)
        return rc;
    out->ref.tag = kvi_page_tag(env->map.base + (out->ref.pgno << env->geometry.page_shift));
    if (kvi_word(out->ref.pgno, out->ref.tag) != word)
        return kvi_corrupt(env->path, out->ref.pgno, "not the snapshot page that was named");
    rc = kvi_view_page(&view, out->ref, KVI_PAGE_SNAPSHOT, 0, &out->page);
    if (rc)
        return rc;
    if (!remembers(env, out)) {
        rc = decode(env, out);
        if (rc)
            return rc;
    }
    out->snap = remembered_of(word)->snap;
    return require_pages(env, out->snap.page_end);
}
