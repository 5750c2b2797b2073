/* SPDX-License-Identifier: MIT */
/*
 * What the SIGBUS guard found, as results of calls: for envs and for txns (docs/GUARD.md).
 *
 * An env is damaged from its first fault on until it is closed. A txn is over when a fault came
 * since it began: what it read, or handed out pointers to, may have become zeros. Any thread.
 */
#include "base/error.h"
#include "txn/env.h"
#include "txn/txn.h"

int kvi_env_lost(const struct kv_env *env)
{
    if (atomic_load(&env->mark.faults_lock))
        return kvi_corrupt(env->lock_path, KVI_NO_PGNO,
                           "the lock file was cut short while it was in use: reopen the database");
    return kvi_corrupt(env->path, atomic_load(&env->mark.page),
                       "could not be read (SIGBUS): the file was cut short while it was in use, or "
                       "its storage failed; reopen the database");
}

int kvi_env_guard(struct kv_env *env)
{
    int rc;

    if (!(env->flags & KV_GUARD))
        return 0;
    rc = kvi_guard_enter();
    env->guarded = !rc;
    return rc;
}

void kvi_env_unguard(struct kv_env *env)
{
    if (env->guarded)
        kvi_guard_leave();
    env->guarded = false;
}

int kvi_txn_lost(const struct kv_txn *txn, int rc)
{
    if (kvi_lockfile_forked(txn->env->lockfile)) /* by a callback of the user */
        return rc;
    return kvi_env_lost(txn->env);
}
