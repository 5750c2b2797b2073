/* SPDX-License-Identifier: MIT */
/* Keys and values given as arguments; see args.h. */
#include "args.h"

#include <string.h>

#include "status.h"

int arg_decode(enum encoding encoding, const char *what, char *arg, struct kv_val *out)
{
    size_t bad_at;
    *out = (struct kv_val){strlen(arg), arg};
    const char *why = decode_in_place(encoding, arg, &out->size, &bad_at);
    if (!why)
        return STATUS_DONE;
    const char *hint = encoding == ENCODING_TEXT ? "; --raw takes it as it is" : "";
    return status_usage("%s: byte %zu: %s%s", what, bad_at, why, hint);
}

int arg_table_name(const char *what, char *arg)
{
    size_t size = strlen(arg);
    size_t bad_at;
    const char *why = decode_in_place(ENCODING_TEXT, arg, &size, &bad_at);
    if (why)
        return status_usage("%s: byte %zu: %s", what, bad_at, why);
    arg[size] = 0;
    return strlen(arg) == size ? STATUS_DONE : status_usage("%s: zero byte in the name", what);
}
