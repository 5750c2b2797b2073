/* SPDX-License-Identifier: MIT */
/*
 * Whatever `kvctl load` is given: reading records ends, keeps to its memory, and tells places that
 * exist.
 *
 * Input: a byte that chooses format, encoding and options, then the input of kvctl load.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../cli/record_in.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fail(const char *what)
{
    fprintf(stderr, "%s\n", what);
    abort();
}

unsigned load_any_bytes_sum; /* not static, so that no read of a byte is left out */

static unsigned touch(const struct kv_val *val)
{
    unsigned sum = 0;

    for (size_t i = 0; i < val->size; i++)
        sum += ((const uint8_t *)val->data)[i];
    return sum;
}

static void look_at(const struct record_in *in, enum read_result result,
                    const struct record *record, size_t size)
{
    if (result == READ_RECORD) {
        load_any_bytes_sum += touch(&record->key) + touch(&record->value);
        load_any_bytes_sum += record->table ? (unsigned)strlen(record->table) : 0;
        if (record->offset > size || record->line > size + 1)
            fail("a record that stands outside of the input");
        if (record->key.size > size || record->value.size > size + 1) /* a newline at the end */
            fail("a record larger than the input");
    } else if (result == READ_BAD || result == READ_FATAL) {
        if (in->fault.offset > size || in->fault.line > size + 1)
            fail("a fault outside of the input");
        if (memchr(in->fault.what, 0, sizeof in->fault.what) == NULL || !in->fault.what[0])
            fail("a fault without a text");
    }
}

static void read_records(struct record_in *in, size_t size)
{
    enum read_result result = READ_RECORD;
    struct record record;

    for (size_t calls = 0; result != READ_END && result != READ_FATAL; calls++) {
        if (calls > 2 * size + 4)
            fail("records without end");
        memset(&record, 0, sizeof record);
        result = record_in_next(in, &record);
        look_at(in, result, &record, size);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned choice = size ? data[0] : 0;
    struct source source = {.name = "input"};
    struct record_in in = {.source = &source, .key_field = choice & 64u ? "Package" : "K"};

    data += size > 0;
    size -= size > 0;
    source.file = size ? fmemopen((void *)(uintptr_t)data, size, "rb") : fopen("/dev/null", "rb");
    if (!source.file)
        return 0;
    in.format = (enum input_format)(choice % 5);
    in.encoding = (enum encoding)(choice / 5 % 3);
    in.one_table = (choice & 128u) != 0;
    if (record_in_detect(&in) == 0)
        read_records(&in, size);
    record_in_free(&in);
    source_close(&source);
    return 0;
}
