/* SPDX-License-Identifier: MIT */
/*
 * An open env: the data file, its mapping, the lock file's state, and what is kept between txns.
 *
 * Lifetime: made by kvi_env_open, freed by kvi_env_close when no txn is open. Fields are set at
 * open and not changed unless their comment names a guard. "writer" means: by the holder of the
 * writer lock.
 */
#ifndef KVI_TXN_ENV_H
#define KVI_TXN_ENV_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "format/layout.h"
#include "format/meta.h"
#include "format/snap.h"
#include "kv.h"
#include "os/guard.h"
#include "pager/pager.h"
#include "pager/view.h"
#include "space/space.h"
#include "txn/lockfile.h"
#include "txn/shared.h"

struct kvi_registry;    /* table handles: txn/registry.h */
struct kvi_comparators; /* users' orders: txn/comparators.h */

struct kv_env {
    char *path;                /* as given; "" for memory */
    char *lock_path;           /* NULL: none */
    int fd;                    /* data file */
    uint64_t number;           /* no other env of this process has, or had, it */
    uint32_t flags;            /* KV_READONLY ... */
    struct kv_options options; /* defaults filled in; its pointers are void */
    bool mode_given;           /* options.mode was set by the user */
    bool writable;             /* fd was opened for writing */
    struct kvi_geometry geometry;
    uint8_t file_id[16];
    struct kvi_map map;
    struct kvi_guard_mark mark; /* KV_GUARD: pages that could not be had; own order */
    bool guarded;               /* kvi_guard_enter was called */
    struct kvi_lockfile *lockfile;
    struct kvi_shared *shared;           /* kvi_lockfile_shared(lockfile) */
    struct kvi_space_hints *hints;       /* writer */
    struct kvi_pool *pool;               /* writer */
    struct kvi_store *store;             /* writer; NULL: none yet */
    bool store_never;                    /* writer: it cannot be had here */
    struct kvi_registry *registry;       /* own lock */
    struct kvi_comparators *comparators; /* own lock */
    uint64_t write_back_pages;    /* writer: shared.unflushed_pages when write-back was started */
    uint64_t write_back_ns;       /* writer: and when that was */
    _Atomic(uint64_t) file_bytes; /* size of the data file as last seen; writer changes the file */
    _Atomic(uint64_t) min_size_bytes; /* 0: none; writer changes it */
    _Atomic(uint64_t) max_size_bytes; /* this env's own, 0: none; writer changes it */
    uint64_t stored_limit_bytes;      /* writer: the base's, 0: none */
    kv_full_fn *full;                 /* writer: asked at the limit, NULL: nobody */
    void *full_context;
    _Atomic(bool) writing;       /* a write txn of this env is open; writer */
    _Atomic(uint64_t) users;     /* txns, and calls under way, that may touch the mapping */
    _Atomic(bool) remapping;     /* the mapping is being replaced: nobody may become a user */
    pthread_mutex_t remap_mutex; /* held while remapping is set */
};

/* A snapshot taken from its word: page found in the map, verified, decoded. */
struct kvi_snapshot {
    uint64_t word;
    struct kvi_ref ref; /* its page, full tag */
    const uint8_t *page;
    struct kvi_snap snap;
};

/* Follows a snapshot word: pgno inside file and mapping, tag bits, checksum, type, fields. The
 * snapshot must be pinned or live by other means. KV_ECORRUPT else. */
KVI_MUST_CHECK int kvi_snapshot_load(struct kv_env *env, uint64_t word, struct kvi_snapshot *out);

/* KV_ECORRUPT, with the page in the text, once a page of the env could not be had (KV_GUARD): asked
 * before each write that others build upon, after the last load that it rests on (G3). And the same
 * of the lock file alone, without which nothing can be begun. */
KVI_MUST_CHECK int kvi_env_lost(const struct kv_env *env) KVI_COLD;
KVI_MUST_CHECK static inline int kvi_env_whole(const struct kv_env *env)
{
    return KVI_LIKELY(kvi_guard_faults(&env->mark) == 0) ? 0 : kvi_env_lost(env);
}
KVI_MUST_CHECK static inline int kvi_env_lock_whole(const struct kv_env *env)
{
    return KVI_LIKELY(atomic_load(&env->mark.faults_lock) == 0) ? 0 : kvi_env_lost(env);
}

/* Puts the guard in place if that was asked for, and takes it away. */
KVI_MUST_CHECK int kvi_env_guard(struct kv_env *env);
void kvi_env_unguard(struct kv_env *env);

/* Makes the data file at least page_end pages long, in steps that follow its size; writer.
 * KV_ESIZELIMIT past max_size_bytes or the mapping's reservation. */
KVI_MUST_CHECK int kvi_env_grow(struct kv_env *env, uint64_t page_end);

/* The limit of the file in force, if the newest snapshot stores this one: not more than the
 * mapping's reservation. */
uint64_t kvi_env_limit(const struct kv_env *env, uint64_t stored_limit_bytes);

/* min_size_bytes, which may end within a page: that one is made whole before it is used. And making
 * the file that long, writer. */
uint64_t kvi_env_least(const struct kv_env *env);
KVI_MUST_CHECK int kvi_env_lengthen(struct kv_env *env);
/* The same for others: when nobody writes just now, else it is left to our next write txn. */
KVI_MUST_CHECK int kvi_env_lengthen_try(struct kv_env *env);

/* Contract of kv_env_resize. */
KVI_MUST_CHECK int kvi_env_resize(struct kv_env *env, uint64_t min_size_bytes,
                                  uint64_t max_size_bytes);

/* Learns the file's present size (fstat); KV_ECORRUPT when it is below `page_end` pages. */
KVI_MUST_CHECK int kvi_env_require(struct kv_env *env, uint64_t page_end);

/* Before the data file is punched or cut there: makes all writers forget what they know of its
 * blocks; writer. */
void kvi_env_holes(struct kv_env *env, uint64_t pgno_first, uint64_t pgno_end);

/* The writer's mapping for a txn that begins now; NULL: it is not to be had. Writer. */
struct kvi_store *kvi_env_store(struct kv_env *env);

/* Between these two the caller may touch the mapping: it does not move. */
void kvi_env_enter(struct kv_env *env);
void kvi_env_leave(struct kv_env *env);

/* When others have made the file longer than this process's reservation, and the caller is the only
 * user: maps anew, larger. KV_ESIZELIMIT when it is not, or when the reservation was not the
 * reason. */
KVI_MUST_CHECK int kvi_env_remap(struct kv_env *env);

KVI_MUST_CHECK int kvi_env_open(const char *path, const struct kv_options *options,
                                struct kv_env **env_out);
KVI_MUST_CHECK int kvi_env_close(struct kv_env *env);

#endif
