/* SPDX-License-Identifier: MIT */
/*
 * Error results and the text of the last error.
 *
 * A result is 0, a negative KV_E... of kv.h, or a positive errno as the kernel gave it. The text is
 * kept per thread, in fixed storage, and names file, page and reason; it is overwritten by the next
 * error in that thread and never cleared by a success.
 *
 * kvi_corrupt is the one place through which damaged file bytes are reported: one breakpoint, one
 * form of text. Nothing here allocates; any thread may call it.
 */
#ifndef KVI_BASE_ERROR_H
#define KVI_BASE_ERROR_H

#include <stdint.h>

#include "base/attr.h"

#define KVI_NO_PGNO UINT64_MAX /* kvi_corrupt: damage that belongs to no page */

/* Records the text for `rc` in this thread and returns rc, so that a failure reads
 * `return kvi_error(KV_EINVAL, "page size %u is no power of two", size);`. errno is kept. */
int kvi_error(int rc, const char *format, ...) KVI_PRINTF(2, 3) KVI_COLD;

/* Records "<path>: page <pgno>: <what>" and returns KV_ECORRUPT. `path` may be NULL. */
int kvi_corrupt(const char *path, uint64_t pgno, const char *what) KVI_COLD;

/* Analysers look at one file at a time and would think that these may return 0. */
#if defined(__clang_analyzer__) || defined(__cppcheck__)
#include "kv.h"
#define kvi_error(rc, ...) (kvi_error(rc, __VA_ARGS__), (rc))
#define kvi_corrupt(path, pgno, what) (kvi_corrupt(path, pgno, what), KV_ECORRUPT)
#endif

/* The last text of this thread, "" when there was none. Valid until its next error. */
const char *kvi_error_text(void);

/* The fixed text of a result code; never NULL. */
const char *kvi_strerror(int rc);

#endif
