/* SPDX-License-Identifier: MIT */
/*
 * What a table is: the way between kv_table_options and the fields of a table record that tell the
 * same, and what differs between two.
 *
 * A *kind* is a table record of which only these fields count: order, value_order, flags,
 * align_log2, item_bytes, names. Pure but for the texts of errors; any thread.
 */
#ifndef KVI_TXN_TABLE_KIND_H
#define KVI_TXN_TABLE_KIND_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "format/layout.h"
#include "format/snap.h"
#include "kv.h"

/* KV_EINVAL unless it can be a comparator's name. */
KVI_MUST_CHECK int kvi_table_kind_name(const char *name);

/* The kind that the options ask for. KV_EINVAL, KV_EVALSIZE. */
KVI_MUST_CHECK int kvi_table_kind_make(const struct kvi_geometry *g,
                                       const struct kv_table_options *options,
                                       struct kvi_table_record *kind_out);

/* What differs, as KV_EINCOMPATIBLE or KV_ECOMPARATOR with a text that names it; `name` is the
 * table's. A wanted item size of 0 is content with any. */
KVI_MUST_CHECK int kvi_table_kind_compare(const char *name, const struct kvi_table_record *record,
                                          const struct kvi_table_record *kind);

/* Whether nothing differs, what the first records set included. */
bool kvi_table_kind_same(const struct kvi_table_record *a, const struct kvi_table_record *b);

/* Makes the record of an empty table one of this kind; key size and value size are open again. */
void kvi_table_kind_set(struct kvi_table_record *record, const struct kvi_table_record *kind);

/* The options that make a table like this; the names are left NULL. */
void kvi_table_kind_tell(const struct kvi_table_record *record,
                         struct kv_table_options *options_out);

/* The comparators' names, "" where there is none, into KVI_COMPARATOR_BYTES_MAX + 1 bytes. */
void kvi_table_kind_key_name(const struct kvi_table_record *record, char *name_out);
void kvi_table_kind_value_name(const struct kvi_table_record *record, char *name_out);

#endif
