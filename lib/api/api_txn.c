/* SPDX-License-Identifier: MIT */
/* kv.h, transactions and markers: argument checks, then forward. */
#include "api/api.h"

#include <string.h>

#include "base/error.h"

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

/* ---- Marker and limit ---- */

int kv_marker_set(struct kv_txn *txn, const void *marker, size_t size_bytes)
{
    uint8_t bytes[KV_MARKER_BYTES] = {0};
    int rc = kvi_txn_usable(txn, true);

    if (!rc && !marker && size_bytes)
        rc = kvi_error(KV_EINVAL, "the marker is NULL");
    if (!rc && size_bytes > KV_MARKER_BYTES)
        rc = kvi_error(KV_EINVAL, "a marker of %zu bytes, at most %u are possible", size_bytes,
                       KV_MARKER_BYTES);
    if (rc)
        return rc;
    if (size_bytes)
        memcpy(bytes, marker, size_bytes);
    kvi_txn_mark(txn, bytes);
    return 0;
}

int kv_marker_get(struct kv_txn *txn, void *marker_out)
{
    int rc = kvi_api_given(marker_out, "marker_out");

    if (rc)
        return rc;
    memset(marker_out, 0, KV_MARKER_BYTES);
    rc = kvi_txn_usable(txn, false);
    if (!rc)
        memcpy(marker_out, txn->snapshot.snap.marker, KV_MARKER_BYTES);
    return rc;
}

int kv_limit_set(struct kv_txn *txn, uint64_t bytes)
{
    int rc = kvi_txn_usable(txn, true);

    if (!rc)
        kvi_txn_limit(txn, bytes);
    return rc;
}

int kv_limit_get(struct kv_txn *txn, uint64_t *bytes_out)
{
    int rc = kvi_api_given(bytes_out, "bytes_out");

    if (rc)
        return rc;
    *bytes_out = 0;
    rc = kvi_txn_usable(txn, false);
    if (!rc)
        *bytes_out = txn->snapshot.snap.map_limit;
    return rc;
}
