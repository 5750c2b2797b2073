/* SPDX-License-Identifier: MIT */
/*
 * The users' orders that an env knows, by the names under which tables record them.
 *
 * Names are added and never taken away until the env closes, so that texts of kv_table_options may
 * point here. A name may stand without a function: the file told it, nobody registered it yet.
 *
 * Any thread may call; who looks needs no lock.
 */
#ifndef KVI_TXN_COMPARATORS_H
#define KVI_TXN_COMPARATORS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "format/shape.h"
#include "format/snap.h"
#include "kv.h"

struct kvi_comparators;

struct kvi_comparators *kvi_comparators_new(void); /* NULL: no memory */
void kvi_comparators_free(struct kvi_comparators *comparators);

/* Registers. KV_EEXIST: the name has another function or context; KV_EINVAL: the name is no name;
 * ENOMEM. */
KVI_MUST_CHECK int kvi_comparators_add(struct kvi_comparators *comparators, const char *name,
                                       kv_compare_fn *compare, void *context);

/* What is registered under the name, compare NULL if nothing is. */
struct kvi_comparator kvi_comparators_find(const struct kvi_comparators *comparators,
                                           const char *name);

/* A text equal to `name` that lives as long as the env; NULL: no memory. */
const char *kvi_comparators_text(struct kvi_comparators *comparators, const char *name);

/* Gives a custom shape the comparators that its record names, as far as they are registered.
 * Whether all are that it needs. */
bool kvi_comparators_resolve(const struct kvi_comparators *comparators,
                             const struct kvi_table_record *record, struct kvi_shape *shape);

#endif
