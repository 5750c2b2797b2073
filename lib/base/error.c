/* SPDX-License-Identifier: MIT */
/*
 * Owns the last error's text of each thread and the fixed texts of all results.
 *
 * The storage is thread-local and of fixed size: recording an error allocates nothing, takes no
 * lock and cannot fail; what does not fit is cut at the end. Of a long path the tail is kept, since
 * that is the part that tells files apart. errno is never changed here, so that a caller may look
 * at it after.
 */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "kv.h"

#define TEXT_BYTES 1024 /* reason and path; longer texts help nobody */
#define PATH_BYTES 600  /* of a path in kvi_corrupt: leaves room for page and reason */

static _Thread_local char error_text[TEXT_BYTES];

/* The arguments may point into the present text, so the new one is made beside it. */
KVI_PRINTF(1, 0)
static void record_text(const char *format, va_list args)
{
    char text[TEXT_BYTES];

    if (vsnprintf(text, sizeof text, format, args) < 0) {
        text[0] = '\0';
    }
    memcpy(error_text, text, sizeof error_text);
}

int(kvi_error)(int rc, const char *format, ...)
{
    int saved_errno = errno;
    va_list args;

    va_start(args, format);
    record_text(format, args);
    va_end(args);
    errno = saved_errno;
    return rc;
}

int(kvi_corrupt)(const char *path, uint64_t pgno, const char *what)
{
    const char *name = path ? path : "database";
    size_t length = strlen(name);
    const char *dots = "";

    if (length > PATH_BYTES) {
        name += length - PATH_BYTES;
        dots = "...";
    }
    if (pgno == KVI_NO_PGNO) {
        return kvi_error(KV_ECORRUPT, "%s%s: %s", dots, name, what);
    }
    return kvi_error(KV_ECORRUPT, "%s%s: page %llu: %s", dots, name, (unsigned long long)pgno,
                     what);
}

const char *kvi_error_text(void)
{
    return error_text;
}

/* NULL for a number that is no code of ours. No default: a code without a text is a warning. */
static const char *own_text(enum kv_error code)
{
    switch (code) {
    case KV_ENOTFOUND:
        return "not found";
    case KV_EEXIST:
        return "exists already";
    case KV_ECORRUPT:
        return "database is damaged";
    case KV_EVERSION:
        return "format version or feature not supported by this build";
    case KV_ENOTDB:
        return "not a libkv database";
    case KV_EINCOMPATIBLE:
        return "a table where a record is expected, or of another kind";
    case KV_EINVAL:
        return "bad argument";
    case KV_EBADTXN:
        return "transaction is finished, has failed or has a live child";
    case KV_EBADTABLE:
        return "table handle is closed or names no table here";
    case KV_EKEYSIZE:
        return "key has a size that is not possible";
    case KV_EVALSIZE:
        return "value has a size that is not possible";
    case KV_EREADERS:
        return "limit of concurrent readers reached";
    case KV_ESIZELIMIT:
        return "size limit of the database reached";
    case KV_EBUSY:
        return "in use";
    case KV_ETIMEOUT:
        return "timed out waiting for the writer";
    case KV_EREADONLY:
        return "opened for reading only";
    case KV_EPOISONED:
        return "an earlier flush failed; no writes until recovery";
    case KV_EUNKNOWN:
        return "flush failed; outcome of the commit is unknown";
    case KV_EFORKED:
        return "handle belongs to the parent process";
    case KV_EPAGEFULL:
        return "record does not fit into its page";
    case KV_EORDER:
        return "key is not above the last one";
    case KV_EUNSUPPORTED:
        return "file system cannot be shared safely";
    case KV_EMISMATCH:
        return "the record is not as expected";
    case KV_ECOMPARATOR:
        return "the table's comparator is not registered here, or is another";
    }
    return NULL;
}

static const char *errno_text(int error)
{
#if defined(__GLIBC__)
    return strerrordesc_np(error); /* static, never translated */
#else
    static _Thread_local char text[128];

    return strerror_r(error, text, sizeof text) ? NULL : text;
#endif
}

const char *kvi_strerror(int rc)
{
    const char *text;

    if (rc == 0) {
        return "success";
    }
    text = rc < 0 ? own_text((enum kv_error)rc) : errno_text(rc);
    return text ? text : "unknown error";
}
