/* SPDX-License-Identifier: MIT */
/* Headers of dumps; see dump_header.h. */
#include "dump_header.h"

#include "out.h"
#include "shape.h"

static void write_word(const char *word)
{
    out_format("%s=1\n", word);
}

void dump_header_out(enum encoding encoding, const char *table,
                     const struct kv_table_options *options, uint64_t mapsize_bytes)
{
    out_format("VERSION=3\nformat=%s\n", encoding == ENCODING_PRINT ? "print" : "bytevalue");
    if (table)
        out_format("database=%s\n", table);
    out_text("type=btree\n");
    if (mapsize_bytes)
        out_format("mapsize=%llu\n", (unsigned long long)mapsize_bytes);
    shape_header_words(options, write_word);
    if (options->align)
        out_format("align=%u\n", options->align);
    if (options->order == KV_ORDER_CUSTOM || options->value_order == KV_ORDER_CUSTOM)
        out_format("comparator=%s/%s\n", options->comparator ? options->comparator : "",
                   options->value_comparator ? options->value_comparator : "");
    out_text("HEADER=END\n");
}

void dump_footer_out(void)
{
    out_text("DATA=END\n");
}
