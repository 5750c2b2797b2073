/* SPDX-License-Identifier: MIT */
/*
 * Every limit of the library, each with its reason. A build with -DKVI_SMALL_LIMITS shrinks those
 * that guard rare paths, so that the unit and crash tests walk them all the time.
 */
#ifndef KVI_BASE_LIMITS_H
#define KVI_BASE_LIMITS_H

#include <stdint.h>

#define KVI_PAGE_SIZE_MIN 4096u
#define KVI_PAGE_SIZE_MAX 65536u
#define KVI_PAGE_SIZE_DEFAULT 4096u

/* Depth of a tree: 48-bit page numbers and a fan-out of at least 2 would allow 48; a real tree of
 * 2^48 pages at the worst fan-out of two-key pages stays below this, a longer chain is damage. */
#define KVI_DEPTH_MAX 40u

/* Largest value: size in bytes fits the reference and a run below 2^32 pages. */
#define KVI_VALUE_BYTES_MAX ((uint64_t)1 << 40)

/* Address space reserved by default, and the least that is still tried when it is scarce. */
#define KVI_RESERVE_DEFAULT ((uint64_t)1 << 40)
#define KVI_RESERVE_MIN ((uint64_t)1 << 30)

#ifdef KVI_SMALL_LIMITS
#define KVI_ONE_FLUSH_PAGES 3u     /* commits up to this use one flush */
#define KVI_REGION_BITS_MAX 256u   /* pages in a region */
#define KVI_MAP_INLINE_MAX 4u      /* inline space map entries of a snapshot page */
#define KVI_MAP_FANOUT_MAX 3u      /* entries of an index page */
#define KVI_GROW_PAGES_MIN 1u      /* least growth of the file */
#define KVI_READER_SLOTS_FIRST 2u  /* reader slots before the table grows */
#define KVI_PROCESS_SLOTS_FIRST 2u /* process slots before the table grows */
#define KVI_DIRTY_BUDGET_MIN 16u   /* pages: least dirty budget */
#define KVI_REGION_TRIES 2u        /* regions tried before the file grows */
#else
#define KVI_ONE_FLUSH_PAGES 0u /* 0: what 4 MiB are in pages */
#define KVI_REGION_BITS_MAX 0u /* 0: what fits a page */
#define KVI_MAP_INLINE_MAX 0u  /* 0: what fits the snapshot page */
#define KVI_MAP_FANOUT_MAX 0u  /* 0: what fits a page */
#define KVI_GROW_PAGES_MIN 16u
#define KVI_READER_SLOTS_FIRST 126u
#define KVI_PROCESS_SLOTS_FIRST 64u
#define KVI_DIRTY_BUDGET_MIN 64u
#define KVI_REGION_TRIES 8u
#endif

#define KVI_ONE_FLUSH_BYTES ((uint64_t)4 << 20)

#endif
