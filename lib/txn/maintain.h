/* SPDX-License-Identifier: MIT */
/*
 * Looking after an env: sync, info, stat, readers, trim, check, copy. Contracts are those of kv.h;
 * arguments were checked by the api layer.
 */
#ifndef KVI_TXN_MAINTAIN_H
#define KVI_TXN_MAINTAIN_H

#include "base/attr.h"
#include "txn/txn.h"

/* info.c */
KVI_MUST_CHECK int kvi_env_sync(struct kv_env *env);
KVI_MUST_CHECK int kvi_env_info(struct kv_env *env, struct kv_env_info *info_out);
KVI_MUST_CHECK int kvi_env_stat(struct kv_txn *txn, struct kv_env_stat *stat_out);
KVI_MUST_CHECK int kvi_env_readers(struct kv_env *env, kv_reader_fn *reader, void *context);

KVI_MUST_CHECK int kvi_env_readers_clear(struct kv_env *env, uint64_t *cleared_out);
KVI_MUST_CHECK int kvi_free_list(struct kv_txn *txn, kv_pages_fn *fn, void *context);

/* trim.c */
KVI_MUST_CHECK int kvi_env_trim(struct kv_env *env, uint32_t flags, uint64_t *bytes_out);

/* check.c */
KVI_MUST_CHECK int kvi_env_check(struct kv_env *env, const struct kv_check_options *options);

/* copy.c */
KVI_MUST_CHECK int kvi_env_copy(struct kv_txn *txn, const char *path,
                                const struct kv_copy_options *options);
KVI_MUST_CHECK int kvi_env_copy_fd(struct kv_txn *txn, int fd,
                                   const struct kv_copy_options *options);

#endif
