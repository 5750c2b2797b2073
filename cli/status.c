/* SPDX-License-Identifier: MIT */
/* Messages on stderr and the mapping of results to exit statuses; see status.h. */
#include "status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "kv.h"
#include "progress.h"

static const char *message_verb;

void status_set_verb(const char *verb)
{
    message_verb = verb;
}

static void message_start(void)
{
    progress_clear();
    fputs("kvctl", stderr);
    if (message_verb)
        fprintf(stderr, " %s", message_verb);
    fputs(": ", stderr);
}

void message(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    message_start();
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

int status_failed(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    message_start();
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    return STATUS_FAILED;
}

int status_usage(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    message_start();
    vfprintf(stderr, format, args);
    fprintf(stderr, "\nTry 'kvctl %s%s--help'.\n", message_verb ? message_verb : "",
            message_verb ? " " : "");
    va_end(args);
    return STATUS_USAGE;
}

/* The reason: the fixed text, and for results of the library file, page and cause, which it notes
 * for every failure that is worth one. */
static void print_reason(int result)
{
    const char *detail = result < 0 && result != KV_ENOTFOUND ? kv_error_text() : "";
    if (*detail)
        fprintf(stderr, ": %s (%s)\n", kv_strerror(result), detail);
    else
        fprintf(stderr, ": %s\n", kv_strerror(result));
}

int status_of(int result, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    message_start();
    vfprintf(stderr, format, args);
    print_reason(result);
    va_end(args);
    switch (result) {
    case KV_ENOTFOUND:
        return STATUS_NEGATIVE;
    case KV_ECORRUPT:
    case KV_EVERSION:
    case KV_ENOTDB:
        return STATUS_DATABASE;
    default:
        return STATUS_FAILED;
    }
}

int status_of_open(int result, const char *path, bool reading)
{
    status_of(result, "cannot open %s", path);
    if (reading && (result == EACCES || result == EROFS || result == KV_EUNSUPPORTED))
        message("--no-lock opens a database without its lock file; nobody may write to it then");
    return STATUS_DATABASE;
}
