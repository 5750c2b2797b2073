/* SPDX-License-Identifier: MIT */
/* kv_salvage: opening a damaged file. The contract is that of kv.h; one thread a call. */
#ifndef KVI_TXN_SALVAGE_H
#define KVI_TXN_SALVAGE_H

#include "base/attr.h"
#include "kv.h"

KVI_MUST_CHECK int kvi_salvage(const char *path, const struct kv_salvage_options *options);

#endif
