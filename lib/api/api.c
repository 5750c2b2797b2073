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

int kvi_api_bad_key(const struct kv_txn *txn, const struct kv_val *key)
{
    if (!key || !key->data)
        return kvi_error(KV_EINVAL, "the key is NULL");
    return kvi_error(KV_EKEYSIZE, "a key of %zu bytes, at most %u are possible", key->size,
                     txn->env->geometry.key_bytes_max);
}

int kvi_api_bad_value(const struct kv_val *value, uint32_t flags)
{
    if (!value || (!value->data && !(flags & KV_RESERVE)))
        return kvi_error(KV_EINVAL, "the value is NULL");
    return kvi_error(KV_EVALSIZE, "a value of %zu bytes, at most %llu are possible", value->size,
                     (unsigned long long)KVI_VALUE_BYTES_MAX);
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
