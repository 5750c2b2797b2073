/* SPDX-License-Identifier: MIT */
/* What stands around a table's records in a Berkeley dump, on stdout. Single thread. */
#ifndef KVCTL_DUMP_HEADER_H
#define KVCTL_DUMP_HEADER_H

#include <stdint.h>

#include "encode.h"
#include "kv.h"

/* `table` NULL: the main table. mapsize_bytes 0: not told. */
void dump_header_out(enum encoding encoding, const char *table,
                     const struct kv_table_options *options, uint64_t mapsize_bytes);
void dump_footer_out(void);

#endif
