/* SPDX-License-Identifier: MIT */
/* kv.h, transactions and tables: argument checks, then forward. */
#include "api/api.h"

#include <string.h>

#include "base/error.h"
#include "txn/registry.h"

int kv_txn_begin(struct kv_env *env, uint32_t flags, const struct kv_txn_options *options,
                 struct kv_txn **txn_out)
{
    int rc = kvi_api_given(txn_out, "txn_out");

    if (rc)
        return rc;
    *txn_out = NULL;
    rc = kvi_api_given(env, "env");
    return rc ? rc : kvi_txn_begin(env, flags, options, txn_out);
}

int kv_txn_commit(struct kv_txn *txn)
{
    int rc = kvi_api_given(txn, "txn");

    return rc ? rc : kvi_txn_commit(txn);
}

void kv_txn_abort(struct kv_txn *txn)
{
    if (txn)
        kvi_txn_abort(txn);
}

void kv_txn_reset(struct kv_txn *txn)
{
    if (txn)
        kvi_txn_reset(txn);
}

int kv_txn_renew(struct kv_txn *txn)
{
    int rc = kvi_api_given(txn, "txn");

    return rc ? rc : kvi_txn_renew(txn);
}

int kv_txn_refresh(struct kv_txn *txn, int *moved_out)
{
    if (moved_out)
        *moved_out = 0;
    return kvi_txn_refresh(txn, moved_out);
}

uint64_t kv_txn_id(const struct kv_txn *txn)
{
    return txn ? txn->id : 0;
}

struct kv_env *kv_txn_env(const struct kv_txn *txn)
{
    return txn ? txn->env : NULL;
}

/* ---- Tables ---- */

int kv_table_open(struct kv_txn *txn, const char *name, uint32_t flags,
                  const struct kv_table_options *options, kv_table *table_out)
{
    int rc = kvi_api_given(table_out, "table_out");

    if (rc)
        return rc;
    *table_out = KV_MAIN_TABLE;
    rc = kvi_txn_usable(txn, false);
    if (!rc && (flags & ~KV_CREATE))
        rc = kvi_error(KV_EINVAL, "unknown flags in open of a table: %#x", flags);
    if (!rc && options)
        rc = kvi_error(KV_EUNSUPPORTED, "table options");
    return rc || !name ? rc : kvi_table_open(txn, name, flags, table_out);
}

int kv_table_close(struct kv_env *env, kv_table table)
{
    int rc = kvi_api_given(env, "env");

    if (!rc && kvi_lockfile_forked(env->lockfile))
        rc = kvi_error(KV_EFORKED, "%s: the env belongs to the parent process", env->path);
    if (!rc && table == KV_MAIN_TABLE)
        rc = kvi_error(KV_EINVAL, "the main table is always open");
    return rc ? rc : kvi_registry_close(env->registry, table);
}

int kv_table_drop(struct kv_txn *txn, kv_table table)
{
    int rc = kvi_txn_usable(txn, true);

    return rc ? rc : kvi_table_drop(txn, table);
}

int kv_table_empty(struct kv_txn *txn, kv_table table)
{
    int rc = kvi_txn_usable(txn, true);

    return rc ? rc : kvi_table_empty(txn, table);
}

int kv_table_rename(struct kv_txn *txn, kv_table table, const char *name)
{
    int rc = kvi_txn_usable(txn, true);

    if (!rc)
        rc = kvi_api_given(name, "name");
    return rc ? rc : kvi_table_rename(txn, table, name);
}

int kv_table_list(struct kv_txn *txn, kv_table_fn *fn, void *context)
{
    int rc = kvi_txn_usable(txn, false);

    if (!rc && !fn)
        rc = kvi_error(KV_EINVAL, "fn is NULL");
    return rc ? rc : kvi_table_list(txn, fn, context);
}

int kv_table_stat(struct kv_txn *txn, kv_table table, struct kv_table_stat *stat_out)
{
    const struct kvi_table_record *record;
    struct kvi_txn_table *entry;
    int rc = kvi_api_given(stat_out, "stat_out");

    if (rc)
        return rc;
    memset(stat_out, 0, sizeof(*stat_out));
    rc = kvi_api_table(txn, table, false, &entry);
    if (rc)
        return rc;
    record = &entry->tree.record;
    stat_out->entries = record->entries;
    stat_out->keys = record->flags & KVI_TABLE_DUPLICATES ? record->keys : record->entries;
    stat_out->pages_branch = record->pages_branch;
    stat_out->pages_leaf = record->pages_leaf;
    stat_out->pages_overflow = record->pages_overflow;
    stat_out->depth = record->depth;
    stat_out->page_size = txn->env->geometry.page_size;
    stat_out->bytes = (record->pages_branch + record->pages_leaf + record->pages_overflow)
                      << txn->env->geometry.page_shift;
    return 0;
}
