/* SPDX-License-Identifier: MIT */
/*
 * Compiler attributes, in one place so that the rest of the source reads as plain C11.
 *
 * KVI_MUST_CHECK goes on every function that may fail: ignoring its result is a warning.
 */
#ifndef KVI_BASE_ATTR_H
#define KVI_BASE_ATTR_H

#define KVI_MUST_CHECK __attribute__((warn_unused_result))
#define KVI_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#define KVI_LIKELY(x) __builtin_expect(!!(x), 1)
#define KVI_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define KVI_NOINLINE __attribute__((noinline))
#define KVI_COLD __attribute__((cold))
#define KVI_ALWAYS_INLINE inline __attribute__((always_inline))

#endif
