/* SPDX-License-Identifier: MIT */
/*
 * From a snapshot's word to its verified, decoded page.
 *
 * The word comes from shared memory, so it is input like the file is: the page number is compared
 * with the file and the mapping before a byte there is looked at, and the 16 tag bits only choose
 * which page is meant; the page's own checksum proves it. Refuses snapshots with features of later
 * versions. Any thread; the caller sees to it that the snapshot is live.
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

int kvi_snapshot_load(struct kv_env *env, uint64_t word, struct kvi_snapshot *out)
{
    struct kvi_view view = {&env->map, kvi_word_pgno(word) + 1, UINT64_MAX};
    const char *what;
    int rc;

    memset(out, 0, sizeof(*out));
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
    what = kvi_snap_decode(&env->geometry, out->page, &out->snap);
    if (what)
        return kvi_corrupt(env->path, out->ref.pgno, what);
    if (out->snap.named.root.pgno)
        return kvi_error(KV_EVERSION, "%s: named snapshots are a later version's feature",
                         env->path);
    out->word = word;
    return require_pages(env, out->snap.page_end);
}
