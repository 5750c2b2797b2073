/* SPDX-License-Identifier: MIT */
/* Verbs for tests of tables of other kinds than plain ones, and two users' orders. */
#ifndef KIND_HELP_H
#define KIND_HELP_H

#include "harness.h"
#include "kv.h"

/* By length first; and the reverse of that. */
int by_length(void *context, const struct kv_val *a, const struct kv_val *b);
int backwards(void *context, const struct kv_val *a, const struct kv_val *b);

/* Registers both, as "length" and "backwards". */
void comparators_known(struct kv_env *env);

/* Options of these flags; KV_ORDER_CUSTOM is "length". */
struct kv_table_options kind(uint32_t flags, enum kv_order order);

kv_table make(struct kv_txn *txn, const char *name, const struct kv_table_options *options);
int try_open(struct kv_txn *txn, const char *name, uint32_t flags,
             const struct kv_table_options *options);

/* What kv_table_options tells, and that it is this. */
struct kv_table_options told(struct kv_txn *txn, kv_table table);
void is_kind(struct kv_txn *txn, kv_table table, const struct kv_table_options *expected);

/* All keys of the table in its order, with a space behind each. */
void keys_are(struct kv_txn *txn, kv_table table, const char *expected);

#endif
