/* SPDX-License-Identifier: MIT */
/* kvctl put: one record, its value from the command line, a file or stdin. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "args.h"
#include "buffer.h"
#include "command.h"
#include "session.h"
#include "status.h"

static struct {
    bool no_overwrite;
    bool no_pair;
    char *expect; /* as given; NULL: not */
    const char *file;
} put_options;

enum { PUT_NO_OVERWRITE = 1, PUT_NO_PAIR, PUT_EXPECT, PUT_FILE };

static const struct option_row put_rows[] = {
    {"no-overwrite", 'n', PUT_NO_OVERWRITE, NULL, "fail with 4 if the key exists"},
    {"no-pair", 0, PUT_NO_PAIR, NULL, "with duplicates: fail with 4 if the key has that value"},
    {"expect", 'e', PUT_EXPECT, "VALUE", "replace only if the present value is this one"},
    {"file", 'f', PUT_FILE, "FILE", "the value is the content of FILE; - is stdin"},
    {0},
};

static int put_take(int id, char *arg)
{
    if (id == PUT_NO_OVERWRITE)
        put_options.no_overwrite = true;
    else if (id == PUT_NO_PAIR)
        put_options.no_pair = true;
    else if (id == PUT_EXPECT)
        put_options.expect = arg;
    else
        put_options.file = arg;
    return STATUS_DONE;
}

/* Reads the value byte for byte from the file that was named, else from stdin. */
static int read_value(struct buffer *buffer, struct kv_val *value)
{
    const char *name = put_options.file;
    bool is_stdin = !name || !strcmp(name, "-");
    FILE *file = is_stdin ? stdin : fopen(name, "rb");
    if (!file)
        return status_failed("cannot open %s: %s", name, strerror(errno));
    int rc = buffer_read_all(buffer, file);
    if (!is_stdin)
        fclose(file);
    if (rc)
        return status_failed("cannot read %s: %s", is_stdin ? "stdin" : name, strerror(rc));
    *value = (struct kv_val){buffer->size, buffer->data};
    return STATUS_DONE;
}

/* A result of kv.h. */
static int put_in(const struct session *session, const struct kv_val *key, struct kv_val *value,
                  const struct kv_val *expected)
{
    uint32_t flags =
        (put_options.no_overwrite ? KV_NOOVERWRITE : 0) | (put_options.no_pair ? KV_NOPAIR : 0);
    if (expected)
        return kv_swap(session->txn, session->table, key, expected, value, NULL);
    return kv_put(session->txn, session->table, key, value, flags);
}

static int put_record(const struct common *common, const struct kv_val *key, struct kv_val *value)
{
    struct session session;
    struct kv_val expected;
    int status = STATUS_DONE;
    if (put_options.expect)
        status = arg_decode(common->encoding, "--expect", put_options.expect, &expected);
    if (status)
        return status;
    status = session_write(&session, common, true);
    if (!status) {
        int rc = put_in(&session, key, value, put_options.expect ? &expected : NULL);
        status = rc ? status_of(rc, "cannot put") : session_commit(&session);
    }
    return session_close(&session, status);
}

static int put_run(const struct common *common, int argc, char **argv)
{
    struct buffer buffer = {0};
    struct kv_val key;
    struct kv_val value;
    if (argc == 3 && put_options.file)
        return status_usage("both a value and --file given");
    if (put_options.expect && (put_options.no_overwrite || put_options.no_pair))
        return status_usage("--expect goes neither with --no-overwrite nor with --no-pair");
    int status = arg_decode(common->encoding, "key", argv[1], &key);
    if (status)
        return status;
    if (argc == 3)
        status = arg_decode(common->encoding, "value", argv[2], &value);
    else
        status = read_value(&buffer, &value);
    if (!status)
        status = put_record(common, &key, &value);
    buffer_free(&buffer);
    return status;
}

const struct command cmd_put = {
    .verb = "put",
    .args = "DB KEY [VALUE]",
    .summary = "store a record",
    .details =
        "Without VALUE, the value is read from stdin or --file, byte for byte. A missing\n"
        "database or table is made, of the kind that --dup and the like say. In a table with\n"
        "duplicates a value is added to those of the key. Returns when the record is on the disk.",
    .example = "  kvctl put users.kv alice '{\"age\": 42}'\n"
               "  gzip -c photo.ppm | kvctl put -t photos users.kv alice",
    .common =
        COMMON_DATABASE | COMMON_TABLE | COMMON_BYTES | COMMON_WRITE | COMMON_CREATE | COMMON_SHAPE,
    .args_min = 2,
    .args_max = 3,
    .options = put_rows,
    .take = put_take,
    .run = put_run,
};
