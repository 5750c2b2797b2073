/* SPDX-License-Identifier: MIT */
/* kv.h, tables: argument checks, then forward. */
#include "api/api.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "txn/comparators.h"
#include "txn/registry.h"
#include "txn/table_kind.h"

int kv_table_open(struct kv_txn *txn, const char *name, uint32_t flags,
                  const struct kv_table_options *options, kv_table *table_out)
{
    struct kvi_table_record kind;
    int rc = kvi_api_given(table_out, "table_out");

    if (rc)
        return rc;
    *table_out = KV_MAIN_TABLE;
    rc = kvi_txn_usable(txn, false);
    if (!rc && (flags & ~KV_CREATE))
        rc = kvi_error(KV_EINVAL, "unknown flags in open of a table: %#x", flags);
    if (!rc && options)
        rc = kvi_table_kind_make(&txn->env->geometry, options, &kind);
    if (rc)
        return rc;
    if (name)
        rc = kvi_table_open(txn, name, flags, options ? &kind : NULL, table_out);
    else if (options)
        rc = kvi_table_main(txn, flags, &kind);
    return kvi_txn_whole(txn, rc);
}

/* A comparator's name as a text that lives as long as the env; "" is none. */
static int name_keep(struct kv_env *env, const char *name, const char **name_out)
{
    if (!*name)
        return 0;
    *name_out = kvi_comparators_text(env->comparators, name);
    return *name_out ? 0 : ENOMEM;
}

int kv_table_options(struct kv_txn *txn, kv_table table, struct kv_table_options *options_out)
{
    const struct kv_table_options none = KV_TABLE_OPTIONS_INIT;
    char key[KVI_COMPARATOR_BYTES_MAX + 1];
    char value[KVI_COMPARATOR_BYTES_MAX + 1];
    struct kvi_txn_table *entry;
    int rc = kvi_api_given(options_out, "options_out");

    if (rc)
        return rc;
    *options_out = none;
    rc = kvi_api_table(txn, table, false, &entry);
    if (rc)
        return rc;
    kvi_table_kind_tell(&entry->tree.record, options_out);
    kvi_table_kind_key_name(&entry->tree.record, key);
    kvi_table_kind_value_name(&entry->tree.record, value);
    rc = name_keep(txn->env, key, &options_out->comparator);
    if (!rc)
        rc = name_keep(txn->env, value, &options_out->value_comparator);
    return rc;
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

    return rc ? rc : kvi_txn_whole(txn, kvi_table_drop(txn, table));
}

int kv_table_empty(struct kv_txn *txn, kv_table table)
{
    int rc = kvi_txn_usable(txn, true);

    return rc ? rc : kvi_txn_whole(txn, kvi_table_empty(txn, table));
}

int kv_table_rename(struct kv_txn *txn, kv_table table, const char *name)
{
    int rc = kvi_txn_usable(txn, true);

    if (!rc)
        rc = kvi_api_given(name, "name");
    return rc ? rc : kvi_txn_whole(txn, kvi_table_rename(txn, table, name));
}

int kv_table_list(struct kv_txn *txn, kv_table_fn *fn, void *context)
{
    int rc = kvi_txn_usable(txn, false);

    if (!rc && !fn)
        rc = kvi_error(KV_EINVAL, "fn is NULL");
    return rc ? rc : kvi_txn_whole(txn, kvi_table_list(txn, fn, context));
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

int kv_sequence(struct kv_txn *txn, kv_table table, uint64_t add, uint64_t *value_out)
{
    struct kvi_txn_table *entry;
    uint64_t next;
    int rc = kvi_api_given(value_out, "value_out");

    if (rc)
        return rc;
    *value_out = 0;
    rc = kvi_api_table(txn, table, add != 0, &entry);
    if (rc)
        return rc;
    if (__builtin_add_overflow(entry->tree.record.sequence, add, &next))
        return kvi_error(KV_EMISMATCH, "the sequence is at %llu: adding %llu would wrap around",
                         (unsigned long long)entry->tree.record.sequence, (unsigned long long)add);
    *value_out = entry->tree.record.sequence;
    if (add) {
        entry->tree.record.sequence = next;
        entry->tree.changed = true;
    }
    return 0;
}
