/* SPDX-License-Identifier: MIT */
/*
 * Writing records to stdout in the formats that `kvctl load` reads.
 *
 *   tab-separated   KEY tab VALUE newline, in one of the three encodings
 *   JSON lines      {"key":...,"value":...}, key_hex and value_hex where the bytes are no UTF-8
 *   Berkeley dump   one line a key, one a value, each behind a space, between two lines that
 *                   dump_header and dump_footer write
 */
#ifndef KVCTL_RECORD_OUT_H
#define KVCTL_RECORD_OUT_H

#include <stdbool.h>

#include "encode.h"
#include "kv.h"

enum record_format { RECORDS_TSV, RECORDS_JSON, RECORDS_DUMP };

struct record_style {
    enum record_format format;
    enum encoding encoding; /* in a dump: ENCODING_HEX or ENCODING_PRINT */
    bool keys_only;         /* tab-separated and JSON */
    const char *table;      /* JSON: named in each record; NULL: not */
};

void record_out(const struct record_style *style, const struct kv_val *key,
                const struct kv_val *value);

#endif
