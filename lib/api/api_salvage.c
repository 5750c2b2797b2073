/* SPDX-License-Identifier: MIT */
/* kv.h, salvage: argument checks, then forward. */
#include "api/api.h"
#include "txn/salvage.h"

int kv_salvage(const char *path, const struct kv_salvage_options *options)
{
    static const struct kv_salvage_options none;
    int rc = kvi_api_given(path, "path");

    return rc ? rc : kvi_salvage(path, options ? options : &none);
}
