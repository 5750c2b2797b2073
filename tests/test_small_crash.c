/* SPDX-License-Identifier: MIT */
/* The crash states of test_crash.c with shrunken limits: small regions, index pages in the space
 * map, growth by single pages, two flushes for all but the smallest commits. */
#include "test_crash.c"
