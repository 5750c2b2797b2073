/* SPDX-License-Identifier: MIT */
/* The tables that steps of faults fill: one of each kind, and the records that they then hold. */
#ifndef FAULT_KINDS_H
#define FAULT_KINDS_H

#include <stdint.h>

#include "kv.h"

enum fault_kind {
    FAULT_KIND_COUNTED,
    FAULT_KIND_REVERSE,
    FAULT_KIND_UINT,
    FAULT_KIND_CUSTOM,
    FAULT_KIND_ALIGNED,
    FAULT_KIND_DUPLICATES, /* this and those behind it have duplicates */
    FAULT_KIND_FIXED,
    FAULT_KINDS
};

enum { FAULT_KEYS = 40, FAULT_VALUES = 6 };

struct fault_record {
    char key_text[16];
    char value_text[160];
    uint32_t number;
    struct kv_val key;
    struct kv_val value;
};

const char *fault_kind_name(enum fault_kind kind);
int fault_kind_open(struct kv_txn *txn, enum fault_kind kind, uint32_t flags, kv_table *table_out);

/* Record number `key` (with duplicates: value number `value` of it) of the table. */
void fault_record_of(enum fault_kind kind, unsigned key, unsigned value,
                     struct fault_record *record_out);

#endif
