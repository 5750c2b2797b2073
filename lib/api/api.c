/* SPDX-License-Identifier: MIT */
/* Argument checks that the whole api layer shares, and the functions that need no handle. */
#include "api/api.h"

#include "base/error.h"

const char *kv_strerror(int result)
{
    return kvi_strerror(result);
}

const char *kv_error_text(void)
{
    return kvi_error_text();
}

const char *kv_version(void)
{
    return KV_VERSION_STRING;
}

int kvi_api_given(const void *pointer, const char *name)
{
    return pointer ? 0 : kvi_error(KV_EINVAL, "%s is NULL", name);
}

int kvi_api_key(const struct kv_txn *txn, const struct kv_val *key, struct kvi_key *key_out)
{
    if (KVI_UNLIKELY(!key || (!key->data && key->size)))
        return kvi_error(KV_EINVAL, "the key is NULL");
    if (KVI_UNLIKELY(key->size > txn->env->geometry.key_bytes_max))
        return kvi_error(KV_EKEYSIZE, "a key of %zu bytes, at most %u are possible", key->size,
                         txn->env->geometry.key_bytes_max);
    key_out->data = key->data;
    key_out->size = key->size;
    return 0;
}

int kvi_api_value(const struct kv_val *value, uint32_t flags)
{
    if (!value || (!value->data && value->size && !(flags & KV_RESERVE)))
        return kvi_error(KV_EINVAL, "the value is NULL");
    if (value->size > KVI_VALUE_BYTES_MAX)
        return kvi_error(KV_EVALSIZE, "a value of %zu bytes, at most %llu are possible",
                         value->size, (unsigned long long)KVI_VALUE_BYTES_MAX);
    return 0;
}

int kvi_api_table(struct kv_txn *txn, kv_table handle, bool change,
                  struct kvi_txn_table **table_out)
{
    int rc = kvi_txn_usable(txn, change);

    return rc ? rc : kvi_txn_table(txn, handle, table_out);
}

struct kv_val kvi_api_shown(const struct kvi_tree_value *value)
{
    struct kv_val shown = {0, (void *)(uintptr_t)value->data};

    if (value->kind != KVI_CELL_TABLE)
        shown.size = (size_t)value->size_bytes;
    return shown;
}

void kvi_api_put_shown(const struct kvi_tree_put *put, uint32_t flags, int rc, struct kv_val *value)
{
    if (rc == KV_EEXIST && (flags & KV_NOOVERWRITE)) {
        value->data = (void *)(uintptr_t)put->data;
        value->size = (size_t)put->size_bytes;
    } else if (rc == 0 && (flags & KV_RESERVE)) {
        value->data = put->space;
    }
}
