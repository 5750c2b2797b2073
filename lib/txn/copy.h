/* SPDX-License-Identifier: MIT */
/* What copy.c and copy_compact.c share. */
#ifndef KVI_TXN_COPY_H
#define KVI_TXN_COPY_H

#include "base/attr.h"
#include "txn/txn.h"

/* Makes the empty file `fd` (whose name is `path`) a database with every record of the txn's
 * snapshot, appended in order, so that its pages are full and stand in key order. Not flushed. The
 * name stays. */
KVI_MUST_CHECK int kvi_copy_compact(struct kv_txn *txn, const struct kv_copy_options *options,
                                    int fd, const char *path);

#endif
